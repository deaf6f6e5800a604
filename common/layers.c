/* SPDX-License-Identifier: Apache-2.0 */
#include "common/layers.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"

#define ALLOW_USER_NAMESPACES                                                            \
    "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1, "                 \
    "kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces above 0; " \
    "RestrictNamespaces=no; no seccomp filter of a container around skepd"
#define ALLOW_NAMESPACES \
    "look at the sysctls user.max_*_namespaces and, under systemd, at RestrictNamespaces="

/* clang-format off */
const struct layer_info layer_table[LAYERS] = {
    [LAYER_USER] = { "user", "user namespace, in which it is root of nothing", ALLOW_USER_NAMESPACES,
                     .clone_flag = CLONE_NEWUSER, .may_be_missing = true },
    [LAYER_PID] = { "pid", "PID namespace: it sees no other process", ALLOW_NAMESPACES,
                    .clone_flag = CLONE_NEWPID, .may_be_missing = true },
    [LAYER_NET] = { "net", "network namespace without any interface that is up", ALLOW_NAMESPACES,
                    .clone_flag = CLONE_NEWNET, .may_be_missing = true },
    [LAYER_MOUNT] = { "mount", "mount namespace whose root is an empty read-only tmpfs",
                      ALLOW_USER_NAMESPACES, .clone_flag = CLONE_NEWNS, .may_be_missing = true },
    [LAYER_IPC] = { "ipc", "IPC namespace: no shared memory or queues of others", ALLOW_NAMESPACES,
                    .clone_flag = CLONE_NEWIPC, .may_be_missing = true },
    [LAYER_UTS] = { "uts", "UTS namespace: a host name of its own", ALLOW_NAMESPACES,
                    .clone_flag = CLONE_NEWUTS, .may_be_missing = true },
    [LAYER_CGROUP] = { "cgroup", "cgroup namespace: it sees no other cgroup", ALLOW_NAMESPACES,
                       .clone_flag = CLONE_NEWCGROUP, .may_be_missing = true },
    [LAYER_RLIMITS] = { "rlimits", "resource limits", NULL },
    [LAYER_BOUNDING] = { "bounding", "empty capability bounding set, locked securebits",
                         "give skepd CAP_SETPCAP, or " ALLOW_USER_NAMESPACES, .may_be_missing = true },
    [LAYER_CAPABILITIES] = { "capabilities", "no capabilities", NULL },
    [LAYER_NO_NEW_PRIVS] = { "no_new_privs", "no exec gives privileges", NULL },
    [LAYER_DUMPABLE] = { "dumpable", "not dumpable: no core file, no ptrace", NULL },
    [LAYER_SPECULATION] = { "speculation", "store bypass and indirect branch speculation off",
                            "boot the host without mitigations=off, with current microcode",
                            .may_be_missing = true, .is_no_wall = true },
    [LAYER_LANDLOCK] = { "landlock", "Landlock domain without a single rule",
                         "use a kernel with Landlock, and have landlock in the boot parameter lsm=",
                         .may_be_missing = true },
    [LAYER_SECCOMP] = { "seccomp", "two filters of system calls", NULL },
};
/* clang-format on */

layer_set layers_that_are_walls(void)
{
    layer_set set = 0;

    for (unsigned i = 0; i < LAYERS; i++)
        if (!layer_table[i].is_no_wall)
            set |= LAYER_BIT(i);
    return set;
}

int layer_parse(const char *name, enum jail_layer *ret_layer)
{
    for (unsigned i = 0; i < LAYERS; i++)
        if (strcmp(layer_table[i].name, name) == 0) {
            *ret_layer = (enum jail_layer) i;
            return 0;
        }
    return -EINVAL;
}

const char *layers_names(layer_set layers, char *text, size_t size)
{
    size_t have = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < LAYERS && have + 1 < size; i++) {
        if (!(layers & LAYER_BIT(i)))
            continue;
        int n =
            snprintf(text + have, size - have, "%s%s", have > 0 ? ", " : "", layer_table[i].name);
        have += n > 0 ? (size_t) n : 0;
    }
    return text;
}
