/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The work of a thread on one file of a tenant: opens the file, runs operations, closes the file. All waits for the disk are here. The file and
 * the operations of a job are the thread's until the loop takes the job back.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "data/database_memory.h"
#include "data/internal.h"
#include "data/kv.h"
#include "data/sql.h"

static_assert(THREADS_STACK_BYTES >= 2 * DATABASE_STACK_BYTES,
              "SQLite has to have a stack on which it can end");

static struct job *job_of(struct work *work)
{
    return (struct job *) ((char *) work - offsetof(struct job, work));
}

/* Sets the engines where the loop thread may look at them. */
static void set_engines(struct file *file, struct kv *kv, struct sql *sql)
{
    (void) pthread_mutex_lock(&file->lock);
    file->kv = kv;
    file->sql = sql;
    file->opened_ns = kv || sql ? io_now_ns() : 0;
    (void) pthread_mutex_unlock(&file->lock);
}

/* Makes durable which folders there are. 0 or -errno. */
static int sync_top(void)
{
    _cleanup_fd_ int top = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return top < 0 || fsync(top) < 0 ? -errno : 0;
}

/* Makes the tenant's folder, durably. 0 or -errno. */
static int make_folder(const char *tenant)
{
    if (mkdirat(AT_FDCWD, tenant, 0700) < 0)
        return errno == EEXIST ? 0 : -errno;
    return sync_top();
}

static int open_file(struct job *job)
{
    struct file *file = job->file;
    struct kv *kv = NULL;
    struct sql *sql = NULL;

    if (file->kv || file->sql)
        return 0;
    int r = make_folder(file->lane->tenant->name);
    if (r < 0)
        return r;
    r = file->lane->kind == SKEP__DATA__KIND__KIND_KV ? kv_open(file->path, &kv, job->notice)
                                                      : sql_open(file->path, &sql, job->notice);
    if (r == 0)
        set_engines(file, kv, sql);
    return r;
}

void job_close_file(struct file *file)
{
    struct kv *kv = file->kv;
    struct sql *sql = file->sql;

    set_engines(file, NULL, NULL);
    if (kv)
        (void) kv_close(kv);
    if (sql)
        (void) sql_close(sql);
}

uint64_t job_deadline(const struct job *job, uint64_t deadline_ns, uint64_t opened_ns)
{
    const bool is_later = deadline_ns != UINT64_MAX && opened_ns > job->started_ns;

    return is_later ? deadline_ns + (opened_ns - job->started_ns) : deadline_ns;
}

/* Runs the operations. A file that turns out to be corrupt is closed, and put aside when it is next opened. */
static void run_operations(struct job *job)
{
    struct data_operation *runs[DATA_BATCH_MAX];
    struct file *file = job->file;

    for (size_t i = 0; i < job->n; i++) {
        runs[i] = &job->operations[i]->run;
        runs[i]->deadline_ns = job_deadline(job, runs[i]->deadline_ns, file->opened_ns);
    }
    int r = file->kv ? kv_run(file->kv, runs, job->n) : sql_run(file->sql, runs[0]);
    if (r == -EUCLEAN)
        job_close_file(file);
}

/* Removes all files of a folder, then the folder. 0 or -errno; a folder that is not there is removed. */
static int remove_folder(const char *name)
{
    DIR *folder = opendir(name);
    const struct dirent *entry;
    int r = 0;

    if (!folder)
        return errno == ENOENT ? 0 : -errno;
    while (r == 0 && (entry = readdir(folder)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            unlinkat(dirfd(folder), entry->d_name, 0) < 0)
            r = -errno;
    (void) closedir(folder);
    if (r == 0 && unlinkat(AT_FDCWD, name, AT_REMOVEDIR) < 0)
        r = -errno;
    return r < 0 ? r : sync_top();
}

void job_run(struct work *work)
{
    struct job *job = job_of(work);

    if (!job->file) {
        const struct lane *lane = (const struct lane *) ((char *) job - offsetof(struct lane, job));
        job->error = remove_folder(lane->tenant->name);
        return;
    }
    if (job->is_close) {
        job_close_file(job->file);
        return;
    }
    job->error = open_file(job);
    if (job->error == 0)
        run_operations(job);
    else if (job->error != -EBUSY && job->notice[0] == '\0')
        (void) snprintf(job->notice, sizeof job->notice, "%s cannot be opened: %s", job->file->path,
                        strerrordesc_np(-job->error));
}

void job_interrupt(struct job *job)
{
    struct file *file = job->file;

    if (!file)
        return;
    (void) pthread_mutex_lock(&file->lock);
    if (file->sql)
        sql_interrupt(file->sql);
    (void) pthread_mutex_unlock(&file->lock);
}
