/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a worker is replaced for its memory, and how isolates make room in a full one. The supervisor without processes:
 * tests/fuzz/rig.h. Memory is the test's.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/io.h"
#include "supervisor/placement/placement.h"
#include "supervisor/placement/retire.h"
#include "tests/fuzz/rig.h"

#define DRIFT "holds more than drift_mib beyond what its isolates account for"
#define MIB (UINT64_C(1) << 20)
#define READY_MIB 50
#define LOOKS 3

const size_t fuzz_options_bytes = 0;

static const char config[] =
    "listen: [\"127.0.0.1:0\"]\n"
    "cordons:\n"
    "  - { name: many, workers: 1, rss_mib: unlimited, drift_mib: 64, spare: on }\n";

struct scene {
    struct rig *rig;
    struct rig_worker shared, spare;
    struct slot *slot; /* in the shared worker */
    uint64_t now_ns;
};

static int set_up(void **state)
{
    static struct scene scene;

    scene = (struct scene){ .rig = rig_start(config), .now_ns = io_now_ns() };
    rig_worker_start(scene.rig, "many", SLOT_SHARED, &scene.shared);
    rig_worker_become_ready(scene.rig, &scene.shared);
    rig_worker_start(scene.rig, "many", SLOT_SPARE, &scene.spare);
    rig_worker_become_ready(scene.rig, &scene.spare);
    scene.slot = scene.shared.worker->slot;
    scene.shared.worker->ready_rss_bytes = READY_MIB * MIB;
    scene.now_ns += 60 * NSEC_PER_SEC;
    *state = &scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;

    for (unsigned i = 0; i < 10; i++)
        rig_turn(scene->rig);
    rig_worker_done(&scene->shared);
    rig_worker_done(&scene->spare);
    rig_stop(scene->rig);
    return 0;
}

/* One look of a second at the worker, which holds so much. */
static void look(struct scene *scene, uint64_t rss_mib)
{
    struct worker *worker = scene->shared.worker;

    scene->now_ns += NSEC_PER_SEC;
    worker->rss_bytes = rss_mib * MIB;
    worker->rss_at_ns = scene->now_ns; /* so that /proc is not read */
    retire_check(worker, scene->now_ns);
}

static struct placement *load(struct scene *scene, unsigned number)
{
    char name[32], text[128];

    (void) snprintf(name, sizeof name, "t%u", number);
    (void) snprintf(text, sizeof text, "name: %s\nmain: a.js\ncordon: many\n", name);
    rig_install(scene->rig, text, "/nowhere");
    struct version *version = tenant_find(scene->rig->heart.tenants, name, strlen(name))->version;
    if (placement_load(version, scene->shared.worker) < 0)
        return NULL;
    rig_drop_input(scene->shared.fd);
    rig_turn(scene->rig);
    struct placement *placement = placement_find(version, scene->shared.worker);
    placement_on_loaded(placement, ERROR_NONE, "", 0, 100);
    placement->since_ns = number;
    return placement;
}

static void
test_worker_that_has_drifted_for_three_looks_is_replaced_and_its_slot_says_why(void **state)
{
    struct scene *scene = *state;

    for (unsigned i = 0; i < LOOKS; i++) {
        assert_ptr_equal(scene->slot->worker, scene->shared.worker);
        look(scene, 200);
    }
    assert_ptr_equal(scene->slot->worker, scene->spare.worker);
    assert_string_equal(scene->slot->last_retired, DRIFT);
    assert_string_equal(scene->shared.worker->retire_reason, DRIFT);
}

static void test_one_look_below_the_bound_begins_anew(void **state)
{
    struct scene *scene = *state;

    for (unsigned i = 0; i < 2 * LOOKS; i++)
        look(scene, i == 2 || i == 5 ? READY_MIB + 60 : 200);
    assert_ptr_equal(scene->slot->worker, scene->shared.worker);
}

static void test_what_isolates_account_for_is_no_drift(void **state)
{
    struct scene *scene = *state;
    const struct placement *placement = load(scene, 0);
    struct scoreboard_placement *claim = &scene->shared.worker->board->placements[placement->row];

    atomic_store(&claim->placement, placement->id);
    atomic_store(&claim->heap_held_kib, 100 << 10);
    atomic_store(&claim->external_kib, 30 << 10);
    for (unsigned i = 0; i < 2 * LOOKS; i++)
        look(scene, 200);
    assert_ptr_equal(scene->slot->worker, scene->shared.worker);
    atomic_store(&claim->external_kib, 0); /* an eviction, which the process has not given back */
    for (unsigned i = 0; i < LOOKS; i++)
        look(scene, 250);
    assert_ptr_equal(scene->slot->worker, scene->spare.worker);
}

static void test_in_a_full_worker_the_isolate_longest_unused_makes_room(void **state)
{
    struct scene *scene = *state;
    struct placement *oldest = load(scene, 1), *next = load(scene, 2);

    for (unsigned i = 3; i <= SCOREBOARD_PLACEMENTS; i++)
        assert_non_null(load(scene, i));
    assert_int_equal(scene->shared.worker->n_placements, SCOREBOARD_PLACEMENTS);
    oldest->in_flight = 1; /* in use */
    assert_null(load(scene, SCOREBOARD_PLACEMENTS + 1));
    oldest->in_flight = 0;
    assert_int_equal(next->state, PLACEMENT_UNLOADING);
    assert_null(load(scene, SCOREBOARD_PLACEMENTS + 2)); /* room is being made */
    assert_int_equal(scene->shared.worker->evictions, 1);
    placement_on_unloaded(next);
    assert_non_null(load(scene, SCOREBOARD_PLACEMENTS + 3));
    assert_int_not_equal(oldest->state, PLACEMENT_UNLOADING);
}

static void
test_cordon_with_more_active_tenants_than_places_is_told_once_in_ten_minutes(void **state)
{
    struct scene *scene = *state;
    struct worker *worker = scene->shared.worker;

    for (unsigned minute = 1; minute <= 11; minute++) {
        worker->evictions = minute == 1 ? SCOREBOARD_PLACEMENTS : SCOREBOARD_PLACEMENTS + 1;
        scene->now_ns += 60 * NSEC_PER_SEC;
        look(scene, READY_MIB);
        assert_int_equal(worker->evictions, 0);
        uint64_t said_ns = scene->slot->full_said_ns;
        assert_true(minute == 1 ? said_ns == 0 : (said_ns == scene->now_ns) == (minute == 2));
    }
    scene->now_ns += 60 * NSEC_PER_SEC;
    worker->evictions = SCOREBOARD_PLACEMENTS + 1;
    look(scene, READY_MIB);
    assert_true(scene->slot->full_said_ns == scene->now_ns);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_worker_that_has_drifted_for_three_looks_is_replaced_and_its_slot_says_why),
        TEST(test_one_look_below_the_bound_begins_anew),
        TEST(test_what_isolates_account_for_is_no_drift),
        TEST(test_in_a_full_worker_the_isolate_longest_unused_makes_room),
        TEST(test_cordon_with_more_active_tenants_than_places_is_told_once_in_ten_minutes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
