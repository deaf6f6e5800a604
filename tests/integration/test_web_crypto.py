# SPDX-License-Identifier: Apache-2.0
"""Web Crypto in a real worker, inside the real jail: each algorithm with vectors that others have
published, wrong use with the exception that the standard names, and budgets. The operations
themselves are tests/unit/crypto's."""

import pathlib
import tempfile

import pytest

from harness import Loader, Skepd, cordon, script

# Before each case.
HELPERS = """
const { subtle } = crypto;
const hex = (b) => [...new Uint8Array(b.buffer ?? b)].map((x) => x.toString(16).padStart(2, "0")).join("");
const bytes = (text) => new Uint8Array((text.match(/../g) ?? []).map((x) => parseInt(x, 16)));
const utf8 = (text) => new TextEncoder().encode(text);
const nameOf = async (f) => { try { await f(); return "nothing"; } catch (e) {
    return e instanceof DOMException ? e.name : `${e.constructor === globalThis[e.name]} ${e.name}`; } };
"""

# Bodies of handlers, and the JSON that each must return.
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
            await nameOf(() => crypto.getRandomValues(new Uint8Array(new ArrayBuffer(8, { maxByteLength: 9 })))),
            await nameOf(() => Crypto.prototype.randomUUID.call({}))];
        """,
        [True, True, True, 1000, True, "QuotaExceededError", "TypeMismatchError"]
        + ["TypeMismatchError"]
        + ["true TypeError"] * 3,
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
        const key = await subtle.importKey("raw", utf8("Jefe"), { name: "HMAC", hash: "SHA-256" }, true, ["verify",
            "sign"]);
        const mac = await subtle.sign("HMAC", key, utf8("what do ya want for nothing?"));
        const made = await subtle.generateKey({ name: "HMAC", hash: "SHA-512" }, false, ["sign"]);
        const jwk = await subtle.exportKey("jwk", key);
        return [hex(mac), await subtle.verify("HMAC", key, mac, utf8("what do ya want for nothing?")),
            await subtle.verify("HMAC", key, mac, utf8("what")), jwk, key.algorithm, key.usages, made.algorithm,
            await nameOf(() => subtle.sign("HMAC", made, utf8("a"))), await nameOf(() => subtle.exportKey("raw",
                made)),
            await nameOf(() => subtle.verify("HMAC", made, mac, utf8("a"))),
            await nameOf(() => subtle.importKey("raw", utf8(""), { name: "HMAC", hash: "SHA-256" }, true, ["sign"])),
            await nameOf(() => subtle.importKey("raw", utf8("a"), { name: "HMAC", hash: "SHA-256" }, true, [])),
            await nameOf(() => subtle.importKey("raw", utf8("a"), { name: "HMAC", hash: "SHA-256" }, true,
                ["encrypt"])),
            await nameOf(() => subtle.importKey("raw", utf8("a"), { name: "HMAC" }, true, ["sign"])),
            await nameOf(() => subtle.importKey("jwk", { ...jwk, alg: "HS512" }, { name: "HMAC", hash: "SHA-256" },
                true, ["sign"])),
            await nameOf(() => subtle.importKey("jwk", { ...jwk, k: "a*" }, { name: "HMAC", hash: "SHA-256" }, true,
                ["sign"])),
            await nameOf(() => subtle.importKey("spki", utf8("a"), { name: "HMAC", hash: "SHA-256" }, true,
                ["sign"]))];
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
        const importAs = (name) => subtle.importKey("raw", raw, name, true, name === "AES-KW" ? ["wrapKey",
            "unwrapKey"] : ["encrypt", "decrypt"]);
        const gcm = { name: "AES-GCM", iv: bytes("cafebabefacedbaddecaf888"),
            additionalData: bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2") };
        const plain = bytes("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
        const key = await importAs("AES-GCM"), sealed = await subtle.encrypt(gcm, key, plain);
        const cbc = { name: "AES-CBC", iv: new Uint8Array(16) }, ctr = { name: "AES-CTR",
            counter: new Uint8Array(16), length: 64 };
        const inCbc = await subtle.encrypt(cbc, await importAs("AES-CBC"), plain), inCtr = await subtle.encrypt(ctr,
            await importAs("AES-CTR"), plain);
        const cut = (n) => nameOf(() => subtle.decrypt(gcm, key, sealed.slice(0, n)));
        return [hex(sealed).slice(-32), hex(await subtle.decrypt(gcm, key, sealed)) === hex(plain),
            hex(await subtle.decrypt(cbc, await importAs("AES-CBC"), inCbc)) === hex(plain),
                hex(await subtle.decrypt(ctr, await importAs("AES-CTR"), inCtr)) === hex(plain),
            await cut(75), await cut(12), await cut(0), await nameOf(() => subtle.encrypt({ ...gcm, tagLength: 33 },
                key, plain)),
            await nameOf(() => subtle.encrypt(cbc, key, plain)), await nameOf(() => subtle.encrypt({ ...cbc,
                iv: new Uint8Array(3) }, key, plain)),
            await nameOf(async () => subtle.encrypt({ ...cbc, iv: new Uint8Array(3) }, await importAs("AES-CBC"),
                plain)),
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
        const kek = await subtle.importKey("raw", bytes("000102030405060708090a0b0c0d0e0f"), "AES-KW", false,
            ["wrapKey", "unwrapKey"]);
        const key = await subtle.importKey("raw", bytes("00112233445566778899aabbccddeeff"), "AES-GCM", true,
            ["encrypt"]);
        const wrapped = await subtle.wrapKey("raw", key, kek, "AES-KW");
        const back = await subtle.unwrapKey("raw", wrapped, kek, "AES-KW", "AES-GCM", true, ["encrypt"]);
        const gcm = await subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["wrapKey", "unwrapKey"]);
        const how = { name: "AES-GCM", iv: new Uint8Array(12) };
        const inJwk = await subtle.wrapKey("jwk", key, gcm, how);
        Object.prototype.k = "AAAA"; Array.prototype.toJSON = () => "tenant's";
        const again = await subtle.unwrapKey("jwk", inJwk, gcm, how, "AES-GCM", true, ["encrypt"]);
        delete Object.prototype.k; delete Array.prototype.toJSON;
        return [hex(wrapped), hex(await subtle.exportKey("raw", back)), hex(await subtle.exportKey("raw", again)),
            await nameOf(() => subtle.unwrapKey("raw", wrapped.slice(8), kek, "AES-KW", "AES-GCM", true,
                ["encrypt"])),
            await nameOf(() => subtle.wrapKey("raw", kek, gcm, how)), await nameOf(() => subtle.wrapKey("raw", key,
                key, how))];
        """,
        ["1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"]
        + ["00112233445566778899aabbccddeeff"] * 2
        + ["OperationError", "InvalidAccessError", "InvalidAccessError"],
    ),
    "derivation": (
        """
        const of = (name, raw, usages = ["deriveBits", "deriveKey"]) => subtle.importKey("raw", raw, name, false,
            usages);
        const hkdf = { name: "HKDF", hash: "SHA-256", salt: bytes("000102030405060708090a0b0c"),
            info: bytes("f0f1f2f3f4f5f6f7f8f9") };
        const pbkdf2 = { name: "PBKDF2", hash: "SHA-256", salt: utf8("salt"), iterations: 4096 };
        const key = await of("HKDF", bytes("0b".repeat(22))), password = await of("PBKDF2", utf8("password"));
        const aes = await subtle.deriveKey(pbkdf2, password, { name: "AES-GCM", length: 256 }, true, ["encrypt"]);
        return [hex(await subtle.deriveBits(hkdf, key, 336)), hex(await subtle.deriveBits(pbkdf2, password, 256)),
            hex(await subtle.exportKey("raw", aes)), aes.algorithm, key.extractable, (await subtle.deriveBits(hkdf,
                key, 0)).byteLength,
            await nameOf(() => subtle.deriveBits(hkdf, key, 7)), await nameOf(() => subtle.deriveBits(hkdf, key)),
            await nameOf(() => subtle.deriveBits(hkdf, key, 255 * 256 + 8)),
                await nameOf(() => subtle.deriveBits({ ...pbkdf2, iterations: 0 }, password, 8)),
            await nameOf(() => subtle.deriveBits({ ...pbkdf2, iterations: 2 ** 32 }, password, 8)),
                await nameOf(() => subtle.deriveBits(hkdf, password, 8)),
            await nameOf(() => subtle.importKey("raw", utf8("a"), "HKDF", true, ["deriveBits"])),
            await nameOf(() => subtle.exportKey("raw", key)), await nameOf(() => subtle.generateKey("HKDF", true,
                ["deriveBits"])),
            await nameOf(async () => subtle.deriveKey(hkdf, await of("HKDF", utf8("a"), ["deriveBits"]), "HKDF",
                false, ["deriveBits"]))];
        """,
        [
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
            "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a",
            "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a",
            {"name": "AES-GCM", "length": 256},
            False,
            0,
        ]
        + ["OperationError"] * 4
        + ["true TypeError", "InvalidAccessError", "SyntaxError", "NotSupportedError", "NotSupportedError",
            "InvalidAccessError"],
    ),
    "rsa": (
        """
        // RFC 7515, A.2: RS256
        const jwk = { kty: "RSA", e: "AQAB",
            n: "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
            d: "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ",
            p: "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc",
            q: "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc",
            dp: "BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfpT_PI7Yz-FOKnu1R6HsJeDCjn12Sk3vmAktV2zb34MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAdYo0",
            dq: "h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6N3Do9U0ajaHF-NKJnwgjMd2w9cjz3_-kyNlxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU",
            qi: "IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuMm9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd_QJQ3ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFkuQ3U" };
        const rs256 = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
        const made = await subtle.generateKey({ ...rs256, modulusLength: 1024, publicExponent: bytes("010001") },
            true, ["sign", "verify"]);
        const priv = await subtle.exportKey("pkcs8", made.privateKey), pub = await subtle.exportKey("spki",
            made.publicKey);
        const again = await subtle.importKey("pkcs8", priv, { name: "RSA-PSS", hash: "SHA-256" }, false, ["sign"]);
        const half = await subtle.importKey("spki", pub, { name: "RSA-PSS", hash: "SHA-256" }, false, ["verify"]);
        const pss = { name: "RSA-PSS", saltLength: 32 }, signature = await subtle.sign(pss, again, utf8("a"));
        const seal = await subtle.importKey("spki", pub, { name: "RSA-OAEP", hash: "SHA-1" }, false, ["encrypt"]);
        const open = await subtle.importKey("pkcs8", priv, { name: "RSA-OAEP", hash: "SHA-1" }, false, ["decrypt"]);
        const label = utf8("label"), sealed = await subtle.encrypt({ name: "RSA-OAEP", label }, seal, utf8("secret"));
        const exported = await subtle.exportKey("jwk", made.privateKey);
        const bad = (change, name = "RSA-PSS") => nameOf(() => subtle.importKey("jwk", { ...exported, ...change },
            { ...rs256, name }, true, ["sign"]));
        const big = (bits) => nameOf(() => subtle.importKey("jwk", { kty: "RSA", e: "AQAB",
            n: "_".repeat(bits / 6) }, rs256, true, ["verify"]));
        return [made.publicKey.algorithm.modulusLength, [...made.publicKey.algorithm.publicExponent],
            await subtle.verify(pss, half, signature, utf8("a")),
            await subtle.verify(pss, half, signature, utf8("b")), await subtle.verify({ ...pss, saltLength: 20 },
                half, signature, utf8("a")),
            new TextDecoder().decode(await subtle.decrypt({ name: "RSA-OAEP", label }, open, sealed)),
                await nameOf(() => subtle.decrypt({ name: "RSA-OAEP" }, open, sealed)),
            exported.alg, exported.key_ops, await bad({ alg: "RS256" }), await bad({ alg: undefined,
                d: exported.e }), await bad({ alg: undefined, p: undefined }),
            await bad({ alg: undefined, q: exported.p }), await bad({ alg: undefined, oth: [] }),
                await bad({ kty: "EC" }),
            await nameOf(() => subtle.importKey("spki", pub.slice(0, -1), rs256, true, ["verify"])),
                await nameOf(() => subtle.importKey("spki", priv, rs256, true, ["verify"])),
            await nameOf(() => subtle.exportKey("spki", made.privateKey)),
                await nameOf(() => subtle.exportKey("raw", made.publicKey)),
            await nameOf(() => subtle.generateKey({ ...rs256, modulusLength: 16385, publicExponent: bytes("03") },
                true, ["sign"])),
            await nameOf(() => subtle.generateKey({ ...rs256, modulusLength: 1024, publicExponent: bytes("02") },
                true, ["sign"])),
            await nameOf(() => subtle.generateKey({ ...rs256, modulusLength: 1024, publicExponent: [1, 0, 1] },
                true, ["sign"])),
            await nameOf(() => subtle.generateKey({ ...rs256, modulusLength: 1024, publicExponent: bytes("03") },
                true, ["verify"])),
            await big(16380), await big(16416)];
        """,
        [1024, [1, 0, 1], True, False, False, "secret", "OperationError", "RS256", ["sign"]]
        + ["DataError"] * 4
        + ["NotSupportedError", "DataError", "DataError", "DataError", "InvalidAccessError", "NotSupportedError"]
        + ["OperationError", "OperationError", "true TypeError", "SyntaxError", "nothing", "DataError"],
    ),
    "curves": (
        """
        // RFC 7515, A.3: ES256; RFC 8037, A.1: Ed25519; RFC 7748, 6.1: X25519
        const es = { kty: "EC", crv: "P-256", x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0", d: "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI" };
        const text = utf8("eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ");
        const signature = Uint8Array.from(atob("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q".replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
        const ecdsa = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" }, { d, ...half } = es;
        const pub = await subtle.importKey("jwk", half, ecdsa, true, ["verify"]),
            priv = await subtle.importKey("jwk", es, ecdsa, true, ["sign"]);
        const ed = await subtle.importKey("jwk", { kty: "OKP", crv: "Ed25519",
            d: "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" },
            "Ed25519", true, ["sign"]);
        const raw = (name, text, usages) => subtle.importKey("raw", bytes(text), name, true, usages);
        const x = await subtle.importKey("jwk", { kty: "OKP", crv: "X25519",
            d: btoa(String.fromCharCode(...bytes("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", ""),
            x: btoa(String.fromCharCode(...bytes("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "") }, "X25519", true, ["deriveBits"]);
        const peer = await raw("X25519", "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a", []),
            small = await raw("X25519", "00".repeat(32), []);
        const curve = { name: "ECDH", namedCurve: "P-521" }, a = await subtle.generateKey(curve, true,
            ["deriveBits"]), b = await subtle.generateKey(curve, true, ["deriveKey", "deriveBits"]);
        const secret = hex(await subtle.deriveBits({ ...curve, public: b.publicKey }, a.privateKey, 528));
        const point = await subtle.exportKey("raw", a.publicKey), off = new Uint8Array(point.slice()); off[70] ^= 1;
        return [await subtle.verify(ecdsa, pub, signature, text), await subtle.verify(ecdsa, pub,
            await subtle.sign(ecdsa, priv, text), text), await subtle.verify(ecdsa, pub, signature.slice(1), text),
            hex(await subtle.sign("Ed25519", ed, bytes(""))).slice(0, 32),
                hex(await subtle.deriveBits({ name: "X25519", public: peer }, x, 256)),
            hex(await subtle.deriveBits({ name: "X25519", public: peer }, x, 13)),
                await nameOf(() => subtle.deriveBits({ name: "X25519", public: small }, x, 256)),
            secret === hex(await subtle.deriveBits({ ...curve, public: a.publicKey }, b.privateKey)),
                await nameOf(() => subtle.deriveBits({ ...curve, public: a.publicKey }, b.privateKey, 536)),
            await nameOf(() => subtle.deriveBits({ ...curve, public: peer }, b.privateKey, 8)),
                await nameOf(() => subtle.deriveBits({ ...curve, public: a.privateKey }, b.privateKey, 8)),
            await nameOf(() => subtle.deriveBits(curve, b.privateKey, 8)),
                await nameOf(() => subtle.deriveBits({ ...curve, public: {} }, b.privateKey, 8)),
            await nameOf(() => subtle.importKey("raw", off, curve, true, [])),
                await nameOf(() => subtle.importKey("raw", point.slice(1), curve, true, [])),
                await nameOf(() => subtle.importKey("raw", point, { ...curve, namedCurve: "P-256" }, true, [])),
            await nameOf(() => subtle.importKey("jwk", { ...half, x: half.y }, ecdsa, true, ["verify"])),
                await nameOf(() => subtle.importKey("jwk", { ...es, d: half.x }, ecdsa, true, ["sign"])),
            await nameOf(() => subtle.importKey("jwk", { ...half, crv: "P-384" }, ecdsa, true, ["verify"])),
                await nameOf(() => subtle.generateKey({ ...ecdsa, namedCurve: "P-257" }, true, ["sign"])),
            await nameOf(() => subtle.importKey("raw", new Uint8Array(31), "Ed25519", true, ["verify"])),
                await nameOf(() => subtle.importKey("raw", new Uint8Array(32), "Ed25519", true, ["sign"])),
            await nameOf(() => subtle.exportKey("raw", ed)), (await subtle.exportKey("jwk", ed)).alg,
                (await subtle.exportKey("pkcs8", priv)).byteLength];
        """,
        [True, True, False, "e5564300c360ac729086e2cc806e828a"]
        + ["4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742", "4a58", "OperationError", True,
            "OperationError"]
        + ["InvalidAccessError", "InvalidAccessError", "true TypeError", "true TypeError"]
        + ["DataError"] * 6
        + ["NotSupportedError", "DataError", "SyntaxError", "InvalidAccessError", "Ed25519", 138],
    ),
    "extras": (
        """
        const stream = new crypto.DigestStream("SHA-256");
        const writer = stream.getWriter();
        await writer.write(utf8("a")); await writer.write("b"); await writer.write(utf8("c").buffer);
            await writer.close();
        const bad = new crypto.DigestStream({ name: "SHA-1" }), aborted = new crypto.DigestStream("SHA-512");
        const failed = await nameOf(() => bad.getWriter().write(1));
        await aborted.abort(new RangeError("enough"));
        new Response("abc").body.pipeTo(new crypto.DigestStream("SHA-1"));
        const piped = new crypto.DigestStream("SHA-1");
        await new Response("abc").body.pipeTo(piped);
        return [hex(await stream.digest).slice(0, 16), String(stream.bytesWritten), failed,
            await nameOf(() => bad.digest), await nameOf(() => aborted.digest),
            hex(await piped.digest).slice(0, 16), await nameOf(() => new crypto.DigestStream("MD5")),
                stream instanceof WritableStream,
            subtle.timingSafeEqual(utf8("abc"), utf8("abc").buffer), subtle.timingSafeEqual(utf8("abc"), utf8("abd")),
            await nameOf(() => subtle.timingSafeEqual(utf8("abc"), utf8("ab"))),
                await nameOf(() => subtle.timingSafeEqual("abc", "abc")),
            new QuotaExceededError("x", { quota: 1, requested: 2 }).code,
                new QuotaExceededError() instanceof DOMException];
        """,
        ["ba7816bf8f01cfea", "3", "true TypeError", "true TypeError", "true RangeError"]
        + ["a9993e364706816a", "NotSupportedError", True, True, False]
        + ["true TypeError", "true TypeError", 22, True],
    ),
    "keys_are_objects": (
        """
        const key = await subtle.generateKey({ name: "HMAC", hash: "SHA-1" }, true, ["sign"]);
        const { copy, same } = structuredClone({ copy: key, same: [key] });
        key.algorithm.name = "other"; key.usages.push("verify");
        return [copy !== key, copy === same[0], copy instanceof CryptoKey, copy.type, copy.algorithm, copy.usages,
            copy.extractable,
            hex(await subtle.sign("HMAC", key, utf8("a"))) === hex(await subtle.sign("HMAC", copy, utf8("a"))),
            String(copy), Object.keys(copy), key.usages, await nameOf(() => subtle.verify("HMAC", key,
                new Uint8Array(20), utf8("a"))),
            await nameOf(() => new CryptoKey()), await nameOf(() => new Crypto()),
                await nameOf(() => new SubtleCrypto()),
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


# Uses of CPU time, each with the answer or the code of its end.
BUDGETS = {
    # Refused, because it is known beforehand what it takes.
    "rounds": (
        """
        const key = await subtle.importKey("raw", utf8("a"), "PBKDF2", false, ["deriveBits"]);
        return nameOf(() => subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt: utf8("a"), iterations: 1e9 },
            key, 256));
        """,
        "OperationError",
    ),
    "large_rsa": (
        """
        const how = { name: "RSA-PSS", hash: "SHA-256", modulusLength: 16384, publicExponent: bytes("010001") };
        return nameOf(() => subtle.generateKey(how, true, ["sign"]));
        """,
        "OperationError",
    ),
    # Stopped, in whichever operation that is.
    "many_rounds": (
        """
        const key = await subtle.importKey("raw", utf8("a"), "PBKDF2", false, ["deriveBits"]);
        for (;;) await subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt: utf8("a"), iterations: 20000 },
            key, 256)
            .catch(() => {});
        """,
        "cpu_request",
    ),
    "many_rsa": (
        """
        const how = { name: "RSA-PSS", hash: "SHA-256", modulusLength: 1024, publicExponent: bytes("010001") };
        for (;;) await subtle.generateKey(how, true, ["sign"]).catch(() => {});
        """,
        "cpu_request",
    ),
    "digest": (
        "const data = new Uint8Array(2 ** 23); for (;;) await subtle.digest('SHA3-512', data);",
        "cpu_request",
    ),
}

# Each holds on to what it makes.
HOLDERS = {
    "aes": "for (;;) kept.push(await subtle.generateKey({ name: 'AES-GCM', length: 128 }, true, ['encrypt']));",
    "large": "const raw = new Uint8Array(65536); for (;;) kept.push(await subtle.importKey('raw', raw, { name: 'HMAC', hash: 'SHA-1' }, true, ['sign']));",
    "curves": "for (;;) kept.push(await subtle.generateKey('Ed25519', true, ['sign']));",
    "digests": "for (;;) kept.push(new crypto.DigestStream('SHA-512'));",
}


def crypto_tenant(body, **limits):
    module = HELPERS + script(f"return Response.json(await (async () => {{ {body} }})())")
    return {"limits": limits, "files": {"worker.js": module}}


@pytest.fixture(scope="module")
def hive():
    tenants = {name.replace("_", "-"): crypto_tenant(source, cpu_ms=2000) for name, (source, _) in CASES.items()}
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
    """A worker that makes such a call dies of it; one worker serves all cases."""
    for name in CASES:
        assert hive.get(name.replace("_", "-")).status == 200
    assert hive.worker()["restarts"] == 0


def test_nothing_that_a_tenant_has_replaced_is_called():
    """All that the layer could look up notes who calls it, from before crypto is first looked at."""
    source = (pathlib.Path(__file__).parent / "web_crypto_hardened.js").read_text()
    tenant = {"limits": {"cpu_ms": 5000}, "files": {"worker.js": source}}
    with tempfile.TemporaryDirectory(prefix="skep-") as path:
        skepd = Skepd(pathlib.Path(path), {"hardened": tenant}).start()
        try:
            answer = skepd.get("hardened")
            assert (answer.status, answer.text) == (200, "")
        finally:
            skepd.stop()


def test_operations_keep_to_the_cpu_budget_and_a_neighbour_is_served_meanwhile():
    tenants = {
        f"budget-{name.replace('_', '-')}": crypto_tenant(source, cpu_ms=200)
        for name, (source, _) in BUDGETS.items()
    }
    with tempfile.TemporaryDirectory(prefix="skep-") as path:
        skepd = Skepd(pathlib.Path(path), {**tenants, "hello": script("return new Response('hi')")},
            {"cordons": [cordon()]})
        skepd.start()
        try:
            with Loader(skepd, "hello") as neighbour:
                for name, (_, expected) in BUDGETS.items():
                    answer = skepd.get(f"budget-{name.replace('_', '-')}")
                    assert expected == (answer.code or answer.json()), (name, answer)
                    neighbour.more(1)
            assert not neighbour.wrong
            assert all(tenant["kills"] == 0 for tenant in skepd.admin("tenants")["tenants"])
            for name, (_, expected) in BUDGETS.items():
                if expected != "cpu_request":
                    assert skepd.tenant(f"budget-{name.replace('_', '-')}")["cpu_ms"] < 200
        finally:
            skepd.stop()


def test_keys_are_counted_and_who_holds_too_many_is_named():
    tenants = {
        name: crypto_tenant(f"const kept = []; {body}", cpu_ms=20000, heap_mib=32, external_mib=8)
        for name, body in HOLDERS.items()
    }
    # The memory of keys is garbage like any other.
    tenants["drops"] = crypto_tenant(
        "let n = 0; for (; n < 3000; n++) await subtle.importKey('raw', new Uint8Array(65536), { name: 'HMAC', hash: 'SHA-1' }, true, ['sign']); return n;",
        cpu_ms=20000, heap_mib=32, external_mib=8,
    )
    with tempfile.TemporaryDirectory(prefix="skep-") as path:
        skepd = Skepd(pathlib.Path(path), tenants, {"cordons": [cordon()]}).start()
        try:
            pid = skepd.worker()["pid"]
            for name in HOLDERS:
                answer = skepd.get(name)
                assert (answer.status, answer.code) == (503, "mem_isolate"), (name, answer)
                assert skepd.wait_log(rf"\[{name}\].*mem_isolate")
            assert skepd.get("drops").json() == 3000
            assert skepd.worker()["pid"] == pid
            assert skepd.tenant("drops")["kills"] == 0
        finally:
            skepd.stop()
