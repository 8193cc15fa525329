"""When training ends, and when it learns: budgets, warm-up and update frequency, counted by naive loops."""

from __future__ import annotations

import re

import pytest
from tiny_agents import counters, q_model_fn
from tiny_envs import ScheduleEnv, vector

from polyrl.estimators import TrainingResult
from polyrl.estimators.hooks import Hook

BATCH = 4
LENGTHS = (3, 5, 1, 4)


def naive_updates(timesteps: int, first_update: int, update_frequency: int) -> int:
    """One update at each multiple of the frequency that comes after the first steps."""
    return sum(1 for t in range(1, timesteps + 1) if t > first_update and t % update_frequency == 0)


def naive_episodes(timesteps: int, lengths=LENGTHS) -> int:
    """Whole episodes in so many steps of one environment."""
    episodes, left = 0, timesteps
    while left >= lengths[episodes % len(lengths)]:
        left -= lengths[episodes % len(lengths)]
        episodes += 1
    return episodes


def length_of(episodes: int, lengths=LENGTHS) -> int:
    return sum(lengths[number % len(lengths)] for number in range(episodes))


class Watch(Hook):
    """Notes `(timestep, step, episode)` after each iteration."""

    def __init__(self):
        self.seen = []

    def after_act(self, run):
        self.seen.append((run.timestep, run.step, run.episode))


class StopAt(Hook):
    def __init__(self, timestep):
        self._timestep = timestep

    def after_act(self, run):
        if run.timestep >= self._timestep:
            run.request_stop("enough")


def schedule(lengths=LENGTHS) -> ScheduleEnv:
    return ScheduleEnv(lengths=lengths)


def found(result: TrainingResult) -> tuple[int, int, int]:
    return result.global_step, result.global_timestep, result.global_episode


# Each of the six ends where it should. -----------------------------------------------------------------------------------


@pytest.mark.default_cases(8)
@pytest.mark.parametrize("name", ["timesteps", "max_timesteps"])
@pytest.mark.parametrize("count", [1, 2, 3, 10, 13])
def test_environment_steps_end_exactly_also_in_the_middle_of_an_episode(agent, name, count):
    env, trained = schedule(), agent()
    result = trained.train(env, first_update=BATCH, **{name: count})
    assert env.steps == count
    assert found(result) == counters(trained) == (naive_updates(count, BATCH, 1), count, naive_episodes(count))
    assert result.stop_reason.startswith(f"budget of timesteps reached: {count} of {count}")
    assert result.signal is None


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("name", ["steps", "max_steps"])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_updates_end_exactly_also_in_the_middle_of_an_episode(agent, name, count):
    env, trained = schedule(), agent()
    result = trained.train(env, first_update=BATCH, update_frequency=3, **{name: count})
    timesteps = 3 * (1 + count)  # The first multiple of 3 after 4 steps is 6.
    assert env.steps == timesteps
    assert found(result) == counters(trained) == (count, timesteps, naive_episodes(timesteps))
    assert result.stop_reason.startswith(f"budget of steps reached: {count} of {count}")


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("name", ["episodes", "max_episodes"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_episodes_are_whole_and_as_many_as_asked(agent, name, count):
    """H3: n episodes were n - 1, and 1 was none; G1, G2, G3: the arguments went elsewhere, or were dropped."""
    env, trained = schedule(), agent()
    result = trained.train(env, first_update=BATCH, **{name: count})
    assert env.steps == length_of(count)
    assert found(result) == counters(trained) == (naive_updates(length_of(count), BATCH, 1), length_of(count), count)
    assert result.stop_reason.startswith(f"budget of episodes reached: {count} of {count}")


@pytest.mark.slow
def test_the_budgets_hold_for_a_q_model_too(agent):
    trained = agent(q_model_fn())
    assert found(trained.train(schedule(), first_update=BATCH, steps=5)) == (5, 9, 3)
    assert found(trained.train(schedule(), first_update=BATCH, timesteps=2)) == (7, 11, 3)
    assert found(trained.train(schedule(), first_update=BATCH, episodes=2)) == (15, 19, 5)


@pytest.mark.parametrize(
    ("budget", "ended"),
    [
        ({"timesteps": 10}, (8, 12, 4)),
        ({"episodes": 3}, (8, 12, 4)),  # The iterations 2, 3, 4 end 1, 1, 2 episodes.
        ({"steps": 4}, (4, 9, 2)),  # The steps 5 to 9 would have given 5 updates.
    ],
    ids=["timesteps", "episodes", "steps"],
)
def test_several_environments_end_with_the_iteration_that_reaches_the_budget(agent, budget, ended):
    env = vector(*(ScheduleEnv(number, lengths) for number, lengths in enumerate([(3,), (2,), (4,)])))
    assert found(agent().train(env, first_update=BATCH, **budget)) == ended


@pytest.mark.parametrize(
    ("budgets", "reason"),
    [
        ({"steps": 3, "timesteps": 100, "episodes": 100}, "steps"),
        ({"max_steps": 100, "timesteps": 7, "max_episodes": 100}, "timesteps"),
        ({"steps": 100, "max_timesteps": 100, "episodes": 2}, "episodes"),
    ],
)
def test_of_several_budgets_the_first_to_be_reached_ends_the_run(agent, budgets, reason):
    result = agent().train(schedule(), first_update=BATCH, **budgets)
    assert result.stop_reason.startswith(f"budget of {reason} reached")


def test_without_a_budget_a_hook_ends_the_run(agent):
    result = agent().train(schedule(), first_update=BATCH, hooks=[StopAt(11)])
    assert (result.global_timestep, result.stop_reason) == (11, "enough")


def test_the_loop_stops_in_the_iteration_that_asks_for_it(agent):
    """G6: the loop went on to the episode's end after a stop was requested, and crashed."""
    env = ScheduleEnv(lengths=(100,))
    agent().train(env, first_update=BATCH, hooks=[StopAt(7)])
    assert env.steps == 7


# From here on, and in all. ------------------------------------------------------------------------------------------------

KINDS = ["steps", "timesteps", "episodes"]


def counts_of(kind: str, result: TrainingResult) -> int:
    return {"steps": result.global_step, "timesteps": result.global_timestep, "episodes": result.global_episode}[kind]


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fresh", [False, True], ids=["same_agent", "new_agent"])
def test_incremental_budgets_count_from_where_the_run_stands(agent, kind, fresh):
    first = agent()
    before = first.train(schedule(), first_update=BATCH, **{kind: 6})
    after = (agent() if fresh else first).train(schedule(), first_update=BATCH, **{kind: 5})
    assert (counts_of(kind, before), counts_of(kind, after)) == (6, 11)


@pytest.mark.default_cases(4)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fresh", [False, True], ids=["same_agent", "new_agent"])
def test_absolute_budgets_count_from_the_beginning(agent, kind, fresh):
    first = agent()
    before = first.train(schedule(), first_update=BATCH, **{f"max_{kind}": 6})
    after = (agent() if fresh else first).train(schedule(), first_update=BATCH, **{f"max_{kind}": 11})
    assert (counts_of(kind, before), counts_of(kind, after)) == (6, 11)


@pytest.mark.default_cases(4)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("later", [6, 2], ids=["same", "smaller"])
@pytest.mark.parametrize("fresh", [False, True], ids=["same_agent", "new_agent"])
def test_an_absolute_budget_that_is_reached_already_does_nothing_and_does_not_fail(agent, kind, later, fresh):
    """G5: a run past its max_episodes crashed."""
    first, env = agent(), schedule()
    before = first.train(schedule(), first_update=BATCH, **{f"max_{kind}": 6})
    second = agent() if fresh else first
    after = second.train(env, first_update=BATCH, **{f"max_{kind}": later})
    assert env.steps == 0
    assert found(after) == found(before) == counters(second)
    assert after.checkpoint == before.checkpoint
    reason = "6 of 6" if later == 6 else r"6 \w.*, 4 more than 2$"
    assert re.match(f"budget of {kind} reached: {reason}", after.stop_reason)


def test_an_episode_cut_off_by_the_end_of_a_run_does_not_count(agent):
    trained = agent()
    assert trained.train(schedule((4,)), first_update=BATCH, timesteps=6).global_episode == 1
    assert trained.train(schedule((4,)), first_update=BATCH, timesteps=3).global_episode == 1
    assert trained.train(schedule((4,)), first_update=BATCH, timesteps=4).global_episode == 2


# What is refused, before anything is written. ----------------------------------------------------------------------------

REFUSED = {
    **{f"{name}_{value}": ({name: value}, ValueError, name) for name in KINDS for value in (0, -1)},
    **{f"max_{name}_{value}": ({f"max_{name}": value}, ValueError, name) for name in KINDS for value in (0, -1)},
    **{f"both_{name}": ({name: 9, f"max_{name}": 9}, ValueError, "contradict") for name in KINDS},
    "fraction": ({"timesteps": 2.5}, TypeError, "timesteps=2.5"),
    "bool": ({"episodes": True}, TypeError, "episodes=True"),
    "text": ({"steps": "3"}, TypeError, "steps='3'"),
    "update_frequency_0": ({"update_frequency": 0, "steps": 1}, ValueError, "update_frequency=0"),
    "updates_at_once_0": ({"updates_at_once": 0, "steps": 1}, ValueError, "updates_at_once=0"),
    "first_update_negative": ({"first_update": -1, "steps": 1}, ValueError, "first_update=-1"),
    "hooks": ({"hooks": [print], "steps": 1}, TypeError, "must be a Hook"),
    "unknown_env": ({"env": "CartPoll-v1", "steps": 1}, ValueError, "CartPole-v1"),
    "no_env": ({"env": None, "steps": 1}, TypeError, "GymEnvironment"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_arguments_are_refused_before_anything_is_written(agent, tmp_path, case):
    arguments, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        agent().train(**{"env": schedule(), "first_update": BATCH, **arguments})
    assert not (tmp_path / "run").exists()


def test_a_continuous_environment_is_refused_before_anything_is_written(agent, tmp_path):
    with pytest.raises(TypeError, match="NAF"):
        agent().train("Pendulum-v1", first_update=BATCH, steps=1)
    assert not (tmp_path / "run").exists()


def test_a_model_with_another_number_of_actions_is_refused_before_anything_is_written(agent, tmp_path):
    with pytest.raises(ValueError, match="num_actions=2, the environment has 3"):
        agent(q_model_fn(num_actions=2)).train(schedule(), first_update=BATCH, steps=1)
    assert not (tmp_path / "run").exists()


def test_first_update_may_be_as_small_as_the_batch(agent):
    assert agent().train(schedule(), first_update=BATCH, steps=1).global_timestep == BATCH + 1


@pytest.mark.parametrize("arguments", [(10_000,), (10_000, 4), (BATCH, 1, 30)])
def test_what_is_given_without_a_name_is_refused(agent, tmp_path, arguments):
    """`train(env, 10000)` once meant `first_update=10000`, and no budget."""
    with pytest.raises(TypeError, match="takes the environment alone by position"):
        agent().train(schedule(), *arguments)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("budget", "warnings"), [({}, 1), ({"timesteps": 40}, 0), ({"max_episodes": 40}, 0)])
def test_a_run_without_a_budget_says_so_once(agent, caplog, budget, warnings):
    result = agent().train(schedule(), first_update=BATCH, hooks=[StopAt(20)], **budget)
    assert (result.global_timestep, result.stop_reason) == (20, "enough")
    said = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(said) == warnings
    assert all("No budget" in record.getMessage() for record in said)


# Warm-up and update frequency. --------------------------------------------------------------------------------------------


@pytest.mark.default_cases(4)
@pytest.mark.parametrize("num_envs", [1, 3, 8])
@pytest.mark.parametrize(("first_update", "update_frequency"), [(4, 1), (10, 1), (10, 4), (12, 4), (5, 20), (48, 1)])
def test_updates_are_counted_in_environment_steps(agent, num_envs, first_update, update_frequency):
    """G7, G10: the frequency is one of environment steps, and no end of an episode cuts the warm-up short."""
    watch = Watch()
    env = vector(*(ScheduleEnv(number, (1 + number, 2)) for number in range(num_envs)))
    agent().train(env, first_update=first_update, update_frequency=update_frequency, timesteps=48, hooks=[watch])
    assert [timestep for timestep, _, _ in watch.seen] == list(range(num_envs, 48 + num_envs, num_envs))
    for timestep, step, _ in watch.seen:
        assert step == naive_updates(timestep, first_update, update_frequency)


@pytest.mark.slow
def test_a_resumed_run_neither_warms_up_again_nor_shifts_its_updates(agent, tmp_path):
    """F11: with an empty memory the warm-up was over, and training went on with a handful of rows."""
    straight, parts = Watch(), Watch()
    agent(model_dir=tmp_path / "straight").train(
        schedule(), first_update=10, update_frequency=4, timesteps=40, hooks=[straight]
    )
    for timesteps in (9, 5, 1, 25):
        agent().train(schedule(), first_update=10, update_frequency=4, timesteps=timesteps, hooks=[parts])
    assert [row[:2] for row in parts.seen] == [row[:2] for row in straight.seen]


def test_only_updates_that_the_budget_allows_are_done_of_an_iteration(agent):
    trained = agent()
    env = vector(*(ScheduleEnv(number, (3,)) for number in range(8)))
    assert trained.train(env, first_update=8, max_steps=3).global_step == 3
    assert counters(trained)[0] == 3
