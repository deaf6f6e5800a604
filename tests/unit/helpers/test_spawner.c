/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Giving up a spawner: one that does not answer by its own time, and one that stands still. Real
 * spawners, on the false clock of tests/events; the test plays the kernel's answers about their
 * states.
 */
#include "supervisor/helpers/spawner.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/io.h"
#include "common/log.h"
#include "common/process.h"
#include "spawner/wire.h"
#include "supervisor/helpers/health.h"
#include "tests/events/clock.h"

#define FDS_MAX 64
#define SLOT 3

struct scene {
    struct event_base *base;
    struct spawner *spawner;
    struct health health;
    pid_t first;
    unsigned n_facts, n_successors;
    int error; /* error of the last answer */
};

/* ---- answers of the kernel */

static pid_t stopped_pid; /* 0: none */
static bool are_runnable;

enum process_state __wrap_process_state(int stat_fd);
bool __wrap_process_is_runnable(int stat_fd);

enum process_state __wrap_process_state(int stat_fd)
{
    char text[32] = "";

    assert_true(pread(stat_fd, text, sizeof text - 1, 0) > 0);
    return stopped_pid != 0 && atoi(text) == stopped_pid ? PROCESS_STOPPED : PROCESS_RUNS;
}

bool __wrap_process_is_runnable(int stat_fd)
{
    (void) stat_fd;
    return are_runnable;
}

/* ---- the scene */

static void on_facts(void *owner, unsigned slot, pid_t pid, int error,
                     const struct jail_facts *facts)
{
    struct scene *s = owner;

    (void) pid;
    (void) facts;
    assert_int_equal(slot, SLOT);
    s->n_facts++;
    s->error = error;
}

static void on_successor(void *owner, int error, pid_t pid, int pidfd)
{
    struct scene *s = owner;

    (void) pid;
    assert_int_equal(pidfd, -1);
    s->n_successors++;
    s->error = error;
}

static const struct spawner_ops ops = { .on_facts = on_facts };
static const struct successor_ops successor = { .on_successor = on_successor };

static bool has_reserve(const struct scene *s)
{
    return s->health.of[HELPER_SPAWNER].state == HELPER_OK && spawner_pid(s->spawner, 1) > 0;
}

/* Waits for a condition that comes without more steps. */
static void await(const struct scene *s, bool (*is_there)(const struct scene *s))
{
    while (!is_there(s))
        (void) event_base_loop(s->base, EVLOOP_ONCE);
}

static int set_up(void **state)
{
    const struct spawner_options options = { .worker_path = "/bin/true" };
    static struct scene scene;

    scene = (struct scene){ 0 };
    stopped_pid = 0;
    are_runnable = false;
    clock_reset();
    log_silence();
    assert_int_equal(spawner_start(&options, &scene.spawner), 0);
    scene.base = event_base_new();
    assert_int_equal(spawner_attach(scene.spawner, scene.base, &ops, &scene), 0);
    spawner_keep_reserve(scene.spawner, &scene.health);
    await(&scene, has_reserve);
    scene.first = spawner_pid(scene.spawner, 0);
    *state = &scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *s = *state;

    (void) spawner_free(s->spawner);
    event_base_free(s->base);
    return 0;
}

/* Lets the time pass, in steps of a tick. */
static void pass_s(struct scene *s, unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        clock_pass(NSEC_PER_SEC);
        (void) event_base_loop(s->base, EVLOOP_NONBLOCK);
    }
}

static void ask(struct scene *s)
{
    assert_int_equal(spawner_look(s->spawner, SLOT, getpid(), false), 0);
}

/* Asks a spawner that will not answer, and whose state does not say why. */
static void ask_one_that_hangs(struct scene *s)
{
    assert_int_equal(kill(s->first, SIGSTOP), 0);
    ask(s);
}

static bool is_lost(const struct scene *s)
{
    return spawner_pid(s->spawner, 0) != s->first;
}

/* ---- tests */

static void test_spawner_that_sleeps_has_fifteen_seconds_for_an_answer(void **state)
{
    struct scene *s = *state;

    ask_one_that_hangs(s);
    pass_s(s, 15);
    assert_false(is_lost(s));
    assert_int_equal(s->n_facts, 0);
    pass_s(s, 1);
    assert_true(is_lost(s));
    assert_int_equal(s->n_facts, 1);
    assert_int_equal(s->error, -EAGAIN);
    assert_int_equal(s->health.of[HELPER_SPAWNER].losses, 1);
}

static void test_spawner_that_waits_for_a_processor_has_a_minute(void **state)
{
    struct scene *s = *state;

    are_runnable = true;
    ask_one_that_hangs(s);
    pass_s(s, 60);
    assert_false(is_lost(s));
    pass_s(s, 1);
    assert_true(is_lost(s));
    assert_int_equal(s->error, -EAGAIN);
}

static void test_spawner_that_is_asked_nothing_has_all_the_time(void **state)
{
    struct scene *s = *state;

    assert_int_equal(kill(s->first, SIGSTOP), 0);
    pass_s(s, 300);
    assert_false(is_lost(s));
}

/* Returns the bytes of answers that skepd has not read. */
static unsigned unread_bytes(void)
{
    unsigned sum = 0;

    for (int fd = 0; fd < FDS_MAX; fd++) {
        int type = 0, bytes = 0;
        socklen_t size = sizeof type;
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET &&
            ioctl(fd, FIONREAD, &bytes) == 0)
            sum += (unsigned) bytes;
    }
    return sum;
}

static void test_answer_that_skepd_has_not_read_counts(void **state)
{
    const unsigned answer_bytes = sizeof(struct spawner_answer) + sizeof(struct jail_facts);
    struct scene *s = *state;

    ask(s);
    ask(s);
    while (unread_bytes() < 2 * answer_bytes)
        ;
    clock_pass(100 * NSEC_PER_SEC); /* skepd itself stood still */
    (void) event_base_loop(s->base, EVLOOP_NONBLOCK); /* one answer, then the tick */
    assert_int_equal(s->n_facts, 2);
    assert_false(is_lost(s));
}

static void test_spawner_is_stopped_if_two_looks_in_a_row_say_so(void **state)
{
    struct scene *s = *state;

    for (unsigned i = 0; i < 3; i++) { /* a debugger that attaches, and goes on */
        stopped_pid = s->first;
        pass_s(s, 1);
        stopped_pid = 0;
        pass_s(s, 1);
    }
    assert_false(is_lost(s));
    stopped_pid = s->first;
    pass_s(s, 1);
    assert_false(is_lost(s));
    pass_s(s, 1);
    assert_true(is_lost(s));
    await(s, has_reserve);
    assert_int_equal(s->health.of[HELPER_SPAWNER].losses, 1);
}

static void test_upgrade_waits_for_no_second_look(void **state)
{
    const struct spawner_upgrade_job job = { .ops = &successor, .owner = *state, .handover_fd = 0 };
    struct scene *s = *state;

    stopped_pid = s->first;
    assert_int_equal(spawner_upgrade(s->spawner, &job), 0);
    assert_true(is_lost(s));
    while (s->n_successors == 0)
        (void) event_base_loop(s->base, EVLOOP_ONCE);
    assert_true(s->error < 0); /* the other spawner's: it knows no program to start */
    assert_int_not_equal(s->error, -EPIPE);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_spawner_that_sleeps_has_fifteen_seconds_for_an_answer),
        TEST(test_spawner_that_waits_for_a_processor_has_a_minute),
        TEST(test_spawner_that_is_asked_nothing_has_all_the_time),
        TEST(test_answer_that_skepd_has_not_read_counts),
        TEST(test_spawner_is_stopped_if_two_looks_in_a_row_say_so),
        TEST(test_upgrade_waits_for_no_second_look),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
