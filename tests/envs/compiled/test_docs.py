"""What `docs/environments.md` shows of in-graph environments runs as it stands, and its table tells the truth."""

from __future__ import annotations

import re
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Discrete
from tiny_agents import make_agent, q_model_fn

from polyrl.envs.compiled import TensorVectorEnv, check_environment, compiled_environment
from polyrl.envs.compiled.registry import ENVIRONMENTS

WHOLE = (Path(__file__).resolve().parents[3] / "docs" / "environments.md").read_text()
PAGE = WHOLE[WHOLE.index("## In-graph environments") :]
FIRST, BALLOON, TRAINING, CHECKING = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def run(code: str, names: dict | None = None) -> dict:
    names = {"__name__": "page"} if names is None else names
    exec(compile(code, "docs/environments.md", "exec"), names)
    return names


@pytest.fixture(scope="module")
def balloon():
    return run(BALLOON)["Balloon"]


def test_the_first_example_runs():
    assert run(FIRST)["env"].num_envs == 8


def test_the_written_environment_is_as_long_as_the_readme_says():
    assert len(BALLOON.splitlines()) < 50


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_written_environment_by_itself(balloon, seed):
    """Compared with the same rules for one balloon at a time."""
    check_environment(balloon(), 4)
    vector = TensorVectorEnv(balloon(), 4)
    vector.action_space.seed(seed)
    before, _ = vector.reset(seed=seed)
    assert np.all(np.abs(before[:, 0]) <= 1)
    lengths, ended = np.zeros(4, int), 0
    for _ in range(150):
        # Mostly against the fall, so that some episodes reach the limit; in one environment never.
        actions = np.where(before[:, 0] < 0, 1, 0)
        actions[0] = 0
        observation, reward, terminated, truncated, info = vector.step(actions)
        lengths += 1
        assert truncated.tolist() == (lengths == 100).tolist()
        for index in range(4):
            ended_here = terminated[index] or truncated[index]
            off, velocity = info["final_obs"][index] if ended_here else observation[index]
            gust = velocity - 0.9 * before[index, 1] - (0.2 if actions[index] else -0.2)
            assert -0.1 - 1e-5 <= gust <= 0.1 + 1e-5
            assert off == pytest.approx(before[index, 0] + velocity, abs=1e-5)
            assert reward[index] == pytest.approx(max(1 - abs(off) / 5, 0), abs=1e-5)
            assert terminated[index] == (abs(off) >= 5)
            if ended_here:
                lengths[index], ended = 0, ended + 1
        before = observation
    assert ended > 3


@pytest.mark.slow
def test_an_agent_trains_on_the_written_environment(balloon, tmp_path):
    agent = make_agent(q_model_fn(num_states=2, num_actions=2), model_dir=tmp_path, jit="off")
    result = agent.train(balloon(num_envs=4), first_update=40, max_timesteps=400)
    assert (result.global_timestep, result.global_step) == (400, 360)
    assert result.global_episode > 4
    evaluation = agent.evaluate(balloon(num_envs=4), episodes=4)
    assert 0 < evaluation["mean_reward"] <= 100


@pytest.mark.slow
def test_the_training_example_runs(balloon, tmp_path, monkeypatch, capsys):
    code = TRAINING
    for long, short in {
        "max_timesteps=40_000": "max_timesteps=1_200",
        "RunConfig(seed=1)": 'RunConfig(seed=1, jit="off")',
    }.items():
        assert long in code
        code = code.replace(long, short)
    monkeypatch.chdir(tmp_path)
    run(code, {"Balloon": balloon})
    assert "mean_reward" in capsys.readouterr().out


@pytest.mark.slow
def test_the_check_against_gymnasium_runs():
    run(CHECKING)


def test_the_check_against_gymnasium_finds_a_mistake():
    wrong = CHECKING.replace("CartPole(),", 'type("Wrong", (CartPole,), {"step": wrong})(),')
    assert wrong != CHECKING

    def step(self, state, action, seed):
        return self.__class__.__mro__[1].step(self, state, 1 - action, seed)

    with pytest.raises(AssertionError):
        run(wrong, {"wrong": step})


def table() -> dict[str, list[str]]:
    """The cells behind each id."""
    rows = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| `")]
    return {row[0].strip().strip("`"): [cell.strip() for cell in row[1:]] for row in rows}


def test_the_table_has_all_environments():
    assert list(table()) == list(ENVIRONMENTS)


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_the_table_is_right(env_id):
    observation, actions, limit, text = table()[env_id]
    env = compiled_environment(env_id)
    assert observation == f"`{list(env.observation_space.shape)}`"
    space = env.action_space
    assert actions == (str(space.n) if isinstance(space, Discrete) else f"`{list(space.shape)}`, continuous")
    assert limit == ("none" if env.max_episode_steps is None else str(env.max_episode_steps))
    assert ("gymnasium's" in text) == (env_id in gymnasium.registry)
    for argument in re.findall(r"`(\w+)`", text):
        assert hasattr(env, argument) or (env_id == "DeepSea" and argument == "mapping_seed")
