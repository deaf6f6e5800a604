/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a request and the head of an answer. tests/integration/test_egress.py has many more by the process itself.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "egress/internal.h"
#include "egress/target.h"

static struct head_text text_of(const char *text)
{
    return (struct head_text){ text, strlen(text) };
}

static int check(const char *method, const char *scheme, const char *host, uint32_t port,
                 const char *path)
{
    const struct target target = { text_of(method), text_of(scheme), text_of(host), text_of(path),
                                   port };
    const char *reason = NULL;

    int r = target_check(&target, &reason);
    assert_int_equal(r == 0, reason == NULL);
    return r;
}

static void test_parts_of_a_request_are_checked(void **state)
{
    (void) state;
    assert_int_equal(check("GET", "https", "example.com", 443, "/"), 0);
    assert_int_equal(check("M-SEARCH", "http", "[::1]", 65535, "/a?b=c"), 0);
    assert_int_equal(check("TRACK", "https", "example.com", 443, "/"), -EINVAL);
    assert_int_equal(check("GET", "ws", "example.com", 443, "/"), -EINVAL);
    assert_int_equal(check("GET", "https", "EXAMPLE.com", 443, "/"), -EINVAL);
    assert_int_equal(check("GET", "https", "example.com.", 443, "/"), -EINVAL);
    assert_int_equal(check("GET", "https", "1.2.3", 443, "/"), -EINVAL);
    assert_int_equal(check("GET", "https", "example.com", 443, "a"), -EINVAL);
    assert_int_equal(check("GET", "https", "example.com", 443, "/\t"), -EINVAL);
    char path[TARGET_PATH_MAX_BYTES + 2];
    memset(path, '/', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(check("GET", "https", "example.com", 443, path), -EINVAL);
    path[sizeof path - 2] = '\0';
    assert_int_equal(check("GET", "https", "example.com", 443, path), 0);
}

static void test_headers_of_the_connection_are_not_the_tenants(void **state)
{
    static const char *const bad[] = {
        "Host",    "CONNECTION", "content-length", "Transfer-Encoding", "te",
        "Trailer", "Upgrade",    "Expect",         "Keep-Alive",        "Proxy-Connection",
        "",        "a b",        "proxy-auth",     "HTTP2-Settings",    "a:",
        "\x80",    "a\r\nb",
    };
    static const char *const good[] = { "Accept", "authorization", "X-Proxy", "Hosts", "~!#" };
    const char *reason;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(target_check_header(text_of(bad[i]), text_of("x"), &reason), -EINVAL);
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_int_equal(target_check_header(text_of(good[i]), text_of("\xe4 \t"), &reason), 0);
    assert_int_equal(target_check_header(text_of("a"), text_of("b\nc"), &reason), -EINVAL);
    assert_int_equal(target_check_header(text_of("a"), text_of("\x7f"), &reason), -EINVAL);
}

static void expect_text(struct head *head, const char *text)
{
    const struct head_text next = head_next(head);

    assert_int_equal(next.size, strlen(text));
    assert_memory_equal(next.data, text, next.size);
}

static void test_the_head_of_an_answer_is_packed(void **state)
{
    static const char *const lines[] = { "Server: x", "A:b:c", "Empty:", "Blank: \t ",
                                         "b:\t1 2\t" };
    _cleanup_(answer_done) struct answer_head answer = { .n_texts = 0 };
    _cleanup_free_ uint8_t *packed = NULL;
    size_t size = 0;
    struct head head;

    (void) state;
    assert_int_equal(answer_add_line(&answer, "Early: 1", 8), 0);
    answer_begin(&answer, "HTTP/1.1 200 OK", 15);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_int_equal(answer_add_line(&answer, lines[i], strlen(lines[i])), 0);
    assert_int_equal(answer_pack(&answer, &packed, &size), 0);
    assert_int_equal(head_open(packed, size, 0, HEAD_FIELDS_MAX, &head), 0);
    assert_int_equal(head.n_texts, 2 * ARRAY_LEN(lines));
    static const char *const texts[] = { "Server", "x",     "A", "b:c", "Empty",
                                         "",       "Blank", "",  "b",   "1 2" };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        expect_text(&head, texts[i]);
}

static void test_the_head_of_an_answer_has_bounds(void **state)
{
    static const char *const bad[] = { "",      "a",      ": b",     " a: b",
                                       "a : b", "a\t: b", "a: \x01", "\xe4: b" };
    _cleanup_(answer_done) struct answer_head answer = { .n_texts = 0 };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(answer_add_line(&answer, bad[i], strlen(bad[i])), -EPROTO);
    for (size_t i = 0; i < EGRESS_FIELDS_MAX; i++)
        assert_int_equal(answer_add_line(&answer, "a: b", 4), 0);
    assert_int_equal(answer_add_line(&answer, "a: b", 4), -EMSGSIZE);
    assert_int_equal(answer_count(&answer, EGRESS_HEAD_MAX_BYTES - 1), 0);
    assert_int_equal(answer_count(&answer, 2), -EMSGSIZE);
    assert_int_equal(answer_count(&answer, SIZE_MAX), -EMSGSIZE);
    assert_int_equal(answer_count(&answer, 1), 0);
    answer_begin(&answer, "HTTP/1.1 200 OK", 15);
    assert_int_equal(answer_count(&answer, 1), -EMSGSIZE);
}

static void test_the_reason_phrase_is_what_stands_behind_the_status(void **state)
{
    static const char *const lines[][2] = {
        { "HTTP/1.1 200 OK", "OK" },
        { "HTTP/1.1 404 Not Found", "Not Found" },
        { "HTTP/1.1 200 ", "" },
        { "HTTP/1.1 200", "" },
        { "HTTP/1.1 200 \xc4\xa4", "\xc4\xa4" },
        { "HTTP/1.1 200 a\x01b", "" },
        { "HTTP/2 200 ", "" },
    };
    _cleanup_(answer_done) struct answer_head answer = { .n_texts = 0 };
    char longest[EGRESS_REASON_MAX_BYTES + 100] = "HTTP/1.1 200 ";

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        answer_begin(&answer, lines[i][0], strlen(lines[i][0]));
        assert_int_equal(answer.reason_bytes, strlen(lines[i][1]));
        assert_memory_equal(answer.reason, lines[i][1], answer.reason_bytes);
    }
    memset(longest + 13, 'a', sizeof longest - 13);
    answer_begin(&answer, longest, sizeof longest);
    assert_int_equal(answer.reason_bytes, EGRESS_REASON_MAX_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_of_a_request_are_checked),
        cmocka_unit_test(test_headers_of_the_connection_are_not_the_tenants),
        cmocka_unit_test(test_the_head_of_an_answer_is_packed),
        cmocka_unit_test(test_the_head_of_an_answer_has_bounds),
        cmocka_unit_test(test_the_reason_phrase_is_what_stands_behind_the_status),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
