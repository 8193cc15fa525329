"""`Agent`: trains, evaluates and predicts with a `model_fn`, all state in one `model_dir`."""

from __future__ import annotations

import dataclasses
import logging
import os
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from polyrl.engine.compiler import Compiler
from polyrl.envs.compiled import CompiledEnvironment
from polyrl.envs.described import described
from polyrl.envs.gym import EnvLike
from polyrl.estimators import tf_config
from polyrl.estimators.budget import Budget, warn_of_budgets
from polyrl.estimators.checkpoints.claims import claimed
from polyrl.estimators.checkpoints.exactness import circumstances, promise
from polyrl.estimators.checkpoints.manager import CheckpointManager
from polyrl.estimators.checkpoints.overwriting import set_aside_run
from polyrl.estimators.checkpoints.params import check_same_params, frozen_params, write_params
from polyrl.estimators.checkpoints.resuming import resume
from polyrl.estimators.checkpoints.saving import Saver
from polyrl.estimators.checkpoints.variables import WarmStartSettings, warm_start, warm_start_settings
from polyrl.estimators.evaluated_on import check_evaluated_on
from polyrl.estimators.events import EventFiles
from polyrl.estimators.hooks import Hook, checked_hooks, default_hooks
from polyrl.estimators.hooks.evaluation import evaluated_on
from polyrl.estimators.hooks.progress import write_line
from polyrl.estimators.loops import opening
from polyrl.estimators.loops.graph_driver import GraphDriver
from polyrl.estimators.loops.learner import Learner
from polyrl.estimators.model_errors import UsersLines
from polyrl.estimators.model_fn import bind, takes_params
from polyrl.estimators.names import AGENT, METHODS, check_train
from polyrl.estimators.prediction.predictor import Predictor
from polyrl.estimators.prediction.readers import Readers
from polyrl.estimators.prediction.reading import Reading
from polyrl.estimators.run_config import RunConfig
from polyrl.estimators.strategies import strategy_of
from polyrl.estimators.strategies.taking_part import followed, led
from polyrl.estimators.strategies.workers import Workers
from polyrl.estimators.threads import use_threads
from polyrl.estimators.training import TrainingRun
from polyrl.estimators.training_result import TrainingResult
from polyrl.models.scope import Scope
from polyrl.paths import resolved_directory
from polyrl.replay import Replay
from polyrl.spec import EstimatorSpec
from polyrl.validation import ExplainsMissing, check_bool, explains, explains_missing, keyword_names

logger = logging.getLogger("polyrl")


@explains_missing(METHODS)
@explains(AGENT)
class Agent(Reading, metaclass=ExplainsMissing):
    """Acts, stores, learns; evaluates and predicts.

    Args:
        model_fn: `model_fn(features, labels[, mode][, params][, config]) -> EstimatorSpec`. It is called again for each mode;
            what it builds is found again, see `polyrl.models.Scope`.
        memory: the replay memory.
        model_dir: where checkpoints and summaries go; a new temporary directory by default. If it holds a checkpoint,
            `train` resumes from there. `~` is the home directory; `os.chdir` does not move it afterwards.
        config: seed and housekeeping, `RunConfig()` by default.
        params: a dict of hyper-parameters for `model_fn`; it gets them as a frozen ConfigDict (`params.learning_rate`):
            numbers, strings, bools and None, and lists (as tuples) and dicts of these. NumPy's values become Python's.
        warm_start_from: a checkpoint whose weights a new run begins with: its path, the `model_dir` of its run, or a
            `WarmStartSettings` that says which weights. A run that is resumed goes on with its own.

    Attributes:
        checkpoints: those in `model_dir`: `checkpoints.best()` and `checkpoints.latest()` are paths, or None.

    Raises:
        TypeError: for an argument of another type; of `params`, the message names the key.
        ValueError: for NaN or infinity in `params`, or if the environment variable `TF_CONFIG` describes a cluster of several
            processes that train, and `config.strategy` is not `'multi_worker'`; or for what does not fit a strategy.
        NotADirectoryError: if `model_dir` is a file.
    """

    def __init__(
        self,
        model_fn: Callable[..., EstimatorSpec],
        memory: Replay,
        model_dir: str | os.PathLike[str] | None = None,
        config: RunConfig | None = None,
        params: Mapping[str, Any] | None = None,
        warm_start_from: str | os.PathLike[str] | WarmStartSettings | None = None,
    ):
        if not isinstance(memory, Replay):
            raise TypeError(f"memory={memory!r} must be a replay memory, as UniformReplay(50_000, 32) makes one.")
        if config is not None and not isinstance(config, RunConfig):
            raise TypeError(f"config={config!r} must be a RunConfig.")
        self.config = RunConfig() if config is None else config
        tf_config.note(self.config.strategy)
        use_threads(self.config.threads)
        evaluates = tf_config.task(self.config.strategy) == tf_config.EVALUATOR
        self._tell = write_line if self.config.progress else logger.info
        self._strategy = None if evaluates else strategy_of(self.config.strategy, memory, self._tell)
        self.params = frozen_params(params)
        where = tempfile.mkdtemp(prefix="polyrl-") if model_dir is None else model_dir
        self.model_dir = resolved_directory("model_dir", where)
        self.memory = memory
        self.checkpoints = CheckpointManager(self.model_dir, self.config.keep_checkpoint_max, self.config.save_replay)
        self._warm_start = warm_start_settings(warm_start_from)
        self._model_fn = bind(model_fn, self.params, self.config)
        if len(self.params) > 0 and not takes_params(model_fn):
            logger.warning("model_fn takes no argument 'params': they are noted in params.json, and change no model.")
        self._scope = Scope(self.config.seed, xla=self.config.jit != "off")
        self._learner = Learner(self._model_fn, self._scope, memory, self._strategy)
        self._compiler = Compiler(self._tell)
        self._training = threading.Lock()
        self._live = Predictor(self._model_fn, self._scope, self.config.jit != "off")
        self._readers = Readers(self.checkpoints, self._new_predictor)
        self._drivers: dict[int, tuple[CompiledEnvironment, GraphDriver]] = {}
        self._events = EventFiles(self.model_dir, training=False)
        self._training_events = EventFiles(self.model_dir, training=True)

    # Training. ----------------------------------------------------------------------------------------------------------

    def train(
        self,
        env: EnvLike,
        *positional: NoReturn,
        first_update: int = 1_000,
        update_frequency: int = 1,
        updates_at_once: int = 1,
        steps: int | None = None,
        max_steps: int | None = None,
        episodes: int | None = None,
        max_episodes: int | None = None,
        timesteps: int | None = None,
        max_timesteps: int | None = None,
        hooks: Sequence[Hook] | None = None,
        pretrain_updates: int = 0,
        overwrite: bool = False,
        warm_start_from: str | os.PathLike[str] | WarmStartSettings | None = None,
        **unknown: NoReturn,
    ) -> TrainingResult:
        """Trains until a budget is used up or a hook asks for a stop; resumes from the newest checkpoint, if there is one.

        With several budgets the first to be reached ends the run; with none it ends by hook or by signal only. SIGINT, SIGTERM
        and SIGHUP end it cleanly. A checkpoint is written at the end, and when an environment fails.

        Args:
            env: a `GymEnvironment` or another `Environment`, an id or `EnvSpec`, or an open gymnasium environment, single
                or vector. A `CompiledEnvironment` runs in the graph, together with the learning.
            first_update: environment steps before the first update.
            update_frequency: environment steps between updates after that.
            updates_at_once: updates at each of these times; more of them, with a larger `update_frequency`, learn in bursts.
            steps: gradient updates from here on.
            max_steps: gradient updates in all.
            episodes: episodes from here on.
            max_episodes: episodes in all.
            timesteps: environment steps from here on, summed over parallel environments.
            max_timesteps: environment steps in all.
            hooks: run after those that the agent attaches itself, and the model's `training_hooks`; None means no hooks.
            pretrain_updates: gradient updates on the memory's demonstrations alone, before the first environment step. They
                count in `global_step`; a run that was interrupted in them resumes with those that are left.
            overwrite: begin again where `model_dir` holds a run, which is moved into `replaced-<number>` there: once the
                environment is open and the model is built, so that a mistake in them leaves it where it is.
            warm_start_from: in place of the agent's.

        Raises:
            ValueError: for budgets that are not positive or contradict each other, or `pretrain_updates` without
                demonstrations, or more of them than a run has done that is past pre-training.
            CheckpointMismatchError: if `model_dir` holds a checkpoint that does not fit.
            NonFiniteError: for NaN or infinity in observation, reward or loss.
            BrokenEnvironmentError: if an environment in a process of its own fails. The run was saved before.
            LostWorkerError: with `strategy='multi_worker'`, if another process of the cluster is gone.
            RuntimeError: if this agent is training already (a hook calls this), or another run trains in the same `model_dir`.
        """
        check_train(positional, unknown, keyword_names(self.train))
        tf_config.check_trains(self.config.strategy)
        budgets = Budget.validate(
            steps=steps,
            max_steps=max_steps,
            episodes=episodes,
            max_episodes=max_episodes,
            timesteps=timesteps,
            max_timesteps=max_timesteps,
        )
        schedule = opening.update_schedule(first_update, update_frequency, updates_at_once)
        pretrain_updates = opening.checked_pretraining(pretrain_updates, self.memory)
        hooks = checked_hooks("hooks", hooks)
        settings = warm_start_settings(warm_start_from) or self._warm_start
        if isinstance(self._strategy, Workers) and not self._strategy.leads:
            with UsersLines(), opening.one_run(self._training):
                return followed(self._strategy, self._learner, self._tell)
        if not check_bool("overwrite", overwrite):
            check_same_params(self.model_dir, self.params.to_dict())
        # An error may have ended the last run with values that only its calls know; they come before those restored.
        self._compiler.write_back()
        begin = opening.begins_at(self.checkpoints, self._scope, overwrite)
        opened = opening.open_loop(env, self._learner, self._compiler, schedule, begin, self.config, self._graph_driver)
        with UsersLines(), opening.one_run(self._training), claimed(self.model_dir) as is_there, opened as loop:
            loop.build()
            check_evaluated_on(evaluated_on([*self._learner.hooks, *hooks]), loop.spaces)
            opening.check_pretrained_models(pretrain_updates, self._scope.learners())
            warn_of_budgets(budgets, begin, schedule, pretrain_updates, loop.num_envs)
            now = circumstances(self.config, described(env), 1 if self._strategy is None else self._strategy.count)
            warn = self._tell if self.config.progress else logger.warning
            if settings is not None:  # It may read the run that is moved.
                resumes = not overwrite and self.checkpoints.latest() is not None
                self._tell(settings.without_effect(self.model_dir) if resumes else warm_start(self._scope, settings))
            if overwrite and (aside := set_aside_run(self.model_dir)) is not None:
                self._tell(f"overwrite: what {self.model_dir} held is in {aside} now.")
            restored = resume(self.checkpoints, self._scope, self.memory, loop, now, self._tell, warn)
            saver = Saver(self.checkpoints, self._scope, self.memory, loop, now, self._training_events, is_there)
            run = self._run(saver, restored, budgets, hooks, pretrain_updates, untrained=settings is None)
            self._training_events.truncate({} if restored is None else restored["events"])
            self._tell(promise(self.config, loop, self._learner.unsaved_draws))
            if (advice := self._learner.advice_on_threads()) is not None:
                self._tell(advice)
            jit = self.config.jit if self._strategy is None else "off"
            with led(self._strategy, self._learner, self._tell) as ended_with:
                with run.session():
                    write_params(self.model_dir, self.params.to_dict(), dataclasses.asdict(self.config))
                    while run.pretraining:
                        loop.prepare(run.known_updates, jit)
                        updates = run.next_pretraining_updates()
                        run.record_pretraining(updates, loop.learn(updates))
                    if run.running:
                        loop.prepare(run.known_updates, jit)
                        run.actions = loop.start(run.timestep)
                    while run.running:
                        if not loop.xla:
                            loop.prepare(run.known_updates, jit)
                        run.record(loop.advance(run.timestep, run.remaining, run.wants_summaries))
                        if run.restarts and run.running:
                            run.actions = loop.start(run.timestep)
                result = run.result()
                ended_with(result)
        self._tell(f"Training ended: {result.stop_reason}. Checkpoint: {result.checkpoint}")
        return result

    def _run(
        self,
        saver: Saver,
        restored: dict[str, Any] | None,
        budgets: dict[str, int | None],
        hooks: Sequence[Hook],
        pretrain_updates: int,
        untrained: bool,
    ) -> TrainingRun:
        """What a call of `train` has done so far, and what its hooks see."""
        counters = (self._scope.global_step, self._scope.global_timestep, self._scope.global_episode)
        step, timestep, episode = (int(counter.numpy()) for counter in counters)
        opening.check_pretraining_is_first(pretrain_updates, step, timestep, self.model_dir)
        others = [*checked_hooks("training_hooks", self._learner.hooks), *saver.loop.hooks, *hooks]
        own = default_hooks(self.config, self.memory, self._learner, self.params, saver.loop.updates, untrained, others)
        return TrainingRun(
            saver=saver,
            restart_every=self.config.save_checkpoints_timesteps if self.config.exact_resume else 0,
            budget=Budget.starting_from(step, timestep, episode, **budgets),
            hooks=[*own, *others],
            restored=restored,
            evaluate=self._evaluate_present,
            play=self._live.evaluate_while,
            summary_options=self._learner.summary_options,
            pretrain_updates=pretrain_updates,
        )

    # Parts. -------------------------------------------------------------------------------------------------------------

    def _new_predictor(self) -> Predictor:
        return Predictor(self._model_fn, Scope(self.config.seed, self._scope.xla), self._scope.xla)

    def _evaluate_present(self, env: EnvLike, episodes: int, name: str | None, check: Callable[[], None]) -> dict[str, float]:
        """Evaluates the weights of training as they are, and writes the result to TensorBoard."""
        run = "evaluation" if name is None else f"eval_{name}"
        result = self._live.evaluate_while(env, episodes, run, check)
        self._training_events.write_evaluation("" if name is None else run, result)
        if self._learner.support is not None and (found := self._live.begun_distributions()) is not None:
            self._training_events.write_distributions("" if name is None else run, *found, step=result["global_timestep"])
        return result

    def _graph_driver(self, env: CompiledEnvironment) -> GraphDriver:
        """The driver of an in-graph environment, the same one for the same environment: what is compiled can be used again."""
        if id(env) not in self._drivers:
            self._drivers[id(env)] = (env, GraphDriver(env, self._scope))
        return self._drivers[id(env)][1]
