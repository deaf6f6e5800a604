/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check that a stored version is still what was deployed: the digest of each file of a version
 * is written beside it when it comes in (the file `sums`), and compared when the version is about
 * to be used. Versions from before there were sums are named by a digest of their content, which is
 * compared instead. Store process, and skepd at its start.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "config/tenant_files.h"
#include "store/check.h"
#include "store/internal.h"
#include "store/tree.h"

#define SUM_LINE_BYTES (2 * DIGEST_BYTES + 1 + 20 + 1 + TENANT_PATH_MAX + 1)
#define SUMS_MAX_BYTES ((size_t) (TENANT_FILES_MAX + 2) * SUM_LINE_BYTES)
#define FILES_MAX (TENANT_FILES_MAX + 1)
/* A stored file may come from a time when files_mib was larger than it is now. */
#define FILE_MAX_BYTES ((FILES_MIB_MOST << 20) + CONFIG_FILE_MAX_BYTES)
#define ENV_MAX_BYTES ((size_t) TENANT_ENV_MAX * (TENANT_ENV_VALUE_MAX + (64U << 10)))

struct content {
    struct store_state *state;
    struct upload upload; /* the stored content, as if it had been uploaded */
    const char *prefix;   /* path of the folder that is being read */
    unsigned depth;
};

static int fail_damaged(struct store_state *state, const char *version, const char *path)
{
    return store_fail(state, -EBADMSG,
                      "version %.12s is damaged on the disk: %.255s is not what was deployed; "
                      "deploy it again",
                      version, path);
}

/* ---- sums */

static void add_sum(FILE *file, const struct stored_file *stored)
{
    for (unsigned i = 0; i < DIGEST_BYTES; i++)
        (void) fprintf(file, "%02x", stored->digest[i]);
    (void) fprintf(file, " %" PRIu64 " %s\n", stored->size, stored->path);
}

static int digest_of(const struct store_state *state, const char *data, size_t size,
                     uint8_t digest[static DIGEST_BYTES])
{
    return EVP_Digest(data, size, digest, NULL, state->sha256, NULL) == 1 ? 0 : -EIO;
}

/* Writes the text of `sums`: a line for each file in the order of their paths, and one for env
 * without a path. */
static int make_sums(const struct store_state *state, const struct upload *upload, const char *env,
                     size_t env_size, char **ret_text, size_t *ret_size)
{
    struct stored_file sealed_env = { .path = (char *) (uintptr_t) "", .size = env_size };
    char *text = NULL;

    int r = digest_of(state, env, env_size, sealed_env.digest);
    FILE *file = r < 0 ? NULL : open_memstream(&text, ret_size);
    if (!file)
        return r < 0 ? r : -ENOMEM;
    for (unsigned i = 0; i < upload->n_files; i++)
        add_sum(file, &upload->files[i]);
    add_sum(file, &sealed_env);
    if (fclose(file) != 0) {
        free(text);
        return -ENOMEM;
    }
    *ret_text = text;
    return 0;
}

int version_write_sums(const struct store_state *state, const struct upload *upload,
                       const char *env, size_t env_size)
{
    _cleanup_free_ char *text = NULL;
    size_t size = 0;

    int r = make_sums(state, upload, env, env_size, &text, &size);
    return r < 0 ? r : tree_write(upload->dir_fd, STORE_SUMS_FILE, text, size);
}

/* ---- reading what there is */

static int visit(void *arg, int dir_fd, const char *name);

static int enter(struct content *content, int dir_fd, const char *name, const char *path)
{
    const char *outer = content->prefix;
    _cleanup_fd_ int fd = tree_enter(dir_fd, name, false);

    if (fd < 0 || content->depth >= TENANT_DEPTH_MAX)
        return fd < 0 ? fd : -EBADMSG;
    content->prefix = path;
    content->depth++;
    int r = tree_each(fd, visit, content);
    content->depth--;
    content->prefix = outer;
    return r;
}

static int visit(void *arg, int dir_fd, const char *name)
{
    struct content *content = arg;
    struct upload *upload = &content->upload;
    _cleanup_free_ char *path = NULL, *data = NULL;
    struct stat st;
    size_t size = 0;

    if (asprintf(&path, "%s%s%s", content->prefix, content->prefix[0] ? "/" : "", name) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return enter(content, dir_fd, name, path);
    if (upload->n_files >= FILES_MAX)
        return -EBADMSG;
    int r = tenant_file_read(dir_fd, name, FILE_MAX_BYTES, &data, &size);
    struct stored_file *files =
        reallocarray(upload->files, upload->n_files + 1, sizeof *upload->files);
    if (!files)
        return -ENOMEM;
    upload->files = files;
    struct stored_file *file = &files[upload->n_files];
    *file = (struct stored_file){ .size = size };
    if (r == 0) /* a file that cannot be read has a sum that none has */
        r = digest_of(content->state, data, size, file->digest);
    if (r == -ENOMEM)
        return r;
    file->path = TAKE_PTR(path);
    upload->n_files++;
    return 0;
}

static int take_env(struct upload *upload, const char *env, size_t size)
{
    for (size_t at = 0; at < size;) {
        const char *equals = memchr(env + at, '=', size - at);
        const char *end = equals ? memchr(equals, '\0', size - (size_t) (equals - env)) : NULL;
        struct env_entry *entries =
            reallocarray(upload->env, upload->n_env + 1, sizeof *upload->env);
        if (!entries)
            return -ENOMEM;
        upload->env = entries;
        if (!end)
            return 0; /* env is cut off: then the version has another name, too */
        struct env_entry *entry = &entries[upload->n_env++];
        *entry = (struct env_entry){ .name = strndup(env + at, (size_t) (equals - env) - at),
                                     .value = strdup(equals + 1) };
        if (!entry->name || !entry->value)
            return -ENOMEM;
        at = (size_t) (end - env) + 1;
    }
    return 0;
}

static void content_done(struct content *content)
{
    upload_done_content(&content->upload);
}

/* ---- comparing */

/* Returns the path in the first line in which both texts differ. */
static const char *find_difference(char *was, char *is)
{
    for (;;) {
        char *was_end = strchrnul(was, '\n'), *is_end = strchrnul(is, '\n');
        size_t was_size = (size_t) (was_end - was), is_size = (size_t) (is_end - is);
        if (was_size != is_size || memcmp(was, is, was_size) != 0) {
            char *line = was_size > 0 ? was : is;
            *(was_size > 0 ? was_end : is_end) = '\0';
            char *space = strchr(line, ' ');
            space = space ? strchr(space + 1, ' ') : NULL;
            return !space ? STORE_SUMS_FILE : space[1] ? space + 1 : STORE_ENV_FILE;
        }
        if (*was_end == '\0')
            return STORE_SUMS_FILE;
        was = was_end + 1;
        is = is_end + 1;
    }
}

static int compare(struct content *content, int dir_fd, const char *version)
{
    struct store_state *state = content->state;
    struct upload *upload = &content->upload;
    _cleanup_free_ char *env = NULL, *was = NULL, *is = NULL;
    size_t env_size = 0, was_size = 0, is_size = 0;

    if (tenant_file_read(dir_fd, STORE_ENV_FILE, ENV_MAX_BYTES, &env, &env_size) < 0)
        return fail_damaged(state, version, STORE_ENV_FILE);
    int r = tenant_file_read(dir_fd, STORE_SUMS_FILE, SUMS_MAX_BYTES, &was, &was_size);
    if (r == -ENOENT) {
        r = take_env(upload, env, env_size);
        if (r < 0)
            return r;
        return upload_is_named(state, upload, version) ? 0
                                                       : fail_damaged(state, version, "some file");
    }
    if (r < 0)
        return fail_damaged(state, version, STORE_SUMS_FILE);
    r = make_sums(state, upload, env, env_size, &is, &is_size);
    if (r < 0)
        return r;
    if (was_size == is_size && memcmp(was, is, is_size) == 0)
        return 0;
    return fail_damaged(state, version, find_difference(was, is));
}

int version_check(struct store_state *state, int versions_fd, const char *version)
{
    _cleanup_(content_done) struct content content = { .state = state, .prefix = "" };
    _cleanup_fd_ int dir_fd = tree_enter(versions_fd, version, false);
    _cleanup_fd_ int bundle_fd = dir_fd < 0 ? -1 : tree_enter(dir_fd, STORE_BUNDLE, false);

    if (dir_fd < 0 || bundle_fd < 0)
        return fail_damaged(state, version, STORE_BUNDLE);
    content.upload.digest = EVP_MD_CTX_new();
    if (!content.upload.digest)
        return store_fail(state, -ENOMEM, "out of memory");
    int r = tree_each(bundle_fd, visit, &content);
    if (r < 0 && r != -ENOMEM)
        return fail_damaged(state, version, STORE_BUNDLE);
    if (content.upload.n_files > 0)
        qsort(content.upload.files, content.upload.n_files, sizeof *content.upload.files,
              upload_compare_files);
    if (r == 0)
        r = compare(&content, dir_fd, version);
    return r == -ENOMEM ? store_fail(state, r, "out of memory") : r;
}

/* ---- for skepd */

struct store_reader {
    struct store_state state;
};

int store_reader_new(const char *path, struct store_reader **ret_reader)
{
    struct store_reader *reader = calloc(1, sizeof *reader);

    if (!reader)
        return -ENOMEM;
    int r = store_open(&reader->state, path);
    if (r < 0) {
        (void) store_reader_free(reader);
        return r;
    }
    *ret_reader = reader;
    return 0;
}

struct store_reader *store_reader_free(struct store_reader *reader)
{
    if (reader)
        store_close(&reader->state);
    free(reader);
    return NULL;
}

int store_reader_check(struct store_reader *reader, const char *tenant, const char *version,
                       const char **ret_text)
{
    _cleanup_fd_ int tenant_fd = tree_enter(reader->state.tenants_fd, tenant, false);
    _cleanup_fd_ int versions_fd =
        tenant_fd < 0 ? -1 : tree_enter(tenant_fd, STORE_VERSIONS, false);

    *ret_text = reader->state.text;
    if (versions_fd < 0)
        return store_fail(&reader->state, -ENOENT, "its versions cannot be read");
    return version_check(&reader->state, versions_fd, version);
}

/* Returns whether the sums of a version have the file with that digest and size. */
static bool has_sum(const char *sums, const struct stored_file *stored)
{
    _cleanup_free_ char *line = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&line, &size);

    if (!file)
        return false;
    add_sum(file, stored);
    if (fclose(file) != 0)
        return false;
    for (const char *at = sums; (at = strstr(at, line)); at++)
        if (at == sums || at[-1] == '\n')
            return true;
    return false;
}

int store_reader_read_manifest(struct store_reader *reader, const char *tenant, const char *version,
                               char **ret_text, size_t *ret_size)
{
    static char name[] = "skep.yaml";
    struct stored_file stored = { .path = name };
    _cleanup_free_ char *sums = NULL, *text = NULL;
    size_t size = 0, sums_size = 0;
    _cleanup_fd_ int tenant_fd = tree_enter(reader->state.tenants_fd, tenant, false);
    _cleanup_fd_ int versions_fd =
        tenant_fd < 0 ? -1 : tree_enter(tenant_fd, STORE_VERSIONS, false);
    _cleanup_fd_ int dir_fd = versions_fd < 0 ? -1 : tree_enter(versions_fd, version, false);
    _cleanup_fd_ int bundle_fd = dir_fd < 0 ? -1 : tree_enter(dir_fd, STORE_BUNDLE, false);

    if (bundle_fd < 0)
        return -ENOENT;
    int r = tenant_file_read(dir_fd, STORE_SUMS_FILE, SUMS_MAX_BYTES, &sums, &sums_size);
    if (r == 0)
        r = tenant_file_read(bundle_fd, name, CONFIG_FILE_MAX_BYTES, &text, &size);
    if (r == 0)
        r = digest_of(&reader->state, text, size, stored.digest);
    if (r < 0)
        return r;
    stored.size = size;
    if (!has_sum(sums, &stored))
        return -EBADMSG;
    *ret_text = TAKE_PTR(text);
    *ret_size = size;
    return 0;
}
