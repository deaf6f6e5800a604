// SPDX-License-Identifier: Apache-2.0
//
// miniflare with handler.js, KV and D1, which it keeps on disk. argv: port, folder, folder of node_modules.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [port, folder, modules] = process.argv.slice(2);
const { Miniflare } = await import(pathToFileURL(createRequire(`${modules}/`).resolve("miniflare")));
const { pathname } = new URL("handler.js", import.meta.url);
const miniflare = new Miniflare({
    modules: [{ type: "ESModule", path: pathname }],
    rootPath: "/",
    compatibilityDate: "2026-07-01",
    host: "127.0.0.1",
    port: Number(port),
    cf: false,
    d1Databases: ["DB"],
    d1Persist: `${folder}/d1`,
    kvNamespaces: ["KV"],
    kvPersist: `${folder}/kv`,
});
await miniflare.ready;
process.on("SIGTERM", async () => {
    await miniflare.dispose();
    process.exit(0);
});
