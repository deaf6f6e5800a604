/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail's policy as data: which system calls a worker and the supervisor may make, which limits
 * a worker runs under, and why. The rows are in worker_syscalls.c, supervisor_syscalls.c and
 * worker_limits.c; policy.c turns them into a libseccomp filter and into setrlimit calls. Used by
 * the worker, the supervisor and tests.
 */
#pragma once

#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* The descriptors that a worker is born with, besides 0, 1 and 2. */
#define POLICY_CHANNEL_FD 3
#define POLICY_SCOREBOARD_FD 4 /* mapped, then closed before the jail */

enum policy_action {
    POLICY_ALLOW,
    POLICY_ERRNO, /* the call is not made; it fails with the row's error */
    POLICY_KILL,  /* the call is not made, and the kernel ends the process */
};

enum policy_when {
    POLICY_ALWAYS,
    POLICY_WITH_JIT,
    POLICY_WITHOUT_JIT,
};

/* Where the call exists. A row is skipped on the other architectures, knowingly. */
enum policy_arch {
    POLICY_ALL_ARCHES,
    POLICY_X86_64,
    POLICY_AARCH64,
};

enum policy_check {
    POLICY_NO_CHECK,      /* ends the list of checks */
    POLICY_INT_EQUAL,     /* the kernel reads an int: low 32 bits == value */
    POLICY_LONG_EQUAL,    /* all 64 bits == value */
    POLICY_LONG_DIFFERS,  /* all 64 bits != value: the complement of POLICY_LONG_EQUAL */
    POLICY_INT_MASKED,    /* (low 32 bits & mask) == value */
    POLICY_LONG_MASKED,   /* (arg & mask) == value */
    POLICY_IS_CHANNEL_FD, /* an int: struct policy_context.channel_fd */
    POLICY_IS_SELF,       /* an int: struct policy_context.self */
};

struct policy_arg {
    uint8_t index; /* 0 to 5 */
    enum policy_check check;
    uint64_t mask;
    uint64_t value;
};

#define POLICY_MAX_ARGS 3

/* One form in which a system call may be made (or fails softly). A call may have several rows;
 * what matches none of them is not made, and what then happens is up to the table. */
struct policy_syscall {
    const char *name; /* libseccomp's name */
    enum policy_action action;
    int error; /* with POLICY_ERRNO */
    enum policy_when when;
    enum policy_arch arch;
    struct policy_arg args[POLICY_MAX_ARGS];
    const char *reason;
};

/* The rows of one filter. */
struct policy_table {
    const struct policy_syscall *rows;
    size_t n_rows;
    uint32_t default_action; /* SCMP_ACT_…, for what fits no row */
};

struct policy_limit {
    const char *name;
    const char *reason;
    rlim_t value; /* soft and hard */
    __rlimit_resource_t resource;
    bool at_seal; /* false: when the jail is entered; true: just before the filter */
};

/* What the rows leave open until the process runs. The supervisor has only self. */
struct policy_context {
    bool jit;
    int channel_fd;
    pid_t self; /* in its own PID namespace */
};

extern const struct policy_syscall policy_worker_syscalls[];
extern const size_t policy_worker_n_syscalls;
/* A call that fits no row raises SIGSYS instead: the handler of worker/jail_trap.c ends the process. */
extern const struct policy_table policy_worker_table;
/* A call that fits no row fails with EPERM. */
extern const struct policy_table policy_supervisor_table;
extern const struct policy_limit policy_worker_limits[];
extern const size_t policy_worker_n_limits;

/* Builds a table's filter for the native architecture; foreign architectures kill the process.
 * *ret_filter is released with seccomp_release. 0 or -errno; on error *ret_failed names the row that
 * could not be added, or what failed before. */
int policy_build_filter(const struct policy_table *table, const struct policy_context *context,
                        scmp_filter_ctx *ret_filter, const char **ret_failed);

/* Applies the limits of one moment. 0 or -errno; *ret_failed names the row. */
int policy_apply_limits(bool at_seal, const char **ret_failed);
