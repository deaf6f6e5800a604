/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/service/heir.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "spawner/origin.h"
#include "supervisor/helpers/data.h"
#include "supervisor/helpers/store.h"
#include "supervisor/host/cgroup.h"
#include "supervisor/host/sockets.h"
#include "supervisor/record/life.h"
#include "supervisor/service/handover.h"

#define COLLECT_AGAIN_S 1

struct heir {
    int fd;
    enum heir_state state;
    bool has_failed;
    struct event *event;
    struct event *collect;    /* event that looks at the other skepd's cgroups again */
    struct heir_options with; /* from heir_attach on */
};

int heir_new(struct heir **ret_heir)
{
    const char *text = getenv(ORIGIN_UPGRADE_FD);
    char *end = NULL;

    *ret_heir = NULL;
    if (!text)
        return 0;
    long fd = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || fd < 3 || fd > 65535)
        return -EINVAL;
    if (fcntl((int) fd, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    int r = io_set_nonblocking((int) fd);
    if (r < 0)
        return r;
    struct heir *heir = calloc(1, sizeof *heir);
    if (!heir)
        return -ENOMEM;
    heir->fd = (int) fd;
    *ret_heir = heir;
    return 0;
}

struct heir *heir_free(struct heir *heir)
{
    if (!heir)
        return NULL;
    if (heir->event)
        event_free(heir->event);
    if (heir->collect)
        event_free(heir->collect);
    if (heir->fd >= 0)
        (void) close(heir->fd);
    free(heir);
    return NULL;
}

bool heir_is_waiting(const struct heir *heir)
{
    return heir && heir->state < HEIR_SERVING;
}

bool heir_is_unknown(const struct heir *heir)
{
    return heir && heir->state < HEIR_KNOWN;
}

bool heir_has_predecessor(const struct heir *heir)
{
    return heir && heir->state < HEIR_ALONE;
}

void heir_say_failed(struct heir *heir, const char *text)
{
    char message[HANDOVER_MAX_BYTES];

    if (!heir_is_waiting(heir) || heir->has_failed)
        return;
    heir->has_failed = true; /* the first reason counts */
    (void) snprintf(message, sizeof message, HANDOVER_FAILED " %s", text);
    (void) handover_send(heir->fd, message);
}

/* ---- actions. text: the other skepd's message; passed: the descriptor that came with it, which an
 * action may take */

typedef void (*heir_action_fn)(struct heir *heir, const char *text, int *passed);

struct heir_action {
    const char *name;
    heir_action_fn run;
};

static void say_ready(struct heir *heir, const char *text, int *passed)
{
    (void) text;
    (void) passed;
    heir->state = HEIR_READY;
    (void) handover_send(heir->fd, HANDOVER_READY " " SKEP_VERSION);
    log_info("ready to take over");
}

static void become_main(struct heir *heir, const char *text, int *passed)
{
    const struct heir_options *with = &heir->with;
    unsigned undoes_cgroups = 0;
    uint64_t files = 0;

    if (sscanf(text, "cgroups=%u files=%" SCNx64, &undoes_cgroups, &files) < 2)
        log_warning("what the skepd before this one leaves cannot be read: \"%s\"", text);
    heir->state = HEIR_SERVING;
    if (*passed >= 0 && with->store)
        store_inherit(with->store, TAKE_FD(*passed));
    cgroup_set_to_undo(with->cgroups, undoes_cgroups != 0);
    sockets_inherit_files(with->sockets, files);
    with->ops->on_main(with->owner);
    (void) handover_send(heir->fd, HANDOVER_SERVING);
}

static void become_known(struct heir *heir, const char *text, int *passed)
{
    (void) text;
    (void) passed;
    heir->state = HEIR_KNOWN;
    heir->with.ops->on_known(heir->with.owner);
}

/* Collects what the other skepd has left, as a rule nothing. Processes of it may be dying still. */
static void collect(struct heir *heir)
{
    static const struct timeval later = { .tv_sec = COLLECT_AGAIN_S };

    cgroup_collect(heir->with.cgroups);
    (void) event_add(heir->collect, &later);
}

static void on_collect(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("heir: collect");
    const struct heir *heir = arg;

    cgroup_collect(heir->with.cgroups);
}

static void close_handover(struct heir *heir)
{
    event_free(TAKE_PTR(heir->event));
    (void) close(TAKE_FD(heir->fd));
    heir->state = HEIR_ALONE;
}

static void stand_alone(struct heir *heir, const char *text, int *passed)
{
    (void) text;
    (void) passed;
    close_handover(heir);
    log_info("the skepd before this one has ended");
    collect(heir);
    data_share(heir->with.data, false);
    (void) store_own(heir->with.store); /* a skepd that handed no lock over had none */
}

/* Does the same before systemd knows this process: it ignores this process's messages until it was
 * told of it. */
static void stand_alone_unknown(struct heir *heir, const char *text, int *passed)
{
    stand_alone(heir, text, passed);
    heir->with.ops->on_known(heir->with.owner);
}

/* Ends: no client and no manager knows this skepd. */
static void end_too(struct heir *heir, const char *text, int *passed)
{
    (void) text;
    (void) passed;
    close_handover(heir);
    log_error("the skepd that this one was to replace has gone before it handed over; ending");
    heir->with.life->has_failed = true;
    (void) event_base_loopbreak(heir->with.base);
}

/* ---- the table */

/* clang-format off */
#define ACTION(fn) { .name = #fn, .run = fn }
/* clang-format on */
static const struct heir_action actions[HEIR_STATES][HEIR_EVENTS] = {
    [HEIR_STARTING] = {
        [HEIR_ON_READY] = ACTION(say_ready),
        [HEIR_ON_END] = ACTION(end_too),
    },
    [HEIR_READY] = {
        [HEIR_ON_MAIN] = ACTION(become_main),
        [HEIR_ON_END] = ACTION(end_too),
    },
    [HEIR_SERVING] = {
        [HEIR_ON_KNOWN] = ACTION(become_known),
        [HEIR_ON_END] = ACTION(stand_alone_unknown),
    },
    [HEIR_KNOWN] = {
        [HEIR_ON_END] = ACTION(stand_alone),
    },
};

const char *heir_action_name(enum heir_state state, enum heir_event event)
{
    return actions[state][event].name;
}

static void dispatch(struct heir *heir, enum heir_event event, const char *text, int *passed)
{
    heir_action_fn run = actions[heir->state][event].run;

    if (run)
        run(heir, text, passed);
}

/* ---- events */

void heir_say_ready(struct heir *heir)
{
    if (heir)
        dispatch(heir, HEIR_ON_READY, "", NULL);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("heir: other side");

    char text[HANDOVER_MAX_BYTES];
    struct heir *heir = arg;

    _cleanup_fd_ int passed = -1;
    int r = handover_receive(heir->fd, text, sizeof text, &passed);
    if (r == -EAGAIN)
        return;
    if (r < 0)
        dispatch(heir, HEIR_ON_END, "", NULL);
    else if (handover_is(text, HANDOVER_MAIN))
        dispatch(heir, HEIR_ON_MAIN, handover_rest(text), &passed);
    else if (handover_is(text, HANDOVER_KNOWN))
        dispatch(heir, HEIR_ON_KNOWN, "", NULL);
}

int heir_attach(struct heir *heir, const struct heir_options *options)
{
    if (!heir)
        return 0;
    heir->with = *options;
    heir->event = event_new(options->base, heir->fd, EV_READ | EV_PERSIST, on_readable, heir);
    heir->collect = evtimer_new(options->base, on_collect, heir);
    if (!heir->event || !heir->collect)
        return -ENOMEM;
    return event_add(heir->event, NULL) < 0 ? -ENOMEM : 0;
}
