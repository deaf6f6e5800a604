// SPDX-License-Identifier: Apache-2.0
//
// The comparison of WPT's results with what is expected (tests/wpt): anything worse must show.
import assert from "node:assert/strict";
import { test } from "node:test";
import { observe, regressions, totals } from "../wpt/report.mjs";

const result = (tests, harness = ["OK", null]) => ({
    id: "url/a.any.js", test: "url/a.any.js", harness, tests: Object.entries(tests).map(([name, status]) =>
        [name, status, status === "PASS" ? null : "because"]),
});
const worse = (expected, ...seen) => regressions("url/a.any.js", expected, result(...seen));

test("what is as expected is no regression", () => {
    const seen = { one: "PASS", two: "FAIL" };
    assert.deepEqual(observe(result(seen)), { known: 2, failed: ["two"] });
    assert.deepEqual(worse(observe(result(seen)), seen), []);
    assert.deepEqual(worse(observe(result(seen)), { one: "PASS", two: "PASS" }), []);
});

test("a subtest that fails though it is not listed is a regression, with its message", () => {
    assert.deepEqual(worse({ known: 2, failed: ["two"] }, { one: "FAIL", two: "PASS" }),
        ["url/a.any.js: fails: one: because"]);
});

test("more failures than the number that is expected are a regression", () => {
    assert.deepEqual(worse({ known: 3, failed: 1 }, { one: "FAIL", two: "FAIL", three: "PASS" }),
        ["url/a.any.js: 2 subtests fail, expected 1"]);
    assert.deepEqual(worse({ known: 3, failed: 2 }, { one: "FAIL", two: "FAIL", three: "PASS" }), []);
});

test("a subtest that is not there any more is a regression", () => {
    assert.deepEqual(worse({ known: 2 }, { one: "PASS" }), ["url/a.any.js: 1 subtests, expected 2"]);
});

test("a file that dies is a regression, and counts as a failed subtest", () => {
    assert.deepEqual(worse({ known: 1 }, {}, ["CRASH", "500"]),
        ["url/a.any.js: CRASH: 500", "url/a.any.js: fails: (no subtest): undefined"]);
    assert.deepEqual(observe(result({}, ["CRASH", "500"])), { known: 1, failed: ["(no subtest)"], harness: "CRASH" });
});

test("a file that nobody expects is a regression", () => {
    assert.equal(worse(undefined, { one: "PASS" }).length, 1);
});

test("sums are those of the files", () => {
    const rows = totals({ "url/a.any.js": { known: 3, failed: ["x"] }, "url/b.any.js?v": { known: 2 } });
    assert.deepEqual(rows.url, { files: 2, whole: 1, known: 5, passed: 4 });
    assert.deepEqual(rows["all of ECMA-429"], rows.url);
});

test("files that need WPT's own server have rows of their own, and are in no other sum", () => {
    const file = "fetch/api/basic/a.any.js";
    assert.deepEqual(observe({ ...result({ one: "PASS" }), test: file, needsServer: true }), { known: 1, server: true });
    const rows = totals({ [file]: { known: 3, failed: 1, server: true }, "fetch/api/basic/b.any.js": { known: 2 } });
    const served = { files: 1, whole: 0, known: 3, passed: 2 };
    assert.deepEqual(rows["fetch/api/basic: by WPT's server"], served);
    assert.deepEqual(rows["all by WPT's server"], served);
    assert.deepEqual(rows["all of ECMA-429"], { files: 1, whole: 1, known: 2, passed: 2 });
});

test("subtests that need a page do not count in files that WPT's server is for", () => {
    const file = "fetch/h1-parsing/a.window.js";
    assert.deepEqual(observe({ ...result({ "Expect network error for image with 0x00 in a header": "FAIL", "<iframe>: a": "FAIL", one: "PASS" }),
        test: file }), { known: 1 });
});
