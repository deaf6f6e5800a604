// SPDX-License-Identifier: Apache-2.0
//
// atob and btoa (HTML, Infra's forgiving base64), and what V8 lacks of base64 for Uint8Array.
import { load } from "lazy:./base64/main.js";
import { atob, btoa, lazy } from "./native.js";
import { ObjectDefineProperty, Uint8Array } from "./primordials.js";
import { DOMException } from "./dom_exception.js";
import { requireArguments, toText } from "./webidl.js";

function checked(result) {
    if (result === undefined) {
        throw new DOMException("The string is not correctly encoded.", "InvalidCharacterError");
    }
    return result;
}

export const base64Functions = {
    atob(data) {
        requireArguments(arguments.length, 1, "atob");
        return checked(atob(toText(data)));
    },

    btoa(data) {
        requireArguments(arguments.length, 1, "btoa");
        return checked(btoa(toText(data)));
    },
};

let folder;
export const base64Library = () => (folder ??= load());

export let builtinFromBase64;

const wrapped = {
    fromBase64(string) {
        return base64Library().fromBase64(string, arguments[1]);
    },
};

// Called in each new context: V8 adds what is behind a flag to it after the snapshot.
export function prepareBase64() {
    builtinFromBase64 = Uint8Array.fromBase64;
    if (builtinFromBase64 !== undefined) { // Node.js has it later
        ObjectDefineProperty(Uint8Array, "fromBase64", { __proto__: null, value: wrapped.fromBase64 });
    }
    lazy(Uint8Array.prototype, "setFromBase64");
    lazy(Uint8Array.prototype, "setFromHex");
}
