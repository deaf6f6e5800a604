/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The confinement of the worker, in the order of docs/security.md. Runs once in the worker, which
 * the spawner made root of its own user namespace, if there are such; main.c calls it, before
 * hello.
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
#include "sandbox-policy/policy.h"
#include "worker/jail_mounts.h"
#include "worker/jail_trap.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

typedef int (*step_fn)(const struct jail_options *options, const char **ret_step);

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

/* Refuses a second thread: capabilities, Landlock and speculation controls are a thread's own, so
 * that one would stay outside. */
static int check_single_thread(const struct jail_options *options, const char **ret_step)
{
    struct stat st;

    (void) options;
    if (stat("/proc/self/task", &st) < 0)
        return fail("/proc/self/task", ret_step);
    if (st.st_nlink != 3) {
        *ret_step = "more than one thread before the jail";
        return -EBUSY;
    }
    return 0;
}

/* Returns whether the bounding set is empty and securebits are locked, by this process or the
 * spawner. */
static bool is_bounded(void)
{
    cap_value_t last = cap_max_bits();

    for (cap_value_t capability = 0; capability < last; capability++)
        if (cap_get_bound(capability) != 0)
            return false;
    return (cap_get_secbits() & POLICY_SECUREBITS) == POLICY_SECUREBITS;
}

/* Empties the bounding set and the other sets, so that no exec and no change of uid gives any
 * capability back. Without a user namespace the spawner has done so, if it may. */
static int drop_bounding(const struct jail_options *options, const char **ret_step)
{
    (void) options;
    if (!is_bounded() && cap_set_mode(CAP_MODE_NOPRIV) < 0)
        return fail("capability bounding set and securebits", ret_step);
    if (!is_bounded()) {
        *ret_step = "capability bounding set and securebits: not all of it is gone";
        return -EPERM;
    }
    return 0;
}

static int drop_capabilities(const struct jail_options *options, const char **ret_step)
{
    cap_t none = cap_init();
    int r = none && cap_set_proc(none) == 0 && cap_reset_ambient() == 0 ? 0 : -errno;

    (void) options;
    (void) cap_free(none);
    if (r < 0)
        *ret_step = "capabilities";
    return r;
}

static int set_no_new_privs(const struct jail_options *options, const char **ret_step)
{
    (void) options;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? fail("no_new_privs", ret_step) : 0;
}

static int set_not_dumpable(const struct jail_options *options, const char **ret_step)
{
    (void) options;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return fail("not dumpable", ret_step);
    return 0;
}

/* Turns one kind of speculation off for this process. Fine are also a processor that is not
 * affected, and an architecture that has no such switch. */
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
    if (prctl(PR_SET_SPECULATION_CTRL, kind, PR_SPEC_FORCE_DISABLE, 0, 0) < 0)
        return fail(step, ret_step);
    return 0;
}

/* Turns speculation off: since Linux 5.16 seccomp does not do so by itself. */
static int set_speculation(const struct jail_options *options, const char **ret_step)
{
    (void) options;
    int r = speculation_off(PR_SPEC_STORE_BYPASS, "speculative store bypass off", ret_step);
    if (r == 0)
        r = speculation_off(PR_SPEC_INDIRECT_BRANCH, "indirect branch speculation off", ret_step);
    return r;
}

/* Makes the kernel refuse pages that become executable, since Linux 6.3. Older kernels leave that
 * to the filters. */
static int deny_exec_gain(const struct jail_options *options, const char **ret_step)
{
    if (!options->jit && prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) < 0 &&
        errno != EINVAL)
        return fail("memory-deny-write-execute", ret_step);
    return 0;
}

static int empty_root(const struct jail_options *options, const char **ret_step)
{
    (void) options;
    return jail_empty_root(ret_step);
}

static int apply_limits(const struct jail_options *options, const char **ret_step)
{
    (void) options;
    return policy_apply_limits(false, ret_step);
}

static int landlock(const struct jail_options *options, const char **ret_step)
{
    (void) options;
    return jail_landlock(ret_step);
}

/* ---- the order: nothing here can be undone, and each step is one that the next makes impossible */

static const struct {
    enum jail_layer layer;
    step_fn run;
} steps[] = {
    { LAYER_SECCOMP, check_single_thread },    { LAYER_MOUNT, empty_root },
    { LAYER_RLIMITS, apply_limits },           { LAYER_BOUNDING, drop_bounding },
    { LAYER_CAPABILITIES, drop_capabilities }, { LAYER_NO_NEW_PRIVS, set_no_new_privs },
    { LAYER_DUMPABLE, set_not_dumpable },      { LAYER_SPECULATION, set_speculation },
    { LAYER_SECCOMP, deny_exec_gain },         { LAYER_LANDLOCK, landlock },
};

int jail_enter(const struct jail_options *options, struct jail_failure *ret_failure)
{
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        if (!(options->layers & LAYER_BIT(steps[i].layer)))
            continue;
        ret_failure->layer = steps[i].layer;
        int r = steps[i].run(options, &ret_failure->step);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- the filters */

static int load(const struct policy_table *table, const struct jail_options *options,
                const char **ret_step)
{
    const struct policy_context context = {
        .jit = options->jit,
        .channel_fd = options->channel_fd,
        .self = getpid(),
    };
    _cleanup_(filter_cleanup) scmp_filter_ctx filter = NULL;

    int r = policy_build_filter(table, &context, &filter, ret_step);
    if (r < 0)
        return r;
    r = seccomp_load(filter);
    if (r < 0)
        *ret_step = "seccomp filter";
    return r;
}

int jail_start(const struct jail_options *options, struct jail_failure *ret_failure)
{
    *ret_failure = (struct jail_failure){ LAYER_SECCOMP, "handler of SIGSYS" };
    int r = options->is_report ? jail_set_counting_trap() : jail_set_trap(options->scoreboard);
    if (r < 0)
        return r;
    return load(&policy_worker_startup, options, &ret_failure->step);
}

/* Makes standard error the same as standard output, /dev/null: a sealed worker must not be able to
 * write into the supervisor's log. */
static int mute(const char **ret_step)
{
    if (dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
        return fail("standard error", ret_step);
    return 0;
}

int jail_seal(const struct jail_options *options, struct jail_failure *ret_failure)
{
    _cleanup_fd_ int old_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

    ret_failure->layer = LAYER_RLIMITS;
    if (old_stderr < 0)
        return fail("standard error", &ret_failure->step);
    int r = policy_apply_limits(true, &ret_failure->step);
    if (r < 0)
        return r;
    ret_failure->layer = LAYER_SECCOMP;
    r = mute(&ret_failure->step);
    if (r == 0)
        r = load(&policy_worker_running, options, &ret_failure->step);
    if (r < 0)
        (void) dup2(old_stderr, STDERR_FILENO); /* so that the caller can still log the error */
    return r;
}
