"""What is wrong with the flags whatever run they are of is told in the first second: without TensorFlow."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT_TENSORFLOW = """
import sys
from polyrl.__main__ import main
sys.modules["tensorflow"] = None  # An import of it raises.
sys.argv = ["polyrl", *sys.argv[1:]]
main()
"""


def told(tmp_path, *arguments):
    """What the command writes to stderr, in a directory with a run in `runs/there`."""
    (tmp_path / "runs" / "there" / "best" / "ckpt-000000010").mkdir(parents=True)
    (tmp_path / "mine.json").write_text("{}")
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    return done.stderr


@pytest.mark.default_cases(5)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config=mime.json"], "ValueError: --config=mime.json: there is no such file. Did you mean 'mine.json'?"),
        (["--config=cartpole_c52"], "neither a preset nor a file that ends in .json or .py. Did you mean 'cartpole_c51'?"),
        (["--config="], "--config= is empty"),
        (["--set=optimizer"], "--set=optimizer must be NAME=VALUE"),
        (["--seeds=1,b"], "--seeds=1,b must be integers of at least 0"),
        (["--seeds=1,1"], "has a seed twice"),
        (["--seeds=1,2", "--seed=3"], "--seed has no effect with --seeds=1,2"),
        (["--jobs=2"], "--jobs=2 has no effect without --seeds"),
        (
            ["--mode=train", "--output=steps.jsonl"],
            "--output=steps.jsonl has no effect with --mode=train: it needs --mode=infer.",
        ),
        (
            ["--mode=eval", "--model_dir=runs/their"],
            "runs/their'. Train first. Did you mean '",
        ),
        (["--mode=eval", "--model_dir=runs/there", "--seeds=7"], "runs/there/seed-7'. Train first."),
    ],
)
def test_what_is_wrong_is_told_before_tensorflow_is_imported(tmp_path, arguments, message):
    assert message in told(tmp_path, "--env=CartPole-v1", *arguments)


@pytest.mark.slow
def test_what_is_right_goes_on_to_it(tmp_path):
    for arguments in (["--config=mine.json"], ["--set=optimizer.beta_1=0.9"], ["--mode=eval", "--model_dir=runs/there"]):
        assert "tensorflow" in told(tmp_path / arguments[0], "--env=CartPole-v1", *arguments)


def test_with_debug_errors_have_their_traceback_later(tmp_path):
    assert "import of tensorflow halted" in told(tmp_path, "--env=CartPole-v1", "--config=mime.json", "--debug")
