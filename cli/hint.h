/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to do next, for failures that have more than one way out. Any verb; no state.
 */
#pragma once

#include <stddef.h>

struct cli;

/* Says on standard error why there is no connection to cli->socket, and what would help whoever runs this. error:
 * -errno of client_new. */
void hint_connect(const struct cli *cli, int error);

/* The verb whose name is nearest to what was given; NULL if none is near. Static. */
const char *hint_verb(const char *given);
