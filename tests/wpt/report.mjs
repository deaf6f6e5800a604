// SPDX-License-Identifier: Apache-2.0
//
// Results of a run: their table, and their comparison with what is expected.
import { doesCount, rowOf, tierOf } from "./tests.mjs";

const NOTHING = "(no subtest)"; // the one of a file that says nothing
const LISTED_MAX = 16; // failures of a file that are listed by name; of more, the number

// Returns {known: Set of names, failed: [name, …]} of a file's result.
function summarize({ test, tests }) {
    const counted = tests.filter(([name]) => doesCount(test, name));
    const passed = new Set(counted.filter(([, status]) => status === "PASS").map(([name]) => name));
    const known = new Set(counted.map(([name]) => name));
    if (tests.length === 0) {
        known.add(NOTHING);
    }
    return { known, failed: [...known].filter((name) => !passed.has(name)).sort() };
}

// Returns {known, failed, harness, server} as expected.json has it, for one file. failed: names, or a number. server: true for a file that
// cannot run without WPT's own server
export function observe(result) {
    const { known, failed } = summarize(result);
    const seen = { known: known.size };
    if (failed.length > 0) {
        seen.failed = failed.length > LISTED_MAX ? failed.length : failed;
    }
    if (result.harness[0] !== "OK") {
        seen.harness = result.harness[0];
    }
    if (result.needsServer) {
        seen.server = true;
    }
    return seen;
}

// Returns what is worse than expected, as lines. expected: that of the file, or undefined
export function regressions(id, expected, result) {
    if (expected === undefined) {
        return [`${id}: unknown file; scripts/wpt --update adds it`];
    }
    const seen = observe(result);
    const found = [];
    if (seen.harness !== undefined && seen.harness !== expected.harness) {
        found.push(`${id}: ${result.harness.join(": ")}`);
    }
    if (seen.known < expected.known) {
        found.push(`${id}: ${seen.known} subtests, expected ${expected.known}`);
    }
    const allowed = expected.failed ?? [];
    const { failed } = summarize(result);
    if (typeof allowed === "number") {
        if (failed.length > allowed) {
            found.push(`${id}: ${failed.length} subtests fail, expected ${allowed}`);
        }
        return found;
    }
    const messages = new Map(result.tests.map(([name, , message]) => [name, message]));
    return found.concat(failed.filter((name) => !allowed.includes(name))
        .map((name) => `${id}: fails: ${name}: ${messages.get(name)}`));
}

const failures = ({ failed = [] }) => (typeof failed === "number" ? failed : failed.length);

// Returns {row: {files, whole, known, passed}} of {id: expectation}, and the sums as rows "all …".
export function totals(files) {
    const rows = {};
    const add = (row, { known }, failed) => {
        rows[row] ??= { files: 0, whole: 0, known: 0, passed: 0 };
        rows[row].files++;
        rows[row].whole += failed === 0 ? 1 : 0;
        rows[row].known += known;
        rows[row].passed += known - failed;
    };
    for (const [id, file] of Object.entries(files)) {
        const test = id.replace(/\?.*$/, "");
        const tier = tierOf(test);
        const failed = failures(file);
        add(rowOf(test, file.server === true), file, failed);
        if (file.server === true) {
            add("all by WPT's server", file, failed);
            continue; // the peers were measured without it
        }
        add({ core: "all of ECMA-429", idl: "all interfaces", extra: "all beyond ECMA-429" }[tier], file, failed);
        if (tier === "core" && !/^(WebCryptoAPI|encoding)\//.test(test)) {
            add("all of ECMA-429 without Web Crypto and encoding", file, failed);
        }
    }
    return rows;
}

// Percentages that deno 2.9.6 and workerd 1.20261117 reach, measured with WPT of August 2025.
const PEERS = {
    "FileAPI": [100, 92.3], "WebCryptoAPI": [98.5, 95.1], "compression": [99.6, 91.2], "console": [100, 56.5],
    "dom/abort": [100, 100], "dom/events": [92.7, 80.5], "encoding": [100, 100], "fetch/api/headers": [78.6, 59.5],
    "fetch/api/request": [79.9, 76.8], "fetch/api/response": [94.0, 89.7], "fetch/api/abort, basic, body": [100, 93.5],
    "hr-time": [100, 100], "html": [98.0, 92.2], "streams": [99.1, 76.1], "url": [96.6, 82.1], "urlpattern": [98.0, 100],
    "wasm": [98.1, 36.3], "webidl": [100, 42.2], "webmessaging": [100, 54.8], "xhr/formdata": [100, 89.7],
    "all interfaces": [94.0, 44.8], "all of ECMA-429": [98.5, 92.7],
    "all of ECMA-429 without Web Crypto and encoding": [96.7, 77.9],
};

// Returns the table in Markdown.
export function table(files) {
    const rows = totals(files);
    const names = Object.keys(rows).sort((a, b) => a.startsWith("all ") - b.startsWith("all ") || (a < b ? -1 : 1));
    const line = (name) => {
        const { files: count, whole, known, passed } = rows[name];
        const peers = PEERS[name]?.map((percent) => percent.toFixed(1)) ?? ["", ""];
        return `| ${name} | ${count} | ${whole} | ${known} | ${passed} | ${
            (100 * passed / known).toFixed(1)} | ${peers.join(" | ")} |`;
    };
    return `| directory | files | whole | subtests | passed | % | deno | workerd |\n|---|---|---|---|---|---|---|---|\n${
        names.map(line).join("\n")}\n`;
}
