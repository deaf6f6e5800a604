/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which deadline of a request is due when: its tenant's limits while nobody else is waited for, and the patience with a worker
 * that does not let go, by the worker's own time. The supervisor without processes (tests/fuzz/rig.h), on the false clock of
 * tests/events.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/io.h"
#include "supervisor/placement/placement.h"
#include "supervisor/requests/ledger.h"
#include "tests/events/clock.h"
#include "tests/fuzz/rig.h"

#define WALL_MS 1000
#define IDLE_MS 500
#define GRACE_MS 100
#define FIRST_CREDIT_MS 200 /* all of it: the load has used nothing */
#define CANCEL_MS 5000      /* for a worker that answers others, to let go of what was cancelled */
#define OTHERS_CPU_MS 3000
#define CLIENTS 3
#define STEP_MS 100

#define GET "GET / HTTP/1.1\r\nHost: a.localhost\r\n\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a.localhost\r\nContent-Length: 10\r\n\r\n"
#define POST_LONG \
    "POST / HTTP/1.1\r\nHost: a.localhost\r\nTransfer-Encoding: chunked\r\n\r\ndbba0\r\n"
#define GET_OTHER "GET / HTTP/1.1\r\nHost: b.localhost\r\n\r\n"

const size_t fuzz_options_bytes = 0;

static const char config[] =
    "listen: [\"127.0.0.1:0\"]\n"
    "cordons:\n"
    "  - { name: many, workers: 1, rss_mib: unlimited, spare: off, solitary: 0 }\n";

static const char *const manifests[] = {
    "name: a\nmain: a.js\ncordon: many\n"
    "limits: { wall_ms: 1000, idle_ms: 500, grace_ms: 100, cpu_ms: 50, concurrency: 2 }\n",
    "name: b\nmain: a.js\ncordon: many\nlimits: { wall_ms: 60000, grace_ms: 100, cpu_ms: 3000, "
    "cpu_startup_ms: 200 }\n",
};

static const struct http_response response = { .status = 200 };

struct scene {
    struct rig *rig;
    struct rig_worker worker;
    struct rig_client clients[CLIENTS];
    unsigned n_clients;
};

static void turn(struct scene *s)
{
    for (unsigned i = 0; i < 10; i++)
        (void) event_base_loop(s->rig->heart.base, EVLOOP_NONBLOCK);
    rig_drop_input(s->worker.fd);
    for (unsigned i = 0; i < s->n_clients; i++)
        rig_client_read(&s->clients[i]);
}

static void pass(struct scene *s, uint64_t ms)
{
    clock_pass(ms * NSEC_PER_MSEC);
    turn(s);
}

static struct tenant *tenant_of(const struct scene *s, const char *name)
{
    return tenant_find(s->rig->heart.tenants, name, 1);
}

static int set_up(void **state)
{
    static struct scene scene;

    scene = (struct scene){ .rig = rig_start(config) };
    for (unsigned i = 0; i < 2; i++)
        rig_install(scene.rig, manifests[i], "/nowhere");
    rig_worker_start(scene.rig, "many", SLOT_SHARED, &scene.worker);
    rig_worker_become_ready(scene.rig, &scene.worker);
    for (unsigned i = 0; i < 2; i++) {
        struct version *version = tenant_of(&scene, i == 0 ? "a" : "b")->version;
        assert_int_equal(placement_load(version, scene.worker.worker), 0);
        placement_on_loaded(placement_find(version, scene.worker.worker), ERROR_NONE, "", 0, 100);
    }
    turn(&scene);
    (void) event_del(scene.rig->heart.placements->watch); /* the worker is nobody's business here */
    *state = &scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *s = *state;

    for (unsigned i = 0; i < s->n_clients; i++)
        if (s->clients[i].fd >= 0)
            rig_client_done(&s->clients[i]);
    turn(s);
    rig_worker_exit(s->rig, &s->worker, SIGKILL);
    turn(s);
    rig_worker_done(&s->worker);
    rig_stop(s->rig);
    return 0;
}

static void start_asking(struct scene *s, const char *text)
{
    struct rig_client *client = &s->clients[s->n_clients++];

    rig_client_start(s->rig, client);
    rig_client_ask(client, text, strlen(text), true);
    turn(s);
    (void) event_del(s->rig->heart.placements->watch);
}

/* The request is in the worker, and its JavaScript has begun. */
static struct request *ask(struct scene *s, const char *text)
{
    struct worker *worker = s->worker.worker;
    const struct attempt *last = NULL;

    start_asking(s, text);
    for (unsigned i = 0; i < SCOREBOARD_REQUESTS; i++) {
        struct attempt *attempt = worker->attempts[i];
        if (!attempt)
            continue;
        atomic_store(&worker->board->entered[i], attempt->id);
        last = !last || attempt->id > last->id ? attempt : last;
    }
    assert_non_null(last);
    ledger_on_caught_up(worker);
    return request_find(worker, last->id);
}

static void run(const struct scene *s, const struct request *request, uint64_t since_ns)
{
    struct scoreboard *board = s->worker.worker->board;

    atomic_store(&board->threads[0].running_request, request ? request->attempt.id : 0);
    atomic_store(&board->threads[0].running_since_ns, since_ns);
}

static unsigned status_of(const struct scene *s, unsigned client)
{
    return s->clients[client].ended > 0 ? s->clients[client].status : 0;
}

/* Returns after how many ms, in steps of one, the worker is killed; most: not by then. */
static uint64_t kill_ms(struct scene *s, uint64_t most)
{
    for (uint64_t ms = 0; ms < most; ms++) {
        if (s->worker.worker->state == WORKER_KILLED)
            return ms;
        pass(s, 1);
    }
    return most;
}

/* ---- limits of the tenant */

static void test_request_without_an_answer_is_over_at_wall_ms(void **state)
{
    struct scene *s = *state;
    struct request *request = ask(s, GET);

    pass(s, WALL_MS - 1);
    assert_int_equal(status_of(s, 0), 0);
    assert_false(request->is_cancelled);
    pass(s, 1);
    assert_int_equal(status_of(s, 0), 504);
    assert_true(request->is_cancelled && request->is_over_wall);
}

static void test_answer_that_goes_on_has_idle_ms_from_each_part(void **state)
{
    struct scene *s = *state;
    struct request *request = ask(s, GET);

    pass(s, WALL_MS - 1);
    assert_int_equal(ledger_on_head(request, &response, NULL, 0, false), 0);
    for (unsigned i = 0; i < 5; i++) {
        pass(s, IDLE_MS - 1);
        assert_false(request->is_cancelled);
        assert_int_equal(ledger_on_body(request, (const uint8_t *) "x", 1, false), 0);
        turn(s);
    }
    pass(s, IDLE_MS - 1);
    assert_false(request->is_cancelled);
    pass(s, 1);
    assert_true(request->is_cancelled);
    assert_true(s->clients[0].is_cut_off);
}

static void test_what_goes_on_behind_the_answer_has_wall_ms_from_there(void **state)
{
    struct scene *s = *state;
    struct request *request = ask(s, GET);

    pass(s, WALL_MS - 1);
    assert_int_equal(ledger_on_head(request, &response, NULL, 0, true), 0);
    turn(s);
    assert_int_equal(status_of(s, 0), 200);
    pass(s, WALL_MS - 1);
    assert_false(request->is_cancelled);
    pass(s, 1);
    assert_true(request->is_cancelled);
}

static void test_time_in_which_the_tenant_waits_for_the_client_is_the_clients(void **state)
{
    struct scene *s = *state;
    struct request *request = ask(s, POST);

    for (unsigned i = 0; i < 100; i++)
        pass(s, STEP_MS);
    assert_false(request->is_cancelled);
    rig_client_ask(&s->clients[0], "0123456789", 10, false);
    pass(s, 1);
    assert_true(request->body_ended);
    pass(s, WALL_MS - 1 - STEP_MS); /* the first of these had passed when it was seen to wait */
    assert_false(request->is_cancelled);
    pass(s, STEP_MS);
    assert_int_equal(status_of(s, 0), 504);
}

static void test_request_that_waits_for_a_place_has_wall_ms(void **state)
{
    struct scene *s = *state;

    (void) ask(s, GET);
    (void) ask(s, GET);
    pass(s, WALL_MS / 2);
    start_asking(s, GET);
    assert_int_equal(tenant_of(s, "a")->n_queued, 1);
    pass(s, WALL_MS - 1);
    assert_int_equal(status_of(s, 2), 0);
    pass(s, 1);
    assert_int_equal(status_of(s, 2), 503);
    assert_int_equal(tenant_of(s, "a")->n_queued, 0);
}

/* ---- places that wait for slow clients */

/* The first two clients send so much of their bodies, and some time passes. */
static void send_some(struct scene *s, unsigned bytes)
{
    static char data[40000];

    for (unsigned i = 0; i < 2; i++)
        rig_client_ask(&s->clients[i], data, bytes, false);
    for (unsigned i = 0; i < 9; i++)
        pass(s, STEP_MS);
}

/* Two take all places of their tenant, and send so many bytes of their bodies in 0.9 s; then another waits for a place. */
static void take_places(struct scene *s, unsigned bytes)
{
    for (unsigned i = 0; i < 2; i++)
        (void) ask(s, POST_LONG);
    send_some(s, bytes);
    start_asking(s, GET);
    assert_int_equal(tenant_of(s, "a")->n_queued, 1);
    send_some(s, bytes);
}

static void test_place_that_waits_for_a_slow_client_is_given_up_for_another(void **state)
{
    struct scene *s = *state;

    take_places(s, 1000);
    assert_int_equal(status_of(s, 0), 408);
}

static void test_place_of_a_client_that_sends_fast_enough_is_kept(void **state)
{
    struct scene *s = *state;

    take_places(s, 40000);
    assert_int_equal(status_of(s, 0), 0);
    assert_int_equal(status_of(s, 1), 0);
}

/* ---- patience with the worker */

/* The client has its 504, and the worker is to let go of the request. */
static struct request *cancel(struct scene *s)
{
    struct request *request = ask(s, GET);

    pass(s, WALL_MS);
    assert_int_equal(status_of(s, 0), 504);
    return request;
}

static void test_worker_that_keeps_what_was_cancelled_has_some_seconds(void **state)
{
    struct scene *s = *state;

    (void) cancel(s);
    assert_int_equal(kill_ms(s, 60000), GRACE_MS + CANCEL_MS);
    assert_int_equal(s->worker.worker->kill_reason, KILL_WALL);
}

static void test_these_are_of_the_workers_own_time(void **state)
{
    struct scene *s = *state;

    (void) cancel(s);
    pass(s, 1000);
    s->worker.worker->own.waited_ns += 3000 * NSEC_PER_MSEC; /* for a processor */
    pass(s, CANCEL_MS);
    assert_int_equal(kill_ms(s, 60000), GRACE_MS + 3000 - 1000);
}

static void test_worker_that_still_runs_it_has_the_grace_alone(void **state)
{
    struct scene *s = *state;
    struct request *request = ask(s, GET);

    run(s, request, 1);
    pass(s, WALL_MS);
    assert_int_equal(kill_ms(s, 60000), GRACE_MS);
}

static void test_worker_that_has_yielded_since_has_all_the_patience(void **state)
{
    struct scene *s = *state;
    struct request *request = ask(s, GET);

    run(s, request, 1);
    pass(s, WALL_MS);
    run(s, request, 2);
    assert_int_equal(kill_ms(s, 60000), GRACE_MS + CANCEL_MS);
}

static void test_what_runs_before_the_cancel_is_read_has_its_time_besides(void **state)
{
    struct scene *s = *state;
    struct request *other = ask(s, GET_OTHER);

    (void) ask(s, GET);
    pass(s, WALL_MS);
    run(s, other, 1);
    assert_int_equal(kill_ms(s, 60000),
                     GRACE_MS + CANCEL_MS + OTHERS_CPU_MS + FIRST_CREDIT_MS + GRACE_MS);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_request_without_an_answer_is_over_at_wall_ms),
        TEST(test_answer_that_goes_on_has_idle_ms_from_each_part),
        TEST(test_what_goes_on_behind_the_answer_has_wall_ms_from_there),
        TEST(test_time_in_which_the_tenant_waits_for_the_client_is_the_clients),
        TEST(test_request_that_waits_for_a_place_has_wall_ms),
        TEST(test_place_that_waits_for_a_slow_client_is_given_up_for_another),
        TEST(test_place_of_a_client_that_sends_fast_enough_is_kept),
        TEST(test_worker_that_keeps_what_was_cancelled_has_some_seconds),
        TEST(test_these_are_of_the_workers_own_time),
        TEST(test_worker_that_still_runs_it_has_the_grace_alone),
        TEST(test_worker_that_has_yielded_since_has_all_the_patience),
        TEST(test_what_runs_before_the_cancel_is_read_has_its_time_besides),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
