/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetches of tenants, from a worker's call to egress and back: turns, credit, memory, ends. The supervisor without processes
 * (tests/fuzz/rig.h), an egress that the test plays (tests/played/egress.h), and the false clock of tests/events.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/io.h"
#include "proto/frame.h"
#include "proto/worker_tails.h"
#include "supervisor/helpers/egress.h"
#include "supervisor/placement/placement.h"
#include "supervisor/requests/call_frames.h"
#include "supervisor/requests/fetch.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/workers/worker.h"
#include "tests/events/clock.h"
#include "tests/fuzz/rig.h"
#include "tests/played/egress.h"
#include "worker.pb-c.h"

#define CLIENTS 14
#define ARENA_BYTES (4 << 20)

const size_t fuzz_options_bytes = 0;

static const char config[] =
    "listen: [\"127.0.0.1:0\"]\n"
    "egress: { addresses: [127.0.0.0/8], deny: [\"denied.test\"] }\n"
    "cordons:\n"
    "  - { name: many, workers: 1, rss_mib: unlimited, spare: off, solitary: 0 }\n";

#define MANIFEST(name)                                                                     \
    "name: " name "\nmain: a.js\ncordon: many\nallowed_hosts: [\"http://*:*\", \"*\"]\n"   \
    "limits: { wall_ms: 3600000, calls: 64, subrequests: 1000, call_mib: 1, concurrency: " \
    "64 }\n"
static const char *const manifests[] = { MANIFEST("a"), MANIFEST("b") };

/* Frames that the worker got since the last look. */
struct seen {
    unsigned n_heads, n_failures, n_limits, n_ends;
    size_t bytes, credit;
    unsigned status, n_fields;
    char text[1024];
};

struct scene {
    struct rig *rig;
    struct egress *egress;
    struct rig_worker worker;
    struct rig_client clients[CLIENTS];
    unsigned n_clients;
    struct seen seen;
    uint8_t input[4 << 20];
    size_t n_input;
    struct arena arena;
};

/* ---- the worker's end */

static void take_frame(struct seen *seen, const Skep__Worker__ToWorker *frame)
{
    struct head head;

    switch (frame->message_case) {
    case SKEP__WORKER__TO_WORKER__MESSAGE_CALL_HEAD:
        assert_int_equal(
            head_open(frame->call_head->head.data, frame->call_head->head.len, 0, 256, &head), 0);
        seen->n_heads++;
        seen->status = frame->call_head->status;
        seen->n_fields = head.n_texts / 2;
        seen->bytes += frame->call_head->body.len;
        seen->n_ends += frame->call_head->end ? 1 : 0;
        break;
    case SKEP__WORKER__TO_WORKER__MESSAGE_CALL_BODY:
        seen->bytes += frame->call_body->data.len;
        seen->n_ends += frame->call_body->end ? 1 : 0;
        break;
    case SKEP__WORKER__TO_WORKER__MESSAGE_CALL_CREDIT:
        seen->credit += frame->call_credit->bytes;
        break;
    case SKEP__WORKER__TO_WORKER__MESSAGE_CALL_DONE:
        seen->n_failures++;
        seen->n_limits += frame->call_done->failure == SKEP__WORKER__CALL_FAILURE__CALL_LIMIT;
        (void) snprintf(seen->text, sizeof seen->text, "%.*s", (int) frame->call_done->message.len,
                        (const char *) frame->call_done->message.data);
        break;
    default:
        break;
    }
}

static void read_frames(struct scene *s)
{
    ssize_t n;
    int64_t size;
    size_t at = 0;

    while ((n = read(s->worker.fd, s->input + s->n_input, sizeof s->input - s->n_input)) > 0)
        s->n_input += (size_t) n;
    while ((size = frame_measure(s->input + at, s->n_input - at)) > 0 &&
           (size_t) size <= s->n_input - at) {
        const ProtobufCMessage *message =
            frame_unpack_tail(&skep__worker__to_worker__descriptor, &worker_tails, s->input + at,
                              (size_t) size, &s->arena);
        assert_non_null(message);
        take_frame(&s->seen, (const Skep__Worker__ToWorker *) message);
        at += (size_t) size;
    }
    memmove(s->input, s->input + at, s->n_input - at);
    s->n_input -= at;
}

static void turn(struct scene *s)
{
    for (unsigned i = 0; i < 6; i++) {
        rig_turn(s->rig);
        read_frames(s);
    }
    for (unsigned i = 0; i < s->n_clients; i++)
        rig_client_read(&s->clients[i]);
}

/* Returns what the worker got since the last look. */
static struct seen look(struct scene *s)
{
    turn(s);
    struct seen seen = s->seen;
    s->seen = (struct seen){ .n_heads = 0 };
    return seen;
}

static void pass(struct scene *s, uint64_t ms)
{
    clock_pass(ms * NSEC_PER_MSEC);
    event_active(s->rig->heart.ledger->tick, EV_TIMEOUT, 0);
    (void) event_base_loop(s->rig->heart.base, EVLOOP_NONBLOCK);
    turn(s);
}

/* ---- the scene */

static struct tenant *tenant_of(const struct scene *s, const char *name)
{
    return tenant_find(s->rig->heart.tenants, name, 1);
}

static int set_up(void **state)
{
    struct scene *s = calloc(1, sizeof *s);

    assert_non_null(s);
    s->rig = rig_start(config);
    assert_int_equal(arena_init(&s->arena, ARENA_BYTES), 0);
    s->egress = played_egress(s->rig->heart.base);
    ledger_set_egress(s->rig->heart.ledger, s->egress);
    for (unsigned i = 0; i < 2; i++)
        rig_install(s->rig, manifests[i], "/nowhere");
    rig_worker_start(s->rig, "many", SLOT_SHARED, &s->worker);
    rig_worker_become_ready(s->rig, &s->worker);
    for (unsigned i = 0; i < 2; i++) {
        struct version *version = tenant_of(s, i == 0 ? "a" : "b")->version;
        assert_int_equal(placement_load(version, s->worker.worker), 0);
        placement_on_loaded(placement_find(version, s->worker.worker), ERROR_NONE, "", 0, 100);
    }
    turn(s);
    *state = s;
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
    assert_int_equal(s->rig->heart.ledger->fetches->queue.n_open, 0);
    assert_int_equal(s->rig->heart.ledger->fetches->queue.n_waiting, 0);
    assert_int_equal(http_front_buffered(s->rig->heart.front), 0);
    for (unsigned i = 0; i < 2; i++)
        assert_null(tenant_of(s, i == 0 ? "a" : "b")->books.fetches);
    rig_worker_done(&s->worker);
    rig_stop(s->rig);
    assert_int_equal(played_fetches_open(), 0);
    s->egress = egress_free(s->egress);
    arena_done(&s->arena);
    free(s);
    return 0;
}

/* A client asks the tenant; the request is in the worker. */
static struct request *ask(struct scene *s, const char *tenant)
{
    struct rig_client *client = &s->clients[s->n_clients++];
    const struct worker *worker = s->worker.worker;
    const struct attempt *last = NULL;
    char text[128];

    assert_true(s->n_clients <= CLIENTS);
    rig_client_start(s->rig, client);
    (void) snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: %s.localhost\r\n\r\n", tenant);
    rig_client_ask(client, text, strlen(text), true);
    turn(s);
    for (unsigned i = 0; i < SCOREBOARD_REQUESTS; i++) {
        const struct attempt *attempt = worker->attempts[i];
        if (!attempt)
            continue;
        atomic_store(&worker->board->entered[i], attempt->id);
        last = !last || attempt->id > last->id ? attempt : last;
    }
    ledger_on_caught_up(s->worker.worker);
    assert_non_null(last);
    assert_string_equal(last->tenant->name, tenant);
    struct request *request = request_find(worker, last->id);
    assert_int_equal(request->calls.last_id, 0);
    return request;
}

static struct call_head get(const char *host, const char *path)
{
    return (struct call_head){
        .binding = CALL_FETCH_BINDING,
        .method = { "GET", 3 },
        .scheme = { "http", 4 },
        .host = { host, strlen(host) },
        .path = { path, strlen(path) },
        .port = 80,
        .end = true,
    };
}

/* JavaScript of the request makes the fetch. Returns its number among the calls of the request. */
static uint32_t fetch(struct request *request, struct call_head head)
{
    head.id = request->calls.last_id + 1;
    assert_int_equal(caller_on_call(&request->calls, &head), 0);
    return head.id;
}

static void fetch_many(struct request *request, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        (void) fetch(request, get("a.test", "/"));
}

static uint64_t counted(const struct scene *s, const char *tenant, enum error_code code)
{
    return tenant_of(s, tenant)->counted.counters.calls[code];
}

/* ---- the way of one fetch */

static void test_a_fetch_goes_out_and_its_answer_comes_back(void **state)
{
    struct scene *s = *state;
    struct request *request = ask(s, "a");
    const struct call_field fields[] = { { { "x-a", 3 }, { "1", 1 } },
                                         { { "host", 4 }, { "x", 1 } } };
    struct call_head head = get("a.test", "/x?y");

    head.fields = fields;
    head.n_fields = 2;
    (void) fetch(request, head);
    assert_int_equal(played_fetches(), 1); /* at once, not in the next turn */
    const struct played_fetch *sent = played_fetch(0);
    assert_string_equal(sent->method, "GET");
    assert_string_equal(sent->host, "a.test");
    assert_string_equal(sent->path, "/x?y");
    assert_true(sent->port == 80 && !sent->is_https && !sent->has_body && !sent->has_length);
    assert_int_equal(sent->n_fields, 1);
    assert_int_equal(sent->n_named, 1);
    assert_int_equal(sent->tenant, tenant_of(s, "a")->number);
    assert_int_equal(sent->credit, BODY_WINDOW_BYTES);
    played_head(0, 201, "x-b", "2");
    struct seen seen = look(s);
    assert_true(seen.n_heads == 1 && seen.status == 201 && seen.n_fields == 1 && seen.n_ends == 0);
    played_body(0, 1000);
    played_done(0, SKEP__EGRESS__FAILURE__FAILURE_NONE, "");
    seen = look(s);
    assert_true(seen.bytes == 1000 && seen.n_ends == 1 && seen.n_failures == 0);
    assert_int_equal(request->calls.n_calls, 0);
    assert_int_equal(counted(s, "a", ERROR_NONE), 1);
}

static void test_headers_of_the_connection_do_not_come_back(void **state)
{
    static const char *const names[] = { "Connection", "transfer-encoding",
                                         "Keep-Alive", "upgrade",
                                         "TE",         "Trailer",
                                         "proxy-x",    "skep-error" };
    struct scene *s = *state;
    struct request *request = ask(s, "a");
    unsigned n = 0;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void) fetch(request, get("a.test", "/"));
        played_head(n, 200, names[i], "x");
        struct seen seen = look(s);
        assert_true(seen.n_heads == 1 && seen.n_fields == 0);
        played_done(n++, SKEP__EGRESS__FAILURE__FAILURE_NONE, "");
    }
    (void) fetch(request, get("a.test", "/"));
    played_head(n, 200, "Content-Length", "0");
    assert_int_equal(look(s).n_fields, 1);
    played_done(n, SKEP__EGRESS__FAILURE__FAILURE_NONE, "");
}

static void test_an_answer_that_may_have_no_body_has_none(void **state)
{
    struct scene *s = *state;
    struct request *request = ask(s, "a");
    struct call_head head = get("a.test", "/");

    (void) fetch(request, head);
    played_head(0, 205, NULL, NULL);
    played_body(0, 10);
    struct seen seen = look(s);
    assert_true(seen.bytes == 0 && seen.n_ends == 1 && seen.n_failures == 0);
    assert_true(played_fetch(0)->is_cancelled);
    head.method = (struct call_text){ "HEAD", 4 };
    (void) fetch(request, head);
    played_head(1, 200, "content-length", "5");
    played_done(1, SKEP__EGRESS__FAILURE__FAILURE_NONE, "");
    seen = look(s);
    assert_true(seen.n_fields == 1 && seen.bytes == 0 && seen.n_ends == 1);
    played_end_cancelled();
}

static void test_a_status_that_is_none_fails(void **state)
{
    struct scene *s = *state;

    (void) fetch(ask(s, "a"), get("a.test", "/"));
    played_head(0, 999, NULL, NULL);
    struct seen seen = look(s);
    assert_true(seen.n_heads == 0 && seen.n_failures == 1);
    assert_true(played_fetch(0)->is_cancelled);
    assert_int_equal(counted(s, "a", ERROR_FETCH_FAILED), 1);
    played_end_cancelled();
}

/* ---- rules */

/* Expects a warning that begins so as the newest line of the tenant's log. */
static void expect_line(const struct tenant *tenant, const char *begin)
{
    const struct log_line *line =
        log_store_newest(tenant->tenants->record->log_store, &tenant->counted);

    assert_non_null(line);
    assert_int_equal(line->level, TENANT_WARN);
    assert_true(line->size > strlen(begin));
    assert_memory_equal(line->text, begin, strlen(begin));
}

static void test_what_a_rule_refuses_is_not_sent(void **state)
{
    struct scene *s = *state;
    struct request *request = ask(s, "a");
    struct call_head head = get("a.test", "/");

    (void) fetch(request, get("denied.test", "/"));
    struct seen seen = look(s);
    assert_true(seen.n_failures == 1 && seen.n_limits == 0);
    assert_non_null(strstr(seen.text, "denied.test"));
    assert_int_equal(counted(s, "a", ERROR_FETCH_DENIED), 1);
    expect_line(request->attempt.tenant, "fetch refused: GET denied.test: ");
    head.host = (struct call_text){ "A.test", 6 };
    (void) fetch(request, head);
    seen = look(s);
    assert_non_null(strstr(seen.text, "cannot be sent"));
    assert_int_equal(counted(s, "a", ERROR_BAD_REQUEST), 1);
    assert_int_equal(played_fetches(), 0);
    assert_int_equal(request->calls.n_calls, 0);
}

static void test_a_fetch_that_waited_is_asked_about_again(void **state)
{
    struct scene *s = *state;
    struct request *request = ask(s, "a");

    played_egress_hangs();
    (void) fetch(request, get("a.test", "/"));
    assert_int_equal(request->attempt.tenant->books.fetches->n_ready, 1);
    /* A reload forbids the host meanwhile. */
    struct host_rule rule;
    const char *reason;
    struct host_rules deny = s->rig->heart.config->egress.deny;
    assert_int_equal(host_rule_parse("a.test:*", &rule, &reason), 0);
    rule.is_https = false;
    s->rig->heart.config->egress.deny =
        (struct host_rules){ .items = &rule, .n = 1, .is_given = true };
    played_egress_reads();
    turn(s);
    s->rig->heart.config->egress.deny = deny;
    host_rule_done(&rule);
    struct seen seen = look(s);
    assert_int_equal(seen.n_failures, 1);
    assert_int_equal(played_fetches(), 0);
}

static void test_other_rules_have_egress_forget_the_tenant(void **state)
{
    struct scene *s = *state;
    struct request *request = ask(s, "a");

    ledger_forget_hosts(tenant_of(s, "a"));
    assert_int_equal(played_forgets(), 0); /* nothing to forget */
    (void) fetch(request, get("a.test", "/"));
    ledger_forget_hosts(tenant_of(s, "b"));
    assert_int_equal(played_forgets(), 0);
    ledger_forget_hosts(tenant_of(s, "a"));
    ledger_forget_hosts(tenant_of(s, "a"));
    assert_int_equal(played_forgets(), 1);
    played_head(0, 200, NULL, NULL); /* a fetch under way goes on */
    played_done(0, SKEP__EGRESS__FAILURE__FAILURE_NONE, "");
    assert_int_equal(look(s).n_ends, 1);
    /* As a new version does. */
    (void) fetch(request, get("a.test", "/"));
    played_done(1, SKEP__EGRESS__FAILURE__FAILURE_CONNECT, "refused");
    rig_install(s->rig, manifests[0], "/elsewhere");
    turn(s);
    struct tenant *tenant = tenant_of(s, "a");
    if (tenant->candidate) {
        placement_on_loaded(placement_find(tenant->candidate, s->worker.worker), ERROR_NONE, "", 0,
                            100);
        turn(s);
    }
    assert_null(tenant->candidate);
    assert_int_equal(played_forgets(), 2);
}

/* ---- bodies */

static void test_a_body_is_sent_as_egress_takes_it(void **state)
{
    static const uint8_t data[CALL_WINDOW_BYTES];
    struct scene *s = *state;
    struct request *request = ask(s, "a");
    struct call_head head = get("a.test", "/");

    head.body = data;
    head.body_size = 1000;
    head.end = false;
    uint32_t id = fetch(request, head);
    assert_true(played_fetch(0)->has_body && !played_fetch(0)->has_length);
    assert_int_equal(played_fetch(0)->body_bytes, 1000);
    assert_int_equal(caller_on_body(&request->calls, id, data, CALL_WINDOW_BYTES - 1000, false), 0);
    assert_int_equal(played_fetch(0)->body_bytes, CALL_WINDOW_BYTES);
    assert_int_equal(look(s).credit, 0); /* egress has not taken any */
    assert_int_equal(caller_on_body(&request->calls, id, data, 1, false), -EPROTO);
    played_credit(0, 30000);
    assert_int_equal(look(s).credit, 30000);
    assert_int_equal(caller_on_body(&request->calls, id, data, 30000, true), 0);
    assert_int_equal(played_fetch(0)->body_bytes, CALL_WINDOW_BYTES + 30000);
    assert_true(played_fetch(0)->is_body_ended);
    played_credit(0, 30000); /* for nothing */
    assert_int_equal(look(s).credit, 0);
    assert_int_equal(request->fetch_bytes, 0);
}

static void test_a_body_has_the_length_that_it_says(void **state)
{
    static const uint8_t data[100];
    const struct call_field length = { { "content-length", 14 }, { "100", 3 } };
    struct scene *s = *state;
    struct request *request = ask(s, "a");
    struct call_head head = get("a.test", "/");

    head.fields = &length;
    head.n_fields = 1;
    head.body = data;
    head.body_size = 60;
    head.end = false;
    uint32_t id = fetch(request, head);
    assert_true(played_fetch(0)->has_length && played_fetch(0)->length == 100);
    assert_int_equal(caller_on_body(&request->calls, id, data, 41, false), 0);
    struct seen seen = look(s);
    assert_true(seen.n_failures == 1 && strstr(seen.text, "not as long"));
    assert_true(played_fetch(0)->is_cancelled);
    played_end_cancelled();
}

static void test_a_tenant_that_does_not_read_stops_the_server(void **state)
{
    struct scene *s = *state;
    struct request *request = ask(s, "a");
    uint32_t id = fetch(request, get("a.test", "/"));

    played_head(0, 200, NULL, NULL);
    for (unsigned i = 0; i < 4; i++)
        played_body(0, 65536);
    assert_int_equal(played_fetch(0)->credit, 0);
    assert_int_equal(look(s).bytes, BODY_WINDOW_BYTES);
    /* The server may send as much again as JavaScript has read. */
    assert_int_equal(caller_on_credit(&request->calls, id, 65536), 0);
    assert_int_equal(played_fetch(0)->credit, 65536);
    assert_int_equal(caller_on_credit(&request->calls, id, 3 * 65536), 0);
    assert_int_equal(played_fetch(0)->credit, BODY_WINDOW_BYTES);
}

static void test_an_answer_waits_for_a_worker_that_is_behind(void **state)
{
    static const char filler[] = "the end of a call that the worker has forgotten";
    struct scene *s = *state;
    struct request *request = ask(s, "a");

    (void) fetch(request, get("a.test", "/"));
    size_t before = http_front_buffered(s->rig->heart.front);
    /* The worker does not read. */
    while (!worker_is_congested(s->worker.worker))
        call_frames_send_failure(request, 1000, false, filler);
    played_head(0, 200, "x-a", "1");
    played_body(0, 65536);
    assert_true(http_front_buffered(s->rig->heart.front) > before + 65536);
    assert_true(ledger_queued_bytes(tenant_of(s, "a")) > 65536);
    for (unsigned i = 0; i < 50; i++) /* the worker reads */
        turn(s);
    struct seen seen = look(s);
    assert_true(seen.n_heads == 1 && seen.bytes == 65536);
    assert_int_equal(http_front_buffered(s->rig->heart.front), before);
}

/* ---- limits and turns */

static void test_six_of_a_request_wait_for_their_heads(void **state)
{
    static const uint8_t data[10000];
    struct scene *s = *state;
    struct request *request = ask(s, "a");
    struct call_head head = get("a.test", "/late");

    fetch_many(request, 6);
    const size_t before = http_front_buffered(s->rig->heart.front);
    head.body = data;
    head.body_size = 5000;
    head.end = false;
    uint32_t id = fetch(request, head);
    assert_int_equal(caller_on_body(&request->calls, id, data, 4000, false), 0);
    assert_int_equal(played_fetches(), 6);
    /* The bytes that are kept for the fetch count. */
    assert_true(request->fetch_bytes > 9000 && request->fetch_bytes < 10000);
    assert_int_equal(http_front_buffered(s->rig->heart.front), before + request->fetch_bytes);
    assert_int_equal(caller_on_body(&request->calls, id, data, 0, true), 0);
    played_head(2, 200, NULL, NULL);
    assert_int_equal(played_fetches(), 6); /* in a later turn: egress' frame is being handled */
    turn(s);
    assert_int_equal(played_fetches(), 7);
    assert_string_equal(played_fetch(6)->path, "/late");
    assert_int_equal(played_fetch(6)->body_bytes, 9000);
    assert_true(played_fetch(6)->is_body_ended);
    assert_int_equal(request->fetch_bytes, 0);
    assert_int_equal(http_front_buffered(s->rig->heart.front), before);
    /* An end makes room, too, whatever its reason; a request of its own has room of its own. */
    fetch_many(request, 3);
    played_done(0, SKEP__EGRESS__FAILURE__FAILURE_CONNECT, "connection refused");
    turn(s);
    assert_int_equal(played_fetches(), 8);
    assert_int_equal(caller_on_cancel(&request->calls, 2), 0);
    turn(s);
    assert_int_equal(played_fetches(), 9);
    fetch_many(ask(s, "a"), 6);
    assert_int_equal(played_fetches(), 15);
}

static void test_a_tenant_with_all_its_places_waits_and_others_do_not(void **state)
{
    struct scene *s = *state;
    struct request *requests[12];

    for (unsigned i = 0; i < 12; i++)
        requests[i] = ask(s, "a");
    for (unsigned i = 0; i < 12; i++)
        fetch_many(requests[i], 7);
    assert_int_equal(played_fetches(), EGRESS_TENANT_FETCHES_MAX);
    fetch_many(ask(s, "b"), 6);
    assert_int_equal(played_fetches(), EGRESS_TENANT_FETCHES_MAX + 6);
    /* A head frees no place of the tenant's, an end does. */
    played_head(0, 200, NULL, NULL);
    turn(s);
    assert_int_equal(played_fetches(), EGRESS_TENANT_FETCHES_MAX + 6);
    played_done(0, SKEP__EGRESS__FAILURE__FAILURE_NONE, "");
    turn(s);
    assert_int_equal(played_fetches(), EGRESS_TENANT_FETCHES_MAX + 7);
}

static void test_limits_of_calls_hold(void **state)
{
    struct scene *s = *state;
    struct request *request = ask(s, "a");

    fetch_many(request, 64);
    assert_int_equal(look(s).n_failures, 0);
    fetch_many(request, 1);
    struct seen seen = look(s);
    assert_true(seen.n_limits == 1 && strstr(seen.text, "(calls)"));
    /* 1 MiB both ways: the answer that goes over is broken off. */
    played_head(0, 200, NULL, NULL);
    for (unsigned i = 0; i < 16; i++) {
        played_body(0, 65536);
        assert_int_equal(caller_on_credit(&request->calls, 1, 65536), 0);
    }
    assert_int_equal(look(s).n_failures, 0);
    played_body(0, 1);
    seen = look(s);
    assert_true(seen.n_limits == 1 && strstr(seen.text, "call_mib"));
    assert_true(played_fetch(0)->is_cancelled);
    assert_int_equal(counted(s, "a", ERROR_SUB_LIMIT), 2);
    played_end_cancelled();
}

static void test_fetches_wait_while_egress_is_behind_in_turns(void **state)
{
    struct scene *s = *state;
    struct request *of_a = ask(s, "a"), *of_b = ask(s, "b");

    played_egress_hangs();
    fetch_many(of_a, 3);
    fetch_many(of_b, 2);
    turn(s);
    assert_int_equal(played_fetches(), 0);
    played_egress_reads();
    turn(s);
    const uint64_t a = tenant_of(s, "a")->number, b = tenant_of(s, "b")->number;
    const uint64_t order[] = { a, b, a, b, a };
    assert_int_equal(played_fetches(), 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(played_fetch(i)->tenant, order[i]);
}

static void test_no_more_fetches_wait_while_buffers_are_short(void **state)
{
    static const uint8_t data[40000];
    struct scene *s = *state;
    struct http_limits limits = *s->rig->heart.limits;
    struct request *request = ask(s, "a");
    struct call_head head = get("a.test", "/");

    limits.buffer_bytes = 100000;
    assert_int_equal(http_front_set_limits(s->rig->heart.front, &limits), 0);
    fetch_many(request, 6);
    head.body = data;
    head.body_size = sizeof data;
    for (unsigned i = 0; i < 2; i++)
        (void) fetch(request, head);
    assert_int_equal(http_front_pressure(s->rig->heart.front), 2);
    assert_int_equal(look(s).n_failures, 0);
    (void) fetch(request, head);
    struct seen seen = look(s);
    assert_true(seen.n_failures == 1 && strstr(seen.text, "overloaded"));
    /* One that need not wait is sent. */
    (void) fetch(ask(s, "b"), head);
    assert_int_equal(look(s).n_failures, 0);
    assert_int_equal(played_fetches(), 7);
    assert_true(played_fetch(6)->credit < BODY_WINDOW_BYTES);
}

static void test_a_fetch_waits_for_its_turn_for_a_minute(void **state)
{
    struct scene *s = *state;
    struct request *request = ask(s, "a");

    fetch_many(request, 6);
    pass(s, 1000);
    fetch_many(request, 1);
    pass(s, FETCH_WAIT_MS - 1);
    assert_int_equal(look(s).n_failures, 0);
    pass(s, 1);
    struct seen seen = look(s);
    assert_true(seen.n_failures == 1 && strstr(seen.text, "60 s"));
    assert_int_equal(request->calls.n_calls, 6);
    assert_int_equal(counted(s, "a", ERROR_OVERLOADED), 1);
}

/* ---- ends */

static void test_an_end_says_why(void **state)
{
    struct scene *s = *state;
    struct request *request = ask(s, "a");

    fetch_many(request, 3);
    played_done(0, SKEP__EGRESS__FAILURE__FAILURE_TLS, "a.test: the certificate has expired");
    assert_string_equal(look(s).text, "a.test: the certificate has expired");
    played_done(1, SKEP__EGRESS__FAILURE__FAILURE_ADDRESS, "a.test is 10.0.0.1, a private address");
    assert_int_equal(look(s).n_failures, 1);
    expect_line(request->attempt.tenant, "fetch refused: GET a.test: a.test is 10.0.0.1");
    played_head(2, 200, NULL, NULL);
    played_body(2, 10);
    played_done(2, SKEP__EGRESS__FAILURE__FAILURE_CLOSED, "a.test has closed the connection");
    struct seen seen = look(s);
    assert_true(seen.bytes == 10 && seen.n_failures == 1 && seen.n_ends == 0);
    assert_int_equal(counted(s, "a", ERROR_FETCH_FAILED), 1);
    assert_int_equal(counted(s, "a", ERROR_FETCH_DENIED), 1);
    assert_int_equal(counted(s, "a", ERROR_NONE), 1);
}

static void test_what_nobody_wants_is_cancelled_in_each_phase(void **state)
{
    struct scene *s = *state;
    struct request *request = ask(s, "a");

    fetch_many(request, 9);
    played_head(0, 200, NULL, NULL);
    turn(s);
    assert_int_equal(played_fetches(), 7);
    for (uint32_t id = 1; id <= 8; id++) /* answered, open, and blocked */
        if (id != 8)
            assert_int_equal(caller_on_cancel(&request->calls, id), 0);
    turn(s);
    assert_int_equal(played_fetches(), 9);
    assert_int_equal(played_fetches_open(), 2);
    fetch_many(request, 5);
    assert_int_equal(played_fetches(), 13);
    /* The request is over, with all that it asked; none of those that waited is opened meanwhile. */
    ledger_on_done(request, ERROR_NONE, 0);
    turn(s);
    assert_int_equal(played_fetches_open(), 0);
    assert_int_equal(played_fetches(), 13);
    played_end_cancelled();
    /* So it is when the client leaves, and when the worker dies. */
    fetch_many(ask(s, "a"), 7);
    rig_client_done(&s->clients[s->n_clients - 1]);
    turn(s);
    assert_int_equal(played_fetches_open(), 0);
    fetch_many(ask(s, "b"), 7);
    rig_worker_exit(s->rig, &s->worker, SIGKILL);
    turn(s);
    assert_int_equal(played_fetches_open(), 0);
    played_end_cancelled();
    rig_worker_start(s->rig, "many", SLOT_SHARED, &s->worker); /* for tear_down */
}

static void test_fetches_end_with_egress_and_others_wait_for_it(void **state)
{
    struct scene *s = *state;
    struct request *request = ask(s, "a");

    fetch_many(request, 7);
    played_head(0, 200, NULL, NULL);
    turn(s);
    assert_int_equal(played_fetches(), 7);
    fetch_many(request, 1);
    (void) look(s);
    played_egress_dies();
    struct seen seen = look(s);
    assert_int_equal(seen.n_failures, 7);
    assert_non_null(strstr(seen.text, "skep-egress"));
    /* The eighth has its turn now, and waits for egress. */
    assert_int_equal(request->calls.n_calls, 1);
    pass(s, FETCH_DOWN_MS - 1);
    assert_int_equal(look(s).n_failures, 0);
    played_egress_returns();
    turn(s);
    assert_int_equal(played_fetches(), 8);
    played_done(7, SKEP__EGRESS__FAILURE__FAILURE_CONNECT, "x");
    assert_int_equal(look(s).n_failures, 1);
    /* Nobody waits for one that does not come back. */
    played_egress_dies();
    (void) fetch(request, get("a.test", "/"));
    pass(s, FETCH_DOWN_MS);
    seen = look(s);
    assert_true(seen.n_failures == 1 && strstr(seen.text, "not running"));
    (void) fetch(request, get("a.test", "/"));
    assert_int_equal(look(s).n_failures, 1);
    played_egress_returns();
    turn(s);
    (void) fetch(request, get("a.test", "/"));
    assert_int_equal(played_fetches(), 9);
}

static void test_without_egress_each_fetch_fails(void **state)
{
    struct scene *s = *state;

    ledger_set_egress(s->rig->heart.ledger, NULL);
    (void) fetch(ask(s, "a"), get("a.test", "/"));
    struct seen seen = look(s);
    assert_true(seen.n_failures == 1 && strstr(seen.text, "not running"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_fetch_goes_out_and_its_answer_comes_back),
        TEST(test_headers_of_the_connection_do_not_come_back),
        TEST(test_an_answer_that_may_have_no_body_has_none),
        TEST(test_a_status_that_is_none_fails),
        TEST(test_what_a_rule_refuses_is_not_sent),
        TEST(test_a_fetch_that_waited_is_asked_about_again),
        TEST(test_other_rules_have_egress_forget_the_tenant),
        TEST(test_a_body_is_sent_as_egress_takes_it),
        TEST(test_a_body_has_the_length_that_it_says),
        TEST(test_a_tenant_that_does_not_read_stops_the_server),
        TEST(test_an_answer_waits_for_a_worker_that_is_behind),
        TEST(test_six_of_a_request_wait_for_their_heads),
        TEST(test_a_tenant_with_all_its_places_waits_and_others_do_not),
        TEST(test_limits_of_calls_hold),
        TEST(test_fetches_wait_while_egress_is_behind_in_turns),
        TEST(test_no_more_fetches_wait_while_buffers_are_short),
        TEST(test_a_fetch_waits_for_its_turn_for_a_minute),
        TEST(test_an_end_says_why),
        TEST(test_what_nobody_wants_is_cancelled_in_each_phase),
        TEST(test_fetches_end_with_egress_and_others_wait_for_it),
        TEST(test_without_egress_each_fetch_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
