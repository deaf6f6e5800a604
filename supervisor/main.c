/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skepd: reads its config, forks the spawner, then opens sockets and runs one loop until it is
 * told to stop. Never runs JavaScript.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/large_blocks.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "config/config.h"
#include "config/manifest.h"
#include "data/program.h"
#include "egress/program.h"
#include "helper/journal.h"
#include "store/program.h"
#include "supervisor/admin/admin.h"
#include "supervisor/arguments.h"
#include "supervisor/commands.h"
#include "supervisor/compile.h"
#include "supervisor/confine_skepd.h"
#include "supervisor/deploy/deploy.h"
#include "supervisor/frames.h"
#include "supervisor/helpers/data.h"
#include "supervisor/helpers/egress.h"
#include "supervisor/helpers/spawner.h"
#include "supervisor/helpers/store.h"
#include "supervisor/host/cgroup.h"
#include "supervisor/host/descriptors.h"
#include "supervisor/host/reader.h"
#include "supervisor/http/http.h"
#include "supervisor/placement/placement.h"
#include "supervisor/reload/reload.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/secrets/secrets.h"
#include "supervisor/service/listen.h"
#include "supervisor/service/service.h"
#include "supervisor/stats/metrics.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/versions/versions.h"
#include "supervisor/workers/slots.h"
#include "supervisor/workers/trace.h"
#include "supervisor/workers/worker.h"

/* The roots of all floors, in the order of their making. Nothing but main.c knows them all. */
struct skepd {
    struct config *config;   /* borrowed; a reload exchanges its contents */
    struct service *service; /* borrowed; owns the next two */
    struct sockets *sockets; /* inherited and own */
    struct notify *notify;   /* NULL without a service manager */
    uint64_t max_files;      /* descriptors that the process may have */
    bool is_dev;             /* `skep dev`: one tenant gets every request */
    struct record record;
    struct life life;
    struct health health; /* health of the helper processes */
    struct jail_state jail;
    struct store *store;   /* NULL: nothing can be deployed */
    bool has_egress;       /* egress can be started, or reached */
    struct egress *egress; /* NULL: no tenant can ask servers */
    int data_fd;           /* folder of what tenants store; -1: there is none */
    bool has_data;         /* processes of storage can be started */
    struct data *data;     /* NULL: no tenant can store anything */
    struct secrets *secrets;
    struct cgroup_tree *cgroups; /* NULL: workers have none */
    struct spawner *spawner;
    struct event_base *base;
    struct trace *trace; /* NULL: frames are not shown */
    struct slots *slots;
    struct tenants *tenants;
    struct placements *placements;
    struct versions *versions;
    struct reader *reader;
    struct ledger *ledger;
    struct http_front *front;
    struct reload *reload;
    struct deploys *deploys;
    struct metrics *metrics; /* NULL: no endpoint */
    struct admin *admin;
};

/* Helpers by their numbers in spawner_options. */
enum { PROGRAM_STORE, PROGRAM_EGRESS, PROGRAM_DATA, PROGRAMS };

/* Prints errors for `--check` and the like, which serve nothing. */
static void print_errors(struct config_errors *errors)
{
    if (errors->text)
        (void) fputs(errors->text, stderr);
    config_errors_done(errors);
}

static void log_errors(struct config_errors *errors)
{
    reload_log_errors(errors);
    config_errors_done(errors);
}

/* ---- tenants */

static int install_one(struct skepd *skepd, struct manifest *manifest, const char *dir)
{
    _cleanup_(failure_done) struct failure failure = { 0 };
    int r = versions_install_of_folder(skepd->versions, manifest, dir, &failure);

    if (r < 0) {
        failure_log_event(&failure, LOG_LEVEL_ERROR, LOG_ABOUT(.tenant = manifest->name),
                          "cannot install the tenant");
        (void) manifest_free(manifest);
    }
    return r;
}

static int install_dev(struct skepd *skepd, const char *path)
{
    uint32_t max_bytes = config_files_bytes(skepd->config);
    struct config_errors errors = { 0 };
    struct manifest *manifest;
    struct stat st;

    if (stat(path, &st) < 0)
        return log_error_errno(-errno, "cannot read %s", path);
    int r = S_ISDIR(st.st_mode) ? manifest_read(path, max_bytes, &manifest, &errors)
                                : manifest_from_script(path, max_bytes, &manifest, &errors);
    log_errors(&errors);
    return r < 0 ? r : install_one(skepd, manifest, path);
}

/* Installs all tenants. Bad ones are named in the log and left out; ret_is_whole: there are none. */
static int install_all(struct skepd *skepd, bool *ret_is_whole)
{
    struct config_errors errors = { 0 };
    struct manifest_set set = { 0 };

    *ret_is_whole = true;
    if (!skepd->config->tenants)
        return 0;
    int r = manifest_read_all(skepd->config->tenants, skepd->config, &set, &errors);
    log_errors(&errors);
    *ret_is_whole = r == 0;
    for (unsigned i = 0; i < set.count; i++) {
        struct manifest *manifest = TAKE_PTR(set.items[i]);
        _cleanup_free_ char *dir = strdup(manifest->file);
        if (!dir)
            return -ENOMEM;
        char *slash = strrchr(dir, '/');
        if (slash)
            *slash = '\0';
        if (install_one(skepd, manifest, dir) < 0)
            *ret_is_whole = false;
    }
    manifest_set_done(&set);
    return r == -EINVAL ? 0 : r;
}

/* ---- the roots, in the order of set_up */

/* Makes the slots; no worker is started yet. */
static int make_slots(struct skepd *skepd)
{
    const struct slots_options options = {
        .base = skepd->base,
        .config = skepd->config,
        .record = &skepd->record,
        .life = &skepd->life,
        .jail = &skepd->jail,
        .cgroups = skepd->cgroups,
        .spawner = skepd->spawner,
        .health = &skepd->health,
        .frames = &worker_frames,
        .trace = skepd->trace,
    };

    return slots_new(&options, &skepd->slots);
}

/* Asks for egress, for which nobody waits. */
static int start_egress(struct skepd *skepd)
{
    const struct egress_options options = {
        .number = PROGRAM_EGRESS,
        .base = skepd->base,
        .spawner = skepd->spawner,
        .health = &skepd->health,
        .socket = skepd->config->egress.socket,
    };

    int r = skepd->has_egress ? egress_new(&options, &skepd->egress) : 0;
    return r < 0 ? log_error_errno(r, "cannot start " EGRESS_PROGRAM) : 0;
}

/* Makes the set of data processes, each of which is started when it is needed. */
static int make_data(struct skepd *skepd)
{
    const struct data_options options = {
        .number = PROGRAM_DATA,
        .base = skepd->base,
        .spawner = skepd->spawner,
        .health = &skepd->health,
    };

    int r = skepd->has_data ? data_new(&options, &skepd->data) : 0;
    if (r == 0)
        data_share(skepd->data, service_has_predecessor(skepd->service));
    return r < 0 ? log_error_errno(r, "cannot make the storage of tenants") : 0;
}

/* Starts the helper processes, before stored tenants are read and before any request to a helper. */
static int start_helpers(struct skepd *skepd)
{
    const struct store_start_options store = {
        .has_predecessor = service_has_predecessor(skepd->service),
        .number = PROGRAM_STORE,
        .base = skepd->base,
        .spawner = skepd->spawner,
        .health = &skepd->health,
    };

    int r = spawner_attach(skepd->spawner, skepd->base, &slots_spawner_ops, skepd->slots);
    if (r < 0)
        return log_error_errno(r, "cannot reach the spawner");
    spawner_keep_reserve(skepd->spawner, &skepd->health);
    r = start_egress(skepd);
    if (r == 0)
        r = make_data(skepd);
    return r == 0 && skepd->store ? store_start(skepd->store, &store) : r;
}

static int make_placements(struct skepd *skepd)
{
    const struct placements_options options = {
        .base = skepd->base,
        .config = skepd->config,
        .record = &skepd->record,
        .slots = skepd->slots,
        .tenants = skepd->tenants,
    };

    return placements_new(&options, &skepd->placements);
}

static int make_versions(struct skepd *skepd)
{
    const struct versions_options options = {
        .base = skepd->base,
        .tenants = skepd->tenants,
        .placements = skepd->placements,
        .data = skepd->data,
        .is_dev = skepd->is_dev,
    };

    return versions_new(&options, &skepd->versions);
}

static int make_ledger(struct skepd *skepd)
{
    const struct ledger_options options = {
        .base = skepd->base,
        .config = skepd->config,
        .record = &skepd->record,
        .life = &skepd->life,
        .placements = skepd->placements,
        .max_files = skepd->max_files,
    };

    int r = ledger_new(&options, &skepd->ledger);
    if (r == 0)
        ledger_set_egress(skepd->ledger, skepd->egress);
    if (r == 0)
        ledger_set_data(skepd->ledger, skepd->data);
    return r;
}

static int make_front(struct skepd *skepd)
{
    struct http_front_options options = {
        .base = skepd->base,
        .ops = &ledger_http,
        .handler = skepd->ledger,
        .n_connections = &skepd->life.n_connections,
    };

    reload_http_limits(skepd->config, &options.limits);
    int r = http_front_new(&options, &skepd->front);
    if (r < 0)
        return r;
    ledger_set_front(skepd->ledger, skepd->front);
    return http_front_set_proxies(skepd->front, skepd->config->proxy_prefixes,
                                  skepd->config->n_proxies);
}

static int make_reload(struct skepd *skepd)
{
    const struct reload_options options = {
        .base = skepd->base,
        .config = skepd->config,
        .life = &skepd->life,
        .front = skepd->front,
        .tenants = skepd->tenants,
        .placements = skepd->placements,
        .versions = skepd->versions,
        .notify = skepd->notify,
        .reader = skepd->reader,
        .max_files = skepd->max_files,
        .is_dev = skepd->is_dev,
    };

    return reload_new(&options, &skepd->reload);
}

static int make_deploys(struct skepd *skepd)
{
    const struct deploys_options options = {
        .base = skepd->base,
        .config = skepd->config,
        .life = &skepd->life,
        .health = &skepd->health,
        .record = &skepd->record,
        .tenants = skepd->tenants,
        .versions = skepd->versions,
        .store = skepd->store,
        .data = skepd->data,
        .reader = skepd->reader,
        .is_dev = skepd->is_dev,
    };

    return deploys_new(&options, &skepd->deploys);
}

static int make_metrics(struct skepd *skepd)
{
    const struct metrics_options options = {
        .base = skepd->base,
        .sockets = skepd->sockets,
        .from = {
            .config = skepd->config,
            .life = &skepd->life,
            .health = &skepd->health,
            .jail = &skepd->jail,
            .record = &skepd->record,
            .tenants = skepd->tenants,
            .slots = skepd->slots,
            .front = skepd->front,
        },
    };

    return metrics_new(&options, &skepd->metrics);
}

static int make_admin(struct skepd *skepd)
{
    const struct admin_options options = {
        .commands = &commands,
        .above = skepd->service,
        .socket_path = skepd->config->admin_socket,
        .base = skepd->base,
        .sockets = skepd->sockets,
        .config = skepd->config,
        .life = &skepd->life,
        .health = &skepd->health,
        .jail = &skepd->jail,
        .record = &skepd->record,
        .tenants = skepd->tenants,
        .slots = skepd->slots,
        .ledger = skepd->ledger,
        .front = skepd->front,
        .reload = skepd->reload,
        .deploys = skepd->deploys,
        .data = skepd->data,
    };

    return admin_new(&options, &skepd->admin);
}

static int start_service(struct skepd *skepd)
{
    const struct service_options options = {
        .base = skepd->base,
        .config = skepd->config,
        .life = &skepd->life,
        .health = &skepd->health,
        .jail = &skepd->jail,
        .cgroups = skepd->cgroups,
        .spawner = skepd->spawner,
        .store = skepd->store,
        .data = skepd->data,
        .tenants = skepd->tenants,
        .slots = skepd->slots,
        .ledger = skepd->ledger,
        .front = skepd->front,
        .metrics = skepd->metrics,
        .admin = skepd->admin,
        .reload = skepd->reload,
        .deploys = skepd->deploys,
    };

    return service_start(skepd->service, &options);
}

/* ---- running */

static void release_manifest(void *what)
{
    (void) manifest_free(what);
}

static void dispose(void *owner, struct manifest *manifest)
{
    const struct skepd *skepd = owner;

    reader_release(skepd->reader, release_manifest, manifest);
}

static int make_tenants(struct skepd *skepd)
{
    const struct secrets_options options = {
        .config = skepd->config,
        .has_state = skepd->store != NULL,
        .is_dev = skepd->is_dev,
    };
    int r = tenants_new(skepd->config, &skepd->record, &skepd->tenants);

    if (r < 0)
        return log_error_errno(r, "cannot start");
    r = secrets_new(&options, &skepd->secrets);
    if (r < 0)
        return r;
    skepd->tenants->secrets = skepd->secrets;
    skepd->tenants->dispose = dispose;
    skepd->tenants->disposer = skepd;
    return 0;
}

static int set_up(struct skepd *skepd, const struct arguments *arguments)
{
    bool is_whole = false;
    int r = make_slots(skepd);

    if (r == 0)
        r = start_helpers(skepd);
    if (r < 0)
        return r;
    r = make_tenants(skepd);
    if (r < 0)
        return r;
    r = make_placements(skepd);
    if (r == 0)
        r = make_versions(skepd);
    if (r == 0)
        r = reader_new(skepd->base, &skepd->reader);
    if (r == 0)
        r = make_ledger(skepd);
    if (r == 0)
        r = make_front(skepd);
    if (r == 0)
        r = make_reload(skepd);
    if (r == 0)
        r = make_deploys(skepd);
    if (r == 0)
        r = deploys_read_callers(skepd->deploys);
    if (r < 0)
        return log_error_errno(r, "cannot start");
    r = arguments->dev ? install_dev(skepd, arguments->dev) : install_all(skepd, &is_whole);
    if (r == 0)
        r = deploys_install_stored(skepd->deploys);
    if (r == 0 && service_has_predecessor(skepd->service))
        r = deploys_check_key(skepd->deploys);
    if (r == 0 && is_whole)
        callers_settle(skepd->tenants);
    if (r < 0)
        return r;
    r = service_take_signals(skepd->service, skepd->base);
    if (r < 0)
        return r;
    r = listen_front(skepd->front, skepd->sockets, skepd->config);
    if (r < 0)
        return r;
    r = slots_start(skepd->slots);
    if (r < 0)
        return log_error_errno(r, "cannot start the workers");
    r = make_metrics(skepd);
    if (r == 0)
        r = make_admin(skepd);
    return r < 0 ? r : start_service(skepd);
}

static int confine(struct skepd *skepd)
{
    const struct confine_skepd_options options = {
        .config = skepd->config,
        .tenants = skepd->tenants,
        .cgroups = skepd->cgroups,
        .reader = skepd->reader,
        .jail = &skepd->jail,
        .has_state = skepd->store != NULL,
        .is_dev = skepd->is_dev,
    };

    return confine_skepd(&options);
}

/* Frees all roots, the listeners first. The reader of files ends before its users, and requests before their
 * workers. */
static void tear_down(struct skepd *skepd)
{
    service_stop_events(skepd->service);
    skepd->admin = admin_free(skepd->admin);
    skepd->metrics = metrics_free(skepd->metrics);
    versions_end_migrations(skepd->versions);
    skepd->reader = reader_free(skepd->reader);
    skepd->reload = reload_free(skepd->reload);
    skepd->front = http_front_free(skepd->front);
    if (skepd->ledger)
        ledger_set_front(skepd->ledger, NULL);
    skepd->ledger = ledger_free(skepd->ledger);
    skepd->egress = egress_free(skepd->egress);
    skepd->deploys = deploys_free(skepd->deploys);
    skepd->data = data_free(skepd->data);
    skepd->store = store_free(skepd->store);
    skepd->slots = slots_free(skepd->slots);
    skepd->trace = trace_free(skepd->trace);
    skepd->placements = placements_free(skepd->placements);
    skepd->versions = versions_free(skepd->versions);
    skepd->tenants = tenants_free(skepd->tenants);
    skepd->secrets = secrets_free(skepd->secrets);
    skepd->spawner = spawner_free(skepd->spawner);
}

static int serve(struct skepd *skepd, const struct arguments *arguments)
{
    struct event_config *config = event_config_new();

    if (config && event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0)
        skepd->base = event_base_new_with_config(config);
    if (config)
        event_config_free(config);
    if (!skepd->base)
        return log_error_errno(-ENOMEM, "cannot make the event loop");
    int r = set_up(skepd, arguments);
    if (r == 0)
        r = confine(skepd);
    loop_watch_start();
    if (r == 0 && event_base_dispatch(skepd->base) < 0)
        r = log_error_errno(-EIO, "the event loop failed");
    if (r == 0 && skepd->life.has_failed)
        r = -ECHILD;
    if (r < 0) /* logged now, since later steps may log errors of their own */
        service_say_failed(skepd->service, NULL);
    tear_down(skepd);
    event_base_free(skepd->base);
    libevent_global_shutdown();
    return r;
}

static int check(const struct config *config)
{
    struct config_errors errors = { 0 };
    struct manifest_set set = { 0 };
    int r = config->tenants ? manifest_read_all(config->tenants, config, &set, &errors) : 0;

    print_errors(&errors);
    manifest_set_done(&set);
    return r;
}

/* Has large buffers (a tenant's files on their way to a worker, bodies) go back to the kernel when they are
 * freed: otherwise glibc would raise its threshold for that to 32 MiB, mallopt(3), and keep the
 * memory of a bad minute. */
static void keep_memory_small(void)
{
    (void) mallopt(M_MMAP_THRESHOLD, 128 << 10);
    (void) mallopt(M_TRIM_THRESHOLD, 1 << 20);
    (void) mallopt(M_ARENA_MAX,
                   1); /* for two threads; another arena would need more system calls */
}

/* Raises the limit of descriptors. A reserve is kept for all but clients, or admin and metrics
 * would stop under load. */
static int raise_file_limit(struct skepd *skepd)
{
    char text[512];
    int r = descriptors_raise(skepd->config, &skepd->max_files);

    if (r == -EMFILE && descriptors_check(skepd->config, skepd->max_files, text, sizeof text) < 0)
        log_error("cannot start: %s", text);
    else if (r < 0)
        (void) log_error_errno(r, "cannot read the limit of open files");
    return r;
}

/* Keeps memory of skepd, spawners and store, which holds secrets of tenants, out of core files. Workers
 * inherit both settings, and cannot be dumped besides. A program that the kernel pipes cores to is
 * not bound by the rlimit, core(5): it gets a core without memory. Best effort. */
static void prevent_cores(void)
{
    static const struct rlimit none = { 0 };
    _cleanup_fd_ int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);

    (void) setrlimit(RLIMIT_CORE, &none);
    if (fd >= 0)
        (void) io_write_all(fd, "0", 1);
}

/* Makes the cgroups. Workers without one are watched by polling. */
static void make_cgroups(struct skepd *skepd)
{
    char text[512];

    if (cgroup_new(&skepd->cgroups, text, sizeof text) < 0)
        log_warning("no cgroup limits: %s", text);
    else
        log_info("workers get cgroups of their own");
}

static int run_with_spawner(struct skepd *skepd, const struct arguments *arguments)
{
    int r = jail_find_level(skepd->spawner, skepd->config, &skepd->jail);

    if (r < 0)
        return r;
    if (arguments->probe_only) {
        jail_print_layers(&skepd->jail, stdout);
        return skepd->jail.is_reduced ? -EPERM : 0;
    }
    r = jail_check_consent(&skepd->jail, &skepd->config->jail, skepd->is_dev);
    return r < 0 ? r : serve(skepd, arguments);
}

#define EGRESS_OPTION_DNS "--dns="
#define EGRESS_OPTION_CA "--ca="
#define EGRESS_DNS_BYTES 1024 /* addresses and ports of all resolvers */

/* The helpers that skepd may have, with the memory of their paths and arguments. */
struct programs {
    struct spawner_program rows[PROGRAMS];
    char store[PATH_MAX], egress[PATH_MAX], data[PATH_MAX];
    char dns[EGRESS_DNS_BYTES], ca[PATH_MAX + sizeof EGRESS_OPTION_CA];
};

static int find_store(const struct skepd *skepd, struct programs *programs)
{
    int r = arguments_find_program(STORE_PROGRAM, programs->store, sizeof programs->store);

    if (r < 0)
        return log_error_errno(r, "cannot find " STORE_PROGRAM ", which `state` needs");
    programs->rows[PROGRAM_STORE] = (struct spawner_program){
        .name = STORE_PROGRAM,
        .path = programs->store,
        .folder_fd = store_folder_fd(skepd->store),
    };
    return 0;
}

/* Writes the arguments that the config asks for. */
static void write_arguments(const struct egress_config *config, struct programs *programs)
{
    const char **arguments = programs->rows[PROGRAM_EGRESS].arguments;
    size_t size = 0;

    for (unsigned i = 0; i < config->n_dns && size < sizeof programs->dns; i++)
        size += (size_t) snprintf(programs->dns + size, sizeof programs->dns - size, "%s%s",
                                  i == 0 ? EGRESS_OPTION_DNS : ",", config->dns[i]);
    if (config->n_dns > 0)
        *arguments++ = programs->dns;
    (void) snprintf(programs->ca, sizeof programs->ca, EGRESS_OPTION_CA "%s",
                    config->ca ? config->ca : "");
    if (config->ca)
        *arguments = programs->ca;
}

/* Finds egress, as a unit or as a program. skepd serves without it. */
static void find_egress(struct skepd *skepd, struct programs *programs)
{
    const struct egress_config *config = &skepd->config->egress;

    if (config->socket) {
        programs->rows[PROGRAM_EGRESS].unit_path = config->socket;
        skepd->has_egress = true;
        return;
    }
    int r = arguments_find_program(EGRESS_PROGRAM, programs->egress, sizeof programs->egress);

    if (r < 0) {
        helper_set_remedy(&skepd->health, HELPER_EGRESS, "install it, then skep upgrade");
        helper_note(&skepd->health, HELPER_EGRESS, HELPER_GONE,
                    r == -ENOENT ? "no program " EGRESS_PROGRAM " beside skepd"
                                 : "the program " EGRESS_PROGRAM " beside skepd cannot be used");
        return;
    }
    programs->rows[PROGRAM_EGRESS] = (struct spawner_program){
        .name = EGRESS_PROGRAM,
        .path = programs->egress,
        .folder_fd = -1,
    };
    write_arguments(config, programs);
    skepd->has_egress = true;
}

/* Finds the program of storage. skepd serves without it. */
static void find_data(struct skepd *skepd, struct programs *programs)
{
    int r = arguments_find_program(DATA_PROGRAM, programs->data, sizeof programs->data);

    if (r < 0) {
        helper_set_remedy(&skepd->health, HELPER_DATA, "install it, then skep upgrade");
        helper_note(&skepd->health, HELPER_DATA, HELPER_GONE,
                    r == -ENOENT ? "no program " DATA_PROGRAM " beside skepd"
                                 : "the program " DATA_PROGRAM " beside skepd cannot be used");
        return;
    }
    programs->rows[PROGRAM_DATA] = (struct spawner_program){
        .name = DATA_PROGRAM,
        .path = programs->data,
        .folder_fd = skepd->data_fd,
        .word_option = DATA_OPTION_CORDON,
    };
    skepd->has_data = true;
}

/* Makes the folder of storage, if its parent is there, and opens it. */
static int open_data_folder(struct skepd *skepd)
{
    const char *path = skepd->config->storage.folder;

    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return log_error_errno(-errno, "storage.folder: cannot make %s", path);
    skepd->data_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return skepd->data_fd < 0 ? log_error_errno(-errno, "storage.folder: cannot open %s", path) : 0;
}

/* Makes the cgroups before any process is forked, and removes them after all have ended. */
static int run_with_cgroups(struct skepd *skepd, const struct arguments *arguments,
                            const char *worker)
{
    struct programs programs = {
        .rows = { { .folder_fd = -1 }, { .folder_fd = -1 }, { .folder_fd = -1 } }
    };
    const struct spawner_options spawner = {
        .worker_path = worker,
        .origin = service_origin(skepd->service),
        .programs = programs.rows,
        .n_programs = PROGRAMS,
    };

    int r = skepd->store ? find_store(skepd, &programs) : 0;
    if (r < 0)
        return r;
    if (skepd->config->egress.fetch && !arguments->probe_only)
        find_egress(skepd, &programs);
    if (skepd->data_fd >= 0)
        find_data(skepd, &programs);
    if (!arguments->probe_only)
        make_cgroups(skepd);
    r = spawner_start(&spawner, &skepd->spawner);
    if (r < 0)
        (void) log_error_errno(r, "cannot start the spawner with %s%s%s", worker,
                               skepd->store ? " and " : "", programs.store);
    else
        r = run_with_spawner(skepd, arguments);
    skepd->spawner = spawner_free(skepd->spawner);
    skepd->cgroups = cgroup_free(skepd->cgroups);
    return r;
}

static int run(const struct arguments *arguments, struct config *config, struct service *service)
{
    struct skepd skepd = {
        .config = config,
        .service = service,
        .sockets = service_sockets(service),
        .notify = service_notify(service),
        .is_dev = arguments->dev,
        .data_fd = -1,
        .trace = arguments->trace ? trace_new() : NULL,
    };
    char worker[PATH_MAX];

    if (arguments->check_only)
        return check(skepd.config);
    log_set_level(skepd.config->log_level);
    log_set_format(skepd.config->log_format);
    int r = arguments_find_worker(arguments, worker, sizeof worker);
    if (r == 0)
        r = raise_file_limit(&skepd);
    if (r < 0)
        return r;
    r = record_init(&skepd.record, skepd.config);
    if (r < 0)
        return log_error_errno(r, "cannot start");
    prevent_cores();
    keep_memory_small();
    large_blocks_start();
    (void) signal(SIGPIPE, SIG_IGN);
    if (skepd.config->state && !skepd.is_dev && !arguments->probe_only)
        r = store_new(skepd.config->state, &skepd.store);
    if (r == 0 && skepd.config->storage.folder && !arguments->probe_only)
        r = open_data_folder(&skepd);
    if (r == 0)
        r = run_with_cgroups(&skepd, arguments, worker);
    skepd.store = store_free(skepd.store);
    fd_cleanup(&skepd.data_fd);
    record_done(&skepd.record);
    return r;
}

static int read_and_run(const struct arguments *arguments, struct service *service)
{
    struct config_errors errors = { 0 };
    struct config *config = NULL;

    int r = config_read(arguments->config, &config, &errors);
    if (r < 0)
        service_say_failed(service, errors.text);
    if (arguments->check_only)
        print_errors(&errors);
    else
        log_errors(&errors);
    if (r == 0)
        r = run(arguments, config, service);
    (void) config_free(config);
    return r;
}

static int compile(const struct arguments *arguments)
{
    char worker[PATH_MAX];
    const struct compile_options options = { .config = arguments->config,
                                             .worker = worker,
                                             .paths = arguments->paths };
    int r = arguments_find_worker(arguments, worker, sizeof worker);

    prevent_cores();
    return r < 0 ? r : compile_run(&options);
}

int main(int argc, char **argv)
{
    _cleanup_(service_cleanup) struct service *service = NULL;
    struct arguments arguments = { 0 };

    log_init("skepd", LOG_LEVEL_INFO);
    journal_open();
    log_set_format(LOG_FORMAT_AUTO);
    if (service_new(argc, argv, &service) < 0)
        return 1;
    int status = arguments_parse(argc, argv, &arguments);
    if (status >= 0)
        return status;
    if (arguments.compile_only)
        return compile(&arguments) < 0 ? 1 : 0;
    _cleanup_free_ char *config = arguments_make_absolute(arguments.config);
    if (!config) {
        (void) log_error_errno(-errno, "cannot find the folder of %s", arguments.config);
        return 1;
    }
    arguments.config = config;
    int r = read_and_run(&arguments, service);
    if (r < 0)
        service_say_failed(service, NULL);
    return r < 0 ? 1 : 0;
}
