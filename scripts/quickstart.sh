#!/usr/bin/env bash
# From a fresh clone to a trained agent: installs polyrl, trains C51 on CartPole-v1 until it is solved, evaluates the best
# checkpoint over 100 episodes, and lets it act. Run again, it resumes from where it stopped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup.sh
setup_environment ""

run=runs/cartpole_c51
echo
echo "1/2  Training C51 on CartPole-v1 until 20 evaluation episodes have a mean of 475, then evaluating the best checkpoint."
.venv/bin/python experiments/cartpole_c51.py --mode=train_and_eval --model_dir="$run"
echo
echo "2/2  Acting through the categorical policy for 3 episodes."
.venv/bin/python experiments/cartpole_c51.py --mode=infer --model_dir="$run" --infer_episodes=3 --output="$run/predictions.jsonl"

cat <<END

Done. In $run:
  best/               the best checkpoint by evaluation
  checkpoints/        the newest ones, to resume from
  predictions.jsonl   one line per step: state, action, q, and the return distribution of the action
  params.json         what it was trained with

Look at the curves:   .venv/bin/tensorboard --logdir runs      and open http://localhost:6006
Evaluate it again:    .venv/bin/python experiments/cartpole_c51.py --mode=eval
Train another:        .venv/bin/python experiments/cartpole_dqn.py        (all flags: --help)
END
