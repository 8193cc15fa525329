"""The scope: parts are built once, found again, checkpointed together, and their randomness follows from one seed."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.models import DQNModel, Scope, current_scope
from polyrl.models.scope import stream_seed
from polyrl.networks import mlp

SEEDS = [0, 1, 7]


def initial_weights(kind, networks_of, batch, seed, **arguments):
    scope = Scope(seed=seed)
    kind("infer", scope, **arguments)(batch()[0])
    return networks_of(scope, arguments.get("name", "Model")).weights()


# Parts ----------------------------------------------------------------------------------------------------------------


def test_a_part_is_built_once_and_found_again(scope):
    built = []
    first = scope.get("part", lambda: built.append("first") or tf.Variable(1.0))
    second = scope.get("part", lambda: built.append("second") or tf.Variable(2.0))
    assert first is second
    assert built == ["first"]


def test_parts_of_different_names_are_different(scope):
    assert scope.get("a", lambda: tf.Variable(1.0)) is not scope.get("b", lambda: tf.Variable(1.0))


def test_a_part_that_fails_to_build_is_built_by_the_next_call(scope):
    with pytest.raises(ZeroDivisionError):
        scope.get("part", lambda: 1 / 0)
    assert scope.get("part", lambda: "built") == "built"


def test_a_part_first_asked_for_while_tracing_outlives_the_trace(scope):
    @tf.function
    def add(x):
        return scope.get("total", lambda: tf.Variable(tf.zeros([]))).assign_add(tf.reduce_sum(x))

    add(tf.ones([2]))
    add(tf.ones([3]))  # Another shape: another trace.
    assert scope.parts["total"].numpy() == 5.0


@pytest.mark.parametrize("jit_compile", [False, True])
def test_networks_built_while_tracing_are_those_an_eager_call_finds(head_kind, scope, batch, networks, jit_compile):
    model, acting = head_kind("infer", scope), head_kind("eval", scope)
    traced = tf.function(lambda f: model(f).predictions["q"], autograph=False, jit_compile=jit_compile)
    values = {size: traced(batch(size=size)[0]) for size in (2, 5)}
    network = networks.online
    for size, q in values.items():
        np.testing.assert_allclose(acting(batch(size=size)[0]).predictions["q"], q, rtol=1e-5, atol=1e-6)
    assert networks.online is network


@pytest.mark.slow
def test_a_whole_update_traced_first_builds_everything_once(dqn, scope, batch):
    model = dqn("train", scope)

    @tf.function
    def update(features, labels):
        return model(features, labels).train_op()

    assert update(*batch(size=4)) == 1
    parts = dict(scope.parts)
    assert update(*batch(size=3)) == 2
    assert set(parts) == {"Model/online", "Model/target", "Model/fused_step", "Model/optimizer"}
    assert all(scope.parts[name] is part for name, part in parts.items())


# Which scope ----------------------------------------------------------------------------------------------------------


def test_outside_of_any_scope_each_caller_gets_one_of_its_own():
    assert current_scope() is not current_scope()


def test_the_innermost_active_scope_is_the_current_one_and_leaving_it_restores_the_outer():
    outer, inner = Scope(), Scope()
    with outer.active() as entered:
        assert entered is outer
        assert current_scope() is outer
        with inner.active():
            assert current_scope() is inner
        assert current_scope() is outer
    assert current_scope() not in (outer, inner)


def test_an_exception_inside_leaves_the_scope_too():
    scope = Scope()
    with pytest.raises(RuntimeError, match="inside"), scope.active():
        raise RuntimeError("inside")
    assert current_scope() is not scope


def test_models_outside_of_any_scope_share_nothing(head_kind, batch):
    features, labels = batch()
    models = [head_kind.model_class("train", mlp([8]), 4, 3, **head_kind.arguments, summaries=[]) for _ in range(2)]
    specs = [model(features, labels) for model in models]
    before = models[1](features).predictions["q"].numpy()
    specs[0].train_op()
    np.testing.assert_array_equal(models[1](features).predictions["q"], before)
    assert not np.array_equal(models[0](features).predictions["q"], before)


def test_a_model_keeps_the_scope_it_was_made_in(dqn, scope, batch):
    model = dqn("infer", scope)
    with Scope().active() as other:
        model(batch()[0])
    assert "Model/online" in scope.parts
    assert not other.parts


def test_models_of_one_name_in_two_scopes_share_nothing(head_kind, batch, networks_of, equal):
    scopes = [Scope(seed=0), Scope(seed=0)]
    for scope in scopes:
        head_kind("train", scope)(*batch())
    before = networks_of(scopes[1]).weights()
    head_kind("train", scopes[0])(*batch()).train_op()
    assert equal(networks_of(scopes[1]).weights(), before)
    assert not equal(networks_of(scopes[0]).weights(), before)
    assert (scopes[0].global_step.numpy(), scopes[1].global_step.numpy()) == (1, 0)


# Two models, one checkpoint -------------------------------------------------------------------------------------------


def two_models(scope):
    common = {"graph_fn": mlp([8]), "num_states": 4, "num_actions": 3, "summaries": []}
    with scope.active():
        return [DQNModel("train", **common, name=name) for name in ("left", "right")]


def test_models_of_different_names_in_one_scope_learn_apart(scope, batch, networks_of, equal):
    for model in two_models(scope):
        model(*batch())
    left, right = networks_of(scope, "left"), networks_of(scope, "right")
    before = {net: net.weights("online") + net.weights("target") for net in (left, right)}
    two_models(scope)[0](*batch()).train_op()
    assert not equal(left.weights("online") + left.weights("target"), before[left])
    assert equal(right.weights("online") + right.weights("target"), before[right])


def test_models_of_different_names_start_with_different_weights(scope, batch, networks_of, equal):
    for model in two_models(scope):
        model(*batch())
    assert not equal(networks_of(scope, "left").weights(), networks_of(scope, "right").weights())


@pytest.mark.parametrize("restore_first", [True, False], ids=["restored before it is built", "built before"])
def test_one_checkpoint_holds_two_models_and_training_resumes_bit_for_bit(tmp_path, batch, networks, restore_first):
    def train(models, seeds):
        for seed in seeds:
            for model in models:
                model(*batch(seed)).train_op()

    straight = Scope(seed=1)
    models = two_models(straight)
    train(models, range(3))
    path = tf.train.Checkpoint(scope=straight).save(str(tmp_path / "ckpt"))
    train(models, range(3, 6))

    resumed = Scope(seed=2)
    models = two_models(resumed)
    if not restore_first:
        train(models, [9])
    status = tf.train.Checkpoint(scope=resumed).restore(path)
    train(models, range(3, 6))
    status.assert_existing_objects_matched()

    everything = [type(networks)(scope).everything() for scope in (straight, resumed)]
    assert len(everything[0]) > 30
    for first, second in zip(*everything, strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_checkpoint_holds_the_three_counters(tmp_path, scope):
    for value, counter in enumerate([scope.global_step, scope.global_timestep, scope.global_episode]):
        counter.assign(value + 5)
    path = tf.train.Checkpoint(scope=scope).save(str(tmp_path / "ckpt"))
    restored = Scope()
    tf.train.Checkpoint(scope=restored).restore(path).assert_consumed()
    counters = [restored.global_step, restored.global_timestep, restored.global_episode]
    assert [int(counter) for counter in counters] == [5, 6, 7]


# Seeds ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_seed_gives_the_same_initial_weights_in_a_fresh_scope(head_kind, networks_of, batch, equal, seed):
    first, second = (initial_weights(head_kind, networks_of, batch, seed) for _ in range(2))
    assert equal(first, second)


def test_different_seeds_give_different_initial_weights(head_kind, networks_of, batch):
    kernels = [initial_weights(head_kind, networks_of, batch, seed)[0] for seed in SEEDS]
    assert not any(np.allclose(kernels[i], kernels[j]) for i, j in [(0, 1), (0, 2), (1, 2)])


@pytest.mark.slow
@pytest.mark.usefixtures("restored_randomness")
@pytest.mark.parametrize("disturb", [random.seed, np.random.seed, tf.random.set_seed, tf_keras.utils.set_random_seed])
def test_initial_weights_depend_on_no_global_random_state(dqn, networks_of, batch, equal, disturb):
    def weights(disturbed):
        if disturbed:
            disturb(99)
        return [initial_weights(dqn, networks_of, batch, seed=3) for _ in range(2)]

    with ThreadPoolExecutor(1) as pool:  # tf-keras keeps the generator that its set_random_seed makes for each thread.
        first, second = pool.submit(weights, True).result()
    expected, _ = weights(disturbed=False)
    assert equal(first, expected)
    assert equal(second, expected)


def test_building_networks_leaves_pythons_random_state_alone(head_kind, scope, batch):
    random.seed(5)
    before = random.getstate()
    head_kind("train", scope)(*batch()).train_op()
    assert random.getstate() == before


def test_a_graph_fn_that_fails_leaves_pythons_random_state_alone(dqn, scope, batch):
    def graph_fn(mode, inputs):
        random.random()
        raise RuntimeError("no graph")

    before = random.getstate()
    with pytest.raises(RuntimeError, match="no graph"):
        dqn("infer", scope, graph_fn=graph_fn)(batch()[0])
    assert random.getstate() == before


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_seed_is_a_function_of_root_stream_and_count(seed):
    def draw(root, stream, count):
        return Scope(seed=root).random_seed(stream, tf.constant(count, tf.int64)).numpy()

    base = draw(seed, "exploration", 3)
    assert base.shape == (2,)
    np.testing.assert_array_equal(base, draw(seed, "exploration", 3))
    for other in (draw(seed + 1, "exploration", 3), draw(seed, "replay", 3), draw(seed, "exploration", 4)):
        assert not np.array_equal(base, other)


def test_random_seeds_do_not_repeat_over_streams_and_counts():
    scope = Scope(seed=0)
    seeds = {
        tuple(scope.random_seed(stream, tf.constant(count, tf.int64)).numpy())
        for stream in ("exploration", "prediction", "replay")
        for count in range(100)
    }
    assert len(seeds) == 300


def test_seeds_go_by_global_timestep_unless_another_count_is_given(scope):
    def at(count):
        return scope.random_seed("stream", tf.constant(count, tf.int64)).numpy().tolist()

    scope.global_timestep.assign(4)
    assert scope.random_seed("stream").numpy().tolist() == at(4) != at(5)


@pytest.mark.parametrize("jit", [None, False, True])
def test_the_next_seed_is_another_one_each_time_and_the_same_in_each_scope(jit):
    def seeds(scope):
        next_seed = lambda: scope.next_seed("stream")  # noqa: E731
        scope.next_seed("other")
        run = next_seed if jit is None else tf.function(next_seed, jit_compile=jit, autograph=False)
        return [tuple(run().numpy().tolist()) for _ in range(5)]

    first, second = seeds(Scope(seed=3)), seeds(Scope(seed=3))
    assert first == second
    assert len(set(first)) == 5
    assert not set(first) & set(seeds(Scope(seed=4)))


@pytest.mark.parametrize("root", [0, 1, 2**31, -5])
def test_stream_seeds_are_31_bit_and_differ_by_stream(root):
    streams = [stream_seed(root, f"stream/{i}") for i in range(50)]
    assert all(0 <= number < 2**31 for pair in streams for number in pair)
    assert len(set(streams)) == 50
    assert streams[0] == stream_seed(root, "stream/0")


def test_stream_seeds_differ_by_root():
    assert len({stream_seed(root, "initialisation/Model") for root in range(100)}) == 100
