/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks places up in mappings of source maps. The first two bytes are a place. A place that is asked for alone has the same origin as
 * among others, as far as both texts were read.
 */
#include <stdint.h>
#include <stdlib.h>

#include "worker/source_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const char *text = (const char *) data + 2;
    struct source_map_place one = { .line = data[0], .column = data[1] };
    struct source_map_place all[] = { { .line = 0 }, one, { .line = 300, .column = 7 } };
    if (source_map_find(text, size - 2, all, 3) < 0)
        return 0;
    if (source_map_find(text, size - 2, &one, 1) < 0 || one.is_known != all[1].is_known ||
        (one.is_known && one.source_line != all[1].source_line))
        abort();
    return 0;
}
