/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The account of CPU time at a worker's death: all that the process has used is charged, once, to
 * the tenant whose code ran. On the false clock of tests/events.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include <event2/event.h>

#include "common/io.h"
#include "supervisor/placement/blame.h"
#include "supervisor/placement/placement.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/workers/clock.h"
#include "supervisor/workers/worker.h"
#include "tests/events/clock.h"

#define PID CLOCK_FIRST_PID
#define TENANTS 2
#define MS NSEC_PER_MSEC

struct scene {
    struct config config;
    struct record record;
    struct slots slots;
    struct tenants *all;
    struct cordon_config cordon;
    struct scoreboard *board;
    struct worker *worker;
    struct tenant tenants[TENANTS];
    struct version versions[TENANTS];
    struct placement *placements[TENANTS];
    struct attempt attempts[TENANTS];
};

static void burn(uint64_t ms)
{
    clock_burn(PID, ms * MS);
}

static void add_tenant(struct scene *s, unsigned i)
{
    s->tenants[i] = (struct tenant){ .tenants = s->all, .version = &s->versions[i] };
    s->versions[i] = (struct version){
        .tenant = &s->tenants[i],
        .id = i + 1,
        .refs = 1,
        .limits = { .cpu_rate = LIMIT_UNLIMITED },
    };
    counted_init(&s->tenants[i].counted, &s->record, "x");
    LIST_INIT(&s->versions[i].placements);
    assert_int_equal(placement_new(&s->versions[i], s->worker, &s->placements[i]), 0);
    s->attempts[i] = (struct attempt){
        .id = (uint64_t) (i + 1) * SCOREBOARD_REQUESTS + i,
        .tenant = &s->tenants[i],
        .version = &s->versions[i],
        .placement = s->placements[i],
    };
    s->worker->attempts[i] = &s->attempts[i];
    s->placements[i]->state = PLACEMENT_READY;
    s->placements[i]->in_flight = 1;
    atomic_store(&s->board->placements[s->placements[i]->row].placement, s->placements[i]->id);
}

/* Makes a worker that has used 30 ms for itself, with a request of each tenant. */
static int set_up(void **state)
{
    struct scene *s = calloc(1, sizeof *s);

    assert_non_null(s);
    clock_reset();
    s->slots.base = event_base_new();
    s->record.config = &s->config;
    s->board = calloc(1, SCOREBOARD_BYTES);
    assert_non_null(s->board);
    assert_int_equal(tenants_new(&s->config, &s->record, &s->all), 0);
    s->worker = worker_new(&s->slots, &s->cordon, 1);
    assert_non_null(s->worker);
    s->worker->board = s->board;
    s->worker->pid = PID;
    assert_int_equal(clock_getcpuclockid(PID, &s->worker->cpu_clock), 0);
    burn(30);
    worker_look_at_clock(s->worker);
    for (unsigned i = 0; i < TENANTS; i++)
        add_tenant(s, i);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *s = *state;

    for (unsigned i = 0; i < TENANTS; i++) {
        placement_free(s->placements[i]);
        counted_done(&s->tenants[i].counted);
    }
    s->worker->board = NULL;
    (void) worker_free(s->worker);
    (void) tenants_free(s->all);
    event_base_free(s->slots.base);
    free(s->board);
    free(s);
    return 0;
}

static void enter(struct scene *s, unsigned i)
{
    atomic_store(&s->board->threads[0].running_request, s->attempts[i].id);
    atomic_store(&s->board->threads[0].running_placement, s->placements[i]->id);
}

static void leave(struct scene *s, unsigned i, uint64_t used_ms)
{
    atomic_fetch_add(&s->board->placements[s->placements[i]->row].cpu_ns, used_ms * MS);
    atomic_store(&s->board->threads[0].running_request, 0);
    atomic_store(&s->board->threads[0].running_placement, 0);
}

/* Ends the worker. The pid may be another process's once the kernel has reported the CPU time. */
static void die(struct scene *s, const struct verdict *verdict)
{
    s->worker->end_cpu_ns = clock_burnt(PID);
    burn(5000);
    cpu_charge_death(s->worker, verdict);
}

static uint64_t account_ms(const struct scene *s, unsigned i)
{
    return s->tenants[i].books.cpu_ns / MS;
}

static void test_account_is_whole_though_the_worker_runs_on_after_its_kill(void **state)
{
    struct scene *s = *state;

    enter(s, 0);
    burn(20);
    worker_look_at_clock(s->worker);
    burn(80);
    worker_look_at_clock(s->worker); /* skepd's look at the kill */
    burn(39);
    die(s, &(struct verdict){ .version = 1, .request = s->attempts[0].id });
    assert_int_equal(account_ms(s, 0), 139);
    assert_int_equal(account_ms(s, 1), 0);
}

static void test_what_ran_before_in_the_same_look_is_not_charged_to_the_last(void **state)
{
    struct scene *s = *state;

    enter(s, 0);
    burn(15);
    leave(s, 0, 15);
    enter(s, 1);
    burn(5);
    die(s, &(struct verdict){ .version = 2, .request = s->attempts[1].id });
    assert_int_equal(account_ms(s, 0), 15);
    assert_int_equal(account_ms(s, 1), 5);
}

static void test_own_entries_before_the_last_are_charged_once(void **state)
{
    struct scene *s = *state;

    for (unsigned i = 0; i < 3; i++) {
        enter(s, 0);
        burn(10);
        leave(s, 0, 10);
        if (i == 1)
            cpu_collect(s->placements[0]);
    }
    enter(s, 0);
    burn(7);
    die(s, &(struct verdict){ .version = 1, .request = s->attempts[0].id });
    assert_int_equal(account_ms(s, 0), 37);
}

static void test_load_that_kills_the_worker_is_on_the_account(void **state)
{
    struct scene *s = *state;

    s->placements[1]->state = PLACEMENT_LOADING;
    atomic_store(&s->board->threads[0].running_placement, s->placements[1]->id);
    burn(12);
    die(s, &(struct verdict){ .version = 2 });
    assert_int_equal(account_ms(s, 0), 0);
    assert_int_equal(account_ms(s, 1), 12);
}

static void test_word_of_a_worker_with_native_code_charges_nobody_else(void **state)
{
    struct scene *s = *state;

    enter(s, 0);
    burn(10);
    die(s, &(struct verdict){ .version = 2, .is_untrusted = true });
    assert_int_equal(account_ms(s, 0), 0);
    assert_int_equal(account_ms(s, 1), 10);
}

static void test_nobody_pays_where_it_is_not_known_who_ran(void **state)
{
    struct scene *s = *state;

    enter(s, 0);
    burn(10);
    die(s, &(struct verdict){ .is_untrusted = true, .must_separate = true });
    assert_int_equal(account_ms(s, 0) + account_ms(s, 1), 0);
}

static void test_worker_that_dies_without_anything_in_it_is_nobodys(void **state)
{
    struct scene *s = *state;

    burn(10);
    die(s, &(struct verdict){ 0 });
    assert_int_equal(account_ms(s, 0) + account_ms(s, 1), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_account_is_whole_though_the_worker_runs_on_after_its_kill),
        TEST(test_what_ran_before_in_the_same_look_is_not_charged_to_the_last),
        TEST(test_own_entries_before_the_last_are_charged_once),
        TEST(test_load_that_kills_the_worker_is_on_the_account),
        TEST(test_word_of_a_worker_with_native_code_charges_nobody_else),
        TEST(test_nobody_pays_where_it_is_not_known_who_ran),
        TEST(test_worker_that_dies_without_anything_in_it_is_nobodys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
