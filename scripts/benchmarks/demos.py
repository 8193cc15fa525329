"""Environment steps to solve CartPole-v1 with and without demonstrations: prints the table of docs/demonstrations.md.

    python scripts/benchmarks/demos.py [--seeds 1 2 3 4 5] [--episodes 20]

First a DQN of another seed is trained, and its best checkpoint plays the demonstrations (scripts/record_demos.py). Then, for
each seed, three runs: the script's own defaults; the same with the low exploration of the third; and with demonstrations.
Each run is a process of its own: it trains until 20 evaluation episodes, every 1,000 environment steps, have a mean of 475
(100,000 environment steps at the most), then evaluates its best checkpoint over 100 episodes. Seconds are of the process.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import argparse
from pathlib import Path
import subprocess
import sys
import tempfile

from cartpole_seeds import ROOT, measure

EXPERT_SEED = 100
COMMON = ("--env_backend=compiled", "--num_envs=1", "--eval_frequency=1000", "--noprogress")
LOW_EXPLORATION = "--exploration_start=0.05"


def record(directory: Path, episodes: int) -> Path:
    """Trains the expert and lets it play."""
    steps, _, reward = measure("dqn", EXPERT_SEED, directory / "expert", *COMMON)
    output = directory / "demos.npz"
    command = [sys.executable, str(ROOT / "scripts" / "record_demos.py"), str(ROOT / "experiments" / "cartpole_dqn.py")]
    flags = [f"--model_dir={directory / 'expert'}", f"--episodes={episodes}", f"--output={output}", "--env_backend=compiled"]
    done = subprocess.run([*command, *flags], check=True, capture_output=True, text=True)
    print(f"The expert: seed {EXPERT_SEED}, {steps:,} environment steps, mean of 100 episodes {reward:.1f}.")
    print(done.stdout.splitlines()[0], "\n")
    return output


def main() -> None:
    """Measures and prints one row per seed and kind of run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="seeds of the runs (default: %(default)s)"
    )
    parser.add_argument("--episodes", type=int, default=20, help="demonstrations that the expert plays (default: %(default)s)")
    parser.add_argument(
        "--pretrain_updates", type=int, default=5_000, help="gradient updates on them at the start (default: %(default)s)"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        demos = record(directory, arguments.episodes)
        kinds = {
            "none": (),
            "none, low exploration": (LOW_EXPLORATION,),
            f"{arguments.episodes} episodes": (
                LOW_EXPLORATION,
                f"--demos={demos}",
                f"--pretrain_updates={arguments.pretrain_updates}",
            ),
        }
        print(
            "| demonstrations | seed | environment steps | seconds | mean of 100 episodes |\n|---|---|---|---|---|", flush=True
        )
        for kind, flags in kinds.items():
            for seed in arguments.seeds:
                run = directory / f"{kind}-{seed}"
                steps, seconds, reward = measure("dqn", seed, run, *COMMON, *flags)
                print(f"| {kind} | {seed} | {steps:,} | {seconds:.0f} | {reward:.1f} |", flush=True)


if __name__ == "__main__":
    main()
