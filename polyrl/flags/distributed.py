"""Actors in processes of their own."""

from __future__ import annotations

from absl import flags

from polyrl.flags import TRAINING_MODES
from polyrl.flags.partners import GIVEN, needs

flags.DEFINE_integer(
    "actors",
    None,
    "Processes that step environments, each --num_envs of them with a copy of the networks, while this one learns; they and "
    "the memory are processes of Ray. By default all is done in this process.",
    lower_bound=1,
)
flags.DEFINE_integer("memory_shards", 1, "With --actors: processes that the replay memory is divided among.", lower_bound=1)
flags.DEFINE_string(
    "ray_address",
    None,
    "With --actors: the address of a cluster of Ray that is there, as host:6379. By default one begins and ends with the run.",
)

PARAMETERS = ("actors",)
"""The flag here that is a hyper-parameter: each actor has a memory of its own."""

needs("actors", env_backend=("gymnasium", "async", "ale", "envpool"))
needs("memory_shards", actors=GIVEN, off=1)
needs("ray_address", actors=GIVEN, mode=TRAINING_MODES)
