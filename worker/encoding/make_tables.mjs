// SPDX-License-Identifier: Apache-2.0
//
// Writes the tables of tables.h as C: node make_tables.mjs FOLDER OUT.c, with the folder of the package @exodus/bytes, which has the
// indexes of the Encoding standard in a short form, and the labels. Run when skep is built.
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";

// The package asks for it, and Node.js 18 of Debian 12 has none.
String.prototype.isWellFormed ??= function isWellFormed() {
    return !/\p{Surrogate}/u.test(this);
};

const [folder, out] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(path.join(path.resolve(folder), "fallback", name)));
const { getTable } = await load("multi-byte.table.js");
const { getEncoding } = await load("single-byte.js");
const { default: labels } = await load("encoding.labels.js");

const others = [
    "utf-8", "utf-16le", "utf-16be", "gbk", "gb18030", "big5", "euc-jp", "iso-2022-jp", "shift_jis", "euc-kr", "replacement",
    "x-user-defined",
]; // enum encoding in encoding.h
const names = [...others, ...Object.keys(labels).filter((name) => !others.includes(name)).sort()];

const list = (values) => {
    let lines = "";
    for (let i = 0; i < values.length; i += 20) {
        lines += `    ${Array.from(values.slice(i, i + 20)).join(", ")},\n`;
    }
    return `{\n${lines}}`;
};

const index = (name, id) => {
    const units = getTable(id);
    return `static const uint16_t ${name}[] = ${list(units)};
const struct encoding_index index_${name} = { ${name}, ${units.length} };\n`;
};

const singleByte = (name) => {
    const units = getEncoding(name);
    return list(Array.from({ length: 128 }, (_, i) => units[i] ?? 128 + i));
};

const byLabel = Object.entries(labels).flatMap(([name, others]) => [name, ...others].map((label) => [label, names.indexOf(name)]))
    .sort(([a], [b]) => (a < b ? -1 : 1));
const big5 = getTable("big5");
const ranges = getTable("gb18030-ranges");

await writeFile(out, `/* Made by make_tables.mjs. */
#include "worker/encoding/tables.h"

${index("jis0208", "jis0208")}${index("jis0212", "jis0212")}${index("euc_kr", "euc-kr")}${index("gb18030", "gb18030")}
const uint32_t index_big5[] = ${list(big5)};
const size_t index_big5_size = ${big5.length};
const struct encoding_range gb18030_ranges[GB18030_RANGES] = ${list(ranges.map(([a, b]) => `{ ${a}, ${b} }`))};
const uint16_t single_byte_units[][SINGLE_BYTE_UNITS] = ${list(names.slice(others.length).map(singleByte))};
const struct encoding_label encoding_labels[] = ${list(byLabel.map(([label, of]) => `{ "${label}", ${of} }`))};
const size_t encoding_labels_size = ${byLabel.length};
const char *const encoding_names[] = ${list(names.map((name) => `"${name}"`))};
const size_t encoding_names_size = ${names.length};
`);
if (ranges.length !== 207) {
    throw new Error(`there are ${ranges.length} ranges of gb18030: see tables.h`);
}
