"""Rainbow: the parts of C51 and DQN together (Hessel et al. 2018)."""

from __future__ import annotations

from typing import Any

from polyrl.models.categorical_dqn import CategoricalDQNModel


class RainbowModel(CategoricalDQNModel):
    """C51 with double Q-learning, dueling heads and noise in their weights, which explores in place of epsilon.

    The other two parts are the memory's: `PrioritizedReplay(size, batch_size, n_step=3)`. Takes the arguments of
    `CategoricalDQNModel`; those that make it Rainbow have other defaults, and each can be switched off: `double=False`,
    `noisy=False`, `dueling=None`. A torso with noise is `mlp(units, noisy=True)`.
    """

    def __init__(self, *args: Any, double: bool = True, noisy: bool = True, **arguments: Any):
        super().__init__(*args, double=double, noisy=noisy, **arguments)
