# SPDX-License-Identifier: Apache-2.0
"""A tenant that replaces everything that it can reach, before any API is used, catches no look of the layer."""

import hardening


def test_no_api_looks_up_what_a_tenant_may_have_replaced(start):
    count, wrong = hardening.run(start({"a": hardening.tenant()}, **hardening.CONFIG), "a")
    assert count > 2000
    assert wrong == []


def test_one_replaced_property_is_found_by_its_number(start):
    """Also in an isolate where all others are as they were."""
    counts = {}
    skepd = start({f"n{n}": hardening.tenant(n) for n in (0, 700, 1500)}, **hardening.CONFIG)
    for n in (0, 700, 1500):
        counts[n], wrong = hardening.run(skepd, f"n{n}")
        assert wrong == []
    assert len(set(counts.values())) == 1
