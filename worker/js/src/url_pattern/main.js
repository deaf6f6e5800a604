// SPDX-License-Identifier: Apache-2.0
//
// URLPattern (URL Pattern standard): evaluated when a tenant first looks at it. provide(): build.mjs.
import {
    ObjectDefineProperty, RegExpPrototypeExec, TypeError, isObject, newList,
} from "../primordials.js";
import { urlLibrary } from "../url.js";
import { defineInterface, toDictionary, toUSVString } from "../webidl.js";
import {
    domainOf, hashOf, hostnameOf, ipv6Of, opaquePathOf, passwordOf, pathnameOf, portOf, protocolOf, searchOf, usernameOf,
} from "./canonical.js";
import { parseConstructorString } from "./constructor_string.js";
import { partsOf, processInit, toInit } from "./init.js";
import {
    compile, defaultOptions, hostnameOptions, isSpecialScheme, matchesSpecialScheme, pathnameOptions,
} from "./parts.js";

const { parse } = urlLibrary();
const COMPONENTS = ["protocol", "username", "password", "hostname", "port", "pathname", "search", "hash"];
const DEFAULT_PORTS = { __proto__: null, http: "80", https: "443", ws: "80", wss: "443", ftp: "21" };

const isIPv6 = (pattern) => pattern[0] === "[" || ((pattern[0] === "{" || pattern[0] === "\\") && pattern[1] === "[");

// Compiles the components of a processed URLPatternInit.
function compileAll(parts, ignoreCase) {
    const components = { __proto__: null };
    for (let i = 0; i < COMPONENTS.length; i++) {
        parts[COMPONENTS[i]] ??= "*";
    }
    if (isSpecialScheme(parts.protocol) && DEFAULT_PORTS[parts.protocol] === parts.port) {
        parts.port = "";
    }
    components.protocol = compile(parts.protocol, protocolOf, defaultOptions);
    const isSpecial = matchesSpecialScheme(components.protocol);
    components.username = compile(parts.username, usernameOf, defaultOptions);
    components.password = compile(parts.password, passwordOf, defaultOptions);
    components.hostname = compile(parts.hostname,
        isIPv6(parts.hostname) ? ipv6Of : isSpecial ? domainOf : hostnameOf, hostnameOptions);
    components.port = compile(parts.port, (value) => portOf(value), defaultOptions);
    components.pathname = isSpecial ? compile(parts.pathname, pathnameOf, pathnameOptions, ignoreCase) :
        compile(parts.pathname, opaquePathOf, defaultOptions, ignoreCase);
    components.search = compile(parts.search, searchOf, defaultOptions, ignoreCase);
    components.hash = compile(parts.hash, hashOf, defaultOptions, ignoreCase);
    return components;
}

// Converts a URLPatternInput: a text, or a dictionary.
const toInput = (value) => (value === undefined || isObject(value) || value === null ? toInit(value) : toUSVString(value));

const emptyParts = () => ({
    __proto__: null, protocol: "", username: "", password: "", hostname: "", port: "", pathname: "", search: "", hash: "",
});

// Returns the components of a URL to be matched; undefined if it is none.
function partsToMatch(input, base) {
    if (typeof input !== "string") {
        if (base !== undefined) {
            throw new TypeError("URLPattern: a base URL is for a URL that is a text");
        }
        try {
            return processInit(input, false, emptyParts());
        } catch {
            return undefined;
        }
    }
    const record = parse(input, base);
    return record === null ? undefined : partsOf(record);
}

// An object of the tenant's own, whose members no setter of Object.prototype sees.
function put(object, name, value) {
    ObjectDefineProperty(object, name, { __proto__: null, value, writable: true, enumerable: true, configurable: true });
}

function shownInput(input) {
    if (typeof input === "string") {
        return input;
    }
    const shown = {};
    for (const name in input) {
        put(shown, name, input[name]);
    }
    return shown;
}

function componentResult(component, input, match) {
    const groups = {};
    for (let i = 1; i < match.length; i++) {
        put(groups, component.names[i - 1], match[i]);
    }
    const result = {};
    put(result, "input", input);
    put(result, "groups", groups);
    return result;
}

// With two arguments the second one is a base URL, unless it could be a dictionary.
function optionsOf(count, second, third) {
    const isBase = count > 2 || (second !== undefined && !isObject(second) && second !== null);
    const base = isBase ? toUSVString(second) : undefined;
    const options = toDictionary(isBase ? third : second, "URLPattern");
    return { __proto__: null, base, ignoreCase: options !== undefined && !!options.ignoreCase };
}

const URLPattern = class {
    #components;

    constructor(input = undefined, baseURL = undefined, options = undefined) {
        let init = toInput(input);
        const { base, ignoreCase } = optionsOf(arguments.length, baseURL, options);
        if (typeof init !== "string") {
            if (base !== undefined) {
                throw new TypeError("URLPattern: a base URL is for a pattern that is a text");
            }
        } else {
            init = parseConstructorString(init);
            if (base !== undefined) {
                init.baseURL = base;
            } else if (init.protocol === undefined) {
                throw new TypeError("URLPattern: a relative pattern needs a base URL");
            }
        }
        this.#components = compileAll(processInit(init, true, { __proto__: null }), ignoreCase);
    }

    test(input = undefined, baseURL = undefined) {
        const components = this.#components;
        const url = toInput(input);
        const parts = partsToMatch(url, baseURL === undefined ? undefined : toUSVString(baseURL));
        if (parts === undefined) {
            return false;
        }
        for (let i = 0; i < COMPONENTS.length; i++) {
            if (RegExpPrototypeExec(components[COMPONENTS[i]].regexp, parts[COMPONENTS[i]]) === null) {
                return false;
            }
        }
        return true;
    }

    exec(input = undefined, baseURL = undefined) {
        const components = this.#components;
        const url = toInput(input);
        const base = baseURL === undefined ? undefined : toUSVString(baseURL);
        const parts = partsToMatch(url, base);
        if (parts === undefined) {
            return null;
        }
        const matches = newList();
        for (let i = 0; i < COMPONENTS.length; i++) {
            matches[i] = RegExpPrototypeExec(components[COMPONENTS[i]].regexp, parts[COMPONENTS[i]]);
            if (matches[i] === null) {
                return null;
            }
        }
        const result = {};
        put(result, "inputs", base === undefined ? [shownInput(url)] : [shownInput(url), base]);
        for (let i = 0; i < COMPONENTS.length; i++) {
            const name = COMPONENTS[i];
            put(result, name, componentResult(components[name], parts[name], matches[i]));
        }
        return result;
    }

    get protocol() {
        return this.#components.protocol.text;
    }
    get username() {
        return this.#components.username.text;
    }
    get password() {
        return this.#components.password.text;
    }
    get hostname() {
        return this.#components.hostname.text;
    }
    get port() {
        return this.#components.port.text;
    }
    get pathname() {
        return this.#components.pathname.text;
    }
    get search() {
        return this.#components.search.text;
    }
    get hash() {
        return this.#components.hash.text;
    }
    get hasRegExpGroups() {
        for (let i = 0; i < COMPONENTS.length; i++) {
            if (this.#components[COMPONENTS[i]].hasRegExp) {
                return true;
            }
        }
        return false;
    }
};
defineInterface(URLPattern, "URLPattern");

provide({ __proto__: null, URLPattern });
