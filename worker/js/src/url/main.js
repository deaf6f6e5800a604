// SPDX-License-Identifier: Apache-2.0
//
// URL and URLSearchParams, from whatwg-url (the URL standard's reference implementation), and what the rest of the layer needs of it. Evaluated
// when somebody first needs one of them. provide(): build.mjs.
import { URL, URLSearchParams } from "whatwg-url";
import { objectUrlFunctions } from "../object_url.js";
import { nameInterface } from "../platform.js";
import {
    ObjectDefineProperty, ObjectGetOwnPropertyDescriptor, uncurryThis,
} from "../primordials.js";
import {
    basicURLParse, serializeHost, serializeInteger, serializePath, serializeURL, setThePassword, setTheUsername,
} from "./state_machine.js";

const define = (object, name, value, attributes) => ObjectDefineProperty(object, name,
    { __proto__: null, value, configurable: true, ...attributes });

define(URL, "name", "URL");
define(URLSearchParams, "name", "URLSearchParams");
nameInterface(URL, "URL");
nameInterface(URLSearchParams, "URLSearchParams");
for (let i = 0; i < objectUrlFunctions.length; i++) {
    define(URL, objectUrlFunctions[i].name, objectUrlFunctions[i], { writable: true, enumerable: true });
}

const searchParamsToString = uncurryThis(URLSearchParams.prototype.toString);
const searchParamsSize = uncurryThis(ObjectGetOwnPropertyDescriptor(URLSearchParams.prototype, "size").get);

// Returns undefined if value is no URLSearchParams.
function searchParamsText(value) {
    try {
        searchParamsSize(value);
    } catch {
        return undefined;
    }
    return searchParamsToString(value);
}

provide({
    __proto__: null, URL, URLSearchParams, forEachParam: uncurryThis(URLSearchParams.prototype.forEach),
    parse: (string, base) => basicURLParse(string, base === undefined ? undefined : { __proto__: null, baseURL: base }),
    parsePart: (string, record, state) =>
        basicURLParse(string, { __proto__: null, url: record, stateOverride: state }) !== null,
    searchParamsText, serialize: serializeURL, serializeHost, serializeInteger, serializePath, setThePassword, setTheUsername,
});
