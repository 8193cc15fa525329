"""Values that are NaN or infinite are refused, by every policy; logits are the action values at temperature 1."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from polyrl import policies
from polyrl.errors import NonFiniteError
from polyrl.policies import (
    BoltzmannPolicy,
    BoundedTensorSpec,
    CategoricalQPolicy,
    DiscretePolicy,
    EpsilonGreedyPolicy,
    GreedyPolicy,
    NAFPolicy,
    QPolicy,
    TensorSpec,
    TimeStep,
    time_step_spec,
)

SPEC = time_step_spec(TensorSpec([2], tf.float32))
DISCRETE, CONTINUOUS = BoundedTensorSpec([], tf.int64, 0, 1), BoundedTensorSpec([1], tf.float32, -2.0, 2.0)
NAN, INF = float("nan"), float("inf")


def q_network(observation, step_type=None, network_state=()):
    return observation, network_state


class Atoms:
    num_atoms = 3

    def __call__(self, observation, step_type=None, network_state=()):
        return tf.repeat(observation[:, :, tf.newaxis], 3, axis=2), network_state


def naf(observation, step_type=None, network_state=()):
    return (observation[:, :1], observation[:, 1:]), network_state


class Own(DiscretePolicy):
    def _logits(self, time_step, policy_state):
        return time_step.observation, policy_state


KINDS = {
    "q": lambda **a: QPolicy(SPEC, DISCRETE, q_network, **a),
    "q_greedy": lambda **a: QPolicy(SPEC, DISCRETE, q_network, temperature=0.0, **a),
    "categorical": lambda **a: CategoricalQPolicy(SPEC, DISCRETE, Atoms(), -1.0, 1.0, **a),
    "risk": lambda **a: CategoricalQPolicy(SPEC, DISCRETE, Atoms(), -1.0, 1.0, risk_level=0.5, temperature=0.0, **a),
    "naf": lambda **a: NAFPolicy(SPEC, CONTINUOUS, naf, temperature=0.5, **a),
    "own": lambda **a: Own(SPEC, DISCRETE, **a),
    "greedy": lambda **a: GreedyPolicy(QPolicy(SPEC, DISCRETE, q_network, **a)),
    "epsilon": lambda **a: EpsilonGreedyPolicy(QPolicy(SPEC, DISCRETE, q_network, **a), 0.5),
    "boltzmann": lambda **a: BoltzmannPolicy(NAFPolicy(SPEC, CONTINUOUS, naf, temperature=0.5, **a), 0.5),
}


def step(rows) -> TimeStep:
    return TimeStep.restart(tf.constant(rows, tf.float32), batch_size=len(rows))


@pytest.mark.default_cases(15)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("method", "traced"),
    [("action", False), ("action", True), ("distribution", False)],  # A distribution is no tensor.
)
@pytest.mark.parametrize("bad", [[NAN, NAN], [1.0, NAN], [NAN, 1.0], [1.0, INF], [-INF, -INF]], ids=str)
def test_nan_is_refused_with_its_rows(kind, method, traced, bad):
    call = getattr(KINDS[kind](), method)
    call = tf.function(call) if traced else call
    call(step([[1.0, 2.0], [0.0, 1.0]]))
    error = tf.errors.InvalidArgumentError if traced else NonFiniteError
    with pytest.raises(error, match=r"are NaN or infinite in the rows.*\n?.*1"):
        call(step([[1.0, 2.0], bad]))


@pytest.mark.parametrize("kind", KINDS)
def test_without_validate_args_nothing_is_checked(kind):
    KINDS[kind](validate_args=False).action(step([[1.0, NAN]]))


def test_the_scale_of_a_mean_that_is_taken_does_not_matter():
    assert NAFPolicy(SPEC, CONTINUOUS, naf).action(step([[0.5, NAN]])).action.numpy() == [[1.0]]


def test_the_value_of_an_illegal_action_does_not_matter():
    def splitter(observation):
        return observation, tf.constant([[1, 0]])

    policy = QPolicy(SPEC, DISCRETE, q_network, splitter)
    assert policy.action(step([[1.0, NAN]])).action.numpy() == [0]
    with pytest.raises(NonFiniteError, match="action values are NaN"):
        policy.action(step([[NAN, 1.0]]))


def test_a_return_distribution_of_nan_is_refused():
    with pytest.raises(NonFiniteError, match="probabilities are NaN"):
        KINDS["categorical"]().value_distribution(step([[1.0, NAN]]))


# Logits. ----------------------------------------------------------------------------------------------------------------


def test_logits_are_the_values_at_temperature_1():
    logits = KINDS["q"]().distribution(step([[4.0, 5.5], [-1e9, 3e38]])).action.logits
    np.testing.assert_array_equal(logits, np.array([[4.0, 5.5], [-1e9, 3e38]], np.float32))
    halved = QPolicy(SPEC, DISCRETE, q_network, temperature=0.5).distribution(step([[4.0, 5.5]])).action.logits
    np.testing.assert_array_equal(halved, [[-3.0, 0.0]])


def test_large_values_are_drawn_by_their_difference():
    """Noise of order 1 would vanish in the rounding of 1e8."""
    rows = [[1e8, 1e8]] * 2_000
    share = np.mean(KINDS["q"]().action(step(rows), seed=1).action)
    assert 0.45 < share < 0.55


# A policy without __init__, and get_initial_state. ----------------------------------------------------------------------


CLASSES = [getattr(policies, name) for name in policies.__all__ if name.endswith("Policy")]


@pytest.mark.parametrize("policy", CLASSES, ids=lambda policy: policy.__name__)
def test_a_policy_without_its_init_says_so(policy):
    """Every public property and method."""
    skipped = type("Skipped", (policy,), {"__init__": lambda self: None})()
    names = [name for kind in policy.__mro__ if kind.__module__.startswith("polyrl") for name in vars(kind)]
    names = sorted({name for name in names if not name.startswith("_") and isinstance(getattr(policy, name), property)})
    calls = [lambda name=name: getattr(skipped, name) for name in names]
    methods = [
        lambda: skipped.action(step([[1.0, 2.0]])),
        lambda: skipped.get_initial_state(1),
        lambda: skipped.update(skipped),
    ]
    for name, call in [*zip(names, calls, strict=True), *zip("abc", methods, strict=True)]:
        if name in ("variables", "trainable_variables", "non_trainable_variables") and policy.__name__ in OWN_VARIABLES:
            continue
        with pytest.raises(RuntimeError, match=r"Skipped.__init__ must call super\(\).__init__\(\)"):
            call()


OWN_VARIABLES = ("BasePolicy", "DiscretePolicy", "RandomPolicy")
"""Those are `tf.Module`'s, which needs no `__init__`."""


@pytest.mark.parametrize("size", [tf.constant([3]), tf.constant([[3]]), tf.constant(-1)])
def test_a_batch_size_that_is_none_is_refused(size):
    with pytest.raises(ValueError, match="batch_size"):
        KINDS["q"]().get_initial_state(size)


@pytest.mark.parametrize("size", [tf.constant(3.0), 3.0, True, "3", [3]])
def test_a_batch_size_of_another_type_is_refused(size):
    with pytest.raises(TypeError, match="batch_size"):
        KINDS["q"]().get_initial_state(size)


@pytest.mark.parametrize("option", ["emit_log_probability", "validate_args"])
def test_options_are_bools(option):
    with pytest.raises(TypeError, match=f"{option}='no' must be True or False"):
        KINDS["q"](**{option: "no"})
    assert getattr(KINDS["q"](**{option: np.bool_(True)}), option) is True


def test_eagerly_a_row_without_a_legal_action_is_named_on_one_line():
    policy = QPolicy(SPEC, DISCRETE, q_network, lambda observation: (observation, tf.constant([[1, 0], [0, 0]])))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"without any legal action, in the rows \[1\]\.$") as error:
        policy.action(step([[1.0, 2.0], [1.0, 2.0]]))
    assert "\n" not in str(error.value)
