/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contents of skepd.yaml: the operator's decisions. Read by skepd at start and by `skep check`.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/address.h"
#include "common/eval_mode.h"
#include "common/jit.h"
#include "common/layers.h"
#include "common/log.h"
#include "config/errors.h"
#include "config/host_rules.h"
#include "config/limits.h"

/* Most prefixes in one list of addresses: as many as one Open of egress.proto may name. */
#define EGRESS_ADDRESSES_MAX 64

/* Prefixes of addresses that a fetch may reach although they are not public, or may not reach. */
struct egress_addresses {
    char **texts;                    /* checked */
    unsigned n;                      /* number of texts, and of prefixes */
    struct address_prefix *prefixes; /* the same, parsed */
    bool is_given;                   /* the key is there, be its list an empty one */
};

struct cordon_config {
    char *name;        /* [a-z0-9-], at most 63 */
    uint32_t workers;  /* workers that tenants share: 1 to 64; 0 if is_solitary */
    bool is_solitary;  /* each tenant has a worker of its own */
    uint32_t solitary; /* most workers that each belong to one tenant; 0 to 64, or to 1024 */
    enum jit_mode jit;
    enum eval_mode eval; /* the most that the cordon's tenants may have */
    bool spare;          /* one worker more, which takes over where another dies */
    bool allow_unlimited;
    /* First requests of an isolate may use what its load has left of cpu_startup_ms. */
    bool first_credit;
    /* The cordon's tenants and those of others with calls_across may call each other. */
    bool calls_across;
    uint32_t caller_percent; /* share of a tenant's places and queue for one calling tenant */
    struct host_rules hosts; /* the most that its tenants may fetch; not given: egress.allow */
    struct egress_addresses addresses; /* not given: egress.addresses */
    struct limits defaults, maximum;   /* LIMIT_UNSET where not given */
    limit_set observed;                /* noted and not enforced; besides those of struct config */
    bool observe_rss, observe_strikes;
    uint32_t rss_mib;    /* resident memory of one worker; LIMIT_UNLIMITED: off */
    uint32_t drift_mib;  /* resident memory beyond what its isolates account for; likewise */
    uint32_t files_mib;  /* all files of a version together */
    uint32_t cpu_weight; /* cgroup v2 cpu.weight of each worker */
    uint32_t retire_after_s, retire_after_requests; /* a worker's age; LIMIT_UNLIMITED: never */
    uint32_t strikes; /* kills and crashes within 60 s, for each step */
    /* the first quarantine; each next is twice as long */
    uint32_t quarantine_s;
};

struct http_config { /* see struct http_limits in supervisor/http/http.h */
    uint32_t header_bytes, header_count, connections, connections_per_ip;
    uint32_t header_timeout_ms, body_idle_ms, keepalive_ms, write_idle_ms, half_close_ms;
    uint32_t min_bytes_per_s, body_buffer_kib, buffer_mib, share_percent;
};

struct admin_role {
    uint32_t *uids, *gids; /* owned; may be NULL */
    unsigned n_uids, n_gids;
};

struct admin_config {
    char *group; /* group of the socket, name or number; NULL: that of skepd */
    /* Users and groups besides root and skepd's own uid, who may do everything. A user who
     * may write may also read. */
    struct admin_role read, write;
};

struct metrics_config {
    char *listen;     /* "127.0.0.1:9464"; NULL: none */
    uint32_t tenants; /* with series of their own; the others are one */
};

struct log_config { /* most log output in a second, see supervisor/record/log_budget.h */
    uint32_t tenant_lines, tenant_kib; /* each tenant */
    uint32_t lines, kib;               /* all tenants together */
    uint32_t access_lines;             /* lines of the access log, besides these */
};

struct egress_config { /* see egress_rules.h */
    bool fetch;        /* tenants may fetch at all: the section is there, without fetch: off */
    char *
        socket; /* socket of the unit skep-egress; absolute; NULL: skepd starts the program itself */
    char **dns;     /* resolvers for the program, ADDRESS[:PORT]; checked */
    unsigned n_dns; /* 0: those of the system */
    char *ca;       /* file of further certificates, PEM, for the program; absolute; NULL: none */
    struct host_rules allow; /* the most that tenants may fetch; not given: everything */
    struct host_rules deny;  /* hosts alone: no tenant may fetch from them */
    struct egress_addresses addresses;
    struct egress_addresses denied; /* no fetch may reach them, public or not */
};

struct deploy_config {
    uint32_t keep;          /* versions of a tenant */
    uint32_t watch_s;       /* a new version may be rolled back by itself for so long; 0: never */
    uint32_t errors;        /* at least so many failed requests, */
    uint32_t error_percent; /* and so many of all */
};

struct storage_config {
    char *folder; /* folder of what tenants store, absolute; NULL: no tenant stores anything */
};

/* Where the value of a secret comes from that the operator gives. */
enum secret_source {
    SECRET_FILE,       /* a file */
    SECRET_CREDENTIAL, /* a file of that name in $CREDENTIALS_DIRECTORY, systemd.exec(5) */
    SECRET_VARIABLE,   /* a variable in the environment of skepd */
};

struct given_secret {
    char *tenant, *name;
    enum secret_source source;
    char *place; /* absolute path, name of a credential, or name of a variable */
};

struct secrets_config { /* see supervisor/secrets/secrets.h */
    char *key;          /* file of the key, absolute; NULL: none */
    char *credential;   /* name of the credential that has it; NULL: none. At most one of both */
    struct given_secret *given; /* owned; each tenant has each name once */
    unsigned n_given;
};

struct jail_config {
    bool may_be_reduced; /* minimum: reduced */
    layer_set without;   /* layers that may be missing, each named */
};
/* The preset of `without`. Whether a host has switches for speculation was decided when it was
 * booted; LAYER_SPECULATION is no wall (docs/security.md). */
#define LAYERS_WITHOUT_PRESET LAYER_BIT(LAYER_SPECULATION)

struct config {
    char *path;         /* path of the file, for messages */
    char **listen;      /* "127.0.0.1:8080", "[::1]:8080", "unix:/path"; checked, absolute */
    unsigned n_listen;  /* 0: only sockets that are handed over */
    char *admin_socket; /* absolute; fits in a sockaddr_un; /run/skep/admin.sock if not given */
    char *tenants;      /* folder of tenant folders; absolute; NULL if not given */
    char *state;        /* folder of deployed tenants; absolute; NULL: nothing can be deployed */
    struct admin_config admin;
    enum log_level log_level;
    enum log_format log_format;
    bool access_log; /* a line for each request */
    struct log_config log;
    struct metrics_config metrics;
    struct deploy_config deploy;
    struct egress_config egress;
    struct secrets_config secrets;
    struct storage_config storage;
    uint32_t drain_s; /* the most that an end waits for requests in flight */
    struct http_config http;
    char **proxies; /* addresses and prefixes, checked */
    unsigned n_proxies;
    struct address_prefix *proxy_prefixes; /* the same, parsed */
    bool server_timing;                    /* http.server_timing */
    char *default_host; /* http.default_host in its one spelling, see config/host_name.h */
    struct jail_config jail;
    struct limits defaults, maximum; /* LIMIT_UNSET where not given; never LIMIT_UNLIMITED */
    limit_set observed;              /* noted and not enforced, in all cordons */
    bool observe_rss, observe_strikes;
    /* At least one; "default" is added if none is given. Each cordon is owned, and stays where it
     * is while a reload makes it part of another config: workers and versions borrow it. */
    struct cordon_config **cordons;
    unsigned n_cordons;
};

/* Bounds and default of files_mib. */
#define FILES_MIB_LEAST UINT32_C(1)
#define FILES_MIB_MOST UINT32_C(256)
#define FILES_MIB_PRESET UINT32_C(16)

#define CONFIG_FILE_MAX_BYTES (UINT32_C(256) << 10)

/* Reads and checks path. 0, or -EINVAL with errors filled, or -errno of reading (in errors too). */
int config_read(const char *path, struct config **ret_config, struct config_errors *errors);
/* Parses a text. file: name for messages; relative paths count from its folder. text need not end
 * with NUL. As config_read; -ENOMEM is not in errors. */
int config_parse(const char *file, const char *text, size_t size, struct config **ret_config,
                 struct config_errors *errors);
struct config *config_free(struct config *config);
struct cordon_config *cordon_config_free(struct cordon_config *cordon); /* NULL is allowed */
/* Finds a cordon by its name; NULL if there is none. */
const struct cordon_config *config_find_cordon(const struct config *config, const char *name);
/* Returns the most bytes that the files of any tenant may have together: those of the cordon with the
 * largest files_mib. config: NULL for the default. */
uint32_t config_files_bytes(const struct config *config);
/* Returns the limits of tenants that are only observed in a cordon, because the cordon or the
 * platform says so. */
limit_set limits_observed(const struct config *config, const struct cordon_config *cordon);
