/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for libevent's buffers. A part of a body takes a piece of 128 KiB in them; from malloc
 * such a piece would be mapped, filled with zeros page by page, and unmapped again for each part. A
 * few pieces are kept instead. Single-threaded.
 */
#pragma once

/* The most memory that is kept: LARGE_BLOCKS_KEPT pieces of LARGE_BLOCK_BYTES. */
#define LARGE_BLOCK_BYTES (128U << 10)
#define LARGE_BLOCKS_KEPT 16

/* Makes libevent take its memory from here. Called before anything else of libevent. */
void large_blocks_start(void);
/* Returns how many pieces are kept now. */
unsigned large_blocks_kept(void);
