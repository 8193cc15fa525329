"""What is installed from a wheel is the whole package, and trains without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

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
