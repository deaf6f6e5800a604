/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns skepd.yaml into a struct config: defaults, ranges, and all checks that need more than one
 * value. skepd at start, as whoever starts it; `skep check`.
 */
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "config/config_schema.h"
#include "config/host_name.h"
#include "config/names.h"
#include "config/yaml_number.h"

static const struct cordon_config cordon_presets = {
    .workers = 2,
    .solitary = 8,
    .jit = JIT_ON,
    .spare = true,
    .rss_mib = 1024,
    .drift_mib = 256,
    .cpu_weight = 100,
    .retire_after_s = LIMIT_UNLIMITED,
    .retire_after_requests = LIMIT_UNLIMITED,
    .strikes = 3,
    .quarantine_s = 60,
    .caller_percent = 25,
};

/* All that the steps below read and write. */
struct reading {
    const struct yaml_document *document;
    const struct raw_config *raw;
    const char *folder; /* of the file, absolute */
    struct config *config;
    struct config_errors *errors;
};

typedef int (*reading_fn)(const struct reading *reading);

DEFINE_CLEANUP(struct config *, config_free, config_cleanup)
DEFINE_CLEANUP(struct yaml_document *, yaml_document_free, document_cleanup)

static void raw_cleanup(struct raw_config **raw)
{
    yaml_data_free(&config_schema, *raw);
}

static int take_listen_one(const struct reading *reading, uint32_t i)
{
    static const char unix_prefix[] = "unix:";
    const struct yaml_node *node = yaml_find(reading->document, "listen[%u]", i);
    const char *text = reading->raw->listen[i];
    const char *expected = listen_address_check(text);
    char **ret = &reading->config->listen[i];

    if (expected) {
        yaml_error(reading->document, node, reading->errors, "\"%s\" is not an address: %s", text,
                   expected);
        return 0;
    }
    for (uint32_t j = 0; j < i; j++)
        if (strcmp(reading->raw->listen[j], text) == 0)
            yaml_error(reading->document, node, reading->errors,
                       "duplicate address \"%s\": it is in line %u already", text,
                       yaml_line(reading->document, "listen[%u]", j));
    if (strncmp(text, unix_prefix, strlen(unix_prefix)) != 0) {
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
    }
    _cleanup_free_ char *path = path_absolute(reading->folder, text + strlen(unix_prefix));
    if (!path)
        return -ENOMEM;
    if (!path_fits_socket(path))
        yaml_error(reading->document, node, reading->errors,
                   "socket path is too long: expected at most 107 bytes with the folder");
    return asprintf(ret, "%s%s", unix_prefix, path) < 0 ? -ENOMEM : 0;
}

static int take_listen(const struct reading *reading)
{
    struct config *config = reading->config;
    int r = 0;

    if (reading->raw->n_listen == 0)
        return 0;
    config->listen = calloc(reading->raw->n_listen, sizeof *config->listen);
    if (!config->listen)
        return -ENOMEM;
    config->n_listen = reading->raw->n_listen;
    for (uint32_t i = 0; i < config->n_listen && r == 0; i++)
        r = take_listen_one(reading, i);
    return r;
}

static int take_paths(const struct reading *reading)
{
    const struct raw_config *raw = reading->raw;
    struct config *config = reading->config;

    config->admin_socket = path_absolute(
        reading->folder, raw->admin_socket ? raw->admin_socket : "/run/skep/admin.sock");
    if (!config->admin_socket)
        return -ENOMEM;
    if (!path_fits_socket(config->admin_socket)) {
        const struct yaml_node *node = yaml_find(reading->document, "admin_socket");
        yaml_error(reading->document, node ? node : reading->document->root, reading->errors,
                   "socket path is too long: expected at most 107 bytes with the folder");
    }
    if (raw->tenants && !(config->tenants = path_absolute(reading->folder, raw->tenants)))
        return -ENOMEM;
    return 0;
}

static int take_service(const struct reading *reading)
{
    return config_service_parse(reading->document, &reading->raw->service, reading->folder,
                                reading->config, reading->errors);
}

static int take_log_level(const struct reading *reading)
{
    const struct yaml_node *node = yaml_find(reading->document, "log_level");

    reading->config->log_level = strdup(node ? node->value : "info");
    return reading->config->log_level ? 0 : -ENOMEM;
}

#define HTTP(field) .name = #field, .offset = offsetof(struct http_config, field)

static const struct http_info {
    const char *name;
    size_t offset; /* in struct http_config */
    uint32_t preset, least, most;
} http_table[] = {
    { HTTP(header_bytes), .preset = 16384, .least = 1024, .most = 262144 },
    { HTTP(header_count), .preset = 100, .least = 8, .most = 1000 },
    { HTTP(connections), .preset = 10000, .least = 1, .most = 1000000 },
    { HTTP(connections_per_ip), .preset = 1000, .least = 1, .most = 1000000 },
    { HTTP(header_timeout_ms), .preset = 10000, .least = 100, .most = 600000 },
    { HTTP(body_idle_ms), .preset = 30000, .least = 100, .most = 3600000 },
    { HTTP(keepalive_ms), .preset = 60000, .least = 100, .most = 3600000 },
    { HTTP(write_idle_ms), .preset = 30000, .least = 100, .most = 3600000 },
    { HTTP(half_close_ms), .preset = 2000, .least = 0, .most = 600000 },
    { HTTP(body_buffer_kib), .preset = 64, .least = 0, .most = 256 },
    { HTTP(buffer_mib), .preset = 256, .least = 1, .most = 1048576 },
    { HTTP(share_percent), .preset = 75, .least = 1, .most = 100 },
    { HTTP(min_bytes_per_s), .preset = 500, .least = 0, .most = 1048576 },
};

static int take_default_host(const struct reading *reading)
{
    const struct yaml_node *node = yaml_find(reading->document, "http.default_host");
    const char *text = node ? node->value : "localhost";
    char name[HOST_NAME_MAX_BYTES + 1] = "";
    const char *reason = NULL;
    size_t size;

    int r = host_name_parse(text, strlen(text), name, &size, &reason);
    if (r == -ENOMEM)
        return r;
    if (r < 0) {
        yaml_error(reading->document, node, reading->errors, "%s", reason);
        name[0] = '\0';
    }
    reading->config->default_host = strdup(name);
    return reading->config->default_host ? 0 : -ENOMEM;
}

static int take_proxy(const struct reading *reading, uint32_t i)
{
    const char *text = reading->raw->http.proxies[i];
    struct config *config = reading->config;

    if (address_prefix_parse(text, &config->proxy_prefixes[i]) < 0)
        yaml_error(reading->document, yaml_find(reading->document, "http.proxies[%u]", i),
                   reading->errors,
                   "\"%s\" is not an address or prefix: expected one like 192.0.2.1, 10.0.0.0/8 or "
                   "2001:db8::/32",
                   text);
    config->proxies[i] = strdup(text);
    return config->proxies[i] ? 0 : -ENOMEM;
}

static int take_proxies(const struct reading *reading)
{
    struct config *config = reading->config;
    int r = 0;

    if (reading->raw->http.n_proxies == 0)
        return 0;
    config->n_proxies = reading->raw->http.n_proxies;
    config->proxies = calloc(config->n_proxies, sizeof *config->proxies);
    config->proxy_prefixes = calloc(config->n_proxies, sizeof *config->proxy_prefixes);
    if (!config->proxies || !config->proxy_prefixes)
        return -ENOMEM;
    for (uint32_t i = 0; i < config->n_proxies && r == 0; i++)
        r = take_proxy(reading, i);
    return r;
}

static int take_http(const struct reading *reading)
{
    reading->config->http = reading->raw->http.limits;
    for (size_t i = 0; i < ARRAY_LEN(http_table); i++) {
        const struct http_info *info = &http_table[i];
        char *place = (char *) &reading->config->http + info->offset;
        uint32_t *value = (uint32_t *) (void *) place;
        const struct yaml_node *node = yaml_find(reading->document, "http.%s", info->name);
        if (!node)
            *value = info->preset;
        else if (*value < info->least || *value > info->most)
            yaml_error(reading->document, node, reading->errors,
                       "%s is out of range: expected %u to %u", node->value, info->least,
                       info->most);
    }
    reading->config->server_timing = reading->raw->http.server_timing;
    int r = take_default_host(reading);
    return r < 0 ? r : take_proxies(reading);
}

static void take_limits_pair(const struct reading *reading, const char *path,
                             const struct raw_limits_pair *raw, const char *refusal,
                             struct limits *ret_defaults, struct limits *ret_maximum)
{
    char inner[YAML_PATH_MAX];

    (void) snprintf(inner, sizeof inner, "%s.default", path);
    yaml_limits_parse(reading->document, inner, &raw->defaults, refusal, ret_defaults,
                      reading->errors);
    (void) snprintf(inner, sizeof inner, "%s.maximum", path);
    yaml_limits_parse(reading->document, inner, &raw->maximum, refusal, ret_maximum,
                      reading->errors);
    yaml_limits_compare(reading->document, path, ret_defaults, ret_maximum, reading->errors);
}

static int take_limits(const struct reading *reading)
{
    struct config *config = reading->config;

    take_limits_pair(reading, "limits", &reading->raw->limits,
                     "expected a number, for only a cordon with allow_unlimited: on may have it",
                     &config->defaults, &config->maximum);
    yaml_observe_parse(reading->document, "limits.observe", &config->observed, &config->observe_rss,
                       &config->observe_strikes, reading->errors);
    return 0;
}

static void check_cordon_name(const struct reading *reading, uint32_t i)
{
    const char *name = reading->raw->cordons[i].name;
    const struct yaml_node *node = yaml_find(reading->document, "cordons[%u].name", i);

    if (!name_is_valid(name))
        yaml_error(reading->document, node, reading->errors, "\"%s\" is not a name: %s", name,
                   name_expected);
    for (uint32_t j = 0; j < i; j++)
        if (strcmp(reading->raw->cordons[j].name, name) == 0) {
            yaml_error(reading->document, node, reading->errors,
                       "duplicate cordon \"%s\": it is in line %u already", name,
                       yaml_line(reading->document, "cordons[%u].name", j));
            return;
        }
}

#define CORDON(field) .name = #field, .offset = offsetof(struct cordon_config, field)

struct cordon_number {
    const char *name;
    size_t offset; /* in struct cordon_config */
    struct yaml_number number;
};

static const struct cordon_number cordon_workers = {
    CORDON(workers),
    .number = { .least = 1, .most = 64, .word = "solitary" },
};

/* By is_solitary: beside the workers that tenants share, or in their place. */
static const struct cordon_number cordon_solitary[] = {
    [false] = { CORDON(solitary), .number = { .least = 0, .most = 64 } },
    [true] = { CORDON(solitary), .number = { .least = 1, .most = 1024 } },
};

static const struct cordon_number cordon_table[] = {
    { CORDON(rss_mib),
      .number = { .least = 64, .most = 1048576, .unit = "MiB", .word = "unlimited" } },
    { CORDON(drift_mib),
      .number = { .least = 16, .most = 1048576, .unit = "MiB", .word = "unlimited" } },
    { CORDON(cpu_weight), .number = { .least = 1, .most = 10000 } },
    { CORDON(retire_after_s),
      .number = { .least = 10, .most = 31536000, .unit = "s", .word = "never" } },
    { CORDON(retire_after_requests),
      .number = { .least = 1, .most = LIMIT_UNLIMITED - 1, .word = "never" } },
    { CORDON(strikes), .number = { .least = 1, .most = 20 } },
    { CORDON(quarantine_s), .number = { .least = 1, .most = 86400, .unit = "s" } },
    { CORDON(caller_percent), .number = { .least = 1, .most = 100 } },
};

/* Leaves the preset where the key is not given. */
static void take_cordon_number(const struct reading *reading, uint32_t i,
                               const struct cordon_number *info)
{
    char *place = (char *) reading->config->cordons[i] + info->offset;
    const struct yaml_node *node = yaml_find(reading->document, "cordons[%u].%s", i, info->name);

    if (node)
        (void) yaml_number_parse(reading->document, node, &info->number,
                                 (uint32_t *) (void *) place, reading->errors);
}

static void take_cordon_numbers(const struct reading *reading, uint32_t i)
{
    struct cordon_config *cordon = reading->config->cordons[i];

    take_cordon_number(reading, i, &cordon_workers);
    cordon->is_solitary = cordon->workers == YAML_NUMBER_WORD;
    if (cordon->is_solitary) {
        cordon->workers = 0;
        cordon->solitary = 64;
    }
    take_cordon_number(reading, i, &cordon_solitary[cordon->is_solitary]);
    for (size_t j = 0; j < ARRAY_LEN(cordon_table); j++)
        take_cordon_number(reading, i, &cordon_table[j]);
}

static int add_cordon(struct config *config, const char *name, struct cordon_config **ret_cordon)
{
    struct cordon_config *cordon = malloc(sizeof *cordon);

    if (!cordon)
        return -ENOMEM;
    *cordon = cordon_presets;
    config->cordons[config->n_cordons++] = cordon;
    cordon->name = strdup(name);
    *ret_cordon = cordon;
    return cordon->name ? 0 : -ENOMEM;
}

/* "on" and "off" may also be written as other switches are. */
static void take_jit(const struct reading *reading, uint32_t i, const char *text)
{
    static const char *const on[] = { "on", "true", "yes" }, *const off[] = { "off", "false",
                                                                              "no" };
    struct cordon_config *cordon = reading->config->cordons[i];

    if (!text || jit_parse(text, &cordon->jit) == 0)
        return;
    for (size_t word = 0; word < ARRAY_LEN(on); word++) {
        bool is_on = strcasecmp(text, on[word]) == 0;
        if (is_on || strcasecmp(text, off[word]) == 0) {
            cordon->jit = is_on ? JIT_ON : JIT_OFF;
            return;
        }
    }
    yaml_error(reading->document, yaml_find(reading->document, "cordons[%u].jit", i),
               reading->errors, "\"%.64s\" is unknown: expected one of on, baseline, off", text);
}

static int take_cordon(const struct reading *reading, uint32_t i)
{
    const struct raw_cordon *raw = &reading->raw->cordons[i];
    struct cordon_config *cordon;
    char path[YAML_PATH_MAX];

    check_cordon_name(reading, i);
    int r = add_cordon(reading->config, raw->name, &cordon);
    if (r < 0)
        return r;
    take_cordon_numbers(reading, i);
    take_jit(reading, i, raw->jit);
    cordon->spare = !yaml_find(reading->document, "cordons[%u].spare", i) || raw->spare;
    cordon->allow_unlimited = raw->allow_unlimited;
    cordon->calls_across = raw->calls_across;
    (void) snprintf(path, sizeof path, "cordons[%u].limits", i);
    take_limits_pair(
        reading, path, &raw->limits,
        raw->allow_unlimited ? NULL : "expected a number, or allow_unlimited: on in this cordon",
        &cordon->defaults, &cordon->maximum);
    (void) snprintf(path, sizeof path, "cordons[%u].limits.observe", i);
    yaml_observe_parse(reading->document, path, &cordon->observed, &cordon->observe_rss,
                       &cordon->observe_strikes, reading->errors);
    return 0;
}

static int take_cordons(const struct reading *reading)
{
    struct config *config = reading->config;
    unsigned count = reading->raw->n_cordons > 0 ? reading->raw->n_cordons : 1;
    int r = 0;

    struct cordon_config *preset;

    config->cordons = calloc(count, sizeof(struct cordon_config *));
    if (!config->cordons)
        return -ENOMEM;
    for (uint32_t i = 0; i < reading->raw->n_cordons && r == 0; i++)
        r = take_cordon(reading, i);
    return reading->raw->n_cordons == 0 ? add_cordon(config, "default", &preset) : r;
}

static int take_jail(const struct reading *reading)
{
    config_jail_parse(reading->document, &reading->raw->jail, &reading->config->jail,
                      reading->errors);
    return 0;
}

static const reading_fn steps[] = {
    take_listen, take_paths,  take_service, take_log_level,
    take_http,   take_limits, take_cordons, take_jail,
};

int config_parse(const char *file, const char *text, size_t size, struct config **ret_config,
                 struct config_errors *errors)
{
    _cleanup_(document_cleanup) struct yaml_document *document = NULL;
    _cleanup_(raw_cleanup) struct raw_config *raw = NULL;
    _cleanup_(config_cleanup) struct config *config = calloc(1, sizeof *config);
    _cleanup_free_ char *folder = NULL;
    void *data = NULL;

    if (!config || !(config->path = strdup(file)))
        return -ENOMEM;
    int r = path_folder_of(file, &folder);
    if (r < 0) {
        config_errors_add(errors, file, 0, "cannot find its folder: %s", strerrordesc_np(-r));
        return r;
    }
    if (size > CONFIG_FILE_MAX_BYTES) {
        config_errors_add(errors, file, 0, "too large: expected at most 256 KiB");
        return -EINVAL;
    }
    r = yaml_document_parse(file, text, size, &document, errors);
    if (r == 0)
        r = yaml_document_load(document, &config_schema, NULL, &data, errors);
    if (r < 0)
        return r;
    raw = data;

    const struct reading reading = { document, raw, folder, config, errors };
    unsigned before = errors->count;
    for (size_t i = 0; i < ARRAY_LEN(steps) && r == 0; i++)
        r = steps[i](&reading);
    if (r == 0 && errors->count > before)
        r = -EINVAL;
    if (r < 0)
        return r;
    *ret_config = TAKE_PTR(config);
    return 0;
}

int config_read(const char *path, struct config **ret_config, struct config_errors *errors)
{
    _cleanup_free_ char *text = NULL;
    size_t size = 0;

    int r = io_read_file(AT_FDCWD, path, CONFIG_FILE_MAX_BYTES, &text, &size);
    if (r == -EFBIG)
        config_errors_add(errors, path, 0, "too large: expected at most 256 KiB");
    else if (r < 0)
        config_errors_add(errors, path, 0, "cannot be read: %s", strerrordesc_np(-r));
    if (r < 0)
        return r;
    return config_parse(path, text, size, ret_config, errors);
}

struct cordon_config *cordon_config_free(struct cordon_config *cordon)
{
    if (cordon)
        free(cordon->name);
    free(cordon);
    return NULL;
}

struct config *config_free(struct config *config)
{
    if (!config)
        return NULL;
    for (unsigned i = 0; i < config->n_proxies && config->proxies; i++)
        free(config->proxies[i]);
    free(config->proxies);
    free(config->proxy_prefixes);
    for (unsigned i = 0; config->listen && i < config->n_listen; i++)
        free(config->listen[i]);
    for (unsigned i = 0; i < config->n_cordons; i++)
        (void) cordon_config_free(config->cordons[i]);
    free(config->path);
    free(config->listen);
    free(config->admin_socket);
    free(config->tenants);
    config_service_done(config);
    free(config->log_level);
    free(config->default_host);
    free(config->cordons);
    free(config);
    return NULL;
}

const struct cordon_config *config_find_cordon(const struct config *config, const char *name)
{
    for (unsigned i = 0; i < config->n_cordons; i++)
        if (strcmp(config->cordons[i]->name, name) == 0)
            return config->cordons[i];
    return NULL;
}

limit_set limits_observed(const struct config *config, const struct cordon_config *cordon)
{
    return config->observed | cordon->observed;
}
