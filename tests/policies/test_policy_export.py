"""Policies in a process that knows TensorFlow alone."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from polyrl import policies
from polyrl.policies import EpsilonGreedyPolicy, QPolicy, StepType

import numpy as np
import pytest
import tensorflow as tf
from policy_testing import ACTION, ROWS, SPEC, categorical, counting, q_model, steps

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
        "recurrent": lambda: counting(),
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
