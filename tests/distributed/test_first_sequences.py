"""First priorities of sequences: which ones a block makes whole, what an actor says of them, and what a shard does with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from actor_testing import ENVS, begun_actor, give_other_weights, shard_of

from polyrl.distributed import RemoteActors, RemoteReplay
from polyrl.distributed.actor import PRIORITY
from polyrl.distributed.blocks import expand
from polyrl.distributed.weights import Weights
from polyrl.distributed.wire import pack, unpack
from polyrl.engine.tracing import traced
from polyrl.envs import GymEnvironment, Transitions
from polyrl.envs.observations import split_columns
from polyrl.models import DQNModel, R2D2Model
from polyrl.networks import mlp, recurrent
from polyrl.replay import PrioritizedReplay, PrioritizedSequenceReplay, Replay, SequenceReplay

ENV = GymEnvironment("CartPole-v1", num_envs=ENVS)
NUMBER = tf.TensorSpec([], tf.float32)
STATE = tf.TensorSpec([4], tf.float32)
SPECS = Transitions(STATE, tf.TensorSpec([], tf.int32), NUMBER, NUMBER, NUMBER, STATE).columns()


def rows(steps: int, num_envs: int) -> dict[str, tf.Tensor]:
    return {name: tf.zeros([steps, num_envs, *spec.shape], spec.dtype) for name, spec in SPECS.items()}


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize(("length", "stride", "steps", "size"), [
    (4, 2, 4, 60), (4, 2, 6, 60), (5, 3, 3, 60), (3, 1, 2, 60), (6, 7, 7, 60), (4, 2, 2, 12), (8, 4, 4, 12), (4, 2, 12, 12)
])  # fmt: skip
def test_what_a_block_makes_whole_is_that_of_a_loop(length: int, stride: int, steps: int, size: int, num_envs: int) -> None:
    memory = PrioritizedSequenceReplay(size * num_envs, length, sequence_length=length, stride=stride)
    memory.build(SPECS, num_envs)
    add = traced(memory.add_steps)
    for block in range(1, 12):
        add(rows(steps, num_envs))
        first, is_there = (values.numpy() for values in memory.made_whole(steps))
        assert first.shape == is_there.shape == (steps // stride, num_envs)
        stored = block * steps
        wanted = [
            begin for begin in range(0, stored, stride) if stored - steps < begin + length <= stored and begin >= stored - size
        ]
        found = first[is_there].reshape([-1, num_envs])
        places = [[(begin * num_envs + n) % memory.size for n in range(num_envs)] for begin in wanted]
        assert found.tolist() == places


def test_blocks_that_are_no_multiple_of_the_stride_are_refused_and_not_made() -> None:
    memory = PrioritizedSequenceReplay(100, 8, sequence_length=4, stride=3)
    memory.build(SPECS, 1)
    with pytest.raises(ValueError, match="steps=4 must be a multiple of stride=3"):
        memory.made_whole(4)
    actors = RemoteActors(ENV, steps=4)
    for steps in (4, 5, 6):
        given = PrioritizedSequenceReplay(100, 8, sequence_length=4, stride=3)
        assert RemoteActors(ENV, steps=steps)._steps(RemoteReplay(given)) == 6
    for other in (SequenceReplay(100, 8, sequence_length=4), PrioritizedReplay(100, 8)):
        assert actors._steps(RemoteReplay(other)) == 4


def test_where_the_steps_before_are_no_multiple_of_the_stride_nothing_is_said() -> None:
    """As in a memory from before blocks were one: other steps begin sequences there."""
    memory = PrioritizedSequenceReplay(400, 8, sequence_length=4, stride=3)
    memory.build(SPECS, 1)
    memory.add_steps(rows(10, 1))
    memory.start_episodes()
    memory.add_steps(rows(12, 1))
    assert not memory.made_whole(12)[1].numpy().any()


@pytest.mark.parametrize(("memory", "steps", "told"), [
    (PrioritizedSequenceReplay(40, 8, sequence_length=8, stride=4), 10, "a block of 12 steps of 2 environments.* least 48"),
    (PrioritizedSequenceReplay(48, 8, sequence_length=8, stride=12), 2, "a whole sequence of each of 2 .* at least 76"),
    (SequenceReplay(24, 16, sequence_length=8), 3, "a batch of 16; use a size of at least 32"),
])  # fmt: skip
def test_a_memory_that_is_too_small_is_told_with_what_it_is_to_hold(memory: Replay, steps: int, told: str) -> None:
    actors = RemoteActors(ENV, actors=2, steps=steps)
    with pytest.raises(ValueError, match=f"size={memory.size} of the memory, divided among actors=2, .*{told}"):
        actors._check_size(RemoteReplay(memory))


def test_a_new_life_says_nothing_of_the_sequences_of_the_one_before() -> None:
    """A shard that begins again has other steps there."""
    memory = PrioritizedSequenceReplay(400, 8, sequence_length=4, stride=2)
    actor, learner = begun_actor(ENV, gru_model_fn(DQNModel), memory, steps=6)

    def is_there() -> list[bool]:
        return np.isfinite(unpack(actor.collect()[1])[0][PRIORITY])[:, 0].tolist()

    assert [is_there(), is_there()] == [[False, True, True], [True, True, True]]
    actor.begin("1/0", pack(Weights(learner.scope).read(), {"version": 0}))
    assert [is_there(), is_there()] == [[False, True, True], [True, True, True]]


def gru_model_fn(kind: Any, **arguments: Any) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        model = kind(mode, recurrent(mlp([5]), 3, "gru"), 4, 2, discount=0.9, **arguments)
        return model(features, labels)

    return model_fn


@pytest.mark.parametrize(("kind", "arguments", "n_step"), [(DQNModel, {}, 1), (R2D2Model, {"burn_in": 1}, 2)])
def test_they_are_those_of_the_learners_update(kind: Any, arguments: dict[str, Any], n_step: int) -> None:
    """Of the same sequences in one memory that holds all steps, mixed by hand; online and target networks differ."""
    length, stride, steps, share = 4, 2, 6, 0.8
    how = {"sequence_length": length, "stride": stride, "n_step": n_step, "max_share": share}
    actor, learner = begun_actor(
        ENV, gru_model_fn(kind, **arguments), PrioritizedSequenceReplay(400, length, **how), steps=steps
    )
    give_other_weights(actor, learner)
    memory = PrioritizedSequenceReplay(400, length, **how)
    memory.build(SPECS | {"network_state": tf.TensorSpec([3], tf.float32)}, ENVS)
    add = traced(memory.add_steps)

    @traced
    def errors_of(index: tf.Tensor) -> tf.Tensor:
        return learner.learn(*split_columns(memory.read({"index": index, "weights": tf.ones([1])}))).priorities

    compared = 0
    for block in range(1, 6):
        sent = dict(unpack(actor.collect()[1])[0])
        found = sent.pop(PRIORITY)
        assert found.shape == (steps // stride, ENVS)
        add({name: tf.constant(values) for name, values in expand(sent).items()})
        stored = block * steps
        wanted = []
        for begin in range(0, stored, stride):
            if stored - steps < begin + length <= stored:
                for env in range(ENVS):
                    index = tf.constant([(begin + step) * ENVS + env for step in range(length)])
                    errors = np.abs(errors_of(index).numpy())
                    assert (errors[: arguments.get("burn_in", 0)] == 0.0).all()
                    wanted.append(share * errors.max() + (1.0 - share) * errors.mean())
        is_there = np.isfinite(found)
        np.testing.assert_allclose(found[is_there], wanted, rtol=1e-4)
        compared += len(wanted)
    assert compared == ENVS * ((5 * steps - length) // stride + 1)
    assert len(set(found.ravel())) == found.size  # No environment's are those of another one.


def test_a_shard_samples_by_them() -> None:
    """Of two whole sequences of each environment one has three times the priority of the other; older ones keep theirs."""
    memory = PrioritizedSequenceReplay(400, 4, sequence_length=4, stride=2, alpha=1.0)
    shard = shard_of(memory, actors=1)
    for number, priorities in enumerate(([np.nan, np.nan], [1.0, 3.0])):
        times = np.broadcast_to(np.arange(4 * number, 4 * number + 5)[:, np.newaxis], [5, ENVS])
        states = np.stack([times, times * 0, times * 0, times * 0], -1).astype(np.float32)
        zeros = np.zeros([4, ENVS], np.float32)
        columns = {"first_state": states[0], "begun_state": states[:0, 0], "next_state": states[1:], "reward": zeros}
        columns |= {"done": zeros, "truncated": zeros, "action": zeros.astype(np.int32)}
        columns[PRIORITY] = np.repeat(np.array(priorities, np.float32)[:, np.newaxis], ENVS, axis=1)
        shard.insert(pack(columns, {"actor": 0, "life": "0", "number": number}, compress=True))
    batches, _ = unpack(shard.sample(4_000, 0))
    begins = batches["state"][:, 0, 0, 0]
    # The first sequence has the largest priority that was known when it became whole, 1.
    shares = {begin: np.mean(begins == begin) for begin in (0.0, 2.0, 4.0)}
    assert sum(shares.values()) == 1.0
    for begin, share in {0.0: 0.2, 2.0: 0.2, 4.0: 0.6}.items():
        assert shares[begin] == pytest.approx(share, abs=0.03)
