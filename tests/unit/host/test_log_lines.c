/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events as JSON and as entries of the journal. jansson reads back the same values; with any
 * bytes, an event is one line and one object, and an entry has the fields that it should.
 */
#include <endian.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/log_internal.h"
#include "helper/journal.h"

static const char evil[] = "a\nPRIORITY=0\n\"},{\"level\":\"error\\ \x1b[31m\xc2\x9b\xff\0z";

static struct log_event event_of(const struct log_context *context, const char *text, size_t size)
{
    return (struct log_event){
        .level = LOG_LEVEL_WARNING,
        .time = { .tv_sec = 1700000000, .tv_nsec = 7000000 },
        .name = "test",
        .text = text,
        .size = size,
        .context = context,
    };
}

static json_t *read_back(const struct log_event *event)
{
    char line[LOG_LINE_BYTES];
    json_error_t error;

    size_t size = log_line_json(event, line, sizeof line);
    assert_in_range(size, 2, sizeof line);
    assert_ptr_equal(memchr(line, '\n', size), line + size - 1);
    json_t *object = json_loadb(line, size - 1, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    if (!object)
        fail_msg("%s: %.*s", error.text, (int) size, line);
    return object;
}

static const char *text_in(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void test_json_has_the_fields_that_are_known(void **state)
{
    const struct log_field fields[] = {
        { .name = "path", .text = "/a\"b", .size = 4 },
        { .name = "status", .kind = LOG_FIELD_NUMBER, .number = 200 },
        { .name = "duration_ms", .kind = LOG_FIELD_MILLI, .number = 12005 },
    };
    struct log_event event =
        event_of(LOG_ABOUT(.tenant = "t", .request = 2048, .code = "exception", .worker = 0,
                           .worker_pid = 99, .fields = fields, .n_fields = ARRAY_LEN(fields)),
                 "text", 4);

    (void) state;
    json_t *object = read_back(&event);
    assert_string_equal(text_in(object, "time"), "2023-11-14T22:13:20.007Z");
    assert_string_equal(text_in(object, "level"), "warning");
    assert_string_equal(text_in(object, "program"), "test");
    assert_string_equal(text_in(object, "message"), "text");
    assert_string_equal(text_in(object, "tenant"), "t");
    assert_string_equal(text_in(object, "code"), "exception");
    assert_string_equal(text_in(object, "path"), "/a\"b");
    assert_int_equal(json_integer_value(json_object_get(object, "request")), 2048);
    assert_int_equal(json_integer_value(json_object_get(object, "worker")), 0);
    assert_int_equal(json_integer_value(json_object_get(object, "status")), 200);
    assert_true(json_real_value(json_object_get(object, "duration_ms")) == 12.005);
    assert_int_equal(json_object_size(object), 12);
    json_decref(object);
    event.context = LOG_ABOUT(0);
    object = read_back(&event);
    assert_int_equal(json_object_size(object), 4);
    json_decref(object);
}

static void test_json_keeps_any_bytes_in_their_value(void **state)
{
    const struct log_field field = { .name = "host", .text = evil, .size = sizeof evil - 1 };
    const struct log_event event = event_of(
        LOG_ABOUT(.tenant_level = "info", .fields = &field, .n_fields = 1), evil, sizeof evil - 1);

    (void) state;
    json_t *object = read_back(&event);
    assert_int_equal(json_object_size(object), 6);
    const json_t *message = json_object_get(object, "message");
    static const char expected[] =
        "a\nPRIORITY=0\n\"},{\"level\":\"error\\ \x1b[31m\xc2\x9b\xef\xbf\xbd\0z";
    assert_int_equal(json_string_length(message), sizeof expected - 1);
    assert_memory_equal(json_string_value(message), expected, sizeof expected - 1);
    assert_true(json_equal(message, json_object_get(object, "host")));
    json_decref(object);
}

/* Lines are whole with any amount of text, and with any length of its bytes when escaped. */
static void test_lines_are_whole_whatever_is_in_them(void **state)
{
    static char text[LOG_TEXT_BYTES];
    struct log_field fields[8];
    char line[LOG_LINE_BYTES], entry[JOURNAL_ENTRY_BYTES];
    static const unsigned char bytes[] = { 0, '\n', '"', '\\', 0x1b, 0x80, 0xff, 'x' };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bytes); i++) {
        memset(text, bytes[i], sizeof text);
        for (size_t k = 0; k < ARRAY_LEN(fields); k++) {
            static const char *const names[] = { "a", "b", "c", "d", "e", "f", "g", "h" };
            fields[k] = (struct log_field){ .name = names[k], .text = text, .size = sizeof text };
        }
        const struct log_event event =
            event_of(LOG_ABOUT(.tenant = "t", .fields = fields, .n_fields = ARRAY_LEN(fields)),
                     text, sizeof text);
        json_t *object = read_back(&event);
        assert_string_equal(text_in(object, "tenant"), "t");
        assert_true(json_string_length(json_object_get(object, "message")) > 2000);
        json_decref(object);
        size_t size = log_line_human(&event, line, sizeof line);
        assert_ptr_equal(memchr(line, '\n', size), line + size - 1);
        assert_in_range(journal_encode(&event, entry, sizeof entry), 1, sizeof entry);
    }
}

/* ---- the journal */

/* Finds a field of an entry as journald does; NULL: no such field. *ret_n: how often it is there. */
static char *find_field(const char *entry, size_t size, const char *name, size_t *ret_n)
{
    const char *at = entry, *end = entry + size;
    char *found = NULL;

    *ret_n = 0;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t) (end - at));
        assert_non_null(newline);
        assert_null(memchr(at, '=', (size_t) (newline - at)));
        uint64_t length;
        memcpy(&length, newline + 1, sizeof length);
        length = le64toh(length);
        const char *value = newline + 1 + sizeof length;
        assert_in_range(length, 0, (size_t) (end - value) - 1);
        assert_int_equal(value[length], '\n');
        if ((size_t) (newline - at) == strlen(name) &&
            memcmp(at, name, (size_t) (newline - at)) == 0)
            found = strndup(value, length);
        at = value + length + 1;
        ++*ret_n;
    }
    return found;
}

static void expect_field(const char *entry, size_t size, const char *name, const char *value)
{
    size_t n;
    _cleanup_free_ char *found = find_field(entry, size, name, &n);

    assert_non_null(found);
    assert_string_equal(found, value);
}

static void test_entry_has_fields_in_capitals_and_values_apart(void **state)
{
    const struct log_field field = { .name = "duration_ms", .kind = LOG_FIELD_MILLI, .number = 50 };
    const struct log_event event =
        event_of(LOG_ABOUT(.tenant = "t", .cordon = "c", .request = 5, .code = "x", .worker = 3,
                           .worker_pid = 4, .fields = &field, .n_fields = 1),
                 evil, sizeof evil - 1);
    char entry[JOURNAL_ENTRY_BYTES];
    size_t n;

    (void) state;
    size_t size = journal_encode(&event, entry, sizeof entry);
    expect_field(entry, size, "PRIORITY", "4");
    expect_field(entry, size, "SYSLOG_IDENTIFIER", "test");
    expect_field(entry, size, "TENANT", "t");
    expect_field(entry, size, "CORDON", "c");
    expect_field(entry, size, "REQUEST_ID", "5");
    expect_field(entry, size, "CODE", "x");
    expect_field(entry, size, "WORKER", "3");
    expect_field(entry, size, "WORKER_PID", "4");
    expect_field(entry, size, "DURATION_MS", "0.050");
    expect_field(entry, size, "MESSAGE",
                 "a\nPRIORITY=0\n\"},{\"level\":\"error\\ \\x1b[31m\\xc2\\x9b\\xff\\x00z");
    assert_null(find_field(entry, size, "LEVEL", &n));
    assert_int_equal(n, 10);
}

static void test_field_that_does_not_fit_is_left_out(void **state)
{
    const struct log_event event = event_of(LOG_ABOUT(.tenant = "tenant"), "text", 4);
    char entry[JOURNAL_ENTRY_BYTES];
    size_t n;

    (void) state;
    for (size_t size = 0; size < 200; size++) {
        size_t used = journal_encode(&event, entry, size);
        assert_in_range(used, 0, size);
        free(find_field(entry, used, "TENANT", &n));
    }
    assert_int_equal(n, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_has_the_fields_that_are_known),
        cmocka_unit_test(test_json_keeps_any_bytes_in_their_value),
        cmocka_unit_test(test_lines_are_whole_whatever_is_in_them),
        cmocka_unit_test(test_entry_has_fields_in_capitals_and_values_apart),
        cmocka_unit_test(test_field_that_does_not_fit_is_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
