/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds texts to the URL parser of worker/url: a URL, its base and a value for a setter, with zero bytes between them; the first byte names the
 * component that is set. A URL's text is plain ASCII, and is a URL that is written the same way, with the same places.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "worker/url/url.h"

#define INPUT_MAX_BYTES ((size_t) 16 << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Takes a domain as it is, so that any byte comes out of a table. */
static int to_ascii(void *owner, struct url_span domain, struct url_text *out)
{
    (void) owner;
    url_text_append(out, domain);
    return out->error;
}

static const struct url_caller caller = { .to_ascii = to_ascii };

static void init(struct url *url)
{
    memset(url, 0, sizeof(*url));
    url_text_init(&url->text, NULL, 0, &caller);
}

static struct url_span text_of(const struct url *url)
{
    return (struct url_span){ url->text.data, url->text.size };
}

static void check(const struct url *url)
{
    struct url again;

    require(url_places_fit(&url->at, url->text.size));
    for (size_t i = 0; i < url->text.size; i++)
        require(url->text.data[i] >= ' ' && url->text.data[i] <= '~');
    init(&again);
    require(url_parse(text_of(url), NULL, &again) == 0);
    require(again.text.size == url->text.size &&
            memcmp(again.text.data, url->text.data, url->text.size) == 0);
    require(memcmp(&again.at, &url->at, sizeof(url->at)) == 0);
    url_text_done(&again.text);
}

static struct url_span next(struct url_span *rest)
{
    const char *end = rest->size == 0 ? NULL : memchr(rest->data, 0, rest->size);
    const size_t size = end ? (size_t) (end - rest->data) : rest->size;
    const struct url_span part = { rest->data, size };

    *rest =
        (struct url_span){ rest->data + size + (end ? 1 : 0), rest->size - size - (end ? 1 : 0) };
    return part;
}

static void check_forms(struct url_span value)
{
    struct url_text text;
    struct url_text back;

    url_text_init(&text, NULL, 0, NULL);
    url_text_init(&back, NULL, 0, NULL);
    url_form_encode(&text, value);
    url_form_decode(&back, (struct url_span){ text.data, text.size });
    require(back.size == value.size &&
            (value.size == 0 || memcmp(back.data, value.data, value.size) == 0));
    url_text_done(&text);
    url_text_done(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct url base;
    struct url url;
    struct url changed;

    if (size < 1 || size > INPUT_MAX_BYTES)
        return 0;
    struct url_span rest = { (const char *) data + 1, size - 1 };
    const struct url_span input = next(&rest);
    const struct url_span base_input = next(&rest);
    init(&base);
    init(&url);
    init(&changed);
    const bool has_base = base_input.size > 0 && url_parse(base_input, NULL, &base) == 0;
    if (url_parse(input, has_base ? &base : NULL, &url) == 0) {
        check(&url);
        if (url_set(&url, data[0] % (URL_HASH + 1), rest, &changed) == 0)
            check(&changed);
    }
    check_forms(input);
    url_text_done(&base.text);
    url_text_done(&url.text);
    url_text_done(&changed.text);
    return 0;
}
