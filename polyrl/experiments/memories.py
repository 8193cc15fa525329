"""Whether a model of the family remembers earlier states, and the memory that it learns from, by flags."""

from __future__ import annotations

from typing import Any

from polyrl import networks
from polyrl.experiments import cli, worlds
from polyrl.flags.memory import NONE
from polyrl.replay import PrioritizedSequenceReplay, Replay, RolloutMemory, SequenceReplay

RECURRENT = ("recurrent_units", "sequence_length", "burn_in")
"""The flags that have an effect on recurrent models only."""


def cell(params: Any) -> str | None:
    """The recurrent layer's: as `--recurrent` says; without it, of R2D2 an LSTM. None: there is none."""
    if params["recurrent"] is None:
        return "lstm" if params["model"] == "r2d2" else None
    return None if params["recurrent"] == NONE else params["recurrent"]


def useless_flags(params: Any) -> str | None:
    """What is given on the command line and has no effect, as an error says it; None if nothing is."""
    unread = RECURRENT if cell(params) is None else ("sequence_length",) if params["model"] == "pqn" else ()
    given = " and ".join(f"--{name}" for name in unread if cli.FLAGS[name].present)
    if cell(params) is not None:
        if worlds.is_game(params):
            return f"--recurrent: sequences of stacked frames are not supported; --env={params['env']} stacks them."
        if params["demos"] is not None:
            return "--demos: demonstrations are single transitions, and a recurrent model learns from sequences."
        why = "a rollout is a sequence of --update_frequency / --num_envs steps"
        return f"{given}: no effect with --model=pqn, where {why}. Leave it out." if given else None
    return f"{given}: no effect without --recurrent=lstm or gru." if given else None


def torso(params: Any, below: Any) -> Any:
    """A torso, which ends with the recurrent layer if there is one."""
    kind = cell(params)
    return below if kind is None else networks.recurrent(below, params["recurrent_units"], kind)


def memory(params: dict[str, Any]) -> Replay:
    """The memory that the model learns from."""
    size, batch_size = params["memory_size"], params["batch_size"]
    if params["model"] == "pqn":
        return _rollouts(params["update_frequency"], batch_size)
    if cell(params) is None:
        return worlds.memory(params)
    how = {"sequence_length": params["sequence_length"], "n_step": params["n_step"]}
    if not params["prioritized"]:
        return SequenceReplay(size, batch_size, **how)
    names = {"alpha": "priority_exponent", "beta": "importance_exponent", "beta_steps": "importance_steps"}
    return PrioritizedSequenceReplay(size, batch_size, **how, **{name: params[flag] for name, flag in names.items()})


def _rollouts(size: int, batch_size: int) -> RolloutMemory:
    if size % batch_size:
        raise ValueError(
            f"--update_frequency={size} is the size of a rollout with --model=pqn: give a multiple of "
            f"--batch_size={batch_size} environment steps, or begin with --config=cartpole_pqn."
        )
    return RolloutMemory(size, batch_size)
