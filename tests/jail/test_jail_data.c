/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data's confinement, tried call by call in processes that confine themselves as it does: a call that only an attacker makes kills, a
 * call without a row is refused, SQLite's work below the folder is allowed, also in a thread, and nothing can be done elsewhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "data/kv.h"
#include "data/threads.h"
#include "helper/confine.h"
#include "proto/values.h"
#include "sandbox-policy/policy.h"
#include "tests/jail/confined.h"
#include "tests/jail/ordinary.h"
#include "tests/jail/table.h"

static char folder[32], elsewhere[32];
static struct threads *threads;

static int start_threads(void *owner)
{
    (void) owner;
    return threads_start(2, &threads);
}

static void confine_here_as_data(void)
{
    const struct confine_folder folders[] = { { ".", CONFINE_KEEP } };
    const struct confine_options options = {
        .folders = folders,
        .n_folders = 1,
        .cgroup_fd = -1,
        .table = &policy_data_table,
        .start_threads = start_threads,
        .no_signals = true,
    };
    const char *step = "";

    expect(chdir(folder) == 0, "folder");
    expect(confine_process(&options, &step) == 0, step);
}

static int run_as_data(void (*try)(void))
{
    return table_run(confine_here_as_data, try);
}

static void test_calls_of_an_attacker_kill(void **state)
{
    (void) state;
    table_assert_kills(&policy_data_table, confine_here_as_data, 20);
}

static void test_every_call_without_row_is_refused(void **state)
{
    (void) state;
    table_assert_refuses(&policy_data_table, confine_here_as_data);
}

static void call_with_other_arguments(void)
{
    static char page[4096] __attribute__((aligned(4096)));
    int one = 1;

    expect_error(openat(AT_FDCWD, "file", O_WRONLY | O_CLOEXEC), EPERM, "write only");
    expect_error(openat(AT_FDCWD, "file", O_RDWR | O_TRUNC | O_CLOEXEC), EPERM, "cut at opening");
    expect_error(openat(AT_FDCWD, "file", O_RDWR | O_APPEND | O_CLOEXEC), EPERM, "append");
    expect_error(openat(AT_FDCWD, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), EPERM,
                 "file without name");
    expect_error(fcntl(0, F_SETOWN, 1), EPERM, "owner of a descriptor");
    expect_error(fcntl(0, F_DUPFD, 10), EPERM, "another descriptor");
    expect_error(setsockopt(0, SOL_SOCKET, SO_PASSCRED, &one, sizeof one), EPERM, "credentials");
    expect_error(
        syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
        EPERM, "executable mmap");
    expect_error(syscall(SYS_mprotect, page, sizeof page, PROT_READ | PROT_EXEC), EPERM,
                 "executable mprotect");
    expect(syscall(SYS_mprotect, page, sizeof page, PROT_READ | PROT_WRITE) == 0, "mprotect");
    expect_error(syscall(SYS_madvise, page, 4096, 100), EPERM, "madvise of poison");
    expect_error(syscall(SYS_futex, page, FUTEX_LOCK_PI, 0, 0, 0, 0), EPERM, "another futex");
    expect_error(syscall(SYS_tgkill, 0x7ffffff0, 0x7ffffff0, SIGABRT), EPERM, "another process");
    expect_error(syscall(SYS_clone3, 0, 0), ENOSYS, "clone3");
}

static void test_allowed_calls_with_other_arguments_are_refused(void **state)
{
    (void) state;
    assert_int_equal(run_as_data(call_with_other_arguments), 0);
}

static void change_elsewhere(void)
{
    struct path file = path_in(elsewhere, "file"), new = path_in(elsewhere, "new");

    expect_error(openat(AT_FDCWD, file.text, O_RDONLY | O_CLOEXEC), EACCES, "read elsewhere");
    expect_error(openat(AT_FDCWD, file.text, O_RDWR | O_CLOEXEC), EACCES, "write elsewhere");
    expect_error(openat(AT_FDCWD, "/etc/passwd", O_RDONLY | O_CLOEXEC), EACCES, "read /etc");
    expect_error(openat(AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC), EACCES, "read /proc");
    expect_error(openat(AT_FDCWD, new.text, O_RDWR | O_CREAT | O_CLOEXEC, 0600), EACCES,
                 "make a file elsewhere");
    expect_error(openat(AT_FDCWD, "../new", O_RDWR | O_CREAT | O_CLOEXEC, 0600), EACCES,
                 "make a file above");
    expect_error(mkdirat(AT_FDCWD, new.text, 0700), EACCES, "make a folder elsewhere");
    expect_error(unlinkat(AT_FDCWD, file.text, 0), EACCES, "remove elsewhere");
    expect_error(renameat(AT_FDCWD, "file", AT_FDCWD, new.text), EACCES, "move away");
    expect_error(symlinkat("/etc/passwd", AT_FDCWD, "link"), EPERM, "make a link");
    expect_error(linkat(AT_FDCWD, "file", AT_FDCWD, "other", 0), EPERM, "make another name");
    expect_error(mknodat(AT_FDCWD, "pipe", S_IFIFO | 0600, 0), EPERM, "make a pipe");
}

static void test_nothing_can_be_done_elsewhere(void **state)
{
    (void) state;
    assert_int_equal(run_as_data(change_elsewhere), 0);
}

static void change_files(void)
{
    expect(mkdirat(AT_FDCWD, "tenant", 0700) == 0, "make a folder");
    _cleanup_fd_ int fd = openat(AT_FDCWD, "tenant/new", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    expect(fd >= 0, "make a file");
    expect(pwrite(fd, "hello", 5, 4096) == 5, "write a page");
    expect(ftruncate(fd, 4096) == 0, "cut a file");
    expect(fdatasync(fd) == 0, "sync a file");
    expect(rename("tenant/new", "tenant/aside") == 0, "put a file aside");
    expect(unlink("tenant/aside") == 0, "remove a file");
}

static void test_files_of_tenants_can_be_changed(void **state)
{
    (void) state;
    assert_int_equal(run_as_data(change_files), 0);
}

/* ---- SQLite's work, by a thread that was started before the filter */

static void put_some(struct kv *kv)
{
    static uint8_t request[100000];
    size_t size = sizeof(uint32_t);
    struct data_operation put = {
        .name = "put",
        .space = "main",
        .request = request,
        .request_size = sizeof request,
        .limits = { UINT32_MAX, UINT32_MAX, UINT32_MAX, 1, UINT32_MAX, UINT32_MAX, UINT32_MAX },
        .answer.most = 4096,
        .deadline_ns = UINT64_MAX,
    };
    struct data_operation *const operations[] = { &put };

    size += values_put_bytes(request + size, VALUE_TEXT, "key", 3);
    size += values_put_null(request + size);
    size += values_put_null(request + size);
    request[0] = (uint8_t) (size - sizeof(uint32_t));
    for (unsigned i = 0; i < 100; i++) {
        expect(kv_run(kv, operations, 1) == 0, "run");
        expect(put.status == 200, "put");
        data_answer_done(&put.answer);
    }
}

static void fill_file(int fd, char byte)
{
    for (unsigned i = 0; i < 4096; i++)
        expect(pwrite(fd, &byte, 1, i) == 1, "spoil");
}

static void work_with_kv(void)
{
    char notice[512] = "";
    struct kv *kv = NULL;

    expect(kv_open("kv.db", &kv, notice) == 0, "open");
    put_some(kv);
    (void) kv_close(kv);
    _cleanup_fd_ int fd = openat(AT_FDCWD, "kv.db", O_RDWR | O_CLOEXEC);
    fill_file(fd, 'x');
    expect(kv_open("kv.db", &kv, notice) == 0, "open a corrupt file");
    expect(notice[0] != '\0', "notice");
    put_some(kv);
    (void) kv_close(kv);
}

static void do_work(struct work *work)
{
    (void) work;
    work_with_kv();
}

static void work_in_a_thread(void)
{
    struct work work = { .run = do_work };

    threads_give(threads, &work);
    expect(threads_stop(threads, 60000) == 0, "threads");
    expect(threads_take(threads) == &work, "work");
}

static void test_engine_works_in_a_thread(void **state)
{
    (void) state;
    assert_int_equal(run_as_data(work_in_a_thread), 0);
}

static void make_place(char *path)
{
    _cleanup_fd_ int dir = -1;

    assert_non_null(mkdtemp(path));
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_fd_ int fd = openat(dir, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "x", 1), 1);
}

static int set_up(void **state)
{
    (void) state;
    ordinary_begin();
    (void) strcpy(folder, "/tmp/test_jail_data.XXXXXX");
    (void) strcpy(elsewhere, "/tmp/test_jail_data.XXXXXX");
    make_place(folder);
    make_place(elsewhere);
    return 0;
}

static int tear_down(void **state)
{
    char command[96];

    (void) state;
    (void) snprintf(command, sizeof command, "rm -rf %s %s", folder, elsewhere);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_of_an_attacker_kill),
        cmocka_unit_test(test_every_call_without_row_is_refused),
        cmocka_unit_test(test_allowed_calls_with_other_arguments_are_refused),
        cmocka_unit_test(test_nothing_can_be_done_elsewhere),
        cmocka_unit_test(test_files_of_tenants_can_be_changed),
        cmocka_unit_test(test_engine_works_in_a_thread),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
