"""Where everything that a `model_fn` builds lives, so that the next call finds it instead of building it again."""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import types
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import tensorflow as tf

from polyrl.engine.tracing import outside_of_graphs

T = TypeVar("T")

_active: contextvars.ContextVar[Scope | None] = contextvars.ContextVar("polyrl_scope", default=None)


class Scope(tf.Module):
    """The state of a run's models: networks, optimizers and metrics by name, and the three counters.

    A `model_fn` is called again for every mode and every traced function. A model built while a scope is active looks
    itself up there; outside of any scope a model makes one of its own. A checkpoint of the scope is a checkpoint of all.

    Attributes:
        global_step: int64 scalar, gradient updates (of the first model that trains, where there are several).
        global_timestep: int64 scalar, environment steps, summed over parallel environments.
        global_episode: int64 scalar, finished episodes.
        seed: the run's root seed.
        xla: whether models may have parts of what they do compiled by XLA.
        exploration_power: the power that a probability to explore is raised to: actors of one run explore unequally by it.
    """

    def __init__(self, seed: int = 0, xla: bool = False):
        super().__init__(name="scope")
        self.seed = seed
        self.xla = xla
        self.exploration_power = 1.0
        self.global_step = tf.Variable(0, dtype=tf.int64, trainable=False, name="global_step")
        self.global_timestep = tf.Variable(0, dtype=tf.int64, trainable=False, name="global_timestep")
        self.global_episode = tf.Variable(0, dtype=tf.int64, trainable=False, name="global_episode")
        self.parts: dict[str, Any] = {}
        # In a plain object, which TensorFlow does not look into: no part of a checkpoint.
        self._transient = types.SimpleNamespace(parts={})

    def get(self, name: str, build: Callable[[], T], saved: bool = True) -> T:
        """The part called `name`; `build()` makes it at the first call, outside of any graph that is being traced.

        Args:
            name: of the part.
            build: makes the part.
            saved: whether it belongs to the run's state, and so to its checkpoints.
        """
        parts = self.parts if saved else self._transient.parts
        if name not in parts:
            parts[name] = outside_of_graphs(build)
        return parts[name]

    def unsaved_modules(self) -> list[tf.Module]:
        """The parts with variables that are in no checkpoint: temporally correlated noise, metrics."""
        return [part for part in self._transient.parts.values() if isinstance(part, tf.Module)]

    def learners(self) -> dict[str, dict[str, Any]]:
        """The arguments of the models that have been called to learn, by the models' names."""
        return self._of_models("/arguments")

    def shared(self) -> dict[str, Any]:
        """What all models of one name were given alike, see `Shared`, by the models' names."""
        return self._of_models("/shared")

    def _of_models(self, ending: str) -> dict[str, Any]:
        return {name.removesuffix(ending): value for name, value in self._transient.parts.items() if name.endswith(ending)}

    def random_seed(self, stream: str, count: tf.Tensor | None = None) -> tf.Tensor:
        """A seed int64 `[2]` for stateless random ops: of root seed, stream name and count, so it needs no state.

        Args:
            stream: what the numbers are for; streams are independent of each other.
            count: int64 scalar; by default `global_timestep`.
        """
        if count is None:
            count = self.global_timestep.read_value()
        # The generators behind the stateless ops mix the two numbers themselves: each pair gives numbers of its own.
        high, low = stream_seed(self.seed, stream)
        return tf.stack([tf.constant(high << 31 | low, tf.int64), tf.cast(count, tf.int64)])

    def next_seed(self, stream: str) -> tf.Tensor:
        """Another seed of the stream each time that this is run, for uses that no counter advances, such as prediction.

        The position in the stream is not saved.
        """
        count = self.get(f"draws/{stream}", lambda: tf.Variable(0, dtype=tf.int64, trainable=False), saved=False)
        return self.random_seed(stream, count.assign_add(1))

    @contextlib.contextmanager
    def active(self) -> Iterator[Scope]:
        """Models built inside the `with` block live in this scope."""
        token = _active.set(self)
        try:
            yield self
        finally:
            _active.reset(token)


def current_scope() -> Scope:
    """The active scope, or a new one of the caller's own."""
    scope = _active.get()
    return Scope() if scope is None else scope


def stream_seed(root: int, stream: str) -> tuple[int, int]:
    """Two 31-bit integers for the random stream called `stream` under the root seed."""
    digest = hashlib.sha256(f"{root}/{stream}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1, int.from_bytes(digest[4:8], "big") >> 1
