/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/rig.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/io.h"
#include "common/log.h"
#include "common/process.h"
#include "common/rss.h"
#include "supervisor/frames.h"
#include "supervisor/helpers/spawner.h"
#include "supervisor/http/http.h"
#include "supervisor/placement/placement.h"
#include "supervisor/reload/reload.h"
#include "supervisor/versions/versions.h"
#include "supervisor/workers/link.h"
#include "supervisor/workers/slots.h"

void rig_fail(const char *condition, int line)
{
    (void) fprintf(stderr, "line %d: not so: %s\n", line, condition);
    abort();
}

/* Read by AddressSanitizer, where there is one. Its default keeps 256 MiB of freed memory, so that
 * each input works on memory that it has never touched: half the speed. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=8";
}

/* ---- the supervisor */

static void listen_somewhere(struct rig *rig)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX }; /* the kernel picks an abstract name */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    CHECK(fd >= 0 && bind(fd, (struct sockaddr *) &address, sizeof(sa_family_t)) == 0);
    rig->address_size = sizeof rig->address;
    CHECK(getsockname(fd, (struct sockaddr *) &rig->address, &rig->address_size) == 0);
    CHECK(listen(fd, 16) == 0 && http_front_adopt(rig->server.front, fd) == 0);
}

static void make_front(struct rig *rig)
{
    const struct http_front_options options = {
        .base = rig->server.base,
        .ops = &ledger_http,
        .handler = rig->server.ledger,
        .limits = {
            .header_bytes = 4096,
            .header_count = 16,
            .connections = 16,
            .connections_per_ip = 16,
            .header_timeout_ms = 60000,
            .body_idle_ms = 60000,
            .keepalive_ms = 60000,
            .write_idle_ms = 60000,
        },
    };

    CHECK(http_front_new(&options, &rig->server.front) == 0);
    ledger_set_front(rig->server.ledger, rig->server.front);
    listen_somewhere(rig);
}

/* One that has died: no other worker can be started. */
static struct spawner *make_dead_spawner(void)
{
    const struct spawner_options options = { .worker_path = "/bin/true" };
    struct spawner *spawner;

    CHECK(spawner_start(&options, &spawner) == 0);
    CHECK(kill(spawner_pid(spawner, 0), SIGKILL) == 0);
    CHECK(waitpid(spawner_pid(spawner, 0), NULL, 0) == spawner_pid(spawner, 0));
    return spawner;
}

/* Not started: the target plays the workers. */
static void make_slots(struct server *server)
{
    const struct slots_options options = {
        .base = server->base,
        .config = server->config,
        .record = &server->record,
        .life = &server->life,
        .jail = &server->jail,
        .spawner = server->spawner,
        .health = &server->health,
        .frames = &worker_frames,
    };

    CHECK(slots_new(&options, &server->slots) == 0);
}

static void make_placements(struct server *server)
{
    const struct placements_options options = {
        .base = server->base,
        .config = server->config,
        .record = &server->record,
        .slots = server->slots,
        .tenants = server->tenants,
    };

    CHECK(placements_new(&options, &server->placements) == 0);
}

static void make_versions(struct server *server)
{
    const struct versions_options options = {
        .base = server->base,
        .tenants = server->tenants,
        .placements = server->placements,
    };

    CHECK(versions_new(&options, &server->versions) == 0);
}

static void make_ledger(struct server *server)
{
    const struct ledger_options options = {
        .base = server->base,
        .config = server->config,
        .record = &server->record,
        .life = &server->life,
        .placements = server->placements,
    };

    CHECK(ledger_new(&options, &server->ledger) == 0);
}

static void make_reload(struct server *server)
{
    const struct reload_options options = {
        .base = server->base,
        .config = server->config,
        .life = &server->life,
        .front = server->front,
        .tenants = server->tenants,
        .placements = server->placements,
        .versions = server->versions,
    };

    CHECK(reload_new(&options, &server->reload) == 0);
}

static void make_once(struct rig *rig, const char *config)
{
    struct config_errors errors = { 0 };
    struct server *server = &rig->server;

    log_silence();
    (void) signal(SIGPIPE, SIG_IGN);
    if (config_parse("/etc/skepd.yaml", config, strlen(config), &server->config, &errors) < 0)
        rig_fail(errors.text, __LINE__);
    server->spawner = make_dead_spawner();
    server->base = event_base_new();
    CHECK(server->base);
}

struct rig *rig_start(const char *config)
{
    static struct rig rig;
    struct server *server = &rig.server;

    if (!server->base)
        make_once(&rig, config);
    rig.server = (struct server){
        .base = server->base,
        .config = server->config,
        .spawner = server->spawner,
        .jail = { .is_unjailed = true }, /* a dead spawner looks at none */
    };
    CHECK(record_init(&server->record, server->config) == 0);
    make_slots(server);
    CHECK(tenants_new(server->config, &server->record, &server->tenants) == 0);
    make_placements(server);
    make_versions(server);
    make_ledger(server);
    make_front(&rig);
    make_reload(server);
    return &rig;
}

void rig_stop(struct rig *rig)
{
    struct server *server = &rig->server;

    CHECK(http_front_connections(server->front) == 0);
    server->reload = reload_free(server->reload);
    server->front = http_front_free(server->front);
    ledger_set_front(server->ledger, NULL);
    server->ledger = ledger_free(server->ledger);
    server->slots = slots_free(server->slots);
    server->placements = placements_free(server->placements);
    server->versions = versions_free(server->versions);
    server->tenants = tenants_free(server->tenants);
    record_done(&server->record);
}

void rig_install(struct rig *rig, const char *text, const char *dir)
{
    struct config_errors errors = { 0 };
    struct manifest *manifest = NULL;

    if (manifest_parse("/srv/skep.yaml", text, strlen(text), &manifest, &errors) < 0)
        rig_fail(errors.text, __LINE__);
    CHECK(versions_install(rig->server.versions, manifest, dir) == 0);
}

/* Time does nothing by itself, so that the same input has the same outcome: see rig_tick. */
void rig_turn(struct rig *rig)
{
    (void) event_del(rig->server.placements->watch);
    (void) event_del(rig->server.placements->care);
    (void) event_del(rig->server.ledger->tick);
    (void) event_base_loop(rig->server.base, EVLOOP_NONBLOCK);
}

void rig_tick(struct rig *rig)
{
    event_active(rig->server.placements->watch, EV_TIMEOUT, 0);
    event_active(rig->server.placements->care, EV_TIMEOUT, 0);
    event_active(rig->server.ledger->tick, EV_TIMEOUT, 0);
    (void) event_base_loop(rig->server.base, EVLOOP_NONBLOCK);
}

/* ---- workers */

void rig_worker_start(struct rig *rig, const char *cordon, enum slot_kind kind,
                      struct rig_worker *ret_worker)
{
    struct server *server = &rig->server;
    struct slot *slot = slots_add(server->slots, config_find_cordon(server->config, cordon), kind);
    struct worker *worker = slot ? worker_new(server->slots, slot->cordon, slot->number) : NULL;
    int pair[2];

    CHECK(worker && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    worker->board =
        mmap(NULL, SCOREBOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(worker->board != MAP_FAILED && link_open(worker, pair[0]) == 0);
    worker->jit = worker->cordon->jit;
    worker->rss_mib = worker->cordon->rss_mib;
    worker->started_ns = io_now_ns();
    slots_put(server->slots, slot, worker);
    *ret_worker = (struct rig_worker){ .worker = worker, .fd = pair[1] };
}

void rig_worker_spawned(struct rig *rig, struct rig_worker *peer)
{
    /* Our own number, so that its clock and its state can be read; and a descriptor that no signal
     * can be sent to. Opened once: to open a file of /proc is most of what a worker costs here. */
    static struct spawner_worker opened;
    if (opened.pid == 0) {
        opened.pid = getpid();
        opened.pidfd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        CHECK(opened.pidfd >= 0);
        CHECK(process_open(opened.pid, &opened.stat_fd) == 0 &&
              rss_open(opened.pid, &opened.statm_fd) == 0);
    }
    struct spawner_worker self = {
        .pid = opened.pid,
        .pidfd = fcntl(opened.pidfd, F_DUPFD_CLOEXEC, 0),
        .stat_fd = fcntl(opened.stat_fd, F_DUPFD_CLOEXEC, 0),
        .statm_fd = fcntl(opened.statm_fd, F_DUPFD_CLOEXEC, 0),
    };

    CHECK(self.pidfd >= 0 && self.stat_fd >= 0 && self.statm_fd >= 0);
    slots_spawner_ops.on_result(rig->server.slots, peer->worker->number, 0, "", &self);
}

void rig_worker_become_ready(struct rig *rig, struct rig_worker *peer)
{
    struct worker *worker = peer->worker;

    rig_worker_spawned(rig, peer);
    worker->has_hello = true;
    worker->state = WORKER_READY;
    worker->ready_ns = io_now_ns();
    link_set_ready(worker);
    worker->slots->ops->on_ready(worker);
}

void rig_worker_exit(struct rig *rig, struct rig_worker *peer, int wait_status)
{
    const struct worker *worker = peer->worker;
    const struct spawner_ops *ops = &slots_spawner_ops;
    struct slot *slot = NULL;

    if (worker->pid > 0)
        ops->on_exited(rig->server.slots, worker->number, worker->pid, wait_status,
                       io_clock_ns(CLOCK_PROCESS_CPUTIME_ID));
    else
        ops->on_result(rig->server.slots, worker->number, -EAGAIN, "fork", NULL);
    peer->worker = NULL;
    while ((slot = slots_next(rig->server.slots, slot)))
        (void) event_del(slot->timer); /* the next start, which would fail */
}

void rig_worker_done(struct rig_worker *peer)
{
    (void) close(peer->fd);
    peer->fd = -1;
}

void rig_drop_input(int fd)
{
    static char input[65536];

    while (read(fd, input, sizeof input) > 0)
        ;
}

/* ---- clients */

static int on_message_begin(llhttp_t *parser)
{
    struct rig_client *client = parser->data;

    CHECK(++client->begun <= client->asked);
    client->body_size = 0;
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    struct rig_client *client = parser->data;

    client->ended++;
    client->status = parser->status_code;
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t size)
{
    (void) at;
    ((struct rig_client *) parser->data)->body_size += size;
    return 0;
}

void rig_client_start(struct rig *rig, struct rig_client *client)
{
    static const llhttp_settings_t settings = {
        .on_message_begin = on_message_begin,
        .on_message_complete = on_message_complete,
        .on_body = on_body,
    };

    *client = (struct rig_client){ .fd = socket(AF_UNIX, SOCK_STREAM, 0) };
    CHECK(client->fd >= 0 &&
          connect(client->fd, (const struct sockaddr *) &rig->address, rig->address_size) == 0);
    CHECK(io_set_nonblocking(client->fd) == 0);
    llhttp_init(&client->parser, HTTP_RESPONSE, &settings);
    client->parser.data = client;
}

void rig_client_ask(struct rig_client *client, const void *data, size_t size, bool is_new)
{
    client->asked += is_new;
    CHECK(send(client->fd, data, size, MSG_NOSIGNAL) == (ssize_t) size);
}

void rig_client_read(struct rig_client *client)
{
    static char answer[65536];
    ssize_t n;

    if (client->fd < 0)
        return;
    while ((n = read(client->fd, answer, sizeof answer)) > 0)
        CHECK(llhttp_execute(&client->parser, answer, (size_t) n) == HPE_OK);
    client->is_cut_off = n == 0 || errno != EAGAIN;
}

void rig_client_done(struct rig_client *client)
{
    if (client->fd >= 0)
        (void) close(client->fd);
    client->fd = -1;
}
