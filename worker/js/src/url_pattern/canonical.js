// SPDX-License-Identifier: Apache-2.0
//
// Components of a URL in normal form (URL Pattern, "canonicalize a …"): the URL parser does the work.
import { RegExpPrototypeTest, StringPrototypeSlice, StringPrototypeToLowerCase, TypeError } from "../primordials.js";
import { urlLibrary } from "../url.js";

const {
    HASH, HOSTNAME, PASSWORD, PATHNAME, PORT, SEARCH, USERNAME, change, hashOf: hashIn, hostnameOf: hostnameIn, parse,
    passwordOf: passwordIn, pathOf, portOf: portIn, queryOf, schemeOf, urlOpaquePath, usernameOf: usernameIn,
} = urlLibrary();

const IPV6 = /^[0-9a-fA-F[\]:]*$/;

const fail = (name, value) => {
    throw new TypeError(`URLPattern: invalid ${name} "${StringPrototypeSlice(value, 0, 100)}"`);
};

// Returns a URL of that scheme with the value as a component.
const dummy = (scheme, component, value, name) =>
    change(parse(`${scheme}://dummy.invalid`), component, value) ?? fail(name, value);

export function protocolOf(value) {
    return value === "" ? "" : schemeOf(parse(`${value}://dummy.test`) ?? fail("protocol", value));
}

export const usernameOf = (value) => usernameIn(dummy("https", USERNAME, value, "username"));
export const passwordOf = (value) => passwordIn(dummy("https", PASSWORD, value, "password"));

const hostOf = (scheme, value) =>
    (value === "" ? "" : hostnameIn(dummy(scheme, HOSTNAME, value, "hostname")));

// A host of a special scheme is a domain name, any other is opaque.
export const domainOf = (value) => hostOf("https", value);
export const hostnameOf = (value) => hostOf("dummy", value);

export function ipv6Of(value) {
    return RegExpPrototypeTest(IPV6, value) ? StringPrototypeToLowerCase(value) : fail("hostname", value);
}

// A file: URL has no port to set, and no default one.
export function portOf(value, protocol = "") {
    const scheme = protocol === "" || protocol === "file" ? "dummy" : protocol;
    return value === "" ? "" : portIn(dummy(scheme, PORT, value, "port"));
}

export function pathnameOf(value) {
    if (value === "") {
        return "";
    }
    const isAbsolute = value[0] === "/";
    const path = pathOf(dummy("https", PATHNAME, isAbsolute ? value : `/-${value}`, "pathname"));
    return isAbsolute ? path : StringPrototypeSlice(path, 2);
}

export const opaquePathOf = (value) => urlOpaquePath(value);
export const searchOf = (value) => (value === "" ? "" : queryOf(dummy("https", SEARCH, value, "search")));
export const hashOf = (value) => (value === "" ? "" : hashIn(dummy("https", HASH, value, "hash")));
