/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/character.h"

#define JSON_INTEGER_MAX (UINT64_C(1) << 53)

const char *output_style(FILE *file, enum output_style style)
{
    static const char *const sequences[] = {
        [OUTPUT_PLAIN] = "\033[0m",   [OUTPUT_DIM] = "\033[2m",  [OUTPUT_BOLD] = "\033[1m",
        [OUTPUT_YELLOW] = "\033[33m", [OUTPUT_RED] = "\033[31m",
    };
    const char *no_color = getenv("NO_COLOR");

    return isatty(fileno(file)) && !(no_color && *no_color) ? sequences[style] : "";
}

/* ---- bytes to text */

static void write_safe(FILE *file, const uint8_t *data, size_t size, bool is_line)
{
    for (size_t i = 0; i < size;) {
        uint32_t code = 0;
        size_t length = character_decode(data + i, size - i, &code);
        bool is_space = !is_line && (code == '\n' || code == '\t');
        if (length > 0 && (character_is_visible(code) || is_space)) {
            (void) fwrite(data + i, 1, length, file);
            i += length;
            continue;
        }
        for (size_t end = i + (length > 0 ? length : 1); i < end; i++)
            (void) fprintf(file, "\\x%02x", data[i]);
    }
}

void output_error(const char *who, const char *format, ...)
{
    _cleanup_free_ char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    (void) fprintf(stderr, "skep%s%s: ", who ? " " : "", who ? who : "");
    if (text)
        write_safe(stderr, (const uint8_t *) text, strlen(text), true);
    (void) fputs(text ? "\n" : "out of memory\n", stderr);
}

void output_notes(FILE *file, const struct config_errors *notes)
{
    for (const char *line = notes->text; line && *line; line = strchr(line, '\n') + 1)
        (void) fprintf(file, "note: %.*s\n", (int) strcspn(line, "\n"), line);
}

void output_text(FILE *file, const uint8_t *data, size_t size)
{
    write_safe(file, data, size, false);
}

char *output_line(const uint8_t *data, size_t size)
{
    char *line = NULL;
    size_t length = 0;
    FILE *file = open_memstream(&line, &length);

    if (!file)
        return NULL;
    write_safe(file, data, size, true);
    if (fclose(file) != 0) {
        free(line);
        return NULL;
    }
    return line;
}

/* ---- tables */

struct table {
    const char *const *headings; /* borrowed */
    unsigned n_columns;
    char **cells;
    size_t n_cells, max_cells;
};

struct table *table_new(const char *const *headings, unsigned n_headings)
{
    struct table *table = calloc(1, sizeof *table);

    if (table) {
        table->headings = headings;
        table->n_columns = n_headings;
    }
    return table;
}

struct table *table_free(struct table *table)
{
    if (!table)
        return NULL;
    for (size_t i = 0; i < table->n_cells; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table);
    return NULL;
}

/* Adds a cell, which it takes over. */
static int add_cell(struct table *table, char *cell)
{
    if (cell && table->n_cells == table->max_cells) {
        size_t max = table->max_cells ? 2 * table->max_cells : 64;
        char **cells = reallocarray(table->cells, max, sizeof *cells);
        if (!cells) {
            free(cell);
            return -ENOMEM;
        }
        table->cells = cells;
        table->max_cells = max;
    }
    if (!cell)
        return -ENOMEM;
    table->cells[table->n_cells++] = cell;
    return 0;
}

int table_add(struct table *table, const char *format, ...)
{
    char *cell = NULL;
    va_list args;

    va_start(args, format);
    int r = vasprintf(&cell, format, args);
    va_end(args);
    return r < 0 ? -ENOMEM : add_cell(table, cell);
}

int table_add_text(struct table *table, const uint8_t *data, size_t size)
{
    return add_cell(table, output_line(data, size));
}

/* Counts characters, not bytes. */
static unsigned width_of(const char *text)
{
    unsigned width = 0;

    for (; *text; text++)
        width += (*text & 0xc0) != 0x80;
    return width;
}

static void print_cell(FILE *file, const char *text, unsigned width, bool is_number, bool is_last)
{
    unsigned have = width_of(text);
    int pad = have < width ? (int) (width - have) : 0;

    if (is_number)
        (void) fprintf(file, "%*s%s", pad, "", text);
    else
        (void) fprintf(file, "%s%*s", text, is_last ? 0 : pad, "");
    (void) fputs(is_last ? "\n" : "  ", file);
}

void table_print(const struct table *table, FILE *file)
{
    unsigned n = table->n_columns;
    _cleanup_free_ unsigned *widths = calloc(n, sizeof *widths);

    for (unsigned column = 0; widths && column < n; column++) {
        widths[column] = width_of(table->headings[column] + (*table->headings[column] == '>'));
        for (size_t i = column; i < table->n_cells; i += n)
            if (width_of(table->cells[i]) > widths[column])
                widths[column] = width_of(table->cells[i]);
    }
    (void) fputs(output_style(file, OUTPUT_BOLD), file);
    for (unsigned column = 0; column < n; column++) {
        const char *heading = table->headings[column];
        bool is_number = heading[0] == '>';
        print_cell(file, heading + is_number, widths ? widths[column] : 0, is_number,
                   column + 1 == n);
    }
    (void) fputs(output_style(file, OUTPUT_PLAIN), file);
    for (size_t i = 0; i < table->n_cells; i++)
        print_cell(file, table->cells[i], widths ? widths[i % n] : 0,
                   table->headings[i % n][0] == '>', i % n + 1 == n);
}

/* ---- JSON */

json_t *json_text(const uint8_t *data, size_t size)
{
    static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */
    _cleanup_free_ char *text = malloc(3 * size + 1);
    size_t n = 0;

    if (!text)
        return NULL;
    for (size_t i = 0; i < size;) {
        uint32_t code = 0;
        size_t length = character_decode(data + i, size - i, &code);
        memcpy(text + n, length > 0 ? (const char *) data + i : replacement,
               length > 0 ? length : 3);
        n += length > 0 ? length : 3;
        i += length > 0 ? length : 1;
    }
    return json_stringn(text, n);
}

json_t *json_count(uint64_t count)
{
    return json_integer((json_int_t) (count < JSON_INTEGER_MAX ? count : JSON_INTEGER_MAX));
}

/* Writes JSON. jansson escapes the characters that JSON demands. Others that could fool a reader
 * can only be inside of a string, where they may be escaped, too. */
static void write_json(FILE *file, const char *text)
{
    size_t size = strlen(text);

    for (size_t i = 0; i < size;) {
        uint32_t code = 0;
        size_t length = character_decode(text + i, size - i, &code);
        if (character_is_visible(code) || code == '\n')
            (void) fwrite(text + i, 1, length > 0 ? length : 1, file);
        else if (code <= 0xffff)
            (void) fprintf(file, "\\u%04" PRIx32, code);
        else
            (void) fprintf(file, "\\u%04" PRIx32 "\\u%04" PRIx32,
                           UINT32_C(0xd800) + ((code - 0x10000) >> 10),
                           UINT32_C(0xdc00) + (code & 0x3ff));
        i += length > 0 ? length : 1;
    }
}

static int print_document(json_t *document, size_t flags)
{
    _cleanup_free_ char *text = document ? json_dumps(document, flags) : NULL;

    json_decref(document);
    if (!text)
        return -ENOMEM;
    write_json(stdout, text);
    (void) fputc('\n', stdout);
    return 0;
}

int json_print(json_t *document)
{
    return print_document(document, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
}

int json_print_line(json_t *document)
{
    return print_document(document, JSON_COMPACT);
}

/* ---- numbers */

const char *output_kib(uint64_t kib, char *buffer)
{
    static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
    unsigned unit = 0;
    uint64_t tenths = kib < UINT64_MAX / 10 ? kib * 10 : UINT64_MAX;

    while (tenths >= 10240 && unit + 1 < ARRAY_LEN(units)) {
        tenths /= 1024;
        unit++;
    }
    if (tenths < 100 && unit > 0)
        (void) snprintf(buffer, OUTPUT_NUMBER_BYTES, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10,
                        tenths % 10, units[unit]);
    else
        (void) snprintf(buffer, OUTPUT_NUMBER_BYTES, "%" PRIu64 " %s", tenths / 10, units[unit]);
    return buffer;
}

const char *output_duration(uint64_t ms, char *buffer)
{
    uint64_t s = ms / 1000;

    if (s < 60)
        (void) snprintf(buffer, OUTPUT_NUMBER_BYTES, "%" PRIu64 ".%" PRIu64 " s", s,
                        ms % 1000 / 100);
    else if (s < 3600)
        (void) snprintf(buffer, OUTPUT_NUMBER_BYTES, "%" PRIu64 " min %" PRIu64 " s", s / 60,
                        s % 60);
    else if (s < 86400)
        (void) snprintf(buffer, OUTPUT_NUMBER_BYTES, "%" PRIu64 " h %" PRIu64 " min", s / 3600,
                        s / 60 % 60);
    else
        (void) snprintf(buffer, OUTPUT_NUMBER_BYTES, "%" PRIu64 " d %" PRIu64 " h", s / 86400,
                        s / 3600 % 24);
    return buffer;
}

const char *output_us(uint64_t us, char *buffer)
{
    if (us >= 1000000)
        return output_duration(us / 1000, buffer);
    if (us < 1000)
        (void) snprintf(buffer, OUTPUT_NUMBER_BYTES, "%" PRIu64 " us", us);
    else if (us < 10000)
        (void) snprintf(buffer, OUTPUT_NUMBER_BYTES, "%" PRIu64 ".%02" PRIu64 " ms", us / 1000,
                        us % 1000 / 10);
    else
        (void) snprintf(buffer, OUTPUT_NUMBER_BYTES, "%" PRIu64 ".%" PRIu64 " ms", us / 1000,
                        us % 1000 / 100);
    return buffer;
}
