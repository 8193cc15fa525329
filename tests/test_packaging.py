"""What is installed from a wheel is the whole package, and trains without the checkout; the sdist is the repository."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PROGRAM = """
import polyrl
from polyrl import Agent, DQNModel, UniformReplay
from polyrl.networks import mlp

print(polyrl.__file__)


def model_fn(features, labels, mode):
    return DQNModel(mode, mlp([8]), 4, 2)(features, labels)


print(Agent(model_fn, UniformReplay(100, 4), "run").train("CartPole-v1", first_update=8, max_timesteps=20).global_step)
"""


def run(*arguments: str, directory: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=directory, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_wheel_holds_the_package_and_trains_away_from_the_checkout(tmp_path):
    source, site, elsewhere = (tmp_path / name for name in ("source", "site", "elsewhere"))
    elsewhere.mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "polyrl", source / "polyrl", ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    build = ("-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(tmp_path))
    run(*build, directory=source)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        archive.extractall(site)
    assert packed == {
        str(file.relative_to(ROOT)) for file in (ROOT / "polyrl").rglob("*") if file.suffix == ".py" or file.name == "py.typed"
    }
    path, updates = run("-c", PROGRAM, directory=elsewhere, PYTHONPATH=str(site)).splitlines()[-2:]
    assert Path(path).is_relative_to(site)
    assert int(updates) == 12


def test_the_source_distribution_holds_all_tests_and_what_they_read(tmp_path):
    """It held those at the top of tests/ alone, without the modules that they import."""
    source, ignored = tmp_path / "source", shutil.ignore_patterns(".*", "runs", "build", "dist", "*.egg-info", "site")
    shutil.copytree(ROOT, source, ignore=ignored)
    build = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"
    name = run("-c", build, str(tmp_path), directory=source).splitlines()[-1]
    with tarfile.open(tmp_path / name) as archive:
        packed = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
        info = archive.extractfile(f"{name.removesuffix('.tar.gz')}/PKG-INFO").read().decode()
    folders = ("polyrl", "tests", "docs", "scripts", "experiments", "notebooks")
    wanted = {
        str(file.relative_to(source))
        for folder in folders
        for file in (source / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert {name for name in packed if name.startswith(tuple(f"{folder}/" for folder in folders))} == wanted
    assert {"tests/ops/test_targets.py", "tests/tiny_agents.py", "docs/tutorial.md", "scripts/plot.py"} <= wanted
    assert {"LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "mkdocs.yml", "setup.py", "pyproject.toml"} <= packed
    assert "Classifier: License" not in info  # setuptools warns of it; the license is an SPDX expression.
    if int(importlib.metadata.version("setuptools").split(".")[0]) >= 77:  # As pyproject.toml asks for.
        assert re.search(r"^License-Expression: Apache-2\.0$", info, re.MULTILINE)


CLEAN = """
import polyrl, sys
print(polyrl.__file__, polyrl.__version__)
assert not any("editable" in name for name in sys.modules)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_what_is_built_is_installed_in_an_environment_of_its_own_and_its_command_trains(tmp_path, kind, monkeypatch):
    """All but polyrl itself is lent by the environment of the tests, so that nothing is fetched."""
    monkeypatch.delenv("PYTHONPATH", raising=False)  # The checkout may be in it.
    source, built, clean = (tmp_path / name for name in ("source", "built", "clean"))
    ignored = shutil.ignore_patterns(".*", "runs", "build", "dist", "*.egg-info", "site", "__pycache__")
    shutil.copytree(ROOT, source, ignore=ignored)
    build = f"import sys; from setuptools import build_meta; print(build_meta.build_{kind}(sys.argv[1]))"
    built.mkdir()
    archive = built / run("-c", build, str(built), directory=source).splitlines()[-1]
    run("-m", "venv", "--without-pip", str(clean), directory=tmp_path)
    python = str(clean / "bin" / "python")
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True, check=True
    ).stdout.strip()
    # An editable installation of polyrl there has a .pth file, which counts in its own directory alone.
    Path(site, "lent.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    install = ("install", "--no-deps", "--no-index", "--no-build-isolation", str(archive))
    run("-m", "pip", "--python", python, *install, directory=tmp_path)
    done = subprocess.run([python, "-c", CLEAN], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(done.stdout.split()[0]).is_relative_to(clean)
    command = [
        str(clean / "bin" / "polyrl"),
        "--env=CartPole-v1",
        "--mode=train",
        "--train_timesteps=300",
        "--first_update=100",
    ]
    trained = subprocess.run([*command, "--model_dir=run"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert trained.returncode == 0, trained.stderr
    assert list((tmp_path / "run" / "checkpoints").glob("ckpt-*"))
    listed = subprocess.run([str(clean / "bin" / "polyrl"), "--mode=list"], cwd=tmp_path, capture_output=True, text=True)
    assert "cartpole_c51" in listed.stdout
