/* SPDX-License-Identifier: Apache-2.0 */
#include "data/sql_internal.h"

int sql_add_functions(sqlite3 *db)
{
    (void) db;
    return SQLITE_OK;
}
