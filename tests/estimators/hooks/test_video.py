"""`VideoHook`: when it records, what it writes, and that whatever fails in it is told once."""

from __future__ import annotations

import io
import sys

import pytest
import tensorflow as tf
from painted_env import BlackOut, NeedsPackage, PaintedEnv
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_agents import make_agent
from tiny_envs import ScheduleEnv

from polyrl.envs import GymEnvironment, film_files
from polyrl.estimators.hooks import VideoHook
from polyrl.estimators.hooks.video import MOST, WIDTH

BATCH = 4


def trained(directory, hook, timesteps=20):
    agent = make_agent(model_dir=directory)
    return agent, agent.train(ScheduleEnv(), first_update=BATCH, max_timesteps=timesteps, hooks=[hook])


def animations(directory) -> dict[int, list[bytes]]:
    events = EventAccumulator(str(directory), size_guidance={"tensors": 0})
    events.Reload()
    if "eval/video" not in events.Tags()["tensors"]:
        return {}
    assert events.SummaryMetadata("eval/video").plugin_data.plugin_name == "images"
    return {event.step: list(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors("eval/video")}


def test_it_records_at_its_cadence_a_file_of_each_episode_and_a_gif_of_the_first(tmp_path):
    trained(tmp_path, VideoHook(GymEnvironment(PaintedEnv, lengths=(2, 3, 2, 4)), 8, episodes=2, file_format="gif"))
    # Each recording makes the environment anew: episode 0 is the first look, 2 is begun and not played.
    names = [f"step-{step}-return-{total}-episode-{index}.gif" for step in (16, 8) for index, total in ((0, 6), (1, 10))]
    assert sorted(path.name for path in (tmp_path / "videos").iterdir()) == sorted(names)
    found = animations(tmp_path)
    assert sorted(found) == [8, 16]
    for width, height, gif in found.values():
        image = Image.open(io.BytesIO(gif))
        assert (image.format, image.n_frames) == ("GIF", 4)
        assert (int(width), int(height)) == image.size == (160, 120)


@pytest.mark.slow
def test_what_tensorboard_gets_is_small(tmp_path):
    trained(tmp_path, VideoHook(GymEnvironment(PaintedEnv, size=(400, 600), lengths=(250,)), 8, file_format="gif"), 8)
    ((width, height, gif),) = animations(tmp_path).values()
    assert (int(width), int(height)) == (WIDTH, 107)
    assert Image.open(io.BytesIO(gif)).n_frames <= MOST


@pytest.mark.parametrize("kind", [NeedsPackage, BlackOut, ScheduleEnv])
def test_what_cannot_be_rendered_is_logged_once_and_the_run_goes_on(tmp_path, caplog, kind):
    _, result = trained(tmp_path, VideoHook(GymEnvironment(kind), 4))
    assert result.global_timestep == 20
    messages = [record.getMessage() for record in caplog.records if "VideoHook" in record.getMessage()]
    assert len(messages) == 1
    assert messages[0].endswith("The run goes on without videos.")
    assert not (tmp_path / "videos").exists()


@pytest.mark.parametrize("package", ["moviepy", "PIL"])
def test_a_missing_package_is_logged_once_before_anything_is_played(tmp_path, caplog, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    _, result = trained(tmp_path, VideoHook(lambda: pytest.fail("made"), 4))
    assert result.global_timestep == 20
    (message,) = [record.getMessage() for record in caplog.records if "VideoHook" in record.getMessage()]
    assert f"the Python package {package!r}" in message
    assert "pip install 'polyrl[video]'" in message


def test_a_full_disk_does_not_end_the_run(tmp_path, caplog, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(film_files, "write", full)
    _, result = trained(tmp_path, VideoHook(GymEnvironment(PaintedEnv), 4, file_format="gif"))
    assert result.global_timestep == 20
    assert sum("No space left" in record.getMessage() for record in caplog.records) == 1


def test_the_instance_that_is_trained_on_is_not_recorded(tmp_path, caplog):
    env = PaintedEnv(render_mode="rgb_array")
    agent = make_agent(model_dir=tmp_path)
    agent.train(env, first_update=BATCH, max_timesteps=20, hooks=[VideoHook(env, 4)])
    assert env.steps == 20
    assert sum("in use by training" in record.getMessage() for record in caplog.records) == 1


def test_a_resumed_run_keeps_the_cadence(tmp_path):
    hook = VideoHook(GymEnvironment(PaintedEnv), 8, file_format="gif")
    trained(tmp_path, hook, 12)
    trained(tmp_path, hook, 20)
    assert sorted(path.name.split("-")[1] for path in (tmp_path / "videos").iterdir()) == ["16", "8"]


@pytest.mark.parametrize(
    "arguments", [{"every_timesteps": 0}, {"every_timesteps": 5, "episodes": 0}, {"every_timesteps": 5, "file_format": "avi"}]
)
def test_wrong_arguments_are_refused_when_it_is_made(arguments):
    with pytest.raises(ValueError, match=next(reversed(arguments))):
        VideoHook("CartPole-v1", **arguments)
