// SPDX-License-Identifier: Apache-2.0
//
// Parts of a component's pattern, and what is made of them: its regular expression, its names, and its text in normal form
// (URL Pattern, "parse a pattern string" and what follows there).
import {
    RegExp, RegExpPrototypeTest, StringPrototypeCharCodeAt, StringPrototypeIncludes, TypeError, closeClass, newList,
} from "../primordials.js";
import { isNamePoint, pointAt, tokenize } from "./tokens.js";

// Options of a component: delimiter of segments, and the prefix that belongs to the group behind it.
export const defaultOptions = { __proto__: null, delimiter: "", prefix: "" };
export const hostnameOptions = { __proto__: null, delimiter: ".", prefix: "" };
export const pathnameOptions = { __proto__: null, delimiter: "/", prefix: "/" };

// Types of parts; a modifier is "", "?", "*" or "+".
const FIXED = 0;
const REGEXP = 1;
const SEGMENT = 2;
const WILDCARD = 3;

const IN_REGEXP = ".+*?^${}()[]|/\\";
const IN_PATTERN = "+*?:{}()\\";
const ANYTHING = ".*";

function escape(text, characters) {
    let escaped = "";
    for (let i = 0; i < text.length; i++) {
        const unit = text[i];
        escaped += StringPrototypeIncludes(characters, unit) ? `\\${unit}` : unit;
    }
    return escaped;
}

export const escapePattern = (text) => escape(text, IN_PATTERN);

const segmentOf = (options) => `[^${escape(options.delimiter, IN_REGEXP)}]+?`;

const isDigit = (unit) => unit >= 48 && unit <= 57;

class Parser {
    tokens;
    options;
    encode; // puts fixed text in normal form
    segment;
    parts = newList();
    names = { __proto__: null };
    pending = ""; // fixed text that is no part yet
    index = 0;
    nextName = 0;

    constructor(text, options, encode) {
        this.tokens = tokenize(text, false);
        this.options = options;
        this.encode = encode;
        this.segment = segmentOf(options);
    }

    take(type) {
        const token = this.tokens[this.index];
        if (token.type !== type) {
            return undefined;
        }
        this.index++;
        return token;
    }

    takeMatcher(name) {
        return this.take("regexp") ?? (name === undefined ? this.take("asterisk") : undefined);
    }

    takeModifier() {
        return (this.take("other-modifier") ?? this.take("asterisk"))?.value ?? "";
    }

    takeText() {
        let text = "";
        for (let token = this.take("char") ?? this.take("escaped-char"); token !== undefined;
            token = this.take("char") ?? this.take("escaped-char")) {
            text += token.value;
        }
        return text;
    }

    require(type) {
        if (this.take(type) === undefined) {
            const token = this.tokens[this.index];
            throw new TypeError(`URLPattern: "${token.value}" is not expected at position ${token.index} of the pattern`);
        }
    }

    push(type, value, modifier, name, prefix, suffix) {
        this.parts[this.parts.length] = { __proto__: null, type, value, modifier, name, prefix, suffix };
    }

    flush() {
        if (this.pending !== "") {
            this.push(FIXED, this.encode(this.pending), "", "", "", "");
            this.pending = "";
        }
    }

    add(prefix, name, matcher, suffix, modifier) {
        if (name === undefined && matcher === undefined && modifier === "") {
            this.pending += prefix;
            return;
        }
        this.flush();
        if (name === undefined && matcher === undefined) {
            if (prefix !== "") {
                this.push(FIXED, this.encode(prefix), modifier, "", "", "");
            }
            return;
        }
        let type = REGEXP;
        let value = matcher === undefined ? this.segment : matcher.type === "asterisk" ? ANYTHING : matcher.value;
        if (value === this.segment || value === ANYTHING) {
            type = value === ANYTHING ? WILDCARD : SEGMENT;
            value = "";
        }
        const key = name === undefined ? `${this.nextName++}` : name.value;
        if (this.names[key] !== undefined) {
            throw new TypeError(`URLPattern: the name "${key}" is there twice`);
        }
        this.names[key] = true;
        this.push(type, value, modifier, key, this.encode(prefix), this.encode(suffix));
    }

    addGroup() {
        const prefix = this.takeText();
        const name = this.take("name");
        const matcher = this.takeMatcher(name);
        const suffix = this.takeText();
        this.require("close");
        this.add(prefix, name, matcher, suffix, this.takeModifier());
    }

    parse() {
        while (this.index < this.tokens.length) {
            const character = this.take("char");
            const name = this.take("name");
            const matcher = this.takeMatcher(name);
            if (name !== undefined || matcher !== undefined) {
                let prefix = character === undefined ? "" : character.value;
                if (prefix !== "" && prefix !== this.options.prefix) {
                    this.pending += prefix;
                    prefix = "";
                }
                this.flush();
                this.add(prefix, name, matcher, "", this.takeModifier());
                continue;
            }
            const fixed = character ?? this.take("escaped-char");
            if (fixed !== undefined) {
                this.pending += fixed.value;
            } else if (this.take("open") !== undefined) {
                this.addGroup();
            } else {
                this.flush();
                this.require("end");
            }
        }
        return this.parts;
    }
}
closeClass(Parser);

function regExpOf(parts, options, names) {
    let text = "^";
    for (let i = 0; i < parts.length; i++) {
        const { type, value, modifier, name } = parts[i];
        if (type === FIXED) {
            const escaped = escape(value, IN_REGEXP);
            text += modifier === "" ? escaped : `(?:${escaped})${modifier}`;
            continue;
        }
        names[names.length] = name;
        const matcher = type === SEGMENT ? segmentOf(options) : type === WILDCARD ? ANYTHING : value;
        const prefix = escape(parts[i].prefix, IN_REGEXP);
        const suffix = escape(parts[i].suffix, IN_REGEXP);
        const isRepeated = modifier === "*" || modifier === "+";
        if (prefix === "" && suffix === "") {
            text += isRepeated ? `((?:${matcher})${modifier})` : `(${matcher})${modifier}`;
        } else if (!isRepeated) {
            text += `(?:${prefix}(${matcher})${suffix})${modifier}`;
        } else {
            text += `(?:${prefix}((?:${matcher})(?:${suffix}${prefix}(?:${matcher}))*)${suffix})${modifier === "*" ? "?" : ""}`;
        }
    }
    return `${text}$`;
}

// Returns whether a part of the text must be in braces, so that it means the same again.
function needsBraces(part, previous, next, isNamed, options) {
    if (part.suffix !== "" || (part.prefix !== "" && part.prefix !== options.prefix)) {
        return true;
    }
    if (isNamed && part.type === SEGMENT && part.modifier === "" && next !== undefined && next.prefix === "" &&
        next.suffix === "") {
        const first = next.type === FIXED ? pointAt(next.value, 0) : "";
        if (next.type === FIXED ? isNamePoint(first, false) : isDigit(StringPrototypeCharCodeAt(next.name, 0))) {
            return true;
        }
    }
    return part.prefix === "" && previous !== undefined && previous.type === FIXED && options.prefix !== "" &&
        previous.value[previous.value.length - 1] === options.prefix;
}

function matcherText(part, previous, isNamed, isInBraces, options) {
    if (part.type === REGEXP) {
        return `(${part.value})`;
    }
    if (part.type === SEGMENT) {
        return isNamed ? "" : `(${segmentOf(options)})`;
    }
    const isStar = !isNamed && (previous === undefined || previous.type === FIXED || previous.modifier !== "" ||
        isInBraces || part.prefix !== "");
    return isStar ? "*" : `(${ANYTHING})`;
}

function textOf(parts, options) {
    let text = "";
    for (let i = 0; i < parts.length; i++) {
        const part = parts[i];
        const { type, modifier, name, suffix } = part;
        const previous = i > 0 ? parts[i - 1] : undefined;
        const next = i + 1 < parts.length ? parts[i + 1] : undefined;
        if (type === FIXED) {
            const escaped = escapePattern(part.value);
            text += modifier === "" ? escaped : `{${escaped}}${modifier}`;
            continue;
        }
        const isNamed = !isDigit(StringPrototypeCharCodeAt(name, 0));
        const isInBraces = needsBraces(part, previous, next, isNamed, options);
        const isCut = type === SEGMENT && isNamed && suffix !== "" && isNamePoint(pointAt(suffix, 0), false);
        const inner = escapePattern(part.prefix) + (isNamed ? `:${name}` : "") +
            matcherText(part, previous, isNamed, isInBraces, options) + (isCut ? "\\" : "") + escapePattern(suffix);
        text += (isInBraces ? `{${inner}}` : inner) + modifier;
    }
    return text;
}

// Returns { text, regexp, names, hasRegExp } of a component. encode puts fixed text in normal form, or throws a TypeError.
export function compile(pattern, encode, options, ignoreCase = false) {
    const parts = new Parser(pattern, options, encode).parse();
    const names = newList();
    const source = regExpOf(parts, options, names);
    let regexp;
    try {
        regexp = new RegExp(source, ignoreCase ? "vi" : "v");
    } catch {
        throw new TypeError("URLPattern: the pattern has a regular expression that is none");
    }
    let hasRegExp = false;
    for (let i = 0; i < parts.length; i++) {
        hasRegExp ||= parts[i].type === REGEXP;
    }
    return { __proto__: null, text: textOf(parts, options), regexp, names, hasRegExp };
}

const SPECIAL = newList();
SPECIAL[0] = "http";
SPECIAL[1] = "https";
SPECIAL[2] = "ws";
SPECIAL[3] = "wss";
SPECIAL[4] = "ftp";
SPECIAL[5] = "file";

export function matchesSpecialScheme(component) {
    for (let i = 0; i < SPECIAL.length; i++) {
        if (RegExpPrototypeTest(component.regexp, SPECIAL[i])) {
            return true;
        }
    }
    return false;
}

export function isSpecialScheme(scheme) {
    for (let i = 0; i < SPECIAL.length; i++) {
        if (SPECIAL[i] === scheme) {
            return true;
        }
    }
    return false;
}
