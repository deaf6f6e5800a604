/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker/wake.h: each kind of later work has its row, and a request that nothing can wake ends.
 */
#include "tests/unit/v8/host_fixture.h"
#include "worker/wake.h"

#define DONE SKEP__WORKER__FROM_WORKER__MESSAGE_DONE
#define HUNG SKEP__WORKER__OUTCOME__OUTCOME_HUNG
#define WAIT                                                                              \
    SLEEP "let go; const gone = new Promise((r) => { go = r; });\n" HANDLER(              \
        "if (path === '/never') await new Promise(() => {});\n"                           \
        "if (path === '/gone') await gone;\n"                                             \
        "if (path === '/go') go();\n"                                                     \
        "if (path === '/sleep') await sleep(120);\n"                                      \
        "if (path === '/listener') { request.signal.onabort = async () => { await 0;\n"   \
        "  setTimeout(() => console.log('cleaned'), 30); setTimeout(() => {}, 9e6); };\n" \
        "  await new Promise(() => {}); }\n"                                              \
        "if (path === '/generator') return new Response((async function* () {\n"          \
        "  try { for (;;) yield new Uint8Array(9999); }\n"                                \
        "  finally { await sleep(30); console.log('cleaned'); } })());\n"                 \
        "if (path === '/soon') { setTimeout(() => console.log('fired'), 30); }\n"         \
        "if (path === '/many') { setTimeout(() => console.log('fired'), 3000); }\n"       \
        "if (path === '/late') { setTimeout(() => console.log('fired'), 9e6); }\n")

static void test_each_frame_to_the_worker_has_a_row(void **state)
{
    const ProtobufCMessageDescriptor *frames = &skep__worker__to_worker__descriptor;

    (void) state;
    for (unsigned i = 0; i < frames->n_fields; i++)
        if (wake_of_frame(frames->fields[i].id) < 0)
            fail_msg("worker/wake.c does not say whether the frame %s can wake a request",
                     frames->fields[i].name);
}

static void test_each_native_has_a_row(void **state)
{
    (void) state;
    for (size_t offset = 0; offset < sizeof(struct isolate_host); offset += sizeof(void (*)(void)))
        if (wake_of_native(offset) < 0)
            fail_msg("worker/wake.c does not say what member %zu of struct isolate_host begins",
                     offset / sizeof(void (*)(void)));
}

static void test_each_source_is_of_a_frame_or_a_native(void **state)
{
    (void) state;
    for (int source = 0; source < WAKE_SOURCES; source++) {
        bool is_there = false;
        for (unsigned i = 0; i < 64; i++)
            is_there |= wake_of_frame(i) == source;
        for (size_t offset = 0; offset < sizeof(struct isolate_host); offset++)
            is_there |= wake_of_native(offset) == source;
        assert_true(is_there);
        assert_non_null(wake_table[source].is_open);
    }
}

static void load_waiting(uint32_t hung_ms)
{
    Skep__Worker__Limits limits = usual_limits();

    limits.hung_ms = hung_ms;
    assert_int_equal(load(1, 0, limits, WAIT), 0);
}

static void test_request_that_nothing_can_wake_ends_after_hung_ms(void **state)
{
    (void) state;
    load_waiting(50);
    send_request(1, 1, "/never");
    assert_int_equal(await_done(1)->code, HUNG);
    assert_non_null(strstr(find_frame(DONE, 1)->text, "hung: for 50 ms"));
    send_request(1, 2, "/sleep"); /* a timer is a reason to wait for both */
    send_request(1, 3, "/never");
    assert_int_equal(await_done(2)->code, SKEP__WORKER__OUTCOME__OUTCOME_OK);
    assert_null(find_frame(DONE, 3));
    assert_int_equal(await_done(3)->code, HUNG);
    unload(1);
}

static void test_later_request_may_wake_one_before_it_is_hung(void **state)
{
    (void) state;
    load_waiting(UINT32_MAX);
    send_request(1, 1, "/gone");
    send_request(1, 2, "/go");
    assert_int_equal(await_done(1)->code, SKEP__WORKER__OUTCOME__OUTCOME_OK);
    unload(1);
}

static void test_request_in_a_retired_isolate_is_hung_at_once(void **state)
{
    Skep__Worker__Retire retire = SKEP__WORKER__RETIRE__INIT;

    (void) state;
    load_waiting(1000000);
    retire.placement = 1;
    send_method("POST", 1, 1, "/never");
    send_request(1, 2, "/never");
    send_to_worker(SKEP__WORKER__TO_WORKER__MESSAGE_RETIRE, &retire);
    assert_int_equal(await_done(1)->code, HUNG);
    /* Another isolate may serve the request. */
    assert_int_equal(await_done(2)->code, SKEP__WORKER__OUTCOME__OUTCOME_NOT_LOADED);
    unload(1);
}

/* ---- timers at the end of a request */

static void test_timer_that_is_due_soon_keeps_its_request(void **state)
{
    (void) state;
    load_waiting(UINT32_MAX);
    send_request(1, 1, "/soon");
    const struct frame *done = await_done(1);
    assert_int_equal(done->code, SKEP__WORKER__OUTCOME__OUTCOME_OK);
    const struct frame *fired = find_frame(SKEP__WORKER__FROM_WORKER__MESSAGE_LOG, 1);
    assert_true(fired && fired < done);
    assert_string_equal(fired->text, "fired");
    unload(1);
}

static void test_timer_that_is_due_late_goes_with_a_line(void **state)
{
    (void) state;
    load_waiting(UINT32_MAX);
    send_request(1, 1, "/late");
    (void) await_done(1);
    const struct frame *line = find_frame(SKEP__WORKER__FROM_WORKER__MESSAGE_LOG, 1);
    assert_true(line && strstr(line->text, "timers were dropped with their request: 1;"));
    unload(1);
}

static void test_oldest_of_too_many_requests_that_only_timers_keep_goes(void **state)
{
    (void) state;
    load_waiting(UINT32_MAX);
    for (uint64_t id = 1; id <= 4; id++) /* only two may wait so */
        send_request(1, id, "/many");
    (void) await_done(1);
    (void) await_done(2);
    assert_null(find_frame(DONE, 3));
    send_request(1, 5, "/go");
    (void) await_done(5);
    assert_null(find_frame(DONE, 4));
    unload(1);
}

static void test_request_whose_client_has_left_is_kept_by_its_timers_too(void **state)
{
    (void) state;
    load_waiting(UINT32_MAX);
    send_request(1, 1, "/sleep");
    send_cancel(1, SKEP__WORKER__CANCEL_REASON__CANCEL_CLIENT_GONE);
    send_request(1, 2, "/sleep");
    send_cancel(2, SKEP__WORKER__CANCEL_REASON__CANCEL_WALL_REQUEST);
    assert_int_equal(await_done(2)->code, SKEP__WORKER__OUTCOME__OUTCOME_CANCELLED);
    assert_null(find_frame(DONE, 1));
    assert_int_equal(await_done(1)->code, SKEP__WORKER__OUTCOME__OUTCOME_CANCELLED);
    unload(1);
}

static void test_what_a_cancel_sets_off_has_its_timers(void **state)
{
    static const char *const paths[] = { "/listener", "/generator" };

    (void) state;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t id = 1 + 2 * i;
        world->n_frames = 0;
        load_waiting(UINT32_MAX);
        send_request(1, id, paths[i]);
        send_cancel(id, SKEP__WORKER__CANCEL_REASON__CANCEL_CLIENT_GONE);
        const struct frame *done = await_done(id);
        assert_int_equal(done->code, SKEP__WORKER__OUTCOME__OUTCOME_CANCELLED);
        const struct frame *line = find_frame(SKEP__WORKER__FROM_WORKER__MESSAGE_LOG, id);
        if (!line || line > done || strcmp(line->text, "cleaned") != 0)
            fail_msg("%s: %s", paths[i], line ? line->text : "no line");
        send_request(1, id + 1, paths[i]); /* over its time: no work of it goes on */
        send_cancel(id + 1, SKEP__WORKER__CANCEL_REASON__CANCEL_WALL_REQUEST);
        assert_int_equal(await_done(id + 1)->code, SKEP__WORKER__OUTCOME__OUTCOME_CANCELLED);
        line = find_frame(SKEP__WORKER__FROM_WORKER__MESSAGE_LOG, id + 1);
        assert_true(!line || strcmp(line->text, "cleaned") != 0);
        unload(1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_frame_to_the_worker_has_a_row),
        cmocka_unit_test(test_each_native_has_a_row),
        cmocka_unit_test(test_each_source_is_of_a_frame_or_a_native),
        TEST(test_request_that_nothing_can_wake_ends_after_hung_ms),
        TEST(test_later_request_may_wake_one_before_it_is_hung),
        TEST(test_request_in_a_retired_isolate_is_hung_at_once),
        TEST(test_timer_that_is_due_soon_keeps_its_request),
        TEST(test_timer_that_is_due_late_goes_with_a_line),
        TEST(test_oldest_of_too_many_requests_that_only_timers_keep_goes),
        TEST(test_request_whose_client_has_left_is_kept_by_its_timers_too),
        TEST(test_what_a_cancel_sets_off_has_its_timers),
    };

    return cmocka_run_group_tests(tests, start_process, NULL);
}
