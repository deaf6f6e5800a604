/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The startup snapshot with the JS layer: written by skep-mksnapshot at build time, embedded in
 * skep-worker by snapshot.S. Read-only, page-aligned; lasts as long as the process.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

__attribute__((visibility("hidden"))) extern const uint8_t skep_snapshot[];
__attribute__((visibility("hidden"))) extern const size_t skep_snapshot_size;

#ifdef __cplusplus
}
#endif
