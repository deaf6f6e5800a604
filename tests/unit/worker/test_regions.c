/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker/regions.h: which regions of large objects an isolate keeps, how many, and what becomes of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "worker/memory.h"
#include "worker/regions.h"

#define KIB ((size_t) 1024)
#define MIB (1024 * KIB)
#define PAGE ((size_t) 4096)

static struct regions a, b;

static int start(void **state)
{
    (void) state;
    regions_init(&a, memory_open());
    regions_init(&b, memory_open());
    return 0;
}

static int end(void **state)
{
    (void) state;
    regions_close(&a);
    regions_close(&b);
    memory_close(a.account);
    memory_close(b.account);
    return regions_in_all() == 0 ? 0 : -1;
}

static char *map(size_t size)
{
    char *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(data, MAP_FAILED);
    return data;
}

/* Returns a region with the mark in it. */
static char *marked(size_t size, char mark)
{
    char *data = map(size);

    memset(data, mark, size);
    return data;
}

static bool is_mapped(char *data)
{
    unsigned char is_resident;

    return mincore(data, PAGE, &is_resident) == 0;
}

static void keep(struct regions *regions, size_t size)
{
    assert_true(regions_keep(regions, map(size), size));
}

static void unmap(char *data, size_t size)
{
    assert_non_null(data);
    assert_int_equal(munmap(data, size), 0);
}

static void test_a_region_is_used_again_and_counts_meanwhile(void **state)
{
    char *data = marked(MIB, 'x');

    (void) state;
    assert_true(regions_keep(&a, data, MIB));
    assert_int_equal(memory_held(a.account), MIB);
    assert_int_equal(regions_in_all(), MIB);
    assert_ptr_equal(regions_take(&a, MIB, PAGE), data);
    assert_int_equal(data[MIB - 1], 'x');
    assert_int_equal(memory_held(a.account), 0);
    assert_int_equal(regions_in_all(), 0);
    assert_null(regions_take(&a, MIB, PAGE));
    unmap(data, MIB);
}

static void test_no_isolate_gets_the_region_of_another(void **state)
{
    (void) state;
    keep(&a, MIB);
    assert_null(regions_take(&b, MIB, PAGE));
    assert_int_equal(memory_held(b.account), 0);
    assert_int_equal(memory_held(a.account), MIB);
}

static void test_a_region_that_is_a_little_larger_is_cut_and_no_other_fits(void **state)
{
    char *data = map(MIB);

    (void) state;
    assert_true(regions_keep(&a, data, MIB));
    assert_null(regions_take(&a, MIB + PAGE, PAGE));
    assert_null(regions_take(&a, 3 * MIB / 4 - PAGE, PAGE));
    assert_ptr_equal(regions_take(&a, 3 * MIB / 4, PAGE), data);
    assert_true(is_mapped(data + 3 * MIB / 4 - PAGE));
    assert_false(is_mapped(data + 3 * MIB / 4));
    unmap(data, 3 * MIB / 4);
    assert_int_equal(memory_held(a.account), 0);
}

static void test_the_best_fit_of_the_right_alignment_is_taken(void **state)
{
    char *whole = map(4 * MIB);
    char *aligned = (char *) (((uintptr_t) whole + 2 * MIB - 1) & ~(2 * MIB - 1));

    (void) state;
    assert_true(regions_keep(&a, aligned, MIB + 2 * PAGE));
    assert_true(regions_keep(&a, aligned + MIB + 4 * PAGE, MIB / 2));
    assert_null(regions_take(&a, MIB / 2, MIB));
    assert_ptr_equal(regions_take(&a, MIB / 2, PAGE), aligned + MIB + 4 * PAGE);
    assert_ptr_equal(regions_take(&a, MIB, 2 * MIB), aligned);
    unmap(whole, 4 * MIB);
}

static void test_regions_are_few_and_the_oldest_go(void **state)
{
    enum { SMALL = 256 << 10 };
    char *first = map(SMALL);

    (void) state;
    assert_true(regions_keep(&a, first, SMALL));
    for (unsigned i = 1; i <= REGIONS_MOST + 1; i++) {
        assert_int_equal(a.kept[0].data == first, i <= REGIONS_MOST);
        char *other = map(SMALL);
        assert_true(regions_keep(&a, other, SMALL));
        assert_in_range(a.n, 1, REGIONS_MOST);
        assert_ptr_equal(a.kept[a.n - 1].data, other);
    }
    assert_int_equal(a.n, REGIONS_MOST);
    assert_int_equal(memory_held(a.account), (size_t) REGIONS_MOST * SMALL);
    for (unsigned i = 0; i < 100; i++) {
        keep(&a, 4 * MIB);
        assert_in_range(memory_held(a.account), MIB, REGIONS_MOST_BYTES);
    }
    assert_int_equal(memory_held(a.account), REGIONS_MOST_BYTES / (4 * MIB) * 4 * MIB);
}

static void test_a_huge_region_is_not_kept(void **state)
{
    char *data = map(REGIONS_MOST_BYTES + PAGE);

    (void) state;
    keep(&a, MIB);
    assert_false(regions_keep(&a, data, REGIONS_MOST_BYTES + PAGE));
    assert_int_equal(a.n, 1);
    unmap(data, REGIONS_MOST_BYTES + PAGE);
}

static void test_all_isolates_together_keep_a_bounded_amount(void **state)
{
    enum { ISOLATES = 12 };
    struct regions many[ISOLATES];
    unsigned n_kept = 0;

    (void) state;
    for (unsigned i = 0; i < ISOLATES; i++) {
        char *data = map(REGIONS_MOST_BYTES);
        regions_init(&many[i], a.account);
        if (regions_keep(&many[i], data, REGIONS_MOST_BYTES))
            n_kept++;
        else
            unmap(data, REGIONS_MOST_BYTES);
        assert_in_range(regions_in_all(), 1, REGIONS_IN_ALL_BYTES);
    }
    assert_int_equal(n_kept, REGIONS_IN_ALL_BYTES / REGIONS_MOST_BYTES);
    for (unsigned i = 0; i < ISOLATES; i++)
        regions_close(&many[i]);
}

static void test_regions_that_were_not_needed_go(void **state)
{
    (void) state;
    for (unsigned i = 0; i < 4; i++)
        keep(&a, MIB);
    assert_true(regions_release(&a)); /* all of them are new */
    assert_int_equal(a.n, 4);
    for (unsigned i = 0; i < 3; i++) { /* two at a time are needed */
        char *one = regions_take(&a, MIB, PAGE), *other = regions_take(&a, MIB, PAGE);
        assert_true(regions_keep(&a, one, MIB));
        assert_true(regions_keep(&a, other, MIB));
        assert_true(regions_release(&a));
        assert_int_equal(a.n, 2);
    }
    assert_false(regions_release(&a));
    assert_int_equal(memory_held(a.account), 0);
}

static void test_all_go_when_the_isolate_ends(void **state)
{
    char *data = map(MIB);

    (void) state;
    assert_true(regions_keep(&a, data, MIB));
    assert_true(regions_drain(&a));
    assert_false(regions_drain(&a));
    assert_false(is_mapped(data));
    data = map(MIB);
    regions_close(&a);
    assert_false(regions_keep(&a, data, MIB));
    assert_int_equal(memory_held(a.account), 0);
    unmap(data, MIB);
}

static void drain(void *owner)
{
    (void) regions_drain(owner);
}

static void test_an_alarm_may_take_all_of_them(void **state)
{
    (void) state;
    memory_set_alarm(a.account, 2 * MIB, drain, &a);
    keep(&a, MIB);
    assert_int_equal(a.n, 1);
    keep(&a, MIB); /* sets the alarm off */
    assert_int_equal(a.n, 0);
    assert_int_equal(memory_held(a.account), 0);
    memory_set_alarm(a.account, SIZE_MAX, NULL, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_region_is_used_again_and_counts_meanwhile),
        TEST(test_no_isolate_gets_the_region_of_another),
        TEST(test_a_region_that_is_a_little_larger_is_cut_and_no_other_fits),
        TEST(test_the_best_fit_of_the_right_alignment_is_taken),
        TEST(test_regions_are_few_and_the_oldest_go),
        TEST(test_a_huge_region_is_not_kept),
        TEST(test_all_isolates_together_keep_a_bounded_amount),
        TEST(test_regions_that_were_not_needed_go),
        TEST(test_all_go_when_the_isolate_ends),
        TEST(test_an_alarm_may_take_all_of_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
