/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `secrets` of a skep.yaml: names of secrets, and where each is used. The values are the operator's, and not here. Private to
 * config/.
 */
#pragma once

#include "config/keys.h"
#include "config/manifest.h"

extern const struct key_table manifest_secret_keys; /* keys of an entry of `secrets` */

/* Reader of the row `secrets` (config/keys.h). The manifest has its env and its bindings already. */
int manifest_read_secrets(const struct key_reading *reading, const struct key *key,
                          const struct yaml_node *list, void *base);
/* Copies them. 0 or -ENOMEM; `to` is half-filled then, for manifest_free. */
int manifest_copy_secrets(const struct manifest *from, struct manifest *to);
bool manifest_has_same_secrets(const struct manifest *a, const struct manifest *b);
void manifest_free_secrets(struct manifest *manifest);
