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

/* AddressSanitizer reads this in builds that have it. By default it keeps 256 MiB of freed memory, so that
 * each input works on memory that it has never touched, which halves the speed, and 30 callers of each allocation. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=8:malloc_context_size=8:max_malloc_fill_size=64";
}

/* ---- the supervisor */

/* Returns a spawner that has died, so that no other worker can be started. */
static struct spawner *make_dead_spawner(void)
{
    const struct spawner_options options = { .worker_path = "/bin/true" };
    struct spawner *spawner;

    CHECK(spawner_start(&options, &spawner) == 0);
    CHECK(kill(spawner_pid(spawner, 0), SIGKILL) == 0);
    CHECK(waitpid(spawner_pid(spawner, 0), NULL, 0) == spawner_pid(spawner, 0));
    return spawner;
}

static void make_once(struct rig *rig, const char *config)
{
    struct config_errors errors = { 0 };
    struct heart *heart = &rig->heart;

    log_silence();
    (void) signal(SIGPIPE, SIG_IGN);
    if (config_parse("/etc/skepd.yaml", config, strlen(config), &heart->config, &errors) < 0)
        rig_fail(errors.text, __LINE__);
    heart->spawner = make_dead_spawner();
    heart->base = event_base_new();
    CHECK(heart->base);
}

struct rig *rig_start(const char *config)
{
    static const struct http_limits limits = {
        .header_bytes = 4096,
        .header_count = 16,
        .connections = 16,
        .connections_per_ip = 16,
        .header_timeout_ms = 60000,
        .body_idle_ms = 60000,
        .keepalive_ms = 60000,
        .write_idle_ms = 60000,
    };
    static struct rig rig;

    if (!rig.heart.base)
        make_once(&rig, config);
    rig.heart = (struct heart){
        .base = rig.heart.base,
        .config = rig.heart.config,
        .spawner = rig.heart.spawner,
        .jail = { .is_unjailed = true }, /* a dead spawner looks at none */
        .limits = &limits,
    };
    CHECK(heart_make(&rig.heart) == 0);
    CHECK(heart_listen(&rig.heart, &rig.address, &rig.address_size) == 0);
    return &rig;
}

void rig_stop(struct rig *rig)
{
    CHECK(http_front_connections(rig->heart.front) == 0);
    heart_free(&rig->heart);
}

void rig_install_manifest(struct rig *rig, struct manifest *manifest, const char *dir)
{
    struct failure failure = { 0 };

    CHECK(versions_install(rig->heart.versions, manifest, dir, &failure) == 0);
}

void rig_install(struct rig *rig, const char *text, const char *dir)
{
    struct config_errors errors = { 0 };
    struct manifest *manifest = NULL;

    if (manifest_parse("/srv/skep.yaml", text, strlen(text), &manifest, &errors) < 0)
        rig_fail(errors.text, __LINE__);
    rig_install_manifest(rig, manifest, dir);
}

/* No timer runs by itself, so that the same input has the same outcome: see rig_tick. */
void rig_turn(struct rig *rig)
{
    (void) event_del(rig->heart.placements->watch);
    (void) event_del(rig->heart.placements->care);
    (void) event_del(rig->heart.ledger->tick);
    (void) event_base_loop(rig->heart.base, EVLOOP_NONBLOCK);
}

void rig_tick(struct rig *rig)
{
    event_active(rig->heart.placements->watch, EV_TIMEOUT, 0);
    event_active(rig->heart.placements->care, EV_TIMEOUT, 0);
    event_active(rig->heart.ledger->tick, EV_TIMEOUT, 0);
    (void) event_base_loop(rig->heart.base, EVLOOP_NONBLOCK);
}

/* ---- workers */

void rig_worker_start(struct rig *rig, const char *cordon, enum slot_kind kind,
                      struct rig_worker *ret_worker)
{
    struct heart *heart = &rig->heart;
    struct slot *slot = slots_add(heart->slots, config_find_cordon(heart->config, cordon), kind);
    struct worker *worker = slot ? worker_new(heart->slots, slot->cordon, slot->number) : NULL;
    int pair[2];

    CHECK(worker && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    worker->board =
        mmap(NULL, SCOREBOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(worker->board != MAP_FAILED && link_open(worker, pair[0]) == 0);
    worker->jit = worker->cordon->jit;
    worker->rss_mib = worker->cordon->rss_mib;
    worker->started_ns = io_now_ns();
    slots_put(heart->slots, slot, worker);
    *ret_worker = (struct rig_worker){ .worker = worker, .fd = pair[1] };
}

void rig_worker_spawned(struct rig *rig, struct rig_worker *peer)
{
    /* The test's own pid, so that its clock and state can be read, and a descriptor that no signal
     * can be sent to. Opened once, because opening files of /proc is most of the cost of a worker
     * here. */
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
    slots_spawner_ops.on_result(rig->heart.slots, peer->worker->number, 0, "", &self);
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
        ops->on_exited(rig->heart.slots, worker->number, worker->pid, wait_status,
                       io_clock_ns(CLOCK_PROCESS_CPUTIME_ID));
    else
        ops->on_result(rig->heart.slots, worker->number, -EAGAIN, "fork", NULL);
    peer->worker = NULL;
    while ((slot = slots_next(rig->heart.slots, slot)))
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
