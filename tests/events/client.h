/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of the front: asks on a connection, sends bodies in parts, reads answers, and knows to
 * which request each belongs. Fails the run when an answer is malformed, comes twice, is another
 * request's, or never came.
 */
#pragma once

#include <llhttp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CLIENT_ASKS 3 /* asks that may wait on one connection */

struct client {
    int fd; /* -1: not connected */
    llhttp_t parser;
    uint32_t asks[CLIENT_ASKS]; /* not answered, the oldest first */
    unsigned n_asks;
    /* The request body of the last ask. */
    uint64_t body_left, body_at;
    bool is_chunked;
    char *out; /* owned; not sent yet */
    size_t out_size;
    bool is_deaf;       /* reads nothing */
    bool is_narrow;     /* the kernel keeps few bytes for it */
    bool is_odd;        /* was deaf, slow or half closed: may be cut off without an answer */
    bool is_last;       /* the answer that comes closes the connection */
    bool has_shut_down; /* sends nothing more */
    bool is_spoiled;    /* answered in the middle of a request body: closed then */
    /* The answer that is read. */
    bool has_head;
    uint32_t token; /* X-Token; 0: none, so the answer is the front's own */
    bool is_token;  /* the header that is parsed is X-Token */
    bool is_close;
    uint64_t got;
    char field[16];
    size_t field_size;
    unsigned statuses[600]; /* answers, by status */
    char error[32];         /* Skep-Error of the last answer */
    bool is_error;
};

struct client_ask {
    const char *host;
    bool is_post, is_chunked;
    uint64_t body_bytes;
};

/* is_narrow: the kernel takes little of an answer that the client does not read, so that the rest waits in the front. */
void client_init(struct client *client, bool is_narrow);
/* Connects if the client has no connection. Returns the number of the ask, 0: not now (its last
 * body is not sent yet, or too many wait). */
uint32_t client_ask(struct client *client, const struct sockaddr_un *address, socklen_t size,
                    const struct client_ask *ask);
/* Sends that many more bytes of the body, if the socket takes them. */
void client_feed(struct client *client, uint64_t bytes);
/* Sends bytes that are no chunk, in the middle of a chunked body. */
void client_break_body(struct client *client);
void client_half_close(struct client *client);
/* Goes away, even while it waits for answers. */
void client_leave(struct client *client);
/* Reads about that many bytes, even if it is deaf. */
void client_sip(struct client *client, size_t bytes);
/* Sends and reads all that it can. Returns whether any byte has moved. */
bool client_turn(struct client *client);
bool client_is_waiting(const struct client *client);
