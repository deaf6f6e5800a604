/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends a version's files to its worker, in parts. Supervisor, loop thread.
 */
#include <errno.h>
#include <event2/event.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "proto/channel.h"
#include "supervisor/placement/exceeded.h"
#include "supervisor/placement/first_credit.h"
#include "supervisor/placement/placement.h"
#include "supervisor/workers/link.h"

/* Longest time for which timers keep a request that is over. */
#define LINGER_MS 5000
#define LINGERING_MAX 16
/* Files of a version that are sent in one turn: about half a millisecond of the loop's time. */
#define LOAD_PART_BYTES (FRAME_MAX_BYTES / 2)
_Static_assert(LOAD_FILES_MAX_BYTES == FILES_MIB_MOST << 20,
               "a worker takes what files_mib allows");
#define FRAME_COST_BYTES 1024 /* cost of a frame besides its data */
#define LOAD_AGAIN_MS 100     /* after a shortage of memory */

/* Sets the limits for requests that are over: timers that are due within 5 s keep them, for half of wall_ms at most, so
 * that none is over its time because of them, and so that others get their places. */
static void set_lingering(const struct limits *limits, Skep__Worker__Limits *told)
{
    uint32_t half = limits->concurrency / 2;

    told->linger_ms = limits->wall_ms / 2 < LINGER_MS ? limits->wall_ms / 2 : LINGER_MS;
    told->lingering = half > LINGERING_MAX ? LINGERING_MAX : half > 0 ? half : 1;
}

/* Returns the mode for strings of code: without one in skep.yaml, the default as far as its cordon
 * allows. */
static Skep__Worker__EvalMode eval_mode(const struct version *version)
{
    enum eval_mode wanted = version->manifest->eval, allowed = version->cordon->eval;

    return (Skep__Worker__EvalMode) (wanted < allowed ? wanted : allowed);
}

/* Adds the secrets of env, which stay open until the frame is packed. Returns how many, or -errno. */
static int open_secrets(const struct version *version, Skep__Worker__EnvVar *env,
                        struct secret_value *values)
{
    const struct manifest *manifest = version->manifest;
    unsigned n = 0;

    for (unsigned i = 0; i < manifest->n_secrets; i++) {
        const struct secret_use *use = &manifest->secrets[i];
        if (use->is_injected)
            continue;
        int r =
            secrets_open(version->tenant->tenants->secrets, manifest->name, use->name, &values[n]);
        if (r == -ENOMEM)
            return r;
        if (r < 0) { /* was there when the version was installed */
            (void) log_event_errno(LOG_LEVEL_ERROR, LOG_ABOUT(.tenant = manifest->name), r,
                                   "the secret %s is missing in env", use->name);
            continue;
        }
        skep__worker__env_var__init(&env[n]);
        env[n].name = link_text(use->name);
        env[n].value = link_bytes(values[n].data, values[n].size);
        n++;
    }
    return (int) n;
}

static int send_begin(struct placement *placement)
{
    struct worker *worker = placement->worker;
    const struct version *version = placement->version;
    const struct manifest *manifest = version->manifest;
    Skep__Worker__EnvVar env[TENANT_ENV_MAX + TENANT_SECRETS_MAX];
    Skep__Worker__EnvVar *pointers[TENANT_ENV_MAX + TENANT_SECRETS_MAX];
    struct secret_value secrets[TENANT_SECRETS_MAX] = { 0 };
    Skep__Worker__Binding bindings[TENANT_BINDINGS_MAX];
    Skep__Worker__Binding *to_bindings[TENANT_BINDINGS_MAX];
    Skep__Worker__Limits limits = SKEP__WORKER__LIMITS__INIT;
    Skep__Worker__LoadBegin begin = SKEP__WORKER__LOAD_BEGIN__INIT;

    limits.cpu_ms = version->limits.cpu_ms;
    limits.cpu_startup_ms = version->limits.cpu_startup_ms;
    limits.heap_mib = version->limits.heap_mib;
    limits.external_mib = version->limits.external_mib;
    limits.timers = version->limits.timers;
    limits.log_kib = version->limits.log_kib;
    limits.hung_ms = version->limits.hung_ms;
    set_lingering(&version->limits, &limits);
    limits.observed = placement_observed_limits(version->observed);
    for (unsigned i = 0; i < manifest->n_env; i++) {
        skep__worker__env_var__init(&env[i]);
        env[i].name = link_text(manifest->env[i].name);
        env[i].value = link_text(manifest->env[i].value);
    }
    int n_secrets = open_secrets(version, env + manifest->n_env, secrets);
    begin.n_env = manifest->n_env + (n_secrets < 0 ? 0 : (size_t) n_secrets);
    for (size_t i = 0; i < begin.n_env; i++)
        pointers[i] = &env[i];
    for (unsigned i = 0; i < manifest->n_bindings; i++) {
        skep__worker__binding__init(&bindings[i]);
        bindings[i].name = link_text(manifest->bindings[i].name);
        bindings[i].kind = (Skep__Worker__BindingKind) manifest->bindings[i].kind;
        to_bindings[i] = &bindings[i];
    }
    begin.bindings = to_bindings;
    begin.n_bindings = manifest->n_bindings;
    begin.placement = placement->id;
    begin.name = link_text(manifest->name);
    begin.main = link_text(manifest->main);
    begin.limits = &limits;
    begin.env = pointers;
    begin.row = placement->row;
    begin.reuse_after_stop = manifest->reuse_after_stop;
    begin.eval = eval_mode(version);
    begin.first_credit_us = first_credit_begin(placement);
    if (worker->board)
        atomic_store(&worker->board->no_credit_until_ns, first_credit_barred_until_ns(worker));
    int r = n_secrets < 0 ? n_secrets
                          : link_send(worker, SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_BEGIN, &begin);
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
        secret_value_done(&secrets[i]);
    return r;
}

static int send_end(const struct placement *placement)
{
    Skep__Worker__LoadEnd end = SKEP__WORKER__LOAD_END__INIT;

    end.placement = placement->id;
    return link_send(placement->worker, SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_END, &end);
}

/* Sends the next part of the load's current file. Returns its bytes or -errno. */
static int send_file_part(struct placement *placement)
{
    struct load_progress *load = &placement->load;
    const struct tenant_file *file = &placement->version->manifest->files[load->file];
    Skep__Worker__LoadFile part = SKEP__WORKER__LOAD_FILE__INIT;
    size_t size = file->size - load->at < LOAD_PART_BYTES ? file->size - load->at : LOAD_PART_BYTES;

    part.placement = placement->id;
    part.path = link_text(file->path);
    part.data = link_bytes(file->data + load->at, size);
    int r = link_send(placement->worker, SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_FILE, &part);
    if (r < 0)
        return r;
    load->at += size;
    if (load->at == file->size) {
        load->file++;
        load->at = 0;
    }
    return (int) size + FRAME_COST_BYTES;
}

/* Sends the next frame of the load. Returns its cost in bytes, 0 if it was the last one, or -errno. */
static int send_next(struct placement *placement)
{
    const struct manifest *manifest = placement->version->manifest;
    struct load_progress *load = &placement->load;

    if (!load->has_begun) {
        int r = send_begin(placement);
        load->has_begun = r == 0;
        return r < 0 ? r : FRAME_COST_BYTES;
    }
    while (load->file < manifest->n_files &&
           manifest_is_migration(manifest, &manifest->files[load->file]))
        load->file++;
    if (load->file < manifest->n_files)
        return send_file_part(placement);
    return send_end(placement);
}

static void plan_loads(const struct worker *worker, unsigned wait_ms)
{
    const struct timeval wait = { .tv_usec = (suseconds_t) wait_ms * 1000 };

    (void) event_add(worker->load_turn, &wait);
}

/* Sends about LOAD_PART_BYTES of the loads; the next part follows in another turn of the loop, once the worker
 * has taken this one, so that neither the loop nor the memory of the queue depends on the size of a
 * version. One load follows the other; one for which a request waits goes into the middle of a
 * preload. Returns 0, or -errno of a frame that was not sent. */
static int send_loads(struct worker *worker)
{
    struct placement *placement;
    size_t sent = 0;

    while ((placement = TAILQ_FIRST(&worker->to_load)) && sent < LOAD_PART_BYTES) {
        int r = send_next(placement);
        if (r == -ENOMEM)
            plan_loads(worker, LOAD_AGAIN_MS);
        if (r < 0)
            return r;
        sent += (size_t) r;
        if (r == 0)
            load_drop(placement);
    }
    if (placement)
        channel_await_written(worker->channel);
    return 0;
}

void load_on_turn(struct worker *worker)
{
    if (worker->channel)
        (void) send_loads(worker);
}

/* Lists a load behind those for which requests wait, and before the others if a request waits for
 * this one. */
static void list(struct placement *placement)
{
    struct worker *worker = placement->worker;
    struct placement *next;

    TAILQ_FOREACH (next, &worker->to_load, in_to_load)
        if (next->is_preload && !placement->is_preload)
            break;
    if (next)
        TAILQ_INSERT_BEFORE(next, placement, in_to_load);
    else
        TAILQ_INSERT_TAIL(&worker->to_load, placement, in_to_load);
    placement->load.is_listed = true;
}

int load_send(struct placement *placement)
{
    struct worker *worker = placement->worker;
    bool is_only = TAILQ_EMPTY(&worker->to_load);

    if (!worker->channel)
        return -EPIPE;
    list(placement);
    if (!is_only)
        return 0;
    int r = send_loads(worker);
    return placement->load.has_begun || r == -ENOMEM ? 0 : r;
}

void load_hurry(struct placement *placement)
{
    preload_end(placement);
    if (!placement->load.is_listed)
        return;
    load_drop(placement);
    list(placement);
}

void load_drop(struct placement *placement)
{
    if (placement->load.is_listed)
        TAILQ_REMOVE(&placement->worker->to_load, placement, in_to_load);
    placement->load.is_listed = false;
}
