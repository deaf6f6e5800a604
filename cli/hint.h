/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Advice for failures that have more than one way out. Any verb; no state.
 */
#pragma once

#include <stddef.h>

struct cli;

/* Prints on standard error why there is no connection to cli->socket, and the remedies that this
 * user has. error: -errno of client_new. */
void hint_connect(const struct cli *cli, int error);

/* Returns the verb whose name is nearest to the given one; NULL if none is near. Static. */
const char *hint_verb(const char *given);
