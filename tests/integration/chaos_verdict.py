# SPDX-License-Identifier: Apache-2.0
"""The verdict on a run of chaos.py: failures that no death excuses, leaks, and the table."""

import datetime
import re
import statistics

HONEST_TENANTS = {"a": "default", "b": "default", "c": "rough", "d": "other", "e": "other"}
PATIENCE_S = 60
FDS_OF_A_WORKER = 4
SLACK = {"fds": 4, "skepd_kib": 16 * 1024, "spawner_kib": 4 * 1024}


def leaks(before, after):
    """Returns the figures that have grown by too much; one more worker has descriptors and a cgroup of its own."""
    workers = max(0, after["workers"] - before["workers"])
    grown = {
        "fds": after["fds"] - before["fds"] - workers * FDS_OF_A_WORKER,
        "skepd_kib": after["skepd_kib"] - before["skepd_kib"],
        "spawner_kib": after["spawner_kib"] - before["spawner_kib"],
    }
    problems = [f"{name} grew by {grown[name]}" for name in grown if grown[name] > SLACK[name]]
    if after["zombies"]:
        problems.append(f"{after['zombies']} zombies")
    if after["cgroups"] is not None and after["cgroups"] > before["cgroups"] + workers:
        problems.append(f"{after['cgroups'] - before['cgroups']} cgroups more")
    return problems


DEATH = re.compile(r"^(\S+)Z skepd warning: worker \d+ \(pid (\d+)\) died: (.*); \d+ requests", re.M)


def deaths_in(log, cordon_of):
    """(when, cordon or None, cause) of each death."""
    return [
        (
            datetime.datetime.fromisoformat(f"{when}+00:00").timestamp(),
            cordon_of.get(int(pid)),
            cause,
        )
        for when, pid, cause in DEATH.findall(log)
    ]


def is_excused(failure, deaths, home):
    """Returns whether enough workers died during the request to make it fail. The clock of the log shows whole
    milliseconds, and a death is logged a moment before its requests are answered."""
    at_most_sent_again = failure["kind"] in ("get", "timer", "later") and failure["code"] != "cut off"
    count = sum(
        1
        for when, where, _ in deaths
        if where in (None, home) and failure["begin"] - 0.01 <= when <= failure["end"] + 0.01
    )
    return count >= (2 if at_most_sent_again else 1)


def missing_laters(honest, log, deaths):
    """Returns work after the response that was neither done nor lost with its worker."""
    home = HONEST_TENANTS[honest.tenant]
    done = set(re.findall(rf"\[{honest.tenant}\] info: later \?(\d+) done", log))
    return [
        question
        for question, when in honest.laters
        if question not in done
        and not any(where in (None, home) and when - 0.01 <= at <= when + PATIENCE_S
                    for at, where, _ in deaths)
    ]  # fmt: skip


def judge(skepd, honest, wicked, deaths, problems):
    log = skepd.log()
    rows = {}
    for one in honest:
        home = HONEST_TENANTS[one.tenant]
        inexcusable = [f for f in one.failed if not is_excused(f, deaths, home)]
        problems += one.wrong
        problems += [f"{one.name} failed without a death: {f}" for f in inexcusable]
        lost = missing_laters(one, log, deaths)
        problems += [f"{one.name}: later {question} was never done" for question in lost]
        rows[one.name] = {
            "cordon": home, "answers": one.answers, "wrong": len(one.wrong),
            "failed_at_a_kill": len(one.failed) - len(inexcusable), "failed": len(inexcusable),
            "p50_ms": round(statistics.median(one.seconds) * 1e3, 1) if one.seconds else None,
            "max_ms": round(max(one.seconds, default=0) * 1e3),
        }  # fmt: skip
    codes = {}
    for one in wicked:
        problems += one.wrong
        for code, count in one.codes.items():
            codes[code] = codes.get(code, 0) + count
    for name in HONEST_TENANTS:
        kills = skepd.tenant(name)["kills"]
        if kills:
            problems.append(f"{name} was blamed for {kills} kills")
    causes = {}
    for _, _, cause in deaths:
        causes[cause] = causes.get(cause, 0) + 1
    replayed = skepd.stats()["replayed"]
    return {"honest": rows, "hostile": codes, "deaths": causes, "replayed": replayed,
            "problems": problems}  # fmt: skip


def report(result):
    """Prints a table of the results. Returns whether all was right."""
    for name, row in result.get("honest", {}).items():
        print(f"{name:4} {row['cordon']:8} {row['answers']:6} answers, {row['wrong']} wrong, "
              f"{row['failed']} failed, {row['failed_at_a_kill']} in JavaScript at a kill; "
              f"p50 {row['p50_ms']} ms, most {row['max_ms']} ms")  # fmt: skip
    for what in ("hostile", "signals", "deaths", "before", "after"):
        figures = result.get(what, {})
        print(f"{what:8} " + ", ".join(f"{name}: {count}" for name, count in sorted(figures.items())))
    print(f"replayed {result.get('replayed')}")
    for problem in result["problems"][:50]:
        print(f"  PROBLEM {problem}")
    print(f"{len(result['problems'])} problems, seed {result.get('seed')}")
    return not result["problems"]
