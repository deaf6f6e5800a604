/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns the policy's rows into a libseccomp filter and into resource limits. Runs in the
 * worker and the supervisor while they lock themselves in, and in tests. No state.
 */
#include "sandbox-policy/policy.h"

#include <assert.h>
#include <errno.h>

#include "common/cleanup.h"

#define INT_MASK UINT64_C(0xffffffff)

static void filter_cleanup(scmp_filter_ctx *filter)
{
    if (*filter)
        seccomp_release(*filter);
}

static bool is_native(enum policy_arch arch)
{
#if defined(__x86_64__)
    return arch == POLICY_ALL_ARCHES || arch == POLICY_X86_64;
#elif defined(__aarch64__)
    return arch == POLICY_ALL_ARCHES || arch == POLICY_AARCH64;
#else
#error "the policy was written for x86-64 and aarch64 only"
#endif
}

static bool applies(const struct policy_syscall *row, const struct policy_context *context)
{
    return is_native(row->arch) &&
           (row->when == POLICY_ALWAYS || (row->when == POLICY_WITH_JIT) == context->jit);
}

/* The kernel cuts an int argument to 32 bits, and the caller may leave anything above: such a
 * comparison looks at what the kernel will use, no more. */
static struct scmp_arg_cmp compare_int(const struct policy_arg *arg, uint64_t mask, int64_t value)
{
    return (struct scmp_arg_cmp){
        .arg = arg->index,
        .op = SCMP_CMP_MASKED_EQ,
        .datum_a = mask & INT_MASK,
        .datum_b = (uint64_t) value & INT_MASK,
    };
}

static struct scmp_arg_cmp compare(const struct policy_arg *arg,
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
    unsigned n = 0;
    int number = seccomp_syscall_resolve_name(row->name);

    /* Negative: unknown to this libseccomp, or a pseudo number of a call that this architecture
     * does not have. A row for which that is fine says so in its arch. */
    if (number < 0)
        return -ENOSYS;
    while (n < POLICY_MAX_ARGS && row->args[n].check != POLICY_NO_CHECK) {
        args[n] = compare(&row->args[n], context);
        n++;
    }
    return seccomp_rule_add_exact_array(filter, action_of(row), number, n, args);
}

static int set_attributes(scmp_filter_ctx filter)
{
    int r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

    if (r == 0)
        r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (r < 0)
        return r;
    /* A binary tree over the numbers. Faster only; libseccomp before 2.5 does not have it. */
    (void) seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    return 0;
}

int policy_build_filter(const struct policy_table *table, const struct policy_context *context,
                        scmp_filter_ctx *ret_filter, const char **ret_failed)
{
    _cleanup_(filter_cleanup) scmp_filter_ctx filter = seccomp_init(table->default_action);

    *ret_failed = "seccomp attributes";
    if (!filter)
        return -ENOMEM;
    int r = set_attributes(filter);
    for (size_t i = 0; i < table->n_rows && r == 0; i++) {
        const struct policy_syscall *row = &table->rows[i];
        if (!applies(row, context))
            continue;
        r = add_row(filter, row, context);
        if (r < 0)
            *ret_failed = row->name;
    }
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
