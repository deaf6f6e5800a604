/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tenant that uses far more CPU time than its neighbours for ten looks in a row goes to a worker of its own. Time and CPU time
 * are the test's. The supervisor without processes: tests/fuzz/rig.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/io.h"
#include "supervisor/placement/placement.h"
#include "supervisor/placement/seclude.h"
#include "tests/fuzz/rig.h"

#define LOOKS 10U

const size_t fuzz_options_bytes = 0;

static const char config[] = "listen: [\"127.0.0.1:0\"]\n"
                             "cordons:\n"
                             "  - { name: many, workers: 1, rss_mib: unlimited, solitary: 1 }\n";

enum { BUSY, LIGHT, TENANTS };

struct scene {
    struct rig *rig;
    struct rig_worker shared, spare;
    struct tenant *tenants[TENANTS];
    uint64_t now_ns;
};

static struct worker *worker_of(const struct scene *scene, unsigned tenant)
{
    return placement_find_worker(scene->rig->heart.slots, scene->tenants[tenant]->version);
}

static void load(const struct scene *scene, unsigned tenant)
{
    struct version *version = scene->tenants[tenant]->version;

    assert_int_equal(placement_load(version, scene->shared.worker), 0);
    placement_on_loaded(placement_find(version, scene->shared.worker), ERROR_NONE, "", 0, 100);
}

/* Lets a second pass. own_ms: the worker's own part of it. */
static void look(struct scene *scene, uint64_t own_ms, uint64_t busy_ms, uint64_t light_ms)
{
    scene->now_ns += NSEC_PER_SEC;
    scene->shared.worker->own.waited_ns += NSEC_PER_SEC - own_ms * NSEC_PER_MSEC;
    scene->tenants[BUSY]->cpu_us += busy_ms * 1000;
    scene->tenants[LIGHT]->cpu_us += light_ms * 1000;
    while (seclude_check_some(scene->rig->heart.tenants, scene->now_ns))
        ;
}

static int set_up(void **state)
{
    static const char *const names[] = { [BUSY] = "busy", [LIGHT] = "light" };
    static struct scene scene;

    scene = (struct scene){ .rig = rig_start(config), .now_ns = io_now_ns() };
    rig_install(scene.rig, "name: busy\nmain: a.js\ncordon: many\n", "/nowhere");
    rig_install(scene.rig, "name: light\nmain: a.js\ncordon: many\n", "/nowhere");
    rig_worker_start(scene.rig, "many", SLOT_SHARED, &scene.shared);
    rig_worker_become_ready(scene.rig, &scene.shared);
    rig_worker_start(scene.rig, "many", SLOT_SPARE, &scene.spare);
    rig_worker_become_ready(scene.rig, &scene.spare);
    for (unsigned i = 0; i < TENANTS; i++) {
        scene.tenants[i] = tenant_find(scene.rig->heart.tenants, names[i], strlen(names[i]));
        load(&scene, i);
    }
    look(&scene, 1000, 0, 0);
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

static void test_tenant_far_above_its_neighbours_gets_a_worker_of_its_own(void **state)
{
    struct scene *scene = *state;

    for (unsigned i = 0; i < LOOKS; i++) {
        assert_ptr_equal(worker_of(scene, BUSY), scene->shared.worker);
        look(scene, 1000, 600, 100);
    }
    assert_ptr_equal(worker_of(scene, BUSY), scene->spare.worker);
    assert_ptr_equal(worker_of(scene, LIGHT), scene->shared.worker);
}

static void test_worker_that_hardly_gets_a_processor_is_judged_by_what_it_gets(void **state)
{
    struct scene *scene = *state;

    for (unsigned i = 0; i < LOOKS; i++)
        look(scene, 200, 120, 20);
    assert_ptr_equal(worker_of(scene, BUSY), scene->spare.worker);
}

static void test_one_quiet_second_begins_the_count_anew(void **state)
{
    struct scene *scene = *state;

    for (unsigned i = 0; i < 2 * LOOKS - 1; i++)
        look(scene, 1000, i == LOOKS - 1 ? 10 : 600, 100);
    assert_ptr_equal(worker_of(scene, BUSY), scene->shared.worker);
    look(scene, 1000, 600, 100);
    assert_ptr_equal(worker_of(scene, BUSY), scene->spare.worker);
}

static void test_tenant_that_nobody_shares_the_worker_with_stays(void **state)
{
    struct scene *scene = *state;

    for (unsigned i = 0; i < 2 * LOOKS; i++)
        look(scene, 1000, 900, 0);
    assert_ptr_equal(worker_of(scene, BUSY), scene->shared.worker);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tenant_far_above_its_neighbours_gets_a_worker_of_its_own),
        TEST(test_worker_that_hardly_gets_a_processor_is_judged_by_what_it_gets),
        TEST(test_one_quiet_second_begins_the_count_anew),
        TEST(test_tenant_that_nobody_shares_the_worker_with_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
