/* SPDX-License-Identifier: Apache-2.0 */
/* The mappings of source maps: where places come from, and texts that are none. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/source_map.h"

#define KNOWN(line, column, source, source_line, source_column) \
    {                                                           \
        line, column, true, source, source_line, source_column  \
    }
#define UNKNOWN(line, column)        \
    {                                \
        line, column, false, 0, 0, 0 \
    }

struct row {
    const char *mappings;
    struct source_map_place wanted;
};

static const struct row rows[] = {
    { "AAAA", KNOWN(0, 0, 0, 0, 0) },
    { "AAAA", KNOWN(0, 90, 0, 0, 0) },
    { "CAAA", UNKNOWN(0, 0) }, /* before the first segment */
    { "AAAA", UNKNOWN(1, 0) },
    { "", UNKNOWN(0, 0) },
    { ";;AACA", KNOWN(2, 5, 0, 1, 0) },
    { "AAAA,IAEC", KNOWN(0, 3, 0, 0, 0) },
    { "AAAA,IAEC", KNOWN(0, 4, 0, 2, 1) },
    { "AAAA,,IAECA", KNOWN(0, 9, 0, 2, 1) },
    { "AAAA;IAEC;AADD", KNOWN(2, 0, 0, 1, 0) }, /* sums go on from line to line */
    { "IAAA;EAAC", KNOWN(1, 2, 0, 0, 1) },      /* but for the column */
    { "AAAA,E", UNKNOWN(0, 2) },                /* code of no source */
    { "AAAA,E,EACC", KNOWN(0, 4, 0, 1, 1) },
    { "gggggB,A", UNKNOWN(0, 5) },
};

static void test_origin_is_found(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct source_map_place place = { .line = rows[i].wanted.line,
                                          .column = rows[i].wanted.column };
        assert_int_equal(source_map_find(rows[i].mappings, strlen(rows[i].mappings), &place, 1), 0);
        assert_int_equal(place.is_known, rows[i].wanted.is_known);
        if (!place.is_known)
            continue;
        assert_int_equal(place.source, rows[i].wanted.source);
        assert_int_equal(place.source_line, rows[i].wanted.source_line);
        assert_int_equal(place.source_column, rows[i].wanted.source_column);
    }
}

static void test_several_places_are_found_at_once(void **state)
{
    struct source_map_place places[] = { { .line = 2 }, { .line = 0, .column = 4 }, { .line = 1 } };

    (void) state;
    assert_int_equal(source_map_find("AAAA,IAEC;AAEA;ACGA", 19, places, 3), 0);
    assert_int_equal(places[0].source_line, 7);
    assert_int_equal(places[0].source, 1);
    assert_int_equal(places[1].source_line, 2);
    assert_int_equal(places[2].source_line, 4);
}

static void test_text_that_is_not_valid_is_refused(void **state)
{
    static const char *const texts[] = {
        "AAA",
        "AA",
        "AAAAAA",
        "D",
        "ADAA",
        "AADA",
        "!",
        "AAA\xff",
        "gggggggggggg",
        "AAAAg",
        "AAAA,g",
        "A A",
        "ggggggggggggggggggggggggggggggB",
        "+////////D",
    };

    (void) state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct source_map_place place = { 0 };
        assert_int_equal(source_map_find(texts[i], strlen(texts[i]), &place, 1), -EINVAL);
    }
}

static void test_lines_behind_the_last_place_are_not_read(void **state)
{
    struct source_map_place place = { 0 };

    (void) state;
    assert_int_equal(source_map_find("AAAA;!", 6, &place, 1), 0);
    assert_true(place.is_known);
    place.line = 1;
    assert_int_equal(source_map_find("AAAA;!", 6, &place, 1), -EINVAL);
}

static void test_line_and_column_of_any_size_are_allowed(void **state)
{
    struct source_map_place place = { .line = UINT32_MAX, .column = UINT32_MAX };

    (void) state;
    assert_int_equal(source_map_find("AAAA;;", 6, &place, 1), 0);
    assert_false(place.is_known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_origin_is_found),
        cmocka_unit_test(test_several_places_are_found_at_once),
        cmocka_unit_test(test_text_that_is_not_valid_is_refused),
        cmocka_unit_test(test_lines_behind_the_last_place_are_not_read),
        cmocka_unit_test(test_line_and_column_of_any_size_are_allowed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
