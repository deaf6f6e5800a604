/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/helpers/helper.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/backoff.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "common/process.h"
#include "helper.pb-c.h"
#include "proto/channel.h"
#include "supervisor/helpers/process.h"
#include "supervisor/helpers/spawner.h"

#define READY_TIMEOUT_S \
    60 /* a store takes away a large folder of an interrupted upload on a slow disk */
#define FREE_TIMEOUT_MS 5000
#define OUTPUT_HIGH_BYTES (1U << 20)
#define TICK_S 1
#define STOPPED_SAID 2   /* looks in a row that find it stopped, until that is logged */
#define STOPPED_LOOKS 10 /* likewise, until the process is ended */
#define SILENT_NS (30 * NSEC_PER_SEC)
/* Streams: how long a helper is quiet until it is pinged, and then until that is logged and until it is ended; on a
 * busy host it may wait for a processor or a disk as long as skepd waits for it, unless it has had the CPU time of a loop
 * that hangs. */
#define QUIET_NS (2 * NSEC_PER_SEC)
#define UNANSWERED_SAID_NS (5 * NSEC_PER_SEC)
#define UNANSWERED_NS (15 * NSEC_PER_SEC)
#define UNANSWERED_MOST_NS (60 * NSEC_PER_SEC)
#define HANGS_CPU_NS (5 * NSEC_PER_SEC)
#define STREAM_FREE_TIMEOUT_MS 1000
#define STREAM_FRAMES_PER_TURN 256
#define TEXT_MAX 512

enum phase {
    PHASE_STARTING, /* the spawner was asked for the helper */
    PHASE_GREETING, /* the helper's hello is awaited */
    PHASE_READY,
    PHASE_WAITING, /* waits until the next try */
    PHASE_OVER,    /* never again */
    PHASES,
};

enum event_kind { EVENT_STARTED, EVENT_HELLO, EVENT_LOST, EVENT_TIMER, EVENTS };

/* A request that has no answer yet. */
struct asked {
    STAILQ_ENTRY(asked) entry;
    uint64_t id;
};
STAILQ_HEAD(asked_list, asked);

struct helper {
    struct helper_options options;
    enum phase phase;
    struct helper_process process; /* none: a unit, or the helper is lost */
    struct channel *channel;
    int fd; /* descriptor of the channel */
    struct event *timer, *tick;
    struct asked_list asked; /* the oldest first */
    uint64_t
        progress_ns;   /* time since when requests have had no answer; streams: of the last frame */
    uint64_t n_frames; /* streams: frames that had come by progress_ns */
    uint64_t pinged_ns;     /* streams: when it was pinged after that; 0: it was not */
    uint64_t pinged_cpu_ns; /* streams: CPU time that it had used by then */
    bool is_silent;
    bool was_ready; /* at least once */
    struct backoff backoff;
    const char *why;                     /* reason of the loss; static */
    char *socket, *word;                 /* owned; NULL: a program; it takes no word */
    const struct channel_table *answers; /* borrowed, like the next two; NULL: nobody listens yet */
    const struct helper_ops *ops;
    void *owner;
};

static void handle(struct helper *helper, enum event_kind event);

static void set_timer(struct helper *helper, uint64_t ms)
{
    const struct timeval wait = { .tv_sec = (time_t) (ms / 1000),
                                  .tv_usec = (suseconds_t) (ms % 1000 * 1000) };

    (void) event_add(helper->timer, &wait);
}

static void note(struct helper *helper, enum helper_state state)
{
    helper_note(helper->options.health, helper->options.id, state, helper->why);
}

static void lose(struct helper *helper, const char *why)
{
    helper->why = why;
    handle(helper, EVENT_LOST);
}

/* ---- the hello */

static void log_part(const struct helper *helper, enum log_level level, ProtobufCBinaryData text)
{
    char line[TEXT_MAX];

    if (text.len == 0)
        return;
    (void) log_escape((const char *) text.data, text.len, line, sizeof line);
    log_event(level, LOG_ABOUT(0), "%s: %s", helper->options.name, line);
}

static bool is_name(const struct helper *helper, ProtobufCBinaryData name)
{
    return name.len == strlen(helper->options.name) &&
           memcmp(name.data, helper->options.name, name.len) == 0;
}

static int on_hello(void *owner, const ProtobufCMessage *message)
{
    const Skep__Helper__Hello *hello = (const Skep__Helper__Hello *) message;
    struct helper *helper = owner;

    if (!is_name(helper, hello->name))
        return -EPROTO;
    if (hello->version != helper->options.version) {
        log_error("helper %s speaks version %u of its protocol (skep %.*s), and this skepd version "
                  "%u (skep "
                  "%s): install both from one release",
                  helper->options.name, hello->version, (int) hello->release.len,
                  (const char *) hello->release.data, helper->options.version, SKEP_VERSION);
        return -EPROTONOSUPPORT;
    }
    log_part(helper, LOG_LEVEL_ERROR, hello->error);
    log_part(helper, LOG_LEVEL_WARNING, hello->warning);
    log_part(helper, LOG_LEVEL_INFO, hello->info);
    if (hello->error.len > 0)
        return -ECANCELED;
    handle(helper, EVENT_HELLO);
    return 0;
}

static const struct channel_rule greeting_rules[] = {
    [SKEP__HELPER__GREETING__MESSAGE_HELLO] = { 1, on_hello },
};

static const struct channel_table greeting = {
    .envelope = &skep__helper__greeting__descriptor,
    .case_offset = offsetof(Skep__Helper__Greeting, message_case),
    .value_offset = offsetof(Skep__Helper__Greeting, hello),
    .rules = greeting_rules,
    .n_rules = ARRAY_LEN(greeting_rules),
};

/* ---- answers */

static bool has_streams(const struct helper *helper)
{
    return helper->options.ping != NULL;
}

/* Reads field number 1, which must be a uint64. */
static bool read_id(const ProtobufCMessage *message, uint64_t *ret_id)
{
    const ProtobufCFieldDescriptor *field = message->descriptor->fields;

    if (message->descriptor->n_fields == 0 || field->id != 1 ||
        field->type != PROTOBUF_C_TYPE_UINT64)
        return false;
    memcpy(ret_id, (const char *) message + field->offset, sizeof *ret_id);
    return true;
}

/* Checks an answer: after the hello, anything but an answer to a request is refused. */
static int check_answer(void *owner, unsigned number, const ProtobufCMessage *message)
{
    struct helper *helper = owner;
    struct asked *asked;
    uint64_t id;

    (void) number;
    if (helper->phase == PHASE_GREETING || has_streams(helper))
        return 1;
    if (!read_id(message, &id))
        return -EPROTO;
    STAILQ_FOREACH (asked, &helper->asked, entry)
        if (asked->id == id)
            break;
    if (!asked)
        return -EPROTO;
    STAILQ_REMOVE(&helper->asked, asked, asked, entry);
    free(asked);
    helper->progress_ns = io_now_ns();
    return 1;
}

static void on_closed(void *owner, int error)
{
    struct helper *helper = owner;

    lose(helper, error == -EPROTO            ? "it broke the protocol, and is ended"
                 : error == -EPROTONOSUPPORT ? "it is of another version"
                 : error == -ECANCELED       ? "it cannot start"
                                             : "it died");
}

static void on_drained(void *owner)
{
    const struct helper *helper = owner;

    if (helper->phase == PHASE_READY && helper->ops && helper->ops->on_drained)
        helper->ops->on_drained(helper->owner);
}

/* ---- actions */

static void on_started(void *owner, int error, const char *step,
                       const struct spawner_started *started);

/* Asks the spawner. Without any spawner, nobody can start the helper. */
static void ask_spawner(struct helper *helper)
{
    helper->phase = PHASE_STARTING;
    int r = spawner_start_helper(helper->options.spawner, helper->options.number, helper->word,
                                 on_started, helper);
    if (r == -EPIPE) {
        helper->phase = PHASE_OVER;
        note(helper, HELPER_GONE);
    } else if (r < 0) {
        lose(helper, "it cannot be started");
    }
}

static void greet(struct helper *helper)
{
    const struct channel_options options = {
        .base = helper->options.base,
        .fd = helper->fd,
        .name = "helper: answers",
        .receive = &greeting,
        .tails = helper->options.tails,
        .phase = 1,
        .owner = helper,
        .on_closed = on_closed,
        .may_handle = check_answer,
        .on_drained = on_drained,
        .output_high_bytes = OUTPUT_HIGH_BYTES,
        .frames_per_turn = has_streams(helper) ? STREAM_FRAMES_PER_TURN : 0,
    };

    if (helper->options.socket_bytes > 0)
        (void) setsockopt(helper->fd, SOL_SOCKET, SO_SNDBUF, &helper->options.socket_bytes,
                          sizeof helper->options.socket_bytes);
    helper->phase = PHASE_GREETING;
    set_timer(helper, READY_TIMEOUT_S * 1000);
    if (channel_new(&options, &helper->channel) < 0)
        lose(helper, "skepd is out of memory");
}

static void become_ready(struct helper *helper)
{
    bool is_news = helper->was_ready || has_streams(helper);

    (void) event_del(helper->timer);
    helper->phase = PHASE_READY;
    helper->was_ready = true;
    helper->progress_ns = io_now_ns();
    helper->pinged_ns = 0;
    if (helper->answers)
        channel_set_receiver(helper->channel, helper->answers, helper->owner);
    note(helper, HELPER_OK);
    if (is_news && helper->ops)
        helper->ops->on_ready(helper->owner);
}

static void give_up(struct helper *helper)
{
    lose(helper, "its hello does not come");
}

static void fail_asked(struct helper *helper)
{
    struct asked_list list = STAILQ_HEAD_INITIALIZER(list);
    struct asked *asked;

    STAILQ_CONCAT(&list, &helper->asked);
    while ((asked = STAILQ_FIRST(&list))) {
        STAILQ_REMOVE_HEAD(&list, entry);
        helper->ops->on_failed(helper->owner, asked->id);
        free(asked);
    }
}

/* Starts another one. A helper that stands still is killed: it would wake up later, and make
 * changes durable that nobody waits for any more, perhaps after another skepd has taken over. */
static void start_again(struct helper *helper)
{
    bool had_it = helper->phase == PHASE_READY;
    bool is_tried_again = helper->was_ready || has_streams(helper);

    helper->phase = is_tried_again ? PHASE_WAITING : PHASE_OVER;
    helper->is_silent = false;
    if (helper->channel)
        helper->channel = channel_free(helper->channel);
    else
        fd_cleanup(&helper->fd);
    helper->fd = -1;
    helper_process_drop(&helper->process);
    if (!is_tried_again)
        return;
    backoff_note(&helper->backoff, io_now_ns());
    set_timer(helper, backoff_ms(helper->backoff.failures, (uint32_t) io_now_ns()));
    helper_note_loss(helper->options.health, helper->options.id, HELPER_RESTARTING, helper->why);
    if (had_it && helper->ops) {
        fail_asked(helper);
        helper->ops->on_lost(helper->owner);
    }
}

typedef void (*helper_action_fn)(struct helper *helper);

/* Events that a phase does not have cannot happen in it, or change nothing. */
static const helper_action_fn actions[PHASES][EVENTS] = {
    [PHASE_STARTING] = { [EVENT_STARTED] = greet, [EVENT_LOST] = start_again },
    [PHASE_GREETING] = { [EVENT_HELLO] = become_ready,
                         [EVENT_TIMER] = give_up,
                         [EVENT_LOST] = start_again },
    [PHASE_READY] = { [EVENT_LOST] = start_again },
    [PHASE_WAITING] = { [EVENT_TIMER] = ask_spawner },
};

static void handle(struct helper *helper, enum event_kind event)
{
    helper_action_fn action = actions[helper->phase][event];

    if (action)
        action(helper);
}

/* ---- events */

/* Checks the process that listens on a unit's socket: it must be root's, for a service manager, or
 * one of skepd's own uid. */
static int check_peer(const struct helper *helper, int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return -errno;
    if (peer.uid == 0 || peer.uid == geteuid())
        return 0;
    log_error("helper %s: uid %u listens on its socket, and not root or uid %u",
              helper->options.name, peer.uid, geteuid());
    return -EPERM;
}

static void on_started(void *owner, int error, const char *step,
                       const struct spawner_started *started)
{
    struct helper *helper = owner;

    if (error == 0) {
        helper->fd = started->channel_fd;
        helper->process =
            (struct helper_process){ started->pid, started->pidfd, started->stat_fd, 0 };
        error = started->pid > 0 ? 0 : check_peer(helper, helper->fd);
        step = "SO_PEERCRED";
    }
    if (error == 0) {
        helper_set_remedy(helper->options.health, helper->options.id, NULL);
        handle(helper, EVENT_STARTED);
        return;
    }
    bool is_missing = helper->socket && (error == -ENOENT || error == -ECONNREFUSED);
    helper_set_remedy(helper->options.health, helper->options.id,
                      is_missing ? helper->options.remedy : NULL);
    if (is_missing) {
        log_warning("helper %s: %s %s: %s", helper->options.name, helper->socket,
                    error == -ENOENT ? "is not there" : "has nobody who listens",
                    helper->options.remedy);
        lose(helper, error == -ENOENT ? "its socket is not there" : "nobody listens on its socket");
        return;
    }
    (void) log_warning_errno(error, "helper %s cannot be started (%s)", helper->options.name, step);
    lose(helper, "it cannot be started");
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("helper: timer");

    handle(arg, EVENT_TIMER);
}

/* Returns whether the oldest request has waited for long. A helper that waits for its disk is waited for. */
static bool is_slow(struct helper *helper)
{
    uint64_t now = io_now_ns();

    if (STAILQ_EMPTY(&helper->asked))
        helper->progress_ns = now;
    return now - helper->progress_ns > SILENT_NS;
}

/* Returns whether frames have come since the last look. Those that were not read yet count: skepd itself may have stood
 * still. */
static bool has_frames(struct helper *helper)
{
    struct pollfd input = { .fd = helper->fd, .events = POLLIN };
    uint64_t before = helper->n_frames;

    helper->n_frames = channel_received_frames(helper->channel);
    return helper->n_frames != before || poll(&input, 1, 0) > 0;
}

/* Pings a helper of streams that is quiet. Returns the time for which it has not answered. */
static uint64_t ping(struct helper *helper)
{
    uint64_t now = io_now_ns();

    if (has_frames(helper)) {
        helper->progress_ns = now;
        helper->pinged_ns = 0;
    }
    if (helper->pinged_ns == 0 && now - helper->progress_ns >= QUIET_NS) {
        helper->pinged_ns = now;
        helper->pinged_cpu_ns = process_cpu_ns(helper->process.stat_fd);
        (void) channel_send(helper->channel,
                            helper->options.ping); /* no answer comes if it fails */
    }
    return helper->pinged_ns == 0 ? 0 : now - helper->pinged_ns;
}

/* Returns whether a helper of streams does nothing, or the same for ever. A unit's state is not known. */
static bool stands_still(const struct helper *helper, uint64_t unanswered_ns)
{
    const int stat_fd = helper->process.stat_fd;

    if (unanswered_ns <= UNANSWERED_NS)
        return false;
    return unanswered_ns > UNANSWERED_MOST_NS || !process_is_runnable(stat_fd) ||
           process_cpu_ns(stat_fd) - helper->pinged_cpu_ns > HANGS_CPU_NS;
}

/* Watches the helper. */
static void watch(struct helper *helper)
{
    bool is_stopped = helper_process_is_stopped(&helper->process, STOPPED_SAID);

    if (helper->process.stopped >= STOPPED_LOOKS) {
        lose(helper, "it was stopped by a signal, and is ended");
        return;
    }
    if (helper->phase != PHASE_READY)
        return;
    uint64_t unanswered_ns = has_streams(helper) ? ping(helper) : 0;
    if (stands_still(helper, unanswered_ns)) {
        lose(helper, "it does not answer, and is ended");
        return;
    }
    bool is_silent =
        is_stopped || (has_streams(helper) ? unanswered_ns > UNANSWERED_SAID_NS : is_slow(helper));
    if (is_silent != helper->is_silent) {
        helper->why = is_silent ? "it does not answer" : NULL;
        note(helper, is_silent ? HELPER_SILENT : HELPER_OK);
    }
    helper->is_silent = is_silent;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("helper: tick");

    watch(arg);
}

/* ---- for the helper's user */

int helper_new(const struct helper_options *options, struct helper **ret_helper)
{
    static const struct timeval period = { .tv_sec = TICK_S };
    struct helper *helper = calloc(1, sizeof *helper);

    if (!helper)
        return -ENOMEM;
    helper->options = *options;
    helper->socket = options->socket ? strdup(options->socket) : NULL;
    helper->word = options->word ? strdup(options->word) : NULL;
    helper->process = HELPER_NO_PROCESS;
    helper->fd = -1;
    STAILQ_INIT(&helper->asked);
    helper->timer = evtimer_new(options->base, on_timer, helper);
    helper->tick = event_new(options->base, -1, EV_PERSIST, on_tick, helper);
    if ((options->socket && !helper->socket) || (options->word && !helper->word) ||
        !helper->timer || !helper->tick || event_add(helper->tick, &period) < 0) {
        (void) helper_free(helper);
        return -ENOMEM;
    }
    ask_spawner(helper);
    *ret_helper = helper;
    return 0;
}

int helper_await(struct helper *helper)
{
    while (helper->phase == PHASE_STARTING || helper->phase == PHASE_GREETING)
        if (event_base_loop(helper->options.base, EVLOOP_ONCE) < 0)
            return log_error_errno(-EIO, "the event loop failed");
    if (helper->phase == PHASE_READY)
        return 0;
    log_error("helper %s does not start: %s", helper->options.name,
              helper->why ? helper->why : "there is no spawner");
    return -ECHILD;
}

void helper_listen(struct helper *helper, const struct channel_table *answers,
                   const struct helper_ops *ops, void *owner)
{
    helper->answers = answers;
    helper->ops = ops;
    helper->owner = owner;
    if (helper->phase == PHASE_READY)
        channel_set_receiver(helper->channel, answers, owner);
}

int helper_ask(struct helper *helper, uint64_t id, const ProtobufCMessage *request)
{
    if (!helper_is_ready(helper))
        return -EPIPE;
    _cleanup_free_ struct asked *asked = calloc(1, sizeof *asked);
    int r = asked ? channel_send(helper->channel, request) : -ENOMEM;
    if (r < 0)
        return r;
    asked->id = id;
    STAILQ_INSERT_TAIL(&helper->asked, asked, entry);
    (void) TAKE_PTR(asked);
    return 0;
}

int helper_send_frame(struct helper *helper, const ProtobufCMessage *frame)
{
    return helper_is_ready(helper) ? channel_send(helper->channel, frame) : -EPIPE;
}

int helper_lose(struct helper *helper, const char *why)
{
    lose(helper, why);
    return -EPROTO;
}

bool helper_is_ready(const struct helper *helper)
{
    return helper && helper->phase == PHASE_READY;
}

bool helper_is_congested(const struct helper *helper)
{
    return helper->channel && channel_is_congested(helper->channel);
}

size_t helper_queued_bytes(const struct helper *helper)
{
    return helper->channel ? channel_queued_bytes(helper->channel) : 0;
}

static void flush(const struct helper *helper)
{
    uint64_t until = io_now_ns() + FREE_TIMEOUT_MS * NSEC_PER_MSEC;

    for (;;) {
        struct pollfd wait = { .fd = helper->fd, .events = POLLOUT };
        uint64_t now = io_now_ns();
        channel_flush(helper->channel);
        if (channel_queued_bytes(helper->channel) == 0 || now >= until)
            break;
        int r = poll(&wait, 1, (int) ((until - now) / NSEC_PER_MSEC) + 1);
        if ((r < 0 && errno != EINTR) || (r > 0 && (wait.revents & ~POLLOUT) != 0))
            break; /* the helper has ended */
    }
}

struct helper *helper_free(struct helper *helper)
{
    struct asked *asked;

    if (!helper)
        return NULL;
    spawner_forget(helper->options.spawner, helper);
    bool was_ready = helper->phase == PHASE_READY;
    helper->phase = PHASE_OVER; /* from here on no event has an effect */
    if (was_ready && !has_streams(helper))
        flush(helper);
    helper->channel = channel_free(helper->channel);
    helper_process_end(&helper->process,
                       has_streams(helper) ? STREAM_FREE_TIMEOUT_MS : FREE_TIMEOUT_MS);
    while ((asked = STAILQ_FIRST(&helper->asked))) {
        STAILQ_REMOVE_HEAD(&helper->asked, entry);
        free(asked);
    }
    if (helper->timer)
        event_free(helper->timer);
    if (helper->tick)
        event_free(helper->tick);
    free(helper->socket);
    free(helper->word);
    free(helper);
    return NULL;
}
