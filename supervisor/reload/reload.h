/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reloads skepd.yaml of a running skepd, by SIGHUP or `skep reload`, and the tenants of its folder.
 * All of it is read and checked first; then it is applied without losing a request.
 * Supervisor, loop thread.
 */
#pragma once

#include "config/config_changes.h"
#include "supervisor/record/failure.h"

enum reload_kind {
    RELOAD_ADDED,
    RELOAD_CHANGED, /* the new version serves when it has loaded */
    RELOAD_LIMITS,  /* the same files, and other limits */
    RELOAD_REMOVED, /* ends the requests that it has accepted */
    RELOAD_WAITS, /* waits for a route that another gives up: it is installed when that has loaded */
};

struct reload_tenant {
    char name[64];
    enum reload_kind kind;
};

struct reload_report {           /* starts as { 0 } */
    struct failure refusal;      /* why nothing was read; code 0: all was read */
    bool is_applied;             /* false: nothing has changed */
    struct config_errors errors; /* why it is not applied */
    struct config_changes changes;
    /* Errors of tenants that stay as they were, or are not installed. */
    struct config_errors tenant_errors;
    struct reload_tenant *tenants; /* owned */
    unsigned n_tenants;
    unsigned unchanged; /* tenants */
};

struct event_base;
struct http_front;
struct life;
struct notify;
struct placements;
struct reader;
struct reload;
struct tenants;
struct versions;

/* All borrowed. */
struct reload_options {
    struct event_base *base;
    struct config *config; /* the object stays, its contents are exchanged */
    const struct life *life;
    struct http_front *front;
    struct tenants *tenants;
    struct placements *placements;
    struct versions *versions;
    struct notify *notify; /* NULL without a service manager */
    struct reader *reader; /* NULL in tests: files are read in the loop */
    uint64_t max_files;    /* descriptors that the process may have */
    bool is_dev;           /* `skep dev`: one tenant gets every request, and none comes or goes */
};

/* Returns 0 or -ENOMEM. */
int reload_new(const struct reload_options *options, struct reload **ret_reload);
/* Call after the end of the reader, when none is under way. No asker is told. NULL is allowed.
 * Returns NULL. */
struct reload *reload_free(struct reload *reload);

/* Called once, in the end. report: borrowed for the call. */
typedef void (*reload_done_fn)(void *owner, const struct reload_report *report);

/* Begins a reload. The reader reads and parses the files, and tenants are changed in steps, so that no request has to
 * wait. by: the asker's name for the log, which also has the result. Returns 0, and calls done, maybe before this
 * returns; or -errno, which failure has, too, without a call of done. While one is under way, another follows, for all
 * who have asked by then. */
int reload_config(struct reload *reload, const char *by, reload_done_fn done, void *owner,
                  struct failure *failure);
/* Does the same for SIGHUP; only the log has the result. */
void reload_on_signal(struct reload *reload);
/* Forgets an asker that has gone. */
void reload_forget(struct reload *reload, const void *owner);
/* Returns whether a reload is under way, so that skepd cannot hand over to another. */
bool reload_is_under_way(const struct reload *reload);
/* Logs each line of the errors. */
void reload_log_errors(const struct config_errors *errors);
void reload_report_done(struct reload_report *report);
struct http_limits;
/* Computes the limits of the front, by the config. */
void reload_http_limits(const struct config *config, struct http_limits *ret_limits);
/* Returns "added", "changed", "other limits", "removed" or "waits for a route"; static. */
const char *reload_kind_name(enum reload_kind kind);
