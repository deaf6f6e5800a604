/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Responses of a handler, which may come from a hostile worker, through the HTTP front.
 */
#include "tests/unit/http/http_fixture.h"

/* A request to a handler that waits. */
struct talk {
    struct fixture *fixture;
    struct client *client;
};

static struct talk talk_start(const char *request)
{
    struct talk talk = { .fixture = fixture_new(&fixture_limits) };

    talk.client = client_new(talk.fixture);
    client_say(talk.fixture, talk.client, request);
    WAIT_UNTIL(talk.fixture, talk.client, talk.fixture->exchange);
    return talk;
}

static void talk_done(const struct talk *talk)
{
    client_free(talk->client);
    fixture_free(talk->fixture);
}

#define _cleanup_talk_ _cleanup_(talk_done)
#define GET_CLOSE "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
#define GET_KEEP "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define HEAD_CLOSE "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

static int respond(const struct talk *talk, unsigned status, const char *name, const char *value,
                   const char *body, bool end)
{
    struct http_field field = { { name, name ? strlen(name) : 0 },
                                { value, value ? strlen(value) : 0 } };
    struct http_response response = { status, &field, name != NULL };

    return http_respond(talk->fixture->exchange, &response, (const uint8_t *) body, strlen(body),
                        end);
}

static int send_body(const struct talk *talk, const char *body, bool end)
{
    return http_send_body(talk->fixture->exchange, (const uint8_t *) body, strlen(body), end);
}

static void wait_closed(const struct talk *talk)
{
    WAIT_UNTIL(talk->fixture, talk->client, talk->client->is_closed);
}

/* The body behind the first head. */
static const char *body_of(const struct talk *talk)
{
    const char *end = strstr(talk->client->data, "\r\n\r\n");

    assert_non_null(end);
    return end + 4;
}

static bool has(const struct talk *talk, const char *text)
{
    return strstr(talk->client->data, text) != NULL;
}

static void test_a_complete_response_has_date_and_length(void **state)
{
    _cleanup_talk_ struct talk talk = talk_start(GET_CLOSE);

    (void) state;
    assert_int_equal(respond(&talk, 201, "X-A", "b", "body", true), 0);
    wait_closed(&talk);
    assert_int_equal(strncmp(talk.client->data, "HTTP/1.1 201 Created\r\nX-A: b\r\nDate: ", 36), 0);
    assert_true(has(&talk, " GMT\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody"));
    assert_false(has(&talk, "Transfer-Encoding"));
    assert_int_equal(client_count(talk.client, "Date: "), 1);
}

static void test_the_workers_date_wins(void **state)
{
    _cleanup_talk_ struct talk talk = talk_start(GET_CLOSE);

    (void) state;
    assert_int_equal(respond(&talk, 200, "DATE", "then", "", true), 0);
    wait_closed(&talk);
    assert_int_equal(client_count(talk.client, "Date: "), 0);
    assert_true(has(&talk, "DATE: then\r\n"));
}

static void test_a_response_of_unknown_length_is_chunked(void **state)
{
    _cleanup_talk_ struct talk talk = talk_start(GET_CLOSE);

    (void) state;
    assert_int_equal(respond(&talk, 200, NULL, NULL, "first", false), 0);
    assert_true(http_head_sent(talk.fixture->exchange));
    assert_int_equal(respond(&talk, 200, NULL, NULL, "again", false), -EALREADY);
    assert_int_equal(send_body(&talk, "", false), 0); /* no chunk, which would be the last */
    assert_int_equal(send_body(&talk, "0123456789abcdef0", false), 0);
    assert_int_equal(send_body(&talk, "", true), 0);
    wait_closed(&talk);
    assert_true(has(&talk, "Transfer-Encoding: chunked\r\n"));
    assert_false(has(&talk, "Content-Length"));
    assert_string_equal(body_of(&talk), "5\r\nfirst\r\n11\r\n0123456789abcdef0\r\n0\r\n\r\n");
}

static void test_the_last_part_and_the_end_go_together(void **state)
{
    _cleanup_talk_ struct talk talk = talk_start(GET_CLOSE);

    (void) state;
    assert_int_equal(respond(&talk, 200, NULL, NULL, "", false), 0);
    assert_int_equal(send_body(&talk, "x", true), 0);
    wait_closed(&talk);
    assert_string_equal(body_of(&talk), "1\r\nx\r\n0\r\n\r\n");
}

static void test_an_announced_length_is_kept_to(void **state)
{
    _cleanup_talk_ struct talk talk = talk_start(GET_CLOSE);

    (void) state;
    assert_int_equal(respond(&talk, 200, "content-length", "6", "abc", false), 0);
    assert_int_equal(send_body(&talk, "def", true), 0);
    wait_closed(&talk);
    assert_int_equal(client_count(talk.client, "Content-Length: 6\r\n"), 1);
    assert_false(has(&talk, "content-length"));
    assert_string_equal(body_of(&talk), "abcdef");
}

static void test_a_body_longer_than_announced_is_cut_off(void **state)
{
    _cleanup_talk_ struct talk talk = talk_start(GET_KEEP);

    (void) state;
    assert_int_equal(respond(&talk, 200, "Content-Length", "6", "abc", false), 0);
    assert_int_equal(send_body(&talk, "defg", false), -EBADMSG);
    wait_closed(&talk);
    assert_string_equal(body_of(&talk), "abc");
    assert_int_equal(talk.fixture->gone, 0);
}

static void test_a_body_shorter_than_announced_is_cut_off(void **state)
{
    _cleanup_talk_ struct talk talk = talk_start(GET_KEEP);

    (void) state;
    assert_int_equal(respond(&talk, 200, "Content-Length", "6", "abc", false), 0);
    assert_int_equal(send_body(&talk, "de", true), -EBADMSG);
    wait_closed(&talk);
    assert_string_equal(body_of(&talk), "abc");
}

static const struct {
    const char *why;
    unsigned status;
    struct http_text name;
    struct http_text value;
} unsendable[] = {
    { "informational status", 101, TEXT("A"), TEXT("b") },
    { "status 0", 0, TEXT("A"), TEXT("b") },
    { "status 600", 600, TEXT("A"), TEXT("b") },
    { "status 4294967295", UINT32_MAX, TEXT("A"), TEXT("b") },
    { "empty name", 200, TEXT(""), TEXT("b") },
    { "name with a colon", 200, TEXT("A:"), TEXT("b") },
    { "name with a space", 200, TEXT("A "), TEXT("b") },
    { "name with a line end", 200, TEXT("A\r\nB"), TEXT("b") },
    { "name with a high byte", 200, TEXT("A\xe9"), TEXT("b") },
    { "value with CR LF", 200, TEXT("A"), TEXT("b\r\nC: d") },
    { "value with LF", 200, TEXT("A"), TEXT("b\nC: d") },
    { "value with CR", 200, TEXT("A"), TEXT("b\rC: d") },
    { "value with NUL", 200, TEXT("A"), TEXT("b\0c") },
    { "value with a control character", 200, TEXT("A"), TEXT("\x1b") },
    { "value with DEL", 200, TEXT("A"), TEXT("\x7f") },
    { "hop-by-hop field with CR LF", 200, TEXT("Connection"), TEXT("a\r\nb") },
    { "length is no number", 200, TEXT("Content-Length"), TEXT("4x") },
    { "length is negative", 200, TEXT("Content-Length"), TEXT("-4") },
    { "length is a list", 200, TEXT("Content-Length"), TEXT("4, 4") },
    { "length does not match", 200, TEXT("Content-Length"), TEXT("5") },
    { "length is too short", 200, TEXT("Content-Length"), TEXT("3") },
    { "length is huge", 200, TEXT("Content-Length"), TEXT("18446744073709551620") },
};

static void test_an_unsendable_response_is_refused_and_the_next_can_be_sent(void **state)
{
    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(unsendable); i++) {
        _cleanup_talk_ struct talk talk = talk_start(GET_KEEP GET_CLOSE);
        struct http_field field = { unsendable[i].name, unsendable[i].value };
        struct http_response response = { unsendable[i].status, &field, 1 };

        if (http_respond(talk.fixture->exchange, &response, (const uint8_t *) "body", 4, true) !=
            -EBADMSG)
            fail_msg("%s", unsendable[i].why);
        http_fail(talk.fixture->exchange, ERROR_BAD_RESPONSE, 0);
        talk.fixture->exchange = NULL;
        WAIT_UNTIL(talk.fixture, talk.client, talk.fixture->exchange);
        assert_int_equal(respond(&talk, 200, NULL, NULL, "next", true), 0);
        wait_closed(&talk);
        assert_int_equal(client_status(talk.client), 502);
        assert_true(has(&talk, "Skep-Error: bad_response\r\n"));
        assert_int_equal(client_count(talk.client, "HTTP/1.1 "), 2);
        assert_null(strstr(talk.client->data, "C: d"));
    }
}

static void test_two_lengths_are_refused(void **state)
{
    static const struct http_field fields[] = {
        { TEXT("Content-Length"), TEXT("4") },
        { TEXT("content-length"), TEXT("4") },
    };
    struct http_response response = { 200, fields, 2 };
    _cleanup_talk_ struct talk talk = talk_start(GET_CLOSE);

    (void) state;
    assert_int_equal(
        http_respond(talk.fixture->exchange, &response, (const uint8_t *) "body", 4, true),
        -EBADMSG);
}

static void test_a_head_that_is_too_large_is_refused(void **state)
{
    _cleanup_free_ char *value = malloc(HTTP_RESPONSE_HEAD_MAX_BYTES + 1);
    _cleanup_talk_ struct talk talk = talk_start(GET_CLOSE);

    (void) state;
    memset(value, 'x', HTTP_RESPONSE_HEAD_MAX_BYTES);
    value[HTTP_RESPONSE_HEAD_MAX_BYTES] = '\0';
    assert_int_equal(respond(&talk, 200, "A", value, "", true), -EBADMSG);
    value[HTTP_RESPONSE_HEAD_MAX_BYTES - 1000] = '\0';
    assert_int_equal(respond(&talk, 200, "A", value, "", true), 0);
    wait_closed(&talk);
    assert_true(has(&talk, value));
}

static void test_fields_that_only_the_front_may_set_are_dropped(void **state)
{
    static const struct http_field fields[] = {
        { TEXT("Connection"), TEXT("keep-alive, x-a") },
        { TEXT("keep-alive"), TEXT("timeout=1") },
        { TEXT("Transfer-Encoding"), TEXT("gzip") },
        { TEXT("Upgrade"), TEXT("h2c") },
        { TEXT("Proxy-Connection"), TEXT("x") },
        { TEXT("Trailer"), TEXT("x") },
        { TEXT("TE"), TEXT("x") },
        { TEXT("SKEP-error"), TEXT("quarantined") },
        { TEXT("Server"), TEXT("theirs") },
        { TEXT("Set-Cookie"), TEXT("a=1") },
        { TEXT("Set-Cookie"), TEXT("b=\xe9\t2") },
    };
    struct http_response response = { 200, fields, ARRAY_LEN(fields) };
    _cleanup_talk_ struct talk talk = talk_start(GET_CLOSE);

    (void) state;
    assert_int_equal(http_respond(talk.fixture->exchange, &response, NULL, 0, true), 0);
    wait_closed(&talk);
    assert_int_equal(strncmp(talk.client->data,
                             "HTTP/1.1 200 OK\r\nServer: theirs\r\nSet-Cookie: a=1\r\n"
                             "Set-Cookie: b=\xe9\t2\r\nDate: ",
                             strlen("HTTP/1.1 200 OK\r\nServer: theirs\r\nSet-Cookie: a=1\r\n"
                                    "Set-Cookie: b=\xe9\t2\r\nDate: ")),
                     0);
    assert_true(has(&talk, "GMT\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
}

static void test_head_gets_the_length_but_no_body(void **state)
{
    _cleanup_talk_ struct talk given = talk_start(HEAD_CLOSE);
    _cleanup_talk_ struct talk counted = talk_start(HEAD_CLOSE);
    _cleanup_talk_ struct talk streamed = talk_start(HEAD_CLOSE);

    (void) state;
    assert_int_equal(respond(&given, 200, "Content-Length", "1000", "", true), 0);
    wait_closed(&given);
    assert_true(has(&given, "Content-Length: 1000\r\n"));
    assert_string_equal(body_of(&given), "");
    assert_int_equal(respond(&counted, 200, NULL, NULL, "body", true), 0);
    wait_closed(&counted);
    assert_true(has(&counted, "Content-Length: 4\r\n"));
    assert_string_equal(body_of(&counted), "");
    assert_int_equal(respond(&streamed, 200, NULL, NULL, "body", false), 0);
    assert_int_equal(send_body(&streamed, "more", true), 0);
    wait_closed(&streamed);
    assert_false(has(&streamed, "Transfer-Encoding"));
    assert_string_equal(body_of(&streamed), "");
}

static void test_205_has_no_body_and_says_so(void **state)
{
    _cleanup_talk_ struct talk talk = talk_start(GET_KEEP GET_CLOSE);

    (void) state;
    assert_int_equal(respond(&talk, 205, "Content-Length", "4", "body", true), 0);
    talk.fixture->exchange = NULL;
    WAIT_UNTIL(talk.fixture, talk.client, talk.fixture->exchange);
    assert_int_equal(respond(&talk, 205, NULL, NULL, "some", false), 0);
    assert_int_equal(send_body(&talk, "more", true), 0);
    wait_closed(&talk);
    assert_int_equal(client_count(talk.client, "HTTP/1.1 205 Reset Content\r\n"), 2);
    assert_int_equal(client_count(talk.client, "Content-Length: 0\r\n"), 2);
    assert_false(has(&talk, "body") || has(&talk, "some") || has(&talk, "more"));
    assert_false(has(&talk, "chunked"));
}

static void test_426_says_what_to_upgrade_to_and_no_other_answer_does(void **state)
{
    static const struct http_field fields[] = {
        { TEXT("Upgrade"), TEXT("websocket, HTTP/2.0") },
        { TEXT("Connection"), TEXT("upgrade, x-a") },
    };
    static const unsigned statuses[] = { 426, 200, 426 };
    static const char *const connections[] = { "Connection: upgrade\r\n", NULL,
                                               "Connection: close, upgrade\r\n" };
    _cleanup_talk_ struct talk talk = talk_start(GET_KEEP GET_KEEP GET_CLOSE);

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        struct http_response response = { statuses[i], fields, ARRAY_LEN(fields) };
        struct http_exchange *exchange;

        WAIT_UNTIL(talk.fixture, talk.client, talk.fixture->exchange);
        exchange = TAKE_PTR(talk.fixture->exchange);
        assert_int_equal(http_respond(exchange, &response, NULL, 0, true), 0);
    }
    wait_closed(&talk);
    assert_int_equal(client_count(talk.client, "Upgrade: websocket, HTTP/2.0\r\n"), 2);
    assert_int_equal(client_count(talk.client, "Connection: "), 2);
    for (size_t i = 0; i < ARRAY_LEN(connections); i++)
        if (connections[i])
            assert_int_equal(client_count(talk.client, connections[i]), 1);
}

static void test_204_and_304_have_no_body(void **state)
{
    _cleanup_talk_ struct talk no_content = talk_start(GET_KEEP GET_CLOSE);
    _cleanup_talk_ struct talk not_modified = talk_start(GET_CLOSE);

    (void) state;
    assert_int_equal(respond(&no_content, 204, "Content-Length", "4", "body", true), 0);
    no_content.fixture->exchange = NULL;
    WAIT_UNTIL(no_content.fixture, no_content.client, no_content.fixture->exchange);
    assert_int_equal(respond(&no_content, 204, NULL, NULL, "", true), 0);
    wait_closed(&no_content);
    assert_int_equal(client_count(no_content.client, "HTTP/1.1 204 No Content\r\n"), 2);
    assert_false(has(&no_content, "Content-Length"));
    assert_false(has(&no_content, "body"));
    assert_int_equal(respond(&not_modified, 304, "Content-Length", "4", "", true), 0);
    wait_closed(&not_modified);
    assert_true(has(&not_modified, "Content-Length: 4\r\n"));
    assert_string_equal(body_of(&not_modified), "");
}

static void test_http10_gets_the_end_by_close_and_a_reset_if_it_is_cut_off(void **state)
{
    _cleanup_talk_ struct talk whole =
        talk_start("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    _cleanup_talk_ struct talk cut = talk_start("GET / HTTP/1.0\r\n\r\n");

    (void) state;
    assert_int_equal(respond(&whole, 200, NULL, NULL, "one", false), 0);
    assert_int_equal(send_body(&whole, "two", true), 0);
    wait_closed(&whole);
    assert_false(has(&whole, "chunked"));
    assert_true(has(&whole, "Connection: close\r\n"));
    assert_string_equal(body_of(&whole), "onetwo");
    assert_false(whole.client->is_reset);
    assert_int_equal(respond(&cut, 200, NULL, NULL, "one", false), 0);
    WAIT_UNTIL(cut.fixture, cut.client, has(&cut, "one"));
    http_fail(cut.fixture->exchange, ERROR_WORKER_CRASHED, 0);
    wait_closed(&cut);
    assert_true(cut.client->is_reset);
}

static void test_http10_keep_alive_is_confirmed_when_the_length_is_known(void **state)
{
    _cleanup_talk_ struct talk talk = talk_start("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"
                                                 "GET / HTTP/1.0\r\n\r\n");

    (void) state;
    assert_int_equal(respond(&talk, 200, NULL, NULL, "one", true), 0);
    talk.fixture->exchange = NULL;
    WAIT_UNTIL(talk.fixture, talk.client, talk.fixture->exchange);
    assert_int_equal(respond(&talk, 200, NULL, NULL, "two", true), 0);
    wait_closed(&talk);
    assert_int_equal(client_count(talk.client, "Connection: keep-alive\r\n"), 1);
    assert_int_equal(client_count(talk.client, "Connection: close\r\n"), 1);
}

static void test_a_failure_has_code_status_and_retry_after(void **state)
{
    (void) state;
    for (enum error_code code = ERROR_BAD_REQUEST; code < ERROR_CODES; code++) {
        _cleanup_talk_ struct talk talk = talk_start(GET_CLOSE);
        const struct error_info *info = error_info(code);
        char expected[512];

        http_fail(talk.fixture->exchange, code, code == ERROR_QUARANTINED ? 60 : 0);
        wait_closed(&talk);
        assert_int_equal(client_status(talk.client), info->status);
        (void) snprintf(expected, sizeof(expected), "Skep-Error: %s\r\n", info->code);
        assert_true(has(&talk, expected));
        assert_true(has(&talk, "Content-Type: application/problem+json\r\n"));
        assert_int_equal(has(&talk, "Retry-After: 60\r\n"), code == ERROR_QUARANTINED);
        (void) snprintf(
            expected, sizeof(expected),
            "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u,\"code\":\"%s\"}\n",
            info->title, info->status, info->code);
        assert_string_equal(body_of(&talk), expected);
    }
}

static void test_a_failure_after_the_head_cuts_the_body_off(void **state)
{
    _cleanup_talk_ struct talk talk = talk_start(GET_KEEP);

    (void) state;
    assert_int_equal(respond(&talk, 200, NULL, NULL, "part", false), 0);
    http_fail(talk.fixture->exchange, ERROR_WORKER_CRASHED, 0);
    wait_closed(&talk);
    assert_string_equal(body_of(&talk), "4\r\npart\r\n");
    assert_int_equal(talk.fixture->gone, 0);
}

static void test_body_before_a_head_is_refused(void **state)
{
    _cleanup_talk_ struct talk talk = talk_start(GET_CLOSE);

    (void) state;
    assert_int_equal(send_body(&talk, "x", false), -EINVAL);
    assert_false(http_head_sent(talk.fixture->exchange));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_complete_response_has_date_and_length),
        cmocka_unit_test(test_the_workers_date_wins),
        cmocka_unit_test(test_a_response_of_unknown_length_is_chunked),
        cmocka_unit_test(test_the_last_part_and_the_end_go_together),
        cmocka_unit_test(test_an_announced_length_is_kept_to),
        cmocka_unit_test(test_a_body_longer_than_announced_is_cut_off),
        cmocka_unit_test(test_a_body_shorter_than_announced_is_cut_off),
        cmocka_unit_test(test_an_unsendable_response_is_refused_and_the_next_can_be_sent),
        cmocka_unit_test(test_two_lengths_are_refused),
        cmocka_unit_test(test_a_head_that_is_too_large_is_refused),
        cmocka_unit_test(test_fields_that_only_the_front_may_set_are_dropped),
        cmocka_unit_test(test_head_gets_the_length_but_no_body),
        cmocka_unit_test(test_204_and_304_have_no_body),
        cmocka_unit_test(test_205_has_no_body_and_says_so),
        cmocka_unit_test(test_426_says_what_to_upgrade_to_and_no_other_answer_does),
        cmocka_unit_test(test_http10_gets_the_end_by_close_and_a_reset_if_it_is_cut_off),
        cmocka_unit_test(test_http10_keep_alive_is_confirmed_when_the_length_is_known),
        cmocka_unit_test(test_a_failure_has_code_status_and_retry_after),
        cmocka_unit_test(test_a_failure_after_the_head_cuts_the_body_off),
        cmocka_unit_test(test_body_before_a_head_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
