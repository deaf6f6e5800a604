/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that the HTTP front accepts and refuses, in the same way however the bytes
 * are split into packets.
 */
#include "tests/unit/http/http_fixture.h"

#define GET "GET / HTTP/1.1\r\n"
#define POST "POST /echo HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED_HEAD POST "Transfer-Encoding: chunked\r\n"
#define CHUNKED CHUNKED_HEAD "\r\n"

static const struct {
    const char *why;
    struct http_text bytes;
    unsigned status;
} malformed[] = {
    { "bare LF after the request line", TEXT("GET / HTTP/1.1\nHost: a\r\n\r\n"), 400 },
    { "bare LF after a field", TEXT(GET "Host: a\nA: b\r\n\r\n"), 400 },
    { "bare LF at the end", TEXT(GET "Host: a\r\n\n"), 400 },
    { "bare CR between fields", TEXT(GET "Host: a\rA: b\r\n\r\n"), 400 },
    { "bare CR at the end", TEXT(GET "Host: a\r\n\rX"), 400 },
    { "obs-fold with a space", TEXT(GET "Host: a\r\nA: b\r\n c\r\n\r\n"), 400 },
    { "obs-fold with a tab", TEXT(GET "Host: a\r\nA: b\r\n\tc\r\n\r\n"), 400 },
    { "first field starts with a space", TEXT(GET " Host: a\r\n\r\n"), 400 },
    { "space before the colon", TEXT(GET "Host: a\r\nA : b\r\n\r\n"), 400 },
    { "tab before the colon", TEXT(GET "Host: a\r\nA\t: b\r\n\r\n"), 400 },
    { "empty field name", TEXT(GET "Host: a\r\n: b\r\n\r\n"), 400 },
    { "field without colon", TEXT(GET "Host: a\r\nAb\r\n\r\n"), 400 },
    { "field name is not a token", TEXT(GET "Host: a\r\nA(b: c\r\n\r\n"), 400 },
    { "field name with a high byte", TEXT(GET "Host: a\r\nA\xe9: c\r\n\r\n"), 400 },
    { "NUL in a value", TEXT(GET "Host: a\r\nA: b\0c\r\n\r\n"), 400 },
    { "NUL in a name", TEXT(GET "Host: a\r\nA\0: b\r\n\r\n"), 400 },
    { "NUL in the target", TEXT("GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
    { "control character in a value", TEXT(GET "Host: a\r\nA: b\x01\r\n\r\n"), 400 },
    { "DEL in a value", TEXT(GET "Host: a\r\nA: b\x7f\r\n\r\n"), 400 },
    { "control character in the target", TEXT("GET /\x0b HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
    { "tab in the target", TEXT("GET /\t HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
    { "high byte in the target", TEXT("GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
    { "fragment in the target", TEXT("GET /#a HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
    { "target without slash", TEXT("GET a HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
    { "asterisk with GET", TEXT("GET * HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
    { "two spaces in the request line", TEXT("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
    { "space behind the version", TEXT("GET / HTTP/1.1 \r\nHost: a\r\n\r\n"), 400 },
    { "tab in the request line", TEXT("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
    { "HTTP/0.9", TEXT("GET /\r\n\r\n"), 400 },
    { "lower-case version", TEXT("GET / http/1.1\r\nHost: a\r\n\r\n"), 400 },
    { "other protocol", TEXT("GET / HTTQ/1.1\r\nHost: a\r\n\r\n"), 400 },
    { "version 2.0", TEXT("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505 },
    { "version 0.9 written out", TEXT("GET / HTTP/0.9\r\nHost: a\r\n\r\n"), 505 },
    { "version 3.0", TEXT("GET / HTTP/3.0\r\nHost: a\r\n\r\n"), 505 },
    { "version 1.x", TEXT("GET / HTTP/1.x\r\nHost: a\r\n\r\n"), 400 },
    { "version 1.10", TEXT("GET / HTTP/1.10\r\nHost: a\r\n\r\n"), 400 },
    { "HTTP/2 preface", TEXT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 400 },
    { "TLS", TEXT("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), 400 },
    { "unknown method", TEXT("BREW / HTTP/1.1\r\nHost: a\r\n\r\n"), 501 },
    { "lower-case method", TEXT("get / HTTP/1.1\r\nHost: a\r\n\r\n"), 501 },
    { "method is not a token", TEXT("G(T / HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
    { "CONNECT", TEXT("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"), 400 },
    { "TRACE", TEXT("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"), 501 },
    { "no Host", TEXT(GET "\r\n"), 400 },
    { "two Hosts", TEXT(GET "Host: a\r\nHost: a\r\n\r\n"), 400 },
    { "empty Host", TEXT(GET "Host: \r\n\r\n"), 400 },
    { "slash in Host", TEXT(GET "Host: a/b\r\n\r\n"), 400 },
    { "user in Host", TEXT(GET "Host: a@b\r\n\r\n"), 400 },
    { "space in Host", TEXT(GET "Host: a b\r\n\r\n"), 400 },
    { "list in Host", TEXT(GET "Host: a,b\r\n\r\n"), 400 },
    { "percent in Host", TEXT(GET "Host: a%62\r\n\r\n"), 400 },
    { "high byte in Host", TEXT(GET "Host: \xc3\xa9\r\n\r\n"), 400 },
    { "port is not a number", TEXT(GET "Host: a:8x\r\n\r\n"), 400 },
    { "port is too large", TEXT(GET "Host: a:65536\r\n\r\n"), 400 },
    { "port without host", TEXT(GET "Host: :80\r\n\r\n"), 400 },
    { "open bracket", TEXT(GET "Host: [::1\r\n\r\n"), 400 },
    { "name in brackets", TEXT(GET "Host: [xyz]\r\n\r\n"), 400 },
    { "bad authority in target", TEXT("GET http://a@b/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
    { "absolute without authority", TEXT("GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
    { "asterisk with a port in Host and GET", TEXT("GET * HTTP/1.1\r\nHost: x:80\r\n\r\n"), 400 },
    { "two dots in Host", TEXT(GET "Host: a..b\r\n\r\n"), 400 },
    { "hyphen in Host", TEXT(GET "Host: -\r\n\r\n"), 400 },
    { "five numbers in Host", TEXT(GET "Host: 1.2.3.4.5\r\n\r\n"), 400 },
    { "short address in Host", TEXT(GET "Host: 127.1\r\n\r\n"), 400 },
    { "hexadecimal address in Host", TEXT(GET "Host: 0x7f.1\r\n\r\n"), 400 },
    { "punycode of nothing in Host", TEXT(GET "Host: xn--a\r\n\r\n"), 400 },
    { "asterisk in Host", TEXT(GET "Host: a*\r\n\r\n"), 400 },
    { "short IPv6 address in Host", TEXT(GET "Host: [1:2:3]\r\n\r\n"), 400 },
    { "bad Host beside an absolute target",
      TEXT("GET http://a/ HTTP/1.1\r\nHost: 1.2.3.4.5\r\n\r\n"), 400 },
    { "five numbers in an absolute target",
      TEXT("GET http://1.2.3.4.5/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
    { "bad Host in HTTP/1.0", TEXT("GET / HTTP/1.0\r\nHost: a..b\r\n\r\n"), 400 },
    { "OPTIONS * with a bad Host", TEXT("OPTIONS * HTTP/1.1\r\nHost: a..b\r\n\r\n"), 400 },
    { "absolute target without Host", TEXT("GET http://a/ HTTP/1.1\r\n\r\n"), 400 },
    { "other scheme", TEXT("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
    { "length and chunked",
      TEXT(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400 },
    { "chunked and length",
      TEXT(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"), 400 },
    { "two lengths, same", TEXT(POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\na"), 400 },
    { "two lengths, other", TEXT(POST "Content-Length: 1\r\nContent-Length: 2\r\n\r\naa"), 400 },
    { "list of lengths", TEXT(POST "Content-Length: 1, 1\r\n\r\na"), 400 },
    { "signed length", TEXT(POST "Content-Length: +1\r\n\r\na"), 400 },
    { "negative length", TEXT(POST "Content-Length: -1\r\n\r\na"), 400 },
    { "hexadecimal length", TEXT(POST "Content-Length: 0x1\r\n\r\na"), 400 },
    { "empty length", TEXT(POST "Content-Length:\r\n\r\na"), 400 },
    { "length over 64 bits", TEXT(POST "Content-Length: 18446744073709551617\r\n\r\na"), 400 },
    { "chunked twice",
      TEXT(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), 400 },
    { "chunked twice in one field", TEXT(POST "Transfer-Encoding: chunked, chunked\r\n\r\n"), 400 },
    { "chunked is not last", TEXT(POST "Transfer-Encoding: chunked, gzip\r\n\r\n"), 400 },
    { "gzip and chunked", TEXT(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 501 },
    { "gzip", TEXT(POST "Transfer-Encoding: gzip\r\n\r\n"), 400 },
    { "identity", TEXT(POST "Transfer-Encoding: identity\r\n\r\n"), 400 },
    { "misspelt chunked", TEXT(POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), 400 },
    { "quoted chunked", TEXT(POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"), 400 },
    { "vertical tab before chunked",
      TEXT(POST "Transfer-Encoding: \x0b"
                "chunked\r\n\r\n"),
      400 },
    { "chunked in HTTP/1.0",
      TEXT("POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400 },
    { "Connection names Host", TEXT(GET "Host: a\r\nConnection: host\r\n\r\n"), 400 },
    { "Connection names the length",
      TEXT(POST "Content-Length: 1\r\nConnection: close, Content-Length\r\n\r\na"), 400 },
    { "Connection names the transfer coding",
      TEXT(CHUNKED_HEAD "Connection: transfer-encoding\r\n\r\n0\r\n\r\n"), 400 },
    { "Connection is not a list of tokens", TEXT(GET "Host: a\r\nConnection: a(b\r\n\r\n"), 400 },
    { "other expectation", TEXT(POST "Expect: gold\r\nContent-Length: 1\r\n\r\na"), 417 },
    { "chunk size is no number", TEXT(CHUNKED "x\r\n\r\n"), 400 },
    { "empty chunk size", TEXT(CHUNKED "\r\n\r\n"), 400 },
    { "chunk size with 0x", TEXT(CHUNKED "0x1\r\na\r\n0\r\n\r\n"), 400 },
    { "signed chunk size", TEXT(CHUNKED "+1\r\na\r\n0\r\n\r\n"), 400 },
    { "space behind a chunk size", TEXT(CHUNKED "1 \r\na\r\n0\r\n\r\n"), 400 },
    { "blank before a chunk size", TEXT(CHUNKED " 1\r\na\r\n0\r\n\r\n"), 400 },
    { "blank in a chunk size", TEXT(CHUNKED "1 0\r\na\r\n0\r\n\r\n"), 400 },
    { "extension without chunk size", TEXT(CHUNKED ";a\r\n\r\n"), 400 },
    { "blank and extension without chunk size", TEXT(CHUNKED " ;a\r\n\r\n"), 400 },
    { "chunk extension without name", TEXT(CHUNKED "1;\r\na\r\n0\r\n\r\n"), 400 },
    { "chunk extension without value", TEXT(CHUNKED "1;a=\r\na\r\n0\r\n\r\n"), 400 },
    { "chunk extension with two values", TEXT(CHUNKED "1;a=b c\r\na\r\n0\r\n\r\n"), 400 },
    { "chunk extension that is no token", TEXT(CHUNKED "1;a@b\r\na\r\n0\r\n\r\n"), 400 },
    { "chunk extension with an open quote", TEXT(CHUNKED "1;a=\"b\r\na\r\n0\r\n\r\n"), 400 },
    { "chunk extension with an escaped line end", TEXT(CHUNKED "1;a=\"\\\r\n\"\r\na\r\n0\r\n\r\n"),
      400 },
    { "NUL in a chunk extension", TEXT(CHUNKED "1;a=\"\0\"\r\na\r\n0\r\n\r\n"), 400 },
    { "blank behind a chunk extension", TEXT(CHUNKED "1;a \r\na\r\n0\r\n\r\n"), 400 },
    { "semicolon behind chunk data", TEXT(CHUNKED "1\r\na;\r\n0\r\n\r\n"), 400 },
    { "chunk size over 64 bits", TEXT(CHUNKED "10000000000000001\r\na\r\n0\r\n\r\n"), 400 },
    { "chunk size line with bare LF", TEXT(CHUNKED "1\na\r\n0\r\n\r\n"), 400 },
    { "chunk size line with bare CR", TEXT(CHUNKED "1\ra\r\n0\r\n\r\n"), 400 },
    { "chunk extension with bare LF", TEXT(CHUNKED "1;a\nb\r\na\r\n0\r\n\r\n"), 400 },
    { "chunk data longer than said", TEXT(CHUNKED "1\r\nab\r\n0\r\n\r\n"), 400 },
    { "chunk data with bare LF behind", TEXT(CHUNKED "1\r\na\n0\r\n\r\n"), 400 },
    { "chunk data without line end", TEXT(CHUNKED "1\r\na0\r\n\r\n"), 400 },
    { "last chunk with bare LF", TEXT(CHUNKED "0\n\n"), 400 },
    { "end of body with bare LF", TEXT(CHUNKED "0\r\n\n"), 400 },
    { "trailer with bare LF", TEXT(CHUNKED "0\r\nA: b\n\r\n"), 400 },
    { "folded trailer", TEXT(CHUNKED "0\r\nA: b\r\n c\r\n\r\n"), 400 },
    { "NUL in a trailer", TEXT(CHUNKED "0\r\nA: \0\r\n\r\n"), 400 },
};

static void test_malformed_requests_are_refused_and_the_connection_closed(void **state)
{
    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
        _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
        _cleanup_(client_cleanup) struct client *client =
            client_talk(fixture, malformed[i].bytes.data, malformed[i].bytes.size);

        if (client_status(client) != malformed[i].status)
            fail_msg("%s: %s", malformed[i].why, client->data);
        assert_int_equal(client_count(client, "HTTP/1.1 "), 1);
        assert_non_null(strstr(client->data, "Connection: close\r\n"));
        assert_non_null(strstr(client->data, "Skep-Error: bad_request\r\n"));
        assert_non_null(strstr(client->data, "\"code\":\"bad_request\""));
        assert_null(fixture->exchange);
    }
}

static void test_split_malformed_requests_are_refused_too(void **state)
{
    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
        _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
        _cleanup_(client_cleanup) struct client *client = client_new(fixture);

        for (size_t j = 0; j < malformed[i].bytes.size; j++)
            client_send(fixture, client, malformed[i].bytes.data + j, 1);
        WAIT_UNTIL(fixture, client, client->is_closed);
        if (client_status(client) != malformed[i].status)
            fail_msg("%s: %s", malformed[i].why, client->data);
    }
}

/* --- accepted requests, as the handler sees them --- */

static const struct {
    const char *request; /* Connection: close is added to a request that is complete */
    const char *seen;
} accepted[] = {
    { "GET /hello HTTP/1.1\r\nHost: Example.COM:8080\r\nConnection: close\r\n\r\n",
      "method=GET\nhost=example.com\nauthority=example.com:8080\ntarget=/hello\n"
      "field host=example.com:8080\n" },
    { "GET /hello HTTP/1.1\r\nHost: a.:080\r\nConnection: close\r\n\r\n",
      "method=GET\nhost=a\nauthority=a\ntarget=/hello\nfield host=a\n" },
    { "GET /hello HTTP/1.1\r\nHost:[0::1]:81\r\nConnection: close\r\n\r\n",
      "method=GET\nhost=[::1]\nauthority=[::1]:81\ntarget=/hello\nfield host=[::1]:81\n" },
    { "GET /hello HTTP/1.2\r\nHost: a\r\nConnection: close\r\n\r\n",
      "method=GET\nhost=a\nauthority=a\ntarget=/hello\nfield host=a\n" },
    { "GET /hello HTTP/1.9\r\nHost: a\r\nConnection: close\r\n\r\n",
      "method=GET\nhost=a\nauthority=a\ntarget=/hello\nfield host=a\n" },
    { "GET HTTP://b:81/hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
      "method=GET\nhost=b\nauthority=b:81\ntarget=/hello\nfield host=b:81\n" },
    { "\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
      "method=GET\nhost=a\nauthority=a\ntarget=/hello\nfield host=a\n" },
    { "GET /hello HTTP/1.0\r\n\r\n",
      "method=GET\nhost=localhost\nauthority=localhost\ntarget=/hello\n" },
    { "GET /hello HTTP/1.1\r\nHost: a\r\nX-A:  b\xe9 \t\r\nX-B:\r\nConnection: close\r\n\r\n",
      "method=GET\nhost=a\nauthority=a\ntarget=/hello\nfield host=a\nfield x-a=b\xe9\n"
      "field x-b=\n" },
    { "GET /hello HTTP/1.1\r\nHost: a\r\nX-Secret: 1\r\nConnection: close, , X-Secret, accept\r\n"
      "Keep-Alive: 1\r\nProxy-Connection: x\r\nTE: trailers\r\nTrailer: x\r\nUpgrade: h2c\r\n"
      "Accept: c\r\n\r\n",
      "method=GET\nhost=a\nauthority=a\ntarget=/hello\nfield host=a\nfield accept=c\n" },
    { "GET /hello HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\n\r\n",
      "method=GET\nhost=a\nauthority=a\ntarget=/hello\nfield host=a\n" },
    { "GET /hello HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1\r\nFORWARDED: 2\r\nX-Real-Ip: "
      "3\r\nX-Own: 4\r\n"
      "Cookie: 5\r\nAuthorization: 6\r\nConnection: close, X-FORWARDED-FOR, forwarded, x-real-ip, "
      "x-own\r\n"
      "Connection: cookie, authorization\r\n\r\n",
      "method=GET\nhost=a\nauthority=a\ntarget=/hello\nfield host=a\nfield x-forwarded-for=1\n"
      "field forwarded=2\nfield x-real-ip=3\nfield cookie=5\nfield authorization=6\n" },
    { "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
      "1 \t;a\r\na\r\n2 ; b = c ;\td=\"e;\\\"\xe9\" ; f\r\nbc\r\n0 ; end\r\n\r\n",
      "method=POST\nhost=a\nauthority=a\ntarget=/echo\nfield host=a\nbody=abc\n" },
    { "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
      "method=POST\nhost=a\nauthority=a\ntarget=/echo\nfield host=a\nfield content-length=0\n" },
    { "POST /echo HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: 3\r\nConnection: close\r\n\r\nabc",
      "method=POST\nhost=a\nauthority=a\ntarget=/echo\nfield host=a\nfield content-length=3\n"
      "body=abc\n" },
    { "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\nConnection: close\r\n\r\n"
      "3;x=\"y\"\r\nabc\r\n0A\r\n0123456789\r\n000\r\nHost: evil\r\n\r\n",
      "method=POST\nhost=a\nauthority=a\ntarget=/echo\nfield host=a\nbody=abc0123456789\n" },
};

static void test_requests_reach_the_handler_without_fields_of_the_connection(void **state)
{
    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(accepted); i++) {
        _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
        _cleanup_(client_cleanup) struct client *client =
            client_talk(fixture, accepted[i].request, strlen(accepted[i].request));

        assert_int_equal(client_status(client), 200);
        assert_string_equal(fixture->seen, accepted[i].seen);
    }
}

static void test_options_asterisk_reaches_the_handler(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    client_say(fixture, client, "OPTIONS * HTTP/1.1\r\nHost: a:80\r\nConnection: close\r\n\r\n");
    WAIT_UNTIL(fixture, client, fixture->exchange);
    assert_string_equal(fixture->seen,
                        "method=OPTIONS\nhost=a\nauthority=a\ntarget=/\nfield host=a\n");
    assert_int_equal(answer_text(fixture->exchange, "", 0), 0);
    WAIT_UNTIL(fixture, client, client->is_closed);
    assert_int_equal(client_status(client), 200);
}

static void test_a_request_without_host_is_for_the_configured_one(void **state)
{
    struct http_limits limits = fixture_limits;
    _cleanup_(fixture_cleanup) struct fixture *fixture = NULL;
    _cleanup_(client_cleanup) struct client *client = NULL;

    (void) state;
    memcpy(limits.default_host, "shop.example", sizeof("shop.example"));
    fixture = fixture_new(&limits);
    client = client_new(fixture);
    client_say(fixture, client, "GET //admin/hello HTTP/1.0\r\n\r\n");
    WAIT_UNTIL(fixture, client, fixture->exchange);
    assert_string_equal(
        fixture->seen,
        "method=GET\nhost=shop.example\nauthority=shop.example\ntarget=//admin/hello\n");
}

/* --- limits of the head --- */

static void test_a_head_up_to_the_limit_passes_and_one_byte_more_is_431(void **state)
{
    static const char start[] = "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: ";
    char head[8192 + 1];
    size_t n = sizeof(start) - 1;

    (void) state;
    for (size_t size = 8192; size <= 8193; size++) {
        _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
        _cleanup_(client_cleanup) struct client *client = NULL;

        memcpy(head, start, n);
        memset(head + n, 'x', size - n - 4);
        memcpy(head + size - 4, "\r\n\r\n", 4);
        client = client_talk(fixture, head, size);
        assert_int_equal(client_status(client), size == 8192 ? 200 : 431);
    }
}

static void test_an_endless_head_is_431_and_the_client_can_read_it(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_free_ char *head = malloc(300000);
    _cleanup_(client_cleanup) struct client *client = NULL;

    (void) state;
    memset(head, 'x', 300000);
    memcpy(head, "GET /", 5);
    client = client_talk(fixture, head, 300000);
    assert_int_equal(client_status(client), 431);
    assert_non_null(strstr(client->data, "Skep-Error: header_too_large\r\n"));
    assert_false(client->is_reset);
}

static void test_a_request_with_too_many_fields_is_431(void **state)
{
    (void) state;
    for (unsigned count = 20; count <= 21; count++) {
        _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
        _cleanup_(client_cleanup) struct client *client = client_new(fixture);

        client_say(fixture, client, "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n");
        for (unsigned i = 2; i < count; i++)
            client_say(fixture, client, "A: b\r\n");
        client_say(fixture, client, "\r\n");
        WAIT_UNTIL(fixture, client, client->is_closed);
        assert_int_equal(client_status(client), count == 20 ? 200 : 431);
    }
}

static void test_endless_trailers_are_refused(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);

    (void) state;
    client_say(fixture, client, CHUNKED "0\r\n");
    for (unsigned i = 0; i < 1000; i++)
        client_say(fixture, client, "Abcdefghij: klmnop\r\n");
    WAIT_UNTIL(fixture, client, client->is_closed);
    assert_int_equal(client_status(client), 400);
    assert_int_equal(fixture->gone, 1);
}

/* --- splits --- */

static const char pipelined[] =
    "GET /hello HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"
    "\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nfirst"
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    "4 ; ext=\"1\"\r\nseco\r\n2\r\nnd\r\n0\r\nTrailer: t\r\n\r\n"
    "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n"
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    "GET http://b/hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    "GET /never HTTP/1.1\r\nHost: a\r\n\r\n";

/* Sends first bytes, one loop turn, and so on by step. */
static void exchange_in_steps(size_t first, size_t step, char **ret_answer, char **ret_seen)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = fixture_new(&fixture_limits);
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);
    size_t size = sizeof(pipelined) - 1;
    size_t sent = first;

    client_send(fixture, client, pipelined, first);
    while (sent < size) {
        size_t n = step < size - sent ? step : size - sent;

        client_send(fixture, client, pipelined + sent, n);
        sent += n;
    }
    WAIT_UNTIL(fixture, client, client->is_closed);
    *ret_answer = strdup(client->data);
    *ret_seen = strdup(fixture->seen);
}

static void test_packets_make_no_difference(void **state)
{
    _cleanup_free_ char *answer = NULL;
    _cleanup_free_ char *seen = NULL;
    size_t size = sizeof(pipelined) - 1;

    (void) state;
    exchange_in_steps(size, 1, &answer, &seen);
    assert_non_null(strstr(seen, "body=first\n"));
    assert_non_null(strstr(seen, "body=second\n"));
    assert_null(strstr(seen, "never"));
    for (size_t first = 0; first < size; first++) {
        _cleanup_free_ char *split_answer = NULL;
        _cleanup_free_ char *split_seen = NULL;

        exchange_in_steps(first, first == 0 ? 1 : size, &split_answer, &split_seen);
        assert_string_equal(split_answer, answer);
        assert_string_equal(split_seen, seen);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed_requests_are_refused_and_the_connection_closed),
        cmocka_unit_test(test_split_malformed_requests_are_refused_too),
        cmocka_unit_test(test_requests_reach_the_handler_without_fields_of_the_connection),
        cmocka_unit_test(test_options_asterisk_reaches_the_handler),
        cmocka_unit_test(test_a_request_without_host_is_for_the_configured_one),
        cmocka_unit_test(test_a_head_up_to_the_limit_passes_and_one_byte_more_is_431),
        cmocka_unit_test(test_an_endless_head_is_431_and_the_client_can_read_it),
        cmocka_unit_test(test_a_request_with_too_many_fields_is_431),
        cmocka_unit_test(test_endless_trailers_are_refused),
        cmocka_unit_test(test_packets_make_no_difference),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
