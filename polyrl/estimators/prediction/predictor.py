"""`Predictor`: a trained model to act, predict and evaluate with, apart from training."""

from __future__ import annotations

import contextlib
import inspect
import os
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.demos import Demonstrations
from polyrl.envs import EnvDriver, open_env
from polyrl.envs.gym import EnvLike
from polyrl.errors import NotTrainedError
from polyrl.estimators.checkpoints.manager import CheckpointManager
from polyrl.estimators.checkpoints.params import with_trained
from polyrl.estimators.inputs import batch_of_states, check_described, specs_of
from polyrl.estimators.model_errors import public
from polyrl.estimators.model_fn import ModelFn, bind
from polyrl.estimators.names import READ
from polyrl.estimators.prediction import rollouts, saved_model
from polyrl.estimators.prediction.rollout_calls import RolloutCalls
from polyrl.estimators.run_config import RunConfig
from polyrl.models.scope import Scope, stream_seed
from polyrl.paths import resolved
from polyrl.policies import BasePolicy, BoundedTensorSpec
from polyrl.spec import EstimatorSpec
from polyrl.validation import check_int

EVALUATION_ENVS = 20
"""How many environments an evaluation runs side by side, at the most."""


class Predictor:
    """Reads a checkpoint once, into a scope of its own: no memory, no optimizer, and nothing that a training run shares.

    `Agent.predictor(checkpoint)` and `Predictor.from_model_dir(...)` make one. Random numbers come from a stream that moves on
    at each call; two predictors of one checkpoint draw the same.

    Args:
        model_fn: a function of `features`, `labels` and `mode`, see `polyrl.estimators.model_fn.bind`.
        scope: where the model lives.
        jit: whether XLA compiles the calls.

    Attributes:
        checkpoint: the directory that was read; None for the live model of a training run.
        version: that directory, and when its state was written, in nanoseconds.
    """

    def __init__(self, model_fn: ModelFn, scope: Scope, jit: bool):
        self._scope = scope
        self._calls = RolloutCalls(model_fn, scope, jit)
        self._state_spec: Mapping[str, Any] = {}
        self._first_action = 0
        self._loaded = 0  # parts of the scope
        self.checkpoint: Path | None = None
        self.version: tuple[Path, int] | None = None
        self._predictions: weakref.WeakSet[Generator[dict[str, Any]]] = weakref.WeakSet()

    @classmethod
    @public(READ)
    def from_model_dir(
        cls,
        model_dir: str | os.PathLike[str],
        model_fn: Callable[..., EstimatorSpec],
        params: Mapping[str, Any] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        config: RunConfig | None = None,
    ) -> Predictor:
        """The predictor of a run that has been trained; it needs neither its `Agent` nor its memory.

        Args:
            model_dir: the run's directory.
            model_fn: as `Agent` takes it.
            params: of `model_fn`, in place of those that the run was trained with; the others are those of the training.
            checkpoint: `'latest'` (the default), `'best'`, or a checkpoint's path.
            config: `jit` counts, and what `model_fn` reads of it.

        Raises:
            NotTrainedError: if there is no such checkpoint.
            CheckpointMismatchError: if it holds another model.
            ValueError: for one of `params` that the run was not trained with.
        """
        config = RunConfig() if config is None else config
        model_dir = resolved("model_dir", model_dir)
        bound = bind(model_fn, with_trained(model_dir, params), config)
        checkpoints = CheckpointManager(model_dir, config.keep_checkpoint_max)

        def read(path: Path) -> Predictor:
            scope = Scope(CheckpointManager.read_state(path)["seed"], xla=config.jit != "off")
            return cls(bound, scope, scope.xla).load(path)

        return checkpoints.reading(checkpoint, read)

    def load(self, checkpoint: Path) -> Predictor:
        """Reads the weights and counters of a checkpoint directory; gives the predictor back.

        Raises:
            CheckpointMismatchError: if it holds another model.
        """
        self.version = None  # Of something in between, until all of it is read.
        version = self.version_of(checkpoint)
        state = CheckpointManager.read_state(checkpoint)
        self._state_spec, self._first_action = state["state_spec"], state.get("first_action", 0)
        self._calls.build_prediction(specs_of(self._state_spec))
        CheckpointManager.restore_models(checkpoint, self._scope)
        self.checkpoint, self.version, self._loaded = checkpoint, version, len(self._scope.parts)
        return self

    @staticmethod
    def version_of(checkpoint: Path) -> tuple[Path, int]:
        """The directory, and when its state was written: another one, or one written again, is to be read again."""
        return checkpoint, (checkpoint / "state.json").stat().st_mtime_ns

    @property
    def counters(self) -> dict[str, int]:
        """`global_step`, `global_timestep` and `global_episode` of the model."""
        scope = self._scope
        variables = {"step": scope.global_step, "timestep": scope.global_timestep, "episode": scope.global_episode}
        return {f"global_{name}": int(variable.numpy()) for name, variable in variables.items()}

    @property
    def in_use(self) -> bool:
        """Whether a prediction may still need these weights: one that has not ended, begun or not."""
        return any(inspect.getgeneratorstate(prediction) != inspect.GEN_CLOSED for prediction in self._predictions)

    @property
    def policy(self) -> BasePolicy:
        """The policy that PREDICT mode acts by, with the weights of this predictor; its observations are the features' dict.

        Raises:
            TypeError: if the model gives none.
        """
        if self._calls.policy is None:
            raise TypeError("model_fn gives no policy: put one into extra_ops['policy'] in mode 'infer'.")
        return self._calls.policy

    @public(READ)
    def act(self, state: Any) -> Any:
        """The action of PREDICT mode's policy for one state (an int, or an array `[k]`) or a batch of states (`[B, ...]`).

        States are those that the environment returns, actions those that it takes, also if discrete ones do not start at 0.
        A model that was trained on dicts takes dicts with the same keys, `action_mask` included if there were masks.

        Raises:
            TypeError: for what is not a state, such as the tuple that `env.reset()` returns; for a recurrent model, which
                has to be told what it remembers.
            ValueError: for another shape, or values that no state of the training's environment has.
        """
        if self._calls.recurrent:
            raise TypeError(
                "act: the model remembers earlier states, and what it remembers has to be handed on: step = "
                "predictor.policy.action(time_step, policy_state), beginning with policy.get_initial_state(batch_size); then "
                "step.action and step.state."
            )
        states, single = batch_of_states("state", state, self._state_spec)
        actions = self._calls.act(states).numpy()
        actions = actions + self._first_action if self._first_action else actions
        if not single:
            return actions
        return int(actions[0]) if actions.ndim == 1 else actions[0]

    def predictions(self, states: Any) -> dict[str, np.ndarray]:
        """All that PREDICT mode predicts for a batch of states, `q` included; states are as for `act`, actions count from 0.

        A recurrent model remembers nothing, as at the start of an episode.
        """
        batch = self.batch(states)
        remembered = self._calls.first(len(tf.nest.flatten(batch)[0]))
        return {name: np.asarray(value) for name, value in self._calls.predict(batch, remembered).items()}

    def batch(self, states: Any) -> Any:
        """States as the environment returns them, as the model takes them, `[B, ...]`; errors are those of `act`."""
        return batch_of_states("states", states, self._state_spec)[0]

    @public(READ)
    def predict(self, env: EnvLike, episodes: int | None = None, steps: int | None = None) -> Iterator[dict[str, Any]]:
        """Acts by the policy of PREDICT mode, and yields one dict for each environment step.

        Args:
            env: as for `Agent.train`; one instance of a `GymEnvironment` is opened.
            episodes: ends after this number of episodes.
            steps: ends after this number of environment steps.

        Yields:
            The predictions for the row, `results` (the action, as the environment takes it), `index` (a discrete action
            counted from 0, where it stands in `q`), `q`, and so on, with `state` (and the other keys of a state that is a
            dict) as the environment returned it, `reward`, `done`, `truncated`, `episode`, `env` and `timestep`.
        """
        for argument, value in (("episodes", episodes), ("steps", steps)):
            if value is not None:
                check_int(argument, value, minimum=1)
        prediction = self._predict(env, episodes, steps)
        self._predictions.add(prediction)
        return prediction

    @public(READ)
    def evaluate(self, env: EnvLike, episodes: int = 100, stream: str = "eval") -> dict[str, float]:
        """Runs greedy episodes.

        Args:
            env: as for `Agent.train`; up to 20 instances of a `GymEnvironment` run side by side.
            episodes: how many episodes.
            stream: names the random stream that the environments draw their seeds from.

        Returns:
            `mean_reward`, `std_reward`, `min_reward`, `max_reward`, `mean_ep_length`, `episodes`, `loss`, metrics, counters.
        """
        return self.evaluate_while(env, episodes, stream, lambda: None)

    def evaluate_while(self, env: EnvLike, episodes: int, stream: str, check: Callable[[], None]) -> dict[str, float]:
        """`evaluate` with a `check()` before each step, which ends it by raising."""
        check_int("episodes", episodes, minimum=1)
        with self._environments(env, episodes, stream, "evaluation") as driver:
            return {**rollouts.evaluate(self._calls, driver, episodes, check), **self.counters}

    @public(READ)
    def record(self, env: EnvLike, episodes: int) -> Demonstrations:
        """Plays greedy episodes, as `evaluate` does, and gives them as demonstrations.

        Args:
            env: as for `Agent.train`; its rewards are those that a learner will learn from.
            episodes: how many.
        """
        check_int("episodes", episodes, minimum=1)
        with self._environments(env, episodes, "recording", "recording") as driver:
            recorded = rollouts.record(self._calls, driver, episodes)
        return Demonstrations(recorded, str(self.checkpoint))

    def export(self, path: str | os.PathLike[str]) -> None:
        """Writes the policy as a SavedModel, which TensorFlow alone can load and serve, in place of one that is there.

        It has the signatures of `policy.signatures()`, and `serving_default`, which servers call; see docs/policies.md and
        docs/serving.md. As `act` they take states as the environment returns them, and give actions as it takes them; for NaN
        or infinity they raise.

        Raises:
            TypeError: if the model gives no policy.
            FileExistsError, ValueError: for a directory that it cannot be written to, see `saved_model.save`.
        """
        saved_model.save(self.policy, path, self._state_spec, self._first_action)

    def begun_distributions(self) -> tuple[np.ndarray, np.ndarray] | None:
        """See `RolloutCalls.begun_distributions`."""
        return self._calls.begun_distributions()

    @property
    def state_spec(self) -> Mapping[str, Any]:
        """The states of the training's environment, as `polyrl.estimators.inputs.describe_state` describes them."""
        return self._state_spec

    @property
    def first_action(self) -> int:
        """The lowest action of the training's environment; the model counts it as 0."""
        return self._first_action

    def _predict(self, env: EnvLike, episodes: int | None, steps: int | None) -> Generator[dict[str, Any]]:
        with open_env(env, num_envs=1, purpose="prediction") as vector:
            driver = EnvDriver(vector)
            driver.reset(self._seeds("prediction", driver))
            check_described(driver.state, vector.single_observation_space, self._state_spec)
            self._calls.check_actions(driver.action_spec)
            yield from rollouts.predict(self._calls, driver, episodes, steps)

    @contextlib.contextmanager
    def _environments(self, env: EnvLike, episodes: int, stream: str, purpose: str) -> Iterator[EnvDriver]:
        """The environments of an evaluation, just reset."""
        with open_env(env, num_envs=min(episodes, EVALUATION_ENVS), purpose=purpose) as vector:
            driver = EnvDriver(vector)
            state = driver.reset(self._seeds(stream, driver))
            if self._state_spec:  # Not in training, whose model has been built for its own environment.
                check_described(state, vector.single_observation_space, self._state_spec)
            self._build_evaluation(state, driver.action_spec)
            yield driver

    def _build_evaluation(self, state: Any, action: BoundedTensorSpec) -> None:
        """Gets the calls ready, and reads what only they need: a model may act without all that it has."""
        checkpoint = self.checkpoint
        try:
            self._calls.build_evaluation(state, action)
            if checkpoint is not None and len(self._scope.parts) > self._loaded:
                CheckpointManager.restore_models(checkpoint, self._scope)
                self._loaded = len(self._scope.parts)
        except (OSError, tf.errors.OpError) as error:
            if checkpoint is None or checkpoint.exists():
                raise
            raise NotTrainedError(
                f"{checkpoint} was removed before its model was evaluated for the first time, which takes more weights than "
                "acting does. Make a new predictor, or keep more checkpoints (RunConfig.keep_checkpoint_max)."
            ) from error

    def _seeds(self, stream: str, driver: EnvDriver) -> list[int]:
        """One seed for each environment; they depend on the number of environment steps that the model was trained for."""
        timestep = self.counters["global_timestep"]
        return [stream_seed(self._scope.seed, f"{stream}/{timestep}/{index}")[0] for index in range(driver.num_envs)]
