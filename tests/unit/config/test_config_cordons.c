/* SPDX-License-Identifier: Apache-2.0 */
/* Cordons of skepd.yaml: their numbers, and limits that are only observed. */
#include "common/cleanup.h"
#include "tests/unit/config/config_fixture.h"

#define OBSERVABLE "expected one of {observable}"

static void test_number_of_a_cordon_that_is_wrong_is_told_with_what_is_right(void **state)
{
    static const struct {
        const char *line, *message;
    } rows[] = {
        { "workers: shared", "shared is not a number: expected 1 to 64, or solitary" },
        { "workers: -1", "-1 is not a number: expected 1 to 64, or solitary" },
        { "workers: unlimited", "unlimited is not a number: expected 1 to 64, or solitary" },
        { "solitary: 65", "65 is out of range: expected 0 to 64" },
        { "solitary: solitary", "solitary is not a number: expected 0 to 64" },
        { "rss_mib: 63", "63 is out of range: expected 64 to 1048576 MiB, or unlimited" },
        { "rss_mib: 1048577", "1048577 is out of range: expected 64 to 1048576 MiB, or unlimited" },
        { "rss_mib: 1G", "1G is not a number: expected 64 to 1048576 MiB, or unlimited" },
        { "rss_mib: never", "never is not a number: expected 64 to 1048576 MiB, or unlimited" },
        { "files_mib: 0", "0 is out of range: expected 1 to 256 MiB" },
        { "files_mib: 257", "257 is out of range: expected 1 to 256 MiB" },
        { "drift_mib: 15", "15 is out of range: expected 16 to 1048576 MiB, or unlimited" },
        { "drift_mib: 1048577",
          "1048577 is out of range: expected 16 to 1048576 MiB, or unlimited" },
        { "cpu_weight: 0", "0 is out of range: expected 1 to 10000" },
        { "cpu_weight: 10001", "10001 is out of range: expected 1 to 10000" },
        { "cpu_weight: unlimited", "unlimited is not a number: expected 1 to 10000" },
        { "retire_after_s: 9", "9 is out of range: expected 10 to 31536000 s, or never" },
        { "retire_after_s: 31536001",
          "31536001 is out of range: expected 10 to 31536000 s, or never" },
        { "retire_after_s: 1h", "1h is not a number: expected 10 to 31536000 s, or never" },
        { "retire_after_s: unlimited",
          "unlimited is not a number: expected 10 to 31536000 s, or never" },
        { "retire_after_requests: 0", "0 is out of range: expected 1 to 4294967294, or never" },
        { "retire_after_requests: 4294967295",
          "4294967295 is out of range: expected 1 to 4294967294, or never" },
        { "retire_after_requests: 99999999999999999999999",
          "99999999999999999999999 is out of range: expected 1 to 4294967294, or never" },
        { "strikes: 0", "0 is out of range: expected 1 to 20" },
        { "strikes: 21", "21 is out of range: expected 1 to 20" },
        { "strikes: 03", "03 is not a number: expected 1 to 20" },
        { "strikes: 3.0", "3.0 is not a number: expected 1 to 20" },
        { "quarantine_s: 0", "0 is out of range: expected 1 to 86400 s" },
        { "quarantine_s: 86401", "86401 is out of range: expected 1 to 86400 s" },
        { "quarantine_s:", "no value: expected a number" },
        { "quarantine_s: [1]", "a list: expected a single value" },
    };

    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[200];
        char message[200];
        (void) snprintf(text, sizeof text, LISTEN "cordons:\n  - name: a\n    %s\n", rows[i].line);
        (void) snprintf(message, sizeof message, "4: cordons[0].%.*s: %s",
                        (int) strcspn(rows[i].line, ":"), rows[i].line, rows[i].message);
        expect_errors(text, message);
    }
}

static void test_bounds_and_words_of_a_cordon_are_taken(void **state)
{
    struct config *config = parse(
        LISTEN "cordons:\n"
               "  - { name: least, workers: 1, solitary: 0, rss_mib: 64, drift_mib: 16,\n"
               "      cpu_weight: 1, retire_after_s: 10, retire_after_requests: 1, strikes: 1,\n"
               "      quarantine_s: 1, files_mib: 1 }\n"
               "  - { name: most, workers: 64, solitary: 64, rss_mib: 1048576,\n"
               "      drift_mib: 1048576, cpu_weight: 10000, retire_after_s: 31536000,\n"
               "      retire_after_requests: 4294967294, strikes: 20, quarantine_s: 86400,\n"
               "      files_mib: 256 }\n"
               "  - { name: words, rss_mib: unlimited, drift_mib: \"unlimited\",\n"
               "      retire_after_s: never, retire_after_requests: never }\n");
    const struct cordon_config *least = config_find_cordon(config, "least");
    const struct cordon_config *most = config_find_cordon(config, "most");
    const struct cordon_config *words = config_find_cordon(config, "words");

    (void) state;
    assert_int_equal(least->workers, 1);
    assert_int_equal(least->solitary, 0);
    assert_int_equal(least->rss_mib, 64);
    assert_int_equal(least->drift_mib, 16);
    assert_int_equal(least->files_mib, 1);
    assert_int_equal(least->cpu_weight, 1);
    assert_int_equal(least->retire_after_s, 10);
    assert_int_equal(least->retire_after_requests, 1);
    assert_int_equal(least->strikes, 1);
    assert_int_equal(least->quarantine_s, 1);
    assert_int_equal(most->workers, 64);
    assert_int_equal(most->solitary, 64);
    assert_int_equal(most->rss_mib, 1048576);
    assert_int_equal(most->drift_mib, 1048576);
    assert_int_equal(most->files_mib, 256);
    assert_int_equal(config_files_bytes(config), UINT32_C(256) << 20);
    assert_int_equal(config_files_bytes(NULL), UINT32_C(16) << 20);
    assert_int_equal(most->cpu_weight, 10000);
    assert_int_equal(most->retire_after_s, 31536000);
    assert_true(most->retire_after_requests == LIMIT_UNLIMITED - 1);
    assert_int_equal(most->strikes, 20);
    assert_int_equal(most->quarantine_s, 86400);
    assert_true(words->rss_mib == LIMIT_UNLIMITED);
    assert_true(words->drift_mib == LIMIT_UNLIMITED);
    assert_true(words->retire_after_s == LIMIT_UNLIMITED);
    assert_true(words->retire_after_requests == LIMIT_UNLIMITED);
    (void) config_free(config);
}

static void test_solitary_cordon_has_no_worker_that_tenants_share(void **state)
{
    struct config *config = parse(LISTEN "cordons:\n"
                                         "  - { name: preset, workers: solitary }\n"
                                         "  - { name: most, solitary: 1024, workers: solitary }\n"
                                         "  - { name: shared, workers: 3 }\n");
    const struct cordon_config *preset = config_find_cordon(config, "preset");
    const struct cordon_config *most = config_find_cordon(config, "most");
    const struct cordon_config *shared = config_find_cordon(config, "shared");

    (void) state;
    assert_true(preset->is_solitary);
    assert_int_equal(preset->workers, 0);
    assert_int_equal(preset->solitary, 64);
    assert_true(most->is_solitary);
    assert_int_equal(most->solitary, 1024);
    assert_false(shared->is_solitary);
    assert_int_equal(shared->workers, 3);
    assert_int_equal(shared->solitary, 8);
    (void) config_free(config);
    expect_errors(LISTEN "cordons:\n  - {name: a, workers: solitary, solitary: 0}\n"
                         "  - {name: b, workers: solitary, solitary: 1025}\n",
                  "3: cordons[0].solitary: 0 is out of range: expected 1 to 1024\n"
                  "4: cordons[1].solitary: 1025 is out of range: expected 1 to 1024");
}

static void test_observed_limits_are_those_of_platform_and_cordon(void **state)
{
    struct config *config = parse(LISTEN "limits: { observe: [cpu_ms, response_mib] }\n"
                                         "cordons:\n"
                                         "  - { name: none, limits: { observe: [] } }\n"
                                         "  - name: some\n"
                                         "    limits: { observe: [rss_mib, cpu_ms, queue] }\n"
                                         "  - { name: strikes, limits: { observe: [strikes] } }\n");
    const struct cordon_config *none = config_find_cordon(config, "none");
    const struct cordon_config *some = config_find_cordon(config, "some");
    const struct cordon_config *strikes = config_find_cordon(config, "strikes");
    const limit_set cpu_ms = (limit_set) 1 << LIMIT_INDEX(cpu_ms);
    const limit_set response_mib = (limit_set) 1 << LIMIT_INDEX(response_mib);
    const limit_set queue = (limit_set) 1 << LIMIT_INDEX(queue);

    (void) state;
    assert_int_equal(config->observed, cpu_ms | response_mib);
    assert_false(config->observe_rss);
    assert_false(config->observe_strikes);
    assert_int_equal(none->observed, 0);
    assert_int_equal(limits_observed(config, none), cpu_ms | response_mib);
    assert_int_equal(some->observed, cpu_ms | queue);
    assert_true(some->observe_rss);
    assert_false(some->observe_strikes);
    assert_int_equal(limits_observed(config, some), cpu_ms | response_mib | queue);
    assert_int_equal(strikes->observed, 0);
    assert_false(strikes->observe_rss);
    assert_true(strikes->observe_strikes);
    (void) config_free(config);
}

static void test_cordon_says_who_calls_into_it(void **state)
{
    struct config *config = parse(LISTEN "cordons:\n  - { name: a }\n"
                                         "  - { name: b, calls_across: on, caller_percent: 60 }\n");

    (void) state;
    assert_false(config->cordons[0]->calls_across);
    assert_int_equal(config->cordons[0]->caller_percent, 25);
    assert_true(config->cordons[1]->calls_across);
    assert_int_equal(config->cordons[1]->caller_percent, 60);
    (void) config_free(config);
    expect_errors(LISTEN "cordons:\n  - { name: a, caller_percent: 101 }\n",
                  "3: cordons[0].caller_percent: 101 is out of range: expected 1 to 100");
}

static void test_every_limit_that_may_be_observed_is_taken(void **state)
{
    _cleanup_free_ char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);

    assert_non_null(stream);
    (void) fputs(LISTEN "limits: { observe: [", stream);
    print_limit_names(stream, true);
    (void) fputs("] }\n", stream);
    (void) fclose(stream);
    struct config *config = parse(text);

    (void) state;
    for (size_t i = 0; i < LIMITS_COUNT; i++)
        assert_int_equal(config->observed >> i & 1U, limit_table[i].may_be_observed);
    assert_true(config->observe_rss);
    assert_true(config->observe_strikes);
    (void) config_free(config);
}

static void test_what_cannot_be_observed_is_told_with_what_can(void **state)
{
    (void) state;
    expect_errors(LISTEN "limits:\n  observe:\n    - cpu_ms\n    - cpu\n",
                  "5: limits.observe[1]: \"cpu\" is unknown: " OBSERVABLE);
    expect_errors(LISTEN "limits: { observe: [grace_ms, \"\\e[2J\"] }\n",
                  "2: limits.observe[0]: \"grace_ms\" cannot be observed: " OBSERVABLE "\n"
                  "2: limits.observe[1]: \"\\x1b[2J\" is unknown: " OBSERVABLE);
    expect_errors(LISTEN "cordons:\n  - name: a\n    limits:\n      observe: [rss_mib,\n"
                         "        weight, drift_mib]\n",
                  "6: cordons[0].limits.observe[1]: \"weight\" cannot be observed: " OBSERVABLE "\n"
                  "6: cordons[0].limits.observe[2]: \"drift_mib\" is unknown: " OBSERVABLE);
    expect_errors(LISTEN "limits:\n  observe:\n    - queue\n    - strikes\n    - queue\n"
                         "    - strikes\n    - queue\n",
                  "6: limits.observe[2]: duplicate \"queue\": it is in line 4 already\n"
                  "7: limits.observe[3]: duplicate \"strikes\": it is in line 5 already\n"
                  "8: limits.observe[4]: duplicate \"queue\": it is in line 4 already");
}

static void test_list_of_what_is_observed_has_the_shape_of_a_list(void **state)
{
    char text[64 + 8 * (LIMITS_COUNT + 3)] = LISTEN "limits:\n  observe: [", message[128];

    (void) state;
    expect_errors(LISTEN "limits: { observe: cpu_ms }\n",
                  "2: limits.observe: a single value: expected a list ([a, b])");
    expect_errors(LISTEN "limits: { observe: { cpu_ms: on } }\n",
                  "2: limits.observe: a mapping: expected a list ([a, b])");
    expect_errors(LISTEN "limits: { observe: [[cpu_ms], ~] }\n",
                  "2: limits.observe[0]: a list: expected a single value\n"
                  "2: limits.observe[1]: no value: expected text");
    expect_errors(LISTEN "limits: { default: { observe: [cpu_ms] } }\n",
                  "2: unknown key \"observe\" in limits.default: expected one of {limits}");
    for (unsigned i = 0; i < LIMITS_COUNT + 3; i++)
        strcat(text, "cpu_ms, ");
    strcat(text, "]\n");
    (void) snprintf(message, sizeof message,
                    "3: limits.observe: %zu entries are too many: expected at most %zu",
                    LIMITS_COUNT + 3, LIMITS_COUNT + 2);
    expect_errors(text, message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_number_of_a_cordon_that_is_wrong_is_told_with_what_is_right),
        cmocka_unit_test(test_bounds_and_words_of_a_cordon_are_taken),
        cmocka_unit_test(test_solitary_cordon_has_no_worker_that_tenants_share),
        cmocka_unit_test(test_observed_limits_are_those_of_platform_and_cordon),
        cmocka_unit_test(test_cordon_says_who_calls_into_it),
        cmocka_unit_test(test_every_limit_that_may_be_observed_is_taken),
        cmocka_unit_test(test_what_cannot_be_observed_is_told_with_what_can),
        cmocka_unit_test(test_list_of_what_is_observed_has_the_shape_of_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
