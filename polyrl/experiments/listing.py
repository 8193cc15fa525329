"""`--mode=list`: what a command line can name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable

import gymnasium
from rich.table import Table

from polyrl import models, networks, presets
from polyrl.configs import ExplorationConfig, LossConfig, OptimizerConfig
from polyrl.configs.base import known_configs
from polyrl.envs.compiled.registry import ENVIRONMENTS
from polyrl.experiments import tables
from polyrl.flags.model import MODELS
from polyrl.flags.torso import READS


def print_lists() -> None:
    """Prints models, presets, environments, networks, and the parts that `--set` can choose."""
    for title, head, rows in (
        ("models: --model", ("name", "class", "what it is"), _models()),
        ("presets: --config", ("name", "environment", "model", "environment steps"), _presets()),
        ("networks: --torso", ("name", "what it is", "flags it reads"), _torsos()),
        ("parts: --set", ("part", "kinds"), _parts()),
        ("environments: --env", ("where from", "ids"), _environments()),
    ):
        table = Table()
        for name in head:
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*row)
        tables.show(table, title)


def _models() -> Iterable[tuple[str, ...]]:
    for name, made in MODELS.items():
        yield name, made.class_name, _summary(getattr(models, made.class_name))


def _presets() -> Iterable[tuple[str, ...]]:
    for name in presets.NAMES:
        preset = presets.get(name)
        yield name, preset.env, preset.model, f"{preset.get('train_timesteps', 100_000):,}"


def _torsos() -> Iterable[tuple[str, ...]]:
    for name, flags in READS.items():
        function = {"embedding": "embedding_mlp"}.get(name, name)
        yield name, _summary(getattr(networks, function)), " ".join(f"--{flag}" for flag in flags)
    yield (
        "module:function",
        "Your own: a graph_fn(mode, features) of tf-keras layers.",
        "",
    )


def _parts() -> Iterable[tuple[str, ...]]:
    for part, base in (("optimizer", OptimizerConfig), ("exploration", ExplorationConfig), ("loss", LossConfig)):
        yield part, ", ".join(sorted(config.IDENTIFIER for config in known_configs(base)))


def _environments() -> Iterable[tuple[str, ...]]:
    yield "in the graph: --env_backend=compiled", ", ".join(ENVIRONMENTS)
    known = sorted(name for name, spec in gymnasium.registry.items() if spec.namespace is None and "/" not in name)
    newest = {name.rpartition("-v")[0]: name for name in known}
    yield "gymnasium", ", ".join(newest.values())
    yield "Atari, extra [atari]", "ALE/Pong-v5, ... (--mode=list does not list its games)"
    yield "MinAtar, extra [minatar]", ", ".join(f"MinAtar/{game}-v1" for game in _MINATAR)
    yield "MiniGrid, extra [minigrid]", "MiniGrid-Empty-5x5-v0, ... with --wrappers=minigrid.wrappers:ImgObsWrapper"
    yield "your own", "module:Id of a registered environment, or module:function that makes one"


_MINATAR = ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders")


def _summary(thing: object) -> str:
    """The first sentence of a docstring."""
    text = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
    return re.split(r"\.\s+(?=[A-Z`])", text)[0].rstrip(".") + "."  # A year goes on, as in "et al. 2015".
