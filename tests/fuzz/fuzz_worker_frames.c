/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds bytes to the supervisor as those of a compromised worker: real channel, real rules, a real
 * ledger with requests of real clients. The worker is in a state that an honest one has brought it to.
 * With any bytes, the worker is killed at most once and ignored afterwards, no record of it is left
 * when it is gone, each client gets one well-formed answer at most, and a request in another
 * worker is answered as if nothing had been.
 *
 * Input: the scene (see scenes), how it is sent (HOW_*), claims on the scoreboard (CLAIM_*), frames.
 */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "proto/frame.h"
#include "proto/worker_tails.h"
#include "supervisor/placement/placement.h"
#include "supervisor/workers/link.h"
#include "supervisor/workers/slots.h"
#include "tests/fuzz/pool.h"
#include "tests/fuzz/rig.h"
#include "worker.pb-c.h"

#define OPTIONS_BYTES 3
#define INPUT_MAX_BYTES 65536
#define PIECES_MAX 64
#define QUIET_TURNS 2
#define CLIENTS 4
#define SPARES 2
/* Bytes that skepd may keep for the worker: 4 MiB make the channel congested, and one load may come
 * on top. */
#define OUTPUT_MAX_BYTES ((4U << 20) + (1U << 20))

enum {
    HOW_PIECES = 7, /* size of the pieces */
    HOW_DEAF = 8,   /* the worker reads nothing */
    HOW_CLOSES = 16,
    HOW_SPARES = 32,
    HOW_CRASHES = 64, /* the worker crashes, if it is not killed */
    HOW_LATE = 128,   /* time passes until all that skepd waits for is overdue */
};
enum {
    CLAIM_WORDS = 7,
    CLAIM_REQUEST = 8,
    CLAIM_ENTERED = 16,
    CLAIM_GARBAGE = 32,
    CLAIM_USE = 64, /* use of CPU time and memory, more than can be */
};

/* Numbers of placements on the wire, in the order of their loads, and requests; a seed may name them. */
enum { HONEST = 1, ALPHA = 2, BETA = 3, HONEST_REQUEST = 1024, FIRST_REQUEST = 2048 };

const size_t fuzz_options_bytes = OPTIONS_BYTES;
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char config[] =
    "listen: [\"127.0.0.1:0\"]\n"
    "limits: { observe: [timers] }\n"
    "cordons:\n"
    "  - { name: hostile, workers: 1, rss_mib: unlimited, spare: off, strikes: 1, solitary: 2 }\n"
    "  - { name: honest, workers: 1, rss_mib: unlimited, spare: off }\n";

static const char alpha[] = "name: alpha\nmain: a.js\ncordon: hostile\n"
                            "bindings: [{ name: B, service: beta }, { name: N, service: nobody }]\n"
                            "limits: { concurrency: 2, cpu_rate: 200, response_mib: 1 }\n";
static const char beta[] = "name: beta\nmain: a.js\ncordon: hostile\ncallers: [alpha]\n";
static const char honest[] = "name: honest\nmain: a.js\ncordon: honest\n";

struct scene {
    struct rig *rig;
    struct rig_worker hostile, honest, spares[SPARES];
    struct rig_client clients[CLIENTS], witness;
    unsigned n_clients, n_spares;
    bool is_deaf;
    bool is_over; /* the worker was killed */
    uint64_t frames;
};

static void install(struct scene *scene, const char *manifest, const char *dir)
{
    rig_install_manifest(scene->rig, pool_take_manifest(manifest), dir);
}

/* Reads all that has come for workers and clients. One look at all sockets costs less than a try at each. */
static void take_output(struct scene *scene)
{
    struct pollfd sockets[CLIENTS + 3];
    unsigned n = scene->n_clients;

    for (unsigned i = 0; i < n; i++)
        sockets[i] = (struct pollfd){ .fd = scene->clients[i].fd, .events = POLLIN };
    sockets[n] = (struct pollfd){ .fd = scene->witness.fd, .events = POLLIN };
    sockets[n + 1] = (struct pollfd){ .fd = scene->honest.fd, .events = POLLIN };
    sockets[n + 2] =
        (struct pollfd){ .fd = scene->is_deaf ? -1 : scene->hostile.fd, .events = POLLIN };
    if (poll(sockets, n + 3, 0) <= 0)
        return;
    for (unsigned i = 0; i < n; i++)
        if (sockets[i].revents)
            rig_client_read(&scene->clients[i]);
    if (sockets[n].revents)
        rig_client_read(&scene->witness);
    for (unsigned i = n + 1; i < n + 3; i++)
        if (sockets[i].revents)
            rig_drop_input(sockets[i].fd);
}

static void settle(struct scene *scene)
{
    for (unsigned i = 0; i < QUIET_TURNS; i++)
        rig_turn(scene->rig);
}

/* ---- frames of an honest worker */

static void say(const struct rig_worker *worker, Skep__Worker__FromWorker__MessageCase which,
                void *message)
{
    Skep__Worker__FromWorker envelope = SKEP__WORKER__FROM_WORKER__INIT;
    struct frame_cut cut;
    uint8_t frame[256];

    envelope.message_case = which;
    envelope.hello = message; /* any member of the union: all are pointers */
    frame_cut(&cut, &envelope.base, &worker_tails);
    size_t size = cut.head_bytes + cut.tail.len;
    CHECK(cut.head_bytes > 0 && size <= sizeof frame);
    frame_pack_cut(&cut, frame);
    CHECK(write(worker->fd, frame, size) == (ssize_t) size);
}

static void say_loaded(struct scene *scene, const struct rig_worker *worker, uint32_t version)
{
    Skep__Worker__Loaded loaded = SKEP__WORKER__LOADED__INIT;

    loaded.placement = version;
    say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_LOADED, &loaded);
    settle(scene);
}

static void say_head(struct scene *scene, const struct rig_worker *worker, uint64_t id, bool end)
{
    Skep__Worker__ResponseHead head = SKEP__WORKER__RESPONSE_HEAD__INIT;

    head.id = id;
    head.status = 200;
    head.head = (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) "\0\0\0", .len = 4 };
    head.body = (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) "honest", .len = 6 };
    head.end = end;
    say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_RESPONSE_HEAD, &head);
    settle(scene);
}

static void say_done(struct scene *scene, const struct rig_worker *worker, uint64_t id)
{
    Skep__Worker__Done done = SKEP__WORKER__DONE__INIT;

    done.id = id;
    say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_DONE, &done);
    settle(scene);
}

static void ask(struct scene *scene, const char *request)
{
    struct rig_client *client = &scene->clients[scene->n_clients++];

    rig_client_start(scene->rig, client);
    rig_client_ask(client, request, strlen(request), true);
    settle(scene);
}

/* ---- scenes */

static void stage_booting(struct scene *scene)
{
    rig_worker_spawned(scene->rig, &scene->hostile);
}

static void stage_idle(struct scene *scene)
{
    rig_worker_become_ready(scene->rig, &scene->hostile);
}

static void stage_loading(struct scene *scene)
{
    stage_idle(scene);
    ask(scene, "GET / HTTP/1.1\r\nHost: alpha.localhost\r\n\r\n");
}

/* Reports that the worker's requests have begun: another request, of which nothing is known yet, is sent only
 * then. */
static void begin_all(struct scene *scene)
{
    Skep__Worker__CaughtUp caught_up = SKEP__WORKER__CAUGHT_UP__INIT;
    struct worker *worker = scene->hostile.worker;

    for (unsigned slot = 0; slot < SCOREBOARD_REQUESTS; slot++)
        if (worker->attempts[slot])
            atomic_store(&worker->board->entered[slot], worker->attempts[slot]->id);
    say(&scene->hostile, SKEP__WORKER__FROM_WORKER__MESSAGE_CAUGHT_UP, &caught_up);
    settle(scene);
}

static void stage_serving(struct scene *scene)
{
    stage_loading(scene);
    say_loaded(scene, &scene->hostile, ALPHA);
    begin_all(scene);
    ask(scene, "POST / HTTP/1.1\r\nHost: alpha.localhost\r\nContent-Length: 1\r\n\r\nx");
    begin_all(scene);
    ask(scene, "GET / HTTP/1.1\r\nHost: beta.localhost\r\n\r\n");
    say_loaded(scene, &scene->hostile, BETA);
    ask(scene, "GET /waits HTTP/1.1\r\nHost: alpha.localhost\r\n\r\n");
    CHECK(scene->hostile.worker->in_flight == 3 && scene->rig->heart.ledger->queued == 1);
    CHECK(link_send_ping(scene->hostile.worker) == 0);
}

static void stage_uploading(struct scene *scene)
{
    static const char part[40000];

    stage_idle(scene);
    ask(scene, "POST / HTTP/1.1\r\nHost: alpha.localhost\r\nContent-Length: 400000\r\n\r\n");
    say_loaded(scene, &scene->hostile, ALPHA);
    rig_client_ask(&scene->clients[0], part, sizeof part, false);
    settle(scene);
}

static void stage_responding(struct scene *scene)
{
    stage_serving(scene);
    say_head(scene, &scene->hostile, FIRST_REQUEST, false);
}

/* The worker has sent almost all that it may. */
static void stage_choked(struct scene *scene)
{
    stage_responding(scene);
    struct request *request = request_find(scene->hostile.worker, FIRST_REQUEST);
    CHECK(request);
    request->response_owed += request->response_window - 8;
    request->response_window = 8;
}

/* The answer is out; waitUntil goes on. */
static void stage_answered(struct scene *scene)
{
    stage_serving(scene);
    say_head(scene, &scene->hostile, FIRST_REQUEST, true);
}

static void stage_cancelled(struct scene *scene)
{
    stage_serving(scene);
    rig_client_done(&scene->clients[0]);
    settle(scene);
}

static void stage_unloading(struct scene *scene)
{
    stage_loading(scene);
    say_loaded(scene, &scene->hostile, ALPHA);
    say_head(scene, &scene->hostile, FIRST_REQUEST, true);
    say_done(scene, &scene->hostile, FIRST_REQUEST);
    struct placement *placement = LIST_FIRST(&scene->hostile.worker->placements);
    placement_retire(placement);
    CHECK(placement->state == PLACEMENT_UNLOADING);
}

/* The worker has reported that the isolate is gone; requests are on their way back. */
static void stage_gone(struct scene *scene)
{
    Skep__Worker__Unloaded unloaded = SKEP__WORKER__UNLOADED__INIT;

    stage_serving(scene);
    unloaded.placement = ALPHA;
    say(&scene->hostile, SKEP__WORKER__FROM_WORKER__MESSAGE_UNLOADED, &unloaded);
    settle(scene);
}

/* The next version of alpha, number 4, loads. */
static void stage_updating(struct scene *scene)
{
    stage_serving(scene);
    install(scene, alpha, "/nowhere/alpha");
}

static void stage_draining(struct scene *scene)
{
    stage_serving(scene);
    slot_close(scene->hostile.worker->slot);
}

#define LAST_BOOTING 1
static const struct {
    const char *name;
    void (*set)(struct scene *scene);
} scenes[] = {
    { "booting, and the spawner has not answered", NULL },
    { "booting", stage_booting },
    { "idle", stage_idle },
    { "loading", stage_loading },
    { "serving", stage_serving },
    { "uploading", stage_uploading },
    { "responding", stage_responding },
    { "answered", stage_answered },
    { "cancelled", stage_cancelled },
    { "unloading", stage_unloading },
    { "gone", stage_gone },
    { "updating", stage_updating },
    { "draining", stage_draining },
    { "choked", stage_choked },
};

/* A worker beside the hostile one, with a request in it. */
static void set_up_honest(struct scene *scene)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: honest.localhost\r\n\r\n";

    rig_worker_start(scene->rig, "honest", SLOT_SHARED, &scene->honest);
    rig_worker_become_ready(scene->rig, &scene->honest);
    rig_client_start(scene->rig, &scene->witness);
    rig_client_ask(&scene->witness, request, sizeof request - 1, true);
    settle(scene);
    say_loaded(scene, &scene->honest, HONEST);
    CHECK(request_find(scene->honest.worker, HONEST_REQUEST));
}

/* One spare takes over the worker's slot, the other becomes a suspect's own worker. */
static void set_up_spares(struct scene *scene)
{
    for (unsigned i = 0; i < SPARES; i++) {
        rig_worker_start(scene->rig, "hostile", SLOT_SPARE, &scene->spares[i]);
        rig_worker_become_ready(scene->rig, &scene->spares[i]);
        scene->n_spares++;
    }
}

static void set_up(struct scene *scene, unsigned which, unsigned how)
{
    *scene = (struct scene){ .hostile.fd = -1, .honest.fd = -1, .witness.fd = -1 };
    scene->rig = rig_start(config);
    install(scene, alpha, "/nowhere/alpha");
    install(scene, beta, "/nowhere/beta");
    install(scene, honest, "/nowhere/honest");
    set_up_honest(scene);
    rig_worker_start(scene->rig, "hostile", SLOT_SHARED, &scene->hostile);
    if (scenes[which].set)
        scenes[which].set(scene);
    if (how & HOW_SPARES)
        set_up_spares(scene);
    scene->is_deaf = (how & HOW_DEAF) != 0;
}

static void tear_down(struct scene *scene)
{
    for (unsigned i = 0; i < scene->n_spares; i++)
        rig_worker_done(&scene->spares[i]);
    rig_worker_done(&scene->honest);
    rig_stop(scene->rig);
}

/* ---- invariants */

/* Checks that skepd keeps no more bytes than these for the worker, with any windows and any frames. */
static void check_bounds(const struct scene *scene)
{
    const struct worker *worker = scene->hostile.worker;
    const struct request *request;

    if (worker->channel)
        CHECK(channel_queued_bytes(worker->channel) <= OUTPUT_MAX_BYTES);
    CHECK(worker->n_placements <= 3 && worker->caught_up <= worker->served);
    TAILQ_FOREACH (request, &scene->rig->heart.ledger->active, entry) {
        CHECK(request->body_window <= BODY_WINDOW_BYTES);
        CHECK(request->response_window <= BODY_WINDOW_BYTES);
        CHECK(request->response_window + request->response_owed == BODY_WINDOW_BYTES);
        CHECK(!request->body || evbuffer_get_length(request->body) <= 2 * BODY_WINDOW_BYTES);
    }
}

/* Checks that the frames of a killed worker are ignored. */
static void check_silence(struct scene *scene)
{
    const struct worker *worker = scene->hostile.worker;
    uint64_t frames = channel_received_frames(worker->channel);

    CHECK(!scene->is_over || (worker->state == WORKER_KILLED && frames == scene->frames));
    scene->is_over = worker->state == WORKER_KILLED;
    scene->frames = frames;
}

static void check_honest(struct scene *scene)
{
    const struct worker *worker = scene->honest.worker;

    CHECK(worker->state == WORKER_READY && worker->in_flight == 1 && scene->witness.begun == 0);
    say_head(scene, &scene->honest, HONEST_REQUEST, true);
    say_done(scene, &scene->honest, HONEST_REQUEST);
    take_output(scene);
    CHECK(scene->witness.ended == 1 && scene->witness.status == 200);
    CHECK(scene->witness.body_size == 6 && worker->in_flight == 0);
    CHECK(worker->state == WORKER_READY);
}

/* Ends the worker, and checks that no record of it is left and that its death was counted once. */
static void end_hostile(struct scene *scene, int wait_status)
{
    struct heart *heart = &scene->rig->heart;
    enum kill_reason reason = scene->hostile.worker->kill_reason;
    bool is_death = scene->hostile.worker->pid > 0 && reason != KILL_STOP;
    unsigned number = scene->hostile.worker->number;
    const struct worker *worker;

    rig_worker_exit(scene->rig, &scene->hostile, wait_status);
    TAILQ_FOREACH (worker, &heart->slots->workers, entry)
        CHECK(worker->number != number || worker->state != WORKER_KILLED);
    CHECK(heart->record.counters.worker_restarts == is_death);
    CHECK(heart->record.incident_counts.by[STAGE_KILLED][CAUSE_PROTOCOL] ==
          (is_death && reason == KILL_PROTOCOL));
    rig_worker_done(&scene->hostile);
    settle(scene); /* a slot that is not wanted any more goes */
    take_output(scene);
}

static void end_clients(struct scene *scene)
{
    const struct heart *heart = &scene->rig->heart;

    for (unsigned i = 0; i < scene->n_clients; i++)
        rig_client_done(&scene->clients[i]);
    rig_client_done(&scene->witness);
    settle(scene);
    CHECK(heart->ledger->queued == 0 && heart->ledger->in_workers == 0);
    CHECK(TAILQ_EMPTY(&heart->ledger->active) && TAILQ_EMPTY(&heart->ledger->waiting));
    CHECK(http_front_connections(heart->front) == 0);
}

/* ---- the input */

/* Returns whether a frame is bad, or one that no worker may send in that scene. */
static bool has_breach(const uint8_t *data, size_t size, bool is_booting)
{
    static struct arena arena;
    int64_t frame;

    CHECK(arena.memory || arena_init(&arena, 4U << 20) == 0);
    for (; (frame = frame_measure(data, size)) > 0; data += frame, size -= (size_t) frame) {
        const Skep__Worker__FromWorker *message =
            (const Skep__Worker__FromWorker *) frame_unpack_tail(
                &skep__worker__from_worker__descriptor, &worker_tails, data, (size_t) frame,
                &arena);
        bool is_hello =
            message && message->message_case == SKEP__WORKER__FROM_WORKER__MESSAGE_HELLO;
        if (!message || message->message_case == 0 || is_hello != is_booting)
            return true;
        is_booting = false;
    }
    return frame < 0;
}

static void make_claims(struct scene *scene, unsigned claims)
{
    struct scoreboard *board = scene->hostile.worker->board;
    const struct placement *placement;

    if (claims & CLAIM_GARBAGE)
        memset(board, (int) claims, SCOREBOARD_BYTES);
    if (claims & CLAIM_USE)
        LIST_FOREACH (placement, &scene->hostile.worker->placements, in_worker) {
            struct scoreboard_placement *claim = &board->placements[placement->row];
            atomic_store(&claim->placement, placement->version->id);
            atomic_store(&claim->cpu_ns, UINT64_MAX);
            atomic_store(&claim->heap_kib, UINT32_MAX);
            atomic_store(&claim->external_kib, UINT32_MAX);
        }
    atomic_store(&board->threads[0].last_words, claims & CLAIM_WORDS);
    if (claims & CLAIM_REQUEST) {
        atomic_store(&board->threads[0].running_request, FIRST_REQUEST);
        atomic_store(&board->threads[0].running_placement, ALPHA);
    }
    if (claims & CLAIM_ENTERED)
        for (unsigned slot = 0; slot < 3; slot++)
            atomic_store(&board->entered[slot], FIRST_REQUEST + 1025 * slot);
}

static void feed(struct scene *scene, const uint8_t *data, size_t size, unsigned how)
{
    static const size_t pieces[] = { INPUT_MAX_BYTES, 1, 3, 4, 7, 16, 64, 1000 };
    size_t piece = pieces[how & HOW_PIECES];

    if (piece < size / PIECES_MAX)
        piece = size / PIECES_MAX;
    while (size > 0) {
        ssize_t n = send(scene->hostile.fd, data, size < piece ? size : piece, MSG_NOSIGNAL);
        if (n < 0)
            break; /* the worker is dead, and skepd reads nothing more */
        data += n;
        size -= (size_t) n;
        rig_turn(scene->rig);
        take_output(scene);
        check_silence(scene);
        check_bounds(scene);
    }
    if (how & HOW_CLOSES)
        (void) shutdown(scene->hostile.fd, SHUT_RDWR);
    settle(scene);
    check_silence(scene);
    rig_tick(scene->rig);
    settle(scene);
    take_output(scene);
    settle(scene);
    if ((how & HOW_LATE) && event_pending(scene->hostile.worker->timer, EV_TIMEOUT, NULL))
        event_active(scene->hostile.worker->timer, EV_TIMEOUT, 0);
    settle(scene);
    check_silence(scene);
    check_bounds(scene);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scene scene;

    if (size < OPTIONS_BYTES || size > INPUT_MAX_BYTES || data[0] >= ARRAY_LEN(scenes))
        return 0;
    set_up(&scene, data[0], data[1]);
    make_claims(&scene, data[2]);
    feed(&scene, data + OPTIONS_BYTES, size - OPTIONS_BYTES, data[1]);
    if (has_breach(data + OPTIONS_BYTES, size - OPTIONS_BYTES, data[0] <= LAST_BOOTING))
        CHECK(scene.hostile.worker->state == WORKER_KILLED);
    end_hostile(&scene, data[1] & HOW_CRASHES ? SIGSEGV : SIGKILL);
    check_honest(&scene);
    end_clients(&scene);
    tear_down(&scene);
    return 0;
}
