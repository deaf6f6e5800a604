/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/events/asks.h"

#include <string.h>

#define PERIOD 251
#define PART_MAX (256U << 10)

static struct ask asks[ASKS_MAX];
static uint32_t n_asks;
static uint8_t pattern[PART_MAX + PERIOD];

void asks_reset(void)
{
    memset(asks, 0, (n_asks + 1) * sizeof *asks);
    n_asks = 0;
    for (unsigned i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t) (i % PERIOD);
}

uint32_t ask_new(bool is_safe)
{
    if (n_asks + 1 >= ASKS_MAX)
        return 0;
    asks[++n_asks] = (struct ask){ .is_safe = is_safe };
    return n_asks;
}

struct ask *ask_find(uint64_t number)
{
    return number > 0 && number <= n_asks ? &asks[number] : NULL;
}

static const uint8_t *find_pattern(uint32_t number, uint64_t at)
{
    return pattern + (number * UINT64_C(7) + at) % PERIOD;
}

void ask_fill(uint32_t number, uint64_t at, uint8_t *data, size_t size)
{
    HOLD(size <= PART_MAX);
    memcpy(data, find_pattern(number, at), size);
}

bool ask_is_body(uint32_t number, uint64_t at, const uint8_t *data, size_t size)
{
    return size <= PART_MAX && (size == 0 || memcmp(data, find_pattern(number, at), size) == 0);
}
