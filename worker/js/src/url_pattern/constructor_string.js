// SPDX-License-Identifier: Apache-2.0
//
// A pattern for a whole URL as one text, split into its components (URL Pattern, "parse a constructor string").
import { StringPrototypeSlice, closeClass } from "../primordials.js";
import { protocolOf } from "./canonical.js";
import { compile, defaultOptions, matchesSpecialScheme } from "./parts.js";
import { tokenize } from "./tokens.js";

// The order of the components; of a component that is left out, what comes later says what it is.
const ORDER = {
    __proto__: null, init: 0, protocol: 1, authority: 2, username: 3, password: 4, hostname: 5, port: 6, pathname: 7, search: 8,
    hash: 9, done: 10,
};

class Parser {
    input;
    tokens;
    result = { __proto__: null };
    state = "init";
    start = 0; // token with which the component begins
    index = 0;
    step = 1;
    depth = 0; // open groups
    brackets = 0; // open brackets of an IPv6 address
    isSpecial = false;

    constructor(input) {
        this.input = input;
        this.tokens = tokenize(input, true);
    }

    token(index) {
        return this.tokens[index < this.tokens.length ? index : this.tokens.length - 1];
    }

    is(value, index = this.index) {
        const token = this.token(index);
        return token.value === value &&
            (token.type === "char" || token.type === "escaped-char" || token.type === "invalid-char");
    }

    isSearchPrefix() {
        if (this.is("?")) {
            return true;
        }
        if (this.tokens[this.index].value !== "?") {
            return false;
        }
        const type = this.index === 0 ? "" : this.tokens[this.index - 1].type;
        return type !== "name" && type !== "regexp" && type !== "close" && type !== "asterisk";
    }

    component() {
        return StringPrototypeSlice(this.input, this.token(this.start).index, this.tokens[this.index].index);
    }

    change(state, skip) {
        const { result } = this;
        const from = ORDER[this.state];
        const to = ORDER[state];
        if (this.state !== "init" && this.state !== "authority" && this.state !== "done") {
            result[this.state] = this.component();
        }
        if (this.state !== "init" && state !== "done") {
            if (from < ORDER.hostname && to > ORDER.hostname) {
                result.hostname ??= "";
            }
            if (from < ORDER.pathname && to > ORDER.pathname) {
                result.pathname ??= this.isSpecial ? "/" : "";
            }
            if (from < ORDER.search && to > ORDER.search) {
                result.search ??= "";
            }
        }
        this.state = state;
        this.index += skip;
        this.start = this.index;
        this.step = 0;
    }

    rewind(state) {
        this.index = this.start;
        this.step = 0;
        this.state = state;
    }

    afterProtocol() {
        const component = compile(this.component(), protocolOf, defaultOptions);
        this.isSpecial = matchesSpecialScheme(component);
        if (this.is("/", this.index + 1) && this.is("/", this.index + 2)) {
            this.change("authority", 3);
        } else {
            this.change(this.isSpecial ? "authority" : "pathname", 1);
        }
    }

    // Begins the component that a character behind the host or path leads to. Returns false if it leads to none.
    next() {
        if (ORDER[this.state] < ORDER.pathname && this.is("/")) {
            this.change("pathname", 0);
        } else if (ORDER[this.state] < ORDER.search && this.isSearchPrefix()) {
            this.change("search", 1);
        } else if (this.is("#")) {
            this.change("hash", 1);
        } else {
            return false;
        }
        return true;
    }

    inHostname() {
        if (this.is("[")) {
            this.brackets++;
        } else if (this.is("]")) {
            this.brackets--;
        } else if (this.is(":") && this.brackets === 0) {
            this.change("port", 1);
        } else {
            this.next();
        }
    }

    look() {
        switch (this.state) {
        case "init":
            if (this.is(":")) {
                this.rewind("protocol");
            }
            break;
        case "protocol":
            if (this.is(":")) {
                this.afterProtocol();
            }
            break;
        case "authority":
            if (this.is("@")) {
                this.rewind("username");
            } else if (this.is("/") || this.isSearchPrefix() || this.is("#")) {
                this.rewind("hostname");
            }
            break;
        case "username":
        case "password":
            if (this.state === "username" && this.is(":")) {
                this.change("password", 1);
            } else if (this.is("@")) {
                this.change("hostname", 1);
            }
            break;
        case "hostname":
            this.inHostname();
            break;
        case "port":
        case "pathname":
        case "search":
            this.next();
            break;
        }
    }

    // Returns false if the last component is complete.
    atEnd() {
        if (this.state === "authority") {
            this.rewind("hostname");
        } else if (this.state !== "init") {
            this.change("done", 0);
            return false;
        } else {
            this.rewind("init");
            if (this.is("#")) {
                this.change("hash", 1);
            } else if (this.isSearchPrefix()) {
                this.change("search", 1);
            } else {
                this.change("pathname", 0);
            }
        }
        return true;
    }

    // Returns whether the token belongs to a group, in which no component ends.
    isInGroup() {
        const { type } = this.tokens[this.index];
        if (type === "open") {
            this.depth++;
            return true;
        }
        if (this.depth > 0) {
            if (type !== "close") {
                return true;
            }
            this.depth--;
        }
        return false;
    }

    parse() {
        for (; this.index < this.tokens.length; this.index += this.step) {
            this.step = 1;
            if (this.tokens[this.index].type === "end") {
                if (!this.atEnd()) {
                    break;
                }
            } else if (!this.isInGroup()) {
                this.look();
            }
        }
        const { result } = this;
        if (result.hostname !== undefined && result.port === undefined) {
            result.port = "";
        }
        return result;
    }
}
closeClass(Parser);

// Returns the components as a URLPatternInit. Throws TypeError.
export const parseConstructorString = (input) => new Parser(input).parse();
