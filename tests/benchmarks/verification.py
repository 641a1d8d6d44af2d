"""How fast submissions are verified: actions played again a second, of each environment and of all.

    python -m tests.benchmarks.verification                          # made here: 30 pairs x 4, the rule bot
    python -m tests.benchmarks.verification --pairs 300 --workers 2
    python -m tests.benchmarks.verification --submission FOLDER      # one that is there

A submission is made in a temporary folder and verified as ``stateset-agents verify`` does it, with the sums of its
files, resets, and all marks and scores compared. CPU seconds are those of the processes that play, so that what else
the machine does counts as little as can be; wall seconds are of the whole call, processes begun and suite hashed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ss_baselines.agents import load_agent
from ss_baselines.leaderboard import AgentCard, Protocol, pack, verify
from ss_baselines.leaderboard.fingerprints import task_hash, user_hash
from ss_baselines.leaderboard.protocol import ENVIRONMENTS
from ss_baselines.trajectories import Plan, recorded


@dataclass(frozen=True)
class Row:
    """One verification.

    Attributes:
        name: of what was verified.
        steps: that were played.
        cpu_seconds: that playing them took.
        wall_seconds: of the call.
    """

    name: str
    steps: int
    cpu_seconds: float
    wall_seconds: float


def make(folder: Path, agent: str, protocol: Protocol) -> None:
    """A submission of a scripted agent."""
    played, each = load_agent(agent), {"prompt": "compact"}
    plans = [
        Plan(env_id, each, protocol.split, 2 * protocol.pairs, protocol.trials, user_seeds=True)
        for env_id in protocol.environments
    ]
    pack(folder, AgentCard(agent), protocol, (episode for plan in plans for episode in recorded(played, plan)))


def measured(name: str, folder: Path, workers: int) -> Row:
    """What verifying a submission takes."""
    begun = time.perf_counter()
    found = verify(folder, workers)
    return Row(name, found.steps, found.seconds, time.perf_counter() - begun)


def table(rows: list[Row]) -> Table:
    """The figures, for a rich console."""
    made = Table("", "steps", "steps/s of a processor", "steps/s of the call")
    for row in rows:
        rates = (row.steps / seconds for seconds in (row.cpu_seconds, row.wall_seconds))
        made.add_row(row.name, f"{row.steps:,}", *(f"{rate:,.0f}" for rate in rates))
    return made


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--agent", default="rule_bot")
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--submission", type=Path)
    options = parser.parse_args()
    console = Console()
    if options.submission is not None:
        console.print(table([measured(options.submission.name, options.submission, options.workers)]))
        return
    for env_id in ENVIRONMENTS:  # not the cost of a verification, but of the first in a process
        task_hash(env_id), user_hash(env_id)
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for env_id in ENVIRONMENTS:
            folder = Path(place) / env_id.replace("/", "-")
            make(folder, options.agent, Protocol((env_id,), options.pairs))
            rows.append(measured(env_id, folder, 1))
        make(Path(place) / "all", options.agent, Protocol(pairs=options.pairs))
        rows.append(measured(f"all, {options.workers} processes", Path(place) / "all", options.workers))
    console.print(table(rows))


if __name__ == "__main__":
    main()
