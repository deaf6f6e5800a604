/* SPDX-License-Identifier: Apache-2.0 */
/* Routes: the more exact route wins, and no host or path of a client costs more than its length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "supervisor/tenants/router.h"

static int setup(void **state)
{
    struct router *router = NULL;
    int r = router_new(&router);

    *state = router;
    return r;
}

static int teardown(void **state)
{
    (void) router_free(*state);
    return 0;
}

/* The target is the text of the route, so that a test reads as a table. */
static int add(struct router *router, const char *text)
{
    struct route_pattern pattern = { 0 };
    const char *reason = "";

    int r = route_pattern_parse(text, &pattern, &reason);
    if (r < 0)
        fail_msg("%s: %s", text, reason);
    r = router_add(router, &pattern, (void *) (uintptr_t) text);
    route_pattern_done(&pattern);
    return r;
}

static void expect(const struct router *router, const char *host, const char *path,
                   const char *route)
{
    const char *found = router_find(router, host, strlen(host), path, strlen(path));

    if (!route && found)
        fail_msg("%s%s went to %s", host, path, found);
    if (!route)
        return;
    if (!found)
        fail_msg("%s%s went nowhere", host, path);
    assert_string_equal(found, route);
}

static void test_nothing_fits_in_an_empty_router(void **state)
{
    expect(*state, "a.example", "/", NULL);
    expect(*state, "", "", NULL);
}

static void test_exact_host_is_before_suffix_before_any(void **state)
{
    add(*state, "*");
    add(*state, "*.example.com");
    add(*state, "*.b.example.com");
    add(*state, "a.example.com");
    expect(*state, "a.example.com", "/", "a.example.com");
    expect(*state, "c.example.com", "/", "*.example.com");
    expect(*state, "x.y.example.com", "/", "*.example.com");
    expect(*state, "x.b.example.com", "/", "*.b.example.com");
    expect(*state, "b.example.com", "/", "*.example.com");
    expect(*state, "example.com", "/", "*");
    expect(*state, "notexample.com", "/", "*");
    expect(*state, "", "/", "*");
}

static void test_dot_at_the_end_of_the_host_does_not_count(void **state)
{
    add(*state, "a.example.com");
    add(*state, "*.b.com");
    expect(*state, "a.example.com.", "/", "a.example.com");
    expect(*state, "x.b.com.", "/", "*.b.com");
    expect(*state, "a.example.com..", "/", NULL);
}

static void test_exact_path_is_before_the_longest_prefix(void **state)
{
    add(*state, "h/*");
    add(*state, "h/api/*");
    add(*state, "h/api/v1/*");
    add(*state, "h/api/v1/users");
    expect(*state, "h", "/", "h/*");
    expect(*state, "h", "/other", "h/*");
    expect(*state, "h", "/api/x", "h/api/*");
    expect(*state, "h", "/api/v1/x", "h/api/v1/*");
    expect(*state, "h", "/api/v1/users", "h/api/v1/users");
    expect(*state, "h", "/api/v1/users?id=1", "h/api/v1/users");
    expect(*state, "h", "/api/v1/users/", "h/api/v1/*");
    expect(*state, "h", "/api/v10", "h/api/*");
}

static void test_prefix_with_a_slash_takes_the_path_without_it(void **state)
{
    add(*state, "h/*");
    add(*state, "h/api/*");
    expect(*state, "h", "/api", "h/api/*");
    expect(*state, "h", "/api?x=/", "h/api/*");
    expect(*state, "h", "/api/", "h/api/*");
    expect(*state, "h", "/apix", "h/*");
    expect(*state, "h", "/ap", "h/*");
}

static void test_prefix_without_a_slash_takes_all_that_starts_so(void **state)
{
    add(*state, "h/api*");
    add(*state, "h/api/*");
    expect(*state, "h", "/apix", "h/api*");
    expect(*state, "h", "/api", "h/api/*");
    expect(*state, "h", "/api/x", "h/api/*");
    expect(*state, "h", "/ap", NULL);
}

static void test_host_without_a_route_for_the_path_leaves_it_to_the_next(void **state)
{
    add(*state, "a.example.com/api/*");
    add(*state, "*.example.com/img/*");
    add(*state, "*/*");
    expect(*state, "a.example.com", "/api/1", "a.example.com/api/*");
    expect(*state, "a.example.com", "/img/1", "*.example.com/img/*");
    expect(*state, "a.example.com", "/x", "*/*");
}

static void test_paths_are_compared_as_they_were_sent(void **state)
{
    add(*state, "h/*");
    add(*state, "h/api/*");
    expect(*state, "h", "/%61pi/x", "h/*");
    expect(*state, "h", "/API/x", "h/*");
    expect(*state, "h", "/api/../x", "h/api/*");
    expect(*state, "h", "//api/x", "h/*");
}

static void test_target_that_is_no_path_counts_as_the_root(void **state)
{
    add(*state, "h/");
    add(*state, "h/x/*");
    expect(*state, "h", "*", "h/");
    expect(*state, "h", "", "h/");
    expect(*state, "h", "?q", "h/");
    expect(*state, "h", "/?q", "h/");
    expect(*state, "h", "/y", NULL);
}

static void test_same_pattern_twice_is_refused(void **state)
{
    assert_int_equal(add(*state, "h/a/*"), 0);
    assert_int_equal(add(*state, "H/a/*"), -EEXIST);
    assert_int_equal(add(*state, "h/a/"), 0);
    assert_int_equal(add(*state, "*.h/a/*"), 0);
    assert_int_equal(add(*state, "*"), 0);
    assert_int_equal(add(*state, "*/*"), -EEXIST);
}

static void test_removed_target_leaves_the_others_in_order(void **state)
{
    static const char *const routes[] = { "h/*", "h/a/*", "h/a/b/*", "h/a/b/c", "i", "*.i", "*" };

    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        assert_int_equal(add(*state, routes[i]), 0);
    router_remove(*state, routes[1]);
    router_remove(*state, routes[4]);
    expect(*state, "h", "/a/x", "h/*");
    expect(*state, "h", "/a/b/x", "h/a/b/*");
    expect(*state, "h", "/a/b/c", "h/a/b/c");
    expect(*state, "i", "/", "*");
    expect(*state, "x.i", "/", "*.i");
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        router_remove(*state, routes[i]);
    expect(*state, "h", "/a/b/c", NULL);
    assert_int_equal(add(*state, routes[1]), 0);
    expect(*state, "h", "/a", "h/a/*");
}

/* Applies the rule itself, to one route after the other. */
static bool fits(const char *prefix, const char *path)
{
    size_t size = strlen(prefix);

    if (strncmp(path, prefix, size) == 0)
        return true;
    return prefix[size - 1] == '/' && strlen(path) == size - 1 &&
           strncmp(path, prefix, size - 1) == 0;
}

static void random_path(char *buffer, unsigned *seed, bool is_route)
{
    size_t size = 1 + (size_t) rand_r(seed) % 7;

    buffer[0] = '/';
    for (size_t i = 1; i < size; i++)
        buffer[i] = "/a"[rand_r(seed) % 2];
    (void) snprintf(buffer + size, 2, "%s", is_route ? "*" : "");
}

static void test_search_agrees_with_trying_every_route(void **state)
{
    char routes[40][16] = { { 0 } };
    unsigned seed = 42;

    for (unsigned round = 0; round < 300; round++) {
        struct router *router = NULL;
        assert_int_equal(router_new(&router), 0);
        for (size_t i = 0; i < 40; i++) {
            routes[i][0] = 'h';
            random_path(routes[i] + 1, &seed, true);
            (void) add(router, routes[i]);
        }
        for (size_t i = 0; i < 40; i += 3)
            router_remove(router, routes[i]);
        for (unsigned n = 0; n < 50; n++) {
            char path[16];
            random_path(path, &seed, false);
            const char *found = router_find(router, "h", 1, path, strlen(path));
            size_t best = 0;
            for (size_t i = 0; i < 40; i++) {
                char prefix[16];
                (void) snprintf(prefix, sizeof prefix, "%.*s", (int) strlen(routes[i]) - 2,
                                routes[i] + 1);
                /* a duplicate is there once, with the first as its target: removed if the first was */
                size_t first = 0;
                while (strcmp(routes[first], routes[i]) != 0)
                    first++;
                if (first % 3 != 0 && fits(prefix, path) && strlen(prefix) > best)
                    best = strlen(prefix);
            }
            if ((found ? strlen(found) - 2 : 0) != best)
                fail_msg("%s went to %s, expected %zu", path, found ? found : "nothing", best);
        }
        (void) router_free(router);
    }
    (void) state;
}

static void test_hostile_hosts_and_paths_are_harmless(void **state)
{
    char *dots = malloc(70000);
    char *deep = malloc(70000);

    assert_true(dots && deep);
    memset(dots, '.', 70000);
    for (size_t i = 0; i < 70000; i++)
        deep[i] = i % 2 == 0 ? '/' : 'a';
    add(*state, "*.a");
    add(*state, "h/*");
    add(*state, "h/a/a/a/a/*");
    assert_null(router_find(*state, dots, 70000, "/", 1));
    assert_null(router_find(*state, dots, 253, "/", 1));
    assert_null(router_find(*state, "\0.a\0", 4, "/", 1));
    assert_string_equal(router_find(*state, "h", 1, deep, 70000), "h/a/a/a/a/*");
    assert_string_equal(router_find(*state, "h", 1, "/\0\xff", 3), "h/*");
    free(dots);
    free(deep);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_fits_in_an_empty_router),
        TEST(test_exact_host_is_before_suffix_before_any),
        TEST(test_dot_at_the_end_of_the_host_does_not_count),
        TEST(test_exact_path_is_before_the_longest_prefix),
        TEST(test_prefix_with_a_slash_takes_the_path_without_it),
        TEST(test_prefix_without_a_slash_takes_all_that_starts_so),
        TEST(test_host_without_a_route_for_the_path_leaves_it_to_the_next),
        TEST(test_paths_are_compared_as_they_were_sent),
        TEST(test_target_that_is_no_path_counts_as_the_root),
        TEST(test_same_pattern_twice_is_refused),
        TEST(test_removed_target_leaves_the_others_in_order),
        TEST(test_search_agrees_with_trying_every_route),
        TEST(test_hostile_hosts_and_paths_are_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
