# SPDX-License-Identifier: Apache-2.0
"""HTMLRewriter in a real worker, inside the real jail: what Cloudflare's documentation says of it, streams, handlers that take their
time, and what hostile documents, selectors and handlers meet."""

import http.client
import pathlib
import tempfile

import pytest

from harness import Loader, Skepd, cordon, script, wait_for

# Before each case.
HELPERS = """
const utf8 = (text) => new TextEncoder().encode(text);
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const rewrite = (html, selector, handlers) => new HTMLRewriter().on(selector, handlers).transform(new Response(html)).text();
const nameOf = async (f) => { try { await f(); return "nothing"; } catch (e) { return e instanceof Error ? `${e.name}: ${e.message}` : e; } };
const cut = (bytes, size) => new ReadableStream({ at: 0, pull(c) {
    if (this.at >= bytes.length) c.close();
    else { c.enqueue(bytes.slice(this.at, this.at + size)); this.at += size; }
} });
const DEAD = "TypeError: This content token is no longer valid. Content tokens are only valid during the execution of the relevant " +
    "content handler.";
"""

# Bodies of handlers, and the JSON that each must return.
CASES = {
    # https://developers.cloudflare.com/workers/runtime-apis/html-rewriter/ and its examples
    "documented-links": (
        """
        class AttributeRewriter {
            constructor(name) { this.name = name; }
            element(element) {
                const attribute = element.getAttribute(this.name);
                if (attribute) element.setAttribute(this.name, attribute.replace("myolddomain.com", "mynewdomain.com"));
            }
        }
        const rewriter = new HTMLRewriter().on("a", new AttributeRewriter("href")).on("img", new AttributeRewriter("src"));
        const made = rewriter.transform(new Response("<a href='http://myolddomain.com/x'>x</a><img src=http://myolddomain.com/y><a>z</a>",
            { status: 201, headers: { "content-type": "text/html", "content-length": "5", "x-a": "b" } }));
        return [made.status, [...made.headers], await made.text()];
        """,
        [201, [["content-type", "text/html"], ["x-a", "b"]],
            '<a href="http://mynewdomain.com/x">x</a><img src="http://mynewdomain.com/y"><a>z</a>'],
    ),
    "documented-text": (
        """
        class UserElementHandler {
            async element(element) {
                const response = await later(2);
                element.setInnerContent(`user <1>`);
            }
        }
        let buffer = "";
        const lower = { text(text) {
            buffer += text.text;
            if (text.lastInTextNode) { text.replace(buffer.toLowerCase()); buffer = ""; } else text.remove();
        } };
        return [await rewrite("<p id=user>old</p>", "#user", new UserElementHandler()), await rewrite("<p>ONE <b>TWO</b> THREE</p>", "p", lower)];
        """,
        ["<p id=user>user &lt;1&gt;</p>", "<p>one <b>two</b> three</p>"],
    ),
    "documented-selectors": (
        """
        const html = "<main><p class='red big' id=a data-x='Hello World'>1</p><p lang=en-GB>2</p><div><p>3</p></div></main>";
        const result = {};
        for (const selector of ["*", "p", "p:nth-child(2)", "p:first-child", "p:nth-of-type(2)", "p:first-of-type", "p:not(.red)", "p.red", "#a",
            "[lang]", "[id='a']", "[data-x='hello world' i]", "[id='A' s]", "[class~='big']", "[data-x^='Hello']", "[data-x$='World']",
            "[data-x*='lo W']", "[lang|='en']", "main p", "main > p", "p, div"]) {
            let n = 0;
            await rewrite(html, selector, { element() { n++; } });
            result[selector] = n;
        }
        return Object.values(result);
        """,
        [5, 3, 1, 2, 1, 2, 2, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 3, 2, 4],
    ),
    "element": (
        """
        const seen = [];
        const html = await rewrite("<svg><a b=1 C='&amp;' d></a></svg><p>x<i>y</i></p><q>z</q>", "a, p, i, q", { element(e) {
            seen.push([e.tagName, e.namespaceURI, [...e.attributes], e.removed, e.hasAttribute("c"), e.getAttribute("c"), e.getAttribute("no")]);
            if (e.tagName === "a") {
                e.tagName = "b";
                seen.push(e.setAttribute("new", 'a"<') === e, e.removeAttribute("b") === e, e.hasAttribute("b"), e.tagName);
            } else if (e.tagName === "p") {
                seen.push(e.before("<1>").before("<2>", { html: true }).after("3").after("4").prepend("5").prepend("6", { html: false })
                    .append("7").append("8", null) === e);
            } else if (e.tagName === "i") { seen.push(e.removeAndKeepContent() === e, e.removed); }
            else { e.replace("<r>", { html: true }); seen.push(e.removed); }
        } });
        return [html, seen, `${Object.prototype.toString.call(seen)}`];
        """,
        ['<svg><b C=\'&amp;\' d new="a&quot;<"></b></svg>&lt;1&gt;<2><p>65xy78</p>43<r>', [
            ["a", "http://www.w3.org/2000/svg", [["b", "1"], ["c", "&amp;"], ["d", ""]], False, True, "&amp;", None], True, True, False, "b",
            ["p", "http://www.w3.org/1999/xhtml", [], False, False, None, None], True,
            ["i", "http://www.w3.org/1999/xhtml", [], False, False, None, None], True, True,
            ["q", "http://www.w3.org/1999/xhtml", [], False, False, None, None], True], "[object Array]"],
    ),
    "comments-and-their-text": (
        """
        const change = (f) => rewrite("<p><!--a--></p>", "p", { comments: f });
        const two = new HTMLRewriter().on("p", { comments(c) { c.text = "b"; } })
            .on("*", { comments(c) { c.before(`${c.text} ${c.removed} `); c.text = c.text + "c"; } })
            .transform(new Response("<p><!--a--><!--x--></p><q><!--z--></q>")).text();
        return [await change((c) => { c.text = "b<"; c.before("1"); c.after("2"); }), await change((c) => { c.text = "b"; c.remove(); }),
            await change((c) => { c.remove(); c.text = "b"; }), await change((c) => { c.text = "b"; c.replace("r"); }),
            await change((c) => { c.replace("r"); c.text = "b"; }), await change((c) => { c.text = "b"; c.text = c.text + c.removed; }),
            await nameOf(() => change((c) => { c.text = "-->"; })), await two];
        """,
        ["<p>1<!--b<-->2</p>", "<p></p>", "<p></p>", "<p>r</p>", "<p>r</p>", "<p><!--bfalse--></p>",
            "TypeError: Parser error: Comment text shouldn't contain comment closing sequence (`-->`).",
            "<p>b false <!--bc-->b false <!--bc--></p><q>z false <!--zc--></q>"],
    ),
    "end-tags": (
        """
        const seen = [];
        const html = await rewrite("<p>x</p><q>y</q><br><i>z", "*", { element(e) {
            try {
                e.onEndTag(async (tag) => {
                    await later(1);
                    seen.push(tag.name);
                    if (tag.name === "p") { tag.before("1"); tag.after("2"); tag.name = "P"; seen.push(tag.name); } else tag.remove();
                });
            } catch (error) { seen.push(`${error}`); }
        } });
        return [html, seen];
        """,
        ["<p>x1</P>2<q>y<br><i>z", ["p", "P", "q"]],
    ),
    "document": (
        """
        const seen = [];
        const html = await new HTMLRewriter().onDocument({
            doctype(d) { seen.push([d.name, d.publicId, d.systemId]); },
            comments(c) { seen.push(c.text); }, text(t) { if (t.text) seen.push(t.text); },
            end(end) { end.append("<!--end-->", { html: true }).append("<"); },
        }).transform(new Response('<!DOCTYPE html PUBLIC "-//a" "b"><!--c-->text<p>in</p>')).text();
        const empty = await new HTMLRewriter().onDocument({ end(e) { e.append("only"); } }).transform(new Response("")).text();
        return [html, seen, empty, new HTMLRewriter().transform(new Response(null)).body];
        """,
        ['<!DOCTYPE html PUBLIC "-//a" "b"><!--c-->text<p>in</p><!--end-->&lt;', [["html", "-//a", "b"], "c", "text", "in"], "only", None],
    ),
    "handlers-are-awaited-in-order": (
        """
        const order = [];
        const slow = (name) => async (token) => { order.push(`${name} begins`); await later(name === "a" ? 5 : 1); order.push(`${name} ends`);
            token.before(name); };
        const html = await new HTMLRewriter().on("p", { element: slow("a") }).on("p", { element: slow("b"), text: slow("t") })
            .transform(new Response("<p>x</p>")).text();
        const thenable = await rewrite("<p>x</p>", "p", { element(e) { return { then(resolve) { setTimeout(() => { e.after("y"); resolve(); }, 1); } }; } });
        return [html, order, thenable];
        """,
        ["ab<p>txt</p>", ["a begins", "a ends", "b begins", "b ends", "t begins", "t ends", "t begins", "t ends"], "<p>x</p>y"],
    ),
    "many-at-the-same-time": (
        """
        const all = [];
        for (let i = 0; i < 40; i++) all.push(rewrite(`<p>${i}</p>`.repeat(9), "p", { async element(e) { await later(i % 5); e.append(`+${i}`); } }));
        return (await Promise.all(all)).every((text, i) => text === `<p>${i}+${i}</p>`.repeat(9));
        """,
        True,
    ),
    "cut-anywhere": (
        """
        const html = "<!doctype html><p class='\\u00e4\\u20ac'>\\u00fc \\ud83d\\ude00 <!-- \\u00e4 --></p><script>if (a < b) '<p>'</script><p a>\\u20ac</p>";
        const expected = await rewrite(html, "p", { element(e) { e.setAttribute("n", e.getAttribute("class") ?? "none"); e.append("\\u20ac"); } });
        const result = [];
        for (let size = 1; size < 12; size++) {
            const texts = [];
            const made = await new HTMLRewriter().on("p", { element(e) { e.setAttribute("n", e.getAttribute("class") ?? "none"); e.append("\\u20ac"); },
                text(t) { texts.push(t.text); } }).transform(new Response(cut(utf8(html), size))).text();
            result.push(made === expected && texts.join("") === "\\u00fc \\ud83d\\ude00 \\u20ac");
        }
        return [result.every((x) => x), expected.includes("n=\\"\\u00e4\\u20ac\\"")];
        """,
        [True, True],
    ),
    "other-encodings": (
        """
        const response = (bytes, type) => new Response(new Uint8Array(bytes), { headers: { "content-type": type } });
        const made = await new HTMLRewriter().on("p", { text(t) { if (t.text) t.replace(`${t.text}\\u00e4\\u20ac\\u4e00`); } })
            .transform(response([60, 112, 62, 0xfc], "text/html; charset=windows-1252")).bytes();
        return [[...made], await nameOf(() => new HTMLRewriter().transform(response([1], "text/html; charset=no"))),
            await nameOf(() => new HTMLRewriter().transform(response([1], "text/html; charset=utf-16")))];
        """,
        [[60, 112, 62, 0xFC, 0xE4, 0x80, *b"&#19968;"], "TypeError: Parser error: Unknown character encoding has been provided.",
            "TypeError: Parser error: Expected ASCII-compatible encoding."],
    ),
    "streams-as-content": (
        """
        const chunks = (...texts) => new ReadableStream({ async pull(c) { await later(1); texts.length ? c.enqueue(utf8(texts.shift())) : c.close(); } });
        const euro = utf8("\\u20ac");
        const html = await rewrite("<p>x</p><q>y</q>", "p, q", { element(e) {
            if (e.tagName === "q") return void e.replace(new Response("<b>"), { html: true });
            e.before(chunks("<1>", "&", "2"));
            e.before("3").before(chunks(), { html: true }).before(new Response(null)).prepend(chunks("<i>", "</i>"), { html: true }).append(new Response("<4>"));
            e.after(new ReadableStream({ start(c) { c.enqueue(euro.slice(0, 1)); c.enqueue(euro.slice(1)); c.close(); } }));
        } });
        const taken = new Response("x");
        const wrong = [];
        for (const content of [new Response(new Uint8Array([0xff])), new ReadableStream({ start(c) { c.enqueue("text"); } }),
            new ReadableStream({ start(c) { c.error(new RangeError("mine")); } })])
            wrong.push(await nameOf(() => rewrite("<p></p>", "p", { element(e) { e.append(content); e.before("y"); } })));
        await rewrite("<p>", "p", { element(e) { e.after(taken); } });
        wrong.push(taken.bodyUsed, await nameOf(() => rewrite("<p>", "p", { element(e) { e.append(taken); } })));
        return [html, wrong];
        """,
        ["&lt;1&gt;&amp;23<p><i></i>x&lt;4&gt;</p>€<b>", ["TypeError: Parser error: Invalid UTF-8", "TypeError: A chunk of the content is not a Uint8Array.",
            "RangeError: mine", True, "TypeError: Body is unusable: it was read or locked before."]],
    ),
    "errors": (
        """
        const result = [];
        for (const handlers of [{ element() { throw new RangeError("a"); } }, { async text() { await later(1); throw new RangeError("b"); } },
            { element() { throw "c"; } }, { element: () => Promise.reject(undefined) }, { element(e) { e.tagName = "a b"; } }, { element(e) { e.tagName = ""; } },
            { element(e) { e.setAttribute("a=", "b"); } }, { element(e) { e.append(); } }, { element(e) { e.append("x", 1); } },
            { element(e) { e.append(Symbol()); } }, { element(e) { e.onEndTag({}); } }, { element(e) { new e.constructor(); } }])
            result.push(await nameOf(() => rewrite("<p>x</p>", "p", handlers)));
        for (const f of [() => HTMLRewriter(), () => new HTMLRewriter().on("p"), () => new HTMLRewriter().on("p", 1), () => new HTMLRewriter().on("p", { text: 1 }),
            () => new HTMLRewriter().onDocument(), () => new HTMLRewriter().transform("x"), () => new HTMLRewriter().transform(Response.error()),
            () => HTMLRewriter.prototype.on.call({}, "p", {})])
            result.push((await nameOf(f)).split(":")[0]);
        const used = new Response("x");
        new HTMLRewriter().transform(used);
        result.push(used.bodyUsed, (await nameOf(() => new HTMLRewriter().transform(used))).split(":")[0]);
        return result;
        """,
        ["RangeError: a", "RangeError: b", "c", None, "TypeError: Parser error: ` ` character is forbidden in the tag name",
            "TypeError: Parser error: Tag name can't be empty.", "TypeError: Parser error: `=` character is forbidden in the attribute name",
            "TypeError: append: 1 argument required, but only 0 present.", "TypeError: ContentOptions: the options are of type number, not an object.",
            "TypeError: Cannot convert a Symbol value to a string", "TypeError: onEndTag: parameter 1 is not a function.",
            "TypeError: Illegal constructor", *["TypeError"] * 8, True, "TypeError"],
    ),
    "selectors-that-are-none": (
        """
        const result = [];
        for (const selector of ["", "p:has(a)", "p::before", "a[", "p >", "p:hover", "<p>", "*:not("])
            result.push(await nameOf(() => new HTMLRewriter().on(selector, {})));
        return [...new Set(result.map((text) => text.split(":").slice(0, 2).join(":")))].concat(result[0]);
        """,
        ["TypeError: Parser error", "TypeError: Parser error: The selector is empty."],
    ),
    "tokens-after-their-time": (
        """
        const kept = {}, wrong = new Set();
        const html = '<!doctype html><p a=1>x<!--c--></p>';
        await new HTMLRewriter().on("p", {
            element(e) { kept.element = e; kept.iterator = e.attributes; e.onEndTag((tag) => { kept.tag = tag; }); },
            comments(c) { kept.comment = c; }, text(t) { kept.text ??= t; },
        }).onDocument({ doctype(d) { kept.doctype = d; }, end(e) { kept.end = e; } }).transform(new Response(html)).text();
        for (const f of [() => kept.element.tagName, () => { kept.element.tagName = "a"; }, () => kept.element.attributes, () => kept.element.before("x"),
            () => kept.element.onEndTag(() => {}), () => kept.element.removed, () => kept.element.getAttribute("a"), () => kept.element.remove(),
            () => kept.iterator.next(), () => kept.tag.name, () => { kept.tag.name = "x"; }, () => kept.tag.remove(), () => kept.comment.text,
            () => { kept.comment.text = "x"; }, () => kept.comment.replace("x"), () => kept.comment.remove(), () => kept.comment.removed, () => kept.text.text,
            () => kept.text.lastInTextNode, () => kept.text.replace("x"), () => kept.doctype.name, () => kept.end.append("x")])
            wrong.add(await nameOf(f));
        // While its content is converted, a handler may end.
        let token, release;
        const waits = rewrite("<p>", "p", { element(e) { token = e; return new Promise((resolve) => { release = resolve; }); } });
        await later(1);
        wrong.add(await nameOf(() => token.append({ toString() { release(); return "x"; } })));
        await waits;
        wrong.add(await nameOf(() => token.append("x")));
        return [[...wrong].map((text) => text === DEAD ? "dead" : text), Object.keys(kept.element)];
        """,
        [["dead", "nothing"], []],
    ),
    "attributes-that-change-meanwhile": (
        """
        return await rewrite("<p a=1 b=2></p>", "p", { async element(e) {
            const iterator = e.attributes, proto = Object.getPrototypeOf;
            iterator.next();
            e.setAttribute("c", "3");
            const text = [await nameOf(() => iterator.next()), iterator[Symbol.iterator]() === iterator, [...e.attributes].length,
                proto(proto(iterator)) === proto(proto([][Symbol.iterator]()))];
            e.append(JSON.stringify(text), { html: true });
        } });
        """,
        '<p a=1 b=2 c="3">["Error: The attributes of this element have been modified during iteration. You must create a new iterator '
        'after modifying attributes.",true,3,true]</p>',
    ),
    "a-new-object-for-each-handler": (
        """
        const seen = [];
        await new HTMLRewriter().on("p", { element(e) { e.mark = 1; seen.push(e); } }).on("*", { element(e) { seen.push(e.mark, e === seen[0]); } })
            .transform(new Response("<p>")).text();
        let self;
        const handlers = { element() { self = this === handlers; } };
        await rewrite("<p>", "p", handlers);
        return [seen[1] === undefined, seen[2], self, await nameOf(() => structuredClone(seen[0])), await nameOf(() => structuredClone(new HTMLRewriter())),
            String(seen[0]), String(new HTMLRewriter())];
        """,
        [True, False, True, "DataCloneError: Element object could not be cloned.", "DataCloneError: HTMLRewriter object could not be cloned.",
            "[object Element]", "[object HTMLRewriter]"],
    ),
    "cancelled-in-the-middle": (
        """
        const result = [];
        let pulled = 0, reason;
        const source = () => new ReadableStream({ pull(c) { pulled++; c.enqueue(utf8("<p>x</p>")); }, cancel(r) { reason = r; } }, { highWaterMark: 0 });
        const reader = new HTMLRewriter().transform(new Response(source())).body.getReader();
        await reader.read();
        await later(2);
        result.push(pulled, await nameOf(() => reader.cancel("enough")), reason);
        // While a handler is waited for: it may go on, with a token that is dead.
        let resume, said;
        const waits = new HTMLRewriter().on("p", { async element(e) { await new Promise((resolve) => { resume = resolve; });
            said = await nameOf(() => e.before("x")); } }).transform(new Response(source())).body.getReader();
        const read = waits.read();
        await later(2);
        result.push(await nameOf(() => waits.cancel("there")), (await read).done, reason);
        resume();
        await later(2);
        result.push(said === DEAD);
        for (let i = 0; i < 50; i++) new HTMLRewriter().on("p", {}).transform(new Response("<p>")).body.cancel();
        // An error of the input
        const broken = new ReadableStream({ n: 0, pull(c) { this.n++ ? c.error(new RangeError("input")) : c.enqueue(utf8("<p>")); } });
        result.push(await nameOf(() => new HTMLRewriter().transform(new Response(broken)).text()), await rewrite("<p>x</p>", "p", { element(e) { e.remove(); } }));
        return result;
        """,
        [1, "nothing", "enough", "nothing", True, "there", True, "RangeError: input", ""],
    ),
    "webassembly-as-it-was": (
        """
        const all = () => { const names = Object.getOwnPropertyNames(WebAssembly); for (const name of [...names])
            for (const key of Reflect.ownKeys(WebAssembly[name].prototype ?? {})) names.push(`${name}.${String(key)}`); return names.join(); };
        const mine = () => 1, own = { Suspending: mine, promising: mine };
        Object.assign(WebAssembly, own);
        Object.defineProperty(WebAssembly.Memory.prototype, "type", { value: mine, configurable: true });
        const { WebAssembly: there } = globalThis, before = all();
        globalThis.WebAssembly = 1;
        const html = await rewrite("<p>x</p>", "p", { async element(e) { await later(1); e.after("y"); } });
        globalThis.WebAssembly = there;
        return [html, all() === before, there.Suspending === mine, there.promising === mine, there.Memory.prototype.type === mine,
            new there.Memory({ initial: 1 }).buffer.byteLength];
        """,
        ["<p>x</p>y", True, True, True, True, 65536],
    ),
    "webassembly-frozen": (
        """
        Object.freeze(WebAssembly);
        return await nameOf(() => new HTMLRewriter());
        """,
        "TypeError: HTMLRewriter needs WebAssembly as it was: use HTMLRewriter before you freeze it",
    ),
}


def tenant(body, **limits):
    return {"limits": limits, "files": {"worker.js": HELPERS + script(f"return Response.json(await (async () => {{ {body} }})())")}}


@pytest.fixture(scope="module")
def hive():
    tenants = {name: tenant(source, cpu_ms=5000) for name, (source, _) in CASES.items()}
    with tempfile.TemporaryDirectory(prefix="skep-") as path:
        skepd = Skepd(pathlib.Path(path), tenants).start()
        yield skepd
        skepd.stop()


@pytest.mark.parametrize("name", CASES)
def test_html_rewriter_gives_what_it_should(hive, name):
    answer = hive.get(name)
    assert answer.status == 200, (answer, hive.log()[-2000:])
    assert answer.json() == CASES[name][1]
    assert hive.worker()["restarts"] == 0  # no call that the jail does not have


# Documents that the tenant makes as they are read, and what is to come of them. "big" is 10 MiB within 8.
STREAMS = """
const chunks = (n, make) => new ReadableStream({ i: 0, pull(c) { this.i < n ? c.enqueue(utf8(make(this.i++))) : c.close(); } }, { highWaterMark: 0 });
const pass = (body, ...on) => { const rewriter = new HTMLRewriter(); if (on.length > 0) rewriter.on(...on); return rewriter.transform(new Response(body)); };
const drain = async (response) => { let size = 0; for await (const chunk of response.body) size += chunk.length; return size; };
"""
HOSTILE = {
    "big": "let n = 0; const size = await drain(pass(chunks(160, () => '<p>text</p>\\n'.repeat(5462)), 'p', { element(e) { n++; } })); return [size, n];",
    "deep": """
        let n = 0;
        const body = chunks(200, (i) => (i < 100 ? "<div>" : "</div>").repeat(1000));
        return [await drain(pass(body, "div > div", { element() { n++; } })), n];
    """,
    "attributes": """
        let value = 0, count = 0;
        await drain(pass(chunks(66, (i) => i === 0 ? "<p a='" : i === 65 ? "'>" : "x".repeat(16384)), "p", { element(e) { value = e.getAttribute("a").length; } }));
        await drain(pass(`<p ${Array.from({ length: 20000 }, (_, i) => `a${i}=1`).join(" ")}>`, "p", { element(e) { count = [...e.attributes].length; } }));
        return [value, count];
    """,
    # The parser has to keep an open tag whole: memory runs out, and later documents have a new parser.
    "open-tag": """
        const wrong = await nameOf(() => drain(pass(chunks(1000, (i) => i === 0 ? "<p a='" : "x".repeat(2 ** 18)), "p", { element() {} })));
        return [wrong.split(":")[0], await rewrite("<p>x</p>", "p", { element(e) { e.append("y"); } })];
    """,
    "content": """
        const wrong = await nameOf(() => rewrite("<p></p>", "p", { element(e) { for (;;) e.append("x".repeat(2 ** 20)); } }));
        return [wrong.split(":")[0], await rewrite("<p>x</p>", "p", { element(e) { e.append("y"); } })];
    """,
    "selectors": """
        const long = "p ".repeat(20000), nots = ":not(".repeat(3000) + "p" + ")".repeat(3000), list = "p,".repeat(50000) + "p";
        const said = [];
        for (const selector of [long, "p" + nots, list, "[a='" + "x".repeat(2 ** 20) + "']", "p:nth-child(999999999999n+1)", "\\u0000", "p".repeat(2 ** 20)])
            said.push((await nameOf(() => new HTMLRewriter().on(selector, {}))).split(":")[0]);
        return [said.join(), await rewrite("<p>x</p>", "p", { element(e) { e.append("y"); } })];
    """,
    "many-handlers": """
        const rewriter = new HTMLRewriter();
        for (let i = 0; i < 1000; i++) rewriter.on(`p.a${i}`, { element(e) { e.append(i + ","); } });
        return await rewriter.transform(new Response("<p class='a1 a999'></p>")).text();
    """,
    # Many documents, ended in each way, leave no memory behind.
    "again": """
        const ends = [(r) => r.text(), (r) => r.body.cancel(), async (r) => { await r.body.getReader().read(); }, async () => {}];
        for (let i = 0; i < 400; i++) {
            await ends[i % 4](new HTMLRewriter().on("p", { element(e) { if (i % 8 < 4) return later(0); } }).transform(new Response("<p>x</p>".repeat(99))));
            if (i % 16 === 0) await later(1);
        }
        return "well";
    """,
}
EXPECTED = {
    "big": [160 * 5462 * 12, 160 * 5462],
    "deep": [100_000 * 11, 99_999],
    "attributes": [64 * 16384, 20_000],
    "open-tag": ["TypeError", "<p>xy</p>"],
    "content": ["RangeError", "<p>xy</p>"],
    "selectors": ["nothing,TypeError,nothing,nothing,nothing,nothing,nothing", "<p>xy</p>"],
    "many-handlers": "<p class='a1 a999'>1,999,</p>",
    "again": "well",
}
ENDLESS = "return pass(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(65536).fill(60)); } }), '*', { element() {} });"
SLOW = "return pass(chunks(1e9, (i) => `<p>${i}</p>`), 'p', { async element(e) { await later(5); } });"
NEVER = "return new Response(await pass('<p>x</p>', 'p', { element: () => new Promise(() => {}) }).text());"
SPINS = "return new Response(await pass('<p>x</p>', 'p', { async element() { await later(1); for (;;); } }).text());"


def test_hostile_documents_meet_the_budgets_and_a_neighbour_is_served_meanwhile():
    limits = {"cpu_ms": 20000, "heap_mib": 32, "external_mib": 16}
    tenants = {
        name: {"limits": {**limits, "external_mib": {"big": 8, "deep": 64}.get(name, 16)}, "files": {"worker.js": HELPERS + STREAMS + script(
            f"return Response.json(await (async () => {{ {body} }})())")}}
        for name, body in HOSTILE.items()
    }
    for name, body in {"endless": ENDLESS, "slow": SLOW, "never": NEVER, "spins": SPINS}.items():
        few = {**limits, "cpu_ms": 300, "response_mib": 256, "hung_ms": 1000}
        tenants[name] = {"limits": few, "files": {"worker.js": HELPERS + STREAMS + script(body)}}
    with tempfile.TemporaryDirectory(prefix="skep-") as path:
        skepd = Skepd(pathlib.Path(path), {**tenants, "hello": script("return new Response('hi')")}, {"cordons": [cordon()]})
        skepd.start()
        try:
            with Loader(skepd, "hello") as neighbour:
                for name, expected in EXPECTED.items():
                    answer = skepd.get(name)
                    assert answer.status == 200, (name, answer, skepd.log()[-2000:])
                    assert answer.json() == expected, name
                    neighbour.more(1)
                assert skepd.get("spins").code == "cpu_request"
                assert skepd.get("never").code == "hung"
                # The client sees the beginning.
                with pytest.raises((OSError, http.client.HTTPException)):
                    skepd.get("endless")
                assert skepd.wait_log(r"\[endless\] stopped: cpu_ms")
                # A client that leaves in the middle ends the request.
                with skepd.connect() as connection:
                    connection.send_head("GET", "slow.test")
                    assert wait_for(lambda: skepd.tenant("slow")["in_flight"] == 1, "the slow answer")
                assert wait_for(lambda: skepd.tenant("slow")["in_flight"] == 0, "its end")
                neighbour.more(1)
            assert not neighbour.wrong
            assert all(t["kills"] == 0 for t in skepd.admin("tenants")["tenants"])
        finally:
            skepd.stop()
