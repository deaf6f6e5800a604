/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A helper that is started with a word: one process for each, and no word that is not a name. The program is this test, which writes
 * its arguments to its channel.
 */
#include "supervisor/helpers/spawner.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/cleanup.h"
#include "helper/helper.h"

#define SAYS_ARGUMENTS "says-arguments"
#define OPTION "--cordon="

enum { WITH_WORD, WITHOUT_WORD, PROGRAMS };

struct start {
    bool is_answered;
    int error;
    pid_t pid;
    char text[256];
};

static const struct spawner_ops ops = { 0 };

/* Reads what the program says until it has ended. */
static void read_all(int fd, char *text, size_t size)
{
    size_t have = 0;

    for (;;) {
        struct pollfd input = { .fd = fd, .events = POLLIN };
        (void) poll(&input, 1, -1);
        ssize_t n = read(fd, text + have, size - 1 - have);
        if (n < 0 && errno == EAGAIN)
            continue;
        if (n <= 0)
            break;
        have += (size_t) n;
    }
    text[have] = '\0';
}

static void on_started(void *owner, int error, const char *step,
                       const struct spawner_started *started)
{
    struct start *start = owner;

    (void) step;
    start->is_answered = true;
    start->error = error;
    if (!started)
        return;
    start->pid = started->pid;
    read_all(started->channel_fd, start->text, sizeof start->text);
    (void) close(started->channel_fd);
    (void) close(started->pidfd);
    (void) close(started->stat_fd);
}

struct scene {
    struct event_base *base;
    struct spawner *spawner;
};

static void enter(struct scene *s)
{
    const struct spawner_program programs[PROGRAMS] = {
        [WITH_WORD] = { .name = SAYS_ARGUMENTS,
                        .path = "/proc/self/exe",
                        .folder_fd = -1,
                        .arguments = { "--first", "--second" },
                        .word_option = OPTION },
        [WITHOUT_WORD] = { .name = SAYS_ARGUMENTS, .path = "/proc/self/exe", .folder_fd = -1 },
    };
    const struct spawner_options options = { .worker_path = "/bin/true",
                                             .programs = programs,
                                             .n_programs = PROGRAMS };

    assert_int_equal(spawner_start(&options, &s->spawner), 0);
    s->base = event_base_new();
    assert_int_equal(spawner_attach(s->spawner, s->base, &ops, s), 0);
}

static void leave(struct scene *s)
{
    s->spawner = spawner_free(s->spawner);
    event_base_free(s->base);
}

static struct start start(struct scene *s, unsigned number, const char *word)
{
    struct start result = { 0 };

    assert_int_equal(spawner_start_helper(s->spawner, number, word, on_started, &result), 0);
    while (!result.is_answered)
        (void) event_base_loop(s->base, EVLOOP_ONCE);
    return result;
}

static void test_word_is_the_last_argument(void **state)
{
    struct scene s;

    (void) state;
    enter(&s);
    struct start one = start(&s, WITH_WORD, "alpha");
    assert_int_equal(one.error, 0);
    assert_string_equal(one.text, "--first --second --cordon=alpha");
    one = start(&s, WITHOUT_WORD, NULL);
    assert_int_equal(one.error, 0);
    assert_string_equal(one.text, "");
    leave(&s);
}

static void test_processes_of_one_program_are_told_apart(void **state)
{
    struct start both[2] = { { 0 } };
    struct scene s;

    (void) state;
    enter(&s);
    assert_int_equal(spawner_start_helper(s.spawner, WITH_WORD, "alpha", on_started, &both[0]), 0);
    assert_int_equal(spawner_start_helper(s.spawner, WITH_WORD, "beta", on_started, &both[1]), 0);
    while (!both[0].is_answered || !both[1].is_answered)
        (void) event_base_loop(s.base, EVLOOP_ONCE);
    assert_string_equal(both[0].text, "--first --second --cordon=alpha");
    assert_string_equal(both[1].text, "--first --second --cordon=beta");
    assert_int_not_equal(both[0].pid, both[1].pid);
    leave(&s);
}

static void test_word_that_is_no_name_starts_nothing(void **state)
{
    static const char *const words[] = { "", "..", "a/b", "A", "a=b", "-a" };
    struct scene s;

    (void) state;
    enter(&s);
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        assert_int_equal(start(&s, WITH_WORD, words[i]).error, -EPROTO);
    assert_int_equal(start(&s, WITH_WORD, NULL).error, -EPROTO);
    assert_int_equal(start(&s, WITHOUT_WORD, "alpha").error, -EPROTO);
    leave(&s);
}

static void test_word_that_is_too_long_is_not_asked_for(void **state)
{
    char word[66] = { 0 };
    struct start none = { 0 };
    struct scene s;

    (void) state;
    memset(word, 'a', 64);
    enter(&s);
    assert_int_equal(spawner_start_helper(s.spawner, WITH_WORD, word, on_started, &none), -EINVAL);
    word[63] = '\0';
    assert_int_equal(start(&s, WITH_WORD, word).error, 0);
    leave(&s);
}

/* The program: writes the arguments behind --layers to the channel. */
static int say_arguments(int argc, char **argv)
{
    char text[256] = "";
    size_t size = 0;

    for (int i = 2; i < argc; i++)
        size +=
            (size_t) snprintf(text + size, sizeof text - size, "%s%s", i > 2 ? " " : "", argv[i]);
    return write(HELPER_CHANNEL_FD, text, size) == (ssize_t) size ? 0 : 1;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_word_is_the_last_argument),
        cmocka_unit_test(test_processes_of_one_program_are_told_apart),
        cmocka_unit_test(test_word_that_is_no_name_starts_nothing),
        cmocka_unit_test(test_word_that_is_too_long_is_not_asked_for),
    };

    if (strcmp(argv[0], SAYS_ARGUMENTS) == 0)
        return say_arguments(argc, argv);
    (void) signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
