"""`QPolicy`: acts by the action values that a network gives."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from polyrl.policies import network
from polyrl.policies.value import ValuePolicy


class QPolicy(ValuePolicy):
    """Draws actions from `softmax(q / temperature)`, where `q_network` gives `q` `[B, A]`. See `ValuePolicy`."""

    def _values(self, observation: Any, step_type: Any, policy_state: Any) -> tuple[tf.Tensor, Any]:
        return network.call(self._q_network, observation, step_type, policy_state)
