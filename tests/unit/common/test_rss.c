/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resident memory of a process, read from outside.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/rss.h"

#define MIB (UINT64_C(1) << 20)

static pid_t start_sleeper(void)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        for (;;)
            (void) pause();
    return pid;
}

static void end(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_memory_that_is_touched_is_seen(void **state)
{
    _cleanup_fd_ int fd = -1;

    (void) state;
    assert_int_equal(rss_open(getpid(), &fd), 0);
    uint64_t before = rss_read_bytes(fd);
    assert_in_range(before, 1, 1024 * MIB);
    void *memory = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    assert_in_range(rss_read_bytes(fd), before / 2, before + 16 * MIB); /* mapped is not resident */
    memset(memory, 1, 64 * MIB);
    assert_in_range(rss_read_bytes(fd), before + 60 * MIB, before + 80 * MIB);
    assert_int_equal(munmap(memory, 64 * MIB), 0);
    assert_in_range(rss_read_bytes(fd), before / 2, before + 16 * MIB);
}

static void test_process_that_is_gone_has_none(void **state)
{
    _cleanup_fd_ int fd = -1;
    int unset = -1;
    pid_t pid = start_sleeper();

    (void) state;
    assert_int_equal(rss_open(pid, &fd), 0);
    assert_true(rss_read_bytes(fd) > 0);
    end(pid);
    assert_int_equal(rss_read_bytes(fd), 0);
    assert_int_equal(rss_open(pid, &unset), -ENOENT);
    assert_int_equal(unset, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_that_is_touched_is_seen),
        cmocka_unit_test(test_process_that_is_gone_has_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
