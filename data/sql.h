/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One SQL database of a tenant: a SQLite file of its own, under hostile statements. PROTOCOL.md "Operations of storage" has the operations.
 * Used by one thread at a time.
 */
#pragma once

#include "data/engine.h"

#define SQL_STATEMENT_MAX_BYTES (100U << 10)
#define SQL_VALUE_MAX_BYTES (2U << 20)
#define SQL_PARAMETERS_MAX 100
#define SQL_COLUMNS_MAX 100
#define SQL_BATCH_MAX 1000
#define SQL_VIEWS_MAX \
    500 /* views and triggers of a database: SQLite's time for views that lead to each other is quadratic */

struct sql;

/* As kv_open. */
int sql_open(const char *path, struct sql **ret_sql, char notice[static 512]);
struct sql *sql_close(struct sql *sql);
/* Runs one operation. 0, or -EUCLEAN as kv_run. */
int sql_run(struct sql *sql, struct data_operation *operation);
/* Makes a statement that runs in another thread end soon. Any thread, while sql is open. */
void sql_interrupt(struct sql *sql);
