/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are read whole: a regular one, and those that are none, of which some would be waited for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"

static char folder[] = "/tmp/skep-test-io-XXXXXX";
static int folder_fd = -1;

static int make_folder(void **state)
{
    (void) state;
    if (!mkdtemp(folder))
        return -1;
    folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = openat(folder_fd, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    bool is_written = fd >= 0 && io_write_all(fd, "text", 4) == 0 && close(fd) == 0;
    return is_written && mkfifoat(folder_fd, "fifo", 0600) == 0 &&
                   symlinkat("fifo", folder_fd, "link") == 0 && mkdirat(folder_fd, "sub", 0700) == 0
               ? 0
               : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = { "file", "fifo", "link" };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        (void) unlinkat(folder_fd, names[i], 0);
    (void) unlinkat(folder_fd, "sub", AT_REMOVEDIR);
    (void) close(folder_fd);
    return rmdir(folder);
}

static int read_it(const char *name, size_t max_bytes)
{
    _cleanup_free_ char *data = NULL;
    size_t size;

    return io_read_file(folder_fd, name, max_bytes, &data, &size);
}

static void test_regular_file_is_read_up_to_its_bound(void **state)
{
    _cleanup_free_ char *data = NULL;
    size_t size;

    (void) state;
    assert_int_equal(io_read_file(folder_fd, "file", 4, &data, &size), 0);
    assert_int_equal(size, 4);
    assert_string_equal(data, "text");
    assert_int_equal(read_it("file", 3), -EFBIG);
    assert_int_equal(read_it("none", 3), -ENOENT);
}

static void test_no_other_kind_of_file_is_waited_for(void **state)
{
    (void) state;
    (void) alarm(60); /* a read of a FIFO without a writer never ends */
    assert_int_equal(read_it("fifo", 10), -EINVAL);
    assert_int_equal(read_it("link", 10), -EINVAL);
    assert_int_equal(read_it("sub", 10), -EISDIR);
    assert_int_equal(read_it("/dev/zero", 10), -EINVAL);
    (void) alarm(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_regular_file_is_read_up_to_its_bound),
        cmocka_unit_test(test_no_other_kind_of_file_is_waited_for),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
