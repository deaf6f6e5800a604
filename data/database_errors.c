/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite's codes as results of operations and as errors of the system. */
#include <errno.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "data/database.h"
#include "data/database_disk.h"
#include "data/engine.h"

#define PRIMARY(code) ((code) &0xff)

struct row {
    const char *name;
    int error;       /* -errno from an open */
    unsigned status; /* an operation's */
    bool is_noticed; /* the operator hears of it */
};

static const struct row rows[] = {
    [SQLITE_ERROR] = { "SQLITE_ERROR", -EINVAL, 400, false },
    [SQLITE_INTERNAL] = { "SQLITE_INTERNAL", -EIO, 503, true },
    [SQLITE_PERM] = { "SQLITE_PERM", -EACCES, 503, true },
    [SQLITE_ABORT] = { "SQLITE_ABORT", -EIO, 503, false },
    [SQLITE_BUSY] = { "SQLITE_BUSY", -EBUSY, 503, true },
    [SQLITE_LOCKED] = { "SQLITE_LOCKED", -EBUSY, 400, false },
    [SQLITE_NOMEM] = { "SQLITE_NOMEM", -ENOMEM, 503, false },
    [SQLITE_READONLY] = { "SQLITE_READONLY", -EROFS, 503, true },
    [SQLITE_INTERRUPT] = { "SQLITE_INTERRUPT", -EINTR, 504, false },
    [SQLITE_IOERR] = { "SQLITE_IOERR", -EIO, 503, true },
    [SQLITE_CORRUPT] = { "SQLITE_CORRUPT", -EUCLEAN, 503, false },
    [SQLITE_NOTFOUND] = { "SQLITE_NOTFOUND", -EIO, 400, false },
    [SQLITE_FULL] = { "SQLITE_FULL", -ENOSPC, 507, false },
    [SQLITE_CANTOPEN] = { "SQLITE_CANTOPEN", -EIO, 503, true },
    [SQLITE_PROTOCOL] = { "SQLITE_PROTOCOL", -EIO, 503, true },
    [SQLITE_SCHEMA] = { "SQLITE_SCHEMA", -EIO, 400, false },
    [SQLITE_TOOBIG] = { "SQLITE_TOOBIG", -EFBIG, 413, false },
    [SQLITE_CONSTRAINT] = { "SQLITE_CONSTRAINT", -EINVAL, 400, false },
    [SQLITE_MISMATCH] = { "SQLITE_MISMATCH", -EINVAL, 400, false },
    [SQLITE_MISUSE] = { "SQLITE_MISUSE", -EINVAL, 503, true },
    [SQLITE_NOLFS] = { "SQLITE_NOLFS", -EFBIG, 503, true },
    [SQLITE_AUTH] = { "SQLITE_AUTH", -EPERM, 400, false },
    [SQLITE_FORMAT] = { "SQLITE_FORMAT", -EINVAL, 400, false },
    [SQLITE_RANGE] = { "SQLITE_RANGE", -EINVAL, 400, false },
    [SQLITE_NOTADB] = { "SQLITE_NOTADB", -EUCLEAN, 503, false },
};

static const struct row *row_of(int code)
{
    const size_t primary = (size_t) PRIMARY(code);

    return primary < ARRAY_LEN(rows) && rows[primary].name ? &rows[primary]
                                                           : &rows[SQLITE_INTERNAL];
}

bool database_is_corrupt(int code)
{
    if (code == SQLITE_CORRUPT_VTAB || code == SQLITE_CORRUPT_SEQUENCE)
        return false;
    return PRIMARY(code) == SQLITE_CORRUPT || PRIMARY(code) == SQLITE_NOTADB;
}

int database_errno(int code)
{
    return code == SQLITE_OK ? 0 : row_of(code)->error;
}

const char *database_code_name(int code)
{
    return row_of(code)->name;
}

/* Returns whether the disk is full, and not a bound of the database. */
static bool is_disk_full(int code)
{
    return (PRIMARY(code) == SQLITE_FULL || PRIMARY(code) == SQLITE_IOERR) &&
           database_disk_is_full();
}

int database_fail(sqlite3 *db, int code, const char *prefix, struct data_operation *operation)
{
    const struct row *row = row_of(code);
    const bool is_full = is_disk_full(code);
    const char *text = sqlite3_errmsg(db);

    if (is_full)
        data_fail(operation, 507, "%sthe disk is full: %s", prefix, row->name);
    else if (PRIMARY(code) == SQLITE_INTERRUPT && atomic_load(&operation->is_cancelled))
        data_fail(operation, 503, "%scancelled: %s", prefix, row->name);
    else if (code == SQLITE_CORRUPT_VTAB || code == SQLITE_CORRUPT_SEQUENCE)
        data_fail(operation, 400, "%s%s: %s", prefix, text, row->name);
    else
        data_fail(operation, row->status, "%s%s: %s", prefix, text, row->name);
    if (row->is_noticed || is_full)
        (void) snprintf(operation->notice, sizeof operation->notice,
                        "%.32s of %.80s: %.200s (%s, errno %d)", operation->name, operation->space,
                        sqlite3_errstr(code), row->name, sqlite3_system_errno(db));
    return database_is_corrupt(code) ? -EUCLEAN : 0;
}
