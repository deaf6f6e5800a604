// SPDX-License-Identifier: Apache-2.0
//
// Service-worker syntax: listeners for fetch events, as Service Workers says.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Host } from "./host.mjs";

function serve(code, env = {}, exported = "undefined") {
    const host = new Host();
    host.run(code);
    return host.boot(exported, env);
}

const listen = (body, env) => serve(`addEventListener("fetch", (event) => { ${body} });`, env);

test("a listener for fetch events answers requests", () => {
    const host = listen(`event.respondWith(new Response(
        [event.request.url, event.type, event.isTrusted, event.target === self, event.cancelable,
            event instanceof FetchEvent, event instanceof ExtendableEvent].join()));`);
    const result = host.fetch({ url: "http://a.test/x" });
    assert.equal(result.body, "http://a.test/x,fetch,true,true,true,true,true");
    assert.equal(result.outcome, 0);
    assert.deepEqual(host.logs, []);
});

test("respondWith takes a promise", () => {
    const host = listen(`event.respondWith((async () => { await null; return new Response("late"); })());`);
    assert.equal(host.fetch().body, "late");
});

test("a listener object has handleEvent, and this of a function is the global object", () => {
    assert.equal(serve(`addEventListener("fetch", { text: "ho", handleEvent(event) {
        event.respondWith(new Response(this.text)); } });`).fetch().body, "ho");
    assert.equal(serve(`addEventListener("fetch", function (event) {
        event.respondWith(new Response(String(this === globalThis))); });`).fetch().body, "true");
});

test("the first listener that calls respondWith ends the dispatch", () => {
    const host = serve(`
        addEventListener("fetch", (event) => { });
        addEventListener("fetch", (event) => event.respondWith(new Response("second")));
        addEventListener("fetch", (event) => event.respondWith(new Response("third")));`);
    assert.equal(host.fetch().body, "second");
});

test("respondWith throws when it is called twice, too late, or on an event of the tenant", () => {
    const names = listen(`
        const nameOf = (f) => { try { f(); return "none"; } catch (e) { return e.name; } };
        event.respondWith(new Promise((resolve) => resolve()).then(() => new Response([
            twice, nameOf(() => event.respondWith(new Response("late"))), own,
            nameOf(() => new FetchEvent("fetch", { request: event.request }).waitUntil(1)),
            nameOf(() => new FetchEvent("fetch", {})), nameOf(() => new FetchEvent("fetch")),
            nameOf(() => FetchEvent.prototype.respondWith.call({}, 1))].join())));
        const twice = nameOf(() => event.respondWith(new Response("again")));
        let own;
        const target = new EventTarget();
        target.addEventListener("fetch", (e) => { own = nameOf(() => e.respondWith(1)); });
        target.dispatchEvent(new FetchEvent("fetch", { request: event.request }));`).fetch().body;
    assert.equal(names, ["InvalidStateError", "InvalidStateError", "InvalidStateError", "InvalidStateError",
        "TypeError", "TypeError", "TypeError"].join());
});

test("a request that no listener answers is a bad response, or the exception of one", () => {
    const silent = listen("").fetch();
    assert.equal(silent.outcome, 2);
    assert.equal(silent.message, "no listener for fetch events called event.respondWith() before it returned");
    const late = listen(`Promise.resolve().then(() => event.respondWith(new Response("x"))).catch(() => {});`).fetch();
    assert.equal(late.outcome, 2);
    const thrown = listen(`throw new Error("no luck");`).fetch();
    assert.equal(thrown.outcome, 1);
    assert.match(thrown.message, /^Error: no luck\n/);
    const rejected = listen(`event.respondWith(Promise.reject(new Error("no luck")));`).fetch();
    assert.equal(rejected.outcome, 1);
});

test("what a listener throws after respondWith is logged", () => {
    const host = listen(`event.respondWith(new Response("good")); throw new Error("after");`);
    assert.equal(host.fetch().body, "good");
    assert.match(host.logs[0].text, /^Uncaught Error: after/);
});

test("what is no Response is a bad response", () => {
    for (const [value, message] of [["1", "event.respondWith() was not given a Response, but a number"],
        ["Promise.resolve({})", "event.respondWith() was not given a Response, but another object"],
        ["Promise.resolve()", "event.respondWith() was not given a Response, but undefined"],
        ["Response.error()", "event.respondWith() was given Response.error()"]]) {
        const result = listen(`event.respondWith(${value});`).fetch();
        assert.equal(result.outcome, 2);
        assert.equal(result.message, message);
    }
});

test("waitUntil keeps the request, and throws after its end", () => {
    const host = listen(`
        event.respondWith(new Response("x"));
        event.waitUntil(new Promise((resolve) => { globalThis.finish = resolve; }));
        globalThis.event = event;`);
    const id = host.start();
    assert.equal(host.result(id).ended, true);
    assert.equal(host.result(id).outcome, undefined);
    host.run("finish()");
    assert.equal(host.result(id).outcome, 0);
    assert.equal(host.run("try { event.waitUntil(1); } catch (e) { e.name; }"), "InvalidStateError");
});

test("passThroughOnException has no effect, and says so once", () => {
    const host = listen(`event.passThroughOnException(); throw new Error("x");`);
    assert.equal(host.fetch().outcome, 1);
    host.fetch();
    assert.equal(host.logs.length, 1);
    assert.match(host.logs[0].text, /^passThroughOnException\(\) has no effect/);
    const module = new Host().boot(`{ fetch(request, env, ctx) { ctx.passThroughOnException(); return new Response("x"); } }`);
    module.fetch();
    assert.equal(module.logs.length, 1);
});

test("a default export with fetch comes before a listener, with a warning", () => {
    const code = `addEventListener("fetch", (event) => event.respondWith(new Response("event")));`;
    const both = serve(code, {}, `{ fetch() { return new Response("export"); } }`);
    assert.equal(both.fetch().body, "export");
    assert.equal(both.logs.length, 1);
    assert.equal(both.logs[0].level, 2);
    const useless = serve(code, {}, "{ a: 1 }");
    assert.equal(useless.fetch().body, "event");
    assert.equal(useless.logs[0].text,
        "requests go to the listener for fetch events: the default export has no fetch function, but a");
});

test("names of env are global variables of a module with a listener, but for those that are taken", () => {
    const host = listen("event.respondWith(new Response(GREETING + typeof URL));", { GREETING: "hello ", URL: "x" });
    assert.equal(host.fetch().body, "hello function");
    assert.match(host.logs[0].text, /^env: URL is no global variable/);
});

test("the global object dispatches a tenant's own events to its listeners", () => {
    const host = new Host();
    assert.equal(host.run(`
        let seen = [];
        const listener = (event) => { seen.push(event.type, event.target === self, event.isTrusted); event.preventDefault(); };
        self.addEventListener("own", listener);
        const event = new Event("own", { cancelable: true });
        seen.push(dispatchEvent(event));
        removeEventListener("own", listener);
        seen.push(dispatchEvent(new Event("own")));
        seen.join();`), "own,true,false,false,true");
});
