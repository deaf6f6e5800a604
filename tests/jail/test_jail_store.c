/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's confinement, tried call by call in processes that confine themselves as it does: a
 * call that only an attacker makes kills, a call without a row is refused, the store's work below
 * its folder is allowed, and nothing can be done elsewhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "helper/confine.h"
#include "sandbox-policy/policy.h"
#include "tests/jail/confined.h"
#include "tests/jail/ordinary.h"
#include "tests/jail/table.h"
#include "tests/unit/store/store_fixture.h"

static char folder[32], elsewhere[32];
static struct store_state store;

static void confine_here_as_store(void)
{
    const struct confine_folder folders[] = { { folder, CONFINE_WRITE } };
    const struct confine_options options = {
        .folders = folders,
        .n_folders = 1,
        .cgroup_fd = -1,
        .table = &policy_store_table,
        .no_signals = true,
    };
    const char *step = "";

    expect(confine_process(&options, &step) == 0, step);
}

static int run_as_store(void (*try)(void))
{
    return table_run(confine_here_as_store, try);
}

static void test_calls_of_an_attacker_kill(void **state)
{
    (void) state;
    table_assert_kills(&policy_store_table, confine_here_as_store, 20);
}

static void test_every_call_without_row_is_refused(void **state)
{
    (void) state;
    table_assert_refuses(&policy_store_table, confine_here_as_store);
}

static void call_with_other_arguments(void)
{
    static char page[4096] __attribute__((aligned(4096)));
    const int fd = store.state_fd;

    expect_error(openat(fd, "lock", O_WRONLY | O_CLOEXEC), EPERM, "write over a file");
    expect_error(openat(fd, "lock", O_WRONLY | O_TRUNC | O_CLOEXEC), EPERM, "cut a file");
    expect_error(openat(fd, "lock", O_RDWR | O_CLOEXEC), EPERM, "open both ways");
    expect_error(openat(fd, "new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600), EPERM, "make or open");
    expect_error(openat(fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600), EPERM,
                 "file without name");
    expect_error(
        syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
        EPERM, "executable mmap");
    expect_error(syscall(SYS_mprotect, page, sizeof page, PROT_READ | PROT_EXEC), EPERM,
                 "executable mprotect");
    expect_error(syscall(SYS_madvise, page, 4096, 100), EPERM, "madvise of poison");
    expect_error(syscall(SYS_fcntl, 0, F_SETOWN, 1), EPERM, "owner of a descriptor");
    expect_error(syscall(SYS_flock, fd, LOCK_MAND), EPERM, "mandatory lock");
    expect_error(syscall(SYS_tgkill, 0x7ffffff0, 0x7ffffff0, SIGABRT), EPERM, "another process");
    expect_error(syscall(SYS_clone3, 0, 0), ENOSYS, "clone3");
}

static void test_allowed_calls_with_other_arguments_are_refused(void **state)
{
    (void) state;
    assert_int_equal(run_as_store(call_with_other_arguments), 0);
}

static void change_elsewhere(void)
{
    struct path file = path_in(elsewhere, "file"), new = path_in(elsewhere, "new");
    struct path inside = path_in(folder, "inside");

    expect_error(openat(AT_FDCWD, file.text, O_RDONLY | O_CLOEXEC), EACCES, "read elsewhere");
    expect_error(openat(AT_FDCWD, "/etc/passwd", O_RDONLY | O_CLOEXEC), EACCES, "read /etc");
    expect_error(openat(AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC), EACCES, "read /proc");
    expect_error(openat(AT_FDCWD, new.text, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), EACCES,
                 "make a file elsewhere");
    expect_error(mkdirat(AT_FDCWD, new.text, 0700), EACCES, "make a folder elsewhere");
    expect_error(symlinkat("x", AT_FDCWD, new.text), EACCES, "make a link elsewhere");
    expect_error(unlinkat(AT_FDCWD, file.text, 0), EACCES, "remove elsewhere");
    expect(mkdirat(AT_FDCWD, inside.text, 0700) == 0, "make a folder inside");
    expect(renameat(AT_FDCWD, inside.text, AT_FDCWD, new.text) < 0, "move out");
    expect(unlinkat(AT_FDCWD, inside.text, AT_REMOVEDIR) == 0, "remove inside");
}

static void test_nothing_can_be_done_elsewhere(void **state)
{
    (void) state;
    assert_int_equal(run_as_store(change_elsewhere), 0);
}

/* Does all of the store's work, by its own code. */
static void work(void)
{
    static const struct bundle bundles[] = {
        { .files = { { "skep.yaml", "name: t\n" }, { "d/a.js", "1" } }, .env = "x" },
        { .files = { { "skep.yaml", "name: t\n" }, { "d/a.js", "2" } } },
        { .files = { { "skep.yaml", "name: t\n" }, { "d/a.js", "3" } } },
    };
    struct stored_tenant tenant;
    unsigned n = 0;

    expect(store_recover(&store, &n) == 0, store.text);
    for (uint64_t i = 0; i < ARRAY_LEN(bundles); i++)
        expect(deploy(&store, i + 1, "t", &bundles[i], 2) == 0, store.text);
    expect(stored_tenant_open(&store, "t", &tenant) == 0, store.text);
    expect(tenant.n_versions == 2, "two versions");
    expect(commit(&store, 9, "t", tenant.versions[1].name, STORE_ROLLBACK, 2) == 0, store.text);
    stored_tenant_done(&tenant);
    expect(begin(&store, 10, "u") == 0, store.text);
    expect(add_part(&store, 10, "../x", "x", false) < 0, "a bad path");
    expect(version_remove_tenant(&store, "t", &n) == 0 && n == 2, store.text);
    expect(store_recover(&store, &n) == 0 && n == 0, store.text);
}

static void test_all_of_its_work_is_allowed(void **state)
{
    (void) state;
    assert_int_equal(run_as_store(work), 0);
}

static void abort_here(void)
{
    abort();
}

static void test_abort_ends_it_as_it_should(void **state)
{
    (void) state;
    int status = run_as_store(abort_here);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static int set_up(void **state)
{
    (void) state;
    ordinary_begin();
    make_folder(folder);
    make_folder(elsewhere);
    struct path file = path_in(elsewhere, "file");
    assert_int_equal(tree_write(AT_FDCWD, file.text, "x", 1), 0);
    return store_open(&store, folder);
}

static int tear_down(void **state)
{
    (void) state;
    store_close(&store);
    remove_folder(folder);
    remove_folder(elsewhere);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_of_an_attacker_kill),
        cmocka_unit_test(test_every_call_without_row_is_refused),
        cmocka_unit_test(test_allowed_calls_with_other_arguments_are_refused),
        cmocka_unit_test(test_nothing_can_be_done_elsewhere),
        cmocka_unit_test(test_all_of_its_work_is_allowed),
        cmocka_unit_test(test_abort_ends_it_as_it_should),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
