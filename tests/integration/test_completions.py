# SPDX-License-Identifier: Apache-2.0
"""The completions that the build makes: the words that the real shells offer after `skep`."""

import json
import os
import shlex
import shutil
import subprocess

import pytest

from harness import BIN, TOP, script

FOLDER = BIN / "completions"
HELLO = script('return new Response("hello\\n")')


@pytest.fixture(scope="module")
def hive(start_module):
    return start_module(
        {"shop": HELLO, "shelf": HELLO, "far": {"cordon": "other", "files": {"worker.js": HELLO}}},
        cordons=[{"name": "default", "workers": 1}, {"name": "other", "workers": 1}],
    )


def environment(socket):
    path = f"{BIN}:{os.environ['PATH']}"
    return {"PATH": path, "SKEP_SOCKET": str(socket), "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}


def ask_bash(words, folder, socket):
    words = ["skep", *words]
    run = subprocess.run(
        ["bash", "--norc", "-c", f"""
            source {shlex.quote(str(FOLDER / "skep.bash"))}
            complete -p skep | grep -q -- '-F _skep' || exit 9
            COMP_WORDS=({' '.join(map(shlex.quote, words))})
            COMP_CWORD={len(words) - 1}
            _skep
            printf '%s\\n' "${{COMPREPLY[@]}}"
        """],
        env=environment(socket),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (run.returncode, run.stderr) == (0, "")
    return sorted(run.stdout.split())


def ask_fish(words, folder, socket):
    if not shutil.which("fish"):
        pytest.skip("no fish")
    line = " ".join(["skep", *words])
    run = subprocess.run(
        ["fish", "--no-config", "-c", f"""
            source {shlex.quote(str(FOLDER / "skep.fish"))}
            complete -C {shlex.quote(line)}
        """],
        env=environment(socket),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (run.returncode, run.stderr) == (0, "")
    return sorted(line.split("\t")[0] for line in run.stdout.splitlines())


ASK = {"bash": ask_bash, "fish": ask_fish}
OFFERS = {
    "verbs": (["q"], ["quarantine"]),
    "verbs after options": (["--json", "q"], ["quarantine"]),
    "tenants": (["quarantine", "sh"], ["shelf", "shop"]),
    "tenants after an option with a value": (["quarantine", "--for", "10m", "sh"], ["shelf", "shop"]),
    "all tenants": (["release", ""], ["far", "shelf", "shop"]),
    "cordons": (["retire", ""], ["default", "other"]),
    "verbs of help": (["help", "jail"], ["jail-report"]),
    "files": (["check", "conf"], ["config.yaml"]),
    "choices of an option": (["dev", "--jit", "o"], ["off", "on"]),
    "options": (["incidents", "--l"], ["--last"]),
}


@pytest.mark.parametrize("shell", ASK)
@pytest.mark.parametrize("name", OFFERS)
def test_offers(hive, folder, shell, name):
    words, expected = OFFERS[name]
    (folder / "config.yaml").write_text("")
    assert ASK[shell](words, folder, hive.admin_socket) == expected


def test_bash_offers_every_verb_and_option_that_there_is(hive, folder):
    told = json.loads(subprocess.check_output([BIN / "skep", "help", "--json"]))
    assert ask_bash([""], folder, "") == sorted(verb["name"] for verb in told["verbs"])
    for verb in told["verbs"]:
        options = verb["options"] + told["options"]
        expected = [f"--{option['name']}" for option in options]
        assert ask_bash([verb["name"], "--"], folder, "") == sorted(expected)


@pytest.mark.parametrize("words", [["--socket", "PLACE"], ["--socket", "=", "PLACE"]])
def test_bash_asks_the_socket_that_is_named(hive, folder, words):
    words = [word.replace("PLACE", str(hive.admin_socket)) for word in words]
    assert ask_bash([*words, "release", "sh"], folder, "/nowhere") == ["shelf", "shop"]


@pytest.mark.parametrize("shell", ASK)
def test_without_skepd_there_are_no_names_and_no_noise(folder, shell):
    assert ASK[shell](["release", ""], folder, folder / "nothing") == []


@pytest.mark.parametrize("shell, name", [("bash", "skep.bash"), ("zsh", "_skep"), ("fish", "skep.fish")])
def test_syntax(shell, name):
    if not shutil.which(shell):
        pytest.skip(f"no {shell}")
    run = subprocess.run([shell, "-n", FOLDER / name], capture_output=True, text=True, timeout=30)
    assert (run.returncode, run.stderr) == (0, "")


def test_zsh_offers_verbs_and_tenants(hive, folder):
    if not shutil.which("zsh"):
        pytest.skip("no zsh")
    ask = folder / "ask.zsh"
    ask.write_text(ZSH_ASK.replace("FOLDER", str(FOLDER)).replace("DUMP", str(folder / "dump")))
    for line, expected in (
        ("skep quar", "skep quarantine "),
        ("skep quarantine sho", "skep quarantine shop "),
        ("skep retire def", "skep retire default "),
        ("skep incidents --l", "skep incidents --last "),
    ):
        run = subprocess.run(
            ["zsh", "-f", ask, line],
            env={**environment(hive.admin_socket), "TERM": "dumb"},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert f"<{expected}>" in run.stdout, run.stdout + run.stderr


# A zsh on a terminal of its own, which prints its line after Tab in brackets.
ZSH_ASK = r"""
zmodload zsh/zpty
zpty inner zsh -f -i
zpty -w inner 'PS1=; unsetopt zle_bracketed_paste; fpath=(FOLDER $fpath)'
zpty -w inner 'autoload -Uz compinit && compinit -u -d DUMP'
zpty -w inner 'show() { BUFFER="print -r -- \"<$BUFFER>\""; zle accept-line }; zle -N show; bindkey "^G" show'
zpty -w inner 'print -r READY''NOW'
zpty -r -m inner seen '*READYNOW*'
zpty -n -w inner "$1"$'\t'
zpty -n -w inner $'\a'
zpty -r -m inner seen '*<skep*>*'
print -r -- "$seen"
zpty -d inner
"""
