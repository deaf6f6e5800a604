/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FTS5's highlight() in linear time. SQLite's own copies all of its result for each match, minutes for a text of 2 MiB, within one
 * opcode. (https://www.sqlite.org/fts5.html#the_highlight_function)
 */
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "data/sql_internal.h"

struct highlight {
    const Fts5ExtensionApi *api;
    Fts5Context *context;
    int column;
    int matches, next; /* count of all columns; the one that comes after the range */
    int first, last;   /* tokens of the range of matches that overlap; first -1: there is none */
    int token;         /* the next token's number */
    const char *text, *marks[2];
    size_t size, mark_sizes[2], done; /* bytes; done: of the text, that the result has */
    char *result;                     /* owned */
    size_t result_size, room;
};

/* Reads the next range of this column. */
static int next_range(struct highlight *highlight)
{
    highlight->first = -1;
    for (; highlight->next < highlight->matches; highlight->next++) {
        int phrase, column, offset;
        const int code =
            highlight->api->xInst(highlight->context, highlight->next, &phrase, &column, &offset);
        if (code != SQLITE_OK)
            return code;
        if (column != highlight->column)
            continue;
        const int last = offset - 1 + highlight->api->xPhraseSize(highlight->context, phrase);
        if (highlight->first >= 0 && offset > highlight->last)
            break;
        if (highlight->first < 0 || last > highlight->last)
            highlight->last = last;
        if (highlight->first < 0)
            highlight->first = offset;
    }
    return SQLITE_OK;
}

static int append(struct highlight *highlight, const char *data, size_t size)
{
    if (highlight->result_size + size > SQL_VALUE_MAX_BYTES)
        return SQLITE_TOOBIG;
    if (highlight->result_size + size > highlight->room) {
        const size_t room = (highlight->result_size + size) * 2;
        char *result = sqlite3_realloc64(highlight->result, room);
        if (!result)
            return SQLITE_NOMEM;
        highlight->result = result;
        highlight->room = room;
    }
    if (size > 0)
        memcpy(highlight->result + highlight->result_size, data, size);
    highlight->result_size += size;
    return SQLITE_OK;
}

/* Appends the text up to a byte. */
static int append_text(struct highlight *highlight, size_t end)
{
    if (end > highlight->size || end < highlight->done)
        return SQLITE_OK;
    const int code = append(highlight, highlight->text + highlight->done, end - highlight->done);
    highlight->done = end;
    return code;
}

static int append_mark(struct highlight *highlight, unsigned mark)
{
    return append(highlight, highlight->marks[mark], highlight->mark_sizes[mark]);
}

static int on_token(void *owner, int flags, const char *token, int size, int start, int end)
{
    struct highlight *highlight = owner;
    int code = SQLITE_OK;

    (void) token;
    (void) size;
    if (flags & FTS5_TOKEN_COLOCATED)
        return SQLITE_OK;
    const int number = highlight->token++;
    if (number == highlight->first) {
        code = append_text(highlight, (size_t) start);
        if (code == SQLITE_OK)
            code = append_mark(highlight, 0);
    }
    if (code == SQLITE_OK && highlight->first >= 0 && number == highlight->last) {
        code = append_text(highlight, (size_t) end);
        if (code == SQLITE_OK)
            code = append_mark(highlight, 1);
        if (code == SQLITE_OK)
            code = next_range(highlight);
    }
    return code;
}

static int run(struct highlight *highlight)
{
    int size = 0;
    int code =
        highlight->api->xColumnText(highlight->context, highlight->column, &highlight->text, &size);

    highlight->size = (size_t) size;
    if (code == SQLITE_OK)
        code = highlight->api->xInstCount(highlight->context, &highlight->matches);
    if (code == SQLITE_OK)
        code = next_range(highlight);
    if (code == SQLITE_OK && highlight->text)
        code = highlight->api->xTokenize(highlight->context, highlight->text, size, highlight,
                                         on_token);
    return code == SQLITE_OK ? append_text(highlight, highlight->size) : code;
}

static void highlight_column(const Fts5ExtensionApi *api, Fts5Context *context,
                             sqlite3_context *result, int n, sqlite3_value **arguments)
{
    struct highlight highlight = { .api = api, .context = context };

    if (n != 3) {
        sqlite3_result_error(result, "wrong number of arguments to function highlight()", -1);
        return;
    }
    highlight.column = sqlite3_value_int(arguments[0]);
    for (unsigned i = 0; i < 2; i++) {
        const char *mark = (const char *) sqlite3_value_text(arguments[i + 1]);
        highlight.marks[i] = mark ? mark : "";
        highlight.mark_sizes[i] = (size_t) sqlite3_value_bytes(arguments[i + 1]);
    }
    const int code = run(&highlight);
    if (code == SQLITE_RANGE)
        sqlite3_result_text(result, "", 0, SQLITE_STATIC);
    else if (code != SQLITE_OK)
        sqlite3_result_error_code(result, code);
    else
        sqlite3_result_text64(result, highlight.result ? highlight.result : "",
                              highlight.result_size, SQLITE_TRANSIENT, SQLITE_UTF8);
    sqlite3_free(highlight.result);
}

int sql_find_fts5(sqlite3 *db, fts5_api **ret_api)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, "SELECT fts5(?1)", -1, &statement, NULL);

    if (code == SQLITE_OK)
        code = sqlite3_bind_pointer(statement, 1, ret_api, "fts5_api_ptr", NULL);
    if (code == SQLITE_OK && sqlite3_step(statement) != SQLITE_ROW)
        code = SQLITE_ERROR;
    (void) sqlite3_finalize(statement);
    return code == SQLITE_OK && !*ret_api ? SQLITE_ERROR : code;
}

int sql_add_highlight(sqlite3 *db)
{
    fts5_api *api = NULL;
    const int code = sql_find_fts5(db, &api);

    return code == SQLITE_OK ? api->xCreateFunction(api, "highlight", NULL, highlight_column, NULL)
                             : code;
}
