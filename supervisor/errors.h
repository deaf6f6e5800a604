/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every failure that a client can see has one code: in Skep-Error, in the problem+json body,
 * in the log, in the counters. A const table; no state.
 */
#pragma once

#include <stddef.h>

enum error_code {
    ERROR_NONE,
    ERROR_BAD_REQUEST,
    ERROR_NO_ROUTE,
    ERROR_REQUEST_TIMEOUT,
    ERROR_HEADER_TOO_LARGE,
    ERROR_BODY_TOO_LARGE,
    ERROR_TENANT_BUSY,
    ERROR_OVERLOADED,
    ERROR_DRAINING,
    ERROR_BOOT_FAILED,
    ERROR_CPU_STARTUP,
    ERROR_EXCEPTION,
    ERROR_BAD_RESPONSE,
    ERROR_CPU_REQUEST,
    ERROR_WALL_REQUEST,
    ERROR_MEM_ISOLATE,
    ERROR_MEM_PROCESS,
    ERROR_WORKER_CRASHED,
    ERROR_QUARANTINED,
    ERROR_CODES,
};

struct error_info {
    const char *code;  /* "cpu_request" */
    const char *title; /* one sentence for the client */
    unsigned status;   /* HTTP */
};

/* Never NULL for a valid code; "none" for ERROR_NONE. */
const struct error_info *error_info(enum error_code code);
