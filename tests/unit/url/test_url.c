/* SPDX-License-Identifier: Apache-2.0 */
/* worker/url: rows of URLs as web-platform-tests have them, setters, places, forms, and work that is too much or is stopped. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/url/url.h"

static struct url_span span(const char *text)
{
    return (struct url_span){ text, text ? strlen(text) : 0 };
}

/* A table of one domain. */
static int to_ascii(void *owner, struct url_span domain, struct url_text *out)
{
    (void) owner;
    if (domain.size == 6 && memcmp(domain.data, "\xc3\xa4.com", 6) == 0)
        url_text_append(out, span("xn--4ca.com"));
    else if (domain.size == 11 && memcmp(domain.data, "xn--4ca.com", 11) == 0)
        url_text_append(out, domain);
    else
        return -EINVAL;
    return out->error;
}

static const struct url_caller caller = { .to_ascii = to_ascii };

/* A URL in no room of its own. */
static void init(struct url *url)
{
    memset(url, 0, sizeof(*url));
    url_text_init(&url->text, NULL, 0, &caller);
}

static int parse(const char *input, const char *base, struct url *url)
{
    struct url parsed;
    int r = 0;

    init(&parsed);
    init(url);
    if (base)
        r = url_parse(span(base), NULL, &parsed);
    if (r == 0)
        r = url_parse(span(input), base ? &parsed : NULL, url);
    url_text_done(&parsed.text);
    return r;
}

static void assert_text(const struct url_text *text, const char *expected)
{
    if (text->size != strlen(expected) || memcmp(text->data, expected, text->size) != 0)
        fail_msg("%.*s, expected %s", (int) text->size, text->data, expected);
}

struct row {
    const char *input;
    const char *base;
    const char *href; /* NULL: not a URL */
};

static const struct row rows[] = {
    { "http://example.com", NULL, "http://example.com/" },
    { " \t HtTp:\\\\EXAMPLE.com:80\\a\\..\\b?q#f\n", NULL, "http://example.com/b?q#f" },
    { "http://user:pass@host:0081/p", NULL, "http://user:pass@host:81/p" },
    { "http://a@b:c@d/", NULL, "http://a%40b:c@d/" },
    { "http://:@host/", NULL, "http://host/" },
    { "http://@/", NULL, NULL },
    { "http://host:65536/", NULL, NULL },
    { "http://host:8a/", NULL, NULL },
    { "http:///a", NULL, "http://a/" },
    { "http://", NULL, NULL },
    { "https://ex\nam\rple.co\tm/a b\"<>`{}^", NULL,
      "https://example.com/a%20b%22%3C%3E%60%7B%7D%5E" },
    { "https://h/?a b'\"", NULL, "https://h/?a%20b%27%22" },
    { "foo://h/?a b'\"", NULL, "foo://h/?a%20b'%22" },
    { "https://h/#a b`", NULL, "https://h/#a%20b%60" },
    { "https://h/\xc3\xa4?\xc3\xa4#\xc3\xa4", NULL, "https://h/%C3%A4?%C3%A4#%C3%A4" },
    { "https://h/a/./b/%2e%2E/c/..", NULL, "https://h/a/" },
    { "https://h/../../a/..%2f", NULL, "https://h/a/..%2f" },
    { "https://h/a//b", NULL, "https://h/a//b" },

    { "http://1.2.3/", NULL, "http://1.2.0.3/" },
    { "http://0x7f.1/", NULL, "http://127.0.0.1/" },
    { "http://017700000001./", NULL, "http://127.0.0.1/" },
    { "http://4294967296/", NULL, NULL },
    { "http://1.2.3.4.5/", NULL, NULL },
    { "http://1.256.0.1/", NULL, NULL },
    { "http://1.2.3.09/", NULL, NULL },
    { "http://a.0x/", NULL, NULL },
    { "http://09.a/", NULL, "http://09.a/" },
    { "foo://1.2.3/", NULL, "foo://1.2.3/" },

    { "http://[1:0:0:2::3]/", NULL, "http://[1:0:0:2::3]/" },
    { "http://[::]/", NULL, "http://[::]/" },
    { "http://[1::]/", NULL, "http://[1::]/" },
    { "http://[0:0:1:0:0:0:0:1]/", NULL, "http://[0:0:1::1]/" },
    { "http://[1:2:0:4:5:6:7:8]/", NULL, "http://[1:2:0:4:5:6:7:8]/" },
    { "http://[::FFFF:1.2.3.4]:443/", NULL, "http://[::ffff:102:304]:443/" },
    { "http://[1:2:3:4:5:6:7::]/", NULL, "http://[1:2:3:4:5:6:7:0]/" },
    { "http://[1:2:3:4:5:6:7:8:9]/", NULL, NULL },
    { "http://[1::2::3]/", NULL, NULL },
    { "http://[1:2]/", NULL, NULL },
    { "http://[::1.2.3]/", NULL, NULL },
    { "http://[::1.2.3.04]/", NULL, NULL },
    { "http://[::12345]/", NULL, NULL },
    { "http://[1:]/", NULL, NULL },
    { "http://[]/", NULL, NULL },
    { "http://[", NULL, NULL },

    { "http://ex%41mple.com/", NULL, "http://example.com/" },
    { "http://a%00b/", NULL, NULL },
    { "http://a b/", NULL, NULL },
    { "http://a<b/", NULL, NULL },
    { "http://%zz/", NULL, NULL },
    { "http://\xc3\xa4.com/", NULL, "http://xn--4ca.com/" },
    { "http://%C3%A4.com/", NULL, "http://xn--4ca.com/" },
    { "http://XN--a.com/", NULL, NULL },
    { "http://axn--a.com/", NULL, "http://axn--a.com/" },
    { "foo://\xc3\xa4 /", NULL, NULL },
    { "foo://\xc3\xa4/", NULL, "foo://%C3%A4/" },
    { "foo://H:0/", NULL, "foo://H:0/" },
    { "foo://", NULL, "foo://" },
    { "foo:///p", NULL, "foo:///p" },
    { "foo://:80", NULL, NULL },

    { "foo:/a/../..//b", NULL, "foo:/.//b" },
    { "foo:a  ", NULL, "foo:a" },
    { "foo:a  ?q", NULL, "foo:a %20?q" },
    { "foo:", NULL, "foo:" },
    { "javascript:a\xc3\xa4 b", NULL, "javascript:a%C3%A4 b" },
    { "1foo:a", NULL, NULL },
    { "", NULL, NULL },
    { "", "http://h/a?b#c", "http://h/a?b" },
    { "#d", "http://h/a?b#c", "http://h/a?b#d" },
    { "?d", "http://h/a/b?c", "http://h/a/b?d" },
    { "d", "http://u:p@h:81/a/b?c", "http://u:p@h:81/a/d" },
    { "/d", "http://u:p@h:81/a/b", "http://u:p@h:81/d" },
    { "//x/d", "http://u:p@h:81/a/b", "http://x/d" },
    { "http:d", "http://h/a/b", "http://h/a/d" },
    { "http:d", "https://h/a/b", "http://d/" },
    { "http:/\\d", "http://h/a/b", "http://d/" },
    { "../../../d", "http://h/a/b/c", "http://h/d" },
    { "..//d", "foo:/a/b", "foo:/.//d" },
    { "", "foo:/.//d", "foo:/.//d" },
    { "x", "foo:/.//d", "foo:/.//x" },
    { "\\x", "foo://h/a", "foo://h/\\x" },
    { "x", "foo://h", "foo://h/x" },
    { "#x", "foo:a", "foo:a#x" },
    { "x", "foo:a", NULL },
    { "?x", "foo:a", NULL },
    { "", "foo:a", NULL },

    { "file:", NULL, "file:///" },
    { "file:c|/../../a", NULL, "file:///c:/a" },
    { "file://c:/a", NULL, "file:///c:/a" },
    { "file://localhost/a", NULL, "file:///a" },
    { "file://H/a", NULL, "file://h/a" },
    { "file:///a//../..", NULL, "file:///" },
    { "/a", "file://h/c:/b", "file://h/c:/a" },
    { "/d:/a", "file://h/c:/b", "file://h/d:/a" },
    { "d|", "file://h/c:/b", "file://h/d:" },
    { "a", "file://h/c:/b", "file://h/c:/a" },
    { "..", "file://h/c:/b", "file://h/c:/" },
    { "?q", "file://h/b?x", "file://h/b?q" },
    { "", "file://h/b?x#y", "file://h/b?x" },
    { "//a", "file://h/b", "file://a/" },
    { "file:a", "http://h/b", "file:///a" },
    { "file://a b/", NULL, NULL },
};

static void test_each_row(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct url url;
        const int r = parse(rows[i].input, rows[i].base, &url);
        if ((r == 0) != (rows[i].href != NULL) || (r != 0 && r != -EINVAL))
            fail_msg("%s: %d", rows[i].input, r);
        if (r == 0) {
            assert_text(&url.text, rows[i].href);
            assert_true(url_places_fit(&url.at, url.text.size));
        }
        url_text_done(&url.text);
    }
}

static void assert_part(const struct url *url, uint32_t from, uint32_t to, const char *expected)
{
    assert_int_equal(to - from, strlen(expected));
    assert_memory_equal(url->text.data + from, expected, to - from);
}

static void test_places(void **state)
{
    struct url url;
    const struct url_places *at = &url.at;

    (void) state;
    assert_int_equal(parse("https://u:p@h:81/a?b#c", NULL, &url), 0);
    assert_part(&url, 0, at->protocol_end, "https:");
    assert_part(&url, at->protocol_end, at->username_end, "//u");
    assert_part(&url, at->username_end, at->host, ":p");
    assert_part(&url, at->host, at->host_end, "@h");
    assert_part(&url, at->host_end, at->pathname, ":81");
    assert_part(&url, at->pathname, at->search, "/a");
    assert_part(&url, at->search, at->hash, "?b");
    assert_part(&url, at->hash, (uint32_t) url.text.size, "#c");
    url_text_done(&url.text);

    assert_int_equal(parse("foo:/.//a", NULL, &url), 0);
    assert_int_equal(at->host_end, at->protocol_end);
    assert_part(&url, at->pathname, at->search, "//a");
    assert_int_equal(at->hash, url.text.size);
    url_text_done(&url.text);
}

struct change {
    const char *href;
    enum url_component component;
    const char *value;
    const char *expected; /* NULL: the URL stays as it is */
};

static const struct change changes[] = {
    { "http://h:443/", URL_PROTOCOL, "HTTPS:x", "https://h/" },
    { "http://h/", URL_PROTOCOL, "foo", NULL },
    { "foo://h/", URL_PROTOCOL, "http", NULL },
    { "foo://h/", URL_PROTOCOL, "b+a.r", "b+a.r://h/" },
    { "foo://h/", URL_PROTOCOL, "1", NULL },
    { "foo://h/", URL_PROTOCOL, "a b", NULL },
    { "http://u@h/", URL_PROTOCOL, "file", NULL },
    { "file:///a", URL_PROTOCOL, "http", NULL },
    { "http://h/", URL_USERNAME, "a\n@", "http://a%0A%40@h/" },
    { "http://u:p@h/", URL_USERNAME, "", "http://:p@h/" },
    { "http://u:p@h/", URL_PASSWORD, "", "http://u@h/" },
    { "http://h/", URL_PASSWORD, ":", "http://:%3A@h/" },
    { "file://h/", URL_USERNAME, "a", NULL },
    { "foo:a", URL_USERNAME, "a", NULL },
    { "http://u@h:81/a", URL_HOST, "X:82/y", "http://u@x:82/a" },
    { "http://h:81/", URL_HOST, "x:80", "http://x/" },
    { "http://h:81/", URL_HOST, "x:", "http://x:81/" },
    { "http://h:81/", URL_HOST, "x:99999", "http://x:81/" },
    { "http://h:81/", URL_HOST, "", NULL },
    { "http://h/", URL_HOST, "a b", NULL },
    { "http://h/", URL_HOST, "[::1]:7x", "http://[::1]:7/" },
    { "foo:/.//a", URL_HOST, "h", "foo://h//a" },
    { "foo://h:1/", URL_HOST, "", NULL },
    { "foo://h/", URL_HOST, "", "foo:///" },
    { "foo:a", URL_HOST, "h", NULL },
    { "file:///a", URL_HOST, "localhost", "file:///a" },
    { "file:///a", URL_HOST, "h?x", "file://h/a" },
    { "file:///a", URL_HOST, "h:1", NULL },
    { "http://h:81/", URL_HOSTNAME, "x", "http://x:81/" },
    { "http://h:81/", URL_HOSTNAME, "x:82", NULL },
    { "http://h/", URL_PORT, "\t8\n1x", "http://h:81/" },
    { "http://h:81/", URL_PORT, "80", "http://h/" },
    { "http://h:81/", URL_PORT, NULL, "http://h/" },
    { "http://h:81/", URL_PORT, "x", NULL },
    { "http://h:81/", URL_PORT, "65536", NULL },
    { "file://h/", URL_PORT, "1", NULL },
    { "http://h/a?q#f", URL_PATHNAME, "b/../c?#", "http://h/c%3F%23?q#f" },
    { "http://h/a", URL_PATHNAME, "\\b", "http://h/b" },
    { "http://h/a", URL_PATHNAME, "", "http://h/" },
    { "foo:/a", URL_PATHNAME, "//b", "foo:/.//b" },
    { "foo:/a", URL_PATHNAME, "", "foo:/" },
    { "foo://h/a", URL_PATHNAME, "", "foo://h" },
    { "foo:a", URL_PATHNAME, "b", NULL },
    { "file:///a", URL_PATHNAME, "c|/d", "file:///c:/d" },
    { "http://h/?q#f", URL_SEARCH, "a'#", "http://h/?a%27%23#f" },
    { "http://h/?q#f", URL_SEARCH, "", "http://h/?#f" },
    { "http://h/?q#f", URL_SEARCH, NULL, "http://h/#f" },
    { "foo:a?q", URL_SEARCH, "a'\n", "foo:a?a'" },
    { "http://h/?q#f", URL_HASH, "a b", "http://h/?q#a%20b" },
    { "http://h/?q#f", URL_HASH, NULL, "http://h/?q" },
};

static void test_each_setter(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct url old;
        struct url url;
        assert_int_equal(parse(changes[i].href, NULL, &old), 0);
        assert_text(&old.text, changes[i].href);
        init(&url);
        const int r = url_set(&old, changes[i].component, span(changes[i].value), &url);
        if ((r == 0) != (changes[i].expected != NULL) || (r != 0 && r != -EINVAL))
            fail_msg("%s, %s: %d", changes[i].href, changes[i].value, r);
        if (r == 0) {
            struct url again;
            assert_text(&url.text, changes[i].expected);
            assert_int_equal(parse(changes[i].expected, NULL, &again), 0);
            assert_memory_equal(&url.at, &again.at, sizeof(url.at));
            url_text_done(&again.text);
        }
        url_text_done(&url.text);
        url_text_done(&old.text);
    }
}

static void test_places_that_do_not_fit(void **state)
{
    const struct url_places good = { 5, 7, 7, 8, 8, 9, 9 };
    struct url_places at = good;

    (void) state;
    assert_true(url_places_fit(&at, 9));
    assert_false(url_places_fit(&at, 8));
    at.protocol_end = 0;
    assert_false(url_places_fit(&at, 9));
    at = good;
    at.username_end = 6;
    assert_false(url_places_fit(&at, 9));
    at = good;
    at.pathname = 7;
    assert_false(url_places_fit(&at, 9));
    at = good;
    at.search = UINT32_MAX;
    assert_false(url_places_fit(&at, 9));
}

static void test_form(void **state)
{
    struct url_text text;

    (void) state;
    url_text_init(&text, NULL, 0, NULL);
    url_form_encode(&text, span("a b*-._~\xc3\xa4&="));
    assert_text(&text, "a+b*-._%7E%C3%A4%26%3D");
    url_text_done(&text);
    url_text_init(&text, NULL, 0, NULL);
    url_form_decode(&text, span("a+b%20%zz%4%C3%a4%"));
    assert_text(&text, "a b %zz%4\xc3\xa4%");
    url_text_done(&text);
}

static void test_opaque_path(void **state)
{
    struct url_text text;

    (void) state;
    url_text_init(&text, NULL, 0, NULL);
    url_append_opaque_path(&text, span(" a\n\x01/?b#"));
    assert_text(&text, " a%01/");
    url_text_done(&text);
}

static bool count_and_stop(void *owner)
{
    return ++*(int *) owner >= 3;
}

static void test_work_that_is_stopped_ends_within_some_64_kib(void **state)
{
    int looks = 0;
    const struct url_caller stopping = { .is_stopped = count_and_stop, .owner = &looks };
    const size_t size = (size_t) 1 << 22;
    char *input = malloc(size);

    (void) state;
    assert_non_null(input);
    for (int i = 0; i < 2; i++) { /* one long segment, and many */
        struct url url = { .at = { 0 } };
        looks = 0;
        memset(input, i == 0 ? 'a' : '/', size);
        memcpy(input, "http://h/", 9);
        url_text_init(&url.text, NULL, 0, &stopping);
        assert_int_equal(url_parse((struct url_span){ input, size }, NULL, &url), -EINTR);
        assert_true(url.text.size <= (size_t) 4 << 16);
        assert_int_equal(looks, 3);
        url_text_done(&url.text);
    }
    free(input);
}

static void test_url_that_grows_too_long_is_refused(void **state)
{
    const size_t size = (size_t) URL_TEXT_MAX_BYTES / 2;
    char *input = malloc(size);
    struct url url;

    (void) state;
    assert_non_null(input);
    memset(input, ' ', size); /* becomes three times as long */
    memcpy(input, "http://h/", 9);
    input[size - 1] = '/';
    init(&url);
    assert_int_equal(url_parse((struct url_span){ input, size }, NULL, &url), -EFBIG);
    url_text_done(&url.text);
    free(input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_row),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_each_setter),
        cmocka_unit_test(test_places_that_do_not_fit),
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_opaque_path),
        cmocka_unit_test(test_work_that_is_stopped_ends_within_some_64_kib),
        cmocka_unit_test(test_url_that_grows_too_long_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
