/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Callbacks that compute for long are counted by their names; callbacks that only wait are not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"

static void compute(uint64_t us)
{
    uint64_t until = io_clock_ns(CLOCK_THREAD_CPUTIME_ID) + us * NSEC_PER_USEC;

    while (io_clock_ns(CLOCK_THREAD_CPUTIME_ID) < until)
        ;
}

static const struct loop_slow *find(const char *name)
{
    size_t n;
    const struct loop_slow *slow = loop_watch_slow(&n);

    for (size_t i = 0; i < n; i++)
        if (strcmp(slow[i].name, name) == 0)
            return &slow[i];
    return NULL;
}

static void computes(const char *name, uint64_t us)
{
    LOOP_CALLBACK(name);
    compute(us);
}

static void waits(const char *name)
{
    static const struct timespec time = { .tv_nsec = 20000000 };

    LOOP_CALLBACK(name);
    (void) nanosleep(&time, NULL);
}

static void holds(const char *outer, const char *inner, uint64_t us)
{
    LOOP_CALLBACK(outer);
    computes("short", 100);
    computes(inner, us);
}

static void test_nothing_is_measured_before_the_start(void **state)
{
    size_t n;

    (void) state;
    computes("early", 8000);
    (void) loop_watch_slow(&n);
    assert_int_equal(n, 0);
    loop_watch_start();
}

static void test_long_callback_is_counted_by_its_name(void **state)
{
    (void) state;
    computes("long", 8000);
    computes("long", 9000);
    assert_non_null(find("long"));
    assert_int_equal(find("long")->cpu, 2);
    assert_int_equal(find("long")->disk, 0);
    assert_in_range(find("long")->longest_us, 9000, 60000);
    assert_true(loop_watch_longest_us() >= find("long")->longest_us);
}

static void test_short_callbacks_are_not_counted_however_many(void **state)
{
    (void) state;
    for (unsigned i = 0; i < 30; i++)
        computes("short", 500);
    assert_null(find("short"));
}

static void test_waiting_is_no_computing(void **state)
{
    (void) state;
    waits("waits");
    assert_null(find("waits"));
}

static void test_innermost_name_has_the_blame(void **state)
{
    (void) state;
    holds("outer", "inner", 8000);
    assert_non_null(find("inner"));
    assert_null(find("outer"));
}

static void test_there_are_not_more_names_than_room(void **state)
{
    static char names[2 * LOOP_SLOW_MAX][16];
    size_t n;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        (void) snprintf(names[i], sizeof names[i], "name %zu", i);
        computes(names[i], LOOP_CALLBACK_MAX_US + 1000);
    }
    (void) loop_watch_slow(&n);
    assert_int_equal(n, LOOP_SLOW_MAX);
    assert_non_null(find("others"));
}

static uint64_t time_of_a_callback(void)
{
    LOOP_CALLBACK("inner");
    return loop_now_ns();
}

static void test_time_of_a_callback_is_when_it_began_until_it_is_touched(void **state)
{
    (void) state;
    uint64_t before = loop_now_ns();
    LOOP_CALLBACK("timed");
    uint64_t began = loop_now_ns();
    assert_true(began >= before);
    compute(10);
    assert_int_equal(loop_now_ns(), began);
    uint64_t after_inner = time_of_a_callback();
    assert_true(after_inner > began);
    assert_int_equal(loop_now_ns(), after_inner);
    compute(10);
    loop_now_touch();
    assert_true(loop_now_ns() > after_inner);
}

static void test_time_outside_of_callbacks_is_the_clocks(void **state)
{
    (void) state;
    uint64_t before = loop_now_ns();
    compute(10);
    assert_true(loop_now_ns() > before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_measured_before_the_start),
        cmocka_unit_test(test_long_callback_is_counted_by_its_name),
        cmocka_unit_test(test_short_callbacks_are_not_counted_however_many),
        cmocka_unit_test(test_waiting_is_no_computing),
        cmocka_unit_test(test_innermost_name_has_the_blame),
        cmocka_unit_test(test_there_are_not_more_names_than_room),
        cmocka_unit_test(test_time_of_a_callback_is_when_it_began_until_it_is_touched),
        cmocka_unit_test(test_time_outside_of_callbacks_is_the_clocks),
    };

    log_silence();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
