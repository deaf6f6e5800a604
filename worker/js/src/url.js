// SPDX-License-Identifier: Apache-2.0
//
// The URL standard for the rest of the layer; the library behind it is evaluated at first use.
import { load } from "lazy:./url/main.js";
import { firstUse } from "./first_use.js";
import { parsePlain } from "./url_plain.js";

let library;

// Returns URL, URLSearchParams and the functions below.
export const urlLibrary = () => (library ??= firstUse(load));

// Parses a URL. Returns the record, or null. base: the record of a base URL.
export const parse = (string, base = undefined) => parsePlain(string) ?? urlLibrary().parse(string, base);

// For URLPattern: a record to parse parts into, and the parts of a record.
export const dummyRecord = (scheme) => ({
    __proto__: null, scheme, username: "", password: "", host: "dummy.invalid", port: null, path: [], query: null, fragment: null,
});
// Parses part of a URL, by the state of the parser, into a record. Returns false if that fails.
export const parsePart = (string, record, state) => urlLibrary().parsePart(string, record, state);
export const recordHost = ({ host }) => (host === null ? "" : urlLibrary().serializeHost(host));
export const recordPort = ({ port }) => (port === null ? "" : urlLibrary().serializeInteger(port));
export const recordPath = (record) => urlLibrary().serializePath(record);
export const setUsername = (record, value) => urlLibrary().setTheUsername(record, value);
export const setPassword = (record, value) => urlLibrary().setThePassword(record, value);

export const serialize = (record, excludeFragment) => urlLibrary().serialize(record, excludeFragment);

// Returns undefined if value is no URLSearchParams.
export const searchParamsText = (value) =>
    library === undefined ? undefined : library.searchParamsText(value);
