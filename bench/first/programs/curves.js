// SPDX-License-Identifier: Apache-2.0
import { secp256k1 } from "@noble/curves/secp256k1.js";

export default {
    fetch() {
        const key = new Uint8Array(32).fill(7), message = new Uint8Array(32).fill(9);
        const signature = secp256k1.sign(message, key);
        return new Response(String(secp256k1.verify(signature, message, secp256k1.getPublicKey(key))));
    },
};
