"""The fast path, compiled calls on carried values and one vector for the optimizer, computes what the plain one does."""

from __future__ import annotations

import dataclasses

import gymnasium
import ml_collections
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from gymnasium.spaces import Box, Discrete
from tiny_agents import KINDS, assert_equal, counters, differ, rows, weights
from tiny_envs import vector

from polyrl import configs
from polyrl.configs import AdamConfig, ConstantExplorationConfig, SGDConfig
from polyrl.engine.compiler import Compiler
from polyrl.engine.fused_step import FusedStep
from polyrl.envs.actions import action_spec
from polyrl.estimators import Agent, RunConfig
from polyrl.estimators.hooks import Hook
from polyrl.estimators.learner import Learner
from polyrl.estimators.model_fn import bind
from polyrl.models.scope import Scope
from polyrl.replay import PrioritizedReplay, UniformReplay

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
    assert differ(online, target)  # 12 is no multiple of 5: the target lags behind.


# Models. ----------------------------------------------------------------------------------------------------------------

SLOW = pytest.mark.slow
MODELS = [
    ("dqn", "mean", True),
    ("ddqn", None, False),
    pytest.param("c51", "mean", False, marks=SLOW),
    pytest.param("dqn", None, True, marks=SLOW),
    *(pytest.param(kind, dueling, True, marks=SLOW) for kind in ("ddqn", "c51", "c51_double") for dueling in ("mean", None)),
]


@pytest.mark.parametrize(("kind", "dueling", "jit"), MODELS)
def test_each_model_learns_as_with_a_plain_optimizer_on_plain_variables(kind, dueling, jit):
    check_against_oracle(model_fn_of(kind, dueling=dueling), AdamConfig(0.01), jit)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("per_call", "looped"), [(3, False), (1, False), (1, True)])
def test_the_number_of_updates_in_a_call_makes_no_difference(per_call, looped, seed):
    check_against_oracle(model_fn_of("ddqn"), AdamConfig(0.01), True, per_call, looped, seed)


@pytest.mark.parametrize("kind", ["ddqn", "c51"])
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=SLOW), pytest.param(2, marks=SLOW)])
def test_the_same_code_called_eagerly_is_the_oracle_too(kind, seed):
    model_fn = model_fn_of(kind)
    eager, oracle = System(model_fn, seed), Oracle(model_fn, seed)
    losses, expected = eager.run_eagerly(), oracle.run(AdamConfig(0.01))
    np.testing.assert_allclose(losses, expected, **TOLERANCE)
    assert_close(eager.numbers(), oracle.numbers())


@pytest.mark.parametrize("kind", ["dqn", pytest.param("c51_double", marks=SLOW)])
def test_priorities_and_importance_weights_are_those_of_eager_updates(kind):
    def memory():
        return PrioritizedReplay(ROWS, BATCH, n_step=2, beta_steps=20)

    eager, ours = (System(model_fn_of(kind), memory=memory) for _ in range(2))
    expected = eager.run_eagerly()
    np.testing.assert_allclose(ours.run_compiled(True, 3, True), means(expected, 3), **TOLERANCE)
    assert_close(ours.numbers(), eager.numbers())
    for one, two in zip(ours.memory.variables, eager.memory.variables, strict=True):
        np.testing.assert_allclose(one, two, **TOLERANCE)
    assert np.unique(eager.memory._tree.get(tf.range(ROWS))).size > 10


# Optimizers. ------------------------------------------------------------------------------------------------------------

OPTIMIZERS = {
    "adam": AdamConfig(0.01),
    "amsgrad": AdamConfig(0.01, amsgrad=True),
    "adamw": configs.AdamWConfig(0.01, weight_decay=0.05),
    "adamax": configs.AdamaxConfig(0.01),
    "nadam": configs.NadamConfig(0.01),
    "sgd": SGDConfig(0.1),
    "momentum": SGDConfig(0.05, momentum=0.9),
    "nesterov": SGDConfig(0.05, momentum=0.9, nesterov=True),
    "rmsprop": configs.RMSpropConfig(0.01, epsilon=0.01),
    "rmsprop_centered": configs.RMSpropConfig(0.01, rho=0.95, momentum=0.5, epsilon=0.01, centered=True),
    "adagrad": configs.AdagradConfig(0.05),
    "adadelta": configs.AdadeltaConfig(1.0),
    "ftrl": configs.FtrlConfig(0.1, l1_regularization_strength=0.001, l2_regularization_strength=0.01),
    "lion": configs.LionConfig(0.01),
}


def test_every_optimizer_there_is_is_among_these():
    found = {name: getattr(configs, name) for name in dir(configs) if name.endswith("Config")}
    known = {name for name, config in found.items() if issubclass(config, configs.OptimizerConfig)}
    assert {type(config).__name__ for config in OPTIMIZERS.values()} == known - {"OptimizerConfig"}


SCHEDULES = {
    "exponential": configs.ExponentialDecayConfig(0.1, decay_steps=4, decay_rate=0.5),
    "staircase": configs.ExponentialDecayConfig(0.1, decay_steps=4, decay_rate=0.5, staircase=True),
    "inverse_time": configs.InverseTimeDecayConfig(0.1, decay_steps=4, decay_rate=0.5),
    "polynomial": configs.PolynomialDecayConfig(0.1, decay_steps=8, end_learning_rate=0.01, power=2.0),
    "piecewise": configs.PiecewiseConstantDecayConfig((3, 7), (0.1, 0.03, 0.2)),
    "cosine": configs.CosineDecayConfig(0.1, decay_steps=8, alpha=0.1),
    "restarts": configs.CosineDecayRestartsConfig(0.1, first_decay_steps=3),
}


class Optimized(tf.Module):
    """One optimizer by every config, each with variables of its own: small, constrained and large ones."""

    SHAPES = ((4, 3), (3,), (), (1, 2, 2), (200, 100))

    def __init__(self, optimizer_configs, bundled: bool):
        super().__init__()
        rng = np.random.default_rng(0)
        start = [rng.normal(size=shape).astype(np.float32) for shape in self.SHAPES]
        constraints = [tf_keras.constraints.MaxNorm(0.8), tf_keras.constraints.NonNeg(), None, None, None]
        pairs = list(zip(start, constraints, strict=True))
        self.sets = [[tf.Variable(value, constraint=c) for value, c in pairs] for _ in optimizer_configs]
        self.optimizers = [config.build() for config in optimizer_configs]
        self.bundles = [FusedStep(variables) if bundled else None for variables in self.sets]
        for optimizer, bundle, variables in zip(self.optimizers, self.bundles, self.sets, strict=True):
            optimizer.build(bundle.optimized(variables) if bundled else variables)

    def update(self, step):
        """One step of each, along gradients that are a function of its number and of the values."""
        for optimizer, bundle, variables in zip(self.optimizers, self.bundles, self.sets, strict=True):
            counts = [tf.range(v.shape.num_elements(), dtype=tf.float32) for v in variables]
            waves = [tf.cos(tf.cast(step, tf.float32) + count) for count in counts]
            gradients = [tf.reshape(wave, v.shape) + 0.5 * v for wave, v in zip(waves, variables, strict=True)]
            if bundle is None:
                optimizer.apply_gradients(zip(gradients, variables, strict=True))
            else:
                bundle.apply_gradients(optimizer, bundle.pack(gradients), variables)
        return [self.optimizers[0].iterations.read_value()]


NADAM = pytest.mark.xfail(
    strict=True,
    reason="tf-keras's Nadam counts its updates in Python, that is by traces: in a graph its bias correction is another one.",
)
BY_NAME = {**OPTIMIZERS, **{f"sgd_{name}": SGDConfig(schedule, momentum=0.5) for name, schedule in SCHEDULES.items()}}
OTHERS = [name for name in BY_NAME if name != "nadam"]
GROUPS = [
    pytest.param(OTHERS, True, marks=SLOW, id="others-xla"),
    pytest.param(OTHERS, False, id="others-function"),
    pytest.param(["nadam"], False, marks=NADAM, id="nadam-function"),
]


@pytest.mark.parametrize(("names", "jit"), GROUPS)
def test_each_optimizer_on_one_vector_is_the_one_on_each_variable(names, jit):
    """Under XLA and in a plain graph; the plain optimizers run eagerly, variable by variable."""
    fast, plain = (Optimized([BY_NAME[name] for name in names], bundled) for bundled in (True, False))
    compiler = Compiler()
    compiler.start([fast, *fast.optimizers], lambda: fast.update(tf.constant(0)), jit)
    assert compiler.xla == jit
    call = compiler.call("update", lambda: (fast.update, [tf.TensorSpec([], tf.int32)]))
    start = [[v.numpy() for v in variables] for variables in plain.sets]
    for step in range(UPDATES):
        call(tf.constant(step))
        plain.update(tf.constant(step))
    compiler.write_back()
    for name, found, expected, before in zip(names, fast.sets, plain.sets, start, strict=True):
        for one, two, zero in zip(found, expected, before, strict=True):
            np.testing.assert_allclose(one, two, err_msg=name, **TOLERANCE)
            assert not np.array_equal(two, zero), name


@pytest.mark.slow
@pytest.mark.parametrize("jit", [True, False], ids=["xla", "function"])
@pytest.mark.parametrize("name", [pytest.param(name, marks=NADAM) if name == "nadam" else name for name in OPTIMIZERS])
def test_a_model_learns_as_with_each_plain_optimizer(name, jit):
    config = OPTIMIZERS[name]
    check_against_oracle(model_fn_of("dqn", optimizer_config=config), config, jit)


@pytest.mark.parametrize("jit", [True, False], ids=["xla", "function"])
@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULES)
def test_learning_rates_follow_their_schedule(name, jit):
    config = SGDConfig(SCHEDULES[name], momentum=0.5)
    check_against_oracle(model_fn_of("dqn", optimizer_config=config), config, jit)


# Clipping, constraints, penalties, kinds of layers. ---------------------------------------------------------------------


@pytest.mark.parametrize("jit", [pytest.param(True, marks=SLOW), False], ids=["xla", "function"])
@pytest.mark.parametrize("clip", [pytest.param(None, marks=SLOW), pytest.param(0.0, marks=SLOW), 0.01])
def test_gradients_are_clipped_by_the_norm_of_all_of_them(clip, jit):
    config = SGDConfig(0.5)
    model_fn = model_fn_of("dqn", optimizer_config=config, clip_gradients=clip)
    check_against_oracle(model_fn, config, jit, clip=clip)


TORSOS = {
    "constraints": lambda m, x: torso(m, x, kernel_constraint=tf_keras.constraints.MaxNorm(0.9), bias_constraint="non_neg"),
    "penalties": lambda m, x: torso(m, x, kernel_regularizer=tf_keras.regularizers.L1L2(0.01, 0.02)),
    "wide": lambda m, x: tf_keras.layers.Dense(5000, "tanh")(x["state"]),  # Its kernel is no part of the vector.
    "nested": lambda m, x: tf_keras.Sequential([tf_keras.layers.Dense(8, "tanh"), tf_keras.layers.Dense(4, "tanh")])(
        x["state"]
    ),
}


@pytest.mark.parametrize("jit", [pytest.param(True, marks=SLOW), False], ids=["xla", "function"])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=SLOW) if name in ("constraints", "penalties") else name for name in TORSOS]
)
def test_torsos_of_many_kinds_learn_as_on_plain_variables(name, jit):
    config = SGDConfig(0.3, momentum=0.5)
    check_against_oracle(model_fn_of("dqn", TORSOS[name], optimizer_config=config), config, jit)


def test_constraints_hold_after_compiled_updates():
    """So that the comparison above compares something."""
    ours = System(model_fn_of("dqn", TORSOS["constraints"], optimizer_config=SGDConfig(1.0)))
    ours.run_compiled(False, 3, True)
    numbers = ours.numbers()
    assert np.linalg.norm(numbers["online/dense/kernel"], axis=0).max() <= 0.9 + 1e-5
    assert numbers["online/dense/bias"].min() >= 0.0 < numbers["online/dense/bias"].max()


@pytest.mark.parametrize("jit", [pytest.param(True, marks=SLOW), False], ids=["xla", "function"])
@pytest.mark.parametrize("embed_clip", [pytest.param(None, marks=SLOW), 0.01])
def test_an_embeddings_gradient_is_clipped_by_its_own_norm(embed_clip, jit):
    def graph_fn(mode, inputs):
        return tf_keras.layers.Flatten()(tf_keras.layers.Embedding(7, 3)(inputs["state"]))

    config = SGDConfig(0.5)
    model_fn = model_fn_of("dqn", graph_fn, (STATES,), optimizer_config=config, clip_embed_gradients=embed_clip)
    state = tf.TensorSpec([STATES], tf.int32)
    start = System(model_fn, state=state).numbers()["online/embedding/embeddings"]
    check_against_oracle(model_fn, config, jit, state=state, embed_clip=embed_clip)
    ours = System(model_fn, state=state)
    ours.run_compiled(False, 3, True)
    assert not np.array_equal(ours.numbers()["online/embedding/embeddings"], start)


@pytest.mark.slow
def test_averages_of_batch_normalisation_are_those_of_eager_updates():
    def graph_fn(mode, inputs):
        return tf_keras.layers.BatchNormalization(momentum=0.8)(torso(mode, inputs))

    eager, ours = (System(model_fn_of("ddqn", graph_fn)) for _ in range(2))
    eager.run_eagerly()
    ours.run_compiled(True, 3, True)
    assert_close(ours.numbers(), eager.numbers())
    assert np.abs(ours.numbers()["online/batch_normalization/moving_mean"]).min() > 0.0


class Recomputed(tf_keras.layers.Layer):
    def build(self, shape):
        self.w = self.add_weight(name="kernel", shape=(shape[-1], 6), initializer="glorot_uniform")

    def call(self, x):
        return tf.recompute_grad(lambda y: tf.tanh(y @ self.w))(x)


def test_a_layer_that_recomputes_its_activations_learns_though_it_cannot_be_carried():
    ours = System(model_fn_of("dqn", lambda mode, inputs: Recomputed()(inputs["state"])))
    before = ours.numbers()["online/recomputed/kernel"]
    ours.run_compiled(True, 3, True)
    assert not np.array_equal(ours.numbers()["online/recomputed/kernel"], before)


# Whole runs. ------------------------------------------------------------------------------------------------------------


class RingEnv(gymnasium.Env):
    """Five places in a ring, one more than a third of them worth something; every episode has seven steps and begins at 0."""

    LENGTH = 7
    REWARDS = (0.0, 0.3, -0.2, 1.0, 0.1)

    def __init__(self, number: int = 0, limit: bool = False):
        self.observation_space = Box(-1, 1, (STATES,), np.float32)
        self.action_space = Discrete(ACTIONS)
        self._number, self._limit = number, limit

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._place = self._t = 0
        return self._observation(), {}

    def step(self, action):
        self._place = (self._place + int(action) - 1 + self._number) % 5
        self._t += 1
        over = self._t == self.LENGTH
        return self._observation(), self.REWARDS[self._place], over and not self._limit, over and self._limit, {}

    def _observation(self):
        angle = 2 * np.pi * self._place / 5
        return np.array([np.cos(angle), np.sin(angle), self._t / self.LENGTH, self._number / 3], np.float32)


class Calm(Hook):
    """Notes actions, counters and episodes."""

    def __init__(self):
        self.actions, self.counters, self.episodes = [], [], []

    def after_act(self, run):
        self.actions.append(run.actions.tolist())
        self.counters.append((run.step, run.timestep, run.episode))

    def after_episode(self, run, episode):
        self.episodes.append(dataclasses.astuple(episode))


def ring(num_envs: int):
    return vector(*(RingEnv(number, limit=number == 1) for number in range(num_envs)))


def run_agent(path, model_fn, num_envs=1, memory=None, hooks=(), jit="on", seed=0, timesteps=300, update_frequency=2):
    settings = {"save_summary_timesteps": None, "save_checkpoints_timesteps": None, "max_overhead": None}
    memory = UniformReplay(100, BATCH) if memory is None else memory
    agent = Agent(model_fn, memory, path, RunConfig(seed=seed, jit=jit, **settings))
    calm = Calm()
    agent.train(ring(num_envs), first_update=20, update_frequency=update_frequency, timesteps=timesteps, hooks=[*hooks, calm])
    return agent, calm


EXPLORING = {"exploration_config": ConstantExplorationConfig(0.3), "optimizer_config": AdamConfig(0.003)}


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=SLOW), pytest.param(2, marks=SLOW)])
@pytest.mark.parametrize(("num_envs", "update_frequency"), [pytest.param(1, 2, marks=SLOW), (3, 1)])
def test_a_run_with_xla_is_the_run_without(tmp_path, num_envs, update_frequency, seed):
    """More than 200 iterations: the same actions, counters, episodes and memory, and the same weights but for rounding."""
    arguments = {"timesteps": 210 * num_envs, "update_frequency": update_frequency, "seed": seed}
    model_fn = model_fn_of("ddqn", **EXPLORING)
    (fast, seen), (plain, expected) = (
        run_agent(tmp_path / jit, model_fn, num_envs, jit=jit, **arguments) for jit in ("on", "off")
    )
    assert seen.actions == expected.actions
    assert len(seen.actions) == 210
    assert {action for row in seen.actions for action in row} == {0, 1, 2}
    assert (seen.counters, seen.episodes) == (expected.counters, expected.episodes)
    assert counters(fast) == counters(plain) == ((210 * num_envs - 20) // update_frequency, 210 * num_envs, 30 * num_envs)
    assert_equal(rows(fast), rows(plain))
    for name, value in weights(fast).items():
        np.testing.assert_allclose(value, weights(plain)[name], rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("jit", [pytest.param("off", marks=SLOW), pytest.param("on", marks=SLOW)])
def test_a_run_resumed_in_the_middle_is_the_run_that_was_not_interrupted(tmp_path, jit):
    """At the end of an episode, with a prioritized memory of windows: bit for bit."""

    def memory():
        return PrioritizedReplay(100, BATCH, n_step=3, beta_steps=200)

    model_fn = model_fn_of("c51", **EXPLORING)
    straight, whole = run_agent(tmp_path / "straight", model_fn, 3, memory(), jit=jit, timesteps=3 * 7 * 12)
    _, first = run_agent(tmp_path / "parts", model_fn, 3, memory(), jit=jit, timesteps=3 * 7 * 5)
    resumed, second = run_agent(tmp_path / "parts", model_fn, 3, memory(), jit=jit, timesteps=3 * 7 * 7)
    assert first.counters + second.counters == whole.counters
    assert first.actions + second.actions == whole.actions
    assert first.episodes + second.episodes == whole.episodes
    assert_equal(weights(resumed), weights(straight))
    for one, two in zip(resumed.memory.variables, straight.memory.variables, strict=True):
        if "max_priority" in one.name or "level" in one.name:
            np.testing.assert_array_equal(one, two)


class Noise(tf_keras.layers.Layer):
    """Counts its updates."""

    def build(self, shape):
        self.calls = self.add_weight(name="calls", shape=(), initializer="zeros", trainable=False)

    def call(self, x, training=False):
        if training:
            self.calls.assign_add(1.0)
        return x + 0.01 * self.calls


def rich_torso(mode, inputs):
    """With everything that keeps a state of its own."""
    layers = tf_keras.layers
    x = layers.Dense(8, "tanh")(inputs["state"])
    return Noise()(layers.Dropout(0.2)(layers.BatchNormalization()(x)))


class Meddling(Hook):
    """Does something at every tenth iteration."""

    def __init__(self, action):
        self._action, self.times = action, 0
        self._iterations = 0

    def after_act(self, run):
        self._iterations += 1
        if self._iterations % 10 == 0 and run.step:
            self._action(run)
            self.times += 1


ACTS = {
    "evaluation": lambda run: run.evaluate(ring(2), 3),
    "summary": lambda run: run.request_summaries(),
    "checkpoint": lambda run: run.request_checkpoint(),
    "best": lambda run: run.save_best(1.0),
    "stored": lambda run: run.stored,
}
EVERYTHING = {**ACTS, "everything": lambda run: [act(run) for act in ACTS.values()]}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run that nothing interrupts, for each way to compute."""
    known = {}

    def get(jit):
        if jit not in known:
            path = tmp_path_factory.mktemp("undisturbed")
            known[jit] = run_agent(path, rich_model_fn(), 3, rich_memory(), jit=jit, timesteps=150)
        return known[jit]

    return get


def rich_model_fn():
    return model_fn_of("dqn", rich_torso, summaries=["loss"], **EXPLORING)


def rich_memory():
    return PrioritizedReplay(100, BATCH, beta_steps=100)


MEDDLED = [
    ("everything", "off"),
    pytest.param("everything", "on", marks=SLOW),
    *(pytest.param(name, jit, marks=SLOW) for name in ACTS for jit in ("on", "off")),
]


@pytest.mark.parametrize(("name", "jit"), MEDDLED)
def test_what_a_hook_does_in_mid_run_changes_nothing_in_the_training(tmp_path, undisturbed, name, jit):
    """Bit for bit, with dropout, batch normalisation, a counting layer and priorities."""
    plain, expected = undisturbed(jit)
    meddling = Meddling(EVERYTHING[name])
    ours, seen = run_agent(tmp_path, rich_model_fn(), 3, rich_memory(), [meddling], jit, timesteps=150)
    assert meddling.times >= 4
    assert (seen.actions, seen.counters, seen.episodes) == (expected.actions, expected.counters, expected.episodes)
    assert_equal(weights(ours), weights(plain))
    assert_equal(rows(ours), rows(plain))
    for one, two in zip(ours.memory.variables, plain.memory.variables, strict=True):
        np.testing.assert_array_equal(one, two)
    calls = [value for name, value in weights(ours).items() if "online" in name and "calls" in name]
    assert calls == [counters(ours)[0]]


class Look(Hook):
    """The weights as checkpoints and evaluations see them, at some iterations, before and after a push."""

    def __init__(self, at):
        self._at, self.agent, self.seen = at, None, []

    def after_act(self, run):
        if run.timestep in self._at:
            assert run.stored > 0  # Which brings the variables home.
            self.seen.append(weights(self.agent()))


def test_at_the_boundary_the_true_values_are_seen(tmp_path):
    """In the middle of a run with XLA, the variables are those of the run that ended there."""
    model_fn = model_fn_of("ddqn", **EXPLORING)
    look = Look((42, 63))
    settings = RunConfig(jit="on", save_summary_timesteps=None, save_checkpoints_timesteps=None, max_overhead=None)
    agent = Agent(model_fn, UniformReplay(100, BATCH), tmp_path / "whole", settings)
    look.agent = lambda: agent
    agent.train(ring(1), first_update=20, timesteps=80, hooks=[look])
    short, _ = run_agent(tmp_path / "short", model_fn, jit="on", timesteps=63, update_frequency=1)
    assert_equal(weights(short), look.seen[1])
    assert differ(*look.seen)


# Torsos that XLA or stand-ins do not know. ------------------------------------------------------------------------------


class SequenceEnv(gymnasium.Env):
    """States of five vectors."""

    observation_space = Box(-1, 1, (5, 2), np.float32)
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._t = 0
        return self._observation(), {}

    def step(self, action):
        self._t += 1
        return self._observation(), float(action), self._t == 4, False, {}

    def _observation(self):
        return np.linspace(-1, 0.2 * self._t, 10, dtype=np.float32).reshape(5, 2)


def recurrent(layer, unroll):
    return lambda mode, inputs: layer(4, unroll=unroll)(inputs["state"])


@pytest.mark.slow
@pytest.mark.parametrize("unroll", [True, False])
@pytest.mark.parametrize("layer", [tf_keras.layers.SimpleRNN, tf_keras.layers.LSTM, tf_keras.layers.GRU])
def test_a_recurrent_torso_trains_with_xla_as_without(tmp_path, layer, unroll):
    """XLA does not compile the gradient of a loop over time; the run then goes on without it."""
    model_fn = model_fn_of("dqn", recurrent(layer, unroll), (5, 2), 2, optimizer_config=SGDConfig(0.1))
    found = []
    for jit in ("off", "on"):
        settings = RunConfig(jit=jit, save_summary_timesteps=None, save_checkpoints_timesteps=None, max_overhead=None)
        agent = Agent(model_fn, UniformReplay(50, BATCH), tmp_path / jit, settings)
        agent.train(SequenceEnv(), first_update=BATCH, timesteps=20)
        found.append(weights(agent))
    for name in found[0]:
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=1e-4, atol=1e-5, err_msg=name)


class Scattered(tf_keras.layers.Layer):
    def build(self, shape):
        self.counts = self.add_weight(name="counts", shape=shape[-1:], initializer="zeros", trainable=False)

    def call(self, x, training=False):
        if training:
            self.counts.scatter_add(tf.IndexedSlices(tf.ones([1]), tf.constant([1])))
        return x


def test_a_layer_that_a_stand_in_does_not_suit_trains_without_xla(tmp_path):
    model_fn = model_fn_of("dqn", lambda mode, inputs: Scattered()(torso(mode, inputs)))
    agent, _ = run_agent(tmp_path, model_fn, timesteps=30)
    assert counters(agent)[0] == 5
