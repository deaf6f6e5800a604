/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool of one tenant: one CURLM, so that no connection is ever shared between tenants, and the addresses of names
 * for as long as DNS says. Egress process.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "egress/internal.h"

#define POOLS_MAX 1024
/* Idle connections of a pool: as many as a tenant has fetches at a time, and fewer while all pools together have many. */
#define CONNECTIONS_MAX ((long) EGRESS_TENANT_FETCHES_MAX)
#define CONNECTIONS_SHORT_MAX 8L
#define SOCKETS_SHORT EGRESS_FETCHES_MAX
#define IDLE_S 60    /* life of a pool that nobody uses */
#define KNOWN_MAX 32 /* names with addresses */
#define KNOWN_TTL_MAX_S 30
#define LOOKUPS_MAX EGRESS_TENANT_FETCHES_MAX
#define NS_PER_S UINT64_C(1000000000)
/* Time of libcurl after which a pool's other sockets wait for the next turn of the loop, behind other pools. */
#define TURN_NS (2 * UINT64_C(1000000))
#define TURN_AGE_NS (10 * UINT64_C(1000000)) /* after which a turn in which nobody waits is over */

struct known_name {
    TAILQ_ENTRY(known_name) entry;
    char host[HOST_NAME_MAX_BYTES + 1];
    struct name_addresses addresses;
    uint64_t until_ns;
};

/* A look-up that is under way. */
struct lookup {
    struct pool *pool;   /* borrowed: stays as long as it has look-ups */
    struct fetch *fetch; /* borrowed; NULL: nobody waits any more */
    char host[HOST_NAME_MAX_BYTES + 1];
};

/* A socket of libcurl's. */
struct connection {
    TAILQ_ENTRY(connection) entry; /* in the pool's waiting */
    struct pool *pool;             /* borrowed */
    curl_socket_t fd;
    struct event *event;
    bool is_waiting; /* for the next turn; the event is not pending then */
    int what;        /* CURL_CSELECT_… that waits */
};

/* ---- the end of pools */

static void pool_free(struct pool *pool)
{
    struct egress *egress = pool->egress;
    struct known_name *known;
    struct fetch *fetch;

    while ((fetch = TAILQ_FIRST(&pool->fetches)))
        fetch_free(fetch);
    TAILQ_REMOVE(pool->is_retired ? &egress->retired : &egress->pools, pool, entry);
    egress->n_pools -= !pool->is_retired;
    while ((known = TAILQ_FIRST(&pool->known))) {
        TAILQ_REMOVE(&pool->known, known, entry);
        free(known);
    }
    if (pool->multi)
        (void) curl_multi_cleanup(pool->multi);
    if (pool->timer)
        event_free(pool->timer);
    if (pool->idle)
        event_free(pool->idle);
    if (pool->turn)
        event_free(pool->turn);
    free(pool);
}

static bool is_idle(const struct pool *pool)
{
    return pool->n_fetches == 0 && pool->n_lookups == 0 && pool->depth == 0;
}

/* Frees a retired pool that nobody needs; gives another one a time. */
static void settle(struct pool *pool)
{
    static const struct timeval wait = { .tv_sec = IDLE_S };

    if (!is_idle(pool))
        (void) event_del(pool->idle);
    else if (pool->is_retired)
        pool_free(pool);
    else
        (void) event_add(pool->idle, &wait);
}

static void on_idle(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    pool_free(arg);
}

static void retire(struct pool *pool)
{
    struct egress *egress = pool->egress;

    TAILQ_REMOVE(&egress->pools, pool, entry);
    TAILQ_INSERT_TAIL(&egress->retired, pool, entry);
    egress->n_pools--;
    pool->is_retired = true;
    settle(pool);
}

static struct pool *find(struct egress *egress, const struct helper_client *client, uint64_t tenant)
{
    struct pool *pool;

    TAILQ_FOREACH (pool, &egress->pools, entry)
        if (pool->client == client && pool->tenant == tenant)
            return pool;
    return NULL;
}

void pool_retire(struct egress *egress, const struct helper_client *client, uint64_t tenant)
{
    struct pool *pool = find(egress, client, tenant);

    if (pool)
        retire(pool);
}

void pool_retire_client(struct egress *egress, const struct helper_client *client)
{
    for (struct pool *pool = TAILQ_FIRST(&egress->pools), *next; pool; pool = next) {
        next = TAILQ_NEXT(pool, entry);
        if (pool->client == client)
            retire(pool);
    }
}

void pool_on_drained(struct egress *egress, const struct helper_client *client)
{
    struct pool_list *lists[] = { &egress->pools, &egress->retired };

    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        for (struct pool *pool = TAILQ_FIRST(lists[i]), *next; pool; pool = next) {
            struct fetch *fetch;
            next = TAILQ_NEXT(pool, entry);
            if (pool->client != client)
                continue;
            pool_enter(pool);
            TAILQ_FOREACH (fetch, &pool->fetches, entry)
                fetch_go_on(fetch);
            pool_leave(pool);
        }
}

void pool_free_all(struct egress *egress)
{
    struct pool *pool;

    while ((pool = TAILQ_FIRST(&egress->pools)) || (pool = TAILQ_FIRST(&egress->retired)))
        pool_free(pool);
}

/* ---- libcurl on the loop */

void pool_enter(struct pool *pool)
{
    pool->depth++;
}

/* Ends the fetches that libcurl is through with, and those that are over. */
static void drain(struct pool *pool)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(pool->multi, &left))) {
        void *fetch = NULL;
        CURLcode result = message->data.result;
        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &fetch) == CURLE_OK)
            fetch_on_result(fetch, result);
    }
    pool->has_cut = false;
    for (struct fetch *fetch = TAILQ_FIRST(&pool->fetches), *next; fetch; fetch = next) {
        next = TAILQ_NEXT(fetch, entry);
        server_check(fetch);
        fetch_pass(fetch);
        if (!fetch->is_over && fetch_is_answered(fetch))
            fetch_on_result(fetch, CURLE_OK);
        if (fetch->is_over)
            fetch_end(fetch);
    }
}

void pool_leave(struct pool *pool)
{
    if (pool->depth == 1) {
        drain(pool);
        fetch_flush(pool->egress);
    }
    pool->depth--;
    if (pool->depth == 0)
        settle(pool);
}

void pool_bound_idle(struct pool *pool)
{
    /* A fetch may have no socket yet. */
    bool is_short = pool->egress->n_sockets + pool->egress->n_fetches >= SOCKETS_SHORT;

    (void) curl_multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS,
                             is_short ? CONNECTIONS_SHORT_MAX : CONNECTIONS_MAX);
}

static void act(struct pool *pool, curl_socket_t fd, int what)
{
    uint64_t began = io_now_ns();
    int n_running;

    pool_enter(pool);
    pool->idle_bytes = 0;
    (void) curl_multi_socket_action(pool->multi, fd, what, &n_running);
    pool->spent_ns += io_now_ns() - began;
    pool_leave(pool);
}

/* ---- turns: a pool that is busy leaves the loop to others after TURN_NS */

static bool has_to_wait(struct pool *pool)
{
    uint64_t now = io_now_ns();

    if (!TAILQ_EMPTY(&pool->waiting) || pool->is_timer_waiting)
        return true;
    if (now - pool->began_ns >= TURN_AGE_NS) {
        pool->began_ns = now;
        pool->spent_ns = 0;
    }
    return pool->spent_ns >= TURN_NS;
}

/* Asks for a turn behind what is ready now. */
static void want_turn(struct pool *pool)
{
    static const struct timeval at_once = { 0 };

    (void) event_add(pool->turn, &at_once);
}

static void wait_no_more(struct connection *connection)
{
    if (connection->is_waiting)
        TAILQ_REMOVE(&connection->pool->waiting, connection, entry);
    connection->is_waiting = false;
}

/* Serves what has waited, the longest wait first, until the turn is over. */
static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct pool *pool = arg;
    struct connection *connection;

    (void) fd;
    (void) what;
    pool_enter(pool);
    pool->began_ns = io_now_ns();
    pool->spent_ns = 0;
    if (pool->is_timer_waiting) {
        pool->is_timer_waiting = false;
        act(pool, CURL_SOCKET_TIMEOUT, 0);
    }
    while ((connection = TAILQ_FIRST(&pool->waiting)) && pool->spent_ns < TURN_NS) {
        wait_no_more(connection);
        (void) event_add(connection->event, NULL);
        act(pool, connection->fd, connection->what);
    }
    if (!TAILQ_EMPTY(&pool->waiting))
        want_turn(pool);
    pool_leave(pool);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct connection *connection = arg;
    struct pool *pool = connection->pool;

    connection->what = ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
                       ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0);
    if (!has_to_wait(pool)) {
        act(pool, fd, connection->what);
        return;
    }
    (void) event_del(connection->event);
    connection->is_waiting = true;
    TAILQ_INSERT_TAIL(&pool->waiting, connection, entry);
    want_turn(pool);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct pool *pool = arg;

    (void) fd;
    (void) what;
    if (has_to_wait(pool)) {
        pool->is_timer_waiting = true;
        want_turn(pool);
    } else {
        act(pool, CURL_SOCKET_TIMEOUT, 0);
    }
}

/* Watches a socket as libcurl asks for. */
static int on_watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket)
{
    struct pool *pool = arg;
    struct connection *connection = socket;
    void *fetch = NULL;
    const short events = (short) (EV_PERSIST | ((what & CURL_POLL_IN) != 0 ? EV_READ : 0) |
                                  ((what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0));

    if (curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &fetch) == CURLE_OK && fetch)
        server_on_watch(fetch, fd, what);
    if (!connection) {
        if (what == CURL_POLL_REMOVE)
            return 0;
        connection = calloc(1, sizeof *connection);
        if (!connection)
            return -1;
        connection->pool = pool;
        connection->fd = fd;
        (void) curl_multi_assign(pool->multi, fd, connection);
    }
    wait_no_more(connection);
    if (connection->event)
        event_free(connection->event);
    connection->event = NULL;
    if (what == CURL_POLL_REMOVE) {
        (void) curl_multi_assign(pool->multi, fd, NULL);
        free(connection);
        return 0;
    }
    if ((events & (EV_READ | EV_WRITE)) == 0)
        return 0;
    connection->event = event_new(pool->egress->base, fd, events, on_socket, connection);
    return connection->event && event_add(connection->event, NULL) == 0 ? 0 : -1;
}

static int on_wait(CURLM *multi, long wait_ms, void *arg)
{
    struct pool *pool = arg;
    const struct timeval wait = { wait_ms / 1000, wait_ms % 1000 * 1000 };

    (void) multi;
    return (wait_ms < 0 ? event_del(pool->timer) : event_add(pool->timer, &wait)) == 0 ? 0 : -1;
}

/* ---- the beginning of pools */

static int set_up(struct pool *pool)
{
    CURLMcode r = CURLM_OK;

    pool->multi = curl_multi_init();
    pool->timer = evtimer_new(pool->egress->base, on_timer, pool);
    pool->idle = evtimer_new(pool->egress->base, on_idle, pool);
    pool->turn = evtimer_new(pool->egress->base, on_turn, pool);
    if (!pool->multi || !pool->timer || !pool->idle || !pool->turn)
        return -ENOMEM;
    r |= curl_multi_setopt(pool->multi, CURLMOPT_SOCKETFUNCTION, on_watch);
    r |= curl_multi_setopt(pool->multi, CURLMOPT_SOCKETDATA, pool);
    r |= curl_multi_setopt(pool->multi, CURLMOPT_TIMERFUNCTION, on_wait);
    r |= curl_multi_setopt(pool->multi, CURLMOPT_TIMERDATA, pool);
    r |= curl_multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_MAX);
    /* One fetch at a time on a connection of HTTP/2, too: a fetch that waits for its reader would stop the others on
     * it, because libcurl then reads nothing more from the connection. */
    r |= curl_multi_setopt(pool->multi, CURLMOPT_PIPELINING, (long) CURLPIPE_NOTHING);
    return r == CURLM_OK ? 0 : -EINVAL;
}

/* Makes room for another pool: frees the idle one that was not used for longest. */
static bool make_room(struct egress *egress)
{
    struct pool *pool;

    if (egress->n_pools < POOLS_MAX)
        return true;
    TAILQ_FOREACH_REVERSE(pool, &egress->pools, pool_list, entry)
    if (is_idle(pool)) {
        pool_free(pool);
        return true;
    }
    return false;
}

struct pool *pool_get(struct egress *egress, const struct helper_client *client, uint64_t tenant)
{
    struct pool *pool = find(egress, client, tenant);

    if (pool) {
        TAILQ_REMOVE(&egress->pools, pool, entry);
        TAILQ_INSERT_HEAD(&egress->pools, pool, entry);
        return pool;
    }
    pool = make_room(egress) ? calloc(1, sizeof *pool) : NULL;
    if (!pool)
        return NULL;
    pool->egress = egress;
    pool->client = client;
    pool->tenant = tenant;
    TAILQ_INIT(&pool->fetches);
    TAILQ_INIT(&pool->known);
    TAILQ_INIT(&pool->waiting);
    TAILQ_INSERT_HEAD(&egress->pools, pool, entry);
    egress->n_pools++;
    if (set_up(pool) < 0) {
        pool_free(pool);
        return NULL;
    }
    return pool;
}

/* ---- names */

static void forget_name(struct pool *pool, struct known_name *known)
{
    TAILQ_REMOVE(&pool->known, known, entry);
    pool->n_known--;
    free(known);
}

static struct known_name *find_name(struct pool *pool, const char *host)
{
    struct known_name *known;

    TAILQ_FOREACH (known, &pool->known, entry)
        if (strcmp(known->host, host) == 0)
            break;
    if (known && known->until_ns <= io_now_ns()) {
        forget_name(pool, known);
        known = NULL;
    }
    return known;
}

/* Keeps the addresses of a name, unchecked: each fetch checks them as it may use them. */
static void keep_name(struct pool *pool, const char *host, const struct name_addresses *addresses)
{
    struct known_name *known = find_name(pool, host);
    uint32_t ttl_s = addresses->ttl_s < KNOWN_TTL_MAX_S ? addresses->ttl_s : KNOWN_TTL_MAX_S;

    if (known)
        forget_name(pool, known);
    if (ttl_s == 0)
        return;
    if (pool->n_known == KNOWN_MAX)
        forget_name(pool, TAILQ_FIRST(&pool->known));
    known = calloc(1, sizeof *known);
    if (!known)
        return;
    memcpy(known->host, host, strlen(host) + 1);
    known->addresses = *addresses;
    known->until_ns = io_now_ns() + ttl_s * NS_PER_S;
    TAILQ_INSERT_TAIL(&pool->known, known, entry);
    pool->n_known++;
}

static void on_answer(void *arg, int error, const struct name_addresses *addresses)
{
    struct lookup *lookup = arg;
    struct pool *pool = lookup->pool;
    struct fetch *fetch = lookup->fetch;

    pool_enter(pool);
    pool->n_lookups--;
    if (addresses && !pool->is_retired)
        keep_name(pool, lookup->host, addresses);
    if (fetch) {
        fetch->lookup = NULL;
        fetch_on_addresses(fetch, error, addresses);
    }
    free(lookup);
    pool_leave(pool);
}

int pool_look_up(struct pool *pool, struct fetch *fetch)
{
    const struct known_name *known = find_name(pool, fetch->host);

    if (known) {
        const struct name_addresses addresses = known->addresses;
        fetch_on_addresses(fetch, 0, &addresses);
        return 0;
    }
    if (pool->n_lookups == LOOKUPS_MAX)
        return -EBUSY;
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup)
        return -ENOMEM;
    lookup->pool = pool;
    lookup->fetch = fetch;
    memcpy(lookup->host, fetch->host, sizeof lookup->host);
    fetch->lookup = lookup;
    pool->n_lookups++;
    names_ask(pool->egress->names, lookup->host, on_answer, lookup);
    return 0;
}

void pool_forget_lookup(struct pool *pool, struct fetch *fetch)
{
    struct lookup *lookup = fetch->lookup;

    (void) pool;
    if (lookup)
        lookup->fetch = NULL;
    fetch->lookup = NULL;
}
