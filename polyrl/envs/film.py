"""Episodes as pictures: `clips` plays them in any environment that can be rendered, a `Film` keeps what `render` gives."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from polyrl.envs.atari import AtariEnvironment
from polyrl.envs.backends import EnvpoolEnvironment
from polyrl.envs.compiled import CompiledEnvironment
from polyrl.envs.compiled.registry import ENVIRONMENTS
from polyrl.envs.gym import EnvLike, GymEnvironment
from polyrl.validation import sentence

MODE = "rgb_array"
FPS = 30.0
"""Pictures in a second where an environment does not say."""

MOST_BYTES = 1_000_000_000
"""What the pictures of an episode may take; beyond it every second one is left out."""


class Clip(NamedTuple):
    """An episode: pictures uint8 `[h, w, 3]` from its first state on, how many are shown in a second, and what it gave."""

    frames: list[np.ndarray]
    fps: float
    reward: float
    length: int


class Film(gymnasium.Wrapper):
    """Renders the states of an environment, and keeps the pictures of the episode that ended last.

    Pictures that would take more than `MOST_BYTES` are thinned: every second one is left out, and from then on only every
    second one is rendered, so that the video keeps its length in seconds.

    Args:
        env: was made with `render_mode="rgb_array"`.
        fps: how many steps are a second; None: as the environment's metadata says.

    Raises:
        ValueError: from `reset` and `step`, if `render` needs a package that is missing, fails, or gives no picture.
    """

    def __init__(self, env: gymnasium.Env, fps: float | None = None):
        super().__init__(env)
        declared = (env.metadata or {}).get("render_fps")
        self._fps = float(fps if fps is not None else declared or FPS)
        self._running: list[np.ndarray] = []
        self._reward, self._length, self._every = 0.0, 0, 1
        self._ended: Clip | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        result = self.env.reset(seed=seed, options=options)
        self._reward, self._length, self._every = 0.0, 0, 1
        self._running = [self._picture()]
        return result

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._reward, self._length = self._reward + float(reward), self._length + 1
        if self._length % self._every == 0:
            self._running.append(self._picture())
            if len(self._running) > max(2, MOST_BYTES // max(self._running[0].nbytes, 1)):
                self._running, self._every = self._running[::2], 2 * self._every
        if terminated or truncated:
            self._ended = Clip(self._running, self._fps / self._every, self._reward, self._length)
        return observation, reward, terminated, truncated, info

    def take(self) -> Clip:
        """The episode that ended last; it is not kept any longer."""
        assert self._ended is not None, "No episode has ended."
        clip, self._ended = self._ended, None
        return clip

    def _picture(self) -> np.ndarray:
        try:
            picture = self.env.render()
        except (ImportError, gymnasium.error.DependencyNotInstalled) as error:
            raise ValueError(
                f"To render {_name(self.env)} a Python package is needed that cannot be imported: {sentence(error)} "
                "`pip install 'polyrl[video]'` installs what most of gymnasium's environments need."
            ) from error
        except Exception as error:  # Whatever a graphics library raises, as where it finds no display.
            raise ValueError(f"{_name(self.env)} cannot be rendered: {type(error).__name__}: {error}") from error
        array = np.asarray(picture)
        found = f"{type(picture).__name__} {array.dtype} {array.shape}"
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] != 3 or not array.size:
            raise ValueError(
                f"{_name(self.env)} gives no pictures: its render() returned {found}; "
                f"expected an array uint8 [h, w, 3], as with render_mode={MODE!r}."
            )
        return array.copy()  # Environments may draw the next one into the same array.


_HOW = (
    "What is recorded has pictures: its class takes an argument render_mode and keeps it as self.render_mode, and with "
    f"{MODE!r} its render() returns an array uint8 [h, w, 3]. docs/tutorial.md has one."
)


def clips(env: EnvLike, episodes: int, play: Callable[[EnvLike, str], Any]) -> Iterator[Clip]:
    """Episodes as they end, of one instance of an environment, see `filmed`.

    Args:
        env: as for `Agent.train`.
        episodes: how many.
        play: `play(env, stream)` plays one episode in the open environment; `stream` names the random stream of its seed.
    """
    with filmed(env) as (opened, film):
        for index in range(episodes):
            play(opened, f"video/{index}")
            yield film.take()


@contextlib.contextmanager
def filmed(env: EnvLike) -> Iterator[tuple[EnvLike, Film]]:
    """Opens one instance of an environment that is rendered, and the film of it; for a `with` statement.

    It has been reset and rendered once, so that whatever is missing is known before anything is played. What is in the graph
    or in envpool is gymnasium's environment of that id. An instance of the caller's is used as it is, and stays open.

    Raises:
        ValueError: if there is none that can be rendered, or a package is missing.
    """
    _quieten_pygame()
    opened, film = _opened(env)
    try:
        opened.reset(seed=0)
        yield opened, film
    finally:
        if not isinstance(env, gymnasium.Env):
            opened.close()


def _quieten_pygame() -> None:
    """Keeps pygame's greeting off stdout, and, where there is no display to look for, its complaint about that off stderr."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")


def _opened(env: EnvLike) -> tuple[gymnasium.Env | VectorEnv, Film]:
    if isinstance(env, AtariEnvironment):
        films: list[Film] = []

        def kept(one: gymnasium.Env) -> Film:
            films.append(Film(one, fps=60.0 / env.frame_skip))
            return films[-1]

        return env.open_rendered(kept), films[0]
    try:
        made = env if isinstance(env, gymnasium.Env) else _rendering(env).make()
    except (TypeError, gymnasium.error.Error) as error:  # It does not take render_mode.
        raise ValueError(f"env={env!r} cannot be recorded: with render_mode={MODE!r}, {sentence(error)} {_HOW}") from error
    if made.render_mode != MODE:
        if made is not env:
            made.close()
        how = f"make it with render_mode={MODE!r}" if made is env else f"its render_mode is {made.render_mode!r}"
        raise ValueError(f"{_name(made)} cannot be recorded: {how}. {_HOW}")
    film = Film(made)
    return film, film


def _rendering(env: EnvLike) -> GymEnvironment:
    """How to make an environment of gymnasium's with pictures, for an environment of any kind."""
    if isinstance(env, CompiledEnvironment):
        ids = [env_id for env_id, make in ENVIRONMENTS.items() if make is type(env) and "-v" in env_id]
        if not ids:
            raise ValueError(
                f"{type(env).__name__} is in the graph only, where nothing is rendered; it cannot be recorded. --mode=infer, "
                "or Agent.predict, gives its steps as text."
            )
        return _rendering(ids[0])
    if isinstance(env, EnvpoolEnvironment):
        return _rendering(env.env_id)
    if isinstance(env, (str, EnvSpec)):
        env = GymEnvironment(env)
    if not isinstance(env, GymEnvironment):
        raise ValueError(f"env={env!r} cannot be recorded; give an id, a GymEnvironment, or one environment of gymnasium's.")
    kwargs = dict(env.kwargs)
    if isinstance(env.env_id, (str, EnvSpec)) or _takes_mode(env.env_id):
        kwargs["render_mode"] = MODE
    return GymEnvironment(env.env_id, wrappers=env.wrappers, **kwargs)


def _name(env: gymnasium.Env) -> str:
    return str(env) if env.spec is None else env.spec.id


def _takes_mode(make: Any) -> bool:
    """Whether a class or function takes `render_mode`; if it does not, what it makes may have one nevertheless."""
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(p.name == "render_mode" or p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
