/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start-up filter, from within a probe that has only it: calls that none of its rows takes are
 * refused, for every number and for each checked argument. Allowed calls, such as mounts, are not
 * tried here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "tests/jail/numbers.h"

static struct hive hive;

/* The state of a test of one setting of jit. */
struct trial {
    struct policy_context context;
    struct cell *cell;
    int64_t scratch;
    unsigned refused, allowed; /* calls so far; allowed ones are not made */
};

/* Returns whether a row of the table takes the call. ret_has_row: whether any row that applies has
 * this number. */
static bool table_takes(const struct policy_table *table, const struct policy_context *context,
                        const struct call *call, bool *ret_has_row)
{
    bool takes = false;

    *ret_has_row = false;
    for (size_t i = 0; i < table->n_rows; i++) {
        const struct policy_syscall *row = &table->rows[i];
        bool fits = true;
        if (!policy_row_applies(row, context) ||
            seccomp_syscall_resolve_name(row->name) != (int) call->number)
            continue;
        *ret_has_row = true;
        for (size_t j = 0; j < POLICY_MAX_ARGS; j++)
            fits = fits && calls_check_holds(&row->args[j], context,
                                             (uint64_t) call->args[row->args[j].index]);
        takes = takes || fits;
    }
    return takes;
}

/* Returns whether the start-up filter takes the call: by its own rows, or with any arguments if only the later table
 * names the call. */
static bool is_taken(const struct policy_context *context, const struct call *call)
{
    bool has_row, is_later;
    bool takes = table_takes(&policy_worker_startup, context, call, &has_row);

    (void) table_takes(policy_worker_startup.later, context, call, &is_later);
    return has_row ? takes : is_later;
}

static void try_call(struct trial *trial, const struct call *call)
{
    struct probe_ask ask = { .kind = PROBE_SYSTEM_CALL, .number = call->number };
    struct probe_reply reply = { 0 };

    if (calls_is_past_filters(call->number))
        return;
    if (is_taken(&trial->context, call)) {
        trial->allowed++;
        return;
    }
    memcpy(ask.args, call->args, sizeof ask.args);
    if (!cell_ask(trial->cell, &ask, &reply))
        fail_msg("call %ld killed the probe", (long) call->number);
    if (reply.refused != ++trial->refused)
        fail_msg("call %ld (0x%lx, 0x%lx, 0x%lx, 0x%lx) passed", (long) call->number,
                 (long) call->args[0], (long) call->args[1], (long) call->args[2],
                 (long) call->args[3]);
}

static void start_trial(struct trial *trial, bool jit)
{
    const struct probe_plan plan = { .lock = PROBE_STARTED, .counts = true };

    *trial = (struct trial){
        .context = { .jit = jit, .channel_fd = POLICY_CHANNEL_FD, .self = 1 },
        .cell = cell_start(&hive, &plan, jit),
    };
    trial->scratch = numbers_scratch(trial->cell);
}

static void test_numbers_outside_the_startup_filter_are_refused(void **state)
{
    struct trial trial;

    (void) state;
    for (int jit = 0; jit <= 1; jit++) {
        start_trial(&trial, jit);
        for (int number = -1; number < CALLS_NUMBERS; number++)
            for (size_t i = 0; i < calls_n_patterns; i++) {
                struct call call = { .number = number };
                memcpy(call.args, calls_patterns[i].args, sizeof call.args);
                scratch_resolve(call.args, trial.scratch);
                try_call(&trial, &call);
            }
        print_message("jit %s: %u refused, %u allowed\n", jit ? "on" : "off", trial.refused,
                      trial.allowed);
        assert_true(trial.refused > (CALLS_NUMBERS - 110) * calls_n_patterns);
        assert_int_equal(cell_end(&hive, trial.cell), 0);
    }
}

/* Tries every bit of every argument that a row of this table checks. */
static void try_row(struct trial *trial, const struct policy_syscall *row)
{
    struct call fitting = { .number = seccomp_syscall_resolve_name(row->name) };

    for (size_t i = 0; i < POLICY_MAX_ARGS; i++)
        if (row->args[i].check != POLICY_NO_CHECK)
            fitting.args[row->args[i].index] =
                (int64_t) calls_fitting_value(&row->args[i], &trial->context);
    assert_true(is_taken(&trial->context, &fitting));
    for (size_t i = 0; i < POLICY_MAX_ARGS; i++)
        for (unsigned bit = 0; bit < 64 && row->args[i].check != POLICY_NO_CHECK; bit++) {
            struct call call = fitting;
            call.args[row->args[i].index] ^= (int64_t) (UINT64_C(1) << bit);
            try_call(trial, &call);
            call.args[row->args[i].index] = ~call.args[row->args[i].index];
            try_call(trial, &call);
        }
}

static void test_arguments_outside_the_startup_rows_are_refused(void **state)
{
    struct trial trial;

    (void) state;
    for (int jit = 0; jit <= 1; jit++) {
        start_trial(&trial, jit);
        for (size_t i = 0; i < policy_worker_startup.n_rows; i++)
            if (policy_row_applies(&policy_worker_startup.rows[i], &trial.context))
                try_row(&trial, &policy_worker_startup.rows[i]);
        print_message("jit %s: %u refused\n", jit ? "on" : "off", trial.refused);
        assert_true(trial.refused > 500);
        assert_int_equal(cell_end(&hive, trial.cell), 0);
    }
}

/* Written by hand, not from the rows. */
static void test_startup_filter_lets_no_code_be_mapped(void **state)
{
    static const struct {
        const char *name;
        bool jit;
    } cases[] = { { "mmap", true }, { "mmap", false }, { "mprotect", false } };
    static const int64_t protections[] = { PROT_EXEC, PROT_READ | PROT_EXEC,
                                           PROT_READ | PROT_WRITE | PROT_EXEC };
    struct trial trial;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        start_trial(&trial, cases[i].jit);
        for (size_t j = 0; j < ARRAY_LEN(protections); j++) {
            const struct call call = {
                .number = seccomp_syscall_resolve_name(cases[i].name),
                .args = { 0, 4096, protections[j], MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 },
            };
            try_call(&trial, &call);
        }
        assert_int_equal(trial.refused, ARRAY_LEN(protections));
        assert_int_equal(cell_end(&hive, trial.cell), 0);
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
        cmocka_unit_test(test_numbers_outside_the_startup_filter_are_refused),
        cmocka_unit_test(test_arguments_outside_the_startup_rows_are_refused),
        cmocka_unit_test(test_startup_filter_lets_no_code_be_mapped),
    };

    if (strcmp(argv[0], "skep-worker") == 0)
        return probe_main(argc, argv);
    return cmocka_run_group_tests(tests, start_hive, stop_hive);
}
