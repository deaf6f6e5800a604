/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Declares the ends of a trial of deploys: clients that deploy, and the moments at which the store
 * (tests/played/store.h) answers.
 */
#pragma once

#include <stdbool.h>

/* Starts anew, before the supervisor is made. folder: the state folder. Writes the versions there,
 * once. */
void deploys_reset(const char *folder);

/* Each begins a deploy of the tenant that only comes by deploys, if no other changes it. */
void deploys_begin(unsigned variant);
void deploys_roll_back(void);
void deploys_remove(void);
/* Sends the next part of an upload, or its end. */
void deploys_go_on(void);
void deploys_asker_leaves(void);
/* The store answers its oldest request. Returns whether there was one. */
bool deploys_store_answers(bool is_failure);
/* The store dies. A new one is there at its next answer. */
void deploys_store_dies(void);
/* Returns whether a deploy that was asked for has not ended. */
bool deploys_are_under_way(void);
