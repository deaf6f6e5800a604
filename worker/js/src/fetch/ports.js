// SPDX-License-Identifier: Apache-2.0
//
// Ports that fetch() does not connect to (Fetch standard, "port blocking"). skep-egress has the same list (egress/target.c).
import { Number, RegExpPrototypeExec, StringPrototypeIndexOf, StringPrototypeSlice } from "../primordials.js";
import { failed } from "./failure.js";

const blocked = [
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123,
    135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995,
    1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
];

// Throws TypeError for a blocked port. url: serialised, of http or https, without credentials. from: as that of failed().
export function checkPort(url, from = undefined) {
    const start = StringPrototypeIndexOf(url, "/") + 2;
    const found = RegExpPrototypeExec(/:([0-9]+)$/, StringPrototypeSlice(url, start, StringPrototypeIndexOf(url, "/", start)));
    const port = found === null ? -1 : Number(found[1]);
    for (let i = 0; i < blocked.length; i++) {
        if (blocked[i] === port) {
            throw failed(url, `the port ${port} is one that browsers block, too`, from);
        }
    }
}
