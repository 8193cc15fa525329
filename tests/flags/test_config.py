"""`--config`, `--set`, and where settings are from that nobody gave."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from flag_cases import PARSE

LOOK = """
import json, sys
from absl import flags
from polyrl.flags import FLAGS, command, config

for arguments in json.loads(sys.argv[1]):
    try:
        parse(*arguments)
        fixed = command.settle()
        found = {**config.written(), "model_dir": FLAGS.model_dir, "fixed": sorted(fixed)}
    except (ValueError, flags.Error) as error:
        found = str(error)
    print(json.dumps(found))
print("tensorflow" in sys.modules)
"""
PYTHON = "import ml_collections\ndef get_config():\n    return ml_collections.ConfigDict({'n_step': 4, 'units': (8, 8)})\n"
FILES = {
    "mine.py": PYTHON,
    "mine.json": json.dumps({"env": "Acrobot-v1", "n_step": 2}),
    "wrong.json": json.dumps({"n_stepp": 2}),
    "part.json": json.dumps({"optimizer": "rmsprop"}),
    "mode.json": json.dumps({"mode": "eval"}),
    "list.json": "[1]",
    "broken.json": "{",
    "value.json": json.dumps({"n_step": "many"}),
    "syntax.py": "def get_config(:\n",
    "raises.py": "def get_config():\n    return 1 // 0\n",
    "none.py": "x = 1\n",
    "number.py": "def get_config():\n    return 3\n",
    "sizes.json": json.dumps({"units": [8, 2.5]}),
    "named/params.json": json.dumps({"params": {"batch_size": 3}}),
    "named/config.json": json.dumps({"program": "heater_c51.py"}),
    "named/checkpoints/ckpt-000000001/state.json": "{}",
    "own/run/params.json": json.dumps({"params": {"batch_size": 3}}),
    "own/run/checkpoints/ckpt-000000001/state.json": "{}",
    "theirs.json": json.dumps({"program": "bowl_c51.py", "batch_size": 32}),
    "ours.json": json.dumps({"program": "polyrl", "batch_size": 32}),
    "refused/config.json": json.dumps({"env": "Pendulum-v1", "model": "naf", "check_env": False}),
    "run/checkpoints/ckpt-000000001/state.json": "{}",
    "others/checkpoints/ckpt-000000001/state.json": "{}",
    "others/config.json": json.dumps({"env": "Acrobot-v1", "program": "bowl_c51.py"}),
    "damaged/checkpoints/ckpt-000000001/state.json": "{}",
    "damaged/config.json": "{",
    "bare/checkpoints/ckpt-000000001/state.json": "{}",
    "begun/params.json": json.dumps({"params": {"batch_size": 3}}),
    "broken/config.json": "",
    "broken/checkpoints/ckpt-000000001/state.json": "{}",
    "several/seed-1/checkpoints/ckpt-000000001/state.json": "{}",
    "several/seed-3/checkpoints/ckpt-000000001/state.json": "{}",
    "exported/export/policy/1764300000/saved_model.pb": "",
    "run/config.json": json.dumps({"env": "Pendulum-v1", "model": "naf", "train_timesteps": 7}),
}
GIVEN = {
    (): {"env": "CartPole-v1", "model": "dqn", "env_backend": "compiled", "model_dir": "runs/CartPole-v1_dqn", "fixed": []},
    ("--env=CartPole-v1", "--model=c51"): {"n_step": 3, "max_q_value": 100.0, "model_dir": "runs/CartPole-v1_c51"},
    ("--env=Pendulum", "--model=naf"): {"discount": 0.98, "model_dir": "runs/Pendulum_naf"},
    ("--env=CartPole", "--model=c51"): {"n_step": 3, "max_q_value": 100.0},
    ("--env=CartPole-v0", "--model=c51"): {"n_step": 1},
    ("--env=CartPole-v1", "--model=c51", "--n_step=5"): {"n_step": 5, "max_q_value": 100.0},
    ("--env=CartPole-v1", "--model=c51", "--wrappers=a:B"): {"n_step": 1, "env_backend": "gymnasium"},
    ("--env=CartPole-v1", "--model=c51", "--env_kwargs=max_episode_steps=9"): {"n_step": 1, "env_backend": "gymnasium"},
    ("--model_dir=bare", "--config=acrobot_c51", "--mode=eval"): {"env": "Acrobot-v1", "model": "c51"},
    ("--model_dir=bare", "--overwrite", "--env=CartPole-v1"): {"env": "CartPole-v1", "model": "dqn"},
    ("--env_kwargs=a=1, b=x=y",): {"env_kwargs": ["a=1", "b=x=y"]},
    ("--env=ALE/Pong-v5", "--model=c51"): {"num_envs": 8, "model_dir": "runs/ALE_Pong-v5_c51"},
    ("--env=Taxi-v3",): {"num_envs": 8, "n_step": 1, "model_dir": "runs/Taxi-v3_dqn"},
    # The flags' defaults make no rollouts, and were refused.
    ("--env=Acrobot-v1", "--model=pqn", "--num_envs=8"): {"num_envs": 8, "update_frequency": 2_048, "batch_size": 256},
    ("--config=acrobot_c51",): {"env": "Acrobot-v1", "model": "c51", "model_dir": "runs/Acrobot-v1_c51"},
    ("--config=acrobot_c51", "--model=dqn"): {"env": "Acrobot-v1", "model": "dqn", "n_step": 3},
    ("--config=mine.py",): {"n_step": 4, "units": ["8", "8"], "env_backend": "gymnasium", "fixed": ["n_step", "units"]},
    ("--config=ours.json",): {"batch_size": 32, "program": "polyrl"},
    ("--config=mine.json",): {"n_step": 2, "env": "Acrobot-v1", "fixed": ["env", "n_step"]},
    ("--model_dir=run",): {"env": "Pendulum-v1", "model": "naf", "train_timesteps": 7, "fixed": []},
    ("--model_dir=own/run", "--overwrite", "--model=dqn"): {"env": "CartPole-v1", "model": "dqn"},
    ("--model_dir=refused", "--mode=train"): {"env": "CartPole-v1", "model": "dqn", "check_env": True},
    ("--model_dir=refused", "--mode=continuous_eval"): {"env": "Pendulum-v1", "check_env": False},  # It waits for the run.
    ("--model_dir=begun",): {"env": "CartPole-v1", "model": "dqn"},
    ("--mode=eval", "--model_dir=none", "--checkpoint=run/checkpoints/ckpt-000000001"): {"env": "CartPole-v1"},
    ("--mode=serve", "--model_dir=exported"): {"env": "CartPole-v1"},
    ("--mode=eval", "--model_dir=several", "--seeds=1,3"): {"env": "CartPole-v1"},
    ("--units=", "--head_units= 8, 9"): {"units": [], "head_units": ["8", "9"]},
    # It once forgot them, and trained the default model on the default environment.
    ("--model_dir=run", "--overwrite"): {"env": "Pendulum-v1", "model": "naf", "train_timesteps": 7},
    ("--model_dir=run", "--overwrite", "--train_timesteps=9"): {"env": "Pendulum-v1", "train_timesteps": 9},
    ("--model_dir=run", "--overwrite", "--env=CartPole-v1"): {"env": "CartPole-v1", "model": "dqn"},
    ("--model_dir=run", "--train_timesteps=9"): {"env": "Pendulum-v1", "train_timesteps": 9},
    ("--set=n_step=5", "--n_step=5"): {"n_step": 5},
    ("--set=n_step=5", "--set=learning_rate=1e-4"): {"n_step": 5, "learning_rate": 1e-4, "set": []},
    ("--set=n_step=5", "--set=optimizer.beta_1=0.5"): {"n_step": 5, "set": ["optimizer.beta_1=0.5"]},
    ("--config=cartpole_c51", "--set=n_step=7"): {"n_step": 7},
    # A field that a flag sets too is the flag: a rate that falls began at another one, and nobody said so.
    ("--set=optimizer.learning_rate=3e-4", "--learning_rate_final=1e-4"): {
        "learning_rate": 3e-4,
        "learning_rate_final": 1e-4,
        "set": [],
    },
    ("--config=cartpole_c51", "--set=exploration.min_exploration_rate=0.125"): {"exploration_final": 0.125, "set": []},
    ("--set=optimizer=rmsprop", "--set=optimizer.learning_rate=0.5", "--set=optimizer.epsilon=0.25"): {
        "learning_rate": 0.5,
        "set": ["optimizer=rmsprop", "optimizer.epsilon=0.25"],
    },
    # A comma is part of what is no other setting.
    ("--set=units=8,9", "--set=demos=a,b=c x=1.npz"): {"units": ["8", "9"], "demos": "a,b=c x=1.npz"},
    ("--set=optimizer.learning_rate={'identifier': 'cosine_decay', 'decay_steps': 5}",): {
        "set": ["optimizer.learning_rate={'identifier': 'cosine_decay', 'decay_steps': 5}"]
    },
}
REFUSED = {
    ("--config=cartpole_c15",): "--config=cartpole_c15 is neither a preset nor a file that ends in .json or .py. Did you mean "
    "'cartpole_c51'?",
    ("--config=no.json",): "--config=no.json: there is no such file.",
    ("--config=wrong.json",): "--config=wrong.json has 'n_stepp', which is no flag. Did you mean 'n_step'?",
    ("--config=part.json",): "has 'optimizer', which is no flag. What --set chooses is a list here: 'set': ['optimizer=...'].",
    (
        "--config=theirs.json",
    ): "--config=theirs.json is of a run of bowl_c51.py, whose model and environment polyrl does not know.",
    ("--config=run",): "--config=run: the configuration of this run is in another file, --config=run/config.json.",
    ("--config=run/params.json",): "--config=run/params.json: the configuration of this run is in",
    ("--config=mode.json",): "--config=mode.json has 'mode', which is no setting of a run; give it on the command line.",
    ("--config=list.json",): "--config=list.json holds [1]; expected an object",
    ("--config=broken.json",): "--config=broken.json is not JSON: ",
    ("--config=value.json",): "--config=value.json: flag --n_step=many",
    ("--config=syntax.py",): "--config=syntax.py raised SyntaxError: ",
    ("--config=raises.py",): "--config=raises.py raised ZeroDivisionError in line 2: ",
    ("--config=none.py",): "--config=none.py must define get_config()",
    ("--config=number.py",): "--config=number.py: get_config() returned 3; expected a ConfigDict.",
    ("--set=optimizer.learning_rate=0.003", "--learning_rate=0.002"): "--set=optimizer.learning_rate=0.003: "
    "--learning_rate=0.002 is given too, which is another value. Leave one of them out.",
    ("--set=n_step",): "--set=n_step must be NAME=VALUE, as --set=optimizer.learning_rate=0.001.",
    (
        "--set=n_step=5",
        "--n_step=3",
    ): "--set=n_step=5: --n_step=3 is given too, which is another value. Leave one of them out.",
    ("--set=n_step=5,batch_size=9",): "holds 2 settings: repeat the flag, --set=n_step=5 --set=batch_size=9.",
    ("--set=a=b,c=d",): "--set=a=b,c=d holds 2 settings: repeat the flag, --set=a=b --set=c=d.",
    ("--set=env=Acrobot-v1,batch_siz=9",): "holds 2 settings: repeat the flag, --set=env=Acrobot-v1 --set=batch_siz=9.",
    ("--set=units=8,9,zz=3",): "holds 2 settings: repeat the flag, --set=units=8,9 --set=zz=3.",
    (
        "--set=loss.delta=2 ; optimizer.rho=3,n_step=1",
    ): "holds 3 settings: repeat the flag, --set=loss.delta=2 --set=optimizer.rho=3 --set=n_step=1.",
    ("--set=discount=0.9 lerning_rate=1",): "holds 2 settings: repeat the flag, --set=discount=0.9 --set=lerning_rate=1.",
    ("--set=n_step=5 --set=double=true",): "holds 2 settings: repeat the flag, --set=n_step=5 --set=double=true.",
    ("--set=n_step=5", "--set=n_step=6"): "--set=n_step=6: --n_step=5 is given too",
    ("--set=n_step=many",): "--set=n_step=many: flag --n_step=many",
    ("--units=64x64",): "flag --units=64x64: expected integers of at least 1 with commas between them",
    ("--head_units=8,0",): "flag --head_units=8,0: expected integers of at least 1",
    ("--set=n_step=three",): "--set=n_step=three: flag --n_step=three: expected an integer",
    ("--config=",): "--config= is empty: give a preset, as --mode=list shows them, or a file; or leave it out.",
    ("--env_kwargs=size",): "flag --env_kwargs=size: expected NAME=VALUE",
    ("--env_kwargs=a=1,2",): "flag --env_kwargs=a=1,2: expected NAME=VALUE",
    ("--env_kwargs==1",): "flag --env_kwargs==1: expected NAME=VALUE",
    ("--env_kwargs=a=1,a=2",): "flag --env_kwargs=a=1,a=2: a name is given twice",
    ("--filters=1.5",): "flag --filters=1.5: expected integers of at least 1",
    ("--set=units=-3",): "--set=units=-3: flag --units=-3: expected integers",
    ("--config=sizes.json",): "--config=sizes.json: flag --units=['8', '2.5']: expected integers",
    ("--model_dir=own/run", "--mode=eval"): "--model_dir=own/run holds the run of another program",
    ("--model_dir=named", "--mode=eval"): "Use heater_c51.py, as with --mode=eval, or its Agent",
    ("--model_dir=own/run", "--config=cartpole_c51"): "--model_dir=own/run holds the run of another program",
    ("--model_dir=others", "--mode=eval"): "others/config.json is of a run of bowl_c51.py, whose model and environment ",
    ("--model_dir=damaged", "--mode=eval"): "It is what the run was made with: bring it back, or move it aside.",
    # No line about a preset comes before these; see also test_nothing_is_told_before_a_mode_is_refused.
    ("--mode=eval",): "There is no checkpoint in model_dir='runs/CartPole-v1_dqn'. Train first.",
    ("--mode=record", "--model_dir=refused"): "There is no checkpoint in model_dir='refused'. Train first.",
    ("--mode=eval", "--model_dir=run/checkpoints"): "It is a part of the run in run: --model_dir=run, and --checkpoint= for",
    ("--mode=eval", "--model_dir=run/checkpoints/ckpt-000000001"): "It is a part of the run in run: --model_dir=run, and",
    ("--mode=infer", "--model_dir=rum"): "There is no checkpoint in model_dir='rum'. Train first. Did you mean 'run'?",
    ("--mode=eval", "--model_dir=."): "Its runs are ",
    (
        "--mode=eval",
        "--model_dir=broken",
    ): "broken/config.json is not JSON: Expecting value: line 1 column 1 (char 0). It is ",
    # It was the preset of CartPole's, or the defaults, and then a list of what differed.
    ("--mode=eval", "--model_dir=bare"): "bare/config.json is missing, which is what the run was made with. Bring it back; or",
    ("--model_dir=bare", "--n_step=2"): "bare/config.json is missing",
    ("--mode=export", "--model_dir=several"): "Its runs are seed-1, seed-3: name one of these directories.",
    ("--mode=serve", "--model_dir=exported", "--model_name=other"): "There is no checkpoint in model_dir='exported'.",
    ("--mode=eval", "--model_dir=several", "--seeds=1,2"): "There is no checkpoint in model_dir='several/seed-2'.",
    ("--mode=eval", "--model_dir=none", "--checkpoint=best"): "There is no checkpoint in model_dir='none'.",
    ("--mode=eval", "--model_dir=run", "--overwrite"): "--overwrite has no effect with --mode=eval: it needs --mode=train",
    ("--mode=serve", "--overwrite"): "--overwrite has no effect with --mode=serve",
    ("--mode=train", "--output=steps.jsonl"): "--output=steps.jsonl has no effect with --mode=train: it needs --mode=infer",
    ("--model=rainbw",): "Did you mean 'rainbow'?",
    ("--model=ddqn",): "Use --model=dqn --double.",
    ("--model=PPO",): "Use another library: polyrl's models learn action values",
    ("--modle=c51",): "Unknown command line flag 'modle'. Did you mean: mode, model, model_dir",
    ("--mode=evl",): "Did you mean 'eval'?",
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    directory = tmp_path_factory.mktemp("configs")
    for name, text in FILES.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    cases = [*GIVEN, *REFUSED]
    command = [sys.executable, "-c", PARSE + LOOK, json.dumps(cases)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=directory)
    assert done.returncode == 0, done.stderr
    *lines, tensorflow = done.stdout.splitlines()
    assert tensorflow == "False"  # So --help is quick.
    return dict(zip(cases, map(json.loads, lines), strict=True))


@pytest.mark.parametrize("flags", GIVEN, ids=" ".join)
def test_settings_are_those_given_then_of_the_config_then_of_the_run_or_the_preset(found, flags):
    assert {name: found[flags][name] for name in GIVEN[flags]} == GIVEN[flags]


@pytest.mark.parametrize("flags", REFUSED, ids=" ".join)
def test_what_cannot_be_read_is_refused_with_the_reason(found, flags):
    assert REFUSED[flags] in found[flags]


def test_the_whole_configuration_of_another_program_is_not_to_be_moved(found):
    assert found[("--model_dir=others", "--mode=eval")].endswith("what its run was made with is in the file.")


@pytest.mark.slow
@pytest.mark.parametrize(
    "flag", ["--seeds=4", *(pytest.param(flag, marks=pytest.mark.slow) for flag in ("--overwrite", "--jit=on"))]
)
def test_nothing_is_told_before_a_mode_is_refused(tmp_path, flag):
    """Which preset was taken came first, and then that there is no run."""
    done = run("--model=c51", "--mode=eval", flag, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.match(r"(NotTrained|Value)Error: ", done.stderr)
    assert list(tmp_path.iterdir()) == []


def run(*flags: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "polyrl", *flags], capture_output=True, text=True, timeout=280, cwd=cwd)


@pytest.mark.slow
def test_a_run_writes_its_configuration_and_another_begins_with_it(tmp_path):
    short = ("--mode=train", "--train_timesteps=40", "--num_envs=1", "--first_update=8", "--batch_size=8", "--jit=off")
    first = run("--model=c51", "--set=optimizer=rmsprop", "--set=optimizer.rho=0.8", "--model_dir=first", *short, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "Settings of the preset cartpole_c51" in first.stderr
    written = json.loads((tmp_path / "first" / "config.json").read_text())
    assert (written["env"], written["n_step"], written["train_timesteps"]) == ("CartPole-v1", 3, 40)
    second = run("--config=first/config.json", "--mode=train", "--model_dir=second", "--seed=2", cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert json.loads((tmp_path / "second" / "config.json").read_text()) == {**written, "seed": 2}
    other = run("--config=acrobot_c51", "--mode=train", "--model_dir=first", cwd=tmp_path)
    assert other.returncode == 1
    assert "was trained" in other.stderr
    assert "CartPole-v1" in other.stderr
    assert "Acrobot-v1" in other.stderr


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["--env=Nowhere-v0", "--set=optimizer=adm"])
def test_a_mistake_beside_overwrite_leaves_the_run_where_it_is(tmp_path, wrong):
    flags = ("--env=CartPole-v1", "--mode=train", "--train_timesteps=40", "--first_update=8", "--batch_size=8", "--jit=off")
    assert run(*flags, "--model_dir=mine", cwd=tmp_path).returncode == 0
    before = sorted(tmp_path.rglob("*"))
    done = run(*flags, "--model_dir=mine", "--overwrite", wrong, cwd=tmp_path)
    assert done.returncode == 1
    assert sorted(tmp_path.rglob("*")) == before
    assert run(*flags, "--model_dir=mine", "--overwrite", cwd=tmp_path).returncode == 0
    assert (tmp_path / "mine" / "replaced-0" / "config.json").is_file()


def test_a_default_for_what_is_no_flag_is_refused():
    from polyrl.flags import set_defaults

    with pytest.raises(
        ValueError, match=r"set_defaults\(lerning_rate=...\): there is no flag .* Did you mean 'learning_rate'"
    ):
        set_defaults(lerning_rate=0.1)
