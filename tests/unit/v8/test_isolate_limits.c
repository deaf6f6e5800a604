/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker/isolate.h: the limits of hostile tenants: time, heap, memory outside the heap, stack; and
 * the JS layer after a tenant has changed every prototype.
 */
#include "tests/unit/v8/isolate_fixture.h"

#include "common/io.h"
#include "worker/regions.h"
#include "worker/sentry.h"

#include <sys/resource.h>

/* ---- limits */

#define BUDGET_NS (20 * NSEC_PER_MSEC)
#define LOST_NS (10 * NSEC_PER_MSEC) /* time in which terminates are lost */

static struct sentry *sentry; /* the process's sentry */
static struct isolate *armed; /* the isolate whose entry is watched; NULL: none */
static struct isolate *next;  /* the next isolate to be armed */
static uint64_t lost_until_ns;

/* Arms the sentry at the first line, so that also on a slow machine no loop is stopped before it
 * begins. */
static void arm_on_log(void *data, uint64_t request, enum isolate_log_level level,
                       struct isolate_bytes text)
{
    on_log(data, request, level, text);
    if (armed)
        return;
    armed = next;
    sentry_enter(sentry, armed, BUDGET_NS, io_now_ns());
}

/* Loses each terminate of the first milliseconds over the budget, as if V8 had forgotten it. */
static void lose_on_log(void *data, uint64_t request, enum isolate_log_level level,
                        struct isolate_bytes text)
{
    if (!armed)
        lost_until_ns = io_clock_ns(CLOCK_THREAD_CPUTIME_ID) + BUDGET_NS + LOST_NS;
    arm_on_log(data, request, level, text);
    if (io_clock_ns(CLOCK_THREAD_CPUTIME_ID) < lost_until_ns)
        isolate_cancel_terminate(armed);
}

#define HOST(on_line)                                                                  \
    {                                                                                  \
        .log = on_line, .respond = on_respond, .send_body = on_send_body,              \
        .consume_body = on_consume_body, .done = on_done, .set_timer = on_set_timer,   \
        .keep_timer = on_keep_timer, .clear_timer = on_clear_timer, .woken = on_woken, \
    }

static const struct isolate_host arming = HOST(arm_on_log);
static const struct isolate_host losing = HOST(lose_on_log);

/* Ends the watched entry, and asserts that the sentry has stopped it. */
static void assert_stopped(enum isolate_result r)
{
    uint64_t cpu_ns;

    assert_non_null(armed);
    assert_true(sentry_leave(sentry, io_now_ns(), &cpu_ns));
    assert_in_range(cpu_ns, BUDGET_NS, UINT64_MAX);
    isolate_cancel_terminate(armed);
    armed = NULL;
    assert_int_equal(r, ISOLATE_TERMINATED);
}

static void assert_terminated(struct isolate *isolate, uint64_t id)
{
    next = isolate;
    assert_stopped(get(isolate, id));
    isolate_forget(isolate, id);
}

static void test_endless_loops_are_terminated_and_the_isolate_lives_on(void **state)
{
    (void) state;
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
        (void) snprintf(source, sizeof(source),
                        "let calls = 0;\n"
                        "export default { async fetch() {\n"
                        "    if (calls++ === 0) { console.log('begins'); %s }\n"
                        "    return new Response('alive ' + calls);\n} };\n",
                        loops[i]);
        struct isolate *isolate = load_with(&arming, source);
        assert_terminated(isolate, 1);
        if (get(isolate, 2) != ISOLATE_OK)
            fail_msg("after %s: %s", loops[i], isolate_error(isolate));
        assert_string_equal(host.body, "alive 2");
        isolate_free(isolate);
    }
}

static void test_terminate_between_entries_is_gone_after_cancel(void **state)
{
    (void) state;
    struct isolate *isolate = load("export default { fetch: () => new Response('x') };");
    isolate_terminate(isolate);
    isolate_cancel_terminate(isolate);
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    assert_string_equal(host.body, "x");
    /* and a terminate that was not cancelled counts only for the entry that it was meant for */
    isolate_terminate(isolate);
    assert_int_equal(get(isolate, 2), ISOLATE_TERMINATED);
    isolate_cancel_terminate(isolate);
    assert_int_equal(get(isolate, 3), ISOLATE_OK);
    isolate_free(isolate);
}

static void test_microtasks_of_a_terminated_entry_do_not_run_in_the_next(void **state)
{
    (void) state;
    struct isolate *isolate =
        load_with(&arming, "let calls = 0;\n"
                           "export default { async fetch() {\n"
                           "    if (calls++ > 0)\n"
                           "        return new Response(String(globalThis.late));\n"
                           "    console.log('begins');\n"
                           "    Promise.resolve().then(() => { globalThis.late = 'microtask'; });\n"
                           "    import('./late.js');\n"
                           "    for (;;);\n"
                           "} };\n");
    assert_terminated(isolate, 1);
    assert_int_equal(get(isolate, 2), ISOLATE_OK);
    assert_string_equal(host.body, "undefined");
    isolate_free(isolate);
}

static void test_module_that_was_terminated_is_evaluated_again(void **state)
{
    (void) state;
    struct isolate *isolate = new_isolate_with(&arming);
    add(isolate, "main.js",
        "export default { async fetch() {\n"
        "    return new Response((await import('./slow.js')).default);\n} };\n");
    add(isolate, "slow.js", "import './loop.js'; export default 'run ' + globalThis.runs;");
    add(isolate, "loop.js",
        "globalThis.runs = (globalThis.runs ?? 0) + 1;\n"
        "if (runs === 1) { console.log('begins'); for (;;); }");
    assert_int_equal(isolate_load(isolate, bytes("main.js")), ISOLATE_OK);
    assert_terminated(isolate, 1);
    assert_int_equal(get(isolate, 2), ISOLATE_OK);
    assert_string_equal(host.body, "run 2");
    isolate_free(isolate);
}

static void test_endless_module_is_terminated(void **state)
{
    (void) state;
    struct isolate *isolate = new_isolate_with(&arming);
    add(isolate, "main.js", "console.log('begins'); for (;;);");
    next = isolate;
    assert_stopped(isolate_load(isolate, bytes("main.js")));
    isolate_free(isolate);
}

static void test_terminate_that_is_lost_is_repeated(void **state)
{
    (void) state;
    struct isolate *isolate =
        load_with(&losing, "export default { fetch() { for (;;) console.log('on'); } };");
    assert_terminated(isolate, 1);
    isolate_free(isolate);
}

static void test_heap_that_grows_meets_its_limit(void **state)
{
    (void) state;
    static const char *const growths[] = {
        "const a = []; for (;;) a.push(new Array(100).fill(1));",
        "const a = []; for (;;) a.push({ i: a.length });",
        "let s = 'x'; const a = []; for (;;) { s += a.length; a.push(JSON.stringify({ s })); }",
    };
    for (size_t i = 0; i < sizeof(growths) / sizeof(growths[0]); i++) {
        char source[512];
        (void) snprintf(source, sizeof(source), "export default { async fetch() { %s } };",
                        growths[i]);
        struct isolate *isolate = load(source);
        assert_int_equal(get(isolate, 1), ISOLATE_HEAP_LIMIT);
        isolate_free(isolate);
    }
}

static void test_heap_that_one_object_takes_past_its_limit_ends_the_request_only(void **state)
{
    (void) state;
    static const char *const leaps[] = {
        "const a = []; for (let i = 0; i < 8; i++) { a.push('a'.repeat(2 ** 26 + i)); "
        "a[i].charCodeAt(5); }",
        "const r = 'a'.repeat(2 ** 26); return new Response(String(r === r.slice(1) + 'a'));",
        "new RegExp('a'.repeat(2 ** 26));",
        "'a'.repeat(2 ** 26).toUpperCase();",
        "globalThis.rope = 'a'.repeat(2 ** 26); rope.charCodeAt(5);",
        "globalThis.array = new Array(5e6).fill(1); for (;;) globalThis.last = new Array(30);",
        "globalThis.rope = 'a'.repeat(2 ** 26); rope.charCodeAt(5); const a = [];\n"
        "for (let i = 0; i < 14; i++) a.push(new Uint8Array(2 ** 20)); globalThis.kept = a;",
    };
    for (size_t i = 0; i < sizeof(leaps) / sizeof(leaps[0]); i++) {
        char source[512];
        (void) snprintf(source, sizeof(source), "export default { async fetch() { %s } };",
                        leaps[i]);
        struct isolate *isolate = load(source);
        assert_int_equal(get(isolate, 1), ISOLATE_HEAP_LIMIT);
        isolate_free(isolate);
    }
}

static void test_memory_outside_the_heap_meets_its_limit(void **state)
{
    (void) state;
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
        (void) snprintf(expression, sizeof(expression),
                        "(() => { const kept = []; try { for (let i = 0; i < 1000; i++) "
                        "kept.push(%s); } catch (e) { return e.name; } return kept.length; })()",
                        takes[i]);
        assert_answer(expression, i == 6 ? "DataCloneError" : "RangeError");
    }
}

/* Addresses and mappings are the process's: one isolate cannot use up those of all others, even where no memory is behind them. */
static void test_an_isolate_has_its_part_of_the_addresses(void **state)
{
    (void) state;
#define COUNT(expression)                                                                          \
    "(() => { const kept = []; try { for (let i = 0; i < 3000; i++) kept.push(" expression "); } " \
    "catch (e) { return e.name + (kept.length <= 1024); } return kept.length; })()"
    assert_answer(COUNT("new ArrayBuffer(1, { maxByteLength: 8192 })"), "RangeErrortrue");
    assert_answer(COUNT("new ArrayBuffer(0, { maxByteLength: 2 ** 32 })"), "RangeErrortrue");
    assert_answer(COUNT("new WebAssembly.Memory({ initial: 0 })"), "RangeErrortrue");
#undef COUNT
}

static void test_addresses_are_free_again_with_their_buffers(void **state)
{
    (void) state;
    assert_answer("(() => { let n = 0; for (let i = 0; i < 3000; i++) "
                  "n += new ArrayBuffer(1, { maxByteLength: 2 ** 32 }).byteLength; return n; })()",
                  "3000");
}

static void test_garbage_outside_the_heap_is_collected(void **state)
{
    (void) state;
    assert_answer("(() => { let n = 0; for (let i = 0; i < 200; i++) "
                  "n += new ArrayBuffer(1 << 20).byteLength >> 20; return n; })()",
                  "200");
    assert_answer("(() => { let n = 0; for (let i = 0; i < 200; i++) "
                  "n += new WebAssembly.Memory({ initial: 16 }).buffer.byteLength >> 20; "
                  "return n; })()",
                  "200");
}

/* Returns the memory of this process, as the kernel counts it. */
static size_t resident_bytes(void)
{
    unsigned long size, resident;
    FILE *statm = fopen("/proc/self/statm", "re");

    assert_non_null(statm);
    assert_int_equal(fscanf(statm, "%lu %lu", &size, &resident), 2);
    (void) fclose(statm);
    return resident * 4096;
}

static void test_buffer_in_memory_that_was_freed_holds_zeros(void **state)
{
    /* Each isolate writes into its buffers, and drops them; the next buffers, also in other
     * isolates, must be like new ones. */
    static const char expression[] =
        "(() => { let bad = 0; for (let i = 0; i < 300; i++) { "
        "const a = i % 2 ? new Uint8Array(1 << 20) : new Uint8Array(300001); "
        "for (let k = 0; k < a.length; k += 4095) { if (a[k] !== 0) bad++; a[k] = 7; } "
        "if (a[a.length - 1] !== 0) bad++; a[a.length - 1] = 7; "
        "const b = a.slice(); for (let k = 0; k < b.length; k += 4095) if (b[k] !== 7) bad++; "
        "} return bad; })()";

    (void) state;
    assert_answer(expression, "0");
    assert_answer(expression, "0");
}

static void test_freed_buffers_that_are_kept_are_few_and_go(void **state)
{
    (void) state;
    while (isolate_release_spare())
        ;
    size_t before = resident_bytes();
    assert_answer("(() => { let n = 0; for (let i = 0; i < 300; i++) "
                  "n += new Uint8Array(1 << 20).fill(1)[5]; return n; })()",
                  "300");
    size_t kept = resident_bytes();
    while (isolate_release_spare())
        ;
    size_t released = resident_bytes();
    /* The isolate is gone; all that it has left is what is kept. */
    assert_in_range(kept - released, 1 << 20, 32 << 20);
    assert_true(released < before + (8 << 20));
}

static long page_faults(void)
{
    struct rusage usage;

    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_minflt;
}

/* Each request makes 100 texts of 300 KiB, and one more than the last one, and drops them. */
static const char texts_source[] =
    "const bytes = new Uint8Array(300 << 10).fill(97);\n"
    "let count = 100;\n"
    "export default { fetch() {\n"
    "    for (let i = 0; i < count; i++)\n"
    "        if (new TextDecoder().decode(bytes).length !== bytes.length)\n"
    "            return new Response('bad');\n"
    "    count++;\n"
    "    return new Response('good');\n"
    "} };";

static void make_texts(struct isolate *isolate, uint64_t id)
{
    assert_int_equal(get(isolate, id), ISOLATE_OK);
    assert_string_equal(host.body, "good");
}

/* Makes texts until some memory of texts that were collected is not in use again already. */
static void make_spare_texts(struct isolate *isolate)
{
    for (uint64_t id = 100; regions_in_all() == 0; id++) {
        assert_true(id < 120);
        make_texts(isolate, id);
    }
}

static uint64_t native_of(struct isolate *isolate)
{
    struct isolate_memory memory;

    isolate_get_memory(isolate, &memory);
    return memory.native;
}

static void test_memory_of_large_texts_is_used_again(void **state)
{
    (void) state;
    struct isolate *isolate = load(texts_source);
    for (uint64_t id = 1; id <= 3; id++)
        make_texts(isolate, id);
    long before = page_faults();
    for (uint64_t id = 4; id <= 6; id++)
        make_texts(isolate, id);
    assert_in_range(page_faults() - before, 0, 300 * 75 / 2); /* 75 pages each */
    make_spare_texts(isolate);
    assert_in_range(regions_in_all(), 300 << 10, REGIONS_MOST_BYTES);
    assert_true(native_of(isolate) >= regions_in_all()); /* counted */
    (void) isolate_release_regions(isolate);
    assert_false(isolate_release_regions(isolate)); /* not needed meanwhile */
    assert_int_equal(regions_in_all(), 0);
    isolate_free(isolate);
}

static void test_kept_memory_goes_when_its_isolate_rests_or_ends(void **state)
{
    (void) state;
    struct isolate *isolate = load(texts_source);
    make_spare_texts(isolate);
    (void) isolate_rest(isolate);
    assert_int_equal(regions_in_all(), 0);
    make_spare_texts(isolate);
    isolate_free(isolate);
    assert_int_equal(regions_in_all(), 0);
}

static void test_kept_memory_makes_room_for_buffers(void **state)
{
    /* Buffers fill external_mib while some memory is kept, beyond the native memory that is free. */
    (void) state;
    struct isolate *isolate = load(
        "const bytes = new Uint8Array(1 << 20).fill(97);\n"
        "export default { fetch() {\n"
        "    const texts = [];\n"
        "    for (let i = 0; i < 14; i++)\n"
        "        texts[i] = new TextDecoder().decode(bytes);\n"
        "    texts.length = 0;\n"
        "    for (let i = 0; i < 100; i++)\n"
        "        ({ text: 'x'.repeat(1000) + i }).text.indexOf('y');\n"
        "    return new Response(new ArrayBuffer((16 << 20) - (1 << 20) - 100000).byteLength);\n"
        "} };");
    for (uint64_t id = 1; id <= 20; id++) {
        assert_int_equal(get(isolate, id), ISOLATE_OK);
        assert_string_equal(host.body, "15628640");
    }
    struct isolate_excess excess;
    isolate_take_excess(isolate, &excess);
    assert_int_equal(excess.external, 0);
    isolate_free(isolate);
}

/* V8 would look for them from 64 MiB on, or collect the whole heap. */
static void test_dead_young_buffers_are_collected_when_they_are_a_few(void **state)
{
    const struct isolate_options options = {
        .ops = &ops, .host = &host, .heap_mib = 256, .external_mib = 256, .tenant = "test"
    };
    uint32_t heap = 0, external = 0, native = 0, waiting = 0;
    const struct isolate_meter meter = { &heap, &external, &native, &waiting };
    struct isolate *isolate = NULL;

    (void) state;
    memset(&host, 0, sizeof(host));
    assert_int_equal(isolate_new(&options, &isolate), 0);
    isolate_publish(isolate, &meter);
    add(isolate, "main.js",
        "export default { fetch() {\n"
        "    for (let i = 0; i < 60; i++) new Uint8Array(1 << 20)[i] = 1;\n"
        "    return new Response('done');\n"
        "} };");
    assert_int_equal(isolate_load(isolate, bytes("main.js")), ISOLATE_OK);
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    assert_string_equal(host.body, "done");
    assert_in_range(external, 1 << 10, 10 << 10);
    isolate_free(isolate);
}

/* A body that was given as bytes is copied once, although it becomes a stream; so is what a compressor does not take at once. */
static void test_bytes_of_a_body_take_the_room_of_one_copy(void **state)
{
    (void) state;
    assert_answer(
        "(async () => { const b = new Uint8Array(6 << 20), r = new Response(b);\n" /* 16 MiB in all */
        "b[0] = 1;\n"
        "const { value } = await r.body.getReader().read();\n"
        "return [value.length, value[0], b.length]; })()",
        "6291456,0,6291456");
    assert_answer("(async () => { const r = new Response(new Uint8Array(9)), s = r.clone();\n"
                  "const { value } = await r.body.getReader().read();\n"
                  "value.fill(7);\n"
                  "return [value[8], (await s.bytes())[8]]; })()",
                  "7,0");
    assert_answer("(async () => { const r = new Response(new Uint8Array(9)); r.body;\n"
                  "const bytes = await r.bytes();\n"
                  "return [bytes.length, r.body.locked, r.bodyUsed]; })()",
                  "9,true,true");
    assert_answer(
        "(async () => { const b = new Uint8Array(1 << 20), t = new CompressionStream('gzip'), w = "
        "t.writable.getWriter();\n"
        "for (let i = 0; i < b.length; i++) b[i] = i * i >> 7;\n"
        "const u = b.slice(); w.write(b); w.close();\n"
        "const reader = t.readable.getReader(), first = await reader.read();\n"
        "b.fill(0);\n" /* the writer's bytes, which it may change */
        "const s = new ReadableStream({ start(c) { c.enqueue(first.value); }, async pull(c) {\n"
        "    const { value, done } = await reader.read(); done ? c.close() : c.enqueue(value); } "
        "});\n"
        "const again = await new Response(s.pipeThrough(new "
        "DecompressionStream('gzip'))).bytes();\n"
        "return [again.length, again.every((x, i) => x === u[i])]; })()",
        "1048576,true");
}

static void test_deep_recursion_is_a_range_error(void **state)
{
    (void) state;
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
    (void) state;
    struct isolate *isolate =
        load("let calls = 0;\n"
             "export default { async fetch(request) {\n"
             "    if (calls++ > 0)\n"
             "        return new Response('fine', { headers: { a: 'b' } });\n"
             "    const evil = () => { throw new Error('evil'); };\n"
             "    const globals = [Array, Promise, Object, Function, Map, WeakMap, Set, String, "
             "Symbol,\n"
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
    (void) get(isolate, 1);
    for (uint64_t id = 2; id < 5; id++) {
        assert_int_equal(get(isolate, id), ISOLATE_OK);
        if (host.n_responses != 1)
            fail_msg("%s", host.message);
        assert_string_equal(host.body, "fine");
    }
    isolate_free(isolate);
}

int main(void)
{
    if (start_v8() < 0 || sentry_start(&sentry) < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        TEST(test_endless_loops_are_terminated_and_the_isolate_lives_on),
        TEST(test_terminate_between_entries_is_gone_after_cancel),
        TEST(test_microtasks_of_a_terminated_entry_do_not_run_in_the_next),
        TEST(test_module_that_was_terminated_is_evaluated_again),
        TEST(test_endless_module_is_terminated),
        TEST(test_terminate_that_is_lost_is_repeated),
        TEST(test_heap_that_grows_meets_its_limit),
        TEST(test_heap_that_one_object_takes_past_its_limit_ends_the_request_only),
        TEST(test_memory_outside_the_heap_meets_its_limit),
        TEST(test_an_isolate_has_its_part_of_the_addresses),
        TEST(test_addresses_are_free_again_with_their_buffers),
        TEST(test_garbage_outside_the_heap_is_collected),
        TEST(test_buffer_in_memory_that_was_freed_holds_zeros),
        TEST(test_freed_buffers_that_are_kept_are_few_and_go),
        TEST(test_memory_of_large_texts_is_used_again),
        TEST(test_kept_memory_goes_when_its_isolate_rests_or_ends),
        TEST(test_kept_memory_makes_room_for_buffers),
        TEST(test_dead_young_buffers_are_collected_when_they_are_a_few),
        TEST(test_bytes_of_a_body_take_the_room_of_one_copy),
        TEST(test_deep_recursion_is_a_range_error),
        TEST(test_polluted_prototypes_do_not_reach_the_next_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
