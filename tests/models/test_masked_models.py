"""Masks in the Q models: illegal actions are neither taken nor bootstrapped from; and what else the features may hold."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.configs import BoltzmannExplorationConfig, ConstantExplorationConfig
from polyrl.policies import QPolicy

GAMMA = 0.9
ACTIONS, SIZE = 3, 24
SEEDS = [0, 1]


def random_masks(seed: int, size: int = SIZE) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mask = rng.random([size, ACTIONS]) < 0.4
    mask[np.arange(size), rng.integers(ACTIONS, size=size)] = True
    return mask.astype(np.int8)


@pytest.fixture
def masked(batch):
    """Batches with masks; terminal next states have none of their actions legal."""

    def make(seed=0, size=SIZE, **labels):
        features, labels = batch(seed, size, **labels)
        following = random_masks(seed + 100, size)
        done = labels["done"].numpy()
        following[(done if done.ndim == 1 else done.max(axis=1)) > 0] = 0
        features = {**features, "action_mask": tf.constant(random_masks(seed, size))}
        return features, {**labels, "next_action_mask": tf.constant(following)}

    return make


@pytest.fixture
def differing(scope, masked, networks):
    """Builds a model whose two networks differ in every weight."""

    def build(kind, mode="train", **arguments):
        model = kind(mode, scope, **{"discount": GAMMA, **arguments})
        model(*masked())
        networks.perturb_target()
        return model

    return build


# Targets. ---------------------------------------------------------------------------------------------------------------


def naive_target(kind, row, reward, discount, networks, next_state, mask):
    """The expected value of the target of one row, action by action."""
    state = {"state": next_state[row : row + 1]}
    online, target = networks.online(state), networks.target(state)
    best, best_value = None, -np.inf
    for action in range(ACTIONS):
        value = float((online if kind.double else target).q[0, action])
        if mask[row, action] and value > best_value:
            best, best_value = action, value
    if best is None or discount == 0.0:
        assert discount == 0.0
        best = 0
    if not kind.categorical:
        return reward + discount * float(target.q[0, best])
    low, high, number = (kind.arguments[key] for key in ("min_q_value", "max_q_value", "num_atoms"))
    probabilities = tf.nn.softmax(target.logits[0, best]).numpy()
    # The projection keeps the mean of what it does not clip.
    return sum(
        p * np.clip(reward + discount * z, low, high)
        for p, z in zip(probabilities, np.linspace(low, high, number), strict=True)
    )


def targets_of(model, features, labels):
    """The TD targets `[B]` of a call, and what it returns."""
    found = []
    build = model._build_td_loss

    def noted(batch, forward):
        found.append(build(batch, forward))
        return found[-1]

    model._build_td_loss = noted
    spec = model(features, labels)
    del model._build_td_loss
    return found[0].target, spec


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_targets_bootstrap_from_legal_actions_only(kind, differing, masked, networks, mode, seed):
    model = differing(kind, mode)
    features, labels = masked(seed)
    targets, spec = targets_of(model, features, labels)
    mask, done = labels["next_action_mask"].numpy(), labels["done"].numpy()
    assert not mask[done > 0].any()
    for row in range(SIZE):
        reward = float(labels["reward"][row])
        expected = naive_target(kind, row, reward, GAMMA * (1 - done[row]), networks, labels["next_state"], mask)
        assert float(targets[row]) == pytest.approx(expected, abs=2e-4), row
    assert np.isfinite(spec.loss.numpy())
    unmasked = model({"state": features["state"]}, {k: v for k, v in labels.items() if k != "next_action_mask"})
    assert abs(float(unmasked.loss) - float(spec.loss)) > 1e-3


def test_windows_bootstrap_by_the_mask_of_the_state_at_their_end(kind, differing, masked, networks):
    n = 3
    rng = np.random.default_rng(4)
    rewards = rng.normal(size=[SIZE, n]).astype(np.float32)
    done = (rng.random([SIZE, n]) < 0.15).astype(np.float32)
    model = differing(kind)
    features, labels = masked(5, reward=rewards, done=done)
    targets, _ = targets_of(model, features, labels)
    mask = labels["next_action_mask"].numpy()
    for row in range(SIZE):
        total, discount = 0.0, 1.0
        for k in range(n):
            total, discount = total + discount * rewards[row, k], discount * GAMMA
            if done[row, k]:
                discount = 0.0
                break
        expected = naive_target(kind, row, total, discount, networks, labels["next_state"], mask)
        assert float(targets[row]) == pytest.approx(expected, abs=2e-4), row


def test_a_mask_of_the_next_state_alone_masks_the_target(dqn, differing, masked, networks):
    model = differing(dqn)
    features, labels = masked(1)
    expected = model(features, labels).loss.numpy()
    np.testing.assert_array_equal(model({"state": features["state"]}, labels).loss, expected)
    np.testing.assert_array_equal(model(features["state"], labels).loss, expected)


def test_masks_of_all_actions_change_nothing(kind, differing, batch):
    model = differing(kind)
    features, labels = batch(3, SIZE)
    everything = np.ones([SIZE, ACTIONS], bool)
    plain = model(features, labels)
    full = model({**features, "action_mask": everything}, {**labels, "next_action_mask": everything})
    for name, value in plain.predictions.items():
        np.testing.assert_array_equal(full.predictions[name], value, err_msg=name)
    np.testing.assert_array_equal(full.loss, plain.loss)


@pytest.mark.parametrize(
    "kind",
    ["ddqn", "c51_double", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("dqn", "c51"))],
    indirect=True,
)
def test_an_update_is_the_same_however_it_is_compiled(kind, masked, networks_of, compilations):
    from polyrl.models import Scope

    found = {}
    for name, compile_it in compilations.items():
        scope = Scope(seed=0)
        model = kind("train", scope, discount=GAMMA, target_update_frequency=2)
        model(*masked(0))
        update = compile_it(lambda features, labels, model=model: _updated(model, features, labels))
        losses = [update(*masked(seed)).numpy() for seed in range(3)]
        found[name] = [*losses, *networks_of(scope).weights()]
    for name in ("function", "xla"):
        for value, expected in zip(found[name], found["eager"], strict=True):
            np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5, err_msg=name)


def _updated(model, features, labels):
    spec = model(features, labels)
    spec.train_op()
    return spec.loss


# Actions. ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["train", "eval", "infer"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_greedy_action_is_the_best_legal_one_in_each_mode(head_kind, scope, masked, compiled, mode, seed):
    features, _ = masked(seed, size=50)
    model = head_kind(mode, scope, exploration_config=ConstantExplorationConfig(0.0))
    predictions = compiled(lambda features: dict(model(features).predictions))(features)
    q, mask = predictions["q"].numpy(), features["action_mask"].numpy()
    for row in range(50):
        legal = [action for action in range(ACTIONS) if mask[row, action]]
        assert predictions["results"][row] == max(legal, key=lambda action: q[row, action])
    assert (predictions["results"].numpy() != q.argmax(axis=1)).any()


def chi_square(counts: np.ndarray) -> float:
    expected = counts.sum() / len(counts)
    return float(((counts - expected) ** 2 / expected).sum())


MANY = 9_000


def test_exploration_is_uniform_over_the_legal_actions(head_kind, scope, masked):
    features, _ = masked(0, size=1)
    mask = np.repeat([[1, 0, 1], [0, 1, 0], [1, 1, 1]], MANY, axis=0)
    state = tf.repeat(features["state"], len(mask), axis=0)
    model = head_kind("train", scope, exploration_config=ConstantExplorationConfig(1.0))
    actions = model({"state": state, "action_mask": mask}).predictions["results"].numpy().reshape([3, MANY])
    counts = np.stack([np.bincount(row, minlength=ACTIONS) for row in actions])
    assert counts[[0, 1, 1], [1, 0, 2]].tolist() == [0, 0, 0]
    assert counts[1, 1] == MANY
    # Of one and of two degrees of freedom: exceeded once in 100,000 times.
    assert chi_square(counts[0, [0, 2]]) < 19.5
    assert chi_square(counts[2]) < 23.0


def test_the_policy_of_infer_draws_among_the_legal_by_their_values(head_kind, scope, masked):
    features, _ = masked(0, size=1)
    mask = np.tile([[1, 0, 1]], [MANY, 1])
    state = tf.repeat(features["state"], MANY, axis=0)
    predictions = head_kind("infer", scope, temperature=0.5)({"state": state, "action_mask": mask}).predictions
    counts = np.bincount(predictions["results"].numpy(), minlength=ACTIONS)
    weights = np.exp(predictions["q"].numpy()[0].astype(np.float64) / 0.5) * [1, 0, 1]
    expected = weights / weights.sum()
    assert counts[1] == 0
    assert abs(counts[0] / MANY - expected[0]) < 5 * np.sqrt(expected[0] * expected[2] / MANY)


def test_without_a_mask_the_policy_has_no_splitter(head_kind, scope, batch, masked):
    model = head_kind("infer", scope)
    assert model(batch()[0]).extra_ops["policy"].observation_and_action_constraint_splitter is None
    policy = model(masked()[0]).extra_ops["policy"]
    assert isinstance(policy, QPolicy) != head_kind.categorical
    network, mask = policy.observation_and_action_constraint_splitter(masked()[0])
    assert network.keys() == {"state"}
    assert mask.shape == [SIZE, ACTIONS]


# What the torso gets. -----------------------------------------------------------------------------------------------------


def test_the_torso_gets_every_key_but_the_mask(dqn, scope, masked):
    seen = []

    def graph_fn(mode, inputs):
        seen.append(inputs)
        return tf_keras.layers.Dense(4)(tf.concat([inputs["state"], inputs["goal"]], axis=1))

    features, labels = masked()
    goal = np.ones([SIZE, 2], np.float32)
    spec = dqn("train", scope, graph_fn=graph_fn, summaries="activations")(
        {**features, "goal": goal}, {**labels, "next_goal": goal}
    )
    assert all(inputs.keys() == {"state", "goal"} for inputs in seen)
    assert len(seen) == 2 * 3  # Networks, modes.
    spec.train_op()
    assert any(name.startswith("activations/") for name in spec.extra_ops["summaries"].histograms)


def with_goal(mode, inputs):
    return tf_keras.layers.Dense(4, "tanh")(tf.concat([inputs["state"], inputs["goal"]], axis=1))


def test_other_keys_of_the_next_state_are_its_own(scalar_kind, scope, networks, batch):
    features, labels = batch(0, SIZE)
    goals = np.random.default_rng(0).normal(size=[2, SIZE, 2]).astype(np.float32)
    model = scalar_kind("train", scope, graph_fn=with_goal, discount=GAMMA)
    model({**features, "goal": goals[0]}, labels)
    networks.perturb_target()

    def expected(next_goal):
        following = {"state": labels["next_state"], "goal": next_goal}
        best = (networks.online if scalar_kind.double else networks.target)(following).q.numpy().argmax(axis=1)
        values = networks.target(following).q.numpy()[np.arange(SIZE), best]
        return labels["reward"].numpy() + GAMMA * (1 - labels["done"].numpy()) * values

    given = {**features, "goal": goals[0]}
    targets, _ = targets_of(model, given, {**labels, "next_goal": goals[1]})
    np.testing.assert_allclose(targets, expected(goals[1]), rtol=1e-4, atol=1e-5)
    targets, _ = targets_of(model, given, labels)  # Without a label of its own it stays as it is.
    np.testing.assert_allclose(targets, expected(goals[0]), rtol=1e-4, atol=1e-5)


def test_the_panels_of_values_leave_illegal_actions_out(dqn, scope, masked):
    features, labels = masked(2)
    spec = dqn("train", scope, summaries="loss")(features, labels)
    q, mask = spec.predictions["q"].numpy(), features["action_mask"].numpy()
    legal = [float(q[row, action]) for row in range(SIZE) for action in range(ACTIONS) if mask[row, action]]
    assert float(spec.extra_ops["summaries"].scalars["train/q_mean"]) == pytest.approx(np.mean(legal), abs=1e-5)
    assert float(spec.extra_ops["summaries"].scalars["train/q_max"]) == pytest.approx(max(legal), abs=1e-6)
    assert max(legal) < q.max()


# What is refused. -----------------------------------------------------------------------------------------------------------

ONES = np.ones([SIZE, ACTIONS], np.int8)
WRONG = [
    (np.ones([SIZE, ACTIONS], np.float32), TypeError, "float32; asked for are bools, or integers"),
    (np.ones([SIZE, ACTIONS + 1], np.int8), ValueError, r"shape \(24, 4\); asked for is .*\(24, 3\)"),
    (np.ones([SIZE - 1, ACTIONS], np.int8), ValueError, r"shape \(23, 3\)"),
    (np.ones([ACTIONS], np.int8), ValueError, r"shape \(3,\)"),
]


@pytest.mark.parametrize("where", ["features", "labels"])
@pytest.mark.parametrize(("mask", "error", "words"), WRONG, ids=["floats", "actions", "rows", "rank"])
def test_a_mask_of_another_dtype_or_shape_is_refused_by_name(dqn, batch, where, mask, error, words):
    features, labels = batch(0, SIZE)
    features, labels = {**features, "action_mask": ONES}, {**labels, "next_action_mask": ONES}
    if where == "features":
        features["action_mask"] = mask
        name = r"features\['action_mask'\]"
    else:
        labels["next_action_mask"] = mask
        name = r"labels\['next_action_mask'\]"
    with pytest.raises(error, match=f"{name} .*{words}"):
        dqn("train")(features, labels)


def test_masked_features_need_masked_labels(dqn, batch):
    features, labels = batch(0, SIZE)
    with pytest.raises(KeyError, match="'next_action_mask'"):
        dqn("train")({**features, "action_mask": ONES}, labels)


@pytest.mark.parametrize("mode", ["train", "eval", "infer"])
def test_rows_without_a_legal_action_are_named(dqn, masked, mode):
    features, _ = masked()
    mask = features["action_mask"].numpy()
    mask[[4, 17]] = 0
    with pytest.raises(ValueError, match=r"features\['action_mask'\] leaves no legal action in rows \[4, 17\]"):
        dqn(mode)({**features, "action_mask": mask})


def test_next_rows_without_a_legal_action_are_named_unless_nothing_is_bootstrapped_from_them(dqn, scope, masked, networks):
    features, labels = masked()
    assert labels["done"][6] == 1.0
    mask = labels["next_action_mask"].numpy()
    mask[[5, 6]] = 0
    model = dqn("train", scope)
    with pytest.raises(ValueError, match=r"labels\['next_action_mask'\] leaves no legal action in rows \[5\]"):
        model(features, {**labels, "next_action_mask": mask})
    discount = np.full(SIZE, GAMMA, np.float32)
    discount[5] = 0.0
    targets, spec = targets_of(model, features, {**labels, "next_action_mask": mask, "discount": discount})
    np.testing.assert_allclose(targets.numpy()[[5, 6]], labels["reward"].numpy()[[5, 6]])
    assert np.isfinite(spec.loss)


def test_in_a_graph_rows_without_a_legal_action_are_an_error_too(dqn, masked):
    features, _ = masked(size=4)
    mask = features["action_mask"].numpy()
    mask[2] = 0
    model = dqn("eval")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"leaves no legal action in rows .* \[-1 -1 2 -1\]"):
        tf.function(lambda features: model(features).predictions["results"])({**features, "action_mask": mask})


@pytest.mark.parametrize("next_goal", [np.zeros([SIZE, 3], np.float32), np.zeros([SIZE, 2], np.int32)])
def test_a_label_of_a_feature_is_as_the_feature_is(dqn, batch, next_goal):
    features, labels = batch(0, SIZE)
    with pytest.raises(ValueError, match=r"labels\['next_goal'\] is .*; features\['goal'\] is float32 \(24, 2\)"):
        dqn("train", graph_fn=with_goal)(
            {**features, "goal": np.zeros([SIZE, 2], np.float32)}, {**labels, "next_goal": next_goal}
        )


def test_boltzmann_exploration_is_among_legal_actions(dqn, scope, masked):
    """At so high a temperature every action is drawn, if it is legal."""
    features = masked()[0]
    model = dqn("train", scope, exploration_config=BoltzmannExplorationConfig(temperature=1e6))
    legal = features["action_mask"].numpy() != 0
    drawn = np.zeros_like(legal)
    for timestep in range(60):
        scope.global_timestep.assign(timestep)
        drawn[np.arange(SIZE), model(features).predictions["results"].numpy()] = True
    np.testing.assert_array_equal(drawn, legal)
