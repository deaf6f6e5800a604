// SPDX-License-Identifier: Apache-2.0
//
// Bundles src/main.js into one classic script for skep-mksnapshot: node build.mjs OUT.js
// Needs `npm ci --ignore-scripts` before it, and no network. Works in any copy of this folder.
import { build } from "esbuild";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const out = process.argv[2];
if (!out) {
    console.error("usage: node build.mjs OUT.js");
    process.exit(2);
}

// Files of ours in place of those of a library. What a library would load at start, but few tenants
// ever need, is loaded at first use instead: a snapshot's heap is copied into every isolate, so big
// tables must not be in it.
const replacements = {
    name: "skep-replacements",
    setup(build) {
        const local = (name) => ({ path: path.join(here, "src/lib", name) });
        const fromUrl = (args) => /[\\/]whatwg-url[\\/]lib[\\/]/.test(args.importer);

        build.onResolve({ filter: /^tr46$/ }, (args) =>
            fromUrl(args) ? local("idna.js") : undefined);
        build.onResolve({ filter: /^\.\/url-state-machine(\.js)?$/ }, (args) =>
            fromUrl(args) ? local("url_state_machine.cjs") : undefined);
        build.onResolve({ filter: /^\.\/encoding(\.js)?$/ }, (args) =>
            fromUrl(args) ? local("url_encoding.js") : undefined);
        build.onResolve({ filter: /^@exodus\/bytes\/(encoding|whatwg)\.js$/ }, (args) =>
            fromUrl(args) ? local("url_encoding.js") : undefined);

        build.onLoad({ filter: /node-inspect-extracted[\\/]dist[\\/]inspect\.js$/ }, async (args) => {
            const bounds = JSON.stringify(path.join(here, "src/lib/inspect_bounds.js"));
            const contents = bounded(await readFile(args.path, "utf8"));
            return { contents: `const skep = require(${bounds});\n${contents}`, loader: "js" };
        });

        // Objects that only the library sees are set up by assignments, which would call setters of Object.prototype.
        build.onLoad({ filter: /whatwg-url[\\/]lib[\\/](url-state-machine|URL(SearchParams)?-impl)\.js$/ },
            async (args) => {
                const name = args.path.includes("machine") ? "URLStateMachine" : "exports.implementation";
                const contents = `${await readFile(args.path, "utf8")}
Object.setPrototypeOf(${name}.prototype, null);`;
                return { contents, loader: "js" };
            });

        // Descriptors that have nothing of Object.prototype.
        build.onLoad({ filter: /whatwg-url[\\/]lib[\\/]URL(SearchParams)?\.js$/ }, async (args) => ({
            contents: (await readFile(args.path, "utf8"))
                .replace(/(Object\.defineProperty\((?:wrapper|iterator), [\w.]+, \{)/g, "$1 __proto__: null,"),
            loader: "js",
        }));

        // There is one realm.
        build.onLoad({ filter: /whatwg-url[\\/]lib[\\/]utils\.js$/ }, async (args) => ({
            contents: `${await readFile(args.path, "utf8")}
module.exports.newObjectInRealm = (realm, object) => object;`,
            loader: "js",
        }));

        // One bound for all texts that the layer looks into.
        build.onLoad({ filter: /webidl-conversions[\\/]lib[\\/]index\.js$/ }, async (args) => {
            const webidl = JSON.stringify(path.join(here, "src/webidl.js"));
            const contents = `${await readFile(args.path, "utf8")}
const { toText } = require(${webidl}), { DOMString } = exports;
exports.DOMString = (value, options) => toText(DOMString(value, options));`;
            return { contents, loader: "js" };
        });

        // JSON.parse of a string is faster than an array literal, and leaves no boilerplate behind.
        build.onLoad({ filter: /mappingTable\.json$/ }, async (args) => {
            const text = JSON.stringify(JSON.parse(await readFile(args.path, "utf8")));
            const contents = `module.exports = JSON.parse(${JSON.stringify(text)})`;
            return { contents, loader: "js" };
        });
    },
};

// Where src/lib/inspect_bounds.js gets a say in the library. package-lock.json pins the text that this is for.
const inspectBounds = [
    ["function nr(t,e,o,i){", "function nr(t,e,o,i){if(skep.isSpent(t,e))return\"…\";"],
    ["return gr(t,e,n,o,l,r)", "return skep.sparse(t,e,n,o,l,r,Er,ar)"],
    ["getOwnNonIndexProperties:function(", "getOwnNonIndexProperties:skep.nonIndexKeys,unused:function("],
    ["const r=K(J(0,n.maxArrayLength),e)", "const r=skep.items(K(J(0,n.maxArrayLength),e))"],
    ["K(t.maxArrayLength,r.length)", "skep.items(K(t.maxArrayLength,r.length))"],
    ["getProxyDetails:y.getProxyDetails", "getProxyDetails:skep.proxyDetails"],
    ["return t.constructor.name", "return skep.text(t.constructor.name)"],
    ["try{u=e[pe]}", "try{u=skep.text(e[pe])}"],
    ["if(\"string\"==typeof n)return n;t.seen", "if(\"string\"==typeof n)return skep.text(n);t.seen"],
    ["nr(t,i,o):ne(i,", "nr(t,i,o):ne(skep.text(i),"],
    [",x(e,null),S(e),t.exports=e", ",skep.bound(e),x(e,null),S(e),t.exports=e"],
];

function bounded(code) {
    for (const [old, replacement] of inspectBounds) {
        const parts = code.split(old);
        if (parts.length !== 2) {
            throw new Error(`node-inspect-extracted: "${old}" is there ${parts.length - 1} times`);
        }
        code = parts.join(replacement);
    }
    return code;
}

try {
    await build({
        absWorkingDir: here,
        entryPoints: ["src/main.js"],
        inject: ["src/lib/absent_globals.js"],
        outfile: path.resolve(out),
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
        plugins: [replacements],
        logLevel: "warning",
    });
} catch {
    process.exitCode = 1; // esbuild has said why
}
