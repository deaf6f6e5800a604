// SPDX-License-Identifier: Apache-2.0
//
// The program of scripts/wpt, whose comment says what it does: node run.mjs --root WPT --bin DIR --work DIR [OPTION...] [PREFIX...]
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { observe, regressions, table } from "./report.mjs";
import { makeScript } from "./script.mjs";
import { serve, startUpstream } from "./server.mjs";
import { hasServer, isServed, listRuns, listTests, whySkipped } from "./tests.mjs";

const expectedFile = fileURLToPath(new URL("expected.json", import.meta.url));
const BATCH = 40; // tenants of one skepd
const AT_A_TIME = 4;
const TIMEOUT_MS = 20000;
const LONG_TIMEOUT_MS = 120000;
const GRACE_MS = 30000;

const { values: options, positionals: prefixes } = parseArgs({
    allowPositionals: true,
    options: {
        root: { type: "string" }, bin: { type: "string" }, work: { type: "string" }, out: { type: "string" },
        emit: { type: "string" }, check: { type: "boolean" }, update: { type: "boolean" }, table: { type: "boolean" },
        skipped: { type: "boolean" }, verbose: { type: "boolean", short: "v" },
    },
});

const readExpected = () => JSON.parse(fs.readFileSync(expectedFile, "utf8"));

function writeExpected(files) {
    const lines = Object.keys(files).sort().map((id) => `  ${JSON.stringify(id)}: ${JSON.stringify(files[id])}`);
    fs.writeFileSync(expectedFile, `{\n${lines.join(",\n")}\n}\n`);
}

const died = (run, why) => ({ ...run, harness: ["CRASH", why], tests: [] });

// upstream: WPT's own server, or undefined
async function runBatch(runs, atATime, upstream, note) {
    const scripts = {};
    const timeoutOf = (run) => (run.isLong ? LONG_TIMEOUT_MS : TIMEOUT_MS);
    runs.forEach((run, i) => { scripts[`t${i}`] = makeScript(options.root, run, timeoutOf(run), isServed(run.test) ? upstream : undefined); });
    const skepd = await serve(options.bin, options.work, scripts, upstream);
    let next = 0;
    const lane = async () => {
        while (next < runs.length) {
            const i = next++;
            let result;
            try {
                const { status, body } = await skepd.ask(`t${i}`, timeoutOf(runs[i]) + GRACE_MS);
                result = status === 200 ? { ...runs[i], ...JSON.parse(body) } : died(runs[i], `${status}: ${body.slice(0, 300)}`);
            } catch (error) {
                result = died(runs[i], String(error));
            }
            note(result);
        }
    };
    await Promise.all(Array.from({ length: atATime }, lane));
    await skepd.stop();
}

// Runs all, and those for which isBad(result) is true once more, alone: a busy machine fails no test.
async function runAll(runs, upstream, isBad) {
    const results = new Map();
    for (let i = 0; i < runs.length; i += BATCH) {
        await runBatch(runs.slice(i, i + BATCH), AT_A_TIME, upstream, (result) => results.set(result.id, result));
        process.stderr.write(`${Math.min(i + BATCH, runs.length)} of ${runs.length}\n`);
    }
    const again = runs.filter((run) => isBad(results.get(run.id)));
    for (const run of again) {
        await runBatch([run], 1, upstream, (result) => {
            const before = results.get(run.id);
            const failed = (one) => one.tests.filter(([, status]) => status !== "PASS").length;
            if (result.tests.length > before.tests.length || failed(result) < failed(before)) {
                results.set(run.id, result);
            }
        });
    }
    return [...results.values()];
}

function printFailures(results) {
    for (const { id, harness, tests } of results) {
        const failed = tests.filter(([, status]) => status !== "PASS");
        if (harness[0] !== "OK" || failed.length > 0) {
            console.log(`${id}: ${tests.length - failed.length} of ${tests.length}${harness[0] === "OK" ? "" : `; ${harness.join(": ")}`}`);
        }
        for (const [name, status, message] of options.verbose ? failed : []) {
            console.log(`    ${status} ${name}: ${message}`);
        }
    }
}

async function main() {
    if (options.table) {
        console.log(table(readExpected()));
        return 0;
    }
    if (options.skipped) {
        for (const test of listTests(options.root, prefixes)) {
            const why = whySkipped(options.root, test);
            if (why !== null) {
                console.log(`${test}: ${why}`);
            }
        }
        return 0;
    }
    // Expectations of fetch/ are results by WPT's own server.
    const hasAll = hasServer(options.root) || !options.check;
    const runs = listRuns(options.root, prefixes).filter((run) => hasAll || !isServed(run.test));
    if (!hasAll) {
        console.error(`${options.root} has no tools/wptserve: tests of fetch/ are left out`);
    }
    if (runs.length === 0) {
        console.error(`no test files there: ${prefixes.join(" ")}`);
        return 2;
    }
    if (options.emit !== undefined) {
        fs.mkdirSync(options.emit, { recursive: true });
        for (const run of runs) {
            fs.writeFileSync(path.join(options.emit, `${run.id.replace(/[^\w.-]+/g, "_")}.mjs`),
                makeScript(options.root, run, TIMEOUT_MS));
        }
        return 0;
    }
    const expected = readExpected();
    const worse = (result) => regressions(result.id, expected[result.id], result);
    const upstream = hasServer(options.root) && runs.some((run) => isServed(run.test)) ?
        await startUpstream(options.root, `${options.work}-upstream`) : undefined;
    const results = await runAll(runs, upstream,
        (result) => (options.check ? worse(result).length > 0 : result.harness[0] !== "OK"));
    upstream?.stop();
    if (options.out !== undefined) {
        fs.writeFileSync(options.out, JSON.stringify(results, null, 1));
    }
    const seen = Object.fromEntries(results.map((result) => [result.id, observe(result)]));
    if (options.update) {
        const others = Object.entries(expected).filter(([, file]) => file.server && !hasServer(options.root));
        const kept = prefixes.length === 0 ? Object.fromEntries(others) : expected;
        writeExpected({ ...kept, ...seen });
    }
    if (!options.check) {
        printFailures(results);
        console.log(table(seen));
        return 0;
    }
    const found = results.flatMap(worse);
    const gone = listRuns(options.root, prefixes).length === 0 ? [] : Object.keys(expected).filter((id) =>
        prefixes.length === 0 && seen[id] === undefined && (hasAll || !isServed(id)));
    found.push(...gone.map((id) => `${id}: the copy of WPT does not have it`));
    found.forEach((line) => console.log(line));
    console.log(`${results.length} files, ${found.length} regressions`);
    return found.length > 0 ? 1 : 0;
}

process.exitCode = await main();
