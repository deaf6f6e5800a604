// Everything that the layer could look up is replaced by something that notes the call, before crypto is first looked at.
const { apply, construct, defineProperty, getOwnPropertyDescriptor, getPrototypeOf, ownKeys, setPrototypeOf } = Reflect;
const notes = [], failed = [];
setPrototypeOf(notes, null);
setPrototypeOf(failed, null);
let step = "load";
const exponent = new Uint8Array([1, 0, 1]);
const note = (title) => { notes[notes.length] = `${step}: ${title}`; };
const replace = (owner, title) => {
    const keys = ownKeys(owner);
    for (let i = 0; i < keys.length; i++) {
        const key = keys[i], name = typeof key === "symbol" ? "@@" : key;
        const d = getOwnPropertyDescriptor(owner, key);
        if (!d.configurable || key === "constructor") continue;
        const spied = (f) => typeof f !== "function" ? f : function () {
            note(`${title}.${name}`);
            return new.target ? construct(f, arguments) : apply(f, this, arguments);
        };
        const copy = { __proto__: null, enumerable: d.enumerable, configurable: true };
        if ("value" in d) { copy.value = spied(d.value); copy.writable = d.writable; }
        else { copy.get = spied(d.get); copy.set = spied(d.set); }
        defineProperty(owner, key, copy);
    }
};
// Members of a dictionary that the tenant has not given may well come from Object.prototype.
const ours = ["get", "set", "value", "writable", "enumerable", "configurable", "type", "extractable", "usages", "0", "1",
    "family", "operations", "convert", "isRequired", "privateKey", "publicKey", "raw", "spki", "pkcs8", "crypto", "next", "done"];
const typedArray = getPrototypeOf(Uint8Array);
const owners = [["Array", Array.prototype], ["String", String.prototype], ["Number", Number.prototype], ["Function", Function.prototype],
    ["Promise", Promise.prototype], ["Uint8Array", Uint8Array.prototype], ["TypedArray", typedArray.prototype],
    ["ArrayBuffer", ArrayBuffer.prototype], ["DataView", DataView.prototype], ["Map", Map.prototype], ["Set", Set.prototype],
    ["WeakMap", WeakMap.prototype], ["RegExp", RegExp.prototype], ["Symbol", Symbol.prototype], ["Error", Error.prototype],
    ["BigInt", BigInt.prototype], ["ArrayIterator", getPrototypeOf([][Symbol.iterator]())],
    ["Iterator", getPrototypeOf(getPrototypeOf([][Symbol.iterator]()))], ["static TypedArray", typedArray],
    ["static Object", Object], ["static Reflect", Reflect], ["static Promise", Promise], ["static Array", Array],
    ["static ArrayBuffer", ArrayBuffer], ["static JSON", JSON], ["static Math", Math], ["static Symbol", Symbol],
    ["static Number", Number], ["static String", String], ["static Error", Error], ["DOMException", DOMException.prototype],
    ["WritableStream", WritableStream.prototype]];
for (let i = 0; i < owners.length; i++) replace(owners[i][1], owners[i][0]);
for (let i = 0; i < ours.length; i++)
    defineProperty(Object.prototype, ours[i], {
        __proto__: null, configurable: true,
        get() { note(`get ${ours[i]}`); },
        set(value) { note(`set ${ours[i]}`); defineProperty(this, ours[i], { __proto__: null, value, writable: true, enumerable: true, configurable: true }); },
    });

// A list whose iterator is its own.
const list = (...items) => {
    let at = 0;
    return { __proto__: null, [Symbol.iterator]: () => ({ __proto__: null, next: () => at < items.length ?
            { __proto__: null, done: false, value: items[at++] } : { __proto__: null, done: true } }) };
};
const bare = (object) => ({ __proto__: null, ...object });
const data = new Uint8Array(20), iv = new Uint8Array(16);
const hmac = bare({ name: "HMAC", hash: "SHA-256" }), gcm = bare({ name: "AES-GCM", iv }), aes = bare({ name: "AES-GCM", length: 128 });
const ecdsa = bare({ name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" }), ecdh = bare({ name: "ECDH", namedCurve: "P-256" });
const rsa = bare({ name: "RSA-OAEP", hash: "SHA-256", modulusLength: 1024, publicExponent: exponent });
let key, other, pair, bytes, jwk, subtle;
const steps = {
    __proto__: null,
    random: () => crypto.getRandomValues(data),
    uuid: () => crypto.randomUUID(),
    subtle: () => { subtle = crypto.subtle; },
    digest: () => subtle.digest("SHA-256", data),
    none: async () => { try { await subtle.digest("none", data); } catch {} },
    generate: async () => { key = await subtle.generateKey(hmac, true, list("sign", "verify")); },
    sign: async () => { bytes = await subtle.sign("HMAC", key, data); },
    verify: () => subtle.verify("HMAC", key, bytes, data),
    exportJwk: async () => { jwk = await subtle.exportKey("jwk", key); },
    importJwk: () => subtle.importKey("jwk", bare({ kty: "oct", k: jwk.k }), hmac, true, list("sign")),
    clone: () => { const copy = structuredClone(key); return copy.algorithm.name + copy.usages[0] + copy.type + copy.extractable; },
    aes: async () => { other = await subtle.generateKey(aes, true, list("encrypt", "wrapKey", "unwrapKey")); },
    encrypt: async () => { bytes = await subtle.encrypt(gcm, other, data); },
    wrap: async () => { bytes = await subtle.wrapKey("jwk", key, other, gcm); },
    unwrap: () => subtle.unwrapKey("jwk", bytes, other, gcm, hmac, true, list("sign")),
    curve: async () => { pair = await subtle.generateKey(ecdsa, true, list("sign", "verify")); },
    curveSign: async () => { bytes = await subtle.sign(ecdsa, pair.privateKey, data); },
    curveVerify: () => subtle.verify(ecdsa, pair.publicKey, bytes, data),
    curveJwk: () => subtle.exportKey("jwk", pair.privateKey),
    agree: async () => { pair = await subtle.generateKey(ecdh, true, list("deriveBits", "deriveKey")); },
    derive: () => subtle.deriveKey(bare({ name: "ECDH", public: pair.publicKey }), pair.privateKey, aes, true, list("encrypt")),
    rsa: async () => { pair = await subtle.generateKey(rsa, true, list("encrypt", "decrypt")); },
    rsaJwk: () => subtle.exportKey("jwk", pair.privateKey),
    rsaBytes: async () => { bytes = await subtle.exportKey("spki", pair.publicKey); },
    rsaImport: () => subtle.importKey("spki", bytes, rsa, true, list("encrypt")),
    rsaSeal: () => subtle.encrypt(bare({ name: "RSA-OAEP", label: data }), pair.publicKey, data),
    equal: () => subtle.timingSafeEqual(data, data),
};

export default {
    async fetch() {
        for (const name in steps) {
            step = name;
            try {
                await steps[name]();
            } catch (error) {
                failed[failed.length] = `${name}: ${error.message}`;
            }
            step = "between";
        }
        let text = "";
        for (let i = 0; i < notes.length; i++) text += notes[i] + "\n";
        for (let i = 0; i < failed.length; i++) text += failed[i] + "\n";
        return new Response(text);
    },
};
