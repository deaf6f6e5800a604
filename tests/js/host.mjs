// SPDX-License-Identifier: Apache-2.0
//
// The other side of the contract in worker/js/README.md, in JavaScript: evaluates the bundle in a
// context of its own and takes the place of worker/v8 and the worker. SKEP_JS_BUNDLE names the
// bundle; without it, it is built from worker/js.
import { execFileSync } from "node:child_process";
import {
    createHash, createHmac, getRandomValues, randomBytes, randomUUID, timingSafeEqual,
} from "node:crypto";
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import vm from "node:vm";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");

function bundlePath() {
    if (process.env.SKEP_JS_BUNDLE) {
        return process.env.SKEP_JS_BUNDLE;
    }
    const layer = path.join(root, "worker/js");
    if (!existsSync(path.join(layer, "node_modules"))) {
        throw new Error("set SKEP_JS_BUNDLE, or run npm ci --ignore-scripts in worker/js");
    }
    const out = path.join(mkdtempSync(path.join(os.tmpdir(), "skep-js-")), "bundle.js");
    execFileSync(process.execPath, [path.join(layer, "build.mjs"), out], { stdio: "inherit" });
    return out;
}

const [bundleText, ...partTexts] = readFileSync(bundlePath(), "utf8").split("\x01");
const parts = new Map(partTexts.map((text) => {
    const end = text.indexOf("\n");
    return [text.slice(0, end), new vm.Script(text.slice(end + 1), { filename: `skep:${text.slice(0, end)}.js` })];
}));
const bundle = new vm.Script(bundleText, { filename: "skep:bundle.js" });
const WINDOW = 256 * 1024;
const CALL_WINDOW = 64 * 1024;
const encodings = ["utf-8", "utf-16le", "utf-16be"]; // by their numbers, those that a test has named
const URL_COMPONENTS = ["protocol", "username", "password", "host", "hostname", "port", "pathname", "search", "hash"];

// skep's V8 has ArrayBuffer.prototype.transfer, that of Node 20 does not. Buffers that it makes
// belong to this context, so it is needed here as well as in the tenant's context.
const isTransferMissing = ArrayBuffer.prototype.transfer === undefined;
if (isTransferMissing) {
    ArrayBuffer.prototype.transfer = function transfer() {
        return structuredClone(this, { transfer: [this] });
    };
}

// A packed head (proto/head.h), as a string with a character for each byte.
function packHead(texts) {
    const numbers = Buffer.alloc(4 * (1 + texts.length));
    numbers.writeUInt32LE(texts.length, 0);
    texts.forEach((text, i) => numbers.writeUInt32LE(text.length, 4 * (1 + i)));
    return numbers.toString("latin1") + texts.join("");
}

// This realm's, which no tenant can change
const typedArray = Object.getPrototypeOf(Uint8Array.prototype);
const getterOf = (name) => Object.getOwnPropertyDescriptor(typedArray, name).get;
const [lengthOf, bufferOf, setBytes] = [getterOf("length"), getterOf("buffer"), typedArray.set];
const { transfer } = ArrayBuffer.prototype;

// One tenant's isolate with its host.
export class Host {
    static bundle = bundleText;
    natives; // the value of __skep in the bundle
    cryptoNatives = []; // the natives of openCrypto, each time that the bundle has called it
    logs = []; // {level, text}
    sent = new Map(); // request id to {status, headers, chunks, ended, outcome, message}
    consumed = new Map(); // request id to bytes
    timers = new Map(); // timer id to {request, delay, repeat}
    calls = []; // {request, id, binding, method, url, headers, chunks, ended, credit, consumed, cancelled, over}, by their number less 1
    credit = WINDOW;
    maxTimers = 1000;
    place = ""; // the result of locate()
    time = 1_700_000_000_000;
    #nextRequest = 1;
    #nextTimer = 1;
    #running = 0;
    #frame;
    #makeArray;
    #parts; // name to the function that evaluates it
    #decoders = [undefined];
    #makeBytes;
    #places;

    constructor() {
        const sandbox = vm.createContext({}, { microtaskMode: "afterEvaluate" });
        this.context = sandbox;
        // Made before a tenant can change the built-ins that they use
        this.#makeBytes = vm.runInContext(
            "{ const Bytes = Uint8Array; (content) => new Bytes(content); }", sandbox);
        this.#makeArray = vm.runInContext("Array.from.bind(Array)", sandbox);
        // node:vm adds globals that V8 alone does not have.
        vm.runInContext("delete globalThis.console; delete globalThis.SharedArrayBuffer;", sandbox);
        if (isTransferMissing) {
            sandbox.__transfer = (buffer) => structuredClone(buffer, { transfer: [buffer] });
            vm.runInContext(`{
                const transfer = __transfer;
                delete globalThis.__transfer;
                Object.defineProperty(ArrayBuffer.prototype, "transfer", {
                    value() { return transfer(this); }, writable: true, configurable: true,
                });
            }`, sandbox);
        }
        // At once, because node runs microtasks after each script.
        this.#parts = new Map([...parts].map(([name, script]) => [name, script.runInContext(sandbox)]));
        this.natives = this.#natives();
        sandbox.__skep = this.natives;
        bundle.runInContext(sandbox);
        // In a context of node:vm, accessors of the global object are called on the sandbox.
        const { get } = Object.getOwnPropertyDescriptor(sandbox, "crypto");
        Object.defineProperty(sandbox, "crypto", {
            get: () => Reflect.apply(get, undefined, []), enumerable: true, configurable: true,
        });
        // skep-mksnapshot takes these away, once the layer has them
        vm.runInContext("delete globalThis.WeakRef; delete globalThis.FinalizationRegistry;", sandbox);
        this.global = vm.runInContext("globalThis", sandbox);
    }

    #natives() {
        const TypeErrorThere = vm.runInContext("TypeError", this.context);
        const gone = (request) => {
            const record = this.sent.get(request);
            if (record === undefined || record.outcome !== undefined || record.cancelled) {
                throw new TypeErrorThere("the request is gone");
            }
            return record;
        };
        const utf8 = this.#makeBytes;
        const toBytes = (data) => data === undefined ? Buffer.alloc(0) :
            typeof data === "string" ? Buffer.from(data, "utf8") : Buffer.from(data);
        return {
            log: (level, text) => {
                this.#expect(typeof text === "string" && level >= 0 && level <= 3, "log");
                this.logs.push({ level, text });
            },
            locate: (error, frames) => {
                this.#expect(typeof frames === "string", "locate");
                return this.place;
            },
            hasSourceMaps: () => false,
            sourceMap: () => undefined,
            findOrigins: () => undefined,
            excerpt: () => "",
            respond: (request, status, headers, body, end) => {
                const record = gone(request);
                this.#expect(record.status === undefined, "respond twice");
                this.#expect(Array.isArray(headers) && headers.length % 2 === 0, "flat headers");
                for (let i = 0; i < headers.length; i++) {
                    this.#expect(typeof headers[i] === "string", "header strings");
                }
                record.status = status;
                record.headers = Array.prototype.slice.call(headers);
                record.chunks.push(toBytes(body));
                record.ended = end;
                record.wholeString = typeof body === "string" && end;
            },
            sendBody: (request, data, end) => {
                const record = gone(request);
                this.#expect(record.status !== undefined && !record.ended, "body after head");
                const bytes = toBytes(data);
                this.#expect(bytes.length <= record.credit, "more than the credit");
                record.credit -= bytes.length;
                record.chunks.push(bytes);
                record.ended = end;
                return record.credit;
            },
            consumeBody: (request, bytes) => {
                gone(request);
                this.consumed.set(request, (this.consumed.get(request) ?? 0) + bytes);
            },
            call: (request, binding, method, url, headers, body, end) => {
                gone(request);
                this.#expect(Array.isArray(headers) && headers.length % 2 === 0, "flat headers");
                const first = toBytes(body);
                this.#expect(first.length <= CALL_WINDOW, "a first part within the window");
                const id = this.calls.length + 1;
                this.calls.push({ request, id, binding, method, url, headers: Array.prototype.slice.call(headers), chunks: [first],
                    ended: end, credit: CALL_WINDOW - first.length, consumed: 0, cancelled: false, over: false });
                return id;
            },
            sendCall: (request, id, data, end) => {
                gone(request);
                const call = this.calls[id - 1];
                const bytes = toBytes(data);
                this.#expect(!call.over && !call.ended, "a body of an open call");
                this.#expect(bytes.length <= call.credit, "more than the credit");
                call.credit -= bytes.length;
                call.chunks.push(bytes);
                call.ended = end;
                return call.credit;
            },
            consumeCall: (request, id, bytes) => {
                gone(request);
                this.#expect(!this.calls[id - 1].over, "credit of an open call");
                this.calls[id - 1].consumed += bytes;
            },
            cancelCall: (request, id) => {
                this.#expect(!this.calls[id - 1].over, "an open call");
                this.calls[id - 1].cancelled = this.calls[id - 1].over = true;
            },
            done: (request, outcome, message) => {
                const record = gone(request);
                record.outcome = outcome;
                this.#forgetTimers(request);
                record.message = message;
            },
            setTimer: (delay, repeat) => {
                if (this.timers.size >= this.maxTimers) {
                    throw new (vm.runInContext("RangeError", this.context))("too many timers");
                }
                const id = this.#nextTimer++;
                this.timers.set(id, { request: this.#running, due: this.time + delay, delay, repeat });
                return id;
            },
            keepTimer: (id) => {
                this.timers.delete(id);
                return 0;
            },
            frame: () => this.#frame ?? this.#running, // goes with no promise here
            setFrame: (frame) => { this.#frame = frame; },
            clearTimer: (id) => void this.timers.delete(id),
            now: () => this.time,
            head: (string, n) => string.slice(0, n),
            namedKeys: (object, all) => this.#namedKeys(object, all),
            promiseState: () => undefined, // neither can it tell
            proxyParts: () => undefined, // JavaScript cannot tell
            utf8Encode: (string) => utf8(new TextEncoder().encode(string)),
            utf8EncodeInto: (string, u8) => {
                const { read, written } = new TextEncoder().encodeInto(string, u8);
                return read * 2 ** 32 + written;
            },
            utf8Decode: (u8, fatal) => {
                try {
                    return new TextDecoder("utf-8", { fatal, ignoreBOM: true }).decode(u8);
                } catch {
                    throw new TypeErrorThere("The encoded data was not valid for encoding utf-8");
                }
            },
            findEncoding: (label) => {
                try {
                    const name = label === label.trim() ? new TextDecoder(label).encoding : undefined;
                    return name === undefined ? undefined :
                        this.#makeArray([encodings.includes(name) ? encodings.indexOf(name) : encodings.push(name) - 1, name]);
                } catch {
                    return undefined;
                }
            },
            decode: (encoding, source, state, fatal, end) => this.#decode(encodings[encoding], source, state, fatal, end),
            structuredClone: (...args) => this.#clone(...args),
            functionText: () => undefined, // nobody can tell here whose a function is
            lazy: (object, name) => {
                Object.defineProperty(object, name, {
                    get: () => {
                        const value = this.entries.load(name);
                        // node:vm hands a descriptor for its global object through a context that the tenant may have polluted.
                        Object.defineProperty(object === this.global ? this.context : object, name,
                            { __proto__: null, value, writable: true, configurable: true });
                        return value;
                    },
                    set: (value) => Object.defineProperty(object, name, { value, writable: true, configurable: true }),
                    configurable: true,
                });
            },
            urlParse: (text, base) => this.#placed(URL.parse(text, base)),
            openUrl: () => {
                const natives = this.#url();
                this.cryptoNatives.push(natives, ...Object.values(natives));
                return natives;
            },
            part: (name) => this.#parts.get(name),
            openCompress: () => {
                const natives = this.#compress();
                this.cryptoNatives.push(natives, ...Object.values(natives));
                return natives;
            },
            openCrypto: () => {
                const natives = this.#crypto();
                this.cryptoNatives.push(natives, ...Object.values(natives));
                return natives;
            },
            copyBytes: (bytes) => this.#makeBytes(bytes),
            concat: (chunks, size, take) => {
                const all = this.#makeBytes(size);
                let at = 0;
                for (let i = 0; i < chunks.length; i++) {
                    setBytes.call(all, chunks[i], at);
                    at += lengthOf.call(chunks[i]);
                    if (take) {
                        this.#drop(chunks[i]);
                    }
                }
                return all;
            },
            dropBytes: (bytes) => this.#drop(bytes),
            takeText: () => undefined,
            noteWaiting: (bytes) => {
                this.waiting = bytes;
            },
            atob: (string) => this.#base64(atob, string),
            btoa: (string) => this.#base64(btoa, string),
            isLatin1: (string) => !/[^\x00-\xff]/.test(string),
            register: (entries) => {
                this.entries = entries;
            },
        };
    }

    #url() {
        return {
            __proto__: null,
            urlPlaces: () => (this.#places = new Int32Array(7)),
            urlSet: (href, component, value) => {
                const url = new URL(href);
                url[URL_COMPONENTS[component]] = value === undefined ? "" : value;
                return this.#placed(url);
            },
            urlOpaquePath: (text) => text,
            formParse: (text) => this.#makeArray([...new URLSearchParams(text[0] === "?" ? `?${text}` : text)].flat()),
            formSerialize: (list, from, to) => {
                const params = new URLSearchParams();
                for (let i = from; i < to && i < list.length; i += 2) {
                    params.append(list[i], list[i + 1]);
                }
                return params.toString();
            },
        };
    }

    // Writes the places of a URL that Node.js has parsed (worker/url/url.h); those of plain URLs. Returns its text.
    #placed(url) {
        if (url === null) {
            return undefined;
        }
        const { href, protocol, username, password, host, hostname, pathname, search, hash } = url;
        const hasHost = href.startsWith(`${protocol}//`);
        const user = protocol.length + (hasHost ? 2 + username.length : 0);
        const at = user + (password === "" ? 0 : password.length + 1);
        const start = at + (username === "" && password === "" ? 0 : 1);
        const path = start + host.length;
        this.#places?.set([protocol.length, user, at, hasHost ? start + hostname.length : at, path,
            path + pathname.length, path + pathname.length + search.length]);
        return href;
    }

    #drop(bytes) {
        transfer.call(bufferOf.call(bytes));
    }

    // Compression that changes nothing, of data in one chunk; tests/integration/test_compression.py has the real one.
    #compress() {
        return {
            compressNew: (format, isDecoder) => ({ isDecoder }),
            compressStep: (stream, bytes, from, isLast) => this.#makeArray(
                [isLast || stream.isDecoder ? 2 : 0, bytes.length - from, isLast ? undefined : this.#makeBytes(bytes.subarray(from))]),
            compressFree: () => {},
        };
    }

    // The natives of Web Crypto as far as they are easy here; tests/integration/test_web_crypto.py has all of them.
    #crypto() {
        const HASHES = ["sha1", "sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512"];
        const buffer = (bytes) => this.#makeBytes(bytes).buffer;
        const secrets = new WeakMap();
        const newSecret = (bytes) => {
            const handle = {};
            secrets.set(handle, Buffer.from(bytes));
            return handle;
        };
        const mac = (hash, key, data) => createHmac(HASHES[hash], secrets.get(key)).update(data).digest();
        return {
            __proto__: null,
            random: (u8) => void getRandomValues(u8),
            uuid: () => randomUUID(),
            equal: (a, b) => a.length === b.length && timingSafeEqual(a, b),
            digest: (hash, data) => buffer(createHash(HASHES[hash]).update(data).digest()),
            newSecret,
            generateSecret: (bits) => newSecret(randomBytes(Math.ceil(bits / 8))),
            secret: (key) => buffer(secrets.get(key)),
            hmacSign: (hash, key, data) => buffer(mac(hash, key, data)),
            hmacVerify: (hash, key, data, signature) => mac(hash, key, data).equals(signature),
        };
    }

    #namedKeys(object, all) {
        const keys = Reflect.ownKeys(object).filter((key) =>
            !(typeof key === "string" && /^(0|[1-9]\d{0,9})$/.test(key)) &&
            (all || Object.getOwnPropertyDescriptor(object, key)?.enumerable));
        return this.#makeArray(keys);
    }

    // A platform object is known only where it is the value itself; those within others: tests/unit/v8.
    #clone(value, buffers, describe, receive, fail) {
        const platform = typeof value === "object" && value !== null ? describe(value) : undefined;
        if (typeof platform === "object") {
            return platform;
        }
        try {
            const clone = structuredClone(platform === undefined ? value : undefined,
                { transfer: Array.prototype.slice.call(buffers ?? []) });
            const received = receive?.();
            return platform === undefined ? clone : received[platform];
        } catch (error) {
            throw error instanceof DOMException ? fail(error.message) : error;
        }
    }

    // A state is the number of a decoder of Node.js.
    #decode(name, source, state, fatal, end) {
        const decoder = state === 0 ? new TextDecoder(name, { fatal, ignoreBOM: true }) : this.#decoders[state];
        try {
            const text = decoder.decode(source, { stream: !end });
            return end ? text : this.#makeArray([text, state || this.#decoders.push(decoder) - 1]);
        } catch (error) {
            throw new (vm.runInContext("TypeError", this.context))(error.message);
        }
    }

    #base64(convert, string) {
        try {
            return convert(string);
        } catch {
            return undefined;
        }
    }

    #forgetTimers(request) {
        for (const [id, timer] of this.timers) {
            if (timer.request === request) {
                this.timers.delete(id);
            }
        }
    }

    #expect(condition, what) {
        if (!condition) {
            throw new Error(`contract broken: ${what}`);
        }
    }

    // Calls an entry; the microtasks have run when this returns.
    #enter(request, name, ...args) {
        this.#running = request;
        this.#frame = undefined;
        this.context.__call = () => this.entries[name](...args);
        try {
            return vm.runInContext("__call()", this.context);
        } finally {
            delete this.context.__call;
        }
    }

    // code: the text of the default export, an expression
    boot(code, env = {}, bindings = []) {
        this.#running = 0;
        const exported = vm.runInContext(`(${code})`, this.context);
        this.#enter(0, "boot", exported, env, this.#makeArray(bindings));
        return this;
    }

    run(code) {
        return vm.runInContext(code, this.context);
    }

    bytes(content) {
        return this.#makeBytes(Array.from(Buffer.from(content)));
    }

    // Starts a request. body: string or Buffer, and end: true if it is whole.
    start({ method = "GET", url = "http://hello.test/", headers = [], body, end = true,
        credit = WINDOW } = {}) {
        const id = this.#nextRequest++;
        this.sent.set(id, { id, chunks: [], ended: false, credit });
        this.#enter(id, "dispatch", id, method, url,
            packHead([method, url, ...headers]),
            body === undefined ? undefined : this.bytes(body), end, body !== undefined);
        return id;
    }

    // Runs a request to its end and gives what the client would see.
    fetch(options) {
        return this.result(this.start(options));
    }

    result(id) {
        const record = this.sent.get(id);
        return { ...record, body: Buffer.concat(record.chunks).toString("utf8") };
    }

    header(id, name) {
        const { headers } = this.sent.get(id);
        for (let i = 0; i < headers.length; i += 2) {
            if (headers[i] === name) {
                return headers[i + 1];
            }
        }
        return undefined;
    }

    onBody(id, data, end) {
        this.#enter(id, "onBody", id, data === undefined ? undefined : this.bytes(data), end);
    }

    onCredit(id, credit) {
        this.sent.get(id).credit = credit;
        this.#enter(id, "onCredit", id, credit);
    }

    onCancel(id, reason) {
        this.sent.get(id).cancelled = true;
        this.#forgetTimers(id);
        this.#enter(id, "onCancel", id, reason);
    }

    // Answers a call; the oldest one that is open, if none is named.
    answer({ call = this.calls.find((one) => !one.over && !one.answered), status = 200, reason = "", headers = [], body, end = true } = {}) {
        call.answered = true;
        call.over = end;
        this.#enter(call.request, "onCallHead", call.request, call.id, status, packHead(headers),
            body === undefined ? undefined : this.bytes(body), end, reason);
    }

    onCallBody(call, data, end) {
        call.over = end;
        this.#enter(call.request, "onCallBody", call.request, call.id, data === undefined ? undefined : this.bytes(data), end);
    }

    onCallCredit(call, credit) {
        call.credit = credit;
        this.#enter(call.request, "onCallCredit", call.request, call.id, credit);
    }

    onCallFailed(call, isLimit, message) {
        call.over = true;
        this.#enter(call.request, "onCallFailed", call.request, call.id, isLimit, message);
    }

    forget(id) {
        this.sent.get(id).cancelled = true;
        this.#forgetTimers(id);
        this.#enter(id, "forget", id);
    }

    // Fires the timers of all requests when they are due, until none is left.
    runTimers(limit = 1000) {
        for (let n = 0; n < limit && this.timers.size > 0; n++) {
            const [id, timer] = [...this.timers].sort((a, b) => a[1].due - b[1].due ||
                a[0] - b[0])[0];
            this.time = timer.due;
            timer.due += timer.repeat ? Math.max(timer.delay, 1) : 0;
            if (!timer.repeat) {
                this.timers.delete(id);
            }
            this.#enter(timer.request, "onTimer", timer.request, id);
        }
    }

    onRejection(promise, reason, handled) {
        this.#enter(this.#running, "onRejection", promise, reason, handled);
    }
}

// Evaluates body of an async function in a tenant and gives what it returned, through JSON.
export function evaluate(body, host = new Host()) {
    host.boot(`{ async fetch(request, env, ctx) {
        const value = await (async () => { ${body} })();
        return new Response(JSON.stringify({ value }));
    } }`);
    const id = host.start();
    host.runTimers();
    const result = host.result(id);
    if (result.outcome !== 0) {
        throw new Error(`outcome ${result.outcome}: ${result.message}`);
    }
    return JSON.parse(result.body).value;
}
