// SPDX-License-Identifier: Apache-2.0
//
// env.KV and env.DB with a supervisor that the test plays: what goes out for each method, what comes of each answer, checks, errors and turns. Real
// storage: tests/integration/test_kv.py and test_sql.py.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Host } from "./host.mjs";

const OPEN_MAX = 16; // operations of one request
const BINDINGS = ["KV", 1, "DB", 2, "OTHER", 1];

// Starts a request whose handler runs the body of an async function; its result, as JSON, or the error is the answer.
function run(body, host = new Host()) {
    host.boot(`{ async fetch(request, env, ctx) {
        const { KV, DB } = env;
        const failing = async (f) => { try { await f(); return "no error"; } catch (e) { return \`\${e?.name}: \${e?.message}\`; } };
        try {
            return Response.json((await (async () => { ${body} })()) ?? null);
        } catch (error) {
            return new Response(\`\${error?.name}: \${error?.message}\`, { status: 500 });
        }
    } }`, {}, BINDINGS);
    const id = host.start();
    return { host, id, value: () => {
        const { body: text, outcome, status, message } = host.result(id);
        assert.equal(outcome, 0, message);
        return status === 200 ? JSON.parse(text) : text;
    } };
}

// ---- packed values (proto/values.h); a value is null, a bigint for an integer, a number for a real, a string, { s } for a statement, or a Buffer

function packValue(value) {
    if (value === null) {
        return Buffer.from("n");
    }
    if (typeof value === "bigint" || typeof value === "number") {
        const bytes = Buffer.alloc(9, typeof value === "bigint" ? "i" : "r");
        return bytes, typeof value === "bigint" ? bytes.writeBigInt64LE(value, 1) : bytes.writeDoubleLE(value, 1), bytes;
    }
    const [tag, content] = typeof value === "string" ? ["t", Buffer.from(value)] : Buffer.isBuffer(value) ? ["b", value] : ["s", Buffer.from(value.s)];
    const size = Buffer.alloc(5, tag);
    size.writeUInt32LE(content.length, 1);
    return Buffer.concat([size, content]);
}

function pack(values, rest = "") {
    const packed = Buffer.concat(values.map(packValue));
    const size = Buffer.alloc(4);
    size.writeUInt32LE(packed.length);
    return Buffer.concat([size, packed, Buffer.from(rest)]);
}

function unpackValue(bytes, at) {
    const tag = String.fromCharCode(bytes[at]);
    if (tag === "n") {
        return [null, at + 1];
    }
    if (tag === "i" || tag === "r") {
        return [tag === "i" ? bytes.readBigInt64LE(at + 1) : bytes.readDoubleLE(at + 1), at + 9];
    }
    const end = at + 5 + bytes.readUInt32LE(at + 1);
    const content = bytes.subarray(at + 5, end);
    assert.ok(["t", "b", "s"].includes(tag));
    return [tag === "b" ? Buffer.from(content) : tag === "t" ? content.toString() : { s: content.toString() }, end];
}

// Returns the operation that has gone out: { binding, operation, values, rest }.
function seen(call) {
    const bytes = Buffer.concat(call.chunks);
    const end = 4 + bytes.readUInt32LE(0);
    const values = [];
    for (let at = 4, value; at < end; values.push(value)) {
        [value, at] = unpackValue(bytes, at);
    }
    return { binding: call.binding, operation: call.method, values, rest: bytes.subarray(end).toString() };
}

const none = pack([]);
const json = (value) => pack([], JSON.stringify(value));
const rows = (columns, list, more = {}) => ({ columns, rows: list, changes: 0, last_row_id: 0, duration: 0.5, rows_read: 1, rows_written: 0, changed_db: false,
    size_after: 8192, ...more });
const META = { served_by: "skep", duration: 0.5, changes: 0, last_row_id: 0, changed_db: false, size_after: 8192, rows_read: 1, rows_written: 0 };

// ---- key-value

test("a get gives the value in each type, and null for a key that is not there", () => {
    const { host, value } = run(`const s = await KV.get("c", { type: "stream", cacheTtl: 60 });
        return [await KV.get("a"), await KV.get("a", "json"), await KV.get("b", { type: "arrayBuffer" }).then((b) => [...new Uint8Array(b)]),
            await new Response(s).text(), await KV.get("d")];`);
    for (const [key, body, operation] of [["c", pack([3n, null, null], "str"), "get"], ["a", pack([5n, null, null], "[\"ü\"]"), "get"],
        ["a", pack([5n, "{}", 7n], "[1,2]"), "get"], ["b", pack([3n, null, null], Buffer.from([1, 2, 255])), "get"]]) {
        const call = host.calls.at(-1);
        assert.deepEqual(seen(call), { binding: 0, operation, values: [key], rest: "" });
        host.answer({ body });
    }
    host.answer({ status: 404, body: "no such key" });
    assert.deepEqual(value(), ["[\"ü\"]", [1, 2], [1, 2, 255], "str", null]);
});

test("a get with metadata gives it as it was", () => {
    const { host, value } = run(`return [await KV.getWithMetadata("a"), await KV.getWithMetadata("a", "json"), await KV.getWithMetadata("a")];`);
    host.answer({ body: pack([1n, '{"m":[1]}', 9n], "v") });
    host.answer({ body: pack([1n, null, null], "5") });
    host.answer({ status: 404 });
    assert.deepEqual(value(), [{ value: "v", metadata: { m: [1] }, cacheStatus: null }, { value: 5, metadata: null, cacheStatus: null },
        { value: null, metadata: null, cacheStatus: null }]);
});

test("many keys are one operation, whose result is a Map", () => {
    const { host, value } = run(`const map = await KV.get(["a", "b", "a"], "json"), all = await KV.getWithMetadata(["a", "b"]);
        return [map instanceof Map, [...map], [...all]];`);
    assert.deepEqual(seen(host.calls[0]), { binding: 0, operation: "get-many", values: ["a", "b", "a"], rest: "" });
    host.answer({ body: pack([Buffer.from("1"), null, null, null, Buffer.from("1"), "{}", 5n]) });
    host.answer({ body: pack([Buffer.from("1"), '"m"', 5n, null]) });
    assert.deepEqual(value(), [true, [["a", 1], ["b", null]], [["a", { value: "1", metadata: "m", cacheStatus: null }],
        ["b", null]]]);
    assert.equal(host.calls.length, 2);
});

test("an answer in many parts is put together", () => {
    for (const type of ["text", "stream"]) {
        const { host, value } = run(`const v = await KV.get("a", "${type}"); return await new Response(v).text();`);
        const [call] = host.calls;
        const body = pack([3n, '{"m":1}', null], "abc");
        host.answer({ end: false });
        for (let i = 0; i < body.length; i++) {
            host.onCallBody(call, body.subarray(i, i + 1), i === body.length - 1);
        }
        assert.equal(value(), "abc");
    }
});

test("a stream of an answer is read within its window, and cancelled", () => {
    const { host, value } = run(`const reader = (await KV.get("a", "stream")).getReader();
        const out = [(await reader.read()).value.length, (await reader.read()).value.length]; await reader.cancel(); return out;`);
    const [call] = host.calls;
    const body = pack([1000n, null, null], "x".repeat(10));
    host.answer({ body, end: false });
    host.onCallBody(call, "y".repeat(20), false);
    assert.deepEqual([call.consumed, call.cancelled, value()], [body.length + 20, true, [10, 20]]);
});

test("a stream of an answer that breaks off is an error", () => {
    const { host, value } = run(`const v = await KV.get("a", "stream"); return await failing(() => new Response(v).text());`);
    host.answer({ body: pack([1000n, null, null], "x"), end: false });
    host.onCallFailed(host.calls[0], false, "it broke");
    assert.equal(value(), "Error: KV GET failed: it broke");
});

test("a put takes each kind of value, expiration and metadata", () => {
    const { host, value } = run(`const view = new Uint8Array([120, 121, 122]).subarray(1);
        const s = new ReadableStream({ pull(c) { c.enqueue(new TextEncoder().encode("stream")); c.close(); } });
        const out = [];
        for (const [v, o] of [["text ü"], [view], [view.buffer.slice(0, 2), { expiration: 4000000000 }], [s, { metadata: { a: 1 } }], [5, { expirationTtl: "90" }],
            ["", null], [null, { metadata: null }], [new DataView(view.buffer, 2)]])
            out.push(await KV.put("k", v, o) ?? null);
        return out;`);
    const at = Math.ceil(Date.now() / 1000);
    const wanted = [[null, null, "text ü"], [null, null, "yz"], [4000000000n, null, "xy"], [null, '{"a":1}', "stream"], [0n, null, "5"], [null, null, ""],
        [null, null, "null"], [null, null, "z"]];
    wanted.forEach(([expiration, metadata, rest], i) => {
        const call = host.calls[i];
        const { values, ...other } = seen(call);
        if (rest === "5") {
            assert.ok(values[1] >= BigInt(at + 89) && values[1] <= BigInt(at + 91));
            values[1] = 0n;
        }
        assert.deepEqual([values, other, call.ended], [["k", expiration, metadata], { binding: 0, operation: "put", rest }, true]);
        host.answer({ body: none });
    });
    assert.deepEqual(value(), wanted.map(() => null));
});

test("a long value waits for credit, and the tenant may change its bytes meanwhile", () => {
    const { host, value } = run(`const bytes = new Uint8Array(150000).fill(97); const p = KV.put("k", bytes); bytes.fill(98); return await p ?? 1;`);
    const [call] = host.calls;
    assert.equal(Buffer.concat(call.chunks).length, 65536);
    host.onCallCredit(call, 200000);
    assert.equal(call.ended, true);
    assert.equal(seen(call).rest, "a".repeat(150000));
    host.answer({ body: none });
    assert.equal(value(), 1);
});

test("a stream that goes out is cancelled when its put is refused, and its error rejects the put", () => {
    const { host, value } = run(`let end; const ended = new Promise((resolve) => { end = resolve; }); let n = 0;
        const stream = new ReadableStream({ pull(c) { if (n++ === 0) c.enqueue(new Uint8Array(3)); else return new Promise(() => {}); }, cancel: () => end("cancelled") });
        const broken = new ReadableStream({ pull() { throw new RangeError("mine"); } });
        const text = new ReadableStream({ pull(c) { c.enqueue("text"); } });
        return [await failing(() => KV.put("k", stream)), await ended, await failing(() => KV.put("k", broken)), await failing(() => KV.put("k", text)),
            await failing(() => KV.put("k", stream))];`);
    host.answer({ status: 413, body: "Value length exceeds limit." });
    assert.deepEqual(value(), ["Error: KV PUT failed: 413 Value length exceeds limit.", "cancelled", "RangeError: mine",
        "TypeError: A chunk of the body is not a Uint8Array; text goes through new TextEncoderStream().",
        "TypeError: KV put(): the stream is locked or was read before."]);
    assert.deepEqual(host.calls.map(({ cancelled }) => cancelled), [false, true, true]);
});

test("a list has names, what is known of them, and a cursor until its end", () => {
    const { host, value } = run(`return [await KV.list(), await KV.list({ prefix: "a:", limit: 2, cursor: "c1" }), await KV.list({ prefix: null, limit: 0, cursor: "" })];`);
    const wanted = [["", 1000n, null], ["a:", 2n, "c1"], ["", 1000n, null]];
    const answers = [[1n, null, "a", null, null, "b", 5n, null, "c", null, '{"x":1}', "d", 6n, "[]"], [0n, "c2", "a:1", null, null], [1n, null]];
    answers.forEach((values, i) => {
        assert.deepEqual(seen(host.calls[i]), { binding: 0, operation: "list", values: wanted[i], rest: "" });
        host.answer({ body: pack(values) });
    });
    assert.deepEqual(value(), [
        { keys: [{ name: "a" }, { name: "b", expiration: 5 }, { name: "c", metadata: { x: 1 } }, { name: "d", expiration: 6, metadata: [] }],
            list_complete: true, cacheStatus: null },
        { keys: [{ name: "a:1" }], list_complete: false, cursor: "c2", cacheStatus: null }, { keys: [], list_complete: true, cacheStatus: null }]);
});

test("arguments are checked as Cloudflare's are, before anything goes out", () => {
    const long = '"ü".repeat(257)';
    for (const [ask, message] of [
        ["KV.get()", "TypeError: KvNamespace.get: 1 argument required, but only 0 present."],
        ['KV.get("")', "TypeError: Key name cannot be empty."],
        ['KV.put(".", "v")', 'TypeError: "." is not allowed as a key name.'],
        ['KV.delete("..")', 'TypeError: ".." is not allowed as a key name.'],
        ['KV.get(["a", ""])', "Error: KV GET_BULK failed: 400 Key names must not be empty"],
        ['KV.get([".."])', 'Error: KV GET_BULK failed: 400 Illegal key name "..". Please use a different name.'],
        ["KV.get([])", "Error: KV GET_BULK failed: 400 You must request a minimum of 1 key"],
        [`KV.get(${long})`, "Error: KV GET failed: 414 UTF-8 encoded length of 514 exceeds key length limit of 512."],
        [`KV.put(${long}, "")`, "Error: KV PUT failed: 414 UTF-8 encoded length of 514 exceeds key length limit of 512."],
        ['KV.get("a\\ud800")', "TypeError: Key name has a surrogate without its other half, which UTF-8 cannot have."],
        ['KV.list({ prefix: "\\udc00" })', "TypeError: The prefix has a surrogate without its other half, which UTF-8 cannot have."],
        ['KV.get("a", "xml")', 'TypeError: Unknown response type. Possible types are "text", "arrayBuffer", "json", and "stream".'],
        ['KV.get("a", "__proto__")', 'TypeError: Unknown response type. Possible types are "text", "arrayBuffer", "json", and "stream".'],
        ['KV.get("a", { cacheTtl: 29 })', "Error: KV GET failed: 400 Invalid cache_ttl of 29. Cache TTL must be at least 30."],
        ['KV.get(["a"], "stream")', 'Error: KV GET_BULK failed: 400 "stream" is not a valid type. Use "json" or "text"'],
        ["KV.get(new Array(101).fill(1))", "Error: KV GET_BULK failed: 400 You can request a maximum of 100 keys"],
        ['KV.put("k")', "TypeError: KvNamespace.put: 2 arguments required, but only 1 present."],
        ['KV.put("k", {})', "TypeError: KV put() accepts only strings, ArrayBuffers, ArrayBufferViews, and ReadableStreams as values."],
        ['KV.put("k", [1])', "TypeError: KV put() accepts only strings, ArrayBuffers, ArrayBufferViews, and ReadableStreams as values."],
        ['KV.put("k", "", { expirationTtl: 59 })', "Error: KV PUT failed: 400 Invalid expiration_ttl of 59. Expiration TTL must be at least 60."],
        ['KV.put("k", "", { expirationTtl: -1 })', "Error: KV PUT failed: 400 Invalid expiration_ttl of -1. Please specify integer greater than 0."],
        ['KV.put("k", "", { expirationTtl: "x" })', "Error: KV PUT failed: 400 Invalid expiration_ttl of 0. Please specify integer greater than 0."],
        ['KV.put("k", "", { expiration: 5 })', "Error: KV PUT failed: 400 Invalid expiration of 5. Please specify integer greater than the current number of " +
            "seconds since the UNIX epoch."],
        ['KV.put("k", "", { metadata: "x".repeat(1023) })', "Error: KV PUT failed: 413 Metadata length of 1025 exceeds limit of 1024."],
        ['KV.put("k", "", { metadata: "ü".repeat(512) })', "Error: KV PUT failed: 413 Metadata length of 1026 exceeds limit of 1024."],
        ['KV.put("k", "", { metadata: () => {} })', "TypeError: KV put(): metadata is a function, which JSON does not have."],
        ['KV.put("k", "", 5)', "TypeError: KV put(): the options are of type number, not an object."],
        ["KV.list({ limit: 1001 })", "Error: KV GET failed: 400 Invalid key_count_limit of 1001. Please specify an integer less than 1000."],
    ]) {
        const { host, value } = run(`return await failing(() => ${ask});`);
        assert.deepEqual([ask, value(), host.calls.length], [ask, message, 0]);
    }
    const { value } = run('const a = {}; a.a = a; return [await failing(() => KV.put("k", "", { metadata: a })), ' +
        "await failing(() => KV.get.call({}, 'a')), await failing(() => new KV.constructor())];");
    const [circular, foreign, made] = value();
    assert.match(circular, /^TypeError: Converting circular structure to JSON/);
    assert.match(foreign, /^TypeError: /);
    assert.match(made, /^TypeError: KvNamespace: Illegal constructor/);
});

test("an answer that says no is an error with the status", () => {
    for (const [ask, method] of [['KV.get("a")', "GET"], ['KV.get("a", "stream")', "GET"], ['KV.get(["a"])', "GET_BULK"], ['KV.put("a", "b")', "PUT"],
        ['KV.delete("a")', "DELETE"], ["KV.list()", "GET"]]) {
        for (const status of [400, 413, 429, 503, 507]) {
            const { host, value } = run(`return await failing(() => ${ask});`);
            host.answer({ status, body: "why not" });
            assert.equal(value(), `Error: KV ${method} failed: ${status} why not`);
        }
        const { host, value } = run(`return await failing(() => ${ask});`);
        host.onCallFailed(host.calls[0], true, "too many");
        assert.equal(value(), "QuotaExceededError: too many");
        const second = run(`return await failing(() => ${ask});`);
        second.host.answer({ body: Buffer.from([9, 0, 0, 0, 120]) });
        assert.match(second.value(), method === "PUT" || method === "DELETE" ? /./ : /Error: The answer of the storage is not/);
    }
});

test("values that are no JSON are an error of the key that has them", () => {
    const { host, value } = run('return [await failing(() => KV.get("a", "json")), await failing(() => KV.get(["a"], "json"))];');
    host.answer({ body: pack([1n, null, null], "{") });
    host.answer({ body: pack([Buffer.from("{"), null, null]) });
    const [one, many] = value();
    assert.match(one, /^SyntaxError/);
    assert.equal(many, "Error: KV GET_BULK failed: 400 At least one of the requested keys corresponds to a non-JSON value");
});

test("a stack has the place that waits for the operation", () => {
    const { host, value } = run('Error.stackTraceLimit = 50; const look = async () => { try { await KV.get("a"); } catch (e) { return e.stack; } }; return await look();');
    host.answer({ status: 429, body: "slow down" });
    assert.match(value(), /at async look/);
});

// ---- turns

test("a hundred operations at once are done by and by, in their order", () => {
    const { host, value } = run(`return (await Promise.all(Array.from({ length: 100 }, (_, i) => KV.get("k" + i)))).join();`);
    let most = 0;
    for (let i = 0; i < 100; i++) {
        const open = host.calls.filter((call) => !call.over);
        most = Math.max(most, open.length);
        assert.deepEqual(seen(open[0]).values, [`k${i}`]);
        host.answer({ body: pack([1n, null, null], `${i}`) });
    }
    assert.equal(most, OPEN_MAX);
    assert.equal(value(), Array.from({ length: 100 }, (_, i) => i).join());
});

test("answers as streams that nobody reads keep no other operation back", () => {
    const { host, value } = run(`const all = []; for (let i = 0; i < 20; i++) all.push(await KV.get("k" + i, "stream")); return all.length;`);
    for (let i = 0; i < 20; i++) {
        host.answer({ body: pack([100n, null, null], "x"), end: false });
    }
    assert.equal(value(), 20);
});

test("what waits fails when the request is cancelled, and another request goes on", () => {
    const host = new Host();
    const { id } = run(`const all = Array.from({ length: 40 }, (_, i) => failing(() => KV.get("k" + i))); globalThis.found = await Promise.all(all); return 1;`, host);
    const other = host.start();
    host.onCancel(id, "client_gone");
    assert.equal(host.calls.filter(({ request }) => request === id).length, OPEN_MAX);
    assert.ok(host.run("found").every((text) => /AbortError|TypeError/.test(text)));
    assert.equal(host.calls.filter(({ request }) => request === other).length, OPEN_MAX);
});

test("an operation that is cut off by the end of its request is named", () => {
    const { host } = run('KV.put("a", "b"); return 1;');
    assert.equal(host.logs.at(-1).text, "KV PUT was cut off as its request ended: await it, or give it to ctx.waitUntil()");
});

test("storage is for requests: module code has none", () => {
    const host = new Host();
    host.boot("{ fetch(request, env) { globalThis.KV = env.KV; globalThis.DB = env.DB; return new Response(); } }", {}, BINDINGS);
    host.fetch();
    host.run('KV.get("a").catch((e) => { globalThis.error = e.message; }); DB.prepare("x").run().catch((e) => { globalThis.other = e.message; });');
    assert.match(host.run("error"), /^KV GET: storage is used for a request, and none is open here/);
    assert.match(host.run("other"), /^D1 query: storage is used for a request/);
});

// ---- SQL

test("statements and parameters go out by their types", () => {
    const { host, value } = run(`const s = DB.prepare("select ?");
        const bytes = new Uint8Array([1, 2]); const made = s.bind(null, true, false, 1, -3, 2 ** 53, 1.5, NaN, -0, "ü", bytes, bytes.buffer, [3, 4], new DataView(bytes.buffer, 1));
        bytes[0] = 9;
        await made.run(); await s.run(); return 1;`);
    assert.deepEqual(seen(host.calls[0]), { binding: 1, operation: "query", rest: "", values: [{ s: "select ?" }, null, 1, 0, 1, -3, 2 ** 53, 1.5, null, -0, "ü",
        Buffer.from([1, 2]), Buffer.from([1, 2]), Buffer.from([3, 4]), Buffer.from([2])] });
    host.answer({ body: json([rows([], [])]) });
    assert.deepEqual(seen(host.calls[1]).values, [{ s: "select ?" }]);
    host.answer({ body: json([rows([], [])]) });
    assert.equal(value(), 1);
});

test("results are objects, arrays, the first row, or one column of it", () => {
    const { host, value } = run(`const s = DB.prepare("select *");
        return [await s.all(), await s.run(), await s.raw(), await s.raw({ columnNames: true }), await s.first(), await s.first("b"), await s.first(), await s.first("a"),
            await failing(() => s.first("c"))];`);
    const body = json([rows(["a", "b"], [[1, null], [2, "x"]])]);
    const empty = json([rows(["a"], [])]);
    for (const one of [body, body, body, body, body, body, empty, empty, body]) {
        host.answer({ body: one });
    }
    const objects = [{ a: 1, b: null }, { a: 2, b: "x" }];
    assert.deepEqual(value(), [{ success: true, meta: META, results: objects }, { success: true, meta: META, results: objects }, [[1, null], [2, "x"]],
        [["a", "b"], [1, null], [2, "x"]], { a: 1, b: null }, null, null, null, "Error: D1_COLUMN_NOTFOUND: Column not found (c)"]);
});

test("columns may have any name, the last of the same name counts, blobs are arrays of bytes", () => {
    const { host, value } = run(`const [row] = (await DB.prepare("x").all()).results;
        const raw = await DB.prepare("x").raw();
        return [Object.entries(row), Object.getPrototypeOf(row) === Object.prototype, Array.isArray(row.b), raw];`);
    const body = json([rows(["a", "__proto__", "b", "a", "1"], [[1, 2, [Buffer.from([0, 255]).toString("base64")], 3, "[]"]], { blobs: true })]);
    host.answer({ body });
    host.answer({ body });
    assert.deepEqual(value(), [[["1", "[]"], ["a", 3], ["__proto__", 2], ["b", [0, 255]]], true, true, [[1, 2, [0, 255], 3, "[]"]]]);
});

test("a batch is one operation with a result for each statement", () => {
    const { host, value } = run(`const s = DB.prepare("insert ?");
        return [await DB.batch([s.bind(1), DB.prepare("select 1")]), await failing(() => DB.batch([])), await failing(() => DB.batch([1])), await failing(() => DB.batch("x"))];`);
    assert.deepEqual(seen(host.calls[0]).values, [{ s: "insert ?" }, 1, { s: "select 1" }]);
    host.answer({ body: json([rows([], [], { changes: 1 }), rows(["1"], [[1]])]) });
    assert.deepEqual(value(), [[{ success: true, meta: { ...META, changes: 1 }, results: [] }, { success: true, meta: META, results: [{ 1: 1 }] }],
        "Error: D1_ERROR: No SQL statements detected.",
        "TypeError: Not a D1PreparedStatement: db.prepare() makes one.", "TypeError: batch: parameter 1 is not an array of prepared statements."]);
    assert.equal(host.calls.length, 1);
});

test("exec, sessions and dump", () => {
    const { host, value } = run(`const session = DB.withSession("first-primary");
        return [await DB.exec("create table a (b); select 1"), session.getBookmark(), await session.prepare("x").raw(), await session.batch([session.prepare("y")]),
            await failing(() => DB.dump()), await failing(() => DB.exec("no"))];`);
    assert.deepEqual(seen(host.calls[0]), { binding: 1, operation: "exec", values: ["create table a (b); select 1"], rest: "" });
    host.answer({ body: json({ count: 2, duration: 1 }) });
    host.answer({ body: json([rows(["a"], [[1]])]) });
    host.answer({ body: json([rows(["a"], [])]) });
    host.answer({ status: 400, body: 'D1_EXEC_ERROR: Error in line 1: near "no": syntax error: SQLITE_ERROR' });
    assert.deepEqual(value(), [{ count: 2, duration: 1 }, null, [[1]], [{ success: true, meta: META, results: [] }],
        'Error: D1_DUMP_ERROR: a tenant cannot dump its database here: "skep data export" does',
        'Error: D1_EXEC_ERROR: Error in line 1: near "no": syntax error: SQLITE_ERROR']);
});

test("errors of SQL are D1's, with a cause", () => {
    const { host, value } = run(`const out = [];
        for (let i = 0; i < 3; i++) try { await DB.prepare("x").all(); } catch (e) { out.push([e.name, e.message, e.cause?.message]); }
        for (const bad of [undefined, 1n, Symbol("s"), () => {}, {}, [256], ["a"]]) try { DB.prepare("x").bind(bad); } catch (e) { out.push([e.message, e.cause.message]); }
        return out;`);
    host.answer({ status: 400, body: "D1_ERROR: no such table: x: SQLITE_ERROR" });
    host.answer({ status: 413, body: "the rows are more than sql_rows_mib" });
    host.onCallFailed(host.calls[2], false, "the worker left");
    assert.deepEqual(value(), [
        ["Error", "D1_ERROR: no such table: x: SQLITE_ERROR", "no such table: x: SQLITE_ERROR"],
        ["Error", "D1_ERROR: the rows are more than sql_rows_mib", "the rows are more than sql_rows_mib"],
        ["Error", "D1_ERROR: the worker left", "the worker left"],
        ...[["undefined", "undefined"], ["bigint", "1"], ["symbol", "Symbol(s)"], ["function", "() => {}"], ["object", "[object Object]"], ["object", "256"],
            ["object", "a"]].map(([type, text]) => `Type '${type}' not supported for value '${text}'`).map((text) => [`D1_TYPE_ERROR: ${text}`, text]),
    ]);
});

test("statements and parameters of more than 8 MiB are refused before anything is made of them", () => {
    const { host, value } = run(`const long = "x".repeat(2 ** 23);
        return [await failing(() => DB.prepare(long).run()), await failing(() => DB.prepare("x").bind(long).run()), await failing(() => DB.exec(long))];`);
    const text = "The statements and their parameters are longer than 8 MiB.";
    assert.deepEqual(value(), [`Error: D1_ERROR: ${text}`, `Error: D1_ERROR: ${text}`, `Error: D1_EXEC_ERROR: ${text}`]);
    assert.equal(host.calls.length, 0);
});

// ---- isolation

test("an isolate without storage evaluates none of it", () => {
    const asked = [];
    class Watched extends Host {
        watch() {
            const { part } = this.natives;
            this.natives.part = (name) => {
                asked.push(name);
                return part(name);
            };
        }
    }
    const host = new Watched();
    host.watch();
    host.boot("{ fetch: () => new Response() }");
    host.fetch();
    assert.ok(!asked.includes("storage"));
});

test("what a tenant has put on Object.prototype and Array.prototype gets no result", () => {
    const host = new Host();
    host.run(`globalThis.caught = [];
        for (const name of ["name", "expiration", "metadata", "cursor", "keys", "a", "b", "blobs", "columns", "rows", "cause", "value", "open", "waiting"])
            Object.defineProperty(Object.prototype, name, { __proto__: null, configurable: true, get() { caught.push("get " + name); }, set() { caught.push("set " + name); } });
        for (const i of [0, 1, 2]) Object.defineProperty(Array.prototype, i, { __proto__: null, configurable: true, get() { caught.push("get " + i); }, set() { caught.push("set " + i); } });`);
    const { value } = run(`const list = await KV.list(), { results } = await DB.prepare("x").all(), raw = await DB.prepare("x").raw({ columnNames: true });
        const failed = await DB.prepare("x").all().catch((e) => e.message);
        return [JSON.stringify(list), JSON.stringify(results), JSON.stringify(raw), failed, caught.length ? caught : 0];`, host);
    host.answer({ body: pack([1n, null, "x", null, null, "y", 5n, "[]"]) });
    host.answer({ body: json([rows(["a", "b"], [[1, 2]])]) });
    host.answer({ body: json([rows(["a", "b"], [[1, ["AAE="]]], { blobs: true })]) });
    host.answer({ status: 400, body: "no" });
    assert.deepEqual(value(), ['{"keys":[{"name":"x"},{"name":"y","expiration":5,"metadata":[]}],"list_complete":true,"cacheStatus":null}', '[{"a":1,"b":2}]',
        '[["a","b"],[1,[0,1]]]', "D1_ERROR: no", 0]);
});
