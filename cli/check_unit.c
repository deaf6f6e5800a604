/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The comparison of skepd.yaml with the settings of a unit file. Reads both files, and asks no
 * other process.
 */
#include "cli/check_unit.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "config/yaml_document.h"

#define UNIT_MAX_BYTES 65536U

struct unit {
    const char *file;
    const char *text;                     /* NUL-ended */
    const struct config *config;          /* borrowed, as all below */
    const struct yaml_document *document; /* skepd.yaml, for lines */
    struct config_errors *errors;
};

DEFINE_CLEANUP(struct yaml_document *, yaml_document_free, document_cleanup)

/* Copies the last value of a setting; "" if it is not set. */
static void setting(const struct unit *unit, const char *name, char *value, size_t size)
{
    size_t length = strlen(name);

    value[0] = '\0';
    for (const char *line = unit->text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) == 0 && line[length] == '=')
            (void) snprintf(value, size, "%.*s", (int) strcspn(line + length + 1, "\n"),
                            line + length + 1);
        if (*line == '\0')
            break;
    }
}

static bool is_set(const struct unit *unit, const char *name, const char *wanted)
{
    char value[256];

    setting(unit, name, value, sizeof value);
    if (strcmp(wanted, "yes") == 0 && (strcmp(value, "true") == 0 || strcmp(value, "on") == 0))
        return true;
    return strcmp(value, wanted) == 0;
}

static bool is_below(const char *path, const char *folder)
{
    size_t size = strlen(folder);

    return strncmp(path, folder, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

static void refuse(const struct unit *unit, const char *key, const char *value, const char *why,
                   const char *advice)
{
    unsigned line = yaml_line(unit->document, "%s", key);

    config_errors_add(unit->errors, unit->document->file, line,
                      "%s: \"%s\" cannot work in %s, which has %s: %s", key, value, unit->file, why,
                      advice);
}

/* ---- rights that the unit takes away */

static void check_network(const struct unit *unit)
{
    const struct config *config = unit->config;
    char key[32];

    if (!is_set(unit, "PrivateNetwork", "yes"))
        return;
    for (unsigned i = 0; i < config->n_listen; i++) {
        (void) snprintf(key, sizeof key, "listen[%u]", i);
        if (strncmp(config->listen[i], "unix:", 5) != 0)
            refuse(unit, key, config->listen[i], "PrivateNetwork=yes",
                   "expected no such key, and the address in skepd.socket (systemctl edit "
                   "skepd.socket)");
    }
    if (config->metrics.listen)
        refuse(unit, "metrics.listen", config->metrics.listen, "PrivateNetwork=yes",
               "expected no such key, and skepd-metrics.socket (systemctl enable --now "
               "skepd-metrics.socket)");
    if (config->egress.fetch && !config->egress.socket)
        config_errors_add(
            unit->errors, unit->document->file, yaml_line(unit->document, "egress"),
            "egress: a skep-egress that skepd starts cannot reach servers in %s, which "
            "has PrivateNetwork=yes: expected socket: /run/skep-egress/egress.sock, "
            "that of skep-egress.socket",
            unit->file);
}

static void check_sight(const struct unit *unit, const char *key, const char *path)
{
    static const struct {
        const char *setting, *value, *shown, *folder;
    } hidden[] = {
        { "ProtectHome", "yes", "ProtectHome=yes", "/home" },
        { "ProtectHome", "yes", "ProtectHome=yes", "/root" },
        { "ProtectHome", "yes", "ProtectHome=yes", "/run/user" },
        { "PrivateTmp", "yes", "PrivateTmp=yes", "/tmp" },
        { "PrivateTmp", "yes", "PrivateTmp=yes", "/var/tmp" },
    };

    for (size_t i = 0; path && i < ARRAY_LEN(hidden); i++)
        if (is_below(path, hidden[i].folder) && is_set(unit, hidden[i].setting, hidden[i].value)) {
            refuse(unit, key, path, hidden[i].shown,
                   "expected a folder elsewhere, such as one in /srv");
            return;
        }
}

/* Returns whether the unit has a folder of its own below top that holds path. */
static bool is_own(const struct unit *unit, const char *name, const char *top, const char *path)
{
    char value[256], folder[300];

    setting(unit, name, value, sizeof value);
    if (!value[0])
        return false;
    (void) snprintf(folder, sizeof folder, "%s/%s", top, value);
    return is_below(path, folder);
}

static void check_writing(const struct unit *unit)
{
    const struct config *config = unit->config;

    if (!is_set(unit, "ProtectSystem", "strict"))
        return;
    if (config->state && !is_own(unit, "StateDirectory", "/var/lib", config->state))
        refuse(unit, "state", config->state, "ProtectSystem=strict",
               "expected a folder that it may write, such as /var/lib/skep, or ReadWritePaths= for "
               "it");
    if (!is_own(unit, "RuntimeDirectory", "/run", config->admin_socket))
        refuse(unit, "admin_socket", config->admin_socket, "ProtectSystem=strict",
               "expected a socket in its own folder, such as /run/skep/admin.sock");
}

static void check_group(const struct unit *unit)
{
    const char *group = unit->config->admin.group;

    if (group && group[strspn(group, "0123456789")] != '\0' && !getgrnam(group))
        config_errors_add(
            unit->errors, unit->document->file, yaml_line(unit->document, "admin.group"),
            "admin.group: there is no group \"%s\" on this machine: expected one that is there, "
            "or addgroup --system %s",
            group, group);
}

/* ---- the unit */

/* Returns whether the unit starts skepd with the file. */
static bool names_file(const struct unit *unit, const char *path)
{
    char value[1024];

    setting(unit, "ExecStart", value, sizeof value);
    char *option = strstr(value, "--config");
    if (!option)
        return false;
    option += strlen("--config");
    option += strspn(option, " =");
    option[strcspn(option, " ")] = '\0';
    _cleanup_free_ char *named = realpath(option, NULL);
    _cleanup_free_ char *given = realpath(path, NULL);
    return named && given && strcmp(named, given) == 0;
}

static int check_with(struct unit *unit, const char *path)
{
    _cleanup_(document_cleanup) struct yaml_document *document = NULL;
    _cleanup_free_ char *text = NULL;
    size_t size = 0;

    int r = io_read_file(AT_FDCWD, path, CONFIG_FILE_MAX_BYTES, &text, &size);
    if (r == 0)
        r = yaml_document_parse(path, text, size, &document, unit->errors);
    if (r < 0)
        return r;
    unit->document = document;
    check_network(unit);
    check_sight(unit, "tenants", unit->config->tenants);
    check_sight(unit, "state", unit->config->state);
    check_writing(unit);
    check_group(unit);
    return 0;
}

int check_unit(const char *path, const struct config *config, const char *file,
               struct config_errors *errors)
{
    static const char *const installed[] = {
        "/etc/systemd/system/skepd.service",
        "/usr/lib/systemd/system/skepd.service",
        "/lib/systemd/system/skepd.service",
    };
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    int r = -ENOENT;

    for (size_t i = 0; i < ARRAY_LEN(installed) && r < 0; i++) {
        const char *name = file ? file : installed[i];
        r = io_read_file(AT_FDCWD, name, UNIT_MAX_BYTES, &text, &size);
        if (r < 0 && file) {
            config_errors_add(errors, file, 0, "cannot be read: %s", strerrordesc_np(-r));
            return r;
        }
        if (r < 0)
            continue;
        struct unit unit = { .file = name, .text = text, .config = config, .errors = errors };
        return file || names_file(&unit, path) ? check_with(&unit, path) : 0;
    }
    return 0;
}
