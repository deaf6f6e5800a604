/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of SQLite, counted by the thread that allocates. SQLite has one limit for all connections of a process, so that one statement
 * could take the memory of all; an operation runs whole in one thread, which makes its memory that of the thread.
 *
 * The stack is bounded here, too: SQLite's recursions over views, triggers and foreign keys that lead to each other have no bound of their own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Stack that an operation may use when it allocates: half of a thread's, since SQLite also walks what it has built without allocating. */
#define DATABASE_STACK_BYTES (UINT32_C(4) << 20)

/* Makes SQLite count. Before sqlite3_initialize. Returns SQLite's code. */
int database_memory_start(void);

/* Lets the calling thread allocate so many bytes more than it frees, until database_memory_end; then SQLite fails with SQLITE_NOMEM. */
void database_memory_begin(int64_t most);
void database_memory_end(void);
/* Returns whether SQLite has been refused memory since database_memory_begin because its stack was used up. */
bool database_memory_is_deep(void);
