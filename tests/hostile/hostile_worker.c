/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker that a tenant has taken over, for tests/integration/test_hostile_worker.py: skepd starts
 * it in place of skep-worker, without jail. The name of the tenant's main module is the name of the
 * misdeed. A misdeed before any tenant is there is named by the end of the program's own file name
 * ("hostile_worker.no_hello"), and happens only in cordons with jit: on. Blocking, one thread; ends
 * by _exit, so that no leak check looks at it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "proto/frame.h"
#include "proto/scoreboard.h"
#include "proto/worker_tails.h"
#include "tests/hostile/hostile_frames.h"

#define APPS_MAX 256
#define NAME_MAX_BYTES 64

struct app {
    uint32_t id;
    char behaviour[NAME_MAX_BYTES];
};

static struct app apps[APPS_MAX];
static struct scoreboard *board;
static bool is_deaf;       /* reads no more */
static bool stops_at_body; /* after the first part of a body */
static uint64_t victim_id;
static uint32_t victim_tenant;

/* ---- misdeeds with a request; tenant and id are the true ones */

typedef void (*misdeed_fn)(uint64_t id, uint32_t tenant);

#define MISDEED(name) static void name(uint64_t id, uint32_t tenant)
#define UNUSED ((void) id, (void) tenant)

MISDEED(honest)
{
    UNUSED;
    answer(id);
}
MISDEED(second_hello)
{
    UNUSED;
    send_hello(PROTOCOL_VERSION);
}
MISDEED(unknown_head)
{
    UNUSED;
    send_head(id + SCOREBOARD_REQUESTS, true);
}
MISDEED(unknown_body)
{
    UNUSED;
    send_body(id ^ 1, 1, true);
}
MISDEED(unknown_credit)
{
    UNUSED;
    send_credit(UINT64_MAX, 1);
}
MISDEED(unknown_done)
{
    UNUSED;
    send_done(0, 0);
}
/* An id that was given out a moment ago, most likely to the honest worker. */
MISDEED(other_done)
{
    UNUSED;
    send_done(id - SCOREBOARD_REQUESTS, 0);
}
MISDEED(bad_outcome)
{
    UNUSED;
    send_done(id, 77);
}
MISDEED(negative_outcome)
{
    UNUSED;
    send_done(id, -1);
}
MISDEED(head_twice)
{
    UNUSED;
    send_head(id, false);
    send_head(id, false);
}
MISDEED(body_first)
{
    UNUSED;
    send_body(id, 1, false);
}
MISDEED(body_after_end)
{
    UNUSED;
    send_head(id, true);
    send_body(id, 1, false);
}
MISDEED(body_too_big)
{
    UNUSED;
    send_head(id, false);
    send_body(id, ANSWER_CHUNK_MAX_BYTES + 1, 0);
}
MISDEED(body_inside)
{
    UNUSED;
    send_head(id, false);
    send_body_inside(id);
}
MISDEED(tail_of_done)
{
    UNUSED;
    send_done_with_tail(id);
}
MISDEED(body_empty)
{
    UNUSED;
    send_head(id, false);
    send_body(id, 0, false);
}
MISDEED(credit_beyond)
{
    UNUSED;
    send_credit(id, BODY_WINDOW_BYTES + 1);
}
MISDEED(credit_most)
{
    UNUSED;
    send_credit(id, UINT32_MAX);
}
MISDEED(credit_no_body)
{
    UNUSED;
    send_credit(id, 1);
}
MISDEED(credit_nothing)
{
    UNUSED;
    send_credit(id, 0);
}
MISDEED(done_twice)
{
    UNUSED;
    answer(id);
    send_done(id, 0);
}
MISDEED(done_only)
{
    UNUSED;
    send_done(id, 0);
}
MISDEED(done_early)
{
    UNUSED;
    send_head(id, false);
    send_done(id, 0);
}
MISDEED(done_not_loaded)
{
    UNUSED;
    send_done(id, SKEP__WORKER__OUTCOME__OUTCOME_NOT_LOADED);
}
MISDEED(done_cancelled)
{
    UNUSED;
    send_done(id, SKEP__WORKER__OUTCOME__OUTCOME_CANCELLED);
}
MISDEED(loaded_again)
{
    UNUSED;
    send_loaded(tenant, 0);
}
MISDEED(loaded_unknown)
{
    UNUSED;
    send_loaded(tenant + 1000, 0);
}
MISDEED(unloaded_unknown)
{
    UNUSED;
    send_unloaded(tenant + 1000);
}
MISDEED(unloaded_twice)
{
    UNUSED;
    send_unloaded(tenant);
    send_unloaded(tenant);
}
MISDEED(unloaded_answers)
{
    UNUSED;
    send_unloaded(tenant);
    answer(id);
}
MISDEED(log_unknown)
{
    UNUSED;
    send_log(tenant + 1000, "x", 1);
}
MISDEED(header_flood)
{
    UNUSED;
    answer_fields(id, 100000, NULL, bytes(NULL, 0));
}
MISDEED(header_many)
{
    UNUSED;
    send_head_with(id, 200, 257, "x", bytes("y", 1), true);
}
MISDEED(header_empty)
{
    UNUSED;
    answer_fields(id, 1, NULL, bytes(NULL, 0));
}
MISDEED(header_crlf)
{
    UNUSED;
    answer_with(id, "x", "y\r\nSet-Cookie: z");
}
MISDEED(header_name)
{
    UNUSED;
    answer_with(id, "x: y\r\nz", "1");
}
MISDEED(header_nul)
{
    UNUSED;
    answer_fields(id, 1, "x", bytes("y\0z", 3));
}
MISDEED(head_empty)
{
    UNUSED;
    send_packed_head(id, 200, bytes(NULL, 0), true);
}
MISDEED(head_odd)
{
    UNUSED;
    send_packed_head(id, 200, bytes("\1\0\0\0\1\0\0\0x", 9), true);
}
MISDEED(head_long)
{
    UNUSED;
    send_packed_head(id, 200, bytes("\0\0\0\0x", 5), true);
}
MISDEED(head_short)
{
    UNUSED;
    send_packed_head(id, 200, bytes("\2\0\0\0\1\0\0\0\377\377\377\377x", 13), true);
}
MISDEED(head_wraps)
{
    UNUSED;
    send_packed_head(id, 200, bytes("\0\0\0\100", 4), true);
}
MISDEED(header_te)
{
    UNUSED;
    answer_with(id, "Transfer-Encoding", "chunked");
}
MISDEED(header_code)
{
    UNUSED;
    answer_with(id, "Skep-Error", "no_route");
}
MISDEED(length_long)
{
    UNUSED;
    answer_with(id, "Content-Length", "999");
}
MISDEED(length_short)
{
    UNUSED;
    answer_with(id, "Content-Length", "1");
}
MISDEED(length_bad)
{
    UNUSED;
    answer_with(id, "Content-Length", "-8");
}
MISDEED(length_huge)
{
    UNUSED;
    answer_with(id, "Content-Length", "99999999999999999999999");
}
MISDEED(length_twice)
{
    UNUSED;
    answer_fields(id, 2, "Content-Length", bytes("8", 1));
}
MISDEED(length_over)
{
    UNUSED;
    answer_length(id, "9", false);
}
MISDEED(length_under)
{
    UNUSED;
    answer_length(id, "99", true);
}
MISDEED(status_0)
{
    UNUSED;
    answer_status(id, 0);
}
MISDEED(status_99)
{
    UNUSED;
    answer_status(id, 99);
}
MISDEED(status_101)
{
    UNUSED;
    answer_status(id, 101);
}
MISDEED(status_1000)
{
    UNUSED;
    answer_status(id, 1000);
}
MISDEED(frame_giant)
{
    UNUSED;
    send_length(UINT32_MAX, 4);
}
MISDEED(frame_over)
{
    UNUSED;
    send_length(FRAME_MAX_BYTES + 1, 4);
}
MISDEED(frame_zero)
{
    UNUSED;
    send_length(0, 4);
}
MISDEED(frame_half_silence)
{
    UNUSED;
    send_length(FRAME_MAX_BYTES, 40);
    stay_silent();
}
MISDEED(frame_half_close)
{
    UNUSED;
    send_length(20, 10);
    _exit(0);
}
MISDEED(close_and_stay)
{
    UNUSED;
    (void) close(CHANNEL_FD);
    stay_silent();
}
MISDEED(exit_at_once)
{
    UNUSED;
    _exit(0);
}
MISDEED(exit_in_response)
{
    UNUSED;
    send_head(id, false);
    send_body(id, 10000, false);
    _exit(0);
}
MISDEED(exit_after_credit)
{
    UNUSED;
    send_credit(id, 1);
    _exit(0);
}
MISDEED(abort_at_once)
{
    UNUSED;
    __builtin_trap();
}
MISDEED(exceeded_unknown)
{
    UNUSED;
    send_exceeded(UINT32_MAX, id, 0, 1, false);
}
MISDEED(exceeded_other)
{
    UNUSED;
    send_exceeded(tenant, id - SCOREBOARD_REQUESTS, 0, 1, false);
}
MISDEED(exceeded_bad)
{
    UNUSED;
    send_exceeded(tenant, id, 77, 1, false);
}
MISDEED(exceeded_true)
{
    UNUSED;
    send_exceeded(tenant, id, 0, 51000, false);
    answer(id);
}
/* Numbers and lengths that JavaScript may choose are bounded, and cost nobody anything. */
MISDEED(exceeded_used)
{
    UNUSED;
    send_exceeded(tenant, id, 0, UINT64_MAX, false);
    answer(id);
}
MISDEED(done_long)
{
    static char line[LOG_LINE_MAX_BYTES + 4096];

    UNUSED;
    answer_saying(id, bytes(line, sizeof line));
}

MISDEED(exceeded_observed)
{
    UNUSED;
    send_exceeded(tenant, id, 0, 51000, true);
}

MISDEED(exceeded_twice)
{
    UNUSED;
    send_exceeded(tenant, id, 0, 51000, false);
    send_exceeded(tenant, id, 0, 51000, false);
}

MISDEED(stopped_unknown)
{
    UNUSED;
    send_stopped(tenant + 1000);
}
MISDEED(stopped_twice)
{
    UNUSED;
    send_stopped(tenant);
    send_stopped(tenant);
}
MISDEED(stopped_always)
{
    UNUSED;
    send_stopped(tenant);
    answer(id);
}
MISDEED(caught_up)
{
    UNUSED;
    send_caught_up();
    answer(id);
}
MISDEED(caught_up_flood)
{
    UNUSED;
    for (unsigned i = 0; i < 10000; i++)
        send_caught_up();
}
MISDEED(call_true)
{
    UNUSED;
    send_call(id, 1, 0);
    answer(id);
}
MISDEED(call_binding)
{
    UNUSED;
    send_call(id, 1, 1);
}
MISDEED(call_number)
{
    UNUSED;
    send_call(id, 2, 0);
}
MISDEED(call_twice)
{
    UNUSED;
    send_call(id, 1, 0);
    send_call(id, 1, 0);
}
MISDEED(call_unknown)
{
    UNUSED;
    send_call(id + SCOREBOARD_REQUESTS, 1, 0);
}
MISDEED(call_body_unknown)
{
    UNUSED;
    send_call_body(id, 1, 1, true);
}
MISDEED(call_body_empty)
{
    UNUSED;
    send_call(id, 1, 0);
    send_call_body(id, 1, 0, false);
}
MISDEED(call_credit_unknown)
{
    UNUSED;
    send_call_credit(id, 1, 1);
}
MISDEED(call_credit_most)
{
    UNUSED;
    send_call(id, 1, 0);
    send_call_credit(id, 1, UINT32_MAX);
}
MISDEED(call_cancel_unknown)
{
    UNUSED;
    send_call_cancel(id, 1);
}
MISDEED(never_answers)
{
    UNUSED;
}
MISDEED(stops_in_response)
{
    UNUSED;
    send_head(id, false);
}
MISDEED(stops_reading)
{
    UNUSED;
    is_deaf = true;
}

/* Each request has entered and does not run, so that the next one is sent. */
MISDEED(stops_reading_bodies)
{
    UNUSED;
    stops_at_body = true;
    atomic_store(&board->threads[0].running_request, 0);
}

/* By a fault: the first process of a PID namespace may ignore signals that it sends itself. */
MISDEED(signal_segv)
{
    UNUSED;
    (void) signal(SIGSEGV, SIG_DFL); /* the default, not the sanitizer's handler */
    *(volatile int *) 8 = 1;
}

/* A filter of one call takes the place of the jail, which this build does not have. */
MISDEED(signal_sys)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = ARRAY_LEN(filter), .filter = filter };

    UNUSED;
    (void) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void) prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
    (void) syscall(SYS_getppid);
}

MISDEED(body_beyond_window)
{
    UNUSED;
    send_head(id, false);
    for (;;) /* until skepd kills the worker for it */
        send_body(id, BODY_CHUNK_MAX_BYTES, false);
}

/* Sends as much as it may without credit: the rest of the window after HEAD_BODY_BYTES. */
MISDEED(answers_much)
{
    UNUSED;
    send_head(id, false);
    for (size_t left = BODY_WINDOW_BYTES - HEAD_BODY_BYTES, part; left > 0; left -= part) {
        part = left < BODY_CHUNK_MAX_BYTES ? left : BODY_CHUNK_MAX_BYTES;
        send_body(id, part, part == left);
    }
    send_done(id, SKEP__WORKER__OUTCOME__OUTCOME_OK);
}

MISDEED(unloaded_not_loaded)
{
    UNUSED;
    send_unloaded(tenant);
    send_done(id, SKEP__WORKER__OUTCOME__OUTCOME_NOT_LOADED);
}

MISDEED(log_flood)
{
    static char text[LOG_LINE_MAX_BYTES];

    (void) memset(text, 'x', sizeof text);
    for (unsigned i = 0; i < 1000; i++)
        send_log(tenant, text, sizeof text);
    (void) memset(text, '\n', sizeof text);
    for (unsigned i = 0; i < 1000; i++)
        send_log(tenant, text, sizeof text);
    answer(id);
}

MISDEED(log_giant)
{
    static char text[LOG_LINE_MAX_BYTES + 1];

    send_log(tenant, text, sizeof text);
    answer(id);
}

MISDEED(garbage)
{
    uint8_t frame[1004];

    UNUSED;
    for (size_t i = 0; i < sizeof frame; i++)
        frame[i] = (uint8_t) (i * 131 + i / 7);
    frame[0] = 1000 & 0xff;
    frame[1] = 1000 >> 8;
    frame[2] = frame[3] = 0;
    write_all(frame, sizeof frame);
}

/* Good protobuf, but none of the messages: field 15. */
MISDEED(no_message)
{
    static const uint8_t frame[] = { 2, 0, 0, 0, 15 << 3, 1 };

    UNUSED;
    write_all(frame, sizeof frame);
}

MISDEED(pong_flood)
{
    UNUSED;
    for (unsigned i = 0; i < 100000; i++)
        send_pong(i);
    answer(id);
}

MISDEED(board_garbage)
{
    UNUSED;
    uint8_t *at = (uint8_t *) board;
    for (size_t i = 0; i < SCOREBOARD_BYTES; i++)
        at[i] = (uint8_t) (i * 151 + id);
    _exit(0);
}

MISDEED(board_lies)
{
    UNUSED;
    (void) memset(board, 0xff, SCOREBOARD_BYTES);
    __builtin_trap();
}

MISDEED(board_others)
{
    struct scoreboard_thread *row = &board->threads[SCOREBOARD_THREADS - 1];

    UNUSED;
    atomic_store(&row->running_request, id - SCOREBOARD_REQUESTS);
    atomic_store(&row->running_placement, tenant - 1);
    atomic_store(&row->last_words, LAST_WORDS_HEAP_OOM);
    __builtin_trap();
}

/* Names another tenant's request, which waits in this worker, as the one that runs. */
static void name_victim(void)
{
    atomic_store(&board->threads[0].running_request, victim_id);
    atomic_store(&board->threads[0].running_placement, victim_tenant);
}

/* Claims that its own request is over, and then brings the worker down. */
static bool is_lurking;

MISDEED(lurks)
{
    UNUSED;
    is_lurking = true;
    answer(id);
}

MISDEED(waits)
{
    victim_id = id;
    victim_tenant = tenant;
    if (is_lurking) {
        name_victim();
        __builtin_trap();
    }
    atomic_store(&board->threads[0].running_request,
                 0); /* the request has entered, and does not run */
}

MISDEED(frames_and_crashes)
{
    UNUSED;
    name_victim();
    __builtin_trap();
}
MISDEED(frames_and_lies)
{
    UNUSED;
    name_victim();
    send_done(0, 0);
    stay_silent();
}
MISDEED(frames_and_charges)
{
    UNUSED;
    send_exceeded(tenant, victim_id, 0, 51000, false);
    stay_silent();
}

/* Goes on once its request is over. */
MISDEED(burns_after)
{
    UNUSED;
    answer(id);
    for (volatile unsigned i = 0;; i++)
        ;
}

/* Goes on once its request is over, from a signal each 100 ms, and answers all the same. */
static void go_on(void (*on_tick)(int signal))
{
    const struct itimerval often = { { 0, 100000 }, { 0, 100000 } };
    const struct sigaction action = { .sa_handler = on_tick, .sa_flags = SA_RESTART };

    (void) sigaction(SIGALRM, &action, NULL);
    (void) setitimer(ITIMER_REAL, &often, NULL);
}

static uint64_t cpu_ms(void)
{
    struct timespec t = { 0 };

    (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t) t.tv_sec * 1000 + (uint64_t) t.tv_nsec / 1000000;
}

static void burn_a_slice(int signal)
{
    uint64_t end = cpu_ms() + 20;

    (void) signal;
    while (cpu_ms() < end)
        ;
}

static void keep_more(int signal)
{
    const size_t size = 20 << 20;
    uint8_t *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void) signal;
    for (size_t i = 0; pages != MAP_FAILED && i < size; i += 4096)
        pages[i] = 1;
}

MISDEED(burns_in_slices)
{
    UNUSED;
    answer(id);
    go_on(burn_a_slice);
}
MISDEED(hoards_later)
{
    UNUSED;
    answer(id);
    go_on(keep_more);
}

/* Keeps memory that is in no account of the worker's. */
MISDEED(hoards)
{
    UNUSED;
    const size_t size = 40 << 20;
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages != MAP_FAILED)
        (void) memset(pages, 1, size);
    answer(id);
}

/* Has used no CPU time, by its word: the next one is sent while others run. */
MISDEED(cheap)
{
    UNUSED;
    answer_saying(id, bytes("", 0));
}

/* Keeps the requests behind it waiting until one is withdrawn, and answers that one, too. */
MISDEED(holds_up)
{
    UNUSED;
    for (unsigned slot = 0; atomic_load(&board->entered[slot]) < UINT64_MAX / 2;)
        slot = (slot + 1) % SCOREBOARD_REQUESTS;
}

/* The same, and then says twice that they were never run. */
static bool denies_twice;

MISDEED(holds_up_and_denies)
{
    holds_up(id, tenant);
    denies_twice = true;
}

#define ROW(name)   \
    {               \
#name, name \
    }
static const struct {
    const char *name;
    misdeed_fn run;
} misdeeds[] = {
    ROW(honest),
    ROW(second_hello),
    ROW(unknown_head),
    ROW(unknown_body),
    ROW(unknown_credit),
    ROW(unknown_done),
    ROW(other_done),
    ROW(bad_outcome),
    ROW(negative_outcome),
    ROW(head_twice),
    ROW(body_first),
    ROW(body_after_end),
    ROW(body_too_big),
    ROW(body_empty),
    ROW(credit_beyond),
    ROW(credit_most),
    ROW(credit_no_body),
    ROW(done_twice),
    ROW(done_only),
    ROW(done_early),
    ROW(done_not_loaded),
    ROW(done_cancelled),
    ROW(loaded_again),
    ROW(loaded_unknown),
    ROW(unloaded_unknown),
    ROW(unloaded_twice),
    ROW(unloaded_answers),
    ROW(log_unknown),
    ROW(header_flood),
    ROW(header_many),
    ROW(header_empty),
    ROW(header_crlf),
    ROW(header_name),
    ROW(header_nul),
    ROW(head_empty),
    ROW(head_odd),
    ROW(head_long),
    ROW(head_short),
    ROW(head_wraps),
    ROW(header_te),
    ROW(header_code),
    ROW(length_long),
    ROW(length_short),
    ROW(length_bad),
    ROW(length_huge),
    ROW(length_twice),
    ROW(length_over),
    ROW(length_under),
    ROW(status_0),
    ROW(status_99),
    ROW(status_101),
    ROW(status_1000),
    ROW(frame_giant),
    ROW(frame_over),
    ROW(frame_zero),
    ROW(frame_half_silence),
    ROW(frame_half_close),
    ROW(close_and_stay),
    ROW(exit_at_once),
    ROW(exit_in_response),
    ROW(exit_after_credit),
    ROW(abort_at_once),
    ROW(signal_segv),
    ROW(signal_sys),
    ROW(exceeded_unknown),
    ROW(exceeded_other),
    ROW(exceeded_bad),
    ROW(exceeded_true),
    ROW(exceeded_used),
    ROW(done_long),
    ROW(exceeded_observed),
    ROW(exceeded_twice),
    ROW(caught_up),
    ROW(caught_up_flood),
    ROW(stopped_unknown),
    ROW(stopped_twice),
    ROW(stopped_always),
    ROW(call_true),
    ROW(call_binding),
    ROW(call_number),
    ROW(call_twice),
    ROW(call_unknown),
    ROW(call_body_unknown),
    ROW(call_body_empty),
    ROW(call_credit_unknown),
    ROW(call_credit_most),
    ROW(call_cancel_unknown),
    ROW(credit_nothing),
    ROW(never_answers),
    ROW(stops_in_response),
    ROW(stops_reading),
    ROW(stops_reading_bodies),
    ROW(body_beyond_window),
    ROW(answers_much),
    ROW(unloaded_not_loaded),
    ROW(log_flood),
    ROW(log_giant),
    ROW(body_inside),
    ROW(tail_of_done),
    ROW(garbage),
    ROW(no_message),
    ROW(pong_flood),
    ROW(board_garbage),
    ROW(board_lies),
    ROW(board_others),
    ROW(waits),
    ROW(lurks),
    ROW(frames_and_crashes),
    ROW(frames_and_lies),
    ROW(frames_and_charges),
    ROW(burns_after),
    ROW(hoards),
    ROW(burns_in_slices),
    ROW(hoards_later),
    ROW(cheap),
    ROW(holds_up),
    ROW(holds_up_and_denies),
};

/* ---- misdeeds with other frames */

static struct app *find_app(uint32_t id)
{
    for (size_t i = 0; i < APPS_MAX; i++)
        if (apps[i].id == id)
            return &apps[i];
    _exit(3);
}

static bool is_like(const struct app *app, const char *behaviour)
{
    return strcmp(app->behaviour, behaviour) == 0;
}

static void on_load_file(const Skep__Worker__LoadFile *file)
{
    struct app *app = find_app(0);

    app->id = file->placement;
    size_t size = file->data.len < NAME_MAX_BYTES - 1 ? file->data.len : NAME_MAX_BYTES - 1;
    (void) memcpy(app->behaviour, file->data.data, size);
    app->behaviour[size] = '\0';
    app->behaviour[strcspn(app->behaviour, "\n")] = '\0';
}

static void on_load_end(uint32_t tenant)
{
    const struct app *app = find_app(tenant);

    atomic_store(&board->threads[0].running_placement, tenant);
    if (is_like(app, "load_exit"))
        _exit(0);
    if (is_like(app, "load_exit_unnamed")) {
        atomic_store(&board->threads[0].running_placement, 0);
        _exit(0);
    }
    if (is_like(app, "load_never"))
        return;
    if (is_like(app, "load_silent"))
        stay_silent();
    if (is_like(app, "load_bad_result"))
        send_loaded(tenant, 77);
    else if (is_like(app, "load_fails"))
        send_loaded(tenant, SKEP__WORKER__LOAD_RESULT__LOAD_BOOT_FAILED);
    else
        send_loaded(tenant, SKEP__WORKER__LOAD_RESULT__LOAD_OK);
    if (is_like(app, "load_twice"))
        send_loaded(tenant, SKEP__WORKER__LOAD_RESULT__LOAD_OK);
    atomic_store(&board->threads[0].running_placement, 0);
}

static void on_unload(uint32_t tenant)
{
    struct app *app = find_app(tenant);

    if (is_like(app, "unload_never"))
        return;
    app->id = 0;
    send_unloaded(tenant);
}

static void on_request(const Skep__Worker__Request *request)
{
    const char *behaviour = find_app(request->placement)->behaviour;

    if (denies_twice) {
        send_done(request->id, SKEP__WORKER__OUTCOME__OUTCOME_NOT_LOADED);
        send_done(request->id, SKEP__WORKER__OUTCOME__OUTCOME_NOT_LOADED);
        return;
    }
    atomic_store(&board->entered[request->row], request->id);
    atomic_store(&board->threads[0].running_request, request->id);
    for (size_t i = 0; i < ARRAY_LEN(misdeeds); i++)
        if (strcmp(misdeeds[i].name, behaviour) == 0) {
            misdeeds[i].run(request->id, request->placement);
            break;
        } else if (i + 1 == ARRAY_LEN(misdeeds)) {
            answer(request->id); /* the misdeed is one at a load, and done */
        }
    if (strcmp(behaviour, "unloaded_not_loaded") == 0 || strcmp(behaviour, "unloaded_answers") == 0)
        find_app(request->placement)->id = 0;
}

static void on_cancel(uint64_t id)
{
    /* A request that runs is never answered: the misdeed never_answers. */
    if (atomic_load(&board->threads[0].running_request) != id)
        send_done(id, SKEP__WORKER__OUTCOME__OUTCOME_CANCELLED);
}

static void handle(const Skep__Worker__ToWorker *frame)
{
    switch (frame->message_case) {
    case SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_FILE:
        on_load_file(frame->load_file);
        break;
    case SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_END:
        on_load_end(frame->load_end->placement);
        break;
    case SKEP__WORKER__TO_WORKER__MESSAGE_UNLOAD:
        on_unload(frame->unload->placement);
        break;
    case SKEP__WORKER__TO_WORKER__MESSAGE_REQUEST:
        on_request(frame->request);
        break;
    case SKEP__WORKER__TO_WORKER__MESSAGE_CANCEL:
        on_cancel(frame->cancel->id);
        break;
    case SKEP__WORKER__TO_WORKER__MESSAGE_BODY:
        is_deaf = stops_at_body;
        break;
    case SKEP__WORKER__TO_WORKER__MESSAGE_PING:
        send_pong(frame->ping->token);
        break;
    default:
        break;
    }
}

static void serve(void)
{
    static uint8_t frame[FRAME_HEADER_BYTES + FRAME_MAX_BYTES];
    struct arena arena;

    if (arena_init(&arena, 4U << 20) < 0)
        _exit(4);
    while (!is_deaf) {
        read_all(frame, FRAME_HEADER_BYTES);
        uint32_t length = (uint32_t) frame[0] | (uint32_t) frame[1] << 8 |
                          (uint32_t) frame[2] << 16 | (uint32_t) frame[3] << 24;
        length &= ~FRAME_TAIL_BIT;
        if (length > FRAME_MAX_BYTES)
            _exit(4);
        read_all(frame + FRAME_HEADER_BYTES, length);
        const ProtobufCMessage *message =
            frame_unpack_tail(&skep__worker__to_worker__descriptor, &worker_tails, frame,
                              FRAME_HEADER_BYTES + length, &arena);
        if (!message)
            _exit(5);
        handle((const Skep__Worker__ToWorker *) message);
    }
    stay_silent();
}

/* ---- before any tenant */

static void boot(const char *behaviour)
{
    if (strcmp(behaviour, "no_hello") == 0)
        stay_silent();
    if (strcmp(behaviour, "exit_first") == 0)
        _exit(0);
    if (strcmp(behaviour, "frames_first") == 0)
        send_loaded(1, 0);
    if (strcmp(behaviour, "garbage_first") == 0)
        garbage(0, 0);
    send_hello(strcmp(behaviour, "newer_protocol") == 0   ? PROTOCOL_VERSION + 1
               : strcmp(behaviour, "older_protocol") == 0 ? PROTOCOL_VERSION - 1
                                                          : PROTOCOL_VERSION);
    if (strcmp(behaviour, "two_hellos") == 0)
        send_hello(PROTOCOL_VERSION);
    if (strcmp(behaviour, "exit_after_hello") == 0)
        _exit(0);
    if (strcmp(behaviour, "close_after_hello") == 0) {
        (void) close(CHANNEL_FD);
        stay_silent();
    }
}

int main(int argc, char **argv)
{
    char self[4096] = "";
    bool has_jit = argc > 1 && strcmp(argv[1], "--jit=on") == 0;
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    const char *name = n > 0 ? strrchr(self, '/') : NULL;
    const char *dot = name ? strchr(name, '.') : NULL;

    if (argc > 3) /* --report: there is no jail to report */
        _exit(0);
    board = mmap(NULL, SCOREBOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, BOARD_FD, 0);
    if (board == MAP_FAILED)
        _exit(6);
    boot(has_jit && dot ? dot + 1 : "");
    serve();
}
