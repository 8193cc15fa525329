"""`Functional`: code that reads and assigns variables, as a pure function of their values."""

from __future__ import annotations

import math
import operator
from collections import namedtuple

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.engine import functional
from polyrl.engine.functional import Functional, NotFunctionalError, StandIn

JIT = pytest.mark.parametrize("jit", [False, True], ids=["function", "xla"])


class Holder(tf.Module):
    """A module with whatever attributes it is given."""

    def __init__(self, **attributes):
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)


def variable(value=0.0, dtype=tf.float32, **arguments) -> tf.Variable:
    return tf.Variable(value, dtype=dtype, **arguments)


def run(roots, function, *values, jit=False):
    """Calls `function()` as a pure one of the variables' values, their own by default; gives those after it, and outputs."""
    carried = Functional(roots)

    @tf.function(autograph=False, jit_compile=jit)
    def pure(*given):
        with carried.given(given):
            outputs = function()
            return carried.values(), outputs

    after, outputs = pure(*(values or [tf.identity(v) for v in carried.variables]))
    return [value.numpy() for value in after], tf.nest.map_structure(lambda x: x.numpy(), outputs)


# A stand-in reads as a variable does. -----------------------------------------------------------------------------------

BINARY = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "truediv": operator.truediv,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "pow": operator.pow,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}


@pytest.mark.parametrize("name", BINARY)
def test_arithmetic_is_that_of_the_variable(name):
    """From the left, with numbers, arrays, tensors and other variables on the right."""
    apply = BINARY[name]
    first, second = variable([1.5, 2.5, -3.5]), variable([0.5, 2.5, 3.0])
    others = [2.0, np.array([1.0, 2.5, 4.0], np.float32), tf.constant([1.0, 2.5, 4.0])]
    holder = Holder(first=first, second=second)

    def function():
        return [apply(holder.first, other) for other in (*others, holder.second)]

    expected = [np.asarray(apply(first, other)) for other in (*others, second)]
    for found, value in zip(run([holder], function)[1], expected, strict=True):
        np.testing.assert_array_equal(found, value)
        assert found.dtype == value.dtype


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "pow", "lt", "le", "gt", "ge"])
def test_arithmetic_from_the_right_is_that_of_the_variable(name):
    apply = BINARY[name]
    own = variable([1.5, 2.5, 3.5])
    others = [2.0, np.array([1.0, 2.5, 4.0], np.float32), tf.constant([1.0, 2.5, 4.0])]
    holder = Holder(own=own)
    found = run([holder], lambda: [apply(other, holder.own) for other in others])[1]
    for value, other in zip(found, others, strict=True):
        np.testing.assert_array_equal(value, np.asarray(apply(other, own)))


@pytest.mark.parametrize("name", ["floordiv", "mod"])
def test_whole_numbers_divide_from_the_right_as_the_variable_does(name):
    own = variable([2, 3, 5], tf.int64)
    holder = Holder(own=own)
    apply = BINARY[name]
    found = run([holder], lambda: [apply(17, holder.own), apply(tf.constant(17, tf.int64), holder.own)])[1]
    for value in found:
        np.testing.assert_array_equal(value, apply(17, own.numpy()))


def test_matrices_are_multiplied_from_both_sides():
    own = variable([[1.0, 2.0], [3.0, 4.0]])
    other = tf.constant([[0.0, 1.0], [1.0, 0.0]])
    holder = Holder(own=own)
    left, right, plain = run([holder], lambda: [holder.own @ other, other @ holder.own, tf.matmul(holder.own, holder.own)])[1]
    np.testing.assert_array_equal(left, own.numpy() @ other.numpy())
    np.testing.assert_array_equal(right, other.numpy() @ own.numpy())
    np.testing.assert_array_equal(plain, own.numpy() @ own.numpy())


def test_signs_magnitudes_parts_and_conversions_are_those_of_the_variable():
    own = variable([[1.0, -2.0], [-3.0, 4.0]])
    holder = Holder(own=own)

    def function():
        v = holder.own
        return [-v, abs(v), v[0], v[..., 1], v[:, tf.newaxis], tf.identity(v), v.read_value(), v.value(), tf.reduce_sum(v)]

    for found, expected in zip(run([holder], function)[1], tf.function(function, autograph=False)(), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("value", [3, 4])
def test_a_counter_is_compared_for_equality_by_value(value):
    """As `if step == 0` is in TensorFlow's own code: not by identity, which is False for ever, in silence."""
    holder = Holder(own=variable(3, tf.int64))
    equal, unequal = run([holder], lambda: [tf.convert_to_tensor(holder.own == value), holder.own != value])[1]
    assert (equal, unequal) == (value == 3, value != 3)


def test_flags_are_combined_as_the_variables_are():
    own, other = tf.Variable([True, True, False, False]), tf.constant([True, False, True, False])
    holder = Holder(own=own)

    def function():
        v = holder.own
        return [v & other, v | other, v ^ other, other & v, other | v, other ^ v, ~v]

    for found, expected in zip(run([holder], function)[1], function(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_python_branch_on_a_variable_is_refused_as_on_a_tensor():
    """In a graph its value is not known: without an error one of the branches would be taken for ever."""
    holder = Holder(own=variable(0.0))

    def function():
        return tf.constant(1) if holder.own else tf.constant(2)

    with pytest.raises(TypeError, match="bool"):
        tf.function(function, autograph=False)()
    with pytest.raises(TypeError, match="bool"):
        run([holder], function)


def test_a_conversion_to_another_dtype_is_refused():
    holder = Holder(own=variable(1.0))
    with pytest.raises((TypeError, ValueError), match="float32"):
        run([holder], lambda: tf.convert_to_tensor(holder.own, tf.int32))


def test_a_stand_in_is_found_where_its_variable_would_be():
    own = variable([1.0, 2.0], name="kernel", trainable=False, constraint=tf_keras.constraints.non_neg())
    holder = Holder(own=own)
    seen = {}

    def function():
        found = holder.own
        assert isinstance(found, StandIn)
        names = ("name", "dtype", "shape", "trainable", "constraint", "_unique_id")
        seen.update({name: getattr(found, name) for name in names}, ref=found.ref())
        return tf.zeros([])

    run([holder], function)
    assert seen.pop("ref") == own.ref()
    assert seen == {name: getattr(own, name) for name in seen}


def test_what_would_go_past_the_stand_in_is_refused():
    holder = Holder(own=variable(1.0))
    with pytest.raises(AttributeError, match="handle"):
        run([holder], lambda: holder.own.handle)


# Assignments. -----------------------------------------------------------------------------------------------------------


@JIT
def test_assignments_change_the_value_that_is_carried_and_not_the_variable(jit):
    own = variable([1.0, 2.0, 3.0])
    holder = Holder(own=own)

    def function():
        v = holder.own
        seen = [v.assign_add([1.0, 1.0, 1.0]), v.assign_sub(tf.constant([0.5, 0.0, 0.0])), v.assign(v * 2.0)]
        seen += [v.scatter_nd_update([[2], [0]], [7.0, -1.0]), v.read_value()]
        return seen

    after, seen = run([holder], function, jit=jit)
    expected = [[2.0, 3.0, 4.0], [1.5, 3.0, 4.0], [3.0, 6.0, 8.0], [-1.0, 6.0, 7.0], [-1.0, 6.0, 7.0]]
    np.testing.assert_array_equal(seen, expected)
    np.testing.assert_array_equal(after[0], expected[-1])
    np.testing.assert_array_equal(own, [1.0, 2.0, 3.0])


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64, tf.float16, tf.int32, tf.int64, tf.uint8, tf.bool])
def test_a_variable_of_any_dtype_is_assigned(dtype):
    value = np.array([0, 1, 1]).astype(dtype.as_numpy_dtype)
    holder = Holder(own=tf.Variable(np.zeros_like(value)))
    after, _ = run([holder], lambda: holder.own.assign(value))
    np.testing.assert_array_equal(after[0], value)
    assert after[0].dtype == value.dtype


def test_python_numbers_take_the_variables_dtype():
    holder = Holder(own=variable(1, tf.int64))
    assert run([holder], lambda: holder.own.assign_add(2))[0][0] == 3


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64, tf.float64, tf.bool], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("method", ["assign", "assign_add", "assign_sub"])
def test_a_value_of_another_dtype_is_refused_as_the_variable_refuses_it(method, dtype):
    holder = Holder(own=variable(1.0, name="kernel"))

    def function():
        return getattr(holder.own, method)(tf.cast(tf.identity(1), dtype))

    with pytest.raises((TypeError, ValueError), match="float32"):
        tf.function(function, autograph=False)()
    with pytest.raises((TypeError, ValueError), match="float32"):
        run([holder], function)


@pytest.mark.parametrize("wrong", [tf.zeros([3]), tf.zeros([]), tf.zeros([1, 2])], ids=lambda x: str(x.shape))
def test_a_value_of_another_shape_is_refused_by_name(wrong):
    holder = Holder(own=variable([1.0, 2.0], name="kernel"))
    with pytest.raises(ValueError, match="kernel"):
        run([holder], lambda: holder.own.assign(wrong))


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


# Loops. -----------------------------------------------------------------------------------------------------------------


def fibonacci(holder, times: int, loop):
    """`times` steps that assign both variables, with a loop variable that reads them."""

    def body(n, total):
        following = holder.first + holder.second
        holder.first.assign(holder.second.read_value())
        holder.second.assign(following)
        return n + 1, total + holder.first * 0.5

    return loop(lambda n, total: n < times, body, [tf.constant(0), tf.constant(0.0)])


def python_loop(cond, body, loop_vars):
    while cond(*loop_vars):
        loop_vars = body(*loop_vars)
    return list(loop_vars)


@JIT
@pytest.mark.parametrize("times", [0, 1, 2, 10])
def test_a_loop_that_assigns_is_a_python_loop(times, jit):
    ours, plain = (Holder(first=variable(0.0), second=variable(1.0), unused=variable(7.0)) for _ in range(2))
    after, outputs = run([ours], lambda: fibonacci(ours, times, functional.while_loop), jit=jit)
    expected = fibonacci(plain, times, python_loop)
    assert outputs == [value.numpy() for value in expected]
    values = dict(zip([id(v) for v in Functional([ours]).variables], after, strict=True))
    for name in ("first", "second", "unused"):
        assert values[id(getattr(ours, name))] == getattr(plain, name).numpy()
    assert ours.second.numpy() == 1.0


@JIT
@pytest.mark.parametrize(("outer", "inner"), [(1, 3), (3, 1), (4, 0), (3, 4)])
def test_loops_within_loops_are_python_loops(outer, inner, jit):
    ours, plain = (Holder(first=variable(0.0), second=variable(1.0)) for _ in range(2))

    def nested(holder, loop):
        def body(n, total):
            holder.first.assign_add(1.0)
            count, extra = fibonacci(holder, inner, loop)
            holder.second.assign_sub(tf.cast(count, tf.float32))
            return n + 1, total + extra * holder.second

        return loop(lambda n, total: n < outer, body, [tf.constant(0), tf.constant(0.0)])

    after, outputs = run([ours], lambda: nested(ours, functional.while_loop), jit=jit)
    assert outputs == [value.numpy() for value in nested(plain, python_loop)]
    assert after == [v.numpy() for v in Functional([plain]).variables]


@JIT
def test_a_loops_condition_reads_what_its_body_assigned(jit):
    holder = Holder(own=variable(1.0))

    def function():
        return functional.while_loop(
            lambda n: holder.own < 100.0, lambda n: (n + 1, holder.own.assign(holder.own * 3.0))[:1], [tf.constant(0)]
        )

    assert run([holder], function, jit=jit) == ([243.0], [5])


def test_assignments_before_and_after_a_loop_count():
    holder = Holder(own=variable(1.0))

    def function():
        holder.own.assign(5.0)
        functional.while_loop(lambda n: n < 3, lambda n: (n + 1, holder.own.assign_add(1.0))[:1], [tf.constant(0)])
        return holder.own.assign(holder.own * 10.0)

    assert run([holder], function) == ([80.0], 80.0)


@pytest.mark.parametrize("traced", [False, True])
def test_outside_of_given_a_loop_assigns_the_variables_themselves(traced):
    holder = Holder(first=variable(0.0), second=variable(1.0))

    def function():
        return fibonacci(holder, 5, functional.while_loop)

    outputs = (tf.function(function, autograph=False) if traced else function)()
    assert [float(value) for value in outputs] == [5.0, 6.0]
    assert (holder.first.numpy(), holder.second.numpy()) == (5.0, 8.0)


# What cannot be carried is refused. -------------------------------------------------------------------------------------


def in_branch(holder):
    return tf.cond(holder.own > 0.0, lambda: holder.own.assign(2.0), lambda: tf.constant(0.0))


def in_case(holder):
    return tf.switch_case(tf.constant(1), [lambda: tf.constant(0.0), lambda: holder.own.assign_add(2.0)])


def in_plain_loop(holder):
    return tf.while_loop(lambda n: n < 3, lambda n: (n + 1, holder.own.assign_add(1.0))[:1], [tf.constant(0)])


def in_function(holder):
    return tf.function(lambda: holder.own.assign_add(1.0), autograph=False)()


def in_map(holder):
    return tf.map_fn(lambda x: holder.own.assign_add(x), tf.constant([1.0, 2.0]))


@pytest.mark.parametrize("place", [in_branch, in_case, in_plain_loop, in_function, in_map], ids=lambda f: f.__name__)
def test_an_assignment_whose_value_cannot_be_carried_out_is_refused_by_name(place):
    holder = Holder(own=variable(1.0, name="counter"))
    before = vars(holder).copy()
    with pytest.raises(NotFunctionalError, match="counter"):
        run([holder], lambda: place(holder))
    assert vars(holder) == before
    assert holder.own.numpy() == 1.0


def test_branches_and_nested_functions_may_read():
    holder = Holder(own=variable(3.0))

    def function():
        holder.own.assign_add(1.0)
        branch = tf.cond(holder.own > 0.0, lambda: holder.own * 2.0, lambda: holder.own * 0.0)
        inner = tf.function(lambda: holder.own + 0.5, autograph=False)()
        (summed,) = tf.while_loop(lambda s: s < 10.0, lambda s: (s + holder.own,), [tf.constant(0.0)])
        return branch, inner, summed

    assert run([holder], function)[1] == (8.0, 4.5, 12.0)


# Gradients. -------------------------------------------------------------------------------------------------------------


@JIT
def test_gradients_are_those_by_the_variables(jit):
    ours, plain = (Holder(w=variable([[0.5, -1.0], [2.0, 0.3]]), b=variable([0.1, -0.2])) for _ in range(2))
    x = tf.constant([[1.0, 2.0], [-0.5, 0.7], [3.0, -1.0]])

    def gradients(holder):
        with tf.GradientTape() as tape:
            sources = functional.sources([holder.w, holder.b])
            tape.watch(sources)
            loss = tf.reduce_sum(tf.tanh(x @ holder.w + holder.b) ** 2) + tf.reduce_sum(holder.w[0])
        return tape.gradient(loss, sources)

    found = run([ours], lambda: gradients(ours), jit=jit)[1]
    for one, two in zip(found, gradients(plain), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5)
        assert np.abs(one).min() > 0.0


def test_gradients_are_by_the_present_value():
    """After an assignment they are by what was assigned: d(w^2)/dw at the new w."""
    holder = Holder(w=variable(3.0))

    def function():
        holder.w.assign(5.0)
        with tf.GradientTape() as tape:
            sources = functional.sources([holder.w])
            tape.watch(sources)
            loss = holder.w * holder.w
        return tape.gradient(loss, sources)[0]

    assert run([holder], function)[1] == 10.0


def test_outside_of_given_the_sources_are_the_variables():
    own = variable(1.0)
    (found,) = functional.sources([own])
    assert found is own


@JIT
def test_gradient_descent_in_a_loop_is_a_python_loop(jit):
    ours, plain = (Holder(w=variable([1.0, -2.0])) for _ in range(2))

    def descend(holder, loop):
        def body(n):
            with tf.GradientTape() as tape:
                sources = functional.sources([holder.w])
                tape.watch(sources)
                loss = tf.reduce_sum((holder.w - [3.0, 4.0]) ** 2)
            holder.w.assign_sub(0.1 * tape.gradient(loss, sources)[0])
            return (n + 1,)

        return loop(lambda n: n < 20, body, [tf.constant(0)])

    after, _ = run([ours], lambda: descend(ours, functional.while_loop), jit=jit)
    descend(plain, python_loop)
    np.testing.assert_allclose(after[0], plain.w, rtol=1e-6)
    np.testing.assert_allclose(after[0], np.array([3.0, 4.0]) + 0.8**20 * np.array([-2.0, -6.0]), rtol=1e-5)


# The same as on plain variables. ----------------------------------------------------------------------------------------


@JIT
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_programs_do_what_they_do_to_variables(seed, jit):
    """Assignments of all kinds to three variables, in a random order."""
    rng = np.random.default_rng(seed)
    start = rng.normal(size=[3, 4]).astype(np.float32)
    program = [(int(kind), *rng.integers(0, 3, 2), rng.normal(size=4).astype(np.float32)) for kind in rng.integers(0, 5, 30)]

    def execute(variables):
        for kind, a, b, numbers in program:
            if kind == 0:
                variables[a].assign(variables[b] * 0.5 + numbers)
            elif kind == 1:
                variables[a].assign_add(tf.tanh(variables[b]))
            elif kind == 2:
                variables[a].assign_sub(numbers * variables[b])
            elif kind == 3:
                variables[a].scatter_nd_update([[1], [3]], tf.gather(variables[b], [0, 2]))
            else:
                variables[a].assign(tf.where(variables[b] > 0.0, variables[a], numbers))
        return tf.add_n([v.read_value() for v in variables])

    ours, plain = ([tf.Variable(row) for row in start] for _ in range(2))
    holder = Holder(several=ours)
    after, total = run([holder], lambda: execute(holder.several), jit=jit)
    expected = execute(plain)
    order = [next(i for i, v in enumerate(ours) if v is w) for w in Functional([holder]).variables]
    for value, index in zip(after, order, strict=True):
        np.testing.assert_allclose(value, plain[index], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(total, expected, rtol=1e-5, atol=1e-5)
    assert math.isfinite(float(np.sum(total)))
