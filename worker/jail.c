/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks the worker in, in the order of the design: nothing here can be undone, and each
 * step is one that the next makes impossible. Runs once in the worker, which the spawner
 * made root of its own user namespace; main.c calls it, before hello.
 */
#include "worker/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "sandbox-policy/policy.h"
#include "worker/jail_mounts.h"
#include "worker/jail_trap.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

static int fail(const char *step, const char **ret_step)
{
    *ret_step = step;
    return -errno;
}

static void filter_cleanup(scmp_filter_ctx *filter)
{
    if (*filter)
        seccomp_release(*filter);
}

/* Capabilities, Landlock and speculation controls are those of one thread: a second one would
 * stay outside. */
static int check_single_thread(const char **ret_step)
{
    struct stat st;

    if (stat("/proc/self/task", &st) < 0)
        return fail("/proc/self/task", ret_step);
    if (st.st_nlink != 3) {
        *ret_step = "more than one thread before the jail";
        return -EBUSY;
    }
    return 0;
}

static int drop_capabilities(const char **ret_step)
{
    /* All sets empty, the bounding set too; securebits locked so that no exec and no change of
     * uid gives any back. */
    if (cap_set_mode(CAP_MODE_NOPRIV) < 0)
        return fail("capabilities", ret_step);
    if (cap_get_mode() != CAP_MODE_NOPRIV) {
        *ret_step = "capabilities: some are left";
        return -EPERM;
    }
    return 0;
}

/* Turns one kind of speculation off for this process. A processor that is not affected, and an
 * architecture that has no such switch, are fine. */
static int speculation_off(unsigned long kind, const char *step, const char **ret_step)
{
    int state = prctl(PR_GET_SPECULATION_CTRL, kind, 0, 0, 0);

    if (state < 0 && (errno == ENODEV || errno == EINVAL))
        return 0; /* no such control on this architecture or kernel */
    if (state < 0)
        return fail(step, ret_step);
    if (state == PR_SPEC_NOT_AFFECTED ||
        ((unsigned long) state & (PR_SPEC_FORCE_DISABLE | PR_SPEC_DISABLE)))
        return 0;
    if (prctl(PR_SET_SPECULATION_CTRL, kind, PR_SPEC_FORCE_DISABLE, 0, 0) == 0)
        return 0;
    if (errno == ENXIO || (errno == EPERM && !((unsigned long) state & PR_SPEC_PRCTL))) {
        log_warning("%s: this host was booted without that mitigation", step);
        return 0;
    }
    return fail(step, ret_step);
}

/* What holds for the process whatever the filter says. */
static int harden_process(const struct jail_options *options, const char **ret_step)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return fail("no_new_privs", ret_step);
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return fail("not dumpable", ret_step);
    /* Since Linux 6.3: the kernel itself then refuses pages that become executable. Older
     * kernels leave it to the filter. */
    if (!options->jit && prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) < 0 &&
        errno != EINVAL)
        return fail("memory-deny-write-execute", ret_step);
    /* Since Linux 5.16 seccomp does not ask for these by itself. */
    int r = speculation_off(PR_SPEC_STORE_BYPASS, "speculative store bypass off", ret_step);
    if (r == 0)
        r = speculation_off(PR_SPEC_INDIRECT_BRANCH, "indirect branch speculation off", ret_step);
    return r;
}

int jail_enter(const struct jail_options *options, const char **ret_step)
{
    int r = check_single_thread(ret_step);

    if (r == 0)
        r = jail_empty_root(ret_step);
    if (r == 0)
        r = policy_apply_limits(false, ret_step);
    if (r == 0)
        r = drop_capabilities(ret_step);
    if (r == 0)
        r = harden_process(options, ret_step);
    if (r < 0)
        return r;

    r = jail_landlock(ret_step);
    if (r == -EOPNOTSUPP) {
        /* The root is empty already; Landlock is the second lock on that door. */
        log_warning("%s", *ret_step);
        r = 0;
    }
    return r;
}

/* Points standard error at what standard output is, /dev/null: sealed, the worker must not be
 * able to write into the supervisor's log. */
static int mute(const char **ret_step)
{
    if (dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
        return fail("standard error", ret_step);
    return 0;
}

int jail_seal(const struct jail_options *options, const char **ret_step)
{
    const struct policy_context context = {
        .jit = options->jit,
        .channel_fd = options->channel_fd,
        .self = getpid(),
    };
    _cleanup_(filter_cleanup) scmp_filter_ctx filter = NULL;
    _cleanup_fd_ int old_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

    if (old_stderr < 0)
        return fail("standard error", ret_step);
    int r = policy_build_filter(&policy_worker_table, &context, &filter, ret_step);
    if (r == 0)
        r = policy_apply_limits(true, ret_step);
    if (r == 0)
        r = mute(ret_step);
    if (r < 0)
        return r;
    r = jail_set_trap(options->scoreboard);
    if (r < 0) {
        *ret_step = "handler of SIGSYS";
        return r;
    }
    r = seccomp_load(filter);
    if (r < 0) {
        *ret_step = "seccomp filter";
        (void) dup2(old_stderr, STDERR_FILENO); /* so that the caller can still say it */
    }
    return r;
}
