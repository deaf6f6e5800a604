// SPDX-License-Identifier: Apache-2.0
// Shows heap_mib met by one object: V8 lets an allocation past the limit that it cannot refuse by an exception.
// The request ends with 503 mem_isolate, its isolate is replaced, and the worker and its other tenants
// go on.
export default {
    fetch() {
        return new Response(String([new Array(2 ** 24), new Array(2 ** 24)].length));
    },
};
