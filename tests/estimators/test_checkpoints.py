"""Checkpoints that are pruned by a trainer while somebody else reads them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tiny_agents import make_agent, q_model_fn
from tiny_envs import ScheduleEnv

from polyrl.errors import CheckpointMismatchError, DamagedCheckpointError, NotTrainedError
from polyrl.estimators.checkpoints import files as checkpoint_files
from polyrl.estimators.checkpoints import manager as checkpoints_module
from polyrl.estimators.checkpoints.manager import CheckpointManager
from polyrl.estimators.hooks import EvaluationHook
from polyrl.estimators.prediction.predictor import Predictor
from polyrl.models import Scope

STATE = np.zeros(4, np.float32)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    agent = make_agent(q_model_fn(), model_dir=tmp_path_factory.mktemp("run") / "run", save_checkpoints_timesteps=10)
    agent.train(ScheduleEnv(), first_update=4, max_timesteps=30, hooks=[EvaluationHook(ScheduleEnv(), 10, 1)])
    return agent.model_dir


@pytest.fixture
def run(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def write_newer(run: Path, timestep: int) -> None:
    """What the trainer does: the next checkpoint appears, the oldest goes."""
    replace_by(CheckpointManager(run, 3).latest(), timestep)


def replace_by(path: Path, timestep: int) -> None:
    newer = Path(shutil.copytree(path, path.with_name(f"ckpt-{timestep:09d}")))
    checkpoint_files.update_state(newer, {"global_timestep": timestep})
    shutil.rmtree(path)


@pytest.fixture
def pruned_at(monkeypatch):
    """Makes a reader lose its checkpoint: `when` it is about to read the state or the variables, so many `times`."""

    def make(when: str, run: Path, times: int = 1) -> list[Path]:
        lost: list[Path] = []

        def prune(path: Path) -> None:
            if len(lost) < times:
                lost.append(path)
                if path.parent.name == "best":
                    replace_by(path, 40 + len(lost))
                else:
                    write_newer(run, 40 + len(lost))

        if when == "state":
            read_state = checkpoints_module.read_state
            monkeypatch.setattr(checkpoints_module, "read_state", lambda path: prune(path) or read_state(path))
        else:
            read = tf.train.Checkpoint.read

            def read_variables(self: Any, path: str, *arguments: Any) -> Any:
                prune(Path(path).parent)
                return read(self, path, *arguments)

            monkeypatch.setattr(tf.train.Checkpoint, "read", read_variables)
        return lost

    return make


@pytest.mark.slow
@pytest.mark.parametrize("when", ["state", "variables"])
@pytest.mark.parametrize("times", [pytest.param(1, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("which", ["latest", "best"])
def test_the_next_one_takes_its_place(run, pruned_at, when, times, which):
    agent = make_agent(q_model_fn(), model_dir=run)
    lost = pruned_at(when, run, times)
    predictor = agent.predictor(which)
    assert len(lost) == times
    assert predictor.checkpoint.name == f"ckpt-{40 + times:09d}"
    assert predictor.act(STATE) == Predictor.from_model_dir(run, q_model_fn(), checkpoint=which).act(STATE)


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("when", ["state", "variables"])
@pytest.mark.parametrize(
    "call",
    [
        lambda run, path: make_agent(q_model_fn(), model_dir=run).act(STATE, path),
        lambda run, path: make_agent(q_model_fn(), model_dir=run).predictor(path),
        lambda run, path: Predictor.from_model_dir(run, q_model_fn(), checkpoint=path),
    ],
    ids=["act", "predictor", "from_model_dir"],
)
def test_one_that_was_named_is_said_to_be_gone(run, pruned_at, when, call):
    path = CheckpointManager(run, 3).latest()
    pruned_at(when, run)
    with pytest.raises(NotTrainedError, match="was removed while it was read"):
        call(run, path)


def test_the_last_one_to_go_leaves_nothing_to_read(run, monkeypatch):
    def gone(path: Path, scope: Any) -> Any:
        shutil.rmtree(run / "checkpoints")
        raise FileNotFoundError(path)

    monkeypatch.setattr(CheckpointManager, "restore_models", staticmethod(gone))
    with pytest.raises(NotTrainedError, match="Those that a run has written there are gone: put one back"):
        make_agent(q_model_fn(), model_dir=run).act(STATE)


def test_the_only_one_is_an_error_if_it_is_damaged(run):
    """Not a reason to look for another one, for ever."""
    for path in (run / "checkpoints").glob("*/variables*"):
        path.unlink()
    with pytest.raises(DamagedCheckpointError, match=r"No checkpoint in .* is whole: .*variables.* is missing"):
        make_agent(q_model_fn(), model_dir=run).act(STATE)


def test_one_that_does_not_fit_is_an_error(run):
    with pytest.raises(CheckpointMismatchError):
        make_agent(q_model_fn(units=9), model_dir=run).act(STATE)


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["checkpoints", "best"])
def test_pruning_takes_all_of_a_checkpoint_at_once(run, monkeypatch, folder):
    """A reader would take one whose state is there still, and its variables not, for damaged."""
    manager = CheckpointManager(run, 1)
    seen: list[str] = []
    rmtree = shutil.rmtree

    def notice(path: Any, *arguments: Any, **more: Any) -> None:
        if Path(path).exists():
            seen.append(Path(path).name)
            assert Path(path) not in checkpoint_files.found_in(run / folder)
        rmtree(path, *arguments, **more)

    monkeypatch.setattr(shutil, "rmtree", notice)
    hooks = [EvaluationHook(ScheduleEnv(lengths=(9,)), 10, 1)] if folder == "best" else []
    agent = make_agent(q_model_fn(), model_dir=run, keep_checkpoint_max=1)
    agent.train(ScheduleEnv(), first_update=4, timesteps=10, hooks=hooks)
    assert len(seen) >= 1
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["ckpt-000000040"]
    assert len(list((run / folder).iterdir())) == 1
    assert manager.latest() is not None


def test_the_best_before_is_the_one_of_fewer_steps_also_where_their_numbers_differ_in_length(run):
    manager, scope = CheckpointManager(run, 3), Scope()
    for timestep in (999_999_999, 1_000_000_000):
        scope.global_timestep.assign(timestep)
        manager.save_best(scope, {"global_timestep": timestep}, 1.0)
        assert [path.name for path in (run / "best").iterdir()] == [f"ckpt-{timestep:09d}"]
