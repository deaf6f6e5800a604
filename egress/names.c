/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/names.h"

#include <ares.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/cleanup.h"
#include "config/host_name.h"

#define TRY_MS 2000 /* c-ares waits longer with each try */
#define TRIES 3

/* A socket of c-ares'. */
struct watch {
    LIST_ENTRY(watch) entry;
    struct names *names; /* borrowed */
    struct event *event;
    int fd;
};

struct names {
    struct event_base *base; /* borrowed */
    ares_channel channel;
    struct event *timer;
    LIST_HEAD(, watch) watches;
};

struct question {
    names_answer_fn answer;
    void *owner;
};

/* ---- the loop */

static void arm_timer(struct names *names)
{
    struct timeval most = { .tv_sec = 3600 }, left;
    const struct timeval *wait = ares_timeout(names->channel, &most, &left);

    if (LIST_EMPTY(&names->watches))
        (void) event_del(names->timer);
    else
        (void) event_add(names->timer, wait);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct names *names = arg;

    (void) fd;
    (void) what;
    ares_process_fd(names->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm_timer(names);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct watch *watch = arg;
    struct names *names = watch->names; /* the watch may be gone afterwards */

    ares_process_fd(names->channel, (what & EV_READ) != 0 ? fd : ARES_SOCKET_BAD,
                    (what & EV_WRITE) != 0 ? fd : ARES_SOCKET_BAD);
    arm_timer(names);
}

static void watch_free(struct watch *watch)
{
    LIST_REMOVE(watch, entry);
    if (watch->event)
        event_free(watch->event);
    free(watch);
}

static struct watch *find_watch(struct names *names, int fd)
{
    struct watch *watch;

    LIST_FOREACH (watch, &names->watches, entry)
        if (watch->fd == fd)
            return watch;
    watch = calloc(1, sizeof *watch);
    if (!watch)
        return NULL;
    watch->names = names;
    watch->fd = fd;
    LIST_INSERT_HEAD(&names->watches, watch, entry);
    return watch;
}

/* Watches a socket as c-ares asks for. Without memory its queries end by their time. */
static void on_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct names *names = arg;
    struct watch *watch = find_watch(names, fd);
    short what = (short) (EV_PERSIST | (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));

    if (!watch)
        return;
    if (watch->event)
        event_free(watch->event);
    watch->event = NULL;
    if (!readable && !writable) {
        watch_free(watch);
        return;
    }
    watch->event = event_new(names->base, fd, what, on_socket, watch);
    if (watch->event)
        (void) event_add(watch->event, NULL);
}

/* ---- life */

static int set_servers(struct names *names, const char *servers)
{
    return !servers || ares_set_servers_ports_csv(names->channel, servers) == ARES_SUCCESS
               ? 0
               : -EINVAL;
}

int names_new(const char *servers, struct names **ret_names)
{
    struct names *names = calloc(1, sizeof *names);
    char lookups[] =
        "b"; /* DNS, and not /etc/hosts, which says what this host calls its neighbours */
    struct ares_options options = {
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
        .timeout = TRY_MS,
        .tries = TRIES,
        .ndomains = 0,
        .lookups = lookups,
        .sock_state_cb = on_state,
        .sock_state_cb_data = names,
    };
    const int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_DOMAINS |
                     ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;

    if (!names)
        return -ENOMEM;
    LIST_INIT(&names->watches);
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS ||
        ares_init_options(&names->channel, &options, mask) != ARES_SUCCESS) {
        free(names);
        return -ENOMEM;
    }
    int r = set_servers(names, servers);
    if (r < 0) {
        (void) names_free(names);
        return r;
    }
    *ret_names = names;
    return 0;
}

int names_attach(struct names *names, struct event_base *base)
{
    names->base = base;
    names->timer = evtimer_new(base, on_timer, names);
    return names->timer ? 0 : -ENOMEM;
}

struct names *names_free(struct names *names)
{
    if (!names)
        return NULL;
    ares_destroy(names->channel);
    for (struct watch *watch = LIST_FIRST(&names->watches), *next; watch; watch = next) {
        next = LIST_NEXT(watch, entry);
        watch_free(watch);
    }
    if (names->timer)
        event_free(names->timer);
    free(names);
    ares_library_cleanup();
    return NULL;
}

/* ---- look-ups */

static int error_of(int status)
{
    switch (status) {
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_EBADNAME:
        return -ENOENT;
    case ARES_ETIMEOUT:
        return -ETIMEDOUT;
    case ARES_ENOMEM:
        return -ENOMEM;
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION:
        return -ECANCELED;
    default:
        return -EHOSTUNREACH;
    }
}

static void take_addresses(const struct ares_addrinfo *info, struct name_addresses *ret)
{
    ret->n = 0;
    ret->ttl_s = UINT32_MAX;
    for (const struct ares_addrinfo_node *node = info->nodes; node; node = node->ai_next) {
        if (node->ai_addrlen > sizeof ret->list[0] || ret->n == NAMES_ADDRESSES_MAX)
            continue;
        memcpy(&ret->list[ret->n++], node->ai_addr, node->ai_addrlen);
        uint32_t ttl = node->ai_ttl > 0 ? (uint32_t) node->ai_ttl : 0;
        ret->ttl_s = ttl < ret->ttl_s ? ttl : ret->ttl_s;
    }
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct question question = *(struct question *) arg;
    struct name_addresses addresses = { .n = 0 };

    (void) timeouts;
    free(arg);
    if (status == ARES_SUCCESS && info)
        take_addresses(info, &addresses);
    if (info)
        ares_freeaddrinfo(info);
    if (addresses.n > 0)
        question.answer(question.owner, 0, &addresses);
    else
        question.answer(question.owner, status == ARES_SUCCESS ? -ENOENT : error_of(status), NULL);
}

/* The addresses of localhost, as c-ares asks nobody for it. They are judged like all others. */
static void answer_localhost(names_answer_fn answer, void *owner)
{
    const struct sockaddr_in ipv4 = { .sin_family = AF_INET,
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6,
                                       .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    struct name_addresses addresses = { .n = 2 };

    memcpy(&addresses.list[0], &ipv4, sizeof ipv4);
    memcpy(&addresses.list[1], &ipv6, sizeof ipv6);
    answer(owner, 0, &addresses);
}

void names_ask(struct names *names, const char *name, names_answer_fn answer, void *owner)
{
    const struct ares_addrinfo_hints hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
    };
    char absolute[HOST_NAME_MAX_BYTES + 2];

    if (host_name_is_localhost(name)) {
        answer_localhost(answer, owner);
        return;
    }
    struct question *question = malloc(sizeof *question);
    if (!question) {
        answer(owner, -ENOMEM, NULL);
        return;
    }
    *question = (struct question){ answer, owner };
    /* The dot at the end says that no domain may be put behind the name. */
    (void) snprintf(absolute, sizeof absolute, "%.*s.", HOST_NAME_MAX_BYTES, name);
    ares_getaddrinfo(names->channel, absolute, NULL, &hints, on_answer, question);
    arm_timer(names);
}
