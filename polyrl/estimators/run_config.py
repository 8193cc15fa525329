"""`RunConfig`: how a run is seeded, recorded and displayed, as opposed to what it learns."""

from __future__ import annotations

import dataclasses
from typing import Any

from polyrl.validation import check_bool, check_float, check_int, explains, suggestion

HINTS = {
    "model_dir": "Give it to the agent: Agent(model_fn, memory, model_dir).",
    "tf_random_seed": "Use seed.",
    "random_seed": "Use seed.",
    "save_summary_steps": "Use save_summary_timesteps, in environment steps.",
    "save_checkpoints_steps": "Use save_checkpoints_timesteps, in environment steps.",
    "log_step_count_steps": "Use progress: the display has a cadence of its own.",
    "keep_checkpoint_every_n_hours": "Use keep_checkpoint_max; the best checkpoint by evaluation is kept in addition.",
    "session_config": "There are no sessions; jit says whether XLA compiles, and tf.config.threading sets the threads.",
    **dict.fromkeys(
        ("train_distribute", "eval_distribute", "experimental_distribute", "distribute_strategy"),
        "Use strategy, 'mirrored' or 'multi_worker'; polyrl.distributed.RemoteActors step environments in other processes.",
    ),
    **dict.fromkeys(
        ("device_fn", "protocol", "cluster", "master"),
        "The environment variable TF_CONFIG names the processes of a cluster; see strategy.",
    ),
    **dict.fromkeys(("verbose", "progress_bar", "log_interval"), "Use progress."),
    **dict.fromkeys(("device", "gpu"), "TensorFlow chooses; hide a GPU by the environment variable CUDA_VISIBLE_DEVICES."),
    **dict.fromkeys(
        ("tensorboard_log", "log_dir", "output_dir"), "Give the agent its directory: Agent(model_fn, memory, model_dir)."
    ),
    **dict.fromkeys(("num_envs",), "It belongs to the environment: GymEnvironment(env_id, num_envs)."),
}
"""What arguments of tf.estimator's `RunConfig` are here."""


STRATEGIES = ("one", "mirrored", "multi_worker")
"""Who computes an update."""

SWITCHES = ("progress", "overlap", "check_env", "exact_resume", "save_replay")
"""What is on or off."""


@explains(HINTS)
@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Seed, cadences and display of a run. Timesteps are environment steps, summed over parallel environments.

    Args:
        seed: the root of every random stream: initial weights, each environment, exploration, replay, evaluation.
        save_summary_timesteps: environment steps between two writes to TensorBoard; `'auto'`: a two-hundredth of the run's
            budget, but from 500 to 10,000; None: not by steps.
        save_summary_secs: seconds between two writes; None: not by time. Both None: no summaries.
        save_checkpoints_timesteps: environment steps between two checkpoints; None: not by steps.
        save_checkpoints_secs: seconds between two checkpoints; None: not by time. One is always written at the end.
        max_overhead: the share of the run's time that histograms and images may take, and that checkpoints may take; those
            that would take more are put off, so a fast run writes fewer than its cadences say. The first ten writes of
            histograms and images are not; scalars never are. None: nothing is put off.
        keep_checkpoint_max: how many of the newest checkpoints are kept; the best one by evaluation is kept in addition.
        progress: show training on stderr: a progress bar on a terminal, elsewhere a line every ten seconds and one at the end.
            Lines go to the logger `polyrl` instead where the program has set up logging that shows its level INFO.
        overlap: step environments in Python while the learner runs on another core. It then learns one step later.
        jit: whether XLA compiles the training loop: `'on'`, `'off'`, or `'auto'`: where it pays. Environments in the graph use
            it from the start; those in Python from the 1,000th update on, so that a short run does not wait for a compilation
            that takes longer than it saves; convolutions do without it.
        threads: among how many cores TensorFlow divides each operation, in all of the process; None: as it is, by default all
            of them. Small networks are faster on one. It is settled by the process's first `Agent`, as TensorFlow takes it
            only before it computes anything.
        strategy: who computes an update, each for an equal share of the batch's rows: `'one'`; `'mirrored'`: all GPUs of this
            process, or without any its logical CPU devices; `'multi_worker'`: the processes that the environment variable
            `TF_CONFIG` names, each of which runs the same program. Only the first, the chief, has environments, a memory and
            checkpoints. XLA does not compile the loop then.
        check_env: before training, run gymnasium's `check_env` on a new instance of the environment, and refuse to train if it
            fails: as for an environment that takes no seed, or that writes all its observations into one array. Only what
            makes instances is checked, an id or a `GymEnvironment`.
        exact_resume: make a resumed run the run that was not interrupted, bit for bit: environments in Python start new
            episodes, with seeds of their own, at each multiple of `save_checkpoints_timesteps`, and a run that is resumed from
            a checkpoint in between takes the actions since then again. False: they start new episodes where a run is resumed,
            and there alone. Environments in the graph, and those that can be saved (`polyrl.envs.whole_states`), always
            continue in mid-episode.
        save_replay: whether checkpoints to resume from hold the replay memory. False: they are small, and a resumed run is
            another one: its memory starts empty, and its next update waits until that holds `first_update` steps again.
    """

    seed: int = 0
    save_summary_timesteps: int | str | None = "auto"
    save_summary_secs: float | None = None
    save_checkpoints_timesteps: int | None = 10_000
    save_checkpoints_secs: float | None = None
    max_overhead: float | None = 0.01
    keep_checkpoint_max: int = 3
    progress: bool = True
    overlap: bool = False
    jit: str = "auto"
    threads: int | None = None
    strategy: str = "one"
    check_env: bool = True
    exact_resume: bool = True
    save_replay: bool = True

    def __post_init__(self) -> None:
        # As Python's own: what NumPy calls an int, JSON does not know.
        checked: dict[str, Any] = {
            "seed": check_int("seed", self.seed, minimum=0),
            **{name: check_bool(name, getattr(self, name)) for name in SWITCHES},
        }
        if not isinstance(self.jit, str) or self.jit not in ("auto", "on", "off"):
            raise ValueError(f"jit={self.jit!r} is unknown; use 'auto', 'on' or 'off'.")
        _check_strategy(self)
        checked["keep_checkpoint_max"] = check_int("keep_checkpoint_max", self.keep_checkpoint_max, minimum=1)
        if self.max_overhead is not None:
            checked["max_overhead"] = check_float("max_overhead", self.max_overhead, 0.0, 1.0)
            if checked["max_overhead"] == 0.0:
                raise ValueError(
                    "max_overhead=0.0 leaves no time to write anything; use None for cadences of steps or seconds."
                )
        if self.threads is not None:
            checked["threads"] = check_int("threads", self.threads, minimum=1)
        for name in ("save_summary_timesteps", "save_checkpoints_timesteps"):
            value = getattr(self, name)
            if isinstance(value, str) and name == "save_summary_timesteps":
                if value != "auto":
                    raise ValueError(f"{name}={value!r} is unknown; use a number of environment steps, 'auto' or None.")
            elif value is not None:
                checked[name] = check_int(name, value, minimum=1)
        for name in ("save_summary_secs", "save_checkpoints_secs"):
            if getattr(self, name) is not None:
                checked[name] = check_float(name, getattr(self, name), minimum=0.0)
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def replace(self, **changes: Any) -> RunConfig:
        """A copy with some fields changed; an unknown field is a ValueError."""
        names = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            if name not in names:
                hint = f" {HINTS[name]}" if name in HINTS else suggestion(name, names)
                raise ValueError(f"RunConfig has no field {name!r}; it has {names}.{hint}")
        return dataclasses.replace(self, **changes)


def _check_strategy(config: RunConfig) -> None:
    """Raises a ValueError for one that is unknown, or that does not go with the rest."""
    if config.strategy not in STRATEGIES:
        raise ValueError(f"strategy={config.strategy!r} is unknown; use one of {', '.join(map(repr, STRATEGIES))}.")
    if config.strategy != "one" and (config.jit == "on" or config.overlap):
        name = "jit='on'" if config.jit == "on" else "overlap=True"
        raise ValueError(f"{name} does not go with strategy={config.strategy!r}; leave it out.")
