"""Demonstrations."""

from __future__ import annotations

from absl import flags

from polyrl.flags import learning  # noqa: F401  It defines --prioritized.
from polyrl.flags.choice import defined_in
from polyrl.flags.partners import GIVEN, needs

flags.DEFINE_string(
    "demos",
    None,
    "Demonstrations to learn from with the large-margin loss: an .npz file, or the id of a Minari dataset on this machine.",
)
flags.DEFINE_integer(
    "pretrain_updates", 0, "With --demos: gradient updates on them before the first environment step.", lower_bound=0
)
flags.DEFINE_float(
    "demo_share",
    0.25,
    "With --demos: fraction of each batch that demonstrations make up; not with --prioritized, where priorities decide.",
    lower_bound=0.0,
    upper_bound=1.0,
)
flags.DEFINE_float(
    "demo_priority",
    1.0,
    "With --demos and --prioritized: added to the priorities of demonstrations, in units of the TD error.",
    lower_bound=1e-6,
)
flags.DEFINE_float(
    "expert_margin",
    0.8,
    "With --demos: by how much the expert's action must be better than the others, in units of the action values.",
    lower_bound=0.0,
)
flags.DEFINE_float(
    "expert_weight", 1.0, "With --demos: weight of the large-margin loss relative to the TD loss.", lower_bound=0.0
)

PARAMETERS = defined_in(__name__)
"""The flags here: all are hyper-parameters."""

needs("expert_margin", "expert_weight", demos=GIVEN)
needs("pretrain_updates", demos=GIVEN, off=0)
needs("demo_share", demos=GIVEN, prioritized=False)
needs("demo_priority", demos=GIVEN, prioritized=True)
