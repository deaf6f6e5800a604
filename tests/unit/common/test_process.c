/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the state of another process from a file of the kernel's that was opened once.
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/process.h"

static pid_t start_sleeper(void)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        for (;;)
            (void) pause();
    return pid;
}

static void test_states_of_one_process_are_seen_as_they_come(void **state)
{
    _cleanup_fd_ int fd = -1;
    siginfo_t info;
    pid_t pid = start_sleeper();

    (void) state;
    assert_int_equal(process_open(pid, &fd), 0);
    assert_int_equal(process_state(fd), PROCESS_RUNS);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    assert_int_equal(waitid(P_PID, (id_t) pid, &info, WSTOPPED | WNOWAIT), 0);
    assert_int_equal(process_state(fd), PROCESS_STOPPED);
    assert_int_equal(kill(pid, SIGCONT), 0);
    assert_int_equal(waitid(P_PID, (id_t) pid, &info, WCONTINUED), 0);
    assert_int_equal(process_state(fd), PROCESS_RUNS);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitid(P_PID, (id_t) pid, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(process_state(fd), PROCESS_EXITING); /* a zombie */
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(process_state(fd), PROCESS_EXITING); /* gone */
}

static void test_process_is_runnable_if_it_would_go_on(void **state)
{
    _cleanup_fd_ int fd = -1, own_fd = -1;
    siginfo_t info;
    pid_t pid = start_sleeper();

    (void) state;
    assert_int_equal(process_open(getpid(), &own_fd), 0);
    assert_true(process_is_runnable(own_fd));
    assert_int_equal(process_open(pid, &fd), 0);
    while (process_is_runnable(fd)) /* until it pauses */
        (void) sched_yield();
    assert_int_equal(kill(pid, SIGSTOP), 0);
    assert_int_equal(waitid(P_PID, (id_t) pid, &info, WSTOPPED | WNOWAIT), 0);
    assert_false(process_is_runnable(fd));
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_false(process_is_runnable(fd));
    assert_false(process_is_runnable(-1));
}

static void test_cpu_time_grows_while_a_process_runs(void **state)
{
    _cleanup_fd_ int fd = -1;

    (void) state;
    assert_int_equal(process_open(getpid(), &fd), 0);
    const uint64_t before = process_cpu_ns(fd);
    while (process_cpu_ns(fd) < before + 30000000) /* some clock ticks */
        ;
    assert_true(process_cpu_ns(fd) < before + UINT64_C(60000000000));
    assert_int_equal(process_cpu_ns(-1), 0);
}

static void test_process_that_is_not_there_cannot_be_opened(void **state)
{
    int unset = -1;
    pid_t pid = start_sleeper();

    (void) state;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(process_open(pid, &unset), -ENOENT);
    assert_int_equal(unset, -1);
    assert_int_equal(process_state(-1), PROCESS_EXITING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states_of_one_process_are_seen_as_they_come),
        cmocka_unit_test(test_process_is_runnable_if_it_would_go_on),
        cmocka_unit_test(test_cpu_time_grows_while_a_process_runs),
        cmocka_unit_test(test_process_that_is_not_there_cannot_be_opened),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
