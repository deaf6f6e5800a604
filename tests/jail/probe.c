/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The probe's life: it checks what it was born with, enters the jail, then does what it is asked
 * until the channel closes. The first reply names the first thing that was wrong.
 */
#include "tests/jail/probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/prctl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "proto/scoreboard.h"
#include "sandbox-policy/policy.h"
#include "tests/jail/fuzz/fuzz.h"
#include "worker/jail.h"
#include "worker/jail_report.h"
#include "worker/jail_trap.h"

#ifndef PR_GET_MDWE
#define PR_GET_MDWE 66
#endif

static int epoll_fd = -1;
static pthread_t thread;
static atomic_bool thread_runs, thread_shall_end;
static atomic_long thread_call = -1, thread_death = -1;
static struct jail_options options;
static struct scoreboard *board;

int probe_epoll_fd(void)
{
    return epoll_fd;
}

static void reply(int64_t result, const char *text)
{
    struct probe_reply answer = { .result = result,
                                  .error = result == -1 ? errno : 0,
                                  .refused = jail_trap_count() };

    (void) snprintf(answer.text, sizeof answer.text, "%s", text ? text : "");
    if (write(POLICY_CHANNEL_FD, &answer, sizeof answer) != (ssize_t) sizeof answer)
        _exit(3);
}

static void *sleep_in_thread(void *arg)
{
    const struct timespec nap = { .tv_nsec = 1000000 };

    atomic_store(&thread_runs, true);
    while (!atomic_load(&thread_shall_end)) {
        long number = atomic_load(&thread_call);
        if (number >= 0)
            reply(syscall(number), NULL);
        long death = atomic_exchange(&thread_death, -1);
        if (death >= 0)
            reply(probe_deaths[death].run(), NULL);
        (void) clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
    }
    return arg;
}

static void start_thread(void)
{
    if (pthread_create(&thread, NULL, sleep_in_thread, NULL) != 0)
        abort();
    while (!atomic_load(&thread_runs))
        (void) sched_yield();
}

int probe_join_thread(void)
{
    static bool joined;

    atomic_store(&thread_shall_end, true);
    if (!joined && pthread_join(thread, NULL) != 0)
        return -EIO;
    joined = true;
    return 0;
}

/* ---- self-checks: NULL, or what is wrong */

static const char *check_birth(int argc, char **argv)
{
    sigset_t mask;
    struct sigaction action;

    if (argc < 3 || (strcmp(argv[1], "--jit=on") != 0 && strcmp(argv[1], "--jit=off") != 0) ||
        strncmp(argv[2], "--layers=", strlen("--layers=")) != 0)
        return "arguments";
    if (environ && environ[0])
        return "environment is not empty";
    for (int fd = 0; fd < 64; fd++)
        if ((fcntl(fd, F_GETFD) >= 0) != (fd <= POLICY_SCOREBOARD_FD))
            return "file descriptors at birth";
    if (getpid() != 1 || getuid() != 0 || getgid() != 0)
        return "pid, uid or gid";
    if (getsid(0) != 1)
        return "session";
    if (sigprocmask(SIG_SETMASK, NULL, &mask) < 0 || !sigisemptyset(&mask))
        return "signal mask";
    if (sigaction(SIGPIPE, NULL, &action) < 0 || action.sa_handler != SIG_DFL)
        return "signal dispositions";
    return NULL;
}

/* Returns NULL, or the first of the process's own switches that is not set. */
static const char *check_switches(bool jit, bool has_speculation)
{
    static const int kinds[] = { PR_SPEC_STORE_BYPASS, PR_SPEC_INDIRECT_BRANCH };
    struct rlimit core;

    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return "it is dumpable";
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return "no_new_privs is not set";
    int mdwe = prctl(PR_GET_MDWE, 0, 0, 0, 0);
    if (mdwe >= 0 && mdwe != !jit)
        return "memory-deny-write-execute does not follow jit";
    for (size_t i = 0; i < ARRAY_LEN(kinds) && has_speculation; i++) {
        int state = prctl(PR_GET_SPECULATION_CTRL, kinds[i], 0, 0, 0);
        if (state > 0 && (state & PR_SPEC_PRCTL) && !(state & PR_SPEC_FORCE_DISABLE))
            return "speculation is not off";
    }
    if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_max != 0)
        return "limits";
    return NULL;
}

static const char *check_entered(void)
{
    char list[8];

    if (open("/", O_RDONLY | O_DIRECTORY) >= 0 || errno != EACCES)
        return "Landlock lets the root be read";
    if (access("/proc", F_OK) == 0 || access("/etc", F_OK) == 0)
        return "the root is not empty";
    if (mkdir("/x", 0700) == 0 || open("/x", O_CREAT | O_RDWR, 0600) >= 0)
        return "the root can be written";
    if (mount("x", "/", "tmpfs", 0, NULL) == 0 || umount2("/", MNT_DETACH) == 0 || chroot("/") == 0)
        return "mounts can be changed";
    if (sethostname("x", 1) == 0 || setuid(1) == 0)
        return "capabilities are left";
    int fd = socket(AF_INET, SOCK_RAW, 1);
    if (fd >= 0)
        return "raw sockets";
    if (syscall(SYS_listxattr, "/", list, sizeof list) > 0)
        return "extended attributes";
    return NULL;
}

/* ---- the channel */

static void block_signals(void)
{
    sigset_t all;

    (void) sigfillset(&all);
    (void) sigprocmask(SIG_SETMASK, &all, NULL);
}

/* Locks a child in beside its parent, which has no filter yet, so that a call that kills costs a fork and
 * not a worker. */
static _Noreturn void call_in_child(const struct probe_ask *ask)
{
    struct jail_failure failure = { 0 };

    if (jail_start(&options, &failure) < 0 || jail_seal(&options, &failure) < 0)
        _exit(PROBE_CHILD_UNLOCKED);
    (void) probe_call((enum probe_abi) ask->abi, ask->number, ask->args);
    _exit(PROBE_CHILD_RETURNED);
}

static int64_t wait_for_child(const struct probe_ask *ask)
{
    int status = -1;
    pid_t child = fork();

    if (child == 0)
        call_in_child(ask);
    if (child < 0 || waitpid(child, &status, 0) != child)
        return -1;
    return status;
}

static int64_t make_call(const struct probe_ask *ask)
{
    const int64_t *a = ask->args;
    long result = syscall(ask->number, a[0], a[1], a[2], a[3], a[4], a[5]);

    if (getpid() != 1) /* this was a fork, of a probe that may fork */
        _exit(0);
    return result;
}

static void serve(const struct probe_ask *ask)
{
    char text[sizeof((struct probe_reply *) 0)->text] = "";

    switch ((enum probe_ask_kind) ask->kind) {
    case PROBE_SYSTEM_CALL:
        reply(make_call(ask), NULL);
        break;
    case PROBE_CHILD_CALL:
        reply(wait_for_child(ask), NULL);
        break;
    case PROBE_TRY:
        reply(probe_tries[ask->number].run(), NULL);
        break;
    case PROBE_THREAD_CALL:
        atomic_store(&thread_call, ask->number); /* the thread replies */
        break;
    case PROBE_BLOCKED_CALL:
        block_signals();
        reply(syscall(ask->number), NULL);
        break;
    case PROBE_LOST_STACK:
        reply(probe_call_without_stack(ask->number), NULL);
        break;
    case PROBE_INT80:
        reply(probe_int80_getpid(), NULL);
        break;
    case PROBE_EXIT:
        exit((int) ask->number);
    case PROBE_SCRATCH:
        reply((int64_t) (intptr_t) scratch_get(), NULL);
        break;
    case PROBE_DIE:
        reply(probe_deaths[ask->number].run(), NULL);
        break;
    case PROBE_THREAD_DIE:
        atomic_store(&thread_death, ask->number); /* the thread replies, if it lives */
        break;
    case PROBE_FUZZ:
        reply(fuzz_run(ask, board, text, sizeof text), text);
        break;
    }
}

static const char *lock_in(const struct probe_plan *plan)
{
    struct jail_failure failure = { 0 };
    const char *wrong = NULL;
    int r;

    if (plan->lock == PROBE_SEALED || plan->lock == PROBE_STARTED) {
        r = jail_start(&options, &failure);
        if (r < 0) {
            (void) log_error_errno(r, "jail_start: %s", failure.step);
            return "jail_start";
        }
    }
    if (plan->second_thread)
        start_thread();
    if (plan->lock == PROBE_FREE || plan->lock == PROBE_STARTED)
        return NULL;
    r = jail_enter(&options, &failure);
    if (r < 0) {
        (void) log_error_errno(r, "jail_enter: %s", failure.step);
        return "jail_enter";
    }
    wrong = check_switches(options.jit, options.layers & LAYER_BIT(LAYER_SPECULATION));
    if (plan->lock == PROBE_ENTERED) /* without a filter the other layers have to hold */
        return wrong ? wrong : check_entered();
    start_thread();
    r = jail_seal(&options, &failure);
    if (r < 0) {
        (void) log_error_errno(r, "jail_seal: %s", failure.step);
        return "jail_seal";
    }
    return wrong;
}

/* Does the same as skep-worker --report, for spawner_probe. */
static _Noreturn void run_report(void)
{
    struct jail_failure failure = { 0 };

    int r = jail_start(&options, &failure);
    if (r == 0)
        r = jail_enter(&options, &failure);
    if (r == 0) {
        start_thread();
        r = jail_seal(&options, &failure);
    }
    jail_report_run(&options, r, &failure);
}

static void parse_options(int argc, char **argv, const struct probe_plan *plan)
{
    options = (struct jail_options){
        .jit = argc > 1 && strcmp(argv[1], "--jit=on") == 0,
        .layers = argc > 2 ? (layer_set) strtoul(argv[2] + strlen("--layers="), NULL, 16) : 0,
        .channel_fd = POLICY_CHANNEL_FD,
        .scoreboard = board,
        .is_report = plan->counts || argc > 3,
    };
}

static void set_memory(const struct probe_plan *plan)
{
    const struct rlimit limit = { .rlim_cur = plan->memory, .rlim_max = plan->memory };

    if (plan->memory > 0 && setrlimit(RLIMIT_AS, &limit) < 0)
        _exit(2);
}

int probe_main(int argc, char **argv)
{
    const char *wrong = check_birth(argc, argv);
    const struct probe_plan *plan =
        mmap(NULL, sizeof *plan, PROT_READ, MAP_SHARED, POLICY_SCOREBOARD_FD, 0);
    struct probe_ask ask;

    log_init("probe", LOG_LEVEL_INFO);
    if (plan == MAP_FAILED)
        return 2;
    board = mmap(NULL, SCOREBOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, POLICY_SCOREBOARD_FD,
                 PROBE_BOARD_OFFSET);
    if (board == MAP_FAILED)
        return 2;
    if (!plan->keep_scoreboard)
        (void) close(POLICY_SCOREBOARD_FD);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int pipe_fds[2]; /* libevent has a pipe, too */
    if (epoll_fd < 0 || pipe2(pipe_fds, O_CLOEXEC) < 0)
        return 2;
    parse_options(argc, argv, plan);
    if (!scratch_init())
        return 2;
    set_memory(plan);
    if (argc > 3)
        run_report();
    const char *jail_wrong = lock_in(plan);
    if (!wrong)
        wrong = jail_wrong;
    reply(wrong ? -1 : 0, wrong);
    while (read(POLICY_CHANNEL_FD, &ask, sizeof ask) == (ssize_t) sizeof ask)
        serve(&ask);
    return 0;
}
