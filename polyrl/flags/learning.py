"""How it learns."""

from __future__ import annotations

from absl import flags

from polyrl.flags.choice import define_choice, defined_in
from polyrl.flags.partners import needs
from polyrl.flags.positive import define_positive

flags.DEFINE_integer("num_envs", 8, "Environments that run in parallel while training.", lower_bound=1)
flags.DEFINE_integer("first_update", 1_000, "Environment steps before the first update.", lower_bound=0)
flags.DEFINE_integer("update_frequency", 1, "Environment steps between gradient updates.", lower_bound=1)
flags.DEFINE_integer(
    "updates_at_once", 1, "Gradient updates at each multiple of --update_frequency environment steps.", lower_bound=1
)
flags.DEFINE_integer("memory_size", 50_000, "Capacity of the replay memory, in transitions.", lower_bound=1)
flags.DEFINE_integer("batch_size", 64, "Transitions in a batch.", lower_bound=1)
flags.DEFINE_integer(
    "n_step", 1, "Environment steps of a transition, whose rewards are summed before the bootstrap.", lower_bound=1
)
flags.DEFINE_bool("prioritized", False, "Sample transitions by priority instead of uniformly.")
flags.DEFINE_float(
    "priority_exponent", 0.6, "With --prioritized: alpha, the exponent of the priorities.", lower_bound=0.0, upper_bound=1.0
)
flags.DEFINE_float(
    "importance_exponent",
    0.4,
    "With --prioritized: beta, the exponent of the importance weights, at the first update; it grows to 1.",
    lower_bound=0.0,
    upper_bound=1.0,
)
flags.DEFINE_integer(
    "importance_steps", 100_000, "With --prioritized: gradient updates over which beta grows to 1.", lower_bound=1
)
flags.DEFINE_float("learning_rate", 1e-3, "Learning rate of Adam, per gradient update.", lower_bound=0.0)
flags.DEFINE_float("discount", 0.99, "Gamma, the discount per environment step.", lower_bound=0.0, upper_bound=1.0)
flags.DEFINE_integer(
    "target_update_frequency", 200, "Gradient updates between two updates of the target network.", lower_bound=1
)
flags.DEFINE_integer(
    "target_update_timesteps",
    None,
    "Environment steps between two updates of the target network, in place of --target_update_frequency.",
    lower_bound=1,
)
define_positive(
    "target_update_tau",
    1.0,
    "Step size of an update of the target network towards the online network; 1 copies it.",
    upper_bound=1.0,
)
flags.DEFINE_float(
    "exploration_start", 1.0, "Epsilon, the probability of a random action, at the start.", lower_bound=0.0, upper_bound=1.0
)
flags.DEFINE_float("exploration_final", 0.05, "Epsilon at the end of its decay.", lower_bound=0.0, upper_bound=1.0)
flags.DEFINE_integer("exploration_timesteps", 10_000, "Environment steps over which epsilon decays.", lower_bound=1)
define_choice(
    "dueling",
    "mean",
    ["mean", "max", "naive", "none"],
    "How advantage and value heads are combined to Q; none: one head of Q values.",
)
flags.DEFINE_float("clip_gradients", 10.0, "Largest global norm of the gradients; 0: no clipping.", lower_bound=0.0)
flags.DEFINE_float("clip_embed_gradients", 0.1, "Largest norm of each embedding's gradient; 0: no clipping.", lower_bound=0.0)

PARAMETERS = defined_in(__name__)
"""The flags here: all are hyper-parameters."""

needs("priority_exponent", "importance_exponent", "importance_steps", prioritized=True)
