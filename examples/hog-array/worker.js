// SPDX-License-Identifier: Apache-2.0
// Shows the second stage of heap_mib: an allocation that is far over the heap limit. V8 cannot
// stop it by an exception and ends the process. skepd sees who was running, answers 503
// mem_isolate, starts the worker again, and sends again what other tenants had in it.
export default {
    fetch() {
        return new Response(String([new Array(2 ** 24), new Array(2 ** 24)].length));
    },
};
