/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads of the data process: nobody waits for another tenant, what is cancelled or closed ends, files are bounded, and a job that does not
 * end costs the process. Engines are those of engine.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "data/internal.h"
#include "tests/unit/data_process/engine.h"
#include "tests/unit/data_process/player.h"

#define NONE SKEP__DATA__FAILURE__FAILURE_NONE
#define CANCELLED SKEP__DATA__FAILURE__FAILURE_CANCELLED
#define CLOSED SKEP__DATA__FAILURE__FAILURE_CLOSED
#define INTERNAL SKEP__DATA__FAILURE__FAILURE_INTERNAL

static const struct ask hold_sql = { .operation = "hold", .is_sql = true };
static const struct ask hold_kv = { .operation = "hold" };

static void expect_echo(struct player *player, const struct ask *ask)
{
    const struct played *played = player_await(player, player_ask(player, ask, "hello"));

    assert_int_equal(played->failure, NONE);
    assert_int_equal(played->status, 200);
    assert_string_equal(played->answer, "hello");
}

/* ---- turns */

static void test_slow_statement_holds_up_no_other_tenant_and_no_key_value(void **state)
{
    struct player player;

    (void) state;
    player_begin(&player);
    uint64_t slow = player_open(&player, &hold_sql);
    engine_await_running(1);
    expect_echo(&player, &(struct ask){ .tenant = "b" });
    expect_echo(&player, &(struct ask){ .tenant = "b", .is_sql = true });
    expect_echo(&player, &(struct ask){ .tenant = "a" });
    uint64_t behind = player_ask(&player, &(struct ask){ .is_sql = true, .space = "other" }, "x");
    expect_echo(&player, &(struct ask){ .tenant = "b" });
    assert_int_equal(player.played[behind].n_dones,
                     0); /* one thread for all databases of a tenant */
    assert_int_equal(player.played[slow].n_dones, 0);
    engine_release();
    assert_int_equal(player_await(&player, slow)->status, 200);
    assert_int_equal(player_await(&player, behind)->status, 200);
    assert_int_equal(player_end(&player), 0);
}

static void test_slow_statements_of_many_leave_threads_to_key_value(void **state)
{
    struct player player;
    char names[DATA_THREADS + 1][8];

    (void) state;
    player_begin(&player);
    for (unsigned i = 0; i <= DATA_THREADS; i++) {
        (void) snprintf(names[i], sizeof names[i], "t%u", i);
        const struct ask ask = { .tenant = names[i], .operation = "hold", .is_sql = true };
        (void) player_open(&player, &ask);
    }
    engine_await_running(DATA_SQL_THREADS_MAX);
    expect_echo(&player, &(struct ask){ .tenant = "b" });
    assert_int_equal(atomic_load(&engine_play->n_running), DATA_SQL_THREADS_MAX);
    engine_release();
    for (uint64_t id = 1; id <= DATA_THREADS + 1; id++)
        assert_int_equal(player_await(&player, id)->status, 200);
    assert_int_equal(player_end(&player), 0);
}

static void test_operations_of_key_value_that_wait_go_together(void **state)
{
    struct player player;
    uint64_t ids[10];

    (void) state;
    player_begin(&player);
    (void) player_open(&player, &hold_kv);
    engine_await_running(1);
    for (unsigned i = 0; i < 10; i++)
        ids[i] = player_open(&player, &(struct ask){ .operation = "count" });
    player_sync(&player);
    engine_release();
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(player_await(&player, ids[i])->answer[0], 10);
    assert_int_equal(player_end(&player), 0);
}

/* Only that one gets more room; the others have run already. */
static void test_answer_that_needs_much_room_is_made_alone(void **state)
{
    struct player player;

    (void) state;
    player_begin(&player);
    (void) player_open(&player, &hold_kv);
    engine_await_running(1);
    uint64_t small = player_ask(&player, &(struct ask){ .operation = "fill" }, "10");
    uint64_t large = player_ask(&player, &(struct ask){ .operation = "fill" }, "1000000");
    player_sync(&player);
    engine_release();
    assert_int_equal(player_await(&player, small)->n_bytes, 10);
    assert_int_equal(player_await(&player, large)->n_bytes, 1000000);
    assert_int_equal(atomic_load(&engine_play->n_runs), 4);
    uint64_t over = player_ask(&player, &(struct ask){ .operation = "fill" }, "3000000");
    assert_int_equal(player_await(&player, over)->status, 413);
    assert_int_equal(player_end(&player), 0);
}

static void test_open_files_are_bounded(void **state)
{
    struct player player;
    char space[16];

    (void) state;
    player_begin(&player);
    for (unsigned i = 0; i < DATA_FILES_MAX + 10; i++) {
        (void) snprintf(space, sizeof space, "s%u", i);
        expect_echo(&player, &(struct ask){ .is_sql = true, .space = space });
        assert_true(atomic_load(&engine_play->n_open) <= DATA_FILES_MAX);
    }
    expect_echo(&player, &(struct ask){ .is_sql = true, .space = "s0" });
    assert_int_equal(atomic_load(&engine_play->n_opened), DATA_FILES_MAX + 11);
    assert_int_equal(player_end(&player), 0);
}

/* ---- cancelled */

static void test_operation_is_cancelled_in_each_phase(void **state)
{
    struct player player;
    const struct ask gathered = { .has_body = true },
                     unread = { .operation = "count", .credit = UINT32_MAX };

    (void) state;
    player_begin(&player);
    uint64_t gathering = player_open(&player, &gathered), running = player_open(&player, &hold_sql);
    engine_await_running(1);
    uint64_t waiting = player_open(&player, &hold_sql), answering = player_open(&player, &unread);
    while (player.played[answering].n_heads == 0)
        assert_true(player_take(&player));
    const uint64_t ids[] = { gathering, waiting, answering, running };
    for (unsigned i = 0; i < ARRAY_LEN(ids); i++) {
        player_cancel(&player, ids[i]);
        assert_int_equal(player_await(&player, ids[i])->failure, CANCELLED);
    }
    /* The thread is free, without a release. */
    expect_echo(&player, &(struct ask){ .is_sql = true });
    assert_int_equal(atomic_load(&engine_play->n_runs), 3);
    assert_int_equal(player_end(&player), 0);
}

static void test_client_that_leaves_ends_all(void **state)
{
    struct player player;

    (void) state;
    player_begin(&player);
    (void) player_open(&player, &hold_sql);
    (void) player_open(&player, &hold_kv);
    engine_await_running(2);
    (void) player_open(&player, &hold_sql);
    (void) player_open(&player, &(struct ask){ .has_body = true });
    (void) player_open(&player,
                       &(struct ask){ .tenant = "b", .operation = "count", .credit = UINT32_MAX });
    player_sync(&player);
    assert_int_equal(player_end(&player), 0);
    assert_int_equal(atomic_load(&engine_play->n_open), 0);
}

/* ---- closed */

static void test_close_ends_all_and_the_tenant_starts_afresh(void **state)
{
    struct player player;

    (void) state;
    player_begin(&player);
    uint64_t gathering = player_open(&player, &(struct ask){ .has_body = true });
    uint64_t sql = player_open(&player, &hold_sql);
    uint64_t kept = player_open(&player, &(struct ask){ .operation = "keep" });
    engine_await_running(2);
    uint64_t waiting = player_open(&player, &hold_sql);
    uint64_t close = player_close_tenant(&player, "a");
    uint64_t late = player_open(&player, &(struct ask){ .operation = "echo" });
    assert_int_equal(player_await(&player, gathering)->failure, CLOSED);
    assert_int_equal(player_await(&player, waiting)->failure, CLOSED);
    assert_int_equal(player_await(&player, late)->failure, CLOSED);
    assert_int_equal(player_await(&player, sql)->failure, CLOSED); /* interrupted */
    expect_echo(&player, &(struct ask){ .tenant = "b" });
    assert_int_equal(player.played[close].n_closed, 0);
    engine_release();
    assert_int_equal(player_await(&player, kept)->status, 200); /* is on the disk */
    (void) player_await(&player, close);
    assert_int_equal(atomic_load(&engine_play->n_open), 1); /* the file of b */
    expect_echo(&player, &(struct ask){ .tenant = "a" });
    assert_int_equal(player_end(&player), 0);
}

static void test_close_of_a_tenant_without_files_is_answered(void **state)
{
    struct player player;

    (void) state;
    player_begin(&player);
    assert_int_equal(player_await(&player, player_close_tenant(&player, "a"))->n_closed, 1);
    expect_echo(&player, &(struct ask){ .tenant = "a" });
    uint64_t first = player_close_tenant(&player, "a"), second = player_close_tenant(&player, "a");
    (void) player_await(&player, first);
    (void) player_await(&player, second);
    assert_int_equal(atomic_load(&engine_play->n_open), 0);
    assert_int_equal(player_end(&player), 0);
}

/* The answer has no file, and goes on. */
static void test_answer_outlives_the_close_of_its_tenant(void **state)
{
    struct player player;
    const struct ask ask = { .operation = "fill", .credit = UINT32_MAX };

    (void) state;
    player_begin(&player);
    uint64_t id = player_ask(&player, &ask, "10");
    while (player.played[id].n_heads == 0)
        assert_true(player_take(&player));
    (void) player_await(&player, player_close_tenant(&player, "a"));
    expect_echo(&player, &(struct ask){ .tenant = "a" });
    player_credit(&player, id, 10);
    assert_int_equal(player_await(&player, id)->n_bytes, 10);
    assert_int_equal(player_end(&player), 0);
}

/* ---- times */

static void test_statement_over_its_time_is_interrupted(void **state)
{
    struct player player;
    const struct ask ask = { .operation = "hold", .is_sql = true, .sql_ms = 50 };

    (void) state;
    player_begin(&player);
    uint64_t id = player_open(&player, &ask);
    assert_int_equal(player_await(&player, id)->status, 504);
    expect_echo(&player, &(struct ask){ .is_sql = true });
    assert_int_equal(player_end(&player), 0);
}

static void test_statement_that_does_not_end_is_reported_and_costs_the_process(void **state)
{
    struct player player;
    const struct ask ask = { .tenant = "hog", .operation = "stay", .is_sql = true, .sql_ms = 10 };

    (void) state;
    player_begin(&player);
    uint64_t id = player_open(&player, &ask);
    expect_echo(&player, &(struct ask){ .tenant = "b" });
    player_expect_closed(&player);
    assert_int_equal(player.n_stuck, 1);
    assert_string_equal(player.stuck, "hog");
    assert_int_equal(player.played[id].n_dones, 0);
    assert_int_equal(player_end(&player), 1);
}

/* Nobody wants the answer any more; the thread is stuck all the same. */
static void test_cancelled_statement_that_does_not_end_is_reported(void **state)
{
    struct player player;
    const struct ask ask = { .tenant = "hog", .operation = "stay", .is_sql = true, .sql_ms = 10 };

    (void) state;
    player_begin(&player);
    uint64_t id = player_open(&player, &ask);
    engine_await_running(1);
    player_cancel(&player, id);
    player_expect_closed(&player);
    assert_int_equal(player.n_stuck, 1);
    assert_int_equal(player_end(&player), 1);
}

static void test_operators_statement_that_does_not_end_is_not_the_tenants(void **state)
{
    struct player player;
    const struct ask ask = {
        .operation = "query", .is_sql = true, .is_operator = true, .sql_ms = 10
    };

    (void) state;
    player_begin(&player);
    (void) player_open(&player, &ask);
    player_expect_closed(&player);
    assert_int_equal(player.n_stuck, 0);
    assert_string_equal(player.noticed, "a");
    assert_non_null(strstr(player.notice, "of the operator"));
    assert_int_equal(player_end(&player), 1);
}

/* Key-value runs nothing of a tenant: a slow disk is nobody's fault. */
static void test_key_value_that_does_not_end_is_answered_and_costs_nothing(void **state)
{
    struct player player;

    (void) state;
    player_begin_with(&player, 10);
    uint64_t one = player_open(&player, &(struct ask){ .operation = "keep" });
    uint64_t two = player_open(&player, &(struct ask){ .operation = "keep" });
    assert_int_equal(player_await(&player, one)->failure, INTERNAL);
    assert_non_null(strstr(player.played[one].text, "whether the write was done is not known"));
    assert_string_equal(player.noticed, "a");
    assert_int_equal(player.n_stuck, 0);
    expect_echo(&player, &(struct ask){ .tenant = "b" });
    expect_echo(&player, &(struct ask){ .is_sql = true });
    engine_release();
    (void) player_await(&player, two);
    expect_echo(&player, &(struct ask){ .tenant = "a" });
    assert_int_equal(player_end(&player), 0);
}

/* The file of "slow" takes its time to open, before and for longer than the statement that does not end. */
static void test_file_that_opens_slowly_is_not_a_statement_that_does_not_end(void **state)
{
    struct player player;
    const struct ask slow = { .tenant = "slow", .is_sql = true, .sql_ms = 10 };
    const struct ask hog = { .tenant = "hog", .operation = "stay", .is_sql = true, .sql_ms = 10 };

    (void) state;
    player_begin(&player);
    (void) player_open(&player, &slow);
    (void) player_open(&player, &hog);
    player_expect_closed(&player);
    assert_string_equal(player.stuck, "hog");
    assert_int_equal(player_end(&player), 1);
}

/* ---- faults */

static void test_disk_that_fails_fails_the_operation_alone(void **state)
{
    struct player player;

    (void) state;
    player_begin(&player);
    uint64_t full = player_open(&player, &(struct ask){ .tenant = "full" });
    uint64_t broken = player_open(&player, &(struct ask){ .tenant = "broken" });
    uint64_t none = player_open(&player, &(struct ask){ .operation = "none" });
    assert_int_equal(player_await(&player, full)->status, 507);
    assert_int_equal(player_await(&player, broken)->failure, INTERNAL);
    assert_string_equal(player.played[broken].text,
                        "cannot open the tenant's file: Input/output error");
    assert_int_equal(player_await(&player, none)->failure, INTERNAL);
    expect_echo(&player, &(struct ask){ .tenant = "b" });
    assert_int_equal(player_end(&player), 0);
}

static void test_corrupt_file_is_opened_anew(void **state)
{
    struct player player;

    (void) state;
    player_begin(&player);
    uint64_t id = player_open(&player, &(struct ask){ .operation = "spoil" });
    assert_int_equal(player_await(&player, id)->status, 400);
    assert_int_equal(atomic_load(&engine_play->n_open), 0);
    expect_echo(&player, &(struct ask){ .tenant = "a" });
    assert_int_equal(atomic_load(&engine_play->n_opened), 2);
    assert_int_equal(player_end(&player), 0);
}

static void test_notices_name_the_tenant_and_can_be_printed(void **state)
{
    struct player player;

    (void) state;
    player_begin(&player);
    (void) player_await(&player, player_open(&player, &(struct ask){ .tenant = "aside" }));
    assert_string_equal(player.noticed, "aside");
    assert_string_equal(player.notice, "kv.db was put aside");
    (void) player_await(&player, player_open(&player, &(struct ask){ .operation = "tell" }));
    assert_string_equal(player.noticed, "a");
    assert_string_equal(player.notice, "the disk ? is slow");
    assert_int_equal(player_end(&player), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slow_statement_holds_up_no_other_tenant_and_no_key_value),
        cmocka_unit_test(test_slow_statements_of_many_leave_threads_to_key_value),
        cmocka_unit_test(test_operations_of_key_value_that_wait_go_together),
        cmocka_unit_test(test_answer_that_needs_much_room_is_made_alone),
        cmocka_unit_test(test_open_files_are_bounded),
        cmocka_unit_test(test_operation_is_cancelled_in_each_phase),
        cmocka_unit_test(test_client_that_leaves_ends_all),
        cmocka_unit_test(test_close_ends_all_and_the_tenant_starts_afresh),
        cmocka_unit_test(test_close_of_a_tenant_without_files_is_answered),
        cmocka_unit_test(test_answer_outlives_the_close_of_its_tenant),
        cmocka_unit_test(test_statement_over_its_time_is_interrupted),
        cmocka_unit_test(test_statement_that_does_not_end_is_reported_and_costs_the_process),
        cmocka_unit_test(test_cancelled_statement_that_does_not_end_is_reported),
        cmocka_unit_test(test_operators_statement_that_does_not_end_is_not_the_tenants),
        cmocka_unit_test(test_key_value_that_does_not_end_is_answered_and_costs_nothing),
        cmocka_unit_test(test_file_that_opens_slowly_is_not_a_statement_that_does_not_end),
        cmocka_unit_test(test_disk_that_fails_fails_the_operation_alone),
        cmocka_unit_test(test_corrupt_file_is_opened_anew),
        cmocka_unit_test(test_notices_name_the_tenant_and_can_be_printed),
    };

    (void) signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
