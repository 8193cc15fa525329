"""Trains DQN or C51 on CartPole step by step with compiled calls of JAX: `python jax_steps_worker.py cartpole_dqn_120x84`.

In the way of CleanRL's scripts (Huang et al. 2022): gymnasium's environment, stable-baselines3's memory in NumPy, one compiled
call to act and one for an update. It prints environment steps per second.
"""

# mypy: disable-error-code="import-not-found, import-untyped"

from __future__ import annotations

from pathlib import Path
import sys
from typing import Any

# The modules beside run.py, which starts this with their directory in PYTHONPATH.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import settings

if __name__ == "__main__":
    settings.parser(__doc__).parse_args()  # --help is answered where JAX is not installed, too.

import functools
import random

import gymnasium
import jax
import jax.numpy as jnp
from jax_worker import ACTIONS, STATES, clipped_adam, initial_params, network
import numpy as np
import optax
from settings import Setting
from stable_baselines3.common.buffers import ReplayBuffer
from stopwatch import Stopwatch, report_and_exit


def dqn_loss(params: Any, target: Any, state: Any, action: Any, next_state: Any, reward: Any, done: Any) -> jax.Array:
    """The mean Huber loss of one-step Q-learning."""
    aim = reward + settings.DISCOUNT * (1.0 - done) * jnp.max(network(target, next_state), axis=1)
    taken = jnp.take_along_axis(network(params, state), action, axis=1)[:, 0]
    return jnp.mean(optax.huber_loss(taken, aim))


def c51_loss(atoms: jax.Array, params: Any, target: Any, state: Any, action: Any, next_state: Any, *ends: Any) -> jax.Array:
    """The mean cross-entropy with the projected distribution of the best next action (Bellemare et al. 2017)."""
    reward, done = ends
    number, rows = atoms.shape[0], jnp.arange(state.shape[0])

    def logits(weights: Any, states: jax.Array) -> jax.Array:
        return network(weights, states).reshape([-1, ACTIONS, number])

    following = jax.nn.softmax(logits(target, next_state))
    best = jnp.argmax(following @ atoms, axis=1)
    aim = jnp.clip(reward[:, None] + settings.DISCOUNT * (1.0 - done[:, None]) * atoms, atoms[0], atoms[-1])
    place = (aim - atoms[0]) / (atoms[1] - atoms[0])
    near = jnp.clip(1.0 - jnp.abs(place[:, None, :] - jnp.arange(number)[:, None]), 0.0, 1.0)  # [B, N, N]
    projected = jnp.einsum("bij,bj->bi", near, following[rows, best])
    taken = jax.nn.log_softmax(logits(params, state)[rows, action[:, 0]])
    return -jnp.mean(jnp.sum(jax.lax.stop_gradient(projected) * taken, axis=1))


def main() -> None:
    """Measures once and prints the result."""
    setting: Setting = settings.chosen(settings.parser(__doc__).parse_args())
    if setting.compiled or setting.num_envs != 1 or setting.update_frequency != 1 or setting.env != "CartPole-v1":
        raise SystemExit("this is for one CartPole in Python, with an update for each step.")
    atoms = jnp.linspace(settings.MIN_Q, settings.MAX_Q, setting.atoms)
    is_c51 = setting.algorithm == "c51"
    loss: Any = functools.partial(c51_loss, atoms) if is_c51 else dqn_loss
    optimizer = clipped_adam()
    params = initial_params(jax.random.key(0), (STATES, *setting.hidden, ACTIONS * (setting.atoms if is_c51 else 1)))
    target, state = params, optimizer.init(params)

    @jax.jit
    def act(params: Any, states: jax.Array) -> jax.Array:
        values = network(params, states)
        if is_c51:
            values = jax.nn.softmax(values.reshape([-1, ACTIONS, setting.atoms])) @ atoms
        return jnp.argmax(values, axis=1)

    @jax.jit
    def update(params: Any, target: Any, state: Any, *batch: Any) -> Any:
        changes, state = optimizer.update(jax.grad(loss)(params, target, *batch), state)
        return optax.apply_updates(params, changes), state

    envs = gymnasium.vector.SyncVectorEnv(
        [lambda: gymnasium.make(setting.env)], autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP
    )
    memory = ReplayBuffer(
        setting.memory_size, envs.single_observation_space, envs.single_action_space, "cpu", handle_timeout_termination=False
    )
    stopwatch = Stopwatch(setting.warm_up, setting.seconds, lambda measured: report_and_exit("jax", "optax", **measured))
    observation, _ = envs.reset(seed=0)
    step = 0
    while True:
        if step < setting.first_update or random.random() < settings.EPSILON:
            action = np.array([envs.single_action_space.sample()])
        else:
            action = jax.device_get(act(params, observation))
        following, reward, terminated, truncated, infos = envs.step(action)
        last = infos["final_obs"][0][np.newaxis] if (terminated | truncated)[0] else following
        memory.add(observation, last, action, reward, terminated, [{}])
        observation = following
        step += 1
        if step > setting.first_update:
            rows = memory.sample(setting.batch_size)
            batch = (rows.observations, rows.actions, rows.next_observations, rows.rewards[:, 0], rows.dones[:, 0])
            params, state = update(params, target, state, *(values.numpy() for values in batch))
            if step % setting.target_update_frequency == 0:
                target = params
        stopwatch.count()


if __name__ == "__main__":
    main()
