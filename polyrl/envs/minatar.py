"""MinAtar (Young & Tian 2019): five Atari games on boards of 10 by 10, as gymnasium environments.

The games are those of the package `minatar`. Its own gymnasium environment takes no seed as gymnasium does, so that no episode
of it can be repeated; this one does, and can be saved in mid-episode.
"""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Discrete

from polyrl.envs.backends import import_package
from polyrl.validation import check_float, suggestion

GAMES = ("asterix", "breakout", "freeway", "seaquest", "space_invaders")
NAMESPACE = "MinAtar/"
_CONSTANT = ("random", "channels", "action_map")
"""What a game has that no step changes, or, the random numbers, what does not belong to it."""


class MinAtarEnv(gymnasium.Env[np.ndarray, Any]):
    """A game of MinAtar. Observations are bool `[10, 10, channels]`, one channel for each kind of object.

    The defaults are the protocol of Young & Tian 2019, but for the actions, of which they have all six in each game. An
    episode ends with the game; there is no limit of steps.

    Args:
        game: one of `GAMES`.
        use_minimal_action_set: only the actions that do something in the game, as the ids with `-v1`; else all six, `-v0`.
        sticky_action_prob: probability that a step repeats the action before it.
        difficulty_ramping: whether the games that can become harder as they go on do so.

    Raises:
        ValueError: for an unknown game, or if the package is not installed.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    checkpoint_state_is_whole = True

    def __init__(
        self,
        game: str,
        use_minimal_action_set: bool = True,
        sticky_action_prob: float = 0.1,
        difficulty_ramping: bool = True,
        render_mode: str | None = None,
    ):
        if game not in GAMES:
            raise ValueError(f"game={game!r} is not of MinAtar; use one of {', '.join(GAMES)}.{suggestion(str(game), GAMES)}")
        minatar = import_package("minatar", f"game={game!r}", "minatar", "another environment")
        sticky = check_float("sticky_action_prob", sticky_action_prob, 0.0, 1.0)
        self._game = minatar.Environment(game, sticky, bool(difficulty_ramping))
        self._actions = self._game.minimal_action_set() if use_minimal_action_set else list(range(self._game.num_actions()))
        self.action_space = Discrete(len(self._actions))
        self.observation_space = Box(0, 1, tuple(self._game.state_shape()), np.bool_)
        self.render_mode = render_mode
        self._bits: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._use_random()
        self._game.reset()
        self._game.last_action = 0  # The package keeps that of the episode before, which a sticky first step would repeat.
        return self._game.state(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._use_random()
        reward, terminated = self._game.act(self._actions[int(action)])
        return self._game.state(), float(reward), bool(terminated), False, {}

    def render(self) -> np.ndarray | None:
        """The board as uint8 `[160, 160, 3]`, one colour for each channel; the last channel that a place has is seen."""
        if self.render_mode is None:
            return None
        state = self._game.state()
        hues = 2 * np.pi * (np.arange(state.shape[-1])[:, np.newaxis] / state.shape[-1] + np.array([0, 1 / 3, 2 / 3]))
        colours = np.concatenate([np.zeros([1, 3]), 155 + 100 * np.cos(hues)]).astype(np.uint8)
        seen = (state * np.arange(1, state.shape[-1] + 1)).max(axis=-1)
        return colours[seen].repeat(16, axis=0).repeat(16, axis=1)

    def get_checkpoint_state(self) -> dict[str, Any]:
        """All that the next steps depend on but the random numbers, which gymnasium keeps."""
        game = {name: value for name, value in vars(self._game.env).items() if name not in _CONSTANT}
        return {"last_action": self._game.last_action, "game": copy.deepcopy(game)}

    def set_checkpoint_state(self, state: dict[str, Any]) -> None:
        """Gives it back."""
        self._game.last_action = state["last_action"]
        vars(self._game.env).update(copy.deepcopy(state["game"]))

    def _use_random(self) -> None:
        """Has the game draw from this environment's random numbers, whose generator a seed or a checkpoint replaces."""
        bits = self.np_random.bit_generator
        if self._bits is not bits:
            self._bits = bits
            self._game.random = self._game.env.random = np.random.RandomState(bits)


def specs() -> dict[str, EnvSpec]:
    """The environments by id: the ten that the package would register."""
    found = {}
    for game in GAMES:
        for version, minimal in enumerate((False, True)):
            env_id = f"{NAMESPACE}{game.title().replace('_', '')}-v{version}"
            kwargs = {"game": game, "use_minimal_action_set": minimal}
            found[env_id] = EnvSpec(env_id, "polyrl.envs.minatar:MinAtarEnv", kwargs=kwargs)
    return found
