/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs that show a list which skepd gives page by page: as a table for people, as one JSON
 * document for scripts.
 */
#pragma once

#include "cli/client.h"
#include "cli/message.h"
#include "cli/output.h"

/* Room for the request of any such verb. */
union list_request {
    Skep__Admin__WorkersRequest workers;
    Skep__Admin__TenantsRequest tenants;
    Skep__Admin__IncidentsRequest incidents;
    Skep__Admin__SecretsRequest secrets;
    Skep__Admin__EgressRequest egress;
};

struct list_kind {
    const char *key;             /* key of the list in the JSON document */
    const char *const *headings; /* as of table_new */
    unsigned n_headings;
    Skep__Admin__Answer__MessageCase answer; /* a message as of message_page */
    const void *context;                     /* for ask */
    /* Fills the command for the next page, after n_rows rows in all. last: the last of these rows,
     * NULL if there is none. */
    void (*ask)(const void *context, uint32_t n_rows, const void *last, union list_request *request,
                Skep__Admin__Command *command);
    /* Changes the object of message_json for a row where people expect another. 0 or negative: out
     * of memory. */
    int (*finish_json)(const void *row, json_t *object);
    int (*add_row)(struct table *table, const void *row); /* 0 or negative: out of memory */
};

/* Connects, asks for all pages, and prints. Returns the exit status. */
int list_show(const struct cli *cli, const struct list_kind *kind);
/* Runs a verb that has neither options nor arguments of its own. */
int list_run(struct cli *cli, int argc, char **argv, const struct list_kind *kind);

/* Adds a cell to a table: text, "-" if it is empty. 0 or negative, as table_add. */
int list_add_text(struct table *table, ProtobufCBinaryData text);
