"""Times each part of `polyrl/engine/` against the code that it replaces, and prints both, in microseconds.

    taskset -c 0 .venv/bin/python scripts/benchmarks/engine.py

Sizes are those of DQN on CartPole: a network of 64 and 64 units, batches of 64, a memory of 50,000 rows. Figures are times of
the processor, the least of many turns that all take in the course of a minute: what else the machine does counts little.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
import dataclasses
import time
from typing import Any

if __name__ == "__main__":  # --help is answered before TensorFlow is imported.
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()

import numpy as np
from polyrl import ops
from polyrl.engine import functional, projection
from polyrl.engine.carried import CarriedState
from polyrl.engine.direct_call import direct_call
from polyrl.engine.fused_step import FusedStep
from polyrl.engine.layout import Layout
from polyrl.engine.narrow_dense import NarrowDense
from polyrl.engine.rows import RowPacking
from polyrl.engine.xla import Xla, XlaCall
import tensorflow as tf
import tf_keras

TURNS, CALLS, ROUNDS = 100, 100, 300
BATCH, ATOMS, ROWS = 64, 51, 50_000

XLA, BOTH = ("carried", "variables"), (True, False)

Timed = Callable[[], float]
"""Does something again and again; the seconds that each took."""


def timed_calls(call: Callable[[], Any], calls: int = CALLS) -> Timed:
    """Of a call, done again and again."""

    def run() -> float:
        started = time.process_time()
        for _ in range(calls):
            result = call()
        tf.nest.map_structure(np.asarray, result)  # Until it is done.
        return (time.process_time() - started) / calls

    return run


def compiled(how: str, function: Callable[..., list[tf.Tensor]], specs: Sequence[Any], roots: Sequence[tf.Module]) -> Any:
    """`function`, which may assign the variables below `roots`: XLA on `'carried'` state or `'variables'`, or `'plain'`."""
    if how == "carried":
        return CarriedState(roots, lambda: function(*(tf.zeros(spec.shape, spec.dtype) for spec in specs))).compile(
            function, specs
        )
    traced = tf.function(function, jit_compile=how == "variables", autograph=False)
    return direct_call(traced.get_concrete_function(*specs))


def in_calls(how: str, body: Callable[[], tf.Tensor], *roots: tf.Module) -> Timed:
    """Of a call of `body`, which returns a number."""
    return timed_calls(compiled(how, lambda: [body()], [], roots))


def in_loop(how: str, body: Callable[[], tf.Tensor], *roots: tf.Module) -> Timed:
    """Of one round of a loop in one call."""

    def loop(rounds: tf.Tensor) -> list[tf.Tensor]:
        def round_(n: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return n + 1, total + body()

        return functional.while_loop(lambda n, total: n < rounds, round_, [tf.constant(0), tf.constant(0.0)])[1:]

    call = compiled(how, loop, [tf.TensorSpec([], tf.int32)], roots)
    call(tf.constant(1))
    return lambda: timed_calls(lambda: call(tf.constant(ROUNDS)), calls=1)() / ROUNDS


@dataclasses.dataclass
class Comparison:
    """Of a part of the engine with the plain code in its place."""

    what: str
    engine: Timed
    plain: Timed
    times: list[tuple[float, float]] = dataclasses.field(default_factory=list, init=False)

    def take_turns(self) -> None:
        """Times both."""
        self.times.append((self.engine(), self.plain()))

    def __str__(self) -> str:
        engine, plain = (1e6 * min(column) for column in zip(*self.times, strict=True))
        return f"{self.what:<60} {engine:9.1f} {plain:9.1f} {plain / engine:7.1f}x"


class Columns(tf.Module):
    """A replay memory: a transition is written, and 64 of them are read; in one matrix, or column by column."""

    def __init__(self, packed: bool):
        super().__init__()
        number, state = tf.TensorSpec([], tf.float32), tf.TensorSpec([4], tf.float32)
        action = tf.TensorSpec([], tf.int32)
        self._specs = {"state": state, "action": action, "reward": number, "done": number, "truncated": number, "next": state}
        self._packing = RowPacking(self._specs) if packed else None
        shapes = {"rows": tf.TensorSpec([RowPacking(self._specs).width])} if packed else self._specs
        self.columns = {name: tf.Variable(tf.zeros([ROWS, *spec.shape], spec.dtype)) for name, spec in shapes.items()}
        self.count = tf.Variable(0)

    def write_and_read(self) -> dict[str, tf.Tensor]:
        """Writes a row; 64 of all, by column."""
        number = self.count.read_value()
        rows = {name: tf.fill([1, *spec.shape], tf.cast(number, spec.dtype)) for name, spec in self._specs.items()}
        if self._packing is not None:
            rows = {"rows": self._packing.pack(rows)}
        for name, values in rows.items():
            self.columns[name].scatter_nd_update([[number % ROWS]], values)
        places = (tf.range(BATCH) * 7_919 + number) % ROWS
        found = {name: tf.gather(column, places) for name, column in self.columns.items()}
        self.count.assign_add(1)
        return found if self._packing is None else self._packing.unpack(found["rows"])

    def step(self) -> tf.Tensor:
        """Does so, and uses all of them."""
        batch = self.write_and_read()
        return tf.add_n([tf.reduce_sum(tf.cast(column, tf.float32)) for column in batch.values()])


class Learner(tf.Module):
    """A network, a memory, and Adam: on each variable, or on one vector."""

    def __init__(self, fused: bool):
        super().__init__()
        layers = [tf_keras.layers.Dense(64, "relu"), tf_keras.layers.Dense(64, "relu"), tf_keras.layers.Dense(2)]
        self.model = tf_keras.Sequential(layers)
        self.model.build([None, 4])
        self.memory = Columns(packed=True)
        self.optimizer = tf_keras.optimizers.Adam(1e-3, jit_compile=False)
        variables = self.model.trainable_variables
        self.step = FusedStep(variables) if fused else None
        self.optimizer.build(variables if self.step is None else self.step.optimized(variables))

    def update(self) -> tf.Tensor:
        """Stores a row and learns from 64; the loss."""
        variables = self.model.trainable_variables
        batch = self.memory.write_and_read()
        with tf.GradientTape() as tape:
            sources = functional.sources(variables)
            tape.watch(sources)
            loss = tf.reduce_mean((self.model(batch["state"]) - batch["reward"][:, tf.newaxis]) ** 2)
        gradients = tape.gradient(loss, sources)
        if self.step is None:
            self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        else:
            self.step.apply_gradients(self.optimizer, self.step.pack(gradients), variables)
        return loss


def many_tensors(packed: bool, copy: bool = False) -> Timed:
    """Of a call that takes what a step of CartPole gives, as NumPy arrays, and returns three tensors, as NumPy arrays too."""
    state, numbers = np.ones([1, 4], np.float32), np.ones(1, np.float32)
    arrays = [state, np.zeros(1, np.int32), numbers, numbers, numbers, state, state, np.int32(1), np.int32(0)]
    specs = [tf.TensorSpec(array.shape, array.dtype) for array in arrays]
    inputs, outputs = Layout(specs), Layout([specs[1], specs[2], specs[2]])

    def function(*tensors: tf.Tensor) -> list[tf.Tensor]:
        values = inputs.unpack(tensors) if packed else tensors
        results = [values[1] + values[7], values[2] + values[3], values[4] * tf.reduce_sum(values[0] + values[5] + values[6])]
        return outputs.pack(results) if packed else results

    given = inputs.specs if packed else specs
    call = direct_call(tf.function(function, jit_compile=True, autograph=False).get_concrete_function(*given))
    if packed:
        return timed_calls(lambda: outputs.unpack_arrays(call(*inputs.pack_arrays(arrays, copy))))
    return timed_calls(lambda: [output.numpy() for output in call(*(tf.constant(array) for array in arrays))])


def checked_or_not(direct: bool) -> Timed:
    """Of a call that does nothing to speak of."""
    function = tf.function(lambda x, y: [x + y], autograph=False).get_concrete_function(*[tf.TensorSpec([8])] * 2)
    call, x = direct_call(function) if direct else function, tf.zeros([8])
    return timed_calls(lambda: call(x, x))


class Head(tf.Module):
    """A head of two units on batches of 64 features, forwards and backwards; `kind` is its layer."""

    def __init__(self, kind: Callable[..., tf_keras.layers.Layer]):
        super().__init__()
        self.layer = kind(2)
        self.layer.build([BATCH, 64])
        self.x = tf.Variable(tf.random.stateless_normal([BATCH, 64], [0, 1]))

    def step(self) -> tf.Tensor:
        """One step of gradient descent on weights and inputs."""
        variables = [self.x, *self.layer.trainable_variables]
        with tf.GradientTape() as tape:
            sources = functional.sources(variables)
            tape.watch(sources)
            loss = tf.reduce_mean(tf.square(self.layer(self.x, training=True) - 1.0))
        for variable, gradient in zip(variables, tape.gradient(loss, sources), strict=True):
            variable.assign_sub(1e-3 * gradient)
        return loss


class Projected(tf.Module):
    """A distribution that is projected in each round, by the loop or the formula."""

    def __init__(self, project: Callable[..., tf.Tensor]):
        super().__init__()
        self._project = project
        self.probabilities = tf.Variable(tf.fill([BATCH, ATOMS], 1.0 / ATOMS))

    def step(self) -> tf.Tensor:
        """Shifts the distribution."""
        atoms = tf.linspace(-10.0, 10.0, ATOMS)
        moved = tf.broadcast_to(0.99 * atoms + 0.1, [BATCH, ATOMS])
        self.probabilities.assign(self._project(moved, self.probabilities.read_value(), atoms))
        return self.probabilities[0, 0]


def update_in(timed: Callable[..., Timed], how: str, fused: bool = True) -> Timed:
    """An update of a learner."""
    learner = Learner(fused)
    return timed(how, learner.update, learner, learner.optimizer)


def step_in(timed: Callable[..., Timed], how: str, module: Any) -> Timed:
    """A step of a memory, a head, or a projection."""
    return timed(how, module.step, module)


def prediction(jit: bool) -> Timed:
    """The greedy action of two hidden layers of 64 units and 51 atoms, for one state."""
    network = tf_keras.Sequential([*(tf_keras.layers.Dense(64, "relu") for _ in range(2)), tf_keras.layers.Dense(2 * ATOMS)])
    atoms, state = ops.support(-10.0, 10.0, ATOMS), np.zeros([1, 4], np.float32)

    def act(state: tf.Tensor) -> tf.Tensor:
        logits = tf.reshape(network(state), [-1, 2, ATOMS])
        return tf.argmax(ops.expected_value(tf.nn.softmax(logits), atoms), axis=1)

    call = XlaCall(act, Xla(jit, "predictions"))
    call.trace(tf.TensorSpec([None, 4]))
    return timed_calls(lambda: call(state))


def comparisons() -> list[Comparison]:
    """All of them, in the order of the table."""
    rows, columns, narrow, dense = Columns(True), Columns(False), Head(NarrowDense), Head(tf_keras.layers.Dense)
    loop, formula = Projected(projection.project_distribution), Projected(ops.project_distribution)
    return [
        Comparison("carried: an update in a call; XLA on variables", *(update_in(in_calls, how) for how in XLA)),
        Comparison("carried: the same in a loop", *(update_in(in_loop, how) for how in XLA)),
        *(
            Comparison(f"fused_step: an update, {how}; Adam on each variable", *(update_in(in_calls, how, f) for f in BOTH))
            for how in ("plain", *reversed(XLA))
        ),
        *(
            Comparison(
                f"rows: a row written, 64 read, {how}; six columns", *(step_in(in_calls, how, m) for m in (rows, columns))
            )
            for how in ("plain", "carried")
        ),
        Comparison("rows: the same in a loop", *(step_in(in_loop, "carried", memory) for memory in (rows, columns))),
        Comparison("layout: a call with 9 inputs and 3 outputs; one by one", many_tensors(True), many_tensors(False)),
        Comparison("layout: the same; with inputs copied", many_tensors(True), many_tensors(True, copy=True)),
        Comparison("xla: the action for a state; without XLA", prediction(True), prediction(False)),
        Comparison("direct_call: a call; with checks", checked_or_not(True), checked_or_not(False)),
        Comparison(
            "narrow_dense: two units, both ways, in a loop; Dense", *(step_in(in_loop, "carried", h) for h in (narrow, dense))
        ),
        Comparison(
            "projection: 64 x 51 atoms in a loop; the formula", *(step_in(in_loop, "carried", p) for p in (loop, formula))
        ),
    ]


def main() -> None:
    """Measures, and prints a line for each."""
    rows = comparisons()
    for _ in range(TURNS):
        for row in rows:
            row.take_turns()
    print(f"{'microseconds':<60} {'engine':>9} {'plain':>9}")
    print(*rows, sep="\n")


if __name__ == "__main__":
    main()
