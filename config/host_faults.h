/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules of a tenant's allowed_hosts that allow nothing as things are: the operator's lists or the addresses stand against
 * them. Notes for people and no errors, because the operator may change that at any time. Pure functions; any process.
 */
#pragma once

#include "config/manifest.h"

#define HOST_FAULT_BYTES 256

/* Writes the reason why nothing that the rule names can be fetched, and what was expected; "" if none is known. config and
 * cordon: NULL where there is no skepd.yaml. Returns text. */
const char *host_rule_fault(const struct host_rule *rule, const struct config *config,
                            const struct cordon_config *cordon, char text[static HOST_FAULT_BYTES]);

/* Adds a note with file and line for each rule that has such a fault, or one for all where nobody may fetch. */
void manifest_note_hosts(const struct manifest *manifest, const struct config *config,
                         struct config_errors *notes);
