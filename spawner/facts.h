/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts about a worker's jail that the kernel tells in /proc/PID. Nothing in them is a claim of the
 * worker. The spawner collects them (the supervisor's own Landlock domain keeps it from looking
 * into processes outside of it), attest.c judges them, `skep jail-report` shows them. A fixed size,
 * because the struct travels between the two as it is.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/layers.h"

#define FACTS_FDS 16
#define FACTS_LIMITS 16 /* RLIMIT_* of Linux */

enum fact_fd_kind {
    FACT_FD_NULL, /* /dev/null */
    FACT_FD_SOCKET,
    FACT_FD_EPOLL,
    FACT_FD_EVENTFD,
    FACT_FD_PIPE, /* both ends are the worker's own, by libevent */
    FACT_FD_OTHER,
    FACT_FD_KINDS,
};

struct fact_fd {
    int32_t number;
    uint32_t kind;
    uint64_t inode;
};

/* "unlimited" is UINT64_MAX. */
struct fact_limit {
    uint64_t soft, hard;
};

struct jail_facts {
    uint64_t taken_ns; /* CLOCK_MONOTONIC */
    /* The threads together: of each fact the weakest that any thread has. */
    uint32_t n_threads;
    uint32_t seccomp_mode;
    uint32_t n_filters; /* 0: this kernel does not say */
    uint32_t no_new_privs;
    uint32_t tracer; /* pid; 0: none */
    uint32_t is_speculation_off;
    uint64_t cap_inheritable, cap_permitted, cap_effective, cap_bounding, cap_ambient;
    uint32_t uid, gid, n_groups; /* as seen from here */
    /* Inode numbers; both 0 where they could not be read. */
    uint64_t namespaces[LAYER_NAMESPACES];
    uint64_t our_namespaces[LAYER_NAMESPACES];
    uint32_t n_mounts;
    uint32_t is_root_empty; /* read-only tmpfs, nosuid, nodev, noexec */
    struct fact_limit limits[FACTS_LIMITS];
    /* The rest needs leave to look into the process: may_look. */
    uint32_t may_look;
    uint32_t n_fds; /* may be more than fds has room for */
    struct fact_fd fds[FACTS_FDS];
    uint32_t n_exec_anonymous; /* executable mappings of no file */
    uint32_t n_exec_writable;
};

/* Names of the namespaces as in /proc/PID/ns ("user", "pid", …), by enum jail_layer. */
extern const char *const facts_namespace_names[LAYER_NAMESPACES];

/* Collects the facts. pidfd guards against a reused pid. with_maps: also looks at all mappings,
 * which takes longer the more there are. Spawner. 0, -ESRCH if the process is gone, or another
 * -errno of reading /proc. */
int facts_collect(pid_t pid, int pidfd, bool with_maps, struct jail_facts *ret);
