/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/memory.h"

#define KIB ((size_t) 1024)
#define MIB (1024 * KIB)

static unsigned n_alarms;

static void on_alarm(void *owner)
{
    n_alarms++;
    (void) memory_add(*(size_t *) owner); /* memory that the callback allocates itself */
}

static void test_a_block_belongs_to_the_account_that_was_current_until_it_is_freed(void **state)
{
    uint32_t a = memory_open(), b = memory_open();
    uint32_t before = memory_enter(a);
    uint32_t owner = memory_add(3 * MIB);

    (void) state;
    assert_int_equal(owner, a);
    (void) memory_enter(b);
    memory_remove(owner, MIB); /* freed while another account is current */
    memory_leave(before);
    assert_int_equal(memory_held(a), 2 * MIB);
    assert_int_equal(memory_held(b), 0);
    memory_remove(owner, 2 * MIB);
    memory_close(a);
    memory_close(b);
}

static void test_accounts_are_published_as_they_change(void **state)
{
    uint32_t kib = 0, account = memory_open();

    (void) state;
    memory_publish(account, &kib);
    for (unsigned i = 0; i < 1000; i++) {
        memory_add_to(account, KIB);
        assert_true(i + 1 - kib <= 64 + 1);
    }
    for (unsigned i = 0; i < 1000; i++)
        memory_remove(account, KIB);
    assert_true(kib <= 64);
    memory_publish(account, NULL);
    memory_add_to(account, MIB);
    assert_true(kib <= 64); /* no longer */
    memory_remove(account, MIB);
    memory_close(account);
}

static void test_alarm_goes_off_once_at_its_level_and_not_again_by_what_it_allocates(void **state)
{
    uint32_t account = memory_open();
    uint32_t before = memory_enter(account);
    size_t own = MIB;

    (void) state;
    n_alarms = 0;
    memory_set_alarm(account, 4 * MIB, on_alarm, &own);
    (void) memory_add(4 * MIB - 1);
    assert_int_equal(n_alarms, 0);
    (void) memory_add(1);
    assert_int_equal(n_alarms, 1);
    (void) memory_add(MIB);
    assert_int_equal(n_alarms, 1);
    memory_set_alarm(account, MIB, on_alarm, &own); /* the account is over that already */
    assert_int_equal(n_alarms, 2);
    memory_leave(before);
    memory_remove(account, memory_held(account));
    memory_close(account);
}

static void test_new_account_starts_with_nothing_in_it(void **state)
{
    (void) state;
    for (unsigned i = 0; i < 3 * MEMORY_ACCOUNTS; i++) { /* more than there are names */
        uint32_t account = memory_open();
        assert_int_not_equal(account, MEMORY_OWN);
        assert_int_not_equal(account, MEMORY_UNCOUNTED);
        assert_int_equal(memory_held(account), 0);
        memory_add_to(account, KIB);
        memory_close(account);
    }
}

static void test_all_names_taken_leaves_the_workers_own_account(void **state)
{
    static uint32_t opened[MEMORY_ACCOUNTS];
    unsigned n = 0;

    (void) state;
    while (n < MEMORY_ACCOUNTS && (opened[n] = memory_open()) != MEMORY_OWN)
        n++;
    assert_int_equal(n, MEMORY_UNCOUNTED - 1);
    memory_close(MEMORY_OWN);
    while (n > 0)
        memory_close(opened[--n]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_block_belongs_to_the_account_that_was_current_until_it_is_freed),
        cmocka_unit_test(test_accounts_are_published_as_they_change),
        cmocka_unit_test(test_alarm_goes_off_once_at_its_level_and_not_again_by_what_it_allocates),
        cmocka_unit_test(test_new_account_starts_with_nothing_in_it),
        cmocka_unit_test(test_all_names_taken_leaves_the_workers_own_account),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
