/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/data_process/player.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "data/internal.h"
#include "helper.pb-c.h"
#include "helper/helper.h"
#include "proto/frame.h"

#define PATIENCE_S 60 /* for a frame */

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) text, .len = strlen(text) };
}

/* ---- the process */

/* Becomes the process, with its channel and its folder in their places. */
static void become(int fd, const char *folder, player_run_fn run)
{
    int folder_fd = open(folder, O_RDONLY | O_DIRECTORY);

    for (int i = 1; i < NSIG; i++)
        (void) signal(i, SIG_DFL);
    fd = fcntl(fd, F_DUPFD, 100);
    folder_fd = fcntl(folder_fd, F_DUPFD, 100);
    if (dup2(fd, HELPER_CHANNEL_FD) < 0 || dup2(folder_fd, HELPER_FOLDER_FD) < 0)
        _exit(99);
    (void) close_range(HELPER_FOLDER_FD + 1, ~0U, 0);
    run();
}

static void read_all(const struct player *player, void *to, size_t size)
{
    for (size_t have = 0; have < size;) {
        ssize_t n = read(player->fd, (char *) to + have, size - have);
        assert_true(n > 0);
        have += (size_t) n;
    }
}

/* Reads a frame's message. NULL: the channel is closed. The caller frees it. */
static uint8_t *read_frame(const struct player *player, size_t *ret_size)
{
    uint32_t length;
    ssize_t n = recv(player->fd, &length, sizeof length, MSG_WAITALL);

    if (n == 0 || (n < 0 && (errno == ECONNRESET || errno == EPIPE)))
        return NULL;
    assert_int_equal(n, sizeof length);
    *ret_size = le32toh(length);
    assert_in_range(*ret_size, 1, FRAME_MAX_BYTES);
    uint8_t *message = malloc(*ret_size);
    read_all(player, message, *ret_size);
    return message;
}

static void take_hello(const struct player *player)
{
    size_t size = 0;
    _cleanup_free_ uint8_t *message = read_frame(player, &size);

    assert_non_null(message);
    Skep__Helper__Greeting *greeting = skep__helper__greeting__unpack(NULL, size, message);
    assert_non_null(greeting);
    const Skep__Helper__Hello *hello = greeting->hello;
    if (hello->error.len > 0)
        fail_msg("hello: %.*s", (int) hello->error.len, (const char *) hello->error.data);
    assert_int_equal(hello->version, DATA_VERSION);
    skep__helper__greeting__free_unpacked(greeting, NULL);
}

/* Starts a process in the player's folder. */
static void start(struct player *player, player_run_fn run)
{
    static const struct timeval patience = { .tv_sec = PATIENCE_S };
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    player->pid = fork();
    assert_true(player->pid >= 0);
    if (player->pid == 0)
        become(pair[1], player->folder, run);
    (void) close(pair[1]);
    player->fd = pair[0];
    assert_int_equal(setsockopt(player->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience),
                     0);
    take_hello(player);
}

void player_start(struct player *player, player_run_fn run)
{
    *player = (struct player){ .folder = "/tmp/test_data.XXXXXX", .has_folder = true };
    assert_non_null(mkdtemp(player->folder));
    start(player, run);
}

void player_start_beside(struct player *player, player_run_fn run, const struct player *other)
{
    *player = (struct player){ .has_folder = false };
    memcpy(player->folder, other->folder, sizeof player->folder);
    start(player, run);
}

static void remove_folder(const char *folder)
{
    char command[64];

    (void) snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

int player_end(struct player *player)
{
    int status = 0;

    (void) close(player->fd);
    assert_int_equal(waitpid(player->pid, &status, 0), player->pid);
    if (player->has_folder)
        remove_folder(player->folder);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- frames to the process */

void player_send_raw(const struct player *player, const void *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = send(player->fd, bytes, size, MSG_NOSIGNAL);
        if (n < 0)
            return; /* the process has closed the channel: the test looks at that */
        bytes = (const char *) bytes + n;
        size -= (size_t) n;
    }
}

void player_send(const struct player *player, Skep__Data__ToData *frame)
{
    const size_t size = frame_packed_size(&frame->base);
    _cleanup_free_ uint8_t *packed = malloc(size);

    assert_true(packed && size > 0);
    frame_pack(&frame->base, packed, size);
    player_send_raw(player, packed, size);
}

void player_prepare(const struct ask *ask, uint64_t id, Skep__Data__Open *open,
                    Skep__Data__Limits *limits)
{
    skep__data__open__init(open);
    skep__data__limits__init(limits);
    limits->storage_rate = ask->rate > 0 ? ask->rate : UINT32_MAX;
    limits->kv_mib = limits->kv_keys = limits->sql_mib = UINT32_MAX;
    limits->kv_value_mib = ask->value_mib > 0 ? ask->value_mib : 1;
    limits->sql_ms = ask->sql_ms > 0 ? ask->sql_ms : UINT32_MAX;
    limits->sql_rows_mib = 4;
    open->id = id;
    open->tenant = bytes_of(ask->tenant ? ask->tenant : "a");
    open->kind = ask->is_sql ? SKEP__DATA__KIND__KIND_SQL : SKEP__DATA__KIND__KIND_KV;
    open->space = bytes_of(ask->space ? ask->space : "main");
    open->operation = bytes_of(ask->operation ? ask->operation : "echo");
    open->has_body = ask->has_body;
    open->is_operator = ask->is_operator;
    open->credit = ask->credit == 0            ? DATA_CREDIT_MAX_BYTES
                   : ask->credit == UINT32_MAX ? 0
                                               : ask->credit;
    open->limits = limits;
}

uint64_t player_open(struct player *player, const struct ask *ask)
{
    Skep__Data__ToData frame = SKEP__DATA__TO_DATA__INIT;
    Skep__Data__Open open;
    Skep__Data__Limits limits;
    const uint64_t id = ++player->last_id;

    assert_true(id < PLAYER_IDS);
    player_prepare(ask, id, &open, &limits);
    player->played[id].is_open = true;
    player->played[id].may = open.credit;
    frame.message_case = SKEP__DATA__TO_DATA__MESSAGE_OPEN;
    frame.open = &open;
    player_send(player, &frame);
    return id;
}

void player_body(struct player *player, uint64_t id, const void *data, size_t size, bool end)
{
    Skep__Data__ToData frame = SKEP__DATA__TO_DATA__INIT;
    Skep__Stream__Body body = SKEP__STREAM__BODY__INIT;

    body.id = id;
    body.data = (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) data, .len = size };
    body.end = end;
    frame.message_case = SKEP__DATA__TO_DATA__MESSAGE_BODY;
    frame.body = &body;
    player_send(player, &frame);
}

uint64_t player_ask(struct player *player, const struct ask *ask, const char *request)
{
    struct ask with_body = *ask;

    with_body.has_body = true;
    uint64_t id = player_open(player, &with_body);
    player_body(player, id, request, strlen(request), true);
    return id;
}

void player_credit(struct player *player, uint64_t id, uint32_t bytes)
{
    Skep__Data__ToData frame = SKEP__DATA__TO_DATA__INIT;
    Skep__Stream__Credit credit = SKEP__STREAM__CREDIT__INIT;

    if (id < PLAYER_IDS)
        player->played[id].may += bytes;
    credit.id = id;
    credit.bytes = bytes;
    frame.message_case = SKEP__DATA__TO_DATA__MESSAGE_CREDIT;
    frame.credit = &credit;
    player_send(player, &frame);
}

void player_cancel(struct player *player, uint64_t id)
{
    Skep__Data__ToData frame = SKEP__DATA__TO_DATA__INIT;
    Skep__Stream__Cancel cancel = SKEP__STREAM__CANCEL__INIT;

    cancel.id = id;
    frame.message_case = SKEP__DATA__TO_DATA__MESSAGE_CANCEL;
    frame.cancel = &cancel;
    player_send(player, &frame);
}

uint64_t player_close_tenant(struct player *player, const char *tenant)
{
    Skep__Data__ToData frame = SKEP__DATA__TO_DATA__INIT;
    Skep__Data__Close message = SKEP__DATA__CLOSE__INIT;

    message.id = ++player->last_id;
    message.tenant = bytes_of(tenant);
    frame.message_case = SKEP__DATA__TO_DATA__MESSAGE_CLOSE;
    frame.close = &message;
    player_send(player, &frame);
    return message.id;
}

void player_share(struct player *player, bool is_on)
{
    Skep__Data__Share share = SKEP__DATA__SHARE__INIT;
    Skep__Data__ToData frame = SKEP__DATA__TO_DATA__INIT;

    share.is_on = is_on;
    frame.message_case = SKEP__DATA__TO_DATA__MESSAGE_SHARE;
    frame.share = &share;
    player_send(player, &frame);
}

void player_ping(struct player *player)
{
    Skep__Data__ToData frame = SKEP__DATA__TO_DATA__INIT;
    Skep__Stream__Ping ping = SKEP__STREAM__PING__INIT;

    frame.message_case = SKEP__DATA__TO_DATA__MESSAGE_PING;
    frame.ping = &ping;
    player_send(player, &frame);
}

/* ---- frames from the process */

static struct played *find(struct player *player, uint64_t id)
{
    assert_in_range(id, 1, player->last_id);
    assert_true(player->played[id].is_open);
    return &player->played[id];
}

static void copy(char *to, size_t size, ProtobufCBinaryData from)
{
    (void) snprintf(to, size, "%.*s", (int) from.len, from.len > 0 ? (const char *) from.data : "");
}

static void on_head(struct player *player, const Skep__Data__Head *head)
{
    struct played *played = find(player, head->id);

    assert_int_equal(played->n_heads++, 0);
    played->status = head->status;
}

static void on_body(struct player *player, const Skep__Stream__Body *body)
{
    struct played *played = find(player, body->id);

    assert_int_equal(played->n_heads, 1);
    assert_in_range(body->data.len, 1, ANSWER_CHUNK_MAX_BYTES);
    const size_t size =
        body->data.len < sizeof played->answer ? body->data.len : sizeof played->answer - 1;
    if (played->n_bytes == 0)
        memcpy(played->answer, body->data.data, size);
    played->n_bytes += body->data.len;
    assert_true(played->n_bytes <= played->may);
}

static void on_credit(struct player *player, const Skep__Stream__Credit *credit)
{
    assert_true(credit->bytes > 0);
    find(player, credit->id)->granted += credit->bytes;
}

static void on_done(struct player *player, const Skep__Data__Done *done)
{
    struct played *played = find(player, done->id);

    played->is_open = false;
    played->n_dones++;
    played->failure = done->failure;
    played->received = done->received;
    copy(played->text, sizeof played->text, done->text);
    assert_int_equal(done->sent, played->n_bytes);
    assert_true(done->wait_us <= done->total_us);
    if (done->failure == SKEP__DATA__FAILURE__FAILURE_NONE)
        assert_int_equal(played->n_heads, 1);
    assert_int_equal(done->text.len > 0, done->failure != SKEP__DATA__FAILURE__FAILURE_NONE);
}

static void on_closed(struct player *player, const Skep__Data__Closed *closed)
{
    assert_in_range(closed->id, 1, player->last_id);
    player->played[closed->id].n_closed++;
}

static void on_notice(struct player *player, const Skep__Data__Notice *notice)
{
    player->n_notices++;
    copy(player->noticed, sizeof player->noticed, notice->tenant);
    copy(player->notice, sizeof player->notice, notice->text);
}

static void on_stuck(struct player *player, const Skep__Data__Stuck *stuck)
{
    player->n_stuck++;
    copy(player->stuck, sizeof player->stuck, stuck->tenant);
}

static void on_frame(struct player *player, const Skep__Data__FromData *frame)
{
    assert_int_equal(player->n_stuck, 0);
    switch (frame->message_case) {
    case SKEP__DATA__FROM_DATA__MESSAGE_HEAD:
        on_head(player, frame->head);
        break;
    case SKEP__DATA__FROM_DATA__MESSAGE_BODY:
        on_body(player, frame->body);
        break;
    case SKEP__DATA__FROM_DATA__MESSAGE_CREDIT:
        on_credit(player, frame->credit);
        break;
    case SKEP__DATA__FROM_DATA__MESSAGE_DONE:
        on_done(player, frame->done);
        break;
    case SKEP__DATA__FROM_DATA__MESSAGE_PONG:
        player->n_pongs++;
        break;
    case SKEP__DATA__FROM_DATA__MESSAGE_CLOSED:
        on_closed(player, frame->closed);
        break;
    case SKEP__DATA__FROM_DATA__MESSAGE_NOTICE:
        on_notice(player, frame->notice);
        break;
    case SKEP__DATA__FROM_DATA__MESSAGE_STUCK:
        on_stuck(player, frame->stuck);
        break;
    default:
        fail_msg("a frame that there is not");
    }
}

bool player_take(struct player *player)
{
    size_t size = 0;
    _cleanup_free_ uint8_t *message = read_frame(player, &size);

    if (!message)
        return false;
    Skep__Data__FromData *frame = skep__data__from_data__unpack(NULL, size, message);
    assert_non_null(frame);
    on_frame(player, frame);
    skep__data__from_data__free_unpacked(frame, NULL);
    return true;
}

const struct played *player_await(struct player *player, uint64_t id)
{
    while (player->played[id].n_dones + player->played[id].n_closed == 0)
        assert_true(player_take(player));
    return &player->played[id];
}

void player_sync(struct player *player)
{
    const unsigned before = player->n_pongs;

    player_ping(player);
    while (player->n_pongs == before)
        assert_true(player_take(player));
}

void player_expect_closed(struct player *player)
{
    while (player_take(player))
        ;
}
