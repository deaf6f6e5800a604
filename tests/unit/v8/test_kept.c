/* SPDX-License-Identifier: Apache-2.0 */
/* A signal or target that lives as long as the isolate keeps nothing of the requests that used it. */
#include "tests/unit/v8/isolate_fixture.h"

#define ROUNDS 20
#define ROUNDS_OF_ENTRIES 200 /* an entry alone has some 20 bytes */
#define HEAP_MOST (25 << 20)  /* half of it may be garbage */

#define LONG "const long = new AbortController(), target = new EventTarget();\nlet n = 0;\n"

/* 5,000 of them a request. Anything that is kept of each, be it an entry in a list, shows in the heap after some requests. */
static const char *const uses[] = {
    "AbortSignal.any([long.signal])",
    "AbortSignal.any([AbortSignal.any([long.signal]), new AbortController().signal])",
    "new Request('http://a/', { signal: long.signal })",
    "new Request('http://a/', { signal: long.signal }).clone()",
    "(() => { const s = AbortSignal.any([long.signal]); const f = () => {}; "
    "s.addEventListener('abort', f);\n"
    "  s.removeEventListener('abort', f); s.onabort = f; s.onabort = null; })()",
    "(() => { const s = AbortSignal.any([long.signal]); s.addEventListener('x', () => s, { once: "
    "true });\n"
    "  s.dispatchEvent(new Event('x')); })()",
    "new EventTarget().addEventListener('x', () => {}, { signal: long.signal })",
    "(() => { const t = new EventTarget(); t.addEventListener('x', () => t, { signal: long.signal "
    "}); })()",
    "(() => { const f = () => {}; target.addEventListener('x', f, { signal: long.signal });\n"
    "  target.removeEventListener('x', f); })()",
    "(() => { target.addEventListener('x', () => {}, { signal: long.signal, once: true });\n"
    "  target.dispatchEvent(new Event('x')); })()",
};

static void test_long_signal_keeps_nothing_of_a_request_that_is_over(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof uses / sizeof uses[0]; i++) {
        char source[2048];
        (void) snprintf(source, sizeof source,
                        LONG "export default { fetch() { for (let i = 0; i < 5000; i++) { %s; }\n"
                             "return new Response('done'); } };\n",
                        uses[i]);
        struct isolate *isolate = load(source);
        for (uint64_t id = 1; id <= (i == 0 ? ROUNDS_OF_ENTRIES : ROUNDS); id++) {
            enum isolate_result r = get(isolate, id);
            if (r != ISOLATE_OK || strcmp(host.body, "done") != 0)
                fail_msg("%s: request %u: %d %s", uses[i], (unsigned) id, (int) r, host.message);
        }
        struct isolate_memory memory;
        isolate_get_memory(isolate, &memory);
        assert_in_range(memory.heap_used, 0, HEAP_MOST);
        isolate_free(isolate);
    }
}

#define GARBAGE "for (let i = 0; i < 60; i++) new Array(1e5).fill(i);\n"

static void test_signal_that_somebody_hears_of_is_kept_and_fires(void **state)
{
    struct isolate *isolate = load(
        LONG
        "const seen = [];\n"
        "export default { async fetch() {\n"
        "if (n++ < 5) {\n"
        "  AbortSignal.any([long.signal]).addEventListener('abort', () => seen.push('listener'));\n"
        "  AbortSignal.any([AbortSignal.any([long.signal])]).onabort = () => "
        "seen.push('handler');\n"
        "  const request = new Request('http://a/', { signal: long.signal });\n"
        "  AbortSignal.any([request.signal]).addEventListener('abort', () => "
        "seen.push(request.signal.aborted));\n"
        "  target.addEventListener('x', () => seen.push('gone'), { signal: long.signal });\n"
        "  " GARBAGE "return new Response('x'); }\n"
        "long.abort('over'); target.dispatchEvent(new Event('x'));\n"
        "return new Response(seen.length + ' ' + seen.slice(0, 3) + ' ' + "
        "AbortSignal.any([long.signal]).reason);\n"
        "} };\n");

    (void) state;
    for (uint64_t id = 1; id <= 6; id++)
        assert_int_equal(get(isolate, id), ISOLATE_OK);
    assert_string_equal(host.body, "15 listener,handler,true over");
    isolate_free(isolate);
}

int main(void)
{
    if (start_v8() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        TEST(test_long_signal_keeps_nothing_of_a_request_that_is_over),
        TEST(test_signal_that_somebody_hears_of_is_kept_and_fires),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
