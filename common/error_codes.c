/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of failures that a client can see, who can cause them, and what they count for. Data only;
 * any thread.
 */
#include "common/error_codes.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define BY_ANY_TENANT (BY_TENANT | BY_NEIGHBOUR)
#define FOR_REQUESTS (FOR_WATCH | FOR_FIGURES)

/* clang-format off */
static const struct error_info errors[ERROR_CODES] = {
    [ERROR_NONE] = { "none", "no error", 200, 0, 0 },
    [ERROR_BAD_REQUEST] = { "bad_request", "The request is not valid HTTP/1.1.", 400,
        BY_CLIENT, 0,
        .when = "not valid HTTP/1.1, or not supported. The connection is closed",
        .advice = "mend the client, or what is between it and skep" },
    [ERROR_NO_ROUTE] = { "no_route", "No tenant serves this host and path.", 404,
        BY_CLIENT | BY_OPERATOR, 0,
        .when = "no tenant has a route for that host and path",
        .advice = "look at routes: of the tenant, and skep tenants" },
    [ERROR_REQUEST_TIMEOUT] = { "request_timeout", "The request took too long to arrive.", 408,
        BY_CLIENT, 0,
        .when = "header or body did not arrive in time, or so slowly that the request had to give up its place or its buffers to others",
        .advice = "header_timeout_ms, body_idle_ms, min_bytes_per_s in skepd.yaml; \"Limits of a client\" in limits.md" },
    [ERROR_HEADER_TOO_LARGE] = { "header_too_large", "The request's header is too large.", 431,
        BY_CLIENT, 0,
        .when = "over header_bytes or header_count",
        .advice = "http: in skepd.yaml" },
    [ERROR_BODY_TOO_LARGE] = { "body_too_large", "The request's body is too large.", 413,
        BY_CLIENT, 0,
        .when = "over the tenant's request_mib",
        .advice = "limits: of the tenant" },
    [ERROR_TENANT_BUSY] = { "tenant_busy", "The tenant has too many requests waiting.", 429,
        BY_CLIENT | BY_TENANT, 0,
        .when = "the tenant's concurrency and queue are full, it has most of all connections, or it is over its cpu_rate. "
                "Retry-After says when to come back",
        .advice = "more concurrency, or less work for each request" },
    [ERROR_OVERLOADED] = { "overloaded", "The service has too many requests waiting.", 503,
        BY_CLIENT | BY_ANY_TENANT | BY_OPERATOR | BY_HOST, 0,
        .when = "no worker of the cordon can be had, the request has waited wall_ms in the queue, or its address has more than connections_per_ip connections",
        .advice = "skep workers and the log show why workers do not start; or more workers. Behind a proxy: http.proxies" },
    [ERROR_DRAINING] = { "draining", "The service is shutting down.", 503,
        BY_OPERATOR, 0,
        .when = "skepd is shutting down",
        .advice = "come back" },
    [ERROR_BOOT_FAILED] = { "boot_failed", "The tenant's code failed to start.", 503,
        BY_TENANT, FOR_REQUESTS | FOR_BACK_OFF,
        .when = "its module does not parse, cannot be linked, throws, or has neither a default export with fetch nor a listener for fetch events",
        .advice = "the log has the message and the source line. The load is tried again after 1 s, then 2 s, up to 30 s; Retry-After says when" },
    [ERROR_CPU_STARTUP] = { "cpu_startup", "The tenant's code took too long to start.", 503,
        BY_TENANT, FOR_STRIKES | FOR_REQUESTS | FOR_BACK_OFF,
        .when = "loading took more than cpu_startup_ms",
        .advice = "less work at the top level of modules; a smaller bundle" },
    [ERROR_EXCEPTION] = { "exception", "The tenant's handler threw an exception.", 500,
        BY_TENANT, FOR_REQUESTS,
        .when = "the handler threw or rejected",
        .advice = "the log has the stack" },
    [ERROR_BAD_RESPONSE] = { "bad_response", "The tenant's response cannot be sent.", 502,
        BY_TENANT, FOR_REQUESTS,
        .when = "not a Response; a body that was used already; a status, header or length that cannot be sent; over response_mib",
        .advice = "the log says which" },
    [ERROR_CPU_REQUEST] = { "cpu_request", "The request used up its CPU time.", 503,
        BY_TENANT, FOR_STRIKES | FOR_REQUESTS,
        .when = "over cpu_ms",
        .advice = "the log says how much it took" },
    [ERROR_WALL_REQUEST] = { "wall_request", "The request took too long.", 504,
        BY_ANY_TENANT, FOR_STRIKES | FOR_REQUESTS,
        .when = "over wall_ms, or a stream stood still for idle_ms",
        .advice = "look whether the handler resolves, and whether it waits for the client" },
    [ERROR_MEM_ISOLATE] = { "mem_isolate", "The tenant used up its memory.", 503,
        BY_TENANT, FOR_STRIKES | FOR_REQUESTS | FOR_BACK_OFF,
        .when = "over heap_mib, or holding more than external_mib",
        .advice = "stream instead of keeping; a higher limit" },
    [ERROR_MEM_PROCESS] = { "mem_process", "The worker used up its memory.", 503,
        BY_ANY_TENANT | BY_HOST, FOR_STRIKES | FOR_REQUESTS | FOR_BACK_OFF,
        .when = "the worker held more than rss_mib, and this request was in it",
        .advice = "the log says what is accounted for, and names a tenant over its limits; more rss_mib, more workers, or lower heap_mib and external_mib" },
    [ERROR_WORKER_CRASHED] = { "worker_crashed", "The worker died during this request.", 502,
        BY_ANY_TENANT | BY_OPERATOR | BY_HOST, FOR_STRIKES | FOR_REQUESTS | FOR_BACK_OFF,
        .when = "the worker died while this request was in it, and the request could not be sent again: it is not idempotent, its body was read already, bytes were answered, or it was in two deaths",
        .advice = "the log says who was to blame" },
    [ERROR_QUARANTINED] = { "quarantined", "The tenant is in quarantine.", 503,
        BY_TENANT | BY_OPERATOR, FOR_REQUESTS,
        .when = "the tenant has killed too many workers, or the operator has put it in quarantine. Retry-After says how long, if it ends by itself",
        .advice = "skep incidents TENANT says why; skep release TENANT ends it" },
    [ERROR_HUNG] = { "hung", "The request waited for what can never come.", 500,
        BY_TENANT, FOR_REQUESTS,
        .when = "for hung_ms nothing but another request could have woken this one",
        .advice = "the log has the place of the await" },
    [ERROR_UNSERVED] = { "unserved", "The tenant cannot be served.", 503,
        BY_OPERATOR | BY_HOST, 0,
        .when = "the tenant's version cannot be served since skepd started: it is damaged on the disk, the configuration does not allow it any more, or its secrets are missing. This failure counts for no tenant",
        .advice = "skep status and skep versions TENANT say why: deploy it again, mend skepd.yaml and restart skepd, or set the secrets and run skep reload or skep upgrade" },
    [ERROR_ISOLATE_STOPPED] = { "isolate_stopped", "Another request of the tenant was stopped, and this one with it.", 503,
        BY_TENANT, FOR_REQUESTS,
        .when = "three isolates of the tenant were stopped in a row, and this request was in the first of them, or on its way, and could not be sent again",
        .advice = "the log has the stopped request as cpu_request" },
    [ERROR_NO_SERVICE] = { "no_service", "The tenant that was called is not there.", 502,
        BY_ANY_TENANT | BY_OPERATOR, 0,
        .when = "there is no tenant of the name that the binding has, or its first version has not served yet",
        .advice = "bindings: of the tenant, and skep tenants" },
    [ERROR_CALL_DENIED] = { "call_denied", "The tenant may not be called from here.", 403,
        BY_ANY_TENANT | BY_OPERATOR, 0,
        .when = "the called tenant does not list the caller in callers:, or lists another tenant that had the name before; or one of their cordons does not have calls_across: on",
        .advice = "skep explain TENANT of the called one" },
    [ERROR_CALL_CYCLE] = { "call_cycle", "The tenant that was called waits for this call.", 508,
        BY_ANY_TENANT, 0,
        .when = "the called tenant waits for this call already",
        .advice = "call another tenant, or do the work in the calling one" },
    [ERROR_SUB_LIMIT] = { "sub_limit", "The request has made too many calls.", 429,
        BY_ANY_TENANT, 0,
        .when = "over subrequests, calls, call_mib, or 32 calls of tenants in all; the tenant's code gets a QuotaExceededError",
        .advice = "the limit, or fewer calls" },
    [ERROR_FETCH_DENIED] = { "fetch_denied", "The tenant may not ask this server.", 403,
        BY_ANY_TENANT | BY_OPERATOR, 0,
        .when = "a rule of the tenant or of the operator does not allow the fetch, or the host's address may not be reached; the tenant's code gets a TypeError that says which",
        .advice = "allowed_hosts of the tenant, or egress: in skepd.yaml" },
    [ERROR_FETCH_FAILED] = { "fetch_failed", "The server that was asked gave no answer.", 502,
        BY_ANY_TENANT | BY_OPERATOR | BY_HOST, 0,
        .when = "no answer of the server came, or the answer broke off: the name, the connection, TLS, HTTP or the time; the tenant's code gets a TypeError that says which",
        .advice = "look at the host that the text names; the log of skepd, which tells, once a minute for each kind, of resolvers, connections, TLS and times that fail, and of a skep-egress that is not running" },
};
/* clang-format on */

const struct error_info *error_info(enum error_code code)
{
    assert((unsigned) code < ERROR_CODES);
    return &errors[code];
}

size_t error_write_problem(enum error_code code, unsigned status, const char *detail,
                           char text[ERROR_PROBLEM_BYTES])
{
    const struct error_info *info = error_info(code);
    int size = snprintf(text, ERROR_PROBLEM_BYTES,
                        "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u,\"code\":\"%s\""
                        "%s%s%s}\n",
                        info->title, status, info->code, detail ? ",\"detail\":\"" : "",
                        detail ? detail : "", detail ? "\"" : "");

    assert(size > 0 && (size_t) size < ERROR_PROBLEM_BYTES);
    return (size_t) size;
}

bool error_code_parse(const char *text, enum error_code *ret_code)
{
    for (unsigned code = ERROR_NONE + 1; code < ERROR_CODES; code++)
        if (strcmp(errors[code].code, text) == 0) {
            *ret_code = (enum error_code) code;
            return true;
        }
    return false;
}

bool error_counts(enum error_code code, enum error_account account, bool is_blamed)
{
    const struct error_info *info = error_info(code);

    return (info->accounts & account) != 0 && (info->causes == BY_TENANT || is_blamed);
}
