/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/list.h"

static json_t *make_json(const struct list_kind *kind, const ProtobufCMessage *row)
{
    json_t *object = message_json(row);

    if (object && kind->finish_json(row, object) < 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static int collect(const struct cli *cli, struct client *client, const struct list_kind *kind,
                   json_t *list, struct table *table)
{
    struct message_page page = { 0 };
    uint32_t have = 0;

    do {
        union list_request request;
        Skep__Admin__Command command = SKEP__ADMIN__COMMAND__INIT;
        kind->ask(kind->context, have, page.n_rows > 0 ? page.rows[page.n_rows - 1] : NULL,
                  &request, &command);
        const Skep__Admin__Answer *answer = client_ask(cli, client, &command, kind->answer);
        if (!answer)
            return -1;
        page = message_page(&answer->stats->base); /* any member: all begin with their base */
        for (size_t i = 0; i < page.n_rows; i++) {
            int r = list ? json_array_append_new(list, make_json(kind, page.rows[i]))
                         : kind->add_row(table, page.rows[i]);
            if (r < 0)
                return r;
        }
        have += (uint32_t) page.n_rows;
    } while (page.n_rows > 0 && have < page.total);
    return 0;
}

int list_show(const struct cli *cli, const struct list_kind *kind)
{
    _cleanup_(client_cleanup) struct client *client = client_connect(cli);
    _cleanup_(table_cleanup) struct table *table = table_new(kind->headings, kind->n_headings);
    _cleanup_(json_cleanup) json_t *list = cli->json ? json_array() : NULL;

    if (!client || !table || collect(cli, client, kind, list, table) < 0)
        return CLI_FAILED;
    if (cli->json)
        return json_print(json_pack("{s:O}", kind->key, list)) < 0 ? CLI_FAILED : CLI_DONE;
    table_print(table, stdout);
    return CLI_DONE;
}

int list_run(struct cli *cli, int argc, char **argv, const struct list_kind *kind)
{
    enum cli_exit status = CLI_DONE;

    int first = cli_options(cli, NULL, argc, argv, &status);
    if (first < 0)
        return (int) status;
    return list_show(cli, kind);
}

int list_add_text(struct table *table, ProtobufCBinaryData text)
{
    return text.len > 0 ? table_add_text(table, text.data, text.len) : table_add(table, "-");
}
