/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The code of helper processes, both sides of it, with real processes: a spawner, and a tiny
 * helper, which is this program under a name that begins with "tiny". The frames are those of the
 * store.
 */
#include "helper/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "sandbox-policy/rows.h"
#include "store.pb-c.h"
#include "supervisor/helpers/helper.h"
#include "supervisor/helpers/spawner.h"

#define TINY "tiny"
#define TINY_VERSION 7

/* ---- the tiny helper */

static const struct policy_syscall tiny_rows[] = {
#include "sandbox-policy/base_syscalls.inc"
};

static const struct policy_table tiny_calls = {
    .name = TINY,
    .default_action = SCMP_ACT_ERRNO(EPERM),
    .rows = tiny_rows,
    .n_rows = ARRAY_LEN(tiny_rows),
};

/* The same rows for a unit, which accepts clients. */
static const struct policy_syscall unit_rows[] = {
#include "sandbox-policy/base_syscalls.inc"
    { ALLOW(accept4), .reason = "clients of the unit" },
    { ALLOW(getsockopt), .reason = "who a client is" },
};

static const struct policy_table unit_calls = {
    .name = TINY,
    .default_action = SCMP_ACT_ERRNO(EPERM),
    .rows = unit_rows,
    .n_rows = ARRAY_LEN(unit_rows),
};

static int accept_it(void *client, uint64_t id)
{
    Skep__Store__Accepted accepted = SKEP__STORE__ACCEPTED__INIT;
    Skep__Store__Answer answer = SKEP__STORE__ANSWER__INIT;

    accepted.id = id;
    answer.message_case = SKEP__STORE__ANSWER__MESSAGE_ACCEPTED;
    answer.accepted = &accepted;
    return helper_answer(client, &answer.base);
}

/* Answers List. Seal gets no answer, Check one with another id, and Abort ends the helper. */
static int on_list(void *client, const ProtobufCMessage *message)
{
    return accept_it(client, ((const Skep__Store__List *) message)->id);
}

static int on_seal(void *client, const ProtobufCMessage *message)
{
    (void) client;
    (void) message;
    return 0;
}

static int on_check(void *client, const ProtobufCMessage *message)
{
    return accept_it(client, ((const Skep__Store__Check *) message)->id + 1);
}

static int on_abort(void *client, const ProtobufCMessage *message)
{
    (void) client;
    (void) message;
    _exit(1);
}

static const struct channel_rule tiny_rules[] = {
    [SKEP__STORE__REQUEST__MESSAGE_LIST] = { 1, on_list },
    [SKEP__STORE__REQUEST__MESSAGE_SEAL] = { 1, on_seal },
    [SKEP__STORE__REQUEST__MESSAGE_CHECK] = { 1, on_check },
    [SKEP__STORE__REQUEST__MESSAGE_ABORT] = { 1, on_abort },
};

static const struct channel_table tiny_requests = {
    .envelope = &skep__store__request__descriptor,
    .case_offset = offsetof(Skep__Store__Request, message_case),
    .value_offset = offsetof(Skep__Store__Request, begin),
    .rules = tiny_rules,
    .n_rules = ARRAY_LEN(tiny_rules),
};

static int fail_to_start(void *owner, struct event_base *base, struct helper_words *words)
{
    (void) owner;
    (void) base;
    (void) snprintf(words->error, sizeof words->error, "the disk is made of cheese");
    return -EIO;
}

/* Checks that the helper has only what the spawner gives: no environment, a channel, the layers, and a folder if there
 * is one. */
static int check_surroundings(void *owner, struct helper_words *words)
{
    char path[4096];

    (void) owner;
    (void) words;
    if (environ[0] || fcntl(STDIN_FILENO, F_GETFD) < 0 || fcntl(HELPER_FOLDER_FD, F_GETFD) >= 0)
        return -EBADF;
    return getcwd(path, sizeof path) && strcmp(path, "/dev") == 0 ? 0 : -ENOTDIR;
}

static int be_tiny(int argc, char **argv)
{
    const char *kind = argv[0] + strlen(TINY);
    const bool is_unit = strcmp(kind, "-unit") == 0;
    const struct helper_program program = {
        .name = strcmp(kind, "-other") == 0 ? "other" : TINY,
        .version = strcmp(kind, "-old") == 0 ? TINY_VERSION - 1 : TINY_VERSION,
        .requests = &tiny_requests,
        .calls = is_unit ? &unit_calls : &tiny_calls,
        .has_folder = !is_unit,
        .folder_use = CONFINE_READ,
        .open = is_unit ? NULL : check_surroundings,
        .start = strcmp(kind, "-broken") == 0 ? fail_to_start : NULL,
    };

    return helper_main(argc, argv, &program);
}

/* ---- the supervisor's side */

#define FAILED_MAX 8

struct scene {
    struct spawner *spawner;
    struct event_base *base;
    struct health health;
    struct helper *helper;
    int folder_fd;
    uint64_t failed[FAILED_MAX];
    unsigned n_failed, n_lost, n_ready;
    uint64_t answered; /* id of the last answer */
    unsigned n_answers;
};

static int on_accepted(void *owner, const ProtobufCMessage *message)
{
    struct scene *scene = owner;

    scene->answered = ((const Skep__Store__Accepted *) message)->id;
    scene->n_answers++;
    return 0;
}

static const struct channel_rule answer_rules[] = {
    [SKEP__STORE__ANSWER__MESSAGE_ACCEPTED] = { 1, on_accepted },
};

static const struct channel_table answers = {
    .envelope = &skep__store__answer__descriptor,
    .case_offset = offsetof(Skep__Store__Answer, message_case),
    .value_offset = offsetof(Skep__Store__Answer, accepted),
    .rules = answer_rules,
    .n_rules = ARRAY_LEN(answer_rules),
};

static void on_failed(void *owner, uint64_t id)
{
    struct scene *scene = owner;

    assert_int_equal(scene->n_lost, 0); /* lost requests are reported first */
    assert_true(scene->n_failed < FAILED_MAX);
    scene->failed[scene->n_failed++] = id;
}

static void on_lost(void *owner)
{
    ((struct scene *) owner)->n_lost++;
}

static void on_ready(void *owner)
{
    ((struct scene *) owner)->n_ready++;
}

static const struct helper_ops helper_ops = {
    .on_failed = on_failed,
    .on_lost = on_lost,
    .on_ready = on_ready,
};
static const struct spawner_ops spawner_ops = { 0 };

static void turn(const struct scene *scene)
{
    assert_int_equal(event_base_loop(scene->base, EVLOOP_ONCE), 0);
}

/* Starts the helper. name: the program's; unit_path: NULL: none. Returns 0 or -errno of the start. */
static int enter(struct scene *scene, const char *name, const char *unit_path)
{
    *scene = (struct scene){ .folder_fd = open("/dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    const struct spawner_program programs[] = {
        { .name = name,
          .path = unit_path ? NULL : "/proc/self/exe",
          .folder_fd = unit_path ? -1 : scene->folder_fd,
          .unit_path = unit_path },
    };
    const struct spawner_options options = {
        .worker_path = "/proc/self/exe",
        .programs = programs,
        .n_programs = ARRAY_LEN(programs),
    };

    assert_int_equal(spawner_start(&options, &scene->spawner), 0);
    scene->base = event_base_new();
    assert_non_null(scene->base);
    assert_int_equal(spawner_attach(scene->spawner, scene->base, &spawner_ops, scene), 0);
    spawner_keep_reserve(scene->spawner, &scene->health);
    const struct helper_options helper = {
        .id = HELPER_STORE,
        .name = TINY,
        .version = TINY_VERSION,
        .base = scene->base,
        .spawner = scene->spawner,
        .health = &scene->health,
    };
    assert_int_equal(helper_new(&helper, &scene->helper), 0);
    helper_listen(scene->helper, &answers, &helper_ops, scene);
    return helper_await(scene->helper);
}

static void leave(struct scene *scene)
{
    scene->helper = helper_free(scene->helper);
    scene->spawner = spawner_free(scene->spawner);
    event_base_free(scene->base);
    fd_cleanup(&scene->folder_fd);
}

static int ask(const struct scene *scene, Skep__Store__Request__MessageCase kind, uint64_t id)
{
    Skep__Store__Request request = SKEP__STORE__REQUEST__INIT;
    Skep__Store__List list = SKEP__STORE__LIST__INIT;
    Skep__Store__Seal seal = SKEP__STORE__SEAL__INIT;
    Skep__Store__Check check = SKEP__STORE__CHECK__INIT;
    Skep__Store__Abort abort = SKEP__STORE__ABORT__INIT;

    list.id = seal.id = check.id = abort.id = id;
    request.message_case = kind;
    if (kind == SKEP__STORE__REQUEST__MESSAGE_LIST)
        request.list = &list;
    else if (kind == SKEP__STORE__REQUEST__MESSAGE_SEAL)
        request.seal = &seal;
    else if (kind == SKEP__STORE__REQUEST__MESSAGE_CHECK)
        request.check = &check;
    else
        request.abort = &abort;
    return helper_ask(scene->helper, id, &request.base);
}

static void expect_answer(struct scene *scene, uint64_t id)
{
    unsigned before = scene->n_answers;

    assert_int_equal(ask(scene, SKEP__STORE__REQUEST__MESSAGE_LIST, id), 0);
    while (scene->n_answers == before)
        turn(scene);
    assert_int_equal(scene->answered, id);
}

/* ---- tests */

static void test_helper_answers_what_it_is_asked(void **state)
{
    struct scene scene;

    (void) state;
    assert_int_equal(enter(&scene, TINY, NULL), 0);
    assert_int_equal(scene.health.of[HELPER_STORE].state, HELPER_OK);
    for (uint64_t id = 1; id <= 3; id++)
        expect_answer(&scene, id);
    assert_int_equal(scene.n_failed + scene.n_lost + scene.n_ready, 0);
    leave(&scene);
}

static void test_what_a_dead_helper_was_asked_fails_and_another_answers(void **state)
{
    struct scene scene;

    (void) state;
    assert_int_equal(enter(&scene, TINY, NULL), 0);
    assert_int_equal(ask(&scene, SKEP__STORE__REQUEST__MESSAGE_SEAL, 11), 0);
    assert_int_equal(ask(&scene, SKEP__STORE__REQUEST__MESSAGE_SEAL, 12), 0);
    assert_int_equal(ask(&scene, SKEP__STORE__REQUEST__MESSAGE_ABORT, 13), 0);
    assert_int_equal(ask(&scene, SKEP__STORE__REQUEST__MESSAGE_LIST, 14), 0);
    while (scene.n_lost == 0)
        turn(&scene);
    assert_false(helper_is_ready(scene.helper));
    assert_int_equal(ask(&scene, SKEP__STORE__REQUEST__MESSAGE_LIST, 15), -EPIPE);
    assert_int_equal(scene.n_failed, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(scene.failed[i], 11 + i);
    assert_int_equal(scene.health.of[HELPER_STORE].state, HELPER_RESTARTING);
    while (scene.n_ready == 0)
        turn(&scene);
    assert_int_equal(scene.health.of[HELPER_STORE].state, HELPER_OK);
    assert_int_equal(scene.health.of[HELPER_STORE].losses, 1);
    expect_answer(&scene, 16);
    assert_int_equal(scene.n_answers, 1);
    leave(&scene);
}

static void test_helper_that_answers_what_it_was_not_asked_is_ended(void **state)
{
    struct scene scene;

    (void) state;
    assert_int_equal(enter(&scene, TINY, NULL), 0);
    assert_int_equal(ask(&scene, SKEP__STORE__REQUEST__MESSAGE_CHECK, 5), 0);
    while (scene.n_lost == 0)
        turn(&scene);
    assert_int_equal(scene.n_answers, 0);
    assert_int_equal(scene.failed[0], 5);
    assert_string_equal(scene.health.of[HELPER_STORE].why, "it broke the protocol, and is ended");
    leave(&scene);
}

static void test_helper_of_another_version_or_name_or_that_cannot_start_is_refused(void **state)
{
    static const struct {
        const char *name, *text;
    } rows[] = {
        { "tiny-old", "helper tiny does not start: it is of another version" },
        { "tiny-other", "helper tiny does not start: it broke the protocol, and is ended" },
        { "tiny-broken", "helper tiny does not start: it cannot start" },
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scene scene;
        assert_int_equal(enter(&scene, rows[i].name, NULL), -ECHILD);
        assert_string_equal(log_last_error(), rows[i].text);
        assert_int_equal(scene.health.of[HELPER_STORE].losses, 0);
        leave(&scene);
    }
}

/* The reserve starts the next helper. */
static void test_spawner_that_dies_costs_no_helper(void **state)
{
    struct scene scene;

    (void) state;
    assert_int_equal(enter(&scene, TINY, NULL), 0);
    while (spawner_pid(scene.spawner, 1) == 0)
        turn(&scene);
    assert_int_equal(kill(spawner_pid(scene.spawner, 0), SIGKILL), 0);
    expect_answer(&scene, 1);
    assert_int_equal(ask(&scene, SKEP__STORE__REQUEST__MESSAGE_ABORT, 2), 0);
    while (scene.n_ready == 0)
        turn(&scene);
    expect_answer(&scene, 3);
    leave(&scene);
}

static void test_helper_is_gone_when_no_spawner_is_left(void **state)
{
    struct scene scene;

    (void) state;
    assert_int_equal(enter(&scene, TINY, NULL), 0);
    while (spawner_pid(scene.spawner, 1) == 0)
        turn(&scene);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(kill(spawner_pid(scene.spawner, i), SIGKILL), 0);
    while (scene.health.of[HELPER_SPAWNER].state != HELPER_GONE)
        turn(&scene);
    expect_answer(&scene, 1);
    assert_int_equal(ask(&scene, SKEP__STORE__REQUEST__MESSAGE_ABORT, 2), 0);
    while (scene.health.of[HELPER_STORE].state != HELPER_GONE)
        turn(&scene);
    leave(&scene);
}

/* ---- units */

static int listen_at(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void) snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *) &address, sizeof address), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

/* Starts the unit as the service manager does. */
static pid_t start_unit(int listen_fd)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    char name[] = "tiny-unit", own[32];
    char *const argv[] = { name, NULL };
    char number[] = "LISTEN_FDS=1";
    char *const environment[] = { number, own, NULL };
    (void) snprintf(own, sizeof own, "LISTEN_PID=%d", (int) getpid());
    if (dup2(listen_fd, 3) == 3)
        (void) execve("/proc/self/exe", argv, environment);
    _exit(127);
}

static void end_unit(pid_t pid)
{
    (void) kill(pid, SIGKILL);
    (void) waitpid(pid, NULL, 0);
}

static void test_unit_serves_two_skepd_and_is_reached_again_after_its_death(void **state)
{
    char folder[] = "/tmp/skep-unit-XXXXXX", path[64];
    struct scene old, new;

    (void) state;
    assert_non_null(mkdtemp(folder));
    (void) snprintf(path, sizeof path, "%s/socket", folder);
    _cleanup_fd_ int listen_fd = listen_at(path);
    pid_t unit = start_unit(listen_fd);
    assert_int_equal(enter(&old, TINY, path), 0);
    assert_int_equal(enter(&new, TINY, path), 0);
    expect_answer(&old, 1);
    expect_answer(&new, 1);
    leave(&old); /* the end of this client does not concern the other */
    expect_answer(&new, 2);
    assert_int_equal(ask(&new, SKEP__STORE__REQUEST__MESSAGE_SEAL, 3), 0);
    turn(&new);
    end_unit(unit);
    while (new.n_lost == 0)
        turn(&new);
    assert_int_equal(new.failed[0], 3);
    unit = start_unit(listen_fd);
    while (new.n_ready == 0)
        turn(&new);
    expect_answer(&new, 4);
    leave(&new);
    end_unit(unit);
    (void) unlink(path);
    (void) rmdir(folder);
}

static void test_unit_refuses_other_users(void **state)
{
    char folder[] = "/tmp/skep-unit-XXXXXX", path[64], byte;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int status;

    (void) state;
    if (geteuid() != 0)
        skip();
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chmod(folder, 0711), 0);
    (void) snprintf(path, sizeof path, "%s/socket", folder);
    (void) snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    _cleanup_fd_ int listen_fd = listen_at(path);
    assert_int_equal(chmod(path, 0666), 0);
    pid_t unit = start_unit(listen_fd), other = fork();
    if (other == 0) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        _exit(setuid(65534) < 0                                                     ? 1
              : connect(fd, (const struct sockaddr *) &address, sizeof address) < 0 ? 2
              : read(fd, &byte, 1) != 0                                             ? 3
                                                                                    : 0);
    }
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_int_equal(status, 0); /* closed, without a hello */
    end_unit(unit);
    (void) unlink(path);
    (void) rmdir(folder);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_helper_answers_what_it_is_asked),
        cmocka_unit_test(test_what_a_dead_helper_was_asked_fails_and_another_answers),
        cmocka_unit_test(test_helper_that_answers_what_it_was_not_asked_is_ended),
        cmocka_unit_test(test_helper_of_another_version_or_name_or_that_cannot_start_is_refused),
        cmocka_unit_test(test_spawner_that_dies_costs_no_helper),
        cmocka_unit_test(test_helper_is_gone_when_no_spawner_is_left),
        cmocka_unit_test(test_unit_serves_two_skepd_and_is_reached_again_after_its_death),
        cmocka_unit_test(test_unit_refuses_other_users),
    };

    if (strncmp(argv[0], TINY, strlen(TINY)) == 0)
        return be_tiny(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
