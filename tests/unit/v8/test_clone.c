/* SPDX-License-Identifier: Apache-2.0 */
/* structuredClone with the platform's own objects: which are cloned, which are transferred, and what the others' faults say. */
#include "tests/unit/v8/isolate_fixture.h"

#define FAULT(expression)                                       \
    "(async () => { try { " expression "; return 'cloned'; }\n" \
    "catch (e) { return `${e.name} ${e instanceof DOMException} ${e.message}`; } })()"

static void test_serializable_objects_are_cloned_wherever_they_are(void **state)
{
    (void) state;
    assert_answer(
        "(async () => { const file = new File(['a', 'bc'], 'n', { type: 't/x', lastModified: 7 "
        "});\n"
        "const c = structuredClone({ list: [file, new Map([[1, file]])], b: new Blob(['x']) });\n"
        "const f = c.list[0];\n"
        "return [f instanceof File, f !== file, await f.text(), f.name, f.type, f.lastModified,\n"
        "    c.list[1].get(1) === f, c.b instanceof Blob, c.b instanceof File, c.b.size]; })()",
        "true,true,abc,n,t/x,7,true,true,false,1");
    assert_answer("(() => { const e = new DOMException('m', 'AbortError'); e.extra = 1;\n"
                  "const c = structuredClone([e])[0];\n"
                  "return [c instanceof DOMException, c !== e, c.name, c.message, c.code, c.stack "
                  "=== e.stack, c.extra]; })()",
                  "true,true,AbortError,m,20,true,");
    assert_answer("(() => { const c = structuredClone(new QuotaExceededError('m', { quota: 1, "
                  "requested: 2 }));\n"
                  "return [c.constructor.name, c.message, c.quota, c.requested]; })()",
                  "QuotaExceededError,m,1,2");
    assert_answer("(async () => { const k = await crypto.subtle.generateKey({ name: 'HMAC', hash: "
                  "'SHA-1' }, true, ['sign']);\n"
                  "const c = structuredClone({ k, again: k });\n"
                  "return [c.k instanceof CryptoKey, c.k !== k, c.k === c.again, "
                  "c.k.algorithm.name, c.k.usages]; })()",
                  "true,true,true,HMAC,sign");
    assert_answer("(() => { const m = new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, "
                  "0, 0, 0]));\n"
                  "const c = structuredClone({ m }).m;\n"
                  "return [c instanceof WebAssembly.Module, c !== m]; })()",
                  "true,true");
    assert_answer(
        "(() => { class Mine extends Blob {} const c = structuredClone(new Mine(['x']));\n"
        "return [c.constructor === Blob, c.size]; })()",
        "true,1");
}

static void test_errors_keep_name_cause_and_stack(void **state)
{
    (void) state;
    assert_answer("(() => { const e = new RangeError('m', { cause: { a: [1] } }); e.extra = 1;\n"
                  "const c = structuredClone(e);\n"
                  "return [c instanceof RangeError, c.name, c.message, c.cause.a[0], c.cause !== "
                  "e.cause, c.stack === e.stack, c.extra]; })()",
                  "true,RangeError,m,1,true,true,");
}

static void test_other_platform_objects_are_refused_by_name(void **state)
{
    (void) state;
    static const char *const made[][2] = {
        { "new Headers", "Headers" },
        { "new Request('http://a/')", "Request" },
        { "new Response('')", "Response" },
        { "new FormData", "FormData" },
        { "new URL('http://a/')", "URL" },
        { "new URLSearchParams", "URLSearchParams" },
        { "new AbortController", "AbortController" },
        { "AbortSignal.abort()", "AbortSignal" },
        { "new Event('x')", "Event" },
        { "new EventTarget", "EventTarget" },
        { "new TextDecoder", "TextDecoder" },
        { "new TextEncoderStream", "TextEncoderStream" },
        { "performance", "Performance" },
        { "navigator", "Navigator" },
        { "crypto", "Crypto" },
        { "crypto.subtle", "SubtleCrypto" },
        { "new CountQueuingStrategy({ highWaterMark: 1 })", "CountQueuingStrategy" },
        { "new (class extends Headers {})", "Headers" },
    };
    char code[512];
    char text[256];

    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        (void) snprintf(code, sizeof code, FAULT("structuredClone({ a: [%s] })"), made[i][0]);
        (void) snprintf(text, sizeof text, "DataCloneError true %s object could not be cloned.",
                        made[i][1]);
        assert_answer(code, text);
    }
    assert_answer(FAULT("structuredClone([new ReadableStream])"),
                  "DataCloneError true ReadableStream object could not be cloned because it was "
                  "not transferred.");
    assert_answer(FAULT("structuredClone({ f() {} })"),
                  "DataCloneError true f() {} could not be cloned.");
}

static void test_exceptions_of_getters_are_passed_on(void **state)
{
    (void) state;
    assert_answer(FAULT("structuredClone({ get a() { throw new Error('mine'); } })"),
                  "Error false mine");
}

static void test_class_of_a_tenant_is_an_ordinary_object(void **state)
{
    (void) state;
    assert_answer("(() => { class A { #x = 1; y = 2; } const c = structuredClone([new A, new Blob, "
                  "new A, Object.create(null)]);\n"
                  "return [c[0].constructor === Object, c[0].y, c[1].constructor.name, c[2].y, "
                  "typeof c[3]]; })()",
                  "true,2,Blob,2,object");
}

static void test_buffers_are_transferred_with_their_room(void **state)
{
    (void) state;
    assert_answer(
        "(() => { const b = new ArrayBuffer(4, { maxByteLength: 9 }), v = new Uint8Array(b);\n"
        "const c = structuredClone({ v, b }, { transfer: [b] });\n"
        "c.b.resize(9);\n"
        "return [b.detached, v.length, c.v.length, c.b.maxByteLength, c.v.buffer === c.b]; })()",
        "true,0,9,9,true");
    assert_answer(
        "(() => { const b = new ArrayBuffer(4, { maxByteLength: 9 });\n"
        "const c = structuredClone(b); return [c.resizable, c.maxByteLength, b.detached]; })()",
        "true,9,false");
    assert_answer(
        FAULT("const b = new ArrayBuffer(1); b.transfer(); structuredClone(1, { transfer: [b] })"),
        "DataCloneError true An ArrayBuffer is detached and could not be cloned.");
    assert_answer(FAULT("const b = new ArrayBuffer(1); structuredClone({ get a() { b.transfer(); } "
                        "}, { transfer: [b] })"),
                  "DataCloneError true An ArrayBuffer is detached and could not be cloned.");
    assert_answer(FAULT("const b = new ArrayBuffer(8, { maxByteLength: 8 }), v = new Uint8Array(b, "
                        "4, 4); b.resize(1);\n"
                        "structuredClone(v)"),
                  "DataCloneError true [object Object] could not be cloned.");
    assert_answer(
        FAULT("structuredClone(1, { transfer: [new WebAssembly.Memory({ initial: 1 }).buffer] })"),
        "TypeError false An ArrayBuffer in transfer cannot be detached.");
    assert_answer(FAULT("structuredClone(1, { transfer: [new Headers] })"),
                  "DataCloneError true Headers object in transfer is not transferable.");
    assert_answer(FAULT("structuredClone(1, { transfer: [{}] })"),
                  "DataCloneError true An object in transfer is not transferable.");
}

/* A buffer, or a view of one, is copied past V8's serialiser if it is the whole value. */
static void test_large_buffers_and_their_views_are_cloned(void **state)
{
    (void) state;
    assert_answer(
        "(() => { const out = [];\n"
        "for (const T of [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, "
        "Int32Array, Uint32Array,\n"
        "    Float32Array, Float64Array, BigInt64Array, BigUint64Array, DataView]) {\n"
        "    const buffer = new ArrayBuffer(65536), all = new Uint8Array(buffer);\n"
        "    for (let i = 0; i < 65536; i++) all[i] = i * 31 % 251;\n"
        "    const v = new T(buffer, 16, 4), c = structuredClone(v);\n"
        "    const same = new Uint8Array(c.buffer).every((b, i) => b === i * 31 % 251);\n"
        "    all[20] = 255;\n"
        "    out.push(c.constructor === T && c !== v && c.buffer !== buffer && same && "
        "c.byteOffset === 16 && c.byteLength === v.byteLength &&\n"
        "        c.buffer.byteLength === 65536 && !c.buffer.resizable && "
        "!buffer.detached && new Uint8Array(c.buffer)[20] === 20 * 31 % 251);\n"
        "}\n"
        "return out.length + ' ' + out.every((x) => x); })()",
        "12 true");
    assert_answer(
        "(() => { const b = new Uint8Array(20000).fill(7).buffer, c = structuredClone(b);\n"
        "return [c instanceof ArrayBuffer, c !== b, c.byteLength, new "
        "Uint8Array(c)[19999], b.detached]; })()",
        "true,true,20000,7,false");
    assert_answer("(() => { class Mine extends Uint8Array {} const v = new Mine(20000); v.extra = "
                  "1;\n"
                  "const c = structuredClone(v); return [c.constructor === Uint8Array, c.extra, "
                  "c.length]; })()",
                  "true,,20000");
    assert_answer("(() => { const b = new ArrayBuffer(20000, { maxByteLength: 30000 }), v = new "
                  "Uint8Array(b, 8);\n"
                  "const c = structuredClone(v); c.buffer.resize(30000);\n"
                  "return [c.length, structuredClone(b).maxByteLength, v.length]; })()",
                  "29992,30000,19992");
    assert_answer("(() => { const m = new WebAssembly.Memory({ initial: 1 }); new "
                  "Uint8Array(m.buffer)[9] = 3;\n"
                  "const c = structuredClone(m.buffer);\n"
                  "return [c.byteLength, new Uint8Array(c)[9], c.transfer().byteLength, "
                  "m.buffer.byteLength]; })()",
                  "65536,3,65536,65536");
    assert_answer(FAULT("const b = new ArrayBuffer(20000), v = new Uint8Array(b); b.transfer(); "
                        "structuredClone(b)"),
                  "DataCloneError true An ArrayBuffer is detached and could not be cloned.");
    assert_answer(FAULT("const b = new ArrayBuffer(20000), v = new Uint8Array(b); b.transfer(); "
                        "structuredClone(v)"),
                  "DataCloneError true An ArrayBuffer is detached and could not be cloned.");
    assert_answer("(() => { const b = new ArrayBuffer(20000), c = structuredClone(new "
                  "Uint8Array(b), { transfer: [b] });\n"
                  "return [b.detached, c.length]; })()",
                  "true,20000");
}

static void test_clone_of_bytes_takes_the_room_of_one_copy(void **state)
{
    (void) state;
    assert_answer("structuredClone(new Uint8Array(7 << 20)).length",
                  "7340032"); /* the limit is 16 MiB */
    assert_answer(FAULT("structuredClone(new Uint8Array(9 << 20))"),
                  "DataCloneError true Data could not be cloned, out of memory.");
}

static void test_streams_are_transferred(void **state)
{
    (void) state;
    assert_answer("(async () => { const chunk = { a: 1 };\n"
                  "const r = new ReadableStream({ start(c) { c.enqueue(chunk); c.enqueue('x'); "
                  "c.close(); } });\n"
                  "const c = structuredClone({ in: [r] }, { transfer: [r] }).in[0], got = [];\n"
                  "for await (const x of c) got.push(x);\n"
                  "return [r.locked, c instanceof ReadableStream, got.length, got[0] !== chunk, "
                  "got[0].a, got[1]]; })()",
                  "true,true,2,true,1,x");
    assert_answer(
        "(async () => { let why; const r = new ReadableStream({ cancel(x) { why = x; } });\n"
        "await structuredClone(r, { transfer: [r] }).cancel('gone'); return why; })()",
        "gone");
    assert_answer("(async () => { const got = []; const w = new WritableStream({ write(x) { "
                  "got.push(x); }, close() { got.push('end'); } });\n"
                  "const to = structuredClone(w, { transfer: [w] }).getWriter();\n"
                  "to.write('a'); to.write(['b']); await to.close(); return [w.locked, got]; })()",
                  "true,a,b,end");
    assert_answer(
        "(async () => { const t = new TransformStream({ transform(x, c) { c.enqueue(x + x); } });\n"
        "const c = structuredClone(t, { transfer: [t] }), to = c.writable.getWriter();\n"
        "to.write('a'); return [c instanceof TransformStream, t.readable.locked, (await "
        "c.readable.getReader().read()).value]; })()",
        "true,true,aa");
    assert_answer(
        FAULT("const r = new ReadableStream; r.getReader(); structuredClone(r, { transfer: [r] })"),
        "DataCloneError true A ReadableStream that is locked could not be transferred.");
    assert_answer(FAULT("const r = new ReadableStream({ start(c) { c.enqueue(() => {}); } });\n"
                        "await structuredClone(r, { transfer: [r] }).getReader().read()"),
                  "DataCloneError true () => {} could not be cloned.");
}

static void test_clones_of_clones_keep_apart(void **state)
{
    (void) state;
    assert_answer("(() => { const r = new ReadableStream, s = new ReadableStream; let inner;\n"
                  "const c = structuredClone({ get a() { inner = structuredClone({ s, b: new Blob "
                  "}, { transfer: [s] }); return 1; }, r, b: new Blob },\n"
                  "    { transfer: [r] });\n"
                  "return [c.r instanceof ReadableStream, inner.s instanceof ReadableStream, c.r "
                  "!== inner.s, inner.b.size, c.b.size]; })()",
                  "true,true,true,0,0");
}

int main(void)
{
    if (start_v8() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        TEST(test_serializable_objects_are_cloned_wherever_they_are),
        TEST(test_errors_keep_name_cause_and_stack),
        TEST(test_other_platform_objects_are_refused_by_name),
        TEST(test_exceptions_of_getters_are_passed_on),
        TEST(test_class_of_a_tenant_is_an_ordinary_object),
        TEST(test_buffers_are_transferred_with_their_room),
        TEST(test_large_buffers_and_their_views_are_cloned),
        TEST(test_clone_of_bytes_takes_the_room_of_one_copy),
        TEST(test_streams_are_transferred),
        TEST(test_clones_of_clones_keep_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
