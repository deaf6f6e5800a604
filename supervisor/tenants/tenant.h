/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tenants, their versions, and where each version has a live isolate (placement). A tenant
 * stays; a version is one state of its files and goes when nothing refers to it.
 * Supervisor, loop thread.
 */
#pragma once

#include <sys/queue.h>

#include "config/manifest.h"
#include "supervisor/placement/conduct.h"
#include "supervisor/placement/holdup.h"
#include "supervisor/record/record.h"
#include "supervisor/requests/books.h"
#include "supervisor/server.h"
#include "supervisor/tenants/tenant_cursor.h"

struct child;
struct deploy;
struct request;

enum placement_state {
    PLACEMENT_LOADING,
    PLACEMENT_READY,
    PLACEMENT_UNLOADING,
    PLACEMENT_GONE, /* the isolate is; requests that were on their way come back */
};

/* How much of a version has been sent to its worker. */
struct load_progress {
    bool is_listed; /* in the worker's to_load */
    bool has_begun;
    unsigned file; /* of the manifest: the next one */
    size_t at;     /* bytes of it that were sent */
};

/* A version in a worker. Owned by the version; goes with the worker. */
struct placement {
    TAILQ_ENTRY(placement) in_to_load;
    struct load_progress load;
    LIST_ENTRY(placement) in_version;
    LIST_ENTRY(placement) in_child;
    struct version *version; /* borrowed */
    struct child *child;     /* borrowed */
    uint32_t id; /* "tenant" on the wire and on the scoreboard: of no other isolate, ever; not 0 */
    enum placement_state state;
    uint16_t place;     /* on the worker's scoreboard */
    limit_set exceeded; /* that it said of its load, see Exceeded */
    limit_set noted;    /* limits that the supervisor has seen its load meet */
    unsigned in_flight;
    unsigned stops;   /* of its requests by V8 */
    bool is_retiring; /* unloaded when the last request is through */
    bool is_stopped;  /* JavaScript was terminated in it: it gets no other request */
    uint64_t stopped_ns;
    uint64_t ready_ns; /* when it was loaded */
    uint64_t since_ns;
    uint64_t waited_ns; /* of the worker's own time, when it began to load or unload */
    /* Fact: by how much the worker's memory has grown while this one had a request, a load or an unload
     * in it. */
    uint64_t grown_kib;
    struct placement_books books;
};
LIST_HEAD(placement_list, placement);
TAILQ_HEAD(placement_queue, placement);

/* What its requests came to, as far as it is to blame. Both are halved now and then, so that what was
 * long ago counts less. */
struct version_counts {
    uint32_t answered, failed; /* failed ones are in answered, too */
};

/* New isolates in place of stopped ones. All zero: the bucket is full, and none is due. */
struct boot_bucket {
    bool is_due;      /* the next isolate of the version replaces a stopped one */
    bool is_empty;    /* said so to the tenant, since the last time that it was not */
    uint64_t full_ns; /* when it will be full again */
};

#define VERSION_NAME_BYTES 64 /* of one that was deployed: SHA-256 in hexadecimal */

struct version {
    uint32_t id;           /* never used twice; not 0 */
    struct tenant *tenant; /* borrowed */
    struct manifest *manifest;
    const struct cordon_config *cordon;        /* borrowed: lives as long as the config */
    struct limits limits;                      /* resolved */
    struct limit_origin origins[LIMITS_COUNT]; /* of these */
    limit_set observed;                        /* of these, what is not enforced */
    struct placement_list placements;
    unsigned refs;         /* the tenant's, each placement's, each request's */
    struct deploy *deploy; /* borrowed: that waits for its load; NULL: none */
    struct boot_bucket boots;
    struct version_counts counts;
};

/* Of a tenant that was deployed; see supervisor/deploy/. */
struct tenant_deployed {
    char serving[VERSION_NAME_BYTES + 1]; /* what serves; "" if it was not deployed */
    /* It served before the last deploy, and can again at once, as long as the new one is watched; NULL:
     * none. */
    struct version *standby;
    char standby_name[VERSION_NAME_BYTES + 1];
    uint64_t watched_until_ns;
    bool is_unrouted; /* its first version has not loaded yet */
};

/* Who may change or remove a tenant. */
enum tenant_origin {
    TENANT_FOLDER,   /* of config->tenants, or --dev: read at start and by each reload */
    TENANT_DEPLOYED, /* comes and goes by deploys: no reload touches it */
};

struct tenant {
    TAILQ_ENTRY(tenant) entry;
    LIST_ENTRY(tenant) in_bucket;
    struct server *server; /* borrowed */
    uint64_t number;       /* of no other, ever; not 0 */
    unsigned n_versions;   /* that point to it */
    char *name;
    enum tenant_origin origin; /* TENANT_FOLDER, unless who installs it says otherwise */
    char *dir;                 /* where it was read from */
    struct version *version;   /* serving */
    struct version *candidate; /* takes over when it has loaded; NULL: none */
    struct tenant_deployed deployed;
    /* borrowed: this is what the routes of a tenant that cannot be served lead to, without a version and in no
     * list; NULL for every other. */
    const struct unserved *unserved;
    struct request_list queue;
    unsigned n_queued;
    unsigned n_in_flight;
    struct counted counted;
    uint64_t cpu_us;
    uint64_t kills; /* deaths of workers that it was blamed for */
    struct conduct conduct;
    struct child *own;      /* borrowed: the worker that is its own, or PLACE_CROWD; NULL: none */
    struct child *next_own; /* the same for a candidate that is in another cordon */
    /* How busy it is, see seclude.h. */
    uint64_t cpu_seen_us;            /* cpu_us at the last look, one each second */
    uint64_t spent_us;               /* between the last two looks */
    unsigned busy_looks, calm_looks; /* in a row */
    struct holdup held;
    /* After a failed load no other is tried for a while. */
    enum error_code load_error;
    unsigned load_failures;
    uint64_t load_again_ns;
    char *last_error; /* owned; text of the last failed load */
    struct tenant_books books;
};
TAILQ_HEAD(tenant_list, tenant);

struct reload_waiting;
LIST_HEAD(reload_waiting_list, reload_waiting);

#define TENANT_BUCKETS 4096

struct tenants {
    LIST_HEAD(, tenant) by_name[TENANT_BUCKETS]; /* those of list */
    struct tenant_list list;                     /* in the order of their numbers */
    unsigned n_listed;                           /* of list */
    struct tenant_cursor_list cursors;           /* in list */
    struct tenant_cursor care;  /* of the look at each tenant, each second; closed in between */
    struct tenant_list leaving; /* removed: they end what they have accepted */
    struct reload_waiting_list waiting; /* see reload_tenants.h */
    LIST_HEAD(, unserved) unserved;     /* see unserved.h */
    struct router *router;
    uint64_t last_number;
    uint32_t last_version;
    uint32_t last_placement;
};

int tenants_new(struct server *server, struct tenants **ret_tenants);
struct tenants *tenants_free(struct tenants *tenants);

/* Takes over a manifest (owned from success on): a new tenant, or the next version of one of that
 * name, which serves once it has loaded. dir: where its files are by now, copied. 0, -EEXIST if a route
 * is another tenant's, -ENOENT if there is no such cordon, or another -errno. */
int tenant_install(struct server *server, struct manifest *manifest, const char *dir);
/* Adds the tenant to the list and the table. */
void tenant_list(struct tenants *tenants, struct tenant *tenant);
/* Removes the tenant from both. */
void tenant_unlist(struct tenants *tenants, struct tenant *tenant);
struct tenant *tenant_find(const struct tenants *tenants, const char *name, size_t size);
/* Its files are somewhere else now. Out of memory nothing changes. */
void tenant_set_dir(struct tenant *tenant, const char *dir);
/* Reads the tenant's folder or script again. 0, or -errno with errors filled; then the version that
 * serves goes on. */
int tenant_reload(struct tenant *tenant, struct config_errors *errors);
/* It gets no new requests: its routes and its name are free at once. What it has accepted is served to
 * the end; the tenant is freed by a later tenants_sweep. */
void tenant_remove(struct tenant *tenant);
/* Each second: frees removed tenants of which nothing is left in any worker; looks at some of them, and next time at
 * the others. */
void tenants_sweep(struct tenants *tenants);
/* Limits of server->config or of its cordons have changed: those that the supervisor keeps count at
 * once; for others the same files become the next version, which serves once it has loaded, after the
 * candidate if there is one, or the first version if that has not loaded. Returns 1 if any of the
 * tenant's limits is another one now, 0, or -errno. */
int tenant_renew_limits(struct tenant *tenant);
/* Whether the config says others by now. */
bool tenant_has_old_limits(const struct version *version);
/* The lowest of platform, cordon and tenant: see limits_resolve. */
void tenant_resolve_limits(const struct config *config, const struct cordon_config *cordon,
                           const struct manifest *manifest, struct limits *ret,
                           struct limit_origin ret_origins[static LIMITS_COUNT]);

/* ---- for deploys (tenant_stage.c) */

/* As tenant_install, but the version only loads: as the candidate, or, for a new tenant, as the version
 * of one without routes. deploy is told how that ends, and then has it served or dropped; borrowed. */
int tenant_stage(struct server *server, struct manifest *manifest, const char *dir,
                 struct deploy *deploy, struct version **ret_version);
/* The staged version serves, from the next request on. name: of the version. keep_old: the one before
 * stays as standby. 0; or -errno, and nothing has changed: -ESTALE if it is not staged any more, else a
 * route is not free any more. */
int tenant_serve_staged(struct version *version, const char *name, bool keep_old);
/* It is not wanted: as before, or, for a new tenant, no tenant. */
void tenant_drop_staged(struct version *version);
/* The standby serves again, from the next request on, and the version that served goes. 0 or -errno as
 * above. */
int tenant_serve_standby(struct tenant *tenant);
void tenant_drop_standby(struct tenant *tenant);
/* Another tenant than the one of the manifest's name that has one of its routes; NULL: none. */
const struct tenant *tenant_find_conflict(const struct tenants *tenants,
                                          const struct manifest *manifest,
                                          const struct route_pattern **ret_route);

struct version *version_ref(struct version *version);
struct version *version_unref(struct version *version); /* returns NULL */

/* One line of the tenant's: see counted_log. */
static inline void tenant_log(struct tenant *tenant, enum tenant_log_level level, const char *text,
                              size_t size)
{
    counted_log(&tenant->counted, level, text, size);
}

/* The candidate has loaded, or will not. Either way there is none afterwards. */
void tenant_serve_candidate(struct tenant *tenant);
void tenant_refuse_candidate(struct tenant *tenant, const char *text, size_t size);

/* Loads the candidate, else the serving version, into its worker without a request. 0, or -EAGAIN
 * while no worker is ready for it. */
int tenant_preload(struct tenant *tenant);

/* Seconds until a load is tried again after a failed one; 0: now. */
unsigned tenant_retry_after_s(const struct tenant *tenant);

/* The answer to a load; code ERROR_NONE: it is ready. The placement may be gone afterwards. */
void tenant_on_loaded(struct placement *placement, enum error_code code, const char *text,
                      size_t size, uint64_t cpu_us);
/* JavaScript was terminated in the isolate, says the worker: it gets no other request, and goes when those
 * in it have ended. */
void tenant_on_stopped(struct placement *placement);
/* The worker has disposed of the isolate. Without requests the placement is gone afterwards. */
void tenant_on_unloaded(struct placement *placement);
/* The worker died while it was loading this, and this is to blame. */
void tenant_on_load_death(struct version *version, enum error_code code, const char *cause);
/* Requests wait and this worker is the place for them: has the version loaded there. 0 or -errno. */
int tenant_load(struct version *version, struct child *child);
/* A request has left the placement: unloads it if it is not wanted any more. It may be gone
 * afterwards. */
void tenant_on_idle(struct placement *placement);

/* The isolate of the version that takes requests in that worker, or will; NULL if there is none. */
struct placement *placement_find(const struct version *version, const struct child *child);
/* 0, or -EAGAIN if the worker has no place left, or -ENOMEM. */
/* The version is where it should be: its isolates elsewhere go when they have nothing left to do. */
void placement_leave_others(const struct version *version, const struct child *child);
/* Retires a placement that gets no other request, as far as is known: it is unloaded when it is idle, and gone afterwards if it
 * is so now. */
void placement_retire(struct placement *placement);
int placement_new(struct version *version, struct child *child, struct placement **ret_placement);
void placement_free(struct placement *placement);
