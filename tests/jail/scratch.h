/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of the probe at which system calls may be pointed: with the data that they need to do
 * harm. Asks name a place in it by SCRATCH(field); scratch_resolve puts the address in.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct scratch {
    uint8_t bytes[65536]; /* zeros at first; anything may be written here */
    char root[8];         /* "/" */
    char proc[8];         /* "proc" */
    char proc_mem[16];    /* "/proc/1/mem" */
    char new_file[8];     /* "/x" */
    char shell[16];       /* "/bin/sh" */
    char word[8];         /* "x" */
    char user[8];         /* "user": a type of key */
    uint64_t open_how[3];
    uint64_t clone_args[11]; /* CLONE_NEWUSER | CLONE_NEWPID */
    struct rlimit raised;
    uint32_t real_time[2]; /* struct sched_param */
    uint32_t cap_header[2];
    uint32_t cap_data[6]; /* all capabilities */
    uint64_t handle[4];   /* struct file_handle of 8 bytes */
    struct iovec iov;
    struct msghdr message; /* passes descriptor 0 */
    struct msghdr wish;    /* would receive one */
    uint64_t control[4], taken[4];
    uint64_t allow_all[2]; /* struct sock_fprog */
    uint64_t instruction;  /* the program's only instruction */
    uint8_t page[8192];    /* for mprotect; contains one whole page */
};

/* No address of user space looks like this. */
#define SCRATCH_TAG (INT64_C(0x5ca7) << 48)
#define SCRATCH(field) (SCRATCH_TAG | (int64_t) offsetof(struct scratch, field))

/* Makes and fills the memory, below 4 GiB where the architecture can; in the probe, before the
 * jail. */
bool scratch_init(void);

/* Returns the probe's scratch memory. */
struct scratch *scratch_get(void);

/* Replaces each SCRATCH(...) by its address. where: address of the memory in the probe. */
void scratch_resolve(int64_t args[static 6], int64_t where);
