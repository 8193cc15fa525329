"""The scripts from the command line: what a user types, and what comes back."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from polyrl.experiments import cli

ROOT = Path(__file__).resolve().parents[2]
TINY = [
    "--jit=off",
    "--noprogress",
    "--num_envs=2",
    "--train_timesteps=300",
    "--first_update=128",
    "--update_frequency=8",
    "--eval_frequency=200",
    "--eval_episodes_while_training=2",
    "--eval_episodes=3",
]


def start(script: str, *flags: str) -> subprocess.Popen:
    command = [sys.executable, str(ROOT / "experiments" / f"cartpole_{script}.py"), *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen, status: int = 0) -> str:
    """What it has written; an unexpected end shows it."""
    output, _ = process.communicate(timeout=200)
    assert process.returncode == status, output
    assert "Traceback" not in output
    return output


def state_of(model_dir: Path) -> dict:
    newest = max((model_dir / "checkpoints").glob("ckpt-*"))
    return json.loads((newest / "state.json").read_text())


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One short training run of a script, by its name: the directory and what was written to the console."""
    root = tmp_path_factory.mktemp("runs")

    @functools.cache
    def run(script: str) -> tuple[Path, str]:
        return root / script, finish(start(script, *TINY, f"--model_dir={root / script}"))

    return run


# The scripts. -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("script", ["dqn", pytest.param("ddqn", marks=pytest.mark.slow)])
def test_a_script_trains_to_its_budget_and_evaluates(runs, script):
    model_dir, output = runs(script)
    state = state_of(model_dir)
    assert state["global_timestep"] == 300
    assert state["global_step"] == 300 // 8 - 128 // 8
    for words in ("budget of timesteps reached: 300 of 300", "mean_reward", "3 episodes", "ckpt-"):
        assert words in output
    params = json.loads((model_dir / "params.json").read_text())["params"]
    assert params["num_envs"] == 2
    assert set(cli.HYPER_PARAMETERS) == set(params)
    assert list((model_dir / "best").glob("ckpt-*"))


@pytest.mark.slow
def test_what_is_not_a_flag_is_refused(tmp_path):
    assert "Unknown arguments: train" in finish(start("dqn", "train", f"--model_dir={tmp_path / 'run'}"), 1)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_same_command_again_trains_no_further(runs):
    model_dir, _ = runs("dqn")
    before = sorted((model_dir / "checkpoints").iterdir())
    output = finish(start("dqn", *TINY, f"--model_dir={model_dir}", "--mode=train"))
    assert sorted((model_dir / "checkpoints").iterdir()) == before
    assert "Resuming from" in output
    assert "environment step 300" in output


@pytest.mark.slow
def test_c51_goes_through_training_evaluation_and_inference(tmp_path):
    """Evaluation and inference are told the directory and nothing else of the model: the rest is in it."""
    model_dir, steps = tmp_path / "run", tmp_path / "out" / "steps.jsonl"
    finish(start("c51", *TINY, f"--model_dir={model_dir}", "--num_atoms=7", "--max_q_value=30", "--double"))
    assert state_of(model_dir)["global_timestep"] == 300
    others = [
        start("c51", "--mode=eval", f"--model_dir={model_dir}", "--eval_episodes=4", "--jit=off", "--checkpoint=latest"),
        start("c51", "--mode=infer", f"--model_dir={model_dir}", "--jit=off", f"--output={steps}", "--infer_episodes=2",
              "--temperature=100"),
    ]  # fmt: skip
    evaluation, inference = map(finish, others)
    for words in ("mean_reward", "4 episodes", "ckpt-000000300"):
        assert words in evaluation
    assert "mean_reward" in inference
    lines = [json.loads(line) for line in steps.read_text().splitlines()]
    assert {line["episode"] for line in lines} == {0, 1}
    assert len(lines) > 10
    actions = [line["action"] for line in lines]
    greedy = [int(np.argmax(line["q"])) for line in lines]
    assert set(actions) == {0, 1}
    assert actions != greedy
    for line in lines:
        np.testing.assert_allclose(line["support"], np.linspace(0.0, 30.0, 7), rtol=1e-6)
        assert sum(line["probabilities"]) == pytest.approx(1.0, abs=1e-5)
        assert (len(line["state"]), len(line["q"]), line["reward"]) == (4, 2, 1.0)
    assert [line["done"] or line["truncated"] for line in lines].count(True) == 2


# What goes wrong. -------------------------------------------------------------------------------------------------------


def test_a_model_dir_without_a_run_is_told_in_one_message_and_is_not_made(tmp_path):
    empty = tmp_path / "empty"
    untrained = finish(start("dqn", "--mode=eval", f"--model_dir={empty}"), 1)
    assert "NotTrainedError: There is no checkpoint" in untrained
    assert str(empty) in untrained
    assert not empty.exists()


@pytest.mark.slow
def test_flags_that_do_not_fit_are_told_in_one_message_each(runs, tmp_path):
    """Side by side: each costs the start of a process."""
    model_dir, _ = runs("dqn")
    empty = tmp_path / "empty"
    processes = {
        "mode": start("dqn", "--mode=evaluation", f"--model_dir={empty}"),
        "conflict": start("dqn", *TINY, f"--model_dir={model_dir}", "--learning_rate=0.25", "--batch_size=32"),
        "useless": start("c51", f"--model_dir={empty}", "--mode=train", "--expert_margin=0.4", "--output=steps.jsonl"),
    }
    try:
        unknown = finish(processes["mode"], 1)
        for mode in ("train", "eval", "infer", "train_and_eval", "continuous_eval", "continuous_train_and_eval"):
            assert mode in unknown
        conflict = finish(processes["conflict"], 1)
        assert "learning_rate: 0.001 there, 0.25 now" in conflict
        assert "batch_size: 128 there, 32 now" in conflict
        assert "num_envs" not in conflict
        useless = finish(processes["useless"], 1)
        assert "--expert_margin=0.4 has no effect without --demos" in useless
        assert "--output=steps.jsonl has no effect with --mode=train: it needs --mode=infer" in useless
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    assert not empty.exists()
    assert state_of(model_dir)["global_timestep"] == 300


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["eval", "record", "export"])
def test_a_misspelt_directory_is_told_the_nearest_run(runs, mode):
    """As by the command polyrl; programs said to train first."""
    model_dir, _ = runs("dqn")
    output = finish(start("dqn", f"--mode={mode}", f"--model_dir={model_dir}s"), 1)
    assert f"There is no checkpoint in model_dir='{model_dir}s'. Train first. Did you mean '{model_dir}'?" in output
