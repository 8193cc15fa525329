"""What a training run shows of itself: a bar on a terminal, plain lines elsewhere, whether logging is set up or not."""

from __future__ import annotations

import io
import itertools
import logging
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tiny_agents import counting_model_fn
from tiny_envs import ScheduleEnv

from polyrl.envs import Episode
from polyrl.estimators import RunConfig
from polyrl.estimators.hooks import EvaluationHook, Hook, LoggingHook, ProgressHook, default_hooks, defaults, pace
from polyrl.estimators.hooks.progress import describe_rewards, progress_hook, write_line
from polyrl.estimators.loops.learner import Learner
from polyrl.models import Scope
from polyrl.replay import UniformReplay

BATCH = 4
LINE = re.compile(r"step (\d+), update (\d+), episode (\d+), .*loss \S+, \d+ steps/s")


NOTHING: tuple[Any, ...] = (UniformReplay(), Learner(counting_model_fn, Scope(), UniformReplay()), {})
"""The other arguments of `default_hooks`."""


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


# Which of the two. ------------------------------------------------------------------------------------------------------


def test_a_run_shows_its_progress_unless_told_otherwise():
    shown = {LoggingHook, ProgressHook}
    assert RunConfig().progress is True
    assert len([hook for hook in default_hooks(RunConfig(), *NOTHING) if type(hook) in shown]) == 1
    assert not [hook for hook in default_hooks(RunConfig(progress=False), *NOTHING) if type(hook) in shown]


@pytest.mark.parametrize(
    ("stream", "variables", "kind"),
    [
        (Terminal(), {"TERM": "xterm"}, ProgressHook),
        (Terminal(), {"TERM": "dumb"}, LoggingHook),
        (io.StringIO(), {"TERM": "xterm"}, LoggingHook),
        (io.StringIO(), {"TERM": "xterm", "FORCE_COLOR": "1"}, LoggingHook),
        (None, {"TERM": "xterm"}, LoggingHook),
    ],
)
def test_a_bar_on_a_terminal_and_lines_elsewhere(monkeypatch, stream, variables, kind):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", stream)
    assert type(progress_hook()) is kind


@pytest.mark.parametrize("name", ["progress", "overlap"])
def test_what_is_neither_true_nor_false_is_refused(name):
    with pytest.raises(TypeError, match=f"{name}='no' must be True or False"):
        RunConfig(**{name: "no"})


# Where lines go. --------------------------------------------------------------------------------------------------------

SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from polyrl import Agent, RunConfig, UniformReplay
from tiny_agents import q_model_fn

config = RunConfig(jit="off", save_summary_timesteps=None, threads=1)
agent = Agent(q_model_fn(num_actions=2), UniformReplay(100, 4), sys.argv[2], config)
agent.train("CartPole-v1", first_update=4, max_timesteps=30)
agent.train("CartPole-v1", first_update=4, max_timesteps=33)
"""


@pytest.mark.slow
def test_a_script_without_logging_shows_lines_on_stderr(tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).resolve().parents[2]), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    promise, *lines, end, resumed, promise_again, again, end_again = done.stderr.splitlines()
    found = [LINE.fullmatch(line) for line in lines]
    assert all(found), done.stderr
    assert found[-1].groups()[:2] == ("30", "26")
    assert promise.startswith("Exact resume, on this machine with these versions: ")
    assert promise_again == promise
    assert end.startswith("Training ended: budget of timesteps reached: 30 of 30 environment steps. Checkpoint: ")
    assert re.fullmatch(r"Resuming from \S+: environment step 30, update 26, episode \d+, 30 transitions in memory.", resumed)
    assert LINE.fullmatch(again).groups()[:2] == ("33", "29")
    assert end_again.startswith("Training ended: ")


@pytest.fixture
def loggers():
    """The root's and polyrl's without handlers, as in a program that has not set up logging; put back at the end."""
    both = logging.getLogger(), logging.getLogger("polyrl")
    before = [(logger, logger.level, logger.handlers, logger.propagate) for logger in both]
    disabled = logging.root.manager.disable
    for logger, level in zip(both, (logging.WARNING, logging.NOTSET), strict=True):
        logger.handlers = []
        logger.propagate = True
        logger.setLevel(level)
    yield both
    logging.disable(disabled)
    for logger, level, handlers, propagate in before:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def log_to(logger: logging.Logger, level: int) -> io.StringIO:
    stream = io.StringIO()
    logger.addHandler(logging.StreamHandler(stream))
    logger.setLevel(level)
    return stream


def test_without_logging_a_line_goes_to_stderr(loggers, capsys):
    write_line("step 1")
    assert capsys.readouterr() == ("", "step 1\n")


@pytest.mark.parametrize("number", [0, 1], ids=["root", "polyrl"])
@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
def test_with_logging_it_goes_through_the_logger_alone(loggers, capsys, number, level):
    stream = log_to(loggers[number], level)
    write_line("100% of it")
    assert stream.getvalue() == "100% of it\n"
    assert capsys.readouterr() == ("", "")


def test_logging_of_warnings_does_not_hide_it(loggers, capsys):
    """`logging.basicConfig()` says nothing of progress, which `RunConfig(progress=True)` wants to be shown."""
    stream = log_to(loggers[0], logging.WARNING)
    write_line("step 1")
    assert (stream.getvalue(), capsys.readouterr().err) == ("", "step 1\n")


def test_a_level_of_the_logger_itself_hides_it(loggers, capsys):
    loggers[1].setLevel(logging.WARNING)
    write_line("step 1")
    assert capsys.readouterr() == ("", "")


def test_logging_that_is_disabled_hides_it(loggers, capsys):
    logging.disable(logging.INFO)
    write_line("step 1")
    assert capsys.readouterr() == ("", "")
    logging.disable(logging.DEBUG)
    write_line("step 2")
    assert capsys.readouterr() == ("", "step 2\n")


def test_a_checkpoint_does_not_change_the_logging_of_the_program(agent, loggers, monkeypatch):
    """TensorFlow's messages gave the root logger a handler: of two agents the second one's warnings had a prefix."""
    monkeypatch.setattr(logging.root, "handlers", [])  # Of pytest.
    trained = agent()
    trained.train(ScheduleEnv(), first_update=BATCH, timesteps=6)
    assert not logging.root.handlers


def test_without_stderr_nothing_fails(loggers, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    write_line("step 1")


# When lines come. -------------------------------------------------------------------------------------------------------


def steps(messages: list[str]) -> list[int]:
    return [int(found[1]) for message in messages if (found := re.match(r"step (\d+), update", message))]


@pytest.mark.parametrize(
    ("timesteps", "every", "expected"), [(12, 5, [5, 10, 12]), (10, 5, [5, 10]), (3, None, [3]), (7, 100, [7])]
)
def test_lines_come_in_their_rhythm_and_one_at_the_end(agent, caplog, timesteps, every, expected):
    with caplog.at_level(logging.INFO, "polyrl"):
        agent().train(ScheduleEnv(lengths=(3,)), first_update=BATCH, timesteps=timesteps, hooks=[LoggingHook(None, every)])
    assert steps(caplog.messages) == expected


def test_a_run_that_has_nothing_left_to_do_shows_no_line(agent, caplog):
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.INFO, "polyrl"):
            agent(progress=True).train(ScheduleEnv(lengths=(3,)), first_update=BATCH, max_timesteps=6)
    assert "Training ended" in caplog.text
    assert steps(caplog.messages) == []


# What they say. -------------------------------------------------------------------------------------------------------------


def test_the_speed_leaves_out_the_first_iteration_in_which_calls_are_compiled(agent, caplog, monkeypatch):
    """100 s until the first iteration has ended, and one second for each step after it."""
    seconds = itertools.chain([1_000.0, 1_100.0], itertools.count(1_101.0))

    class Clock(Hook):
        now = next(seconds)

        def after_act(self, run):
            Clock.now = next(seconds)

    monkeypatch.setattr(pace.time, "monotonic", lambda: Clock.now)
    hooks = [Clock(), LoggingHook(None, 5)]
    with caplog.at_level(logging.INFO, "polyrl"):
        agent().train(ScheduleEnv(lengths=(3,)), first_update=BATCH, timesteps=11, hooks=hooks)
    assert [re.search(r", (\d+) steps/s$", message)[1] for message in caplog.messages if "steps/s" in message] == ["1"] * 3


def test_a_single_iteration_has_no_speed(agent, caplog):
    with caplog.at_level(logging.INFO, "polyrl"):
        agent().train(ScheduleEnv(lengths=(3,)), first_update=BATCH, timesteps=1, hooks=[LoggingHook(None, 1)])
    (line,) = [message for message in caplog.messages if message.startswith("step 1,")]
    assert "steps/s" not in line


def test_a_budget_below_what_has_been_done_is_no_more_than_a_full_bar(agent):
    agent().train(ScheduleEnv(lengths=(3,)), first_update=BATCH, max_timesteps=12)
    stream = Terminal()
    hook = ProgressHook(Console(file=stream, force_terminal=True, width=80))
    result = agent().train(ScheduleEnv(lengths=(3,)), first_update=BATCH, max_timesteps=6, hooks=[hook])
    assert result.stop_reason == "budget of timesteps reached: 12 environment steps, 6 more than 6"
    assert "12/12" in stream.getvalue()


@pytest.mark.parametrize(
    ("reward", "shown"), [(0.7349, "0.735"), (-3.3, "-3.3"), (1.0, "1"), (123.456, "123.5"), (-10.0, "-10.0")]
)
def test_small_returns_have_three_digits(reward, shown):
    run = types.SimpleNamespace(episodes=[Episode(reward, 1, 0, False)], last_evaluation={"mean_reward": reward})
    assert describe_rewards(run) == f"reward {shown}, eval {shown}"


def test_the_bar_is_told_of_the_evaluations(monkeypatch):
    seen = []
    monkeypatch.setattr(defaults, "progress_hook", lambda every: seen.append(every) or LoggingHook())
    env = ScheduleEnv()
    for others in ([], [LoggingHook()], [EvaluationHook(env, 500), EvaluationHook(env, 200)]):
        default_hooks(RunConfig(), *NOTHING, others=others)
    assert seen == [None, None, 200]
