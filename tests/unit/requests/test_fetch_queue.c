/* SPDX-License-Identifier: Apache-2.0 */
/* supervisor/requests/fetch_queue.h: whose fetch is the next, and who leaves room for others. */
#include "supervisor/requests/fetch_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h> /* needs some of the above */

#define TENANTS 200
#define LANES 12

/* A tenant with some requests, each with a few fetches. */
struct tenant_of_test {
    struct fetch_share share;
    struct fetch_lane lanes[LANES];
};

struct city {
    struct fetch_queue queue;
    uint64_t now_ns;
    struct tenant_of_test *tenants;
};

static struct city *make(void)
{
    struct city *city = calloc(1, sizeof *city);

    assert_non_null(city);
    city->tenants = calloc(TENANTS, sizeof *city->tenants);
    assert_non_null(city->tenants);
    fetch_queue_init(&city->queue, FETCH_BOUNDS);
    return city;
}

static void end(struct city *city)
{
    assert_int_equal(city->queue.n_open, 0);
    assert_int_equal(city->queue.n_waiting, 0);
    assert_int_equal(city->queue.n_turns, 0);
    for (unsigned i = 0; i < TENANTS; i++) {
        assert_int_equal(city->tenants[i].share.n_places, 0);
        assert_int_equal(city->tenants[i].share.n_open, 0);
        for (unsigned k = 0; k < LANES; k++)
            assert_int_equal(city->tenants[i].lanes[k].n_begun, 0);
    }
    free(city->tenants);
    free(city);
}

static void join(struct city *city, struct fetch_place *place, unsigned tenant, unsigned lane)
{
    struct tenant_of_test *of = &city->tenants[tenant];

    fetch_queue_join(&city->queue, place, &of->lanes[lane], &of->share, ++city->now_ns);
}

static struct fetch_place *open_next(struct city *city)
{
    struct fetch_place *place = fetch_queue_next(&city->queue);

    if (place)
        fetch_queue_open(&city->queue, place);
    return place;
}

static unsigned open_all(struct city *city)
{
    unsigned n = 0;

    while (open_next(city))
        n++;
    return n;
}

static void test_six_of_a_request_wait_for_their_heads(void **state)
{
    struct city *city = make();
    struct fetch_place places[10] = { 0 };

    (void) state;
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(fetch_queue_would_wait(&city->queue, &city->tenants[0].lanes[0],
                                                &city->tenants[0].share),
                         i >= FETCH_HEADS_MAX);
        join(city, &places[i], 0, 0);
        (void) open_next(city);
    }
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(places[i].phase, i < FETCH_HEADS_MAX ? FETCH_OPEN : FETCH_BLOCKED);
    assert_ptr_equal(fetch_queue_oldest(&city->queue), &places[6]);
    /* A head lets the next one begin, in the order of the calls; so does an end. */
    fetch_queue_answer(&city->queue, &places[3]);
    assert_ptr_equal(open_next(city), &places[6]);
    fetch_queue_leave(&city->queue, &places[0]);
    assert_ptr_equal(open_next(city), &places[7]);
    /* The end of an answered one does not: its head has let one begin. */
    fetch_queue_leave(&city->queue, &places[3]);
    assert_null(open_next(city));
    /* One that never had its turn leaves nothing behind. */
    fetch_queue_leave(&city->queue, &places[8]);
    fetch_queue_leave(&city->queue, &places[1]);
    assert_ptr_equal(open_next(city), &places[9]);
    assert_null(fetch_queue_oldest(&city->queue));
    for (unsigned i = 0; i < 10; i++)
        fetch_queue_leave(&city->queue, &places[i]); /* a second time does nothing */
    end(city);
}

static void test_a_ready_fetch_that_leaves_lets_a_blocked_one_follow(void **state)
{
    struct city *city = make();
    struct fetch_place places[FETCH_HEADS_MAX + 1] = { 0 };

    (void) state;
    for (unsigned i = 0; i < FETCH_HEADS_MAX + 1; i++)
        join(city, &places[i], 0, 0);
    assert_int_equal(places[FETCH_HEADS_MAX].phase, FETCH_BLOCKED);
    fetch_queue_leave(&city->queue, &places[2]);
    assert_int_equal(places[FETCH_HEADS_MAX].phase, FETCH_READY);
    assert_int_equal(open_all(city), FETCH_HEADS_MAX);
    for (unsigned i = 0; i < FETCH_HEADS_MAX + 1; i++)
        fetch_queue_leave(&city->queue, &places[i]);
    end(city);
}

static void test_tenants_take_turns(void **state)
{
    struct city *city = make();
    struct fetch_place many[12] = { 0 }, few[4] = { 0 };

    (void) state;
    for (unsigned i = 0; i < 12; i++)
        join(city, &many[i], 0, i % LANES);
    for (unsigned i = 0; i < 4; i++)
        join(city, &few[i], 1 + i / 2, 0);
    const struct fetch_place *order[] = { &many[0], &few[0], &few[2], &many[1],
                                          &few[1],  &few[3], &many[2] };
    for (unsigned i = 0; i < 7; i++)
        assert_ptr_equal(open_next(city), order[i]);
    assert_int_equal(open_all(city), 9);
    for (unsigned i = 0; i < 12; i++)
        fetch_queue_leave(&city->queue, &many[i]);
    for (unsigned i = 0; i < 4; i++)
        fetch_queue_leave(&city->queue, &few[i]);
    end(city);
}

/* 72 fetches of each tenant in 12 requests, which nobody answers. */
static void hang(struct city *city, struct fetch_place *places, unsigned from, unsigned n_tenants)
{
    for (unsigned t = 0; t < n_tenants; t++)
        for (unsigned i = 0; i < LANES * FETCH_HEADS_MAX; i++)
            join(city, &places[t * LANES * FETCH_HEADS_MAX + i], from + t, i % LANES);
    (void) open_all(city);
}

static void test_a_tenant_has_at_most_its_part_of_egress(void **state)
{
    struct city *city = make();
    struct fetch_place *places = calloc(LANES * FETCH_HEADS_MAX, sizeof *places), other = { 0 };

    (void) state;
    hang(city, places, 0, 1);
    assert_int_equal(city->tenants[0].share.n_open, EGRESS_TENANT_FETCHES_MAX);
    assert_true(
        fetch_queue_would_wait(&city->queue, &city->tenants[0].lanes[11], &city->tenants[0].share));
    join(city, &other, 1, 0);
    assert_ptr_equal(open_next(city), &other);
    fetch_queue_leave(&city->queue, &other);
    /* The next one follows as soon as one ends, and not with its head. */
    fetch_queue_answer(&city->queue, &places[0]);
    assert_null(open_next(city));
    fetch_queue_leave(&city->queue, &places[0]);
    assert_non_null(open_next(city));
    assert_null(open_next(city));
    for (unsigned i = 0; i < LANES * FETCH_HEADS_MAX; i++)
        fetch_queue_leave(&city->queue, &places[i]);
    free(places);
    end(city);
}

static void test_many_tenants_that_hang_leave_places_to_others(void **state)
{
    const unsigned n = LANES * FETCH_HEADS_MAX, n_hung = TENANTS - 20;
    struct city *city = make();
    struct fetch_place *places = calloc((size_t) n_hung * n, sizeof *places);
    struct fetch_place others[20] = { 0 };

    (void) state;
    assert_non_null(places);
    hang(city, places, 0, n_hung);
    /* They want 12,960 places of 4096; all of them have nearly the same number, and others find some free. */
    for (unsigned t = 0; t < n_hung; t++)
        assert_in_range(city->tenants[t].share.n_open, 19, 21);
    for (unsigned i = 0; i < 20; i++) {
        assert_false(
            fetch_queue_would_wait(&city->queue, &city->tenants[n_hung + i].lanes[0], NULL));
        join(city, &others[i], n_hung + i, 0);
        assert_ptr_equal(open_next(city), &others[i]);
    }
    /* The free places are not for those who have their part. */
    assert_null(open_next(city));
    assert_in_range(city->queue.n_open, 3400, EGRESS_FETCHES_MAX - 500);
    for (unsigned i = 0; i < 20; i++)
        fetch_queue_leave(&city->queue, &others[i]);
    for (unsigned i = 0; i < n_hung * n; i++)
        fetch_queue_leave(&city->queue, &places[i]);
    free(places);
    end(city);
}

static void test_the_last_place_is_the_last(void **state)
{
    struct city *city = make();
    struct fetch_share *shares = calloc(EGRESS_FETCHES_MAX + 1, sizeof *shares);
    struct fetch_lane *lanes = calloc(EGRESS_FETCHES_MAX + 1, sizeof *lanes);
    struct fetch_place *places = calloc(EGRESS_FETCHES_MAX + 1, sizeof *places);

    (void) state;
    for (unsigned i = 0; i < EGRESS_FETCHES_MAX + 1; i++) {
        fetch_queue_join(&city->queue, &places[i], &lanes[i], &shares[i], i);
        assert_ptr_equal(open_next(city), i < EGRESS_FETCHES_MAX ? &places[i] : NULL);
    }
    fetch_queue_leave(&city->queue, &places[7]);
    assert_ptr_equal(open_next(city), &places[EGRESS_FETCHES_MAX]);
    for (unsigned i = 0; i < EGRESS_FETCHES_MAX + 1; i++)
        fetch_queue_leave(&city->queue, &places[i]);
    free(places);
    free(lanes);
    free(shares);
    end(city);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_six_of_a_request_wait_for_their_heads),
        cmocka_unit_test(test_a_ready_fetch_that_leaves_lets_a_blocked_one_follow),
        cmocka_unit_test(test_tenants_take_turns),
        cmocka_unit_test(test_a_tenant_has_at_most_its_part_of_egress),
        cmocka_unit_test(test_many_tenants_that_hang_leave_places_to_others),
        cmocka_unit_test(test_the_last_place_is_the_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
