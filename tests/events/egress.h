/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An egress without a process, and the servers behind it. The linker puts it in place of skepd's side of egress: link with
 * --wrap=egress_open,--wrap=egress_send_body,--wrap=egress_give_credit,--wrap=egress_cancel,--wrap=egress_forget,
 * --wrap=egress_on_room,--wrap=egress_is_ready. The number of a fetch is its path; its bytes are those of its ask.
 */
#pragma once

#include <stdint.h>

struct egress;

/* Starts anew: an egress that is there, without fetches. */
struct egress *egress_reset(void);
/* The server of the n-th open fetch does one thing: the head, a part of the body, the end; what picks it. bytes: of a part. */
void egress_speak(uint32_t n, uint32_t what, uint32_t bytes);
/* Egress takes no further fetch, or takes them again. */
void egress_hang_or_go_on(void);
/* Egress ends with all its fetches; or is there again. */
void egress_die_or_return(void);
unsigned egress_count_open(void);
