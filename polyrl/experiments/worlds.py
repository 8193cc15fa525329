"""The environment that `--env` names: gymnasium's, an Atari game with its preprocessing, or one that is in the graph only."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

from polyrl.envs import GymEnvironment
from polyrl.envs.compiled import CompiledEnvironment, compiled_environment
from polyrl.envs.compiled.registry import ENVIRONMENTS
from polyrl.envs.factory import registered
from polyrl.envs.gym import EnvLike
from polyrl.experiments import cli, games
from polyrl.experiments.settings import read
from polyrl.flags.games import PARAMETERS as GAME
from polyrl.replay import Replay
from polyrl.validation import check_keywords, keyword_names, suggestion

ATARI = "ALE/"
VERSION = "-v5"

ELSEWHERE = {
    "num_envs": "Use --num_envs.",
    "wrappers": "Use --wrappers.",
    "vectorization_mode": "Use --env_backend=async.",
    "timeout": "Use --env_timeout; an argument of the environment by this name needs a function: --env=module:function.",
    "restarts": "Use --env_restarts; an argument of the environment by this name needs a function: --env=module:function.",
    "env_id": "Use --env.",
    "render_mode": "Use --mode=record, which chooses it.",
}
"""What is no argument of the environment here, and what to use."""


def is_game(params: Any) -> bool:
    """Whether the environment is an Atari game."""
    return params["env"].startswith(ATARI)


def complete_version() -> None:
    """Makes of an `--env` without a version the newest one, which is what is meant, and what a run's parameters then name."""
    env_id = cli.FLAGS.env
    if ":" in env_id or env_id in ENVIRONMENTS or env_id.startswith(ATARI):
        return
    with contextlib.suppress(ValueError):  # Who makes the environment says what is wrong with it.
        if re.search(r"-v\d+$", env_id) is None:
            cli.FLAGS.env = registered(env_id).id


def useless_flags(params: Any) -> str | None:
    """What is given on the command line and not read for this environment, as an error says it; None if nothing is."""
    names, other = (("wrappers", "env_kwargs"), "an Atari game") if is_game(params) else (GAME, "no Atari game")
    given = " and ".join(f"--{name}" for name in names if cli.FLAGS[name].present)
    return f"{given}: no effect with --env={params['env']}, which is {other}. Leave it out." if given else None


def environments(params: dict[str, Any]) -> tuple[EnvLike, EnvLike]:
    """What to train on, run by `--env_backend`, and what to evaluate on: gymnasium's, whatever is trained on, where it has it.

    Raises:
        ValueError: if the backend does not have the environment, or its package is not installed.
    """
    env_id = params["env"]
    if is_game(params):
        # Rewards are clipped by the model, as those of all environments.
        return games.environments(_game(params), params, clip_rewards=False)
    if is_in_graph_only(env_id):
        return _in_graph(params, params["num_envs"]), _in_graph(params, 1)
    evaluated = _of_gymnasium(params)
    return cli.environment(env_id, params, **_given(params)), evaluated


def check_names(params: dict[str, Any]) -> None:
    """Refuses an environment or wrappers that do not exist, whatever would run them.

    Raises:
        ValueError: with the nearest name.
    """
    if is_game(params):
        games.check_name(_game(params))
    elif not is_in_graph_only(params["env"]):
        _of_gymnasium(params)


def _in_graph(params: dict[str, Any], num_envs: int) -> CompiledEnvironment:
    env_id, backend = params["env"], cli.FLAGS["env_backend"]
    if params["wrappers"] or (backend.present and backend.value != "compiled"):
        flag = "--wrappers" if params["wrappers"] else f"--env_backend={backend.value}"
        raise ValueError(f"{flag}: no effect with --env={env_id}, which is in the graph only. Leave it out.")
    arguments = _arguments(params)
    check_keywords(f"--env_kwargs: {env_id}", arguments, _without_num_envs(ENVIRONMENTS[env_id]), {})
    return compiled_environment(env_id, num_envs, **arguments)


def _of_gymnasium(params: dict[str, Any]) -> GymEnvironment:
    try:
        return GymEnvironment(params["env"], **_given(params))
    except TypeError as error:
        if params["env_kwargs"]:
            raise TypeError(f"--env_kwargs: {error}") from error
        raise
    except ValueError as error:
        if hint := suggestion(params["env"], filter(is_in_graph_only, ENVIRONMENTS)):
            raise ValueError(f"{error}{hint} That one is in the graph.") from error
        raise


def _given(params: dict[str, Any]) -> dict[str, Any]:
    """What `GymEnvironment` is given in addition to the id."""
    return {**({"wrappers": list(params["wrappers"])} if params["wrappers"] else {}), **_arguments(params)}


def _arguments(params: dict[str, Any]) -> dict[str, Any]:
    """The environment's arguments, of `--env_kwargs`.

    Raises:
        ValueError: for one that has a flag of its own, or is chosen by what the environment is used for.
    """
    entries = [entry.partition("=") for entry in params["env_kwargs"]]
    for name, _, value in entries:
        if name in ELSEWHERE:
            raise ValueError(f"--env_kwargs={name}={value}: {ELSEWHERE[name]}")
    return {name: read(value) for name, _, value in entries}


def _without_num_envs(kind: Callable[..., Any]) -> list[str]:
    return [name for name in keyword_names(kind) if name != "num_envs"]


def _game(params: dict[str, Any]) -> str:
    return str(params["env"]).removeprefix(ATARI).removesuffix(VERSION)


def is_in_graph_only(env_id: str) -> bool:
    """Whether gymnasium has no such environment: the names of those that it has end with a version."""
    return env_id in ENVIRONMENTS and "-v" not in env_id


def memory(params: dict[str, Any]) -> Replay:
    """The replay memory that the hyper-parameters describe; of a game it stores each frame once."""
    if not is_game(params):
        return cli.memory(params)
    games.use_system_allocator()
    return cli.memory(params, games.FRAME_STACK)
