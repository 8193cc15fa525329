"""IQN: implicit quantile networks (Dabney et al. 2018b)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import tensorflow as tf

from polyrl import ops
from polyrl.models.heads import PLAIN, Streams
from polyrl.models.keywords import QModelArguments
from polyrl.models.q_network import QModelSpec
from polyrl.models.qr_dqn import QuantileHead, QuantileModel
from polyrl.networks import QuantileEmbedding
from polyrl.networks.layers import product_dense
from polyrl.networks.quantile_embedding import NUM_COSINES
from polyrl.validation import check_float, check_int

if TYPE_CHECKING:
    from typing_extensions import Unpack


class ImplicitQuantileHead(QuantileHead):
    """The quantile of each action's return at any fraction: random ones in training, even ones elsewhere."""

    def __init__(
        self,
        num_actions: int,
        dueling: str | bool | None,
        embedding: dict[str, int],
        make: Streams = PLAIN,
        risk_level: float = 1.0,
    ):
        super().__init__(num_actions, dueling, make, risk_level=risk_level)
        self._embedding = embedding

    def __call__(self, outputs: tf.Tensor) -> QModelSpec:
        embedding = QuantileEmbedding(**self._embedding, product=not self._on_products, dtype=tf.float32, name="fractions")
        embedded, fractions = embedding(outputs)
        inputs = (outputs, embedded) if self._on_products else embedded
        advantage, value, quantiles = self.streams(inputs)  # [B, A, N], [B, 1, N], [B, A, N]
        q = tf.reduce_mean(quantiles, axis=2)
        return QModelSpec(outputs, advantage, value, q, quantiles=quantiles, fractions=fractions)

    @property
    def _on_products(self) -> bool:
        """Whether each stream is one layer that multiplies by the torso's output itself."""
        return not (self._make.units or self._make.noisy)

    def _stream(self, outputs: Any, actions: int, name: str) -> tf.Tensor:
        if self._on_products:
            torso, embedded = outputs
            return product_dense(torso, embedded, actions, initializer=self._make.initializer, name=name, dtype=tf.float32)
        return tf.transpose(self._make(outputs, actions, name), [0, 2, 1])


class IQNModel(QuantileModel):
    """IQN: the quantile function of each action's return, learned at random fractions.

    Takes the arguments of `BaseQModel` but `loss_config` (the loss is the quantile Huber loss), and:

    Args:
        num_samples: fractions for each state in an update, of the online and the target network; N and N' in the paper.
        num_policy_samples: fractions to act by, K in the paper: random ones in training, even ones in evaluation.
        num_cosines: of the embedding.
        kappa: where the Huber loss turns from a square to a line, in units of the action values; 0: it is a line.
        risk_level: of the policy that acts in PREDICT mode: it goes by the mean of the worst returns, as many as have this
            probability together; 1.0: by the mean of all.
    """

    OWN_LOSS: ClassVar[str | None] = "IQN is the quantile Huber loss"

    def __init__(
        self,
        *args: Any,
        num_samples: int = 64,
        num_policy_samples: int = 32,
        num_cosines: int = NUM_COSINES,
        kappa: float = 1.0,
        risk_level: float = 1.0,
        **arguments: Unpack[QModelArguments],
    ):
        super().__init__(*args, **arguments)
        self.num_samples = check_int("num_samples", num_samples, minimum=1)
        self.num_policy_samples = check_int("num_policy_samples", num_policy_samples, minimum=1)
        self.num_cosines = check_int("num_cosines", num_cosines, minimum=1)
        self.kappa = check_float("kappa", kappa, 0.0)
        self.risk_level = check_float("risk_level", risk_level, ops.SMALLEST_RISK_LEVEL, 1.0)

    def _build_head(self) -> ImplicitQuantileHead:
        embedding = {name: getattr(self, name) for name in ("num_samples", "num_policy_samples", "num_cosines")}
        return ImplicitQuantileHead(self.num_actions, self.dueling, embedding, self._streams, self.risk_level)
