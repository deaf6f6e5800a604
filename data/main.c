/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skep-data, the process that keeps what the tenants of one cordon store: key-value and SQL, in SQLite's files. Nothing of a tenant runs
 * in it but SQL. A helper (helper/helper.h), as a program:
 *
 *     skep-data --cordon=NAME
 */
#include <string.h>

#include "data/internal.h"
#include "helper/helper.h"

int main(int argc, char **argv)
{
    static struct data data;
    struct helper_program program;

    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], DATA_OPTION_CORDON, strlen(DATA_OPTION_CORDON)) == 0)
            data.cordon = argv[i] + strlen(DATA_OPTION_CORDON);
    data_program_init(&data, &program);
    return helper_main(argc, argv, &program);
}
