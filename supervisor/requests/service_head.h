/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of a call to another tenant: method, parts of the URL and fields, which the calling tenant's worker chooses, as the head of a
 * request that the front could have parsed. Pure.
 */
#pragma once

#include "common/error_codes.h"
#include "config/config.h"
#include "supervisor/calls/calls.h"
#include "supervisor/http/http.h"

#define SERVICE_FIELDS_MAX 256
#define SERVICE_AUTHORITY_BYTES (HOST_NAME_MAX_BYTES + 8)

struct service_head {
    struct http_request head; /* points into the rest, and into the head of the call */
    struct http_text scheme;
    struct http_field fields[SERVICE_FIELDS_MAX + 2];
    char authority[SERVICE_AUTHORITY_BYTES];
    int64_t
        body_left; /* bytes of the body that the first part leaves, by its length; -1: any number */
    char length[24];
    char *names; /* owned; in lower case */
};

/* Parses a head, within the limits of the front's. parsed: zeroed; done afterwards in any case. Returns ERROR_NONE, or the
 * code of the answer. */
enum error_code service_head_parse(const struct http_config *limits, const struct call_head *from,
                                   struct service_head *parsed);
void service_head_done(struct service_head *parsed);

/* Takes a part of a body from its announced length; *left is -1 where none was announced. Returns whether the part fits, and
 * at the end whether all has come. */
bool service_take_length(int64_t *left, size_t size, bool end);
