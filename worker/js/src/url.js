// SPDX-License-Identifier: Apache-2.0
//
// URL and URLSearchParams, from whatwg-url (the URL standard's reference implementation).
import { URL, URLSearchParams } from "whatwg-url";
import {
    basicURLParse, isPlain, serializeHost, serializeInteger, serializePath, serializeURL, setThePassword, setTheUsername,
} from "./lib/url_state_machine.cjs";
import { nameInterface } from "./platform.js";
import { uncurryThis } from "./primordials.js";

export { URL, URLSearchParams };

for (const [constructor, name] of [[URL, "URL"], [URLSearchParams, "URLSearchParams"]]) {
    Object.defineProperty(constructor, "name", { __proto__: null, value: name, configurable: true });
    nameInterface(constructor, name);
}

const searchParamsToString = uncurryThis(URLSearchParams.prototype.toString);
const searchParamsSize = uncurryThis(
    Object.getOwnPropertyDescriptor(URLSearchParams.prototype, "size").get);

// Parses a URL. Returns the record, or null. base: the record of a base URL.
export function parse(string, base = undefined) {
    return basicURLParse(string, base === undefined ? undefined : { __proto__: null, baseURL: base });
}

// For URLPattern: a record to parse parts into, and the parts of a record.
export const dummyRecord = (scheme) => ({
    __proto__: null, scheme, username: "", password: "", host: "dummy.invalid", port: null, path: [], query: null, fragment: null,
});
// Parses part of a URL, by the state of the parser, into a record. Returns false if that fails.
export const parsePart = (string, record, state) =>
    basicURLParse(string, { __proto__: null, url: record, stateOverride: state }) !== null;
export const recordHost = ({ host }) => (host === null ? "" : serializeHost(host));
export const recordPort = ({ port }) => (port === null ? "" : serializeInteger(port));
export const recordPath = (record) => serializePath(record);
export const setUsername = (record, value) => setTheUsername(record, value);
export const setPassword = (record, value) => setThePassword(record, value);

// True if string is known to be its own serialisation.
export const isPlainUrl = isPlain;

export function serialize(record, excludeFragment) {
    return serializeURL(record, excludeFragment);
}

// Returns undefined if value is no URLSearchParams.
export function searchParamsText(value) {
    try {
        searchParamsSize(value);
    } catch {
        return undefined;
    }
    return searchParamsToString(value);
}
