const prices = new Map([["apples", 3], ["pears", 4]]);

export default {
    async fetch(request, env, ctx) {
        if (ctx.caller === null) {
            return new Response("for other tenants only\n", { status: 403 });
        }
        const fruit = new URL(request.url).pathname.slice(1);
        return prices.has(fruit) ? Response.json({ fruit, price: prices.get(fruit), asked_by: ctx.caller })
            : new Response(null, { status: 404 });
    },
};
