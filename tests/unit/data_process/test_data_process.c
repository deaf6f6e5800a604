/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program skep-data as it is installed, with its engines, confined: what was acknowledged is there afterwards, and files are where
 * they belong.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "data/program.h"
#include "data/sql.h"
#include "proto/values.h"
#include "tests/unit/data_process/player.h"

#define NONE SKEP__DATA__FAILURE__FAILURE_NONE
#define KEYS 200

static void run_program(void)
{
    static char name[] = DATA_PROGRAM, cordon[] = DATA_OPTION_CORDON "default";
    char *argv[] = { name, cordon, NULL };
    const char *build = getenv("SKEP_BUILD_DIR");
    char path[PATH_MAX];

    (void) snprintf(path, sizeof path, "%s/" DATA_PROGRAM, build ? build : ".");
    (void) execv(path, argv);
    _exit(98);
}

/* ---- requests */

struct request {
    uint8_t bytes[1024];
    size_t size; /* with the size of the values at the beginning */
};

static void seal(struct request *request)
{
    const uint32_t size = htole32((uint32_t) (request->size - sizeof size));

    memcpy(request->bytes, &size, sizeof size);
}

static void begin(struct request *request)
{
    request->size = sizeof(uint32_t);
}

static void add(struct request *request, enum value_kind kind, const char *text)
{
    request->size += values_put_bytes(request->bytes + request->size, kind, text, strlen(text));
}

static uint64_t ask(struct player *player, const struct ask *ask, const struct request *request)
{
    struct ask with_body = *ask;

    with_body.has_body = true;
    uint64_t id = player_open(player, &with_body);
    player_body(player, id, request->bytes, request->size, true);
    return id;
}

static uint64_t put(struct player *player, const char *tenant, const char *key, const char *value)
{
    struct request request;

    begin(&request);
    add(&request, VALUE_TEXT, key);
    request.size += values_put_null(request.bytes + request.size);
    request.size += values_put_null(request.bytes + request.size);
    seal(&request);
    memcpy(request.bytes + request.size, value, strlen(value));
    request.size += strlen(value);
    return ask(player, &(struct ask){ .tenant = tenant, .operation = "put" }, &request);
}

static uint64_t get(struct player *player, const char *tenant, const char *key)
{
    struct request request;

    begin(&request);
    add(&request, VALUE_TEXT, key);
    seal(&request);
    return ask(player, &(struct ask){ .tenant = tenant, .operation = "get" }, &request);
}

static uint64_t query(struct player *player, const char *tenant, const char *statement,
                      uint32_t sql_ms)
{
    struct request request;

    begin(&request);
    add(&request, VALUE_STATEMENT, statement);
    seal(&request);
    return ask(
        player,
        &(struct ask){ .tenant = tenant, .operation = "query", .is_sql = true, .sql_ms = sql_ms },
        &request);
}

static void expect_status(struct player *player, uint64_t id, unsigned status)
{
    const struct played *played = player_await(player, id);

    if (played->failure != NONE || played->status != status)
        fail_msg("status %u, failure %d: %s%s", played->status, (int) played->failure, played->text,
                 played->answer);
}

static void expect_file(const struct player *player, const char *name, mode_t mode)
{
    char path[128];
    struct stat st;

    (void) snprintf(path, sizeof path, "%s/%s", player->folder, name);
    assert_int_equal(lstat(path, &st), 0);
    assert_int_equal(st.st_mode, mode);
}

/* ---- tests */

static void test_values_of_key_value_come_back(void **state)
{
    struct player player;
    char keys[KEYS][8];
    uint64_t ids[KEYS];

    (void) state;
    player_start(&player, run_program);
    for (unsigned i = 0; i < KEYS; i++) {
        (void) snprintf(keys[i], sizeof keys[i], "k%u", i);
        ids[i] = put(&player, "a", keys[i], keys[i]);
    }
    for (unsigned i = 0; i < KEYS; i++)
        expect_status(&player, ids[i], 200);
    for (unsigned i = 0; i < KEYS; i++)
        expect_status(&player, get(&player, "a", keys[i]), 200);
    expect_status(&player, get(&player, "b", keys[0]), 404);
    expect_file(&player, "default", S_IFDIR | 0700);
    expect_file(&player, "default/a", S_IFDIR | 0700);
    expect_file(&player, "default/a/kv.db", S_IFREG | 0600);
    assert_int_equal(player_end(&player), 0);
}

static void test_closed_tenant_can_be_moved_away(void **state)
{
    struct player player;
    char from[64], to[64];

    (void) state;
    player_start(&player, run_program);
    expect_status(&player, put(&player, "a", "key", "value"), 200);
    assert_int_equal(player_await(&player, player_close_tenant(&player, "a"))->n_closed, 1);
    (void) snprintf(from, sizeof from, "%s/default/a", player.folder);
    (void) snprintf(to, sizeof to, "%s/default/b", player.folder);
    assert_int_equal(rename(from, to), 0);
    expect_status(&player, get(&player, "a", "key"), 404);
    expect_status(&player, get(&player, "b", "key"), 200);
    assert_int_equal(player_end(&player), 0);
}

static const char endless[] = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
                              "SELECT max(x) FROM n";

static void test_rows_come_back_and_outlast_the_process(void **state)
{
    struct player player, next;

    (void) state;
    player_start(&player, run_program);
    expect_status(&player, query(&player, "a", "CREATE TABLE t (x)", 1000), 200);
    expect_status(&player, query(&player, "a", "INSERT INTO t VALUES (12345)", 1000), 200);
    expect_file(&player, "default/a/sql-main.db", S_IFREG | 0600);
    assert_int_equal(kill(player.pid, SIGKILL), 0);
    player_expect_closed(&player);
    player_start_beside(&next, run_program, &player);
    uint64_t id = query(&next, "a", "SELECT x FROM t", 1000);
    expect_status(&next, id, 200);
    /* The rows come after the size of values, of which there are none. */
    assert_non_null(strstr(next.played[id].answer + sizeof(uint32_t), "[[12345]]"));
    assert_int_equal(player_end(&next), 0);
    assert_int_equal(player_end(&player), -1);
}

/* Without a limit of its time the statement runs until it is cancelled. */
static void test_endless_statement_holds_up_no_other_tenant(void **state)
{
    struct player player;

    (void) state;
    player_start(&player, run_program);
    expect_status(&player, put(&player, "b", "key", "value"), 200);
    uint64_t slow = query(&player, "a", endless, 0);
    for (unsigned i = 0; i < 100; i++)
        expect_status(&player, get(&player, "b", "key"), 200);
    expect_status(&player, query(&player, "b", "SELECT 1", 1000), 200);
    expect_status(&player, put(&player, "a", "key", "value"), 200);
    assert_int_equal(player.played[slow].n_dones, 0);
    player_cancel(&player, slow);
    (void) player_await(&player, slow);
    expect_status(&player, query(&player, "a", "SELECT 1", 1000), 200); /* has the thread */
    assert_int_equal(player_end(&player), 0);
}

static void test_endless_statement_ends_by_its_limit_and_by_a_close(void **state)
{
    struct player player;

    (void) state;
    player_start(&player, run_program);
    expect_status(&player, query(&player, "a", endless, 50), 504);
    uint64_t slow = query(&player, "a", endless, 0);
    uint64_t close = player_close_tenant(&player, "a");
    assert_int_equal(player_await(&player, slow)->failure, SKEP__DATA__FAILURE__FAILURE_CLOSED);
    assert_int_equal(player_await(&player, close)->n_closed, 1);
    expect_status(&player, query(&player, "a", "SELECT 1", 1000), 200);
    assert_int_equal(player_end(&player), 0);
}

static void test_second_process_on_a_folder_is_told_so(void **state)
{
    struct player player, next;

    (void) state;
    player_start(&player, run_program);
    expect_status(&player, put(&player, "a", "key", "value"), 200);
    player_start_beside(&next, run_program, &player);
    const struct played *played = player_await(&next, get(&next, "a", "key"));
    assert_int_equal(played->failure, SKEP__DATA__FAILURE__FAILURE_BUSY);
    assert_string_equal(played->text, "cannot open the tenant's file: another data process has it");
    (void) player_await(&player, player_close_tenant(&player, "a"));
    expect_status(&next, get(&next, "a", "key"), 200);
    assert_int_equal(player_end(&next), 0);
    assert_int_equal(player_end(&player), 0);
}

/* ---- two processes, as during an upgrade */

#define ROUNDS 20
#define AT_ONCE 20

static void start_pair(struct player *one, struct player *two)
{
    player_start(one, run_program);
    expect_status(one, put(one, "a", "key", "value"), 200);
    expect_status(one, query(one, "a", "CREATE TABLE t (x)", 1000), 200);
    player_share(one, true); /* files that are open already are closed, too */
    player_start_beside(two, run_program, one);
    player_share(two, true);
}

static void end_pair(struct player *one, struct player *two)
{
    assert_int_equal(player_end(two), 0);
    assert_int_equal(player_end(one), 0);
}

static void test_processes_that_share_a_folder_see_each_other_s_writes(void **state)
{
    struct player one, two;
    char statement[64], key[16];

    (void) state;
    start_pair(&one, &two);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct player *writer = i % 2 == 0 ? &one : &two, *reader = i % 2 == 0 ? &two : &one;
        (void) snprintf(key, sizeof key, "key%u", i);
        (void) snprintf(statement, sizeof statement, "INSERT INTO t VALUES (%u)", i);
        expect_status(writer, put(writer, "a", key, key), 200);
        expect_status(reader, get(reader, "a", key), 200);
        expect_status(writer, query(writer, "a", statement, 1000), 200);
        uint64_t id = query(reader, "a", "SELECT max(x) FROM t", 1000);
        expect_status(reader, id, 200);
        (void) snprintf(statement, sizeof statement, "[[%u]]", i);
        assert_non_null(strstr(reader->played[id].answer + sizeof(uint32_t), statement));
    }
    end_pair(&one, &two);
}

/* Each has more to do than fits in the time for which it may have a file. */
static void test_processes_that_share_a_folder_take_turns(void **state)
{
    struct player one, two, *const both[] = { &one, &two };
    uint64_t ids[2][2 * AT_ONCE];
    const uint32_t sql_ms = 20000;

    (void) state;
    start_pair(&one, &two);
    for (unsigned i = 0; i < AT_ONCE; i++)
        for (unsigned who = 0; who < 2; who++) {
            ids[who][2 * i] = put(both[who], "a", "key", "value");
            ids[who][2 * i + 1] = query(both[who], "a", "INSERT INTO t VALUES (1)", sql_ms);
        }
    for (unsigned i = 0; i < ARRAY_LEN(ids[0]); i++)
        for (unsigned who = 0; who < 2; who++)
            expect_status(both[who], ids[who][i], 200);
    uint64_t id = query(&two, "a", "SELECT count(*) FROM t", sql_ms);
    expect_status(&two, id, 200);
    assert_non_null(strstr(two.played[id].answer + sizeof(uint32_t), "[[40]]"));
    end_pair(&one, &two);
}

static void test_file_of_another_process_holds_up_its_tenant_alone(void **state)
{
    struct player one, two;
    uint64_t waiting[AT_ONCE];

    (void) state;
    start_pair(&one, &two);
    player_share(&one, false);
    expect_status(&one, query(&one, "a", "SELECT 1", 1000), 200); /* and the file stays open */
    for (unsigned i = 0; i < AT_ONCE; i++)
        waiting[i] = query(&two, "a", "SELECT 1", 1000);
    for (unsigned i = 0; i < AT_ONCE; i++)
        expect_status(&two, put(&two, "b", "key", "value"), 200);
    expect_status(&two, query(&two, "b", "SELECT 1", 1000), 200);
    assert_int_equal(two.played[waiting[0]].n_dones, 0);
    player_share(&one, true);
    for (unsigned i = 0; i < AT_ONCE; i++)
        expect_status(&two, waiting[i], 200);
    end_pair(&one, &two);
}

/* Writes a statement of that many tables, each of which reads the one before. */
static size_t write_deep(char *to, size_t room, unsigned depth)
{
    size_t at = (size_t) snprintf(to, room, "WITH c0(x) AS (SELECT 7)");

    for (unsigned i = 1; i <= depth; i++)
        at += (size_t) snprintf(to + at, room - at, ",c%u AS(SELECT*FROM c%u)", i, i - 1);
    at += (size_t) snprintf(to + at, room - at, "SELECT x FROM c%u", depth);
    assert_true(at < room);
    return at;
}

/* The deepest statement needs less than the stack of a thread. */
static void test_deep_statement_does_not_end_the_process(void **state)
{
    static char text[SQL_STATEMENT_MAX_BYTES];
    static uint8_t request[SQL_STATEMENT_MAX_BYTES + 64];
    const struct ask ask = { .operation = "query", .is_sql = true, .has_body = true };
    struct player player;
    uint32_t size;

    (void) state;
    player_start(&player, run_program);
    size = (uint32_t) values_put_bytes(request + sizeof size, VALUE_STATEMENT, text,
                                       write_deep(text, sizeof text, 3600));
    memcpy(request, &(uint32_t){ htole32(size) }, sizeof size);
    size += (uint32_t) sizeof size;
    uint64_t id = player_open(&player, &ask);
    player_body(&player, id, request, DATA_WINDOW_BYTES, false);
    while (player.played[id].granted == 0)
        assert_true(player_take(&player));
    player_body(&player, id, request + DATA_WINDOW_BYTES, size - DATA_WINDOW_BYTES, true);
    expect_status(&player, id, 200);
    assert_int_equal(player_end(&player), 0);
}

static void spoil(const struct player *player, const char *name)
{
    char path[128], bytes[4096];

    memset(bytes, 'x', sizeof bytes);
    (void) snprintf(path, sizeof path, "%s/%s", player->folder, name);
    _cleanup_fd_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, bytes, sizeof bytes, 0), sizeof bytes);
}

static void test_corrupt_file_is_put_aside_with_a_notice(void **state)
{
    struct player player;

    (void) state;
    player_start(&player, run_program);
    expect_status(&player, put(&player, "a", "key", "value"), 200);
    expect_status(&player, put(&player, "b", "key", "value"), 200);
    (void) player_await(&player, player_close_tenant(&player, "a"));
    spoil(&player, "default/a/kv.db");
    expect_status(&player, get(&player, "a", "key"), 404);
    assert_int_equal(player.n_notices, 1);
    assert_string_equal(player.noticed, "a");
    assert_non_null(strstr(player.notice, "a/kv.db is corrupt"));
    for (unsigned i = 0; i < 4; i++) { /* old ones are removed */
        (void) player_await(&player, player_close_tenant(&player, "a"));
        spoil(&player, "default/a/kv.db");
        expect_status(&player, get(&player, "a", "key"), 404);
    }
    expect_status(&player, get(&player, "b", "key"), 200);
    assert_int_equal(player_end(&player), 0);
}

/* ---- a file system that is full */

#define FULL_SIZE "size=1m"
#define FILLER_BYTES (400 << 10)
#define WRITES_MAX 300

static bool write_line(const char *path, const char *text)
{
    _cleanup_fd_ int fd = open(path, O_WRONLY | O_CLOEXEC);

    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t) strlen(text);
}

/* Takes this process into a mount namespace of its own, in which it may mount. */
static bool may_mount(void)
{
    char map[64];

    (void) snprintf(map, sizeof map, "0 %u 1", (unsigned) geteuid());
    if (unshare(CLONE_NEWNS) < 0 &&
        (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 || !write_line("/proc/self/uid_map", map)))
        return false;
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* Makes a small file system, with a file in it whose removal makes room. */
static bool make_small(struct player *place, char filler[static 64])
{
    static uint8_t bytes[FILLER_BYTES];

    *place = (struct player){ .folder = "/tmp/test_data.XXXXXX" };
    assert_non_null(mkdtemp(place->folder));
    if (!may_mount() || mount("small", place->folder, "tmpfs", 0, FULL_SIZE) < 0) {
        print_message("skipped: no mount is allowed here: %s\n", strerror(errno));
        (void) rmdir(place->folder);
        return false;
    }
    (void) snprintf(filler, 64, "%s/filler", place->folder);
    _cleanup_fd_ int fd = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, bytes, sizeof bytes), sizeof bytes);
    return true;
}

static uint64_t write_one(struct player *player, bool is_sql, unsigned number)
{
    static char value[900];
    char text[64];

    (void) memset(value, 'x', sizeof value - 1);
    (void) snprintf(text, sizeof text,
                    is_sql ? "INSERT INTO t VALUES (%u, zeroblob(9000))" : "key%u", number);
    return is_sql ? query(player, "a", text, 10000) : put(player, "a", text, value);
}

/* Writes until there is no room. Returns how many were acknowledged. */
static unsigned write_until_full(struct player *player, bool is_sql)
{
    unsigned n = 0;

    for (; n < WRITES_MAX; n++) {
        const struct played *played = player_await(player, write_one(player, is_sql, n));
        assert_int_equal(played->failure, NONE);
        if (played->status == 507)
            return n;
        assert_int_equal(played->status, 200);
    }
    fail_msg("%u writes have found room", n);
    return 0;
}

static void expect_all(struct player *player, bool is_sql, unsigned n)
{
    char text[64];

    for (unsigned i = 0; i < n && !is_sql; i++) {
        (void) snprintf(text, sizeof text, "key%u", i);
        expect_status(player, get(player, "a", text), 200);
    }
    if (!is_sql)
        return;
    uint64_t id = query(player, "a", "SELECT count(*) FROM t", 10000);
    expect_status(player, id, 200);
    (void) snprintf(text, sizeof text, "[[%u]]", n);
    assert_non_null(strstr(player->played[id].answer + sizeof(uint32_t), text));
}

static void fill_up(const struct player *place, const char *filler, bool is_sql)
{
    struct player player;

    player_start_beside(&player, run_program, place);
    if (is_sql)
        expect_status(&player, query(&player, "a", "CREATE TABLE t (n, x)", 10000), 200);
    const unsigned n = write_until_full(&player, is_sql);
    assert_true(n > 5);
    player_sync(&player);
    assert_true(player.n_notices > 0);
    assert_string_equal(player.noticed, "a");
    assert_non_null(strstr(player.notice, "full"));
    expect_all(&player, is_sql, n);
    assert_int_equal(unlink(filler), 0);
    expect_status(&player, write_one(&player, is_sql, n), 200);
    assert_int_equal(kill(player.pid, SIGKILL), 0);
    player_expect_closed(&player);
    assert_int_equal(player_end(&player), -1);
    player_start_beside(&player, run_program, place);
    expect_all(&player, is_sql, n + 1);
    assert_int_equal(player_end(&player), 0);
}

static void test_full(bool is_sql)
{
    struct player place;
    char filler[64];

    if (!make_small(&place, filler))
        skip();
    fill_up(&place, filler, is_sql);
    assert_int_equal(umount(place.folder), 0);
    assert_int_equal(rmdir(place.folder), 0);
}

static void test_full_disk_loses_no_value_that_was_acknowledged(void **state)
{
    (void) state;
    test_full(false);
}

static void test_full_disk_loses_no_row_that_was_acknowledged(void **state)
{
    (void) state;
    test_full(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_of_key_value_come_back),
        cmocka_unit_test(test_closed_tenant_can_be_moved_away),
        cmocka_unit_test(test_rows_come_back_and_outlast_the_process),
        cmocka_unit_test(test_endless_statement_holds_up_no_other_tenant),
        cmocka_unit_test(test_endless_statement_ends_by_its_limit_and_by_a_close),
        cmocka_unit_test(test_deep_statement_does_not_end_the_process),
        cmocka_unit_test(test_second_process_on_a_folder_is_told_so),
        cmocka_unit_test(test_processes_that_share_a_folder_see_each_other_s_writes),
        cmocka_unit_test(test_processes_that_share_a_folder_take_turns),
        cmocka_unit_test(test_file_of_another_process_holds_up_its_tenant_alone),
        cmocka_unit_test(test_corrupt_file_is_put_aside_with_a_notice),
        cmocka_unit_test(test_full_disk_loses_no_value_that_was_acknowledged),
        cmocka_unit_test(test_full_disk_loses_no_row_that_was_acknowledged),
    };

    (void) signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
