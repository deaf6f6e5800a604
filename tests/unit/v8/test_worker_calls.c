/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls in the worker: the frames of env.B.fetch() to the supervisor, and the effects of the
 * answers.
 */
#include "common/io.h"
#include "proto/frame.h"
#include "tests/unit/v8/host_fixture.h"

#define DONE SKEP__WORKER__FROM_WORKER__MESSAGE_DONE
#define CALL SKEP__WORKER__FROM_WORKER__MESSAGE_CALL
#define CALL_BODY SKEP__WORKER__FROM_WORKER__MESSAGE_CALL_BODY
#define CALL_CREDIT SKEP__WORKER__FROM_WORKER__MESSAGE_CALL_CREDIT
#define CALL_CANCEL SKEP__WORKER__FROM_WORKER__MESSAGE_CALL_CANCEL
#define HEAD SKEP__WORKER__FROM_WORKER__MESSAGE_RESPONSE_HEAD
#define OK SKEP__WORKER__OUTCOME__OUTCOME_OK

static void load_caller(uint32_t hung_ms, const char *source)
{
    Skep__Worker__Limits limits = usual_limits();

    limits.hung_ms = hung_ms;
    world->has_binding = true;
    assert_int_equal(load(1, 0, limits, source), 0);
}

static void answer(uint64_t request, uint32_t id, const char *body, bool is_end)
{
    Skep__Worker__CallHead head = SKEP__WORKER__CALL_HEAD__INIT;
    static const char *const fields[] = { "X-Answer", "yes" };
    uint8_t packed[64];

    head.request = request;
    head.id = id;
    head.status = 203;
    head.head.data = packed;
    head.head.len = pack_head(packed, 2, fields);
    head.body = text_field(body);
    head.end = is_end;
    send_to_worker(SKEP__WORKER__TO_WORKER__MESSAGE_CALL_HEAD, &head);
}

static void send_part(uint64_t request, uint32_t id, size_t size, bool is_end)
{
    static uint8_t bytes[BODY_CHUNK_MAX_BYTES];
    Skep__Worker__CallBody body = SKEP__WORKER__CALL_BODY__INIT;

    body.request = request;
    body.id = id;
    body.data = (ProtobufCBinaryData){ .data = bytes, .len = size };
    body.end = is_end;
    send_to_worker(SKEP__WORKER__TO_WORKER__MESSAGE_CALL_BODY, &body);
}

static void send_credit(uint64_t request, uint32_t id, uint32_t size)
{
    Skep__Worker__CallCredit credit = SKEP__WORKER__CALL_CREDIT__INIT;

    credit.request = request;
    credit.id = id;
    credit.bytes = size;
    send_to_worker(SKEP__WORKER__TO_WORKER__MESSAGE_CALL_CREDIT, &credit);
}

static void fail_call(uint64_t request, uint32_t id, bool is_limit, const char *text)
{
    Skep__Worker__CallDone done = SKEP__WORKER__CALL_DONE__INIT;

    done.request = request;
    done.id = id;
    done.failure =
        is_limit ? SKEP__WORKER__CALL_FAILURE__CALL_LIMIT : SKEP__WORKER__CALL_FAILURE__CALL_BROKEN;
    done.message = text_field(text);
    send_to_worker(SKEP__WORKER__TO_WORKER__MESSAGE_CALL_DONE, &done);
}

static void test_fetch_is_a_call_and_its_answer_a_response(void **state)
{
    (void) state;
    load_caller(UINT32_MAX,
                HANDLER("const answer = await env.B.fetch('https://b/x#y');\n"
                        "return new Response([answer.status, answer.headers.get('x-answer'),\n"
                        "    await answer.text()].join());\n"));
    send_request(1, 1, "/");
    struct frame *call = await_frame(CALL, 1);
    assert_int_equal(call->code, 1);
    assert_string_equal(call->text, "https b 443 /x");
    answer(1, 1, "first", false);
    send_part(1, 1, 0, true);
    assert_string_equal(await_frame(HEAD, 1)->text, "203,yes,first");
    assert_int_equal(await_done(1)->code, OK);
    assert_int_equal(count_frames(CALL_CANCEL), 0);
    unload(1);
}

static void test_body_waits_for_credit(void **state)
{
    (void) state;
    load_caller(UINT32_MAX, HANDLER("const answer = await env.B.fetch('http://b/',\n"
                                    "    { method: 'PUT', body: new Uint8Array(150000) });\n"
                                    "return new Response(await answer.text());\n"));
    send_request(1, 1, "/");
    assert_int_equal(await_frame(CALL, 1)->used, BODY_CHUNK_MAX_BYTES);
    send_request(1, 2, "/"); /* all frames that the first could send come before this */
    (void) await_frame(CALL, 2);
    assert_null(find_frame(CALL_BODY, 1));
    send_credit(1, 1, 70000);
    assert_int_equal(await_frame(CALL_BODY, 1)->used, 65536);
    send_credit(1, 1, 100000);
    while (count_bytes(CALL_BODY, 1) < 150000 - BODY_CHUNK_MAX_BYTES)
        assert_int_equal(event_base_loop(world->base, EVLOOP_ONCE), 0);
    answer(1, 1, "all", true);
    answer(2, 1, "not all", true);
    assert_string_equal(await_frame(HEAD, 1)->text, "all");
    assert_string_equal(await_frame(HEAD, 2)->text, "not all");
    unload(1);
}

static void test_credit_is_given_for_what_was_read(void **state)
{
    (void) state;
    load_caller(UINT32_MAX, HANDLER("const answer = await env.B.fetch('http://b/');\n"
                                    "return new Response((await answer.bytes()).length);\n"));
    send_request(1, 1, "/");
    (void) await_frame(CALL, 1);
    answer(1, 1, "", false);
    for (unsigned i = 0; i < 3; i++)
        send_part(1, 1, BODY_CHUNK_MAX_BYTES, false);
    while (count_bytes(CALL_CREDIT, 1) < 3 * BODY_CHUNK_MAX_BYTES)
        assert_int_equal(event_base_loop(world->base, EVLOOP_ONCE), 0);
    send_part(1, 1, 10, true);
    assert_string_equal(await_frame(HEAD, 1)->text, "196618");
    unload(1);
}

/* Time passes in another tenant, whose timers wake no request here. */
static void test_call_is_a_reason_to_wait(void **state)
{
    (void) state;
    load_caller(30, HANDLER("const answer = await env.B.fetch('http://b/');\n"
                            "if (path === '/full') await new Promise(() => {});\n"));
    assert_int_equal(load(2, 1, usual_limits(), SLEEP HANDLER("await sleep(200);\n")), 0);
    send_request(1, 1, "/call");
    send_request(2, 2, "/");
    assert_int_equal(await_done(2)->code, OK);
    assert_null(find_frame(DONE, 1));
    answer(1, 1, "", true);
    assert_int_equal(await_done(1)->code, OK);
    send_request(1, 3,
                 "/full"); /* no more can come of an answer that fills the window and is not read */
    (void) await_frame(CALL, 3);
    answer(3, 1, "", false);
    for (unsigned i = 0; i < BODY_WINDOW_BYTES / BODY_CHUNK_MAX_BYTES; i++)
        send_part(3, 1, BODY_CHUNK_MAX_BYTES, false);
    assert_int_equal(await_done(3)->code, SKEP__WORKER__OUTCOME__OUTCOME_HUNG);
    unload(1);
    unload(2);
}

static void test_failed_call_rejects(void **state)
{
    (void) state;
    load_caller(UINT32_MAX,
                HANDLER("try { const answer = await env.B.fetch('http://b/');\n"
                        "    await answer.text(); }\n"
                        "catch (e) { return new Response(`${e.name}: ${e.message}`); }\n"));
    send_request(1, 1, "/");
    (void) await_frame(CALL, 1);
    fail_call(1, 1, true, "too many");
    assert_string_equal(await_frame(HEAD, 1)->text, "QuotaExceededError: too many");
    send_request(1, 2, "/");
    (void) await_frame(CALL, 2);
    answer(2, 1, "some", false);
    fail_call(2, 1, false, "worker_crashed");
    assert_string_equal(await_frame(HEAD, 2)->text,
                        "TypeError: The call has failed: worker_crashed");
    unload(1);
}

static void test_frames_for_calls_that_are_over_are_passed_over(void **state)
{
    (void) state;
    load_caller(UINT32_MAX, HANDLER("const answer = await env.B.fetch('http://b/');\n"
                                    "return new Response(await answer.text());\n"));
    answer(1, 1, "nobody", true);
    send_request(1, 1, "/");
    (void) await_frame(CALL, 1);
    answer(1, 2, "another", true);
    send_credit(1, 2, 1);
    send_part(1, 7, 1, false);
    fail_call(1, 3, false, "x");
    answer(1, 1, "mine", true);
    fail_call(1, 1, false, "late");
    assert_string_equal(await_frame(HEAD, 1)->text, "mine");
    assert_int_equal(await_done(1)->code, OK);
    answer(1, 1, "later", true);
    unload(1);
    assert_int_equal(world->closed, 0);
}

static void test_calls_are_cancelled_when_nobody_wants_them(void **state)
{
    (void) state;
    load_caller(UINT32_MAX, HANDLER("const call = env.B.fetch('http://b/', path === '/abort' ?\n"
                                    "    { signal: AbortSignal.timeout(10) } : undefined);\n"
                                    "if (path === '/abort') await call.catch(() => {});\n"
                                    "if (path === '/body') await (await call).body.cancel();\n"
                                    "call.catch(() => {});\n"));
    send_request(1, 1, "/done");
    assert_int_equal(await_done(1)->code, OK);
    assert_non_null(find_frame(CALL_CANCEL, 1)); /* before the done */
    send_request(1, 2, "/abort");
    (void) await_frame(CALL_CANCEL, 2);
    assert_int_equal(await_done(2)->code, OK);
    send_request(1, 3, "/body");
    (void) await_frame(CALL, 3);
    answer(3, 1, "x", false);
    (void) await_frame(CALL_CANCEL, 3);
    assert_int_equal(await_done(3)->code, OK);
    assert_int_equal(count_frames(CALL_CANCEL), 3);
    unload(1);
}

static void test_cancelled_request_has_its_calls_fail(void **state)
{
    (void) state;
    load_caller(UINT32_MAX, HANDLER("try { await env.B.fetch('http://b/'); }\n"
                                    "catch (e) { console.log(`failed: ${e.name}`); throw e; }\n"));
    send_request(1, 1, "/");
    (void) await_frame(CALL, 1);
    send_cancel(1, SKEP__WORKER__CANCEL_REASON__CANCEL_CLIENT_GONE);
    assert_int_equal(await_done(1)->code, SKEP__WORKER__OUTCOME__OUTCOME_CANCELLED);
    assert_string_equal(find_frame(SKEP__WORKER__FROM_WORKER__MESSAGE_LOG, 1)->text,
                        "failed: AbortError");
    assert_null(find_frame(CALL_CANCEL, 1)); /* the supervisor has ended it */
    unload(1);
}

#define PATIENCE_NS (60 * NSEC_PER_SEC)

static void test_module_code_cannot_call(void **state)
{
    (void) state;
    load_caller(UINT32_MAX, "let make, why = 'nothing'; setInterval(() => {\n"
                            "    make?.().catch((e) => { why = e.name; }); }, 1);\n"
                            "export default { fetch(request, env) {\n"
                            "    if (request.url.endsWith('why')) return new Response(why);\n"
                            "    const kept = make; make = () => env.B.fetch('http://b/');\n"
                            "    return new Response('ok'); } };\n");
    send_request(1, 1, "/");
    assert_int_equal(await_done(1)->code, OK);
    uint64_t until_ns = io_now_ns() + PATIENCE_NS;
    bool has_tried = false;
    for (uint64_t id = 2; !has_tried; id++) {
        assert_true(io_now_ns() < until_ns);
        assert_int_equal(count_frames(CALL), 0);
        world->n_frames = 0; /* the timer comes late, and requests are fast */
        send_request(1, id, "/why");
        has_tried = strcmp(await_frame(HEAD, id)->text, "TypeError") == 0;
    }
    assert_int_equal(count_frames(CALL), 0);
    unload(1);
}

static void test_fetch_is_a_call_by_no_binding(void **state)
{
    (void) state;
    load_caller(UINT32_MAX, HANDLER("const answer = await fetch('http://b.test:8080/x?y#z');\n"
                                    "return new Response(answer.url);\n"));
    send_request(1, 1, "/");
    assert_string_equal(await_frame(CALL, 1)->text, "http b.test 8080 /x?y");
    answer(1, 1, "", true);
    assert_string_equal(await_frame(HEAD, 1)->text, "http://b.test:8080/x?y");
    unload(1);
}

/* Answers a call of fetch() with bytes under a Content-Encoding, in parts of that size. */
static void answer_encoded(uint64_t request, const char *coding, ProtobufCBinaryData bytes,
                           size_t part)
{
    Skep__Worker__CallHead head = SKEP__WORKER__CALL_HEAD__INIT;
    const char *const fields[] = { "Content-Encoding", coding };
    uint8_t packed[128];

    head.request = request;
    head.id = 1;
    head.status = 200;
    head.head.data = packed;
    head.head.len = pack_head(packed, 2, fields);
    send_to_worker(SKEP__WORKER__TO_WORKER__MESSAGE_CALL_HEAD, &head);
    for (size_t at = 0; at < bytes.len || at == 0; at += part) {
        Skep__Worker__CallBody body = SKEP__WORKER__CALL_BODY__INIT;
        body.request = request;
        body.id = 1;
        body.data.data = bytes.data + at;
        body.data.len = bytes.len - at < part ? bytes.len - at : part;
        body.end = at + part >= bytes.len;
        send_to_worker(SKEP__WORKER__TO_WORKER__MESSAGE_CALL_BODY, &body);
    }
}

#define GZIP_HELLO                                                                             \
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05" \
    "\x00\x00\x00"
#define ZSTD_HELLO "\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00hello"
#define BYTES(text)                                                     \
    {                                                                   \
        .data = (uint8_t *) (uintptr_t) (text), .len = sizeof(text) - 1 \
    }

static void test_encoded_answers_are_decoded(void **state)
{
    static const struct {
        const char *coding;
        ProtobufCBinaryData bytes;
        const char *text;
    } rows[] = {
        { "gzip", BYTES(GZIP_HELLO), "hello" },
        { "x-gzip", BYTES(GZIP_HELLO GZIP_HELLO), "hellohello" },
        { "gzip", BYTES(GZIP_HELLO "rest"), "hello" },
        { "gzip", BYTES(""), "" },
        { "br", BYTES("\x0b\x02\x80hello\x03"), "hello" },
        { "zstd", BYTES(ZSTD_HELLO), "hello" },
        { "zstd", BYTES(ZSTD_HELLO ZSTD_HELLO), "hellohello" },
        { "deflate", BYTES("\x78\x9c\xcb\x48\xcd\xc9\xc9\x07\x00\x06\x2c\x02\x15"), "hello" },
        { "deflate", BYTES("\xcb\x48\xcd\xc9\xc9\x07\x00"), "hello" },
        { "gzip, br", BYTES("\x0b\x0c\x80" GZIP_HELLO "\x03"), "hello" },
        { "sdch", BYTES("hello"), "hello" },
        { "gzip", BYTES("hello"), "TypeError: not encoded" },
        { "gzip", BYTES("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48"), "TypeError: early" },
        { "br", BYTES("\x0b\x02\x80he"), "TypeError: early" },
    };
    uint64_t id = 0;

    (void) state;
    load_caller(
        UINT32_MAX,
        HANDLER("try {\n"
                "    const answer = await fetch('http://b/');\n"
                "    let text = '';\n"
                "    if (path === '/text') text = await answer.text();\n"
                "    else for await (const chunk of answer.body)\n"
                "        text += new TextDecoder().decode(chunk);\n"
                "    return new Response(text);\n"
                "} catch (e) {\n"
                "    return new Response(`${e.name}: ${/not encoded|early/.exec(e.message)}`);\n"
                "}\n"));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (unsigned way = 0; way < 4; way++) {
            world->n_frames = 0;
            send_request(1, ++id, way % 2 == 0 ? "/text" : "/stream");
            (void) await_frame(CALL, id);
            answer_encoded(id, rows[i].coding, rows[i].bytes, way < 2 ? 1000 : 1);
            assert_string_equal(await_frame(HEAD, id)->text, rows[i].text);
        }
    unload(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_fetch_is_a_call_by_no_binding),
        TEST(test_encoded_answers_are_decoded),
        TEST(test_fetch_is_a_call_and_its_answer_a_response),
        TEST(test_body_waits_for_credit),
        TEST(test_credit_is_given_for_what_was_read),
        TEST(test_call_is_a_reason_to_wait),
        TEST(test_failed_call_rejects),
        TEST(test_frames_for_calls_that_are_over_are_passed_over),
        TEST(test_calls_are_cancelled_when_nobody_wants_them),
        TEST(test_cancelled_request_has_its_calls_fail),
        TEST(test_module_code_cannot_call),
    };
    return cmocka_run_group_tests(tests, start_process, NULL);
}
