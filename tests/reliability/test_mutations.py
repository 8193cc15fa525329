"""The tests of the mathematics notice a mistake in it: each of these is made in a copy of the package, and must fail them."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Mutation:
    """Puts `wrong` in place of `right`, which occurs once in `file`; `tests` must fail then. Paths are below polyrl, tests."""

    what: str
    file: str
    right: str
    wrong: str
    tests: str

    def __str__(self) -> str:
        return self.what


VALUE, RETURNS, C51, NAF = "ops/value.py", "ops/returns.py", "ops/categorical.py", "ops/naf.py"

MUTATIONS = [
    Mutation("no discount", VALUE, "(reward + discount * bootstrap)", "(reward + bootstrap)", "ops/test_value.py"),
    Mutation(
        "a gradient into the target",
        VALUE,
        "tf.stop_gradient(reward + discount * bootstrap)",
        "(reward + discount * bootstrap)",
        "ops/test_value.py",
    ),
    Mutation("an error of the other sign", VALUE, "target - prediction, prediction", "prediction - target, prediction", "ops"),
    Mutation(
        "the smallest next value",
        VALUE,
        "tf.reduce_max(next_q, axis=1), loss_fn",
        "tf.reduce_min(next_q, axis=1), loss_fn",
        "ops/test_value.py",
    ),
    Mutation(
        "double: the target network chooses",
        VALUE,
        "tf.argmax(next_q_selector, axis=1",
        "tf.argmax(next_q, axis=1",
        "ops/test_value.py",
    ),
    Mutation(
        "double: the online network values",
        VALUE,
        "select_values(next_q, next_action)",
        "select_values(next_q_selector, next_action)",
        "ops/test_value.py",
    ),
    Mutation("no baseline", VALUE, "- tf.reduce_mean(advantage, axis=1, keepdims=True)", "", "ops/test_dueling.py"),
    Mutation(
        "DQN without its target network", "models/dqn.py", "forward.next_target.q", "forward.online.q", "models/test_losses.py"
    ),
    Mutation(
        "C51: the online network values",
        "models/categorical_dqn.py",
        "forward.next_target.logits,",
        "forward.online.logits,",
        "models",
    ),
    Mutation(
        "no copy",
        "models/q_model.py",
        "copy_from(self._networks.online, self.",
        "copy_from(self._networks.target, self.",
        "models/test_target_updates.py",
    ),
    Mutation(
        "a copy one update late",
        "models/q_model.py",
        "step % self.target_update_frequency, 0",
        "step % self.target_update_frequency, 1",
        "models/test_target_updates.py",
    ),
    Mutation(
        "an average the other way round",
        "ops/targets.py",
        "tau * new + (1.0 - tau) * old",
        "tau * old + (1.0 - tau) * new",
        "ops/test_targets.py",
    ),
    Mutation(
        "a window over the end of an episode",
        RETURNS,
        "tf.maximum(terminated, truncated)",
        "terminated",
        "ops/test_returns.py",
    ),
    Mutation("no bootstrap at a truncation", RETURNS, "within * terminated", "within * ended", "ops/test_returns.py"),
    Mutation(
        "C51: mass beyond the support is lost",
        C51,
        "tf.clip_by_value(positions, atoms[0], atoms[-1])",
        "positions",
        "ops/test_categorical.py",
    ),
    Mutation(
        "C51: all mass to both neighbours",
        C51,
        "tf.maximum(1.0 - distance, 0.0)",
        "tf.cast(distance < 1.0, distance.dtype)",
        "ops/test_categorical.py",
    ),
    Mutation(
        "C51: the reward is discounted too",
        C51,
        "positions = reward[:, tf.newaxis] + discount[:, tf.newaxis] * atoms[tf.newaxis, :]  # [B, N]\n    target",
        "positions = discount[:, tf.newaxis] * (reward[:, tf.newaxis] + atoms[tf.newaxis, :])\n    target",
        "ops",
    ),
    Mutation("NAF: L^T L in place of L L^T", NAF, "transpose_a=True", "transpose_a=False", "ops/test_naf_ops.py"),
    Mutation("NAF: a valley in place of a hill", NAF, "return -0.5 *", "return 0.5 *", "ops/test_naf_ops.py"),
    Mutation(
        "one coin for all environments",
        "ops/exploration.py",
        "(coin < epsilon)",
        "(coin[:1] < epsilon)",
        "ops/test_exploration.py",
    ),
    Mutation(
        "weights of the wrong end",
        "replay/prioritized.py",
        "tf.reduce_min(value) / value",
        "value / tf.reduce_max(value)",
        "replay/test_prioritized.py",
    ),
    Mutation(
        "no exponent of priorities",
        "replay/prioritized.py",
        "tf.where(taken, tf.pow(priorities, self.alpha), present)",
        "tf.where(taken, priorities, present)",
        "replay/test_prioritized.py",
    ),
    Mutation(
        "new rows at the end of the queue",
        "replay/prioritized.py",
        "tf.fill(written.new.shape, tf.pow(self.max_priority, self.alpha))",
        "tf.fill(written.new.shape, 1e-6)",
        "replay/test_prioritized.py",
    ),
    Mutation(
        "the first state after a window's end",
        "replay/transitions.py",
        "(positions + last * self._num_envs)",
        "(positions + (last + 1) * self._num_envs)",
        "replay",
    ),
    Mutation(
        "gradients that are not clipped", "models/gradients.py", "clipped[place] = value", "pass", "models/test_gradients.py"
    ),
]


def outcome(directory: Path, mutation: Mutation | None, tests: str) -> subprocess.CompletedProcess[str]:
    """Runs the tests on a copy of the package, with a mistake in it."""
    package = shutil.copytree(ROOT / "polyrl", directory / "polyrl", ignore=shutil.ignore_patterns("__pycache__"))
    if mutation is not None:
        file = package / mutation.file
        text = file.read_text()
        assert text.count(mutation.right) == 1, f"{mutation.file} has changed; mend this mutation"
        file.write_text(text.replace(mutation.right, mutation.wrong))
    command = [sys.executable, "-P", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", str(ROOT / "tests" / tests)]
    environment = {**os.environ, "PYTHONPATH": str(directory)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_a_mistake_in_the_mathematics_is_noticed(tmp_path, mutation):
    result = outcome(tmp_path, mutation, mutation.tests)
    assert result.returncode == 1, result.stdout[-2_000:] + result.stderr[-2_000:]
    assert " failed" in result.stdout
    assert "ImportError" not in result.stdout


@pytest.mark.slow
def test_without_a_mistake_the_copy_passes_and_it_is_the_copy_that_is_tested(tmp_path):
    result = outcome(tmp_path, None, "ops/test_value.py")
    assert result.returncode == 0, result.stdout
    right = "class LossOutput("
    broken = Mutation("", VALUE, right, f"raise ValueError('this is the copy')\n\n\n{right}", "")
    shutil.rmtree(tmp_path / "polyrl")
    result = outcome(tmp_path, broken, "ops/test_value.py")
    assert "this is the copy" in result.stdout + result.stderr
