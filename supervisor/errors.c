/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of failures that a client can see: code, status, title. Data only; any thread.
 */
#include "supervisor/errors.h"

#include <assert.h>

static const struct error_info errors[ERROR_CODES] = {
    [ERROR_NONE] = { "none", "no error", 200 },
    [ERROR_BAD_REQUEST] = { "bad_request", "The request is not valid HTTP/1.1.", 400 },
    [ERROR_NO_ROUTE] = { "no_route", "No tenant serves this host and path.", 404 },
    [ERROR_REQUEST_TIMEOUT] = { "request_timeout", "The request took too long to arrive.", 408 },
    [ERROR_HEADER_TOO_LARGE] = { "header_too_large", "The request's header is too large.", 431 },
    [ERROR_BODY_TOO_LARGE] = { "body_too_large", "The request's body is too large.", 413 },
    [ERROR_TENANT_BUSY] = { "tenant_busy", "The tenant has too many requests waiting.", 429 },
    [ERROR_OVERLOADED] = { "overloaded", "The service has too many requests waiting.", 503 },
    [ERROR_DRAINING] = { "draining", "The service is shutting down.", 503 },
    [ERROR_BOOT_FAILED] = { "boot_failed", "The tenant's code failed to start.", 503 },
    [ERROR_CPU_STARTUP] = { "cpu_startup", "The tenant's code took too long to start.", 503 },
    [ERROR_EXCEPTION] = { "exception", "The tenant's handler threw an exception.", 500 },
    [ERROR_BAD_RESPONSE] = { "bad_response", "The tenant's response cannot be sent.", 502 },
    [ERROR_CPU_REQUEST] = { "cpu_request", "The request used up its CPU time.", 503 },
    [ERROR_WALL_REQUEST] = { "wall_request", "The request took too long.", 504 },
    [ERROR_MEM_ISOLATE] = { "mem_isolate", "The tenant used up its memory.", 503 },
    [ERROR_MEM_PROCESS] = { "mem_process", "The worker used up its memory.", 503 },
    [ERROR_WORKER_CRASHED] = { "worker_crashed", "The worker died during this request.", 502 },
    [ERROR_QUARANTINED] = { "quarantined", "The tenant is in quarantine.", 503 },
};

const struct error_info *error_info(enum error_code code)
{
    assert((unsigned) code < ERROR_CODES);
    return &errors[code];
}
