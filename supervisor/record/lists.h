/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads of lists of requests, for what is below requests/ and holds them: a tenant its queue, a worker those that have
 * not begun. Only requests/ knows what is in them.
 */
#pragma once

#include <sys/queue.h>

struct request;
TAILQ_HEAD(request_list, request);
