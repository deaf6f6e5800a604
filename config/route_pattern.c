/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses and compares routes, "hello.example.com/api/" with a '*' behind it. The text is a
 * tenant's. Any process; no state.
 */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "config/host_name.h"
#include "config/manifest.h"

/* Writes the host in its one spelling to name. 0, -EINVAL with *ret_reason, -ENOMEM. */
static int check_host(const char *host, size_t size, char name[HOST_NAME_MAX_BYTES + 1],
                      const char **ret_reason)
{
    for (size_t i = 0; i < size; i++) {
        *ret_reason = NULL;
        if (host[i] == '*')
            *ret_reason =
                "expected \"*\" only as the whole host, as \"*.\" before it, or at the end of "
                "the path";
        else if (host[i] == ':')
            *ret_reason = "expected a host without scheme and port";
        else if ((unsigned char) host[i] >= 0x80)
            *ret_reason = "expected the host in ASCII (xn--…)";
        else if (host[i] == '.' && i + 1 == size)
            *ret_reason = "expected no empty part between dots";
        if (*ret_reason)
            return -EINVAL;
    }
    return host_name_parse(host, size, name, &size, ret_reason);
}

static const char *check_path(const char *path, size_t size)
{
    if (size > ROUTE_PATH_MAX_BYTES)
        return "expected a path of at most 512 characters";
    for (size_t i = 0; i < size; i++) {
        if (path[i] == '*')
            return "expected \"*\" in the path only at its end";
        if (path[i] == '?' || path[i] == '#')
            return "expected a path without query and fragment";
        if (path[i] <= 0x20 || path[i] >= 0x7f)
            return "expected a path in ASCII, with %XX for all else";
    }
    return NULL;
}

int route_pattern_parse(const char *text, struct route_pattern *ret_pattern,
                        const char **ret_reason)
{
    const char *path = strchrnul(text, '/');
    const char *host = text;
    size_t host_size = (size_t) (path - text);
    size_t path_size = strlen(path);
    struct route_pattern pattern = { 0 };
    char name[HOST_NAME_MAX_BYTES + 1] = "";
    const char *reason = NULL;

    if (host_size == 0)
        reason = "expected HOST or HOST/PATH, such as \"hello.example.com/*\"";
    if (host_size == 1 && host[0] == '*') {
        host_size = 0;
    } else if (host_size >= 2 && host[0] == '*' && host[1] == '.') {
        pattern.is_suffix = true;
        host += 2;
        host_size -= 2;
        if (host_size == 0)
            reason = "expected a name after \"*.\"";
    }
    pattern.is_exact = path_size > 0 && path[path_size - 1] != '*';
    if (path_size > 0 && !pattern.is_exact)
        path_size--;
    if (!reason && host_size > 0 && check_host(host, host_size, name, &reason) == -ENOMEM)
        return -ENOMEM;
    if (!reason)
        reason = check_path(path, path_size);
    if (reason) {
        *ret_reason = reason;
        return -EINVAL;
    }
    pattern.host = strdup(name);
    pattern.path = path_size > 0 ? strndup(path, path_size) : strdup("/");
    if (!pattern.host || !pattern.path) {
        route_pattern_done(&pattern);
        return -ENOMEM;
    }
    *ret_pattern = pattern;
    return 0;
}

void route_pattern_done(struct route_pattern *pattern)
{
    free(pattern->host);
    free(pattern->path);
    *pattern = (struct route_pattern){ 0 };
}

int route_pattern_compare(const struct route_pattern *a, const struct route_pattern *b)
{
    if (a->is_suffix != b->is_suffix)
        return a->is_suffix ? 1 : -1;
    if (a->is_exact != b->is_exact)
        return a->is_exact ? 1 : -1;
    int r = strcmp(a->host, b->host);
    return r != 0 ? r : strcmp(a->path, b->path);
}

const char *route_pattern_text(const struct route_pattern *pattern,
                               char buffer[static ROUTE_TEXT_BYTES])
{
    bool is_any_host = pattern->host[0] == '\0' && !pattern->is_suffix;
    bool is_any = is_any_host && !pattern->is_exact && strcmp(pattern->path, "/") == 0;

    (void) snprintf(buffer, ROUTE_TEXT_BYTES, "%s%s%s%s", pattern->is_suffix ? "*." : "",
                    is_any_host ? "*" : pattern->host, is_any ? "" : pattern->path,
                    is_any || pattern->is_exact ? "" : "*");
    return buffer;
}
