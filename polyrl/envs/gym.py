"""`GymEnvironment`: gymnasium environments by id, class or function. `open_env`: any environment as a vector environment."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv

from polyrl.envs.actions import action_spec
from polyrl.envs.checked_env import checked
from polyrl.envs.compiled import CompiledEnvironment, TensorVectorEnv
from polyrl.envs.environment import Environment
from polyrl.envs.factory import EnvMaker, check_arguments, named, registered
from polyrl.envs.in_use import UNNAMED, check_free, in_use
from polyrl.envs.lockstep import LockstepVectorEnv
from polyrl.envs.observations import check_observation_space
from polyrl.envs.wrapping import Wrap, Wrapped, found
from polyrl.validation import check_float, check_int, keyword_names

EnvLike = Environment | CompiledEnvironment | gymnasium.Env | VectorEnv | str | EnvSpec
"""What `open_env` takes."""


HINTS = {
    **dict.fromkeys(("n_envs", "num_env", "n_env", "num_environments", "number_of_envs"), "Use num_envs."),
    **dict.fromkeys(("asynchronous", "vec_env_cls"), "Use vectorization_mode, 'sync' or 'async'."),
    **dict.fromkeys(("wrapper", "wrapper_class", "wrapper_kwargs"), "Use wrappers, with functools.partial for arguments."),
    "seed": "Use Agent(config=RunConfig(seed=...)), of which the environments' seeds come.",
    "render": "Use render_mode='human'.",
}
"""What arguments of other libraries, which no environment takes, are called here."""


class GymEnvironment(Environment):
    """How to make as many instances of a gymnasium environment as are needed: by its id, or by a class or function.

    Args:
        env_id: what `gymnasium.make` takes: a registered id, as `'CartPole-v1'`, `'CartPole'` (the newest version) or
            `'my_package:MyEnv-v0'` (a module to import first), or an `EnvSpec`; or a callable (a class, a function, a
            `functools.partial`) that makes one new `gymnasium.Env` with each call, or its name, as `'my_package:make_env'`.
            What a callable returns is used as it is: no time limit is added.
        num_envs: how many run in parallel while training.
        vectorization_mode: `'sync'` steps them one after the other, `'async'` in processes of their own.
        timeout: with `'async'`, seconds that a step or a reset of them may take; None: for ever.
        restarts: with `'async'`, how often in all an environment that fails in a step is made again. Its episode is truncated
            at the state before the step, with a reward of 0.
        wrappers: what each environment is wrapped in, the innermost first: classes or functions that are given the environment
            alone, or their names, as `'minigrid.wrappers:ImgObsWrapper'`.
        **kwargs: passed to the environment, or to the callable.

    Raises:
        TypeError: if `env_id` is neither an id nor a callable, or for an argument that an id's environment does not take; from
            `open`, if the callable or a wrapper returns something that is not a `gymnasium.Env`.
        ValueError: for an unknown id or wrapper; the message names the nearest known one. From `open`, if the callable returns
            the same instance again, or environments with different spaces, or cannot be pickled for `'async'`.
        BrokenEnvironmentError: from `open` and what it returns, for an environment of `'async'` that raises an error, or whose
            process exits, is killed, or exceeds the timeout.
    """

    def __init__(
        self,
        env_id: str | EnvSpec | Callable[..., gymnasium.Env],
        num_envs: int = 1,
        vectorization_mode: str = "sync",
        timeout: float | None = None,
        restarts: int = 0,
        wrappers: Sequence[Wrap | str] = (),
        **kwargs: Any,
    ):
        env_id = named(env_id)
        self.env_id = env_id
        known = () if isinstance(env_id, (str, EnvSpec)) or not callable(env_id) else keyword_names(env_id)
        for name in kwargs:
            if name in HINTS and name not in known:
                raise TypeError(f"GymEnvironment got an unexpected keyword argument {name!r}. {HINTS[name]}")
        self.num_envs = check_int("num_envs", num_envs, minimum=1)
        if vectorization_mode not in ("sync", "async"):
            raise ValueError(f"vectorization_mode={vectorization_mode!r} is unknown; use 'sync' or 'async'.")
        self.vectorization_mode = vectorization_mode
        self.timeout = None if timeout is None else check_float("timeout", timeout, minimum=0.001)
        self.restarts = check_int("restarts", restarts, minimum=0)
        for name, value in (("timeout", timeout), ("restarts", restarts or None)):
            if value is not None and vectorization_mode == "sync":
                raise ValueError(
                    f"{name}={value} needs vectorization_mode='async': with 'sync' the environments run in this process, "
                    "which cannot end one. An argument of the environment by this name is given with functools.partial."
                )
        self.kwargs = kwargs
        if not isinstance(env_id, (str, EnvSpec)) and (
            not callable(env_id) or (isinstance(env_id, type) and not issubclass(env_id, gymnasium.Env))
        ):
            raise TypeError(
                f"env_id={env_id!r} must be a registered id, or a class or function that makes one gymnasium.Env. An instance "
                "that is open already is passed as it is, without GymEnvironment."
            )
        check_arguments(env_id, kwargs)
        self.wrappers = found(wrappers)  # Last: of an id whose package is missing more can be said.

    def open(self, num_envs: int | None = None) -> VectorEnv:
        """Opens `num_envs` new instances (by default the number given to the constructor)."""
        num_envs = self.num_envs if num_envs is None else num_envs
        if self.vectorization_mode == "sync":
            return LockstepVectorEnv(self._maker().make_many(num_envs))
        return self._maker().open_async(num_envs, self.timeout, self.restarts)

    def make(self) -> gymnasium.Env:
        """One new instance, single and without the checks of `open`."""
        maker = self._maker()
        # A callable that returns the caller's own instance again is refused before something is done to it.
        env, *others = maker.make_many(1 if maker.always_new else 2)
        for other in others:
            other.close()
        return env

    def _maker(self) -> EnvMaker:
        make, always_new = self.env_id, isinstance(self.env_id, type)
        if isinstance(make, (str, EnvSpec)):
            # Its spec: a worker process may not have registered the id.
            make, always_new = functools.partial(gymnasium.make, registered(make)), True
        made: Callable[[], gymnasium.Env] = functools.partial(make, **self.kwargs)
        made = Wrapped(made, self.wrappers) if self.wrappers else made
        return EnvMaker(f"env_id={self.env_id!r}", made, always_new)


@contextlib.contextmanager
def open_env(env: EnvLike, num_envs: int | None = None, purpose: str = UNNAMED) -> Iterator[VectorEnv]:
    """Opens an environment as a vector environment, and marks it as in use; use it in a `with` statement.

    At the end the mark goes, and what was opened here is closed. An instance that the caller opened stays open.

    Args:
        env: an id, an `EnvSpec`, a `GymEnvironment` or another `Environment`, a `CompiledEnvironment`, or an open
            instance (single or vector), which is used as it is.
        num_envs: how many instances to open; ignored for an open instance.
        purpose: what it is used for, as `'training'`; for the error of another `open_env` on the same instance.

    Yields:
        A vector environment with `AutoresetMode.SAME_STEP`.

    Raises:
        TypeError: for something that is not an environment, or for spaces that are not supported.
        ValueError: if the instance is in use already, also if it is wrapped or in a vector environment; or for a vector
            environment with another autoreset mode.
    """
    vector, is_new = as_vector(env, num_envs)
    check_free(vector, purpose)  # Comes first: an instance that is in use must not be closed.
    with contextlib.closing(vector) if is_new else contextlib.nullcontext(), in_use(vector, purpose), checked(vector):
        check_vector(vector)
        yield vector


def as_vector(env: EnvLike, num_envs: int | None) -> tuple[VectorEnv, bool]:
    """A vector environment, unchecked and unmarked, and whether it is new, so that it has to be closed."""
    if isinstance(env, (str, EnvSpec)):
        env = GymEnvironment(env)
    if isinstance(env, Environment):
        return env.open(num_envs), True
    if isinstance(env, CompiledEnvironment):
        return TensorVectorEnv(env, env.num_envs if num_envs is None else num_envs), True
    if isinstance(env, VectorEnv):
        return env, False
    if isinstance(env, gymnasium.Env):
        return LockstepVectorEnv([env]), False
    hint = f" Put a class or function into one: GymEnvironment({getattr(env, '__name__', env)})." if callable(env) else ""
    if isinstance(env, (np.ndarray, list, tuple, Mapping)):
        hint = " The action for a state is act(state)."
    if isinstance(env, (list, tuple)) and any(isinstance(each, (gymnasium.Env, str)) for each in env):
        hint = f" Several of one kind in parallel: GymEnvironment(make, num_envs={len(env)})."
    raise TypeError(
        f"env={env!r} must be an id, an EnvSpec, a GymEnvironment or another Environment, a CompiledEnvironment, or an open "
        f"gymnasium environment, single or vector.{hint}"
    )


def check_vector(env: VectorEnv) -> None:
    """Raises a ValueError for an autoreset mode other than SAME_STEP, a TypeError for spaces that are not supported."""
    mode = env.metadata.get("autoreset_mode")
    if mode != AutoresetMode.SAME_STEP:
        raise ValueError(
            f"The vector environment has autoreset_mode={mode}; make it with AutoresetMode.SAME_STEP "
            "(vector_kwargs={'autoreset_mode': AutoresetMode.SAME_STEP}), or pass its id."
        )
    action_spec(env.single_action_space)
    check_observation_space(env.single_observation_space, int(getattr(env.single_action_space, "n", 0)))
