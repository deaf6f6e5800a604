// SPDX-License-Identifier: Apache-2.0
// The servers that handlers of bench/fetch ask: plain, TLS, and one that never answers. Arguments: certificate and key,
// PEM. Prints their ports. The CPU time of this process is not counted.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { createServer as createSilentServer } from 'node:net';

const MIB = Buffer.alloc(1 << 20, 'x');

function answer(request, response) {
    response.setHeader('content-type', 'text/plain;charset=UTF-8');
    if (request.url === '/mib') {
        response.setHeader('content-length', MIB.length);
        return response.end(MIB);
    }
    let bytes = 0;
    request.on('data', (data) => { bytes += data.length; });
    request.on('end', () => response.end(request.method === 'POST' ? `${bytes}\n` : 'Hello, world\n'));
}

const [cert, key] = process.argv.slice(2).map((path) => readFileSync(path));
const options = { keepAliveTimeout: 120000 };
const servers = [
    createServer(options, answer),
    createSecureServer({ ...options, cert, key }, answer),
    createSilentServer((socket) => { socket.on('data', () => {}); socket.on('error', () => {}); }),
];
const ports = servers.map((server) => new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(server.address().port));
}));
console.log((await Promise.all(ports)).join(' '));
