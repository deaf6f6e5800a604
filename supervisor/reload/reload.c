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
#include "supervisor/reload/internal.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/workers/slots.h"

#define STEP_CPU_NS (2 * NSEC_PER_MSEC) /* CPU time in one turn of the loop */

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
    failure_done(&report->refusal);
    config_errors_done(&report->errors);
    config_changes_done(&report->changes);
    config_errors_done(&report->tenant_errors);
    free(report->tenants);
    *report = (struct reload_report){ 0 };
}

/* ---- cordons: workers and versions borrow them, so they stay where they are */

/* Exchanges the values of both, but for the name, which is the same. */
static void exchange_values(struct cordon_config *a, struct cordon_config *b)
{
    char *name_of_a = a->name, *name_of_b = b->name;
    struct cordon_config values = *a;

    *a = *b;
    *b = values;
    a->name = name_of_a;
    b->name = name_of_b;
}

/* Puts the running cordon into the next config, with the next values, and frees the next config's
 * own. */
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

/* Exchanges the contents of both. The object stays, so that every module may keep a pointer to it. */
static void exchange(struct config *running, struct config *next)
{
    struct config values = *running;

    *running = *next;
    *next = values;
}

/* Applies the next config, and takes it over. Keys that are read where they are used have their effect by the exchange
 * alone. Cannot fail: all memory that is needed has been allocated. */
static void apply_config(struct reload *reload, struct config *next, struct reload_report *report)
{
    struct config *running = reload->with.config;

    config_keep_running(running, next);
    adopt_cordons(reload->with.placements, running, next);
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

static void log_refusal(const struct failure *refusal)
{
    failure_log_event(refusal, LOG_LEVEL_WARNING, LOG_ABOUT(0), "no reload");
}

static void log_report(const struct reload_report *report)
{
    if (report->refusal.code < 0) {
        log_refusal(&report->refusal);
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
    reload_done_fn done; /* NULL: the asker has left, or waits for no answer */
    void *owner;
};
TAILQ_HEAD(asker_list, asker);

struct reload_run {
    struct reader_job job;
    struct reload *reload; /* borrowed; used in the loop only */
    char *path, *folder;   /* path of the config; folder of tenants, NULL: none is read */
    struct config *next;
    struct manifest_set set;
    struct reload_report report;
    int error;
    struct reload_walk walk;
    struct event *turn;
    struct asker_list askers;
    struct asker_list later; /* askers who may mean a change since this run began to read */
};

_Static_assert(offsetof(struct reload_run, job) == 0, "the job is the first member");

static void read_all(struct reader_job *job)
{
    struct reload_run *run = (struct reload_run *) job;
    struct reload_report *report = &run->report;

    int r = config_read(run->path, &run->next, &report->errors);
    if (r == -EACCES)
        config_errors_add(&report->errors, run->path, 0,
                          "skepd reads it without capabilities: it must be its user's, or readable "
                          "for that user or all");
    if (r == 0 && run->folder &&
        manifest_read_all(run->folder, run->next, &run->set, &report->tenant_errors) == -ENOMEM)
        r = -ENOMEM;
    run->error = r;
}

/* ---- life */

static void askers_done(struct asker_list *askers)
{
    struct asker *asker;

    while ((asker = TAILQ_FIRST(askers))) {
        TAILQ_REMOVE(askers, asker, entry);
        free(asker);
    }
}

static struct reload_run *run_free(struct reload_run *run)
{
    if (!run)
        return NULL;
    if (run->reload->run == run)
        run->reload->run = NULL;
    if (run->turn)
        event_free(run->turn);
    tenant_cursor_close(&run->walk.tenants);
    askers_done(&run->askers);
    askers_done(&run->later);
    for (unsigned i = 0; i < run->set.count; i++)
        tenants_dispose(run->reload->with.tenants, TAKE_PTR(run->set.items[i]));
    manifest_set_done(&run->set);
    (void) config_free(run->next);
    reload_report_done(&run->report);
    free(run->path);
    free(run->folder);
    free(run);
    return NULL;
}
DEFINE_CLEANUP(struct reload_run *, run_free, run_cleanup)

int reload_new(const struct reload_options *options, struct reload **ret_reload)
{
    struct reload *reload = calloc(1, sizeof *reload);

    if (!reload)
        return -ENOMEM;
    reload->with = *options;
    *ret_reload = reload;
    return 0;
}

struct reload *reload_free(struct reload *reload)
{
    if (!reload)
        return NULL;
    (void) run_free(reload->run);
    reload_tenants_forget(reload);
    free(reload);
    return NULL;
}

bool reload_is_under_way(const struct reload *reload)
{
    return reload->run != NULL;
}

static void begin(struct reload *reload, struct asker_list *askers);

/* Tells all askers, and begins again for those who asked meanwhile. */
static void finish(struct reload_run *run)
{
    struct reload *reload = run->reload;
    struct asker_list later = TAILQ_HEAD_INITIALIZER(later);
    struct asker *asker;

    notify_ready(reload->with.notify);
    log_report(&run->report);
    TAILQ_FOREACH (asker, &run->askers, entry)
        if (asker->done)
            asker->done(asker->owner, &run->report);
    TAILQ_CONCAT(&later, &run->later, entry); /* with those who have asked in that moment */
    (void) run_free(run);
    if (!TAILQ_EMPTY(&later))
        begin(reload, &later);
}

/* ---- applying, step by step */

static void step(struct reload_run *run)
{
    static const struct timeval soon = { 0 };
    struct reload *reload = run->reload;

    if (!reload_tenants_step(reload, &run->walk, &run->report,
                             run->turn ? STEP_CPU_NS : UINT64_MAX)) {
        (void) event_add(run->turn, &soon);
        return;
    }
    placements_apply_config(reload->with.placements);
    finish(run);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("reload: tenants");

    step(arg);
}

/* Checks the limit of descriptors, which a confined process cannot raise any more. */
static int check_descriptors(const struct reload *reload, const struct config *next,
                             struct reload_report *report)
{
    char text[512];

    if (descriptors_check(next, reload->with.max_files, text, sizeof text) == 0)
        return 0;
    config_errors_add(&report->errors, next->path, 0, "%s", text);
    return -EINVAL;
}

/* Does all that can fail. */
static int prepare(const struct reload *reload, struct reload_run *run)
{
    struct http_limits limits;
    int r = check_descriptors(reload, run->next, &run->report);

    if (r == 0)
        r = config_compare(reload->with.config, run->next, &run->report.changes);
    if (r == 0)
        r = placements_reserve_former(reload->with.placements, reload->with.config->n_cordons);
    if (r == 0)
        r = reload_tenants_check(reload, run->next, &run->set, &run->report);
    if (r < 0)
        return r;
    reload_http_limits(run->next, &limits);
    r = http_front_set_proxies(reload->with.front, run->next->proxy_prefixes, run->next->n_proxies);
    return r < 0 ? r : http_front_set_limits(reload->with.front, &limits);
}

/* Has egress forget what the rules of the config before allowed. */
static void forget_hosts(const struct reload *reload)
{
    struct tenant *tenant;

    TAILQ_FOREACH (tenant, &reload->with.tenants->list, entry)
        ledger_forget_hosts(tenant);
}

/* 0, or why not. */
static int check_time(const struct reload *reload, struct failure *refusal)
{
    if (reload->with.life->is_draining)
        return failure_set(refusal, -ECANCELED, "skepd is ending: nothing is reloaded any more");
    /* The next skepd may have read the config before it was changed, and would serve with that. */
    if (reload->with.life->is_handing_over)
        return failure_set(refusal, -EBUSY, "an upgrade is under way: reload when it has ended");
    return 0;
}

static void on_read(struct reader_job *job, bool is_end)
{
    struct reload_run *run = (struct reload_run *) job;
    struct reload *reload = run->reload;

    if (is_end) {
        (void) run_free(run);
        return;
    }
    int r = check_time(reload, &run->report.refusal);
    if (r == 0)
        r = run->error;
    if (r == 0)
        r = prepare(reload, run);
    if (r == -ENOMEM)
        config_errors_add(&run->report.errors, run->path, 0, "skepd is out of memory");
    if (r < 0) {
        finish(run);
        return;
    }
    apply_config(reload, TAKE_PTR(run->next), &run->report);
    forget_hosts(reload);
    run->walk.set = &run->set;
    step(run);
}

/* Begins a run. Empties askers. */
static void begin(struct reload *reload, struct asker_list *askers)
{
    const struct config *config = reload->with.config;
    bool has_folder = config->tenants && !reload->with.is_dev;
    _cleanup_(run_cleanup) struct reload_run *run = calloc(1, sizeof *run);

    if (!run) {
        askers_done(askers); /* they get no answer */
        log_error("no reload: skepd is out of memory");
        return;
    }
    run->reload = reload;
    TAILQ_INIT(&run->askers);
    TAILQ_INIT(&run->later);
    TAILQ_CONCAT(&run->askers, askers, entry);
    run->job = (struct reader_job){ .work = read_all, .done = on_read };
    run->path = strdup(config->path);
    run->folder = has_folder ? strdup(config->tenants) : NULL;
    run->turn = reload->with.reader ? evtimer_new(reload->with.base, on_turn, run) : NULL;
    reload->run = run;
    notify_reloading(reload->with.notify);
    if (!run->path || (has_folder && !run->folder) || (reload->with.reader && !run->turn)) {
        run->error = -ENOMEM;
        on_read(&TAKE_PTR(run)->job, false);
        return;
    }
    reader_run(reload->with.reader, &TAKE_PTR(run)->job);
}

int reload_config(struct reload *reload, const char *by, reload_done_fn done, void *owner,
                  struct failure *failure)
{
    struct asker_list askers = TAILQ_HEAD_INITIALIZER(askers);
    int r = check_time(reload, failure);

    log_info("a reload is asked for by %s", by);
    if (r < 0) {
        log_refusal(failure);
        return r;
    }
    struct asker *asker = malloc(sizeof *asker);
    if (!asker)
        return failure_set(failure, -ENOMEM, "skepd is out of memory");
    *asker = (struct asker){ .done = done, .owner = owner };
    if (reload->run) {
        TAILQ_INSERT_TAIL(&reload->run->later, asker, entry);
        return 0;
    }
    TAILQ_INSERT_TAIL(&askers, asker, entry);
    begin(reload, &askers);
    return 0;
}

static void forget_asker(struct asker_list *askers, const void *owner)
{
    struct asker *asker;

    TAILQ_FOREACH (asker, askers, entry)
        if (asker->owner == owner)
            asker->done = NULL;
}

void reload_forget(struct reload *reload, const void *owner)
{
    if (!reload->run)
        return;
    forget_asker(&reload->run->askers, owner);
    forget_asker(&reload->run->later, owner);
}

void reload_on_signal(struct reload *reload)
{
    _cleanup_(failure_done) struct failure failure = { 0 };

    (void) reload_config(reload, "SIGHUP", NULL, NULL, &failure);
}
