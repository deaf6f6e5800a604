/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs real workers from a test: see hive.h.
 */
#include "tests/jail/hive.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "supervisor/jail/attest.h"
#include "tests/jail/ordinary.h"

#define PATIENCE_MS 20000

void await_readable(int fd)
{
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    int r;

    do
        r = poll(&wait, 1, PATIENCE_MS);
    while (r < 0 && errno == EINTR);
    assert_int_equal(r, 1);
}

static void on_result(void *owner, unsigned slot, int error, const char *step,
                      const struct spawner_worker *worker)
{
    struct hive *hive = owner;
    struct cell *cell = &hive->cells[slot];

    cell->answered = true;
    cell->error = error;
    cell->step = step;
    cell->pid = worker ? worker->pid : -1;
    cell->pidfd = worker ? worker->pidfd : -1;
    cell->stat_fd = worker ? worker->stat_fd : -1;
    cell->statm_fd = worker ? worker->statm_fd : -1;
}

static void on_facts(void *owner, unsigned slot, pid_t pid, int error,
                     const struct jail_facts *facts)
{
    struct hive *hive = owner;
    struct cell *cell = &hive->cells[slot];

    assert_int_equal(pid, cell->pid);
    cell->has_facts = true;
    cell->facts_error = error;
    if (facts)
        cell->facts = *facts;
}

static void on_exited(void *owner, unsigned slot, pid_t pid, int wait_status, uint64_t cpu_ns)
{
    struct hive *hive = owner;
    struct cell *cell = &hive->cells[slot];

    assert_int_equal(pid, cell->pid);
    cell->exited = true;
    cell->wait_status = wait_status;
    cell->cpu_ns = cpu_ns;
}

static const struct spawner_ops ops = {
    .on_result = on_result,
    .on_facts = on_facts,
    .on_exited = on_exited,
};

static void init(struct hive *hive, const char *worker_path, bool has_reserve)
{
    const struct spawner_options options = {
        .worker_path = worker_path ? worker_path : "/proc/self/exe",
    };

    static struct jail_probe probe;
    char text[128];

    ordinary_begin();
    memset(hive, 0, sizeof *hive);
    assert_int_equal(spawner_start(&options, &hive->spawner), 0);
    /* A program that is no worker cannot report; tests of that look at how its start fails. */
    const struct spawner_probe_job job = { .jit = JIT_ON,
                                           .layers = LAYERS_ALL,
                                           .is_last = has_reserve };
    int r = spawner_probe(hive->spawner, &job, &probe, text, sizeof text);
    if (r < 0 && !worker_path)
        fail_msg("%s: %s", text, strerror(-r));
    hive->layers = r == 0 ? probe.layers : layers_that_are_walls();
    hive->base = event_base_new();
    assert_non_null(hive->base);
    assert_int_equal(spawner_attach(hive->spawner, hive->base, &ops, hive), 0);
    if (has_reserve)
        spawner_keep_reserve(hive->spawner, &hive->health);
    while (has_reserve && hive->health.of[HELPER_SPAWNER].state != HELPER_OK)
        assert_int_equal(event_base_loop(hive->base, EVLOOP_ONCE), 0);
}

void hive_init(struct hive *hive, const char *worker_path)
{
    init(hive, worker_path, false);
}

void hive_init_with_reserve(struct hive *hive)
{
    init(hive, NULL, true);
}

static void cell_done(struct cell *cell)
{
    fd_cleanup(&cell->pidfd);
    fd_cleanup(&cell->stat_fd);
    fd_cleanup(&cell->statm_fd);
    fd_cleanup(&cell->channel_fd);
    if (cell->board)
        (void) munmap((void *) (uintptr_t) cell->board, SCOREBOARD_BYTES);
    memset(cell, 0, sizeof *cell);
}

void hive_done(struct hive *hive)
{
    hive->spawner = spawner_free(hive->spawner);
    event_base_free(hive->base);
    for (size_t i = 0; i < HIVE_CELLS; i++)
        if (hive->cells[i].used)
            cell_done(&hive->cells[i]);
}

static int make_plan_fd(const struct probe_plan *plan)
{
    int fd = memfd_create("plan", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, PROBE_BOARD_OFFSET + (off_t) SCOREBOARD_BYTES), 0);
    assert_int_equal(write(fd, plan, sizeof *plan), sizeof *plan);
    return fd;
}

struct cell *cell_spawn(struct hive *hive, const struct probe_plan *plan, bool jit)
{
    unsigned slot = 0;
    int pair[2];

    while (slot < HIVE_CELLS && hive->cells[slot].used)
        slot++;
    assert_true(slot < HIVE_CELLS);
    struct cell *cell = &hive->cells[slot];
    *cell = (struct cell){ .slot = slot, .used = true, .pidfd = -1, .stat_fd = -1, .statm_fd = -1 };
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    cell->channel_fd = pair[0];
    _cleanup_fd_ int theirs = pair[1];
    _cleanup_fd_ int plan_fd = make_plan_fd(plan);
    cell->board = mmap(NULL, SCOREBOARD_BYTES, PROT_READ, MAP_SHARED, plan_fd, PROBE_BOARD_OFFSET);
    assert_true(cell->board != MAP_FAILED);
    const struct spawner_job job = {
        .slot = slot,
        .jit = jit ? JIT_ON : JIT_OFF,
        .layers = hive->layers,
        .channel_fd = theirs,
        .scoreboard_fd = plan_fd,
        .cgroup_fd = hive->cgroup_fd,
    };
    assert_int_equal(spawner_spawn(hive->spawner, &job), 0);
    while (!cell->answered)
        assert_int_equal(event_base_loop(hive->base, EVLOOP_ONCE), 0);
    return cell;
}

void cell_read_reply(struct cell *cell, struct probe_reply *ret_reply)
{
    await_readable(cell->channel_fd);
    assert_int_equal(read(cell->channel_fd, ret_reply, sizeof *ret_reply), sizeof *ret_reply);
}

struct cell *cell_start(struct hive *hive, const struct probe_plan *plan, bool jit)
{
    struct cell *cell = cell_spawn(hive, plan, jit);
    struct probe_reply reply = { 0 };

    if (cell->error < 0)
        fail_msg("spawner: %s: %s", cell->step, strerror(-cell->error));
    cell_read_reply(cell, &reply);
    if (reply.result != 0)
        fail_msg("probe: %s", reply.text);
    return cell;
}

bool cell_ask(struct cell *cell, const struct probe_ask *ask, struct probe_reply *ret_reply)
{
    assert_int_equal(send(cell->channel_fd, ask, sizeof *ask, MSG_NOSIGNAL), sizeof *ask);
    await_readable(cell->channel_fd);
    ssize_t n = read(cell->channel_fd, ret_reply, sizeof *ret_reply);
    if (n == (ssize_t) sizeof *ret_reply)
        return true;
    assert_true(n <= 0);
    return false;
}

int cell_look(struct hive *hive, struct cell *cell)
{
    cell->has_facts = false;
    assert_int_equal(spawner_look(hive->spawner, cell->slot, cell->pid, true), 0);
    while (!cell->has_facts)
        assert_int_equal(event_base_loop(hive->base, EVLOOP_ONCE), 0);
    return cell->facts_error;
}

int cell_attest(struct hive *hive, struct cell *cell, bool jit, char *text, size_t size)
{
    int r = cell_look(hive, cell);

    return r < 0 ? r : attest_judge(&cell->facts, hive->layers, jit, text, size);
}

int cell_wait(struct hive *hive, struct cell *cell)
{
    while (!cell->exited)
        assert_int_equal(event_base_loop(hive->base, EVLOOP_ONCE), 0);
    int wait_status = cell->wait_status;
    cell_done(cell);
    return wait_status;
}

int cell_end(struct hive *hive, struct cell *cell)
{
    (void) shutdown(cell->channel_fd, SHUT_RDWR);
    return cell_wait(hive, cell);
}

void run_apart(void (*run)(void))
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        run(); /* a failed assertion does not return to here */
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}
