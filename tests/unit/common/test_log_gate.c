/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounds on how often a line that a peer can repeat is logged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/log_gate.h"

static void test_one_line_passes_in_an_interval_and_the_next_one_says_how_many_did_not(void **state)
{
    struct log_gate gate = { 0 };
    uint64_t left_out = 7;
    unsigned passed = 0;

    (void) state;
    assert_true(log_gate_pass(&gate, 1000, 100, &left_out));
    assert_int_equal(left_out, 0);
    for (uint64_t now = 1000; now < 1100; now++)
        passed += log_gate_pass(&gate, now, 100, &left_out);
    assert_int_equal(passed, 0);
    assert_true(log_gate_pass(&gate, 1100, 100, &left_out));
    assert_int_equal(left_out, 100);
    assert_true(log_gate_pass(&gate, 1200, 100, &left_out));
    assert_int_equal(left_out, 0);
}

static void test_the_end_of_a_line_names_those_left_out(void **state)
{
    char text[LOG_GATE_TEXT_BYTES];

    (void) state;
    assert_string_equal(log_gate_text(0, text), "");
    assert_string_equal(log_gate_text(12, text), "; 12 more lines like this were left out before");
    assert_string_equal(log_gate_text(UINT64_MAX, text),
                        "; 18446744073709551615 more lines like this were left out before");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_line_passes_in_an_interval_and_the_next_one_says_how_many_did_not),
        cmocka_unit_test(test_the_end_of_a_line_names_those_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
