/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls of egress, which talks to servers that nobody trusts: one row for each form of a call, with the
 * reason. Data only; README.md says how to read, add and test a row. A call that matches no row fails with EPERM, so
 * that a row that was forgotten costs one fetch; a call that only an attacker would make kills the process. There is no
 * row for files: all that egress reads is open or read before this filter.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "sandbox-policy/rows.h"

#define SOCKET_FLAGS (SOCK_CLOEXEC | SOCK_NONBLOCK)

/* clang-format off */
static const struct policy_syscall egress_syscalls[] = {
#include "sandbox-policy/base_syscalls.inc"

    /* The channel to skepd. */
    { ALLOW(accept4),
      .reason = "a skepd that connects to the unit" },

    /* Connections to servers and resolvers: TCP and UDP of IPv4 and IPv6, and never one that listens. */
    { ALLOW(socket), .args = { INT_EQUAL(0, AF_INET), INT_BITS(1, SOCK_STREAM, SOCKET_FLAGS) },
      .reason = "a connection to a server, or to a resolver whose answer is long" },
    { ALLOW(socket), .args = { INT_EQUAL(0, AF_INET), INT_BITS(1, SOCK_DGRAM, SOCKET_FLAGS) },
      .reason = "c-ares asks resolvers; the look whether an address is this host's" },
    { ALLOW(socket), .args = { INT_EQUAL(0, AF_INET6), INT_BITS(1, SOCK_STREAM, SOCKET_FLAGS) },
      .reason = "as for IPv4" },
    { ALLOW(socket), .args = { INT_EQUAL(0, AF_INET6), INT_BITS(1, SOCK_DGRAM, SOCKET_FLAGS) },
      .reason = "as for IPv4" },
    /* socketpair has none: curl_multi_init makes one for curl_multi_wakeup, which nobody calls, and does without. */
    { ALLOW(connect),
      .reason = "servers, whose addresses are checked before; resolvers" },
    { ALLOW(sendto),
      .reason = "requests without TLS, questions to resolvers" },
    { ALLOW(recvfrom),
      .reason = "answers without TLS, answers of resolvers" },
    { ALLOW(getsockname),
      .reason = "libcurl and c-ares ask for the own end of a connection" },
    { ALLOW(getpeername),
      .reason = "libcurl asks for the other end of a connection" },
    { ALLOW(getsockopt), .args = { INT_EQUAL(1, SOL_SOCKET), INT_EQUAL(2, SO_ERROR) },
      .reason = "how a connection failed" },
    { ALLOW(getsockopt), .args = { INT_EQUAL(1, SOL_SOCKET), INT_EQUAL(2, SO_PEERCRED) },
      .reason = "who connects to the unit" },
    { ALLOW(getsockopt), .args = { INT_EQUAL(1, IPPROTO_TCP), INT_EQUAL(2, TCP_INFO) },
      .reason = "how many bytes a server has sent, against what came of its answer" },
    { ALLOW(setsockopt), .args = { INT_EQUAL(1, IPPROTO_TCP), INT_EQUAL(2, TCP_NODELAY) },
      .reason = "libcurl sends requests at once" },
    { ALLOW(setsockopt), .args = { INT_EQUAL(1, SOL_SOCKET), INT_EQUAL(2, SO_SNDBUF) },
      .reason = "bodies of answers wait for skepd in its socket, as far as the kernel allows" },
    { ALLOW(fcntl), .args = { INT_EQUAL(1, F_GETFL) },
      .reason = "libcurl and c-ares make sockets non-blocking" },
    { ALLOW(fcntl), .args = { INT_EQUAL(1, F_SETFL), INT_BITS(2, O_NONBLOCK, O_RDWR) },
      .reason = "libcurl and c-ares make sockets non-blocking" },
    { ALLOW(fcntl), .args = { INT_EQUAL(1, F_SETFD), INT_EQUAL(2, FD_CLOEXEC) },
      .reason = "c-ares' sockets" },

    { KILL(bind), .reason = "nobody may be let in from the network" },
    { KILL(listen), .reason = "nobody may be let in from the network" },
};
/* clang-format on */

const struct policy_table policy_egress_table = {
    .name = "egress",
    .default_action = SCMP_ACT_ERRNO(EPERM),
    .rows = egress_syscalls,
    .n_rows = ARRAY_LEN(egress_syscalls),
};
