// SPDX-License-Identifier: Apache-2.0
//
// env.NAME of a binding to a namespace of key-value pairs: the methods, checks and texts of Cloudflare's KvNamespace.
import { dropBytes, head, nativeCopyBytes, utf8Decode, utf8Encode } from "../native.js";
import {
    ArrayIsArray, ArrayPrototypeSlice, DateNow, Error, JSONParse, JSONStringify, Map, MapPrototypeSet, MathCeil, MathFloor, MathTrunc, NumberIsFinite,
    StringPrototypeToWellFormed, Symbol, TypeError, TypedArrayPrototypeGetBuffer, TypedArrayPrototypeGetByteLength, bytesOf, isObject, newList,
} from "../primordials.js";
import { waitFor, withoutPlace } from "../place.js";
import { isDisturbed, isLocked, isReadableStream } from "../streams.js";
import { defineInterface, isBufferSource, requireArguments, toDOMString, toDictionary, toNumber, toText } from "../webidl.js";
import { converted, isOk, operate, textOf } from "./operation.js";
import { INTEGER, NULL, Packer, TEXT, Unpacker } from "./values.js";

const internal = Symbol("internal");

const KEY_MAX = 512;
const METADATA_MAX = 1024;
const MANY_MAX = 100;
const LIST_MAX = 1000;
const TTL_MIN = 60; // seconds
const CACHE_TTL_MIN = 30;
const VALUES_MAX = 2 ** 20;

const SHOWN_MAX = 100; // units of a text in a message

const NOT_FOUND = 404;

const failed = (method, status, text) => withoutPlace(new Error(`KV ${method} failed: ${status} ${text}`));
const newPacker = (method) => new Packer(VALUES_MAX, () => failed(method, 413, "The arguments are longer than 1 MiB."));

// ---- arguments

// Returns a key or a prefix as its bytes.
function toName(value, what) {
    const name = toText(value);
    if (StringPrototypeToWellFormed(name) !== name) {
        throw new TypeError(`${what} has a surrogate without its other half, which UTF-8 cannot have.`);
    }
    return utf8Encode(name);
}

// isOne: false: the key is one of several, for which Cloudflare has other texts
function toKey(value, method, isOne = true) {
    const name = toText(value);
    if (name === "") {
        throw isOne ? new TypeError("Key name cannot be empty.") : failed(method, 400, "Key names must not be empty");
    }
    if (name === "." || name === "..") {
        throw isOne ? new TypeError(`"${name}" is not allowed as a key name.`) :
            failed(method, 400, `Illegal key name "${name}". Please use a different name.`);
    }
    const bytes = toName(name, "Key name");
    const length = TypedArrayPrototypeGetByteLength(bytes);
    if (length > KEY_MAX) {
        throw failed(method, 414, `UTF-8 encoded length of ${length} exceeds key length limit of ${KEY_MAX}.`);
    }
    return bytes;
}

// Returns an integer, 0 for NaN; undefined if there is none.
function toInteger(value) {
    if (value === undefined || value === null) {
        return undefined;
    }
    const number = MathTrunc(toNumber(value));
    return NumberIsFinite(number) ? number + 0 : 0;
}

const TYPES = { __proto__: null, text: true, json: true, arrayBuffer: true, stream: true };

// Returns the type of the values that a get is to give. options: a type, or { type, cacheTtl }
function toType(options, method) {
    let type = options;
    if (isObject(options)) {
        ({ type } = options);
        const ttl = toInteger(options.cacheTtl);
        if (ttl !== undefined && ttl < CACHE_TTL_MIN) {
            throw failed(method, 400, `Invalid cache_ttl of ${ttl}. Cache TTL must be at least ${CACHE_TTL_MIN}.`);
        }
    }
    return type === undefined || type === null ? "text" : toText(type);
}

function toOneType(options) {
    const type = toType(options, "GET");
    if (TYPES[type] === undefined) {
        throw new TypeError('Unknown response type. Possible types are "text", "arrayBuffer", "json", and "stream".');
    }
    return type;
}

function toManyType(options) {
    const type = toType(options, "GET_BULK");
    if (type !== "text" && type !== "json") {
        throw failed("GET_BULK", 400, `"${head(type, SHOWN_MAX)}" is not a valid type. Use "json" or "text"`);
    }
    return type;
}

// Returns the texts of the keys of an array.
function toKeys(array) {
    const { length } = array;
    if (length > MANY_MAX) {
        throw failed("GET_BULK", 400, `You can request a maximum of ${MANY_MAX} keys`);
    }
    if (length === 0) {
        throw failed("GET_BULK", 400, "You must request a minimum of 1 key");
    }
    const keys = newList();
    for (let i = 0; i < length; i++) {
        keys[i] = toText(array[i]);
    }
    return keys;
}

function toMetadata(value) {
    if (value === undefined || value === null) {
        return undefined;
    }
    const json = JSONStringify(value);
    if (json === undefined) {
        throw new TypeError(`KV put(): metadata is a ${typeof value}, which JSON does not have.`);
    }
    const size = json.length > METADATA_MAX ? json.length : TypedArrayPrototypeGetByteLength(utf8Encode(json));
    if (size > METADATA_MAX) {
        throw failed("PUT", 413, `Metadata length of ${size} exceeds limit of ${METADATA_MAX}.`);
    }
    return json;
}

// Returns the second since 1970 from which on the key is not there; undefined: it stays.
function toExpiration(options) {
    const ttl = toInteger(options?.expirationTtl);
    const expiration = toInteger(options?.expiration);
    const now = DateNow() / 1000;
    if (ttl !== undefined) {
        if (ttl <= 0) {
            throw failed("PUT", 400, `Invalid expiration_ttl of ${ttl}. Please specify integer greater than 0.`);
        }
        if (ttl < TTL_MIN) {
            throw failed("PUT", 400, `Invalid expiration_ttl of ${ttl}. Expiration TTL must be at least ${TTL_MIN}.`);
        }
        return MathCeil(now) + ttl;
    }
    if (expiration !== undefined && expiration <= now) {
        throw failed("PUT", 400,
            `Invalid expiration of ${expiration}. Please specify integer greater than the current number of seconds since the UNIX epoch.`);
    }
    if (expiration !== undefined && expiration < MathFloor(now) + TTL_MIN) {
        throw failed("PUT", 400, `Invalid expiration of ${expiration}. Expiration times must be at least ${TTL_MIN} seconds in the future.`);
    }
    return expiration;
}

// Returns { bytes, stream }, of which one is there.
function toStored(value) {
    if (!isObject(value)) {
        return { __proto__: null, bytes: utf8Encode(toDOMString(value)), isOwn: true, stream: undefined };
    }
    if (isReadableStream(value)) {
        if (isDisturbed(value) || isLocked(value)) {
            throw new TypeError("KV put(): the stream is locked or was read before.");
        }
        return { __proto__: null, bytes: undefined, isOwn: false, stream: value };
    }
    if (!isBufferSource(value)) {
        throw new TypeError("KV put() accepts only strings, ArrayBuffers, ArrayBufferViews, and ReadableStreams as values.");
    }
    return { __proto__: null, bytes: bytesOf(value), isOwn: false, stream: undefined };
}

// ---- answers

// The text of a value. whole: the answer that has it, to which nothing else refers
function toValueText(values, whole) {
    const text = utf8Decode(values.rest, false);
    dropBytes(whole);
    return text;
}

function toValue(type, values, answer) {
    switch (type) {
    case "stream":
        return answer.stream;
    case "arrayBuffer": {
        const copy = nativeCopyBytes(values.rest);
        dropBytes(answer.bytes);
        return TypedArrayPrototypeGetBuffer(copy);
    }
    case "json":
        return JSONParse(toValueText(values, answer.bytes));
    default:
        return toValueText(values, answer.bytes);
    }
}

const toParsed = (json) => (json === null ? null : JSONParse(json));

// Returns the values of an answer, or throws what it says.
function open(answer, method) {
    if (!isOk(answer)) {
        throw failed(method, answer.status, textOf(answer));
    }
    return new Unpacker(answer.bytes);
}

function toOne(answer, type, hasMetadata) {
    if (answer.status === NOT_FOUND) {
        return hasMetadata ? { value: null, metadata: null, cacheStatus: null } : null;
    }
    const values = open(answer, "GET");
    values.integer(); // the size
    const metadata = values.text(true);
    if (!hasMetadata) {
        return toValue(type, values, answer);
    }
    return { value: toValue(type, values, answer), metadata: toParsed(metadata), cacheStatus: null };
}

function toManyValue(bytes, type) {
    const text = utf8Decode(bytes, false);
    if (type === "text") {
        return text;
    }
    try {
        return JSONParse(text);
    } catch {
        throw failed("GET_BULK", 400, "At least one of the requested keys corresponds to a non-JSON value");
    }
}

function toMap(answer, keys, type, hasMetadata) {
    const values = open(answer, "GET_BULK");
    const map = new Map();
    for (let i = 0; i < keys.length; i++) {
        const bytes = values.bytes();
        let found = null;
        if (bytes !== null) {
            const value = toManyValue(bytes, type);
            const metadata = values.text(true);
            values.integer(true); // the expiration
            found = hasMetadata ? { value, metadata: toParsed(metadata), cacheStatus: null } : value;
        }
        MapPrototypeSet(map, keys[i], found);
    }
    return map;
}

function toListed(name, expiration, metadata) {
    if (metadata === null) {
        return expiration === null ? { name } : { name, expiration };
    }
    return expiration === null ? { name, metadata: JSONParse(metadata) } : { name, expiration, metadata: JSONParse(metadata) };
}

function toList(answer) {
    const values = open(answer, "GET");
    const isComplete = values.integer() !== 0;
    const cursor = values.text(true);
    const list = newList();
    while (!values.isDone) {
        const name = values.text();
        const expiration = values.integer(true);
        list[list.length] = toListed(name, expiration, values.text(true));
    }
    const keys = ArrayPrototypeSlice(list);
    return isComplete || cursor === null ? { keys, list_complete: isComplete, cacheStatus: null } :
        { keys, list_complete: false, cursor, cacheStatus: null };
}

// ---- operations

// An operation that is to be made: method, of its errors; name and body; convert, of its answer.
const prepared = (method, name, bytes, convert) => ({ __proto__: null, method, name, bytes, convert, isStreamed: false, stream: undefined });

function prepareOne(key, options, hasMetadata) {
    const packer = newPacker("GET");
    packer.add(TEXT, toKey(key, "GET"));
    const type = toOneType(options);
    const made = prepared("GET", "get", packer.finish(), (answer) => toOne(answer, type, hasMetadata));
    made.isStreamed = type === "stream";
    return made;
}

function prepareMany(array, options, hasMetadata) {
    const keys = toKeys(array);
    const type = toManyType(options);
    const packer = newPacker("GET_BULK");
    for (let i = 0; i < keys.length; i++) {
        packer.add(TEXT, toKey(keys[i], "GET_BULK", false));
    }
    return prepared("GET_BULK", "get-many", packer.finish(), (answer) => toMap(answer, keys, type, hasMetadata));
}

const prepareGet = (key, options, hasMetadata) =>
    (ArrayIsArray(key) ? prepareMany(key, options, hasMetadata) : prepareOne(key, options, hasMetadata));

function preparePut(key, value, given) {
    const packer = newPacker("PUT");
    packer.add(TEXT, toKey(key, "PUT"));
    const options = toDictionary(given, "KV put()");
    const expiration = toExpiration(options);
    packer.add(expiration === undefined ? NULL : INTEGER, expiration);
    const metadata = toMetadata(options?.metadata);
    packer.add(metadata === undefined ? NULL : TEXT, metadata);
    const stored = toStored(value);
    const bytes = packer.finish(stored.bytes);
    if (stored.isOwn) {
        dropBytes(stored.bytes);
    }
    const made = prepared("PUT", "put", bytes, (answer) => {
        open(answer, "PUT");
    });
    made.stream = stored.stream;
    return made;
}

function prepareDelete(key) {
    const packer = newPacker("DELETE");
    packer.add(TEXT, toKey(key, "DELETE"));
    return prepared("DELETE", "delete", packer.finish(), (answer) => {
        open(answer, "DELETE");
    });
}

function prepareList(given) {
    const options = toDictionary(given, "KV list()");
    const packer = newPacker("GET");
    const prefix = options?.prefix;
    packer.add(TEXT, prefix === undefined || prefix === null ? "" : toName(prefix, "The prefix"));
    const limit = toInteger(options?.limit) ?? LIST_MAX;
    if (limit > LIST_MAX) {
        throw failed("GET", 400, `Invalid key_count_limit of ${limit}. Please specify an integer less than ${LIST_MAX}.`);
    }
    packer.add(INTEGER, limit > 0 ? limit : LIST_MAX);
    const cursor = options?.cursor;
    const isFirst = cursor === undefined || cursor === null || cursor === "";
    packer.add(isFirst ? NULL : TEXT, isFirst ? undefined : toText(cursor));
    return prepared("GET", "list", packer.finish(), toList);
}

// Returns a promise of the result. bindingOf() is a brand check.
const operated = (bindingOf, prepare) => waitFor((take, fail) => {
    const binding = bindingOf();
    const { bytes, convert, isStreamed, method, name, stream } = prepare();
    operate({
        __proto__: null, title: `KV ${method}`, failedBy: (text) => new Error(`KV ${method} failed: ${text}`),
        binding, name, bytes, stream, isStreamed,
    }, converted(take, convert), fail);
});

const KvNamespace = class {
    #binding;

    constructor(token, binding) {
        if (token !== internal) {
            throw new TypeError("KvNamespace: Illegal constructor");
        }
        this.#binding = binding;
    }

    get(key, options = undefined) {
        return operated(() => this.#binding, () => {
            requireArguments(arguments.length, 1, "KvNamespace.get");
            return prepareGet(key, options, false);
        });
    }

    getWithMetadata(key, options = undefined) {
        return operated(() => this.#binding, () => {
            requireArguments(arguments.length, 1, "KvNamespace.getWithMetadata");
            return prepareGet(key, options, true);
        });
    }

    put(key, value, options = undefined) {
        return operated(() => this.#binding, () => {
            requireArguments(arguments.length, 2, "KvNamespace.put");
            return preparePut(key, value, options);
        });
    }

    delete(key) {
        return operated(() => this.#binding, () => {
            requireArguments(arguments.length, 1, "KvNamespace.delete");
            return prepareDelete(key);
        });
    }

    list(options = undefined) {
        return operated(() => this.#binding, () => prepareList(options));
    }
};
defineInterface(KvNamespace, "KvNamespace");

export const makeKv = (binding) => new KvNamespace(internal, binding);
