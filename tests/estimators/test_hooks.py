"""Hooks: when they run, what they see, what the agent's own ones do."""

from __future__ import annotations

import json
import shutil
import time
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from tiny_agents import assert_equal, counters, counting_model_fn, q_model_fn, rows, weights
from tiny_envs import Bad, ScheduleEnv, ScriptedEnv, vector

from polyrl.configs import DecayExplorationConfig, HuberLossConfig, MeanSquaredErrorConfig, MetricConfig
from polyrl.errors import NonFiniteError
from polyrl.estimators import Agent, EstimatorSpec
from polyrl.estimators.hooks import CheckpointHook, EvaluationHook, Hook
from polyrl.models.scope import current_scope

BATCH = 4


class Recorder(Hook):
    """Writes down each phase it is called in, and the counters at that time."""

    def __init__(self, log=None, name=""):
        self.log = [] if log is None else log
        self._name = name

    def _note(self, phase, run, *more):
        self.log.append((f"{self._name}{phase}", run.timestep, run.step, run.episode, *more))

    def begin(self, run):
        self._note("begin", run)

    def after_update(self, run):
        self._note("after_update", run)

    def after_episode(self, run, episode):
        self._note("after_episode", run, episode.length)

    def after_act(self, run):
        self._note("after_act", run)

    def after_checkpoint(self, run, path):
        assert (path / "state.json").is_file()
        self._note("after_checkpoint", run, path.name)

    def end(self, run):
        self._note("end", run)

    def close(self):
        self.log.append((f"{self._name}close",))


class Failing(Hook):
    """Raises in one phase."""

    def __init__(self, phase, timestep=0):
        self._phase, self._timestep = phase, timestep

    def begin(self, run):
        self._raise("begin", run)

    def after_act(self, run):
        self._raise("after_act", run)

    def end(self, run):
        self._raise("end", run)

    def _raise(self, phase, run):
        if phase == self._phase and run.timestep >= self._timestep:
            raise RuntimeError("of the hook")


def schedule(lengths=(3,), **arguments) -> ScheduleEnv:
    return ScheduleEnv(lengths=lengths, **arguments)


def checkpoints(agent: Agent) -> list[int]:
    return [int(path.name.split("-")[1]) for path in sorted(agent.checkpoints.directory.glob("*"))]


# The phases. ------------------------------------------------------------------------------------------------------------


def test_phases_run_in_the_documented_order(agent):
    recorder = Recorder()
    agent(save_checkpoints_timesteps=3).train(schedule(), first_update=BATCH, timesteps=6, hooks=[recorder])
    assert recorder.log == [
        ("begin", 0, 0, 0),
        ("after_act", 1, 0, 0),
        ("after_act", 2, 0, 0),
        ("after_episode", 3, 0, 1, 3),
        ("after_act", 3, 0, 1),
        ("after_checkpoint", 3, 0, 1, "ckpt-000000003"),
        ("after_act", 4, 0, 1),
        ("after_update", 5, 1, 1),
        ("after_act", 5, 1, 1),
        ("after_update", 6, 2, 2),
        ("after_episode", 6, 2, 2, 3),
        ("after_act", 6, 2, 2),
        ("after_checkpoint", 6, 2, 2, "ckpt-000000006"),
        ("end", 6, 2, 2),
        ("after_checkpoint", 6, 2, 2, "ckpt-000000006"),
        ("close",),
    ]


def test_hooks_run_in_the_order_given_phase_by_phase(agent):
    log = []
    agent().train(schedule(), first_update=BATCH, timesteps=1, hooks=[Recorder(log, "a."), Recorder(log, "b.")])
    names = [entry[0] for entry in log]
    phases = ("begin", "after_act", "end", "after_checkpoint", "close")
    assert names == [f"{name}.{phase}" for phase in phases for name in "ab"]


def test_one_call_for_each_episode_that_ended_in_an_iteration(agent):
    recorder = Recorder()
    env = vector(schedule((2,)), schedule((2,)), schedule((3,)))
    agent().train(env, first_update=BATCH, timesteps=9, hooks=[recorder])
    ended = [entry for entry in recorder.log if entry[0] == "after_episode"]
    assert ended == [("after_episode", 6, 2, 2, 2), ("after_episode", 6, 2, 2, 2), ("after_episode", 9, 5, 3, 3)]


def test_one_call_after_an_iteration_with_several_updates(agent):
    recorder = Recorder()
    agent().train(vector(schedule(), schedule(), schedule()), first_update=BATCH, timesteps=9, hooks=[recorder])
    updates = [entry[:3] for entry in recorder.log if entry[0] == "after_update"]
    assert updates == [("after_update", 6, 2), ("after_update", 9, 5)]


def test_the_run_shows_what_is_in_the_memory_and_the_last_episodes(agent):
    seen = []

    class Look(Hook):
        def after_act(self, run):
            seen.append((run.stored, [episode.reward for episode in run.episodes], run.actions.shape))

    agent(size=5).train(schedule(), first_update=BATCH, timesteps=7, hooks=[Look()])
    one, two = [6.0], [6.0, 6.0]
    assert [row[0] for row in seen] == [1, 2, 3, 4, 5, 5, 5]
    assert [row[1] for row in seen] == [[], [], one, one, one, two, two]
    assert {row[2] for row in seen} == {(1,)}


def test_the_loss_shown_is_that_of_the_updates(agent):
    """Each reward is the step's number, and the counting model's loss is their mean over the batch."""
    seen = []

    class Look(Hook):
        def after_update(self, run):
            seen.append(run.loss)

    agent().train(schedule((1,)), first_update=BATCH, timesteps=9, hooks=[Look()])
    assert seen == [1.0] * 5


def test_the_exploration_rate_shown_is_that_of_the_timestep(agent):
    rates = []

    class Look(Hook):
        def after_act(self, run):
            rates.append(run.exploration_rate)

    config = DecayExplorationConfig(exploration_rate=1.0, min_exploration_rate=0.0, decay_steps=8)
    trained = agent(q_model_fn(exploration_config=config))
    for _ in range(2):  # The second one goes on from the first.
        trained.train(schedule(), first_update=BATCH, timesteps=3, hooks=[Look()])
    np.testing.assert_allclose(rates, [1 - t / 8 for t in range(1, 7)], rtol=1e-6)


# Stopping and failing. --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["begin", "after_update", "after_episode", "after_act"])
def test_a_stop_asked_for_in_any_phase_ends_the_run_with_its_reason(agent, phase):
    class Stop(Hook):
        pass

    setattr(Stop, phase, lambda self, run, *arguments: run.request_stop(f"by {phase}"))
    recorder = Recorder()
    result = agent().train(schedule(), first_update=BATCH, hooks=[Stop(), recorder])
    timestep = {"begin": 0, "after_act": 1, "after_episode": 3, "after_update": 5}[phase]
    assert (result.stop_reason, result.global_timestep) == (f"by {phase}", timestep)
    assert [entry[0] for entry in recorder.log[-3:]] == ["end", "after_checkpoint", "close"]
    assert result.checkpoint.name == f"ckpt-{timestep:09d}"


def test_the_first_reason_is_the_one_reported(agent):
    class Stop(Hook):
        def after_act(self, run):
            run.request_stop("first")
            run.request_stop("second")

    assert agent().train(schedule(), first_update=BATCH, hooks=[Stop()]).stop_reason == "first"


@pytest.mark.parametrize("phase", ["begin", "after_act", "end"])
def test_hooks_are_closed_after_an_exception_and_nothing_is_written(agent, phase):
    trained, recorder = agent(), Recorder()
    with pytest.raises(RuntimeError, match="of the hook"):
        trained.train(schedule(), first_update=BATCH, timesteps=5, hooks=[Failing(phase), recorder])
    phases = [entry[0] for entry in recorder.log]
    assert phases[-1] == "close"
    assert phases.count("close") == 1
    assert "after_checkpoint" not in phases
    assert trained.checkpoints.latest() is None


def test_hooks_are_closed_after_an_exception_of_the_environment(agent):
    recorder = Recorder()
    with pytest.raises(NonFiniteError):
        agent().train(schedule(bad=Bad("reward", 1, 1)), first_update=BATCH, timesteps=9, hooks=[recorder])
    assert recorder.log[-1] == ("close",)
    assert recorder.log[-2][:2] == ("after_act", 3)


@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=pytest.mark.slow)])
def test_after_an_exception_training_goes_on_from_the_checkpoint_before_it(agent, jit):
    """As an agent does that knows of nothing but the checkpoint."""
    trained = agent(q_model_fn(), jit=jit, save_checkpoints_timesteps=10)
    with pytest.raises(RuntimeError):
        trained.train(schedule(), first_update=BATCH, timesteps=30, hooks=[Failing("after_act", 17)])
    shutil.copytree(trained.model_dir, trained.model_dir.parent / "copy")
    fresh = agent(q_model_fn(), jit=jit, model_dir=trained.model_dir.parent / "copy")
    for each in (trained, fresh):
        result = each.train(schedule(), first_update=BATCH, timesteps=5)
        assert (result.global_step, result.global_timestep, result.global_episode) == counters(each)
        assert result.global_timestep == 15
    assert_equal(weights(trained), weights(fresh))
    assert_equal(rows(trained), rows(fresh))


# Checkpoints. -----------------------------------------------------------------------------------------------------------


def naive_checkpoints(timesteps: int, num_envs: int, every: int) -> list[int]:
    """After each iteration that passes a multiple of `every`, and at the end."""
    written, t = [], 0
    while t < timesteps:
        before, t = t, t + num_envs
        if any(step % every == 0 for step in range(before + 1, t + 1)) or t >= timesteps:
            written.append(t)
    return written


@pytest.mark.parametrize(("num_envs", "every"), [(1, 1), (1, 5), (3, 5), (3, 2), (2, 30)])
def test_checkpoints_come_in_the_rhythm_of_environment_steps(agent, num_envs, every):
    trained = agent(save_checkpoints_timesteps=every, keep_checkpoint_max=100)
    trained.train(vector(*(schedule() for _ in range(num_envs))), first_update=BATCH, timesteps=22)
    assert checkpoints(trained) == naive_checkpoints(22, num_envs, every)


def test_a_resumed_run_keeps_the_rhythm(agent):
    for timesteps in (3, 4, 8):
        trained = agent(save_checkpoints_timesteps=5, keep_checkpoint_max=100)
        trained.train(schedule(), first_update=BATCH, timesteps=timesteps)
    assert checkpoints(trained) == [3, 5, 7, 10, 15]


def test_what_other_hooks_take_does_not_put_checkpoints_off():
    """They run between the request and the writing."""
    requested = []
    run = SimpleNamespace(timestep=0, checkpoint_seconds=0.0, request_checkpoint=lambda: requested.append(run.timestep))
    hook = CheckpointHook(1, None, max_share=0.01)
    hook.begin(run)
    for run.timestep in (1, 2):
        hook.after_act(run)
        time.sleep(0.02)  # An evaluation, say; a hundredth of the time would be two seconds.
        hook.after_checkpoint(run, None)
    assert requested == [1, 2]


def test_checkpoints_that_take_long_are_put_off():
    requested = []
    run = SimpleNamespace(timestep=0, checkpoint_seconds=60.0, request_checkpoint=lambda: requested.append(run.timestep))
    hook = CheckpointHook(1, None, max_share=0.01)
    hook.begin(run)
    for run.timestep in (1, 2):
        hook.after_act(run)
        hook.after_checkpoint(run, None)
    assert requested == [1]


def test_checkpoints_by_the_clock(agent):
    """Zero seconds have always passed."""
    trained = agent(save_checkpoints_secs=0.0, keep_checkpoint_max=100)
    trained.train(schedule(), first_update=BATCH, timesteps=4)
    assert checkpoints(trained) == [1, 2, 3, 4]


def test_without_a_cadence_one_is_written_at_the_end(agent):
    trained = agent(save_checkpoints_timesteps=None, save_checkpoints_secs=None)
    trained.train(schedule(), first_update=BATCH, timesteps=9)
    assert checkpoints(trained) == [9]


@pytest.mark.parametrize("keep", [1, 2, 4])
def test_the_newest_checkpoints_are_kept_at_any_time(agent, keep):
    seen = []

    class Count(Hook):
        def after_checkpoint(self, run, path):
            seen.append(checkpoints(trained))

    trained = agent(save_checkpoints_timesteps=2, keep_checkpoint_max=keep)
    trained.train(schedule(), first_update=BATCH, timesteps=10, hooks=[Count()])
    written = [2, 4, 6, 8, 10]
    assert seen[:5] == [written[max(0, n - keep) : n] for n in range(1, 6)]
    assert checkpoints(trained) == written[-keep:]


def test_a_hook_of_the_users_may_ask_for_checkpoints_too(agent):
    trained = agent(keep_checkpoint_max=9)
    trained.train(schedule(), first_update=BATCH, timesteps=7, hooks=[CheckpointHook(3, None)])
    assert checkpoints(trained) == [3, 6, 7]


# States of hooks. -------------------------------------------------------------------------------------------------------


class Memo(Hook):
    """Counts iterations over all runs."""

    def __init__(self):
        self.count, self.given = 0, None

    def begin(self, run):
        self.at_begin = self.count

    def after_act(self, run):
        self.count += 1

    def get_state(self):
        return {"count": self.count}

    def set_state(self, state):
        self.given = dict(state)
        self.count = state["count"]


def test_the_states_of_hooks_come_back_before_the_resumed_run_begins(agent):
    first, second = Memo(), Memo()
    agent().train(schedule(), first_update=BATCH, timesteps=5, hooks=[first])
    agent().train(schedule(), first_update=BATCH, timesteps=3, hooks=[second])
    assert (first.given, second.given, second.at_begin, second.count) == (None, {"count": 5}, 5, 8)


def test_hooks_of_one_class_are_told_apart_by_their_order(agent):
    class Offset(Memo):
        def __init__(self, offset):
            super().__init__()
            self.count = offset

    agent().train(schedule(), first_update=BATCH, timesteps=2, hooks=[Offset(10), Memo(), Offset(20)])
    hooks = [Offset(0), Memo(), Offset(0), Offset(0)]
    agent().train(schedule(), first_update=BATCH, timesteps=1, hooks=hooks)
    assert [hook.given for hook in hooks] == [{"count": 12}, {"count": 2}, {"count": 22}, None]


def test_the_last_episodes_come_back_too(agent):
    seen = []

    class Look(Hook):
        def begin(self, run):
            seen.append([(episode.length, episode.reward) for episode in run.episodes])

    for _ in range(2):
        agent().train(schedule((2, 1)), first_update=BATCH, timesteps=6, hooks=[Look()])
    assert seen == [[], [(2, 3.0), (1, 1.0), (2, 3.0), (1, 1.0)]]


# Evaluation. ------------------------------------------------------------------------------------------------------------


def best(agent: Agent) -> tuple[str, float] | None:
    path = agent.checkpoints.best()
    return None if path is None else (path.name, json.loads((path / "state.json").read_text())["score"])


def evaluating(agent: Agent, rewards, timesteps: int = 20, stop=None):
    """Trains with an evaluation every 5 steps, which find `rewards` one after the other; it learns from the fifth on."""
    env, hook_env = schedule(), ScriptedEnv(rewards)
    hook = EvaluationHook(hook_env, every_timesteps=5, episodes=1, stop_at_reward=stop)
    result = agent.train(env, first_update=BATCH, timesteps=timesteps, hooks=[hook])
    return result, hook_env.rollouts, env.steps


def test_the_best_evaluation_decides_which_weights_are_kept(agent):
    trained = agent()
    _, evaluations, _ = evaluating(trained, [5.0, 3.0, 7.0, 6.0])
    assert evaluations == 4
    assert best(trained) == ("ckpt-000000015", 7.0)
    assert len(list(trained.checkpoints.best_directory.iterdir())) == 1


def test_the_weights_kept_are_those_evaluated(agent):
    kept = {}

    class Look(Hook):
        def after_act(self, run):
            if run.timestep == 10:
                kept.update(weights(trained))

    trained = agent(q_model_fn())
    trained.train(schedule(), first_update=BATCH, timesteps=14, hooks=[EvaluationHook(ScriptedEnv([1.0, 2.0]), 5, 1), Look()])
    predictor = agent(q_model_fn()).predictor("best")
    found = weights(predictor)
    assert counters(predictor) == (6, 10, 3)
    assert "Model/online/dense/kernel" in found
    for name in found.keys() & kept.keys():
        np.testing.assert_array_equal(found[name], kept[name], err_msg=name)


def test_a_worse_evaluation_in_a_resumed_run_does_not_replace_the_best(agent):
    evaluating(agent(), [5.0])
    resumed = agent()
    evaluating(resumed, [4.0, 4.9])
    assert best(resumed) == ("ckpt-000000020", 5.0)
    evaluating(agent(), [3.0, 5.5, 4.0])
    assert best(resumed) == ("ckpt-000000050", 5.5)


def test_negative_rewards_have_a_best_too(agent):
    trained = agent()
    evaluating(trained, [-5.0, -3.0, -7.0, -4.0])
    assert best(trained) == ("ckpt-000000010", -3.0)


def test_the_best_is_no_checkpoint_to_resume_from(agent):
    trained = agent()
    evaluating(trained, [5.0, 1.0], timesteps=12)
    assert checkpoints(trained) == [12]
    assert agent().train(schedule(), first_update=BATCH, timesteps=1).global_timestep == 13


def test_pruning_leaves_the_best_alone(agent):
    trained = agent(save_checkpoints_timesteps=1, keep_checkpoint_max=1)
    evaluating(trained, [5.0, 1.0])
    assert (checkpoints(trained), best(trained)) == ([20], ("ckpt-000000005", 5.0))


def test_training_stops_at_the_threshold(agent):
    trained = agent()
    result, evaluations, steps = evaluating(trained, [5.0, 7.0, 9.0], timesteps=100, stop=7.0)
    assert (evaluations, steps, result.global_timestep) == (2, 10, 10)
    assert result.stop_reason == "solved: mean reward 7.0 of 1 evaluation episodes is at least 7.0"
    assert best(trained) == ("ckpt-000000010", 7.0)


def test_a_run_that_met_its_threshold_does_not_train_again(agent):
    evaluating(agent(), [7.0], timesteps=100, stop=7.0)
    result, evaluations, steps = evaluating(agent(), [0.0], timesteps=100, stop=6.5)
    assert (evaluations, steps, result.global_timestep) == (0, 0, 5)
    assert result.stop_reason.startswith("solved before")


def test_a_higher_threshold_is_trained_for(agent):
    evaluating(agent(), [7.0], timesteps=100, stop=7.0)
    result, _, _ = evaluating(agent(), [7.5, 8.0], timesteps=100, stop=7.6)
    assert (result.global_timestep, result.stop_reason[:7]) == (15, "solved:")


def test_nothing_is_evaluated_before_the_first_update(agent):
    hook_env = ScriptedEnv([1.0])
    agent().train(schedule(), first_update=12, timesteps=16, hooks=[EvaluationHook(hook_env, 5, 1)])
    assert hook_env.rollouts == 1


def test_a_resumed_run_keeps_the_rhythm_of_evaluations(agent):
    rhythm = []

    class Look(EvaluationHook):
        def after_act(self, run):
            before = self._env.rollouts
            super().after_act(run)
            rhythm.extend([run.timestep] * (self._env.rollouts - before))

    for timesteps in (7, 4, 11):
        agent().train(schedule(), first_update=BATCH, timesteps=timesteps, hooks=[Look(ScriptedEnv([1.0]), 5, 1)])
    assert rhythm == [5, 10, 15, 20]


def test_a_run_with_eval_metrics_and_evaluations_can_be_resumed(agent):
    """Evaluations create the metrics in the middle of training; the next process knows nothing of them yet."""
    model_fn = q_model_fn(eval_metrics_config=[MetricConfig("MeanAbsoluteError", "td_error", "losses")])
    for _ in range(2):
        hook = EvaluationHook(ScriptedEnv([1.0]), 5, 1)
        result = agent(model_fn).train(schedule(), first_update=BATCH, timesteps=10, hooks=[hook])
    assert result.global_timestep == 20


# What is no number. -----------------------------------------------------------------------------------------------------


def breaking_model_fn(after: int, value: float):
    """As the counting model, but from update `after` on the loss is `value`."""

    def model_fn(features, labels, mode):
        spec = counting_model_fn(features, labels, mode)
        if spec.loss is None:
            return spec
        loss = tf.where(current_scope().global_step >= after - 1, value, spec.loss)
        return EstimatorSpec(mode, spec.predictions, loss, spec.train_op)

    return model_fn


def finite(agent: Agent) -> list[bool]:
    """For each checkpoint, oldest first, whether all its numbers are finite."""
    found = []
    for path in sorted(agent.checkpoints.directory.glob("ckpt-*")):
        reader = tf.train.load_checkpoint(str(path / "variables"))
        values = [reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if "CHECKPOINTABLE" not in name]
        found.append(all(np.isfinite(value).all() for value in values if value.dtype.kind == "f"))
    return found


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_no_number_ends_the_run_and_says_where(agent, value):
    trained = agent(breaking_model_fn(6, value), save_checkpoints_timesteps=1)
    with pytest.raises(NonFiniteError, match=rf"loss is {value} at update 6 \(environment step 10, last actions \[0\]\)"):
        trained.train(schedule(), first_update=BATCH, timesteps=20)
    assert trained.checkpoints.latest().name == "ckpt-000000009"


def test_the_guard_runs_before_hooks_that_write(agent):
    recorder = Recorder()
    with pytest.raises(NonFiniteError):
        agent(breaking_model_fn(1, float("nan"))).train(schedule(), first_update=BATCH, timesteps=9, hooks=[recorder])
    assert recorder.log[-2:] == [("after_act", 4, 0, 1), ("close",)]


def test_a_loss_that_breaks_in_one_of_several_updates_is_seen(agent):
    env = vector(*(schedule() for _ in range(8)))
    with pytest.raises(NonFiniteError, match="environment step 16"):
        agent(breaking_model_fn(2, float("nan"))).train(env, first_update=8, timesteps=64)


def rewarding(reward: float) -> ScheduleEnv:
    """One-step episodes with that reward."""
    env = schedule((1,))
    env.reward = lambda number, t: reward
    return env


def test_an_overflow_of_the_loss_leaves_the_last_good_checkpoint_loadable(agent):
    """Four rewards of 1e38 are more than float32 holds."""
    trained = agent(q_model_fn(loss_config=HuberLossConfig()), size=8, save_checkpoints_timesteps=1, keep_checkpoint_max=2)
    trained.train(schedule(), first_update=BATCH, timesteps=6)
    with pytest.raises(NonFiniteError, match=r"loss is inf at update \d+ \(environment step \d+, last actions \[\d\]\)"):
        trained.train(rewarding(1e38), first_update=BATCH, timesteps=30)
    assert finite(trained) == [True, True]
    assert agent(q_model_fn()).evaluate(schedule(), episodes=1)["global_timestep"] >= 6


@pytest.mark.parametrize(
    ("loss", "reward"),
    [pytest.param(MeanSquaredErrorConfig(), 8e18, marks=pytest.mark.slow), (HuberLossConfig(), 3e38)],
    ids=["mean_squared_error", "huber"],
)
def test_weights_that_are_no_numbers_are_never_checkpointed(agent, loss, reward):
    """The loss is just finite, its gradient is not: the loss tells of broken weights one update too late."""
    trained = agent(q_model_fn(loss_config=loss), save_checkpoints_timesteps=1, keep_checkpoint_max=1)
    trained.train(schedule(), first_update=BATCH, timesteps=8)
    with pytest.raises(NonFiniteError):
        trained.train(rewarding(reward), first_update=BATCH, timesteps=40)
    assert finite(trained) == [True]


@pytest.mark.parametrize("where", ["observation", "reward"])
def test_a_broken_environment_leaves_the_memory_and_the_checkpoints_clean(agent, where):
    trained = agent(q_model_fn(), save_checkpoints_timesteps=1, keep_checkpoint_max=100)
    with pytest.raises(NonFiniteError, match=rf"Environment 0 .*{where} at its step 8.*last action"):
        trained.train(schedule(bad=Bad(where, 2, 2)), first_update=BATCH, timesteps=20)
    assert finite(trained) == [True] * 7
    assert int(trained.memory.stored().numpy()) == 7
