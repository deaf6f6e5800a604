/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How versions come to serve, and go: with workers and clients that the test plays, and time that it moves. Nothing
 * above versions/ is linked.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/io.h"
#include "tests/played/floors.h"
#include "tests/played/worker.h"

#define SHOP "shop"
#define HOST "shop.localhost"

static const char config[] = "listen: [\"127.0.0.1:0\"]\n"
                             "cordons:\n"
                             "  - { name: many, workers: 1, rss_mib: unlimited, spare: off }\n";
static const char first[] = "name: " SHOP "\nmain: a.js\ncordon: many\n";
static const char second[] = "name: " SHOP "\nmain: a.js\ncordon: many\nlimits: { cpu_ms: 51 }\n";
static const char third[] = "name: " SHOP "\nmain: a.js\ncordon: many\nlimits: { cpu_ms: 52 }\n";

static int set_up(void **state)
{
    (void) state;
    floors_start(config);
    return 0;
}

static int tear_down(void **state)
{
    (void) state;
    floors_end();
    return 0;
}

static void install(const char *text)
{
    assert_int_equal(floors_install(text), 0);
    floors_settle();
}

static unsigned serving_cpu_ms(void)
{
    return floors_tenant(SHOP)->version->limits.cpu_ms;
}

/* A tenant whose first version serves. */
static void install_and_serve(void)
{
    struct floors_client client;

    install(first);
    floors_ask(&client, HOST);
    played_load_ends(SHOP, NULL);
    floors_settle();
    played_request_ends(SHOP, 200);
    floors_settle();
    assert_int_equal(floors_status(&client), 200);
    floors_leave(&client);
}

/* ---- the first version */

static void test_first_version_is_loaded_by_the_first_request(void **state)
{
    struct floors_client client;

    (void) state;
    install(first);
    floors_pass(2000);
    assert_int_equal(played_loading(SHOP), 0);
    floors_ask(&client, HOST);
    assert_int_equal(played_loading(SHOP), 1);
    assert_int_equal(floors_status(&client), 0);
    played_load_ends(SHOP, NULL);
    floors_settle();
    assert_int_equal(played_requests(SHOP), 1);
    played_request_ends(SHOP, 204);
    floors_settle();
    assert_int_equal(floors_status(&client), 204);
    floors_leave(&client);
}

/* Asks while the version loads, and lets the load fail. Returns for how many seconds no other is tried. */
static unsigned fail_load(void)
{
    struct floors_client client;

    floors_ask(&client, HOST);
    played_load_ends(SHOP, "a.js:1: it throws");
    floors_settle();
    assert_int_equal(floors_status(&client), 503);
    floors_leave(&client);
    return tenant_retry_after_s(floors_tenant(SHOP));
}

static void test_first_version_that_does_not_load_is_tried_again_less_and_less_often(void **state)
{
    static const unsigned waits_s[] = { 1, 2, 4, 8, 16, 30, 30 };
    struct floors_client client;

    (void) state;
    install(first);
    for (unsigned i = 0; i < sizeof waits_s / sizeof *waits_s; i++) {
        assert_int_equal(fail_load(), waits_s[i]);
        assert_string_equal(floors_tenant(SHOP)->last_error, "a.js:1: it throws");
        floors_ask(&client, HOST); /* meanwhile nothing is loaded */
        assert_int_equal(floors_status(&client), 503);
        assert_int_equal(played_loading(SHOP), 0);
        floors_leave(&client);
        floors_pass(waits_s[i] * 1000);
    }
    floors_ask(&client, HOST);
    played_load_ends(SHOP, NULL);
    floors_settle();
    played_request_ends(SHOP, 200);
    floors_settle();
    assert_int_equal(floors_status(&client), 200);
    floors_leave(&client);
    assert_int_equal(floors_tenant(SHOP)->load_failures, 0);
    assert_null(floors_tenant(SHOP)->last_error);
}

static void test_first_version_that_kills_its_worker_as_it_loads_has_to_wait(void **state)
{
    struct floors_client client;

    (void) state;
    install(first);
    floors_ask(&client, HOST);
    played_workers_die(SIGSEGV);
    floors_settle();
    assert_int_equal(floors_status(&client), 502);
    assert_int_equal(tenant_retry_after_s(floors_tenant(SHOP)), 1);
    floors_leave(&client);
}

/* ---- the next one */

static void test_next_version_serves_once_it_has_loaded(void **state)
{
    struct floors_client before, after;

    (void) state;
    install_and_serve();
    floors_ask(&before, HOST);
    install(second);
    assert_int_equal(played_loading(SHOP), 1);
    assert_int_equal(serving_cpu_ms(), 50);
    played_load_ends(SHOP, NULL);
    floors_settle();
    assert_int_equal(serving_cpu_ms(), 51);
    floors_ask(&after, HOST);
    assert_int_equal(played_requests(SHOP), 2);
    assert_int_equal(played_loaded(SHOP), 2); /* the one before serves what it has */
    played_request_ends(SHOP, 200);
    floors_settle();
    assert_int_equal(floors_status(&before), 200);
    assert_int_equal(played_loaded(SHOP), 1);
    played_request_ends(SHOP, 200);
    floors_settle();
    assert_int_equal(floors_status(&after), 200);
    floors_leave(&before);
    floors_leave(&after);
}

static void test_next_version_that_does_not_load_is_dropped(void **state)
{
    (void) state;
    install_and_serve();
    install(second);
    played_load_ends(SHOP, "a.js:1: it throws");
    floors_pass(5000);
    assert_null(floors_tenant(SHOP)->candidate);
    assert_int_equal(serving_cpu_ms(), 50);
    assert_string_equal(floors_tenant(SHOP)->last_error, "a.js:1: it throws");
    assert_int_equal(tenant_retry_after_s(floors_tenant(SHOP)), 0);
    assert_int_equal(played_loading(SHOP), 0);
}

static void test_version_that_is_overtaken_while_it_loads_never_serves(void **state)
{
    (void) state;
    install_and_serve();
    install(second);
    install(third);
    played_load_ends(SHOP, NULL); /* the second */
    floors_settle();
    assert_int_equal(serving_cpu_ms(), 50);
    played_load_ends(SHOP, NULL);
    floors_settle();
    assert_int_equal(serving_cpu_ms(), 52);
    floors_pass(1000);
    assert_int_equal(played_loaded(SHOP), 1);
    assert_int_equal(floors_tenant(SHOP)->n_versions, 1);
}

static void test_version_whose_worker_dies_is_loaded_in_the_next_one(void **state)
{
    (void) state;
    install_and_serve();
    install(second);
    played_workers_die(SIGKILL);
    floors_pass(1000);
    assert_int_equal(played_loading(SHOP), 1);
    played_load_ends(SHOP, NULL);
    floors_settle();
    assert_int_equal(serving_cpu_ms(), 51);
}

static void test_version_that_kills_its_worker_as_it_loads_is_dropped(void **state)
{
    (void) state;
    install_and_serve();
    install(second);
    played_workers_die(SIGSEGV);
    floors_pass(1000);
    assert_int_equal(played_loading(SHOP), 0);
    assert_null(floors_tenant(SHOP)->candidate);
    assert_int_equal(serving_cpu_ms(), 50);
}

/* ---- names and routes */

static void test_route_has_one_tenant(void **state)
{
    (void) state;
    install(first);
    assert_int_equal(floors_install("name: other\nmain: a.js\ncordon: many\nroutes: [" HOST "]\n"),
                     -EEXIST);
    assert_string_equal(floors.failure.where.file, "/srv/skep.yaml");
    assert_int_equal(floors.failure.where.line, 4);
    assert_string_equal(floors.failure.text, "the route \"" HOST "/*\" is one of the tenant " SHOP);
    assert_null(floors_tenant("other"));
    assert_int_equal(floors_install("name: other\nmain: a.js\ncordon: nowhere\n"), -ENOENT);
    assert_int_equal(floors.failure.where.line, 3);
    assert_string_equal(floors.failure.text, "there is no cordon \"nowhere\"");
    assert_null(floors_tenant("other"));
    assert_string_equal(floors_route("other.localhost"), "");
    assert_string_equal(floors_route(HOST), SHOP);
}

static void test_routes_change_when_the_next_version_serves(void **state)
{
    (void) state;
    install_and_serve();
    install("name: " SHOP "\nmain: a.js\ncordon: many\nroutes: [new.localhost]\n");
    assert_string_equal(floors_route("new.localhost"), "");
    assert_string_equal(floors_route(HOST), SHOP);
    played_load_ends(SHOP, NULL);
    floors_settle();
    assert_string_equal(floors_route("new.localhost"), SHOP);
    assert_string_equal(floors_route(HOST), "");
}

static void test_route_that_is_taken_while_a_version_loads_drops_it(void **state)
{
    (void) state;
    install_and_serve();
    install("name: " SHOP "\nmain: a.js\ncordon: many\nroutes: [new.localhost]\n");
    install("name: other\nmain: a.js\ncordon: many\nroutes: [new.localhost]\n");
    played_load_ends(SHOP, NULL);
    floors_settle();
    assert_string_equal(floors_route("new.localhost"), "other");
    assert_string_equal(floors_route(HOST), SHOP);
    assert_null(floors_tenant(SHOP)->candidate);
}

/* ---- limits */

static void set_maximum(uint32_t cpu_ms, uint32_t queue)
{
    floors.heart.config->maximum.cpu_ms = cpu_ms;
    floors.heart.config->maximum.queue = queue;
}

static void test_limit_that_skepd_keeps_counts_at_once(void **state)
{
    (void) state;
    install_and_serve();
    set_maximum(floors.heart.config->maximum.cpu_ms, 3);
    assert_int_equal(versions_renew_limits(floors_tenant(SHOP)), 1);
    assert_int_equal(floors_tenant(SHOP)->version->limits.queue, 3);
    assert_null(floors_tenant(SHOP)->candidate);
    assert_int_equal(versions_renew_limits(floors_tenant(SHOP)), 0);
}

static void test_limit_that_a_worker_keeps_makes_the_next_version(void **state)
{
    (void) state;
    install_and_serve();
    set_maximum(20, floors.heart.config->maximum.queue);
    assert_int_equal(versions_renew_limits(floors_tenant(SHOP)), 1);
    assert_int_equal(serving_cpu_ms(), 50);
    floors_settle();
    played_load_ends(SHOP, NULL);
    floors_settle();
    assert_int_equal(serving_cpu_ms(), 20);
    assert_false(version_has_old_limits(floors_tenant(SHOP)->version));
}

static void test_limit_of_a_version_that_is_in_no_worker_counts_at_once(void **state)
{
    (void) state;
    install(first);
    set_maximum(20, floors.heart.config->maximum.queue);
    assert_int_equal(versions_renew_limits(floors_tenant(SHOP)), 1);
    assert_int_equal(serving_cpu_ms(), 20);
    assert_null(floors_tenant(SHOP)->candidate);
}

static void test_limit_that_changes_while_a_version_loads_comes_after_it(void **state)
{
    (void) state;
    install_and_serve();
    install(second);
    set_maximum(20, floors.heart.config->maximum.queue);
    assert_int_equal(versions_renew_limits(floors_tenant(SHOP)), 1);
    played_load_ends(SHOP, NULL);
    floors_settle();
    assert_int_equal(serving_cpu_ms(), 51); /* as its worker knows it */
    played_load_ends(SHOP, NULL);
    floors_settle();
    assert_int_equal(serving_cpu_ms(), 20);
}

/* ---- the end */

static void test_removed_tenant_ends_what_it_has_accepted(void **state)
{
    struct floors_client running, waiting;

    (void) state;
    install_and_serve();
    floors_ask(&running, HOST);
    versions_remove(floors_tenant(SHOP));
    assert_null(floors_tenant(SHOP));
    install(first); /* the name and the routes are free */
    floors_ask(&waiting, HOST);
    assert_int_equal(played_loading(SHOP), 1);
    floors_pass(3000);
    assert_false(TAILQ_EMPTY(&floors.heart.tenants->leaving));
    played_request_ends(SHOP, 200);
    floors_settle();
    assert_int_equal(floors_status(&running), 200);
    floors_pass(3000);
    assert_true(TAILQ_EMPTY(&floors.heart.tenants->leaving));
    assert_int_equal(floors_status(&waiting), 0);
    assert_int_equal(played_loaded(SHOP), 0);
    floors_leave(&running);
    floors_leave(&waiting);
}

static void test_tenant_that_is_removed_while_it_loads_goes_when_it_has_loaded(void **state)
{
    (void) state;
    install_and_serve();
    install(second);
    versions_remove(floors_tenant(SHOP));
    floors_pass(3000);
    assert_false(TAILQ_EMPTY(&floors.heart.tenants->leaving));
    played_load_ends(SHOP, NULL);
    floors_pass(3000);
    assert_true(TAILQ_EMPTY(&floors.heart.tenants->leaving));
    assert_int_equal(played_loaded(SHOP), 0);
}

static void test_many_that_leave_are_swept_some_at_a_time(void **state)
{
    enum { MANY = 600 };
    char text[128], name[32];
    const struct tenant *tenant;
    unsigned left = 0;

    (void) state;
    for (unsigned i = 0; i < MANY; i++) {
        (void) snprintf(text, sizeof text, "name: t%u\nmain: a.js\ncordon: many\n", i);
        assert_int_equal(floors_install(text), 0);
    }
    for (unsigned i = 0; i < MANY; i++) {
        (void) snprintf(name, sizeof name, "t%u", i);
        versions_remove(floors_tenant(name));
    }
    floors_pass(1000);
    TAILQ_FOREACH (tenant, &floors.heart.tenants->leaving, entry)
        left++;
    assert_in_range(left, 1, MANY - 1);
    floors_pass(5000);
    assert_true(TAILQ_EMPTY(&floors.heart.tenants->leaving));
}

/* ---- staged versions */

static struct {
    unsigned loaded, refused, dropped;
    char text[64];
} heard;

static void on_loaded(void *owner)
{
    (void) owner;
    heard.loaded++;
}

static void on_refused(void *owner, const struct failure *failure)
{
    (void) owner;
    assert_int_equal(failure->code, -ENOEXEC);
    heard.refused++;
    (void) snprintf(heard.text, sizeof heard.text, "%s", failure->text);
}

static void on_dropped(void *owner)
{
    (void) owner;
    heard.dropped++;
}

static const struct version_listener listener = {
    .loaded = on_loaded,
    .refused = on_refused,
    .dropped = on_dropped,
};

static struct version *stage(const char *text)
{
    struct config_errors errors = { 0 };
    struct manifest *manifest = NULL;
    struct version *version = NULL;

    memset(&heard, 0, sizeof heard);
    assert_int_equal(manifest_parse("/srv/skep.yaml", text, strlen(text), &manifest, &errors), 0);
    assert_int_equal(versions_stage(floors.heart.versions, manifest, "/nowhere", &listener, NULL,
                                    &version, &floors.failure),
                     0);
    (void) placement_preload(version->tenant);
    floors_settle();
    return version;
}

static void test_staged_version_waits_for_who_has_it_staged(void **state)
{
    (void) state;
    install_and_serve();
    struct version *version = stage(second);
    played_load_ends(SHOP, NULL);
    floors_pass(5000);
    assert_int_equal(heard.loaded, 1);
    assert_int_equal(serving_cpu_ms(), 50);
    assert_int_equal(versions_serve_staged(version, "b", true), 0);
    assert_int_equal(serving_cpu_ms(), 51);
    assert_int_equal(played_loaded(SHOP), 2); /* the standby */
    assert_int_equal(versions_serve_standby(floors_tenant(SHOP)), 0);
    assert_int_equal(serving_cpu_ms(), 50);
    floors_settle();
    assert_int_equal(played_loaded(SHOP), 1);
}

static void test_staged_version_of_a_new_tenant_has_no_routes_before_it_serves(void **state)
{
    (void) state;
    struct version *version = stage(first);
    assert_string_equal(floors_route(HOST), "");
    played_load_ends(SHOP, NULL);
    floors_settle();
    assert_int_equal(heard.loaded, 1);
    assert_string_equal(floors_route(HOST), "");
    assert_int_equal(versions_serve_staged(version, "a", true), 0);
    assert_string_equal(floors_route(HOST), SHOP);
    assert_null(floors_tenant(SHOP)->deployed.standby);
}

static void test_staged_version_that_does_not_load_is_for_its_listener_to_drop(void **state)
{
    (void) state;
    struct version *version = stage(first);
    played_load_ends(SHOP, "a.js:1: it throws");
    floors_settle();
    assert_int_equal(heard.refused, 1);
    assert_string_equal(heard.text, "a.js:1: it throws");
    assert_non_null(floors_tenant(SHOP));
    versions_drop_staged(version);
    floors_pass(2000);
    assert_null(floors_tenant(SHOP));
    assert_true(TAILQ_EMPTY(&floors.heart.tenants->leaving));
}

static void test_listener_hears_that_another_version_took_the_place(void **state)
{
    (void) state;
    install_and_serve();
    struct version *version = version_ref(stage(second));
    install(third);
    assert_int_equal(heard.dropped, 1);
    assert_int_equal(versions_serve_staged(version, "b", true), -ESTALE);
    (void) version_unref(version);
    versions_remove(floors_tenant(SHOP));
    assert_int_equal(heard.dropped, 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_first_version_is_loaded_by_the_first_request),
        TEST(test_first_version_that_does_not_load_is_tried_again_less_and_less_often),
        TEST(test_first_version_that_kills_its_worker_as_it_loads_has_to_wait),
        TEST(test_next_version_serves_once_it_has_loaded),
        TEST(test_next_version_that_does_not_load_is_dropped),
        TEST(test_version_that_is_overtaken_while_it_loads_never_serves),
        TEST(test_version_whose_worker_dies_is_loaded_in_the_next_one),
        TEST(test_version_that_kills_its_worker_as_it_loads_is_dropped),
        TEST(test_route_has_one_tenant),
        TEST(test_routes_change_when_the_next_version_serves),
        TEST(test_route_that_is_taken_while_a_version_loads_drops_it),
        TEST(test_limit_that_skepd_keeps_counts_at_once),
        TEST(test_limit_that_a_worker_keeps_makes_the_next_version),
        TEST(test_limit_of_a_version_that_is_in_no_worker_counts_at_once),
        TEST(test_limit_that_changes_while_a_version_loads_comes_after_it),
        TEST(test_removed_tenant_ends_what_it_has_accepted),
        TEST(test_tenant_that_is_removed_while_it_loads_goes_when_it_has_loaded),
        TEST(test_many_that_leave_are_swept_some_at_a_time),
        TEST(test_staged_version_waits_for_who_has_it_staged),
        TEST(test_staged_version_of_a_new_tenant_has_no_routes_before_it_serves),
        TEST(test_staged_version_that_does_not_load_is_for_its_listener_to_drop),
        TEST(test_listener_hears_that_another_version_took_the_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
