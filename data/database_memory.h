/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of SQLite, counted by the thread that allocates. SQLite has one limit for all connections of a process, so that one statement
 * could take the memory of all; an operation runs whole in one thread, which makes its memory that of the thread.
 */
#pragma once

#include <stdint.h>

/* Makes SQLite count. Before sqlite3_initialize. Returns SQLite's code. */
int database_memory_start(void);

/* Lets the calling thread allocate so many bytes more than it frees, until database_memory_end; then SQLite fails with SQLITE_NOMEM. */
void database_memory_begin(int64_t most);
void database_memory_end(void);
