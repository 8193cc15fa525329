"""A memory in files: it comes back bit for bit, and what has been written is not written again."""

from __future__ import annotations

import io
import itertools
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from frame_testing import FrameWorld
from replay_testing import World, seed

from polyrl.demos import DemoEpisode, Demonstrations
from polyrl.errors import DamagedCheckpointError
from polyrl.replay import PrioritizedReplay, UniformReplay, shards

STORAGES = ("vectors", "pixels", "frames")
"""States in the packed columns, in columns of their own, and as single frames."""

SIZE = 60


def world_of(storage: str, num_envs: int) -> World:
    return World(0, num_envs) if storage == "vectors" else FrameWorld(0, num_envs, 4)


def demonstrations(storage: str) -> Demonstrations:
    world = world_of(storage, 1)
    episodes = [(3, True, False), (6, False, True)]
    states = [np.stack([world.state(9, 0, number, step) for step in range(t + 1)]) for number, (t, *_) in enumerate(episodes)]
    return Demonstrations(
        [DemoEpisode(s, np.arange(t), np.arange(t) + 0.5, *ends) for s, (t, *ends) in zip(states, episodes, strict=True)]
    )


class Written:
    """A memory that is written again and again, each time into another directory, beside an empty one of the same kind."""

    def __init__(self, directory: Path, storage="vectors", kind="uniform", n_step=1, num_envs=2, demos=False):
        self.world, self.directory = world_of(storage, num_envs), directory
        self.before: Any = None
        arguments: dict[str, Any] = {"n_step": n_step, "frame_stack": 4 if storage == "frames" else None}
        if demos:
            arguments["demonstrations"] = demonstrations(storage)
        memories = {"uniform": UniformReplay, "prioritized": PrioritizedReplay}
        self.memory, self.other = (memories[kind](SIZE, 8, **arguments) for _ in range(2))
        for memory in (self.memory, self.other):
            memory.build(self.world.specs(), num_envs)
        self._add = tf.function(self.memory.add, autograph=False)

    def add(self, steps: int) -> None:
        for _ in range(steps):
            self._add(self.world.step())
            if self.memory.PRIORITIZED:
                index = self.memory.draw(seed(0))["index"]
                self.memory.update_priorities(index, tf.cast(index, tf.float32) / 7.0)

    def write(self) -> tuple[Path, set[str]]:
        """The new directory, and which files are only linked."""
        number = 0 if self.before is None else int(self.before[0].name) + 1
        path = self.directory / str(number)
        path.mkdir()
        linked = shards.write(self.memory, path, self.before)
        self.before = path, {file.name: {"bytes": file.stat().st_size} for file in path.iterdir()}
        return path, set(linked)

    def check(self, path: Path) -> None:
        """Reads it into the other memory, of which every variable must become the same."""
        shards.read(self.other, path)
        assert len(self.memory.variables) == len(self.other.variables)
        for variable, found in zip(self.memory.variables, self.other.variables, strict=True):
            np.testing.assert_array_equal(found.numpy(), variable.numpy(), err_msg=variable.name)


@pytest.fixture
def small_shards(monkeypatch):
    """Shards of a few rows each."""
    monkeypatch.setattr(shards, "LEAST_BYTES", 1)


@pytest.fixture
def written(tmp_path, small_shards):
    return lambda *arguments, **more: Written(tmp_path, *arguments, **more)


PRODUCT = list(itertools.product(STORAGES, ("uniform", "prioritized"), (1, 3), (1, 3), (False, True)))
COVERING = [
    ("vectors", "uniform", 1, 1, False),
    ("vectors", "prioritized", 3, 3, True),
    ("pixels", "prioritized", 1, 3, False),
    ("pixels", "uniform", 3, 1, True),
    ("frames", "prioritized", 3, 1, False),
    ("frames", "uniform", 1, 3, True),
]
"""Each pair of values occurs in one of them."""


@pytest.mark.default_cases(1)
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=() if case in COVERING else pytest.mark.slow) for case in PRODUCT], ids=str
)
def test_each_checkpoint_alone_restores_every_variable(written, case):
    run = written(*case)
    linked = set()
    for number, steps in enumerate([0, 1, 3, 40, 7, 4, 2, 90, 5, 6]):
        run.add(steps)
        path, found = run.write()
        linked |= found
        if number % 3 != 0:
            shutil.rmtree(run.directory / str(number - 1))
        run.check(path)
        if number % 2:
            run.memory.start_episodes()  # It changes rows that have been written.
            run.world.start_episodes()
    assert len(linked) >= 5


def test_a_memory_that_has_gone_on_becomes_what_it_was(written):
    """As after an error, in the same process: rows that were not there are empty again."""
    for storage, kind in (("vectors", "prioritized"), ("frames", "uniform")):
        run = written(storage, kind)
        run.directory = run.directory / storage
        run.directory.mkdir()
        run.add(5)
        path, _ = run.write()
        for _ in range(24):
            run.other.add(run.world.step())
        run.check(path)


# What is written, and what is linked. -----------------------------------------------------------------------------------


def test_what_is_full_is_written_once(written):
    """60 rows of one ring: shards of 7. Rows 56 to 62 are final with the 65th row: the newest two may still change."""
    run = written()
    run.add(31)
    _, linked = run.write()
    assert linked == set()
    run.add(1)
    path, linked = run.write()
    assert linked == {f"memory.packed.0.{shard}.npy" for shard in range(8)}
    assert sorted(file.name for file in path.glob("*.npy")) == sorted([*linked, "memory.packed.open.npy"])
    for name in linked:
        assert (path / name).samefile(run.directory / "0" / name)
    assert len(np.load(path / "memory.packed.open.npy", allow_pickle=False)) == 64 - 56
    run.add(1)
    path, linked = run.write()  # Row 66 - 60 is the oldest, the last one of the first shard.
    assert linked == {f"memory.packed.0.{shard}.npy" for shard in range(8)}
    assert (path / "memory.packed.0.8.npy").exists()
    run.add(1)
    path, linked = run.write()
    assert linked == {f"memory.packed.0.{shard}.npy" for shard in range(1, 9)}
    assert not (path / "memory.packed.0.0.npy").exists()


def test_only_rows_that_are_filled_are_written(tmp_path):
    run = Written(tmp_path, "pixels")
    run.add(3)
    path, _ = run.write()
    shapes = {file.name: np.load(file, allow_pickle=False).shape for file in path.glob("*.npy")}
    image = (6, 2, 3, 4)
    assert {name: shape for name, shape in shapes.items() if "packed" not in name} == {
        "memory.column.state.open.npy": image,
        "memory.column.next_state.open.npy": image,
    }
    assert shapes["memory.packed.open.npy"][0] == 6


def test_a_shard_has_eight_megabytes_at_most_and_an_eighth_of_its_ring(tmp_path):
    frames = UniformReplay(20_000, 4, frame_stack=4)
    frames.build(
        {**FrameWorld(0, 1, 4).specs(), **dict.fromkeys(("state", "next_state"), tf.TensorSpec([84, 84, 4], tf.uint8))}
    )
    (ring,) = frames.rows.rings
    assert shards._shard_size(frames.rows.columns["frames"], ring) == 8 * 2**20 // 84**2
    assert shards._shard_size(frames.rows.columns["packed"], ring) == 256 * 2**10 // 16
    assert shards._shard_size(frames.rows.columns["packed"], ring._replace(size=10**6)) == 125_000


def test_demonstrations_are_not_written(tmp_path):
    sizes = []
    for demos in (False, True):
        directory = tmp_path / str(demos)
        directory.mkdir()
        run = Written(directory, demos=demos)
        run.add(3)
        path, _ = run.write()
        sizes.append({file.name: file.stat().st_size for file in path.glob("*.npy")})
    assert sizes[0] == sizes[1]
    assert not any("kept" in name for name, _ in tf.train.list_variables(str(path / "memory")))


@pytest.mark.parametrize("failing", ["no hard links", "gone", "other size"])
def test_what_cannot_be_linked_is_written_again(written, monkeypatch, failing):
    def refuse(*_):
        raise OSError("Operation not supported")

    run = written()
    run.add(45)
    run.write()
    if failing == "no hard links":
        monkeypatch.setattr(os, "link", refuse)
    elif failing == "gone":
        shutil.rmtree(run.directory / "0")
    else:
        for file in (run.directory / "0").iterdir():
            file.write_bytes(file.read_bytes()[:-1])
    run.add(2)
    path, linked = run.write()
    assert linked == set()
    run.check(path)
    # Its oldest shard is not whole any more: its oldest rows were overwritten before.
    assert len(np.load(path / "memory.packed.0.4.npy")) == 1
    if failing == "gone":
        run.add(0)
        _, linked = run.write()
        assert "memory.packed.0.4.npy" in linked
        run.check(run.before[0])


# What is damaged. -------------------------------------------------------------------------------------------------------


def claiming(shape: tuple[int, ...], descr: str = "<f4", data: bytes = bytes(4_000)) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + data


def saved(array: np.ndarray, **how: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **how)
    return file.getvalue()


FORGED = {
    "huge": claiming((2**40, 12)),
    "huger": claiming((2**62, 2**62)),
    "wide": claiming((7, 2**40)),
    "cut off": claiming((7, 12), data=b""),
    "other dtype": saved(np.zeros([7, 12])),
    "other width": saved(np.zeros([7, 11], np.float32)),
    "too many rows": saved(np.zeros([8, 12], np.float32)),
    "too few rows": saved(np.zeros([6, 12], np.float32)),
    "objects": saved(np.array([{}] * 7), allow_pickle=True),
    "empty": b"",
    "garbage": bytes(range(256)),
}


@pytest.mark.default_cases(19)
@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("part", ["0.3", "open"])
@pytest.mark.parametrize("content", FORGED)
def test_a_file_that_holds_something_else_is_refused_by_its_name(written, part, content):
    """Whatever a manifest says; and before any memory is taken for it."""
    run = written()
    run.add(32)  # 64 rows in shards of 7, the last 8 of them open: none of these.
    path, _ = run.write()
    file = path / f"memory.packed.{part}.npy"
    assert np.load(file).shape == ({"0.3": 7, "open": 8}[part], 12)
    if (part, content) == ("open", "too many rows"):
        file.write_bytes(saved(np.zeros([9, 12], np.float32)))
    else:
        file.write_bytes(FORGED[content])
    with pytest.raises(DamagedCheckpointError, match=rf"memory\.packed\.{part}\.npy is damaged"):
        shards.read(run.other, path)


def test_a_file_that_is_missing_is_named(written):
    run = written()
    run.add(32)
    path, _ = run.write()
    (path / "memory.packed.0.3.npy").unlink()
    with pytest.raises(DamagedCheckpointError, match=r"memory\.packed\.0\.3\.npy is damaged: it cannot be read"):
        shards.read(run.other, path)
