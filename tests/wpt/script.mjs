// SPDX-License-Identifier: Apache-2.0
//
// Makes one self-contained worker script of a test file of WPT: testharness.js, the scripts that the file names, the files
// that it fetches, and itself. The first request runs it, and is answered with the results:
// {id, harness: [status, message], tests: [[name, status, message], …]}.
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseMeta, read, resolveReference } from "./tests.mjs";

const inside = fs.readFileSync(fileURLToPath(new URL("inside.js", import.meta.url)), "utf8");
const HOST = "web-platform.test"; // these are names of WPT's server
const OTHER_HOST = "not-web-platform.test";
const ORIGIN = `http://${HOST}:8000`; // without that server a text only: nothing is resolved or connected to
const TEXT = /\.(json|vtt|txt|idl|js|mjs|html|css|xml|md)$/;
const TYPES = {
    html: "text/html", idl: "text/plain", js: "text/javascript", json: "application/json", txt: "text/plain",
    vtt: "text/vtt", wasm: "application/wasm",
};
const RESOURCE_MAX = 3e6;

const isFramework = (file) => file.startsWith("resources/");

// Returns {"/path": [type, is base64, content]} of the files that string literals in sources name.
function findResources(root, test, sources) {
    const found = {};
    const add = (file) => {
        const stat = fs.statSync(path.join(root, file), { throwIfNoEntry: false });
        if (stat?.isFile() && stat.size < RESOURCE_MAX) {
            const isBinary = !TEXT.test(file);
            found[`/${file}`] = [TYPES[path.extname(file).slice(1)] ?? "application/octet-stream", isBinary,
                fs.readFileSync(path.join(root, file), isBinary ? "base64" : "utf8")];
        }
    };
    const literal = /["'`]((?:\.{0,2}\/)?[\w@.\-/]+\.(?:json|txt|idl|wasm|html|js|dat|bin|vtt|webm|wav))["'`]/g;
    for (const source of sources) {
        for (const [, name] of source.matchAll(literal)) {
            add(resolveReference(test, name));
        }
        const idl = /idl_test\s*\(\s*\[([^\]]*)\]\s*,\s*\[([^\]]*)\]/.exec(source);
        for (const [, name] of idl === null ? [] : `${idl[1]},${idl[2]}`.matchAll(/["']([^"']+)["']/g)) {
            add(`interfaces/${name}.idl`);
        }
    }
    return found;
}

function errorOf(code) {
    try {
        new Function(`"use strict";${code}`);
        return "";
    } catch (error) {
        return error.message;
    }
}

// Returns the names that are assigned without a declaration: a classic script may do that, a module may not.
function undeclaredNames(sources, whole) {
    const all = sources.join("\n");
    const names = new Set();
    for (const [, list] of all.matchAll(/\bfor\s*\(\s*\[([\w$,\s]+)\]\s*of\b/g)) {
        list.split(",").map((name) => name.trim()).filter(Boolean).forEach((name) => names.add(name));
    }
    const assigned = /^[ \t]*([A-Za-z_$][\w$]*)\s*=(?![=>])|\bfor\s*\(\s*([A-Za-z_$][\w$]*)\s*(?:=(?!=)|of\b|in\b)/gm;
    const kept = /^on[a-z]+$|^(let|const|var|self|window|fetch|location|Request|await|async|arguments)$/;
    for (const [, left, counter] of all.matchAll(assigned)) {
        const name = left ?? counter;
        const declared = new RegExp(`^(?:var|let|const|class|(?:async\\s+)?function\\s*\\*?)\\s+${
            name.replace(/\$/g, "\\$")}\\b`, "m");
        if (!(name in globalThis) && !kept.test(name) && !declared.test(all)) {
            names.add(name);
        }
    }
    // A name that is declared after all, as b in "let a, b;", is none.
    for (;;) {
        const twice = names.size > 0 &&
            /Identifier '([^']+)' has already been declared/.exec(errorOf(`var ${[...names].join(", ")};\n${whole}`));
        if (!twice || !names.delete(twice[1])) {
            return [...names];
        }
    }
}

// A classic script's functions at the top are properties of the global object; those in a function body are not.
function publish(source) {
    const names = [...source.matchAll(/^(?:async\s+)?function\s*\*?\s*([A-Za-z_$][\w$]*)/gm)].map((found) => found[1]);
    return [...new Set(names)].map((name) => `if (typeof ${name} === "function" && !(${JSON.stringify(name)
    } in self)) self.${name} = ${name};`).join(" ");
}

function loadHarness(root) {
    const harness = read(root, "resources/testharness.js");
    const patched = harness.replace(/function create_test_environment\(\)\s*\{/,
        "$&\n        return new ShellTestEnvironment();\n");
    if (patched === harness) {
        throw new Error("resources/testharness.js: no function create_test_environment");
    }
    return patched;
}

// The expressions that idlharness evaluates are given as texts: they become functions, because a request has no eval.
function compileExpressions(source, scripts) {
    const expressions = new Set();
    for (const script of scripts.filter(({ file }) => file === "resources/idlharness.js")) {
        // Which global this is decides what it must expose; a server need be neither Window nor Worker to be asked.
        script.source = script.source.replace(/\beval\(/g, "evaluate(").replace(/function exposed_in\(globals\)\s*\{/,
            '$& return globals === "*" || ["Window", "Worker", "DedicatedWorker"].some((name) => globals.has(name));');
        for (const [, single, double] of source.matchAll(/'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)"/g)) {
            const text = (single ?? double).replace(/\\(['"\\])/g, "$1");
            if (text.length < 200 && errorOf(`return (${text}\n)`) === "") {
                expressions.add(text);
            }
        }
    }
    return expressions.size === 0 ? "" : `const expressions = { __proto__: null, ${[...expressions].map((text) =>
        `${JSON.stringify(text)}: () => (${text}\n)`).join(", ")} };
const evaluate = (text) => text in expressions ? expressions[text]() : (0, eval)(text);`;
}

const toLiteral = (value) => JSON.stringify(value).replace(/\u2028/g, "\\u2028").replace(/\u2029/g, "\\u2029");

// Fills in the templates of a file with ".sub" in its name, as the server of WPT does. ports: of that server, {http: [2], https: [2]}
function substitute(source, file, ports, location) {
    if (!/\.sub\./.test(file)) {
        return source;
    }
    const domain = (name, host) => (name === "" ? host : `${name}.${host}`);
    return source.replace(/\{\{([^{}]+)\}\}/g, (whole, expression) => {
        const [name, ...keys] = expression.split(/[[\]]+/);
        const values = {
            host: () => HOST, domains: ([sub = ""]) => domain(sub, HOST),
            hosts: ([host = "", sub = ""]) => domain(sub, host === "alt" ? OTHER_HOST : HOST),
            ports: ([scheme, at]) => ports[scheme]?.[at] ?? "",
            location: ([part]) => ({ server: location.origin, host: location.host, hostname: location.hostname,
                port: location.port, scheme: location.protocol.slice(0, -1) })[part],
        };
        return values[name] === undefined ? whole : String(values[name](expression.includes("[[]]") ? [""] : keys.filter(
            (key, i) => i < keys.length - 1 || key !== "")));
    });
}

// run: one of listRuns. timeoutMs: time after which what is not there counts as failed. ports: of WPT's own server, for a file
// that runs against it; otherwise undefined
export function makeScript(root, { test, variant, id }, timeoutMs, ports) {
    const kind = /\.(https|h2)\./.exec(test)?.[1] ?? "http";
    const origin = ports === undefined ? ORIGIN : `${kind === "http" ? "http" : "https"}://${HOST}:${ports[kind][0]}`;
    const readPart = (file) => (ports === undefined ? read(root, file) : substitute(read(root, file), file, ports, new URL(origin)));
    const source = readPart(test);
    const meta = parseMeta(source);
    const scripts = meta.scripts.map((reference) => {
        const file = resolveReference(test, reference);
        return { file, source: readPart(file) };
    });
    const expressions = compileExpressions(source, scripts);
    const own = [...scripts.filter(({ file }) => !isFramework(file)).map((script) => script.source), source];
    // A module may have no variable called "arguments".
    const body = /eval or arguments/.test(errorOf(source)) ? source.replace(/\barguments\b/g, "arguments_") : source;
    const names = undeclaredNames(own, `${scripts.map((script) => script.source).join("\n;")}\n;${body}`);
    const base = `${origin}/${test.replace(/\.(any|window)\.js$/, ".$1.worker.html")}${variant}`;
    return `const id = ${toLiteral(id)}, base = ${toLiteral(base)}, origin = ${toLiteral(origin)}, timeoutMs = ${timeoutMs};
const resources = ${ports === undefined ? toLiteral(findResources(root, test, own)) : "undefined"};
${inside}
function main(fetch, Request, location, hook) {
${names.length > 0 ? `var ${names.join(", ")};` : ""}
${loadHarness(root)}
;hook(self);
${meta.title === null ? "" : `self.META_TITLE = ${toLiteral(meta.title)};`}
${expressions}
${scripts.map((script) => `${publish(script.source)}\n${script.source}\n;`).join("\n")}
${publish(source)}
${body}
;}
`;
}
