// SPDX-License-Identifier: Apache-2.0
//
// crypto.subtle and the classes that belong to it: evaluated when a tenant first looks at one of them. provide(): build.mjs.
import { DigestStream } from "./digest_stream.js";
import { CryptoKey } from "./key.js";
import { done, native } from "./native.js";
import { QuotaExceededError } from "./quota_exceeded_error.js";
import { SubtleCrypto, internal } from "./subtle.js";

const subtle = new SubtleCrypto(internal);
const digest = (hash, data) => done(native.digest(hash, data));

provide({ __proto__: null, CryptoKey, DigestStream, QuotaExceededError, SubtleCrypto, digest, subtle });
