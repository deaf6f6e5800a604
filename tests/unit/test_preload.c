/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Versions for which no request waits go into their worker a few at a time, behind those for which
 * one waits, and no callback looks at all tenants for it. The supervisor without processes:
 * tests/fuzz/rig.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/io.h"
#include "supervisor/placement/change.h"
#include "supervisor/placement/placement.h"
#include "tests/fuzz/rig.h"

#define TENANTS 200U

const size_t fuzz_options_bytes = 0;

static const char config[] = "listen: [\"127.0.0.1:0\"]\n"
                             "cordons:\n"
                             "  - { name: many, workers: 1, rss_mib: unlimited, spare: off }\n";

struct scene {
    struct rig *rig;
    struct rig_worker worker;
    struct rig_client client;
};

/* Number of times that a worker was chosen for a version, which a callback does for each tenant
 * that it looks at. */
static unsigned n_choices;
struct slot *__real_placement_find_slot(struct slots *slots, const struct version *version);
struct slot *__wrap_placement_find_slot(struct slots *slots, const struct version *version);

struct slot *__wrap_placement_find_slot(struct slots *slots, const struct version *version)
{
    n_choices++;
    return __real_placement_find_slot(slots, version);
}

static void install_all(struct scene *scene, unsigned cpu_ms)
{
    char text[128];

    for (unsigned i = 0; i < TENANTS; i++) {
        (void) snprintf(text, sizeof text,
                        "name: t%u\nmain: a.js\ncordon: many\nlimits: { cpu_ms: %u }\n", i, cpu_ms);
        rig_install(scene->rig, text, "/nowhere");
    }
}

/* Makes a new version of each tenant, none of which serves yet. */
static int set_up(void **state)
{
    static struct scene scene;

    scene.rig = rig_start(config);
    install_all(&scene, 50);
    rig_worker_start(scene.rig, "many", SLOT_SHARED, &scene.worker);
    rig_worker_become_ready(scene.rig, &scene.worker);
    rig_client_start(scene.rig, &scene.client);
    install_all(&scene, 51);
    *state = &scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;

    rig_client_done(&scene->client);
    for (unsigned i = 0; i < 10; i++)
        rig_turn(scene->rig);
    rig_worker_done(&scene->worker);
    rig_stop(scene->rig);
    return 0;
}

/* Returns the load that began first. */
static struct placement *find_loading(const struct scene *scene)
{
    struct placement *placement, *first = NULL;

    LIST_FOREACH (placement, &scene->worker.worker->placements, in_worker)
        if (placement_is_loading(placement))
            first = placement;
    return first;
}

static unsigned count_loading(const struct scene *scene)
{
    const struct placement *placement;
    unsigned n = 0;

    LIST_FOREACH (placement, &scene->worker.worker->placements, in_worker)
        n += placement_is_loading(placement);
    return n;
}

static unsigned count_candidates(const struct scene *scene)
{
    const struct tenant *tenant;
    unsigned n = 0;

    TAILQ_FOREACH (tenant, &scene->rig->heart.tenants->list, entry)
        n += tenant->candidate != NULL;
    return n;
}

static void say_loaded(struct placement *placement, enum error_code code)
{
    placement_on_loaded(placement, code, "it does not load", code == ERROR_NONE ? 0 : 16, 100);
}

static void test_few_versions_load_at_a_time_until_all_serve(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(count_candidates(scene), TENANTS);
    for (unsigned i = 0; i < TENANTS; i++) {
        assert_int_equal(count_loading(scene), i + 1 < TENANTS ? 2 : 1);
        say_loaded(find_loading(scene), i % 7 == 3 ? ERROR_BOOT_FAILED : ERROR_NONE);
        rig_drop_input(scene->worker.fd);
        rig_turn(scene->rig);
    }
    assert_int_equal(count_loading(scene), 0);
    assert_int_equal(count_candidates(scene), 0);
}

static void test_load_that_a_request_waits_for_does_not_wait_for_those(void **state)
{
    static const char ask[] = "GET / HTTP/1.1\r\nHost: late.localhost\r\n\r\n";
    struct scene *scene = *state;
    const struct tenant *late;

    rig_install(scene->rig, "name: late\nmain: a.js\ncordon: many\n", "/nowhere");
    late = tenant_find(scene->rig->heart.tenants, "late", 4);
    assert_null(placement_find(late->version, scene->worker.worker));
    rig_client_ask(&scene->client, ask, sizeof ask - 1, true);
    for (unsigned i = 0; i < 10; i++)
        rig_turn(scene->rig);
    assert_int_equal(late->n_queued, 1);
    assert_non_null(placement_find(late->version, scene->worker.worker));
    assert_int_equal(count_loading(scene), 3);
}

static void test_loads_that_last_do_not_hold_up_the_others(void **state)
{
    struct scene *scene = *state;
    struct placement *placement;

    preload_check(scene->worker.worker, io_now_ns());
    assert_int_equal(count_loading(scene), 2);
    LIST_FOREACH (placement, &scene->worker.worker->placements, in_worker)
        placement->since_ns -= 5 * NSEC_PER_SEC;
    preload_check(scene->worker.worker, io_now_ns());
    assert_int_equal(count_loading(scene), 4);
}

static void test_end_of_one_isolate_makes_nobody_look_at_all_tenants(void **state)
{
    struct scene *scene = *state;
    struct placement *placement = find_loading(scene);

    say_loaded(placement, ERROR_NONE);
    placement->state = PLACEMENT_UNLOADING;
    n_choices = 0;
    placement_on_unloaded(placement);
    assert_in_range(n_choices, 0, 4);
}

static void test_version_that_was_superseded_in_the_queue_is_not_loaded(void **state)
{
    struct scene *scene = *state;
    const struct placement *placement;

    install_all(scene, 52);
    for (unsigned i = 0; i < TENANTS + 2; i++) {
        LIST_FOREACH (placement, &scene->worker.worker->placements, in_worker)
            assert_true(i < 2 || placement->version->limits.cpu_ms == 52 ||
                        !placement_is_loading(placement));
        if (find_loading(scene))
            say_loaded(find_loading(scene), ERROR_NONE);
        rig_drop_input(scene->worker.fd);
        rig_turn(scene->rig);
    }
    assert_int_equal(count_candidates(scene), 0);
}

/* The worker of these tenants leaves, and another takes over. */
static void test_worker_that_leaves_has_its_tenants_loaded_a_few_at_a_time(void **state)
{
    struct scene *scene = *state;
    struct rig_worker old = scene->worker;
    struct placement *placement;
    char ask[128];

    while ((placement = find_loading(scene)))
        say_loaded(placement, ERROR_NONE);
    rig_worker_start(scene->rig, "many", SLOT_SHARED, &scene->worker);
    rig_worker_become_ready(scene->rig, &scene->worker);
    slot_close_softly(old.worker->slot);
    for (unsigned i = 0; i < 3; i++) {
        placements_check_change(scene->rig->heart.placements, io_now_ns());
        assert_int_equal(old.worker->state, WORKER_READY);
        assert_int_equal(count_loading(scene), 2);
    }
    /* A request waits for one of them, which then counts no more, and the next one may begin. */
    placement = find_loading(scene);
    assert_true(placement->is_preload);
    int size = snprintf(ask, sizeof ask, "GET / HTTP/1.1\r\nHost: %s.localhost\r\n\r\n",
                        placement->version->tenant->name);
    old.worker->is_hung_up = true; /* otherwise the request would go there meanwhile */
    rig_client_ask(&scene->client, ask, (size_t) size, true);
    for (unsigned i = 0; i < 10; i++)
        rig_turn(scene->rig);
    assert_false(placement->is_preload);
    preload_check(scene->worker.worker, io_now_ns());
    assert_int_equal(count_loading(scene), 3);
    rig_worker_done(&old);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_few_versions_load_at_a_time_until_all_serve),
        TEST(test_load_that_a_request_waits_for_does_not_wait_for_those),
        TEST(test_loads_that_last_do_not_hold_up_the_others),
        TEST(test_end_of_one_isolate_makes_nobody_look_at_all_tenants),
        TEST(test_version_that_was_superseded_in_the_queue_is_not_loaded),
        TEST(test_worker_that_leaves_has_its_tenants_loaded_a_few_at_a_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
