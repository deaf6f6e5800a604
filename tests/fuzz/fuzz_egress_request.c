/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds the parts of a request and the lines of an answer's head to egress. The input is lines: method, scheme, host,
 * path, then headers, each as a line of an answer and as one of a request.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "egress/internal.h"
#include "egress/target.h"

#define INPUT_MAX_BYTES ((size_t) 128 << 10)
#define PARTS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static bool has_control(struct head_text text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] == '\r' || text.data[i] == '\n' || text.data[i] == '\0')
            return true;
    return false;
}

static struct head_text next_line(const char **at, const char *end)
{
    const char *newline = memchr(*at, '\n', (size_t) (end - *at));
    const char *line_end = newline ? newline : end;
    struct head_text line = { *at, (size_t) (line_end - *at) };

    *at = newline ? newline + 1 : end;
    return line;
}

static void try_header(struct head_text line)
{
    const char *colon = memchr(line.data, ':', line.size);
    const char *reason;

    if (!colon)
        return;
    struct head_text name = { line.data, (size_t) (colon - line.data) };
    struct head_text value = { colon + 1, line.size - name.size - 1 };
    if (target_check_header(name, value, &reason) == 0)
        require(!has_control(name) && !has_control(value) && name.size > 0 &&
                !target_text_is(name, "host"));
}

static void check_packed(const struct answer_head *answer)
{
    _cleanup_free_ uint8_t *packed = NULL;
    size_t size = 0;
    struct head head;

    require(answer_pack(answer, &packed, &size) == 0);
    if (answer->n_bytes > EGRESS_HEAD_MAX_BYTES)
        return;
    require(head_open(packed, size, 0, EGRESS_FIELDS_MAX, &head) == 0);
    while (head.n_texts > 0)
        require(!has_control(head_next(&head)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct answer_head answer = { .n_texts = 0 };
    const char *reason = NULL;

    if (size < 1 || size > INPUT_MAX_BYTES)
        return 0;
    const char *at = (const char *) data + 1, *end = (const char *) data + size;
    struct target target = { .port = data[0] };
    struct head_text *const parts[PARTS] = { &target.method, &target.scheme, &target.host,
                                             &target.path };
    for (size_t i = 0; i < PARTS; i++)
        *parts[i] = next_line(&at, end);
    if (target_check(&target, &reason) == 0)
        for (size_t i = 0; i < PARTS; i++)
            require(!has_control(*parts[i]) && parts[i]->size > 0);
    while (at < end) {
        const struct head_text line = next_line(&at, end);
        try_header(line);
        if (answer_count(&answer, line.size) == 0)
            (void) answer_add_line(&answer, line.data, line.size);
    }
    check_packed(&answer);
    answer_done(&answer);
    return 0;
}
