"""docs/architecture.md names what exists, and its examples are a program that runs."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()


def definitions(node: ast.AST, prefix: str = "") -> Iterator[str]:
    """The qualified names of all functions and classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
            yield f"{prefix}{child.name}"
            yield from definitions(child, f"{prefix}{child.name}.")


NAMED = sorted(set(re.findall(r"`([\w/]+\.py): ([\w.]+)`", PAGE)))


def test_every_name_of_the_page_exists() -> None:
    assert len(NAMED) > 40
    known = {path: set(definitions(ast.parse((ROOT / path).read_text()))) for path in {path for path, _ in NAMED}}
    assert [f"{path}: {name}" for path, name in NAMED if name not in known[path]] == []


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:polyrl|experiments|scripts|tests)/[\w./]*)[`:]", PAGE))))
def test_every_path_of_the_page_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_page_says_of_the_engine_what_the_engine_says_of_itself() -> None:
    rows = [line for line in (ROOT / "polyrl/engine/__init__.py").read_text().splitlines() if line.startswith("|")]
    assert len(rows) > 10
    assert "\n".join(rows) in PAGE


@pytest.mark.slow
def test_the_examples_are_a_program_that_learns(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    code = "\n".join(blocks).replace("max_timesteps=4_000", "max_timesteps=2_000")
    assert (len(blocks), code.count("2_000")) == (5, 1)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = ast.literal_eval(done.stdout.strip())
    assert (result["mean_reward"], result["mean_ep_length"], result["global_timestep"]) == (1.0, 5.0, 2_000)
    episodes = [json.loads(line) for line in (tmp_path / "runs/corridor/episodes.jsonl").read_text().splitlines()]
    assert len(episodes) == result["global_episode"]
    shortest = next(row["timestep"] for row in episodes if row["length"] == min(row["length"] for row in episodes))
    saved = {path.name for path in (tmp_path / "runs/corridor/checkpoints").iterdir()}
    assert {f"ckpt-{shortest:09d}", "ckpt-000002000"} <= saved
