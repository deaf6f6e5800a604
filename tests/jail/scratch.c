/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills the probe's scratch memory: see scratch.h.
 */
#include "tests/jail/scratch.h"

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MAP_32BIT
#define MAP_32BIT 0
#endif

static struct scratch *scratch;

struct scratch *scratch_get(void)
{
    return scratch;
}

static void fill_messages(void)
{
    struct cmsghdr *header = (struct cmsghdr *) scratch->control;
    const int fd = 0;

    scratch->iov = (struct iovec){ .iov_base = scratch->word, .iov_len = 1 };
    header->cmsg_len = CMSG_LEN(sizeof fd);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    scratch->message = (struct msghdr){
        .msg_iov = &scratch->iov,
        .msg_iovlen = 1,
        .msg_control = scratch->control,
        .msg_controllen = CMSG_SPACE(sizeof fd),
    };
    scratch->wish = (struct msghdr){
        .msg_iov = &scratch->iov,
        .msg_iovlen = 1,
        .msg_control = scratch->taken,
        .msg_controllen = sizeof scratch->taken,
    };
}

static void fill_filter(void)
{
    const struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sock_fprog program = {
        .len = 1,
        .filter = (struct sock_filter *) &scratch->instruction,
    };

    memcpy(&scratch->instruction, &allow, sizeof allow);
    memcpy(scratch->allow_all, &program, sizeof program);
}

bool scratch_init(void)
{
    void *p = mmap(NULL, sizeof *scratch, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

    if (p == MAP_FAILED)
        return false;
    scratch = p;
    (void) snprintf(scratch->root, sizeof scratch->root, "/");
    (void) snprintf(scratch->proc, sizeof scratch->proc, "proc");
    (void) snprintf(scratch->proc_mem, sizeof scratch->proc_mem, "/proc/1/mem");
    (void) snprintf(scratch->new_file, sizeof scratch->new_file, "/x");
    (void) snprintf(scratch->shell, sizeof scratch->shell, "/bin/sh");
    (void) snprintf(scratch->word, sizeof scratch->word, "x");
    (void) snprintf(scratch->user, sizeof scratch->user, "user");
    scratch->clone_args[0] = CLONE_NEWUSER | CLONE_NEWPID;
    scratch->clone_args[4] = SIGCHLD;
    scratch->raised = (struct rlimit){ .rlim_cur = 1 << 20, .rlim_max = 1 << 20 };
    scratch->real_time[0] = 1;
    scratch->cap_header[0] = _LINUX_CAPABILITY_VERSION_3;
    memset(scratch->cap_data, 0xff, sizeof scratch->cap_data);
    scratch->handle[0] = 8; /* bytes; type 0 */
    fill_messages();
    fill_filter();
    return true;
}

void scratch_resolve(int64_t args[static 6], int64_t where)
{
    for (size_t i = 0; i < 6; i++)
        if ((args[i] & (INT64_C(0xffff) << 48)) == SCRATCH_TAG)
            args[i] = where + (args[i] & ~SCRATCH_TAG);
}
