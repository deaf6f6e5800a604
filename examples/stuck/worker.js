// SPDX-License-Identifier: Apache-2.0
// Shows the second stage of cpu_ms: this builtin never looks at V8's request to stop. When the
// budget and grace_ms are used up, skepd kills the worker from outside. The client gets 503
// cpu_request.
export default {
    fetch() {
        return new Response(String(Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1)));
    },
};
