/* SPDX-License-Identifier: Apache-2.0 */
/*
 * in_container COMMAND [ARGUMENT…]: runs a command as container managers do by default: with the seccomp
 * rules of Docker's default profile that matter to a jail (no namespaces, no mounts), and, as root, with
 * its default capabilities. https://docs.docker.com/engine/security/seccomp/
 */
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/cleanup.h"

#define NEW_NAMESPACES                                                                         \
    (CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | \
     CLONE_NEWCGROUP)

static const cap_value_t kept[] = {
    CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FSETID,  CAP_FOWNER,           CAP_MKNOD, CAP_SETGID,
    CAP_SETUID, CAP_SETFCAP,      CAP_SETPCAP, CAP_NET_BIND_SERVICE, CAP_KILL,  CAP_SYS_CHROOT,
};

static const char *const refused[] = {
    "unshare", "setns",      "mount",       "umount2",     "pivot_root",      "bpf",
    "keyctl",  "add_key",    "request_key", "userfaultfd", "perf_event_open", "open_by_handle_at",
    "fsopen",  "move_mount", "open_tree",
};

static int drop_capabilities(void)
{
    cap_t caps = cap_init();
    int r = caps && cap_set_flag(caps, CAP_PERMITTED, ARRAY_LEN(kept), kept, CAP_SET) == 0 &&
                    cap_set_flag(caps, CAP_EFFECTIVE, ARRAY_LEN(kept), kept, CAP_SET) == 0
                ? 0
                : -errno;

    for (cap_value_t i = 0; r == 0 && i < cap_max_bits(); i++) {
        cap_flag_value_t value = CAP_CLEAR;
        (void) cap_get_flag(caps, i, CAP_PERMITTED, &value);
        if (value == CAP_CLEAR && cap_drop_bound(i) < 0)
            r = -errno;
    }
    if (r == 0 && cap_set_proc(caps) < 0)
        r = -errno;
    (void) cap_free(caps);
    return r;
}

static int load_filter(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int r = filter ? 0 : -ENOMEM;

    for (int i = 0; r == 0 && i < 32; i++) /* any one of the flags */
        if (NEW_NAMESPACES & (1U << i))
            r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                                 SCMP_A0(SCMP_CMP_MASKED_EQ, 1U << i, 1U << i));
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(refused); i++)
        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM),
                             seccomp_syscall_resolve_name(refused[i]), 0);
    if (r == 0)
        r = seccomp_load(filter);
    seccomp_release(filter);
    return r;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void) fprintf(stderr, "usage: in_container COMMAND [ARGUMENT…]\n");
        return 2;
    }
    int r = geteuid() == 0 ? drop_capabilities() : 0;
    if (r == 0)
        r = load_filter();
    if (r < 0) {
        (void) fprintf(stderr, "in_container: %s\n", strerror(-r));
        return 1;
    }
    (void) execvp(argv[1], argv + 1);
    (void) fprintf(stderr, "in_container: %s: %s\n", argv[1], strerror(errno));
    return 127;
}
