/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The power is cut before each change that the store makes to the file system, one after the other:
 * then the old version or the new one is there, whole, and no other file is left. The store's code
 * is real; the linker leads its system calls through this file (--wrap).
 */
#include <sys/wait.h>

#include "tests/unit/store/store_fixture.h"

#define OPERATIONS_MAX 2000
#define CUT_OFF 77
#define DIRTY_MAX 512

/* ---- the calls */

static unsigned operations, cut_at; /* 0: never */
static ino_t dirty[DIRTY_MAX];      /* files that a power cut may still take */
static unsigned n_dirty;
static bool is_recording;

static void mark(int fd)
{
    struct stat st;

    if (!is_recording || fstat(fd, &st) < 0)
        return;
    assert_true(n_dirty < DIRTY_MAX);
    dirty[n_dirty++] = st.st_ino;
}

static bool is_dirty(ino_t inode)
{
    for (unsigned i = 0; i < n_dirty; i++)
        if (dirty[i] == inode)
            return true;
    return false;
}

static bool is_cut(void)
{
    operations++;
    return cut_at > 0 && operations == cut_at;
}

static void cut(void)
{
    if (is_cut())
        _exit(CUT_OFF);
}

int __real_fsync(int fd);
int __real_mkdirat(int dir_fd, const char *name, mode_t mode);
int __real_openat(int dir_fd, const char *name, int flags, mode_t mode);
int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __real_symlinkat(const char *target, int dir_fd, const char *name);
int __real_unlinkat(int dir_fd, const char *name, int flags);
ssize_t __real_write(int fd, const void *data, size_t size);
int __wrap_fsync(int fd);
int __wrap_mkdirat(int dir_fd, const char *name, mode_t mode);
int __wrap_openat(int dir_fd, const char *name, int flags, mode_t mode);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_symlinkat(const char *target, int dir_fd, const char *name);
int __wrap_unlinkat(int dir_fd, const char *name, int flags);
ssize_t __wrap_write(int fd, const void *data, size_t size);

int __wrap_fsync(int fd)
{
    struct stat st;

    cut();
    if (is_recording && fstat(fd, &st) == 0)
        for (unsigned i = 0; i < n_dirty; i++)
            if (dirty[i] == st.st_ino)
                dirty[i] = 0;
    return __real_fsync(fd);
}

int __wrap_mkdirat(int dir_fd, const char *name, mode_t mode)
{
    cut();
    int r = __real_mkdirat(dir_fd, name, mode);
    if (r == 0)
        mark(dir_fd);
    return r;
}

int __wrap_openat(int dir_fd, const char *name, int flags, mode_t mode)
{
    if (!(flags & O_CREAT))
        return __real_openat(dir_fd, name, flags, 0);
    cut();
    int fd = __real_openat(dir_fd, name, flags, mode);
    if (fd >= 0) {
        mark(fd);
        mark(dir_fd);
    }
    return fd;
}

static int check_clean(void *arg, int dir_fd, const char *name)
{
    struct stat st;

    (void) arg;
    assert_int_equal(fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
    if (is_dirty(st.st_ino))
        fail_msg("%s is not synced", name);
    if (!S_ISDIR(st.st_mode))
        return 0;
    _cleanup_fd_ int fd = __real_openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    assert_true(fd >= 0);
    return tree_each(fd, check_clean, NULL);
}

/* A file or folder that gets its name by a rename must be on the disk before, with all its
 * contents. */
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    cut();
    if (is_recording)
        (void) check_clean(NULL, from_fd, from);
    int r = __real_renameat(from_fd, from, to_fd, to);
    if (r == 0)
        mark(to_fd);
    return r;
}

int __wrap_symlinkat(const char *target, int dir_fd, const char *name)
{
    cut();
    int r = __real_symlinkat(target, dir_fd, name);
    if (r == 0)
        mark(dir_fd);
    return r;
}

int __wrap_unlinkat(int dir_fd, const char *name, int flags)
{
    cut();
    return __real_unlinkat(dir_fd, name, flags);
}

/* Half of the bytes are written. */
ssize_t __wrap_write(int fd, const void *data, size_t size)
{
    if (is_cut()) {
        (void) !__real_write(fd, data, size / 2);
        _exit(CUT_OFF);
    }
    mark(fd);
    return __real_write(fd, data, size);
}

/* ---- scenarios, and the versions that may be there afterwards */

static const struct bundle old = { .files = { { "skep.yaml", "name: t\n" }, { "a.js", "old" } } };
static const struct bundle older = { .files = { { "skep.yaml", "name: t\n" },
                                                { "a.js", "older" } } };
static const struct bundle new = {
    .files = { { "skep.yaml", "name: t\n" },
               { "a.js", "new" },
               { "d/e/b.txt", "text" },
               { "d/c.js", "" } },
    .env = "value",
};

static char old_name[VERSION_BYTES + 1], older_name[VERSION_BYTES + 1], new_name[VERSION_BYTES + 1];

struct scenario {
    const char *name;
    int (*prepare)(struct store_state *state);
    int (*run)(struct store_state *state);
    const char *before, *after; /* version that serves; NULL: no tenant */
};

static int prepare_nothing(struct store_state *state)
{
    (void) state;
    return 0;
}

static int prepare_two(struct store_state *state)
{
    int r = deploy(state, 1, "t", &older, 9);
    return r < 0 ? r : deploy(state, 2, "t", &old, 9);
}

static int run_deploy(struct store_state *state)
{
    return deploy(state, 3, "t", &new, 2);
}

static int run_rollback(struct store_state *state)
{
    return commit(state, 3, "t", older_name, STORE_ROLLBACK, 9);
}

static int run_remove(struct store_state *state)
{
    unsigned n;
    return version_remove_tenant(state, "t", &n);
}

static int run_abort(struct store_state *state)
{
    char version[VERSION_BYTES + 1];
    int r = upload(state, 3, "t", &new, version);

    if (r == 0)
        upload_free(state, upload_find(state, 3));
    return r;
}

static const struct scenario scenarios[] = {
    { "first deploy", prepare_nothing, run_deploy, NULL, new_name },
    { "next deploy, and the oldest goes", prepare_two, run_deploy, old_name, new_name },
    { "rollback", prepare_two, run_rollback, old_name, older_name },
    { "removal", prepare_two, run_remove, old_name, NULL },
    { "upload that is given up", prepare_two, run_abort, old_name, old_name },
    { "first upload that is given up", prepare_nothing, run_abort, NULL, NULL },
};

static void check_file(int fd, const char *path, const char *content, size_t size)
{
    _cleanup_fd_ int file = __real_openat(fd, path, O_RDONLY | O_CLOEXEC, 0);
    char text[64] = "";

    if (file < 0)
        fail_msg("%s is not there", path);
    assert_int_equal(read(file, text, sizeof text - 1), size);
    assert_string_equal(text, content);
}

/* Checks that the version that serves is whole. */
static void check_version(const struct stored_tenant *tenant)
{
    const struct bundle *bundle = strcmp(tenant->current, new_name) == 0   ? &new
                                  : strcmp(tenant->current, old_name) == 0 ? &old
                                                                           : &older;
    _cleanup_fd_ int fd = tree_enter(tenant->versions_fd, tenant->current, false);
    assert_true(fd >= 0);
    _cleanup_fd_ int files = tree_enter(fd, STORE_BUNDLE, false);
    assert_true(files >= 0);
    for (const struct file *file = bundle->files; file->path; file++)
        check_file(files, file->path, file->content, strlen(file->content));
    check_file(fd, STORE_ENV_FILE, bundle->env ? "A=value" : "", bundle->env ? 8 : 0);
}

static int check_name(void *arg, int dir_fd, const char *name)
{
    (void) arg;
    (void) dir_fd;
    if (name[0] == '.')
        fail_msg("%s is left over", name);
    return 0;
}

/* Returns the version that serves, "" for no tenant. */
static const char *check_state(const char *path, char current[static VERSION_BYTES + 1])
{
    struct store_state state = { 0 };
    struct stored_tenant tenant = { .fd = -1, .versions_fd = -1 };
    unsigned leftovers = 0;

    assert_int_equal(store_open(&state, path), 0);
    assert_int_equal(store_recover(&state, &leftovers), 0);
    assert_int_equal(store_recover(&state, &leftovers), 0);
    assert_int_equal(leftovers, 0); /* no file for the next store to clean up */
    assert_int_equal(tree_each(state.tenants_fd, check_name, NULL), 0);
    current[0] = '\0';
    int r = stored_tenant_open(&state, "t", &tenant);
    if (r == 0) {
        memcpy(current, tenant.current, VERSION_BYTES + 1);
        assert_true(version_is_valid(current));
        assert_int_equal(tree_each(tenant.fd, check_name, NULL), 0);
        assert_int_equal(tree_each(tenant.versions_fd, check_name, NULL), 0);
        assert_string_equal(tenant.history.records[tenant.history.count - 1].version, current);
        assert_true(tenant.versions[0].is_current);
        for (unsigned i = 0; i < tenant.n_versions; i++)
            assert_true(tenant.versions[i].time_ms > 0); /* info is whole */
        check_version(&tenant);
    } else {
        assert_int_equal(r, -ENOENT);
    }
    stored_tenant_done(&tenant);
    store_close(&state);
    return current;
}

/* Runs a scenario in a process of its own, which may be cut off. Returns its exit status. */
static int in_process(const char *path, int (*run)(struct store_state *state), unsigned at)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        struct store_state state = { 0 };
        if (store_open(&state, path) < 0)
            _exit(1);
        operations = 0;
        cut_at = at;
        int r = run(&state);
        cut_at = 0;
        _exit(r < 0 ? 2 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int run_recovery(struct store_state *state)
{
    unsigned leftovers;
    return store_recover(state, &leftovers);
}

/* Makes a folder with the same key as the others, so that versions have the same names. */
static void make_keyed_folder(char *path)
{
    char file[64];

    make_folder(path);
    (void) snprintf(file, sizeof file, "%s/" STORE_KEY_FILE, path);
    _cleanup_fd_ int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "0123456789abcdef0123456789abcdef", STORE_KEY_BYTES),
                     STORE_KEY_BYTES);
}

static void prepare(const struct scenario *scenario, char *path)
{
    make_keyed_folder(path);
    assert_int_equal(in_process(path, scenario->prepare, 0), 0);
}

/* Runs the scenario with a cut. Returns whether it was cut off. */
static bool try_cut(const struct scenario *scenario, unsigned at, unsigned recovery_at)
{
    char path[32], current[VERSION_BYTES + 1];
    const char *before = scenario->before ? scenario->before : "";
    const char *after = scenario->after ? scenario->after : "";

    prepare(scenario, path);
    int status = in_process(path, scenario->run, at);
    if (status != 0 && status != CUT_OFF)
        fail_msg("%s, cut at %u: exit %d", scenario->name, at, status);
    bool is_recovery_cut =
        recovery_at > 0 && in_process(path, run_recovery, recovery_at) == CUT_OFF;
    (void) check_state(path, current);
    if (status == 0 ? strcmp(current, after) != 0
                    : strcmp(current, before) != 0 && strcmp(current, after) != 0)
        fail_msg("%s, cut at %u: serves \"%s\"", scenario->name, at, current);
    remove_folder(path);
    return recovery_at > 0 ? is_recovery_cut : status == CUT_OFF;
}

static void test_cut_at_each_operation_leaves_the_old_or_the_new(void **state)
{
    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(scenarios); i++) {
        unsigned at = 1;
        while (try_cut(&scenarios[i], at, 0))
            assert_true(++at < OPERATIONS_MAX);
        print_message("%s: cut before each of %u operations\n", scenarios[i].name, at - 1);
        assert_true(at > 5);
    }
}

static void test_recovery_that_is_cut_is_done_by_the_next(void **state)
{
    unsigned cuts = 0;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(scenarios); i++)
        for (unsigned at = 1; at < 56; at += 6) /* each is four processes and many files */
            for (unsigned recovery_at = 1; try_cut(&scenarios[i], at, recovery_at); recovery_at++)
                cuts++;
    print_message("recovery was cut %u times\n", cuts);
    assert_true(cuts > 100);
}

/* After the answer no file needs data that is still in memory, and before each rename no file under the new
 * name. */
static void test_what_is_done_is_synced(void **state)
{
    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(scenarios); i++) {
        struct store_state store = { 0 };
        char path[32];
        make_keyed_folder(path);
        n_dirty = 0;
        is_recording = true;
        assert_int_equal(store_open(&store, path), 0);
        assert_int_equal(scenarios[i].prepare(&store), 0);
        assert_int_equal(scenarios[i].run(&store), 0);
        if (scenarios[i].after)
            (void) check_clean(NULL, store.state_fd, "tenants");
        is_recording = false;
        store_close(&store);
        remove_folder(path);
    }
}

static int write_callers(struct store_state *state, const char *text)
{
    Skep__Store__Callers part = SKEP__STORE__CALLERS__INIT;

    part.data = bytes(text);
    return callers_part(state, &part);
}

static int run_callers(struct store_state *state)
{
    return write_callers(state, "after\n");
}

static void test_callers_are_the_old_or_the_new(void **state)
{
    unsigned at = 0;

    (void) state;
    for (int status = CUT_OFF; status == CUT_OFF;) {
        struct store_state store = { 0 };
        char path[32];
        make_keyed_folder(path);
        assert_int_equal(store_open(&store, path), 0);
        n_dirty = 0;
        is_recording = true;
        assert_int_equal(write_callers(&store, "before\n"), 0);
        (void) check_clean(NULL, store.state_fd, "callers");
        is_recording = false;
        status = in_process(path, run_callers, ++at);
        _cleanup_fd_ int fd = __real_openat(store.state_fd, "callers", O_RDONLY | O_CLOEXEC, 0);
        char text[16] = "";
        assert_true(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
        assert_true(strcmp(text, "after\n") == 0 ||
                    (status == CUT_OFF && strcmp(text, "before\n") == 0));
        assert_true(status == 0 || status == CUT_OFF);
        store_close(&store);
        remove_folder(path);
    }
    assert_true(at > 4);
}

static int set_up(void **state)
{
    struct store_state store = { 0 };
    char path[32];

    (void) state;
    make_keyed_folder(path);
    assert_int_equal(store_open(&store, path), 0);
    assert_int_equal(upload(&store, 1, "t", &old, old_name), 0);
    assert_int_equal(upload(&store, 2, "t", &older, older_name), 0);
    assert_int_equal(upload(&store, 3, "t", &new, new_name), 0);
    store_close(&store);
    remove_folder(path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_at_each_operation_leaves_the_old_or_the_new),
        cmocka_unit_test(test_recovery_that_is_cut_is_done_by_the_next),
        cmocka_unit_test(test_what_is_done_is_synced),
        cmocka_unit_test(test_callers_are_the_old_or_the_new),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
