/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds bytes to skep-data as those of skepd. Threads are played: work is done between turns of the loop, at once or late. With any bytes:
 * an operation gets no more of an answer than there was credit for, one head before it, and one end; nothing comes of what was not asked for;
 * and when the channel is closed, nothing is left.
 *
 * Input: how it is sent (HOW_*), frames.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "data/internal.h"
#include "data/kv.h"
#include "data/sql.h"
#include "helper/helper.h"
#include "proto/frame.h"

#define OPTIONS_BYTES 1
#define INPUT_MAX_BYTES ((size_t) 32 << 10)
#define PIECES_MAX 64
#define TURNS_AFTER 64 /* turns of the loop after the last piece */
#define IDS_MAX 256
#define LARGE \
    ((size_t) 300 << 10) /* an answer of several frames, for which key-value has no room at first */

enum { HOW_PIECES = 7, HOW_LATE = 8, HOW_DEAF = 16 };

extern const size_t fuzz_options_bytes; /* for mutate_frames.c */
const size_t fuzz_options_bytes = OPTIONS_BYTES;
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool is_so)
{
    if (!is_so)
        abort();
}

/* ---- the threads */

static struct data process;

static struct {
    STAILQ_HEAD(, work) to_do, done;
    int fd;
} played;

int __wrap_threads_start(unsigned n, struct threads **ret_threads);
int __wrap_threads_fd(const struct threads *threads);
void __wrap_threads_give(struct threads *threads, struct work *work);
struct work *__wrap_threads_take(struct threads *threads);
int __wrap_threads_stop(struct threads *threads, unsigned ms);
struct threads *__wrap_threads_free(struct threads *threads);
int __wrap_confine_process(const struct confine_options *options, const char **ret_step);
int __wrap_mkdirat(int fd, const char *path, mode_t mode);

int __wrap_threads_start(unsigned n, struct threads **ret_threads)
{
    (void) n;
    STAILQ_INIT(&played.to_do);
    STAILQ_INIT(&played.done);
    played.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    *ret_threads = (struct threads *) (void *) &played;
    return 0;
}

void __wrap_threads_give(struct threads *threads, struct work *work)
{
    (void) threads;
    STAILQ_INSERT_TAIL(&played.to_do, work, entry);
}

static void do_one(void)
{
    static const uint64_t one = 1;
    struct work *work = STAILQ_FIRST(&played.to_do);

    if (!work)
        return;
    STAILQ_REMOVE_HEAD(&played.to_do, entry);
    work->run(work);
    STAILQ_INSERT_TAIL(&played.done, work, entry);
    check(write(played.fd, &one, sizeof one) == sizeof one);
}

struct work *__wrap_threads_take(struct threads *threads)
{
    struct work *work = STAILQ_FIRST(&played.done);
    uint64_t count;

    (void) threads;
    if (work)
        STAILQ_REMOVE_HEAD(&played.done, entry);
    else
        (void) !read(played.fd, &count, sizeof count);
    return work;
}

int __wrap_threads_stop(struct threads *threads, unsigned ms)
{
    (void) threads;
    (void) ms;
    while (!STAILQ_EMPTY(&played.to_do))
        do_one();
    return 0;
}

/* The jail is none of this target's. */
int __wrap_confine_process(const struct confine_options *options, const char **ret_step)
{
    (void) ret_step;
    return options->start_threads(options->owner);
}

int __wrap_mkdirat(int fd, const char *path, mode_t mode)
{
    (void) fd;
    (void) path;
    (void) mode;
    errno = EEXIST;
    return -1;
}

/* ---- the engines */

static char engine; /* anything */

int kv_open(const char *path, struct kv **ret_kv, char notice[static 512])
{
    (void) path;
    (void) strcpy(notice, "put \xff aside");
    *ret_kv = (struct kv *) (void *) &engine;
    return strncmp(path, "full/", 5) == 0 ? -ENOSPC : 0;
}

struct kv *kv_close(struct kv *kv)
{
    (void) kv;
    return NULL;
}

int sql_open(const char *path, struct sql **ret_sql, char notice[static 512])
{
    (void) notice;
    *ret_sql = (struct sql *) (void *) &engine;
    return strncmp(path, "full/", 5) == 0 ? -EIO : 0;
}

struct sql *sql_close(struct sql *sql)
{
    (void) sql;
    return NULL;
}

/* Does what the name of the operation says. */
static int run(struct data_operation *operation)
{
    const size_t large = strcmp(operation->name, "large") == 0 ? LARGE : 0;

    operation->status = strcmp(operation->name, "none") == 0 ? 0 : 200;
    uint8_t *to = data_answer_reserve(&operation->answer, large);
    if (large > 0 && !to)
        data_fail(operation, 413, "too large");
    else if (large > 0)
        memset(to, 'x', large);
    else
        (void) data_answer_add(&operation->answer, operation->request, operation->request_size);
    return strcmp(operation->name, "spoil") == 0 ? -EUCLEAN : 0;
}

int kv_run(struct kv *kv, struct data_operation *const *operations, size_t n)
{
    int r = 0;

    (void) kv;
    for (size_t i = 0; i < n && r == 0; i++)
        r = run(operations[i]);
    return r;
}

int sql_run(struct sql *sql, struct data_operation *operation)
{
    (void) sql;
    return run(operation);
}

void sql_interrupt(struct sql *sql)
{
    check((char *) sql == &engine);
}

/* ---- what was asked for, and what came */

struct asked {
    uint64_t id;
    bool is_close;
    uint64_t may, sent; /* credit for the answer; bytes of the request */
    unsigned n_heads, n_ends;
    uint64_t received, granted;
};

static struct {
    struct asked asked[IDS_MAX];
    size_t n_asked;
    bool is_full; /* more was asked for than is kept: no check of what came */
    struct event *turn;
    int fd; /* skepd's end */
    const uint8_t *at, *end;
    size_t piece;
    unsigned how, turns, turns_after;
    uint8_t input[(1U << 20) + 8]; /* from data */
    size_t n_input;
} scene;

static struct arena arena;

static struct asked *find(uint64_t id)
{
    for (size_t i = 0; i < scene.n_asked; i++)
        if (scene.asked[i].id == id)
            return &scene.asked[i];
    return NULL;
}

static void note_id(uint64_t id, bool is_close, uint64_t credit)
{
    if (find(id))
        return;
    scene.is_full |= scene.n_asked == IDS_MAX;
    if (scene.n_asked < IDS_MAX)
        scene.asked[scene.n_asked++] =
            (struct asked){ .id = id, .is_close = is_close, .may = credit };
}

static void note_frame(const Skep__Data__ToData *frame)
{
    struct asked *asked;

    if (frame->message_case == SKEP__DATA__TO_DATA__MESSAGE_OPEN)
        note_id(frame->open->id, false, frame->open->credit);
    else if (frame->message_case == SKEP__DATA__TO_DATA__MESSAGE_CLOSE)
        note_id(frame->close->id, true, 0);
    else if (frame->message_case == SKEP__DATA__TO_DATA__MESSAGE_CREDIT &&
             (asked = find(frame->credit->id)))
        asked->may += frame->credit->bytes;
    else if (frame->message_case == SKEP__DATA__TO_DATA__MESSAGE_BODY &&
             (asked = find(frame->body->id)))
        asked->sent += frame->body->data.len;
}

/* Notes all that the input asks for. */
static void note_input(const uint8_t *data, size_t size)
{
    int64_t frame;

    for (; (frame = frame_measure(data, size)) > 0; data += frame, size -= (size_t) frame) {
        const Skep__Data__ToData *message = (const Skep__Data__ToData *) frame_unpack(
            &skep__data__to_data__descriptor, data, (size_t) frame, &arena);
        if (!message)
            return;
        note_frame(message);
    }
}

static struct asked *find_open(uint64_t id, bool is_close)
{
    struct asked *asked = find(id);

    check(asked && asked->n_ends == 0 && asked->is_close == is_close);
    return asked;
}

static void check_end(const Skep__Data__Done *done)
{
    struct asked *asked = find_open(done->id, false);

    asked->n_ends++;
    check(done->sent == asked->received && done->received <= asked->sent);
    check(done->failure <= SKEP__DATA__FAILURE__FAILURE_CLOSED);
    check(done->failure != SKEP__DATA__FAILURE__FAILURE_NONE || asked->n_heads == 1);
    check((done->failure == SKEP__DATA__FAILURE__FAILURE_NONE) == (done->text.len == 0));
}

static void check_text(ProtobufCBinaryData text)
{
    for (size_t i = 0; i < text.len; i++)
        check(text.data[i] >= ' ' && text.data[i] <= '~');
}

static void check_frame(const Skep__Data__FromData *frame)
{
    struct asked *asked;

    switch (frame->message_case) {
    case SKEP__DATA__FROM_DATA__MESSAGE_HEAD:
        check(find_open(frame->head->id, false)->n_heads++ == 0);
        break;
    case SKEP__DATA__FROM_DATA__MESSAGE_BODY:
        asked = find_open(frame->body->id, false);
        asked->received += frame->body->data.len;
        check(asked->n_heads == 1 && frame->body->data.len > 0 && asked->received <= asked->may);
        break;
    case SKEP__DATA__FROM_DATA__MESSAGE_CREDIT:
        asked = find_open(frame->credit->id, false);
        asked->granted += frame->credit->bytes;
        check(frame->credit->bytes > 0 && asked->granted <= asked->sent);
        break;
    case SKEP__DATA__FROM_DATA__MESSAGE_DONE:
        check_end(frame->done);
        break;
    case SKEP__DATA__FROM_DATA__MESSAGE_CLOSED:
        find_open(frame->closed->id, true)->n_ends++;
        break;
    case SKEP__DATA__FROM_DATA__MESSAGE_NOTICE:
        check_text(frame->notice->text);
        break;
    case SKEP__DATA__FROM_DATA__MESSAGE_PONG:
        break;
    default: /* the hello; none is stuck */
        check(frame->message_case == SKEP__DATA__FROM_DATA__MESSAGE__NOT_SET);
    }
}

static void take_frames(void)
{
    size_t at = 0;
    int64_t frame;

    while ((frame = frame_measure(scene.input + at, scene.n_input - at)) > 0) {
        const Skep__Data__FromData *message = (const Skep__Data__FromData *) frame_unpack(
            &skep__data__from_data__descriptor, scene.input + at, (size_t) frame, &arena);
        check(message != NULL);
        if (!scene.is_full)
            check_frame(message);
        at += (size_t) frame;
    }
    check(frame == 0);
    memmove(scene.input, scene.input + at, scene.n_input - at);
    scene.n_input -= at;
}

static void take_input(void)
{
    ssize_t n;

    while ((n = recv(scene.fd, scene.input + scene.n_input, sizeof scene.input - scene.n_input,
                     MSG_DONTWAIT)) > 0) {
        scene.n_input += (size_t) n;
        take_frames();
    }
}

/* ---- turns */

static void send_piece(void)
{
    size_t left = (size_t) (scene.end - scene.at);
    ssize_t n = send(scene.fd, scene.at, left < scene.piece ? left : scene.piece,
                     MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0 && errno != EAGAIN)
        scene.at = scene.end; /* data has closed the channel */
    scene.at += n > 0 ? n : 0;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    static const struct timeval at_once = { 0 };

    (void) fd;
    (void) what;
    (void) arg;
    scene.turns++;
    if ((scene.how & HOW_LATE) == 0 || scene.turns % 8 == 0)
        do_one();
    if ((scene.how & HOW_DEAF) == 0 || scene.turns_after > 0)
        take_input();
    if (scene.at < scene.end)
        send_piece();
    else if (scene.turns_after++ == TURNS_AFTER)
        (void) shutdown(scene.fd, SHUT_WR);
    (void) event_add(scene.turn, &at_once);
}

/* The loop is there when data asks for this. */
int __wrap_threads_fd(const struct threads *threads)
{
    static const struct timeval at_once = { 0 };

    (void) threads;
    scene.turn = evtimer_new(process.base, on_turn, NULL);
    check(scene.turn && event_add(scene.turn, &at_once) == 0);
    return played.fd;
}

/* The end of the loop is next. */
struct threads *__wrap_threads_free(struct threads *threads)
{
    (void) threads;
    event_free(scene.turn);
    (void) close(played.fd);
    return NULL;
}

/* ---- the process */

/* Puts a descriptor where a helper finds its channel. Returns what was there, -1: nothing. */
static int take_place(int fd)
{
    int before = fcntl(HELPER_CHANNEL_FD, F_DUPFD_CLOEXEC, 100);

    check(dup2(fd, HELPER_CHANNEL_FD) == HELPER_CHANNEL_FD);
    return before;
}

static void give_place_back(int before)
{
    if (before < 0)
        return;
    check(dup2(before, HELPER_CHANNEL_FD) == HELPER_CHANNEL_FD);
    (void) close(before);
}

/* Moves a descriptor out of the way. */
static int move_up(int fd)
{
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 100);

    check(moved >= 0);
    (void) close(fd);
    return moved;
}

static void run_process(void)
{
    static char name[] = "skep-data";
    char *argv[] = { name, NULL };
    struct helper_program program;

    memset(&process, 0, sizeof process);
    data_program_init(&process, &program);
    program.has_folder = false;
    program.open = NULL;
    program.tails = &data_tails;
    (void) helper_main(1, argv, &program);
    check(process.n_operations == 0 && process.n_bytes == 0 && process.n_tenants == 0);
    check(process.n_files == 0 && process.n_running == 0 && process.n_closing == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t pieces[] = { INPUT_MAX_BYTES, 1, 3, 4, 7, 16, 64, 1000 };
    int pair[2];

    if (size < OPTIONS_BYTES || size > INPUT_MAX_BYTES)
        return 0;
    check(arena.memory || arena_init(&arena, 4U << 20) == 0);
    memset(&scene, 0, offsetof(__typeof__(scene), input));
    scene.n_input = 0;
    scene.how = data[0];
    scene.at = data + OPTIONS_BYTES;
    scene.end = data + size;
    scene.piece = pieces[scene.how & HOW_PIECES];
    if (scene.piece < size / PIECES_MAX)
        scene.piece = size / PIECES_MAX;
    note_input(scene.at, size - OPTIONS_BYTES);
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    scene.fd = move_up(pair[1]);
    int theirs = move_up(pair[0]);
    int before = take_place(theirs);
    (void) close(theirs);
    run_process();
    take_input();
    give_place_back(before);
    (void) close(scene.fd);
    return 0;
}
