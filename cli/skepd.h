/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The skepd program that verbs run for themselves.
 */
#pragma once

/* Runs in a child process. Executes the skepd of the build tree or the installation that this program is part of, else the one
 * in PATH. argv: NULL-ended. If there is none, says so on standard error and ends the process with status 127. */
_Noreturn void skepd_exec(char *const *argv);
