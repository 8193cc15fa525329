"""The updates of tests of the fast road, and their oracle: plain optimizers on plain variables."""

from __future__ import annotations

import ml_collections
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from gymnasium.spaces import Discrete
from tiny_agents import KINDS, assert_equal, differ

from polyrl.configs import AdamConfig
from polyrl.engine.compiler import Compiler
from polyrl.envs.actions import action_spec
from polyrl.estimators import RunConfig
from polyrl.estimators.loops.learner import Learner
from polyrl.estimators.model_fn import bind
from polyrl.models.scope import Scope
from polyrl.replay import UniformReplay

STATES, ACTIONS, ROWS, BATCH = 4, 3, 40, 8


UPDATES, PERIOD = 12, 5


# float32: XLA orders sums in another way, and twelve updates of adaptive optimizers carry the last bits on.
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


def torso(mode, inputs, **arguments):
    """Smooth, so that no unit is at a kink, where the last bit would decide the gradient."""
    x = tf_keras.layers.Dense(8, "tanh", **arguments)(inputs["state"])
    return tf_keras.layers.Dense(6, "tanh", **arguments)(x)


def model_fn_of(kind: str, graph_fn=torso, num_states=STATES, num_actions=ACTIONS, **arguments):
    model_class, defaults = KINDS[kind]
    given = {"summaries": [], "target_update_frequency": PERIOD, "optimizer_config": AdamConfig(0.01), **defaults, **arguments}

    def model_fn(features, labels, mode):
        return model_class(mode, graph_fn, num_states, num_actions, **given)(features, labels)

    return model_fn


class System:
    """A model with a memory of random transitions; all systems of one `model_fn` and seed begin alike."""

    def __init__(self, model_fn, seed: int = 0, memory=None, state=None):
        self.scope = Scope(seed)
        self.memory = UniformReplay(ROWS, BATCH) if memory is None else memory()
        model_fn = self.model_fn = bind(model_fn, ml_collections.FrozenConfigDict(), RunConfig(seed=seed))
        self.learner, self.compiler = Learner(model_fn, self.scope, self.memory), Compiler()
        self.state = tf.TensorSpec([STATES]) if state is None else state
        self.learner.build(self.state, 2, action_spec(Discrete(ACTIONS)))
        self.fill(np.random.default_rng(seed))

    def fill(self, rng) -> None:
        for _ in range(ROWS // 2):
            states = [self.random_states(rng) for _ in range(2)]
            self.memory.add(
                {
                    "state": states[0],
                    "action": rng.integers(0, ACTIONS, 2).astype(np.int32),
                    "reward": rng.normal(size=2).astype(np.float32),
                    "done": (rng.random(2) < 0.2).astype(np.float32),
                    "truncated": np.zeros(2, np.float32),
                    "next_state": states[1],
                }
            )

    def random_states(self, rng) -> np.ndarray:
        shape = [2, *self.state.shape]
        if self.state.dtype.is_integer:
            return rng.integers(0, 7, shape).astype(self.state.dtype.as_numpy_dtype)
        return rng.normal(size=shape).astype(self.state.dtype.as_numpy_dtype)

    def part(self, name: str):
        return self.scope.parts[f"Model/{name}"]

    def numbers(self) -> dict[str, np.ndarray]:
        """Both networks, all that is not trained too."""
        found = {"step": self.scope.global_step.numpy()}
        for role in ("online", "target"):
            found |= {f"{role}/{label}": v.numpy() for label, v in self.part(role).labelled_variables().items()}
        return found

    def run_compiled(self, jit: bool, per_call: int, looped: bool) -> list[float]:
        """Updates by compiled calls; the mean loss of each call."""
        self.start(jit)
        if looped:
            specs = [tf.TensorSpec([], tf.int32)]
            call = self.compiler.call("loop", lambda: (lambda n: [self.learner.updates(n).loss], specs))
            inputs = [tf.constant(per_call)]
        else:
            call = self.compiler.call("unrolled", lambda: (lambda: [self.learner.updates(per_call).loss], []))
            inputs = []
        losses = [float(call(*inputs)[0]) / per_call for _ in range(UPDATES // per_call)]
        self.compiler.write_back()
        return losses

    def start(self, jit: bool) -> None:
        self.compiler.start([self.scope, self.memory], self.learner.probe, jit)

    def run_eagerly(self) -> list[float]:
        """The same code, called eagerly on the variables."""
        return [float(self.learner.updates(1).loss) for _ in range(UPDATES)]


class Oracle(System):
    """Updates by a plain tf-keras optimizer, variable by variable: neither stand-ins nor the bundle take part."""

    def run(self, optimizer_config, clip: float | None = 0.5, embed_clip: float | None = 0.1) -> list[float]:
        online, target = self.part("online"), self.part("target")
        variables = online.model.trainable_variables
        tables = {v.ref() for layer in online.model.layers if "embedding" in layer.name for v in layer.trainable_variables}
        optimizer = optimizer_config.build()
        optimizer.build(variables)
        losses = []
        for step in range(1, UPDATES + 1):
            count = self.scope.global_step.read_value()
            labels = self.memory.sample(self.scope.random_seed("replay", count), count)
            features = {"state": labels.pop("state")}
            with tf.GradientTape() as tape, self.scope.active():
                spec = self.model_fn(features=features, labels=labels, mode="train")
            gradients = [tf.convert_to_tensor(gradient) for gradient in self.gradients(tape, spec.loss, variables)]
            if clip:
                norm = np.sqrt(sum(float(tf.reduce_sum(tf.cast(g, tf.float64) ** 2)) for g in gradients))
                gradients = [g * min(1.0, clip / norm) for g in gradients]
            if embed_clip:
                gradients = [
                    g * min(1.0, embed_clip / max(float(tf.norm(g)), 1e-30)) if v.ref() in tables else g
                    for g, v in zip(gradients, variables, strict=True)
                ]
            optimizer.apply_gradients(zip(gradients, variables, strict=True))
            self.scope.global_step.assign_add(1)
            if step % PERIOD == 0:
                for old, new in zip(target.model.variables, online.model.variables, strict=True):
                    old.assign(new)
            losses.append(float(spec.loss))
        return losses

    @staticmethod
    def gradients(tape, loss, variables):
        return tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def assert_close(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], err_msg=name, **TOLERANCE)


def means(losses: list[float], per_call: int) -> np.ndarray:
    return np.mean(np.reshape(losses, [-1, per_call]), axis=1)


def check_against_oracle(model_fn, optimizer_config, jit=True, per_call=3, looped=True, seed=0, state=None, **clips) -> None:
    start = System(model_fn, seed, state=state).numbers()
    oracle = Oracle(model_fn, seed, state=state)
    assert_equal(oracle.numbers(), start)
    expected = oracle.run(optimizer_config, **clips)
    ours = System(model_fn, seed, state=state)
    losses = ours.run_compiled(jit, per_call, looped)
    np.testing.assert_allclose(losses, means(expected, per_call), **TOLERANCE)
    assert_close(ours.numbers(), oracle.numbers())
    moved = {name: value for name, value in ours.numbers().items() if "kernel" in name}
    assert all(not np.array_equal(value, start[name]) for name, value in moved.items())  # The learning is there to be seen.
    online = {name.removeprefix("online"): value for name, value in ours.numbers().items() if name.startswith("online")}
    target = {name.removeprefix("target"): value for name, value in ours.numbers().items() if name.startswith("target")}
    assert differ(online, target)  # 12 is not a multiple of 5: the target lags behind.


SLOW = pytest.mark.slow
