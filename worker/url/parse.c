/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The basic URL parser (https://url.spec.whatwg.org/#concept-basic-url-parser), without its states: "#" and "?" end whatever comes
 * before them in all states but one, so the parts are cut off first. The serialisation is written in order. See url.h.
 */
#include <stdio.h>

#include "worker/url/internal.h"

static const struct {
    const char *name;
    int port;
} schemes[] = {
    [SCHEME_OTHER] = { "", -1 },       [SCHEME_HTTP] = { "http", 80 },
    [SCHEME_HTTPS] = { "https", 443 }, [SCHEME_WS] = { "ws", 80 },
    [SCHEME_WSS] = { "wss", 443 },     [SCHEME_FTP] = { "ftp", 21 },
    [SCHEME_FILE] = { "file", -1 },
};

/* The URL that is made, and what is left of the input. */
struct parser {
    struct url *url;
    const struct url *base;   /* NULL: none, or no more needed */
    enum scheme scheme;       /* the scheme of the URL */
    struct url_span query;    /* data NULL: there is none */
    struct url_span fragment; /* the same */
};

enum scheme url_find_scheme(struct url_span name)
{
    for (enum scheme i = SCHEME_HTTP; i <= SCHEME_FILE; i++)
        if (span_is(name, schemes[i].name))
            return i;
    return SCHEME_OTHER;
}

bool url_is_default_port(enum scheme scheme, int port)
{
    return schemes[scheme].port == port;
}

size_t url_scheme_size(struct url_span text)
{
    size_t n = 0;

    if (text.size == 0 || !is_alpha(text.data[0]))
        return 0;
    while (n < text.size && (is_alpha(text.data[n]) || is_digit(text.data[n]) ||
                             text.data[n] == '+' || text.data[n] == '-' || text.data[n] == '.'))
        n++;
    return n < text.size && text.data[n] == ':' ? n : 0;
}

int url_parse_port(struct url_span digits)
{
    int port = 0;

    for (size_t i = 0; i < digits.size; i++) {
        port = port * 10 + (digits.data[i] - '0');
        if (port > UINT16_MAX)
            return -EINVAL;
    }
    return port;
}

void url_append_port(struct url_text *text, unsigned port)
{
    char out[sizeof(":65535")];
    const int n = snprintf(out, sizeof(out), ":%u", port);

    url_text_append(text, (struct url_span){ out, (size_t) n });
}

/* ---- paths */

static bool is_drive(struct url_span segment)
{
    return segment.size == 2 && is_alpha(segment.data[0]) &&
           (segment.data[1] == ':' || segment.data[1] == '|');
}

/* True if the text starts with a Windows drive letter that is a whole segment. */
static bool starts_with_drive(struct url_span text)
{
    return text.size >= 2 && is_drive(span_head(text, 2)) &&
           (text.size == 2 || is_slash(text.data[2], SCHEME_FILE));
}

/* True if a path starts with a drive letter in normal form. */
static bool has_drive(struct url_span path)
{
    return path.size >= 3 && path.data[0] == '/' && is_alpha(path.data[1]) && path.data[2] == ':' &&
           (path.size == 3 || path.data[3] == '/');
}

/* Takes a "." or its percent-encoded form off a segment. */
static bool take_dot(struct url_span *segment)
{
    const char *data = segment->data;

    if (segment->size >= 1 && data[0] == '.')
        *segment = span_from(*segment, 1);
    else if (segment->size >= 3 && data[0] == '%' && data[1] == '2' && to_lower(data[2]) == 'e')
        *segment = span_from(*segment, 3);
    else
        return false;
    return true;
}

/* Returns 1 for ".", 2 for "..", 0 for any other segment. */
static int count_dots(struct url_span segment)
{
    int n = 0;

    while (n < 2 && take_dot(&segment))
        n++;
    return segment.size == 0 ? n : 0;
}

/* Removes the last segment of the path that ends the text, but not the drive letter of a file. */
static void shorten_path(struct url_text *text, size_t start, enum scheme scheme)
{
    const struct url_span path = { text->data + start, text->size - start };

    if (scheme == SCHEME_FILE && path.size == 3 && has_drive(path))
        return;
    while (text->size > start && text->data[text->size - 1] != '/')
        text->size--;
    if (text->size > start)
        text->size--;
}

static void append_segment(struct url_text *text, size_t start, struct url_span segment,
                           enum scheme scheme)
{
    const bool is_first = text->size == start;

    url_text_put(text, '/');
    if (is_first && scheme == SCHEME_FILE && is_drive(segment)) {
        url_text_put(text, segment.data[0]);
        url_text_put(text, ':');
    } else {
        url_text_encode(text, segment, SET_PATH);
    }
}

void url_append_segments(struct url_text *text, size_t start, struct url_span path,
                         enum scheme scheme)
{
    bool is_last = false;

    while (!is_last && text->error == 0) {
        size_t size = 0;
        while (size < path.size && !is_slash(path.data[size], scheme))
            size++;
        is_last = size == path.size;
        const struct url_span segment = span_head(path, size);
        const struct url_span rest = span_from(path, is_last ? size : size + 1);
        const int dots = count_dots(segment);
        if (path.size >> URL_LOOK_SHIFT != rest.size >> URL_LOOK_SHIFT)
            url_text_look(text);
        if (dots == 2)
            shorten_path(text, start, scheme);
        if (dots == 0)
            append_segment(text, start, segment, scheme);
        else if (is_last)
            url_text_put(text, '/');
        path = rest;
    }
}

size_t url_end_hostless_path(struct url_text *text, size_t start)
{
    if (text->size < start + 2 || text->data[start] != '/' || text->data[start + 1] != '/')
        return start;
    url_text_append(text, (struct url_span){ "/.", 2 });
    if (text->error != 0)
        return start;
    memmove(text->data + start + 2, text->data + start, text->size - start - 2);
    memcpy(text->data + start, "/.", 2);
    return start + 2;
}

/* ---- parts of a base URL */

static struct url_span slice(const struct url *url, size_t from, size_t to)
{
    return (struct url_span){ url->text.data + from, to - from };
}

static bool has_host(const struct url *url)
{
    return url->at.username_end > url->at.protocol_end;
}

static struct url_span path_of(const struct url *url)
{
    return slice(url, url->at.pathname, url->at.search);
}

static bool has_opaque_path(const struct url *url)
{
    const struct url_span path = path_of(url);
    return !has_host(url) && (path.size == 0 || path.data[0] != '/');
}

/* Appends credentials, host and port of the base URL, which has the scheme of the URL. */
static void copy_authority(struct parser *self)
{
    const struct url *base = self->base;
    struct url *url = self->url;
    const size_t end = has_host(base) ? base->at.pathname : base->at.protocol_end;

    url_text_append(&url->text, slice(base, base->at.protocol_end, end));
    url->at.username_end = base->at.username_end;
    url->at.host = base->at.host;
    url->at.host_end = base->at.host_end;
}

static void copy_query(struct parser *self)
{
    if (self->base->at.search < self->base->at.hash)
        self->query = slice(self->base, self->base->at.search + 1, self->base->at.hash);
}

/* ---- the rest of a URL, from a part on */

/* Query and fragment, behind a path that is written. */
static int end_url(struct parser *self)
{
    struct url *url = self->url;
    const bool is_special = self->scheme != SCHEME_OTHER;

    url->at.search = text_place(&url->text);
    if (self->query.data) {
        url_text_put(&url->text, '?');
        url_text_encode(&url->text, self->query, is_special ? SET_SPECIAL_QUERY : SET_QUERY);
    }
    url->at.hash = text_place(&url->text);
    if (self->fragment.data) {
        url_text_put(&url->text, '#');
        url_text_encode(&url->text, self->fragment, SET_FRAGMENT);
    }
    return url->text.error;
}

static void start_path(struct parser *self)
{
    self->url->at.pathname = text_place(&self->url->text);
}

/* A path whose first segment has no slash before it, to what is there of the path. */
static int end_path(struct parser *self, struct url_span path)
{
    struct url *url = self->url;

    url_append_segments(&url->text, url->at.pathname, path, self->scheme);
    if (!has_host(url))
        url->at.pathname = (uint32_t) url_end_hostless_path(&url->text, url->at.pathname);
    return end_url(self);
}

/* A path behind a host. */
static int parse_path(struct parser *self, struct url_span path)
{
    start_path(self);
    if (path.size > 0 && is_slash(path.data[0], self->scheme))
        return end_path(self, span_from(path, 1));
    return path.size == 0 && self->scheme == SCHEME_OTHER ? end_url(self) : end_path(self, path);
}

/* Writes the URL up to its path: there is no host. */
static void set_no_host(struct parser *self)
{
    struct url_places *at = &self->url->at;
    at->username_end = at->host = at->host_end = at->protocol_end;
}

static int parse_opaque_path(struct parser *self, struct url_span path)
{
    const bool has_blank = path.size > 0 && path.data[path.size - 1] == ' ' &&
                           (self->query.data || self->fragment.data);

    set_no_host(self);
    start_path(self);
    url_text_encode(&self->url->text, span_head(path, path.size - has_blank), SET_C0);
    if (has_blank)
        url_text_append(&self->url->text, (struct url_span){ "%20", 3 });
    return end_url(self);
}

static void parse_credentials(struct parser *self, struct url_span text)
{
    struct url *url = self->url;
    const size_t colon = span_find(text, ':');
    const size_t start = url->text.size;

    url_text_encode(&url->text, span_head(text, colon), SET_USERINFO);
    url->at.username_end = text_place(&url->text);
    if (colon + 1 < text.size) {
        url_text_put(&url->text, ':');
        url_text_encode(&url->text, span_from(text, colon + 1), SET_USERINFO);
    }
    url->at.host = text_place(&url->text);
    if (url->text.size > start)
        url_text_put(&url->text, '@');
}

/* Parses the text between "//" and the path: [credentials@]host[:port]. */
static int parse_authority(struct parser *self, struct url_span text)
{
    struct url *url = self->url;
    size_t end = 0;

    while (end < text.size && !is_slash(text.data[end], self->scheme))
        end++;
    const struct url_span path = span_from(text, end);
    struct url_span host = span_head(text, end);
    url_text_append(&url->text, (struct url_span){ "//", 2 });
    url->at.username_end = url->at.host = text_place(&url->text);
    const char *at = host.size == 0 ? NULL : memrchr(host.data, '@', host.size);
    if (at) {
        const size_t size = (size_t) (at - host.data);
        parse_credentials(self, span_head(host, size));
        host = span_from(host, size + 1);
    }
    const size_t host_size = url_host_size(host);
    const bool has_colon = host_size < host.size;
    if (host_size == 0 && (at || has_colon || self->scheme != SCHEME_OTHER))
        return -EINVAL;
    int r = url_append_host(&url->text, span_head(host, host_size), self->scheme);
    if (r < 0)
        return r;
    url->at.host_end = text_place(&url->text);
    if (has_colon && host_size + 1 < host.size) {
        const struct url_span digits = span_from(host, host_size + 1);
        for (size_t i = 0; i < digits.size; i++)
            if (!is_digit(digits.data[i]))
                return -EINVAL;
        r = url_parse_port(digits);
        if (r < 0)
            return r;
        if (!url_is_default_port(self->scheme, r))
            url_append_port(&url->text, (unsigned) r);
    }
    return parse_path(self, path);
}

/* A special URL's authority, before which there are any number of slashes. */
static int parse_slashes(struct parser *self, struct url_span text)
{
    size_t n = 0;

    while (n < text.size && is_slash(text.data[n], SCHEME_HTTP))
        n++;
    return parse_authority(self, span_from(text, n));
}

static bool starts_with_slashes(struct url_span text)
{
    return text.size >= 2 && text.data[0] == '/' && text.data[1] == '/';
}

/* A reference that has no scheme, or that of the base URL. */
static int parse_relative(struct parser *self, struct url_span text)
{
    struct url *url = self->url;

    if (text.size >= 2 && self->scheme != SCHEME_OTHER && is_slash(text.data[0], self->scheme) &&
        is_slash(text.data[1], self->scheme))
        return parse_slashes(self, text);
    if (starts_with_slashes(text))
        return parse_authority(self, span_from(text, 2));
    copy_authority(self);
    start_path(self);
    if (text.size > 0 && is_slash(text.data[0], self->scheme))
        return end_path(self, span_from(text, 1));
    url_text_append(&url->text, path_of(self->base));
    if (text.size > 0) {
        shorten_path(&url->text, url->at.pathname, self->scheme);
        return end_path(self, text);
    }
    if (!self->query.data)
        copy_query(self);
    if (!has_host(url))
        url->at.pathname = (uint32_t) url_end_hostless_path(&url->text, url->at.pathname);
    return end_url(self);
}

/* ---- file: URLs */

/* Parses the text behind "file://". */
static int parse_file_host(struct parser *self, struct url_span text)
{
    struct url *url = self->url;
    size_t end = 0;

    while (end < text.size && !is_slash(text.data[end], SCHEME_FILE))
        end++;
    const struct url_span host = span_head(text, end);
    url_text_append(&url->text, (struct url_span){ "//", 2 });
    url->at.username_end = url->at.host = url->at.host_end = text_place(&url->text);
    if (is_drive(host)) {
        start_path(self);
        return end_path(self, text);
    }
    if (host.size > 0) {
        const int r = url_append_host(&url->text, host, SCHEME_FILE);
        if (r < 0)
            return r;
        if (span_is(slice(url, url->at.host, url->text.size), "localhost"))
            url->text.size = url->at.host;
        url->at.host_end = text_place(&url->text);
    }
    return parse_path(self, span_from(text, end));
}

/* Writes the host of the base URL if that is one of a file, else an empty one. */
static void copy_file_host(struct parser *self)
{
    struct url *url = self->url;

    if (self->base) {
        copy_authority(self);
    } else {
        url_text_append(&url->text, (struct url_span){ "//", 2 });
        url->at.username_end = url->at.host = url->at.host_end = text_place(&url->text);
    }
    start_path(self);
}

/* Parses the text behind "file:". self->base: NULL if its scheme is another. */
static int parse_file(struct parser *self, struct url_span text)
{
    struct url *url = self->url;
    const bool has_slash = text.size > 0 && is_slash(text.data[0], SCHEME_FILE);

    if (has_slash && text.size > 1 && is_slash(text.data[1], SCHEME_FILE))
        return parse_file_host(self, span_from(text, 2));
    copy_file_host(self);
    if (has_slash) {
        text = span_from(text, 1);
        if (self->base && !starts_with_drive(text) && has_drive(path_of(self->base)))
            url_text_append(&url->text, span_head(path_of(self->base), 3));
        return end_path(self, text);
    }
    if (!self->base || (text.size > 0 && starts_with_drive(text)))
        return end_path(self, text);
    url_text_append(&url->text, path_of(self->base));
    if (text.size > 0) {
        shorten_path(&url->text, url->at.pathname, SCHEME_FILE);
        return end_path(self, text);
    }
    if (!self->query.data)
        copy_query(self);
    return end_url(self);
}

/* ---- the whole */

/* A reference without a scheme. */
static int parse_without_scheme(struct parser *self, struct url_span text)
{
    const struct url *base = self->base;

    if (!base)
        return -EINVAL;
    if (has_opaque_path(base)) {
        if (text.size > 0 || self->query.data || !self->fragment.data)
            return -EINVAL;
        self->url->at = base->at;
        url_text_append(&self->url->text, slice(base, 0, base->at.hash));
        url_text_put(&self->url->text, '#');
        url_text_encode(&self->url->text, self->fragment, SET_FRAGMENT);
        return self->url->text.error;
    }
    self->scheme = url_find_scheme(slice(base, 0, base->at.protocol_end - 1));
    self->url->at.protocol_end = base->at.protocol_end;
    url_text_append(&self->url->text, slice(base, 0, base->at.protocol_end));
    return self->scheme == SCHEME_FILE ? parse_file(self, text) : parse_relative(self, text);
}

static int parse_with_scheme(struct parser *self, struct url_span text, size_t size)
{
    struct url_text *out = &self->url->text;

    url_text_append(out, span_head(text, size + 1));
    if (out->error != 0)
        return out->error;
    for (size_t i = 0; i < size; i++)
        out->data[i] = to_lower(out->data[i]);
    self->url->at.protocol_end = text_place(out);
    self->scheme = url_find_scheme((struct url_span){ out->data, size });
    text = span_from(text, size + 1);
    if (self->base && (self->base->at.protocol_end != size + 1 ||
                       memcmp(self->base->text.data, out->data, size) != 0))
        self->base = NULL;
    if (self->scheme == SCHEME_FILE)
        return parse_file(self, text);
    if (self->scheme != SCHEME_OTHER)
        return self->base && !starts_with_slashes(text) ? parse_relative(self, text)
                                                        : parse_slashes(self, text);
    if (starts_with_slashes(text))
        return parse_authority(self, span_from(text, 2));
    if (text.size == 0 || text.data[0] != '/')
        return parse_opaque_path(self, text);
    set_no_host(self);
    start_path(self);
    return end_path(self, span_from(text, 1));
}

/* Cuts off what comes behind the first such byte. */
static struct url_span cut(struct url_span *text, char c)
{
    const size_t at = span_find(*text, c);
    struct url_span rest = { NULL, 0 };

    if (at < text->size)
        rest = span_from(*text, at + 1);
    *text = span_head(*text, at);
    return rest;
}

static struct url_span trim(struct url_span text)
{
    while (text.size > 0 && (uint8_t) text.data[text.size - 1] <= ' ')
        text.size--;
    while (text.size > 0 && (uint8_t) text.data[0] <= ' ')
        text = span_from(text, 1);
    return text;
}

int url_parse(struct url_span input, const struct url *base, struct url *url)
{
    char none;
    struct url_text room;
    struct parser self = { .url = url, .base = base };

    url_text_init(&room, &none, 0, url->text.caller);
    struct url_span text = url_strip_newlines(trim(input), &room);
    int r = room.error;
    if (r == 0) {
        self.fragment = cut(&text, '#');
        self.query = cut(&text, '?');
        const size_t scheme = url_scheme_size(text);
        r = scheme > 0 ? parse_with_scheme(&self, text, scheme) : parse_without_scheme(&self, text);
    }
    url_text_done(&room);
    return r < 0 ? r : url->text.error;
}

bool url_places_fit(const struct url_places *at, size_t size)
{
    return at->protocol_end > 0 && at->protocol_end <= at->username_end &&
           at->username_end <= at->host && at->host <= at->host_end &&
           at->host_end <= at->pathname && at->pathname <= at->search && at->search <= at->hash &&
           at->hash <= size &&
           (at->username_end == at->protocol_end || at->username_end >= at->protocol_end + 2);
}
