/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of requests as clients, logs and operators see them. Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PUBLIC_ID_KEYS 6

/* Random for each start. All zero: ids stay as they are. */
struct public_ids {
    uint64_t keys[PUBLIC_ID_KEYS];
    bool is_made;
};

/* Makes the keys. 0 or -errno. */
int public_ids_init(struct public_ids *ids);
/* Returns the number by which a request is known outside skepd and its workers: in Skep-Request-Id,
 * logs, incidents and `skep workers`; one for each attempt. id: on the wire; 0 (none) stays 0. */
uint64_t public_id(const struct public_ids *ids, uint64_t id);
