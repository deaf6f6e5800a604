/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a child is reported once, with its wait status and all the CPU time that it has used.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/io.h"
#include "supervisor/helpers/ends.h"

#define SLOT 7
#define BURNT_NS (60 * NSEC_PER_MSEC)
#define MOST_NS (30 * NSEC_PER_SEC)

struct told {
    unsigned n, slot;
    pid_t pid;
    int wait_status;
    uint64_t cpu_ns;
};

static void on_end(void *owner, unsigned slot, pid_t pid, int wait_status, uint64_t cpu_ns)
{
    struct told *told = owner;

    *told = (struct told){ told->n + 1, slot, pid, wait_status, cpu_ns };
}

/* Starts a child that uses the processor for a time, by its own clock, and then kills itself. */
static pid_t start_child(void)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    while (io_clock_ns(CLOCK_PROCESS_CPUTIME_ID) < BURNT_NS)
        ;
    (void) kill(getpid(), SIGKILL);
    _exit(1);
}

static void test_end_comes_once_with_all_that_the_process_has_used(void **state)
{
    struct event_base *base = event_base_new();
    struct told told = { 0 };
    struct ends *ends = ends_new(base, on_end, &told);
    pid_t pid = start_child();
    int pidfd = pidfd_open(pid, 0);

    (void) state;
    assert_non_null(ends);
    assert_true(pidfd >= 0);
    assert_int_equal(ends_add(ends, SLOT, pid, pidfd), 0);
    while (told.n == 0)
        (void) event_base_loop(base, EVLOOP_ONCE);
    assert_int_equal(told.slot, SLOT);
    assert_int_equal(told.pid, pid);
    assert_true(WIFSIGNALED(told.wait_status) && WTERMSIG(told.wait_status) == SIGKILL);
    assert_in_range(told.cpu_ns, BURNT_NS, MOST_NS);
    (void) event_base_loop(base, EVLOOP_NONBLOCK);
    assert_int_equal(told.n, 1);
    (void) close(pidfd);
    (void) ends_free(ends);
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_end_comes_once_with_all_that_the_process_has_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
