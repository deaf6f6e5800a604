/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of failures that a client can see, who can cause them, and what they count for. Data only;
 * any thread.
 */
#include "supervisor/record/errors.h"

#include <assert.h>
#include <stdio.h>

#define BY_ANY_TENANT (BY_TENANT | BY_NEIGHBOUR)
#define FOR_REQUESTS (FOR_WATCH | FOR_FIGURES)

/* clang-format off */
static const struct error_info errors[ERROR_CODES] = {
    [ERROR_NONE] = { "none", "no error", 200, 0, 0 },
    [ERROR_BAD_REQUEST] = { "bad_request", "The request is not valid HTTP/1.1.", 400,
        BY_CLIENT, 0 },
    [ERROR_NO_ROUTE] = { "no_route", "No tenant serves this host and path.", 404,
        BY_CLIENT | BY_OPERATOR, 0 },
    [ERROR_REQUEST_TIMEOUT] = { "request_timeout", "The request took too long to arrive.", 408,
        BY_CLIENT, 0 },
    [ERROR_HEADER_TOO_LARGE] = { "header_too_large", "The request's header is too large.", 431,
        BY_CLIENT, 0 },
    [ERROR_BODY_TOO_LARGE] = { "body_too_large", "The request's body is too large.", 413,
        BY_CLIENT, 0 },
    [ERROR_TENANT_BUSY] = { "tenant_busy", "The tenant has too many requests waiting.", 429,
        BY_CLIENT | BY_TENANT, 0 },
    [ERROR_OVERLOADED] = { "overloaded", "The service has too many requests waiting.", 503,
        BY_CLIENT | BY_ANY_TENANT | BY_OPERATOR | BY_HOST, 0 },
    [ERROR_DRAINING] = { "draining", "The service is shutting down.", 503,
        BY_OPERATOR, 0 },
    [ERROR_BOOT_FAILED] = { "boot_failed", "The tenant's code failed to start.", 503,
        BY_TENANT, FOR_REQUESTS | FOR_BACK_OFF },
    [ERROR_CPU_STARTUP] = { "cpu_startup", "The tenant's code took too long to start.", 503,
        BY_TENANT, FOR_STRIKES | FOR_REQUESTS | FOR_BACK_OFF },
    [ERROR_EXCEPTION] = { "exception", "The tenant's handler threw an exception.", 500,
        BY_TENANT, FOR_REQUESTS },
    [ERROR_BAD_RESPONSE] = { "bad_response", "The tenant's response cannot be sent.", 502,
        BY_TENANT, FOR_REQUESTS },
    [ERROR_CPU_REQUEST] = { "cpu_request", "The request used up its CPU time.", 503,
        BY_TENANT, FOR_STRIKES | FOR_REQUESTS },
    [ERROR_WALL_REQUEST] = { "wall_request", "The request took too long.", 504,
        BY_ANY_TENANT, FOR_STRIKES | FOR_REQUESTS },
    [ERROR_MEM_ISOLATE] = { "mem_isolate", "The tenant used up its memory.", 503,
        BY_TENANT, FOR_STRIKES | FOR_REQUESTS | FOR_BACK_OFF },
    [ERROR_MEM_PROCESS] = { "mem_process", "The worker used up its memory.", 503,
        BY_ANY_TENANT | BY_HOST, FOR_STRIKES | FOR_REQUESTS | FOR_BACK_OFF },
    [ERROR_WORKER_CRASHED] = { "worker_crashed", "The worker died during this request.", 502,
        BY_ANY_TENANT | BY_OPERATOR | BY_HOST, FOR_STRIKES | FOR_REQUESTS | FOR_BACK_OFF },
    [ERROR_QUARANTINED] = { "quarantined", "The tenant is in quarantine.", 503,
        BY_TENANT | BY_OPERATOR, FOR_REQUESTS },
    [ERROR_HUNG] = { "hung", "The request waited for what can never come.", 500,
        BY_TENANT, FOR_REQUESTS },
    [ERROR_UNSERVED] = { "unserved", "The tenant is deployed, and cannot be served.", 503,
        BY_OPERATOR | BY_HOST, 0 },
    [ERROR_ISOLATE_STOPPED] = { "isolate_stopped", "Another request of the tenant was stopped, and this one with it.", 503,
        BY_TENANT, FOR_REQUESTS },
    [ERROR_NO_SERVICE] = { "no_service", "The tenant that was called is not there.", 502,
        BY_ANY_TENANT | BY_OPERATOR, 0 },
    [ERROR_CALL_DENIED] = { "call_denied", "The tenant may not be called from here.", 403,
        BY_ANY_TENANT | BY_OPERATOR, 0 },
    [ERROR_CALL_CYCLE] = { "call_cycle", "The tenant that was called waits for this call.", 508,
        BY_ANY_TENANT, 0 },
    [ERROR_SUB_LIMIT] = { "sub_limit", "The request has made too many calls.", 429,
        BY_ANY_TENANT, 0 },
};
/* clang-format on */

const struct error_info *error_info(enum error_code code)
{
    assert((unsigned) code < ERROR_CODES);
    return &errors[code];
}

size_t error_write_problem(enum error_code code, unsigned status, char text[ERROR_PROBLEM_BYTES])
{
    const struct error_info *info = error_info(code);
    int size =
        snprintf(text, ERROR_PROBLEM_BYTES,
                 "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u,\"code\":\"%s\"}\n",
                 info->title, status, info->code);

    assert(size > 0 && (size_t) size < ERROR_PROBLEM_BYTES);
    return (size_t) size;
}

bool error_counts(enum error_code code, enum error_account account, bool is_blamed)
{
    const struct error_info *info = error_info(code);

    return (info->accounts & account) != 0 && (info->causes == BY_TENANT || is_blamed);
}
