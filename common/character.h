/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which characters of a text of unknown origin may be shown to its reader as they are. The one rule
 * for all outputs: log, journal, metrics, the service manager's status line, skep's text and JSON. Each
 * output has its own way of writing the others. Pure functions.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes the UTF-8 character (RFC 3629) at text, of which length > 0 bytes are left. Returns its
 * size in bytes, 0 if there is none; *ret_code is written in any case, with U+FFFD for bytes that
 * are not UTF-8. */
size_t character_decode(const void *text, size_t length, uint32_t *ret_code);

/* Returns false if a reader could be fooled by the character: one that moves the cursor or ends the
 * line (controls of C0 and C1, DEL, U+2028, U+2029), turns the direction of text, or has no width
 * or shape of its own. Newline and tab are such characters: a caller that wants them says so
 * itself. */
bool character_is_visible(uint32_t code);
