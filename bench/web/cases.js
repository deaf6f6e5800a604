// SPDX-License-Identifier: Apache-2.0
// For skep, `deno serve` and workerd: the same file. GET /CASE?n=N does the operation N times; POST /CASE reads the body.
const KIB = 1024;
const MIB = KIB * KIB;
const bytes = (size) => new Uint8Array(size).map((_, i) => i * 31 % 251);
const text = (size, word) => word.repeat(Math.ceil(size / word.length)).slice(0, size);
const encoder = new TextEncoder();
const decoder = new TextDecoder();

const small = bytes(KIB), large = bytes(MIB);
const ascii = encoder.encode(text(MIB, "The quick brown fox jumps over the lazy dog. "));
const mixed = encoder.encode(text(MIB / 3, "naïve façade – 日本語のテキスト и кириллица 😀 "));
const asciiText = decoder.decode(ascii), mixedText = decoder.decode(mixed);
const base64 = btoa(text(64 * KIB, "binary\xff\x00"));
const record = {
    id: 1, name: "a name", tags: ["x", "y", "z"], at: new Date(0), nested: { list: [1, 2, 3], map: new Map([[1, "one"]]) },
};
const records = Array.from({ length: 1000 }, (_, i) => ({ id: i, name: `record ${i}`, tags: ["x", "y"], price: i / 7 }));
const href = "https://user:pw@www.example.com:8080/a/b/../c/index.html?name=value&other=%20x#fragment";

const once = (make) => {
    let made;
    return () => (made ??= make());
};
const hmacKey = once(() => crypto.subtle.importKey("raw", bytes(32), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]));
const aesKey = once(() => crypto.subtle.importKey("raw", bytes(32), "AES-GCM", false, ["encrypt"]));
const digest = (data) => () => crypto.subtle.digest("SHA-256", data);
const hmac = (data) => async () => crypto.subtle.sign("HMAC", await hmacKey(), data);
const gcm = (data) => async () => crypto.subtle.encrypt({ name: "AES-GCM", iv: bytes(12) }, await aesKey(), data);

async function drain(stream) {
    let size = 0;
    for await (const chunk of stream) {
        size += chunk.length;
    }
    return size;
}

const streamOf = (chunk, count) => new ReadableStream({
    pull(controller) {
        controller.enqueue(chunk.slice());
        if (--count === 0) {
            controller.close();
        }
    },
});

const chunk = bytes(64 * KIB);
const gzip = (data) => drain(new Response(data).body.pipeThrough(new CompressionStream("gzip")));
const zipped = once(() => new Response(new Response(ascii).body.pipeThrough(new CompressionStream("gzip"))).bytes());

export const cases = {
    transform: () => drain(streamOf(chunk, 16).pipeThrough(new TransformStream({
        transform(data, controller) { controller.enqueue(data); } }))),
    sha256_1k: digest(small),
    sha256_1m: digest(large),
    hmac_1k: hmac(small),
    hmac_1m: hmac(large),
    gcm_1k: gcm(small),
    gcm_1m: gcm(large),
    gzip: () => gzip(ascii),
    gunzip: async () => drain(new Response(await zipped()).body.pipeThrough(new DecompressionStream("gzip"))),
    decode_ascii: () => decoder.decode(ascii),
    decode_mixed: () => decoder.decode(mixed),
    decode_1k: () => decoder.decode(ascii.subarray(0, KIB)),
    encode_ascii: () => encoder.encode(asciiText),
    encode_mixed: () => encoder.encode(mixedText),
    atob: () => atob(base64),
    btoa: () => btoa(base64),
    clone_small: () => structuredClone(record),
    clone_1000: () => structuredClone(records),
    clone_bytes: () => structuredClone(large),
    url: () => new URL(href).pathname,
    url_search: () => new URLSearchParams("a=1&b=2&c=%20x&name=value+with+blanks").get("name"),
    url_change() {
        const url = new URL("../items?page=2", href);
        url.pathname += "/7";
        url.searchParams.set("page", "3");
        url.searchParams.append("q", "a b");
        return url.href;
    },
    url_parts() {
        const url = new URL(href);
        return url.origin + url.host + url.pathname + url.search + url.searchParams.get("q") + url.hash;
    },
    form_text: () => new URLSearchParams({ name: "value with blanks", a: "1", b: "ü" }).toString(),
    headers() {
        const headers = new Headers({ "content-type": "text/plain", accept: "*/*", "x-one": "1" });
        headers.append("x-two", "2");
        headers.set("x-one", "3");
        let size = headers.get("content-type").length;
        for (const [name] of headers) {
            size += name.length;
        }
        return size;
    },
};

const readers = {
    text: (request) => request.text(),
    json: (request) => request.json(),
    arrayBuffer: (request) => request.arrayBuffer(),
    stream: (request) => drain(request.body),
};

export default {
    async fetch(request) {
        const url = new URL(request.url);
        const name = url.pathname.slice(1);
        if (name === "packed") { // the size, and the work ten times over
            const body = await request.arrayBuffer();
            for (let n = 9; n > 0; n--) {
                await gzip(body);
            }
            return new Response(String(await gzip(body)));
        }
        if (request.method === "POST") {
            await readers[name](request);
            return new Response("ok");
        }
        if (cases[name] === undefined) {
            return new Response("ready");
        }
        for (let n = Number(url.searchParams.get("n")); n > 0; n--) {
            const result = cases[name]();
            if (typeof result === "object" && typeof result.then === "function") {
                await result;
            }
        }
        return new Response("ok");
    },
};
