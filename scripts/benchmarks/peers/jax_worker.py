"""Trains DQN on CartPole with the whole loop in one `lax.scan` of JAX: `python jax_worker.py cartpole_compiled_120x84`.

What people write who want the fastest loop (Lu et al. 2022, PureJaxRL): environment, memory, acting and updates are one
compiled call for 1,000 rounds, whose state is donated. It prints environment steps per second.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

from pathlib import Path
import sys
from typing import Any, NamedTuple

# The modules beside run.py, which starts this with their directory in PYTHONPATH.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import settings

if __name__ == "__main__":
    settings.parser(__doc__).parse_args()  # --help is answered where JAX is not installed, too.

import functools

import jax
import jax.numpy as jnp
import optax
from settings import Setting
from stopwatch import Stopwatch, report_and_exit

ROUNDS = 1_000
"""Rounds of a call; a round is a step of each environment, and an update."""
ACTIONS, STATES = 2, 4


class Memory(NamedTuple):
    """A ring of transitions."""

    state: jax.Array
    action: jax.Array
    reward: jax.Array
    next_state: jax.Array
    terminal: jax.Array


class Carry(NamedTuple):
    """All that changes from round to round."""

    params: Any
    target: Any
    optimizer: Any
    memory: Memory
    rows: jax.Array
    updates: jax.Array
    state: jax.Array
    length: jax.Array
    key: jax.Array


def network(params: Any, state: jax.Array) -> jax.Array:
    """What the last layer gives for states `[B, 4]`."""
    for kernel, bias in params[:-1]:
        state = jax.nn.relu(state @ kernel + bias)
    kernel, bias = params[-1]
    return state @ kernel + bias


def initial_params(key: jax.Array, sizes: tuple[int, ...]) -> Any:
    """Glorot's, as Keras has them, for layers from one of the sizes to the next."""
    init = jax.nn.initializers.glorot_uniform()
    keys = jax.random.split(key, len(sizes) - 1)
    return [(init(k, (before, after)), jnp.zeros(after)) for k, before, after in zip(keys, sizes, sizes[1:], strict=False)]


def clipped_adam() -> Any:
    """The optimizer of all workers."""
    return optax.chain(optax.clip_by_global_norm(settings.CLIP_GRADIENTS), optax.adam(settings.LEARNING_RATE, eps=1e-7))


def cart_pole(state: jax.Array, action: jax.Array) -> jax.Array:
    """The next states `[N, 4]` of Barto et al. 1983, by Euler's method, as gymnasium has it."""
    x, speed, angle, turning = state.T
    force = jnp.where(action == 1, 10.0, -10.0)
    sine, cosine = jnp.sin(angle), jnp.cos(angle)
    pushed = (force + 0.05 * turning**2 * sine) / 1.1
    angular = (9.8 * sine - cosine * pushed) / (0.5 * (4.0 / 3.0 - 0.1 * cosine**2 / 1.1))
    linear = pushed - 0.05 * angular * cosine / 1.1
    return jnp.stack([x + 0.02 * speed, speed + 0.02 * linear, angle + 0.02 * turning, turning + 0.02 * angular], axis=1)


def loss(params: Any, target: Any, batch: Memory) -> jax.Array:
    """The mean Huber loss of one-step Q-learning."""
    value = jnp.max(network(target, batch.next_state), axis=1)
    aim = batch.reward + settings.DISCOUNT * (1.0 - batch.terminal) * value
    taken = jnp.take_along_axis(network(params, batch.state), batch.action[:, None], axis=1)[:, 0]
    return jnp.mean(optax.huber_loss(taken, aim))


def round_of(setting: Setting, optimizer: Any, learns: bool) -> Any:
    """A round, as `lax.scan` takes it."""
    size = setting.memory_size // setting.num_envs * setting.num_envs

    def act(carry: Carry) -> Carry:
        key, explores, random, starts = jax.random.split(carry.key, 4)
        greedy = jnp.argmax(network(carry.params, carry.state), axis=1).astype(jnp.int32)
        drawn = jax.random.randint(random, greedy.shape, 0, ACTIONS)
        action = jnp.where(jax.random.uniform(explores, greedy.shape) < settings.EPSILON, drawn, greedy)
        following = cart_pole(carry.state, action)
        terminal = (jnp.abs(following[:, 0]) > 2.4) | (jnp.abs(following[:, 2]) > 0.20943951)
        length = carry.length + 1
        seen = Memory(carry.state, action, jnp.ones(greedy.shape), following, terminal.astype(jnp.float32))
        at = carry.rows % size
        memory = jax.tree.map(lambda ring, new: jax.lax.dynamic_update_slice_in_dim(ring, new, at, 0), carry.memory, seen)
        over = terminal | (length >= 500)
        fresh = jax.random.uniform(starts, following.shape, minval=-0.05, maxval=0.05)
        return carry._replace(
            memory=memory,
            rows=carry.rows + setting.num_envs,
            state=jnp.where(over[:, None], fresh, following),
            length=jnp.where(over, 0, length),
            key=key,
        )

    def update(carry: Carry) -> Carry:
        key, sampling = jax.random.split(carry.key)
        rows = jax.random.randint(sampling, (setting.batch_size,), 0, jnp.minimum(carry.rows, size))
        batch = jax.tree.map(lambda ring: ring[rows], carry.memory)
        gradients = jax.grad(loss)(carry.params, carry.target, batch)
        changes, state = optimizer.update(gradients, carry.optimizer)
        params = optax.apply_updates(carry.params, changes)
        updates = carry.updates + 1
        due = updates % setting.target_update_frequency == 0
        target = jax.tree.map(lambda old, new: jnp.where(due, new, old), carry.target, params)
        return carry._replace(params=params, target=target, optimizer=state, updates=updates, key=key)

    def step(carry: Carry, _: None) -> tuple[Carry, None]:
        carry = act(carry)
        return (update(carry) if learns else carry), None

    return step


def main() -> None:
    """Measures once and prints the result."""
    setting = settings.chosen(settings.parser(__doc__).parse_args())
    if not setting.compiled or setting.algorithm != "dqn" or setting.update_frequency != setting.num_envs:
        raise SystemExit("this is for DQN in the graph, with an update for each step of all environments.")
    optimizer = clipped_adam()
    params = initial_params(jax.random.key(0), (STATES, *setting.hidden, ACTIONS))
    envs, size = setting.num_envs, setting.memory_size // setting.num_envs * setting.num_envs
    wide, flat = jnp.zeros((size, STATES)), jnp.zeros(size)
    carry = Carry(
        params,
        jax.tree.map(jnp.copy, params),
        optimizer.init(params),
        Memory(wide, flat.astype(jnp.int32), flat, jnp.zeros((size, STATES)), jnp.zeros(size)),
        jnp.int32(0),
        jnp.int32(0),
        jnp.zeros((envs, STATES)),
        jnp.zeros(envs, jnp.int32),
        jax.random.key(1),
    )

    def rounds(learns: bool, number: int) -> Any:
        scan = functools.partial(jax.lax.scan, round_of(setting, optimizer, learns), length=number)
        return jax.jit(lambda carry: scan(carry, None)[0], donate_argnums=0)

    carry = rounds(False, max(setting.first_update // envs, 1))(carry)
    several = rounds(True, ROUNDS)
    stopwatch = Stopwatch(setting.warm_up, setting.seconds, lambda measured: report_and_exit("jax", "optax", **measured))
    steps = 0
    while True:
        carry = several(carry)
        carry.state.block_until_ready()
        steps += ROUNDS * envs
        stopwatch.tick(steps)


if __name__ == "__main__":
    main()
