"""`PolicyNetwork`: an online network as the policies call it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from polyrl.models.label_values import check_index
from polyrl.models.q_network import QModelSpec, QNetwork
from polyrl.networks.unrolling import Unroll, unrolling
from polyrl.policies import TensorSpec


class PolicyNetwork(tf.Module):
    """Gives what a policy asks of its `q_network`; its variables are those of the Q network.

    Attributes:
        num_atoms: of a distribution over returns; set by its head.
        state_spec: of what recurrent layers remember, `[H]`; `()` without such layers.

    Args:
        network: the Q network.
        mode: of its graph.
        output: what the policy is given of a `QModelSpec`.
        num_states: the shape of one state, or the number of discrete states.
    """

    num_atoms: int

    def __init__(
        self,
        network: QNetwork,
        mode: str,
        output: Callable[[QModelSpec], Any],
        num_states: tuple[int, ...],
    ):
        super().__init__(name="policy_network")
        self.network = network
        self._mode, self._output, self._num_states = mode, output, num_states
        size = network.state_size
        self.state_spec = TensorSpec([size], tf.float32, "network_state") if size > 0 else ()

    def __call__(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> tuple[Any, Any]:
        """The output for an observation `[B, ...]`, and what recurrent layers remember afterwards, `[B, H]`."""
        state = observation["state"] if isinstance(observation, Mapping) else observation
        check_index("observation", state, self._num_states)
        if self.state_spec == ():
            return self._output(self.network(observation, self._mode)), network_state
        with unrolling(Unroll(network_state)) as forward:
            spec = self.network(observation, self._mode)
        return self._output(spec), forward.states
