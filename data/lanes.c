/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order in which operations get a thread. Each lane has at most one job with a thread, and lanes that have something to do take
 * turns: a tenant's slow statement holds up nobody but the tenant. Operations of key-value that wait go together, so that one fsync serves
 * many of them. Loop thread.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "data/internal.h"

static struct lane *lane_of(struct work *work)
{
    return (struct lane *) ((char *) work - offsetof(struct lane, job.work));
}

static bool is_sql(const struct lane *lane)
{
    return lane->kind == SKEP__DATA__KIND__KIND_SQL;
}

static struct file *find_to_close(const struct lane *lane)
{
    struct file *file;

    if (lane->data->n_closing > 0)
        TAILQ_FOREACH (file, &lane->data->files, entry)
            if (file->lane == lane && file->wants_close)
                return file;
    return NULL;
}

/* Returns whether the tenant's folder may be removed now. */
static bool may_remove(const struct lane *lane)
{
    return lane->wants_removal && tenant_is_closing(lane->tenant) && !tenant_is_busy(lane->tenant);
}

void lane_check(struct lane *lane)
{
    bool is_due = lane->paused_ns == 0 &&
                  (!TAILQ_EMPTY(&lane->waiting) || find_to_close(lane) || may_remove(lane));

    if (lane->is_running || lane->is_ready == is_due)
        return;
    if (is_due)
        TAILQ_INSERT_TAIL(&lane->data->ready, lane, entry);
    else
        TAILQ_REMOVE(&lane->data->ready, lane, entry);
    lane->is_ready = is_due;
}

/* ---- jobs begin */

static uint64_t deadline_of(const struct operation *first, uint64_t now_ns)
{
    const struct lane *lane = first->lane;
    const bool is_migration = first->run.is_operator && strcmp(first->name, "migrate") == 0;
    uint64_t ms = !is_sql(lane)              ? lane->data->kv_ms
                  : is_migration             ? DATA_MIGRATE_MS
                  : operation_is_copy(first) ? DATA_COPY_MS
                                             : first->run.limits.sql_ms;

    return ms == UINT32_MAX ? UINT64_MAX : now_ns + ms * NSEC_PER_MSEC;
}

/* Moves an operation from the lane's queue into its job. */
static void take(struct lane *lane, struct operation *operation)
{
    struct job *job = &lane->job;
    struct data_operation *run = &operation->run;

    TAILQ_REMOVE(&lane->waiting, operation, entry);
    operation->phase = OPERATION_RUNNING;
    operation->started_ns = job->started_ns;
    run->request = operation->body;
    run->request_size = operation->size;
    run->now_ms = (int64_t) (io_clock_ns(CLOCK_REALTIME) / NSEC_PER_MSEC);
    run->deadline_ns = job->deadline_ns;
    run->answer.most = operation_need(operation) - operation->room;
    job->operations[job->n++] = operation;
}

/* Returns whether the operation may go with those that are in the job already. */
static bool fits(const struct job *job, const struct operation *operation, size_t bytes)
{
    if (job->n == 0)
        return true;
    return !is_sql(operation->lane) && job->n < DATA_BATCH_MAX && !operation->is_large &&
           !job->operations[0]->is_large && bytes + operation_need(operation) <= DATA_BATCH_BYTES;
}

/* Fills the lane's job with operations from the front of its queue, as many as go together. */
static void fill(struct data *data, struct lane *lane)
{
    struct operation *operation;
    size_t bytes = 0;

    while ((operation = TAILQ_FIRST(&lane->waiting))) {
        size_t need = operation_need(operation);
        if (!fits(&lane->job, operation, bytes) || !operation_count(data, operation, need))
            return;
        bytes += need;
        take(lane, operation);
    }
}

static void give(struct data *data, struct lane *lane)
{
    TAILQ_REMOVE(&data->ready, lane, entry);
    TAILQ_INSERT_TAIL(&data->running, lane, entry);
    lane->is_ready = false;
    lane->is_running = true;
    lane->job.work.run = job_run;
    data->n_running++;
    data->n_sql_running += is_sql(lane);
    threads_give(data->threads, &lane->job.work);
    watch_arm(data);
}

/* Finds the file that an operation needs, with its state made. False: there is no room for another one now. */
static bool find_file(struct data *data, const struct operation *operation, struct file **ret_file)
{
    struct lane *lane = operation->lane;
    const char *space = is_sql(lane) ? operation->space : "";

    *ret_file = file_find(data, lane, space);
    if (*ret_file)
        return true;
    if (data->n_files >= DATA_FILES_MAX) {
        files_make_room(data);
        return false;
    }
    *ret_file = file_new(data, lane, space);
    return true;
}

/* Begins to run operations, if there are a thread, a file and memory for them now. */
static void start_operations(struct data *data, struct lane *lane, uint64_t now_ns)
{
    struct operation *first = TAILQ_FIRST(&lane->waiting);
    struct file *file;

    if (is_sql(lane) && data->n_sql_running >= DATA_SQL_THREADS_MAX)
        return;
    if (!operation_count(data, first, operation_need(first)) || !find_file(data, first, &file))
        return;
    if (!file) {
        operation_end(data, first, SKEP__DATA__FAILURE__FAILURE_INTERNAL, "out of memory");
        return;
    }
    lane->job = (struct job){
        .file = file,
        .started_ns = now_ns,
        .deadline_ns = deadline_of(first, now_ns),
    };
    fill(data, lane);
    give(data, lane);
}

/* file: NULL: the tenant's folder is removed. */
static void start_close(struct data *data, struct lane *lane, struct file *file, uint64_t now_ns)
{
    lane->job = (struct job){
        .file = file,
        .is_close = true,
        .started_ns = now_ns,
        .deadline_ns = UINT64_MAX,
    };
    give(data, lane);
}

/* Lets each lane that is ready begin, in its turn. Returns whether another look is worth while: lanes were added meanwhile. */
static bool start_ready(struct data *data, uint64_t now_ns)
{
    const unsigned n_closing = data->n_closing;
    struct lane *lane = TAILQ_FIRST(&data->ready), *next;

    for (; lane && data->n_running < DATA_THREADS; lane = next) {
        next = TAILQ_NEXT(lane, entry);
        struct file *file = find_to_close(lane);
        if (file || may_remove(lane))
            start_close(data, lane, file, now_ns);
        else
            start_operations(data, lane, now_ns);
    }
    return data->n_closing > n_closing;
}

void lanes_schedule(struct data *data)
{
    const uint64_t now_ns = io_now_ns();

    while (start_ready(data, now_ns))
        ;
}

/* ---- jobs end */

/* Notes the use of a file, and forgets one that is closed. */
static void put_file_back(struct data *data, struct file *file, uint64_t now_ns)
{
    if (!file->kv && !file->sql) {
        file_free(data, file);
        return;
    }
    file->used_ns = now_ns;
    TAILQ_REMOVE(&data->files, file, entry);
    TAILQ_INSERT_TAIL(&data->files, file, entry);
}

/* Puts operations that are to run again back to the front of the queue, in their order. */
static void put_operations_back(struct lane *lane, bool (*is_to)(struct operation *operation))
{
    struct job *job = &lane->job;

    for (size_t i = job->n; i > 0; i--)
        if (is_to(job->operations[i - 1])) {
            TAILQ_INSERT_HEAD(&lane->waiting, job->operations[i - 1], entry);
            job->operations[i - 1] = NULL;
        }
}

/* Has operations wait whose file another process has, and those run again whose answer has not fitted. */
static void run_again(struct lane *lane, uint64_t now_ns)
{
    if (lane->job.error != -EBUSY) {
        lane->busy_ns = 0;
        put_operations_back(lane, operation_is_to_run_again);
    } else if (share_may_wait(lane, now_ns)) {
        put_operations_back(lane, operation_is_to_wait_again);
        share_pause(lane, DATA_RETRY_NS);
    }
}

static void take_back(struct data *data, struct lane *lane)
{
    struct job *job = &lane->job;
    const uint64_t now_ns = io_now_ns();

    TAILQ_REMOVE(&data->running, lane, entry);
    lane->is_running = false;
    data->n_running--;
    data->n_sql_running -= is_sql(lane);
    if (job->file)
        put_file_back(data, job->file, now_ns);
    else
        tenant_on_removed(lane->tenant, job->error);
    if (data->is_shared && job->is_close && !find_to_close(lane))
        share_pause(lane, DATA_YIELD_NS);
    if (job->notice[0] != '\0')
        frame_notice(data, lane->tenant->name, job->notice);
    run_again(lane, now_ns);
    for (size_t i = 0; i < job->n; i++)
        if (job->operations[i])
            operation_on_returned(data, job->operations[i], job);
    lane_check(lane);
    tenant_settle(lane->tenant);
}

void lanes_take_back(struct data *data)
{
    struct work *work;

    while ((work = threads_take(data->threads)))
        take_back(data, lane_of(work));
    share_look(data);
}

/* ---- times */

/* Returns whether somebody wants the answer of one of the job's operations. */
static bool is_wanted(const struct job *job)
{
    bool is_any = job->is_close;

    for (size_t i = 0; i < job->n; i++)
        is_any |= job->operations[i]->client != NULL;
    return is_any;
}

/* Notes whether the job's file is open by now, from when on its time counts. */
static void look_for_opening(struct job *job)
{
    struct file *file = job->file;

    if (!file || job->is_open)
        return;
    (void) pthread_mutex_lock(&file->lock);
    const uint64_t opened_ns = file->opened_ns;
    (void) pthread_mutex_unlock(&file->lock);
    job->is_open = opened_ns != 0;
    job->deadline_ns = job_deadline(job, job->deadline_ns, opened_ns);
}

/* Has the job of a lane end if it is time. An interruption may come before the statement, and is repeated. */
static void check_job(struct lane *lane, uint64_t now_ns)
{
    struct job *job = &lane->job;
    const bool is_to_end = !is_wanted(job) || tenant_is_closing(lane->tenant);
    const uint64_t latest_ns = now_ns + DATA_END_MS * NSEC_PER_MSEC;

    look_for_opening(job);
    if (is_to_end && !job->is_close && job->deadline_ns > latest_ns)
        job->deadline_ns = latest_ns;
    job->is_overdue |= job->is_open && now_ns >= job->deadline_ns;
    if (job->is_overdue || is_to_end)
        job_interrupt(job);
    /* An engine of SQL knows its deadline, and can be interrupted. */
    for (size_t i = 0; i < job->n; i++)
        if ((job->is_overdue && !is_sql(lane)) || !job->operations[i]->client)
            atomic_store(&job->operations[i]->run.is_cancelled, true);
}

static bool does_not_end(const struct job *job, uint64_t now_ns)
{
    return job->is_open && job->deadline_ns != UINT64_MAX &&
           now_ns >= job->deadline_ns + DATA_STUCK_MS * NSEC_PER_MSEC;
}

/* Answers the operations of a job of key-value, which the thread keeps: the disk does not answer. */
static void give_up(struct data *data, struct lane *lane)
{
    struct job *job = &lane->job;

    if (job->is_given_up)
        return;
    job->is_given_up = true;
    frame_notice(data, lane->tenant->name,
                 "operations of key-value have not ended within their time: is the disk slow?");
    for (size_t i = 0; i < job->n; i++)
        if (job->operations[i]->client)
            operation_end(data, job->operations[i], SKEP__DATA__FAILURE__FAILURE_INTERNAL,
                          "the disk takes too long: whether the write was done is not known");
}

const struct lane *lanes_check_times(struct data *data, uint64_t now_ns)
{
    const struct lane *stuck = NULL;
    struct lane *lane;

    TAILQ_FOREACH (lane, &data->running, entry) {
        check_job(lane, now_ns);
        if (!does_not_end(&lane->job, now_ns))
            continue;
        if (!is_sql(lane))
            give_up(data, lane);
        else if (!stuck)
            stuck = lane;
    }
    return stuck;
}
