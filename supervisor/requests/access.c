/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/requests/access.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "supervisor/requests/internal.h"

#define HOST_MAX_BYTES 255
#define PATH_MAX_BYTES 1024
#define METHOD_MAX_BYTES 32
#define TEXT_BYTES 2048
#define LITTLE_LINES 4 /* see log_budget_has_share */

struct access {
    struct http_text method, host, path, client; /* empty: unknown */
    struct http_text caller;                     /* tenant; empty: none */
    bool is_http10;
    unsigned status; /* 0: no answer was sent */
    const char *code;
    struct tenant *tenant; /* NULL: none */
    uint64_t id;           /* 0: none */
    unsigned worker;
    pid_t worker_pid; /* 0: no worker had the request */
    uint64_t bytes, duration_us, queue_us, cpu_us;
    bool is_cold; /* known if the request was in a worker */
    /* Empty: the request was in no worker, or the version has no name any more. */
    struct http_text version;
    struct http_text route; /* empty: none */
    struct trace_span span;
    char version_number[16];           /* buffer to which version may point */
    char route_text[ROUTE_TEXT_BYTES]; /* likewise */
};

bool access_is_on(const struct ledger *ledger)
{
    return ledger->config->access_log;
}

struct trace_span access_span(const struct ledger *ledger, const struct http_request *head,
                              const struct request_origin *origin)
{
    struct trace_span span = { .is_on = false };

    if (access_is_on(ledger) && origin->span)
        span = *origin->span;
    else if (access_is_on(ledger))
        trace_begin(head, &span);
    return span;
}

static struct http_text cut(struct http_text text, size_t most)
{
    return (struct http_text){ text.data, text.size < most ? text.size : most };
}

/* Returns the path without the query, which has secrets more often than the path. */
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

/* Writes the fields as a line for people. */
static size_t describe(const struct access *a, char *text, size_t size)
{
    char status[16] = "-", id[40] = "", worker[32] = "", cpu[48] = "";

    if (a->status > 0)
        (void) snprintf(status, sizeof status, "%u", a->status);
    if (a->id > 0)
        (void) snprintf(id, sizeof id, "; request %" PRIu64, a->id);
    if (a->worker_pid > 0)
        (void) snprintf(worker, sizeof worker, "; worker %u", a->worker);
    if (a->worker_pid > 0)
        (void) snprintf(cpu, sizeof cpu, ", %.3f ms of CPU%s", (double) a->cpu_us / 1e3,
                        a->is_cold ? ", cold" : "");
    int n = snprintf(text, size,
                     "%.*s %.*s%.*s %s%s%s; %" PRIu64 " bytes in %.3f ms, %.3f ms of it queued%s; "
                     "client %.*s%s%s",
                     (int) a->method.size, a->method.data ? a->method.data : "", (int) a->host.size,
                     a->host.data ? a->host.data : "", (int) a->path.size,
                     a->path.data ? a->path.data : "", status, a->code ? " " : "",
                     a->code ? a->code : "", a->bytes, (double) a->duration_us / 1e3,
                     (double) a->queue_us / 1e3, cpu, (int) a->client.size,
                     a->client.data ? a->client.data : "", id, worker);
    return n < 0 ? 0 : (size_t) n < size ? (size_t) n : size - 1;
}

static void say_left_out(struct ledger *ledger, uint64_t now_ns)
{
    struct access_bound *bound = &ledger->access;
    uint64_t skipped;

    if (log_gate_pass(&bound->gate, now_ns, NSEC_PER_SEC, &skipped))
        log_warning("the access log may have %u lines in a second (log.access_lines): others are "
                    "left out, %" PRIu64 " so far",
                    ledger->config->log.access_lines, bound->left_out);
}

bool access_may_write(struct ledger *ledger, struct tenant *tenant)
{
    struct access_bound *bound = &ledger->access;
    struct log_window *own = tenant ? &tenant->books.access : &bound->of_nobody;
    uint64_t now_ns = io_now_ns();

    log_window_roll(&bound->all, now_ns / NSEC_PER_SEC);
    log_window_roll(own, now_ns / NSEC_PER_SEC);
    if (log_budget_has_share(own->lines, bound->all.lines, ledger->config->log.access_lines,
                             LITTLE_LINES)) {
        bound->left_out++;
        say_left_out(ledger, now_ns);
        return false;
    }
    own->lines++;
    bound->all.lines++;
    return true;
}

static void write_event(struct ledger *ledger, const struct access *a)
{
    static const struct http_text event = { "access", 6 }, http10 = { "1.0", 3 },
                                  http11 = { "1.1", 3 }, cold = { "cold", 4 }, warm = { "warm", 4 };
    struct log_field fields[15 + TRACE_LOG_FIELDS] = {
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
    struct trace_texts texts;
    size_t n_fields = 10;
    char text[TEXT_BYTES];

    if (!access_may_write(ledger, a->tenant))
        return;
    if (a->caller.size > 0)
        fields[n_fields++] = text_field("caller", a->caller);
    if (a->route.size > 0)
        fields[n_fields++] = text_field("route", a->route);
    if (a->version.size > 0)
        fields[n_fields++] = text_field("version", a->version);
    if (a->worker_pid > 0) {
        fields[n_fields++] = number_field("cpu_ms", LOG_FIELD_MILLI, a->cpu_us);
        fields[n_fields++] = text_field("start", a->is_cold ? cold : warm);
    }
    n_fields += trace_log_fields(&a->span, &texts, fields + n_fields);
    size_t size = describe(a, text, sizeof text);
    log_text(LOG_LEVEL_INFO,
             LOG_ABOUT(.tenant = a->tenant ? a->tenant->name : NULL, .code = a->code,
                       .request = a->id, .worker = a->worker, .worker_pid = a->worker_pid,
                       .fields = fields, .n_fields = n_fields),
             text, size);
}

/* ---- a request of the ledger's */

/* Splits scheme, "://", authority, target: see ledger_pack_head. */
static void split_url(struct http_text url, struct access *a)
{
    const char *start = (const char *) memchr(url.data, '/', url.size) + 2,
               *end = url.data + url.size;
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
        return request->status; /* status with which the answer began */
    return error_info(code)->status;
}

static bool is_exact_host(const struct route_pattern *route, struct http_text host)
{
    return !route->is_suffix && strlen(route->host) == host.size &&
           memcmp(route->host, host.data, host.size) == 0;
}

static bool is_below(const struct route_pattern *route, struct http_text host)
{
    size_t size = strlen(route->host);

    return route->is_suffix && host.size > size && host.data[host.size - size - 1] == '.' &&
           memcmp(host.data + host.size - size, route->host, size) == 0;
}

/* Returns how well a route fits; 0: not at all. The order is the router's. */
static unsigned fit(const struct route_pattern *route, struct http_text host, struct http_text path)
{
    size_t host_size = strlen(route->host), path_size = strlen(route->path);
    bool is_path = path_size <= path.size && memcmp(path.data, route->path, path_size) == 0;
    unsigned score = (unsigned) path_size + 1;

    /* "/api" is also for "/api/" and paths below it. */
    if (!route->is_exact && path_size == path.size + 1 && route->path[path.size] == '/')
        is_path = memcmp(path.data, route->path, path.size) == 0;
    if (!is_path || (route->is_exact && path_size != path.size))
        return 0;
    if (route->is_exact)
        score += ROUTE_PATH_MAX_BYTES + 1;
    if (is_exact_host(route, host))
        return score + 4096 * (HOST_NAME_MAX_BYTES + 1);
    if (is_below(route, host))
        return score + 4096 * (unsigned) host_size;
    return host_size == 0 ? score : 0;
}

/* Names the route by which the tenant got the request, as skep.yaml writes it. */
static void name_route(const struct manifest *manifest, struct http_text host, struct access *a)
{
    const struct route_pattern *best = NULL;
    unsigned best_score = 0;
    const char *port =
        host.size > 0 && host.data[0] != '[' ? memchr(host.data, ':', host.size) : NULL;

    if (port)
        host.size = (size_t) (port - host.data);
    for (size_t i = 0; i < manifest->n_routes; i++) {
        unsigned score = fit(&manifest->routes[i], host, a->path);
        if (score > best_score) {
            best = &manifest->routes[i];
            best_score = score;
        }
    }
    if (!best)
        return;
    a->route.data = route_pattern_text(best, a->route_text);
    a->route.size = strlen(a->route.data);
}

/* Names the version: a deployed one by its name in `skep versions`, any other by a number. */
static void name_version(const struct version *version, struct access *a)
{
    const struct tenant *tenant = version->tenant;
    const char *name = a->version_number;

    if (tenant->origin != TENANT_DEPLOYED)
        (void) snprintf(a->version_number, sizeof a->version_number, "%" PRIu32, version->id);
    else if (version == tenant->version)
        name = tenant->deployed.serving;
    else if (version == tenant->deployed.standby)
        name = tenant->deployed.standby_name;
    a->version = (struct http_text){ name, strlen(name) };
}

static void note_answer(struct request *request, unsigned status, const char *code)
{
    if (request->is_in_access_log || !access_is_on(request->ledger))
        return;
    request->is_in_access_log = request->is_access_due = true;
    request->answered_ns = loop_now_ns();
    request->access_status = status;
    request->access_code = code;
    if (!request->attempt.placement)
        access_log_end(request);
}

void access_log_end(struct request *request)
{
    if (!request->is_access_due)
        return;
    request->is_access_due = false;
    uint64_t end = request->answered_ns;
    uint64_t sent = request->sent_ns > 0 ? request->sent_ns : end;
    struct access a = {
        .method = cut(request->method, METHOD_MAX_BYTES),
        .client = request->address,
        .caller = request->caller,
        .is_http10 = request->is_http10,
        .status = request->access_status,
        .code = request->access_code,
        .tenant = request->attempt.tenant,
        .id = public_id(&request->ledger->record->ids, request->attempt.id),
        .worker = request->worker,
        .worker_pid = request->worker_pid,
        .bytes = is_head(request->method) ? 0 : request->response_total,
        .duration_us = (end - request->received_ns) / NSEC_PER_USEC,
        .queue_us = (sent - request->queued_ns) / NSEC_PER_USEC,
        .cpu_us = request->cpu_us,
        .is_cold = request->is_cold,
        .span = request->span,
    };

    split_url(request->url, &a);
    if (request->attempt.version)
        name_version(request->attempt.version, &a);
    if (request->caller.size == 0 && (request->attempt.version || request->attempt.tenant->version))
        name_route(
            (request->attempt.version ? request->attempt.version : request->attempt.tenant->version)
                ->manifest,
            a.host, &a);
    write_event(request->ledger, &a);
}

void access_log_request(struct request *request, enum error_code code)
{
    note_answer(request, status_of(request, code),
                code == ERROR_NONE ? NULL : error_info(code)->code);
}

void access_log_gone(struct request *request, const char *code)
{
    note_answer(request, request->status, code);
}

/* ---- requests that never were in the ledger */

void access_log_refusal(struct ledger *ledger, struct tenant *tenant,
                        const struct http_request *head, const struct request_origin *origin,
                        enum error_code code, uint64_t id)
{
    const struct access a = {
        .method = cut(head->method, METHOD_MAX_BYTES),
        .host = cut(head->authority.size > 0 ? head->authority : head->host, HOST_MAX_BYTES),
        .path = path_of(head->target),
        .client = head->client,
        .caller = origin->caller,
        .is_http10 = head->is_http10,
        .status = error_info(code)->status,
        .code = error_info(code)->code,
        .tenant = tenant,
        .id = public_id(&ledger->record->ids, id),
        .span = access_span(ledger, head, origin),
    };

    if (access_is_on(ledger))
        write_event(ledger, &a);
}

void access_log_rejection(void *handler, struct http_text client, enum error_code code,
                          unsigned status)
{
    static const struct http_text unknown = { "-", 1 };
    struct ledger *ledger = handler;
    const struct access a = {
        .method = unknown,
        .host = unknown,
        .client = client,
        .status = status,
        .code = error_info(code)->code,
    };

    if (access_is_on(ledger))
        write_event(ledger, &a);
}
