/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "supervisor/record/record.h"

static uint64_t add(struct log_store *store, struct counted *counted, const char *text)
{
    struct log_line line = { .level = TENANT_INFO, .size = strlen(text) };

    log_store_add(store, counted, &line, text);
    return line.number;
}

static size_t count(const struct log_store *store, const struct counted *counted, size_t *ret_bytes)
{
    size_t n = 0;

    *ret_bytes = 0;
    for (const struct log_line *line = log_store_newest(store, counted); line;
         line = log_line_older(line, counted)) {
        *ret_bytes += line->size;
        n++;
    }
    return n;
}

static void test_lines_are_kept_in_order_of_each_and_of_all(void **state)
{
    struct counted a = { 0 }, b = { 0 };
    struct log_store *store;
    size_t bytes;

    (void) state;
    assert_int_equal(log_store_new(&store), 0);
    assert_null(log_store_newest(store, NULL));
    assert_null(log_store_newest(store, &a));
    assert_int_equal(log_store_last_number(store), 0);
    assert_int_equal(add(store, &a, "one"), 1);
    assert_int_equal(add(store, &b, "two"), 2);
    assert_int_equal(add(store, &a, "three"), 3);
    assert_int_equal(count(store, NULL, &bytes), 3);
    const struct log_line *line = log_store_newest(store, &a);
    assert_int_equal(line->number, 3);
    assert_memory_equal(line->text, "three", 5);
    line = log_line_older(line, &a);
    assert_int_equal(line->number, 1);
    assert_null(log_line_older(line, &a));
    assert_int_equal(log_line_newer(line, NULL)->number, 2);
    assert_int_equal(log_line_newer(line, &a)->number, 3);
    (void) log_store_free(store);
}

static void test_the_oldest_of_a_tenant_make_room_for_its_own(void **state)
{
    struct counted loud = { 0 }, quiet = { 0 };
    struct log_store *store;
    char text[1000];
    size_t bytes;

    (void) state;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_int_equal(log_store_new(&store), 0);
    (void) add(store, &quiet, "first");
    for (unsigned i = 0; i < 1000; i++)
        (void) add(store, &loud, text);
    size_t n = count(store, &loud, &bytes);
    assert_in_range(bytes, LOG_STORE_TENANT_BYTES / 2, LOG_STORE_TENANT_BYTES);
    assert_int_equal(log_store_newest(store, &loud)->number, 1001);
    assert_int_equal(count(store, &quiet, &bytes), 1);
    assert_int_equal(count(store, NULL, &bytes), n + 1);
    (void) log_store_free(store);
}

/* Empty lines count, too, by the memory that is kept for each. */
static void test_the_oldest_of_all_make_room_where_there_are_many_tenants(void **state)
{
    enum { TENANTS = 400 };
    static struct counted tenants[TENANTS];
    struct log_store *store;
    size_t bytes, n;

    (void) state;
    assert_int_equal(log_store_new(&store), 0);
    for (unsigned round = 0; round < 1000; round++)
        for (unsigned i = 0; i < TENANTS; i++)
            (void) add(store, &tenants[i], "");
    n = count(store, NULL, &bytes);
    assert_true(n * sizeof(struct log_line) <= LOG_STORE_BYTES);
    assert_true(n > LOG_STORE_BYTES / 256);
    for (unsigned i = 0; i < TENANTS; i++)
        log_store_forget(store, &tenants[i]);
    assert_int_equal(count(store, NULL, &bytes), 0);
    (void) log_store_free(store);
}

static void test_tenant_that_goes_takes_its_lines_along(void **state)
{
    struct counted a = { 0 }, b = { 0 };
    struct log_store *store;
    size_t bytes;

    (void) state;
    assert_int_equal(log_store_new(&store), 0);
    (void) add(store, &a, "a");
    (void) add(store, &b, "b");
    log_store_forget(store, &a);
    assert_null(a.shelf);
    assert_int_equal(count(store, NULL, &bytes), 1);
    log_store_forget(store, &a);
    assert_int_equal(add(store, &a, "again"), 3);
    assert_int_equal(count(store, &a, &bytes), 1);
    (void) log_store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_are_kept_in_order_of_each_and_of_all),
        cmocka_unit_test(test_the_oldest_of_a_tenant_make_room_for_its_own),
        cmocka_unit_test(test_the_oldest_of_all_make_room_where_there_are_many_tenants),
        cmocka_unit_test(test_tenant_that_goes_takes_its_lines_along),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
