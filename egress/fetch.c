/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One fetch: checks, the name's addresses, libcurl's handle with bodies both ways, and its end. The addresses of a name
 * are checked before libcurl hears of them, and are the only ones that it has (CURLOPT_RESOLVE); where the socket is made,
 * and when it is connected, the address is checked again. Egress process.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/address_kind.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "config/config.h"
#include "egress/internal.h"
#include "egress/target.h"
#include "helper/helper.h"
#include "proto/frame.h"

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_US UINT64_C(1000)
#define TIME_MAX_MS (UINT32_C(24) * 3600 * 1000)
/* Bytes of a body that are kept, so that a request goes out again when a connection that was used before turns out to
 * be closed. */
#define KEPT_MAX_BYTES EGRESS_WINDOW_BYTES

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) text, .len = strlen(text) };
}

/* ---- frames to skepd; none if it has left */

static void send_frame(struct fetch *fetch, Skep__Egress__FromEgress *frame)
{
    if (fetch->client)
        (void) helper_send(fetch->client, &frame->base);
}

static void send_head(struct fetch *fetch, uint32_t status, uint32_t version, uint8_t *packed,
                      size_t size)
{
    Skep__Egress__Head head = SKEP__EGRESS__HEAD__INIT;
    Skep__Egress__FromEgress frame = SKEP__EGRESS__FROM_EGRESS__INIT;

    head.id = fetch->id;
    head.status = status;
    head.version = version;
    head.head = (ProtobufCBinaryData){ .data = packed, .len = size };
    head.reason = (ProtobufCBinaryData){ .data = (uint8_t *) fetch->head.reason,
                                         .len = fetch->head.reason_bytes };
    frame.message_case = SKEP__EGRESS__FROM_EGRESS__MESSAGE_HEAD;
    frame.head = &head;
    send_frame(fetch, &frame);
}

static void send_body(struct fetch *fetch, const uint8_t *data, size_t size)
{
    Skep__Stream__Body body = SKEP__STREAM__BODY__INIT;
    Skep__Egress__FromEgress frame = SKEP__EGRESS__FROM_EGRESS__INIT;

    body.id = fetch->id;
    body.data = (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) data, .len = size };
    frame.message_case = SKEP__EGRESS__FROM_EGRESS__MESSAGE_BODY;
    frame.body = &body;
    send_frame(fetch, &frame);
}

static void send_credit(struct fetch *fetch, uint32_t bytes)
{
    Skep__Stream__Credit credit = SKEP__STREAM__CREDIT__INIT;
    Skep__Egress__FromEgress frame = SKEP__EGRESS__FROM_EGRESS__INIT;

    credit.id = fetch->id;
    credit.bytes = bytes;
    frame.message_case = SKEP__EGRESS__FROM_EGRESS__MESSAGE_CREDIT;
    frame.credit = &credit;
    send_frame(fetch, &frame);
}

static uint64_t since_us(const struct fetch *fetch, uint64_t then_ns)
{
    return then_ns > fetch->opened_ns ? (then_ns - fetch->opened_ns) / NS_PER_US : 0;
}

static void send_done(struct fetch *fetch)
{
    Skep__Egress__Done done = SKEP__EGRESS__DONE__INIT;
    Skep__Egress__FromEgress frame = SKEP__EGRESS__FROM_EGRESS__INIT;
    long connects = 0;

    if (fetch->easy)
        (void) curl_easy_getinfo(fetch->easy, CURLINFO_NUM_CONNECTS, &connects);
    done.id = fetch->id;
    done.failure = fetch->failure;
    done.text = bytes_of(fetch->text);
    done.address = bytes_of(fetch->address);
    done.sent = fetch->sent;
    done.received = fetch->received;
    done.connects = (uint32_t) connects;
    done.connect_us = since_us(fetch, fetch->connected_ns);
    done.head_us = since_us(fetch, fetch->head_ns);
    done.total_us = since_us(fetch, io_now_ns());
    frame.message_case = SKEP__EGRESS__FROM_EGRESS__MESSAGE_DONE;
    frame.done = &done;
    send_frame(fetch, &frame);
}

/* ---- the end */

void fetch_fail(struct fetch *fetch, Skep__Egress__Failure failure, const char *format, ...)
{
    va_list args;

    if (fetch->is_over)
        return;
    fetch->is_over = true;
    fetch->failure = failure;
    va_start(args, format);
    (void) vsnprintf(fetch->text, sizeof fetch->text, format, args);
    va_end(args);
    /* libcurl quotes the server's certificate and answer. */
    for (char *at = fetch->text; *at != '\0'; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
}

void fetch_free(struct fetch *fetch)
{
    struct pool *pool = fetch->pool;

    pool_forget_lookup(pool, fetch);
    if (pool->egress->gathering == fetch)
        pool->egress->gathering = NULL;
    if (fetch->is_in_multi)
        (void) curl_multi_remove_handle(pool->multi, fetch->easy);
    if (fetch->easy)
        curl_easy_cleanup(fetch->easy);
    curl_slist_free_all(fetch->headers);
    curl_slist_free_all(fetch->resolve);
    if (fetch->timer)
        event_free(fetch->timer);
    if (fetch->body)
        evbuffer_free(fetch->body);
    if (fetch->held)
        evbuffer_free(fetch->held);
    answer_done(&fetch->head);
    LIST_REMOVE(fetch, bucket);
    TAILQ_REMOVE(&pool->fetches, fetch, entry);
    pool->n_fetches--;
    pool->egress->n_fetches--;
    free(fetch);
}

void fetch_end(struct fetch *fetch)
{
    fetch_flush(fetch->pool->egress);
    send_done(fetch);
    fetch_free(fetch);
}

void fetch_cancel(struct fetch *fetch)
{
    struct pool *pool = fetch->pool;

    pool_enter(pool);
    fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_CANCELLED, "cancelled");
    pool_leave(pool);
}

static struct fetch_bucket *bucket_of(struct egress *egress, uint64_t id)
{
    return &egress->fetches[id % FETCH_BUCKETS];
}

struct fetch *fetch_find(struct egress *egress, const struct helper_client *client, uint64_t id)
{
    struct fetch *fetch;

    LIST_FOREACH (fetch, bucket_of(egress, id), bucket)
        if (fetch->id == id && fetch->client == client)
            break;
    return fetch;
}

/* ---- time */

/* Returns whether the server has to do something. */
static bool is_servers_turn(const struct fetch *fetch)
{
    if (fetch->phase == FETCH_HEAD)
        return !fetch->is_send_paused;
    return fetch->phase == FETCH_BODY && !fetch->is_receive_paused && !fetch->is_send_paused;
}

/* Returns the time at which the fetch has taken too long, and what for. */
static uint64_t deadline(const struct fetch *fetch, const char **ret_what)
{
    uint64_t total = fetch->opened_ns + fetch->total_ms * NS_PER_MS, phase = total;

    *ret_what = "the whole took too long";
    if (fetch->phase <= FETCH_CONNECT)
        phase = fetch->opened_ns + fetch->connect_ms * NS_PER_MS;
    else if (is_servers_turn(fetch))
        phase = fetch->progress_ns +
                (fetch->phase == FETCH_HEAD ? fetch->head_ms : fetch->idle_ms) * NS_PER_MS;
    if (phase >= total)
        return total;
    *ret_what = fetch->phase == FETCH_LOOKUP    ? "the look-up of the name took too long"
                : fetch->phase == FETCH_CONNECT ? "the connection took too long"
                : fetch->phase == FETCH_HEAD    ? "the server did not answer in time"
                                                : "the server sent nothing more in time";
    return phase;
}

/* Sets the timer for the deadline as it is now. A later deadline is found when the timer comes. */
void fetch_arm(struct fetch *fetch)
{
    const char *what;
    uint64_t then = deadline(fetch, &what), now = io_now_ns();
    uint64_t wait_us = then > now ? (then - now) / NS_PER_US + 1 : 0;
    const struct timeval wait = { (time_t) (wait_us / 1000000), (suseconds_t) (wait_us % 1000000) };

    (void) event_add(fetch->timer, &wait);
}

static void on_timer(evutil_socket_t fd, short events, void *arg)
{
    struct fetch *fetch = arg;
    struct pool *pool = fetch->pool;
    const char *what;

    (void) fd;
    (void) events;
    if (deadline(fetch, &what) > io_now_ns()) {
        fetch_arm(fetch);
        return;
    }
    pool_enter(pool);
    fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_TIME, "%s", what);
    pool_leave(pool);
}

/* Notes that the server has done something, or that it is its turn from now on. */
void fetch_note_progress(struct fetch *fetch)
{
    fetch->progress_ns = io_now_ns();
    fetch->pool->idle_bytes = 0;
}

/* ---- the request's body */

/* Lets skepd send as much as libcurl has taken for the first time. */
static void grant(struct fetch *fetch)
{
    uint64_t due = fetch->sent - fetch->granted;

    if (fetch->sent <= fetch->granted || fetch->is_body_ended || due < EGRESS_WINDOW_BYTES / 4)
        return;
    fetch->granted = fetch->sent;
    fetch->window += (uint32_t) due;
    send_credit(fetch, (uint32_t) due);
}

static size_t on_read(char *buffer, size_t size, size_t n, void *arg)
{
    struct fetch *fetch = arg;
    struct evbuffer_ptr at;

    if (fetch->is_over)
        return CURL_READFUNC_ABORT;
    size_t left = evbuffer_get_length(fetch->body) - fetch->taken;
    if (left == 0 && fetch->is_body_ended)
        return 0;
    if (left == 0) {
        fetch->is_send_paused = true;
        return CURL_READFUNC_PAUSE;
    }
    size_t bytes = left < size * n ? left : size * n;
    if (evbuffer_ptr_set(fetch->body, &at, fetch->taken, EVBUFFER_PTR_SET) < 0 ||
        evbuffer_copyout_from(fetch->body, &at, buffer, bytes) != (ssize_t) bytes)
        return CURL_READFUNC_ABORT;
    fetch->taken += bytes;
    fetch->sent += bytes;
    if (fetch->is_dropped || fetch->taken > KEPT_MAX_BYTES) {
        (void) evbuffer_drain(fetch->body, fetch->taken);
        fetch->taken = 0;
        fetch->is_dropped = true;
    }
    fetch_note_progress(fetch);
    grant(fetch);
    return bytes;
}

/* Goes back to the first byte: libcurl sends the request again, on another connection. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct fetch *fetch = arg;

    if (offset != 0 || origin != SEEK_SET || fetch->is_dropped)
        return CURL_SEEKFUNC_FAIL;
    fetch->taken = 0;
    fetch->sent = 0;
    return CURL_SEEKFUNC_OK;
}

/* Makes libcurl ask again for what it may have. */
static void unpause(struct fetch *fetch)
{
    fetch_note_progress(fetch);
    fetch_arm(fetch);
    if (fetch->is_in_multi)
        (void) curl_easy_pause(fetch->easy, (fetch->is_send_paused ? CURLPAUSE_SEND : 0) |
                                                (fetch->is_receive_paused ? CURLPAUSE_RECV : 0));
}

int fetch_on_body(struct fetch *fetch, const Skep__Stream__Body *body)
{
    struct pool *pool = fetch->pool;

    if (!fetch->has_body || fetch->is_body_ended || body->data.len > fetch->window ||
        (body->data.len == 0 && !body->end))
        return -EPROTO;
    fetch->window -= (uint32_t) body->data.len;
    fetch->got += body->data.len;
    fetch->is_body_ended = body->end;
    pool_enter(pool);
    if (fetch->has_length &&
        (fetch->got > fetch->length || (body->end && fetch->got < fetch->length)))
        fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_REQUEST,
                   "the body has another length than it said");
    else if (evbuffer_add(fetch->body, body->data.data, body->data.len) < 0)
        fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_INTERNAL, "out of memory");
    if (!fetch->is_over && fetch->is_send_paused) {
        fetch->is_send_paused = false;
        unpause(fetch);
    }
    pool_leave(pool);
    return 0;
}

/* ---- the answer */

void fetch_flush(struct egress *egress)
{
    if (egress->gathering)
        send_body(egress->gathering, egress->gathered, egress->n_gathered);
    egress->gathering = NULL;
}

/* Gathers a part of the body for which there is credit, until libcurl has returned: each frame costs skepd and the worker
 * as much as many bytes. */
static void gather(struct fetch *fetch, const uint8_t *data, size_t size)
{
    struct egress *egress = fetch->pool->egress;

    fetch->credit -= (uint32_t) size;
    fetch->received += size;
    while (size > 0) {
        if (egress->gathering != fetch || egress->n_gathered == sizeof egress->gathered) {
            fetch_flush(egress);
            egress->gathering = fetch;
            egress->n_gathered = 0;
        }
        size_t room = sizeof egress->gathered - egress->n_gathered;
        size_t part = size < room ? size : room;
        memcpy(egress->gathered + egress->n_gathered, data, part);
        egress->n_gathered += part;
        data += part;
        size -= part;
    }
}

static bool is_congested(const struct fetch *fetch)
{
    return fetch->client && helper_client_is_congested(fetch->client);
}

/* Sends what waited, as far as there is credit for it. */
static void pass_held(struct fetch *fetch)
{
    size_t size = evbuffer_get_length(fetch->held);

    size = size < fetch->credit ? size : fetch->credit;
    if (size == 0)
        return;
    gather(fetch, evbuffer_pullup(fetch->held, (ev_ssize_t) size), size);
    (void) evbuffer_drain(fetch->held, size);
}

void fetch_pass(struct fetch *fetch)
{
    if (!is_congested(fetch) ||
        (fetch->is_over && fetch->failure != SKEP__EGRESS__FAILURE__FAILURE_CANCELLED))
        pass_held(fetch);
}

/* Takes body from libcurl. While the channel is full, the server is held back: all that egress keeps for a skepd that does
 * not read is bounded by the channel's mark, and what libcurl gives at once. */
static size_t on_write(char *data, size_t size, size_t n, void *arg)
{
    struct fetch *fetch = arg;
    size_t bytes = size * n, most = is_congested(fetch) ? 0 : fetch->credit;
    size_t now = bytes < most ? bytes : most;

    if (!fetch->is_head_sent)
        fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_PROTOCOL,
                   "the answer has a body before its head");
    if (fetch->is_over)
        return 0;
    if (now == 0 || evbuffer_get_length(fetch->held) > 0) {
        fetch->is_receive_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    fetch_note_progress(fetch);
    gather(fetch, (const uint8_t *) data, now);
    if (now < bytes && evbuffer_add(fetch->held, data + now, bytes - now) < 0)
        fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_INTERNAL, "out of memory");
    return bytes;
}

void fetch_go_on(struct fetch *fetch)
{
    fetch_pass(fetch);
    if (evbuffer_get_length(fetch->held) > 0)
        return;
    if (fetch->phase == FETCH_REST)
        fetch->is_over = true;
    if (!fetch->is_over && fetch->is_receive_paused && fetch->credit > 0) {
        fetch->is_receive_paused = false;
        unpause(fetch);
    }
}

int fetch_on_credit(struct fetch *fetch, const Skep__Stream__Credit *credit)
{
    struct pool *pool = fetch->pool;

    if (credit->bytes > EGRESS_CREDIT_MAX_BYTES - fetch->credit)
        return -EPROTO;
    pool_enter(pool);
    fetch->credit += credit->bytes;
    fetch_go_on(fetch);
    pool_leave(pool);
    return 0;
}

static uint32_t version_of(CURL *easy)
{
    long version = 0;

    (void) curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version);
    return version == CURL_HTTP_VERSION_1_0 ? 10 : version == CURL_HTTP_VERSION_1_1 ? 11 : 20;
}

/*
 * Closes the connection of an answer 204 that says it has a body, after the fetch. libcurl reads none, as it should; what
 * such a server sends nevertheless would be the beginning of the answer to the tenant's next request.
 */
static void forbid_reuse(struct fetch *fetch, long status)
{
    if (status == 204 && answer_has_body(&fetch->head) && version_of(fetch->easy) < 20)
        (void) curl_easy_setopt(fetch->easy, CURLOPT_FORBID_REUSE, 1L);
}

/* Notes the empty line: the head of a provisional answer is passed over. -EBADMSG: the server goes over to another protocol, for which
 * nobody has asked, and which libcurl would give out as a body. */
static int end_head(struct fetch *fetch)
{
    _cleanup_free_ uint8_t *packed = NULL;
    size_t size;
    long status = 0;

    if (curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK ||
        status < 100 || status > 999)
        return -EPROTO;
    if (status == 101)
        return -EBADMSG;
    if (status < 200)
        return 0;
    int r = answer_settle_length(&fetch->head);
    if (r < 0)
        return r;
    r = answer_pack(&fetch->head, &packed, &size);
    if (r < 0)
        return r;
    forbid_reuse(fetch, status);
    fetch->is_head_sent = true;
    fetch->head_ns = io_now_ns();
    fetch->phase = FETCH_BODY;
    fetch_note_progress(fetch);
    fetch_arm(fetch);
    send_head(fetch, (uint32_t) status, version_of(fetch->easy), packed, size);
    return 0;
}

static int take_line(struct fetch *fetch, const char *line, size_t size)
{
    int r = answer_count(&fetch->head, size);

    if (r < 0 || fetch->is_head_sent) /* trailers */
        return r;
    while (size > 0 && (line[size - 1] == '\n' || line[size - 1] == '\r'))
        size--;
    if (size == 0)
        return end_head(fetch);
    if (size >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        answer_begin(&fetch->head, line, size);
        return memchr(line, '\r', size) ? -EPROTO : 0;
    }
    r = answer_check_coding(line, size);
    if (r < 0)
        return -ENOTSUP;
    return answer_add_line(&fetch->head, line, size);
}

static size_t on_line(char *line, size_t size, size_t n, void *arg)
{
    struct fetch *fetch = arg;

    if (fetch->is_over)
        return 0;
    int r = take_line(fetch, line, size * n);
    if (r == -EMSGSIZE)
        fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_HEAD_SIZE,
                   "the answer has more than %u headers or %u bytes of them", EGRESS_FIELDS_MAX,
                   EGRESS_HEAD_MAX_BYTES);
    else if (r == -EPROTO)
        fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_PROTOCOL,
                   "the answer has a header that is none");
    else if (r == -EBADMSG)
        fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_PROTOCOL,
                   "the server answers with another protocol (101)");
    else if (r == -ENOTSUP)
        fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_PROTOCOL,
                   "the answer has a Transfer-Encoding other than chunked");
    else if (r < 0)
        fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_INTERNAL, "out of memory");
    return r < 0 ? 0 : size * n;
}

/* ---- libcurl's end */

/* Returns how much of the answer's body has come; *ret_is_known: whether the answer said how much there is, in *ret_length. */
static uint64_t count_answer(const struct fetch *fetch, bool *ret_is_known, uint64_t *ret_length)
{
    curl_off_t length = -1;

    *ret_is_known =
        curl_easy_getinfo(fetch->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length) == CURLE_OK &&
        length >= 0;
    *ret_length = *ret_is_known ? (uint64_t) length : 0;
    return fetch->received + evbuffer_get_length(fetch->held);
}

/* Returns whether libcurl still waits for a part of the request's body. */
static bool is_sending(const struct fetch *fetch)
{
    return fetch->has_body &&
           (!fetch->is_body_ended || evbuffer_get_length(fetch->body) > fetch->taken);
}

bool fetch_is_answered(const struct fetch *fetch)
{
    bool is_known;
    uint64_t length;

    if (!fetch->is_in_multi || fetch->phase != FETCH_BODY || fetch->is_receive_paused ||
        (fetch->watched & CURL_POLL_IN) != 0 || !is_sending(fetch))
        return false;
    return count_answer(fetch, &is_known, &length) >= length;
}

/* Returns whether an error is no failure: the request's body could not be sent to its end, but the answer was complete by then. */
static bool is_answered_before(const struct fetch *fetch, CURLcode result)
{
    bool is_known;
    uint64_t length;

    return (result == CURLE_SEND_ERROR || result == CURLE_HTTP2_STREAM) && fetch->is_head_sent &&
           count_answer(fetch, &is_known, &length) == length && is_known;
}

void fetch_on_result(struct fetch *fetch, CURLcode result)
{
    (void) curl_multi_remove_handle(fetch->pool->multi, fetch->easy);
    fetch->is_in_multi = false;
    fetch_pass(fetch);
    if (fetch->is_over)
        return;
    fetch->phase = FETCH_REST;
    if (is_answered_before(fetch, result))
        result = CURLE_OK;
    if (result == CURLE_OK && !fetch->is_head_sent && !fetch->pool->has_cut)
        fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_CLOSED,
                   "the server closed in the head of the answer");
    else if ((result != CURLE_OK || !fetch->is_head_sent) && fetch->pool->has_cut)
        fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_PROTOCOL, NO_ANSWER);
    else if (result != CURLE_OK)
        handle_fail(fetch, result);
    else if (evbuffer_get_length(fetch->held) == 0)
        fetch->is_over = true;
    else
        fetch_arm(fetch);
}

/* ---- the beginning */

static bool is_literal(const char *host)
{
    size_t size = strlen(host);

    return host[0] == '[' || strspn(host, "0123456789.") == size;
}

static void start(struct fetch *fetch)
{
    fetch->phase = FETCH_CONNECT;
    if (curl_multi_add_handle(fetch->pool->multi, fetch->easy) == CURLM_OK)
        fetch->is_in_multi = true;
    else
        fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_INTERNAL, "out of memory");
}

void fetch_on_addresses(struct fetch *fetch, int error, const struct name_addresses *addresses)
{
    if (!addresses) {
        if (error == -ENOENT)
            fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_NAME, "%s has no address",
                       fetch->host);
        else
            fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_RESOLVER,
                       "the address of %s cannot be found out now: %s", fetch->host,
                       strerrordesc_np(-error));
        return;
    }
    /* One address that may not be reached spoils the others: an honest name has none. */
    for (size_t i = 0; i < addresses->n; i++)
        if (!server_may_reach(fetch, (const struct sockaddr *) &addresses->list[i]))
            return;
    if (handle_pin(fetch, addresses) < 0)
        fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_INTERNAL, "out of memory");
    else
        start(fetch);
}

/* Every list of the config fits in a frame. */
_Static_assert(EGRESS_ADDRESSES_MAX <= EGRESS_PREFIXES_MAX, "EGRESS_PREFIXES_MAX");

/* Copies prefixes. False: one is none. */
static bool take_prefixes(Skep__Egress__Prefix *const *from, size_t n, struct address_prefix *to)
{
    for (size_t i = 0; i < n; i++) {
        if (from[i]->address.len != sizeof to[i].bytes || from[i]->bits > 128)
            return false;
        memcpy(to[i].bytes, from[i]->address.data, sizeof to[i].bytes);
        to[i].bits = from[i]->bits;
    }
    return true;
}

/* Takes numbers and prefixes. -EPROTO: skepd sends no such ones. */
static int take_numbers(struct fetch *fetch, const Skep__Egress__Open *open)
{
    struct head head;
    const uint32_t times[] = { open->connect_ms, open->head_ms, open->idle_ms, open->total_ms };

    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        if (times[i] == 0 || times[i] > TIME_MAX_MS)
            return -EPROTO;
    if (open->credit > EGRESS_CREDIT_MAX_BYTES || open->n_named > EGRESS_PREFIXES_MAX ||
        open->n_denied > EGRESS_PREFIXES_MAX || open->head.len > EGRESS_HEAD_MAX_BYTES ||
        head_open(open->head.data, open->head.len, 0, EGRESS_FIELDS_MAX, &head) < 0 ||
        (open->has_length && (!open->has_body || open->length > INT64_MAX)))
        return -EPROTO;
    if (!take_prefixes(open->named, open->n_named, fetch->named) ||
        !take_prefixes(open->denied, open->n_denied, fetch->denied))
        return -EPROTO;
    fetch->addresses =
        (struct address_rules){ fetch->named, open->n_named, fetch->denied, open->n_denied };
    fetch->connect_ms = open->connect_ms;
    fetch->head_ms = open->head_ms;
    fetch->idle_ms = open->idle_ms;
    fetch->total_ms = open->total_ms;
    fetch->credit = open->credit;
    fetch->has_body = open->has_body;
    fetch->has_length = open->has_length;
    fetch->length = open->length;
    fetch->is_body_ended = !open->has_body;
    fetch->window = open->has_body ? EGRESS_WINDOW_BYTES : 0;
    return 0;
}

static struct head_text text_of(ProtobufCBinaryData bytes)
{
    return (struct head_text){ (const char *) bytes.data, bytes.len };
}

static int set_callbacks(struct fetch *fetch)
{
    CURLcode r = CURLE_OK;

#define SET(option, value) r |= curl_easy_setopt(fetch->easy, option, value)
    SET(CURLOPT_HEADERFUNCTION, on_line);
    SET(CURLOPT_HEADERDATA, fetch);
    SET(CURLOPT_WRITEFUNCTION, on_write);
    SET(CURLOPT_WRITEDATA, fetch);
    SET(CURLOPT_READFUNCTION, on_read);
    SET(CURLOPT_READDATA, fetch);
    SET(CURLOPT_SEEKFUNCTION, on_seek);
    SET(CURLOPT_SEEKDATA, fetch);
#undef SET
    return r == CURLE_OK ? 0 : -ENOMEM;
}

/* Checks the request and gives it to libcurl's handle. As handle_set_request. */
static int prepare(struct fetch *fetch, const Skep__Egress__Open *open)
{
    const struct target target = {
        .method = text_of(open->method),
        .scheme = text_of(open->scheme),
        .host = text_of(open->host),
        .path = text_of(open->path),
        .port = open->port,
    };
    const char *reason;

    if (target_check(&target, &reason) < 0) {
        fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_REQUEST, "%s", reason);
        return -EINVAL;
    }
    if (open->has_body && (target_method_is(&target, "GET") || target_method_is(&target, "HEAD"))) {
        fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_REQUEST, "a %.*s has no body",
                   (int) target.method.size, target.method.data);
        return -EINVAL;
    }
    memcpy(fetch->host, target.host.data, target.host.size);
    fetch->port = target.port;
    int r = handle_set(fetch);
    if (r == 0)
        r = set_callbacks(fetch);
    if (r == 0)
        r = server_set(fetch);
    return r < 0 ? r : handle_set_request(fetch, open, &target);
}

static void look_up(struct fetch *fetch)
{
    if (is_literal(fetch->host)) {
        start(fetch);
        return;
    }
    int r = pool_look_up(fetch->pool, fetch);
    if (r == -EBUSY)
        fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_BUSY,
                   "too many names are being looked up");
    else if (r < 0)
        fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_INTERNAL, "out of memory");
}

/* Makes a fetch that is in all lists. NULL: out of memory. */
static struct fetch *fetch_new(struct pool *pool, struct helper_client *client, uint64_t id)
{
    struct fetch *fetch = calloc(1, sizeof *fetch);

    if (!fetch)
        return NULL;
    fetch->pool = pool;
    fetch->client = client;
    fetch->id = id;
    fetch->fd = -1;
    fetch->opened_ns = fetch->progress_ns = io_now_ns();
    TAILQ_INSERT_TAIL(&pool->fetches, fetch, entry);
    LIST_INSERT_HEAD(bucket_of(pool->egress, id), fetch, bucket);
    pool->n_fetches++;
    pool->egress->n_fetches++;
    fetch->easy = curl_easy_init();
    fetch->timer = evtimer_new(pool->egress->base, on_timer, fetch);
    fetch->body = evbuffer_new();
    fetch->held = evbuffer_new();
    if (fetch->easy && fetch->timer && fetch->body && fetch->held)
        return fetch;
    fetch_free(fetch);
    return NULL;
}

/* Answers an Open for which there is no fetch. */
static void refuse(struct helper_client *client, uint64_t id, const char *text)
{
    struct fetch none = {
        .client = client,
        .id = id,
        .failure = SKEP__EGRESS__FAILURE__FAILURE_BUSY,
    };

    (void) snprintf(none.text, sizeof none.text, "%s", text);
    none.opened_ns = io_now_ns();
    send_done(&none);
}

int fetch_open(struct egress *egress, struct helper_client *client, const Skep__Egress__Open *open)
{
    struct pool *pool = NULL;

    if (egress->n_fetches < EGRESS_FETCHES_MAX)
        pool = pool_get(egress, client, open->tenant);
    if (!pool || pool->n_fetches >= EGRESS_TENANT_FETCHES_MAX) {
        refuse(client, open->id,
               pool ? "too many fetches at a time" : "too many fetches of all tenants");
        return 0;
    }
    pool_enter(pool);
    pool_bound_idle(pool);
    struct fetch *fetch = fetch_new(pool, client, open->id);
    int r = fetch ? take_numbers(fetch, open) : 0;
    if (!fetch)
        refuse(client, open->id, "out of memory");
    if (fetch && r == 0)
        r = prepare(fetch, open);
    if (r == -ENOMEM)
        fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_INTERNAL, "out of memory");
    if (fetch && r == 0) {
        fetch_arm(fetch);
        look_up(fetch);
    } else if (r == -EPROTO) {
        fetch_free(fetch);
    }
    pool_leave(pool);
    return r == -EPROTO ? r : 0;
}
