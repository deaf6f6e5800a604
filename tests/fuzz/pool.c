/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/pool.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "config/manifest.h"
#include "proto/frame.h"
#include "tests/fuzz/rig.h"

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void) (at), (void) (size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void) (at), (void) (size))
#endif

/* ---- manifests */

#define MANIFESTS 8
static struct {
    const char *text; /* static; NULL: none */
    struct manifest *manifest;
    bool is_used;
} manifests[MANIFESTS];

struct manifest *__real_manifest_free(struct manifest *manifest);
struct manifest *__wrap_manifest_free(struct manifest *manifest);
struct manifest *__wrap_manifest_free(struct manifest *manifest)
{
    for (unsigned i = 0; i < MANIFESTS && manifest; i++)
        if (manifests[i].manifest == manifest) {
            CHECK(manifests[i].is_used);
            manifests[i].is_used = false;
            ASAN_POISON_MEMORY_REGION(manifest, sizeof *manifest);
            return NULL;
        }
    return __real_manifest_free(manifest);
}

/* The leak detector does not look at poisoned memory for pointers. */
static void free_manifests(void)
{
    for (unsigned i = 0; i < MANIFESTS && manifests[i].text; i++) {
        ASAN_UNPOISON_MEMORY_REGION(manifests[i].manifest, sizeof *manifests[i].manifest);
        (void) __real_manifest_free(manifests[i].manifest);
    }
}

struct manifest *pool_take_manifest(const char *text)
{
    struct config_errors errors = { 0 };
    unsigned i = 0;

    while (i < MANIFESTS && manifests[i].text &&
           (manifests[i].text != text || manifests[i].is_used))
        i++;
    CHECK(i < MANIFESTS && (manifests[0].text || atexit(free_manifests) == 0));
    if (manifests[i].text)
        ASAN_UNPOISON_MEMORY_REGION(manifests[i].manifest, sizeof *manifests[i].manifest);
    else if (manifest_parse("/srv/skep.yaml", text, strlen(text), &manifests[i].manifest, &errors) <
             0)
        rig_fail(errors.text, __LINE__);
    manifests[i].text = text;
    manifests[i].is_used = true;
    return manifests[i].manifest;
}

/* ---- arenas */

#define ARENAS 8
static struct arena arenas[ARENAS];

int __real_arena_init(struct arena *arena, size_t size);
int __wrap_arena_init(struct arena *arena, size_t size);
int __wrap_arena_init(struct arena *arena, size_t size)
{
    for (unsigned i = 0; i < ARENAS; i++)
        if (arenas[i].memory && arenas[i].size == size) {
            *arena = arenas[i];
            arena->allocator.allocator_data = arena;
            arenas[i] = (struct arena){ 0 };
            return 0;
        }
    return __real_arena_init(arena, size);
}

void __real_arena_done(struct arena *arena);
void __wrap_arena_done(struct arena *arena);
void __wrap_arena_done(struct arena *arena)
{
    for (unsigned i = 0; i < ARENAS && arena->memory; i++)
        if (!arenas[i].memory) {
            arena_reset(arena);
            arenas[i] = *arena;
            *arena = (struct arena){ 0 };
        }
    __real_arena_done(arena);
}
