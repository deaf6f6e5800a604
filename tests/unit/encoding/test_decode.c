/* SPDX-License-Identifier: Apache-2.0 */
/* The decoders of worker/encoding: each row whole, byte by byte, and with bad sequences that are fatal. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <uchar.h>

#include <cmocka.h>

#include "worker/encoding/encoding.h"

enum { UNITS = 64 };

struct row {
    const char *label;
    const char *bytes;
    size_t size;
    const char16_t *text;
};

/* clang-format off */
#define ROW(label, bytes, text) { label, bytes, sizeof(bytes) - 1, text }
static const struct row rows[] = {
    ROW("windows-1252", "a\x80\xe9", u"a\u20ac\u00e9"),
    ROW("latin1", "\x81\x9d", u"\x81\x9d"),
    ROW("windows-1253", "\xaa" "b", u"\ufffd" "b"),
    ROW("iso-8859-8-i", "\xe0", u"\u05d0"),
    ROW("koi8-u", "\xa4", u"\u0454"),
    ROW("iso-8859-16", "\xff", u"\u00ff"),
    ROW("x-user-defined", "a\x80\xff", u"a\uf780\uf7ff"),

    ROW("utf-16le", "A\0\x3d\xd8\x00\xde", u"A\U0001f600"),
    ROW("utf-16be", "\0A\xd8\x3d\xde\x00", u"A\U0001f600"),
    ROW("utf-16", "\x00\xd8" "A\0", u"\ufffd" "A"),
    ROW("utf-16", "\x00\xdc" "A\0", u"\ufffd" "A"),
    ROW("utf-16", "\x00\xd8\x00\xd8\x00\xdc", u"\ufffd\U00010000"),
    ROW("utf-16", "A\0\x00", u"A\ufffd"),
    ROW("utf-16", "A\0\x00\xd8\x00", u"A\ufffd"),

    ROW("gbk", "\xc4\xe3\xba\xc3\x80", u"\u4f60\u597d\u20ac"),
    ROW("gb18030", "\x81\x30\x81\x30\x90\x30\x81\x30", u"\x80\U00010000"),
    ROW("gb18030", "\x81\x35\xf4\x37", u"\ue7c7"),
    ROW("gb18030", "\xff", u"\ufffd"),
    ROW("gb18030", "\x81\x30\x81", u"\ufffd"),
    ROW("gb18030", "\x81\x30z", u"\ufffd0z"),
    ROW("gb18030", "\x81\x30\x81 ", u"\ufffd0\ufffd "),
    ROW("gb18030", "\xfe\x39\xfe\x39", u"\ufffd"),

    ROW("big5", "\xa7\x41\xa6\x6e", u"\u4f60\u597d"),
    ROW("big5", "\x88\x62\x88\xa5", u"\u00ca\u0304\u00ea\u030c"),
    ROW("big5", "\x87\x45", u"\U00027267"),
    ROW("big5", "\xa7 \xa7", u"\ufffd \ufffd"),
    ROW("big5", "\x80\xff", u"\ufffd\ufffd"),

    ROW("euc-jp", "\xa4\xa2\x8e\xb1\x8f\xb0\xa1", u"\u3042\uff71\u4e02"),
    ROW("euc-jp", "\x8f\xb0", u"\ufffd"),
    ROW("euc-jp", "\x8e" "a\x8f" "a", u"\ufffd" "a\ufffd" "a"),
    ROW("shift_jis", "\x82\xa0\xb1\x80\xf0\x40", u"\u3042\uff71\x80\ue000"),
    ROW("shift_jis", "\x82\x20\x82", u"\ufffd \ufffd"),
    ROW("euc-kr", "\xb0\xa1\xc8\xfe" "a", u"\uac00\ud79d" "a"),
    ROW("euc-kr", "\xb0 \xff", u"\ufffd \ufffd"),

    ROW("iso-2022-jp", "a\x1b$B\x24\x22\x1b(Bb", u"a\u3042b"),
    ROW("iso-2022-jp", "\x1b(I1\x1b(J\\~", u"\uff71\u00a5\u203e"),
    ROW("iso-2022-jp", "\x1b$B\x1b(B", u"\ufffd"),
    ROW("iso-2022-jp", "\x1b(", u"\ufffd("),
    ROW("iso-2022-jp", "\x1b$xy", u"\ufffd$xy"),
    ROW("iso-2022-jp", "\x1b$B\x24", u"\ufffd"),
    ROW("iso-2022-jp", "\x1b$B\x24\x1b(Ba", u"\ufffd" "a"),
    ROW("iso-2022-jp", "\x1b", u"\ufffd"),
    ROW("iso-2022-jp", "\xa4\x0e", u"\ufffd\ufffd"),
};
/* clang-format on */

static size_t length(const char16_t *text)
{
    size_t n = 0;
    while (text[n] != 0)
        n++;
    return n;
}

/* Decodes in parts of that size. Returns the units, or a negative errno. */
static int decode(const struct row *row, bool is_fatal, size_t part, uint16_t *units)
{
    const int encoding = encoding_find(row->label, strlen(row->label));
    struct decoder decoder = { 0 };
    size_t n = 0;
    size_t got = 0;
    int r = 0;

    assert_true(encoding > 0);
    for (size_t at = 0; at < row->size; at += part) {
        const size_t size = row->size - at < part ? row->size - at : part;
        r = decoder_run(&decoder, (unsigned) encoding, is_fatal, (const uint8_t *) row->bytes + at,
                        size, units + n, &got);
        if (r < 0)
            return r;
        assert_true(got <= size + DECODER_MORE_UNITS);
        n += got;
    }
    r = decoder_end(&decoder, (unsigned) encoding, is_fatal, units + n, &got);
    return r < 0 ? r : (int) (n + got);
}

static void test_bytes_are_decoded_in_any_parts(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const size_t n = length(rows[i].text);
        for (size_t part = 1; part <= rows[i].size; part++) {
            uint16_t units[UNITS] = { 0 };
            const int got = decode(&rows[i], false, part, units);
            if (got != (int) n || memcmp(units, rows[i].text, n * sizeof *units) != 0)
                fail_msg("row %zu, %s, in parts of %zu: %d units, U+%04X ...", i, rows[i].label,
                         part, got, units[0]);
        }
    }
}

static void test_bad_sequence_is_fatal_where_it_is_to_be(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint16_t units[UNITS] = { 0 };
        bool is_bad = false;
        for (const char16_t *unit = rows[i].text; *unit != 0; unit++)
            is_bad = is_bad || *unit == 0xfffd;
        const int got = decode(&rows[i], true, 2, units);
        if (is_bad ? got != -EILSEQ : got < 0)
            fail_msg("row %zu, %s: %d", i, rows[i].label, got);
    }
}

static void test_labels_have_their_names(void **state)
{
    (void) state;
    static const char *const labels[][2] = {
        { "utf8", "utf-8" },
        { "unicode-1-1-utf-8", "utf-8" },
        { "l1", "windows-1252" },
        { "ucs-2", "utf-16le" },
        { "unicodefffe", "utf-16be" },
        { "sjis", "shift_jis" },
        { "gb2312", "gbk" },
        { "gb18030", "gb18030" },
        { "x-x-big5", "big5" },
        { "hz-gb-2312", "replacement" },
        { "x-user-defined", "x-user-defined" },
        { "cseucpkdfmtjapanese", "euc-jp" },
        { "logical", "iso-8859-8-i" },
        { "866", "ibm866" },
    };
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        const int found = encoding_find(labels[i][0], strlen(labels[i][0]));
        if (found < 0 || strcmp(encoding_name((unsigned) found), labels[i][1]) != 0)
            fail_msg("%s: %d", labels[i][0], found);
    }
    for (const char *const *none =
             (const char *const[]){ "", "utf", "utf-8x", "UTF-8", "zzz", "0", NULL };
         *none; none++)
        assert_int_equal(encoding_find(*none, strlen(*none)), -1);
    assert_int_equal(encoding_find("866\0", 4), -1);
    assert_null(encoding_name(1000));
}

static void test_encoding_without_decoder_is_refused(void **state)
{
    (void) state;
    struct decoder decoder = { 0 };
    uint16_t units[UNITS];
    size_t got = 0;
    for (unsigned encoding = 0; encoding < 300; encoding++) {
        const char *name = encoding_name(encoding);
        const bool has_one = name && encoding != ENCODING_UTF_8 && encoding != ENCODING_REPLACEMENT;
        assert_int_equal(
            decoder_run(&decoder, encoding, false, (const uint8_t *) "a", 1, units, &got),
            has_one ? 0 : -EINVAL);
        memset(&decoder, 0, sizeof decoder);
    }
}

/* Puts every state that three bytes and a mode can be before each pair of bytes: none may read or write beyond its room. */
static void test_any_state_is_safe(void **state)
{
    (void) state;
    uint32_t random = 1;
    for (unsigned encoding = 0; encoding_name(encoding); encoding++) {
        for (unsigned i = 0; i < 20000; i++) {
            struct decoder decoder;
            uint8_t bytes[4];
            uint16_t units[sizeof bytes + DECODER_MORE_UNITS];
            size_t got = 0;
            random = random * 1664525 + 1013904223;
            memcpy(&decoder, &random, sizeof decoder);
            random = random * 1664525 + 1013904223;
            memcpy(bytes, &random, sizeof bytes);
            if (decoder_run(&decoder, encoding, false, bytes, sizeof bytes, units, &got) < 0)
                continue;
            assert_true(got <= sizeof bytes + DECODER_MORE_UNITS);
            assert_int_equal(decoder_end(&decoder, encoding, false, units, &got), 0);
            assert_true(got <= DECODER_MORE_UNITS);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_are_decoded_in_any_parts),
        cmocka_unit_test(test_bad_sequence_is_fatal_where_it_is_to_be),
        cmocka_unit_test(test_labels_have_their_names),
        cmocka_unit_test(test_encoding_without_decoder_is_refused),
        cmocka_unit_test(test_any_state_is_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
