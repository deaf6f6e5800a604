/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of the HTTP front: keep-alive, pipelining, bodies and their flow control, clients
 * that leave.
 */
#include "tests/unit/http/http_fixture.h"

#define HELLO "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
#define WAIT "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"
#define REST_BYTES 70000
#define POST(length) "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: " length "\r\n\r\n"

static void answer(struct fixture *fixture)
{
    assert_int_equal(answer_text(TAKE_PTR(fixture->exchange), "done\n", 5), 0);
}

/* --- order --- */

static void test_a_connection_serves_many_requests(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    for (size_t i = 1; i <= 50; i++) {
        client_say(fixture, client, HELLO);
        WAIT_UNTIL(fixture, client, client_count(client, "hello") == i);
    }
    assert_false(client->is_closed);
    assert_int_equal(http_front_connections(fixture->front), 1);
}

static void test_the_next_request_waits_for_the_answer_to_the_one_before(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    client_say(fixture, client, WAIT HELLO WAIT);
    WAIT_UNTIL(fixture, client, fixture->exchange);
    client_say(fixture, client, HELLO); /* in another packet */
    for (int i = 0; i < 100; i++)
        fixture_turn(fixture);
    client_read(client);
    assert_int_equal(client->size, 0);
    answer(fixture);
    WAIT_UNTIL(fixture, client, fixture->exchange);
    answer(fixture);
    WAIT_UNTIL(fixture, client, client_count(client, "hello") == 2);
    assert_int_equal(client_count(client, "done\n"), 2);
    assert_non_null(strstr(strstr(strstr(client->data, "done"), "hello"), "done"));
}

static void test_pipelined_answers_do_not_pile_up_for_a_client_that_does_not_read(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);
    size_t answered = 0;

    (void) state;
    for (int i = 0; i < 60; i++)
        client_say(fixture, client, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 200; i++)
        fixture_turn(fixture);
    for (const char *p = fixture->seen; (p = strstr(p, "method")); p++)
        answered++;
    assert_in_range(answered, 1, 20);
    for (size_t total = 0; total < 60 * sizeof(fixture->body);) {
        fixture_turn(fixture);
        client_read(client);
        total += client->size;
        client->size = 0;
        assert_false(client->is_closed);
    }
}

static void test_a_handler_that_returns_nothing_is_overloaded(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    client_say(fixture, client, "GET /null HTTP/1.1\r\nHost: a\r\n\r\n" HELLO);
    WAIT_UNTIL(fixture, client, client_count(client, "hello") == 1);
    assert_int_equal(client_status(client), 503);
}

/* --- request bodies --- */

static void test_the_handler_gets_no_more_than_it_granted(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    fixture->grant = 0;
    client_say(fixture, client, POST("10") "0123456789");
    WAIT_UNTIL(fixture, client, fixture->exchange);
    for (int i = 0; i < 20; i++)
        fixture_turn(fixture);
    assert_int_equal(fixture->body_size, 0);
    http_grant(fixture->exchange, 4);
    assert_int_equal(fixture->body_size, 0); /* http_grant itself does not call back */
    WAIT_UNTIL(fixture, client, fixture->body_size == 4);
    http_grant(fixture->exchange, 6);
    WAIT_UNTIL(fixture, client, fixture->body_ended);
    assert_memory_equal(fixture->body, "0123456789", 10);
    answer(fixture);
    client_say(fixture, client, HELLO);
    WAIT_UNTIL(fixture, client, client_count(client, "hello") == 1);
}

static void test_chunks_are_held_back_without_a_grant_but_the_end_is_not(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    fixture->grant = 2;
    client_say(fixture, client,
               "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    WAIT_UNTIL(fixture, client, fixture->body_size == 2);
    for (int i = 0; i < 20; i++)
        fixture_turn(fixture);
    assert_int_equal(fixture->body_size, 2);
    http_grant(fixture->exchange, 1);
    WAIT_UNTIL(fixture, client, fixture->body_size == 3);
    client_say(fixture, client, "0\r\n\r\n");
    WAIT_UNTIL(fixture, client, fixture->body_ended);
    assert_memory_equal(fixture->body, "abc", 3);
}

static void test_a_client_is_not_read_beyond_the_grant(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);
    static char body[65536];
    size_t sent = 0;
    ssize_t n;

    (void) state;
    fixture->grant = 1;
    client_say(fixture, client, POST("1000000000"));
    do { /* until the socket buffers are full */
        for (int i = 0; i < 20; i++)
            fixture_turn(fixture);
        n = send(client->fd, body, sizeof(body), MSG_NOSIGNAL);
        sent += n > 0 ? (size_t) n : 0;
    } while (n > 0 && sent < 100000000);
    assert_true(sent < 100000000);
    assert_int_equal(fixture->body_size, 1);
}

static void test_100_continue_is_sent_when_the_handler_wants_the_body(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    fixture->grant = 0;
    client_say(fixture, client,
               "POST /wait HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n"
               "Content-Length: 3\r\n\r\n");
    WAIT_UNTIL(fixture, client, fixture->exchange);
    for (int i = 0; i < 20; i++)
        fixture_turn(fixture);
    client_read(client);
    assert_int_equal(client->size, 0);
    http_grant(fixture->exchange, 1);
    http_grant(fixture->exchange, 10);
    WAIT_UNTIL(fixture, client, client->size > 0);
    assert_string_equal(client->data, "HTTP/1.1 100 Continue\r\n\r\n");
    client_say(fixture, client, "abc");
    WAIT_UNTIL(fixture, client, fixture->body_ended);
    answer(fixture);
    client_say(fixture, client, HELLO);
    WAIT_UNTIL(fixture, client, client_count(client, "hello") == 1);
}

static void test_an_answer_instead_of_100_continue_closes(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    fixture->grant = 0;
    client_say(fixture, client,
               "POST /wait HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
               "Content-Length: 3\r\n\r\n");
    WAIT_UNTIL(fixture, client, fixture->exchange);
    http_fail(TAKE_PTR(fixture->exchange), ERROR_NO_ROUTE, 0);
    WAIT_UNTIL(fixture, client, client->is_closed);
    assert_int_equal(client_status(client), 404);
    assert_non_null(strstr(client->data, "Connection: close\r\n"));
}

static void test_a_small_unread_body_is_skipped_and_the_connection_kept(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    fixture->grant = 0;
    client_say(fixture, client, POST("10") "0123");
    WAIT_UNTIL(fixture, client, fixture->exchange);
    http_fail(TAKE_PTR(fixture->exchange), ERROR_NO_ROUTE, 0);
    WAIT_UNTIL(fixture, client, client->size > 0);
    client_say(fixture, client, "456789" HELLO);
    WAIT_UNTIL(fixture, client, client_count(client, "hello") == 1);
    assert_int_equal(client_status(client), 404);
    assert_null(strstr(client->data, "Connection: close"));
    assert_int_equal(fixture->body_size, 0);
}

static void test_a_large_unread_body_closes_and_the_client_sees_the_answer(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);
    static char body[500000];

    (void) state;
    fixture->grant = 0;
    client_say(fixture, client, POST("500000"));
    WAIT_UNTIL(fixture, client, fixture->exchange);
    http_fail(TAKE_PTR(fixture->exchange), ERROR_BODY_TOO_LARGE, 0);
    client_send(fixture, client, body, sizeof(body));
    WAIT_UNTIL(fixture, client, client->is_closed);
    assert_int_equal(client_status(client), 413);
    assert_non_null(strstr(client->data, "Connection: close\r\n"));
    assert_false(client->is_reset);
}

/* An answer that begins before its request body has come, and ends before that was taken. */
static void answer_early(struct fixture *fixture, struct client *client, unsigned bytes)
{
    static const struct http_response response = { .status = 200 };
    static char body[REST_BYTES];
    char head[128];

    (void) snprintf(head, sizeof head, POST("%u"), bytes);
    fixture->grant = 0;
    client_say(fixture, client, head);
    WAIT_UNTIL(fixture, client, fixture->exchange);
    assert_int_equal(
        http_respond(fixture->exchange, &response, (const uint8_t *) "early", 5, false), 0);
    WAIT_UNTIL(fixture, client, client_count(client, "early") == 1);
    client_send(fixture, client, body, bytes);
    assert_int_equal(http_send_body(TAKE_PTR(fixture->exchange), NULL, 0, true), 0);
}

static void
test_an_answer_before_a_body_that_may_not_be_taken_says_that_it_is_the_last(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    answer_early(fixture, client, 70000);
    client_say(fixture, client, HELLO);
    WAIT_UNTIL(fixture, client, client->is_closed);
    assert_non_null(strstr(client->data, "Connection: close\r\n"));
    assert_int_equal(client_count(client, "hello"), 0);
    assert_false(client->is_reset);
}

static void
test_an_answer_before_a_body_that_is_taken_in_any_case_keeps_the_connection(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    answer_early(fixture, client, 60000);
    client_say(fixture, client, HELLO);
    WAIT_UNTIL(fixture, client, client_count(client, "hello") == 1);
    assert_null(strstr(client->data, "Connection: close"));
}

static void test_a_malformed_chunk_in_the_middle_is_told_to_the_handler(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    client_say(fixture, client,
               "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
    WAIT_UNTIL(fixture, client, fixture->body_size == 1);
    client_say(fixture, client, "x");
    WAIT_UNTIL(fixture, client, client->is_closed);
    assert_int_equal(fixture->gone, 1);
    assert_int_equal(client_status(client), 400);
}

/* --- output --- */

static void test_on_writable_follows_when_a_slow_client_has_read(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);
    static const uint8_t part[65536];
    static const struct http_response response = { .status = 200 };
    size_t sent = 0;

    (void) state;
    client_say(fixture, client, WAIT);
    WAIT_UNTIL(fixture, client, fixture->exchange);
    assert_int_equal(http_respond(fixture->exchange, &response, NULL, 0, false), 0);
    while (http_queued_bytes(fixture->exchange) <= HTTP_OUTPUT_LOW_BYTES) {
        assert_int_equal(http_send_body(fixture->exchange, part, sizeof(part), false), 0);
        sent += sizeof(part);
        fixture_turn(fixture);
        assert_in_range(sent, 1, 100000000);
    }
    fixture->writable = 0;
    for (int i = 0; i < 20; i++)
        fixture_turn(fixture);
    assert_int_equal(fixture->writable, 0);
    while (fixture->writable == 0) {
        client_read(client);
        client->size = 0;
        fixture_turn(fixture);
    }
    assert_true(http_queued_bytes(fixture->exchange) <= HTTP_OUTPUT_LOW_BYTES);
    assert_int_equal(fixture->writable, 1);
}

/* --- clients that leave --- */

static struct fixture *fixture_with_half_close(uint32_t half_close_ms)
{
    struct http_limits limits = fixture_limits;

    limits.half_close_ms = half_close_ms;
    return fixture_new(&limits);
}

static void test_a_client_that_ends_its_side_gets_the_answer(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    client_say(fixture, client, WAIT);
    WAIT_UNTIL(fixture, client, fixture->exchange);
    (void) shutdown(client->fd, SHUT_WR);
    for (int i = 0; i < 20; i++)
        fixture_turn(fixture);
    assert_int_equal(fixture->gone, 0);
    assert_int_equal(answer_text(fixture->exchange, "late", 4), 0);
    WAIT_UNTIL(fixture, client, client->is_closed);
    assert_int_equal(client_count(client, "late"), 1);
    assert_false(client->is_reset);
    assert_int_equal(http_front_connections(fixture->front), 0);
}

static void test_a_body_that_was_sent_whole_before_the_end_is_answered(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    fixture->grant = 0;
    client_say(fixture, client, POST("8") "01234567" HELLO);
    (void) shutdown(client->fd, SHUT_WR);
    WAIT_UNTIL(fixture, client, fixture->exchange);
    for (int i = 0; i < 20; i++)
        fixture_turn(fixture);
    assert_int_equal(fixture->gone, 0);
    http_grant(fixture->exchange, 100);
    WAIT_UNTIL(fixture, client, fixture->body_ended);
    assert_int_equal(answer_text(fixture->exchange, "late", 4), 0);
    WAIT_UNTIL(fixture, client, client->is_closed);
    assert_int_equal(client_count(client, "late"), 1);
    assert_int_equal(client_count(client, "hello"), 1);
}

static void test_a_client_that_ends_its_side_within_a_body_is_gone(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    client_say(fixture, client, POST("8") "0123");
    WAIT_UNTIL(fixture, client, fixture->exchange);
    (void) shutdown(client->fd, SHUT_WR);
    WAIT_UNTIL(fixture, client, fixture->gone == 1 && client->is_closed);
    assert_int_equal(fixture->why, HTTP_GONE_LEFT);
}

static void test_a_half_closed_exchange_without_a_byte_is_aborted_in_time(void **state)
{
    static const uint32_t times_ms[] = { 0, 30 };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(times_ms); i++) {
        _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_with_half_close(times_ms[i]);
        _cleanup_(client_cleanup) struct client *client = client_new(fixture);

        client_say(fixture, client, WAIT);
        WAIT_UNTIL(fixture, client, fixture->exchange);
        (void) shutdown(client->fd, SHUT_WR);
        WAIT_UNTIL(fixture, client, fixture->gone == 1 && client->is_closed);
        assert_int_equal(http_front_connections(fixture->front), 0);
        assert_int_equal(fixture->gone, 1);
    }
}

static void test_a_half_closed_stream_that_goes_on_is_not_aborted(void **state)
{
    static const struct http_response response = { .status = 200 };
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_with_half_close(200);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);
    uint64_t start_ns, sent_ns = 0, longest_ns = 0;

    (void) state;
    client_say(fixture, client, WAIT);
    WAIT_UNTIL(fixture, client, fixture->exchange);
    (void) shutdown(client->fd, SHUT_WR);
    assert_int_equal(http_respond(fixture->exchange, &response, NULL, 0, false), 0);
    start_ns = sent_ns = io_now_ns();
    while (io_now_ns() < start_ns + 600 * NSEC_PER_MSEC && fixture->gone == 0) {
        uint64_t now = io_now_ns();

        longest_ns = now - sent_ns > longest_ns ? now - sent_ns : longest_ns;
        sent_ns = now;
        assert_int_equal(http_send_body(fixture->exchange, fixture->body, 1, false), 0);
        fixture_turn(fixture);
        client_read(client);
        (void) usleep(5000);
    }
    if (longest_ns < 150 * NSEC_PER_MSEC) /* else the machine was too slow to send a byte in time */
        assert_int_equal(fixture->gone, 0);
    WAIT_UNTIL(fixture, client, fixture->gone == 1);
}

static void test_a_client_that_leaves_behind_pipelined_requests_is_gone(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_with_half_close(30);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    client_say(fixture, client, WAIT);
    WAIT_UNTIL(fixture, client, fixture->exchange);
    for (int i = 0; i < 100; i++)
        client_say(fixture, client, HELLO);
    client->fd = (close(client->fd), -1);
    WAIT_UNTIL(fixture, (struct client *) NULL, fixture->gone == 1);
    assert_int_equal(http_front_connections(fixture->front), 0);
}

static void test_a_reset_that_came_with_the_request_is_noticed(void **state)
{
    static const struct linger reset = { .l_onoff = 1 };
    static const char request[] = "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n";
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    /* The loop takes no turn before both have come. */
    assert_int_equal(send(client->fd, request, sizeof(request) - 1, 0), sizeof(request) - 1);
    (void) setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    (void) close(client->fd);
    client->fd = -1;
    WAIT_UNTIL(fixture, (struct client *) NULL, fixture->gone == 1);
    assert_non_null(strstr(fixture->seen, "target=/wait"));
    assert_int_equal(http_front_connections(fixture->front), 0);
}

static void test_a_reset_while_the_body_is_held_back_is_noticed(void **state)
{
    static const struct linger reset = { .l_onoff = 1 };
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    fixture->grant = 0;
    client_say(fixture, client, POST("1000") "0123");
    WAIT_UNTIL(fixture, client, fixture->exchange);
    client_say(fixture, client, "4567");
    (void) setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    client->fd = (close(client->fd), -1);
    WAIT_UNTIL(fixture, (struct client *) NULL, fixture->gone == 1);
    assert_int_equal(http_front_connections(fixture->front), 0);
}

static void test_a_client_that_leaves_in_the_middle_of_a_response_is_gone(void **state)
{
    static const struct http_response response = { .status = 200 };
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    client_say(fixture, client, WAIT);
    WAIT_UNTIL(fixture, client, fixture->exchange);
    assert_int_equal(http_respond(fixture->exchange, &response, fixture->body, 1000, false), 0);
    client->fd = (close(client->fd), -1);
    WAIT_UNTIL(fixture, (struct client *) NULL, fixture->gone == 1);
}

static void test_all_of_a_pipeline_is_answered_after_the_end(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_with_half_close(30);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    assert_int_equal(send(client->fd, HELLO HELLO WAIT, sizeof(HELLO HELLO WAIT) - 1, 0),
                     sizeof(HELLO HELLO WAIT) - 1);
    (void) shutdown(client->fd, SHUT_WR);
    WAIT_UNTIL(fixture, client, client->is_closed);
    assert_int_equal(client_count(client, "hello"), 2);
    assert_false(client->is_reset);
    assert_int_equal(fixture->gone, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_connection_serves_many_requests),
        cmocka_unit_test(test_the_next_request_waits_for_the_answer_to_the_one_before),
        cmocka_unit_test(test_pipelined_answers_do_not_pile_up_for_a_client_that_does_not_read),
        cmocka_unit_test(test_a_handler_that_returns_nothing_is_overloaded),
        cmocka_unit_test(test_the_handler_gets_no_more_than_it_granted),
        cmocka_unit_test(test_chunks_are_held_back_without_a_grant_but_the_end_is_not),
        cmocka_unit_test(test_a_client_is_not_read_beyond_the_grant),
        cmocka_unit_test(test_100_continue_is_sent_when_the_handler_wants_the_body),
        cmocka_unit_test(test_an_answer_instead_of_100_continue_closes),
        cmocka_unit_test(test_a_small_unread_body_is_skipped_and_the_connection_kept),
        cmocka_unit_test(test_a_large_unread_body_closes_and_the_client_sees_the_answer),
        cmocka_unit_test(
            test_an_answer_before_a_body_that_may_not_be_taken_says_that_it_is_the_last),
        cmocka_unit_test(
            test_an_answer_before_a_body_that_is_taken_in_any_case_keeps_the_connection),
        cmocka_unit_test(test_a_malformed_chunk_in_the_middle_is_told_to_the_handler),
        cmocka_unit_test(test_on_writable_follows_when_a_slow_client_has_read),
        cmocka_unit_test(test_a_client_that_ends_its_side_gets_the_answer),
        cmocka_unit_test(test_a_body_that_was_sent_whole_before_the_end_is_answered),
        cmocka_unit_test(test_a_client_that_ends_its_side_within_a_body_is_gone),
        cmocka_unit_test(test_a_half_closed_exchange_without_a_byte_is_aborted_in_time),
        cmocka_unit_test(test_a_half_closed_stream_that_goes_on_is_not_aborted),
        cmocka_unit_test(test_a_client_that_leaves_behind_pipelined_requests_is_gone),
        cmocka_unit_test(test_a_reset_that_came_with_the_request_is_noticed),
        cmocka_unit_test(test_a_reset_while_the_body_is_held_back_is_noticed),
        cmocka_unit_test(test_a_client_that_leaves_in_the_middle_of_a_response_is_gone),
        cmocka_unit_test(test_all_of_a_pipeline_is_answered_after_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
