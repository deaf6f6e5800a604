/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The running filter, tried call by call in real jailed processes: allowed rows work, rows
 * with an errno fail softly, and everything else kills.
 */
#include <errno.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "sandbox-policy/policy.h"
#include "tests/jail/hive.h"

/* Above every number of Linux 6.18 (470 and some), with room. */
#define LAST_NUMBER 512

static struct hive hive;
static const struct probe_plan sealed = { .lock = PROBE_SEALED };

static int number_of(const char *name)
{
    int number = seccomp_syscall_resolve_name(name);

    if (number < 0)
        fail_msg("libseccomp does not know %s here", name);
    return number;
}

static bool exists_here(const struct policy_syscall *row)
{
    return row->arch == POLICY_ALL_ARCHES || policy_arch_token(row->arch) == seccomp_arch_native();
}

static bool has_row(int number)
{
    for (size_t i = 0; i < policy_worker_running.n_rows; i++)
        if (exists_here(&policy_worker_running.rows[i]) &&
            number_of(policy_worker_running.rows[i].name) == number)
            return true;
    return false;
}

static void assert_kills(const struct probe_ask *ask, bool jit, const char *what)
{
    struct cell *cell = cell_start(&hive, &sealed, jit);
    struct probe_reply reply = { 0 };

    if (cell_ask(cell, ask, &reply))
        fail_msg("%s came back: %ld, %s", what, (long) reply.result, strerror((int) reply.error));
    int status = cell_wait(&hive, cell);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
        fail_msg("%s: wait status 0x%x, expected SIGSYS", what, (unsigned) status);
}

static void try_all(bool jit)
{
    struct cell *cell = cell_start(&hive, &sealed, jit);

    for (size_t i = 0; i < probe_n_tries; i++) {
        const struct probe_ask ask = { .kind = PROBE_TRY, .number = (int64_t) i };
        struct probe_reply reply = { 0 };
        if (!cell_ask(cell, &ask, &reply))
            fail_msg("%s killed the worker", probe_tries[i].name);
        if (reply.result != 0)
            fail_msg("%s: %s", probe_tries[i].name, strerror((int) -reply.result));
    }
    assert_int_equal(cell_end(&hive, cell), 0);
}

static void test_allowed_rows_work(void **state)
{
    (void) state;
    try_all(true);
    try_all(false);
}

static void test_every_allowed_row_is_tried(void **state)
{
    (void) state;
    for (size_t i = 0; i < policy_worker_running.n_rows; i++) {
        const struct policy_syscall *row = &policy_worker_running.rows[i];
        unsigned rows = 0, tried = 0;
        if (row->action != POLICY_ALLOW || !exists_here(row))
            continue;
        for (size_t j = 0; j < policy_worker_running.n_rows; j++)
            rows += policy_worker_running.rows[j].action == POLICY_ALLOW &&
                    strcmp(policy_worker_running.rows[j].name, row->name) == 0;
        for (size_t j = 0; j < probe_n_tries; j++)
            if (strcmp(probe_tries[j].name, row->name) == 0)
                tried += probe_tries[j].rows;
        if (rows != tried)
            fail_msg("%s has %u allowed rows, %u are tried", row->name, rows, tried);
    }
}

/* Rows with checks have tests of their own. With all arguments -1 the kernel itself would give
 * another error in each of these. */
static void test_errno_rows_fail_softly(void **state)
{
    struct cell *cell = cell_start(&hive, &sealed, true);
    size_t n = 0;

    (void) state;
    for (size_t i = 0; i < policy_worker_running.n_rows; i++) {
        const struct policy_syscall *row = &policy_worker_running.rows[i];
        if (row->action != POLICY_ERRNO || !exists_here(row) ||
            row->args[0].check == POLICY_LONG_EQUAL || row->args[0].check == POLICY_INT_MASKED)
            continue;
        const struct probe_ask ask = {
            .kind = PROBE_SYSTEM_CALL,
            .number = number_of(row->name),
            .args = { -1, -1, -1, -1, -1, -1 },
        };
        struct probe_reply reply = { 0 };
        if (!cell_ask(cell, &ask, &reply))
            fail_msg("%s killed the worker", row->name);
        if (reply.result != -1 || reply.error != row->error)
            fail_msg("%s: %ld, %s", row->name, (long) reply.result, strerror((int) reply.error));
        n++;
    }
    assert_true(n >= 12);
    assert_int_equal(cell_end(&hive, cell), 0);
}

/* The calls that an attacker would try first, by name. The next test tries all the others. */
static void test_dangerous_calls_kill(void **state)
{
    /* clang-format off */
    static const char *const names[] = {
        "socket", "socketpair", "connect", "bind", "sendmsg", "recvmsg", "openat2",
        "open_by_handle_at", "memfd_create", "execve", "execveat", "ptrace",
        "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_open", "pidfd_getfd",
        "kill", "tkill", "rt_sigqueueinfo", "pidfd_send_signal", "io_uring_setup",
        "io_uring_enter", "userfaultfd", "bpf", "perf_event_open", "keyctl", "add_key",
        "request_key", "mount", "umount2", "pivot_root", "chroot", "fsopen", "move_mount",
        "setns", "unshare", "personality", "seccomp", "setuid", "setresuid", "capset",
        "pkey_mprotect", "remap_file_pages", "shmget", "msgget", "timer_create", "timerfd_create",
        "eventfd2", "epoll_create1", "inotify_init1", "dup", "dup3", "pipe2", "fcntl",
        "sched_setaffinity", "sched_setscheduler", "setpriority", "ioprio_set", "setrlimit",
        "landlock_create_ruleset", "syslog", "reboot", "init_module", "finit_module",
        "kexec_load", "swapon", "quotactl", "nfsservctl", "lookup_dcookie", "membarrier",
        "rseq", "set_robust_list", "set_tid_address", "sigaltstack",
#if defined(__x86_64__)
        "open", "fork", "vfork", "modify_ldt", "arch_prctl", "iopl", "ioperm", "dup2",
#endif
    };
    /* clang-format on */

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const struct probe_ask ask = { .kind = PROBE_SYSTEM_CALL, .number = number_of(names[i]) };
        assert_kills(&ask, true, names[i]);
    }
}

/* uretprobe and uprobe of x86-64: since Linux 6.14 the kernel lets both past every seccomp filter,
 * and itself refuses them to callers other than its own trampolines. */
static bool is_probe_call(int number)
{
    return seccomp_arch_native() == SCMP_ARCH_X86_64 && (number == 335 || number == 336);
}

static void test_every_other_number_kills(void **state)
{
    (void) state;
    for (int number = 0; number <= LAST_NUMBER; number++) {
        const struct probe_ask ask = { .kind = PROBE_SYSTEM_CALL, .number = number };
        char what[32];
        if (has_row(number) || is_probe_call(number))
            continue;
        (void) snprintf(what, sizeof what, "call %d", number);
        assert_kills(&ask, true, what);
    }
}

static const struct {
    const char *what;
    const char *name;
    int64_t args[6];
} bad_arguments[] = {
    { "read of standard input", "read", { 0, 0, 0 } },
    { "read of another descriptor", "read", { 5, 0, 0 } },
    { "write to standard input", "write", { 0, 0, 0 } },
    { "write to another descriptor", "write", { 5, 0, 0 } },
    { "writev to standard output", "writev", { 1, 0, 0 } },
    { "executable mmap",
      "mmap",
      { 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 } },
    { "RWX mmap",
      "mmap",
      { 0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 } },
    { "mmap with an unknown protection",
      "mmap",
      { 0, 4096, INT64_C(1) << 32, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 } },
    { "shared mmap", "mmap", { 0, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0 } },
    { "mmap of a file", "mmap", { 0, 4096, PROT_READ, MAP_PRIVATE, 3, 0 } },
    { "mmap of huge pages",
      "mmap",
      { 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0 } },
    { "locked mmap",
      "mmap",
      { 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0 } },
    { "growing mprotect", "mprotect", { 0, 4096, PROT_READ | PROT_GROWSDOWN } },
    { "madvise of poison", "madvise", { 0, 4096, 100 /* MADV_HWPOISON */ } },
    { "madvise of merging", "madvise", { 0, 4096, MADV_MERGEABLE } },
    { "priority inheriting futex", "futex", { 0, FUTEX_LOCK_PI } },
    { "priority inheriting requeue", "futex", { 0, FUTEX_CMP_REQUEUE_PI } },
    { "futex of descriptors", "futex", { 0, FUTEX_FD } },
    { "tgkill of another process", "tgkill", { 2, 2, SIGABRT } },
    { "tgkill with another signal", "tgkill", { 1, 1, SIGKILL } },
    { "handler of SIGSYS", "rt_sigaction", { SIGSYS, 0, 0, 8 } },
    { "handler of SIGSEGV", "rt_sigaction", { SIGSEGV, 0, 0, 8 } },
};

static void test_allowed_calls_with_other_arguments_kill(void **state)
{
    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad_arguments); i++) {
        struct probe_ask ask = {
            .kind = PROBE_SYSTEM_CALL,
            .number = number_of(bad_arguments[i].name),
        };
        memcpy(ask.args, bad_arguments[i].args, sizeof ask.args);
        assert_kills(&ask, true, bad_arguments[i].what);
    }
}

/* Checks what a refused call leaves on the scoreboard of its ended process. */
static void assert_last_words(enum probe_ask_kind kind, int number)
{
    const struct probe_ask ask = { .kind = kind, .number = number };
    struct cell *cell = cell_start(&hive, &sealed, true);
    struct probe_reply reply = { 0 };

    assert_int_equal(cell->board->threads[0].last_words, LAST_WORDS_NONE);
    assert_false(cell_ask(cell, &ask, &reply));
    await_readable(cell->pidfd);
    assert_int_equal(cell->board->threads[0].last_words, LAST_WORDS_SYSCALL);
    assert_int_equal(cell->board->threads[0].syscall_number, number);
    assert_int_equal(cell->board->threads[0].syscall_arch, seccomp_arch_native());
    int status = cell_wait(&hive, cell);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void test_refused_call_leaves_its_number(void **state)
{
    (void) state;
    assert_last_words(PROBE_SYSTEM_CALL, number_of("socket"));
    assert_last_words(PROBE_SYSTEM_CALL, number_of("rt_sigqueueinfo"));
    assert_last_words(PROBE_THREAD_CALL, number_of("execve"));
}

static void test_refused_call_ends_the_process_with_every_signal_blocked(void **state)
{
    const struct probe_ask ask = { .kind = PROBE_BLOCKED_CALL, .number = number_of("socket") };

    (void) state;
    assert_kills(&ask, true, "a call with SIGSYS blocked");
}

#if defined(__x86_64__)
/* The kernel cannot build the handler's frame, and kills with SIGSEGV. */
static void test_refused_call_ends_the_process_without_a_stack(void **state)
{
    const struct probe_ask ask = { .kind = PROBE_LOST_STACK, .number = number_of("socket") };
    struct cell *cell = cell_start(&hive, &sealed, true);
    struct probe_reply reply = { 0 };

    (void) state;
    assert_false(cell_ask(cell, &ask, &reply));
    int status = cell_wait(&hive, cell);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
}
#endif

static void test_threads_fail_softly(void **state)
{
    struct cell *cell = cell_start(&hive, &sealed, true);
    const struct probe_ask ask = {
        .kind = PROBE_SYSTEM_CALL,
        .number = number_of("clone"),
        .args = { CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD },
    };
    struct probe_reply reply = { 0 };

    (void) state;
    assert_true(cell_ask(cell, &ask, &reply));
    assert_int_equal(reply.result, -1);
    assert_int_equal(reply.error, EAGAIN);
    assert_int_equal(cell_end(&hive, cell), 0);
}

static int64_t map_page(struct cell *cell)
{
    const struct probe_ask ask = {
        .kind = PROBE_SYSTEM_CALL,
        .number = number_of("mmap"),
        .args = { 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 },
    };
    struct probe_reply reply = { 0 };

    assert_true(cell_ask(cell, &ask, &reply));
    assert_true(reply.result > 0);
    return reply.result;
}

static void test_jit_makes_pages_executable(void **state)
{
    struct cell *cell = cell_start(&hive, &sealed, true);
    const struct probe_ask ask = {
        .kind = PROBE_SYSTEM_CALL,
        .number = number_of("mprotect"),
        .args = { map_page(cell), 4096, PROT_READ | PROT_WRITE | PROT_EXEC },
    };
    struct probe_reply reply = { 0 };

    (void) state;
    assert_true(cell_ask(cell, &ask, &reply));
    assert_int_equal(reply.result, 0);
    assert_int_equal(cell_end(&hive, cell), 0);
}

static void test_without_jit_no_page_is_writable_and_executable(void **state)
{
    struct cell *cell = cell_start(&hive, &sealed, false);
    char path[32], line[512];
    size_t n = 0;

    (void) state;
    (void) snprintf(path, sizeof path, "/proc/%d/maps", (int) cell->pid);
    _cleanup_file_ FILE *maps = fopen(path, "re");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps)) {
        if (strstr(line, " rwx"))
            fail_msg("%s", line);
        n++;
    }
    assert_true(n > 10);
    assert_int_equal(cell_end(&hive, cell), 0);
}

static void test_without_jit_no_page_becomes_executable(void **state)
{
    static const int64_t protections[] = { PROT_EXEC, PROT_READ | PROT_EXEC,
                                           PROT_READ | PROT_WRITE | PROT_EXEC };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(protections); i++) {
        struct cell *cell = cell_start(&hive, &sealed, false);
        const struct probe_ask ask = {
            .kind = PROBE_SYSTEM_CALL,
            .number = number_of("mprotect"),
            .args = { map_page(cell), 4096, protections[i] },
        };
        struct probe_reply reply = { 0 };
        assert_false(cell_ask(cell, &ask, &reply));
        assert_int_equal(WTERMSIG(cell_wait(&hive, cell)), SIGSYS);
    }
}

#if defined(__x86_64__)
/* A kernel without 32-bit system calls has no such gate: a fault. */
static void assert_int80_kills(void)
{
    const struct probe_ask ask = { .kind = PROBE_INT80 };
    struct cell *cell = cell_start(&hive, &sealed, true);
    struct probe_reply reply = { 0 };

    assert_false(cell_ask(cell, &ask, &reply));
    int status = cell_wait(&hive, cell);
    assert_true(WIFSIGNALED(status));
    assert_true(WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV);
}

static void test_x32_and_int80_kill(void **state)
{
    static const int64_t x32[] = { 0x40000000 + 39 /* getpid */, 0x40000000 + 1 /* write */,
                                   0x40000000 + 520 /* execve of x32 alone */ };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(x32); i++) {
        const struct probe_ask ask = { .kind = PROBE_SYSTEM_CALL, .number = x32[i] };
        assert_kills(&ask, true, "x32");
    }
    assert_int80_kills();
}

static void test_probe_calls_of_the_kernel_do_nothing(void **state)
{
    (void) state;
    for (int number = 335; number <= 336; number++) {
        const struct probe_ask ask = { .kind = PROBE_SYSTEM_CALL, .number = number };
        struct cell *cell = cell_start(&hive, &sealed, true);
        struct probe_reply reply = { 0 };
        if (cell_ask(cell, &ask, &reply)) {
            assert_int_equal(reply.result, -1);
            assert_int_equal(reply.error, ENXIO);
            assert_int_equal(cell_end(&hive, cell), 0);
        } else {
            int status = cell_wait(&hive, cell);
            assert_true(WIFSIGNALED(status));
            assert_true(WTERMSIG(status) == SIGILL || WTERMSIG(status) == SIGSYS);
        }
    }
}
#endif

static int start_hive(void **state)
{
    (void) state;
    hive_init(&hive, NULL);
    return 0;
}

static int stop_hive(void **state)
{
    (void) state;
    hive_done(&hive);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allowed_rows_work),
        cmocka_unit_test(test_every_allowed_row_is_tried),
        cmocka_unit_test(test_errno_rows_fail_softly),
        cmocka_unit_test(test_dangerous_calls_kill),
        cmocka_unit_test(test_every_other_number_kills),
        cmocka_unit_test(test_allowed_calls_with_other_arguments_kill),
        cmocka_unit_test(test_refused_call_leaves_its_number),
        cmocka_unit_test(test_refused_call_ends_the_process_with_every_signal_blocked),
        cmocka_unit_test(test_threads_fail_softly),
        cmocka_unit_test(test_jit_makes_pages_executable),
        cmocka_unit_test(test_without_jit_no_page_is_writable_and_executable),
        cmocka_unit_test(test_without_jit_no_page_becomes_executable),
#if defined(__x86_64__)
        cmocka_unit_test(test_refused_call_ends_the_process_without_a_stack),
        cmocka_unit_test(test_x32_and_int80_kill),
        cmocka_unit_test(test_probe_calls_of_the_kernel_do_nothing),
#endif
    };

    if (strcmp(argv[0], "skep-worker") == 0)
        return probe_main(argc, argv);
    return cmocka_run_group_tests(tests, start_hive, stop_hive);
}
