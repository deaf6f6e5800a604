/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker without a process: the other end of the channel and of the scoreboard that the
 * supervisor has made, an honest account of the frames that it got, and the frames that an honest
 * worker may send next. Fails the run on a frame that no supervisor may send: more than the credit,
 * a request that another worker has, or one that has run and may not run twice.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/scoreboard.h"

#define WORKER_APPS SCOREBOARD_PLACEMENTS
#define WORKER_JOBS 256
#define WORKERS 32

enum app_state { APP_NONE, APP_COMING, APP_LOADING, APP_READY, APP_UNLOADING };

/* A version in the worker. */
struct app {
    uint32_t id; /* number of the placement */
    enum app_state state;
    char name[64];
    unsigned row;
    bool reuse_after_stop, is_stopped;
    uint32_t exceeded;
    uint32_t observed; /* limits that are not enforced */
    unsigned n_bindings;
};

/* A call that the JavaScript of a request has made: the client of another request. */
struct out_call {
    uint32_t id;     /* 0: none */
    uint32_t number; /* number of the ask */
    /* The body. */
    uint64_t sent, left;
    uint32_t may_send; /* bytes that the supervisor has granted */
    /* The answer. */
    uint64_t got;
    uint32_t window; /* bytes that may still come */
    uint32_t unread; /* bytes that it got and has not credited */
    uint32_t token;  /* 0: the answer is skepd's own */
    bool has_head;
};
#define JOB_CALLS 9 /* more than the fetches of a request that wait for their heads */

/* A request in the worker. */
struct job {
    uint64_t id;     /* 0: none */
    uint32_t number; /* number of the ask */
    struct app *app; /* NULL: the app is gone, and the job is to end */
    char tenant[64];
    bool has_begun, has_head, has_ended, is_cancelled;
    /* The request's body. */
    uint64_t got;
    uint32_t window; /* bytes that it has granted and not got */
    uint32_t unread; /* bytes that it got and has not credited */
    bool is_all_there;
    /* The response's body. */
    uint64_t said;
    uint32_t credit; /* bytes that it may still send */
    uint32_t exceeded;
    struct out_call calls[JOB_CALLS];
    uint32_t last_call;
};

struct played_worker {
    bool is_there; /* the supervisor has asked for it, and has not heard of its end */
    unsigned slot; /* number that the spawner knows */
    pid_t pid;     /* 0: the spawner has not answered */
    int fd;        /* -1: closed */
    struct scoreboard *board;
    int stat_fd; /* the file that the supervisor reads as its /proc/PID/stat; -1: not spawned */
    /* Time since which the host gives it no processor, so that it neither reads nor sends; 0: it
     * has one. */
    uint64_t waits_since_ns;
    bool reads_late; /* the next frame may have been sent long ago */
    bool was_moving; /* a version was on its way, or it was deaf, when it began to wait */
    bool has_said_hello, is_deaf;
    bool is_hostile;    /* has broken the protocol: the supervisor must ignore all that it sends */
    bool is_killed;     /* the supervisor has killed it, and its end is to come */
    unsigned suspects;  /* tenants that had something in it when it was killed; bits */
    bool is_closed;     /* the supervisor has closed the channel */
    uint64_t last_done; /* id of the request that ended last; 0: none has */
    unsigned pings;
    struct app apps[WORKER_APPS];
    struct job jobs[WORKER_JOBS];
    uint8_t *in; /* owned */
    size_t in_size;
    uint64_t frames; /* number of frames that it got */
};

/* Makes the worker's end of the supervisor's channel and scoreboard, with duplicates of the
 * descriptors. */
void worker_init(struct played_worker *worker, unsigned slot, int channel_fd, int board_fd);
void worker_done(struct played_worker *worker);
/* Reads all frames, unless it is deaf. Returns whether any came. */
bool worker_turn(struct played_worker *worker);

/* Returns the n-th job, counting round and round; NULL if there is none. */
struct job *worker_pick_job(struct played_worker *worker, uint32_t n);
struct app *worker_pick_app(struct played_worker *worker, uint32_t n, enum app_state state);
/* Returns whether a version of the tenant has something in it, by which the worker may have died. */
bool worker_is_candidate(const struct played_worker *worker, const char *tenant, bool is_memory);

/* Returns whether it may send frames: it is ready, and has not broken the protocol. */
bool worker_may_say(const struct played_worker *worker);
/* Frames of an honest worker; each function does nothing where an honest one would not send its
 * frame. */
void worker_say_hello(struct played_worker *worker);
void worker_say_loaded(struct played_worker *worker, struct app *app, unsigned result);
void worker_say_unloaded(struct played_worker *worker, struct app *app);
void worker_say_stopped(struct played_worker *worker, struct app *app);
void worker_say_pong(struct played_worker *worker);
void worker_begin(struct played_worker *worker, struct job *job);
void worker_say_head(struct played_worker *worker, struct job *job, uint32_t bytes, bool is_end);
void worker_say_body(struct played_worker *worker, struct job *job, uint32_t bytes, bool is_end);
void worker_say_credit(struct played_worker *worker, struct job *job);
/* The job calls another tenant, or (CALL_FETCH_BINDING) asks a server, with that many bytes of body. */
void worker_say_call(struct played_worker *worker, struct job *job, uint32_t binding,
                     uint32_t bytes);
/* For the job's n-th call: sends more of the body; credits what was read of the answer; cancels it. */
void worker_say_call_body(struct played_worker *worker, struct job *job, uint32_t n,
                          uint32_t bytes);
void worker_say_call_credit(struct played_worker *worker, struct job *job, uint32_t n);
void worker_say_call_cancel(struct played_worker *worker, struct job *job, uint32_t n);
/* outcome: of worker.proto; another is sent if that one is not true of the job. */
void worker_say_done(struct played_worker *worker, struct job *job, unsigned outcome,
                     uint64_t cpu_us);
void worker_say_exceeded(struct played_worker *worker, struct app *app, struct job *job,
                         unsigned limit);
void worker_say_log(struct played_worker *worker, struct app *app);
/* Sends something that no worker may send. Returns whether it has. */
bool worker_break_protocol(struct played_worker *worker, unsigned how);
/* Stops reading, or reads again. */
void worker_deafen(struct played_worker *worker);
/* The host gives it no processor, or gives it one again. */
void worker_wait_or_go_on(struct played_worker *worker);
/* Returns whether it waits for a processor, and not yet for so long that the supervisor may give it up as silent. */
bool worker_is_excused(const struct played_worker *worker, uint64_t now_ns);
/* From now on the answers to its requests may be broken off. */
void worker_let_answers_be_cut(const struct played_worker *worker);
/* Closes its end of the channel. */
void worker_hang_up(struct played_worker *worker);
