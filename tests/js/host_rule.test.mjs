// SPDX-License-Identifier: Apache-2.0
//
// The front's rule for hosts (config/host_name.c, supervisor/http/target.c) beside the URL parser that tenants
// have: each host that the front lets through must be a URL's host, and the same one.
// SKEP_HOST_RULE names the program that applies the front's rule to each line.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import punycode from "node:punycode";
import { evaluate } from "./host.mjs";

const skip = process.env.SKEP_HOST_RULE ? false : "SKEP_HOST_RULE is not set";

function front(authorities) {
    const input = authorities.map((text) => `${text}\n`).join("");
    const output = execFileSync(process.env.SKEP_HOST_RULE, {
        input: Buffer.from(input, "latin1"), encoding: "latin1", maxBuffer: 1 << 28,
    });
    return output.split("\n").slice(0, authorities.length);
}

// Returns the host that the tenants' URL makes of each authority, or null.
function inTenant(authorities) {
    if (authorities.length > 1000) { // an answer must fit into the window
        return [...inTenant(authorities.slice(0, 1000)), ...inTenant(authorities.slice(1000))];
    }
    return evaluate(`return ${JSON.stringify(authorities)}.map((text) => {
        try { return new URL("http://" + text + "/").host; } catch { return null; }
    });`);
}

const ACCEPTED = {
    "a": "a", "A.Example": "a.example", "a.": "a", "a:": "a", "a:80": "a", "a:0080": "a", "a:8080": "a:8080",
    "a:00081": "a:81", "a:0": "a:0", "a:65535": "a:65535", "a.:8080": "a:8080", "a_b.c-d": "a_b.c-d",
    "a--b": "a--b", "1e3": "1e3", "1.2.3.4": "1.2.3.4", "1.2.3.4.": "1.2.3.4", "1.2.3.4:81": "1.2.3.4:81",
    "1.2.3.4.a": "1.2.3.4.a", "0x1.a": "0x1.a", "0xg": "0xg", "255.255.255.255": "255.255.255.255",
    "xn--mnchen-3ya.de": "xn--mnchen-3ya.de", "XN--MNCHEN-3YA.de": "xn--mnchen-3ya.de",
    "xn--fa-hia.de": "xn--fa-hia.de", "xn--mgbh0fb.xn--kgbechtv": "xn--mgbh0fb.xn--kgbechtv",
    "www.xn--4gbrim": "www.xn--4gbrim", "a.xn--fsq.b": "a.xn--fsq.b",
    "[::1]": "[::1]", "[::]": "[::]", "[0:0:0:0:0:0:0:1]:80": "[::1]", "[2001:DB8::0001]:8080": "[2001:db8::1]:8080",
    "[::ffff:1.2.3.4]": "[::ffff:102:304]", "[1:0:0:2:0:0:0:3]": "[1:0:0:2::3]", "[1:0:2:3:4:5:6:7]": "[1:0:2:3:4:5:6:7]",
    "[64:ff9b::1.2.3.4]": "[64:ff9b::102:304]", "[1::]": "[1::]", "[0:0:1:0:0:1:0:0]": "[::1:0:0:1:0:0]",
};

const REFUSED = [
    "", ".", "..", "a..", "a..b", ".a", "-", "-a", "a-", "a.-b", "a-.b", ":80", ":", "a:b", "a:-1", "a:+1", "a: 1", "a:65536",
    "a:999999", "a:8 0", "a:80:80", "a:0x50", "*", "x:80*", "a*", "a b", " a", "a ", "a\t", "a/b", "a?b", "a#b", "a\\b",
    "a@b", "@b", "a@", "u:p@b", "a,b", "a;b", "a=b", "a'b", "a\"b", "a(b", "a<b", "a>b", "a^b", "a`b", "a|b", "a{b", "a}",
    "a$b", "a&b", "a!b", "a~b", "a+b", "%61", "a%62", "a%2eb", "a%00", "a%", "a%zz", "a\0b", "a\x7f", "a\x01b", "\xe9",
    "\xc3\xa9", "m\xc3\xbcnchen.de", "\xef\xbc\x91", "1.2.3", "1.2", "1", "0", "4294967295", "1.2.3.4.5", "1.2.3.4..", "1.2.3.256",
    "256.1.1.1", "01.2.3.4", "1.2.3.04", "0x1.1", "1.0x1", "0x", "a.0x", "0x7f000001", "0x7f.1", "a.1", "a.b.09", "a.0x1F", "a.1.",
    "127.1", "0177.0.0.1", "1.2.3.4.0x", "999999999999", "1.2.3.", "xn--", "xn--a", "a.xn--a", "xn--a.b", "XN--A", "xn--0",
    "xn--zzzz", "xn--abc", "xn--a-", "xn--1ug", "xn--u-ccb", "xn--99999999", "xn--a-ecp.ru", "xn--xn--a--gua", "xn--mnchen-",
    "1a.xn--4gbrim", "a_.xn--4gbrim", "xn--mnchen-3yA-", "[", "]", "[]", "[:]", "[::", "::1", "[::1", "::1]", "[::1]a", "[::1].", "[a]",
    "[1.2.3.4]", "[::1.2.3]", "[::1.2.3.256]", "[::01.2.3.4]", "[1:2:3:4:5:6:7]", "[1:2:3:4:5:6:7:8:9]", "[1::2::3]",
    "[12345::]", "[:1::]", "[fe80::1%25eth0]", "[fe80::1%eth0]", "[v1.a]", "[::g]", "[[::1]]", "[::1]:65536", "[::1 ]", "[::\0]",
    "a".repeat(64), `${"a.".repeat(127)}a`, "a".repeat(300),
];

// Numbers that are the same in each run.
function makeRandom(seed) {
    let state = seed;
    return (n) => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return Math.floor(state / 2 ** 32 * n);
    };
}

const pieces = [
    "a", "b", "A", "Z", "0", "1", "9", "255", "256", "08", "0x", "0x1", "0X", "1e3", "-", "--", "_", ".", ".", ".", ".", "..", ":", ":80", ":0",
    ":65535", ":65536", "xn--", "xn--a", "xn--mnchen-3ya", "xn--4gbrim", "xn--fsq", "[", "]", "::", "[::1]", "%", "%2e", "%61",
    "@", "/", "\\", "*", "+", "~", "!", "com", "localhost", "example", "1.2.3.4", "\xe9", " ", "^", "|", "<", "#", "?",
];
const scripts = [[0xdf, 0x24f], [0x370, 0x3ff], [0x400, 0x4ff], [0x531, 0x5f4], [0x5d0, 0x6ff], [0x900, 0x97f], [0xe01, 0xe5b], [0x1e00, 0x1fff],
    [0x200c, 0x200d], [0x2010, 0x2fff], [0x3041, 0x30ff], [0x4e00, 0x9fff], [0xac00, 0xd7a3], [0xf900, 0xfaff], [0xfb00, 0xffef],
    [0x10000, 0x10fff], [0x1d400, 0x1d7ff], [0x1e800, 0x1e95f], [0x1f300, 0x1f6ff], [0x20000, 0x2ffff], [0x61, 0x7a], [0x30, 0x39]];

const makers = [
    (random) => Array.from({ length: 1 + random(5) }, () => pieces[random(pieces.length)]).join(""),
    (random) => Array.from({ length: 1 + random(6) }, () => String.fromCharCode(0x21 + random(0xdf))).join("").replace("\x85", ""),
    (random) => Array.from({ length: 1 + random(6) }, () =>
        [random(300), `0x${random(300).toString(16)}`, `0${random(99)}`, random(2 ** 32)][random(16) < 12 ? 0 : random(4)]).join("."),
    (random) => `[${Array.from({ length: 1 + random(9) }, () =>
        ["0", "0", "", random(65536).toString(16), "0001", "FFFF", `1.2.3.${random(300)}`][random(16) ? random(4) : random(7)]).join(":")}]`,
    (random) => `[${Array.from({ length: 8 }, () => random(2) ? "0" : random(65536).toString(16)).join(":")}]:${random(70000)}`,
    (random) => { // international names, one or two labels, each from one or two scripts
        const label = () => {
            const ranges = [scripts[random(scripts.length)], scripts[random(scripts.length)]];
            const text = String.fromCodePoint(...Array.from({ length: 1 + random(4) }, () => {
                const [from, to] = ranges[random(4) ? 0 : 1];
                return from + random(to - from + 1);
            }));
            return `xn--${punycode.encode(random(2) ? text.normalize("NFKC").toLowerCase() : text)}`;
        };
        return random(2) ? label() : `${random(2) ? label() : ["a", "1a", "a1", "a_"][random(4)]}.${label()}`;
    },
    (random) => `xn--${random(2 ** 30).toString(36)}${random(2) ? `-${random(2 ** 20).toString(36)}` : ""}`,
    (random) => Array.from({ length: 1 + random(4) }, () => random(2 ** 31).toString(36).slice(0, 1 + random(6))).join(".") +
        (random(3) ? "" : `:${random(70000)}`),
];

test("the front and URL agree on each host of a list", { skip }, () => {
    const accepted = Object.keys(ACCEPTED);
    assert.deepEqual(Object.fromEntries(front(accepted).map((name, i) => [accepted[i], name])), ACCEPTED);
    assert.deepEqual(inTenant(Object.values(ACCEPTED)), Object.values(ACCEPTED));
    assert.deepEqual(front(REFUSED).map((name, i) => [REFUSED[i], name]).filter(([, name]) => name !== ""), []);
});

test("each host that the front lets through is one of a URL, and the same", { skip }, () => {
    const random = makeRandom(13);
    const hosts = [...new Set(Array.from({ length: 20_000 }, () => makers[random(makers.length)](random)))]
        .filter((host) => !host.includes("\n"));
    const names = front(hosts);
    const passed = names.map((name, i) => [hosts[i], name]).filter(([, name]) => name !== "");
    assert.ok(passed.length > 2500, `only ${passed.length} of ${hosts.length} were let through`);
    assert.ok(passed.filter(([, name]) => name.includes("xn--")).length > 150, "hardly any international name");

    const asSent = inTenant(passed.map(([host]) => host));
    const asNamed = inTenant(passed.map(([, name]) => name));
    passed.forEach(([host, name], i) => {
        assert.equal(asNamed[i], name, host); // the host in the tenant's request.url
        assert.equal(asSent[i]?.replace(/\.(?=$|:)/, ""), name, host);
    });
});
