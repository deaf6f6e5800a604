// SPDX-License-Identifier: Apache-2.0
//
// Takes the natives of worker/v8 and removes them from the global object. They must not be called
// while the snapshot is made, only from an entry.

const native = globalThis.__skep;
delete globalThis.__skep;

export const {
    atob,
    btoa,
    call,
    cancelCall,
    clearTimer,
    concat: nativeConcat,
    consumeBody,
    consumeCall,
    copyBytes: nativeCopyBytes,
    decode,
    done,
    dropBytes,
    excerpt,
    findEncoding,
    findOrigins,
    frame,
    functionText,
    hasSourceMaps,
    head,
    isLatin1,
    keepTimer,
    lazy,
    locate,
    log,
    namedKeys,
    noteWaiting,
    now,
    openCompress,
    openCrypto,
    part,
    proxyParts,
    register,
    respond,
    sendBody,
    sendCall,
    setFrame,
    setTimer,
    sourceMap,
    structuredClone: nativeStructuredClone,
    takeText,
    utf8Decode,
    utf8Encode,
    utf8EncodeInto,
} = native;
