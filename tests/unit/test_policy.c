/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lint of the policy's rows: each has a reason, none is there twice, every name exists where
 * it says, nothing that opens, executes or connects is allowed, and the filter builds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "sandbox-policy/policy.h"

#define MIN_REASON 10

static void test_every_row_has_a_reason(void **state)
{
    (void) state;
    for (size_t i = 0; i < policy_worker_running.n_rows; i++) {
        const struct policy_syscall *row = &policy_worker_running.rows[i];
        if (!row->reason || strlen(row->reason) < MIN_REASON)
            fail_msg("%s has no reason", row->name);
    }
    for (size_t i = 0; i < policy_worker_n_limits; i++) {
        const struct policy_limit *row = &policy_worker_limits[i];
        if (!row->reason || strlen(row->reason) < MIN_REASON)
            fail_msg("%s has no reason", row->name);
    }
}

static void test_errno_rows_and_only_they_have_an_error(void **state)
{
    (void) state;
    for (size_t i = 0; i < policy_worker_running.n_rows; i++) {
        const struct policy_syscall *row = &policy_worker_running.rows[i];
        if ((row->action == POLICY_ERRNO) != (row->error > 0))
            fail_msg("%s: action and error do not fit", row->name);
    }
}

static bool same_args(const struct policy_syscall *a, const struct policy_syscall *b)
{
    for (size_t i = 0; i < POLICY_MAX_ARGS; i++)
        if (a->args[i].check != b->args[i].check || a->args[i].index != b->args[i].index ||
            a->args[i].mask != b->args[i].mask || a->args[i].value != b->args[i].value)
            return false;
    return true;
}

static void test_no_row_is_there_twice(void **state)
{
    (void) state;
    for (size_t i = 0; i < policy_worker_running.n_rows; i++)
        for (size_t j = 0; j < i; j++) {
            const struct policy_syscall *a = &policy_worker_running.rows[i];
            const struct policy_syscall *b = &policy_worker_running.rows[j];
            if (strcmp(a->name, b->name) == 0 && a->when == b->when && a->arch == b->arch &&
                same_args(a, b))
                fail_msg("%s is there twice", a->name);
        }
    for (size_t i = 0; i < policy_worker_n_limits; i++)
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(policy_worker_limits[i].resource,
                                 policy_worker_limits[j].resource);
}

/* Mixed with checked rows of the same call, an unconditional one would win or be refused. */
static void test_unconditional_rows_stand_alone(void **state)
{
    (void) state;
    for (size_t i = 0; i < policy_worker_running.n_rows; i++)
        for (size_t j = 0; j < policy_worker_running.n_rows; j++)
            if (i != j &&
                strcmp(policy_worker_running.rows[i].name, policy_worker_running.rows[j].name) ==
                    0 &&
                policy_worker_running.rows[i].args[0].check == POLICY_NO_CHECK)
                fail_msg("%s has a row without checks and another one",
                         policy_worker_running.rows[i].name);
}

static void test_names_exist_on_their_architectures(void **state)
{
    static const struct {
        enum policy_arch arch;
        uint32_t token;
    } arches[] = {
        { POLICY_X86_64, SCMP_ARCH_X86_64 },
        { POLICY_AARCH64, SCMP_ARCH_AARCH64 },
    };

    (void) state;
    for (size_t i = 0; i < policy_worker_running.n_rows; i++)
        for (size_t j = 0; j < ARRAY_LEN(arches); j++) {
            const struct policy_syscall *row = &policy_worker_running.rows[i];
            bool should = row->arch == POLICY_ALL_ARCHES || row->arch == arches[j].arch;
            bool does = seccomp_syscall_resolve_name_arch(arches[j].token, row->name) >= 0;
            if (should && !does)
                fail_msg("%s does not exist on architecture 0x%x", row->name,
                         (unsigned) arches[j].token);
        }
}

static void test_masks_keep_their_values(void **state)
{
    (void) state;
    for (size_t i = 0; i < policy_worker_running.n_rows; i++)
        for (size_t j = 0; j < POLICY_MAX_ARGS; j++) {
            const struct policy_arg *arg = &policy_worker_running.rows[i].args[j];
            assert_true(arg->index < 6);
            if (arg->check == POLICY_INT_MASKED || arg->check == POLICY_LONG_MASKED)
                assert_int_equal(arg->value & ~arg->mask, 0);
        }
}

static void test_nothing_that_opens_executes_or_connects_is_allowed(void **state)
{
    /* clang-format off */
    static const char *const families[] = {
        "open", "creat", "exec", "socket", "connect", "bind", "listen", "accept", "send", "recv",
        "fork", "vfork", "clone", "ptrace", "process_", "pidfd", "mount", "umount", "pivot",
        "chroot", "setns", "unshare", "bpf", "io_", "userfaultfd", "perf_event", "key", "add_key",
        "request_key", "kexec", "init_module", "finit_module", "memfd", "shm", "msg", "sem", "mq_",
        "set", "cap", "prctl", "seccomp", "landlock", "personality", "modify_ldt", "arch_prctl",
        "iopl", "ioperm", "dup", "fcntl", "splice", "tee", "vmsplice", "kill", "tkill", "rename",
        "unlink", "link", "symlink", "mk", "ch", "fch", "lch", "truncate", "ftruncate",
        "fallocate", "remap", "mremap", "pkey", "mlock", "mbind", "move_", "migrate", "timer",
        "event", "signalfd", "inotify", "fanotify", "swap", "quota", "reboot", "sys", "acct",
        "name_to", "pipe", "epoll_create",
    };
    /* clang-format on */

    (void) state;
    for (size_t i = 0; i < policy_worker_running.n_rows; i++)
        for (size_t j = 0; j < ARRAY_LEN(families); j++)
            if (policy_worker_running.rows[i].action == POLICY_ALLOW &&
                strncmp(policy_worker_running.rows[i].name, families[j], strlen(families[j])) == 0)
                fail_msg("%s is allowed", policy_worker_running.rows[i].name);
}

static void test_limits_leave_memory_to_the_cgroup(void **state)
{
    (void) state;
    for (size_t i = 0; i < policy_worker_n_limits; i++) {
        assert_int_not_equal(policy_worker_limits[i].resource, RLIMIT_AS);
        assert_int_not_equal(policy_worker_limits[i].resource, RLIMIT_DATA);
    }
}

static void test_filter_builds_with_and_without_jit(void **state)
{
    (void) state;
    for (int jit = 0; jit <= 1; jit++) {
        const struct policy_context context = { .jit = jit, .channel_fd = 3, .self = 1 };
        scmp_filter_ctx filter = NULL;
        const char *failed = NULL;
        if (policy_build_filter(&policy_worker_running, &context, &filter, &failed) < 0)
            fail_msg("%s", failed);
        seccomp_release(filter);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_has_a_reason),
        cmocka_unit_test(test_errno_rows_and_only_they_have_an_error),
        cmocka_unit_test(test_no_row_is_there_twice),
        cmocka_unit_test(test_unconditional_rows_stand_alone),
        cmocka_unit_test(test_names_exist_on_their_architectures),
        cmocka_unit_test(test_masks_keep_their_values),
        cmocka_unit_test(test_nothing_that_opens_executes_or_connects_is_allowed),
        cmocka_unit_test(test_limits_leave_memory_to_the_cgroup),
        cmocka_unit_test(test_filter_builds_with_and_without_jit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
