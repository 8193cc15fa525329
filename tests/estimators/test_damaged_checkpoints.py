"""Checkpoints that are damaged: the newest whole one is taken, none is removed, and nothing starts from zero."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest
from checkpoint_testing import BATCH, schedule, state_of
from tiny_envs import ScheduleEnv

from polyrl.errors import DamagedCheckpointError
from polyrl.estimators.checkpoints import files as checkpoint_files
from polyrl.estimators.hooks import EvaluationHook, Hook


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGES = {
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:-9]),
    "emptied": lambda file: file.write_bytes(b""),
    "deleted": lambda file: file.unlink(),
    "one bit": flipped,
    "garbage": lambda file: file.write_bytes(bytes(range(256)) * 4),
    "a directory": lambda file: (file.unlink(), file.mkdir()),
}
READ = ["variables.index", "variables.data-00000-of-00001", "state.json"]
FILES = [*READ, "memory.index", "memory.data-00000-of-00001", "memory.packed.open.npy"]


@pytest.fixture
def twice(agent, tmp_path):
    """A run with checkpoints at the environment steps 8 and 16."""
    agent().train(schedule(), first_update=BATCH, timesteps=8)
    agent().train(schedule(), first_update=BATCH, timesteps=8)
    return tmp_path / "run" / "checkpoints"


def no_step(env) -> bool:
    return all(single.steps == 0 for single in env.envs)


# Each file and each damage once; the others are slow tests.
CASES = [
    pytest.param(file, damage, marks=() if (number + kind) % len(FILES) == 0 else pytest.mark.slow)
    for number, file in enumerate(FILES)
    for kind, damage in enumerate(DAMAGES)
]


@pytest.mark.default_cases(2)
@pytest.mark.parametrize(("file", "damage"), CASES)
def test_the_newest_one_that_is_whole_is_taken_and_nothing_is_removed(agent, twice, caplog, file, damage):
    DAMAGES[damage](twice / "ckpt-000000016" / file)
    damaged = state_of(twice / "ckpt-000000016")
    if file in READ:
        assert agent().predictor().checkpoint.name == "ckpt-000000008"
    assert agent(keep_checkpoint_max=1).train(schedule(), first_update=BATCH, timesteps=8).global_timestep == 16
    (warning,) = {r.getMessage() for r in caplog.records if "Taking" in r.getMessage()}
    assert f"ckpt-000000016/{file}" in warning
    assert warning.endswith("ckpt-000000008, the newest that is whole; the other is left as it is.")
    assert [path.name for path in sorted(twice.iterdir())] == ["ckpt-000000016", "ckpt-000000016.damaged-0"]
    assert [*state_of(twice / "ckpt-000000016.damaged-0").values()] == [*damaged.values()]


@pytest.mark.slow
def test_one_that_cannot_be_read_is_as_a_damaged_one(agent, twice, monkeypatch, caplog):
    """As where its owner is another one, or where the disk is defective."""
    read = checkpoint_files._sha256

    def unreadable(file):
        if "ckpt-000000016" in str(file):
            raise PermissionError(errno.EACCES, "Permission denied")
        return read(file)

    monkeypatch.setattr(checkpoint_files, "_sha256", unreadable)
    assert agent().predictor().checkpoint.name == "ckpt-000000008"
    assert agent().train(schedule(), first_update=BATCH, max_timesteps=12).global_timestep == 12
    assert any("cannot be read (Permission denied)" in text for text in caplog.messages)


def test_none_that_is_whole_is_refused(agent, twice):
    before = state_of(twice.parent)
    for path in twice.iterdir():
        (path / "state.json").rename(path / "moved")
    env = schedule()
    words = r"No checkpoint in .* is whole: .*ckpt-000000016/state.json is missing; .*ckpt-000000008/state.json is missing"
    with pytest.raises(DamagedCheckpointError, match=words):
        agent().train(env, first_update=BATCH, timesteps=2)
    with pytest.raises(DamagedCheckpointError, match=words):
        agent().predictor()
    assert no_step(env)
    assert [*state_of(twice.parent).values()] == [*before.values()]


def test_one_that_is_named_is_refused(agent, twice):
    flipped(twice / "ckpt-000000008" / "variables.data-00000-of-00001")
    with pytest.raises(DamagedCheckpointError, match=r"ckpt-000000008/variables.data.* has changed since it was written"):
        agent().predictor(twice / "ckpt-000000008")


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("key", ["global_step", "global_timestep", "seed", "num_envs"])
def test_a_number_that_somebody_has_edited_is_not_believed(agent, twice, key):
    file = twice / "ckpt-000000016" / "state.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: 7}))
    assert agent().train(schedule(), first_update=BATCH, timesteps=2).global_timestep == 10


HARM = {
    "without its checksum": (
        lambda file: {**json.loads(file.read_text()), "checksum": None, "global_step": 7},
        "its content has changed since it was written",
    ),
    "nested a million times": (lambda file: "[" * 1_000_000, "it cannot be read (maximum recursion depth exceeded"),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_state_that_is_no_longer_what_was_written_is_not_believed(agent, twice, caplog, harm):
    change, words = HARM[harm]
    file = twice / "ckpt-000000016" / "state.json"
    content = change(file)
    file.write_text(content if isinstance(content, str) else json.dumps({k: v for k, v in content.items() if v is not None}))
    assert agent().train(schedule(), first_update=BATCH, timesteps=2).global_timestep == 10
    assert any(words in text for text in caplog.messages)


@pytest.mark.slow
def test_a_checkpoint_under_another_name_is_not_taken_for_a_newer_one(agent, twice, caplog):
    (twice / "ckpt-000000008").rename(twice / "ckpt-000000024")
    assert agent().train(schedule(), first_update=BATCH, timesteps=2).global_timestep == 18
    assert any("is the checkpoint ckpt-000000008 under another name" in text for text in caplog.messages)


# The best one, and what stands beside. ----------------------------------------------------------------------------------


def best_run(agent, tmp_path):
    hook = EvaluationHook(ScheduleEnv(), episodes=1, every_timesteps=4)
    agent().train(schedule(), first_update=BATCH, timesteps=8, hooks=[hook])
    return next((tmp_path / "run" / "best").iterdir())


@pytest.mark.parametrize("damage", ["deleted", "truncated"])
def test_a_damaged_best_one_is_refused_before_there_is_a_new_one(agent, tmp_path, damage):
    best = best_run(agent, tmp_path)
    DAMAGES[damage](best / "state.json")
    env = schedule()
    with pytest.raises(DamagedCheckpointError, match=rf"{best.name}/state.json is (missing|damaged)"):
        agent().train(env, first_update=BATCH, timesteps=2)
    assert no_step(env)


def test_a_best_one_without_any_to_resume_from_is_refused(agent, tmp_path):
    best_run(agent, tmp_path)
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    with pytest.raises(DamagedCheckpointError, match=r"holds .*best/ckpt-.* and no checkpoint to resume from"):
        agent().train(schedule(), first_update=BATCH, timesteps=2)


def test_there_is_one_to_resume_from_when_the_first_best_one_is_written(agent, tmp_path):
    """So that a run which dies between the two can be resumed."""

    class Dies(Hook):
        def after_act(self, run):
            if list((tmp_path / "run" / "best").glob("ckpt-*")):
                raise KeyError("died")

    hooks = [EvaluationHook(ScheduleEnv(), episodes=1, every_timesteps=4), Dies()]
    with pytest.raises(KeyError):
        agent(save_checkpoints_timesteps=1_000).train(schedule(), first_update=BATCH, timesteps=8, hooks=hooks)
    (best,) = (tmp_path / "run" / "best").iterdir()
    assert agent().train(schedule(), first_update=BATCH, timesteps=2).global_timestep == int(best.name[5:]) + 2


@pytest.mark.parametrize("damage", ["truncated", "emptied", "garbage"])
def test_damaged_params_are_refused_by_name(agent, trained, tmp_path, damage):
    trained()
    DAMAGES[damage](tmp_path / "run" / "params.json")
    with pytest.raises(DamagedCheckpointError, match=r"params.json is damaged .* remove it, if you give the same ones"):
        agent().train(schedule(), first_update=BATCH, timesteps=2)


@pytest.mark.parametrize("folder", ["checkpoints", "best"])
def test_what_was_about_to_be_replaced_is_put_back(agent, tmp_path, folder):
    """As after a crash between two renames."""
    best_run(agent, tmp_path)
    (path,) = (tmp_path / "run" / folder).iterdir()
    path.rename(path.with_name(f"{path.name}.old"))
    agent().train(schedule(), first_update=BATCH, timesteps=2)
    assert path.is_dir()
