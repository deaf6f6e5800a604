/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a tenant's folder into memory: only plain files, bounded in number, size
 * and depth, opened from folder to folder so that no link leads out. skepd and skep, as the
 * service user.
 */
#include "config/tenant_files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/character.h"
#include "common/cleanup.h"

struct walk {
    const char *dir; /* for messages */
    struct manifest *manifest;
    struct config_errors *errors;
    size_t max_bytes; /* the most of all files together */
    size_t bytes;     /* read so far */
    unsigned entries; /* seen so far, also those that are left out */
};

#define ENTRIES_MAX 20000

int tenant_file_read(int dir_fd, const char *name, size_t max_bytes, char **ret_data,
                     size_t *ret_size)
{
    /* O_NONBLOCK: opening a pipe would wait for its writer. */
    _cleanup_fd_ int fd =
        openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if (st.st_size < 0 || (uint64_t) st.st_size > max_bytes)
        return -EFBIG;
    size_t size = (size_t) st.st_size;
    size_t have = 0;
    _cleanup_free_ char *data = malloc(size + 1);
    if (!data)
        return -ENOMEM;
    while (have < size) {
        ssize_t n = read(fd, data + have, size - have);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            break; /* cut off since fstat */
        have += n > 0 ? (size_t) n : 0;
    }
    data[have] = '\0';
    *ret_data = TAKE_PTR(data);
    *ret_size = have;
    return 0;
}

/* The manifest is read before, and is none of the files. */
static bool is_manifest(const char *prefix, const char *name)
{
    return prefix[0] == '\0' && strcmp(name, "skep.yaml") == 0;
}

/* Import specifiers are texts: no other name could be imported. */
static bool is_name_good(const char *name)
{
    size_t left = strlen(name);

    for (uint32_t code; left > 0;) {
        size_t size = character_decode(name, left, &code);
        if (size == 0 || code < 0x20 || code == 0x7f)
            return false;
        name += size;
        left -= size;
    }
    return true;
}

const char *tenant_path_check(const char *path)
{
    unsigned depth = 0;

    if (strlen(path) > TENANT_PATH_MAX || !is_name_good(path))
        return "expected a path of at most 255 bytes, in UTF-8 without control characters";
    for (const char *part = path;; depth++) {
        size_t size = strcspn(part, "/");
        if (size == 0 || part[0] == '.')
            return "expected a relative path without empty, hidden and \"..\" parts";
        if (size == strlen("node_modules") && strncmp(part, "node_modules", size) == 0)
            return "node_modules is left out";
        if (part[size] == '\0')
            break;
        part += size + 1;
    }
    if (depth > TENANT_DEPTH_MAX)
        return "nested too deeply: expected at most 16 folders";
    return NULL;
}

static int add_file(struct walk *walk, int dir_fd, const char *name, const char *path)
{
    struct manifest *manifest = walk->manifest;
    struct tenant_file file = { 0 };

    if (manifest->n_files >= TENANT_FILES_MAX) {
        config_errors_add(walk->errors, walk->dir, 0, "too many files: expected at most %u",
                          TENANT_FILES_MAX);
        return -EINVAL;
    }
    struct tenant_file *files =
        reallocarray(manifest->files, manifest->n_files + 1, sizeof *manifest->files);
    if (!files)
        return -ENOMEM;
    manifest->files = files;

    int r = tenant_file_read(dir_fd, name, walk->max_bytes - walk->bytes, &file.data, &file.size);
    if (r == -EFBIG)
        config_errors_add(walk->errors, walk->dir, 0,
                          "%s: too large: expected at most %zu MiB in all files "
                          "together; " TENANT_FILES_ADVICE,
                          path, walk->max_bytes >> 20);
    else if (r < 0 && r != -ENOMEM)
        config_errors_add(walk->errors, walk->dir, 0, "%s: cannot be read: %s", path,
                          strerrordesc_np(-r));
    if (r < 0)
        return r == -ENOMEM ? r : -EINVAL;
    file.path = strdup(path);
    if (!file.path) {
        free(file.data);
        return -ENOMEM;
    }
    walk->bytes += file.size;
    files[manifest->n_files++] = file;
    return 0;
}

static int walk_folder(struct walk *walk, int fd, const char *prefix, unsigned depth);

static int walk_subfolder(struct walk *walk, int parent_fd, const char *name, const char *path,
                          unsigned depth)
{
    if (depth > TENANT_DEPTH_MAX) {
        config_errors_add(walk->errors, walk->dir, 0,
                          "%s: nested too deeply: expected at most %u "
                          "folders",
                          path, TENANT_DEPTH_MAX);
        return -EINVAL;
    }
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        config_errors_add(walk->errors, walk->dir, 0, "%s: cannot be read: %s", path,
                          strerrordesc_np(errno));
        return -EINVAL;
    }
    return walk_folder(walk, fd, path, depth);
}

static int leave_out(struct manifest *manifest, const char *prefix, const char *name)
{
    if (manifest->n_left_out++ >= TENANT_LEFT_OUT_MAX)
        return 0;
    char **place = &manifest->left_out[manifest->n_left_out - 1];
    if (asprintf(place, "%s%s%s", prefix, prefix[0] ? "/" : "", name) < 0) {
        *place = NULL;
        return -ENOMEM;
    }
    return 0;
}

static int walk_entry(struct walk *walk, int fd, const char *prefix, const char *name,
                      unsigned depth)
{
    char path[TENANT_PATH_MAX + 1];
    struct stat st;

    if (name[0] == '.' || strcmp(name, "node_modules") == 0 || is_manifest(prefix, name))
        return 0;
    if (++walk->entries > ENTRIES_MAX) {
        config_errors_add(walk->errors, walk->dir, 0,
                          "too many files: expected at most %u of any kind", ENTRIES_MAX);
        return -EINVAL;
    }
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    bool is_folder = S_ISDIR(st.st_mode);
    if (!is_folder && !S_ISREG(st.st_mode))
        return leave_out(walk->manifest, prefix, name);
    int n = snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] ? "/" : "", name);
    if (n < 0 || (size_t) n >= sizeof path || !is_name_good(name)) {
        config_errors_add(walk->errors, walk->dir, 0,
                          "\"%.200s\": expected a path of at most %d bytes, without control "
                          "characters",
                          name, TENANT_PATH_MAX);
        return -EINVAL;
    }
    return is_folder ? walk_subfolder(walk, fd, name, path, depth + 1)
                     : add_file(walk, fd, name, path);
}

/* Reads a folder. Takes over fd. */
static int walk_folder(struct walk *walk, int fd, const char *prefix, unsigned depth)
{
    _cleanup_dir_ DIR *dir = fdopendir(fd);
    int r = 0;

    if (!dir) {
        r = -errno;
        (void) close(fd);
        return r;
    }
    for (const struct dirent *entry; r == 0 && (entry = readdir(dir));)
        r = walk_entry(walk, dirfd(dir), prefix, entry->d_name, depth);
    return r;
}

static int compare_files(const void *a, const void *b)
{
    const struct tenant_file *left = a;
    const struct tenant_file *right = b;

    return strcmp(left->path, right->path);
}

int tenant_files_read(int dir_fd, const char *dir, uint32_t max_bytes, struct manifest *manifest,
                      struct config_errors *errors)
{
    struct walk walk = {
        .dir = dir, .manifest = manifest, .errors = errors, .max_bytes = max_bytes
    };
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    int r = fd < 0 ? -errno : walk_folder(&walk, fd, "", 0);
    if (r < 0 && r != -EINVAL && r != -ENOMEM) {
        config_errors_add(errors, dir, 0, "cannot be read: %s", strerrordesc_np(-r));
        r = -EINVAL;
    }
    if (r == 0 && manifest->n_files > 0)
        qsort(manifest->files, manifest->n_files, sizeof *manifest->files, compare_files);
    return r;
}

size_t tenant_files_bytes(const struct manifest *manifest)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < manifest->n_files; i++)
        bytes += manifest->files[i].size;
    return bytes;
}

void tenant_files_note_left_out(const struct manifest *manifest, struct config_errors *notes)
{
    char names[1024] = "";

    if (manifest->n_left_out == 0)
        return;
    for (unsigned i = 0; i < manifest->n_left_out && i < TENANT_LEFT_OUT_MAX; i++) {
        size_t have = strlen(names);
        (void) snprintf(names + have, sizeof names - have, "%s%.100s", have > 0 ? ", " : "",
                        manifest->left_out[i] ? manifest->left_out[i] : "?");
    }
    config_errors_add(
        notes, manifest->file, 0,
        "left out, as no handler can read it: %s%s; a tenant has plain files, and no links", names,
        manifest->n_left_out > TENANT_LEFT_OUT_MAX ? " and more" : "");
}

const struct tenant_file *tenant_files_find(const struct manifest *manifest, const char *path)
{
    for (unsigned i = 0; i < manifest->n_files; i++)
        if (strcmp(manifest->files[i].path, path) == 0)
            return &manifest->files[i];
    return NULL;
}
