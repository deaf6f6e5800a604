/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers that are born in a cgroup. Without controllers cgroup v2 is there on hosts with v1 too.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "supervisor/host/cgroup.h"
#include "tests/jail/hive.h"

static const struct probe_plan sealed = { .lock = PROBE_SEALED };

struct test_cgroup {
    char path[PATH_MAX];
    int fd;
};

/* Makes a cgroup below our own. false if there is none, or none may be made. */
static bool test_cgroup_init(struct test_cgroup *cgroup)
{
    _cleanup_file_ FILE *self_file = fopen("/proc/self/cgroup", "re");
    _cleanup_file_ FILE *mounts_file = fopen("/proc/self/mountinfo", "re");
    _cleanup_free_ char *self = NULL, *mounts = NULL, *own = NULL;
    size_t self_size = 0, mounts_size = 0;

    assert_true(self_file && mounts_file);
    assert_true(getdelim(&self, &self_size, '\0', self_file) > 0);
    assert_true(getdelim(&mounts, &mounts_size, '\0', mounts_file) > 0);
    if (cgroup_find(self, mounts, &own) < 0)
        return false;
    (void) snprintf(cgroup->path, sizeof cgroup->path, "%s/skep-test-%d", own, (int) getpid());
    if (mkdir(cgroup->path, 0755) < 0)
        return false;
    cgroup->fd = open(cgroup->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(cgroup->fd > 0);
    return true;
}

static void test_cgroup_done(const struct test_cgroup *cgroup)
{
    assert_int_equal(close(cgroup->fd), 0);
    assert_int_equal(rmdir(cgroup->path), 0);
}

/* Reads the line of cgroup v2 in a /proc/PID/cgroup, without the newline. */
static void read_cgroup_line(const char *path, char *line, size_t size)
{
    _cleanup_file_ FILE *file = fopen(path, "re");

    assert_non_null(file);
    while (fgets(line, (int) size, file))
        if (strncmp(line, "0::", 3) == 0) {
            line[strcspn(line, "\n")] = '\0';
            return;
        }
    fail_msg("%s: no cgroup v2", path);
}

static void assert_is_in(const struct cell *cell, const struct test_cgroup *cgroup)
{
    char path[32], line[PATH_MAX];

    (void) snprintf(path, sizeof path, "/proc/%d/cgroup", (int) cell->pid);
    read_cgroup_line(path, line, sizeof line);
    const char *name = strrchr(line, '/');
    assert_non_null(name);
    assert_string_equal(name, strrchr(cgroup->path, '/'));
}

/* Checks what the cell would read in its own /proc/self/cgroup. */
static void assert_sees_root(const struct cell *cell)
{
    char line[PATH_MAX];
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (setns(cell->pidfd, CLONE_NEWCGROUP) < 0)
            _exit(20);
        (void) snprintf(line, sizeof line, "/proc/%d/cgroup", (int) cell->pid);
        read_cgroup_line(line, line, sizeof line);
        _exit(strcmp(line, "0::/") == 0 ? 0 : 21);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void start_in_cgroup(void)
{
    struct test_cgroup cgroup;
    struct hive hive;

    if (!test_cgroup_init(&cgroup))
        _exit(15);
    hive_init(&hive, NULL);
    hive.cgroup_fd = cgroup.fd;
    struct cell *cell = cell_start(&hive, &sealed, true);
    assert_is_in(cell, &cgroup);
    if (geteuid() == 0)
        assert_sees_root(cell);
    hive.cgroup_fd = 0;
    struct cell *other = cell_start(&hive, &sealed, true);
    if (geteuid() == 0)
        assert_sees_root(other);
    hive_done(&hive);
    test_cgroup_done(&cgroup);
}

/* Refuses clone3, as RestrictNamespaces= of systemd does. */
static void start_in_cgroup_without_clone3(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

    if (!filter || seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) < 0 ||
        seccomp_load(filter) < 0)
        _exit(13);
    seccomp_release(filter);
    start_in_cgroup();
}

static void test_worker_is_born_in_its_cgroup(void **state)
{
    struct test_cgroup cgroup;

    (void) state;
    if (!test_cgroup_init(&cgroup))
        skip();
    test_cgroup_done(&cgroup);
    run_apart(start_in_cgroup);
    run_apart(start_in_cgroup_without_clone3);
}

static void test_cgroup_that_cannot_be_joined_is_told(void **state)
{
    struct hive hive;

    (void) state;
    hive_init(&hive, NULL);
    _cleanup_fd_ int folder = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    hive.cgroup_fd = folder;
    const struct cell *cell = cell_spawn(&hive, &sealed, true);
    assert_int_equal(cell->error, -ENOENT);
    assert_string_equal(cell->step, "cgroup of the worker");
    assert_non_null(spawner_hint(cell->error, cell->step));
    hive.cgroup_fd = 0;
    (void) cell_start(&hive, &sealed, true); /* the spawner still works */
    hive_done(&hive);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worker_is_born_in_its_cgroup),
        cmocka_unit_test(test_cgroup_that_cannot_be_joined_is_told),
    };

    if (strcmp(argv[0], "skep-worker") == 0)
        return probe_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
