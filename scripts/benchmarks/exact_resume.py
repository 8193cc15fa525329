"""What exact resume costs in learning: the same runs with new episodes at each multiple of 1,000 environment steps, or not.

    python scripts/benchmarks/exact_resume.py [--seeds 1 2 3 4 5] [--scripts cartpole_dqn pendulum_naf]

A thousand steps are a tenth of the default, so episodes are cut ten times as often. Each run is a process of its own. It
trains to its budget without stopping earlier; shown is the mean reward of 100 episodes with the newest checkpoint's weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import statistics
import subprocess
import sys
import tempfile

ROOT = Path(__file__).resolve().parents[2]
BUDGETS = {"cartpole_dqn": 20_000, "pendulum_naf": 10_000}


def measure(script: str, seed: int, exact: bool, model_dir: Path) -> float:
    """The mean reward after the budget."""
    command = [sys.executable, str(ROOT / "experiments" / f"{script}.py"), f"--model_dir={model_dir}", f"--seed={seed}"]
    trained = [f"--train_timesteps={BUDGETS[script]}", "--save_checkpoints_timesteps=1000", f"--exact_resume={exact}"]
    subprocess.run([*command, "--mode=train", *trained], check=True, capture_output=True)
    subprocess.run([*command, "--mode=eval", "--checkpoint=latest"], check=True, capture_output=True)
    import polyrl  # noqa: F401  Quiet: before TensorBoard imports TensorFlow.
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(model_dir / "eval"), size_guidance={"tensors": 0})
    events.Reload()
    proto = events.Tensors("eval/mean_reward")[-1].tensor_proto
    return float(proto.float_val[0] if proto.float_val else memoryview(proto.tensor_content).cast("f")[0])


def main() -> None:
    """Measures and prints a row for each seed, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="seeds of the runs (default: %(default)s)"
    )
    names = list(BUDGETS)
    parser.add_argument("--scripts", nargs="+", default=names, choices=names, help="experiments (default: %(default)s)")
    arguments = parser.parse_args()
    print("| script | seed | exact_resume=True | exact_resume=False |\n|---|---|---|---|", flush=True)
    for script in arguments.scripts:
        found = []
        for seed in arguments.seeds:
            with tempfile.TemporaryDirectory() as directory:
                found.append([measure(script, seed, exact, Path(directory) / str(exact)) for exact in (True, False)])
            print(f"| {script} | {seed} | {found[-1][0]:.1f} | {found[-1][1]:.1f} |", flush=True)
        medians = [statistics.median(row[column] for row in found) for column in (0, 1)]
        print(f"| {script} | median | {medians[0]:.1f} | {medians[1]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
