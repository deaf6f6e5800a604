/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite as both engines (kv.h, sql.h) use it: files that may be hostile are opened with all that they could do turned off, a corrupt file is
 * put aside, and SQLite's errors become results of operations. One connection to each file, used by one thread at a time.
 */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct data_operation;

#define DATABASE_NOTICE_BYTES 512
#define DATABASE_HEAP_MAX_BYTES (INT64_C(192) << 20)
#define DATABASE_PAGE_BYTES 4096

/* Sets up SQLite for the whole process: no URIs, no shared state between connections, and a hard limit of the heap. Called once, before the
 * first thread. 0 or -errno. */
int database_start(void);

/* Makes or checks what is in a file that has just been opened. Returns SQLite's code; SQLITE_CORRUPT: the file is put aside. */
typedef int (*database_setup_fn)(sqlite3 *db, void *owner);

/* Opens or makes a file, and calls bound (NULL: nothing) before anything in the file is evaluated, then setup. A file that is corrupt is renamed to PATH.corrupt-TIME, -wal and -journal with it, and a
 * new one is made; the notice says so, or is empty. 0; -ENOSPC, -EIO, -ENOMEM, -EBUSY (another process has the file) or -EUCLEAN (setup finds the new
 * file corrupt as well). */
int database_open(const char *path, database_setup_fn bound, database_setup_fn setup, void *owner,
                  sqlite3 **ret_db, char notice[static DATABASE_NOTICE_BYTES]);
/* Puts the file of a connection aside, which has turned out to be corrupt and is only to be closed now. The notice says so, or why it could not
 * be done. */
void database_condemn(sqlite3 *db, char notice[static DATABASE_NOTICE_BYTES]);
/* Closes the file; all statements have been finalized. Returns NULL; takes NULL. */
sqlite3 *database_close(sqlite3 *db);

/* Turns all off that a hostile file could do on a connection. SQLite's code. */
int database_set_options(sqlite3 *db);

/* Returns whether an error of SQLite means that the file is damaged, and not only a virtual table's idea of itself. */
bool database_is_corrupt(int code);
/* Checks the file, within the bounds of the connection's progress handler; columns that are generated are evaluated. SQLITE_OK, SQLITE_CORRUPT or another code of SQLite. */
int database_check(sqlite3 *db);
/* The same for so long: the rest of a file is taken to be whole then, because generated columns can take a tenant's time for each row. Takes
 * the connection's progress handler away. */
int database_check_for(sqlite3 *db, uint64_t ns);
/* Returns -errno for a code of SQLite. */
int database_errno(int code);
/* Returns the name of the primary code: "SQLITE_FULL". */
const char *database_code_name(int code);

/* Makes the operation fail with the status that the code stands for; text begins with prefix. 0, or -EUCLEAN: the file is corrupt. */
int database_fail(sqlite3 *db, int code, const char *prefix, struct data_operation *operation);

/* Prepares n statements that stay until the connection is closed. SQLite's code; on an error none is left. */
int database_prepare(sqlite3 *db, const char *const *texts, size_t n,
                     sqlite3_stmt **ret_statements);
/* Finalizes n statements, of which any may be NULL. */
void database_finalize(sqlite3_stmt **statements, size_t n);
/* Runs a statement that gives no rows, and resets it. SQLITE_OK or an error's extended code. */
int database_run(sqlite3_stmt *statement);
