/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Egress' confinement, tried call by call in processes that confine themselves as it does: a call that only an attacker
 * makes kills, a call without a row is refused, connections can be made and nobody is let in, and there are no files.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "helper/confine.h"
#include "sandbox-policy/policy.h"
#include "tests/jail/confined.h"
#include "tests/jail/ordinary.h"

/* Above every number of Linux 6.18 (470 and some), with room. */
#define LAST_NUMBER 512

static struct sockaddr_in listening; /* where somebody listens */
static long call_number;

static bool exists_here(const struct policy_syscall *row)
{
    const struct policy_context context = { .self = 1 };

    return policy_row_applies(row, &context);
}

static bool has_row(int number)
{
    for (size_t i = 0; i < policy_egress_table.n_rows; i++)
        if (exists_here(&policy_egress_table.rows[i]) &&
            seccomp_syscall_resolve_name(policy_egress_table.rows[i].name) == number)
            return true;
    return false;
}

/* uretprobe and uprobe of x86-64, which the kernel lets past every filter: see test_jail_filter.c. */
static bool is_probe_call(int number)
{
    return seccomp_arch_native() == SCMP_ARCH_X86_64 && (number == 335 || number == 336);
}

static void confine_here_as_egress(void)
{
    const struct confine_options options = {
        .cgroup_fd = -1,
        .table = &policy_egress_table,
        .no_signals = true,
        .may_connect = true,
    };
    const char *step = "";

    expect(confine_process(&options, &step) == 0, step);
}

static int run_as_egress(void (*try)(void))
{
    static const int signals[] = { SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGSYS, SIGABRT };
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        for (size_t i = 0; i < ARRAY_LEN(signals); i++)
            (void) signal(signals[i], SIG_DFL);
        confine_here_as_egress();
        try();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void make_call(void)
{
    (void) syscall(call_number, 0, 0, 0, 0, 0, 0);
}

static void test_calls_of_an_attacker_kill(void **state)
{
    size_t n = 0;

    (void) state;
    for (size_t i = 0; i < policy_egress_table.n_rows; i++) {
        const struct policy_syscall *row = &policy_egress_table.rows[i];
        if (row->action != POLICY_KILL || !exists_here(row))
            continue;
        call_number = seccomp_syscall_resolve_name(row->name);
        int status = run_as_egress(make_call);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
            fail_msg("%s: wait status 0x%x", row->name, (unsigned) status);
        n++;
    }
    assert_true(n > 20);
}

static void call_all_without_row(void)
{
    char what[32];

    for (int number = 0; number <= LAST_NUMBER; number++) {
        if (has_row(number) || is_probe_call(number))
            continue;
        (void) snprintf(what, sizeof what, "call %d", number);
        expect_error(syscall(number, -1, -1, -1, -1, -1, -1), EPERM, what);
    }
}

static void test_every_call_without_row_is_refused(void **state)
{
    (void) state;
    assert_int_equal(run_as_egress(call_all_without_row), 0);
}

static void call_with_other_arguments(void)
{
    static char page[4096] __attribute__((aligned(4096)));
    int one = 1, pair[2];

    expect_error(socket(AF_UNIX, SOCK_STREAM, 0), EPERM, "Unix socket");
    expect_error(socket(AF_NETLINK, SOCK_RAW, 0), EPERM, "netlink");
    expect_error(socket(AF_PACKET, SOCK_RAW, 0), EPERM, "packets");
    expect_error(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM, "raw socket");
    expect_error(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), EPERM, "socketpair");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    expect(fd >= 0, "socket");
    expect_error(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), EPERM, "reuse");
    expect_error(setsockopt(fd, SOL_SOCKET, SO_MARK, &one, sizeof one), EPERM, "mark");
    expect_error(fcntl(fd, F_SETOWN, 1), EPERM, "owner of a descriptor");
    expect_error(openat(AT_FDCWD, "/etc/hosts", O_RDONLY | O_CLOEXEC), EPERM, "file");
    expect_error(
        syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
        EPERM, "executable mmap");
    expect_error(syscall(SYS_mprotect, page, sizeof page, PROT_READ | PROT_EXEC), EPERM,
                 "executable mprotect");
    expect_error(syscall(SYS_tgkill, 0x7ffffff0, 0x7ffffff0, SIGABRT), EPERM, "another process");
    expect_error(syscall(SYS_clone3, 0, 0), ENOSYS, "clone3");
}

static void test_allowed_calls_with_other_arguments_are_refused(void **state)
{
    (void) state;
    assert_int_equal(run_as_egress(call_with_other_arguments), 0);
}

static void connect_there(void)
{
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    expect(connect(tcp, (const struct sockaddr *) &listening, sizeof listening) == 0, "TCP");
    expect(connect(udp, (const struct sockaddr *) &listening, sizeof listening) == 0, "UDP");
    expect(send(tcp, "x", 1, MSG_NOSIGNAL) == 1, "send");
}

static void test_connections_are_allowed(void **state)
{
    (void) state;
    assert_int_equal(run_as_egress(connect_there), 0);
}

static int set_up(void **state)
{
    socklen_t size = sizeof listening;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void) state;
    ordinary_begin();
    listening =
        (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    assert_int_equal(bind(fd, (const struct sockaddr *) &listening, size), 0);
    assert_int_equal(listen(fd, 8), 0);
    return getsockname(fd, (struct sockaddr *) &listening, &size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_of_an_attacker_kill),
        cmocka_unit_test(test_every_call_without_row_is_refused),
        cmocka_unit_test(test_allowed_calls_with_other_arguments_are_refused),
        cmocka_unit_test(test_connections_are_allowed),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
