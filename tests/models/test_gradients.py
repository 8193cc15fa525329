"""Clipping of embeddings' gradients, sparse and dense, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tiny_agents import make_agent
from tiny_envs import ScheduleEnv

from polyrl.configs import SGDConfig
from polyrl.models import DQNModel, Scope
from polyrl.models.gradients import clip_gradients

layers = tf_keras.layers


def by_hand(gradients, embeddings, largest, largest_of_an_embedding):
    """Global norm first, then each embedding by its own, number by number in float64."""
    gradients = [np.asarray(gradient, np.float64) for gradient in gradients]
    norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients))
    if largest and norm > largest:
        gradients = [gradient * largest / norm for gradient in gradients]
    for index in embeddings:
        own = np.sqrt((gradients[index] ** 2).sum())
        if largest_of_an_embedding and own > largest_of_an_embedding:
            gradients[index] = gradients[index] * largest_of_an_embedding / own
    return norm, gradients


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("largest", [None, 0.0, 0.7, 1e6])
@pytest.mark.parametrize("of_an_embedding", [None, 0.0, 0.1, 1e6])
def test_clipping_is_that_of_numpy(seed, largest, of_an_embedding):
    rng = np.random.default_rng(seed)
    gradients = [rng.normal(size=shape).astype(np.float32) for shape in ([4, 3], [9, 2], [5], [6, 2])]
    found = clip_gradients([tf.constant(gradient) for gradient in gradients], {1, 3}, largest, of_an_embedding)
    norm, expected = by_hand(gradients, [1, 3], largest, of_an_embedding)
    np.testing.assert_allclose(found.norm, norm, rtol=1e-5)
    np.testing.assert_allclose(found.clipped_norm, by_hand(expected, [], None, None)[0], rtol=1e-5)
    for one, other in zip(found.clipped, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


class DenseLookup(layers.Embedding):
    """An embedding by a product with one-hot rows: its gradient comes dense."""

    def call(self, inputs):
        return tf.one_hot(inputs, self.input_dim) @ tf.convert_to_tensor(self.embeddings)


TABLES = {
    "sparse": lambda: layers.Embedding(10, 4),
    "dense": lambda: DenseLookup(10, 4),
    "sparse and dense": lambda: layers.Embedding(10, 4, embeddings_regularizer=tf_keras.regularizers.l2(0.05)),
}


def numbers(batch, size=8):
    """Transitions between discrete states, some of them twice in a batch; the errors are large."""
    rng = np.random.default_rng(1)
    state, next_state = rng.integers(0, 5, [2, size]).astype(np.int32)
    labels = batch(size=size, next_state=next_state, reward=np.full(size, 9.0, np.float32), done=np.ones(size, np.float32))[1]
    return {"state": tf.constant(state)}, labels


@pytest.mark.default_cases(1)
@pytest.mark.parametrize(
    ("compilation", "table", "largest"),
    [
        ("eager", "sparse", None),
        ("eager", "dense", None),
        ("eager", "sparse and dense", None),
        ("eager", "sparse", 0.5),
        ("function", "dense", 0.5),
        ("xla", "sparse", 0.5),
    ],
)
def test_an_update_takes_what_numpy_clips_off_each_table_by_its_own_norm(
    dqn, batch, networks_of, compilations, compilation, table, largest
):
    """J4: two tables of one kind in one network, with rows that occur more than once."""

    def graph_fn(mode, inputs):
        return layers.Dense(4)(layers.Concatenate()([TABLES[table]()(inputs["state"]) for _ in range(2)]))

    def moved(**clips):
        scope = Scope(seed=2)
        model = dqn("train", scope, graph_fn=graph_fn, num_states=10, optimizer_config=SGDConfig(1.0), **clips)
        update = compilations[compilation](lambda features, labels: model(features, labels).train_op())
        model(*numbers(batch))
        before = networks_of(scope).trained()
        update(*numbers(batch))
        after = networks_of(scope).trained()
        return networks_of(scope).online.embedding_indices(), [a - b for a, b in zip(before, after, strict=True)]

    tables, free = moved(clip_gradients=None, clip_embed_gradients=None)
    assert sorted(tables) == [0, 1]
    _, clipped = moved(clip_gradients=largest, clip_embed_gradients=0.1)
    for found, expected in zip(clipped, by_hand(free, tables, largest, 0.1)[1], strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-6)
    assert min(np.linalg.norm(free[index]) for index in tables) > 0.11  # There is something to clip.


# Clipping -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def update_by(scope, networks):
    """What one step of plain gradient descent takes off each trained variable: the gradients as applied."""

    def step(kind, features, labels, **arguments):
        model = kind("train", scope, optimizer_config=SGDConfig(1.0), **arguments)
        model(features, labels)
        before = networks.trained()
        model(features, labels).train_op()
        moved = [old - new for old, new in zip(before, networks.trained(), strict=True)]
        for variable, value in zip(networks.online.model.trainable_variables, before, strict=True):
            variable.assign(value)
        return moved

    return step


def norm(arrays):
    return np.sqrt(sum(np.square(array).sum() for array in arrays))


def test_clip_gradients_bounds_the_norm_of_all_gradients_and_keeps_their_direction(kind, batch, update_by):
    features, labels = batch(reward=np.full(6, 3.0, np.float32))
    free = update_by(kind, features, labels, clip_gradients=None)
    clip = 0.3 * norm(free)
    clipped = update_by(kind, features, labels, clip_gradients=clip)
    for before, after in zip(free, clipped, strict=True):
        np.testing.assert_allclose(after, 0.3 * before, rtol=1e-2, atol=2e-6)
    np.testing.assert_allclose(norm(clipped), clip, rtol=1e-3)


def test_gradients_below_the_bound_are_left_alone(dqn, batch, update_by):
    free = update_by(dqn, *batch(), clip_gradients=None)
    loose = update_by(dqn, *batch(), clip_gradients=2.0 * norm(free))
    for before, after in zip(free, loose, strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("off", [0, 0.0, None])
def test_zero_and_none_do_not_clip(dqn, batch, update_by, off):
    """J5: clipping off is off."""
    features, labels = batch(reward=np.full(6, 9.0, np.float32))
    free = update_by(dqn, features, labels, clip_gradients=off)
    loose = update_by(dqn, features, labels, clip_gradients=1e6)
    assert norm(free) > 1.0
    np.testing.assert_allclose(norm(free), norm(loose), rtol=1e-5)


def test_the_default_bound_is_a_half(dqn, batch, update_by):
    features, labels = batch(reward=np.full(6, 9.0, np.float32))
    np.testing.assert_allclose(norm(update_by(dqn, features, labels)), 0.5, rtol=1e-3)


def embedding_torso(mode, inputs):
    return layers.Dense(4)(layers.Flatten()(layers.Embedding(10, 4)(inputs["state"])))


def discrete(batch, states):
    """A batch of discrete states, with large errors."""
    size = len(states)
    labels = {"reward": np.full(size, 9.0, np.float32), "done": np.ones(size, np.float32)}
    _, labels = batch(size=size, next_state=np.zeros([size, 1], np.int32), **labels)
    return {"state": tf.constant(states, tf.int32)[:, tf.newaxis]}, labels


@pytest.mark.parametrize("states", [[0, 1, 2, 3, 4, 5], [3, 3, 3, 3, 3, 3]], ids=["distinct rows", "one row, repeated"])
def test_clip_embed_gradients_bounds_the_table_alone(dqn, batch, update_by, states):
    """J4: whether the gradient comes in one piece per row or in several."""
    features, labels = discrete(batch, states)
    common = {"graph_fn": embedding_torso, "num_states": 1, "clip_gradients": None}
    free = update_by(dqn, features, labels, clip_embed_gradients=None, **common)
    clip = 0.2 * norm(free[:1])
    clipped = update_by(dqn, features, labels, clip_embed_gradients=clip, **common)
    np.testing.assert_allclose(norm(clipped[:1]), clip, rtol=1e-3)
    np.testing.assert_allclose(clipped[0], 0.2 * free[0], rtol=1e-2, atol=1e-6)
    for before, after in zip(free[1:], clipped[1:], strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("states", [[0, 1, 2, 3, 4, 5], [3, 3, 3, 3, 3, 3]], ids=["distinct rows", "one row, repeated"])
def test_clip_gradients_bounds_the_norm_with_an_embedding_too(dqn, batch, update_by, states):
    features, labels = discrete(batch, states)
    common = {"graph_fn": embedding_torso, "num_states": 1, "clip_embed_gradients": None}
    free = update_by(dqn, features, labels, clip_gradients=None, **common)
    clipped = update_by(dqn, features, labels, clip_gradients=0.2 * norm(free), **common)
    np.testing.assert_allclose(norm(clipped), 0.2 * norm(free), rtol=1e-3)


@pytest.mark.parametrize("off", [0, None])
def test_zero_and_none_do_not_clip_embeddings(dqn, batch, update_by, off):
    features, labels = discrete(batch, [0, 1, 2, 3, 4, 5])
    common = {"graph_fn": embedding_torso, "num_states": 1, "clip_gradients": None}
    free = update_by(dqn, features, labels, clip_embed_gradients=off, **common)
    loose = update_by(dqn, features, labels, clip_embed_gradients=1e6, **common)
    assert norm(free[:1]) > 0.1
    np.testing.assert_allclose(free[0], loose[0], rtol=1e-5)


def test_clip_embed_gradients_leaves_networks_without_embeddings_alone(dqn, batch, update_by):
    free = update_by(dqn, *batch(), clip_gradients=None, clip_embed_gradients=None)
    bound = update_by(dqn, *batch(), clip_gradients=None, clip_embed_gradients=1e-6)
    np.testing.assert_allclose(norm(bound), norm(free), rtol=1e-5)


CUT = {
    "cast to integers": lambda x: tf.cast(layers.Dense(8)(x), tf.int32),
    "comparison": lambda x: layers.Dense(8)(x) > 0,
    "argmax": lambda x: tf.one_hot(tf.argmax(layers.Dense(8)(x), axis=1), 8),
    "stopped": lambda x: tf.stop_gradient(layers.Dense(8)(x)),
    "rounded": lambda x: tf.round(layers.Dense(8)(layers.Dense(4)(x))),
}
JOINED = {
    "no variables": lambda x: tf.cast(x, tf.int32),
    "frozen": lambda x: tf.stop_gradient(layers.Dense(8, trainable=False)(x)),
    "one of two": lambda x: tf.concat([layers.Dense(8)(x), tf.stop_gradient(layers.Dense(8)(x))], axis=1),
    "an unused layer": lambda x: (layers.Dense(8)(x), layers.Dense(4)(x))[1],
    "recomputed": lambda x: layers.Lambda(tf.recompute_grad(lambda y: y * 2.0))(layers.Dense(8)(x)),
}


@pytest.mark.default_cases(5)
@pytest.mark.parametrize("name", CUT)
def test_a_torso_that_no_gradient_reaches_is_refused(head_kind, batch, name):
    features, labels = batch()
    with pytest.raises(
        ValueError, match=r"graph_fn: no gradient reaches its variables.*kernel \(4, [48]\) float32.*trainable=Fa"
    ):
        head_kind("train", graph_fn=lambda _, inputs: CUT[name](inputs["state"]))(features, labels)


@pytest.mark.default_cases(5)
@pytest.mark.parametrize("name", JOINED)
def test_a_torso_need_not_have_a_gradient_everywhere(head_kind, batch, name):
    features, labels = batch()
    head_kind("train", graph_fn=lambda _, inputs: JOINED[name](inputs["state"]))(features, labels).train_op()


@pytest.mark.slow
def test_without_a_torso_to_reach_the_heads_are_trained_in_a_run():
    def model_fn(features, labels, mode):
        return DQNModel(mode, lambda _, x: tf.cast(x["state"], tf.int32), 4, 3, summaries=[])(features, labels)

    assert make_agent(model_fn).train(ScheduleEnv(), first_update=4, timesteps=8).global_step > 0
