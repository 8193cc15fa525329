"""The site: each page is in its contents, each public room has a page of reference, and it builds without warnings."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
CONTENTS = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
NOT_FOR_USERS = {"engine", "flags"}
"""Rooms whose names programs do not import."""


def pages(entry: Any) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    return [page for part in (entry.values() if isinstance(entry, dict) else entry) for page in pages(part)]


def test_each_page_is_in_the_contents_once():
    listed = pages(CONTENTS)
    assert len(listed) == len(set(listed))
    assert set(listed) == {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}


def test_each_public_room_has_a_page_of_reference():
    rooms = {path.parent.name for path in (ROOT / "polyrl").glob("*/__init__.py")} - NOT_FOR_USERS
    found = {}
    for page in (DOCS / "api").glob("*.md"):
        (found[page.stem],) = re.findall(r"^::: ([\w.]+)$", page.read_text(), flags=re.MULTILINE)
    assert rooms <= {name.split(".")[1] for name in found.values()}
    for name in found.values():
        importlib.import_module(name)


def test_each_module_that_the_documentation_imports_has_a_page_of_reference():
    text = "\n".join(page.read_text() for page in [ROOT / "README.md", *DOCS.rglob("*.md")])
    imported = set(re.findall(r"^(?:from|import) (polyrl\.[\w.]+)", text, flags=re.MULTILINE))
    for module, names in re.findall(r"^from (polyrl(?:\.\w+)*) import ([\w, ]+)$", text, flags=re.MULTILINE):
        found = [f"{module}.{name.split(' as ')[0].strip()}" for name in names.split(",")]
        imported |= set(filter(is_module, found))
    pages = "\n".join(page.read_text() for page in (DOCS / "api").glob("*.md"))
    assert {"polyrl.estimators", "polyrl.experiments.cli"} <= imported
    assert sorted(name for name in imported if f"::: {name}\n" not in pages) == []


def is_module(name: str) -> bool:
    """Whether it can be imported, and is no other thing of the module around it."""
    room, _, own = name.rpartition(".")
    thing = getattr(importlib.import_module(room), own, None)
    return inspect.ismodule(thing) or (thing is None and importlib.util.find_spec(name) is not None)


@pytest.mark.parametrize("page", sorted((DOCS / "api").glob("*.md")), ids=lambda page: page.stem)
def test_what_a_room_offers_is_documented(page):
    (name,) = re.findall(r"^::: ([\w.]+)$", page.read_text(), flags=re.MULTILINE)
    module = importlib.import_module(name)
    # A module that is no room lists nothing: what it defines is offered.
    own = [public for public, thing in vars(module).items() if public[0] != "_" and getattr(thing, "__module__", "") == name]
    offered = getattr(module, "__all__", own)
    assert offered
    undocumented = [public for public in offered if callable(thing := getattr(module, public)) and not thing.__doc__]
    for kind in (thing for public in offered if inspect.isclass(thing := getattr(module, public))):
        undocumented += [f"{kind.__name__}.{method}" for method in vars(kind) if is_undocumented(kind, method)]
    assert undocumented == [], f"Give these names of {name} a docstring."


def is_undocumented(kind: type, name: str) -> bool:
    """Whether a class of polyrl defines a public method or property without a docstring, of its own or of a base class's."""
    thing = vars(kind)[name]
    code = thing.fget if isinstance(thing, property) else getattr(thing, "__func__", thing)
    is_own = inspect.isfunction(code) and code.__module__.startswith("polyrl.") and not name.startswith("_")
    return is_own and not any(inspect.getdoc(vars(base)[name]) for base in kind.__mro__ if name in vars(base))


@pytest.mark.slow
def test_the_site_builds(tmp_path):
    pytest.importorskip("mkdocstrings", reason="mkdocs is not installed: pip install 'polyrl[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "api" / "models" / "index.html").read_text().count("CategoricalDQNModel") > 1
