/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's reader of files with its thread, as after a start, and a disk that is cold for as long as the test
 * likes: what the thread is asked for waits until then, and the loop must not.
 */
#pragma once

#include <event2/event.h>

struct reader;

/* Returns a reader whose thread waits. Free it with reader_free, after played_disk_answers. */
struct reader *played_reader_on_cold_disk(struct event_base *base);
/* The thread goes on; turns the loop until all that it was asked for is done. */
void played_disk_answers(void);
