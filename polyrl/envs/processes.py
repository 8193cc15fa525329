"""`ProcessVectorEnv`: gymnasium environments in a process each. One that fails is named, and none is left behind."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import CustomSpaceError
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import (
    batch_space,
    create_shared_memory,
    iterate,
    read_from_shared_memory,
)

from polyrl.envs.contract import UNSTORED
from polyrl.envs.lockstep import with_info
from polyrl.envs.worker import Failure, Worker
from polyrl.errors import BrokenEnvironmentError

logger = logging.getLogger("polyrl")

CLOSING_SECONDS = 5.0
"""How long environments may take to close before their processes are ended."""

HUNG_SECONDS = 1.0
"""The same for one that is in the middle of a call."""

_LOOK_SECONDS = 1.0
"""Seconds between two checks that a process that is waited for is alive."""


class ProcessVectorEnv(VectorEnv):
    """As gymnasium's `AsyncVectorEnv` with `AutoresetMode.SAME_STEP`; what a process does wrong is said by name.

    The processes ignore SIGINT and SIGHUP, which the owner answers, and end when the owner does.

    Args:
        makes: for each environment what makes it. All have the same spaces.
        name: what the errors call them.
        timeout: seconds that a step, a reset or another call may take in all environments; None: for ever.
        restarts: how often, in all, an environment that fails in a step is made again. Its episode is truncated at the state
            before the step, with a reward of 0.

    Raises:
        BrokenEnvironmentError: from each call, if an environment raises, or its process exits, is killed, or takes too long.
        ValueError: for environments with different spaces, or a space that has no place in shared memory.
    """

    answers_for_layers = True  # See polyrl.envs.states.

    def __init__(
        self,
        makes: Sequence[Callable[[], gymnasium.Env]],
        name: str,
        timeout: float | None = None,
        restarts: int = 0,
    ):
        self.num_envs, self._name, self._timeout = len(makes), name, timeout
        self._makes, self.restarts, self._restarted = makes, restarts, 0
        with contextlib.closing(makes[0]()) as env:
            self.metadata = {**env.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}
            self.render_mode = env.render_mode
            self.single_observation_space, self.single_action_space = env.observation_space, env.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._context = multiprocessing.get_context()
        space: Any = self.single_observation_space
        try:
            self._shared = create_shared_memory(space, n=self.num_envs, ctx=self._context)  # type: ignore[arg-type]
        except CustomSpaceError as error:
            raise ValueError(f"{name}: {space} has no place in the memory that processes share: {error}") from error
        self._observations: Any = read_from_shared_memory(space, self._shared, n=self.num_envs)
        self._workers: list[Worker] = []
        self._steps: int | None = None
        self._asked = ""
        self._seeds: list[int | None] = [None] * self.num_envs
        self._before: Any = None
        self._last_infos: list[Any] = [{}] * self.num_envs
        self._failed: BrokenEnvironmentError | None = None
        try:
            for index in range(self.num_envs):
                self._workers.append(Worker(self._context, index, makes[index], self._shared))
            for index in range(self.num_envs):
                self._check_spaces(self._answer(index, None))
        except BaseException:
            self.close(terminate=True)
            raise
        self._steps = 0

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        if seed is None or isinstance(seed, (int, np.integer)):
            seed = [None if seed is None else int(seed) + index for index in range(self.num_envs)]
        self._seeds = list(seed)
        answers = self._ask_all("reset", [{"seed": one, "options": options} for one in seed])
        infos: dict[str, Any] = {}
        for index, info in enumerate(answers):
            infos = with_info(self, infos, info, index) if info else infos
        self._note(answers)
        return self._observations, infos

    def step(self, actions: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        assert self._steps is not None
        self._steps += 1
        answers = self._ask_all("step", list(iterate(self.action_space, actions)))
        infos: dict[str, Any] = {}
        for index, (*_, info) in enumerate(answers):
            if "final_obs" in info:
                infos = self._add_info(infos, {"final_obs": info.pop("final_obs"), "final_info": {}}, index)
                infos["final_info"] = with_info(self, infos["final_info"], info.pop("final_info"), index)
            infos = with_info(self, infos, info, index) if info else infos
        rewards, terminated, truncated, last = zip(*answers, strict=True)
        self._note(last)
        flags = (np.array(terminated, np.bool_), np.array(truncated, np.bool_))
        return self._observations, np.array(rewards, np.float64), *flags, infos

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The attribute of each environment, called with the arguments if it can be called."""
        return tuple(self._ask_all("call", [(name, args, kwargs)] * self.num_envs))

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """The attribute of each environment."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Sets an attribute: to the values of a list or tuple, one for each environment, or to the same value in all."""
        values = values if isinstance(values, (list, tuple)) else [values] * self.num_envs
        if len(values) != self.num_envs:
            raise ValueError(f"values={values!r} must be {self.num_envs}, one for each environment; got {len(values)}.")
        self._ask_all("set", [(name, value) for value in values])

    def render(self) -> tuple[Any, ...]:
        return self.call("render")

    def close_extras(self, timeout: float = CLOSING_SECONDS, terminate: bool = False) -> None:
        """Closes the environments; ends the processes of those that hang, and with `terminate` all of them."""
        now = time.monotonic()
        for worker in self._workers:
            worker.hang_up()
        for index, worker in enumerate(self._workers):
            seconds = 0.0 if terminate else HUNG_SECONDS if worker.waited_for else timeout
            if not worker.end(now + seconds) and not (terminate or worker.waited_for):
                logger.warning("%s did not close, and its process was ended.", self._called(index))

    # Parts. -------------------------------------------------------------------------------------------------------------

    def _ask_all(self, command: str, data: Sequence[Any]) -> list[Any]:
        """The answer of each environment to the command, with data of its own; see `polyrl.envs.worker.serve`."""
        if self._failed is not None or any(worker.waited_for for worker in self._workers):
            where = "a call before was interrupted" if self._failed is None else str(self._failed).splitlines()[0]
            raise BrokenEnvironmentError(f"The environments of {self._name} cannot continue: {where}", step=self._steps)
        self._asked = command
        for worker, its in zip(self._workers, data, strict=True):
            worker.ask(command, its)
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        answers = []
        try:
            for index in range(self.num_envs):
                broken = None
                try:
                    answers.append(self._answer(index, deadline))
                except BrokenEnvironmentError as error:
                    if command != "step":
                        raise
                    broken = error
                if broken is not None:  # Outside of `except`: a new process would have the error as the context of its own.
                    answers.append(self._made_again(index, broken))
        except BrokenEnvironmentError as error:
            self._failed = error
            raise
        return answers

    def _answer(self, index: int, deadline: float | None) -> Any:
        worker = self._workers[index]
        while not worker.ready(_LOOK_SECONDS if deadline is None else min(_LOOK_SECONDS, deadline - time.monotonic())):
            if deadline is not None and time.monotonic() >= deadline:
                doing = worker.trace()
                raise self._error(index, f"did not answer within timeout={self._timeout} seconds", doing)
            if not worker.process.is_alive() and not worker.ready(0.0):
                break  # Though a process of its own keeps the pipe open.
        else:
            try:
                result, failure = worker.receive()
            except (EOFError, OSError):
                raise self._ended(index) from None
            if failure is None:
                return result
            if failure.error is not None:
                self._failed = self._error(index, failure.deed, failure.traceback)
                raise failure.error
            raise self._raised(index, failure)
        raise self._ended(index)

    def _raised(self, index: int, failure: Failure) -> BrokenEnvironmentError:
        status = int(failure.deed.rsplit(" ", 1)[1]) if failure.deed.startswith("exited") else None
        return self._error(index, failure.deed, failure.traceback, exit_status=status)

    def _ended(self, index: int) -> BrokenEnvironmentError:
        process = self._workers[index].process
        process.join(1.0)
        status = process.exitcode
        if status is None:
            return self._error(index, "closed its connection")
        if status >= 0:
            return self._error(index, f"exited with status {status}", exit_status=status)
        known = {int(one): one.name for one in signal.Signals}
        why = ", as the system does when memory runs out" if known.get(-status) == "SIGKILL" else ""
        return self._error(index, f"was killed by {known.get(-status, f'signal {-status}')}{why}", signal=-status)

    def _error(self, index: int, deed: str, trace: str = "", **details: int | None) -> BrokenEnvironmentError:
        whens = {"": "while it was made", "step": f"at its step {self._steps}", "reset": "at its reset"}
        when = whens.get(self._asked, f"in a call after {self._steps} steps")
        end = "" if self._steps is None else f" {UNSTORED}"
        rest = f"\nIn its process:\n{trace.rstrip()}" if trace else ""
        first, *others = deed.splitlines()
        first = first if first.endswith((".", "!", "?")) else f"{first}."
        message = "\n".join([f"{self._called(index)}, {when}, {first}{end}", *others])
        return BrokenEnvironmentError(f"{message}{rest}", env=index, step=self._steps, **details)

    def _called(self, index: int) -> str:
        return f"Environment {index} ({self._name})"

    def _check_spaces(self, spaces: tuple[Any, Any]) -> None:
        for kind, first, other in zip(
            ("observation_space", "action_space"),
            (self.single_observation_space, self.single_action_space),
            spaces,
            strict=True,
        ):
            if first != other:
                raise ValueError(
                    f"{self._name} made environments with different spaces: {kind} is {first} and {other}; environments that "
                    "step together need the same."
                )

    # Restarts. ----------------------------------------------------------------------------------------------------------

    def _note(self, infos: Sequence[Any]) -> None:
        """Keeps what the last step of an episode needs if an environment fails in the next one."""
        if self.restarts:
            self._before = [_copied(one) for one in iterate(self.observation_space, self._observations)]
            self._last_infos = list(infos)

    def _made_again(self, index: int, error: BrokenEnvironmentError) -> Any:
        """The answer to a step in which an environment failed, from a new one; raises the error if there is to be none."""
        if self._restarted >= self.restarts:
            raise error
        self._restarted += 1
        logger.warning("%s\nRestart %d of at most %d: its episode is truncated.", error, self._restarted, self.restarts)
        self._workers[index].hang_up()
        self._workers[index].end(time.monotonic() + HUNG_SECONDS)
        self._workers[index] = Worker(self._context, index, self._makes[index], self._shared)
        self._check_spaces(self._answer(index, None))
        seed = self._seeds[index]
        if seed is not None:  # Not that of the first episode, which would be played again.
            seed = int(np.random.SeedSequence([seed, self._restarted]).generate_state(1)[0]) >> 1
        self._workers[index].ask("reset", {"seed": seed, "options": None})
        info = self._answer(index, None if self._timeout is None else time.monotonic() + self._timeout)
        return 0.0, False, True, {"final_obs": self._before[index], "final_info": self._last_infos[index], **info}


def _copied(observation: Any) -> Any:
    if isinstance(observation, dict):
        return {key: np.array(value) for key, value in observation.items()}
    return np.array(observation)
