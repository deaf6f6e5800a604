/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts the store on a state folder that holds anything at all. Each line of the
 * input is an order: "d PATH" makes a folder below tenants/, "f PATH CONTENT" a file ("\n" for a line's
 * end), "l PATH TARGET" a link; "@" in a target is a folder outside, which nothing may touch.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "store/internal.h"
#include "store/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TENANT "a"
#define FRESH "export default { fetch: () => new Response() };"
#define ORDERS_MAX 48

static void check(bool is_so)
{
    if (!is_so)
        abort();
}

/* ---- making the folder */

/* Returns whether a path of the input is short and stays below the folder. */
static bool is_inside(const char *path)
{
    if (path[0] == '\0' || path[0] == '/' || strlen(path) > 512)
        return false;
    return !strstr(path, "..");
}

/* Makes the folders on the way. Returns false where one is a file, or a link, which may lead outside. */
static bool make_parents(int fd, const char *path)
{
    char folder[520];
    struct stat st;

    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        (void) snprintf(folder, sizeof folder, "%.*s", (int) (slash - path), path);
        if (mkdirat(fd, folder, 0700) == 0)
            continue;
        if (fstatat(fd, folder, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
            return false;
    }
    return true;
}

static void write_file(int fd, const char *path, char *content)
{
    size_t n = 0;

    for (size_t i = 0; content[i]; i++)
        if (content[i] == '\\' && content[i + 1] == 'n')
            content[n++] = '\n', i++;
        else
            content[n++] = content[i];
    _cleanup_fd_ int file =
        openat(fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file >= 0)
        (void) !write(file, content, n);
}

static void follow_order(int fd, const char *away, char *line)
{
    char *path = line + 2, *rest = strchr(path, ' ');
    char target[PATH_MAX];

    if (line[1] != ' ')
        return;
    if (rest)
        *rest++ = '\0';
    if (!is_inside(path) || !make_parents(fd, path))
        return;
    if (line[0] == 'd')
        (void) mkdirat(fd, path, 0700);
    if (line[0] == 'f' && rest)
        write_file(fd, path, rest);
    if (line[0] == 'l' && rest && rest[0] != '\0') {
        (void) snprintf(target, sizeof target, "%s%s", rest[0] == '@' ? away : "",
                        rest[0] == '@' ? rest + 1 : rest);
        (void) !symlinkat(target, fd, path);
    }
}

static void make_state(const char *state, const char *away, const uint8_t *data, size_t size)
{
    char path[128];

    (void) snprintf(path, sizeof path, "%s/tenants", state);
    check(mkdir(state, 0700) == 0 && mkdir(path, 0700) == 0);
    _cleanup_fd_ int fd = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    check(fd >= 0);
    _cleanup_free_ char *copy = strndup((const char *) data, size < 8192 ? size : 8192);
    char *rest = copy;
    unsigned n = 0;
    for (char *line; copy && (line = strsep(&rest, "\n")) && n < ORDERS_MAX; n++)
        if (strlen(line) > 2)
            follow_order(fd, away, line);
}

/* ---- invariants */

static void check_tenant(struct store_state *store)
{
    struct stored_tenant tenant = { 0 };

    if (stored_tenant_open(store, TENANT, &tenant) < 0)
        return;
    check(tenant.current[0] == '\0' || version_is_valid(tenant.current));
    check(tenant.history.count <= HISTORY_RECORDS_MAX && tenant.n_versions <= STORE_VERSIONS_MAX);
    for (unsigned i = 0; i < tenant.n_versions; i++) {
        check(version_is_valid(tenant.versions[i].name));
        (void) version_check(store, tenant.versions_fd, tenant.versions[i].name);
    }
    stored_tenant_done(&tenant);
}

static ProtobufCBinaryData text(const char *string)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) string, .len = strlen(string) };
}

/* Deploys over any folder: the deploy fails, or its version serves and has the files that were
 * sent. */
static void deploy_fresh(struct store_state *store)
{
    Skep__Store__Begin begin = SKEP__STORE__BEGIN__INIT;
    Skep__Store__Part part = SKEP__STORE__PART__INIT;
    Skep__Store__Commit commit = SKEP__STORE__COMMIT__INIT;
    char version[VERSION_BYTES + 1], previous[VERSION_BYTES + 1];
    struct stored_tenant tenant = { 0 };

    begin.id = commit.id = 1;
    begin.tenant = commit.tenant = text(TENANT);
    part.path = text("worker.js");
    part.data = text(FRESH);
    if (upload_begin(store, &begin) < 0 || upload_part(store, upload_find(store, 1), &part) < 0 ||
        upload_seal(store, upload_find(store, 1)) < 0)
        return;
    (void) snprintf(version, sizeof version, "%s", upload_find(store, 1)->version);
    commit.version = text(version);
    commit.action = STORE_DEPLOY;
    commit.reason = text("");
    commit.keep = 5;
    if (version_commit(store, &commit, previous) < 0)
        return;
    check(stored_tenant_open(store, TENANT, &tenant) == 0);
    check(strcmp(tenant.current, version) == 0);
    check(version_check(store, tenant.versions_fd, version) == 0);
    stored_tenant_done(&tenant);
}

static void run_store(const char *path)
{
    struct store_state store = { 0 };
    unsigned leftovers = 0;

    if (store_open(&store, path) == 0 && store_recover(&store, &leftovers) == 0) {
        check(store_recover(&store, &leftovers) < 0 || leftovers == 0);
        check_tenant(&store);
        deploy_fresh(&store);
    }
    store_close(&store);
}

/* ---- the folder outside, and the one above both: made once */

static char base[] = "/dev/shm/skep-fuzz-XXXXXX", outside[64];
static struct timespec untouched; /* time of the last change of the folder outside */

static void remove_base(void)
{
    (void) tree_remove(AT_FDCWD, base);
}

static void make_base(void)
{
    char canary[96];
    struct stat st;

    check(mkdtemp(base) != NULL && atexit(remove_base) == 0);
    (void) snprintf(outside, sizeof outside, "%s/outside", base);
    (void) snprintf(canary, sizeof canary, "%s/canary", outside);
    check(mkdir(outside, 0700) == 0 && mkdir(canary, 0700) == 0 && lstat(outside, &st) == 0);
    untouched = st.st_mtim;
}

/* Checks that nothing has come, gone or changed its name outside. */
static void check_outside(void)
{
    char canary[96];
    struct stat st;

    (void) snprintf(canary, sizeof canary, "%s/canary", outside);
    check(lstat(canary, &st) == 0 && st.st_nlink == 2);
    check(lstat(outside, &st) == 0 && st.st_mtim.tv_sec == untouched.tv_sec &&
          st.st_mtim.tv_nsec == untouched.tv_nsec);
}

/* Empties the folder as tree_remove does, in a third of its system calls: most of the time of this target is the kernel's.
 * Closes it. */
static void empty(int fd)
{
    struct dirent64 *entry;
    _Alignas(struct dirent64) char entries[2048];
    ssize_t n;

    check(fd >= 0);
    while ((n = getdents64(fd, entries, sizeof entries)) > 0)
        for (char *at = entries; at < entries + n; at += entry->d_reclen) {
            entry = (struct dirent64 *) (void *) at;
            bool is_folder = entry->d_type == DT_DIR;
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                continue;
            if (is_folder)
                empty(openat(fd, entry->d_name, O_DIRECTORY | O_RDONLY | O_CLOEXEC));
            check(unlinkat(fd, entry->d_name, is_folder ? AT_REMOVEDIR : 0) == 0);
        }
    check(n == 0);
    (void) close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char state[64];

    if (outside[0] == '\0')
        make_base();
    (void) snprintf(state, sizeof state, "%s/state", base);
    make_state(state, outside, data, size);
    run_store(state);
    check_outside();
    empty(open(state, O_DIRECTORY | O_RDONLY | O_CLOEXEC));
    check(rmdir(state) == 0);
    return 0;
}
