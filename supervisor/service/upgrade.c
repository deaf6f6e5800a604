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
#include "supervisor/helpers/spawner.h"
#include "supervisor/helpers/store.h"
#include "supervisor/host/cgroup.h"
#include "supervisor/host/notify.h"
#include "supervisor/host/sockets.h"
#include "supervisor/record/life.h"
#include "supervisor/service/handover.h"

#define READY_TIMEOUT_S 30  /* from the start of the other one to its "ready" */
#define SERVING_TIMEOUT_S 5 /* from "main" to its "serving" */
#define EXIT_TIMEOUT_S 5    /* for the other one to end, by itself or killed */

enum upgrade_state {
    UPGRADE_NONE,
    UPGRADE_STARTING,     /* the other one gets ready */
    UPGRADE_HANDING_OVER, /* "main" is sent */
    UPGRADE_NOTIFYING,    /* it serves; systemd is told which process is the main one */
    UPGRADE_FAILING,      /* the other one is to end */
    UPGRADE_DONE,         /* it serves, and this one drains */
};

struct upgrade {
    struct upgrade_options with;
    enum upgrade_state state;
    int fd; /* our end of the hand-over */
    struct event *event;
    struct event *timer;
    pid_t pid; /* 0: not known yet */
    int pidfd;
    bool is_killed;
    char version[64];
    char failure[HANDOVER_MAX_BYTES];
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

/* ---- how it ends */

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
    upgrade->is_killed = false;
    set_state(upgrade, UPGRADE_NONE);
}

static void tell(struct upgrade *upgrade)
{
    bool has_failed = upgrade->failure[0] != '\0';
    const struct upgrade_result result = {
        .failure = has_failed ? upgrade->failure : NULL,
        .version = upgrade->version,
        .pid = upgrade->pid,
    };

    upgrade->with.ops->on_end(upgrade->with.owner, &result);
}

/* The other one is gone. What it left of its cgroups is nobody's now. */
static void conclude_failure(struct upgrade *upgrade)
{
    log_error("upgrade failed: %s; this skepd serves on", upgrade->failure);
    tell(upgrade);
    forget(upgrade);
    cgroup_collect(upgrade->with.cgroups);
}

static void kill_other(struct upgrade *upgrade)
{
    upgrade->is_killed = true;
    if (upgrade->pidfd >= 0)
        (void) pidfd_send_signal(upgrade->pidfd, SIGKILL, NULL, 0);
}

/* From one that has said "serving" and went before systemd knew it, or just then. systemd does not take a dead
 * process as the main one; if it has taken it alive, it does not listen to this one any more, and all
 * that is lost is what a watchdog or Restart= would do then. */
static void take_back(const struct upgrade_options *with)
{
    notify_cancel_barrier(with->notify);
    notify_main_pid(with->notify, getpid());
    with->ops->hold(with->owner, false);
}

/* The first reason counts. It may end by itself; if not, it is made to. */
static void give_up(struct upgrade *upgrade, const char *why, bool may_end_by_itself)
{
    if (upgrade->state == UPGRADE_NONE || upgrade->state == UPGRADE_DONE)
        return;
    if (upgrade->failure[0] == '\0')
        (void) snprintf(upgrade->failure, sizeof upgrade->failure, "%s", why);
    if (upgrade->state == UPGRADE_NOTIFYING)
        take_back(&upgrade->with);
    set_state(upgrade, UPGRADE_FAILING);
    if (!may_end_by_itself)
        kill_other(upgrade);
    set_timer(upgrade, EXIT_TIMEOUT_S);
}

static void on_timeout(struct upgrade *upgrade)
{
    char why[128];

    switch (upgrade->state) {
    case UPGRADE_STARTING:
        (void) snprintf(why, sizeof why, "the new skepd was not ready within %d s",
                        READY_TIMEOUT_S);
        give_up(upgrade, why, false);
        break;
    case UPGRADE_HANDING_OVER:
        give_up(upgrade, "the new skepd was ready, but did not take the service over", false);
        break;
    case UPGRADE_FAILING:
        if (upgrade->is_killed) { /* the spawner does not tell its end */
            conclude_failure(upgrade);
            break;
        }
        kill_other(upgrade);
        set_timer(upgrade, EXIT_TIMEOUT_S);
        break;
    case UPGRADE_NONE:
    case UPGRADE_NOTIFYING: /* the barrier has a time of its own */
    case UPGRADE_DONE:
        break;
    }
}

/* Its end may be known before what it had said is read. */
static void read_last_words(struct upgrade *upgrade)
{
    char text[HANDOVER_MAX_BYTES];
    int passed = -1;

    while (handover_receive(upgrade->fd, text, sizeof text, &passed) == 0) {
        fd_cleanup(&passed); /* none is expected */
        if (handover_is(text, HANDOVER_FAILED))
            give_up(upgrade, handover_rest(text), true);
    }
}

/* The other one had the service. This one has closed its sockets, and can only end so that the manager starts
 * skepd anew, once its own requests are answered. */
static void note_lost_service(struct life *life, int wait_status)
{
    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0)
        return; /* it was told to stop */
    log_error("the skepd that serves in place of this one has ended (%s %d): nobody serves now",
              WIFSIGNALED(wait_status) ? "signal" : "status",
              WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status));
    life->has_failed = true;
}

static void on_successor_exited(void *owner, pid_t pid, int wait_status)
{
    struct upgrade *upgrade = owner;
    char why[128];

    if (upgrade->state == UPGRADE_NONE || pid != upgrade->pid)
        return;
    if (upgrade->state == UPGRADE_DONE) {
        note_lost_service(upgrade->with.life, wait_status);
        return;
    }
    read_last_words(upgrade);
    if (WIFSIGNALED(wait_status))
        (void) snprintf(why, sizeof why, "the new skepd was killed by signal %d (%s)",
                        WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
    else
        (void) snprintf(why, sizeof why, "the new skepd ended with status %d; the log may say why",
                        WEXITSTATUS(wait_status));
    give_up(upgrade, why, true);
    conclude_failure(upgrade);
}

/* ---- handing over */

static void succeed(struct upgrade *upgrade)
{
    set_state(upgrade, UPGRADE_DONE);
    (void) event_del(upgrade->timer);
    if (upgrade->event) /* that our end closes tells the other one that we are gone */
        event_free(TAKE_PTR(upgrade->event));
    log_info("skepd %s (pid %d) serves in place of this one (%s)", upgrade->version,
             (int) upgrade->pid, SKEP_VERSION);
    tell(upgrade);
    upgrade->with.ops->on_replaced(upgrade->with.owner);
}

/* systemd knows that the other one is the main process, before that one says anything. */
static void on_main_pid_known(void *arg, int error)
{
    struct upgrade *upgrade = arg;

    if (upgrade->state != UPGRADE_NOTIFYING)
        return;
    if (error < 0)
        (void) log_warning_errno(error,
                                 "the service manager does not say that it knows the new pid");
    if (handover_send(upgrade->fd, HANDOVER_KNOWN) < 0)
        give_up(upgrade, "the new skepd served, and is gone", true);
    else
        succeed(upgrade);
}

/* Only one that serves is told to systemd: from then on systemd does not listen to this one, which could not
 * take it back. */
static void on_serving(struct upgrade *upgrade)
{
    const struct upgrade_options *with = &upgrade->with;

    (void) event_del(upgrade->timer);
    set_state(upgrade, UPGRADE_NOTIFYING);
    with->ops->hold(with->owner, true);
    notify_main_pid(with->notify, upgrade->pid);
    notify_barrier(with->notify, on_main_pid_known, upgrade);
}

static void on_ready(struct upgrade *upgrade, const char *version)
{
    const struct upgrade_options *with = &upgrade->with;
    char text[HANDOVER_MAX_BYTES];

    (void) snprintf(upgrade->version, sizeof upgrade->version, "%s", version);
    (void) snprintf(text, sizeof text, HANDOVER_MAIN " cgroups=%d files=%" PRIx64,
                    cgroup_is_to_undo(with->cgroups), sockets_files(with->sockets));
    set_state(upgrade, UPGRADE_HANDING_OVER);
    set_timer(upgrade, SERVING_TIMEOUT_S);
    if (handover_send_with(upgrade->fd, text, store_owner_fd(with->store)) < 0)
        give_up(upgrade, "the new skepd was ready, and is gone", true);
}

static void on_message(struct upgrade *upgrade, const char *text)
{
    if (upgrade->state == UPGRADE_STARTING && handover_is(text, HANDOVER_READY))
        on_ready(upgrade, handover_rest(text));
    else if (upgrade->state == UPGRADE_HANDING_OVER && handover_is(text, HANDOVER_SERVING))
        on_serving(upgrade);
    else if (handover_is(text, HANDOVER_FAILED))
        give_up(upgrade, handover_rest(text), true);
}

/* One message for each call: after it, nothing here may be as it was. */
static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    LOOP_CALLBACK("upgrade: other side");

    char text[HANDOVER_MAX_BYTES];
    struct upgrade *upgrade = arg;

    (void) fd;
    (void) what;
    _cleanup_fd_ int passed = -1; /* none is expected */
    int r = handover_receive(upgrade->fd, text, sizeof text, &passed);
    if (r == 0)
        on_message(upgrade, text);
    else if (r != -EAGAIN) /* the spawner says how it has ended */
        event_free(TAKE_PTR(upgrade->event));
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    LOOP_CALLBACK("upgrade: timer");

    (void) fd;
    (void) what;
    on_timeout(arg);
}

/* ---- starting */

static void on_successor(void *owner, int error, pid_t pid, int pidfd)
{
    struct upgrade *upgrade = owner;
    _cleanup_fd_ int owned = pidfd;

    if (upgrade->state == UPGRADE_NONE)
        return;
    if (error < 0) {
        (void) snprintf(upgrade->failure, sizeof upgrade->failure,
                        "the spawner cannot start the new skepd: %s", strerrordesc_np(-error));
        conclude_failure(upgrade);
        return;
    }
    upgrade->pid = pid;
    upgrade->pidfd = TAKE_FD(owned);
    log_info("upgrade: the new skepd is pid %d", (int) pid);
    if (upgrade->is_killed)
        kill_other(upgrade);
    else if (event_add(upgrade->event, NULL) < 0)
        give_up(upgrade, "skepd is out of memory", false);
}

static const struct successor_ops successor_ops = {
    .on_successor = on_successor,
    .on_successor_exited = on_successor_exited,
};

/* Its end of the hand-over is *ret_fd. */
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
    give_up(upgrade, "skepd was told to stop meanwhile", false);
}

int upgrade_start(struct upgrade *upgrade, const char **ret_reason)
{
    const struct upgrade_options *with = &upgrade->with;
    enum socket_kind kinds[SOCKETS_MAX];
    int fds[SOCKETS_MAX];
    _cleanup_fd_ int theirs = -1;

    const char *objection = with->ops->find_objection(with->owner);
    if (objection) {
        *ret_reason = objection;
        return -EBUSY;
    }
    upgrade->failure[0] = '\0';
    upgrade->version[0] = '\0';
    int r = open_handover(upgrade, &theirs);
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
        (void) log_error_errno(r, "cannot begin an upgrade");
        *ret_reason = "skepd cannot begin it: its log says why";
        return r;
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
        kill_other(upgrade);
    forget(upgrade);
    event_free(upgrade->timer);
    free(upgrade);
    return NULL;
}
