"""`Agent`: trains, evaluates and predicts with a `model_fn`, all state in one `model_dir`."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_collections
import tensorflow as tf

from polyrl.demos import Demonstrations
from polyrl.envs import EnvDriver, open_env
from polyrl.envs.compiled import CompiledEnvironment
from polyrl.envs.gym import EnvLike
from polyrl.errors import CheckpointMismatchError
from polyrl.estimators import rollouts
from polyrl.estimators.budget import Budget
from polyrl.estimators.checkpoints import CheckpointManager, read_state
from polyrl.estimators.compiled import TrainingCalls
from polyrl.estimators.hooks import Hook, default_hooks
from polyrl.estimators.inputs import batch_of_states
from polyrl.estimators.loops import PythonLoop, UpdateSchedule, open_loop
from polyrl.estimators.model_fn import ModelFn
from polyrl.estimators.overlap import OverlappedLoop
from polyrl.estimators.params import check_same_params, write_params
from polyrl.estimators.rollout_calls import RolloutCalls
from polyrl.estimators.run_config import RunConfig
from polyrl.estimators.training import TrainingResult, TrainingRun
from polyrl.models.scope import Scope, stream_seed
from polyrl.replay import Replay
from polyrl.spec import EstimatorSpec
from polyrl.summaries import write_evaluation
from polyrl.validation import check_int

logger = logging.getLogger("polyrl")

EVALUATION_ENVS = 20
"""How many environments an evaluation runs side by side, at the most."""


class Agent:
    """Acts, stores, learns; evaluates and predicts.

    Args:
        model_fn: `model_fn(features, labels[, mode][, params][, config]) -> EstimatorSpec`. It is called anew for each mode;
            what it builds is found again, see `polyrl.models.Scope`.
        memory: the replay memory.
        model_dir: where checkpoints and summaries go; a new temporary directory by default. If it holds a checkpoint,
            `train` goes on from there.
        config: seed and housekeeping, `RunConfig()` by default.
        params: a dict of hyper-parameters for `model_fn`; it gets them as a frozen ConfigDict (`params.learning_rate`).
    """

    def __init__(
        self,
        model_fn: Callable[..., EstimatorSpec],
        memory: Replay,
        model_dir: str | os.PathLike[str] | None = None,
        config: RunConfig | None = None,
        params: Mapping[str, Any] | None = None,
    ):
        if not isinstance(memory, Replay):
            raise TypeError(f"memory={memory!r} must be a UniformReplay or a PrioritizedReplay.")
        if config is not None and not isinstance(config, RunConfig):
            raise TypeError(f"config={config!r} must be a RunConfig.")
        self.config = RunConfig() if config is None else config
        self.params = ml_collections.FrozenConfigDict(dict(params or {}))
        self.model_dir = Path(tempfile.mkdtemp(prefix="polyrl-") if model_dir is None else model_dir)
        self.memory = memory
        self._scope = Scope(self.config.seed, xla=self.config.jit != "off")
        self.checkpoints = CheckpointManager(self.model_dir, self.config.keep_checkpoint_max)
        self._model_fn = ModelFn(model_fn, self._scope, self.params, self.config)
        self._rollouts = RolloutCalls(self._model_fn, self.config.jit != "off")
        self._training = TrainingCalls(self._model_fn, self._scope, memory)
        self._writers: dict[str, tf.summary.SummaryWriter] = {}

    # Training. ----------------------------------------------------------------------------------------------------------

    def train(
        self,
        env: EnvLike,
        first_update: int = 1_000,
        update_frequency: int = 1,
        steps: int | None = None,
        max_steps: int | None = None,
        episodes: int | None = None,
        max_episodes: int | None = None,
        timesteps: int | None = None,
        max_timesteps: int | None = None,
        hooks: Sequence[Hook] = (),
        *,
        pretrain_updates: int = 0,
    ) -> TrainingResult:
        """Trains until a budget is used up or a hook asks for a stop; goes on from the newest checkpoint, if there is one.

        With several budgets the first to be reached ends the run; with none it ends by hook or by signal only. SIGINT and
        SIGTERM end it cleanly. A checkpoint is written at the end.

        Args:
            env: a `GymEnvironment` or another `Environment`, an id, or an open gymnasium environment, single or vector. A
                `CompiledEnvironment` runs in the graph, together with the learning.
            first_update: environment steps before the first update.
            update_frequency: environment steps for each update after that.
            steps: gradient updates from here on.
            max_steps: gradient updates in all.
            episodes: episodes from here on.
            max_episodes: episodes in all.
            timesteps: environment steps from here on, summed over parallel environments.
            max_timesteps: environment steps in all.
            hooks: run after those that the agent attaches itself, and the model's `training_hooks`.
            pretrain_updates: gradient updates on the memory's demonstrations alone, before the first environment step. They
                count in `global_step`; a run that was interrupted in them goes on with those that are left.

        Raises:
            ValueError: for budgets that are not positive or contradict each other, a `first_update` below the batch size, or
                `pretrain_updates` without demonstrations, or more of them than a run has done that is past pre-training.
            CheckpointMismatchError: if `model_dir` holds a checkpoint that does not fit.
            NonFiniteError: for NaN or infinity in observation, reward or loss.
        """
        budgets = {
            "steps": steps,
            "max_steps": max_steps,
            "episodes": episodes,
            "max_episodes": max_episodes,
            "timesteps": timesteps,
            "max_timesteps": max_timesteps,
        }
        Budget.validate(**budgets)
        check_int("update_frequency", update_frequency, minimum=1)
        if check_int("first_update", first_update, minimum=0) < self.memory.batch_size:
            raise ValueError(
                f"first_update={first_update} must be at least the memory's batch_size={self.memory.batch_size}: an update "
                "needs a batch of environment steps."
            )
        if check_int("pretrain_updates", pretrain_updates, minimum=0) and self.memory.demonstrations is None:
            raise ValueError(
                f"pretrain_updates={pretrain_updates} needs demonstrations in the memory, as UniformReplay(demonstrations="
                "polyrl.demos.load('demos.npz')); this one has none."
            )
        _hooks("hooks", hooks)
        check_same_params(self.model_dir, self.params.to_dict())
        # An error may have ended the last run with values that only its calls know; they come before those restored.
        self._training.push()
        schedule = UpdateSchedule(first_update, update_frequency)
        python_loop = OverlappedLoop if self.config.overlap else PythonLoop
        if self.config.overlap and isinstance(env, CompiledEnvironment):
            raise ValueError(
                "overlap=True: an environment in the graph steps with the learner, not beside it; leave it False."
            )
        with open_loop(
            env, self._training, self._scope, schedule, python_loop, self._timestep(self.checkpoints.latest())
        ) as loop:
            restored = self._resume()
            self.memory.start_episodes()
            counters = (self._scope.global_step, self._scope.global_timestep, self._scope.global_episode)
            step, timestep, episode = (int(counter.numpy()) for counter in counters)
            if timestep > 0 and step < pretrain_updates:
                raise ValueError(
                    f"pretrain_updates={pretrain_updates} come before the first environment step; the run in {self.model_dir} "
                    f"has taken {timestep} after {step} updates. Use the number it began with, or another model_dir."
                )
            budget = Budget.starting_from(step, timestep, episode, **budgets)
            run = TrainingRun(
                loop=loop,
                calls=self._training,
                scope=self._scope,
                memory=self.memory,
                checkpoints=self.checkpoints,
                budget=budget,
                hooks=[*default_hooks(self.config), *_hooks("training_hooks", self._training.hooks), *_hooks("hooks", hooks)],
                restored=restored,
                evaluate=self._evaluate,
                writer=self._writer,
                jit=self.config.jit,
                pretrain_updates=pretrain_updates,
            )
            write_params(self.model_dir, self.params.to_dict(), dataclasses.asdict(self.config))
            result = run.execute()
        logger.info("Training ended: %s. Checkpoint: %s", result.stop_reason, result.checkpoint)
        return result

    def _resume(self) -> dict[str, Any] | None:
        path = self.checkpoints.latest()
        if path is None:
            return None
        state = self.checkpoints.restore(path, self._scope, self.memory)
        if state["seed"] != self.config.seed:
            raise CheckpointMismatchError(
                f"{path} was trained with seed={state['seed']}, this run has seed={self.config.seed}; use the same, or "
                "another model_dir."
            )
        logger.info(
            "Resuming from %s: environment step %d, update %d, episode %d, %d transitions in memory.",
            path,
            state["global_timestep"],
            state["global_step"],
            state["global_episode"],
            int(self.memory.stored().numpy()),
        )
        return state

    # Evaluation and prediction. -----------------------------------------------------------------------------------------

    def evaluate(
        self,
        env: EnvLike,
        episodes: int = 100,
        checkpoint: str | os.PathLike[str] | None = None,
        name: str | None = None,
    ) -> dict[str, float]:
        """Runs greedy episodes with a checkpoint's weights, and writes the result to the TensorBoard run `eval`.

        Args:
            env: as for `train`; up to 20 instances of a `GymEnvironment` run side by side.
            episodes: how many episodes.
            checkpoint: `'latest'` (the default), `'best'`, or a checkpoint's path.
            name: writes to `eval_<name>` instead, to keep several evaluations apart.

        Returns:
            `mean_reward`, `std_reward`, `min_reward`, `max_reward`, `mean_ep_length`, `loss`, the metrics of
            `eval_metrics_config`, and `global_step`, `global_timestep`, `global_episode` of the checkpoint.

        Raises:
            NotTrainedError: if there is no such checkpoint.
        """
        check_int("episodes", episodes, minimum=1)
        path = self.checkpoints.find(checkpoint)
        run = "eval" if name is None else f"eval_{name}"
        result = self._evaluate(env, episodes, run, path)
        write_evaluation(self._writer(run), result)
        return result

    def predict(
        self,
        env: EnvLike,
        episodes: int | None = None,
        steps: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Acts by the policy of PREDICT mode, and yields one dict for each environment step.

        Args:
            env: as for `train`; one instance of a `GymEnvironment` is opened.
            episodes: ends after so many episodes.
            steps: ends after so many environment steps.
            checkpoint: `'latest'` (the default), `'best'`, or a checkpoint's path.

        Yields:
            The predictions for the row, `results` (the action), `q`, and so on, with `state` (and the other keys of a state
            that is a dict), `reward`, `done`, `truncated`, `episode`, `env` and `timestep`.

        Raises:
            NotTrainedError: if there is no such checkpoint.
        """
        for argument, value in (("episodes", episodes), ("steps", steps)):
            if value is not None:
                check_int(argument, value, minimum=1)
        path = self.checkpoints.find(checkpoint)
        return self._predict(env, episodes, steps, path)

    def record(self, env: EnvLike, episodes: int, checkpoint: str | os.PathLike[str] | None = None) -> Demonstrations:
        """Plays greedy episodes, as `evaluate` does, and gives them as demonstrations.

        Args:
            env: as for `train`; its rewards are those that a learner will learn from.
            episodes: how many.
            checkpoint: `'latest'` (the default), `'best'`, or a checkpoint's path.

        Raises:
            NotTrainedError: if there is no such checkpoint.
        """
        check_int("episodes", episodes, minimum=1)
        path = self.checkpoints.find(checkpoint)
        with self._evaluation(env, episodes, "recording", path) as driver:
            recorded = rollouts.record(self._rollouts, driver, episodes)
        return Demonstrations(recorded, str(path))

    def act(self, state: Any, checkpoint: str | os.PathLike[str] | None = None) -> Any:
        """The action of PREDICT mode's policy for one state (an int, or an array `[k]`) or a batch of states (`[B, ...]`).

        Trained on states that are dicts, it takes such, with the same keys; `action_mask` among them if there were masks.
        """
        path = self.checkpoints.find(checkpoint)
        states, single = batch_of_states("state", state, read_state(path)["state_spec"])
        clock = tf.constant(0, tf.int64)
        self._rollouts.build_prediction(states)
        self.checkpoints.restore_models(path, self._scope)
        actions = self._rollouts.predict(states, clock)["results"].numpy()
        if not single:
            return actions
        return int(actions[0]) if actions.ndim == 1 else actions[0]

    def _predict(self, env: EnvLike, episodes: int | None, steps: int | None, path: Path) -> Iterator[dict[str, Any]]:
        with open_env(env, num_envs=1, purpose="prediction") as vector:
            driver = EnvDriver(vector)
            state = driver.reset(self._seeds("prediction", driver, path))
            self._rollouts.build_prediction(state, driver.action_spec)
            self.checkpoints.restore_models(path, self._scope)
            yield from rollouts.predict(self._rollouts, driver, episodes, steps)

    def _evaluate(self, env: EnvLike, episodes: int, name: str = "evaluation", path: Path | None = None) -> dict[str, float]:
        """Evaluates a checkpoint, or without a path the weights as they are; `name` is that of the random stream."""
        with self._evaluation(env, episodes, name, path) as driver:
            result = rollouts.evaluate(self._rollouts, driver, episodes)
        scope = self._scope
        counters = {"step": scope.global_step, "timestep": scope.global_timestep, "episode": scope.global_episode}
        return {**result, **{f"global_{kind}": int(counter.numpy()) for kind, counter in counters.items()}}

    @contextlib.contextmanager
    def _evaluation(self, env: EnvLike, episodes: int, name: str, path: Path | None) -> Iterator[EnvDriver]:
        """The environments of an evaluation, just reset, with the weights of the checkpoint restored if there is a path."""
        with open_env(env, num_envs=min(episodes, EVALUATION_ENVS), purpose="evaluation") as vector:
            driver = EnvDriver(vector)
            state = driver.reset(self._seeds(name, driver, path))
            self._rollouts.build_evaluation(state, driver.action_spec)
            if path is not None:
                self.checkpoints.restore_models(path, self._scope)
            yield driver

    def _writer(self, run: str = "") -> tf.summary.SummaryWriter:
        """The writer of a TensorBoard run below `model_dir`, one for each: TensorBoard follows one file in a directory."""
        if run not in self._writers:
            self._writers[run] = tf.summary.create_file_writer(str(self.model_dir / run))
        return self._writers[run]

    def _timestep(self, path: Path | None) -> int:
        """Environment steps of a checkpoint, or without one those done."""
        return int(self._scope.global_timestep.numpy()) if path is None else int(read_state(path)["global_timestep"])

    def _seeds(self, stream: str, driver: EnvDriver, path: Path | None) -> list[int]:
        """One seed for each environment, other ones at another stage of training."""
        timestep = self._timestep(path)
        return [stream_seed(self.config.seed, f"{stream}/{timestep}/{index}")[0] for index in range(driver.num_envs)]


def _hooks(name: str, hooks: Sequence[Any]) -> Sequence[Hook]:
    for hook in hooks:
        if not isinstance(hook, Hook):
            raise TypeError(f"{name}: {hook!r} must be a Hook.")
    return hooks
