// SPDX-License-Identifier: Apache-2.0
//
// DOMException of the Web IDL standard. Evaluated when somebody first needs one: ../dom_exception.js. provide(): build.mjs.
import { addClone } from "../platform.js";
import { Error, ErrorCaptureStackTrace, ObjectDefineProperty, ObjectSetPrototypeOf, isObject } from "../primordials.js";
import { defineInterface, toDOMString, toText } from "../webidl.js";

const codes = {
    __proto__: null,
    IndexSizeError: 1, HierarchyRequestError: 3, WrongDocumentError: 4, InvalidCharacterError: 5,
    NoModificationAllowedError: 7, NotFoundError: 8, NotSupportedError: 9, InUseAttributeError: 10,
    InvalidStateError: 11, SyntaxError: 12, InvalidModificationError: 13, NamespaceError: 14,
    InvalidAccessError: 15, TypeMismatchError: 17, SecurityError: 18, NetworkError: 19,
    AbortError: 20, URLMismatchError: 21, QuotaExceededError: 22, TimeoutError: 23,
    InvalidNodeTypeError: 24, DataCloneError: 25,
};

let isDOMException;
let messageOf;
let nameOf;

const DOMException = class {
    #message;
    #name;

    constructor(message = "", name = "Error") {
        this.#message = toDOMString(message);
        this.#name = toText(name);
        ErrorCaptureStackTrace(this, DOMException);
    }

    get name() {
        return this.#name;
    }

    get message() {
        return this.#message;
    }

    get code() {
        return codes[this.#name] ?? 0;
    }

    static {
        messageOf = (value) => value.#message;
        nameOf = (value) => value.#name;
        isDOMException = (value) => isObject(value) && #name in value;
    }
};

// Gives a clone the stack of the original, which a tenant may have replaced.
function takeStack(clone, original) {
    const { stack } = original;
    if (typeof stack === "string") {
        ObjectDefineProperty(clone, "stack", {
            __proto__: null, value: stack, writable: true, enumerable: false, configurable: true,
        });
    }
    return clone;
}

addClone({
    __proto__: null,
    is: isDOMException,
    clone: (value) => takeStack(new DOMException(messageOf(value), nameOf(value)), value),
});

ObjectSetPrototypeOf(DOMException.prototype, Error.prototype);
defineInterface(DOMException, "DOMException", {
    INDEX_SIZE_ERR: 1, DOMSTRING_SIZE_ERR: 2, HIERARCHY_REQUEST_ERR: 3, WRONG_DOCUMENT_ERR: 4,
    INVALID_CHARACTER_ERR: 5, NO_DATA_ALLOWED_ERR: 6, NO_MODIFICATION_ALLOWED_ERR: 7,
    NOT_FOUND_ERR: 8, NOT_SUPPORTED_ERR: 9, INUSE_ATTRIBUTE_ERR: 10, INVALID_STATE_ERR: 11,
    SYNTAX_ERR: 12, INVALID_MODIFICATION_ERR: 13, NAMESPACE_ERR: 14, INVALID_ACCESS_ERR: 15,
    VALIDATION_ERR: 16, TYPE_MISMATCH_ERR: 17, SECURITY_ERR: 18, NETWORK_ERR: 19, ABORT_ERR: 20,
    URL_MISMATCH_ERR: 21, QUOTA_EXCEEDED_ERR: 22, TIMEOUT_ERR: 23, INVALID_NODE_TYPE_ERR: 24,
    DATA_CLONE_ERR: 25,
});

provide({ __proto__: null, DOMException, messageOf, takeStack });
