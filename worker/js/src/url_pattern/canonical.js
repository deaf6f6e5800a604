// SPDX-License-Identifier: Apache-2.0
//
// Components of a URL in normal form (URL Pattern, "canonicalize a …"): the URL parser does the work.
import { RegExpPrototypeTest, StringPrototypeSlice, StringPrototypeToLowerCase, TypeError } from "../primordials.js";
import {
    dummyRecord, parse, parsePart, recordHost, recordPath, recordPort, setPassword, setUsername,
} from "../url.js";

const IPV6 = /^[0-9a-fA-F[\]:]*$/;

const fail = (name, value) => {
    throw new TypeError(`URLPattern: invalid ${name} "${StringPrototypeSlice(value, 0, 100)}"`);
};

function parseInto(record, value, state, name) {
    if (!parsePart(value, record, state)) {
        fail(name, value);
    }
    return record;
}

export function protocolOf(value) {
    return value === "" ? "" : (parse(`${value}://dummy.test`) ?? fail("protocol", value)).scheme;
}

export function usernameOf(value) {
    const record = dummyRecord("https");
    setUsername(record, value);
    return record.username;
}

export function passwordOf(value) {
    const record = dummyRecord("https");
    setPassword(record, value);
    return record.password;
}

function hostOf(scheme, value) {
    return value === "" ? "" : recordHost(parseInto(dummyRecord(scheme), value, "hostname", "hostname"));
}

// A host of a special scheme is a domain name, any other is opaque.
export const domainOf = (value) => hostOf("https", value);
export const hostnameOf = (value) => hostOf("dummy", value);

export function ipv6Of(value) {
    return RegExpPrototypeTest(IPV6, value) ? StringPrototypeToLowerCase(value) : fail("hostname", value);
}

export function portOf(value, protocol = "") {
    return value === "" ? "" : recordPort(parseInto(dummyRecord(protocol), value, "port", "port"));
}

export function pathnameOf(value) {
    if (value === "") {
        return "";
    }
    const isAbsolute = value[0] === "/";
    const record = dummyRecord("https");
    record.path.length = 0;
    const path = recordPath(parseInto(record, isAbsolute ? value : `/-${value}`, "path start", "pathname"));
    return isAbsolute ? path : StringPrototypeSlice(path, 2);
}

export function opaquePathOf(value) {
    const record = dummyRecord("dummy");
    record.path = "";
    return value === "" ? "" : recordPath(parseInto(record, value, "opaque path", "pathname"));
}

export function searchOf(value) {
    const record = dummyRecord("https");
    record.query = "";
    return value === "" ? "" : parseInto(record, value, "query", "search").query;
}

export function hashOf(value) {
    const record = dummyRecord("https");
    record.fragment = "";
    return value === "" ? "" : parseInto(record, value, "fragment", "hash").fragment;
}
