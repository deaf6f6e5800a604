/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The oracle of the jail tests, and the harmless forms of allowed calls: see calls.h.
 */
#include "tests/jail/calls.h"

#include <assert.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "common/cleanup.h"
#include "tests/jail/scratch.h"

#define INT_BITS UINT64_C(0xffffffff)

/* clang-format off */
#define ALL(v) { (v), (v), (v), (v), (v), (v) }
const struct calls_pattern calls_patterns[] = {
    { "all 0", ALL(0) },
    { "all -1", ALL(-1) },
    { "all 1", ALL(1) },
    { "pointers to memory", ALL(SCRATCH(bytes)) },
    { "pointers to nothing", ALL(CALLS_NOWHERE) },
    { "the channel, memory, 8", { 3, SCRATCH(bytes), 8, 0, SCRATCH(bytes), 8 } },
    { "standard input, memory, a page", { 0, SCRATCH(bytes), 4096, 2, SCRATCH(bytes), 4096 } },
    { "standard output, nothing, 1", { 1, CALLS_NOWHERE, 1, 1, CALLS_NOWHERE, 1 } },
    { "path, flags, mode", { SCRATCH(root), 0, 0700, SCRATCH(root), 0, 0 } },
    { "folder, path, flags", { -100, SCRATCH(root), 0, 0700, SCRATCH(root), 0x1000 } },
    { "smallest and largest", { INT64_MIN, INT64_MAX, INT32_MIN, INT32_MAX, INT64_MIN, INT64_MAX } },
    { "the channel below garbage", ALL(INT64_C(0x7eadbeef) << 32 | 3) },
};
/* clang-format on */
const size_t calls_n_patterns = ARRAY_LEN(calls_patterns);

bool calls_check_holds(const struct policy_arg *arg, const struct policy_context *context,
                       uint64_t value)
{
    switch (arg->check) {
    case POLICY_NO_CHECK:
        return true;
    case POLICY_INT_EQUAL:
        return (int32_t) value == (int32_t) arg->value;
    case POLICY_LONG_EQUAL:
        return value == arg->value;
    case POLICY_LONG_DIFFERS:
        return value != arg->value;
    case POLICY_INT_MASKED:
        return ((uint32_t) value & (uint32_t) arg->mask) == (uint32_t) arg->value;
    case POLICY_LONG_MASKED:
        return (value & arg->mask) == arg->value;
    case POLICY_IS_CHANNEL_FD:
        return (int32_t) value == context->channel_fd;
    case POLICY_IS_SELF:
        return (int32_t) value == context->self;
    }
    return false;
}

uint64_t calls_fitting_value(const struct policy_arg *arg, const struct policy_context *context)
{
    switch (arg->check) {
    case POLICY_IS_CHANNEL_FD:
        return (uint64_t) context->channel_fd;
    case POLICY_IS_SELF:
        return (uint64_t) context->self;
    case POLICY_LONG_DIFFERS:
        return arg->value + 1;
    default:
        return arg->value;
    }
}

/* Looks each name up only once: the fuzzer calls this a million times. */
static int number_of_row(size_t i)
{
    static int numbers[128];
    static bool is_known;

    assert(policy_worker_running.n_rows <= ARRAY_LEN(numbers));
    for (size_t j = 0; j < policy_worker_running.n_rows && !is_known; j++)
        numbers[j] = seccomp_syscall_resolve_name(policy_worker_running.rows[j].name);
    is_known = true;
    return numbers[i];
}

static bool holds(const struct policy_syscall *row, const struct policy_context *context,
                  const int64_t args[static 6])
{
    for (size_t i = 0; i < POLICY_MAX_ARGS; i++)
        if (!calls_check_holds(&row->args[i], context, (uint64_t) args[row->args[i].index]))
            return false;
    return true;
}

enum expected calls_expect(const struct policy_context *context, const struct call *call,
                           int *ret_error)
{
    enum expected expected = EXPECT_REFUSED;
    uint64_t args[6];

    for (size_t i = 0; i < 6; i++)
        args[i] = (uint64_t) call->args[i];
    for (size_t i = 0; i < policy_worker_running.n_rows; i++) {
        const struct policy_syscall *row = &policy_worker_running.rows[i];
        /* The kernel looks at the lower half of the number only. */
        if (!policy_row_applies(row, context) || number_of_row(i) != (int) call->number)
            continue;
        if (policy_row_fits(row, context, args) != holds(row, context, call->args))
            return EXPECT_NOTHING;
        if (!holds(row, context, call->args))
            continue;
        expected = row->action == POLICY_ALLOW ? EXPECT_ALLOWED : EXPECT_ERROR;
        *ret_error = row->error;
    }
    return expected;
}

bool calls_is_past_filters(int64_t number)
{
    return seccomp_arch_native() == SCMP_ARCH_X86_64 &&
           ((int) number == 335 || (int) number == 336);
}

/* ---- harmless forms */

/* Points an argument through which the kernel would write into the scratch bytes, or nowhere. */
static void aim(int64_t *arg, int64_t scratch, int64_t size)
{
    const int64_t end = scratch + (int64_t) sizeof((struct scratch *) 0)->bytes;

    if (*arg < scratch || *arg > end - size)
        *arg = CALLS_NOWHERE;
}

static void defuse_channel(int64_t args[static 6])
{
    if ((uint32_t) args[0] == POLICY_CHANNEL_FD)
        args[2] = 0; /* no byte of the test's own messages */
}

/* Changes the address to one where the probe has nothing, or the length to none. */
static bool defuse_memory(struct call *call)
{
    switch ((int) call->number) {
    case SYS_brk:
        call->args[0] &= 0xfff; /* below the heap: the call does nothing */
        return true;
    case SYS_mmap: /* EINVAL */
    case SYS_munmap:
    case SYS_mprotect:
    case SYS_madvise:
        call->args[1] = 0;
        return true;
    }
    return false;
}

static bool defuse_time(struct call *call, int64_t scratch)
{
    int64_t *a = call->args;

    switch ((int) call->number) {
#if defined(__x86_64__)
    case SYS_epoll_wait:
#endif
    case SYS_epoll_pwait:
        a[1] = CALLS_NOWHERE;
        a[3] = 0;
        return true;
    case SYS_clock_gettime:
        aim(&a[1], scratch, 16);
        return true;
    case SYS_gettimeofday:
        aim(&a[0], scratch, 16);
        aim(&a[1], scratch, 8);
        return true;
    case SYS_clock_nanosleep:
        a[2] = CALLS_NOWHERE;
        return true;
    case SYS_futex:
        a[0] |= 1; /* EINVAL before anything waits */
        return true;
    }
    return false;
}

bool calls_defuse(struct call *call, int64_t scratch)
{
    int64_t *a = call->args;

    if (defuse_memory(call) || defuse_time(call, scratch))
        return true;
    switch ((int) call->number) {
    case SYS_read:
    case SYS_readv:
    case SYS_write:
    case SYS_writev:
        defuse_channel(a);
        break;
    case SYS_ioctl:
        aim(&a[2], scratch, 4);
        break;
    case SYS_close:
        a[0] |= 1024; /* RLIMIT_NOFILE leaves nothing there */
        break;
    case SYS_rt_sigprocmask: /* with SIGSYS blocked the next refusal kills */
        a[1] = CALLS_NOWHERE;
        aim(&a[2], scratch, 8);
        break;
    case SYS_rt_sigaction:
        a[1] = CALLS_NOWHERE;
        aim(&a[2], scratch, 32);
        break;
    case SYS_getrandom:
        if ((uint64_t) a[1] > 4096)
            a[1] = 0;
        aim(&a[0], scratch, 4096);
        break;
    case SYS_rt_sigreturn: /* all three are tried in probe_tries.c */
    case SYS_exit:
    case SYS_exit_group:
        return false;
    }
    return true;
}
