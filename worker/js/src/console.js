// SPDX-License-Identifier: Apache-2.0
//
// console (Console standard). Each call is one line of the tenant's log; a text of more than
// 8 KiB is cut.
import { log } from "./native.js";
import {
    ErrorCaptureStackTrace, Map, MapPrototypeDelete, MapPrototypeGet, MapPrototypeSet,
    ObjectCreate, ObjectDefineProperty, ObjectKeys, StringPrototypeIncludes,
    StringPrototypeIndexOf, StringPrototypeSlice,
    SymbolToStringTag, isObject,
} from "./primordials.js";
import { elapsed as now } from "./clock.js";
import { MAX_TEXT, cut, formatText, inspect, inspectLibrary, withoutOwnFrames } from "./inspect.js";
import { mapText } from "./source_maps.js";

const DEBUG = 0;
const INFO = 1;
const WARN = 2;
const ERROR = 3;

let indent = "";
let counts;
let timersByLabel;

function write(level, text) {
    text = mapText(cut(text), false);
    log(level, indent === "" ? text : cut(indent + replaceNewlines(text)));
}

function replaceNewlines(text) {
    let out = "";
    for (let i = 0; i < text.length; i++) {
        out += text[i] === "\n" ? "\n" + indent : text[i];
    }
    return out;
}

function format(args) {
    if (args.length === 1) {
        return inspect(args[0]);
    }
    if (args.length === 0) {
        return "";
    }
    if (typeof args[0] === "string" && StringPrototypeIncludes(cut(args[0]), "%")) {
        try {
            return formatText(args);
        } catch {
            // an argument may do anything when it is shown; below it is shown more carefully
        }
    }
    let text = inspect(args[0]);
    for (let i = 1; i < args.length && text.length <= MAX_TEXT; i++) {
        text += " " + inspect(args[i]);
    }
    return text;
}

const toLabel = (label) => cut(`${label}`);

function elapsed(label) {
    const start = timersByLabel === undefined ? undefined : MapPrototypeGet(timersByLabel, label);
    return start === undefined ? undefined : now() - start;
}

function elapsedText(label, ms) {
    return ms < 1000 ? `${label}: ${ms}ms` : `${label}: ${ms / 1000}s`;
}

const methods = {
    assert(condition = false, ...data) {
        if (!condition) {
            if (data.length === 0) {
                write(ERROR, "Assertion failed");
            } else if (typeof data[0] === "string") {
                data[0] = `Assertion failed: ${cut(data[0])}`;
                write(ERROR, format(data));
            } else {
                write(ERROR, `Assertion failed: ${format(data)}`);
            }
        }
    },
    clear() {},
    debug(...data) {
        write(DEBUG, format(data));
    },
    error(...data) {
        write(ERROR, format(data));
    },
    info(...data) {
        write(INFO, format(data));
    },
    log(...data) {
        write(INFO, format(data));
    },
    table(data = undefined, properties = undefined) {
        let text;
        try {
            text = isObject(data) ? inspectLibrary().renderTable(data, properties) : inspect(data);
        } catch {
            text = inspect(data);
        }
        write(INFO, text);
    },
    trace(...data) {
        const holder = ObjectCreate(null);
        ErrorCaptureStackTrace(holder, methods.trace);
        const text = format(data);
        const stack = cut(`${holder.stack}`);
        const lines = StringPrototypeSlice(stack, StringPrototypeIndexOf(stack, "\n") + 1);
        write(DEBUG, `Trace${text === "" ? "" : `: ${text}`}\n${withoutOwnFrames(lines)}`);
    },
    warn(...data) {
        write(WARN, format(data));
    },
    dir(item = undefined, options = undefined) {
        write(INFO, inspect(item, options ?? { __proto__: null }, false));
    },
    dirxml(...data) {
        write(INFO, format(data));
    },
    count(label = "default") {
        label = toLabel(label);
        const count = (MapPrototypeGet(counts ??= new Map(), label) ?? 0) + 1;
        MapPrototypeSet(counts, label, count);
        write(INFO, `${label}: ${count}`);
    },
    countReset(label = "default") {
        label = toLabel(label);
        if (counts === undefined || !MapPrototypeDelete(counts, label)) {
            write(WARN, `Count for '${label}' does not exist`);
        }
    },
    group(...data) {
        if (data.length > 0) {
            write(INFO, format(data));
        }
        if (indent.length < 64) {
            indent += "  ";
        }
    },
    groupCollapsed(...data) {
        methods.group(...data);
    },
    groupEnd() {
        indent = StringPrototypeSlice(indent, 2);
    },
    time(label = "default") {
        label = toLabel(label);
        if (elapsed(label) !== undefined) {
            write(WARN, `Timer '${label}' already exists`);
            return;
        }
        MapPrototypeSet(timersByLabel ??= new Map(), label, now());
    },
    timeLog(label = "default", ...data) {
        label = toLabel(label);
        const ms = elapsed(label);
        if (ms === undefined) {
            write(WARN, `Timer '${label}' does not exist`);
            return;
        }
        const more = format(data);
        write(INFO, elapsedText(label, ms) + (more === "" ? "" : ` ${more}`));
    },
    timeEnd(label = "default") {
        label = toLabel(label);
        const ms = elapsed(label);
        if (ms === undefined) {
            write(WARN, `Timer '${label}' does not exist`);
            return;
        }
        MapPrototypeDelete(timersByLabel, label);
        write(INFO, elapsedText(label, ms));
    },
};

// A namespace object: its prototype is an empty object that inherits from Object.prototype.
export const console = ObjectCreate({});
const names = ObjectKeys(methods);
for (let i = 0; i < names.length; i++) {
    ObjectDefineProperty(console, names[i], {
        __proto__: null, value: methods[names[i]],
        writable: true, enumerable: true, configurable: true,
    });
}
ObjectDefineProperty(console, SymbolToStringTag,
    { __proto__: null, value: "console", configurable: true });
