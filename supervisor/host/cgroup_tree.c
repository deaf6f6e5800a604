/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of the workers' cgroups: finds skepd's own cgroup, moves this process to its leaf and
 * turns the controllers on; at the end the other way round. Supervisor process, before and after
 * the loop.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "supervisor/host/cgroup_internal.h"

#define REMOVE_TIMEOUT_MS 2000
#define REMOVE_POLL_MS 100

static const char *const controllers[] = { "memory", "pids", "cpu" };

/* ---- finding skepd's own cgroup */

/* Finds path and length of the line "0::/path"; NULL if there is none. */
static const char *find_v2_line(const char *self_cgroup, size_t *ret_length)
{
    for (const char *line = self_cgroup; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, "0::/", 4) == 0) {
            *ret_length = strcspn(line + 3, "\n");
            return line + 3;
        }
    }
    return NULL;
}

/* Decodes a text of mountinfo, which has space, tab, newline and backslash as \ooo. */
static void unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] && from[3]) {
            *to = (char) ((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* Parses one line of mountinfo, see proc(5). False if the line is not of cgroup2, or is cut. */
static bool parse_mount(char *line, const char **ret_root, const char **ret_point)
{
    const char *type = strstr(line, " - ");
    char *fields[5], *rest = line;

    if (!type || strncmp(type + 3, "cgroup2 ", 8) != 0)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (!(fields[i] = strsep(&rest, " ")))
            return false;
    unescape(fields[3]);
    unescape(fields[4]);
    *ret_root = fields[3];
    *ret_point = fields[4];
    return true;
}

/* Returns the part of path below root; NULL if path is elsewhere. Both are as skepd's cgroup
 * namespace shows them. */
static const char *below(const char *path, const char *root)
{
    size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);

    if (strncmp(path, root, length) != 0 || (path[length] && path[length] != '/'))
        return NULL;
    return path + length;
}

int cgroup_find(const char *self_cgroup, const char *mountinfo, char **ret_path)
{
    size_t length = 0;
    const char *own = find_v2_line(self_cgroup, &length);
    _cleanup_free_ char *path = own ? strndup(own, length) : NULL;
    _cleanup_free_ char *text = strdup(mountinfo);
    char *line, *rest = text;

    if (!own)
        return -ENOENT;
    if (!path || !text)
        return -ENOMEM;
    while ((line = strsep(&rest, "\n"))) {
        const char *root, *point;
        if (!parse_mount(line, &root, &point))
            continue;
        const char *inner = below(path, root);
        if (inner)
            return asprintf(ret_path, "%s%s", point, inner) < 0 ? -ENOMEM : 0;
    }
    return -ENOENT;
}

/* Reads a file in /proc, which has no size that io_read_file could go by. */
static int read_proc(const char *path, char **ret_text)
{
    _cleanup_file_ FILE *file = fopen(path, "re");
    _cleanup_free_ char *text = NULL;
    size_t size = 0;

    if (!file)
        return -errno;
    if (getdelim(&text, &size, '\0', file) < 0)
        return ferror(file) ? -EIO : -ENOENT;
    *ret_text = TAKE_PTR(text);
    return 0;
}

static int find_own(char **ret_path)
{
    _cleanup_free_ char *self_cgroup = NULL, *mountinfo = NULL;
    int r = read_proc("/proc/self/cgroup", &self_cgroup);

    if (r == 0)
        r = read_proc("/proc/self/mountinfo", &mountinfo);
    return r < 0 ? r : cgroup_find(self_cgroup, mountinfo, ret_path);
}

/* ---- whether the cgroup is delegated to skepd */

struct reason {
    char *text;
    size_t size;
};

__attribute__((format(printf, 3, 4))) static int refuse(const struct reason *reason, int error,
                                                        const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void) vsnprintf(reason->text, reason->size, format, args);
    va_end(args);
    return error;
}

static bool has_word(const char *text, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = text; (at = strstr(at, word)); at += length)
        if ((at == text || at[-1] == ' ') && (!at[length] || strchr(" \n", at[length])))
            return true;
    return false;
}

static int check_controllers(int fd, const char *path, const struct reason *reason)
{
    char text[256], missing[64] = "";

    int r = cgroup_read(fd, "cgroup.controllers", text, sizeof text);
    if (r < 0)
        return refuse(reason, r, "cannot read cgroup.controllers in %s: %s", path, strerror(-r));
    for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
        if (!has_word(text, controllers[i])) {
            size_t used = strlen(missing);
            (void) snprintf(missing + used, sizeof missing - used, " %s", controllers[i]);
        }
    if (missing[0])
        return refuse(reason, -EOPNOTSUPP,
                      "controllers not given to %s:%s (in a unit: Delegate=cpu memory pids)", path,
                      missing);
    return 0;
}

/* Returns whether systemd has marked the cgroup as delegated; for root the owner of a file tells
 * nothing. */
static bool is_marked(int fd)
{
    static const char *const names[] = { "user.delegate", "trusted.delegate" };
    char value;

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (fgetxattr(fd, names[i], &value, 1) == 1 && value == '1')
            return true;
    return false;
}

/* Checks the mark for root, which may write everywhere, also where systemd changes and removes
 * cgroups. */
static int check_mark(int fd, const char *path, const struct reason *reason)
{
    if (geteuid() == 0 && access("/run/systemd/system", F_OK) == 0 && !is_marked(fd))
        return refuse(reason, -EPERM,
                      "systemd has not delegated %s (in a unit: Delegate=cpu memory pids)", path);
    return 0;
}

static int check_access(int fd, const char *path, const struct reason *reason)
{
    /* The root of the host has no cgroup.type; that of a container has. */
    if (faccessat(fd, "cgroup.type", F_OK, 0) < 0)
        return refuse(reason, -EOPNOTSUPP, "%s is the root of all cgroups; start skepd in another",
                      path);
    if (faccessat(fd, "cgroup.procs", W_OK, AT_EACCESS) < 0 ||
        faccessat(fd, "cgroup.subtree_control", W_OK, AT_EACCESS) < 0)
        return refuse(reason, -errno,
                      "%s may not be written: %s (in a unit: "
                      "Delegate=cpu memory pids)",
                      path, strerror(errno));
    return 0;
}

static int check(int fd, const char *path, const struct reason *reason)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
        return refuse(reason, -ENOENT, "%s is no cgroup v2", path);
    int r = check_mark(fd, path, reason);
    if (r == 0)
        r = check_controllers(fd, path, reason);
    return r < 0 ? r : check_access(fd, path, reason);
}

/* ---- moving in */

static int enable_controllers(int fd, bool on)
{
    return cgroup_write(fd, "cgroup.subtree_control",
                        on ? "+memory +pids +cpu" : "-memory -pids -cpu");
}

/* Moves this process, which "0" stands for. */
static int move_self(int fd)
{
    return cgroup_write(fd, "cgroup.procs", "0");
}

static void move_out(const struct cgroup_tree *tree)
{
    (void) move_self(tree->fd);
    (void) unlinkat(tree->fd, CGROUP_LEAF, AT_REMOVEDIR);
}

static int move_in(struct cgroup_tree *tree, const char *path, const struct reason *reason)
{
    if (mkdirat(tree->fd, CGROUP_LEAF, 0755) < 0 && errno != EEXIST)
        return refuse(reason, -errno, "cannot make %s/" CGROUP_LEAF ": %s", path, strerror(errno));
    _cleanup_fd_ int leaf = openat(tree->fd, CGROUP_LEAF, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = leaf < 0 ? -errno : move_self(leaf);
    if (r < 0) {
        (void) unlinkat(tree->fd, CGROUP_LEAF, AT_REMOVEDIR);
        return refuse(reason, r, "cannot move to %s/" CGROUP_LEAF ": %s", path, strerror(-r));
    }
    tree->has_moved = true;
    return 0;
}

/* Returns whether a process of that pid, or with 0 any but this one, is in the leaf: a skepd that
 * serves, or did until just now. */
static bool has_other(const struct cgroup_tree *tree, long pid)
{
    char text[4096], *rest = text, *line;

    if (cgroup_read(tree->fd, CGROUP_LEAF "/cgroup.procs", text, sizeof text) < 0)
        return false;
    while ((line = strsep(&rest, "\n"))) {
        long other = strtol(line, NULL, 10);
        if (other > 0 && other != (long) getpid() && (pid == 0 || other == pid))
            return true;
    }
    return false;
}

/* Returns whether the name is that of a dead skepd's cgroup. Names without a pid are no skepd's. */
static bool is_leftover(const struct cgroup_tree *tree, const char *name)
{
    size_t length = strlen(CGROUP_WORKER_PREFIX);
    char *end = NULL;

    if (strncmp(name, CGROUP_WORKER_PREFIX, length) != 0 || strlen(name) >= CGROUP_NAME_MAX)
        return false;
    long pid = strtol(name + length, &end, 10);
    return *end != '-' || pid <= 0 || !has_other(tree, pid);
}

/* Returns whether the cgroup belongs to a worker of this skepd, alive or being removed. At the
 * start there is none: a cgroup with this pid belonged to an earlier process that had it. */
static bool is_own(const struct cgroup_tree *tree, const char *name)
{
    char prefix[CGROUP_NAME_MAX];

    (void) snprintf(prefix, sizeof prefix, CGROUP_WORKER_PREFIX "%d-", (int) getpid());
    return (tree->next_serial > 0 && strncmp(name, prefix, strlen(prefix)) == 0) ||
           cgroup_is_dying(tree, name);
}

static void adopt_leftovers(struct cgroup_tree *tree)
{
    _cleanup_fd_ int fd = openat(tree->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_dir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (!dir)
        return;
    fd = -1; /* the stream owns it now */
    while ((entry = readdir(dir)))
        if (is_leftover(tree, entry->d_name) && !is_own(tree, entry->d_name))
            (void) cgroup_add_dying(tree, entry->d_name);
    cgroup_remove_dying(tree);
}

void cgroup_collect(struct cgroup_tree *tree)
{
    if (tree)
        adopt_leftovers(tree);
}

bool cgroup_is_to_undo(const struct cgroup_tree *tree)
{
    return tree && tree->has_moved;
}

void cgroup_set_to_undo(struct cgroup_tree *tree, bool is_to_undo)
{
    if (tree)
        tree->has_moved = is_to_undo;
}

static int move_in_and_enable(struct cgroup_tree *tree, bool is_in_leaf, const char *path,
                              const struct reason *reason)
{
    int r = is_in_leaf ? 0 : move_in(tree, path, reason);

    if (r < 0)
        return r;
    r = enable_controllers(tree->fd, true);
    if (r == 0)
        return 0;
    if (tree->has_moved)
        move_out(tree);
    if (r == -EBUSY)
        return refuse(reason, r, "other processes are in %s; skepd has to be alone there", path);
    return refuse(reason, r, "cannot enable controllers in %s: %s", path, strerror(-r));
}

/* Opens the cgroup that is to have the workers: skepd's own, or, if skepd was started in the leaf
 * already (DelegateSubgroup=supervisor of systemd), the one above. */
static int open_tree(char **ret_path, bool *ret_is_in_leaf, int *ret_fd,
                     const struct reason *reason)
{
    _cleanup_free_ char *path = NULL;
    int r = find_own(&path);

    if (r < 0)
        return refuse(reason, r, "no cgroup v2 is mounted that this process is in");
    char *slash = strrchr(path, '/');
    bool is_in_leaf = slash && strcmp(slash, "/" CGROUP_LEAF) == 0;
    if (is_in_leaf)
        *slash = '\0';
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return refuse(reason, -errno, "cannot open %s: %s", path, strerror(errno));
    r = check(fd, path, reason);
    if (r < 0)
        return r;
    *ret_path = TAKE_PTR(path);
    *ret_is_in_leaf = is_in_leaf;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int cgroup_new(struct cgroup_tree **ret_tree, char *text, size_t size)
{
    const struct reason reason = { .text = text, .size = size };
    _cleanup_free_ char *path = NULL;
    _cleanup_fd_ int fd = -1;
    bool is_in_leaf = false;

    int r = open_tree(&path, &is_in_leaf, &fd, &reason);
    if (r < 0)
        return r;
    _cleanup_free_ struct cgroup_tree *tree = calloc(1, sizeof *tree);
    if (!tree)
        return refuse(&reason, -ENOMEM, "out of memory");
    LIST_INIT(&tree->dying);
    tree->fd = fd;
    r = move_in_and_enable(tree, is_in_leaf, path, &reason);
    if (r < 0)
        return r;
    (void) TAKE_FD(fd);
    adopt_leftovers(tree);
    *ret_tree = TAKE_PTR(tree);
    return 0;
}

/* ---- moving out */

/* Waits until no process is in the cgroup any more, or something else changed. */
static void await_change(int dir_fd)
{
    _cleanup_fd_ int fd = openat(dir_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
    struct pollfd change = { .fd = fd, .events = POLLPRI };
    char text[64];

    /* A read marks the state as known; the next change is reported, at once if it came in
     * between. */
    if (fd >= 0 && pread(fd, text, sizeof text, 0) < 0)
        return;
    (void) poll(&change, 1, REMOVE_POLL_MS);
}

static void kill_dying(struct cgroup_tree *tree)
{
    uint64_t end = io_now_ns() + REMOVE_TIMEOUT_MS * NSEC_PER_MSEC;
    const char *name;

    cgroup_remove_dying(tree);
    while ((name = cgroup_first_dying(tree)) && io_now_ns() < end) {
        _cleanup_fd_ int fd = openat(tree->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0) {
            (void) cgroup_write(fd, "cgroup.kill", "1");
            await_change(fd);
        }
        cgroup_remove_dying(tree);
    }
}

struct cgroup_tree *cgroup_free(struct cgroup_tree *tree)
{
    if (!tree)
        return NULL;
    kill_dying(tree);
    cgroup_forget_dying(tree);
    /* Undone, so that a user who started skepd by hand can do so again in the same cgroup. */
    if (tree->has_moved && !has_other(tree, 0) && enable_controllers(tree->fd, false) == 0)
        move_out(tree);
    (void) close(tree->fd);
    free(tree);
    return NULL;
}
