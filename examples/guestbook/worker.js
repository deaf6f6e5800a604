// GET / counts visits of each day in key-value, and shows what POST / has written into the database.
const today = () => new Date().toISOString().slice(0, 10);

async function count(visits) {
    const day = today();
    const n = 1 + Number(await visits.get(day) ?? 0);
    await visits.put(day, String(n), { expirationTtl: 30 * 24 * 3600 });
    return n;
}

export default {
    async fetch(request, env) {
        await env.DB.exec("CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL)");
        if (request.method === "POST") {
            const { name, text } = await request.json();
            const { meta } = await env.DB.prepare("INSERT INTO entries (name, text) VALUES (?, ?)").bind(name, text).run();
            return Response.json({ id: meta.last_row_id }, { status: 201 });
        }
        const { results } = await env.DB.prepare("SELECT name, text FROM entries ORDER BY id DESC LIMIT 20").all();
        return Response.json({ visits_today: await count(env.VISITS), entries: results });
    },
};
