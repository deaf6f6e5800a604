// SPDX-License-Identifier: Apache-2.0
//
// atob and btoa (HTML, Infra's forgiving base64), and what V8 lacks of base64 for Uint8Array, or has wrong.
import { load } from "lazy:./base64/main.js";
import { atob, btoa, lazy } from "./native.js";
import { ObjectDefineProperty, Uint8Array } from "./primordials.js";
import { domException } from "./dom_exception.js";
import { requireArguments, toText } from "./webidl.js";

function checked(result, message) {
    if (result === undefined) {
        throw domException(message, "InvalidCharacterError");
    }
    return result;
}

export const base64Functions = {
    atob(data) {
        requireArguments(arguments.length, 1, "atob");
        return checked(atob(toText(data)), "atob: parameter 1 is not base64.");
    },

    btoa(data) {
        requireArguments(arguments.length, 1, "btoa");
        return checked(btoa(toText(data)), "btoa: parameter 1 has a character above U+00FF; encode it first, with TextEncoder.");
    },
};

let folder;
export const base64Library = () => (folder ??= load());

export let builtinFromBase64, builtinToBase64, builtinToHex;

const wrapped = {
    fromBase64(string) {
        return base64Library().fromBase64(string, arguments[1]);
    },
    toBase64() {
        return base64Library().toBase64(this, arguments[0]);
    },
    toHex() {
        return base64Library().toHex(this);
    },
};

// Called in each new context: V8 adds what is behind a flag to it after the snapshot.
export function prepareBase64() {
    const { prototype } = Uint8Array;
    builtinFromBase64 = Uint8Array.fromBase64;
    if (builtinFromBase64 !== undefined) { // Node.js has it later
        builtinToBase64 = prototype.toBase64;
        builtinToHex = prototype.toHex;
        ObjectDefineProperty(Uint8Array, "fromBase64", { __proto__: null, value: wrapped.fromBase64 });
        ObjectDefineProperty(prototype, "toBase64", { __proto__: null, value: wrapped.toBase64 });
        ObjectDefineProperty(prototype, "toHex", { __proto__: null, value: wrapped.toHex });
    }
    lazy(prototype, "setFromBase64");
    lazy(prototype, "setFromHex");
}
