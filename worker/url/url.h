/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URLs by the URL standard (https://url.spec.whatwg.org): parsing, the setters of class URL, and application/x-www-form-urlencoded.
 * Texts come as UTF-8, with U+FFFD for lone surrogates; a URL is its serialisation, all of it ASCII, and the places of its components.
 * Names in other scripts need a table that this folder has not: the caller brings it. Pure functions beside that. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    URL_TEXT_MAX_BYTES = 1 << 26, /* bytes that a text grows to at most */
};

/* A text that is not changed, and need not end with a zero byte. */
struct url_span {
    const char *data; /* borrowed */
    size_t size;
};

struct url_text;

/* Questions that a function asks while it runs. */
struct url_caller {
    /* Appends the domain in ASCII (URL standard, "domain to ASCII", not strict). domain: percent-decoded, maybe not valid UTF-8. Returns 0,
     * -EINVAL if there is none, or another error. NULL: no domain needs it that is valid. */
    int (*to_ascii)(void *owner, struct url_span domain, struct url_text *out);
    /* True if the work has to end; it is asked once for some 64 KiB. NULL: never. */
    bool (*is_stopped)(void *owner);
    void *owner; /* borrowed */
};

/* A text that grows. After an error, which is kept, nothing is appended any more. */
struct url_text {
    char *data; /* room of the caller at first (url_text_init), then of malloc */
    size_t size;
    size_t capacity;
    bool is_owned;
    int error; /* 0, -ENOMEM, -EFBIG above URL_TEXT_MAX_BYTES, -EINTR if the caller has stopped it */
    const struct url_caller *caller; /* borrowed */
};

/* Begins an empty text in room of the caller's, which lives as long as the text does. */
void url_text_init(struct url_text *text, char *room, size_t size, const struct url_caller *caller);
void url_text_done(struct url_text *text);
void url_text_append(struct url_text *text, struct url_span span);

/*
 * Places in a serialisation, as bytes from its start:
 *
 *   https://user:pass@example.com:1234/foo/bar?baz#quux
 *         |     |    |           |    |       |   |
 *         |     |    |           |    |       |   hash, at the "#"; the length without one
 *         |     |    |           |    |       search, at the "?"; the place of hash without one
 *         |     |    |           |    pathname
 *         |     |    |           host_end, before the port
 *         |     |    host, at the "@" if there are credentials
 *         |     username_end
 *         protocol_end, behind the ":"
 *
 * Without a host, username_end, host and host_end are that of protocol_end; a path that starts with "//" then comes behind "/.".
 */
struct url_places {
    uint32_t protocol_end;
    uint32_t username_end;
    uint32_t host;
    uint32_t host_end;
    uint32_t pathname;
    uint32_t search;
    uint32_t hash;
};

struct url {
    struct url_text text;
    struct url_places at;
};

/* False for places that no URL of that length can have, whatever its text is. */
bool url_places_fit(const struct url_places *at, size_t size);

/* Parses a URL. base: the base URL, or NULL. url: its text is empty. Returns 0, -EINVAL if input is none, the error of the text, or one of
 * to_ascii; url is unusable then, but has to be freed. */
int url_parse(struct url_span input, const struct url *base, struct url *url);

/* Components for url_set; the numbers are those of worker/js/src/url/record.js. */
enum url_component {
    URL_PROTOCOL, /* with or without the colon */
    URL_USERNAME,
    URL_PASSWORD,
    URL_HOST,
    URL_HOSTNAME,
    URL_PORT,
    URL_PATHNAME,
    URL_SEARCH, /* without the "?" at its start */
    URL_HASH,   /* without the "#" */
};

/* Writes old with another value of a component to url, whose text is empty, as the setters of class URL do. value: with data NULL, no query or
 * fragment at all. Returns 0, -EINVAL if the URL stays as it is, or an error as url_parse. */
int url_set(const struct url *old, enum url_component component, struct url_span value,
            struct url *url);

/* Appends an opaque path as it stands in a URL: up to the first "?" or "#". */
void url_append_opaque_path(struct url_text *text, struct url_span value);

/* Appends a name or a value as application/x-www-form-urlencoded has it, and the other way: bytes, maybe not valid UTF-8. */
void url_form_encode(struct url_text *text, struct url_span value);
void url_form_decode(struct url_text *text, struct url_span value);

#ifdef __cplusplus
}
#endif
