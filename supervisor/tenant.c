/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/tenant.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "supervisor/admin.h"
#include "supervisor/child.h"
#include "supervisor/ledger.h"
#include "supervisor/link.h"
#include "supervisor/router.h"

#define LOAD_AGAIN_FIRST_MS 1000
#define LOAD_AGAIN_MAX_MS 30000
/* What a tenant may log in a second, whatever its worker claims to have counted. */
#define LOG_BYTES_PER_SECOND (256U << 10)
#define LOG_LINE_MAX 8000 /* as long as a line of ours may be */

int tenants_new(struct server *server, struct tenants **ret_tenants)
{
    struct tenants *tenants = calloc(1, sizeof *tenants);

    (void) server;
    if (!tenants)
        return -ENOMEM;
    TAILQ_INIT(&tenants->list);
    int r = router_new(&tenants->router);
    if (r < 0) {
        free(tenants);
        return r;
    }
    *ret_tenants = tenants;
    return 0;
}

struct tenants *tenants_free(struct tenants *tenants)
{
    struct tenant *tenant;

    if (!tenants)
        return NULL;
    while ((tenant = TAILQ_FIRST(&tenants->list)))
        tenant_remove(tenant);
    (void) router_free(tenants->router);
    free(tenants);
    return NULL;
}

/* ---- versions */

struct version *version_ref(struct version *version)
{
    version->refs++;
    return version;
}

struct version *version_unref(struct version *version)
{
    if (version && --version->refs == 0) {
        (void) manifest_free(version->manifest);
        free(version);
    }
    return NULL;
}

static int version_new(struct server *server, struct tenant *tenant, struct manifest *manifest,
                       struct version **ret_version)
{
    const struct config *config = server->config;
    const struct cordon_config *cordon = config_find_cordon(config, manifest->cordon);
    struct version *version = cordon ? calloc(1, sizeof *version) : NULL;

    if (!version)
        return cordon ? -ENOMEM : -ENOENT;
    struct limits_layers layers = {
        .platform_default = &config->defaults,
        .platform_maximum = &config->maximum,
        .cordon_default = &cordon->defaults,
        .cordon_maximum = &cordon->maximum,
        .tenant = &manifest->limits,
    };
    version->id = ++server->tenants->last_version;
    version->tenant = tenant;
    version->manifest = manifest;
    version->refs = 1;
    LIST_INIT(&version->placements);
    limits_resolve(&layers, &version->limits);
    *ret_version = version;
    return 0;
}

/* ---- tenants */

struct tenant *tenant_find(const struct tenants *tenants, const char *name, size_t size)
{
    struct tenant *tenant;

    TAILQ_FOREACH(tenant, &tenants->list, entry)
        if (strlen(tenant->name) == size && memcmp(tenant->name, name, size) == 0)
            return tenant;
    return NULL;
}

static struct tenant *tenant_free(struct tenant *tenant)
{
    if (!tenant)
        return NULL;
    (void) version_unref(tenant->version);
    free(tenant->name);
    free(tenant->dir);
    free(tenant->last_error);
    free(tenant);
    return NULL;
}

static int tenant_new(struct server *server, const char *name, const char *dir,
                      struct tenant **ret_tenant)
{
    struct tenant *tenant = calloc(1, sizeof *tenant);

    if (!tenant)
        return -ENOMEM;
    tenant->server = server;
    tenant->name = strdup(name);
    tenant->dir = strdup(dir);
    TAILQ_INIT(&tenant->queue);
    if (!tenant->name || !tenant->dir) {
        (void) tenant_free(tenant);
        return -ENOMEM;
    }
    *ret_tenant = tenant;
    return 0;
}

static int add_routes(struct router *router, const struct manifest *manifest,
                      struct tenant *tenant)
{
    for (unsigned i = 0; i < manifest->n_routes; i++) {
        int r = router_add(router, &manifest->routes[i], tenant);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Takes the version out of its workers: at once where it is idle, else when it is. */
static void retire(struct version *version)
{
    struct placement *placement, *next;

    for (placement = LIST_FIRST(&version->placements); placement; placement = next) {
        next = LIST_NEXT(placement, in_version);
        placement->is_retiring = true;
        tenant_on_idle(placement);
    }
}

int tenant_install(struct server *server, struct manifest *manifest, const char *dir)
{
    struct tenants *tenants = server->tenants;
    struct tenant *tenant = tenant_find(tenants, manifest->name, strlen(manifest->name));
    bool is_new = !tenant;
    struct version *version;
    int r = is_new ? tenant_new(server, manifest->name, dir, &tenant) : 0;

    if (r < 0)
        return r;
    r = version_new(server, tenant, manifest, &version);
    if (r < 0) {
        if (is_new)
            (void) tenant_free(tenant);
        return r;
    }
    router_remove(tenants->router, tenant);
    r = add_routes(tenants->router, manifest, tenant);
    if (r < 0) {
        router_remove(tenants->router, tenant);
        if (is_new)
            (void) tenant_free(tenant);
        else
            (void) add_routes(tenants->router, tenant->version->manifest, tenant);
        version->manifest = NULL; /* still the caller's */
        (void) version_unref(version);
        return r;
    }
    if (is_new)
        TAILQ_INSERT_TAIL(&tenants->list, tenant, entry);
    else
        retire(tenant->version);
    (void) version_unref(tenant->version);
    tenant->version = version;
    tenant->load_failures = 0;
    tenant->load_again_ns = 0;
    ledger_pump(tenant);
    return 0;
}

int tenant_reload(struct tenant *tenant, struct config_errors *errors)
{
    struct manifest *manifest;
    struct stat st;

    if (stat(tenant->dir, &st) < 0) {
        int error = -errno;
        config_errors_add(errors, tenant->dir, 0, "cannot be read: %s",
                          strerrordesc_np(-error));
        return error;
    }
    int r = S_ISDIR(st.st_mode) ? manifest_read(tenant->dir, &manifest, errors)
                                : manifest_from_script(tenant->dir, &manifest, errors);
    if (r < 0)
        return r;
    if (strcmp(manifest->name, tenant->name) != 0) {
        config_errors_add(errors, manifest->file, 0, "the name was \"%s\" and is now \"%s\"",
                          tenant->name, manifest->name);
        r = -EINVAL;
    } else {
        r = tenant_install(tenant->server, manifest, tenant->dir);
        if (r < 0)
            config_errors_add(errors, manifest->file, 0, "%s",
                              r == -EEXIST   ? "another tenant has one of these routes"
                              : r == -ENOENT ? "there is no cordon of that name"
                                             : strerrordesc_np(-r));
    }
    if (r < 0)
        (void) manifest_free(manifest);
    return r;
}

void tenant_remove(struct tenant *tenant)
{
    struct tenants *tenants = tenant->server->tenants;

    ledger_fail_queue(tenant, ERROR_NO_ROUTE, 0);
    router_remove(tenants->router, tenant);
    TAILQ_REMOVE(&tenants->list, tenant, entry);
    (void) tenant_free(tenant);
}

/* ---- log */

void tenant_log(struct tenant *tenant, enum tenant_log_level level, const char *text, size_t size)
{
    static const char *const names[] = {
        [TENANT_DEBUG] = "debug", [TENANT_INFO] = "info",
        [TENANT_WARN] = "warn", [TENANT_ERROR] = "error",
    };
    uint64_t second = io_now_ns() / NSEC_PER_SEC;

    if (tenant->log_second != second) {
        tenant->log_second = second;
        tenant->log_bytes = 0;
    }
    if (tenant->log_bytes > LOG_BYTES_PER_SECOND)
        return;
    tenant->log_bytes += size + 1;
    if (tenant->log_bytes > LOG_BYTES_PER_SECOND) {
        log_warning("[%s] logs more than %u KiB in a second: the rest is dropped", tenant->name,
                    LOG_BYTES_PER_SECOND >> 10);
        return;
    }
    admin_log(tenant->server->admin, tenant, level, text, size);
    while (size > 0) { /* a line each, all with the tag: none can be forged */
        const char *newline = memchr(text, '\n', size);
        size_t length = newline ? (size_t) (newline - text) : size;
        char line[LOG_LINE_MAX];
        (void) log_escape(text, length, line, sizeof line);
        log_info("[%s] %s: %s", tenant->name, names[level], line);
        text += newline ? length + 1 : length;
        size -= newline ? length + 1 : length;
    }
}

/* ---- placements and loading */

struct placement *placement_find(const struct version *version, const struct child *child)
{
    struct placement *placement;

    LIST_FOREACH(placement, &version->placements, in_version)
        if (placement->child == child)
            return placement;
    return NULL;
}

int placement_new(struct version *version, struct child *child, struct placement **ret_placement)
{
    struct placement *placement = calloc(1, sizeof *placement);

    if (!placement)
        return -ENOMEM;
    placement->version = version_ref(version);
    placement->child = child;
    placement->since_ns = io_now_ns();
    LIST_INSERT_HEAD(&version->placements, placement, in_version);
    LIST_INSERT_HEAD(&child->placements, placement, in_child);
    child->n_placements++;
    *ret_placement = placement;
    return 0;
}

void placement_free(struct placement *placement)
{
    LIST_REMOVE(placement, in_version);
    LIST_REMOVE(placement, in_child);
    placement->child->n_placements--;
    (void) version_unref(placement->version);
    free(placement);
}

static void unload(struct placement *placement)
{
    placement->state = PLACEMENT_UNLOADING;
    (void) link_send_unload(placement->child, placement->version->id);
}

/* The worker is full: the isolate that was used least recently makes room. */
static void evict_one(struct child *child)
{
    struct placement *placement, *oldest = NULL;

    LIST_FOREACH(placement, &child->placements, in_child) {
        if (placement->state == PLACEMENT_UNLOADING)
            return; /* room is being made already */
        if (placement->state == PLACEMENT_READY && placement->in_flight == 0 &&
            (!oldest || placement->since_ns < oldest->since_ns))
            oldest = placement;
    }
    if (oldest)
        unload(oldest);
}

int tenant_load(struct version *version, struct child *child)
{
    struct placement *placement;

    if (child->n_placements >= SCOREBOARD_TENANTS) {
        evict_one(child);
        return -EAGAIN;
    }
    int r = placement_new(version, child, &placement);
    if (r < 0)
        return r;
    r = link_send_load(child, version);
    if (r < 0) {
        placement_free(placement);
        return r;
    }
    pool_watch(child->server->pool);
    return 0;
}

int tenant_preload(struct tenant *tenant)
{
    struct child *child = pool_place(tenant->server->pool, tenant->version);

    if (!child || child->state != CHILD_READY)
        return -EAGAIN;
    return placement_find(tenant->version, child) ? 0 : tenant_load(tenant->version, child);
}

static void note_load_failure(struct tenant *tenant, enum error_code code, const char *text,
                              size_t size)
{
    unsigned doublings = tenant->load_failures < 5 ? tenant->load_failures : 5;
    uint64_t wait_ms = (uint64_t) LOAD_AGAIN_FIRST_MS << doublings;

    if (wait_ms > LOAD_AGAIN_MAX_MS)
        wait_ms = LOAD_AGAIN_MAX_MS;
    tenant->load_failures++;
    tenant->load_error = code;
    tenant->load_again_ns = io_now_ns() + wait_ms * NSEC_PER_MSEC;
    free(tenant->last_error);
    tenant->last_error = strndup(text, size);
    tenant_log(tenant, TENANT_ERROR, text, size);
    ledger_fail_queue(tenant, code, tenant_retry_after_s(tenant));
}

unsigned tenant_retry_after_s(const struct tenant *tenant)
{
    uint64_t now = io_now_ns();

    if (tenant->load_again_ns <= now)
        return 0;
    return (unsigned) ((tenant->load_again_ns - now + NSEC_PER_SEC - 1) / NSEC_PER_SEC);
}

void tenant_on_loaded(struct placement *placement, enum error_code code, const char *text,
                      size_t size, uint64_t cpu_us)
{
    struct version *version = placement->version;
    struct tenant *tenant = version->tenant;
    bool is_current = tenant->version == version;

    tenant->cpu_us += cpu_us < UINT32_MAX ? cpu_us : UINT32_MAX;
    if (code != ERROR_NONE) {
        placement_free(placement);
        if (is_current)
            note_load_failure(tenant, code, text, size);
        return;
    }
    placement->state = PLACEMENT_READY;
    if (is_current) {
        tenant->load_failures = 0;
        free(tenant->last_error);
        tenant->last_error = NULL;
    }
    tenant_on_idle(placement);
    ledger_pump(tenant);
}

void tenant_on_unloaded(struct placement *placement)
{
    struct child *child = placement->child;

    placement_free(placement);
    ledger_on_ready(child); /* whoever waited for room in it */
}

void tenant_on_load_death(struct version *version, enum error_code code, const char *cause)
{
    struct tenant *tenant = version->tenant;

    tenant->kills++;
    if (tenant->version == version)
        note_load_failure(tenant, code, cause, strlen(cause));
}

void tenant_on_idle(struct placement *placement)
{
    placement->since_ns = io_now_ns();
    if (placement->is_retiring && placement->in_flight == 0 &&
        placement->state == PLACEMENT_READY)
        unload(placement);
}
