"""`AtariEnvironment`: Atari 2600 games by name; the task is the same with each package that can run them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from gymnasium.wrappers import AtariPreprocessing, TimeLimit

from polyrl.envs.backends import UNLIMITED, EnvpoolPool, import_package
from polyrl.envs.environment import Environment
from polyrl.envs.frame_stack import FrameStack
from polyrl.envs.same_step import SameStepVectorEnv, Stepped
from polyrl.validation import check_float, check_int, suggestion

BACKENDS = ("gymnasium", "ale", "envpool")
SCREEN = (84, 84)


class AtariEnvironment(Environment):
    """A game of the Arcade Learning Environment (Bellemare et al. 2013) with the usual preprocessing.

    Observations are uint8 `[84, 84, frame_stack]`: grayscale, the pixelwise maximum of the last two frames of each step, the
    newest last; the first frame of an episode is repeated. One step is `frame_skip` frames with the same action.

    The defaults are those of Machado et al. 2018 that later work kept (Dopamine, Castro et al. 2018): sticky actions, episodes
    that end with the game and not with a life, and the minimal action set. The limit of 108,000 frames (30 minutes of play) is
    that of Dopamine and of Hessel et al. 2018; Machado et al. have 18,000, and start without no-ops: `noop_max=0`.
    Mnih et al. 2015 is `sticky_actions=0.0, terminal_on_life_loss=True, clip_rewards=True`, the last two for training only.

    With `clip_rewards` or `terminal_on_life_loss` too, the episodes that training and evaluation report are whole games with
    unclipped rewards: `info["episode"]` holds them, in the form of gymnasium's `RecordEpisodeStatistics`.

    Args:
        game: as in `'ALE/Pong-v5'`: `'Pong'`, `'MsPacman'`.
        num_envs: how many run in parallel while training.
        backend: what runs it. `'gymnasium'`: ale-py, one after the other. `'ale'`: ale-py's threads. `'envpool'`: envpool's.
        frame_skip: frames per step.
        sticky_actions: probability that a frame repeats the previous frame's action.
        noop_max: a game starts with a uniformly random number of no-op frames, up to this; at least one except with `'ale'`.
        terminal_on_life_loss: a lost life terminates the episode; the next episode continues the same game.
        full_action_space: all 18 actions instead of the minimal set of the game.
        max_episode_frames: a game is truncated after this many frames; counted in whole steps, without the no-ops.
        clip_rewards: rewards are clipped to [-1, 1].
        frame_stack: frames per observation.

    Raises:
        ValueError: for an unknown game or backend, an option that the backend does not have, or a package that is not
            installed.
    """

    def __init__(
        self,
        game: str,
        num_envs: int = 1,
        backend: str = "gymnasium",
        *,
        frame_skip: int = 4,
        sticky_actions: float = 0.25,
        noop_max: int = 30,
        terminal_on_life_loss: bool = False,
        full_action_space: bool = False,
        max_episode_frames: int = 108_000,
        clip_rewards: bool = False,
        frame_stack: int = 4,
    ):
        if backend not in BACKENDS:
            raise ValueError(f"backend={backend!r} is unknown; use one of {BACKENDS}.")
        self.game = game
        self.num_envs = check_int("num_envs", num_envs, minimum=1)
        self.backend = backend
        self.frame_skip = check_int("frame_skip", frame_skip, minimum=1)
        self.sticky_actions = check_float("sticky_actions", sticky_actions, 0.0, 1.0)
        self.noop_max = check_int("noop_max", noop_max, minimum=0)
        self.terminal_on_life_loss = bool(terminal_on_life_loss)
        self.full_action_space = bool(full_action_space)
        self.max_steps = check_int("max_episode_frames", max_episode_frames, minimum=self.frame_skip) // self.frame_skip
        self.clip_rewards = bool(clip_rewards)
        self.frame_stack = check_int("frame_stack", frame_stack, minimum=1)
        self._rom = self._check_backend()

    @functools.cached_property
    def num_actions(self) -> int:
        """Number of actions of the game."""
        env = self.open(1)
        try:
            return int(env.single_action_space.n)  # type: ignore[attr-defined]
        finally:
            env.close()

    def open(self, num_envs: int | None = None) -> VectorEnv:
        _import_games()  # This may be another process than that in which it was made.
        number = self.num_envs if num_envs is None else num_envs
        frames = {"gymnasium": self._gymnasium, "ale": self._ale, "envpool": self._envpool}[self.backend](number)
        return FrameStack(_Games(frames, self.terminal_on_life_loss, self.clip_rewards), self.frame_stack)

    def open_rendered(self, wrap: Callable[[gymnasium.Env], gymnasium.Env]) -> VectorEnv:
        """One new instance of gymnasium's backend that is rendered in colour, whatever `backend` is.

        Args:
            wrap: what the game is wrapped in, within the stack of frames; it sees one step as one, and the game's rewards.

        Raises:
            ValueError: if a package is missing.
        """
        import_package("cv2", "What renders an Atari game", "atari", "another environment")
        _import_games()
        return FrameStack(_Games(self._gymnasium(1, wrap), self.terminal_on_life_loss, self.clip_rewards), self.frame_stack)

    # The backends: single frames, rewards and episodes of the game itself, reset in the same step. -------------------------

    def _gymnasium(self, num_envs: int, wrap: Callable[[gymnasium.Env], gymnasium.Env] | None = None) -> VectorEnv:
        def one() -> gymnasium.Env:
            env = gymnasium.make(
                f"ALE/{self.game}-v5",
                frameskip=1,
                repeat_action_probability=self.sticky_actions,
                full_action_space=self.full_action_space,
                max_num_frames_per_episode=UNLIMITED,
                disable_env_checker=True,
                render_mode=None if wrap is None else "rgb_array",
            )
            env = AtariPreprocessing(env, noop_max=self.noop_max, frame_skip=self.frame_skip)
            env = TimeLimit(env, self.max_steps)
            return env if wrap is None else wrap(env)

        return SyncVectorEnv([one] * num_envs, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)

    def _ale(self, num_envs: int) -> VectorEnv:
        return SameStepVectorEnv(_AlePool(self, self._rom, num_envs), self.max_steps)

    def _envpool(self, num_envs: int) -> VectorEnv:
        pool = EnvpoolPool(
            self._rom,
            num_envs,
            info=("lives",),
            stack_num=1,
            frame_skip=self.frame_skip,
            noop_max=self.noop_max,
            use_fire_reset=False,
            repeat_action_probability=self.sticky_actions,
            full_action_space=self.full_action_space,
        )
        return SameStepVectorEnv(pool, self.max_steps)

    def _check_backend(self) -> str:
        """Checks that the backend is installed and has the game; returns the backend's name of the game."""
        needed_by = f"backend={self.backend!r}"
        _import_games()
        games = [name[len("ALE/") : -len("-v5")] for name in gymnasium.registry if name.startswith("ALE/")]
        if self.game not in games:
            raise ValueError(
                f"game={self.game!r} is unknown; names are as in 'ALE/MsPacman-v5'.{suggestion(str(self.game), games)}"
            )
        if self.backend == "gymnasium":
            import_package("cv2", needed_by, "atari", "backend='ale'")
        if self.backend != "envpool":
            return str(gymnasium.spec(f"ALE/{self.game}-v5").kwargs["game"])
        envpool = import_package("envpool", needed_by, "envpool", "backend='ale'")
        known = {name.lower(): name for name in envpool.list_all_envs()}
        if f"{self.game}-v5".lower() not in known:
            raise ValueError(f"game={self.game!r} is not in envpool; use backend='ale' or 'gymnasium'.")
        if self.noop_max < 1:  # envpool draws from 1 to noop_max.
            raise ValueError("envpool needs a noop_max of at least 1; use backend='ale' or 'gymnasium' for noop_max=0.")
        return known[f"{self.game}-v5".lower()]


def _import_games() -> None:
    """Makes the games' ids known to gymnasium, in this process."""
    ale_py = import_package("ale_py", "AtariEnvironment", "atari", "an environment that is not an Atari game")
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # It prints a banner otherwise.
    gymnasium.register_envs(ale_py)


class _AlePool:
    """The `Pool` of ale-py's `AtariVectorEnv`.

    Its own frame limit and same-step autoreset are not used: at the limit its final observation lacks the last frame of the
    step (ale-py 0.12.1).
    """

    def __init__(self, options: AtariEnvironment, rom: str, num_envs: int):
        vector_env = import_package("ale_py.vector_env", "backend='ale'", "atari", "backend='gymnasium'")
        self._env = vector_env.AtariVectorEnv(
            rom,
            num_envs,
            stack_num=1,
            frameskip=options.frame_skip,
            noop_max=options.noop_max + 1,  # ale-py draws from 0 to noop_max - 1.
            use_fire_reset=False,
            reward_clipping=False,
            repeat_action_probability=options.sticky_actions,
            full_action_space=options.full_action_space,
            max_num_frames_per_episode=UNLIMITED,
        )
        self.num_envs = num_envs
        self.observation_space = self._env.single_observation_space
        self.action_space = self._env.single_action_space

    def reset(self, seeds: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        frames, info = self._env.reset(seed=np.asarray(seeds))
        return frames, {"lives": info["lives"]}

    def reset_some(self, envs: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        mask = np.isin(np.arange(self.num_envs), envs)
        frames, info = self._env.reset(options={"reset_mask": mask})
        return frames[envs], {"lives": info["lives"][envs]}

    def step(self, actions: np.ndarray) -> Stepped:
        frames, reward, terminated, truncated, info = self._env.step(np.asarray(actions, np.int32))
        return Stepped(frames, reward, terminated, truncated, {"lives": info["lives"]})

    def close(self) -> None:
        self._env.close()


class _Games(VectorWrapper):
    """Frames as `[N, 84, 84]`; ends at lost lives and clipped rewards for the learner, whole games in `info["episode"]`.

    Args:
        env: returns `info["lives"]`.
        life_loss: a lost life terminates the episode; the frame after it is the first observation of the next one.
        clip: rewards are clipped to [-1, 1].
    """

    REPORTS_EPISODES = True

    def __init__(self, env: VectorEnv, life_loss: bool, clip: bool):
        super().__init__(env)
        self._life_loss, self._clip = life_loss, clip
        self.single_observation_space = Box(0, 255, SCREEN, np.uint8)
        self.observation_space = Box(0, 255, (self.num_envs, *SCREEN), np.uint8)
        self._lives = np.zeros(self.num_envs, np.int64)
        self._scores = np.zeros(self.num_envs, np.float64)
        self._lengths = np.zeros(self.num_envs, np.int64)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        frames, info = self.env.reset(seed=seed, options=options)
        self._lives = np.array(info["lives"])
        self._scores[:], self._lengths[:] = 0.0, 0
        return self._screens(frames), {"lives": self._lives}

    def step(self, actions: Any) -> tuple[np.ndarray, Any, Any, Any, dict[str, Any]]:
        observation, reward, terminated, truncated, game_info = self.env.step(actions)
        frames, lives, game_ended = self._screens(observation), np.array(game_info["lives"]), terminated | truncated
        self._scores += reward
        self._lengths += 1
        info: dict[str, Any] = {"lives": lives}
        # With no life left the game itself ends, in a few games some frames later: only that end counts then.
        lost = (lives < self._lives) & (lives > 0) & ~game_ended if self._life_loss else np.zeros_like(game_ended)
        self._lives = lives
        ended = game_ended | lost
        if ended.any():
            finals = np.full(self.num_envs, None, dtype=object)
            for index in np.flatnonzero(ended):
                finals[index] = frames[index].copy() if lost[index] else game_info["final_obs"][index].reshape(SCREEN)
            # Also where only a life was lost: `_episode` is False there.
            statistics = {"r": np.where(game_ended, self._scores, 0.0), "l": np.where(game_ended, self._lengths, 0)}
            info |= {"final_obs": finals, "_final_obs": ended, "episode": statistics, "_episode": game_ended}
            self._scores[game_ended], self._lengths[game_ended] = 0.0, 0
        reward = np.clip(reward, -1.0, 1.0) if self._clip else np.asarray(reward, np.float64)
        return frames, reward, terminated | lost, truncated, info

    def _screens(self, observation: np.ndarray) -> np.ndarray:
        return observation.reshape(self.num_envs, *SCREEN)
