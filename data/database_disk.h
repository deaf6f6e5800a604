/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells a full disk from other ends of room. SQLite says SQLITE_FULL for it, for its own bound of pages and for row ids, and keeps no errno.
 */
#pragma once

#include <stdbool.h>

/* Has SQLite write by a function that notes why a write has failed. Before the first file is opened. Returns SQLite's code. */
int database_disk_start(void);
/* Forgets what the calling thread has noted: an operation begins. */
void database_disk_begin(void);
/* Returns whether a write of the calling thread has found no room since then. */
bool database_disk_is_full(void);
