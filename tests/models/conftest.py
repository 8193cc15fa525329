"""What the tests of the models share: the four kinds of model, batches, and a look into a scope."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from family_testing import ROWS as FAMILY_ROWS
from family_testing import build as build_of_family
from model_testing import GAMMA, SIZE, numpy_losses, random_masks
from naf_models import HIGH, LOW, ROWS, K

from polyrl.models import BaseQModel, CategoricalDQNModel, DDQNModel, DQNModel, QNetwork, Scope
from polyrl.networks import mlp

NUM_STATES = 4
NUM_ACTIONS = 3
NUM_ATOMS = 11


class Kind(NamedTuple):
    """A model class with what it needs; calling it builds a small model in `scope`."""

    model_class: type[BaseQModel]
    arguments: dict[str, Any]
    categorical: bool
    double: bool

    def __call__(self, mode: str = "train", scope: Scope | None = None, **arguments: Any) -> BaseQModel:
        defaults = {"graph_fn": mlp([8]), "num_states": NUM_STATES, "num_actions": NUM_ACTIONS, "summaries": []}
        with (Scope() if scope is None else scope).active():
            return self.model_class(mode, **{**defaults, **self.arguments, **arguments})


ATOMS = {"num_atoms": NUM_ATOMS, "min_q_value": -2.0, "max_q_value": 3.0}
KINDS = {
    "dqn": Kind(DQNModel, {}, categorical=False, double=False),
    "ddqn": Kind(DDQNModel, {}, categorical=False, double=True),
    "c51": Kind(CategoricalDQNModel, ATOMS, categorical=True, double=False),
    "c51_double": Kind(CategoricalDQNModel, {**ATOMS, "double": True}, categorical=True, double=True),
}


@pytest.fixture(params=KINDS)
def kind(request):
    """Each of the four kinds of model in turn."""
    return KINDS[request.param]


@pytest.fixture(params=["dqn", "ddqn"])
def scalar_kind(request):
    """The kinds whose heads give one value per action."""
    return KINDS[request.param]


@pytest.fixture(params=["dqn", "c51"])
def head_kind(request):
    """One kind per head, where the loss plays no part."""
    return KINDS[request.param]


@pytest.fixture
def dqn():
    return KINDS["dqn"]


@pytest.fixture
def c51():
    return KINDS["c51"]


@pytest.fixture
def scope():
    return Scope(seed=0)


def make_batch(seed: int = 0, size: int = 6, **replaced: Any) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Features and labels of random transitions, terminated and not; `replaced` labels are taken as given."""
    rng = np.random.default_rng(seed)
    labels = {
        "action": rng.integers(0, NUM_ACTIONS, size),
        "reward": rng.normal(size=size).astype(np.float32),
        "done": (np.arange(size) % 3 == 0).astype(np.float32),
        "next_state": rng.normal(size=[size, NUM_STATES]).astype(np.float32),
    }
    state = rng.normal(size=[size, NUM_STATES]).astype(np.float32)
    return {"state": tf.constant(state)}, {k: tf.constant(v) for k, v in {**labels, **replaced}.items()}


@pytest.fixture
def batch():
    return make_batch


class Networks:
    """The parts of one model in a scope, as numbers."""

    def __init__(self, scope: Scope, name: str = "Model"):
        self._scope = scope
        self._name = name

    @property
    def online(self) -> QNetwork:
        return self._scope.parts[f"{self._name}/online"]

    @property
    def target(self) -> QNetwork:
        return self._scope.parts[f"{self._name}/target"]

    def weights(self, role: str = "online") -> list[np.ndarray]:
        return [variable.numpy() for variable in getattr(self, role).model.variables]

    def trained(self) -> list[np.ndarray]:
        return [variable.numpy() for variable in self.online.model.trainable_variables]

    def everything(self) -> list[np.ndarray]:
        """Every number the scope holds: networks, optimizer, counters."""
        scope = self._scope
        variables = [scope.global_step, scope.global_timestep, scope.global_episode]
        for name in sorted(scope.parts):
            part = scope.parts[name]
            owner = part.model if isinstance(part, QNetwork) else part
            variables += owner.variables() if callable(owner.variables) else owner.variables
        return [variable.numpy() for variable in variables]

    def perturb_target(self, seed: int = 0) -> None:
        """Makes the two networks differ in every weight."""
        rng = np.random.default_rng(seed)
        for variable in self.target.model.variables:
            variable.assign_add(rng.normal(size=variable.shape).astype(np.float32))


@pytest.fixture
def networks(scope):
    """The networks of the model called `Model` in `scope`."""
    return Networks(scope)


@pytest.fixture
def expected_losses(networks):
    def count(kind, features, labels, gamma=GAMMA, use_target=True, **options):
        online, next_state = networks.online, {"state": labels["next_state"]}
        bootstrap = (networks.target if use_target else online)(next_state)
        return numpy_losses(kind, online(features), online(next_state), bootstrap, labels, gamma, **options)

    return count


@pytest.fixture
def differing(scope, batch, networks):
    """Builds a model in `scope` whose target network differs from the online one in every weight."""

    def build(kind, mode="train", **arguments):
        model = kind(mode, scope, discount=GAMMA, **arguments)
        model(*batch())
        networks.perturb_target()
        return model

    return build


@pytest.fixture
def masked(batch):
    """Batches with masks; terminal next states have none of their actions legal."""

    def make(seed=0, size=SIZE, **labels):
        features, labels = batch(seed, size, **labels)
        next_mask = random_masks(seed + 100, size)
        done = labels["done"].numpy()
        next_mask[(done if done.ndim == 1 else done.max(axis=1)) > 0] = 0
        features = {**features, "action_mask": tf.constant(random_masks(seed, size))}
        return features, {**labels, "next_action_mask": tf.constant(next_mask)}

    return make


@pytest.fixture
def batch_of(batch):
    """Features and labels whose actions are numbers within the bounds."""

    def make(seed=0, size=ROWS, k=K, **replaced):
        low, high = (LOW, HIGH) if k == K else (-1.0, 1.0)
        action = np.random.default_rng(seed + 100).uniform(low, high, [size, k]).astype(np.float32)
        return batch(seed, size, **{"action": action, **replaced})

    return make


@pytest.fixture
def lively(scope, networks):
    """Gives both networks weights of a size that matters, each its own: they begin near zero and alike."""

    def wake(seed=3):
        rng = np.random.default_rng(seed)
        for network in (networks.online, networks.target):
            for variable in network.model.variables:
                variable.assign(rng.normal(size=variable.shape).astype(np.float32))

    return wake


@pytest.fixture
def networks_of():
    return Networks


def are_equal(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    """Whether two lists of arrays are the same, bit for bit."""
    return len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture
def equal():
    return are_equal


@pytest.fixture
def restored_randomness():
    """Puts the process's random states back as they were."""
    states = random.getstate(), np.random.get_state()
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])
    tf.random.set_seed(None)


COMPILATIONS = {
    "eager": lambda function: function,
    "function": lambda function: tf.function(function, autograph=False),
    "xla": lambda function: tf.function(function, autograph=False, jit_compile=True),
}


@pytest.fixture(params=COMPILATIONS)
def compiled(request):
    """Turns a function into an eager, a traced and an XLA-compiled one, in turn."""
    return COMPILATIONS[request.param]


@pytest.fixture
def compilations():
    return COMPILATIONS


@pytest.fixture
def apart(scope, batch, networks):
    """Builds a model in `scope` whose target network differs from the online one in every weight."""

    def make(name, mode="train", **arguments):
        build_of_family(name, "train", scope, **arguments)(*batch(size=FAMILY_ROWS))
        networks.perturb_target()
        return build_of_family(name, mode, scope, **arguments)

    return make
