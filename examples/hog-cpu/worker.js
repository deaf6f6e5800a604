// SPDX-License-Identifier: Apache-2.0
// Shows the first stage of cpu_ms: V8 stops the loop at the budget, the client gets 503
// cpu_request, and the isolate goes on with the next request.
export default {
    fetch() {
        for (;;);
    },
};
