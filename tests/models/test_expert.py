"""`use_expert_demo`: the large-margin loss on demonstrations, beside the TD loss of every row."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from polyrl.configs import AdamConfig
from polyrl.models import Scope

SIZE = 6
EXPERT = np.array([1, 0, 1, 1, 0, 0], np.float32)


def margins(q: np.ndarray, action: np.ndarray, margin: float) -> np.ndarray:
    """The loop of the paper's equation 3."""
    rows = []
    for values, expert in zip(q, action, strict=True):
        rows.append(max(v + margin * (a != expert) for a, v in enumerate(values)) - values[expert])
    return np.array(rows, np.float32)


@pytest.fixture
def pair(kind, networks_of, batch):
    """Losses with and without the term, of the same two networks, which differ."""

    def make(mode="train", weights=None, **arguments):
        features, labels = batch(0, SIZE)
        labels |= {} if weights is None else {"weights": tf.constant(weights)}

        def spec(scope, **arguments):
            kind(mode, scope, **arguments)(features, labels)
            networks_of(scope).perturb_target()
            return kind(mode, scope, **arguments)(features, labels)

        plain = spec(Scope(seed=0))
        labels["expert"] = tf.constant(EXPERT)
        return plain, spec(Scope(seed=0), use_expert_demo=True, **arguments), labels["action"].numpy()

    return make


@pytest.mark.default_cases(3)
@pytest.mark.parametrize(
    ("mode", "given"), [("train", {}), ("train", {"expert_margin": 0.1, "expert_weight": 3.0}), ("eval", {})]
)
def test_the_term_is_added_to_demonstrations_and_to_no_other_row(pair, mode, given):
    """A12: the original stored `use_expert_demo` and never used it. The defaults are the paper's."""
    margin, weight = given.get("expert_margin", 0.8), given.get("expert_weight", 1.0)
    plain, expert, action = pair(mode, **given)
    term = weight * EXPERT * margins(plain.predictions["q"].numpy(), action, margin)
    assert (term[EXPERT > 0] > 0).any()
    np.testing.assert_allclose(expert.predictions["losses"], plain.predictions["losses"] + term, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(expert.loss, tf.reduce_mean(expert.predictions["losses"]), rtol=1e-6)


def test_importance_weights_apply_to_the_whole_loss_of_a_row_once(pair):
    weights = np.array([0.5, 1.0, 0.25, 2.0, 0.0, 1.0], np.float32)
    plain, expert, _ = pair(weights=weights)
    np.testing.assert_allclose(expert.loss, np.mean(weights * expert.predictions["losses"].numpy()), rtol=1e-5)
    assert not np.isclose(expert.loss, plain.loss)


def test_priorities_and_td_errors_are_of_the_td_loss_alone(pair):
    plain, expert, _ = pair()
    for values in (lambda spec: spec.predictions["td_error"], lambda spec: spec.extra_ops["priorities"]):
        np.testing.assert_array_equal(values(plain), values(expert))


def test_the_gradient_raises_the_experts_action_above_the_others(head_kind, scope, batch):
    features, labels = batch(0, SIZE)
    labels |= {"expert": tf.ones([SIZE]), "reward": tf.zeros([SIZE]), "done": tf.ones([SIZE])}
    adam = {"optimizer_config": AdamConfig(learning_rate=0.02), "clip_gradients": None}

    @tf.function(autograph=False)
    def update():
        spec = head_kind("train", scope, use_expert_demo=True, **adam)(features, labels)
        spec.train_op()
        return spec.predictions["q"]

    head_kind("train", scope, use_expert_demo=True, **adam)(features, labels)  # Makes the variables.
    before, *_, after = [margins(update().numpy(), labels["action"].numpy(), 0.8).mean() for _ in range(300)]
    # Returns are 0, which TD asks of the action taken; so the others go below.
    assert after < 0.5 * before


def test_learning_without_the_label_is_an_error_that_says_what_to_do(head_kind, scope, batch):
    features, labels = batch(0, SIZE)
    with pytest.raises(KeyError, match=r"labels must contain 'expert' with use_expert_demo=True.*demonstrations="):
        head_kind("train", scope, use_expert_demo=True)(features, labels)


def test_evaluation_does_without_the_label(head_kind, scope, batch):
    """The steps of an evaluation are nobody's demonstrations."""
    features, labels = batch(0, SIZE)
    expected = head_kind("eval", scope)(features, labels).loss
    np.testing.assert_array_equal(head_kind("eval", scope, use_expert_demo=True)(features, labels).loss, expected)


def test_a_label_with_another_number_of_rows_is_refused(dqn, scope, batch):
    features, labels = batch(0, SIZE)
    with pytest.raises(ValueError, match=r"labels\['expert'\]: expected one value for each .* got shape \(6, 1\)"):
        dqn("train", scope, use_expert_demo=True)(features, {**labels, "expert": tf.zeros([SIZE, 1])})


def test_illegal_actions_are_not_rivals(head_kind, scope, batch):
    """The margin is towards the best legal action."""
    features, labels = batch(0, SIZE, expert=EXPERT)
    action = labels["action"].numpy()
    mask = np.ones([SIZE, 3], bool)
    mask[np.arange(SIZE), (action + 1) % 3] = False
    q = head_kind("train", scope)(features, labels).predictions["q"].numpy()
    features["action_mask"] = tf.constant(mask)
    labels["next_action_mask"] = tf.ones([SIZE, 3], tf.bool)
    plain, expert = (head_kind("train", scope, use_expert_demo=use)(features, labels).predictions for use in (False, True))
    term = EXPERT * margins(np.where(mask, q, -1e9), action, 0.8)
    assert not np.allclose(term, EXPERT * margins(q, action, 0.8))
    np.testing.assert_allclose(expert["losses"], plain["losses"] + term, rtol=1e-5, atol=1e-6)


def test_windows_of_several_steps_have_the_term_of_their_first_step(head_kind, scope, batch):
    features, labels = batch(0, SIZE)
    window = {key: tf.tile(labels[key][:, tf.newaxis], [1, 3]) for key in ("reward", "done")}
    labels = {**labels, **window, "expert": tf.constant(EXPERT)}
    plain = head_kind("train", scope)(features, labels).predictions
    expert = head_kind("train", scope, use_expert_demo=True)(features, labels).predictions
    term = EXPERT * margins(plain["q"].numpy(), labels["action"].numpy(), 0.8)
    np.testing.assert_allclose(expert["losses"], plain["losses"] + term, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("head_kind", [pytest.param("dqn", marks=pytest.mark.slow), "c51"], indirect=True)
def test_the_update_is_the_same_traced_and_compiled(head_kind, batch, networks_of, compilations):
    features, labels = batch(0, SIZE, expert=EXPERT)
    results = []
    for compile_ in compilations.values():
        scope = Scope()
        head_kind("train", scope, use_expert_demo=True)(features, labels)  # Makes the variables.

        def update(scope=scope):
            head_kind("train", scope, use_expert_demo=True)(features, labels).train_op()

        update_compiled = compile_(update)
        for _ in range(5):
            update_compiled()
        results.append(networks_of(scope).weights())
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)
