// SPDX-License-Identifier: Apache-2.0
//
// env.NAME of a binding to an SQL database: the methods, results and texts of Cloudflare's D1Database.
import { atob, head, takeText, utf8Decode } from "../native.js";
import {
    ArrayIsArray, ArrayPrototypeSlice, Boolean, Error, JSONParse, NumberIsFinite, ObjectDefineProperty, ObjectHasOwn, StringPrototypeCharCodeAt,
    StringPrototypeIndexOf, StringPrototypeSlice, Symbol, SymbolPrototypeToString, TypeError, Uint8Array, bytesOf, copyBytes, isObject, newList,
} from "../primordials.js";
import { waitFor, withoutPlace } from "../place.js";
import { defineInterface, isBufferSource, requireArguments, toDictionary, toText } from "../webidl.js";
import { converted, isOk, operate, textOf } from "./operation.js";
import { BYTES, NULL, Packer, REAL, STATEMENT, TEXT, headSize } from "./values.js";

const internal = Symbol("internal");
const NO_PARAMETERS = newList();

const VALUES_MAX = 8 * 2 ** 20;
const SHOWN_MAX = 100; // units of a value in a message

// An error as D1 makes it: the text behind a code, and the same as the cause.
const failed = (text, code = "D1_ERROR") => 
    withoutPlace(new Error(`${code}: ${text}`, { __proto__: null, cause: new Error(text) }));

// Makes the error that an answer says.
function failedAnswer(answer, code = "D1_ERROR") {
    const text = textOf(answer);
    const prefix = StringPrototypeIndexOf(text, "D1_ERROR: ") === 0 ? "D1_ERROR: " : `${code}: `;
    return failed(StringPrototypeIndexOf(text, prefix) === 0 ? StringPrototypeSlice(text, prefix.length) : text, code);
}

const newPacker = (code) => new Packer(VALUES_MAX, () => failed("The statements and their parameters are longer than 8 MiB.", code));

// ---- parameters

function shown(value) {
    return head(typeof value === "symbol" ? SymbolPrototypeToString(value) : `${value}`, SHOWN_MAX);
}

// Returns the bytes of an array of bytes; undefined: it is another one.
function arrayBytes(array) {
    const { length } = array;
    if (length > VALUES_MAX) {
        return undefined;
    }
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) {
        const byte = array[i];
        if (typeof byte !== "number" || !(byte >= 0 && byte < 256)) {
            return undefined;
        }
        bytes[i] = byte;
    }
    return bytes;
}

// Every number is a REAL, as in D1: `? / 2` of 1 is 0.5. A column of INTEGER makes an integer of a whole one.
const numberTag = (value) => NumberIsFinite(value) ? REAL : NULL; // JSON, in which D1 sends them, has no others

// Appends a parameter to a list: its tag and its content.
function addParameter(list, value) {
    let tag;
    let content = value;
    if (typeof value === "string") {
        tag = TEXT;
    } else if (typeof value === "number") {
        tag = numberTag(value);
    } else if (typeof value === "boolean") {
        tag = REAL;
        content = value ? 1 : 0;
    } else if (value === null) {
        tag = NULL;
    } else if (isObject(value)) {
        content = isBufferSource(value) ? copyBytes(bytesOf(value)) : ArrayIsArray(value) ? arrayBytes(value) : undefined;
        tag = content === undefined ? undefined : BYTES;
    }
    if (tag === undefined) {
        throw failed(`Type '${typeof value}' not supported for value '${shown(value)}'`, "D1_TYPE_ERROR");
    }
    list[list.length] = tag;
    list[list.length] = content;
}

// ---- results

// Returns the array of a blob, which D1 gives for one, from its base64.
function toBytes(text) {
    const binary = atob(text) ?? "";
    const list = newList();
    for (let i = 0; i < binary.length; i++) {
        list[i] = StringPrototypeCharCodeAt(binary, i);
    }
    return ArrayPrototypeSlice(list);
}

// Puts the arrays of blobs into rows that have any.
function openBlobs(rows) {
    for (let i = 0; i < rows.length; i++) {
        const row = rows[i];
        for (let j = 0; j < row.length; j++) {
            if (ArrayIsArray(row[j])) {
                row[j] = toBytes(row[j][0]);
            }
        }
    }
}

// An object with all columns, which those of the rows are copied from: so they have one shape, and what a tenant has put on
// Object.prototype is not met. The last of columns with the same name counts.
function makeRow(columns) {
    const row = {};
    for (let i = 0; i < columns.length; i++) {
        ObjectDefineProperty(row, columns[i], { __proto__: null, value: null, writable: true, enumerable: true, configurable: true });
    }
    return row;
}

// Makes an object of each row, up to a number of them, in its place.
function toObjects(columns, rows, most = rows.length) {
    const empty = makeRow(columns);
    const count = columns.length;
    for (let i = 0; i < most; i++) {
        const row = rows[i];
        const object = { ...empty };
        for (let j = 0; j < count; j++) {
            object[columns[j]] = row[j];
        }
        rows[i] = object;
    }
    return rows;
}

function toMeta({ changed_db, changes, duration, last_row_id, rows_read, rows_written, size_after }) {
    return { served_by: "skep", duration, changes, last_row_id, changed_db, size_after, rows_read, rows_written };
}

const toResult = (statement) => ({
    success: true, meta: toMeta(statement), results: toObjects(statement.columns, statement.rows),
});

// Returns what the answer has, as JSON, or throws what it says.
function open(answer, code) {
    if (!isOk(answer)) {
        throw failedAnswer(answer, code);
    }
    const { bytes } = answer;
    const size = headSize(bytes);
    for (let i = 0; i < size; i++) {
        bytes[i] = 0x20; // there are no values: all of it is JSON then
    }
    return JSONParse(takeText(bytes) ?? utf8Decode(bytes, false));
}

// Returns the results of all statements.
function openResults(answer) {
    const statements = open(answer);
    for (let i = 0; i < statements.length; i++) {
        if (ObjectHasOwn(statements[i], "blobs")) {
            openBlobs(statements[i].rows);
        }
    }
    return statements;
}

function toFirst({ columns, rows }, column) {
    if (rows.length === 0) {
        return null;
    }
    if (column === undefined) {
        return toObjects(columns, rows, 1)[0];
    }
    for (let i = columns.length - 1; i >= 0; i--) {
        if (columns[i] === column) {
            return rows[0][i];
        }
    }
    throw new Error(`D1_COLUMN_NOTFOUND: Column not found (${head(column, SHOWN_MAX)})`, { __proto__: null, cause: new Error("Column not found") });
}

function toRaw({ columns, rows }, hasNames) {
    if (!hasNames) {
        return rows;
    }
    const list = newList();
    list[0] = columns;
    for (let i = 0; i < rows.length; i++) {
        list[i + 1] = rows[i];
    }
    return ArrayPrototypeSlice(list);
}

// ---- operations

const asked = (binding, name, packer, code) => ({
    __proto__: null, title: `D1 ${name}`, failedBy: (text) => failed(text, code), binding, name, bytes: packer.finish(), stream: undefined,
    isStreamed: false,
});

// Returns a promise. prepare() returns { binding, statements }, a list of statements; convert makes the result of what the answer has for them.
const run = (prepare, convert) => waitFor((take, fail) => {
    const { binding, statements } = prepare();
    if (statements.length === 0) {
        throw failed("No SQL statements detected.");
    }
    const packer = newPacker();
    for (let i = 0; i < statements.length; i++) {
        const { parameters, text } = statements[i];
        packer.add(STATEMENT, text);
        for (let j = 0; j < parameters.length; j += 2) {
            packer.add(parameters[j], parameters[j + 1]);
        }
    }
    operate(asked(binding, "query", packer), converted(take, (answer) => convert(openResults(answer))), fail);
});

// bindingOf() is a brand check, sqlOf() converts the argument.
const execute = (bindingOf, sqlOf) => waitFor((take, fail) => {
    const binding = bindingOf();
    const packer = newPacker("D1_EXEC_ERROR");
    packer.add(TEXT, sqlOf());
    operate(asked(binding, "exec", packer, "D1_EXEC_ERROR"), converted(take, (answer) => {
        const { count, duration } = open(answer, "D1_EXEC_ERROR");
        return { count, duration };
    }), fail);
});

let statementOf; // { binding, text, parameters } of a D1PreparedStatement

// Runs one statement. argumentOf() converts an argument of the method, which convert gets behind the result.
function runOne(object, argumentOf, convert) {
    let argument;
    return run(() => {
        const statement = statementOf(object);
        argument = argumentOf();
        const statements = newList();
        statements[0] = statement;
        return { __proto__: null, binding: statement.binding, statements };
    }, (results) => convert(results[0], argument));
}

const noArgument = () => undefined;

const D1PreparedStatement = class {
    #binding;
    #text;
    #parameters; // tag and content, in turn

    constructor(token, binding, text, parameters) {
        if (token !== internal) {
            throw new TypeError("D1PreparedStatement: Illegal constructor");
        }
        this.#binding = binding;
        this.#text = text;
        this.#parameters = parameters;
    }

    bind(...values) {
        const binding = this.#binding;
        const parameters = newList();
        for (let i = 0; i < values.length; i++) {
            addParameter(parameters, values[i]);
        }
        return new D1PreparedStatement(internal, binding, this.#text, parameters);
    }

    first(column = undefined) {
        return runOne(this, () => (column === undefined ? undefined : toText(column)), toFirst);
    }

    run() {
        return runOne(this, noArgument, toResult);
    }

    all() {
        return runOne(this, noArgument, toResult);
    }

    raw(options = undefined) {
        return runOne(this, () => Boolean(toDictionary(options, "D1PreparedStatement.raw")?.columnNames), toRaw);
    }

    static {
        statementOf = (value) => {
            if (!isObject(value) || !(#text in value)) {
                throw new TypeError("Not a D1PreparedStatement: db.prepare() makes one.");
            }
            return { __proto__: null, binding: value.#binding, text: value.#text, parameters: value.#parameters };
        };
    }
};
defineInterface(D1PreparedStatement, "D1PreparedStatement");

const makeStatement = (binding, sql) => new D1PreparedStatement(internal, binding, toText(sql), NO_PARAMETERS);

// Runs the statements of an array in one transaction.
const batch = (bindingOf, array) => run(() => {
    const binding = bindingOf();
    if (!ArrayIsArray(array)) {
        throw new TypeError("batch: parameter 1 is not an array of prepared statements.");
    }
    const statements = newList();
    for (let i = 0; i < array.length; i++) {
        statements[i] = statementOf(array[i]);
    }
    return { __proto__: null, binding, statements };
}, (results) => {
    for (let i = 0; i < results.length; i++) {
        results[i] = toResult(results[i]);
    }
    return results;
});

// All is read and written in one place: a session is as any other use, and there is nothing that a bookmark could be for.
const D1DatabaseSession = class {
    #binding;

    constructor(token, binding) {
        if (token !== internal) {
            throw new TypeError("D1DatabaseSession: Illegal constructor");
        }
        this.#binding = binding;
    }

    prepare(query) {
        const binding = this.#binding;
        requireArguments(arguments.length, 1, "D1DatabaseSession.prepare");
        return makeStatement(binding, query);
    }

    batch(statements) {
        return batch(() => this.#binding, statements);
    }

    getBookmark() {
        this.#binding; // eslint-disable-line no-unused-expressions -- brand check
        return null;
    }
};
defineInterface(D1DatabaseSession, "D1DatabaseSession");

const D1Database = class {
    #binding;

    constructor(token, binding) {
        if (token !== internal) {
            throw new TypeError("D1Database: Illegal constructor");
        }
        this.#binding = binding;
    }

    prepare(query) {
        const binding = this.#binding;
        requireArguments(arguments.length, 1, "D1Database.prepare");
        return makeStatement(binding, query);
    }

    batch(statements) {
        return batch(() => this.#binding, statements);
    }

    exec(query) {
        return execute(() => this.#binding, () => {
            requireArguments(arguments.length, 1, "D1Database.exec");
            return toText(query);
        });
    }

    withSession() {
        return new D1DatabaseSession(internal, this.#binding);
    }

    dump() {
        return waitFor(() => {
            this.#binding; // eslint-disable-line no-unused-expressions -- brand check
            throw failed("a tenant cannot dump its database here: \"skep data export\" does", "D1_DUMP_ERROR");
        });
    }
};
defineInterface(D1Database, "D1Database");

export const makeSql = (binding) => new D1Database(internal, binding);
