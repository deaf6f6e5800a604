/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bindings` and `callers` of a skep.yaml: the tenants that a tenant may call, and those that may
 * call it. Private to config/.
 */
#pragma once

#include "config/keys.h"
#include "config/manifest.h"

extern const struct key_table manifest_binding_keys; /* keys of an entry of `bindings` */

/* Readers of the rows `bindings` and `callers` (config/keys.h). The manifest has its name and its env already. */
int manifest_read_bindings(const struct key_reading *reading, const struct key *key,
                           const struct yaml_node *list, void *base);
int manifest_read_callers(const struct key_reading *reading, const struct key *key,
                          const struct yaml_node *list, void *base);
/* Copies both. 0 or -ENOMEM; `to` is half-filled then, for manifest_free. */
int manifest_copy_bindings(const struct manifest *from, struct manifest *to);
bool manifest_has_same_bindings(const struct manifest *a, const struct manifest *b);
/* Checks that each folder of migrations has some, and not too large ones, once the files are read. 0 or -EINVAL with errors filled. */
int manifest_check_migrations(const struct manifest *manifest, struct config_errors *errors);
void manifest_free_bindings(struct manifest *manifest);
