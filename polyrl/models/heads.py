"""Heads: what turns a torso's output into the values of actions, and those into actions. A model is a head and a loss."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, NamedTuple

import tensorflow as tf
import tf_keras

from polyrl import ops
from polyrl.configs import InitializerConfig
from polyrl.models.policy_network import PolicyNetwork
from polyrl.models.q_network import QModelSpec
from polyrl.networks.layers import dense
from polyrl.policies import BasePolicy, BoundedTensorSpec, QPolicy, TimeStep
from polyrl.policies.base import Splitter


class Head(abc.ABC):
    """The last layers of a network, and what they mean: the best action, an exploring one, the value of any.

    Attributes:
        NEEDED: the fields of a `QModelSpec` that it reads; a graph function of one's own must give them.
        action_spec: the spec of one action.
    """

    NEEDED: ClassVar[tuple[str, ...]] = ("q",)
    action_spec: BoundedTensorSpec

    @abc.abstractmethod
    def __call__(self, outputs: tf.Tensor) -> QModelSpec:
        """Adds its layers to a torso's output, float32 `[B, features]`."""

    @abc.abstractmethod
    def greedy_actions(self, spec: QModelSpec, mask: tf.Tensor | None = None) -> tf.Tensor:
        """The best action for each row, `[B, ...]`; `mask` bool `[B, A]` says which are legal, None: all."""

    @abc.abstractmethod
    def preferred(self, spec: QModelSpec) -> tf.Tensor:
        """What an explorer is given, see `Explorer`: values `[B, A]`, or continuous actions `[B, k]` in [-1, 1]."""

    def actions(self, chosen: tf.Tensor) -> tf.Tensor:
        """The actions that an explorer's choice stands for, `[B, ...]`: the choice itself."""
        return chosen

    @abc.abstractmethod
    def evaluate(self, spec: QModelSpec, action: tf.Tensor) -> tf.Tensor:
        """The value of one action for each row, `[B, ...]` to `[B]`."""

    @abc.abstractmethod
    def policy(
        self, time_step_spec: TimeStep, network: PolicyNetwork, splitter: Splitter | None, temperature: float
    ) -> BasePolicy:
        """The policy that acts in PREDICT mode; `network` gives it what `policy_output` says."""

    def policy_output(self, spec: QModelSpec) -> Any:
        """What the policy is given of a network's output."""
        return spec.q

    def batch_of_actions(self, spec: QModelSpec) -> tf.TensorShape:
        """The shape of a batch of actions, `[B]` or `[B, k]`."""
        return tf.TensorShape([*spec.q.shape[:1], *self.action_spec.shape])


class Streams(NamedTuple):
    """How the layers of a head are made.

    Attributes:
        units: of the hidden layers that each stream has before its last one, each with a ReLU.
        noisy: whether all of them have learned noise, see `NoisyDense`.
        initializer: of their weights; None: tf-keras's.
    """

    units: tuple[int, ...] = ()
    noisy: bool = False
    initializer: InitializerConfig | None = None

    def __call__(self, x: tf.Tensor, units: int, name: str, narrow: bool = False) -> tf.Tensor:
        """A stream on a torso's output, `[..., n]` to `[..., units]`."""
        # Heads compute in float32, whatever the precision policy of tf-keras has the torso do.
        made = {"initializer": self.initializer, "noisy": self.noisy, "dtype": tf.float32}
        for number, size in enumerate(self.units):
            x = dense(x, size, "relu", name=f"{name}_hidden_{number}", **made)
        return dense(x, units, name=name, narrow=narrow, **made)


PLAIN = Streams()
"""One layer of tf-keras's for each stream."""


class QHead(Head):
    """A value for each of `A` actions; with `width` N, N numbers for each, of which a subclass makes values.

    Args:
        num_actions: `A`.
        dueling: how the heads for advantage and value are combined, see `BaseQModel`; None: there is one head.
        make: makes the layers.
        width: None, or `N`.
    """

    def __init__(self, num_actions: int, dueling: str | bool | None, make: Streams = PLAIN, width: int | None = None):
        self.num_actions, self._dueling, self._make, self._width = num_actions, dueling, make, width
        self.action_spec = BoundedTensorSpec((), tf.int32, 0, num_actions - 1, name="action")

    def __call__(self, outputs: tf.Tensor) -> QModelSpec:
        advantage, value, q = self.streams(outputs)
        return QModelSpec(outputs, advantage, value, q)

    def streams(self, outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None, tf.Tensor]:
        """The heads for advantage `[B, A]` and value `[B, 1]`, None without dueling, and both combined, `[B, A]`.

        With `N` numbers for each action: `[B, A, N]`, `[B, 1, N]`, `[B, A, N]`.
        """
        advantage = self._stream(outputs, self.num_actions, "advantage")
        value = None if self._dueling is None else self._stream(outputs, 1, "value")
        alone = value is None or self._dueling is True
        return advantage, value, advantage if alone else ops.dueling(advantage, value, str(self._dueling))

    def _stream(self, outputs: tf.Tensor, actions: int, name: str) -> tf.Tensor:
        if self._width is None:
            return self._make(outputs, actions, name, narrow=True)
        flat = self._make(outputs, actions * self._width, name)
        return tf_keras.layers.Reshape([actions, self._width], dtype=tf.float32)(flat)

    def greedy_actions(self, spec: QModelSpec, mask: tf.Tensor | None = None) -> tf.Tensor:
        return tf.argmax(ops.mask_values(spec.q, mask), axis=1, output_type=tf.int32)

    def preferred(self, spec: QModelSpec) -> tf.Tensor:
        return spec.q

    def evaluate(self, spec: QModelSpec, action: tf.Tensor) -> tf.Tensor:
        return ops.select_values(spec.q, action)

    def policy(
        self, time_step_spec: TimeStep, network: PolicyNetwork, splitter: Splitter | None, temperature: float
    ) -> BasePolicy:
        return QPolicy(time_step_spec, self.action_spec, network, splitter, temperature)
