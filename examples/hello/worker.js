// SPDX-License-Identifier: Apache-2.0
// Shows the shape of a tenant: a module whose default export has a fetch method.
export default {
    fetch(request, env) {
        return new Response(`${env.GREETING}\n`);
    },
};
