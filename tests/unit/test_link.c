/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of a version to its worker, over a real socket and a real loop: in parts, whole and in
 * order, with any size, and with other frames in between.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "proto/channel.h"
#include "proto/frame.h"
#include "proto/worker_tails.h"
#include "supervisor/frames.h"
#include "supervisor/placement/placement.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/workers/link.h"
#include "supervisor/workers/worker.h"
#include "worker.pb-c.h"

#define FILES 14U
#define FILE_BYTES (1U << 20)
#define QUEUED_MAX_BYTES (1U << 20)
#define TURNS_MAX 100000U
#define FLOOD_FRAMES 4096U
#define FLOOD_TURN_MOST 256U

struct scene {
    struct record record;
    struct slots slots;
    struct cordon_config cordon;
    struct worker *worker;
    int worker_fd;
    struct tenant tenant;
    struct manifest manifest;
    struct tenant_file files[FILES];
    struct version version;
    struct placement placement[2];
    struct arena arena;
    uint8_t *input;
    size_t have, most_queued;
    char order[4096]; /* B, F, E, P: frames as they came, each with the placement's number */
    size_t n_order;
    uint64_t file_bytes[3]; /* bytes of files of each placement */
};

static void on_load_turn(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    load_on_turn(arg);
}

static int set_up(void **state)
{
    struct scene *s = calloc(1, sizeof *s);
    int fds[2];

    assert_non_null(s);
    s->slots.base = event_base_new();
    s->worker = calloc(1, sizeof *s->worker);
    assert_non_null(s->worker);
    s->slots.frames = &worker_frames;
    s->slots.record = &s->record;
    s->worker->slots = &s->slots;
    s->worker->cordon = &s->cordon;
    s->worker->state = WORKER_READY;
    LIST_INIT(&s->worker->placements);
    TAILQ_INIT(&s->worker->to_load);
    s->worker->timer = event_new(s->slots.base, -1, 0, on_load_turn, s->worker);
    s->worker->load_turn = event_new(s->slots.base, -1, 0, on_load_turn, s->worker);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(link_open(s->worker, fds[0]), 0);
    s->worker_fd = fds[1];
    for (unsigned i = 0; i < FILES; i++) {
        char path[32];
        (void) snprintf(path, sizeof path, "file%02u.txt", i);
        s->files[i] = (struct tenant_file){ .path = strdup(path),
                                            .data = malloc(FILE_BYTES),
                                            .size = FILE_BYTES };
        assert_non_null(s->files[i].data);
        memset(s->files[i].data, 'a' + (int) i, FILE_BYTES);
    }
    s->manifest.name = strdup("large");
    s->manifest.main = strdup("file00.txt");
    s->manifest.files = s->files;
    s->manifest.n_files = FILES;
    s->version.tenant = &s->tenant;
    s->version.manifest = &s->manifest;
    s->version.cordon = &s->cordon;
    for (unsigned i = 0; i < ARRAY_LEN(s->placement); i++) {
        s->placement[i].version = &s->version;
        s->placement[i].worker = s->worker;
        s->placement[i].id = i + 1;
    }
    assert_int_equal(arena_init(&s->arena, 4U << 20), 0);
    s->input = malloc(FRAME_HEADER_BYTES + FRAME_MAX_BYTES);
    assert_non_null(s->input);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *s = *state;

    s->worker->channel = channel_free(s->worker->channel);
    event_free(s->worker->load_turn);
    event_free(s->worker->timer);
    free(s->worker);
    (void) close(s->worker_fd);
    for (unsigned i = 0; i < FILES; i++) {
        free(s->files[i].path);
        free(s->files[i].data);
    }
    free(s->manifest.name);
    free(s->manifest.main);
    event_base_free(s->slots.base);
    arena_done(&s->arena);
    free(s->input);
    free(s);
    return 0;
}

static void note_frame(struct scene *s, char kind, uint32_t placement)
{
    assert_true(s->n_order + 2 < sizeof s->order);
    if (s->n_order >= 2 && kind == 'F' && s->order[s->n_order - 2] == 'F' &&
        s->order[s->n_order - 1] == (char) ('0' + placement))
        return;
    s->order[s->n_order++] = kind;
    s->order[s->n_order++] = (char) ('0' + placement);
}

static void on_frame(struct scene *s, size_t size)
{
    const Skep__Worker__ToWorker *frame = (const Skep__Worker__ToWorker *) frame_unpack_tail(
        &skep__worker__to_worker__descriptor, &worker_tails, s->input, size, &s->arena);

    assert_non_null(frame);
    switch (frame->message_case) {
    case SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_BEGIN:
        note_frame(s, 'B', frame->load_begin->placement);
        break;
    case SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_FILE: {
        const Skep__Worker__LoadFile *file = frame->load_file;
        uint64_t at = s->file_bytes[file->placement] % ((uint64_t) FILES * FILE_BYTES);
        unsigned number = (unsigned) (at / FILE_BYTES);
        assert_memory_equal(file->path.data, s->files[number].path, file->path.len);
        for (size_t i = 0; i < file->data.len; i++)
            assert_true(file->data.data[i] == 'a' + number);
        s->file_bytes[file->placement] += file->data.len;
        note_frame(s, 'F', file->placement);
        break;
    }
    case SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_END:
        note_frame(s, 'E', frame->load_end->placement);
        break;
    case SKEP__WORKER__TO_WORKER__MESSAGE_UNLOAD:
        note_frame(s, 'U', frame->unload->placement);
        break;
    default:
        fail_msg("frame %d", frame->message_case);
    }
}

static void read_some(struct scene *s)
{
    ssize_t n = read(s->worker_fd, s->input + s->have, 64U << 10);

    if (n > 0)
        s->have += (size_t) n;
    for (int64_t size; (size = frame_measure(s->input, s->have)) > 0;) {
        on_frame(s, (size_t) size);
        s->have -= (size_t) size;
        memmove(s->input, s->input + size, s->have);
    }
}

static void one_turn(struct scene *s)
{
    (void) event_base_loop(s->slots.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    size_t queued = channel_queued_bytes(s->worker->channel);
    s->most_queued = queued > s->most_queued ? queued : s->most_queued;
}

static void run_until_end_of(struct scene *s, char placement)
{
    for (unsigned i = 0; i < TURNS_MAX; i++) {
        if (s->n_order >= 2 && s->order[s->n_order - 2] == 'E' &&
            s->order[s->n_order - 1] == placement)
            return;
        one_turn(s);
        read_some(s);
    }
    fail_msg("no end");
}

static void test_large_version_goes_in_parts_and_is_never_queued_whole(void **state)
{
    struct scene *s = *state;

    assert_int_equal(load_send(&s->placement[0]), 0);
    s->most_queued = channel_queued_bytes(s->worker->channel);
    run_until_end_of(s, '1');
    assert_int_equal(s->file_bytes[1], (uint64_t) FILES * FILE_BYTES);
    assert_in_range(s->most_queued, 1, QUEUED_MAX_BYTES);
    assert_string_equal(s->order, "B1F1E1");
}

static void test_worker_that_does_not_read_is_sent_no_more_parts(void **state)
{
    struct scene *s = *state;

    assert_int_equal(load_send(&s->placement[0]), 0);
    for (unsigned i = 0; i < 100; i++)
        one_turn(s);
    size_t queued = channel_queued_bytes(s->worker->channel);
    assert_in_range(queued, 1, QUEUED_MAX_BYTES);
    for (unsigned i = 0; i < 100; i++)
        one_turn(s);
    assert_int_equal(channel_queued_bytes(s->worker->channel), queued);
    run_until_end_of(s, '1');
}

static void test_loads_go_one_after_the_other_and_other_frames_between(void **state)
{
    struct scene *s = *state;

    assert_int_equal(load_send(&s->placement[0]), 0);
    assert_int_equal(load_send(&s->placement[1]), 0);
    assert_int_equal(link_send_unload(s->worker, 7), 0);
    run_until_end_of(s, '2');
    assert_string_equal(s->order, "B1F1U7F1E1B2F2E2");
}

static void test_load_that_is_dropped_sends_no_more_and_lets_the_next_one_go(void **state)
{
    struct scene *s = *state;

    assert_int_equal(load_send(&s->placement[0]), 0);
    assert_int_equal(load_send(&s->placement[1]), 0);
    while (s->n_order < 4) {
        one_turn(s);
        read_some(s);
    }
    load_drop(&s->placement[0]);
    while (s->n_order < 6 || s->order[s->n_order - 2] != 'B') {
        one_turn(s);
        read_some(s);
    }
    run_until_end_of(s, '2');
    assert_string_equal(s->order, "B1F1B2F2E2");
}

static void test_load_that_somebody_waits_for_goes_before_one_that_nobody_waits_for(void **state)
{
    struct scene *s = *state;

    s->placement[0].is_preload = true;
    assert_int_equal(load_send(&s->placement[0]), 0);
    while (s->n_order < 4) {
        one_turn(s);
        read_some(s);
    }
    assert_int_equal(load_send(&s->placement[1]), 0);
    run_until_end_of(s, '1');
    assert_string_equal(s->order, "B1F1B2F2E2F1E1");
    assert_int_equal(s->file_bytes[1], s->file_bytes[2]);
}

static void test_load_that_somebody_begins_to_wait_for_goes_first(void **state)
{
    struct scene *s = *state;

    for (unsigned i = 0; i < 2; i++) {
        s->worker->n_preloads++;
        s->placement[i].is_preload = true;
        assert_int_equal(load_send(&s->placement[i]), 0);
    }
    load_hurry(&s->placement[1]);
    assert_int_equal(s->worker->n_preloads, 1);
    run_until_end_of(s, '1');
    assert_string_equal(s->order, "B1F1B2F2E2F1E1");
}

static void test_worker_that_does_not_read_is_killed_above_the_bound(void **state)
{
    struct scene *s = *state;
    uint8_t body[BODY_CHUNK_MAX_BYTES] = { 0 };
    int r = 0;

    for (unsigned i = 0; i < 2 * LINK_OUTPUT_MAX_BYTES / sizeof body && r == 0; i++)
        r = link_send_body(s->worker, 1, body, sizeof body, false);
    assert_int_equal(r, -ENOBUFS);
    assert_in_range(channel_queued_bytes(s->worker->channel), LINK_OUTPUT_MAX_BYTES / 2,
                    LINK_OUTPUT_MAX_BYTES);
    assert_int_equal(s->worker->state, WORKER_KILLED);
    assert_int_equal(s->worker->kill_reason, KILL_SILENT);
    assert_int_equal(link_send_body(s->worker, 1, body, sizeof body, false), -ENOBUFS);
    assert_int_equal(s->record.counters.unread, 1);
}

static void test_frames_of_one_worker_are_taken_in_turns_with_the_others(void **state)
{
    static uint8_t flood[FLOOD_FRAMES * 16];
    Skep__Worker__FromWorker envelope = SKEP__WORKER__FROM_WORKER__INIT;
    Skep__Worker__Pong pong = SKEP__WORKER__PONG__INIT;
    struct scene *s = *state;
    size_t size = 0;

    envelope.message_case = SKEP__WORKER__FROM_WORKER__MESSAGE_PONG;
    envelope.pong = &pong;
    for (unsigned i = 0; i < FLOOD_FRAMES; i++) {
        size_t bytes = frame_packed_size(&envelope.base);
        frame_pack(&envelope.base, flood + size, bytes);
        size += bytes;
    }
    s->worker->pings_open = FLOOD_FRAMES;
    link_set_ready(s->worker);
    assert_int_equal(write(s->worker_fd, flood, size), size);
    for (unsigned i = 1; s->worker->pings_open > 0; i++) {
        one_turn(s);
        assert_in_range(s->worker->pings_open, FLOOD_FRAMES - i * FLOOD_TURN_MOST, FLOOD_FRAMES);
        assert_in_range(i, 1, FLOOD_FRAMES);
    }
}

static void test_no_load_is_sent_without_a_channel(void **state)
{
    struct scene *s = *state;

    s->worker->channel = channel_free(s->worker->channel);
    assert_int_equal(load_send(&s->placement[0]), -EPIPE);
    assert_true(TAILQ_EMPTY(&s->worker->to_load));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_large_version_goes_in_parts_and_is_never_queued_whole),
        TEST(test_worker_that_does_not_read_is_sent_no_more_parts),
        TEST(test_loads_go_one_after_the_other_and_other_frames_between),
        TEST(test_load_that_is_dropped_sends_no_more_and_lets_the_next_one_go),
        TEST(test_load_that_somebody_waits_for_goes_before_one_that_nobody_waits_for),
        TEST(test_load_that_somebody_begins_to_wait_for_goes_first),
        TEST(test_worker_that_does_not_read_is_killed_above_the_bound),
        TEST(test_frames_of_one_worker_are_taken_in_turns_with_the_others),
        TEST(test_no_load_is_sent_without_a_channel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
