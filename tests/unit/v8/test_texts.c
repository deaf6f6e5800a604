/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts that a tenant makes for its log or its errors: of any size and kind, they are cut before
 * they cost time or memory, and the request that made them ends.
 */
#include "tests/unit/v8/isolate_fixture.h"

#include <time.h>

/* 500 MB as a rope, in a heap of 32 MiB. */
#define ROPE "const rope = 'a'.repeat(2 ** 29 - 24);\n"
#define HANDLER(code) "export default { async fetch(request, env, ctx) {\n" code "\n} };\n"

static double cpu_ms(void)
{
    struct timespec now;

    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now), 0);
    return (double) now.tv_sec * 1e3 + (double) now.tv_nsec / 1e6;
}

#define ALL_METHODS                                                                        \
    "for (const m of ['log', 'error', 'warn', 'info', 'debug', 'trace', 'dir', 'dirxml', " \
    "'assert', 'count', "                                                                  \
    "'countReset', 'group', 'groupEnd', 'time', 'timeLog', 'timeEnd', 'table']) { console[m]"
#define REST " } return new Response('x');"

/* Each ends its request, logs a text, and leaves an isolate that serves. */
static const char *const ropes[] = {
    "throw rope;",
    "throw new Error(rope);",
    "throw Object.assign(new Error('x'), { name: rope });",
    "throw Object.assign(new Error('x'), { stack: rope });",
    "throw Object.assign(new Error('x'), { cause: rope });",
    "throw new Error('x', { cause: new TypeError(rope) });",
    "throw new AggregateError([rope, new Error(rope)], rope);",
    "throw { toString() { return rope; } };",
    "throw { message: rope, name: rope, stack: rope };",
    "throw { [Symbol.toStringTag]: rope };",
    "throw Symbol(rope);",
    "throw [rope, rope];",
    "throw new DOMException(rope, rope);",
    "throw Object.defineProperty(() => {}, 'name', { value: rope });",
    "throw new (Object.defineProperty(class {}, 'name', { value: rope }))();",
    "throw new Proxy({}, { getPrototypeOf() { throw rope; }, get() { return rope; } });",
    "throw 2n ** 1000000n;",
    "Promise.reject(rope); Promise.reject(new Error(rope)); return new Response('x');",
    "ctx.waitUntil(Promise.reject(rope)); return new Response('x');",
    "queueMicrotask(() => { throw rope; }); return new Response('x');",
    "reportError(rope); return new Response('x');",
    ALL_METHODS "(rope); console[m](rope, rope); console[m](false, rope);" REST,
    ALL_METHODS "([rope], rope); console[m](new Error(rope));" REST,
    ALL_METHODS "('%s %d %i %f', rope, rope, rope, rope); console[m]('%j %o %O %c', rope, rope, "
                "rope, rope);" REST,
    ALL_METHODS "({ rope, a: [rope], [Symbol(rope)]: 1 });" REST,
    ALL_METHODS "(new Map([[rope, 1]]), new Set([rope]));" REST,
    ALL_METHODS "(Object(Symbol(rope)), Symbol(rope), new RegExp('a'.repeat(1e5)));" REST,
    ALL_METHODS "({ toString() { return rope; }, toJSON() { return rope; } });" REST,
    "return rope;",
    "return { toString() { return rope; } };",
    "structuredClone(rope); return new Response('x');",
    "try { new TextEncoder().encode(rope); } catch (e) { throw e; } return new Response('x');",
    "new TextEncoder().encodeInto(rope, new Uint8Array(100)); return new Response('x');",
    "return new Response(rope);",
    "return new Response(new Blob([rope]));",
    "return new Response(rope, { headers: { 'content-type': 'text/plain' } });",
    "return new Response('x', { statusText: rope });",
    "return new Response('x', { headers: [[rope, 'a']] });",
    "return new Response('x', { headers: [['a', rope]] });",
    "return new Response('x', { status: rope });",
    "return Response.redirect(rope);",
    "const h = new Headers(); h.append('a', rope); return new Response('x');",
    "new Request(rope); return new Response('x');",
    "new Request('http://a/', { method: rope });",
    "new Request('http://a/', { method: 'POST', body: rope, redirect: rope });",
    "new Request('http://a/', { headers: { a: rope } });",
    "new URL(rope); return new Response('x');",
    "new URL('x', rope);",
    "new URL('http://' + rope);",
    "new URL('http://a/').hash = rope;",
    "URL.canParse(rope); return new Response('x');",
    "new URLSearchParams(rope); return new Response('x');",
    "new URLSearchParams({ a: rope }).toString();",
    "new FormData().append(rope, 'x');",
    "const f = new FormData(); f.append('a', rope); return new Response(f);",
    "new FormData().append('a', new Blob(['x']), rope);",
    "new Blob(['x'], { type: rope }); return new Response('x');",
    "new Blob(['x'], { endings: rope });",
    "new Blob(['x']).slice(rope, rope, rope); return new Response('x');",
    "new File(['x'], rope, { lastModified: rope }); return new Response('x');",
    "atob(rope); return new Response('x');",
    "btoa(rope); return new Response('x');",
    "new TextDecoder(rope); return new Response('x');",
    "new DOMException('x', rope).code;",
    "const c = new AbortController(); c.abort(rope); c.signal.throwIfAborted();",
    "AbortSignal.timeout(rope); return new Response('x');",
    "new EventTarget().addEventListener(rope, () => {});",
    "new EventTarget().dispatchEvent(new Event(rope));",
    "new TextEncoderStream().writable.getWriter().write(rope); return new Response('x');",
    "setTimeout(() => {}, rope); clearTimeout(rope); return new Response('x');",
};

static void test_rope_that_no_heap_holds_ends_its_request_and_nothing_else(void **state)
{
    (void) state;
    struct isolate *isolate = NULL;
    for (size_t i = 0; i < sizeof ropes / sizeof ropes[0]; i++) {
        char source[4096];
        (void) snprintf(source, sizeof source,
                        "let n = 0;\nexport default { async fetch(request, env, ctx) {\n"
                        "if (n++ > 0) return new Response('lives');\n" ROPE "%s\n} };\n",
                        ropes[i]);
        isolate = load(source);
        double before = cpu_ms();
        (void) get(isolate, 1);
        if (host.n_done != 1)
            fail_msg("%s: has not ended: %s", ropes[i], host.log);
        if (cpu_ms() - before > 2000)
            fail_msg("%s: took %.0f ms", ropes[i], cpu_ms() - before);
        assert_int_equal(get(isolate, 2), ISOLATE_OK);
        assert_string_equal(host.body, "lives");
        isolate_free(isolate);
    }
}

static void test_rope_that_a_module_throws_is_cut(void **state)
{
    static const char *const modules[] = {
        ROPE "throw rope;",
        ROPE "throw new Error(rope);",
        ROPE "await Promise.reject(rope);",
        ROPE "await import(rope);",
        ROPE "export default { get fetch() { throw rope; } };",
    };

    (void) state;
    for (size_t i = 0; i < sizeof modules / sizeof modules[0]; i++) {
        struct isolate *isolate = new_isolate();
        add(isolate, "main.js", modules[i]);
        (void) isolate_load(isolate, bytes("main.js"));
        assert_int_equal(isolate_load_state(isolate), ISOLATE_LOAD_FAILED);
        assert_in_range(strlen(isolate_error(isolate)), 1, 64 * 1024);
        isolate_free(isolate);
    }
}

/* Showing each costs as little as showing a small value of its kind. */
static const struct {
    const char *large;
    const char *small;
} values[] = {
    { "new Uint8Array(1e6)", "new Uint8Array(200)" },
    { "new Float64Array(1e6)", "new Float64Array(200)" },
    { "new Array(1e6).fill(1)", "new Array(200).fill(1)" },
    { "Object.assign(new Array(3e5).fill(1), { a: 1 })",
      "Object.assign([...'x'.repeat(200)], { a: 1 })" },
    { "new Array(2 ** 32 - 1)", "new Array(200)" },
    { "(() => { const a = new Array(3e5).fill(1); delete a[0]; return a; })()",
      "(() => { const a = new Array(200).fill(1); delete a[0]; return a; })()" },
    { "(() => { const a = []; a[2 ** 31] = 1; return a; })()",
      "(() => { const a = []; a[200] = 1; return a; })()" },
    { "'x'.repeat(1e7)", "'x'.repeat(9000)" },
    { "['x'.repeat(1e7), 'x'.repeat(1e7)]", "['x'.repeat(9000), 'x'.repeat(9000)]" },
    { "new String('x'.repeat(1e6))", "new String('x'.repeat(100))" },
    { "new Map(Array.from({ length: 1e5 }, (_, i) => [i, i]))",
      "new Map(Array.from({ length: 200 }, (_, i) => [i, i]))" },
    { "new Set(Array.from({ length: 1e5 }, (_, i) => i))",
      "new Set(Array.from({ length: 200 }, (_, i) => i))" },
    { "(() => { let o = {}; for (let i = 0; i < 1e5; i++) o = { o }; return o; })()",
      "(() => { let o = {}; for (let i = 0; i < 200; i++) o = { o }; return o; })()" },
    { "new ArrayBuffer(1e7)", "new ArrayBuffer(200)" },
    { "new Proxy(new Uint8Array(1e6), {})", "new Proxy(new Uint8Array(200), {})" },
    { "Object.assign(new Error('x'), { stack: 'Error: x' + '\\n    at f (a.js:1:1)'.repeat(1e5) })",
      "Object.assign(new Error('x'), { stack: 'Error: x' + '\\n    at f (a.js:1:1)'.repeat(200) "
      "})" },
    { "new (class Point { constructor() { this.a = new Uint8Array(1e6); this.b = 'x'.repeat(1e7); "
      "} })()",
      "new (class Point { constructor() { this.a = new Uint8Array(200); this.b = 'x'.repeat(9000); "
      "} })()" },
    { "Array.from({ length: 1000 }, () => new Uint8Array(1e4))",
      "Array.from({ length: 110 }, () => new Uint8Array(200))" },
};

/* Returns the CPU time of showing the value that many times in each way. */
static double cost_of(const char *value)
{
    char source[2048];
    (void) snprintf(source, sizeof source,
                    "const value = %s;\nexport default { fetch(request) {\n"
                    "for (let i = 0; i < 5; i++) { console.log(value); console.log('%%o', value); "
                    "console.dir(value, { depth: null, maxArrayLength: null, maxStringLength: "
                    "null, showHidden: true });"
                    " console.table(value); console.log({ a: { value } }, value); }\n"
                    "return new Response('x');\n} };\n",
                    value);
    struct isolate *isolate = load(source);
    assert_int_equal(get(isolate, 1), ISOLATE_OK); /* the inspector is loaded */
    double before = cpu_ms();
    assert_int_equal(get(isolate, 2), ISOLATE_OK);
    double cost = cpu_ms() - before;
    assert_string_equal(host.body, "x");
    isolate_free(isolate);
    return cost;
}

static void test_log_costs_what_is_printed_of_it(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        double small = cost_of(values[i].small);
        double large = cost_of(values[i].large);
        if (large > 6 * small + 60)
            fail_msg("%s costs %.1f ms, %s %.1f", values[i].large, large, values[i].small, small);
    }
}

/* V8 has a key for each index, on which the time was once spent. */
static void test_typed_array_of_a_million_is_shown_as_node_does(void **state)
{
    struct isolate *isolate =
        load("export default { fetch(request) {\n"
             "console.log(Object.assign(new Uint8Array(50000), { note: 1 }));\n"
             "console.log(Object.assign([1, , 3], { length: 123 }));\n"
             "console.log(new Proxy([1, 2], { get() { throw 1; } }));\n"
             "return new Response('x');\n} };\n");

    (void) state;
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    assert_contains(host.log, "Uint8Array(50000) [\n");
    assert_contains(host.log, "... 49900 more items,\n  note: 1\n]");
    assert_contains(host.log, "[ 1, <1 empty item>, 3, <120 empty items> ]");
    assert_contains(host.log, "[ 1, 2 ]");
    isolate_free(isolate);
}

int main(void)
{
    if (start_v8() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        TEST(test_rope_that_no_heap_holds_ends_its_request_and_nothing_else),
        TEST(test_rope_that_a_module_throws_is_cut),
        TEST(test_log_costs_what_is_printed_of_it),
        TEST(test_typed_array_of_a_million_is_shown_as_node_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
