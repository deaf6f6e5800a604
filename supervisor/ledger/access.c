/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/ledger/access.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"

#define HOST_MAX_BYTES 255
#define PATH_MAX_BYTES 1024
#define METHOD_MAX_BYTES 32
#define TEXT_BYTES 2048

struct access {
    struct http_text method, host, path, client; /* empty: not known */
    bool is_http10;
    unsigned status; /* 0: nothing was sent */
    const char *code;
    const struct tenant *tenant; /* NULL: none */
    uint64_t id;                 /* 0: none */
    unsigned worker;
    pid_t worker_pid; /* 0: none had it */
    uint64_t bytes, duration_us, queue_us;
};

bool access_is_on(const struct server *server)
{
    return server->config->access_log;
}

static struct http_text cut(struct http_text text, size_t most)
{
    return (struct http_text){ text.data, text.size < most ? text.size : most };
}

/* Without the query: secrets are in it more often than elsewhere. */
static struct http_text path_of(struct http_text target)
{
    const char *query = target.size > 0 ? memchr(target.data, '?', target.size) : NULL;

    if (query)
        target.size = (size_t) (query - target.data);
    return cut(target, PATH_MAX_BYTES);
}

static struct log_field text_field(const char *name, struct http_text text)
{
    return (struct log_field){ .name = name, .text = text.data, .size = text.size };
}

static struct log_field number_field(const char *name, enum log_field_kind kind, uint64_t number)
{
    return (struct log_field){ .name = name, .kind = kind, .number = number };
}

/* For people: what the fields say, in a line. */
static size_t describe(const struct access *a, char *text, size_t size)
{
    char status[16] = "-", id[40] = "", worker[32] = "";

    if (a->status > 0)
        (void) snprintf(status, sizeof status, "%u", a->status);
    if (a->id > 0)
        (void) snprintf(id, sizeof id, "; request %" PRIu64, a->id);
    if (a->worker_pid > 0)
        (void) snprintf(worker, sizeof worker, "; worker %u", a->worker);
    int n = snprintf(text, size,
                     "%.*s %.*s%.*s %s%s%s; %" PRIu64 " bytes in %.3f ms, %.3f ms of it queued; "
                     "client %.*s%s%s",
                     (int) a->method.size, a->method.data ? a->method.data : "", (int) a->host.size,
                     a->host.data ? a->host.data : "", (int) a->path.size,
                     a->path.data ? a->path.data : "", status, a->code ? " " : "",
                     a->code ? a->code : "", a->bytes, (double) a->duration_us / 1e3,
                     (double) a->queue_us / 1e3, (int) a->client.size,
                     a->client.data ? a->client.data : "", id, worker);
    return n < 0 ? 0 : (size_t) n < size ? (size_t) n : size - 1;
}

static void write_event(const struct access *a)
{
    static const struct http_text event = { "access", 6 }, http10 = { "1.0", 3 },
                                  http11 = { "1.1", 3 };
    const struct log_field fields[] = {
        text_field("event", event),
        text_field("method", a->method),
        text_field("host", a->host),
        text_field("path", a->path),
        text_field("http", a->is_http10 ? http10 : http11),
        text_field("client", a->client),
        number_field("status", LOG_FIELD_NUMBER, a->status),
        number_field("bytes", LOG_FIELD_NUMBER, a->bytes),
        number_field("duration_ms", LOG_FIELD_MILLI, a->duration_us),
        number_field("queue_ms", LOG_FIELD_MILLI, a->queue_us),
    };
    char text[TEXT_BYTES];

    size_t size = describe(a, text, sizeof text);
    log_text(LOG_LEVEL_INFO,
             LOG_ABOUT(.tenant = a->tenant ? a->tenant->name : NULL, .code = a->code,
                       .request = a->id, .worker = a->worker, .worker_pid = a->worker_pid,
                       .fields = fields, .n_fields = ARRAY_LEN(fields)),
             text, size);
}

/* ---- a request of the ledger's */

/* "http://", authority, target: see copy_head. */
static void split_url(struct http_text url, struct access *a)
{
    const char *start = url.data + strlen("http://"), *end = url.data + url.size;
    const char *slash = memchr(start, '/', (size_t) (end - start));

    if (!slash)
        slash = end;
    a->host = cut((struct http_text){ start, (size_t) (slash - start) }, HOST_MAX_BYTES);
    a->path = path_of((struct http_text){ slash, (size_t) (end - slash) });
}

static bool is_head(struct http_text method)
{
    return method.size == 4 && memcmp(method.data, "HEAD", 4) == 0;
}

static unsigned status_of(const struct request *request, enum error_code code)
{
    if (request->status > 0 || code == ERROR_NONE)
        return request->status; /* with which the answer began, however it ended */
    return error_info(code)->status;
}

static void log_request(struct request *request, unsigned status, const char *code)
{
    uint64_t now = io_now_ns();
    uint64_t sent = request->sent_ns > 0 ? request->sent_ns : now;
    struct access a = {
        .method = cut(request->method, METHOD_MAX_BYTES),
        .client = request->client,
        .is_http10 = request->is_http10,
        .status = status,
        .code = code,
        .tenant = request->tenant,
        .id = request->id,
        .worker = request->worker,
        .worker_pid = request->worker_pid,
        .bytes = is_head(request->method) ? 0 : request->response_total,
        .duration_us = (now - request->received_ns) / NSEC_PER_USEC,
        .queue_us = (sent - request->queued_ns) / NSEC_PER_USEC,
    };

    if (request->is_in_access_log || !access_is_on(request->server))
        return;
    request->is_in_access_log = true;
    split_url(request->url, &a);
    write_event(&a);
}

void access_log_request(struct request *request, enum error_code code)
{
    log_request(request, status_of(request, code),
                code == ERROR_NONE ? NULL : error_info(code)->code);
}

void access_log_gone(struct request *request, const char *code)
{
    log_request(request, request->status, code);
}

/* ---- others */

void access_log_refusal(const struct server *server, const struct tenant *tenant,
                        const struct http_request *head, enum error_code code, uint64_t id)
{
    const struct access a = {
        .method = cut(head->method, METHOD_MAX_BYTES),
        .host = cut(head->authority.size > 0 ? head->authority : head->host, HOST_MAX_BYTES),
        .path = path_of(head->target),
        .client = head->client,
        .is_http10 = head->is_http10,
        .status = error_info(code)->status,
        .code = error_info(code)->code,
        .tenant = tenant,
        .id = id,
    };

    if (access_is_on(server))
        write_event(&a);
}

void access_log_rejection(void *server, struct http_text client, enum error_code code,
                          unsigned status)
{
    static const struct http_text unknown = { "-", 1 };
    const struct access a = {
        .method = unknown,
        .host = unknown,
        .client = client,
        .status = status,
        .code = error_info(code)->code,
    };

    if (access_is_on(server))
        write_event(&a);
}
