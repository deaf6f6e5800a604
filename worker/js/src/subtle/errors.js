// SPDX-License-Identifier: Apache-2.0
//
// The DOMExceptions of Web Crypto, by name.
import { domException } from "../dom_exception.js";

const make = (name) => (message) => domException(message, name);

export const dataError = make("DataError");
export const invalidAccess = make("InvalidAccessError");
export const notSupported = make("NotSupportedError");
export const operationError = make("OperationError");
export const syntaxError = make("SyntaxError");
