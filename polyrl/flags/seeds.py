"""Runs with several seeds."""

from __future__ import annotations

from absl import flags

from polyrl.flags.partners import GIVEN, needs

flags.DEFINE_list(
    "seeds",
    None,
    "Seeds, as 1,2,3: the same command for each of them as a process of its own, in <model_dir>/seed-1, ...; then a table of "
    "their last evaluations, the mean, and its 95 % interval.",
)
flags.DEFINE_integer("jobs", 1, "With --seeds: how many of the runs run side by side, each on one core.", lower_bound=1)

needs("jobs", seeds=GIVEN)
