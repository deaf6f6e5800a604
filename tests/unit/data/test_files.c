/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are not as they were left: a damaged one is put aside with a notice, and the engine works on a new one; an engine
 * never crashes, whatever the bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "data/database.h"
#include "rig.h"

#define PAGE_BYTES 4096
#define ROUNDS 150
#define FILE_MAX_BYTES ((size_t) 16 << 20)

struct file {
    char *data;
    size_t size;
};

static struct file read_file(const char *name)
{
    struct file file;

    assert_int_equal(io_read_file(AT_FDCWD, rig_path(name), FILE_MAX_BYTES, &file.data, &file.size),
                     0);
    return file;
}

static void write_file(const char *name, const void *data, size_t size)
{
    _cleanup_fd_ int fd = open(rig_path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(io_write_all(fd, data, size), 0);
}

/* Writes a file with statements outside of the engines. */
static void make_file(const char *name, const char *statements)
{
    sqlite3 *db = NULL;
    char *error = NULL;

    assert_int_equal(sqlite3_open(rig_path(name), &db), SQLITE_OK);
    (void) sqlite3_exec(db, statements, NULL, NULL, &error);
    if (error)
        print_error("%s\n", error);
    assert_null(error);
    (void) sqlite3_close(db);
}

/* Makes a file of the engine of key-value with some entries. */
static void make_kv(const char *name)
{
    static char large[100000];
    struct kv *kv = rig_open_kv(name);
    char key[16];

    for (unsigned i = 0; i < 50; i++) {
        (void) snprintf(key, sizeof key, "%u", i);
        assert_int_equal(rig_put(kv, key, large, i % 5 == 0 ? sizeof large : i * 20), 200);
    }
    (void) kv_close(kv);
}

static void make_sql(const char *name)
{
    struct sql *sql = rig_open_sql(name);
    char text[256];
    static const char *const statements[] = {
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT)",
        "CREATE INDEX i ON t(a)",
        "CREATE VIRTUAL TABLE f USING fts5(a)",
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 2000) "
        "INSERT INTO t SELECT n, hex(randomblob(n % 100)) FROM c",
        "INSERT INTO f SELECT a FROM t",
    };

    for (size_t i = 0; i < ARRAY_LEN(statements); i++)
        assert_int_equal(rig_query(sql, statements[i], text, sizeof text), 200);
    (void) sql_close(sql);
}

/* ---- each kind of engine, opened and used: whatever comes of it, and that it goes on */

/* Runs all operations. Returns whether the file has turned out to be corrupt; then it has a notice. */
static bool use_kv(struct kv *kv, char notice[static 512])
{
    static const char *const names[] = { "list", "get", "put", "delete", "export", "put" };
    bool is_corrupt = false;

    for (size_t i = 0; i < ARRAY_LEN(names) && !is_corrupt; i++) {
        struct call call;
        call_init(&call, names[i]);
        call.operation.is_operator = true;
        if (i == 0) {
            call_text(&call, "");
            call_integer(&call, 1000);
        } else if (i != 4) {
            call_text(&call, "7");
        }
        if (i == 0 || i == 2 || i >= 4)
            call_null(&call);
        if (i == 2 || i == 5)
            call_null(&call);
        struct data_operation *operation = call_ready(&call);
        is_corrupt = kv_run(kv, &operation, 1) < 0;
        assert_true(operation->status >= 200 && operation->status <= 507);
        assert_true(!is_corrupt || (operation->status == 503 && operation->notice[0]));
        if (is_corrupt)
            (void) snprintf(notice, 512, "%s", operation->notice);
        call_done(&call);
    }
    return is_corrupt;
}

static bool use_sql(struct sql *sql, char notice[static 512])
{
    static const char *const statements[] = {
        "SELECT * FROM t ORDER BY a",
        "SELECT * FROM t WHERE a > 'A' LIMIT 100",
        "UPDATE t SET a = a || 'x'",
        "SELECT * FROM f WHERE f MATCH 'a*'",
        "DELETE FROM t WHERE id % 3",
        "INSERT INTO f SELECT a FROM t",
        "DROP TABLE t",
    };
    bool is_corrupt = false;

    for (size_t i = 0; i < ARRAY_LEN(statements) && !is_corrupt; i++) {
        struct call call;
        call_init(&call, i % 2 == 0 ? "query" : "exec");
        call.operation.deadline_ns = io_now_ns() + 10 * NSEC_PER_SEC;
        if (i % 2 == 0)
            call_statement(&call, statements[i]);
        else
            call_text(&call, statements[i]);
        is_corrupt = sql_run(sql, call_ready(&call)) < 0;
        assert_true(call.operation.status >= 200 && call.operation.status < 600);
        assert_true(!is_corrupt || (call.operation.status == 503 && call.operation.notice[0]));
        if (is_corrupt)
            (void) snprintf(notice, 512, "%s", call.operation.notice);
        call_done(&call);
    }
    return is_corrupt;
}

/* Opens and uses a file; if it is corrupt, the next one has to work. Returns whether it was put aside. */
static bool go_on_kv(const char *name, char notice[static 512])
{
    struct kv *kv = NULL;

    assert_int_equal(kv_open(rig_path(name), &kv, notice), 0);
    if (use_kv(kv, notice)) {
        (void) kv_close(kv);
        kv = rig_open_kv(name);
        assert_false(use_kv(kv, notice));
    }
    (void) kv_close(kv);
    return notice[0] != '\0';
}

static bool go_on_sql(const char *name, char notice[static 512])
{
    struct sql *sql = NULL;

    assert_int_equal(sql_open(rig_path(name), &sql, notice), 0);
    if (use_sql(sql, notice)) {
        (void) sql_close(sql);
        sql = rig_open_sql(name);
        assert_false(use_sql(sql, notice));
    }
    (void) sql_close(sql);
    return notice[0] != '\0';
}

static void check_aside(const char *name, unsigned n)
{
    char prefix[64];

    (void) snprintf(prefix, sizeof prefix, "%s.corrupt-", name);
    assert_int_equal(rig_count_files(prefix), n);
}

/* ---- tests */

static void test_files_that_are_no_databases_are_put_aside(void **state)
{
    static char bytes[20000];
    char notice[512];

    (void) state;
    memset(bytes, 'x', sizeof bytes);
    write_file("none", bytes, sizeof bytes);
    assert_true(go_on_kv("none", notice));
    assert_non_null(strstr(notice, "none is corrupt"));
    check_aside("none", 1);
    const struct file aside = read_file("none");
    assert_memory_equal(aside.data, "SQLite format 3", 16);
    free(aside.data);
    write_file("none-sql", bytes, 100);
    assert_true(go_on_sql("none-sql", notice));
    check_aside("none-sql", 1);
    rig_remove("none");
}

static void test_files_that_were_cut_are_put_aside(void **state)
{
    char notice[512];

    (void) state;
    make_kv("cut");
    struct file file = read_file("cut");
    write_file("cut", file.data, PAGE_BYTES * 3);
    free(file.data);
    assert_true(go_on_kv("cut", notice));
    check_aside("cut", 1);
    rig_remove("cut");
}

/* All files of a tenant are in one folder. */
static void test_the_newest_files_are_kept_aside(void **state)
{
    static const char *const names[] = { "old", "new" };
    char notice[512], bytes[200];

    (void) state;
    for (unsigned i = 0; i < 7; i++) {
        (void) memset(bytes, 'x', sizeof bytes);
        (void) snprintf(bytes, sizeof bytes, "round %u", i);
        write_file(names[i >= 4], bytes, sizeof bytes);
        assert_true(go_on_kv(names[i >= 4], notice));
        (void) usleep(20000); /* the clock of a file system's times goes in steps */
    }
    check_aside("old", 0);
    check_aside("new", 3);
    rig_remove("old");
    rig_remove("new");
}

static void test_a_file_of_something_else_is_put_aside(void **state)
{
    static const char *const statements[] = {
        "CREATE TABLE entry(a)",
        "CREATE TABLE t(a); CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END;",
        "CREATE VIEW entry AS SELECT 1;",
    };
    char notice[512];

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
        make_file("else", statements[i]);
        assert_true(go_on_kv("else", notice));
        check_aside("else", 1);
        rig_remove("else");
    }
}

/* The check after a crash is of the file: statements may write rows that are against a CHECK, with a PRAGMA. */
static void test_rows_against_a_check_are_no_damage(void **state)
{
    struct sql *sql = rig_open_sql("checks");
    struct call call;
    char notice[512], text[256];

    (void) state;
    call_init(&call, "exec");
    call_text(&call, "CREATE TABLE t (a CHECK (a < 9)); PRAGMA ignore_check_constraints = ON; "
                     "INSERT INTO t VALUES (10)");
    assert_int_equal(call_sql(&call, sql), 200);
    call_done(&call);
    const struct file file = read_file("checks"), wal = read_file("checks-wal");
    (void) sql_close(sql);
    write_file("checks", file.data, file.size);
    write_file("checks-wal", wal.data, wal.size);
    assert_int_equal(sql_open(rig_path("checks"), &sql, notice), 0);
    assert_string_equal(notice, "");
    assert_int_equal(rig_query(sql, "SELECT a FROM t", text, sizeof text), 200);
    assert_non_null(strstr(text, "[[10]]"));
    free(file.data);
    free(wal.data);
    (void) sql_close(sql);
    rig_remove("checks");
}

static void test_a_check_takes_no_longer_than_it_may(void **state)
{
    sqlite3 *db = NULL;

    (void) state;
    make_file("late", "CREATE TABLE t (a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
                      "FROM n WHERE i < 1000) INSERT INTO t SELECT i FROM n; INSERT INTO t VALUES "
                      "(NULL); PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE "
                      "TABLE t (a NOT NULL)';");
    assert_int_equal(sqlite3_open(rig_path("late"), &db), SQLITE_OK);
    assert_int_equal(database_check(db), SQLITE_CORRUPT);
    assert_int_equal(database_check_for(db, NSEC_PER_SEC * 100), SQLITE_CORRUPT);
    assert_int_equal(database_check_for(db, 0), SQLITE_OK);
    (void) sqlite3_close(db);
    rig_remove("late");
}

static void test_an_empty_file_is_a_new_one(void **state)
{
    char notice[512];

    (void) state;
    write_file("empty", "", 0);
    assert_false(go_on_kv("empty", notice));
    write_file("empty-sql", "", 0);
    assert_false(go_on_sql("empty-sql", notice));
    check_aside("empty", 0);
    rig_remove("empty");
}

static void test_links_are_not_followed(void **state)
{
    struct kv *kv = NULL;
    struct sql *sql = NULL;
    char notice[512];

    (void) state;
    make_kv("target");
    assert_int_equal(symlink(rig_path("target"), rig_path("link")), 0);
    assert_true(kv_open(rig_path("link"), &kv, notice) < 0);
    assert_true(sql_open(rig_path("link"), &sql, notice) < 0);
    rig_remove("link");
    rig_remove("target");
}

static void test_names_are_no_uris(void **state)
{
    struct sql *sql = NULL;
    char notice[512];

    (void) state;
    assert_true(sql_open("file:/tmp/skep-data-uri?mode=memory", &sql, notice) < 0);
    assert_int_equal(access("/tmp/skep-data-uri", F_OK), -1);
}

static void test_malformed_schemas_are_put_aside(void **state)
{
    static const char *const statements[] = {
        "UPDATE sqlite_schema SET sql = 'CREATE TABLE t(' WHERE name = 't'",
        "UPDATE sqlite_schema SET rootpage = 9999 WHERE name = 't'",
        "UPDATE sqlite_schema SET sql = NULL WHERE name = 't'",
        "UPDATE sqlite_schema SET name = 5, tbl_name = x'00', type = NULL",
        "INSERT INTO sqlite_schema VALUES('table', 't', 't', 2, 'CREATE TABLE t(a)')",
        "INSERT INTO sqlite_schema VALUES('index', 'j', 't', 2, 'CREATE INDEX j ON "
        "t(load_extension(a))')",
    };
    char all[512], notice[512];

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
        (void) snprintf(all, sizeof all,
                        "CREATE TABLE t(a); CREATE TABLE u(a); PRAGMA writable_schema = ON; %s",
                        statements[i]);
        make_file("schema", all);
        (void) go_on_sql("schema", notice);
        assert_false(go_on_sql("schema", notice));
        rig_remove("schema");
    }
}

static void test_hostile_schemas_run_nothing(void **state)
{
    char notice[512], text[512];
    struct sql *sql = NULL;

    (void) state;
    make_file("trap", "CREATE TABLE t(a, CHECK(fts3_tokenizer('simple')));"
                      "CREATE VIEW v AS SELECT load_extension('/tmp/x.so');"
                      "CREATE VIEW w AS SELECT * FROM pragma_database_list;"
                      "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT load_extension('x'); END;");
    assert_int_equal(sql_open(rig_path("trap"), &sql, notice), 0);
    assert_int_equal(rig_query(sql, "SELECT * FROM v", text, sizeof text), 400);
    assert_int_equal(rig_query(sql, "SELECT * FROM w", text, sizeof text), 400);
    assert_int_equal(rig_query(sql, "INSERT INTO t(a) VALUES(1)", text, sizeof text), 400);
    (void) sql_close(sql);
    rig_remove("trap");
}

static void test_a_giant_schema_opens(void **state)
{
    const size_t room = (size_t) 8 << 20;
    _cleanup_free_ char *all = malloc(room);
    size_t size = 0;
    char notice[512];

    (void) state;
    assert_non_null(all);
    size += (size_t) snprintf(all, room, "BEGIN;");
    for (unsigned i = 0; i < 3000; i++)
        size += (size_t) snprintf(all + size, room - size,
                                  "CREATE TABLE t%u(a, b, c, d, e, f, g, h UNIQUE);", i);
    (void) snprintf(all + size, room - size, "COMMIT");
    make_file("giant", all);
    assert_false(go_on_sql("giant", notice));
    rig_remove("giant");
}

static void test_wide_tables_of_others_do_no_harm(void **state)
{
    char all[16384], notice[512];
    int size = snprintf(all, sizeof all,
                        "PRAGMA page_size = 65536; PRAGMA encoding = 'UTF-16le'; "
                        "CREATE TABLE t(id INTEGER PRIMARY KEY, a");

    (void) state;
    for (unsigned i = 0; i < 500; i++)
        size += snprintf(all + size, sizeof all - (size_t) size, ", c%u", i);
    (void) snprintf(all + size, sizeof all - (size_t) size, "); INSERT INTO t(a) VALUES('x')");
    make_file("wide", all);
    (void) go_on_sql("wide", notice);
    rig_remove("wide");
}

static void test_bytes_that_flip_never_crash(void **state)
{
    char notice[512];
    unsigned aside[2] = { 0, 0 };

    (void) state;
    make_kv("flip-kv");
    make_sql("flip-sql");
    const struct file files[] = { read_file("flip-kv"), read_file("flip-sql") };
    srandom(1);
    for (unsigned round = 0; round < ROUNDS; round++) {
        const struct file *file = &files[round % 2];
        _cleanup_free_ char *copy = malloc(file->size);
        memcpy(copy, file->data, file->size);
        /* Some in the headers of pages, where the structure is, some anywhere. */
        for (unsigned i = 0; i < 1 + round % 20; i++) {
            const size_t page = (size_t) random() % (file->size / PAGE_BYTES) * PAGE_BYTES;
            const size_t at =
                round % 3 == 0 ? (size_t) random() % file->size : page + (size_t) random() % 200;
            copy[at] = (char) random();
        }
        write_file("flipped", copy, file->size);
        aside[round % 2] +=
            round % 2 == 0 ? go_on_kv("flipped", notice) : go_on_sql("flipped", notice);
        rig_remove("flipped");
    }
    free(files[0].data);
    free(files[1].data);
    assert_true(aside[0] > 5 && aside[1] > 5);
    rig_remove("flip");
}

/* Copies a database while it is open, as a process that was killed leaves it. */
static void make_unclean(const char *name)
{
    struct kv *kv = rig_open_kv("clean");
    char wal[64];

    assert_int_equal(rig_put(kv, "a", "1", 1), 200);
    assert_int_equal(rig_put(kv, "b", "2", 1), 200);
    const struct file db = read_file("clean"), log = read_file("clean-wal");
    write_file(name, db.data, db.size);
    (void) snprintf(wal, sizeof wal, "%s-wal", name);
    write_file(wal, log.data, log.size);
    free(db.data);
    free(log.data);
    (void) kv_close(kv);
    rig_remove("clean");
}

static void test_a_log_that_is_left_is_read(void **state)
{
    size_t size = 0;

    (void) state;
    make_unclean("left");
    struct kv *kv = rig_open_kv("left");
    assert_int_equal(rig_get_size(kv, "b", &size), 200);
    (void) kv_close(kv);
    check_aside("left", 0);
    rig_remove("left");
}

static void test_a_log_of_garbage_loses_only_itself(void **state)
{
    char notice[512];

    (void) state;
    for (unsigned round = 0; round < 40; round++) {
        make_unclean("garbage");
        struct file log = read_file("garbage-wal");
        for (unsigned i = 0; i < 1 + round; i++)
            log.data[(size_t) random() % log.size] = (char) random();
        write_file("garbage-wal", log.data, round % 4 == 0 ? log.size / 2 : log.size);
        free(log.data);
        (void) go_on_kv("garbage", notice);
        assert_false(go_on_kv("garbage", notice));
        rig_remove("garbage");
    }
}

static void test_a_journal_of_others_is_not_played_back(void **state)
{
    char notice[512];
    static const char journal[1024] = "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7\xff\xff\xff\xff";

    (void) state;
    make_kv("journal");
    write_file("journal-journal", journal, sizeof journal);
    assert_true(go_on_kv("journal", notice));
    check_aside("journal", 2);
    rig_remove("journal");
}

static void test_a_file_that_another_has_is_busy(void **state)
{
    struct kv *kv = rig_open_kv("busy");
    char notice[512];

    (void) state;
    const pid_t pid = fork();
    if (pid == 0) {
        struct kv *other = NULL;
        _exit(kv_open(rig_path("busy"), &other, notice) == -EBUSY ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(rig_put(kv, "a", "x", 1), 200);
    (void) kv_close(kv);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_that_are_no_databases_are_put_aside),
        cmocka_unit_test(test_files_that_were_cut_are_put_aside),
        cmocka_unit_test(test_the_newest_files_are_kept_aside),
        cmocka_unit_test(test_a_file_of_something_else_is_put_aside),
        cmocka_unit_test(test_rows_against_a_check_are_no_damage),
        cmocka_unit_test(test_a_check_takes_no_longer_than_it_may),
        cmocka_unit_test(test_an_empty_file_is_a_new_one),
        cmocka_unit_test(test_links_are_not_followed),
        cmocka_unit_test(test_names_are_no_uris),
        cmocka_unit_test(test_malformed_schemas_are_put_aside),
        cmocka_unit_test(test_hostile_schemas_run_nothing),
        cmocka_unit_test(test_a_giant_schema_opens),
        cmocka_unit_test(test_wide_tables_of_others_do_no_harm),
        cmocka_unit_test(test_bytes_that_flip_never_crash),
        cmocka_unit_test(test_a_log_that_is_left_is_read),
        cmocka_unit_test(test_a_log_of_garbage_loses_only_itself),
        cmocka_unit_test(test_a_journal_of_others_is_not_played_back),
        cmocka_unit_test(test_a_file_that_another_has_is_busy),
    };

    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
