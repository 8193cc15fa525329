"""Saved policies, loaded in a process with TensorFlow alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from policy_testing import (
    ACTION,
    ACTIONS,
    FEATURES,
    MASK,
    ROWS,
    SPEC,
    Halving,
    Logits,
    Recurrent,
    atoms_model,
    categorical,
    counting,
    naf,
    naf_model,
    nested,
    nested_policy,
    q_model,
    steps,
)

from polyrl import policies
from polyrl.policies import (
    BoltzmannPolicy,
    CategoricalQPolicy,
    DiscretePolicy,
    EpsilonGreedyPolicy,
    GreedyPolicy,
    QPolicy,
    RandomPolicy,
)

LOAD = """
import pathlib
import sys
import numpy as np
import tensorflow as tf
for path in pathlib.Path(sys.argv[1]).iterdir():
    policy = tf.saved_model.load(str(path))
    inputs = dict(np.load(path / "in.npz"))
    outputs = {}
    for name, signature in policy.signatures.items():
        wanted = signature.structured_input_signature[1]
        given = {key: tf.constant(inputs[key]) for key in wanted}
        outputs.update({f"{name}/{key}": value for key, value in signature(**given).items()})
    np.savez(path / "out.npz", **outputs)
foreign = [name for name in sys.modules if name.split(".")[0] in ("polyrl", "tensorflow_probability", "tf_keras")]
assert not foreign, foreign
"""
EXPORTED = 1000  # rows
MANY_MASKS = np.resize(MASK, [EXPORTED, ACTIONS])
MASKED_SPEC = policies.time_step_spec(
    {"seen": tf.TensorSpec([FEATURES], tf.float32), "mask": tf.TensorSpec([ACTIONS], tf.int32)}
)


def splitter(observation: Any) -> Any:
    """The mask is a part of the observation."""
    return observation["seen"], observation["mask"]


def by_mask(**arguments: Any) -> CategoricalQPolicy:
    return CategoricalQPolicy(MASKED_SPEC, ACTION, atoms_model(), -2.0, 2.0, splitter, 5.0, **arguments)


class Plain:
    """A network that TensorFlow does not track: its variables are known by its attribute alone."""

    def __init__(self, model: tf_keras.Model):
        self.models = [lambda: model]
        self.variables = model.variables

    def __call__(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> Any:
        return self.models[0]()(observation), network_state


class Lazy(tf.Module):
    """A module whose variables are created at its first call."""

    def __init__(self) -> None:
        super().__init__()
        self.head = tf_keras.layers.Dense(ACTIONS)

    def __call__(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> Any:
        return self.head(observation), network_state


UNTRACKED = tf.Variable(0.25)
POLICIES = {
    "categorical": categorical(),
    "cautious": categorical(risk_level=0.2),
    "keras": categorical(atoms_model(), emit_log_probability=True, temperature=0.0),
    "q_values": QPolicy(SPEC, ACTION, q_model()),
    "masked": by_mask(emit_log_probability=True),
    "nested": nested_policy(),
    "recurrent": counting(),
    "recurrent_keras": categorical(Recurrent()),
    "greedy": GreedyPolicy(by_mask()),
    "epsilon": EpsilonGreedyPolicy(by_mask(), tf.Variable(0.5)),
    "boltzmann": BoltzmannPolicy(by_mask(), tf.Variable(3.0)),
    "random": RandomPolicy(MASKED_SPEC, ACTION, splitter),
    "module": QPolicy(SPEC, ACTION, Halving(q_model())),
    "lazy": QPolicy(SPEC, ACTION, Lazy()),
    "plain": QPolicy(SPEC, ACTION, Plain(q_model())),
    "function": EpsilonGreedyPolicy(QPolicy(SPEC, ACTION, q_model()), lambda: UNTRACKED),
    "naf": naf(),
    "naf_module": naf(Halving(naf_model()), temperature=0.1, emit_log_probability=True),
    "naf_greedy": GreedyPolicy(naf(temperature=0.1)),
    "naf_boltzmann": BoltzmannPolicy(naf(temperature=0.5), tf.Variable(0.5)),
}
MODULES = ("module", "naf_module")
MASKED = [kind for kind, policy in POLICIES.items() if policy.time_step_spec is MASKED_SPEC]
SEED = np.array([3, 4], np.int32)


def steps_and_state(kind: str) -> tuple[policies.TimeStep, Any]:
    rows = ROWS if kind == "nested" else EXPORTED
    step = steps(rows=rows)._replace(step_type=tf.constant(np.resize([0, 1, 2, 0, 1, 1], rows), tf.int32))
    if kind in MASKED:
        step = step._replace(observation={"seen": step.observation, "mask": tf.constant(MANY_MASKS, tf.int32)})
    state = tf.nest.map_structure(lambda leaf: leaf + tf.cast(2, leaf.dtype), POLICIES[kind].get_initial_state(rows))
    return nested() if kind == "nested" else step, state


def inputs_of(kind: str) -> dict[str, Any]:
    """All inputs that a signature of the policy may have, under their documented names."""
    step, state = steps_and_state(kind)
    observation = step.observation
    inputs = {"step_type": step.step_type, "seed": SEED, "batch_size": np.int32(2)}
    if kind in MASKED:
        inputs |= {"observation_seen": observation["seen"], "observation_mask": observation["mask"]}
    elif kind == "nested":
        inputs |= {"observation_image": observation["image"], "observation_place_0": observation["place"][0]}
    else:
        inputs |= {"observation": observation}
    if kind == "recurrent":
        inputs |= {"policy_state_count": state["count"], "policy_state_sums_0": state["sums"][0]}
    if kind == "recurrent_keras":
        inputs |= {"policy_state_0": state[0]}
    if kind in MODULES:
        inputs |= {"policy_state_steps_0": state["steps"][0]}
    return {name: np.asarray(value) for name, value in inputs.items()}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: Any) -> dict[str, Any]:
    """What the signatures of each policy give in a new process."""
    root: Path = tmp_path_factory.mktemp("policies")
    for kind, policy in POLICIES.items():
        if kind != "lazy":
            policy.action(*steps_and_state(kind))  # Builds the variables of the networks.
        tf.saved_model.save(policy, str(root / kind), signatures=policy.signatures())
        np.savez(root / kind / "in.npz", **inputs_of(kind))
    # polyrl must not be on the path.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", LOAD, str(root)]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {kind: dict(np.load(root / kind / "out.npz")) for kind in POLICIES}


@pytest.mark.slow
@pytest.mark.parametrize("kind", POLICIES)
def test_a_saved_policy_acts_the_same_in_a_process_with_tensorflow_alone(outputs: dict[str, Any], kind: str) -> None:
    policy, found = POLICIES[kind], outputs[kind]
    step, state = steps_and_state(kind)
    expected = policy.action(step, state, seed=tf.constant(SEED))
    distribution = policy.distribution(step, state).action
    if policy.action_spec.dtype.is_integer:
        np.testing.assert_array_equal(found["action/action"], expected.action)
        np.testing.assert_allclose(found["distribution/probabilities"], distribution.probs_parameter(), rtol=1e-5, atol=1e-7)
    else:
        np.testing.assert_allclose(found["action/action"], expected.action, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found["distribution/mean"], distribution.mean(), rtol=1e-5, atol=1e-5)
        spread = distribution.covariance() if kind not in ("naf", "naf_greedy") else np.zeros([EXPORTED, 2, 2])
        np.testing.assert_allclose(found["distribution/covariance"], spread, rtol=1e-3, atol=1e-5)
    assert found["action/action"].dtype == policy.action_spec.dtype.as_numpy_dtype
    assert ("action/log_probability" in found) == policy.emit_log_probability
    if policy.emit_log_probability:
        np.testing.assert_allclose(found["action/log_probability"], expected.info.log_probability, rtol=1e-3, atol=1e-4)


def test_exporting_a_policy_leaves_its_variables_as_they_are() -> None:
    class Own(DiscretePolicy):
        """Its variables are those that `tf.Module` finds."""

        def __init__(self) -> None:
            super().__init__(SPEC, ACTION)
            self.zeros = tf.Variable(tf.zeros([ACTIONS]))
            self.added = tf.Variable(1.0, trainable=False)

        def _logits(self, time_step: policies.TimeStep, policy_state: Any) -> Any:
            return (time_step.observation[:, :ACTIONS] + self.zeros) * self.added, policy_state

    policy = Own()
    before = [variable.ref() for variable in policy.variables]
    policy.signatures()
    assert [variable.ref() for variable in policy.variables] == before
    assert len(before) == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", MASKED)
def test_a_saved_policy_honours_masks(outputs: dict[str, Any], kind: str) -> None:
    assert (outputs[kind]["distribution/probabilities"][MANY_MASKS == 0] == 0.0).all()


@pytest.mark.slow
def test_a_saved_recurrent_policy_gives_its_states(outputs: dict[str, Any]) -> None:
    step, state = steps_and_state("recurrent")
    found, expected = outputs["recurrent"], POLICIES["recurrent"].action(step, state).state
    np.testing.assert_array_equal(found["action/policy_state_count"], expected["count"])
    np.testing.assert_allclose(found["action/policy_state_sums_0"], expected["sums"][0], rtol=1e-6)
    np.testing.assert_array_equal(found["get_initial_state/policy_state_count"], np.zeros(2))
    np.testing.assert_array_equal(found["get_initial_state/policy_state_sums_0"], np.zeros([2, 2]))
    step, state = steps_and_state("recurrent_keras")
    np.testing.assert_array_equal(outputs["module"]["action/policy_state_steps_0"][:3], [1, 3, 3])
    (expected,) = POLICIES["recurrent_keras"].action(step, state).state
    np.testing.assert_allclose(outputs["recurrent_keras"]["action/policy_state_0"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_saved_policy_refuses_a_row_without_a_legal_action(tmp_path: Path) -> None:
    policy = by_mask()
    tf.saved_model.save(policy, str(tmp_path), signatures=policy.signatures())
    act = tf.saved_model.load(str(tmp_path)).signatures["action"]
    nothing = tf.zeros([1, ACTIONS], tf.int32)
    with pytest.raises(tf.errors.InvalidArgumentError, match="leaves a row without any legal action"):
        act(observation_seen=tf.zeros([1, FEATURES]), observation_mask=nothing, seed=tf.constant(SEED))


@pytest.mark.slow
def test_a_saved_policy_refuses_inputs_with_different_numbers_of_rows(tmp_path: Path) -> None:
    """One row would be repeated for each of the others."""
    policy = by_mask()
    tf.saved_model.save(policy, str(tmp_path), signatures=policy.signatures())
    for name, function in tf.saved_model.load(str(tmp_path)).signatures.items():
        seed = {"seed": tf.constant(SEED)} if name == "action" else {}
        with pytest.raises(tf.errors.InvalidArgumentError, match="must have as many rows each, got"):
            function(observation_seen=tf.zeros([2, FEATURES]), observation_mask=tf.ones([1, ACTIONS], tf.int32), **seed)


def test_names_that_would_be_the_same_are_refused() -> None:
    leaf = tf.TensorSpec([], tf.float32)
    spec = policies.time_step_spec({"a": {"b": leaf}, "a_b": leaf})
    policy = CategoricalQPolicy(spec, ACTION, Logits(np.zeros((ACTIONS, 5))), -1.0, 1.0)
    with pytest.raises(ValueError, match="Two leaves of the observation or the state would have the same name"):
        policy.signatures()
