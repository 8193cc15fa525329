"""The torso of a model of the family: by the flag `--torso`, or by the shape of the states."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, cast

from polyrl import networks
from polyrl.configs import InitializerConfig
from polyrl.estimators.threads import SMALL
from polyrl.experiments import cli, memories
from polyrl.flags.model import MODELS
from polyrl.flags.torso import PARAMETERS, READS
from polyrl.networks.quantile_embedding import NUM_COSINES
from polyrl.networks.torsos import SMALLEST_IMAGE
from polyrl.own_modules import import_name

GraphFn = Callable[[str, Any], Any]

IMAGES = ("cnn", "nature_cnn", "impala_cnn")
"""The torsos for images."""

WIDE = 512
"""Units of the dense layer that joins other keys to the networks for large images, as of the one below it."""


def kind(params: Any, num_states: Any) -> str:
    """The name of the torso: as `--torso` says, or by the number of discrete states or the shape of a state."""
    if params["torso"] != "auto":
        return params["torso"]
    if isinstance(num_states, int):
        return "embedding"
    if len(num_states) != 3:
        return "mlp"
    return "nature_cnn" if min(num_states[:2]) >= SMALLEST_IMAGE else "cnn"


def is_small(params: Any, num_states: Any) -> bool:
    """Whether no layer is known to be large enough to gain by several cores."""
    name = kind(params, num_states)
    if name not in ("mlp", "embedding", "cnn") or (name == "cnn" and not _is_image(num_states)):
        return False
    products: list[int] = []
    inputs = 1 if isinstance(num_states, int) else math.prod(num_states)
    if name == "cnn":
        products, inputs = _convolved(num_states, params)
    sizes = [inputs, *map(int, params["units"]), *map(int, params["head_units"])]
    if memories.cell(params) is not None:
        sizes.append(4 * params["recurrent_units"])  # Of an LSTM.
    products += [one * next_one for one, next_one in itertools.pairwise(sizes)]
    rows = params["batch_size"]
    if "num_samples" in MODELS[params["model"]].own:
        rows *= params["num_samples"]
        products.append(NUM_COSINES * int([inputs, *params["units"]][-1]))  # The embedding has the torso's last units.
    return rows * max(products, default=0) <= SMALL


def _convolved(image: tuple[int, int, int], params: Any) -> tuple[list[int], int]:
    """The multiplications of each convolution of a `cnn`, and how many numbers the last one gives."""
    height, width, channels = image
    channels *= params["categories"] or 1
    products = []
    for filters in map(int, params["filters"]):
        height, width = height - 2, width - 2
        products.append(height * width * 9 * channels * filters)
        channels = filters
    return products, height * width * channels


def check_name(params: Any) -> None:
    """Refuses a function of the user's that cannot be imported, or is none, with a ValueError."""
    if ":" in params["torso"]:
        _own(params["torso"])


def _own(name: str) -> GraphFn:
    function = import_name("--torso", name)
    if not callable(function) or isinstance(function, type):
        raise ValueError(f"--torso={name} is {function!r}; expected a function graph_fn(mode, features) that gives a tensor.")
    return cast(GraphFn, function)


def useless_flags(params: Any, num_states: Any) -> str | None:
    """What is given on the command line and not read by the torso, as an error says it; None if nothing is."""
    name = kind(params, num_states)
    given = " and ".join(
        f"--{flag}" for flag in PARAMETERS if flag not in ("torso", *READS.get(name, ())) and cli.FLAGS[flag].present
    )
    chosen = "" if params["torso"] == name else f", which is chosen for {_shown(num_states)}"
    return f"{given}: no effect with --torso={name}{chosen}. Leave it out." if given else None


def _is_image(num_states: Any) -> bool:
    return not isinstance(num_states, int) and len(num_states) == 3


def _shown(num_states: Any) -> str:
    return f"{num_states} discrete states" if isinstance(num_states, int) else f"states of the shape {num_states}"


def torso(
    params: Any, num_states: Any, noisy: bool, initializer: InitializerConfig | None, keys: Mapping[str, int | None]
) -> GraphFn:
    """The torso that the hyper-parameters describe, for a number of discrete states or the shape of a state.

    Keys of a Dict observation beside the state, as `polyrl.envs.other_keys` gives them, are read too: their numbers go into
    the dense layers, beside those of the state. A function of the user's reads what it will.
    """
    if ":" in params["torso"]:
        return _own(params["torso"])
    alone, below, above = _parts(params, num_states, {"noisy": noisy, "initializer": initializer})
    return networks.with_other_keys(below, above, keys) if keys else alone


def _parts(params: Any, num_states: Any, shared: dict[str, Any]) -> tuple[GraphFn, GraphFn | None, GraphFn]:
    """The torso of a state alone; and in two parts, what reads the state and the dense layers above it."""
    units = [int(size) for size in params["units"]]
    name = kind(params, num_states)
    if name in IMAGES and not _is_image(num_states):
        raise ValueError(f"--torso={name} is for images [h, w, c]; here are {_shown(num_states)}. Leave it out.")
    of_images = {**shared, "precision": params["precision"]}
    if name in ("nature_cnn", "impala_cnn"):
        is_nature = name == "nature_cnn"
        large = networks.nature_cnn(**of_images) if is_nature else networks.impala_cnn(width=params["width"], **of_images)
        return large, large, networks.mlp([WIDE], **shared)
    shared = {**shared, "layer_norm": params["layer_norm"]}
    dense = networks.mlp(units, **shared)
    if name == "cnn":
        filters = [int(number) for number in params["filters"]]
        more = {"categories": params["categories"], "layer_norm": params["layer_norm"]}
        images = functools.partial(networks.cnn, filters, **more, **of_images)
        return images(units=units), images(units=()), dense
    if name == "embedding":
        if not isinstance(num_states, int):
            raise ValueError(f"--torso=embedding is for discrete states; here states have the shape {num_states}.")
        embedding = functools.partial(networks.embedding_mlp, num_states, **shared)
        return embedding(units=units), embedding(units=()), dense
    vectors = networks.mlp(units, normalize_inputs=params["normalize_inputs"], flatten=True, **shared)
    return vectors, None, vectors
