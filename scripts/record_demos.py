"""Records greedy episodes of a trained `model_dir` as demonstrations, in an .npz file or as a local Minari dataset.

    python scripts/record_demos.py experiments/cartpole_dqn.py --model_dir=runs/cartpole_dqn --episodes=20 --output=demos.npz

The first argument is the script that the `model_dir` was trained with; it takes that script's flags, which `--help` after it
shows, too. The episodes are played in the environment that it trains on, with the actions that its evaluation takes. Nothing
is overwritten.
"""

from __future__ import annotations

from collections.abc import Sequence
import importlib.util
from pathlib import Path
import sys
from typing import Any

from absl import flags
from polyrl.flags import help_text, needs, unused

flags.DEFINE_integer("episodes", 20, "Episodes to record.", lower_bound=1)
flags.DEFINE_string("minari_id", None, "Id of the Minari dataset to make, as cartpole/expert-v0.")
# Here --output is the .npz file, in a mode that this program sets itself.
needs("output")
unused("mode", "temperature", because="record_demos.py plays greedy episodes")
unused("eval_episodes", "infer_episodes", because="record_demos.py plays as many episodes as --episodes says")

if __name__ == "__main__" and (len(sys.argv) < 2 or sys.argv[1].startswith("-")):  # Before TensorFlow is imported.
    if help_text.show(sys.argv[1:], __doc__):
        sys.exit()
    sys.exit(f"{__doc__}\nThe experiment script is missing.")

from polyrl.demos import Demonstrations, save_minari, save_npz
from polyrl.demos.minari_dataset import check_new_minari
from polyrl.demos.npz import check_new
from polyrl.envs import GymEnvironment, open_env
from polyrl.experiments import RLExperiment, cli


def load_script(path: str) -> Any:
    """The experiment script as a module; its flags are defined and its defaults set by that.

    Raises:
        ValueError: if it is not an experiment script.
    """
    spec = importlib.util.spec_from_file_location(Path(path).stem, path) if Path(path).is_file() else None
    if spec is None or spec.loader is None:
        raise ValueError(f"{path!r} is not a Python file; give the experiment script, as experiments/cartpole_dqn.py.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "experiment_fn"):
        raise ValueError(
            f"{path} has no experiment_fn(output_dir); give an experiment script, as experiments/cartpole_dqn.py."
        )
    return module


def record(experiment: RLExperiment, episodes: int, checkpoint: str | None) -> Demonstrations:
    """Plays them with the checkpoint: `'best'`, `'latest'` or a path; None is the best if there is one."""
    checkpoints = experiment.agent.checkpoints
    if checkpoint is None and checkpoints.best() is not None:
        checkpoint = "best"
    return experiment.agent.record(experiment.env, episodes, checkpoint)


def write(demonstrations: Demonstrations, experiment: RLExperiment, output: str | None, minari_id: str | None) -> None:
    """Writes them to each place that is given."""
    if output is not None:
        save_npz(demonstrations, output)
    if minari_id is not None:
        env = experiment.env
        with open_env(env, 1, "recording") as vector:
            spaces = vector.single_observation_space, vector.single_action_space
        env_id = env.env_id if isinstance(env, GymEnvironment) else None
        save_minari(demonstrations, minari_id, *spaces, env_id if isinstance(env_id, str) else None)


def main(argv: Sequence[str]) -> None:
    """Checks that nothing would be overwritten, plays, and writes."""
    output, minari_id = cli.FLAGS.output, cli.FLAGS.minari_id
    if output is None and minari_id is None:
        raise ValueError(
            "--output=demos.npz or --minari_id=name/of/dataset-v0: give one, or both, for the demonstrations to be written to."
        )
    if output is not None:
        if not output.endswith(".npz"):
            raise ValueError(f"--output={output} must end in .npz.")
        check_new(output)
    if minari_id is not None:
        check_new_minari(minari_id)
    cli.set_defaults(mode="eval")
    experiment = SCRIPT.experiment_fn(cli.FLAGS.model_dir)
    demonstrations = record(experiment, cli.FLAGS.episodes, cli.FLAGS.checkpoint)
    write(demonstrations, experiment, output, minari_id)
    print(f"{demonstrations!r}\nwritten to {' and '.join(str(place) for place in (output, minari_id) if place is not None)}")


if __name__ == "__main__":
    try:
        SCRIPT = load_script(sys.argv.pop(1))
    except ValueError as error:
        sys.exit(str(error))
    cli.run(main)
