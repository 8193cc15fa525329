"""Which strategy a run has, and what is refused before anything is connected."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import tensorflow as tf
from absl.testing import flagsaver
from tiny_agents import counting_model_fn, make_agent
from tiny_envs import ChainEnv

from polyrl.engine.replicas import Replica
from polyrl.errors import LostWorkerError
from polyrl.estimators import RunConfig, tf_config
from polyrl.estimators.strategies import Learnt, choice, strategy_of
from polyrl.estimators.strategies.learnt import learn_share
from polyrl.estimators.strategies.workers import _lost_named
from polyrl.experiments import cli
from polyrl.replay import SequenceReplay, UniformReplay

CLUSTER = {"chief": ["a:1"], "worker": ["b:1", "c:1"], "evaluator": ["d:1"]}


def test_one_is_no_strategy_and_others_are_known_by_name():
    assert strategy_of("one", UniformReplay(100, 7), print) is None
    with pytest.raises(ValueError, match=r"^strategy='mirror' is unknown; use one of 'one', 'mirrored', 'multi_worker'\.$"):
        RunConfig(strategy="mirror")


@pytest.mark.parametrize(("setting", "words"), [({"jit": "on"}, "jit='on'"), ({"overlap": True}, "overlap=True")])
def test_what_does_not_go_with_a_strategy_is_refused(setting, words):
    RunConfig(**setting)
    with pytest.raises(ValueError, match=rf"^{words} does not go with strategy='mirrored'; leave it out\.$"):
        RunConfig(strategy="mirrored", **setting)


@pytest.mark.parametrize(
    ("memory", "count", "words"),
    [
        (
            UniformReplay(100, 33),
            2,
            r"^batch_size=33 cannot be .* among 2 learners, with strategy='mirrored'; use 32 or 34\.$",
        ),
        (UniformReplay(100, 2), 3, r"^batch_size=2 .* among 3 learners, with strategy='mirrored'; use 3\.$"),
        (SequenceReplay(100, 24, sequence_length=8), 2, r"^batch_size=24, of sequences of 8 steps, .*; use 16 or 32\.$"),
    ],
)
def test_a_batch_that_cannot_be_divided_is_refused_with_what_can(monkeypatch, memory, count, words):
    monkeypatch.setitem(choice.KINDS, "mirrored", lambda tell: SimpleNamespace(count=count))
    with pytest.raises(ValueError, match=words):
        strategy_of("mirrored", memory, print)


def test_a_cluster_of_several_needs_the_strategy_and_a_strategy_the_cluster(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": 1}}))
    with pytest.raises(ValueError, match=r"3 tasks \(1 chief, 2 worker\).*strategy='multi_worker'.*has them learn together"):
        make_agent()
    assert tf_config.task("multi_worker") == "worker"
    assert tf_config.learners() == (2, ["a:1", "b:1", "c:1"])
    monkeypatch.delenv("TF_CONFIG")
    with pytest.raises(ValueError, match=r"^strategy='multi_worker' takes the processes from .*TF_CONFIG.*it is not set\.$"):
        make_agent(strategy="multi_worker")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            {"cluster": {"chief": ["a:1"], "ps": ["b:1"]}, "task": {"type": "chief"}},
            "1 chief, 1 ps.*Only chief and master",
        ),
        ({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}, "this process is worker 2, and the"),
        ({"cluster": {"worker": ["a:1", "b:1"]}}, "this process is None 0, and the cluster has"),
        ({"cluster": {"worker": "a:1"}, "task": {"type": "worker"}}, "expected a list of addresses for each kind of task"),
        ({"cluster": {"worker": ["a:1", "foo"]}, "task": {"type": "worker"}}, "'foo' is no address"),
        ({"cluster": {"worker": ["a:1", "b:99999"]}, "task": {"type": "worker"}}, "'b:99999' is no address.*below 65536"),
        ({"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker"}}, "'a:1' is the address of two"),
        ({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0.9}}, "an integer as index, got 0.9"),
    ],
)
def test_a_cluster_that_cannot_learn_together_is_refused(monkeypatch, content, words):
    monkeypatch.setenv("TF_CONFIG", json.dumps(content))
    with pytest.raises(ValueError, match=words):
        make_agent(strategy="multi_worker")


@pytest.mark.parametrize(
    ("kind", "index", "schedule"),
    [("chief", 0, "train_and_evaluate"), ("worker", 0, "train"), ("evaluator", 0, "continuous_eval")],
)
def test_the_chief_evaluates_workers_learn_and_the_evaluator_looks_on(monkeypatch, kind, index, schedule):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": CLUSTER, "task": {"type": kind, "index": index}}))
    assert tf_config.schedule_of_task("train_and_evaluate", "multi_worker") == schedule
    assert tf_config.schedule_of_task("infer", "multi_worker") == "infer"


def test_the_evaluator_of_a_cluster_connects_to_nobody(monkeypatch, tmp_path):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": CLUSTER, "task": {"type": "evaluator", "index": 0}}))
    agent = make_agent(strategy="multi_worker", model_dir=tmp_path)
    with pytest.raises(ValueError, match="this process is the evaluator, which trains nothing"):
        agent.train(ChainEnv(), max_timesteps=10)


def test_a_cluster_that_comes_too_late_is_refused(monkeypatch):
    tf.constant(1.0)
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": 1}}))
    with pytest.raises(ValueError, match=r"^strategy='multi_worker' comes too late: .* Make the first Agent before"):
        make_agent(strategy="multi_worker")


def test_a_train_op_that_does_not_average_is_refused():
    features, labels = {"state": tf.zeros([4, 2])}, {"reward": tf.zeros([4])}

    def compute(features, labels):
        spec = counting_model_fn(features, labels, "train")
        return Learnt(spec.train_op, spec.loss, None)

    with pytest.raises(ValueError, match=r"^model_fn returned a train_op whose gradients are not averaged.*mean_gradients"):
        learn_share(Replica(0, 2, lambda tensors: list(tensors)), compute, features, labels)


def test_only_errors_of_the_connection_are_those_of_a_lost_worker():
    says = r"by the same commands.*TensorFlow says: Collective ops is aborted by: Socket"
    with pytest.raises(LostWorkerError, match=says), _lost_named():
        raise tf.errors.UnavailableError(None, None, "{{node x}} Collective ops is aborted by: Socket closed\nmore")
    with pytest.raises(tf.errors.InvalidArgumentError), _lost_named():
        raise tf.errors.InvalidArgumentError(None, None, "labels out of range")


@pytest.mark.parametrize(("mode", "strategy"), [("eval", "one"), ("export", "one"), ("train", "multi_worker")])
def test_a_run_of_several_learners_is_evaluated_by_one(mode, strategy):
    with flagsaver.flagsaver(mode=mode, strategy="multi_worker"):
        cli.FLAGS.mark_as_parsed()
        assert cli.run_config({"seed": 1}).strategy == strategy
