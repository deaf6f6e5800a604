// SPDX-License-Identifier: Apache-2.0
//
// The text of console.table: one row for each entry of the data, one column for each key of the
// rows, as Node draws it.
import {
    ArrayIsArray, Map, MapPrototypeForEach, MapPrototypeGet, MapPrototypeSet, ObjectHasOwn,
    StringPrototypeRepeat, TypedArrayPrototypeGetTag, isObject, newList,
} from "../primordials.js";
import { inspect } from "../inspect.js";
import { MAX_TEXT } from "../inspect_text.js";
import { head } from "../native.js";
import { someKeys, unproxied } from "./bounds.js";

const MAX_ROWS = 1000;
const MAX_COLUMNS = 100;
const MAX_CELLS = 2000; // more cells than a line of the log can show
const MAX_CELL_TEXT = 256;
const VALUES = "Values";
const options = { __proto__: null, depth: 0, maxArrayLength: 3, breakLength: Infinity };

// Cuts a text: nobody would find a column in a wider table.
function short(text) {
    return text.length > MAX_CELL_TEXT ? `${head(text, MAX_CELL_TEXT)}…` : text;
}

const show = (value) => short(inspect(value, options));

// Returns the first keys. Those of arrays are indices: a large one has too many to list them all.
function keysOf(object, most) {
    if (!ArrayIsArray(object) && TypedArrayPrototypeGetTag(object) === undefined) {
        return someKeys(object);
    }
    const keys = newList();
    for (let i = 0; i < object.length && i < 10 * most && keys.length < most; i++) {
        if (ObjectHasOwn(object, i)) {
            keys[keys.length] = `${i}`;
        }
    }
    return keys;
}

export function renderTable(data, properties) {
    data = unproxied(data) ?? newList();
    const columns = new Map(); // in the order of their first use; name to true
    const rows = newList();
    let hasValues = false;
    const keys = keysOf(data, MAX_ROWS);
    let cells = 0;
    for (let i = 0; i < keys.length && i < MAX_ROWS && cells < MAX_CELLS; i++) {
        const item = unproxied(data[keys[i]]);
        const row = new Map();
        let value = "";
        if (isObject(item)) {
            const own = ArrayIsArray(properties) ? properties : keysOf(item, MAX_COLUMNS);
            for (let j = 0; j < own.length && j < MAX_COLUMNS; j++) {
                const name = short(`${own[j]}`);
                cells++;
                MapPrototypeSet(columns, name, true);
                MapPrototypeSet(row, name, name in item ? show(item[name]) : "");
            }
        } else {
            value = show(item);
            hasValues = true;
        }
        cells++;
        rows[rows.length] = { __proto__: null, index: short(keys[i]), row, value };
    }
    const heads = newList();
    heads[0] = "(index)";
    MapPrototypeForEach(columns, (yes, name) => {
        heads[heads.length] = name;
    });
    const lines = newList();
    for (let i = 0; i < rows.length; i++) {
        const line = newList();
        line[0] = rows[i].index;
        MapPrototypeForEach(columns, (yes, name) => {
            line[line.length] = MapPrototypeGet(rows[i].row, name) ?? "";
        });
        if (hasValues) {
            line[line.length] = rows[i].value;
        }
        lines[lines.length] = line;
    }
    if (hasValues) {
        heads[heads.length] = VALUES;
    }
    return draw(heads, lines);
}

function draw(heads, lines) {
    const widths = newList();
    for (let c = 0; c < heads.length; c++) {
        widths[c] = heads[c].length + 2;
        for (let i = 0; i < lines.length; i++) {
            widths[c] = widths[c] < lines[i][c].length + 2 ? lines[i][c].length + 2 : widths[c];
        }
    }
    const rule = (left, middle, right) => {
        let text = left;
        for (let c = 0; c < widths.length; c++) {
            text += (c === 0 ? "" : middle) + StringPrototypeRepeat("─", widths[c]);
        }
        return text + right;
    };
    const row = (cells) => {
        let text = "│";
        for (let c = 0; c < widths.length; c++) {
            text += ` ${cells[c]}${StringPrototypeRepeat(" ", widths[c] - cells[c].length - 1)}│`;
        }
        return text;
    };
    let text = `${rule("┌", "┬", "┐")}\n${row(heads)}\n${rule("├", "┼", "┤")}\n`;
    for (let i = 0; i < lines.length && text.length <= MAX_TEXT; i++) {
        text += `${row(lines[i])}\n`;
    }
    return text + rule("└", "┴", "┘");
}
