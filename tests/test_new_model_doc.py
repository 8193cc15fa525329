"""The code on docs/new_model.md runs, and its models learn."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from polyrl.configs import AdamConfig, DecayExplorationConfig
from polyrl.envs.compiled import Catch
from polyrl.estimators import Agent, RunConfig
from polyrl.models import Scope
from polyrl.networks import mlp
from polyrl.replay import UniformReplay

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "new_model.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def batch():
    rng = np.random.default_rng(0)
    rows = 5
    labels = {"action": rng.integers(2, size=rows), "reward": rng.normal(size=rows), "done": rng.integers(2, size=rows)}
    return {"state": tf.constant(rng.normal(size=[rows, 4]), tf.float32)}, {**labels, "next_state": rng.normal(size=[rows, 4])}


@pytest.fixture(scope="module")
def names():
    found = {}
    found["features"], found["labels"] = batch()
    found["labels"] = {name: tf.cast(v, tf.int32 if name == "action" else tf.float32) for name, v in found["labels"].items()}
    for block in BLOCKS:
        exec(block, found)
    return found


@pytest.mark.slow
def test_the_penalty_is_that_of_the_paper(names):
    """Against a loop: the loss of C51, and how far the values of all actions lie above that of the one taken."""
    scope, plain = Scope(), Scope()
    for each in (scope, plain):
        with each.active():
            weight = 0.5 if each is scope else 0.0
            model = names["ConservativeC51Model"]("train", mlp([8]), 4, 2, conservative_weight=weight)
            losses = model(names["features"], names["labels"]).predictions["losses"]
        if each is scope:
            found = losses
    q = scope.parts["Model/online"](names["features"]).q.numpy()
    action = names["labels"]["action"].numpy()
    penalty = [np.log(np.exp(row).sum()) - row[a] for row, a in zip(q, action, strict=True)]
    np.testing.assert_allclose(found, losses + 0.5 * np.array(penalty), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SoftmaxSarsaModel", "ConservativeC51Model"])
def test_the_models_learn(names, tmp_path, name):
    own = {"min_q_value": -1.0, "max_q_value": 1.0, "num_atoms": 21} if "C51" in name else {}

    def model_fn(features, labels, mode):
        exploration = DecayExplorationConfig(decay_steps=3_000, min_exploration_rate=0.02)
        given = {"exploration_config": exploration, "optimizer_config": AdamConfig(0.003), "clip_gradients": 10.0, **own}
        torso = mlp([32], flatten=True)
        model = names[name](mode, torso, (5, 4), 3, target_update_frequency=50, discount=0.95, dueling=None, **given)
        return model(features, labels)

    agent = Agent(model_fn, UniformReplay(4_000, 32), tmp_path, RunConfig(progress=False, jit="off"))
    agent.train(Catch(num_envs=8, rows=5, columns=4), first_update=100, update_frequency=8, timesteps=8_000)
    assert agent.evaluate(Catch(num_envs=8, rows=5, columns=4), 60)["min_reward"] == 1.0


def test_what_only_some_models_are_given_is_refused_to_others_with_the_reason():
    from polyrl.models import DQNModel

    class Reads(DQNModel):
        def _build_td_loss(self, batch, forward):
            return super()._build_td_loss(batch, forward._replace(next_target=forward.target))

    features, labels = batch()
    with pytest.raises(AttributeError, match="set NEEDS_TARGET = True in the class"):
        Reads("train", mlp([8]), 4, 2)(features, {name: tf.constant(value) for name, value in labels.items()})
