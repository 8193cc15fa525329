"""Layers that act otherwise in training, regularisation and soft updates, in compiled calls on carried values: by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from fast_testing import ACTIONS, BATCH, PERIOD, ROWS, STATES, UPDATES, System, model_fn_of, torso
from tiny_agents import assert_equal, make_agent, weights
from tiny_envs import ScheduleEnv, vector

from polyrl.configs import GreedyExplorationConfig, MeanSquaredErrorConfig, SGDConfig

layers = tf_keras.layers
JIT = pytest.mark.parametrize("jit", [pytest.param(False, marks=pytest.mark.slow), True], ids=["function", "xla"])


class Plain(System):
    """A memory of one transition, over and over: state and next state of threes, reward 0, not done; nothing discounted."""

    def fill(self, rng) -> None:
        three, zero = np.full([2, STATES], 3.0, np.float32), np.zeros(2, np.float32)
        row = {"state": three, "reward": zero, "done": zero, "truncated": zero, "next_state": three}
        for _ in range(ROWS // 2):
            self.memory.add({**row, "action": np.zeros(2, np.int32)})

    def set_head(self, value: float) -> None:
        """The same number in each weight of the heads."""
        networks = [part for name, part in self.scope.parts.items() if name in ("Model/online", "Model/target")]
        for network in networks:
            for label, variable in network.labelled_variables().items():
                if label.startswith("advantage"):
                    variable.assign(tf.fill(variable.shape, value if "kernel" in label else 0.0))


def arguments(**others):
    common = {"dueling": None, "loss_config": MeanSquaredErrorConfig(), "clip_gradients": None, "discount": 0.0}
    return {**common, "optimizer_config": SGDConfig(0.0), **others}


@pytest.mark.slow
@JIT
@pytest.mark.parametrize("use_target_graph", [True, False])
def test_dropout_acts_in_the_update_and_not_in_the_bootstrap(jit, use_target_graph):
    """A16: q is the sum of four threes, 12; in training each is 6 or 0. The target is 12 in every update."""
    given = arguments(discount=1.0, use_target_graph=use_target_graph)
    system = Plain(model_fn_of("dqn", lambda mode, inputs: layers.Dropout(0.5)(inputs["state"]), **given))
    system.set_head(1.0)
    losses = system.run_compiled(jit, 1, False)
    # A row's error is 12 - 6 * (how many of four are kept): its square is 0, 36 or 144.
    totals = np.array(losses) * BATCH / 36.0
    np.testing.assert_allclose(totals, np.round(totals), atol=1e-4)
    assert len(set(np.round(totals))) > 2  # Another mask in each update.
    assert np.mean(losses) == pytest.approx(36.0, rel=0.5)  # The variance: four times 9.


@pytest.mark.slow
def test_acting_and_evaluating_are_without_dropout_and_by_the_moving_averages(tmp_path):
    """A16, in whole runs with XLA: every action is the best of the network in inference mode, and evaluations repeat."""

    def graph_fn(mode, inputs):
        return layers.Dropout(0.5)(layers.BatchNormalization()(layers.Dense(16, "tanh")(inputs["state"])))

    given = {"exploration_config": GreedyExplorationConfig(), "summaries": [], **arguments()}
    model_fn = model_fn_of("dqn", graph_fn, **given)
    agent = make_agent(model_fn, model_dir=tmp_path, jit="on", batch_size=BATCH)
    result = agent.train(vector(*(ScheduleEnv(number) for number in range(3))), first_update=9, timesteps=60)
    assert result.global_step == 51
    stored = int(agent.memory.stored().numpy())
    online = agent._scope.parts["Model/online"]
    # The averages move, so the last iteration's actions alone are those of the weights that are left.
    states = agent.memory.columns["state"].numpy()[stored - 3 : stored]
    first, second = (online({"state": states}).q.numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)
    evaluations = [agent.evaluate(vector(ScheduleEnv()), episodes=3) for _ in range(2)]
    assert evaluations[0] == evaluations[1]
    assert agent.act(states).tolist() == first.argmax(axis=1).tolist()


@JIT
def test_actions_in_a_compiled_run_are_those_of_inference_mode(jit):
    """With weights that stand still, each of many calls acts alike, however often dropout would have chosen otherwise."""

    def graph_fn(mode, inputs):
        return layers.Dropout(0.8)(layers.Dense(8, "tanh")(inputs["state"]))

    system = Plain(model_fn_of("dqn", graph_fn, **arguments(exploration_config=GreedyExplorationConfig())))
    system.start(jit)
    states = np.random.default_rng(0).normal(size=[2, STATES]).astype(np.float32)

    def act(state):
        return [system.learner.updates(1).loss, system.learner.act(state)[0]]

    call = system.compiler.call("act", lambda: (act, [tf.TensorSpec([2, STATES])]))
    expected = system.part("online")({"state": states}).q.numpy().argmax(axis=1).tolist()
    assert [call(tf.constant(states))[1].numpy().tolist() for _ in range(20)] == [expected] * 20


@pytest.mark.slow
@JIT
def test_batch_normalisation_moves_by_the_states_of_updates_alone(jit):
    """A16: from 0 half of the way to 3 in each update; the target's when it is copied."""

    def graph_fn(mode, inputs):
        return layers.BatchNormalization(momentum=0.5)(inputs["state"])

    system = Plain(model_fn_of("dqn", graph_fn, **arguments()))
    system.run_compiled(jit, 3, True)
    found = system.numbers()
    last = UPDATES - UPDATES % PERIOD
    for role, updates in (("online", UPDATES), ("target", last)):
        np.testing.assert_allclose(
            found[f"{role}/batch_normalization/moving_mean"], 3.0 * (1.0 - 0.5**updates), rtol=1e-5, err_msg=role
        )


@pytest.mark.slow
@JIT
def test_regularisation_is_in_the_loss_and_in_the_gradient_once(jit):
    """A17: the heads are zero and so is every TD error: what is left is the decay of the torso's kernel, 0.1 |w|^2."""

    def graph_fn(mode, inputs):
        return layers.Dense(6, kernel_regularizer=tf_keras.regularizers.l2(0.1))(inputs["state"])

    system = Plain(model_fn_of("dqn", graph_fn, **arguments(optimizer_config=SGDConfig(0.5))))
    system.set_head(0.0)
    kernel = system.numbers()["online/dense/kernel"]
    losses = system.run_compiled(jit, 1, False)
    shrinking = (1.0 - 0.5 * 2.0 * 0.1) ** np.arange(UPDATES + 1)
    np.testing.assert_allclose(losses, 0.1 * np.square(kernel).sum() * shrinking[:-1] ** 2, rtol=1e-4)
    np.testing.assert_allclose(system.numbers()["online/dense/kernel"], kernel * shrinking[-1], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@JIT
@pytest.mark.parametrize("period", [1, pytest.param(PERIOD, marks=pytest.mark.slow)])
def test_soft_updates_in_compiled_calls_are_those_by_hand(jit, period):
    """Two networks that differ; the online one stands still, so that the gap shrinks by 1 - tau at each due update."""

    def graph_fn(mode, inputs):
        return layers.BatchNormalization(momentum=1.0)(torso(mode, inputs))

    system = System(model_fn_of("dqn", graph_fn, target_update_frequency=period, target_update_tau=0.3, **arguments()))
    rng = np.random.default_rng(3)
    for variable in system.part("target").model.variables:
        variable.assign_add(rng.random(variable.shape).astype(np.float32))
    before = system.numbers()
    system.run_compiled(jit, 3, True)
    after = system.numbers()
    assert system.scope.global_step.numpy() == UPDATES
    for name in [name.removeprefix("online/") for name in before if name.startswith("online/")]:
        online, target = before[f"online/{name}"], before[f"target/{name}"]
        np.testing.assert_array_equal(after[f"online/{name}"], online, err_msg=name)
        expected = online + 0.7 ** (UPDATES // period) * (target - online)
        np.testing.assert_allclose(after[f"target/{name}"], expected, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("jit", ["on", "off"])
def test_a_run_with_soft_updates_resumes_bit_for_bit(tmp_path, jit):
    model_fn = model_fn_of("dqn", target_update_frequency=2, target_update_tau=0.1, num_actions=ACTIONS)

    def run(directory, timesteps, first=0):
        agent = make_agent(model_fn, model_dir=tmp_path / directory, jit=jit)
        env = vector(*(ScheduleEnv(number, (4,), first=first) for number in range(2)))
        agent.train(env, first_update=4, update_frequency=2, timesteps=timesteps)
        return weights(agent)

    straight = run("straight", 48)
    run("parts", 24)
    assert_equal(run("parts", 24, first=3), straight)
    online, target = (straight[f"Model/{role}/dense/kernel"] for role in ("online", "target"))
    assert not np.array_equal(online, target)
