"""Habits from tf.estimator: what has another name here is named, `None` is nothing, `TF_CONFIG` is never ignored."""

from __future__ import annotations

import dataclasses
import json
import logging

import gymnasium
import numpy as np
import pytest
from checkpoint_testing import BATCH, schedule
from tiny_agents import make_agent, q_model_fn
from tiny_envs import ChainEnv

from polyrl.configs import AdamConfig
from polyrl.envs import GymEnvironment
from polyrl.envs.gym import as_vector
from polyrl.estimators import Agent, EstimatorSpec, EvalSpec, RunConfig, TrainSpec
from polyrl.estimators.exporters import BestExporter, FinalExporter, LatestExporter
from polyrl.estimators.hooks import Hook
from polyrl.estimators.names import checked_run_name
from polyrl.experiments import RLExperiment
from polyrl.models import CategoricalDQNModel, DDQNModel, DQNModel, NAFModel
from polyrl.networks import mlp
from polyrl.replay import PrioritizedReplay, UniformReplay

# Names. -----------------------------------------------------------------------------------------------------------------

REFUSED = [
    (lambda **a: RunConfig(**a), "model_dir", r"Agent\(model_fn, memory, model_dir\)"),
    (lambda **a: RunConfig(**a), "save_checkpoints_steps", "Use save_checkpoints_timesteps"),
    (lambda **a: RunConfig(**a), "tf_random_seed", r"Use seed\."),
    (lambda **a: RunConfig(**a), "session_config", "There are no sessions"),
    (lambda **a: RunConfig(**a), "train_distribute", "strategy, .mirrored. or .multi_worker."),
    (lambda **a: RunConfig(**a), "keep_checkpoints_max", "Did you mean 'keep_checkpoint_max'"),
    (lambda **a: EstimatorSpec("infer", **a), "scaffold", "There is no Scaffold"),
    (lambda **a: EstimatorSpec("infer", **a), "training_chief_hooks", "Use training_hooks"),
    (lambda **a: EstimatorSpec("infer", **a), "prediction_hooks", "Agent.predict"),
    (lambda **a: EstimatorSpec("infer", **a), "predictons", "Did you mean 'predictions'"),
    (lambda **a: UniformReplay(**a), "capacity", r"Use size\."),
    (lambda **a: UniformReplay(**a), "buffer_size", r"Use size\."),
    (lambda **a: UniformReplay(**a), "alpha", "an argument of PrioritizedReplay"),
    (lambda **a: PrioritizedReplay(**a), "capacity", r"Use size\."),
    (lambda **a: PrioritizedReplay(**a), "betas", "Did you mean 'beta'"),
    (lambda **a: AdamConfig(**a), "lr", "Use learning_rate"),
    (lambda **a: AdamConfig(**a), "learning_rat", "Did you mean 'learning_rate'"),
    (lambda **a: GymEnvironment("CartPole-v1", **a), "n_envs", "Use num_envs"),
    (lambda **a: GymEnvironment(gymnasium.spec("CartPole-v1"), **a), "n_envs", "Use num_envs"),
    (lambda **a: make_agent().evaluate(schedule(), **a), "checkpoint_path", "Use checkpoint"),
    (lambda **a: make_agent().evaluate(schedule(), **a), "steps", "Use episodes"),
    (lambda **a: make_agent().predict(schedule(), **a), "input_fn", "the environment"),
    (lambda **a: make_agent().predict(schedule(), **a), "deterministic", r"The action for a state is act\(state\)"),
    (lambda **a: TrainSpec("CartPole-v1", **a), "input_fn", r"TrainSpec\(env, max_steps=...\)"),
    (lambda **a: TrainSpec("CartPole-v1", **a), "max_step", "Did you mean 'max_steps'"),
    (lambda **a: EvalSpec("CartPole-v1", **a), "steps", "Use episodes"),
    (lambda **a: EvalSpec("CartPole-v1", **a), "throttle_secs", "Use every_timesteps"),
    (lambda **a: BestExporter("best", **a), "serving_input_receiver_fn", "Leave it out: a policy knows"),
    (lambda **a: LatestExporter("latest", **a), "serving_input_fn", "Leave it out: a policy knows"),
    (lambda **a: FinalExporter("final", **a), "as_text", "Leave it out"),
    *[
        (lambda model=model, **a: model("train", mlp([8]), 4, 3, **a), name, words)
        for model in (DQNModel, DDQNModel, CategoricalDQNModel, NAFModel)
        for name, words in (
            ("gamma", "Use discount"),
            ("learning_rate", "Use optimizer_config=AdamConfig"),
            ("n_step", "belongs to the memory"),
            ("discounts", "Did you mean 'discount'"),
        )
    ],
    (lambda **a: DQNModel("train", mlp([8]), 4, 3, **a), "num_atoms", "an argument of CategoricalDQNModel"),
    (lambda **a: CategoricalDQNModel("train", mlp([8]), 4, 3, **a), "v_min", "Use min_q_value"),
    (lambda **a: DDQNModel("train", mlp([8]), 4, 3, **a), "action_low", "an argument of NAFModel"),
    (lambda **a: DDQNModel("train", mlp([8]), 4, 3, **a), "num_quantiles", "an argument of QRDQNModel"),
    (lambda **a: DDQNModel("train", mlp([8]), 4, 3, **a), "lam", "Use trace_decay, of PQNModel"),
    (lambda **a: DDQNModel("train", mlp([8]), 4, 3, **a), "munchausen_scale", "an argument of MunchausenDQNModel"),
]


@pytest.mark.parametrize(("call", "name", "words"), REFUSED, ids=[f"{i}-{name}" for i, (_, name, _) in enumerate(REFUSED)])
def test_an_unknown_argument_is_refused_with_what_to_use(call, name, words):
    with pytest.raises(TypeError, match=rf"got an unexpected keyword argument '{name}'\. ?.*{words}"):
        call(**{name: 1})


def test_the_class_that_is_named_is_the_one_that_the_user_called():
    """It was Reading, which nobody knows."""
    with pytest.raises(TypeError, match=r"^Agent\.evaluate got an unexpected keyword argument 'steps'"):
        make_agent().evaluate(schedule(), steps=3)


@pytest.mark.parametrize("state", [np.zeros(4), [0.0, 1.0], {"state": np.zeros(4)}], ids=["array", "list", "dict"])
def test_a_state_in_the_place_of_an_environment_is_told_of_act(state):
    with pytest.raises(TypeError, match=r"must be an id, .* The action for a state is act\(state\)\.$"):
        as_vector(state, 1)


@pytest.mark.parametrize("memory", [UniformReplay, None, []])
def test_what_is_no_memory_is_told_how_to_make_one(memory):
    with pytest.raises(TypeError, match=r"must be a replay memory, as UniformReplay\(50_000, 32\) makes one\.$"):
        Agent(q_model_fn("dqn"), memory)


@pytest.mark.parametrize("given", [gymnasium.spaces.Box(-1, 1, (4,)), "4", 4.0, None])
def test_what_is_no_shape_of_states_is_told_where_to_get_it(given):
    with pytest.raises(TypeError, match=r"^num_states=.* must be a number or a shape; num_states_and_actions\(env\) gives"):
        DQNModel("train", mlp([8]), given, 3)


def test_a_run_config_is_changed_by_the_same_names():
    with pytest.raises(ValueError, match=r"no field 'save_checkpoints_steps'.*Use save_checkpoints_timesteps"):
        RunConfig().replace(save_checkpoints_steps=1)


CONFIGS = [
    ("optimizer_config", "adam", r"Use AdamConfig\(\)"),
    ("optimizer_config", "RMSprop", r"Use RMSpropConfig\(\)"),
    ("optimizer_config", AdamConfig, r"Call it: AdamConfig\(\)"),
    ("optimizer_config", 1e-3, r"Use AdamConfig\(learning_rate=0\.001\)"),
    ("optimizer_config", {"identifier": "adam"}, r"Use OptimizerConfig\.from_dict"),
    ("optimizer_config", "lion king", "Use one of .*AdamConfig"),
    ("exploration_config", 0.1, r"Use ConstantExplorationConfig\(0\.1\)"),
    ("exploration_config", "boltzmann", r"Use BoltzmannExplorationConfig\(\)"),
    ("loss_config", "huber", r"Use HuberLossConfig\(\)"),
]


@pytest.mark.parametrize(("name", "value", "words"), CONFIGS, ids=[f"{name}-{value}" for name, value, _ in CONFIGS])
def test_what_is_not_a_config_is_refused_with_the_config(name, value, words):
    with pytest.raises(TypeError, match=rf"{name}=.* must be an? \w+Config\. {words}"):
        DQNModel("train", mlp([8]), 4, 3, **{name: value})


def test_a_tf_keras_optimizer_is_refused_with_its_config():
    import tf_keras

    with pytest.raises(TypeError, match=r"optimizer_config=.* Use AdamConfig\(\)"):
        DQNModel("train", mlp([8]), 4, 3, optimizer_config=tf_keras.optimizers.Adam())


@pytest.mark.parametrize("number", [0, 1])
def test_continuous_actions_with_a_discrete_model_say_which_model(number):
    """Pendulum has one: DQN's message said that 1 is less than 2."""
    with pytest.raises(ValueError, match=rf"num_actions={number} must be at least 2.*use NAFModel"):
        DQNModel("train", mlp([8]), 3, number)
    with pytest.raises(ValueError, match=r"num_actions=0 must be at least 1.*use DQNModel"):
        NAFModel("train", mlp([8]), 3, 0)


# None. ------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_none_is_nothing_as_in_tf_estimator(tmp_path):
    def model_fn(features, labels, mode):
        spec = q_model_fn()(features, labels, mode)
        none = dict.fromkeys(["eval_metric_ops", "extra_ops", "training_hooks", "evaluation_hooks"])
        return dataclasses.replace(spec, **none)

    agent = make_agent(model_fn, model_dir=tmp_path / "run")
    agent.train(schedule(), first_update=BATCH, timesteps=8, hooks=None)
    assert agent.evaluate(schedule(), 1)["global_timestep"] == 8
    RLExperiment(agent, schedule(), train_timesteps=9, first_update=BATCH, train_hooks=None).train()


@pytest.mark.parametrize(
    ("hooks", "words"), [("hook", "a list"), (Hook(), "a list"), ([3], "must be a Hook"), ([Hook], "Make one")]
)
def test_what_is_not_a_list_of_hooks_is_named(hooks, words):
    with pytest.raises(TypeError, match=f"hooks.*{words}"):
        make_agent().train(schedule(), first_update=BATCH, timesteps=8, hooks=hooks)


# NumPy's numbers. -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_numpy_bools_and_ints_are_taken_wherever_pythons_are(tmp_path):
    no, yes, two = np.bool_(False), np.bool_(True), np.int64(2)
    settings = {
        "seed": two,
        "progress": no,
        "overlap": no,
        "keep_checkpoint_max": np.int32(2),
        "max_overhead": np.float32(0.5),
    }
    config = RunConfig(**settings, save_checkpoints_timesteps=np.int64(4), save_summary_secs=np.int16(9), jit="off")
    assert config == RunConfig(2, "auto", 9.0, 4, None, 0.5, 2, False, False, "off")

    def model_fn(features, labels, mode):
        arguments = {
            "use_target_graph": yes,
            "is_continuous": no,
            "dueling": no,
            "use_expert_demo": no,
            "discount": np.float16(0.5),
        }
        units, states, actions = mlp(np.array([8])), np.array([4]), np.int8(3)
        return DQNModel(mode, units, states, actions, target_update_frequency=two, **arguments)(features, labels)

    memory = UniformReplay(np.int64(100), np.int32(BATCH), n_step=np.int8(1))
    agent = Agent(model_fn, memory, tmp_path / "run", config)
    for _ in range(2):
        numbers = {"first_update": np.int64(BATCH), "update_frequency": np.int32(2), "pretrain_updates": np.int8(0)}
        agent.train(schedule(), timesteps=np.int64(4), max_episodes=np.int64(90), **numbers)
    assert agent.evaluate(schedule(), np.int64(2))["global_timestep"] == 8
    assert len(list(agent.predict(schedule(), steps=np.int32(3)))) == 3
    assert json.loads((tmp_path / "run" / "params.json").read_text())["config"]["seed"] == 2


def test_numpys_true_is_naf_and_its_number_no_bool():
    assert NAFModel("train", mlp([8]), 3, 1, is_continuous=np.bool_(True), dueling=np.bool_(True)).dueling is True
    with pytest.raises(TypeError, match="num_actions"):
        DQNModel("train", mlp([8]), 4, np.bool_(True))
    with pytest.raises(TypeError, match=r"progress=.*1.* must be True or False"):
        RunConfig(progress=np.int64(1))


# TF_CONFIG. -------------------------------------------------------------------------------------------------------------

CLUSTER = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": 1}}), "a cluster of 3 tasks .1 chief, 2 worker"),
        (json.dumps({"model_dir": "gs://bucket"}), r"model_dir='gs://bucket'; give it to Agent\(model_dir="),
        ("{cluster:", "cannot be read"),
        ("[1]", "cannot be read"),
        (json.dumps({"cluster": 3}), "cannot be read"),
        (json.dumps({"task": 3}), "cannot be read"),
        (json.dumps({"cluster": {"chief": ["a:1"], "ps": ["b:1"]}}), "a cluster of 2 tasks .1 chief, 1 ps"),
        (json.dumps({"task": {"type": "ps", "index": 0}}), "a task of type 'ps'"),
        (json.dumps({"task": {"type": "Evaluator", "index": 0}}), "a task of type 'Evaluator'"),
    ],
)
def test_a_tf_config_that_would_be_ignored_is_refused(monkeypatch, content, words):
    monkeypatch.setenv("TF_CONFIG", content)
    with pytest.raises(ValueError, match=rf"TF_CONFIG.*{words}.*unset TF_CONFIG"):
        make_agent()


@pytest.mark.parametrize("content", ["{}", json.dumps({"cluster": {"chief": ["a:1"]}, "task": {"type": "chief", "index": 0}})])
def test_a_tf_config_of_one_task_is_noted(monkeypatch, caplog, content):
    monkeypatch.setenv("TF_CONFIG", content)
    with caplog.at_level(logging.INFO, "polyrl"):
        make_agent()
    assert "TF_CONFIG is set; it describes no other task" in caplog.text


EVALUATOR = json.dumps({"cluster": {"chief": ["a:1"], "evaluator": ["b:1"]}, "task": {"type": "evaluator", "index": 0}})


def test_the_evaluator_does_not_train(monkeypatch, caplog):
    monkeypatch.setenv("TF_CONFIG", EVALUATOR)
    with caplog.at_level(logging.INFO, "polyrl"):
        agent = make_agent()
    assert "this process is the evaluator" in caplog.text
    with pytest.raises(ValueError, match=r"this process is the evaluator, which trains nothing.*unset TF_CONFIG"):
        agent.train(ChainEnv(), max_timesteps=10)


def test_an_empty_tf_config_is_none(monkeypatch, caplog):
    monkeypatch.setenv("TF_CONFIG", "")
    with caplog.at_level(logging.INFO, "polyrl"):
        make_agent()
    assert "TF_CONFIG" not in caplog.text


@pytest.mark.parametrize("name", ["../elsewhere", "", "a/b", "two words", 3])
def test_the_name_of_an_evaluation_leads_nowhere_else(name):
    with pytest.raises(ValueError, match="results go to model_dir/eval_<name>"):
        checked_run_name(name)
    assert checked_run_name("final-2.5_x") == "final-2.5_x"
