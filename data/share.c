/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that another process needs, too: that of the skepd before, or after, an upgrade. SQLite's files are locked as long as they are open, so each
 * process closes them soon, and does without for a while, in which the other one opens them. Lanes that wait have no thread. Loop thread.
 */
#include "data/internal.h"

#define LOOK_US 2000

static void arm(struct data *data)
{
    static const struct timeval soon = { .tv_usec = LOOK_US };
    const bool is_any = !TAILQ_EMPTY(&data->paused) || (data->is_shared && data->n_files > 0);

    if (is_any && data->share && !event_pending(data->share, EV_TIMEOUT, NULL))
        (void) event_add(data->share, &soon);
}

void share_pause(struct lane *lane, uint64_t ns)
{
    const uint64_t until_ns = io_now_ns() + ns;

    if (lane->paused_ns == 0) {
        if (lane->is_ready)
            TAILQ_REMOVE(&lane->data->ready, lane, entry);
        lane->is_ready = false;
        TAILQ_INSERT_TAIL(&lane->data->paused, lane, entry);
    }
    lane->paused_ns = until_ns > lane->paused_ns ? until_ns : lane->paused_ns;
}

void share_resume(struct lane *lane)
{
    if (lane->paused_ns == 0)
        return;
    lane->paused_ns = 0;
    TAILQ_REMOVE(&lane->data->paused, lane, entry);
}

bool share_may_wait(struct lane *lane, uint64_t now_ns)
{
    if (lane->busy_ns == 0)
        lane->busy_ns = now_ns;
    return lane->data->is_shared || now_ns < lane->busy_ns + DATA_BUSY_NS;
}

static void end_pauses(struct data *data, uint64_t now_ns)
{
    struct lane *lane = TAILQ_FIRST(&data->paused), *next;

    for (; lane; lane = next) {
        next = TAILQ_NEXT(lane, entry);
        if (now_ns < lane->paused_ns)
            continue;
        share_resume(lane);
        lane_check(lane);
    }
}

static void close_files(struct data *data, uint64_t now_ns)
{
    struct file *file;

    TAILQ_FOREACH (file, &data->files, entry)
        if (!file->lane->is_running &&
            (TAILQ_EMPTY(&file->lane->waiting) || now_ns >= file->opened_ns + DATA_SHARE_NS))
            file_close_soon(data, file);
}

void share_look(struct data *data)
{
    const uint64_t now_ns = io_now_ns();

    end_pauses(data, now_ns);
    if (data->is_shared)
        close_files(data, now_ns);
    arm(data);
}

void share_set(struct data *data, bool is_on)
{
    data->is_shared = is_on;
    share_look(data);
}
