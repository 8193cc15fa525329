"""What a hook reads of the agent that trains changes nothing in the run: not one bit of it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from painted_env import BlackOut, NeedsPackage, PaintedEnv
from tiny_agents import assert_equal, counters, make_agent, q_model_fn, rows, weights
from tiny_envs import ScheduleEnv, TargetEnv, vector

from polyrl.configs import AdamConfig, OrnsteinUhlenbeckExplorationConfig
from polyrl.envs import GymEnvironment
from polyrl.envs.compiled import CartPole, Pendulum
from polyrl.estimators import Agent
from polyrl.estimators.checkpoints.manager import read_state
from polyrl.estimators.hooks import EvaluationHook, Hook, VideoHook
from polyrl.models import NAFModel
from polyrl.networks import mlp
from polyrl.replay import PrioritizedReplay

BUDGET, EARLY = 400, 50
SLOW = pytest.mark.slow


def naf_fn(features: Any, labels: Any, mode: str, num_states: int = 3, num_actions: int = 2, **more: Any) -> Any:
    more = {"action_low": TargetEnv.LOW, "action_high": TargetEnv.HIGH, **more}
    noise = OrnsteinUhlenbeckExplorationConfig(sigma=0.3)
    model = NAFModel(mode, mlp([8]), num_states, num_actions, exploration_config=noise, temperature=0.5, summaries=[], **more)
    return model(features, labels)


def swing_fn(features: Any, labels: Any, mode: str) -> Any:
    return naf_fn(features, labels, mode, 3, 1, action_low=-2.0, action_high=2.0)


ADAM = {"optimizer_config": AdamConfig(learning_rate=1e-2), "temperature": 5.0}
MODELS = {"dqn": q_model_fn("dqn", **ADAM), "c51": q_model_fn("c51", **ADAM), "naf": naf_fn}
IN_GRAPH = {"dqn": (q_model_fn("dqn", num_actions=2, **ADAM), CartPole), "naf": (swing_fn, Pendulum)}


def environment(kind: str) -> Any:
    return TargetEnv(4) if kind == "naf" else ScheduleEnv(lengths=(5, 3), ends=("terminated", "truncated"))


class Early(Hook):
    """Asks for a checkpoint at 50 environment steps, so that there is one to read."""

    def after_act(self, run):
        if run.timestep == EARLY:
            run.request_checkpoint()


class Look(Hook):
    """Uses the agent in each way there is, as often as `every` environment steps pass."""

    def __init__(self, agent: Agent, env: Any, every: int, state: Any):
        self._agent, self._env, self._every, self._state = agent, env, every, state
        self._predictor: Any = None
        self.evaluated: list[int] = []
        self.present: list[int] = []

    def after_act(self, run):
        if run.timestep % self._every or run.timestep <= EARLY:
            return
        agent, env = self._agent, self._env
        agent.act(self._state)
        self._predictor = agent.predictor("latest") if self._predictor is None else self._predictor
        self._predictor.act(self._state)
        self.evaluated.append(agent.evaluate(env(), episodes=2)["global_timestep"])
        list(agent.predict(env(), steps=3))
        if not isinstance(env(), TargetEnv | Pendulum):  # Demonstrations are of discrete actions.
            agent.record(env(), 1)
        self.present.append(run.evaluate(env(), 1)["global_timestep"])


def same_run(first: Agent, second: Agent, apart_from: tuple[str, ...] = ()) -> None:
    """Weights, optimizers, counters, memory, and all of the last checkpoint but what is named."""
    assert counters(first) == counters(second)
    assert_equal(weights(first), weights(second))
    assert_equal(rows(first), rows(second))
    paths = [agent.checkpoints.latest() for agent in (first, second)]
    assert paths[0].name == paths[1].name
    states = [read_state(path) for path in paths]
    for state in states:
        # Of hooks, evaluations and TensorBoard's files there are more in one of the runs.
        for name in ("hooks", "events", "checksum", "last_evaluation", *apart_from):
            state.pop(name)
    assert json.dumps(states[0]) == json.dumps(states[1])
    readers = [tf.train.load_checkpoint(str(path / "variables")) for path in paths]
    names = [set(reader.get_variable_to_shape_map()) - {"_CHECKPOINTABLE_OBJECT_GRAPH"} for reader in readers]
    assert names[0] == names[1]
    assert len(names[0]) > 10
    for name in names[0]:
        np.testing.assert_array_equal(*(reader.get_tensor(name) for reader in readers), err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=SLOW)])
@pytest.mark.parametrize("kind", ["dqn", *(pytest.param(kind, marks=SLOW) for kind in MODELS if kind != "dqn")])
def test_a_hook_may_act_evaluate_predict_and_record(tmp_path, kind, jit):
    """Each of these once read the last checkpoint into the weights that were being trained, and their counters."""
    agents, results = [], []
    for name in ("with", "without"):
        agent = make_agent(MODELS[kind], model_dir=tmp_path / name, jit=jit)
        look = Look(agent, lambda: environment(kind), 70, environment(kind).reset(seed=0)[0])
        hooks = [Early(), look] if name == "with" else [Early()]
        results.append(agent.train(environment(kind), first_update=16, max_timesteps=BUDGET, hooks=hooks))
        agents.append(agent)
        if name == "with":
            assert look.evaluated == [EARLY] * 5  # At 70, 140, ..., 350: the checkpoint's, not the run's.
            assert look.present == [70, 140, 210, 280, 350]
    for result in results:
        assert (result.global_timestep, result.global_step) == (BUDGET, BUDGET - 16)
        assert result.checkpoint.name == f"ckpt-{BUDGET:09d}"
    same_run(*agents)
    assert agents[0].evaluate(environment(kind), 1)["global_timestep"] == BUDGET
    again = make_agent(MODELS[kind], model_dir=tmp_path / "with")
    assert again.evaluate(environment(kind), 1)["global_timestep"] == BUDGET


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["overlap", *(pytest.param(loop, marks=SLOW) for loop in ("vector", "prioritized"))])
def test_so_it_may_beside_other_loops_and_memories(tmp_path, loop):
    agents = []
    for name in ("with", "without"):
        agent = make_agent(MODELS["dqn"], model_dir=tmp_path / name, overlap=loop == "overlap")
        if loop == "prioritized":
            agent = Agent(MODELS["dqn"], PrioritizedReplay(200, 4), tmp_path / name, agent.config)
        env = vector(*(ScheduleEnv(number, lengths=(4, 3)) for number in range(2 if loop == "vector" else 1)))
        look = Look(agent, lambda: environment("dqn"), 30, np.zeros(4, np.float32))
        agent.train(env, first_update=8, max_timesteps=150, hooks=[Early(), look] if name == "with" else [Early()])
        agents.append(agent)
        assert len(look.evaluated) == (4 if name == "with" else 0)
    same_run(*agents)


@SLOW
@pytest.mark.parametrize("jit", ["off", "on"])
@pytest.mark.parametrize("kind", ["dqn", "naf"])
def test_so_it_may_beside_environments_in_the_graph(tmp_path, kind, jit):
    """An advance is 1,000 steps here, many updates: the variables come back from a compiled call."""
    model_fn, env = IN_GRAPH[kind]
    agents = []
    for name in ("with", "without"):
        agent = make_agent(model_fn, model_dir=tmp_path / name, jit=jit)
        agent.train(env(num_envs=4), first_update=16, update_frequency=40, max_timesteps=1_000)
        look = Look(agent, lambda: env(num_envs=2), 1_000, np.zeros([2, 4 if kind == "dqn" else 3], np.float32))
        hooks = [look] if name == "with" else []
        agent.train(env(num_envs=4), first_update=16, update_frequency=40, max_timesteps=3_000, hooks=hooks)
        agents.append(agent)
        assert look.evaluated == ([1_000, 1_000] if name == "with" else [])
    same_run(*agents)


@pytest.mark.slow
def test_training_with_evaluations_is_the_training_without_them(tmp_path):
    """The hook keeps the best, too."""
    agents = []
    for name in ("with", "without"):
        agent = make_agent(MODELS["dqn"], model_dir=tmp_path / name)
        hooks = [EvaluationHook(environment("dqn"), 10, 3)] if name == "with" else []
        env = vector(environment("dqn"), environment("dqn"))
        agent.train(env, first_update=4, update_frequency=2, timesteps=60, hooks=hooks)
        agents.append(agent)
    assert agents[0].checkpoints.best() is not None
    scores = [read_state(agent.checkpoints.latest())["best_score"] for agent in agents]
    assert scores == [read_state(agents[0].checkpoints.best())["best_score"], None]
    same_run(*agents, apart_from=("best_score",))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [PaintedEnv, pytest.param(NeedsPackage, marks=SLOW), BlackOut])
def test_training_with_videos_is_the_training_without_them_also_if_recording_fails(tmp_path, kind):
    agents = []
    for name in ("with", "without"):
        agent = make_agent(MODELS["dqn"], model_dir=tmp_path / name)
        hook = VideoHook(GymEnvironment(kind, lengths=(4,)), 10, 2, "gif")
        env = vector(environment("dqn"), environment("dqn"))
        agent.train(env, first_update=4, update_frequency=2, timesteps=60, hooks=[hook] if name == "with" else [])
        agents.append(agent)
    assert (tmp_path / "with" / "videos").exists() is (kind is PaintedEnv)
    same_run(*agents)


@SLOW
@pytest.mark.parametrize("loop", ["python", "overlap", "graph"])
@pytest.mark.parametrize("jit", ["off", "on"])
def test_so_it_is_in_each_loop_with_xla_too(tmp_path, loop, jit):
    agents = []
    for name in ("with", "without"):
        model_fn, env = IN_GRAPH["dqn"][0], CartPole(num_envs=4) if loop == "graph" else GymEnvironment("CartPole-v1", 4)
        agent = make_agent(model_fn, model_dir=tmp_path / name, jit=jit, overlap=loop == "overlap")
        hook = VideoHook(env, 700, file_format="gif")
        agent.train(env, first_update=16, update_frequency=4, max_timesteps=2_000, hooks=[hook] if name == "with" else [])
        agents.append(agent)
    assert len(list((tmp_path / "with" / "videos").iterdir())) == 2
    same_run(*agents)


@pytest.mark.slow
@pytest.mark.parametrize("checkpoint", [pytest.param("latest", marks=SLOW), "older"])
def test_calls_between_two_runs_of_training_change_nothing_in_the_second(tmp_path, checkpoint):
    agents = []
    for name in ("with", "without"):
        agent = make_agent(MODELS["dqn"], model_dir=tmp_path / name, save_checkpoints_timesteps=20)
        agent.train(vector(environment("dqn"), environment("dqn")), first_update=4, update_frequency=2, timesteps=40)
        if name == "with":
            path = "latest" if checkpoint == "latest" else agent.checkpoints.directory / "ckpt-000000020"
            agent.evaluate(environment("dqn"), 2, checkpoint=path)
            next(agent.predict(environment("dqn"), checkpoint=path))
            agent.act(np.zeros(4), checkpoint=path)
        agent.train(vector(environment("dqn"), environment("dqn")), first_update=4, update_frequency=2, timesteps=20)
        agents.append(agent)
    same_run(*agents)


class OnItsOwn(Hook):
    """Evaluates, predicts or records on the environment that is being trained on."""

    def __init__(self, agent: Agent, env: Any, call: str):
        self._agent, self._env, self._call = agent, env, call

    def after_act(self, run):
        if run.timestep == EARLY + 1:
            calls = {
                "evaluate": lambda: self._agent.evaluate(self._env, 1),
                "predict": lambda: list(self._agent.predict(self._env, steps=3)),
                "record": lambda: self._agent.record(self._env, 1),
                "run.evaluate": lambda: run.evaluate(self._env, 1),
            }
            calls[self._call]()


@pytest.mark.slow
@pytest.mark.parametrize(
    "call", ["run.evaluate", *(pytest.param(call, marks=SLOW) for call in ("evaluate", "predict", "record"))]
)
def test_none_of_it_may_step_the_environment_that_is_trained_on(tmp_path, call):
    """Its steps would be part of transitions that never happened."""
    env, agent = ScheduleEnv(lengths=(7,)), make_agent(MODELS["dqn"], model_dir=tmp_path)
    with pytest.raises(ValueError, match="in use by training"):
        agent.train(env, first_update=4, timesteps=60, hooks=[Early(), OnItsOwn(agent, env, call)])
    assert env.steps == EARLY + 1
    assert len(env.seeds) == 2 + (EARLY + 1) // 7  # One more for the checkpoint.
    assert agent.train(env, first_update=4, timesteps=10).global_timestep == EARLY + 10


class TrainAgain(Hook):
    def __init__(self, agent: Agent):
        self._agent = agent

    def after_act(self, run):
        if run.timestep == EARLY + 1:
            self._agent.train(ScheduleEnv(), first_update=4, timesteps=10)


def test_a_run_within_a_run_is_refused_and_the_agent_is_free_again_after_it(tmp_path):
    """It would read the last checkpoint into the weights that are being trained."""
    agent = make_agent(MODELS["dqn"], model_dir=tmp_path)
    with pytest.raises(RuntimeError, match="while this agent is training"):
        agent.train(ScheduleEnv(), first_update=4, timesteps=60, hooks=[Early(), TrainAgain(agent)])
    assert agent.train(ScheduleEnv(), first_update=4, timesteps=10).global_timestep == EARLY + 10
