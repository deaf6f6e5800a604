/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU time of slices, with clocks of the test's own: a thread that runs, waits for a processor, and sleeps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "worker/slice_clock.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

static uint64_t wall_ns, cpu_ns;
static unsigned readings;

static uint64_t read_cpu_ns(void)
{
    readings++;
    return cpu_ns;
}

static struct slice_clock start(void)
{
    wall_ns = 1000 * MS;
    cpu_ns = 7 * MS;
    readings = 0;
    return (struct slice_clock){ .read_cpu_ns = read_cpu_ns };
}

static void run(uint64_t ns)
{
    wall_ns += ns;
    cpu_ns += ns;
}

static void wait(uint64_t ns)
{
    wall_ns += ns;
}

static void test_short_slices_of_a_batch_share_one_reading(void **state)
{
    struct slice_clock clock = start();

    (void) state;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(slice_begin(&clock, wall_ns), cpu_ns);
        run(3 * US);
        assert_int_equal(slice_end(&clock, wall_ns), 3 * US);
        run(1 * US); /* frames between the slices */
    }
    assert_int_equal(readings, 1);
}

static void test_batch_after_a_pause_begins_with_a_reading(void **state)
{
    struct slice_clock clock = start();

    (void) state;
    for (int i = 0; i < 3; i++) {
        wait(20 * MS);
        assert_int_equal(slice_begin(&clock, wall_ns), cpu_ns);
        run(2 * US);
        assert_int_equal(slice_end(&clock, wall_ns), 2 * US);
    }
    assert_int_equal(readings, 3);
}

static void test_long_slice_is_not_charged_for_its_wait(void **state)
{
    struct slice_clock clock = start();

    (void) state;
    (void) slice_begin(&clock, wall_ns);
    run(4 * MS);
    wait(30 * MS);
    run(1 * MS);
    assert_int_equal(slice_end(&clock, wall_ns), 5 * MS);
    /* The reading at the slice's end serves the next one. */
    assert_int_equal(slice_begin(&clock, wall_ns), cpu_ns);
    assert_int_equal(readings, 2);
}

static void test_slice_after_a_wait_in_the_batch_is_not_charged_for_it(void **state)
{
    struct slice_clock clock = start();

    (void) state;
    (void) slice_begin(&clock, wall_ns);
    run(2 * US);
    (void) slice_end(&clock, wall_ns);
    wait(8 * MS); /* another process had the processor */
    assert_int_equal(slice_begin(&clock, wall_ns), cpu_ns);
    run(9 * MS);
    assert_int_equal(slice_end(&clock, wall_ns), 9 * MS);
}

static uint64_t up_to(uint64_t most)
{
    return (uint64_t) random() % (most + 1);
}

/* With any times of running and waiting, each slice is charged with its CPU time, SLICE_NEAR_NS
 * more or less. */
static void test_no_slice_is_off_by_more_than_a_short_one(void **state)
{
    static const uint64_t most[] = { 0, 3 * US, 60 * US, 5 * MS };
    struct slice_clock clock = start();

    (void) state;
    srandom(1);
    for (int i = 0; i < 200000; i++) {
        uint64_t begun = cpu_ns, near = slice_begin(&clock, wall_ns);
        assert_in_range(near, begun, begun + SLICE_NEAR_NS);
        run(up_to(most[random() % 4]));
        wait(up_to(most[random() % 4]));
        run(up_to(most[random() % 4]));
        uint64_t used = cpu_ns - begun, charged = slice_end(&clock, wall_ns);
        assert_in_range(charged + SLICE_NEAR_NS, used, used + 2 * SLICE_NEAR_NS);
        run(up_to(most[random() % 3]));
        wait(up_to(most[random() % 4]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_slices_of_a_batch_share_one_reading),
        cmocka_unit_test(test_batch_after_a_pause_begins_with_a_reading),
        cmocka_unit_test(test_long_slice_is_not_charged_for_its_wait),
        cmocka_unit_test(test_slice_after_a_wait_in_the_batch_is_not_charged_for_it),
        cmocka_unit_test(test_no_slice_is_off_by_more_than_a_short_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
