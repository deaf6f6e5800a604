// SPDX-License-Identifier: Apache-2.0
//
// fetch() (Fetch standard), and the folder with its code and that of bindings, which is evaluated with the first call of either.
import { load } from "lazy:./fetch/main.js";
import { firstUse } from "./first_use.js";
import { waitFor } from "./place.js";
import { Request } from "./request.js";
import { requireArguments } from "./webidl.js";

let library;

// Returns the functions that fetch/main.js names.
export const fetchLibrary = () => (library ??= firstUse(load));

export const fetchFunctions = {
    fetch(input, init = undefined) {
        return waitFor((take, fail) => {
            requireArguments(arguments.length, 1, "fetch");
            fetchLibrary().fetchRequest(new Request(input, init), (response) => take(() => response), fail);
        });
    },
};
