/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "supervisor/descriptors.h"
#include "supervisor/http/http.h"
#include "supervisor/reload_tenants.h"
#include "supervisor/service/notify.h"
#include "supervisor/service/service.h"
#include "supervisor/service/upgrade.h"
#include "supervisor/tenant.h"
#include "supervisor/workers/pool_change.h"

DEFINE_CLEANUP(struct config *, config_free, config_cleanup)

const char *reload_kind_name(enum reload_kind kind)
{
    static const char *const names[] = {
        [RELOAD_ADDED] = "added",
        [RELOAD_CHANGED] = "changed",
        [RELOAD_LIMITS] = "other limits",
        [RELOAD_REMOVED] = "removed",
        [RELOAD_WAITS] = "waits for a route",
    };

    return names[kind];
}

void reload_report_done(struct reload_report *report)
{
    config_errors_done(&report->errors);
    config_changes_done(&report->changes);
    config_errors_done(&report->tenant_errors);
    free(report->tenants);
    *report = (struct reload_report){ 0 };
}

/* ---- cordons: workers and versions borrow them, so they stay where they are */

/* The values of both, but for the name, which is the same. */
static void exchange_values(struct cordon_config *a, struct cordon_config *b)
{
    char *name_of_a = a->name, *name_of_b = b->name;
    struct cordon_config values = *a;

    *a = *b;
    *b = values;
    a->name = name_of_a;
    b->name = name_of_b;
}

/* The next config gets the one that runs, with the next values; it leaves behind its own. */
static void adopt_running(struct config *running, struct cordon_config **next)
{
    for (unsigned i = 0; i < running->n_cordons; i++) {
        struct cordon_config *cordon = running->cordons[i];
        if (!cordon || strcmp(cordon->name, (*next)->name) != 0)
            continue;
        exchange_values(cordon, *next);
        running->cordons[i] = *next;
        *next = cordon;
        return;
    }
}

static void adopt_former(struct pool *pool, struct cordon_config **next)
{
    struct cordon_config *former = pool_take_former(pool, (*next)->name);

    if (!former)
        return;
    exchange_values(former, *next);
    (void) cordon_config_free(*next);
    *next = former;
}

/* Room for former cordons is reserved. */
static void adopt_cordons(struct pool *pool, struct config *running, struct config *next)
{
    for (unsigned i = 0; i < running->n_cordons; i++)
        if (!config_find_cordon(next, running->cordons[i]->name))
            pool_add_former(pool, TAKE_PTR(running->cordons[i]));
    for (unsigned i = 0; i < next->n_cordons; i++) {
        adopt_running(running, &next->cordons[i]);
        adopt_former(pool, &next->cordons[i]);
    }
}

/* ---- applying */

void reload_http_limits(const struct config *config, struct http_limits *ret_limits)
{
    const struct http_config *http = &config->http;

    *ret_limits = (struct http_limits){
        .header_bytes = http->header_bytes,
        .header_count = http->header_count,
        .connections = http->connections,
        .connections_per_ip = http->connections_per_ip,
        .header_timeout_ms = http->header_timeout_ms,
        .body_idle_ms = http->body_idle_ms,
        .keepalive_ms = http->keepalive_ms,
        .write_idle_ms = http->write_idle_ms,
        .half_close_ms = http->half_close_ms,
        .min_bytes_per_s = http->min_bytes_per_s,
        .buffer_bytes = (uint64_t) http->buffer_mib << 20,
    };
    (void) snprintf(ret_limits->default_host, sizeof ret_limits->default_host, "%s",
                    config->default_host);
}

static void apply_log_level(const struct config *config)
{
    enum log_level level = log_get_level();

    (void) log_level_parse(config->log_level, &level);
    log_set_level(level);
}

/* What of the config is read where it is used has its effect by the exchange alone. Takes over next, and
 * cannot fail: what needs memory has it by now. */
static void apply(struct server *server, struct config *next, struct manifest_set *set,
                  struct reload_report *report)
{
    struct config *running = server->config;

    config_keep_running(running, next);
    adopt_cordons(server->pool, running, next);
    server->config = next;
    (void) config_free(running);
    apply_log_level(next);
    reload_tenants_apply(server, set, report);
    pool_apply(server->pool);
    report->is_applied = true;
}

/* ---- the log */

void reload_log_errors(const struct config_errors *errors)
{
    const char *line = errors->text;

    while (line && *line) {
        size_t size = strcspn(line, "\n");
        log_text(LOG_LEVEL_ERROR, LOG_ABOUT(0), line, size);
        line += line[size] ? size + 1 : size;
    }
}

static void log_report(const struct reload_report *report)
{
    for (unsigned i = 0; i < report->changes.count && report->is_applied; i++) {
        const struct config_change *change = &report->changes.items[i];
        log_info("%s: %s -> %s%s", change->key, change->before, change->after,
                 change->needs_restart ? ": needs a restart" : "");
    }
    reload_log_errors(&report->errors);
    reload_log_errors(&report->tenant_errors);
    if (!report->is_applied)
        log_error("the new config is refused; nothing has changed");
    else
        log_info("the new config counts: %u keys are changed, %u tenants", report->changes.count,
                 report->n_tenants);
}

/* ---- reading */

static void note_memory(const struct server *server, struct reload_report *report)
{
    config_errors_add(&report->errors, server->config->path, 0, "skepd is out of memory");
}

static int read_config(const struct server *server, struct config **ret_next,
                       struct reload_report *report)
{
    const char *path = server->config->path;
    int r = config_read(path, ret_next, &report->errors);

    if (r == -EACCES)
        config_errors_add(&report->errors, path, 0,
                          "skepd reads it without capabilities: it must be its user's, or readable "
                          "for that user or all");
    return r;
}

/* What is confined cannot raise its limit any more. */
static int check_descriptors(const struct server *server, const struct config *next,
                             struct reload_report *report)
{
    char text[512];

    if (descriptors_check(next, server->max_files, text, sizeof text) == 0)
        return 0;
    config_errors_add(&report->errors, next->path, 0, "%s", text);
    return -EINVAL;
}

/* All that can fail. */
static int prepare(const struct server *server, const struct config *next,
                   struct manifest_set *ret_set, struct reload_report *report)
{
    struct http_limits limits;
    int r = check_descriptors(server, next, report);

    if (r == 0)
        r = config_compare(server->config, next, &report->changes);
    if (r == 0)
        r = pool_reserve_former(server->pool, server->config->n_cordons);
    if (r == 0)
        r = reload_tenants_read(server, next, ret_set, report);
    if (r < 0)
        return r;
    reload_http_limits(next, &limits);
    r = http_front_set_proxies(server->front, next->proxy_prefixes, next->n_proxies);
    if (r == 0)
        r = http_front_set_limits(server->front, &limits);
    if (r < 0)
        manifest_set_done(ret_set);
    return r;
}

static void read_and_apply(struct server *server, struct reload_report *report)
{
    _cleanup_(config_cleanup) struct config *next = NULL;
    struct manifest_set set = { 0 };
    int r = read_config(server, &next, report);

    if (r == 0)
        r = prepare(server, next, &set, report);
    if (r == -ENOMEM)
        note_memory(server, report);
    if (r == 0)
        apply(server, TAKE_PTR(next), &set, report);
}

static const char *find_refusal(const struct server *server)
{
    if (server->is_draining)
        return "skepd is ending: nothing is reloaded any more";
    /* It may have read the config before it was changed, and would serve with that one. */
    if (server->service && upgrade_is_under_way(service_upgrade(server->service)))
        return "an upgrade is under way: reload when it has ended";
    return NULL;
}

void reload_config(struct server *server, const char *by, struct reload_report *ret)
{
    log_info("a reload is asked for by %s", by);
    ret->refusal = find_refusal(server);
    if (ret->refusal) {
        log_warning("%s", ret->refusal);
        return;
    }
    notify_reloading(server->notify);
    read_and_apply(server, ret);
    notify_ready(server->notify);
    log_report(ret);
}

/* ---- SIGHUP */

void reload_on_signal(struct server *server)
{
    struct reload_report report = { 0 };

    reload_config(server, "SIGHUP", &report);
    reload_report_done(&report);
}
