/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/store/store.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "proto/channel.h"
#include "proto/frame.h"
#include "supervisor/store/internal.h"

#define READY_TIMEOUT_MS 60000 /* a large folder of an interrupted upload on a slow disk */
#define FREE_TIMEOUT_MS 5000
#define READY_MAX_BYTES 1024
#define OUTPUT_HIGH_BYTES (1U << 20)

enum { STORE_PHASE = 1 };

struct store {
    pid_t pid;
    int pidfd;
    int fd;                  /* the channel's, while there is one */
    struct channel *channel; /* while it is attached */
};

static int fork_store(struct store *store, const int pair[static 2], const char *path,
                      bool landlock_may_be_missing)
{
    pid_t supervisor = getpid();

    store->pid = fork();
    if (store->pid < 0)
        return -errno;
    if (store->pid == 0)
        store_child_run(pair[1], path, landlock_may_be_missing, supervisor);
    store->pidfd = pidfd_open(store->pid, 0);
    if (store->pidfd < 0) {
        int r = -errno;
        (void) kill(store->pid, SIGKILL);
        (void) waitpid(store->pid, NULL, 0);
        return r;
    }
    return 0;
}

static int read_all(int fd, uint8_t *data, size_t size)
{
    for (size_t have = 0; have < size;) {
        struct pollfd wait = { .fd = fd, .events = POLLIN };
        int n_ready = poll(&wait, 1, READY_TIMEOUT_MS);
        if (n_ready == 0)
            return -ETIMEDOUT;
        ssize_t n = n_ready < 0 ? -1 : read(fd, data + have, size - have);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return -errno;
        if (n == 0)
            return -EPIPE;
        have += n > 0 ? (size_t) n : 0;
    }
    return 0;
}

/* Its first frame, and no byte more: what comes later is for the loop. */
static int wait_ready(const struct store *store, const char *path)
{
    uint8_t frame[FRAME_HEADER_BYTES + READY_MAX_BYTES];
    struct arena arena = { 0 };

    int r = read_all(store->fd, frame, FRAME_HEADER_BYTES);
    if (r < 0)
        return log_error_errno(r, "the store for %s does not start", path);
    size_t size = frame[0] | (size_t) frame[1] << 8;
    if (frame[2] || frame[3] || size > READY_MAX_BYTES)
        return -EPROTO;
    r = read_all(store->fd, frame + FRAME_HEADER_BYTES, size);
    if (r == 0)
        r = arena_init(&arena, 64U << 10);
    if (r < 0)
        return log_error_errno(r, "the store for %s does not start", path);
    const Skep__Store__Answer *answer = (const Skep__Store__Answer *) frame_unpack(
        &skep__store__answer__descriptor, frame, FRAME_HEADER_BYTES + size, &arena);
    if (!answer || answer->message_case != SKEP__STORE__ANSWER__MESSAGE_READY) {
        r = -EPROTO;
    } else if (answer->ready->error.len > 0) {
        log_error("state: %.*s", (int) answer->ready->error.len,
                  (const char *) answer->ready->error.data);
        r = -EIO;
    } else {
        if (answer->ready->leftovers > 0)
            log_info("state: %u leftovers of interrupted changes are removed",
                     answer->ready->leftovers);
        if (answer->ready->broken.len > 0)
            log_warning("state: %.*s", (int) answer->ready->broken.len,
                        (const char *) answer->ready->broken.data);
    }
    arena_done(&arena);
    return r;
}

int store_start(const char *path, bool landlock_may_be_missing, struct store **ret_store)
{
    struct store *store = calloc(1, sizeof *store);
    int pair[2];

    if (!store)
        return log_error_errno(-ENOMEM, "cannot start the store");
    store->pidfd = store->fd = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        int error = -errno;
        free(store);
        return log_error_errno(error, "cannot start the store");
    }
    store->fd = pair[0];
    int r = fork_store(store, pair, path, landlock_may_be_missing);
    (void) close(pair[1]);
    if (r < 0) {
        (void) close(pair[0]);
        free(store);
        return log_error_errno(r, "cannot start the store");
    }
    r = wait_ready(store, path);
    if (r == 0)
        r = io_set_nonblocking(store->fd);
    if (r < 0) {
        (void) store_free(store);
        return r;
    }
    *ret_store = store;
    return 0;
}

int store_attach(struct store *store, const struct store_options *options)
{
    const struct channel_options channel = {
        .base = options->base,
        .fd = store->fd,
        .receive = options->receive,
        .phase = STORE_PHASE,
        .owner = options->owner,
        .on_closed = options->on_gone,
        .output_high_bytes = OUTPUT_HIGH_BYTES,
    };

    return channel_new(&channel, &store->channel);
}

int store_send(struct store *store, const ProtobufCMessage *request)
{
    return store && store->channel ? channel_send(store->channel, request) : -EPIPE;
}

bool store_is_congested(const struct store *store)
{
    return store->channel && channel_is_congested(store->channel);
}

void store_detach(struct store *store)
{
    uint64_t until = io_now_ns() + FREE_TIMEOUT_MS * NSEC_PER_MSEC;

    if (!store || !store->channel)
        return;
    for (;;) {
        struct pollfd wait = { .fd = store->fd, .events = POLLOUT };
        uint64_t now = io_now_ns();
        channel_flush(store->channel);
        if (channel_queued_bytes(store->channel) == 0 || now >= until)
            break;
        int r = poll(&wait, 1, (int) ((until - now) / NSEC_PER_MSEC) + 1);
        if ((r < 0 && errno != EINTR) || (r > 0 && (wait.revents & ~POLLOUT) != 0))
            break; /* it has ended */
    }
    store->channel = channel_free(store->channel);
    store->fd = -1;
}

struct store *store_free(struct store *store)
{
    if (!store)
        return NULL;
    if (store->fd >= 0)
        (void) close(store->fd);
    struct pollfd end = { .fd = store->pidfd, .events = POLLIN };
    int r;
    do
        r = poll(&end, 1, FREE_TIMEOUT_MS);
    while (r < 0 && errno == EINTR);
    if (r <= 0)
        (void) pidfd_send_signal(store->pidfd, SIGKILL, NULL, 0);
    while (waitpid(store->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    (void) close(store->pidfd);
    free(store);
    return NULL;
}
