"""Environments in processes of their own that fail: who, when, how; and that none is left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
from faulty_envs import FaultyEnv
from tiny_envs import ScheduleEnv

from polyrl.envs import EnvDriver, GymEnvironment
from polyrl.errors import BrokenEnvironmentError

DID = {
    "raise": "raised KeyError: 'no such level'. Nothing of this step was stored.\nIn its process:\nTraceback",
    "exit": "exited with status 3. Nothing of this step",
    "sys.exit": "exited with status 4. Nothing of this step was stored.\nIn its process:\nTraceback",
    "kill": "was killed by SIGKILL, as the system does when memory runs out. Nothing",
    "crash": "was killed by SIGSEGV. Nothing",
}
HANGS = ("sleep", "C", "loop")


OPENED = []


@pytest.fixture(autouse=True)
def nobody_is_left():
    yield
    while OPENED:
        OPENED.pop().close(terminate=True)  # Of a test that failed.
    assert not multiprocessing.active_children()


def opened(num_envs: int = 2, timeout: float | None = None, restarts: int = 0, **arguments):
    """A vector environment that will be closed by the test; only environments in processes misbehave."""
    arguments = {"lengths": (4,), "owner": os.getpid(), **arguments}
    OPENED.append(GymEnvironment(FaultyEnv, num_envs, "async", timeout, restarts, **arguments).open())
    return OPENED[-1]


def failed(vector, steps: int = 10) -> BrokenEnvironmentError:
    """The error of the first step that fails."""
    try:
        driver = EnvDriver(vector)
        driver.reset(range(vector.num_envs))
        for _ in range(steps):
            driver.step(np.ones(vector.num_envs, np.int32))
    except BrokenEnvironmentError as error:
        return error
    else:
        pytest.fail("Nothing failed.")
    finally:
        vector.close()


# What is said. ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deed", DID)
def test_an_environment_that_fails_is_named_with_its_step_and_what_it_did(deed):
    error = failed(opened(deed=deed, at=3))
    assert str(error).startswith("Environment 0 (env_id=<class 'faulty_envs.FaultyEnv'>), at its step 3, ")
    assert DID[deed] in str(error)
    assert (error.env, error.step) == (0, 3)
    assert error.exit_status == {"exit": 3, "sys.exit": 4}.get(deed)
    assert error.signal == {"kill": signal.SIGKILL, "crash": signal.SIGSEGV}.get(deed)


@pytest.mark.slow
@pytest.mark.parametrize("deed", [pytest.param(deed, marks=[] if deed == "C" else pytest.mark.slow) for deed in HANGS])
def test_a_hang_is_named_with_what_it_hangs_in_and_ended(deed):
    error = failed(opened(timeout=0.5, deed=deed, at=2))
    assert "at its step 2, did not answer within timeout=0.5 seconds." in str(error)
    assert "faulty_envs.py" in str(error)


def test_the_traceback_is_the_environments_own():
    text = str(failed(opened(deed="raise")))
    assert "in _misbehave" in text
    assert "worker.py" not in text
    assert "contract.py" not in text


def test_only_the_one_that_failed_is_named():
    vector = opened(3, deed="sleep", at=1_000)
    vector.reset(seed=0)
    vector.call("reset")
    os.kill(vector._workers[2].process.pid, signal.SIGTERM)
    error = failed(vector)
    assert (error.env, error.signal) == (2, signal.SIGTERM)


def test_a_failure_at_the_first_reset_says_so():
    error = failed(opened(deed="raise", at=0))
    assert "at its reset, raised KeyError" in str(error)


def test_a_failure_while_it_is_made_says_so():
    owner = os.getpid()
    environment = GymEnvironment(lambda: ScheduleEnv(number=1 if os.getpid() == owner else 1 // 0), 2, "async")
    with pytest.raises(BrokenEnvironmentError, match=r"Environment 0 .*, while it was made, raised ZeroDivisionError"):
        environment.open()


def test_an_error_that_cannot_be_pickled_is_told_all_the_same():
    """gymnasium waited for ever for it."""

    class Closure(Exception):
        def __init__(self):
            super().__init__(lambda: None)

    class Env(ScheduleEnv):
        def step(self, action):
            raise Closure

    assert "raised test_an_error_that_cannot" in str(failed(GymEnvironment(Env, 2, "async").open()))


def test_what_cannot_be_sent_is_told(tmp_path):
    class Env(ScheduleEnv):
        def step(self, action):
            return (*super().step(action)[:4], {"file": open(os.devnull)})

    assert "raised TypeError: cannot pickle" in str(failed(GymEnvironment(Env, 2, "async").open()))


def test_after_a_failure_it_says_so_again():
    vector = opened(deed="exit", at=1)
    vector.reset(seed=0)
    for _ in range(2):
        with pytest.raises(BrokenEnvironmentError, match=r"Environment 0 .*at its step 1, exited with status 3"):
            vector.step(np.ones(2, np.int64))
    with pytest.raises(BrokenEnvironmentError, match="cannot continue: Environment 0"):
        vector.call("steps")
    vector.close()


# Nobody is left behind. -------------------------------------------------------------------------------------------------


def test_environments_are_closed_also_if_another_one_has_failed(tmp_path):
    class Env(FaultyEnv):
        def close(self):
            if os.getpid() != self._owner:
                (tmp_path / str(os.getpid())).touch()

    vector = GymEnvironment(Env, 3, "async", deed="kill", at=2, once=tmp_path / "once", owner=os.getpid()).open()
    assert failed(vector).signal == signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1 + 2


def test_one_that_does_not_close_is_ended_with_a_warning(caplog, monkeypatch):
    class Env(ScheduleEnv):
        def close(self):
            if os.getpid() != owner:
                time.sleep(1_000)

    owner = os.getpid()
    vector = GymEnvironment(Env, 2, "async").open()
    vector.close(timeout=0.2)
    assert "Environment 0" in caplog.text
    assert "did not close, and its process was ended" in caplog.text


def test_processes_leave_ctrl_c_and_the_end_of_the_terminal_to_their_owner():
    vector = opened(at=1_000)
    vector.reset(seed=0)
    for worker in vector._workers:
        os.kill(worker.process.pid, signal.SIGINT)
        os.kill(worker.process.pid, signal.SIGHUP)
    vector.step(np.ones(2, np.int64))
    vector.close()


@pytest.mark.slow
def test_an_interrupted_call_leaves_no_process_behind():
    vector = opened(deed="sleep", at=1)
    vector.reset(seed=0)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            vector.step(np.ones(2, np.int64))
    finally:
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(BrokenEnvironmentError, match="a call before was interrupted"):
        vector.call("steps")
    vector.close()


# What is refused. -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("argument", [{"timeout": 5.0}, {"restarts": 2}])
def test_in_this_process_nothing_can_be_ended_or_made_again(argument):
    with pytest.raises(ValueError, match="needs vectorization_mode='async': with 'sync' the environments run in"):
        GymEnvironment(ScheduleEnv, 2, **argument)


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf"), "5"])
def test_a_timeout_that_is_none_is_refused(wrong):
    with pytest.raises((TypeError, ValueError), match="timeout="):
        GymEnvironment(ScheduleEnv, 2, "async", wrong)


# Restarts. --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deed", ["raise", "exit", "kill", pytest.param("sleep", marks=pytest.mark.slow)])
def test_one_that_fails_is_made_again_and_its_episode_is_truncated(deed, tmp_path, caplog):
    vector = opened(deed=deed, at=3, once=tmp_path / "once", restarts=2, timeout=3.0)
    driver = EnvDriver(vector)
    driver.reset([0, 1])
    steps = [driver.step(np.ones(2, np.int32)) for _ in range(8)]
    failing = int(np.flatnonzero(steps[2][0].truncated)[0])
    transitions, (episode,) = steps[2]
    np.testing.assert_array_equal(transitions.next_state[failing], transitions.state[failing])
    assert (transitions.reward[failing], transitions.done[failing]) == (0.0, 0.0)
    assert (episode.env, episode.length, episode.truncated) == (failing, 3, True)
    np.testing.assert_array_equal(steps[3][0].state[failing], [0, 0, 0, 0])
    assert [len(episodes) for _, episodes in steps] == [0, 0, 1, 1, 0, 0, 1, 1]
    assert f"Environment {failing} " in caplog.text
    assert "Restart 1 of at most 2: its episode is truncated." in caplog.text
    vector.close()


def test_restarts_come_to_an_end(caplog):
    error = failed(opened(1, deed="exit", at=2, restarts=3), steps=100)
    assert error.step == 2 * 4
    assert caplog.text.count("Restart ") == 3


def test_the_error_of_one_that_was_made_again_is_its_own(caplog):
    """It had the failure before it in the parent process as its context."""

    class Env(ScheduleEnv):
        def step(self, action):
            self.taken = getattr(self, "taken", 0) + 1
            if self.taken == 3:
                raise RuntimeError("of its own")
            return super().step(action)

    error = failed(GymEnvironment(Env, 2, "async", restarts=3).open(), steps=100)
    told = f"{caplog.text}{error}{getattr(error, '__notes__', '')}"
    assert told.count("Restart ") == 3
    assert "During handling of the above exception" not in told


def test_a_fault_of_what_is_returned_is_not_a_reason_for_a_restart():
    class Env(ScheduleEnv):
        def step(self, action):
            return super().step(action)[:4]

    vector = GymEnvironment(Env, 2, "async", restarts=5).open()
    vector.reset(seed=0)
    with pytest.raises(TypeError, match="returned 4 values"):
        vector.step(np.ones(2, np.int64))
    vector.close()
