// SPDX-License-Identifier: Apache-2.0
//
// The bundle as a file, and what V8 makes of it. SKEP_JS_BUNDLE is worker/bundle.js of a build folder, with the sources and libraries
// that it was made of beside it; SKEP_MKSNAPSHOT is skep-mksnapshot.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";

const { SKEP_JS_BUNDLE: bundle, SKEP_MKSNAPSHOT: mksnapshot } = process.env;
const sources = bundle && path.join(path.dirname(bundle), "js");

const withFolder = (f) => {
    const folder = mkdtempSync(path.join(os.tmpdir(), "skep-bundle-"));
    try {
        return f(folder);
    } finally {
        rmSync(folder, { recursive: true });
    }
};

test("a bundle has the same bytes wherever it is built", { skip: bundle === undefined }, () => {
    withFolder((folder) => {
        const copy = path.join(folder, "another", "folder");
        cpSync(sources, copy, { recursive: true });
        const out = path.join(folder, "bundle.js");
        execFileSync(process.execPath, [path.join(copy, "build.mjs"), out]);
        assert.ok(readFileSync(out).equals(readFileSync(bundle)));
    });
});

// esbuild gives another name to a class whose own name is that of a variable around it, and errors would show that name.
test("no class of the platform has a number behind its name", { skip: bundle === undefined }, () => {
    const names = [...readFileSync(bundle, "utf8").matchAll(/\bclass ([A-Z]\w*[a-z])\d+\b/g)].map(([, name]) => name);
    assert.deepEqual(names, []);
});

// Tables of V8 that double cost each isolate tens of KiB: the table of strings has 64 KiB in place of 32 from 2,731 strings on, and the code of
// a tenant brings some hundred; the table of the names of variables has 32 KiB in place of 16 from 683 names on.
const MAX_STRINGS = 2600;
const MAX_NAMES_BYTES = 17000;

test("V8's tables in the snapshot are below the sizes at which they double", { skip: mksnapshot === undefined }, () => {
    const text = withFolder((folder) => execFileSync(mksnapshot, [
        bundle, path.join(sources, "node_modules/lol-html/lol_html_bg.wasm"), path.join(folder, "blob"), "--serialization-statistics",
    ], { encoding: "utf8" }));
    const rows = [...text.matchAll(/^ *(\d+) +(\d+) +\w+ +(\w+)_TYPE$/gm)].map(([, count, bytes, type]) => ({
        count: Number(count), bytes: Number(bytes), type,
    }));
    const strings = rows.filter(({ type }) => type.startsWith("INTERNALIZED_")).reduce((sum, { count }) => sum + count, 0);
    const names = Math.max(...rows.filter(({ type }) => type === "NAME_TO_INDEX_HASH_TABLE").map(({ bytes }) => bytes));
    assert.ok(strings > 1500 && names > 500, `the statistics are not understood: ${text}`);
    assert.ok(strings <= MAX_STRINGS, `${strings} strings, of which there may be ${MAX_STRINGS}`);
    assert.ok(names <= MAX_NAMES_BYTES, `${names} bytes of names of variables, of which there may be ${MAX_NAMES_BYTES}`);
});
