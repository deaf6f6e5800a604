/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frames of the data process: numbers, names, credit both ways, bounds, and what each breach of them costs. Engines are those of
 * engine.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "data/internal.h"
#include "proto/frame.h"
#include "tests/unit/data_process/engine.h"
#include "tests/unit/data_process/player.h"

#define NONE SKEP__DATA__FAILURE__FAILURE_NONE
#define MIB (1U << 20)

static uint8_t zeros[DATA_WINDOW_BYTES + 1];

/* ---- breaches */

/* Each of these sends what skepd may not, and has opened what it needs for that. */

static void open_with(struct player *player, void (*spoil)(Skep__Data__Open *open))
{
    static const struct ask ask = { .operation = "echo" };
    Skep__Data__ToData frame = SKEP__DATA__TO_DATA__INIT;
    Skep__Data__Open open;
    Skep__Data__Limits limits;

    player->last_id = 2;
    player_prepare(&ask, 2, &open, &limits);
    player->played[2].is_open = true;
    player->played[2].may = open.credit;
    spoil(&open);
    frame.message_case = SKEP__DATA__TO_DATA__MESSAGE_OPEN;
    frame.open = &open;
    player_send(player, &frame);
}

static ProtobufCBinaryData text(const char *of)
{
    return frame_text(of);
}

static void spoil_nothing(Skep__Data__Open *open)
{
    (void) open;
}

static void have_no_number(Skep__Data__Open *open)
{
    open->id = 0;
}

static void have_no_tenant(Skep__Data__Open *open)
{
    open->tenant = text("");
}

static void climb(Skep__Data__Open *open)
{
    open->tenant = text("..");
}

static void have_slash(Skep__Data__Open *open)
{
    open->tenant = text("a/b");
}

static void have_long_tenant(Skep__Data__Open *open)
{
    open->tenant = text("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
}

static void have_nul_in_space(Skep__Data__Open *open)
{
    static uint8_t bytes[] = "a\0b";

    open->space = (ProtobufCBinaryData){ .data = bytes, .len = 3 };
}

static void have_wrong_space(Skep__Data__Open *open)
{
    open->space = text("Main");
}

static void have_other_kind(Skep__Data__Open *open)
{
    open->kind = (Skep__Data__Kind) 2;
}

static void have_no_operation(Skep__Data__Open *open)
{
    open->operation = text("");
}

static void have_wrong_operation(Skep__Data__Open *open)
{
    open->operation = text("Get");
}

static void have_long_operation(Skep__Data__Open *open)
{
    open->operation = text("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
}

static void have_much_credit(Skep__Data__Open *open)
{
    open->credit = DATA_CREDIT_MAX_BYTES + 1;
}

static void have_no_limits(Skep__Data__Open *open)
{
    open->limits = NULL;
}

static void test_open_that_is_wrong_is_a_breach(void **state)
{
    void (*const spoils[])(Skep__Data__Open * open) = {
        have_no_number,       have_no_tenant,      climb,
        have_slash,           have_long_tenant,    have_nul_in_space,
        have_wrong_space,     have_other_kind,     have_no_operation,
        have_wrong_operation, have_long_operation, have_much_credit,
        have_no_limits,
    };
    struct player player;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(spoils); i++) {
        player_begin(&player);
        open_with(&player, spoils[i]);
        player_expect_closed(&player);
        assert_int_equal(player.played[2].n_dones, 0);
        assert_int_equal(player_end(&player), 1);
    }
    player_begin(&player);
    open_with(&player, spoil_nothing);
    assert_int_equal(player_await(&player, 2)->failure, NONE);
    assert_int_equal(player_end(&player), 0);
}

static uint64_t begin_request(struct player *player)
{
    return player_open(player, &(struct ask){ .has_body = true });
}

static void repeat_number(struct player *player)
{
    uint64_t id = begin_request(player);

    player->last_id = id - 1;
    (void) begin_request(player);
}

static void repeat_number_in_close(struct player *player)
{
    uint64_t id = begin_request(player);

    player->last_id = id - 1;
    (void) player_close_tenant(player, "b");
}

static void send_body_of_nobody(struct player *player)
{
    player_body(player, 1, zeros, 1, true);
}

static void send_body_unasked(struct player *player)
{
    /* With no credit and an answer that waits for some, the operation is still there. */
    uint64_t id = player_open(player, &(struct ask){ .operation = "count", .credit = UINT32_MAX });

    player_body(player, id, zeros, 1, true);
}

static void send_too_much_body(struct player *player)
{
    player_body(player, begin_request(player), zeros, DATA_WINDOW_BYTES + 1, false);
}

static void send_empty_body(struct player *player)
{
    player_body(player, begin_request(player), zeros, 0, false);
}

static void send_body_after_end(struct player *player)
{
    const struct ask ask = { .operation = "count", .has_body = true, .credit = UINT32_MAX };
    uint64_t id = player_open(player, &ask);

    player_body(player, id, zeros, 1, true);
    player_body(player, id, zeros, 1, true);
}

static void give_too_much_credit(struct player *player)
{
    player_credit(player, begin_request(player), 1);
}

static void give_credit_to_nobody(struct player *player)
{
    player_credit(player, 1, 1);
}

static void cancel_nobody(struct player *player)
{
    player_cancel(player, 1);
}

static void close_nobody(struct player *player)
{
    (void) player_close_tenant(player, "../a");
}

static void send_nothing_at_all(struct player *player)
{
    player_send_raw(player, "\0\0\0\0", 4);
}

static void send_no_message(struct player *player)
{
    player_send_raw(player, "\3\0\0\0\xff\xff\xff", 7);
}

static void send_unknown_message(struct player *player)
{
    player_send_raw(player, "\3\0\0\0\x7a\1\1", 7);
}

static void send_endless_frame(struct player *player)
{
    player_send_raw(player, "\xff\xff\xff\x7f", 4);
}

static void test_frame_that_is_wrong_is_a_breach(void **state)
{
    void (*const breaches[])(struct player * player) = {
        repeat_number,         repeat_number_in_close, send_body_of_nobody, send_body_unasked,
        send_too_much_body,    send_empty_body,        send_body_after_end, give_too_much_credit,
        give_credit_to_nobody, cancel_nobody,          close_nobody,        send_nothing_at_all,
        send_no_message,       send_unknown_message,   send_endless_frame,
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(breaches); i++) {
        struct player player;
        player_begin(&player);
        breaches[i](&player);
        player_expect_closed(&player);
        assert_int_equal(player_end(&player), 1);
    }
}

static void test_frames_of_an_operation_that_is_over_are_passed_over(void **state)
{
    struct player player;

    (void) state;
    player_begin(&player);
    uint64_t id = player_ask(&player, &(struct ask){ .operation = "echo" }, "x");
    (void) player_await(&player, id);
    player_body(&player, id, zeros, 1, false);
    player_credit(&player, id, 1);
    player_cancel(&player, id);
    player_sync(&player);
    assert_int_equal(player.played[id].n_dones, 1);
    assert_int_equal(player_end(&player), 0);
}

/* ---- credit */

static void test_request_in_parts_gets_credit_for_each(void **state)
{
    struct player player;
    const struct ask ask = { .operation = "put", .has_body = true };
    const size_t all = 16 * DATA_WINDOW_BYTES;
    size_t sent = 0;

    (void) state;
    player_begin(&player);
    uint64_t id = player_open(&player, &ask);
    const struct played *played = &player.played[id];
    while (sent < all) {
        while (played->granted + DATA_WINDOW_BYTES == sent)
            assert_true(player_take(&player));
        size_t room = DATA_WINDOW_BYTES + played->granted - sent;
        size_t part = room < all - sent ? room : all - sent;
        sent += part;
        player_body(&player, id, zeros, part, sent == all);
    }
    (void) player_await(&player, id);
    assert_int_equal(played->status, 200);
    assert_int_equal(played->received, all);
    assert_int_equal(played->n_bytes, all);
    assert_true(played->granted <= sent);
    assert_int_equal(player_end(&player), 0);
}

static void test_answer_waits_for_credit(void **state)
{
    struct player player;
    const struct ask ask = { .operation = "fill", .credit = UINT32_MAX };

    (void) state;
    player_begin(&player);
    uint64_t id = player_ask(&player, &ask, "1000");
    const struct played *played = &player.played[id];
    while (played->n_heads == 0)
        assert_true(player_take(&player));
    player_credit(&player, id, 999);
    player_sync(&player);
    player_sync(&player);
    assert_int_equal(played->n_bytes, 999);
    assert_int_equal(played->n_dones, 0);
    player_credit(&player, id, 1);
    assert_int_equal(player_await(&player, id)->n_bytes, 1000);
    assert_int_equal(player_end(&player), 0);
}

static void test_empty_answer_needs_no_credit(void **state)
{
    struct player player;
    const struct ask ask = { .operation = "fill", .credit = UINT32_MAX };

    (void) state;
    player_begin(&player);
    const struct played *played = player_await(&player, player_ask(&player, &ask, "0"));
    assert_int_equal(played->failure, NONE);
    assert_int_equal(played->status, 200);
    assert_int_equal(player_end(&player), 0);
}

/* More than the channel holds: data waits for the reader, and goes on. */
static void test_answers_to_a_slow_reader_come_whole(void **state)
{
    struct player player;
    uint64_t ids[8];

    (void) state;
    player_begin(&player);
    for (unsigned i = 0; i < 8; i++)
        ids[i] = player_ask(&player, &(struct ask){ .operation = "fill" }, "1000000");
    while (atomic_load(&engine_play->n_runs) < 16) /* each once in little room, once in much */
        (void) usleep(1000);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(player_await(&player, ids[i])->n_bytes, 1000000);
    assert_int_equal(player_end(&player), 0);
}

/* ---- bounds */

/* Sends a request as far as there is credit, and no end. Returns the bytes. */
static size_t send_until_done(struct player *player, uint64_t id, size_t most)
{
    const struct played *played = &player->played[id];
    size_t sent = 0;

    while (played->n_dones == 0 && sent < most) {
        size_t room = DATA_WINDOW_BYTES + played->granted - sent;
        if (room > 0)
            player_body(player, id, zeros, room, false);
        else
            assert_true(player_take(player));
        sent += room;
    }
    return sent;
}

static void test_request_over_its_bound_is_refused(void **state)
{
    struct player player;

    (void) state;
    player_begin(&player);
    uint64_t put = player_open(&player, &(struct ask){ .operation = "put", .has_body = true });
    assert_in_range(send_until_done(&player, put, 64 * MIB), MIB, MIB + 4 * DATA_WINDOW_BYTES);
    assert_int_equal(player.played[put].status, 413);
    assert_int_equal(player.played[put].failure, NONE);
    const struct ask sql = { .operation = "query", .is_sql = true, .has_body = true };
    uint64_t query = player_open(&player, &sql);
    assert_in_range(send_until_done(&player, query, 64 * MIB), 8 * MIB,
                    8 * MIB + 4 * DATA_WINDOW_BYTES);
    assert_int_equal(player.played[query].status, 413);
    assert_int_equal(atomic_load(&engine_play->n_runs), 0);
    assert_int_equal(player_end(&player), 0);
}

static void test_bytes_of_one_tenant_are_bounded_and_another_one_has_its_own(void **state)
{
    struct player player;
    const struct ask ask = { .operation = "put", .has_body = true, .value_mib = 40 };
    const struct ask other = { .tenant = "b", .operation = "echo" };

    (void) state;
    player_begin(&player);
    uint64_t first = player_open(&player, &ask), second = player_open(&player, &ask);
    (void) send_until_done(&player, first, 33 * MIB);
    assert_int_equal(player.played[first].n_dones, 0);
    (void) send_until_done(&player, second, 40 * MIB);
    assert_int_equal(player.played[second].failure, SKEP__DATA__FAILURE__FAILURE_BUSY);
    uint64_t third = player_ask(&player, &other, "hello");
    assert_string_equal(player_await(&player, third)->answer, "hello");
    player_cancel(&player, first);
    assert_int_equal(player_await(&player, first)->failure, SKEP__DATA__FAILURE__FAILURE_CANCELLED);
    /* All of it was given back. */
    uint64_t fourth = player_open(&player, &ask);
    (void) send_until_done(&player, fourth, 33 * MIB);
    assert_int_equal(player.played[fourth].n_dones, 0);
    assert_int_equal(player_end(&player), 0);
}

static void test_request_in_small_parts_takes_what_it_has(void **state)
{
    struct player player;
    const struct ask ask = { .operation = "put", .has_body = true, .value_mib = 40 };

    (void) state;
    player_begin(&player);
    for (unsigned i = 0; i < 8; i++) {
        const uint64_t id = player_open(&player, &ask);
        for (unsigned part = 0; part < 32; part++)
            player_body(&player, id, zeros, 1, false);
        player_sync(&player);
        assert_int_equal(player.played[id].n_dones, 0);
    }
    assert_int_equal(player_end(&player), 0);
}

/* Sends most of a value, which takes 40 MiB. */
static uint64_t hold(struct player *player, const char *tenant)
{
    const struct ask ask = {
        .tenant = tenant, .operation = "put", .has_body = true, .value_mib = 40
    };
    const uint64_t id = player_open(player, &ask);

    (void) send_until_done(player, id, 33 * MIB);
    return id;
}

static void test_bytes_of_all_leave_room_to_others(void **state)
{
    static const char *const tenants[] = { "a", "b", "c", "d", "e" };
    struct player player;
    uint64_t ids[ARRAY_LEN(tenants)];

    (void) state;
    player_begin(&player);
    for (size_t i = 0; i < ARRAY_LEN(tenants); i++)
        ids[i] = hold(&player, tenants[i]);
    for (size_t i = 0; i < ARRAY_LEN(tenants); i++)
        assert_int_equal(player.played[ids[i]].n_dones, 0);
    /* Another one would fit, but leave less than it takes. */
    const uint64_t sixth = hold(&player, "f");
    assert_int_equal(player.played[sixth].failure, SKEP__DATA__FAILURE__FAILURE_BUSY);
    const struct ask small = {
        .tenant = "f", .operation = "put", .has_body = true, .value_mib = 40
    };
    const uint64_t seventh = player_open(&player, &small);
    (void) send_until_done(&player, seventh, 15 * MIB);
    assert_int_equal(player.played[seventh].n_dones, 0);
    /* Those that are slow make room. */
    const struct played *first = player_await(&player, ids[0]);
    assert_int_equal(first->failure, SKEP__DATA__FAILURE__FAILURE_BUSY);
    assert_string_equal(first->text, "the request was sent too slowly, and others need its memory");
    player_sync(&player);
    assert_int_equal(player.played[ids[4]].n_dones, 0);
    assert_int_equal(player_end(&player), 0);
}

static void test_answers_that_nobody_reads_make_room(void **state)
{
    static const char *const tenants[] = { "a", "b", "c", "d", "e" };
    struct player player;
    struct ask ask = { .operation = "fill", .value_mib = 40, .credit = UINT32_MAX };
    uint64_t ids[ARRAY_LEN(tenants)];

    (void) state;
    player_begin(&player);
    for (size_t i = 0; i < ARRAY_LEN(tenants); i++) {
        ask.tenant = tenants[i];
        ids[i] = player_ask(&player, &ask, "40000000");
    }
    for (size_t i = 0; i < ARRAY_LEN(tenants); i++)
        while (player.played[ids[i]].n_heads == 0)
            assert_true(player_take(&player));
    /* One of them makes room for another one of that size. */
    size_t ended = 0;
    while (player.played[ids[ended]].n_dones == 0) {
        ended = (ended + 1) % ARRAY_LEN(tenants);
        if (ended == 0)
            assert_true(player_take(&player));
    }
    assert_int_equal(player.played[ids[ended]].failure, SKEP__DATA__FAILURE__FAILURE_BUSY);
    assert_string_equal(player.played[ids[ended]].text,
                        "the answer was read too slowly, and others need its memory");
    ask.tenant = "f";
    const uint64_t sixth = player_ask(&player, &ask, "40000000");
    while (player.played[sixth].n_heads == 0)
        assert_true(player_take(&player));
    assert_int_equal(player.played[sixth].status, 200);
    assert_int_equal(player_end(&player), 0);
}

static void test_operations_of_one_tenant_are_bounded(void **state)
{
    struct player player;

    (void) state;
    player_begin(&player);
    for (unsigned i = 0; i < DATA_TENANT_OPERATIONS_MAX; i++)
        (void) begin_request(&player);
    uint64_t over = begin_request(&player);
    assert_int_equal(player_await(&player, over)->failure, SKEP__DATA__FAILURE__FAILURE_BUSY);
    uint64_t other = player_ask(&player, &(struct ask){ .tenant = "b" }, "x");
    assert_int_equal(player_await(&player, other)->failure, NONE);
    player_cancel(&player, 1);
    (void) player_await(&player, 1);
    assert_int_equal(player_await(&player, player_ask(&player, &(struct ask){ 0 }, "x"))->failure,
                     NONE);
    assert_int_equal(player_end(&player), 0);
}

/* Both reach the process at once, within one second of its clock. */
static void test_rate_of_a_tenant_is_kept(void **state)
{
    struct player player;
    uint8_t both[512];
    size_t size = 0;

    (void) state;
    player_begin(&player);
    for (unsigned i = 0; i < 2; i++) {
        const struct ask ask = { .rate = 1 };
        Skep__Data__ToData frame = SKEP__DATA__TO_DATA__INIT;
        Skep__Data__Open open;
        Skep__Data__Limits limits;
        player_prepare(&ask, ++player.last_id, &open, &limits);
        player.played[player.last_id].is_open = true;
        player.played[player.last_id].may = open.credit;
        frame.message_case = SKEP__DATA__TO_DATA__MESSAGE_OPEN;
        frame.open = &open;
        const size_t packed = frame_packed_size(&frame.base);
        assert_true(packed > 0 && size + packed <= sizeof both);
        frame_pack(&frame.base, both + size, packed);
        size += packed;
    }
    player_send_raw(&player, both, size);
    assert_int_equal(player_await(&player, 1)->status, 200);
    assert_int_equal(player_await(&player, 2)->status, 429);
    uint64_t other = player_open(&player, &(struct ask){ .tenant = "b", .rate = 1 });
    assert_int_equal(player_await(&player, other)->status, 200);
    assert_int_equal(player_end(&player), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_that_is_wrong_is_a_breach),
        cmocka_unit_test(test_frame_that_is_wrong_is_a_breach),
        cmocka_unit_test(test_frames_of_an_operation_that_is_over_are_passed_over),
        cmocka_unit_test(test_request_in_parts_gets_credit_for_each),
        cmocka_unit_test(test_answer_waits_for_credit),
        cmocka_unit_test(test_empty_answer_needs_no_credit),
        cmocka_unit_test(test_answers_to_a_slow_reader_come_whole),
        cmocka_unit_test(test_request_over_its_bound_is_refused),
        cmocka_unit_test(test_bytes_of_one_tenant_are_bounded_and_another_one_has_its_own),
        cmocka_unit_test(test_request_in_small_parts_takes_what_it_has),
        cmocka_unit_test(test_bytes_of_all_leave_room_to_others),
        cmocka_unit_test(test_answers_that_nobody_reads_make_room),
        cmocka_unit_test(test_operations_of_one_tenant_are_bounded),
        cmocka_unit_test(test_rate_of_a_tenant_is_kept),
    };

    (void) signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
