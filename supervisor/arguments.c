/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/arguments.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"

static const char usage_text[] =
    "Usage: skepd --config FILE [--worker PATH] [--dev PATH [--trace]] [--check | --probe]\n"
    "       skepd --compile [--config FILE] [--worker PATH] PATH...\n"
    "Serves untrusted tenants: HTTP in front, jailed V8 workers behind.\n"
    "\n"
    "  --config FILE  the service's skepd.yaml\n"
    "  --worker PATH  the skep-worker program (default: beside skepd, or in libexec/skep)\n"
    "  --dev PATH     serve only this script or tenant folder, for every host\n"
    "  --trace        with --dev: log each frame to and from workers that is about a request\n"
    "  --probe        say which layers of the jail this host gives workers, and exit\n"
    "  --check        read config and tenants, say what is wrong, and exit\n"
    "  --compile      compile and link the modules of scripts and tenants' folders in jailed\n"
    "                 workers, run nothing, print a JSON object of what is wrong, and exit\n"
    "  --version      print the version\n"
    "  --help         print this\n";

int arguments_parse(int argc, char **argv, struct arguments *ret)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' }, { "worker", required_argument, NULL, 'w' },
        { "dev", required_argument, NULL, 'd' },    { "check", no_argument, NULL, 'k' },
        { "probe", no_argument, NULL, 'p' },        { "version", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },         { "compile", no_argument, NULL, 'm' },
        { "trace", no_argument, NULL, 't' },        { NULL, 0, NULL, 0 },
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 'c':
            ret->config = optarg;
            break;
        case 'w':
            ret->worker = optarg;
            break;
        case 'd':
            ret->dev = optarg;
            break;
        case 'k':
            ret->check_only = true;
            break;
        case 'p':
            ret->probe_only = true;
            break;
        case 't':
            ret->trace = true;
            break;
        case 'm':
            ret->compile_only = true;
            break;
        case 'v':
            (void) printf("skepd %s\n", SKEP_VERSION);
            return 0;
        case 'h':
            (void) fputs(usage_text, stdout);
            return 0;
        default:
            (void) fputs("Try skepd --help.\n", stderr);
            return 2;
        }
    ret->paths = argv + optind;
    if (ret->compile_only ? optind == argc
                          : !ret->config || optind < argc || (ret->trace && !ret->dev)) {
        (void) fputs(usage_text, stderr);
        return 2;
    }
    return -1;
}

char *arguments_make_absolute(const char *path)
{
    _cleanup_free_ char *folder = path[0] == '/' ? NULL : get_current_dir_name();
    char *absolute = NULL;

    if (path[0] == '/')
        return strdup(path);
    return !folder || asprintf(&absolute, "%s/%s", folder, path) < 0 ? NULL : absolute;
}

int arguments_find_program(const char *name, char *path, size_t size)
{
    static const char *const places[] = { "%.*s/%s", "%.*s/../libexec/skep/%s" };
    char self[PATH_MAX];

    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        return -errno;
    self[n] = '\0';
    int folder = (int) (strrchr(self, '/') - self);
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void) snprintf(path, size, places[i], folder, self, name);
#pragma GCC diagnostic pop
        if (access(path, X_OK) == 0)
            return 0;
    }
    return -ENOENT;
}

int arguments_find_worker(const struct arguments *arguments, char *path, size_t size)
{
    int r = arguments->worker ? 0 : arguments_find_program("skep-worker", path, size);

    if (arguments->worker && (size_t) snprintf(path, size, "%s", arguments->worker) >= size)
        r = -ENAMETOOLONG;
    return r < 0 ? log_error_errno(r, "cannot find skep-worker; say where it is with --worker") : 0;
}
