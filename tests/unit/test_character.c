/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Characters that mislead a reader, each through each output. No output shows one of them
 * unchanged; a program reads the same text back from JSON; all other characters come through
 * unchanged.
 */
#include <event2/event.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/output.h"
#include "common/character.h"
#include "common/cleanup.h"
#include "common/log_internal.h"
#include "config/errors.h"
#include "helper/journal.h"
#include "supervisor/host/notify.h"
#include "supervisor/stats/text.h"

#define OUTPUT_BYTES 65536
#define LAST_CODE 0x10ffffU

/* A list by name, made from the case files and Unicode's own lists, not from the module's table. */
static const struct {
    uint32_t first, last;
} fooling[] = {
    { 0x00, 0x1f },       /* C0: cursor, colours, bells, new lines */
    { 0x7f, 0x9f },       /* DEL, C1: CSI, OSC and NEL in one character */
    { 0xad, 0xad },       /* soft hyphen */
    { 0x34f, 0x34f },     /* combining grapheme joiner */
    { 0x61c, 0x61c },     /* Arabic letter mark */
    { 0x115f, 0x1160 },   /* Hangul fillers */
    { 0x180b, 0x180f },   /* Mongolian variation selectors, vowel separator */
    { 0x200b, 0x200d },   /* zero-width space, non-joiner, joiner */
    { 0x200e, 0x200f },   /* left-to-right and right-to-left marks */
    { 0x2028, 0x2029 },   /* line and paragraph separators */
    { 0x202a, 0x202e },   /* bidirectional embeddings and overrides */
    { 0x2060, 0x2064 },   /* word joiner, invisible operators */
    { 0x2066, 0x2069 },   /* bidirectional isolates */
    { 0x206a, 0x206f },   /* deprecated format characters */
    { 0x3164, 0x3164 },   /* Hangul filler */
    { 0xfe00, 0xfe0f },   /* variation selectors */
    { 0xfeff, 0xfeff },   /* byte order mark */
    { 0xffa0, 0xffa0 },   /* halfwidth Hangul filler */
    { 0xfff9, 0xfffb },   /* interlinear annotations */
    { 0x1d173, 0x1d17a }, /* invisible marks of musical notation */
    { 0xe0001, 0xe0001 }, /* language tag */
    { 0xe0020, 0xe007f }, /* tags: ASCII that nobody sees */
    { 0xe0100, 0xe01ef }, /* more variation selectors */
};

static size_t encode(uint32_t code, char *text)
{
    if (code < 0x80) {
        text[0] = (char) code;
        return 1;
    }
    size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char leads[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    for (size_t i = size - 1; i > 0; i--, code >>= 6)
        text[i] = (char) (0x80 | (code & 0x3f));
    text[0] = (char) (leads[size] | code);
    return size;
}

/* ---- the outputs: each writes the text as it is shown, and returns the size */

typedef size_t (*output_fn)(const char *text, size_t size, char *shown);

static struct log_event event_of(const struct log_context *context, const char *text, size_t size)
{
    return (struct log_event){
        .level = LOG_LEVEL_INFO, .name = "test", .text = text, .size = size, .context = context
    };
}

static size_t as_log_line(const char *text, size_t size, char *shown)
{
    const struct log_event event = event_of(LOG_ABOUT(.tenant = "t"), text, size);

    return log_line_human(&event, shown, OUTPUT_BYTES) - 1; /* without its newline */
}

static size_t as_log_json(const char *text, size_t size, char *shown)
{
    const struct log_field field = { .name = "path", .text = text, .size = size };
    const struct log_event event = event_of(LOG_ABOUT(.fields = &field, .n_fields = 1), text, size);

    return log_line_json(&event, shown, OUTPUT_BYTES) - 1;
}

/* Writes the value of MESSAGE, since the rest of an entry is binary. */
static size_t as_journal_message(const char *text, size_t size, char *shown)
{
    static const char name[] = "MESSAGE\n";
    char entry[JOURNAL_ENTRY_BYTES];
    const struct log_event event = event_of(LOG_ABOUT(0), text, size);
    uint64_t length;

    size_t total = journal_encode(&event, entry, sizeof entry);
    const char *at = memmem(entry, total, name, sizeof name - 1);
    assert_non_null(at);
    memcpy(&length, at + sizeof name - 1, sizeof length);
    memcpy(shown, at + sizeof name - 1 + sizeof length, length);
    return length;
}

static size_t as_metrics_label(const char *text, size_t size, char *shown)
{
    struct text metrics = { 0 };
    char value[256];

    memcpy(value, text, size);
    value[size] = '\0';
    text_count(&metrics, "x", TEXT_LABELS({ "a", value }), 1);
    size_t n = metrics.size - 1;
    memcpy(shown, metrics.data, n);
    text_done(&metrics);
    return n;
}

static size_t as_config_error(const char *text, size_t size, char *shown)
{
    struct config_errors errors = { 0 };
    char value[256];

    memcpy(value, text, size);
    value[size] = '\0';
    config_errors_add(&errors, value, 3, "\"%s\" is not known", value);
    size_t n = errors.size - 1;
    memcpy(shown, errors.text, n);
    config_errors_done(&errors);
    return n;
}

static size_t as_status_line(const char *text, size_t size, char *shown)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    char name[64], value[256];
    struct notify *notify;

    (void) snprintf(name, sizeof name, "@skep-test-character-%d", (int) getpid());
    (void) strcpy(address.sun_path + 1, name + 1);
    _cleanup_fd_ int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t length = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + strlen(name));
    assert_int_equal(bind(manager, (const struct sockaddr *) &address, length), 0);
    assert_int_equal(notify_new(name, &notify), 0);
    memcpy(value, text, size);
    value[size] = '\0';
    notify_status(notify, value);
    ssize_t n = recv(manager, shown, OUTPUT_BYTES, 0);
    (void) notify_free(notify);
    return n > 0 ? (size_t) n : 0;
}

static size_t read_back(FILE *file, char *shown)
{
    rewind(file);
    size_t n = fread(shown, 1, OUTPUT_BYTES, file);
    assert_int_equal(ftruncate(fileno(file), 0), 0);
    rewind(file);
    return n;
}

static size_t as_terminal_text(const char *text, size_t size, char *shown)
{
    _cleanup_free_ char *line = output_line((const uint8_t *) text, size);

    assert_non_null(line);
    size_t n = strlen(line);
    memcpy(shown, line, n);
    return n;
}

static size_t as_terminal_json(const char *text, size_t size, char *shown)
{
    static FILE *file;
    FILE *saved = stdout;

    if (!file)
        file = tmpfile();
    assert_non_null(file);
    stdout = file;
    int r = json_print_line(json_pack("[o]", json_text((const uint8_t *) text, size)));
    stdout = saved;
    assert_int_equal(r, 0);
    return read_back(file, shown) - 1;
}

static const struct {
    const char *name;
    output_fn show;
    bool is_c_string; /* takes no NUL */
} outputs[] = {
    { "log line", as_log_line, false },        { "log line in JSON", as_log_json, false },
    { "journal", as_journal_message, false },  { "metrics label", as_metrics_label, true },
    { "config error", as_config_error, true }, { "status line", as_status_line, true },
    { "terminal", as_terminal_text, false },   { "JSON of skep", as_terminal_json, false },
};

/* Asserts that all that is shown is visible by the lists above, and UTF-8. */
static void assert_fools_nobody(const char *output, const char *shown, size_t size,
                                bool may_newline)
{
    for (size_t i = 0; i < size;) {
        uint32_t code;
        size_t length = character_decode(shown + i, size - i, &code);
        if (length == 0)
            fail_msg("%s: not UTF-8: %.*s", output, (int) size, shown);
        for (size_t k = 0; k < ARRAY_LEN(fooling); k++)
            if (code >= fooling[k].first && code <= fooling[k].last &&
                !(may_newline && (code == '\n' || code == '\t')))
                fail_msg("%s shows U+%04X", output, (unsigned) code);
        i += length;
    }
}

/* ---- tests */

static void test_no_output_shows_a_character_that_fools_its_reader(void **state)
{
    static char shown[OUTPUT_BYTES];

    (void) state;
    for (size_t k = 0; k < ARRAY_LEN(fooling); k++)
        for (uint32_t code = fooling[k].first; code <= fooling[k].last; code++) {
            char text[16] = "a";
            size_t size = 1 + encode(code, text + 1);
            text[size++] = 'b';
            for (size_t i = code == 0; i < ARRAY_LEN(outputs); i++) {
                if (code == 0 && outputs[i].is_c_string)
                    continue;
                /* Entries of the journal and lines of log files end without it. */
                bool may = outputs[i].show == as_journal_message;
                size_t n = outputs[i].show(text, size, shown);
                assert_fools_nobody(outputs[i].name, shown, n, may);
            }
        }
}

static void test_no_output_shows_what_is_not_utf8(void **state)
{
    static const char *const broken[] = {
        "a\x80z", "a\xffz", "a\xc0\x80z", "a\xed\xa0\x80z", "a\xf4\x90\x80\x80z", "a\xe2\x80",
    };
    static char shown[OUTPUT_BYTES];

    (void) state;
    for (size_t k = 0; k < ARRAY_LEN(broken); k++)
        for (size_t i = 0; i < ARRAY_LEN(outputs); i++)
            assert_fools_nobody(outputs[i].name, shown,
                                outputs[i].show(broken[k], strlen(broken[k]), shown), false);
}

static void test_sequences_for_terminals_are_only_text(void **state)
{
    static const char *const sequences[] = {
        "\x1b[2J\x1b[31m",
        "\x1b]0;title\a",
        "\xc2\x9b"
        "31m",
        "\xc2\x9d"
        "52;c;x\xc2\x9c",
        "\x1bP1$r\x1b\\",
        "a\rb\bc",
    };
    static char shown[OUTPUT_BYTES];

    (void) state;
    for (size_t k = 0; k < ARRAY_LEN(sequences); k++)
        for (size_t i = 0; i < ARRAY_LEN(outputs); i++)
            assert_fools_nobody(outputs[i].name, shown,
                                outputs[i].show(sequences[k], strlen(sequences[k]), shown), false);
}

static void test_json_gives_back_each_character_that_it_escapes(void **state)
{
    static char shown[OUTPUT_BYTES];

    (void) state;
    for (size_t k = 0; k < ARRAY_LEN(fooling); k++)
        for (uint32_t code = fooling[k].first; code <= fooling[k].last; code++) {
            char text[8];
            size_t size = encode(code, text);
            size_t n = as_terminal_json(text, size, shown);
            json_t *list = json_loadb(shown, n, JSON_ALLOW_NUL, NULL);
            assert_non_null(list);
            const json_t *value = json_array_get(list, 0);
            assert_int_equal(json_string_length(value), size);
            assert_memory_equal(json_string_value(value), text, size);
            json_decref(list);
            n = as_log_json(text, size, shown);
            json_t *object = json_loadb(shown, n, JSON_ALLOW_NUL, NULL);
            assert_non_null(object);
            value = json_object_get(object, "message");
            assert_int_equal(json_string_length(value), size);
            assert_memory_equal(json_string_value(value), text, size);
            json_decref(object);
        }
}

static void test_other_characters_come_through_as_they_are(void **state)
{
    static const char text[] = "Gr\xc3\xbc\xc3\x9f"
                               "e, \xe6\x97\xa5\xe6\x9c\xac, \xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d, "
                               "\xf0\x9f\x98\x80 \xc2\xa0 caf\x65\xcc\x81";
    static char shown[OUTPUT_BYTES];

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(outputs); i++) {
        size_t n = outputs[i].show(text, strlen(text), shown);
        if (!memmem(shown, n, text, strlen(text)))
            fail_msg("%s shows %.*s", outputs[i].name, (int) n, shown);
    }
}

/* Checks that the module's list has no other characters: private use, spaces, emoji, ends of
 * ranges. */
static void test_only_what_fools_is_invisible(void **state)
{
    static const uint32_t visible[] = {
        0x20,   0x7e,   0xa0,   0xac,   0xae,   0x5d0,  0x200a,  0x2010,  0x2027,  0x202f,   0x2070,
        0x3000, 0xe000, 0xfe10, 0xfefe, 0xfffc, 0xfffd, 0x1f600, 0xdffff, 0xe1000, LAST_CODE
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(visible); i++)
        if (!character_is_visible(visible[i]))
            fail_msg("U+%04X", (unsigned) visible[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_output_shows_a_character_that_fools_its_reader),
        cmocka_unit_test(test_no_output_shows_what_is_not_utf8),
        cmocka_unit_test(test_sequences_for_terminals_are_only_text),
        cmocka_unit_test(test_json_gives_back_each_character_that_it_escapes),
        cmocka_unit_test(test_other_characters_come_through_as_they_are),
        cmocka_unit_test(test_only_what_fools_is_invisible),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
