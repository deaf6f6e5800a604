// SPDX-License-Identifier: Apache-2.0
//
// The test files of a copy of web-platform-tests: which there are, which cannot run here and why, and to which row of
// the table each belongs.
import fs from "node:fs";
import path from "node:path";

// Directories that a copy needs, besides resources/, common/ and interfaces/.
export const DIRECTORIES = [
    "FileAPI", "WebCryptoAPI", "compression", "console", "dom/abort", "dom/events", "dom/idlharness", "encoding",
    "fetch/api", "fetch/content-encoding", "fetch/content-length", "fetch/content-type", "fetch/data-urls", "fetch/h1-parsing",
    "fetch/origin", "fetch/range", "fetch/redirects", "fetch/security", "hr-time", "html/infrastructure", "html/webappapis", "mimesniff",
    "performance-timeline", "streams", "url", "urlpattern", "user-timing", "wasm", "webidl", "webmessaging", "xhr/formdata",
];

// Those whose files run against WPT's own server, where the copy has it (tools/).
const SERVED = /^fetch\/(api|content-encoding|content-length|content-type|h1-parsing|origin|range|redirects|security)\//;

export const hasServer = (root) => fs.existsSync(path.join(root, "tools/wptserve/wptserve/server.py"));
export const isServed = (test) => SERVED.test(test);

export const read = (root, file) => fs.readFileSync(path.join(root, file), "utf8");

// Returns the files for JavaScript without a page below root, sorted. prefixes: files and folders, all if there are none
export function listTests(root, prefixes) {
    const found = [];
    const walk = (folder) => {
        for (const entry of fs.readdirSync(path.join(root, folder), { withFileTypes: true })) {
            const name = folder === "" ? entry.name : `${folder}/${entry.name}`;
            if (entry.isDirectory()) {
                walk(name);
            } else if (/\.(any|window)\.js$/.test(name)) {
                found.push(name);
            }
        }
    };
    walk("");
    const wanted = prefixes.length > 0 ? prefixes : DIRECTORIES;
    return found.sort().filter((name) => wanted.some((prefix) =>
        name === prefix || name.startsWith(`${prefix.replace(/\/$/, "")}/`) || name.startsWith(`${prefix}.`)));
}

// Reads the "// META:" lines of a file.
export function parseMeta(source) {
    const meta = { scripts: [], variants: [], global: null, isLong: false, title: null };
    for (const line of source.split("\n")) {
        const found = /^\/\/ META:\s*(\w+)=(.*?)\s*$/.exec(line);
        if (!found) {
            if (/^\s*(\/\/.*)?$/.test(line)) {
                continue;
            }
            break;
        }
        const [, key, value] = found;
        if (key === "script") {
            meta.scripts.push(value);
        } else if (key === "variant") {
            meta.variants.push(value);
        } else if (key === "global") {
            meta.global = value.split(",").map((name) => name.trim());
        } else if (key === "timeout") {
            meta.isLong = value === "long";
        } else if (key === "title") {
            meta.title = value;
        }
    }
    return meta;
}

// Returns the path below the root that a file's reference to another one means.
export function resolveReference(test, reference) {
    return reference.startsWith("/") ? reference.slice(1) :
        path.posix.normalize(path.posix.join(path.posix.dirname(test), reference));
}

// Returns what is run: each file once, or once for each of its variants. needsServer: it cannot run without WPT's own server
export function listRuns(root, prefixes) {
    return listTests(root, prefixes).filter((test) => whySkipped(root, test) === null).flatMap((test) => {
        const { variants, isLong } = parseMeta(read(root, test));
        return (variants.length > 0 ? variants : [""]).map((variant) =>
            ({ test, variant, isLong, id: test + variant, needsServer: whySkipped(root, test, false) !== null }));
    });
}

// "core": ECMA-429 requires it; "idl": interfaces, by their IDL; "extra": a neighbour of what is required.
export function tierOf(test) {
    if (/\/idlharness[.-]/.test(test)) {
        return "idl";
    }
    const isNeighbour = /^(user-timing|performance-timeline|mimesniff|webmessaging\/broadcastchannel|fetch\/(data-urls|content-type)|FileAPI\/(reading-data-section|url|[fF]ileReader))/;
    if (isNeighbour.test(test) || /^webmessaging\/(?!message-channels|Message|Channel)/.test(test)) {
        return "extra";
    }
    return /\.tentative\./.test(test) && !test.startsWith("compression/") ? "extra" : "core";
}

// Files of idlharness name many interfaces that no server has (nodes, file lists): only those of ECMA-429 count.
const INTERFACES = new Set(`AbortController AbortSignal Event EventTarget CustomEvent ErrorEvent MessageChannel MessageEvent
    MessagePort PromiseRejectionEvent DOMException Headers Request Response FormData Blob File CompressionStream
    DecompressionStream ByteLengthQueuingStrategy CountQueuingStrategy ReadableByteStreamController ReadableStream
    ReadableStreamBYOBReader ReadableStreamBYOBRequest ReadableStreamDefaultController ReadableStreamDefaultReader
    TransformStream TransformStreamDefaultController WritableStream WritableStreamDefaultController
    WritableStreamDefaultWriter TextDecoder TextDecoderStream TextEncoder TextEncoderStream URL URLSearchParams URLPattern
    Crypto CryptoKey SubtleCrypto Performance Global Instance Memory Module Table Tag Exception console
    WebAssembly`.split(/\s+/));

// Subtests of fetch/ that need a page or XMLHttpRequest, in files of which others need neither.
const OF_PAGES = /^(<iframe>|XMLHttpRequest )|network error for (script|frame navigation|image) /;

// True if a subtest of that name counts.
export function doesCount(test, name) {
    if (tierOf(test) !== "idl") {
        return !(isServed(test) && OF_PAGES.test(name));
    }
    const found = /^(\w+) (interface|namespace)\b/.exec(name);
    return found !== null && INTERFACES.has(found[1]);
}

// Returns the row of the table. needsServer: as in listRuns
export function rowOf(test, needsServer) {
    const parts = test.split("/");
    if (needsServer) {
        return `${parts.slice(0, Math.min(parts[1] === "api" ? 3 : 2, parts.length - 1)).join("/")}: by WPT's server`;
    }
    const depth = parts[0] === "fetch" ? 3 : ["dom", "xhr"].includes(parts[0]) ? 2 : 1;
    const row = parts.slice(0, Math.min(depth, parts.length - 1)).join("/")
        .replace(/^fetch\/api\/(abort|basic|body)$/, "fetch/api/abort, basic, body");
    const tier = tierOf(test);
    return tier === "core" ? row : tier === "idl" ? `${parts[0]}: interfaces` : `${row}: beyond ECMA-429`;
}

// Files for windows of which all or many subtests need none, but WPT's own server.
const SERVED_WINDOW = /^fetch\/(content-length|h1-parsing)\/|^fetch\/content-type\/(response|multipart)\.window/;
const WINDOW_OK = /^compression\/(de)?compression-with-detach|^url\/IdnaTestV2/;
// Files of which the rules below would drop all, though few of their subtests need a server or a page.
const FORCED = new Set(["FileAPI/file/File-constructor.any.js", "fetch/api/response/response-clone.any.js",
    "fetch/api/response/response-cancel-stream.any.js",
    "html/webappapis/system-state-and-capabilities/the-navigator-object/navigator.any.js"]);
const NAMED = {
    "fetch/api/basic/mediasource.window.js": "needs MediaSource",
    "WebCryptoAPI/historical.any.js": "asserts absence in insecure contexts (http:)",
    "fetch/api/abort/cache.https.any.js": "needs the Cache API (not in ECMA-429)",
    "html/infrastructure/safe-passing-of-structured-data/shared-array-buffers/no-coop-coep.https.any.js":
        "browser's isolation of origins",
    "html/infrastructure/safe-passing-of-structured-data/shared-array-buffers/serialization-via-notifications-api.any.js":
        "needs Notification",
    "performance-timeline/case-sensitivity.any.js": "needs resource timing",
    "performance-timeline/droppedentriescount.any.js": "needs wptserve",
    "streams/readable-streams/owning-type-video-frame.any.js": "needs VideoFrame",
    "wasm/webapi/historical.any.js": "needs IndexedDB",
    "webmessaging/message-channels/user-activation.tentative.any.js": "needs user activation",
};

// Files about what a browser's fetch() has, and that of a server has not, each with what that is.
const OF_BROWSERS = [
    [/^fetch\/api\/cors\//, "CORS: a server has no origin"],
    [/^fetch\/(origin\/|api\/redirect\/redirect-(origin|back-to-original-origin))/, "Origin headers: a server has no origin"],
    [/^fetch\/api\/basic\/mode-(no-cors|same-origin)\b/, "modes: a server has no origin"],
    [/^fetch\/api\/(basic\/(request-)?referrer|redirect\/redirect-referrer)/, "referrers: a server has no page that refers"],
    [/^fetch\/api\/(request\/request-cache-|basic\/conditional-get)/, "an HTTP cache: a server has none of its own"],
    [/^fetch\/api\/(basic\/|request\/request-|redirect\/redirect-)keepalive/, "keepalive: there is no page that could end before its fetch"],
    [/^fetch\/api\/credentials\/cookies\b/, "cookies: a server has no store of them"],
    [/^fetch\/api\/basic\/(request-forbidden-headers|request-private-network-headers)/, "forbidden headers: a server sets them"],
    [/^fetch\/api\/basic\/gc\b/, "needs gc()"],
];

// Returns why a file cannot run without a page, WPT's own server, gc() or threads; null if it can.
// serves: whether there is WPT's own server
export function whySkipped(root, test, serves = hasServer(root)) {
    const withServer = serves && isServed(test);
    const source = read(root, test);
    const { scripts, global } = parseMeta(source);
    const name = path.posix.basename(test);
    const code = source.replace(/^\s*\/\/.*$/gm, "");
    const uses = (pattern) => scripts.some((script) => pattern.test(script));
    const only = (pattern) => global !== null && global.every((scope) => pattern.test(scope));
    const isWindow = name.endsWith(".window.js") && !WINDOW_OK.test(test) && !(withServer && SERVED_WINDOW.test(test));

    if (FORCED.has(test)) {
        return null;
    }
    const ofBrowsers = OF_BROWSERS.find(([pattern]) => pattern.test(test));
    if (ofBrowsers !== undefined) {
        return ofBrowsers[1];
    }
    if (NAMED[test] !== undefined) {
        return NAMED[test];
    }
    const missing = () => scripts.map((script) => resolveReference(test, script))
        .concat(/^fetch\/api\/basic\//.test(test) && code.includes("xhr/resources/") ? ["xhr/resources"] : [])
        .filter((file) => !fs.existsSync(path.join(root, file)));
    const rules = [
        [/agent-formalism/.test(test), "browser's clusters of agents"],
        [uses(/send-file-formdata-helper|request-cache\.js|keepalive-helper|corspreflight|dispatcher/),
            "needs a handler of WPT's server (by a META script)"],
        [/shadowrealm/i.test(name) || only(/^shadowrealm/), "for ShadowRealm only"],
        [only(/^(shadowrealm|serviceworker|sharedworker)/), "for service workers and shared workers only"],
        [isWindow, "for windows only"],
        [!withServer && /\.h2\./.test(name), "needs HTTP/2 of WPT's server"],
        [!withServer && (/\.sub\./.test(name) || uses(/\.sub\.js/)), "needs hosts of WPT's server (.sub)"],
        [!withServer && /\.(py|asis)\b/.test(code), "needs a handler of WPT's server (.py, .asis)"],
        [!withServer && (isServed(test) && !/^fetch\/(api\/(?!credentials|redirect|crashtests)|content-type\/)/.test(test)),
            "needs WPT's server"],
        [!withServer && /XMLHttpRequest/.test(code) || uses(/decoding-helpers/), "needs XMLHttpRequest (not in ECMA-429)"],
        [/new (Shared)?Worker\(|createWorker|serviceWorker\.register/.test(code), "needs Web Workers (not in ECMA-429)"],
        [/\b(document\.(createElement|body|getElement|querySelector)|window\.open\(|with_iframe)/.test(code) &&
            !(withServer && SERVED_WINDOW.test(test)) && !/isWindow\(\)|typeof document|['"]document['"] in/.test(code), "needs a page"],
        [uses(/\/gc\.js/), "needs gc()"],
    ];
    const rule = rules.find(([applies]) => applies);
    if (rule !== undefined) {
        return rule[1];
    }
    return missing().length > 0 ? `the copy of WPT has no ${missing().join(", ")}` : null;
}
