/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker/isolate.h against the real V8 and the real snapshot: each test is a tenant of its own,
 * most of them hostile. Runs without a jail.
 */
#include "worker/isolate.h"
#include "worker/snapshot.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* cmocka.h needs these first */
#include <setjmp.h>
#include <cmocka.h>

enum { TIMERS_MAX = 64, HEAP_MIB = 32, EXTERNAL_MIB = 16 };

struct host {
    uint32_t status;
    char head[1024];
    char body[8192];
    size_t body_size;
    int n_responses;
    int n_done;
    enum isolate_outcome outcome;
    char message[4096];
    char log[16384];
    size_t log_size;
    int64_t timers[TIMERS_MAX];
    size_t n_timers;
    int64_t last_timer;
    int respond_result;
};

static struct isolate_bytes bytes(const char *text)
{
    return (struct isolate_bytes){(const uint8_t *)text, strlen(text)};
}

static void keep(char *to, size_t size, size_t *at, struct isolate_bytes from)
{
    size_t n = from.size < size - 1 - *at ? from.size : size - 1 - *at;
    if (n > 0)
        memcpy(to + *at, from.data, n);
    *at += n;
    to[*at] = '\0';
}

static void on_log(void *data, enum isolate_log_level level, struct isolate_bytes text)
{
    struct host *host = data;
    (void)level;
    keep(host->log, sizeof(host->log), &host->log_size, text);
    keep(host->log, sizeof(host->log), &host->log_size, bytes("\n"));
}

static int on_respond(void *data, uint64_t request, uint32_t status,
                      const struct isolate_header *headers, size_t n_headers,
                      struct isolate_bytes body, bool end)
{
    struct host *host = data;
    (void)request;
    (void)end;
    if (host->respond_result < 0)
        return host->respond_result;
    host->n_responses++;
    host->status = status;
    size_t at = 0;
    for (size_t i = 0; i < n_headers; i++) {
        keep(host->head, sizeof(host->head), &at, headers[i].name);
        keep(host->head, sizeof(host->head), &at, bytes(": "));
        keep(host->head, sizeof(host->head), &at, headers[i].value);
        keep(host->head, sizeof(host->head), &at, bytes("\n"));
    }
    host->body_size = 0;
    keep(host->body, sizeof(host->body), &host->body_size, body);
    return 0;
}

static int64_t on_send_body(void *data, uint64_t request, struct isolate_bytes part, bool end)
{
    struct host *host = data;
    (void)request;
    (void)end;
    keep(host->body, sizeof(host->body), &host->body_size, part);
    return 65536;
}

static void on_consume_body(void *data, uint64_t request, size_t size)
{
    (void)data;
    (void)request;
    (void)size;
}

static void on_done(void *data, uint64_t request, enum isolate_outcome outcome,
                    struct isolate_bytes message)
{
    struct host *host = data;
    size_t at = 0;
    (void)request;
    host->n_done++;
    host->outcome = outcome;
    keep(host->message, sizeof(host->message), &at, message);
}

static int64_t on_set_timer(void *data, uint64_t delay_ms, bool repeat)
{
    struct host *host = data;
    (void)delay_ms;
    (void)repeat;
    if (host->n_timers == TIMERS_MAX)
        return -EDQUOT;
    host->timers[host->n_timers++] = ++host->last_timer;
    return host->last_timer;
}

static void on_clear_timer(void *data, int64_t timer)
{
    struct host *host = data;
    for (size_t i = 0; i < host->n_timers; i++)
        if (host->timers[i] == timer)
            host->timers[i] = 0;
}

static const struct isolate_host ops = {
    .log = on_log,
    .respond = on_respond,
    .send_body = on_send_body,
    .consume_body = on_consume_body,
    .done = on_done,
    .set_timer = on_set_timer,
    .clear_timer = on_clear_timer,
};

static struct host host; /* of the test that runs */

static struct isolate *new_isolate(void)
{
    struct isolate_options options = {
        .ops = &ops,
        .host = &host,
        .heap_mib = HEAP_MIB,
        .external_mib = EXTERNAL_MIB,
        .tenant = "test",
    };
    struct isolate *isolate = NULL;
    memset(&host, 0, sizeof(host));
    assert_int_equal(isolate_new(&options, &isolate), 0);
    assert_non_null(isolate);
    return isolate;
}

static void add(struct isolate *isolate, const char *path, const char *source)
{
    assert_int_equal(isolate_add_file(isolate, bytes(path), bytes(source)), 0);
}

static void run_timers(struct isolate *isolate, uint64_t request)
{
    for (size_t i = 0; i < host.n_timers; i++) {
        if (host.timers[i] == 0)
            continue;
        int64_t timer = host.timers[i];
        host.timers[i] = 0;
        assert_int_equal(isolate_on_timer(isolate, request, timer), ISOLATE_OK);
    }
    host.n_timers = 0;
}

/* An isolate whose main.js is the source; loaded. */
static struct isolate *load(const char *source)
{
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js", source);
    enum isolate_result r = isolate_load(isolate, bytes("main.js"));
    if (r != ISOLATE_OK)
        fail_msg("load: %d: %s", r, isolate_error(isolate));
    assert_int_equal(isolate_load_state(isolate), ISOLATE_LOADED);
    return isolate;
}

static enum isolate_result get(struct isolate *isolate, uint64_t id)
{
    static const char url[] = "http://example.com/path?q=1";
    const struct isolate_header headers[] = {
        {bytes("host"), bytes("example.com")},
        {bytes("x-latin"), bytes("caf\xe9")},
    };
    const struct isolate_request request = {
        .id = id,
        .method = bytes("GET"),
        .url = bytes(url),
        .headers = headers,
        .n_headers = 2,
        .end = true,
    };
    host.n_done = 0;
    host.n_responses = 0;
    host.body[0] = '\0';
    return isolate_dispatch(isolate, &request);
}

static void assert_contains(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no \"%s\" in:\n%s", part, text);
}

/* A handler that answers with String(expression), evaluated in the request. */
static void assert_answer(const char *expression, const char *expected)
{
    char source[4096];
    (void)snprintf(source, sizeof(source),
                   "export default { async fetch(request) {\n"
                   "    return new Response(String(await (%s)));\n} };\n",
                   expression);
    struct isolate *isolate = load(source);
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    if (host.n_responses != 1)
        fail_msg("no response: %s", host.message);
    assert_string_equal(host.body, expected);
    isolate_free(isolate);
}

/* ---- the ordinary */

static void test_handler_answers(void **state)
{
    (void)state;
    struct isolate *isolate = load(
        "export default { fetch(request) {\n"
        "    return new Response(request.method + ' ' + request.url + ' '\n"
        "        + request.headers.get('x-latin'), { status: 201, headers: { 'x-a': 'b' } });\n"
        "} };");
    for (uint64_t id = 1; id < 4; id++) {
        assert_int_equal(get(isolate, id), ISOLATE_OK);
        assert_int_equal(host.n_responses, 1);
        assert_int_equal(host.n_done, 1);
        assert_int_equal(host.outcome, ISOLATE_REQUEST_OK);
        assert_int_equal(host.status, 201);
        assert_string_equal(host.body, "GET http://example.com/path?q=1 caf\xc3\xa9");
        assert_contains(host.head, "x-a: b\n");
    }
    struct isolate_memory memory;
    isolate_get_memory(isolate, &memory);
    assert_in_range(memory.heap_used, 1, memory.heap_limit);
    isolate_free(isolate);
}

static void test_env_is_given_to_the_handler(void **state)
{
    (void)state;
    struct isolate *isolate = new_isolate();
    const struct isolate_env env = {bytes("NAME"), bytes("w\xc3\xb6rld")};
    add(isolate, "main.js",
        "export default { fetch: (request, env) => new Response('hello ' + env.NAME) };");
    assert_int_equal(isolate_set_env(isolate, &env, 1), 0);
    assert_int_equal(isolate_load(isolate, bytes("main.js")), ISOLATE_OK);
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    assert_string_equal(host.body, "hello w\xc3\xb6rld");
    isolate_free(isolate);
}

static void test_throwing_handler_is_an_exception_of_the_request(void **state)
{
    (void)state;
    struct isolate *isolate =
        load("export default { async fetch() { throw new TypeError('broken'); } };");
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    assert_int_equal(host.n_responses, 0);
    assert_int_equal(host.outcome, ISOLATE_REQUEST_EXCEPTION);
    assert_contains(host.message, "TypeError: broken");
    assert_contains(host.message, "main.js:1");
    isolate_free(isolate);
}

static void test_refused_response_is_no_crash(void **state)
{
    (void)state;
    struct isolate *isolate = load("export default { fetch: () => new Response('x') };");
    host.respond_result = -ENOENT;
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    assert_int_equal(host.n_responses, 0);
    host.respond_result = 0;
    assert_int_equal(get(isolate, 2), ISOLATE_OK);
    assert_int_equal(host.n_responses, 1);
    isolate_free(isolate);
}

static void test_clock_is_frozen_inside_an_entry(void **state)
{
    (void)state;
    isolate_freeze_clock();
    assert_answer("(() => { const t = Date.now(); for (let i = 0; i < 1e7; i++); "
                  "return Date.now() - t; })()",
                  "0");
}

/* ---- errors at load */

static void assert_load_fails(struct isolate *isolate, const char *const *parts)
{
    assert_int_equal(isolate_load(isolate, bytes("main.js")), ISOLATE_EXCEPTION);
    assert_int_equal(isolate_load_state(isolate), ISOLATE_LOAD_FAILED);
    for (; *parts; parts++)
        assert_contains(isolate_error(isolate), *parts);
    isolate_free(isolate);
}

static void test_syntax_error_shows_line_and_caret(void **state)
{
    (void)state;
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js", "const a = 1;\n\tlet b = };\n");
    assert_load_fails(isolate, (const char *const[]){
        "SyntaxError: Unexpected token '}'", "main.js:2:10",
        "\n    \tlet b = };\n    \t        ^", NULL});
}

static void test_throwing_module_shows_its_stack(void **state)
{
    (void)state;
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js", "function f() {\n    throw new Error('no');\n}\nf();\n");
    assert_load_fails(isolate, (const char *const[]){
        "Error: no\nmain.js:2:11\n", "    at f (main.js:2:11)", "    at main.js:4:1", NULL});
}

static void test_missing_import_names_its_place(void **state)
{
    (void)state;
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js", "import './lib/a.js';\n");
    add(isolate, "lib/a.js", "// one\nimport x from '../../etc/passwd';\n");
    assert_load_fails(isolate, (const char *const[]){
        "Cannot find module '../../etc/passwd' imported from lib/a.js:2:", NULL});
}

static void test_missing_default_export_fails_the_load(void **state)
{
    (void)state;
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js", "export const fetch = 1;\n");
    assert_load_fails(isolate, (const char *const[]){"fetch", NULL});
}

static void test_rejected_top_level_await_fails_the_load(void **state)
{
    (void)state;
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js", "await Promise.reject(new RangeError('late'));\n");
    assert_load_fails(isolate, (const char *const[]){"RangeError: late", "main.js:1:", NULL});
}

static void test_bad_paths_are_refused(void **state)
{
    (void)state;
    struct isolate *isolate = new_isolate();
    const char *const bad[] = {"", "/etc/passwd", "../a.js", "a//b.js", "./a.js", "a/../b.js",
                               "\xff.js"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(isolate_add_file(isolate, bytes(bad[i]), bytes("")), -EINVAL);
    add(isolate, "a.js", "");
    assert_int_equal(isolate_add_file(isolate, bytes("a.js"), bytes("")), -EEXIST);
    isolate_free(isolate);
}

/* ---- modules */

static void test_top_level_await_with_a_timer_loads_later(void **state)
{
    (void)state;
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js",
        "const word = await new Promise((done) => setTimeout(() => done('later'), 10));\n"
        "export default { fetch: () => new Response(word) };\n");
    assert_int_equal(isolate_load(isolate, bytes("main.js")), ISOLATE_OK);
    assert_int_equal(isolate_load_state(isolate), ISOLATE_LOADING);
    assert_int_equal(host.n_timers, 1);
    run_timers(isolate, 0);
    assert_int_equal(isolate_load_state(isolate), ISOLATE_LOADED);
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    assert_string_equal(host.body, "later");
    isolate_free(isolate);
}

static void test_modules_of_all_kinds_are_imported(void **state)
{
    (void)state;
    static const uint8_t wasm[] = {0, 'a', 's', 'm', 1, 0, 0, 0};
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js",
        "import data from './data/d.json' with { type: 'json' };\n"
        "import page from './page.html';\n"
        "import empty from './empty.wasm';\n"
        "import { twice, url } from './lib/twice.mjs';\n"
        "import bare from 'bare';\n"
        "new WebAssembly.Instance(empty);\n"
        "export default { async fetch() {\n"
        "    const late = await import('./lib/late.js');\n"
        "    const again = await import('./lib/late.js');\n"
        "    return new Response([data.list[1], page, twice(4), url, bare, late.default,\n"
        "        late === again, import.meta.url].join());\n"
        "} };\n");
    add(isolate, "data/d.json", "{ \"list\": [1, 2] }");
    add(isolate, "page.html", "<p>");
    add(isolate, "lib/twice.mjs",
        "import '../main.js';\n"
        "export const twice = (x) => 2 * x, url = import.meta.url;\n");
    add(isolate, "lib/late.js", "export { default } from '../bare.js';\n");
    add(isolate, "bare.js", "export default 'bare';\n");
    assert_int_equal(
        isolate_add_file(isolate, bytes("empty.wasm"), (struct isolate_bytes){wasm, sizeof(wasm)}),
        0);
    enum isolate_result r = isolate_load(isolate, bytes("main.js"));
    if (r != ISOLATE_OK)
        fail_msg("%s", isolate_error(isolate));
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    assert_string_equal(host.body, "2,<p>,8,file:///lib/twice.mjs,bare,bare,true,file:///main.js");
    isolate_free(isolate);
}

static void test_bad_json_and_wrong_types_are_errors(void **state)
{
    (void)state;
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js",
        "const tries = [() => import('./bad.json'),\n"
        "    () => import('./bad.json', { with: { type: 'text' } }),\n"
        "    () => import('./bad.json', { with: { color: 'red' } }),\n"
        "    () => import('./bad.wasm'), () => import('./none.js'), () => import('./'),\n"
        "    () => import('./bad.js'), () => import('./bad.js')];\n"
        "const names = [];\n"
        "for (const attempt of tries)\n"
        "    names.push(await attempt().then(() => 'ok', (error) => error.name));\n"
        "export default { fetch: () => new Response(names.join()) };\n");
    add(isolate, "bad.json", "{");
    add(isolate, "bad.wasm", "nonsense");
    add(isolate, "bad.js", "let let;");
    assert_int_equal(isolate_load(isolate, bytes("main.js")), ISOLATE_OK);
    assert_int_equal(isolate_load_state(isolate), ISOLATE_LOADED);
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    assert_string_equal(host.body, "SyntaxError,TypeError,TypeError,CompileError,TypeError,"
                                   "TypeError,SyntaxError,SyntaxError");
    isolate_free(isolate);
}

static void test_importing_itself_while_it_runs_is_no_crash(void **state)
{
    (void)state;
    struct isolate *isolate = load(
        "let found;\n"
        "import('./main.js').then((space) => { found = typeof space.default.fetch; });\n"
        "export default { fetch: () => new Response(found) };\n");
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    assert_string_equal(host.body, "function");
    isolate_free(isolate);
}

/* ---- what is absent */

static void test_dangerous_globals_are_absent(void **state)
{
    (void)state;
    assert_answer("[typeof SharedArrayBuffer, typeof FinalizationRegistry, typeof WeakRef, "
                  "typeof __skep, typeof gc, typeof d8].join()",
                  "undefined,undefined,undefined,undefined,undefined,undefined");
    assert_answer("(() => { try { eval('1'); } catch (e) { return e.name; } })()", "EvalError");
    assert_answer("(() => { try { new Function('1'); } catch (e) { return e.name; } })()",
                  "EvalError");
    assert_answer("(() => { try { Atomics.wait(new Int32Array(new WebAssembly.Memory("
                  "{ initial: 1, maximum: 1, shared: true }).buffer), 0, 0, 5); "
                  "} catch (e) { return e.name; } })()",
                  "TypeError");
    assert_answer("new Date(0).toString()",
                  "Thu Jan 01 1970 00:00:00 GMT+0000 (Coordinated Universal Time)");
}

static void test_structured_clone(void **state)
{
    (void)state;
    assert_answer("(() => { const m = structuredClone(new Map([[1, { d: new Date(5) }]])); "
                  "return m.get(1).d.getTime(); })()",
                  "5");
    assert_answer("(() => { const b = new ArrayBuffer(8); "
                  "const c = structuredClone({ b }, { transfer: [b] }); "
                  "return [b.byteLength, c.b.byteLength].join(); })()",
                  "0,8");
    assert_answer("(() => { try { structuredClone(() => 1); } catch (e) { return e.name; } })()",
                  "DataCloneError");
    assert_answer("(() => { const b = new ArrayBuffer(8); "
                  "try { structuredClone(b, { transfer: [b, b] }); } "
                  "catch (e) { return e.name; } })()",
                  "DataCloneError");
}

static void test_text_is_encoded_and_decoded(void **state)
{
    (void)state;
    assert_answer("new TextDecoder().decode(new TextEncoder().encode('h\\u00e9 \\u{1f600} \\ud800'))",
                  "h\xc3\xa9 \xf0\x9f\x98\x80 \xef\xbf\xbd");
    assert_answer("(() => { try { new TextDecoder('utf-8', { fatal: true }).decode("
                  "new Uint8Array([0xed, 0xa0, 0x80])); } catch (e) { return e.name; } })()",
                  "TypeError");
    assert_answer("new TextDecoder().decode(new Uint8Array([0xf0, 0x9f, 0x92, 65, 0xff])).length",
                  "3");
    assert_answer("(() => { const r = new TextEncoder().encodeInto('a\\u20acb', new Uint8Array(4)); "
                  "return [r.read, r.written].join(); })()",
                  "2,4");
}

/* ---- limits */

struct killer {
    struct isolate *isolate;
    long after_ms;
};

static void *kill_later(void *data)
{
    const struct killer *killer = data;
    const struct timespec wait = {0, killer->after_ms * 1000000};
    (void)nanosleep(&wait, NULL);
    isolate_terminate(killer->isolate);
    return NULL;
}

static void assert_terminated(struct isolate *isolate, uint64_t id)
{
    struct killer killer = {isolate, 50};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, kill_later, &killer), 0);
    enum isolate_result r = get(isolate, id);
    assert_int_equal(pthread_join(thread, NULL), 0);
    isolate_cancel_terminate(isolate);
    assert_int_equal(r, ISOLATE_TERMINATED);
    isolate_forget(isolate, id);
}

static void test_endless_loops_are_terminated_and_the_isolate_lives_on(void **state)
{
    (void)state;
    static const char *const loops[] = {
        "for (;;);",
        "try { for (;;); } catch { for (;;); } finally { for (;;); }",
        "const f = () => queueMicrotask(f); f(); return new Promise(() => {});",
        "const f = async () => { for (;;) await 0; }; return f();",
        "/(a*)*b/.test('a'.repeat(40));",
        "for (;;) await import('./main.js');",
        "for (;;) await WebAssembly.compile(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]));",
        "const f = () => Promise.reject(1).finally(f); f(); return new Promise(() => {});",
        "for (;;) Promise.reject(new Error('flood'));",
        "return new Response({ toString() { for (;;); } });",
        "const e = new Error('x'); Error.prepareStackTrace = () => { for (;;); }; "
        "for (;;) e.stack; ",
    };
    for (size_t i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
        char source[1024];
        (void)snprintf(source, sizeof(source),
                       "let calls = 0;\n"
                       "export default { async fetch() {\n"
                       "    if (calls++ === 0) { %s }\n"
                       "    return new Response('alive ' + calls);\n} };\n",
                       loops[i]);
        struct isolate *isolate = load(source);
        assert_terminated(isolate, 1);
        if (get(isolate, 2) != ISOLATE_OK)
            fail_msg("after %s: %s", loops[i], isolate_error(isolate));
        assert_string_equal(host.body, "alive 2");
        isolate_free(isolate);
    }
}

static void test_terminate_between_entries_is_gone_after_cancel(void **state)
{
    (void)state;
    struct isolate *isolate = load("export default { fetch: () => new Response('x') };");
    isolate_terminate(isolate);
    isolate_cancel_terminate(isolate);
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    assert_string_equal(host.body, "x");
    /* and one that was not cancelled counts for the entry it was meant for */
    isolate_terminate(isolate);
    assert_int_equal(get(isolate, 2), ISOLATE_TERMINATED);
    isolate_cancel_terminate(isolate);
    assert_int_equal(get(isolate, 3), ISOLATE_OK);
    isolate_free(isolate);
}

static void test_endless_module_is_terminated(void **state)
{
    (void)state;
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js", "for (;;);");
    struct killer killer = {isolate, 50};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, kill_later, &killer), 0);
    assert_int_equal(isolate_load(isolate, bytes("main.js")), ISOLATE_TERMINATED);
    assert_int_equal(pthread_join(thread, NULL), 0);
    isolate_cancel_terminate(isolate);
    isolate_free(isolate);
}

static void test_heap_that_grows_meets_its_limit(void **state)
{
    (void)state;
    static const char *const growths[] = {
        "const a = []; for (;;) a.push(new Array(100).fill(1));",
        "const a = []; for (;;) a.push({ i: a.length });",
        "let s = 'x'; const a = []; for (;;) { s += a.length; a.push(JSON.stringify({ s })); }",
    };
    for (size_t i = 0; i < sizeof(growths) / sizeof(growths[0]); i++) {
        char source[512];
        (void)snprintf(source, sizeof(source),
                       "export default { async fetch() { %s } };", growths[i]);
        struct isolate *isolate = load(source);
        assert_int_equal(get(isolate, 1), ISOLATE_HEAP_LIMIT);
        isolate_free(isolate);
    }
}

static void test_memory_outside_the_heap_meets_its_limit(void **state)
{
    (void)state;
    static const char *const takes[] = {
        "new ArrayBuffer(1 << 20)",
        "new Uint8Array(1 << 18)",
        "new WebAssembly.Memory({ initial: 16 })",
        "new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true })",
        "(() => { const b = new ArrayBuffer(0, { maxByteLength: 1 << 20 }); "
        "b.resize(1 << 20); return b; })()",
        "(kept[0] = kept[0] || new WebAssembly.Memory({ initial: 0 })).grow(16)",
        "structuredClone(new ArrayBuffer(1 << 20))",
    };
    for (size_t i = 0; i < sizeof(takes) / sizeof(takes[0]); i++) {
        char expression[512];
        (void)snprintf(expression, sizeof(expression),
                       "(() => { const kept = []; try { for (let i = 0; i < 1000; i++) "
                       "kept.push(%s); } catch (e) { return e.name; } return kept.length; })()",
                       takes[i]);
        assert_answer(expression, i == 6 ? "DataCloneError" : "RangeError");
    }
}

static void test_garbage_outside_the_heap_is_collected(void **state)
{
    (void)state;
    assert_answer("(() => { let n = 0; for (let i = 0; i < 200; i++) "
                  "n += new ArrayBuffer(1 << 20).byteLength >> 20; return n; })()",
                  "200");
    assert_answer("(() => { let n = 0; for (let i = 0; i < 200; i++) "
                  "n += new WebAssembly.Memory({ initial: 16 }).buffer.byteLength >> 20; "
                  "return n; })()",
                  "200");
}

static void test_deep_recursion_is_a_range_error(void **state)
{
    (void)state;
    static const char *const depths[] = {
        "(() => { const f = () => f() + 1; try { f(); } catch (e) { return e.name; } })()",
        "(() => { let a = []; for (let i = 0; i < 1e5; i++) a = [a]; "
        "try { JSON.stringify(a); } catch (e) { return e.name; } })()",
        "(() => { try { JSON.parse('['.repeat(1e5) + ']'.repeat(1e5)); return 'RangeError'; } "
        "catch (e) { return e.name; } })()",
        "(() => { const f = (x) => structuredClone({ get a() { return f(x); } }); "
        "try { f(0); } catch (e) { return 'RangeError'; } })()",
        "(() => { const f = () => { try { console.log({ toString: f }); } finally { f(); } }; "
        "try { f(); } catch (e) { return e.name; } })()",
    };
    for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++)
        assert_answer(depths[i], "RangeError");
}

static void test_polluted_prototypes_do_not_reach_the_next_request(void **state)
{
    (void)state;
    struct isolate *isolate = load(
        "let calls = 0;\n"
        "export default { async fetch(request) {\n"
        "    if (calls++ > 0)\n"
        "        return new Response('fine', { headers: { a: 'b' } });\n"
        "    const evil = () => { throw new Error('evil'); };\n"
        "    const globals = [Array, Promise, Object, Function, Map, WeakMap, Set, String, Symbol,\n"
        "        Uint8Array, Uint8Array.__proto__, RegExp, Number, Error];\n"
        "    for (const global of globals)\n"
        "        for (const key of Reflect.ownKeys(global.prototype))\n"
        "            if (key !== 'constructor')\n"
        "                try { global.prototype[key] = evil; } catch {}\n"
        "    for (let i = 0; i < 9; i++)\n"
        "        Object.defineProperty(Object.prototype, i, { get: evil, set: evil });\n"
        "    for (const key of ['then', 'get', 'set', 'value', 'status', 'body', 'done'])\n"
        "        Object.defineProperty(Object.prototype, key, { get: evil, set: evil });\n"
        "    globalThis.Promise = globalThis.Array = globalThis.Map = evil;\n"
        "    return new Response('first');\n"
        "} };\n");
    (void)get(isolate, 1);
    for (uint64_t id = 2; id < 5; id++) {
        assert_int_equal(get(isolate, id), ISOLATE_OK);
        if (host.n_responses != 1)
            fail_msg("%s", host.message);
        assert_string_equal(host.body, "fine");
    }
    isolate_free(isolate);
}

static void test_unhandled_rejections_are_reported(void **state)
{
    (void)state;
    struct isolate *isolate = load(
        "export default { async fetch() {\n"
        "    Promise.reject(new Error('nobody cares'));\n"
        "    Promise.reject(new Error('somebody cares')).catch(() => {});\n"
        "    return new Response('x');\n} };\n");
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    assert_contains(host.log, "nobody cares");
    assert_null(strstr(host.log, "somebody cares"));
    isolate_free(isolate);
}

static void test_isolates_do_not_share_globals(void **state)
{
    (void)state;
    struct isolate *one = load("globalThis.secret = 1;\n"
                               "export default { fetch: () => new Response(String(secret)) };");
    struct isolate *other =
        load("export default { fetch: () => new Response(typeof secret) };");
    assert_int_equal(isolate_count(), 2);
    assert_int_equal(get(other, 1), ISOLATE_OK);
    assert_string_equal(host.body, "undefined");
    assert_int_equal(get(one, 1), ISOLATE_OK);
    assert_string_equal(host.body, "1");
    isolate_free(one);
    isolate_free(other);
}

static int no_isolate_is_left(void **state)
{
    (void)state;
    return isolate_count() == 0 ? 0 : -1;
}

static void on_fatal(bool is_oom, const char *location)
{
    (void)fprintf(stderr, "V8 died: %s%s\n", is_oom ? "out of memory: " : "", location);
}

int main(void)
{
    const struct isolate_platform_options options = {
        .argv0 = "test_isolate",
        .jit = getenv("SKEP_TEST_JITLESS") == NULL,
        .wasm_max_mem_pages = 1024,
        .snapshot = {skep_snapshot, skep_snapshot_size},
        .on_fatal = on_fatal,
    };
    int r = isolate_platform_init(&options);
    if (r < 0) {
        (void)fprintf(stderr, "isolate_platform_init: %s\n", strerror(-r));
        return 1;
    }
#define TEST(function) cmocka_unit_test_teardown(function, no_isolate_is_left)
    const struct CMUnitTest tests[] = {
        TEST(test_handler_answers),
        TEST(test_env_is_given_to_the_handler),
        TEST(test_throwing_handler_is_an_exception_of_the_request),
        TEST(test_refused_response_is_no_crash),
        TEST(test_clock_is_frozen_inside_an_entry),
        TEST(test_syntax_error_shows_line_and_caret),
        TEST(test_throwing_module_shows_its_stack),
        TEST(test_missing_import_names_its_place),
        TEST(test_missing_default_export_fails_the_load),
        TEST(test_rejected_top_level_await_fails_the_load),
        TEST(test_bad_paths_are_refused),
        TEST(test_top_level_await_with_a_timer_loads_later),
        TEST(test_modules_of_all_kinds_are_imported),
        TEST(test_bad_json_and_wrong_types_are_errors),
        TEST(test_importing_itself_while_it_runs_is_no_crash),
        TEST(test_dangerous_globals_are_absent),
        TEST(test_structured_clone),
        TEST(test_text_is_encoded_and_decoded),
        TEST(test_endless_loops_are_terminated_and_the_isolate_lives_on),
        TEST(test_terminate_between_entries_is_gone_after_cancel),
        TEST(test_endless_module_is_terminated),
        TEST(test_heap_that_grows_meets_its_limit),
        TEST(test_memory_outside_the_heap_meets_its_limit),
        TEST(test_garbage_outside_the_heap_is_collected),
        TEST(test_deep_recursion_is_a_range_error),
        TEST(test_polluted_prototypes_do_not_reach_the_next_request),
        TEST(test_unhandled_rejections_are_reported),
        TEST(test_isolates_do_not_share_globals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
