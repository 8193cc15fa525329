"""`CheckedEnv`: an environment whose contract is checked in vector environments that are not `LockstepVectorEnv`."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium
from gymnasium.vector import SyncVectorEnv, VectorEnv

from polyrl.envs.contract import Contract
from polyrl.envs.states import get_states, set_states, unknown_layers
from polyrl.envs.whole_states import get_whole_state, is_whole, set_whole_state


class CheckedEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment whose `Contract` is checked, for vector environments that are not polyrl's own.

    It copies an episode's last observation and info: gymnasium keeps them by reference, so that an environment which writes
    into one buffer would overwrite them when it resets.
    """

    KEEPS_NO_STATE = True  # See polyrl.envs.whole_states.

    def __init__(self, env: gymnasium.Env[Any, Any], index: int):
        super().__init__(env)
        self._contract, self._index = Contract(env, index), index

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        try:
            observation, info = self._contract.reset(seed=seed, options=options)
        except Exception as error:
            self._contract.note(error)
            raise
        return observation, dict(info)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        try:
            observation, reward, terminated, truncated, info = self._contract.step(action)
        except Exception as error:
            self._contract.note(error)
            raise
        if terminated or truncated:
            observation, info = copy.deepcopy((observation, info))
        return observation, reward, terminated, truncated, dict(info)

    def get_layer_states(self) -> dict[str, Any]:
        """What the environment and its wrappers keep, for a checkpoint; requested by name from a worker process."""
        return get_states(self.env)

    def set_layer_states(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Gives it back; `states` are those of all environments."""
        set_states(self.env, states[self._index] if self._index < len(states) else {})

    def unknown_layers(self) -> list[str]:
        """Wrappers that may keep something which is not known; requested by name from a worker process."""
        return unknown_layers(self.env)

    def layers_are_whole(self) -> bool:
        """Whether the environment can be saved in mid-episode; this and the next two are requested from a worker process."""
        return is_whole(self.env)

    def get_whole_state(self) -> dict[str, Any]:
        """All that the environment's next steps depend on."""
        return get_whole_state(self.env)

    def set_whole_state(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Gives it back; `states` are those of all environments."""
        set_whole_state(self.env, states[self._index])


@contextlib.contextmanager
def checked(vector: VectorEnv) -> Iterator[None]:
    """Inside of the `with` block, the environments of a `SyncVectorEnv` that the caller opened are `CheckedEnv`s."""
    inner: Any = vector.unwrapped
    envs = inner.envs if isinstance(inner, SyncVectorEnv) else None
    if envs is not None:
        inner.envs = [CheckedEnv(env, index) for index, env in enumerate(envs)]
    try:
        yield
    finally:
        if envs is not None:
            inner.envs = envs
