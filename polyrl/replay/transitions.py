"""`TransitionStorage`: a ring buffer of transitions, each with its state and its next state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import tensorflow as tf

from polyrl.engine.rows import RowPacking, fits
from polyrl.replay.storage import NEXT, Ring, Rows, Written, close_window

WINDOWED = ("reward", "done", "truncated")


class TransitionStorage(tf.Module):
    """Keeps the newest `capacity` transitions in the order in which they arrive: step by step, and within it by environment.

    The transition of environment `n` at time `t` has the number `t * N + n`; its position is that number modulo `capacity`.
    So the next step of the same environment is `N` positions further, whether or not the capacity is a multiple of `N`.

    Args:
        specs: the columns of one transition.
        capacity: number of transitions.
        num_envs: number of environments, `N`; not used with `n_step` 1, where any number of rows can be added.
        n_step: length of the windows.
    """

    APART: ClassVar[tuple[str, ...]] = ()
    """Columns that are kept by themselves, however small they are."""

    def __init__(self, specs: Mapping[str, tf.TensorSpec], capacity: int, num_envs: int, n_step: int):
        super().__init__(name="transitions")
        self._specs, self.capacity, self._num_envs, self._n_step = dict(specs), capacity, num_envs, n_step
        if n_step > 1:
            self._specs.setdefault("truncated", tf.TensorSpec([], tf.float32))
            missing = sorted({*WINDOWED, "next_state"} - {*self._specs})
            if missing:
                raise ValueError(f"n_step={n_step} needs the columns {missing}; the transitions have {sorted(specs)}.")
            if num_envs * n_step > capacity:
                raise ValueError(
                    f"size={capacity} is too small for windows of n_step={n_step} steps in num_envs={num_envs} environments; "
                    f"at least {num_envs * n_step} is needed."
                )
            # Its shape records in the checkpoint how many environments the rows come from, because windows depend on it.
            self.environments = tf.Variable(tf.range(num_envs), trainable=False, name="environments")
        self.inserted = tf.Variable(0, dtype=tf.int64, trainable=False, name="inserted")
        packed = {name: spec for name, spec in self._specs.items() if fits(spec) and name not in self.APART}
        large = {name: spec for name, spec in self._specs.items() if name not in packed}
        # A window reads several steps of these three columns, but only one of all the others.
        windowed = {name: packed.pop(name) for name in WINDOWED} if n_step > 1 else {}
        self._packing, self._window = RowPacking(packed), RowPacking(windowed)
        self.packed = tf.Variable(tf.zeros([capacity, self._packing.width]), trainable=False, name="packed")
        if n_step > 1:
            self.steps = tf.Variable(tf.zeros([capacity, self._window.width]), trainable=False, name="steps")
        self.large = {
            name: tf.Variable(tf.zeros([capacity, *spec.shape], spec.dtype), trainable=False, name=name)
            for name, spec in large.items()
        }

    def add(self, rows: Mapping[str, tf.Tensor]) -> Written:
        """Stores rows `[N, ...]`; the oldest are overwritten."""
        rows = dict(rows)
        count = next(iter(rows.values())).shape[0]
        rows.setdefault("truncated", tf.zeros([count]))
        skipped = max(count - self.capacity, 0)  # Writing a position twice in one call has no defined order.
        positions = (self.inserted + tf.range(skipped, count, dtype=tf.int64)) % self.capacity  # [N]
        self.packed.scatter_nd_update(positions[:, tf.newaxis], self._packing.pack(rows)[skipped:])
        if self._n_step > 1:
            self.steps.scatter_nd_update(positions[:, tf.newaxis], self._window.pack(rows))
        for name, column in self.large.items():
            column.scatter_nd_update(positions[:, tf.newaxis], rows[name][skipped:])
        self.inserted.assign_add(count)
        return Written(positions, invalid=tf.zeros([0], tf.int64))

    def most_steps(self, num_envs: int) -> int:
        """The steps that `add_steps` takes at most."""
        return max(self.capacity // num_envs, 1)

    def add_steps(self, rows: Mapping[str, tf.Tensor], steps: int) -> Written:
        """Stores so many steps of all environments, step by step."""
        return self.add(rows)

    def draw(self, seed: tf.Tensor, count: int) -> tf.Tensor:
        filled = tf.maximum(self.stored(), 1)  # An empty memory gives position 0.
        return tf.random.stateless_uniform([count], seed, 0, filled, tf.int64, alg="philox")

    def gather(self, positions: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = self._rows(positions)
        if self._n_step == 1:
            batch.pop("truncated", None)  # Not needed: a single step bootstraps whether it was truncated or not.
            return batch
        steps = tf.range(self._n_step, dtype=tf.int64) * self._num_envs  # [n]
        window = self._window.unpack(tf.gather(self.steps, (positions[:, tf.newaxis] + steps) % self.capacity))
        newer = (self.inserted - 1 - positions) % self.capacity // self._num_envs  # [B]
        window["truncated"], last = close_window(window["done"], window["truncated"], newer)
        final = self._rows((positions + last * self._num_envs) % self.capacity)
        return {**batch, **window, **{name: final[name] for name in final if name.startswith(NEXT)}}

    def stored(self) -> tf.Tensor:
        return tf.minimum(self.inserted.read_value(), self.capacity)

    def start_episodes(self) -> None:
        if self._n_step > 1:
            positions = (self.inserted + tf.range(-self._num_envs, 0, dtype=tf.int64)) % self.capacity  # [N]
            newest = self._window.unpack(tf.gather(self.steps, positions))
            newest["truncated"] = tf.maximum(newest["truncated"], 1.0 - newest["done"])
            self.steps.scatter_nd_update(positions[:, tf.newaxis], self._window.pack(newest))

    def newest(self, steps: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        count = self._num_envs * tf.minimum(self.stored() // self._num_envs, steps)
        positions = (self.inserted - count + tf.range(count)) % self.capacity
        if self._n_step > 1:
            columns = self._window.unpack(tf.gather(self.steps, positions))
        else:
            columns = self._packing.unpack(tf.gather(self.packed, positions))
        truncated = columns.get("truncated", tf.zeros_like(columns["done"]))
        reward, done, truncated = (
            tf.reshape(column, [-1, self._num_envs]) for column in (columns["reward"], columns["done"], truncated)
        )
        return reward, done, truncated

    @property
    def rows(self) -> Rows:
        end = int(self.inserted.numpy())
        # Those of the newest step may still be marked as truncated.
        ring = Ring(0, self.capacity, end, max(end - self._num_envs, 0))
        steps = {"steps": self.steps} if self._n_step > 1 else {}
        large = {f"column.{name}": column for name, column in self.large.items()}
        return Rows({"packed": self.packed, **steps, **large}, [ring])

    @property
    def columns(self) -> dict[str, tf.Tensor]:
        window = self._window.unpack(tf.convert_to_tensor(self.steps)) if self._n_step > 1 else {}
        return {**self._packing.unpack(tf.convert_to_tensor(self.packed)), **window, **self.large}

    def _rows(self, positions: tf.Tensor) -> dict[str, tf.Tensor]:
        """The rows at `positions` `[B]`, without the columns that are read as windows, or kept `APART`."""
        packed = self._packing.unpack(tf.gather(self.packed, positions))
        large = {name: column for name, column in self.large.items() if name not in self.APART}
        return {**packed, **{name: tf.gather(column, positions) for name, column in large.items()}}
