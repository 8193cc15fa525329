"""What one update changes, and when the target network follows."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from model_testing import updating

from polyrl.configs import (
    SGDConfig,
)
from polyrl.models import Scope

layers = tf_keras.layers
SEEDS = [0, 1, 2]


# One update -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_changes_before_train_op_is_called(kind, scope, batch, networks, equal, seed):
    model = kind("train", scope)
    model(*batch()).train_op()
    before = networks.everything()
    spec = model(*batch(seed))
    model(batch(seed)[0])
    kind("eval", scope)(*batch(seed))
    kind("infer", scope)(batch(seed)[0])
    assert equal(networks.everything(), before)
    spec.train_op()
    assert not equal(networks.everything(), before)


def test_one_update_changes_the_online_weights_and_not_the_target_ones(kind, scope, batch, networks, equal):
    """A1, A2: the target network is neither trained by the loss nor forgotten."""
    model = kind("train", scope, target_update_frequency=2)
    spec = model(*batch())
    online, target = networks.weights("online"), networks.weights("target")
    step = spec.train_op()
    assert step.dtype == tf.int64
    assert step == 1
    assert not any(np.array_equal(*pair) for pair in zip(online, networks.weights("online"), strict=True))
    assert equal(networks.weights("target"), target)
    assert model(*batch()).train_op() == 2
    assert not equal(networks.weights("target"), target)


@pytest.mark.parametrize("use_target_graph", [True, False])
def test_no_gradient_flows_through_the_bootstrap(kind, scope, batch, networks, use_target_graph):
    """A2: no gradient into the target network, nor into the online one where it stands in."""
    features, labels = batch(done=np.zeros(6, np.float32))
    model = kind("eval", scope, use_target_graph=use_target_graph)
    model(features, labels)
    next_state = tf.Variable(labels["next_state"])
    with tf.GradientTape() as tape:
        loss = model(features, {**labels, "next_state": next_state}).loss
    watched = [next_state, *(networks.target.model.variables if use_target_graph else [])]
    assert tape.gradient(loss, watched) == [None] * len(watched)
    assert use_target_graph == ("Model/target" in scope.parts)


def test_the_optimizer_holds_the_online_network_alone(head_kind, scope, batch, networks):
    """A2: Adam keeps two slots for each variable it trains."""
    head_kind("train", scope)(*batch()).train_op()
    slots = [v.shape.num_elements() for v in scope.parts["Model/optimizer"].variables if v.shape.rank]
    assert slots == 2 * [sum(v.shape.num_elements() for v in networks.online.model.trainable_variables)]


@pytest.mark.default_cases(1)
def test_the_two_networks_share_no_variable(head_kind, scope, batch, networks):
    head_kind("train", scope)(*batch())
    online, target = ({v.ref() for v in n.model.variables} for n in (networks.online, networks.target))
    assert not online & target


def test_learning_fits_the_rewards_of_terminal_steps(head_kind, batch, compilations):
    features, labels = batch(done=np.ones(6, np.float32))
    model = head_kind("train", clip_gradients=None)
    update = compilations["function"](updating(model))
    losses = [float(update(features, labels)) for _ in range(60)]
    assert losses[-1] < 0.9 * losses[0]


def test_train_op_applies_the_gradient_of_the_loss(head_kind, scope, batch, networks, equal):
    features, labels = batch(3)
    model = head_kind("train", scope, optimizer_config=SGDConfig(1.0), clip_gradients=None)
    spec = model(features, labels)
    with tf.GradientTape() as tape:
        loss = head_kind("eval", scope)(features, labels).loss
    gradients = tape.gradient(loss, networks.online.model.trainable_variables)
    before = networks.trained()
    spec.train_op()
    for old, new, gradient in zip(before, networks.trained(), gradients, strict=True):
        np.testing.assert_allclose(old - new, gradient, rtol=1e-4, atol=1e-6)


# The target network's period ------------------------------------------------------------------------------------------


@pytest.mark.default_cases(1)
def test_the_target_is_the_online_network_at_the_start_and_after_each_period_only(
    dqn, scope, batch, networks, equal, compiled
):
    """A1, A5: synchronised after the update, on an exact count of updates."""
    model = dqn("train", scope, target_update_frequency=3)
    update = compiled(lambda features, labels: model(features, labels).train_op())
    model(*batch())
    assert equal(networks.weights("target"), networks.weights("online"))
    target = networks.weights("target")
    for step in range(1, 8):
        scope.global_timestep.assign_add(5)  # Another counter: it must not matter.
        assert update(*batch(step)) == step
        assert equal(networks.weights("target"), networks.weights("online")) == (step % 3 == 0)
        assert equal(networks.weights("target"), target) == (step % 3 != 0)
        target = networks.weights("target")


def test_a_period_in_environment_steps_ends_at_the_first_update_at_or_past_each_multiple(
    dqn, scope, batch, networks, equal, compiled
):
    model = dqn("train", scope, target_update_timesteps=12)
    update = compiled(lambda features, labels: model(features, labels).train_op())
    model(*batch())
    # The last two: several periods end at once, and one ends exactly.
    for step, (timestep, due) in enumerate(zip([5, 11, 12, 13, 23, 25, 29, 70, 72], "001001011", strict=True)):
        before = networks.weights("target")
        scope.global_timestep.assign(timestep)
        update(*batch(step))
        assert equal(networks.weights("target"), networks.weights("online")) == (due == "1")
        assert equal(networks.weights("target"), before) == (due == "0")


@pytest.mark.parametrize("labelled", [False, True])
def test_the_first_call_makes_both_networks_alike(head_kind, scope, batch, networks, equal, labelled):
    """A1: the target is a copy of the online network, not another draw of initial weights."""
    features, labels = batch()
    head_kind("train", scope)(features, labels if labelled else None)
    assert equal(networks.weights("target"), networks.weights("online"))


def test_several_updates_within_one_compiled_call_keep_the_period(dqn, batch, networks_of):
    def run(updates_per_call, jit_compile):
        scope = Scope(seed=0)
        model = dqn("train", scope, target_update_frequency=3)
        features, labels = batch()
        model(features, labels)

        def updates():
            for _ in range(updates_per_call):
                model(features, labels).train_op()

        call = tf.function(updates, autograph=False, jit_compile=True) if jit_compile else updates
        for _ in range(8 // updates_per_call):
            call()
        assert scope.global_step.numpy() == 8
        return networks_of(scope)

    singly, together = run(1, jit_compile=False), run(2, jit_compile=True)
    for role in ("online", "target"):
        for first, second in zip(singly.weights(role), together.weights(role), strict=True):
            np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)
    gap = max(np.abs(a - b).max() for a, b in zip(together.weights(), together.weights("target"), strict=True))
    assert gap > 1e-4  # Eight updates, a copy after the sixth.


def test_the_period_goes_by_the_count_of_all_updates_not_of_those_since_the_start(dqn, scope, batch, networks, equal):
    scope.global_step.assign(3)
    model = dqn("train", scope, target_update_frequency=5)
    for step, due in [(4, False), (5, True), (6, False)]:
        assert model(*batch(step)).train_op() == step
        assert equal(networks.weights("target"), networks.weights("online")) == due


def test_a_period_of_one_copies_the_updated_weights_not_those_before(head_kind, scope, batch, networks, equal):
    """A5: the copy follows the update."""
    model = head_kind("train", scope, target_update_frequency=1)
    model(*batch())
    before = networks.weights("online")
    model(*batch()).train_op()
    assert equal(networks.weights("target"), networks.weights("online"))
    assert not equal(networks.weights("target"), before)


class TwoNorms(layers.Layer):
    """A layer of layers, in which trainable variables and moving statistics take turns."""

    def __init__(self):
        super().__init__()
        self.norms = [layers.BatchNormalization(momentum=0.5) for _ in range(2)]

    def call(self, inputs, training=None):
        return self.norms[1](3.0 * self.norms[0](inputs, training=training) + 2.0, training=training)


@pytest.mark.default_cases(2)
@pytest.mark.parametrize(
    "torso",
    [
        pytest.param(lambda x: layers.BatchNormalization(momentum=0.5)(x), id="one layer"),
        pytest.param(lambda x: tf_keras.Sequential([layers.BatchNormalization(), layers.Dense(4)])(x), id="a model"),
        pytest.param(lambda x: TwoNorms()(x), id="a layer of layers"),
    ],
)
def test_a_copy_takes_the_moving_statistics_along_by_structure(dqn, scope, batch, networks, torso):
    """J2: copied by structure, all variables."""
    features, labels = batch()

    def graph_fn(mode, inputs):
        return layers.Dense(4)(torso(inputs["state"]))

    model = dqn("train", scope, target_update_frequency=2, graph_fn=graph_fn)
    for _ in range(2):
        model(features, labels).train_op()
    np.testing.assert_allclose(networks.target(features).q, networks.online(features).q, rtol=1e-5, atol=1e-6)


def test_a_layer_made_outside_of_graph_fn_is_refused_because_the_networks_would_share_it(dqn, batch):
    """A2, J1: a shared layer would be the target network's too, frozen with it and never trained."""
    shared = layers.Dense(4)
    model = dqn("train", graph_fn=lambda mode, inputs: shared(inputs["state"]))
    with pytest.raises(ValueError, match="graph_fn"):
        model(*batch())
