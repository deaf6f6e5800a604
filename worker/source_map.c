/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads base64 VLQ: a digit has five bits of a number and a bit for "more follows"; the number's lowest bit is its sign. The lines
 * of a mappings text are apart by ";", their segments by ",". A segment is one, four or five numbers: column, source, line and
 * column there, and a name, each as the difference to the one before; the columns of each line begin at 0.
 */
#include "worker/source_map.h"

#include <errno.h>

#define SEGMENT_FIELDS_MAX 5
#define NUMBER_BITS_MAX 35 /* room for a number below 2^31 with its sign, in digits of five bits */

struct reader {
    const char *at, *end;
};

static int digit_of(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

/* Adds the next number to *sum, which stays from 0 to INT32_MAX. Returns false if that is not so. */
static bool read_number(struct reader *from, int64_t *sum)
{
    uint64_t bits = 0;
    int digit;
    unsigned shift = 0;

    do {
        digit = from->at < from->end ? digit_of(*from->at) : -1;
        if (digit < 0 || shift == NUMBER_BITS_MAX)
            return false;
        bits |= (uint64_t) (digit & 31) << shift;
        shift += 5;
        from->at++;
    } while (digit & 32);
    *sum += bits & 1 ? -(int64_t) (bits >> 1) : (int64_t) (bits >> 1);
    return *sum >= 0 && *sum <= INT32_MAX;
}

static bool ends_segment(const struct reader *from)
{
    return from->at == from->end || *from->at == ',' || *from->at == ';';
}

/* Reads a segment. Returns the count of its fields, 0 for one that is not valid. */
static int read_segment(struct reader *from, int64_t sums[SEGMENT_FIELDS_MAX])
{
    int n = 0;

    do {
        if (n == SEGMENT_FIELDS_MAX || !read_number(from, &sums[n]))
            return 0;
        n++;
    } while (!ends_segment(from));
    return n == 1 || n == 4 || n == 5 ? n : 0;
}

static void note(struct source_map_place *place, const int64_t *sums, int n_fields)
{
    place->is_known = n_fields > 1;
    place->source = (uint32_t) sums[1];
    place->source_line = (uint32_t) sums[2];
    place->source_column = (uint32_t) sums[3];
}

int source_map_find(const char *mappings, size_t size, struct source_map_place *places, size_t n)
{
    struct reader from = { mappings, mappings + size };
    int64_t sums[SEGMENT_FIELDS_MAX] = { 0 };
    uint32_t last = 0;

    for (size_t i = 0; i < n; i++) {
        places[i].is_known = false;
        last = places[i].line > last ? places[i].line : last;
    }
    for (uint32_t line = 0; line <= last && from.at < from.end; line++) {
        sums[0] = 0;
        while (from.at < from.end && *from.at != ';') {
            if (*from.at == ',') {
                from.at++;
                continue;
            }
            const int n_fields = read_segment(&from, sums);
            if (n_fields == 0)
                return -EINVAL;
            for (size_t i = 0; i < n; i++)
                if (places[i].line == line && places[i].column >= sums[0])
                    note(&places[i], sums, n_fields);
        }
        if (from.at < from.end)
            from.at++;
    }
    return 0;
}
