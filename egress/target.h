/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of the parts that a fetch is made of, before any of them goes into a URL, a header line or a look-up. skepd
 * has checked them, too; here they come out of a frame. Pure functions; any process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/head.h"

#define TARGET_METHOD_MAX_BYTES 32
#define TARGET_PATH_MAX_BYTES (UINT32_C(16) << 10)

struct target {
    struct head_text method, scheme, host, path;
    uint32_t port;
};

/*
 * Checks all parts: a method that is a token and none of CONNECT, TRACE, TRACK; "http" or "https"; a host as
 * host_name_parse writes it; a port that browsers do not refuse either; a path of printable ASCII without "#", from "/" on. 0;
 * -EINVAL with *ret_reason, for people (static).
 */
int target_check(const struct target *target, const char **ret_reason);
/* Returns whether the method is the text. */
bool target_method_is(const struct target *target, const char *method);

/* Checks one header of a request: a token that is none of skep's own headers (Host, Connection, Content-Length and others),
 * and a value without control characters. 0; -EINVAL with *ret_reason (static). */
int target_check_header(struct head_text name, struct head_text value, const char **ret_reason);

/* Returns whether the text is a token of RFC 9110, 5.6.2, as names of headers and methods are. */
bool target_is_token(struct head_text text);
/* Returns whether the text has no control character but tabs. */
bool target_is_value(struct head_text text);
/* Compares a text with a name, in any case. */
bool target_text_is(struct head_text text, const char *name);
