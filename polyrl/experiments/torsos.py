"""The torso of a model of the family: by the flag `--torso`, or by the shape of the states."""

from __future__ import annotations

from typing import Any

from polyrl import networks
from polyrl.configs import InitializerConfig
from polyrl.experiments import cli
from polyrl.flags.torso import PARAMETERS, READS
from polyrl.networks.torsos import SMALLEST_IMAGE


def kind(params: Any, num_states: Any) -> str:
    """The name of the torso: as `--torso` says, or by the number of discrete states or the shape of a state."""
    if params["torso"] != "auto":
        return params["torso"]
    if isinstance(num_states, int):
        return "embedding"
    if len(num_states) != 3:
        return "mlp"
    return "nature_cnn" if min(num_states[:2]) >= SMALLEST_IMAGE else "cnn"


def useless_flags(params: Any, num_states: Any) -> str | None:
    """What is given on the command line and not read by the torso, as an error says it; None if nothing is."""
    name = kind(params, num_states)
    given = " and ".join(f"--{flag}" for flag in PARAMETERS if flag not in ("torso", *READS[name]) and cli.FLAGS[flag].present)
    states = f"{num_states} discrete states" if isinstance(num_states, int) else f"states of the shape {num_states}"
    chosen = "" if params["torso"] == name else f", which is chosen for {states}"
    return f"{given}: no effect with --torso={name}{chosen}. Leave it out." if given else None


def torso(params: Any, num_states: Any, noisy: bool, initializer: InitializerConfig | None) -> networks.SameInEveryMode:
    """The torso that the hyper-parameters describe, for a number of discrete states or the shape of a state."""
    units = [int(size) for size in params["units"]]
    shared: dict[str, Any] = {"noisy": noisy, "initializer": initializer}
    name = kind(params, num_states)
    if name == "nature_cnn":
        return networks.nature_cnn(**shared)
    if name == "impala_cnn":
        return networks.impala_cnn(width=params["width"], **shared)
    shared["layer_norm"] = params["layer_norm"]
    if name == "cnn":
        filters = [int(number) for number in params["filters"]]
        return networks.cnn(filters, units, categories=params["categories"], **shared)
    if name == "embedding":
        if not isinstance(num_states, int):
            raise ValueError(f"--torso=embedding is for discrete states; here states have the shape {num_states}.")
        return networks.embedding_mlp(num_states, units=units, **shared)
    return networks.mlp(units, normalize_inputs=params["normalize_inputs"], flatten=True, **shared)
