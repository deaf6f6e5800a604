/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/placement/town.h"

#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "common/log.h"
#include "supervisor/helpers/spawner.h"
#include "supervisor/placement/seclude.h"
#include "supervisor/workers/link.h"
#include "tests/events/clock.h"

static const char config_text[] =
    "listen: [\"127.0.0.1:0\"]\n"
    "cordons:\n"
    "  - { name: many, workers: 1, solitary: 3, spare: off, rss_mib: unlimited }\n"
    "  - { name: other, workers: 1, solitary: 3, spare: off, rss_mib: unlimited }\n";

/* ---- the floors above and below */

static struct town *town_of(const struct tenant *tenant)
{
    return placements_of_tenant(tenant)->owner;
}

static void ignore_worker(struct worker *worker)
{
    (void) worker;
}

static void ignore_lost(void *owner)
{
    (void) owner;
}

static void ignore_death(struct worker *worker, const struct verdict *verdict)
{
    (void) worker;
    (void) verdict;
}

static void on_tenant(struct tenant *tenant)
{
    struct town *town = town_of(tenant);

    for (unsigned i = 0; i < TOWN_TENANTS; i++)
        town->pumped[i] += town->tenant[i] == tenant;
}

static void on_refused(struct tenant *tenant, enum error_code code, unsigned retry_after_s)
{
    struct town *town = town_of(tenant);

    town->n_refused++;
    town->refused = tenant;
    town->refused_code = code;
    town->refused_retry_s = retry_after_s;
}

static void ignore_cost(struct tenant *tenant, struct worker *worker, uint64_t used_us)
{
    (void) tenant;
    (void) worker;
    (void) used_us;
}

static bool others_wait(struct worker *worker, const struct tenant *tenant)
{
    (void) worker;
    return town_of(tenant)->others_wait;
}

static unsigned withdraw(struct worker *worker, bool (*is_wanted)(const struct worker *worker,
                                                                  const struct attempt *attempt))
{
    struct town *town = placements_of_worker(worker)->owner;

    (void) is_wanted;
    town->n_withdrawn++;
    return 0;
}

static const struct placement_ops ops = {
    .on_room = ignore_worker,
    .on_drained = ignore_worker,
    .on_lost = ignore_lost,
    .on_death = ignore_death,
    .on_free = ignore_worker,
    .on_tenant = on_tenant,
    .on_refused = on_refused,
    .on_load_cost = ignore_cost,
    .others_wait = others_wait,
    .withdraw = withdraw,
};

static void ignore_loaded(struct version *version)
{
    (void) version;
}

static const struct version_ops version_ops = { .loaded = ignore_loaded };

int __wrap_spawner_spawn(struct spawner *spawner, const struct spawner_job *job);
int __wrap_spawner_spawn(struct spawner *spawner, const struct spawner_job *job)
{
    struct town *town = (struct town *) (void *) spawner;

    assert_in_range(town->n_workers, 0, TOWN_WORKERS - 1);
    town->fds[town->n_workers] = fcntl(job->channel_fd, F_DUPFD_CLOEXEC, 0);
    assert_true(town->fds[town->n_workers++] >= 0);
    return 0; /* town_make_ready is the answer */
}

/* ---- workers */

static int open_nothing(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

struct worker *town_make_ready(struct town *town, struct slot *slot)
{
    struct worker *worker = slot->worker;
    Skep__Worker__Hello hello = SKEP__WORKER__HELLO__INIT;
    const struct spawner_worker process = {
        .pid = ++town->last_pid,
        .pidfd = open_nothing(),
        .stat_fd = open_nothing(),
        .statm_fd = open_nothing(),
    };

    assert_non_null(worker);
    slots_spawner_ops.on_result(town->slots, worker->number, 0, "", &process);
    hello.protocol = PROTOCOL_VERSION;
    assert_int_equal(link_on_hello(worker, &hello.base), 0);
    assert_int_equal(worker->state, WORKER_READY);
    return worker;
}

struct slot *town_find_slot(const struct town *town, unsigned tenant)
{
    return placement_find_slot(town->slots, town->tenant[tenant]->version);
}

struct worker *town_find_worker(const struct town *town, unsigned tenant)
{
    return slot_find_ready(town_find_slot(town, tenant));
}

struct placement *town_find(const struct town *town, unsigned tenant, const struct worker *worker)
{
    return placement_find(town->tenant[tenant]->version, worker);
}

struct placement *town_load(struct town *town, unsigned tenant, struct worker *worker)
{
    struct version *version = town->tenant[tenant]->version;

    assert_int_equal(placement_load(version, worker), 0);
    struct placement *placement = placement_find(version, worker);
    assert_non_null(placement);
    placement_on_loaded(placement, ERROR_NONE, "", 0, 0);
    return placement;
}

/* ---- tenants */

static struct tenant *add_tenant(struct town *town, unsigned number)
{
    struct config_errors errors = { 0 };
    struct manifest *manifest = NULL;
    struct tenant *tenant = NULL;
    char text[64];

    int n = snprintf(text, sizeof text, "name: tenant-%u\nmain: a.js\ncordon: many\n", number);
    assert_int_equal(manifest_parse("/srv/skep.yaml", text, (size_t) n, &manifest, &errors), 0);
    assert_int_equal(tenant_new(town->tenants, manifest->name, "/nowhere", &tenant), 0);
    assert_int_equal(version_new(tenant, manifest, &tenant->version), 0);
    tenant_list(town->tenants, tenant);
    return tenant;
}

enum seclusion town_seclusion(const struct town *town, unsigned tenant)
{
    return town->tenant[tenant]->conduct.seclusion;
}

/* ---- time */

void town_look(struct town *town)
{
    while (seclude_check_some(town->tenants, io_now_ns()))
        ;
}

void town_care(struct town *town)
{
    event_active(town->placements->care, EV_TIMEOUT, 0);
    (void) event_base_loop(town->base, EVLOOP_NONBLOCK);
}

void town_pass_s(struct town *town, unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        clock_pass(NSEC_PER_SEC);
        town_look(town);
    }
}

/* ---- life */

static void make_floors(struct town *town)
{
    const struct slots_options slots = {
        .base = town->base,
        .config = town->config,
        .record = &town->record,
        .life = &town->life,
        .jail = &town->jail,
        .health = &town->health,
        .spawner = (struct spawner *) (void *) town, /* only the wrapped function sees it */
    };
    assert_int_equal(slots_new(&slots, &town->slots), 0);
    assert_int_equal(tenants_new(town->config, &town->record, &town->tenants), 0);
    const struct placements_options placements = {
        .base = town->base,
        .config = town->config,
        .record = &town->record,
        .slots = town->slots,
        .tenants = town->tenants,
    };
    assert_int_equal(placements_new(&placements, &town->placements), 0);
    town->placements->ops = &ops;
    town->placements->owner = town;
    town->placements->versions = &version_ops;
}

struct town *town_new(void)
{
    struct config_errors errors = { 0 };
    struct town *town = calloc(1, sizeof *town);

    assert_non_null(town);
    clock_reset();
    log_silence();
    town->last_pid = CLOCK_FIRST_PID;
    town->jail.is_unjailed = true; /* no spawner looks at jails */
    town->base = event_base_new();
    assert_int_equal(config_parse("/etc/skepd.yaml", config_text, sizeof config_text - 1,
                                  &town->config, &errors),
                     0);
    town->cordon = town->config->cordons[0];
    town->other = town->config->cordons[1];
    assert_int_equal(record_init(&town->record, town->config), 0);
    make_floors(town);
    for (unsigned i = 0; i < TOWN_TENANTS; i++)
        town->tenant[i] = add_tenant(town, i);
    assert_int_equal(slots_start(town->slots), 0);
    struct worker *shared = town_make_ready(town, slots_next(town->slots, NULL));
    for (unsigned i = 0; i < TOWN_TENANTS; i++)
        (void) town_load(town, i, shared);
    town_pass_s(town, 1);
    memset(town->pumped, 0, sizeof town->pumped);
    return town;
}

struct town *town_free(struct town *town)
{
    town->slots = slots_free(town->slots);
    town->placements = placements_free(town->placements);
    for (unsigned i = 0; i < TOWN_TENANTS; i++) {
        tenant_unlist(town->tenants, town->tenant[i]);
        (void) tenant_free(town->tenant[i]);
    }
    (void) tenants_free(town->tenants);
    record_done(&town->record);
    event_base_free(town->base);
    (void) config_free(town->config);
    for (unsigned i = 0; i < town->n_workers; i++)
        (void) close(town->fds[i]);
    free(town);
    return NULL;
}
