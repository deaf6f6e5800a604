/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks at a worker's jail from outside. Supervisor process; reads /proc/PID, which the kernel
 * writes, so nothing here is a claim of the worker. Each check is a row or a small function.
 */
#include "supervisor/workers/attest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "sandbox-policy/policy.h"

#define STATUS_MAX_BYTES 16384
#define NO_CAPABILITIES "0000000000000000"

/* Where a failed check says why. */
struct finding {
    char *text;
    size_t size;
};

#define DIFFERS(finding, ...) \
    ((void) snprintf((finding)->text, (finding)->size, __VA_ARGS__), -EPERM)

/* Files of /proc have no size: read to the end. The text ends with NUL. */
static int read_proc(int dir_fd, const char *path, char *buffer, size_t size)
{
    _cleanup_fd_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
    size_t have = 0;

    if (fd < 0)
        return -errno;
    while (have < size - 1) {
        ssize_t n = read(fd, buffer + have, size - 1 - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        have += (size_t) n;
    }
    buffer[have] = '\0';
    return 0;
}

/* ---- threads: filter, capabilities and no_new_privs belong to each of them */

static const struct {
    const char *key;
    const char *value;
} expected_status[] = {
    { "Seccomp:", "2" },
    { "NoNewPrivs:", "1" },
    { "CapInh:", NO_CAPABILITIES },
    { "CapPrm:", NO_CAPABILITIES },
    { "CapEff:", NO_CAPABILITIES },
    { "CapBnd:", NO_CAPABILITIES },
    { "CapAmb:", NO_CAPABILITIES },
    { "TracerPid:", "0" },
};

/* Copies the value after "\nKEY" and white space, up to the end of its line. */
static bool find_status(const char *status, const char *key, char *value, size_t size)
{
    for (const char *line = status; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, strlen(key)) != 0)
            continue;
        const char *start = line + strlen(key);
        start += strspn(start, " \t");
        size_t length = strcspn(start, "\n");
        if (length >= size)
            return false;
        memcpy(value, start, length);
        value[length] = '\0';
        return true;
    }
    return false;
}

static int check_thread(int tasks_fd, const char *tid, const struct finding *finding)
{
    char path[64], status[STATUS_MAX_BYTES] = "", value[64];

    (void) snprintf(path, sizeof path, "%.20s/status", tid);
    int r = read_proc(tasks_fd, path, status, sizeof status);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_LEN(expected_status); i++) {
        const char *key = expected_status[i].key;
        const char *expected = expected_status[i].value;
        if (!find_status(status, key, value, sizeof value))
            return DIFFERS(finding, "thread %.20s: no %s in its status", tid, key);
        if (strcmp(value, expected) != 0)
            return DIFFERS(finding, "thread %.20s: %s %s, expected %s", tid, key, value, expected);
    }
    return 0;
}

/* Opens a folder of /proc/PID for readdir. NULL with errno. */
static DIR *open_folder(int proc_fd, const char *name)
{
    _cleanup_fd_ int fd = openat(proc_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return NULL;
    DIR *dir = fdopendir(fd);
    if (dir)
        (void) TAKE_FD(fd);
    return dir;
}

static int check_threads(int proc_fd, const struct finding *finding)
{
    _cleanup_dir_ DIR *dir = open_folder(proc_fd, "task");
    const struct dirent *entry;
    size_t n = 0;

    if (!dir)
        return -errno;
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        int r = check_thread(dirfd(dir), entry->d_name, finding);
        if (r < 0)
            return r;
        n++;
    }
    return n > 0 ? 0 : -ESRCH;
}

/* ---- namespaces and root */

static int check_namespaces(int proc_fd, const struct finding *finding)
{
    static const char *const names[] = { "user", "pid", "net", "mnt", "ipc", "uts", "cgroup" };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct stat ours, theirs;
        char path[32];
        (void) snprintf(path, sizeof path, "ns/%s", names[i]);
        if (fstatat(proc_fd, path, &theirs, 0) < 0)
            return -errno;
        (void) snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
        if (stat(path, &ours) < 0)
            return -errno;
        if (ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino)
            return DIFFERS(finding, "it shares our %s namespace", names[i]);
    }
    return 0;
}

/* One mount, the root: a read-only tmpfs. A line of mountinfo is
 * "id parent major:minor root mountpoint options … - type source super-options". */
static int check_root(int proc_fd, const struct finding *finding)
{
    char info[4096], mount_point[64], options[128];

    int r = read_proc(proc_fd, "mountinfo", info, sizeof info);
    if (r < 0)
        return r;
    const char *end = strchr(info, '\n');
    if (!end || end[1] != '\0')
        return DIFFERS(finding, "more than one mount");
    if (sscanf(info, "%*d %*d %*s %*s %63s %127s", mount_point, options) != 2 ||
        strcmp(mount_point, "/") != 0 ||
        strncmp(options, "ro,nosuid,nodev,noexec", strlen("ro,nosuid,nodev,noexec")) != 0 ||
        !strstr(info, " - tmpfs "))
        return DIFFERS(finding, "its root is not an empty read-only tmpfs");
    return 0;
}

/* ---- descriptors */

struct tally {
    unsigned channels, event_polls, event_fds, pipe_ends;
    ino_t pipe; /* of the first end; both must be one pipe, the worker's own */
};

static bool is_null(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

/* 0, -EPERM for one that should not be there, or -errno. */
static int tally_descriptor(int fds_fd, const char *name, struct tally *tally)
{
    struct stat st;
    char target[64] = "";
    long number = strtol(name, NULL, 10);

    if (fstatat(fds_fd, name, &st, 0) < 0 ||
        readlinkat(fds_fd, name, target, sizeof target - 1) < 0)
        return -errno;
    if (number <= STDERR_FILENO)
        return is_null(&st) ? 0 : -EPERM;
    if (number == POLICY_CHANNEL_FD) {
        tally->channels++;
        return S_ISSOCK(st.st_mode) ? 0 : -EPERM;
    }
    /* What libevent opens for its loop: an epoll set, and a pipe to itself for signals. */
    if (strcmp(target, "anon_inode:[eventpoll]") == 0)
        return ++tally->event_polls <= 1 ? 0 : -EPERM;
    if (strcmp(target, "anon_inode:[eventfd]") == 0)
        return ++tally->event_fds <= 1 ? 0 : -EPERM;
    if (S_ISFIFO(st.st_mode) && (tally->pipe_ends == 0 || tally->pipe == st.st_ino)) {
        tally->pipe = st.st_ino;
        return ++tally->pipe_ends <= 2 ? 0 : -EPERM;
    }
    return -EPERM;
}

static int check_descriptors(int proc_fd, const struct finding *finding)
{
    _cleanup_dir_ DIR *dir = open_folder(proc_fd, "fd");
    const struct dirent *entry;
    struct tally tally = { 0 };

    if (!dir)
        return -errno;
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        int r = tally_descriptor(dirfd(dir), entry->d_name, &tally);
        if (r == -EPERM)
            return DIFFERS(finding, "it holds file descriptor %.20s, which it should not",
                           entry->d_name);
        if (r < 0)
            return r;
    }
    if (tally.channels != 1)
        return DIFFERS(finding, "it has no channel");
    if (tally.pipe_ends == 1)
        return DIFFERS(finding, "it holds one end of a pipe whose other end is elsewhere");
    return 0;
}

/* ---- all of it */

/* An open /proc/PID stays with its process: once the pidfd says that the process lives, every
 * later read is of that process or fails. */
static int open_process(pid_t pid, int pidfd, int *ret_proc_fd)
{
    char path[32];

    (void) snprintf(path, sizeof path, "/proc/%d", (int) pid);
    _cleanup_fd_ int proc_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (proc_fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    struct pollfd ended = { .fd = pidfd, .events = POLLIN };
    if (poll(&ended, 1, 0) < 0)
        return -errno;
    if (ended.revents)
        return -ESRCH;
    *ret_proc_fd = TAKE_FD(proc_fd);
    return 0;
}

int attest_worker(pid_t pid, int pidfd, char *text, size_t size)
{
    static int (*const checks[])(int proc_fd, const struct finding *finding) = {
        check_threads,
        check_namespaces,
        check_root,
        check_descriptors,
    };
    const struct finding finding = { .text = text, .size = size };
    _cleanup_fd_ int proc_fd = -1;

    (void) snprintf(text, size, "%s", "");
    int r = open_process(pid, pidfd, &proc_fd);
    for (size_t i = 0; i < ARRAY_LEN(checks) && r == 0; i++)
        r = checks[i](proc_fd, &finding);
    return r == -ENOENT ? -ESRCH : r;
}
