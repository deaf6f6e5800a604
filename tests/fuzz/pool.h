/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Things that are alike for each input of a target, and took much of an input's time to make: manifests, which are YAML, and
 * the memory of channels. The linker has the supervisor give them back to the pool, where they wait, poisoned, for
 * the next input: link with --wrap=manifest_free,--wrap=arena_init,--wrap=arena_done.
 */
#pragma once

struct manifest;

/* Returns the manifest of that text, for rig_install_manifest. text: the same pointer each time; of one text, a few at a time. */
struct manifest *pool_take_manifest(const char *text);
