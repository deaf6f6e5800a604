# SPDX-License-Identifier: Apache-2.0
"""A short form of scripts/chaos."""

import random

import chaos


def test_honest_tenants_notice_nothing_of_20_s_of_chaos(folder):
    result = chaos.run(folder, 20, random.SystemRandom().randrange(2**32))
    print((folder / "log").read_text(errors="replace")[-20000:])
    assert chaos.report(result)
    # There was chaos.
    assert sum(result["deaths"].values()) >= 5, result["deaths"]
    assert all(row["answers"] >= 10 for row in result["honest"].values())
