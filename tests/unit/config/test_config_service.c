/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of skepd.yaml for the operation of the service: admin, log, metrics, deploy, state. */
#include "tests/unit/config/config_fixture.h"

static void test_nothing_is_given_away_where_nothing_is_said(void **state)
{
    struct config *config = parse("log_level: info\n");

    (void) state;
    assert_int_equal(config->n_listen, 0);
    assert_null(config->state);
    assert_null(config->metrics.listen);
    assert_null(config->admin.group);
    assert_int_equal(config->admin.read.n_uids + config->admin.read.n_gids, 0);
    assert_int_equal(config->admin.write.n_uids + config->admin.write.n_gids, 0);
    assert_int_equal(config->log_format, LOG_FORMAT_AUTO);
    assert_false(config->access_log);
    assert_int_equal(config->drain_s, 30);
    assert_int_equal(config->metrics.tenants, 1000);
    assert_int_equal(config->deploy.keep, 10);
    assert_int_equal(config->deploy.watch_s, 60);
    assert_int_equal(config->deploy.errors, 10);
    assert_int_equal(config->deploy.error_percent, 50);
    (void) config_free(config);
}

static void test_each_key_is_read_as_it_stands(void **state)
{
    struct config *config =
        parse("state: ../state\nlog_format: journal\naccess_log: on\ndrain_s: 3600\n"
              "admin: { group: web, read: { uids: [1], gids: [2, 3] }, write: { gids: [0] } }\n"
              "metrics: { listen: \"[::1]:9464\", tenants: 0 }\n"
              "deploy: { keep: 2, watch_s: 0, errors: 1, error_percent: 100 }\n");

    (void) state;
    assert_string_equal(config->state, "/etc/skep/../state");
    assert_int_equal(config->log_format, LOG_FORMAT_JOURNAL);
    assert_true(config->access_log);
    assert_int_equal(config->drain_s, 3600);
    assert_string_equal(config->admin.group, "web");
    assert_int_equal(config->admin.read.n_uids, 1);
    assert_int_equal(config->admin.read.uids[0], 1);
    assert_int_equal(config->admin.read.n_gids, 2);
    assert_int_equal(config->admin.read.gids[1], 3);
    assert_int_equal(config->admin.write.n_uids, 0);
    assert_int_equal(config->admin.write.gids[0], 0);
    assert_string_equal(config->metrics.listen, "[::1]:9464");
    assert_int_equal(config->metrics.tenants, 0);
    assert_int_equal(config->deploy.keep, 2);
    assert_int_equal(config->deploy.watch_s, 0);
    assert_int_equal(config->deploy.errors, 1);
    assert_int_equal(config->deploy.error_percent, 100);
    (void) config_free(config);
}

static void test_what_is_wrong_is_told_with_what_is_right(void **state)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        { "drain_s: 0", "drain_s: 0 is out of range: expected 1 to 3600 s" },
        { "drain_s: 3601", "drain_s: 3601 is out of range: expected 1 to 3600 s" },
        { "log_format: xml",
          "log_format: \"xml\" is unknown: expected one of auto, human, json, journal" },
        { "access_log: maybe", "access_log: \"maybe\" is not a switch: expected on or off" },
        { "deploy: { keep: 1 }", "deploy.keep: 1 is out of range: expected 2 to 1000" },
        { "deploy: { watch_s: 86401 }",
          "deploy.watch_s: 86401 is out of range: expected 0 to 86400 s" },
        { "deploy: { errors: 0 }", "deploy.errors: 0 is out of range: expected 1 to 1000000" },
        { "deploy: { error_percent: 101 }",
          "deploy.error_percent: 101 is out of range: expected 1 to 100" },
        { "metrics: { tenants: 5 }",
          "metrics: missing key \"listen\": expected it in this mapping" },
        { "metrics: { listen: \"127.0.0.1:1\", tenants: 10001 }",
          "metrics.tenants: 10001 is out of range: expected 0 to 10000" },
        { "metrics: { listen: \"unix:/x\" }",
          "metrics.listen: \"unix:/x\" is not an address: expected an address and a port" },
        { "admin: { read: { gids: [4294967295] } }",
          "admin.read.gids[0]: 4294967295 is out of range: expected 0 to 4294967294" },
        { "admin: { write: { users: [] } }",
          "unknown key \"users\" in admin.write: expected one of uids, gids" },
    };

    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[200], message[200];
        (void) snprintf(text, sizeof text, "%s\n", rows[i].text);
        (void) snprintf(message, sizeof message, "1: %s", rows[i].message);
        expect_errors(text, message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_given_away_where_nothing_is_said),
        cmocka_unit_test(test_each_key_is_read_as_it_stands),
        cmocka_unit_test(test_what_is_wrong_is_told_with_what_is_right),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
