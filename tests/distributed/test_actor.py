"""What an actor sends: the steps of its environments, acted in with the learner's weights, and first priorities."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from actor_testing import ENVS, STEPS, begun_actor, give_other_weights, learner_of
from tiny_agents import q_model_fn
from tiny_envs import ScheduleEnv, expected_steps

from polyrl.configs import ConstantExplorationConfig, GreedyExplorationConfig, OrnsteinUhlenbeckExplorationConfig
from polyrl.distributed.actor import PRIORITY, Actor, ActorTask, rung
from polyrl.distributed.blocks import expand
from polyrl.distributed.weights import Weights
from polyrl.distributed.wire import pack, unpack
from polyrl.envs import GymEnvironment
from polyrl.models import DQNModel, NAFModel
from polyrl.models.scope import Scope
from polyrl.networks import mlp
from polyrl.replay import PrioritizedReplay, UniformReplay

LENGTHS, ENDS = (3, 2, 4), ("terminated", "truncated")
ENV = GymEnvironment(ScheduleEnv, num_envs=ENVS, lengths=LENGTHS, ends=ENDS)


def test_blocks_hold_all_steps_in_their_order() -> None:
    """Over three blocks, against a plain loop over the environment's schedule."""
    actor, _ = begun_actor(ENV)
    blocks = [actor.collect() for _ in range(3)]
    columns = [expand(unpack(block)[0]) for _, block in blocks]
    found = {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}
    assert found["state"].shape == (3 * STEPS, ENVS, 4)
    for env in range(ENVS):
        wanted = expected_steps(iter(found["action"][:, env].tolist()), 0, LENGTHS, ENDS)
        for row, step in zip(range(3 * STEPS), wanted, strict=False):
            assert tuple(found["state"][row, env]) == step.state
            assert tuple(found["next_state"][row, env]) == step.next_state
            assert found["reward"][row, env] == step.reward
            assert found["done"][row, env] == step.terminated
            assert found["truncated"][row, env] == (step.truncated and not step.terminated)
    abouts = [unpack(report)[1] for report, _ in blocks]
    assert [(about["life"], about["number"]) for about in abouts] == [("0/0", 0), ("0/0", 1), ("0/0", 2)]
    assert {about["timesteps"] for about in abouts} == {STEPS * ENVS}
    ended = [episode for about in abouts for episode in about["episodes"]]
    lengths = [length for _, length, env, _ in ended if env == 0]
    assert lengths == [3, 2, 4, 3, 2]  # 14 of 15 steps; the sixth one goes on.
    assert [bool(truncated) for _, _, env, truncated in ended if env == 0] == [False, True, False, True, False]


def test_it_acts_with_the_weights_that_it_was_given() -> None:
    model_fn = q_model_fn(exploration_config=GreedyExplorationConfig())
    actor, learner = begun_actor(ENV, model_fn)
    weights = Weights(learner.scope).read()
    for wanted in (2, 0):
        changed = {name: np.zeros_like(values) for name, values in weights.items()}
        biases = [name for name, values in weights.items() if values.shape == (3,)]
        assert len(biases) == 2  # Of the advantages, online and target.
        for name in biases:
            changed[name] = np.eye(3, dtype=np.float32)[wanted]
        actor.set_weights(pack(changed, {"version": 7}))
        actor.collect()  # Its first action was chosen before.
        report, block = actor.collect()
        assert set(expand(unpack(block)[0])["action"].ravel().tolist()) == {wanted}
        assert unpack(report)[1]["version"] == 7


def test_before_it_begins_it_has_nothing_to_give() -> None:
    learner = learner_of(ENV, q_model_fn(), UniformReplay(100, 4))
    actor = Actor(ActorTask(learner.model_fn, ENV, UniformReplay(100, 4), 1, 1, STEPS, "off"), 0)
    with pytest.raises(RuntimeError, match="Call begin first"):
        actor.collect()


def test_actors_play_episodes_of_their_own() -> None:
    """They share the run's seed, and neither environments' nor exploration's numbers."""
    env = GymEnvironment("CartPole-v1", num_envs=2)
    blocks = []
    for index in range(2):
        actor, _ = begun_actor(env, q_model_fn(num_actions=2, exploration_config=ConstantExplorationConfig(1.0)), index=index)
        blocks.append(expand(unpack(actor.collect()[1])[0]))
    assert not np.array_equal(blocks[0]["state"][0], blocks[1]["state"][0])
    assert not np.array_equal(blocks[0]["action"], blocks[1]["action"])


@pytest.mark.parametrize("is_process_new", [True, False])
def test_another_life_is_not_the_one_before_again(is_process_new: bool) -> None:
    """An actor that died before new weights were published would play the same episodes again; the same life is the same."""
    env = GymEnvironment("CartPole-v1", num_envs=2)
    model_fn = q_model_fn(num_actions=2, exploration_config=ConstantExplorationConfig(1.0))

    def first_block(life: str) -> dict[str, np.ndarray]:
        actor, learner = begun_actor(env, model_fn)
        if not is_process_new:
            actor.collect()
        if life != "0/0" or not is_process_new:
            other = Actor(actor._task, 0) if is_process_new else actor
            other.begin(life, pack(Weights(learner.scope).read(), {"version": 0}))
            actor = other
        report, block = actor.collect()
        assert unpack(report)[1]["number"] == 0
        return expand(unpack(block)[0])

    first, second, again = first_block("0/1"), first_block("0/2"), first_block("0/1")
    assert not np.array_equal(first["state"][0], second["state"][0])
    np.testing.assert_array_equal(first["state"], again["state"])
    if is_process_new:
        assert not np.array_equal(first["action"], second["action"])


class Pictures(gymnasium.Env):
    """Noise, two frames of it in a state; the fourth step truncates."""

    observation_space = gymnasium.spaces.Box(0, 255, (3, 3, 2), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._t = 0
        self._frames = np.repeat(self._picture(), 2, axis=-1)
        return self._frames, {}

    def step(self, action):
        self._t += 1
        self._frames = np.concatenate([self._frames[..., 1:], self._picture()], axis=-1)
        return self._frames, float(self._t), False, self._t == 4, {}

    def _picture(self):
        return self.np_random.integers(0, 256, (3, 3, 1), dtype=np.uint8)


def pictures_model_fn(features, labels, mode):
    def torso(mode, inputs):
        flat = tf.reshape(tf.cast(inputs["state"], tf.float32) / 255.0, [-1, 18])
        return tf_keras.layers.Dense(8, "tanh")(flat)

    greedy = GreedyExplorationConfig()
    return DQNModel(mode, torso, (3, 3, 2), 2, exploration_config=greedy)(features, labels)


def test_first_priorities_do_not_reach_into_the_life_before() -> None:
    """Where the episodes before were cut off, the first states have no frames of them: as in an actor that had none."""
    env = GymEnvironment(Pictures, num_envs=ENVS)
    memory = PrioritizedReplay(200, 4, n_step=2, frame_stack=2)
    actor, learner = begun_actor(env, pictures_model_fn, memory)
    weights = pack(Weights(learner.scope).read(), {"version": 0})
    actor.collect()  # Ends in the middle of an episode.
    fresh = Actor(actor._task, 0)
    found, wanted = {}, {}
    for each, into in ((actor, found), (fresh, wanted)):
        each.begin("0/1", weights)
        into.update(unpack(each.collect()[1])[0])
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


# The ladder of exploration. -----------------------------------------------------------------------------------------------


def test_the_ladder_is_that_of_the_paper() -> None:
    """Horgan et al. 2018: actor i of N explores with epsilon^(1 + alpha i / (N - 1)), epsilon 0.4, alpha 7."""
    for actors in (2, 8, 360):
        for index in (0, 1, actors - 1):
            assert 0.4 ** rung(index, actors) == pytest.approx(0.4 ** (1.0 + 7.0 * index / (actors - 1.0)))
    assert rung(0, 1) == 1.0


@pytest.mark.parametrize(("index", "wanted"), [(0, 0.4), (1, 0.4**4.5), (2, 0.4**8)])
def test_each_actor_explores_at_its_rung(index: int, wanted: float) -> None:
    model_fn = q_model_fn(exploration_config=ConstantExplorationConfig(0.4))
    actor, _ = begun_actor(ENV, model_fn, index=index, actors=3)
    assert unpack(actor.collect()[0])[1]["exploration_rate"] == pytest.approx(wanted)


def test_what_is_no_probability_has_no_ladder() -> None:
    def model_fn(features, labels, mode):
        config = OrnsteinUhlenbeckExplorationConfig(sigma=0.3)
        return NAFModel(mode, mlp([8]), 3, 1, action_low=-2.0, action_high=2.0, exploration_config=config)(features, labels)

    rates = []
    for index in range(2):
        actor, _ = begun_actor(GymEnvironment("Pendulum-v1", num_envs=1), model_fn, index=index, actors=2)
        rates.append(unpack(actor.collect()[0])[1]["exploration_rate"])
    assert rates[0] == rates[1]


# First priorities. --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_step", [1, 3])
def test_first_priorities_are_the_td_errors_of_the_learner(n_step: int) -> None:
    """Against a loop in NumPy over windows that end with their episode or with the block; online and target differ."""
    discount = 0.9
    model_fn = q_model_fn("ddqn", discount=discount)
    actor, learner = begun_actor(ENV, model_fn, PrioritizedReplay(100, 4, n_step=n_step))
    give_other_weights(actor, learner)
    for _ in range(2):  # The second block begins in mid-episode.
        sent = dict(unpack(actor.collect()[1])[0])
        found = sent.pop(PRIORITY)
        columns = expand(sent)
        online, target = learner.scope.parts["Model/online"], learner.scope.parts["Model/target"]

        wanted = np.zeros_like(found)
        for step, env in np.ndindex(*found.shape):
            total, weight, last = 0.0, 1.0, step
            for last in range(step, min(step + n_step, len(found))):
                total += weight * columns["reward"][last, env]
                weight *= discount
                if columns["done"][last, env] or columns["truncated"][last, env]:
                    break
            if columns["done"][last, env]:
                weight = 0.0
            following = columns["next_state"][last, env]
            best = int(np.argmax(q_of(online, following)))
            bootstrap = q_of(target, following)[best]
            present = q_of(online, columns["state"][step, env])[columns["action"][step, env]]
            wanted[step, env] = abs(total + weight * bootstrap - present)
        np.testing.assert_allclose(found, wanted, rtol=1e-4)


def q_of(network, state: np.ndarray) -> np.ndarray:
    return network(tf.constant(state[np.newaxis]), "eval").q[0].numpy()


def test_without_priorities_none_are_sent() -> None:
    actor, _ = begun_actor(ENV)
    assert PRIORITY not in unpack(actor.collect()[1])[0]


# Weights. -----------------------------------------------------------------------------------------------------------------


def test_weights_of_another_model_are_refused_and_leave_it_alone() -> None:
    actor, learner = begun_actor(ENV)
    before = Weights(learner.scope).read()
    others = Weights(learner_of(ENV, q_model_fn(units=9), UniformReplay(100, 4)).scope).read()
    with pytest.raises(ValueError, match="These weights are not of this model; they differ in"):
        Weights(learner.scope).assign(others)
    after = Weights(learner.scope).read()
    assert all(np.array_equal(values, after[name]) for name, values in before.items())
    with pytest.raises(ValueError, match="not of this model"):
        actor.set_weights(pack({}, {"version": 0}))


def test_the_variables_are_looked_for_once(monkeypatch) -> None:
    actor, learner = begun_actor(ENV)
    there = Weights(learner.scope)
    monkeypatch.setattr("polyrl.distributed.weights._variables", None)
    given = {name: values + 1 for name, values in there.read().items()}
    there.assign(given)
    actor.set_weights(pack(there.read(), {"version": 1}))
    monkeypatch.undo()
    for name, values in Weights(actor._scope).read().items():
        np.testing.assert_array_equal(values, given[name])


def test_an_actor_begins_before_anything_else() -> None:
    actor = Actor(begun_actor(ENV)[0]._task, 0)
    for call in (actor.collect, lambda: actor.set_weights(pack({}, {"version": 0}))):
        with pytest.raises(RuntimeError, match=r"Actor 0 knows nothing of the run, .*\. Call begin first"):
            call()


def test_counters_never_go_back() -> None:
    """Random numbers follow from them: the same ones would come again."""
    scope = Scope()
    scope.global_timestep.assign(500)
    Weights(scope).assign({name: np.int64(100) for name in ("global_step", "global_timestep", "global_episode")})
    assert int(scope.global_timestep.numpy()) == 500
    assert int(scope.global_step.numpy()) == 100
