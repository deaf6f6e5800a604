/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: the bundles that it takes, their names, the versions that it keeps, and its reports.
 */
#include "tests/unit/store/store_fixture.h"

static const struct bundle one = { .files = { { "skep.yaml", "name: t\n" }, { "a.js", "1" } } };
static const struct bundle two = { .files = { { "skep.yaml", "name: t\n" }, { "a.js", "2" } } };
static const struct bundle three = { .files = { { "a.js", "3" }, { "skep.yaml", "name: t\n" } } };

struct fixture {
    char path[32];
    struct store_state state;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    make_folder(f->path);
    assert_int_equal(store_open(&f->state, f->path), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    store_close(&f->state);
    remove_folder(f->path);
    free(f);
    return 0;
}

static void name_of(struct fixture *f, const struct bundle *bundle, char *version)
{
    assert_int_equal(upload(&f->state, 99, "other", bundle, version), 0);
    upload_free(&f->state, upload_find(&f->state, 99));
}

static bool exists(const struct fixture *f, const char *below)
{
    return faccessat(f->state.state_fd, below, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void test_name_is_of_the_content_alone(void **state)
{
    struct fixture *f = *state;
    const struct bundle turned = { .files = { { "a.js", "1" }, { "skep.yaml", "name: t\n" } } };
    const struct bundle others[] = {
        two,
        { .files = { { "skep.yaml", "name: t\n" }, { "b.js", "1" } } },
        { .files = { { "skep.yaml", "name: t\n" }, { "a.js", "1" }, { "b.js", "" } } },
        { .files = { { "skep.yaml", "name: t\n" }, { "a.js", "1" } }, .env = "" },
        { .files = { { "skep.yaml", "name: t\n1" }, { "a.js", "" } } },
    };
    char name[VERSION_BYTES + 1], other[VERSION_BYTES + 1];

    name_of(f, &one, name);
    assert_true(version_is_valid(name));
    name_of(f, &turned, other);
    assert_string_equal(name, other);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        name_of(f, &others[i], other);
        assert_string_not_equal(name, other);
    }
}

static void test_file_in_parts_is_the_same_file(void **state)
{
    struct fixture *f = *state;
    const struct bundle whole = { .files = { { "skep.yaml", "x" }, { "d/a.js", "12345" } } };
    char name[VERSION_BYTES + 1];

    name_of(f, &whole, name);
    assert_int_equal(begin(&f->state, 1, "t"), 0);
    assert_int_equal(add_part(&f->state, 1, "d/a.js", "12", true), 0);
    assert_int_equal(add_part(&f->state, 1, "d/a.js", "34", true), 0);
    assert_int_equal(add_part(&f->state, 1, "d/a.js", "5", false), 0);
    assert_int_equal(add_part(&f->state, 1, "skep.yaml", "x", false), 0);
    struct upload *made = upload_find(&f->state, 1);
    assert_int_equal(upload_seal(&f->state, made), 0);
    assert_string_equal(made->version, name);
    assert_true(made->bytes == 6 && made->n_files == 2);
}

static void test_bad_parts_end_the_upload_and_leave_nothing(void **state)
{
    static const char *const paths[] = { "../a.js",
                                         "/a.js",
                                         "a//b.js",
                                         ".a.js",
                                         "a/.b/c.js",
                                         "a\xff.js",
                                         "a.js/",
                                         "./a.js",
                                         "a\n.js",
                                         "node_modules/a.js",
                                         "x/node_modules/a.js",
                                         "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/a.js" };
    static const char *const names[] = { "1A", "A-B", "__proto__", "A B" };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        assert_int_equal(begin(&f->state, 1, "t"), 0);
        assert_int_equal(add_part(&f->state, 1, paths[i], "x", false), -EINVAL);
        assert_null(upload_find(&f->state, 1));
        assert_false(exists(f, "tenants/t"));
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_int_equal(begin(&f->state, 1, "t"), 0);
        assert_int_equal(add_env_value(&f->state, 1, names[i], "x"), -EINVAL);
        assert_null(upload_find(&f->state, 1));
    }
    assert_int_equal(begin(&f->state, 1, "t"), 0);
    assert_int_equal(add_part(&f->state, 1, "a.js", "x", false), 0);
    assert_int_equal(add_part(&f->state, 1, "a.js", "y", false), -EEXIST);
    assert_false(exists(f, "tenants/t"));
}

static void test_names_of_tenants_are_checked(void **state)
{
    static const char *const names[] = { "", ".", "..", "a/b", "A", "-a", ".trash-a", "a.b" };
    struct fixture *f = *state;
    struct stored_tenant tenant;
    unsigned n;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_int_equal(begin(&f->state, 1, names[i]), -EINVAL);
        assert_int_equal(version_remove_tenant(&f->state, names[i], &n), -EINVAL);
        assert_int_equal(stored_tenant_open(&f->state, names[i], &tenant), -EINVAL);
        stored_tenant_done(&tenant);
    }
    assert_int_equal(upload_find(&f->state, 1) == NULL, 1);
}

static void test_uploads_are_bounded(void **state)
{
    struct fixture *f = *state;
    char name[16], *large = malloc(1U << 20);

    assert_non_null(large);
    memset(large, 'x', (1U << 20) - 1);
    large[(1U << 20) - 1] = '\0';
    for (uint64_t i = 1; i <= STORE_UPLOADS_MAX; i++) {
        (void) snprintf(name, sizeof name, "t%u", (unsigned) i);
        assert_int_equal(begin(&f->state, i, name), 0);
    }
    assert_int_equal(begin(&f->state, 1, "t1"), -EBUSY);
    assert_int_equal(begin(&f->state, 100, "t100"), -EBUSY);
    int r = 0;
    unsigned n = 0;
    for (; r == 0 && n < 100; n++)
        r = add_part(&f->state, 1, "a.txt", large, true);
    assert_int_equal(r, -EFBIG);
    assert_in_range(n, 16, 18);
    r = 0;
    for (n = 0; r == 0 && n < 2000; n++) {
        (void) snprintf(name, sizeof name, "f%u.txt", n);
        r = add_part(&f->state, 2, name, "", false);
    }
    assert_int_equal(r, -EINVAL);
    assert_int_equal(n, TENANT_FILES_MAX + 2);
    free(large);
}

static void test_commit_needs_what_was_uploaded(void **state)
{
    struct fixture *f = *state;
    char first[VERSION_BYTES + 1], second[VERSION_BYTES + 1];

    name_of(f, &two, second);
    assert_int_equal(begin(&f->state, 1, "t"), 0);
    assert_int_equal(commit(&f->state, 1, "t", second, STORE_DEPLOY, 9), -EINVAL);
    upload_free(&f->state, upload_find(&f->state, 1));
    assert_int_equal(upload(&f->state, 2, "t", &one, first), 0);
    assert_int_equal(commit(&f->state, 2, "u", first, STORE_DEPLOY, 9), -EINVAL);
    assert_int_equal(commit(&f->state, 2, "t", second, STORE_DEPLOY, 9), -EINVAL);
    assert_int_equal(commit(&f->state, 2, "t", first, STORE_DEPLOY, 9), 0);
    assert_int_equal(commit(&f->state, 3, "t", second, STORE_ROLLBACK, 9), -ENOENT);
    assert_int_equal(commit(&f->state, 3, "t", "../../x", STORE_ROLLBACK, 9), -EINVAL);
}

static void check_states(struct fixture *f, const char *expected)
{
    struct stored_tenant tenant;
    char text[16] = "";

    assert_int_equal(stored_tenant_open(&f->state, "t", &tenant), 0);
    for (unsigned i = 0; i < tenant.n_versions; i++) {
        const struct stored_version *version = &tenant.versions[i];
        text[i] = version->is_current                                   ? 'c'
                  : history_rollback_of(&tenant.history, version->name) ? 'b'
                  : version->is_previous                                ? 'p'
                                                                        : 's';
        assert_true(version->uid == 7 && version->files == 2 && version->time_ms > 0);
    }
    assert_string_equal(text, expected);
    stored_tenant_done(&tenant);
}

static void test_states_follow_from_the_history(void **state)
{
    struct fixture *f = *state;
    char first[VERSION_BYTES + 1], second[VERSION_BYTES + 1];

    name_of(f, &one, first);
    name_of(f, &two, second);
    assert_int_equal(deploy(&f->state, 1, "t", &one, 9), 0);
    check_states(f, "c");
    assert_int_equal(deploy(&f->state, 2, "t", &two, 9), 0);
    check_states(f, "cp");
    assert_int_equal(deploy(&f->state, 3, "t", &three, 9), 0);
    check_states(f, "cps");
    assert_int_equal(commit(&f->state, 4, "t", second, STORE_AUTO_ROLLBACK, 9), 0);
    check_states(f, "cbp"); /* not back to the version that was rolled back */
    assert_int_equal(commit(&f->state, 5, "t", first, STORE_ROLLBACK, 9), 0);
    check_states(f, "cpb");
    assert_int_equal(deploy(&f->state, 6, "t", &three, 9), 0);
    check_states(f, "cps");
}

static void test_old_versions_go_but_not_the_one_before(void **state)
{
    struct fixture *f = *state;
    char first[VERSION_BYTES + 1];

    name_of(f, &one, first);
    assert_int_equal(deploy(&f->state, 1, "t", &one, 2), 0);
    assert_int_equal(deploy(&f->state, 2, "t", &two, 2), 0);
    assert_int_equal(deploy(&f->state, 3, "t", &three, 2), 0);
    check_states(f, "cp");
    assert_int_equal(commit(&f->state, 4, "t", first, STORE_ROLLBACK, 2), -ENOENT);
}

static void test_same_content_is_stored_once(void **state)
{
    struct fixture *f = *state;
    char version[VERSION_BYTES + 1];

    assert_int_equal(deploy(&f->state, 1, "t", &one, 9), 0);
    assert_int_equal(upload(&f->state, 2, "t", &one, version), 0);
    assert_true(upload_find(&f->state, 2)->is_stored);
    assert_int_equal(commit(&f->state, 2, "t", version, STORE_DEPLOY, 9), 0);
    check_states(f, "c");
}

static void test_damaged_history_costs_no_version(void **state)
{
    static const char *const texts[] = { "x", "1 2 deploy abc -\n\n\n", "\n \n", "1 2 rollback" };
    struct fixture *f = *state;
    unsigned leftovers;

    assert_int_equal(deploy(&f->state, 1, "t", &one, 9), 0);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        _cleanup_fd_ int fd = openat(f->state.tenants_fd, "t", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(tree_replace(fd, "history", texts[i], strlen(texts[i])), 0);
        assert_int_equal(store_recover(&f->state, &leftovers), 0);
        check_states(f, "c");
    }
}

static unsigned count_records(struct fixture *f)
{
    _cleanup_(stored_tenant_done) struct stored_tenant tenant;

    assert_int_equal(stored_tenant_open(&f->state, "t", &tenant), 0);
    return tenant.history.count;
}

static void test_recovery_takes_back_only_a_switch_that_was_not_made(void **state)
{
    struct fixture *f = *state;
    char text[512], first[VERSION_BYTES + 1], odd[VERSION_BYTES + 1];
    unsigned leftovers;

    name_of(f, &one, first);
    name_of(f, &two, odd);
    assert_int_equal(deploy(&f->state, 1, "t", &one, 9), 0);
    _cleanup_fd_ int fd = openat(f->state.tenants_fd, "t", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void) snprintf(text, sizeof text, "1 2 deploy %s -\n1 2 deploy %s %s\n", first, odd, odd);
    assert_int_equal(tree_replace(fd, "history", text, strlen(text)), 0);
    assert_int_equal(store_recover(&f->state, &leftovers), 0);
    assert_int_equal(count_records(f), 2); /* made by a user who changed current by hand */
    (void) snprintf(text, sizeof text, "1 2 deploy %s -\n1 2 deploy %s %s\n", first, odd, first);
    assert_int_equal(tree_replace(fd, "history", text, strlen(text)), 0);
    assert_int_equal(store_recover(&f->state, &leftovers), 0);
    assert_int_equal(count_records(f), 1);
}

static void test_tenant_that_cannot_be_read_is_named_and_others_are_recovered(void **state)
{
    struct fixture *f = *state;
    unsigned leftovers = 0;

    assert_int_equal(deploy(&f->state, 1, "t", &one, 9), 0);
    assert_int_equal(deploy(&f->state, 2, "u", &one, 9), 0);
    assert_int_equal(unlinkat(f->state.tenants_fd, "t/history", 0), 0);
    assert_int_equal(mkdirat(f->state.tenants_fd, "t/history", 0700), 0);
    assert_int_equal(mkdirat(f->state.tenants_fd, "u/versions/.new-1-1", 0700), 0);
    assert_int_equal(store_recover(&f->state, &leftovers), 0);
    assert_non_null(strstr(f->state.text, "t ("));
    assert_null(strstr(f->state.text, "u ("));
    assert_true(exists(f, "tenants/t/current"));
    assert_false(exists(f, "tenants/u/versions/.new-1-1"));
    assert_int_equal(unlinkat(f->state.tenants_fd, "t/history", AT_REMOVEDIR), 0);
    assert_int_equal(store_recover(&f->state, &leftovers), 0);
    assert_string_equal(f->state.text, "");
}

static void test_history_is_bounded(void **state)
{
    struct history history = { 0 };
    struct history_entry record = { .version = "x" };

    (void) state;
    for (unsigned i = 0; i < 2 * HISTORY_RECORDS_MAX; i++) {
        record.time_ms = i;
        assert_int_equal(history_add(&history, &record), 0);
    }
    assert_int_equal(history.count, HISTORY_RECORDS_MAX);
    assert_true(history.records[0].time_ms == HISTORY_RECORDS_MAX);
    history_done(&history);
}

static void test_recovery_leaves_a_live_upload_alone(void **state)
{
    struct fixture *f = *state;
    struct store_state other = { 0 };
    unsigned leftovers = 99;

    assert_int_equal(begin(&f->state, 1, "t"), 0);
    assert_int_equal(add_part(&f->state, 1, "skep.yaml", "x", false), 0);
    assert_int_equal(store_open(&other, f->path), 0);
    assert_int_equal(store_recover(&other, &leftovers), 0);
    assert_int_equal(leftovers, 0);
    store_close(&other);
    struct upload *made = upload_find(&f->state, 1);
    assert_int_equal(upload_seal(&f->state, made), 0);
    assert_int_equal(commit(&f->state, 1, "t", made->version, STORE_DEPLOY, 9), 0);
}

static int send_callers(struct store_state *state, const char *data, bool more)
{
    Skep__Store__Callers part = SKEP__STORE__CALLERS__INIT;

    part.id = 9;
    part.data = bytes(data);
    part.more = more;
    return callers_part(state, &part);
}

static void expect_callers(const struct fixture *f, const char *text)
{
    char path[64], found[64] = "";

    (void) snprintf(path, sizeof path, "%s/callers", f->path);
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, found, sizeof found - 1), strlen(text));
    assert_string_equal(found, text);
}

static void test_callers_replace_those_before_when_all_parts_are_there(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(send_callers(&f->state, "one", false), 0);
    expect_callers(f, "one");
    assert_int_equal(send_callers(&f->state, "two", true), 0);
    assert_int_equal(send_callers(&f->state, "three", true), 0);
    expect_callers(f, "one");
    assert_int_equal(send_callers(&f->state, "four", false), 0);
    expect_callers(f, "twothreefour");
    assert_int_equal(send_callers(&f->state, "", false), 0);
    expect_callers(f, "");
}

static void test_callers_without_one_part_are_not_written(void **state)
{
    static char large[(16U << 20) + 2];
    struct fixture *f = *state;

    memset(large, 'x', sizeof large - 1);
    assert_int_equal(send_callers(&f->state, "one", false), 0);
    assert_int_equal(send_callers(&f->state, large, true), -EMSGSIZE);
    assert_int_equal(send_callers(&f->state, "two", true), -EIO);
    assert_int_equal(send_callers(&f->state, "three", false), -EIO);
    expect_callers(f, "one");
    assert_int_equal(send_callers(&f->state, "four", false), 0);
    expect_callers(f, "four");
}

static void test_links_lead_nowhere(void **state)
{
    struct fixture *f = *state;
    struct stored_tenant tenant;
    unsigned leftovers, n;

    assert_int_equal(symlinkat("/etc", f->state.tenants_fd, "t"), 0);
    assert_true(begin(&f->state, 1, "t") < 0);
    assert_true(stored_tenant_open(&f->state, "t", &tenant) < 0);
    stored_tenant_done(&tenant);
    assert_true(version_remove_tenant(&f->state, "t", &n) < 0);
    assert_int_equal(store_recover(&f->state, &leftovers), 0);
    assert_true(exists(f, "tenants/t"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_name_is_of_the_content_alone),
        TEST(test_file_in_parts_is_the_same_file),
        TEST(test_bad_parts_end_the_upload_and_leave_nothing),
        TEST(test_names_of_tenants_are_checked),
        TEST(test_uploads_are_bounded),
        TEST(test_commit_needs_what_was_uploaded),
        TEST(test_states_follow_from_the_history),
        TEST(test_old_versions_go_but_not_the_one_before),
        TEST(test_same_content_is_stored_once),
        TEST(test_damaged_history_costs_no_version),
        TEST(test_recovery_takes_back_only_a_switch_that_was_not_made),
        TEST(test_tenant_that_cannot_be_read_is_named_and_others_are_recovered),
        TEST(test_history_is_bounded),
        TEST(test_recovery_leaves_a_live_upload_alone),
        TEST(test_callers_replace_those_before_when_all_parts_are_there),
        TEST(test_callers_without_one_part_are_not_written),
        TEST(test_links_lead_nowhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
