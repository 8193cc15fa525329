"""Q-learning and double Q-learning against trfl, loops in numpy and examples by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import trfl
from ops_testing import MODES, SEEDS, assert_same_as_eager, finite_difference, gradients, transitions

from polyrl import ops


def half_square(target: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
    """trfl's loss."""
    return 0.5 * tf.square(target - prediction)


def q_learning(q, action, reward, discount, next_q):
    return ops.q_learning(q, action, reward, discount, next_q, half_square)


def double_q_learning(q, action, reward, discount, next_q, selector):
    return ops.double_q_learning(q, action, reward, discount, next_q, selector, half_square)


def td_loss(q, action, reward, discount, bootstrap):
    return ops.td_loss(q, action, reward, discount, bootstrap, half_square)


def assert_outputs_match(output: ops.LossOutput, expected: ops.LossOutput) -> None:
    for name in ops.LossOutput._fields:
        np.testing.assert_allclose(getattr(output, name), getattr(expected, name), rtol=1e-5, atol=1e-6, err_msg=name)


def loop_over_rows(data, bootstrap_of_row) -> ops.LossOutput:
    """The loss of each row, as in the papers."""
    data, rows = data.numpy(), []
    for row in range(len(data.reward)):
        prediction = data.q[row][data.action[row]]
        target = data.reward[row] + data.discount[row] * bootstrap_of_row(row)
        rows.append((0.5 * (target - prediction) ** 2, target, target - prediction, prediction))
    return ops.LossOutput(*np.array(rows).T)


@pytest.mark.parametrize("seed", SEEDS)
def test_q_learning_equals_trfl(seed) -> None:
    data = transitions(seed)
    ours, theirs = q_learning(*data[:5]), trfl.qlearning(*data[:5])
    np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-5)
    np.testing.assert_allclose(ours.target, theirs.extra.target, rtol=1e-5)
    np.testing.assert_allclose(ours.td_error, theirs.extra.td_error, rtol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_double_q_learning_equals_trfl(seed) -> None:
    data = transitions(seed)
    ours, theirs = double_q_learning(*data), trfl.double_qlearning(*data)
    np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-5)
    np.testing.assert_allclose(ours.target, theirs.extra.target, rtol=1e-5)
    np.testing.assert_allclose(ours.td_error, theirs.extra.td_error, rtol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_q_learning_equals_a_loop_over_rows(seed) -> None:
    data = transitions(seed)
    assert_outputs_match(q_learning(*data[:5]), loop_over_rows(data, lambda row: max(data.next_q[row].numpy())))


@pytest.mark.parametrize("seed", SEEDS)
def test_double_q_learning_equals_a_loop_over_rows(seed) -> None:
    data = transitions(seed)

    def value_of_the_selected(row):
        scores = list(data.selector[row].numpy())
        return data.next_q[row][scores.index(max(scores))]

    assert_outputs_match(double_q_learning(*data), loop_over_rows(data, value_of_the_selected))


@pytest.mark.parametrize("seed", SEEDS)
def test_td_loss_equals_a_loop_over_rows(seed) -> None:
    data = transitions(seed)
    bootstrap = np.random.default_rng(100 + seed).normal(size=len(data.reward))
    output = td_loss(*data[:4], tf.constant(bootstrap, tf.float32))
    assert_outputs_match(output, loop_over_rows(data, lambda row: bootstrap[row]))


class Hand:
    """Two rows, the second one terminated, with values simple enough to compute by hand."""

    q = tf.constant([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    action = tf.constant([1, 0])
    reward = tf.constant([0.5, -1.0])
    discount = tf.constant([0.5, 0.0])
    next_q = tf.constant([[10.0, 20.0, 30.0], [7.0, 8.0, 9.0]])
    selector = tf.constant([[3.0, 2.0, 1.0], [0.0, 1.0, 0.0]])  # prefers action 0 where next_q prefers 2


def test_q_learning_by_hand() -> None:
    output = q_learning(Hand.q, Hand.action, Hand.reward, Hand.discount, Hand.next_q)
    # Row 0: prediction q[1] = 2, target 0.5 + 0.5 * max(10, 20, 30) = 15.5, error 13.5, loss 13.5^2 / 2 = 91.125.
    # Row 1: prediction q[0] = 4, target -1 + 0 * 9 = -1, error -5, loss 25 / 2 = 12.5.
    assert_outputs_match(output, ops.LossOutput([91.125, 12.5], [15.5, -1.0], [13.5, -5.0], [2.0, 4.0]))


def test_double_q_learning_by_hand() -> None:
    output = double_q_learning(Hand.q, Hand.action, Hand.reward, Hand.discount, Hand.next_q, Hand.selector)
    # Row 0: the selector prefers action 0, so the target is 0.5 + 0.5 * 10 = 5.5, error 3.5, loss 12.25 / 2 = 6.125.
    # Row 1: terminated, as in q_learning.
    assert_outputs_match(output, ops.LossOutput([6.125, 12.5], [5.5, -1.0], [3.5, -5.0], [2.0, 4.0]))


def test_the_loss_function_gets_the_target_first_and_the_prediction_second() -> None:
    output = ops.td_loss(Hand.q, Hand.action, Hand.reward, Hand.discount, tf.constant([10.0, 10.0]), lambda target, _: target)
    np.testing.assert_allclose(output.loss, [0.5 + 0.5 * 10, -1.0])


def test_td_error_is_target_minus_prediction_whatever_the_loss_function() -> None:
    output = ops.q_learning(
        Hand.q, Hand.action, Hand.reward, Hand.discount, Hand.next_q, lambda target, _: tf.zeros_like(target)
    )
    np.testing.assert_allclose(output.loss, [0.0, 0.0])
    np.testing.assert_allclose(output.td_error, output.target - output.prediction)
    np.testing.assert_allclose(output.td_error, [13.5, -5.0])  # as by hand above


@pytest.mark.parametrize("loss", [q_learning, double_q_learning])
def test_next_values_have_no_effect_where_the_episode_terminated(loss) -> None:
    data = transitions(seed=5)
    ended = data.discount.numpy() == 0.0
    other = data._replace(next_q=data.next_q + 100.0)
    arguments = 5 if loss is q_learning else 6
    before, after = loss(*data[:arguments]).loss.numpy(), loss(*other[:arguments]).loss.numpy()
    np.testing.assert_array_equal(before[ended], after[ended])
    assert (before[~ended] != after[~ended]).all()


def test_double_q_learning_with_the_target_network_as_selector_is_q_learning() -> None:
    data = transitions(seed=6)
    assert_outputs_match(double_q_learning(*data[:5], data.next_q), q_learning(*data[:5]))


@pytest.mark.parametrize("output", ops.LossOutput._fields)
def test_no_gradient_flows_into_the_target_side_of_q_learning(output) -> None:
    q, action, *target_side = transitions(seed=7)[:5]
    into_q, *into_target = gradients(lambda q, *others: getattr(q_learning(q, action, *others), output), q, *target_side)
    assert into_target == [None, None, None]  # reward, discount, next_q
    assert (into_q is None) == (output == "target")


@pytest.mark.parametrize("output", ops.LossOutput._fields)
def test_no_gradient_flows_into_the_target_side_of_double_q_learning(output) -> None:
    q, action, *target_side = transitions(seed=7)
    into_q, *into_target = gradients(
        lambda q, *others: getattr(double_q_learning(q, action, *others), output), q, *target_side
    )
    assert into_target == [None, None, None, None]  # reward, discount, next_q, selector
    assert (into_q is None) == (output == "target")


def test_no_gradient_flows_into_the_bootstrap_of_td_loss() -> None:
    q, action, reward, discount = transitions(seed=7)[:4]
    bootstrap = tf.ones_like(reward)
    into_q, into_bootstrap = gradients(lambda q, bootstrap: td_loss(q, action, reward, discount, bootstrap).loss, q, bootstrap)
    assert into_q is not None
    assert into_bootstrap is None


@pytest.mark.parametrize("seed", SEEDS)
def test_the_gradient_into_q_is_minus_the_td_error_at_the_action_and_zero_elsewhere(seed) -> None:
    data = transitions(seed)
    (into_q,) = gradients(lambda q: q_learning(q, *data[1:5]).loss, data.q)
    # d/dq (target - q)^2 / 2 = -(target - q)
    expected = np.zeros(data.q.shape)
    for row, action in enumerate(data.action):
        expected[row, action] = -q_learning(*data[:5]).td_error[row]
    np.testing.assert_allclose(into_q, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_the_gradient_into_q_is_that_of_finite_differences(seed) -> None:
    data = transitions(seed, rows=3, dtype=tf.float64)
    (into_q,) = gradients(lambda q: double_q_learning(q, *data[1:]).loss, data.q)
    expected = finite_difference(lambda q: tf.reduce_sum(double_q_learning(tf.constant(q), *data[1:]).loss), data.q.numpy())
    np.testing.assert_allclose(into_q, expected, rtol=1e-6, atol=1e-6)


NAMES = {
    q_learning: ["q", "action", "reward", "discount", "next_q"],
    double_q_learning: ["q", "action", "reward", "discount", "next_q", "next_q_selector"],
    td_loss: ["q", "action", "reward", "discount", "bootstrap"],
}

ARGUMENTS = [(loss, position) for loss, names in NAMES.items() for position in range(len(names))]

IDS = [f"{loss.__name__}-{NAMES[loss][position]}" for loss, position in ARGUMENTS]


def arguments_of(loss) -> list[tf.Tensor]:
    data = list(transitions(seed=8))
    if loss is td_loss:
        data[4] = data[4][:, 0]
    return data[: len(NAMES[loss])]


@pytest.mark.parametrize(("loss", "position"), ARGUMENTS, ids=IDS)
def test_an_argument_with_one_axis_too_many_is_named(loss, position) -> None:
    arguments = arguments_of(loss)
    arguments[position] = arguments[position][:, tf.newaxis]  # [B, 1]: would broadcast to [B, B]
    with pytest.raises(ValueError, match=rf"^{NAMES[loss][position]} has shape"):
        loss(*arguments)


@pytest.mark.parametrize(("loss", "position"), ARGUMENTS, ids=IDS)
def test_an_argument_with_one_axis_too_few_is_named(loss, position) -> None:
    arguments = arguments_of(loss)
    arguments[position] = arguments[position][0]
    with pytest.raises(ValueError, match=rf"^{NAMES[loss][position]} has shape"):
        loss(*arguments)


@pytest.mark.parametrize(("loss", "position"), ARGUMENTS, ids=IDS)
def test_an_argument_with_another_number_of_rows_is_refused(loss, position) -> None:
    arguments = arguments_of(loss)
    arguments[position] = arguments[position][:1]  # one row: would broadcast
    # The first argument sets the number of rows, so that it is the second that is then named, along with the first.
    named = NAMES[loss][position] if position > 0 else r"\w+ has shape .* but q"
    with pytest.raises(ValueError, match=named):
        loss(*arguments)


@pytest.mark.parametrize("name", ["next_q", "next_q_selector"])
def test_another_number_of_actions_is_refused(name) -> None:
    arguments = arguments_of(double_q_learning)
    position = NAMES[double_q_learning].index(name)
    arguments[position] = arguments[position][:, :1]
    with pytest.raises(ValueError, match=rf"^{name} has shape \(7, 1\), A=1, but q has A=4"):
        double_q_learning(*arguments)


def test_ranks_are_checked_while_tracing_although_sizes_are_unknown() -> None:
    arguments = arguments_of(q_learning)
    arguments[2] = arguments[2][:, tf.newaxis]
    with pytest.raises(ValueError, match="reward has shape"):
        MODES["unknown_sizes"](q_learning)(*arguments)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("loss", NAMES, ids=lambda loss: loss.__name__)
def test_the_losses_are_the_same_eagerly_traced_and_compiled(loss, mode) -> None:
    assert_same_as_eager(mode, loss, *arguments_of(loss))


@pytest.mark.parametrize("trailing", [(), (5,), (5, 2)], ids=str)
def test_select_values_takes_the_value_of_the_action_of_each_row(trailing) -> None:
    rng = np.random.default_rng(0)
    values, action = rng.normal(size=(6, 4, *trailing)), rng.integers(0, 4, 6)
    expected = np.stack([values[row, action[row]] for row in range(6)])
    np.testing.assert_array_equal(ops.select_values(tf.constant(values), tf.constant(action)), expected)


@pytest.mark.parametrize("action", [[3, 1], [2]], ids=str)
def test_select_values_refuses_actions_that_are_not_one_per_row(action) -> None:
    with pytest.raises(ValueError, match="action"):
        ops.select_values(tf.zeros([3, 2]), tf.zeros(action, tf.int32))
