"""The contract that every policy keeps: specs, checks, states, updates, wrappers, export."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from polyrl import policies
from polyrl.policies import (
    BoltzmannPolicy,
    BoundedTensorSpec,
    CategoricalQPolicy,
    EpsilonGreedyPolicy,
    GreedyPolicy,
    PolicyInfo,
    PolicyStep,
    QPolicy,
    RandomPolicy,
    StepType,
    TimeStep,
    Trajectory,
)

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

ACTIONS, ATOMS, FEATURES, ROWS = 3, 5, 4, 6
SPEC = policies.time_step_spec(tf.TensorSpec([FEATURES], tf.float32))
ACTION = BoundedTensorSpec((), tf.int32, 0, ACTIONS - 1, "action")
NESTED = policies.time_step_spec({"image": tf.TensorSpec([2, 2], tf.uint8), "place": (tf.TensorSpec([3], tf.float32),)})


def steps(step_type: int = StepType.FIRST) -> TimeStep:
    observation = tf.constant(np.random.default_rng(0).normal(size=(ROWS, FEATURES)), tf.float32)
    return TimeStep.restart(observation, ROWS)._replace(step_type=tf.fill([ROWS], step_type))


def q_model(seed: int = 0) -> tf_keras.Model:
    dense = tf_keras.layers.Dense(ACTIONS, kernel_initializer=tf_keras.initializers.RandomNormal(seed=seed))
    return tf_keras.Sequential([tf_keras.Input([FEATURES]), tf_keras.layers.BatchNormalization(), dense])


class Logits(tf.Module):
    """Gives the same logits `[B, A, N]` for every observation."""

    num_atoms = ATOMS

    def __init__(self, logits: Any):
        super().__init__()
        self.logits = tf.Variable(np.asarray(logits, np.float32))

    def __call__(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> Any:
        rows = tf.shape(tf.nest.flatten(observation)[0])[0]
        return tf.repeat(self.logits[tf.newaxis], rows, axis=0), network_state


class Counter(tf.Module):
    """Recurrent: counts the steps of each episode, and values action `i` by how near `i` is to the count."""

    state_spec = {"count": tf.TensorSpec([], tf.float32), "sums": (tf.TensorSpec([2], tf.float32),)}

    def __call__(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> Any:
        count = network_state["count"] + 1.0
        sums = network_state["sums"][0] + observation[:, :2]
        return -tf.abs(tf.range(float(ACTIONS)) - count[:, tf.newaxis]), {"count": count, "sums": (sums,)}


def categorical(**arguments: Any) -> CategoricalQPolicy:
    network = Logits(np.random.default_rng(1).normal(size=(ACTIONS, ATOMS)))
    return CategoricalQPolicy(SPEC, ACTION, network, -2.0, 2.0, **arguments)


def probabilities(policy: policies.BasePolicy, step: TimeStep | None = None) -> np.ndarray:
    return policy.distribution(steps() if step is None else step).action.probs_parameter().numpy()


# Specs ------------------------------------------------------------------------------------------------------------------


def test_the_specs_of_a_policy_without_state_and_information() -> None:
    policy = QPolicy(SPEC, ACTION, q_model())
    assert policy.policy_state_spec == ()
    assert policy.info_spec == ()
    assert not policy.emit_log_probability
    assert policy.validate_args
    assert policy.policy_step_spec == PolicyStep(ACTION, (), ())
    step_type, reward, discount, observation = SPEC
    assert policy.trajectory_spec == Trajectory(step_type, observation, ACTION, (), step_type, reward, discount)
    assert policy.collect_data_spec == policy.trajectory_spec


def test_the_specs_of_a_recurrent_policy_that_tells_probabilities() -> None:
    policy = QPolicy(SPEC, ACTION, Counter(), emit_log_probability=True)
    assert policy.policy_state_spec == Counter.state_spec
    assert policy.emit_log_probability
    assert policy.info_spec == PolicyInfo(tf.TensorSpec([], tf.float32, "log_probability"))
    assert policy.policy_step_spec == PolicyStep(ACTION, Counter.state_spec, policy.info_spec)
    assert policy.trajectory_spec.policy_info == policy.info_spec


@pytest.mark.parametrize("log_probability", [False, True])
def test_what_an_action_gives_matches_its_specs(log_probability: bool) -> None:
    policy = QPolicy(SPEC, ACTION, Counter(), emit_log_probability=log_probability)
    step = policy.action(steps(), policy.get_initial_state(ROWS), seed=0)
    tf.nest.assert_same_structure(step, policy.policy_step_spec)
    following = TimeStep.transition(steps().observation, tf.ones([ROWS]))
    trajectory = Trajectory.of(steps(), step, following)
    tf.nest.assert_same_structure(trajectory, policy.trajectory_spec)
    for spec, leaf in zip(tf.nest.flatten(policy.trajectory_spec), tf.nest.flatten(trajectory), strict=True):
        assert leaf.dtype == spec.dtype
        assert leaf.shape == (ROWS, *spec.shape)


@pytest.mark.parametrize(
    ("make", "step_type", "discount"),
    [(TimeStep.transition, 1, 1.0), (TimeStep.termination, 2, 0.0), (TimeStep.truncation, 2, 1.0)],
)
def test_time_steps_say_where_they_lie(make: Any, step_type: int, discount: float) -> None:
    step = make(tf.zeros([2, FEATURES]), [1.5, -1.0])
    np.testing.assert_array_equal(step.step_type, [step_type] * 2)
    np.testing.assert_array_equal(step.reward, [1.5, -1.0])
    np.testing.assert_array_equal(step.discount, [discount] * 2)
    np.testing.assert_array_equal(step.is_last(), [step_type == 2] * 2)
    np.testing.assert_array_equal(step.is_first(), [False] * 2)
    np.testing.assert_array_equal(TimeStep.restart(step.observation, 2).is_first(), [True] * 2)


def test_bounds_may_be_given_for_each_element() -> None:
    spec = BoundedTensorSpec([2], tf.float32, [-1.0, -2.0], np.array([1.0, 2.0]))
    assert spec.minimum == (-1.0, -2.0)
    assert spec == BoundedTensorSpec((2,), tf.float32, (-1.0, -2.0), (1.0, 2.0))
    with pytest.raises(ValueError, match=r"minimum=\(0.0, 3.0\) must not exceed maximum=\(1.0, 2.0\)"):
        BoundedTensorSpec([2], tf.float32, [0.0, 3.0], [1.0, 2.0])
    with pytest.raises(ValueError, match=r"minimum has shape \(3,\)"):
        BoundedTensorSpec([2], tf.float32, [0.0, 0.0, 0.0], 1.0)


# Checks -----------------------------------------------------------------------------------------------------------------


def nested(**changes: Any) -> TimeStep:
    observation = {"image": tf.zeros([ROWS, 2, 2], tf.uint8), "place": (tf.zeros([ROWS, 3]),), **changes}
    return TimeStep.restart({name: value for name, value in observation.items() if value is not None}, ROWS)


def nested_policy(**arguments: Any) -> policies.BasePolicy:
    return CategoricalQPolicy(NESTED, ACTION, Logits(np.zeros((ACTIONS, ATOMS))), -1.0, 1.0, **arguments)


@pytest.mark.parametrize("method", ["action", "distribution"])
@pytest.mark.parametrize(
    ("step", "message"),
    [
        (nested(image=None), r"time_step.observation\['image'\] is missing: uint8 \[B, 2, 2\]"),
        (nested(sound=tf.zeros([ROWS])), r"time_step.observation\['sound'\] is not in the spec"),
        (nested(image=tf.zeros([ROWS, 2, 2])), r"observation\['image'\] has dtype float32; the spec says uint8"),
        (nested(image=tf.zeros([ROWS, 2, 3], tf.uint8)), r"has shape \(6, 2, 3\); the spec says uint8 \[B, 2, 2\]"),
        (nested(place=(tf.zeros([3]),)), r"observation\['place'\]\[0\] has shape \(3,\)"),
        (nested(place=(tf.zeros([5, 3]),)), r"observation\['place'\]\[0\] has 5 rows; time_step.step_type has 6"),
        (nested()._replace(step_type=tf.zeros([ROWS], tf.int64)), "time_step.step_type has dtype int64; the spec says int32"),
        (nested(place=(np.zeros([ROWS, 3]),)), r"observation\['place'\]\[0\] has dtype float64; the spec says float32"),
    ],
)
def test_a_time_step_that_does_not_match_is_refused(method: str, step: TimeStep, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(nested_policy(), method)(step)


def test_all_that_differs_is_told_at_once() -> None:
    step = nested(image=tf.zeros([ROWS, 2, 2]), place=(tf.zeros([ROWS, 1]),))
    with pytest.raises(ValueError, match=r"\['image'\] has dtype.*\['place'\]\[0\] has shape"):
        nested_policy().action(step)


def test_a_tuple_is_no_time_step() -> None:
    with pytest.raises(TypeError, match="must be a TimeStep"):
        nested_policy().action(tuple(nested()))


def test_without_checks_what_does_not_match_is_let_through() -> None:
    step = nested(image=tf.zeros([ROWS, 2, 2]))
    policy = nested_policy(validate_args=False)
    assert not policy.validate_args
    assert policy.action(step, seed=0).action.shape == (ROWS,)


def test_arrays_of_the_right_dtype_will_do() -> None:
    step = TimeStep(*(np.asarray(leaf) for leaf in steps()))
    policy = QPolicy(SPEC, ACTION, q_model())
    np.testing.assert_array_equal(policy.action(step, seed=3).action, policy.action(steps(), seed=3).action)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"count": tf.zeros([ROWS])}, r"policy_state\['sums'\]\[0\] is missing"),
        ({"count": tf.zeros([ROWS], tf.int32), "sums": (tf.zeros([ROWS, 2]),)}, r"policy_state\['count'\] has dtype int32"),
        ({"count": tf.zeros([ROWS]), "sums": (tf.zeros([ROWS, 3]),)}, r"policy_state\['sums'\]\[0\] has shape \(6, 3\)"),
    ],
)
def test_a_state_that_does_not_match_is_refused(state: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        QPolicy(SPEC, ACTION, Counter()).action(steps(StepType.MID), state)


def test_a_state_is_refused_where_there_is_none() -> None:
    with pytest.raises(ValueError, match="policy_state is not in the spec"):
        QPolicy(SPEC, ACTION, q_model()).action(steps(), tf.zeros([ROWS]))


def test_a_network_that_gives_another_state_than_it_says_is_found_out() -> None:
    class Wrong(Counter):
        def __call__(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> Any:
            values, state = super().__call__(observation, step_type, network_state)
            return values, {"count": state["count"]}

    with pytest.raises(ValueError, match=r"policy_step.state\['sums'\]\[0\] is missing"):
        QPolicy(SPEC, ACTION, Wrong()).action(steps())


@pytest.mark.parametrize("call", ["action", "distribution", "get_initial_state", "update", "time_step_spec"])
def test_a_subclass_that_does_not_call_its_parent_is_told_so(call: str) -> None:
    class Careless(QPolicy):
        def __init__(self) -> None:
            pass

    calls = {
        "action": lambda policy: policy.action(steps()),
        "distribution": lambda policy: policy.distribution(steps()),
        "get_initial_state": lambda policy: policy.get_initial_state(1),
        "update": lambda policy: policy.update(QPolicy(SPEC, ACTION, q_model())),
        "time_step_spec": lambda policy: policy.time_step_spec,
    }
    with pytest.raises(RuntimeError, match=r"Careless.__init__ must call super\(\).__init__\(\)"):
        calls[call](Careless())


# States -----------------------------------------------------------------------------------------------------------------


def test_the_initial_state_is_zeros_with_and_without_a_batch() -> None:
    policy = QPolicy(SPEC, ACTION, Counter())
    for batch_size, outer in ((None, ()), (4, (4,)), (tf.constant(4), (4,))):
        state = policy.get_initial_state(batch_size)
        assert state["count"].shape == outer
        assert state["sums"][0].shape == (*outer, 2)
        assert all((leaf.numpy() == 0).all() for leaf in tf.nest.flatten(state))
    assert policy.get_initial_state() == policy.get_initial_state(None)
    assert QPolicy(SPEC, ACTION, q_model()).get_initial_state(4) == ()


@pytest.mark.parametrize("wrap", [lambda function: function, tf.function], ids=["eager", "function"])
def test_a_state_is_carried_and_begins_anew_where_an_episode_does(wrap: Any) -> None:
    policy = QPolicy(SPEC, ACTION, Counter(), temperature=0.0)
    act = wrap(lambda step, state: policy.action(step, state))
    types = tf.constant([0, 1, 2, 0, 1, 1])
    state = {"count": tf.fill([ROWS], 1.0), "sums": (tf.fill([ROWS, 2], 5.0),)}
    step = steps()._replace(step_type=types)
    result = act(step, state)
    np.testing.assert_array_equal(result.state["count"], [1, 2, 2, 1, 2, 2])
    begun = np.where(types.numpy() == 0, 0.0, 5.0)[:, np.newaxis]
    np.testing.assert_allclose(result.state["sums"][0], begun + step.observation.numpy()[:, :2], rtol=1e-6)
    np.testing.assert_array_equal(result.action, [1, 2, 2, 1, 2, 2])


def test_without_a_state_the_initial_one_is_taken() -> None:
    policy = QPolicy(SPEC, ACTION, Counter(), temperature=0.0)
    np.testing.assert_array_equal(policy.action(steps(StepType.MID)).state["count"], np.ones(ROWS))


# Log-probabilities ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [
    lambda policy: policy,
    GreedyPolicy,
    lambda policy: EpsilonGreedyPolicy(policy, 0.4),
    lambda policy: BoltzmannPolicy(policy, 3.0),
], ids=["itself", "greedy", "epsilon", "boltzmann"])  # fmt: skip
def test_the_logarithm_of_the_probability_is_that_of_the_distribution(make: Any) -> None:
    policy = make(categorical(emit_log_probability=True))
    step = policy.action(steps(), seed=5)
    chosen = probabilities(policy)[np.arange(ROWS), step.action.numpy()]
    np.testing.assert_allclose(step.info.log_probability, np.log(chosen), rtol=1e-5, atol=1e-6)


# Updates ----------------------------------------------------------------------------------------------------------------


def pair() -> tuple[QPolicy, QPolicy]:
    own, other = (QPolicy(SPEC, ACTION, q_model(seed)) for seed in (0, 1))
    for index, variable in enumerate(other.variables):
        variable.assign(variable + float(index + 1))
    return own, other


@pytest.mark.parametrize("wrap", [lambda function: function, tf.function], ids=["eager", "function"])
@pytest.mark.parametrize(("tau", "rest"), [(1.0, None), (0.0, None), (0.25, None), (0.25, 1.0), (0.0, 1.0), (1.0, 0.0), (0.5, 0.1)])
def test_an_update_moves_each_kind_of_variable_by_its_tau(wrap: Any, tau: float, rest: float | None) -> None:
    own, other = pair()
    before = [variable.numpy() for variable in own.variables]
    wrap(lambda: own.update(other, tau, rest))()
    assert {variable.trainable for variable in own.variables} == {True, False}
    for old, new, variable in zip(before, other.variables, own.variables, strict=True):
        share = tau if variable.trainable or rest is None else rest
        np.testing.assert_allclose(variable, (1 - share) * old + share * new.numpy(), rtol=1e-6)


def test_a_copy_is_exact_and_acts_alike() -> None:
    own, other = pair()
    assert (probabilities(own) != probabilities(other)).any()
    own.update(other)
    for left, right in zip(own.variables, other.variables, strict=True):
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(probabilities(own), probabilities(other))


def test_tau_may_be_a_tensor_known_only_in_the_graph() -> None:
    own, other = pair()
    before = own.variables[0].numpy()
    tf.function(lambda tau: own.update(other, tau))(tf.constant(0.25))
    np.testing.assert_allclose(own.variables[0], 0.75 * before + 0.25 * other.variables[0].numpy(), rtol=1e-6)


class Pair(tf.Module):
    """Two variables whose order of creation is not that of their names."""

    def __init__(self, first: str, second: str):
        super().__init__()
        self.a = tf.Variable([1.0 if first == "x" else 2.0], name=first)
        self.b = tf.Variable([1.0 if second == "x" else 2.0], name=second)

    def __call__(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> Any:
        return tf.zeros([ROWS, ACTIONS]) + self.a + self.b, network_state


@pytest.mark.parametrize("by_name", [False, True])
def test_variables_pair_by_position_or_by_name(by_name: bool) -> None:
    own, other = Pair("x", "y"), Pair("y", "x")
    QPolicy(SPEC, ACTION, own).update(QPolicy(SPEC, ACTION, other), sort_variables_by_name=by_name)
    assert [own.a.numpy()[0], own.b.numpy()[0]] == ([1.0, 2.0] if by_name else [2.0, 1.0])


def test_variables_that_do_not_pair_are_named() -> None:
    own, _ = pair()
    wide = tf_keras.Sequential([tf_keras.Input([FEATURES]), tf_keras.layers.Dense(ACTIONS)])
    with pytest.raises(ValueError, match=r"has 2 variables \['dense.*kernel.*this one 6"):
        own.update(QPolicy(SPEC, ACTION, wide))
    one, two = (QPolicy(SPEC, ACTION, tf_keras.Sequential([tf_keras.Input([size]), tf_keras.layers.Dense(ACTIONS)])) for size in (4, 5))
    with pytest.raises(ValueError, match=r"kernel:0 of the other policy is float32 \(5, 3\), its counterpart here .* \(4, 3\)"):
        one.update(two)


@pytest.mark.parametrize("name", ["tau", "tau_non_trainable"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_tau_outside_of_zero_to_one_is_refused(name: str, value: float) -> None:
    own, other = pair()
    with pytest.raises(ValueError, match=f"{name}="):
        own.update(other, **{name: value})


def test_what_has_no_variables_is_refused() -> None:
    with pytest.raises(TypeError, match="has no variables"):
        pair()[0].update(3)


# Wrappers ---------------------------------------------------------------------------------------------------------------

MASK = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1], [1, 1, 1], [1, 0, 1], [0, 1, 0]])


def masked(**arguments: Any) -> CategoricalQPolicy:
    return categorical(observation_and_action_constraint_splitter=lambda each: (each, tf.constant(MASK)), **arguments)


@pytest.mark.parametrize("policy", [categorical(), masked()], ids=["free", "masked"])
def test_wrappers_change_the_probabilities_as_they_say(policy: CategoricalQPolicy) -> None:
    base = probabilities(policy)
    legal = base > 0
    greedy = np.eye(ACTIONS)[base.argmax(axis=1)]
    np.testing.assert_array_equal(probabilities(GreedyPolicy(policy)), greedy)
    for epsilon in (0.0, 0.3, 1.0):
        chance = legal / legal.sum(axis=1, keepdims=True)
        expected = epsilon * chance + (1 - epsilon) * greedy
        np.testing.assert_allclose(probabilities(EpsilonGreedyPolicy(policy, epsilon)), expected, atol=1e-6)
        assert (probabilities(EpsilonGreedyPolicy(policy, epsilon))[~legal] == 0.0).all()
    for temperature in (0.5, 4.0):
        powers = base ** (1 / temperature)
        expected = powers / powers.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(probabilities(BoltzmannPolicy(policy, temperature)), expected, rtol=1e-4)
    np.testing.assert_array_equal(probabilities(BoltzmannPolicy(policy, 0.0)), greedy)
    splitter = policy.observation_and_action_constraint_splitter
    random = RandomPolicy(SPEC, ACTION, splitter)
    np.testing.assert_allclose(probabilities(random), legal / legal.sum(axis=1, keepdims=True), rtol=1e-6)


@pytest.mark.parametrize("make", [
    GreedyPolicy, lambda policy: EpsilonGreedyPolicy(policy, 0.5), lambda policy: BoltzmannPolicy(policy, 2.0)
], ids=["greedy", "epsilon", "boltzmann"])  # fmt: skip
def test_wrappers_keep_the_contract_of_what_they_wrap(make: Any) -> None:
    inner = QPolicy(SPEC, ACTION, Counter(), lambda each: (each, tf.ones([ROWS, ACTIONS])), 1.0, True, False)
    policy = make(inner)
    assert policy.wrapped_policy is inner
    assert policy.time_step_spec is inner.time_step_spec
    assert policy.action_spec is inner.action_spec
    assert policy.policy_step_spec == inner.policy_step_spec
    assert policy.observation_and_action_constraint_splitter is inner.observation_and_action_constraint_splitter
    assert policy.emit_log_probability
    assert not policy.validate_args
    step = policy.action(steps(), seed=1)
    np.testing.assert_array_equal(step.state["count"], np.ones(ROWS))
    np.testing.assert_array_equal(policy.action(steps(), seed=1).action, step.action)
    assert len(make(QPolicy(SPEC, ACTION, q_model())).variables) >= 6


def test_epsilon_and_temperature_may_change_from_call_to_call() -> None:
    epsilon, temperature = tf.Variable(0.0), tf.Variable(1.0)
    for policy in (EpsilonGreedyPolicy(categorical(), epsilon), EpsilonGreedyPolicy(categorical(), lambda: epsilon)):
        act = tf.function(lambda step, policy=policy: policy.distribution(step).action.probs_parameter())
        epsilon.assign(0.0)
        assert act(steps()).numpy().max() == 1.0
        epsilon.assign(1.0)
        np.testing.assert_allclose(act(steps()), np.full((ROWS, ACTIONS), 1 / ACTIONS), rtol=1e-6)
    policy = BoltzmannPolicy(categorical(), temperature)
    act = tf.function(lambda step: policy.distribution(step).action.probs_parameter())
    before = act(steps()).numpy()
    temperature.assign(100.0)
    assert act(steps()).numpy().max() < before.max()


@pytest.mark.parametrize(("make", "message"), [
    (lambda: EpsilonGreedyPolicy(categorical(), 1.5), "epsilon=1.5"),
    (lambda: BoltzmannPolicy(categorical(), -1.0), "temperature=-1.0"),
])  # fmt: skip
def test_a_number_that_will_not_do_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_what_is_no_policy_cannot_be_wrapped() -> None:
    with pytest.raises(TypeError, match="policy=3 must be a policy"):
        GreedyPolicy(3)


# Return distributions ---------------------------------------------------------------------------------------------------


def test_the_distribution_over_returns() -> None:
    policy = categorical()
    atoms, found = policy.value_distribution(steps())
    logits = policy._q_network.logits.numpy()
    expected = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(atoms, [-2.0, -1.0, 0.0, 1.0, 2.0])
    np.testing.assert_allclose(found, np.repeat(expected[np.newaxis], ROWS, axis=0), rtol=1e-5)


def test_a_cautious_policy_prefers_the_smaller_risk() -> None:
    far = -40.0
    # Action 0: sure to give 0. Action 1: half -2, half 2.  Action 2: a tenth -1, else 1.
    logits = [[far, far, 0.0, far, far], [0.0, far, far, far, 0.0], [far, np.log(0.1), far, np.log(0.9), far]]
    by_hand = {1.0: [0.0, 0.0, 0.8], 0.5: [0.0, -2.0, 0.6], 0.25: [0.0, -2.0, 0.2], 0.05: [0.0, -2.0, -1.0]}
    for level, values in by_hand.items():
        policy = CategoricalQPolicy(SPEC, ACTION, Logits(logits), -2.0, 2.0, temperature=1.0, risk_level=level)
        assert policy.risk_level == level
        expected = np.exp(values) / np.exp(values).sum()
        np.testing.assert_allclose(probabilities(policy)[0], expected, rtol=1e-4)


@pytest.mark.parametrize("level", [0.0, -0.5, 1.5])
def test_a_risk_level_outside_of_zero_to_one_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match=f"risk_level={level}"):
        categorical(risk_level=level)


# Export -----------------------------------------------------------------------------------------------------------------

LOAD = """
import sys
import numpy as np
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
inputs = dict(np.load(sys.argv[2]))
outputs = {}
for name in ("action", "distribution"):
    signature = loaded.signatures[name]
    wanted = signature.structured_input_signature[1]
    outputs.update(signature(**{key: tf.constant(inputs[key]) for key in wanted}))
np.savez(sys.argv[3], **outputs)
assert not [name for name in sys.modules if name.split(".")[0] in ("polyrl", "tensorflow_probability", "tf_keras")]
"""


@pytest.mark.parametrize("kind", ["categorical", "keras", "recurrent", "nested", "epsilon"])
def test_a_saved_policy_acts_alike_in_a_process_with_tensorflow_alone(tmp_path: Any, kind: str) -> None:
    policy: policies.BasePolicy = {
        "categorical": lambda: categorical(),
        "keras": lambda: QPolicy(SPEC, ACTION, q_model(), emit_log_probability=True),
        "recurrent": lambda: QPolicy(SPEC, ACTION, Counter()),
        "nested": lambda: nested_policy(),
        "epsilon": lambda: EpsilonGreedyPolicy(categorical(), 0.5),
    }[kind]()
    step, state = (nested() if kind == "nested" else steps(StepType.MID)), policy.get_initial_state(ROWS)
    if kind == "recurrent":
        state = {"count": tf.range(float(ROWS)) / 2, "sums": (tf.ones([ROWS, 2]),)}
    expected = policy.action(step, state, seed=tf.constant([3, 4]))
    inputs = {"observation": steps().observation, "step_type": step.step_type, "seed": np.array([3, 4], np.int32)}
    if kind == "nested":
        inputs.update(observation_image=step.observation["image"], observation_place_0=step.observation["place"][0])
    if kind == "recurrent":
        inputs.update(policy_state_count=state["count"], policy_state_sums_0=state["sums"][0])
    np.savez(tmp_path / "in.npz", **{name: np.asarray(value) for name, value in inputs.items()})
    tf.saved_model.save(policy, str(tmp_path / "policy"), signatures=policy.signatures())
    command = [sys.executable, "-c", LOAD, str(tmp_path / "policy"), str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]
    subprocess.run(command, check=True, capture_output=True)
    outputs = np.load(tmp_path / "out.npz")
    np.testing.assert_array_equal(outputs["action"], expected.action)
    np.testing.assert_allclose(outputs["probabilities"], policy.distribution(step, state).action.probs_parameter(), rtol=1e-5)
    if kind == "recurrent":
        np.testing.assert_allclose(outputs["policy_state_count"], expected.state["count"])
        np.testing.assert_allclose(outputs["policy_state_sums_0"], expected.state["sums"][0])
    if kind == "keras":
        np.testing.assert_allclose(outputs["log_probability"], expected.info.log_probability, rtol=1e-5)
