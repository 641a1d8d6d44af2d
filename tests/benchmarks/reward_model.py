"""What a reward model comes to tell apart: attempts of the tiny agent at refunds, from preferences or from returns.

    python -m tests.benchmarks.reward_model                   # 240 scenarios × 4 attempts to learn from, 60 to measure

Preferences are those of ``ss_baselines.judges.AuditJudge``, without mistakes and with one conversation in ten judged
wrongly; all pairs of a scenario are compared. Measured is on attempts at other scenarios, and against the truth: of
two attempts at the same scenario of which one succeeded, how often that one has the higher score, with its 95 %
interval over scenarios; and the same of any two of all of them. 0.5 is chance.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ss_baselines.judges import AuditJudge
from ss_baselines.statistics import Estimate, proportion
from ss_gym.types import MultiTurnTrajectory
from ss_trainers import (
    GRPO,
    RewardModel,
    RewardModelConfig,
    Trainer,
    TrainingConfig,
    preference_pairs,
    train_on_preferences,
    train_on_returns,
)
from ss_trainers.feedback import ComparedByGrade, Pairs
from ss_trainers.sampling import training_episodes

ENV_ID, COMPACT = "StateSet/Refund-v0", {"prompt": "compact"}
ATTEMPTS = 4
HEADINGS = ("learnt from", "within a scenario", "among all", "CPU s")
RESULTS = Path(__file__).parents[2] / "docs" / "results" / "reward_model.json"

Attempts = Sequence[MultiTurnTrajectory]


@dataclass(frozen=True)
class Row:
    """What was learnt from one kind of lesson.

    Attributes:
        lesson: which.
        within: share of the pairs at the same scenario that are told apart.
        among_all: of any two.
        cpu_seconds: of learning and measuring.
    """

    lesson: str
    within: Estimate
    among_all: float
    cpu_seconds: int


def played(scenarios: int, first: int) -> Attempts:
    """Attempts of the tiny agent at some scenarios of train."""
    training = TrainingConfig(groups_per_iteration=scenarios, group_size=ATTEMPTS)
    trainer = Trainer(ENV_ID, "tiny", GRPO(), training, env_kwargs=COMPACT)
    attempts = trainer.evaluate(training_episodes(first, training), seed=first).trajectories
    trainer.close()
    return attempts


def measured(learn: Attempts, told: Attempts, config: RewardModelConfig, console: Console | None = None) -> list[Row]:
    """A row for each kind of lesson."""
    rows = []
    for name, wrong in (("preferences", 0.0), ("preferences, a tenth wrong", 0.1), ("returns", None)):
        begun = time.process_time()
        if wrong is None:
            reward = train_on_returns(learn, "tiny", config, console)
        else:
            judge = Pairs(ComparedByGrade(AuditJudge(wrong)), ATTEMPTS)
            reward = train_on_preferences(preference_pairs(learn, judge), "tiny", config, console)
        rows.append(Row(name, *told_apart(reward, told), round(time.process_time() - begun)))
    return rows


def told_apart(reward: RewardModel, attempts: Attempts) -> tuple[Estimate, float]:
    """How often a success has a higher score than a failure."""
    scores = reward.scores([reward.read(each.turns, each.system_prompt) for each in attempts]).tolist()
    done, failed = (
        [(score, each.scenario_id) for score, each in zip(scores, attempts, strict=True) if each.success is wanted]
        for wanted in (True, False)
    )
    every = [(better > worse, one, other) for better, one in done for worse, other in failed]
    within = [(right, one) for right, one, other in every if one == other]
    estimate = proportion([right for right, _ in within], [scenario for _, scenario in within])
    return estimate, sum(right for right, _, _ in every) / len(every)


def markdown(rows: Sequence[Row]) -> str:
    """The table for a page."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *map(cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cells(row: Row) -> tuple[str, ...]:
    """A line of the table."""
    within = f"{row.within.value:.3f} ({row.within.low:.3f}, {row.within.high:.3f})"
    return row.lesson, within, f"{row.among_all:.3f}", str(row.cpu_seconds)


def main() -> None:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", type=int, default=240, help="to learn from")
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--results", type=Path, help="a file for the figures")
    options = parser.parse_args()
    console = Console(width=100)
    config = RewardModelConfig(learning_rate=options.learning_rate, epochs=options.epochs, holdout=0.0)
    rows = measured(played(options.scenarios, 0), played(60, 1), config, console)
    table = Table(*HEADINGS)
    for row in rows:
        table.add_row(*cells(row))
    console.print(table)
    if options.results is not None:
        settings = {"scenarios": options.scenarios, "learning_rate": options.learning_rate, "epochs": options.epochs}
        text = json.dumps({"settings": settings, "rows": [asdict(row) for row in rows]}, indent=1)
        options.results.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
