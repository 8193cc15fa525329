"""`EnvMaker`: makes new gymnasium environments, here or in worker processes, and refuses what is not a new environment."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import multiprocessing
import pickle
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec, find_highest_version, get_env_id, load_env_creator, parse_env_id
from gymnasium.vector.utils import CloudpickleWrapper

from polyrl.envs.checked_env import CheckedEnv
from polyrl.envs.contract import check_has_spaces
from polyrl.envs.packages import import_for
from polyrl.envs.processes import ProcessVectorEnv
from polyrl.errors import add_note
from polyrl.own_modules import import_own, own_place
from polyrl.validation import check_keywords, keyword_names, sentence, suggestion

_MADE = "_polyrl_made"
_OWN = " One of your own is 'module:Id-v0', or 'module:name' of a class or function that makes it."


class SameInstanceError(ValueError):
    """A callable that should make a new environment returned one that it, or another, had returned before."""


@dataclasses.dataclass(frozen=True)
class EnvMaker:
    """Makes one new `gymnasium.Env` with each call.

    Args:
        name: what the errors call it, as `env_id=<class 'MyEnv'>`.
        make: returns the environment.
        always_new: `make` is known to make a new one with each call, as a class does.

    Raises:
        TypeError: if `make` returns something that is not a `gymnasium.Env`.
        ValueError: if the environment needs a package that cannot be imported.
        SameInstanceError: if `make` returns an instance that an `EnvMaker` has given before. It is not closed.
    """

    name: str
    make: Callable[[], gymnasium.Env]
    always_new: bool

    def __call__(self) -> gymnasium.Env:
        try:
            env = self.make()
        except (ImportError, gymnasium.error.DependencyNotInstalled) as error:
            message = f"{self.name} needs a Python package that cannot be imported: {sentence(error)}{_extra(str(error))}"
            raise ValueError(message) from error
        except Exception as error:
            if isinstance(error, TypeError) and (why := _unbound(self.make)):
                raise TypeError(
                    f"{self.name} cannot be made without arguments: {why}. Give them, as GymEnvironment(MyEnv, level=3), or a "
                    "function that makes it; on the command line --env_kwargs=level=3, or module:function."
                ) from error
            if isinstance(error, TypeError) and (name := _refused(self.make, error)):
                raise TypeError(f"{self.name} does not take the argument {name!r}: {sentence(error)}") from error
            add_note(error, f"{self.name} raised this while it was made{own_place(error)}.")
            raise
        if not isinstance(env, gymnasium.Env):
            raise TypeError(f"{self.name} returned {env!r}; expected one new gymnasium.Env.")
        attributes = vars(env.unwrapped)
        # With the instance's identity: a deep copy of an environment is a new one.
        if attributes.get(_MADE) == id(env.unwrapped):
            raise SameInstanceError(
                f"{self.name} returned the same environment again: {env}. Each call must make a new one: pass a class or a "
                "function that makes it inside, as `lambda: MyEnv()`. An instance that is open already is passed as it is, "
                "without GymEnvironment."
            )
        check_has_spaces(env)
        attributes[_MADE] = id(env.unwrapped)
        return env

    def make_many(self, num_envs: int) -> list[gymnasium.Env]:
        """`num_envs` new environments with the same spaces.

        Raises:
            ValueError: if their spaces differ.
        """
        envs: list[gymnasium.Env] = []
        try:
            for _ in range(num_envs):
                envs.append(self())
                self._check_spaces(envs[0], envs[-1])
        except SameInstanceError:
            raise  # Those before are perhaps the caller's own.
        except BaseException:
            for env in envs:
                env.close()
            raise
        return envs

    def open_async(self, num_envs: int, timeout: float | None = None, restarts: int = 0) -> ProcessVectorEnv:
        """`num_envs` new environments, each in a process of its own, which reset in the same step.

        Raises:
            ValueError: if the environments cannot be made in other processes, as pickle fails.
            BrokenEnvironmentError: if a process ends before its environment is made.
        """
        if multiprocessing.get_start_method() != "fork":
            self._check_picklable()
        if not self.always_new:
            # Worker processes would hide that they work on copies of one instance.
            for env in self.make_many(2):
                env.close()
        makes = [functools.partial(_in_worker, self, index) for index in range(num_envs)]
        return ProcessVectorEnv(makes, self.name, timeout, restarts)

    def _check_picklable(self) -> None:
        try:
            pickle.dumps(CloudpickleWrapper(self))  # As ProcessVectorEnv does.
        except Exception as error:
            raise ValueError(
                f"vectorization_mode='async' sends {self.name} and its arguments to worker processes, but they cannot be "
                f"pickled: {error}. Make what cannot be pickled inside of the class or function, or use "
                "vectorization_mode='sync'."
            ) from error

    def _check_spaces(self, first: gymnasium.Env, other: gymnasium.Env) -> None:
        for kind in ("observation_space", "action_space"):
            if getattr(first, kind) != getattr(other, kind):
                raise ValueError(
                    f"{self.name} made environments with different spaces: {kind} is {getattr(first, kind)} and "
                    f"{getattr(other, kind)}; environments that step together need the same."
                )


def _unbound(make: Any) -> str | None:
    """Which arguments a call without any more lacks; None if it lacks none, or it cannot be known."""
    try:
        signature = inspect.signature(getattr(make, "make", make))
    except (TypeError, ValueError):
        return None
    try:
        signature.bind()
    except TypeError as error:
        return str(error)
    return None


def _refused(make: Any, error: TypeError) -> str | None:
    """Which of the arguments that it was given an environment did not take, as the error says; None if it is another error."""
    found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    given = getattr(getattr(make, "make", make), "keywords", {})
    return found[1] if found is not None and found[1] in given else None


def named(env_id: Any) -> Any:
    """The class or function that `'module:function'` names, if its module has it; anything else as it is."""
    if not isinstance(env_id, str):
        return env_id
    module, _, name = env_id.rpartition(":")
    made = getattr(import_own("env_id", env_id), name, None) if module else None
    return made if callable(made) else env_id


def registered(env_id: str | EnvSpec) -> EnvSpec:
    """The spec of what `gymnasium.make` takes: an id, with a module to import before it (`'module:Id-v0'`) or without a
    version (the newest one), or a spec. Ids of MinAtar and MiniGrid need no module before them.

    Raises:
        ValueError: if there is none; the message names the nearest known one. Also if it is of an optional package that is not
            installed.
    """
    if isinstance(env_id, EnvSpec):
        return env_id
    module, _, name = env_id.rpartition(":")
    try:
        if module:
            import_own("env_id", env_id)
        elif (spec := import_for(name)) is not None:
            return spec
        namespace, base, version = parse_env_id(name)
        newest = find_highest_version(namespace, base)
        if newest is not None and (version is None or version < newest):
            _tell_version(env_id, name, get_env_id(namespace, base, newest))
        chosen = newest if version is None and name not in gymnasium.registry else None
        return gymnasium.spec(name if chosen is None else get_env_id(namespace, base, chosen))
    except gymnasium.error.Error as error:
        own = [] if not module else [key for key, value in vars(sys.modules[module]).items() if callable(value)]
        hint = suggestion(name, [*own, *gymnasium.registry])
        also = f" The module {module!r} has no class or function {name!r} either." if module else _OWN
        if isinstance(getattr(sys.modules.get(module), name, None), gymnasium.Env):
            hint, also = "", f" {module}.{name} is an open environment; name the class, or a function that makes one."
        why = str(error).split(" Did you mean")[0] if hint else str(error)
        raise ValueError(f"env_id={env_id!r} is unknown to gymnasium: {why}{hint}{also}") from error


def check_arguments(env_id: str | EnvSpec | Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Raises a TypeError for an argument that an id's environment, a class or a function does not take, with the nearest one.

    What cannot be known passes: of an environment whose package is missing, or that takes whatever is given.
    """
    spec = registered(env_id) if isinstance(env_id, (str, EnvSpec)) else None
    make: Any = env_id if spec is None else spec.entry_point
    if not given or make is None:
        return
    try:
        make = load_env_creator(make) if isinstance(make, str) else make
        parameters = inspect.signature(make).parameters.values()
    except (ImportError, gymnasium.error.Error, AttributeError, TypeError, ValueError):
        return  # gymnasium's own error for a missing package is no ImportError.
    if all(parameter.kind is not inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        of_make = [] if spec is None else [name for name in keyword_names(gymnasium.make) if name != "id"]
        check_keywords(f"env_id={env_id!r}", given, [*keyword_names(make), *of_make], {})


def _tell_version(env_id: str, name: str, newest: str) -> None:
    """A warning for an old version, or none in an id, as by `gymnasium.make`."""
    is_known, has_version = name in gymnasium.registry, re.search(r"-v\d+$", name) is not None
    if not is_known and not has_version:
        text = f"names no version; the newest, {newest!r}, is used"
    elif is_known and has_version:
        text = f"is not the newest version, which is {newest!r}"
    else:
        return
    _warn_once(f"env_id={env_id!r} {text}. Results of different versions cannot be compared.")


@functools.cache
def _warn_once(text: str) -> None:
    """A warning in the first of the places that look at an id; Python would show it again after other filters were set."""
    warnings.warn(text, stacklevel=1)


def _extra(message: str) -> str:
    """The extra of polyrl that installs what gymnasium misses, if it has one of the same name."""
    named = re.search(r"gymnasium\[(box2d|mujoco)\]", message)
    return f" `pip install 'polyrl[{named[1]}]'` does the same." if named else ""


def _in_worker(make: EnvMaker, index: int) -> gymnasium.Env:
    return CheckedEnv(make(), index)
