/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A version on its way in: its files are written as they come, under a name that recovery knows,
 * and checked again by the rules of tenants' folders, even if skep and skepd have checked them
 * before. Store process.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "config/tenant_files.h"
#include "store/internal.h"
#include "store/tree.h"

/* One file more: skep.yaml, which has a bound of its own. */
#define UPLOAD_FILES_MAX (TENANT_FILES_MAX + 1)

struct upload *upload_find(const struct store_state *state, uint64_t id)
{
    struct upload *upload;

    TAILQ_FOREACH (upload, &state->uploads, entry)
        if (upload->id == id)
            return upload;
    return NULL;
}

/* ---- begin and end */

void upload_done_content(struct upload *upload)
{
    for (unsigned i = 0; i < upload->n_files; i++)
        free(upload->files[i].path);
    for (unsigned i = 0; i < upload->n_env; i++) {
        free(upload->env[i].name);
        free(upload->env[i].value);
    }
    EVP_MD_CTX_free(upload->digest);
    free(upload->files);
    free(upload->env);
}

static void free_upload(struct upload *upload)
{
    const int fds[] = { upload->file_fd, upload->bundle_fd, upload->dir_fd, upload->versions_fd,
                        upload->tenant_fd };

    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        if (fds[i] >= 0)
            (void) close(fds[i]);
    upload_done_content(upload);
    free(upload);
}

void upload_free(struct store_state *state, struct upload *upload)
{
    TAILQ_REMOVE(&state->uploads, upload, entry);
    state->n_uploads--;
    if (upload->dir_fd >= 0)
        (void) tree_remove(upload->versions_fd, upload->folder);
    /* A tenant without a version: removing its folders fails if it has one by now, or another
     * upload. */
    if (upload->tenant_fd >= 0 && store_lock(state) == 0) {
        char current[VERSION_BYTES + 1];
        version_current(upload->tenant_fd, current);
        if (!current[0] && unlinkat(upload->tenant_fd, STORE_VERSIONS, AT_REMOVEDIR) == 0)
            (void) unlinkat(state->tenants_fd, upload->tenant, AT_REMOVEDIR);
        store_unlock(state);
    }
    free_upload(upload);
}

/* Opens the folders, under the lock: recovery removes folders of tenants in which nothing is. */
static int open_folders(struct store_state *state, struct upload *upload)
{
    upload->tenant_fd = tree_enter(state->tenants_fd, upload->tenant, true);
    if (upload->tenant_fd < 0)
        return upload->tenant_fd;
    upload->versions_fd = tree_enter(upload->tenant_fd, STORE_VERSIONS, true);
    if (upload->versions_fd < 0)
        return upload->versions_fd;
    /* left by a process that had the same number */
    int r = tree_remove(upload->versions_fd, upload->folder);
    if (r < 0)
        return r;
    upload->dir_fd = tree_enter(upload->versions_fd, upload->folder, true);
    if (upload->dir_fd < 0)
        return upload->dir_fd;
    if (flock(upload->dir_fd, LOCK_EX | LOCK_NB) < 0)
        return -errno;
    upload->bundle_fd = tree_enter(upload->dir_fd, STORE_BUNDLE, true);
    return upload->bundle_fd < 0 ? upload->bundle_fd : 0;
}

int upload_begin(struct store_state *state, const Skep__Store__Begin *begin)
{
    char name[NAME_MAX_BYTES + 1] = "";

    if (begin->tenant.len > 0 && begin->tenant.len <= NAME_MAX_BYTES)
        memcpy(name, begin->tenant.data, begin->tenant.len);
    if (strlen(name) != begin->tenant.len || !name_is_valid(name))
        return store_fail(state, -EINVAL, "not the name of a tenant: %s", name_expected);
    if (state->n_uploads >= STORE_UPLOADS_MAX || upload_find(state, begin->id))
        return store_fail(state, -EBUSY, "too many deploys at a time: try again");
    struct upload *upload = calloc(1, sizeof *upload);
    if (!upload)
        return store_fail(state, -ENOMEM, "the store is out of memory");
    upload->file_fd = upload->bundle_fd = upload->dir_fd = -1;
    upload->versions_fd = upload->tenant_fd = -1;
    upload->id = begin->id;
    upload->uid = begin->uid;
    /* A skepd of an earlier release, which has no files_mib, sends 0. */
    upload->max_bytes = begin->max_bytes > 0 ? begin->max_bytes : FILES_MIB_PRESET << 20;
    if (upload->max_bytes > FILES_MIB_MOST << 20)
        upload->max_bytes = FILES_MIB_MOST << 20;
    memcpy(upload->tenant, name, sizeof name);
    (void) snprintf(upload->folder, sizeof upload->folder, STORE_NEW "%d-%" PRIu64, (int) getpid(),
                    upload->id);
    TAILQ_INSERT_TAIL(&state->uploads, upload, entry);
    state->n_uploads++;
    int r = store_lock(state);
    if (r == 0) {
        r = open_folders(state, upload);
        if (r < 0)
            (void) store_fail(state, r, "cannot make a folder for the upload: %s",
                              strerrordesc_np(-r));
        store_unlock(state);
    }
    if (r == 0 && !(upload->digest = EVP_MD_CTX_new()))
        r = store_fail(state, -ENOMEM, "the store is out of memory");
    if (r < 0)
        upload_free(state, upload);
    return r;
}

/* ---- parts */

/* Makes and opens the folder that a file is in. Returns a descriptor or -errno. */
static int open_folder_of(const struct upload *upload, const char *path)
{
    int fd = openat(upload->bundle_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    for (const char *slash; fd >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
        char name[TENANT_PATH_MAX + 1];
        _cleanup_fd_ int parent = fd;
        memcpy(name, path, (size_t) (slash - path));
        name[slash - path] = '\0';
        fd = tree_enter(parent, name, true);
    }
    return fd < 0 ? -errno : fd;
}

static int begin_file(struct store_state *state, struct upload *upload, const char *path)
{
    const char *expected = tenant_path_check(path);
    const char *slash = strrchr(path, '/');

    if (expected)
        return store_fail(state, -EINVAL, "\"%.100s\": %s", path, expected);
    if (upload->n_files >= UPLOAD_FILES_MAX)
        return store_fail(state, -EINVAL, "too many files: expected at most %u", TENANT_FILES_MAX);
    struct stored_file *files =
        reallocarray(upload->files, upload->n_files + 1, sizeof *upload->files);
    if (!files)
        return store_fail(state, -ENOMEM, "the store is out of memory");
    upload->files = files;
    _cleanup_free_ char *copy = strdup(path);
    if (!copy || EVP_DigestInit_ex2(upload->digest, state->sha256, NULL) != 1)
        return store_fail(state, -ENOMEM, "the store is out of memory");
    _cleanup_fd_ int folder = open_folder_of(upload, path);
    upload->file_fd = folder < 0
                          ? -1
                          : openat(folder, slash ? slash + 1 : path,
                                   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (upload->file_fd < 0)
        return store_fail(state, -errno, "\"%.100s\" cannot be stored: %s", path,
                          strerrordesc_np(errno));
    files[upload->n_files++] = (struct stored_file){ .path = TAKE_PTR(copy) };
    return 0;
}

static int end_file(struct store_state *state, struct upload *upload)
{
    _cleanup_fd_ int fd = TAKE_FD(upload->file_fd);
    struct stored_file *file = &upload->files[upload->n_files - 1];

    if (EVP_DigestFinal_ex(upload->digest, file->digest, NULL) != 1)
        return store_fail(state, -EIO, "libcrypto failed");
    if (fsync(fd) < 0)
        return store_fail(state, -errno, "\"%.100s\" cannot be stored: %s", file->path,
                          strerrordesc_np(errno));
    return 0;
}

static int add_file_part(struct store_state *state, struct upload *upload,
                         const Skep__Store__Part *part)
{
    char path[TENANT_PATH_MAX + 1];

    if (part->path.len > TENANT_PATH_MAX || memchr(part->path.data, '\0', part->path.len))
        return store_fail(state, -EINVAL, "expected a path of at most 255 bytes");
    memcpy(path, part->path.data, part->path.len);
    path[part->path.len] = '\0';
    if (upload->file_fd < 0) {
        int r = begin_file(state, upload, path);
        if (r < 0)
            return r;
    }
    struct stored_file *file = &upload->files[upload->n_files - 1];
    if (strcmp(file->path, path) != 0)
        return store_fail(state, -EINVAL, "\"%.100s\" is not complete, and another file follows",
                          file->path);
    if (part->data.len > upload->max_bytes + CONFIG_FILE_MAX_BYTES - upload->bytes)
        return store_fail(state, -EFBIG,
                          "too large: expected at most %" PRIu64 " MiB in all files "
                          "together; " TENANT_FILES_ADVICE,
                          upload->max_bytes >> 20);
    int r = io_write_all(upload->file_fd, part->data.data, part->data.len);
    if (r < 0)
        return store_fail(state, r, "\"%.100s\" cannot be stored: %s", path, strerrordesc_np(-r));
    if (EVP_DigestUpdate(upload->digest, part->data.data, part->data.len) != 1)
        return store_fail(state, -EIO, "libcrypto failed");
    upload->bytes += part->data.len;
    file->size += part->data.len;
    return part->more ? 0 : end_file(state, upload);
}

static char *copy_text(ProtobufCBinaryData text)
{
    return strndup(text.data ? (const char *) text.data : "", text.len);
}

static int add_env(struct store_state *state, struct upload *upload, const Skep__Store__Part *part)
{
    _cleanup_free_ char *name = copy_text(part->env);
    _cleanup_free_ char *value = copy_text(part->data);

    if (!name || !value)
        return store_fail(state, -ENOMEM, "the store is out of memory");
    if (strlen(name) != part->env.len || !env_name_is_valid(name))
        return store_fail(state, -EINVAL, "env: not a name: expected A-Z, a-z, 0-9 and _");
    if (strlen(value) != part->data.len || part->data.len > TENANT_ENV_VALUE_MAX)
        return store_fail(state, -EINVAL, "env: %.64s: expected text of at most 32 KiB", name);
    for (unsigned i = 0; i < upload->n_env; i++)
        if (strcmp(upload->env[i].name, name) == 0)
            return store_fail(state, -EINVAL, "env: %.64s is given twice", name);
    if (upload->n_env >= TENANT_ENV_MAX)
        return store_fail(state, -EINVAL, "env: expected at most %u entries", TENANT_ENV_MAX);
    struct env_entry *env = reallocarray(upload->env, upload->n_env + 1, sizeof *env);
    if (!env)
        return store_fail(state, -ENOMEM, "the store is out of memory");
    upload->env = env;
    env[upload->n_env++] = (struct env_entry){ TAKE_PTR(name), TAKE_PTR(value) };
    return 0;
}

int upload_part(struct store_state *state, struct upload *upload, const Skep__Store__Part *part)
{
    int r = upload->is_sealed      ? store_fail(state, -EINVAL, "a part came after the end")
            : part->path.len > 0   ? add_file_part(state, upload, part)
            : upload->file_fd >= 0 ? store_fail(state, -EINVAL, "a file is not complete")
                                   : add_env(state, upload, part);

    if (r < 0)
        upload_free(state, upload);
    return r;
}

/* ---- the end */

int upload_compare_files(const void *a, const void *b)
{
    return strcmp(((const struct stored_file *) a)->path, ((const struct stored_file *) b)->path);
}

static int compare_env(const void *a, const void *b)
{
    return strcmp(((const struct env_entry *) a)->name, ((const struct env_entry *) b)->name);
}

static bool add_number(EVP_MD_CTX *digest, uint64_t number)
{
    uint8_t bytes[8];

    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t) (number >> (8 * i));
    return EVP_DigestUpdate(digest, bytes, sizeof bytes) == 1;
}

static bool add_text(EVP_MD_CTX *digest, const char *text)
{
    return add_number(digest, strlen(text)) && EVP_DigestUpdate(digest, text, strlen(text)) == 1;
}

/* Digests the content, each part with its length, so that no two different contents look the same.
 * The key of the state folder keeps a reader of the name from trying what may be in env; names from
 * before there was a key have none. */
static bool name_version(const struct store_state *state, struct upload *upload, bool has_key)
{
    EVP_MD_CTX *digest = upload->digest;
    uint8_t bytes[DIGEST_BYTES];

    bool is_good = EVP_DigestInit_ex2(digest, state->sha256, NULL) == 1 &&
                   add_text(digest, has_key ? "skep bundle 2" : "skep bundle 1") &&
                   (!has_key || EVP_DigestUpdate(digest, state->key, sizeof state->key) == 1) &&
                   add_number(digest, upload->n_files);
    for (unsigned i = 0; i < upload->n_files && is_good; i++)
        is_good = add_text(digest, upload->files[i].path) &&
                  add_number(digest, upload->files[i].size) &&
                  EVP_DigestUpdate(digest, upload->files[i].digest, DIGEST_BYTES) == 1;
    is_good = is_good && add_number(digest, upload->n_env);
    for (unsigned i = 0; i < upload->n_env && is_good; i++)
        is_good = add_text(digest, upload->env[i].name) && add_text(digest, upload->env[i].value);
    if (!is_good || EVP_DigestFinal_ex(digest, bytes, NULL) != 1)
        return false;
    for (unsigned i = 0; i < DIGEST_BYTES; i++)
        (void) snprintf(upload->version + (size_t) 2 * i, 3, "%02x", bytes[i]);
    return true;
}

bool upload_is_named(const struct store_state *state, struct upload *upload, const char *version)
{
    if (upload->n_env > 0)
        qsort(upload->env, upload->n_env, sizeof *upload->env, compare_env);
    return name_version(state, upload, false) && strcmp(upload->version, version) == 0;
}

static int write_env(const struct store_state *state, const struct upload *upload)
{
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);

    if (!file)
        return -ENOMEM;
    for (unsigned i = 0; i < upload->n_env; i++)
        (void) fprintf(file, "%s=%s%c", upload->env[i].name, upload->env[i].value, '\0');
    if (fclose(file) != 0)
        return -ENOMEM;
    int r = tree_write(upload->dir_fd, STORE_ENV_FILE, text, size);
    return r < 0 ? r : version_write_sums(state, upload, text, size);
}

static int write_info(const struct upload *upload)
{
    char text[128];
    int n = snprintf(text, sizeof text, "%" PRIu64 " %" PRIu32 " %u %" PRIu64 "\n",
                     io_clock_ns(CLOCK_REALTIME) / NSEC_PER_MSEC, upload->uid, upload->n_files,
                     upload->bytes);

    return tree_write(upload->dir_fd, STORE_INFO_FILE, text, (size_t) n);
}

static int seal(struct store_state *state, struct upload *upload)
{
    static const struct stored_file manifest = { .path = (char *) (uintptr_t) "skep.yaml" };

    if (upload->is_sealed || upload->file_fd >= 0)
        return store_fail(state, -EINVAL, "a file is not complete");
    if (upload->n_files > 0)
        qsort(upload->files, upload->n_files, sizeof *upload->files, upload_compare_files);
    if (upload->n_env > 0)
        qsort(upload->env, upload->n_env, sizeof *upload->env, compare_env);
    if (upload->n_files == 0 ||
        !bsearch(&manifest, upload->files, upload->n_files, sizeof manifest, upload_compare_files))
        return store_fail(state, -EINVAL, "there is no skep.yaml in it");
    if (!name_version(state, upload, true))
        return store_fail(state, -EIO, "libcrypto failed");
    bool is_there = faccessat(upload->versions_fd, upload->version, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    upload->has_damaged =
        is_there && version_check(state, upload->versions_fd, upload->version) < 0;
    if (is_there && !upload->has_damaged) {
        upload->is_stored = true;
        upload->is_sealed = true;
        int r = tree_remove(upload->versions_fd, upload->folder);
        upload->folder[0] = '\0';
        return r < 0 ? store_fail(state, r, "cannot remove what was stored already") : 0;
    }
    int r = write_env(state, upload);
    if (r == 0)
        r = write_info(upload);
    if (r == 0)
        r = tree_sync_folders(upload->dir_fd);
    if (r < 0)
        return store_fail(state, r, "cannot be stored: %s", strerrordesc_np(-r));
    upload->is_sealed = true;
    return 0;
}

int upload_seal(struct store_state *state, struct upload *upload)
{
    int r = seal(state, upload);

    if (r < 0)
        upload_free(state, upload);
    return r;
}
