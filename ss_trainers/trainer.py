"""The online loop: play episodes, score them, take a step, again."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from gymnasium.envs.registration import WrapperSpec
from rich.console import Console

from ss_gym.agents import AgentConfig, MultiTurnAgent
from ss_gym.agents.checkpoint import CHECKPOINT
from ss_gym.types import MultiTurnTrajectory
from ss_trainers.algorithms.policy_optimization import PolicyOptimization
from ss_trainers.asynchronous import RolloutsAhead
from ss_trainers.backends.models import lasting_location, load_model, merged
from ss_trainers.callbacks import Callback
from ss_trainers.checkpoint import TrainerState, read_state
from ss_trainers.config import TrainingConfig
from ss_trainers.continual.learning import ContinualLearning
from ss_trainers.continual.running import RunningTasks
from ss_trainers.continual.settings import ContinualConfig
from ss_trainers.critic import ValueNetwork, trainable
from ss_trainers.distributed import Workers
from ss_trainers.engine import EngineSetup, check_sampler
from ss_trainers.environments import Environment, naming, wrapped
from ss_trainers.episode_options import EpisodeOptions
from ss_trainers.experience import prepared, recent, token_batch
from ss_trainers.interruption import undisturbed
from ss_trainers.optimization import adamw, trainable_model
from ss_trainers.populations import Customers
from ss_trainers.ranks import Ranks, check_launcher, is_first, launched, own_device
from ss_trainers.reporter import Reporter
from ss_trainers.rollout import Episode, Rollouts
from ss_trainers.sampling import Sample, evaluation_episodes, sample, sampling_noise
from ss_trainers.saved_run import keep_base, recalled_run, run_settings, take_up, write_run
from ss_trainers.trackers import check_trackers
from ss_trainers.types import TokenBatch
from ss_trainers.update import Updater

_LOGGER = logging.getLogger(__name__)


class Trainer:
    """Trains a language model in a text environment, online.

    One iteration plays ``groups_per_iteration`` scenarios, ``group_size`` attempts each, and takes
    ``epochs`` optimizer steps on them. Scenarios, sampling noise and the learning rate follow from
    the seed and the iteration alone, so a run that is resumed goes on exactly (on a processor)
    where the checkpoint was made.

    Args:
        env: any Gymnasium environment whose observations and actions are strings: its id, its spec
            or a function that makes one.
        model: what to train, as in :func:`ss_trainers.backends.models.load_model`.
        algorithm: what is minimised.
        training: the engine's settings.
        env_kwargs: keyword arguments of the environment, for an id or a spec.
        env_wrappers: what is put around the environment of an id or a spec, outside the spec's own
            wrappers; checkpoints name those of Gymnasium and this package.
        console: where the progress bar is drawn; none if None.
        resume_from: a checkpoint to go on from; ``model`` is then what training began with.
        continual: the tasks that come one after the other, and what is done against forgetting; none if None.
        population: whom the agent meets in training, or its settings (``make_population``); who the seed draws if None.

    Attributes:
        training: as above; replayed attempts are weighed (``mismatch="truncate"``).
        algorithm: as above.
        continual: what is known of the tasks so far.
        iteration: iterations done.

    Raises:
        CheckpointError: if ``resume_from`` is missing or damaged.
        FileNotFoundError: if there is no such model.
        gymnasium.error.Error: if there is no such environment.
        ImportError: if the module of an id ``module:id`` can't be imported, or a tracker or sampler is not installed.
        RuntimeError: if there is too little shared memory for rollouts that run ahead.
        ValueError: for ``env_wrappers`` beside a function, or several ``workers`` or rollouts that run ahead
            under a launcher.
    """

    def __init__(
        self,
        env: Environment,
        model: str,
        algorithm: PolicyOptimization,
        training: TrainingConfig | None = None,
        *,
        env_kwargs: Mapping[str, Any] | None = None,
        env_wrappers: Sequence[WrapperSpec] = (),
        console: Console | None = None,
        resume_from: str | Path | None = None,
        continual: ContinualConfig | None = None,
        population: Customers | None = None,
    ) -> None:
        state = read_state(resume_from) if resume_from is not None else None
        self.training = training or TrainingConfig()
        check_launcher(self.training)
        check_trackers(self.training.trackers)
        check_sampler(self.training.sampler)
        self.algorithm = algorithm
        self.iteration = state.iteration if state is not None else 0
        kwargs = dict(env_kwargs or {})
        self._env_settings = naming(env, kwargs, env_wrappers)
        # Checkpoints name it, and are read from other working directories.
        self._base_model = model = lasting_location(model)
        if self.training.output_dir is not None:
            keep_base(Path(self.training.output_dir) / CHECKPOINT, model)
        device = own_device(self.training.device)
        self._console = console
        self._workers: Workers | Ranks | None = None
        self._saved: tuple[int, str] | None = None  # the last checkpoint: its iteration and folder
        loaded = merged(load_model(model, device)) if resume_from is None else load_model(str(resume_from), device)
        self._loaded = trainable_model(loaded, self.training)
        self._parameters = [parameter for parameter in self._loaded.model.parameters() if parameter.requires_grad]
        # Adapters or not, a critic is a model of its own: the one that training began with.
        self._critic = ValueNetwork(merged(load_model(model, device)).model) if algorithm.needs_critic else None
        critic = trainable(self._critic)
        self.continual = ContinualLearning(continual, self.training, algorithm, self._parameters)
        self.training = self.continual.training
        self._options = EpisodeOptions(self.training, self.continual.options_at, population)
        made_from, price = wrapped(env, env_wrappers), self.continual.config.continual_kl_beta
        self._setup = EngineSetup.of(self.training, device, made_from, kwargs, algorithm, model, price)
        self._optimizer = adamw(self._parameters, self.training, critic)
        self._updater = Updater(self.training, self._optimizer, self._parameters, critic, self.continual.pull)
        if state is not None:
            take_up(state, str(resume_from), self._optimizer, self._critic, algorithm)
            self._options.read(str(resume_from))
            self.continual.read(str(resume_from), self.iteration)
        # Agents have it, too, and go on learning.
        self._provenance = {
            "algorithm": algorithm.name,
            "base_model": model,
            "iteration": self.iteration,
            "training": self._settings(),
        }
        self._ahead: RolloutsAhead | None = None
        if self.training.rollout_lag:
            earlier = state.earlier if state is not None else {}
            self._ahead = RolloutsAhead(self._setup, self._loaded, self.training, self.iteration, earlier)

    def step(self) -> dict[str, float]:
        """Runs one iteration.

        Returns:
            its metrics by name.

        Raises:
            EpisodesFailedError: if the environment raised in every episode.
        """
        self._iterate(metrics := dict[str, float]())
        return metrics

    def _iterate(self, metrics: dict[str, float]) -> None:
        """Runs one iteration, and what is due between tasks; metrics are there as soon as they are known."""
        with self._all_or_nothing():
            # Before, too: a run may have been interrupted between its iteration and what was due then.
            metrics |= self.continual.settle(self.iteration, self._tasks())
            # Ctrl-C that has waited is raised where the stack is closed, and the iteration counts then.
            with ExitStack() as held, self.continual.all_or_nothing():
                metrics |= self._step(held)
            metrics |= self.continual.told()
            metrics |= self.continual.settle(self.iteration, self._tasks())

    def _step(self, held: ExitStack) -> dict[str, float]:
        """Runs one iteration; from the first change of the weights on, Ctrl-C waits for ``held`` to be closed."""
        config, start = self.training, time.perf_counter()
        taken = self._sample()
        played = time.perf_counter()
        taken.warn(self.iteration)
        metrics = taken.told()
        if self.algorithm.sampling_rounds > 1:
            metrics["sampling_rounds"] = float(taken.rounds)
        batch = self._batch(taken.kept, metrics, taken.policy_version)
        metrics["learning_rate"] = config.learning_rate_at(self.iteration)
        if batch is None:
            taken.warn_of_nothing(self.iteration)
            held.enter_context(undisturbed())
        else:
            critic_only = self.iteration < self.algorithm.critic_iterations
            metrics |= self._updater.update(batch, self._running(), self.iteration, held, critic_only)
        self.algorithm.observe(metrics)
        metrics |= self._options.learn(self.iteration, taken.played.trajectories)
        self.iteration += 1
        self._provenance["iteration"] = self.iteration
        updated = time.perf_counter()
        metrics["seconds/update"] = updated - played
        if self._ahead is not None:
            metrics["seconds/wait"] = played - start
        if batch is not None:
            trained = config.epochs * (int(batch.lengths.sum()) + len(batch.prefix))
            metrics["tokens_per_second/update"] = trained / (updated - played)
        return metrics

    def _sample(self) -> Sample:
        """What is played for an iteration: now, or by another process before."""
        if self._ahead is not None:
            return self._ahead.batch_of(self.iteration)
        training, demonstrator = self.training, self.algorithm.demonstrator
        temperature = training.temperature
        return sample(
            self.iteration,
            training,
            self.algorithm,
            lambda episodes, purpose: self._play(episodes, temperature, purpose, demonstrator),
            self._running().review,
            self._options,
        )

    def train(self, callbacks: Sequence[Callback] = ()) -> dict[str, float]:
        """Runs the iterations that are left, with evaluations, checkpoints and a progress bar.

        Ctrl-C ends it after saving a checkpoint, from which the run can be resumed; the iteration
        that was going on is then repeated.

        Args:
            callbacks: each gets the trainer and the metrics after each iteration; the run ends, as
                after its last iteration, when one says so. See :mod:`ss_trainers.callbacks`.

        Returns:
            the metrics of the last iteration.

        Raises:
            KeyboardInterrupt: after Ctrl-C, once the checkpoint is saved.
            EpisodesFailedError: if the environment raised in every episode of an iteration.
            CheckpointError: if a checkpoint could not be saved; the earlier one is intact.
        """
        config, metrics = self.training, dict[str, float]()
        directory = Path(config.output_dir) if config.output_dir is not None else None
        total = config.iterations
        # Of the processes of a launcher, one reports.
        folder, console, trackers = (directory, self._console, config.trackers) if is_first() else (None, None, ())
        reporting = Reporter(
            folder, total=total, iteration=self.iteration, console=console, trackers=trackers, settings=self._settings()
        )
        with reporting as reporter:
            try:
                self._caught_up(reporter)
                while self.iteration < total:
                    metrics = self._reported_iteration(reporter)
                    if directory is not None and config.save_every and self.iteration % config.save_every == 0:
                        self.save(directory / CHECKPOINT)
                    # All of them: one that keeps the best must not miss the last.
                    if any([callback(self, metrics) for callback in callbacks]):
                        break
            except KeyboardInterrupt:
                # Before anything else is closed, which may take its time.
                if directory is not None:
                    self.save(directory / CHECKPOINT)
                    _LOGGER.warning("interrupted after iteration %d; saved %s", self.iteration, directory / CHECKPOINT)
                raise
            finally:
                if self._ahead is not None:
                    self._ahead.close()  # what it is playing is for nobody now
            if directory is not None:
                self.save(directory / CHECKPOINT)
        return metrics

    def _reported_iteration(self, reporter: Reporter) -> dict[str, float]:
        """An iteration and the evaluation that may follow it; what was measured is reported whatever happens then."""
        config, done, metrics = self.training, self.iteration, dict[str, float]()
        try:
            self._iterate(metrics)
            if config.eval_every and self.iteration % config.eval_every == 0:
                metrics |= self._evaluated()
        finally:
            if self.iteration > done:
                with undisturbed():
                    reporter.report(self.iteration, metrics)
        return metrics

    def _caught_up(self, reporter: Reporter) -> None:
        """Does what an interrupted run did not come to between two iterations, or after the last."""
        with self._all_or_nothing():
            metrics = self.continual.settle(self.iteration, self._tasks()) if self.iteration else {}
            if self._options.due(self.iteration):
                metrics |= self._evaluated()
        if metrics:
            reporter.report(self.iteration, metrics)

    def _evaluated(self) -> dict[str, float]:
        """An evaluation, of which the population is told."""
        measured = self.evaluate().metrics
        self._options.evaluated(self.iteration, measured)
        return {f"eval/{name}": value for name, value in measured.items()}

    def evaluate(
        self, episodes: Sequence[Episode] | None = None, *, temperature: float | None = None, seed: int = 0
    ) -> Rollouts:
        """Plays episodes without learning from them.

        Args:
            episodes: what to play; by default ``eval_episodes`` seeds with ``eval_options``, always
                the same ones.
            temperature: of the sampling, 0 for greedy; that of training by default.
            seed: of the sampling noise.
        """
        config = self.training
        if episodes is None:
            episodes = evaluation_episodes(config)
        with self._all_or_nothing():
            return self._play(episodes, config.temperature if temperature is None else temperature, f"evaluate {seed}")

    def save(self, folder: str | Path, metrics: Mapping[str, float] | None = None) -> None:
        """Writes a checkpoint, replacing the folder as a whole; of the processes of a launcher, the first does.

        It holds the model in the form that transformers or ``peft`` read, the tokenizer, and what
        ``resume`` needs.

        Args:
            folder: the checkpoint's.
            metrics: figures that the checkpoint shall tell of itself.

        Raises:
            CheckpointError: if it cannot be written, or would take the place of the model that training
                began with; what was there before is intact.
        """
        keep_base(folder, self._base_model)
        if isinstance(self._workers, Ranks):
            self._workers.wait()
        if not is_first():
            return
        earlier = self._ahead.earlier(self.iteration) if self._ahead is not None else {}
        state = TrainerState(
            self.iteration, self._settings(), self._optimizer.state_dict(), dict(self.algorithm.state()), earlier
        )
        told = {**self._provenance, **({"metrics": dict(metrics)} if metrics else {})}
        with undisturbed():
            write_run(
                folder, self._loaded, self._critic, state, self._agent_config(), told, (self._options, self.continual)
            )
        self._saved = self.iteration, str(Path(folder).absolute())

    def agent(self) -> MultiTurnAgent:
        """The agent as it is now; it goes on learning if training does.

        Its model is named by the checkpoint of the run, where that is of this iteration, else by what training
        began with. What it tells of itself when it is saved is of its weights then.
        """
        named = self._base_model if self._saved is None or self._saved[0] != self.iteration else self._saved[1]
        config = replace(self._agent_config(), model_name=named, device=self.training.device)
        agent = MultiTurnAgent(config, self._running().engine.backend)
        agent.provenance = self._provenance
        return agent

    def _agent_config(self) -> AgentConfig:
        told, model = self.training, self._base_model
        return AgentConfig(model, told.max_new_tokens, told.temperature, told.system_prompt, seed=told.seed)

    def close(self) -> None:
        """Ends other processes and closes the environments; they start again when they are needed."""
        if self._ahead is not None:
            self._ahead.close()
        if self._workers is not None:
            workers, self._workers = self._workers, None
            workers.close()

    def _running(self) -> Workers | Ranks:
        if self._workers is None:
            if launched() > 1:
                self._workers = Ranks(self._setup, self._loaded, self._critic)
            else:
                self._workers = Workers(self._setup, self._loaded, self.training.workers, self._critic)
            if self.continual.previous is not None:
                self._workers.hold(self.continual.previous)
        return self._workers

    def _tasks(self) -> RunningTasks:
        return RunningTasks(self.training, self._running(), self._play)

    def _play(
        self, episodes: Sequence[Episode], temperature: float, purpose: str, demonstrator: str | None = None
    ) -> Rollouts:
        """Plays episodes with sampling noise that follows from the seed, the iteration and the purpose."""
        running = self._running()
        noise = sampling_noise(self.training, purpose, self.iteration, running.count)
        return running.play(episodes, temperature, noise, demonstrator)

    def _batch(
        self, trajectories: Sequence[MultiTurnTrajectory], metrics: dict[str, float], version: int | None = None
    ) -> TokenBatch | None:
        """What is trained on; None if there is nothing to learn from."""
        batch = token_batch(self.continual.batch_of(self.iteration, trajectories), version)
        if batch is not None and self._ahead is not None:
            batch = recent(batch, self.iteration, self.training, metrics)
        learnt, held = self.continual.learnt, self.continual.previous is not None
        return batch and prepared(batch, self.algorithm, self._running(), self.training, metrics, learnt, held)

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Ends the other processes if the block fails: they may be in the middle of their part."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _settings(self) -> dict[str, Any]:
        made = self._env_settings, self._base_model, self.algorithm, self.training, self.continual
        return run_settings(*made, self._options.settings)

    @classmethod
    def resume(
        cls,
        folder: str | Path,
        *,
        env: Environment | None = None,
        training: Mapping[str, Any] | None = None,
        console: Console | None = None,
        population: Customers | None = None,
    ) -> Self:
        """The trainer that saved a checkpoint, as it was then.

        Args:
            folder: the checkpoint.
            env: the environment, for runs whose environment a checkpoint can't name: a function, a spec
                with other changes than keywords and wrappers, or with wrappers of other packages. An id
                keeps the run's keywords and wrappers; a spec and a function bring their own.
            training: settings of the engine that are to change, such as ``iterations``.
            console: where the progress bar is drawn; none if None.
            population: of runs that were given one, made as it was at the beginning; settings are in the checkpoint.

        Raises:
            CheckpointError: if the checkpoint is missing, damaged or another algorithm's, or its
                environment or algorithm is not known here and ``env`` is not given.
            ValueError: if ``training`` has an unknown or wrong setting, or the population is another.
        """
        run = recalled_run(folder, env, training, population)
        return cls._resumed(run.env, run.model, run.algorithm, run.training, console=console, **run.options)

    @classmethod
    def _resumed(cls, env: Environment, model: str, algorithm: PolicyOptimization, *rest: Any, **options: Any) -> Self:
        return cls(env, model, algorithm, *rest, **options)
