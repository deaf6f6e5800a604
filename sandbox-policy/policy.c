/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes libseccomp filters and resource limits of the policy's rows. Runs in workers, the
 * supervisor and helpers while they confine themselves, and in tests. No state.
 */
#include "sandbox-policy/policy.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"

#define INT_MASK UINT64_C(0xffffffff)

static void filter_cleanup(scmp_filter_ctx *filter)
{
    if (*filter)
        seccomp_release(*filter);
}

static enum policy_arch arch_of(const struct policy_context *context)
{
    if (context->arch != POLICY_ALL_ARCHES)
        return context->arch;
#if defined(__x86_64__)
    return POLICY_X86_64;
#elif defined(__aarch64__)
    return POLICY_AARCH64;
#else
#error "the policy was written for x86-64 and aarch64 only"
#endif
}

uint32_t policy_arch_token(enum policy_arch arch)
{
    switch (arch) {
    case POLICY_X86_64:
        return SCMP_ARCH_X86_64;
    case POLICY_AARCH64:
        return SCMP_ARCH_AARCH64;
    case POLICY_ALL_ARCHES:
        break;
    }
    return seccomp_arch_native();
}

bool policy_row_applies(const struct policy_syscall *row, const struct policy_context *context)
{
    return (row->arch == POLICY_ALL_ARCHES || row->arch == arch_of(context)) &&
           (row->when == POLICY_ALWAYS || (row->when == POLICY_WITH_JIT) == context->jit);
}

/* Compares an int argument. The kernel cuts it to 32 bits, and the caller may leave anything above:
 * the comparison looks only at the bits that the kernel uses. */
static struct scmp_arg_cmp compare_int(const struct policy_arg *arg, uint64_t mask, int64_t value)
{
    return (struct scmp_arg_cmp){
        .arg = arg->index,
        .op = SCMP_CMP_MASKED_EQ,
        .datum_a = mask & INT_MASK,
        .datum_b = (uint64_t) value & INT_MASK,
    };
}

/* Returns a check as policy_row_fits, policy_row_describe and libseccomp need it. */
struct scmp_arg_cmp policy_arg_compare(const struct policy_arg *arg,
                                       const struct policy_context *context)
{
    struct scmp_arg_cmp long_compare = {
        .arg = arg->index,
        .op = SCMP_CMP_EQ,
        .datum_a = arg->value,
    };

    switch (arg->check) {
    case POLICY_INT_EQUAL:
        return compare_int(arg, INT_MASK, (int64_t) arg->value);
    case POLICY_INT_MASKED:
        return compare_int(arg, arg->mask, (int64_t) arg->value);
    case POLICY_IS_CHANNEL_FD:
        return compare_int(arg, INT_MASK, context->channel_fd);
    case POLICY_IS_SELF:
        return compare_int(arg, INT_MASK, context->self);
    case POLICY_LONG_EQUAL:
        return long_compare;
    case POLICY_LONG_DIFFERS:
        long_compare.op = SCMP_CMP_NE;
        return long_compare;
    case POLICY_LONG_MASKED:
        long_compare.op = SCMP_CMP_MASKED_EQ;
        long_compare.datum_a = arg->mask;
        long_compare.datum_b = arg->value;
        return long_compare;
    case POLICY_NO_CHECK:
        break;
    }
    assert(false);
    return long_compare;
}

static unsigned count_checks(const struct policy_syscall *row)
{
    unsigned n = 0;

    while (n < POLICY_MAX_ARGS && row->args[n].check != POLICY_NO_CHECK)
        n++;
    return n;
}

bool policy_row_fits(const struct policy_syscall *row, const struct policy_context *context,
                     const uint64_t args[static 6])
{
    for (unsigned i = 0; i < count_checks(row); i++) {
        const struct scmp_arg_cmp check = policy_arg_compare(&row->args[i], context);
        uint64_t value = args[check.arg];
        bool fits = check.op == SCMP_CMP_EQ          ? value == check.datum_a
                    : check.op == SCMP_CMP_MASKED_EQ ? (value & check.datum_a) == check.datum_b
                                                     : value != check.datum_a;
        if (!fits)
            return false;
    }
    return true;
}

static int describe_check(const struct scmp_arg_cmp *check, char *text, size_t size)
{
    uint64_t mask = check->datum_a;

    if (check->op == SCMP_CMP_EQ)
        return snprintf(text, size, "arg%u = 0x%" PRIx64, check->arg, check->datum_a);
    if (check->op == SCMP_CMP_NE)
        return snprintf(text, size, "arg%u != 0x%" PRIx64, check->arg, check->datum_a);
    if (mask == INT_MASK)
        return snprintf(text, size, "arg%u = %d", check->arg, (int) (uint32_t) check->datum_b);
    return snprintf(text, size, "arg%u & 0x%" PRIx64 " = 0x%" PRIx64, check->arg, mask,
                    check->datum_b);
}

const char *policy_row_describe(const struct policy_syscall *row,
                                const struct policy_context *context, char *text, size_t size)
{
    size_t have = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < count_checks(row) && have + 1 < size; i++) {
        const struct scmp_arg_cmp check = policy_arg_compare(&row->args[i], context);
        if (i > 0)
            have += (size_t) snprintf(text + have, size - have, ", ");
        if (have + 1 < size)
            have += (size_t) describe_check(&check, text + have, size - have);
    }
    return text;
}

/* ---- rows to a filter */

static uint32_t action_of(const struct policy_syscall *row)
{
    switch (row->action) {
    case POLICY_ALLOW:
        return SCMP_ACT_ALLOW;
    case POLICY_ERRNO:
        return SCMP_ACT_ERRNO((uint16_t) row->error);
    case POLICY_KILL:
        break;
    }
    return SCMP_ACT_KILL_PROCESS;
}

static int add_row(scmp_filter_ctx filter, const struct policy_syscall *row,
                   const struct policy_context *context)
{
    struct scmp_arg_cmp args[POLICY_MAX_ARGS] = { 0 };
    unsigned n = count_checks(row);
    /* libseccomp takes the native number, be it a pseudo number, and translates it. Negative on the
     * filter's own architecture: the call does not exist there. A row of such a call has the
     * architectures that it exists on in `arch`. */
    int number = seccomp_syscall_resolve_name(row->name);
    uint32_t token = policy_arch_token(context->arch);

    if (number == __NR_SCMP_ERROR || seccomp_syscall_resolve_name_arch(token, row->name) < 0)
        return -ENOSYS;
    for (unsigned i = 0; i < n; i++)
        args[i] = policy_arg_compare(&row->args[i], context);
    return seccomp_rule_add_exact_array(filter, action_of(row), number, n, args);
}

static int add_rows(scmp_filter_ctx filter, const struct policy_table *table,
                    const struct policy_context *context, const char **ret_failed)
{
    for (size_t i = 0; i < table->n_rows; i++) {
        const struct policy_syscall *row = &table->rows[i];
        if (!policy_row_applies(row, context))
            continue;
        int r = add_row(filter, row, context);
        if (r < 0) {
            *ret_failed = row->name;
            return r;
        }
    }
    return 0;
}

static bool has_name(const struct policy_syscall *rows, size_t n, const char *name,
                     const struct policy_context *context)
{
    for (size_t i = 0; i < n; i++)
        if (policy_row_applies(&rows[i], context) && strcmp(rows[i].name, name) == 0)
            return true;
    return false;
}

/* Allows the calls of the filter that comes later, whatever that does with them; but not those that
 * the table has rows of its own for. */
static int add_names_of_later(scmp_filter_ctx filter, const struct policy_table *table,
                              const struct policy_context *context, const char **ret_failed)
{
    const struct policy_table *later = table->later;

    for (size_t i = 0; i < later->n_rows; i++) {
        const struct policy_syscall name = { .name = later->rows[i].name };
        if (!policy_row_applies(&later->rows[i], context) ||
            has_name(table->rows, table->n_rows, name.name, context) ||
            has_name(later->rows, i, name.name, context))
            continue;
        int r = add_row(filter, &name, context);
        if (r < 0) {
            *ret_failed = name.name;
            return r;
        }
    }
    return 0;
}

static int set_attributes(scmp_filter_ctx filter)
{
    int r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

    if (r == 0)
        r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (r < 0)
        return r;
    /* Makes a binary tree over the numbers, which is faster; libseccomp before 2.5 does not have
     * it. */
    (void) seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    return 0;
}

int policy_build_filter(const struct policy_table *table, const struct policy_context *context,
                        scmp_filter_ctx *ret_filter, const char **ret_failed)
{
    _cleanup_(filter_cleanup) scmp_filter_ctx filter = seccomp_init(table->default_action);
    uint32_t token = policy_arch_token(context->arch);
    int r = 0;

    *ret_failed = "seccomp attributes";
    if (!filter)
        return -ENOMEM;
    if (token != seccomp_arch_native()) {
        r = seccomp_arch_add(filter, token);
        if (r == 0)
            r = seccomp_arch_remove(filter, SCMP_ARCH_NATIVE);
    }
    if (r == 0)
        r = set_attributes(filter);
    if (r == 0)
        r = add_rows(filter, table, context, ret_failed);
    if (r == 0 && table->later)
        r = add_names_of_later(filter, table, context, ret_failed);
    if (r < 0)
        return r;
    *ret_filter = TAKE_PTR(filter);
    return 0;
}

int policy_apply_limits(bool at_seal, const char **ret_failed)
{
    *ret_failed = NULL;
    for (size_t i = 0; i < policy_worker_n_limits; i++) {
        const struct policy_limit *row = &policy_worker_limits[i];
        struct rlimit limit = { .rlim_cur = row->value, .rlim_max = row->value };
        if (row->at_seal == at_seal && setrlimit(row->resource, &limit) < 0) {
            *ret_failed = row->name;
            return -errno;
        }
    }
    return 0;
}
