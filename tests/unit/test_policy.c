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

/* clang-format off */
/* By how their names begin, and what no filter of a worker allows. */
#define NEVER \
    "creat", "exec", "socket", "connect", "bind", "listen", "accept", "send", "recv", "fork", "vfork", \
    "ptrace", "process_", "pidfd", "chroot", "setns", "unshare", "bpf", "io_", "userfaultfd", \
    "perf_event", "key", "add_key", "request_key", "kexec", "init_module", "finit_module", \
    "delete_module", "memfd", "shm", "msg", "sem", "mq_", "personality", "modify_ldt", "arch_prctl", \
    "iopl", "ioperm", "splice", "tee", "vmsplice", "kill", "tkill", "rt_sigqueueinfo", \
    "rt_tgsigqueueinfo", "rename", "unlink", "link", "symlink", "mk", "chmod", "chown", "fch", "lch", \
    "truncate", "ftruncate", "fallocate", "remap", "pkey", "mlock", "mbind", "move_", "migrate", \
    "timer", "signalfd", "inotify", "fanotify", "swap", "quota", "reboot", "syslog", "acct", "name_to", \
    "open_", "openat2", "fs", "setuid", "setgid", "setre", "setfs", "setgroups", "setpriority", \
    "setdomainname", "sethostname", "settimeofday", "clock_set", "clock_adj", "adjtimex", \
    "copy_file_range", "clone3", "lookup_dcookie", "nfsservctl"

static const char *const families_of_startup[] = { NEVER, NULL };

static const char *const families_of_running[] = {
    NEVER, "open", "clone", "mount", "umount", "pivot", "set", "cap", "prctl", "seccomp", "landlock",
    "dup", "fcntl", "ch", "mremap", "event", "sys", "pipe", "epoll_create", NULL,
};
/* clang-format on */

static const struct {
    const struct policy_table *table;
    const char *const *families; /* never allowed */
} lints[] = {
    { &policy_worker_running, families_of_running },
    { &policy_worker_startup, families_of_startup },
};

/* Each row of each table. */
#define FOR_EACH_ROW(table, row)                                                           \
    for (size_t table_i = 0; table_i < ARRAY_LEN(lints); table_i++)                        \
        for (const struct policy_table *table = lints[table_i].table; table; table = NULL) \
            for (const struct policy_syscall *row = table->rows;                           \
                 row < table->rows + table->n_rows; row++)

static void test_every_row_has_a_reason(void **state)
{
    (void) state;
    FOR_EACH_ROW (table, row)
        if (!row->reason || strlen(row->reason) < MIN_REASON)
            fail_msg("%s: %s has no reason", table->name, row->name);
    for (size_t i = 0; i < policy_worker_n_limits; i++) {
        const struct policy_limit *row = &policy_worker_limits[i];
        if (!row->reason || strlen(row->reason) < MIN_REASON)
            fail_msg("%s has no reason", row->name);
    }
}

static void test_errno_rows_and_only_they_have_an_error(void **state)
{
    (void) state;
    FOR_EACH_ROW (table, row)
        if ((row->action == POLICY_ERRNO) != (row->error > 0))
            fail_msg("%s: %s: action and error do not fit", table->name, row->name);
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
    FOR_EACH_ROW (table, a)
        for (const struct policy_syscall *b = table->rows; b < a; b++)
            if (strcmp(a->name, b->name) == 0 && a->when == b->when && a->arch == b->arch &&
                same_args(a, b))
                fail_msg("%s: %s is there twice", table->name, a->name);
    for (size_t i = 0; i < policy_worker_n_limits; i++)
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(policy_worker_limits[i].resource,
                                 policy_worker_limits[j].resource);
}

/* Mixed with checked rows of the same call, an unconditional one would win or be refused. */
static void test_unconditional_rows_stand_alone(void **state)
{
    (void) state;
    FOR_EACH_ROW (table, row)
        for (size_t j = 0; j < table->n_rows; j++)
            if (row != &table->rows[j] && strcmp(row->name, table->rows[j].name) == 0 &&
                row->args[0].check == POLICY_NO_CHECK)
                fail_msg("%s: %s has a row without checks and another one", table->name, row->name);
}

static void test_names_exist_on_their_architectures(void **state)
{
    static const enum policy_arch arches[] = { POLICY_X86_64, POLICY_AARCH64 };

    (void) state;
    FOR_EACH_ROW (table, row)
        for (size_t j = 0; j < ARRAY_LEN(arches); j++) {
            uint32_t token = policy_arch_token(arches[j]);
            bool should = row->arch == POLICY_ALL_ARCHES || row->arch == arches[j];
            bool does = seccomp_syscall_resolve_name_arch(token, row->name) >= 0;
            if (should && !does)
                fail_msg("%s: %s does not exist on architecture 0x%x", table->name, row->name,
                         (unsigned) token);
        }
}

static void test_checks_are_well_made(void **state)
{
    (void) state;
    FOR_EACH_ROW (table, row)
        for (size_t j = 0; j < POLICY_MAX_ARGS; j++) {
            const struct policy_arg *arg = &row->args[j];
            assert_true(arg->index < 6);
            if ((arg->check == POLICY_INT_MASKED || arg->check == POLICY_LONG_MASKED) &&
                (arg->value & ~arg->mask) != 0)
                fail_msg("%s: a mask of %s hides its value", table->name, row->name);
            if (arg->check != POLICY_NO_CHECK && j > 0 && row->args[j - 1].check == POLICY_NO_CHECK)
                fail_msg("%s: a check of %s stands behind the end", table->name, row->name);
        }
}

static bool is_of_family(const char *name, const char *const *families)
{
    while (*families && strncmp(name, *families, strlen(*families)) != 0)
        families++;
    return *families != NULL;
}

static bool has_row(const struct policy_table *table, const char *name)
{
    for (size_t i = 0; i < table->n_rows; i++)
        if (strcmp(table->rows[i].name, name) == 0)
            return true;
    return false;
}

static void test_nothing_that_executes_or_connects_is_allowed(void **state)
{
    (void) state;
    FOR_EACH_ROW (table, row)
        if (row->action == POLICY_ALLOW && is_of_family(row->name, lints[table_i].families))
            fail_msg("%s: %s is allowed", table->name, row->name);
    /* Calls of the later filter are allowed whatever that does with them. */
    for (size_t i = 0; i < ARRAY_LEN(lints); i++) {
        const struct policy_table *later = lints[i].table->later;
        for (size_t j = 0; later && j < later->n_rows; j++)
            if (!has_row(lints[i].table, later->rows[j].name) &&
                is_of_family(later->rows[j].name, lints[i].families))
                fail_msg("%s: %s is allowed", lints[i].table->name, later->rows[j].name);
    }
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
    for (size_t i = 0; i < ARRAY_LEN(lints); i++)
        for (int jit = 0; jit <= 1; jit++) {
            const struct policy_context context = { .jit = jit, .channel_fd = 3, .self = 1 };
            scmp_filter_ctx filter = NULL;
            const char *failed = NULL;
            if (policy_build_filter(lints[i].table, &context, &filter, &failed) < 0)
                fail_msg("%s: %s", lints[i].table->name, failed);
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
        cmocka_unit_test(test_checks_are_well_made),
        cmocka_unit_test(test_nothing_that_executes_or_connects_is_allowed),
        cmocka_unit_test(test_limits_leave_memory_to_the_cgroup),
        cmocka_unit_test(test_filter_builds_with_and_without_jit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
