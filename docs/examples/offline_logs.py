"""Plays a mixture of agents and logs what they do, and how likely it was: data for offline learning and evaluation.

    python docs/examples/offline_logs.py --out refund.jsonl                                # 2,000 refunds of a mixture
    python docs/examples/offline_logs.py --out refund.jsonl --resume                       # go on after Ctrl-C
    python docs/examples/offline_logs.py --out retail.jsonl --env StateSet/Retail-v0 --episodes 20000
    python docs/examples/offline_logs.py --out lenient.jsonl --shares lenient=0.8 tiny=0.2 --attempts 4
    python docs/examples/offline_logs.py --report refund.jsonl                             # the table of what is there

``ConversationDataset.from_jsonl`` reads the file. ``metadata["agent"]`` tells who played, and ``behavior_logprobs`` how
likely each action was to that agent: of tokens for models; of the decisions before it for the presets of
``ss_baselines.agents.wavering``, whose ``metadata["decisions"]`` tell for each action which they were and whether they
went right; 0 for all other scripts, which always do the same. Who plays an episode, and at which scenario of the train
split, depends on the seed and the episode's number alone, so a run that goes on makes the same file. Attempts at a
scenario have the same customer: agents that always do the same then play the same episode again.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import sys
import time
from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

# Before torch is loaded: spinning threads slow each other down on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

import ss_gym
from ss_baselines.agents import AGENTS, Agent, ScriptedAgent
from ss_baselines.agents.scripted import ScriptFactory
from ss_baselines.agents.wavering import PRESETS, Decision, WaveringScript
from ss_baselines.commands.agents import check_model_name, choose_agent
from ss_baselines.commands.envs import keyword_names, make_environment
from ss_baselines.commands.folders import check_file
from ss_baselines.commands.partial_run import PartialRun
from ss_baselines.lanes import Start, in_order, play
from ss_baselines.statistics import proportion
from ss_baselines.trajectories import RecordingLane, Sampler, sampler_of
from ss_gym.agents import MultiTurnAgent
from ss_gym.agents.checkpoint import MANIFEST, checkpoint_folder, locate
from ss_gym.datasets import LoggedConversation, read_conversations
from ss_gym.datasets.conversation import pair_of
from ss_gym.families.splits import TRAIN_SIZE
from ss_gym.rewards.function import is_finite
from ss_gym.scenarios import scenario_id
from ss_gym.streams import Stream
from ss_gym.types import Completion
from ss_gym.wrappers import RecordedTrajectory
from ss_trainers.interruption import undisturbed

REFUND = "StateSet/Refund-v0"
PROMPT = {"prompt": "compact"}  # what the tiny agent reads
# Good and bad behaviour, both often: also what succeeds by luck, and what fails although it was careful.
SHARES = {
    "careful": 0.15,
    "hasty": 0.15,
    "lenient": 0.2,
    "strict": 0.1,
    "careless": 0.15,
    "rule_bot": 0.05,
    "always_grant": 0.1,
    "tiny": 0.1,
}
LANES = 64  # conversations that a model has at once
BLOCK = 2_048  # episodes of which those of a model share their sampling noise, and are played as a whole


@dataclass(frozen=True, slots=True)
class LogPlan:
    """Which episodes to play.

    Attributes:
        env_id: an environment of a family.
        shares: of the episodes that each agent plays, by its name; they add up to 1.
        episodes: how many.
        attempts: episodes at a scenario, one after the other.
        seed: of agents, scenarios, decisions and sampling.
        family: of the environment.

    Raises:
        ValueError: if one of them can't be.
    """

    env_id: str
    shares: Mapping[str, float]
    episodes: int
    attempts: int = 1
    seed: int = 0
    family: str = field(init=False)

    def __post_init__(self) -> None:
        for name in ("episodes", "attempts"):
            if (value := getattr(self, name)) < 1:
                raise ValueError(f"{name} must be a whole number from 1 up, got {value}")
        for agent, share in self.shares.items():
            if not is_finite(share) or not 0 < share <= 1:
                raise ValueError(
                    f"the share of {agent!r:.80} must be a number above 0 and at most 1, got {share!r:.40}"
                )
            if agent not in PRESETS and agent not in AGENTS:
                check_model_name(agent, (*PRESETS, *AGENTS))
        if abs((total := math.fsum(self.shares.values())) - 1) > 1e-6:
            raise ValueError(f"the shares of the agents must add up to 1, got {total:g}")
        if "prompt" not in (keyword_names(self.env_id) or ()):
            raise ValueError(f"{self.env_id} has no scenarios of a shop: name an environment such as {REFUND}")
        with closing(make_environment(self.env_id, **PROMPT)) as env:
            family = env.unwrapped.get_wrapper_attr("family")
        object.__setattr__(self, "family", family)

    def agent(self, number: int) -> str:
        """Who plays an episode."""
        return Stream(self.seed, "agent", number).weighted([*self.shares], [*accumulate(self.shares.values())])

    def start(self, number: int) -> Start:
        """How an episode begins."""
        index = Stream(self.seed, "scenario", number // self.attempts).below(TRAIN_SIZE)
        return Start(options={"scenario_id": scenario_id(self.family, "train", index)})


# --- playing ----------------------------------------------------------------------------------------


def load(plan: LogPlan) -> dict[str, Agent]:
    """The agents of a plan by name; presets need none.

    Raises:
        FileNotFoundError: if a model is not there.
        ImportError: if one is asked for and the extra ``train`` is not installed.
    """
    return {name: choose_agent(name, None, plan.seed) for name in plan.shares if name not in PRESETS}


def played(plan: LogPlan, agents: Mapping[str, Agent], first: int = 0) -> Generator[LoggedConversation, None, None]:
    """The episodes of a plan in their order, from one on."""
    models = {name: agent for name, agent in agents.items() if isinstance(agent, MultiTurnAgent)}
    scripts = {name: agent.start for name, agent in agents.items() if isinstance(agent, ScriptedAgent)}
    with ExitStack() as opened:

        def lane(sampler: Sampler | None = None) -> RecordingLane:
            env = opened.enter_context(closing(make_environment(plan.env_id, **PROMPT)))
            return RecordingLane(env, plan.env_id, sampler)

        samplers = {name: sampler_of(model) for name, model in models.items()}
        lanes = {name: [lane(samplers[name]) for _ in range(min(LANES, plan.episodes))] for name in models}
        desk = lane()
        for begin in range(first - first % BLOCK, plan.episodes, BLOCK):
            block = {number: plan.agent(number) for number in range(begin, min(begin + BLOCK, plan.episodes))}
            sampled = {}
            for name, model in models.items():
                if (sampler := samplers[name]) is not None:
                    sampler.seed(Stream(plan.seed, name, begin).below(2**63))
                starts = [plan.start(number) for number, player in block.items() if player == name]
                sampled[name] = in_order(play(model, lanes[name], starts))
            for number, name in block.items():
                # What a model played before the first is played again, since the noise of the others follows from it.
                record = next(sampled[name]) if name in models else None
                if number < first:
                    continue
                if record is not None:
                    yield LoggedConversation(str(number), record, record.scenario_id, metadata={"agent": name})
                elif name in PRESETS:
                    script = partial(WaveringScript, rates=PRESETS[name], seed=plan.seed, episode=number)
                    yield scripted(desk, plan, number, script)
                else:
                    yield scripted(desk, plan, number, scripts[name])


def scripted(lane: RecordingLane, plan: LogPlan, number: int, factory: ScriptFactory) -> LoggedConversation:
    """An episode of a script."""
    lane.begin(plan.start(number))
    script, seen = factory(lane.conversation.system_prompt), 1
    wavering = script if isinstance(script, WaveringScript) else None
    logprobs: list[float] = []
    decisions: list[list[Decision]] = []
    record: RecordedTrajectory | None = None
    while record is None:
        action = script.step(lane.conversation[seen:])
        seen = len(lane.conversation)
        logprobs.append(wavering.action_logprob if wavering else 0.0)
        decisions.append(wavering.decisions if wavering else [])
        record = lane.step(Completion(action))
    told: dict[str, Any] = {"decisions": decisions} if wavering else {}
    return LoggedConversation(
        id=str(number),
        episode=record,
        scenario=record.scenario_id,
        action_logprobs=tuple(logprobs),
        metadata={"agent": plan.agent(number), **told},
    )


def write(plan: LogPlan, out: Path, resume: bool, console: Console) -> None:
    """Plays the episodes and writes the file, which is there once it is complete.

    Raises:
        ValueError: if the file can't be written or is there already, or the run to go on with had other settings.
    """
    check_file(out)
    run, done = PartialRun(out, settings(plan)), 0
    if resume:
        done = sum(1 for _ in run.taken_up())
    else:
        run.check_new()
    agents = load(plan)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with run, Progress(*columns, console=console) as progress, closing(played(plan, agents, done)) as episodes:
            task = progress.add_task("episodes", total=plan.episodes, completed=done)
            for conversation in episodes:
                with undisturbed():
                    run.append(conversation)
                    done += 1
                progress.update(task, completed=done)
    except BaseException:
        if done:
            kept = f"{done} of {plan.episodes} episodes are in '{run.partial}'"
            console.print(f"{kept}; go on with the same command and --resume", markup=False, soft_wrap=True)
        raise
    run.finish()


def settings(plan: LogPlan) -> dict[str, Any]:
    """All that the episodes depend on, ready for JSON."""
    checkpoints = {name: folder for name in plan.shares if (folder := checkpoint_folder(name)) is not None}
    return {
        "version": ss_gym.__version__,
        **asdict(plan),
        "presets": {name: asdict(PRESETS[name]) for name in plan.shares if name in PRESETS},
        "checkpoints": {
            name: hashlib.sha256((locate(folder) / MANIFEST).read_bytes()).hexdigest()
            for name, folder in checkpoints.items()
        },
    }


# --- the table --------------------------------------------------------------------------------------


class Row:
    """What a log holds of an agent; it forgets each episode once it is counted."""

    def __init__(self) -> None:
        self.outcomes: list[bool] = []
        self._clusters: list[str] = []
        self._told = self._lucky = self._steps = 0
        self._earned = 0.0

    def add(self, conversation: LoggedConversation) -> None:
        """Counts an episode."""
        self.outcomes.append(bool(conversation.success))
        self._clusters.append(pair_of(conversation.scenario))
        self._steps += len(conversation.actions)
        self._earned += conversation.total_reward
        decisions = conversation.metadata.get("decisions")
        if decisions is not None:
            self._told += 1
            self._lucky += bool(conversation.success) and not all(right for step in decisions for _, right in step)

    def cells(self, total: int) -> tuple[str, ...]:
        """The figures, of a log with so many episodes in all."""
        count = len(self.outcomes)
        success = proportion(self.outcomes, self._clusters)
        return (
            f"{count / total:.3f}",
            f"{count:,}",
            f"{success.value:.3f} [{success.low:.3f}, {success.high:.3f}]",
            f"{self._lucky / self._told:.3f}" if self._told else "-",
            f"{self._steps / count:.2f}",
            f"{self._earned / count:.3f}",
        )


def table_of(conversations: Iterable[LoggedConversation], title: str) -> Table:
    """The figures of each agent, and of all together."""
    rows: dict[str, Row] = defaultdict(Row)
    everybody = Row()
    for conversation in conversations:
        rows[conversation.metadata.get("agent", "unknown")].add(conversation)
        everybody.add(conversation)
    # Narrow enough for eighty characters.
    style: dict[str, Any] = {"box": SIMPLE_HEAD, "padding": (0, 0, 0, 1), "show_edge": False}
    table = Table(Column("agent", overflow="fold"), title=title, title_justify="left", **style)
    table.caption, table.caption_justify = "by luck: succeeded although a decision had gone wrong", "left"
    for heading in ("share", "episodes", "success", "by luck", "steps", "return"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, row in sorted(rows.items(), key=lambda entry: (-len(entry[1].outcomes), entry[0])):
        table.add_row(name, *row.cells(len(everybody.outcomes)))
    table.add_section()
    table.add_row("all", *everybody.cells(len(everybody.outcomes)))
    return table


# --- the command ------------------------------------------------------------------------------------


def parsed_shares(words: Sequence[str]) -> dict[str, float]:
    """Shares as they are written, ``NAME=SHARE`` each.

    Raises:
        ValueError: if one is written otherwise, or an agent is named twice.
    """
    shares: dict[str, float] = {}
    for word in words:
        name, _, share = word.rpartition("=")
        try:
            value = float(share)
        except ValueError:
            name = ""
        if not name:
            raise ValueError(f"a share is written NAME=SHARE, such as lenient=0.5, got {word!r:.80}")
        if name in shares:
            raise ValueError(f"{name!r:.80} is named twice: give each agent one share")
        shares[name] = value
    return shares


def main(words: Sequence[str] | None = None) -> None:
    """Writes a log and sums it up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the episodes go, one JSON line each")
    parser.add_argument("--env", default=REFUND, metavar="ID", help="the environment's id")
    parser.add_argument("--shares", nargs="+", metavar="NAME=SHARE", help="who plays how much of it")
    parser.add_argument("--episodes", type=int, default=2_000, metavar="N", help="how many")
    parser.add_argument("--attempts", type=int, default=1, metavar="N", help="episodes of each scenario")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of agents, scenarios, decisions and sampling")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    parser.add_argument("--report", type=Path, metavar="FILE", help="play nothing: the table of a log")
    options = parser.parse_args(words)
    console, file = Console(stderr=True), options.report or options.out
    try:
        if file is None:
            raise ValueError("name the file to write: --out FILE")
        if options.report is None:
            shares = parsed_shares(options.shares) if options.shares else SHARES
            plan = LogPlan(options.env, shares, options.episodes, options.attempts, options.seed)
            begun = time.process_time()
            write(plan, file, options.resume, console)
            size, seconds = file.stat().st_size / 1e6, time.process_time() - begun
            console.print(f"written: {file}, {size:.1f} MB, {seconds:.1f} CPU seconds", markup=False, soft_wrap=True)
        Console().print(table_of(read_conversations(file), file.name))
    except (ValueError, OSError, ImportError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        console.print("stopped")
        sys.exit(130)


if __name__ == "__main__":
    main()
