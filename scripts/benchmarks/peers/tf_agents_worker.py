"""Trains DQN or C51 with TF-Agents and prints environment steps per second: `python tf_agents_worker.py cartpole_dqn`.

It is put together as in the tutorials of TF-Agents: a driver of one step, a `TFUniformReplayBuffer` read as a data set, and
`agent.train`, each in a `tf.function`.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

from pathlib import Path
import sys
from typing import Any

# The modules beside run.py, which starts this with their directory in PYTHONPATH.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import settings

if __name__ == "__main__":
    settings.parser(__doc__).parse_args()  # --help is answered where TF-Agents is not installed, too.

import gym
from settings import Setting
from stopwatch import Stopwatch, report_and_exit, seconds_since_start
import tensorflow as tf
from tf_agents.agents.categorical_dqn.categorical_dqn_agent import CategoricalDqnAgent
from tf_agents.agents.dqn.dqn_agent import DqnAgent
from tf_agents.drivers.dynamic_step_driver import DynamicStepDriver
from tf_agents.environments import suite_gym, tf_py_environment
from tf_agents.networks.categorical_q_network import CategoricalQNetwork
from tf_agents.networks.q_network import QNetwork
from tf_agents.policies.random_tf_policy import RandomTFPolicy
from tf_agents.replay_buffers.tf_uniform_replay_buffer import TFUniformReplayBuffer
from tf_agents.utils import common

PACKAGES = ("tf-agents", "tensorflow", "gym", "numpy")


def counting(stopwatch: Stopwatch) -> Any:
    """A wrapper that counts steps."""

    class Counting(gym.Wrapper):
        def step(self, action: Any) -> Any:
            stopwatch.count()
            return self.env.step(action)

    return Counting


def make_agent(setting: Setting, env: Any) -> Any:
    """The agent of the setting."""
    arguments = {
        "optimizer": tf.keras.optimizers.Adam(settings.LEARNING_RATE),
        "epsilon_greedy": settings.EPSILON,
        "target_update_period": setting.target_update_frequency,
        "gamma": settings.DISCOUNT,
        "gradient_clipping": settings.CLIP_GRADIENTS,
        "td_errors_loss_fn": common.element_wise_huber_loss,
    }
    specs = (env.observation_spec(), env.action_spec())
    if setting.algorithm == "dqn":
        network = QNetwork(*specs, fc_layer_params=setting.hidden)
        return DqnAgent(env.time_step_spec(), env.action_spec(), q_network=network, **arguments)
    network = CategoricalQNetwork(*specs, num_atoms=setting.atoms, fc_layer_params=setting.hidden)
    support = {"min_q_value": settings.MIN_Q, "max_q_value": settings.MAX_Q}
    return CategoricalDqnAgent(env.time_step_spec(), env.action_spec(), categorical_q_network=network, **support, **arguments)


def main() -> None:
    """Measures once and prints the result."""
    arguments = settings.parser(__doc__).parse_args()
    setting = settings.chosen(arguments)
    if setting.num_envs != 1 or setting.update_frequency != 1 or setting.atari:
        raise SystemExit(f"{arguments.setting}: this worker has one environment of CartPole, with an update for each step.")
    stopwatch = Stopwatch(setting.warm_up, setting.seconds, lambda measured: report_and_exit(*PACKAGES, **measured))
    env = tf_py_environment.TFPyEnvironment(suite_gym.load(setting.env, gym_env_wrappers=[counting(stopwatch)]))
    agent = make_agent(setting, env)
    agent.initialize()
    memory = TFUniformReplayBuffer(agent.collect_data_spec, batch_size=1, max_length=setting.memory_size)
    batches = memory.as_dataset(
        sample_batch_size=setting.batch_size, num_steps=2, num_parallel_calls=1, single_deterministic_pass=False
    )
    random = RandomTFPolicy(env.time_step_spec(), env.action_spec())
    first = DynamicStepDriver(env, random, observers=[memory.add_batch], num_steps=setting.first_update)
    driver = DynamicStepDriver(env, agent.collect_policy, observers=[memory.add_batch], num_steps=1)
    train, run = common.function(agent.train), common.function(driver.run)
    common.function(first.run)()
    batch = iter(batches.prefetch(1))
    time_step, state = None, agent.collect_policy.get_initial_state(env.batch_size)
    while True:
        time_step, state = run(time_step=time_step, policy_state=state)
        train(next(batch)[0])
        if arguments.startup:
            report_and_exit(*PACKAGES, value=seconds_since_start())


if __name__ == "__main__":
    main()
