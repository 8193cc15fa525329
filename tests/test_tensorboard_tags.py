"""The tags that are written are those that docs/tensorboard.md describes, no more and no fewer."""

from __future__ import annotations

import re
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import tf_keras
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from polyrl.configs import MetricConfig
from polyrl.demos import DemoEpisode, Demonstrations
from polyrl.envs import GymEnvironment
from polyrl.estimators import Agent, RunConfig
from polyrl.estimators.hooks import EvaluationHook, VideoHook
from polyrl.models import CategoricalDQNModel, DQNModel
from polyrl.networks import mlp
from polyrl.replay import UniformReplay
from polyrl.summaries import SummaryOptions

DOCS = Path(__file__).resolve().parents[1] / "docs" / "tensorboard.md"
METRIC = "mean_absolute_td"


class ImageEnv(gymnasium.Env):
    """Noise for pictures; ends after five steps."""

    observation_space = gymnasium.spaces.Box(0, 255, (6, 6, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._t = 0
        return self._picture(), {}

    def step(self, action):
        self._t += 1
        return self._picture(), 1.0, self._t == 5, False, {}

    def _picture(self):
        return self.np_random.integers(0, 256, (6, 6, 3), dtype=np.uint8)


def documented() -> dict[str, str]:
    """Tag to group, out of the table."""
    rows = re.findall(r"^\| `([^`]+)` \| (`\w+`|always) \|", DOCS.read_text(), flags=re.MULTILINE)
    return {tag: group.strip("`") for tag, group in rows}


def written(directory: Path) -> set[str]:
    """The tags in a run's event files, the names of variables, layers and metrics replaced by what stands for them."""
    events = EventAccumulator(str(directory), size_guidance={"tensors": 0})
    events.Reload()
    patterns = {
        r"^(gradients|variables)/.+": r"\1/<variable>",
        r"^activations/.+/zero_fraction$": "activations/<layer>/zero_fraction",
        r"^activations/[^<].*": "activations/<layer>",
        rf"^eval/{METRIC}$": "eval/<metric>",
    }
    tags = set()
    for tag in events.Tags()["tensors"]:
        if tag.startswith(("_hparams_/", "custom_scalars__")):  # For dashboards of their own.
            continue
        for pattern, replacement in patterns.items():
            new = re.sub(pattern, replacement, tag)
            if new != tag:
                tag = new
                break
        tags.add(tag)
    return tags


def train(model_dir: Path, model, env, demonstrations=None, hooks=()) -> Agent:
    agent = Agent(
        lambda features, labels, mode: model(mode)(features, labels),
        UniformReplay(100, 4, demonstrations=demonstrations),
        model_dir,
        RunConfig(save_summary_timesteps=10, jit="off", max_overhead=None),
    )
    agent.train(env, first_update=4, timesteps=40, pretrain_updates=0 if demonstrations is None else 10, hooks=hooks)
    return agent


def demonstrations() -> Demonstrations:
    episode = DemoEpisode(np.zeros([6, 4]), np.zeros(5, int), np.ones(5), terminated=True, truncated=False)
    return Demonstrations([episode])


def c51(summaries):
    metric = MetricConfig("Mean", prediction="td_error", name=METRIC)
    return lambda mode: CategoricalDQNModel(
        mode, mlp([8]), 4, 2, num_atoms=5, eval_metrics_config=[metric], summaries=summaries, use_expert_demo=True
    )


def picture_model(mode: str) -> DQNModel:
    def graph_fn(mode, features):
        x = tf_keras.layers.Rescaling(1 / 255)(features["state"])
        return tf_keras.layers.Dense(4)(tf_keras.layers.Flatten()(x))

    return DQNModel(mode, graph_fn, (6, 6, 3), 2, summaries=["image_input"])


@pytest.mark.slow
def test_tags_written_are_the_tags_documented(tmp_path: Path) -> None:
    env = GymEnvironment("CartPole-v1")
    hooks = [EvaluationHook(env, 30, 2), VideoHook(env, 30, file_format="gif")]
    agent = train(tmp_path / "c51", c51("all"), env, demonstrations(), hooks)
    agent.evaluate(env, episodes=2)
    train(tmp_path / "image", picture_model, ImageEnv())
    tags = written(tmp_path / "c51") | written(tmp_path / "c51" / "eval") | written(tmp_path / "image")
    assert tags == set(documented())


@pytest.mark.slow
@pytest.mark.parametrize("group", SummaryOptions.DEFAULT)
def test_each_group_alone_gives_its_panels_and_only_them(tmp_path: Path, group: str) -> None:
    train(tmp_path, c51([group]), GymEnvironment("CartPole-v1"), demonstrations())
    wanted = {tag for tag, of in documented().items() if of == group}
    always = {tag for tag, of in documented().items() if of == "always" and not tag.startswith("eval/")}
    assert written(tmp_path) == wanted | always
