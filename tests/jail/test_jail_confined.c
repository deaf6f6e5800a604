/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A confined supervisor can reach files of the folders that it was given and no others, no TCP
 * address, no capability; and Landlock alone, without the filter in front of it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "helper/confine.h"
#include "sandbox-policy/landlock.h"
#include "tests/jail/confined.h"
#include "tests/jail/hive.h"

static struct place place;

static int open_in(const char *folder, const char *name, int flags)
{
    struct path path = path_in(folder, name);

    return open(path.text, flags | O_CLOEXEC, 0600);
}

static int unlink_in(const char *folder, const char *name)
{
    struct path path = path_in(folder, name);

    return unlink(path.text);
}

/* ---- files */

static void read_files(const struct place *in)
{
    char byte;
    int fd = open_in(in->granted, "file", O_RDONLY);

    expect(fd >= 0 && read(fd, &byte, 1) == 1, "read a file in a folder that may be read");
    DIR *dir = opendir(in->granted);
    expect(dir && readdir(dir), "list a folder that may be read");
    _cleanup_fd_ int folder = open(in->granted, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    expect(folder >= 0 && fdopendir(folder), "fdopendir");
    expect_error(open_in(in->other, "file", O_RDONLY), EACCES, "read another file");
    expect_error(open_in(in->sockets, "file", O_RDONLY), EACCES, "read where sockets are");
    expect(!opendir(in->other) && errno == EACCES, "another folder cannot be listed");
    expect_error(open("/etc/passwd", O_RDONLY | O_CLOEXEC), EACCES, "read /etc/passwd");
    expect(open("/proc/self/stat", O_RDONLY | O_CLOEXEC) >= 0, "read /proc");
}

static void test_only_granted_folders_are_read(void **state)
{
    (void) state;
    assert_int_equal(run_confined(&place, read_files), 0);
}

static void change_files(const struct place *in)
{
    const char *const folders[] = { in->granted, in->other, in->sockets, "/tmp" };
    struct path from = path_in(in->sockets, "file");

    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        struct path made = path_in(folders[i], "made");
        expect_error(open(made.text, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), EPERM, "create");
        expect_error(open(folders[i], O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600), EPERM, "tmpfile");
        expect_error(mkdirat(AT_FDCWD, made.text, 0700), EACCES, "make a folder");
        expect_error(symlink("/", made.text), EPERM, "make a link");
        expect_error(link(from.text, made.text), EPERM, "make a hard link");
        expect_error(rename(from.text, made.text), EPERM, "rename");
    }
    expect_error(open_in(in->granted, "file", O_RDWR), EPERM, "open for both");
    expect_error(open_in(in->granted, "file", O_WRONLY | O_TRUNC), EPERM, "cut");
    expect_error(open_in(in->granted, "file", O_WRONLY), EACCES, "write a file that may be read");
    expect_error(open_in(in->other, "file", O_WRONLY), EACCES, "write another file");
    expect_error(unlink_in(in->granted, "file"), EACCES, "remove what may be read");
    expect_error(unlink_in(in->other, "file"), EACCES, "remove another file");
    expect_error(chmod(from.text, 0777), EPERM, "chmod");
    expect(unlink_in(in->sockets, "file") == 0, "remove where sockets are");
}

static void test_nothing_is_changed_but_sockets_removed(void **state)
{
    (void) state;
    assert_int_equal(run_confined(&place, change_files), 0);
}

/* ---- links and scripts */

static void confine_to(const char *path)
{
    const struct confine_folder folder = { path, CONFINE_READ };
    const struct confine_options options = { .folders = &folder, .n_folders = 1 };
    const char *step = "";

    expect(confine_process(&options, &step) == 0, step);
}

static void use_link_to_folder(void)
{
    struct path link = path_in(place.top, "link");

    confine_to(link.text);
    expect(open_in(place.granted, "file", O_RDONLY) >= 0, "where the link leads to");
    expect_error(open_in(place.other, "file", O_RDONLY), EACCES, "where the link is");
}

static void use_link_to_file(void)
{
    struct path link = path_in(place.top, "link");

    confine_to(link.text);
    expect(open(link.text, O_RDONLY | O_CLOEXEC) >= 0, "the script, by its link");
    expect_error(open_in(place.other, "file", O_RDONLY), EACCES, "where the link is");
}

static void test_links_are_followed_once(void **state)
{
    struct path link = path_in(place.top, "link"), file = path_in(place.granted, "file");

    (void) state;
    assert_int_equal(symlink(place.granted, link.text), 0);
    run_apart(use_link_to_folder);
    assert_int_equal(unlink(link.text), 0);
    assert_int_equal(symlink(file.text, link.text), 0);
    run_apart(use_link_to_file);
    assert_int_equal(unlink(link.text), 0);
}

/* ---- cgroups, on any file system */

static void use_cgroup(void)
{
    int tree = open(place.other, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const struct confine_options options = { .cgroup_fd = tree };
    const char *step = "";

    expect(tree > 0, "open the tree");
    expect(confine_process(&options, &step) == 0, step);
    expect(mkdirat(tree, "worker-0", 0755) == 0, "make a cgroup");
    expect(openat(tree, "worker-0", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0, "open it");
    expect(openat(tree, "file", O_WRONLY | O_CLOEXEC) >= 0, "write what is there");
    expect_error(openat(tree, "new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600), EPERM, "make a file");
    expect_error(unlinkat(tree, "file", 0), EACCES, "remove a file");
    expect(unlinkat(tree, "worker-0", AT_REMOVEDIR) == 0, "remove a cgroup");
    expect_error(open_in(place.granted, "file", O_RDONLY), EACCES, "read elsewhere");
}

static void test_cgroups_are_made_set_and_removed(void **state)
{
    (void) state;
    run_apart(use_cgroup);
}

/* ---- Landlock without the filter */

static int tcp_fd(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    expect(fd >= 0, "socket");
    return fd;
}

static void use_tcp(void)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons(9),
    };
    const char *step = "";
    int ruleset = -1, outside = (int) getppid();

    expect(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
    expect(landlock_new(LANDLOCK_LEAVE_SIGNALS, &ruleset, &step) == 0, step);
    expect(landlock_restrict(ruleset, &step) == 0, step);
    expect_error(bind(tcp_fd(), (const struct sockaddr *) &address, sizeof address), EACCES,
                 "bind");
    expect_error(connect(tcp_fd(), (const struct sockaddr *) &address, sizeof address), EACCES,
                 "connect");
    expect(kill(outside, 0) == 0, "signal a process outside");
    expect(landlock_new(LANDLOCK_LEAVE_NOTHING, &ruleset, &step) == 0, step);
    expect(landlock_restrict(ruleset, &step) == 0, step);
    expect_error(kill(outside, 0), EPERM, "signal a process outside, scoped");
}

static long landlock_abi(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
}

static void test_landlock_denies_tcp_and_keeps_signals(void **state)
{
    (void) state;
    if (landlock_abi() < 6)
        skip();
    run_apart(use_tcp);
}

/* Makes Landlock's calls fail, as on a kernel without it. */
static void take_landlock_away(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

    expect(filter &&
               seccomp_rule_add(filter, SCMP_ACT_ERRNO(EOPNOTSUPP),
                                SCMP_SYS(landlock_create_ruleset), 0) == 0 &&
               seccomp_load(filter) == 0,
           "outer filter");
    seccomp_release(filter);
}

static void confine_without_landlock(void)
{
    struct confine_options options = { .landlock_may_be_missing = false };
    const char *step = NULL;

    take_landlock_away();
    expect(confine_process(&options, &step) == -EOPNOTSUPP, "without consent");
    expect(step && confine_hint(-EOPNOTSUPP, step), "step and hint");
    options.landlock_may_be_missing = true;
    step = NULL;
    expect(confine_process(&options, &step) == 1, "with consent");
    expect(step && confine_hint(-EOPNOTSUPP, step), "step and hint");
    expect_error(socket(AF_INET, SOCK_STREAM, 0), EPERM, "the filter is there");
}

static void test_missing_landlock_needs_consent(void **state)
{
    (void) state;
    run_apart(confine_without_landlock);
}

static void *wait_for_ever(void *unused)
{
    for (;;)
        (void) pause();
    return unused;
}

static void confine_with_second_thread(void)
{
    const struct confine_options options = { .landlock_may_be_missing = true };
    const char *step = "";
    pthread_t thread;

    expect(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0, "pthread_create");
    expect(confine_process(&options, &step) == -EBUSY, step);
}

static void test_second_thread_is_an_error(void **state)
{
    (void) state;
    run_apart(confine_with_second_thread);
}

/* ---- capabilities */

static uint64_t read_set(const char *key)
{
    char line[256], *end;
    _cleanup_file_ FILE *file = fopen("/proc/self/status", "re");

    expect(file, "/proc/self/status");
    while (fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0)
            return strtoull(line + strlen(key), &end, 16);
    expect(false, key);
    return 0;
}

static void look_at_capabilities(const struct place *in)
{
    static const char *const sets[] = { "CapInh:\t", "CapPrm:\t", "CapEff:\t", "CapAmb:\t" };

    (void) in;
    for (size_t i = 0; i < ARRAY_LEN(sets); i++)
        expect(read_set(sets[i]) == 0, sets[i]);
    if (geteuid() == 0) /* only root may drop it, and no_new_privs makes it worthless */
        expect(read_set("CapBnd:\t") == 0, "CapBnd");
    expect(read_set("NoNewPrivs:\t") == 1, "NoNewPrivs");
    expect(read_set("Seccomp:\t") == 2, "Seccomp");
}

static void test_no_capability_is_left(void **state)
{
    (void) state;
    assert_int_equal(run_confined(&place, look_at_capabilities), 0);
}

static void keep_kill(void)
{
    confine_here(&place, UINT64_C(1) << CAP_KILL | UINT64_C(1) << 62);
    expect(read_set("CapEff:\t") == UINT64_C(1) << CAP_KILL, "CapEff");
    expect(read_set("CapPrm:\t") == UINT64_C(1) << CAP_KILL, "CapPrm");
    expect(read_set("CapBnd:\t") == 0, "CapBnd");
    expect(read_set("CapInh:\t") == 0, "CapInh");
}

static void test_what_is_asked_for_is_kept(void **state)
{
    (void) state;
    if (geteuid() != 0)
        skip();
    run_apart(keep_kill);
}

static int make_place(void **state)
{
    (void) state;
    place_init(&place);
    return 0;
}

static int remove_place(void **state)
{
    (void) state;
    place_done(&place);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_granted_folders_are_read),
        cmocka_unit_test(test_links_are_followed_once),
        cmocka_unit_test(test_cgroups_are_made_set_and_removed),
        cmocka_unit_test(test_landlock_denies_tcp_and_keeps_signals),
        cmocka_unit_test(test_missing_landlock_needs_consent),
        cmocka_unit_test(test_second_thread_is_an_error),
        cmocka_unit_test(test_no_capability_is_left),
        cmocka_unit_test(test_what_is_asked_for_is_kept),
        cmocka_unit_test(test_nothing_is_changed_but_sockets_removed),
    };

    (void) argc;
    (void) argv;
    return cmocka_run_group_tests(tests, make_place, remove_place);
}
