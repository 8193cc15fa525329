"""What a shard keeps and gives: each actor's transitions as they came, each of them as likely as the others."""

from __future__ import annotations

import collections
from pathlib import Path

import numpy as np
import pytest
from actor_testing import ENVS, begun_actor, rows_of, shard_of, status
from tiny_envs import ScheduleEnv

from polyrl.distributed.actor import PRIORITY
from polyrl.distributed.blocks import expand, shrink
from polyrl.distributed.cluster import NotBegunError
from polyrl.distributed.wire import pack, unpack
from polyrl.envs import GymEnvironment
from polyrl.replay import PrioritizedReplay, UniformReplay

NAMES = ("state", "action", "reward", "next_state")
FIRST, SECOND = (
    GymEnvironment(ScheduleEnv, num_envs=ENVS, lengths=(3, 2, 4), ends=("terminated", "truncated"), number=number)
    for number in (0, 1)
)


def block(actor: int, first: int, length: int = 3, priority: float | None = None, life: str = "0") -> bytes:
    """Steps numbered from `first` on: the state of step `t` of environment `n` is `(actor, t, n, 0)`; no episode ends.

    Blocks of a life follow one another from step 0 on, those of life "50" from step 50 on.
    """
    times, envs = np.meshgrid(np.arange(first, first + length + 1), np.arange(ENVS), indexing="ij")
    states = np.stack([np.full_like(times, actor), times, envs, np.zeros_like(times)], axis=-1).astype(np.float32)
    zeros = np.zeros([length, ENVS], np.float32)
    columns = {
        "state": states[:-1],
        "action": np.zeros([length, ENVS], np.int32),
        "reward": times[:-1].astype(np.float32),
        "done": zeros,
        "truncated": zeros,
        "next_state": states[1:],
    }
    sent = shrink(columns)
    if priority is not None:
        sent[PRIORITY] = np.full([length, ENVS], priority, np.float32)
    number = (first - (50 if life == "50" else 0)) // length
    return pack(sent, {"actor": actor, "life": life, "number": number}, compress=True)


@pytest.mark.parametrize("memory", [UniformReplay(200, 8), PrioritizedReplay(200, 8)])
def test_batches_are_of_what_the_actors_sent(memory) -> None:
    shard = shard_of(memory)
    sent = set()
    for index, env in enumerate((FIRST, SECOND)):
        actor, _ = begun_actor(env, memory=memory, index=index, actors=2)
        for _ in range(2):
            _, packed = actor.collect()
            shard.insert(packed)
            small = dict(unpack(packed)[0])
            small.pop(PRIORITY, None)
            sent |= rows_of(expand(small), *NAMES)
    assert status(shard.status())["stored"] == 2 * 2 * 5 * ENVS
    batches, about = unpack(shard.sample(40, 0))
    assert batches["state"].shape == (40, 8, 4)
    assert rows_of(batches, *NAMES) == sent  # All of them, and no other.
    assert {name: (tuple(x.shape[1:]), x.dtype.name) for name, x in batches.items()} == shard.batch_specs()
    assert about["shard"] == 0


def test_each_transition_is_as_likely_however_many_its_actor_has() -> None:
    shard = shard_of(UniformReplay(400, 4))
    for turn in range(9):
        shard.insert(block(0, 3 * turn))
    shard.insert(block(1, 0))
    batches, _ = unpack(shard.sample(4_000, 0))
    share = np.mean(batches["state"][..., 0] == 1.0)
    assert share == pytest.approx(0.1, abs=0.02)  # Four standard deviations of the mean of 4,000 draws.


def test_with_priorities_each_counts_the_same() -> None:
    """Actor 1 has as many transitions, with three times the priorities."""
    shard = shard_of(PrioritizedReplay(400, 4, alpha=1.0))
    shard.insert(block(0, 0, priority=1.0))
    shard.insert(block(1, 0, priority=3.0))
    batches, _ = unpack(shard.sample(4_000, 0))
    assert np.mean(batches["state"][..., 0] == 1.0) == pytest.approx(0.75, abs=0.03)


def test_windows_do_not_cross_a_new_beginning_of_an_actor() -> None:
    shard = shard_of(UniformReplay(100, 4, n_step=3), actors=1)
    shard.insert(block(0, 0))
    shard.insert(block(0, 3))  # Goes on.
    shard.insert(block(0, 50, life="50"))  # Begun again: elsewhere.
    batches, _ = unpack(shard.sample(400, 0))
    start, end = batches["state"][..., 1].ravel(), batches["next_state"][..., 1].ravel()
    reached = collections.defaultdict(set)
    for begin, last in zip(start, end, strict=True):
        reached[int(begin)].add(int(last))
    assert reached == {0: {3}, 1: {4}, 2: {5}, 3: {6}, 4: {6}, 5: {6}, 50: {53}, 51: {53}, 52: {53}}


@pytest.mark.parametrize("wrong", [block(0, 9), block(0, 3), block(0, 53, life="50"), block(0, 6, life="another")])
def test_a_block_that_follows_nothing_is_left_out(wrong: bytes, tmp_path: Path) -> None:
    """One between was lost, or it came before, or of another life. After a restart nothing follows what is there."""
    shard = shard_of(UniformReplay(100, 4, n_step=3), actors=1)
    shard.insert(block(0, 0))
    shard.insert(block(0, 3))
    before = status(shard.status())
    assert status(shard.insert(wrong)) == {**before, "left_out": 1}
    assert status(shard.insert(block(0, 6)))["stored"] == 18
    shard.save(str(tmp_path / "replay"))
    again = shard_of(UniformReplay(100, 4, n_step=3), actors=1)
    again.restore(str(tmp_path / "replay"))
    assert status(again.insert(block(0, 9)))["left_out"] == 1
    found = status(again.insert(block(0, 50, life="50")))
    assert (found["stored"], found["left_out"]) == (24, 1)


def test_before_it_begins_it_neither_takes_nor_gives(tmp_path: Path) -> None:
    """A shard that was started again is not taken for one that is empty, nor written as such."""
    shard = shard_of(UniformReplay(100, 4), begins=False)
    for ask in (lambda: shard.insert(block(0, 0)), lambda: shard.sample(1, 0), lambda: shard.save(str(tmp_path))):
        with pytest.raises(NotBegunError, match="Call begin or restore first"):
            ask()
    assert list(tmp_path.iterdir()) == []
    shard.begin()
    assert status(shard.insert(block(0, 0)))["stored"] == 6


def test_samples_differ_and_are_those_of_the_seed() -> None:
    shards = [shard_of(UniformReplay(100, 4)) for _ in range(2)]
    for shard in shards:
        for turn in range(5):
            shard.insert(block(0, 3 * turn))
    (first, _), (same, _), (second, _) = (unpack(shard.sample(6, 0)) for shard in (*shards, shards[0]))
    np.testing.assert_array_equal(first["state"], same["state"])
    assert not np.array_equal(first["state"], second["state"])


def test_priorities_reach_their_transitions() -> None:
    shard = shard_of(PrioritizedReplay(200, 4, alpha=1.0), actors=1)
    shard.insert(block(0, 0, length=6, priority=1.0))
    for _ in range(30):
        batches, about = unpack(shard.sample(4, 0))
        wanted = np.where(batches["state"][..., 1] == 2.0, 1.0, 0.0).astype(np.float32)  # The third step of both.
        shard.update_priorities(pack({"priorities": wanted}, {"sample": about["sample"]}))
    batches, _ = unpack(shard.sample(50, 0))
    assert set(batches["state"][..., 1].ravel().tolist()) == {2.0}
    assert status(shard.status())["dropped"] == 0


def test_priorities_of_rows_that_are_gone_change_nothing() -> None:
    """Nine steps of two environments fit; after the next block the oldest positions hold other transitions."""
    shard = shard_of(PrioritizedReplay(18, 6, alpha=1.0), actors=1)
    for turn in range(3):
        shard.insert(block(0, 3 * turn, priority=1.0))
    batches, about = unpack(shard.sample(20, 0))
    for turn in range(3, 6):
        shard.insert(block(0, 3 * turn, priority=1.0))
    huge = np.full(batches["state"].shape[:2], 1e6, np.float32)
    shard.update_priorities(pack({"priorities": huge}, {"sample": about["sample"]}))
    assert status(shard.status())["dropped"] == huge.size
    later, _ = unpack(shard.sample(500, 0))
    np.testing.assert_allclose(later["weights"], 1.0, rtol=1e-6)  # All are as likely as before.
    shard.update_priorities(pack({"priorities": huge}, {"sample": about["sample"]}))  # Known no longer: nothing.
    shard.update_priorities(pack({"priorities": huge}, {"sample": "of another life"}))
    assert status(shard.status())["dropped"] == huge.size


@pytest.mark.parametrize("memory", [UniformReplay(60, 4, n_step=2), PrioritizedReplay(60, 4)])
def test_a_shard_that_begins_again_has_what_was_written(memory, tmp_path: Path) -> None:
    shard = shard_of(memory)
    for turn in range(3):
        shard.insert(block(0, 3 * turn, priority=1.0 + turn))
        shard.insert(block(1, 3 * turn, priority=1.0))
    shard.save(str(tmp_path / "replay"))
    again = shard_of(memory)
    assert status(again.restore(str(tmp_path / "replay"))) == status(shard.status())
    (wanted, _), (found, _) = (unpack(each.sample(30, 0)) for each in (shard, again))
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_what_is_not_its_own_is_refused() -> None:
    shard = shard_of(UniformReplay(100, 4))
    with pytest.raises(RuntimeError, match="Shard 0 is empty"):
        shard.sample(1, 0)
    for wrong, words in (
        (block(5, 0), "of actor 5; shard 0 has"),
        (b"nothing", "are not arrays"),
        (
            pack(
                {"done": np.zeros(3, np.float32), "truncated": np.zeros(3, np.float32)}, {"actor": 0, "life": "0", "number": 0}
            ),
            "not the columns",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            shard.insert(wrong)
    assert status(shard.status())["stored"] == 0
