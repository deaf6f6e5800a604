// SPDX-License-Identifier: Apache-2.0
//
// A tenant that answers with all interfaces, namespaces, functions and objects of its global scope as text: what
// golden/interfaces.txt has. A line says what is not as Web IDL would have it.
const ECMASCRIPT = new Set(("AggregateError Array ArrayBuffer AsyncDisposableStack Atomics BigInt BigInt64Array BigUint64Array Boolean " +
    "DataView Date DisposableStack Error EvalError Float16Array Float32Array Float64Array Function Infinity Int16Array Int32Array " +
    "Int8Array Intl Iterator JSON Map Math NaN Number Object Promise Proxy RangeError ReferenceError Reflect RegExp Set String " +
    "SuppressedError Symbol SyntaxError TypeError URIError Uint16Array Uint32Array Uint8Array Uint8ClampedArray WeakMap WeakSet " +
    "WebAssembly decodeURI decodeURIComponent encodeURI encodeURIComponent escape eval globalThis isFinite isNaN parseFloat " +
    "parseInt undefined unescape").split(" "));
const lines = [];
const isFunction = (value) => typeof value === "function";
const isClass = (value) => isFunction(value) && Object.hasOwn(value, "prototype");
// The libraries behind some interfaces have symbols of their own there.
const isShown = (key) => typeof key === "string" || key.description.startsWith("Symbol.");
const nameOf = (key) => (typeof key === "symbol" ? `[${key.description}]` : key);

// Returns what is wrong with a function, and its length.
function describe(f, name) {
    const wrong = [];
    if (f.name !== name) {
        wrong.push(`is named "${f.name}"`);
    }
    for (const own of ["name", "length"]) {
        const { writable, enumerable, configurable } = Object.getOwnPropertyDescriptor(f, own);
        if (writable || enumerable || !configurable) {
            wrong.push(`bad ${own}`);
        }
    }
    if (!String(f).includes("[native code]")) {
        wrong.push("shows its source");
    }
    if (!isClass(f)) {
        try {
            Reflect.construct(Object, [], f);
            wrong.push("is a constructor");
        } catch {
            // as it should be
        }
    }
    return wrong.map((text) => ` (${text})`).join("");
}

function member(object, key, prefix) {
    const d = Object.getOwnPropertyDescriptor(object, key);
    const name = nameOf(key);
    const note = (isRight, text) => (isRight ? "" : ` (${text})`);
    if (d.get !== undefined) {
        const set = d.set === undefined ? "" : `, set${describe(d.set, `set ${name}`)}${note(d.set.length === 1, "length")}`;
        return `${prefix}${name}: get${describe(d.get, `get ${name}`)}${note(d.get.length === 0, "length")}${set}` +
            note(d.enumerable, "hidden") + note(d.configurable, "fixed");
    }
    if (isFunction(d.value) && !isClass(d.value)) {
        const isRight = d.enumerable === (typeof key !== "symbol");
        const alias = typeof key === "symbol" ? nameOf(d.value.name) : name;
        return `${prefix}${name}(${d.value.length})${describe(d.value, alias)}` +
            note(isRight, d.enumerable ? "shown" : "hidden") + note(d.writable && d.configurable, "fixed");
    }
    if (key === Symbol.toStringTag) {
        return `${prefix}${name}: ${d.value}${note(!d.writable && !d.enumerable && d.configurable, "attributes")}`;
    }
    return `${prefix}${name}: ${typeof d.value === "number" ? d.value : typeof d.value}` +
        note(!d.writable && d.enumerable && !d.configurable, `${d.writable ? "writable" : ""}${d.enumerable ? "" : " hidden"}`);
}

function showInterface(name, value) {
    const parent = Object.getPrototypeOf(value);
    const { writable, enumerable, configurable } = Object.getOwnPropertyDescriptor(value, "prototype");
    const maker = Object.getOwnPropertyDescriptor(value.prototype, "constructor");
    const isRight = !writable && !enumerable && !configurable && maker.value === value && maker.writable && !maker.enumerable;
    lines.push(`${name}(${value.length})${parent === Function.prototype ? "" : ` extends ${parent.name}`}${describe(value, name)}` +
        (isRight ? "" : " (prototype)"));
    for (const key of Reflect.ownKeys(value)) {
        if (!["length", "name", "prototype"].includes(key)) {
            lines.push(member(value, key, "    static "));
        }
    }
    for (const key of Reflect.ownKeys(value.prototype).filter(isShown)) {
        if (key !== "constructor") {
            lines.push(member(value.prototype, key, "    "));
        }
    }
}

for (const name of Object.getOwnPropertyNames(globalThis).sort()) {
    const d = Object.getOwnPropertyDescriptor(globalThis, name);
    if (ECMASCRIPT.has(name)) {
        continue;
    }
    if (isClass(d.value)) {
        showInterface(name, d.value);
        if (d.enumerable || !d.writable || !d.configurable) {
            lines.push("    (attributes of the global property)");
        }
    } else if (d.get !== undefined || isFunction(d.value)) {
        lines.push(member(globalThis, name, ""));
    } else {
        lines.push(`${name}: ${Object.prototype.toString.call(d.value)}${d.enumerable ? "" : " (hidden)"}`);
        if (Object.getPrototypeOf(Object.getPrototypeOf(d.value)) === Object.prototype && name === "console") {
            Reflect.ownKeys(d.value).forEach((key) => lines.push(member(d.value, key, "    ")));
        }
    }
}

export default { fetch: () => new Response(`${lines.join("\n")}\n`) };
