/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config_service.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "config/names.h"
#include "config/yaml_reader.h"

struct reading {
    const struct yaml_document *document;
    const struct raw_service *raw;
    const char *folder;
    struct config *config;
    struct config_errors *errors;
};

/* ---- admin */

/* kind: "uids" or "gids". */
static int take_ids(const struct reading *reading, const char *role, const char *kind,
                    const uint32_t *ids, uint32_t n_ids, uint32_t **ret_ids, unsigned *ret_n)
{
    if (n_ids == 0)
        return 0;
    *ret_ids = calloc(n_ids, sizeof **ret_ids);
    if (!*ret_ids)
        return -ENOMEM;
    *ret_n = n_ids;
    for (uint32_t i = 0; i < n_ids; i++) {
        if (ids[i] == UINT32_MAX) /* (uid_t) -1: nobody */
            yaml_error(reading->document,
                       yaml_find(reading->document, "admin.%s.%s[%u]", role, kind, i),
                       reading->errors, "%u is not a %s id: expected 0 to %u", ids[i],
                       *kind == 'u' ? "user" : "group", UINT32_MAX - 1);
        (*ret_ids)[i] = ids[i];
    }
    return 0;
}

static int take_role(const struct reading *reading, const char *name, const struct raw_role *raw,
                     struct admin_role *ret)
{
    int r = take_ids(reading, name, "uids", raw->uids, raw->n_uids, &ret->uids, &ret->n_uids);

    return r < 0
               ? r
               : take_ids(reading, name, "gids", raw->gids, raw->n_gids, &ret->gids, &ret->n_gids);
}

static int take_admin(const struct reading *reading)
{
    const struct raw_admin *raw = &reading->raw->admin;
    struct admin_config *admin = &reading->config->admin;

    if (raw->group && !(admin->group = strdup(raw->group)))
        return -ENOMEM;
    int r = take_role(reading, "read", &raw->read, &admin->read);
    return r < 0 ? r : take_role(reading, "write", &raw->write, &admin->write);
}

/* ---- numbers */

static const struct service_number {
    const char *path;
    size_t offset, raw_offset; /* in struct config, in struct raw_service */
    uint32_t preset, least, most;
} numbers[] = {
    { "drain_s", offsetof(struct config, drain_s), offsetof(struct raw_service, drain_s), 30, 1,
      3600 },
    { "metrics.tenants", offsetof(struct config, metrics.tenants),
      offsetof(struct raw_service, metrics.tenants), 1000, 0, 10000 },
    { "log.tenant_lines", offsetof(struct config, log.tenant_lines),
      offsetof(struct raw_service, log.tenant_lines), 500, 1, 1000000 },
    { "log.tenant_kib", offsetof(struct config, log.tenant_kib),
      offsetof(struct raw_service, log.tenant_kib), 256, 1, 1048576 },
    { "log.lines", offsetof(struct config, log.lines), offsetof(struct raw_service, log.lines),
      1500, 1, 1000000 },
    { "log.kib", offsetof(struct config, log.kib), offsetof(struct raw_service, log.kib), 1024, 1,
      1048576 },
    { "log.access_lines", offsetof(struct config, log.access_lines),
      offsetof(struct raw_service, log.access_lines), 10000, 1, 1000000 },
    { "deploy.keep", offsetof(struct config, deploy.keep),
      offsetof(struct raw_service, deploy.keep), 10, 2, 1000 },
    { "deploy.watch_s", offsetof(struct config, deploy.watch_s),
      offsetof(struct raw_service, deploy.watch_s), 60, 0, 86400 },
    { "deploy.errors", offsetof(struct config, deploy.errors),
      offsetof(struct raw_service, deploy.errors), 10, 1, 1000000 },
    { "deploy.error_percent", offsetof(struct config, deploy.error_percent),
      offsetof(struct raw_service, deploy.error_percent), 50, 1, 100 },
};

static void take_numbers(const struct reading *reading)
{
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        const struct service_number *info = &numbers[i];
        const struct yaml_node *node = yaml_find(reading->document, "%s", info->path);
        uint32_t value = info->preset;

        if (node)
            memcpy(&value, (const char *) reading->raw + info->raw_offset, sizeof value);
        if (value < info->least || value > info->most)
            yaml_error(reading->document, node, reading->errors,
                       "%s is out of range: expected %u to %u", node->value, info->least,
                       info->most);
        memcpy((char *) reading->config + info->offset, &value, sizeof value);
    }
}

/* ---- all of it */

static int take_metrics(const struct reading *reading)
{
    const char *text = reading->raw->metrics.listen;
    const char *expected = text ? listen_address_check(text) : NULL;

    if (!text)
        return 0;
    if (!expected && strncmp(text, "unix:", 5) == 0)
        expected = "expected an address and a port";
    if (expected)
        yaml_error(reading->document, yaml_find(reading->document, "metrics.listen"),
                   reading->errors, "\"%s\" is not an address: %s", text, expected);
    reading->config->metrics.listen = strdup(text);
    return reading->config->metrics.listen ? 0 : -ENOMEM;
}

int config_service_parse(const struct yaml_document *document, const struct raw_service *raw,
                         const char *folder, struct config *ret, struct config_errors *errors)
{
    const struct reading reading = { document, raw, folder, ret, errors };

    ret->log_format = raw->log_format;
    ret->access_log = raw->access_log;
    take_numbers(&reading);
    if (raw->state && !(ret->state = path_absolute(folder, raw->state)))
        return -ENOMEM;
    int r = take_admin(&reading);
    return r < 0 ? r : take_metrics(&reading);
}

void config_service_done(struct config *config)
{
    free(config->admin.group);
    free(config->admin.read.uids);
    free(config->admin.read.gids);
    free(config->admin.write.uids);
    free(config->admin.write.gids);
    free(config->metrics.listen);
    free(config->state);
}
