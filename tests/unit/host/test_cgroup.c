/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cgroups of workers. Finding our own needs none; the other tests are skipped where no cgroup v2 is
 * delegated to this process, and run in scripts/test-vm.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "supervisor/host/cgroup.h"

#define MIB (UINT64_C(1) << 20)

static const struct cgroup_limits small = {
    .memory_max_bytes = 32 * MIB,
    .pids_max = CGROUP_WORKER_PIDS,
    .cpu_weight = CGROUP_WEIGHT_DEFAULT,
};

static void test_own_cgroup_is_found(void **state)
{
    static const char v1[] = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
                             "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
    static const char plain[] =
        "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    static const char odd[] = "30 23 0:26 / /mnt/a\\040b\\134c rw - cgroup2 none rw\n";
    static const char bound[] = "1 1 0:26 /a/b /inner rw - cgroup2 cgroup2 rw\n"
                                "2 1 0:26 / /outer rw - cgroup2 cgroup2 rw\n";
    const struct {
        const char *self, *mounts;
        const char *path; /* NULL: none */
    } cases[] = {
        { "0::/system.slice/skep.service\n", plain, "/sys/fs/cgroup/system.slice/skep.service" },
        { "9:pids:/x\n4:memory:/y\n0::/z\n", plain, "/sys/fs/cgroup/z" },
        { "0::/\n", plain, "/sys/fs/cgroup/" },
        { "0::/z\n", odd, "/mnt/a b\\c/z" },
        { "0::/a/b/c\n", bound, "/inner/c" },
        { "0::/a/b\n", bound, "/inner" },
        { "0::/a/bc\n", bound, "/outer/a/bc" },
        { "0::/z\n", v1, NULL },
        { "4:memory:/y\n", plain, NULL },
        { "0::z\n", plain, NULL },
        { "", plain, NULL },
        { "0::/z\n", "", NULL },
        { "0::/z\n", " - cgroup2 \n1 - cgroup2 x\n\n", NULL },
        { "0::/z", "30 23 0:26 / /m\\", NULL },
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_free_ char *path = NULL;
        int r = cgroup_find(cases[i].self, cases[i].mounts, &path);
        assert_int_equal(r, cases[i].path ? 0 : -ENOENT);
        if (cases[i].path)
            assert_string_equal(path, cases[i].path);
    }
}

/* ---- with real ones */

static struct cgroup_tree *new_tree(void)
{
    struct cgroup_tree *tree = NULL;
    char text[512] = "";

    if (cgroup_new(&tree, text, sizeof text) < 0) {
        assert_string_not_equal(text, "");
        print_message("no cgroups: %s\n", text);
        skip();
    }
    return tree;
}

static struct cgroup_worker *make(struct cgroup_tree *tree, unsigned number)
{
    struct cgroup_worker *worker = NULL;

    assert_int_equal(cgroup_make_worker(tree, number, &small, &worker), 0);
    assert_true(cgroup_worker_fd(worker) > 2);
    return worker;
}

struct worker_name {
    char text[64];
};

static struct worker_name worker_name(pid_t pid, const char *rest)
{
    struct worker_name name;

    (void) snprintf(name.text, sizeof name.text, "worker-%d-%s", (int) pid, rest);
    return name;
}

static bool has_worker(int dir_fd, pid_t pid, const char *rest)
{
    return faccessat(dir_fd, worker_name(pid, rest).text, F_OK, 0) == 0;
}

static void assert_file(int dir_fd, const char *file, const char *expected)
{
    _cleanup_fd_ int fd = openat(dir_fd, file, O_RDONLY | O_CLOEXEC);
    char text[256];

    assert_true(fd >= 0);
    ssize_t n = read(fd, text, sizeof text - 1);
    assert_true(n >= 0);
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    assert_string_equal(text, expected);
}

static unsigned count_fds(void)
{
    _cleanup_dir_ DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    return n;
}

/* Counts the "worker-" directories beside the given one. */
static unsigned count_workers(int worker_fd)
{
    int fd = openat(worker_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_dir_ DIR *dir = fdopendir(fd);
    const struct dirent *entry;
    unsigned n = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir)))
        n += strncmp(entry->d_name, "worker-", 7) == 0;
    return n;
}

static void join(int fd)
{
    _cleanup_fd_ int procs = openat(fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);

    if (procs < 0 || write(procs, "0", 1) != 1)
        _exit(10);
}

/* Starts a child in the cgroup, which writes one byte and then runs. */
static pid_t start_in(const struct cgroup_worker *worker, void (*run)(void))
{
    int fds[2];
    char byte;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        join(cgroup_worker_fd(worker));
        (void) io_write_all(fds[1], "x", 1);
        run();
        _exit(0);
    }
    assert_int_equal(close(fds[1]), 0);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    assert_int_equal(close(fds[0]), 0);
    return pid;
}

static int wait_for(pid_t pid)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void run_for_ever(void)
{
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL); /* ends the child when a test fails */
    for (;;)
        (void) pause();
}

static void take_memory(size_t size)
{
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        _exit(11);
    memset(memory, 1, size);
}

/* Makes a second process at the limit of two, and fails to make a third. */
static void run_into_memory_limit(void)
{
    pid_t second = fork();

    if (second == 0)
        run_for_ever();
    if (second < 0 || fork() >= 0)
        _exit(12);
    take_memory(64 * MIB);
}

static void hold_memory(void)
{
    take_memory(16 * MIB);
    run_for_ever();
}

static void test_worker_gets_its_files(void **state)
{
    const struct cgroup_limits unlimited = { .memory_max_bytes = UINT64_MAX,
                                             .pids_max = 5,
                                             .cpu_weight = 250 };
    struct cgroup_tree *tree = new_tree();
    struct cgroup_worker *first = make(tree, 7), *second = NULL;

    (void) state;
    assert_file(cgroup_worker_fd(first), "memory.max", "33554432");
    assert_file(cgroup_worker_fd(first), "memory.oom.group", "1");
    assert_file(cgroup_worker_fd(first), "memory.swap.max", "0");
    assert_file(cgroup_worker_fd(first), "pids.max", "2");
    assert_file(cgroup_worker_fd(first), "cpu.weight", "100");
    assert_file(cgroup_worker_fd(first), "cgroup.procs", "");
    assert_int_equal(cgroup_make_worker(tree, 7, &unlimited, &second), 0);
    assert_file(cgroup_worker_fd(second), "memory.max", "max");
    assert_file(cgroup_worker_fd(second), "pids.max", "5");
    assert_file(cgroup_worker_fd(second), "cpu.weight", "250");
    assert_int_equal(count_workers(cgroup_worker_fd(first)), 2);
    assert_null(cgroup_worker_free(second));
    assert_int_equal(count_workers(cgroup_worker_fd(first)), 1);
    assert_null(cgroup_worker_free(first));
    assert_null(cgroup_worker_free(NULL));
    assert_null(cgroup_free(tree));
    assert_null(cgroup_free(NULL));
}

static void test_limits_that_the_kernel_refuses_leave_nothing(void **state)
{
    const struct cgroup_limits wrong = { .memory_max_bytes = MIB, .pids_max = 2, .cpu_weight = 0 };
    struct cgroup_tree *tree = new_tree();
    struct cgroup_worker *worker = NULL;

    (void) state;
    unsigned fds = count_fds();
    assert_int_equal(cgroup_make_worker(tree, 1, &wrong, &worker), -ERANGE);
    assert_null(worker);
    assert_int_equal(count_fds(), fds);
    worker = make(tree, 1);
    assert_int_equal(count_workers(cgroup_worker_fd(worker)), 1);
    (void) cgroup_worker_free(worker);
    (void) cgroup_free(tree);
}

static void test_worker_over_its_memory_is_killed_whole_and_counted(void **state)
{
    struct cgroup_events events = { 1, 1, 1 };
    struct cgroup_tree *tree = new_tree();
    struct cgroup_worker *worker = make(tree, 1);

    (void) state;
    assert_int_equal(cgroup_worker_events(worker, &events), 0);
    assert_int_equal(events.oom + events.oom_kill + events.oom_group_kill, 0);
    int status = wait_for(start_in(worker, run_into_memory_limit));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    assert_int_equal(cgroup_worker_events(worker, &events), 0);
    assert_true(events.oom >= 1);
    assert_true(events.oom_kill >= 2); /* Linux counts the first of a group twice */
    assert_int_equal(events.oom_group_kill, 1);
    (void) cgroup_worker_free(worker);
    (void) cgroup_free(tree);
}

static void test_memory_of_a_worker_is_read(void **state)
{
    struct cgroup_tree *tree = new_tree();
    struct cgroup_worker *worker = make(tree, 1);

    (void) state;
    assert_int_equal(cgroup_worker_memory(worker), 0);
    pid_t pid = start_in(worker, hold_memory);
    while (cgroup_worker_memory(worker) < 16 * MIB)
        assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    assert_true(cgroup_worker_memory(worker) <= 32 * MIB);
    assert_int_equal(kill(pid, SIGKILL), 0);
    (void) wait_for(pid);
    (void) cgroup_worker_free(worker);
    (void) cgroup_free(tree);
}

static void test_cgroup_of_a_dying_worker_is_removed_later(void **state)
{
    struct cgroup_tree *tree = new_tree();
    struct cgroup_worker *busy = make(tree, 1);
    pid_t pid = start_in(busy, run_for_ever);

    (void) state;
    (void) cgroup_worker_free(busy);
    assert_int_equal(cgroup_n_dying(tree), 1);
    struct cgroup_worker *other = make(tree, 1);
    assert_int_equal(cgroup_n_dying(tree), 1);
    assert_int_equal(count_workers(cgroup_worker_fd(other)), 2);
    assert_int_equal(kill(pid, SIGKILL), 0);
    (void) wait_for(pid);
    (void) cgroup_worker_free(other);
    assert_int_equal(cgroup_n_dying(tree), 0);
    (void) cgroup_free(tree);
}

static void test_end_kills_and_removes_what_is_left(void **state)
{
    struct cgroup_tree *tree = new_tree();
    struct cgroup_worker *worker = make(tree, 1);
    pid_t pid = start_in(worker, run_for_ever);
    int fd = openat(cgroup_worker_fd(worker), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void) state;
    (void) cgroup_worker_free(worker);
    (void) cgroup_free(tree);
    int status = wait_for(pid);
    assert_true(WIFSIGNALED(status));
    assert_false(has_worker(fd, getpid(), "1.0"));
    assert_int_equal(faccessat(fd, "supervisor", F_OK, 0), -1);
    assert_file(fd, "cgroup.subtree_control", "");
    assert_int_equal(close(fd), 0);
}

static void test_what_a_dead_supervisor_left_is_removed(void **state)
{
    struct cgroup_tree *tree = new_tree();
    struct cgroup_worker *worker = make(tree, 1);
    int fd = openat(cgroup_worker_fd(worker), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void) state;
    (void) cgroup_worker_free(worker);
    (void) cgroup_free(tree);
    assert_int_equal(mkdirat(fd, "worker-3.0", 0755), 0);
    assert_int_equal(mkdirat(fd, "worker-4.1", 0755), 0);
    tree = new_tree();
    assert_int_equal(cgroup_n_dying(tree), 0);
    assert_int_equal(faccessat(fd, "worker-3.0", F_OK, 0), -1);
    assert_int_equal(faccessat(fd, "worker-4.1", F_OK, 0), -1);
    (void) cgroup_free(tree);
    assert_int_equal(close(fd), 0);
}

/* Two supervisors in one leaf, as during an upgrade. */
static void test_what_belongs_to_another_supervisor_in_the_leaf_is_left_alone(void **state)
{
    struct cgroup_tree *tree = new_tree();
    struct cgroup_worker *worker = make(tree, 1);
    int fd = openat(cgroup_worker_fd(worker), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void) state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        run_for_ever();
    struct worker_name other = worker_name(pid, "1.0"), nobodys = worker_name(1, "1.0");
    assert_int_equal(mkdirat(fd, other.text, 0755), 0);
    assert_int_equal(mkdirat(fd, nobodys.text, 0755), 0);
    cgroup_collect(tree);
    assert_true(has_worker(fd, pid, "1.0"));
    assert_true(has_worker(fd, getpid(), "1.0"));
    assert_false(has_worker(fd, 1, "1.0"));
    (void) cgroup_worker_free(worker);
    /* The tree that goes first takes nothing away from the other. */
    (void) cgroup_free(tree);
    assert_true(has_worker(fd, pid, "1.0"));
    assert_int_equal(faccessat(fd, "supervisor", F_OK, 0), 0);
    assert_file(fd, "cgroup.subtree_control", "cpu memory pids");
    assert_int_equal(kill(pid, SIGKILL), 0);
    (void) wait_for(pid);
    /* The last tree finds the leaf, and undoes the changes of the first one if it is told to. */
    tree = new_tree();
    assert_false(has_worker(fd, pid, "1.0"));
    assert_false(cgroup_is_to_undo(tree));
    cgroup_set_to_undo(tree, true);
    (void) cgroup_free(tree);
    assert_int_equal(faccessat(fd, "supervisor", F_OK, 0), -1);
    assert_file(fd, "cgroup.subtree_control", "");
    assert_int_equal(close(fd), 0);
}

static void test_names_in_use_are_passed_over(void **state)
{
    struct cgroup_tree *tree = new_tree();
    struct cgroup_worker *worker = make(tree, 1);
    int fd = openat(cgroup_worker_fd(worker), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void) state;
    struct worker_name taken = worker_name(getpid(), "1.1");
    assert_int_equal(mkdirat(fd, taken.text, 0755), 0);
    struct cgroup_worker *other = make(tree, 1);
    assert_int_equal(unlinkat(fd, taken.text, AT_REMOVEDIR), 0);
    assert_true(has_worker(fd, getpid(), "1.2"));
    (void) cgroup_worker_free(worker);
    (void) cgroup_worker_free(other);
    (void) cgroup_free(tree);
    assert_int_equal(close(fd), 0);
}

static void test_company_in_the_cgroup_is_named(void **state)
{
    struct cgroup_tree *tree = new_tree();
    char text[512] = "";

    (void) state;
    tree = cgroup_free(tree);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        run_for_ever();
    assert_int_equal(cgroup_new(&tree, text, sizeof text), -EBUSY);
    assert_non_null(strstr(text, "other processes are in"));
    assert_null(tree);
    assert_int_equal(kill(pid, SIGKILL), 0);
    (void) wait_for(pid);
    (void) cgroup_free(new_tree()); /* nothing was changed */
}

static void test_many_makes_and_frees_leak_nothing(void **state)
{
    struct cgroup_tree *tree = new_tree();
    struct cgroup_worker *kept = make(tree, 0);
    const char *rounds = getenv("SKEP_CGROUP_ROUNDS");
    unsigned long n = rounds ? strtoul(rounds, NULL, 10) : 500;
    unsigned fds = count_fds();

    (void) state;
    for (unsigned i = 0; i < n; i++)
        (void) cgroup_worker_free(make(tree, i % 64));
    assert_int_equal(count_fds(), fds);
    assert_int_equal(count_workers(cgroup_worker_fd(kept)), 1);
    assert_int_equal(cgroup_n_dying(tree), 0);
    (void) cgroup_worker_free(kept);
    (void) cgroup_free(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_cgroup_is_found),
        cmocka_unit_test(test_worker_gets_its_files),
        cmocka_unit_test(test_limits_that_the_kernel_refuses_leave_nothing),
        cmocka_unit_test(test_worker_over_its_memory_is_killed_whole_and_counted),
        cmocka_unit_test(test_memory_of_a_worker_is_read),
        cmocka_unit_test(test_cgroup_of_a_dying_worker_is_removed_later),
        cmocka_unit_test(test_end_kills_and_removes_what_is_left),
        cmocka_unit_test(test_what_a_dead_supervisor_left_is_removed),
        cmocka_unit_test(test_what_belongs_to_another_supervisor_in_the_leaf_is_left_alone),
        cmocka_unit_test(test_names_in_use_are_passed_over),
        cmocka_unit_test(test_company_in_the_cgroup_is_named),
        cmocka_unit_test(test_many_makes_and_frees_leak_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
