/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The internals that the files of the data process share: process.c (the process and its frames), operations.c (one operation: its
 * request, its answer, its end), lanes.c (the order in which operations get a thread), jobs.c (what a thread does), tenants.c (tenants and
 * their files), share.c (files that another process needs, too), watch.c (times). Included by these and their tests only. All state is the loop thread's, but for what a comment says.
 *
 * A tenant has a lane for each kind of storage. A lane has at most one job with a thread at a time, so that an engine's file is used by one
 * thread at a time; lanes with work take turns.
 *
 *   CORDON/                   the working folder
 *   CORDON/TENANT/kv.db       all namespaces of a tenant
 *   CORDON/TENANT/sql-NAME.db a database of a tenant
 */
#pragma once

#include <event2/event.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/io.h"
#include "config/names.h"
#include "data.pb-c.h"
#include "data/engine.h"
#include "data/program.h"
#include "data/threads.h"

#define DATA_THREADS 16
#define DATA_SQL_THREADS_MAX \
    12 /* jobs of SQL at a time, which take long: key-value always has a thread */
#define DATA_FILES_MAX 64 /* open files of engines */
#define DATA_TENANTS_MAX 16384
#define DATA_BATCH_MAX 64 /* operations of one job */
/* Bytes of the requests of one job, and room for its answers. */
#define DATA_BATCH_BYTES ((size_t) 16 << 20)
/* Bytes that requests and answers take in memory: of one tenant, and of all. */
#define DATA_TENANT_BYTES_MAX ((size_t) 64 << 20)
#define DATA_BYTES_MAX ((size_t) 256 << 20)
/* Bytes that a tenant may have whatever others have; more only while as much is free. Enough for one operation with the usual limits. */
#define DATA_TENANT_BYTES_LEAST ((size_t) 28 << 20)
/* Bytes of all above which operations that have held theirs for DATA_HOLD_NS, because their tenant sends or reads slowly, are ended. Below
 * it, the largest operation of another tenant has room. */
#define DATA_BYTES_SHORT (DATA_BYTES_MAX - 2 * DATA_ANSWER_MAX)
#define DATA_HOLD_NS (5 * NSEC_PER_SEC)
/* The most that one answer has; less if a limit says so. */
#define DATA_ANSWER_MAX ((size_t) 48 << 20)
/* Room for an answer of key-value at first: an operation that needs more is run again, alone. */
#define DATA_ANSWER_FIRST ((size_t) 128 << 10)
/* Bytes of an operation up to which those of its tenant, but for DATA_TENANT_BYTES_MAX, do not count. */
#define DATA_SMALL_BYTES (DATA_WINDOW_BYTES + DATA_ANSWER_FIRST)
#define DATA_KV_MS 30000      /* time of a job of key-value, its file being open */
#define DATA_COPY_MS 600000   /* time of a piece of a copy of a database */
#define DATA_MIGRATE_MS 60000 /* time of all migrations of a database: a deploy waits for them */
#define DATA_END_MS 30000     /* time of a job that nobody wants any more */
#define DATA_WAIT_NS (30 * NSEC_PER_SEC) /* for more of a request, or for a thread */
#define DATA_IDLE_NS (60 * NSEC_PER_SEC) /* after which a file that nobody uses is closed */
#define DATA_BUSY_NS (5 * NSEC_PER_SEC)  /* for a file of another process, which is to end */
/* Times of files that are shared: that one stays open while its lane has work, that a lane leaves it to others then, and until a file that
 * another process has is tried again. */
#define DATA_SHARE_NS (20 * NSEC_PER_MSEC)
#define DATA_YIELD_NS (6 * NSEC_PER_MSEC)
#define DATA_RETRY_NS NSEC_PER_MSEC
#define DATA_BUCKETS 1024

struct helper_client;
struct helper_program;
struct kv;
struct sql;
struct lane;
struct tenant;
TAILQ_HEAD(operation_list, operation);
TAILQ_HEAD(lane_list, lane);
TAILQ_HEAD(file_list, file);
LIST_HEAD(operation_bucket, operation);
LIST_HEAD(tenant_bucket, tenant);

/* The whole process. */
struct data {
    const char *cordon;           /* option --cordon */
    uint32_t kv_ms;               /* DATA_KV_MS; less in tests */
    struct event_base *base;      /* borrowed */
    struct helper_client *client; /* borrowed: the one that was heard last; NULL: it has left */
    struct threads *threads;
    struct event *returned;      /* work has come back from threads */
    struct event *watch, *share; /* share: event of paused lanes and shared files */
    bool is_shared;              /* another process uses the files, too */
    struct lane_list paused;
    bool is_watch_fast;
    uint64_t swept_ns;                                /* the last watch_sweep */
    struct operation_bucket operations[DATA_BUCKETS]; /* those whose Done is not sent */
    struct operation_list gathering, answering;
    unsigned n_operations; /* with those that nobody wants any more, but a thread has */
    size_t n_bytes;
    struct tenant_bucket
        tenants[DATA_BUCKETS]; /* with those that have been closed, and still have operations */
    unsigned n_tenants;
    struct lane_list ready; /* lanes that have something to do and no thread; in their turn */
    struct lane_list running;
    unsigned n_running, n_sql_running;
    struct file_list files; /* open ones; the one used last comes last */
    unsigned n_files, n_closing;
    uint64_t stuck_ns; /* 0: the process lives; else Stuck was sent, and nothing is sent after it */
};

/* ---- files: an engine's file; tenants.c */

struct file {
    TAILQ_ENTRY(file) entry;
    struct lane *lane; /* borrowed */
    char space[NAME_MAX_BYTES + 1];
    char path[2 * NAME_MAX_BYTES + 16];
    /* The engines: of the thread that has the lane's job. lock: to set them, and to look at them in the loop thread. */
    pthread_mutex_t lock;
    struct kv *kv;
    struct sql *sql;
    uint64_t used_ns;
    uint64_t opened_ns; /* set with the engines; 0: none is open */
    bool wants_close;
};

/* Returns the lane's file of that name; NULL: it is not open. */
struct file *file_find(const struct data *data, const struct lane *lane, const char *space);
/* Returns whether the lane has an open file. */
bool file_is_any(const struct data *data, const struct lane *lane);
/* Makes the state of a file that a job will open. NULL: out of memory. */
struct file *file_new(struct data *data, struct lane *lane, const char *space);
void file_free(struct data *data, struct file *file);
/* Makes the lane close the file, when its turn comes. */
void file_close_soon(struct data *data, struct file *file);
/* Makes room for another file: the one that was not used for the longest time, of a lane that has no thread, is closed. */
void files_make_room(struct data *data);

/* ---- jobs: what a thread does; jobs.c */

struct job {
    struct work work;
    struct file *file; /* borrowed; NULL: the job removes the tenant's folder */
    bool is_close;     /* else: runs the operations */
    struct operation *operations[DATA_BATCH_MAX];
    size_t n;
    uint64_t started_ns, deadline_ns;
    bool is_open; /* deadline_ns counts from the file's opening, where this job has opened it */
    bool is_overdue, is_given_up;
    int error; /* 0, or why the file could not be opened, or the folder not removed */
    char notice[512];
};

/* Does a job. In a thread. */
void job_run(struct work *work);
/* Makes a job of SQL that a thread has end soon; anything may be interrupted at any time. In the loop thread. */
void job_interrupt(struct job *job);
/* Returns a deadline of the job, moved by the time that opening the file has taken: a tenant has no part in that. opened_ns: 0: the file is
 * not open. Any thread. */
uint64_t job_deadline(const struct job *job, uint64_t deadline_ns, uint64_t opened_ns);
/* Closes the engine's file; in the job's thread, or when there are no threads. */
void job_close_file(struct file *file);

/* ---- lanes: operations of one kind of one tenant, in their order; lanes.c */

struct lane {
    TAILQ_ENTRY(lane) entry; /* in one of the lists ready, running and paused */
    struct data *data;       /* borrowed */
    struct tenant *tenant;   /* borrowed */
    Skep__Data__Kind kind;
    struct operation_list waiting;
    bool is_ready; /* is in data->ready */
    /* End of its pause, in which another process may have its files; 0: is not in data->paused. */
    uint64_t paused_ns;
    uint64_t busy_ns;   /* time since which another process has had a file of it; 0: none has */
    bool wants_removal; /* the tenant's folder is to be removed, once all of its files are closed */
    bool is_running;
    struct job job; /* if it is running: a thread's, but for what the loop thread has set */
};

/* Notes that the lane may have something to do. */
void lane_check(struct lane *lane);
/* Gives work to threads, as far as there are threads and memory. */
void lanes_schedule(struct data *data);
/* Takes back all work that threads have done. */
void lanes_take_back(struct data *data);
/* Looks at the times of all jobs that threads have: has those that are over them, or that nobody wants any more, end. Returns a lane whose
 * job of SQL does not end; NULL: there is none. Key-value runs nothing of a tenant: operations are answered where the disk takes too long. */
const struct lane *lanes_check_times(struct data *data, uint64_t now_ns);

/* ---- share.c */

/* Begins or ends to share the files with another process. */
void share_set(struct data *data, bool is_on);
/* Has a lane that is not running do nothing for a while. */
void share_pause(struct lane *lane, uint64_t ns);
/* Ends a lane's pause, which is over, or before the lane is freed. */
void share_resume(struct lane *lane);
/* Returns whether operations whose file another process has are to wait. */
bool share_may_wait(struct lane *lane, uint64_t now_ns);
/* Closes shared files that have been open for long enough, ends pauses that are over, and looks again soon if need be. */
void share_look(struct data *data);

/* ---- tenants.c */

struct closer { /* a Close that is not answered */
    SLIST_ENTRY(closer) entry;
    struct helper_client *client; /* borrowed; NULL: has left */
    uint64_t id;
};

struct tenant {
    LIST_ENTRY(tenant) bucket;
    struct data *data; /* borrowed */
    char name[NAME_MAX_BYTES + 1];
    struct lane lanes[2]; /* by kind */
    unsigned n_operations;
    size_t n_bytes;
    uint64_t tat_ns; /* the time at which its rate would be used up to now: rate_take */
    SLIST_HEAD(, closer) closers; /* not empty: it is being closed */
    bool has_failed;              /* the folder could not be removed */
    bool is_closed;               /* another Open of that name is another tenant's */
};

/* Returns the tenant of that name, made if there is none. NULL: out of memory, or too many. */
struct tenant *tenant_get(struct data *data, const char *name);
bool tenant_is_closing(const struct tenant *tenant);
/* Takes one operation from a rate; false: there were too many in the last second. */
bool tenant_take_rate(struct tenant *tenant, uint32_t rate, uint64_t now_ns);
/* Begins to close a tenant, and to remove its folder, and answers Closed when that is done. 0 or -ENOMEM. */
int tenant_close(struct data *data, struct helper_client *client, uint64_t id, const char *name,
                 bool is_removed);
/* Returns whether the tenant has an open file, or a thread works for it. */
bool tenant_is_busy(const struct tenant *tenant);
/* Notes the end of the removal of the tenant's folder. */
void tenant_on_removed(struct tenant *tenant, int error);
/* Answers Closed if all is closed. */
void tenant_settle(struct tenant *tenant);
/* Frees tenants that have nothing but a name. */
void tenants_sweep(struct data *data, uint64_t now_ns);
void tenants_on_left(struct data *data, const struct helper_client *client);
/* Frees all, with their files; there are no threads. */
void tenants_free_all(struct data *data);

/* ---- operations.c */

enum operation_phase {
    OPERATION_GATHERING, /* the request comes in */
    OPERATION_WAITING,   /* for a thread */
    OPERATION_RUNNING,
    OPERATION_ANSWERING, /* the answer goes out */
};

struct operation {
    LIST_ENTRY(operation) bucket;
    TAILQ_ENTRY(operation) entry; /* not if it is running */
    struct tenant *tenant;        /* borrowed: stays */
    struct lane *lane;            /* borrowed: its tenant's */
    struct helper_client *client; /* borrowed; NULL: nobody wants the answer, and Done is sent */
    uint64_t id;
    enum operation_phase phase;
    char name[DATA_OPERATION_NAME_MAX + 1];
    char space[NAME_MAX_BYTES + 1];
    size_t n_bytes; /* bytes in memory, as counted */
    uint64_t opened_ns, started_ns, progress_ns;
    uint64_t answered_ns; /* since when its answer goes out */

    /* The request. */
    uint8_t *body;
    size_t size, room, most; /* most: its operation's bound */
    bool has_body, is_body_ended;
    uint32_t window;   /* bytes that skepd may still send */
    uint64_t received; /* bytes of it, with those that were dropped */
    uint64_t granted;  /* bytes of those for which there was credit again */

    /* The answer. */
    uint32_t credit;
    size_t sent;
    bool is_head_sent, is_large; /* is_large: DATA_ANSWER_FIRST was not enough */

    struct data_operation run; /* a thread's, while it is running */
};

/* The frames. 0 or -EPROTO. */
int operation_open(struct data *data, struct helper_client *client, const Skep__Data__Open *open);
int operation_on_body(struct data *data, struct operation *operation,
                      const Skep__Stream__Body *body);
int operation_on_credit(struct data *data, struct operation *operation, uint32_t bytes);
/* Returns the operation of that number; NULL: there is none any more. */
struct operation *operation_find(const struct data *data, const struct helper_client *client,
                                 uint64_t id);
/* Ends an operation in any phase with a failure. Done is sent at once; one that a thread has is freed when the thread gives it back. */
void operation_end(struct data *data, struct operation *operation, Skep__Data__Failure failure,
                   const char *text);
/* Counts so many bytes for the operation in place of those before; false: they are too many, and nothing has changed. */
bool operation_count(struct data *data, struct operation *operation, size_t bytes);
/* Takes an operation from its thread, before operation_on_returned: true if its answer needs more room than it had, and it waits again
 * with all that it may have. */
bool operation_is_to_run_again(struct operation *operation);
/* Takes an operation that was not run from its thread, before operation_on_returned: true if somebody wants it, and it waits again. */
bool operation_is_to_wait_again(struct operation *operation);
/* Takes an operation from its thread: its answer goes out, or it is freed. */
void operation_on_returned(struct data *data, struct operation *operation, const struct job *job);
/* Returns whether the operation is the operator's, and sql_ms does not count for it: all but statements. */
bool operation_is_copy(const struct operation *operation);
/* Returns the bytes that an operation may have in memory while a thread has it. */
size_t operation_need(const struct operation *operation);
/* Goes on with answers for a client that has taken all that was queued. */
void operations_on_drained(struct data *data, const struct helper_client *client);
/* Ends the operations of a client that has left. */
void operations_on_left(struct data *data, const struct helper_client *client);
/* Ends the operations of a tenant that is being closed. */
void operations_on_close(struct data *data, const struct tenant *tenant);
/* Ends operations that have waited for too long, and, while memory is short, those that hold it for others. */
void operations_check_times(struct data *data, uint64_t now_ns);
/* Frees those that are not running; nobody hears of it. */
void operations_free_all(struct data *data);

/* ---- watch.c */

/* Makes the watch look soon, and often while a thread has a job. */
void watch_arm(struct data *data);
/* Looks at the times of jobs. */
void watch_look(struct data *data);
/* Looks at all other times, if some time has passed since the last look. */
void watch_sweep(struct data *data);

/* ---- process.c: frames to skepd; none if the client is NULL or after Stuck */

void frame_head(struct data *data, struct helper_client *client, uint64_t id, uint32_t status);
void frame_body(struct data *data, struct helper_client *client, uint64_t id, const uint8_t *bytes,
                size_t size);
void frame_credit(struct data *data, struct helper_client *client, uint64_t id, uint32_t bytes);
void frame_done(struct data *data, struct helper_client *client, const Skep__Data__Done *done);
void frame_closed(struct data *data, struct helper_client *client, uint64_t id, bool has_failed);
/* text: any bytes; what cannot be printed goes as "?". */
void frame_notice(struct data *data, const char *tenant, const char *text);
void frame_stuck(struct data *data, const char *tenant, uint32_t ms);
/* Returns text as protobuf-c wants it. */
ProtobufCBinaryData frame_text(const char *text);

/* Makes the program, of which the owner is data (zeroed, but for cordon). */
void data_program_init(struct data *data, struct helper_program *ret_program);
