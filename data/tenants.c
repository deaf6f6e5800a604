/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tenants, their rates and their open files. A file is opened by the first job that needs it, and closed when it was not used for a
 * while, when there are too many, or when its tenant is closed. Loop thread; the files themselves are opened and closed by jobs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/internal.h"

/* ---- files */

struct file *file_find(const struct data *data, const struct lane *lane, const char *space)
{
    struct file *file;

    TAILQ_FOREACH (file, &data->files, entry)
        if (file->lane == lane && strcmp(file->space, space) == 0)
            break;
    return file;
}

bool file_is_any(const struct data *data, const struct lane *lane)
{
    struct file *file;

    TAILQ_FOREACH (file, &data->files, entry)
        if (file->lane == lane)
            return true;
    return false;
}

struct file *file_new(struct data *data, struct lane *lane, const char *space)
{
    struct file *file = calloc(1, sizeof *file);
    const char *tenant = lane->tenant->name;

    if (!file)
        return NULL;
    file->lane = lane;
    (void) snprintf(file->space, sizeof file->space, "%s", space);
    if (lane->kind == SKEP__DATA__KIND__KIND_SQL)
        (void) snprintf(file->path, sizeof file->path, "%s/sql-%s.db", tenant, space);
    else
        (void) snprintf(file->path, sizeof file->path, "%s/kv.db", tenant);
    (void) pthread_mutex_init(&file->lock, NULL);
    TAILQ_INSERT_TAIL(&data->files, file, entry);
    data->n_files++;
    return file;
}

void file_free(struct data *data, struct file *file)
{
    TAILQ_REMOVE(&data->files, file, entry);
    data->n_files--;
    data->n_closing -= file->wants_close;
    (void) pthread_mutex_destroy(&file->lock);
    free(file);
}

void file_close_soon(struct data *data, struct file *file)
{
    if (file->wants_close)
        return;
    file->wants_close = true;
    data->n_closing++;
    lane_check(file->lane);
}

void files_make_room(struct data *data)
{
    struct file *file;

    if (data->n_files - data->n_closing < DATA_FILES_MAX)
        return;
    TAILQ_FOREACH (file, &data->files, entry)
        if (!file->lane->is_running && !file->wants_close) {
            file_close_soon(data, file);
            return;
        }
}

/* ---- tenants */

static struct tenant_bucket *bucket_of(struct data *data, const char *name)
{
    uint32_t hash = 2166136261U; /* FNV-1a */

    for (; *name != '\0'; name++)
        hash = (hash ^ (uint8_t) *name) * 16777619U;
    return &data->tenants[hash % DATA_BUCKETS];
}

static struct tenant *find(struct data *data, const char *name)
{
    struct tenant *tenant;

    LIST_FOREACH (tenant, bucket_of(data, name), bucket)
        if (!tenant->is_closed && strcmp(tenant->name, name) == 0)
            break;
    return tenant;
}

static struct tenant *make(struct data *data, const char *name)
{
    struct tenant *tenant = data->n_tenants < DATA_TENANTS_MAX ? calloc(1, sizeof *tenant) : NULL;

    if (!tenant)
        return NULL;
    tenant->data = data;
    (void) snprintf(tenant->name, sizeof tenant->name, "%s", name);
    for (unsigned i = 0; i < 2; i++) {
        struct lane *lane = &tenant->lanes[i];
        lane->data = data;
        lane->tenant = tenant;
        lane->kind = i == 0 ? SKEP__DATA__KIND__KIND_KV : SKEP__DATA__KIND__KIND_SQL;
        TAILQ_INIT(&lane->waiting);
    }
    LIST_INSERT_HEAD(bucket_of(data, name), tenant, bucket);
    data->n_tenants++;
    watch_arm(data);
    return tenant;
}

struct tenant *tenant_get(struct data *data, const char *name)
{
    struct tenant *tenant = find(data, name);

    return tenant ? tenant : make(data, name);
}

/* One operation takes a second divided by the rate. The tenant's time may be ahead of the clock by what fits in a second. */
bool tenant_take_rate(struct tenant *tenant, uint32_t rate, uint64_t now_ns)
{
    if (rate == UINT32_MAX)
        return true;
    uint64_t ahead = tenant->tat_ns > now_ns ? tenant->tat_ns : now_ns;
    uint64_t each = rate == 0 ? UINT64_MAX / 2 : NSEC_PER_SEC / rate;
    if (ahead + each - now_ns > NSEC_PER_SEC)
        return false;
    tenant->tat_ns = ahead + each;
    return true;
}

static void tenant_free(struct tenant *tenant)
{
    struct closer *closer;

    while ((closer = SLIST_FIRST(&tenant->closers))) {
        SLIST_REMOVE_HEAD(&tenant->closers, entry);
        free(closer);
    }
    share_resume(&tenant->lanes[0]);
    share_resume(&tenant->lanes[1]);
    LIST_REMOVE(tenant, bucket);
    tenant->data->n_tenants--;
    free(tenant);
}

bool tenant_is_busy(const struct tenant *tenant)
{
    bool has = false;

    for (unsigned i = 0; i < 2; i++)
        has |= tenant->lanes[i].is_running || file_is_any(tenant->data, &tenant->lanes[i]);
    return has;
}

/* ---- the end of tenants */

bool tenant_is_closing(const struct tenant *tenant)
{
    return !SLIST_EMPTY(&tenant->closers);
}

void tenant_settle(struct tenant *tenant)
{
    struct closer *closer;

    if (!tenant_is_closing(tenant) || tenant_is_busy(tenant))
        return;
    if (tenant->lanes[0].wants_removal) {
        lane_check(&tenant->lanes[0]);
        return;
    }
    tenant->is_closed = true;
    while ((closer = SLIST_FIRST(&tenant->closers))) {
        SLIST_REMOVE_HEAD(&tenant->closers, entry);
        frame_closed(tenant->data, closer->client, closer->id, tenant->has_failed);
        free(closer);
    }
}

void tenant_on_removed(struct tenant *tenant, int error)
{
    char text[512];

    tenant->lanes[0].wants_removal = false;
    tenant->has_failed = error < 0;
    if (error == 0)
        return;
    (void) snprintf(text, sizeof text, "the folder of what it has stored cannot be removed: %s",
                    strerrordesc_np(-error));
    frame_notice(tenant->data, tenant->name, text);
}

static void close_files(struct tenant *tenant)
{
    struct data *data = tenant->data;
    struct file *file;

    TAILQ_FOREACH (file, &data->files, entry)
        if (file->lane->tenant == tenant)
            file_close_soon(data, file);
}

int tenant_close(struct data *data, struct helper_client *client, uint64_t id, const char *name,
                 bool is_removed)
{
    struct tenant *tenant = is_removed ? tenant_get(data, name) : find(data, name);
    struct closer *closer;

    if (!tenant && !is_removed) {
        frame_closed(data, client, id, false);
        return 0;
    }
    if (!tenant)
        return -ENOMEM;
    closer = calloc(1, sizeof *closer);
    if (!closer)
        return -ENOMEM;
    *closer = (struct closer){ .client = client, .id = id };
    SLIST_INSERT_HEAD(&tenant->closers, closer, entry);
    tenant->lanes[0].wants_removal |= is_removed;
    operations_on_close(data, tenant);
    close_files(tenant);
    watch_look(data);
    tenant_settle(tenant);
    lanes_schedule(data);
    return 0;
}

/* Closes files that were not used for a while. The list is in the order of their use. */
static void close_idle(struct data *data, uint64_t now_ns)
{
    struct file *file;

    TAILQ_FOREACH (file, &data->files, entry)
        if (!file->lane->is_running && file->used_ns + DATA_IDLE_NS <= now_ns)
            file_close_soon(data, file);
}

void tenants_sweep(struct data *data, uint64_t now_ns)
{
    close_idle(data, now_ns);
    for (size_t i = 0; i < DATA_BUCKETS; i++)
        for (struct tenant *tenant = LIST_FIRST(&data->tenants[i]), *next; tenant; tenant = next) {
            next = LIST_NEXT(tenant, bucket);
            if (tenant->n_operations == 0 && !tenant_is_busy(tenant) &&
                !tenant_is_closing(tenant) && (tenant->is_closed || tenant->tat_ns <= now_ns))
                tenant_free(tenant);
        }
}

void tenants_on_left(struct data *data, const struct helper_client *client)
{
    struct tenant *tenant;
    struct closer *closer;

    for (size_t i = 0; i < DATA_BUCKETS; i++)
        LIST_FOREACH (tenant, &data->tenants[i], bucket)
            SLIST_FOREACH (closer, &tenant->closers, entry)
                closer->client = closer->client == client ? NULL : closer->client;
}

void tenants_free_all(struct data *data)
{
    struct tenant *tenant;
    struct file *file;

    while ((file = TAILQ_FIRST(&data->files))) {
        job_close_file(file);
        file_free(data, file);
    }
    for (size_t i = 0; i < DATA_BUCKETS; i++)
        while ((tenant = LIST_FIRST(&data->tenants[i])))
            tenant_free(tenant);
}
