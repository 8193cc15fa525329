"""`Predictor.policy` and `Predictor.export`: the policy as it is, wrapped, updated, and in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from predictor_testing import MODELS, at, environment, states
from tiny_agents import make_agent

from polyrl.estimators import RunConfig
from polyrl.estimators.prediction.predictor import Predictor
from polyrl.policies import CategoricalQPolicy, GreedyPolicy, NAFPolicy, QPolicy, TimeStep

POLICIES = {"dqn": QPolicy, "c51": CategoricalQPolicy, "naf": NAFPolicy}


# The policy. ------------------------------------------------------------------------------------------------------------


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("kind", MODELS)
def test_the_policy_acts_as_it_does(directories, kind):
    predictor = make_agent(MODELS[kind], model_dir=directories[kind]).predictor()
    given = states(kind)
    policy = predictor.policy
    assert type(policy) is POLICIES[kind]
    step = TimeStep.restart({"state": tf.constant(given)}, len(given))
    expected = predictor.act(given)
    assert kind == "naf" or len(set(expected.tolist())) > 1
    for each in (policy, GreedyPolicy(policy)):
        np.testing.assert_allclose(each.action(step).action.numpy(), expected, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_the_policy_can_be_updated_from_another(directories, kind):
    model_dir = directories[kind]
    agent = make_agent(MODELS[kind], model_dir=model_dir)
    old, new = agent.predictor(at(model_dir, 20)), agent.predictor(at(model_dir, 60))
    given = states(kind, 1000)
    assert not np.array_equal(old.act(given), new.act(given))
    old.policy.update(new.policy)
    np.testing.assert_array_equal(old.act(given), new.act(given))
    assert agent.predictor(at(model_dir, 20)).act(given).tolist() != new.act(given).tolist()


def test_a_model_fn_without_a_policy_is_told_what_to_give(tmp_path):
    agent = make_agent(model_dir=tmp_path / "run")
    agent.train(environment(), first_update=4, timesteps=5)
    with pytest.raises(TypeError, match=r"extra_ops\['policy'\]"):
        _ = agent.predictor().policy
    with pytest.raises(TypeError, match=r"extra_ops\['policy'\]"):
        agent.predictor().export(tmp_path / "saved")


@pytest.mark.slow
def test_an_export_refuses_states_that_are_not_numbers(directories, tmp_path):
    predictor = Predictor.from_model_dir(directories["dqn"], MODELS["dqn"], config=RunConfig(jit="off"))
    predictor.export(tmp_path / "saved")
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    given = states("dqn", 3)
    assert loaded.signatures["distribution"](observation_state=tf.constant(given))["probabilities"].shape[0] == 3
    given[1, 0] = np.nan
    for name, more in (("action", {"seed": tf.constant([1, 2])}), ("distribution", {})):
        with pytest.raises(tf.errors.InvalidArgumentError, match="observation_state: expected finite numbers, got"):
            loaded.signatures[name](observation_state=tf.constant(given), **more)


EXPORTED = 1_000


IN_A_NEW_PROCESS = """
import sys
import numpy as np
import tensorflow as tf
for path in sys.argv[1:]:
    given = np.load(path + "/in.npz")
    signature = tf.saved_model.load(path).signatures["action"]
    names = signature.structured_input_signature[1]
    outputs = signature(**{name: tf.constant(given[name]) for name in names})
    np.savez(path + "/out.npz", **outputs)
foreign = [name for name in sys.modules if name.split(".")[0] in ("polyrl", "tensorflow_probability", "tf_keras")]
assert not foreign, foreign
"""


@pytest.fixture(scope="module")
def exported(directories, tmp_path_factory) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The actions of each kind's export in a process of its own, and those of the predictor."""
    folder, expected = tmp_path_factory.mktemp("saved"), {}
    for kind, model_fn in MODELS.items():
        predictor = Predictor.from_model_dir(directories[kind], model_fn, config=RunConfig(jit="off"))
        predictor.export(folder / kind)
        given = states(kind, EXPORTED)
        expected[kind] = predictor.act(given)
        step = TimeStep.restart({"state": given}, EXPORTED)
        inputs = {"step_type": step.step_type, "reward": step.reward, "discount": step.discount}
        np.savez(folder / kind / "in.npz", observation_state=given, seed=np.array([1, 2], np.int32), **inputs)
    command = [sys.executable, "-c", IN_A_NEW_PROCESS, *(str(folder / kind) for kind in MODELS)]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    return {kind: (np.load(folder / kind / "out.npz")["action"], expected[kind]) for kind in MODELS}


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_an_export_gives_equal_actions_with_tensorflow_alone(exported, kind):
    served, own = exported[kind]
    assert served.shape == own.shape == ((EXPORTED, 2) if kind == "naf" else (EXPORTED,))
    assert len(np.unique(own, axis=0)) > 1
    np.testing.assert_allclose(served, own, rtol=1e-5, atol=1e-6 if kind == "naf" else 0)
