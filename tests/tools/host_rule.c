/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints how the HTTP front writes each authority that it reads from standard input, one a line; an empty line
 * for one that it refuses. tests/js/host_rule.test.mjs compares that with the URL parser of the tenants.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "supervisor/http/internal.h"

int main(void)
{
    _cleanup_free_ struct http_front *front = calloc(1, sizeof *front);
    _cleanup_free_ char *line = NULL;
    size_t capacity = 0;
    ssize_t size;

    if (!front)
        return EXIT_FAILURE;
    while ((size = getline(&line, &capacity, stdin)) > 0) {
        struct http_text authority = { line, (size_t) size - 1 };
        struct http_request request = { 0 };

        if (http_parse_authority(front, authority, &request) == 0)
            printf("%.*s", (int) request.authority.size, request.authority.data);
        putchar('\n');
    }
    return EXIT_SUCCESS;
}
