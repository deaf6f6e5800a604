/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

int io_read_file(int dir_fd, const char *path, size_t max_bytes, char **ret_data, size_t *ret_size)
{
    _cleanup_fd_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if (st.st_size < 0 || (uint64_t) st.st_size > max_bytes)
        return -EFBIG;

    size_t size = (size_t) st.st_size;
    _cleanup_free_ char *data = malloc(size + 1);
    if (!data)
        return -ENOMEM;
    size_t have = 0;
    while (have < size) {
        ssize_t n = read(fd, data + have, size - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        have += (size_t) n;
    }
    data[have] = '\0';
    *ret_data = TAKE_PTR(data);
    *ret_size = have;
    return 0;
}

int io_write_all(int fd, const void *data, size_t size)
{
    const char *p = data;

    while (size > 0) {
        ssize_t n = write(fd, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        p += n;
        size -= (size_t) n;
    }
    return 0;
}

int io_set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return 0;
}

uint64_t io_clock_ns(clockid_t clock)
{
    struct timespec t;

    if (clock_gettime(clock, &t) < 0)
        return 0;
    return (uint64_t) t.tv_sec * NSEC_PER_SEC + (uint64_t) t.tv_nsec;
}
