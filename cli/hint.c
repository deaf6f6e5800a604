/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/hint.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "common/cleanup.h"
#include "common/nearest.h"

/* ---- no connection */

static void say_how_to_start(const struct cli *cli)
{
    (void) fprintf(stderr, "  is skepd running? As a service: systemctl status skepd\n"
                           "  by hand: skepd --config FILE, whose admin_socket is the socket\n");
    if (strcmp(cli->socket, CLI_DEFAULT_SOCKET) == 0)
        (void) fprintf(stderr, "  another socket: skep --socket PATH %s, or SKEP_SOCKET\n",
                       cli->verb->name);
}

static void say_who_may(const char *path)
{
    const struct passwd *user = getpwuid(geteuid());
    struct stat st;

    if (stat(path, &st) < 0) { /* the socket lies where this user cannot look */
        (void) fprintf(stderr,
                       "  you may not go into its folder: run skep as root (sudo skep …)\n");
        return;
    }
    const struct group *group = getgrgid(st.st_gid);
    const char *name = group ? group->gr_name : "";
    (void) fprintf(stderr,
                   "  it is for its owner and the group %s (%u): run skep as root (sudo skep …)",
                   name, (unsigned) st.st_gid);
    if (st.st_gid != 0 && name[0])
        (void) fprintf(stderr, ",\n  or join the group and log in again: sudo usermod -aG %s %s",
                       name, user ? user->pw_name : "USER");
    (void) fputc('\n', stderr);
}

static bool is_socket(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

void hint_connect(const struct cli *cli, int error)
{
    const char *what = strerrordesc_np(-error);

    if (error == -ENOENT || error == -ENOTDIR)
        what = "there is no such socket";
    else if (error == -ECONNREFUSED)
        what =
            is_socket(cli->socket) ? "nobody answers there: skepd has ended" : "that is no socket";
    else if (error == -ETIMEDOUT)
        what = "skepd accepts nobody; its log may say why";
    else if (error == -ENAMETOOLONG)
        what = "the path of a socket may have at most 107 bytes";
    output_error(cli->verb->name, "cannot connect to %s: %s", cli->socket, what);
    if (error == -ENOENT || error == -ENOTDIR || error == -ECONNREFUSED)
        say_how_to_start(cli);
    else if (error == -EACCES || error == -EPERM)
        say_who_may(cli->socket);
}

/* ---- an unknown verb */

const char *hint_verb(const char *given)
{
    struct nearest nearest = { .given = given };
    size_t n;
    const struct verb *const *verbs = cli_verbs(&n);

    for (size_t i = 0; i < n; i++)
        nearest_add(&nearest, verbs[i]->name);
    return nearest.word;
}
