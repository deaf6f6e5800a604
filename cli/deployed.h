/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The result that `skep deploy` and `skep rollback` print.
 */
#pragma once

#include "cli/client.h"

/* Storing waits for disks, and loading for workers; skepd gives up earlier, with a reason. */
#define DEPLOY_TIMEOUT_MS 180000
#define DEPLOY_VERSION_SHOWN 12 /* characters of a version's name, for people */

/* Prints the result for people, or as JSON. Returns the exit status. */
int deployed_print(const struct cli *cli, const Skep__Admin__Deployed *deployed);
