/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/service/upgrade.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "supervisor/helpers/data.h"
#include "supervisor/helpers/spawner.h"
#include "supervisor/helpers/store.h"
#include "supervisor/host/cgroup.h"
#include "supervisor/host/notify.h"
#include "supervisor/host/sockets.h"
#include "supervisor/record/failure.h"
#include "supervisor/record/life.h"
#include "supervisor/service/handover.h"

#define READY_TIMEOUT_S 30  /* from the start of the other skepd to its "ready" */
#define SERVING_TIMEOUT_S 5 /* from "main" to its "serving" */
#define EXIT_TIMEOUT_S 5    /* for the other skepd to end, by itself or killed */

#define TEXT_OF(number) TEXT_OF_TOKEN(number)
#define TEXT_OF_TOKEN(token) #token

struct upgrade {
    struct upgrade_options with;
    enum upgrade_state state;
    int fd; /* our end of the hand-over */
    struct event *event;
    struct event *timer;
    pid_t pid; /* 0: not known yet */
    int pidfd;
    int wait_status; /* wait status of the other skepd, at its end */
    char version[64];
    struct failure failure; /* the first one of this upgrade */
};

static void set_state(struct upgrade *upgrade, enum upgrade_state state)
{
    upgrade->state = state;
    upgrade->with.life->is_handing_over = state != UPGRADE_NONE;
}

static void set_timer(struct upgrade *upgrade, time_t seconds)
{
    const struct timeval wait = { .tv_sec = seconds };

    (void) event_add(upgrade->timer, &wait);
}

static void forget(struct upgrade *upgrade)
{
    notify_cancel_barrier(upgrade->with.notify);
    (void) event_del(upgrade->timer);
    if (upgrade->event)
        event_free(TAKE_PTR(upgrade->event));
    if (upgrade->fd >= 0)
        (void) close(TAKE_FD(upgrade->fd));
    if (upgrade->pidfd >= 0)
        (void) close(TAKE_FD(upgrade->pidfd));
    upgrade->pid = 0;
    set_state(upgrade, UPGRADE_NONE);
}

static void tell(struct upgrade *upgrade)
{
    const struct upgrade_result result = {
        .failure = upgrade->failure.code < 0 ? &upgrade->failure : NULL,
        .version = upgrade->version,
        .pid = upgrade->pid,
    };

    upgrade->with.ops->on_end(upgrade->with.owner, &result);
}

/* ---- actions. text: the other skepd's message, or the reason in few words, for the operator */

typedef void (*upgrade_action_fn)(struct upgrade *upgrade, const char *text);

struct upgrade_action {
    const char *name;
    upgrade_action_fn run;
};

static void dispatch(struct upgrade *upgrade, enum upgrade_event event, const char *text);

/* Notes the reason, if it is the first one. */
static void note_failure(struct upgrade *upgrade, const char *why)
{
    if (upgrade->failure.code == 0)
        (void) failure_set(&upgrade->failure, -ECANCELED, "%s",
                           why && why[0] ? why : "the new skepd does not say why");
}

static void send_kill(const struct upgrade *upgrade)
{
    if (upgrade->pidfd >= 0)
        (void) pidfd_send_signal(upgrade->pidfd, SIGKILL, NULL, 0);
}

static void await_end(struct upgrade *upgrade, const char *why)
{
    note_failure(upgrade, why);
    set_state(upgrade, UPGRADE_FAILING);
    set_timer(upgrade, EXIT_TIMEOUT_S);
}

static void kill_other(struct upgrade *upgrade, const char *why)
{
    note_failure(upgrade, why);
    set_state(upgrade, UPGRADE_KILLED);
    send_kill(upgrade);
    set_timer(upgrade, EXIT_TIMEOUT_S);
}

/* Kills a skepd whose start the spawner reports after the kill was decided. */
static void kill_late(struct upgrade *upgrade, const char *text)
{
    (void) text;
    send_kill(upgrade);
}

/* Ends a failed upgrade after the end of the other skepd, whose cgroups nobody uses now. */
static void conclude(struct upgrade *upgrade, const char *why)
{
    note_failure(upgrade, why);
    failure_log_event(&upgrade->failure, LOG_LEVEL_ERROR, NULL,
                      "upgrade failed, this skepd serves on");
    data_share(upgrade->with.data, false);
    tell(upgrade);
    forget(upgrade);
    cgroup_collect(upgrade->with.cgroups);
}

/* Takes the service back from a skepd that sent "serving" and died before systemd knew it, or just then. systemd does not
 * take a dead process as the main one. If it has taken the living one, it does not listen to this
 * one any more, and only the watchdog and Restart= are lost then. */
static void take_back(const struct upgrade_options *with)
{
    notify_cancel_barrier(with->notify);
    notify_main_pid(with->notify, getpid());
    with->ops->hold(with->owner, false);
}

static void take_back_and_await_end(struct upgrade *upgrade, const char *why)
{
    take_back(&upgrade->with);
    await_end(upgrade, why);
}

static void take_back_and_kill(struct upgrade *upgrade, const char *why)
{
    take_back(&upgrade->with);
    kill_other(upgrade, why);
}

static void take_back_and_conclude(struct upgrade *upgrade, const char *why)
{
    take_back(&upgrade->with);
    conclude(upgrade, why);
}

static void listen_to_other(struct upgrade *upgrade, const char *text)
{
    (void) text;
    log_info("upgrade: the new skepd is pid %d", (int) upgrade->pid);
    if (event_add(upgrade->event, NULL) < 0)
        kill_other(upgrade, "skepd is out of memory");
}

static void hand_over(struct upgrade *upgrade, const char *version)
{
    const struct upgrade_options *with = &upgrade->with;
    char text[HANDOVER_MAX_BYTES];

    (void) snprintf(upgrade->version, sizeof upgrade->version, "%s", version);
    (void) snprintf(text, sizeof text, HANDOVER_MAIN " cgroups=%d files=%" PRIx64,
                    cgroup_is_to_undo(with->cgroups), sockets_files(with->sockets));
    set_state(upgrade, UPGRADE_HANDING_OVER);
    data_share(with->data, true);
    set_timer(upgrade, SERVING_TIMEOUT_S);
    if (handover_send_with(upgrade->fd, text, store_owner_fd(with->store)) < 0)
        dispatch(upgrade, UPGRADE_ON_LOST, "the new skepd was ready, and is gone");
}

/* Goes on once systemd knows that the other skepd is the main process, before that one tells it
 * anything. */
static void on_main_pid_known(void *arg, int error)
{
    if (error < 0)
        (void) log_warning_errno(error,
                                 "the service manager does not say that it knows the new pid");
    dispatch(arg, UPGRADE_ON_KNOWN, NULL);
}

/* Names the other skepd to systemd only when it serves: from then on systemd does not listen to this one, which could not
 * take the service back. */
static void notify_manager(struct upgrade *upgrade, const char *text)
{
    const struct upgrade_options *with = &upgrade->with;

    (void) text;
    (void) event_del(upgrade->timer);
    set_state(upgrade, UPGRADE_NOTIFYING);
    with->ops->hold(with->owner, true);
    notify_main_pid(with->notify, upgrade->pid);
    notify_barrier(with->notify, on_main_pid_known, upgrade);
}

static void succeed(struct upgrade *upgrade, const char *text)
{
    (void) text;
    if (handover_send(upgrade->fd, HANDOVER_KNOWN) < 0) {
        dispatch(upgrade, UPGRADE_ON_LOST, "the new skepd served, and is gone");
        return;
    }
    set_state(upgrade, UPGRADE_DONE);
    (void) event_del(upgrade->timer);
    if (upgrade->event) /* closing our end tells the other skepd that this one is gone */
        event_free(TAKE_PTR(upgrade->event));
    log_info("skepd %s (pid %d) serves in place of this one (%s)", upgrade->version,
             (int) upgrade->pid, SKEP_VERSION);
    tell(upgrade);
    upgrade->with.ops->on_replaced(upgrade->with.owner);
}

/* Notes that the other skepd has died after it took the service. This one has closed its sockets, and can only end, once
 * its own requests are answered, so that the manager starts skepd anew. */
static void note_lost_service(struct upgrade *upgrade, const char *text)
{
    int status = upgrade->wait_status;

    (void) text;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return; /* the other skepd was told to stop */
    log_error("the skepd that serves in place of this one has ended (%s %d): nobody serves now",
              WIFSIGNALED(status) ? "signal" : "status",
              WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    upgrade->with.life->has_failed = true;
}

/* ---- the table */

/* clang-format off */
#define ACTION(fn) { .name = #fn, .run = fn }
/* clang-format on */
static const struct upgrade_action actions[UPGRADE_STATES][UPGRADE_EVENTS] = {
    [UPGRADE_STARTING] = {
        [UPGRADE_ON_STARTED] = ACTION(listen_to_other),
        [UPGRADE_ON_NOT_STARTED] = ACTION(conclude),
        [UPGRADE_ON_READY] = ACTION(hand_over),
        [UPGRADE_ON_FAILED] = ACTION(await_end),
        [UPGRADE_ON_EXITED] = ACTION(conclude),
        [UPGRADE_ON_TIMEOUT] = ACTION(kill_other),
        [UPGRADE_ON_CANCEL] = ACTION(kill_other),
    },
    [UPGRADE_HANDING_OVER] = {
        [UPGRADE_ON_SERVING] = ACTION(notify_manager),
        [UPGRADE_ON_FAILED] = ACTION(await_end),
        [UPGRADE_ON_LOST] = ACTION(await_end),
        [UPGRADE_ON_EXITED] = ACTION(conclude),
        [UPGRADE_ON_TIMEOUT] = ACTION(kill_other),
        [UPGRADE_ON_CANCEL] = ACTION(kill_other),
    },
    [UPGRADE_NOTIFYING] = { /* without a timeout: the barrier has a time of its own */
        [UPGRADE_ON_KNOWN] = ACTION(succeed),
        [UPGRADE_ON_FAILED] = ACTION(take_back_and_await_end),
        [UPGRADE_ON_LOST] = ACTION(take_back_and_await_end),
        [UPGRADE_ON_EXITED] = ACTION(take_back_and_conclude),
        [UPGRADE_ON_CANCEL] = ACTION(take_back_and_kill),
    },
    [UPGRADE_FAILING] = {
        [UPGRADE_ON_EXITED] = ACTION(conclude),
        [UPGRADE_ON_TIMEOUT] = ACTION(kill_other),
        [UPGRADE_ON_CANCEL] = ACTION(kill_other),
    },
    [UPGRADE_KILLED] = {
        [UPGRADE_ON_STARTED] = ACTION(kill_late),
        [UPGRADE_ON_NOT_STARTED] = ACTION(conclude),
        [UPGRADE_ON_EXITED] = ACTION(conclude),
        [UPGRADE_ON_TIMEOUT] = ACTION(conclude), /* the spawner does not report its end */
    },
    [UPGRADE_DONE] = {
        [UPGRADE_ON_EXITED] = ACTION(note_lost_service),
    },
};

const char *upgrade_action_name(enum upgrade_state state, enum upgrade_event event)
{
    return actions[state][event].name;
}

/* Runs the action of the event. The upgrade may be over afterwards. */
static void dispatch(struct upgrade *upgrade, enum upgrade_event event, const char *text)
{
    upgrade_action_fn run = actions[upgrade->state][event].run;

    if (run)
        run(upgrade, text);
}

/* ---- messages of the other skepd */

static const struct {
    const char *word;
    enum upgrade_event event;
} words[] = {
    { HANDOVER_READY, UPGRADE_ON_READY },
    { HANDOVER_SERVING, UPGRADE_ON_SERVING },
    { HANDOVER_FAILED, UPGRADE_ON_FAILED },
};

static void on_message(struct upgrade *upgrade, const char *text)
{
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (handover_is(text, words[i].word)) {
            dispatch(upgrade, words[i].event, handover_rest(text));
            return;
        }
}

/* Reads one message for each call. */
static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("upgrade: other side");

    char text[HANDOVER_MAX_BYTES];
    struct upgrade *upgrade = arg;

    _cleanup_fd_ int passed = -1; /* no descriptor is expected */
    int r = handover_receive(upgrade->fd, text, sizeof text, &passed);
    if (r == 0)
        on_message(upgrade, text);
    else if (r != -EAGAIN) /* the spawner reports how it has ended */
        event_free(TAKE_PTR(upgrade->event));
}

/* Reads the last messages of the other skepd, whose end may be known before they were read. */
static void read_last_words(struct upgrade *upgrade)
{
    char text[HANDOVER_MAX_BYTES];
    int passed = -1;

    while (handover_receive(upgrade->fd, text, sizeof text, &passed) == 0) {
        fd_cleanup(&passed); /* no descriptor is expected */
        if (handover_is(text, HANDOVER_FAILED))
            dispatch(upgrade, UPGRADE_ON_FAILED, handover_rest(text));
    }
}

/* Texts of a timeout, by the state. */
static const char *const overdue[UPGRADE_STATES] = {
    [UPGRADE_STARTING] = "the new skepd was not ready within " TEXT_OF(READY_TIMEOUT_S) " s",
    [UPGRADE_HANDING_OVER] = "the new skepd was ready, but did not take the service over",
};

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("upgrade: timer");

    const struct upgrade *upgrade = arg;
    dispatch(arg, UPGRADE_ON_TIMEOUT, overdue[upgrade->state]);
}

/* ---- reports of the spawner */

static void on_successor(void *owner, int error, pid_t pid, int pidfd)
{
    struct upgrade *upgrade = owner;
    _cleanup_fd_ int owned = pidfd;
    char why[128];

    if (upgrade->state == UPGRADE_NONE)
        return;
    if (error < 0) {
        (void) snprintf(why, sizeof why, "the spawner cannot start the new skepd: %s",
                        strerrordesc_np(-error));
        dispatch(upgrade, UPGRADE_ON_NOT_STARTED, why);
        return;
    }
    upgrade->pid = pid;
    upgrade->pidfd = TAKE_FD(owned);
    dispatch(upgrade, UPGRADE_ON_STARTED, NULL);
}

static void on_successor_exited(void *owner, pid_t pid, int wait_status)
{
    struct upgrade *upgrade = owner;
    char why[128];

    if (upgrade->state == UPGRADE_NONE || pid != upgrade->pid)
        return;
    upgrade->wait_status = wait_status;
    read_last_words(upgrade);
    if (WIFSIGNALED(wait_status))
        (void) snprintf(why, sizeof why, "the new skepd was killed by signal %d (%s)",
                        WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
    else
        (void) snprintf(why, sizeof why, "the new skepd ended with status %d; the log may say why",
                        WEXITSTATUS(wait_status));
    dispatch(upgrade, UPGRADE_ON_EXITED, why);
}

static const struct successor_ops successor_ops = {
    .on_successor = on_successor,
    .on_successor_exited = on_successor_exited,
};

/* ---- starting */

/* Makes the hand-over's sockets. *ret_fd: the other skepd's end. */
static int open_handover(struct upgrade *upgrade, int *ret_fd)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    upgrade->fd = pair[0];
    *ret_fd = pair[1];
    upgrade->event =
        event_new(upgrade->with.base, upgrade->fd, EV_READ | EV_PERSIST, on_readable, upgrade);
    return upgrade->event ? 0 : -ENOMEM;
}

void upgrade_cancel(struct upgrade *upgrade)
{
    dispatch(upgrade, UPGRADE_ON_CANCEL, "skepd was told to stop meanwhile");
}

int upgrade_start(struct upgrade *upgrade, struct failure *failure)
{
    const struct upgrade_options *with = &upgrade->with;
    enum socket_kind kinds[SOCKETS_MAX];
    int fds[SOCKETS_MAX];
    _cleanup_fd_ int theirs = -1;

    int r = with->ops->check(with->owner, failure);
    if (r < 0)
        return r;
    failure_done(&upgrade->failure);
    upgrade->version[0] = '\0';
    r = open_handover(upgrade, &theirs);
    if (r == 0) {
        const struct spawner_upgrade_job job = {
            .ops = &successor_ops,
            .owner = upgrade,
            .handover_fd = theirs,
            .socket_fds = fds,
            .socket_kinds = kinds,
            .n_sockets = sockets_list(with->sockets, fds, kinds),
        };
        r = spawner_upgrade(with->spawner, &job);
    }
    if (r < 0) {
        forget(upgrade);
        return failure_set(failure, r, "skepd cannot start another one: %s", strerrordesc_np(-r));
    }
    set_state(upgrade, UPGRADE_STARTING);
    set_timer(upgrade, READY_TIMEOUT_S);
    return 0;
}

bool upgrade_is_under_way(const struct upgrade *upgrade)
{
    return upgrade->state != UPGRADE_NONE;
}

int upgrade_new(const struct upgrade_options *options, struct upgrade **ret_upgrade)
{
    struct upgrade *upgrade = calloc(1, sizeof *upgrade);

    if (!upgrade)
        return -ENOMEM;
    upgrade->with = *options;
    upgrade->fd = upgrade->pidfd = -1;
    upgrade->timer = evtimer_new(options->base, on_timer, upgrade);
    if (!upgrade->timer)
        return (free(upgrade), -ENOMEM);
    *ret_upgrade = upgrade;
    return 0;
}

struct upgrade *upgrade_free(struct upgrade *upgrade)
{
    if (!upgrade)
        return NULL;
    if (upgrade->state != UPGRADE_NONE && upgrade->state != UPGRADE_DONE)
        send_kill(upgrade);
    forget(upgrade);
    event_free(upgrade->timer);
    failure_done(&upgrade->failure);
    free(upgrade);
    return NULL;
}
