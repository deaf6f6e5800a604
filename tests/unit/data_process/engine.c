/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/data_process/engine.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "data/internal.h"
#include "data/kv.h"
#include "data/sql.h"
#include "helper/helper.h"

struct engine_play *engine_play;

struct kv {
    bool is_corrupt;
};

struct sql {
    atomic_bool is_interrupted;
};

/* ---- the page */

static void run_data(void)
{
    static struct data data;
    static char name[] = "skep-data", cordon[] = DATA_OPTION_CORDON "default";
    char *argv[] = { name, cordon, NULL };
    struct helper_program program;

    data.cordon = "default";
    data_program_init(&data, &program);
    if (engine_play->kv_ms > 0)
        data.kv_ms = engine_play->kv_ms;
    exit(helper_main(2, argv, &program));
}

void player_begin(struct player *player)
{
    player_begin_with(player, 0);
}

void player_begin_with(struct player *player, unsigned kv_ms)
{
    if (!engine_play)
        engine_play = mmap(NULL, sizeof *engine_play, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(engine_play, 0, sizeof *engine_play);
    engine_play->kv_ms = kv_ms;
    player_start(player, run_data);
}

/* Waits for a release, or a short time; by a call that the process' filter allows. */
static void doze(void)
{
    static const struct timespec time = { .tv_nsec = 1000000 };

    (void) syscall(SYS_futex, &engine_play->is_released, FUTEX_WAIT, 0, &time, NULL, 0);
}

void engine_release(void)
{
    atomic_store(&engine_play->is_released, 1);
    (void) syscall(SYS_futex, &engine_play->is_released, FUTEX_WAKE, 64, NULL, NULL, 0);
}

void engine_await_running(unsigned n)
{
    while (atomic_load(&engine_play->n_running) < n)
        (void) usleep(1000);
}

/* ---- operations */

typedef void (*act_fn)(struct data_operation *operation, struct sql *sql, size_t n);

/* Answers with the request. */
static void echo(struct data_operation *operation, struct sql *sql, size_t n)
{
    (void) sql;
    (void) n;
    operation->status = 200;
    if (data_answer_add(&operation->answer, operation->request, operation->request_size) < 0)
        data_fail(operation, 413, "too large");
}

/* Answers with as many bytes as the request says. */
static void fill(struct data_operation *operation, struct sql *sql, size_t n)
{
    char text[16] = "";

    (void) sql;
    (void) n;
    memcpy(text, operation->request, operation->request_size < 15 ? operation->request_size : 15);
    size_t size = strtoul(text, NULL, 10);
    uint8_t *to = data_answer_reserve(&operation->answer, size);
    operation->status = 200;
    if (!to && size > 0)
        data_fail(operation, 413, "too large");
    else if (size > 0)
        memset(to, 'x', size);
}

/* Waits for a release; an interruption ends it. */
static void hold(struct data_operation *operation, struct sql *sql, size_t n)
{
    (void) n;
    while (atomic_load(&engine_play->is_released) == 0 &&
           !(sql && atomic_load(&sql->is_interrupted)) && !atomic_load(&operation->is_cancelled))
        doze();
    operation->status = 200;
    if (atomic_load(&engine_play->is_released) == 0)
        data_fail(operation, 400, "interrupted");
}

/* Waits for a release, as a commit that cannot be interrupted. */
static void keep(struct data_operation *operation, struct sql *sql, size_t n)
{
    (void) sql;
    (void) n;
    while (atomic_load(&engine_play->is_released) == 0)
        doze();
    operation->status = 200;
    operation->is_changed = true;
}

/* Never ends. */
static void stay(struct data_operation *operation, struct sql *sql, size_t n)
{
    (void) operation;
    (void) sql;
    (void) n;
    for (;;)
        doze();
}

/* Answers with the number of operations that were run together. */
static void count(struct data_operation *operation, struct sql *sql, size_t n)
{
    uint8_t byte = (uint8_t) n;

    (void) sql;
    operation->status = 200;
    (void) data_answer_add(&operation->answer, &byte, 1);
}

static void tell(struct data_operation *operation, struct sql *sql, size_t n)
{
    (void) sql;
    (void) n;
    operation->status = 200;
    (void) snprintf(operation->notice, sizeof operation->notice, "the disk \xff is slow");
}

static void say_nothing(struct data_operation *operation, struct sql *sql, size_t n)
{
    (void) operation;
    (void) sql;
    (void) n;
}

static const struct {
    const char *name;
    act_fn act;
} acts[] = {
    { "echo", echo },        { "put", echo },          { "fill", fill },   { "hold", hold },
    { "keep", keep },        { "stay", stay },         { "count", count }, { "tell", tell },
    { "none", say_nothing }, { "spoil", say_nothing }, { "query", stay },
};

/* Runs an operation. -EUCLEAN: one that finds the file corrupt. */
static int act(struct data_operation *operation, struct sql *sql, size_t n)
{
    atomic_fetch_add(&engine_play->n_runs, 1);
    atomic_fetch_add(&engine_play->n_running, 1);
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        if (strcmp(acts[i].name, operation->name) == 0)
            acts[i].act(operation, sql, n);
    atomic_fetch_sub(&engine_play->n_running, 1);
    if (strcmp(operation->name, "spoil") != 0)
        return 0;
    data_fail(operation, 400, "corrupt");
    return -EUCLEAN;
}

/* ---- the engines */

/* Opens nothing. Tenants "full" and "broken" have no disk, and that of "slow" waits for a release. */
static int open_any(const char *path)
{
    while (strncmp(path, "slow/", 5) == 0 && atomic_load(&engine_play->is_released) == 0)
        doze();
    if (strncmp(path, "full/", 5) == 0)
        return -ENOSPC;
    if (strncmp(path, "broken/", 7) == 0)
        return -EIO;
    atomic_fetch_add(&engine_play->n_opened, 1);
    atomic_fetch_add(&engine_play->n_open, 1);
    return 0;
}

int kv_open(const char *path, struct kv **ret_kv, char notice[static 512])
{
    int r = open_any(path);

    if (r == 0 && strncmp(path, "aside/", 6) == 0)
        (void) snprintf(notice, 512, "kv.db was put aside");
    if (r == 0)
        *ret_kv = calloc(1, sizeof **ret_kv);
    return r;
}

struct kv *kv_close(struct kv *kv)
{
    atomic_fetch_sub(&engine_play->n_open, 1);
    free(kv);
    return NULL;
}

int kv_run(struct kv *kv, struct data_operation *const *operations, size_t n)
{
    int r = 0;

    (void) kv;
    for (size_t i = 0; i < n; i++)
        if (act(operations[i], NULL, n) < 0)
            r = -EUCLEAN;
    return r;
}

int sql_open(const char *path, struct sql **ret_sql, char notice[static 512])
{
    int r = open_any(path);

    (void) notice;
    if (r == 0)
        *ret_sql = calloc(1, sizeof **ret_sql);
    return r;
}

struct sql *sql_close(struct sql *sql)
{
    atomic_fetch_sub(&engine_play->n_open, 1);
    free(sql);
    return NULL;
}

int sql_run(struct sql *sql, struct data_operation *operation)
{
    atomic_store(&sql->is_interrupted, false);
    return act(operation, sql, 1);
}

void sql_interrupt(struct sql *sql)
{
    atomic_fetch_add(&engine_play->n_interrupts, 1);
    atomic_store(&sql->is_interrupted, true);
}
