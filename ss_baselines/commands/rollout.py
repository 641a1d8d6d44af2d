"""``stateset-agents rollout``: an agent's episodes into a file, one JSON line each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ss_baselines.agents import AGENTS
from ss_baselines.commands.agents import accustomed_prompt, choose_agent
from ss_baselines.commands.envs import environment_keywords, make_environment
from ss_baselines.commands.folders import check_file
from ss_baselines.commands.partial_run import PartialRun
from ss_baselines.trajectories import Plan, check_plan, recorded
from ss_gym import __version__
from ss_gym.agents.checkpoint import MANIFEST, checkpoint_folder, locate
from ss_gym.wrappers import RecordedTrajectory
from ss_trainers.interruption import undisturbed


@dataclass(frozen=True, slots=True)
class RolloutOptions:
    """What to play, and where to write it.

    Attributes:
        env_id: the environment.
        agent: as of ``EvaluateOptions``.
        episodes: how many scenarios of the split, from the first; seeds, where the environment has no families.
        attempts: episodes of each scenario.
        split: train, dev or test.
        out: the file.
        temperature: of sampling, for models; None keeps what the checkpoint says, or 1.
        prompt: ``full`` or ``compact``; empty for what the model was trained with.
        batch: conversations at once.
        seed: of sampling, for models.
        user: who plays the customer; empty for the scripted ones.
        persona: how the customers are; empty for as they are drawn.
        resume: whether to go on with a run that was stopped.
    """

    env_id: str
    agent: str
    episodes: int
    attempts: int
    split: str
    out: Path
    temperature: float | None
    prompt: str
    batch: int
    seed: int
    user: str
    persona: str
    resume: bool


class RolloutSummary:
    """What a file of episodes holds in all; it forgets each episode once it is counted."""

    def __init__(self, episodes: Iterable[RecordedTrajectory] = ()) -> None:
        self.episodes = 0
        self._judged = self._successes = self._steps = self._told = self._tokens = 0
        self._rewards = 0.0
        for episode in episodes:
            self.add(episode)

    def add(self, episode: RecordedTrajectory) -> None:
        """Counts an episode."""
        self.episodes += 1
        self._steps += len(episode.actions)
        self._rewards += episode.total_reward
        if episode.success is not None:
            self._judged += 1
            self._successes += episode.success
        if episode.tokens is not None:
            self._told += 1
            self._tokens += sum(map(len, episode.tokens.logprobs))

    @property
    def success(self) -> str:
        """The share of the episodes that succeeded, of those whose environment tells."""
        return f"{self._successes / self._judged:.3f}" if self._judged else "-"

    def table(self, title: str) -> Table:
        """The numbers, for a rich console."""
        table = Table(title=title, title_justify="left", show_header=False, min_width=len(title))
        table.add_column()
        table.add_column(justify="right")
        table.add_row("episodes", f"{self.episodes:,}")
        table.add_row("success", self.success)
        table.add_row("return", f"{self._rewards / self.episodes:.3f}")
        table.add_row("steps", f"{self._steps / self.episodes:.2f}")
        table.add_row("sampled tokens", f"{self._tokens / self._told:.1f}" if self._told else "-")
        return table


def run_rollout(options: RolloutOptions) -> None:
    """Plays the episodes and writes the file, which is there once it is complete.

    Raises:
        ValueError: if the agent, the environment or the scenarios are not there, the file can't be written or is
            there already, or the run to go on with had other settings; before anything is played.
    """
    if options.attempts > 1 and (options.agent in AGENTS or options.temperature == 0):
        raise ValueError("attempts at a scenario would all be the same: they differ only where a model is sampled")
    plan = _plan(options)
    check_file(options.out)
    run, console = PartialRun(options.out, _settings(options, plan)), Console(stderr=True)
    if options.resume:
        summary = RolloutSummary(run.taken_up())
    else:
        run.check_new()
        summary = RolloutSummary()
    agent = choose_agent(options.agent, options.temperature, options.seed)
    try:
        with run, _progress(console) as progress, closing(recorded(agent, plan, summary.episodes)) as episodes:
            task = progress.add_task("episodes", total=len(plan), completed=summary.episodes, success=summary.success)
            for episode in episodes:
                with undisturbed():
                    run.append(episode)
                    summary.add(episode)
                progress.update(task, completed=summary.episodes, success=summary.success)
    except BaseException:
        if summary.episodes:
            kept = f"{summary.episodes} of {len(plan)} episodes are in '{run.partial}'"
            console.print(f"{kept}; go on with the same command and --resume", markup=False, soft_wrap=True)
        raise
    run.finish()
    Console().print(summary.table(f"{options.env_id} · {options.split} · {options.agent}"))
    console.print(f"written: {options.out}", markup=False, soft_wrap=True)


def _plan(options: RolloutOptions) -> Plan:
    """The episodes that are asked for, once it is sure that they can be played."""
    accustomed = accustomed_prompt(options.agent)
    keywords = environment_keywords(options.env_id, options.prompt, accustomed, options.user, options.persona)
    plan = Plan(
        env_id=options.env_id,
        env_kwargs=keywords,
        split=options.split,
        scenarios=options.episodes,
        attempts=options.attempts,
        batch=options.batch,
        seed=options.seed,
    )
    with closing(make_environment(options.env_id, **keywords)) as env:
        check_plan(plan, env)
    return plan


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, TextColumn("success {task.fields[success]}"), console=console)


def _settings(options: RolloutOptions, plan: Plan) -> Mapping[str, Any]:
    """All that the episodes depend on, ready for JSON."""
    folder = checkpoint_folder(options.agent)
    return {
        "version": __version__,
        "env": plan.env_id,
        "env_kwargs": plan.env_kwargs,
        "agent": options.agent,
        "checkpoint": hashlib.sha256((locate(folder) / MANIFEST).read_bytes()).hexdigest() if folder else None,
        "split": plan.split,
        "episodes": plan.scenarios,
        "attempts": plan.attempts,
        "temperature": options.temperature,
        "batch": plan.batch,
        "seed": plan.seed,
    }
