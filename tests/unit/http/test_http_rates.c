/* SPDX-License-Identifier: Apache-2.0 */
/* Least rates of clients, on the false clock of tests/events: nothing here depends on how busy the host is. */
#include "tests/unit/http/http_fixture.h"

#include "tests/events/clock.h"

#define LIMIT_MS 10000
#define LEAST_BYTES_PER_S 500
#define SECONDS 60
#define TURNS 10000
#define POST "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
#define WAIT "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"

/* Turns until the condition holds, with time standing still. */
#define TURN_UNTIL(fixture, condition)           \
    do {                                         \
        unsigned _turns = 0;                     \
        while (!(condition)) {                   \
            fixture_turn(fixture);               \
            (void) usleep(100);                  \
            assert_in_range(++_turns, 0, TURNS); \
        }                                        \
    } while (0)

static struct fixture *new_fixture(void)
{
    struct http_limits limits = fixture_limits;

    clock_reset();
    limits.body_idle_ms = limits.write_idle_ms = LIMIT_MS;
    limits.min_bytes_per_s = LEAST_BYTES_PER_S;
    return fixture_new(&limits);
}

static void pass_second(struct fixture *fixture)
{
    clock_pass(NSEC_PER_SEC);
    fixture_turn(fixture);
}

/* Sends its body at that rate. Returns after how many seconds it is given up; SECONDS: it is not. */
static unsigned upload(struct fixture *fixture, size_t bytes_per_s)
{
    _cleanup_(client_cleanup) struct client *client = client_new(fixture);
    static const char bytes[LEAST_BYTES_PER_S * 4];

    client_say(fixture, client, POST);
    TURN_UNTIL(fixture, fixture->exchange);
    for (unsigned second = 0; second < SECONDS; second++) {
        size_t before = fixture->body_size;
        client_send(fixture, client, bytes, bytes_per_s);
        TURN_UNTIL(fixture, fixture->gone > 0 || fixture->body_size == before + bytes_per_s);
        if (fixture->gone > 0) {
            assert_int_equal(fixture->why, HTTP_GONE_LATE);
            return second;
        }
        pass_second(fixture);
    }
    return SECONDS;
}

static void test_body_that_trickles_is_given_up_soon_after_the_idle_time(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = new_fixture();

    (void) state;
    assert_in_range(upload(fixture, 1), LIMIT_MS / 1000, LIMIT_MS / 1000 + 2);
}

static void test_body_at_half_the_least_rate_is_given_up_after_twice_the_idle_time(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = new_fixture();

    (void) state;
    assert_in_range(upload(fixture, LEAST_BYTES_PER_S / 2), 2 * LIMIT_MS / 1000 - 2,
                    2 * LIMIT_MS / 1000 + 2);
}

static void test_body_at_the_least_rate_has_all_the_time(void **state)
{
    _cleanup_(fixture_cleanup) struct fixture *fixture = new_fixture();

    (void) state;
    assert_int_equal(upload(fixture, LEAST_BYTES_PER_S), SECONDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_body_that_trickles_is_given_up_soon_after_the_idle_time),
        cmocka_unit_test(test_body_at_half_the_least_rate_is_given_up_after_twice_the_idle_time),
        cmocka_unit_test(test_body_at_the_least_rate_has_all_the_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
