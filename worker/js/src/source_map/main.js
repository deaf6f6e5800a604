// SPDX-License-Identifier: Apache-2.0
//
// Source maps (ECMA-426): the places in a stack as they are in the sources. Evaluated when a stack is logged of a tenant that has
// maps. A map is a text of the tenant's: nothing of it is kept, and all that it says is checked. provide(): build.mjs.
import { cut } from "../inspect.js";
import { excerpt, findOrigins, sourceMap } from "../native.js";
import {
    ArrayIsArray, JSONParse, Map, MapPrototypeForEach, MapPrototypeGet, MapPrototypeSet, ReflectGetOwnPropertyDescriptor,
    StringPrototypeCharCodeAt, StringPrototypeIncludes, StringPrototypeIndexOf, StringPrototypeSlice, closeClass, isObject, newList,
} from "../primordials.js";

const FRAME = "    at ";
const MAX_PLACES = 32; // as worker/v8 takes
const MAX_NAME = 1024;

// A place in a line of the text: file, and line and column from 1 on; the text before and behind it.
class Place {
    index;
    before;
    after;
    file;
    line;
    column;
    origin; // Origin, once it is known

    constructor(index, before, after, file, line, column) {
        this.index = index;
        this.before = before;
        this.after = after;
        this.file = file;
        this.line = line;
        this.column = column;
    }
}
closeClass(Place);

class Origin {
    file;
    line;
    column;
    content; // text of the file; undefined: the map does not have it

    constructor(file, line, column, content) {
        this.file = file;
        this.line = line;
        this.column = column;
        this.content = content;
    }
}
closeClass(Origin);

// Returns the place of the number that ends there, -1 if there is none with a colon before it.
function numberBefore(text, end) {
    let at = end;
    while (at > 0 && StringPrototypeCharCodeAt(text, at - 1) >= 48 && StringPrototypeCharCodeAt(text, at - 1) <= 57) {
        at--;
    }
    return at === end || end - at > 9 || at === 0 || text[at - 1] !== ":" ? -1 : at;
}

// Parses "file:line:column" from start to end of a line; undefined if it is none.
function parsePlace(index, text, start, end) {
    const column = numberBefore(text, end);
    const line = column < 0 ? -1 : numberBefore(text, column - 1);
    if (line < 0 || line - 1 <= start) {
        return undefined;
    }
    return new Place(index, StringPrototypeSlice(text, 0, start), StringPrototypeSlice(text, end), StringPrototypeSlice(text, start, line - 1),
        +StringPrototypeSlice(text, line, column - 1), +StringPrototypeSlice(text, column, end));
}

// Parses "    at name (file:line:column)" or "    at file:line:column", behind any indentation.
function parseFrame(index, text) {
    const at = StringPrototypeIndexOf(text, FRAME);
    for (let i = 0; i < at; i++) {
        if (text[i] !== " ") {
            return undefined;
        }
    }
    if (at < 0) {
        return undefined;
    }
    if (text[text.length - 1] === ")") {
        const open = StringPrototypeIndexOf(text, " (", at);
        return open < 0 ? undefined : parsePlace(index, text, open + 2, text.length - 1);
    }
    const start = at + FRAME.length;
    const isAsync = StringPrototypeSlice(text, start, start + 6) === "async ";
    return parsePlace(index, text, isAsync ? start + 6 : start, text.length);
}

function splitLines(text) {
    const lines = newList();
    for (let at = 0; at <= text.length;) {
        const newline = StringPrototypeIndexOf(text, "\n", at);
        const end = newline < 0 ? text.length : newline;
        lines[lines.length] = StringPrototypeSlice(text, at, end);
        at = end + 1;
    }
    return lines;
}

const own = (object, name) => (isObject(object) ? ReflectGetOwnPropertyDescriptor(object, name)?.value : undefined);

// Returns the path of a source: from the folder of its map, unless it is a URL.
function toPath(map, root, source) {
    if (StringPrototypeIncludes(source, "://") || source[0] === "/") {
        return source;
    }
    const parts = newList();
    const whole = `${map}/../${root}/${source}/`;
    for (let at = 0, end; (end = StringPrototypeIndexOf(whole, "/", at)) >= 0; at = end + 1) {
        const part = StringPrototypeSlice(whole, at, end);
        if (part === ".." && parts.length > 0 && parts[parts.length - 1] !== "..") {
            parts.length--;
        } else if (part !== "" && part !== ".") {
            parts[parts.length] = part;
        }
    }
    let path = "";
    for (let i = 0; i < parts.length; i++) {
        path += i === 0 ? parts[i] : `/${parts[i]}`;
    }
    return path;
}

// Finds the origins of places in one file. Returns why its map cannot be used, undefined if it can, or if there is none.
function findIn(file, places) {
    const found = sourceMap(file);
    if (found === undefined) {
        return undefined;
    }
    const name = found[0] === "" ? file : found[0];
    if (found[2] !== "") {
        return found[2];
    }
    let map;
    try {
        map = JSONParse(found[1]);
    } catch (error) {
        return `it is no JSON: ${own(error, "message")}`;
    }
    const mappings = own(map, "mappings");
    const sources = own(map, "sources");
    if (own(map, "sections") !== undefined) {
        return "it is an index of maps, which skep does not read";
    }
    if (own(map, "version") !== 3 || typeof mappings !== "string" || !ArrayIsArray(sources)) {
        return "it is no source map of version 3";
    }
    const wanted = newList();
    for (let i = 0; i < places.length && i < MAX_PLACES; i++) {
        wanted[2 * i] = places[i].line - 1;
        wanted[2 * i + 1] = places[i].column - 1;
    }
    const origins = findOrigins(mappings, wanted);
    if (origins === undefined) {
        return "its mappings are not valid";
    }
    const contents = own(map, "sourcesContent");
    const root = own(map, "sourceRoot");
    for (let i = 0; 3 * i < origins.length; i++) {
        const source = own(sources, origins[3 * i]);
        if (typeof source === "string" && source.length <= MAX_NAME) {
            const content = own(contents, origins[3 * i]);
            places[i].origin = new Origin(toPath(name, typeof root === "string" && root.length <= MAX_NAME ? root : "", source),
                origins[3 * i + 1] + 1, origins[3 * i + 2] + 1, typeof content === "string" ? content : undefined);
        }
    }
    return undefined;
}

// Returns the place with its line and a caret under the column, as far as they are known.
function showPlace(place) {
    const { file, line, column, content } = place.origin;
    if (content !== undefined) {
        let at = 0;
        for (let n = 1; n < line && at >= 0; n++) {
            at = StringPrototypeIndexOf(content, "\n", at) + 1;
            if (at === 0) {
                at = -1;
            }
        }
        if (at >= 0) {
            const end = StringPrototypeIndexOf(content, "\n", at);
            const text = excerpt(file, line, column, StringPrototypeSlice(content, at, end < 0 ? content.length : end));
            return StringPrototypeSlice(text, 1);
        }
    }
    return `${file}:${line}:${column}`;
}

function mapText(text, isPlace) {
    const lines = splitLines(text);
    const byFile = new Map();
    let shown;
    for (let i = 0; i < lines.length; i++) {
        const place = isPlace && i === 1 ? shown = parsePlace(i, lines[i], 0, lines[i].length) : parseFrame(i, lines[i]);
        if (place !== undefined && place.line > 0 && place.column > 0) {
            let places = MapPrototypeGet(byFile, place.file);
            if (places === undefined) {
                MapPrototypeSet(byFile, place.file, places = newList());
            }
            places[places.length] = place;
        }
    }
    let problems = "";
    MapPrototypeForEach(byFile, (places, file) => {
        const problem = findIn(file, places);
        if (problem !== undefined) {
            problems += `\n(the source map of ${file} is not used: ${cut(problem)})`;
        }
        for (let i = 0; i < places.length; i++) {
            const { index, before, after, origin } = places[i];
            if (origin !== undefined && places[i] !== shown) {
                lines[index] = `${before}${origin.file}:${origin.line}:${origin.column}${after}`;
            }
        }
    });
    if (shown?.origin !== undefined) {
        // Behind the place are its line and the caret.
        lines[1] = showPlace(shown);
        lines[2] = undefined;
        lines[3] = undefined;
    }
    let mapped = lines[0];
    for (let i = 1; i < lines.length; i++) {
        mapped += lines[i] === undefined ? "" : `\n${lines[i]}`;
    }
    return mapped + problems;
}

provide({ __proto__: null, mapText });
