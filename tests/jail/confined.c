/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Confines a process as skepd does: see confined.h.
 */
#include "tests/jail/confined.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "helper/confine.h"
#include "tests/jail/ordinary.h"

struct path path_in(const char *folder, const char *name)
{
    struct path path;

    (void) snprintf(path.text, sizeof path.text, "%s/%s", folder, name);
    return path;
}

static void make_folder(const struct place *place, const char *name, char *path, size_t size)
{
    (void) snprintf(path, size, "%s/%s", place->top, name);
    assert_int_equal(mkdir(path, 0755), 0);
    struct path file = path_in(path, "file");
    _cleanup_fd_ int fd = open(file.text, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), 1);
}

void place_init(struct place *place)
{
    ordinary_begin();
    (void) snprintf(place->top, sizeof place->top, "/tmp/skep-confined-XXXXXX");
    assert_non_null(mkdtemp(place->top));
    make_folder(place, "granted", place->granted, sizeof place->granted);
    make_folder(place, "sockets", place->sockets, sizeof place->sockets);
    make_folder(place, "other", place->other, sizeof place->other);
}

void place_done(const struct place *place)
{
    const char *const folders[] = { place->granted, place->sockets, place->other };

    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        struct path file = path_in(folders[i], "file");
        assert_true(unlink(file.text) == 0 || errno == ENOENT);
        assert_int_equal(rmdir(folders[i]), 0); /* no other file was made in it */
    }
    assert_int_equal(rmdir(place->top), 0);
}

void confine_here(const struct place *place, uint64_t keep_capabilities)
{
    const struct path gone = path_in(place->top, "never-there");
    const struct confine_folder folders[] = {
        { "/proc", CONFINE_READ },
        { place->granted, CONFINE_READ },
        { place->sockets, CONFINE_SOCKETS },
        { gone.text, CONFINE_READ },
    };
    const struct confine_options options = {
        .folders = folders,
        .n_folders = ARRAY_LEN(folders),
        .keep_capabilities = keep_capabilities,
    };
    const char *step = "";

    int r = confine_process(&options, &step);
    if (r != 0) {
        (void) fprintf(stderr, "%s: %s\n", step, strerror(-r));
        _exit(99);
    }
}

void expect(bool holds, const char *what)
{
    if (holds)
        return;
    (void) fprintf(stderr, "%s (%s)\n", what, strerror(errno));
    _exit(98);
}

void expect_error(long result, int error, const char *what)
{
    if (result == -1 && errno == error)
        return;
    (void) fprintf(stderr, "%s: %ld, %s, expected %s\n", what, result,
                   result == -1 ? strerror(errno) : "no error", strerror(error));
    _exit(97);
}

void reset_signals(void)
{
    static const int signals[] = { SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGSYS, SIGABRT };

    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        (void) signal(signals[i], SIG_DFL);
}

int run_confined(const struct place *place, void (*try)(const struct place *place))
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        reset_signals();
        confine_here(place, 0);
        try(place);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}
