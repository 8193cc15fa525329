"""`Hook`: code that runs at named phases of training."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polyrl.envs import Episode
from polyrl.estimators.hooks.context import RunContext
from polyrl.summaries import Summaries
from polyrl.validation import suggestion

PHASES = (
    "begin",
    "after_pretraining",
    "after_update",
    "after_episode",
    "after_act",
    "after_summaries",
    "after_checkpoint",
    "end",
)

NEVER = 2**62
"""Environment steps that no run comes to."""

LATER = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
"""Tests for functions that do nothing when they are called."""


class Hook:
    """Override the phases you need; those left alone cost nothing.

    In one iteration of the loop the environments step, the transitions are stored, the updates are done, and the next actions
    are chosen. Then `after_update` (if there was one), `after_episode` (once for each that ended) and `after_act` run, for
    each phase all hooks in their order. A checkpoint that a hook requests is written after them all.

    With environments in the graph an iteration is 500 environment steps, or 100 of each environment if that is more.
    """

    def begin(self, run: RunContext) -> None:
        """Before the first iteration, after a checkpoint was restored."""

    def after_pretraining(self, run: RunContext) -> None:
        """In pre-training, after each call of up to 100 updates (and `after_update`); `run.timestep` is 0 still."""

    def after_update(self, run: RunContext) -> None:
        """In an iteration that did one or more gradient updates."""

    def after_episode(self, run: RunContext, episode: Episode) -> None:
        """For each episode that ended in this iteration, terminated or truncated."""

    def after_act(self, run: RunContext) -> None:
        """In every iteration: the environments stepped, the next actions are chosen."""

    def after_summaries(self, run: RunContext, summaries: Summaries) -> None:
        """After an iteration with the model's panels of an update that it did, if `request_summaries` was called before it."""

    def after_checkpoint(self, run: RunContext, path: Path) -> None:
        """After a checkpoint was written."""

    def end(self, run: RunContext) -> None:
        """After the last iteration, before the final checkpoint; not after an error."""

    def close(self) -> None:
        """Always, also after an error: give back what was taken."""

    def get_state(self) -> dict[str, Any]:
        """What a resumed run needs of this hook, as plain JSON values; `set_state` gets a tuple back as a list."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what `get_state` gave."""


class Cadence:
    """Decides when something recurring is due: by environment steps, by seconds, or by whichever of both comes first.

    By steps it is due when a multiple of `every_timesteps` is passed: a resumed run keeps the same rhythm.

    Args:
        every_timesteps: environment steps; None: not by steps.
        every_secs: seconds; None: not by time.
        max_share: the largest share of the run's time that what is done may take, as told to `took`: it is put off as long as
            it would take more. None: it is never put off.
        at_multiples: what is put off is left out until the next multiple of `every_timesteps`.
        free: so many of the first ones put nothing off, however long they take.

    Attributes:
        has_put_off: whether something that was due by steps has been put off.
    """

    def __init__(
        self,
        every_timesteps: int | None,
        every_secs: float | None = None,
        max_share: float | None = None,
        at_multiples: bool = False,
        free: int = 0,
    ):
        self._every_timesteps = every_timesteps
        self._every_secs = every_secs
        self._max_share = max_share
        self._at_multiples = at_multiples
        self._free, self._counts = free, free == 0
        self._not_before = time.monotonic()
        self.has_put_off = False
        self.start(0)

    def start(self, timestep: int) -> None:
        """Begins to count at `timestep`."""
        self._time = time.monotonic()
        self._count_from(timestep)

    def due(self, timestep: int) -> bool:
        """Whether it is time; counts on from here if so."""
        by_steps = timestep >= self._next
        if not by_steps and self._every_secs is None:
            return False  # In most of a run's steps; what is called in each of them has to be short.
        now = time.monotonic()
        by_time = self._every_secs is not None and now - self._time >= self._every_secs
        due = (by_steps or by_time) and now >= self._not_before
        self.has_put_off = self.has_put_off or (by_steps and not due)
        if due:
            self._free, self._counts = max(self._free - 1, 0), self._free == 0
            self.start(timestep)
        elif by_steps and self._at_multiples:
            self._count_from(timestep)
        return due

    def took(self, seconds: float) -> None:
        """Notes how long it took, or a part of it: parts add up."""
        if self._max_share is not None and self._counts:
            self._not_before = max(self._not_before, time.monotonic()) + seconds / self._max_share

    def _count_from(self, timestep: int) -> None:
        every = self._every_timesteps
        self._next = NEVER if every is None else (timestep // every + 1) * every


def checked_hooks(name: str, hooks: Any) -> list[Hook]:
    """The hooks as a list; None means no hooks.

    Raises:
        TypeError: for anything else, with its name; for a hook with a phase that does not exist, takes other arguments, is a
            coroutine or a generator, or belongs to the instance alone; or that gives a state and does not take it back.
        ValueError: for a hook that occurs twice.
    """
    if hooks is not None and (isinstance(hooks, (str, Hook)) or not isinstance(hooks, Sequence)):
        raise TypeError(f"{name}={hooks!r} must be a list or tuple of hooks.")
    for hook in hooks or ():
        if not isinstance(hook, Hook):
            hint = f" Make one: {hook.__name__}(...)." if isinstance(hook, type) and issubclass(hook, Hook) else ""
            raise TypeError(f"{name}: {hook!r} must be a Hook.{hint}")
        _check_methods(f"{name}: {type(hook).__name__}", type(hook))
        own = [phase for phase in PHASES if phase in vars(hook)]
        if own:
            raise TypeError(
                f"{name}: {type(hook).__name__}.{own[0]} is an attribute of the instance, and is never called: define it in "
                "the class."
            )
    if len({id(hook) for hook in hooks or ()}) < len(hooks or ()):
        raise ValueError(f"{name}: a hook occurs twice, and would run twice: {hooks!r}. Give it once, or make two.")
    return list(hooks or ())


def phases(hooks: Sequence[Hook]) -> dict[str, list[Callable[..., Any]]]:
    """The methods to call in each phase: a hook takes part in the phases that it overrides, in no others."""
    return {
        phase: [getattr(hook, phase) for hook in hooks if getattr(type(hook), phase) is not getattr(Hook, phase)]
        for phase in PHASES
    }


def check_returns_nothing(method: Callable[..., Any], value: Any) -> None:
    """A TypeError for True and False, by which callbacks of other libraries say whether to go on: here nobody reads them."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(
            f"{method.__qualname__} returned {value}, but a hook returns nothing: run.request_stop(reason) ends the run."
        )


def hook_states(hooks: Iterable[tuple[str, Hook]]) -> dict[str, Any]:
    """What the hooks, by name, need to be resumed; a TypeError for what is not a dict of plain JSON values."""
    states = {}
    for name, hook in hooks:
        states[name] = state = hook.get_state()
        try:
            json.dumps(state)
            plain = isinstance(state, Mapping) and _strings_as_keys(state)
        except (TypeError, ValueError, RecursionError):
            plain = False
        if not plain:
            raise TypeError(
                f"{type(hook).__name__}.get_state returned {_shown(state)}; expected a dict of plain JSON values with strings "
                "as keys, as a checkpoint notes it: float(x) of a NumPy number, x.tolist() of an array."
            )
    return states


def _strings_as_keys(value: Any) -> bool:
    """Whether all dicts in something that JSON can hold have strings as keys; others would come back as strings."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _strings_as_keys(item) for key, item in value.items())
    return not isinstance(value, (list, tuple)) or all(_strings_as_keys(item) for item in value)


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except (ValueError, RecursionError):  # An integer of thousands of digits, or a nest as deep.
        return f"a {type(value).__name__} that cannot be shown"


_SB3S = {f"_on_{when}" for when in ("step", "training_start", "training_end", "rollout_start", "rollout_end")}
"""What callbacks of stable-baselines3 override."""


def _check_methods(who: str, kind: type[Hook]) -> None:
    """Checks what a class defines in addition to `Hook`, or in place of it."""
    methods = (*PHASES, "close", "get_state", "set_state")
    spelt = {name.replace("_", "") for name in methods}
    for name in dir(kind):
        # As afterUpdate; a name such as _end is the hook's own affair.
        misspelt = not name.startswith("_") and name not in methods and name.replace("_", "").lower() in spelt
        if misspelt or name in _SB3S or (name.startswith(("before_", "after_", "on_")) and name not in PHASES):
            raise TypeError(f"{who}.{name} is never called; the phases are {', '.join(PHASES)}.{suggestion(name, methods)}")
    for name in methods:
        method, parameters = getattr(kind, name), list(inspect.signature(getattr(Hook, name)).parameters)
        try:
            inspect.signature(method).bind(*parameters)
        except TypeError as error:
            raise TypeError(f"{who}.{name} must take ({', '.join(parameters)}): {error}.") from error
        if any(test(method) for test in LATER):
            raise TypeError(f"{who}.{name} must be a plain function; nothing would run a coroutine or a generator.")
    gives, takes = kind.get_state is not Hook.get_state, kind.set_state is not Hook.set_state
    if gives is not takes:
        have, lack = ("get_state", "set_state") if gives else ("set_state", "get_state")
        raise TypeError(f"{who} defines {have} without {lack}: a resumed run would lose its state. Define both, or neither.")
