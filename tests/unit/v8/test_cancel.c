/* SPDX-License-Identifier: Apache-2.0 */
/* When its client leaves, a response body is cancelled down to its source, as by piping. */
#include "tests/unit/v8/isolate_fixture.h"

/* Takes two parts, then gives no credit, as for a client that does not read. */
static int64_t send_two(void *data, uint64_t request, struct isolate_bytes part, bool end)
{
    struct host *to = data;

    (void) on_send_body(data, request, part, end);
    to->n_parts += part.size > 0;
    return to->n_parts < 2 ? 65536 : 0;
}

#define SOURCE                                                                    \
    "let n = 0;\n"                                                                \
    "const bytes = () => new TextEncoder().encode('part ' + n++);\n"              \
    "const sleep = (ms) => new Promise((r) => setTimeout(r, ms));\n"              \
    "async function* generate() { try { for (;;) { yield bytes(); } }\n"          \
    "  finally { console.log('finally'); } }\n"                                   \
    "const source = () => new ReadableStream({\n"                                 \
    "  pull(c) { c.enqueue(bytes()); return sleep(1); },\n"                       \
    "  cancel(reason) { console.log('finally', reason.name); } });\n"             \
    "const idle = () => new ReadableStream({ start(c) { c.enqueue(bytes()); },\n" \
    "  cancel(reason) { console.log('finally', reason.name); } });\n"

static const struct isolate_host two_parts = {
    .log = on_log,
    .respond = on_respond,
    .send_body = send_two,
    .consume_body = on_consume_body,
    .done = on_done,
    .set_timer = on_set_timer,
    .keep_timer = on_keep_timer,
    .clear_timer = on_clear_timer,
    .woken = on_woken,
};

static const char *const bodies[] = {
    "generate()",
    "ReadableStream.from(generate())",
    "source()",
    "idle()",
    "source().pipeThrough(new TransformStream())",
    "idle().pipeThrough(new TransformStream())",
    "idle().pipeThrough(new TransformStream()).pipeThrough(new TransformStream())",
    "ReadableStream.from(generate()).pipeThrough(new TransformStream())",
    "source().pipeThrough(new TextDecoderStream()).pipeThrough(new TextEncoderStream())",
    "new Response(idle().pipeThrough(new TransformStream())).body",
    "(() => { const t = new TransformStream({ cancel() { console.log('finally'); } });\n"
    "  t.writable.getWriter().write(bytes()); return t.readable; })()",
    "(() => { const t = new TransformStream(); const w = t.writable.getWriter();\n"
    "  w.write(bytes()); w.closed.catch(() => console.log('finally')); return t.readable; })()",
    "(() => { const t = new TransformStream(); const w = t.writable.getWriter();\n"
    "  (async () => { try { for (;;) { await w.ready; await w.write(bytes()); } } finally { "
    "console.log('finally'); } })()"
    ".catch(() => {}); return t.readable; })()",
};

static void test_body_is_cancelled_through_when_its_client_leaves(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        char source[4096];
        (void) snprintf(source, sizeof source,
                        SOURCE "export default { fetch() { return new Response(%s); } };\n",
                        bodies[i]);
        struct isolate *isolate = new_isolate_with(&two_parts);
        add(isolate, "main.js", source);
        if (isolate_load(isolate, bytes("main.js")) != ISOLATE_OK)
            fail_msg("%s", isolate_error(isolate));
        assert_int_equal(get(isolate, 1), ISOLATE_OK);
        if (host.n_responses != 1 || !strstr(host.body, "part"))
            fail_msg("%s: no body: %s %s", bodies[i], host.body, host.message);
        assert_int_equal(isolate_on_cancel(isolate, 1, "client_gone"), ISOLATE_OK);
        if (!strstr(host.log, "finally"))
            fail_msg("%s: was not cancelled: %s", bodies[i], host.log);
        isolate_free(isolate);
    }
}

int main(void)
{
    if (start_v8() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        TEST(test_body_is_cancelled_through_when_its_client_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
