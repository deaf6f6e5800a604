// SPDX-License-Identifier: Apache-2.0
//
// FormData, and forms as bodies. Evaluated when a tenant first looks at FormData, or reads a body as one: ../form.js. provide(): build.mjs.
import { FormData, formEntries, isFormData } from "./form_data.js";
import { encodeMultipart, parseMultipart, parseUrlEncoded } from "./multipart.js";

provide({ __proto__: null, FormData, encodeMultipart, formEntries, isFormData, parseMultipart, parseUrlEncoded });
