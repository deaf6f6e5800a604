/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "proto/head.h"
#include "supervisor/requests/trace_context.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"
#define PARENT "00-" TRACE "-" SPAN "-01"

static struct http_text text_of(const char *text)
{
    return (struct http_text){ text, strlen(text) };
}

static struct call_text call_text_of(const char *text)
{
    return (struct call_text){ text, strlen(text) };
}

static void test_what_is_valid_and_what_is_not(void **state)
{
    static const char *const valid[] = {
        PARENT,
        "00-" TRACE "-" SPAN "-00",
        "00-" TRACE "-" SPAN "-ff",
        "01-" TRACE "-" SPAN "-01",
        "cc-" TRACE "-" SPAN "-01-what-comes-later",
    };
    static const char *const invalid[] = {
        "",
        "00",
        PARENT "-x",
        PARENT " ",
        "ff-" TRACE "-" SPAN "-01",
        "01-" TRACE "-" SPAN "-01x",
        "0x-" TRACE "-" SPAN "-01",
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01",
        "00-" TRACE "_" SPAN "-01",
        "00-" TRACE "-" SPAN "-0g",
        "00-" TRACE "-" SPAN "-1",
    };
    struct trace_span span;
    char text[TRACE_PARENT_BYTES + 1];

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(valid); i++)
        assert_true(trace_parse(text_of(valid[i]), &span));
    for (size_t i = 0; i < ARRAY_LEN(invalid); i++)
        assert_false(trace_parse(text_of(invalid[i]), &span));
    assert_true(trace_parse(text_of(PARENT), &span));
    trace_write(&span, text);
    assert_string_equal(text, PARENT);
    assert_true(trace_parse(text_of("00-" TRACE "-" SPAN "-fe"), &span));
    trace_write(&span, text);
    assert_string_equal(text,
                        "00-" TRACE "-" SPAN "-00"); /* bits that are not known do not go on */
}

static struct trace_span begin(const char *value, size_t n)
{
    const struct http_field fields[] = {
        { text_of("TraceParent"), text_of(value) },
        { text_of("traceparent"), text_of(value) },
    };
    const struct http_request head = { .fields = fields, .n_fields = n };
    struct trace_span span;

    trace_begin(&head, &span);
    return span;
}

static const char *told(const struct trace_span *span, const char *name)
{
    static struct trace_texts texts;
    struct log_field fields[TRACE_LOG_FIELDS];
    size_t n = trace_log_fields(span, &texts, fields);

    for (size_t i = 0; i < n; i++)
        if (strcmp(fields[i].name, name) == 0)
            return fields[i].text;
    return NULL;
}

static void test_a_request_is_a_span_of_its_clients_trace_or_of_a_new_one(void **state)
{
    struct trace_span span = begin(PARENT, 1), other;

    (void) state;
    assert_string_equal(told(&span, "trace"), TRACE);
    assert_string_equal(told(&span, "parent"), SPAN);
    assert_string_not_equal(told(&span, "span"), SPAN);
    span = begin("", 0);
    other = begin("nonsense", 1);
    assert_true(span.is_on && span.is_sampled && other.is_on);
    assert_null(told(&span, "parent"));
    assert_memory_not_equal(span.trace, other.trace, sizeof span.trace);
    assert_memory_not_equal(span.id, other.id, sizeof span.id);
    span = begin(PARENT, 2); /* which of both would be anybody's guess */
    assert_string_not_equal(told(&span, "trace"), TRACE);
}

/* ---- calls */

/* Packs the head of a request with so many tracestate headers. */
static size_t pack(uint8_t *memory, unsigned n, const char *state)
{
    struct head_writer to = head_write(memory, HEAD_REQUEST_TEXTS + 2 * n);

    (void) head_add(&to, "GET", 3);
    (void) head_add(&to, "http://a.test/", 14);
    for (unsigned i = 0; i < n; i++) {
        (void) head_add(&to, "TraceState", 10);
        (void) head_add(&to, state, strlen(state));
    }
    return (size_t) (to.at - memory);
}

static bool is_field(const struct call_field *field, const char *name, const char *value)
{
    return field->name.size == strlen(name) && memcmp(field->name.data, name, strlen(name)) == 0 &&
           field->value.size == strlen(value) &&
           memcmp(field->value.data, value, strlen(value)) == 0;
}

static void test_a_call_gets_the_header_with_a_span_of_its_own(void **state)
{
    struct trace_span span = begin(PARENT, 1);
    struct call_field fields[HEAD_FIELDS_MAX];
    struct trace_call room;
    uint8_t memory[4096];

    (void) state;
    size_t size = pack(memory, 2, "a=1");
    assert_int_equal(trace_call(&span, memory, size, fields, 0, &room), 3);
    assert_true(is_field(&fields[0], "traceparent", room.value));
    assert_true(is_field(&fields[1], "tracestate", "a=1"));
    assert_true(room.span.is_on && !room.span.is_foreign);
    assert_memory_equal(room.span.parent, span.id, sizeof span.id);
    assert_memory_equal(room.span.trace, span.trace, sizeof span.trace);
    assert_memory_not_equal(room.span.id, span.id, sizeof span.id);
    /* A state belongs to the client's trace, and a long one stays behind. */
    struct trace_span fresh = begin("", 0);
    assert_int_equal(trace_call(&fresh, memory, size, fields, 0, &room), 1);
    char longer[TRACE_STATE_BYTES + 2];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    size = pack(memory, 1, longer);
    assert_int_equal(trace_call(&span, memory, size, fields, 0, &room), 1);
    /* Without a trace nothing is added. */
    const struct trace_span off = { .is_on = false };
    assert_int_equal(trace_call(&off, memory, size, fields, 0, &room), 0);
    assert_false(room.span.is_on);
}

static void test_a_tenants_own_header_stays(void **state)
{
    static const char own[] = "00-11111111111111111111111111111111-2222222222222222-00";
    struct trace_span span = begin(PARENT, 1);
    struct call_field fields[HEAD_FIELDS_MAX] = { { call_text_of("traceparent"),
                                                    call_text_of(own) } };
    struct trace_call room;
    uint8_t memory[4096];
    size_t size = pack(memory, 1, "a=1");

    (void) state;
    assert_int_equal(trace_call(&span, memory, size, fields, 1, &room), 1);
    assert_true(is_field(&fields[0], "traceparent", own));
    assert_true(room.span.is_on && room.span.is_foreign);
    assert_string_equal(told(&room.span, "span"), "2222222222222222");
    fields[0].value = call_text_of("nonsense");
    assert_int_equal(trace_call(&span, memory, size, fields, 1, &room), 1);
    assert_true(is_field(&fields[0], "traceparent", "nonsense"));
    assert_false(room.span.is_on);
    /* One that is only passed on names the span of the call. */
    fields[0].value = call_text_of(PARENT);
    assert_int_equal(trace_call(&span, memory, size, fields, 1, &room), 1);
    assert_true(is_field(&fields[0], "traceparent", room.value));
    assert_memory_equal(room.span.parent, span.id, sizeof span.id);
}

static void test_no_call_is_refused_because_of_the_header(void **state)
{
    struct trace_span span = begin(PARENT, 1);
    struct call_field fields[HEAD_FIELDS_MAX];
    static char value[TRACE_CALL_HEAD_BYTES + 1];
    struct trace_call room;
    uint8_t memory[4096];
    size_t size = pack(memory, 1, "a=1");

    (void) state;
    for (size_t i = 0; i < HEAD_FIELDS_MAX; i++)
        fields[i] = (struct call_field){ call_text_of("a"), call_text_of("b") };
    assert_int_equal(trace_call(&span, memory, size, fields, HEAD_FIELDS_MAX, &room),
                     HEAD_FIELDS_MAX);
    assert_false(room.span.is_on);
    assert_int_equal(trace_call(&span, memory, size, fields, HEAD_FIELDS_MAX - 1, &room),
                     HEAD_FIELDS_MAX);
    assert_true(room.span.is_on);
    memset(value, 'x', sizeof value - 1);
    fields[0].value = call_text_of(value);
    assert_int_equal(trace_call(&span, memory, size, fields, 1, &room), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_valid_and_what_is_not),
        cmocka_unit_test(test_a_request_is_a_span_of_its_clients_trace_or_of_a_new_one),
        cmocka_unit_test(test_a_call_gets_the_header_with_a_span_of_its_own),
        cmocka_unit_test(test_a_tenants_own_header_stays),
        cmocka_unit_test(test_no_call_is_refused_because_of_the_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
