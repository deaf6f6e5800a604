/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of each row of the running filter, generated from the table: calls that fit it pass, and
 * each argument that it checks is altered, one at a time; then only another row of the same call
 * may let the call pass. The calls are made by a sealed probe that counts refusals, in harmless
 * forms (calls.h).
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "tests/jail/numbers.h"

/* A row under test and the probe that it is tried in. */
struct trial {
    const struct policy_syscall *row;
    const struct policy_context *context;
    struct cell *cell;
    int64_t scratch;
    int number;
    unsigned *refused;
    struct numbers_tally *tally;
};

static struct hive hive;

/* ---- values that pass a check, and values that do not */

static void fit_row(const struct trial *trial, int64_t args[static 6])
{
    for (size_t i = 0; i < POLICY_MAX_ARGS; i++)
        if (trial->row->args[i].check != POLICY_NO_CHECK)
            args[trial->row->args[i].index] =
                (int64_t) calls_fitting_value(&trial->row->args[i], trial->context);
}

#define ALTERED_MAX 256

/* Neighbours, every bit flipped, all pairs of neighbouring bits, and the bounds of the types. */
static size_t alter(uint64_t value, uint64_t ret_values[static ALTERED_MAX])
{
    const uint64_t others[] = {
        value + 1,
        value - 1,
        ~value,
        (uint32_t) ~value,
        -value,
        (uint64_t) (int64_t) (int32_t) value,
        value << 32,
        value | UINT64_C(0xdeadbeef) << 32,
        value | UINT64_C(0xffffffff) << 32,
        0,
        1,
        2,
        (uint64_t) -1,
        (uint64_t) -100,
        INT32_MAX,
        (uint64_t) INT32_MIN,
        UINT64_C(1) << 31,
        UINT32_MAX,
        INT64_MAX,
        (uint64_t) INT64_MIN,
        0x5555555555555555,
        0xaaaaaaaaaaaaaaaa,
    };
    size_t n = 0;

    for (unsigned bit = 0; bit < 64; bit++)
        ret_values[n++] = value ^ UINT64_C(1) << bit;
    for (unsigned bit = 0; bit < 63; bit++)
        ret_values[n++] = value ^ UINT64_C(3) << bit;
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        ret_values[n++] = others[i];
    return n;
}

/* ---- trials */

/* Makes the call. False if it has no harmless form. */
static bool try_call(const struct trial *trial, const int64_t args[static 6])
{
    struct call call = { .number = trial->number };
    int error = 0;

    memcpy(call.args, args, sizeof call.args);
    if (calls_expect(trial->context, &call, &error) == EXPECT_ALLOWED &&
        !calls_defuse(&call, trial->scratch))
        return false;
    if (!numbers_compare(trial->cell, trial->context, &call, trial->refused, trial->tally)) {
        char text[256];
        print_error("  at the row: %s(%s): %s\n", trial->row->name,
                    policy_row_describe(trial->row, trial->context, text, sizeof text),
                    trial->row->reason);
    }
    return true;
}

/* Tries calls that the row lets pass, with all kinds of values in the other arguments. */
static bool try_fitting(const struct trial *trial)
{
    bool is_tried = true;

    for (size_t i = 0; i < calls_n_patterns; i++) {
        struct call call = { .number = trial->number };
        int error = 0;
        memcpy(call.args, calls_patterns[i].args, sizeof call.args);
        scratch_resolve(call.args, trial->scratch);
        fit_row(trial, call.args);
        enum expected expected = calls_expect(trial->context, &call, &error);
        assert_int_equal(expected,
                         trial->row->action == POLICY_ALLOW ? EXPECT_ALLOWED : EXPECT_ERROR);
        is_tried = try_call(trial, call.args) && is_tried;
    }
    return is_tried;
}

/* Tries calls with one argument of the row altered, while the others fit. Returns how many were
 * outside the row. */
static unsigned try_altered(const struct trial *trial, const struct policy_arg *arg)
{
    uint64_t values[ALTERED_MAX];
    unsigned outside = 0;
    size_t n = alter(calls_fitting_value(arg, trial->context), values);

    for (size_t i = 0; i < n; i++) {
        int64_t args[6] = { 0 };
        fit_row(trial, args);
        args[arg->index] = (int64_t) values[i];
        outside += !calls_check_holds(arg, trial->context, values[i]);
        (void) try_call(trial, args);
    }
    return outside;
}

/* Checks that no argument has two checks, which fit_row could not serve. */
static void assert_arguments_are_checked_once(const struct policy_syscall *row)
{
    for (size_t i = 0; i < POLICY_MAX_ARGS; i++)
        for (size_t j = 0; j < i; j++)
            if (row->args[i].check != POLICY_NO_CHECK && row->args[i].index == row->args[j].index)
                fail_msg("%s checks argument %u twice", row->name, row->args[i].index);
}

static void try_row(struct trial *trial, unsigned *untried)
{
    trial->number = seccomp_syscall_resolve_name(trial->row->name);
    assert_true(trial->number >= 0);
    assert_arguments_are_checked_once(trial->row);
    if (!try_fitting(trial))
        (*untried)++;
    for (size_t i = 0; i < POLICY_MAX_ARGS; i++) {
        const struct policy_arg *arg = &trial->row->args[i];
        if (arg->check == POLICY_NO_CHECK)
            continue;
        unsigned outside = try_altered(trial, arg);
        /* An int has 32 bits that matter; some of the altered values must be outside. */
        if (outside < (arg->check == POLICY_LONG_DIFFERS ? 1U : 4U))
            fail_msg("%s: only %u altered values of argument %u are outside", trial->row->name,
                     outside, arg->index);
    }
}

static void try_table(bool jit)
{
    const struct probe_plan counting = { .lock = PROBE_SEALED, .counts = true };
    const struct policy_context context = {
        .jit = jit,
        .channel_fd = POLICY_CHANNEL_FD,
        .self = 1,
    };
    struct numbers_tally tally = { 0 };
    unsigned refused = 0, rows = 0, untried = 0;
    struct trial trial = {
        .context = &context,
        .cell = cell_start(&hive, &counting, jit),
        .refused = &refused,
        .tally = &tally,
    };

    trial.scratch = numbers_scratch(trial.cell);
    for (size_t i = 0; i < policy_worker_running.n_rows; i++) {
        trial.row = &policy_worker_running.rows[i];
        if (!policy_row_applies(trial.row, &context))
            continue;
        try_row(&trial, &untried);
        rows++;
    }
    print_message("jit %s: %u rows, %u calls, %u refused\n", jit ? "on" : "off", rows, tally.calls,
                  tally.refused);
    assert_int_equal(tally.surprises, 0);
    assert_true(tally.calls > 3000);
    assert_true(tally.refused > 1500);
    /* rt_sigreturn, exit, exit_group: probe_tries.c. */
    assert_int_equal(untried, 3);
    assert_int_equal(cell_end(&hive, trial.cell), 0);
}

static void test_each_row_lets_pass_what_fits_and_nothing_beside_it(void **state)
{
    (void) state;
    try_table(true);
    try_table(false);
}

/* ---- the oracle itself */

static void test_both_readings_of_the_table_agree(void **state)
{
    unsigned n = 0;

    (void) state;
    for (size_t i = 0; i < policy_worker_running.n_rows; i++)
        for (size_t j = 0; j < POLICY_MAX_ARGS; j++) {
            const struct policy_context context = { .jit = true, .channel_fd = 3, .self = 1 };
            const struct policy_arg *arg = &policy_worker_running.rows[i].args[j];
            const struct policy_syscall alone = { .args = { *arg } };
            uint64_t values[ALTERED_MAX];
            if (arg->check == POLICY_NO_CHECK)
                continue;
            size_t n_values = alter(calls_fitting_value(arg, &context), values);
            for (size_t k = 0; k < n_values; k++) {
                uint64_t args[6] = { 0 };
                args[arg->index] = values[k];
                assert_int_equal(policy_row_fits(&alone, &context, args),
                                 calls_check_holds(arg, &context, values[k]));
                n++;
            }
        }
    assert_true(n > 3000);
}

/* Written by hand, so that not all knowledge of checks comes from the table. */
static void test_checks_mean_what_policy_h_says(void **state)
{
    static const struct {
        struct policy_arg arg;
        uint64_t value;
        bool holds;
    } cases[] = {
        { { 0, POLICY_INT_EQUAL, 0, 7 }, 7, true },
        { { 0, POLICY_INT_EQUAL, 0, 7 }, UINT64_C(1) << 63 | 7, true },
        { { 0, POLICY_INT_EQUAL, 0, 7 }, 6, false },
        { { 0, POLICY_LONG_EQUAL, 0, 7 }, 7, true },
        { { 0, POLICY_LONG_EQUAL, 0, 7 }, UINT64_C(1) << 32 | 7, false },
        { { 0, POLICY_LONG_DIFFERS, 0, 7 }, 7, false },
        { { 0, POLICY_LONG_DIFFERS, 0, 7 }, UINT64_C(1) << 32 | 7, true },
        { { 0, POLICY_INT_MASKED, 0xf0, 0x30 }, 0x3f, true },
        { { 0, POLICY_INT_MASKED, 0xf0, 0x30 }, UINT64_C(1) << 40 | 0x3f, true },
        { { 0, POLICY_INT_MASKED, 0xf0, 0x30 }, 0x2f, false },
        { { 0, POLICY_LONG_MASKED, ~UINT64_C(3), 8 }, 11, true },
        { { 0, POLICY_LONG_MASKED, ~UINT64_C(3), 8 }, UINT64_C(1) << 40 | 8, false },
        { { 0, POLICY_IS_CHANNEL_FD, 0, 0 }, UINT64_C(1) << 40 | 3, true },
        { { 0, POLICY_IS_CHANNEL_FD, 0, 0 }, 4, false },
        { { 0, POLICY_IS_SELF, 0, 0 }, 1, true },
        { { 0, POLICY_IS_SELF, 0, 0 }, (uint64_t) -1, false },
    };
    const struct policy_context context = { .channel_fd = 3, .self = 1 };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct policy_syscall row = { .args = { cases[i].arg } };
        const uint64_t args[6] = { cases[i].value };
        assert_int_equal(policy_row_fits(&row, &context, args), cases[i].holds);
        assert_int_equal(calls_check_holds(&cases[i].arg, &context, cases[i].value),
                         cases[i].holds);
    }
}

static int start_hive(void **state)
{
    (void) state;
    hive_init(&hive, NULL);
    return 0;
}

static int stop_hive(void **state)
{
    (void) state;
    hive_done(&hive);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checks_mean_what_policy_h_says),
        cmocka_unit_test(test_both_readings_of_the_table_agree),
        cmocka_unit_test(test_each_row_lets_pass_what_fits_and_nothing_beside_it),
    };

    if (strcmp(argv[0], "skep-worker") == 0)
        return probe_main(argc, argv);
    return cmocka_run_group_tests(tests, start_hive, stop_hive);
}
