/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File descriptors: the most that a config may need, against the process's limit. Supervisor.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

/* Raises the process's limit as far as the config needs and the host allows. Before the supervisor
 * is confined. ret_files: the limit then. 0, or -EMFILE if the config needs more than that. */
int descriptors_raise(const struct config *config, uint64_t *ret_files);
/* Checks a config. 0, or -EMFILE with the reason and the remedy in text. files: of
 * descriptors_raise. */
int descriptors_check(const struct config *config, uint64_t files, char *text, size_t size);
/* Returns the descriptors kept for all but clients' connections: sockets, admin clients, scrapes,
 * workers, helpers. */
uint64_t descriptors_reserve(const struct config *config);
