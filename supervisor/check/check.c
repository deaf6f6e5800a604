/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/check/check.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "common/rss.h"
#include "config/tenant_files.h"
#include "proto/channel.h"
#include "proto/frame.h"
#include "proto/scoreboard.h"
#include "proto/worker_tails.h"
#include "spawner/wire.h"
#include "supervisor/helpers/spawner.h"
#include "supervisor/jail/attest.h"
#include "supervisor/jail/level.h"
#include "supervisor/tenants/tenant.h"
#include "worker.pb-c.h"

enum { PHASE_BOOTING = 1, PHASE_CHECKING = 2 };

/* No other skepd of this host has a worker in that slot, whose uid it decides. */
#define SLOT (SPAWNER_MAX_SLOTS - 1)
#define BOOT_NS (30 * NSEC_PER_SEC)
/* The same as for a load: this many times cpu_startup_ms of wall time. */
#define WALL_FACTOR 10
#define WALL_LEAST_MS 5000
#define WALL_MOST_MS 600000
#define TICK_US 20000
#define PROBLEMS_MAX 100
#define PART_BYTES (FRAME_MAX_BYTES / 2)

/* The state of a run, and of its current tenant with its worker. */
struct check {
    struct check_options options;
    struct check_faults *faults;
    struct event *tick;
    int error; /* no worker can be had */

    const struct manifest *tenant;
    const struct cordon_config *cordon;
    struct limits limits;
    struct spawner_worker worker; /* pid 0: not started, or ended */
    struct channel *channel;      /* NULL: the tenant is done */
    int board_fd;
    uint64_t deadline_ns, wall_ms;
    unsigned n_problems;
    bool has_hello, is_sent;
};

/* ---- faults */

static void add(struct config_errors *errors, const struct manifest *tenant, const char *path,
                unsigned line, unsigned column, const char *text)
{
    _cleanup_free_ char *file = NULL;
    const char *slash = strrchr(tenant->file, '/');

    if (asprintf(&file, "%.*s%s", slash ? (int) (slash - tenant->file + 1) : 0, tenant->file,
                 path) >= 0)
        config_errors_add_at(errors, file, line, column, "%s", text);
}

static void end(struct check *check)
{
    check->channel = channel_free(check->channel);
    if (check->worker.pidfd >= 0)
        (void) pidfd_send_signal(check->worker.pidfd, SIGKILL, NULL, 0);
    else
        (void) event_base_loopbreak(check->options.base);
}

/* Reports a fault that is the tenant's own, as far as is known. */
static void fail(struct check *check, const char *text)
{
    add(&check->faults->errors, check->tenant, check->tenant->main, 0, 0, text);
    end(check);
}

static void give_up(struct check *check, int error, const char *step)
{
    const char *hint = spawner_hint(error, step);

    check->error = log_error_errno(error, "cannot start a worker (%s)%s%s", step, hint ? "; " : "",
                                   hint ? hint : "");
    end(check);
}

/* ---- to the worker */

static int send_frame(struct check *check, Skep__Worker__ToWorker__MessageCase which, void *message)
{
    Skep__Worker__ToWorker envelope = SKEP__WORKER__TO_WORKER__INIT;

    envelope.message_case = which;
    envelope.ping = message; /* any member of the union: all are pointers */
    return channel_send(check->channel, &envelope.base);
}

static ProtobufCBinaryData text_of(const char *text)
{
    return (ProtobufCBinaryData){ .len = strlen(text), .data = (uint8_t *) (uintptr_t) text };
}

/* Sends no env and no bindings, since no code runs that could read them. */
static int send_begin(struct check *check)
{
    Skep__Worker__Limits limits = SKEP__WORKER__LIMITS__INIT;
    Skep__Worker__LoadBegin begin = SKEP__WORKER__LOAD_BEGIN__INIT;

    limits.cpu_startup_ms = check->limits.cpu_startup_ms;
    limits.heap_mib = check->limits.heap_mib;
    limits.external_mib = check->limits.external_mib;
    begin.placement = 1;
    begin.name = text_of(check->tenant->name);
    begin.main = text_of(check->tenant->main);
    begin.limits = &limits;
    return send_frame(check, SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_BEGIN, &begin);
}

static int send_file(struct check *check, const struct tenant_file *file)
{
    size_t at = 0;
    int r;

    do {
        Skep__Worker__LoadFile part = SKEP__WORKER__LOAD_FILE__INIT;
        size_t size = file->size - at < PART_BYTES ? file->size - at : PART_BYTES;
        part.placement = 1;
        part.path = text_of(file->path);
        part.data = (ProtobufCBinaryData){ .len = size, .data = (uint8_t *) file->data + at };
        r = send_frame(check, SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_FILE, &part);
        at += size;
    } while (r == 0 && at < file->size);
    return r;
}

static void send_all(struct check *check)
{
    Skep__Worker__LoadCheck last = SKEP__WORKER__LOAD_CHECK__INIT;
    int r = send_begin(check);

    for (unsigned i = 0; i < check->tenant->n_files && r == 0; i++)
        if (!manifest_is_migration(check->tenant, &check->tenant->files[i]))
            r = send_file(check, &check->tenant->files[i]);
    last.placement = 1;
    if (r == 0)
        r = send_frame(check, SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_CHECK, &last);
    channel_set_phase(check->channel, PHASE_CHECKING);
    check->is_sent = true;
    check->deadline_ns = io_now_ns() + check->wall_ms * NSEC_PER_MSEC;
    if (r < 0)
        give_up(check, r, "files");
}

/* ---- from the worker */

static void look(struct check *check)
{
    if (!check->has_hello || check->worker.pid == 0)
        return;
    if (check->options.jail->is_unjailed) {
        send_all(check);
        return;
    }
    int r = spawner_look(check->options.spawner, SLOT, check->worker.pid,
                         check->cordon->jit == JIT_OFF);
    if (r < 0)
        give_up(check, r, "look at its jail");
}

static int on_hello(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Hello *hello = (const Skep__Worker__Hello *) message;
    struct check *check = owner;

    if (check->has_hello || hello->protocol != PROTOCOL_VERSION)
        return -EPROTO;
    check->has_hello = true;
    look(check);
    return 0;
}

static int on_problem(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Problem *problem = (const Skep__Worker__Problem *) message;
    struct check *check = owner;
    char file[TENANT_PATH_MAX + 1], text[1024 + 1];

    if (problem->placement != 1 || problem->file.len >= sizeof file ||
        problem->text.len >= sizeof text || check->n_problems++ >= PROBLEMS_MAX)
        return -EPROTO;
    (void) snprintf(file, sizeof file, "%.*s", (int) problem->file.len,
                    (const char *) problem->file.data);
    (void) snprintf(text, sizeof text, "%.*s", (int) problem->text.len,
                    (const char *) problem->text.data);
    if (!tenant_files_find(check->tenant, file))
        return -EPROTO;
    if (problem->unused) {
        char note[sizeof text + 64];
        (void) snprintf(note, sizeof note, "no import statement leads here, and: %s", text);
        add(&check->faults->notes, check->tenant, file, problem->line, problem->column, note);
    } else {
        add(&check->faults->errors, check->tenant, file, problem->line, problem->column, text);
    }
    return 0;
}

/* Notes a limit. The Loaded that follows has the text. */
static int on_exceeded(void *owner, const ProtobufCMessage *message)
{
    (void) owner;
    (void) message;
    return 0;
}

static int on_loaded(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Loaded *loaded = (const Skep__Worker__Loaded *) message;
    struct check *check = owner;
    char text[1024];

    if (loaded->placement != 1)
        return -EPROTO;
    (void) snprintf(text, sizeof text, "%.*s", (int) loaded->message.len,
                    (const char *) loaded->message.data);
    if (loaded->result != SKEP__WORKER__LOAD_RESULT__LOAD_OK && text[0])
        fail(check, text);
    else
        end(check);
    return 0;
}

static const struct channel_rule rules[] = {
    [SKEP__WORKER__FROM_WORKER__MESSAGE_HELLO] = { PHASE_BOOTING, on_hello },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_PROBLEM] = { PHASE_CHECKING, on_problem },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_EXCEEDED] = { PHASE_CHECKING, on_exceeded },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_LOADED] = { PHASE_CHECKING, on_loaded },
};

static const struct channel_table table = {
    .envelope = &skep__worker__from_worker__descriptor,
    .case_offset = offsetof(Skep__Worker__FromWorker, message_case),
    .value_offset = offsetof(Skep__Worker__FromWorker, hello),
    .rules = rules,
    .n_rules = ARRAY_LEN(rules),
};

/* Returns the last words of the worker with the scoreboard in fd. */
static uint32_t read_last_words(int fd)
{
    struct scoreboard_thread threads[SCOREBOARD_THREADS];

    if (pread(fd, threads, sizeof threads, offsetof(struct scoreboard, threads)) !=
        (ssize_t) sizeof threads)
        return LAST_WORDS_NONE;
    const struct scoreboard_thread *row = scoreboard_last_words(threads);
    return row ? atomic_load(&row->last_words) : LAST_WORDS_NONE;
}

static void on_closed(void *owner, int error)
{
    struct check *check = owner;
    uint32_t words = read_last_words(check->board_fd);

    if (!check->is_sent)
        give_up(check, error < 0 ? error : -ECHILD, "hello");
    else if (error == -EPROTO || error == -EMSGSIZE)
        fail(check, "the worker that compiled it broke the protocol");
    else if (words == LAST_WORDS_HEAP_OOM)
        fail(check, "compiling it takes more than heap_mib");
    else
        fail(check, "the worker that compiled it has died");
}

/* ---- the worker's process */

static void on_result(void *owner, unsigned slot, int error, const char *step,
                      const struct spawner_worker *worker)
{
    struct check *check = owner;

    (void) slot;
    if (!worker) {
        give_up(check, error, step);
        return;
    }
    check->worker = *worker;
    look(check);
}

static void on_facts(void *owner, unsigned slot, pid_t pid, int error,
                     const struct jail_facts *facts)
{
    struct check *check = owner;
    char text[160];

    (void) slot;
    if (pid != check->worker.pid || !check->channel || error == -ESRCH)
        return;
    if (error == 0)
        error = attest_judge(facts, check->options.jail->layers, check->cordon->jit != JIT_OFF,
                             text, sizeof text);
    if (error < 0)
        give_up(check, error, "jail");
    else
        send_all(check);
}

static void on_exited(void *owner, unsigned slot, pid_t pid, int wait_status, uint64_t cpu_ns)
{
    struct check *check = owner;

    (void) slot;
    (void) wait_status;
    (void) cpu_ns;
    if (pid != check->worker.pid)
        return;
    if (check->channel)
        channel_drain_input(check->channel); /* the last frames; ends with on_closed */
    (void) event_base_loopbreak(check->options.base);
}

static const struct spawner_ops spawner_ops = {
    .on_result = on_result,
    .on_facts = on_facts,
    .on_exited = on_exited,
};

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("check: time and memory");
    struct check *check = arg;
    char text[128];

    if (!check->channel)
        return;
    if (check->is_sent && check->cordon->rss_mib != LIMIT_UNLIMITED &&
        rss_read_bytes(check->worker.statm_fd) >> 20 > check->cordon->rss_mib) {
        (void) snprintf(text, sizeof text, "compiling it takes more than rss_mib, which is %u",
                        check->cordon->rss_mib);
        fail(check, text);
        return;
    }
    if (io_now_ns() < check->deadline_ns)
        return;
    (void) snprintf(text, sizeof text,
                    "compiling it has not ended after %u ms; cpu_startup_ms is %u",
                    (unsigned) check->wall_ms, check->limits.cpu_startup_ms);
    if (check->is_sent)
        fail(check, text);
    else
        give_up(check, -ETIMEDOUT, "hello");
}

/* ---- one tenant after the other */

static int start(struct check *check)
{
    _cleanup_fd_ int own_end = -1, worker_end = -1;
    int pair[2];

    check->board_fd = memfd_create("skep-scoreboard", MFD_CLOEXEC);
    if (check->board_fd < 0 || ftruncate(check->board_fd, (off_t) SCOREBOARD_BYTES) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    own_end = pair[0];
    worker_end = pair[1];
    const struct channel_options channel = {
        .base = check->options.base,
        .fd = own_end,
        .name = "check: frames",
        .receive = &table,
        .tails = &worker_tails,
        .phase = PHASE_BOOTING,
        .owner = check,
        .on_closed = on_closed,
    };
    const struct spawner_job job = {
        .slot = SLOT,
        .jit = check->cordon->jit,
        .layers = check->options.jail->layers,
        .channel_fd = worker_end,
        .scoreboard_fd = check->board_fd,
        .cgroup_fd = -1,
    };
    int r = channel_new(&channel, &check->channel);
    if (r < 0)
        return r;
    (void) TAKE_FD(own_end);
    return spawner_spawn(check->options.spawner, &job);
}

static void set_tenant(struct check *check, const struct manifest *tenant)
{
    struct limit_origin origins[LIMITS_COUNT];
    const struct config *config = check->options.config;
    const struct cordon_config *cordon = config_find_cordon(config, tenant->cordon);

    check->tenant = tenant;
    check->cordon = cordon ? cordon : config->cordons[0];
    tenant_resolve_limits(config, check->cordon, tenant, &check->limits, origins);
    uint64_t wall_ms = (uint64_t) WALL_FACTOR * check->limits.cpu_startup_ms;
    check->wall_ms = wall_ms > WALL_MOST_MS    ? WALL_MOST_MS
                     : wall_ms < WALL_LEAST_MS ? WALL_LEAST_MS
                                               : wall_ms;
    check->worker = (struct spawner_worker){ .pidfd = -1, .stat_fd = -1, .statm_fd = -1 };
    check->board_fd = -1;
    check->deadline_ns = io_now_ns() + BOOT_NS;
    check->n_problems = 0;
    check->has_hello = check->is_sent = false;
}

static void check_tenant(struct check *check, const struct manifest *tenant)
{
    set_tenant(check, tenant);
    int r = start(check);
    if (r < 0)
        check->error = log_error_errno(r, "cannot start a worker");
    else
        (void) event_base_dispatch(check->options.base);
    check->channel = channel_free(check->channel);
    fd_cleanup(&check->worker.pidfd);
    fd_cleanup(&check->worker.stat_fd);
    fd_cleanup(&check->worker.statm_fd);
    fd_cleanup(&check->board_fd);
}

int check_modules(const struct check_options *options, struct manifest *const *tenants,
                  unsigned n_tenants, struct check_faults *faults)
{
    static const struct timeval tick = { .tv_usec = TICK_US };
    struct check check = { .options = *options, .faults = faults };

    check.tick = event_new(options->base, -1, EV_PERSIST, on_tick, &check);
    if (!check.tick || event_add(check.tick, &tick) < 0)
        check.error = -ENOMEM;
    else
        check.error = spawner_attach(options->spawner, options->base, &spawner_ops, &check);
    for (unsigned i = 0; i < n_tenants && check.error == 0; i++)
        check_tenant(&check, tenants[i]);
    if (check.tick)
        event_free(check.tick);
    return check.error;
}

void check_faults_done(struct check_faults *faults)
{
    config_errors_done(&faults->errors);
    config_errors_done(&faults->notes);
}

static json_t *list(const struct config_errors *errors)
{
    json_t *items = json_array();

    for (unsigned i = 0; i < errors->n_items; i++) {
        const struct config_error *error = &errors->items[i];
        (void) json_array_append_new(items, json_pack("{s:s, s:i, s:i, s:s}", "file", error->file,
                                                      "line", (int) error->line, "column",
                                                      (int) error->column, "text", error->text));
    }
    return items;
}

int check_print(const struct check_faults *faults, FILE *file)
{
    json_t *all =
        json_pack("{s:o, s:o}", "errors", list(&faults->errors), "notes", list(&faults->notes));
    int r = all ? json_dumpf(all, file, JSON_COMPACT) : -1;

    json_decref(all);
    return r < 0 || fputc('\n', file) == EOF || fflush(file) != 0 ? -EIO : 0;
}
