/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/rest.h"

#include "common/io.h"
#include "worker/host_internal.h"

#define REST_AFTER_NS (5 * NSEC_PER_SEC)
/* Rests take at most this part of a processor: skepd replaces a worker with nothing in it that uses 5 %. */
#define SHARE 40

static void look_again(struct host *host, uint64_t after_ns)
{
    const struct timeval later = {
        .tv_sec = (time_t) (after_ns / NSEC_PER_SEC),
        .tv_usec = (suseconds_t) (after_ns % NSEC_PER_SEC / NSEC_PER_USEC),
    };

    (void) event_add(host->rest, &later);
}

void rest_note(struct app *app, uint64_t now)
{
    app->used_ns = now;
    if (app->is_restless)
        return;
    app->is_restless = true;
    if (!event_pending(app->host->rest, EV_TIMEOUT, NULL))
        look_again(app->host, REST_AFTER_NS);
}

/* Returns the CPU time that it took. */
static uint64_t rest(struct app *app)
{
    uint64_t from_ns = io_clock_ns(CLOCK_THREAD_CPUTIME_ID);

    app->is_restless = false;
    if (isolate_rest(app->isolate)) {
        app_charge(app, from_ns);
        app->is_unmeasured = true;
        app->host->is_trim_due = true;
        entry_measure_soon(app->host);
    }
    return io_clock_ns(CLOCK_THREAD_CPUTIME_ID) - from_ns;
}

void rest_on_time(evutil_socket_t fd, short what, void *arg)
{
    struct host *host = arg;
    uint64_t now = io_now_ns(), used_ns = now, taken_ns = 0;
    struct app *due = NULL;

    (void) fd;
    (void) what;
    for (size_t i = 0; i < APPS_MAX; i++) {
        struct app *app = host->apps[i];
        if (!app || !app->is_restless || app->used_ns > used_ns)
            continue;
        due = app;
        used_ns = app->used_ns;
    }
    if (!due)
        return;
    if (now - used_ns < REST_AFTER_NS) {
        look_again(host, REST_AFTER_NS - (now - used_ns));
        return;
    }
    taken_ns = rest(due);
    look_again(host, SHARE * taken_ns);
}
