/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of a whole database, for the operator: a copy goes into a file beside the database a piece at a time, while statements go on
 * between the pieces, and is the state at its last piece; a database that comes in is gathered in such a file, checked, and written over
 * the present one in one transaction. The files go with the database's being closed, or when it is next opened.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "data/database_aside.h"
#include "data/sql_internal.h"

#define STEP_PAGES 1000 /* between two looks at the time */
#define STEPS 2         /* steps of one operation */
#define PART_BYTES ((size_t) 512 << 10)
#define PROGRESS_OPCODES 10000
#define UNUSED_MS (INT64_C(10) * 60 * 1000) /* until a copy is given up, whose operator has gone */

struct sql_copy {
    int64_t number;         /* the operator's name for it; 0: there is none */
    sqlite3_backup *backup; /* while it is made */
    sqlite3 *db;            /* the same */
    int fd;                 /* once it is whole, or while it comes in; else -1 */
    int64_t size;
    int64_t used_ms; /* clock of the operation that used it last */
};

struct sql_copies {
    struct sql_copy out, in;
};

/* ---- the files */

static const char *ending_of(const struct sql *sql, const struct sql_copy *copy)
{
    return copy == &sql->copies->out ? "-copy" : "-restore";
}

static int name_file(const struct sql *sql, const struct sql_copy *copy,
                     char ret_path[static DATABASE_PATH_BYTES])
{
    return database_sibling(sqlite3_db_filename(sql->db, "main"), ending_of(sql, copy), ret_path);
}

/* Ends a copy, with its file. */
static void drop(const struct sql *sql, struct sql_copy *copy)
{
    char path[DATABASE_PATH_BYTES];

    (void) sqlite3_backup_finish(copy->backup);
    copy->db = database_close(copy->db);
    if (copy->fd >= 0)
        (void) close(copy->fd);
    if (name_file(sql, copy, path) == 0)
        (void) unlink(path);
    *copy = (struct sql_copy){ .fd = -1 };
}

int sql_copies_open(struct sql *sql)
{
    sql->copies = calloc(1, sizeof *sql->copies);
    if (!sql->copies)
        return -ENOMEM;
    sql->copies->out.fd = sql->copies->in.fd = -1;
    drop(sql, &sql->copies->out);
    drop(sql, &sql->copies->in);
    return 0;
}

void sql_copies_close(struct sql *sql)
{
    if (!sql->copies)
        return;
    drop(sql, &sql->copies->out);
    drop(sql, &sql->copies->in);
    free(sql->copies);
    sql->copies = NULL;
}

void sql_copies_expire(struct sql *sql, int64_t now_ms)
{
    struct sql_copy *const copies[] = { &sql->copies->out, &sql->copies->in };

    for (size_t i = 0; i < ARRAY_LEN(copies); i++)
        if (copies[i]->number != 0 && now_ms - copies[i]->used_ms > UNUSED_MS)
            drop(sql, copies[i]);
}

/* ---- arguments and answers */

static int fail_errno(struct data_operation *operation, int error)
{
    if (error == -ENOSPC || error == -EDQUOT)
        data_fail(operation, 507, SQL_PREFIX "the disk has no room for the copy");
    else
        data_fail(operation, 503, SQL_PREFIX "the file of the copy: %s", strerrordesc_np(-error));
    return SQLITE_OK;
}

/* Answers with integers, and room for a part behind them. */
static int answer_integers(struct data_operation *operation, const int64_t *integers, size_t n)
{
    uint8_t packed[sizeof(uint32_t) + 4 * 16];
    size_t size = sizeof(uint32_t);

    for (size_t i = 0; i < n; i++)
        size += values_put_integer(packed + size, integers[i]);
    const uint32_t values = htole32((uint32_t) (size - sizeof(uint32_t)));
    memcpy(packed, &values, sizeof values);
    int r = data_answer_add(&operation->answer, packed, size);
    return r < 0 ? sql_fail_answer(operation, r) : SQLITE_OK;
}

/* Reads integers, all of which must be there. Returns false if the operation has failed by them. */
static bool take_integers(struct data_operation *operation, struct values values,
                          int64_t *ret_integers, size_t n)
{
    struct value value;

    for (size_t i = 0; i < n; i++) {
        if (values_take(&values, VALUE_INTEGER, false, &value) < 0) {
            (void) sql_fail_answer(operation, -EPROTO);
            return false;
        }
        ret_integers[i] = value.integer;
    }
    return true;
}

/* Returns whether the copy of that number is there, which it uses; else the operation has failed. */
static bool is_there(struct sql_copy *copy, int64_t number, struct data_operation *operation)
{
    copy->used_ms = operation->now_ms;
    if (number != 0 && number == copy->number)
        return true;
    data_fail(operation, 400,
              SQL_PREFIX "the copy is not there any more: another one was begun, or the "
                         "database was closed; begin again");
    return false;
}

/* ---- a copy goes out */

/* A copy that a crash leaves behind is nobody's: neither a journal nor a sync is worth while. */
static int open_copy(const struct sql *sql, struct sql_copy *copy)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW |
                      SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    char path[DATABASE_PATH_BYTES];

    if (name_file(sql, copy, path) < 0)
        return SQLITE_CANTOPEN;
    int code = sqlite3_open_v2(path, &copy->db, flags, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(copy->db,
                            "PRAGMA locking_mode=EXCLUSIVE;PRAGMA journal_mode=OFF;"
                            "PRAGMA synchronous=OFF;PRAGMA cache_size=-2048;",
                            NULL, NULL, NULL);
    if (code != SQLITE_OK)
        return code;
    copy->backup = sqlite3_backup_init(copy->db, "main", sql->db, "main");
    return copy->backup ? SQLITE_OK : sqlite3_extended_errcode(copy->db);
}

int sql_copy_begin(struct sql *sql, struct data_operation *operation, struct values values)
{
    struct sql_copy *copy = &sql->copies->out;

    (void) values;
    drop(sql, copy);
    int code = open_copy(sql, copy);
    if (code != SQLITE_OK) {
        drop(sql, copy);
        return code;
    }
    copy->number = ++sql->copy_number;
    copy->used_ms = operation->now_ms;
    return answer_integers(operation, &copy->number, 1);
}

/* Closes a copy that is whole, and opens it as a file. 0 or -errno. */
static int finish(const struct sql *sql, struct sql_copy *copy)
{
    char path[DATABASE_PATH_BYTES];
    struct stat st;

    (void) sqlite3_backup_finish(TAKE_PTR(copy->backup));
    copy->db = database_close(copy->db);
    int r = name_file(sql, copy, path);
    if (r < 0)
        return r;
    copy->fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (copy->fd < 0 || fstat(copy->fd, &st) < 0)
        return -errno;
    copy->size = st.st_size;
    return 0;
}

int sql_copy_step(struct sql *sql, struct data_operation *operation, struct values values)
{
    struct sql_copy *copy = &sql->copies->out;
    int64_t number, answer[2];
    int code = SQLITE_OK, r = 0;

    if (!take_integers(operation, values, &number, 1) || !is_there(copy, number, operation))
        return SQLITE_OK;
    for (unsigned i = 0; i < STEPS && code == SQLITE_OK && copy->backup; i++)
        code = sql_is_over(operation) ? SQLITE_INTERRUPT
                                      : sqlite3_backup_step(copy->backup, STEP_PAGES);
    if (code == SQLITE_DONE)
        r = finish(sql, copy);
    if ((code != SQLITE_OK && code != SQLITE_DONE) || r < 0) {
        drop(sql, copy);
        return r < 0 ? fail_errno(operation, r) : code;
    }
    answer[0] = !copy->backup;
    answer[1] = copy->size;
    return answer_integers(operation, answer, ARRAY_LEN(answer));
}

int sql_copy_read(struct sql *sql, struct data_operation *operation, struct values values)
{
    struct sql_copy *copy = &sql->copies->out;
    int64_t from[2]; /* number and offset */

    if (!take_integers(operation, values, from, ARRAY_LEN(from)) ||
        !is_there(copy, from[0], operation))
        return SQLITE_OK;
    if (copy->fd < 0 || from[1] < 0 || from[1] > copy->size)
        return sql_fail_answer(operation, -EPROTO);
    int code = answer_integers(operation, NULL, 0);
    size_t at = operation->answer.size;
    uint8_t *to = data_answer_reserve(&operation->answer, PART_BYTES);
    if (code != SQLITE_OK || !to)
        return to ? code : sql_fail_answer(operation, -errno);
    ssize_t n = pread(copy->fd, to, PART_BYTES, from[1]);
    if (n < 0)
        return fail_errno(operation, -errno);
    operation->answer.size = at + (size_t) n;
    return SQLITE_OK;
}

int sql_copy_end(struct sql *sql, struct data_operation *operation, struct values values)
{
    int64_t number;

    if (!take_integers(operation, values, &number, 1))
        return SQLITE_OK;
    if (number == sql->copies->out.number)
        drop(sql, &sql->copies->out);
    return answer_integers(operation, NULL, 0);
}

/* ---- a copy comes in */

/* Checks that the database may be written over. SQLite's code; SQLITE_OK also where the operation has failed. */
static int check_present(struct sql *sql, struct data_operation *operation, bool is_replaced)
{
    int64_t n = 0;

    if (is_replaced)
        return SQLITE_OK;
    sql->is_own = true;
    int code = sql_read_integer(sql->db, "SELECT count(*) FROM sqlite_schema", &n);
    sql->is_own = false;
    if (code == SQLITE_OK && n > 0)
        data_fail(operation, 400, SQL_PREFIX "the database is not empty");
    return code;
}

int sql_restore_begin(struct sql *sql, struct data_operation *operation, struct values values)
{
    struct sql_copy *copy = &sql->copies->in;
    char path[DATABASE_PATH_BYTES];
    int64_t is_replaced;

    if (!take_integers(operation, values, &is_replaced, 1))
        return SQLITE_OK;
    int code = check_present(sql, operation, is_replaced != 0);
    if (code != SQLITE_OK || operation->status != 200)
        return code;
    drop(sql, copy);
    int r = name_file(sql, copy, path);
    if (r == 0) {
        copy->fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        r = copy->fd < 0 ? -errno : 0;
    }
    if (r < 0)
        return fail_errno(operation, r);
    copy->number = ++sql->copy_number;
    copy->used_ms = operation->now_ms;
    return answer_integers(operation, &copy->number, 1);
}

int sql_restore_write(struct sql *sql, struct data_operation *operation, struct values values)
{
    struct sql_copy *copy = &sql->copies->in;
    const uint8_t *part = values.end;
    const size_t size = (size_t) (operation->request + operation->request_size - part);
    const uint32_t most = operation->limits.sql_mib;
    int64_t to[2]; /* number and offset */
    size_t at = 0;

    if (!take_integers(operation, values, to, ARRAY_LEN(to)) || !is_there(copy, to[0], operation))
        return SQLITE_OK;
    if (to[1] != copy->size)
        return sql_fail_answer(operation, -EPROTO);
    if (most != UINT32_MAX && copy->size + (int64_t) size > (int64_t) most << 20) {
        data_fail(operation, 507, SQL_PREFIX "the database is larger than sql_mib, %u MiB", most);
        return SQLITE_OK;
    }
    while (at < size) {
        ssize_t n = pwrite(copy->fd, part + at, size - at, copy->size);
        if (n <= 0)
            return fail_errno(operation, n < 0 ? -errno : -EIO);
        at += (size_t) n;
        copy->size += n;
    }
    return answer_integers(operation, NULL, 0);
}

static int on_progress(void *owner)
{
    return sql_is_over(owner);
}

/* Opens the file that came in, and checks all of it but its indexes. SQLite's code; SQLITE_NOTADB: its pages are of another size. */
static int open_incoming(struct sql *sql, const char *path, struct data_operation *operation,
                         sqlite3 **ret_db)
{
    const int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int64_t page_bytes = 0;
    int code = sqlite3_open_v2(path, ret_db, flags, NULL);

    if (code == SQLITE_OK)
        code = database_set_options(*ret_db);
    if (code == SQLITE_OK)
        code = sql_bound(sql, *ret_db);
    if (code == SQLITE_OK)
        code = sqlite3_exec(*ret_db, "PRAGMA locking_mode=EXCLUSIVE;PRAGMA cell_size_check=ON;",
                            NULL, NULL, NULL);
    if (code != SQLITE_OK)
        return code;
    sqlite3_progress_handler(*ret_db, PROGRESS_OPCODES, on_progress, operation);
    code = database_check(*ret_db);
    if (code == SQLITE_OK)
        code = sql_read_integer(*ret_db, "PRAGMA page_size", &page_bytes);
    if (code == SQLITE_OK && page_bytes != sql->page_bytes)
        code = SQLITE_NOTADB;
    return code;
}

/* Writes a database over the present one, in one transaction. SQLite's code. */
static int write_over(struct sql *sql, sqlite3 *from, struct data_operation *operation)
{
    sqlite3_backup *backup = sqlite3_backup_init(sql->db, "main", from, "main");
    int code = backup ? SQLITE_OK : sqlite3_extended_errcode(sql->db);

    while (code == SQLITE_OK)
        code = sql_is_over(operation) ? SQLITE_INTERRUPT : sqlite3_backup_step(backup, STEP_PAGES);
    int end = sqlite3_backup_finish(backup);
    code = code == SQLITE_DONE ? end : code;
    if (code == SQLITE_OK) {
        operation->is_changed = true;
        (void) sqlite3_wal_checkpoint_v2(sql->db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        sql->is_own = true;
        code = sql_read_integer(sql->db, "PRAGMA page_count", &sql->pages);
        sql->is_own = false;
    }
    return code;
}

/* Makes the operation fail by the file that came in, which says nothing of the present one. SQLite's code where it is not that. */
static int refuse_incoming(struct data_operation *operation, int code)
{
    if (!database_is_corrupt(code))
        return code;
    data_fail(operation, 400, SQL_PREFIX "the file is damaged, or not one of an export");
    return SQLITE_OK;
}

int sql_restore_commit(struct sql *sql, struct data_operation *operation, struct values values)
{
    struct sql_copy *copy = &sql->copies->in;
    char path[DATABASE_PATH_BYTES];
    int64_t from[3]; /* number, size, whether a database with something in it is replaced */

    if (!take_integers(operation, values, from, ARRAY_LEN(from)) ||
        !is_there(copy, from[0], operation))
        return SQLITE_OK;
    if (from[1] != copy->size || name_file(sql, copy, path) < 0)
        return sql_fail_answer(operation, -EPROTO);
    int code = check_present(sql, operation, from[2] != 0);
    if (code != SQLITE_OK || operation->status != 200)
        return code;
    drop(sql, &sql->copies->out);
    sql_cache_clear(sql);
    code = open_incoming(sql, path, operation, &copy->db);
    if (code == SQLITE_OK)
        code = write_over(sql, copy->db, operation);
    else
        code = refuse_incoming(operation, code);
    drop(sql, copy);
    return code == SQLITE_OK && operation->status == 200 ? answer_integers(operation, NULL, 0)
                                                         : code;
}
