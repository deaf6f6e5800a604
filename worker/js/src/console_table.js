// SPDX-License-Identifier: Apache-2.0
//
// The text of console.table: one row for each entry of the data, one column for each key of the
// rows, as Node draws it.
import {
    ArrayIsArray, Map, MapPrototypeForEach, MapPrototypeGet, MapPrototypeSet, ObjectKeys,
    StringPrototypeRepeat, isObject, newList,
} from "./primordials.js";
import { inspect } from "./inspect.js";

const MAX_ROWS = 1000;
const VALUES = "Values";
const options = { depth: 0, maxArrayLength: 3, breakLength: Infinity };

const show = (value) => inspect(value, options);

export function renderTable(data, properties) {
    const columns = new Map(); // in the order of their first use; name to true
    const rows = newList();
    let hasValues = false;
    const keys = ObjectKeys(data);
    for (let i = 0; i < keys.length && i < MAX_ROWS; i++) {
        const item = data[keys[i]];
        const row = new Map();
        let value = "";
        if (isObject(item)) {
            const own = ArrayIsArray(properties) ? properties : ObjectKeys(item);
            for (let j = 0; j < own.length; j++) {
                const name = `${own[j]}`;
                MapPrototypeSet(columns, name, true);
                MapPrototypeSet(row, name, name in item ? show(item[name]) : "");
            }
        } else {
            value = show(item);
            hasValues = true;
        }
        rows[rows.length] = { index: keys[i], row, value };
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
    for (let i = 0; i < lines.length; i++) {
        text += `${row(lines[i])}\n`;
    }
    return text + rule("└", "┴", "┘");
}
