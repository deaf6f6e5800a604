/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/engine.h"

#define LEAST_ROOM 256
#define TEXT_MAX_BYTES 2048

/* Makes room for size bytes in all, at least doubling what there was. 0 or -ENOMEM. */
static int grow(struct data_answer *answer, size_t size)
{
    size_t room = answer->room > answer->most / 2 ? answer->most : answer->room * 2;

    if (room < LEAST_ROOM)
        room = LEAST_ROOM;
    if (room < size)
        room = size;
    uint8_t *data = realloc(answer->data, room);
    if (!data)
        return -ENOMEM;
    answer->data = data;
    answer->room = room;
    return 0;
}

uint8_t *data_answer_reserve(struct data_answer *answer, size_t size)
{
    if (answer->size > answer->most || size > answer->most - answer->size) {
        errno = EFBIG;
        return NULL;
    }
    if ((!answer->data || size > answer->room - answer->size) &&
        grow(answer, answer->size + size) < 0) {
        errno = ENOMEM;
        return NULL;
    }
    uint8_t *to = answer->data + answer->size;
    answer->size += size;
    return to;
}

int data_answer_add(struct data_answer *answer, const void *data, size_t size)
{
    uint8_t *to = data_answer_reserve(answer, size);

    if (!to)
        return -errno;
    if (size > 0)
        memcpy(to, data, size);
    return 0;
}

void data_answer_done(struct data_answer *answer)
{
    free(answer->data);
    answer->data = NULL;
    answer->size = answer->room = 0;
}

void data_fail(struct data_operation *operation, unsigned status, const char *format, ...)
{
    char text[TEXT_MAX_BYTES];
    va_list arguments;

    va_start(arguments, format);
    const int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    operation->status = status;
    operation->answer.size = 0;
    size_t size = n < 0 ? 0 : (size_t) n;
    if (size >= sizeof text)
        size = sizeof text - 1;
    if (size > operation->answer.most)
        size = operation->answer.most;
    /* The status says enough if there is no memory for the text. */
    (void) data_answer_add(&operation->answer, text, size);
}
