/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of this folder. */
#pragma once

#include <errno.h>
#include <string.h>

#include "worker/url/url.h"

/* The schemes that the standard calls special; they have a path like a file's and a host that is a domain. */
enum scheme {
    SCHEME_OTHER,
    SCHEME_HTTP,
    SCHEME_HTTPS,
    SCHEME_WS,
    SCHEME_WSS,
    SCHEME_FTP,
    SCHEME_FILE,
};

/* Sets of bytes that are percent-encoded. */
enum percent_set {
    SET_C0 = 1,
    SET_FRAGMENT = 2,
    SET_QUERY = 4,
    SET_SPECIAL_QUERY = 8,
    SET_PATH = 16,
    SET_USERINFO = 32,
    SET_FORM = 64,
    SET_FORBIDDEN = 128, /* in an opaque host; not to be encoded */
};

extern const uint8_t url_percent_sets[256];

static inline bool is_in_set(char c, enum percent_set set)
{
    return (url_percent_sets[(uint8_t) c] & set) != 0;
}

static inline bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char) (c + 'a' - 'A') : c;
}

/* The value of a hexadecimal digit, -1 for any other byte. */
int url_hex_digit(char c);

static inline bool is_slash(char c, enum scheme scheme)
{
    return c == '/' || (c == '\\' && scheme != SCHEME_OTHER);
}

static inline struct url_span span_from(struct url_span span, size_t at)
{
    return (struct url_span){ span.data + at, span.size - at };
}

static inline struct url_span span_head(struct url_span span, size_t size)
{
    return (struct url_span){ span.data, size };
}

/* Returns the place of the byte, the size if it is not there. */
static inline size_t span_find(struct url_span span, char c)
{
    const char *found = span.size == 0 ? NULL : memchr(span.data, c, span.size);
    return found ? (size_t) (found - span.data) : span.size;
}

static inline bool span_is(struct url_span span, const char *text)
{
    return span.size == strlen(text) && memcmp(span.data, text, span.size) == 0;
}

/* ---- text.c */

/* The caller is asked whether to stop for each 2^16 bytes of work. */
#define URL_LOOK_SHIFT 16
void url_text_look(struct url_text *text);

void url_text_put(struct url_text *text, char c);
void url_text_encode(struct url_text *text, struct url_span span, enum percent_set set);
/* Appends the bytes with percent-encoded ones decoded; plus_is_blank: as in a form. */
void url_text_decode(struct url_text *text, struct url_span span, bool plus_is_blank);
/* Returns the span without tabs and newlines, in room if there are any; room: an empty text. The caller looks at the error of room. */
struct url_span url_strip_newlines(struct url_span span, struct url_text *room);

static inline uint32_t text_place(const struct url_text *text)
{
    return (uint32_t) text->size; /* URL_TEXT_MAX_BYTES at most */
}

/* ---- host.c */

/* Appends a host in normal form. Returns 0 or an error as url_parse. */
int url_append_host(struct url_text *text, struct url_span host, enum scheme scheme);
/* Returns the size of the host at the start of an authority: up to a colon that no bracket encloses. */
size_t url_host_size(struct url_span authority);

/* ---- parse.c */

enum scheme url_find_scheme(struct url_span name);
bool url_is_default_port(enum scheme scheme, int port);
/* Returns the size of a scheme at the start of the text, 0 if it has none before a colon. */
size_t url_scheme_size(struct url_span text);
/* Parses the digits of a port. Returns it, or -EINVAL above 65535. */
int url_parse_port(struct url_span digits);
void url_append_port(struct url_text *text, unsigned port);
/* Appends path segments, the first one without its slash, to the path that starts at that place. */
void url_append_segments(struct url_text *text, size_t start, struct url_span path,
                         enum scheme scheme);
/* Ends a path that starts at that place of a URL without a host: returns the place where it starts then. */
size_t url_end_hostless_path(struct url_text *text, size_t start);
