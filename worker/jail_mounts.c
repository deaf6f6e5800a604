/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The removal of the file system: an empty root in the worker's own mount namespace, and a Landlock
 * domain without a single rule, in case a descriptor or mount was missed. Runs in the worker,
 * single-threaded, as root of its own user namespace.
 */
#include "worker/jail_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "sandbox-policy/landlock.h"

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

int jail_landlock(const char **ret_step)
{
    _cleanup_fd_ int ruleset = -1;
    int r = landlock_new(LANDLOCK_LEAVE_NOTHING, &ruleset, ret_step);

    if (r == 0)
        r = landlock_restrict(ruleset, ret_step);
    if (r < 0)
        return r;
    /* Nothing outside shows the domain of a process, so look from inside. */
    _cleanup_fd_ int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root >= 0 || errno != EACCES) {
        *ret_step = "Landlock: the root can still be read";
        return -EPERM;
    }
    return 0;
}
