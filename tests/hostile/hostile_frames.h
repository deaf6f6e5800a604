/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frames of a hostile worker: blocking writes and reads on its channel, and one function for
 * each message, true or not. Every failure ends the process: skepd has closed the channel.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker.pb-c.h"

enum { CHANNEL_FD = 3, BOARD_FD = 4 };

void write_all(const void *data, size_t size);
void read_all(void *data, size_t size);
void stay_silent(void);
void send_message(Skep__Worker__FromWorker__MessageCase which, void *message);
ProtobufCBinaryData bytes(const void *data, size_t size);
void send_hello(uint32_t protocol);
void send_loaded(uint32_t tenant, int result);
void send_unloaded(uint32_t tenant);
void send_pong(uint64_t token);
void send_log(uint32_t tenant, const void *data, size_t size);
void send_exceeded(uint32_t tenant, uint64_t request, int limit, uint64_t used, bool observed);
void send_stopped(uint32_t tenant);
void send_caught_up(void);
void send_done(uint64_t id, int outcome);
void answer_saying(uint64_t id,
                   ProtobufCBinaryData message); /* a head that ends, and done with that message */
void send_credit(uint64_t id, uint32_t size);
void send_body(uint64_t id, size_t size, bool end);
void send_body_inside(uint64_t id);    /* the bytes are in the message, not behind it */
void send_done_with_tail(uint64_t id); /* bytes behind a message that announces none */
void send_call(uint64_t request, uint32_t id, uint32_t binding);
void send_call_body(uint64_t request, uint32_t id, size_t size, bool end);
void send_call_credit(uint64_t request, uint32_t id, uint32_t size);
void send_call_cancel(uint64_t request, uint32_t id);
#define HEAD_BODY_BYTES 8 /* bytes of the body in each head */

/* A head with n times the same header (name NULL: empty ones). */
void send_head_with(uint64_t id, uint32_t status, size_t n, const char *name,
                    ProtobufCBinaryData value, bool end);
void send_head(uint64_t id, bool end);
void answer(uint64_t id);
/* A head as it is packed, or is not. */
void send_packed_head(uint64_t id, uint32_t status, ProtobufCBinaryData packed, bool end);
void answer_fields(uint64_t id, size_t n, const char *name, ProtobufCBinaryData value);
void answer_with(uint64_t id, const char *name, const char *value);
void answer_status(uint64_t id, uint32_t status);
/* HEAD_BODY_BYTES with the head, and 2 more. */
void answer_length(uint64_t id, const char *length, bool end);
void send_length(uint32_t length, size_t n_bytes);
