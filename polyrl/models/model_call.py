"""`ModelCall`: what one call of a model has at hand."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from polyrl.engine import functional
from polyrl.engine.replicas import mean_over_replicas
from polyrl.models.gradients import ClippedGradients
from polyrl.models.q_network import QModelSpec
from polyrl.ops import LossOutput


@dataclasses.dataclass
class ModelCall:
    """One call of a model, from its beginning to its end: `BaseModel.current_call`.

    The steps of the template get what they need as arguments. This record carries what the signatures of polyaxon's methods
    have no room for, such as the tape behind `_build_train_op(loss)`. An override may use all of it. What is None has not been
    computed (yet), and nothing fails for want of it: panels of it are left out.

    Attributes:
        features: the features, as `_preprocess` returned them.
        labels: the labels, as `_preprocess` returned them; None to act.
        tape: in an update, recorded the forward pass and the loss: `tape.gradient(loss, variables)`. None elsewhere.
        online: the online network's output on `features`.
        states: what the online network's recurrent layers remember after each row, `[B, H]`; None without such layers.
        loss_output: the TD loss with its targets and errors, all `[B]`.
        gradients: in the order of the trainable variables, with their norms.
        regularisation: the losses of the torso's own regularisers in an update, scalars.
        scalars: what a loss leaves for TensorBoard in addition, scalars by tag, as `'train/clipped_mass'`; group `'loss'`.
        moved: non-trainable variables that the update changes, with their values after it: averages of batch normalisation.
    """

    features: Any
    labels: Mapping[str, tf.Tensor] | None = None
    tape: functional.GradientTape | None = None
    online: QModelSpec | None = None
    states: tf.Tensor | None = None
    loss_output: LossOutput | None = None
    gradients: ClippedGradients | None = None
    regularisation: list[tf.Tensor] = dataclasses.field(default_factory=list)
    scalars: dict[str, tf.Tensor] = dataclasses.field(default_factory=dict)
    moved: list[tuple[Any, tf.Tensor]] = dataclasses.field(default_factory=list)

    @property
    def acting(self) -> bool:
        """Whether this call is to act: it has no labels."""
        return self.labels is None

    @contextlib.contextmanager
    def watching(self, variables: Callable[[], Sequence[tf.Variable]]) -> Iterator[None]:
        """Inside of the `with` block, the tape, if there is one, records what the variables are used for."""
        if self.tape is None:
            yield
            return
        with self.tape:
            self.tape.watch(variables())
            yield

    def with_moved(self, train_op: Callable[[], tf.Tensor]) -> Callable[[], tf.Tensor]:
        """`train_op`, and before it what the forward pass found for non-trainable variables, `moved`."""
        if not self.moved:
            return train_op
        values = mean_over_replicas([value for _, value in self.moved])

        def both() -> tf.Tensor:
            for (variable, _), value in zip(self.moved, values, strict=True):
                variable.assign(value)
            return train_op()

        return both
