"""How long to train."""

from __future__ import annotations

from absl import flags

flags.DEFINE_integer("train_timesteps", 100_000, "Budget in environment steps, in total over all calls.", lower_bound=1)
flags.DEFINE_integer("train_steps", None, "Budget in gradient updates, in total over all calls.", lower_bound=1)
flags.DEFINE_integer("train_episodes", None, "Budget in episodes, in total over all calls.", lower_bound=1)
