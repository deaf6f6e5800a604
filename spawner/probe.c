/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The probe of the layers of the jail that work on this host: the whole sequence, in a throw-away
 * worker, with ever fewer layers until it succeeds. Spawner process, before it has any other
 * worker.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "proto/scoreboard.h"
#include "spawner/wire.h"

#define REPORT_TIMEOUT_MS 10000

/* Result of one try. */
struct trial {
    enum spawner_step step;
    struct jail_verdicts verdicts; /* with SPAWNER_STEP_JAIL, or no error */
};

/* Reads the worker's one message. 0 or -errno. */
static int read_verdicts(int channel_fd, struct jail_verdicts *ret)
{
    uint64_t end_ns = io_now_ns() + REPORT_TIMEOUT_MS * NSEC_PER_MSEC;
    uint8_t *bytes = (uint8_t *) ret;

    for (size_t have = 0; have < sizeof *ret;) {
        struct pollfd wait = { .fd = channel_fd, .events = POLLIN };
        uint64_t now = io_now_ns();
        int r = now < end_ns ? poll(&wait, 1, (int) ((end_ns - now) / NSEC_PER_MSEC) + 1) : 0;
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return r < 0 ? -errno : -ETIMEDOUT;
        ssize_t n = read(channel_fd, bytes + have, sizeof *ret - have);
        if (n <= 0)
            /* the worker died: of a call that its start-up filter refuses, say */
            return n < 0 ? -errno : -ECHILD;
        have += (size_t) n;
    }
    ret->step[sizeof ret->step - 1] = '\0';
    if (ret->error > 0 || ret->layer >= LAYERS)
        return -EPROTO;
    return 0;
}

static int look_at(const struct spawner_birth *birth, pid_t pid, int pidfd, int channel_fd,
                   struct trial *trial, struct jail_probe *probe)
{
    trial->step = SPAWNER_STEP_JAIL;
    int r = read_verdicts(channel_fd, &trial->verdicts);
    if (r < 0) {
        trial->verdicts.error = 0;
        (void) snprintf(trial->verdicts.step, sizeof trial->verdicts.step,
                        "the worker says nothing of its jail");
        return r;
    }
    r = trial->verdicts.error;
    if (r == 0)
        r = facts_collect(pid, pidfd, birth->jit == JIT_OFF, &probe->facts);
    return r;
}

static int make_board(int *ret_fd)
{
    _cleanup_fd_ int fd = memfd_create("skep-scoreboard", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, (off_t) SCOREBOARD_BYTES) < 0)
        return -errno;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int try(const struct spawner_birth *wanted, struct trial *trial, struct jail_probe *probe)
{
    struct spawner_birth birth = *wanted;
    _cleanup_fd_ int board_fd = -1, pidfd = -1;
    int pair[2];
    pid_t pid = -1;

    *trial = (struct trial){ .step = SPAWNER_STEP_DESCRIPTORS };
    int r = make_board(&board_fd);
    if (r < 0)
        return r;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    _cleanup_fd_ int ours = pair[0];
    _cleanup_fd_ int theirs = pair[1];
    birth.is_report = true;
    birth.channel_fd = theirs;
    birth.second_fd = board_fd;
    birth.cgroup_fd = -1;
    birth.layers = probe->layers;
    uint64_t start_ns = io_now_ns();
    r = spawner_exec(&birth, &pid, &pidfd, &trial->step);
    if (r < 0)
        return r;
    (void) close(TAKE_FD(theirs)); /* so that the worker's death ends the reading */
    r = look_at(&birth, pid, pidfd, ours, trial, probe);
    probe->ready_us = (io_now_ns() - start_ns) / NSEC_PER_USEC;
    (void) pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
    (void) close(TAKE_FD(ours)); /* a worker that may not be killed ends by itself at that */
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return r;
}

/* Returns the layers to leave out at the next try; 0: none that may be missing. */
static layer_set layers_to_blame(const struct trial *trial, layer_set layers)
{
    switch (trial->step) {
    case SPAWNER_STEP_USER_NAMESPACE:
    case SPAWNER_STEP_ID_MAP:
        return layers & LAYERS_OF_USER_NAMESPACE;
    case SPAWNER_STEP_NAMESPACES:
        return spawner_missing_namespaces(layers);
    case SPAWNER_STEP_CGROUP_NAMESPACE:
        return LAYER_BIT(LAYER_CGROUP);
    case SPAWNER_STEP_JAIL:
        return trial->verdicts.error < 0 ? LAYER_BIT(trial->verdicts.layer) : 0;
    default:
        return 0;
    }
}

static bool may_be_missing(layer_set layers)
{
    for (unsigned i = 0; i < LAYERS; i++)
        if ((layers & LAYER_BIT(i)) && !layer_table[i].may_be_missing)
            return false;
    return layers != 0;
}

int spawner_probe_run(const struct spawner_birth *birth, struct jail_probe *ret_probe,
                      enum spawner_step *ret_step, char text[static VERDICT_STEP_BYTES])
{
    struct trial trial;

    memset(ret_probe, 0, sizeof *ret_probe);
    ret_probe->layers = birth->layers;
    for (;;) {
        int r = try(birth, &trial, ret_probe);
        if (r == 0)
            break;
        layer_set blamed = layers_to_blame(&trial, ret_probe->layers) & ret_probe->layers;
        if (!may_be_missing(blamed)) {
            *ret_step = trial.step;
            (void) snprintf(text, VERDICT_STEP_BYTES, "%s", trial.verdicts.step);
            return r;
        }
        for (unsigned i = 0; i < LAYERS; i++)
            if (blamed & LAYER_BIT(i))
                ret_probe->errors[i] = r;
        ret_probe->layers &= ~blamed;
    }
    memcpy(ret_probe->calls, trial.verdicts.calls, sizeof ret_probe->calls);
    return 0;
}
