/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of a deploy's states and events: what each event does in each state.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h> /* needs some of the above */

#include "common/cleanup.h"
#include "supervisor/deploy/deploy.h"

static void expect(enum deploy_state state, enum deploy_event event, const char *action)
{
    const char *name = deploy_action_name(state, event);

    if (!name)
        fail_msg("state %d has no action for event %d", (int) state, (int) event);
    assert_string_equal(name, action);
}

static bool has(enum deploy_state state, enum deploy_event event)
{
    return deploy_action_name(state, event) != NULL;
}

/* States in which the store was asked something, and the answer that fits. */
static const struct {
    enum deploy_state state;
    enum deploy_event answer;
    const char *action;
} asked[] = {
    { DEPLOY_SENDING, DEPLOY_ON_ACCEPTED, "await_part" },
    { DEPLOY_SEALING, DEPLOY_ON_SEALED, "deploy_take_seal" },
    { DEPLOY_CHOOSING, DEPLOY_ON_VERSIONS, "deploy_choose" },
    { DEPLOY_CHECKING, DEPLOY_ON_ACCEPTED, "read_version" },
    { DEPLOY_COMMITTING, DEPLOY_ON_COMMITTED, "deploy_take_commit" },
    { DEPLOY_REMOVING, DEPLOY_ON_REMOVED, "deploy_take_removal" },
    { DEPLOY_LISTING, DEPLOY_ON_VERSIONS, "deploy_show" },
};

static void test_each_question_has_one_answer_that_fits(void **state)
{
    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(asked); i++)
        for (unsigned event = DEPLOY_ON_ACCEPTED; event <= DEPLOY_ON_REMOVED; event++) {
            if (event == asked[i].answer)
                expect(asked[i].state, event, asked[i].action);
            else
                assert_false(has(asked[i].state, event));
        }
}

static void test_each_question_may_be_denied_or_stay_without_an_answer(void **state)
{
    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
        expect(asked[i].state, DEPLOY_ON_DENIED, "fail");
        expect(asked[i].state, DEPLOY_ON_UNANSWERED,
               asked[i].state == DEPLOY_COMMITTING ? "fail_commit" : "fail_gone");
    }
}

static void test_store_is_believed_nothing_that_it_was_not_asked(void **state)
{
    static const enum deploy_state unasked[] = { DEPLOY_UPLOADING, DEPLOY_READING, DEPLOY_BOOTING,
                                                 DEPLOY_MIGRATING, DEPLOY_LEAVING, DEPLOY_CLEARING,
                                                 DEPLOY_POSTPONED };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(unasked); i++)
        for (unsigned event = DEPLOY_ON_ACCEPTED; event <= DEPLOY_ON_UNANSWERED; event++)
            assert_false(has(unasked[i], event));
}

static void test_upload_ends_with_the_store_that_has_it(void **state)
{
    (void) state;
    expect(DEPLOY_UPLOADING, DEPLOY_ON_STORE_LOST, "fail_upload");
    expect(DEPLOY_READING, DEPLOY_ON_STORE_LOST, "fail_upload");
    expect(DEPLOY_BOOTING, DEPLOY_ON_STORE_LOST, "fail_upload");
    expect(DEPLOY_MIGRATING, DEPLOY_ON_STORE_LOST, "fail_upload");
    assert_false(has(DEPLOY_RETURNING, DEPLOY_ON_STORE_LOST));
    assert_false(has(DEPLOY_POSTPONED, DEPLOY_ON_STORE_LOST));
}

static void test_only_what_is_not_being_made_durable_is_given_up(void **state)
{
    static const enum deploy_state kept[] = { DEPLOY_COMMITTING, DEPLOY_LEAVING,  DEPLOY_CLEARING,
                                              DEPLOY_REMOVING,   DEPLOY_LISTING,  DEPLOY_RETURNING,
                                              DEPLOY_POSTPONED,  DEPLOY_ABANDONED };
    static const enum deploy_state given_up[] = { DEPLOY_SENDING,  DEPLOY_UPLOADING, DEPLOY_SEALING,
                                                  DEPLOY_CHOOSING, DEPLOY_CHECKING,  DEPLOY_READING,
                                                  DEPLOY_BOOTING,  DEPLOY_MIGRATING };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        assert_false(has(kept[i], DEPLOY_ON_LEFT));
        assert_false(has(kept[i], DEPLOY_ON_DRAIN));
    }
    for (size_t i = 0; i < ARRAY_LEN(given_up); i++) {
        assert_true(has(given_up[i], DEPLOY_ON_LEFT));
        expect(given_up[i], DEPLOY_ON_DRAIN, "fail_drained");
    }
    expect(DEPLOY_CHOOSING, DEPLOY_ON_LEFT, "abandon"); /* nothing was begun */
    expect(DEPLOY_CHECKING, DEPLOY_ON_LEFT, "abandon");
}

static void test_version_loads_before_it_is_committed_and_once(void **state)
{
    (void) state;
    for (unsigned i = 0; i < DEPLOY_STATES; i++) {
        assert_int_equal(has(i, DEPLOY_ON_LOADED), i == DEPLOY_BOOTING);
        assert_int_equal(has(i, DEPLOY_ON_REFUSED), i == DEPLOY_BOOTING);
        assert_int_equal(has(i, DEPLOY_ON_READ), i == DEPLOY_READING);
        assert_int_equal(has(i, DEPLOY_ON_UNREADABLE), i == DEPLOY_READING);
        assert_int_equal(has(i, DEPLOY_ON_PART), i == DEPLOY_UPLOADING);
    }
    expect(DEPLOY_BOOTING, DEPLOY_ON_LOADED, "migrate");
    expect(DEPLOY_BOOTING, DEPLOY_ON_DROPPED, "fail_dropped");
    expect(DEPLOY_COMMITTING, DEPLOY_ON_DROPPED, "forget_staged");
}

static void test_what_is_stored_goes_before_the_versions(void **state)
{
    (void) state;
    expect(DEPLOY_LEAVING, DEPLOY_ON_TICK, "remove_when_idle");
    expect(DEPLOY_CLEARING, DEPLOY_ON_CLEARED, "remove_cleared");
    expect(DEPLOY_CLEARING, DEPLOY_ON_UNCLEARED, "fail_uncleared");
    for (unsigned i = 0; i < DEPLOY_STATES; i++)
        assert_int_equal(has(i, DEPLOY_ON_CLEARED), i == DEPLOY_CLEARING);
}

static void test_a_version_is_durable_after_its_migrations(void **state)
{
    (void) state;
    expect(DEPLOY_MIGRATING, DEPLOY_ON_MIGRATED, "commit");
    expect(DEPLOY_MIGRATING, DEPLOY_ON_UNMIGRATED, "fail_load");
    expect(DEPLOY_MIGRATING, DEPLOY_ON_DROPPED, "fail_dropped");
    for (unsigned i = 0; i < DEPLOY_STATES; i++) {
        assert_int_equal(has(i, DEPLOY_ON_MIGRATED), i == DEPLOY_MIGRATING);
        assert_int_equal(has(i, DEPLOY_ON_UNMIGRATED), i == DEPLOY_MIGRATING);
    }
}

static void test_way_back_waits_for_the_store(void **state)
{
    (void) state;
    expect(DEPLOY_RETURNING, DEPLOY_ON_UNANSWERED, "postpone");
    expect(DEPLOY_POSTPONED, DEPLOY_ON_STORE_READY, "send_back");
    expect(DEPLOY_RETURNING, DEPLOY_ON_COMMITTED, "end");
    expect(DEPLOY_RETURNING, DEPLOY_ON_REMOVED, "end"); /* there was no version before */
    expect(DEPLOY_RETURNING, DEPLOY_ON_DENIED, "say_unreturned");
}

static void test_whatever_the_store_says_ends_what_is_over(void **state)
{
    (void) state;
    for (unsigned event = DEPLOY_ON_ACCEPTED; event <= DEPLOY_ON_UNANSWERED; event++)
        expect(DEPLOY_ABANDONED, event, "end");
    for (unsigned event = DEPLOY_ON_UNANSWERED + 1; event < DEPLOY_EVENTS; event++)
        assert_false(has(DEPLOY_ABANDONED, event));
}

static void test_time_ends_uploads_loads_and_waiting(void **state)
{
    (void) state;
    for (unsigned i = 0; i < DEPLOY_STATES; i++)
        assert_int_equal(has(i, DEPLOY_ON_TICK),
                         i == DEPLOY_UPLOADING || i == DEPLOY_BOOTING || i == DEPLOY_LEAVING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_question_has_one_answer_that_fits),
        cmocka_unit_test(test_each_question_may_be_denied_or_stay_without_an_answer),
        cmocka_unit_test(test_store_is_believed_nothing_that_it_was_not_asked),
        cmocka_unit_test(test_upload_ends_with_the_store_that_has_it),
        cmocka_unit_test(test_only_what_is_not_being_made_durable_is_given_up),
        cmocka_unit_test(test_version_loads_before_it_is_committed_and_once),
        cmocka_unit_test(test_what_is_stored_goes_before_the_versions),
        cmocka_unit_test(test_a_version_is_durable_after_its_migrations),
        cmocka_unit_test(test_way_back_waits_for_the_store),
        cmocka_unit_test(test_whatever_the_store_says_ends_what_is_over),
        cmocka_unit_test(test_time_ends_uploads_loads_and_waiting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
