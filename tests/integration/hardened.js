// SPDX-License-Identifier: Apache-2.0
//
// A tenant that replaces each mutable property of all that can be reached from its global object by an accessor that notes each
// look at it, and then uses every API. The code of this file looks at none of them. So what is noted, the layer has looked up.
// GET / runs the steps, GET /notes answers with the notes. env.ONLY: the number of one property, in place of all.
const { apply, defineProperty, getOwnPropertyDescriptor, getPrototypeOf, ownKeys } = Reflect;
const { setPrototypeOf } = globalThis.Object;
const { Map, Set, WeakMap, WeakSet, Promise, Symbol, Uint8Array, String, Error, Object, EventTarget } = globalThis;
const mapGet = Map.prototype.get, mapSet = Map.prototype.set, has = Map.prototype.has;
const join = (list, separator) => {
    let text = "";
    for (let i = 0; i < list.length; i++) text += (i > 0 ? separator : "") + list[i];
    return text;
};
const newList = () => setPrototypeOf([], null);
const notes = newList(), seen = new Map(), failed = newList();
let step = "load", isOn = false, count = 0;
// The language itself reads "constructor" and Symbol.species of each promise and array: "await", "then" and "slice" get the class of
// their result by them. Without "stackTraceLimit" there are no stacks, and less is looked at.
const SKIPPED = { __proto__: null, constructor: true, stackTraceLimit: true }, { species } = Symbol;

const note = (title) => {
    const text = `${step}: ${title}`;
    if (isOn && !apply(has, seen, [text])) {
        apply(mapSet, seen, [text, true]);
        notes[notes.length] = text;
    }
};

const list = newList(); // [object, title]
const known = new Map();
function add(value, title) {
    if ((typeof value === "object" && value !== null || typeof value === "function") && !apply(has, known, [value])) {
        apply(mapSet, known, [value, true]);
        list[list.length] = { __proto__: null, value, title };
    }
}

function nameOf(key) {
    return typeof key === "symbol" ? "@@" + apply(symbolText, key, []) : key;
}
const symbolText = Symbol.prototype.toString;

function find() {
    for (const [value, title] of [
        [globalThis, "globalThis"], [getPrototypeOf([][Symbol.iterator]()), "ArrayIterator"],
        [getPrototypeOf(new Map()[Symbol.iterator]()), "MapIterator"], [getPrototypeOf(new Set()[Symbol.iterator]()), "SetIterator"],
        [getPrototypeOf(""[Symbol.iterator]()), "StringIterator"], [getPrototypeOf("".matchAll(/a/g)), "RegExpStringIterator"],
        [getPrototypeOf(function* () {}), "GeneratorFunction"], [getPrototypeOf(async function* () {}), "AsyncGeneratorFunction"],
        [getPrototypeOf(async () => {}), "AsyncFunction"], [getPrototypeOf(new Headers().entries()), "HeadersIterator"],
        [getPrototypeOf(new URLSearchParams().entries()), "URLSearchParamsIterator"],
        [getPrototypeOf(new FormData().entries()), "FormDataIterator"],
    ]) add(value, title);
    follow();
}

// Adds all that the list leads to, and has not been followed yet.
let followed = 0;
function follow() {
    for (; followed < list.length; followed++) {
        const { value, title } = list[followed];
        add(getPrototypeOf(value), `${title}.__proto__`);
        const keys = ownKeys(value);
        for (let j = 0; j < keys.length; j++) {
            const d = getOwnPropertyDescriptor(value, keys[j]);
            const name = title === "globalThis" ? nameOf(keys[j]) : `${title}.${nameOf(keys[j])}`;
            add(d.value, name);
        }
    }
}

// Replaces a property.
function replace(owner, key, title) {
    const d = getOwnPropertyDescriptor(owner, key);
    const get = "value" in d ? () => d.value : d.get, set = d.set;
    defineProperty(owner, key, {
        __proto__: null, enumerable: d.enumerable, configurable: true,
        get() {
            note(title);
            return get === undefined ? undefined : apply(get, this, []);
        },
        set(value) {
            note(`set ${title}`);
            if (set !== undefined) apply(set, this, [value]);
            else if (this !== undefined && this !== null)
                defineProperty(this, key, { __proto__: null, value, writable: true, enumerable: true, configurable: true });
        },
    });
}

// Attributes and members that the layer must not find on Object.prototype, where a tenant may put them.
const PLANTED = ["get", "set", "value", "writable", "enumerable", "configurable", "0", "1", "2", "next", "done", "return", "call",
    "request", "target", "listeners", "state", "code", "path", "host", "scheme"];

function replaceAll(only) {
    for (let i = 0; i < list.length; i++) {
        const { value, title } = list[i];
        const keys = ownKeys(value);
        for (let j = 0; j < keys.length; j++) {
            const name = title === "globalThis" ? nameOf(keys[j]) : `${title}.${nameOf(keys[j])}`;
            if (name === "globalThis" || SKIPPED[keys[j]] || keys[j] === species ||
                !getOwnPropertyDescriptor(value, keys[j]).configurable) continue;
            if (only === undefined || count === only) replace(value, keys[j], name);
            count++;
        }
    }
    for (let i = 0; i < PLANTED.length && only === undefined; i++) {
        defineProperty(Object.prototype, PLANTED[i], {
            __proto__: null, configurable: true,
            get() { note(`get Object.prototype.${PLANTED[i]}`); },
            set(value) {
                note(`set Object.prototype.${PLANTED[i]}`);
                defineProperty(this, PLANTED[i], { __proto__: null, value, writable: true, enumerable: true, configurable: true });
            },
        });
    }
}

// Functions and classes that the steps use, taken before anything is replaced.
const {
    AbortController, AbortSignal, Blob, BroadcastChannel, CompressionStream, CustomEvent, DOMException, DecompressionStream,
    ErrorEvent, Event, File, FormData, Headers, MessageChannel, MessageEvent, PerformanceObserver, PromiseRejectionEvent, ReadableStream,
    Request, Response, TaskController, TextDecoder, TextDecoderStream, TextEncoder, TextEncoderStream, TransformStream, URL, URLPattern,
    URLSearchParams, WritableStream, addEventListener, atob, btoa, clearInterval, clearTimeout, console, fetch, performance, queueMicrotask,
    HTMLRewriter, removeEventListener, reportError, scheduler, setInterval, setTimeout, structuredClone, navigator, crypto, dispatchEvent,
} = globalThis;
// Methods of an object as functions: use(object).name(...all). Their prototypes are closed by accessors afterwards.
const use = (made, object) => {
    const methods = { __proto__: null };
    for (let proto = made; proto !== null && proto !== Object.prototype; proto = getPrototypeOf(proto)) {
        const keys = ownKeys(proto);
        for (let i = 0; i < keys.length; i++) {
            const d = getOwnPropertyDescriptor(proto, keys[i]);
            if (keys[i] in methods || keys[i] === "constructor") continue;
            if (typeof d.value === "function") methods[keys[i]] = (self, ...all) => apply(d.value, self, all);
            else if (d.get !== undefined) {
                methods["get_" + nameOf(keys[i])] = (self) => apply(d.get, self, []);
                if (d.set !== undefined) methods["set_" + nameOf(keys[i])] = (self, value) => apply(d.set, self, [value]);
            }
        }
    }
    return methods;
};
const M = { __proto__: null };
for (const [name, made] of [["signal", AbortSignal], ["controller", AbortController], ["blob", File], ["channel", MessageChannel],
    ["broadcast", BroadcastChannel], ["event", CustomEvent], ["target", EventTarget], ["form", FormData], ["headers", Headers], ["request", Request],
    ["response", Response], ["decoder", TextDecoder], ["encoder", TextEncoder], ["url", URL], ["pattern", URLPattern],
    ["search", URLSearchParams], ["observer", PerformanceObserver], ["error", DOMException], ["stream", ReadableStream],
    ["writable", WritableStream], ["transform", TransformStream], ["message", MessageEvent], ["task", TaskController]])
    M[name] = use(made.prototype);
M.reader = use(getPrototypeOf(new ReadableStream().getReader()));
M.writer = use(getPrototypeOf(new WritableStream().getWriter()));
M.port = use(getPrototypeOf(new MessageChannel().port1));
M.rewriter = use(HTMLRewriter.prototype);
await new HTMLRewriter().on("p", { element(e) { M.element = use(getPrototypeOf(e)); M.attributes = use(getPrototypeOf(e.attributes));
    e.onEndTag((tag) => { M.tag = use(getPrototypeOf(tag)); }); }, text(t) { M.text = use(getPrototypeOf(t)); },
comments(c) { M.comment = use(getPrototypeOf(c)); } }).onDocument({ doctype(d) { M.doctype = use(getPrototypeOf(d)); },
    end(e) { M.end = use(getPrototypeOf(e)); } }).transform(new Response("<!doctype html><p>x<!--c--></p>")).text();
M.performance = use(getPrototypeOf(performance));
M.scheduler = use(getPrototypeOf(scheduler));
M.console = use(console);
M.crypto = use(getPrototypeOf(crypto));
M.subtle = use(getPrototypeOf(crypto.subtle));
M.navigator = use(getPrototypeOf(navigator));
M.iterator = use(getPrototypeOf(new Headers().entries()));
const { subtle } = crypto;
console.log({ a: [1] }, new Map([[1, 2]])); // evaluates the inspector
new URL("http://\u00fc.test/"); // and the tables of hosts

const bare = (object) => setPrototypeOf(object, null);
// A list with an iterator of its own.
const items = (...all) => {
    let at = 0;
    return bare({ [iteratorSymbol]: () => bare({ next: () => at < all.length ? bare({ done: false, value: all[at++] }) : bare({ done: true, value: undefined }) }) });
};
const iteratorSymbol = Symbol.iterator;
const bytes = new Uint8Array(20);
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
// A step whose name begins with "idna", "streams" or "inspect" leads to that library, which looks up some names when it runs.
const steps = {
    __proto__: null,
    "events"() {
        const target = new EventTarget(), f = () => {}, event = new CustomEvent("x", bare({ detail: 1, bubbles: true, cancelable: true }));
        M.target.addEventListener(target, "x", f, bare({ once: true, capture: true }));
        M.target.addEventListener(target, "x", bare({ handleEvent: f }), true);
        M.target.dispatchEvent(target, event);
        M.target.removeEventListener(target, "x", f);
        M.event.composedPath(event);
        M.event.get_timeStamp(event);
        M.event.initCustomEvent(event, "y", true, true, 2);
        new ErrorEvent("x", bare({ message: "m", error: 1 }));
        new MessageEvent("x", bare({ data: 1, ports: items() }));
        new PromiseRejectionEvent("x", bare({ promise: bare({}), reason: 1 }));
    },
    "scope"() {
        const f = (event) => { M.event.preventDefault(event); };
        addEventListener("error", f);
        reportError(new Error("x"));
        reportError(bare({}));
        removeEventListener("error", f);
        dispatchEvent(new Event("x"));
    },
    async "abort"() {
        const controller = new AbortController(), signal = M.controller.get_signal(controller);
        M.signal.set_onabort(signal, () => {});
        const any = AbortSignalAny(items(signal, AbortSignalAbort("y")));
        M.target.addEventListener(new EventTarget(), "x", () => {}, bare({ signal }));
        M.controller.abort(controller, bare({}));
        M.signal.get_reason(any);
        AbortSignalTimeout(1);
        await later(3);
    },
    async "timers"() {
        clearInterval(setInterval(() => {}, 5, 1));
        clearTimeout(setTimeout(() => {}, 5));
        setTimeout((a) => a, 1, 2);
        setTimeout(() => { throw 1; }, 1);
        queueMicrotask(() => {});
        queueMicrotask(() => { throw 1; });
        await later(3);
    },
    async "inspect: rejections"() {
        new Promise((resolve, reject) => reject(new Error("nobody")));
        await later(1);
    },
    "base64": () => atob(btoa("text")),
    "text"() {
        const decoder = new TextDecoder("utf-8", bare({ fatal: true, ignoreBOM: false }));
        const encoded = M.encoder.encode(new TextEncoder(), "a\u00fc");
        M.encoder.encodeInto(new TextEncoder(), "abc", bytes);
        M.decoder.decode(decoder, encoded, bare({ stream: true }));
        M.decoder.decode(decoder);
    },
    async "blob"() {
        const blob = new Blob(items("text", bytes), bare({ type: "text/plain", endings: "native" }));
        const file = new File(items(blob), "name", bare({ type: "a/b", lastModified: 1 }));
        await M.blob.text(M.blob.slice(file, 1, 3, "x/y"));
        await M.blob.arrayBuffer(file);
        await M.blob.bytes(file);
        M.blob.get_lastModified(file);
    },
    "headers"() {
        const headers = new Headers(items(items("a", "b"), items("c", "d")));
        new Headers(bare({ x: "y" }));
        M.headers.append(headers, "a", "z");
        M.headers.set(headers, "q", "r");
        M.headers.get(headers, "a");
        M.headers.has(headers, "a");
        M.headers.delete(headers, "a");
        M.headers.getSetCookie(headers);
        M.headers.forEach(headers, () => {});
        M.iterator.next(M.headers.entries(headers));
    },
    async "form"() {
        const form = new FormData();
        M.form.append(form, "a", "b");
        M.form.set(form, "f", new Blob(items("x")), "name");
        M.form.get(form, "a");
        M.form.getAll(form, "a");
        M.form.forEach(form, () => {});
        const response = new Response(form);
        await M.response.formData(response);
    },
    "url: form": () => M.response.formData(new Response("a=b&c=d", bare({ headers: items(items("content-type", "application/x-www-form-urlencoded")) }))),
    async "bodies"() {
        const response = new Response("{\"a\":[1]}", bare({ status: 201, statusText: "x", headers: bare({ a: "b" }) }));
        await M.response.json(M.response.clone(response));
        await M.response.text(response);
        await M.response.arrayBuffer(new Response(bytes));
        await M.response.bytes(new Response(new Blob(items("x"))));
        await M.response.blob(new Response("x"));
        ResponseJson(bare({ a: 1 }), bare({ status: 200 }));
        ResponseError();
    },
    async "url: request"() {
        ResponseRedirect("http://a.test/", 302);
        const request = new Request("http://a.test/b?c", bare({ method: "POST", body: "text", headers: bare({ x: "y" }), signal: M.controller.get_signal(new AbortController()) }));
        M.request.get_url(request);
        M.request.get_headers(M.request.clone(request));
        await M.request.text(request);
    },
    async "url: fetch"() {
        await M.response.text(await fetch("data:text/plain,hello"));
        try { await fetch("http://a.test/"); } catch {}
    },
    "clone"() {
        const value = bare({ a: bare({ b: 1 }), c: bytes, d: new Blob(items("x")), e: new DOMException("m", "DataError") });
        structuredClone(value, bare({ transfer: items() }));
        try { structuredClone(() => {}); } catch {}
    },
    async "messages"() {
        const channel = new MessageChannel(), one = M.channel.get_port1(channel), two = M.channel.get_port2(channel);
        const other = new MessageChannel();
        M.port.set_onmessage(two, (event) => { M.message.get_ports(event); M.message.get_data(event); });
        M.port.postMessage(one, bare({ a: 1 }), bare({ transfer: items(M.channel.get_port1(other)) }));
        const a = new BroadcastChannel("x"), b = new BroadcastChannel("x");
        M.broadcast.set_onmessage(b, () => {});
        M.broadcast.postMessage(a, bare({}));
        await later(5);
        M.port.close(one);
        M.broadcast.close(a);
        M.broadcast.close(b);
        await later(2);
    },
    async "scheduler"() {
        const controller = new TaskController(bare({ priority: "background" }));
        const done = M.scheduler.postTask(scheduler, () => 1, bare({ signal: M.task.get_signal(controller) }));
        M.task.setPriority(controller, "user-blocking");
        await done;
        await M.scheduler.yield(scheduler);
        await M.scheduler.wait(scheduler, 1);
        await M.scheduler.postTask(scheduler, () => 1, bare({ delay: 1, priority: "user-visible" }));
    },
    async "performance"() {
        const observer = new PerformanceObserver(() => {});
        M.observer.observe(observer, bare({ entryTypes: items("mark", "measure") }));
        M.performance.now(performance);
        M.performance.toJSON(performance);
        M.performance.mark(performance, "a", bare({ detail: bare({}) }));
        M.performance.measure(performance, "m", bare({ start: "a", end: 5 }));
        M.performance.getEntries(performance);
        M.performance.getEntriesByName(performance, "a", "mark");
        M.performance.clearMarks(performance, "a");
        await later(2);
        M.observer.disconnect(observer);
    },
    "url: pattern"() {
        const pattern = new URLPattern(bare({ pathname: "/:a(\\d+)/*", hostname: "{*.}?x.org" }), bare({ ignoreCase: true }));
        M.pattern.test(pattern, "http://x.org/1/b");
        M.pattern.exec(pattern, bare({ pathname: "/1/b", hostname: "a.x.org" }));
        new URLPattern("/foo?bar#:baz", "https://user:pw@example.org:81/a/b");
    },
    "exceptions"() {
        const error = new DOMException("m", "DataError");
        M.error.get_code(error);
        try { new Headers(1); } catch {}
        try { M.headers.append(new Headers(), "bad name", ""); } catch {}
    },
    "random": () => { M.crypto.getRandomValues(crypto, bytes); M.crypto.randomUUID(crypto); },
    digest: () => M.subtle.digest(subtle, "SHA-256", bytes),
    "navigator": () => M.navigator.get_userAgent(navigator),
    "console"() {
        M.console.log(console, "text");
        M.console.warn(console, "a", 1, true, null, undefined);
        M.console.count(console, "x");
        M.console.time(console, "x");
        M.console.timeEnd(console, "x");
        M.console.group(console, "g");
        M.console.groupEnd(console);
        M.console.assert(console, false, "no");
        M.console.trace(console, "t");
    },
    "streams: compression": () => new CompressionStream("gzip"),
    "idna: host"() {
        return M.url.get_hostname(new URL("http://ex\u00e4mple.org/"));
    },
    "url: all"() {
        const url = new URL("../b?x=1#h", "http://user:pw@example.org:81/a/c/d");
        M.url.get_href(url);
        M.url.set_search(url, "?a=b c");
        M.search.append(M.url.get_searchParams(url), "d", "e");
        M.search.toString(new URLSearchParams("a=b&c=d"));
        M.search.sort(new URLSearchParams(bare({ z: "1", a: "2" })));
    },
    async "streams: all"() {
        const stream = new ReadableStream(bare({ start(controller) { controllerEnqueue(controller, "a"); controllerClose(controller); } }));
        const reader = M.stream.getReader(stream);
        await M.reader.read(reader);
        await M.reader.read(reader);
        const transform = new TransformStream(bare({}));
        const writer = M.writable.getWriter(M.transform.get_writable(transform));
        M.writer.write(writer, "x");
        await M.reader.read(M.stream.getReader(M.transform.get_readable(transform)));
        M.stream.tee(new ReadableStream(bare({})));
        M.stream.cancel(new ReadableStream(bare({})), 1);
        await M.response.text(new Response(M.blob.stream(new Blob(items("x")))));
        new TextDecoderStream();
        new TextEncoderStream();
        new DecompressionStream("gzip");
    },
    async "storage: key-value"() {
        const { KV } = stored;
        await M.kv.put(KV, "a", "text", bare({ expirationTtl: 60, metadata: bare({ a: 1 }) }));
        await M.kv.put(KV, "b", bytes, bare({ expiration: 4000000000 }));
        if (await M.kv.get(KV, "a") !== "text") throw new Error("not as it should be");
        await M.kv.get(KV, "b", bare({ type: "arrayBuffer", cacheTtl: 60 }));
        await M.kv.getWithMetadata(KV, "a");
        await M.kv.put(KV, "c", "{}");
        await M.kv.get(KV, "c", "json");
        await M.kv.get(KV, ["a", "none"]);
        await M.kv.getWithMetadata(KV, ["c"], "json");
        await M.kv.list(KV, bare({ prefix: "", limit: 1 }));
        await M.kv.delete(KV, "a");
        await M.kv.get(KV, "a");
        try { await M.kv.get(KV, ""); } catch {}
        try { await M.kv.list(KV, bare({ cursor: "no cursor" })); } catch {}
    },
    async "streams: key-value"() {
        const { KV } = stored;
        await M.kv.put(KV, "s", M.blob.stream(new Blob(items("streamed"))));
        if (await M.response.text(new Response(await M.kv.get(KV, "s", "stream"))) !== "streamed") throw new Error("not as it should be");
    },
    async "storage: sql"() {
        const { DB } = stored;
        await M.database.exec(DB, "create table if not exists t (a, b)");
        const insert = M.statement.bind(M.database.prepare(DB, "insert into t values (?, ?)"), "x", bytes), select = M.database.prepare(DB, "select * from t");
        await M.statement.run(insert);
        await M.statement.bind(insert, null, 1.5);
        await M.statement.all(select);
        await M.statement.first(select);
        if (await M.statement.first(select, "a") !== "x") throw new Error("not as it should be");
        await M.statement.raw(select, bare({ columnNames: true }));
        await M.database.batch(DB, [insert, select]);
        await M.statement.all(M.session.prepare(M.database.withSession(DB), "select 1"));
        try { await M.statement.all(M.database.prepare(DB, "no sql")); } catch {}
        try { M.statement.bind(select, undefined); } catch {}
    },
    async "streams: rewriter"() {
        const rewriter = new HTMLRewriter();
        M.rewriter.on(rewriter, "p", bare({
            async element(e) {
                await later(1);
                M.element.set_tagName(e, M.element.get_tagName(e) + "x");
                M.attributes.next(M.element.get_attributes(e));
                M.element.setAttribute(e, "b", M.element.getAttribute(e, "a"));
                M.element.removeAttribute(e, "a");
                M.element.append(e, "<", bare({ html: true }));
                M.element.prepend(e, new Response("streamed"));
                M.element.onEndTag(e, (tag) => { M.tag.set_name(tag, "q"); M.tag.before(tag, "x"); M.tag.get_name(tag); });
            },
            text(t) { M.text.replace(t, M.text.get_text(t)); M.text.get_lastInTextNode(t); },
            comments(c) { M.comment.set_text(c, "d"); M.comment.get_text(c); M.comment.remove(c); M.comment.get_removed(c); },
        }));
        M.rewriter.onDocument(rewriter, bare({ doctype(d) { M.doctype.get_publicId(d); }, end(e) { M.end.append(e, "end"); } }));
        const made = M.rewriter.transform(rewriter, new Response("<!doctype html><p a=1>x<!--c--></p>",
            bare({ headers: items(items("content-type", "text/html; charset=utf-8")) })));
        if (await M.response.text(made) !== "<!doctype html><px b=\"1\">streamedx<x</q>end") throw new Error("not as it should be");
        try { M.rewriter.on(rewriter, "p:has(a)", bare({})); } catch {}
        try { await M.response.text(M.rewriter.transform(M.rewriter.on(new HTMLRewriter(), "p", bare({ element() { throw 1; } })), new Response("<p>"))); } catch {}
    },
    "inspect: all"() {
        M.console.log(console, bare({ a: 1 }), [1, 2], "%s");
        M.console.table(console, bare({ a: bare({ b: 1 }) }));
        M.console.dir(console, bare({}));
    },
};
const AbortSignalAny = AbortSignal.any.bind(AbortSignal), AbortSignalAbort = AbortSignal.abort.bind(AbortSignal);
const AbortSignalTimeout = AbortSignal.timeout.bind(AbortSignal);
const ResponseJson = Response.json.bind(Response), ResponseRedirect = Response.redirect.bind(Response), ResponseError = Response.error.bind(Response);
let controllerEnqueue, controllerClose;
new ReadableStream({ start(c) {
    const { enqueue, close } = c;
    controllerEnqueue = (self, value) => apply(enqueue, self, [value]);
    controllerClose = (self) => apply(close, self, []);
} });
const urlOf = getOwnPropertyDescriptor(Request.prototype, "url").get;

let stored; // env, with storage

// Takes the methods of what env has, and adds the objects that it leads to.
function findStored(env) {
    stored = env;
    const { DB, KV } = env;
    for (const [name, object] of [["kv", KV], ["database", DB], ["statement", DB.prepare("")], ["session", DB.withSession()]]) {
        M[name] = use(getPrototypeOf(object));
        add(getPrototypeOf(object), name);
    }
    follow();
}

let isReplaced = false;
export default { async fetch(request, env) {
    const url = apply(urlOf, request, []);
    if (url[url.length - 1] !== "/") {
        isOn = false;
        return new Response(`${count}\n${join(notes, "\n")}\n${join(failed, "\n")}`);
    }
    const only = env.ONLY === undefined ? undefined : +env.ONLY;
    if (!isReplaced) {
        isReplaced = true;
        find();
        findStored(env); // behind: the names of what both lead to stay as they are
        replaceAll(only);
    }
    isOn = true;
    for (const name in steps) {
        step = name;
        try {
            await steps[name]();
        } catch (error) {
            failed[failed.length] = `FAILED ${name}: ${error && error.message}`;
        }
        step = "between";
    }
    step = "answer";
    return new Response(`${count}`);
} };
