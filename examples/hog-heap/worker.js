// SPDX-License-Identifier: Apache-2.0
// Shows the first stage of heap_mib: many small objects, so V8 notices in time that the heap is
// nearly full and stops the request. The client gets 503 mem_isolate; the isolate is thrown away.
export default {
    fetch() {
        const kept = [];
        for (;;) kept.push({ number: kept.length, list: [kept.length] });
    },
};
