/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judges what the kernel says of a worker's jail, before it gets its first tenant and again and again
 * while it runs. Supervisor, loop thread; pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/layers.h"
#include "spawner/facts.h"

/* layers: that it was started with. jit: of its cordon. 0, or -EPERM with the first thing that differs in
 * text (at most size bytes). What facts->may_look says cannot be seen is only excused where the user
 * namespace is not among the layers. */
int attest_judge(const struct jail_facts *facts, layer_set layers, bool jit, char *text,
                 size_t size);
