/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's filter, tried call by call in processes that confine themselves with the real
 * function: a call that only an attacker makes kills, a call without a row is refused, calls that
 * skepd needs are allowed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "sandbox-policy/policy.h"
#include "tests/jail/confined.h"
#include "tests/jail/hive.h"
#include "tests/jail/table.h"

static struct place place;
static const struct probe_plan sealed = { .lock = PROBE_SEALED };

/* ---- calls that kill */

static void confine_here_as_skepd(void)
{
    confine_here(&place, 0);
}

static void test_calls_of_an_attacker_kill(void **state)
{
    (void) state;
    table_assert_kills(&policy_supervisor_table, confine_here_as_skepd, 40);
}

#if defined(__x86_64__)
static long call_number;

static void make_call(void)
{
    (void) syscall(call_number, 0, 0, 0, 0, 0, 0);
}

static void make_int80_call(void)
{
    long result;

    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
}

/* A kernel without 32-bit emulation (ia32_emulation=0) has no such gate: the processor faults. */
static bool has_int80(void)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        (void) signal(SIGSEGV, SIG_DFL); /* not cmocka's */
        make_int80_call();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status == 0;
}

static void test_x32_and_int80_kill(void **state)
{
    static const long x32[] = { 0x40000000 + 39 /* getpid */, 0x40000000 + 1 /* write */,
                                0x40000000 + 520 /* execve of x32 alone */ };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(x32); i++) {
        call_number = x32[i];
        table_assert_ends_by(confine_here_as_skepd, SIGSYS, make_call, "x32");
    }
    table_assert_ends_by(confine_here_as_skepd, has_int80() ? SIGSYS : SIGSEGV, make_int80_call,
                         "int 0x80");
}
#endif

/* ---- calls that are refused */

static void test_every_call_without_row_is_refused(void **state)
{
    (void) state;
    table_assert_refuses(&policy_supervisor_table, confine_here_as_skepd);
}

static void call_with_other_arguments(void)
{
    static char page[4096] __attribute__((aligned(4096)));
    static const struct sockaddr_in address = { .sin_family = AF_INET };
    const struct {
        const char *what;
        long number;
        long args[6];
    } calls[] = {
        { "executable mmap",
          SYS_mmap,
          { 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 } },
        { "executable mprotect",
          SYS_mprotect,
          { (long) page, sizeof page, PROT_READ | PROT_EXEC } },
        { "mremap to a place", SYS_mremap, { 0, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED } },
        { "madvise of poison", SYS_madvise, { (long) page, 4096, 100 /* MADV_HWPOISON */ } },
        { "socket", SYS_socket, { AF_INET, SOCK_STREAM } },
        { "unix socket", SYS_socket, { AF_UNIX, SOCK_STREAM } },
        { "socket pair of another family", SYS_socketpair, { AF_TIPC, SOCK_STREAM } },
        { "bind", SYS_bind, { 0, (long) &address, sizeof address } },
        { "connect", SYS_connect, { 0, (long) &address, sizeof address } },
        { "sendto with an address", SYS_sendto, { 0, 0, 0, 0, (long) &address, sizeof address } },
        { "setsockopt of a device", SYS_setsockopt, { 0, SOL_SOCKET, SO_BINDTODEVICE } },
        { "setsockopt of another level", SYS_setsockopt, { 0, IPPROTO_TCP, SO_LINGER } },
        { "getsockopt of another level", SYS_getsockopt, { 0, IPPROTO_IP, SO_ERROR } },
        /* A group that cannot be there: without the filter the error would be ESRCH. */
        { "kill of a group", SYS_kill, { -0x7ffffff0, SIGKILL } },
        { "kill with another signal", SYS_kill, { getpid(), SIGSTOP } },
        { "pidfd with another signal", SYS_pidfd_send_signal, { -1, SIGSTOP } },
        { "tgkill with another signal", SYS_tgkill, { getpid(), getpid(), SIGSTOP } },
        { "tgkill of another process", SYS_tgkill, { 0x7ffffff0, 0x7ffffff0, SIGABRT } },
        { "owner of a descriptor", SYS_fcntl, { 0, F_SETOWN, 1 } },
        { "lease", SYS_fcntl, { 0, F_SETLEASE, F_WRLCK } },
        { "priority inheriting futex", SYS_futex, { (long) page, FUTEX_LOCK_PI } },
        { "prctl", SYS_prctl, { 4 /* PR_SET_DUMPABLE */, 1 } },
        { "another filter", SYS_seccomp, { 1, 0, 0 } },
        { "an unknown call", 100000, { 0 } },
    };

    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        const long *args = calls[i].args;
        expect_error(syscall(calls[i].number, args[0], args[1], args[2], args[3], args[4], args[5]),
                     EPERM, calls[i].what);
    }
    expect_error(syscall(SYS_clone3, 0, 0), ENOSYS, "clone3");
    expect_error(ioctl(0, TIOCSTI, "x"), ENOTTY, "ioctl");
}

static void test_allowed_calls_with_other_arguments_are_refused(void **state)
{
    (void) state;
    assert_int_equal(table_run(confine_here_as_skepd, call_with_other_arguments), 0);
}

/* ---- calls that are allowed */

static int epoll_fd, child_pidfd;
static pid_t child_pid;

static void on_signal(int signal)
{
    (void) signal;
}

static void use_memory(void)
{
    size_t size = 8U << 20;
    char *block = malloc(size);

    expect(block, "malloc");
    memset(block, 1, size);
    block = realloc(block, size * 4);
    expect(block, "realloc");
    free(block);
    int fd = memfd_create("board", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    expect(fd >= 0, "memfd_create");
    expect(ftruncate(fd, 4096) == 0, "ftruncate");
    expect(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0, "seal");
    expect(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED, "mmap");
    expect(close(fd) == 0, "close");
}

static void use_sockets(void)
{
    struct epoll_event event = { .events = EPOLLIN };
    struct iovec iov = { .iov_base = (char[2]){ 0 }, .iov_len = 2 };
    struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
    int pair[2];

    expect(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0,
           "socketpair");
    expect(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pair[0], &event) == 0, "epoll_ctl");
    expect(send(pair[1], "ab", 2, MSG_NOSIGNAL) == 2, "send");
    expect(epoll_wait(epoll_fd, &event, 1, 1000) == 1, "epoll_wait");
    expect(recvmsg(pair[0], &message, 0) == 2, "recvmsg");
    expect(sendmsg(pair[1], &message, MSG_NOSIGNAL) == 2, "sendmsg");
    expect(readv(pair[0], &iov, 1) == 2, "readv");
    expect(send(pair[1], "c", 1, MSG_NOSIGNAL) == 1, "send");
    expect(recv(pair[0], iov.iov_base, 1, 0) == 1, "recv");
    expect(shutdown(pair[1], SHUT_WR) == 0, "shutdown");
}

static void use_processes(void)
{
    struct pollfd ended = { .fd = child_pidfd, .events = POLLIN };

    expect(pidfd_send_signal(child_pidfd, SIGKILL, NULL, 0) == 0, "SIGKILL by pidfd");
    expect(poll(&ended, 1, 10000) == 1, "poll");
}

static void do_allowed_work(void)
{
    char bytes[16];
    clockid_t clock;
    struct timespec time;

    expect(getrandom(bytes, sizeof bytes, 0) == sizeof bytes, "getrandom");
    expect(clock_getcpuclockid(child_pid, &clock) == 0, "clock_getcpuclockid");
    expect(clock_gettime(clock, &time) == 0, "clock_gettime");
    expect(signal(SIGTERM, on_signal) != SIG_ERR, "signal");
    use_memory();
    use_sockets();
    use_processes();
    log_info("a confined process can still say so");
}

/* Does skepd's work. The child is made outside, as a worker is. */
static void test_allowed_work_is_done(void **state)
{
    int status = 0;

    (void) state;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    child_pid = fork();
    assert_true(child_pid >= 0);
    if (child_pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* in case the test fails */
        for (;;)
            (void) pause();
    }
    child_pidfd = pidfd_open(child_pid, 0);
    assert_true(epoll_fd >= 0 && child_pidfd >= 0);
    assert_int_equal(table_run(confine_here_as_skepd, do_allowed_work), 0);
    assert_int_equal(waitpid(child_pid, &status, 0), child_pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(close(child_pidfd), 0);
    assert_int_equal(close(epoll_fd), 0);
}

static void abort_here(void)
{
    abort();
}

static void test_abort_ends_by_its_own_signal(void **state)
{
    (void) state;
    int status = table_run(confine_here_as_skepd, abort_here);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* Starts and ends real workers by the real spawner, before and after skepd confines itself. */
static void keep_workers(void)
{
    struct hive hive;

    hive_init(&hive, NULL);
    struct cell *before = cell_start(&hive, &sealed, true);
    confine_here(&place, 0);
    struct cell *after = cell_start(&hive, &sealed, false);
    struct cell *cells[] = { before, after };
    for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
        expect(pidfd_send_signal(cells[i]->pidfd, SIGKILL, NULL, 0) == 0, "SIGKILL to a worker");
        int status = cell_wait(&hive, cells[i]);
        expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "end of a worker");
    }
    hive_done(&hive);
}

static void test_workers_are_started_and_killed_as_before(void **state)
{
    (void) state;
    run_apart(keep_workers);
}

static int make_place(void **state)
{
    (void) state;
    place_init(&place);
    return 0;
}

static int remove_place(void **state)
{
    (void) state;
    place_done(&place);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_of_an_attacker_kill),
#if defined(__x86_64__)
        cmocka_unit_test(test_x32_and_int80_kill),
#endif
        cmocka_unit_test(test_every_call_without_row_is_refused),
        cmocka_unit_test(test_allowed_calls_with_other_arguments_are_refused),
        cmocka_unit_test(test_allowed_work_is_done),
        cmocka_unit_test(test_abort_ends_by_its_own_signal),
        cmocka_unit_test(test_workers_are_started_and_killed_as_before),
    };

    if (strcmp(argv[0], "skep-worker") == 0)
        return probe_main(argc, argv);
    return cmocka_run_group_tests(tests, make_place, remove_place);
}
