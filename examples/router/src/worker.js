// SPDX-License-Identifier: Apache-2.0
// Shows that a framework from npm runs as it is: routes, parameters, JSON, middleware, errors, and
// a body that is streamed.
import { Hono } from 'hono';
import { stream } from 'hono/streaming';
import { notes } from './notes.js';
import { counting } from './counting.js';

const app = new Hono();

app.use('*', counting);

app.get('/', (c) =>
    c.text(`${c.env.SITE}\n\nTry /users/7, /json, /search?q=bees, /notes, /count/5, /fail\n`),
);

app.get('/users/:id{[0-9]+}', (c) => c.json({ id: Number(c.req.param('id')), path: c.req.path }));

app.get('/json', (c) => c.json({ hello: 'world', agent: c.req.header('user-agent') ?? null }));

app.get('/search', (c) => c.json({ q: c.req.query('q') ?? '', all: c.req.queries('tag') ?? [] }));

app.route('/notes', notes);

// Sends one line at a time.
app.get('/count/:to{[0-9]{1,4}}', (c) =>
    stream(c, async (out) => {
        c.header('content-type', 'text/plain; charset=utf-8');
        for (let i = 1; i <= Number(c.req.param('to')); i++) {
            await out.write(`${i}\n`);
            await out.sleep(1);
        }
    }),
);

// Sends the request's body back while it arrives.
app.post('/echo', (c) => c.body(c.req.raw.body, 200, { 'content-type': 'application/octet-stream' }));

app.get('/fail', () => {
    throw new Error('failed on purpose');
});

app.notFound((c) => c.json({ error: `nothing at ${c.req.path}` }, 404));

app.onError((error, c) => {
    console.error(error);
    return c.json({ error: error.message }, 500);
});

export default app;
