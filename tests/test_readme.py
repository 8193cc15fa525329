"""What the README shows runs as it stands, and what docs/policies.md does with its agent; and it stays short."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)


(EXPERIMENT,) = blocks(README)
POLICIES = (ROOT / "docs" / "policies.md").read_text()
SERVING, ELSEWHERE = blocks(POLICIES.split("## The policy of a trained run\n")[1])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The experiment of the README, shorter, then what docs/policies.md does: the directory it ran in, and its output."""
    directory, code = tmp_path_factory.mktemp("readme"), EXPERIMENT
    for long, short in {
        "max_timesteps=20_000": "max_timesteps=1_500",
        "every_timesteps=5_000": "every_timesteps=1_200",
    }.items():
        assert long in code
        code = code.replace(long, short)
    return directory, run(code + SERVING, directory)


def run(code: str, directory: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    done = subprocess.run([sys.executable, "-c", code], cwd=directory, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def test_the_experiment_in_the_readme_runs(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, done = trained
    evaluation, action, actions = done.stdout.strip().splitlines()
    assert "mean_reward" in evaluation
    assert action in ("0", "1")
    assert re.fullmatch(r"\[[01] [01]\]", actions)
    promise, *lines, end = done.stderr.splitlines()
    assert promise.startswith(
        "Exact resume, on this machine with these versions: environments start new episodes every 10,000 "
    )
    assert [line for line in lines if not line.startswith("step ")] == [], "the console shows progress and nothing else"
    assert lines[-1].startswith("step 1504, update 504, "), "and so it does without a terminal"
    assert end.startswith("Training ended: budget of timesteps reached: 1504 environment steps")


@pytest.mark.slow
def test_what_is_exported_acts_the_same_with_tensorflow_alone(
    trained: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    directory, done = trained
    alone = ELSEWHERE + "\nimport sys\nassert not any(name.startswith(('polyrl', 'tf_keras')) for name in sys.modules)\n"
    assert run(alone, directory).stdout.strip() == done.stdout.strip().splitlines()[-1]


def test_it_is_read_in_one_go():
    lines = README.splitlines()
    assert len(lines) <= 90
    assert [line for line in lines if len(line) > 127 and not line.startswith("|")] == []


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:polyrl|experiments|scripts|docs)/[\w./]*)`", README))))
def test_every_path_the_readme_names_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("script", ["scripts/quickstart.sh", "scripts/test.sh", "scripts/setup.sh", ".ci/run"])
def test_shell_scripts_parse(script: str) -> None:
    subprocess.run(["bash", "-n", str(ROOT / script)], check=True)
