/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bindings` and `callers` of a skep.yaml: what a tenant may ask of others, and who may ask it. Private to config/.
 */
#pragma once

#include "config/manifest.h"
#include "config/yaml_document.h"

/* Takes both from the document, of which the schema has been checked; adds an error for each entry that is wrong. The
 * manifest has its name and its env already. 0 or -ENOMEM. */
int manifest_take_bindings(const struct yaml_document *document, struct manifest *manifest,
                           struct config_errors *errors);
/* 0 or -ENOMEM; to is half-filled then, for manifest_free. */
int manifest_copy_bindings(const struct manifest *from, struct manifest *to);
bool manifest_has_same_bindings(const struct manifest *a, const struct manifest *b);
void manifest_free_bindings(struct manifest *manifest);
