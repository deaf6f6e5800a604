/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The natives of worker/v8/natives.cc, called with hostile arguments inside a real isolate. With
 * any arguments, the process lives, the host sees values within bounds only, and the isolate serves
 * an ordinary request afterwards.
 *
 *   test_natives                        some thousand calls, the same each time
 *   test_natives --seconds N [--seed S] as many as the time allows (scripts/fuzz natives)
 *
 * Each isolate has a process of its own. JavaScript may make V8 copy a rope of 1 GiB into the isolate's heap by
 * itself, so a few isolates may end at their heap limit, or by V8's own end of a process that is out of memory
 * (docs/security.md). The run for minutes counts these two; the run that is the same each time has none.
 */
#include "tests/unit/v8/isolate_fixture.h"

#include "worker/v8/testing/lend_natives.h"

#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    HEADER_BYTES_MAX = 256 * 1024,
    TEXT_MAX = 3 * 16 * 1024, /* bytes of 16 Ki units */
    CALLS = 400,              /* in one isolate */
    ROUNDS = 16,
    UNITS_MAX = EXTERNAL_MIB * 1024 * 1024,
    OUT_OF_MEMORY_PERCENT_MAX =
        5, /* percent of the isolates: a native that makes ropes flat ends nearly all */
};

/* How an isolate's process ends; another status is a failure. */
enum outcome { LIVES, AT_HEAP_LIMIT = 101, OUT_OF_MEMORY, OUTCOMES };

#define EXACT_MAX ((UINT64_C(1) << 53) - 1)

/* ---- a host that checks everything */

static volatile uint8_t
    sum; /* sum of all bytes that it got: a sanitizer sees reads beyond the end */

static void touch(struct isolate_bytes bytes, size_t most)
{
    if (bytes.size > most)
        fail_msg("%zu bytes, where %zu are the most", bytes.size, most);
    for (size_t i = 0; i < bytes.size; i++)
        sum = (uint8_t) (sum + bytes.data[i]);
}

static void check_log(void *data, uint64_t request, enum isolate_log_level level,
                      struct isolate_bytes text)
{
    (void) data;
    assert_in_range(request, 0, EXACT_MAX);
    assert_in_range(level, ISOLATE_LOG_DEBUG, ISOLATE_LOG_ERROR);
    touch(text, TEXT_MAX);
}

/* No breach for the supervisor. */
static void check_head(struct isolate_bytes head, uint32_t n_first)
{
    struct head packed;
    size_t size = 0;

    touch(head, HEAD_MAX_BYTES);
    assert_int_equal(head_open(head.data, head.size, n_first, HEAD_FIELDS_MAX, &packed), 0);
    while (packed.n_texts > 0)
        size += head_next(&packed).size;
    assert_in_range(size, 0, HEADER_BYTES_MAX);
}

static int check_respond(void *data, uint64_t request, uint32_t status, struct isolate_bytes head,
                         struct isolate_bytes body, bool end)
{
    assert_in_range(request, 0, EXACT_MAX);
    check_head(head, 0);
    touch(body, 3 * (size_t) UNITS_MAX);
    return on_respond(data, request, status, head, body, end);
}

static int64_t check_send_body(void *data, uint64_t request, struct isolate_bytes part, bool end)
{
    assert_in_range(request, 0, EXACT_MAX);
    touch(part, 3 * (size_t) UNITS_MAX);
    return request % 3 == 0 ? -ENOENT : on_send_body(data, request, part, end);
}

static void check_consume_body(void *data, uint64_t request, size_t size)
{
    (void) data;
    assert_in_range(request, 0, EXACT_MAX);
    assert_in_range(size, 0, EXACT_MAX);
}

static void check_done(void *data, uint64_t request, enum isolate_outcome outcome,
                       struct isolate_bytes message)
{
    assert_in_range(request, 0, EXACT_MAX);
    assert_in_range(outcome, ISOLATE_REQUEST_OK, ISOLATE_REQUEST_BAD_RESPONSE);
    touch(message, TEXT_MAX);
    on_done(data, request, outcome, message);
}

static int64_t check_set_timer(void *data, uint64_t request, uint64_t delay_ms, bool repeat)
{
    struct host *to = data;

    (void) repeat;
    assert_in_range(request, 0, EXACT_MAX);
    assert_in_range(delay_ms, 0, EXACT_MAX);
    return to->last_timer % 5 == 4 ? -EDQUOT : ++to->last_timer;
}

static void check_clear_timer(void *data, int64_t timer)
{
    (void) data;
    assert_in_range(timer, 0, EXACT_MAX);
}

static uint64_t check_keep_timer(void *data, int64_t timer)
{
    (void) data;
    assert_in_range(timer, 0, EXACT_MAX);
    return 0;
}

static void check_woken(void *data, uint64_t request)
{
    (void) data;
    assert_in_range(request, 1, EXACT_MAX);
}

static int64_t check_call(void *data, uint64_t request, const struct isolate_call *call)
{
    struct host *to = data;

    assert_in_range(request, 0, EXACT_MAX);
    check_head(call->head, HEAD_CALL_TEXTS);
    assert_in_range(call->port, 1, UINT16_MAX);
    touch(call->body, 3 * (size_t) UNITS_MAX);
    return request % 3 == 0 ? -ENOENT : ++to->last_timer;
}

static int64_t check_send_call(void *data, uint64_t request, uint32_t call,
                               struct isolate_bytes part, bool end)
{
    (void) data;
    (void) call;
    assert_in_range(request, 0, EXACT_MAX);
    touch(part, 3 * (size_t) UNITS_MAX);
    return end ? -EINVAL : (int64_t) part.size;
}

static void check_consume_call(void *data, uint64_t request, uint32_t call, size_t size)
{
    (void) data;
    (void) call;
    assert_in_range(request, 0, EXACT_MAX);
    assert_in_range(size, 0, EXACT_MAX);
}

static void check_cancel_call(void *data, uint64_t request, uint32_t call)
{
    (void) data;
    (void) call;
    assert_in_range(request, 0, EXACT_MAX);
}

/* Returns so little time that a million rounds of PBKDF2 are refused. */
static uint64_t check_cpu_left(void *data)
{
    (void) data;
    return UINT64_C(2000000);
}

static const struct isolate_host checks = {
    .log = check_log,
    .respond = check_respond,
    .send_body = check_send_body,
    .consume_body = check_consume_body,
    .done = check_done,
    .set_timer = check_set_timer,
    .keep_timer = check_keep_timer,
    .clear_timer = check_clear_timer,
    .call = check_call,
    .send_call = check_send_call,
    .consume_call = check_consume_call,
    .cancel_call = check_cancel_call,
    .cpu_left_ns = check_cpu_left,
    .woken = check_woken,
};

/* ---- the arguments */

/* Arguments of the natives of worker/v8/crypto.cc, compress.cc and serializer.cc: k a handle, n a small number, l a length in
 * bits, u bytes, t a boolean, v any value, b buffers, f a function. */
#define FORMS                                                                                    \
    "const forms = { digest: 'nu', streamNew: 'n', streamAdd: 'ku', streamEnd: 'k', newSecret: " \
    "'u',\n"                                                                                     \
    "    generateSecret: 'l', secret: 'k', hmacSign: 'nku', hmacVerify: 'nkuu', cipher: "        \
    "'kntuulu', equal: 'uu',\n"                                                                  \
    "    random: 'u', hkdf: 'nknuu', pbkdf2: 'nknul', pairGenerate: 'nlu', pairImport: 'nnu',\n" \
    "    pairFromParts: 'nuuuuuuuuuu', pairExport: 'kn', pairPart: 'kn', rsaBits: 'k', sign: "   \
    "'knnnu',\n"                                                                                 \
    "    verify: 'knnnuu', oaep: 'knuu', agree: 'kk', another: 'k', compressNew: 'nt', "         \
    "compressStep: 'kunt', "                                                                     \
    "compressFree: 'k', structuredClone: 'vbfff', takeText: 'a' };\n"

#define GENERATOR                                                                                                                                                                \
    "const natives = globalThis.__skep;\n"                                                                                                                                       \
    "const names = Object.getOwnPropertyNames(natives);\n"                                                                                                                       \
    "let state;\n"                                                                                                                                                               \
    "const random = (n) => {\n"                                                                                                                                                  \
    "    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;\n"                                                                                                              \
    "    return Math.floor(state / 2 ** 32 * n);\n"                                                                                                                              \
    "};\n"                                                                                                                                                                       \
    "const pick = (list) => list[random(list.length)];\n"                                                                                                                        \
    "const trap = () => { throw new Error('trap'); };\n"                                                                                                                         \
    "const rope = 'a'.repeat(2 ** 29 - 24), wide = '\\u20ac'.repeat(2 ** 27);\n" /* V8's own serialiser makes what is in an object flat, as any use of it in JavaScript does. */ \
    "const ropy = new WeakSet(), hold = (o) => { ropy.add(o); return o; };\n"                                                                                                    \
    "const numbers = [0, -0, 1, 2, 3, 7, 255, 256, 65535, 65536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - "                                                                               \
    "1,\n"                                                                                                                                                                       \
    "    2 ** 32, 2 ** 32 + 200, 2 ** 52, 2 ** 53 - 1, 2 ** 53, 2 ** 63, 2 ** 64, 1e300, -1, -(2 "                                                                               \
    "** 31),\n"                                                                                                                                                                  \
    "    -(2 ** 53), NaN, Infinity, -Infinity, 0.5, 1.5, 1e-300];\n"                                                                                                             \
    "const texts = ['', 'a', '\\xe9', '\\u20ac', '\\ud800', '\\udc00x', '\\ud83d\\ude00', '\\0', "                                                                               \
    "'x'.repeat(70000),\n"                                                                                                                                                       \
    "    '\\xff'.repeat(70000), '\\u20ac'.repeat(70001), '\\ud83d\\ude00'.repeat(40000), 'x' + "                                                                                 \
    "'\\ud83d\\ude00'.repeat(40000),\n"                                                                                                                                          \
    "    rope, wide, wide.repeat(2), 'x'.repeat(300000), '\\n    "                                                                                                               \
    "at f (main.js:1:1)',\n"                                                                                                                                                     \
    "    '\\n    at f (main.js:99999999999:1)\\n'.repeat(50), '):-1:-1', 'at (:::)'];\n"                                                                                         \
    "const detached = () => { const b = new ArrayBuffer(100); b.transfer(); return b; };\n"                                                                                      \
    "const resizable = (n, most) => new ArrayBuffer(n, { maxByteLength: most });\n"                                                                                              \
    "function shrunk(C) { const b = resizable(200, 400); const v = new C(b, 80, 8); "                                                                                            \
    "b.resize(random(100)); return v; }\n"                                                                                                                                       \
    "function grown(C) { const b = resizable(80, 40000); const v = new C(b); b.resize(32000); "                                                                                  \
    "return v; }\n"                                                                                                                                                              \
    "const later = [];\n" /* calls that happen while a native runs */                                                                                                            \
    "const meddle = () => { for (const f of later.splice(0)) try { f(); } catch {} };\n"                                                                                         \
    "const buffers = [\n"                                                                                                                                                        \
    "    () => new Uint8Array(random(200)), () => new Uint8Array(1e6), () => new "                                                                                               \
    "Uint8Array(detached()),\n"                                                                                                                                                  \
    "    () => { const v = new Uint8Array(100); v.buffer.transfer(); return v; },\n"                                                                                             \
    "    () => shrunk(Uint8Array), () => grown(Uint8Array), () => new Uint8Array(resizable(0, "                                                                                  \
    "1e6)),\n"                                                                                                                                                                   \
    "    () => { const b = resizable(50000, 50000); later.push(() => b.resize(1)); return new "                                                                                  \
    "Uint8Array(b); },\n"                                                                                                                                                        \
    "    () => { const b = new ArrayBuffer(50000); later.push(() => b.transfer()); return new "                                                                                  \
    "Uint8Array(b); },\n"                                                                                                                                                        \
    "    () => new Uint8Array(new ArrayBuffer(100), 3, 60), () => new Uint8ClampedArray(9), () "                                                                                 \
    "=> new Float64Array(9),\n"                                                                                                                                                  \
    "    () => new BigUint64Array(3), () => new DataView(new ArrayBuffer(9)), () => new "                                                                                        \
    "ArrayBuffer(99), detached,\n"                                                                                                                                               \
    "    () => resizable(10, 100), () => Object.setPrototypeOf(new Uint8Array(70), null),\n"                                                                                     \
    "    () => Object.defineProperty(new Uint8Array(7), 'byteLength', { get: trap }),\n"                                                                                         \
    "    () => new WebAssembly.Memory({ initial: 1 }).buffer, () => new Uint8Array(new "                                                                                         \
    "WebAssembly.Memory({ initial: 1 }).buffer),\n"                                                                                                                              \
    "];\n"                                                                                                                                                                       \
    "const bare = (list) => Object.setPrototypeOf(list, null);\n"                                                                                                                \
    "const getter = (f) => Object.defineProperty([1, 2, 3, 4], 1, { get() { meddle(); return "                                                                                   \
    "f(); }, enumerable: true });\n"                                                                                                                                             \
    "const arrays = [\n"                                                                                                                                                         \
    "    () => [], () => bare([]), () => ['a', 'b'], () => bare(['x-a', 'b']), () => "                                                                                           \
    "bare(['x-a']), () => [1, 2],\n"                                                                                                                                             \
    "    () => Array(4294967295), () => bare(Array(1e6)), () => Array(600).fill('x'), () => "                                                                                    \
    "bare(Array(512).fill('x'.repeat(500))),\n"                                                                                                                                  \
    "    () => bare(Array(512).fill('x'.repeat(600))), () => hold(['a', rope]), () => "                                                                                          \
    "hold([rope, 'b']), () => ['\\u20ac', 'b'],\n"                                                                                                                               \
    "    () => getter(trap), () => getter(() => 'x'), () => getter(() => call(random(3))),\n"                                                                                    \
    "    () => { const a = ['a', 'b', 'c', 'd']; Object.defineProperty(a, 1, { get() { a.length "                                                                                \
    "= 0; return 'q'; } }); return a; },\n"                                                                                                                                      \
    "    () => { const a = ['a', 'b']; Object.defineProperty(a, 1, { get() { while (a.length < "                                                                                 \
    "600) a.push('y'); call(2); return 'q'; } }); return a; },\n"                                                                                                                \
    "    () => [, 'a', , 'b'], () => Object.setPrototypeOf([, 'b'], { get 0() { meddle(); return "                                                                               \
    "'proto'; } }),\n"                                                                                                                                                           \
    "    () => new Proxy([], { get: trap, getPrototypeOf: trap, ownKeys: trap }), () => new "                                                                                    \
    "Proxy(['a', 'b'], {}),\n"                                                                                                                                                   \
    "    () => [new ArrayBuffer(8)], () => { const b = new ArrayBuffer(8); return [b, b]; }, () "                                                                                \
    "=> [detached()],\n"                                                                                                                                                         \
    "    () => { const a = new ArrayBuffer(8), b = new ArrayBuffer(8); return [a, b, "                                                                                           \
    "resizable(1, 9)]; },\n"                                                                                                                                                     \
    "    () => getter(() => new ArrayBuffer(8)), () => (function () { return arguments; })('a', "                                                                                \
    "'b'),\n"                                                                                                                                                                    \
    "];\n"                                                                                                                                                                       \
    "const objects = [\n"                                                                                                                                                        \
    "    () => ({}), () => Object.create(null), () => trap, () => class {}, () => Symbol('x'), "                                                                                 \
    "() => 10n ** 20n, () => null,\n"                                                                                                                                            \
    "    () => true, () => undefined, () => new Date(NaN), () => /x/g, () => new Error('e'), () "                                                                                \
    "=> new Map([[1, 2]]),\n"                                                                                                                                                    \
    "    () => { const e = new Error('x'); Object.defineProperty(e, 'stack', { get: trap }); "                                                                                   \
    "return e; },\n"                                                                                                                                                             \
    "    () => new Proxy(new Error('x'), {}), () => { const { proxy, revoke } = "                                                                                                \
    "Proxy.revocable({}, {}); revoke(); return proxy; },\n"                                                                                                                      \
    "    () => new Proxy({}, { get: trap, ownKeys: trap, getOwnPropertyDescriptor: trap }),\n"                                                                                   \
    "    () => ({ get a() { meddle(); return call(1); }, b: pick(buffers)() }), () => ({ a: { "                                                                                  \
    "get b() { throw new RangeError('deep'); } } }),\n"                                                                                                                          \
    "    () => { let o = {}; for (let i = 0; i < 20000; i++) o = { o }; return o; }, () => { "                                                                                   \
    "const o = {}; o.o = o; return o; },\n"                                                                                                                                      \
    "    () => ({ toString: trap, valueOf: trap, [Symbol.toPrimitive]: trap }), () => new "                                                                                      \
    "String('boxed'), () => Object(1n),\n"                                                                                                                                       \
    "    () => new WebAssembly.Memory({ initial: 1 }), () => Promise.reject(1), () => "                                                                                          \
    "globalThis, () => natives,\n"                                                                                                                                               \
    "    () => { const s = new Error('x'); s.stack = rope; return s; },\n"                                                                                                       \
    "    () => hold(new Error(rope)), () => hold({ message: rope, a: [rope] }),\n"                                                                                               \
    "];\n" FORMS "const value = () => pick([() => pick(numbers), () => pick(texts), () => "                                                                                      \
    "pick(buffers)(), () => pick(arrays)(),\n"                                                                                                                                   \
    "    () => pick(objects)(), () => pick(handles)])();\n"                                                                                                                      \
    "const handles = [undefined];\n"                                                                                                                                             \
    "const keep = (made) => { if (typeof made === 'object' && made !== null && !(made "                                                                                          \
    "instanceof ArrayBuffer) && handles.length < 60) handles.push(made); };\n"                                                                                                   \
    "const bytes = () => new Uint8Array([() => random(3), () => 16, () => 12, () => 32, "                                                                                        \
    "() => 8 * random(9), () => random(300)][random(6)]()).fill(random(256));\n"                                                                                                 \
    "const kinds = { k: () => pick(handles), n: () => random(9), l: () => pick([8, 16, "                                                                                         \
    "64, 96, 128, 256, 384, 521, 1024]), u: bytes, t: () => random(2) === 1,\n"                                                                                                  \
    "    a: () => new Uint8Array(65535 + random(9)).fill(random(140)).subarray(random(3)),\n"                                                                                    \
    "    v: value, b: () => pick(arrays)(), f: () => pick(functions) },\n"                                                                                                       \
    "    functions = [undefined, trap, () => undefined, () => random(3), () => ({}), () => [{}, "                                                                                \
    "1, "                                                                                                                                                                        \
    "{}], () => { meddle(); return call(1); },\n"                                                                                                                                \
    "    () => new Proxy([{}], { get: trap }), () => 2 ** 40, () => pick(handles)];\n"                                                                                           \
    "const aimed = (form) => { const args = []; for (const kind of form) "                                                                                                       \
    "args[args.length] = random(12) === 0 ? value() : kinds[kind](); return args; };\n"                                                                                          \
    "let depth = 0;\n"                                                                                                                                                           \
    "function call(left) {\n"                                                                                                                                                    \
    "    const name = pick(random(2) ? names : Object.keys(forms)), form = forms[name];\n"                                                                                       \
    "    let args = [];\n"                                                                                                                                                       \
    "    if (form !== undefined && random(4) > 0) args = aimed(form);\n"                                                                                                         \
    "    else for (let i = random(7); i > 0; i--) args[args.length] = value();\n"                                                                                                \
    "    if (depth > 3 || (name === 'structuredClone' && ropy.has(args[0]))) return;\n"                                                                                          \
    "    depth++;\n"                                                                                                                                                             \
    "    try { const made = Reflect.apply(natives[name], pick([undefined, natives, 1, "                                                                                          \
    "null]), args); if (form !== undefined && form[0] !== 'v') keep(made); } catch {}\n"                                                                                         \
    "    finally { depth--; later.length = 0; }\n"                                                                                                                               \
    "    if (left > 0) call(left - 1);\n"                                                                                                                                        \
    "}\n"                                                                                                                                                                        \
    "const pollutions = [() => {}, () => {}, () => {\n"                                                                                                                          \
    "    for (let i = 0; i < 8; i++) Object.defineProperty(Array.prototype, i, { get: () => 'g', "                                                                               \
    "set: trap, configurable: true });\n"                                                                                                                                        \
    "}, () => { Object.defineProperty(Object.prototype, 'then', { get: () => undefined, "                                                                                        \
    "configurable: true }); },\n"                                                                                                                                                \
    "() => { Array.prototype[Symbol.iterator] = trap; Object.defineProperty(Object.prototype, "                                                                                  \
    "'value', { set: trap, configurable: true }); },\n"                                                                                                                          \
    "() => { for (const C of [Uint8Array, Array, String, Map, Error]) "                                                                                                          \
    "Object.setPrototypeOf(C.prototype, null); }];\n"                                                                                                                            \
    "let asked = false;\n"                                                                                                                                                       \
    "export default { fetch(request) {\n"                                                                                                                                        \
    "    if (asked) return new Response('lives');\n"                                                                                                                             \
    "    asked = true;\n"                                                                                                                                                        \
    "    const [seed, calls] = new URL(request.url).pathname.slice(1).split('/').map(Number);\n"                                                                                 \
    "    state = seed;\n"                                                                                                                                                        \
    "    pick(pollutions)();\n"                                                                                                                                                  \
    "    for (let i = 0; i < calls; i++) call(0);\n"                                                                                                                             \
    "    return new Response('called');\n"                                                                                                                                       \
    "} };\n"

static enum isolate_result ask(struct isolate *isolate, uint64_t id, const char *path)
{
    char url[128];

    (void) snprintf(url, sizeof url, "http://a.test/%s", path);
    const struct isolate_request request = {
        .id = id, .method = bytes("GET"), .url = bytes(url), .end = true
    };
    host.n_responses = host.n_done = 0;
    host.body[0] = '\0';
    return isolate_dispatch(isolate, &request);
}

/* Makes an isolate whose code has the natives, and whose host checks everything. */
static struct isolate *load_with_natives(const char *code)
{
    struct isolate_options options = {
        .ops = &checks,
        .host = &host,
        .heap_mib = HEAP_MIB,
        .external_mib = EXTERNAL_MIB,
        .tenant = "test",
    };
    struct isolate *isolate = NULL;

    memset(&host, 0, sizeof host);
    assert_int_equal(isolate_new(&options, &isolate), 0);
    assert_int_equal(isolate_lend_natives(isolate), 0);
    add(isolate, "main.js", code);
    if (isolate_load(isolate, bytes("main.js")) != ISOLATE_OK)
        fail_msg("load: %s", isolate_error(isolate));
    return isolate;
}

/* Calls natives. In the isolate's process. */
static enum outcome call_natives(uint32_t seed)
{
    struct isolate *isolate = load_with_natives(GENERATOR);
    char path[64];

    (void) snprintf(path, sizeof path, "%u/%u", seed, CALLS);
    /* The request may fail because the generator has polluted globals; only the natives are tested
     * here. */
    enum isolate_result r = ask(isolate, 1, path);
    if (r == ISOLATE_HEAP_LIMIT) {
        isolate_free(isolate);
        return AT_HEAP_LIMIT;
    }
    if (r != ISOLATE_OK && r != ISOLATE_EXCEPTION)
        fail_msg("seed %u: the entry has ended with %d", seed, (int) r);
    assert_int_equal(ask(isolate, 2, ""), ISOLATE_OK);
    if (strcmp(host.body, "lives") != 0)
        fail_msg("seed %u: the isolate does not serve any more: %s", seed, host.message);
    isolate_free(isolate);
    return LIVES;
}

/* Ends an isolate's process in place of V8, which would end it by a trap. */
static void end_fatally(bool is_oom, const char *location)
{
    on_fatal(is_oom, location);
    if (is_oom)
        _exit(OUT_OF_MEMORY);
}

static enum outcome call_natives_apart(uint32_t seed)
{
    int status;
    (void) fflush(NULL);
    const pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit((int) call_natives(seed)); /* a failed check goes back to cmocka, and ends in main */
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status))
        fail_msg("seed %u: the process has ended by signal %d", seed, WTERMSIG(status));
    const int code = WEXITSTATUS(status);
    if (code != LIVES && code != AT_HEAP_LIMIT && code != OUT_OF_MEMORY)
        fail_msg("seed %u: the process has ended with %d", seed, code);
    return (enum outcome) code;
}

static uint32_t first_seed = 1;
static long seconds;

static void test_natives_take_whatever_they_are_given(void **state)
{
    unsigned rounds = 0, ended[OUTCOMES] = { 0 };
    time_t end = time(NULL) + seconds;

    (void) state;
    for (uint32_t seed = first_seed; rounds < ROUNDS || time(NULL) < end; seed++, rounds++) {
        if (seconds > 0)
            (void) fprintf(stderr, "\rseed %u", seed);
        ended[call_natives_apart(seed)]++;
    }
    if (seconds > 0)
        (void) fprintf(stderr, "\r%u isolates, %u calls, %u at the heap limit, %u out of memory\n",
                       rounds, rounds * CALLS, ended[AT_HEAP_LIMIT], ended[OUT_OF_MEMORY]);
    const unsigned over = ended[AT_HEAP_LIMIT] + ended[OUT_OF_MEMORY];
    if (over * 100 > (seconds > 0 ? OUT_OF_MEMORY_PERCENT_MAX * rounds : 0))
        fail_msg("%u of %u isolates have met their heap's end", over, rounds);
}

static void test_frames_of_no_request_are_not_followed(void **state)
{
    struct isolate *isolate = load_with_natives(
        "const { log, setFrame, setTimer } = globalThis.__skep;\n"
        "export default { fetch() {\n"
        "    for (const n of [2 ** 53, 2 ** 63, 2 ** 64, 1e300, -1, -(2 ** 63), NaN, Infinity])\n"
        "        for (const frame of [n, { request: n }]) {\n"
        "            setFrame(frame); log(1, 'x'); try { setTimer(1e6, false); } catch { }\n"
        "        }\n"
        "    setFrame(1); return new Response('called');\n"
        "} };\n");

    (void) state;
    assert_int_equal(ask(isolate, 1, ""), ISOLATE_OK);
    if (strcmp(host.body, "called") != 0)
        fail_msg("the request has failed: %s", host.message);
    isolate_free(isolate);
}

int main(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seconds") == 0)
            seconds = strtol(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            first_seed = (uint32_t) strtoul(argv[i + 1], NULL, 10);
    }
    if (start_v8_with(end_fatally) < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        TEST(test_natives_take_whatever_they_are_given),
        TEST(test_frames_of_no_request_are_not_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
