# SPDX-License-Identifier: Apache-2.0
"""Tables of keys, limits, verbs and commands in docs against the rows that they speak of, both ways."""

import importlib.machinery
import importlib.util
import json
import re
import shutil
import subprocess

import pytest

from harness import BIN, TOP

MAN = BIN / "man"
FILES = ["skepd.yaml", "skep.yaml"]


def skep(*arguments):
    return subprocess.run([BIN / "skep", *arguments], capture_output=True, text=True, timeout=60, check=True).stdout


def rows(name):
    """{key: {allowed, default, reload or observe}} of a file."""
    found = {}
    for block in skep("schema", "--text", name).split("\n\n")[1:]:
        key, about, *facts = block.strip().splitlines()
        found[key] = {"about": about.strip(), **dict(re.split(" +", fact.strip(), maxsplit=1) for fact in facts)}
    return found


def items(text):
    """[(name, text)] of the items of a page's source."""
    return [
        (name, re.sub(r"\s+", " ", re.sub(r"^\.(Ql|Sy|Pa|Ar|Xr|Nm) ", "", body, flags=re.M)))
        for name, body in re.findall(r"^\.It Sy (\S+)\n((?:.|\n)*?)(?=^\.(?:It|El))", text, re.M)
    ]


# ---- the pages as they are installed


@pytest.mark.parametrize("name", FILES)
def test_page_has_each_key_once_with_what_is_allowed_and_its_default(name):
    page = (MAN / f"{name}.5").read_text()
    part = page[page.index(".Sh EACH KEY") :]
    told = items(part[: part.index("\n.Sh ", 1)])
    wanted = rows(name)
    assert [key for key, _ in told] == list(wanted)
    for key, text in told:
        row = wanted[key]
        assert f"Allowed: {row['allowed']}." in text and f"Default: {row['default']}." in text, key
        if name == "skepd.yaml" and "reload" in row:
            assert row["reload"] in text.lower(), key
        assert ("only observed" in text) == (row.get("observe") == "yes"), key


@pytest.mark.parametrize("page", ["skep.1", "skepd.8", "skep.yaml.5", "skepd.yaml.5"])
def test_page_as_it_is_installed_has_no_slips(page):
    if not shutil.which("mandoc"):
        pytest.skip("no mandoc")
    lint = subprocess.run(["mandoc", "-Tlint", "-Wwarning", MAN / page], capture_output=True, text=True)
    assert (lint.returncode, lint.stdout) == (0, "")


def test_page_has_each_verb_once_and_no_other():
    page = (MAN / "skep.1").read_text()
    verbs = re.findall(r"^\.It Sy (\S+)", page[page.index(".Sh VERBS") : page.index(".Sh ENVIRONMENT")], re.M)
    assert sorted(verbs) == sorted(verb["name"] for verb in json.loads(skep("help", "--json"))["verbs"])


# ---- what people have written about keys


def numbers_of(row):
    found = re.match(r"(\d+) to (\d+)", row["allowed"])
    return found and (int(found[1]), int(found[2]))


def check_words(key, row, text):
    """Where the text gives bounds or a default, they are those of the row."""
    bounds = numbers_of(row)
    if key == "solitary":  # with `workers: solitary` it has other bounds
        return
    for least, most in re.findall(r"\b(\d+) to (\d+)\b", text):
        assert (int(least), int(most)) == bounds, f"{key}: {text}"
    for value in re.findall(r"[Dd]efault: (\S+?)[.,;]?(?: |$)", text):
        if re.fullmatch(r"\d+|on|off|never|unlimited", value):
            assert value == row["default"], f"{key}: {text}"


@pytest.mark.parametrize("name", FILES)
def test_items_of_a_page_are_keys_and_say_what_their_rows_say(name):
    source = (TOP / "docs" / "man" / f"{name}.5").read_text()
    wanted = rows(name)
    seen = 0
    for key, text in items(source):
        found = [row for row in wanted if row == key or row.endswith((f".{key}", f"[].{key}"))]
        if not found:
            assert any(row.startswith(f"{key}.") or row.startswith(f"{key}[") for row in wanted) or key in (
                "uids", "gids"), f"no row for {key}"
            continue
        if len(found) == 1:
            check_words(key, wanted[found[0]], text)
            seen += 1
    assert seen >= 20


def test_config_md_says_what_the_rows_say():
    text = (TOP / "docs" / "config.md").read_text()
    block = text[text.index("```yaml\nlisten") :].split("```")[1]
    wanted, mapping, seen = rows("skepd.yaml"), "", set()
    for line in block.splitlines()[1:]:
        found = re.match(r"(\s*)(- )?(\w+):\s*([^#]*?)\s*(?:# ?(.*))?$", line)
        if not found:
            continue
        indent, dash, name, value, comment = found.groups()
        if not indent and not dash:
            mapping = "" if value else name
            if not value:
                continue
        prefix = "cordons[]." if mapping == "cordons" else f"{mapping}." if indent else ""
        key = prefix + name
        seen.add(key)
        if key not in wanted:
            assert any(row.startswith(f"{key}.") for row in wanted), key
            continue
        for least, most in re.findall(r"\b(\d+) to (\d+)\b", comment or ""):
            if key != "cordons[].solitary":  # the rule with its workers has other bounds
                assert (int(least), int(most)) == numbers_of(wanted[key]), line
    assert len(seen & set(wanted)) >= 40


# ---- limits, commands


def test_limits_md_has_each_limit_once_with_bounds_default_and_unit():
    text = (TOP / "docs" / "limits.md").read_text()
    table = text[text.index("## Limits of a tenant") : text.index("### Effects")]
    told = {
        name: (preset, least.replace(" ", ""), most.replace(" ", ""))
        for name, preset, least, most in re.findall(r"^\| `(\w+)` \| ([\w /]+) \| ([\d ]+) to ([\d ]+) \|", table, re.M)
    }
    assert len(told) == len(re.findall(r"^\| `", table, re.M))
    wanted = {key.removeprefix("limits."): row for key, row in rows("skep.yaml").items() if key.startswith("limits.")}
    assert set(told) == set(wanted)
    for name, row in wanted.items():
        least, most, unit = re.match(r"(\d+) to (\d+)(?: ([\w/]+))?", row["allowed"]).groups()
        number = row["default"] if not row["default"].isdigit() else re.sub(r"(?<=\d)(?=(\d{3})+$)", " ", row["default"])
        plain = row["default"] if row["default"].isdigit() and int(row["default"]) < 10000 else number
        preset = f"{plain} {unit}" if unit and row["default"].isdigit() else plain
        assert told[name] == (preset, least, most), name


def test_protocol_md_has_each_command_with_its_right():
    proto = (TOP / "proto" / "admin.proto").read_text()
    inside = proto[proto.index("message Command {") :]
    commands = re.findall(r"^ +(\w+) (\w+) = \d+;", inside[: inside.index("\n}")], re.M)
    text = (TOP / "proto" / "PROTOCOL.md").read_text()
    table = text[text.index("### Commands and answers") : text.index("Any of them may be answered by `Failure`")]
    assert re.findall(r"^\| `(\w+)` \|", table, re.M).sort() == [message for message, _ in commands].sort()
    told = set(re.findall(r"^\| `(\w+)` \|", table, re.M))
    assert told == {message for message, _ in commands}
    # The right to read: the sentence, and the rows.
    handlers = (TOP / "supervisor" / "admin" / "handlers.h").read_text()
    readers = {name for name, right in re.findall(r"X\(\w+, (\w+), (\w+)\)", handlers) if right == "ADMIN_MAY_READ"}
    sentence = text[text.index("`StatsRequest`, `WorkersRequest`") : text.index("need the right to read")]
    by_name = {name: message for message, name in commands}
    assert set(re.findall(r"`(\w+)`", sentence)) == {by_name[name] for name in readers}


# ---- recipes


def recipes():
    loader = importlib.machinery.SourceFileLoader("check_recipes", str(TOP / "tests" / "check-recipes"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("check_recipes", loader))
    loader.exec_module(module)
    return module.RECIPES


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.name)
def test_recipe_fits_the_sources_and_takes_as_many_files_as_contributing_md_says(recipe):
    """tests/check-recipes builds and uses what they add."""
    for path, place, _ in recipe.edits:
        assert (TOP / path).read_text().count(place) == 1, f"{path}: {place}"
    n_files = len({path for path, *_ in recipe.edits} | set(recipe.new))
    text = (TOP / "CONTRIBUTING.md").read_text()
    heading = {"admin command": "An admin command with a verb", "kind of binding": "A kind of binding"}
    told = re.search(rf"^\*\*{heading.get(recipe.name, 'A ' + recipe.name)}\*\* \((\d)(?: or (\d))? files\)", text, re.M)
    assert n_files in {int(number) for number in told.groups() if number} and n_files <= recipe.most
