/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts and bytes by simdutf, as worker/v8 declares it, against plain JavaScript: UTF-8, latin-1, UTF-16 and base64 of random content in
 * many lengths, with lone surrogates.
 */
#include "tests/unit/v8/isolate_fixture.h"

/* Functions that a request's expression may use. */
#define REFERENCE                                                                                 \
    "let state = 7;\n"                                                                            \
    "const random = (n) => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % 65521 % "   \
    "n;\n"                                                                                        \
    "const kinds = [() => random(128), () => random(256), () => 0x20ac, () => 0xd800 + "          \
    "random(2048), () => 0x10000 + random(0xfffff)];\n"                                           \
    "const text = (n, most) => { let s = ''; while (s.length < n) s += "                          \
    "String.fromCodePoint(kinds[random(most)]()); return s; };\n"                                 \
    "const encode = (s) => { const out = []; for (const c of s) { let p = c.codePointAt(0);\n"    \
    "    if (p >= 0xd800 && p < 0xe000) p = 0xfffd;\n"                                            \
    "    if (p < 0x80) out.push(p); else if (p < 0x800) out.push(p >> 6 | 0xc0, p & 63 | 128);\n" \
    "    else if (p < 0x10000) out.push(p >> 12 | 0xe0, p >> 6 & 63 | 128, p & 63 | 128);\n"      \
    "    else out.push(p >> 18 | 0xf0, p >> 12 & 63 | 128, p >> 6 & 63 | 128, p & 63 | 128); } "  \
    "return out; };\n"                                                                            \
    "const e = new TextEncoder, d = new TextDecoder, same = (a, b) => a.length === b.length && "  \
    "a.every((x, i) => x === b[i]);\n"                                                            \
    "const lengths = []; for (let i = 0; i < 140; i++) lengths.push(i); lengths.push(1000, "      \
    "32767, 32769, 65537, 70001);\n"

static void assert_holds(const char *body)
{
    char source[4096];
    (void) snprintf(source, sizeof source, "(() => {\n%s%s\nreturn 'holds'; })()", REFERENCE, body);
    assert_answer(source, "holds");
}

static void test_texts_are_encoded_as_they_should_be(void **state)
{
    (void) state;
    assert_holds("for (const n of lengths) for (let most = 1; most <= kinds.length; most++) {\n"
                 "    const s = text(n, most);\n"
                 "    if (!same(e.encode(s), encode(s))) return `encode ${n} ${most}`;\n"
                 "}");
}

/* From 16 Ki units on a text is looked at where it lies, in pieces of 8 KiB if it may be ASCII, up to 2 Mi units. */
static void test_texts_of_some_length_are_encoded_whatever_comes_late(void **state)
{
    (void) state;
    assert_holds(
        "const sure = (s, what) => { const u = e.encode(s), x = s.toWellFormed();\n"
        "    if (u.length !== u.buffer.byteLength || d.decode(u) !== x) throw new Error(what); };\n"
        "for (const n of [16383, 16384, 16385, 24577, 2 ** 21 - 1, 2 ** 21, 2 ** 21 + 1])\n"
        "    for (const late of ['', 'a', '\\xe9', '\\u20ac', '\\u{1f600}', '\\ud83d', "
        "'\\ude00', '\\ude00\\ud83d']) {\n"
        "        const most = 'a'.repeat(n - late.length);\n"
        "        sure(most + late, `rope ${n} ${late}`);\n"
        "        sure(late + most, `early ${n} ${late}`);\n"
        "        sure([most, late].join(''), `flat ${n} ${late}`);\n"
        "        sure(('x' + most + late).slice(1), `slice ${n} ${late}`);\n"
        "    }\n"
        "for (const at of [0, 8191, 8192, 8193, 16384, 19999]) { const list = "
        "Array(20000).fill('b'); "
        "list[at] = '\\xff';\n"
        "    if (!same(e.encode(list.join('')), encode(list.join('')))) return `at ${at}`; }\n"
        "let rope = ''; for (let i = 0; i < 40000; i++) rope += i & 1 ? '\\xe4' : 'z';\n"
        "if (!same(e.encode(rope), encode(rope)) || rope.length !== 40000) return 'rope';");
}

static void test_whole_characters_are_encoded_into_a_buffer(void **state)
{
    (void) state;
    assert_holds("for (const n of lengths) for (let most = 2; most <= kinds.length; most++) {\n"
                 "    const s = text(n, most), room = random(2 * n + 2), u = new Uint8Array(room + "
                 "1).fill(1);\n"
                 "    const { read, written } = e.encodeInto(s, u.subarray(0, room));\n"
                 "    const next = s.codePointAt(read), size = next === undefined ? 9 : "
                 "encode(String.fromCodePoint(next)).length;\n"
                 "    if (u[room] !== 1 || !same(u.subarray(0, written), encode(s.slice(0, read))) "
                 "|| (read < s.length && written + size <= room))\n"
                 "        return `encodeInto ${n} ${most} ${room}: ${read} ${written}`;\n"
                 "}");
}

static void test_bytes_are_decoded_as_they_were_encoded(void **state)
{
    (void) state;
    assert_holds("for (const n of lengths) for (let most = 1; most <= kinds.length; most++) {\n"
                 "    const s = text(n, most).toWellFormed();\n"
                 "    if (d.decode(new Uint8Array(encode(s))) !== s.replace(/^\\ufeff/, '')) "
                 "return `decode ${n} ${most}`;\n"
                 "}");
}

/* Each kind has a string of its own: of one byte, of one byte after a conversion, of two. The last is long and bad. */
static void test_long_texts_are_right(void **state)
{
    (void) state;
    assert_holds(
        "for (const part of ['ascii', 'caf\\xe9', 'x\\u20ac', '\\u{1f600}x', 'late']) {\n"
        "    const s = part.repeat(120000) + (part === 'late' ? '\\u20ac' : '');\n"
        "    const t = d.decode(e.encode(s));\n"
        "    if (t !== s || t.length !== s.length || t.slice(-9) !== s.slice(-9) || "
        "JSON.parse(JSON.stringify([t]))[0] !== s) return part;\n"
        "    if (`${t}!`.at(-1) !== '!' || t.indexOf('zz') !== -1 || structuredClone([t])[0] !== s "
        "|| !({ [t.slice(0, 5)]: 1 })[s.slice(0, 5)]) return part;\n"
        "}\n"
        "const bad = new Uint8Array(600000).fill(97); bad[599999] = 0xe2;\n"
        "const t = d.decode(bad); if (t.length !== 600000 || t.at(-1) !== '\\ufffd') return "
        "'bad';\n"
        "for (let i = 0; i < 200; i++) d.decode(bad.subarray(0, 599999));\n" /* more than external_mib, were none freed */
        "const kept = []; for (let i = 0; i < 30; i++) kept.push(d.decode(bad.subarray(0, "
        "599999)));\n"
        "if (kept.some((k) => k !== kept[0])) return 'kept';");
}

static void test_base64_is_forgiving(void **state)
{
    (void) state;
    assert_holds("const A = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';\n"
                 "const slow = (s) => { let o = ''; for (let i = 0; i < s.length; i += 3) {\n"
                 "    const b = [0, 1, 2].map((k) => s.charCodeAt(i + k)), v = b[0] << 16 | b[1] "
                 "<< 8 | b[2];\n"
                 "    o += A[v >> 18] + A[v >> 12 & 63] + (i + 1 < s.length ? A[v >> 6 & 63] : "
                 "'=') + (i + 2 < s.length ? A[v & 63] : '='); } return o; };\n"
                 "for (const n of lengths) { const s = text(n, 2), b = btoa(s);\n"
                 "    if (b !== slow(s)) return `btoa ${n}`;\n"
                 "    if (atob(b) !== s || atob(b.replace(/=+$/, '')) !== s || "
                 "atob(b.replace(/(.{7})/g, '$1 \\n\\t\\f\\r')) !== s) return `atob ${n}`; }\n"
                 "for (const bad of ['A', 'AA=', 'A===', '=', 'AAAA=', 'AA-_', 'AA\\u0100A', "
                 "'AAA\\xa0', 'ABC=D', '=AAA', 'AAAAA'])\n"
                 "    try { return atob(bad) + ' of ' + bad; } catch (x) { if (x.name !== "
                 "'InvalidCharacterError') return bad; }\n"
                 "for (const [good, s] of [['', ''], [' ', ''], ['YR', 'a'], ['YWI', 'ab'], ['Y Q "
                 "= =', 'a']]) if (atob(good) !== s) return good;\n"
                 "try { btoa('\\u0100'); return 'wide'; } catch (x) { if (x.name !== "
                 "'InvalidCharacterError') return x.name; }\n"
                 "const long = '\\xff'.repeat(1e6); if (atob(btoa(long)) !== long) return 'long';");
}

static void test_uint8array_has_base64_and_hex(void **state)
{
    (void) state;
    assert_answer(
        "(() => { const u = new Uint8Array([255, 0, 254]), v = new Uint8Array(4);\n"
        "return [u.toBase64(), u.toBase64({ alphabet: 'base64url' }), u.toHex(), "
        "Uint8Array.fromHex('0aFF'), Uint8Array.fromBase64('_wD-', { alphabet: 'base64url' }),\n"
        "    v.setFromHex('0102').written, v.setFromBase64('/w==').written, v]; })()",
        "/wD+,_wD-,ff00fe,10,255,255,0,254,2,1,255,2,0,0");
    assert_answer("['0', 'zz', '00 '].map((x) => { try { return Uint8Array.fromHex(x); } catch (e) "
                  "{ return e.name; } })",
                  "SyntaxError,SyntaxError,SyntaxError");
    assert_answer("(() => { const b = new ArrayBuffer(4), u = new Uint8Array(b); b.transfer();\n"
                  "return [() => u.toHex(), () => u.toBase64(), () => u.setFromHex('00')].map((f) "
                  "=> { try { return f(); } catch (e) { return e.name; } }); })()",
                  "TypeError,TypeError,TypeError");
}

// V8 13.6 begins at the start of the buffer, wherever the array does.
static void test_base64_and_hex_of_a_part_of_a_buffer(void **state)
{
    (void) state;
    assert_answer(
        "(() => { for (const room of [8, 300, 70000]) {\n"
        "const all = new Uint8Array(room).map((_, i) => i * 7), hex = (u) => [...u].map((b) => "
        "b.toString(16).padStart(2, '0')).join('');\n"
        "for (const [from, to] of [[0, 3], [1, 4], [3, 8], [5, room], [room, room]]) {\n"
        "    const part = all.subarray(from, to), own = all.slice(from, to);\n"
        "    if (part.toHex() !== hex(own)) return `hex ${room} ${from}`;\n"
        "    if (part.toBase64() !== btoa(String.fromCharCode(...own.subarray(0, 60000))) && "
        "own.length <= 60000) return `base64 ${room} ${from}`;\n"
        "    if (hex(Uint8Array.fromBase64(part.toBase64())) !== hex(own)) return `back ${room} "
        "${from}`;\n"
        "} } return 'good'; })()",
        "good");
    assert_answer("(() => { const u = new Uint8Array([0, 255, 254, 253, 252]).subarray(1);\n"
                  "return [u.toBase64({ alphabet: 'base64url', omitPadding: true }), u.toBase64({ "
                  "omitPadding: 1 }),\n"
                  "    u.toHex.length, u.toBase64.length, u.toHex.name, "
                  "Object.keys(Uint8Array.prototype).length]; })()",
                  "__79_A,//79/A,0,0,toHex,0");
    assert_answer(
        "(() => { const u = () => new Uint8Array(new ArrayBuffer(9, { maxByteLength: 9 }), 4), "
        "gone = u();\n"
        "const names = [() => gone.toHex(), () => gone.toBase64(), () => u().toBase64({ get "
        "omitPadding() { throw "
        "new RangeError(); } }), () => u().toBase64({ alphabet: 'x' }), () => u().toBase64(1),\n"
        "    () => u().toHex.call(new Int8Array(1)), () => u().toBase64.call([])];\n"
        "gone.buffer.resize(1); return names.map((f) => { try { return f(); } catch (e) { return "
        "e.name; } }); })()",
        "TypeError,TypeError,RangeError,TypeError,TypeError,TypeError,TypeError");
}

static void test_buffers_that_are_gone_take_nothing(void **state)
{
    (void) state;
    assert_answer("(() => { const b = new ArrayBuffer(8, { maxByteLength: 9000 }), u = new "
                  "Uint8Array(b, 4), e = new TextEncoder;\n"
                  "b.resize(2); const a = e.encodeInto('abc', u); b.resize(9000); const c = "
                  "e.encodeInto('\\u20ac'.repeat(4000), u);\n"
                  "b.transfer(); const f = e.encodeInto('abc', u); return [a.read, a.written, "
                  "c.read, c.written, f.read, f.written]; })()",
                  "0,0,2998,8994,0,0");
}

int main(void)
{
    if (start_v8() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        TEST(test_texts_are_encoded_as_they_should_be),
        TEST(test_texts_of_some_length_are_encoded_whatever_comes_late),
        TEST(test_whole_characters_are_encoded_into_a_buffer),
        TEST(test_bytes_are_decoded_as_they_were_encoded),
        TEST(test_long_texts_are_right),
        TEST(test_base64_is_forgiving),
        TEST(test_uint8array_has_base64_and_hex),
        TEST(test_base64_and_hex_of_a_part_of_a_buffer),
        TEST(test_buffers_that_are_gone_take_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
