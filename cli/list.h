/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A verb that shows a list which skepd gives page by page: as a table for people, as one JSON
 * document for scripts.
 */
#pragma once

#include "cli/client.h"
#include "cli/output.h"

struct list_page {
    const void *const *rows; /* messages of admin.proto; live until the next page is asked for */
    size_t n_rows;
    uint64_t total; /* of all pages */
};

struct list_kind {
    const char *key;             /* of the list in the JSON document */
    const char *const *headings; /* as of table_new */
    unsigned n_headings;
    /* Asks for the rows from skip on. 0, or -1 after it has said why not. */
    int (*ask)(const struct cli *cli, struct client *client, uint32_t skip,
               struct list_page *ret_page);
    json_t *(*make_json)(const void *row);                /* NULL: out of memory */
    int (*add_row)(struct table *table, const void *row); /* 0 or negative: out of memory */
};

/* The whole verb: options, connection, all pages, output. Returns the exit status. */
int list_run(struct cli *cli, int argc, char **argv, const struct list_kind *kind);
