/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A filter as the kernel gets it, and its verdict on a call, found without the kernel. So the
 * filters of other architectures can be tested here, too. For tests only.
 */
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>

struct bpf_program {
    struct sock_filter *code; /* owned */
    size_t n;
};

/* Returns the program that libseccomp would load. 0 or -errno; it is released with bpf_done. */
int bpf_export(scmp_filter_ctx filter, struct bpf_program *ret_program);

void bpf_done(struct bpf_program *program);

/* Runs the program for one call. Returns 0 and the SECCOMP_RET_ value; -EINVAL if the program has
 * an instruction that libseccomp does not use, reads or jumps out of bounds, or does not return. */
int bpf_run(const struct bpf_program *program, const struct seccomp_data *data,
            uint32_t *ret_verdict);
