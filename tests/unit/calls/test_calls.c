/* SPDX-License-Identifier: Apache-2.0 */
/* supervisor/calls alone: numbers, credit, limits, budgets and ends of calls, with a kind and a worker that the test plays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "proto/frame.h"
#include "supervisor/calls/calls.h"

#define OPEN_MAX (CALL_QUEUED_MAX + 64)

/* A request, its worker, and the calls of its bindings. */
struct attempt {
    struct caller caller; /* first */
    bool is_congested, is_observed;
    unsigned met[LIMITS_COUNT];
    /* Frames to the worker since the last look. */
    unsigned n_heads, n_bodies, n_failures, n_limits, n_ends;
    size_t n_bytes, credit;
    unsigned status;
    char name[32], text[160];
    /* Calls that the kind has. */
    struct call *open[OPEN_MAX];
    unsigned n_open, n_cancelled, n_credits;
    size_t body_bytes;
    bool body_ended, takes_service;
};

static char name_a[] = "A", name_b[] = "B", name_c[] = "C";
static struct binding bindings[] = { { .kind = BINDING_SERVICE, .name = name_a },
                                     { .kind = BINDING_SERVICE, .name = name_b },
                                     { .kind = BINDING_KV, .name = name_c } };
static const struct manifest manifest = { .bindings = bindings, .n_bindings = 3 };
#define QUEUED 2 /* the binding whose kind queues */
static struct limits limits;

static struct attempt *attempt_of(struct caller *caller)
{
    return (struct attempt *) (void *) caller;
}

/* ---- the worker */

static void send_head(struct caller *caller, uint32_t id, const struct call_answer *answer,
                      const uint8_t *body, size_t size, bool end)
{
    struct attempt *attempt = attempt_of(caller);

    assert_true(id > 0 && id <= caller->last_id && size <= ANSWER_CHUNK_MAX_BYTES);
    assert_true(size == 0 || body);
    attempt->n_heads++;
    attempt->n_ends += end;
    attempt->n_bytes += size;
    attempt->status = answer->status;
    if (answer->n_fields > 0)
        (void) snprintf(attempt->name, sizeof attempt->name, "%.*s=%.*s",
                        (int) answer->fields[0].name.size, answer->fields[0].name.data,
                        (int) answer->fields[0].value.size, answer->fields[0].value.data);
}

static void send_body(struct caller *caller, uint32_t id, const uint8_t *data, size_t size,
                      bool end)
{
    struct attempt *attempt = attempt_of(caller);

    assert_true(id > 0 && id <= caller->last_id && size <= ANSWER_CHUNK_MAX_BYTES);
    assert_true(end || size > 0);
    assert_true(size == 0 || data);
    attempt->n_bodies++;
    attempt->n_ends += end;
    attempt->n_bytes += size;
}

static void send_credit(struct caller *caller, uint32_t id, uint32_t bytes)
{
    assert_true(id > 0 && bytes > 0);
    attempt_of(caller)->credit += bytes;
}

static void send_failure(struct caller *caller, uint32_t id, bool is_limit, const char *text)
{
    struct attempt *attempt = attempt_of(caller);

    assert_true(id > 0);
    attempt->n_failures++;
    attempt->n_limits += is_limit;
    (void) snprintf(attempt->text, sizeof attempt->text, "%s", text);
}

static bool is_congested(const struct caller *caller)
{
    return ((const struct attempt *) (const void *) caller)->is_congested;
}

static bool meet_limit(struct caller *caller, unsigned limit, uint64_t used_milli)
{
    struct attempt *attempt = attempt_of(caller);

    assert_true(used_milli >= UINT64_C(1000) * limit_get(caller->limits, &limit_table[limit]));
    attempt->met[limit]++;
    return !attempt->is_observed;
}

static const struct caller_ops ops = {
    .send_head = send_head,
    .send_body = send_body,
    .send_credit = send_credit,
    .send_failure = send_failure,
    .is_congested = is_congested,
    .meet_limit = meet_limit,
};

/* ---- the kind */

static int open_call(struct call *call, const struct call_head *head)
{
    struct attempt *attempt = attempt_of(call->caller);

    if (head->method.size == 0)
        return -ENOMEM;
    if (attempt->takes_service && !call_take_service(call))
        return 0;
    attempt->open[attempt->n_open++] = call;
    return 0;
}

static void forget(struct attempt *attempt, const struct call *call)
{
    unsigned n = 0;

    for (unsigned i = 0; i < attempt->n_open; i++)
        if (attempt->open[i] != call)
            attempt->open[n++] = attempt->open[i];
    assert_int_equal(n + 1, attempt->n_open);
    attempt->n_open = n;
}

static void on_body(struct call *call, const uint8_t *data, size_t size, bool end)
{
    struct attempt *attempt = attempt_of(call->caller);

    assert_true(data || size == 0);
    attempt->body_bytes += size;
    attempt->body_ended = end;
}

static void on_credit(struct call *call)
{
    attempt_of(call->caller)->n_credits++;
}

static void on_cancel(struct call *call)
{
    attempt_of(call->caller)->n_cancelled++;
    forget(attempt_of(call->caller), call);
}

static const struct call_kind kind = {
    .open = open_call, .on_body = on_body, .on_credit = on_credit, .cancel = on_cancel
};
static const struct call_kind queued_kind = { .open = open_call,
                                              .on_body = on_body,
                                              .on_credit = on_credit,
                                              .cancel = on_cancel,
                                              .is_queued = true };
static const struct call_kind *const kinds[BINDING_KINDS] = {
    [BINDING_SERVICE] = &kind, [BINDING_FETCH] = &kind, [BINDING_KV] = &queued_kind
};

/* ---- steps */

static struct attempt *begin(void)
{
    struct attempt *attempt = calloc(1, sizeof *attempt);

    assert_non_null(attempt);
    caller_begin(&attempt->caller, &ops, kinds, &manifest, &limits);
    return attempt;
}

static void end(struct attempt *attempt)
{
    caller_end(&attempt->caller);
    assert_int_equal(attempt->n_open, 0);
    assert_int_equal(attempt->caller.n_calls, 0);
    caller_done(&attempt->caller);
    free(attempt);
}

static int say_call(struct attempt *attempt, uint32_t id, uint32_t binding, size_t size,
                    bool is_end)
{
    static const uint8_t bytes[CALL_WINDOW_BYTES + 1];
    const struct call_head head = {
        .id = id,
        .binding = binding,
        .method = { "GET", 3 },
        .scheme = { "http", 4 },
        .host = { "x", 1 },
        .path = { "/", 1 },
        .port = 80,
        .body = bytes,
        .body_size = size,
        .end = is_end,
    };

    return caller_on_call(&attempt->caller, &head);
}

static struct call *make(struct attempt *attempt)
{
    assert_int_equal(say_call(attempt, attempt->caller.last_id + 1, 0, 0, true), 0);
    assert_true(attempt->n_open > 0);
    return attempt->open[attempt->n_open - 1];
}

static int say_body(struct attempt *attempt, uint32_t id, size_t size, bool is_end)
{
    static const uint8_t bytes[BODY_CHUNK_MAX_BYTES + 1];

    return caller_on_body(&attempt->caller, id, bytes, size, is_end);
}

static const struct call_field field = { { "x-a", 3 }, { "b", 1 } };
static const struct call_answer answer = { .status = 200, .fields = &field, .n_fields = 1 };

static int setup(void **state)
{
    const struct limits_layers nothing = { .platform_default = NULL };

    (void) state;
    limits_resolve(&nothing, &limits);
    return 0;
}

/* ---- frames that a worker may not send */

static void test_number_binding_and_size_of_a_call_are_checked(void **state)
{
    struct attempt *attempt = begin();

    (void) state;
    assert_int_equal(say_call(attempt, 2, 0, 0, true), -EPROTO);
    assert_int_equal(say_call(attempt, 0, 0, 0, true), -EPROTO);
    assert_int_equal(say_call(attempt, 1, 3, 0, true), -EPROTO);
    assert_int_equal(say_call(attempt, 1, 0, CALL_WINDOW_BYTES + 1, true), -EPROTO);
    assert_int_equal(say_call(attempt, 1, 1, CALL_WINDOW_BYTES, true), 0);
    assert_int_equal(say_call(attempt, 1, 1, 0, true), -EPROTO);
    assert_int_equal(say_call(attempt, 2, 0, 0, true), 0);
    assert_int_equal(attempt->n_open, 2);
    end(attempt);
}

static void test_fetch_is_a_call_by_no_binding_of_the_manifest(void **state)
{
    struct attempt *attempt = begin();

    (void) state;
    assert_int_equal(say_call(attempt, 1, CALL_FETCH_BINDING - 1, 0, true), -EPROTO);
    assert_int_equal(say_call(attempt, 1, CALL_FETCH_BINDING, 0, true), 0);
    assert_int_equal(attempt->n_open, 1);
    assert_int_equal(attempt->open[0]->binding->kind, BINDING_FETCH);
    end(attempt);
}

static void test_frames_for_calls_that_were_never_made_are_a_breach(void **state)
{
    struct attempt *attempt = begin();

    (void) state;
    assert_int_equal(say_body(attempt, 1, 1, false), -EPROTO);
    assert_int_equal(caller_on_credit(&attempt->caller, 1, 1), -EPROTO);
    assert_int_equal(caller_on_cancel(&attempt->caller, 1), -EPROTO);
    assert_int_equal(caller_on_cancel(&attempt->caller, 0), -EPROTO);
    end(attempt);
}

static void test_frames_that_have_crossed_the_end_are_passed_over(void **state)
{
    struct attempt *attempt = begin();
    struct call *call = make(attempt);

    (void) state;
    forget(attempt, call);
    assert_int_equal(call_respond(call, &answer, NULL, 0, true), 0);
    assert_int_equal(say_body(attempt, 1, 1, false), 0);
    assert_int_equal(caller_on_credit(&attempt->caller, 1, 1), 0);
    assert_int_equal(caller_on_cancel(&attempt->caller, 1), 0);
    assert_int_equal(attempt->n_cancelled, 0);
    end(attempt);
}

static void test_body_keeps_to_its_window(void **state)
{
    struct attempt *attempt = begin();

    (void) state;
    assert_int_equal(say_call(attempt, 1, 0, CALL_WINDOW_BYTES - 10, false), 0);
    assert_int_equal(say_body(attempt, 1, 0, false), -EPROTO);
    assert_int_equal(say_body(attempt, 1, 11, false), -EPROTO);
    assert_int_equal(say_body(attempt, 1, 10, false), 0);
    /* The first window is not granted again. */
    call_grant(attempt->open[0], CALL_WINDOW_BYTES);
    assert_int_equal(attempt->credit, 0);
    call_grant(attempt->open[0], 100);
    assert_int_equal(attempt->credit, 100);
    assert_int_equal(say_body(attempt, 1, 101, false), -EPROTO);
    assert_int_equal(say_body(attempt, 1, 100, true), 0);
    assert_true(attempt->body_ended);
    assert_int_equal(attempt->body_bytes, 110);
    assert_int_equal(say_body(attempt, 1, 1, false), -EPROTO); /* after the end */
    call_grant(attempt->open[0], 100);
    assert_int_equal(attempt->credit, 100); /* no byte is to come */
    end(attempt);
}

static void test_credit_is_never_more_than_what_was_sent(void **state)
{
    static const uint8_t bytes[1000];
    struct attempt *attempt = begin();
    struct call *call = make(attempt);

    (void) state;
    assert_int_equal(caller_on_credit(&attempt->caller, 1, 1), -EPROTO);
    assert_int_equal(call_respond(call, &answer, bytes, 1000, false), 0);
    assert_int_equal(call_queued(call), 1000);
    assert_int_equal(caller_on_credit(&attempt->caller, 1, 0), -EPROTO);
    assert_int_equal(caller_on_credit(&attempt->caller, 1, 1001), -EPROTO);
    assert_int_equal(caller_on_credit(&attempt->caller, 1, UINT32_MAX), -EPROTO);
    assert_int_equal(caller_on_credit(&attempt->caller, 1, 600), 0);
    assert_int_equal(call_queued(call), 400);
    assert_int_equal(attempt->n_credits, 1);
    assert_int_equal(caller_on_credit(&attempt->caller, 1, 401), -EPROTO);
    end(attempt);
}

/* ---- answers */

static void test_answer_waits_for_credit(void **state)
{
    static const uint8_t bytes[BODY_CHUNK_MAX_BYTES];
    struct attempt *attempt = begin();
    struct call *call = make(attempt);

    (void) state;
    assert_int_equal(call_respond(call, &answer, NULL, 0, false), 0);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(call_send_body(call, bytes, sizeof bytes, false), 0);
    assert_int_equal(attempt->n_bytes, BODY_WINDOW_BYTES);
    assert_int_equal(call_queued(call), 5 * sizeof bytes);
    assert_int_equal(caller_on_credit(&attempt->caller, 1, 100), 0);
    assert_int_equal(attempt->n_bytes, BODY_WINDOW_BYTES + 100);
    forget(attempt, call);
    assert_int_equal(call_send_body(call, NULL, 0, true), 0); /* behind bytes that wait */
    assert_int_equal(attempt->n_ends, 0);
    assert_int_equal(attempt->caller.n_calls, 1);
    assert_int_equal(caller_kept_bytes(&attempt->caller), sizeof bytes - 100);
    assert_int_equal(caller_on_credit(&attempt->caller, 1, BODY_WINDOW_BYTES), 0);
    assert_int_equal(attempt->n_bytes, 5 * sizeof bytes);
    assert_int_equal(attempt->n_ends, 1);
    assert_int_equal(attempt->caller.n_calls, 0);
    assert_int_equal(attempt->n_credits, 1); /* the kind had ended the answer */
    end(attempt);
}

static void test_answer_waits_for_room_with_its_head(void **state)
{
    static const uint8_t bytes[10];
    struct attempt *attempt = begin();
    struct call *call = make(attempt), *other = make(attempt);

    (void) state;
    attempt->is_congested = true;
    assert_int_equal(call_respond(call, &answer, bytes, 10, false), 0);
    assert_int_equal(call_send_body(call, bytes, 10, false), 0);
    forget(attempt, other);
    assert_int_equal(call_respond(other, &answer, NULL, 0, true), 0);
    assert_int_equal(attempt->n_heads + attempt->n_bodies, 0);
    caller_on_room(&attempt->caller);
    assert_int_equal(attempt->n_heads, 0);
    attempt->is_congested = false;
    caller_on_room(&attempt->caller);
    assert_int_equal(attempt->n_heads, 2);
    assert_int_equal(attempt->n_bytes, 20);
    assert_int_equal(attempt->status, 200);
    assert_string_equal(attempt->name, "x-a=b");
    assert_int_equal(attempt->n_ends, 1);
    assert_int_equal(attempt->caller.n_calls, 1);
    end(attempt);
}

/* Heads count, too: each may have 128 KiB, and a worker that does not read may have thousands of
 * calls. */
static void test_what_waits_is_counted(void **state)
{
    static const uint8_t bytes[10];
    static char value[1000];
    const struct call_field long_field = { { "x-long", 6 }, { value, sizeof value } };
    const struct call_answer large = { .status = 200, .fields = &long_field, .n_fields = 1 };
    struct attempt *attempt = begin();
    struct call *call = make(attempt), *other = make(attempt);

    (void) state;
    attempt->is_congested = true;
    assert_int_equal(call_respond(call, &large, bytes, 10, false), 0);
    size_t kept = caller_kept_bytes(&attempt->caller);
    assert_true(kept > sizeof value); /* the kind counts the body */
    assert_int_equal(call_waiting(call), kept + 10);
    assert_int_equal(caller_waiting_bytes(&attempt->caller), kept + 10);
    forget(attempt, other);
    assert_int_equal(call_respond(other, &large, bytes, 10, true), 0);
    assert_int_equal(caller_kept_bytes(&attempt->caller), 2 * kept + 10);
    assert_int_equal(caller_waiting_bytes(&attempt->caller), 2 * kept + 20);
    attempt->is_congested = false;
    caller_on_room(&attempt->caller);
    assert_int_equal(caller_kept_bytes(&attempt->caller), 0);
    assert_int_equal(caller_waiting_bytes(&attempt->caller), 0);
    end(attempt);
}

static void test_failure_ends_a_call(void **state)
{
    struct attempt *attempt = begin();
    struct call *call = make(attempt);

    (void) state;
    forget(attempt, call);
    call_fail(call, false, "why");
    assert_int_equal(attempt->n_failures, 1);
    assert_int_equal(attempt->n_limits, 0);
    assert_string_equal(attempt->text, "why");
    assert_int_equal(attempt->caller.n_calls, 0);
    end(attempt);
}

/* ---- ends */

static void test_calls_end_with_their_attempt(void **state)
{
    struct attempt *attempt = begin();

    (void) state;
    (void) make(attempt);
    (void) make(attempt);
    caller_end(&attempt->caller);
    assert_int_equal(attempt->n_cancelled, 2);
    assert_int_equal(attempt->n_failures, 0); /* the worker knows already */
    assert_int_equal(say_call(attempt, 3, 0, 0, true), -EPROTO);
    caller_begin(&attempt->caller, &ops, kinds, &manifest, &limits); /* the request is sent again */
    assert_int_equal(say_call(attempt, 1, 0, 0, true), 0);
    end(attempt);
}

static void test_cancelled_request_gets_no_new_calls(void **state)
{
    struct attempt *attempt = begin();

    (void) state;
    (void) make(attempt);
    caller_cancel(&attempt->caller);
    assert_int_equal(attempt->n_cancelled, 1);
    assert_int_equal(say_call(attempt, 2, 0, 0, true), 0); /* was on its way, and is ignored */
    assert_int_equal(say_body(attempt, 2, 1, false), 0);
    assert_int_equal(attempt->n_open, 0);
    assert_int_equal(attempt->n_failures, 0);
    end(attempt);
}

static void test_worker_cancels_a_call(void **state)
{
    struct attempt *attempt = begin();

    (void) state;
    (void) make(attempt);
    assert_int_equal(caller_on_cancel(&attempt->caller, 1), 0);
    assert_int_equal(attempt->n_cancelled, 1);
    assert_int_equal(caller_on_cancel(&attempt->caller, 1), 0);
    assert_int_equal(attempt->n_cancelled, 1);
    end(attempt);
}

/* ---- limits */

static void test_calls_at_a_time_are_bounded(void **state)
{
    struct attempt *attempt = begin();

    (void) state;
    for (unsigned i = 0; i < limits.calls; i++)
        (void) make(attempt);
    assert_int_equal(say_call(attempt, limits.calls + 1, 0, 0, true), 0);
    assert_int_equal(attempt->n_open, limits.calls);
    assert_int_equal(attempt->n_limits, 1);
    assert_int_equal(attempt->met[LIMIT_INDEX(calls)], 1);
    assert_int_equal(caller_on_cancel(&attempt->caller, 1), 0);
    assert_int_equal(say_call(attempt, limits.calls + 2, 0, 0, true), 0);
    assert_int_equal(attempt->n_open, limits.calls);
    end(attempt);
}

static void test_calls_that_queue_take_no_place_and_have_a_bound_of_their_own(void **state)
{
    struct attempt *attempt = begin();
    uint32_t id = 0;

    (void) state;
    limits.calls = 1;
    limits.subrequests = 2;
    while (id < CALL_QUEUED_MAX)
        assert_int_equal(say_call(attempt, ++id, QUEUED, 0, true), 0);
    assert_int_equal(attempt->n_open, CALL_QUEUED_MAX);
    assert_int_equal(attempt->n_limits, 0);
    assert_int_equal(say_call(attempt, ++id, QUEUED, 0, true), 0);
    assert_int_equal(attempt->n_limits, 1); /* one too many */
    assert_int_equal(say_call(attempt, ++id, 0, 0, true), 0);
    assert_int_equal(attempt->n_open, CALL_QUEUED_MAX + 1); /* another kind has its places still */
    assert_int_equal(say_call(attempt, ++id, 0, 0, true), 0);
    assert_int_equal(attempt->met[LIMIT_INDEX(calls)], 1);
    assert_int_equal(caller_on_cancel(&attempt->caller, 1), 0);
    assert_int_equal(say_call(attempt, ++id, QUEUED, 0, true), 0);
    assert_int_equal(attempt->n_limits, 2);
    end(attempt);
}

static void test_observed_limit_lets_calls_go_on(void **state)
{
    struct attempt *attempt = begin();

    (void) state;
    attempt->is_observed = true;
    for (unsigned i = 0; i <= limits.calls; i++)
        (void) make(attempt);
    assert_int_equal(attempt->met[LIMIT_INDEX(calls)], 1);
    assert_int_equal(attempt->n_failures, 0);
    end(attempt);
}

static void test_bytes_are_bounded_both_ways(void **state)
{
    static const uint8_t bytes[BODY_CHUNK_MAX_BYTES];
    struct attempt *attempt = begin();
    unsigned most;
    struct call *call;

    (void) state;
    limits.call_mib = 1;
    call = make(attempt);
    assert_int_equal(call_respond(call, &answer, NULL, 0, false), 0);
    most = (1 << 20) / sizeof bytes;
    for (unsigned i = 0; i < most; i++)
        assert_int_equal(call_send_body(call, bytes, sizeof bytes, false), 0);
    forget(attempt, call);
    assert_int_equal(call_send_body(call, bytes, 1, false), -EFBIG);
    assert_int_equal(attempt->n_limits, 1);
    assert_int_equal(say_call(attempt, 2, 0, 1, true), 0); /* no byte is left for the body */
    assert_int_equal(attempt->n_limits, 2);
    assert_int_equal(attempt->n_open, 0);
    end(attempt);
    attempt = begin();
    assert_int_equal(say_call(attempt, 1, 0, CALL_WINDOW_BYTES, false), 0);
    for (unsigned i = 1; i < most; i++) {
        call_grant(attempt->open[0], 2 * BODY_CHUNK_MAX_BYTES);
        assert_int_equal(say_body(attempt, 1, BODY_CHUNK_MAX_BYTES, false), 0);
    }
    assert_int_equal(say_body(attempt, 1, 1, false), 0);
    assert_int_equal(attempt->n_limits, 1);
    assert_int_equal(attempt->n_cancelled, 1);
    end(attempt);
}

static void test_budget_is_that_of_the_first_request(void **state)
{
    struct attempt *root = begin(), *child = begin();

    (void) state;
    limits.subrequests = 3;
    (void) make(root);
    caller_inherit(&child->caller, &root->caller);
    (void) make(child);
    (void) make(child);
    assert_ptr_equal(caller_root(&child->caller), &root->caller);
    assert_int_equal(say_call(child, 3, 0, 0, true), 0);
    assert_int_equal(child->n_limits, 1);
    assert_int_equal(child->met[LIMIT_INDEX(subrequests)], 0); /* the child has made three itself */
    assert_int_equal(root->met[LIMIT_INDEX(subrequests)], 1);
    end(root);
    assert_null(caller_root(&child->caller));
    limits.subrequests = 100; /* the child's own limit */
    assert_int_equal(say_call(child, 4, 0, 0, true), 0);
    assert_int_equal(child->n_limits, 2); /* the budget is used up, as before */
    end(child);
}

static void test_service_calls_of_a_tree_are_bounded(void **state)
{
    struct attempt *root = begin(), *child = begin();

    (void) state;
    limits.calls = 64;
    root->takes_service = child->takes_service = true;
    (void) make(root);
    caller_inherit(&child->caller, &root->caller);
    for (unsigned i = 1; i < CALL_SERVICES_MAX; i++)
        (void) make(child);
    assert_int_equal(say_call(child, CALL_SERVICES_MAX, 0, 0, true), 0);
    assert_int_equal(child->n_limits, 1);
    assert_int_equal(say_call(root, 2, 0, 0, true), 0);
    assert_int_equal(root->n_limits, 1);
    end(child);
    end(root);
}

static void test_kind_without_memory_fails_the_call(void **state)
{
    struct attempt *attempt = begin();
    const struct call_head head = { .id = 1, .end = true };

    (void) state;
    assert_int_equal(caller_on_call(&attempt->caller, &head), 0);
    assert_int_equal(attempt->n_failures, 1);
    assert_int_equal(attempt->n_limits, 0);
    assert_int_equal(attempt->caller.n_calls, 0);
    end(attempt);
}

/* ---- random events: each call ends once, and counts return to 0, with any acts of the worker and
 * the kind */

struct random {
    uint64_t state;
};

static unsigned draw(struct random *random, unsigned n)
{
    random->state = random->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned) (random->state >> 33) % n;
}

static void answer_some(struct attempt *attempt, struct random *random)
{
    static const uint8_t bytes[BODY_CHUNK_MAX_BYTES];
    struct call *call = attempt->open[draw(random, attempt->n_open)];
    bool is_end = draw(random, 4) == 0;
    size_t size = draw(random, 3) == 0 ? sizeof bytes : 1 + draw(random, 100);

    if (call_queued(call) + size > BODY_WINDOW_BYTES)
        size = 0; /* a kind never sends beyond the window */
    if (draw(random, 20) == 0) {
        forget(attempt, call);
        call_fail(call, false, "broken");
        return;
    }
    if (is_end)
        forget(attempt, call);
    if (!call->is_head_sent)
        assert_int_equal(call_respond(call, &answer, bytes, size, is_end), 0);
    else if (is_end || size > 0)
        assert_int_equal(call_send_body(call, bytes, size, is_end), 0);
}

static void step(struct attempt *attempt, struct random *random)
{
    uint32_t id = attempt->caller.last_id;
    struct call *call;

    switch (draw(random, 8)) {
    case 0:
        (void) say_call(attempt, id + 1, draw(random, 2), draw(random, 1000), draw(random, 2));
        break;
    case 1:
        if (attempt->n_open > 0) {
            call = attempt->open[draw(random, attempt->n_open)];
            (void) say_body(attempt, call->id, draw(random, 2000), draw(random, 8) == 0);
        }
        break;
    case 2:
        if (id > 0)
            (void) caller_on_credit(&attempt->caller, 1 + draw(random, id),
                                    1 + draw(random, 70000));
        break;
    case 3:
        if (id > 0 && draw(random, 4) == 0)
            (void) caller_on_cancel(&attempt->caller, 1 + draw(random, id));
        break;
    case 4:
        attempt->is_congested = draw(random, 3) == 0;
        if (!attempt->is_congested)
            caller_on_room(&attempt->caller);
        break;
    case 5:
        if (attempt->n_open > 0)
            call_grant(attempt->open[draw(random, attempt->n_open)], 1 + draw(random, 70000));
        break;
    default:
        if (attempt->n_open > 0)
            answer_some(attempt, random);
        break;
    }
}

static void test_random_events_leave_nothing_behind(void **state)
{
    struct random random = { 1 };

    (void) state;
    limits.subrequests = LIMIT_UNLIMITED;
    limits.call_mib = LIMIT_UNLIMITED;
    for (unsigned round = 0; round < 300; round++) {
        struct attempt *attempt = begin();
        for (unsigned i = 0; i < 1000; i++) {
            step(attempt, &random);
            assert_true(attempt->n_open <= attempt->caller.n_calls);
            assert_true(attempt->caller.n_calls <= limits.calls);
        }
        end(attempt);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_number_binding_and_size_of_a_call_are_checked, setup),
        cmocka_unit_test_setup(test_fetch_is_a_call_by_no_binding_of_the_manifest, setup),
        cmocka_unit_test_setup(test_frames_for_calls_that_were_never_made_are_a_breach, setup),
        cmocka_unit_test_setup(test_frames_that_have_crossed_the_end_are_passed_over, setup),
        cmocka_unit_test_setup(test_body_keeps_to_its_window, setup),
        cmocka_unit_test_setup(test_credit_is_never_more_than_what_was_sent, setup),
        cmocka_unit_test_setup(test_answer_waits_for_credit, setup),
        cmocka_unit_test_setup(test_answer_waits_for_room_with_its_head, setup),
        cmocka_unit_test_setup(test_what_waits_is_counted, setup),
        cmocka_unit_test_setup(test_failure_ends_a_call, setup),
        cmocka_unit_test_setup(test_calls_end_with_their_attempt, setup),
        cmocka_unit_test_setup(test_cancelled_request_gets_no_new_calls, setup),
        cmocka_unit_test_setup(test_worker_cancels_a_call, setup),
        cmocka_unit_test_setup(test_calls_at_a_time_are_bounded, setup),
        cmocka_unit_test_setup(test_calls_that_queue_take_no_place_and_have_a_bound_of_their_own,
                               setup),
        cmocka_unit_test_setup(test_observed_limit_lets_calls_go_on, setup),
        cmocka_unit_test_setup(test_bytes_are_bounded_both_ways, setup),
        cmocka_unit_test_setup(test_budget_is_that_of_the_first_request, setup),
        cmocka_unit_test_setup(test_service_calls_of_a_tree_are_bounded, setup),
        cmocka_unit_test_setup(test_kind_without_memory_fails_the_call, setup),
        cmocka_unit_test_setup(test_random_events_leave_nothing_behind, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
