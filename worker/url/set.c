/* SPDX-License-Identifier: Apache-2.0 */
/* The setters of class URL: the parser with a state override (https://url.spec.whatwg.org/#api). See url.h. */
#include "worker/url/internal.h"

/* A URL in parts, each of the old URL or of the value. */
struct parts {
    enum scheme scheme;
    struct url_span protocol; /* with its colon */
    struct url_span username;
    struct url_span password;
    struct url_span host; /* data NULL: there is none */
    struct url_span port; /* with its colon */
    struct url_span path;
    struct url_span query;    /* with its "?" */
    struct url_span fragment; /* with its "#" */
};

static struct url_span slice(const struct url *url, size_t from, size_t to)
{
    return (struct url_span){ url->text.data + from, to - from };
}

static struct parts split(const struct url *url)
{
    const struct url_places *at = &url->at;
    struct parts parts = {
        .scheme = url_find_scheme(slice(url, 0, at->protocol_end - 1)),
        .protocol = slice(url, 0, at->protocol_end),
        .path = slice(url, at->pathname, at->search),
        .query = slice(url, at->search, at->hash),
        .fragment = slice(url, at->hash, url->text.size),
    };

    if (at->username_end == at->protocol_end)
        return parts;
    parts.username = slice(url, at->protocol_end + 2, at->username_end);
    if (at->host > at->username_end)
        parts.password = slice(url, at->username_end + 1, at->host);
    const bool has_at = at->host < at->host_end && url->text.data[at->host] == '@';
    parts.host = slice(url, at->host + has_at, at->host_end);
    parts.port = slice(url, at->host_end, at->pathname);
    return parts;
}

static int join(const struct parts *parts, struct url *url)
{
    struct url_text *text = &url->text;
    struct url_places *at = &url->at;

    url_text_append(text, parts->protocol);
    at->protocol_end = at->username_end = at->host = at->host_end = text_place(text);
    if (parts->host.data) {
        url_text_append(text, (struct url_span){ "//", 2 });
        url_text_append(text, parts->username);
        at->username_end = text_place(text);
        if (parts->password.size > 0) {
            url_text_put(text, ':');
            url_text_append(text, parts->password);
        }
        at->host = text_place(text);
        if (parts->username.size > 0 || parts->password.size > 0)
            url_text_put(text, '@');
        url_text_append(text, parts->host);
        at->host_end = text_place(text);
        url_text_append(text, parts->port);
    }
    at->pathname = text_place(text);
    url_text_append(text, parts->path);
    if (!parts->host.data)
        at->pathname = (uint32_t) url_end_hostless_path(text, at->pathname);
    at->search = text_place(text);
    url_text_append(text, parts->query);
    at->hash = text_place(text);
    url_text_append(text, parts->fragment);
    return text->error;
}

static bool has_credentials(const struct parts *parts)
{
    return parts->username.size > 0 || parts->password.size > 0;
}

static bool has_opaque_path(const struct parts *parts)
{
    return !parts->host.data && (parts->path.size == 0 || parts->path.data[0] != '/');
}

static bool may_have_credentials(const struct parts *parts)
{
    return parts->host.size > 0 && parts->scheme != SCHEME_FILE;
}

static struct url_span all(const struct url_text *text)
{
    return (struct url_span){ text->data, text->size };
}

/* ---- a setter for each component. room: an empty text for what the value becomes */

static int set_protocol(struct parts *parts, struct url_span value, struct url_text *room)
{
    url_text_append(room, value);
    url_text_put(room, ':');
    if (room->error != 0)
        return room->error;
    const size_t size = url_scheme_size(all(room));
    if (size == 0)
        return -EINVAL;
    room->size = size + 1;
    for (size_t i = 0; i < size; i++)
        room->data[i] = to_lower(room->data[i]);
    const enum scheme scheme = url_find_scheme((struct url_span){ room->data, size });
    if ((scheme == SCHEME_OTHER) != (parts->scheme == SCHEME_OTHER) ||
        (scheme == SCHEME_FILE && (has_credentials(parts) || parts->port.size > 0)) ||
        (parts->scheme == SCHEME_FILE && parts->host.size == 0))
        return -EINVAL;
    parts->protocol = all(room);
    if (parts->port.size > 0 &&
        url_is_default_port(scheme, url_parse_port(span_from(parts->port, 1))))
        parts->port.size = 0;
    return 0;
}

static int set_username(struct parts *parts, struct url_span value, struct url_text *room)
{
    if (!may_have_credentials(parts))
        return -EINVAL;
    url_text_encode(room, value, SET_USERINFO);
    parts->username = all(room);
    return room->error;
}

static int set_password(struct parts *parts, struct url_span value, struct url_text *room)
{
    if (!may_have_credentials(parts))
        return -EINVAL;
    url_text_encode(room, value, SET_USERINFO);
    parts->password = all(room);
    return room->error;
}

static size_t count_digits(struct url_span value)
{
    size_t n = 0;

    while (n < value.size && is_digit(value.data[n]))
        n++;
    return n;
}

/* Reads a port at the start of value: appends it to room, nothing for the default one. Returns -EINVAL without a valid one. */
static int read_port(struct parts *parts, struct url_span value, struct url_text *room)
{
    const size_t digits = count_digits(value);
    const int port = digits == 0 ? -EINVAL : url_parse_port(span_head(value, digits));

    if (port < 0)
        return port;
    const size_t start = room->size;
    if (!url_is_default_port(parts->scheme, port))
        url_append_port(room, (unsigned) port);
    parts->port = (struct url_span){ room->data + start, room->size - start };
    return room->error;
}

static int set_file_host(struct parts *parts, struct url_span value, struct url_text *room)
{
    if (value.size > 0) {
        const int r = url_append_host(room, value, SCHEME_FILE);
        if (r < 0)
            return r;
        if (span_is(all(room), "localhost"))
            room->size = 0;
    }
    parts->host = all(room);
    return 0;
}

static int set_host_or_name(struct parts *parts, struct url_span value, bool is_name,
                            struct url_text *room)
{
    size_t end = 0;

    if (has_opaque_path(parts))
        return -EINVAL;
    while (end < value.size && !is_slash(value.data[end], parts->scheme) &&
           value.data[end] != '?' && value.data[end] != '#')
        end++;
    value = span_head(value, end);
    if (parts->scheme == SCHEME_FILE)
        return set_file_host(parts, value, room);
    const size_t size = url_host_size(value);
    const bool has_colon = size < value.size;
    if (has_colon && (is_name || size == 0))
        return -EINVAL;
    if (size == 0 &&
        (parts->scheme != SCHEME_OTHER || has_credentials(parts) || parts->port.size > 0))
        return -EINVAL;
    const int r = url_append_host(room, span_head(value, size), parts->scheme);
    if (r < 0)
        return r;
    const size_t host_size = room->size;
    if (has_colon) /* without a valid port, the host alone is set */
        (void) read_port(parts, span_from(value, size + 1), room);
    if (parts->port.size > 0 && room->size > host_size) /* the text may have moved */
        parts->port = span_from(all(room), host_size);
    parts->host = span_head(all(room), host_size);
    return room->error;
}

static int set_host(struct parts *parts, struct url_span value, struct url_text *room)
{
    return set_host_or_name(parts, value, false, room);
}

static int set_hostname(struct parts *parts, struct url_span value, struct url_text *room)
{
    return set_host_or_name(parts, value, true, room);
}

static int set_port(struct parts *parts, struct url_span value, struct url_text *room)
{
    if (!may_have_credentials(parts))
        return -EINVAL;
    if (!value.data) {
        parts->port.size = 0;
        return 0;
    }
    return read_port(parts, value, room);
}

static int set_pathname(struct parts *parts, struct url_span value, struct url_text *room)
{
    if (has_opaque_path(parts))
        return -EINVAL;
    if (value.size > 0 && is_slash(value.data[0], parts->scheme))
        url_append_segments(room, 0, span_from(value, 1), parts->scheme);
    else if (value.size > 0 || parts->scheme != SCHEME_OTHER || !parts->host.data)
        url_append_segments(room, 0, value, parts->scheme);
    parts->path = all(room);
    return room->error;
}

static int set_search(struct parts *parts, struct url_span value, struct url_text *room)
{
    if (value.data) {
        url_text_put(room, '?');
        url_text_encode(room, value, parts->scheme != SCHEME_OTHER ? SET_SPECIAL_QUERY : SET_QUERY);
    }
    parts->query = all(room);
    return room->error;
}

static int set_hash(struct parts *parts, struct url_span value, struct url_text *room)
{
    if (value.data) {
        url_text_put(room, '#');
        url_text_encode(room, value, SET_FRAGMENT);
    }
    parts->fragment = all(room);
    return room->error;
}

static int (*const setters[])(struct parts *, struct url_span, struct url_text *) = {
    [URL_PROTOCOL] = set_protocol, [URL_USERNAME] = set_username, [URL_PASSWORD] = set_password,
    [URL_HOST] = set_host,         [URL_HOSTNAME] = set_hostname, [URL_PORT] = set_port,
    [URL_PATHNAME] = set_pathname, [URL_SEARCH] = set_search,     [URL_HASH] = set_hash,
};

int url_set(const struct url *old, enum url_component component, struct url_span value,
            struct url *url)
{
    struct parts parts = split(old);
    char small[512];
    char none;
    struct url_text room;
    struct url_text plain;

    url_text_init(&room, small, sizeof(small), url->text.caller);
    url_text_init(&plain, &none, 0, url->text.caller);
    if (component != URL_USERNAME && component != URL_PASSWORD)
        value = url_strip_newlines(value, &plain);
    int r = plain.error;
    if (r == 0)
        r = setters[component](&parts, value, &room);
    if (r == 0)
        r = join(&parts, url);
    url_text_done(&plain);
    url_text_done(&room);
    return r;
}

void url_append_opaque_path(struct url_text *text, struct url_span value)
{
    char none;
    struct url_text room;

    url_text_init(&room, &none, 0, text->caller);
    value = url_strip_newlines(value, &room);
    value = span_head(value, span_find(value, '#'));
    value = span_head(value, span_find(value, '?'));
    url_text_encode(text, value, SET_C0);
    if (text->error == 0)
        text->error = room.error;
    url_text_done(&room);
}
