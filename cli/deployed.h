/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The result that `skep deploy` and `skep rollback` print.
 */
#pragma once

#include "cli/client.h"

/* Storing waits for disks, and loading for workers; skepd gives up earlier, with a reason. */
#define DEPLOY_TIMEOUT_MS 180000
#define DEPLOY_VERSION_SHOWN 12 /* characters of a version's name, for people */

/* Prints the result, a Deployed, for people, and its notes on standard error. */
void deployed_print(const void *message);
