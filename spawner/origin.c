/* SPDX-License-Identifier: Apache-2.0 */
#include "spawner/origin.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

DEFINE_CLEANUP(struct origin *, origin_free, origin_cleanup)

static const struct {
    const char *name;
    bool is_of_one_process; /* not for a process that is started in its place */
} variables[] = {
    { "NOTIFY_SOCKET", false },  { "WATCHDOG_USEC", false }, { "WATCHDOG_PID", true },
    { "LISTEN_FDS", true },      { "LISTEN_PID", true },     { "LISTEN_FDNAMES", true },
    { ORIGIN_UPGRADE_FD, true },
};

static bool is_of_one_process(const char *entry)
{
    for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
        size_t length = strlen(variables[i].name);
        if (variables[i].is_of_one_process && strncmp(entry, variables[i].name, length) == 0 &&
            entry[length] == '=')
            return true;
    }
    return false;
}

void origin_clean_environment(void)
{
    for (size_t i = 0; i < ARRAY_LEN(variables); i++)
        (void) unsetenv(variables[i].name);
}

/* Returns the path by which this program was called, if it leads to the program: a link in it may
 * lead to the next version one day. Otherwise the place of the program. */
static char *find_program(const char *called)
{
    struct stat ours, theirs;
    char self[PATH_MAX];

    if (called && strchr(called, '/') && stat("/proc/self/exe", &ours) == 0 &&
        stat(called, &theirs) == 0 && ours.st_dev == theirs.st_dev &&
        ours.st_ino == theirs.st_ino) {
        char folder[PATH_MAX];
        char *path = NULL;
        if (called[0] == '/')
            return strdup(called);
        if (!getcwd(folder, sizeof folder) || asprintf(&path, "%s/%s", folder, called) < 0)
            return NULL;
        return path;
    }
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        return NULL;
    self[n] = '\0';
    return strdup(self);
}

/* keep: NULL for all. Room for more entries is left at the end. */
static char **copy_list(char *const *list, bool (*leave_out)(const char *entry), unsigned room,
                        unsigned *ret_n)
{
    size_t n = 0, used = 0;

    while (list && list[n])
        n++;
    char **copy = calloc(n + room + 1, sizeof *copy);
    for (size_t i = 0; copy && i < n; i++) {
        if (leave_out && leave_out(list[i]))
            continue;
        copy[used] = strdup(list[i]);
        if (!copy[used++]) {
            for (size_t k = 0; k < used; k++)
                free(copy[k]);
            free(copy);
            return NULL;
        }
    }
    *ret_n = (unsigned) used;
    return copy;
}

int origin_new(int argc, char *const *argv, struct origin **ret_origin)
{
    _cleanup_(origin_cleanup) struct origin *origin = calloc(1, sizeof *origin);
    char folder[PATH_MAX];
    unsigned n_argv = 0;

    if (!origin)
        return -ENOMEM;
    origin->program = find_program(argc > 0 ? argv[0] : NULL);
    origin->folder = strdup(getcwd(folder, sizeof folder) ? folder : "/");
    origin->argv = copy_list(argv, NULL, 0, &n_argv);
    origin->environment =
        copy_list(environ, is_of_one_process, ORIGIN_ROOM, &origin->n_environment);
    if (!origin->program || !origin->folder || !origin->argv || !origin->environment)
        return -ENOMEM;
    *ret_origin = TAKE_PTR(origin);
    return 0;
}

static void free_list(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

struct origin *origin_free(struct origin *origin)
{
    if (!origin)
        return NULL;
    free(origin->program);
    free(origin->folder);
    free_list(origin->argv);
    free_list(origin->environment);
    free(origin);
    return NULL;
}
