/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The help of skep and of its verbs, made from their rows. The verb `help` is in the same file.
 */
#pragma once

struct verb;

/* Prints help on standard output. verb: NULL for that of skep itself. */
void help_print(const struct verb *verb);
