"""`--mode=record`: videos of a trained agent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest
from painted_env import NeedsPackage, PaintedEnv
from PIL import Image
from tiny_envs import ScheduleEnv

from polyrl.envs import AtariEnvironment, GymEnvironment
from polyrl.envs.compiled import Catch
from polyrl.errors import NotTrainedError
from polyrl.experiments import run_experiment

PAINTED = GymEnvironment(PaintedEnv, lengths=(2, 3, 2, 4))


def test_it_plays_with_the_best_checkpoint_and_names_step_and_return(experiment, capsys):
    trained = experiment(env=ScheduleEnv(), eval_env=GymEnvironment(PaintedEnv), train_timesteps=10, keep_checkpoint_max=1)
    trained.train_and_evaluate()
    best = int(trained.agent.checkpoints.best().name.split("-")[1])
    made = experiment(eval_env=PAINTED, record_episodes=2, record_format="gif")
    paths = made.record()
    assert [path.name for path in paths] == [f"step-{best}-return-6-episode-0.gif", f"step-{best}-return-10-episode-1.gif"]
    assert {path.parent for path in paths} == {made.agent.model_dir / "videos"}
    assert [Image.open(path).n_frames for path in paths] == [4, 5]
    shown = capsys.readouterr().out
    assert all(str(path) in shown for path in paths)


def test_another_checkpoint_may_be_asked_for_and_episodes_differ(experiment):
    trained = experiment(train_timesteps=10)
    trained.train()
    (path,) = experiment(eval_env=PAINTED, record_format="gif", checkpoint="latest").record()
    assert path.name == "step-10-return-6-episode-0.gif"


def test_it_needs_a_trained_agent(experiment, tmp_path):
    with pytest.raises(NotTrainedError):
        run_experiment(lambda output_dir: experiment(eval_env=PAINTED), tmp_path / "run", "record")


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (GymEnvironment(NeedsPackage), r"pygame is not installed.*polyrl\[video\]"),
        (GymEnvironment(ScheduleEnv), "cannot be recorded"),
        (Catch(), "in the graph only"),
    ],
)
def test_what_cannot_be_recorded_is_refused_and_nothing_is_written(experiment, env, message):
    experiment(train_timesteps=10).train()
    made = experiment(eval_env=env, record_format="gif")
    with pytest.raises(ValueError, match=message):
        made.record()
    assert not (made.agent.model_dir / "videos").exists()


def test_a_missing_package_is_told_before_the_checkpoint_is_read(experiment, monkeypatch):
    monkeypatch.setitem(sys.modules, "moviepy", None)
    with pytest.raises(ValueError, match=r"record_format='mp4' needs the Python package 'moviepy'.*polyrl\[video\]"):
        experiment(eval_env=PAINTED).record()


@pytest.mark.slow
def test_the_programs_have_the_mode_and_the_cadence(tmp_path):
    script, run = Path(__file__).resolve().parents[2] / "experiments" / "cartpole_dqn.py", tmp_path / "run"

    def program(*flags, status=0):
        done = subprocess.run([sys.executable, str(script), f"--model_dir={run}", *flags], capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        return done

    program("--mode=train", "--train_timesteps=300", "--first_update=128", "--jit=off", "--record_frequency=250")
    (while_training,) = (run / "videos").iterdir()
    assert while_training.name.startswith("step-256-return-")
    program("--mode=record", "--record_episodes=2")
    assert len(list((run / "videos").glob("step-304-return-*.mp4"))) == 2
    refused = program("--mode=eval", "--record_format=gif", status=1)
    assert "--record_format=gif has no effect with --mode=eval" in refused.stderr


@pytest.mark.slow
def test_an_atari_game_is_recorded_in_colour_at_its_speed():
    from polyrl.envs import film

    gymnasium.logger.min_level = gymnasium.logger.ERROR
    with film.filmed(AtariEnvironment("Pong", backend="ale", max_episode_frames=40)) as (env, made):
        over = [False]
        while not over[0]:
            _, _, _, over, _ = env.step([0])
        clip = made.take()
    assert clip.fps == 15.0
    assert {frame.shape for frame in clip.frames} == {(210, 160, 3)}
    assert len(clip.frames) == clip.length + 1 == 11
    assert clip.frames[0].std(axis=2).max() > 0.0  # In colour.
