// SPDX-License-Identifier: Apache-2.0
//
// Values in the log: as util.inspect of this Node.js shows them, whose code the formatter is.
import assert from "node:assert/strict";
import { test } from "node:test";
import { format, inspect } from "node:util";
import { Host } from "./host.mjs";

// Returns the lines that console.log(SOURCE) writes.
function logged(source, host = new Host()) {
    host.logs.length = 0;
    host.run(`console.log(${source});`);
    return host.logs.map(({ text }) => text).join("\n");
}

const values = [
    "1", "-0", "NaN", "10n", "'text'", "true", "null", "undefined", "Symbol('s')", "Symbol()", "Symbol.iterator",
    "{}", "[]", "{ a: 1, b: 'x' }", "[1, 'a', [2, [3, [4, [5]]]]]", "{ a: { b: { c: { d: 1 } } } }",
    "{ h: Symbol('s') }", "{ i: 10n }", "[10n, Symbol('s'), -0, null, undefined]",
    "{ 'key with space': 1, 'a-b': 2, 3: 4 }", "{ s: \"it's\", t: 'say \"x\"', u: '`', n: 'a\\nb', e: '\\x1b' }",
    "[, 1]", "new Array(3)", "Object.assign([1], { k: 1 })", "new Array(200).fill(0)",
    "new String('s')", "Object(1n)", "Object(Symbol('z'))", "new Number(3)", "new Boolean(false)",
    "new Date(0)", "new Date(NaN)", "/re/gi", "[new Date(0), /x/]",
    "new Map([['k', { v: 1 }]])", "new Set([1, 'a', 2n])", "new Map([[Symbol('k'), 1n]])", "new WeakMap()", "new WeakSet()",
    "new Uint8Array([1, 2, 3])", "new BigInt64Array(2)", "new Float64Array(1)", "{ q: new Uint8Array(2) }",
    "function foo() {}", "class Foo {}", "class Foo extends Map {}", "async () => {}", "function* g() {}", "{ f() {}, g: class Q {} }",
    "{ get a() { return 1; }, set b(x) {} }", "Object.create(null)", "Object.create({ a: 1 })",
    "new (class Foo { x = 2; })()", "new (class Foo extends Map {})([[1, 2]])", "new (class Foo { #p = 1; })()",
    "(() => { const a = { b: 1 }; a.self = a; return a; })()",
    "(function () { return arguments; })(1, 2)", "[1][Symbol.iterator]()", "(function* () {})()",
    "Math", "JSON", "Reflect", "{ [Symbol.for('nodejs.util.inspect.custom')]() { return 'CUSTOM'; } }",
    "{ aaaaaaaaaaaaaaaaaaaaaaaaaaaa: 1, bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb: 2, ccccccccccccccccccccccccccc: 3 }",
];

for (const source of values) {
    test(`as in Node.js: ${source}`, () => {
        const value = (0, eval)(`(${source})`);
        assert.equal(logged(source), typeof value === "string" ? value : inspect(value));
    });
}

const formats = [
    "'%s|%s|%s|%s|%s', Symbol('a'), 10n, null, undefined, -0", "'%s', 'x', { a: 1 }, 10n", "'%s', { a: 1 }", "'%s', [1, 2n]",
    "'%d|%d|%d|%d', 42.5, 10n, '0x10', Symbol('x')", "'%i|%i|%i', 42.9, 10n, 'x'", "'%f|%f', 1.5, Symbol('x')",
    "'%j', { a: 1 }", "'%o', { a: 1n }", "'%O', { a: { b: { c: { d: Symbol('s') } } } }", "'%c%s', 'color: red', 'x'", "'%%|%s'", "'%'",
    "'a%sb', 'x', 'y', { z: 1 }", "5, '%s', 1", "'100%', 10n", "'%x', 1", "Symbol('s'), '%s'",
];

for (const source of formats) {
    test(`as in Node.js: ${source}`, () => {
        assert.equal(logged(source), format(...(0, eval)(`[${source}]`)));
    });
}

// Node.js 22 is older than the formatter.
for (const [source, expected] of [
    ["{ [Symbol('k')]: 2 }", "{ Symbol(k): 2 }"], ["{ [Symbol.toStringTag]: 'Tag', a: 1 }", "{ a: 1, Symbol(Symbol.toStringTag): 'Tag' }"],
    ["new ArrayBuffer(2)", "ArrayBuffer { [Uint8Contents]: <00 00>, [byteLength]: 2 }"],
]) {
    test(`as in later ones: ${source}`, () => {
        assert.equal(logged(source), expected);
    });
}
