/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skepd: reads its config, forks the spawner, then opens sockets and runs one loop until it is
 * told to stop. Never runs JavaScript.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <getopt.h>
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
#include "helper/journal.h"
#include "store/program.h"
#include "supervisor/admin/admin.h"
#include "supervisor/commands.h"
#include "supervisor/compile.h"
#include "supervisor/confine_server.h"
#include "supervisor/deploy/deploy.h"
#include "supervisor/frames.h"
#include "supervisor/helpers/spawner.h"
#include "supervisor/helpers/store.h"
#include "supervisor/host/cgroup.h"
#include "supervisor/host/descriptors.h"
#include "supervisor/host/reader.h"
#include "supervisor/http/http.h"
#include "supervisor/placement/placement.h"
#include "supervisor/reload/reload.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/server.h"
#include "supervisor/service/listen.h"
#include "supervisor/service/service.h"
#include "supervisor/stats/metrics.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/versions/versions.h"
#include "supervisor/workers/slots.h"
#include "supervisor/workers/worker.h"

struct arguments {
    const char *config;
    const char *worker; /* NULL: found beside skepd */
    const char *dev;    /* one tenant, for every host; NULL: those of the config */
    bool check_only;
    bool probe_only;
    bool compile_only;
    char *const *paths; /* of --compile; NULL-ended */
};

/* Helpers that are programs, by their numbers in spawner_options. */
enum { PROGRAM_STORE };

static const char usage_text[] =
    "Usage: skepd --config FILE [--worker PATH] [--dev PATH] [--check | --probe]\n"
    "       skepd --compile [--config FILE] [--worker PATH] PATH...\n"
    "Serves untrusted tenants: HTTP in front, jailed V8 workers behind.\n"
    "\n"
    "  --config FILE  the service's skepd.yaml\n"
    "  --worker PATH  the skep-worker program (default: beside skepd, or in libexec/skep)\n"
    "  --dev PATH     serve only this script or tenant folder, for every host\n"
    "  --probe        say which layers of the jail this host gives workers, and exit\n"
    "  --check        read config and tenants, say what is wrong, and exit\n"
    "  --compile      compile and link the modules of scripts and tenants' folders in jailed\n"
    "                 workers, run nothing, print a JSON object of what is wrong, and exit\n"
    "  --version      print the version\n"
    "  --help         print this\n";

/* Returns -1 to go on, else the exit status. */
static int parse_arguments(int argc, char **argv, struct arguments *ret)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' },
        { "worker", required_argument, NULL, 'w' },
        { "dev", required_argument, NULL, 'd' },
        { "check", no_argument, NULL, 'k' },
        { "probe", no_argument, NULL, 'p' },
        { "version", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { "compile", no_argument, NULL, 'm' },
        { NULL, 0, NULL, 0 },
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 'c':
            ret->config = optarg;
            break;
        case 'w':
            ret->worker = optarg;
            break;
        case 'd':
            ret->dev = optarg;
            break;
        case 'k':
            ret->check_only = true;
            break;
        case 'p':
            ret->probe_only = true;
            break;
        case 'm':
            ret->compile_only = true;
            break;
        case 'v':
            (void) printf("skepd %s\n", SKEP_VERSION);
            return 0;
        case 'h':
            (void) fputs(usage_text, stdout);
            return 0;
        default:
            (void) fputs("Try skepd --help.\n", stderr);
            return 2;
        }
    ret->paths = argv + optind;
    if (ret->compile_only ? optind == argc : !ret->config || optind < argc) {
        (void) fputs(usage_text, stderr);
        return 2;
    }
    return -1;
}

/* Where the path leads now: later, a confined skepd cannot ask for its folder any more. NULL: out of memory,
 * or the folder is gone. */
static char *make_absolute(const char *path)
{
    _cleanup_free_ char *folder = path[0] == '/' ? NULL : get_current_dir_name();
    char *absolute = NULL;

    if (path[0] == '/')
        return strdup(path);
    return !folder || asprintf(&absolute, "%s/%s", folder, path) < 0 ? NULL : absolute;
}

static int find_program(const char *name, char *path, size_t size)
{
    static const char *const places[] = { "%.*s/%s", "%.*s/../libexec/skep/%s" };
    char self[PATH_MAX];

    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        return -errno;
    self[n] = '\0';
    int folder = (int) (strrchr(self, '/') - self);
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void) snprintf(path, size, places[i], folder, self, name);
#pragma GCC diagnostic pop
        if (access(path, X_OK) == 0)
            return 0;
    }
    return -ENOENT;
}

/* Writes the path of the program that workers run; size: of path. */
static int find_worker(const struct arguments *arguments, char *path, size_t size)
{
    int r = arguments->worker ? 0 : find_program("skep-worker", path, size);

    if (arguments->worker && (size_t) snprintf(path, size, "%s", arguments->worker) >= size)
        r = -ENAMETOOLONG;
    return r < 0 ? log_error_errno(r, "cannot find skep-worker; say where it is with --worker") : 0;
}

/* To whoever wants to know what is wrong, and serves nothing. */
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

static int install_one(struct server *server, struct manifest *manifest, const char *dir)
{
    int r = versions_install(server->versions, manifest, dir);

    if (r < 0) {
        (void) log_event_errno(LOG_LEVEL_ERROR, LOG_ABOUT(.tenant = manifest->name), r,
                               "cannot install tenant %s", manifest->name);
        (void) manifest_free(manifest);
    }
    return r;
}

static int install_dev(struct server *server, const char *path)
{
    struct config_errors errors = { 0 };
    struct manifest *manifest;
    struct stat st;

    if (stat(path, &st) < 0)
        return log_error_errno(-errno, "cannot read %s", path);
    int r = S_ISDIR(st.st_mode) ? manifest_read(path, &manifest, &errors)
                                : manifest_from_script(path, &manifest, &errors);
    log_errors(&errors);
    return r < 0 ? r : install_one(server, manifest, path);
}

/* Bad tenants are named and left out; the good ones are served. */
static int install_all(struct server *server)
{
    struct config_errors errors = { 0 };
    struct manifest_set set = { 0 };

    if (!server->config->tenants)
        return 0;
    int r = manifest_read_all(server->config->tenants, server->config, &set, &errors);
    log_errors(&errors);
    for (unsigned i = 0; i < set.count; i++) {
        struct manifest *manifest = TAKE_PTR(set.items[i]);
        _cleanup_free_ char *dir = strdup(manifest->file);
        if (!dir)
            return -ENOMEM;
        char *slash = strrchr(dir, '/');
        if (slash)
            *slash = '\0';
        (void) install_one(server, manifest, dir);
    }
    manifest_set_done(&set);
    return r == -EINVAL ? 0 : r;
}

/* ---- running */

static int make_front(struct server *server)
{
    struct http_front_options options = {
        .base = server->base,
        .ops = &ledger_http,
        .handler = server->ledger,
        .n_connections = &server->life.n_connections,
    };

    reload_http_limits(server->config, &options.limits);
    int r = http_front_new(&options, &server->front);
    if (r < 0)
        return r;
    ledger_set_front(server->ledger, server->front);
    return http_front_set_proxies(server->front, server->config->proxy_prefixes,
                                  server->config->n_proxies);
}

static int make_metrics(struct server *server)
{
    const struct metrics_options options = {
        .base = server->base,
        .sockets = server->sockets,
        .from = {
            .config = server->config,
            .life = &server->life,
            .health = &server->health,
            .jail = &server->jail,
            .record = &server->record,
            .tenants = server->tenants,
            .slots = server->slots,
            .front = server->front,
        },
    };

    return metrics_new(&options, &server->metrics);
}

static int make_admin(struct server *server)
{
    const struct admin_options options = {
        .commands = &commands,
        .above = server->service,
        .socket_path = server->config->admin_socket,
        .base = server->base,
        .sockets = server->sockets,
        .config = server->config,
        .life = &server->life,
        .health = &server->health,
        .jail = &server->jail,
        .record = &server->record,
        .tenants = server->tenants,
        .slots = server->slots,
        .ledger = server->ledger,
        .front = server->front,
        .reload = server->reload,
        .deploys = server->deploys,
    };

    return admin_new(&options, &server->admin);
}

static int start_service(struct server *server)
{
    const struct service_options options = {
        .base = server->base,
        .config = server->config,
        .life = &server->life,
        .health = &server->health,
        .jail = &server->jail,
        .cgroups = server->cgroups,
        .spawner = server->spawner,
        .store = server->store,
        .tenants = server->tenants,
        .slots = server->slots,
        .ledger = server->ledger,
        .front = server->front,
        .metrics = server->metrics,
        .admin = server->admin,
        .reload = server->reload,
        .deploys = server->deploys,
    };

    return service_start(server->service, &options);
}

/* The helper processes are there before what is stored is read, and before anything is asked of them. */
static int start_helpers(struct server *server)
{
    const struct store_start_options store = {
        .has_predecessor = service_has_predecessor(server->service),
        .number = PROGRAM_STORE,
        .base = server->base,
        .spawner = server->spawner,
        .health = &server->health,
    };

    int r = spawner_attach(server->spawner, server->base, &slots_spawner_ops, server->slots);
    if (r < 0)
        return log_error_errno(r, "cannot reach the spawner");
    spawner_keep_reserve(server->spawner, &server->health);
    return server->store ? store_start(server->store, &store) : 0;
}

/* What workers are made of; none is started yet. */
static int make_slots(struct server *server)
{
    const struct slots_options options = {
        .base = server->base,
        .config = server->config,
        .record = &server->record,
        .life = &server->life,
        .jail = &server->jail,
        .cgroups = server->cgroups,
        .spawner = server->spawner,
        .health = &server->health,
        .frames = &worker_frames,
    };

    return slots_new(&options, &server->slots);
}

static int make_placements(struct server *server)
{
    const struct placements_options options = {
        .base = server->base,
        .config = server->config,
        .record = &server->record,
        .slots = server->slots,
        .tenants = server->tenants,
    };

    return placements_new(&options, &server->placements);
}

static int make_versions(struct server *server)
{
    const struct versions_options options = {
        .base = server->base,
        .tenants = server->tenants,
        .placements = server->placements,
        .is_dev = server->is_dev,
    };

    return versions_new(&options, &server->versions);
}

static int make_ledger(struct server *server)
{
    const struct ledger_options options = {
        .base = server->base,
        .config = server->config,
        .record = &server->record,
        .life = &server->life,
        .placements = server->placements,
        .max_files = server->max_files,
    };

    return ledger_new(&options, &server->ledger);
}

static int make_reload(struct server *server)
{
    const struct reload_options options = {
        .base = server->base,
        .config = server->config,
        .life = &server->life,
        .front = server->front,
        .tenants = server->tenants,
        .placements = server->placements,
        .versions = server->versions,
        .notify = server->notify,
        .reader = server->reader,
        .max_files = server->max_files,
        .is_dev = server->is_dev,
    };

    return reload_new(&options, &server->reload);
}

static int make_deploys(struct server *server)
{
    const struct deploys_options options = {
        .base = server->base,
        .config = server->config,
        .life = &server->life,
        .health = &server->health,
        .record = &server->record,
        .tenants = server->tenants,
        .versions = server->versions,
        .store = server->store,
        .reader = server->reader,
        .is_dev = server->is_dev,
    };

    return deploys_new(&options, &server->deploys);
}

static int set_up(struct server *server, const struct arguments *arguments)
{
    int r = make_slots(server);

    if (r == 0)
        r = start_helpers(server);
    if (r < 0)
        return r;
    r = tenants_new(server->config, &server->record, &server->tenants);
    if (r == 0)
        r = make_placements(server);
    if (r == 0)
        r = make_versions(server);
    if (r == 0)
        r = reader_new(server->base, &server->reader);
    if (r == 0)
        r = make_ledger(server);
    if (r == 0)
        r = make_front(server);
    if (r == 0)
        r = make_reload(server);
    if (r == 0)
        r = make_deploys(server);
    if (r < 0)
        return log_error_errno(r, "cannot start");
    r = arguments->dev ? install_dev(server, arguments->dev) : install_all(server);
    if (r == 0)
        r = deploys_install_stored(server->deploys);
    if (r < 0)
        return r;
    r = listen_front(server->front, server->sockets, server->config);
    if (r < 0)
        return r;
    r = slots_start(server->slots);
    if (r < 0)
        return log_error_errno(r, "cannot start the workers");
    r = make_metrics(server);
    if (r == 0)
        r = make_admin(server);
    return r < 0 ? r : start_service(server);
}

static void tear_down(struct server *server)
{
    service_stop_events(server->service);
    server->admin = admin_free(server->admin);
    server->metrics = metrics_free(server->metrics);
    server->reader = reader_free(server->reader);
    server->reload = reload_free(server->reload);
    server->front = http_front_free(server->front);
    if (server->ledger)
        ledger_set_front(server->ledger, NULL);
    server->ledger = ledger_free(server->ledger);
    server->deploys = deploys_free(server->deploys);
    server->store = store_free(server->store);
    server->slots = slots_free(server->slots);
    server->placements = placements_free(server->placements);
    server->versions = versions_free(server->versions);
    server->tenants = tenants_free(server->tenants);
    server->spawner = spawner_free(server->spawner);
}

static int serve(struct server *server, const struct arguments *arguments)
{
    struct event_config *config = event_config_new();

    if (config && event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0)
        server->base = event_base_new_with_config(config);
    if (config)
        event_config_free(config);
    if (!server->base)
        return log_error_errno(-ENOMEM, "cannot make the event loop");
    int r = set_up(server, arguments);
    if (r == 0)
        r = confine_server(server);
    loop_watch_start();
    if (r == 0 && event_base_dispatch(server->base) < 0)
        r = log_error_errno(-EIO, "the event loop failed");
    if (r == 0 && server->life.has_failed)
        r = -ECHILD;
    if (r < 0) /* now: what follows may log errors of its own */
        service_say_failed(server->service, NULL);
    tear_down(server);
    event_base_free(server->base);
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

/* Large buffers (a tenant's files on their way to a worker, bodies) go back to the kernel when they are
 * freed: glibc would else raise its threshold for that to 32 MiB, mallopt(3), and keep what a bad minute
 * took. */
static void keep_memory_small(void)
{
    (void) mallopt(M_MMAP_THRESHOLD, 128 << 10);
    (void) mallopt(M_TRIM_THRESHOLD, 1 << 20);
    (void) mallopt(M_ARENA_MAX, 1); /* of two threads; another arena would need more system calls */
}

/* A reserve is kept for everything that is not a client, or admin and metrics would stop under load. */
static int raise_file_limit(struct server *server)
{
    char text[512];
    int r = descriptors_raise(server->config, &server->max_files);

    if (r == -EMFILE && descriptors_check(server->config, server->max_files, text, sizeof text) < 0)
        log_error("cannot start: %s", text);
    else if (r < 0)
        (void) log_error_errno(r, "cannot read the limit of open files");
    return r;
}

/* Memory of skepd, spawners and store holds secrets of tenants, and reaches no disk by a core file. Workers
 * inherit both, and cannot be dumped besides. A program that the kernel pipes cores to is not bound by the
 * rlimit, core(5): it gets a core without memory. Best effort. */
static void prevent_cores(void)
{
    static const struct rlimit none = { 0 };
    _cleanup_fd_ int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);

    (void) setrlimit(RLIMIT_CORE, &none);
    if (fd >= 0)
        (void) io_write_all(fd, "0", 1);
}

/* Workers without cgroups are watched by polling. */
static void make_cgroups(struct server *server)
{
    char text[512];

    if (cgroup_new(&server->cgroups, text, sizeof text) < 0)
        log_warning("no cgroup limits: %s", text);
    else
        log_info("workers get cgroups of their own");
}

static int run_with_spawner(struct server *server, const struct arguments *arguments)
{
    int r = jail_find_level(server->spawner, server->config, &server->jail);

    if (r < 0)
        return r;
    if (arguments->probe_only) {
        jail_print_layers(&server->jail, stdout);
        return server->jail.is_reduced ? -EPERM : 0;
    }
    r = jail_check_consent(&server->jail, &server->config->jail, server->is_dev);
    return r < 0 ? r : serve(server, arguments);
}

/* Before any process is forked, and after all have ended. */
static int run_with_cgroups(struct server *server, const struct arguments *arguments,
                            const char *worker)
{
    struct spawner_program programs[] = { [PROGRAM_STORE] = { .name = STORE_PROGRAM } };
    const struct spawner_options spawner = {
        .worker_path = worker,
        .origin = service_origin(server->service),
        .programs = programs,
        .n_programs = server->store ? ARRAY_LEN(programs) : 0,
    };
    char store[PATH_MAX];

    if (server->store) {
        int found = find_program(STORE_PROGRAM, store, sizeof store);
        if (found < 0)
            return log_error_errno(found, "cannot find " STORE_PROGRAM ", which `state` needs");
        programs[PROGRAM_STORE].path = store;
        programs[PROGRAM_STORE].folder_fd = store_folder_fd(server->store);
    }
    if (!arguments->probe_only)
        make_cgroups(server);
    int r = spawner_start(&spawner, &server->spawner);
    if (r < 0)
        (void) log_error_errno(r, "cannot start the spawner with %s%s%s", worker,
                               server->store ? " and " : "", server->store ? store : "");
    else
        r = run_with_spawner(server, arguments);
    server->spawner = spawner_free(server->spawner);
    server->cgroups = cgroup_free(server->cgroups);
    return r;
}

/* A reload puts another config in its place, which is the caller's. */
static int run(const struct arguments *arguments, struct config **config, struct service *service)
{
    struct server server = { .config = *config, .is_dev = arguments->dev };
    char worker[PATH_MAX];

    if (arguments->check_only)
        return check(server.config);
    log_set_level(server.config->log_level);
    log_set_format(server.config->log_format);
    int r = find_worker(arguments, worker, sizeof worker);
    if (r == 0)
        r = raise_file_limit(&server);
    if (r < 0)
        return r;
    r = record_init(&server.record, server.config);
    if (r < 0)
        return log_error_errno(r, "cannot start");
    prevent_cores();
    keep_memory_small();
    large_blocks_start();
    (void) signal(SIGPIPE, SIG_IGN);
    server.service = service;
    server.sockets = service_sockets(service);
    server.notify = service_notify(service);
    if (server.config->state && !server.is_dev && !arguments->probe_only)
        r = store_new(server.config->state, &server.store);
    if (r == 0)
        r = run_with_cgroups(&server, arguments, worker);
    server.store = store_free(server.store);
    record_done(&server.record);
    *config = server.config;
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
        r = run(arguments, &config, service);
    (void) config_free(config);
    return r;
}

static int compile(const struct arguments *arguments)
{
    char worker[PATH_MAX];
    const struct compile_options options = { .config = arguments->config,
                                             .worker = worker,
                                             .paths = arguments->paths };
    int r = find_worker(arguments, worker, sizeof worker);

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
    int status = parse_arguments(argc, argv, &arguments);
    if (status >= 0)
        return status;
    if (arguments.compile_only)
        return compile(&arguments) < 0 ? 1 : 0;
    _cleanup_free_ char *config = make_absolute(arguments.config);
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
