// SPDX-License-Identifier: Apache-2.0
// A sub-app: notes that live as long as the isolate. An isolate may go at any time and another one
// may serve the next request, so this is a demonstration, not storage.
import { Hono } from 'hono';

const limit = 100;
const kept = new Map();
let last = 0;

export const notes = new Hono();

notes.get('/', (c) => c.json([...kept.values()]));

notes.post('/', async (c) => {
    const { text } = await c.req.json();
    if (typeof text !== 'string' || text.length > 1000) {
        return c.json({ error: 'expected { "text": "at most 1000 characters" }' }, 400);
    }
    if (kept.size >= limit) kept.delete(kept.keys().next().value);
    const note = { id: ++last, text };
    kept.set(note.id, note);
    return c.json(note, 201, { location: `/notes/${note.id}` });
});

notes.get('/:id', (c) => {
    const note = kept.get(Number(c.req.param('id')));
    return note ? c.json(note) : c.notFound();
});

notes.delete('/:id', (c) =>
    kept.delete(Number(c.req.param('id'))) ? c.body(null, 204) : c.notFound(),
);
