/* SPDX-License-Identifier: Apache-2.0 */
#include "data/sql.h"

#include <errno.h>

int sql_open(const char *path, struct sql **ret_sql, char notice[static 512])
{
    (void) path, (void) ret_sql;
    notice[0] = '\0';
    return -ENOSYS;
}

struct sql *sql_close(struct sql *sql)
{
    (void) sql;
    return NULL;
}

int sql_run(struct sql *sql, struct data_operation *operation)
{
    (void) sql, (void) operation;
    return 0;
}

void sql_interrupt(struct sql *sql)
{
    (void) sql;
}
