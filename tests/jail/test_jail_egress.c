/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Egress' confinement, tried call by call in processes that confine themselves as it does: a call that only an attacker
 * makes kills, a call without a row is refused, connections can be made and nobody is let in, and there are no files.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "helper/confine.h"
#include "sandbox-policy/policy.h"
#include "tests/jail/confined.h"
#include "tests/jail/ordinary.h"
#include "tests/jail/table.h"

static struct sockaddr_in listening; /* where somebody listens */

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
    return table_run(confine_here_as_egress, try);
}

static void test_calls_of_an_attacker_kill(void **state)
{
    (void) state;
    table_assert_kills(&policy_egress_table, confine_here_as_egress, 20);
}

static void test_every_call_without_row_is_refused(void **state)
{
    (void) state;
    table_assert_refuses(&policy_egress_table, confine_here_as_egress);
}

static void call_with_other_arguments(void)
{
    static char page[4096] __attribute__((aligned(4096)));
    int one = 1, pair[2];
    socklen_t size = sizeof page;

    expect_error(socket(AF_UNIX, SOCK_STREAM, 0), EPERM, "Unix socket");
    expect_error(socket(AF_NETLINK, SOCK_RAW, 0), EPERM, "netlink");
    expect_error(socket(AF_PACKET, SOCK_RAW, 0), EPERM, "packets");
    expect_error(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM, "raw socket");
    expect_error(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), EPERM, "socketpair");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    expect(fd >= 0, "socket");
    expect_error(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), EPERM, "reuse");
    expect_error(setsockopt(fd, SOL_SOCKET, SO_MARK, &one, sizeof one), EPERM, "mark");
    expect_error(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, page, &size), EPERM, "congestion");
    expect_error(getsockopt(fd, SOL_SOCKET, SO_PEERSEC, page, &size), EPERM, "peer's label");
    expect(getsockopt(fd, IPPROTO_TCP, TCP_INFO, page, &size) == 0, "bytes of a connection");
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
