/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/run_queue.h"

#define MS 1000U /* in us */

static int queue_new(void **state)
{
    *state = calloc(1, sizeof(struct run_queue));
    return *state ? 0 : -1;
}

static int queue_free(void **state)
{
    free(*state);
    return 0;
}

/* Gives the next turn to an entry, which at once wants another. Returns the entry. */
static struct run_entry *turn(struct run_queue *queue)
{
    struct run_entry *entry = run_queue_next(queue);

    assert_non_null(entry);
    run_queue_charge(queue, entry, entry->cost_us, entry->cost_us);
    return entry;
}

/* Gives out CPU time, and measures how much each of two entries gets; in us. */
static void share(struct run_queue *queue, struct run_entry *a, struct run_entry *b,
                  uint64_t given_us, uint64_t ret_us[2])
{
    uint64_t got[2] = { 0, 0 };

    while (got[0] + got[1] < given_us) {
        struct run_entry *entry = turn(queue);
        assert_true(entry == a || entry == b);
        got[entry == b] += entry->cost_us;
    }
    memcpy(ret_us, got, sizeof got);
}

static void assert_near(uint64_t value, uint64_t wanted, unsigned percent)
{
    assert_in_range(value, wanted - wanted * percent / 100, wanted + wanted * percent / 100);
}

static void test_empty_queue_has_no_next(void **state)
{
    assert_null(run_queue_next(*state));
}

static void test_the_only_one_is_next_whatever_it_costs(void **state)
{
    struct run_entry heavy = { 0 };

    run_queue_join(*state, &heavy, UINT32_MAX, 1);
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(turn(*state), &heavy);
    run_queue_leave(*state, &heavy);
    assert_null(run_queue_next(*state));
}

static void test_next_stays_the_next_until_it_is_charged(void **state)
{
    struct run_entry a = { 0 }, b = { 0 };

    run_queue_join(*state, &a, 1 * MS, 100);
    run_queue_join(*state, &b, 1 * MS, 100);
    assert_ptr_equal(run_queue_next(*state), &a);
    assert_ptr_equal(run_queue_next(*state), &a);
    run_queue_charge(*state, &a, 1 * MS, 1 * MS);
    assert_ptr_equal(run_queue_next(*state), &b);
}

static void test_who_postpones_its_turn_lets_others_pass_and_loses_nothing(void **state)
{
    struct run_entry first = { 0 }, second = { 0 }, third = { 0 };

    run_queue_join(*state, &first, 1 * MS, 100);
    run_queue_join(*state, &second, 1 * MS, 100);
    run_queue_join(*state, &third, 1 * MS, 100);
    assert_ptr_equal(run_queue_next(*state), &first);
    run_queue_postpone(*state, &first);
    assert_ptr_equal(turn(*state), &second);
    assert_ptr_equal(turn(*state), &third);
    assert_ptr_equal(turn(*state), &first);
    for (unsigned i = 0; i < 100; i++) {
        run_queue_postpone(*state, run_queue_next(*state));
        assert_int_equal(first.deficit_us, 1 * MS);
    }
}

static void test_cpu_time_is_shared_by_weight_and_not_by_turns(void **state)
{
    struct run_entry a = { 0 }, b = { 0 };
    uint64_t got[2];

    run_queue_join(*state, &a, 50, 100);
    run_queue_join(*state, &b, 50 * MS, 100);
    share(*state, &a, &b, 10000 * MS, got);
    assert_near(got[0], got[1], 3);
    run_queue_leave(*state, &a);
    run_queue_leave(*state, &b);

    run_queue_join(*state, &a, 20 * MS, 300);
    run_queue_join(*state, &b, 20 * MS, 100);
    share(*state, &a, &b, 10000 * MS, got);
    assert_near(got[0], 3 * got[1], 3);
    run_queue_leave(*state, &a);
    run_queue_leave(*state, &b);

    run_queue_join(*state, &a, 1 * MS, 1000);
    run_queue_join(*state, &b, 1 * MS, 1);
    share(*state, &a, &b, 10000 * MS, got);
    assert_near(got[0], 1000 * got[1], 20);
}

static void test_most_expensive_of_the_least_weight_has_its_share_too(void **state)
{
    struct run_entry a = { 0 }, b = { 0 };
    uint64_t got[2];

    run_queue_join(*state, &a, 1 * MS, 100);
    run_queue_join(*state, &b, RUN_COST_MAX_US, 1);
    share(*state, &a, &b, UINT64_C(6000000) * MS, got);
    assert_near(got[0], 100 * got[1], 10);
}

static void test_light_one_that_comes_is_served_before_the_second_turn_of_a_heavy_one(void **state)
{
    struct run_entry heavy = { 0 }, light = { 0 };

    run_queue_join(*state, &heavy, 50 * MS, 100);
    assert_ptr_equal(turn(*state), &heavy);
    run_queue_join(*state, &light, 50, 100);
    assert_ptr_equal(run_queue_next(*state), &light);
}

static void test_who_leaves_and_returns_each_time_starves_nobody(void **state)
{
    struct run_entry heavy = { 0 }, returning[3];
    uint64_t got = 0;

    memset(returning, 0, sizeof returning);
    run_queue_join(*state, &heavy, 50 * MS, 100);
    for (int i = 0; i < 3; i++)
        run_queue_join(*state, &returning[i], 1 * MS, 100);
    struct run_entry *next;
    while ((next = run_queue_next(*state)) != &heavy) {
        run_queue_charge(*state, next, 1 * MS, 1 * MS);
        run_queue_leave(*state, next);
        run_queue_join(*state, next, 1 * MS, 100);
        got += 1 * MS;
        assert_true(got <= 3 * 50 * MS);
    }
}

static void test_who_returns_has_saved_nothing(void **state)
{
    struct run_entry idle = { 0 }, busy = { 0 };
    uint64_t got[2];

    run_queue_join(*state, &busy, 1 * MS, 100);
    run_queue_join(*state, &idle, 50, 100);
    run_queue_leave(*state, &idle);
    for (int i = 0; i < 100000; i++)
        (void) turn(*state);
    run_queue_join(*state, &idle, 1 * MS, 100);
    share(*state, &idle, &busy, 100 * MS, got);
    assert_near(got[0], got[1], 5);
}

static void test_what_cost_more_than_was_expected_is_paid_later(void **state)
{
    struct run_entry a = { 0 }, b = { 0 };
    unsigned turns_of_b = 0;

    run_queue_join(*state, &a, 1 * MS, 100);
    run_queue_join(*state, &b, 1 * MS, 100);
    assert_ptr_equal(run_queue_next(*state), &a);
    run_queue_charge(*state, &a, 20 * MS, 1 * MS);
    while (turn(*state) == &b)
        turns_of_b++;
    assert_in_range(turns_of_b, 18, 21);
}

static void test_what_was_charged_too_much_comes_back(void **state)
{
    struct run_entry a = { 0 }, b = { 0 };
    uint64_t got[2] = { 0, 0 };

    /* Too much is expected of b, time and again. */
    run_queue_join(*state, &a, 10 * MS, 100);
    run_queue_join(*state, &b, 100 * MS, 100);
    while (got[0] + got[1] < 10000 * MS) {
        struct run_entry *entry = turn(*state);
        got[entry == &b] += 10 * MS;
        if (entry == &b)
            run_queue_settle(*state, &b, 100 * MS, 10 * MS);
    }
    assert_near(got[0], got[1], 15);
}

static void test_what_was_charged_too_much_comes_back_to_one_that_returns(void **state)
{
    struct run_entry busy = { 0 }, returning = { 0 };
    unsigned n = 0;

    run_queue_join(*state, &busy, 10 * MS, 100);
    run_queue_join(*state, &returning, 100 * MS, 100);
    while (turn(*state) == &busy)
        ;
    run_queue_leave(*state, &returning);
    run_queue_settle(*state, &returning, 100 * MS, 10 * MS);
    run_queue_join(*state, &returning, 100 * MS, 100);
    while (turn(*state) == &busy)
        n++;
    assert_in_range(n, 1, 3);
}

static void test_what_comes_back_is_not_saved(void **state)
{
    struct run_entry alone = { 0 }, late = { 0 };
    unsigned before = 0;

    run_queue_join(*state, &alone, 1 * MS, 100);
    for (int i = 0; i < 100; i++) {
        (void) turn(*state);
        run_queue_settle(*state, &alone, 100 * MS, 1 * MS);
    }
    run_queue_join(*state, &late, 1 * MS, 100);
    while (turn(*state) == &alone)
        before++;
    assert_true(before <= 2);
}

static void test_nobody_waits_for_more_than_the_others_share(void **state)
{
    enum { N = 256 };
    static struct run_entry entries[N];
    unsigned since[N] = { 0 };

    for (unsigned i = 0; i < N; i++)
        run_queue_join(*state, &entries[i], 1 + i * 97 % 1000, 100);
    for (unsigned i = 0; i < 200 * N; i++) {
        struct run_entry *entry = turn(*state);
        for (unsigned j = 0; j < N; j++)
            since[j] += entry->cost_us;
        since[entry - entries] = 0;
        for (unsigned j = 0; j < N; j++)
            assert_true(since[j] <= 3 * N * RUN_QUANTUM_US);
    }
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, queue_new, queue_free)
    const struct CMUnitTest tests[] = {
        TEST(test_empty_queue_has_no_next),
        TEST(test_the_only_one_is_next_whatever_it_costs),
        TEST(test_next_stays_the_next_until_it_is_charged),
        TEST(test_who_postpones_its_turn_lets_others_pass_and_loses_nothing),
        TEST(test_cpu_time_is_shared_by_weight_and_not_by_turns),
        TEST(test_most_expensive_of_the_least_weight_has_its_share_too),
        TEST(test_light_one_that_comes_is_served_before_the_second_turn_of_a_heavy_one),
        TEST(test_who_leaves_and_returns_each_time_starves_nobody),
        TEST(test_who_returns_has_saved_nothing),
        TEST(test_what_cost_more_than_was_expected_is_paid_later),
        TEST(test_what_was_charged_too_much_comes_back),
        TEST(test_what_was_charged_too_much_comes_back_to_one_that_returns),
        TEST(test_what_comes_back_is_not_saved),
        TEST(test_nobody_waits_for_more_than_the_others_share),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
