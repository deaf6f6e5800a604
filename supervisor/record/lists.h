/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads of lists of requests, for structs below requests/ that hold them: a tenant its queue, a
 * worker the requests that have not begun. Only requests/ knows the members.
 */
#pragma once

#include <sys/queue.h>

struct request;
TAILQ_HEAD(request_list, request);
