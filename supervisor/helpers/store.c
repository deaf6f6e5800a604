/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/helpers/store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "common/process.h"
#include "proto/channel.h"
#include "proto/frame.h"
#include "store.pb-c.h"
#include "store/child.h"

#define READY_TIMEOUT_MS 60000 /* a large folder of an interrupted upload on a slow disk */
#define FREE_TIMEOUT_MS 5000
#define READY_MAX_BYTES 1024
#define OUTPUT_HIGH_BYTES (1U << 20)
#define TICK_S 1
#define STOPPED_SAID 2   /* looks in a row that find it stopped, until that is said */
#define STOPPED_LOOKS 10 /* likewise, until it is ended */
#define SILENT_NS (30 * NSEC_PER_SEC)
#define OWNER_FILE "owner"
#define OWNER_TRIES 40 /* the skepd before, killed, may take a moment to be gone */
#define OWNER_WAIT_NS (50 * NSEC_PER_MSEC)

enum { STORE_PHASE = 1 };

struct store {
    pid_t pid;
    int pidfd;
    int stat_fd;             /* of /proc/PID */
    int owner_fd;            /* locked with flock(2) by the skepd whose state folder it is */
    int fd;                  /* the channel's, while there is one */
    struct channel *channel; /* while it is attached */
    struct store_options options;
    struct event *tick;
    uint64_t asked, answered; /* requests, and of these; each has one answer */
    uint64_t progress_ns;     /* since when nothing was answered that was asked */
    unsigned stopped;         /* looks in a row that have found it so */
    bool is_silent;
};

/* ---- whose folder it is */

static int try_to_own(int fd)
{
    return flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

static int open_owner(const char *path, int *ret_fd)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return log_error_errno(-errno, "state: cannot make %s", path);
    _cleanup_fd_ int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = dir_fd < 0
                 ? -1
                 : openat(dir_fd, OWNER_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return log_error_errno(-errno, "state: cannot write in %s", path);
    *ret_fd = fd;
    return 0;
}

static int own(const struct store_start_options *options, int *ret_fd)
{
    const struct timespec wait = { .tv_nsec = OWNER_WAIT_NS };
    _cleanup_fd_ int fd = -1;

    int r = open_owner(options->path, &fd);
    if (r == 0 && !options->has_predecessor) {
        r = try_to_own(fd);
        for (unsigned i = 0; r == -EWOULDBLOCK && i < OWNER_TRIES; i++) {
            (void) clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, NULL);
            r = try_to_own(fd);
        }
        if (r == -EWOULDBLOCK)
            return log_error_errno(-EBUSY,
                                   "state: %s is in use by another skepd (`fuser %s/" OWNER_FILE
                                   "` names it): each needs a folder of its own; `skep upgrade` "
                                   "replaces a skepd that serves",
                                   options->path, options->path);
        if (r < 0)
            return log_error_errno(r, "state: cannot lock %s/" OWNER_FILE, options->path);
    }
    if (r == 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

int store_owner_fd(const struct store *store)
{
    return store ? store->owner_fd : -1;
}

void store_inherit(struct store *store, int owner_fd)
{
    (void) close(store->owner_fd);
    store->owner_fd = owner_fd;
}

int store_own(const struct store *store)
{
    int r = store ? try_to_own(store->owner_fd) : 0;

    return r < 0 ? log_error_errno(r, "state: the folder of the skepd before this one cannot be "
                                      "locked: is another skepd using it?")
                 : 0;
}

/* ---- start */

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
    int r = store->pidfd < 0 ? -errno : process_open(store->pid, &store->stat_fd);
    if (r < 0) {
        (void) kill(store->pid, SIGKILL);
        (void) waitpid(store->pid, NULL, 0);
    }
    return r;
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

static void close_all(struct store *store)
{
    const int fds[] = { store->pidfd, store->stat_fd, store->owner_fd };

    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        if (fds[i] >= 0)
            (void) close(fds[i]);
}

static int start(struct store *store, const struct store_start_options *options)
{
    int pair[2];

    int r = own(options, &store->owner_fd);
    if (r < 0)
        return r;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return log_error_errno(-errno, "cannot start the store");
    store->fd = pair[0];
    r = fork_store(store, pair, options->path, options->landlock_may_be_missing);
    (void) close(pair[1]);
    if (r < 0) {
        (void) close(store->fd);
        return log_error_errno(r, "cannot start the store");
    }
    return 0;
}

int store_start(const struct store_start_options *options, struct store **ret_store)
{
    struct store *store = calloc(1, sizeof *store);

    if (!store)
        return log_error_errno(-ENOMEM, "cannot start the store");
    store->pidfd = store->stat_fd = store->owner_fd = store->fd = -1;
    int r = start(store, options);
    if (r < 0) {
        close_all(store);
        free(store);
        return r;
    }
    r = wait_ready(store, options->path);
    if (r == 0)
        r = io_set_nonblocking(store->fd);
    if (r < 0) {
        (void) store_free(store);
        return r;
    }
    *ret_store = store;
    return 0;
}

/* ---- whether it is well */

static void note_silence(struct store *store, uint64_t now)
{
    uint64_t answered = channel_received_frames(store->channel);

    if (answered != store->answered || store->asked <= answered)
        store->progress_ns = now;
    store->answered = answered;
    bool is_silent = store->stopped >= STOPPED_SAID || now - store->progress_ns > SILENT_NS;
    if (is_silent != store->is_silent)
        store->options.on_silent(store->options.owner, is_silent);
    store->is_silent = is_silent;
}

/* One that stands still is ended: it would wake up later, and make durable what nobody waits for any more,
 * perhaps after another skepd has taken over. One that waits for its disk is waited for. */
static void watch(struct store *store)
{
    store->stopped = process_state(store->stat_fd) == PROCESS_STOPPED ? store->stopped + 1 : 0;
    if (store->stopped >= STOPPED_LOOKS) {
        (void) pidfd_send_signal(store->pidfd, SIGKILL, NULL, 0);
        (void) event_del(store->tick);
        store->options.on_gone(store->options.owner, -ETIMEDOUT);
        return;
    }
    note_silence(store, io_now_ns());
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    LOOP_CALLBACK("store: tick");

    (void) fd;
    (void) what;
    watch(arg);
}

int store_attach(struct store *store, const struct store_options *options)
{
    static const struct timeval period = { .tv_sec = TICK_S };
    const struct channel_options channel = {
        .base = options->base,
        .fd = store->fd,
        .name = "store: answers",
        .receive = options->receive,
        .phase = STORE_PHASE,
        .owner = options->owner,
        .on_closed = options->on_gone,
        .output_high_bytes = OUTPUT_HIGH_BYTES,
    };

    store->options = *options;
    store->progress_ns = io_now_ns();
    store->tick = event_new(options->base, -1, EV_PERSIST, on_tick, store);
    if (!store->tick || event_add(store->tick, &period) < 0)
        return -ENOMEM;
    return channel_new(&channel, &store->channel);
}

int store_send(struct store *store, const ProtobufCMessage *request)
{
    int r = store && store->channel ? channel_send(store->channel, request) : -EPIPE;

    if (r == 0)
        store->asked++;
    return r;
}

bool store_is_congested(const struct store *store)
{
    return store->channel && channel_is_congested(store->channel);
}

void store_detach(struct store *store)
{
    uint64_t until = io_now_ns() + FREE_TIMEOUT_MS * NSEC_PER_MSEC;

    if (store && store->tick)
        event_free(TAKE_PTR(store->tick));
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
    close_all(store);
    free(store);
    return NULL;
}
