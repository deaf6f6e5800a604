/* SPDX-License-Identifier: Apache-2.0 */
/* TextDecoder with buffers that go, shrink or are large, and with errors in the middle of a stream. */
#include "tests/unit/v8/isolate_fixture.h"

static void test_bytes_that_are_gone_are_none(void **state)
{
    (void) state;
    assert_answer(
        "(() => { const d = new TextDecoder(), b = new ArrayBuffer(4), v = new Uint8Array(b), w = "
        "new DataView(b);\n"
        "b.transfer(); return [d.decode(b), d.decode(v), d.decode(w)].map((x) => x.length); })()",
        "0,0,0");
    assert_answer("(() => { const b = new ArrayBuffer(4000), d = new TextDecoder('gbk');\n"
                  "return d.decode(b, { get stream() { b.transfer(); } }).length; })()",
                  "0");
    assert_answer(
        "(() => { const b = new ArrayBuffer(8, { maxByteLength: 80 }), d = new "
        "TextDecoder('latin1');\n"
        "const fixed = new Uint8Array(b, 4, 4), all = new Uint8Array(b);\n"
        "b.resize(5); const after = [d.decode(fixed).length, d.decode(all).length, "
        "d.decode(b).length];\n"
        "b.resize(80); return [after, d.decode(fixed).length, d.decode(all).length]; })()",
        "0,5,5,4,80");
}

static void test_bytes_may_change_once_they_are_decoded(void **state)
{
    (void) state;
    assert_answer("(() => { const d = new TextDecoder(), b = new Uint8Array([0xe2, 0x82]);\n"
                  "const first = d.decode(b, { stream: true }); b.fill(65);\n"
                  "return first + d.decode(new Uint8Array([0xac])); })()",
                  "\xe2\x82\xac");
}

static void test_decoder_begins_anew_after_an_error(void **state)
{
    (void) state;
    assert_answer("['utf-8', 'gb18030', 'shift_jis', 'utf-16le', 'iso-2022-jp'].map((label) => {\n"
                  "const d = new TextDecoder(label, { fatal: true }), bad = { 'utf-16le': [0, "
                  "0xdc], 'iso-2022-jp': [0x1b, 0x1b] };\n"
                  "let error; try { d.decode(new Uint8Array(bad[label] ?? [0xff])); } catch (e) { "
                  "error = e.name; }\n"
                  "const a = new Uint8Array(label === 'utf-16le' ? [97, 0] : [97]);\n"
                  "return error + d.decode(a, { stream: true }) + d.decode(); })",
                  "TypeErrora,TypeErrora,TypeErrora,TypeErrora,TypeErrora");
}

static void test_text_without_room_is_refused(void **state)
{
    (void) state;
    static const char *const labels[] = { "utf-8", "koi8-r", "x-user-defined", "utf-16le",
                                          "latin1" };
    char code[512];
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        (void) snprintf(code, sizeof code,
                        "(() => { const d = new TextDecoder('%s'), kept = [], b = new "
                        "Uint8Array(15 * 2 ** 20).fill(0x81);\n"
                        "try { for (let i = 0; i < 20; i++) kept.push(d.decode(b)); } catch (e) { "
                        "return e.name; } })()",
                        labels[i]);
        assert_answer(code, "RangeError");
    }
}

static void test_labels_are_found_in_any_case_with_blanks(void **state)
{
    (void) state;
    assert_answer("[' \\t\\nLatin1 ', 'UTF8', 'Shift_JIS', 'X-SJIS', 'Big5-HKSCS'].map((x) => new "
                  "TextDecoder(x).encoding)",
                  "windows-1252,utf-8,shift_jis,shift_jis,big5");
    assert_answer("['', 'utf-7', 'replacement', 'iso-2022-kr', '\\u212aoi8-r', 'utf-8\\0', "
                  "'\\xa0utf-8', 'x'.repeat(2 ** 24)].map((x) => {\n"
                  "try { return new TextDecoder(x).encoding; } catch (e) { return e.name + "
                  "(e.message.length < 400); } }).join()",
                  "RangeErrortrue,RangeErrortrue,RangeErrortrue,RangeErrortrue,RangeErrortrue,"
                  "RangeErrortrue,RangeErrortrue,RangeErrortrue");
}

int main(void)
{
    if (start_v8() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        TEST(test_bytes_that_are_gone_are_none),
        TEST(test_bytes_may_change_once_they_are_decoded),
        TEST(test_decoder_begins_anew_after_an_error),
        TEST(test_text_without_room_is_refused),
        TEST(test_labels_are_found_in_any_case_with_blanks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
