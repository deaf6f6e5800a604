/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/check_modules.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/skepd.h"
#include "common/cleanup.h"
#include "common/io.h"

/* Most text that is read of a skepd that fails, whose last line is shown. */
#define SAID_MAX_BYTES 16384

struct ends {
    int out_read, out_write, said_read, said_write;
};

static void ends_done(const struct ends *ends)
{
    fd_cleanup(&ends->out_read);
    fd_cleanup(&ends->out_write);
    fd_cleanup(&ends->said_read);
    fd_cleanup(&ends->said_write);
}

static int ends_init(struct ends *ends)
{
    int out[2], said[2];

    if (pipe2(out, O_CLOEXEC) < 0)
        return -errno;
    ends->out_read = out[0];
    ends->out_write = out[1];
    if (pipe2(said, O_CLOEXEC) < 0)
        return -errno;
    ends->said_read = said[0];
    ends->said_write = said[1];
    return 0;
}

static _Noreturn void run_child(const struct ends *ends, pid_t parent, char *const *argv)
{
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent || null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 ||
        dup2(ends->out_write, STDOUT_FILENO) < 0 || dup2(ends->said_write, STDERR_FILENO) < 0)
        _exit(127);
    skepd_exec(argv);
}

/* "skepd", "--compile", perhaps "--config" and its file, the paths. The array is the caller's, its texts are borrowed. */
static char **make_arguments(const char *config, char *const *paths)
{
    static char name[] = "skepd", compile[] = "--compile", option[] = "--config", end[] = "--";
    size_t n = 0, at = 0;

    while (paths[n])
        n++;
    char **argv = calloc(n + 6, sizeof *argv);
    if (!argv)
        return NULL;
    argv[at++] = name;
    argv[at++] = compile;
    if (config) {
        argv[at++] = option;
        argv[at++] = (char *) (uintptr_t) config;
    }
    argv[at++] = end;
    for (size_t i = 0; i < n; i++)
        argv[at++] = paths[i];
    return argv;
}

static void add_list(const json_t *list, struct config_errors *errors)
{
    json_t *item;
    size_t i;

    json_array_foreach(list, i, item)
    {
        const char *file = "", *text = "";
        int line = 0, column = 0;
        if (json_unpack(item, "{s:s, s:i, s:i, s:s}", "file", &file, "line", &line, "column",
                        &column, "text", &text) == 0)
            config_errors_add_at(errors, file, (unsigned) line, (unsigned) column, "%s", text);
    }
}

/* Returns the last line of text, cut to its length; "" if there is none. */
static const char *last_line(char *text)
{
    size_t size = strlen(text);

    while (size > 0 && text[size - 1] == '\n')
        text[--size] = '\0';
    const char *newline = strrchr(text, '\n');
    return newline ? newline + 1 : text;
}

static void note_failure(int said_fd, const char *file, struct config_errors *notes)
{
    char text[SAID_MAX_BYTES];
    size_t have = 0;
    ssize_t n;

    while (have < sizeof text - 1 && (n = read(said_fd, text + have, sizeof text - 1 - have)) > 0)
        have += (size_t) n;
    text[have] = '\0';
    config_errors_add(notes, file, 0, "its modules were not compiled: %s",
                      have > 0 ? last_line(text) : "skepd has ended");
}

/* Runs argv[0]; argv to the end as for execv. 0, or -errno if the process cannot be started. */
static int run(struct ends *ends, char *const *argv, pid_t *ret_pid)
{
    pid_t parent = getpid(), pid;
    int r = ends_init(ends);

    if (r < 0)
        return r;
    pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        run_child(ends, parent, argv);
    (void) close(TAKE_FD(ends->out_write));
    (void) close(TAKE_FD(ends->said_write));
    *ret_pid = pid;
    return 0;
}

int check_modules(const char *config, char *const *paths, struct config_errors *errors,
                  struct config_errors *notes)
{
    _cleanup_(ends_done) struct ends ends = { -1, -1, -1, -1 };
    _cleanup_free_ char **argv = make_arguments(config, paths);
    const char *file = config ? config : paths[0];
    pid_t pid;

    if (!argv)
        return -ENOMEM;
    int r = run(&ends, argv, &pid);
    if (r < 0) {
        config_errors_add(notes, file, 0, "its modules were not compiled: %s", strerrordesc_np(-r));
        return 0;
    }
    json_t *found = json_loadfd(ends.out_read, 0, NULL);
    if (found) {
        add_list(json_object_get(found, "errors"), errors);
        add_list(json_object_get(found, "notes"), notes);
        json_decref(found);
    } else {
        note_failure(ends.said_read, file, notes);
    }
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return 0;
}
