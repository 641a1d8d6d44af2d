"""Imports runs of tau-bench, counts what is in them, and judges a critic that foretells which of them succeed.

    python docs/examples/tau_bench_log.py gpt-4o-airline.json      # a file of tau-bench's historical_trajectories
    python docs/examples/tau_bench_log.py runs.json.gz --folds 5   # your own; where tasks are few, fewer parts
    python docs/examples/tau_bench_log.py runs.json --shuffles 99  # what the AUC is by chance; takes minutes

A file has the form that tau-bench's ``run.py`` writes: a list of runs with ``task_id``, ``trial``, ``reward``, ``info``
and ``traj``. The critic is logistic regression on hashed words and tool calls. What it says of a run comes from runs
of other tasks and other customers alone, and intervals are from drawing these groups again.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Before NumPy is loaded: spinning threads slow each other down on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from ss_baselines.statistics import Estimate, auc, auc_difference, auc_within, mean, proportion
from ss_gym.datasets import ConversationDataset, LoggedConversation
from ss_trainers.off_policy.features import HashedText
from ss_trainers.off_policy.success import SuccessSettings, held_out_scores

STEPS, TOOLS, WHOLE = "number of steps", "tools called", "the whole conversation"
EARLY = (0, 5, 10)  # actions after which the critic is asked, too


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs that were judged, with what belongs together.

    Attributes:
        conversations: (N,).
        outcomes: success of each.
        groups: of each; those that share a customer, a task or all words have the same one.
        unjudged: how many others there are, which tell no reward.
    """

    conversations: Sequence[LoggedConversation]
    outcomes: list[bool]
    groups: list[Hashable]
    unjudged: int

    @property
    def tasks(self) -> dict[str, list[bool]]:
        """The outcomes of the attempts at each task."""
        found: dict[str, list[bool]] = {}
        for conversation, outcome in zip(self.conversations, self.outcomes, strict=True):
            found.setdefault(conversation.scenario, []).append(outcome)
        return found


def imported(file: Path) -> Runs:
    """The runs of a file.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it has another form, or nothing that a critic can be judged on.
    """
    lines = file.name.removesuffix(".gz").endswith(".jsonl")
    opened = ConversationDataset.from_jsonl if lines else ConversationDataset.from_json
    dataset = opened(file, format="tau_bench")
    judged = dataset.select(~np.isnan(dataset.successes))
    if not len(judged):
        raise ValueError(
            f"{file} tells no rewards: give runs of tau-bench, each with its reward and its messages in traj"
        )
    runs = Runs(list(judged), (judged.successes == 1).tolist(), judged.groups().tolist(), len(dataset) - len(judged))
    if not all(conversation.scenario for conversation in runs.conversations):
        raise ValueError(
            f"{file} has runs without a task_id, and attempts at one task must not be held out from each other"
        )
    if len(runs.tasks) == 1:
        raise ValueError(
            f"all runs of {file} are attempts at one task, and a critic is judged on tasks that it has not seen"
        )
    if all(runs.outcomes) or not any(runs.outcomes):
        every = "succeeded" if any(runs.outcomes) else "failed"
        raise ValueError(
            f"all runs of {file} {every}, and there is nothing to foretell: give runs of which some did not"
        )
    return runs


# --- what there is ----------------------------------------------------------------------------------


def written(estimate: Estimate, sign: str = "") -> str:
    return f"{estimate.value:{sign}.3f} [{estimate.low:{sign}.3f}, {estimate.high:{sign}.3f}]"


def counts_of(runs: Runs, title: str) -> Table:
    """Counts, rewards and lengths."""
    attempts = Counter(map(len, runs.tasks.values()))
    shares = [sum(outcomes) / len(outcomes) for outcomes in runs.tasks.values()]
    steps = np.array([len(one.actions) for one in runs.conversations])
    calls = [len(list(tools_in(one))) for one in runs.conversations]
    rewards = [one.total_reward for one in runs.conversations]
    facts = {
        "runs": f"{len(steps):,}" + (f", and {runs.unjudged:,} without a reward" if runs.unjudged else ""),
        "tasks": f"{len(shares)}, with "
        + ", ".join(f"{size} attempts ({count})" for size, count in sorted(attempts.items())),
        "customers": str(len({one.customer for one in runs.conversations})),
        "groups that share one of these": str(len(set(runs.groups))),
        "reward": written(mean(rewards, runs.groups)),
        "rewards told": ", ".join(f"{value:g} ({count})" for value, count in sorted(Counter(rewards).items())),
        "tasks done always, at times, never": f"{shares.count(1)}, {sum(0 < x < 1 for x in shares)}, {shares.count(0)}",
        "steps a run": f"{steps.mean():.1f}, median {np.median(steps):g}, from {steps.min()} to {steps.max()}",
        "tool calls a run": f"{np.mean(calls):.1f}",
        "cut off by a limit": str(sum(one.episode.truncated for one in runs.conversations)),
    }
    table = plain_table(title, Column(), Column())
    table.show_header = False
    for fact in facts.items():
        table.add_row(*fact)
    return table


def tools_of(runs: Runs) -> Table:
    """Which tools were called, and how runs ended that call them."""
    called = [Counter(tools_in(one)) for one in runs.conversations]
    total = sum(called, Counter[str]())
    columns = [Column(name, justify="right", no_wrap=True) for name in ("calls", "runs", "success of these")]
    table = plain_table("tools", Column("tool", overflow="fold"), *columns)
    for name, count in total.most_common():
        using = [place for place, counted in enumerate(called) if name in counted]
        success = proportion([runs.outcomes[place] for place in using], [runs.groups[place] for place in using])
        table.add_row(name, f"{count:,}", str(len(using)), written(success))
    return table


def tools_in(conversation: LoggedConversation) -> Iterator[str]:
    """The names of the tools that an agent called, in order."""
    for message in conversation.messages:
        yield from (call["function"]["name"] for call in message.get("tool_calls", ()))


def plain_table(title: str, *columns: Column) -> Table:
    # Narrow enough for eighty characters.
    style: dict[str, Any] = {"box": SIMPLE_HEAD, "padding": (0, 0, 0, 1), "show_edge": False}
    return Table(*columns, title=title, title_justify="left", caption_justify="left", **style)


# --- what can be foretold ---------------------------------------------------------------------------


def features_of(conversations: Sequence[LoggedConversation], text: HashedText) -> dict[str, NDArray[Any]]:
    """What critics read, (N, D) each, by its name: first what is trivial, then more and more of the conversation."""
    steps = np.array([[len(one.actions)] for one in conversations])
    called = [Counter(tools_in(one)) for one in conversations]
    names = sorted(set().union(*called))
    read = [text.steps(one) for one in conversations]
    features = {
        STEPS: np.log(steps),
        TOOLS: np.log1p([[counted[name] for name in names] for counted in called]),
    }
    for count in EARLY:
        name = f"after {count} actions" if count else "before the first action"
        features[name] = np.stack([before[0] if not count else after[:count][-1] for before, after in read])
    features[WHOLE] = np.stack([text(one.messages) for one in conversations])
    return features


def foretold(features: Mapping[str, NDArray[Any]], runs: Runs, settings: SuccessSettings) -> dict[str, list[float]]:
    """How much likelier than usual each run's success is, held out, by what critics read."""
    return {
        name: held_out_scores(rows, runs.outcomes, runs.groups, settings).tolist() for name, rows in features.items()
    }


def aucs_of(scores: Mapping[str, list[float]], runs: Runs) -> Table:
    """How well successes are told from failures, and from failures at the same task."""
    tasks = [one.scenario for one in runs.conversations]
    mixed = any(0 < sum(outcomes) < len(outcomes) for outcomes in runs.tasks.values())
    columns = [Column(name, justify="right", no_wrap=True) for name in ("held-out AUC", "within a task")]
    table = plain_table("critic of success", Column("what it reads", overflow="fold"), *columns)
    pairs = 0
    for name, told in scores.items():
        within = "-"
        if mixed:
            estimate, pairs = auc_within(told, runs.outcomes, tasks, runs.groups)
            within = written(estimate)
        table.add_row(name, written(auc(told, runs.outcomes, runs.groups)), within)
    notes = [f"0.5 is chance; within a task: {pairs} pairs of a success and a failure"]
    for trivial in (STEPS, TOOLS):
        ahead = auc_difference(scores[WHOLE], scores[trivial], runs.outcomes, runs.groups)
        notes.append(f"the whole is ahead of {trivial} by {written(ahead, '+')}")
    table.caption = "\n".join(notes)
    return table


def dealt(runs: Runs, generator: np.random.Generator) -> list[bool]:
    """The outcomes of each task given to another one with as many attempts: nothing is left to foretell."""
    places: dict[str, list[int]] = {}
    for place, conversation in enumerate(runs.conversations):
        places.setdefault(conversation.scenario, []).append(place)
    outcomes = list(runs.outcomes)
    for size in {len(own) for own in places.values()}:
        alike = [own for own in places.values() if len(own) == size]
        for own, given in zip(alike, generator.permutation(len(alike)), strict=True):
            for place, source in zip(own, alike[given], strict=True):
                outcomes[place] = runs.outcomes[source]
    return outcomes


def chance_of(rows: NDArray[Any], found: float, runs: Runs, settings: SuccessSettings, shuffles: int) -> Table:
    """The AUC where there is nothing to foretell, and how often it is as high as the one that was found."""
    chance = []
    for number in range(shuffles):
        outcomes = dealt(runs, np.random.default_rng([settings.seed, number]))
        scores = held_out_scores(rows, outcomes, runs.groups, settings).tolist()
        chance.append(auc(scores, outcomes, runs.groups, resamples=1).value)
    table = plain_table(f"{WHOLE}, outcomes dealt to other tasks {shuffles} times", Column(), Column())
    table.show_header = False
    low, high = np.quantile(chance, [0.025, 0.975])
    table.add_row("AUC", f"{np.mean(chance):.3f}, in 95 of 100 from {low:.3f} to {high:.3f}, at most {max(chance):.3f}")
    table.add_row("p of what was found", f"{(1 + sum(each >= found for each in chance)) / (1 + shuffles):.3f}")
    return table


# --- the command ------------------------------------------------------------------------------------


def tables_of(runs: Runs, title: str, text: HashedText, settings: SuccessSettings, shuffles: int) -> Iterator[Table]:
    """All tables, each as soon as it is made."""
    yield counts_of(runs, title)
    yield tools_of(runs)
    features = features_of(runs.conversations, text)
    scores = foretold(features, runs, settings)
    yield aucs_of(scores, runs)
    if shuffles:
        found = auc(scores[WHOLE], runs.outcomes, runs.groups, resamples=1).value
        yield chance_of(features[WHOLE], found, runs, settings, shuffles)


def main(words: Sequence[str] | None = None) -> None:
    """Prints what there is, and what can be foretold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="FILE", help="runs of tau-bench, .json or .jsonl, plain or .gz")
    parser.add_argument("--folds", type=int, default=10, metavar="N", help="parts of which each is held out once")
    parser.add_argument("--size", type=int, default=512, metavar="N", help="numbers that stand for a conversation")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the parts")
    parser.add_argument(
        "--shuffles", type=int, default=0, metavar="N", help="deal the outcomes to other tasks so often"
    )
    options = parser.parse_args(words)
    console = Console()
    try:
        text, settings = HashedText(options.size), SuccessSettings(folds=options.folds, seed=options.seed)
        if options.shuffles < 0:
            raise ValueError(f"shuffles must be a whole number from 0 up, got {options.shuffles}")
        runs = imported(options.file)
        for table in tables_of(runs, options.file.name, text, settings, options.shuffles):
            console.print(table)
            console.print()
    except (ValueError, OSError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped")
        sys.exit(130)


if __name__ == "__main__":
    main()
