/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a tenant's fetch, which its worker chooses, checked and copied for egress. Headers that are skep's to write
 * are left out: those of the connection, Content-Length, and skep-*. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/allowed_hosts.h"
#include "egress/target.h"
#include "supervisor/calls/calls.h"

/* All zero before fetch_parts_make. */
struct fetch_parts {
    struct target target; /* texts in memory */
    bool is_https, is_head;
    const uint8_t *head; /* packed headers, in memory; at most EGRESS_HEAD_MAX_BYTES */
    size_t head_size;
    bool has_body;
    int64_t length;    /* bytes of the body; -1: not known */
    int64_t body_left; /* bytes that are still to come by the length; -1: any number */
    char *memory;      /* owned */
    size_t memory_bytes;
};

/* Checks and copies the head of a call, and takes its first part of the body from the length. 0; -EINVAL with
 * *ret_reason, for people (static); -ENOMEM. fetch_parts_done afterwards in any case. */
int fetch_parts_make(const struct call_head *from, struct fetch_parts *parts,
                     const char **ret_reason);
/* Takes a further part of the body from the length. Returns whether the part fits, and at the end whether all has
 * come. */
bool fetch_parts_take(struct fetch_parts *parts, size_t size, bool end);
/* Returns the question for the rules about hosts; borrows the parts. */
struct host_question fetch_parts_question(const struct fetch_parts *parts);
/* Frees the copy; the numbers stay, and the texts are empty. */
void fetch_parts_done(struct fetch_parts *parts);
