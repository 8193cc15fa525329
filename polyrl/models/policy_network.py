"""`PolicyNetwork`: an online network as the policies call it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from polyrl.models.q_network import QModelSpec, QNetwork


class PolicyNetwork(tf.Module):
    """Gives what a policy asks of its `q_network`; its variables are those of the Q network.

    Args:
        network: the Q network.
        mode: of its graph.
        output: what the policy is given of a `QModelSpec`.
        num_atoms: of a distribution over returns.
    """

    def __init__(self, network: QNetwork, mode: str, output: Callable[[QModelSpec], Any], num_atoms: int | None = None):
        super().__init__(name="policy_network")
        self.network = network
        self._mode, self._output = mode, output
        if num_atoms is not None:
            self.num_atoms = num_atoms

    def __call__(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> tuple[Any, Any]:
        """The output for an observation `[B, ...]`, and the network's state, of which there is none."""
        return self._output(self.network(observation, self._mode)), network_state
