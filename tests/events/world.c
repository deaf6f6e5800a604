/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/events/world.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/io.h"
#include "proto/frame.h"
#include "supervisor/deploy/deploy.h"
#include "supervisor/frames.h"
#include "supervisor/helpers/spawner.h"
#include "supervisor/placement/placement.h"
#include "supervisor/reload/reload.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/service/drain.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/versions/versions.h"
#include "supervisor/workers/slots.h"
#include "supervisor/workers/worker.h"
#include "tests/events/asks.h"
#include "tests/events/clock.h"
#include "tests/events/deploys.h"
#include "tests/events/egress.h"
#include "tests/events/inside.h"
#include "tests/played/store.h"

#define TURNS_MAX 1000
#define ROUNDS_MAX 3000
#define END_BYTES (BODY_WINDOW_BYTES + 100000) /* size of some answers: more than a window */
#define QUIET_TURNS 2
#define NARROW_ONE_IN 4 /* clients */
#define STEPS_MAX 10    /* steps into which a long time is cut */

struct world world;

/* ---- config and tenants */

static const char *const tenant_names[TENANTS] = {
    "alpha", "beta", "gamma", "delta", "solo", "late"
};

const char *world_tenant_name(unsigned tenant)
{
    return tenant_names[tenant % TENANTS];
}

struct tenant *world_tenant(unsigned tenant)
{
    const char *name = world_tenant_name(tenant);

    return tenant_find(world.heart.tenants, name, strlen(name));
}

static void write_config(unsigned variant)
{
    static const char *const variants[] = {
        "limits: { observe: [timers] }\n"
        "cordons:\n"
        "  - { name: many, workers: 2, rss_mib: 256, spare: on, strikes: 3, calls_across: on }\n"
        "  - { name: one, workers: 1, rss_mib: unlimited, spare: off, strikes: 2, calls_across: on "
        "}\n",
        "limits: { maximum: { concurrency: 2, queue: 2 } }\n"
        "cordons:\n"
        "  - { name: many, workers: 3, rss_mib: 256, spare: on, strikes: 3, calls_across: on }\n"
        "  - { name: one, workers: 1, rss_mib: unlimited, spare: on, strikes: 2, calls_across: on "
        "}\n",
        "limits: { observe: [timers, queue] }\n"
        "cordons:\n"
        "  - { name: many, workers: 1, rss_mib: 128, spare: off, strikes: 3, jit: on, "
        "calls_across: on }\n"
        "  - { name: one, workers: 2, rss_mib: unlimited, spare: off, strikes: 2, calls_across: on "
        "}\n",
    };
    char path[256];

    (void) snprintf(path, sizeof path, "%s/skepd.yaml", world.folder);
    FILE *file = fopen(path, "w");
    HOLD(file);
    (void) fprintf(file,
                   "listen: [\"127.0.0.1:0\"]\n"
                   "state: %s/state\n"
                   "http: { connections: 64, connections_per_ip: 64 }\n"
                   "egress: { addresses: [10.0.0.0/8], deny: [%s] }\n%s",
                   world.folder, variant % 3 == 1 ? "call" : "denied", variants[variant % (sizeof variants / sizeof *variants)]);
    HOLD(fclose(file) == 0);
}

void world_install(unsigned tenant, unsigned variant)
{
    static const char *const limits[] = {
        "concurrency: 2, queue: 3, response_mib: 1, request_mib: 1",
        "concurrency: 4, queue: 2, cpu_rate: 200",
        "concurrency: 1, queue: 4, request_mib: 1",
        "concurrency: 8, queue: 8, idle_ms: 5000",
    };
    struct config_errors errors = { 0 };
    struct failure failure = { 0 };
    struct manifest *manifest = NULL;
    char text[1024];

    int size = snprintf(
        text, sizeof text, "name: %s\nmain: a.js\ncordon: %s\nallowed_hosts: [\"http://*\"]\n%slimits: { %s, cpu_ms: %u }\n",
        world_tenant_name(tenant), tenant % TENANTS == 4 ? "one" : "many",
        tenant % TENANTS == 1 ? "after_stop: reuse\n" : "", limits[tenant % 4], 50 + variant % 4);
    for (unsigned i = 1; i <= 2; i++)
        size +=
            snprintf(text + size, sizeof text - (size_t) size, "%s  - { name: B%u, service: %s }\n",
                     i == 1 ? "bindings:\n" : "", i, world_tenant_name(tenant + i));
    for (unsigned i = 1; i < TENANTS; i++)
        size += snprintf(text + size, sizeof text - (size_t) size, "%s  - %s\n",
                         i == 1 ? "callers:\n" : "", world_tenant_name(tenant + i));
    HOLD(manifest_parse("/srv/skep.yaml", text, strlen(text), &manifest, &errors) == 0);
    if (versions_install(world.heart.versions, manifest, "/nowhere", &failure) < 0)
        (void) manifest_free(manifest);
    failure_done(&failure);
}

void world_remove(unsigned tenant)
{
    struct tenant *found = world_tenant(tenant);

    if (found)
        versions_remove(found);
}

void world_reload(unsigned variant)
{
    if (world.drain)
        return;
    write_config(variant);
    inside_limits_changed = true;
    struct failure failure = { 0 };
    HOLD(reload_config(world.heart.reload, "a test", NULL, NULL, &failure) == 0);
}

void world_drain(void)
{
    if (world.drain)
        return;
    const struct drain_options options = {
        .base = world.heart.base,
        .config = world.heart.config,
        .life = &world.heart.life,
        .front = world.heart.front,
        .ledger = world.heart.ledger,
        .deploys = world.heart.deploys,
    };
    HOLD(drain_new(&options, &world.drain) == 0);
    drain_start(world.drain, DRAIN_STOP);
}

/* ---- the spawner */

/* The linker has the supervisor call this in place of spawner_spawn. */
int __wrap_spawner_spawn(struct spawner *spawner, const struct spawner_job *job);
int __wrap_spawner_spawn(struct spawner *spawner, const struct spawner_job *job)
{
    (void) spawner;
    for (unsigned i = 0; i < WORKERS; i++) {
        if (world.workers[i].is_there)
            continue;
        worker_init(&world.workers[i], job->slot, job->channel_fd, job->scoreboard_fd);
        return 0;
    }
    return -EAGAIN;
}

static int make_file(const char *text)
{
    int fd = memfd_create("events", MFD_CLOEXEC);

    HOLD(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t) strlen(text));
    return fd;
}

void world_spawned(struct played_worker *worker)
{
    struct spawner_worker answer = { .pid = world.next_pid };

    if (!worker->is_there || worker->pid > 0)
        return;
    answer.pidfd = eventfd(0, EFD_CLOEXEC); /* a descriptor by which no signal can be sent */
    answer.stat_fd = make_file("1 (w) S 1 1 1 0 -1 0");
    answer.statm_fd = make_file("20000 10000 0 0 0 0 0");
    worker->stat_fd = fcntl(answer.stat_fd, F_DUPFD_CLOEXEC, 0);
    HOLD(answer.pidfd >= 0 && worker->stat_fd >= 0);
    worker->pid = world.next_pid++;
    slots_spawner_ops.on_result(world.heart.slots, worker->slot, 0, "", &answer);
}

void world_not_spawned(struct played_worker *worker)
{
    unsigned slot = worker->slot;

    if (!worker->is_there || worker->pid > 0)
        return;
    worker_done(worker);
    slots_spawner_ops.on_result(world.heart.slots, slot, -EAGAIN, "fork", NULL);
}

struct played_worker *world_worker(unsigned n)
{
    return &world.workers[n % WORKERS];
}

bool world_has_attested(const struct played_worker *worker)
{
    return inside_is_ready(&world.heart, worker->slot, worker->pid);
}

/* ---- deaths and blame */

/* Returns the tenants that may be blamed for the worker's end: all, if it has not read its frames and so does not know
 * what is in it. */
static unsigned candidates(const struct played_worker *worker)
{
    const struct heart *heart = &world.heart;
    bool is_memory = inside_is_memory_death(heart, worker->slot, worker->pid);
    unsigned set = 0;

    if (worker->is_deaf || worker->waits_since_ns > 0 ||
        inside_has_output(heart, worker->slot, worker->pid))
        return UINT32_MAX;
    for (unsigned i = 0; i < TENANTS; i++)
        if (worker_is_candidate(worker, tenant_names[i], is_memory))
            set |= 1U << i;
    return set;
}

static uint64_t kills_of(const char *name)
{
    const struct tenant *tenant;
    uint64_t kills = 0;

    TAILQ_FOREACH (tenant, &world.heart.tenants->list, entry)
        if (strcmp(tenant->name, name) == 0)
            kills += tenant->kills;
    TAILQ_FOREACH (tenant, &world.heart.tenants->leaving, entry)
        if (strcmp(tenant->name, name) == 0)
            kills += tenant->kills;
    return kills;
}

void world_exited(struct played_worker *worker, int wait_status)
{
    uint64_t before[TENANTS];

    if (!worker->is_there || worker->pid == 0)
        return;
    unsigned allowed = candidates(worker) | worker->suspects;
    worker_let_answers_be_cut(worker);
    for (unsigned i = 0; i < TENANTS; i++)
        before[i] = kills_of(tenant_names[i]);
    unsigned slot = worker->slot;
    pid_t pid = worker->pid;
    worker_done(worker);
    world.deaths++;
    slots_spawner_ops.on_exited(world.heart.slots, slot, pid, wait_status, clock_burnt(pid));
    for (unsigned i = 0; i < TENANTS; i++)
        if (kills_of(tenant_names[i]) != before[i] && !(allowed >> i & 1))
            events_fail("tenant %s is blamed for the death of a worker in which it had nothing",
                        tenant_names[i]);
}

/* Checks that an honest worker is never taken for one that breaks the protocol, and one that waits for a processor
 * never for one that does nothing. */
static void check_kills(void)
{
    const struct heart *heart = &world.heart;

    for (unsigned i = 0; i < WORKERS; i++) {
        struct played_worker *worker = &world.workers[i];
        if (!worker->is_there || !inside_is_killed(heart, worker->slot, worker->pid))
            continue;
        if (!worker->is_killed)
            worker->suspects = candidates(worker);
        worker->is_killed = true;
        if (!worker->is_hostile && inside_broke_protocol(heart, worker->slot, worker->pid))
            events_fail("an honest worker was killed for breaking the protocol");
        if (worker_is_excused(worker, world_now_ns()) &&
            inside_is_silent(heart, worker->slot, worker->pid))
            events_fail("a worker that waits for a processor was killed as silent");
    }
}

/* ---- turns */

/* Runs the loop first, then each actor for whom something has come. One look at all sockets costs less than a try
 * at each. */
static bool turn(void)
{
    struct pollfd sockets[WORKERS + CLIENTS];
    bool has_moved = false;

    (void) event_base_loop(world.heart.base, EVLOOP_NONBLOCK);
    for (unsigned i = 0; i < WORKERS; i++)
        sockets[i] = (struct pollfd){ .fd = world.workers[i].fd, .events = POLLIN };
    for (unsigned i = 0; i < CLIENTS; i++)
        sockets[WORKERS + i] = (struct pollfd){ .fd = world.clients[i].fd, .events = POLLIN };
    (void) poll(sockets, WORKERS + CLIENTS, 0);
    for (unsigned i = 0; i < WORKERS; i++)
        if (sockets[i].revents)
            has_moved |= worker_turn(&world.workers[i]);
    for (unsigned i = 0; i < CLIENTS; i++)
        if (sockets[WORKERS + i].revents || world.clients[i].out_size > 0)
            has_moved |= client_turn(&world.clients[i]);
    return has_moved;
}

void world_settle(void)
{
    unsigned quiet = 0;

    for (unsigned i = 0; quiet < QUIET_TURNS; i++) {
        HOLD(i < TURNS_MAX);
        quiet = turn() ? 0 : quiet + 1;
    }
    check_kills();
}

/* ---- credit */

static const struct client *find_asker(uint32_t number)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        if (world.clients[i].n_asks > 0 && world.clients[i].asks[0] == number)
            return &world.clients[i];
    return NULL;
}

/* Returns NULL if the ask is no call, or its caller has got all of its answer or nothing. */
static const struct out_call *find_call(uint32_t number)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        const struct played_worker *worker = &world.workers[i];
        if (!worker->is_there || worker->is_killed || worker->is_deaf || worker->is_hostile)
            continue;
        for (unsigned j = 0; j < WORKER_JOBS; j++)
            for (unsigned k = 0; k < JOB_CALLS; k++)
                if (worker->jobs[j].calls[k].number == number && !worker->jobs[j].is_cancelled)
                    return &worker->jobs[j].calls[k];
    }
    return NULL;
}

static void check_credit_of_call(const struct job *job)
{
    const struct out_call *call = find_call(job->number);

    if (!job->has_ended && !job->is_cancelled && job->has_head && call && call->has_head &&
        call->got == job->said && call->unread == 0 && job->credit <= BODY_WINDOW_BYTES / 4 * 3)
        events_fail("ask %u: its caller has read all that was said, and its worker has no credit",
                    job->number);
}

/* Checks that the bytes that a client has taken come back to the worker as credit, but for less than half of the window: credit
 * goes back in steps of a quarter, and nobody looks again while less than a quarter waits in the front. */
static void check_credit_of(const struct job *job)
{
    const struct client *client = find_asker(job->number);

    if (job->has_ended || job->is_cancelled || !job->has_head || !client || client->is_deaf ||
        !client->has_head || client->got != job->said)
        return;
    if (job->credit <= BODY_WINDOW_BYTES / 2)
        events_fail("ask %u: its client has all that was said, and its worker has no credit",
                    job->number);
}

void world_check_credit(void)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        const struct played_worker *worker = &world.workers[i];
        /* A worker without a processor has not read its credit yet. */
        if (!worker->is_there || worker->is_killed || worker->is_deaf || worker->is_hostile ||
            worker->waits_since_ns > 0)
            continue;
        for (unsigned j = 0; j < WORKER_JOBS; j++)
            if (worker->jobs[j].id != 0) {
                check_credit_of(&worker->jobs[j]);
                check_credit_of_call(&worker->jobs[j]);
            }
    }
}

void world_pass(uint64_t ms)
{
    uint64_t each = ms / STEPS_MAX > 1 ? ms / STEPS_MAX : 1;

    for (uint64_t passed = 0; passed < ms; passed += each) {
        clock_pass(each * NSEC_PER_MSEC);
        (void) turn();
    }
    world_settle();
}

uint64_t world_now_ns(void)
{
    return clock_now();
}

void world_send(int fd, const void *data, size_t size)
{
    const uint8_t *at = data;

    for (unsigned i = 0; size > 0 && i < TURNS_MAX; i++) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN)
            return; /* the supervisor has closed the channel */
        if (n > 0) {
            at += n;
            size -= (size_t) n;
        } else {
            (void) event_base_loop(world.heart.base, EVLOOP_NONBLOCK);
        }
    }
    HOLD(size == 0);
}

/* ---- start */

static void make_base(void)
{
    struct event_config *config = event_config_new();

    HOLD(config && event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0);
    world.heart.base = event_base_new_with_config(config);
    event_config_free(config);
    HOLD(world.heart.base);
}

void world_start(void)
{
    struct config_errors errors = { 0 };
    struct heart *heart = &world.heart;
    static char folder[64];
    char path[256];

    if (!folder[0]) {
        (void) snprintf(folder, sizeof folder, "/tmp/skep-events-XXXXXX");
        HOLD(mkdtemp(folder));
    }
    clock_reset();
    asks_reset();
    inside_limits_changed = false;
    world = (struct world){ .folder = folder, .next_pid = CLOCK_FIRST_PID };
    for (unsigned i = 0; i < CLIENTS; i++)
        client_init(&world.clients[i], i % NARROW_ONE_IN == 0);
    for (unsigned i = 0; i < WORKERS; i++)
        world.workers[i].fd = world.workers[i].stat_fd = -1;
    make_base();
    write_config(0);
    (void) snprintf(path, sizeof path, "%s/skepd.yaml", folder);
    if (config_read(path, &heart->config, &errors) < 0)
        events_fail("%s", errors.text);
    heart->jail.is_unjailed = true;
    heart->max_files = 1 << 20;
    heart->store = played_store();
    (void) snprintf(path, sizeof path, "%s/state", folder);
    deploys_reset(path);
    HOLD(heart_make(heart) == 0);
    ledger_set_egress(heart->ledger, egress_reset());
    HOLD(heart_listen(heart, &world.address, &world.address_size) == 0);
    for (unsigned i = 0; i < TENANTS - 1; i++)
        world_install(i, 0);
    HOLD(slots_start(heart->slots) == 0);
}

/* ---- end */

static void help_worker(struct played_worker *worker)
{
    struct app *app;

    if (!worker->is_there)
        return;
    worker->is_deaf = false;
    if (worker->waits_since_ns > 0)
        worker_wait_or_go_on(worker);
    world_spawned(worker);
    if (worker->is_hostile || worker->is_killed || worker->is_closed) {
        world_exited(worker, SIGKILL);
        return;
    }
    worker_say_hello(worker);
    worker_say_pong(worker);
    while ((app = worker_pick_app(worker, 0, APP_LOADING)) && worker_may_say(worker))
        worker_say_loaded(worker, app, 0);
    while ((app = worker_pick_app(worker, 0, APP_UNLOADING)) && worker_may_say(worker))
        worker_say_unloaded(worker, app);
    for (unsigned i = 0; i < WORKER_JOBS; i++) {
        struct job *job = &worker->jobs[i];
        if (job->id == 0)
            continue;
        worker_begin(worker, job);
        if (job->id == 0)
            continue;
        worker_say_credit(worker, job);
        worker_say_head(worker, job, 100, false);
        worker_say_body(worker, job, BODY_CHUNK_MAX_BYTES,
                        job->said > END_BYTES || job->number % 8);
        if (job->is_all_there || job->is_cancelled || !job->app)
            worker_say_done(worker, job, 0, 1000);
    }
}

static void help_client(struct client *client)
{
    client->is_deaf = false;
    client_feed(client, 65536);
}

static bool is_anybody_waiting(void)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        if (client_is_waiting(&world.clients[i]))
            return true;
    return false;
}

/* From here on all actors are honest and quick: all that is under way must end within seconds. */
static void let_all_end(const char *what)
{
    char text[512];

    for (unsigned i = 0; i < ROUNDS_MAX; i++) {
        for (unsigned j = 0; j < WORKERS; j++)
            help_worker(&world.workers[j]);
        for (unsigned j = 0; j < CLIENTS; j++)
            help_client(&world.clients[j]);
        while (deploys_store_answers(false))
            deploys_go_on();
        deploys_go_on();
        world_settle();
        inside_check(&world.heart);
        world_check_credit();
        if (!is_anybody_waiting() && !deploys_are_under_way() &&
            inside_count_work(&world.heart) == 0)
            return;
        world_pass(i < 100 ? 2 : 50);
    }
    inside_describe(&world.heart, text, sizeof text);
    events_fail("%s: something does not end: %s%s", what, text,
                deploys_are_under_way() ? "; a deploy" : "");
}

static void tear_down(void)
{
    world.drain = drain_free(world.drain);
    heart_free(&world.heart);
    (void) config_free(world.heart.config);
    for (unsigned i = 0; i < WORKERS; i++)
        worker_done(&world.workers[i]);
    event_base_free(world.heart.base);
}

void world_end(void)
{
    let_all_end("at the end");
    for (unsigned i = 0; i < CLIENTS; i++)
        client_leave(&world.clients[i]);
    world_settle();
    inside_check_is_idle(&world.heart);
    HOLD(http_front_connections(world.heart.front) == 0);
    for (unsigned i = 0; i < TENANTS; i++)
        world_remove(i);
    for (unsigned i = 0; i < 30 && !TAILQ_EMPTY(&world.heart.tenants->leaving); i++) {
        world_pass(1000);
        let_all_end("after the last tenant was removed");
    }
    inside_check_is_empty(&world.heart);
    tear_down();
}
