/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "supervisor/placement/memory_share.h"

#define KIB_PER_MIB UINT64_C(1024)
#define MIB(n) (KIB_PER_MIB * (n))
#define N 4
#define NOBODY 0
#define LIMITS 128 /* heap_mib + external_mib of all rows that do not say otherwise */

struct row {
    const char *name;
    uint64_t used, base, limit; /* MiB */
    uint64_t held[N], limits[N];
    uint32_t named; /* 1 to N */
    bool is_explained;
};

/* clang-format off */
static const struct row rows[] = {
    { "a large honest tenant beside memory that nobody counts", 200, 40, 200,
      { 60, 20, 2, 1 }, { 0 }, NOBODY, false },
    { "a tenant within its limits, larger than all others together", 200, 40, 200,
      { 110, 20, 15, 10 }, { 0 }, NOBODY, true },
    { "equal ones that fill the worker together", 200, 40, 200,
      { 40, 40, 40, 40 }, { 0 }, NOBODY, true },
    { "the culprit has the smallest account", 200, 40, 200,
      { 64, 64, 10, 1 }, { 0 }, NOBODY, false },
    { "one over its limits, the largest", 300, 40, 300,
      { 200, 20, 20, 10 }, { 0 }, 1, true },
    { "one over its limits, beside a larger one within its own", 400, 40, 400,
      { 190, 150, 10, 5 }, { 512, 0, 0, 0 }, 2, true },
    { "two over their limits: who is further over", 700, 40, 700,
      { 200, 300, 100, 50 }, { 0 }, 2, true },
    { "one over its limits by no more than V8 needs itself", 200, 20, 200,
      { 140, 20, 10, 5 }, { 0 }, NOBODY, true },
    { "one that alone is too much for the worker, within limits that are larger", 201, 45, 200,
      { 150, 2, 1, 1 }, { 600, 0, 0, 0 }, 1, true },
    { "the same beside memory that nobody counts", 250, 45, 200,
      { 160, 2, 1, 1 }, { 600, 0, 0, 0 }, NOBODY, false },
    { "10 % unexplained is explained", 200, 40, 200, { 100, 20, 10, 10 }, { 0 }, NOBODY, true },
    { "a little more is not", 200, 40, 200, { 100, 20, 10, 9 }, { 0 }, NOBODY, false },
    { "claims that are absurd name who claims them", 200, 40, 200,
      { 1, UINT64_C(1) << 40, 1, 1 }, { 0 }, 2, true },
    { "two absurd claims do not overflow", 200, 40, 200,
      { UINT64_C(1) << 50, UINT64_C(1) << 51, 1, 1 }, { 0 }, 2, true },
    { "no claims at all", 200, 40, 200, { 0 }, { 0 }, NOBODY, false },
    { "a limit that is none", 2000, 40, 2000, { 500, 500, 500, 400 },
      { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX }, NOBODY, true },
};
/* clang-format on */

static void test_size_alone_names_nobody(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        struct memory_sum sum = { MIB(row->used), MIB(row->base), MIB(row->limit) };
        struct memory_share shares[N];
        struct memory_finding finding;
        for (uint32_t j = 0; j < N; j++) {
            uint64_t limit = row->limits[j] == 0 ? LIMITS : row->limits[j];
            shares[j] = (struct memory_share){
                .version = j + 1,
                .held_kib = row->held[j] * KIB_PER_MIB,
                .limit_kib = limit == UINT64_MAX ? UINT64_MAX : limit * KIB_PER_MIB,
            };
        }
        memory_share_find(&sum, shares, N, &finding);
        if (finding.version != row->named || finding.is_explained != row->is_explained)
            fail_msg("%s: names %u, explained %d", row->name, finding.version,
                     finding.is_explained);
    }
}

static void test_worker_without_tenants_names_nobody(void **state)
{
    struct memory_sum sum = { MIB(200), MIB(40), MIB(200) };
    struct memory_finding finding;

    (void) state;
    memory_share_find(&sum, NULL, 0, &finding);
    assert_int_equal(finding.version, NOBODY);
    assert_int_equal(finding.unexplained_kib, MIB(160));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_size_alone_names_nobody),
        cmocka_unit_test(test_worker_without_tenants_names_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
