export default {
    async fetch(request, env) {
        const fruit = new URL(request.url).pathname.slice(1) || "apples";
        const answer = await env.PRICES.fetch(`http://prices/${fruit}`);
        if (answer.status === 404) {
            return new Response(`no ${fruit} today\n`, { status: 404 });
        }
        if (!answer.ok) {
            return new Response(`no prices: ${answer.headers.get("skep-error")}\n`, { status: 503 });
        }
        const { price } = await answer.json();
        return new Response(`${fruit}: ${price}\n`);
    },
};
