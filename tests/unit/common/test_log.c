/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/io.h"
#include "common/log.h"

struct fixture {
    int saved, reader;
};

/* Standard error becomes a pipe that the test reads. */
static int setup(void **state)
{
    static struct fixture f;
    int pair[2];

    assert_int_equal(pipe(pair), 0);
    f.saved = dup(STDERR_FILENO);
    f.reader = pair[0];
    assert_true(dup2(pair[1], STDERR_FILENO) >= 0);
    (void) close(pair[1]);
    assert_int_equal(io_set_nonblocking(f.reader), 0);
    log_init("test", LOG_LEVEL_INFO);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    (void) dup2(f->saved, STDERR_FILENO);
    (void) close(f->saved);
    (void) close(f->reader);
    return 0;
}

static size_t read_log(const struct fixture *f, char *buffer, size_t size)
{
    size_t have = 0;
    ssize_t n;

    while (have < size - 1 && (n = read(f->reader, buffer + have, size - 1 - have)) > 0)
        have += (size_t) n;
    buffer[have] = '\0';
    return have;
}

static void test_a_line_has_name_level_and_text(void **state)
{
    char text[256];

    log_warning("worker %u is %s", 3U, "gone");
    (void) read_log(*state, text, sizeof text);
    assert_non_null(strstr(text, " test warning: worker 3 is gone\n"));
}

static void test_less_important_lines_are_left_out(void **state)
{
    char text[256];

    log_debug("not this");
    assert_int_equal(read_log(*state, text, sizeof text), 0);
}

static void test_no_text_can_forge_a_line(void **state)
{
    char text[256];

    log_info("%s", "a\nb\rc\x1b[31m\x7f");
    (void) read_log(*state, text, sizeof text);
    assert_non_null(strstr(text, "a\\x0ab\\x0dc\\x1b[31m\\x7f\n"));
}

static void test_a_reader_that_has_stopped_loses_lines_and_is_told(void **state)
{
    static char text[1 << 20];

    for (unsigned i = 0; i < 10000; i++) /* much more than a pipe holds; must not wait */
        log_info("line %u of many, which nobody reads for now", i);
    (void) read_log(*state, text, sizeof text);
    assert_non_null(strstr(text, "line 0 of many"));
    assert_null(strstr(text, "line 9999 of many"));
    log_info("read again");
    (void) read_log(*state, text, sizeof text);
    assert_non_null(strstr(text, "log lines were lost"));
    assert_non_null(strstr(text, "read again\n"));
}

static void expect_escaped(const char *in, size_t length, const char *out)
{
    char buffer[64];

    assert_int_equal(log_escape(in, length, buffer, sizeof buffer), strlen(out));
    assert_string_equal(buffer, out);
}

static void test_escaping_keeps_utf8_and_nothing_that_is_not(void **state)
{
    (void) state;
    expect_escaped("h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x9d", 12,
                   "h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x9d");
    expect_escaped("\xc2\x9b", 2, "\\xc2\\x9b");          /* CSI, a C1 control */
    expect_escaped("\xc0\xaf", 2, "\\xc0\\xaf");          /* too long for '/' */
    expect_escaped("\xed\xa0\x80", 3, "\\xed\\xa0\\x80"); /* half a surrogate pair */
    expect_escaped("\xf4\x90\x80\x80", 4, "\\xf4\\x90\\x80\\x80");
    expect_escaped("\xe2\x82", 2, "\\xe2\\x82"); /* cut off */
    expect_escaped("a\0b", 3, "a\\x00b");
}

static void test_escaping_stops_where_the_buffer_ends(void **state)
{
    char buffer[6];

    (void) state;
    assert_int_equal(log_escape("ab\n\n", 4, buffer, sizeof buffer), 2);
    assert_string_equal(buffer, "ab");
    assert_int_equal(log_escape("abcdefgh", 8, buffer, sizeof buffer), 5);
    assert_string_equal(buffer, "abcde");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_line_has_name_level_and_text),
        TEST(test_less_important_lines_are_left_out),
        TEST(test_no_text_can_forge_a_line),
        TEST(test_a_reader_that_has_stopped_loses_lines_and_is_told),
        cmocka_unit_test(test_escaping_keeps_utf8_and_nothing_that_is_not),
        cmocka_unit_test(test_escaping_stops_where_the_buffer_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
