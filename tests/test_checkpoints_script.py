"""scripts/checkpoints.py lists, checks and chooses checkpoints."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from absl import app
from tiny_agents import make_agent, q_model_fn
from tiny_envs import ScheduleEnv

from polyrl.estimators.hooks import EvaluationHook

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "checkpoints.py"


@pytest.fixture(scope="module")
def script():
    return SimpleNamespace(**runpy.run_path(str(SCRIPT)))


@pytest.fixture
def model_dir(tmp_path):
    agent = make_agent(q_model_fn(), model_dir=tmp_path, save_checkpoints_timesteps=10)
    agent.train(ScheduleEnv(), first_update=4, timesteps=30)
    return tmp_path


def names(model_dir):
    return sorted(path.name for path in (model_dir / "checkpoints").iterdir())


@pytest.mark.slow
def test_list_shows_each_checkpoint_and_says_how_far_it_looked(script, model_dir, capsys):
    script.main(["", "list", str(model_dir)])
    shown = capsys.readouterr().out
    for words in ("ckpt-000000010", "ckpt-000000020", "ckpt-000000030", "sizes agree"):
        assert words in shown


@pytest.mark.slow
def test_verify_reads_every_byte(script, model_dir, capsys):
    script.main(["", "verify", str(model_dir)])
    assert "whole" in capsys.readouterr().out
    (file,) = (model_dir / "checkpoints" / "ckpt-000000020").glob("variables.data*")
    damaged = bytearray(file.read_bytes())
    damaged[10] ^= 1
    file.write_bytes(damaged)
    script.main(["", "list", str(model_dir)])  # Its size is as it was.
    with pytest.raises(SystemExit, match="1"):
        script.main(["", "verify", str(model_dir)])
    assert "variables.data-00000-of-00001 has" in capsys.readouterr().out


@pytest.mark.slow
def test_choose_makes_a_checkpoint_the_newest_and_keeps_the_others(script, model_dir):
    script.main(["", "choose", str(model_dir), "ckpt-000000010"])
    expected = ["ckpt-000000010", "ckpt-000000020.set-aside-0", "ckpt-000000030.set-aside-0"]
    assert names(model_dir) == expected
    agent = make_agent(q_model_fn(), model_dir=model_dir, save_checkpoints_timesteps=10)
    assert agent.train(ScheduleEnv(), first_update=4, timesteps=5).global_timestep == 15
    assert set(expected) <= set(names(model_dir))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ckpt-000000015", "best"])
def test_what_is_not_there_cannot_be_chosen(script, model_dir, name):
    before = names(model_dir)
    with pytest.raises(SystemExit, match="there are \\['ckpt-000000010', 'ckpt-000000020', 'ckpt-000000030'\\]"):
        script.main(["", "choose", str(model_dir), name])
    assert names(model_dir) == before


@pytest.mark.slow
def test_a_damaged_one_cannot_be_chosen(script, model_dir):
    (model_dir / "checkpoints" / "ckpt-000000020" / "state.json").write_text("{")
    with pytest.raises(SystemExit, match=r"state\.json is damaged.*choose another one"):
        script.main(["", "choose", str(model_dir), "ckpt-000000020"])


@pytest.mark.parametrize("arguments", [[], ["list"], ["list", "a", "b"], ["choose", "a"], ["check", "a"]])
def test_usage(script, arguments):
    with pytest.raises(app.UsageError, match=r"Use: checkpoints\.py"):
        script.main(["", *arguments])


def test_an_empty_directory_is_told(script, tmp_path):
    with pytest.raises(SystemExit, match="There is no checkpoint in"):
        script.main(["", "list", str(tmp_path)])


@pytest.mark.slow
def test_a_checkpoint_in_the_wrong_place_is_not_whole_and_cannot_be_chosen(script, model_dir, capsys):
    """As a run that is resumed would say."""
    agent = make_agent(q_model_fn(), model_dir=model_dir, save_checkpoints_timesteps=10)
    agent.train(ScheduleEnv(), first_update=4, timesteps=10, hooks=[EvaluationHook(ScheduleEnv(), 5, 1)])
    (best,) = (model_dir / "best").iterdir()
    shutil.rmtree(model_dir / "checkpoints" / best.name, ignore_errors=True)
    shutil.copytree(best, model_dir / "checkpoints" / best.name)
    before = names(model_dir)
    with pytest.raises(SystemExit, match="1"):
        script.main(["", "verify", str(model_dir)])
    assert "belong" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="does not belong there"):
        script.main(["", "choose", str(model_dir), best.name])
    assert names(model_dir) == before


@pytest.mark.slow
def test_choose_says_how_one_that_is_set_aside_is_taken_again(script, model_dir):
    script.main(["", "choose", str(model_dir), "ckpt-000000010"])
    with pytest.raises(SystemExit, match=r"mv ckpt-000000030\.set-aside-0 ckpt-000000030"):
        script.main(["", "choose", str(model_dir), "ckpt-000000030"])
