/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/list.h"

static int collect(const struct cli *cli, struct client *client, const struct list_kind *kind,
                   json_t *list, struct table *table)
{
    struct list_page page = { 0 };
    uint32_t have = 0;

    do {
        if (kind->ask(cli, client, have, &page) < 0)
            return -1;
        for (size_t i = 0; i < page.n_rows; i++) {
            int r = list ? json_array_append_new(list, kind->make_json(page.rows[i]))
                         : kind->add_row(table, page.rows[i]);
            if (r < 0)
                return r;
        }
        have += (uint32_t) page.n_rows;
    } while (page.n_rows > 0 && have < page.total);
    return 0;
}

int list_run(struct cli *cli, int argc, char **argv, const struct list_kind *kind)
{
    enum cli_exit status = CLI_DONE;

    int first = cli_options(cli, NULL, argc, argv, &status);
    if (first < 0)
        return (int) status;
    if (first < argc)
        return (int) cli_usage_error(cli, "unexpected argument \"%s\"", argv[first]);
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
