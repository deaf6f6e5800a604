/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The judgement of the kernel's facts about a worker's jail, before the worker gets its first
 * tenant and again and again while it runs. Supervisor, loop thread; pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/layers.h"
#include "spawner/facts.h"

/* Judges the facts. layers: those that the worker was started with. jit: of its cordon. 0, or
 * -EPERM with the first difference in text (at most size bytes). Facts that cannot be seen
 * (facts->may_look) are only excused where the user namespace is not among the layers. */
int attest_judge(const struct jail_facts *facts, layer_set layers, bool jit, char *text,
                 size_t size);
