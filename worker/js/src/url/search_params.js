// SPDX-License-Identifier: Apache-2.0
//
// URLSearchParams (URL standard): a list of names and values, in turn, that a URL may hear about.
import {
    ArrayPrototypeSlice, ArrayPrototypeSort, Map, MapPrototypeGet, MapPrototypeSet, StringPrototypeSlice, TypeError, isObject, newList,
} from "../primordials.js";
import {
    defineInterface, defineIterable, forEachOf, forEachOwn, iteratorMethod, requireArguments, toUSVString,
} from "../webidl.js";
import { parseForm, serializeForm } from "./record.js";

const internal = {};

// A sequence of pairs.
function readSequence(init, method) {
    const list = newList();
    forEachOf(init, method, (pair) => {
        const next = isObject(pair) ? iteratorMethod(pair) : undefined;
        if (next === undefined) {
            throw new TypeError("URLSearchParams: an element is not a sequence.");
        }
        let n = 0;
        forEachOf(pair, next, (value) => {
            const text = toUSVString(value);
            if (n++ < 2) {
                list[list.length] = text;
            }
        });
        if (n !== 2) {
            throw new TypeError("URLSearchParams: an element has not exactly two elements.");
        }
    });
    return list;
}

// A record. Two keys may become the same text: the later value is in the place of the first.
function readRecord(init) {
    const list = newList();
    const places = new Map();
    forEachOwn(init, toUSVString, (name, value) => {
        const text = toUSVString(value);
        const at = MapPrototypeGet(places, name) ?? list.length;
        MapPrototypeSet(places, name, at);
        list[at] = name;
        list[at + 1] = text;
    });
    return list;
}

function read(init) {
    if (isObject(init)) {
        const method = iteratorMethod(init);
        return method === undefined ? readRecord(init) : readSequence(init, method);
    }
    const text = toUSVString(init);
    return parseForm(text[0] === "?" ? StringPrototypeSlice(text, 1) : text);
}

export let makeParams; // (query, onChange): the parameters of a URL, which onChange is called for with their text
export let resetParams; // (params, query): the URL has another query
export let searchParamsText; // (value): undefined if it is no URLSearchParams
let pairsOf;

export class URLSearchParams {
    #list;
    #onChange;
    #pairs; // the pairs of #list, while somebody goes through them

    constructor(init = "") {
        this.#list = init === internal ? undefined : read(init);
    }

    #update() {
        this.#pairs = undefined;
        this.#onChange?.(serializeForm(this.#list));
    }

    // Removes pairs, in one pass.
    #remove(name, value, from) {
        const list = this.#list;
        let to = from;
        for (let i = from; i < list.length; i += 2) {
            if (list[i] !== name || (value !== undefined && list[i + 1] !== value)) {
                list[to] = list[i];
                list[to + 1] = list[i + 1];
                to += 2;
            }
        }
        list.length = to;
    }

    #find(name) {
        const list = this.#list;
        let i = 0;
        while (i < list.length && list[i] !== name) {
            i += 2;
        }
        return i;
    }

    get size() {
        return this.#list.length / 2;
    }
    append(name, value) {
        this.#list;
        requireArguments(arguments.length, 2, "URLSearchParams.append");
        name = toUSVString(name);
        value = toUSVString(value);
        const list = this.#list;
        list[list.length] = name;
        list[list.length] = value;
        this.#update();
    }
    delete(name, value = undefined) {
        this.#list;
        requireArguments(arguments.length, 1, "URLSearchParams.delete");
        name = toUSVString(name);
        this.#remove(name, value === undefined ? undefined : toUSVString(value), 0);
        this.#update();
    }
    get(name) {
        this.#list;
        requireArguments(arguments.length, 1, "URLSearchParams.get");
        const at = this.#find(toUSVString(name));
        const list = this.#list;
        return at < list.length ? list[at + 1] : null;
    }
    getAll(name) {
        this.#list;
        requireArguments(arguments.length, 1, "URLSearchParams.getAll");
        name = toUSVString(name);
        const list = this.#list;
        const found = newList();
        for (let i = 0; i < list.length; i += 2) {
            if (list[i] === name) {
                found[found.length] = list[i + 1];
            }
        }
        return ArrayPrototypeSlice(found);
    }
    has(name, value = undefined) {
        this.#list;
        requireArguments(arguments.length, 1, "URLSearchParams.has");
        name = toUSVString(name);
        value = value === undefined ? undefined : toUSVString(value);
        const list = this.#list;
        for (let i = 0; i < list.length; i += 2) {
            if (list[i] === name && (value === undefined || list[i + 1] === value)) {
                return true;
            }
        }
        return false;
    }
    set(name, value) {
        this.#list;
        requireArguments(arguments.length, 2, "URLSearchParams.set");
        name = toUSVString(name);
        value = toUSVString(value);
        const at = this.#find(name);
        this.#list[at] = name;
        this.#list[at + 1] = value;
        this.#remove(name, undefined, at + 2);
        this.#update();
    }
    sort() {
        const list = this.#list;
        const pairs = pairsOf(this);
        ArrayPrototypeSort(pairs, (a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
        for (let i = 0; i < pairs.length; i++) {
            list[2 * i] = pairs[i][0];
            list[2 * i + 1] = pairs[i][1];
        }
        this.#update();
    }
    toString() {
        return serializeForm(this.#list);
    }

    static {
        makeParams = (query, onChange) => {
            const params = new Self(internal);
            params.#list = parseForm(query);
            params.#onChange = onChange;
            return params;
        };
        resetParams = (params, query) => {
            params.#list = parseForm(query);
            params.#pairs = undefined;
        };
        searchParamsText = (value) => (isObject(value) && #list in value ? serializeForm(value.#list) : undefined);
        pairsOf = (params) => {
            const list = params.#list;
            if (params.#pairs === undefined) {
                const pairs = newList();
                for (let i = 0; i < list.length; i += 2) {
                    const pair = newList();
                    pair[0] = list[i];
                    pair[1] = list[i + 1];
                    pairs[pairs.length] = pair;
                }
                params.#pairs = pairs;
            }
            return params.#pairs;
        };
    }
}
const Self = URLSearchParams; // a class that names itself gets another name from esbuild
defineIterable(URLSearchParams, "URLSearchParams", pairsOf);
defineInterface(URLSearchParams, "URLSearchParams");
