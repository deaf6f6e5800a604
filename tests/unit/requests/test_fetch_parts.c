/* SPDX-License-Identifier: Apache-2.0 */
/* supervisor/requests/fetch_parts.h: what of a tenant's fetch goes to egress, and what does not go at all. */
#include "supervisor/requests/fetch_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* needs some of the above */

#include <errno.h>

#include "common/cleanup.h"
#include "egress/program.h"
#include "proto/head.h"

#define TEXT(literal)                  \
    {                                  \
        (literal), sizeof(literal) - 1 \
    }

static const struct call_field field_a = { TEXT("x-a"), TEXT("1") };

/* GET https://a.test/x without a body. */
static struct call_head head_of(const struct call_field *fields, size_t n_fields)
{
    return (struct call_head){
        .method = TEXT("GET"),
        .scheme = TEXT("https"),
        .host = TEXT("a.test"),
        .path = TEXT("/x?y"),
        .port = 443,
        .fields = fields,
        .n_fields = n_fields,
        .end = true,
    };
}

static void take(const struct call_head *head, struct fetch_parts *ret)
{
    const char *reason = "";

    *ret = (struct fetch_parts){ .length = 0 };
    if (fetch_parts_make(head, ret, &reason) < 0)
        fail_msg("%s", reason);
}

static void fail_to_take(const struct call_head *head, const char *expected)
{
    struct fetch_parts parts = { .length = 0 };
    const char *reason = "";

    assert_int_equal(fetch_parts_make(head, &parts, &reason), -EINVAL);
    if (!strstr(reason, expected))
        fail_msg("\"%s\" does not say \"%s\"", reason, expected);
    fetch_parts_done(&parts);
}

static void assert_text(struct head_text text, const char *expected)
{
    assert_int_equal(text.size, strlen(expected));
    assert_memory_equal(text.data, expected, text.size);
}

static void test_parts_are_copied(void **state)
{
    struct call_head head = head_of(&field_a, 1);
    struct fetch_parts parts;
    struct head packed;

    (void) state;
    take(&head, &parts);
    assert_text(parts.target.method, "GET");
    assert_text(parts.target.scheme, "https");
    assert_text(parts.target.host, "a.test");
    assert_text(parts.target.path, "/x?y");
    assert_int_equal(parts.target.port, 443);
    assert_true(parts.is_https && !parts.is_head && !parts.has_body);
    assert_ptr_not_equal(parts.target.host.data, head.host.data);
    assert_int_equal(head_open(parts.head, parts.head_size, 0, EGRESS_FIELDS_MAX, &packed), 0);
    assert_int_equal(packed.n_texts, 2);
    assert_text(head_next(&packed), "x-a");
    assert_text(head_next(&packed), "1");
    struct host_question question = fetch_parts_question(&parts);
    assert_true(question.is_https && question.port == 443 && question.host.size == 6);
    fetch_parts_done(&parts);
    assert_int_equal(parts.memory_bytes, 0);

    head.method = (struct call_text) TEXT("HEAD");
    head.scheme = (struct call_text) TEXT("http");
    take(&head, &parts);
    assert_true(parts.is_head && !parts.is_https);
    fetch_parts_done(&parts);
}

static void test_parts_that_are_none_are_refused(void **state)
{
    static const struct {
        struct call_text method, scheme, host, path;
        uint32_t port;
        const char *reason;
    } rows[] = {
        { TEXT("G T"), TEXT("https"), TEXT("a.test"), TEXT("/"), 443, "the method is none" },
        { TEXT(""), TEXT("https"), TEXT("a.test"), TEXT("/"), 443, "the method is none" },
        { TEXT("CONNECT"), TEXT("https"), TEXT("a.test"), TEXT("/"), 443, "forbidden" },
        { TEXT("trace"), TEXT("https"), TEXT("a.test"), TEXT("/"), 443, "forbidden" },
        { TEXT("GET"), TEXT("HTTPS"), TEXT("a.test"), TEXT("/"), 443, "the scheme" },
        { TEXT("GET"), TEXT("file"), TEXT("a.test"), TEXT("/"), 443, "the scheme" },
        { TEXT("GET"), TEXT("http"), TEXT("A.test"), TEXT("/"), 80, "as a URL shows it" },
        { TEXT("GET"), TEXT("http"), TEXT("a.test."), TEXT("/"), 80, "as a URL shows it" },
        { TEXT("GET"), TEXT("http"), TEXT("a.test@b.test"), TEXT("/"), 80, "the host is none" },
        { TEXT("GET"), TEXT("http"), TEXT("127.1"), TEXT("/"), 80, "the host" },
        { TEXT("GET"), TEXT("http"), TEXT(""), TEXT("/"), 80, "the host is none" },
        { TEXT("GET"), TEXT("http"), TEXT("a.test"), TEXT("/"), 0, "port" },
        { TEXT("GET"), TEXT("http"), TEXT("a.test"), TEXT("/"), 25, "port" },
        { TEXT("GET"), TEXT("http"), TEXT("a.test"), TEXT("/"), 65536, "port" },
        { TEXT("GET"), TEXT("http"), TEXT("a.test"), TEXT(""), 80, "the path" },
        { TEXT("GET"), TEXT("http"), TEXT("a.test"), TEXT("x"), 80, "the path" },
        { TEXT("GET"), TEXT("http"), TEXT("a.test"), TEXT("/#x"), 80, "the path" },
        { TEXT("GET"), TEXT("http"), TEXT("a.test"), TEXT("/ x"), 80, "the path" },
        { TEXT("GET"), TEXT("http"), TEXT("a.test"), TEXT("/\r\nx"), 80, "the path" },
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct call_head head = head_of(NULL, 0);
        head.method = rows[i].method;
        head.scheme = rows[i].scheme;
        head.host = rows[i].host;
        head.path = rows[i].path;
        head.port = rows[i].port;
        fail_to_take(&head, rows[i].reason);
    }
}

static void test_headers_of_skep_do_not_go_out(void **state)
{
    static const struct call_field fields[] = {
        { TEXT("Host"), TEXT("other") },
        { TEXT("connection"), TEXT("x-a") },
        { TEXT("TE"), TEXT("trailers") },
        { TEXT("expect"), TEXT("100-continue") },
        { TEXT("Proxy-Authorization"), TEXT("x") },
        { TEXT("proxy-x"), TEXT("x") },
        { TEXT("transfer-encoding"), TEXT("chunked") },
        { TEXT("Upgrade"), TEXT("h2c") },
        { TEXT("http2-settings"), TEXT("x") },
        { TEXT("keep-alive"), TEXT("1") },
        { TEXT("trailer"), TEXT("x") },
        { TEXT("Skep-Anything"), TEXT("x") },
        { TEXT("skep-request-id"), TEXT("1") },
        { TEXT("x-a"), TEXT("1") },
        { TEXT("content-length"), TEXT("0") },
        { TEXT("cookie"), TEXT("a=b") },
    };
    const struct call_head head = head_of(fields, ARRAY_LEN(fields));
    struct fetch_parts parts;
    struct head packed;

    (void) state;
    take(&head, &parts);
    assert_int_equal(head_open(parts.head, parts.head_size, 0, EGRESS_FIELDS_MAX, &packed), 0);
    assert_int_equal(packed.n_texts, 4);
    assert_text(head_next(&packed), "x-a");
    (void) head_next(&packed);
    assert_text(head_next(&packed), "cookie");
    fetch_parts_done(&parts);
}

static void test_headers_that_are_none_are_refused(void **state)
{
    static const struct call_field fields[] = {
        { TEXT(""), TEXT("x") },       { TEXT("a b"), TEXT("x") },
        { TEXT("x\r\ny"), TEXT("x") }, { TEXT("x"), TEXT("a\r\nhost: b") },
        { TEXT("x"), TEXT("a\x7f") },  { TEXT("connection"), TEXT("a\nb") },
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        const struct call_head head = head_of(&fields[i], 1);
        fail_to_take(&head, "a header");
    }
}

static void test_headers_have_bounds(void **state)
{
    static struct call_field many[EGRESS_FIELDS_MAX + 1];
    static char long_value[EGRESS_HEAD_MAX_BYTES];
    struct fetch_parts parts;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = field_a;
    struct call_head head = head_of(many, EGRESS_FIELDS_MAX);
    take(&head, &parts);
    fetch_parts_done(&parts);
    head.n_fields++;
    fail_to_take(&head, "more than 256");

    memset(long_value, 'x', sizeof long_value);
    struct call_field field = { TEXT("x-a"), { long_value, 0 } };
    field.value.size = EGRESS_HEAD_MAX_BYTES - head_table_bytes(2) - field.name.size;
    head = head_of(&field, 1);
    take(&head, &parts);
    assert_int_equal(parts.head_size, EGRESS_HEAD_MAX_BYTES);
    fetch_parts_done(&parts);
    field.value.size++;
    fail_to_take(&head, "larger than 64 KiB");
}

static void test_the_length_of_a_body_is_known_or_kept(void **state)
{
    static const struct call_field length_10 = { TEXT("Content-Length"), TEXT("10") };
    static const struct call_field bad[] = { { TEXT("content-length"), TEXT("1x") },
                                             { TEXT("content-length"), TEXT("-1") } };
    static const struct call_field twice[] = { { TEXT("content-length"), TEXT("1") },
                                               { TEXT("content-length"), TEXT("1") } };
    struct fetch_parts parts;

    (void) state;
    /* The whole body comes with the head. */
    struct call_head head = head_of(NULL, 0);
    head.body_size = 3;
    take(&head, &parts);
    assert_true(parts.has_body && parts.length == 3);
    fetch_parts_done(&parts);
    /* The body goes on, for nobody knows how long. */
    head.end = false;
    take(&head, &parts);
    assert_true(parts.has_body && parts.length == -1);
    assert_true(fetch_parts_take(&parts, 1000000, false) && fetch_parts_take(&parts, 0, true));
    fetch_parts_done(&parts);
    /* The length is announced, and must be right. */
    head.fields = &length_10;
    head.n_fields = 1;
    take(&head, &parts);
    assert_true(parts.has_body && parts.length == 10);
    assert_true(fetch_parts_take(&parts, 6, false));
    assert_false(fetch_parts_take(&parts, 2, false));
    assert_false(fetch_parts_take(&parts, 0, true));
    assert_true(fetch_parts_take(&parts, 1, true));
    fetch_parts_done(&parts);
    head.body_size = 11;
    fail_to_take(&head, "not as long");
    head.end = true;
    head.body_size = 9;
    fail_to_take(&head, "not as long");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        head.fields = &bad[i];
        fail_to_take(&head, "Content-Length");
    }
    head.fields = twice;
    head.n_fields = 2;
    fail_to_take(&head, "Content-Length");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_are_copied),
        cmocka_unit_test(test_parts_that_are_none_are_refused),
        cmocka_unit_test(test_headers_of_skep_do_not_go_out),
        cmocka_unit_test(test_headers_that_are_none_are_refused),
        cmocka_unit_test(test_headers_have_bounds),
        cmocka_unit_test(test_the_length_of_a_body_is_known_or_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
