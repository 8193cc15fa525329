"""What replay memories need of the models: n-step windows `[B, n]` reduced by the model's discount, once; priorities."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

GAMMA = 0.9
SIZE, STEPS = 8, 3


@pytest.fixture
def windows(batch):
    """Features and labels with random windows, and the same reduced to one step each by a loop."""

    def make(seed: int):
        rng = np.random.default_rng(seed)
        features, labels = batch(seed, SIZE)
        window = {
            "reward": rng.normal(size=[SIZE, STEPS]).astype(np.float32),
            "done": (rng.random([SIZE, STEPS]) < 0.25).astype(np.float32),
            "truncated": (rng.random([SIZE, STEPS]) < 0.25).astype(np.float32),
        }
        # One that terminates in its middle and one that goes on to its end are always among them.
        window["done"][:2] = [[0, 1, 0], [0, 0, 0]]
        window["truncated"][:2] = 0
        reward, discount = np.zeros(SIZE, np.float32), np.zeros(SIZE, np.float32)
        for row in range(SIZE):
            for step in range(STEPS):
                reward[row] += GAMMA**step * window["reward"][row, step]
                discount[row] = 0.0 if window["done"][row, step] else GAMMA ** (step + 1)
                if window["done"][row, step] or window["truncated"][row, step]:
                    break
        reduced = {"reward": reward, "discount": discount, "done": (discount == 0.0).astype(np.float32)}
        return features, {**labels, **window}, {**labels, **reduced}

    return make


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_losses_are_those_of_the_reduced_transitions(kind, scope, networks, windows, compiled, mode, seed):
    features, labels, reduced = windows(seed)
    kind(mode, scope, discount=GAMMA)(features, labels)
    networks.perturb_target()
    losses = compiled(lambda labels: kind(mode, scope, discount=GAMMA)(features, labels).predictions["losses"])
    # Another discount of the model's shows that it plays no further part.
    expected = kind(mode, scope, discount=0.123)(features, reduced).predictions["losses"]
    np.testing.assert_allclose(losses(labels), expected, rtol=1e-5, atol=1e-6)


def test_windows_of_one_step_are_single_steps(kind, scope, networks, batch):
    features, labels = batch(size=SIZE)
    kind("train", scope)(features, labels)
    networks.perturb_target()
    single = kind("train", scope)(features, labels).predictions["losses"]
    longer = {**labels, **{key: labels[key][:, tf.newaxis] for key in ("reward", "done")}}
    np.testing.assert_allclose(kind("train", scope)(features, longer).predictions["losses"], single, rtol=1e-6)


def test_what_follows_the_end_of_an_episode_does_not_matter(kind, scope, windows):
    features, labels, _ = windows(0)
    ended = np.maximum(labels["done"], labels["truncated"])
    after = np.cumsum(ended, axis=1) - ended > 0
    spoiled = {**labels, "reward": np.where(after, np.nan, labels["reward"]).astype(np.float32)}
    first = kind("train", scope)(features, labels).predictions["losses"]
    np.testing.assert_array_equal(kind("train", scope)(features, spoiled).predictions["losses"], first)


def test_windows_without_truncations_are_taken_as_never_truncated(dqn, scope, windows):
    features, labels, _ = windows(1)
    zeros = {**labels, "truncated": np.zeros([SIZE, STEPS], np.float32)}
    del labels["truncated"]
    np.testing.assert_array_equal(
        dqn("train", scope)(features, labels).predictions["losses"], dqn("train", scope)(features, zeros).predictions["losses"]
    )


@pytest.mark.parametrize(
    ("key", "shape"), [("done", [SIZE, 2]), ("truncated", [SIZE, 2]), ("truncated", [SIZE]), ("weights", [SIZE, 3])]
)
def test_windows_of_different_lengths_are_refused_by_name(dqn, windows, key, shape):
    features, labels, _ = windows(0)
    with pytest.raises(ValueError, match=rf"labels\['{key}'\]: expected .* got shape"):
        dqn("train")(features, {**labels, key: np.zeros(shape, np.float32)})


def test_a_discount_in_addition_to_windows_is_refused(dqn, windows):
    features, labels, reduced = windows(0)
    with pytest.raises(ValueError, match=r"labels\['discount'\] must be left out"):
        dqn("train")(features, {**labels, "discount": reduced["discount"]})


# Priorities. ------------------------------------------------------------------------------------------------------------


def test_priorities_are_absolute_td_errors_or_the_losses_of_c51(kind, scope, networks, windows):
    for labels in windows(2)[1:]:
        features = windows(2)[0]
        kind("train", scope)(features, labels)
        networks.perturb_target()
        spec = kind("train", scope)(features, labels)
        expected = spec.predictions["losses"] if kind.categorical else tf.abs(spec.predictions["td_error"])
        np.testing.assert_array_equal(spec.extra_ops["priorities"], expected)
        assert spec.extra_ops["priorities"].shape == [SIZE]
        # The same without learning: an actor says by them how surprising its transitions are.
        seen = kind("eval", scope)(features, labels)
        np.testing.assert_allclose(seen.extra_ops["priorities"], expected, rtol=1e-6)


@pytest.mark.parametrize("mode", ["train", "eval", "infer"])
def test_there_are_no_priorities_without_labels(kind, batch, mode):
    features, _ = batch()
    assert "priorities" not in kind(mode)(features).extra_ops
