/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns one skep.yaml into a struct manifest. The text is the tenant's, so nothing in it is
 * trusted, also not in messages. skepd and skep, as the service user.
 */
#include "config/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "common/cleanup.h"
#include "config/manifest_bindings.h"
#include "config/names.h"
#include "config/tenant_files.h"
#include "config/yaml_limits.h"

struct raw_binding {
    char *name, *service;
};

struct raw_manifest {
    char *name, *main, *cordon, *after_stop;
    char **routes, **callers;
    uint32_t n_routes, n_callers;
    struct raw_binding *bindings;
    uint32_t n_bindings;
    struct raw_limits limits;
};

static const cyaml_schema_value_t route_value = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, 1000),
};

static const cyaml_schema_value_t caller_value = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, 1000),
};

static const cyaml_schema_field_t binding_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct raw_binding, name, 1, 1000),
    CYAML_FIELD_STRING_PTR("service", CYAML_FLAG_POINTER, struct raw_binding, service, 1, 1000),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t binding_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_binding, binding_fields),
};

#define OPTIONAL CYAML_FLAG_OPTIONAL

static const cyaml_schema_field_t manifest_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct raw_manifest, name, 1, 1000),
    CYAML_FIELD_STRING_PTR("main", CYAML_FLAG_POINTER, struct raw_manifest, main, 1, 1000),
    CYAML_FIELD_SEQUENCE_COUNT("routes", CYAML_FLAG_POINTER | OPTIONAL, struct raw_manifest, routes,
                               n_routes, &route_value, 1, TENANT_ROUTES_MAX),
    CYAML_FIELD_STRING_PTR("cordon", CYAML_FLAG_POINTER | OPTIONAL, struct raw_manifest, cordon, 1,
                           1000),
    CYAML_FIELD_STRING_PTR("after_stop", CYAML_FLAG_POINTER | OPTIONAL, struct raw_manifest,
                           after_stop, 0, 1000),
    CYAML_FIELD_IGNORE("env", OPTIONAL), /* free keys: take_env */
    CYAML_FIELD_SEQUENCE_COUNT("bindings", CYAML_FLAG_POINTER | OPTIONAL, struct raw_manifest,
                               bindings, n_bindings, &binding_value, 0, TENANT_BINDINGS_MAX),
    CYAML_FIELD_SEQUENCE_COUNT("callers", CYAML_FLAG_POINTER | OPTIONAL, struct raw_manifest,
                               callers, n_callers, &caller_value, 0, TENANT_CALLERS_MAX),
    YAML_FIELD_LIMITS("limits", struct raw_manifest, limits),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t manifest_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_manifest, manifest_fields),
};

static const struct yaml_refusal refused[] = {
    { "limits.observe", "only the operator decides what is not enforced: expected no such key, for "
                        "it belongs in skepd.yaml" },
    { NULL, NULL },
};

/* All that the steps below read and write. */
struct reading {
    const struct yaml_document *document;
    const struct raw_manifest *raw;
    struct manifest *manifest;
    struct config_errors *errors;
};

typedef int (*reading_fn)(const struct reading *reading);

DEFINE_CLEANUP(struct manifest *, manifest_free, manifest_cleanup)
DEFINE_CLEANUP(struct yaml_document *, yaml_document_free, document_cleanup)

static void raw_cleanup(struct raw_manifest **raw)
{
    yaml_data_free(&manifest_schema, *raw);
}

static int take_name(const struct reading *reading)
{
    struct manifest *manifest = reading->manifest;
    const struct yaml_node *name = yaml_find(reading->document, "name");
    const struct yaml_node *cordon = yaml_find(reading->document, "cordon");

    if (!name_is_valid(reading->raw->name))
        yaml_error(reading->document, name, reading->errors, "\"%s\" is not a name: %s",
                   reading->raw->name, name_expected);
    if (cordon && !name_is_valid(cordon->value))
        yaml_error(reading->document, cordon, reading->errors, "\"%s\" is not a name: %s",
                   cordon->value, name_expected);
    manifest->name = strdup(reading->raw->name);
    manifest->cordon = strdup(cordon ? cordon->value : "default");
    return manifest->name && manifest->cordon ? 0 : -ENOMEM;
}

/* Takes "." and empty parts out of a relative path, in place. NULL, or what was expected. */
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

static int take_main(const struct reading *reading)
{
    const struct yaml_node *node = yaml_find(reading->document, "main");
    char *path = strdup(reading->raw->main);

    if (!path)
        return -ENOMEM;
    reading->manifest->main = path;
    const char *wrong = normalise(path);
    if (!wrong)
        wrong = main_kind_check(path);
    if (wrong)
        yaml_error(reading->document, node, reading->errors, "\"%s\": %s", reading->raw->main,
                   wrong);
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

static int take_routes(const struct reading *reading)
{
    struct manifest *manifest = reading->manifest;
    uint32_t count = reading->raw->n_routes;
    const char *reason = NULL;

    manifest->routes = calloc(count > 0 ? count : 1, sizeof *manifest->routes);
    if (!manifest->routes)
        return -ENOMEM;
    if (count == 0) {
        char text[1024 + 16];
        (void) snprintf(text, sizeof text, "%s.localhost", manifest->name);
        int r = add_route(manifest, text, 1, &reason);
        return r == -EINVAL ? 0 : r; /* the name is wrong, and that is in errors */
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct yaml_node *node = yaml_find(reading->document, "routes[%u]", i);
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

static int take_env_entry(const struct reading *reading, const struct yaml_node *node)
{
    struct env_entry *entry = &reading->manifest->env[reading->manifest->n_env];

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
    reading->manifest->n_env++;
    entry->name = strdup(node->key);
    entry->value = strdup(node->value);
    return entry->name && entry->value ? 0 : -ENOMEM;
}

static int take_env(const struct reading *reading)
{
    const struct yaml_node *env = yaml_find(reading->document, "env");
    int r = 0;

    if (!env || (env->kind == YAML_KIND_MAPPING && env->n_children == 0))
        return 0;
    if (env->kind != YAML_KIND_MAPPING) {
        yaml_error(reading->document, env, reading->errors,
                   "not a mapping: expected NAME: text, or no such key");
        return 0;
    }
    if (env->n_children > TENANT_ENV_MAX) {
        yaml_error(reading->document, env, reading->errors,
                   "%u entries are too many: expected at most %u", env->n_children, TENANT_ENV_MAX);
        return 0;
    }
    reading->manifest->env = calloc(env->n_children, sizeof *reading->manifest->env);
    if (!reading->manifest->env)
        return -ENOMEM;
    for (const struct yaml_node *node = env->first_child; node && r == 0; node = node->next)
        r = take_env_entry(reading, node);
    return r;
}

static int take_limits(const struct reading *reading)
{
    /* Whether `unlimited` is allowed is the cordon's to say: manifest_check. */
    yaml_limits_parse(reading->document, "limits", &reading->raw->limits, NULL,
                      &reading->manifest->limits, reading->errors);
    return 0;
}

static int take_after_stop(const struct reading *reading)
{
    const char *value = reading->raw->after_stop;

    if (!value || strcmp(value, "fresh") == 0)
        return 0;
    reading->manifest->reuse_after_stop = strcmp(value, "reuse") == 0;
    if (!reading->manifest->reuse_after_stop)
        yaml_error(reading->document, yaml_find(reading->document, "after_stop"), reading->errors,
                   "\"%s\": expected fresh or reuse", value);
    return 0;
}

static int take_lines(const struct reading *reading)
{
    struct manifest_lines *lines = &reading->manifest->lines;

    lines->name = yaml_line(reading->document, "name");
    lines->main = yaml_line(reading->document, "main");
    lines->cordon = yaml_line(reading->document, "cordon");
    for (size_t i = 0; i < LIMITS_COUNT; i++)
        lines->limits[i] = yaml_line(reading->document, "limits.%s", limit_table[i].name);
    return 0;
}

static int take_bindings(const struct reading *reading)
{
    return manifest_take_bindings(reading->document, reading->manifest, reading->errors);
}

static const reading_fn steps[] = {
    take_name,     take_main,   take_routes,     take_env,
    take_bindings, take_limits, take_after_stop, take_lines,
};

int manifest_parse(const char *file, const char *text, size_t size, struct manifest **ret_manifest,
                   struct config_errors *errors)
{
    _cleanup_(document_cleanup) struct yaml_document *document = NULL;
    _cleanup_(raw_cleanup) struct raw_manifest *raw = NULL;
    _cleanup_(manifest_cleanup) struct manifest *manifest = calloc(1, sizeof *manifest);
    void *data = NULL;

    if (!manifest || !(manifest->file = strdup(file)))
        return -ENOMEM;
    if (size > CONFIG_FILE_MAX_BYTES) {
        config_errors_add(errors, file, 0, "too large: expected at most 256 KiB");
        return -EINVAL;
    }
    int r = yaml_document_parse(file, text, size, &document, errors);
    if (r == 0)
        r = yaml_document_load(document, &manifest_schema, refused, &data, errors);
    if (r < 0)
        return r;
    raw = data;

    const struct reading reading = { document, raw, manifest, errors };
    unsigned before = errors->count;
    for (size_t i = 0; i < ARRAY_LEN(steps) && r == 0; i++)
        r = steps[i](&reading);
    if (r == 0 && errors->count > before)
        r = -EINVAL;
    if (r < 0)
        return r;
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

int manifest_read(const char *dir, struct manifest **ret_manifest, struct config_errors *errors)
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
        r = tenant_files_read(fd, dir, manifest, errors);
    if (r < 0)
        return r;
    if (!tenant_files_find(manifest, manifest->main)) {
        config_errors_add(errors, file, manifest->lines.main,
                          "main: no file \"%s\": expected it below %s, and not as a link",
                          manifest->main, dir);
        return -EINVAL;
    }
    *ret_manifest = TAKE_PTR(manifest);
    return 0;
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
    for (unsigned i = 0; i < manifest->n_files; i++) {
        free(manifest->files[i].path);
        free(manifest->files[i].data);
    }
    manifest_free_bindings(manifest);
    free(manifest->file);
    free(manifest->name);
    free(manifest->main);
    free(manifest->cordon);
    free(manifest->routes);
    free(manifest->env);
    free(manifest->files);
    free(manifest);
    return NULL;
}
