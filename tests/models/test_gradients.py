"""Clipping of embeddings' gradients, sparse and dense, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.configs import SGDConfig
from polyrl.models import Scope
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
    """Transitions between states that are numbers, some of them twice in a batch; the errors are large."""
    rng = np.random.default_rng(1)
    state, following = rng.integers(0, 5, [2, size]).astype(np.int32)
    labels = batch(size=size, next_state=following, reward=np.full(size, 9.0, np.float32), done=np.ones(size, np.float32))[1]
    return {"state": tf.constant(state)}, labels


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
