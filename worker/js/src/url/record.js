// SPDX-License-Identifier: Apache-2.0
//
// Records of URLs: the text of one and the places of its components, so that these are slices. Names and values of forms.
import { openUrl, urlParse } from "../native.js";
import { StringPrototypeIndexOf, StringPrototypeSlice, closeClass, newList } from "../primordials.js";

// Components for change(): enum url_component of worker/url/url.h.
export const PROTOCOL = 0;
export const USERNAME = 1;
export const PASSWORD = 2;
export const HOST = 3;
export const HOSTNAME = 4;
export const PORT = 5;
export const PATHNAME = 6;
export const SEARCH = 7;
export const HASH = 8;

const { formParse, formSerialize, urlOpaquePath, urlPlaces, urlSet } = openUrl();
const places = urlPlaces(); // struct url_places, of the URL that the natives have written or are to read
export { urlOpaquePath };

class UrlRecord {
    href;
    protocolEnd = places[0];
    usernameEnd = places[1];
    host = places[2]; // at the "@" if there are credentials
    hostEnd = places[3];
    path = places[4];
    query = places[5]; // at the "?"
    hash = places[6]; // at the "#"
    constructor(href) {
        this.href = href;
    }
}
closeClass(UrlRecord);

// Parses a URL. Returns the record, or null. base: the text of a base URL.
export function parse(text, base = undefined) {
    const href = urlParse(text, base);
    return href === undefined ? null : new UrlRecord(href);
}

// Returns the record with another value of a component, as the setters of class URL have it; undefined if the URL stays as it is. value:
// undefined for no query, fragment or port at all; a query comes without its "?", a fragment without its "#".
export function change(record, component, value) {
    places[0] = record.protocolEnd;
    places[1] = record.usernameEnd;
    places[2] = record.host;
    places[3] = record.hostEnd;
    places[4] = record.path;
    places[5] = record.query;
    places[6] = record.hash;
    const href = urlSet(record.href, component, value);
    return href === undefined ? undefined : new UrlRecord(href);
}

const hasHost = (record) => record.usernameEnd > record.protocolEnd;
// The place of the host itself.
const hostStart = (record) => record.host + (record.href[record.host] === "@" && hasHost(record) ? 1 : 0);

export const schemeOf = (record) => StringPrototypeSlice(record.href, 0, record.protocolEnd - 1);
export const usernameOf = (record) =>
    hasHost(record) ? StringPrototypeSlice(record.href, record.protocolEnd + 2, record.usernameEnd) : "";
export const passwordOf = (record) =>
    record.host > record.usernameEnd ? StringPrototypeSlice(record.href, record.usernameEnd + 1, record.host) : "";
export const hostnameOf = (record) => StringPrototypeSlice(record.href, hostStart(record), record.hostEnd);
// With the port
export const hostOf = (record) =>
    hasHost(record) ? StringPrototypeSlice(record.href, hostStart(record), record.path) : "";
export const portOf = (record) =>
    hasHost(record) && record.path > record.hostEnd ? StringPrototypeSlice(record.href, record.hostEnd + 1, record.path) : "";
export const pathOf = (record) => StringPrototypeSlice(record.href, record.path, record.query);
export const hasOpaquePath = (record) => !hasHost(record) && record.href[record.path] !== "/";
// Without the "?" and "#"
export const queryOf = (record) => StringPrototypeSlice(record.href, record.query + 1, record.hash);
export const hashOf = (record) => StringPrototypeSlice(record.href, record.hash + 1);

// ---- application/x-www-form-urlencoded

const PIECE = 8192; // units of a text, and items of a list, that one call of a native takes

// Returns a list of names and values, in turn.
export function parseForm(text) {
    const list = newList();
    for (let at = 0; at < text.length;) {
        let end = text.length - at <= PIECE ? -1 : StringPrototypeIndexOf(text, "&", at + PIECE);
        end = end === -1 ? text.length : end;
        const part = formParse(at === 0 && end === text.length ? text : StringPrototypeSlice(text, at, end));
        for (let i = 0; i < part.length; i++) {
            list[list.length] = part[i];
        }
        at = end + 1;
    }
    return list;
}

// Returns the text of such a list.
export function serializeForm(list) {
    let text = "";
    for (let at = 0; at < list.length; at += PIECE) {
        const part = formSerialize(list, at, at + PIECE);
        text = at === 0 ? part : `${text}&${part}`;
    }
    return text;
}
