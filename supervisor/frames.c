/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/frames.h"

#include <stddef.h>

#include "common/cleanup.h"
#include "supervisor/placement/frames.h"
#include "supervisor/requests/call_frames.h"
#include "supervisor/requests/frames.h"
#include "supervisor/workers/link.h"

static const struct channel_rule rules[] = {
    [SKEP__WORKER__FROM_WORKER__MESSAGE_HELLO] = { LINK_PHASE_BOOTING, link_on_hello },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_LOADED] = { LINK_PHASE_READY, placement_on_loaded_frame },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_RESPONSE_HEAD] = { LINK_PHASE_READY,
                                                           requests_on_response_head_frame },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_BODY] = { LINK_PHASE_READY, requests_on_body_frame },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_CREDIT] = { LINK_PHASE_READY, requests_on_credit_frame },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_DONE] = { LINK_PHASE_READY, requests_on_done_frame },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_LOG] = { LINK_PHASE_READY, placement_on_log_frame },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_UNLOADED] = { LINK_PHASE_READY,
                                                      placement_on_unloaded_frame },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_PONG] = { LINK_PHASE_READY, link_on_pong },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_EXCEEDED] = { LINK_PHASE_READY,
                                                      placement_on_exceeded_frame },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_CAUGHT_UP] = { LINK_PHASE_READY,
                                                       requests_on_caught_up_frame },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_STOPPED] = { LINK_PHASE_READY, placement_on_stopped_frame },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_CALL] = { LINK_PHASE_READY, requests_on_call_frame },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_CALL_BODY] = { LINK_PHASE_READY,
                                                       requests_on_call_body_frame },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_CALL_CREDIT] = { LINK_PHASE_READY,
                                                         requests_on_call_credit_frame },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_CALL_CANCEL] = { LINK_PHASE_READY,
                                                         requests_on_call_cancel_frame },
};

const struct channel_table worker_frames = {
    .envelope = &skep__worker__from_worker__descriptor,
    .case_offset = offsetof(Skep__Worker__FromWorker, message_case),
    .value_offset = offsetof(Skep__Worker__FromWorker, hello),
    .rules = rules,
    .n_rules = ARRAY_LEN(rules),
};
