/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Release dates of the versions of V8 that skep is built with: an old V8 has holes that are known.
 * Const data; any process.
 */
#pragma once

/* Returns the date of release, "2025-12-10", of a V8 that scripts/setup pins or has pinned; "" of
 * any other. version: as V8 reports it. */
const char *v8_release_date(const char *version);
