"""Catch, DeepSea and GridWorld, each compared with a plain game with the same rules."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from polyrl.envs.compiled import Catch, CompiledEnvironment, DeepSea, GridWorld

NO_SEED = tf.constant([0, 0])


class PlainCatch:
    """The rules of Catch on an array."""

    def __init__(self, ball: int, rows: int, columns: int):
        self.ball, self.row, self.paddle, self.rows, self.columns = ball, 0, columns // 2, rows, columns

    def step(self, action: int) -> tuple[float, bool]:
        if action == 0 and self.paddle > 0:
            self.paddle -= 1
        if action == 2 and self.paddle < self.columns - 1:
            self.paddle += 1
        self.row += 1
        if self.row < self.rows - 1:
            return 0.0, False
        return (1.0 if self.ball == self.paddle else -1.0), True

    def board(self) -> np.ndarray:
        board = np.zeros((self.rows, self.columns))
        board[self.row][self.ball] = 1
        board[-1][self.paddle] = 1
        return board


class PlainDeepSea:
    """The rules of DeepSea, as a list of cells."""

    def __init__(self, right: np.ndarray):
        self.right, self.size, self.row, self.column = right, len(right), 0, 0

    def step(self, action: int) -> tuple[float, bool]:
        reward = 0.0
        if action == self.right[self.row][self.column]:
            reward -= 0.01 / self.size
            if self.column == self.size - 1:
                reward += 1.0
            else:
                self.column += 1
        elif self.column > 0:
            self.column -= 1
        self.row += 1
        return reward, self.row == self.size

    def board(self) -> np.ndarray:
        board = np.zeros((self.size, self.size))
        if self.row < self.size:
            board[self.row][self.column] = 1
        return board


class PlainGridWorld:
    """The rules of GridWorld, on the map itself."""

    def __init__(self, grid: tuple[str, ...], step_reward: float):
        self.grid, self.step_reward = grid, step_reward
        for row, line in enumerate(grid):
            if "S" in line:
                self.row, self.column = row, line.index("S")

    def step(self, action: int) -> tuple[float, bool]:
        row, column = self.row, self.column
        if action == 0:
            row -= 1
        elif action == 1:
            column += 1
        elif action == 2:
            row += 1
        else:
            column -= 1
        inside = 0 <= row < len(self.grid) and 0 <= column < len(self.grid[0])
        if inside and self.grid[row][column] != "#":
            self.row, self.column = row, column
        if self.grid[self.row][self.column] == "G":
            return 1.0, True
        return self.step_reward, False

    def board(self) -> np.ndarray:
        board = np.zeros((len(self.grid), len(self.grid[0])))
        board[self.row, self.column] = 1
        return board


def random_grid(seed: int) -> tuple[str, ...]:
    """A map with walls anywhere, and more than one goal at times."""
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(3, 8, 2)
    cells = rng.choice(list("...#G"), [rows, columns], p=[0.3, 0.2, 0.2, 0.2, 0.1])
    start, goal = rng.choice(rows * columns, 2, replace=False)
    cells.flat[start], cells.flat[goal] = "S", "G"
    return tuple("".join(row) for row in cells)


def play(env: CompiledEnvironment, plain: list, seed: int, steps: int) -> dict[float, int]:
    """Random steps of `N` episodes, each compared with a plain game until it ends; returns the counts of the rewards."""
    count = len(plain)
    state = env.reset(count, tf.constant([seed, 0]))
    running, rewards = set(range(count)), dict[float, int]()
    rng = np.random.default_rng(seed)
    step = tf.function(lambda state, action: env.step(state, action, NO_SEED), autograph=False)
    for _ in range(steps):
        observation = env.observe(state)
        assert env.observation_space.contains(observation.numpy()[0])
        for index in running:
            np.testing.assert_array_equal(observation[index], plain[index].board())
        actions = rng.integers(0, env.action_space.n, count)
        state, reward, terminated = step(state, tf.constant(actions, tf.int32))
        last = env.observe(state).numpy()
        for index in sorted(running):
            expected, ended = plain[index].step(actions[index])
            assert reward[index].numpy() == np.float32(expected)
            assert bool(terminated[index]) == ended
            rewards[expected] = rewards.get(expected, 0) + 1
            if ended:
                running.remove(index)
                np.testing.assert_array_equal(last[index], plain[index].board())
        if not running:
            return rewards
    return rewards


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("rows", "columns"), [(10, 5), (2, 1), (4, 6)])
def test_catch(rows, columns, seed):
    env = Catch(rows=rows, columns=columns)
    balls = env.reset(40, tf.constant([seed, 0])).ball.numpy()
    rewards = play(env, [PlainCatch(ball, rows, columns) for ball in balls], seed, rows - 1)
    # All episodes have ended, after this many steps.
    assert rewards.get(1.0, 0) + rewards.get(-1.0, 0) == 40
    assert rewards.get(0.0, 0) == 40 * (rows - 2)
    assert rewards[1.0] > 0


def test_catch_has_the_board_of_the_paper():
    env = Catch()
    assert env.observation_space.shape == (10, 5)
    state = env.reset(1, NO_SEED)
    assert (int(state.row[0]), int(state.paddle[0])) == (0, 2)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_balls_of_catch_start_uniformly(seed):
    counts = np.bincount(Catch().reset(10_000, tf.constant([seed, 3])).ball.numpy(), minlength=5)
    # A binomial distribution with a standard deviation of 40.
    assert len(counts) == 5
    np.testing.assert_allclose(counts, 2_000, atol=5 * 40)


@pytest.mark.default_cases(8)
@pytest.mark.parametrize("mapping_seed", [None, 0, 1, 2])
@pytest.mark.parametrize("size", [1, 2, 3, 10])
def test_deep_sea(size, mapping_seed):
    env = DeepSea(size=size, mapping_seed=mapping_seed)
    rewards = play(env, [PlainDeepSea(env.right) for _ in range(64)], size, size)
    assert sum(rewards.values()) == 64 * size
    # One of two to the power of `size` players finds the treasure.
    assert max(rewards) > 0 or size > 3


@pytest.mark.parametrize("mapping_seed", [None, 4])
def test_the_best_return_of_deep_sea_is_0_99(mapping_seed):
    env = DeepSea(size=12, mapping_seed=mapping_seed)
    state, total = env.reset(1, NO_SEED), 0.0
    for index in range(12):
        state, reward, terminated = env.step(state, tf.constant([env.right[index, index]]), NO_SEED)
        total += float(reward[0])
        assert bool(terminated[0]) == (index == 11)
    assert total == pytest.approx(0.99)


def test_the_mapping_of_deep_sea_depends_on_its_seed():
    mapped = [DeepSea(size=20, mapping_seed=seed).right for seed in (5, 5, 6)]
    np.testing.assert_array_equal(mapped[0], mapped[1])
    assert np.any(mapped[0] != mapped[2])
    for right in mapped:
        assert set(right.ravel()) == {0, 1}
    assert np.all(DeepSea(size=20).right == 1)


@pytest.mark.default_cases(5)
@pytest.mark.parametrize("seed", range(6))
def test_grid_world(seed):
    grid = random_grid(seed)
    env = GridWorld(grid=grid, step_reward=-0.25 * (seed % 2))
    play(env, [PlainGridWorld(grid, env.step_reward) for _ in range(20)], seed, 60)


def test_the_four_rooms_have_a_way_to_the_goal():
    """Down and to the right, through two doors."""
    env = GridWorld(step_reward=-1.0)
    state, plain, way = env.reset(1, NO_SEED), PlainGridWorld(env.grid, -1.0), "22" + "111111" + "222222" + "11"
    for index, action in enumerate(way):
        state, reward, terminated = env.step(state, tf.constant([int(action)]), NO_SEED)
        assert (float(reward[0]), bool(terminated[0])) == plain.step(int(action))
        assert bool(terminated[0]) == (index == len(way) - 1)
    assert float(reward[0]) == 1.0


@pytest.mark.parametrize("slip", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_slip_goes_anywhere(slip, seed):
    """From the middle of a free field each direction ends in another cell."""
    env, count, action = GridWorld(grid=("...", ".S.", "..G"), slip=slip), 10_000, 1
    state = env.step(env.reset(count, NO_SEED), tf.fill([count], action), tf.constant([seed, 1])).state
    counts = np.bincount(state.cell.numpy(), minlength=9)
    assert counts.sum() == counts[[1, 5, 7, 3]].sum()
    share = np.full(4, slip / 4)
    share[action] += 1 - slip
    deviation = np.sqrt(share * (1 - share) * count)
    assert np.all(np.abs(counts[[1, 5, 7, 3]] - share * count) <= 5 * deviation)


WRONG = {
    "no_start": ({"grid": ("..", ".G")}, ValueError, "one start"),
    "two_starts": ({"grid": ("SS", ".G")}, ValueError, "one start"),
    "no_goal": ({"grid": ("S.",)}, ValueError, "goal"),
    "ragged": ({"grid": ("S.", "..G")}, ValueError, "same length"),
    "empty": ({"grid": ()}, ValueError, "rows"),
    "unknown": ({"grid": ("SxG",)}, ValueError, "'x'"),
    "one_string": ({"grid": "S.G"}, TypeError, "sequence"),
    "slip": ({"slip": 1.5}, ValueError, "slip=1.5"),
    "limit": ({"max_episode_steps": 0}, ValueError, "max_episode_steps=0"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_grid_world_is_refused(wrong):
    arguments, error, message = WRONG[wrong]
    with pytest.raises(error, match=message):
        GridWorld(**arguments)


def test_wrong_boards_are_refused():
    with pytest.raises(ValueError, match="rows=1"):
        Catch(rows=1)
    with pytest.raises(ValueError, match="size=0"):
        DeepSea(size=0)
    with pytest.raises(ValueError, match="mapping_seed=-1"):
        DeepSea(mapping_seed=-1)
