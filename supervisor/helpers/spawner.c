/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's side of the spawner: forks the spawner, sends jobs to it, gives its answers to
 * the loop. Supervisor process, main thread. The other side is spawner/child.c.
 */
#include "supervisor/helpers/spawner.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/backoff.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "common/process.h"
#include "spawner/wire.h"
#include "supervisor/helpers/ends.h"
#include "supervisor/helpers/health.h"
#include "supervisor/helpers/process.h"

#define MEMBERS 2 /* the spawner and its reserve */
#define FREE_TIMEOUT_MS 2000
#define TICK_S 1
/* Looks in a row; a debugger that only attaches stops a process for a moment. */
#define STOPPED_LOOKS 2
/* Longer than the spawner itself waits for a birth (EXEC_TIMEOUT_MS). */
#define ANSWER_TIMEOUT_NS (15 * NSEC_PER_SEC)
#define ANSWER_MOST_NS (60 * NSEC_PER_SEC)
#define PROBE_TIMEOUT_MS 60000 /* some tries of 10 s each, on a host that hardly moves */

/* A request that is not answered yet; a spawner answers requests in order. */
struct pending {
    STAILQ_ENTRY(pending) entry;
    enum spawner_request_kind kind;
    unsigned slot;
    pid_t pid;
    uint64_t since_ns;
    spawner_started_fn on_started; /* for a helper; NULL: the helper is not wanted any more */
    void *owner;                   /* borrowed: on_started's */
};
STAILQ_HEAD(pending_list, pending);

struct member {
    struct spawner *spawner; /* borrowed */
    struct helper_process process;
    int socket_fd;
    struct event *event;
    struct pending_list pending;
};

struct spawner {
    struct member *members[MEMBERS]; /* the first one works */
    unsigned n_members;
    struct ends *ends;
    struct event *tick;
    const struct spawner_ops *ops;         /* borrowed: from the caller of spawner_attach */
    void *owner;                           /* borrowed: same */
    const struct successor_ops *successor; /* for the last spawner_upgrade */
    void *successor_owner;
    /* The reserve. */
    struct health *health;  /* borrowed; NULL: none is kept */
    struct backoff backoff; /* back-off of spawners that were lost */
    uint64_t reserve_at_ns; /* no reserve is made before this time */
    bool is_reserve_asked;
};

static const char *const step_names[SPAWNER_STEPS] = {
    [SPAWNER_STEP_FORK] = "fork",
    [SPAWNER_STEP_USER_NAMESPACE] = "user namespace",
    [SPAWNER_STEP_NAMESPACES] = "pid, net, mount, ipc, uts and cgroup namespaces",
    [SPAWNER_STEP_CGROUP_NAMESPACE] = "cgroup namespace",
    [SPAWNER_STEP_CGROUP] = "cgroup of the worker",
    [SPAWNER_STEP_ID_MAP] = "uid and gid map of the user namespace",
    [SPAWNER_STEP_IDS] = "change to the worker's uid",
    [SPAWNER_STEP_PARENT_DEATH] = "parent death signal",
    [SPAWNER_STEP_DESCRIPTORS] = "file descriptors",
    [SPAWNER_STEP_EXEC] = "exec of the program",
    [SPAWNER_STEP_TIMEOUT] = "wait for the exec of the program",
    [SPAWNER_STEP_REQUEST] = "request",
    [SPAWNER_STEP_JAIL] = "jail",
    [SPAWNER_STEP_CONNECT] = "connection to the unit",
    [SPAWNER_STEP_LOST] = "the spawner, which was lost meanwhile",
};

const char *spawner_hint(int error, const char *step)
{
    if (!step)
        return NULL;
    if (strcmp(step, step_names[SPAWNER_STEP_USER_NAMESPACE]) == 0)
        return error == -ENOSPC || error == -EUSERS ? "raise the sysctl user.max_user_namespaces"
                                                    : layer_table[LAYER_USER].hint;
    if (strcmp(step, step_names[SPAWNER_STEP_NAMESPACES]) == 0 ||
        strcmp(step, step_names[SPAWNER_STEP_CGROUP_NAMESPACE]) == 0)
        return layer_table[LAYER_CGROUP].hint;
    if (strcmp(step, step_names[SPAWNER_STEP_CGROUP]) == 0)
        return "skepd's cgroup and those below are its own to change (Delegate=): look for another "
               "program that moves processes, removes cgroups or changes their owner";
    if (strcmp(step, step_names[SPAWNER_STEP_EXEC]) == 0 && error == -EACCES)
        return "the program file must be readable and executable for every user, and "
               "not on a file system mounted noexec";
    if (strcmp(step, step_names[SPAWNER_STEP_FORK]) == 0 && error == -EAGAIN)
        return "raise TasksMax= of the unit, or the limit on processes";
    return NULL;
}

static struct member *member_free(struct member *member)
{
    struct pending *pending;

    if (!member)
        return NULL;
    if (member->event)
        event_free(member->event);
    fd_cleanup(&member->socket_fd);
    while ((pending = STAILQ_FIRST(&member->pending))) {
        STAILQ_REMOVE_HEAD(&member->pending, entry);
        free(pending);
    }
    free(member);
    return NULL;
}

DEFINE_CLEANUP(struct member *, member_free, member_cleanup)

/* socket_fd: non-blocking; owned, also on error. 0 or -errno. */
static int member_new(struct spawner *spawner, int socket_fd, struct member **ret_member)
{
    _cleanup_(member_cleanup) struct member *member = calloc(1, sizeof *member);

    if (!member) {
        (void) close(socket_fd);
        return -ENOMEM;
    }
    member->spawner = spawner;
    member->process = HELPER_NO_PROCESS;
    member->socket_fd = socket_fd;
    STAILQ_INIT(&member->pending);
    *ret_member = TAKE_PTR(member);
    return 0;
}

/* Runs the spawner in the child; never returns. */
static int fork_spawner(struct member *member, struct spawner_start *start)
{
    struct helper_process *process = &member->process;

    start->supervisor = getpid();
    process->pid = fork();
    if (process->pid < 0)
        return -errno;
    if (process->pid == 0) {
        (void) close(member->socket_fd);
        spawner_child_run(start);
    }
    process->pidfd = pidfd_open(process->pid, 0);
    int r = process->pidfd < 0 ? -errno : process_open(process->pid, &process->stat_fd);
    if (r < 0) {
        (void) kill(process->pid, SIGKILL);
        (void) waitpid(process->pid, NULL, 0);
    }
    return r;
}

/* Opens a program that may be executed. */
static int open_program(const char *path, int *ret_fd)
{
    *ret_fd = open(path, O_PATH | O_CLOEXEC);
    return *ret_fd < 0 || faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

static void close_start(const struct spawner_start *start)
{
    fd_cleanup(&start->socket);
    fd_cleanup(&start->worker);
    fd_cleanup(&start->null);
    for (unsigned i = 0; i < start->n_helpers; i++)
        fd_cleanup(&start->helpers[i].program_fd);
}

/* Opens the descriptors that the spawner holds; the folders stay the caller's. */
static int open_start(const struct spawner_options *options, struct spawner_start *start)
{
    int r = open_program(options->worker_path, &start->worker);

    assert(options->n_programs <= SPAWNER_HELPERS_MAX);
    start->null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (r == 0 && start->null < 0)
        r = -errno;
    for (unsigned i = 0; i < options->n_programs && r == 0; i++) {
        const struct spawner_program *program = &options->programs[i];
        struct spawner_helper *helper = &start->helpers[start->n_helpers++];
        *helper = (struct spawner_helper){
            .program_fd = -1,
            .folder_fd = program->folder_fd,
            .name = program->name,
            .unit_path = program->unit_path,
            .word_option = program->word_option,
        };
        memcpy(helper->arguments, program->arguments, sizeof helper->arguments);
        if (program->path)
            r = open_program(program->path, &helper->program_fd);
    }
    return r;
}

int spawner_start(const struct spawner_options *options, struct spawner **ret_spawner)
{
    _cleanup_free_ struct spawner *spawner = calloc(1, sizeof *spawner);
    _cleanup_(close_start) struct spawner_start start = { -1, -1, -1, .origin = options->origin };
    _cleanup_(member_cleanup) struct member *member = NULL;
    int pair[2];

    int r = spawner ? open_start(options, &start) : -ENOMEM;
    if (r < 0)
        return r;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    start.socket = pair[1];
    r = member_new(spawner, pair[0], &member);
    if (r == 0)
        r = io_set_nonblocking(pair[0]);
    if (r == 0)
        r = fork_spawner(member, &start);
    if (r < 0)
        return r;
    spawner->members[spawner->n_members++] = TAKE_PTR(member);
    *ret_spawner = TAKE_PTR(spawner);
    return 0;
}

/* ---- requests */

/* Sends a request to the spawner that works. If that has died, the loop notes the loss, not this
 * function, whose caller is in the middle of something. */
static int send_pending(struct spawner *spawner, const struct spawner_request *request,
                        const struct pending *wanted, const int *fds, size_t n_fds)
{
    const struct iovec parts[] = { { (void *) (uintptr_t) request, sizeof *request }, { NULL, 0 } };
    struct pending *pending = malloc(sizeof *pending);
    int r = -EPIPE;

    if (!pending)
        return -ENOMEM;
    *pending = *wanted;
    pending->kind = (enum spawner_request_kind) request->kind;
    pending->slot = request->slot;
    pending->pid = request->pid;
    pending->since_ns = io_now_ns();
    for (unsigned i = 0; i < spawner->n_members && r == -EPIPE; i++) {
        struct member *member = spawner->members[i];
        r = spawner_wire_send(member->socket_fd, parts, fds, n_fds);
        if (r == -ECONNRESET)
            r = -EPIPE;
        if (r == 0)
            STAILQ_INSERT_TAIL(&member->pending, pending, entry);
    }
    if (r < 0)
        free(pending);
    return r;
}

static int send_request(struct spawner *spawner, const struct spawner_request *request,
                        const int *fds, size_t n_fds)
{
    return send_pending(spawner, request, &(const struct pending){ 0 }, fds, n_fds);
}

static void lose_stopped(struct spawner *spawner, unsigned looks);

int spawner_spawn(struct spawner *spawner, const struct spawner_job *job)
{
    const struct spawner_request request = {
        .kind = SPAWNER_SPAWN,
        .slot = job->slot,
        .jit = job->jit,
        .has_cgroup = job->cgroup_fd > 0,
        .layers = job->layers,
    };
    const int fds[SPAWNER_SPAWN_FDS] = { job->channel_fd, job->scoreboard_fd, job->cgroup_fd };

    if (request.slot >= SPAWNER_MAX_SLOTS)
        return -EINVAL;
    return send_request(spawner, &request, fds, request.has_cgroup ? 3 : 2);
}

int spawner_upgrade(struct spawner *spawner, const struct spawner_upgrade_job *job)
{
    struct spawner_request request = {
        .kind = SPAWNER_UPGRADE,
        .n_sockets = (uint32_t) job->n_sockets,
    };
    int fds[SPAWNER_REQUEST_FDS] = { job->handover_fd };

    assert(job->n_sockets <= SOCKETS_MAX);
    for (size_t i = 0; i < job->n_sockets; i++) {
        fds[1 + i] = job->socket_fds[i];
        request.socket_kinds[i] = (uint8_t) job->socket_kinds[i];
    }
    spawner->successor = job->ops;
    spawner->successor_owner = job->owner;
    lose_stopped(spawner, 1); /* an upgrade heals a stopped spawner, and must not wait for it */
    return send_request(spawner, &request, fds, 1 + job->n_sockets);
}

int spawner_look(struct spawner *spawner, unsigned slot, pid_t pid, bool with_maps)
{
    const struct spawner_request request = {
        .kind = SPAWNER_LOOK,
        .slot = slot,
        .pid = pid,
        .with_maps = with_maps,
    };

    return send_request(spawner, &request, NULL, 0);
}

int spawner_start_helper(struct spawner *spawner, unsigned number, const char *word,
                         spawner_started_fn on_started, void *owner)
{
    struct spawner_request request = { .kind = SPAWNER_HELPER, .slot = number };
    const struct pending pending = { .on_started = on_started, .owner = owner };

    if (word && strlen(word) > SPAWNER_WORD_MAX)
        return -EINVAL;
    (void) snprintf(request.word, sizeof request.word, "%s", word ? word : "");
    return send_pending(spawner, &request, &pending, NULL, 0);
}

void spawner_forget(struct spawner *spawner, const void *owner)
{
    struct pending *pending;

    for (unsigned i = 0; i < spawner->n_members; i++)
        STAILQ_FOREACH (pending, &spawner->members[i]->pending, entry)
            if (pending->owner == owner)
                pending->on_started = NULL;
}

/* The struct that follows the answer, by its kind. */
union answer_body {
    struct jail_facts facts;
    struct jail_probe probe;
};

static size_t body_size_of(uint32_t kind)
{
    return kind == SPAWNER_FACTS    ? sizeof(struct jail_facts)
           : kind == SPAWNER_PROBED ? sizeof(struct jail_probe)
                                    : 0;
}

/* Receives one answer and its descriptors; those that did not come are -1. 0, -EAGAIN, -EPIPE at
 * the end, or another -errno. */
static int receive_answer(int socket_fd, struct spawner_answer *ret_answer,
                          union answer_body *ret_body, int ret_fds[static SPAWNER_RESULT_FDS])
{
    const struct iovec parts[] = { { ret_answer, sizeof *ret_answer },
                                   { ret_body, sizeof *ret_body } };

    ssize_t n = spawner_wire_receive(socket_fd, parts, ret_fds, SPAWNER_RESULT_FDS);
    if (n < 0)
        return (int) n;
    return n >= (ssize_t) sizeof *ret_answer &&
                   (size_t) n == sizeof *ret_answer + body_size_of(ret_answer->kind)
               ? 0
               : -EPROTO;
}

static const char *step_name(const struct spawner_answer *answer)
{
    return step_names[answer->step < SPAWNER_STEPS ? answer->step : SPAWNER_STEP_REQUEST];
}

static void close_fds(const int fds[static SPAWNER_RESULT_FDS])
{
    for (size_t i = 0; i < SPAWNER_RESULT_FDS; i++)
        if (fds[i] >= 0)
            (void) close(fds[i]);
}

/* Delivers a result. The descriptors are the callee's from here on, or are closed. */
static void deliver_result(const struct spawner *spawner, const struct spawner_answer *answer,
                           const int fds[static SPAWNER_RESULT_FDS])
{
    const struct spawner_worker worker = {
        .pid = answer->pid,
        .pidfd = fds[0],
        .stat_fd = fds[1],
        .statm_fd = fds[2],
    };
    const char *step = step_name(answer);
    int error = answer->error;

    if (error == 0) {
        /* The kernel drops descriptors for which there is no room, from the last one on, without an
         * error. */
        error = fds[SPAWNER_RESULT_FDS - 1] < 0
                    ? -EMFILE
                    : ends_add(spawner->ends, answer->slot, answer->pid, fds[0]);
        if (error < 0) {
            (void) kill(answer->pid, SIGKILL); /* a child of skepd: ends_sweep reaps it */
            step = step_names[SPAWNER_STEP_DESCRIPTORS];
        }
    } else if (answer->pid > 0) {
        (void) waitpid(answer->pid, NULL, WNOHANG);
    }
    if (error < 0)
        close_fds(fds);
    spawner->ops->on_result(spawner->owner, answer->slot, error, step, error == 0 ? &worker : NULL);
}

static const struct {
    bool is_answer;
    enum spawner_request_kind to;
} answer_kinds[] = {
    [SPAWNER_RESULT] = { true, SPAWNER_SPAWN },
    [SPAWNER_FACTS] = { true, SPAWNER_LOOK },
    [SPAWNER_PROBED] = { true, SPAWNER_PROBE },
    [SPAWNER_SUCCESSOR] = { true, SPAWNER_UPGRADE },
    [SPAWNER_SUCCESSOR_EXITED] = { .is_answer = false },
    [SPAWNER_STARTED] = { true, SPAWNER_HELPER },
    [SPAWNER_RESERVED] = { true, SPAWNER_RESERVE },
};

/* Takes the request that this answers off the list. -EPROTO if there is none. */
static int settle(struct member *member, const struct spawner_answer *answer,
                  struct pending *ret_pending)
{
    struct pending *pending = STAILQ_FIRST(&member->pending);

    if (answer->kind >= ARRAY_LEN(answer_kinds))
        return -EPROTO;
    if (!answer_kinds[answer->kind].is_answer)
        return 0;
    if (!pending || pending->kind != answer_kinds[answer->kind].to)
        return -EPROTO;
    STAILQ_REMOVE_HEAD(&member->pending, entry);
    *ret_pending = *pending;
    free(pending);
    return 0;
}

/* Returns the error of an answer that comes with a process and its descriptors; -EMFILE if some of
 * these are missing, and the process is ended. */
static int check_started(const struct spawner_answer *answer,
                         const int fds[static SPAWNER_RESULT_FDS])
{
    bool is_whole = fds[answer->pid > 0 ? SPAWNER_RESULT_FDS - 1 : 0] >= 0;

    if (answer->error < 0 && answer->pid > 0)
        (void) waitpid(answer->pid, NULL, WNOHANG);
    if (answer->error < 0 || is_whole)
        return answer->error;
    if (answer->pid > 0)
        (void) kill(answer->pid, SIGKILL); /* a child of skepd: ends_sweep reaps it */
    return -EMFILE;
}

static void deliver_started(const struct spawner_answer *answer, const struct pending *pending,
                            const int fds[static SPAWNER_RESULT_FDS])
{
    const struct spawner_started started = { answer->pid, fds[1], fds[2], fds[0] };
    int error = check_started(answer, fds);

    if (error == 0 && !pending->on_started && answer->pid > 0)
        (void) kill(answer->pid, SIGKILL);
    if (error < 0 || !pending->on_started)
        close_fds(fds);
    if (pending->on_started)
        pending->on_started(pending->owner, error, error < 0 ? step_name(answer) : NULL,
                            error < 0 ? NULL : &started);
}

static void add_reserve(struct spawner *spawner, const struct spawner_answer *answer,
                        const int fds[static SPAWNER_RESULT_FDS]);

static void deliver(struct spawner *spawner, const struct spawner_answer *answer,
                    const struct pending *pending, const union answer_body *body,
                    const int fds[static SPAWNER_RESULT_FDS])
{
    switch ((enum spawner_answer_kind) answer->kind) {
    case SPAWNER_RESULT:
        deliver_result(spawner, answer, fds);
        break;
    case SPAWNER_FACTS:
        spawner->ops->on_facts(spawner->owner, answer->slot, answer->pid, answer->error,
                               answer->error == 0 ? &body->facts : NULL);
        break;
    case SPAWNER_SUCCESSOR:
        spawner->successor->on_successor(spawner->successor_owner, answer->error, answer->pid,
                                         fds[0]);
        break;
    case SPAWNER_SUCCESSOR_EXITED:
        spawner->successor->on_successor_exited(spawner->successor_owner, answer->pid,
                                                answer->wait_status);
        break;
    case SPAWNER_STARTED:
        deliver_started(answer, pending, fds);
        break;
    case SPAWNER_RESERVED:
        add_reserve(spawner, answer, fds);
        break;
    case SPAWNER_PROBED:
        break; /* spawner_probe has waited for it */
    }
}

int spawner_probe(struct spawner *spawner, const struct spawner_probe_job *job,
                  struct jail_probe *ret_probe, char *text, size_t size)
{
    const struct spawner_request request = {
        .kind = SPAWNER_PROBE,
        .jit = job->jit,
        .layers = job->layers,
        .is_last = job->is_last,
    };
    struct member *member = spawner->members[0];
    struct pollfd wait = { .fd = member->socket_fd, .events = POLLIN };
    struct spawner_answer answer = { 0 };
    struct pending pending;
    union answer_body body;
    int fds[SPAWNER_RESULT_FDS];

    (void) snprintf(text, size, "the spawner does not answer");
    int r = send_request(spawner, &request, NULL, 0);
    if (r < 0)
        return r;
    do
        r = poll(&wait, 1, PROBE_TIMEOUT_MS);
    while (r < 0 && errno == EINTR);
    if (r <= 0)
        return r < 0 ? -errno : -ETIMEDOUT;
    r = receive_answer(member->socket_fd, &answer, &body, fds);
    close_fds(fds); /* there are none */
    if (r == 0)
        r = settle(member, &answer, &pending);
    if (r == 0 && answer.kind != SPAWNER_PROBED)
        r = -EPROTO;
    if (r < 0)
        return r;
    answer.text[sizeof answer.text - 1] = '\0';
    (void) snprintf(text, size, "%s%s%s", answer.error < 0 ? step_name(&answer) : "",
                    answer.text[0] ? ": " : "", answer.text);
    if (answer.error == 0)
        *ret_probe = body.probe;
    return answer.error;
}

/* ---- the reserve */

/* Asks the spawner that works for a reserve, as soon as there is a place for it and it is due. */
static void want_reserve(struct spawner *spawner)
{
    const struct spawner_request request = { .kind = SPAWNER_RESERVE };

    if (!spawner->health || spawner->n_members != MEMBERS - 1 || spawner->is_reserve_asked ||
        io_now_ns() < spawner->reserve_at_ns)
        return;
    spawner->is_reserve_asked = send_request(spawner, &request, NULL, 0) == 0;
}

static int listen_to(struct member *member, struct event_base *base);

static int take_reserve(struct spawner *spawner, const struct spawner_answer *answer,
                        const int fds[static SPAWNER_RESULT_FDS])
{
    struct helper_process process = { answer->pid, fds[1], fds[2], 0 };
    struct member *member = NULL;

    int r = member_new(spawner, fds[0], &member);
    if (r == 0)
        r = listen_to(member, event_get_base(spawner->tick));
    if (r < 0) {
        helper_process_drop(&process);
        (void) member_free(member);
        return r;
    }
    member->process = process;
    spawner->members[spawner->n_members++] = member;
    return 0;
}

static void add_reserve(struct spawner *spawner, const struct spawner_answer *answer,
                        const int fds[static SPAWNER_RESULT_FDS])
{
    int r = check_started(answer, fds);

    spawner->is_reserve_asked = false;
    if (r < 0)
        close_fds(fds);
    else
        r = take_reserve(spawner, answer, fds);
    if (r == 0) {
        helper_note(spawner->health, HELPER_SPAWNER, HELPER_OK, NULL);
        return;
    }
    (void) log_warning_errno(r, "cannot make a reserve of the spawner (%s)", step_name(answer));
    backoff_note(&spawner->backoff, io_now_ns());
    /* The tick looks at this time. */
    spawner->reserve_at_ns = io_now_ns() + backoff_ms(spawner->backoff.failures, 0) * NSEC_PER_MSEC;
}

void spawner_keep_reserve(struct spawner *spawner, struct health *health)
{
    spawner->health = health;
    want_reserve(spawner);
}

/* ---- spawners that are lost */

static void fail_pending(struct spawner *spawner, struct pending_list *list)
{
    struct pending *pending;

    while ((pending = STAILQ_FIRST(list))) {
        const char *step = step_names[SPAWNER_STEP_LOST];
        STAILQ_REMOVE_HEAD(list, entry);
        switch (pending->kind) {
        case SPAWNER_SPAWN:
            spawner->ops->on_result(spawner->owner, pending->slot, -EPIPE, step, NULL);
            break;
        case SPAWNER_LOOK:
            spawner->ops->on_facts(spawner->owner, pending->slot, pending->pid, -EAGAIN, NULL);
            break;
        case SPAWNER_UPGRADE:
            spawner->successor->on_successor(spawner->successor_owner, -EPIPE, 0, -1);
            break;
        case SPAWNER_HELPER:
            if (pending->on_started)
                pending->on_started(pending->owner, -EPIPE, step, NULL);
            break;
        case SPAWNER_RESERVE:
            spawner->is_reserve_asked = false;
            break;
        case SPAWNER_PROBE:
            break;
        }
        free(pending);
    }
}

/* Frees the member. A spawner that stands still is ended: it would wake up later, and do work that
 * nobody waits for any more. */
static void lose(struct member *member, const char *why)
{
    struct pending_list pending = STAILQ_HEAD_INITIALIZER(pending);
    struct spawner *spawner = member->spawner;
    uint64_t now = io_now_ns();

    STAILQ_CONCAT(&pending, &member->pending);
    if (spawner->members[0] == member)
        spawner->members[0] = spawner->members[1];
    spawner->members[--spawner->n_members] = NULL;
    helper_process_drop(&member->process);
    (void) member_free(member);
    backoff_note(&spawner->backoff, now);
    spawner->reserve_at_ns = now + backoff_ms(spawner->backoff.failures, 0) * NSEC_PER_MSEC;
    if (spawner->health)
        helper_note_loss(spawner->health, HELPER_SPAWNER,
                         spawner->n_members > 0 ? HELPER_RESERVE : HELPER_GONE, why);
    fail_pending(spawner, &pending);
    want_reserve(spawner);
}

/* Loses the spawners that a signal or a debugger has stopped for so many looks in a row. */
static void lose_stopped(struct spawner *spawner, unsigned looks)
{
    for (unsigned i = spawner->n_members; i-- > 0;)
        if (helper_process_is_stopped(&spawner->members[i]->process, looks))
            lose(spawner->members[i], "it was stopped by a signal, and is ended");
}

/* Returns whether a spawner is silent. An answer that has come and was not read yet counts: skepd
 * itself may have stood still. */
static bool is_silent(const struct member *member, uint64_t now_ns)
{
    const struct pending *oldest = STAILQ_FIRST(&member->pending);
    struct pollfd answer = { .fd = member->socket_fd, .events = POLLIN };

    uint64_t waited_ns = oldest ? now_ns - oldest->since_ns : 0;

    if (waited_ns <= ANSWER_TIMEOUT_NS || poll(&answer, 1, 0) != 0)
        return false;
    /* On a busy host a spawner may wait for a processor or a disk as long as skepd waits for it. */
    return waited_ns > ANSWER_MOST_NS || !process_is_runnable(member->process.stat_fd);
}

static void watch(struct spawner *spawner)
{
    lose_stopped(spawner, STOPPED_LOOKS);
    uint64_t now = io_now_ns();
    for (unsigned i = spawner->n_members; i-- > 0;)
        if (is_silent(spawner->members[i], now))
            lose(spawner->members[i], "it does not answer, and is ended");
    want_reserve(spawner);
    ends_sweep(spawner->ends);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("spawner: tick");

    watch(arg);
}

/* ---- answers */

/* Reads one message: the event is level-triggered, and after a callback the spawner may be
 * freed. */
static void on_readable(struct member *member)
{
    struct spawner_answer answer = { 0 };
    struct pending pending = { 0 };
    union answer_body body;
    int fds[SPAWNER_RESULT_FDS];
    int r = receive_answer(member->socket_fd, &answer, &body, fds);

    if (r == -EAGAIN)
        return;
    if (r == 0)
        r = settle(member, &answer, &pending);
    if (r == 0) {
        deliver(member->spawner, &answer, &pending, &body, fds);
        return;
    }
    close_fds(fds);
    lose(member, r == -EPROTO ? "it broke the protocol, and is ended" : "it died");
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("spawner: answers");

    on_readable(arg);
}

static int listen_to(struct member *member, struct event_base *base)
{
    member->event = event_new(base, member->socket_fd, EV_READ | EV_PERSIST, on_event, member);
    return member->event && event_add(member->event, NULL) == 0 ? 0 : -ENOMEM;
}

static void on_worker_ended(void *owner, unsigned slot, pid_t pid, int wait_status, uint64_t cpu_ns)
{
    const struct spawner *spawner = owner;

    spawner->ops->on_exited(spawner->owner, slot, pid, wait_status, cpu_ns);
}

int spawner_attach(struct spawner *spawner, struct event_base *base, const struct spawner_ops *ops,
                   void *owner)
{
    static const struct timeval period = { .tv_sec = TICK_S };

    assert(!spawner->tick);
    spawner->ops = ops;
    spawner->owner = owner;
    spawner->ends = ends_new(base, on_worker_ended, spawner);
    spawner->tick = event_new(base, -1, EV_PERSIST, on_tick, spawner);
    if (!spawner->ends || !spawner->tick || event_add(spawner->tick, &period) < 0)
        return -ENOMEM;
    return listen_to(spawner->members[0], base);
}

pid_t spawner_pid(const struct spawner *spawner, unsigned n)
{
    return n < spawner->n_members ? spawner->members[n]->process.pid : 0;
}

struct spawner *spawner_free(struct spawner *spawner)
{
    if (!spawner)
        return NULL;
    if (spawner->tick)
        event_free(spawner->tick);
    spawner->ends = ends_free(spawner->ends);
    for (unsigned i = 0; i < spawner->n_members; i++) {
        struct helper_process process = spawner->members[i]->process;
        /* Closes skepd's end of the socket: then a spawner ends. */
        (void) member_free(spawner->members[i]);
        helper_process_end(&process, FREE_TIMEOUT_MS);
    }
    free(spawner);
    return NULL;
}
