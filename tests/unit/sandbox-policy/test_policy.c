/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lint of the policy's rows, the worker's and the supervisor's: each has a reason, none is there
 * twice, every name exists where the row says, no call that opens, executes or connects is allowed
 * to a worker, none that makes processes or gains rights to the supervisor, and the filters build.
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

static const struct policy_table *const tables[] = {
    &policy_worker_startup,
    &policy_worker_running,
    &policy_supervisor_table,
    &policy_store_table,
    &policy_egress_table,
};

/* clang-format off */
/* Calls that no filter of a worker allows, by the beginnings of their names. */
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

/* Calls the function for each row of each table. */
static void each_row(void (*check)(const struct policy_table *table,
                                   const struct policy_syscall *row))
{
    for (size_t i = 0; i < ARRAY_LEN(tables); i++)
        for (size_t j = 0; j < tables[i]->n_rows; j++)
            check(tables[i], &tables[i]->rows[j]);
}

static void check_reason(const struct policy_table *table, const struct policy_syscall *row)
{
    (void) table;
    if (!row->reason || strlen(row->reason) < MIN_REASON)
        fail_msg("%s has no reason", row->name);
}

static void test_every_row_has_a_reason(void **state)
{
    (void) state;
    each_row(check_reason);
    for (size_t i = 0; i < policy_worker_n_limits; i++) {
        const struct policy_limit *row = &policy_worker_limits[i];
        if (!row->reason || strlen(row->reason) < MIN_REASON)
            fail_msg("%s has no reason", row->name);
    }
}

static void check_error(const struct policy_table *table, const struct policy_syscall *row)
{
    (void) table;
    if ((row->action == POLICY_ERRNO) != (row->error > 0))
        fail_msg("%s: action and error do not fit", row->name);
}

static void test_errno_rows_and_only_they_have_an_error(void **state)
{
    (void) state;
    each_row(check_error);
}

static bool same_args(const struct policy_syscall *a, const struct policy_syscall *b)
{
    for (size_t i = 0; i < POLICY_MAX_ARGS; i++)
        if (a->args[i].check != b->args[i].check || a->args[i].index != b->args[i].index ||
            a->args[i].mask != b->args[i].mask || a->args[i].value != b->args[i].value)
            return false;
    return true;
}

static void check_once(const struct policy_table *table, const struct policy_syscall *row)
{
    for (const struct policy_syscall *other = table->rows; other < row; other++)
        if (strcmp(row->name, other->name) == 0 && row->when == other->when &&
            row->arch == other->arch && same_args(row, other))
            fail_msg("%s is there twice", row->name);
}

static void test_no_row_is_there_twice(void **state)
{
    (void) state;
    each_row(check_once);
    for (size_t i = 0; i < policy_worker_n_limits; i++)
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(policy_worker_limits[i].resource,
                                 policy_worker_limits[j].resource);
}

/* Checks that an unconditional row is alone: mixed with checked rows of the same call, it would win
 * or be refused. */
static void check_alone(const struct policy_table *table, const struct policy_syscall *row)
{
    for (size_t i = 0; i < table->n_rows; i++)
        if (&table->rows[i] != row && strcmp(table->rows[i].name, row->name) == 0 &&
            row->args[0].check == POLICY_NO_CHECK)
            fail_msg("%s has a row without checks and another one", row->name);
}

static void test_unconditional_rows_stand_alone(void **state)
{
    (void) state;
    each_row(check_alone);
}

/* Checks a row that kills. By the test before it is the call's only row, so the call is never
 * allowed either. */
static void check_kill(const struct policy_table *table, const struct policy_syscall *row)
{
    (void) table;
    if (row->action == POLICY_KILL && row->args[0].check != POLICY_NO_CHECK)
        fail_msg("%s kills for some arguments only", row->name);
}

static void test_kill_rows_are_unconditional(void **state)
{
    (void) state;
    each_row(check_kill);
}

static void check_name(const struct policy_table *table, const struct policy_syscall *row)
{
    static const struct {
        enum policy_arch arch;
        uint32_t token;
    } arches[] = {
        { POLICY_X86_64, SCMP_ARCH_X86_64 },
        { POLICY_AARCH64, SCMP_ARCH_AARCH64 },
    };

    (void) table;
    for (size_t i = 0; i < ARRAY_LEN(arches); i++) {
        bool should = row->arch == POLICY_ALL_ARCHES || row->arch == arches[i].arch;
        bool does = seccomp_syscall_resolve_name_arch(arches[i].token, row->name) >= 0;
        if (should && !does)
            fail_msg("%s does not exist on architecture 0x%x", row->name,
                     (unsigned) arches[i].token);
    }
}

static void test_names_exist_on_their_architectures(void **state)
{
    (void) state;
    each_row(check_name);
}

static void check_masks(const struct policy_table *table, const struct policy_syscall *row)
{
    (void) table;
    for (size_t i = 0; i < POLICY_MAX_ARGS; i++) {
        const struct policy_arg *arg = &row->args[i];
        assert_true(arg->index < 6);
        if (arg->check == POLICY_INT_MASKED || arg->check == POLICY_LONG_MASKED)
            assert_int_equal(arg->value & ~arg->mask, 0);
        if (arg->check != POLICY_NO_CHECK && i > 0 && row->args[i - 1].check == POLICY_NO_CHECK)
            fail_msg("%s: a check stands behind the end", row->name);
    }
}

static void test_masks_keep_their_values(void **state)
{
    (void) state;
    each_row(check_masks);
}

static const struct policy_syscall *find_row(const struct policy_table *table, const char *name)
{
    for (size_t i = 0; i < table->n_rows; i++)
        if (strcmp(table->rows[i].name, name) == 0)
            return &table->rows[i];
    return NULL;
}

static bool is_of_family(const char *name, const char *const *families)
{
    while (*families && strncmp(name, *families, strlen(*families)) != 0)
        families++;
    return *families != NULL;
}

static void check_families(const struct policy_table *table, const char *const *families)
{
    for (size_t i = 0; i < table->n_rows; i++)
        if (table->rows[i].action == POLICY_ALLOW && is_of_family(table->rows[i].name, families))
            fail_msg("%s: %s is allowed", table->name, table->rows[i].name);
    /* The start-up filter allows all calls that the later filter names. */
    for (size_t i = 0; table->later && i < table->later->n_rows; i++)
        if (!find_row(table, table->later->rows[i].name) &&
            is_of_family(table->later->rows[i].name, families))
            fail_msg("%s: %s is allowed", table->name, table->later->rows[i].name);
}

static void test_nothing_that_executes_or_connects_is_allowed_to_a_worker(void **state)
{
    (void) state;
    check_families(&policy_worker_running, families_of_running);
    check_families(&policy_worker_startup, families_of_startup);
}

/* Forms of calls that no supervisor needs. */
static void test_supervisor_neither_makes_processes_nor_gains_rights(void **state)
{
    /* clang-format off */
    static const char *const killed[] = {
        "execve", "execveat", "clone", "fork", "vfork", "ptrace", "process_vm_readv",
        "process_vm_writev", "process_madvise", "pidfd_getfd", "mount", "umount2", "pivot_root",
        "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick", "setns", "unshare",
        "chroot", "bpf", "io_uring_setup", "io_uring_enter", "io_uring_register", "userfaultfd",
        "perf_event_open", "keyctl", "add_key", "request_key", "init_module", "finit_module",
        "delete_module", "kexec_load", "kexec_file_load", "personality", "modify_ldt", "iopl",
        "ioperm", "open_by_handle_at", "setuid", "setgid", "setreuid", "setregid", "setresuid",
        "setresgid", "setfsuid", "setfsgid", "setgroups", "capset",
    };
    static const char *const absent[] = {
        "socket", "connect", "bind", "listen", "open", "creat", "openat2", "pkey_mprotect",
        "shmat", "remap_file_pages", "rename", "renameat2", "link", "linkat", "symlink",
        "symlinkat", "chmod", "fchmod", "fchmodat", "chown", "fchownat", "truncate", "prctl",
        "seccomp", "pidfd_open", "tkill", "rt_sigqueueinfo", "dup2", "dup3",
    };
    /* clang-format on */

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(killed); i++) {
        const struct policy_syscall *row = find_row(&policy_supervisor_table, killed[i]);
        if (!row || row->action != POLICY_KILL)
            fail_msg("%s does not kill the supervisor", killed[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(absent); i++)
        if (find_row(&policy_supervisor_table, absent[i]))
            fail_msg("%s has a row", absent[i]);
}

/* The store writes files and does nothing else. */
static void test_store_neither_makes_processes_nor_talks_to_others(void **state)
{
    /* clang-format off */
    static const char *const killed[] = {
        "execve", "execveat", "clone", "fork", "vfork", "ptrace", "process_vm_readv",
        "process_vm_writev", "pidfd_getfd", "socket", "connect", "bind", "setns", "unshare", "mount",
        "umount2", "pivot_root", "chroot", "open_by_handle_at", "bpf", "io_uring_setup",
        "io_uring_enter", "userfaultfd", "perf_event_open", "keyctl", "personality",
    };
    static const char *const absent[] = {
        "listen", "accept", "accept4", "sendto", "sendmsg", "recvfrom", "recvmsg", "socketpair", "open",
        "creat", "openat2", "kill", "tkill", "pidfd_open", "pidfd_send_signal", "linkat", "link",
        "rename", "renameat2", "ioctl", "prctl", "seccomp", "chmod", "fchmod", "fchmodat", "fchown",
        "fchownat", "truncate", "ftruncate", "memfd_create", "dup2", "dup3", "mknodat",
    };
    /* clang-format on */

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(killed); i++) {
        const struct policy_syscall *row = find_row(&policy_store_table, killed[i]);
        if (!row || row->action != POLICY_KILL)
            fail_msg("%s does not kill the store", killed[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(absent); i++)
        if (find_row(&policy_store_table, absent[i]))
            fail_msg("%s has a row", absent[i]);
}

/* Egress connects and does nothing else. */
static void test_egress_neither_makes_processes_nor_lets_anybody_in_nor_opens_files(void **state)
{
    /* clang-format off */
    static const char *const killed[] = {
        "execve", "execveat", "clone", "fork", "vfork", "ptrace", "process_vm_readv",
        "process_vm_writev", "pidfd_getfd", "bind", "listen", "setns", "unshare", "mount", "umount2",
        "pivot_root", "chroot", "open_by_handle_at", "bpf", "io_uring_setup", "io_uring_enter",
        "userfaultfd", "perf_event_open", "keyctl", "personality",
    };
    static const char *const absent[] = {
        "accept", "sendmsg", "recvmsg", "socketpair", "open", "openat", "creat", "openat2", "stat",
        "newfstatat", "statx", "readlinkat", "getdents64", "kill", "tkill", "pidfd_open",
        "pidfd_send_signal", "linkat", "unlinkat", "renameat", "mkdirat", "ioctl", "prctl", "seccomp",
        "memfd_create", "dup2", "dup3", "mknodat",
    };
    /* clang-format on */

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(killed); i++) {
        const struct policy_syscall *row = find_row(&policy_egress_table, killed[i]);
        if (!row || row->action != POLICY_KILL)
            fail_msg("%s does not kill egress", killed[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(absent); i++)
        if (find_row(&policy_egress_table, absent[i]))
            fail_msg("%s has a row", absent[i]);
}

static void test_limits_leave_memory_to_the_cgroup(void **state)
{
    (void) state;
    for (size_t i = 0; i < policy_worker_n_limits; i++) {
        assert_int_not_equal(policy_worker_limits[i].resource, RLIMIT_AS);
        assert_int_not_equal(policy_worker_limits[i].resource, RLIMIT_DATA);
    }
}

static void build(const struct policy_table *table, const struct policy_context *context)
{
    scmp_filter_ctx filter = NULL;
    const char *failed = NULL;

    if (policy_build_filter(table, context, &filter, &failed) < 0)
        fail_msg("%s", failed);
    seccomp_release(filter);
}

static void test_filters_build(void **state)
{
    (void) state;
    for (int jit = 0; jit <= 1; jit++) {
        const struct policy_context context = { .jit = jit, .channel_fd = 3, .self = 1 };
        build(&policy_worker_startup, &context);
        build(&policy_worker_running, &context);
    }
    build(&policy_supervisor_table, &(struct policy_context){ .self = 1 });
    build(&policy_store_table, &(struct policy_context){ .self = 1 });
    build(&policy_egress_table, &(struct policy_context){ .self = 1 });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_has_a_reason),
        cmocka_unit_test(test_errno_rows_and_only_they_have_an_error),
        cmocka_unit_test(test_no_row_is_there_twice),
        cmocka_unit_test(test_unconditional_rows_stand_alone),
        cmocka_unit_test(test_kill_rows_are_unconditional),
        cmocka_unit_test(test_names_exist_on_their_architectures),
        cmocka_unit_test(test_masks_keep_their_values),
        cmocka_unit_test(test_nothing_that_executes_or_connects_is_allowed_to_a_worker),
        cmocka_unit_test(test_limits_leave_memory_to_the_cgroup),
        cmocka_unit_test(test_supervisor_neither_makes_processes_nor_gains_rights),
        cmocka_unit_test(test_store_neither_makes_processes_nor_talks_to_others),
        cmocka_unit_test(
            test_egress_neither_makes_processes_nor_lets_anybody_in_nor_opens_files),
        cmocka_unit_test(test_filters_build),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
