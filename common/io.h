/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small wrappers over files and clocks that both processes need. No state.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Reads a whole regular file of at most max_bytes. *ret_data is malloc'ed, owned by the
 * caller, and followed by a NUL that *ret_size does not count. Errors: -errno of open or
 * read, -EFBIG over max_bytes, -EISDIR, -EINVAL for another kind of file (a FIFO is not waited for), -ENOMEM. dir_fd may be AT_FDCWD. */
int io_read_file(int dir_fd, const char *path, size_t max_bytes, char **ret_data, size_t *ret_size);

/* Writes all of data to a blocking fd. 0 or -errno. */
int io_write_all(int fd, const void *data, size_t size);

/* Sets O_NONBLOCK. 0 or -errno. */
int io_set_nonblocking(int fd);

/* Returns the nanoseconds of a clock, 0 if the clock cannot be read (a process that is gone). */
uint64_t io_clock_ns(clockid_t clock);

/* CLOCK_MONOTONIC in nanoseconds. */
static inline uint64_t io_now_ns(void)
{
    return io_clock_ns(CLOCK_MONOTONIC);
}

#define NSEC_PER_USEC UINT64_C(1000)
#define NSEC_PER_MSEC UINT64_C(1000000)
#define NSEC_PER_SEC UINT64_C(1000000000)
#define USEC_PER_MSEC UINT64_C(1000)
