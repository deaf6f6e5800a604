/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another skepd.yaml for a skepd that runs, by SIGHUP or `skep reload`, and the tenants of its folder
 * once more. All of it is read and checked first; then it is applied without losing a request.
 * Supervisor, loop thread.
 */
#pragma once

#include "config/config_changes.h"
#include "supervisor/server.h"

enum reload_kind {
    RELOAD_ADDED,
    RELOAD_CHANGED, /* the new version serves when it has loaded */
    RELOAD_LIMITS,  /* the same files, and other limits */
    RELOAD_REMOVED, /* it ends what it has accepted */
    RELOAD_WAITS,   /* for a route that another gives up: it is installed when that has loaded */
};

struct reload_tenant {
    char name[64];
    enum reload_kind kind;
};

struct reload_report {           /* starts as { 0 } */
    const char *refusal;         /* why nothing was read; static; NULL: it was */
    bool is_applied;             /* false: nothing has changed */
    struct config_errors errors; /* why not */
    struct config_changes changes;
    struct config_errors tenant_errors; /* of tenants that stay as they were, or do not come */
    struct reload_tenant *tenants;      /* owned */
    unsigned n_tenants;
    unsigned unchanged; /* tenants */
};

/* In the end, once. report: for the call. */
typedef void (*reload_done_fn)(void *owner, const struct reload_report *report);

/* Files are read and parsed by the reader, and tenants changed in steps, so that nobody has to wait meanwhile. by: who
 * asks, for the log, which says what comes of it, too. NULL, and done is called, maybe before this returns; else why
 * not, and it is not. While one is under way, another follows, for all who have asked by then. */
const char *reload_config(struct server *server, const char *by, reload_done_fn done, void *owner);
/* For SIGHUP: the same, and only the log says what came of it. */
void reload_on_signal(struct server *server);
/* The owner is not to be told any more. */
void reload_forget(struct server *server, const void *owner);
/* After reader_free: none is under way any more. */
void reload_end(struct server *server);
/* Each line of them. */
void reload_log_errors(const struct config_errors *errors);
void reload_report_done(struct reload_report *report);
/* The limits of the front, by the config. */
struct http_limits;
void reload_http_limits(const struct config *config, struct http_limits *ret_limits);
/* "added", "changed", "other limits", "removed", "waits for a route"; static. */
const char *reload_kind_name(enum reload_kind kind);
