"""`FrameStorage`: stores each frame once, although it occurs in the stacks of several states."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from polyrl.engine.rows import RowPacking, fits
from polyrl.engine.tracing import traced
from polyrl.replay.storage import NEXT, Ring, Rows, Written, close_window

NEEDED = ("state", "action", "reward", "done", "truncated", "next_state")

AT_ONCE = 256
"""Steps that are stored by one call: it compares them with each other."""


class FrameStorage(tf.Module):
    """Keeps one frame per step and rebuilds the stacks when sampling, as in Mnih et al. (2015).

    With 4 frames this takes an eighth of the memory of whole transitions. A state stacks `frame_stack` frames on its last
    axis, the newest last; at the start of an episode the first frame is repeated.

    Each environment has a ring buffer of `size // N` rows. A row holds the newest frame of an observation, and the action,
    reward, termination and truncation of the step taken from it. The last observation of an episode has a row as well, at
    which no transition starts. The newest observation is such a row until the next step completes it.

    `reach` is, for each row, the number of different frames in the stack of its state. It is zero if no transition starts at
    the row, or if one of these frames has been overwritten.

    Args:
        specs: the columns of one transition.
        size: total number of rows.
        num_envs: number of environments, `N`.
        n_step: length of the windows.
        frame_stack: number of frames in a state.
        xla: whether XLA transposes the stacks, which takes a quarter of the time.
    """

    def __init__(
        self, specs: Mapping[str, tf.TensorSpec], size: int, num_envs: int, n_step: int, frame_stack: int, xla: bool = True
    ):
        super().__init__(name="frames")
        self._frames_last = traced(_frames_last, jit_compile=True) if xla else _frames_last
        _check(specs, size, num_envs, n_step, frame_stack)
        self._stack, self._n_step, self._num_envs = frame_stack, n_step, num_envs
        self._ring = size // num_envs
        self.capacity = self._ring * num_envs
        frame = specs["state"].shape[:-1]
        newest = tf.TensorSpec([*frame, 1], specs["state"].dtype)
        self.newest_specs = {**specs, "state": newest, "next_state": newest}  # Of transitions without the older frames.
        packed = {name: spec for name, spec in specs.items() if name not in ("state", "next_state")}
        self._packing = RowPacking({**packed, "truncated": tf.TensorSpec([], tf.float32)})
        self.frames = tf.Variable(tf.zeros([self.capacity, *frame], specs["state"].dtype), trainable=False, name="frames")
        self.packed = tf.Variable(tf.zeros([self.capacity, self._packing.width]), trainable=False, name="packed")
        self.reach = tf.Variable(tf.zeros([self.capacity], tf.int32), trainable=False, name="reach")
        # For each environment: the number of the next row, and the age of its episode at that row, at most `frame_stack`.
        self.cursor = tf.Variable(tf.zeros([num_envs], tf.int64), trainable=False, name="cursor")
        self.age = tf.Variable(tf.zeros([num_envs], tf.int32), trainable=False, name="age")
        self.inserted = tf.Variable(0, dtype=tf.int64, trainable=False, name="inserted")
        self.count = tf.Variable(0, dtype=tf.int64, trainable=False, name="count")

    def most_steps(self, num_envs: int) -> int:
        """The steps that `add_steps` takes at most: no row is touched twice, also if each of them ends an episode."""
        return min((self._ring - self._stack + 1) // 2, AT_ONCE)

    def add(self, rows: Mapping[str, tf.Tensor]) -> Written:
        """Stores one step of all environments `[N, ...]`: a row for the state, and an incomplete one for the next state."""
        return self.add_steps(rows, 1)

    def add_steps(self, rows: Mapping[str, tf.Tensor], steps: int) -> Written:
        """Stores `T` steps of all environments, `[T * N, ...]` step by step, as `add` does one by one.

        Only the newest frame of each state is looked at: see `newest_specs`.
        """
        rows, envs = dict(rows), self._num_envs
        rows.setdefault("truncated", tf.zeros([steps * envs]))
        ended = tf.reshape(tf.maximum(rows["done"], rows["truncated"]), [steps, envs]) > 0.0
        # A state's row comes one after that of the state before; at the end of an episode the next state's is between them.
        step = tf.range(steps)[:, tf.newaxis]
        offset = step + tf.cumsum(tf.cast(ended, tf.int32), exclusive=True)  # [T, N]
        is_before = (tf.range(steps) < step)[:, :, tf.newaxis] & ended  # [T, T, N]
        last_end = tf.reduce_max(tf.where(is_before, step, -1 - self.age), axis=1)  # [T, N]
        new = tf.minimum(step - last_end, self._stack)  # [T, N]

        # After the rows that are written are the oldest ones, whose states may have lost frames.
        touched = self._positions(tf.range(envs, dtype=tf.int64), self.cursor, range(2 * steps + self._stack - 1))  # [N, R]
        place = tf.stack([tf.broadcast_to(tf.range(envs), offset.shape), offset], axis=-1)
        current = tf.reshape(tf.gather_nd(touched, place), [-1, 1])
        following = tf.reshape(tf.gather_nd(touched[:, 1:], place), [-1, 1])
        for name, positions in (("next_state", following), ("state", current)):  # The row of both is that of the state.
            self.frames.scatter_nd_update(positions, rows[name][..., -1])
        packed = self._packing.pack(rows)
        self.packed.scatter_nd_update(following, tf.zeros_like(packed))
        self.packed.scatter_nd_update(current, packed)

        before = tf.gather(self.reach, touched)  # [N, R]
        end = offset[-1] + 1  # [N], the newest row
        left = tf.range(touched.shape[1]) - end[:, tf.newaxis]  # Number of rows from the newest one up to each of the oldest.
        old = tf.where((left < self._stack) & (before > left), 0, before)
        after = tf.where(left <= 0, tf.scatter_nd(place, new, touched.shape), old)
        self.reach.scatter_nd_update(tf.reshape(touched, [-1, 1]), tf.reshape(after, [-1]))
        self.count.assign_add(tf.math.count_nonzero(after) - tf.math.count_nonzero(before))

        self.cursor.assign_add(tf.cast(end + tf.cast(ended[-1], tf.int32), tf.int64))
        self.age.assign(tf.where(ended[-1], 0, new[-1]))
        self.inserted.assign_add(steps * envs)
        newest = tf.gather(touched, end, axis=1, batch_dims=1)
        invalid = tf.where(after > 0, newest[:, tf.newaxis], touched)
        return Written(current[:, 0], tf.reshape(invalid, [-1]))

    def draw(self, seed: tf.Tensor, count: int) -> tf.Tensor:
        filled = tf.minimum(self.cursor, self._ring)  # [N]
        ends = tf.cumsum(filled)

        def draw(number: tf.Tensor, positions: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            """Redraws positions that do not start a transition."""
            again = tf.random.fold_in(seed, number, alg="philox")
            row = tf.random.stateless_uniform([count], again, 0, ends[-1], tf.int64, alg="philox")  # Among the filled rows.
            env = tf.reduce_sum(tf.cast(row[:, tf.newaxis] >= ends, tf.int64), axis=1)
            position = row - tf.gather(ends - filled, env) + env * self._ring
            positions = tf.where(found, positions, position)
            return number + 1, positions, found | (tf.gather(self.reach, positions) > 0)

        empty = tf.fill([count], self.count <= 0)  # An empty memory gives position 0.
        start = (tf.constant(0), tf.zeros([count], tf.int64), empty)
        return tf.while_loop(lambda number, positions, found: ~tf.reduce_all(found), draw, start)[1]

    def gather(self, positions: tf.Tensor) -> dict[str, tf.Tensor]:
        env, row = positions // self._ring, positions % self._ring  # [B]
        reach = tf.gather(self.reach, positions)
        window = self._packing.unpack(tf.gather(self.packed, self._positions(env, row, range(self._n_step))))
        batch = {name: column[:, 0] for name, column in window.items() if name != "truncated"}
        last = tf.zeros_like(row)
        if self._n_step > 1:
            newer = (tf.gather(self.cursor, env) - 1 - row) % self._ring
            batch.update(reward=window["reward"], done=window["done"])
            batch["truncated"], last = close_window(window["done"], window["truncated"], newer)
            batch |= {
                name: tf.gather(column, last, axis=1, batch_dims=1) for name, column in window.items() if name.startswith(NEXT)
            }
        batch["state"] = self._stacked(env, row, reach)
        batch["next_state"] = self._stacked(env, row + last + 1, reach + tf.cast(last, tf.int32) + 1)
        return batch

    def stored(self) -> tf.Tensor:
        return self.count.read_value()

    def start_episodes(self) -> None:
        running = self.age > 0  # [N]
        newest = self._positions(tf.range(self._num_envs, dtype=tf.int64), self.cursor - 1, range(1))
        columns = self._packing.unpack(tf.gather(self.packed, newest[:, 0]))
        columns["truncated"] = tf.where(running, 1.0, columns["truncated"])
        self.packed.scatter_nd_update(newest, self._packing.pack(columns))
        self.cursor.assign_add(tf.cast(running, tf.int64))
        self.age.assign(tf.zeros_like(self.age))

    def newest(self, steps: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        # The last observation of an episode is a row as well, without a reward: it changes no sum of rewards.
        count = int(tf.minimum(tf.reduce_min(self.cursor), min(steps, self._ring)))
        positions = self._positions(tf.range(self._num_envs, dtype=tf.int64), self.cursor, range(-count, 0))  # [N, T]
        rows = self._packing.unpack(tf.gather(self.packed, positions))
        # Not of the positions: where TensorFlow transposes integers of 64 bits, it logs an error about oneDNN.
        reward, done, truncated = (tf.transpose(rows[name]) for name in ("reward", "done", "truncated"))
        return reward, done, truncated

    @property
    def rows(self) -> Rows:
        # The row at the cursor may hold the newest observation; the one before may still be marked as truncated.
        rings = [
            Ring(env * self._ring, self._ring, cursor + 1, max(cursor - 1, 0))
            for env, cursor in enumerate(self.cursor.numpy().tolist())
        ]
        return Rows({"frames": self.frames, "packed": self.packed}, rings)

    @property
    def columns(self) -> dict[str, tf.Tensor]:
        return {**self._packing.unpack(tf.convert_to_tensor(self.packed)), "reach": self.reach, "frames": self.frames}

    def _positions(self, env: tf.Tensor, row: tf.Tensor, steps: range) -> tf.Tensor:
        """The positions `[M, len(steps)]` of the rows `steps` after `row` `[M]` in the ring buffers of `env` `[M]`."""
        rows = (row[:, tf.newaxis] + tf.constant(list(steps), tf.int64)) % self._ring
        return env[:, tf.newaxis] * self._ring + rows

    def _stacked(self, env: tf.Tensor, row: tf.Tensor, reach: tf.Tensor) -> tf.Tensor:
        """The states `[B, ..., k]` at `row` `[B]`, whose stacks have `reach` `[B]` different frames."""
        back = tf.minimum(tf.range(self._stack - 1, -1, -1), reach[:, tf.newaxis] - 1)  # [B, k], oldest first
        rows = (row[:, tf.newaxis] - tf.cast(back, tf.int64)) % self._ring
        frames = tf.gather(self.frames, env[:, tf.newaxis] * self._ring + rows)  # [B, k, ...]
        return self._frames_last(frames)


def check_stack(state: np.ndarray, next_state: np.ndarray | None = None) -> None:
    """Checks that states `[N, ..., k]` are stacks of frames: only then can they be rebuilt from single frames.

    Args:
        state: the first states of episodes; or, with `next_state`, any.
        next_state: those that follow them.

    Raises:
        ValueError: if the newest k - 1 frames of a state are not the oldest of the next one, or if in the first state of an
            episode one frame is not the others.
    """
    if next_state is None:
        fits, expected = state[..., :-1] == state[..., -1:], "in the first state of an episode all frames are the same"
    else:
        fits, expected = state[..., 1:] == next_state[..., :-1], "each state has all frames of the one before but its oldest"
    if not fits.all():
        raise ValueError(
            f"frame_stack={state.shape[-1]} is for stacked frames on the last axis, the newest last: {expected}. The "
            f"environment's states, of shape {state.shape[1:]}, are not; vectors and color images never are. The memory would "
            "return other states than it was given. Leave frame_stack out, or stack frames with polyrl.envs.FrameStack."
        )


def _frames_last(frames: tf.Tensor) -> tf.Tensor:
    """`[B, k, ...]` to `[B, ..., k]`."""
    return tf.transpose(frames, [0, *range(2, frames.shape.rank), 1])


def _check(specs: Mapping[str, tf.TensorSpec], size: int, num_envs: int, n_step: int, frame_stack: int) -> None:
    """Raises a ValueError unless such transitions can be stored as frames."""
    missing = sorted({*NEEDED} - {*specs, "truncated"})
    if missing:
        raise ValueError(f"frame_stack={frame_stack} needs the columns {missing}; the transitions have {sorted(specs)}.")
    state, next_state = specs["state"], specs["next_state"]
    if state.shape != next_state.shape or state.dtype != next_state.dtype:
        raise ValueError(f"state and next_state must have the same shape and dtype; got {state} and {next_state}.")
    if state.shape.rank == 0 or state.shape[-1] != frame_stack:
        raise ValueError(
            f"frame_stack={frame_stack} needs as many frames on the last axis of state; got the shape {tuple(state.shape)}."
        )
    large = sorted(name for name, spec in specs.items() if name not in ("state", "next_state") and not fits(spec))
    if large:
        raise ValueError(f"With frame_stack={frame_stack} only state and next_state may be large; {large} are large as well.")
    needed = num_envs * (frame_stack + n_step)
    if size < needed:
        raise ValueError(
            f"size={size} is too small for frame_stack={frame_stack} and n_step={n_step} in num_envs={num_envs} environments; "
            f"at least {needed} is needed."
        )
