/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The internals that the host's files share: host.c (frames), app.c (versions), job.c (requests),
 * timer.c, entry.c (the one way into JavaScript). Included by these only.
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

#define APPS_MAX SCOREBOARD_PLACEMENTS
#define JOBS_MAX SCOREBOARD_REQUESTS

TAILQ_HEAD(job_list, job);
TAILQ_HEAD(timer_list, timer);
TAILQ_HEAD(call_list, call);

struct host {
    struct host_options options;
    struct channel *channel;
    struct sentry *sentry;
    struct event *linger;  /* active when an app has too many requests that only timers keep */
    uint64_t where_ns;     /* time of the last search for the place of an await */
    struct event *quiet;   /* ticks until the worker has been warmed up; then NULL */
    struct event *measure; /* soon after an entry that was not measured */
    struct event *rest;    /* when an app was idle long enough to rest; see rest.h */
    bool is_measure_due;
    bool is_trim_due; /* isolates have gone since trimmed_ns */
    uint64_t trimmed_ns;
    uint64_t released_ns; /* time of the last isolate_release_spare */
    unsigned warm_up_step;
    bool is_warm;            /* all steps are done */
    struct isolate *blank;   /* made ahead for the next tenant; NULL: none */
    uint32_t blank_heap_mib; /* heap_mib of the last tenant */
    uint64_t frames_seen;    /* frames received at the last tick of quiet */
    struct scoreboard *board;
    struct scoreboard_thread *thread; /* row of the thread that runs JavaScript */
    struct app *apps[APPS_MAX];       /* index: row on the scoreboard */
    struct job *jobs[JOBS_MAX];       /* index: row */
    struct app *running_app;          /* borrowed; set while JavaScript runs */
    struct job *running_job;
    bool may_use_credit;       /* the entry that runs may use the app's first credit */
    uint32_t unflushed_tenant; /* tenant whose frames wait in the channel */
    uint64_t reads;            /* reads of the channel, so far */
    unsigned n_silent;         /* running requests of this read that have sent nothing yet */
};

/* One request, or (id 0) the load of an app. */
struct job {
    TAILQ_ENTRY(job) entry;
    uint64_t id;
    struct app *app; /* borrowed: the app outlives its jobs */
    uint32_t row;
    uint64_t cpu_ns;
    uint64_t spared_ns; /* part of cpu_ns that cpu_ms does not count: see on_body, job_add_credit */
    uint64_t first_ns;  /* likewise: part of cpu_ns that came out of the app's first credit */
    uint64_t credit;    /* bytes of response body that may be sent */
    uint32_t unread;    /* request body that JavaScript has, within the window */
    uint32_t consumed;  /* request body that JavaScript has read, not yet granted again */
    struct timer_list timers;  /* the first is due first */
    struct event *timer_event; /* pending while there are timers, unless they wait for a request */
    unsigned n_timers;
    struct call_list calls; /* open ones, see call.h */
    uint32_t last_call;     /* number of the last call */
    uint64_t log_bytes;
    /* Host.reads when the job entered JavaScript; 0: it has sent something. */
    uint64_t silent_since;
    uint64_t began_ns; /* time of arrival */
    uint64_t awake_ns; /* time when its JavaScript ran in the entry of another, see wake.c */
    /* Timers that are due by then keep the job; 0: the job has not ended yet. */
    uint64_t linger_until_ns;
    uint32_t linger_ms; /* how long timers may keep the job after its end */
    unsigned n_dropped; /* timers that were dropped because of the job's end */
    bool is_lingering;  /* is_done, and only its timers keep it */
    bool is_body_ended; /* all of the request's body has come */
    bool has_read;      /* JavaScript has read of the request's body */
    bool is_head_sent;
    bool is_end_sent;
    bool wants_credit;  /* JavaScript waits for isolate_on_credit */
    bool is_done;       /* JavaScript is through with the job, which goes at the end of the entry */
    bool is_idempotent; /* the method is idempotent: the request may be sent again */
    bool is_stopped;    /* stopped over its budget: its timers go, too */
    bool is_held;       /* the job does not end yet, even if is_done */
    bool is_log_cut;
    uint32_t exceeded; /* bit 1 << limit: reported to the supervisor */
    Skep__Worker__Outcome outcome;
    char *message; /* message of done; owned */
    size_t message_size;
};

/* One version of a tenant, in one isolate. */
struct app {
    struct host *host; /* borrowed */
    uint32_t id;
    uint32_t row; /* on the scoreboard */
    char *name;
    char *main;
    uint32_t cpu_ms, cpu_startup_ms, timers_max, log_kib;
    /* CPU time that its requests may use beyond cpu_ms; with that of the load, until it has ended. */
    uint64_t first_credit_ns;
    uint32_t observed; /* bit 1 << limit: noted, not enforced */
    uint32_t hung_ms;  /* UINT32_MAX: off */
    uint32_t linger_ms, lingering_max;
    unsigned n_lingering;
    uint64_t dropped_said_ns; /* time when the log was last told that timers were dropped */
    struct event *hung;       /* see wake.c */
    /* Time since when only a request can wake any of its requests; 0: something else can. */
    uint64_t asleep_ns;
    bool is_watched; /* isolate_watch is on */
    bool is_retired; /* the supervisor has said that no other request comes */
    unsigned n_bindings;
    struct isolate *isolate;
    struct job boot;
    struct job_list jobs;
    char *file_path; /* file now being received */
    struct evbuffer *file;
    uint32_t files_bytes; /* size of all files that have come */
    struct event *boot_deadline;
    /* Number of the last timer, apart for each app: no tenant can count the timers of others. */
    int64_t last_timer;
    uint64_t measured_ns;
    uint64_t released_ns; /* time of the last isolate_release_regions */
    bool is_unmeasured;   /* there was an entry since measured_ns */
    uint64_t used_ns;     /* end of the last entry */
    bool is_restless;     /* there was an entry since the last rest */
    bool is_running_load;
    bool is_checked;     /* LoadCheck has come in place of LoadEnd */
    bool has_faults;     /* problems that would fail a load were found */
    unsigned n_problems; /* errors and warnings */
    bool is_ready;
    bool reuse_after_stop;
    bool is_stopped; /* JavaScript was terminated in the isolate, which takes no request any more */
};

/* ---- host.c */
/* Makes an isolate as isolate_new does; takes the one that was made ahead, if it fits. */
int host_take_isolate(struct host *host, const struct isolate_options *options,
                      struct isolate **ret_isolate);
void host_send(struct host *host, Skep__Worker__FromWorker__MessageCase which, void *message);

/* ---- app.c */
struct app *app_find(struct host *host, uint32_t id); /* may be NULL */
int app_new(struct host *host, const Skep__Worker__LoadBegin *load, struct app **ret_app);
/* Adds the next part of a file; errors are those of isolate_add_file, also for the file before. */
int app_add_file(struct app *app, const Skep__Worker__LoadFile *file);
int app_finish_files(struct app *app);
/* Charges the tenant with the thread's CPU time since from_ns on its clock: the cost of making an
 * isolate. */
void app_charge(struct app *app, uint64_t from_ns);
void app_load(struct app *app);
/* Instead of app_load: compiles and links, and runs nothing. The app is gone. */
void app_check_files(struct app *app);
/* Looks whether a load that waited has come to an end. After each entry of the boot job. */
void app_check_load(struct app *app);
void app_fail_load(struct app *app, Skep__Worker__LoadResult result, const char *message);
/* Ends all requests of the app with outcome, disposes of the isolate, and tells the supervisor. */
void app_dispose(struct app *app, Skep__Worker__Outcome outcome);
/* Notes that a job was stopped in the middle, for its CPU time: the isolate's state may be half
 * changed, and queued work of other requests is lost, so that no other request may meet it. Called
 * before the job's end. */
void app_on_stop(struct app *app);
void app_free(struct app *app);

/* ---- job.c */
extern const struct isolate_host job_ops;
void job_init(struct job *job, struct app *app, uint64_t id);
int job_new(struct app *app, const Skep__Worker__Request *request, struct head_text method,
            struct job **ret_job);
struct job *job_find(struct host *host, uint64_t id); /* may be NULL */
void job_add_credit(struct job *job, uint32_t bytes);
/* Sends done and frees the job. Not while its JavaScript runs. */
void job_finish(struct job *job, Skep__Worker__Outcome outcome, const char *message, size_t size);
void job_release(struct job *job); /* frees the job's members, not the struct */
/* Notes that the job enters JavaScript; the silence ends when the job sends its head or done. */
void job_begin_silence(struct job *job);
/* Ends the job if JavaScript is through with it, and no timer keeps it. Not inside the job's own
 * entry. */
void job_settle(struct job *job);
/* Callback of the host's event; arg: the host. */
void job_on_linger(evutil_socket_t fd, short what, void *arg);
/* Sends a line of the job to its tenant's log, within its log_kib. */
void job_log(struct app *app, struct job *job, Skep__Worker__LogLevel level, const void *text,
             size_t size);
/* The same for a line of another request, 0 or one that is over, which counts for the job. */
void job_log_for(struct app *app, struct job *job, uint64_t request, Skep__Worker__LogLevel level,
                 const void *text, size_t size);

/* ---- exceeded.c */
/* Tells the supervisor, once for each limit and job, that the limit was met. used: in the unit of
 * the limit. Returns true if the limit is enforced, false if it is only observed. */
bool exceeded_note(struct job *job, Skep__Worker__Limit limit, uint64_t used);
bool exceeded_is_observed(const struct app *app, Skep__Worker__Limit limit);
/* Notes the limits of CPU time and memory that the job has met. Called after each of its
 * entries. */
void exceeded_check(struct job *job);

/* ---- timer.c */
int64_t timer_start(struct job *job, uint64_t delay_ms, bool repeat);
void timer_stop(struct job *job, int64_t id);
/* Decides about a timer of a job that ends. Returns true if the timer is due within linger_ms, and
 * so keeps the job; otherwise frees the timer. */
bool timer_keep(struct job *job, int64_t id);
/* Tells the tenant's log how many timers went with the job. */
void timer_note_dropped(struct job *job);
void timer_stop_all(struct job *job);
/* Returns whether timers of the boot job became due while no request of the app was in the
 * worker. */
bool timer_is_waiting(const struct job *boot);
/* Runs each of these timers once, as long as a request is there. The app may be gone afterwards. */
void timer_run_waiting(struct app *app);

/* ---- entry.c */
/* Begin and end an entry into JavaScript on behalf of job: entry_begin, one isolate_* call,
 * entry_end with its result. entry_begin returns false if the job has no CPU budget left; then the
 * job has been finished, and neither the call nor entry_end may follow. After entry_end job and app
 * may be gone. */
bool entry_begin(struct app *app, struct job *job);
void entry_end(struct app *app, struct job *job, enum isolate_result result);
/* Plans a measurement of memory within a while, which also gives free memory back. */
void entry_measure_soon(struct host *host);
/* Callback of the host's event; arg: the host. */
void entry_on_measure(evutil_socket_t fd, short what, void *arg);
