/* SPDX-License-Identifier: Apache-2.0 */
/* Tenants on disk: files of a tenant are read, paths that lead out of its folder are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <errno.h>
#include <ftw.h>

#include "common/cleanup.h"
#include "config/manifest.h"
#include "config/tenant_files.h"

#define START "name: a\nmain: a.js\n"
#define MAX_BYTES (UINT32_C(2) << 20)

/* Each test runs in a new folder, and names in messages are relative to it. */
static int setup(void **state)
{
    char *dir = strdup("/tmp/skep-test-XXXXXX");

    *state = dir;
    return dir && mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *walk)
{
    (void) st;
    (void) flag;
    (void) walk;
    return remove(path);
}

static int teardown(void **state)
{
    int r = chdir("/");

    r |= nftw(*state, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return r;
}

/* Makes the folders of path, too. */
static void write_file(const char *path, const char *text)
{
    char folder[256];

    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        (void) snprintf(folder, sizeof folder, "%.*s", (int) (slash - path), path);
        if (mkdir(folder, 0700) < 0)
            assert_int_equal(errno, EEXIST);
    }
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void expect_read_error(const char *dir, int error, const char *text)
{
    struct config_errors errors = { 0 };
    struct manifest *manifest = NULL;

    assert_int_equal(manifest_read(dir, MAX_BYTES, &manifest, &errors), error);
    assert_null(manifest);
    assert_string_equal(errors.text, text);
    config_errors_done(&errors);
}

static void expect_readable(const char *dir, size_t bytes)
{
    struct config_errors errors = { 0 };
    struct manifest *manifest = NULL;

    assert_int_equal(manifest_read(dir, MAX_BYTES, &manifest, &errors), 0);
    assert_int_equal(tenant_files_bytes(manifest), bytes);
    (void) manifest_free(manifest);
    config_errors_done(&errors);
}

static void test_files_of_all_kinds_are_read_in_order(void **state)
{
    struct config_errors errors = { 0 };
    struct manifest *manifest = NULL;
    static const char *const paths[] = { "README",  "a.js",        "b/c/d.json",
                                         "b/e.txt", "b/skep.yaml", "z.ttf" };

    (void) state;
    write_file("t/skep.yaml", START);
    write_file("t/z.ttf", "x");
    write_file("t/b/e.txt", "");
    write_file("t/a.js", "export default {}");
    write_file("t/b/c/d.json", "{}");
    write_file("t/README", "x");
    write_file("t/b/skep.yaml", "x");
    write_file("t/.hidden.js", "x");
    write_file("t/.git/a.js", "x");
    write_file("t/node_modules/x/a.js", "x");
    write_file("t/b/node_modules/a.js", "x");
    assert_int_equal(manifest_read("t", MAX_BYTES, &manifest, &errors), 0);
    assert_int_equal(errors.count, 0);
    assert_string_equal(manifest->file, "t/skep.yaml");
    assert_int_equal(manifest->n_files, ARRAY_LEN(paths));
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        assert_string_equal(manifest->files[i].path, paths[i]);
    assert_string_equal(manifest->files[1].data, "export default {}");
    assert_int_equal(manifest->files[1].size, 17);
    assert_int_equal(manifest->files[3].size, 0);
    (void) manifest_free(manifest);
}

static void test_links_pipes_and_folders_are_not_taken_for_files(void **state)
{
    struct config_errors errors = { 0 };
    struct manifest *manifest = NULL;

    (void) state;
    write_file("outside/secret.txt", "secret");
    write_file("t/skep.yaml", START);
    write_file("t/a.js", "");
    assert_int_equal(symlink("/etc/passwd", "t/b.txt"), 0);
    assert_int_equal(symlink("../outside", "t/c"), 0);
    assert_int_equal(mkfifo("t/d.txt", 0600), 0);
    assert_int_equal(mkdir("t/e.js", 0700), 0);
    assert_int_equal(manifest_read("t", MAX_BYTES, &manifest, &errors), 0);
    assert_int_equal(manifest->n_files, 1);
    (void) manifest_free(manifest);
}

static void test_manifest_that_is_a_link_or_a_pipe_is_refused(void **state)
{
    (void) state;
    write_file("t/a.js", "");
    assert_int_equal(symlink("/etc/passwd", "t/skep.yaml"), 0);
    expect_read_error("t", -ELOOP,
                      "t/skep.yaml: not a plain file: expected one, not a link to it\n");
    assert_int_equal(unlink("t/skep.yaml"), 0);
    assert_int_equal(mkfifo("t/skep.yaml", 0600), 0);
    expect_read_error("t", -EINVAL,
                      "t/skep.yaml: not a plain file: expected one, not a link to it\n");
}

static void test_main_that_is_not_there_has_its_line(void **state)
{
    (void) state;
    write_file("t/skep.yaml", START);
    write_file("elsewhere.js", "");
    expect_read_error("t", -EINVAL,
                      "t/skep.yaml:2: main: no file \"a.js\": expected it below t, "
                      "and not as a link\n");
    assert_int_equal(symlink("../elsewhere.js", "t/a.js"), 0);
    expect_read_error("t", -EINVAL,
                      "t/skep.yaml:2: main: no file \"a.js\": expected it below t, "
                      "and not as a link\n");
    expect_read_error("nothing", -ENOENT, "nothing: cannot be read: No such file or directory\n");
    assert_int_equal(unlink("t/skep.yaml"), 0);
    expect_read_error("t", -ENOENT, "t/skep.yaml: cannot be read: No such file or directory\n");
}

static void test_files_are_bounded_in_number_size_and_depth(void **state)
{
    char path[128];

    (void) state;
    write_file("t/skep.yaml", START);
    write_file("t/a.js", "");
    write_file("t/large.txt", "");
    assert_int_equal(truncate("t/large.txt", MAX_BYTES + 1), 0);
    expect_read_error("t", -EINVAL,
                      "t: large.txt: too large: expected at most 2 MiB in all files "
                      "together; files_mib of its cordon in skepd.yaml sets that\n");
    assert_int_equal(truncate("t/large.txt", MAX_BYTES), 0);
    expect_readable("t", MAX_BYTES);
    assert_int_equal(unlink("t/large.txt"), 0);
    write_file("t/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/x.js", "");
    expect_read_error("t", -EINVAL,
                      "t: d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d: nested too deeply: "
                      "expected at most 16 folders\n");
    assert_int_equal(rename("t/d", "d"), 0);
    for (unsigned i = 0; i < TENANT_FILES_MAX; i++) {
        (void) snprintf(path, sizeof path, "t/%u.js", i);
        write_file(path, "");
    }
    expect_read_error("t", -EINVAL, "t: too many files: expected at most 1000\n");
}

static void test_set_keeps_the_good_and_tells_of_the_bad(void **state)
{
    static const char text[] = "listen: [\"127.0.0.1:80\"]\n";
    struct config_errors errors = { 0 };
    struct config *config = NULL;
    struct manifest_set set = { 0 };

    (void) state;
    write_file("all/1/skep.yaml", START "routes: [a.example, b.example/x]\n");
    write_file("all/1/a.js", "");
    write_file("all/2/skep.yaml", START "routes: [c.example]\n");
    write_file("all/2/a.js", "");
    write_file("all/3/skep.yaml",
               "name: c\nmain: a.js\nroutes:\n- \"*.a.example\"\n- B.example/x\n");
    write_file("all/3/a.js", "");
    write_file("all/4/skep.yaml", "name: d\nmain: a.js\ncordon: x\n");
    write_file("all/4/a.js", "");
    write_file("all/5/skep.yaml", "name: e\nmain: a.js\nlimits:\n  timers: unlimited\n");
    write_file("all/5/a.js", "");
    write_file("all/6/skep.yaml", "name: f\nmain: a.js\nroutes: [b.example/x*]\n");
    write_file("all/6/a.js", "");
    write_file("all/7/skep.yaml", "main: a.js\n");
    write_file("all/.8/skep.yaml", "hidden\n");
    write_file("all/no-tenant/a.js", "");
    write_file("all/file", "");
    assert_int_equal(config_parse("c", text, strlen(text), &config, &errors), 0);
    assert_int_equal(manifest_read_all("all", config, &set, &errors), -EINVAL);
    assert_string_equal(
        errors.text,
        "all/2/skep.yaml:1: duplicate name \"a\": all/1/skep.yaml:1 has it already\n"
        "all/3/skep.yaml:5: duplicate route \"b.example/x\": all/1/skep.yaml:3 has it already\n"
        "all/4/skep.yaml:3: cordon: unknown cordon \"x\": expected one of default\n"
        "all/5/skep.yaml:4: limits.timers: \"unlimited\" is not allowed: expected a number, or "
        "allow_unlimited: on in cordon \"default\"\n"
        "all/7/skep.yaml:1: missing key \"name\": expected it in this mapping\n");
    assert_int_equal(set.count, 2);
    assert_string_equal(set.items[0]->name, "a");
    assert_string_equal(set.items[1]->name, "f");
    manifest_set_done(&set);
    assert_int_equal(set.count, 0);
    config_errors_done(&errors);
    (void) config_free(config);
}

static void test_each_cordon_has_a_bound_of_its_own_for_files(void **state)
{
    static const char text[] = "listen: [127.0.0.1:8080]\n"
                               "cordons: [{ name: default, files_mib: 1 },"
                               " { name: ours, files_mib: 2 }]\n";
    struct config_errors errors = { 0 };
    struct manifest_set set = { 0 };
    struct config *config = NULL;

    (void) state;
    assert_int_equal(config_parse("c", text, strlen(text), &config, &errors), 0);
    for (unsigned i = 0; i < 5; i++) {
        static const struct {
            const char *cordon;
            size_t size;
        } rows[] = { { "default", 1 << 20 },
                     { "default", (1 << 20) + 1 },
                     { "ours", (1 << 20) + 1 },
                     { "ours", 2 << 20 },
                     { "ours", (2 << 20) + 1 } };
        char path[32], yaml[128];
        (void) snprintf(path, sizeof path, "all/%u/skep.yaml", i);
        (void) snprintf(yaml, sizeof yaml, "name: t%u\nmain: a.js\ncordon: %s\n", i,
                        rows[i].cordon);
        write_file(path, yaml);
        (void) snprintf(path, sizeof path, "all/%u/a.js", i);
        write_file(path, "");
        (void) snprintf(path, sizeof path, "all/%u/b.bin", i);
        write_file(path, "");
        assert_int_equal(truncate(path, (off_t) rows[i].size), 0);
    }
    assert_int_equal(manifest_read_all("all", config, &set, &errors), -EINVAL);
    assert_string_equal(
        errors.text, "all/1/skep.yaml:3: its files are too large: 1.0 MiB: expected at most 1 MiB "
                     "together, files_mib of cordon \"default\"\n"
                     "all/4: b.bin: too large: expected at most 2 MiB in all files together; "
                     "files_mib of its cordon in skepd.yaml sets that\n");
    assert_int_equal(set.count, 3);
    manifest_set_done(&set);
    config_errors_done(&errors);
    (void) config_free(config);
}

static void test_set_of_a_folder_that_is_not_there_is_empty_with_an_error(void **state)
{
    struct config_errors errors = { 0 };
    struct manifest_set set = { 0 };

    (void) state;
    assert_int_equal(manifest_read_all("nothing", NULL, &set, &errors), -EINVAL);
    assert_string_equal(errors.text, "nothing: cannot be read: No such file or directory\n");
    assert_int_equal(set.count, 0);
    manifest_set_done(&set);
    config_errors_done(&errors);
    assert_int_equal(manifest_read_all(".", NULL, &set, &errors), 0);
    assert_int_equal(set.count, 0);
    manifest_set_done(&set);
}

static void test_script_alone_is_a_tenant_for_every_host(void **state)
{
    struct config_errors errors = { 0 };
    struct manifest *manifest = NULL;

    (void) state;
    write_file("dir/My Worker.v2.js", "x");
    write_file("dir/__.mjs", "");
    assert_int_equal(manifest_from_script("dir/My Worker.v2.js", MAX_BYTES, &manifest, &errors), 0);
    assert_string_equal(manifest->name, "my-worker-v2");
    assert_string_equal(manifest->main, "My Worker.v2.js");
    assert_string_equal(manifest->cordon, "default");
    assert_int_equal(manifest->n_routes, 1);
    assert_string_equal(manifest->routes[0].host, "");
    assert_int_equal(manifest->n_files, 1);
    assert_string_equal(manifest->files[0].path, manifest->main);
    assert_string_equal(manifest->files[0].data, "x");
    (void) manifest_free(manifest);
    assert_int_equal(manifest_from_script("dir/__.mjs", MAX_BYTES, &manifest, &errors), 0);
    assert_string_equal(manifest->name, "worker");
    (void) manifest_free(manifest);
    assert_int_equal(manifest_from_script("x.wasm", MAX_BYTES, &manifest, &errors), -EINVAL);
    assert_int_equal(manifest_from_script("x.js", MAX_BYTES, &manifest, &errors), -ENOENT);
    assert_string_equal(errors.text, "x.wasm: WASI programs are not supported yet: expected a .js "
                                     "or .mjs file\n"
                                     "x.js: cannot be read: No such file or directory\n");
    config_errors_done(&errors);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_files_of_all_kinds_are_read_in_order),
        TEST(test_links_pipes_and_folders_are_not_taken_for_files),
        TEST(test_manifest_that_is_a_link_or_a_pipe_is_refused),
        TEST(test_main_that_is_not_there_has_its_line),
        TEST(test_files_are_bounded_in_number_size_and_depth),
        TEST(test_set_keeps_the_good_and_tells_of_the_bad),
        TEST(test_each_cordon_has_a_bound_of_its_own_for_files),
        TEST(test_set_of_a_folder_that_is_not_there_is_empty_with_an_error),
        TEST(test_script_alone_is_a_tenant_for_every_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
