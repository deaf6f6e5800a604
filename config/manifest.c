/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns one skep.yaml into a struct manifest. The text is the tenant's, so nothing in it is
 * trusted, also not in messages. skepd and skep, as the service user.
 */
#include "config/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>

#include "common/cleanup.h"
#include "config/manifest_bindings.h"
#include "config/manifest_keys.h"
#include "config/manifest_secrets.h"
#include "config/names.h"
#include "config/tenant_files.h"

DEFINE_CLEANUP(struct manifest *, manifest_free, manifest_cleanup)
DEFINE_CLEANUP(struct yaml_document *, yaml_document_free, document_cleanup)

static int read_name(const struct key_reading *reading, const struct key *key,
                     const struct yaml_node *node, void *base)
{
    if (!name_is_valid(node->value))
        yaml_error(reading->document, node, reading->errors, "\"%s\" is not a name: %s",
                   node->value, name_expected);
    return key_read_kind(reading, key, node, base);
}

/* Removes "." and empty parts from a relative path, in place. Returns NULL, or what was
 * expected. */
static const char *normalise(char *path)
{
    char *out = path;

    if (path[0] == '/')
        return "expected a path relative to skep.yaml";
    if (strlen(path) > TENANT_PATH_MAX)
        return "expected a path of at most 255 bytes";
    for (const char *part = path; *part;) {
        size_t size = strcspn(part, "/");
        const char *next = part + size + (part[size] == '/');
        bool is_skipped = size == 0 || (size == 1 && part[0] == '.');
        if (!is_skipped && part[0] == '.')
            return "expected a path without \"..\" and hidden files";
        if (!is_skipped) {
            if (out != path)
                *out++ = '/';
            memmove(out, part, size);
            out += size;
        }
        part = next;
    }
    *out = '\0';
    return NULL;
}

static int read_main(const struct key_reading *reading, const struct key *key,
                     const struct yaml_node *node, void *base)
{
    struct manifest *manifest = base;

    int r = key_read_kind(reading, key, node, base);
    if (r < 0)
        return r;
    const char *wrong = normalise(manifest->main);
    if (!wrong)
        wrong = main_kind_check(manifest->main);
    if (wrong)
        yaml_error(reading->document, node, reading->errors, "\"%s\": %s", node->value, wrong);
    return 0;
}

static int add_route(struct manifest *manifest, const char *text, unsigned line,
                     const char **ret_reason)
{
    struct route_pattern *pattern = &manifest->routes[manifest->n_routes];

    int r = route_pattern_parse(text, pattern, ret_reason);
    if (r < 0)
        return r;
    pattern->line = line;
    manifest->n_routes++;
    for (unsigned i = 0; i + 1 < manifest->n_routes; i++)
        if (route_pattern_compare(&manifest->routes[i], pattern) == 0)
            return -EEXIST;
    return 0;
}

static int add_preset_route(struct manifest *manifest)
{
    char text[1024 + 16];
    const char *reason = NULL;

    (void) snprintf(text, sizeof text, "%s.localhost", manifest->name);
    int r = add_route(manifest, text, 1, &reason);
    return r == -EINVAL ? 0 : r; /* the name is wrong, and the error is in errors already */
}

static int read_routes(const struct key_reading *reading, const struct key *key,
                       const struct yaml_node *list, void *base)
{
    struct manifest *manifest = base;
    const char *reason = NULL;

    (void) key;
    manifest->routes = calloc(list ? list->n_children : 1, sizeof *manifest->routes);
    if (!manifest->routes)
        return -ENOMEM;
    if (!list)
        return add_preset_route(manifest);
    for (const struct yaml_node *node = list->first_child; node; node = node->next) {
        int r = add_route(manifest, node->value, node->line, &reason);
        if (r == -EINVAL)
            yaml_error(reading->document, node, reading->errors, "\"%s\" is not a route: %s",
                       node->value, reason);
        else if (r == -EEXIST)
            yaml_error(reading->document, node, reading->errors,
                       "duplicate route \"%s\": expected each once", node->value);
        else if (r < 0)
            return r;
    }
    return 0;
}

static int read_env_entry(const struct key_reading *reading, const struct yaml_node *node,
                          struct manifest *manifest)
{
    struct env_entry *entry = &manifest->env[manifest->n_env];

    if (!env_name_is_valid(node->key)) {
        config_errors_add(reading->errors, reading->document->file, node->key_line,
                          "env: \"%s\" is not a name: expected A-Z, a-z, 0-9 and _, and no digit "
                          "first",
                          node->key);
        return 0;
    }
    if (node->kind != YAML_KIND_SCALAR || yaml_is_null(node)) {
        yaml_error(reading->document, node, reading->errors, "%s: expected text, such as \"\"",
                   node->kind == YAML_KIND_SCALAR ? "no value" : "a mapping or a list");
        return 0;
    }
    if (strlen(node->value) > TENANT_ENV_VALUE_MAX) {
        yaml_error(reading->document, node, reading->errors, "too long: expected at most 32 KiB");
        return 0;
    }
    manifest->n_env++;
    entry->name = strdup(node->key);
    entry->value = strdup(node->value);
    return entry->name && entry->value ? 0 : -ENOMEM;
}

static int read_env(const struct key_reading *reading, const struct key *key,
                    const struct yaml_node *env, void *base)
{
    struct manifest *manifest = base;
    int r = 0;

    if (!env || (env->kind == YAML_KIND_MAPPING && env->n_children == 0))
        return 0;
    if (env->kind != YAML_KIND_MAPPING) {
        yaml_error(reading->document, env, reading->errors,
                   "not a mapping: expected NAME: text, or no such key");
        return 0;
    }
    if (env->n_children > key->most) {
        yaml_error(reading->document, env, reading->errors,
                   "%u entries are too many: expected at most %u", env->n_children, key->most);
        return 0;
    }
    manifest->env = calloc(env->n_children, sizeof *manifest->env);
    if (!manifest->env)
        return -ENOMEM;
    for (const struct yaml_node *node = env->first_child; node && r == 0; node = node->next)
        r = read_env_entry(reading, node, manifest);
    return r;
}

static void take_lines(const struct yaml_document *document, struct manifest_lines *lines)
{
    lines->name = yaml_line(document, "name");
    lines->main = yaml_line(document, "main");
    lines->cordon = yaml_line(document, "cordon");
    const struct yaml_node *eval = yaml_find(document, "eval");
    lines->eval = eval ? eval->line : 0;
    for (size_t i = 0; i < LIMITS_COUNT; i++)
        lines->limits[i] = yaml_line(document, "limits.%s", limit_table[i].name);
}

/* ---- the rows */

#define TEXT_MAX 1000
#define KEY(field) .name = #field, KEY_AT(struct manifest, field), .reload = RELOAD_VERSION

static const struct key_word after_stop_words[] = { { "fresh", false },
                                                    { "reuse", true },
                                                    { NULL, 0 } };

static const struct key_word eval_words[] = {
    { "load", EVAL_LOAD }, { "on", EVAL_ON },     { "off", EVAL_OFF }, { "true", EVAL_ON },
    { "yes", EVAL_ON },    { "false", EVAL_OFF }, { "no", EVAL_OFF },  { NULL, 0 },
};

/* clang-format off */
static const struct key manifest_rows[] = {
    { KEY(name), .kind = KEY_TEXT, .is_required = true, .most = TEXT_MAX, .read = read_name,
      .help = "name of the tenant, the same for all of its versions" },
    { KEY(main), .kind = KEY_TEXT, .is_required = true, .most = TEXT_MAX, .read = read_main,
      .help = "ES module whose default export has fetch(): a .js or .mjs file below this folder" },
    { KEY(routes), .kind = KEY_TEXTS, .least = 1, .most = TENANT_ROUTES_MAX, .read = read_routes,
      .help = "hosts and paths that the tenant serves, HOST or HOST/PATH; NAME.localhost if it is not given" },
    { KEY(cordon), .kind = KEY_TEXT, .most = TEXT_MAX, .preset = "default", .read = read_name,
      .help = "cordon of skepd.yaml, a group of workers, that serves it" },
    { .name = "after_stop", .kind = KEY_WORD, .preset = "fresh", .words = after_stop_words,
      KEY_AT(struct manifest, reuse_after_stop), .reload = RELOAD_VERSION,
      .help = "reuse: an isolate in which JavaScript was stopped serves on" },
    { KEY(eval), .kind = KEY_WORD, .preset = "load", .words = eval_words,
      .help = "when JavaScript may compile strings (eval, new Function): while the module loads, always (on), or never (off)" },
    { KEY(env), .kind = KEY_MAP, .most = TENANT_ENV_MAX, .read = read_env,
      .help = "texts that handlers get as env" },
    { KEY(bindings), .kind = KEY_ENTRIES, .most = TENANT_BINDINGS_MAX, .entry = &manifest_binding_keys,
      .read = manifest_read_bindings, .help = "what handlers may call, as env.NAME: other tenants, and the tenant's storage" },
    { KEY(secrets), .kind = KEY_ENTRIES, .most = TENANT_SECRETS_MAX, .entry = &manifest_secret_keys,
      .read = manifest_read_secrets, .help = "values that the operator keeps: as env.NAME, or in a header of fetches to one host" },
    { KEY(callers), .kind = KEY_TEXTS, .most = TENANT_CALLERS_MAX,
      KEY_MORE(struct manifest, n_callers), .read = manifest_read_callers,
      .help = "tenants that may call this one" },
    { .name = "allowed_hosts", .kind = KEY_HOSTS, .most = HOST_RULES_MAX, .reload = RELOAD_VERSION,
      KEY_AT(struct manifest, hosts),
      .help = "servers that fetch() may ask, [METHODS ][SCHEME://]HOST[:PORT][/PATH]; none if it is not given" },
    { KEY(limits), .kind = KEY_LIMITS, .help = "limits of the tenant: see limits" },
    { .name = "limits.observe", .kind = KEY_REFUSED,
      .help = "only the operator decides what is not enforced: expected no such key, for it belongs in skepd.yaml" },
    /* Keys of wrangler. */
    { .name = "kv_namespaces", .kind = KEY_REFUSED,
      .help = "a key of wrangler: expected a namespace in bindings, as - { name: KV, kv: main }" },
    { .name = "d1_databases", .kind = KEY_REFUSED,
      .help = "a key of wrangler: expected a database in bindings, as - { name: DB, sql: main, migrations: ./migrations }" },
    { .name = "queues", .kind = KEY_REFUSED,
      .help = "skep has no queues: expected no such key; a table of a database in bindings (sql) can keep what is to be done" },
    { .name = "r2_buckets", .kind = KEY_REFUSED,
      .help = "skep has no buckets: expected no such key; fetch() can ask a server that stores objects, by allowed_hosts and secrets" },
};
/* clang-format on */

const struct key_table manifest_keys = { manifest_rows, ARRAY_LEN(manifest_rows) };

/* ---- reading */

int manifest_parse(const char *file, const char *text, size_t size, struct manifest **ret_manifest,
                   struct config_errors *errors)
{
    _cleanup_(document_cleanup) struct yaml_document *document = NULL;
    _cleanup_(manifest_cleanup) struct manifest *manifest = calloc(1, sizeof *manifest);
    unsigned before = errors->count;

    if (!manifest || !(manifest->file = strdup(file)))
        return -ENOMEM;
    if (size > CONFIG_FILE_MAX_BYTES) {
        config_errors_add(errors, file, 0, "too large: expected at most 256 KiB");
        return -EINVAL;
    }
    int r = yaml_document_parse(file, text, size, &document, errors);
    if (r == 0)
        r = keys_check(document, &manifest_keys, errors);
    if (r < 0)
        return r;
    const struct key_reading reading = { document, NULL, manifest, errors };
    r = keys_read(&reading, &manifest_keys, document->root, manifest);
    if (r == 0 && errors->count > before)
        r = -EINVAL;
    if (r < 0)
        return r;
    take_lines(document, &manifest->lines);
    *ret_manifest = TAKE_PTR(manifest);
    return 0;
}

static int read_text(int dir_fd, const char *file, struct manifest **ret_manifest,
                     struct config_errors *errors)
{
    _cleanup_free_ char *text = NULL;
    size_t size = 0;

    int r = tenant_file_read(dir_fd, "skep.yaml", CONFIG_FILE_MAX_BYTES, &text, &size);
    if (r == 0)
        return manifest_parse(file, text, size, ret_manifest, errors);
    if (r == -EFBIG)
        config_errors_add(errors, file, 0, "too large: expected at most 256 KiB");
    else if (r == -ELOOP || r == -EINVAL)
        config_errors_add(errors, file, 0, "not a plain file: expected one, not a link to it");
    else if (r != -ENOMEM)
        config_errors_add(errors, file, 0, "cannot be read: %s", strerrordesc_np(-r));
    return r;
}

int manifest_read(const char *dir, uint32_t max_bytes, struct manifest **ret_manifest,
                  struct config_errors *errors)
{
    _cleanup_fd_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_free_ char *file = path_absolute(dir, "skep.yaml");
    _cleanup_(manifest_cleanup) struct manifest *manifest = NULL;

    if (!file)
        return -ENOMEM;
    if (fd < 0) {
        int error = errno;
        config_errors_add(errors, dir, 0, "cannot be read: %s", strerrordesc_np(error));
        return -error;
    }
    int r = read_text(fd, file, &manifest, errors);
    if (r == 0)
        r = tenant_files_read(fd, dir, max_bytes, manifest, errors);
    if (r < 0)
        return r;
    if (!tenant_files_find(manifest, manifest->main)) {
        config_errors_add(errors, file, manifest->lines.main,
                          "main: no file \"%s\": expected it below %s, and not as a link",
                          manifest->main, dir);
        return -EINVAL;
    }
    r = manifest_check_migrations(manifest, errors);
    if (r < 0)
        return r;
    *ret_manifest = TAKE_PTR(manifest);
    return 0;
}

/* Frees the files, if no other manifest shares them. */
static void free_files(struct manifest *manifest)
{
    if (manifest->file_users) {
        if (atomic_fetch_sub(manifest->file_users, 1) > 1)
            return;
        free(manifest->file_users);
    }
    for (unsigned i = 0; i < manifest->n_files; i++) {
        free(manifest->files[i].path);
        free(manifest->files[i].data);
    }
    free(manifest->files);
}

struct manifest *manifest_free(struct manifest *manifest)
{
    if (!manifest)
        return NULL;
    for (unsigned i = 0; i < manifest->n_routes; i++)
        route_pattern_done(&manifest->routes[i]);
    for (unsigned i = 0; i < manifest->n_env; i++) {
        free(manifest->env[i].name);
        free(manifest->env[i].value);
    }
    free_files(manifest);
    for (unsigned i = 0; i < TENANT_LEFT_OUT_MAX; i++)
        free(manifest->left_out[i]);
    manifest_free_bindings(manifest);
    host_rules_done(&manifest->hosts);
    manifest_free_secrets(manifest);
    free(manifest->file);
    free(manifest->name);
    free(manifest->main);
    free(manifest->cordon);
    free(manifest->routes);
    free(manifest->env);
    free(manifest);
    return NULL;
}
