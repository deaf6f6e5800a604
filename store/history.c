/* SPDX-License-Identifier: Apache-2.0 */
#include "store/history.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "config/tenant_files.h"
#include "store/tree.h"

#define HISTORY_FILE "history"
#define HISTORY_MAX_BYTES (512U << 10)

static const char *const action_names[STORE_ACTIONS] = {
    [STORE_DEPLOY] = "deploy",
    [STORE_ROLLBACK] = "rollback",
    [STORE_AUTO_ROLLBACK] = "auto-rollback",
};

bool version_is_valid(const char *text)
{
    return strlen(text) == VERSION_BYTES && strspn(text, "0123456789abcdef") == VERSION_BYTES;
}

void history_done(struct history *history)
{
    free(history->records);
    *history = (struct history){ 0 };
}

int history_add(struct history *history, const struct history_entry *record)
{
    unsigned drop = history->count >= HISTORY_RECORDS_MAX;
    struct history_entry *records =
        reallocarray(history->records, history->count + 1, sizeof *history->records);

    if (!records)
        return -ENOMEM;
    memmove(records, records + drop, (history->count - drop) * sizeof *records);
    history->count -= drop;
    history->records = records;
    records[history->count++] = *record;
    return 0;
}

/* Parses a line: TIME UID ACTION VERSION FROM REASON, the last of which may be empty. */
static bool parse_line(char *line, struct history_entry *ret)
{
    char *rest = line, *fields[5];
    char *end;

    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        fields[i] = strsep(&rest, " ");
        if (!fields[i])
            return false;
    }
    *ret = (struct history_entry){ .action = STORE_ACTIONS };
    ret->time_ms = strtoull(fields[0], &end, 10);
    if (*end)
        return false;
    ret->uid = (uint32_t) strtoul(fields[1], &end, 10);
    if (*end)
        return false;
    for (unsigned i = 0; i < STORE_ACTIONS; i++)
        if (strcmp(fields[2], action_names[i]) == 0)
            ret->action = (enum store_action) i;
    if (ret->action == STORE_ACTIONS || !version_is_valid(fields[3]) ||
        (strcmp(fields[4], "-") != 0 && !version_is_valid(fields[4])))
        return false;
    (void) snprintf(ret->version, sizeof ret->version, "%s", fields[3]);
    (void) snprintf(ret->from, sizeof ret->from, "%s", fields[4]);
    (void) snprintf(ret->reason, sizeof ret->reason, "%s", rest ? rest : "");
    return true;
}

int history_read(int tenant_fd, struct history *ret_history)
{
    _cleanup_(history_done) struct history history = { 0 };
    _cleanup_free_ char *text = NULL;
    struct history_entry record;
    size_t size = 0;

    int r = tenant_file_read(tenant_fd, HISTORY_FILE, HISTORY_MAX_BYTES, &text, &size);
    if (r == -ENOENT) {
        *ret_history = (struct history){ 0 };
        return 0;
    }
    if (r < 0)
        return r;
    char *rest = text, *line;
    while (r == 0 && (line = strsep(&rest, "\n")))
        if (parse_line(line, &record))
            r = history_add(&history, &record);
    if (r < 0)
        return r;
    *ret_history = history;
    history = (struct history){ 0 };
    return 0;
}

int history_write(int tenant_fd, const struct history *history)
{
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);

    if (!file)
        return -ENOMEM;
    for (unsigned i = 0; i < history->count; i++) {
        const struct history_entry *record = &history->records[i];
        (void) fprintf(file, "%" PRIu64 " %" PRIu32 " %s %s %s %s\n", record->time_ms, record->uid,
                       action_names[record->action], record->version, record->from, record->reason);
    }
    if (fclose(file) != 0)
        return -ENOMEM;
    return tree_replace(tenant_fd, HISTORY_FILE, text, size);
}

int history_find(const struct history *history, const char *version)
{
    for (unsigned i = history->count; i-- > 0;)
        if (strcmp(history->records[i].version, version) == 0 ||
            strcmp(history->records[i].from, version) == 0)
            return (int) i;
    return -1;
}

const struct history_entry *history_rollback_of(const struct history *history, const char *version)
{
    for (unsigned i = history->count; i-- > 0;) {
        const struct history_entry *record = &history->records[i];
        if (strcmp(record->version, version) == 0)
            return NULL;
        if (strcmp(record->from, version) == 0 && record->action == STORE_AUTO_ROLLBACK)
            return record;
    }
    return NULL;
}
