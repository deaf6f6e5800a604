// SPDX-License-Identifier: Apache-2.0
//
// SQLite within the process that answers: the handler of handler.js with an env whose objects are node:sqlite, for deno. A file has the
// settings of skep-data (data/database.c). argv: port, folder.
import { createServer } from "node:http";
import { DatabaseSync } from "node:sqlite";
import handler from "./handler.js";

const SETTINGS = `PRAGMA locking_mode=EXCLUSIVE; PRAGMA mmap_size=0; PRAGMA cell_size_check=ON; PRAGMA cache_size=-2048; PRAGMA temp_store=MEMORY;
    PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA journal_size_limit=16384000`;

function open(path) {
    const db = new DatabaseSync(path);
    db.exec(SETTINGS);
    return db;
}

const [port, folder] = process.argv.slice(2);
const sql = open(`${folder}/sql.db`);
const kv = open(`${folder}/kv.db`);
kv.exec("CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY, value BLOB)");
const kvGet = kv.prepare("SELECT value FROM kv WHERE key = ?");
const kvPut = kv.prepare("INSERT OR REPLACE INTO kv VALUES (?, ?)");
const prepared = new Map();

function prepare(text) {
    let statement = prepared.get(text);
    if (statement === undefined) {
        statement = sql.prepare(text);
        prepared.set(text, statement);
    }
    const bound = (...values) => ({
        bind: (...others) => bound(...others),
        first: () => statement.get(...values),
        all: () => ({ results: statement.all(...values) }),
        run: () => statement.run(...values),
    });
    return bound();
}

const env = {
    DB: {
        prepare,
        exec(text) {
            prepared.clear();
            sql.exec(text);
        },
        batch(statements) {
            sql.exec("BEGIN");
            const results = statements.map((statement) => statement.run());
            sql.exec("COMMIT");
            return results;
        },
    },
    KV: {
        get(key, type) {
            const { value } = kvGet.get(key);
            return type === "arrayBuffer" ? value.buffer : value;
        },
        put: (key, value) => void kvPut.run(key, value),
    },
};

createServer(async (request, response) => {
    const answer = await handler.fetch(new Request(`http://plain${request.url}`), env);
    const text = await answer.text();
    response.writeHead(answer.status, { "content-length": text.length });
    response.end(text);
}).listen(Number(port), "127.0.0.1");
