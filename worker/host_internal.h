/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host's files share: host.c (frames), app.c (tenants), job.c (requests), timer.c,
 * entry.c (the one way into JavaScript). Nobody else includes this.
 */
#pragma once

#include <event2/buffer.h>
#include <sys/queue.h>

#include "proto/channel.h"
#include "proto/frame.h"
#include "proto/head.h"
#include "worker.pb-c.h"
#include "worker/host.h"
#include "worker/isolate.h"

#define APPS_MAX SCOREBOARD_TENANTS
#define JOBS_MAX SCOREBOARD_SLOTS

TAILQ_HEAD(job_list, job);
TAILQ_HEAD(timer_list, timer);
TAILQ_HEAD(call_list, call);

struct host {
    struct host_options options;
    struct channel *channel;
    struct sentry *sentry;
    struct event *linger;  /* made active when an app has too many requests that only timers keep */
    uint64_t where_ns;     /* when the place of an await was looked for last */
    struct event *quiet;   /* ticks until the worker has been warmed up; then NULL */
    struct event *measure; /* soon after an entry that was not measured */
    bool is_measure_due;
    bool is_trim_due; /* isolates have gone since trimmed_ns */
    uint64_t trimmed_ns;
    unsigned warm_up_step;
    bool is_warm;            /* all steps are done */
    struct isolate *blank;   /* made ahead for the next tenant; NULL: none */
    uint32_t blank_heap_mib; /* what the last tenant had */
    uint64_t frames_seen;    /* received at the last of these seconds */
    struct scoreboard *board;
    struct app *apps[APPS_MAX]; /* index: place on the scoreboard */
    struct job *jobs[JOBS_MAX]; /* index: slot */
    struct app *running_app;    /* borrowed; set while JavaScript runs */
    struct job *running_job;
    uint32_t unflushed_tenant; /* whose frames wait in the channel */
    uint64_t reads;            /* of the channel, so far */
    unsigned n_silent;         /* requests of this read that run and have not said anything */
};

/* One request, or (id 0) the load of an app. */
struct job {
    TAILQ_ENTRY(job) entry;
    uint64_t id;
    struct app *app; /* borrowed: the app outlives its jobs */
    uint32_t slot;
    uint64_t cpu_ns;
    uint64_t spared_ns; /* of it, what cpu_ms does not count: see on_body, job_add_credit */
    uint64_t credit;    /* bytes of response body that may be sent */
    uint32_t unread;    /* request body that JavaScript has, within the window */
    uint32_t consumed;  /* request body that it has read, not yet granted again */
    struct timer_list timers;
    unsigned n_timers;
    struct call_list calls; /* open ones, see call.h */
    uint32_t last_call;     /* number of the last one */
    uint64_t log_bytes;
    uint64_t silent_since;    /* host.reads when it entered JavaScript; 0: it has said something */
    uint64_t began_ns;        /* when it came */
    uint64_t awake_ns;        /* when its JavaScript ran in the entry of another, see wake.c */
    uint64_t linger_until_ns; /* what is due by then keeps it; 0: it has not ended yet */
    uint32_t linger_ms;       /* that long after its end */
    unsigned n_dropped;       /* timers that went because of its end */
    bool is_lingering;        /* is_done, and only its timers keep it */
    bool is_body_ended;       /* nothing of the request's body is to come */
    bool has_read;            /* of the request's body */
    bool is_head_sent;
    bool is_end_sent;
    bool wants_credit;  /* JavaScript waits for isolate_on_credit */
    bool is_done;       /* JavaScript is through with it; goes at the end of the entry */
    bool is_idempotent; /* its method: may be sent again */
    bool is_stopped;    /* over its budget: it leaves nothing to others */
    bool is_held;       /* does not end yet, even if is_done */
    bool is_log_cut;
    uint32_t exceeded; /* bit 1 << limit: the supervisor was told */
    Skep__Worker__Outcome outcome;
    char *message; /* of done; owned */
    size_t message_size;
};

/* One version of a tenant. */
struct app {
    struct host *host; /* borrowed */
    uint32_t id;
    uint32_t place; /* on the scoreboard */
    char *name;
    char *main;
    uint32_t cpu_ms, cpu_startup_ms, timers_max, log_kib;
    uint32_t observed; /* bit 1 << limit: noted, not enforced */
    uint32_t hung_ms;  /* UINT32_MAX: off */
    uint32_t linger_ms, lingering_max;
    unsigned n_lingering;
    uint64_t dropped_said_ns; /* when the log was told last that timers were dropped */
    struct event *hung;       /* see wake.c */
    uint64_t asleep_ns; /* since when nothing but a request can wake any of its; 0: something can */
    bool is_watched;    /* isolate_watch is on */
    bool is_retired;    /* no other request comes, says the supervisor */
    unsigned n_bindings;
    struct isolate *isolate;
    struct job boot;
    struct job_list jobs;
    char *file_path; /* file now being received */
    struct evbuffer *file;
    struct event *boot_deadline;
    int64_t last_timer; /* for each tenant: what the others do cannot be counted with it */
    uint64_t measured_ns;
    bool is_unmeasured; /* has had an entry since then */
    bool is_running_load;
    bool is_checked;     /* LoadCheck has come in place of LoadEnd */
    bool has_faults;     /* problems that would fail a load were found */
    unsigned n_problems; /* of either kind */
    bool is_ready;
    bool reuse_after_stop;
    bool is_stopped; /* JavaScript was terminated in it: takes no request any more */
};

/* ---- host.c */
/* As isolate_new, at once if there is one that was made ahead. */
int host_take_isolate(struct host *host, const struct isolate_options *options,
                      struct isolate **ret_isolate);
void host_send(struct host *host, Skep__Worker__FromWorker__MessageCase which, void *message);

/* ---- app.c */
struct app *app_find(struct host *host, uint32_t id); /* may be NULL */
int app_new(struct host *host, const Skep__Worker__LoadBegin *load, struct app **ret_app);
/* The next part of a file; isolate_add_file's errors, of the file before, too. */
int app_add_file(struct app *app, const Skep__Worker__LoadFile *file);
int app_finish_files(struct app *app);
/* Charges the tenant with the thread's CPU time since then, by its clock: what making an isolate costs. */
void app_charge(struct app *app, uint64_t from_ns);
void app_load(struct app *app);
/* Instead of app_load: compiles and links, and runs nothing. The app is gone. */
void app_check_files(struct app *app);
/* Looks whether a load that waited has come to an end. After each entry of the boot job. */
void app_check_load(struct app *app);
void app_fail_load(struct app *app, Skep__Worker__LoadResult result, const char *message);
/* All its requests end with outcome, the isolate goes, the supervisor is told. */
void app_dispose(struct app *app, Skep__Worker__Outcome outcome);
/* A job was stopped in the middle, for its CPU time, and with it what was queued in the isolate: what it
 * has left half-done is met by no other request. Before the job's end. */
void app_on_stop(struct app *app);
void app_free(struct app *app);

/* ---- job.c */
extern const struct isolate_host job_ops;
void job_init(struct job *job, struct app *app, uint64_t id);
int job_new(struct app *app, const Skep__Worker__Request *request, struct head_text method,
            struct job **ret_job);
struct job *job_find(struct host *host, uint64_t id); /* may be NULL */
void job_add_credit(struct job *job, uint32_t bytes);
/* Sends done and frees it. Not while its JavaScript runs. */
void job_finish(struct job *job, Skep__Worker__Outcome outcome, const char *message, size_t size);
void job_release(struct job *job); /* what it holds, not the struct */
/* From its entry into JavaScript on, until it sends its head or done. */
void job_begin_silence(struct job *job);
/* Ends it if JavaScript is through with it, and no timer keeps it. Not inside its own entry. */
void job_settle(struct job *job);
/* For the host's event; arg: the host. */
void job_on_linger(evutil_socket_t fd, short what, void *arg);
void job_log(struct app *app, struct job *job, Skep__Worker__LogLevel level, const void *text,
             size_t size);

/* ---- exceeded.c */
/* Tells the supervisor, once for each limit and job, that the limit was met. used: in the unit of the
 * limit. Returns true if it is enforced, false if it is only observed. */
bool exceeded_note(struct job *job, Skep__Worker__Limit limit, uint64_t used);
bool exceeded_is_observed(const struct app *app, Skep__Worker__Limit limit);
/* After an entry of the job: what it has used up of CPU time and memory. */
void exceeded_check(struct job *job);

/* ---- timer.c */
int64_t timer_start(struct job *job, uint64_t delay_ms, bool repeat);
void timer_stop(struct job *job, int64_t id);
/* The job ends. Returns whether its timer keeps it, because it is due within linger_ms; else the timer is
 * gone. */
bool timer_keep(struct job *job, int64_t id);
/* Tells the tenant's log how many timers went with the job. */
void timer_note_dropped(struct job *job);
void timer_stop_all(struct job *job);
/* Timers of the boot job that were due while no request of the app was in the worker. */
bool timer_is_waiting(const struct job *boot);
/* Runs each of them once, as long as a request is there. The app may be gone after it. */
void timer_run_waiting(struct app *app);

/* ---- entry.c */
/* An entry into JavaScript on behalf of job: entry_begin, one isolate_* call, entry_end with its
 * result. entry_begin returns false if the job has no CPU budget left; then the job has been
 * finished, and neither the call nor entry_end may follow. After entry_end job and app may be
 * gone. */
bool entry_begin(struct app *app, struct job *job);
void entry_end(struct app *app, struct job *job, enum isolate_result result);
/* Has memory measured, and what is free given back, within a while. */
void entry_measure_soon(struct host *host);
/* For the host's event; arg: the host. */
void entry_on_measure(evutil_socket_t fd, short what, void *arg);
