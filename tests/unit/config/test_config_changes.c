/* SPDX-License-Identifier: Apache-2.0 */
/* Differences between two configs, and those that a running skepd can apply. */
#include "tests/unit/config/config_fixture.h"

#include "config/config_changes.h"
#include "config/manifest.h"

/* expected: "key: before -> after" for each, with " !" behind those that need a restart. */
static void expect_changes(const char *before, const char *after, const char *expected)
{
    struct config *old = parse(before), *new = parse(after);
    struct config_changes changes = { 0 };
    char *text = NULL;
    size_t size = 0;

    assert_int_equal(config_compare(old, new, &changes), 0);
    FILE *file = open_memstream(&text, &size);
    assert_non_null(file);
    for (unsigned i = 0; i < changes.count; i++)
        (void) fprintf(file, "%s: %s -> %s%s\n", changes.items[i].key, changes.items[i].before,
                       changes.items[i].after, changes.items[i].needs_restart ? " !" : "");
    (void) fclose(file);
    assert_string_equal(text, expected);
    free(text);
    config_changes_done(&changes);
    assert_int_equal(changes.count, 0);
    config_free(old);
    config_free(new);
}

static void test_same_config_has_no_changes(void **state)
{
    (void) state;
    expect_changes(LISTEN, LISTEN, "");
    /* The values that are written out are the defaults. */
    expect_changes(LISTEN, LISTEN "drain_s: 30\ncordons: [{name: default, workers: 2}]\n", "");
}

/* Changes each key of docs/config.md once, so that the test finds a key that the table has not. */
static void test_each_key_is_found(void **state)
{
    static const struct {
        const char *line, *change;
    } rows[] = {
        { "admin_socket: /a", "admin_socket: /run/skep/admin.sock -> /a !" },
        { "tenants: /a", "tenants: not set -> /a !" },
        { "log_level: debug", "log_level: info -> debug" },
        { "egress: {}", "egress.fetch: off -> on !" },
        { "jail: {minimum: reduced}", "jail.minimum: full -> reduced !" },
        { "jail: {without: []}", "jail.without: [speculation] -> [] !" },
        { "log_format: json", "log_format: auto -> json !" },
        { "access_log: on", "access_log: off -> on" },
        { "state: /a", "state: not set -> /a !\nstorage.folder: not set -> /a/data !" },
        { "storage: {folder: /a}", "storage.folder: not set -> /a !" },
        { "drain_s: 31", "drain_s: 30 -> 31" },
        { "admin: {group: skep}", "admin.group: not set -> skep !" },
        { "admin: {read: {uids: [1, 2]}}", "admin.read.uids: [] -> [1, 2]" },
        { "admin: {read: {gids: [1]}}", "admin.read.gids: [] -> [1]" },
        { "admin: {write: {uids: [1]}}", "admin.write.uids: [] -> [1]" },
        { "admin: {write: {gids: [1]}}", "admin.write.gids: [] -> [1]" },
        { "metrics: {listen: \"127.0.0.1:1\"}", "metrics.listen: not set -> 127.0.0.1:1 !" },
        { "deploy: {keep: 3}", "deploy.keep: 10 -> 3" },
        { "deploy: {watch_s: 3}", "deploy.watch_s: 60 -> 3" },
        { "deploy: {errors: 3}", "deploy.errors: 10 -> 3" },
        { "deploy: {error_percent: 3}", "deploy.error_percent: 50 -> 3" },
        { "http: {header_bytes: 2000}", "http.header_bytes: 16384 -> 2000" },
        { "http: {header_count: 9}", "http.header_count: 100 -> 9" },
        { "http: {connections: 9}", "http.connections: 10000 -> 9" },
        { "http: {connections_per_ip: 9}", "http.connections_per_ip: 1000 -> 9" },
        { "http: {header_timeout_ms: 900}", "http.header_timeout_ms: 10000 -> 900" },
        { "http: {body_idle_ms: 900}", "http.body_idle_ms: 30000 -> 900" },
        { "http: {keepalive_ms: 900}", "http.keepalive_ms: 60000 -> 900" },
        { "http: {write_idle_ms: 900}", "http.write_idle_ms: 30000 -> 900" },
        { "http: {proxies: [10.0.0.0/8, \"::1\"]}", "http.proxies: [] -> [10.0.0.0/8, ::1]" },
        { "http: {half_close_ms: 0}", "http.half_close_ms: 2000 -> 0" },
        { "http: {body_buffer_kib: 0}", "http.body_buffer_kib: 64 -> 0" },
        { "http: {buffer_mib: 9}", "http.buffer_mib: 256 -> 9" },
        { "http: {share_percent: 9}", "http.share_percent: 75 -> 9" },
        { "http: {min_bytes_per_s: 9}", "http.min_bytes_per_s: 500 -> 9" },
        { "http: {server_timing: on}", "http.server_timing: off -> on" },
        { "http: {default_host: A.b}", "http.default_host: localhost -> a.b" },
        { "limits: {default: {cpu_ms: 9}}", "limits.default.cpu_ms: not set -> 9" },
        { "limits: {maximum: {queue: 9}}", "limits.maximum.queue: not set -> 9" },
        { "limits: {observe: [cpu_ms, strikes]}", "limits.observe: [] -> [cpu_ms, strikes]" },
        { "limits: {observe: [rss_mib]}", "limits.observe: [] -> [rss_mib]" },
    };

    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[200], expected[200];
        (void) snprintf(text, sizeof text, LISTEN "%s\n", rows[i].line);
        (void) snprintf(expected, sizeof expected, "%s\n", rows[i].change);
        expect_changes(LISTEN, text, expected);
    }
    expect_changes(LISTEN "metrics: {listen: \"127.0.0.1:1\"}\n",
                   LISTEN "metrics: {listen: \"127.0.0.1:1\", tenants: 1}\n",
                   "metrics.tenants: 1000 -> 1\n");
    expect_changes(LISTEN, "listen: [\"[::1]:1\", \"unix:/s\"]\n",
                   "listen: [127.0.0.1:8080] -> [[::1]:1, unix:/s] !\n");
}

static void test_each_key_of_a_cordon_is_found(void **state)
{
    static const struct {
        const char *value, *change;
    } rows[] = {
        { "workers: 4", "workers: 2 -> 4" },
        { "solitary: 4", "solitary: 8 -> 4" },
        { "spare: off", "spare: on -> off" },
        { "jit: off", "jit: on -> off" },
        { "eval: load", "eval: on -> load" },
        { "allow_unlimited: on", "allow_unlimited: off -> on" },
        { "allowed_hosts: [\"A.test/\"]", "allowed_hosts: not set -> [a.test]" },
        { "allowed_hosts: []", "allowed_hosts: not set -> []" },
        { "addresses: [10.0.0.0/8]", "addresses: not set -> [10.0.0.0/8]" },
        { "rss_mib: unlimited", "rss_mib: 1024 -> unlimited" },
        { "drift_mib: 99", "drift_mib: 256 -> 99" },
        { "files_mib: 99", "files_mib: 16 -> 99" },
        { "cpu_weight: 99", "cpu_weight: 100 -> 99" },
        { "retire_after_s: 99", "retire_after_s: never -> 99" },
        { "retire_after_requests: 99", "retire_after_requests: never -> 99" },
        { "strikes: 9", "strikes: 3 -> 9" },
        { "quarantine_s: 99", "quarantine_s: 60 -> 99" },
        { "limits: {default: {heap_mib: 9}}", "limits.default.heap_mib: not set -> 9" },
        { "limits: {maximum: {heap_mib: 9}}", "limits.maximum.heap_mib: not set -> 9" },
        { "limits: {observe: [queue]}", "limits.observe: [] -> [queue]" },
    };

    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[200], expected[200];
        (void) snprintf(text, sizeof text, LISTEN "cordons: [{name: a, %s}]\n", rows[i].value);
        (void) snprintf(expected, sizeof expected, "cordons.a.%s\n", rows[i].change);
        expect_changes(LISTEN "cordons: [{name: a}]\n", text, expected);
    }
    expect_changes(LISTEN "cordons: [{name: a}]\n",
                   LISTEN "cordons: [{name: a, workers: solitary}]\n",
                   "cordons.a.workers: 2 -> solitary\n"
                   "cordons.a.solitary: 8 -> 64\n");
}

static void test_cordons_are_compared_by_name(void **state)
{
    (void) state;
    expect_changes(LISTEN "cordons: [{name: a}, {name: b, strikes: 5}]\n",
                   LISTEN "cordons: [{name: c}, {name: b, strikes: 6}]\n",
                   "cordons.a: there -> not there\n"
                   "cordons.b.strikes: 5 -> 6\n"
                   "cordons.c: not there -> there\n");
}

static void test_what_needs_a_restart_stays_and_all_else_does_not(void **state)
{
    struct config *running = parse(LISTEN "admin_socket: /a\ndrain_s: 5\nlog_format: json\n");
    struct config *next = parse("admin_socket: /b\nstate: /s\ndrain_s: 6\n"
                                "listen: [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n");

    (void) state;
    config_keep_running(running, next);
    assert_int_equal(next->n_listen, 1);
    assert_string_equal(next->listen[0], "127.0.0.1:8080");
    assert_string_equal(next->admin_socket, "/a");
    assert_null(next->state);
    assert_int_equal(next->log_format, LOG_FORMAT_JSON);
    assert_int_equal(next->drain_s, 6);
    config_free(running);
    assert_string_equal(next->listen[0], "127.0.0.1:8080");
    config_free(next);
}

static void test_value_of_any_length_is_told(void **state)
{
    char *text = malloc(100000);
    size_t at = 0;

    (void) state;
    assert_non_null(text);
    at += (size_t) sprintf(text, "listen:\n");
    for (unsigned i = 0; i < 60; i++)
        at += (size_t) sprintf(text + at, "  - \"unix:/%080u/%u\"\n", i, i);
    struct config *old = parse(LISTEN), *new = parse(text);
    struct config_changes changes = { 0 };
    assert_int_equal(config_compare(old, new, &changes), 0);
    assert_int_equal(changes.count, 1);
    size_t size = strlen(changes.items[0].after);
    assert_int_equal(size, 4000);
    assert_string_equal(changes.items[0].after + size - 3, "...");
    config_changes_done(&changes);
    config_free(old);
    config_free(new);
    free(text);
}

/* ---- tenants */

static struct manifest *tenant(const char *text)
{
    struct config_errors errors = { 0 };
    struct manifest *manifest;

    assert_int_equal(manifest_parse("skep.yaml", text, strlen(text), &manifest, &errors), 0);
    manifest->files = calloc(1, sizeof *manifest->files);
    assert_non_null(manifest->files);
    manifest->n_files = 1;
    manifest->files[0] = (struct tenant_file){ strdup("a.js"), strdup("code"), 4 };
    return manifest;
}

#define TENANT "name: a\nmain: a.js\n"

static void test_copy_of_a_tenant_is_the_same(void **state)
{
    struct manifest *one = tenant(TENANT "env: {A: b, C: d}\nlimits: {cpu_ms: 7}\n"
                                         "allowed_hosts: [a.test, \"GET b.test:*/v1\"]\n"
                                         "routes: [\"a.test/x\", \"*.b.test/*\"]\n");
    struct manifest *copy;

    (void) state;
    assert_int_equal(manifest_copy(one, &copy), 0);
    assert_true(manifest_is_same(one, copy));
    assert_string_equal(copy->file, one->file);
    assert_true(copy->routes[1].is_suffix);
    assert_ptr_equal(copy->files, one->files); /* shared, as they may be large */
    manifest_free(one);
    assert_string_equal(copy->env[1].value, "d");
    assert_string_equal(copy->hosts.items[1].methods, "GET,");
    assert_string_equal(copy->hosts.items[1].path, "/v1");
    assert_string_equal(copy->files[0].data, "code");
    manifest_free(copy);
}

static void test_tenant_that_differs_in_anything_is_not_the_same(void **state)
{
    static const char *const others[] = {
        "name: b\nmain: a.js\nroutes: [a.localhost]\n",
        TENANT "cordon: x\n",
        TENANT "env: {A: b}\n",
        TENANT "allowed_hosts: [a.test]\n",
        TENANT "limits: {cpu_ms: 7}\n",
        TENANT "routes: [a.test]\n",
        "name: a\nmain: b.js\n",
    };
    struct manifest *one = tenant(TENANT);

    (void) state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct manifest *other = tenant(others[i]);
        assert_false(manifest_is_same(one, other));
        manifest_free(other);
    }
    struct manifest *same = tenant("# a comment\n" TENANT);
    assert_true(manifest_is_same(one, same));
    same->files[0].data[3] = 'a';
    assert_false(manifest_is_same(one, same));
    manifest_free(same);
    manifest_free(one);
}

static void test_tenants_are_compared_in_parts(void **state)
{
    struct manifest *one = tenant(TENANT), *other = tenant(TENANT),
                    *third = tenant("name: b\nmain: a.js\n");
    struct manifest_place place = { 0 };

    (void) state;
    for (size_t at = 1; at < one->files[0].size; at++) {
        assert_int_equal(manifest_compare_part(one, other, 1, &place), MANIFESTS_SAME_SO_FAR);
        assert_int_equal(place.at, at);
    }
    assert_int_equal(manifest_compare_part(one, other, 1, &place), MANIFESTS_SAME);
    place = (struct manifest_place){ 0 };
    other->files[0].data[other->files[0].size - 1] ^= 1;
    assert_int_equal(manifest_compare_part(one, other, 1, &place), MANIFESTS_SAME_SO_FAR);
    assert_int_equal(manifest_compare_part(one, other, SIZE_MAX, &place), MANIFESTS_DIFFER);
    place = (struct manifest_place){ 0 };
    assert_int_equal(manifest_compare_part(one, third, 1, &place), MANIFESTS_DIFFER);
    manifest_free(one);
    manifest_free(other);
    manifest_free(third);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_config_has_no_changes),
        cmocka_unit_test(test_each_key_is_found),
        cmocka_unit_test(test_each_key_of_a_cordon_is_found),
        cmocka_unit_test(test_cordons_are_compared_by_name),
        cmocka_unit_test(test_what_needs_a_restart_stays_and_all_else_does_not),
        cmocka_unit_test(test_value_of_any_length_is_told),
        cmocka_unit_test(test_copy_of_a_tenant_is_the_same),
        cmocka_unit_test(test_tenant_that_differs_in_anything_is_not_the_same),
        cmocka_unit_test(test_tenants_are_compared_in_parts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
