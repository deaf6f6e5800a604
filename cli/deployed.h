/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `skep deploy` and `skep rollback` print in the end.
 */
#pragma once

#include "cli/client.h"

/* Storing waits for disks, and loading for workers; skepd gives up earlier, and says why. */
#define DEPLOY_TIMEOUT_MS 180000
#define DEPLOY_VERSION_SHOWN 12 /* of a version's name, to people */

/* Prints it for people, or as JSON. Returns the exit status. */
int deployed_print(const struct cli *cli, const Skep__Admin__Deployed *deployed);
