/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tenants, their versions, and the placements of each version. A tenant
 * stays; a version is one state of its files, and is freed when nothing refers to it.
 * Supervisor, loop thread.
 */
#pragma once

#include <sys/queue.h>

#include "config/manifest.h"
#include "supervisor/record/holdup.h"
#include "supervisor/record/record.h"
#include "supervisor/secrets/secrets.h"
#include "supervisor/tenants/books.h"
#include "supervisor/tenants/callers.h"
#include "supervisor/tenants/conduct.h"
#include "supervisor/tenants/tenant_cursor.h"

struct failure;
struct slot;
struct request;

/* Results of a version's requests, as far as the version is to blame. Both counts are halved now and then, so that old
 * results count less. */
struct version_counts {
    uint32_t answered, failed; /* failed ones are in answered, too */
};

/* New isolates in place of stopped ones. All zero: the bucket is full, and none is due. */
struct boot_bucket {
    bool is_due;   /* the next isolate of the version replaces a stopped one */
    bool is_empty; /* the tenant's log has a line about that, since the bucket was last not empty */
    uint64_t full_ns; /* time when the bucket will be full again */
};

/* The last first credit of a version, see placement/first_credit.h. All zero: none was given. */
struct first_credit {
    uint64_t given_ns;
    pid_t pid; /* process of the worker that has the isolate */
    bool
        is_forfeited; /* JavaScript of the version was stopped since, or was to blame for a death */
};

#define VERSION_NAME_BYTES 64 /* name of a deployed version: SHA-256 in hexadecimal */

/* The code that had a version staged, and waits for its load. A version that is not staged any more
 * has none. */
struct version_listener {
    void (*loaded)(void *owner);
    /* The version will not load, for that reason, which the tenant may know. */
    void (*refused)(void *owner, const struct failure *failure);
    /* Another version took the place of this one. */
    void (*dropped)(void *owner);
};

struct version {
    uint32_t id;           /* never used twice; not 0 */
    struct tenant *tenant; /* borrowed */
    struct manifest *manifest;
    const struct cordon_config *cordon;        /* borrowed: lives as long as the config */
    struct limits limits;                      /* resolved */
    struct limit_origin origins[LIMITS_COUNT]; /* where each limit comes from */
    limit_set observed;                        /* limits that are not enforced */
    LIST_HEAD(, placement) placements;
    TAILQ_ENTRY(version) preload;
    /* Borrowed; the worker in whose queue it waits to be loaded; NULL: none. */
    struct worker *preload_in;
    unsigned refs; /* the tenant's, each placement's, each request's, the queue's */
    const struct version_listener *listener; /* borrowed: waits for the load; NULL: none */
    void *listener_owner;                    /* borrowed */
    struct boot_bucket boots;
    struct first_credit first_credit;
    struct version_counts counts;
    struct caller_right *rights; /* owned; one for each of the manifest's callers */
    bool is_migrated; /* true once its migrations are applied; see supervisor/versions/first.c */
    uint64_t secrets_stamp; /* secrets_stamp of its manifest when it was made */
};

/* State of a deployed tenant; see supervisor/deploy/. */
struct tenant_deployed {
    /* Name of the serving version; "" if it was not deployed. */
    char serving[VERSION_NAME_BYTES + 1];
    /* The version that served before the last deploy, and can serve again at once while the new one is watched; NULL:
     * none. See tenant_set_standby. */
    struct version *standby;
    char standby_name[VERSION_NAME_BYTES + 1];
    uint64_t watched_until_ns;
    bool is_unrouted; /* the first version has not loaded yet */
};

/* The source of a tenant, which alone may change or remove it. */
enum tenant_origin {
    TENANT_FOLDER, /* a folder of config->tenants, or of --dev: read at start and by each reload */
    TENANT_DEPLOYED, /* comes and goes by deploys: no reload touches it */
};

struct tenant {
    TAILQ_ENTRY(tenant) entry;
    LIST_ENTRY(tenant) in_bucket;
    struct tenants *tenants; /* borrowed */
    uint64_t number;         /* never that of another tenant; not 0 */
    unsigned n_versions;     /* versions that point to the tenant */
    char *name;
    enum tenant_origin origin; /* TENANT_FOLDER, unless its installer sets another */
    char *dir;                 /* the folder that it was read from */
    struct version *version;   /* serving */
    /* Takes over when it has loaded; NULL: none. See tenant_set_candidate. */
    struct version *candidate;
    TAILQ_ENTRY(tenant) changing; /* if there is a candidate */
    TAILQ_ENTRY(tenant) watched;  /* if there is a standby */
    struct tenant_deployed deployed;
    /* borrowed: set in the target of the routes of a tenant that cannot be served, which has no version and is in no
     * list; NULL in all others. */
    const struct unserved *unserved;
    struct request_list queue;
    unsigned n_queued;
    unsigned n_in_flight;
    struct counted counted;
    uint64_t cpu_us;
    uint64_t kills; /* deaths of workers for which it was blamed */
    struct conduct conduct;
    /* Borrowed: the slot of the tenant's own worker, or a SLOT_CROWD; NULL: none. */
    struct slot *own;
    struct slot *next_own; /* the same for a candidate that is in another cordon */
    /* How busy the tenant is, see seclude.h. */
    uint64_t cpu_seen_us; /* cpu_us at the last look, one each second */
    uint64_t spent_us;    /* CPU time between the last two looks */
    /* Time of the last look; until then, time that was not its worker's own. */
    uint64_t looked_ns, looked_waited_ns;
    unsigned busy_looks, calm_looks; /* looks in a row */
    struct holdup held;
    /* After a failed load the next is tried only after a while. */
    enum error_code load_error;
    unsigned load_failures;
    uint64_t load_again_ns;
    char *last_error; /* owned; text of the last failed load */
    struct tenant_books books;
};
TAILQ_HEAD(tenant_list, tenant);

#define TENANT_BUCKETS 4096

struct tenants {
    const struct config *config; /* borrowed, as record; a reload changes its contents */
    struct record *record;
    struct tenants_books books;
    LIST_HEAD(, tenant) by_name[TENANT_BUCKETS]; /* the tenants of list */
    struct tenant_list list;                     /* in the order of their numbers */
    unsigned n_listed;                           /* tenants in list */
    struct tenant_cursor_list cursors;           /* cursors in list */
    struct tenant_cursor care; /* for the look at each tenant in each second; closed in between */
    /* Removed tenants, which end the requests that they have accepted. */
    struct tenant_list leaving;
    struct tenant_list changing;      /* tenants with a candidate */
    struct tenant_list watched;       /* tenants with a standby */
    LIST_HEAD(, unserved) unserved;   /* see unserved.h */
    struct caller_right_list awaited; /* rights of names that no tenant has had yet */
    struct callers_kept *kept;        /* owned; rights from before the start; NULL: none */
    void (*on_callers)(void *owner);  /* see callers_watch */
    void *callers_owner;
    struct router *router;
    struct secrets *secrets;         /* borrowed; NULL: there are none. Set by main.c */
    void (*on_failing)(void *owner); /* see tenants_watch */
    void *watcher;
    void (*dispose)(void *owner, struct manifest *manifest); /* see tenants_dispose */
    void *disposer;
    uint64_t last_number;
    uint32_t last_version;
    uint32_t last_placement;
};

/* 0 or -errno. config and record are borrowed. */
int tenants_new(const struct config *config, struct record *record, struct tenants **ret_tenants);
struct tenants *tenants_free(struct tenants *tenants);

/* Adds the tenant to the list and the table. */
void tenant_list(struct tenants *tenants, struct tenant *tenant);
/* Removes the tenant from both. */
void tenant_unlist(struct tenants *tenants, struct tenant *tenant);
struct tenant *tenant_find(const struct tenants *tenants, const char *name, size_t size);
/* Makes the version, whose reference the tenant takes, the tenant's candidate or standby; NULL: none.
 * Returns the one before, with its reference; NULL: there was none. */
struct version *tenant_set_candidate(struct tenant *tenant, struct version *version);
struct version *tenant_set_standby(struct tenant *tenant, struct version *version);
/* Notes that the tenant's files are in another folder now. Out of memory nothing changes. */
void tenant_set_dir(struct tenant *tenant, const char *dir);
/* Computes the limits, the lowest of platform, cordon and tenant: see limits_resolve. */
void tenant_resolve_limits(const struct config *config, const struct cordon_config *cordon,
                           const struct manifest *manifest, struct limits *ret,
                           struct limit_origin ret_origins[static LIMITS_COUNT]);

/* Returns another tenant, not of the manifest's name, that has one of the manifest's routes; NULL:
 * none. */
const struct tenant *tenant_find_conflict(const struct tenants *tenants,
                                          const struct manifest *manifest,
                                          const struct route_pattern **ret_route);

/* Counts an answer to a request of the version, for the watch of a deploy. is_blamed: as for error_counts. Never
 * frees or moves anything. */
void version_count(struct version *version, enum error_code code, bool is_blamed);
/* Returns whether the serving version has failed far more often than the share that a deploy
 * allows, by its counts. */
bool tenant_is_failing(const struct tenant *tenant);
/* Sets the function to call when a tenant with a standby is failing. A request is being answered then, so the function
 * may only note that. owner is borrowed. NULL: no function any more. */
void tenants_watch(struct tenants *tenants, void (*on_failing)(void *owner), void *owner);

/* Frees the manifest; one with many bytes of files in another thread, if main.c has set dispose, which takes it over:
 * the kernel needs some 0.1 ms for a MiB. NULL is allowed. */
void tenants_dispose(const struct tenants *tenants, struct manifest *manifest);

struct version *version_ref(struct version *version);
struct version *version_unref(struct version *version); /* returns NULL */

/* Logs a line of the tenant's: see counted_log. */
static inline void tenant_log(struct tenant *tenant, enum tenant_log_level level, const char *text,
                              size_t size)
{
    counted_log(&tenant->counted, level, text, size);
}

/* Does the same for a line of a request: see counted_log_of. */
static inline void tenant_log_of(struct tenant *tenant, uint64_t request,
                                 enum tenant_log_level level, const char *text, size_t size)
{
    counted_log_of(&tenant->counted, request, level, text, size);
}

/* Returns the seconds until a load is tried again after a failed one; 0: now. */
unsigned tenant_retry_after_s(const struct tenant *tenant);

/* ---- for versions/, which makes tenants */

/* Makes a tenant, which is in no list yet. Returns 0 or -ENOMEM. */
int tenant_new(struct tenants *tenants, const char *name, const char *dir,
               struct tenant **ret_tenant);
struct tenant *tenant_free(struct tenant *tenant);
/* Makes a version, which owns the manifest on success. Returns 0, -ENOENT if there is no such
 * cordon, or -ENOMEM. */
int version_new(struct tenant *tenant, struct manifest *manifest, struct version **ret_version);
/* Replaces the routes of the serving version by those of another; unchanged on error. */
int tenant_swap_routes(struct tenant *tenant, const struct manifest *manifest);
