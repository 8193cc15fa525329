"""The house that docs/architecture.md draws: the chain to the gradient, floors and imports, sizes of files."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
MODULES = sorted((ROOT / "polyrl").rglob("*.py"))
FRONT_DOOR = ROOT / "polyrl" / "__init__.py"

LONGEST = 300

# The chain. ---------------------------------------------------------------------------------------------------------------

RECORDER = """
import json, pathlib, runpy, sys
import polyrl
import tensorflow as tf

root, output, script = map(pathlib.Path, sys.argv[1:4])
stacks, gradient = [], tf.GradientTape.gradient

def recorded(*args, **kwargs):
    frame, stack = sys._getframe(1), []
    while frame is not None:
        code = frame.f_code
        path = pathlib.Path(code.co_filename)
        if path.is_relative_to(root / "polyrl") or path.is_relative_to(root / "experiments"):
            name = getattr(code, "co_qualname", code.co_name).replace(".<locals>", "")  # Python 3.10 has plain names only.
            stack.append((path.relative_to(root).as_posix(), name))
        frame = frame.f_back
    stacks.append(stack[::-1])
    return gradient(*args, **kwargs)

tf.GradientTape.gradient = recorded
sys.argv = [str(script), *sys.argv[4:]]
try:
    runpy.run_path(str(script), run_name="__main__")
finally:
    output.write_text(json.dumps(stacks))
"""

Stack = list[tuple[str, str]]


def plain(name: str) -> str:
    return name if sys.version_info >= (3, 11) else name.rsplit(".", 1)[-1]


def recorded_stacks(directory: Path, num_envs: int) -> list[Stack]:
    """The frames of the repository from `main` on, at each gradient of a short run with every default hook."""
    output, script = directory / "stacks.json", ROOT / "experiments" / "cartpole_c51.py"
    flags = {
        "jit": "off",
        "mode": "train_and_eval",
        "model_dir": directory / "run",
        "num_envs": num_envs,
        "train_timesteps": 240,
        "first_update": 64,
        "save_summary_timesteps": 80,
        "eval_frequency": 160,
        "eval_episodes": 1,
        "eval_episodes_while_training": 1,
    }
    command = [sys.executable, "-c", RECORDER, str(ROOT), str(output), str(script)]
    command += [f"--{name}={value}" for name, value in flags.items()]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    recorded = [[(path, name) for path, name in stack] for stack in json.loads(output.read_text())]
    starts = [next(index for index, (_, name) in enumerate(stack) if name == "main") for stack in recorded]
    return [stack[start:] for stack, start in zip(recorded, starts, strict=True)]


def within(stacks: Iterable[Stack], name: str) -> list[Stack]:
    return [stack for stack in stacks if plain(name) in [frame for _, frame in stack]]


@pytest.mark.parametrize("num_envs", [pytest.param(1, marks=pytest.mark.slow), 8])
def test_the_chain_is_short_and_that_of_the_page(num_envs: int, tmp_path: Path) -> None:
    """From `main` to a gradient at most 12 frames over 7 files; panels of gradients compute them once more."""
    stacks = recorded_stacks(tmp_path, num_envs)
    updates, panels = within(stacks, "Learner.update"), within(stacks, "Learner._build_summaries")
    assert updates
    assert panels
    assert len(panels) + len(updates) == len(stacks)
    for stack in stacks:
        assert len(stack) <= 12, stack
        assert len({path for path, _ in stack}) <= 7, stack
    chain = [(path, plain(name)) for path, name in re.findall(r"^\| \d+ \| `(\S+\.py): (\S+)` \|", PAGE, flags=re.MULTILINE)]
    assert chain == max(updates, key=len)
    assert f"{len(chain)} frames of polyrl over {len({path for path, _ in chain})} files" in " ".join(PAGE.split())


# Imports. -----------------------------------------------------------------------------------------------------------------


def located(dotted: str) -> Path | None:
    """The file of a module, or the `__init__.py` of a package."""
    path = ROOT.joinpath(*dotted.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def imports(file: Path) -> set[Path]:
    """The files of polyrl that a file imports. A submodule is not counted as an import of its package."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {located(alias.name) for alias in node.names if alias.name.split(".")[0] == "polyrl"}
        elif isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "polyrl":
            found |= {located(f"{node.module}.{alias.name}") or located(str(node.module)) for alias in node.names}
    assert None not in found, file
    return {path for path in found if path is not None and path != file}


GRAPH = {file: imports(file) for file in MODULES}


def relative(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def below(directory: str) -> list[Path]:
    found = [file for file in MODULES if file.is_relative_to(ROOT / directory)]
    assert found, directory
    return found


def circle(graph: dict[Path, set[Path]]) -> list[Path]:
    """Files that import each other in a circle; empty if there is none."""
    done: set[Path] = set()

    def search(file: Path, path: list[Path]) -> list[Path]:
        if file in path:
            return [*path[path.index(file) :], file]
        if file in done:
            return []
        for other in sorted(graph.get(file, ())):
            found = search(other, [*path, file])
            if found:
                return found
        done.add(file)
        return []

    return next((found for found in (search(file, []) for file in graph) if found), [])


def test_a_circle_would_be_found() -> None:
    a, b, c, d = (ROOT / name for name in "abcd")
    assert circle({a: {b}, b: {c, d}, c: {d}, d: {b}}) == [b, c, d, b]
    assert circle({a: {b, c}, b: {c}, c: {d}}) == []


def test_there_are_no_import_circles() -> None:
    """The front door names everything for type checkers, so whoever imports it would be in a circle; see the next test."""
    found = circle({file: others - {FRONT_DOOR} for file, others in GRAPH.items() if file != FRONT_DOOR})
    assert not found, " -> ".join(map(relative, found))


def test_nothing_but_who_tells_the_version_imports_the_front_door() -> None:
    assert {relative(file) for file, others in GRAPH.items() if FRONT_DOOR in others} <= {
        "polyrl/__main__.py",
        "polyrl/estimators/checkpoints/params.py",
    }


def floors() -> dict[str, int]:
    """The floor of each room in the drawing."""
    drawing = PAGE[PAGE.index(" floor  rooms") : PAGE.index("```", PAGE.index(" floor  rooms"))]
    rows = re.findall(r"^ +(\d)  +(polyrl/.*)$", drawing, flags=re.MULTILINE)
    found = [(room, int(floor)) for floor, rooms in rows for room in re.findall(r"polyrl/[\w/.]+", rooms)]
    assert len(dict(found)) == len(found)
    return dict(found)


FLOORS = floors()


def room(file: Path) -> str:
    """The smallest room of the drawing that a file is in."""
    rooms = [name for name in FLOORS if file == ROOT / name or file.is_relative_to(ROOT / name)]
    assert rooms, f"{relative(file)} is in no room of the drawing in docs/architecture.md"
    return max(rooms, key=len)


def test_a_file_imports_from_its_own_room_and_lower_floors_only() -> None:
    assert all((ROOT / name).exists() for name in FLOORS)
    for file, others in GRAPH.items():
        for other in others - {FRONT_DOOR} if file != FRONT_DOOR else ():
            fits = room(other) == room(file) or FLOORS[room(other)] < FLOORS[room(file)]
            assert fits, f"{relative(file)} must not import {relative(other)}"


@pytest.mark.parametrize(
    ("importer", "forbidden"),
    [
        ("polyrl/ops", ["polyrl/models", "polyrl/estimators", "polyrl/experiments"]),
        ("polyrl/configs", ["polyrl/models", "polyrl/estimators", "polyrl/experiments"]),
        ("polyrl/models", ["polyrl/estimators", "polyrl/experiments", "polyrl/envs", "polyrl/replay"]),
        ("polyrl/estimators/hooks", ["polyrl/estimators/training.py", "polyrl/estimators/agent.py"]),
        ("polyrl/envs/compiled", ["polyrl/envs/gym.py", "polyrl/envs/driver.py", "polyrl/estimators"]),
    ],
)
def test_a_room_does_not_import(importer: str, forbidden: list[str]) -> None:
    assert all((ROOT / path).exists() for path in forbidden)
    for file in below(importer):
        wrong = [
            other for other in GRAPH[file] for path in forbidden if other == ROOT / path or other.is_relative_to(ROOT / path)
        ]
        assert not wrong, f"{relative(file)} imports {relative(wrong[0])}"


def test_the_engine_imports_nothing_of_polyrl_but_itself() -> None:
    for file in below("polyrl/engine"):
        assert GRAPH[file] <= set(below("polyrl/engine")), relative(file)


def test_environments_in_the_graph_do_not_import_their_vector() -> None:
    vector, package = ROOT / "polyrl/envs/compiled/vector.py", ROOT / "polyrl/envs/compiled/__init__.py"
    users = [file for file in below("polyrl/envs/compiled") if {vector, package} & GRAPH[file]]
    assert users == [package]


# Files. -------------------------------------------------------------------------------------------------------------------


def test_no_file_is_longer_than_the_house_rule_allows() -> None:
    directories = [ROOT / name for name in ("polyrl", "experiments", "scripts", "tests", "docs")]
    files = [file for directory in directories for kind in ("*.py", "*.sh", "*.md") for file in directory.rglob(kind)]
    longer = {relative(file) for file in [*files, *ROOT.glob("*.md")] if len(file.read_text().splitlines()) > LONGEST}
    assert longer == set()


def test_only_public_interfaces_of_tensorflow_are_used() -> None:
    for directory in ("polyrl", "experiments", "scripts"):
        for file in sorted((ROOT / directory).rglob("*.py")):
            assert not re.search(r"\bcompat\.v1\b|\btensorflow\.python\b", file.read_text()), relative(file)
