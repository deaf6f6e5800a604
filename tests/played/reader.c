/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/played/reader.h"

#include <stdbool.h>
#include <unistd.h>

#include "supervisor/host/reader.h"
#include "tests/played/hold.h"

/* A job that is first and holds up the others, and one that comes back after them. */
struct played_job {
    struct reader_job job;
    bool is_done;
};

static struct {
    struct event_base *base;
    struct reader *reader;
    int gate[2]; /* read end, write end */
    struct played_job first, last;
} disk;

static void wait_at_gate(struct reader_job *job)
{
    char byte;

    (void) job;
    PLAYED_HOLD(read(disk.gate[0], &byte, 1) == 1);
}

static void do_nothing(struct reader_job *job)
{
    (void) job;
}

static void on_done(struct reader_job *job, bool is_end)
{
    (void) is_end;
    ((struct played_job *) job)->is_done = true;
}

struct reader *played_reader_on_cold_disk(struct event_base *base)
{
    disk.base = base;
    PLAYED_HOLD(pipe(disk.gate) == 0);
    PLAYED_HOLD(reader_new(base, &disk.reader) == 0 && reader_start(disk.reader) == 0);
    disk.first.job = (struct reader_job){ .work = wait_at_gate, .done = on_done };
    disk.last.job = (struct reader_job){ .work = do_nothing, .done = on_done };
    disk.first.is_done = disk.last.is_done = false;
    reader_run(disk.reader, &disk.first.job);
    return disk.reader;
}

void played_disk_answers(void)
{
    reader_run(disk.reader, &disk.last.job);
    PLAYED_HOLD(write(disk.gate[1], "", 1) == 1);
    while (!disk.last.is_done)
        PLAYED_HOLD(event_base_loop(disk.base, EVLOOP_ONCE) == 0);
    (void) close(disk.gate[0]);
    (void) close(disk.gate[1]);
}
