"""From a trained `model_dir` to demonstrations to another run that learns from them, by the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from polyrl.demos import load

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = str(ROOT / "experiments" / "cartpole_dqn.py")
RECORD = [str(ROOT / "scripts" / "record_demos.py"), SCRIPT]
TINY = ["--jit=off", "--noprogress", "--num_envs=2", "--train_timesteps=150", "--first_update=128", "--mode=train"]


def run(*arguments: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=250
    )
    assert done.returncode == status, done.stdout
    assert "Traceback" not in done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The directory of a short run, and three of its episodes."""
    root = tmp_path_factory.mktemp("runs")
    run(SCRIPT, *TINY, f"--model_dir={root / 'expert'}")
    flags = [f"--model_dir={root / 'expert'}", "--episodes=3", f"--output={root / 'demos.npz'}"]
    return root, run(*RECORD, *flags), flags


def test_recorded_episodes_are_of_the_environment_and_greedy(recorded):
    root, output, _ = recorded
    assert "<3 demonstrations of " in output
    demos = load(root / "demos.npz")
    assert len(demos.episodes) == 3
    for episode in demos.episodes:
        assert episode.observations.shape == (episode.steps + 1, 4)
        assert episode.rewards.tolist() == [1.0] * episode.steps
        assert episode.terminated != episode.truncated
    assert len({episode.observations[0].tobytes() for episode in demos.episodes}) == 3


def test_a_recording_is_not_overwritten(recorded):
    root, _, flags = recorded
    before = (root / "demos.npz").read_bytes()
    assert "is not overwritten" in run(*RECORD, *flags, status=1)
    assert (root / "demos.npz").read_bytes() == before


def test_a_run_pretrains_on_them_and_says_so(recorded):
    root, _, _ = recorded
    flags = [f"--demos={root / 'demos.npz'}", "--pretrain_updates=20", "--demo_priority=0.5", "--expert_margin=0.4"]
    output = run(SCRIPT, *TINY, *flags, f"--model_dir={root / 'learner'}", "--prioritized")
    assert "<3 demonstrations of " in output
    newest = max((root / "learner" / "checkpoints").glob("ckpt-*"))
    assert json.loads((newest / "state.json").read_text())["global_step"] == 20 + 22
    params = json.loads((root / "learner" / "params.json").read_text())["params"]
    assert (params["pretrain_updates"], params["expert_margin"], params["demo_priority"]) == (20, 0.4, 0.5)
    # An evaluation does without the file.
    (root / "demos.npz").rename(root / "elsewhere.npz")
    try:
        run(SCRIPT, "--mode=eval", f"--model_dir={root / 'learner'}", "--eval_episodes=2", "--jit=off")
        missing = run(SCRIPT, *TINY, *flags, "--prioritized", f"--model_dir={root / 'other'}", status=1)
    finally:
        (root / "elsewhere.npz").rename(root / "demos.npz")
    assert "No such file of demonstrations" in missing


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model_dir=nowhere"], "--output=demos.npz or --minari_id="),
        (["--model_dir=nowhere", "--output=demos.txt"], "must end in .npz"),
        (["--model_dir=nowhere", "--output=demos.npz"], "NotTrainedError|Train first"),
        (
            ["--model_dir=nowhere", "--output=demos.npz", "--eval_episodes=7"],
            "--eval_episodes=7 has no effect: record_demos.py",
        ),
        (["--model_dir=nowhere", "--output=demos.npz", "--mode=infer"], "--mode=infer has no effect: record_demos.py"),
    ],
)
def test_what_cannot_be_recorded_is_refused(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = run(*RECORD, *arguments, status=1)
    assert any(word in output for word in words.split("|")), output
    assert not list(tmp_path.glob("*.npz"))


def test_a_recorded_minari_dataset_can_be_trained_on(recorded, monkeypatch):
    pytest.importorskip("minari")
    root, _, flags = recorded
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root / "datasets"))
    run(*RECORD, flags[0], "--episodes=2", "--minari_id=cartpole/tiny-v0")
    demos = load("cartpole/tiny-v0")
    assert len(demos.episodes) == 2
    assert demos.episodes[0].observations.dtype == np.float32
    assert "<2 demonstrations of the Minari dataset" in run(
        SCRIPT, *TINY, "--demos=cartpole/tiny-v0", "--pretrain_updates=5", f"--model_dir={root / 'minari'}"
    )
