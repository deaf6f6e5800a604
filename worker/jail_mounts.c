/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes the file system away: an empty root in the worker's own mount namespace, and a
 * Landlock domain without a single rule, in case a descriptor or mount was missed. Runs in
 * the worker, single-threaded, as root of its own user namespace.
 */
#include "worker/jail_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

static int fail(const char *step, const char **ret_step)
{
    *ret_step = step;
    return -errno;
}

int jail_empty_root(const char **ret_step)
{
    /* Only a mount point is needed, and /proc is one place that every root has. */
    static const char target[] = "/proc";
    const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;

    /* Without this the mounts below would fail or, on a shared root, reach the host. */
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return fail("mount: private propagation", ret_step);
    if (mount("skep", target, "tmpfs", flags, "size=4k,nr_inodes=1,mode=0555") < 0)
        return fail("mount: empty tmpfs", ret_step);
    if (chdir(target) < 0)
        return fail("chdir to the empty tmpfs", ret_step);
    /* pivot_root(".", "."): the old root ends up on top of the new one, see pivot_root(2). */
    if (syscall(SYS_pivot_root, ".", ".") < 0)
        return fail("pivot_root", ret_step);
    if (umount2(".", MNT_DETACH) < 0)
        return fail("umount of the old root", ret_step);
    if (chdir("/") < 0)
        return fail("chdir to the new root", ret_step);
    return 0;
}

/* Landlock's system calls and rights, by number: Debian 12 has headers of ABI 1 only. The meaning
 * of each bit is in the kernel's include/uapi/linux/landlock.h. */
struct ruleset_attr {
    uint64_t handled_access_fs;
    uint64_t handled_access_net; /* ABI 4 */
    uint64_t scoped;             /* ABI 6 */
};

#define CREATE_RULESET_VERSION 1U

struct landlock_abi {
    struct ruleset_attr attr;
    size_t size;
};

#define FS_RIGHTS(n) ((UINT64_C(1) << (n)) - 1)

/* Index: ABI, each with what it added. The last one stands for all later ones too. */
/* clang-format off */
static const struct landlock_abi abis[] = {
    [1] = { { FS_RIGHTS(13), 0, 0 }, 8 },      /* 13 rights on files and folders */
    [2] = { { FS_RIGHTS(14), 0, 0 }, 8 },      /* REFER */
    [3] = { { FS_RIGHTS(15), 0, 0 }, 8 },      /* TRUNCATE */
    [4] = { { FS_RIGHTS(15), 0x3, 0 }, 16 },   /* BIND_TCP, CONNECT_TCP */
    [5] = { { FS_RIGHTS(16), 0x3, 0 }, 16 },   /* IOCTL_DEV */
    [6] = { { FS_RIGHTS(16), 0x3, 0x3 }, 24 }, /* scopes: ABSTRACT_UNIX_SOCKET, SIGNAL */
};
/* clang-format on */

int jail_landlock(const char **ret_step)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

    if (abi < 0 && (errno == ENOSYS || errno == EOPNOTSUPP)) {
        *ret_step = "Landlock: not in this kernel, or turned off at boot";
        return -EOPNOTSUPP;
    }
    if (abi < 1)
        return fail("Landlock: version", ret_step);
    if ((size_t) abi >= ARRAY_LEN(abis))
        abi = ARRAY_LEN(abis) - 1;

    const struct landlock_abi *known = &abis[abi];
    _cleanup_fd_ int ruleset =
        (int) syscall(SYS_landlock_create_ruleset, &known->attr, known->size, 0);
    if (ruleset < 0)
        return fail("Landlock: create a ruleset", ret_step);
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        return fail("Landlock: restrict", ret_step);
    /* Nothing outside shows the domain of a process, so look from inside. */
    _cleanup_fd_ int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root >= 0 || errno != EACCES) {
        *ret_step = "Landlock: the root can still be read";
        return -EPERM;
    }
    return 0;
}
