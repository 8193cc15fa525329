"""Writes docs/errors.md: what polyrl says to mistakes, by making them.

    python scripts/errors.py

A test compares the page with what the mistakes say today.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import re
import tempfile
from typing import Any

if __name__ == "__main__":  # --help is answered before TensorFlow is imported.
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()

import gymnasium
from gymnasium.spaces import Box, Discrete, MultiDiscrete
import numpy as np
from polyrl import Agent, RunConfig, models, ops, policies
from polyrl.configs import AdamConfig, DecayExplorationConfig
from polyrl.envs import GymEnvironment
from polyrl.networks import mlp, nature_cnn
from polyrl.replay import UniformReplay
import tensorflow as tf
import tf_keras

PAGE = Path(__file__).resolve().parents[1] / "docs" / "errors.md"

HEAD = """# Errors

What polyrl says to mistakes, kind by kind. The page is made by making them, with `python scripts/errors.py`, and a test holds
it to that. An error names what was given, its value, and what would do; it comes before anything is stored or written.

In the examples `train(env)` trains a small `DQNModel` on an environment, and `env(...)` is an environment with a
`Box(0, 1, [4])` of states and three actions that does what the words say. Messages are cut where `...` stands.
"""


class Env(gymnasium.Env):
    """A sound environment but for what is given: the observation, reward, reset or step that it returns."""

    def __init__(self, space: Any = None, actions: Any = None, **returns: Any):
        self.observation_space = Box(0.0, 1.0, [4]) if space is None else space
        self.action_space = Discrete(3) if actions is None else actions
        self._returns = returns

    def __str__(self) -> str:
        return "<Env>"

    def _observation(self) -> Any:
        return np.zeros_like(self.observation_space.sample())

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self._returns.get("reset", (self._observation(), {}))

    def step(self, action: Any) -> Any:
        observation = self._returns.get("observation", self._observation())
        default = observation, self._returns.get("reward", 1.0), False, False, self._returns.get("info", {})
        return self._returns.get("step", default)


class NoSeed(Env):
    """Takes no seed at its reset."""

    def reset(self) -> Any:  # type: ignore[override]
        return super().reset()


def env(space: Any = None, **returns: Any) -> Env:
    """One such environment."""
    return Env(space, **returns)


def dqn(mode: str = "train", graph_fn: Any = None, states: Any = 4, actions: int = 3, **arguments: Any) -> models.DQNModel:
    """A small model."""
    return models.DQNModel(mode, mlp([8]) if graph_fn is None else graph_fn, states, actions, summaries=[], **arguments)


def agent(fits: bool = False) -> Agent:
    """An agent in a directory that is thrown away; its model flattens what states there are."""

    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        flat = lambda mode, inputs: tf_keras.layers.Flatten()(tf.cast(inputs["state"][:, tf.newaxis], tf.float32))  # noqa: E731
        states = tuple(features["state"].shape[1:]) if fits else 4
        return models.DQNModel(mode, flat, states, 3, summaries=[])(features, labels)

    config = RunConfig(jit="off", progress=False, save_summary_timesteps=None)
    return Agent(model_fn, UniformReplay(100, 4), None, config)


def train(given: Any, **arguments: Any) -> Any:
    """Trains for ten steps, with a model for its states if it is an `Env`."""
    return agent(isinstance(given, Env)).train(given, **{"timesteps": 10, "first_update": 4, **arguments})


def labels(**changes: Any) -> dict[str, Any]:
    """The labels of one transition."""
    state = np.zeros([1, 4], np.float32)
    return {"action": np.array([1]), "reward": np.ones(1), "done": np.zeros(1), "next_state": state, **changes}


def learn(**changes: Any) -> Any:
    """One call of a model with such labels."""
    return graph(mlp([8]), **changes)


class Bare(tf.Module):
    """A variable that no layer of tf-keras tracks."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = tf.Variable(tf.ones([4]), name="scale")


KINDS: dict[str, list[str]] = {
    "Networks": [
        "graph(lambda mode, inputs: tf.keras.layers.Dense(8)(inputs['state']))",
        "graph(lambda mode, inputs: tf_keras.layers.Dense(8)(inputs['state']) * Bare().scale[0])",
        "graph(lambda mode, inputs: tf_keras.layers.Dense(8)(inputs))",
        "graph(lambda mode, inputs: None)",
        "graph(lambda mode, inputs: tf_keras.layers.Reshape([2, 2])(inputs['state']))",
        "graph(lambda mode, inputs: tf_keras.layers.Dense(8 if mode == 'train' else 9)(inputs['state']))",
        "dqn(graph_fn='mlp')",
        "dqn(name='my model')",
        "graph(nature_cnn())",
        "graph(lambda mode, inputs: np.tanh(inputs['state']))",
        "graph(lambda mode, inputs: tf_keras.layers.Flatten()(tf_keras.layers.Embedding(9, 2)(inputs['state'])))",
        "graph(tf_keras.layers.Dense)",
    ],
    "What an environment returns": [
        "train(env(reset=np.zeros(4, np.float32)))",
        "train(env(step=(np.zeros(4, np.float32), 1.0, False, {})))",
        "train(env(observation=1.0))",
        "train(env(observation=np.zeros(3, np.float32)))",
        "train(env(Box(0, 255, [2, 2], np.uint8), observation=np.full([2, 2], 0.5)))",
        "train(env(Box(0, 255, [2, 2], np.uint8), observation=np.full([2, 2], 300)))",
        "train(env(Discrete(4), observation=5))",
        "train(env(observation=np.full(4, np.nan, np.float32)))",
        "train(env(reward=None))",
        "train(env(reward=np.ones(1)))",
        "train(env(reward=float('inf')))",
        "train(env(info=None))",
        "train(env(info={'action_mask': np.zeros(3, np.int8)}, reset=(np.zeros(4, np.float32), {'action_mask': np.ones(3)})))",
        "train(GymEnvironment(NoSeed))",
    ],
    "What is not an environment for it": [
        "train('CartPol-v1')",
        "train(Env)",
        "GymEnvironment(env())",
        "train(env(MultiDiscrete([2, 3])))",
        "train(env(actions=MultiDiscrete([2, 3])))",
        "train('Pendulum-v1')",
        "train('CartPole-v1')",
    ],
    "Labels": [
        "learn(action=np.array([5]))",
        "learn(action=np.array([0.7]))",
        "learn(discount=np.array([2.0]))",
        "learn(weigths=np.ones(1))",
        "learn(advantage=np.ones(1))",
        "learn(reward=np.array(['1']))",
        "learn(reward=np.ones([1, 1]))",
        "learn(terminated=np.zeros(1))",
        "learn(next_state=np.full([1, 4], np.nan))",
    ],
    "Acting": [
        "agent().act(np.zeros(4, np.float32))",
        "trained().act(np.zeros(3, np.float32))",
        "trained().act((np.zeros(4, np.float32), {}))",
        "trained().act('left')",
        "policies.QPolicy(SPEC, ACTION, nan_network).action(policies.TimeStep.restart(np.zeros([1, 4], np.float32), 1))",
    ],
    "Configuration": [
        "agent().learn(10_000)",
        "train(env(), total_timesteps=10_000)",
        "dqn(discount=1.5)",
        "dqn(dueling='median')",
        "dqn(gamma=0.9)",
        "dqn(learning_rate=1e-3)",
        "dqn(optimizer_config='adam')",
        "AdamConfig(learning_rate=-1.0)",
        "AdamConfig(epsilon=0.0)",
        "DecayExplorationConfig(exploration_rate=2.0)",
        "RunConfig(model_dir='runs')",
        "RunConfig(tf_random_seed=1)",
        "RunConfig(jit='yes')",
        "Agent(print, UniformReplay(), None, params={'layers': float('nan')})",
        "UniformReplay(size=10, batch_size=64)",
        "train(env(), updates_at_once=0)",
        "train(env(), max_steps=10, steps=10)",
    ],
    "Operations": [
        "ops.select_values(np.zeros([2, 3]), [0, 7])",
        "ops.support(1.0, 0.0, 11)",
        "ops.dueling(np.zeros([2, 3]), np.zeros([2, 1]), 'median')",
        "ops.epsilon_greedy(np.zeros([2, 3]), 0.1, [0, 1], mask=[[True, True, True], [False, False, False]])",
        "ops.project_distribution(np.zeros([1, 3]), np.full([1, 3], 1 / 3), [0.0, 1.0, 5.0])",
    ],
    "Memories": [
        "UniformReplay().sample([0, 1])",
        "filled(reward=[np.nan])",
        "filled(done=[3.0])",
        "filled(action=[0.7])",
    ],
}
"""Mistakes by kind."""


def graph(graph_fn: Any, **changes: Any) -> Any:
    """One call of a model with this torso."""
    with models.Scope(0).active():
        return dqn(graph_fn=graph_fn)({"state": np.zeros([1, 4], np.float32)}, labels(**changes))


def filled(**changes: Any) -> Any:
    """A memory that is used by itself, and given one transition."""
    memory, scalar, state = UniformReplay(100, 4), tf.TensorSpec([]), tf.TensorSpec([4])
    action = tf.TensorSpec([], tf.int32)
    memory.build({"state": state, "action": action, "reward": scalar, "done": scalar, "next_state": state})
    memory.add({"state": np.zeros([1, 4]), **labels(**changes)})
    return memory


def trained() -> Agent:
    """An agent that has been trained for some steps."""
    made = agent()
    made.train(env(), timesteps=8, first_update=4)
    return made


def nan_network(observation: Any, step_type: Any, network_state: Any, **arguments: Any) -> Any:
    """Action values that are not numbers."""
    return tf.fill([1, 3], float("nan")), network_state


SPEC = policies.time_step_spec(tf.TensorSpec([4]))
ACTION = policies.BoundedTensorSpec((), tf.int32, 0, 2, "action")


def said(code: str) -> str:
    """The error of a mistake: its type and message."""
    try:
        eval(code, globals())
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
    else:
        raise AssertionError(f"{code} raised nothing.")
    text = re.sub(r"(__main__|<run_path>)\.", "", " ".join(text.split()))
    text = re.sub(r"0x[0-9a-f]+", "0x...", text)
    text = re.sub(r"[^\s'\"]*/(tmp|var)[^\s'\"]*", "...", text).replace(tempfile.gettempdir(), "...")
    return text if len(text) <= 420 else f"{text[:417]}..."


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for kind, mistakes in KINDS.items():
        parts.append(f"\n## {kind}\n\n| the mistake | what is said |\n|---|---|\n")
        parts += [f"| `{code}` | {said(code)} |\n".replace("||", "\\|\\|") for code in mistakes]
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"{PAGE}: {sum(map(len, KINDS.values()))} mistakes.")
