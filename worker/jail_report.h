/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The throw-away worker's work: it is confined as every worker is, then tries from inside how the
 * filters decide about each system call. This worker never has a tenant. sandbox-policy/verdicts.h
 * has the format of its report.
 */
#pragma once

#include "worker/jail.h"

/* Writes one struct jail_verdicts to the channel: the result of the confinement (error: as
 * jail_start, jail_enter or jail_seal returned it, with its failure), and the verdicts if error is
 * 0. Then waits until the channel is closed. options->is_report was set for all three. */
_Noreturn void jail_report_run(const struct jail_options *options, int error,
                               const struct jail_failure *failure);
