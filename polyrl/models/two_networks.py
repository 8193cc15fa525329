"""`TwoNetworkModel`: an online network that is trained, and a target network that follows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from polyrl.configs import ScheduleConfig
from polyrl.models import masks
from polyrl.models.base import BaseModel
from polyrl.models.q_network import QModelSpec, QNetwork
from polyrl.models.scope import stream_seed
from polyrl.modes import Modes


class TwoNetworkModel(BaseModel):
    """The networks of a Q model. A subclass gives the head, `_build_head`, and says when the target network moves.

    Attributes:
        use_target_graph: whether there is a target network.
        target_update_frequency: updates of this model between two moves of the target network.
        target_update_tau: how far it moves, in (0, 1].
    """

    use_target_graph: bool
    target_update_frequency: int
    target_update_tau: float

    def __call__(self, features: Any, labels: Mapping[str, tf.Tensor] | None = None) -> Any:
        self._acting = labels is None
        return super().__call__(features, labels)

    def _build_head(self, outputs: tf.Tensor) -> QModelSpec:
        """Adds the heads to the torso's output."""
        raise NotImplementedError

    def _build_graph_fn(self) -> Callable[[str, Any], QModelSpec]:
        """Returns the function from `(mode, inputs)` to a `QModelSpec`: the user's graph, then the heads."""

        def graph_fn(mode: str, inputs: Any) -> QModelSpec:
            outputs = self.graph_fn(mode, inputs)
            rank = getattr(getattr(outputs, "shape", None), "rank", None)
            if rank != 2:
                shape = tuple(outputs.shape) if rank is not None else outputs
                raise ValueError(f"graph_fn must return one row of features for each state, [B, features]; got {shape}.")
            return self._build_head(outputs)

        return graph_fn

    def _build_update_target_graph(self, step: tf.Tensor) -> None:
        """Moves the target network by `target_update_tau` if `step` (updates done) is a multiple of the period."""
        due = None if self.target_update_frequency == 1 else tf.equal(step % self.target_update_frequency, 0)
        self._target_graph().copy_from(self._train_graph(), when=due, tau=self.target_update_tau)

    def _build_train_op(self, loss: tf.Tensor) -> Callable[[], tf.Tensor]:
        """The update of the online network, followed by that of the target network."""
        apply_gradients = super()._build_train_op(loss)

        def train_op() -> tf.Tensor:
            step = apply_gradients()
            for variable, value in self._averages:
                variable.assign(value)
            if self.use_target_graph:
                self._build_update_target_graph(step)
            return step

        return train_op

    # Parts. -------------------------------------------------------------------------------------------------------------

    @property
    def _learning(self) -> bool:
        """Whether this is an update: mode TRAIN with labels."""
        return self.mode == Modes.TRAIN and not self._acting

    def _run_online(self, inputs: Any) -> None:
        """Sets `_online` to the online network's output on `inputs`, in training mode only inside an update."""
        network = self._train_graph()
        # A pass in training mode moves the averages of batch normalisation; they are put back, for the update to set.
        averages = network.model.non_trainable_variables if self._learning else []
        before = [variable.read_value() for variable in averages]
        self._online = network(masks.network_inputs(inputs), training=self._learning)
        self._averages = [(variable, variable.read_value()) for variable in averages]
        for variable, value in zip(averages, before, strict=True):
            variable.assign(value)

    def _train_graph(self) -> QNetwork:
        return self._part("online", lambda: self._new_network("online"))

    def _target_graph(self) -> QNetwork:
        def build() -> QNetwork:
            network = self._new_network("target")
            network.copy_from(self._train_graph())
            return network

        return self._part("target", build)

    def _new_network(self, role: str) -> QNetwork:
        seed, _ = stream_seed(self._scope.seed, f"initialisation/{self.name}")
        inputs = masks.network_inputs(self._inputs)
        specs = tf.nest.map_structure(lambda t: tf.TensorSpec([None, *t.shape[1:]], t.dtype), inputs)
        return QNetwork(self._build_graph_fn(), specs, seed, f"{self.name}_{role}")

    def _trainable_variables(self) -> list[tf.Variable]:
        return self._train_graph().model.trainable_variables

    def _embedding_indices(self) -> set[int]:
        return self._train_graph().embedding_indices()

    def _learning_rate(self) -> tf.Tensor:
        rate = self.optimizer_config.learning_rate
        schedule = rate.build() if isinstance(rate, ScheduleConfig) else (lambda step: rate)
        return tf.convert_to_tensor(schedule(self._updates.read_value()), tf.float32)

    _acting: bool = True
    _averages: list[tuple[tf.Variable, tf.Tensor]]
    _online: QModelSpec
