"""`--torso=module:function`: a network of the user's own from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from flag_cases import PARSE

ROOT = Path(__file__).resolve().parents[2]
NETS = """
import tf_keras

def graph_fn(mode, features):
    return tf_keras.layers.Dense(17, "tanh", name="mine")(features["state"])

def of_a_dict(mode, features):
    position = tf_keras.layers.Dense(5, name="position")(features["state"])
    return tf_keras.layers.Concatenate()([position, features["speed"]])

class Network:
    pass

number = 3
"""
WORLD = """
import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

class World(gymnasium.Env):
    observation_space = Dict(state=Box(-1.0, 1.0, [2]), speed=Box(-1.0, 1.0, [3]))
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._t = 0
        return self._observed(), {}

    def step(self, action):
        self._t += 1
        return self._observed(), float(action), False, self._t == 5, {}

    def _observed(self):
        return {"state": np.zeros(2, np.float32), "speed": np.ones(3, np.float32)}
"""

# In a process of its own: the flags of this program are also those of other scripts that tests import.
LOOK = """
import json, sys
import numpy as np
from ml_collections import ConfigDict
from polyrl.envs import other_keys
from polyrl.experiments import cli, family, worlds
from polyrl.flags import command
from polyrl.models import Scope

for number, arguments in enumerate(json.loads(sys.argv[1])):
    run = f"run-{number}"
    parse(f"--model_dir={run}", "--env=CartPole-v1", "--mode=train", *arguments)
    try:
        agent = family.experiment_fn(run, command.settle()).agent
    except (ValueError, TypeError) as error:
        print(json.dumps(str(error)))
        continue
    params, env = ConfigDict(agent.params), worlds.environments(agent.params)[1]
    spaces, keys = family.spaces_of(env, params.model), other_keys(env)
    with Scope().active():
        torso = family.torso(params, spaces["num_states"], keys)
        model = family.class_of(params.model)("train", torso, **spaces, **family.model_arguments(params))
        more = {key: np.zeros([1, 3], np.float32) for key in keys}
        model({"state": np.zeros([1, *spaces["num_states"]], np.float32), **more})
    print(json.dumps({variable.name: list(variable.shape) for variable in model._networks.online.variables}))
"""
ASKED = {
    "plain": ["--model=dqn", "--torso=nets:graph_fn"],
    "distribution": ["--model=c51", "--torso=nets:graph_fn"],
    "recurrent": ["--model=r2d2", "--torso=nets:graph_fn", "--recurrent_units=6"],
    "dict": ["--model=dqn", "--env=world:World", "--torso=nets:of_a_dict"],
    "preset": ["--config=acrobot_dqn", "--torso=nets:graph_fn"],
    "no name": ["--torso=nets:graph_fm"],
    "no module": ["--torso=netz:graph_fn"],
    "no function": ["--torso=nets:number"],
    "class": ["--torso=nets:Network"],
    "other flags": ["--torso=nets:graph_fn", "--units=3"],
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    directory = tmp_path_factory.mktemp("own")
    (directory / "nets.py").write_text(NETS)
    (directory / "world.py").write_text(WORLD)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path[:0] = ['', {str(ROOT)!r}]\n{PARSE}{LOOK}",
            json.dumps(list(ASKED.values())),
        ],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(ASKED, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.default_cases(1)
@pytest.mark.parametrize(
    ("case", "layer", "shape"),
    [
        ("plain", "mine", [4, 17]),
        ("distribution", "mine", [4, 17]),
        ("recurrent", "mine", [4, 17]),
        ("dict", "position", [2, 5]),
        ("preset", "mine", [4, 17]),
    ],
)
def test_it_is_the_network_below_the_heads(found, case, layer, shape):
    assert isinstance(found[case], dict), found[case]
    assert [of for name, of in found[case].items() if f"{layer}/kernel" in name] == [shape], found[case]
    assert not any(name.startswith("dense") for name in found[case])


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("no name", "--torso='nets:graph_fm': the module 'nets' has no 'graph_fm'. Did you mean 'graph_fn'?"),
        (
            "no module",
            "--torso='netz:graph_fn': the module 'netz' cannot be imported: No module named 'netz'. It is looked for",
        ),
        ("no function", "--torso=nets:number is 3; expected a function graph_fn(mode, features) that gives a tensor."),
        ("class", "expected a function graph_fn(mode, features)"),
        ("other flags", "--units: no effect with --torso=nets:graph_fn. Leave it out."),
    ],
)
def test_what_is_none_is_refused(found, case, words):
    assert words in found[case]
