/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filters of both architectures, with and without JIT, as the program that the kernel would get,
 * compared with the rows call by call. This test reads the rows in its own way, so that an error
 * of policy.c's reading shows.
 */
#include <errno.h>
#include <linux/audit.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "sandbox-policy/policy.h"
#include "tests/unit/sandbox-policy/bpf.h"

#define LAST_NUMBER 512
#define X32_BIT 0x40000000
#define N_ARGS 6
#define N_RANDOM 2000

/* The later table of a pair must stand before the one that it is stacked on. */
static const struct policy_table *const tables[] = {
    &policy_worker_running,
    &policy_worker_startup,
};

struct filter {
    const struct policy_table *table;
    struct policy_context context;
    struct bpf_program program;
    const struct filter *later; /* borrowed: that of table->later, of the same kind */
    char name[64];
};

#define KINDS 4 /* two architectures, with and without JIT */

static struct filter filters[ARRAY_LEN(tables) * KINDS];

#define FOR_EACH_FILTER(filter) \
    for (const struct filter *filter = filters; filter < filters + ARRAY_LEN(filters); filter++)

/* ---- the verdict of the rows */

static bool row_applies(const struct policy_syscall *row, const struct policy_context *context)
{
    bool is_for_arch = row->arch == POLICY_ALL_ARCHES || row->arch == context->arch;
    bool is_for_jit = row->when == POLICY_ALWAYS ||
                      row->when == (context->jit ? POLICY_WITH_JIT : POLICY_WITHOUT_JIT);

    return is_for_arch && is_for_jit;
}

static bool arg_fits(const struct policy_arg *arg, const struct policy_context *context,
                     uint64_t value)
{
    switch (arg->check) {
    case POLICY_NO_CHECK:
        return true;
    case POLICY_INT_EQUAL:
        return (uint32_t) value == (uint32_t) arg->value;
    case POLICY_INT_MASKED:
        return ((uint32_t) value & (uint32_t) arg->mask) == (uint32_t) arg->value;
    case POLICY_LONG_EQUAL:
        return value == arg->value;
    case POLICY_LONG_DIFFERS:
        return value != arg->value;
    case POLICY_LONG_MASKED:
        return (value & arg->mask) == arg->value;
    case POLICY_IS_CHANNEL_FD:
        return (uint32_t) value == (uint32_t) context->channel_fd;
    case POLICY_IS_SELF:
        return (uint32_t) value == (uint32_t) context->self;
    }
    return false;
}

static bool row_fits(const struct policy_syscall *row, const struct policy_context *context,
                     const uint64_t args[static N_ARGS])
{
    bool fits = true;

    for (size_t i = 0; i < POLICY_MAX_ARGS; i++)
        fits = fits && arg_fits(&row->args[i], context, args[row->args[i].index]);
    if (fits != policy_row_fits(row, context, args))
        fail_msg("%s: policy_row_fits says something else", row->name);
    return fits;
}

/* Returns a value that fits the check. */
static uint64_t fitting(const struct policy_arg *arg, const struct policy_context *context)
{
    switch (arg->check) {
    case POLICY_LONG_DIFFERS:
        return ~arg->value;
    case POLICY_IS_CHANNEL_FD:
        return (uint64_t) context->channel_fd;
    case POLICY_IS_SELF:
        return (uint64_t) context->self;
    default:
        return arg->value;
    }
}

static bool has_call(const struct policy_table *table, const struct policy_context *context,
                     const char *name)
{
    for (size_t i = 0; i < table->n_rows; i++)
        if (row_applies(&table->rows[i], context) && strcmp(table->rows[i].name, name) == 0)
            return true;
    return false;
}

static uint32_t row_verdict(const struct policy_syscall *row)
{
    return row->action == POLICY_ALLOW ? SECCOMP_RET_ALLOW
                                       : SECCOMP_RET_ERRNO | (uint32_t) row->error;
}

static uint32_t rows_verdict(const struct filter *filter, const char *name,
                             const uint64_t args[static N_ARGS])
{
    const struct policy_table *table = filter->table;
    uint32_t verdict = SECCOMP_RET_TRAP;

    if (!has_call(table, &filter->context, name))
        return table->later && has_call(table->later, &filter->context, name) ? SECCOMP_RET_ALLOW
                                                                              : SECCOMP_RET_TRAP;
    for (size_t i = 0; i < table->n_rows; i++) {
        const struct policy_syscall *row = &table->rows[i];
        if (!row_applies(row, &filter->context) || strcmp(row->name, name) != 0 ||
            !row_fits(row, &filter->context, args))
            continue;
        if (verdict != SECCOMP_RET_TRAP && verdict != row_verdict(row))
            fail_msg("%s: two rows fit, and do not agree", name);
        verdict = row_verdict(row);
    }
    return verdict;
}

/* ---- the verdict of the filter */

static int number_of(const struct filter *filter, const char *name)
{
    return seccomp_syscall_resolve_name_arch(policy_arch_token(filter->context.arch), name);
}

static uint32_t run(const struct filter *filter, uint32_t arch, int number,
                    const uint64_t args[static N_ARGS])
{
    struct seccomp_data data = { .nr = number, .arch = arch, .instruction_pointer = 0x123456789a };
    uint32_t verdict = 0;

    for (size_t i = 0; i < N_ARGS; i++)
        data.args[i] = args[i];
    if (bpf_run(&filter->program, &data, &verdict) < 0)
        fail_msg("%s: the program is not one", filter->name);
    return verdict;
}

static uint32_t filter_verdict(const struct filter *filter, const char *name,
                               const uint64_t args[static N_ARGS])
{
    return run(filter, policy_arch_token(filter->context.arch), number_of(filter, name), args);
}

/* libseccomp's SCMP_ACT_TRAP carries no data, nor does ours, so values can be compared whole. */
static void assert_verdict(const struct filter *filter, const char *name, uint32_t have,
                           uint32_t want, const uint64_t args[static N_ARGS])
{
    if (have != want)
        fail_msg("%s, %s(%#llx, %#llx, %#llx, %#llx): 0x%x, expected 0x%x", filter->name, name,
                 (unsigned long long) args[0], (unsigned long long) args[1],
                 (unsigned long long) args[2], (unsigned long long) args[3], have, want);
}

/* ---- arguments to try */

typedef void (*visit_fn)(const struct filter *filter, const char *name,
                         const uint64_t args[static N_ARGS]);

static const uint64_t fillers[] = { 0, UINT64_MAX, UINT64_C(0x5a5a5a5a00000003) };

static void fill(const struct policy_syscall *row, const struct filter *filter, uint64_t filler,
                 uint64_t ret_args[static N_ARGS])
{
    for (size_t i = 0; i < N_ARGS; i++)
        ret_args[i] = filler;
    for (size_t i = 0; i < POLICY_MAX_ARGS; i++)
        if (row->args[i].check != POLICY_NO_CHECK)
            ret_args[row->args[i].index] = fitting(&row->args[i], &filter->context);
}

/* Visits arguments that fit the row, and the same with each single bit of each argument turned. */
static void visit_row(const struct policy_syscall *row, const struct filter *filter, visit_fn visit)
{
    uint64_t args[N_ARGS];

    for (size_t f = 0; f < ARRAY_LEN(fillers); f++) {
        fill(row, filter, fillers[f], args);
        visit(filter, row->name, args);
        for (size_t i = 0; i < (size_t) N_ARGS * 64; i++) {
            args[i / 64] ^= UINT64_C(1) << (i % 64);
            visit(filter, row->name, args);
            args[i / 64] ^= UINT64_C(1) << (i % 64);
        }
    }
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Visits random calls: each argument is one that some row of the table wants there, with few bits
 * turned, or anything. */
static void visit_random(const struct policy_table *table, const struct filter *filter,
                         const char *name, visit_fn visit)
{
    uint64_t state = UINT64_C(0x9e3779b97f4a7c15), args[N_ARGS], wanted[N_ARGS];

    for (size_t n = 0; n < N_RANDOM; n++) {
        for (size_t i = 0; i < N_ARGS; i++) {
            const struct policy_syscall *row = &table->rows[next_random(&state) % table->n_rows];
            uint64_t turned = UINT64_C(1) << (next_random(&state) % 64);
            fill(row, filter, next_random(&state), wanted);
            args[i] = next_random(&state) % 4 ? wanted[i] : wanted[i] ^ turned;
        }
        visit(filter, name, args);
    }
}

/* Visits all calls that the table names, and all rows of each call. */
static void visit_table(const struct policy_table *table, const struct filter *filter,
                        visit_fn visit)
{
    for (size_t i = 0; i < table->n_rows; i++) {
        const struct policy_syscall *row = &table->rows[i];
        if (!row_applies(row, &filter->context))
            continue;
        visit_row(row, filter, visit);
        visit_random(table, filter, row->name, visit);
    }
}

/* ---- tests */

static void test_arguments_that_fit_have_their_rows_verdict(void **state)
{
    (void) state;
    FOR_EACH_FILTER (filter)
        for (size_t i = 0; i < filter->table->n_rows; i++) {
            const struct policy_syscall *row = &filter->table->rows[i];
            uint64_t args[N_ARGS];
            if (!row_applies(row, &filter->context))
                continue;
            for (size_t f = 0; f < ARRAY_LEN(fillers); f++) {
                fill(row, filter, fillers[f], args);
                assert_verdict(filter, row->name, filter_verdict(filter, row->name, args),
                               row_verdict(row), args);
            }
        }
}

static size_t n_trapped, n_passed;

static void compare_with_rows(const struct filter *filter, const char *name,
                              const uint64_t args[static N_ARGS])
{
    uint32_t verdict = filter_verdict(filter, name, args);

    assert_verdict(filter, name, verdict, rows_verdict(filter, name, args), args);
    if (verdict == SECCOMP_RET_TRAP)
        n_trapped++;
    else
        n_passed++;
}

static void test_altered_arguments_are_refused_unless_another_row_fits(void **state)
{
    (void) state;
    FOR_EACH_FILTER (filter) {
        n_trapped = n_passed = 0;
        visit_table(filter->table, filter, compare_with_rows);
        if (filter->table->later)
            visit_table(filter->table->later, filter, compare_with_rows);
        print_message("%s: %zu instructions, %zu calls fit, %zu do not\n", filter->name,
                      filter->program.n, n_passed, n_trapped);
        assert_true(n_trapped > 1000);
        assert_true(n_passed > 1000);
    }
}

static bool has_number(const struct filter *filter, int number)
{
    for (const struct policy_table *table = filter->table; table; table = table->later)
        for (size_t i = 0; i < table->n_rows; i++)
            if (row_applies(&table->rows[i], &filter->context) &&
                number_of(filter, table->rows[i].name) == number)
                return true;
    return false;
}

static void test_numbers_without_a_row_are_refused(void **state)
{
    static const uint64_t vectors[][N_ARGS] = {
        { 0 },
        { 3, 3, 3, 3, 3, 3 },
        { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX },
    };

    (void) state;
    FOR_EACH_FILTER (filter) {
        unsigned n = 0;
        for (int number = -1; number <= LAST_NUMBER; number++) {
            char name[16];
            if (has_number(filter, number))
                continue;
            n++;
            (void) snprintf(name, sizeof name, "%d", number);
            for (size_t i = 0; i < ARRAY_LEN(vectors); i++)
                assert_verdict(
                    filter, name,
                    run(filter, policy_arch_token(filter->context.arch), number, vectors[i]),
                    SECCOMP_RET_TRAP, vectors[i]);
        }
        assert_true(n > 300);
    }
}

static void test_foreign_architectures_are_killed(void **state)
{
    static const uint32_t arches[] = {
        AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64, AUDIT_ARCH_I386, AUDIT_ARCH_ARM, 0, UINT32_MAX,
    };
    static const uint64_t args[N_ARGS] = { 0 };

    (void) state;
    FOR_EACH_FILTER (filter)
        for (size_t i = 0; i < ARRAY_LEN(arches); i++)
            for (int number = -1; number <= LAST_NUMBER; number++)
                if (arches[i] != policy_arch_token(filter->context.arch))
                    assert_verdict(filter, "foreign", run(filter, arches[i], number, args),
                                   SECCOMP_RET_KILL_PROCESS, args);
}

static void test_x32_is_killed(void **state)
{
    static const uint64_t args[N_ARGS] = { 3 };

    (void) state;
    FOR_EACH_FILTER (filter)
        for (int number = 0; number <= LAST_NUMBER + 100; number++) {
            bool is_x86 = filter->context.arch == POLICY_X86_64;
            /* aarch64 has no such calls: a number like any other. */
            assert_verdict(
                filter, "x32",
                run(filter, policy_arch_token(filter->context.arch), number | X32_BIT, args),
                is_x86 ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_TRAP, args);
        }
}

static void compare_with_later(const struct filter *filter, const char *name,
                               const uint64_t args[static N_ARGS])
{
    uint32_t later = filter_verdict(filter->later, name, args);
    uint32_t first = filter_verdict(filter, name, args);

    if (later != SECCOMP_RET_TRAP && first != SECCOMP_RET_ALLOW)
        assert_verdict(filter, name, first, later, args);
}

/* The stricter verdict of two filters counts: a call that the first refuses cannot be allowed by
 * the second. */
static void test_first_filter_refuses_nothing_of_the_one_stacked_on_it(void **state)
{
    unsigned n = 0;

    (void) state;
    FOR_EACH_FILTER (filter) {
        if (!filter->later)
            continue;
        n++;
        visit_table(filter->table, filter, compare_with_later);
        visit_table(filter->later->table, filter, compare_with_later);
    }
    assert_true(n > 0);
}

static void test_interpreter_refuses_what_it_does_not_know(void **state)
{
    static struct sock_filter code[][2] = {
        { BPF_STMT(BPF_MISC | BPF_TAX, 0), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
        { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
        { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
        { BPF_STMT(BPF_JMP | BPF_JA, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
        { BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 1), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 1) },
    };
    const struct seccomp_data data = { 0 };
    uint32_t verdict;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(code); i++) {
        const struct bpf_program program = { .code = code[i], .n = 2 };
        assert_int_equal(bpf_run(&program, &data, &verdict), -EINVAL);
    }
}

/* ---- all filters, built once */

static void build(struct filter *filter)
{
    scmp_filter_ctx built = NULL;
    const char *failed = NULL;

    (void) snprintf(filter->name, sizeof filter->name, "%s filter, %s, jit %s", filter->table->name,
                    filter->context.arch == POLICY_X86_64 ? "x86-64" : "aarch64",
                    filter->context.jit ? "on" : "off");
    int r = policy_build_filter(filter->table, &filter->context, &built, &failed);
    if (r < 0)
        fail_msg("%s: %s: %s", filter->name, failed, strerror(-r));
    r = bpf_export(built, &filter->program);
    seccomp_release(built);
    if (r < 0)
        fail_msg("%s: %s", filter->name, strerror(-r));
}

static int build_all(void **state)
{
    (void) state;
    for (size_t t = 0; t < ARRAY_LEN(tables); t++)
        for (size_t kind = 0; kind < KINDS; kind++) {
            struct filter *filter = &filters[t * KINDS + kind];
            filter->table = tables[t];
            filter->context = (struct policy_context){
                .jit = kind % 2,
                .channel_fd = POLICY_CHANNEL_FD,
                .self = 1,
                .arch = kind / 2 ? POLICY_AARCH64 : POLICY_X86_64,
            };
            for (size_t other = 0; other < t; other++)
                if (tables[t]->later == tables[other])
                    filter->later = &filters[other * KINDS + kind];
            build(filter);
        }
    return 0;
}

static int release_all(void **state)
{
    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(filters); i++)
        bpf_done(&filters[i].program);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interpreter_refuses_what_it_does_not_know),
        cmocka_unit_test(test_arguments_that_fit_have_their_rows_verdict),
        cmocka_unit_test(test_altered_arguments_are_refused_unless_another_row_fits),
        cmocka_unit_test(test_numbers_without_a_row_are_refused),
        cmocka_unit_test(test_foreign_architectures_are_killed),
        cmocka_unit_test(test_x32_is_killed),
        cmocka_unit_test(test_first_filter_refuses_nothing_of_the_one_stacked_on_it),
    };

    return cmocka_run_group_tests(tests, build_all, release_all);
}
