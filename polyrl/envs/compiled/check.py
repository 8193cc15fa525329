"""`check_environment`: checks the shapes and dtypes of a `CompiledEnvironment` before anything runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf
from gymnasium.spaces import Box, Discrete

from polyrl.envs.compiled.base import CompiledEnvironment, StepOutput
from polyrl.errors import SYMBOLIC, gist, raised_by
from polyrl.validation import check_int

OF_NO_SEED = frozenset(
    {
        *("RandomUniform", "RandomUniformInt", "RandomStandardNormal", "TruncatedNormal", "ParameterizedTruncatedNormal"),
        *("RandomGamma", "RandomPoissonV2", "RandomShuffle", "Multinomial", "RngReadAndSkip", "RngSkip"),
        *("StatefulStandardNormalV2", "StatefulTruncatedNormal", "StatefulUniform", "StatefulUniformFullInt"),
        *("StatefulUniformInt", "StatefulRandomBinomial"),
    }
)
"""TensorFlow's operations that draw from a state of their own."""


def check_environment(env: CompiledEnvironment, num_envs: int | None = None) -> None:
    """Traces the functions of an environment, without running them, and checks the shapes and dtypes of their outputs.

    Args:
        env: the environment.
        num_envs: number of environments, `N`; `env.num_envs` by default.

    Raises:
        TypeError: if `env` is not a `CompiledEnvironment`, or a space or an output has the wrong type.
        ValueError: for a wrong shape, dtype or structure; the message names the expected one. For random numbers that do not
            follow from the seed.
    """
    if not isinstance(env, CompiledEnvironment):
        is_class = isinstance(env, type) and issubclass(env, CompiledEnvironment)
        hint = f" It is a class; give one of its objects, as {env.__name__}()." if is_class else ""
        raise TypeError(f"env={env!r} is not a CompiledEnvironment.{hint}")
    size = env.num_envs if num_envs is None else num_envs
    check_spaces(env)
    if env.max_episode_steps is not None:
        check_int("max_episode_steps", env.max_episode_steps, minimum=1)
    name = type(env).__name__
    seed = tf.TensorSpec([2], tf.int32)
    state = _specs(_outputs(f"{name}.reset", lambda seed: env.reset(size, seed), seed))
    for leaf in tf.nest.flatten(state):
        if leaf.shape.rank is None or leaf.shape.rank < 1 or leaf.shape[0] != size or not leaf.shape.is_fully_defined():
            raise ValueError(
                f"{name}.reset({size}, seed): expected a state of tensors with static shape [{size}, ...], got {leaf}."
            )
    stepped = _outputs(f"{name}.step", env.step, state, action_spec(env, size), seed)
    if not isinstance(stepped, StepOutput):
        raise TypeError(f"{name}.step: expected a StepOutput(state, reward, terminated), got {type(stepped).__name__}.")
    next_state = _specs(stepped.state)
    try:
        tf.nest.assert_same_structure(state, next_state)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}.step returns a state of another structure than reset: {error}") from error
    for before, after in zip(tf.nest.flatten(state), tf.nest.flatten(next_state), strict=True):
        _check_spec(f"{name}.step: a part of the state", after, before)
    _check_spec(f"{name}.step: reward", _specs(stepped.reward), tf.TensorSpec([size], tf.float32))
    _check_spec(f"{name}.step: terminated", _specs(stepped.terminated), tf.TensorSpec([size], tf.bool))
    space = env.observation_space
    observation = tf.TensorSpec([size, *space.shape], tf.as_dtype(space.dtype))
    _check_spec(f"{name}.observe", _specs(_outputs(f"{name}.observe", env.observe, state)), observation)


def action_spec(env: CompiledEnvironment, num_envs: int) -> tf.TensorSpec:
    """The spec of the actions that `step` takes: int32 `[N]`, or float32 `[N, *action_space.shape]`."""
    if isinstance(env.action_space, Discrete):
        return tf.TensorSpec([num_envs], tf.int32)
    return tf.TensorSpec([num_envs, *env.action_space.shape], tf.float32)


def check_spaces(env: CompiledEnvironment) -> None:
    """Refuses an environment without spaces, or with some that are not supported, as `check_environment` does."""
    name = type(env).__name__
    if not isinstance(getattr(env, "observation_space", None), Box):
        raise TypeError(f"{name} needs an observation_space that is a gymnasium.spaces.Box.")
    actions = getattr(env, "action_space", None)
    if not isinstance(actions, (Discrete, Box)):
        raise TypeError(f"{name} needs an action_space that is a gymnasium.spaces.Discrete or Box.")
    if isinstance(actions, Discrete) and actions.start != 0:
        raise ValueError(f"{name}: the action space {actions} must start at 0.")


def _outputs(name: str, function: Any, *specs: Any) -> Any:
    """The symbolic outputs of a function of this name for tensors of these specs.

    Raises:
        ValueError: if TensorFlow refuses what it does; an error of its own is raised as it is.
    """
    # Traced as in the training loop: eager tensors would hide shapes that are not static.
    outputs: list[Any] = []

    def traced(*arguments: Any) -> None:
        outputs.append(function(*arguments))

    def trace() -> tf.Graph:
        return tf.function(traced, autograph=False).get_concrete_function(*specs).graph

    try:
        graph, again = trace(), trace()
    except Exception as error:
        if not raised_by(error, "tensorflow"):
            raise
        remedy = f"its arguments are {SYMBOLIC} in place of NumPy's functions, and `tf.where` in place of `if`"
        said = remedy if "symbolic" in str(error) else gist(error).rstrip(".")
        text = f"{name} raised {type(error).__name__}: {said}."
        raise ValueError(text).with_traceback(error.__traceback__) from error  # With the user's line.
    nodes = _nodes(graph)
    drawn = sorted({node.op for node in nodes if node.op in OF_NO_SEED})
    if drawn or _constants(nodes) != _constants(_nodes(again)):
        what = f"draws by {drawn[0]}" if drawn else "draws in Python, which happens once, when it is traced"
        raise ValueError(
            f"{name} {what}: random numbers must follow from the seed of reset or step, or runs cannot be repeated and "
            "resumed. Use polyrl.ops.uniform(shape, seed), or TensorFlow's tf.random.stateless_uniform."
        )
    return outputs[0]


def _nodes(graph: tf.Graph) -> list[Any]:
    """Those of a graph and of the functions that it calls."""
    definition = graph.as_graph_def()
    return [*definition.node, *(node for function in definition.library.function for node in function.node_def)]


def _constants(nodes: Iterable[Any]) -> list[bytes]:
    """In an order of their own: that of the functions of a graph may be another one in the next."""
    values = (node.attr["value"].tensor for node in nodes if node.op == "Const")
    return sorted(value.SerializeToString(deterministic=True) for value in values)


def _specs(nest: Any) -> Any:
    def spec(value: Any) -> tf.TensorSpec:
        if not tf.is_tensor(value):
            raise TypeError(f"{value!r} is not a tensor.")
        return tf.TensorSpec(value.shape, value.dtype)

    return tf.nest.map_structure(spec, nest)


def _check_spec(what: str, actual: tf.TensorSpec, expected: tf.TensorSpec) -> None:
    if actual.dtype != expected.dtype or not actual.shape.is_fully_defined() or actual.shape != expected.shape:
        raise ValueError(f"{what}: expected {expected.dtype.name} {expected.shape}, got {actual.dtype.name} {actual.shape}.")
