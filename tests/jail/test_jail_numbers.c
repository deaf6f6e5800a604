/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every number of a system call by every way into the kernel, with arguments of many kinds, from within
 * sealed processes: calls that the policy does not name are refused. scripts/jail-fuzz has the long
 * form.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "tests/jail/numbers.h"

static struct hive hive;

static void print_tally(const char *what, const struct numbers_tally *tally)
{
    print_message("%s: %u calls, %u refused, %u processes\n", what, tally->calls, tally->refused,
                  tally->probes);
}

static void test_native_numbers_follow_the_policy(void **state)
{
    (void) state;
    for (int jit = 0; jit <= 1; jit++) {
        struct numbers_tally tally = { 0 };
        numbers_try_native(&hive, jit, &tally);
        print_tally(jit ? "native, jit on" : "native, jit off", &tally);
        assert_int_equal(tally.surprises, 0);
        /* Nearly all: few numbers are in the policy, and fewer are too dangerous to try. */
        assert_true(tally.calls > (CALLS_NUMBERS - 5) * calls_n_patterns);
        assert_true(tally.refused > (CALLS_NUMBERS - 70) * calls_n_patterns);
        assert_true(tally.refused < tally.calls);
    }
}

#if defined(__x86_64__)
static void assert_all_kill(enum probe_abi abi, const char *what)
{
    struct numbers_tally tally = { 0 };

    numbers_try_foreign(&hive, abi, false, &tally);
    print_tally(what, &tally);
    assert_int_equal(tally.surprises, 0);
    assert_int_equal(tally.calls, CALLS_NUMBERS);
    assert_int_equal(tally.refused, CALLS_NUMBERS);
}

static void test_x32_numbers_kill(void **state)
{
    (void) state;
    assert_all_kill(PROBE_ABI_X32, "x32");
}

static void test_int80_numbers_kill(void **state)
{
    (void) state;
    if (!numbers_has_int80(&hive))
        print_message("this kernel has no int 0x80: it is a fault with any filter and without\n");
    assert_all_kill(PROBE_ABI_INT80, "int 0x80");
}

/* Shows that the children of the two tests above do not die of something else. */
static void test_child_of_a_probe_may_make_allowed_calls(void **state)
{
    const struct probe_plan entered = { .lock = PROBE_ENTERED };
    struct cell *cell = cell_start(&hive, &entered, true);
    const struct probe_ask ask = { .kind = PROBE_CHILD_CALL, .number = 39 /* getpid */ };
    struct probe_reply reply = { 0 };

    (void) state;
    assert_true(cell_ask(cell, &ask, &reply));
    assert_true(WIFEXITED((int) reply.result));
    assert_int_equal(WEXITSTATUS((int) reply.result), PROBE_CHILD_RETURNED);
    assert_int_equal(cell_end(&hive, cell), 0);
}
#endif

/* Numbers that no kernel has: they are negative, or have bits beyond those of x32. */
static void test_numbers_at_the_edges_kill(void **state)
{
    static const int64_t numbers[] = {
        -2,         INT32_MIN,      INT32_MAX,  INT32_MIN + 39, 0x3fffffff,
        0x40000000, 0x40000000 - 1, 0x7ffffffe, INT64_MAX,      INT64_MIN | 0x80000000,
    };
    const struct probe_plan entered = { .lock = PROBE_ENTERED };
    struct cell *cell = cell_start(&hive, &entered, true);

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        const struct probe_ask ask = { .kind = PROBE_CHILD_CALL, .number = numbers[i] };
        struct probe_reply reply = { 0 };
        assert_true(cell_ask(cell, &ask, &reply));
        int status = (int) reply.result;
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
            fail_msg("0x%lx: wait status 0x%x", (unsigned long) numbers[i], (unsigned) status);
    }
    assert_int_equal(cell_end(&hive, cell), 0);
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
        cmocka_unit_test(test_native_numbers_follow_the_policy),
        cmocka_unit_test(test_numbers_at_the_edges_kill),
#if defined(__x86_64__)
        cmocka_unit_test(test_child_of_a_probe_may_make_allowed_calls),
        cmocka_unit_test(test_x32_numbers_kill),
        cmocka_unit_test(test_int80_numbers_kill),
#endif
    };

    if (strcmp(argv[0], "skep-worker") == 0)
        return probe_main(argc, argv);
    return cmocka_run_group_tests(tests, start_hive, stop_hive);
}
