// SPDX-License-Identifier: Apache-2.0
// The same answer from node:http; port as the argument.
import { createServer } from 'node:http';

createServer((request, response) => {
    response.setHeader('content-type', 'text/plain;charset=UTF-8');
    response.end('Hello, world\n');
}).listen(Number(process.argv[2]), '127.0.0.1');
