/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/played/floors.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/log.h"
#include "supervisor/frames.h"
#include "supervisor/tenants/router.h"
#include "tests/events/clock.h"
#include "tests/played/hold.h"
#include "tests/played/worker.h"

#define TURNS 40U /* more than any exchange takes */
#define STEP_MS 250U

struct floors floors;

/* ---- files */

void floors_write(const char *name, const char *text)
{
    char path[512];

    (void) snprintf(path, sizeof path, "%s/%s", floors.folder, name);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void) mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "we");
    PLAYED_HOLD(file);
    (void) fputs(text, file);
    PLAYED_HOLD(fclose(file) == 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void) st;
    (void) type;
    (void) ftw;
    return remove(path);
}

/* ---- making all of it */

/* Each %s is the folder. */
static void expand(const char *format, char *text, size_t size)
{
    const char *at;
    size_t n = 0;

    while ((at = strstr(format, "%s")) && n < size) {
        n += (size_t) snprintf(text + n, size - n, "%.*s%s", (int) (at - format), format,
                               floors.folder);
        format = at + 2;
    }
    PLAYED_HOLD(n < size);
    n += (size_t) snprintf(text + n, size - n, "%s", format);
    PLAYED_HOLD(n < size);
}

void floors_write_config(const char *format)
{
    char text[2048];

    expand(format, text, sizeof text);
    floors_write("skepd.yaml", text);
}

static void read_config(const char *format)
{
    struct config_errors errors = { 0 };
    char path[96];

    floors_write_config(format);
    (void) snprintf(path, sizeof path, "%s/skepd.yaml", floors.folder);
    if (config_read(path, &floors.config, &errors) < 0)
        played_fail(errors.text, 0);
}

static void make_slots(void)
{
    const struct slots_options options = {
        .base = floors.base,
        .config = floors.config,
        .record = &floors.record,
        .life = &floors.life,
        .jail = &floors.jail,
        .health = &floors.health,
        .frames = &worker_frames,
    };

    PLAYED_HOLD(slots_new(&options, &floors.slots) == 0);
}

static void make_placements(void)
{
    const struct placements_options options = {
        .base = floors.base,
        .config = floors.config,
        .record = &floors.record,
        .slots = floors.slots,
        .tenants = floors.tenants,
    };

    PLAYED_HOLD(placements_new(&options, &floors.placements) == 0);
}

static void make_versions(void)
{
    const struct versions_options options = {
        .base = floors.base,
        .tenants = floors.tenants,
        .placements = floors.placements,
    };

    PLAYED_HOLD(versions_new(&options, &floors.versions) == 0);
}

static void make_ledger(void)
{
    const struct ledger_options options = {
        .base = floors.base,
        .config = floors.config,
        .record = &floors.record,
        .life = &floors.life,
        .placements = floors.placements,
    };

    PLAYED_HOLD(ledger_new(&options, &floors.ledger) == 0);
}

static void make_front(void)
{
    const struct http_front_options options = {
        .base = floors.base,
        .ops = &ledger_http,
        .handler = floors.ledger,
        .limits = {
            .header_bytes = 4096,
            .header_count = 16,
            .connections = 64,
            .connections_per_ip = 64,
            .header_timeout_ms = 60000,
            .body_idle_ms = 60000,
            .keepalive_ms = 60000,
            .write_idle_ms = 60000,
            .buffer_bytes = 64U << 20,
        },
    };
    struct sockaddr_un address = { .sun_family = AF_UNIX }; /* the kernel picks an abstract name */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    PLAYED_HOLD(http_front_new(&options, &floors.front) == 0);
    ledger_set_front(floors.ledger, floors.front);
    PLAYED_HOLD(fd >= 0 && bind(fd, (struct sockaddr *) &address, sizeof(sa_family_t)) == 0);
    floors.address_size = sizeof floors.address;
    PLAYED_HOLD(getsockname(fd, (struct sockaddr *) &floors.address, &floors.address_size) == 0);
    PLAYED_HOLD(listen(fd, 16) == 0 && http_front_adopt(floors.front, fd) == 0);
}

void floors_start(const char *config)
{
    log_silence();
    clock_reset();
    floors = (struct floors){ .folder = "/tmp/skep-floors-XXXXXX", .jail.is_unjailed = true };
    PLAYED_HOLD(mkdtemp(floors.folder));
    floors.base = event_base_new();
    PLAYED_HOLD(floors.base);
    read_config(config);
    PLAYED_HOLD(record_init(&floors.record, floors.config) == 0);
    make_slots();
    played_workers_start(floors.base, floors.slots);
    PLAYED_HOLD(tenants_new(floors.config, &floors.record, &floors.tenants) == 0);
    make_placements();
    make_versions();
    make_ledger();
    make_front();
    PLAYED_HOLD(slots_start(floors.slots) == 0);
    floors_settle();
}

void floors_stop_requests(void)
{
    floors.front = http_front_free(floors.front);
    if (floors.ledger)
        ledger_set_front(floors.ledger, NULL);
    floors.ledger = ledger_free(floors.ledger);
}

void floors_end(void)
{
    floors_stop_requests();
    floors.slots = slots_free(floors.slots);
    floors.placements = placements_free(floors.placements);
    floors.versions = versions_free(floors.versions);
    floors.tenants = tenants_free(floors.tenants);
    played_workers_end();
    failure_done(&floors.failure);
    record_done(&floors.record);
    floors.config = config_free(floors.config);
    event_base_free(floors.base);
    PLAYED_HOLD(nftw(floors.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

/* ---- time */

void floors_settle(void)
{
    for (unsigned i = 0; i < TURNS; i++)
        (void) event_base_loop(floors.base, EVLOOP_NONBLOCK);
}

void floors_pass(uint64_t ms)
{
    for (uint64_t passed = 0; passed < ms; passed += STEP_MS) {
        clock_pass((ms - passed < STEP_MS ? ms - passed : STEP_MS) * NSEC_PER_MSEC);
        floors_settle();
    }
}

/* ---- tenants */

int floors_install(const char *text)
{
    struct config_errors errors = { 0 };
    struct manifest *manifest = NULL;

    failure_done(&floors.failure);
    if (manifest_parse("/srv/skep.yaml", text, strlen(text), &manifest, &errors) < 0)
        played_fail(errors.text, 0);
    int r = versions_install(floors.versions, manifest, "/nowhere", &floors.failure);
    if (r < 0)
        (void) manifest_free(manifest);
    return r;
}

struct tenant *floors_tenant(const char *name)
{
    return tenant_find(floors.tenants, name, strlen(name));
}

const char *floors_route(const char *host)
{
    const struct tenant *tenant = router_find(floors.tenants->router, host, strlen(host), "/", 1);

    return tenant ? tenant->name : "";
}

/* ---- clients */

void floors_ask(struct floors_client *client, const char *host)
{
    char text[256];
    int size = snprintf(text, sizeof text,
                        "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host);

    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    PLAYED_HOLD(client->fd >= 0 && connect(client->fd, (const struct sockaddr *) &floors.address,
                                           floors.address_size) == 0);
    PLAYED_HOLD(send(client->fd, text, (size_t) size, MSG_NOSIGNAL) == size);
    floors_settle();
}

unsigned floors_status(struct floors_client *client)
{
    char text[1024];
    unsigned status = 0;
    ssize_t n = recv(client->fd, text, sizeof text - 1, MSG_DONTWAIT);

    if (n <= 0)
        return 0;
    text[n] = '\0';
    PLAYED_HOLD(sscanf(text, "HTTP/1.1 %u", &status) == 1);
    return status;
}

void floors_leave(struct floors_client *client)
{
    (void) close(client->fd);
    client->fd = -1;
    floors_settle();
}
