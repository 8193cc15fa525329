"""Paths: any character, `~`, relative ones; resolved once, where they enter."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from checkpoint_testing import BATCH, schedule
from tiny_agents import make_agent, q_model_fn

from polyrl import demos
from polyrl.demos import DemoEpisode, Demonstrations
from polyrl.errors import NotTrainedError
from polyrl.estimators import Predictor
from polyrl.experiments import RLExperiment
from polyrl.paths import make_directory, nearest, resolved

NAMES = ["units=[64,64]", "a*b?c", "[!x] ]a[ back\\slash", "Läufe-δ ~ {a,b} %d $HOME"]


def train(model_dir, timesteps=6):
    made = make_agent(q_model_fn(), model_dir=model_dir)
    made.train(schedule(), first_update=BATCH, timesteps=timesteps)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", [NAMES[0], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:])])
def test_a_model_dir_may_have_any_character(tmp_path, name):
    """It trains, resumes, acts, evaluates, and is found by a predictor."""
    where = tmp_path / name / "run"
    first = train(where)
    assert first.model_dir == where
    assert first.act(np.zeros(4, np.float32)) in (0, 1, 2)
    again = train(where)
    assert again.evaluate(schedule(), 1)["global_timestep"] == 12
    assert Predictor.from_model_dir(where, q_model_fn()).counters["global_timestep"] == 12
    path = again.checkpoints.latest()
    assert path is not None
    assert path.is_relative_to(where)  # Not by way of a link.
    assert again.predictor(path).checkpoint == path


@pytest.mark.slow
def test_a_relative_model_dir_stays_where_it_was(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    made = train("run")
    relative = os.path.relpath(made.checkpoints.latest())
    predictor = made.predictor(relative)
    monkeypatch.chdir("elsewhere")
    made.train(schedule(), first_update=BATCH, timesteps=6)
    assert made.evaluate(schedule(), 1)["global_timestep"] == 12
    assert predictor.evaluate(schedule(), 1)["global_timestep"] == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "run"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.slow
def test_a_tilde_is_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    made = train("~/run")
    assert made.model_dir == tmp_path / "run"
    made.predictor("~/run/checkpoints/" + made.checkpoints.latest().name).export("~/exported")
    assert "action" in tf.saved_model.load(str(tmp_path / "exported")).signatures
    assert Predictor.from_model_dir("~/run", q_model_fn()).counters["global_timestep"] == 6
    assert not (tmp_path / "~").exists()


@pytest.mark.slow
def test_demonstrations_and_outputs_take_the_same_paths(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    episode = DemoEpisode(np.zeros([2, 4], np.float32), np.array([1]), np.array([1.0]), True, False)
    for place in ("~/demos.npz", str(tmp_path / "a [b]*.npz")):
        demos.save_npz(Demonstrations([episode]), place)
        assert demos.load(place).steps == 1
        with pytest.raises(FileExistsError, match="exists already"):
            demos.save_npz(Demonstrations([episode]), place)
    assert (tmp_path / "demos.npz").is_file()
    experiment = RLExperiment(train(tmp_path / "run"), schedule(), infer_episodes=1, infer_output="~/out/[1].jsonl")
    experiment.infer()
    assert (tmp_path / "out" / "[1].jsonl").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a[b]", "a\\b"])
def test_an_export_that_tensorflow_could_not_load_is_refused(tmp_path, name):
    predictor = train(tmp_path / "run").predictor()
    with pytest.raises(ValueError, match=r"path=.*tf\.saved_model\.load.*another directory"):
        predictor.export(tmp_path / name)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("model_dir", [3, b"run", ["run"]])
def test_a_path_of_another_type_is_refused(model_dir):
    with pytest.raises(TypeError, match=r"model_dir=.* must be a path"):
        make_agent(model_dir=model_dir)


@pytest.mark.parametrize("model_dir", ["", "a\0b"])
def test_a_path_that_is_none_is_refused(model_dir):
    with pytest.raises(ValueError, match=r"model_dir=.* is not a path"):
        make_agent(model_dir=model_dir)


@pytest.mark.parametrize("below", ["", "run"])
def test_a_model_dir_that_is_a_file_is_refused(tmp_path, below):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(NotADirectoryError, match=r"model_dir=.*file is a file; use another path"):
        make_agent(model_dir=file / below)


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_file_in_the_way_of_a_directory_is_named(tmp_path, below):
    (tmp_path / "videos").write_text("")
    with pytest.raises(NotADirectoryError, match=rf"{tmp_path / 'videos'} is a file\. Move it aside\.$"):
        make_directory(tmp_path / "videos" / below)
    make_directory(tmp_path / "other" / below)
    make_directory(tmp_path / "other" / below)
    assert (tmp_path / "other" / below).is_dir()


@pytest.mark.slow
def test_a_checkpoint_is_looked_for_by_its_own_characters(tmp_path):
    made = train(tmp_path / "run")
    with pytest.raises(NotTrainedError, match="is not a checkpoint"):
        made.predictor(tmp_path / "run" / "checkpoints" / "ckpt-*")


def test_links_are_not_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert resolved("model_dir", tmp_path / "link") == Path(tmp_path / "link")


def test_the_nearest_of_some_paths_is_that_with_the_most_similar_name():
    """Two directories of one place are alike as texts, whatever their names are."""
    others = [Path("/a/long/place/of/runs/pendulum"), Path("/elsewhere/cartpole_c51")]
    assert nearest(Path("/a/long/place/of/runs/nope"), others) == ""
    assert nearest(Path("/a/long/place/of/runs/cartpole_c15"), others) == " Did you mean '/elsewhere/cartpole_c51'?"
    assert nearest(Path("x"), []) == ""
