"""The engine stands on the ground floor: nothing in it knows what stands above."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import polyrl.engine

FILES = sorted(Path(polyrl.engine.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_of_polyrl_but_the_engine_is_imported(path):
    imported = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported += [f"{node.module}.{name.name}" for name in node.names]
    assert [name for name in imported if name.startswith("polyrl") and not name.startswith("polyrl.engine.")] == []
    assert path.stem == "__init__" or imported


def test_each_file_is_in_the_table_of_the_package():
    assert {path.name for path in FILES if f"`{path.name}`" in polyrl.engine.__doc__} == {path.name for path in FILES[1:]}
