/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/events/steps.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "proto/frame.h"
#include "supervisor/placement/seclude.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/workers/worker.h"
#include "tests/events/asks.h"
#include "tests/events/clock.h"
#include "tests/events/deploys.h"
#include "tests/events/egress.h"
#include "tests/events/inside.h"
#include "tests/events/world.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- the actor of a step */

static struct client *client_of(const struct step *step)
{
    return &world.clients[step->a % CLIENTS];
}

/* Returns one of the workers that are there, so that most steps find one. */
static struct played_worker *worker_of(const struct step *step)
{
    static struct played_worker nobody = { .fd = -1, .stat_fd = -1 };
    struct played_worker *found[WORKERS];
    unsigned n = 0;

    for (unsigned i = 0; i < WORKERS; i++)
        if (world_worker(i)->is_there)
            found[n++] = world_worker(i);
    return n > 0 ? found[step->a % n] : &nobody;
}

static uint32_t size_of(uint32_t n)
{
    static const uint32_t sizes[] = { 0, 1, 100, 5000, 16384, 65536, 65536 };

    return sizes[n % COUNT(sizes)];
}

/* ---- clients */

static void play_ask(const struct step *step)
{
    static const uint64_t bodies[] = { 0, 0, 10, 3000, 70000, 400000, 3000000 };
    char host[64];
    struct client_ask ask = {
        .host = host,
        .is_post = step->c % 3 == 1,
        .is_chunked = step->c % 7 == 1,
        .body_bytes = bodies[step->c % COUNT(bodies)],
    };

    (void) snprintf(host, sizeof host, "%s.localhost", world_tenant_name(step->b));
    (void) client_ask(client_of(step), &world.address, world.address_size, &ask);
    if (step->c % 2)
        client_feed(client_of(step), 1U << 20);
}

static void play_feed(const struct step *step)
{
    client_feed(client_of(step), size_of(step->b));
}

static void play_leave(const struct step *step)
{
    client_leave(client_of(step));
}

static void play_half_close(const struct step *step)
{
    client_half_close(client_of(step));
}

static void play_break_body(const struct step *step)
{
    client_break_body(client_of(step));
}

static void play_deafen(const struct step *step)
{
    struct client *client = client_of(step);

    client->is_deaf = !client->is_deaf;
    client->is_odd |= client->is_deaf;
}

static void play_sip(const struct step *step)
{
    client_sip(client_of(step), size_of(step->b));
}

/* ---- workers */

static void play_spawned(const struct step *step)
{
    world_spawned(worker_of(step));
}

static void play_not_spawned(const struct step *step)
{
    world_not_spawned(worker_of(step));
}

static void play_hello(const struct step *step)
{
    world_spawned(worker_of(step));
    worker_say_hello(worker_of(step));
}

static void play_loaded(const struct step *step)
{
    struct played_worker *worker = worker_of(step);

    worker_say_loaded(worker, worker_pick_app(worker, step->b, APP_LOADING), 0);
}

static void play_refused(const struct step *step)
{
    struct played_worker *worker = worker_of(step);

    worker_say_loaded(worker, worker_pick_app(worker, step->b, APP_LOADING), 1 + step->c % 3);
}

static void play_unloaded(const struct step *step)
{
    struct played_worker *worker = worker_of(step);

    worker_say_unloaded(worker, worker_pick_app(worker, step->b, APP_UNLOADING));
}

static void play_gone(const struct step *step)
{
    struct played_worker *worker = worker_of(step);

    worker_say_unloaded(worker, worker_pick_app(worker, step->b, APP_READY));
}

static void play_stopped(const struct step *step)
{
    struct played_worker *worker = worker_of(step);

    worker_say_stopped(worker, worker_pick_app(worker, step->b, APP_READY));
}

static void play_begin(const struct step *step)
{
    struct played_worker *worker = worker_of(step);

    worker_begin(worker, worker_pick_job(worker, step->b));
}

static void play_head(const struct step *step)
{
    struct played_worker *worker = worker_of(step);
    struct job *job = worker_pick_job(worker, step->b);

    worker_begin(worker, job);
    worker_say_head(worker, job, 4 * size_of(step->c), step->c % 3 == 0);
}

static void play_body(const struct step *step)
{
    struct played_worker *worker = worker_of(step);

    worker_say_body(worker, worker_pick_job(worker, step->b), 4 * size_of(step->c),
                    step->c % 5 == 0);
}

/* A long answer: all that the window takes. */
static void play_flood(const struct step *step)
{
    struct played_worker *worker = worker_of(step);
    struct job *job = worker_pick_job(worker, step->b);

    worker_begin(worker, job);
    worker_say_head(worker, job, 0, false);
    for (unsigned i = 0; i < BODY_WINDOW_BYTES / BODY_CHUNK_MAX_BYTES; i++)
        worker_say_body(worker, job, BODY_CHUNK_MAX_BYTES, false);
}

static void play_credit(const struct step *step)
{
    struct played_worker *worker = worker_of(step);

    worker_say_credit(worker, worker_pick_job(worker, step->b));
}

static void play_call(const struct step *step)
{
    static const uint32_t bodies[] = { 0, 0, 0, 10, 70000, 300000 };
    struct played_worker *worker = worker_of(step);
    struct job *job = worker_pick_job(worker, step->b);

    worker_begin(worker, job);
    worker_say_call(worker, job, step->c, bodies[step->c / 2 % COUNT(bodies)]);
}

static void play_fetch(const struct step *step)
{
    static const uint32_t bodies[] = { 0, 0, 0, 10, 70000, 300000 };
    struct played_worker *worker = worker_of(step);
    struct job *job = worker_pick_job(worker, step->b);

    worker_begin(worker, job);
    /* Several at once, of which some wait behind others. */
    for (uint32_t i = 0; i <= step->c % 9; i++)
        worker_say_call(worker, job, CALL_FETCH_BINDING, bodies[step->c / 9 % COUNT(bodies)]);
}

static void play_server(const struct step *step)
{
    for (uint32_t i = 0; i <= step->c % 6; i++)
        egress_speak(step->a, step->b + 2 * i, size_of(step->c / 6 + i));
}

static void play_egress_hangs(const struct step *step)
{
    (void) step;
    egress_hang_or_go_on();
}

static void play_egress_dies(const struct step *step)
{
    (void) step;
    egress_die_or_return();
}

static void play_call_body(const struct step *step)
{
    struct played_worker *worker = worker_of(step);

    worker_say_call_body(worker, worker_pick_job(worker, step->b), step->c, size_of(step->c / 3));
}

static void play_call_credit(const struct step *step)
{
    struct played_worker *worker = worker_of(step);

    worker_say_call_credit(worker, worker_pick_job(worker, step->b), step->c);
}

static void play_call_cancel(const struct step *step)
{
    struct played_worker *worker = worker_of(step);

    worker_say_call_cancel(worker, worker_pick_job(worker, step->b), step->c);
}

static void play_done(const struct step *step)
{
    struct played_worker *worker = worker_of(step);

    worker_say_done(worker, worker_pick_job(worker, step->b), step->c % 8, step->c % 20000);
}

/* A whole answer. */
static void play_answer(const struct step *step)
{
    struct played_worker *worker = worker_of(step);
    struct job *job = worker_pick_job(worker, step->b);

    worker_begin(worker, job);
    worker_say_head(worker, job, 4 * size_of(step->c), true);
    worker_say_body(worker, job, 4 * size_of(step->c), true);
    worker_say_done(worker, job, 0, step->c % 20000);
}

static void play_exceeded(const struct step *step)
{
    struct played_worker *worker = worker_of(step);
    struct job *job = step->b % 2 ? worker_pick_job(worker, step->b / 2) : NULL;

    worker_say_exceeded(worker, worker_pick_app(worker, step->b, APP_READY), job, step->c);
}

static void play_log(const struct step *step)
{
    struct played_worker *worker = worker_of(step);

    worker_say_log(worker, worker_pick_app(worker, step->b, APP_READY));
}

static void play_pong(const struct step *step)
{
    worker_say_pong(worker_of(step));
}

static void play_worker_deafens(const struct step *step)
{
    worker_deafen(worker_of(step));
}

static void play_wait(const struct step *step)
{
    worker_wait_or_go_on(worker_of(step));
}

static void play_burn(const struct step *step)
{
    static const uint64_t ms[] = { 1, 10, 60, 300, 2000 };
    struct played_worker *worker = worker_of(step);

    if (worker->pid > 0 && worker->waits_since_ns == 0)
        clock_burn(worker->pid, ms[step->b % COUNT(ms)] * 1000000);
}

static void play_dies(const struct step *step)
{
    static const int statuses[] = { SIGSEGV, SIGKILL, SIGSYS, SIGTRAP, 0x100, SIGABRT, 0 };
    struct played_worker *worker = worker_of(step);

    if (worker->pid > 0 && step->c % 4 == 0)
        atomic_store(&worker->board->threads[step->b / 4 % SCOREBOARD_THREADS].last_words,
                     step->b % 4);
    world_exited(worker, statuses[step->b % COUNT(statuses)]);
}

/* Ends a worker's process, if the supervisor has killed it. */
static void play_is_reaped(const struct step *step)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        struct played_worker *worker = world_worker(step->a + i);
        if (worker->is_there && worker->is_killed) {
            world_exited(worker, SIGKILL);
            return;
        }
    }
}

static void play_breach(const struct step *step)
{
    struct played_worker *worker = worker_of(step);

    if (!worker_break_protocol(worker, step->b))
        return;
    world_settle();
    if (!inside_is_killed(&world.heart, worker->slot, worker->pid))
        events_fail("a worker broke the protocol, and nothing came of it");
}

static void play_hangs_up(const struct step *step)
{
    worker_hang_up(worker_of(step));
}

/* Workers that start, load or are killed come to the end of that. */
static void play_workers_come(const struct step *step)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        struct played_worker *worker = world_worker(i);
        struct app *app;
        if (!worker->is_there || worker->is_deaf || worker->waits_since_ns > 0)
            continue;
        world_spawned(worker);
        worker_say_hello(worker);
        worker_say_pong(worker);
        world_settle();
        while ((app = worker_pick_app(worker, step->b, APP_LOADING)) && worker_may_say(worker))
            worker_say_loaded(worker, app, 0);
    }
}

/* ---- time and the operator */

static void play_pass(const struct step *step)
{
    static const uint64_t ms[] = { 1, 1, 5, 5, 20, 100, 500, 3000, 20000 };

    world_pass(ms[step->a % COUNT(ms)]);
}

static void play_install(const struct step *step)
{
    /* The last tenant comes by deploys only. */
    world_install(step->a % (TENANTS - 1), step->b);
}

static void play_remove(const struct step *step)
{
    world_remove(step->a % (TENANTS - 1));
}

static void play_reload(const struct step *step)
{
    world_reload(step->a);
}

static void play_quarantine(const struct step *step)
{
    struct tenant *tenant = world_tenant(step->a);

    if (tenant && step->b % 2)
        seclude_quarantine(tenant, 1 + step->b % 10);
    else if (tenant)
        seclude_release(tenant);
}

static void play_retire(const struct step *step)
{
    inside_retire(&world.heart, step->a);
}

static void play_kill(const struct step *step)
{
    inside_kill(&world.heart, step->a);
}

static void play_drain(const struct step *step)
{
    if (step->a % 4 == 0)
        world_drain();
}

/* ---- deploys */

static void play_deploy(const struct step *step)
{
    deploys_begin(step->a);
}

static void play_deploy_goes_on(const struct step *step)
{
    (void) step;
    deploys_go_on();
}

static void play_deployer_leaves(const struct step *step)
{
    (void) step;
    deploys_asker_leaves();
}

static void play_rollback(const struct step *step)
{
    (void) step;
    deploys_roll_back();
}

static void play_removal(const struct step *step)
{
    (void) step;
    deploys_remove();
}

static void play_store_answers(const struct step *step)
{
    (void) step;
    (void) deploys_store_answers(false);
}

static void play_store_fails(const struct step *step)
{
    (void) step;
    (void) deploys_store_answers(true);
}

static void play_store_dies(const struct step *step)
{
    (void) step;
    deploys_store_dies();
}

static const struct {
    const char *name;
    void (*play)(const struct step *step);
    unsigned weight;
    bool is_rare; /* left out of two thirds of the sequences */
} kinds[] = {
    { "client-asks", play_ask, 30, false },
    { "client-feeds", play_feed, 12, false },
    { "client-leaves", play_leave, 4, true },
    { "client-half-closes", play_half_close, 2, true },
    { "client-breaks-its-body", play_break_body, 2, true },
    { "client-deafens-or-hears", play_deafen, 4, true },
    { "client-sips", play_sip, 3, true },
    { "worker-spawned", play_spawned, 3, true },
    { "worker-not-spawned", play_not_spawned, 1, true },
    { "worker-hello", play_hello, 8, false },
    { "worker-loaded", play_loaded, 12, false },
    { "worker-refuses-load", play_refused, 2, true },
    { "worker-unloaded", play_unloaded, 8, false },
    { "worker-unloads-by-itself", play_gone, 2, true },
    { "worker-stopped", play_stopped, 3, true },
    { "worker-begins", play_begin, 12, false },
    { "worker-head", play_head, 10, false },
    { "worker-body", play_body, 12, false },
    { "worker-floods", play_flood, 3, false },
    { "worker-credit", play_credit, 8, false },
    { "worker-calls", play_call, 18, false },
    { "worker-calls-body", play_call_body, 7, false },
    { "worker-calls-credit", play_call_credit, 6, false },
    { "worker-calls-cancel", play_call_cancel, 2, true },
    { "worker-fetches", play_fetch, 40, true },
    { "server-speaks", play_server, 16, false },
    { "egress-hangs-or-goes-on", play_egress_hangs, 2, true },
    { "egress-dies-or-returns", play_egress_dies, 1, true },
    { "worker-done", play_done, 10, false },
    { "worker-answers", play_answer, 12, false },
    { "worker-exceeded", play_exceeded, 3, true },
    { "worker-logs", play_log, 1, true },
    { "worker-pongs", play_pong, 4, false },
    { "worker-deafens-or-hears", play_worker_deafens, 2, true },
    { "worker-burns", play_burn, 4, true },
    { "worker-waits-or-goes-on", play_wait, 3, true },
    { "worker-dies", play_dies, 3, true },
    { "worker-is-reaped", play_is_reaped, 6, false },
    { "worker-breaks-the-protocol", play_breach, 1, true },
    { "worker-hangs-up", play_hangs_up, 1, true },
    { "workers-come", play_workers_come, 6, false },
    { "time-passes", play_pass, 14, false },
    { "tenant-installed", play_install, 3, true },
    { "tenant-removed", play_remove, 2, true },
    { "config-reloaded", play_reload, 1, true },
    { "tenant-quarantined-or-released", play_quarantine, 1, true },
    { "worker-retired", play_retire, 2, true },
    { "worker-killed-by-the-operator", play_kill, 1, true },
    { "skepd-drains", play_drain, 1, true },
    { "deploy-begins", play_deploy, 4, true },
    { "deploy-goes-on", play_deploy_goes_on, 8, false },
    { "deployer-leaves", play_deployer_leaves, 1, true },
    { "rollback-begins", play_rollback, 3, true },
    { "removal-begins", play_removal, 2, true },
    { "store-answers", play_store_answers, 10, false },
    { "store-fails", play_store_fails, 1, true },
    { "store-dies", play_store_dies, 1, true },
};

/* ---- sequences */

/* SplitMix64. */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Each sequence has its own mixture of steps, so that a step that is rare elsewhere comes often in
 * some. */
void steps_make(uint64_t seed, struct step *steps, size_t n)
{
    unsigned weights[COUNT(kinds)], sum = 0;
    uint64_t state = seed;
    /* In half of the sequences most requests are one tenant's, so that its queue is full at times. */
    bool has_favourite = next(&state) % 2;
    uint32_t favourite = (uint32_t) (next(&state) % TENANTS);

    for (unsigned i = 0; i < COUNT(kinds); i++) {
        weights[i] = kinds[i].is_rare && next(&state) % 3 != 0 ? 0 : kinds[i].weight;
        sum += weights[i];
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t choice = next(&state) % sum;
        unsigned kind = 0;
        while (choice >= weights[kind])
            choice -= weights[kind++];
        uint64_t values = next(&state);
        steps[i] = (struct step){
            .kind = kind, .a = values & 0xff, .b = values >> 8 & 0xff, .c = values >> 16 & 0xffff
        };
        if (kinds[kind].play == play_ask && has_favourite && (values >> 32) % 4)
            steps[i].b = favourite;
    }
}

void step_play(const struct step *step)
{
    kinds[step->kind].play(step);
    world_settle();
    inside_check(&world.heart);
    world_check_credit();
}

void step_print(FILE *file, const struct step *step)
{
    (void) fprintf(file, "%s %" PRIu32 " %" PRIu32 " %" PRIu32 "\n", kinds[step->kind].name,
                   step->a, step->b, step->c);
}

static void parse(const char *line, struct step *step)
{
    char name[64];

    if (sscanf(line, "%63s %" SCNu32 " %" SCNu32 " %" SCNu32, name, &step->a, &step->b, &step->c) ==
        4)
        for (step->kind = 0; step->kind < COUNT(kinds); step->kind++)
            if (strcmp(kinds[step->kind].name, name) == 0)
                return;
    events_fail("not a step: %s", line);
}

size_t steps_read(const char *path, struct step *steps, size_t max)
{
    FILE *file = fopen(path, "r");
    char line[256];
    size_t n = 0;

    if (!file)
        events_fail("cannot read %s", path);
    while (n < max && fgets(line, sizeof line, file))
        if (line[0] != '#' && line[0] != '\n')
            parse(line, &steps[n++]);
    (void) fclose(file);
    return n;
}
