/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tenant as it stands on disk: skep.yaml and the files of its folder. Read by skepd, by `skep
 * check` and by `skep dev`. All of it is the tenant's: hostile, bounded, checked.
 */
#pragma once

#include "config/allowed_hosts.h"
#include "config/config.h"
#include "config/host_name.h"

#define TENANT_FILES_MAX 1000
#define TENANT_PATH_MAX 255 /* bytes of a file's path, relative */
#define TENANT_DEPTH_MAX 16 /* folders in folders */
#define TENANT_ENV_MAX 128
#define TENANT_ENV_VALUE_MAX 32768
#define TENANT_ENV_BYTES_MAX \
    (UINT32_C(1000) << 10) /* names and values: all of env goes to workers in one frame */
#define TENANT_ROUTES_MAX 64
#define TENANT_LEFT_OUT_MAX 8 /* entries that are named */
#define TENANT_BINDINGS_MAX 32
#define TENANT_NAMESPACES_MAX 20 /* namespaces of kv */
#define TENANT_DATABASES_MAX 10  /* databases of sql */
#define TENANT_CALLERS_MAX 64
#define TENANT_SECRETS_MAX 32

struct route_pattern { // "hello.example.com/api/*", "*.example.com/*", "*"
    char *host;        /* lower case; "" for any host; without "*." for suffixes */
    char *path;        /* prefix, starts with '/', without the trailing '*' */
    bool is_suffix;    /* *.host */
    bool is_exact;     /* the pattern had no trailing '*': the path must be equal */
    unsigned line;     /* in skep.yaml, for messages */
};

struct env_entry {
    char *name;  /* [A-Za-z_][A-Za-z0-9_]*, not __proto__ */
    char *value; /* as written: 8080 and "8080" are the same */
};

/* Kinds of things that a binding leads to; each has a row in supervisor/calls and a face in worker/js. */
enum binding_kind {
    BINDING_SERVICE, /* another tenant */
    BINDING_KV,      /* a namespace of keys and values */
    BINDING_SQL,     /* a database */
    BINDING_FETCH,   /* fetch(): behind the kinds that skep.yaml and LoadBegin have */
    BINDING_KINDS,
};

struct binding { /* env.NAME */
    enum binding_kind kind;
    char *name;   /* as in an env_entry; neither another binding nor env has it */
    char *target; /* name of the tenant, of the namespace, or of the database */
    char *
        migrations; /* folder of the database's migrations, relative and normalised; NULL: it has none */
    unsigned line; /* in skep.yaml, for messages */
};

/* A secret that the tenant uses, whose value the operator gives: see supervisor/secrets/. */
struct secret_use {
    char *name;             /* neither env nor a binding has it */
    bool is_injected;       /* into fetches; false: it is env.NAME */
    bool has_where;         /* with is_injected */
    struct host_rule where; /* https, one host, one port; owned if has_where */
    char *header;           /* lower case */
    char *format;           /* has {} once */
    unsigned line;          /* in skep.yaml, for messages */
};

struct tenant_file {
    char *path; /* relative, normalised */
    char *data; /* followed by a NUL that size does not count */
    size_t size;
};

struct manifest_lines { /* in skep.yaml, for messages; 1 where the key is not given */
    unsigned name, main, cordon;
    unsigned eval;                 /* 0 where it is not given */
    unsigned limits[LIMITS_COUNT]; /* in the order of limit_table */
};

struct manifest {
    char *file;   /* path of skep.yaml (or of the script), for messages */
    char *name;   /* [a-z0-9-], at most 63 */
    char *main;   /* relative, normalised, .js or .mjs; one of files (if they were read) */
    char *cordon; /* "default" if not given */
    struct route_pattern *routes; /* at least one: NAME.localhost with all paths if not given */
    unsigned n_routes;
    struct env_entry *env;
    unsigned n_env;
    struct binding *bindings;
    unsigned n_bindings;
    struct secret_use *secrets;
    unsigned n_secrets;
    char **callers; /* names of the tenants that may call this one */
    unsigned n_callers;
    struct host_rules hosts; /* allowed_hosts: what it may fetch */
    struct limits limits;    /* LIMIT_UNSET where not given */
    enum eval_mode eval;
    bool
        /* after_stop: reuse; false: an isolate in which JavaScript was stopped is replaced */
        reuse_after_stop;
    struct manifest_lines lines;
    struct tenant_file *files; /* sorted by path; never changed once they are read */
    unsigned n_files;
    /* Owned by all manifests that share the files: their number. NULL: this one alone has them. */
    _Atomic unsigned *file_users;
    /* Names of entries of the folder that do not belong to the tenant: other kinds of files, and
     * links. The first ones; hidden entries and node_modules are not counted. */
    char *left_out[TENANT_LEFT_OUT_MAX];
    unsigned n_left_out; /* all such entries, named or not */
};

/* Reads DIR/skep.yaml and the files below DIR (hidden files and node_modules are left out; symbolic
 * links are not followed, dir itself may be one). max_bytes: the most of all files together, from
 * config_files_bytes. 0, or -EINVAL or another -errno with errors filled; -ENOMEM is not in errors. */
int manifest_read(const char *dir, uint32_t max_bytes, struct manifest **ret_manifest,
                  struct config_errors *errors);
/* Makes a manifest of one script, for `skep dev`: name from the file's name, route "*", no other
 * files. max_bytes: likewise. */
int manifest_from_script(const char *path, uint32_t max_bytes, struct manifest **ret_manifest,
                         struct config_errors *errors);
/* Parses skep.yaml from memory, without files; for tests and fuzzing. */
int manifest_parse(const char *file, const char *text, size_t size, struct manifest **ret_manifest,
                   struct config_errors *errors);
struct manifest *manifest_free(struct manifest *manifest);

/* Finds a binding by its name; NULL if there is none. */
const struct binding *manifest_find_binding(const struct manifest *manifest, const char *name);

/* Returns whether a binding leads to storage: BINDING_KV, BINDING_SQL. */
bool binding_is_storage(const struct binding *binding);
/* Finds the first binding of the tenant that leads to storage; NULL if there is none. */
const struct binding *manifest_find_storage(const struct manifest *manifest);

/* Returns whether a file is a migration of that binding, and the code of the tenant has no use for it. */
bool binding_has_migration(const struct binding *binding, const struct tenant_file *file);
/* Returns whether a file is a migration of any binding: workers do not get it. */
bool manifest_is_migration(const struct manifest *manifest, const struct tenant_file *file);
/* Most bytes of all migrations of a database: they go to it as one request. */
#define MIGRATIONS_MAX_BYTES ((size_t) 7 << 20)

/* Finds a secret by its name; NULL if the tenant does not use it. */
const struct secret_use *manifest_find_secret(const struct manifest *manifest, const char *name);

/* Returns whether both serve the same: name, main, cordon, routes, env, bindings, secrets, callers, allowed hosts,
 * limits and files, in their order. Lines and paths of origin do not count. */
bool manifest_is_same(const struct manifest *a, const struct manifest *b);

/* The place that a comparison in parts has come to. All zero: it has not begun. */
struct manifest_place {
    bool has_begun;
    unsigned file;
    size_t at; /* in the file */
};
enum manifest_match { MANIFESTS_DIFFER, MANIFESTS_SAME, MANIFESTS_SAME_SO_FAR };
/* Compares as manifest_is_same, but max_bytes of the files at the most. MANIFESTS_SAME_SO_FAR: call it again, with the same
 * two and the place. */
enum manifest_match manifest_compare_part(const struct manifest *a, const struct manifest *b,
                                          size_t max_bytes, struct manifest_place *place);

/* Copies a manifest; both share the files then, and may be freed in different threads. 0 or -ENOMEM. */
int manifest_copy(struct manifest *manifest, struct manifest **ret_manifest);

/* Checks one tenant against the config: its cordon exists, and allows what is `unlimited`, and so many
 * files. 0 or -EINVAL with errors filled. Done by manifest_read_all for each. */
int manifest_check(const struct manifest *manifest, const struct config *config,
                   struct config_errors *errors);

/* Lays the env of a deploy over that of skep.yaml. data: "NAME=VALUE", each followed by a NUL. 0,
 * -ENOMEM, or -EINVAL with errors filled (and the manifest is to be freed). */
int manifest_override_env(struct manifest *manifest, const char *data, size_t size,
                          struct config_errors *errors);

/* Parses one route: HOST[/PATH]. HOST is a name, "*.NAME" or "*". A '*' at the end of PATH makes it
 * a prefix; no PATH is the same as "/" with '*'. Not decoded: a pattern must
 * have the same percent-encoding as the request. 0, -ENOMEM, or -EINVAL with *ret_reason a static
 * string that says what was expected. Fields are malloc'ed: route_pattern_done. */
int route_pattern_parse(const char *text, struct route_pattern *ret_pattern,
                        const char **ret_reason);
void route_pattern_done(struct route_pattern *pattern);
#define ROUTE_PATH_MAX_BYTES 512
#define ROUTE_TEXT_BYTES (HOST_NAME_MAX_BYTES + ROUTE_PATH_MAX_BYTES + 8)
/* Writes the route as it may be written in skep.yaml; "*" for every request. Returns buffer. */
const char *route_pattern_text(const struct route_pattern *pattern,
                               char buffer[static ROUTE_TEXT_BYTES]);
/* Compares routes, for an order; 0: they match the same requests. line does not count. */
int route_pattern_compare(const struct route_pattern *a, const struct route_pattern *b);

/* Reads all tenants below dir (each folder with a skep.yaml, hidden ones left out, in the order of
 * their names), and checks them against each other and the config: duplicate names, duplicate
 * routes, manifest_check. config may be NULL: only against each other. Good tenants are returned
 * even if others are bad; of two with the same name or route the first is good. 0, -EINVAL if there
 * were errors, -ENOMEM; ret_set is written except for -ENOMEM. */
struct manifest_folder {
    char *dir;    /* owned; a folder that has a skep.yaml */
    bool is_good; /* the folder's tenant is one of the items */
};
struct manifest_set {
    struct manifest **items; /* owned */
    unsigned count;
    bool is_read;                    /* false: the folder itself cannot be read */
    struct manifest_folder *folders; /* owned; sorted by dir */
    unsigned n_folders;
    struct manifest_name *names; /* owned; of the items, sorted */
};
int manifest_read_all(const char *dir, const struct config *config, struct manifest_set *ret_set,
                      struct config_errors *errors);
void manifest_set_done(struct manifest_set *set);
/* Finds an item by its name; NULL if there is none, or if it was taken (set to NULL). */
struct manifest **manifest_set_find(const struct manifest_set *set, const char *name);
/* Finds a folder of a tenant; NULL if there is none. */
struct manifest_folder *manifest_set_find_folder(const struct manifest_set *set, const char *dir);
