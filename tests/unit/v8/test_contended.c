/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's filter allows what V8's mutexes do when two threads want one at the same time: the
 * sentry stops JavaScript while the main thread is in the same part of V8.
 */
#include "tests/unit/v8/isolate_fixture.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/io.h"
#include "sandbox-policy/policy.h"
#include "worker/sentry.h"

#define TICKS 300 /* the sentry stops the entry once in each */
#define TICK_NS (2 * NSEC_PER_MSEC)

static int load_filter(void)
{
    const struct policy_context context = {
        .jit = true,
        .channel_fd = POLICY_CHANNEL_FD,
        .self = getpid(),
    };
    scmp_filter_ctx filter = NULL;
    const char *failed = NULL;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        policy_build_filter(&policy_worker_running, &context, &filter, &failed) < 0)
        return -1;
    return seccomp_load(filter);
}

/* Takes and leaves V8's lock in an entry without any budget left, so that the sentry finds it taken
 * some hundred times, and is found in it. */
static _Noreturn void contend(void)
{
    struct sentry *sentry = NULL;
    uint64_t cpu_ns;

    if (start_v8() < 0 || sentry_start(&sentry) < 0)
        _exit(1);
    struct isolate *isolate = new_isolate();
    if (load_filter() < 0)
        _exit(2);
    uint64_t until_ns = io_now_ns() + TICKS * TICK_NS;
    sentry_enter(sentry, isolate, 0, io_now_ns());
    do {
        for (int i = 0; i < 1000; i++) {
            isolate_terminate(isolate);
            isolate_cancel_terminate(isolate);
        }
    } while (io_now_ns() < until_ns);
    _exit(sentry_leave(sentry, io_now_ns(), &cpu_ns) ? 0 : 3);
}

static void test_filter_lets_threads_wait_for_a_lock_of_v8(void **state)
{
    int status;

    (void) state;
    pid_t pid = fork();
    if (pid == 0)
        contend();
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        fail_msg("killed by signal %d", WTERMSIG(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filter_lets_threads_wait_for_a_lock_of_v8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
