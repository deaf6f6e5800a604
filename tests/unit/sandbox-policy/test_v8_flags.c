/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modes of V8's compilers and the flags of each; dates of releases.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/v8_release.h"
#include "sandbox-policy/v8_flags.h"

static void test_each_mode_has_the_flags_that_every_mode_has(void **state)
{
    (void) state;
    for (unsigned mode = 0; mode < JIT_MODES; mode++) {
        char text[512];
        assert_int_equal(v8_flags_write((enum jit_mode) mode, 1024, text, sizeof text), 0);
        assert_non_null(strstr(text, "--single-threaded "));
        assert_non_null(strstr(text, "--rehash-snapshot "));
        assert_non_null(strstr(text, "--enable-sharedarraybuffer-per-context "));
        assert_non_null(strstr(text, "--wasm-max-mem-pages=1024"));
    }
}

static void
test_only_off_is_without_jit_and_only_baseline_without_optimising_compilers(void **state)
{
    static const char *const baseline[] = { "--no-turbofan", "--no-maglev", "--liftoff-only" };

    (void) state;
    for (unsigned mode = 0; mode < JIT_MODES; mode++) {
        char text[512];
        assert_int_equal(v8_flags_write((enum jit_mode) mode, 1, text, sizeof text), 0);
        assert_int_equal(strstr(text, "--jitless") != NULL, mode == JIT_OFF);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(strstr(text, baseline[i]) != NULL, mode == JIT_BASELINE);
    }
}

static void test_flags_that_do_not_fit_are_an_error(void **state)
{
    char text[16];

    (void) state;
    assert_int_equal(v8_flags_write(JIT_ON, 1, text, sizeof text), -ENOBUFS);
}

static void test_each_flag_says_why_what_risk_and_who(void **state)
{
    (void) state;
    for (size_t i = 0; i < n_v8_flags; i++) {
        assert_int_equal(strncmp(v8_flags[i].flag, "--", 2), 0);
        assert_int_not_equal(v8_flags[i].modes, 0);
        assert_true(strlen(v8_flags[i].reason) > 0 && strlen(v8_flags[i].risk) > 0 &&
                    strlen(v8_flags[i].who) > 0);
    }
}

static void test_names_of_modes_are_parsed_and_nothing_else(void **state)
{
    enum jit_mode mode = JIT_ON;

    (void) state;
    for (unsigned i = 0; i < JIT_MODES; i++) {
        assert_int_equal(jit_parse(jit_name((enum jit_mode) i), &mode), 0);
        assert_int_equal(mode, i);
    }
    assert_int_equal(jit_parse("", &mode), -EINVAL);
    assert_int_equal(jit_parse("On", &mode), -EINVAL);
    assert_int_equal(jit_parse("baseline ", &mode), -EINVAL);
}

static void test_a_version_of_v8_has_its_date_or_none(void **state)
{
    (void) state;
    assert_string_equal(v8_release_date("13.6.233.17"), "2025-12-10");
    assert_string_equal(v8_release_date("13.6.233.17-node.37"), "2025-12-10");
    assert_string_equal(v8_release_date("13.6.233.170"), "");
    assert_string_equal(v8_release_date("13.6.233.1"), "");
    assert_string_equal(v8_release_date(""), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_mode_has_the_flags_that_every_mode_has),
        cmocka_unit_test(
            test_only_off_is_without_jit_and_only_baseline_without_optimising_compilers),
        cmocka_unit_test(test_flags_that_do_not_fit_are_an_error),
        cmocka_unit_test(test_each_flag_says_why_what_risk_and_who),
        cmocka_unit_test(test_names_of_modes_are_parsed_and_nothing_else),
        cmocka_unit_test(test_a_version_of_v8_has_its_date_or_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
