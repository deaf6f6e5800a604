/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/reload/reload.h"

#include <errno.h>
#include <event2/event.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "supervisor/host/descriptors.h"
#include "supervisor/host/notify.h"
#include "supervisor/host/reader.h"
#include "supervisor/http/http.h"
#include "supervisor/placement/change.h"
#include "supervisor/reload/tenants.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/workers/slots.h"

#define STEP_CPU_NS (2 * NSEC_PER_MSEC) /* of the loop, then others have their turn */

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

static void adopt_former(struct placements *placements, struct cordon_config **next)
{
    struct cordon_config *former = placements_take_former(placements, (*next)->name);

    if (!former)
        return;
    exchange_values(former, *next);
    (void) cordon_config_free(*next);
    *next = former;
}

/* Room for former cordons is reserved. */
static void adopt_cordons(struct placements *placements, struct config *running,
                          struct config *next)
{
    for (unsigned i = 0; i < running->n_cordons; i++)
        if (!config_find_cordon(next, running->cordons[i]->name))
            placements_add_former(placements, TAKE_PTR(running->cordons[i]));
    for (unsigned i = 0; i < next->n_cordons; i++) {
        adopt_running(running, &next->cordons[i]);
        adopt_former(placements, &next->cordons[i]);
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

/* The object stays, so that every module may keep a pointer to it. */
static void exchange(struct config *running, struct config *next)
{
    struct config values = *running;

    *running = *next;
    *next = values;
}

/* What of the config is read where it is used has its effect by the exchange alone. Takes over next, and
 * cannot fail: what needs memory has it by now. */
static void apply_config(struct server *server, struct config *next, struct reload_report *report)
{
    struct config *running = server->config;

    config_keep_running(running, next);
    adopt_cordons(server->placements, running, next);
    exchange(running, next);
    (void) config_free(next);
    log_set_level(running->log_level);
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
    if (report->refusal) {
        log_warning("%s", report->refusal);
        return;
    }
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

/* ---- in the reader */

struct asker {
    TAILQ_ENTRY(asker) entry;
    reload_done_fn done; /* NULL: it has left, or is nobody that could be told */
    void *owner;
};
TAILQ_HEAD(asker_list, asker);

struct reload {
    struct reader_job job;
    struct server *server; /* borrowed; of the loop */
    char *path, *folder;   /* of the config; of tenants, NULL: none is read */
    struct config *next;
    struct manifest_set set;
    struct reload_report report;
    int error;
    struct reload_walk walk;
    struct event *turn;
    struct asker_list askers;
    struct asker_list later; /* they may mean what has changed since this one began to read */
};

_Static_assert(offsetof(struct reload, job) == 0, "a job is what embeds it");

static void read_all(struct reader_job *job)
{
    struct reload *reload = (struct reload *) job;
    struct reload_report *report = &reload->report;

    int r = config_read(reload->path, &reload->next, &report->errors);
    if (r == -EACCES)
        config_errors_add(&report->errors, reload->path, 0,
                          "skepd reads it without capabilities: it must be its user's, or readable "
                          "for that user or all");
    if (r == 0 && reload->folder &&
        manifest_read_all(reload->folder, reload->next, &reload->set, &report->tenant_errors) ==
            -ENOMEM)
        r = -ENOMEM;
    reload->error = r;
}

/* ---- its life */

static void askers_done(struct asker_list *askers)
{
    struct asker *asker;

    while ((asker = TAILQ_FIRST(askers))) {
        TAILQ_REMOVE(askers, asker, entry);
        free(asker);
    }
}

static struct reload *reload_free(struct reload *reload)
{
    if (!reload)
        return NULL;
    if (reload->server->reload == reload)
        reload->server->reload = NULL;
    if (reload->turn)
        event_free(reload->turn);
    askers_done(&reload->askers);
    askers_done(&reload->later);
    manifest_set_done(&reload->set);
    (void) config_free(reload->next);
    reload_report_done(&reload->report);
    free(reload->path);
    free(reload->folder);
    free(reload);
    return NULL;
}
DEFINE_CLEANUP(struct reload *, reload_free, reload_cleanup)

void reload_end(struct server *server)
{
    (void) reload_free(server->reload);
    reload_tenants_forget(server);
}

static void begin(struct server *server, struct asker_list *askers);

/* Tells all who asked, and begins again for those who asked meanwhile. */
static void finish(struct reload *reload)
{
    struct server *server = reload->server;
    struct asker_list later = TAILQ_HEAD_INITIALIZER(later);
    struct asker *asker;

    notify_ready(server->notify);
    log_report(&reload->report);
    TAILQ_CONCAT(&later, &reload->later, entry);
    TAILQ_FOREACH (asker, &reload->askers, entry)
        if (asker->done)
            asker->done(asker->owner, &reload->report);
    (void) reload_free(reload);
    if (!TAILQ_EMPTY(&later))
        begin(server, &later);
}

/* ---- applying, step by step */

static void step(struct reload *reload)
{
    static const struct timeval soon = { 0 };
    struct server *server = reload->server;

    if (!reload_tenants_step(server, &reload->walk, &reload->report,
                             reload->turn ? STEP_CPU_NS : UINT64_MAX)) {
        (void) event_add(reload->turn, &soon);
        return;
    }
    placements_apply_config(server->placements);
    finish(reload);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    LOOP_CALLBACK("reload: tenants");

    (void) fd;
    (void) what;
    step(arg);
}

/* A confined process cannot raise its limit any more. */
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
static int prepare(const struct server *server, struct reload *reload)
{
    struct http_limits limits;
    int r = check_descriptors(server, reload->next, &reload->report);

    if (r == 0)
        r = config_compare(server->config, reload->next, &reload->report.changes);
    if (r == 0)
        r = placements_reserve_former(server->placements, server->config->n_cordons);
    if (r == 0)
        r = reload_tenants_check(server, reload->next, &reload->set, &reload->report);
    if (r < 0)
        return r;
    reload_http_limits(reload->next, &limits);
    r = http_front_set_proxies(server->front, reload->next->proxy_prefixes,
                               reload->next->n_proxies);
    return r < 0 ? r : http_front_set_limits(server->front, &limits);
}

static const char *find_refusal(const struct server *server)
{
    if (server->life.is_draining)
        return "skepd is ending: nothing is reloaded any more";
    /* It may have read the config before it was changed, and would serve with that one. */
    if (server->life.is_handing_over)
        return "an upgrade is under way: reload when it has ended";
    return NULL;
}

static void on_read(struct reader_job *job, bool is_end)
{
    struct reload *reload = (struct reload *) job;
    struct server *server = reload->server;

    if (is_end) {
        (void) reload_free(reload);
        return;
    }
    reload->report.refusal = find_refusal(server);
    int r = reload->report.refusal ? -ECANCELED : reload->error;
    if (r == 0)
        r = prepare(server, reload);
    if (r == -ENOMEM)
        config_errors_add(&reload->report.errors, reload->path, 0, "skepd is out of memory");
    if (r < 0) {
        finish(reload);
        return;
    }
    apply_config(server, TAKE_PTR(reload->next), &reload->report);
    reload->walk.set = &reload->set;
    step(reload);
}

/* Empties askers. */
static void begin(struct server *server, struct asker_list *askers)
{
    const struct config *config = server->config;
    bool has_folder = config->tenants && !server->is_dev;
    _cleanup_(reload_cleanup) struct reload *reload = calloc(1, sizeof *reload);

    if (!reload) {
        askers_done(askers); /* they wait until they leave */
        log_error("no reload: skepd is out of memory");
        return;
    }
    reload->server = server;
    TAILQ_INIT(&reload->askers);
    TAILQ_INIT(&reload->later);
    TAILQ_CONCAT(&reload->askers, askers, entry);
    reload->job = (struct reader_job){ .work = read_all, .done = on_read };
    reload->path = strdup(config->path);
    reload->folder = has_folder ? strdup(config->tenants) : NULL;
    reload->turn = server->reader ? evtimer_new(server->base, on_turn, reload) : NULL;
    server->reload = reload;
    notify_reloading(server->notify);
    if (!reload->path || (has_folder && !reload->folder) || (server->reader && !reload->turn)) {
        reload->error = -ENOMEM;
        on_read(&TAKE_PTR(reload)->job, false);
        return;
    }
    reader_run(server->reader, &TAKE_PTR(reload)->job);
}

const char *reload_config(struct server *server, const char *by, reload_done_fn done, void *owner)
{
    struct asker_list askers = TAILQ_HEAD_INITIALIZER(askers);
    const char *refusal = find_refusal(server);

    log_info("a reload is asked for by %s", by);
    if (refusal) {
        log_warning("%s", refusal);
        return refusal;
    }
    struct asker *asker = malloc(sizeof *asker);
    if (!asker)
        return "skepd is out of memory";
    *asker = (struct asker){ .done = done, .owner = owner };
    if (server->reload) {
        TAILQ_INSERT_TAIL(&server->reload->later, asker, entry);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&askers, asker, entry);
    begin(server, &askers);
    return NULL;
}

static void forget_asker(struct asker_list *askers, const void *owner)
{
    struct asker *asker;

    TAILQ_FOREACH (asker, askers, entry)
        if (asker->owner == owner)
            asker->done = NULL;
}

void reload_forget(struct server *server, const void *owner)
{
    if (!server->reload)
        return;
    forget_asker(&server->reload->askers, owner);
    forget_asker(&server->reload->later, owner);
}

void reload_on_signal(struct server *server)
{
    (void) reload_config(server, "SIGHUP", NULL, NULL);
}
