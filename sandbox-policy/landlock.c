/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rights of each Landlock ABI, and its three system calls. Runs in any process that confines
 * itself, single-threaded. No state.
 */
#include "sandbox-policy/landlock.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

/* Rights by number: Debian 12 has headers of ABI 1 only. The meaning of each bit is in the kernel's
 * include/uapi/linux/landlock.h. */
struct ruleset_attr {
    uint64_t handled_access_fs;
    uint64_t handled_access_net; /* ABI 4 */
    uint64_t scoped;             /* ABI 6 */
};

#define CREATE_RULESET_VERSION 1U
#define NET_BIND_TCP UINT64_C(0x1)
#define NET_CONNECT_TCP UINT64_C(0x2)
#define SCOPE_ABSTRACT_UNIX_SOCKET UINT64_C(0x1)
#define SCOPE_SIGNAL UINT64_C(0x2)

struct landlock_abi {
    struct ruleset_attr attr;
    size_t size;
};

#define FS_RIGHTS(n) ((UINT64_C(1) << (n)) - 1)
#define NET_RIGHTS (NET_BIND_TCP | NET_CONNECT_TCP)
#define SCOPES (SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL)

/* Index: ABI, with the rights and members that it added. The last one stands for all later ones
 * too. */
/* clang-format off */
static const struct landlock_abi abis[] = {
    [1] = { { FS_RIGHTS(13), 0, 0 }, 8 },         /* 13 rights on files and folders */
    [2] = { { FS_RIGHTS(14), 0, 0 }, 8 },         /* REFER */
    [3] = { { FS_RIGHTS(15), 0, 0 }, 8 },         /* TRUNCATE */
    [4] = { { FS_RIGHTS(15), NET_RIGHTS, 0 }, 16 },      /* BIND_TCP, CONNECT_TCP */
    [5] = { { FS_RIGHTS(16), NET_RIGHTS, 0 }, 16 },      /* IOCTL_DEV */
    [6] = { { FS_RIGHTS(16), NET_RIGHTS, SCOPES }, 24 },
};
/* clang-format on */

static int fail(const char *step, const char **ret_step)
{
    *ret_step = step;
    return -errno;
}

static int find_abi(struct landlock_abi *ret_abi, const char **ret_step)
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
    *ret_abi = abis[abi];
    return 0;
}

int landlock_new(unsigned leave, int *ret_ruleset_fd, const char **ret_step)
{
    struct landlock_abi abi = { 0 };

    int r = find_abi(&abi, ret_step);
    if (r < 0)
        return r;
    if ((leave & LANDLOCK_LEAVE_SIGNALS) != 0)
        abi.attr.scoped &= ~SCOPE_SIGNAL;
    if ((leave & LANDLOCK_LEAVE_CONNECT) != 0)
        abi.attr.handled_access_net &= ~NET_CONNECT_TCP;
    int fd = (int) syscall(SYS_landlock_create_ruleset, &abi.attr, abi.size, 0);
    if (fd < 0)
        return fail("Landlock: create a ruleset", ret_step);
    *ret_ruleset_fd = fd;
    return 0;
}

int landlock_allow(int ruleset_fd, int folder_fd, uint64_t access, const char **ret_step)
{
    struct landlock_abi abi = { 0 };

    int r = find_abi(&abi, ret_step);
    if (r < 0)
        return r;
    const struct landlock_path_beneath_attr rule = {
        .allowed_access = access & abi.attr.handled_access_fs,
        .parent_fd = folder_fd,
    };
    if (syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        return fail("Landlock: add a rule", ret_step);
    return 0;
}

int landlock_restrict(int ruleset_fd, const char **ret_step)
{
    if (syscall(SYS_landlock_restrict_self, ruleset_fd, 0) < 0)
        return fail("Landlock: restrict", ret_step);
    return 0;
}
