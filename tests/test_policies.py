"""Policies: which action, how probable, what is legal, and what a network may be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from polyrl import policies
from polyrl.policies import BoundedTensorSpec, CategoricalQPolicy, PolicyStep, QPolicy, StepType, TimeStep

NUM_ACTIONS, NUM_ATOMS, FEATURES = 3, 5, 4
LOW, HIGH = -2.0, 3.0
SPEC = policies.time_step_spec(tf.TensorSpec([FEATURES], tf.float32))
ACTION = BoundedTensorSpec((), tf.int32, 0, NUM_ACTIONS - 1, "action")
ATOMS = np.array([LOW + i * (HIGH - LOW) / (NUM_ATOMS - 1) for i in range(NUM_ATOMS)])

BOTH = pytest.mark.parametrize("policy_class", [QPolicy, CategoricalQPolicy])


def softmax(values: np.ndarray) -> np.ndarray:
    weights = np.exp(values - values.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


class Table:
    """A network that gives `output` whatever it sees, and notes how it was called."""

    def __init__(self, output: Any, num_atoms: int | None = None):
        self.output = tf.constant(output, tf.float32)
        self.calls: list[tuple[Any, Any, Any]] = []
        if num_atoms is not None:
            self.num_atoms = num_atoms

    def __call__(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> tuple[tf.Tensor, Any]:
        self.calls.append((observation, step_type, network_state))
        return self.output, network_state


def linear(num_atoms: int | None = None) -> tf_keras.Model:
    """A plain tf-keras model of one layer."""
    inputs = tf_keras.Input([FEATURES])
    outputs = tf_keras.layers.Dense(NUM_ACTIONS * (num_atoms or 1), use_bias=False)(inputs)
    if num_atoms is not None:
        outputs = tf_keras.layers.Reshape([NUM_ACTIONS, num_atoms])(outputs)
    model = tf_keras.Model(inputs, outputs)
    if num_atoms is not None:
        model.num_atoms = num_atoms
    return model


def random_output(policy_class: type, rows: int = 6, seed: int = 0) -> np.ndarray:
    shape = (rows, NUM_ACTIONS) if policy_class is QPolicy else (rows, NUM_ACTIONS, NUM_ATOMS)
    return np.random.default_rng(seed).normal(size=shape)


def q_of(policy_class: type, output: np.ndarray) -> np.ndarray:
    """The action values `[B, A]` in an output: itself, or the mean of a distribution over the atoms."""
    if policy_class is QPolicy:
        return output
    result = np.zeros(output.shape[:2])
    for row, action in np.ndindex(*result.shape):
        result[row, action] = sum(p * z for p, z in zip(softmax(output[row, action]), ATOMS, strict=True))
    return result


def make(policy_class: type, network: Any, **arguments: Any) -> policies.BasePolicy:
    if policy_class is CategoricalQPolicy:
        arguments = {"min_q_value": LOW, "max_q_value": HIGH, **arguments}
    return policy_class(SPEC, arguments.pop("action_spec", ACTION), network, **arguments)


def of_output(policy_class: type, output: np.ndarray, **arguments: Any) -> policies.BasePolicy:
    return make(policy_class, Table(output, NUM_ATOMS if policy_class is CategoricalQPolicy else None), **arguments)


def steps_of(rows: int, seed: int = 0) -> TimeStep:
    return TimeStep.restart(tf.constant(np.random.default_rng(seed).normal(size=(rows, FEATURES)), tf.float32), rows)


def masking(mask: np.ndarray) -> Any:
    return lambda observation: (observation, tf.constant(mask))


def probabilities_of(policy: policies.BasePolicy, rows: int) -> np.ndarray:
    return policy.distribution(steps_of(rows)).action.probs_parameter().numpy()


# Values and probabilities -----------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("temperature", [0.1, 1.0, 7.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_probabilities_are_the_softmax_of_the_values_over_the_temperature(policy_class, temperature, seed) -> None:
    output = random_output(policy_class, seed=seed)
    probabilities = probabilities_of(of_output(policy_class, output, temperature=temperature), len(output))
    expected = softmax(q_of(policy_class, output) / temperature)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4, atol=1e-6)


def test_the_expected_value_by_hand() -> None:
    # Atoms -2, -0.75, 0.5, 1.75, 3. Action 0: half on each end, mean 0.5. Action 1: all on the last, 3.
    # Action 2: even, the middle 0.5. So action 1 leads by 2.5 and at temperature 2.5 is e times as probable.
    far = -1e9
    output = np.array([[[0.0, far, far, far, 0.0], [far, far, far, far, 0.0], [1.0, 1.0, 1.0, 1.0, 1.0]]])
    policy = of_output(CategoricalQPolicy, output, temperature=2.5)
    expected = np.array([[1.0, np.e, 1.0]]) / (2 + np.e)
    np.testing.assert_allclose(probabilities_of(policy, 1), expected, rtol=1e-5)
    np.testing.assert_allclose(policy.support, ATOMS, rtol=1e-6)


@BOTH
def test_a_higher_temperature_is_nearer_to_even(policy_class) -> None:
    output = random_output(policy_class)
    best = [probabilities_of(of_output(policy_class, output, temperature=t), 6).max(axis=1) for t in (0.1, 1.0, 10.0)]
    assert (best[0] > best[1]).all()
    assert (best[1] > best[2]).all()


@BOTH
def test_the_default_temperature_is_one(policy_class) -> None:
    output = random_output(policy_class)
    assert of_output(policy_class, output).temperature == 1.0
    np.testing.assert_array_equal(
        probabilities_of(of_output(policy_class, output), 6),
        probabilities_of(of_output(policy_class, output, temperature=1.0), 6),
    )


@BOTH
# 1e-40 is among the subnormal numbers of float32, 1e-300 is zero there.
@pytest.mark.parametrize("temperature", [0.0, 1e-8, 1e-30, 1e-40, 1e-300])
def test_at_and_near_temperature_zero_the_action_is_the_argmax(policy_class, temperature) -> None:
    output = random_output(policy_class)
    policy = of_output(policy_class, output, temperature=temperature)
    best = q_of(policy_class, output).argmax(axis=1)
    np.testing.assert_array_equal(policy.action(steps_of(6), seed=0).action, best)
    np.testing.assert_array_equal(probabilities_of(policy, 6), np.eye(NUM_ACTIONS)[best])


@pytest.mark.parametrize("temperature", [0.0, 1e-8, 1.0])
def test_values_of_any_size_give_finite_probabilities(temperature) -> None:
    # 1e35 / 1e-8 is beyond float32.
    output = np.array([[1e35, -1e35, 0.0], [-1e35, -2e35, -1e35 - 1e30], [1e-30, 2e-30, -1e-30]])
    probabilities = probabilities_of(of_output(QPolicy, output, temperature=temperature), 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), np.ones(3), rtol=1e-6)


@BOTH
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_distribution_is_a_categorical_over_the_actions(policy_class, temperature) -> None:
    policy = of_output(policy_class, random_output(policy_class), temperature=temperature)
    step = policy.distribution(steps_of(6))
    assert isinstance(step, PolicyStep)
    assert isinstance(step.action, tfp.distributions.Categorical)
    assert step.action.dtype == tf.int32
    assert step.action.batch_shape == (6,)
    assert step.action.sample(seed=1).shape == (6,)


@BOTH
def test_actions_come_as_often_as_they_are_probable(policy_class) -> None:
    rows = 20_000
    output = np.repeat(random_output(policy_class, rows=1), rows, axis=0)
    actions = of_output(policy_class, output).action(steps_of(rows), seed=0).action.numpy()
    probability = softmax(q_of(policy_class, output[:1]))[0]
    frequency = np.bincount(actions, minlength=NUM_ACTIONS) / rows
    sigma = np.sqrt(probability * (1 - probability) / rows)
    assert (abs(frequency - probability) < 5 * sigma).all()


# Seeds and tracing ------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("seed", [0, 7, -3])
def test_the_same_seed_gives_the_same_actions_eagerly_traced_and_compiled(policy_class, seed, jit_compile) -> None:
    rows = 100
    policy = of_output(policy_class, random_output(policy_class, rows), temperature=10.0)
    first = policy.action(steps_of(rows), seed=seed).action
    np.testing.assert_array_equal(policy.action(steps_of(rows), seed=seed).action, first)
    traced = tf.function(lambda step: policy.action(step, seed=seed).action, jit_compile=jit_compile)
    np.testing.assert_array_equal(traced(steps_of(rows)), first)
    assert (policy.action(steps_of(rows), seed=seed + 1).action.numpy() != first.numpy()).any()


@BOTH
@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_same_seed_tensor_gives_the_same_actions_eagerly_traced_and_compiled(policy_class, jit_compile) -> None:
    rows = 100
    policy = of_output(policy_class, random_output(policy_class, rows), temperature=10.0)
    traced = tf.function(lambda step, seed: policy.action(step, seed=seed).action, jit_compile=jit_compile)
    drawn = []
    for seed in (tf.constant([3, 5]), tf.constant([3, 6]), tf.constant([4, 5])):
        drawn.append(policy.action(steps_of(rows), seed=seed).action.numpy())
        np.testing.assert_array_equal(policy.action(steps_of(rows), seed=seed).action, drawn[-1])
        np.testing.assert_array_equal(traced(steps_of(rows), seed), drawn[-1])
    assert (drawn[0] != drawn[1]).any()
    assert (drawn[0] != drawn[2]).any()


def test_without_a_seed_every_call_draws_anew() -> None:
    policy = of_output(QPolicy, np.zeros((100, NUM_ACTIONS)))
    traced = tf.function(lambda step: policy.action(step).action)
    for act in (lambda step: policy.action(step).action, traced):
        assert (act(steps_of(100)).numpy() != act(steps_of(100)).numpy()).any()


@pytest.mark.parametrize("seed", [np.int64(7), np.int32(7), 2**31 - 1, 2**31, 2**40, -(2**40)], ids=repr)
def test_any_integer_is_a_seed(seed) -> None:
    rows = 100
    policy = of_output(QPolicy, np.zeros((rows, NUM_ACTIONS)))
    first = policy.action(steps_of(rows), seed=seed).action
    np.testing.assert_array_equal(policy.action(steps_of(rows), seed=seed).action, first)
    for other in (int(seed) + 1, int(seed) + 2**40):
        assert (policy.action(steps_of(rows), seed=other).action.numpy() != first.numpy()).any()


@BOTH
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_probabilities_are_the_same_eagerly_and_traced(policy_class, temperature) -> None:
    mask = np.ones((6, NUM_ACTIONS), np.int32)
    mask[:, 0] = 0
    output = random_output(policy_class)
    policy = of_output(policy_class, output, temperature=temperature, observation_and_action_constraint_splitter=masking(mask))
    traced = tf.function(lambda step: policy.distribution(step).action.probs_parameter())
    np.testing.assert_allclose(traced(steps_of(6)), probabilities_of(policy, 6), rtol=1e-6)


@BOTH
def test_rows_draw_on_their_own(policy_class) -> None:
    policy = of_output(policy_class, np.zeros_like(random_output(policy_class, 100)))
    assert set(policy.action(steps_of(100), seed=0).action.numpy()) == {0, 1, 2}


# Masks ------------------------------------------------------------------------------------------------------------------

MASK = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1], [1, 1, 1], [1, 0, 1], [0, 1, 0]])


@BOTH
# The lowest of all float32, -3.4e38, is no longer low after division by 1e38.
@pytest.mark.parametrize("temperature", [0.0, 1e-8, 1.0, 1e38])
@pytest.mark.parametrize("dtype", [np.int32, np.bool_, np.float32])
def test_illegal_actions_have_no_probability_and_the_legal_ones_share_it(policy_class, temperature, dtype) -> None:
    output = random_output(policy_class)
    policy = of_output(
        policy_class,
        output,
        temperature=temperature,
        observation_and_action_constraint_splitter=masking(MASK.astype(dtype)),
    )
    q = np.where(MASK, q_of(policy_class, output), -np.inf)
    probabilities = probabilities_of(policy, 6)
    assert (probabilities[MASK == 0] == 0.0).all()  # exactly
    expected = np.eye(NUM_ACTIONS)[q.argmax(axis=1)] if temperature == 0.0 else softmax(q / temperature)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4, atol=1e-6)


@BOTH
@pytest.mark.parametrize("temperature", [0.0, 1.0, 1e38])
def test_illegal_actions_are_never_drawn(policy_class, temperature) -> None:
    repeats = 500
    mask = np.tile(MASK, [repeats, 1])
    # The illegal actions look best.
    output = 10.0 * (1 - mask) if policy_class is QPolicy else 10.0 * (1 - mask)[..., np.newaxis] * np.arange(NUM_ATOMS)
    assert (q_of(policy_class, output)[mask == 0].min() > q_of(policy_class, output)[mask == 1]).all()
    policy = of_output(
        policy_class,
        output,
        temperature=temperature,
        observation_and_action_constraint_splitter=masking(mask),
    )
    actions = policy.action(steps_of(len(mask)), seed=0).action.numpy()
    assert (mask[np.arange(len(mask)), actions] == 1).all()


@pytest.mark.parametrize("low", [-3e38, -np.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_legal_actions_of_very_low_value_are_preferred_to_illegal_ones(low, temperature) -> None:
    policy = of_output(
        QPolicy,
        [[low, 5.0]],
        temperature=temperature,
        observation_and_action_constraint_splitter=masking(np.array([[1, 0]])),
        action_spec=BoundedTensorSpec((), tf.int32, 0, 1),
    )
    assert policy.action(steps_of(1)).action.numpy().tolist() == [0]
    assert probabilities_of(policy, 1).tolist() == [[1.0, 0.0]]


@BOTH
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("wrap", [lambda function: function, tf.function], ids=["eager", "function"])
@pytest.mark.parametrize("method", ["action", "distribution"])
def test_a_row_without_a_legal_action_is_an_error(policy_class, temperature, wrap, method) -> None:
    mask = MASK.copy()
    mask[3] = 0
    policy = of_output(
        policy_class,
        random_output(policy_class),
        temperature=temperature,
        observation_and_action_constraint_splitter=masking(mask),
    )

    def run(step):
        if method == "action":
            return policy.action(step, seed=0).action
        return policy.distribution(step).action.probs_parameter()

    with pytest.raises(tf.errors.InvalidArgumentError, match="leaves a row without any legal action"):
        wrap(run)(steps_of(6))


@BOTH
def test_the_network_sees_only_what_the_splitter_leaves_of_the_observation(policy_class) -> None:
    network = Table(random_output(policy_class), NUM_ATOMS)
    observation = {"seen": tf.ones([6, 2]), "mask": tf.constant(MASK)}
    policy = make(
        policy_class,
        network,
        observation_and_action_constraint_splitter=lambda each: (each["seen"], each["mask"]),
        validate_args=False,
    )
    policy.action(TimeStep.restart(observation, 6), seed=0)
    assert network.calls[0][0] is observation["seen"]


# Networks ---------------------------------------------------------------------------------------------------------------


@BOTH
def test_a_plain_keras_model_will_do(policy_class) -> None:
    model = linear(NUM_ATOMS if policy_class is CategoricalQPolicy else None)
    steps = steps_of(6)
    output = (steps.observation.numpy() @ model.weights[0].numpy()).reshape(6, *model.output_shape[1:])
    policy = make(policy_class, model)
    expected = softmax(q_of(policy_class, output))
    np.testing.assert_allclose(policy.distribution(steps).action.probs_parameter(), expected, rtol=1e-4)


@BOTH
def test_a_policy_follows_its_model_when_that_learns(policy_class) -> None:
    model = linear(NUM_ATOMS if policy_class is CategoricalQPolicy else None)
    policy = make(policy_class, model)
    traced = tf.function(lambda step: policy.distribution(step).action.probs_parameter())
    before = traced(steps_of(6)).numpy()
    model.set_weights([-2.0 * weight for weight in model.get_weights()])
    after = traced(steps_of(6)).numpy()
    assert (abs(after - before) > 1e-4).any()
    np.testing.assert_allclose(after, probabilities_of(policy, 6), rtol=1e-5)


@BOTH
def test_a_callable_gets_step_type_and_state_and_its_state_comes_back(policy_class) -> None:
    output = tf.constant(random_output(policy_class), tf.float32)

    def network(observation, step_type=None, network_state=()):
        assert step_type is not None
        return output, network_state + 1

    network.num_atoms = NUM_ATOMS
    network.state_spec = tf.TensorSpec([], tf.int32)
    policy = make(policy_class, network)
    steps = steps_of(6)._replace(step_type=tf.fill([6], StepType.MID))
    state = tf.range(6)
    np.testing.assert_array_equal(policy.action(steps, policy_state=state, seed=0).state, state + 1)
    np.testing.assert_array_equal(policy.distribution(steps, policy_state=state).state, state + 1)
    np.testing.assert_array_equal(make(policy_class, network, temperature=0.0).action(steps, state).state, state + 1)


@BOTH
def test_a_callable_gets_the_observation_and_the_step_type_of_the_time_step(policy_class) -> None:
    network = Table(random_output(policy_class), NUM_ATOMS)
    steps = steps_of(6)
    make(policy_class, network).action(steps, seed=0)
    (call,) = network.calls
    assert call[0] is steps.observation
    assert call[1] is steps.step_type
    assert call[2] == ()


@BOTH
@pytest.mark.parametrize("temperature", [0.0, 1e-8, 1.0])
@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float64], ids=lambda dtype: dtype.name)
def test_a_network_of_another_precision_will_do(policy_class, dtype, temperature) -> None:
    output = np.round(random_output(policy_class), 1)
    network = Table(output, NUM_ATOMS)
    network.output = tf.constant(output, dtype)
    q = q_of(policy_class, network.output.numpy().astype(np.float64))
    policy = make(policy_class, network, temperature=temperature)
    probabilities = policy.distribution(steps_of(6)).action.probs_parameter().numpy().astype(np.float64)
    expected = softmax(q / temperature) if temperature == 1.0 else np.eye(NUM_ACTIONS)[q.argmax(axis=1)]
    np.testing.assert_allclose(probabilities, expected, atol=0.01)  # bfloat16 has 8 bits
    if temperature < 1.0:
        np.testing.assert_array_equal(policy.action(steps_of(6), seed=0).action, q.argmax(axis=1))


@BOTH
@pytest.mark.parametrize("method", ["action", "distribution"])
def test_an_output_for_another_number_of_actions_is_refused(policy_class, method) -> None:
    output = random_output(policy_class)[:, :-1]
    policy = of_output(policy_class, output)
    with pytest.raises(ValueError, match=rf"q_network gives .*shape \(6, {NUM_ACTIONS - 1}.*action_spec"):
        getattr(policy, method)(steps_of(6))


@BOTH
def test_an_output_of_another_rank_is_refused(policy_class) -> None:
    policy = of_output(policy_class, random_output(policy_class)[..., np.newaxis])
    with pytest.raises(ValueError, match=r"q_network gives .*shape"):
        policy.action(steps_of(6))


def test_an_output_of_another_number_of_atoms_is_refused() -> None:
    policy = make(CategoricalQPolicy, Table(random_output(CategoricalQPolicy), NUM_ATOMS + 1))
    with pytest.raises(ValueError, match=rf"shape \(6, 3, {NUM_ATOMS}\).*\[B, 3, {NUM_ATOMS + 1}\]"):
        policy.action(steps_of(6))


def test_an_output_of_action_values_is_refused_where_a_distribution_is_asked_for() -> None:
    policy = make(CategoricalQPolicy, Table(random_output(QPolicy), NUM_ATOMS))
    with pytest.raises(ValueError, match="q_network gives shape"):
        policy.action(steps_of(6))


# Construction -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", [Table(np.zeros((1, NUM_ACTIONS, NUM_ATOMS))), linear()], ids=["callable", "keras"])
def test_a_network_without_num_atoms_is_refused(network) -> None:
    with pytest.raises(ValueError, match=r"q_network=.* must have the property num_atoms"):
        make(CategoricalQPolicy, network)


@BOTH
@pytest.mark.parametrize(
    "action_spec",
    [None, NUM_ACTIONS, tf.TensorSpec([], tf.int32), SPEC],
    ids=["none", "int", "tensor_spec", "time_step"],
)
def test_an_action_spec_that_is_not_bounded_is_refused(policy_class, action_spec) -> None:
    with pytest.raises(TypeError, match=r"action_spec=.* must be a BoundedTensorSpec"):
        of_output(policy_class, random_output(policy_class), action_spec=action_spec)


@BOTH
@pytest.mark.parametrize(
    "action_spec",
    [
        BoundedTensorSpec((1,), tf.int32, 0, 2),
        BoundedTensorSpec((), tf.float32, 0, 2),
        BoundedTensorSpec((), tf.int32, 1, 3),
    ],
    ids=["vector", "float", "from_one"],
)
def test_an_action_that_is_not_one_integer_from_zero_is_refused(policy_class, action_spec) -> None:
    with pytest.raises(ValueError, match=r"action_spec=.* must be one integer"):
        of_output(policy_class, random_output(policy_class), action_spec=action_spec)


@BOTH
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("dtype", [tf.int8, tf.uint8, tf.int32, tf.int64], ids=lambda dtype: dtype.name)
def test_actions_have_the_dtype_of_the_spec(policy_class, dtype, temperature) -> None:
    spec = BoundedTensorSpec((), dtype, 0, NUM_ACTIONS - 1)
    policy = of_output(policy_class, random_output(policy_class), action_spec=spec, temperature=temperature)
    assert policy.action(steps_of(6), seed=0).action.dtype == dtype
    assert policy.distribution(steps_of(6)).action.dtype == dtype


@BOTH
def test_a_time_step_spec_that_is_none_is_refused(policy_class) -> None:
    arguments = {} if policy_class is QPolicy else {"min_q_value": LOW, "max_q_value": HIGH}
    with pytest.raises(TypeError, match=r"time_step_spec=.* must be a TimeStep"):
        policy_class(None, ACTION, Table(0.0, NUM_ATOMS), **arguments)


def test_a_network_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="q_network=3 must be callable"):
        QPolicy(SPEC, ACTION, 3)


@BOTH
@pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf")])
def test_a_temperature_that_is_negative_or_not_finite_is_refused(policy_class, temperature) -> None:
    with pytest.raises(ValueError, match="temperature="):
        of_output(policy_class, random_output(policy_class), temperature=temperature)


@BOTH
def test_a_temperature_that_is_no_number_is_refused(policy_class) -> None:
    with pytest.raises(TypeError, match="temperature='warm'"):
        of_output(policy_class, random_output(policy_class), temperature="warm")


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0)])
def test_a_support_that_does_not_rise_is_refused(low, high) -> None:
    with pytest.raises(ValueError, match=f"min_q_value={low} must be below max_q_value={high}"):
        of_output(CategoricalQPolicy, random_output(CategoricalQPolicy), min_q_value=low, max_q_value=high)


@pytest.mark.parametrize("name", ["min_q_value", "max_q_value"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_support_that_is_not_finite_is_refused(name, value) -> None:
    with pytest.raises(ValueError, match=f"{name}="):
        of_output(CategoricalQPolicy, random_output(CategoricalQPolicy), **{name: value})


@BOTH
def test_a_policy_shows_what_it_was_made_of(policy_class) -> None:
    splitter = masking(MASK)
    policy = of_output(
        policy_class,
        random_output(policy_class),
        temperature=0.5,
        observation_and_action_constraint_splitter=splitter,
    )
    assert policy.time_step_spec is SPEC
    assert policy.action_spec is ACTION
    assert policy.observation_and_action_constraint_splitter is splitter
    assert policy.num_actions == NUM_ACTIONS
    assert policy.temperature == 0.5
    assert policy.get_initial_state(batch_size=6) == ()


# Specs ------------------------------------------------------------------------------------------------------------------


def test_a_bounded_spec_turns_what_it_is_given_into_shape_and_dtype() -> None:
    spec = BoundedTensorSpec([2], "int32", 0, 1)
    assert spec.shape == (2,)
    assert spec.dtype is tf.int32


def test_a_bounded_spec_refuses_a_minimum_above_its_maximum() -> None:
    with pytest.raises(ValueError, match="minimum=2 must not exceed maximum=1"):
        BoundedTensorSpec((), tf.int32, 2, 1)


def test_restart_gives_first_steps_that_match_the_spec() -> None:
    steps = steps_of(6)
    np.testing.assert_array_equal(steps.step_type, [StepType.FIRST] * 6)
    np.testing.assert_array_equal(steps.reward, np.zeros(6))
    np.testing.assert_array_equal(steps.discount, np.ones(6))
    for spec, tensor in zip(SPEC, steps, strict=True):
        assert tensor.dtype == spec.dtype
        assert tensor.shape == (6, *spec.shape)
