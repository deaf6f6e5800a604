/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Helpers of skepd: started as programs, or reached where they are units of their own. The spawner
 * knows from its start which helpers there are, and where: a request has only a number, and for some a
 * word. Spawner
 * process.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/process.h"
#include "config/names.h"
#include "spawner/wire.h"

#define WORD_ARGUMENT_BYTES 128

/* Connects to a unit, without waiting where the unit's backlog is full: -EAGAIN. The descriptor is
 * non-blocking for its receiver. */
static int reach(const char *path, int *ret_fd)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (connect(fd, (const struct sockaddr *) &address, sizeof address) < 0)
        return -errno;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int start_program(const struct spawner_birth *birth, int ret_fds[static SPAWNER_RESULT_FDS],
                         pid_t *ret_pid, enum spawner_step *ret_step)
{
    _cleanup_fd_ int pidfd = -1, stat_fd = -1;

    int r = spawner_exec(birth, ret_pid, &pidfd, ret_step);
    if (r < 0)
        return r;
    r = process_open(*ret_pid, &stat_fd);
    if (r < 0) {
        *ret_step = SPAWNER_STEP_DESCRIPTORS;
        spawner_end_birth(birth, *ret_pid, pidfd);
        return r;
    }
    ret_fds[1] = TAKE_FD(pidfd);
    ret_fds[2] = TAKE_FD(stat_fd);
    return 0;
}

/* Writes the argument that the request's word makes. Returns it, NULL for none, or -EPROTO in *ret_error. */
static const char *word_argument(const struct spawner_helper *helper, const char *word,
                                 char text[static WORD_ARGUMENT_BYTES], int *ret_error)
{
    bool has_word = word[0] != '\0';

    *ret_error = has_word == (helper->word_option != NULL) ? 0 : -EPROTO;
    if (!has_word || *ret_error < 0)
        return NULL;
    int n = strnlen(word, SPAWNER_WORD_MAX + 1) > SPAWNER_WORD_MAX || !name_is_valid(word)
                ? -1
                : snprintf(text, WORD_ARGUMENT_BYTES, "%s%s", helper->word_option, word);
    *ret_error = n < 0 || n >= WORD_ARGUMENT_BYTES ? -EPROTO : 0;
    return text;
}

int spawner_run_helper(const struct spawner_helper *helper, const char *word, int null_fd,
                       layer_set layers, int ret_fds[static SPAWNER_RESULT_FDS], pid_t *ret_pid,
                       enum spawner_step *ret_step)
{
    char text[WORD_ARGUMENT_BYTES];
    int pair[2], error;

    const char *argument = word_argument(helper, word, text, &error);
    if (error < 0) {
        *ret_step = SPAWNER_STEP_REQUEST;
        return error;
    }
    if (helper->program_fd < 0 && !helper->unit_path) {
        *ret_step = SPAWNER_STEP_REQUEST;
        return -ENOENT;
    }
    if (helper->program_fd < 0) {
        *ret_step = SPAWNER_STEP_CONNECT;
        return reach(helper->unit_path, &ret_fds[0]);
    }
    *ret_step = SPAWNER_STEP_DESCRIPTORS;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    _cleanup_fd_ int ours = pair[0], theirs = pair[1];
    const struct spawner_birth birth = {
        .helper = helper->name,
        .arguments = helper->arguments,
        .word = argument,
        .layers = layers,
        .channel_fd = theirs,
        .second_fd = helper->folder_fd,
        .cgroup_fd = -1,
        .program_fd = helper->program_fd,
        .null_fd = null_fd,
    };
    int r = io_set_nonblocking(ours); /* a confined supervisor cannot */
    if (r == 0)
        r = start_program(&birth, ret_fds, ret_pid, ret_step);
    if (r == 0)
        ret_fds[0] = TAKE_FD(ours);
    return r;
}
