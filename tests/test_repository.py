"""The files for those who work on polyrl: they name what exists, and agree with each other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import polyrl

ROOT = Path(__file__).resolve().parents[1]
EXACT = "tests/reliability/test_exact_resume.py"
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
CHECKS = ("ruff format", "ruff check", "mypy")


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def read_yaml(path: str) -> Any:
    return yaml.safe_load(read(path))


def make(*arguments: str) -> str:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    # The tests themselves may run under make, which hands its own flags on.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "TESTS"))}
    done = subprocess.run(["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def test_make_help_lists_every_command():
    (phony,) = re.findall(r"^\.PHONY: (.*)$", read("Makefile"), flags=re.MULTILINE)
    listed = [line.split()[1] for line in make().splitlines()]
    assert listed == phony.split()
    assert {"help", "check", "fast", "slow"} <= set(listed)


@pytest.mark.parametrize(
    ("target", "commands"),
    [
        ("check", ["bash scripts/test.sh tests/ops"]),
        ("fast", [".venv/bin/pytest -n 2 --dist=worksteal tests/ops"]),
        ("slow", ["bash scripts/slow.sh tests/ops"]),
    ],
)
def test_make_runs_the_scripts(target, commands):
    assert [line for line in make("-n", target, "TESTS=tests/ops").splitlines() if "setup.sh" not in line] == commands


def test_hooks_of_commits_are_the_checks_of_the_script():
    (repository,) = read_yaml(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    entries = [hook["entry"].removesuffix(" --force-exclude") for hook in repository["hooks"]]
    assert entries == [f".venv/bin/{check}" for check in CHECKS]
    script = read("scripts/test.sh")
    for entry in entries:
        assert entry in script


def test_ci_runs_the_script_on_every_python_that_is_promised():
    jobs = read_yaml(".github/workflows/ci.yml")["jobs"]
    versions = jobs["check"]["strategy"]["matrix"]["python"]
    setup = read("setup.py")
    assert versions == re.findall(r"Python :: (3\.\d+)", setup)
    assert f'python_requires=">={versions[0]}"' in setup
    assert jobs["check"]["steps"][-1]["run"] == "bash scripts/test.sh"
    assert jobs["slow"]["steps"][-1]["run"] == "bash scripts/slow.sh"


def test_the_parts_of_the_slow_tests_are_all_of_them():
    lines = [line.strip() for line in read("scripts/slow.sh").replace('"$exact"', EXACT).splitlines()]
    several = lines[lines.index('elif [ "$#" -gt 0 ]; then') :]
    parts = [line.split()[1:] for line in several if re.match(r"run(_alone)? tests", line)]
    patterns = [name for part in parts[:-1] for name in part]
    named = list(dict.fromkeys([EXACT, *(name.partition("/test_[")[0] for name in patterns)]))
    assert f"exact={EXACT}" in lines
    assert parts[-1] == ["tests", *(f"--ignore={name}" for name in named)]
    assert all((ROOT / name).exists() for name in named)
    # A directory in several parts is whole, and no file of it is in two.
    for directory in {name.partition("/test_[")[0] for name in patterns if "*" in name}:
        matched = [path for name in patterns if name.startswith(f"{directory}/") for path in ROOT.glob(name)]
        assert sorted(matched) == sorted((ROOT / directory).glob("test_*.py"))


def test_there_are_forms_for_faults_features_and_environments():
    assert [path.stem for path in FORMS] == ["bug_report", "custom_environment", "feature_request"]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_has_what_github_asks_of_it(path):
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= set(form)
    ids = [field["id"] for field in form["body"]]
    assert len(set(ids)) == len(ids) > 0
    for field in form["body"]:
        assert field["type"] in ("textarea", "input", "dropdown")
        assert field["attributes"]["label"]
        if field["type"] == "dropdown":
            options = field["attributes"]["options"]
            assert len(set(options)) == len(options) > 1
            assert all(isinstance(option, str) for option in options)
    assert any(field.get("validations", {}).get("required") for field in form["body"])


def test_the_version_is_the_same_everywhere():
    citation = read_yaml("CITATION.cff")
    assert (str(citation["version"]), citation["license"]) == (polyrl.__version__, "Apache-2.0")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert polyrl.__version__ in read("CHANGELOG.md")


def test_the_changelog_has_the_form_of_keep_a_changelog():
    headings = re.findall(r"^## (.*)$", read("CHANGELOG.md"), flags=re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading) for heading in headings[1:])
    kinds = re.findall(r"^### (.*)$", read("CHANGELOG.md"), flags=re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(page):
    links = [link for link in re.findall(r"\]\(([^)#]+)", read(page)) if not link.startswith("http")]
    for link in links:
        assert (ROOT / link).exists(), link


def test_what_contributing_names_exists():
    page = read("CONTRIBUTING.md")
    for path in re.findall(r"`((?:polyrl|tests|scripts|docs)/[\w./]+)`", page):
        assert (ROOT / path).exists(), path
    for target in re.findall(r"make (\w+)", page):
        assert f"\n{target}:" in read("Makefile"), target


PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted((ROOT / "docs").rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        if path.startswith(("http:", "https:")):
            continue
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), flags=re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}, link


PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_prose_is_as_wide_as_code_and_no_sentence_begins_a_list(page):
    """Markdown makes a list of a line that begins with a number and a point, as the end of a sentence may."""
    parts = re.split(r"^ *```.*$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = [line for part in parts[::2] for line in part.splitlines()]
    # But for code, tables, pictures and quotations.
    assert [line for line in lines if len(line) > 127 and not line.startswith("    ") and line.lstrip()[0] not in "|!>"] == []
    assert [line for line in lines if re.match(r" *\d{2,}[.)] ", line)] == []
