// SPDX-License-Identifier: Apache-2.0
// For skep and for `deno serve`: 1 MiB down for a GET, 1 MiB up for a POST.
const mib = new Uint8Array(1 << 20).fill(0x78);

export default {
    async fetch(request) {
        if (request.method === 'GET')
            return new Response(mib);
        const body = await request.arrayBuffer();
        return new Response(`${body.byteLength}\n`);
    },
};
