/* SPDX-License-Identifier: Apache-2.0 */
#include "data/database_disk.h"

#include <assert.h>
#include <errno.h>
#include <sqlite3.h>
#include <sys/types.h>
#include <unistd.h>

static _Thread_local bool is_full;

static ssize_t write_at(int fd, const void *bytes, size_t size, off_t at)
{
    const ssize_t n = pwrite(fd, bytes, size, at);

    is_full |= n < 0 && (errno == ENOSPC || errno == EDQUOT);
    return n;
}

/* SQLite has one of the names, by how it was built: https://www.sqlite.org/c3ref/vfs.html, "xSetSystemCall". */
int database_disk_start(void)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    const sqlite3_syscall_ptr call = (sqlite3_syscall_ptr) (void (*)(void)) write_at;
    const char *name = vfs && vfs->xGetSystemCall(vfs, "pwrite64") ? "pwrite64" : "pwrite";

    static_assert(sizeof(off_t) == 8, "pwrite is pwrite64");
    return vfs ? vfs->xSetSystemCall(vfs, name, call) : SQLITE_ERROR;
}

void database_disk_begin(void)
{
    is_full = false;
}

bool database_disk_is_full(void)
{
    return is_full;
}
