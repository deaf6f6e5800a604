/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The birth of one worker: clone into new namespaces, id maps, and on the other side of the
 * clone descriptors, signals and exec. Spawner process, with CAP_SETUID and CAP_SETGID or
 * without any privilege; the child is root of its own user namespace and nothing outside, or, where
 * there are no user namespaces, nobody. A helper is born the same way without namespaces, as who skepd is,
 * and without capabilities.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "sandbox-policy/policy.h"
#include "spawner/wire.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

#define EXEC_TIMEOUT_MS 10000
#define WORKER_OOM_SCORE "500"
#define FIRST_SPARE_FD 16 /* above every number that a worker's own descriptors have */

/* Message of a child that cannot exec; an end of file says that it could. */
struct report {
    int32_t step;
    int32_t error;
};

/* The pipes between both sides of the clone. */
struct pipes {
    int go_read;
    int go_write; /* one byte: the ids are mapped; an end of file: the spawner died */
    int report_read;
    int report_write;
};

static void pipes_done(const struct pipes *pipes)
{
    fd_cleanup(&pipes->go_read);
    fd_cleanup(&pipes->go_write);
    fd_cleanup(&pipes->report_read);
    fd_cleanup(&pipes->report_write);
}

static int pipes_init(struct pipes *pipes)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    pipes->go_read = fds[0];
    pipes->go_write = fds[1];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    pipes->report_read = fds[0];
    pipes->report_write = fds[1];
    return 0;
}

/* ---- the child's side; only async-signal-safe calls, as after any fork by clone */

static _Noreturn void give_up(const struct pipes *pipes, enum spawner_step step)
{
    const struct report report = { .step = (int32_t) step, .error = -errno };
    ssize_t n = write(pipes->report_write, &report, sizeof report);

    (void) n; /* the exit is what matters */
    _exit(127);
}

static void await_go(const struct pipes *pipes)
{
    char byte;
    ssize_t n;

    do
        n = read(pipes->go_read, &byte, sizeof byte);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        _exit(127);
}

/* Bounds the capabilities. A worker that is root of a user namespace does so by itself; any other
 * before its uid changes. Best effort: the probe has shown whether this works, and the worker looks
 * again. */
static void bound_capabilities(void)
{
    for (cap_value_t capability = 0; capability < cap_max_bits(); capability++)
        (void) cap_drop_bound(capability);
    (void) cap_set_secbits(POLICY_SECUREBITS);
}

static bool drop_capabilities(void)
{
    cap_t none = cap_init();
    bool done = none && cap_set_proc(none) == 0;

    (void) cap_free(none);
    return done;
}

static bool has_layer(const struct spawner_birth *birth, enum jail_layer layer)
{
    return !birth->helper && (birth->layers & LAYER_BIT(layer)) != 0;
}

static void take_ids(const struct spawner_birth *birth, const struct pipes *pipes)
{
    bool is_own = has_layer(birth, LAYER_USER);
    unsigned uid = is_own ? 0 : birth->high_ids ? SPAWNER_UID_BASE + birth->slot : geteuid();
    unsigned gid = is_own ? 0 : birth->high_ids ? SPAWNER_UID_BASE + birth->slot : getegid();

    if (!is_own)
        bound_capabilities();
    /* Without CAP_SETGID outside, the kernel does not let a user namespace drop groups. */
    if (birth->high_ids && setgroups(0, NULL) < 0)
        give_up(pipes, SPAWNER_STEP_IDS);
    if (setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        give_up(pipes, SPAWNER_STEP_IDS);
    if (!is_own && !drop_capabilities())
        give_up(pipes, SPAWNER_STEP_IDS);
}

/* Sets the signal at the parent's death, after the last change of ids, which clears it. getppid()
 * says nothing in a new PID namespace, so the channel says whether the supervisor died before that,
 * and the pipe whether the spawner did: then nobody would hear of this worker. */
static void die_with_parent(const struct spawner_birth *birth, const struct pipes *pipes)
{
    struct pollfd go = { .fd = pipes->go_read }, channel = { .fd = birth->channel_fd };

    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        give_up(pipes, SPAWNER_STEP_PARENT_DEATH);
    if (poll(&go, 1, 0) < 0)
        give_up(pipes, SPAWNER_STEP_PARENT_DEATH);
    if (go.revents & (POLLHUP | POLLERR))
        _exit(127);
    /* The end of a process closes its descriptors before its children get another parent: exit(2). */
    if (poll(&channel, 1, 0) < 0 || (channel.revents & (POLLHUP | POLLERR)))
        _exit(127);
}

void spawner_reset_signals(void)
{
    const struct sigaction action = { .sa_handler = SIG_DFL };
    sigset_t none;

    for (int i = 1; i < NSIG; i++)
        (void) sigaction(i, &action, NULL); /* fails for KILL, STOP and glibc's own: fine */
    (void) sigemptyset(&none);
    (void) sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Moves the worker's descriptors to their numbers. Returns the descriptor of the worker's program,
 * moved out of their way. */
static int place_descriptors(const struct spawner_birth *birth, struct pipes *pipes)
{
    pipes->report_write = fcntl(pipes->report_write, F_DUPFD_CLOEXEC, FIRST_SPARE_FD);
    int program = fcntl(birth->program_fd, F_DUPFD_CLOEXEC, FIRST_SPARE_FD);
    int channel = fcntl(birth->channel_fd, F_DUPFD_CLOEXEC, FIRST_SPARE_FD);
    int second =
        birth->second_fd < 0 ? -1 : fcntl(birth->second_fd, F_DUPFD_CLOEXEC, FIRST_SPARE_FD);

    if (pipes->report_write < 0)
        _exit(127);
    if (program < 0 || channel < 0 || (second < 0 && birth->second_fd >= 0))
        give_up(pipes, SPAWNER_STEP_DESCRIPTORS);
    if (dup2(birth->null_fd, STDIN_FILENO) < 0 || dup2(birth->null_fd, STDOUT_FILENO) < 0 ||
        dup2(channel, POLICY_CHANNEL_FD) < 0 ||
        (second >= 0 && dup2(second, POLICY_SCOREBOARD_FD) < 0))
        give_up(pipes, SPAWNER_STEP_DESCRIPTORS);
    if (close_range(second >= 0 ? POLICY_SCOREBOARD_FD + 1 : POLICY_SCOREBOARD_FD, ~0U,
                    CLOSE_RANGE_CLOEXEC) < 0)
        give_up(pipes, SPAWNER_STEP_DESCRIPTORS);
    return program;
}

static _Noreturn void execute(const struct spawner_birth *birth, int program,
                              const struct pipes *pipes)
{
    char worker[] = "skep-worker", helper[32], jit[32], layers[32], report[] = "--report";
    char *const worker_argv[] = { worker, jit, layers, birth->is_report ? report : NULL, NULL };
    char *helper_argv[2 + SPAWNER_ARGUMENTS_MAX + 2] = { helper, layers, NULL };
    size_t n = 2;
    char *const environment[] = { NULL };

    (void) snprintf(helper, sizeof helper, "%s", birth->helper ? birth->helper : "");
    for (size_t i = 0; birth->helper && i < SPAWNER_ARGUMENTS_MAX && birth->arguments[i]; i++)
        helper_argv[n++] = (char *) (uintptr_t) birth->arguments[i];
    helper_argv[n] = (char *) (uintptr_t) birth->word;
    (void) snprintf(jit, sizeof jit, "--jit=%s", jit_name(birth->jit));
    (void) snprintf(layers, sizeof layers, "--layers=%x", birth->layers);
    (void) execveat(program, "", birth->helper ? helper_argv : worker_argv, environment,
                    AT_EMPTY_PATH);
    give_up(pipes, SPAWNER_STEP_EXEC);
}

static _Noreturn void become_program(const struct spawner_birth *birth, struct pipes *pipes)
{
    (void) close(pipes->go_write); /* or this copy would hide the spawner's end */
    await_go(pipes);
    /* The root of a cgroup namespace is the cgroup of the process that makes it, at that time. So
     * the namespace is made not by clone but now that the worker is in its cgroup, and the worker
     * sees nothing of the others, not even their names. */
    if (has_layer(birth, LAYER_CGROUP) && unshare(CLONE_NEWCGROUP) < 0)
        give_up(pipes, SPAWNER_STEP_CGROUP_NAMESPACE);
    take_ids(birth, pipes);
    die_with_parent(birth, pipes);
    (void) setsid();
    spawner_reset_signals();
    execute(birth, place_descriptors(birth, pipes), pipes);
}

/* ---- the spawner's side */

/* Clones by the raw call: glibc's clone wants a stack, and seccomp filters (RestrictNamespaces= of
 * systemd) can look into clone's flags but not into clone3's. On x86-64 and aarch64 the third
 * argument is the place for the pidfd. */
static pid_t clone_process(uint64_t flags, int *ret_pidfd)
{
    return (pid_t) syscall(SYS_clone, flags | CLONE_PIDFD | SIGCHLD, NULL, ret_pidfd, NULL, 0);
}

/* Clones a process into its cgroup: to move it there afterwards would wait for a grace period of
 * RCU, up to tens of milliseconds. -1 wherever clone3 cannot be had; the caller then tries
 * clone_process, which finds the reason. */
static pid_t clone_into_cgroup(uint64_t flags, int cgroup_fd, int *ret_pidfd)
{
    struct clone_args args = {
        .flags = flags | CLONE_PIDFD | CLONE_INTO_CGROUP,
        .pidfd = (uint64_t) (uintptr_t) ret_pidfd,
        /* as clone_process does, for the spawner's own children */
        .exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD,
        .cgroup = (unsigned) cgroup_fd,
    };

    return (pid_t) syscall(SYS_clone3, &args, sizeof args);
}

/* Moves the worker from outside: a process in another user namespace may not do so itself. */
static int move_to_cgroup(pid_t pid, int cgroup_fd)
{
    char text[16];
    _cleanup_fd_ int fd = openat(cgroup_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    int length = snprintf(text, sizeof text, "%d", (int) pid);
    return write(fd, text, (size_t) length) == length ? 0 : -errno;
}

static uint64_t clone_flags(layer_set layers)
{
    uint64_t flags = 0;

    for (unsigned i = 0; i < LAYER_NAMESPACES; i++)
        if (i != LAYER_CGROUP && (layers & LAYER_BIT(i)))
            flags |= layer_table[i].clone_flag;
    return flags;
}

static bool can_clone(uint64_t flags)
{
    int pidfd = -1;
    pid_t pid = clone_process(flags, &pidfd);

    if (pid == 0)
        _exit(0);
    if (pid < 0)
        return false;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    (void) close(pidfd);
    return true;
}

/* Forks by the raw call, because only it can give the child another parent. The other work of
 * glibc's fork(3) is not needed by a process of one thread. */
pid_t spawner_fork_sibling(int *ret_pidfd)
{
    return clone_process(CLONE_PARENT, ret_pidfd);
}

layer_set spawner_missing_namespaces(layer_set layers)
{
    layer_set missing = 0;

    for (unsigned i = 0; i < LAYER_NAMESPACES; i++)
        if ((layers & LAYER_BIT(i)) && !can_clone(CLONE_NEWUSER | layer_table[i].clone_flag))
            missing |= LAYER_BIT(i);
    return missing;
}

/* Finds the step of a failed clone: tries a user namespace alone. */
static enum spawner_step blame_clone(int error)
{
    if (error == -EAGAIN || error == -ENOMEM)
        return SPAWNER_STEP_FORK;
    return can_clone(CLONE_NEWUSER) ? SPAWNER_STEP_NAMESPACES : SPAWNER_STEP_USER_NAMESPACE;
}

static int write_proc(pid_t pid, const char *name, const char *text)
{
    char path[64];

    (void) snprintf(path, sizeof path, "/proc/%d/%s", (int) pid, name);
    _cleanup_fd_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, text, strlen(text));
    if (n < 0)
        return -errno;
    return (size_t) n == strlen(text) ? 0 : -EIO;
}

static int map_ids(pid_t pid, const struct spawner_birth *birth)
{
    unsigned uid = birth->high_ids ? SPAWNER_UID_BASE + birth->slot : geteuid();
    unsigned gid = birth->high_ids ? SPAWNER_UID_BASE + birth->slot : getegid();
    char uid_map[32], gid_map[32];
    int r = 0;

    (void) snprintf(uid_map, sizeof uid_map, "0 %u 1\n", uid);
    (void) snprintf(gid_map, sizeof gid_map, "0 %u 1\n", gid);
    if (!birth->high_ids) /* without it an unprivileged process may not write gid_map */
        r = write_proc(pid, "setgroups", "deny");
    if (r == 0)
        r = write_proc(pid, "gid_map", gid_map);
    if (r == 0)
        r = write_proc(pid, "uid_map", uid_map);
    return r;
}

static int await_exec(const struct pipes *pipes, enum spawner_step *ret_step)
{
    struct pollfd wait = { .fd = pipes->report_read, .events = POLLIN };
    struct report report = { 0 };
    int r;

    do
        r = poll(&wait, 1, EXEC_TIMEOUT_MS);
    while (r < 0 && errno == EINTR);
    *ret_step = SPAWNER_STEP_TIMEOUT;
    if (r <= 0)
        return r < 0 ? -errno : -ETIMEDOUT;
    ssize_t n = read(pipes->report_read, &report, sizeof report);
    if (n == 0) {
        *ret_step = SPAWNER_STEP_NONE;
        return 0;
    }
    if (n != (ssize_t) sizeof report || report.error >= 0 || report.step < 0 ||
        report.step >= SPAWNER_STEPS)
        return -EPROTO;
    *ret_step = (enum spawner_step) report.step;
    return report.error;
}

static int guide(pid_t pid, const struct spawner_birth *birth, bool has_joined, struct pipes *pipes,
                 enum spawner_step *ret_step)
{
    int r = 0;

    (void) close(TAKE_FD(pipes->report_write));
    (void) close(TAKE_FD(pipes->go_read));
    if (birth->cgroup_fd >= 0 && !has_joined) {
        *ret_step = SPAWNER_STEP_CGROUP;
        r = move_to_cgroup(pid, birth->cgroup_fd);
        if (r < 0)
            return r;
    }
    *ret_step = SPAWNER_STEP_ID_MAP;
    r = has_layer(birth, LAYER_USER) ? map_ids(pid, birth) : 0;
    /* When the host runs out of memory, a worker is to die before anything else of the service.
     * Best effort: a container may have set a higher value already. */
    if (!birth->helper)
        (void) write_proc(pid, "oom_score_adj", WORKER_OOM_SCORE);
    if (r == 0)
        r = io_write_all(pipes->go_write, "g", 1);
    return r < 0 ? r : await_exec(pipes, ret_step);
}

void spawner_end_birth(const struct spawner_birth *birth, pid_t pid, int pidfd)
{
    struct pollfd end = { .fd = pidfd, .events = POLLIN };

    (void) pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
    if (birth->is_report)
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    else
        while (poll(&end, 1, -1) < 0 && errno == EINTR)
            ;
}

int spawner_exec(const struct spawner_birth *birth, pid_t *ret_pid, int *ret_pidfd,
                 enum spawner_step *ret_step)
{
    _cleanup_(pipes_done) struct pipes pipes = { -1, -1, -1, -1 };
    int raw_pidfd = -1;
    pid_t pid = -1;

    *ret_step = SPAWNER_STEP_DESCRIPTORS;
    int r = pipes_init(&pipes);
    if (r < 0)
        return r;
    /* A worker is the supervisor's child, so that it does not die with the spawner; a throw-away one is the
     * spawner's own. */
    uint64_t flags =
        (birth->helper ? 0 : clone_flags(birth->layers)) | (birth->is_report ? 0 : CLONE_PARENT);
    if (birth->cgroup_fd >= 0)
        pid = clone_into_cgroup(flags, birth->cgroup_fd, &raw_pidfd);
    bool has_joined = pid >= 0;
    if (!has_joined)
        pid = clone_process(flags, &raw_pidfd);
    if (pid < 0) {
        r = -errno;
        *ret_step = blame_clone(r);
        return r;
    }
    if (pid == 0)
        become_program(birth, &pipes);

    _cleanup_fd_ int pidfd = raw_pidfd;
    r = guide(pid, birth, has_joined, &pipes, ret_step);
    *ret_pid = pid;
    if (r < 0) {
        spawner_end_birth(birth, pid, pidfd);
        return r;
    }
    *ret_pidfd = TAKE_FD(pidfd);
    return 0;
}

static bool has_capability(cap_value_t capability)
{
    cap_t caps = cap_get_proc();
    cap_flag_value_t value = CAP_CLEAR;
    bool has =
        caps && cap_get_flag(caps, capability, CAP_EFFECTIVE, &value) == 0 && value == CAP_SET;

    (void) cap_free(caps);
    return has;
}

/* Whether a /proc/self/{u,g}id_map covers all ids that slots can get. */
static bool map_covers_high_ids(const char *path)
{
    _cleanup_file_ FILE *file = fopen(path, "re");
    char line[128];

    /* Each line: first id inside, first id outside, count. */
    while (file && fgets(line, sizeof line, file)) {
        char *rest = line;
        unsigned long first = strtoul(rest, &rest, 10);
        (void) strtoul(rest, &rest, 10);
        unsigned long count = strtoul(rest, NULL, 10);
        if (first <= SPAWNER_UID_BASE && first + count >= SPAWNER_UID_BASE + SPAWNER_MAX_SLOTS)
            return true;
    }
    return false;
}

bool spawner_may_map_high_ids(void)
{
    return has_capability(CAP_SETUID) && has_capability(CAP_SETGID) &&
           map_covers_high_ids("/proc/self/uid_map") && map_covers_high_ids("/proc/self/gid_map");
}
