/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages that the two ends of the spawner's socket share, and the functions of the spawner
 * process: child.c, exec.c (one birth), helper.c (helpers), probe.c (which layers work). The other
 * end is supervisor/helpers/spawner.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "common/jit.h"
#include "spawner/origin.h"
#include "spawner/probe_facts.h"
#include "spawner/sockets.h"

#define SPAWNER_MAX_SLOTS 65536U

/* First of the uids. As root, the worker in slot n runs as uid and gid SPAWNER_UID_BASE + n: in the
 * range between the uids of container managers and 2^31, so that no account and no container has
 * it. https://systemd.io/UIDS-GIDS/ */
#define SPAWNER_UID_BASE 0x7A000000U

enum spawner_step {
    SPAWNER_STEP_NONE,
    SPAWNER_STEP_FORK,
    SPAWNER_STEP_USER_NAMESPACE,
    SPAWNER_STEP_NAMESPACES,
    SPAWNER_STEP_CGROUP_NAMESPACE,
    SPAWNER_STEP_CGROUP,
    SPAWNER_STEP_ID_MAP,
    SPAWNER_STEP_IDS,
    SPAWNER_STEP_PARENT_DEATH,
    SPAWNER_STEP_DESCRIPTORS,
    SPAWNER_STEP_EXEC,
    SPAWNER_STEP_TIMEOUT,
    SPAWNER_STEP_REQUEST,
    SPAWNER_STEP_JAIL,
    SPAWNER_STEP_CONNECT,
    SPAWNER_STEP_LOST, /* the spawner itself, before it answered */
    SPAWNER_STEPS,
};

/* Most bytes of the word in a request for a helper: a name (config/names.h). */
#define SPAWNER_WORD_MAX 63

#define SPAWNER_SPAWN_FDS 3
#define SPAWNER_REQUEST_FDS (1 + SOCKETS_MAX)

enum spawner_request_kind {
    SPAWNER_SPAWN, /* with its descriptors: channel, scoreboard, and the cgroup if it has one */
    SPAWNER_LOOK,  /* at a worker's jail: slot, pid, with_maps */
    SPAWNER_PROBE, /* the layers that work here: jit, layers to try, is_last */
    /* Starts skepd's own program, as it was started before: n_sockets, socket_kinds; with the
     * program's end of the hand-over, and then the sockets. */
    SPAWNER_UPGRADE,
    /* The helper whose number is slot, or a connection to it. word: for a program that takes one. */
    SPAWNER_HELPER,
    SPAWNER_RESERVE, /* another spawner, like this one */
};

/* Message of the supervisor to the spawner. Members that are not named at its kind are 0. */
struct spawner_request {
    uint32_t kind;
    uint32_t slot;
    uint32_t jit;
    uint32_t has_cgroup;
    uint32_t layers;
    uint32_t with_maps;
    uint32_t is_last; /* from now on every worker has the layers that this probe finds */
    int32_t pid;
    uint32_t n_sockets;
    uint8_t socket_kinds[SOCKETS_MAX]; /* enum socket_kind */
    char word[SPAWNER_WORD_MAX + 1];   /* NUL-ended; "": none */
};

enum spawner_answer_kind {
    /* With descriptors if error is 0: pidfd, /proc/PID/stat, /proc/PID/statm. With a pid and an error: that
     * process has ended, and is to be reaped. */
    SPAWNER_RESULT,
    SPAWNER_FACTS,     /* a struct jail_facts follows */
    SPAWNER_PROBED,    /* a struct jail_probe follows */
    SPAWNER_SUCCESSOR, /* with its pidfd, if error is 0 */
    SPAWNER_SUCCESSOR_EXITED,
    /* The answer for a helper (slot: its number) and for a reserve. With descriptors if error is 0:
     * skepd's end of the channel; and, if it is a process of skepd (pid), its pidfd and
     * /proc/PID/stat. */
    SPAWNER_STARTED,
    SPAWNER_RESERVED,
};

#define SPAWNER_RESULT_FDS 3

struct spawner_answer {
    uint32_t kind;
    uint32_t slot;
    uint32_t step; /* enum spawner_step */
    int32_t error;
    int32_t pid;
    int32_t wait_status;
    char text[VERDICT_STEP_BYTES]; /* step that failed in the worker; SPAWNER_PROBED */
};

/* Sends one message of two parts, of which the second may be empty, with n_fds descriptors. 0 or -errno. */
int spawner_wire_send(int socket_fd, const struct iovec parts[static 2], const int *fds,
                      size_t n_fds);
/* Receives one message, with at most n_fds descriptors; those that did not come are -1. Returns its
 * size, or -errno (-EPIPE at the end). */
ssize_t spawner_wire_receive(int socket_fd, const struct iovec parts[static 2], int *ret_fds,
                             size_t n_fds);

#define SPAWNER_HELPERS_MAX 8
#define SPAWNER_ARGUMENTS_MAX 4

/* A helper that the spawner can start or reach (helper/helper.h), whatever skepd asks: only its number is in
 * a request, and for a program with word_option a word. */
struct spawner_helper {
    int program_fd;   /* -1: a unit */
    int folder_fd;    /* -1: none */
    const char *name; /* argv[0] of a program */
    const char
        *unit_path; /* path of the unit's socket; NULL without a program: there is no such helper */
    /* Arguments of a program behind --layers; NULL-ended unless all are there. */
    const char *arguments[SPAWNER_ARGUMENTS_MAX];
    const char *
        word_option; /* option of which the request's word is the value: "--cordon="; NULL: it takes none */
};

struct spawner_start {
    int socket, worker, null;    /* descriptors */
    pid_t supervisor;            /* process that must be the spawner's parent */
    const struct origin *origin; /* NULL: no successor can be started */
    struct spawner_helper helpers[SPAWNER_HELPERS_MAX];
    unsigned n_helpers;
};

/* Runs the spawner process: serves jobs on its socket until it closes. Takes all descriptors.
 * start: must last as long as the process. */
_Noreturn void spawner_child_run(struct spawner_start *start);

/* ---- exec.c; all in the spawner process */

/* One worker or helper to be born. Everything is borrowed. */
struct spawner_birth {
    const char *helper;           /* argv[0] of a helper; NULL: a worker */
    const char *const *arguments; /* arguments of a helper: as many as in struct spawner_helper */
    const char *word;             /* argument of a helper behind them; NULL: none */
    unsigned slot;
    enum jit_mode jit;
    bool high_ids;  /* SPAWNER_UID_BASE + slot; false: uid and gid of skepd */
    bool is_report; /* the throw-away worker */
    /* Layers of a worker; a helper, which has no namespaces of its own, is only told of them. */
    layer_set layers;
    int channel_fd;
    int second_fd; /* a worker's scoreboard, or a helper's folder; -1: none */
    int cgroup_fd; /* -1: none */
    int program_fd;
    int null_fd;
};

/* Returns whether this process may give workers uids and gids of their own: it has the
 * capabilities, and its own user namespace knows these ids. */
bool spawner_may_map_high_ids(void);

/* Ends a process that cannot be born, and returns when it has ended. A throw-away process is
 * reaped, any other is the supervisor's to reap. */
void spawner_end_birth(const struct spawner_birth *birth, pid_t pid, int pidfd);

/* Starts a worker in new namespaces, or a helper, as the supervisor's child (a throw-away worker as the
 * spawner's), and waits until its program runs. 0 or -errno with the step that failed; *ret_pid is then -1, or as after
 * spawner_end_birth. */
int spawner_exec(const struct spawner_birth *birth, pid_t *ret_pid, int *ret_pidfd,
                 enum spawner_step *ret_step);

/* Forks a process like this one, as the supervisor's child. As fork(2), with *ret_pidfd in the parent. */
pid_t spawner_fork_sibling(int *ret_pidfd);

/* ---- helper.c */

/* Starts a helper, or connects to it. ret_fds: as of SPAWNER_STARTED, -1 where there is none.
 * layers: the helper is told of them. word: of the request, of SPAWNER_WORD_MAX + 1 bytes. 0; or -errno with the step
 * (-EPROTO: a word that is none, or that is missing, or not wanted), and then *ret_pid is as of spawner_exec. */
int spawner_run_helper(const struct spawner_helper *helper, const char *word, int null_fd,
                       layer_set layers, int ret_fds[static SPAWNER_RESULT_FDS], pid_t *ret_pid,
                       enum spawner_step *ret_step);

/* Returns the namespaces that cannot be had, each made alone with a user namespace. 0: each can. */
layer_set spawner_missing_namespaces(layer_set layers);

/* Resets all signals to their defaults, none blocked. Between fork and exec. */
void spawner_reset_signals(void);

/* ---- successor.c; in the spawner process */

/* Starts the program of origin. fds: its end of the hand-over, then n_sockets sockets. The program
 * learns of them by its environment, as by sd_listen_fds(3). A program that cannot be run is
 * reported on the hand-over. 0 or -errno. */
int spawner_start_successor(const struct origin *origin, const int *fds,
                            const struct spawner_request *request, pid_t *ret_pid, int *ret_pidfd);

/* ---- probe.c */

/* Starts throw-away workers with ever fewer layers until one shows its jail. birth: worker_fd,
 * null_fd, high_ids, jit and the layers to try. 0; or -errno when a layer that must be there is
 * not, with the step, and in text what the worker could not do ("" if it was not the worker). */
int spawner_probe_run(const struct spawner_birth *birth, struct jail_probe *ret_probe,
                      enum spawner_step *ret_step, char text[static VERDICT_STEP_BYTES]);
