/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program skep-data as it is installed, with its engines, confined: what was acknowledged is there afterwards, and files are where
 * they belong.
 */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "data/program.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_of_key_value_come_back),
        cmocka_unit_test(test_closed_tenant_can_be_moved_away),
    };

    (void) signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
