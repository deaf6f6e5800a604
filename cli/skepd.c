/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/skepd.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"

_Noreturn void skepd_exec(char *const *argv)
{
    static const char *const places[] = { "skepd", "../sbin/skepd" };
    char self[PATH_MAX], path[PATH_MAX + 32];

    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    for (size_t i = 0; slash && i < ARRAY_LEN(places); i++) {
        (void) snprintf(path, sizeof path, "%.*s/%s", (int) (slash - self), self, places[i]);
        (void) execv(path, argv);
    }
    (void) execvp("skepd", argv);
    (void) fprintf(stderr, "cannot run skepd (%s): it should be beside skep, or in PATH\n",
                   strerrordesc_np(errno));
    _exit(127);
}
