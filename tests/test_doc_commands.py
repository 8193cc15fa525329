"""The command lines of the README and of docs/ are those that the programs take."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from flag_cases import PARSE

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

FENCED = re.compile(r"^```(\w*).*?\n(.+?)^```$", re.DOTALL | re.MULTILINE)
SHELL = ("", "sh", "bash")
PROGRAM = r"(?:[\w./]*bin/)?(?:polyrl|python3?|pip) "
IN_BLOCK = re.compile(rf"^ {{4}}({PROGRAM}.+)$", re.MULTILINE)
IN_LINE = re.compile(rf"`({PROGRAM}[^`\n]+)`")

PARSED = """
import argparse
import json
import runpy
import sys

def only(parse):
    def parse_and_end(*arguments, **named):
        found = parse(*arguments, **named)
        print(json.dumps(found[1] if isinstance(found, tuple) else []))
        sys.exit()
    return parse_and_end

argparse.ArgumentParser.parse_args = only(argparse.ArgumentParser.parse_args)
argparse.ArgumentParser.parse_known_args = only(argparse.ArgumentParser.parse_known_args)
path = sys.argv[1]
sys.argv = sys.argv[1:]
sys.path.insert(0, path.rpartition("/")[0])
runpy.run_path(path, run_name="__main__")
"""

SETTLED = """
import json, sys
from polyrl.experiments import cli, family
from polyrl.flags import command

for flags in json.loads(sys.argv[1]):
    try:
        assert parse(*flags) == ["polyrl"], "an argument that is no flag"
        command.check_alone()
        if cli.FLAGS.mode not in command.WITHOUT_A_RUN:
            command.settle()
        print(json.dumps(None))
    except Exception as error:
        print(json.dumps(f"{type(error).__name__}: {error}"))
"""


def commands() -> dict[str, list[str]]:
    """By page and command: its words, from the program's name on; in a `...` the reader puts what is missing."""
    found = {}
    for page in PAGES:
        text = re.sub(r"\\\n\s+", "", page.read_text())
        text = FENCED.sub(lambda match: textwrap.indent(match[2], "    ") if match[1] in SHELL else "", text)
        for line in IN_BLOCK.findall(text) + IN_LINE.findall(text):
            if "..." not in line:
                found[f"{page.relative_to(ROOT)}: {line}"] = shlex.split(line.split(" | ")[0], comments=True)
    return found


COMMANDS = commands()
OURS = {name: words[1:] for name, words in COMMANDS.items() if words[0].endswith("polyrl") and words[1] != "--help"}
PROGRAMS = {name: words[1:] for name, words in COMMANDS.items() if words[0].endswith("python")}
SCRIPTS = {name: words for name, words in PROGRAMS.items() if words[0].startswith("scripts/")}
EXPERIMENTS = {name: words for name, words in PROGRAMS.items() if words[0].startswith("experiments/")}
WITHOUT_PARSER = ("scripts/checkpoints.py", "scripts/errors.py", "scripts/record_demos.py")
"""They read their words themselves; their own tests call them."""


def run(*arguments: str, cwd: Path, timeout: float = 400) -> str:
    """What a Python process writes to stdout; it must succeed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=cwd, env=environment)
    assert done.returncode == 0, f"{arguments}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def flags(tmp_path_factory) -> set[str]:
    """The names of the command's."""
    return {*re.findall(r"^  --(\w+)", run("-m", "polyrl", "--help", cwd=tmp_path_factory.mktemp("help")), flags=re.MULTILINE)}


def test_there_are_commands():
    assert len(OURS) > 20
    assert len(SCRIPTS) > 20
    assert len(EXPERIMENTS) > 5


def test_the_flags_of_polyrl_are_taken_together(tmp_path):
    """Also those of presets: the settings of each command are settled, and what contradicts itself is refused."""
    config = tmp_path / "runs" / "CartPole-v1_c51" / "config.json"  # Of the run that the first page makes.
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps({"env": "CartPole-v1", "model": "c51"}))
    lines = run("-c", PARSE + SETTLED, json.dumps([*OURS.values()]), cwd=tmp_path, timeout=250).splitlines()
    told = dict(zip(OURS, map(json.loads, lines), strict=True))
    assert {name: error for name, error in told.items() if error is not None} == {}


@pytest.mark.default_cases(14)
@pytest.mark.parametrize("name", [name for name, words in SCRIPTS.items() if words[0] not in WITHOUT_PARSER])
def test_the_arguments_of_scripts_are_taken(name, flags):
    """Those behind `--` are flags of the runs that they start."""
    script, *arguments = SCRIPTS[name]
    assert json.loads(run("-c", PARSED, str(ROOT / script), *arguments, cwd=ROOT, timeout=60)) == []
    of_runs = arguments[arguments.index("--") + 1 :] if "--" in arguments else []
    assert {word.removeprefix("--").partition("=")[0] for word in of_runs} <= flags


OWN = """
import gymnasium
import tf_keras


def make_env(**given):
    return gymnasium.make("CartPole-v1", **given)


Bowl = make_env


def graph_fn(mode, features):
    return tf_keras.layers.Dense(16, "relu")(features["state"])
"""
SHORT = ("--train_timesteps=400", "--eval_frequency=200", "--eval_episodes=1", "--first_update=100")
ELSEWHERE = re.compile("atari|minatar|minigrid|--demos|--mode=(serve|compare)")
"""What is slow, or needs what another command makes; the tests of presets, demonstrations and serving run it."""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [name for name in {**OURS, **EXPERIMENTS} if not ELSEWHERE.search(name)])
def test_the_command_runs(tmp_path, name):
    """With budgets that are cut, and after the training of which it uses the run."""
    for module in ("my_package", "bowl", "networks"):
        (tmp_path / f"{module}.py").write_text(OWN)
    words = OURS.get(name) or EXPERIMENTS[name]
    program = ["-m", "polyrl"] if name in OURS else [str(ROOT / words[0])]
    given = words if name in OURS else words[1:]
    trains = not any(word.startswith("--mode=") for word in given)
    calls = [[*program, *given, *(SHORT if trains else ())]]
    if "/config.json" in name:
        calls.insert(0, [*program, "--env=CartPole-v1", "--model=c51", *SHORT])
    elif not trains and name in EXPERIMENTS:
        calls.insert(0, [*program, *SHORT])
    for call in calls:
        run(*call, cwd=tmp_path)


def test_what_pip_is_asked_for_is_there():
    extras = re.findall(r'^        "(\w+)": ', (ROOT / "setup.py").read_text(), flags=re.MULTILINE)
    asked = [name for words in COMMANDS.values() for word in words for name in re.findall(r"(?:\.|polyrl)\[(.+)\]", word)]
    assert len(asked) > 5
    assert {extra for names in asked for extra in names.split(",")} <= {*extras}
