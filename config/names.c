/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of names, paths and addresses that both YAML files share. Any process; no state.
 */
#include "config/names.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"

const char name_expected[] = "expected a-z, 0-9 and - (not first or last), at most 63";

bool name_is_valid(const char *name)
{
    size_t size = strlen(name);

    return size >= 1 && size <= NAME_MAX_BYTES &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == size && name[0] != '-' &&
           name[size - 1] != '-';
}

bool env_name_is_valid(const char *name)
{
    if (!isalpha((unsigned char) name[0]) && name[0] != '_')
        return false;
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char) *p) && *p != '_')
            return false;
    return strcmp(name, "__proto__") != 0;
}

const char secret_name_expected[] = "expected A-Z, a-z, 0-9 and _, no digit first, at most 64";

bool secret_name_is_valid(const char *name)
{
    return strlen(name) <= SECRET_NAME_MAX_BYTES && env_name_is_valid(name);
}

int path_folder_of(const char *file, char **ret_folder)
{
    const char *slash = strrchr(file, '/');
    size_t size = slash ? (size_t) (slash - file) : 0;
    _cleanup_free_ char *relative = slash == file ? strdup("/") : strndup(file, size);

    if (!relative)
        return -ENOMEM;
    if (relative[0] == '/') {
        *ret_folder = TAKE_PTR(relative);
        return 0;
    }
    _cleanup_free_ char *here = getcwd(NULL, 0);
    if (!here)
        return -errno;
    char *folder = path_absolute(here, relative);
    if (!folder)
        return -ENOMEM;
    *ret_folder = folder;
    return 0;
}

char *path_absolute(const char *folder, const char *path)
{
    char *result = NULL;

    if (path[0] == '/')
        return strdup(path);
    while (strncmp(path, "./", 2) == 0)
        path += 2;
    if (path[0] == '\0' || strcmp(path, ".") == 0)
        return strdup(folder);
    const char *separator = folder[strlen(folder) - 1] == '/' ? "" : "/";
    return asprintf(&result, "%s%s%s", folder, separator, path) < 0 ? NULL : result;
}

bool path_fits_socket(const char *path)
{
    return strlen(path) < sizeof((struct sockaddr_un *) NULL)->sun_path;
}

static bool port_is_valid(const char *text)
{
    size_t digits = strspn(text, "0123456789");

    return digits > 0 && digits <= 5 && text[digits] == '\0' && strtoul(text, NULL, 10) <= 65535;
}

const char *listen_address_check(const char *text)
{
    static const char expected[] = "expected \"127.0.0.1:8080\", \"[::1]:8080\" or \"unix:/path\"";
    char host[INET6_ADDRSTRLEN] = "";
    struct in6_addr address;

    if (strncmp(text, "unix:", 5) == 0)
        return text[5] ? NULL : "expected a path after \"unix:\"";
    const char *colon = strrchr(text, ':');
    if (!colon)
        return expected;
    if (!port_is_valid(colon + 1))
        return "expected a port of 0 to 65535 at the end";
    size_t size = (size_t) (colon - text);
    bool is_v6 = size >= 2 && text[0] == '[' && text[size - 1] == ']';
    if (is_v6) {
        text++;
        size -= 2;
    }
    if (size == 0 || size >= sizeof host)
        return expected;
    memcpy(host, text, size);
    return inet_pton(is_v6 ? AF_INET6 : AF_INET, host, &address) == 1 ? NULL : expected;
}

const char *main_kind_check(const char *path)
{
    const char *dot = strrchr(path, '.');

    if (dot && strcmp(dot, ".wasm") == 0)
        return "WASI programs are not supported yet: expected a .js or .mjs file";
    if (!dot || (strcmp(dot, ".js") != 0 && strcmp(dot, ".mjs") != 0))
        return "not an ES module: expected a .js or .mjs file";
    return NULL;
}
