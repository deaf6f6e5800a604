/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor/record/failure.h: what people read of a failure.
 */
#include "supervisor/record/failure.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* needs some of the above */

#include "common/cleanup.h"

static void assert_message(const struct failure *failure, const char *expected)
{
    _cleanup_free_ char *message = failure_message(failure);

    assert_non_null(message);
    assert_string_equal(message, expected);
}

static void test_failure_has_its_place_in_front_of_its_text(void **state)
{
    _cleanup_(failure_done) struct failure plain = { 0 }, placed = { 0 }, whole = { 0 };

    (void) state;
    assert_int_equal(failure_set(&plain, -EBUSY, "%s is busy", "shop"), -EBUSY);
    assert_message(&plain, "shop is busy");
    assert_int_equal(failure_set_at(&placed, -EEXIST, "/srv/skep.yaml", 3, "taken"), -EEXIST);
    assert_int_equal(placed.code, -EEXIST);
    assert_message(&placed, "/srv/skep.yaml:3: taken");
    (void) failure_set_at(&whole, -ENOENT, "a.js", 0, "is not there");
    assert_message(&whole, "a.js: is not there");
}

static void test_bytes_of_a_peer_end_where_they_end(void **state)
{
    _cleanup_(failure_done) struct failure failure = { 0 };
    static const char bytes[] = { 'f', 'u', 'l', 'l', 'X' };

    (void) state;
    assert_int_equal(failure_set_text(&failure, -EIO, bytes, 4), -EIO);
    assert_message(&failure, "full");
}

static void test_each_thing_that_is_wrong_in_files_is_a_line(void **state)
{
    _cleanup_(failure_done) struct failure failure = { 0 }, whole = { 0 }, unread = { 0 };
    _cleanup_(config_errors_done) struct config_errors errors = { 0 }, none = { 0 };

    (void) state;
    config_errors_add(&errors, "/state/x/bundle/skep.yaml", 3, "no such cordon");
    config_errors_add(&errors, "/state/x/bundle/lib/a.js", 0, "is too large");
    config_errors_add(&errors, "/state/x/env", 0, "is missing");
    assert_int_equal(failure_set_errors(&failure, -EINVAL, &errors, "/bundle/"), -EINVAL);
    assert_message(&failure,
                   "skep.yaml:3: no such cordon\nlib/a.js: is too large\nenv: is missing");
    (void) failure_set_errors(&whole, -EINVAL, &errors, NULL);
    assert_string_equal(whole.where.file, "/state/x/bundle/skep.yaml");
    (void) failure_set_errors(&unread, -EACCES, &none, "/bundle/");
    assert_message(&unread, "it cannot be read: Permission denied");
}

static void test_place_is_shown_without_the_folder_that_nobody_knows(void **state)
{
    _cleanup_(failure_done) struct failure failure = { 0 }, plain = { 0 };

    (void) state;
    (void) failure_set_at(&failure, -EEXIST, "/state/x/bundle/skep.yaml", 3, "taken");
    failure_shorten_place(&failure, "/bundle/");
    assert_message(&failure, "skep.yaml:3: taken");
    (void) failure_set(&plain, -EBUSY, "busy");
    failure_shorten_place(&plain, "/bundle/"); /* the message has no place */
    assert_message(&plain, "busy");
}

static void test_failure_of_a_file_joins_the_others(void **state)
{
    _cleanup_(failure_done) struct failure placed = { 0 }, plain = { 0 };
    _cleanup_(config_errors_done) struct config_errors errors = { 0 };

    (void) state;
    (void) failure_set_at(&placed, -EEXIST, "/srv/skep.yaml", 3, "taken");
    failure_add_to(&placed, "other", &errors);
    (void) failure_set(&plain, -ENOMEM, "no memory");
    failure_add_to(&plain, "/srv/skep.yaml", &errors);
    assert_string_equal(errors.text, "/srv/skep.yaml:3: taken\n/srv/skep.yaml: no memory\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failure_has_its_place_in_front_of_its_text),
        cmocka_unit_test(test_bytes_of_a_peer_end_where_they_end),
        cmocka_unit_test(test_each_thing_that_is_wrong_in_files_is_a_line),
        cmocka_unit_test(test_place_is_shown_without_the_folder_that_nobody_knows),
        cmocka_unit_test(test_failure_of_a_file_joins_the_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
