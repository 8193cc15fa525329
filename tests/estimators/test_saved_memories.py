"""The memory in the checkpoints of a run: linked from one to the next, damaged, forged, or left out."""

from __future__ import annotations

import itertools
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from checkpoint_testing import BATCH, schedule
from graph_testing import Ring
from tiny_agents import assert_equal, counters, make_agent, rows
from tiny_envs import ScheduleEnv, vector

from polyrl import RunConfig
from polyrl.errors import CheckpointMismatchError, DamagedCheckpointError
from polyrl.estimators.checkpoints import files as checkpoint_files
from polyrl.estimators.hooks import Hook
from polyrl.replay import shards

SIZE = 60
FIRST = "memory.packed.0.0.npy"
"""The first shard: of the rows 0 to 6."""


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Shards of an eighth of the memory, seven rows."""
    monkeypatch.setattr(shards, "LEAST_BYTES", 1)


@pytest.fixture
def run(agent, tmp_path):
    """Trains to so many environment steps in all; gives the agent and its checkpoints."""

    def train(timesteps, **config):
        made = agent(size=SIZE, **{"save_checkpoints_timesteps": 20, "keep_checkpoint_max": 9, **config})
        made.train(schedule(), first_update=BATCH, max_timesteps=timesteps)
        return made, sorted((tmp_path / "run" / "checkpoints").iterdir())

    return train


def linked(first: Path, second: Path) -> set[str]:
    """Files that two checkpoints share."""
    return {file.name for file in second.iterdir() if (first / file.name).exists() and file.samefile(first / file.name)}


def test_checkpoints_share_what_is_full_also_across_a_resumption(run):
    run(40)
    _, found = run(100)
    assert [path.name[-3:] for path in found] == ["020", "040", "060", "080", "100"]
    shared = [linked(first, second) for first, second in itertools.pairwise(found)]
    # With n rows, shards of 7 are full up to row n - 2; those before row n - 60 are not needed any more.
    expected = [range(2), range(5), range(2, 8), range(5, 11)]
    assert shared == [{f"memory.packed.0.{shard}.npy" for shard in numbers} for numbers in expected]


def test_what_is_linked_is_not_read_again_for_its_checksum(run, monkeypatch):
    read = []
    sha256 = checkpoint_files._sha256
    monkeypatch.setattr(checkpoint_files, "_sha256", lambda file: read.append((file.parent.name, file.name)) or sha256(file))
    _, found = run(40)
    first, second = ({name for parent, name in read if parent == f"{path.name}.tmp"} for path in found)
    assert FIRST in first
    assert FIRST not in second
    assert "memory.packed.open.npy" in second
    notes = [checkpoint_files.read_state(path)["files"][FIRST] for path in found]
    assert notes[0] == notes[1]
    assert all(checkpoint_files.damage(path) is None for path in found)


def test_each_checkpoint_is_complete_when_those_before_it_are_pruned(run):
    trained, (path,) = run(100, keep_checkpoint_max=1)
    assert checkpoint_files.damage(path) is None
    resumed, _ = run(100, keep_checkpoint_max=1)
    assert_equal(rows(resumed), rows(trained))
    assert counters(resumed) == counters(trained)


@pytest.mark.slow
def test_a_run_that_resumes_from_an_older_checkpoint_links_the_shards_of_that_one(run):
    """Not those of the damaged newest one, whose later rows were others: the environments count their episodes from 0."""
    _, found = run(80)
    (found[-1] / "variables.index").unlink()
    again, found = run(100)
    resumed, _ = run(100)
    assert_equal(rows(resumed), rows(again))
    *_, before, new, damaged, _ = found
    assert [path.name[-3:] for path in (before, new)] == ["060", "080"]
    assert damaged.name.endswith("080.damaged-0")
    assert linked(before, new) == linked(damaged, new) == {f"memory.packed.0.{shard}.npy" for shard in range(2, 8)}
    name = "memory.packed.0.9.npy"
    assert (np.load(new / name) != np.load(damaged / name)).any()


@pytest.mark.parametrize("shared", [True, False])
def test_a_damaged_shard_is_found_in_each_checkpoint_that_holds_it(run, shared):
    """A link is the same file: damage within it is in all of them, also in those to come, and none of these is taken."""
    _, found = run(60)
    file = found[-1] / FIRST
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    if not shared:
        file.unlink()
    file.write_bytes(content)
    assert [checkpoint_files.damage(path) is None for path in found] == ([False] * 3 if shared else [True, True, False])
    if shared:
        with pytest.raises(DamagedCheckpointError, match=f"No checkpoint .* is whole: .*{FIRST} has changed since it was"):
            run(100)
    else:
        assert counters(run(100)[0])[1] == 100


@pytest.mark.slow
def test_a_forged_shard_is_refused_before_memory_is_taken(run):
    """Its checksum is right, and its header claims 2^40 rows."""
    _, (path,) = run(20, save_checkpoints_timesteps=None)
    file = path / FIRST
    rows = np.load(file)
    with file.open("wb") as opened:
        header = {"descr": "<f4", "fortran_order": False, "shape": (2**40, rows.shape[1])}
        np.lib.format.write_array_header_1_0(opened, header)
        opened.write(rows.tobytes())
    notes = checkpoint_files.read_state(path)["files"]
    notes[FIRST] = {"bytes": file.stat().st_size, "sha256": checkpoint_files._sha256(file)}
    checkpoint_files.update_state(path, {"files": notes})
    assert checkpoint_files.damage(path) is None
    with pytest.raises(DamagedCheckpointError, match=rf"{FIRST} is damaged"):
        run(40)


def test_another_size_is_refused(run, agent):
    run(20)
    with pytest.raises(CheckpointMismatchError, match="size=60 there, 61 now"):
        agent(size=61).train(schedule(), first_update=BATCH, max_timesteps=30)


# Without the memory. ----------------------------------------------------------------------------------------------------


class Watch(Hook):
    """Notes after which environment steps there are updates."""

    def __init__(self):
        self.steps: list[int] = []

    def after_update(self, run):
        self.steps.append(run.timestep)


ENVIRONMENTS = {"python": schedule, "graph": lambda: Ring(2, 5)}


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_a_memory_that_is_not_saved_starts_empty_and_says_so(tmp_path, caplog, kind):
    caplog.set_level("INFO", "polyrl")

    def train(timesteps, made=None):
        made = make_agent(model_dir=tmp_path / "run", save_replay=False) if made is None else made
        watch = Watch()
        made.train(ENVIRONMENTS[kind](), first_update=12, max_timesteps=timesteps, hooks=[watch])
        return made, watch

    first, _ = train(30)
    (path,) = (tmp_path / "run" / "checkpoints").iterdir()
    assert not list(path.glob("memory.*"))
    assert counters(first) == (18, 30, counters(first)[2])
    assert "save_replay=False, as the memory would start empty" in caplog.text
    caplog.clear()

    resumed, watch = train(50)
    words = "starts empty, and updates wait until it holds first_update steps, at environment step 42."
    (line,) = (record.getMessage() for record in caplog.records if "Resuming" in record.getMessage())
    assert f"0 transitions in memory. The memory was not saved: it {words}" in line
    (warning,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert warning.endswith(f"was written with save_replay=False: the memory {words}")
    assert counters(resumed)[:2] == (18 + 8, 50)
    assert kind == "graph" or min(watch.steps) == 44
    assert int(resumed.memory.inserted) == 20
    caplog.clear()

    # The same process still has it: nothing is lost, and nothing waits.
    again, _ = train(60, resumed)
    assert counters(again)[:2] == (26 + 10, 60)
    assert int(again.memory.inserted) == 30
    assert "starts empty" not in caplog.text


class Counting(gymnasium.Wrapper):
    """Counts its steps, and keeps the number from run to run."""

    total = 0

    def step(self, action):
        self.total += 1
        return self.env.step(action)

    def get_checkpoint_state(self):
        return {"total": self.total}

    def set_checkpoint_state(self, state):
        self.total = state["total"]


def test_without_a_memory_environments_start_new_episodes_and_wrappers_keep_what_they_hold(agent):
    """In mid-episode: a stack of frames or a window cannot go on from rows that are gone."""
    totals, resets = [], []
    for timesteps in (6, 10):  # Episodes have four steps.
        envs = [Counting(ScheduleEnv(number, (4,))) for number in range(2)]
        agent(save_replay=False).train(vector(*envs), first_update=BATCH, max_timesteps=timesteps)
        totals.append([env.total for env in envs])
        resets.append([env.unwrapped.steps for env in envs])
    assert totals == [[3, 3], [5, 5]]
    assert resets == [[3, 3], [2, 2]]


def test_a_memory_that_was_saved_is_read_also_by_a_run_that_saves_none(run):
    run(40)
    resumed, found = run(60, save_replay=False)
    assert int(resumed.memory.inserted) == 60
    assert (found[-2] / FIRST).exists()
    assert not (found[-1] / FIRST).exists()


def test_save_replay_is_a_bool():
    assert RunConfig().save_replay is True
    with pytest.raises(TypeError, match="save_replay"):
        RunConfig(save_replay=1)
