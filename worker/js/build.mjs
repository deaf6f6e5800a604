// SPDX-License-Identifier: Apache-2.0
//
// Bundles src/main.js into one classic script for skep-mksnapshot: node build.mjs OUT.js
// Needs `npm ci --ignore-scripts` before it, and no network. Works in any copy of this folder.
import { build as esbuild, transform } from "esbuild";
import { readFile, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import vm from "node:vm";

const here = path.dirname(fileURLToPath(import.meta.url));
const out = process.argv[2];
if (!out) {
    console.error("usage: node build.mjs OUT.js");
    process.exit(2);
}

// Files of this folder in place of those of a library. Tables that a library would load at start,
// but few tenants ever need, are loaded at first use instead: a snapshot's heap is copied into
// every isolate, so big tables must not be in it.
const replacements = {
    name: "skep-replacements",
    setup(build) {
        build.onLoad({ filter: /node-inspect-extracted[\\/]dist[\\/]inspect\.js$/ }, async (args) => {
            const bounds = JSON.stringify(path.join(here, "src/inspect/bounds.js"));
            const contents = patched("node-inspect-extracted", await readFile(args.path, "utf8"), inspectBounds);
            const objects = JSON.stringify(path.join(here, "src/inspect/platform_objects.js"));
            return { contents: `const skep = { ...require(${bounds}), ...require(${objects}) };\n${contents}`, loader: "js" };
        });

        build.onLoad({ filter: /web-streams-polyfill[\\/]dist[\\/]ponyfill\.mjs$/ }, async (args) => ({
            contents: `${streamsImports.map(([names, file]) =>
                `import { ${names} } from ${JSON.stringify(path.join(here, "src", file))};\n`).join("")}${
                patched("web-streams-polyfill", await readFile(args.path, "utf8"), streamsPatches)}`,
            loader: "js",
        }));

        // JSON.parse of a string is faster than an array literal, and leaves no boilerplate behind.
        build.onLoad({ filter: /mappingTable\.json$/ }, async (args) => {
            const text = JSON.stringify(JSON.parse(await readFile(args.path, "utf8")));
            const contents = `module.exports = JSON.parse(${JSON.stringify(text)})`;
            return { contents, loader: "js" };
        });
    },
};

// Classes of interfaces keep their names, which V8 has in the message for a call without `new`: anonymous ones are named by a
// property, which esbuild does not shorten. They stand at the left margin, and end with a brace there.
const interfaceNames = {
    name: "skep-interface-names",
    setup(build) {
        build.onLoad({ filter: /[\\/]src[\\/][^\\/]+\.js$/, namespace: "file" }, async (args) => {
            const code = await readFile(args.path, "utf8");
            const contents = code.replace(/^(export )?class (\w+)( extends \w+)? \{$([^]*?)^\}$/gm, (all, exported = "", name, base = "", body) =>
                code.includes(`defineInterface(${name},`) ?
                    `${exported}const { ${name} } = { ${name}: class${base} {${body}} };` : all);
            return { contents, loader: "js" };
        });
    },
};

// import { load } from "lazy:./folder/main.js": load() evaluates that module, and what it imports
// of its folder and of libraries, and returns what it has called provide() with. Until then the
// folder costs an isolate nothing: it is a script of its own, a "part" behind the main script (see
// snapshot.h of worker/v8), to which all that it imports from outside of its folder is handed over.
// A tenant may have replaced every global by then: those of src/lib/captured.js that the code names are handed over too.
// One array has all that lazy folders import from these files: each variable of the main script that a function of it uses has a name in
// V8's tables, and a place in each isolate.
const constantFiles = ["src/lib/captured.js", "src/native.js", "src/platform.js", "src/primordials.js", "src/webidl.js"];
const parts = new Map(); // name to text
const handed = new Map(); // folder to [file, name] of each thing that is handed over to it
const constants = []; // those of them that are in the array
const lazyFolders = {
    name: "skep-lazy",
    setup(build) {
        build.onResolve({ filter: /^lazy:/ }, (args) => ({
            path: path.relative(here, path.resolve(args.resolveDir, args.path.slice("lazy:".length))), namespace: "lazy",
        }));
        build.onResolve({ filter: /^constants$/, namespace: "lazy" }, () => ({ path: "constants", namespace: "constants" }));
        build.onLoad({ filter: /.*/, namespace: "lazy" }, (args) => {
            const name = path.basename(path.dirname(args.path));
            const imports = [];
            const values = handed.get(name).map(([file, value], i) => {
                const place = constants.findIndex(([of, constant]) => of === file && constant === value);
                if (place !== -1) {
                    return `constants[${place}]`;
                }
                imports.push(`import { ${value} as shared${i} } from ${JSON.stringify(`./${file}`)};\n`);
                return `shared${i}`;
            });
            return {
                contents: `import { part } from "./src/native.js";
import { constants } from "constants";
${imports.join("")}export const load = () => {
let provided;
part(${JSON.stringify(name)})([${values}], (value) => { provided = value; });
return provided;
};`,
                resolveDir: here, loader: "js",
            };
        });
        build.onLoad({ filter: /.*/, namespace: "constants" }, () => ({
            contents: `${constants.map(([file, name], i) => `import { ${name} as constant${i} } from ${JSON.stringify(`./${file}`)};\n`).join("")}
export const constants = [${constants.map((_, i) => `constant${i}`)}];`,
            resolveDir: here, loader: "js",
        }));
    },
};

// Makes the part of a lazy folder. file: what provides it, from here
async function makePart(file) {
    const shared = [];
    const folder = path.join(here, path.dirname(file));
    const { outputFiles } = await esbuild({
        ...options, banner: {}, lineLimit: 0, write: false, entryPoints: [file],
        inject: ["src/lib/absent_globals.js"],
        define: captured,
        plugins: [sharedModules(folder), replacements],
    });
    const code = outputFiles[0].text.replace(/handedOver\("([^"]+)",\s*"([^"]+)"\)/g, (_, from, name) =>
        `handedOver[${shared.push([from, name]) - 1}]`);
    // Libraries assign to their exports: no setter of a tenant's Object.prototype is to get these.
    const open = "{exports:{}}";
    const closed = code.replaceAll(open, "{__proto__:null,exports:{__proto__:null}}");
    if (closed === code && code.includes("__commonJS")) {
        throw new Error(`esbuild has no ${open} any more`);
    }
    const [capturedFile] = constantFiles;
    const globals = (await exportsOf(path.join(here, capturedFile)))
        .filter((name) => new RegExp(`(?<![.$\\w])${name}\\b`).test(closed))
        .map((name) => `const ${name}=handedOver[${shared.push([capturedFile, name]) - 1}];`).join("");
    const name = path.basename(folder);
    parts.set(name, `(function(handedOver,provide){"use strict";${globals}${closed}})`);
    handed.set(name, shared);
}

// Makes the parts of all folders that a file of src/ imports as "lazy:".
async function makeParts() {
    for (const file of (await readdir(path.join(here, "src"))).sort()) {
        if (!file.endsWith(".js")) {
            continue;
        }
        const code = await readFile(path.join(here, "src", file), "utf8");
        for (const [, lazy] of code.matchAll(/^import .* from "lazy:\.\/([^"]+)";$/gm)) {
            await makePart(`src/${lazy}`);
        }
    }
    const seen = new Set();
    for (const [file, name] of [...handed.values()].flat()) {
        if (constantFiles.includes(file) && !seen.has(`${file} ${name}`)) {
            seen.add(`${file} ${name}`);
            constants.push([file, name]);
        }
    }
}

async function exportsOf(file) {
    const { metafile } = await esbuild({
        absWorkingDir: here, entryPoints: [file], format: "esm", metafile: true, write: false, outdir: here,
    });
    return Object.values(metafile.outputs)[0].exports;
}

// In the bundle of a lazy folder: modules outside of it have their exports handed over.
const sharedModules = (folder) => ({
    name: "skep-shared",
    setup(build) {
        build.onResolve({ filter: /^(\.\.)?\// }, (args) => {
            const file = path.resolve(args.resolveDir, args.path);
            const isShared = file.startsWith(path.join(here, "src", path.sep)) &&
                !file.startsWith(folder + path.sep) && args.kind !== "entry-point";
            return isShared ? { path: path.relative(here, file), namespace: "shared" } : undefined;
        });
        build.onLoad({ filter: /.*/, namespace: "shared" }, async (args) => {
            const names = await exportsOf(path.join(here, args.path));
            return {
                contents: names.map((name) => `export const ${name} = /* @__PURE__ */ handedOver(${
                    JSON.stringify(args.path)}, "${name}");`).join("\n"),
                loader: "js",
            };
        });
    },
});

// Where src/inspect/bounds.js gets a say in the library. package-lock.json pins the text that this is for.
const inspectBounds = [
    ["function nr(t,e,o,i){", "function nr(t,e,o,i){if(skep.isSpent(t,e))return\"…\";"],
    ["return gr(t,e,n,o,l,r)", "return skep.sparse(t,e,n,o,l,r,Er,ar)"],
    ["getOwnNonIndexProperties:function(", "getOwnNonIndexProperties:skep.nonIndexKeys,unused:function("],
    ["const r=K(J(0,n.maxArrayLength),e)", "const r=skep.items(K(J(0,n.maxArrayLength),e))"],
    ["K(t.maxArrayLength,r.length)", "skep.items(K(t.maxArrayLength,r.length))"],
    ["getProxyDetails:y.getProxyDetails", "getProxyDetails:skep.proxyDetails"],
    ["getPromiseDetails:()=>[g,void 0]", "getPromiseDetails:(t)=>skep.promiseDetails(t,g,h)"],
    ["\"special\")}let u=function(t,e,o,i){let l,s;",
        "\"special\")}const w=skep.platformText(t,e,o,nr);if(w!==void 0)return w;let u=function(t,e,o,i){let l,s;"],
    ["return t.constructor.name", "return skep.text(t.constructor.name)"],
    ["try{u=e[pe]}", "try{u=skep.text(e[pe])}"],
    ["if(\"string\"==typeof n)return n;t.seen", "if(\"string\"==typeof n)return skep.text(n);t.seen"],
    ["nr(t,i,o):ne(i,", "nr(t,i,o):ne(skep.text(i),"],
    [",x(e,null),S(e),t.exports=e", ",skep.bound(e),x(e,null),S(e),t.exports=e"],
];

// Where the streams are as the standard has become, or what src/streams.js needs besides: package-lock.json pins that text, too.
const streamsImports = [
    ["Queue as v", "streams/queue.js"],
    // The library looks these up when it is evaluated, and at run time: a tenant may have replaced them by then.
    ["AbortController", "abort.js"],
    ["domException", "dom_exception.js"],
    ["PromiseReject as s, PromiseResolve as i, PromiseThen as a", "primordials.js"],
];
const streamsPatches = [
    // Messages that say what is expected
    ["`${t} '${e}' is not a valid enumeration value for ReadableStreamReaderMode`", "`${t} is '${e}', not 'byob'.`"],
    ["`${t} '${e}' is not a valid enumeration value for ReadableStreamType`", "`${t} is '${e}', not 'bytes'.`"],
    ['"Invalid type is specified"', '"First parameter has a member \'type\', which a WritableStream may not have."'],
    ['"Invalid readableType specified"', '"First parameter has a member \'readableType\', which a TransformStream may not have."'],
    ['"Invalid writableType specified"', '"First parameter has a member \'writableType\', which a TransformStream may not have."'],
    ['"Invalid highWaterMark"', '"highWaterMark is no number from 0 on."'],
    // Few streams are aborted: DOMException is evaluated then.
    [/const fr=function\(\)\{const e=null==dr\?.*?configurable:!0\}\),e\}\(\);/, ""],
    ['new fr("Aborted","AbortError")', 'domException("Aborted","AbortError")'],
    ['if("function"==typeof queueMicrotask)y=queueMicrotask;else', "if(true)"],
    [",i=Promise.resolve.bind(n),a=Promise.prototype.then,s=Promise.reject.bind(n),l=i", ",l=i"],
    [/class v\{constructor\(\)\{this\._cursor=0,.*?\}\}(?=const w=)/, ""],
    // A second branch of clones (Fetch, "clone a body"), readers without promises, for src/streams.js
    ["function Wr(e,t){return Oe(e._readableStreamController)", "function Wr(e,clone){return Oe(e._readableStreamController)"],
    ["}(e):function(e){const t=V(e);let r,o,n,i,a,s", "}(e):function(e,clone){const t=V(e);let r,o,n,i,a,s"],
    ["l=!1;const t=e,r=e;d||Rr(n._readableStreamController,t),f||Rr(i._readableStreamController,r),",
        "l=!1;let r=e;if(!f&&clone)try{r=clone(e)}catch(e){return Tr(n._readableStreamController,e)," +
        "Tr(i._readableStreamController,e),void a(Mr(t._ownerReadableStream,e))}" +
        "d||Rr(n._readableStreamController,e),f||Rr(i._readableStreamController,r),"],
    ["d&&f||a(void 0),null)),[n,i]}(e)}", "d&&f||a(void 0),null)),[n,i]}(e,clone)}export{te as readDirectly,Wr as teeWith};"],
    // A pipe writes what comes in enqueue() after that has returned.
    ["_chunkSteps(t){this._state._currentWrite=f(Yt(this._state._writer,t),void 0,e),this._resolvePromise(!1)}",
        "_chunkSteps(t){y(()=>{this._state._currentWrite=f(Yt(this._state._writer,t),void 0,e),this._resolvePromise(!1)})}"],
    ["Object.defineProperty(ge,_e,{enumerable:!1})",
        "delete ge[_e],Object.setPrototypeOf(ge,Object.getPrototypeOf(Object.getPrototypeOf(async function*(){}).prototype))"],
];

// Returns the code with each [old, replacement] done; old: a text, or a regular expression.
function patched(library, code, patches) {
    for (const [old, replacement] of patches) {
        const parts = code.split(old);
        if (parts.length !== 2) {
            throw new Error(`${library}: "${old}" is there ${parts.length - 1} times`);
        }
        code = parts.join(replacement);
    }
    return code;
}

const options = {
    absWorkingDir: here,
    bundle: true,
    format: "iife",
    // For the libraries too. A sloppy function of a tenant that is called by a sloppy one has that one as its
    // `caller`, and by its `arguments` what the layer keeps of the request.
    banner: { js: '"use strict";' },
    platform: "neutral",
    mainFields: ["module", "main"],
    target: "es2023",
    charset: "ascii", // a one-byte source takes half the memory of a two-byte one
    minifyWhitespace: true,
    minifySyntax: true,
    lineLimit: 200, // a stack trace or an error shows the line
    legalComments: "none",
    logLevel: "warning",
};

// Functions that are named by their constructor, and what src/lib/captured.js calls them.
const captured = {};
for (const [owner, names] of [
    ["Array", "from isArray"], ["ArrayBuffer", "isView"], ["Number", "isFinite isInteger isNaN"], ["Reflect", "apply ownKeys"],
    ["Object", "assign create defineProperties defineProperty freeze getOwnPropertyDescriptor getOwnPropertyDescriptors " +
        "getOwnPropertyNames getPrototypeOf hasOwn is keys setPrototypeOf"],
    ["String", "fromCharCode fromCodePoint"],
]) {
    for (const name of names.split(" ")) {
        captured[`${owner}.${name}`] = owner + name[0].toUpperCase() + name.slice(1);
    }
}

// Refuses names that a file of this folder uses and neither declares, imports nor has from the language: esbuild takes them for globals, and
// code that runs seldom would throw. esbuild itself knows which names are free: it replaces these, and no others, by what `define` says.
async function checkNames() {
    const ofLanguage = new Set(vm.runInNewContext("Object.getOwnPropertyNames(globalThis)")).add("provide");
    const isReserved = (word) => {
        try {
            new Function(`"use strict"; var ${word};`);
            return false;
        } catch {
            return true;
        }
    };
    const faults = [];
    for (const file of await readdir(path.join(here, "src"), { recursive: true })) {
        if (!file.endsWith(".js")) {
            continue;
        }
        const code = await readFile(path.join(here, "src", file), "utf8");
        const words = new Set(code.match(/[A-Za-z_$][\w$]*/g));
        const define = {};
        for (const word of words) {
            if (!ofLanguage.has(word) && !isReserved(word)) {
                define[word] = `free_name_${word}`;
            }
        }
        const { code: marked } = await transform(code, { define, format: "esm", target: "esnext", logLevel: "silent" });
        for (const [, name] of marked.matchAll(/\bfree_name_([\w$]+)/g)) {
            faults.push(`src/${file}: ${name} is neither declared nor imported`);
        }
    }
    if (faults.length > 0) {
        throw new Error([...new Set(faults)].join("\n"));
    }
}

try {
    await checkNames();
    await makeParts();
    await esbuild({
        ...options,
        minifyIdentifiers: true, // V8 keeps the names of variables; interfaces get theirs by defineInterface()
        entryPoints: ["src/main.js"],
        inject: ["src/lib/absent_globals.js", "src/lib/captured.js"],
        define: captured,
        outfile: path.resolve(out),
        plugins: [lazyFolders, replacements, interfaceNames],
    });
    const texts = [await readFile(out, "utf8")];
    for (const name of [...parts.keys()].sort()) {
        texts.push(`${name}\n${parts.get(name)}\n`);
    }
    await writeFile(out, texts.join("\x01")); // which the code itself never has: esbuild escapes it
} catch (error) {
    if (error.errors === undefined) {
        console.error(error);
    }
    process.exitCode = 1; // esbuild has printed the reason
}
