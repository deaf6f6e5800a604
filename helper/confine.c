/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of a process's confinement, each of which the next one makes impossible. Runs once, in
 * the supervisor, which may be root or nobody special (confine_skepd.c says with which folders),
 * and in each helper.
 */
#include "helper/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "sandbox-policy/landlock.h"
#include "sandbox-policy/policy.h"

static const char step_no_new_privs[] = "no_new_privs";
static const char step_threads[] = "more than one thread";
static const char step_start[] = "threads";
static const char step_capabilities[] = "capabilities";
static const char step_filter[] = "seccomp filter";

static int fail(const char *step, const char **ret_step)
{
    *ret_step = step;
    return -errno;
}

const char *confine_hint(int error, const char *step)
{
    if (!step)
        return NULL;
    if (strncmp(step, "Landlock", strlen("Landlock")) == 0)
        return error == -EOPNOTSUPP
                   ? "boot a kernel with CONFIG_SECURITY_LANDLOCK=y and landlock in its lsm= list"
                   : "a seccomp filter of a container around skepd may forbid landlock_*";
    if (strcmp(step, step_filter) == 0)
        return "the kernel needs CONFIG_SECCOMP_FILTER=y, and a container around skepd must allow "
               "seccomp";
    if (strcmp(step, step_capabilities) == 0)
        return "a security module or a container around skepd forbids to drop capabilities";
    return NULL;
}

/* ---- threads and privileges of the future */

/* Refuses a second thread: capabilities and Landlock are a thread's own, so that one would stay
 * outside. */
static int check_single_thread(const char **ret_step)
{
    struct stat st;

    if (stat("/proc/self/task", &st) < 0)
        return fail("/proc/self/task", ret_step);
    if (st.st_nlink != 3) {
        *ret_step = step_threads;
        return -EBUSY;
    }
    return 0;
}

static int refuse_new_privileges(const char **ret_step)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? fail(step_no_new_privs, ret_step) : 0;
}

/* ---- Landlock */

static const uint64_t rights[] = {
    [CONFINE_READ] = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
    [CONFINE_SOCKETS] = LANDLOCK_ACCESS_FS_REMOVE_FILE,
    [CONFINE_WRITE] = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
                      LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
                      LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SYM |
                      LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR,
    [CONFINE_KEEP] = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
                     LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_TRUNCATE |
                     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR |
                     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR,
};

#define CGROUP_RIGHTS                                                                             \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_WRITE_FILE | \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR)

/* Opens a folder; for the path of a file the folder that the file is really in, because others may
 * be put in its place. */
static int open_folder(const char *path)
{
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0 || errno != ENOTDIR)
        return fd;
    _cleanup_free_ char *real = realpath(path, NULL);
    char *slash = real ? strrchr(real, '/') : NULL;
    if (!slash)
        return -1;
    slash[slash == real] = '\0';
    return open(real, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int allow_folder(int ruleset, const struct confine_folder *folder, const char **ret_step)
{
    _cleanup_fd_ int fd = open_folder(folder->path);

    if (fd < 0)
        return errno == ENOENT ? 0 : fail(folder->path, ret_step);
    return landlock_allow(ruleset, fd, rights[folder->use], ret_step);
}

static int restrict_files(const struct confine_options *options, const char **ret_step)
{
    _cleanup_fd_ int ruleset = -1;

    /* Workers are not in the domain and must be killed all the same. */
    int r = landlock_new((options->no_signals ? 0 : LANDLOCK_LEAVE_SIGNALS) |
                             (options->may_connect ? LANDLOCK_LEAVE_CONNECT : 0),
                         &ruleset, ret_step);
    for (size_t i = 0; i < options->n_folders && r == 0; i++)
        r = allow_folder(ruleset, &options->folders[i], ret_step);
    if (r == 0 && options->cgroup_fd > 0)
        r = landlock_allow(ruleset, options->cgroup_fd, CGROUP_RIGHTS, ret_step);
    return r < 0 ? r : landlock_restrict(ruleset, ret_step);
}

/* ---- capabilities */

static bool has_capability(cap_t caps, cap_value_t capability, cap_flag_t set)
{
    cap_flag_value_t value = CAP_CLEAR;

    return cap_get_flag(caps, capability, set, &value) == 0 && value == CAP_SET;
}

/* Locks the capabilities, so that not even an exec or a change of uid would give any back. Both
 * calls need CAP_SETPCAP: without it, no_new_privs has the same effect. */
static int lock_capabilities(void)
{
    for (cap_value_t i = 0; i < (cap_value_t) cap_max_bits(); i++)
        if (cap_get_bound(i) > 0 && cap_drop_bound(i) < 0)
            return -errno;
    return cap_set_secbits(POLICY_SECUREBITS) < 0 ? -errno : 0;
}

static int keep_few(cap_t now, uint64_t keep)
{
    cap_t few = cap_init();
    int r = few ? 0 : -ENOMEM;

    for (cap_value_t i = 0; i < (cap_value_t) cap_max_bits() && r == 0; i++)
        if ((keep >> i & 1) != 0 && has_capability(now, i, CAP_PERMITTED) &&
            (cap_set_flag(few, CAP_PERMITTED, 1, &i, CAP_SET) < 0 ||
             cap_set_flag(few, CAP_EFFECTIVE, 1, &i, CAP_SET) < 0))
            r = -errno;
    if (r == 0 && cap_set_proc(few) < 0)
        r = -errno;
    (void) cap_free(few);
    return r;
}

static int drop_capabilities(uint64_t keep, const char **ret_step)
{
    cap_t now = cap_get_proc();
    int r = now ? 0 : -ENOMEM;

    *ret_step = step_capabilities;
    /* Very old kernels have no ambient set, and nothing to reset. */
    if (r == 0 && cap_reset_ambient() < 0 && errno != EINVAL)
        r = -errno;
    if (r == 0 && has_capability(now, CAP_SETPCAP, CAP_EFFECTIVE))
        r = lock_capabilities();
    if (r == 0)
        r = keep_few(now, keep);
    (void) cap_free(now);
    return r;
}

/* ---- the filter */

static void filter_cleanup(scmp_filter_ctx *filter)
{
    if (*filter)
        seccomp_release(*filter);
}

static int load_filter(const struct policy_table *table, const char **ret_step)
{
    const struct policy_context context = { .self = getpid() };
    _cleanup_(filter_cleanup) scmp_filter_ctx filter = NULL;

    int r =
        policy_build_filter(table ? table : &policy_supervisor_table, &context, &filter, ret_step);
    if (r < 0)
        return r;
    *ret_step = step_filter;
    return seccomp_load(filter);
}

int confine_process(const struct confine_options *options, const char **ret_step)
{
    const char *missing = NULL;

    tzset(); /* reads /etc/localtime now: strftime, for the log, would find its folder closed */
    int r = check_single_thread(ret_step);
    if (r == 0)
        r = refuse_new_privileges(ret_step);
    if (r == 0)
        r = restrict_files(options, ret_step);
    if (r == -EOPNOTSUPP && options->landlock_may_be_missing) {
        missing = *ret_step;
        r = 0;
    }
    if (r == 0)
        r = drop_capabilities(options->keep_capabilities, ret_step);
    if (r == 0 && options->start_threads) {
        r = options->start_threads(options->owner);
        if (r < 0)
            *ret_step = step_start;
    }
    if (r == 0)
        r = load_filter(options->table, ret_step);
    if (r < 0 || !missing)
        return r;
    *ret_step = missing;
    return 1;
}
