// SPDX-License-Identifier: Apache-2.0
// For skep and for `deno serve`: the same file.
export default {
    fetch() {
        return new Response('Hello, world\n');
    },
};
