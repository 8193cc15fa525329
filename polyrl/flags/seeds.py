"""Runs with several seeds."""

from __future__ import annotations

from collections.abc import Sequence

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

MODES = ("train_and_eval", "eval")
"""Those that end with the evaluation of a checkpoint."""


def checked(seeds: Sequence[str], mode: str, seed_is_given: bool) -> list[int]:
    """The seeds as numbers.

    Raises:
        ValueError: for what is no seed, the same one twice, another mode, or `--seed` beside them.
    """
    given = f"--seeds={','.join(seeds)}"
    if not all(seed.strip().isdecimal() for seed in seeds):
        raise ValueError(f"{given} must be integers of at least 0, as --seeds=1,2,3.")
    numbers = [int(seed) for seed in seeds]
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"{given} has a seed twice, which would be the same run.")
    if mode not in MODES:
        raise ValueError(f"{given} has no effect with --mode={mode}: it needs --mode={' or --mode='.join(MODES)}.")
    if seed_is_given:
        raise ValueError(f"--seed has no effect with {given}. Leave one of them out.")
    return numbers
