/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The throw-away worker's work: it locks itself in as every worker does, then tries from inside what
 * the filters say to each system call. It never has a tenant. sandbox-policy/verdicts.h has what it
 * writes.
 */
#pragma once

#include "worker/jail.h"

/* Writes one struct jail_verdicts to the channel: how it was locked in (error: what jail_start,
 * jail_enter or jail_seal gave, with its failure), and the verdicts if error is 0. Then waits until the
 * channel is closed. options->is_report was set for all three. */
_Noreturn void jail_report_run(const struct jail_options *options, int error,
                               const struct jail_failure *failure);
