/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tenants' log lines on the admin socket: kept ones, and new ones. Supervisor, loop
 * thread.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "supervisor/admin/report.h"
#include "supervisor/record/log_store.h"

#define TAIL_ARENA_BYTES (1U << 20)

static const char *const level_names[] = {
    [TENANT_DEBUG] = "debug",
    [TENANT_INFO] = "info",
    [TENANT_WARN] = "warn",
    [TENANT_ERROR] = "error",
};

static void fill_line(const struct log_line *from, const char *tenant, const char *text,
                      Skep__Admin__LogLine *line)
{
    skep__admin__log_line__init(line);
    line->tenant = report_text(tenant);
    line->level = report_text(level_names[from->level]);
    line->text = admin_bytes(text, from->size);
    line->lost = from->lost;
    line->time_ms = from->time_ms;
    line->number = from->number;
    line->request = from->request;
}

/* Parses the least important level of a request; empty: debug. */
static int parse_level(ProtobufCBinaryData text, enum tenant_log_level *ret_level)
{
    *ret_level = TENANT_DEBUG;
    if (text.len == 0)
        return 0;
    for (unsigned i = 0; i < ARRAY_LEN(level_names); i++)
        if (strlen(level_names[i]) == text.len &&
            memcmp(level_names[i], text.data, text.len) == 0) {
            *ret_level = (enum tenant_log_level) i;
            return 0;
        }
    return -EINVAL;
}

/* Finds tenant and level of a request. Returns 0; else sends a failure, and returns 1 or -errno. *ret_counted: NULL for
 * all tenants. */
static int resolve(struct admin_client *client, ProtobufCBinaryData name, ProtobufCBinaryData level,
                   const struct counted **ret_counted, enum tenant_log_level *ret_level)
{
    const char *problem = NULL;
    const struct tenant *tenant = NULL;

    *ret_counted = NULL;
    if (parse_level(level, ret_level) < 0)
        problem = "there is no such level: expected debug, info, warn or error";
    else if (name.len > 0 && !(tenant = admin_find_tenant(client, name)))
        problem = ADMIN_NO_TENANT;
    if (tenant)
        *ret_counted = &tenant->counted;
    if (!problem)
        return 0;
    int r = admin_send_failure(client, problem);
    return r < 0 ? r : 1;
}

/* ---- kept lines */

struct wish {
    const struct counted *counted; /* one tenant's; NULL: all tenants */
    uint64_t after;
    uint32_t last; /* 0: all */
    enum tenant_log_level level;
};

/* Returns the oldest line that is asked for; NULL: none. */
static const struct log_line *find_first(const struct log_store *store, const struct wish *wish,
                                         uint32_t *ret_total)
{
    const struct log_line *line = log_store_newest(store, wish->counted), *first = NULL;
    uint32_t n = 0;

    for (; line && line->number > wish->after && (wish->last == 0 || n < wish->last);
         line = log_line_older(line, wish->counted))
        if (line->level >= wish->level) {
            first = line;
            n++;
        }
    *ret_total = n;
    return first;
}

static int fill_tail(const struct log_store *store, const struct wish *wish, struct arena *arena,
                     Skep__Admin__LogTail *tail)
{
    const struct log_line *line = find_first(store, wish, &tail->total);
    size_t most = tail->total < PAGE_ITEMS_MAX ? tail->total : PAGE_ITEMS_MAX, size = 0, n = 0;
    Skep__Admin__LogLine **page = report_list(arena, most, &skep__admin__log_line__descriptor);

    if (!page)
        return -ENOMEM;
    for (; line && n < most && size < PAGE_MAX_BYTES; line = log_line_newer(line, wish->counted)) {
        if (line->level < wish->level)
            continue;
        fill_line(line, line->shelf->counted->name, line->text, page[n]);
        size += skep__admin__log_line__get_packed_size(page[n++]);
    }
    tail->lines = page;
    tail->n_lines = n;
    tail->newest = log_store_last_number(store);
    return 0;
}

int admin_on_log_tail(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__LogTailRequest *request = (const Skep__Admin__LogTailRequest *) message;
    struct wish wish = { .after = request->after, .last = request->last };
    Skep__Admin__LogTail tail = SKEP__ADMIN__LOG_TAIL__INIT;
    _cleanup_(arena_done) struct arena arena = { 0 };

    int r = resolve(owner, request->name, request->level, &wish.counted, &wish.level);
    if (r != 0)
        return r < 0 ? r : 0;
    r = arena_init(&arena, TAIL_ARENA_BYTES);
    if (r == 0)
        r = fill_tail(admin_client_options(owner)->record->log_store, &wish, &arena, &tail);
    if (r < 0)
        return admin_send_failure(owner, ADMIN_NO_MEMORY);
    return admin_client_send(owner, SKEP__ADMIN__ANSWER__MESSAGE_LOG_TAIL, &tail);
}

/* ---- new lines */

static void send_line(struct admin_client *client, Skep__Admin__LogLine *line)
{
    Skep__Admin__Answer answer = SKEP__ADMIN__ANSWER__INIT;
    uint64_t lost = line->lost;

    answer.message_case = SKEP__ADMIN__ANSWER__MESSAGE_LOG;
    answer.log = line;
    line->lost += client->lost;
    if (channel_is_congested(client->channel) || channel_send(client->channel, &answer.base) < 0)
        client->lost += 1 + lost;
    else
        client->lost = 0;
    line->lost = lost;
}

static void send_kept(struct admin_client *client, const struct wish *wish)
{
    Skep__Admin__LogLine line;
    uint32_t total;

    const struct log_line *kept =
        find_first(admin_client_options(client)->record->log_store, wish, &total);
    for (; kept; kept = log_line_newer(kept, wish->counted))
        if (kept->level >= wish->level) {
            fill_line(kept, kept->shelf->counted->name, kept->text, &line);
            send_line(client, &line);
        }
}

int admin_on_logs(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__LogsRequest *request = (const Skep__Admin__LogsRequest *) message;
    Skep__Admin__Subscribed subscribed = SKEP__ADMIN__SUBSCRIBED__INIT;
    struct wish wish = { .after = request->after };

    int r = resolve(owner, request->name, request->level, &wish.counted, &wish.level);
    if (r != 0)
        return r < 0 ? r : 0;
    r = admin_client_subscribe(owner, wish.counted ? wish.counted->name : NULL, wish.level);
    if (r < 0)
        return r;
    r = admin_client_send(owner, SKEP__ADMIN__ANSWER__MESSAGE_SUBSCRIBED, &subscribed);
    if (r == 0 && request->resume)
        send_kept(owner, &wish);
    return r;
}

static bool is_wanted(const struct admin_client *client, const char *tenant,
                      enum tenant_log_level level)
{
    return client->is_subscribed && level >= client->level &&
           (!client->tenant || strcmp(client->tenant, tenant) == 0) &&
           admin_client_right(client) <= ADMIN_MAY_READ;
}

void admin_forward_line(struct admin_client_list *clients, const struct counted *counted,
                        const struct log_line *line, const char *text)
{
    struct admin_client *client;
    Skep__Admin__LogLine frame;

    fill_line(line, counted->name, text, &frame);
    LIST_FOREACH (client, clients, entry)
        if (is_wanted(client, counted->name, line->level))
            send_line(client, &frame);
}
