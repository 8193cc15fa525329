"""`CompiledEnvironment`: pure functions of tensors, which know nothing of what wraps or opens them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import polyrl.envs.compiled
from polyrl.envs import Environment
from polyrl.envs.compiled import CompiledEnvironment

PACKAGE = Path(polyrl.envs.compiled.__file__).parent
LAYERS = {"base": set(), "check": {"base"}, "vector": {"base", "check"}}


def imported(path: Path) -> set[str]:
    """The modules of polyrl.envs that a file imports, inside of functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("polyrl.envs")}


def test_a_compiled_environment_is_not_opened():
    assert not issubclass(CompiledEnvironment, Environment)
    assert not hasattr(CompiledEnvironment, "open")


@pytest.mark.parametrize("module", LAYERS)
def test_base_check_and_vector_import_in_one_direction(module):
    expected = {f"polyrl.envs.compiled.{name}" for name in LAYERS[module]}
    assert imported(PACKAGE / f"{module}.py") == expected


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_compiled_environments_import_nothing_else_of_the_environments(path):
    assert all(name.startswith("polyrl.envs.compiled") for name in imported(path))
