/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of classic BPF that libseccomp writes: loads from the call, comparisons, one mask, and
 * returns. Jumps only lead forward, so each program ends.
 * https://www.kernel.org/doc/html/latest/networking/filter.html
 */
#include "tests/unit/sandbox-policy/bpf.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

int bpf_export(scmp_filter_ctx filter, struct bpf_program *ret_program)
{
    _cleanup_fd_ int fd = memfd_create("bpf", MFD_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return -errno;
    int r = seccomp_export_bpf(filter, fd);
    if (r < 0)
        return r;
    if (fstat(fd, &st) < 0)
        return -errno;
    size_t size = (size_t) st.st_size;
    if (size == 0 || size % sizeof(struct sock_filter) != 0)
        return -EINVAL;
    struct bpf_program program = { .code = malloc(size), .n = size / sizeof(struct sock_filter) };
    if (!program.code)
        return -ENOMEM;
    if (pread(fd, program.code, size, 0) != st.st_size) {
        bpf_done(&program);
        return -EIO;
    }
    *ret_program = program;
    return 0;
}

void bpf_done(struct bpf_program *program)
{
    free(program->code);
    *program = (struct bpf_program){ 0 };
}

static bool load(const struct seccomp_data *data, uint32_t offset, uint32_t *ret_value)
{
    if (offset % sizeof *ret_value != 0 || offset >= sizeof *data)
        return false;
    memcpy(ret_value, (const char *) data + offset, sizeof *ret_value);
    return true;
}

/* Returns the distance of the conditional jump. */
static uint32_t jump(const struct sock_filter *at, bool is_taken)
{
    return is_taken ? at->jt : at->jf;
}

int bpf_run(const struct bpf_program *program, const struct seccomp_data *data,
            uint32_t *ret_verdict)
{
    uint32_t a = 0;

    for (size_t i = 0; i < program->n; i++) {
        const struct sock_filter *at = &program->code[i];
        switch (at->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            if (!load(data, at->k, &a))
                return -EINVAL;
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= at->k;
            break;
        case BPF_JMP | BPF_JA:
            i += at->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            i += jump(at, a == at->k);
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            i += jump(at, a > at->k);
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            i += jump(at, a >= at->k);
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            i += jump(at, (a & at->k) != 0);
            break;
        case BPF_RET | BPF_K:
            *ret_verdict = at->k;
            return 0;
        default:
            return -EINVAL;
        }
    }
    return -EINVAL;
}
