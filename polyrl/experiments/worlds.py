"""The environment that `--env` names: gymnasium's, an Atari game with its preprocessing, or one that is in the graph only."""

from __future__ import annotations

from typing import Any

from polyrl.envs import GymEnvironment
from polyrl.envs.compiled import compiled_environment
from polyrl.envs.compiled.registry import ENVIRONMENTS
from polyrl.envs.gym import EnvLike
from polyrl.experiments import cli, games
from polyrl.flags.games import PARAMETERS as GAME
from polyrl.replay import Replay
from polyrl.validation import suggestion

ATARI = "ALE/"
VERSION = "-v5"


def is_game(params: Any) -> bool:
    """Whether the environment is an Atari game."""
    return params["env"].startswith(ATARI)


def useless_flags(params: Any) -> str | None:
    """What is given on the command line and not read for this environment, as an error says it; None if nothing is."""
    names, other = (("wrappers",), "an Atari game") if is_game(params) else (GAME, "no Atari game")
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
    given = _wrappers(params)
    if is_in_graph_only(env_id):
        backend = cli.FLAGS["env_backend"]
        if given or (backend.present and backend.value != "compiled"):
            flag = "--wrappers" if given else f"--env_backend={backend.value}"
            raise ValueError(f"{flag}: no effect with --env={env_id}, which is in the graph only. Leave it out.")
        return compiled_environment(env_id, params["num_envs"]), compiled_environment(env_id)
    evaluated = _of_gymnasium(params)
    return cli.environment(env_id, params, **given), evaluated


def check_names(params: dict[str, Any]) -> None:
    """Refuses an environment or wrappers that do not exist, whatever would run them.

    Raises:
        ValueError: with the nearest name.
    """
    if is_game(params):
        games.check_name(_game(params))
    elif not is_in_graph_only(params["env"]):
        _of_gymnasium(params)


def _of_gymnasium(params: dict[str, Any]) -> GymEnvironment:
    try:
        return GymEnvironment(params["env"], **_wrappers(params))
    except ValueError as error:
        if hint := suggestion(params["env"], filter(is_in_graph_only, ENVIRONMENTS)):
            raise ValueError(f"{error}{hint} That one is in the graph.") from error
        raise


def _wrappers(params: dict[str, Any]) -> dict[str, Any]:
    return {"wrappers": list(params["wrappers"])} if params["wrappers"] else {}


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
