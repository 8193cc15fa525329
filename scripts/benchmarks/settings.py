"""What is trained in each row: one description that polyrl's worker and those of its peers all read."""

from __future__ import annotations

import argparse
import dataclasses


@dataclasses.dataclass(frozen=True)
class Setting:
    """A task and its sizes. Steps are environment steps, summed over parallel environments.

    Attributes:
        algorithm: `'dqn'` or `'c51'`.
        env: gymnasium's id; or `'Blank'`, which shows and does nothing.
        episode_length: steps of each episode of `'Blank'`; None: endless.
        step_seconds: how long a step of `'Blank'` computes, as a simulator in C++ does.
        actions: of `'Blank'`.
        atoms: of C51.
        compiled: whether polyrl runs the environment in its graph.
        num_envs: parallel environments.
        hidden: units of the dense layers, for MinAtar after a convolution; for Atari the network of Mnih et al. 2015.
        precision: what polyrl's network for Atari computes in.
        batch_size: transitions of an update.
        update_frequency: steps for each update.
        memory_size: transitions that the replay memory keeps.
        first_update: steps before the first update.
        target_update_frequency: updates between two copies to the target network.
        warm_up: steps before the clock starts; everything learns by then, and is compiled: polyrl uses XLA from its 1,000th
            update on.
        seconds: how long it is timed.
    """

    algorithm: str = "dqn"
    env: str = "CartPole-v1"
    episode_length: int | None = None
    step_seconds: float = 0.0
    actions: int = 2
    atoms: int = 51
    compiled: bool = False
    num_envs: int = 1
    hidden: tuple[int, ...] = (64, 64)
    precision: str = "float32"
    batch_size: int = 64
    update_frequency: int = 1
    memory_size: int = 50_000
    first_update: int = 1_000
    target_update_frequency: int = 500
    warm_up: int = 2_500
    seconds: float = 10.0

    @property
    def atari(self) -> bool:
        """Whether states are Atari's images."""
        return self.env == "Pong"

    @property
    def boards(self) -> bool:
        """Whether states are MinAtar's boards."""
        return self.env.startswith("MinAtar/")


LEARNING_RATE = 2.5e-4
DISCOUNT = 0.99
EPSILON = 0.05
CLIP_GRADIENTS = 10.0
MIN_Q, MAX_Q = 0.0, 200.0
FRAME_STACK = 4
FILTERS, KERNEL_SIZE = 16, 3
PRIORITIZED_SIZE, PRIORITIZED_BATCH = 1_000_000, 64

ONE = Setting()
COMPILED = dataclasses.replace(ONE, compiled=True)
LARGER = dataclasses.replace(COMPILED, hidden=(120, 84))
PONG = dataclasses.replace(
    ONE, env="Pong", batch_size=32, update_frequency=4, memory_size=10_000, first_update=200, warm_up=400, seconds=12
)

SETTINGS = {
    "cartpole_dqn": ONE,
    "cartpole_dqn_8envs": dataclasses.replace(ONE, num_envs=8),
    "cartpole_c51": dataclasses.replace(ONE, algorithm="c51"),
    "cartpole_dqn_120x84": dataclasses.replace(ONE, hidden=LARGER.hidden),
    "cartpole_c51_120x84": dataclasses.replace(ONE, algorithm="c51", hidden=LARGER.hidden),
    "cartpole_compiled": COMPILED,
    "cartpole_compiled_120x84": LARGER,
    # No update before there is a batch; 100,000 steps are some 800 updates.
    "cartpole_compiled_128envs": dataclasses.replace(
        LARGER, num_envs=128, batch_size=1_024, update_frequency=128, first_update=1_024, warm_up=100_000
    ),
    "endless": dataclasses.replace(ONE, env="Blank"),
    "one_step_episodes": dataclasses.replace(ONE, env="Blank", episode_length=1),
    # An environment that takes about as long as an update.
    "simulator": dataclasses.replace(ONE, env="Blank", episode_length=500, step_seconds=0.002, hidden=(512, 512)),
    "growing": dataclasses.replace(COMPILED, env="Blank", first_update=2_048, warm_up=4_096, seconds=4.0),
    "growing_c51": dataclasses.replace(COMPILED, algorithm="c51", env="Blank", first_update=2_048, warm_up=4_096, seconds=4.0),
    # One convolution of 16 filters and a dense layer, as Young & Tian 2019 have them.
    "minatar": dataclasses.replace(ONE, env="MinAtar/Breakout-v1", batch_size=32, hidden=(128,)),
    "pong": PONG,
    "pong_bfloat16": dataclasses.replace(PONG, precision="bfloat16"),
}


SIZES = ("num_envs", "batch_size", "update_frequency", "memory_size", "first_update", "actions", "atoms")
"""What the command line may change of a setting, beside the units."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments that all training workers have in common."""
    arguments = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("setting", choices=SETTINGS, help="what is trained")
    arguments.add_argument("--startup", action="store_true", help="measure the seconds to the first update's end instead")
    arguments.add_argument("--seconds", type=float, help="how many seconds it is timed (default: as in the setting)")
    arguments.add_argument("--warm_up", type=int, help="environment steps before that (default: as in the setting)")
    for name in SIZES:
        arguments.add_argument(f"--{name}", type=int, help="(default: as in the setting)")
    arguments.add_argument("--units", type=int, help="of each of two dense layers (default: as in the setting)")
    return arguments


def chosen(arguments: argparse.Namespace) -> Setting:
    """The setting that the arguments ask for."""
    setting = SETTINGS[arguments.setting]
    given = {name: getattr(arguments, name) for name in ("seconds", "warm_up", *SIZES)}
    given["hidden"] = None if arguments.units is None else (arguments.units, arguments.units)
    return dataclasses.replace(setting, **{name: value for name, value in given.items() if value is not None})
