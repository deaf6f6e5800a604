// SPDX-License-Identifier: Apache-2.0
// Middleware: says in a response header how many requests this isolate has served before.
import { createMiddleware } from 'hono/factory';

let served = 0;

export const counting = createMiddleware(async (c, next) => {
    const before = served++;
    await next();
    c.header('x-served-before', String(before));
});
