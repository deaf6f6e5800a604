/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/record/log_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "supervisor/record/record.h"

/* overhead of malloc for a line */
#define MALLOC_BYTES 16

struct log_store {
    struct log_line_list lines; /* lines of all tenants, oldest first */
    LIST_HEAD(, log_shelf) shelves;
    size_t bytes;
    uint64_t last;
    log_store_fn on_line;
    void *owner;
};

static size_t cost_of(const struct log_line *line)
{
    return sizeof *line + line->size + MALLOC_BYTES;
}

static void drop(struct log_store *store, struct log_line *line)
{
    TAILQ_REMOVE(&store->lines, line, in_all);
    TAILQ_REMOVE(&line->shelf->lines, line, in_shelf);
    store->bytes -= cost_of(line);
    line->shelf->bytes -= cost_of(line);
    free(line);
}

static struct log_shelf *get_shelf(struct log_store *store, struct counted *counted)
{
    if (counted->shelf)
        return counted->shelf;
    struct log_shelf *shelf = calloc(1, sizeof *shelf);
    if (!shelf)
        return NULL;
    shelf->counted = counted;
    TAILQ_INIT(&shelf->lines);
    LIST_INSERT_HEAD(&store->shelves, shelf, entry);
    counted->shelf = shelf;
    return shelf;
}

int log_store_new(struct log_store **ret_store)
{
    struct log_store *store = calloc(1, sizeof *store);

    if (!store)
        return -ENOMEM;
    TAILQ_INIT(&store->lines);
    LIST_INIT(&store->shelves);
    *ret_store = store;
    return 0;
}

struct log_store *log_store_free(struct log_store *store)
{
    struct log_shelf *shelf;
    struct log_line *line;

    if (!store)
        return NULL;
    while ((line = TAILQ_FIRST(&store->lines)))
        drop(store, line);
    while ((shelf = LIST_FIRST(&store->shelves))) {
        LIST_REMOVE(shelf, entry);
        free(shelf);
    }
    free(store);
    return NULL;
}

static void keep(struct log_store *store, struct counted *counted, const struct log_line *line,
                 const char *text)
{
    struct log_shelf *shelf = get_shelf(store, counted);
    struct log_line *kept = shelf ? malloc(sizeof *kept + line->size) : NULL;

    if (!kept)
        return;
    *kept = *line;
    kept->shelf = shelf;
    if (line->size > 0) /* text is NULL for an empty line */
        memcpy(kept->text, text, line->size);
    TAILQ_INSERT_TAIL(&store->lines, kept, in_all);
    TAILQ_INSERT_TAIL(&shelf->lines, kept, in_shelf);
    store->bytes += cost_of(kept);
    shelf->bytes += cost_of(kept);
    while (shelf->bytes > LOG_STORE_TENANT_BYTES)
        drop(store, TAILQ_FIRST(&shelf->lines));
    while (store->bytes > LOG_STORE_BYTES)
        drop(store, TAILQ_FIRST(&store->lines));
}

void log_store_add(struct log_store *store, struct counted *counted, struct log_line *line,
                   const char *text)
{
    line->number = ++store->last;
    keep(store, counted, line, text);
    if (store->on_line)
        store->on_line(store->owner, counted, line, text);
}

void log_store_listen(struct log_store *store, log_store_fn on_line, void *owner)
{
    store->on_line = on_line;
    store->owner = owner;
}

void log_store_forget(struct log_store *store, struct counted *counted)
{
    struct log_shelf *shelf = TAKE_PTR(counted->shelf);
    struct log_line *line;

    if (!shelf)
        return;
    while ((line = TAILQ_FIRST(&shelf->lines)))
        drop(store, line);
    LIST_REMOVE(shelf, entry);
    free(shelf);
}

uint64_t log_store_last_number(const struct log_store *store)
{
    return store->last;
}

const struct log_line *log_store_newest(const struct log_store *store,
                                        const struct counted *counted)
{
    if (!counted)
        return TAILQ_LAST(&store->lines, log_line_list);
    return counted->shelf ? TAILQ_LAST(&counted->shelf->lines, log_line_list) : NULL;
}

const struct log_line *log_line_older(const struct log_line *line, const struct counted *counted)
{
    return counted ? TAILQ_PREV(line, log_line_list, in_shelf)
                   : TAILQ_PREV(line, log_line_list, in_all);
}

const struct log_line *log_line_newer(const struct log_line *line, const struct counted *counted)
{
    return counted ? TAILQ_NEXT(line, in_shelf) : TAILQ_NEXT(line, in_all);
}
