/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File descriptors: what a config may need at the most, against what the process may have. Supervisor.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

/* Raises the process's limit as far as the config needs and the host allows. Before the supervisor is
 * confined. ret_files: how many it may have. 0, or -EMFILE if the config needs more than that. */
int descriptors_raise(const struct config *config, uint64_t *ret_files);
/* 0, or -EMFILE and what is wrong and what to change, in text. files: of descriptors_raise. */
int descriptors_check(const struct config *config, uint64_t files, char *text, size_t size);
/* Kept for everything that is not a client's connection: sockets, admin clients, scrapes, workers, helpers. */
uint64_t descriptors_reserve(const struct config *config);
