// SPDX-License-Identifier: Apache-2.0
//
// The operations of the benchmark, for skep and miniflare: /CASE?n=N does a case N times, one after the other.
const ROWS = 10000;
const PART = 500;
const AT_ONCE = 32;
const BATCH = 100;
const SCHEMA = "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, mail TEXT, age INTEGER, score REAL)";
const INSERT = "INSERT INTO people (name, mail, age, score) VALUES (?, ?, ?, ?)";

const values = (i) => [`name ${i}`, `person-${i}@example.org`, i % 90, i / 7];
const key = (i) => `key-${i % AT_ONCE}`;
const small = "v".repeat(1024);
const large = new Uint8Array(2 ** 20).fill(7);

function check(isRight, what) {
    if (!isRight) {
        throw new Error(`a wrong answer: ${what}`);
    }
}

const all = {
    async setup({ DB, KV }) {
        await DB.exec("DROP TABLE IF EXISTS people");
        await DB.exec("DROP TABLE IF EXISTS log");
        await DB.exec(SCHEMA);
        await DB.exec("CREATE TABLE log (id INTEGER PRIMARY KEY, text TEXT)");
        for (let i = 0; i < AT_ONCE; i++) {
            await KV.put(key(i), small);
        }
        await KV.put("large", large);
    },
    // A part of the rows, as many as a request has CPU time for.
    async fill({ DB }) {
        const insert = DB.prepare(INSERT);
        await DB.batch(Array.from({ length: PART }, (_, i) => insert.bind(...values(i))));
    },
    none() {},
    async point({ DB }, i) {
        const row = await DB.prepare("SELECT * FROM people WHERE id = ?").bind(1 + i * 37 % ROWS).first();
        check(row.age >= 0, "point");
    },
    async batch({ DB }) {
        const insert = DB.prepare("INSERT INTO log (text) VALUES (?)");
        const results = await DB.batch(Array.from({ length: BATCH }, (_, i) => insert.bind(`line ${i}`)));
        check(results.length === BATCH, "batch");
    },
    async rows({ DB }) {
        const { results } = await DB.prepare("SELECT * FROM people").all();
        check(results.length === ROWS && results[9].id === 10, "rows");
    },
    async get({ KV }, i) {
        check((await KV.get(key(i))).length === 1024, "get");
    },
    async gets({ KV }) {
        const found = await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => KV.get(key(i))));
        check(found.length === AT_ONCE && found[31].length === 1024, "gets");
    },
    async put({ KV }, i) {
        await KV.put(key(i), small);
    },
    async large({ KV }) {
        check((await KV.get("large", "arrayBuffer")).byteLength === large.length, "large");
    },
};

let asked = 0;

export default {
    async fetch(request, env) {
        const url = new URL(request.url);
        const n = Number(url.searchParams.get("n") ?? 1);
        try {
            for (let i = 0; i < n; i++) {
                await all[url.pathname.slice(1)](env, asked++);
            }
            return new Response("ok");
        } catch (error) {
            return new Response(`${error.stack}`, { status: 500 });
        }
    },
};
