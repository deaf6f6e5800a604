/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spawner: the only process that may fork, exec and make namespaces. The spawner is forked
 * before the supervisor opens a socket or a thread, speaks fixed-size messages over a
 * SOCK_SEQPACKET pair, and dies with the supervisor (PDEATHSIG). Workers and helpers are the
 * supervisor's children: they die with it, and outlive the spawner. A second spawner, the reserve,
 * takes over if the first dies or stands still, and forks the next reserve: without a spawner, the
 * supervisor, which is confined, could start nothing any more.
 */
#pragma once

#include <event2/event.h>
#include <stdbool.h>
#include <sys/types.h>

#include "common/jit.h"
#include "spawner/probe_facts.h"
#include "spawner/sockets.h"
#include "spawner/wire.h"

struct health;
struct origin;

struct spawner;

/* A helper (helper/helper.h) that the spawner can start or reach. Neither path nor unit_path: there is no helper of that
 * number. */
struct spawner_program {
    const char *name;      /* argv[0] of a program */
    const char *path;      /* path of a program, opened before the fork; NULL: a unit */
    int folder_fd;         /* becomes a program's HELPER_FOLDER_FD; -1: none */
    const char *unit_path; /* path of a unit's socket */
    /* Arguments of a program besides --layers, in the order in which they are; the rest is NULL. */
    const char *arguments[SPAWNER_ARGUMENTS_MAX];
    /* Option whose value is a word that each start gives: one process for each word. Static. NULL: no word. */
    const char *word_option;
};

struct spawner_options {
    const char *worker_path; /* opened before the fork, by this path; borrowed for the call */
    /* Origin of this program; borrowed for the call; NULL: no upgrade. */
    const struct origin *origin;
    const struct spawner_program *programs; /* borrowed for the call */
    unsigned n_programs;
};

/* A worker to be started. The argv is "skep-worker --jit=MODE --layers=HEX"; it has no environment,
 * /dev/null as 0 and 1, the supervisor's standard error as 2 (jail_seal replaces it). */
struct spawner_job {
    unsigned slot; /* names the worker in the answers, picks its uid when root; < 65536 */
    enum jit_mode jit;
    layer_set layers;
    int channel_fd;    /* the worker's end; becomes its fd 3. Duplicated, stays the caller's */
    int scoreboard_fd; /* becomes its fd 4. Duplicated, stays the caller's */
    /* The cgroup v2 directory that the worker is born in; 0 or less: none, it stays in the
     * spawner's. The root of its cgroup namespace in either case. Duplicated, stays the
     * caller's. */
    int cgroup_fd;
};

/* The supervisor's handles of a worker. The files are open because /proc itself is closed to a
 * confined supervisor, by Landlock and where a service manager hides other processes. */
struct spawner_worker {
    pid_t pid; /* in the supervisor's PID namespace */
    int pidfd;
    int stat_fd, statm_fd; /* /proc/PID/stat and statm: process.h, rss.h */
};

/* A helper that was started or reached. The descriptors are the callee's. */
struct spawner_started {
    pid_t pid; /* 0: a unit, and then without the next two, which are -1 */
    int pidfd, stat_fd;
    int channel_fd; /* connected to the helper */
};

/* Answers spawner_start_helper. error: 0, or -errno and step (static string) names the failed step;
 * started is then NULL. */
typedef void (*spawner_started_fn)(void *owner, int error, const char *step,
                                   const struct spawner_started *started);

/* Callbacks. All are called on the supervisor's loop, and may call spawner_spawn. Requests that a
 * spawner had not answered when it was lost fail with -EPIPE (a look: -EAGAIN). */
struct spawner_ops {
    /* Answers a job, one for each, in order. error: 0, and the worker's program runs; or -errno,
     * and there is no worker: step names the failed step (static string), spawner_hint has advice.
     * worker: borrowed for the call, its descriptors are the callee's; NULL on error. */
    void (*on_result)(void *owner, unsigned slot, int error, const char *step,
                      const struct spawner_worker *worker);
    /* Answers spawner_look, one for each, in order: error 0 and the facts, or -ESRCH if that
     * process is no worker (any more), or another -errno. facts: borrowed for the call; NULL on
     * error. */
    void (*on_facts)(void *owner, unsigned slot, pid_t pid, int error,
                     const struct jail_facts *facts);
    /* Reports that a worker has ended, for whatever reason, and is reaped; seen by its pidfd,
     * without the spawner. Always after its on_result. The slot may have been given to another
     * worker meanwhile: compare the pid. wait_status: as from waitpid. cpu_ns: CPU time that it has
     * used in all. */
    void (*on_exited)(void *owner, unsigned slot, pid_t pid, int wait_status, uint64_t cpu_ns);
};

/* Forks the spawner. Call in a single-threaded process, before any socket is opened and before
 * event_base_new. The calling thread must live as long as the workers. 0 or -errno
 * (-ENOENT, -EACCES: worker_path). */
int spawner_start(const struct spawner_options *options, struct spawner **ret_spawner);

struct spawner_probe_job {
    enum jit_mode jit;
    layer_set layers; /* layers to try */
    /* From now on the spawner starts no worker without all layers that this probe finds: an
     * attacker who takes the supervisor over gets no lesser jail. */
    bool is_last;
};

/* Tries in throw-away workers which of the layers work together on this host. Blocks, for some
 * milliseconds; before spawner_attach. 0; or -errno, when a layer that must be there is not, with
 * the failed step in text. */
int spawner_probe(struct spawner *spawner, const struct spawner_probe_job *job,
                  struct jail_probe *ret_probe, char *text, size_t size);

/* Attaches the answers to the loop. ops is borrowed and must outlive the spawner. 0 or -errno. */
int spawner_attach(struct spawner *spawner, struct event_base *base, const struct spawner_ops *ops,
                   void *owner);

/* Keeps a second spawner in reserve from now on: the one that works makes it, now and whenever one
 * is lost. The state of the two is told to health (borrowed). After spawner_attach. */
void spawner_keep_reserve(struct spawner *spawner, struct health *health);

/* Asks for one worker; the answer comes later by on_result. 0 or -errno (-EAGAIN: socket full,
 * -EPIPE: both spawners are gone). */
int spawner_spawn(struct spawner *spawner, const struct spawner_job *job);

/* Asks for the program with that number, from 0 on, in spawner_options; the answer comes later by on_started. word: a valid name
 * for a program that takes one, else NULL. There may be any number of processes of one program. 0 or -errno, as for
 * spawner_spawn. */
int spawner_start_helper(struct spawner *spawner, unsigned number, const char *word,
                         spawner_started_fn on_started, void *owner);
/* Takes that owner's on_started back: a helper that is started all the same is ended. */
void spawner_forget(struct spawner *spawner, const void *owner);

/* Asks for the kernel's facts about a worker's jail; the answer comes later by on_facts. with_maps:
 * of its mappings, too. 0 or -errno (-EAGAIN: socket full, -EPIPE: the spawner is gone). */
int spawner_look(struct spawner *spawner, unsigned slot, pid_t pid, bool with_maps);

/* Asks for another skepd, by the program, arguments, folder and environment that this one was
 * started with. The other one inherits the sockets and one end of the hand-over; all stay the
 * caller's. One at a time: -EBUSY in the answer while there is one. 0 or -errno (-EAGAIN: socket
 * full, -EPIPE: the spawner is gone). */
struct successor_ops {
    /* Answers spawner_upgrade: error 0, its pid and pidfd (owned by the callee); or -errno. */
    void (*on_successor)(void *owner, int error, pid_t pid, int pidfd);
    /* Reports that the successor has ended, and is reaped. After its on_successor. */
    void (*on_successor_exited)(void *owner, pid_t pid, int wait_status);
};
struct spawner_upgrade_job {
    /* Borrowed, with owner, until the successor has ended or has taken over. */
    const struct successor_ops *ops;
    void *owner;
    int handover_fd;
    const int *socket_fds;
    const enum socket_kind *socket_kinds;
    size_t n_sockets; /* at most SOCKETS_MAX */
};
int spawner_upgrade(struct spawner *spawner, const struct spawner_upgrade_job *job);

/* Returns advice for the operator about a failed job, or NULL. Static string. */
const char *spawner_hint(int error, const char *step);

/* Returns the pid of the spawner that works (n: 0) or of the reserve (1); 0: it is lost. For
 * tests. */
pid_t spawner_pid(const struct spawner *spawner, unsigned n);

/* Ends workers and spawners; returns once they have ended. No callback is called any more. NULL is
 * allowed. Returns NULL. */
struct spawner *spawner_free(struct spawner *spawner);
