/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/requests/fetches.h"

#include <errno.h>
#include <stdlib.h>

#include "common/io.h"
#include "common/loop_watch.h"
#include "supervisor/helpers/egress.h"
#include "supervisor/requests/fetch.h"

static struct fetch *fetch_of(struct fetch_place *place)
{
    char *at = (char *) place - offsetof(struct fetch, place);

    return (struct fetch *) (void *) at;
}

/* ---- turns */

static void want_turn(const struct fetches *fetches)
{
    if (fetches->queue.n_waiting > 0)
        event_active(fetches->turn, EV_WRITE, 0);
}

static void take_turns(struct fetches *fetches)
{
    struct fetch_place *place;

    while (!fetches->is_held && (place = fetch_queue_next(&fetches->queue)))
        if (fetch_begin(fetch_of(place)) == -EAGAIN)
            fetches->is_held = true;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("fetches: turn");
    take_turns(arg);
}

static void on_room(void *owner)
{
    struct fetches *fetches = owner;

    fetches->is_held = false;
    fetches->down_ns = 0;
    want_turn(fetches);
}

bool fetches_await_egress(struct fetches *fetches)
{
    uint64_t now = loop_now_ns();

    if (!fetches->egress)
        return false;
    if (fetches->down_ns == 0)
        fetches->down_ns = now;
    return now < fetches->down_ns + FETCH_DOWN_MS * NSEC_PER_MSEC;
}

bool fetches_would_wait(const struct fetches *fetches, const struct request *parent)
{
    return fetches->is_held || fetch_queue_would_wait(&fetches->queue, &parent->fetches,
                                                      parent->attempt.tenant->books.fetches);
}

int fetches_add(struct fetches *fetches, struct fetch *fetch)
{
    struct tenant_books *books = &fetch->parent->attempt.tenant->books;

    if (!books->fetches)
        books->fetches = calloc(1, sizeof *books->fetches);
    if (!books->fetches)
        return -ENOMEM;
    books->has_fetched = true;
    fetch_queue_join(&fetches->queue, &fetch->place, &fetch->parent->fetches, books->fetches,
                     loop_now_ns());
    take_turns(fetches);
    return 0;
}

void fetches_remove(struct fetches *fetches, struct fetch *fetch)
{
    struct tenant_books *books = &fetch->parent->attempt.tenant->books;

    fetch_queue_leave(&fetches->queue, &fetch->place);
    if (books->fetches && books->fetches->n_places == 0) {
        free(books->fetches);
        books->fetches = NULL;
    }
    want_turn(fetches);
}

void fetches_note_head(struct fetches *fetches, struct fetch *fetch)
{
    fetch_queue_answer(&fetches->queue, &fetch->place);
    want_turn(fetches);
}

void fetches_check(struct fetches *fetches, uint64_t now)
{
    struct fetch_place *place;

    if (fetches->is_held && !egress_is_ready(fetches->egress) && !fetches_await_egress(fetches)) {
        fetches->is_held = false;
        take_turns(fetches);
    }
    while ((place = fetch_queue_oldest(&fetches->queue)) &&
           now >= place->since_ns + FETCH_WAIT_MS * NSEC_PER_MSEC)
        fetch_give_up_waiting(fetch_of(place));
}

/* ---- all of them */

int fetches_new(struct ledger *ledger, struct event_base *base, struct fetches **ret_fetches)
{
    struct fetches *fetches = calloc(1, sizeof *fetches);

    if (!fetches)
        return -ENOMEM;
    fetches->ledger = ledger;
    fetch_queue_init(&fetches->queue, FETCH_BOUNDS);
    fetches->turn = event_new(base, -1, 0, on_turn, fetches);
    if (!fetches->turn) {
        free(fetches);
        return -ENOMEM;
    }
    *ret_fetches = fetches;
    return 0;
}

struct fetches *fetches_free(struct fetches *fetches)
{
    if (!fetches)
        return NULL;
    if (fetches->egress)
        egress_on_room(fetches->egress, NULL, NULL);
    event_free(fetches->turn);
    free(fetches);
    return NULL;
}

void ledger_set_egress(struct ledger *ledger, struct egress *egress)
{
    ledger->fetches->egress = egress;
    if (egress)
        egress_on_room(egress, on_room, ledger->fetches);
}

void ledger_forget_hosts(struct tenant *tenant)
{
    if (!tenant->books.has_fetched)
        return;
    tenant->books.has_fetched = false;
    egress_forget(ledger_of_tenant(tenant)->fetches->egress, tenant->number);
}
