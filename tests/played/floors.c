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
    if (config_read(path, &floors.heart.config, &errors) < 0)
        played_fail(errors.text, 0);
}

static const struct http_limits limits = {
    .header_bytes = 4096,
    .header_count = 16,
    .connections = 64,
    .connections_per_ip = 64,
    .header_timeout_ms = 60000,
    .body_idle_ms = 60000,
    .keepalive_ms = 60000,
    .write_idle_ms = 60000,
    .buffer_bytes = 64U << 20,
};

void floors_start(const char *config)
{
    log_silence();
    clock_reset();
    floors = (struct floors){
        .folder = "/tmp/skep-floors-XXXXXX",
        .heart = { .jail.is_unjailed = true, .limits = &limits },
    };
    PLAYED_HOLD(mkdtemp(floors.folder));
    floors.heart.base = event_base_new();
    PLAYED_HOLD(floors.heart.base);
    read_config(config);
    PLAYED_HOLD(heart_make_floors(&floors.heart) == 0);
    played_workers_start(floors.heart.base, floors.heart.slots);
    PLAYED_HOLD(heart_listen(&floors.heart, &floors.address, &floors.address_size) == 0);
    PLAYED_HOLD(slots_start(floors.heart.slots) == 0);
    floors_settle();
}

void floors_end(void)
{
    heart_free_floors(&floors.heart);
    played_workers_end();
    failure_done(&floors.failure);
    floors.heart.config = config_free(floors.heart.config);
    event_base_free(floors.heart.base);
    PLAYED_HOLD(nftw(floors.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

/* ---- time */

void floors_settle(void)
{
    for (unsigned i = 0; i < TURNS; i++)
        (void) event_base_loop(floors.heart.base, EVLOOP_NONBLOCK);
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
    int r = versions_install(floors.heart.versions, manifest, "/nowhere", &floors.failure);
    if (r < 0)
        (void) manifest_free(manifest);
    return r;
}

struct tenant *floors_tenant(const char *name)
{
    return tenant_find(floors.heart.tenants, name, strlen(name));
}

const char *floors_route(const char *host)
{
    const struct tenant *tenant =
        router_find(floors.heart.tenants->router, host, strlen(host), "/", 1);

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
