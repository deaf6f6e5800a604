// SPDX-License-Identifier: Apache-2.0
//
// URLPatternInit: its conversion from JavaScript, and what a base URL adds to it (URL Pattern, "process a URLPatternInit").
import { StringPrototypeSlice, TypeError } from "../primordials.js";
import { urlLibrary } from "../url.js";
import { toUSVString } from "../webidl.js";
import {
    domainOf, hashOf, hostnameOf, opaquePathOf, passwordOf, pathnameOf, portOf, protocolOf, searchOf, usernameOf,
} from "./canonical.js";
import { escapePattern, isSpecialScheme } from "./parts.js";

const url = urlLibrary();

// Converts the dictionary URLPatternInit; absent members stay undefined.
export function toInit(value) {
    const init = { __proto__: null };
    if (value === undefined || value === null) {
        return init;
    }
    const read = (name) => {
        const given = value[name];
        if (given !== undefined) {
            init[name] = toUSVString(given);
        }
    };
    read("baseURL");
    read("hash");
    read("hostname");
    read("password");
    read("pathname");
    read("port");
    read("protocol");
    read("search");
    read("username");
    return init;
}

// Returns the components of a URL record.
export const partsOf = (record) => ({
    __proto__: null,
    protocol: url.schemeOf(record), username: url.usernameOf(record), password: url.passwordOf(record),
    hostname: url.hostnameOf(record), port: url.portOf(record), pathname: url.pathOf(record), search: url.queryOf(record),
    hash: url.hashOf(record),
});

function isAbsolute(pathname, isPattern) {
    return pathname[0] === "/" ||
        (isPattern && pathname[1] === "/" && (pathname[0] === "\\" || pathname[0] === "{"));
}

function addBase(result, init, base, isPattern) {
    const parts = partsOf(base);
    const take = (name) => {
        result[name] = isPattern ? escapePattern(parts[name]) : parts[name];
    };
    let isFree = init.protocol === undefined;
    if (isFree) {
        take("protocol");
    }
    isFree &&= init.hostname === undefined;
    if (isFree && init.port === undefined && init.username === undefined && !isPattern) {
        take("username");
        if (init.password === undefined) {
            take("password");
        }
    }
    if (isFree) {
        take("hostname");
    }
    isFree &&= init.port === undefined;
    if (isFree) {
        take("port");
    }
    isFree &&= init.pathname === undefined;
    if (isFree) {
        take("pathname");
    }
    isFree &&= init.search === undefined;
    if (isFree) {
        take("search");
    }
    if (isFree && init.hash === undefined) {
        take("hash");
    }
}

function folderOf(base, isPattern) {
    const path = isPattern ? escapePattern(url.pathOf(base)) : url.pathOf(base);
    for (let i = path.length - 1; i >= 0; i--) {
        if (path[i] === "/") {
            return StringPrototypeSlice(path, 0, i + 1);
        }
    }
    return "";
}

const without = (text, prefix) => (text[0] === prefix ? StringPrototypeSlice(text, 1) : text);

function protocolFor(value, isPattern) {
    const end = value.length - 1;
    const protocol = value[end] === ":" ? StringPrototypeSlice(value, 0, end) : value;
    return isPattern ? protocol : protocolOf(protocol);
}

// Returns the components of init, with those of its base URL. isPattern: they are patterns, else a URL whose components come
// in normal form. result: components that init may replace. Throws TypeError.
export function processInit(init, isPattern, result) {
    let base = null;
    if (init.baseURL !== undefined) {
        base = url.parse(init.baseURL);
        if (base === null) {
            throw new TypeError("URLPattern: invalid base URL");
        }
        addBase(result, init, base, isPattern);
    }
    const put = (name, encode) => {
        if (init[name] !== undefined) {
            result[name] = isPattern ? init[name] : encode(init[name]);
        }
    };
    if (init.protocol !== undefined) {
        result.protocol = protocolFor(init.protocol, isPattern);
    }
    const protocol = result.protocol ?? "";
    const isSpecial = protocol === "" || isSpecialScheme(protocol);
    put("username", usernameOf);
    put("password", passwordOf);
    put("hostname", isSpecial ? domainOf : hostnameOf);
    put("port", (value) => portOf(value, protocol));
    if (init.pathname !== undefined) {
        let { pathname } = init;
        if (base !== null && !url.hasOpaquePath(base) && !isAbsolute(pathname, isPattern)) {
            pathname = folderOf(base, isPattern) + pathname;
        }
        result.pathname = isPattern ? pathname : isSpecial ? pathnameOf(pathname) : opaquePathOf(pathname);
    }
    if (init.search !== undefined) {
        const search = without(init.search, "?");
        result.search = isPattern ? search : searchOf(search);
    }
    if (init.hash !== undefined) {
        const hash = without(init.hash, "#");
        result.hash = isPattern ? hash : hashOf(hash);
    }
    return result;
}
