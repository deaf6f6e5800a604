/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two tables of a hand-over, the old skepd's (upgrade.h) and the new one's (heir.h): each event
 * in each state; and a new skepd that gets the words of an old one on a real socket.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/cleanup.h"
#include "spawner/origin.h"
#include "supervisor/host/sockets.h"
#include "supervisor/record/life.h"
#include "supervisor/service/handover.h"
#include "supervisor/service/heir.h"
#include "supervisor/service/upgrade.h"

/* ---- the old skepd's table */

static void expect(enum upgrade_state state, enum upgrade_event event, const char *name)
{
    const char *action = upgrade_action_name(state, event);

    if (name)
        assert_string_equal(action, name);
    else
        assert_null(action);
}

static void test_service_is_handed_over_step_by_step(void **state)
{
    static const struct {
        enum upgrade_state in;
        enum upgrade_event event;
        const char *action;
    } steps[] = {
        { UPGRADE_STARTING, UPGRADE_ON_STARTED, "listen_to_other" },
        { UPGRADE_STARTING, UPGRADE_ON_READY, "hand_over" },
        { UPGRADE_HANDING_OVER, UPGRADE_ON_SERVING, "notify_manager" },
        { UPGRADE_NOTIFYING, UPGRADE_ON_KNOWN, "succeed" },
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        for (unsigned s = 0; s < UPGRADE_STATES;
             s++) /* a word that comes too early or twice has no effect */
            if (steps[i].event != UPGRADE_ON_STARTED || s != UPGRADE_KILLED)
                expect(s, steps[i].event, s == steps[i].in ? steps[i].action : NULL);
}

static void test_nothing_happens_without_an_upgrade(void **state)
{
    (void) state;
    for (unsigned e = 0; e < UPGRADE_EVENTS; e++)
        expect(UPGRADE_NONE, e, NULL);
}

static void test_service_is_taken_back_from_one_that_serves_and_is_not_known(void **state)
{
    (void) state;
    for (unsigned s = 0; s < UPGRADE_STATES; s++)
        for (unsigned e = 0; e < UPGRADE_EVENTS; e++) {
            const char *action = upgrade_action_name(s, e);
            bool takes_back = action && strncmp(action, "take_back", strlen("take_back")) == 0;
            assert_int_equal(takes_back, s == UPGRADE_NOTIFYING && e != UPGRADE_ON_KNOWN && action);
        }
    expect(UPGRADE_NOTIFYING, UPGRADE_ON_FAILED, "take_back_and_await_end");
    expect(UPGRADE_NOTIFYING, UPGRADE_ON_EXITED, "take_back_and_conclude");
    expect(UPGRADE_NOTIFYING, UPGRADE_ON_CANCEL, "take_back_and_kill");
}

static void test_end_of_the_new_one_is_the_end_of_the_upgrade(void **state)
{
    (void) state;
    for (unsigned s = UPGRADE_STARTING; s < UPGRADE_DONE; s++)
        expect(s, UPGRADE_ON_EXITED,
               s == UPGRADE_NOTIFYING ? "take_back_and_conclude" : "conclude");
    expect(UPGRADE_DONE, UPGRADE_ON_EXITED, "note_lost_service");
}

static void test_new_one_that_failed_may_end_by_itself_and_is_killed_after_a_while(void **state)
{
    (void) state;
    expect(UPGRADE_STARTING, UPGRADE_ON_FAILED, "await_end");
    expect(UPGRADE_HANDING_OVER, UPGRADE_ON_FAILED, "await_end");
    expect(UPGRADE_FAILING, UPGRADE_ON_FAILED,
           NULL); /* the first reason counts, and the timer is kept */
    expect(UPGRADE_FAILING, UPGRADE_ON_TIMEOUT, "kill_other");
    expect(UPGRADE_KILLED, UPGRADE_ON_TIMEOUT, "conclude");
}

static void test_new_one_that_is_late_is_killed_even_if_it_is_not_there_yet(void **state)
{
    (void) state;
    expect(UPGRADE_STARTING, UPGRADE_ON_TIMEOUT, "kill_other");
    expect(UPGRADE_HANDING_OVER, UPGRADE_ON_TIMEOUT, "kill_other");
    expect(UPGRADE_KILLED, UPGRADE_ON_STARTED, "kill_late");
    expect(UPGRADE_KILLED, UPGRADE_ON_NOT_STARTED, "conclude");
}

static void test_skepd_that_is_told_to_stop_hands_nothing_over(void **state)
{
    (void) state;
    expect(UPGRADE_STARTING, UPGRADE_ON_CANCEL, "kill_other");
    expect(UPGRADE_HANDING_OVER, UPGRADE_ON_CANCEL, "kill_other");
    expect(UPGRADE_FAILING, UPGRADE_ON_CANCEL, "kill_other");
    expect(UPGRADE_DONE, UPGRADE_ON_CANCEL, NULL); /* the other skepd is the service */
}

/* ---- the new skepd */

struct heir_fixture {
    int old; /* the old skepd's end */
    struct event_base *base;
    struct sockets *sockets;
    struct life life;
    struct heir *heir;
    unsigned n_main, n_known;
};

static void on_main(void *owner)
{
    ((struct heir_fixture *) owner)->n_main++;
}

static void on_known(void *owner)
{
    ((struct heir_fixture *) owner)->n_known++;
}

static int set_up(void **state)
{
    static const struct heir_ops ops = { .on_main = on_main, .on_known = on_known };
    struct heir_fixture *f = calloc(1, sizeof *f);
    char number[16];
    int pair[2];

    assert_non_null(f);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                     0);
    f->old = pair[0];
    (void) snprintf(number, sizeof number, "%d", pair[1]);
    assert_int_equal(setenv(ORIGIN_UPGRADE_FD, number, 1), 0);
    f->base = event_base_new();
    assert_int_equal(sockets_new(&f->sockets), 0);
    assert_int_equal(heir_new(&f->heir), 0);
    const struct heir_options options = {
        .base = f->base,
        .life = &f->life,
        .sockets = f->sockets,
        .ops = &ops,
        .owner = f,
    };
    assert_int_equal(heir_attach(f->heir, &options), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct heir_fixture *f = *state;

    (void) heir_free(f->heir);
    (void) sockets_free(f->sockets);
    event_base_free(f->base);
    if (f->old >= 0)
        (void) close(f->old);
    free(f);
    return 0;
}

/* Sends the word, and has the new skepd read all words. */
static void say(struct heir_fixture *f, const char *text)
{
    assert_int_equal(handover_send(f->old, text), 0);
    (void) event_base_loop(f->base, EVLOOP_NONBLOCK);
}

static void leave(struct heir_fixture *f)
{
    assert_int_equal(close(TAKE_FD(f->old)), 0);
    (void) event_base_loop(f->base, EVLOOP_NONBLOCK);
}

static void hear(struct heir_fixture *f, const char *word)
{
    char text[HANDOVER_MAX_BYTES];
    int passed;

    assert_int_equal(handover_receive(f->old, text, sizeof text, &passed), 0);
    assert_true(handover_is(text, word));
}

static void test_new_one_serves_when_it_is_told_to_and_is_known_after_that(void **state)
{
    struct heir_fixture *f = *state;

    assert_true(heir_is_waiting(f->heir));
    heir_say_ready(f->heir);
    heir_say_ready(f->heir);
    hear(f, HANDOVER_READY);
    say(f, HANDOVER_MAIN " cgroups=0 files=0");
    hear(f, HANDOVER_SERVING); /* ready was sent once */
    assert_int_equal(f->n_main, 1);
    assert_false(heir_is_waiting(f->heir));
    assert_true(heir_is_unknown(f->heir));
    say(f, HANDOVER_KNOWN);
    assert_int_equal(f->n_known, 1);
    assert_true(heir_has_predecessor(f->heir));
    leave(f);
    assert_false(heir_has_predecessor(f->heir));
    assert_int_equal(f->n_known, 1);
    assert_false(f->life.has_failed);
}

static void test_new_one_takes_nothing_over_before_it_is_ready(void **state)
{
    struct heir_fixture *f = *state;

    say(f, HANDOVER_MAIN " cgroups=0 files=0");
    say(f, HANDOVER_KNOWN);
    assert_int_equal(f->n_main + f->n_known, 0);
    assert_true(heir_is_waiting(f->heir));
}

static void test_new_one_that_waits_ends_with_the_old_one(void **state)
{
    struct heir_fixture *f = *state;

    heir_say_ready(f->heir);
    leave(f);
    assert_true(f->life.has_failed);
    assert_int_equal(f->n_main + f->n_known, 0);
}

static void test_new_one_that_serves_is_known_when_the_old_one_is_gone(void **state)
{
    struct heir_fixture *f = *state;

    heir_say_ready(f->heir);
    say(f, HANDOVER_MAIN " cgroups=0 files=0");
    leave(f);
    assert_int_equal(f->n_known, 1);
    assert_false(f->life.has_failed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_service_is_handed_over_step_by_step),
        cmocka_unit_test(test_nothing_happens_without_an_upgrade),
        cmocka_unit_test(test_service_is_taken_back_from_one_that_serves_and_is_not_known),
        cmocka_unit_test(test_end_of_the_new_one_is_the_end_of_the_upgrade),
        cmocka_unit_test(test_new_one_that_failed_may_end_by_itself_and_is_killed_after_a_while),
        cmocka_unit_test(test_new_one_that_is_late_is_killed_even_if_it_is_not_there_yet),
        cmocka_unit_test(test_skepd_that_is_told_to_stop_hands_nothing_over),
        TEST(test_new_one_serves_when_it_is_told_to_and_is_known_after_that),
        TEST(test_new_one_takes_nothing_over_before_it_is_ready),
        TEST(test_new_one_that_waits_ends_with_the_old_one),
        TEST(test_new_one_that_serves_is_known_when_the_old_one_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
