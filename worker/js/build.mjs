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

        // JSON.parse of a string is faster than an array literal, and leaves no boilerplate behind.
        build.onLoad({ filter: /mappingTable\.json$/ }, async (args) => {
            const text = JSON.stringify(JSON.parse(await readFile(args.path, "utf8")));
            const contents = `module.exports = JSON.parse(${JSON.stringify(text)})`;
            return { contents, loader: "js" };
        });
    },
};

try {
    await build({
        absWorkingDir: here,
        entryPoints: ["src/main.js"],
        inject: ["src/lib/absent_globals.js"],
        outfile: path.resolve(out),
        bundle: true,
        format: "iife",
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
