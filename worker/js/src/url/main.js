// SPDX-License-Identifier: Apache-2.0
//
// URL (URL standard). Evaluated when somebody first needs it or URLSearchParams. provide(): build.mjs.
import { objectUrlFunctions } from "../object_url.js";
import { ObjectDefineProperty, StringPrototypeSlice, TypeError } from "../primordials.js";
import {
    HASH, HOST, HOSTNAME, PASSWORD, PATHNAME, PORT, PROTOCOL, SEARCH, USERNAME, change, hasOpaquePath, hashOf, hostOf, hostnameOf, parse,
    parseForm, passwordOf, pathOf, portOf, queryOf, schemeOf, urlOpaquePath, usernameOf,
} from "./record.js";
import { defineInterface, requireArguments, toText, toUSVString } from "../webidl.js";
import { URLSearchParams, makeParams, resetParams, searchParamsText } from "./search_params.js";

const internal = {};

const shown = (text) => StringPrototypeSlice(text, 0, 1000);

function parseOrThrow(text, base) {
    const record = parse(text, base);
    if (record === null) {
        throw new TypeError(base !== undefined && parse(base) === null ? `Invalid base URL: ${shown(base)}` :
            `Invalid URL: ${shown(text)}`);
    }
    return record;
}

function originOf(record) {
    const scheme = schemeOf(record);
    switch (scheme) {
        case "http": case "https": case "ws": case "wss": case "ftp":
            return `${scheme}://${hostOf(record)}`;
        case "blob": {
            const inner = parse(pathOf(record));
            const innerScheme = inner === null ? "" : schemeOf(inner);
            return innerScheme === "http" || innerScheme === "https" ? originOf(inner) : "null";
        }
        default:
            return "null";
    }
}

const without = (text, prefix) => (text[0] === prefix ? StringPrototypeSlice(text, 1) : text);

class URL {
    #record;
    #params; // once it was asked for

    constructor(url, base = undefined) {
        if (url === internal) {
            this.#record = base;
            return;
        }
        requireArguments(arguments.length, 1, "URL");
        url = toText(url); // the parser replaces lone surrogates
        this.#record = parseOrThrow(url, base === undefined ? undefined : toText(base));
    }

    static parse(url, base = undefined) {
        requireArguments(arguments.length, 1, "URL.parse");
        url = toText(url);
        const record = parse(url, base === undefined ? undefined : toText(base));
        return record === null ? null : new Self(internal, record);
    }

    static canParse(url, base = undefined) {
        requireArguments(arguments.length, 1, "URL.canParse");
        url = toText(url);
        return parse(url, base === undefined ? undefined : toText(base)) !== null;
    }

    #change(component, value) {
        this.#record = change(this.#record, component, value) ?? this.#record;
    }

    // The query changes, and the parameters with it.
    #changeSearch(text) {
        this.#change(SEARCH, text);
        if (this.#params !== undefined) {
            resetParams(this.#params, text ?? "");
        }
    }

    get href() {
        return this.#record.href;
    }
    set href(value) {
        this.#record; // throws before the value is looked at
        this.#record = parseOrThrow(toUSVString(value), undefined);
        if (this.#params !== undefined) {
            resetParams(this.#params, queryOf(this.#record));
        }
    }
    get origin() {
        return originOf(this.#record);
    }
    get protocol() {
        return StringPrototypeSlice(this.#record.href, 0, this.#record.protocolEnd);
    }
    set protocol(value) {
        this.#change(PROTOCOL, toUSVString(value));
    }
    get username() {
        return usernameOf(this.#record);
    }
    set username(value) {
        this.#change(USERNAME, toUSVString(value));
    }
    get password() {
        return passwordOf(this.#record);
    }
    set password(value) {
        this.#change(PASSWORD, toUSVString(value));
    }
    get host() {
        return hostOf(this.#record);
    }
    set host(value) {
        this.#change(HOST, toUSVString(value));
    }
    get hostname() {
        return hostnameOf(this.#record);
    }
    set hostname(value) {
        this.#change(HOSTNAME, toUSVString(value));
    }
    get port() {
        return portOf(this.#record);
    }
    set port(value) {
        this.#record;
        value = toUSVString(value);
        this.#change(PORT, value === "" ? undefined : value);
    }
    get pathname() {
        return pathOf(this.#record);
    }
    set pathname(value) {
        this.#change(PATHNAME, toUSVString(value));
    }
    get search() {
        const query = queryOf(this.#record);
        return query === "" ? "" : `?${query}`;
    }
    set search(value) {
        this.#record;
        value = toUSVString(value);
        this.#changeSearch(value === "" ? undefined : without(value, "?"));
    }
    get searchParams() {
        return this.#params ??= makeParams(queryOf(this.#record), (text) => this.#change(SEARCH, text === "" ? undefined : text));
    }
    get hash() {
        const hash = hashOf(this.#record);
        return hash === "" ? "" : `#${hash}`;
    }
    set hash(value) {
        this.#record;
        value = toUSVString(value);
        this.#change(HASH, value === "" ? undefined : without(value, "#"));
    }

    toJSON() {
        return this.#record.href;
    }
    toString() {
        return this.#record.href;
    }
}
const Self = URL; // a class that names itself gets another name from esbuild
defineInterface(URL, "URL");
for (let i = 0; i < objectUrlFunctions.length; i++) {
    ObjectDefineProperty(URL, objectUrlFunctions[i].name, {
        __proto__: null, value: objectUrlFunctions[i], writable: true, enumerable: true, configurable: true,
    });
}

provide({
    __proto__: null, HASH, HOSTNAME, PASSWORD, PATHNAME, PORT, SEARCH, URL, URLSearchParams, USERNAME, change, hasOpaquePath, hashOf, hostnameOf, parse, parseForm, passwordOf, pathOf, portOf, queryOf,
    schemeOf, searchParamsText, urlOpaquePath, usernameOf,
});
