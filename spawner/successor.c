/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The birth of the skepd that replaces this one: the program by the path that it had when this one
 * was started, with the same arguments, folder and environment, and the sockets. The successor's
 * environment is written here, so that a request chooses nothing of it. Spawner process.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "spawner/wire.h"

#define FIRST_SOCKET_FD 3  /* SD_LISTEN_FDS_START */
#define FIRST_SPARE_FD 256 /* above every number that sockets get */

/* ---- the child's side; a single-threaded fork, so any call may be made */

static _Noreturn void give_up(const struct origin *origin, int handover_fd)
{
    char text[512];

    int n = snprintf(text, sizeof text, "failed cannot run %s: %s", origin->program,
                     strerrordesc_np(errno));
    if (n > 0)
        (void) !send(handover_fd, text, (size_t) n < sizeof text ? (size_t) n : sizeof text - 1,
                     MSG_NOSIGNAL);
    _exit(127);
}

/* Moves the sockets to 3 and on, and the hand-over behind them; closes all else. Returns the number
 * of the hand-over, or -1. */
static int place_descriptors(const int *fds, unsigned n_sockets)
{
    int spare[SPAWNER_REQUEST_FDS];
    int handover_fd = FIRST_SOCKET_FD + (int) n_sockets;

    for (unsigned i = 0; i <= n_sockets; i++)
        if ((spare[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FIRST_SPARE_FD)) < 0)
            return -1;
    for (unsigned i = 0; i < n_sockets; i++)
        if (dup2(spare[i + 1], FIRST_SOCKET_FD + (int) i) < 0)
            return -1;
    if (dup2(spare[0], handover_fd) < 0 || close_range((unsigned) handover_fd + 1, ~0U, 0) < 0)
        return -1;
    return handover_fd;
}

static int add_variable(char ***next, const char *name, const char *value)
{
    return asprintf((*next)++, "%s=%s", name, value) < 0 ? -ENOMEM : 0;
}

static int add_number(char ***next, const char *name, int number)
{
    char text[16];

    (void) snprintf(text, sizeof text, "%d", number);
    return add_variable(next, name, text);
}

/* Adds the variables, in the room that origin has left for them, in this process's copy of it. */
static int add_variables(const struct origin *origin, const struct spawner_request *request,
                         int handover_fd)
{
    char names[SOCKETS_MAX * 16] = "";
    char **next = origin->environment + origin->n_environment;

    for (unsigned i = 0; i < request->n_sockets; i++) {
        size_t used = strlen(names);
        (void) snprintf(names + used, sizeof names - used, "%s%s", i > 0 ? ":" : "",
                        socket_kind_name((enum socket_kind) request->socket_kinds[i]));
    }
    int r = add_number(&next, ORIGIN_UPGRADE_FD, handover_fd);
    if (r == 0)
        r = add_number(&next, "LISTEN_PID", (int) getpid());
    if (r == 0)
        r = add_number(&next, "LISTEN_FDS", (int) request->n_sockets);
    return r < 0 ? r : add_variable(&next, "LISTEN_FDNAMES", names);
}

/* Passes all capabilities through the ambient set: an exec gives a user who is not root no more
 * than that set, and root, under no_new_privs, no more than there is already. The successor needs
 * them for the births of its workers. */
static void pass_capabilities(void)
{
    cap_t caps = cap_get_proc();

    for (cap_value_t i = 0; caps && i < (cap_value_t) cap_max_bits(); i++) {
        cap_flag_value_t value = CAP_CLEAR;
        (void) cap_get_flag(caps, i, CAP_PERMITTED, &value);
        (void) cap_set_flag(caps, CAP_INHERITABLE, 1, &i, value);
    }
    if (caps && cap_set_proc(caps) == 0)
        for (cap_value_t i = 0; i < (cap_value_t) cap_max_bits(); i++)
            /* fails for capabilities that this process does not have: fine */
            (void) cap_set_ambient(i, CAP_SET);
    (void) cap_free(caps);
}

static _Noreturn void become_successor(const struct origin *origin, const int *fds,
                                       const struct spawner_request *request)
{
    int handover_fd = place_descriptors(fds, request->n_sockets);

    if (handover_fd < 0)
        _exit(127);
    if (add_variables(origin, request, handover_fd) < 0 || chdir(origin->folder) < 0)
        give_up(origin, handover_fd);
    pass_capabilities();
    spawner_reset_signals();
    (void) execve(origin->program, origin->argv, origin->environment);
    give_up(origin, handover_fd);
}

/* ---- the spawner's side */

int spawner_start_successor(const struct origin *origin, const int *fds,
                            const struct spawner_request *request, pid_t *ret_pid, int *ret_pidfd)
{
    pid_t pid = fork();

    if (pid < 0)
        return -errno;
    if (pid == 0)
        become_successor(origin, fds, request);
    int pidfd = pidfd_open(pid, 0);
    if (pidfd < 0) {
        int r = -errno;
        (void) kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return r;
    }
    *ret_pid = pid;
    *ret_pidfd = pidfd;
    return 0;
}
