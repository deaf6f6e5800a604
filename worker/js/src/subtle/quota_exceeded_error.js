// SPDX-License-Identifier: Apache-2.0
//
// QuotaExceededError of the Web IDL standard: among the files of crypto, because only
// getRandomValues throws it.
import { domExceptionLibrary } from "../dom_exception.js";
import { addClone } from "../platform.js";
import { NumberIsFinite, RangeError, TypeError, isObject } from "../primordials.js";
import { defineInterface, toDOMString, toDictionary, toNumber } from "../webidl.js";

const { DOMException, messageOf, takeStack } = domExceptionLibrary();

const toLimit = (value, name) => {
    if (value === undefined) {
        return null;
    }
    const number = toNumber(value);
    if (!NumberIsFinite(number)) {
        throw new TypeError(`QuotaExceededError: ${name} is not a finite number.`);
    }
    if (number < 0) {
        throw new RangeError(`QuotaExceededError: ${name} is negative.`);
    }
    return number;
};

export const QuotaExceededError = class extends DOMException {
    #quota = null;
    #requested = null;

    constructor(message = "", options = undefined) {
        super(toDOMString(message), "QuotaExceededError");
        const dictionary = toDictionary(options, "QuotaExceededError");
        if (dictionary === undefined) {
            return;
        }
        this.#quota = toLimit(dictionary.quota, "quota");
        this.#requested = toLimit(dictionary.requested, "requested");
        if (this.#quota !== null && this.#requested !== null && this.#requested < this.#quota) {
            throw new RangeError("QuotaExceededError: less was requested than there is.");
        }
    }
    get quota() {
        return this.#quota;
    }
    get requested() {
        return this.#requested;
    }

    static {
        addClone({
            __proto__: null,
            is: (value) => isObject(value) && #quota in value,
            clone: (error) => {
                const clone = new QuotaExceededError(messageOf(error));
                clone.#quota = error.#quota;
                clone.#requested = error.#requested;
                return takeStack(clone, error);
            },
        });
    }
};
defineInterface(QuotaExceededError, "QuotaExceededError");
