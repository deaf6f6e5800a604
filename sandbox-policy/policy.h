/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail's policy as data: which system calls a worker may make, which limits it runs under, and
 * why; and the system calls of the supervisor and its helpers. The rows are in worker_startup.c, worker_syscalls.c,
 * worker_limits.c, supervisor_syscalls.c, store_syscalls.c, egress_syscalls.c and data_syscalls.c; policy.c makes
 * libseccomp filters and setrlimit calls of them. Used by the worker, the supervisor, helpers and
 * tests.
 */
#pragma once

#include <linux/securebits.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* The descriptors that a worker is born with, besides 0, 1 and 2. */
#define POLICY_CHANNEL_FD 3
#define POLICY_SCOREBOARD_FD 4 /* mapped, then closed before the jail */

/* No capabilities by uid 0, none kept, none ambient, for good: what cap_set_mode(CAP_MODE_NOPRIV) sets. */
#define POLICY_SECUREBITS                                                        \
    ((unsigned) (SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | \
                 SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |       \
                 SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED))

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

/* One form in which a system call may be made (or fails softly). A call may have several rows; a
 * call that matches none of them is not made, and the table says what happens then. */
struct policy_syscall {
    const char *name; /* libseccomp's name */
    enum policy_action action;
    int error; /* with POLICY_ERRNO */
    enum policy_when when;
    enum policy_arch arch;
    struct policy_arg args[POLICY_MAX_ARGS];
    const char *reason;
};

struct policy_limit {
    const char *name;
    const char *reason;
    rlim_t value; /* soft and hard */
    __rlimit_resource_t resource;
    bool at_seal; /* false: when the jail is entered; true: just before the filter */
};

/* One filter. */
struct policy_table {
    const char *name;
    uint32_t default_action; /* SCMP_ACT_…, for a call that fits no row */
    const struct policy_syscall *rows;
    size_t n_rows;
    /* The filter that is loaded later and stacked on this one. Every call that it names is allowed
     * here with any arguments: the later filter decides. NULL: none. */
    const struct policy_table *later;
};

/* The values that rows need and that are known only when the process runs. The supervisor has only
 * self. */
struct policy_context {
    bool jit;
    int channel_fd;
    pid_t self;            /* in its own PID namespace */
    enum policy_arch arch; /* POLICY_ALL_ARCHES: the architecture of this program */
};

/* The filters of a worker: the first from main() on, the second from the seal on, stacked on the
 * first. A call that fits no row raises SIGSYS: the handler of worker/jail_trap.c ends the
 * process. */
extern const struct policy_table policy_worker_startup;
extern const struct policy_table policy_worker_running;
/* The filters of the supervisor, the store, egress and data. A call that fits no row fails with EPERM. */
extern const struct policy_table policy_supervisor_table;
extern const struct policy_table policy_store_table;
extern const struct policy_table policy_egress_table;
extern const struct policy_table policy_data_table;
extern const struct policy_limit policy_worker_limits[];
extern const size_t policy_worker_n_limits;

/* Returns whether the row counts on the context's architecture and with its jit. */
bool policy_row_applies(const struct policy_syscall *row, const struct policy_context *context);

/* Returns the check, which is not POLICY_NO_CHECK, in libseccomp's form: SCMP_CMP_EQ, SCMP_CMP_NE
 * or SCMP_CMP_MASKED_EQ. */
struct scmp_arg_cmp policy_arg_compare(const struct policy_arg *arg,
                                       const struct policy_context *context);

/* Returns libseccomp's token of the context's architecture. */
uint32_t policy_arch_token(enum policy_arch arch);

/* Returns whether a call with these arguments fits the row, which applies; by the row alone,
 * without the kernel. */
bool policy_row_fits(const struct policy_syscall *row, const struct policy_context *context,
                     const uint64_t args[static 6]);

/* Writes the row's checks for people: "arg0 = 3, arg2 without bits of 0xfffffffc"; "" if it has
 * none. The text is cut at size. Returns text. */
const char *policy_row_describe(const struct policy_syscall *row,
                                const struct policy_context *context, char *text, size_t size);

/* Builds the filter for the context's architecture; foreign architectures kill the process.
 * *ret_filter is released with seccomp_release. 0 or -errno; on error *ret_failed names the row
 * that could not be added, or the step that failed before. */
int policy_build_filter(const struct policy_table *table, const struct policy_context *context,
                        scmp_filter_ctx *ret_filter, const char **ret_failed);

/* Applies the limits of one moment. 0 or -errno; *ret_failed names the row. */
int policy_apply_limits(bool at_seal, const char **ret_failed);
