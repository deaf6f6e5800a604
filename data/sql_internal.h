/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of the SQL engine: what statements may do (sql_guard.c), prepared statements (sql_cache.c), rows as JSON (sql_json.c) and operations
 * (sql_query.c, sql_exec.c, sql_copy.c).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/database.h"
#include "data/engine.h"
#include "data/sql.h"
#include "proto/values.h"

#define SQL_CACHE_STATEMENTS 64
#define SQL_PREFIX "D1_ERROR: "

enum sql_own { SQL_BEGIN, SQL_COMMIT, SQL_ROLLBACK, SQL_PAGE_COUNT, SQL_OWN_STATEMENTS };

struct sql_cached {
    char *text; /* not terminated */
    size_t size;
    uint64_t hash;
    uint64_t used; /* the cache's count at its last use */
    sqlite3_stmt *statement;
};

struct sql_copies;

struct sql {
    sqlite3 *db;
    struct sql_copies *copies; /* owned */
    int64_t copy_number;       /* number of the last copy that was begun */
    sqlite3 *memory;           /* for functions */
    sqlite3_stmt *own[SQL_OWN_STATEMENTS];
    struct sql_cached cache[SQL_CACHE_STATEMENTS];
    uint64_t uses;
    struct data_operation *operation; /* borrowed: the one that runs */
    int64_t page_bytes, pages;        /* size of the file, as of the last statement that wrote */
    uint32_t sql_mib;                 /* the quota that SQLite has been told */
    unsigned n_views; /* views and triggers in the schema, with those that the operation makes */
    bool
        is_counted; /* n_views is that of the schema; else it is counted before the next operation */
    bool is_own;    /* a statement of the engine is being prepared */
    bool is_schema;      /* the statement that was prepared last changes the schema */
    bool is_pragma;      /* the same: is a PRAGMA */
    bool has_new_names;  /* the operation has changed the schema */
    bool has_settings;   /* a PRAGMA has changed the connection: undone after the operation */
    bool is_condemned;   /* the file is damaged and was put aside */
    const char *refusal; /* why the authorizer has refused; NULL: it has not */
};

/* ---- sql_guard.c */

/* Sets the limits and functions of a connection with a file that a tenant, or nobody known, has made: opening it evaluates expressions of its
 * schema. SQLite's code. */
int sql_bound(struct sql *sql, sqlite3 *db);
/* Sets the rest of what the engine's own connection has: authorizer, progress handler and FTS5's functions. SQLite's code. */
int sql_guard(struct sql *sql);
/* Tells SQLite the quota of the operation, and undoes settings of those before. SQLite's code. */
int sql_set_quota(struct sql *sql, uint32_t sql_mib);
int sql_undo_settings(struct sql *sql);
/* Counts the views and triggers of the schema, if it may have changed. Before an operation. SQLite's code. */
int sql_count_views(struct sql *sql);
/* Checks that the operation has given nothing a reserved name: the authorizer does not hear of the new name of ALTER TABLE. SQLITE_AUTH: it
 * has. */
int sql_check_names(struct sql *sql);
/* Returns whether the operation's time is over, or nobody wants its answer. */
bool sql_is_over(const struct data_operation *operation);

/* ---- sql_calls.c */

/* Returns whether statements may call a function of that name. */
bool sql_may_call(const char *name);

/* ---- sql_functions.c */

/* Puts functions in place of SQLite's own whose time is the product of the sizes of their arguments. SQLite's code. */
int sql_add_functions(sqlite3 *db);

/* ---- sql_highlight.c: the same for FTS5's highlight */

int sql_add_highlight(sqlite3 *db);
/* Finds the interface of FTS5, which is the connection's. SQLite's code. */
int sql_find_fts5(sqlite3 *db, fts5_api **ret_api);

/* ---- sql_tokenizers.c */

/* Has FTS5's tokenizers end when the time of the operation is over. SQLite's code. */
int sql_add_tokenizers(struct sql *sql);

/* ---- sql_delegated.c */

/* The same for others, which run on a connection in memory, closed after db. SQLite's code. */
int sql_add_delegated(sqlite3 *db, sqlite3 *memory);

/* ---- sql_cache.c */

/* Prepares the statement that a text is, or takes it from the cache; sets the sql's is_schema and is_pragma. A statement that is not cached is
 * the caller's: sql_put_back for both. SQLITE_OK; SQLITE_MISUSE: the operation has failed by its text; or an error of SQLite. */
int sql_get_statement(struct sql *sql, const char *text, size_t size, sqlite3_stmt **ret_statement);
/* Resets a statement of sql_get_statement, and lets go of what is bound. */
void sql_put_back(struct sql *sql, sqlite3_stmt *statement);
void sql_cache_clear(struct sql *sql);
/* Returns the text after blanks, comments and semicolons; text is terminated. */
const char *sql_skip_blanks(const char *text);

/* ---- sql_json.c: each adds to an answer; 0, -EFBIG or -ENOMEM */

int sql_json_text(struct data_answer *answer, const void *data, size_t size);
int sql_json_integer(struct data_answer *answer, int64_t integer);
int sql_json_real(struct data_answer *answer, double real);
/* ["base64"] */
int sql_json_bytes(struct data_answer *answer, const void *data, size_t size);
int sql_json_literal(struct data_answer *answer, const char *literal);
int sql_json_ms(struct data_answer *answer, uint64_t ns);

/* ---- sql_query.c and sql_exec.c: SQLite's codes, SQLITE_OK also where the operation has failed */

int sql_query(struct sql *sql, struct data_operation *operation, struct values values);
int sql_exec(struct sql *sql, struct data_operation *operation, struct values values);
/* Runs statements of a terminated text, one after the other, within the open transaction. ret_line: where the one that has failed begins. */
int sql_run_script(struct sql *sql, const char *text, unsigned *ret_n, unsigned *ret_line);
/* Opens its own transactions. */
int sql_migrate(struct sql *sql, struct data_operation *operation, struct values values);

/* ---- sql_copy.c */

/* Makes the state of copies, and removes files that were left behind. 0 or -ENOMEM. */
int sql_copies_open(struct sql *sql);
/* Ends copies that nobody has used for a while: one that is under way takes part in each write. */
void sql_copies_expire(struct sql *sql, int64_t now_ms);
/* Ends all copies. sql->db is still open. */
void sql_copies_close(struct sql *sql);
/* Operations: SQLite's codes, as of sql_query. All but the reading ones open their own transactions. */
int sql_copy_begin(struct sql *sql, struct data_operation *operation, struct values values);
int sql_copy_step(struct sql *sql, struct data_operation *operation, struct values values);
int sql_copy_read(struct sql *sql, struct data_operation *operation, struct values values);
int sql_copy_end(struct sql *sql, struct data_operation *operation, struct values values);
int sql_restore_begin(struct sql *sql, struct data_operation *operation, struct values values);
int sql_restore_write(struct sql *sql, struct data_operation *operation, struct values values);
int sql_restore_commit(struct sql *sql, struct data_operation *operation, struct values values);

/* ---- sql.c */

/* Runs a statement of the engine, with one row of one integer. SQLite's code. */
int sql_read_integer(sqlite3 *db, const char *text, int64_t *ret_integer);

int sql_begin(struct sql *sql);
/* Commits, and notes in the operation whether that has written. */
int sql_commit(struct sql *sql, struct data_operation *operation);
void sql_roll_back(struct sql *sql);
/* Reads the size of the file after a statement that may have changed it. */
void sql_read_size(struct sql *sql);
/* Makes the operation fail by an error of SQLite, with a text as D1's. 0, or -EUCLEAN: the file is corrupt. */
int sql_fail(struct sql *sql, int code, const char *prefix, struct data_operation *operation);
/* Makes the operation fail by the answer. Returns SQLITE_OK. */
int sql_fail_answer(struct data_operation *operation, int error);
/* Starts the answer, whose values are none and whose rest is JSON. 0 or -errno. */
int sql_answer_begin(struct data_operation *operation);
