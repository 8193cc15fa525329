"""`Functional`: finds the variables, and leaves everything as it was."""

from __future__ import annotations

import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from engine_testing import Holder, run, variable

from polyrl.engine import functional
from polyrl.engine.functional import Functional, NotFunctionalError, StandIn

# Where the variables are. -----------------------------------------------------------------------------------------------

Pair = namedtuple("Pair", ["first", "second"])


class Tree:
    """Variables in every kind of place; `everything()` reads and changes each where it is found."""

    def __init__(self):
        self.shared = variable(1.0, name="shared")
        self.numbers = [variable(float(n), name=f"v{n}") for n in range(2, 9)]
        v = self.numbers
        self.leaf = Holder(own=v[0], also=self.shared)
        self.other = Holder(own=self.shared, again=self.shared)
        self.root = Holder(
            child=self.leaf,
            several=[v[1], self.other, (v[2], {"deep": [v[3]]})],
            table={"a": v[4], "b": [v[5], self.shared], "c": self.leaf},
            pair=(v[6], "text"),
            number=3,
            words=["a", "b"],
            nothing=None,
        )

    def found(self):
        """Each place's variable, or what stands for it, in a fixed order."""
        root, leaf, other = self.root, self.leaf, self.other
        places = [leaf.own, leaf.also, other.own, other.again]
        places += [root.several[0], root.several[2][0], root.several[2][1]["deep"][0]]
        return [*places, root.table["a"], root.table["b"][0], root.table["b"][1], root.pair[0]]

    def everything(self):
        return [tf.identity(found.assign_add(100.0 * index)) for index, found in enumerate(self.found(), start=1)]

    def attributes(self):
        """Every attribute of every module as it is, and the items of containers."""
        kept = []
        for module in (self.root, self.leaf, self.other):
            kept += [(module, name, value) for name, value in vars(module).items()]
        return kept


def test_variables_are_found_wherever_modules_hold_them_and_shared_ones_stay_shared():
    ours, plain = Tree(), Tree()
    carried = Functional([ours.root])
    assert {v.ref() for v in carried.variables} == {v.ref() for v in [ours.shared, *ours.numbers]}
    assert len(carried.variables) == len(ours.numbers) + 1
    names = [v.name for v in carried.variables]
    after, outputs = run([ours.root], ours.everything)
    np.testing.assert_array_equal(outputs, [value.numpy() for value in plain.everything()])
    expected = {v.name: v.numpy() for v in [plain.shared, *plain.numbers]}
    assert dict(zip(names, after, strict=True)) == expected
    assert ours.shared.numpy() == 1.0
    assert [v.numpy() for v in ours.numbers] == [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]


def test_several_roots_are_searched_each_variable_is_there_once():
    own = variable(1.0)
    first, second = Holder(own=own), Holder(own=own, other=Holder(own=own, more=[own, own]))
    assert len(Functional([first, second, first]).variables) == 1
    assert run([first, second], lambda: [first.own.assign_add(1.0), second.other.more[1].assign_add(1.0)])[0] == [3.0]


def test_modules_that_hold_each_other_are_searched():
    first, second = Holder(own=variable(1.0)), Holder(own=variable(2.0))
    first.other, second.other = second, first
    assert sorted(v.numpy() for v in Functional([first]).variables) == [1.0, 2.0]


def test_an_optimizer_is_searched_and_finds_its_slots():
    own = variable([1.0, 2.0])
    optimizer = tf_keras.optimizers.Adam(0.1, jit_compile=False)
    optimizer.build([own])
    holder = Holder(own=own)
    carried = Functional([holder, optimizer])
    owned = [own, *optimizer.variables, optimizer.learning_rate]
    assert {v.ref() for v in carried.variables} == {v.ref() for v in owned}
    assert len(carried.variables) == 5  # With the iterations and two slots.
    before = [v.numpy() for v in carried.variables]
    gradient = tf.constant([1.0, -1.0])
    after, _ = run([holder, optimizer], lambda: [optimizer.apply_gradients([(gradient, holder.own)]), tf.zeros([])][1])
    for kept, v in zip(before, carried.variables, strict=True):
        np.testing.assert_array_equal(kept, v)
    optimizer.apply_gradients([(gradient, own)])
    for value, v in zip(after, carried.variables, strict=True):
        np.testing.assert_allclose(value, v, rtol=1e-6)


def test_variables_to_keep_are_left_as_they_are():
    kept, carried = variable(1.0), variable(2.0)
    holder = Holder(kept=kept, both=[kept, carried])
    functional_ = Functional([holder], keep=[kept])
    assert [v.ref() for v in functional_.variables] == [carried.ref()]

    @tf.function(autograph=False)
    def pure(value):
        with functional_.given([value]):
            assert holder.kept is kept
            assert holder.both[0] is kept
            assert isinstance(holder.both[1], StandIn)
            return holder.kept.assign_add(holder.both[1])

    pure(5.0)
    assert (kept.numpy(), carried.numpy()) == (6.0, 2.0)


def test_a_variable_in_a_named_tuple_is_left_as_it_is():
    pair = Pair(variable(1.0), variable(2.0))
    holder = Holder(pair=pair)
    assert Functional([holder]).variables == []
    inside = Holder(pair=Pair(Holder(own=variable(1.0)), 2))  # A module in one is searched.
    assert len(Functional([inside]).variables) == 1


# Afterwards all is as before. -------------------------------------------------------------------------------------------


def identical(first, second) -> bool:
    return len(first) == len(second) and all(
        one[0] is two[0] and one[1] == two[1] and one[2] is two[2] for one, two in zip(first, second, strict=True)
    )


class Boom(Exception):
    pass


@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
def test_afterwards_every_attribute_is_the_very_object_it_was(fails):
    tree = Tree()
    before, places = tree.attributes(), [id(found) for found in tree.found()]

    def function():
        assert all(isinstance(found, StandIn) for found in tree.found())
        tree.everything()
        if fails:
            raise Boom
        return tf.zeros([])

    if fails:
        with pytest.raises(Boom):
            run([tree.root], function)
    else:
        run([tree.root], function)
    assert identical(before, tree.attributes())
    assert places == [id(found) for found in tree.found()]
    assert functional.while_loop(lambda n: n < 3, lambda n: (n + 1,), [tf.constant(0)])[0] == 3  # None is active any more.


def test_an_exception_in_a_loops_body_leaves_everything_as_it_was():
    tree = Tree()
    before = tree.attributes()

    def body(n):
        tree.everything()
        raise Boom

    with pytest.raises(Boom):
        run([tree.root], lambda: functional.while_loop(lambda n: n < 3, body, [tf.constant(0)]))
    assert identical(before, tree.attributes())
    assert run([tree.root], tree.everything)[1]  # And it can be used again.


def test_checkpoints_are_written_and_read_as_before(tmp_path):
    tree = Tree()
    path = tf.train.Checkpoint(root=tree.root).write(str(tmp_path / "before"))
    run([tree.root], tree.everything)
    again = tf.train.Checkpoint(root=tree.root).write(str(tmp_path / "after"))
    assert tf.train.list_variables(path) == tf.train.list_variables(again)
    for v in [tree.shared, *tree.numbers]:
        v.assign(-1.0)
    tf.train.Checkpoint(root=tree.root).read(path).assert_consumed()
    assert [v.numpy() for v in [tree.shared, *tree.numbers]] == [float(n) for n in range(1, 9)]


def test_a_keras_model_trains_saves_and_runs_as_before(tmp_path):
    model = tf_keras.Sequential([tf_keras.layers.Dense(3, activation="tanh"), tf_keras.layers.BatchNormalization()])
    x = tf.random.stateless_normal([5, 4], [1, 2])
    model(x, training=True)
    eager = model(x).numpy()
    ids = [id(v) for v in model.variables]
    # In training mode the averages are assigned.
    after, found = run([model], lambda: [model(x), model(x, training=True)])
    np.testing.assert_allclose(found[0], eager, rtol=1e-6, atol=1e-6)
    assert ids == [id(v) for v in model.variables]
    np.testing.assert_array_equal(model(x), eager)
    averages = [v for v in Functional([model]).variables if "moving" in v.name]
    assert len(averages) == 2
    model(x, training=True)
    for value, v in zip(after, Functional([model]).variables, strict=True):
        np.testing.assert_allclose(value, v, rtol=1e-5, atol=1e-6)
    model.save_weights(str(tmp_path / "weights"))
    for v in model.variables:
        v.assign(tf.zeros_like(v))
    model.load_weights(str(tmp_path / "weights")).assert_consumed()
    assert not any(np.array_equal(v, np.zeros_like(v)) for v in model.trainable_variables[:1])


# What cannot be carried is refused. -------------------------------------------------------------------------------------


def in_branch(holder):
    return tf.cond(holder.own > 0.0, lambda: holder.own.assign(2.0), lambda: tf.constant(0.0))


def in_branch_not_taken(holder):
    """Of a value from outside, which is there whether the branch is taken or not."""
    return tf.cond(holder.own < 0.0, lambda: holder.own.assign(holder.other.read_value()), lambda: tf.constant(0.0))


def in_case(holder):
    return tf.switch_case(tf.constant(1), [lambda: tf.constant(0.0), lambda: holder.own.assign_add(2.0)])


def in_plain_loop(holder):
    return tf.while_loop(lambda n: n < 3, lambda n: (n + 1, holder.own.assign_add(1.0))[:1], [tf.constant(0)])


def in_condition(holder):
    return functional.while_loop(lambda n: holder.own.assign_add(1.0) < 5.0, lambda n: (n + 1,), [tf.constant(0)])


def in_function(holder):
    return tf.function(lambda: holder.own.assign_add(1.0), autograph=False)()


def in_map(holder):
    return tf.map_fn(lambda x: holder.own.assign_add(x), tf.constant([1.0, 2.0]))


PLACES = [in_branch, in_branch_not_taken, in_case, in_plain_loop, in_condition, in_function]


@pytest.mark.parametrize("place", PLACES, ids=lambda f: f.__name__)
def test_an_assignment_whose_value_cannot_be_carried_out_is_refused_by_name(place):
    holder = Holder(own=variable(1.0, name="counter"), other=variable(7.0))
    before = vars(holder).copy()
    with pytest.raises(NotFunctionalError, match="counter"):
        run([holder], lambda: place(holder))
    assert vars(holder) == before
    assert holder.own.numpy() == 1.0


def test_so_is_one_in_a_map():
    """In a process of its own: a `tf.map_fn` that raises leaves a caching device, with which `tf.recompute_grad` fails."""
    code = "import test_functional as t; t.test_an_assignment_whose_value_cannot_be_carried_out_is_refused_by_name(t.in_map)"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


def test_branches_and_nested_functions_may_read():
    holder = Holder(own=variable(3.0))

    def function():
        holder.own.assign_add(1.0)
        branch = tf.cond(holder.own > 0.0, lambda: holder.own * 2.0, lambda: holder.own * 0.0)
        inner = tf.function(lambda: holder.own + 0.5, autograph=False)()
        (summed,) = tf.while_loop(lambda s: s < 10.0, lambda s: (s + holder.own,), [tf.constant(0.0)])
        return branch, inner, summed

    assert run([holder], function)[1] == (8.0, 4.5, 12.0)
