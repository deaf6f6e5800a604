/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker without a process: the other end of the channel and of the scoreboard that the supervisor has made, an
 * honest account of what it was sent, and the frames that an honest one may say next. It fails the run when it
 * is sent what no supervisor may send: more than its credit, a request that another worker has, or one that has run
 * and may not run twice.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/scoreboard.h"

#define WORKER_APPS SCOREBOARD_TENANTS
#define WORKER_JOBS 256
#define WORKERS 32

enum app_state { APP_NONE, APP_COMING, APP_LOADING, APP_READY, APP_UNLOADING };

/* A version in the worker. */
struct app {
    uint32_t id; /* its placement */
    enum app_state state;
    char name[64];
    unsigned place;
    bool reuse_after_stop, is_stopped;
    uint32_t exceeded;
    uint32_t observed; /* limits that are not enforced */
    unsigned n_bindings;
};

/* A call that the JavaScript of a request has made: the client of another request. */
struct out_call {
    uint32_t id;     /* 0: none */
    uint32_t number; /* of the ask that it is */
    /* The body. */
    uint64_t sent, left;
    uint32_t may_send; /* what the supervisor has granted */
    /* The answer. */
    uint64_t got;
    uint32_t window; /* that may still come */
    uint32_t unread; /* got, and not credited */
    uint32_t token;  /* 0: it is skepd's own */
    bool has_head;
};
#define JOB_CALLS 3

/* A request in the worker. */
struct job {
    uint64_t id;     /* 0: none */
    uint32_t number; /* of the ask */
    struct app *app; /* NULL: gone, and the job is to end */
    char tenant[64];
    bool has_begun, has_head, has_ended, is_cancelled;
    /* The request's body. */
    uint64_t got;
    uint32_t window; /* that it has granted and not got */
    uint32_t unread; /* got, and not credited */
    bool is_all_there;
    /* The response's body. */
    uint64_t said;
    uint32_t credit; /* that it may still say */
    uint32_t exceeded;
    struct out_call calls[JOB_CALLS];
    uint32_t last_call;
};

struct played_worker {
    bool is_there; /* the supervisor has asked for it, and has not heard of its end */
    unsigned slot; /* as the spawner calls it */
    pid_t pid;     /* 0: the spawner has not answered */
    int fd;        /* -1: closed */
    struct scoreboard *board;
    int stat_fd; /* what the supervisor reads as its /proc/PID/stat; -1: not spawned */
    /* Since when the host gives it no processor, so that it neither reads nor says anything; 0: it has one. */
    uint64_t waits_since_ns;
    bool reads_late; /* what it reads next may have been sent long ago */
    bool was_moving; /* a version was on its way, or it was deaf, when it began to wait */
    bool has_said_hello, is_deaf;
    bool is_hostile;    /* has broken the protocol: nothing that it says counts */
    bool is_killed;     /* by the supervisor: its end is to come */
    unsigned suspects;  /* tenants that had something in it then; bits */
    bool is_closed;     /* the supervisor has closed the channel */
    uint64_t last_done; /* id of the request that ended last; 0: none has */
    unsigned pings;
    struct app apps[WORKER_APPS];
    struct job jobs[WORKER_JOBS];
    uint8_t *in; /* owned */
    size_t in_size;
    uint64_t frames; /* that it was sent */
};

/* Takes over what the supervisor has made: descriptors are duplicated. */
void worker_init(struct played_worker *worker, unsigned slot, int channel_fd, int board_fd);
void worker_done(struct played_worker *worker);
/* Reads what it was sent, unless it is deaf. Returns whether anything came. */
bool worker_turn(struct played_worker *worker);

/* The n-th of those that are there, from any number; NULL: none is. */
struct job *worker_pick_job(struct played_worker *worker, uint32_t n);
struct app *worker_pick_app(struct played_worker *worker, uint32_t n, enum app_state state);
/* Whether a version of the tenant has something in it, by which the worker may have died. */
bool worker_is_candidate(const struct played_worker *worker, const char *tenant, bool is_memory);

/* Whether it may say anything: it is ready, and has not broken the protocol. */
bool worker_may_say(const struct played_worker *worker);
/* What an honest worker says; each does nothing where it would not. */
void worker_say_hello(struct played_worker *worker);
void worker_say_loaded(struct played_worker *worker, struct app *app, unsigned result);
void worker_say_unloaded(struct played_worker *worker, struct app *app);
void worker_say_stopped(struct played_worker *worker, struct app *app);
void worker_say_pong(struct played_worker *worker);
void worker_begin(struct played_worker *worker, struct job *job);
void worker_say_head(struct played_worker *worker, struct job *job, uint32_t bytes, bool is_end);
void worker_say_body(struct played_worker *worker, struct job *job, uint32_t bytes, bool is_end);
void worker_say_credit(struct played_worker *worker, struct job *job);
/* The job calls another tenant, with so many bytes of body. */
void worker_say_call(struct played_worker *worker, struct job *job, uint32_t binding,
                     uint32_t bytes);
/* The n-th of its calls: more of the body; what was read of the answer; no more of it. */
void worker_say_call_body(struct played_worker *worker, struct job *job, uint32_t n,
                          uint32_t bytes);
void worker_say_call_credit(struct played_worker *worker, struct job *job, uint32_t n);
void worker_say_call_cancel(struct played_worker *worker, struct job *job, uint32_t n);
/* outcome: of worker.proto; changed to one that is true of the job. */
void worker_say_done(struct played_worker *worker, struct job *job, unsigned outcome,
                     uint64_t cpu_us);
void worker_say_exceeded(struct played_worker *worker, struct app *app, struct job *job,
                         unsigned limit);
void worker_say_log(struct played_worker *worker, struct app *app);
/* Something that no worker may say. Returns whether it said it. */
bool worker_break_protocol(struct played_worker *worker, unsigned how);
/* Stops to read, or reads again. */
void worker_deafen(struct played_worker *worker);
/* The host gives it no processor, or gives it one again. */
void worker_wait_or_go_on(struct played_worker *worker);
/* Returns whether it waits for a processor, and not yet for so long that the supervisor may give it up as silent. */
bool worker_is_excused(const struct played_worker *worker, uint64_t now_ns);
/* The answers to what is in it may be broken off from now on. */
void worker_let_answers_be_cut(const struct played_worker *worker);
/* Closes its end of the channel. */
void worker_hang_up(struct played_worker *worker);
