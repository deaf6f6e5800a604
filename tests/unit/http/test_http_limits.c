/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounds of the connections of the HTTP front: timeouts, numbers, listening addresses, draining.
 */
#include <sys/resource.h>
#include <sys/un.h>

#include "supervisor/http/internal.h"
#include "tests/unit/http/http_fixture.h"

#include <netinet/tcp.h>

#define HELLO "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
#define WAIT "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST(length) "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: " length "\r\n\r\n"

/* --- time --- */

static void test_a_slow_head_is_408(void **state)
{
    struct http_limits limits = fixture_limits;
    _cleanup_(fixture_cleanup) struct fixture *fixture = NULL;
    _cleanup_(client_cleanup) struct client *client = NULL;

    (void) state;
    limits.header_timeout_ms = 30;
    fixture = fixture_new(&limits);
    client = client_talk(fixture, "GET / HT", 8);
    assert_int_equal(client_status(client), 408);
    assert_non_null(strstr(client->data, "Skep-Error: request_timeout\r\n"));
}

static void test_a_slow_body_is_408_and_told_to_the_handler(void **state)
{
    struct http_limits limits = fixture_limits;
    _cleanup_(fixture_cleanup) struct fixture *fixture = NULL;
    _cleanup_(client_cleanup) struct client *client = NULL;

    (void) state;
    limits.body_idle_ms = 30;
    fixture = fixture_new(&limits);
    client = client_talk(fixture, POST("3") "a", sizeof(POST("3") "a") - 1);
    assert_int_equal(client_status(client), 408);
    assert_int_equal(fixture->gone, 1);
}

static void test_a_body_that_the_handler_holds_back_does_not_time_out(void **state)
{
    struct http_limits limits = fixture_limits;
    _cleanup_(fixture_cleanup) struct fixture *fixture = NULL;
    _cleanup_(client_cleanup) struct client *client = NULL;
    _cleanup_(client_cleanup) struct client *other = NULL;

    (void) state;
    limits.body_idle_ms = 30;
    limits.header_timeout_ms = 100;
    fixture = fixture_new(&limits);
    client = client_new(fixture);
    fixture->grant = 0;
    client_say(fixture, client, POST("3"));
    WAIT_UNTIL(fixture, client, fixture->exchange);
    other = client_new(fixture);
    WAIT_UNTIL(fixture, other, other->is_closed); /* closed by a longer timeout */
    assert_non_null(fixture->exchange);
    assert_int_equal(fixture->gone, 0);
}

static void test_a_body_below_the_least_rate_gets_408(void **state)
{
    struct http_limits limits = fixture_limits;
    _cleanup_(fixture_cleanup) struct fixture *fixture = NULL;
    _cleanup_(client_cleanup) struct client *client = NULL;

    (void) state;
    limits.body_idle_ms = 50;
    limits.min_bytes_per_s = 1000000;
    fixture = fixture_new(&limits);
    client = client_new(fixture);
    client_say(fixture, client, POST("100000"));
    WAIT_UNTIL(fixture, client, fixture->exchange);
    while (fixture->gone == 0) { /* no pause of body_idle_ms, unless the machine pauses */
        client_say(fixture, client, "x");
        (void) usleep(1000);
        fixture_turn(fixture);
    }
    assert_int_equal(fixture->why, HTTP_GONE_LATE);
    WAIT_UNTIL(fixture, client, client->is_closed);
    assert_int_equal(client_status(client), 408);
}

static void test_an_idle_connection_is_closed_without_a_word(void **state)
{
    struct http_limits limits = fixture_limits;
    _cleanup_(fixture_cleanup) struct fixture *fixture = NULL;
    _cleanup_(client_cleanup) struct client *client = NULL;

    (void) state;
    limits.keepalive_ms = 30;
    fixture = fixture_new(&limits);
    client = client_talk(fixture, HELLO, sizeof(HELLO) - 1);
    assert_int_equal(client_count(client, "HTTP/1.1 "), 1);
}

static void test_the_first_head_is_due_from_the_first_moment(void **state)
{
    struct http_limits limits = fixture_limits;
    _cleanup_(fixture_cleanup) struct fixture *fixture = NULL;
    _cleanup_(client_cleanup) struct client *silent = NULL;

    (void) state;
    limits.header_timeout_ms = 30;
    fixture = fixture_new(&limits);
    silent = client_talk(fixture, "", 0);
    assert_int_equal(silent->size, 0);
}

static void test_the_connection_longest_without_a_request_gives_way(void **state)
{
    struct http_limits limits = fixture_limits;
    _cleanup_(fixture_cleanup) struct fixture *fixture = NULL;
    _cleanup_(client_cleanup) struct client *waiting = NULL;
    _cleanup_(client_cleanup) struct client *first = NULL;
    _cleanup_(client_cleanup) struct client *second = NULL;
    _cleanup_(client_cleanup) struct client *third = NULL;

    (void) state;
    limits.connections = 3;
    fixture = fixture_new(&limits);
    waiting = client_new(fixture);
    client_say(fixture, waiting, WAIT);
    WAIT_UNTIL(fixture, waiting, fixture->exchange);
    first = client_new(fixture);
    client_say(fixture, first, HELLO);
    WAIT_UNTIL(fixture, first, client_count(first, "hello") == 1);
    second = client_new(fixture);
    client_say(fixture, second, HELLO);
    WAIT_UNTIL(fixture, second, client_count(second, "hello") == 1);
    third = client_new(fixture);
    client_say(fixture, third, HELLO);
    WAIT_UNTIL(fixture, third, client_count(third, "hello") == 1);
    WAIT_UNTIL(fixture, first, first->is_closed);
    assert_int_equal(fixture->gone, 0);
    assert_int_equal(http_front_cap_count(fixture->front, HTTP_CAP_IDLE), 1);
    client_say(fixture, second, HELLO);
    WAIT_UNTIL(fixture, second, client_count(second, "hello") == 2);
}

static void test_silent_connections_give_way_to_those_that_ask(void **state)
{
    enum { SILENT = 6 };
    struct http_limits limits = fixture_limits;
    _cleanup_(fixture_cleanup) struct fixture *fixture = NULL;
    _cleanup_(client_cleanup) struct client *client = NULL;
    struct client *silent[SILENT];

    (void) state;
    limits.connections = SILENT;
    fixture = fixture_new(&limits);
    for (int i = 0; i < SILENT; i++) {
        silent[i] = client_new(fixture);
        if (i % 2 == 0)
            client_say(fixture, silent[i], "GET / HTTP/1.1\r\n");
    }
    client = client_new(fixture);
    client_say(fixture, client, HELLO);
    WAIT_UNTIL(fixture, client, client_count(client, "hello") == 1);
    assert_true(http_front_cap_count(fixture->front, HTTP_CAP_IDLE) >= 1);
    for (int i = 0; i < SILENT; i++)
        client_free(silent[i]);
}

static void test_a_client_that_stops_within_its_body_gives_way(void **state)
{
    struct http_limits limits = fixture_limits;
    _cleanup_(fixture_cleanup) struct fixture *fixture = NULL;
    _cleanup_(client_cleanup) struct client *stopped = NULL;
    _cleanup_(client_cleanup) struct client *client = NULL;

    (void) state;
    limits.connections = 1;
    fixture = fixture_new(&limits);
    stopped = client_new(fixture);
    client_say(fixture, stopped, POST("3") "a");
    WAIT_UNTIL(fixture, stopped, fixture->exchange);
    client = client_new(fixture);
    client_say(fixture, client, HELLO);
    WAIT_UNTIL(fixture, client, client_count(client, "hello") == 1);
    assert_int_equal(fixture->gone, 1);
    assert_int_equal(fixture->why, HTTP_GONE_SLOW);
}

static void test_a_shortage_of_descriptors_is_counted_and_passes(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);
    struct rlimit before, less;

    (void) state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    less = (struct rlimit){ .rlim_cur = (rlim_t) client->fd + 1, .rlim_max = before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
    client_say(fixture, client, HELLO);
    WAIT_UNTIL(fixture, client, http_front_cap_count(fixture->front, HTTP_CAP_DESCRIPTORS) == 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    WAIT_UNTIL(fixture, client, client_count(client, "hello") == 1);
}

static void test_a_pipeline_takes_turns_with_other_connections(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);
    char pipeline[100 * (sizeof(HELLO) - 1)];
    size_t before = 0, most = 0;

    (void) state;
    for (size_t i = 0; i < sizeof(pipeline); i += sizeof(HELLO) - 1)
        memcpy(pipeline + i, HELLO, sizeof(HELLO) - 1);
    assert_int_equal(send(client->fd, pipeline, sizeof(pipeline), 0), sizeof(pipeline));
    while (before < 100) {
        size_t now;

        (void) event_base_loop(fixture->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        client_read(client);
        now = client_count(client, "HTTP/1.1 200");
        most = now - before > most ? now - before : most;
        before = now;
        assert_false(client->is_closed);
    }
    assert_in_range(most, 1, 40); /* answers by the event, and at the end of the turn */
}

static void test_parts_of_heads_are_within_the_budget(void **state)
{
    struct http_limits limits = fixture_limits;
    _cleanup_(fixture_cleanup) struct fixture *fixture = NULL;
    struct client *clients[16];
    char head[7000];
    uint64_t most = 0;

    (void) state;
    memset(head, 'a', sizeof(head));
    memcpy(head, "GET /", 5);
    limits.buffer_bytes = 1 << 16;
    fixture = fixture_new(&limits);
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        uint64_t now;

        clients[i] = client_new(fixture);
        client_send(fixture, clients[i], head, sizeof(head));
        fixture_turn(fixture);
        now = http_front_buffered(fixture->front);
        most = now > most ? now : most;
    }
    assert_in_range(most, 1 << 14, 1 << 16);
    assert_true(http_front_cap_count(fixture->front, HTTP_CAP_BUFFERS) > 0);
    for (size_t i = 0; i < ARRAY_LEN(clients); i++)
        client_free(clients[i]);
    WAIT_UNTIL(fixture, (struct client *) NULL, http_front_connections(fixture->front) == 0);
    assert_int_equal(http_front_buffered(fixture->front), 0);
}

static struct client *client_from(struct fixture *fixture, const char *address)
{
    struct client *client = calloc(1, sizeof(*client));
    struct sockaddr_in from = { .sin_family = AF_INET };

    assert_non_null(client);
    assert_int_equal(inet_pton(AF_INET, address, &from.sin_addr), 1);
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(client->fd, (struct sockaddr *) &from, sizeof(from)), 0);
    assert_int_equal(
        connect(client->fd, (const struct sockaddr *) &fixture->address, sizeof(fixture->address)),
        0);
    assert_int_equal(io_set_nonblocking(client->fd), 0);
    return client;
}

/* Bytes behind a request that the handler has count; a connection of the address with most of them
 * is closed. */
static void test_requests_behind_another_are_within_the_budget(void **state)
{
    struct http_limits limits = fixture_limits;
    _cleanup_(fixture_cleanup) struct fixture *fixture = NULL;
    _cleanup_(client_cleanup) struct client *large = NULL;
    struct client *many[6];
    char text[20000];

    (void) state;
    memset(text, 'a', sizeof(text));
    memcpy(text, WAIT, sizeof(WAIT) - 1);
    limits.buffer_bytes = 50000;
    fixture = fixture_new(&limits);
    large = client_from(fixture, "127.0.0.2");
    assert_int_equal(send(large->fd, text, sizeof(text), 0), sizeof(text));
    WAIT_UNTIL(fixture, large, http_front_buffered(fixture->front) > 15000);
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        many[i] = client_from(fixture, "127.0.0.3");
        assert_int_equal(send(many[i]->fd, text, 12000, 0), 12000);
    }
    WAIT_UNTIL(fixture, large, fixture->gone > 0);
    assert_false(large->is_closed);
    assert_int_equal(fixture->why, HTTP_GONE_SLOW);
    assert_in_range(http_front_buffered(fixture->front), 15000, 50000);
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        client_free(many[i]);
}

/* The front's end of the client's connection. */
static int front_end_of(const struct client *client)
{
    struct sockaddr_in own = { 0 }, peer = { 0 };
    socklen_t size = sizeof(own);

    assert_int_equal(getsockname(client->fd, (struct sockaddr *) &own, &size), 0);
    for (int fd = 0; fd < 256; fd++) {
        size = sizeof(peer);
        if (getpeername(fd, (struct sockaddr *) &peer, &size) == 0 && peer.sin_family == AF_INET &&
            peer.sin_port == own.sin_port)
            return fd;
    }
    fail_msg("no such connection");
    return -1;
}

static int option_of(int fd, int level, int name)
{
    int value = 0;
    socklen_t size = sizeof(value);

    assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
    return value;
}

static void test_the_kernel_keeps_little_for_a_connection(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    client_say(fixture, client, HELLO);
    WAIT_UNTIL(fixture, client, client_count(client, "hello") == 1);
    int fd = front_end_of(client);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 65536);
    /* The kernel doubles it. Left alone, it would begin with less and grow to some MiB. */
    assert_in_range(option_of(fd, SOL_SOCKET, SO_RCVBUF), 262144, 2 * 262144);
}

static void test_less_is_read_at_a_time_while_buffers_are_short(void **state)
{
    struct http_limits limits = fixture_limits;
    _cleanup_(fixture_cleanup) struct fixture *fixture = NULL;
    _cleanup_(client_cleanup) struct client *first = NULL;
    _cleanup_(client_cleanup) struct client *second = NULL;
    static char more[60000];

    (void) state;
    limits.buffer_bytes = 1000000;
    fixture = fixture_new(&limits);
    first = client_new(fixture);
    client_say(fixture, first, WAIT);
    WAIT_UNTIL(fixture, first, fixture->exchange);
    struct http_exchange *kept = TAKE_PTR(fixture->exchange);
    http_front_note_kept(fixture->front, kept, 0, 800000);
    second = client_new(fixture);
    memset(more, 'x', sizeof(more));
    memcpy(more, WAIT, strlen(WAIT));
    assert_true(send(second->fd, more, sizeof(more), MSG_NOSIGNAL) == sizeof(more));
    WAIT_UNTIL(fixture, second, fixture->exchange);
    for (int i = 0; i < 20; i++)
        fixture_turn(fixture);
    assert_in_range(http_front_buffered(fixture->front), 800000, 810000);
    http_front_note_kept(fixture->front, kept, 800000, 0);
}

/* The connection pays for the memory that the handler keeps of a request, as long as the request has a connection. */
static void test_what_the_handler_keeps_is_within_the_budget(void **state)
{
    struct http_limits limits = fixture_limits;
    _cleanup_(fixture_cleanup) struct fixture *fixture = NULL;
    _cleanup_(client_cleanup) struct client *client = NULL;

    (void) state;
    limits.buffer_bytes = 50000;
    fixture = fixture_new(&limits);
    client = client_new(fixture);
    client_say(fixture, client, WAIT);
    WAIT_UNTIL(fixture, client, fixture->exchange);
    http_front_note_kept(fixture->front, fixture->exchange, 0, 60000);
    client_say(fixture, client, WAIT);
    WAIT_UNTIL(fixture, client, fixture->gone == 1);
    http_front_note_kept(fixture->front, NULL, 60000, 0);
    WAIT_UNTIL(fixture, client, client->is_closed);
    assert_int_equal(http_front_buffered(fixture->front), 0);
}

/* The write timer has run for longer than any timeout, but bytes go all the time. */
static void test_a_client_that_takes_its_answer_does_not_give_way(void **state)
{
    static const struct http_response response = { .status = 200 };
    struct http_limits limits = fixture_limits;
    _cleanup_(fixture_cleanup) struct fixture *fixture = NULL;
    _cleanup_(client_cleanup) struct client *client = NULL;
    _cleanup_(client_cleanup) struct client *other = NULL;
    static char part[1 << 16];
    uint64_t end_ns;

    (void) state;
    limits.connections = 1;
    fixture = fixture_new(&limits);
    client = client_new(fixture);
    client_say(fixture, client, WAIT);
    WAIT_UNTIL(fixture, client, fixture->exchange);
    assert_int_equal(http_respond(fixture->exchange, &response, NULL, 0, false), 0);
    end_ns = io_now_ns() + 1500 * NSEC_PER_MSEC;
    while (io_now_ns() < end_ns && fixture->gone == 0) {
        while (http_queued_bytes(fixture->exchange) < 4 * sizeof(part))
            assert_int_equal(
                http_send_body(fixture->exchange, (const uint8_t *) part, sizeof(part), false), 0);
        fixture_turn(fixture);
        assert_true(read(client->fd, client->data, sizeof(part)) != 0);
        if (!other && end_ns - io_now_ns() < 300 * NSEC_PER_MSEC)
            other = client_new(fixture);
        (void) usleep(500);
    }
    assert_non_null(other);
    assert_int_equal(fixture->gone, 0);
}

static void test_above_the_budget_the_slowest_is_cut_off(void **state)
{
    static const struct http_response response = { .status = 200 };
    static const uint8_t part[65536];
    struct http_limits limits = fixture_limits;
    _cleanup_(fixture_cleanup) struct fixture *fixture = NULL;
    _cleanup_(client_cleanup) struct client *client = NULL;
    uint64_t most = 0;

    (void) state;
    limits.buffer_bytes = 1 << 20;
    fixture = fixture_new(&limits);
    client = client_new(fixture);
    client_say(fixture, client, WAIT);
    WAIT_UNTIL(fixture, client, fixture->exchange);
    assert_int_equal(http_respond(fixture->exchange, &response, NULL, 0, false), 0);
    for (int i = 0; i < 1000 && fixture->gone == 0; i++) {
        assert_int_equal(http_send_body(fixture->exchange, part, sizeof(part), false), 0);
        fixture_turn(fixture);
        most =
            http_front_buffered(fixture->front) > most ? http_front_buffered(fixture->front) : most;
    }
    assert_int_equal(fixture->why, HTTP_GONE_SLOW);
    assert_in_range(most, 1 << 19, 1 << 20);
    assert_int_equal(http_front_cap_count(fixture->front, HTTP_CAP_BUFFERS), 1);
    fixture_turn(fixture);
    assert_int_equal(http_front_buffered(fixture->front), 0);
    assert_int_equal(http_front_pressure(fixture->front), 0);
}

static void test_a_proxy_has_no_limit_of_its_own(void **state)
{
    struct http_limits limits = fixture_limits;
    _cleanup_(fixture_cleanup) struct fixture *fixture = NULL;
    _cleanup_(client_cleanup) struct client *first = NULL;
    _cleanup_(client_cleanup) struct client *second = NULL;
    _cleanup_(client_cleanup) struct client *third = NULL;
    struct address_prefix proxy;

    (void) state;
    limits.connections_per_ip = 1;
    fixture = fixture_new(&limits);
    assert_int_equal(address_prefix_parse("127.0.0.0/8", &proxy), 0);
    assert_int_equal(http_front_set_proxies(fixture->front, &proxy, 1), 0);
    first = client_new(fixture);
    second = client_new(fixture);
    client_say(fixture, second, HELLO);
    WAIT_UNTIL(fixture, second, client_count(second, "hello") == 1);
    assert_int_equal(http_front_set_proxies(fixture->front, NULL, 0), 0);
    third = client_new(fixture);
    client_say(fixture, third, HELLO);
    WAIT_UNTIL(fixture, third, client_count(third, "hello") == 1);
}

static void test_a_client_that_reads_nothing_is_closed(void **state)
{
    struct http_limits limits = fixture_limits;
    _cleanup_(fixture_cleanup) struct fixture *fixture = NULL;
    _cleanup_(client_cleanup) struct client *client = NULL;
    static const struct http_response response = { .status = 200 };
    static const uint8_t part[65536];

    (void) state;
    limits.write_idle_ms = 30;
    fixture = fixture_new(&limits);
    client = client_new(fixture);
    client_say(fixture, client, WAIT);
    WAIT_UNTIL(fixture, client, fixture->exchange);
    assert_int_equal(http_respond(fixture->exchange, &response, NULL, 0, false), 0);
    for (int i = 0; i < 400; i++)
        assert_int_equal(http_send_body(fixture->exchange, part, sizeof(part), false), 0);
    WAIT_UNTIL(fixture, (struct client *) NULL, fixture->gone == 1);
    assert_int_equal(fixture->why, HTTP_GONE_SLOW);
    assert_int_equal(http_front_connections(fixture->front), 0);
}

static void test_a_client_that_reads_below_the_least_rate_is_closed(void **state)
{
    struct http_limits limits = fixture_limits;
    _cleanup_(fixture_cleanup) struct fixture *fixture = NULL;
    _cleanup_(client_cleanup) struct client *client = NULL;
    static const struct http_response response = { .status = 200 };
    static const uint8_t part[65536];

    (void) state;
    limits.write_idle_ms = 100;
    limits.min_bytes_per_s = 1000000000;
    fixture = fixture_new(&limits);
    client = client_new(fixture);
    client_say(fixture, client, WAIT);
    WAIT_UNTIL(fixture, client, fixture->exchange);
    assert_int_equal(http_respond(fixture->exchange, &response, NULL, 0, false), 0);
    for (int i = 0; i < 400; i++)
        assert_int_equal(http_send_body(fixture->exchange, part, sizeof(part), false), 0);
    while (fixture->gone == 0) {
        char some[10000];

        assert_true(read(client->fd, some, sizeof(some)) != 0);
        (void) usleep(1000);
        fixture_turn(fixture);
    }
    assert_int_equal(fixture->why, HTTP_GONE_SLOW);
}

/* --- limits --- */

static void test_one_address_gets_so_many_connections(void **state)
{
    struct http_limits limits = fixture_limits;
    _cleanup_(fixture_cleanup) struct fixture *fixture = NULL;
    _cleanup_(client_cleanup) struct client *first = NULL;
    _cleanup_(client_cleanup) struct client *second = NULL;
    _cleanup_(client_cleanup) struct client *third = NULL;
    _cleanup_(client_cleanup) struct client *fourth = NULL;

    (void) state;
    limits.connections_per_ip = 2;
    fixture = fixture_new(&limits);
    first = client_new(fixture);
    second = client_new(fixture);
    third = client_new(fixture);
    WAIT_UNTIL(fixture, third, third->is_closed);
    assert_int_equal(client_status(third), 503);
    assert_int_equal(client_count(third, "Skep-Error: overloaded"), 1);
    assert_int_equal(http_front_cap_count(fixture->front, HTTP_CAP_ADDRESS), 1);
    client_say(fixture, second, HELLO);
    WAIT_UNTIL(fixture, second, client_count(second, "hello") == 1);
    first->fd = (close(first->fd), -1);
    WAIT_UNTIL(fixture, second, http_front_connections(fixture->front) == 1);
    fourth = client_new(fixture);
    client_say(fixture, fourth, HELLO);
    WAIT_UNTIL(fixture, fourth, client_count(fourth, "hello") == 1);
}

static struct http_peer *enter(struct http_peers *peers, int family, const char *text)
{
    struct sockaddr_storage address = { .ss_family = (sa_family_t) family };
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) &address;
    struct sockaddr_in *in = (struct sockaddr_in *) &address;
    struct http_peer *peer = NULL;
    void *bytes = family == AF_INET ? (void *) &in->sin_addr : (void *) &in6->sin6_addr;

    assert_int_equal(inet_pton(family, text, bytes), 1);
    return http_peer_enter(peers, (struct sockaddr *) &address, &peer) == 0 ? peer : NULL;
}

static void test_ipv6_is_counted_by_64_bits_and_mapped_ipv4_as_ipv4(void **state)
{
    struct http_peers *peers = NULL;
    struct http_peer *peer;

    (void) state;
    assert_int_equal(http_peers_new(2, &peers), 0);
    peer = enter(peers, AF_INET6, "2001:db8:0:1::1");
    assert_non_null(peer);
    assert_ptr_equal(enter(peers, AF_INET6, "2001:db8:0:1:ffff::2"), peer);
    assert_null(enter(peers, AF_INET6, "2001:db8:0:1::3"));
    assert_non_null(enter(peers, AF_INET6, "2001:db8:0:2::1"));
    http_peer_leave(peers, peer);
    assert_ptr_equal(enter(peers, AF_INET6, "2001:db8:0:1::3"), peer);
    peer = enter(peers, AF_INET, "192.0.2.1");
    assert_non_null(peer);
    assert_ptr_equal(enter(peers, AF_INET6, "::ffff:192.0.2.1"), peer);
    assert_null(enter(peers, AF_INET, "192.0.2.1"));
    assert_non_null(enter(peers, AF_INET, "192.0.2.2"));
    assert_null(http_peers_free(peers));
}

static void test_over_the_limit_new_connections_wait(void **state)
{
    struct http_limits limits = fixture_limits;
    _cleanup_(fixture_cleanup) struct fixture *fixture = NULL;
    _cleanup_(client_cleanup) struct client *first = NULL;
    _cleanup_(client_cleanup) struct client *second = NULL;

    (void) state;
    limits.connections = 1;
    fixture = fixture_new(&limits);
    first = client_new(fixture);
    second = client_new(fixture);
    client_say(fixture, first, HELLO);
    client_say(fixture, second, HELLO);
    WAIT_UNTIL(fixture, first, client_count(first, "hello") == 1);
    for (int i = 0; i < 20; i++)
        fixture_turn(fixture);
    client_read(second);
    assert_int_equal(second->size, 0);
    first->fd = (close(first->fd), -1);
    WAIT_UNTIL(fixture, second, client_count(second, "hello") == 1);
}

static void test_unix_sockets_have_no_limit_by_address_and_are_cleaned_up(void **state)
{
    struct http_limits limits = fixture_limits;
    _cleanup_(fixture_cleanup) struct fixture *fixture = NULL;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct client *clients[3];
    char listen_on[sizeof(address.sun_path) + 8];

    (void) state;
    limits.connections_per_ip = 1;
    fixture = fixture_new(&limits);
    (void) snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/test_http.%d", getpid());
    (void) snprintf(listen_on, sizeof(listen_on), "unix:%s", address.sun_path);
    assert_int_equal(http_front_listen(fixture->front, listen_on, NULL), 0);
    assert_int_equal(http_front_listen(fixture->front, listen_on, NULL), -EADDRINUSE);
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        clients[i] = calloc(1, sizeof(*clients[i]));
        clients[i]->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(clients[i]->fd, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(io_set_nonblocking(clients[i]->fd), 0);
        client_say(fixture, clients[i], HELLO);
    }
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        WAIT_UNTIL(fixture, clients[i], client_count(clients[i], "hello") == 1);
        client_free(clients[i]);
    }
    fixture->front = http_front_free(fixture->front);
    assert_int_equal(access(address.sun_path, F_OK), -1);
}

static void test_listen_addresses_are_numeric_and_complete(void **state)
{
    static const char *const bad[] = {
        "",       ":80",   "localhost:80",    "127.0.0.1",      "127.0.0.1:",
        "::1:80", "[::1]", "127.0.0.1:65536", "127.0.0.1:http", "127.0.0.1:-1"
    };
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(http_front_listen(fixture->front, bad[i], NULL), -EINVAL);
    assert_int_equal(http_front_listen(fixture->front, "127.0.0.1:0", NULL), 0);
}

/* --- drain --- */

static void test_a_draining_front_closes_idle_connections_and_finishes_the_others(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *idle = client_new(fixture);
    _cleanup_(client_cleanup) struct client *busy = client_new(fixture);
    _cleanup_(client_cleanup) struct client *late = client_new(fixture);
    struct http_exchange *exchange;

    (void) state;
    client_say(fixture, idle, HELLO);
    WAIT_UNTIL(fixture, idle, client_count(idle, "hello") == 1);
    client_say(fixture, busy, WAIT);
    WAIT_UNTIL(fixture, busy, fixture->exchange);
    exchange = fixture->exchange;
    assert_int_equal(send(late->fd, HELLO, sizeof(HELLO) - 1, 0), sizeof(HELLO) - 1);
    http_front_drain(fixture->front, true);
    http_front_close_idle(fixture->front);
    WAIT_UNTIL(fixture, idle, idle->is_closed);
    WAIT_UNTIL(fixture, late, late->is_closed);
    assert_int_equal(client_count(late, "hello"), 1); /* had arrived */
    assert_non_null(strstr(late->data, "Connection: close\r\n"));
    assert_false(busy->is_closed);
    assert_int_equal(answer_text(exchange, "done\n", 5), 0);
    WAIT_UNTIL(fixture, busy, busy->is_closed);
    assert_int_equal(client_count(busy, "done"), 1);
    assert_non_null(strstr(busy->data, "Connection: close\r\n"));
    busy->fd = (close(busy->fd), -1);
    idle->fd = (close(idle->fd), -1);
    late->fd = (close(late->fd), -1);
    WAIT_UNTIL(fixture, (struct client *) NULL, http_front_connections(fixture->front) == 0);
}

static void test_the_front_can_be_freed_with_requests_in_it(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    client_say(fixture, client, WAIT HELLO);
    WAIT_UNTIL(fixture, client, fixture->exchange);
    fixture->front = http_front_free(fixture->front);
    assert_int_equal(fixture->gone, 0);
    WAIT_UNTIL(fixture, client, client->is_closed);
}

/* Many clients read an answer only when they have sent the whole request. */
static void test_an_answer_reaches_a_client_that_first_sends_its_whole_body(void **state)
{
    static const char head[] = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
                               "POST /null HTTP/1.1\r\nHost: a\r\nContent-Length: 8388608\r\n\r\n";
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    client_say(fixture, client, head);
    for (unsigned i = 0; i < 8; i++)
        client_send(fixture, client, fixture->body, sizeof(fixture->body));
    assert_int_equal(shutdown(client->fd, SHUT_WR), 0);
    WAIT_UNTIL(fixture, client, client->is_closed);
    assert_false(client->is_reset);
    assert_int_equal(client_count(client, "HTTP/1.1 200 OK\r\n"), 1);
    assert_int_equal(client_count(client, "HTTP/1.1 503 Service Unavailable\r\n"), 1);
    assert_non_null(strstr(client->data, "Skep-Error: overloaded\r\n"));
}

static void test_a_client_that_never_stops_sending_is_cut_off(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    client_say(fixture, client,
               "POST /null HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    for (unsigned i = 0; i < 40; i++) /* bytes in the kernel are not counted */
        client_send(fixture, client, fixture->body, sizeof(fixture->body));
    WAIT_UNTIL(fixture, client, http_front_connections(fixture->front) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_reaches_a_client_that_first_sends_its_whole_body),
        cmocka_unit_test(test_a_client_that_never_stops_sending_is_cut_off),
        cmocka_unit_test(test_a_slow_head_is_408),
        cmocka_unit_test(test_a_slow_body_is_408_and_told_to_the_handler),
        cmocka_unit_test(test_a_body_that_the_handler_holds_back_does_not_time_out),
        cmocka_unit_test(test_a_body_below_the_least_rate_gets_408),
        cmocka_unit_test(test_a_client_that_reads_below_the_least_rate_is_closed),
        cmocka_unit_test(test_the_first_head_is_due_from_the_first_moment),
        cmocka_unit_test(test_the_connection_longest_without_a_request_gives_way),
        cmocka_unit_test(test_silent_connections_give_way_to_those_that_ask),
        cmocka_unit_test(test_a_proxy_has_no_limit_of_its_own),
        cmocka_unit_test(test_a_client_that_stops_within_its_body_gives_way),
        cmocka_unit_test(test_a_shortage_of_descriptors_is_counted_and_passes),
        cmocka_unit_test(test_a_pipeline_takes_turns_with_other_connections),
        cmocka_unit_test(test_parts_of_heads_are_within_the_budget),
        cmocka_unit_test(test_requests_behind_another_are_within_the_budget),
        cmocka_unit_test(test_the_kernel_keeps_little_for_a_connection),
        cmocka_unit_test(test_less_is_read_at_a_time_while_buffers_are_short),
        cmocka_unit_test(test_what_the_handler_keeps_is_within_the_budget),
        cmocka_unit_test(test_a_client_that_takes_its_answer_does_not_give_way),
        cmocka_unit_test(test_above_the_budget_the_slowest_is_cut_off),
        cmocka_unit_test(test_an_idle_connection_is_closed_without_a_word),
        cmocka_unit_test(test_a_client_that_reads_nothing_is_closed),
        cmocka_unit_test(test_one_address_gets_so_many_connections),
        cmocka_unit_test(test_ipv6_is_counted_by_64_bits_and_mapped_ipv4_as_ipv4),
        cmocka_unit_test(test_over_the_limit_new_connections_wait),
        cmocka_unit_test(test_unix_sockets_have_no_limit_by_address_and_are_cleaned_up),
        cmocka_unit_test(test_listen_addresses_are_numeric_and_complete),
        cmocka_unit_test(test_a_draining_front_closes_idle_connections_and_finishes_the_others),
        cmocka_unit_test(test_the_front_can_be_freed_with_requests_in_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
