# SPDX-License-Identifier: Apache-2.0
"""Web Crypto in a real worker, inside the real jail: each algorithm with vectors that others have
published, wrong use with the exception that the standard names, and budgets. The operations
themselves are tests/unit/crypto's."""

import pathlib
import tempfile

import pytest

from harness import Skepd, script

# Before each case.
HELPERS = """
const { subtle } = crypto;
const hex = (b) => [...new Uint8Array(b.buffer ?? b)].map((x) => x.toString(16).padStart(2, "0")).join("");
const bytes = (text) => new Uint8Array((text.match(/../g) ?? []).map((x) => parseInt(x, 16)));
const utf8 = (text) => new TextEncoder().encode(text);
const nameOf = async (f) => { try { await f(); return "nothing"; } catch (e) {
    return e instanceof DOMException ? e.name : `${e.constructor === globalThis[e.name]} ${e.name}`; } };
"""

# What the handler returns as JSON, and what it must be.
CASES = {
    "random": (
        """
        const a = crypto.getRandomValues(new Uint32Array(16384)), b = new Uint32Array(16384);
        const same = crypto.getRandomValues(b) === b;
        const bits = a.reduce((n, x) => { for (; x; x &= x - 1) n++; return n; }, 0);
        const uuids = new Set(Array.from({ length: 1000 }, () => crypto.randomUUID()));
        return [same, a.some((x, i) => x !== b[i]), Math.abs(bits - 262144) < 4096, uuids.size,
            [...uuids].every((u) => /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(u)),
            await nameOf(() => crypto.getRandomValues(new Uint8Array(65537))),
            await nameOf(() => crypto.getRandomValues(new Float64Array(1))),
            await nameOf(() => crypto.getRandomValues(new DataView(new ArrayBuffer(8)))),
            await nameOf(() => crypto.getRandomValues([1])),
            await nameOf(() => Crypto.prototype.randomUUID.call({}))];
        """,
        [True, True, True, 1000, True, "QuotaExceededError", "TypeMismatchError"]
        + ["TypeMismatchError", "true TypeError", "true TypeError"],
    ),
    "digest": (
        """
        const of = async (name) => hex(await subtle.digest(name, utf8("abc"))).slice(0, 16);
        return [await of("SHA-1"), await of("sha-256"), await of({ name: "SHA-384" }), await of("SHA-512"),
            await of("SHA3-256"), hex(await subtle.digest("SHA-256", new ArrayBuffer(0))).slice(0, 8),
            await nameOf(() => subtle.digest("MD5", utf8("a"))), await nameOf(() => subtle.digest({}, utf8("a"))),
            await nameOf(() => subtle.digest("SHA-1", "text")), await nameOf(() => subtle.digest("SHA-1")),
            await nameOf(() => subtle.digest.call({}, "SHA-1", utf8("a")))];
        """,
        ["a9993e364706816a", "ba7816bf8f01cfea", "cb00753f45a35e8b", "ddaf35a193617aba"]
        + ["3a985da74fe225b2", "e3b0c442", "NotSupportedError"]
        + ["true TypeError"] * 4,
    ),
    "buffers": (
        """
        const of = (data) => nameOf(() => subtle.digest("SHA-1", data));
        const detached = new ArrayBuffer(8); detached.transfer();
        const view = new Uint8Array(8); view.buffer.transfer();
        const growable = new ArrayBuffer(8, { maxByteLength: 16 });
        const late = new Uint8Array(8);
        const atCall = subtle.digest({ get name() { late.buffer.transfer(); return "SHA-1"; } }, late);
        const altered = new Uint8Array(3).fill(97), promise = subtle.digest("SHA-1", altered);
        altered.fill(0);
        return [await of(detached), await of(view), await of(growable), await of(new Uint8Array(growable)),
            await of(new DataView(growable)), hex(await atCall).slice(0, 8), hex(await promise).slice(0, 8),
            hex(await subtle.digest("SHA-1", new Uint16Array(utf8("xabc").slice(1, 3).buffer))).slice(0, 8)];
        """,
        ["nothing", "nothing", "true TypeError", "true TypeError", "true TypeError"]
        + ["da39a3ee", "7e240de7", "da23614e"],
    ),
    "hmac": (
        """
        const key = await subtle.importKey("raw", utf8("Jefe"), { name: "HMAC", hash: "SHA-256" }, true, ["verify", "sign"]);
        const mac = await subtle.sign("HMAC", key, utf8("what do ya want for nothing?"));
        const made = await subtle.generateKey({ name: "HMAC", hash: "SHA-512" }, false, ["sign"]);
        const jwk = await subtle.exportKey("jwk", key);
        return [hex(mac), await subtle.verify("HMAC", key, mac, utf8("what do ya want for nothing?")),
            await subtle.verify("HMAC", key, mac, utf8("what")), jwk, key.algorithm, key.usages, made.algorithm,
            await nameOf(() => subtle.sign("HMAC", made, utf8("a"))), await nameOf(() => subtle.exportKey("raw", made)),
            await nameOf(() => subtle.verify("HMAC", made, mac, utf8("a"))),
            await nameOf(() => subtle.importKey("raw", utf8(""), { name: "HMAC", hash: "SHA-256" }, true, ["sign"])),
            await nameOf(() => subtle.importKey("raw", utf8("a"), { name: "HMAC", hash: "SHA-256" }, true, [])),
            await nameOf(() => subtle.importKey("raw", utf8("a"), { name: "HMAC", hash: "SHA-256" }, true, ["encrypt"])),
            await nameOf(() => subtle.importKey("raw", utf8("a"), { name: "HMAC" }, true, ["sign"])),
            await nameOf(() => subtle.importKey("jwk", { ...jwk, alg: "HS512" }, { name: "HMAC", hash: "SHA-256" }, true, ["sign"])),
            await nameOf(() => subtle.importKey("jwk", { ...jwk, k: "a*" }, { name: "HMAC", hash: "SHA-256" }, true, ["sign"])),
            await nameOf(() => subtle.importKey("spki", utf8("a"), { name: "HMAC", hash: "SHA-256" }, true, ["sign"]))];
        """,
        [
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            True,
            False,
            {"kty": "oct", "k": "SmVmZQ", "alg": "HS256", "key_ops": ["sign", "verify"], "ext": True},
            {"name": "HMAC", "hash": {"name": "SHA-256"}, "length": 32},
            ["sign", "verify"],
            {"name": "HMAC", "hash": {"name": "SHA-512"}, "length": 1024},
            "nothing",
            "InvalidAccessError",
            "InvalidAccessError",
            "DataError",
            "SyntaxError",
            "SyntaxError",
            "true TypeError",
            "DataError",
            "DataError",
            "NotSupportedError",
        ],
    ),
    "aes": (
        """
        const raw = bytes("feffe9928665731c6d6a8f9467308308");
        const importAs = (name) => subtle.importKey("raw", raw, name, true, name === "AES-KW" ? ["wrapKey", "unwrapKey"] : ["encrypt", "decrypt"]);
        const gcm = { name: "AES-GCM", iv: bytes("cafebabefacedbaddecaf888"), additionalData: bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2") };
        const plain = bytes("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
        const key = await importAs("AES-GCM"), sealed = await subtle.encrypt(gcm, key, plain);
        const cbc = { name: "AES-CBC", iv: new Uint8Array(16) }, ctr = { name: "AES-CTR", counter: new Uint8Array(16), length: 64 };
        const inCbc = await subtle.encrypt(cbc, await importAs("AES-CBC"), plain), inCtr = await subtle.encrypt(ctr, await importAs("AES-CTR"), plain);
        const cut = (n) => nameOf(() => subtle.decrypt(gcm, key, sealed.slice(0, n)));
        return [hex(sealed).slice(-32), hex(await subtle.decrypt(gcm, key, sealed)) === hex(plain),
            hex(await subtle.decrypt(cbc, await importAs("AES-CBC"), inCbc)) === hex(plain), hex(await subtle.decrypt(ctr, await importAs("AES-CTR"), inCtr)) === hex(plain),
            await cut(75), await cut(12), await cut(0), await nameOf(() => subtle.encrypt({ ...gcm, tagLength: 33 }, key, plain)),
            await nameOf(() => subtle.encrypt(cbc, key, plain)), await nameOf(() => subtle.encrypt({ ...cbc, iv: new Uint8Array(3) }, key, plain)),
            await nameOf(async () => subtle.encrypt({ ...cbc, iv: new Uint8Array(3) }, await importAs("AES-CBC"), plain)),
            await nameOf(async () => subtle.encrypt({ ...ctr, length: 0 }, await importAs("AES-CTR"), plain)),
            await nameOf(async () => subtle.encrypt({ ...ctr, length: 256 }, await importAs("AES-CTR"), plain)),
            await nameOf(() => subtle.importKey("raw", new Uint8Array(17), "AES-GCM", true, ["encrypt"])),
            await nameOf(() => subtle.generateKey({ name: "AES-GCM", length: 129 }, true, ["encrypt"])),
            await nameOf(() => subtle.generateKey({ name: "AES-GCM", length: 128 }, true, []))];
        """,
        ["5bc94fbc3221a5db94fae95ae7121a47", True, True, True]
        + ["OperationError"] * 4
        + ["InvalidAccessError"] * 2
        + ["OperationError"] * 2
        + ["true TypeError", "DataError", "OperationError", "SyntaxError"],
    ),
    "wrap": (
        """
        const kek = await subtle.importKey("raw", bytes("000102030405060708090a0b0c0d0e0f"), "AES-KW", false, ["wrapKey", "unwrapKey"]);
        const key = await subtle.importKey("raw", bytes("00112233445566778899aabbccddeeff"), "AES-GCM", true, ["encrypt"]);
        const wrapped = await subtle.wrapKey("raw", key, kek, "AES-KW");
        const back = await subtle.unwrapKey("raw", wrapped, kek, "AES-KW", "AES-GCM", true, ["encrypt"]);
        const gcm = await subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["wrapKey", "unwrapKey"]);
        const how = { name: "AES-GCM", iv: new Uint8Array(12) };
        const inJwk = await subtle.wrapKey("jwk", key, gcm, how);
        Object.prototype.k = "AAAA"; Array.prototype.toJSON = () => "tenant's";
        const again = await subtle.unwrapKey("jwk", inJwk, gcm, how, "AES-GCM", true, ["encrypt"]);
        delete Object.prototype.k; delete Array.prototype.toJSON;
        return [hex(wrapped), hex(await subtle.exportKey("raw", back)), hex(await subtle.exportKey("raw", again)),
            await nameOf(() => subtle.unwrapKey("raw", wrapped.slice(8), kek, "AES-KW", "AES-GCM", true, ["encrypt"])),
            await nameOf(() => subtle.wrapKey("raw", kek, gcm, how)), await nameOf(() => subtle.wrapKey("raw", key, key, how))];
        """,
        ["1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"]
        + ["00112233445566778899aabbccddeeff"] * 2
        + ["OperationError", "InvalidAccessError", "InvalidAccessError"],
    ),
    "keys_are_objects": (
        """
        const key = await subtle.generateKey({ name: "HMAC", hash: "SHA-1" }, true, ["sign"]);
        const { copy, same } = structuredClone({ copy: key, same: [key] });
        key.algorithm.name = "other"; key.usages.push("verify");
        return [copy !== key, copy === same[0], copy instanceof CryptoKey, copy.type, copy.algorithm, copy.usages, copy.extractable,
            hex(await subtle.sign("HMAC", key, utf8("a"))) === hex(await subtle.sign("HMAC", copy, utf8("a"))),
            String(copy), Object.keys(copy), key.usages, await nameOf(() => subtle.verify("HMAC", key, new Uint8Array(20), utf8("a"))),
            await nameOf(() => new CryptoKey()), await nameOf(() => new Crypto()), await nameOf(() => new SubtleCrypto()),
            await nameOf(() => subtle.sign("HMAC", Object.create(CryptoKey.prototype), utf8("a"))),
            await nameOf(() => Reflect.get(CryptoKey.prototype, "type", {})), crypto.subtle === subtle,
            Object.getOwnPropertyDescriptor(globalThis, "crypto").set === undefined];
        """,
        [True, True, True, "secret"]
        + [{"name": "HMAC", "hash": {"name": "SHA-1"}, "length": 512}, ["sign"], True, True]
        + ["[object CryptoKey]", [], ["sign", "verify"], "InvalidAccessError"]
        + ["true TypeError"] * 5
        + [True, True],
    ),
}


@pytest.fixture(scope="module")
def hive():
    tenants = {
        name.replace("_", "-"): {
            "limits": {"cpu_ms": 2000},
            "files": {
                "worker.js": HELPERS
                + script(f"return Response.json(await (async () => {{ {source} }})())")
            },
        }
        for name, (source, _) in CASES.items()
    }
    with tempfile.TemporaryDirectory(prefix="skep-") as path:
        skepd = Skepd(pathlib.Path(path), tenants).start()
        yield skepd
        skepd.stop()


@pytest.mark.parametrize("name", CASES)
def test_web_crypto_gives_what_it_should(hive, name):
    answer = hive.get(name.replace("_", "-"))
    assert answer.status == 200, (answer, hive.log()[-2000:])
    assert answer.json() == CASES[name][1]


def test_web_crypto_needs_no_call_that_the_jail_does_not_have(hive):
    """A worker that makes one dies of it; the cases are served by one worker for all."""
    for name in CASES:
        assert hive.get(name.replace("_", "-")).status == 200
    assert hive.worker()["restarts"] == 0
