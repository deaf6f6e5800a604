// SPDX-License-Identifier: Apache-2.0
//
// The natives of worker/v8/crypto.cc, and what their results mean.
import { openCrypto } from "../native.js";
import { domException } from "../dom_exception.js";
import { addClone } from "../platform.js";
import { cloneKey, isKey } from "./key.js";

export const native = openCrypto();

addClone({ __proto__: null, is: isKey, clone: (key) => cloneKey(key, native.another(key)) });

const OUT_OF_TIME = "The operation would take more CPU time than is left.";

// Returns the result of a native, or throws: a native returns undefined if it has failed, and null
// if it was not begun for want of CPU time.
export const checked = (result, name, message) => {
    if (result === undefined || result === null) {
        throw result === null ? domException(OUT_OF_TIME, "OperationError") :
            domException(message, name);
    }
    return result;
};

export const done = (result, message = "The operation failed.") => checked(result, "OperationError", message);
