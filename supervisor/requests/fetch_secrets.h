/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets that go into a fetch as headers: the code that asks never has them. Decided for one request to one server; the next
 * hop of a redirect is another fetch. Supervisor, loop thread.
 */
#pragma once

#include "supervisor/requests/fetch_parts.h"
#include "supervisor/secrets/secrets.h"

/* A packed head that has open values. { 0 }: none. */
struct fetch_head {
    uint8_t *data; /* owned */
    size_t size;
};
void fetch_head_done(struct fetch_head *head); /* wipes it */

/* Makes the head of a request for which the manifest has secrets: headers of the tenant with their names are left out. 0, and none is
 * made if there are no such secrets; -ENOMEM; -EMSGSIZE: too large by now; or -errno of secrets_inject, and *ret_name is the
 * secret: then the request must not be sent. */
int fetch_secrets_add(const struct secrets *secrets, const struct manifest *manifest,
                      const struct fetch_parts *parts, struct fetch_head *ret_head,
                      const char **ret_name);
