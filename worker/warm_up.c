/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/warm_up.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "proto/head.h"
#include "worker/isolate.h"

#define HEAP_MIB 32
#define EXTERNAL_MIB 16
#define TIMES 3 /* rounds until V8 has compiled the code */

static const char path[] = "warm-up.js";
static const char source[] =
    "export default { async fetch(request, env, ctx) {\n"
    "    ctx.waitUntil(Promise.resolve());\n"
    "    console.log({ a: [1, 'b'] }, new Map([[1, new Error('c')]]));\n"
    "    crypto.randomUUID();\n"
    "    await crypto.subtle.digest('SHA-256', new Uint8Array(8));\n"
    "    new CompressionStream('gzip').readable.getReader();\n"
    "    const stream = new ReadableStream({ start(c) { c.enqueue(new Uint8Array(1)); c.close(); } "
    "});\n"
    "    await new Response(stream.pipeThrough(new TransformStream())).text();\n"
    "    const form = new FormData();\n"
    "    form.append('a', new File([new DOMException('b').code], 'c'));\n"
    "    await new Response(form).formData();\n"
    "    await fetch('http://a/').catch(() => {});\n"
    "    await env.KV.get('a').catch(() => {});\n"
    "    await env.DB.prepare('a').bind(1, 'b').all().catch(() => {});\n"
    "    const url = new URL(request.url);\n"
    "    return new Response(url.pathname + url.searchParams.get('q'), { headers: { a: 'b' } });\n"
    "} };\n";

/* HTMLRewriter is a module of WebAssembly, whose functions V8 compiles when they are first called. */
static const char rewriter_source[] =
    "export default { async fetch() {\n"
    "    if (typeof HTMLRewriter === 'undefined') return new Response();\n"
    "    const handlers = {\n"
    "        element: (e) => { e.setAttribute('a', `${e.getAttribute('b')}`); e.append('<c>'); "
    "e.before('d', { html: true }); },\n"
    "        async comments(c) { c.remove(); }, text(t) { t.replace(t.text); },\n"
    "    };\n"
    "    const response = new Response('<!doctype html><p "
    "b=\"1\">t<!--e--><br></p><script>1</script>');\n"
    "    return new Response(await new HTMLRewriter().on('p', handlers).onDocument({ end() {} "
    "}).transform(response).text());\n"
    "} };\n";

/* Drops the log. */
static void on_log(void *host, uint64_t request, enum isolate_log_level level,
                   struct isolate_bytes text)
{
    (void) host;
    (void) request;
    (void) level;
    (void) text;
}

static int on_respond(void *host, uint64_t request, uint32_t status, struct isolate_bytes head,
                      struct isolate_bytes body, bool end)
{
    (void) host;
    (void) request;
    (void) status;
    (void) head;
    (void) body;
    (void) end;
    return 0;
}

static int64_t on_send_body(void *host, uint64_t request, struct isolate_bytes data, bool end)
{
    (void) host;
    (void) request;
    (void) data;
    (void) end;
    return -ENOENT;
}

static void on_consume_body(void *host, uint64_t request, size_t size)
{
    (void) host;
    (void) request;
    (void) size;
}

static void on_done(void *host, uint64_t request, enum isolate_outcome outcome,
                    struct isolate_bytes message)
{
    (void) host;
    (void) request;
    (void) outcome;
    (void) message;
}

static int64_t on_set_timer(void *host, uint64_t request, uint64_t delay_ms, bool repeat)
{
    (void) host;
    (void) request;
    (void) delay_ms;
    (void) repeat;
    return -EDQUOT;
}

static uint64_t on_keep_timer(void *host, int64_t timer)
{
    (void) host;
    (void) timer;
    return 0;
}

static void on_clear_timer(void *host, int64_t timer)
{
    (void) host;
    (void) timer;
}

static void on_woken(void *host, uint64_t request)
{
    (void) host;
    (void) request;
}

static int64_t on_call(void *host, uint64_t request, const struct isolate_call *call)
{
    (void) host;
    (void) request;
    (void) call;
    return -ENOENT;
}

static const struct isolate_host ops = {
    .log = on_log,
    .respond = on_respond,
    .send_body = on_send_body,
    .consume_body = on_consume_body,
    .done = on_done,
    .set_timer = on_set_timer,
    .keep_timer = on_keep_timer,
    .clear_timer = on_clear_timer,
    .call = on_call,
    .woken = on_woken,
};

static struct isolate_bytes text(const char *string)
{
    return (struct isolate_bytes){ (const uint8_t *) string, strlen(string) };
}

/* The kinds as in BindingKind of worker.proto. */
static const struct isolate_binding bindings[] = {
    { .name = { (const uint8_t *) "KV", 2 }, .kind = 1 },
    { .name = { (const uint8_t *) "DB", 2 }, .kind = 2 },
};

static const char *const head[] = { "GET", "http://localhost/warm-up", "accept", "*/*" };
#define HEAD_BYTES 128

static size_t pack_head(uint8_t packed[static HEAD_BYTES])
{
    struct head_writer to = head_write(packed, ARRAY_LEN(head));

    for (size_t i = 0; i < ARRAY_LEN(head); i++)
        (void) head_add(&to, head[i], strlen(head[i]));
    return (size_t) (to.at - packed);
}

static void serve(const char *code)
{
    const struct isolate_options options = {
        .ops = &ops,
        .heap_mib = HEAP_MIB,
        .external_mib = EXTERNAL_MIB,
        .keeps_code = true,
        .tenant = "warm-up",
    };
    uint8_t packed[HEAD_BYTES];
    size_t size = pack_head(packed);
    struct isolate *isolate;

    if (isolate_new(&options, &isolate) < 0)
        return;
    isolate_set_bindings(isolate, bindings, ARRAY_LEN(bindings));
    if (isolate_set_env(isolate, NULL, 0) == 0 &&
        isolate_add_file(isolate, text(path), text(code)) == 0)
        (void) isolate_load(isolate, text(path));
    for (uint64_t id = 1; id <= TIMES && isolate_load_state(isolate) == ISOLATE_LOADED; id++) {
        const struct isolate_request request = {
            .id = id,
            .method = text(head[0]),
            .url = text(head[1]),
            .head = { packed, size },
            .end = true,
        };
        (void) isolate_dispatch(isolate, &request);
    }
    isolate_share_code(isolate);
    (void) isolate_free(isolate);
}

void warm_up_request(void)
{
    serve(source);
}

void warm_up_rewriter(void)
{
    serve(rewriter_source);
}
