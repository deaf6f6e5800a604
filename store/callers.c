/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rights to call: one text, which skepd sends in parts and reads again at its start. Store process.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "store/internal.h"
#include "store/program.h"
#include "store/tree.h"

#define CALLERS_MAX_BYTES (16U << 20)

static int append(struct store_state *state, ProtobufCBinaryData data)
{
    size_t size = state->callers_size + data.len;

    if (size > CALLERS_MAX_BYTES)
        return store_fail(state, -EMSGSIZE, "more than %u bytes of callers", CALLERS_MAX_BYTES);
    char *callers = realloc(state->callers, size + 1);
    if (!callers)
        return store_fail(state, -ENOMEM, "out of memory");
    if (data.len > 0)
        memcpy(callers + state->callers_size, data.data, data.len);
    state->callers = callers;
    state->callers_size = size;
    return 0;
}

static int replace(struct store_state *state)
{
    int r = store_lock(state);

    if (r < 0)
        return r;
    r = tree_replace(state->state_fd, STORE_CALLERS_FILE, state->callers, state->callers_size);
    store_unlock(state);
    return r < 0 ? store_fail(state, r,
                              "cannot write the file \"" STORE_CALLERS_FILE
                              "\" in the state folder: %s",
                              strerrordesc_np(-r))
                 : 0;
}

int callers_part(struct store_state *state, const Skep__Store__Callers *part)
{
    int r = state->callers_have_failed ? -EIO : append(state, part->data);

    if (r == 0 && !part->more)
        r = replace(state);
    state->callers_have_failed = r < 0 && part->more;
    if (r < 0 || !part->more) {
        free(TAKE_PTR(state->callers));
        state->callers_size = 0;
    }
    return r;
}
