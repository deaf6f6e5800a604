/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes that a test process has inherited, and passes on to the workers and helpers that it starts. A process that has
 * a right already gets no refusal when it asks for it, so that tests begin with what is usual.
 */
#pragma once

/* Gives up a negative nice value and a real-time scheduler, and makes files with the usual modes. */
void ordinary_begin(void);
