/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which requests are refused. One that comes too late for an isolate in which JavaScript was stopped goes to the next one, and that may
 * be stopped before it, too: any number of times that is not absurd. The supervisor without processes: tests/fuzz/rig.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/placement/blame.h"
#include "supervisor/placement/placement.h"
#include "supervisor/requests/ledger.h"
#include "tests/fuzz/rig.h"

#define MANY 100U /* more than a request may be sent after deaths */
#define ABSURD 1000U

#define GET "GET / HTTP/1.1\r\nHost: a.localhost\r\n\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a.localhost\r\nContent-Length: 1\r\n\r\nx"

const size_t fuzz_options_bytes = 0;

static const char config[] =
    "listen: [\"127.0.0.1:0\"]\n"
    "cordons:\n"
    "  - { name: many, workers: 1, rss_mib: unlimited, spare: off, solitary: 0,\n"
    "      limits: { maximum: { renewals: 10000 } } }\n";

static const char manifest[] = "name: a\nmain: a.js\ncordon: many\nlimits: { renewals: 10000 }\n";
static const char other_manifest[] = "name: b\nmain: a.js\ncordon: many\n";

struct scene {
    struct rig *rig;
    struct rig_worker worker;
    struct rig_client client;
    struct version *version;
};

static void turn(struct scene *s)
{
    for (unsigned i = 0; i < 4; i++)
        rig_turn(s->rig);
    rig_drop_input(s->worker.fd);
    rig_client_read(&s->client);
}

/* Returns the placement of the version in the worker, once it has begun to load. */
static struct placement *load(struct scene *s)
{
    struct placement *placement = placement_find(s->version, s->worker.worker);

    assert_non_null(placement);
    placement_on_loaded(placement, ERROR_NONE, "", 0, 100);
    turn(s);
    return placement;
}

static struct request *find_request(const struct scene *s)
{
    const struct worker *worker = s->worker.worker;

    for (unsigned i = 0; i < SCOREBOARD_REQUESTS; i++)
        if (worker->attempts[i])
            return request_find(worker, worker->attempts[i]->id);
    return NULL;
}

static int set_up(void **state)
{
    static struct scene scene;

    scene = (struct scene){ .rig = rig_start(config) };
    rig_install(scene.rig, manifest, "/nowhere");
    scene.version = tenant_find(scene.rig->heart.tenants, "a", 1)->version;
    rig_worker_start(scene.rig, "many", SLOT_SHARED, &scene.worker);
    rig_worker_become_ready(scene.rig, &scene.worker);
    rig_client_start(scene.rig, &scene.client);
    *state = &scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *s = *state;

    rig_client_done(&s->client);
    turn(s);
    rig_worker_exit(s->rig, &s->worker, 9);
    turn(s);
    rig_worker_done(&s->worker);
    rig_stop(s->rig);
    return 0;
}

/* Stops what is before the request in its isolate, as often as that is allowed, or so many times. Returns how often. */
static unsigned stop_before(struct scene *s, const char *text, unsigned times, bool has_entered)
{
    struct worker *worker = s->worker.worker;
    unsigned n = 0;

    rig_client_ask(&s->client, text, strlen(text), true);
    turn(s);
    for (struct placement *placement = load(s); n < times; placement = load(s), n++) {
        struct request *request = find_request(s);
        assert_non_null(request);
        if (has_entered)
            atomic_store(&worker->board->entered[request->attempt.id % SCOREBOARD_REQUESTS],
                         request->attempt.id);
        placement_on_stopped(placement);
        ledger_on_not_loaded(request);
        placement_on_unloaded(placement);
        turn(s);
        if (s->client.ended > 0)
            return n + 1;
    }
    return n;
}

static void test_request_outlasts_many_stops_before_it(void **state)
{
    static const struct http_response response = { .status = 200 };
    struct scene *s = *state;

    assert_int_equal(stop_before(s, GET, MANY, false), MANY);
    assert_int_equal(ledger_on_head(find_request(s), &response, NULL, 0, true), 0);
    turn(s);
    assert_int_equal(s->client.ended, 1);
    assert_int_equal(s->client.status, 200);
}

static void test_request_is_given_up_in_the_end(void **state)
{
    struct scene *s = *state;

    assert_in_range(stop_before(s, GET, 2 * ABSURD, false), ABSURD, ABSURD + 10);
    assert_int_equal(s->client.status, 503);
}

static void test_request_that_has_begun_and_may_not_run_twice_is_given_up_at_once(void **state)
{
    struct scene *s = *state;

    assert_int_equal(stop_before(s, POST, MANY, true), 1);
    assert_int_equal(s->client.status, 503);
}

static void test_request_that_has_begun_each_time_is_sent_a_few_times(void **state)
{
    struct scene *s = *state;

    assert_in_range(stop_before(s, GET, MANY, true), 2, SENDINGS_MAX);
    assert_int_equal(s->client.status, 503);
}

/* Calls of other tenants count as requests, and so as connections. */
static void
test_tenant_without_requests_is_served_when_calls_seem_to_have_all_connections(void **state)
{
    static const struct http_response response = { .status = 200 };
    struct scene *s = *state;
    const unsigned calls = 2 * s->rig->heart.config->http.connections;

    rig_install(s->rig, other_manifest, "/nowhere");
    s->rig->heart.ledger->in_workers += calls;
    rig_client_ask(&s->client, GET, strlen(GET), true);
    turn(s);
    assert_int_equal(s->client.ended, 0);
    (void) load(s);
    assert_int_equal(ledger_on_head(find_request(s), &response, NULL, 0, true), 0);
    turn(s);
    s->rig->heart.ledger->in_workers -= calls;
    assert_int_equal(s->client.status, 200);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_request_outlasts_many_stops_before_it),
        TEST(test_request_is_given_up_in_the_end),
        TEST(test_request_that_has_begun_each_time_is_sent_a_few_times),
        TEST(test_request_that_has_begun_and_may_not_run_twice_is_given_up_at_once),
        TEST(test_tenant_without_requests_is_served_when_calls_seem_to_have_all_connections),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
