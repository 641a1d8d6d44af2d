"""Searches for settings: short runs of a trainer, of which those that promise little are cut short (Optuna)."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.table import Table

from ss_gym.agents import MultiTurnAgent
from ss_gym.whole_file import whole_file
from ss_trainers.algorithms.registry import algorithm_class, make_algorithm
from ss_trainers.config import TrainingConfig
from ss_trainers.environments import Environment
from ss_trainers.rollout import TextEnv
from ss_trainers.trainer import Trainer
from ss_trainers.training import Given, Rewarding, in_stoppable_thread, sampled_as, trained_model

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True, slots=True)
class Between:
    """A number from an interval.

    Attributes:
        low: the least.
        high: the greatest.
        log: drawn evenly by order of magnitude.
        whole: whole numbers only.

    Raises:
        ValueError: if there is nothing between them.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        """Refuse an interval that holds nothing."""
        if not (-math.inf < self.low < self.high < math.inf) or (self.log and self.low <= 0):
            raise ValueError(f"there is nothing to draw between {self.low} and {self.high}{' by log' * self.log}")


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of some values.

    Attributes:
        values: texts, numbers, booleans or None.

    Raises:
        ValueError: if there are fewer than two.
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        """Refuse what is no choice."""
        if len(self.values) < 2:
            raise ValueError(f"a choice has two values or more, got {self.values}")


Space = Mapping[str, Between | OneOf]

GRPO_SPACE: Space = {
    "learning_rate": Between(3e-5, 1e-3, log=True),
    "group_size": OneOf((4, 8, 16)),
    "temperature": Between(0.7, 1.2),
    "epochs": OneOf((1, 2)),
    "clip_high": OneOf((0.2, 0.28)),
    "kl_coefficient": OneOf((0.0, 0.01, 0.04)),
}
"""What is searched if nothing is said: settings of the engine and of GRPO."""


@dataclass(frozen=True)
class TrialResult:
    """One set of settings.

    Attributes:
        number: from 0.
        params: the settings that were tried, by name.
        value: the metric at its end; None if it failed.
        state: ``"complete"``, ``"pruned"`` (cut short; its value is the last that was seen) or ``"failed"``.
        error: why it failed.
    """

    number: int
    params: Mapping[str, Any]
    value: float | None
    state: Literal["complete", "pruned", "failed"]
    error: str = ""


@dataclass(frozen=True)
class SearchSummary:
    """What a search found.

    Attributes:
        metric: what was compared, the greater the better.
        best_params: the settings of the best complete trial.
        best_value: its metric.
        trials: all of them.
    """

    metric: str
    best_params: Mapping[str, Any]
    best_value: float
    trials: tuple[TrialResult, ...]

    def table(self) -> Table:
        """The trials, the best first, for a rich console."""
        table = Table(title=f"{len(self.trials)} trials by {self.metric}", title_justify="left")
        names = list(self.trials[0].params)
        for name in ("trial", self.metric, "", *names):
            table.add_column(name, justify="right" if name in ("trial", self.metric) else "left")
        for each in sorted(self.trials, key=lambda trial: -math.inf if trial.value is None else trial.value)[::-1]:
            value = "" if each.value is None else f"{each.value:.3f}"
            told = [
                f"{setting:.3g}" if isinstance(setting, float) else str(setting) for setting in each.params.values()
            ]
            table.add_row(str(each.number), value, each.state, *told)
        return table


async def quick_hpo(
    agent: MultiTurnAgent,
    environment: TextEnv | Environment,
    reward_function: Rewarding | None = None,
    base_config: TrainingConfig | None = None,
    n_trials: int = 30,
    *,
    algorithm: str = "grpo",
    space: Space | None = None,
    metric: str = "",
    prune: bool = True,
    save_path: str | Path | None = None,
    console: Console | None = None,
) -> SearchSummary:
    """Searches for settings, in a thread: each trial is a run as long as ``base_config`` says.

    Settings are proposed by a tree-structured Parzen estimator (Bergstra et al. 2011), and a trial whose metric falls
    below the median of the others' at the same iteration is cut short. Each trial plays as many episodes as
    ``base_config`` does, whatever its groups are, and is compared by an evaluation of the same episodes after it.
    With a ``save_path``, trials are kept there one by one: the same call goes on with a search that was stopped, but
    not with the very proposals that it would have made. The best settings are to be trained with once more and other
    seeds: the best of many trials looks better than it is.

    Args:
        agent: what training begins with, and how it samples.
        environment: one, which is copied, or an id, a spec or a function that makes one.
        reward_function: rewards what was said, in place of the environment's own reward, where there is one.
        base_config: the engine's settings but for those that are searched.
        n_trials: how many there are to be in all.
        algorithm: by its name in ``ss_trainers.algorithms.registry``.
        space: what is searched, by the names of settings of the engine and the algorithm; ``GRPO_SPACE`` as far as
            they have such settings if None.
        metric: of an evaluation, such as ``"return"``; success if the environment tells it, else the return.
        prune: whether trials are cut short.
        save_path: folder of the search; nothing is written if None.
        console: where a line a trial, and the table, are printed; none if None.

    Returns:
        what was found.

    Raises:
        ImportError: if Optuna is not installed (``pip install "stateset-gym[hpo]"``).
        ValueError: for unknown settings, or if the search in ``save_path`` is another.
        RuntimeError: if no trial could be completed.
        TypeError: if the agent's model can't be trained.
    """
    base = (base_config or TrainingConfig()).changed(**sampled_as(agent))
    search = _Search(agent, environment, reward_function, base, algorithm, space, metric, prune, save_path, console)
    return await in_stoppable_thread(lambda stop: search.run(n_trials, stop))


class _Search:
    """The trials of a search."""

    def __init__(
        self,
        agent: MultiTurnAgent,
        environment: TextEnv | Environment,
        reward_function: Rewarding | None,
        base: TrainingConfig,
        algorithm: str,
        space: Space | None,
        metric: str,
        prune: bool,
        save_path: str | Path | None,
        console: Console | None,
    ) -> None:
        self._model, self._made = trained_model(agent), Given(environment, reward_function)
        self._base, self._algorithm, self._metric = base, algorithm, metric
        self._own = {entry.name for entry in fields(algorithm_class(algorithm).config_class)}
        known = self._own | {entry.name for entry in fields(TrainingConfig)}
        self._space = {name: drawn for name, drawn in GRPO_SPACE.items() if name in known} if space is None else space
        unknown = [name for name in self._space if name not in known]
        if unknown or not self._space:
            raise ValueError(
                f"neither the engine nor {algorithm} has a setting {unknown[0]!r:.80}"
                if unknown
                else "nothing to search"
            )
        self._episodes = base.iterations * base.groups_per_iteration * base.group_size
        self._folder = None if save_path is None else Path(save_path)
        self._console = console
        self._study = self._opened(prune)

    def run(self, n_trials: int, stop: threading.Event) -> SearchSummary:
        """Runs the trials that are missing."""
        import optuna

        while len(self._done()) < n_trials and not stop.is_set():
            trial = self._study.ask(self._distributions())
            try:
                value, pruned = self._tried(trial, stop)
            except (ValueError, ArithmeticError) as error:  # settings that do not go together, or end in NaN
                trial.set_user_attr("error", f"{type(error).__name__}: {error}"[:500])
                self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                if stop.is_set():
                    self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
                    break
                state = optuna.trial.TrialState.PRUNED if pruned else optuna.trial.TrialState.COMPLETE
                trial.set_user_attr("value", value)
                self._study.tell(trial, None if pruned else value, state)
            self._tell(self._done()[-1])
        # Whoever stopped it does not wait for what it found.
        return SearchSummary(self._metric, {}, math.nan, ()) if stop.is_set() else self._summary()

    def _tried(self, trial: optuna.Trial, stop: threading.Event) -> tuple[float, bool]:
        """The metric of a trial, and whether it was cut short."""
        params = dict(trial.params)
        engine = {name: value for name, value in params.items() if name not in self._own}
        output = None if self._folder is None else str(self._folder / f"trial-{trial.number:03d}")
        training = self._base.changed(**{"num_episodes": self._episodes, **engine, "output_dir": output})
        chosen = make_algorithm(self._algorithm, {name: params[name] for name in params if name in self._own})
        trainer, cut = Trainer(self._made, self._model, chosen, training), False

        def watch(running: Trainer, metrics: Mapping[str, float]) -> bool:
            nonlocal cut
            trial.report(metrics[self._compared(metrics)], running.iteration)
            cut = cut or trial.should_prune()
            return cut or stop.is_set()

        try:
            last = trainer.train([watch])
            if cut:
                return last[self._compared(last)], True
            measured = trainer.evaluate().metrics
            return measured[self._compared(measured)], False
        finally:
            trainer.close()

    def _compared(self, metrics: Mapping[str, float]) -> str:
        """The name of what is compared.

        Raises:
            ValueError: if there is no such metric.
        """
        self._metric = self._metric or ("success" if "success" in metrics else "return")
        self._study.set_user_attr("metric", self._metric)
        if self._metric not in metrics:
            raise ValueError(f"there is no metric {self._metric!r:.80}: there are {', '.join(sorted(metrics))}")
        return self._metric

    def _opened(self, prune: bool) -> optuna.Study:
        """The study, with the trials of a search that was stopped."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = None
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._check(self._folder / "search.json")
            storage = f"sqlite:///{self._folder / 'trials.db'}"
        known = optuna.create_study(direction="maximize", study_name="search", storage=storage, load_if_exists=True)
        begun = len(known.trials)
        known.sampler = optuna.samplers.TPESampler(
            seed=self._base.seed + begun, n_startup_trials=max(5, len(self._space))
        )
        known.pruner = optuna.pruners.MedianPruner(n_startup_trials=4) if prune else optuna.pruners.NopPruner()
        return known

    def _check(self, file: Path) -> None:
        """Keeps what is searched beside the trials.

        Raises:
            ValueError: if they are of another search.
        """
        told = {
            "algorithm": self._algorithm,
            "model": self._model,
            "metric": self._metric,
            "space": {name: asdict(drawn) for name, drawn in self._space.items()},
            "training": {name: repr(value) for name, value in asdict(self._base).items()},
        }
        told = json.loads(json.dumps(told))
        if not file.exists():
            with whole_file(file) as stream:
                stream.write((json.dumps(told, indent=1) + "\n").encode())
            return
        before = json.loads(file.read_text(encoding="utf-8"))
        other = next((name for name in told if before.get(name) != told[name]), None)
        if other is not None:
            raise ValueError(f"the search in '{file.parent}' has another {other}: choose another save_path")

    def _distributions(self) -> dict[str, Any]:
        import optuna

        made: dict[str, Any] = {}
        for name, drawn in self._space.items():
            if isinstance(drawn, OneOf):
                made[name] = optuna.distributions.CategoricalDistribution(drawn.values)
            elif drawn.whole:
                made[name] = optuna.distributions.IntDistribution(int(drawn.low), int(drawn.high), log=drawn.log)
            else:
                made[name] = optuna.distributions.FloatDistribution(drawn.low, drawn.high, log=drawn.log)
        return made

    def _done(self) -> list[TrialResult]:
        """Those that ended; one that was interrupted is none."""
        states: dict[str, Literal["complete", "pruned", "failed"]]
        states = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
        return [
            TrialResult(
                number=each.number,
                params=dict(each.params),
                value=each.user_attrs.get("value"),
                state=states[each.state.name],
                error=each.user_attrs.get("error", ""),
            )
            for each in self._study.trials
            if each.state.name in states and ("value" in each.user_attrs or "error" in each.user_attrs)
        ]

    def _tell(self, result: TrialResult) -> None:
        if self._console is not None:
            value = result.error if result.value is None else f"{result.value:.3f}"
            told = f"trial {result.number}: {result.state}, {value}"
            self._console.print(told, markup=False, highlight=False)

    def _summary(self) -> SearchSummary:
        done = self._done()
        complete = [each for each in done if each.state == "complete" and each.value is not None]
        if not complete:
            reasons = "; ".join(dict.fromkeys(each.error for each in done if each.error)) or "none was run to its end"
            raise RuntimeError(f"no trial could be completed: {reasons}")
        best = max(complete, key=lambda each: each.value or 0.0)
        metric = str(self._study.user_attrs["metric"])
        summary = SearchSummary(metric, best.params, best.value or 0.0, tuple(done))
        if self._console is not None:
            self._console.print(summary.table())
        return summary
