/* SPDX-License-Identifier: Apache-2.0 */
#include "spawner/facts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/process.h"

#define STATUS_MAX_BYTES 16384

const char *const facts_namespace_names[LAYER_NAMESPACES] = {
    [LAYER_USER] = "user", [LAYER_PID] = "pid", [LAYER_NET] = "net",       [LAYER_MOUNT] = "mnt",
    [LAYER_IPC] = "ipc",   [LAYER_UTS] = "uts", [LAYER_CGROUP] = "cgroup",
};

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

/* Returns the text behind "\nKEY" and white space; NULL if there is no such line. */
static const char *find_line(const char *text, const char *key)
{
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, strlen(key)) == 0)
            return line + strlen(key) + strspn(line + strlen(key), " \t");
    }
    return NULL;
}

static uint64_t find_number(const char *status, const char *key, int base, uint64_t otherwise)
{
    const char *value = find_line(status, key);

    return value ? strtoull(value, NULL, base) : otherwise;
}

/* "force mitigated", "force disabled", "always disabled", "not affected", "not vulnerable". */
static bool is_speculation_off(const char *status, const char *key)
{
    static const char *const off[] = { "force", "always disabled", "not ", "globally mitigated" };
    const char *value = find_line(status, key);
    char line[64];

    if (!value)
        return true; /* this kernel or architecture has no such switch */
    (void) snprintf(line, sizeof line, "%.*s", (int) strcspn(value, "\n"), value);
    for (size_t i = 0; i < ARRAY_LEN(off); i++)
        if (strstr(line, off[i]))
            return true;
    return false;
}

static uint32_t least(uint32_t have, uint64_t value)
{
    return value < have ? (uint32_t) value : have;
}

static uint32_t count_words(const char *line)
{
    uint32_t n = 0;

    while (*line && *line != '\n') {
        line += strspn(line, " \t");
        size_t word = strcspn(line, " \t\n");
        n += word > 0;
        line += word;
    }
    return n;
}

static int add_thread(int tasks_fd, const char *tid, struct jail_facts *facts)
{
    char path[64], status[STATUS_MAX_BYTES] = "";

    (void) snprintf(path, sizeof path, "%.20s/status", tid);
    int r = read_proc(tasks_fd, path, status, sizeof status);
    if (r < 0)
        return r;
    facts->n_threads++;
    facts->seccomp_mode = least(facts->seccomp_mode, find_number(status, "Seccomp:", 10, 0));
    facts->n_filters = least(facts->n_filters, find_number(status, "Seccomp_filters:", 10, 0));
    facts->no_new_privs = least(facts->no_new_privs, find_number(status, "NoNewPrivs:", 10, 0));
    facts->tracer |= (uint32_t) find_number(status, "TracerPid:", 10, 0);
    facts->cap_inheritable |= find_number(status, "CapInh:", 16, UINT64_MAX);
    facts->cap_permitted |= find_number(status, "CapPrm:", 16, UINT64_MAX);
    facts->cap_effective |= find_number(status, "CapEff:", 16, UINT64_MAX);
    facts->cap_bounding |= find_number(status, "CapBnd:", 16, UINT64_MAX);
    facts->cap_ambient |= find_number(status, "CapAmb:", 16, UINT64_MAX);
    facts->is_speculation_off &= is_speculation_off(status, "Speculation_Store_Bypass:") &&
                                 is_speculation_off(status, "SpeculationIndirectBranch:");
    facts->uid = (uint32_t) find_number(status, "Uid:", 10, 0);
    facts->gid = (uint32_t) find_number(status, "Gid:", 10, 0);
    const char *groups = find_line(status, "Groups:");
    facts->n_groups = groups ? count_words(groups) : 0;
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

static int collect_threads(int proc_fd, struct jail_facts *facts)
{
    _cleanup_dir_ DIR *dir = open_folder(proc_fd, "task");
    const struct dirent *entry;

    facts->seccomp_mode = facts->n_filters = facts->no_new_privs = UINT32_MAX;
    facts->is_speculation_off = true;
    if (!dir)
        return -errno;
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        int r = add_thread(dirfd(dir), entry->d_name, facts);
        if (r < 0)
            return r;
    }
    return facts->n_threads > 0 ? 0 : -ESRCH;
}

/* ---- namespaces and root */

static int collect_namespaces(int proc_fd, struct jail_facts *facts)
{
    for (size_t i = 0; i < LAYER_NAMESPACES; i++) {
        struct stat ours, theirs;
        char path[32];
        (void) snprintf(path, sizeof path, "ns/%s", facts_namespace_names[i]);
        if (fstatat(proc_fd, path, &theirs, 0) < 0)
            return -errno;
        (void) snprintf(path, sizeof path, "/proc/self/ns/%s", facts_namespace_names[i]);
        if (stat(path, &ours) < 0)
            return -errno;
        facts->namespaces[i] = theirs.st_ino;
        facts->our_namespaces[i] = ours.st_ino;
    }
    return 0;
}

/* A line of mountinfo is
 * "id parent major:minor root mountpoint options … - type source super-options". */
static int collect_mounts(int proc_fd, struct jail_facts *facts)
{
    static const char wanted[] = "ro,nosuid,nodev,noexec";
    char info[4096], mount_point[64] = "", options[128] = "";

    int r = read_proc(proc_fd, "mountinfo", info, sizeof info);
    if (r < 0)
        return r;
    for (const char *line = info; (line = strchr(line, '\n')); line++)
        facts->n_mounts++;
    facts->is_root_empty = sscanf(info, "%*d %*d %*s %*s %63s %127s", mount_point, options) == 2 &&
                           strcmp(mount_point, "/") == 0 &&
                           strncmp(options, wanted, strlen(wanted)) == 0 &&
                           strstr(info, " - tmpfs ") && facts->n_mounts == 1;
    return 0;
}

/* ---- limits: by the kernel's names, in no order that is promised */

static const char *const limit_names[FACTS_LIMITS] = {
    [RLIMIT_CPU] = "Max cpu time",
    [RLIMIT_FSIZE] = "Max file size",
    [RLIMIT_DATA] = "Max data size",
    [RLIMIT_STACK] = "Max stack size",
    [RLIMIT_CORE] = "Max core file size",
    [RLIMIT_RSS] = "Max resident set",
    [RLIMIT_NPROC] = "Max processes",
    [RLIMIT_NOFILE] = "Max open files",
    [RLIMIT_MEMLOCK] = "Max locked memory",
    [RLIMIT_AS] = "Max address space",
    [RLIMIT_LOCKS] = "Max file locks",
    [RLIMIT_SIGPENDING] = "Max pending signals",
    [RLIMIT_MSGQUEUE] = "Max msgqueue size",
    [RLIMIT_NICE] = "Max nice priority",
    [RLIMIT_RTPRIO] = "Max realtime priority",
    [RLIMIT_RTTIME] = "Max realtime timeout",
};

static uint64_t parse_limit(const char **text)
{
    const char *start = *text + strspn(*text, " ");
    size_t length = strcspn(start, " \n");

    *text = start + length;
    return strncmp(start, "unlimited", length) == 0 ? UINT64_MAX : strtoull(start, NULL, 10);
}

static int collect_limits(int proc_fd, struct jail_facts *facts)
{
    char text[4096];
    int r = read_proc(proc_fd, "limits", text, sizeof text);

    for (size_t i = 0; r == 0 && i < ARRAY_LEN(limit_names); i++) {
        const char *line = find_line(text, limit_names[i]);
        if (!line)
            return -EIO;
        facts->limits[i].soft = parse_limit(&line);
        facts->limits[i].hard = parse_limit(&line);
    }
    return r;
}

/* ---- descriptors */

static enum fact_fd_kind kind_of(const struct stat *st, const char *target)
{
    if (S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3))
        return FACT_FD_NULL;
    if (S_ISSOCK(st->st_mode))
        return FACT_FD_SOCKET;
    if (S_ISFIFO(st->st_mode))
        return FACT_FD_PIPE;
    if (strcmp(target, "anon_inode:[eventpoll]") == 0)
        return FACT_FD_EPOLL;
    if (strcmp(target, "anon_inode:[eventfd]") == 0)
        return FACT_FD_EVENTFD;
    return FACT_FD_OTHER;
}

static int collect_descriptors(int proc_fd, struct jail_facts *facts)
{
    _cleanup_dir_ DIR *dir = open_folder(proc_fd, "fd");
    const struct dirent *entry;

    if (!dir)
        return -errno;
    while ((entry = readdir(dir))) {
        char target[64] = "";
        struct stat st;
        if (entry->d_name[0] == '.')
            continue;
        if (fstatat(dirfd(dir), entry->d_name, &st, 0) < 0 ||
            readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1) < 0)
            return -errno;
        if (facts->n_fds < FACTS_FDS)
            facts->fds[facts->n_fds] = (struct fact_fd){
                .number = (int32_t) strtol(entry->d_name, NULL, 10),
                .kind = kind_of(&st, target),
                .inode = st.st_ino,
            };
        facts->n_fds++;
    }
    return 0;
}

/* ---- mappings */

/* A line is "start-end perms offset device inode path". The kernel's own code page ("[vdso]") is
 * mapped into every process; "[vsyscall]" only traps. */
static void add_mapping(const char *line, struct jail_facts *facts)
{
    char permissions[8] = "", inode[24] = "";
    int path_at = 0;

    if (sscanf(line, "%*s %7s %*s %*s %23s %n", permissions, inode, &path_at) < 2 ||
        !strchr(permissions, 'x'))
        return;
    const char *path = line + path_at;
    bool is_kernels = strncmp(path, "[vdso]", 6) == 0 || strncmp(path, "[vsyscall]", 10) == 0;
    facts->n_exec_anonymous += strcmp(inode, "0") == 0 && !is_kernels;
    facts->n_exec_writable += strchr(permissions, 'w') != NULL;
}

static int collect_maps(int proc_fd, struct jail_facts *facts)
{
    _cleanup_fd_ int fd = openat(proc_fd, "maps", O_RDONLY | O_CLOEXEC);
    _cleanup_free_ char *line = NULL;
    size_t size = 0;

    if (fd < 0)
        return -errno;
    _cleanup_file_ FILE *file = fdopen(fd, "r");
    if (!file)
        return -errno;
    (void) TAKE_FD(fd);
    while (getline(&line, &size, file) >= 0)
        add_mapping(line, facts);
    return ferror(file) ? -EIO : 0;
}

/* ---- all of it */

static int check_alive(int pidfd)
{
    struct pollfd ended = { .fd = pidfd, .events = POLLIN };

    if (poll(&ended, 1, 0) < 0)
        return -errno;
    return ended.revents ? -ESRCH : 0;
}

/* Opens /proc/PID, which stays with its process: once the pidfd says that the process lives, every
 * later read is of that process or fails. */
static int open_process(pid_t pid, int pidfd, int *ret_proc_fd)
{
    char path[32];

    (void) snprintf(path, sizeof path, "/proc/%d", (int) pid);
    _cleanup_fd_ int proc_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (proc_fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    int r = check_alive(pidfd);
    if (r == 0)
        *ret_proc_fd = TAKE_FD(proc_fd);
    return r;
}

int facts_collect(pid_t pid, int pidfd, bool with_maps, struct jail_facts *ret)
{
    struct jail_facts facts = { .taken_ns = io_now_ns() };
    _cleanup_fd_ int proc_fd = -1;

    int r = open_process(pid, pidfd, &proc_fd);
    if (r == 0)
        r = collect_threads(proc_fd, &facts);
    if (r == 0)
        r = collect_mounts(proc_fd, &facts);
    if (r == 0)
        r = collect_limits(proc_fd, &facts);
    if (r < 0)
        return r == -ENOENT ? -ESRCH : r;
    r = collect_namespaces(proc_fd, &facts);
    if (r == 0)
        r = collect_descriptors(proc_fd, &facts);
    if (r == 0 && with_maps)
        r = collect_maps(proc_fd, &facts);
    /* Without a user namespace of its own, a process that is not dumpable lets only
     * CAP_SYS_PTRACE look. */
    if (r == -ENOENT)
        return -ESRCH;
    if (r < 0 && r != -EACCES && r != -EPERM)
        return r;
    facts.may_look = r == 0;
    /* A process that is dying loses its threads and descriptors one by one. */
    _cleanup_fd_ int stat_fd = openat(proc_fd, "stat", O_RDONLY | O_CLOEXEC);
    if (process_state(stat_fd) == PROCESS_EXITING)
        return -ESRCH;
    r = check_alive(pidfd);
    if (r == 0)
        *ret = facts;
    return r;
}
