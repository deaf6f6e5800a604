/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "common/cleanup.h"
#include "supervisor/frames.h"
#include "tests/heart.h"

static int make_slots(struct heart *heart)
{
    const struct slots_options options = {
        .base = heart->base,
        .config = heart->config,
        .record = &heart->record,
        .life = &heart->life,
        .jail = &heart->jail,
        .spawner = heart->spawner,
        .health = &heart->health,
        .frames = &worker_frames,
    };

    return slots_new(&options, &heart->slots);
}

static int make_tenants(struct heart *heart)
{
    return tenants_new(heart->config, &heart->record, &heart->tenants);
}

static int make_placements(struct heart *heart)
{
    const struct placements_options options = {
        .base = heart->base,
        .config = heart->config,
        .record = &heart->record,
        .slots = heart->slots,
        .tenants = heart->tenants,
    };

    return placements_new(&options, &heart->placements);
}

static int make_versions(struct heart *heart)
{
    const struct versions_options options = {
        .base = heart->base,
        .tenants = heart->tenants,
        .placements = heart->placements,
    };

    return versions_new(&options, &heart->versions);
}

static int make_ledger(struct heart *heart)
{
    const struct ledger_options options = {
        .base = heart->base,
        .config = heart->config,
        .record = &heart->record,
        .life = &heart->life,
        .placements = heart->placements,
        .max_files = heart->max_files,
    };

    return ledger_new(&options, &heart->ledger);
}

static int make_front(struct heart *heart)
{
    const struct http_front_options options = {
        .base = heart->base,
        .ops = &ledger_http,
        .handler = heart->ledger,
        .limits = *heart->limits,
    };

    int r = http_front_new(&options, &heart->front);
    if (r == 0)
        ledger_set_front(heart->ledger, heart->front);
    return r;
}

int heart_make_floors(struct heart *heart)
{
    static int (*const steps[])(struct heart * heart) = {
        make_slots, make_tenants, make_placements, make_versions, make_ledger, make_front,
    };
    int r = record_init(&heart->record, heart->config);

    for (size_t i = 0; r == 0 && i < ARRAY_LEN(steps); i++)
        r = steps[i](heart);
    return r;
}

void heart_stop_requests(struct heart *heart)
{
    heart->front = http_front_free(heart->front);
    if (heart->ledger)
        ledger_set_front(heart->ledger, NULL);
    heart->ledger = ledger_free(heart->ledger);
}

/* In the order of tear_down in main.c. */
void heart_free_floors(struct heart *heart)
{
    heart_stop_requests(heart);
    heart->slots = slots_free(heart->slots);
    heart->placements = placements_free(heart->placements);
    heart->versions = versions_free(heart->versions);
    heart->tenants = tenants_free(heart->tenants);
    record_done(&heart->record);
}

int heart_listen(struct heart *heart, struct sockaddr_un *ret_address, socklen_t *ret_size)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    socklen_t size = sizeof address;
    _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(sa_family_t)) < 0 ||
        getsockname(fd, (struct sockaddr *) &address, &size) < 0 || listen(fd, 16) < 0)
        return -errno;
    int r = http_front_adopt(heart->front, TAKE_FD(fd));
    *ret_address = address;
    *ret_size = size;
    return r;
}
