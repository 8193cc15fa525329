"""Flags that have an effect only together with others: refused without them, as the library refuses their arguments."""

from __future__ import annotations

import json

import pytest
from absl.testing import flagsaver

from polyrl.experiments import atari, cli
from polyrl.flags import SHARED, partners

NEED_NOTHING = {
    # They say what is done, or how, in every mode.
    *("mode", "model_dir", "seed", "progress", "jit", "threads", "env_backend", "debug"),
    "seeds",  # Checked before anything is started, see polyrl.experiments.seeds.
    # Budgets, cadences and evaluations: without effect in some modes, but part of the command of the run.
    *("train_timesteps", "train_steps", "train_episodes"),
    *("eval_episodes", "eval_frequency", "eval_episodes_while_training"),
    *("save_summary_timesteps", "save_checkpoints_timesteps", "save_checkpoints_secs", "max_overhead", "keep_checkpoint_max"),
    *("save_replay", "record_frequency", "profile_steps"),
    # Hyper-parameters that mean something by themselves; in every mode they are compared with those of the model_dir.
    *(
        "num_envs",
        "first_update",
        "update_frequency",
        "updates_at_once",
        "memory_size",
        "batch_size",
        "n_step",
        "prioritized",
        "demos",
    ),
    *("learning_rate", "discount", "target_update_frequency", "target_update_timesteps", "target_update_tau", "dueling"),
    "adam_epsilon",
    *("exploration_start", "exploration_final", "exploration_timesteps", "clip_gradients", "clip_embed_gradients"),
    *("game", "frame_skip", "sticky_actions", "noop_max", "terminal_on_life_loss", "full_action_space"),
    *("max_episode_frames", "clip_rewards"),
}


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Reads the hyper-parameters of a command line; flags and declarations are put back at the end."""
    monkeypatch.setattr(partners, "_NEEDS", dict(partners._NEEDS))
    if not cli.FLAGS.is_parsed():
        cli.FLAGS.mark_as_parsed()

    def of(*arguments: str, extra=()) -> dict:
        with flagsaver.flagsaver():
            cli.FLAGS(["program", *arguments])
            return cli.read_hyper_parameters(tmp_path / "run", *extra)

    return of


@pytest.fixture
def trained(tmp_path):
    """Makes the `model_dir` look like that of a run with these hyper-parameters, the defaults for the rest."""

    def make(**params) -> None:
        directory = tmp_path / "run"
        (directory / "checkpoints" / "ckpt-000000100").mkdir(parents=True, exist_ok=True)
        (directory / "checkpoints" / "ckpt-000000100" / "state.json").write_text("{}")
        defaults = {name: cli.FLAGS[name].default for name in cli.HYPER_PARAMETERS}
        (directory / "params.json").write_text(json.dumps({"params": {**defaults, **params}}))

    return make


def test_every_flag_either_needs_others_or_is_known_to_need_none():
    by_module = cli.FLAGS.flags_by_module_dict()
    modules = [*(module.__name__ for module in SHARED), "polyrl.flags.atari", "polyrl.flags.games"]
    names = {flag.name for module in modules for flag in by_module[module]}
    assert atari.HYPER_PARAMETERS[0] in names
    assert {name for name in partners._NEEDS if name in names} == names - NEED_NOTHING
    assert names >= NEED_NOTHING


# Without their partners. ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--priority_exponent=0.7"], "--priority_exponent=0.7 has no effect without --prioritized: it needs --prioritized."),
        (["--importance_exponent=0.4"], "--importance_exponent=0.4 has no effect without --prioritized"),
        (["--importance_steps=9", "--noprioritized"], "--importance_steps=9 has no effect without --prioritized"),
        (["--expert_margin=0.3"], "--expert_margin=0.3 has no effect without --demos: it needs --demos."),
        (["--expert_weight=0"], "--expert_weight=0.0 has no effect without --demos"),
        (["--pretrain_updates=3"], "--pretrain_updates=3 has no effect without --demos"),
        (["--demo_share=0.25"], "--demo_share=0.25 has no effect without --demos: it needs --demos."),
        (
            ["--demo_share=0.75", "--demos=d.npz", "--prioritized"],
            "--demo_share=0.75 has no effect with --prioritized: it needs --noprioritized.",
        ),
        (
            ["--demo_priority=2", "--demos=d.npz"],
            "--demo_priority=2.0 has no effect without --prioritized: it needs --prioritized.",
        ),
        (
            ["--demo_priority=2"],
            "--demo_priority=2.0 has no effect without --demos and without --prioritized: it needs --demos and --prioritized.",
        ),
        (["--overlap", "--env_backend=compiled"], "--overlap has no effect with --env_backend=compiled"),
        (["--jobs=2"], "--jobs=2 has no effect without --seeds: it needs --seeds."),
        (["--env_timeout=5"], "--env_timeout=5.0 has no effect with --env_backend=gymnasium: it needs --env_backend=async"),
        (
            ["--export_format=onnx", "--mode=serve"],
            "--export_format=onnx has no effect with --mode=serve: it needs --mode=export",
        ),
        (["--env_restarts=2", "--env_backend=ale"], "--env_restarts=2 has no effect with --env_backend=ale"),
    ],
)
def test_a_flag_without_its_partner_is_refused_with_its_value_and_what_it_needs(read, arguments, message):
    with pytest.raises(ValueError, match="has no effect") as error:
        read(*arguments)
    (line,) = str(error.value).splitlines()
    assert line.startswith(message)
    name = message.split()[0].split("=")[0]
    assert line.endswith(f"Use that, or leave {name} out.")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--prioritized", "--priority_exponent=0.7", "--importance_exponent=0.5", "--importance_steps=9"],
        ["--demos=d.npz", "--expert_margin=0.3", "--expert_weight=2", "--pretrain_updates=3", "--demo_share=0.75"],
        ["--demos=d.npz", "--prioritized", "--demo_priority=2"],
        ["--pretrain_updates=0", "--temperature=0", "--nooverlap", "--env_backend=compiled"],
        ["--overlap", "--env_backend=async", "--env_timeout=0.5", "--env_restarts=3"],
        ["--env_restarts=0"],
    ],
)
def test_with_its_partner_or_switched_off_it_is_taken(read, arguments):
    values = read(*arguments)
    assert values["prioritized"] == ("--prioritized" in arguments)
    assert values["pretrain_updates"] == (3 if "--pretrain_updates=3" in arguments else 0)


USED = {
    "stop_at_reward": {"train_and_eval", "continuous_train_and_eval"},
    "checkpoint": {"eval", "infer", "record", "train_and_eval", "export", "serve"},
    "record_episodes": {"record"},
    "infer_episodes": {"infer"},
    "output": {"infer"},
    "temperature": {"infer", "export", "serve"},
    "model_name": {"export", "serve"},
    "host": {"serve"},
    "port": {"serve"},
}


@pytest.mark.parametrize("mode", cli.MODES)
@pytest.mark.parametrize("name", USED)
def test_what_to_act_with_and_to_write_is_refused_in_modes_that_do_not_do_so(read, name, mode):
    if mode in USED[name]:
        read(f"--mode={mode}", f"--{name}=7")
        return
    with pytest.raises(ValueError, match=rf"--{name}=7(\.0)? has no effect with --mode={mode}: it needs ") as error:
        read(f"--mode={mode}", f"--{name}=7")
    remedy = str(error.value).split("it needs ")[1].split(". Use that")[0]
    assert set(remedy.replace("--mode=", "").split(" or ")) == USED[name]


@pytest.mark.parametrize("mode", cli.MODES)
def test_the_command_of_a_run_may_change_its_mode(read, mode):
    read(
        *("--train_timesteps=300", "--train_steps=20", "--train_episodes=5", "--noprogress", "--jit=off", "--overlap"),
        *("--save_summary_timesteps=9", "--save_checkpoints_secs=3", "--keep_checkpoint_max=2", "--max_overhead=0.5"),
        *("--nosave_replay", "--record_frequency=50"),
        *("--eval_frequency=50", "--eval_episodes=3", "--eval_episodes_while_training=2"),
        *("--learning_rate=0.5", "--demos=d.npz", "--pretrain_updates=8", f"--mode={mode}"),
    )


@pytest.mark.parametrize("mode", cli.MODES)
def test_the_format_of_videos_is_for_modes_that_may_write_some(read, mode):
    if mode in ("record", *cli.TRAINING_MODES):
        read(f"--mode={mode}", "--record_format=gif")
        return
    with pytest.raises(ValueError, match=f"--record_format=gif has no effect with --mode={mode}: it needs --mode=record or"):
        read(f"--mode={mode}", "--record_format=gif")


def test_all_of_them_are_told_at_once(read):
    with pytest.raises(ValueError, match="has no effect") as error:
        read("--mode=train", "--output=steps.jsonl", "--importance_steps=5", "--expert_weight=2", "--learning_rate=0.1")
    lines = str(error.value).splitlines()
    assert sorted(line.split("=")[0] for line in lines) == ["--expert_weight", "--importance_steps", "--output"]


# What counts as given. --------------------------------------------------------------------------------------------------


def test_values_of_a_script_are_not_given(read):
    with flagsaver.flagsaver():
        cli.set_defaults(stop_at_reward=475.0, demo_share=0.5, importance_steps=7, infer_episodes=2)
        assert read("--mode=train")["demo_share"] == 0.5


def test_values_of_the_model_dir_are_not_given(read, trained):
    """Neither those without an effect, nor those whose partner comes from there, too."""
    trained(importance_steps=7, demo_share=0.5, expert_margin=0.3)
    assert read("--mode=eval")["importance_steps"] == 7


def test_a_partner_in_the_model_dir_counts(read, trained):
    trained(prioritized=True, demos="d.npz", importance_steps=7, demo_priority=3.0)
    assert read("--importance_steps=7", "--demo_priority=3.0")["prioritized"]
    with pytest.raises(ValueError, match=r"--demo_share=0.25 has no effect with --prioritized"):
        read("--demo_share=0.25")


def test_a_missing_partner_is_told_before_another_value_than_in_the_model_dir(read, trained):
    """Without its partner the saved value is a default that nothing used."""
    trained(importance_steps=7)
    with pytest.raises(ValueError, match=r"--importance_steps=9 has no effect without --prioritized"):
        read("--importance_steps=9")
    trained(importance_steps=7, prioritized=True)
    with pytest.raises(ValueError, match=r"importance_steps: 7 there, 9 now"):
        read("--importance_steps=9")


# Declarations of a script. ----------------------------------------------------------------------------------------------


def test_a_script_declares_flags_of_its_own(read):
    cli.needs("noop_max", "discount", game=("Pong", "Breakout"))
    cli.needs("batch_size", off=1, sticky_actions=0.0)
    for arguments in (["--noop_max=3"], ["--discount=0.5", "--game=Breakout"], ["--batch_size=1"]):
        read(*arguments, extra=atari.HYPER_PARAMETERS)
    with pytest.raises(ValueError, match="has no effect") as error:
        read("--noop_max=3", "--batch_size=2", "--game=Qbert", extra=atari.HYPER_PARAMETERS)
    first, second = str(error.value).splitlines()
    assert first.startswith("--noop_max=3 has no effect with --game=Qbert: it needs --game=Pong or --game=Breakout.")
    assert second.startswith("--batch_size=2 has no effect with --sticky_actions=0.25: it needs --sticky_actions=0.0.")


def test_a_later_declaration_replaces_the_one_before(read):
    cli.needs("output")
    read("--mode=train", "--output=x")
    cli.unused("output", because="this program writes nothing")
    with pytest.raises(ValueError, match=r"--output=x has no effect: this program writes nothing. Leave it out."):
        read("--mode=infer", "--output=x")


def test_what_is_not_a_flag_cannot_be_declared(read):
    with pytest.raises(ValueError, match=r"There is no flag --exploration_strat.* Did you mean 'exploration_start'?"):
        cli.needs("exploration_strat", prioritized=True)
    with pytest.raises(ValueError, match=r"There is no flag --prioritised.* Did you mean 'prioritized'?"):
        cli.needs("exploration_start", prioritised=True)
    with pytest.raises(ValueError, match="There is no flag --noise_level"):
        cli.unused("noise_level", because="there is no noise")
