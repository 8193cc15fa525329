"""Trains DQN or C51 on CartPole with a script of TensorFlow that does nothing else: `python by_hand_worker.py cartpole_dqn`.

What one writes by hand for this one task: all state in a few variables, and one call that XLA compiled for each step of the
environments, which stores, learns and acts. Nothing is checked, counted, shown or saved, and the call is the quickest that
TensorFlow has. So it tells what TensorFlow, its products of matrices and gymnasium take at least. It prints environment steps
per second.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import itertools
from typing import Any

import settings

if __name__ == "__main__":
    settings.parser(__doc__).parse_args()  # --help is answered before TensorFlow is imported.

import gymnasium
import numpy as np
from polyrl.engine.apart import apart
from polyrl.engine.direct_call import direct_call
from polyrl.envs.compiled.cart_pole import CartPole, CartPoleState
from settings import Setting
from stopwatch import Stopwatch, report_and_exit
import tensorflow as tf

STATES, ACTIONS = 4, 2
ROW = 2 * STATES + 3
"""Numbers of a transition: state, next state, action, reward, done."""

LARGEST = 2_048
"""Numbers of a matrix that lies in a vector with all other weights; a larger one is a variable by itself."""

ROUNDS = 500
"""Steps of each environment in one call, where the environments are in the graph."""


class ByHand(tf.Module):
    """Both networks, Adam's moments and the memory.

    Attributes:
        spec: of what `step` is given: transitions, and the states to act in.
    """

    def __init__(self, setting: Setting):
        super().__init__()
        self._setting = setting
        self._atoms = tf.linspace(settings.MIN_Q, settings.MAX_Q, setting.atoms) if setting.algorithm == "c51" else None
        outputs = ACTIONS * (1 if self._atoms is None else setting.atoms)
        sizes = list(itertools.pairwise((STATES, *setting.hidden, outputs)))
        # A head with a row for each of few outputs, as products with a side of two are slow. Kernels, then biases.
        self._shapes = [[n, m] if m > ACTIONS else [m, n] for n, m in sizes] + [[m] for _, m in sizes]
        self._alone = [index for index, shape in enumerate(self._shapes) if np.prod(shape) > LARGEST]
        self._small = [index for index in range(len(self._shapes)) if index not in self._alone]
        rng = np.random.default_rng(0)
        values = [rng.uniform(-1.0, 1.0, shape) / np.sqrt(n) for shape, (n, _) in zip(self._shapes, sizes * 2, strict=True)]
        vector = np.concatenate([np.ravel(values[index]) for index in self._small])
        packed = [np.float32(value) for value in (vector, *(values[index] for index in self._alone))]
        # Of the online network, the target network, the first and the second moments.
        self._parts = [[tf.Variable(value * kept) for value in packed] for kept in (1.0, 1.0, 0.0, 0.0)]
        self._memory = tf.Variable(tf.zeros([setting.memory_size, ROW]))
        self._stored, self._updates = (tf.Variable(0, dtype=tf.int32) for _ in range(2))
        self.spec = tf.TensorSpec([setting.num_envs, ROW + STATES])

    def step(self, inputs: tf.Tensor, learns: bool) -> list[tf.Tensor]:
        """Stores transitions, does the updates that are due, and gives the next actions, int32 `[N]`."""
        setting = self._setting
        rows, state = tf.split(inputs, [ROW, STATES], axis=1)
        places = tf.math.floormod(self._stored + tf.range(setting.num_envs), setting.memory_size)
        self._memory.scatter_nd_update(places[:, tf.newaxis], rows)
        self._stored.assign_add(setting.num_envs)
        count = setting.num_envs // setting.update_frequency
        parts = [[variable.read_value() for variable in part] for part in self._parts]
        if learns:
            if count == 1:
                parts = self._update(self._updates, *parts)
            else:
                start, first = (tf.constant(0), *parts), self._updates.read_value()
                parts = list(
                    tf.while_loop(lambda n, *_: n < count, lambda n, *p: (n + 1, *self._update(first + n, *p)), start)
                )[1:]
            for variable, value in zip(tf.nest.flatten(self._parts), tf.nest.flatten(parts), strict=True):
                variable.assign(value)
            self._updates.assign_add(count)
        greedy = tf.argmax(self._values(self._network(parts[0], state)), axis=1, output_type=tf.int32)
        drawn = tf.random.stateless_uniform([2, setting.num_envs], tf.stack([1, self._stored]))
        explores = drawn[0] < (settings.EPSILON if learns else 1.0)
        return [tf.where(explores, tf.cast(drawn[1] * ACTIONS, tf.int32), greedy)]

    def rounds(self, state: CartPoleState, *others: tf.Tensor, learns: bool) -> list[Any]:
        """`ROUNDS` steps in CartPoles of the graph: from states, lengths of episodes and actions to the next ones."""
        cart_pole, count = CartPole(num_envs=self._setting.num_envs), self._setting.num_envs

        def one(n: tf.Tensor, state: CartPoleState, length: tf.Tensor, action: tf.Tensor) -> tuple[Any, ...]:
            seed = tf.stack([3, self._stored])
            following, reward, done = cart_pole.step(state, action, seed)
            ended = done | (length + 1 >= cart_pole.max_episode_steps)
            fresh = cart_pole.reset(count, seed)
            after = tf.nest.map_structure(lambda new, old: tf.where(ended, new, old), fresh, following)
            numbers = [tf.cast(values, tf.float32)[:, tf.newaxis] for values in (action, reward, done)]
            before_and_next = [cart_pole.observe(each) for each in (state, following)]
            (action,) = self.step(tf.concat([*before_and_next, *numbers, cart_pole.observe(after)], axis=1), learns)
            return n + 1, after, tf.where(ended, 0, length + 1), action

        return list(tf.while_loop(lambda n, *_: n < ROUNDS, one, (tf.constant(0), state, *others)))[1:]

    def _update(self, number: tf.Tensor, *parts: list[tf.Tensor]) -> list[list[tf.Tensor]]:
        online, target, first, second = parts
        setting = self._setting
        stored = tf.minimum(self._stored, setting.memory_size)
        drawn = tf.random.stateless_uniform([setting.batch_size], tf.stack([2, number]), 0, stored, tf.int32)
        state, following, others = tf.split(tf.gather(self._memory, drawn), [STATES, STATES, 3], axis=1)
        action, reward, discount = tf.cast(others[:, 0], tf.int32), others[:, 1], settings.DISCOUNT * (1.0 - others[:, 2])
        aims = self._network(target, following)
        with tf.GradientTape() as tape:
            tape.watch(online)
            loss = tf.reduce_mean(self._losses(self._network(online, state), action, reward, discount, aims))
        gradients = tape.gradient(loss, online)
        norm = tf.sqrt(tf.add_n([tf.reduce_sum(gradient * gradient) for gradient in gradients]))
        gradients = [
            gradient * (settings.CLIP_GRADIENTS / tf.maximum(norm, settings.CLIP_GRADIENTS)) for gradient in gradients
        ]
        power = tf.cast(number + 1, tf.float32)
        rate = settings.LEARNING_RATE * tf.sqrt(1.0 - 0.999**power) / (1.0 - 0.9**power)
        first = [m + 0.1 * (g - m) for m, g in zip(first, gradients, strict=True)]
        second = [v + 0.001 * (g * g - v) for v, g in zip(second, gradients, strict=True)]
        online = [w - rate * m / (tf.sqrt(v) + 1e-7) for w, m, v in zip(online, first, second, strict=True)]
        copies = tf.equal((number + 1) % setting.target_update_frequency, 0)
        target = [tf.where(copies, new, old) for new, old in zip(online, target, strict=True)]
        return [online, target, first, second]

    def _losses(
        self, outputs: tf.Tensor, action: tf.Tensor, reward: tf.Tensor, discount: tf.Tensor, aims: tf.Tensor
    ) -> tf.Tensor:
        taken = tf.one_hot(action, ACTIONS)
        if self._atoms is None:
            error = tf.reduce_sum(outputs * taken, axis=1) - reward - discount * tf.reduce_max(aims, axis=1)
            clipped = tf.clip_by_value(error, -1.0, 1.0)
            return clipped * (error - 0.5 * clipped)
        atoms, number = self._atoms, self._setting.atoms
        best = tf.one_hot(tf.argmax(self._values(aims), axis=1), ACTIONS)

        def of(actions: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
            return tf.reduce_sum(tf.reshape(logits, [-1, ACTIONS, number]) * actions[..., tf.newaxis], axis=1)

        aim = tf.clip_by_value(reward[:, tf.newaxis] + discount[:, tf.newaxis] * atoms, atoms[0], atoms[-1])
        places, shares = tf.transpose((aim - atoms[0]) / (atoms[1] - atoms[0])), tf.transpose(tf.nn.softmax(of(best, aims)))

        def add(j: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            near = tf.maximum(1.0 - tf.abs(places[j][:, tf.newaxis] - tf.range(float(number))), 0.0)
            return j + 1, total + near * shares[j][:, tf.newaxis]

        start = (tf.constant(0), tf.zeros([self._setting.batch_size, number]))
        projected = tf.while_loop(lambda j, _: j < number, add, start)[1]
        return tf.nn.softmax_cross_entropy_with_logits(projected, of(taken, outputs))

    def _values(self, outputs: tf.Tensor) -> tf.Tensor:
        if self._atoms is None:
            return outputs
        return tf.reduce_sum(tf.nn.softmax(tf.reshape(outputs, [-1, ACTIONS, self._setting.atoms])) * self._atoms, axis=2)

    def _network(self, packed: list[tf.Tensor], state: tf.Tensor) -> tf.Tensor:
        parts = tf.split(packed[0], [int(np.prod(self._shapes[index])) for index in self._small])
        weights = {index: tf.reshape(part, self._shapes[index]) for index, part in zip(self._small, parts, strict=True)}
        weights.update(zip(self._alone, packed[1:], strict=True))
        layers = len(weights) // 2
        for number in range(layers):
            is_head = number == layers - 1
            state = tf.matmul(state, weights[number], transpose_b=is_head and self._atoms is None) + weights[layers + number]
            state = state if is_head else tf.nn.relu(state)
        return state


def main() -> None:
    """Measures once and prints the result."""
    setting = settings.chosen(settings.parser(__doc__).parse_args())
    if setting.env != "CartPole-v1" or setting.num_envs % setting.update_frequency:
        raise SystemExit("this is for CartPole, with an update or several for each step of all environments.")
    by_hand = ByHand(setting)
    stopwatch = Stopwatch(setting.warm_up, setting.seconds, lambda measured: report_and_exit("tensorflow", **measured))
    (in_the_graph if setting.compiled else in_python)(by_hand, setting, stopwatch)


def in_the_graph(by_hand: ByHand, setting: Setting, stopwatch: Stopwatch) -> None:
    """Trains until the stopwatch ends the process."""
    count = setting.num_envs
    env = [CartPole(num_envs=count).reset(count, tf.zeros([2], tf.int32)), *(tf.zeros([count], tf.int32) for _ in range(2))]
    collects, learns = (
        tf.function(lambda *env, learns=learns: by_hand.rounds(*env, learns=learns), jit_compile=True, autograph=False)
        for learns in (False, True)
    )
    for steps in itertools.count(0, ROUNDS * setting.num_envs):
        env = (learns if steps >= setting.first_update else collects)(*env)
        env[-1].numpy()
        stopwatch.count(ROUNDS * setting.num_envs)


def in_python(by_hand: ByHand, setting: Setting, stopwatch: Stopwatch) -> None:
    """The same, with gymnasium's environments."""
    collects, learns = (
        direct_call(
            tf.function(
                lambda inputs, learns=learns: by_hand.step(inputs, learns), jit_compile=True, autograph=False
            ).get_concrete_function(by_hand.spec)
        )
        for learns in (False, True)
    )
    envs = [gymnasium.make(setting.env, disable_env_checker=True) for _ in range(setting.num_envs)]
    # Of each environment: state, next state, action, reward, done; and the state to act in.
    inputs = np.zeros([setting.num_envs, ROW + STATES], np.float32)
    for row, env in zip(inputs, envs, strict=True):
        row[-STATES:] = env.reset()[0]
    actions = [0] * setting.num_envs
    for call in (collects, learns):  # In another thread, as polyrl does it.
        apart(call, tf.constant(inputs))
    for steps in itertools.count(setting.num_envs, setting.num_envs):
        for row, env, action in zip(inputs, envs, actions, strict=True):
            row[:STATES] = row[-STATES:]
            state, reward, terminated, truncated, _ = env.step(action)
            row[STATES : 2 * STATES] = state
            row[2 * STATES : ROW] = action, reward, terminated
            row[-STATES:] = env.reset()[0] if terminated or truncated else state
        (chosen,) = (learns if steps > setting.first_update else collects)(tf.constant(inputs))
        actions = chosen.numpy().tolist()
        stopwatch.count(setting.num_envs)


if __name__ == "__main__":
    main()
