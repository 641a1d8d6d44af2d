"""Plays this package's baselines for the leaderboard, those that are not there yet, and builds the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ss_baselines.commands.leaderboard import run_leaderboard
from ss_baselines.commands.submit import SubmitOptions, run_submit
from ss_baselines.leaderboard.baselines import SCRIPTED
from ss_baselines.leaderboard.fingerprints import task_hash, user_hash
from ss_baselines.leaderboard.protocol import Protocol
from ss_baselines.leaderboard.submission import MANIFEST, Manifest, SubmissionError, read_manifest
from ss_gym.whole_file import whole_file

_REFUND = ("StateSet/Refund-v0",)
RESULTS = Path(__file__).parents[1] / "results"
"""Where the rows of the last run are."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A row of the leaderboard.

    Attributes:
        agent: as ``stateset-agents submit --agent`` takes it.
        protocol: what it plays.
        temperature: of sampling, for models.
    """

    agent: str
    protocol: Protocol
    temperature: float | None = None


def baselines() -> dict[str, Baseline]:
    """Those that take minutes, by the name of their submission's folder."""
    # The demonstrator knows refunds alone, and so does the model that was cloned from it.
    scripted = {name: Baseline(name, Protocol()) for name in SCRIPTED if name != "demonstrator"}
    return {
        **scripted,
        "demonstrator": Baseline("demonstrator", Protocol(_REFUND)),
        "tiny": Baseline("tiny", Protocol(_REFUND), 0.0),
    }


def missing(folder: Path, known: dict[str, Baseline]) -> list[str]:
    """Which baselines have no submission that could still be verified."""
    return [name for name, baseline in known.items() if not _current(folder / name, baseline)]


def play(names: Sequence[str], folder: Path, known: dict[str, Baseline]) -> None:
    """Makes submissions; runs that were stopped are gone on with.

    Args:
        names: of baselines.
        folder: where the submissions are.
        known: the baselines.

    Raises:
        ValueError: if another submission is there.
    """
    for name in names:
        baseline = known[name]
        options = SubmitOptions(
            out=folder / name,
            protocol=baseline.protocol,
            agent=baseline.agent,
            temperature=baseline.temperature,
            resume=(folder / f"{name}.episodes").exists(),
        )
        Console(stderr=True).print(name, markup=False)
        run_submit(options)


def build(folder: Path, site: Path, workers: int, results: Path = RESULTS) -> None:
    """Verifies all submissions, writes the page, and keeps its rows and tables.

    Args:
        folder: where the submissions are.
        site: where the page goes.
        workers: processes.
        results: where the rows and tables go.
    """
    run_leaderboard([folder], site, workers, transcripts=6)
    for name in ("leaderboard.json", "leaderboard.md"):
        with whole_file(results / name) as file:
            file.write((site / name).read_bytes())


def tables(results: Path = RESULTS) -> dict[str, str]:
    """The tables of the last run in Markdown, by heading."""
    parts = (results / "leaderboard.md").read_text(encoding="utf-8").split("\n## ")[1:]
    return {head: table.strip() + "\n" for head, _, table in (part.partition("\n") for part in parts)}


def digests(results: Path = RESULTS) -> dict[str, str]:
    """The digest of each row's actions, by the name of the agent."""
    rows = json.loads((results / "leaderboard.json").read_text(encoding="utf-8"))["rows"]
    return {row["agent"]["name"]: row["files"]["actions.jsonl.gz"] for row in rows}


def _current(folder: Path, baseline: Baseline) -> bool:
    if not (folder / MANIFEST).is_file():
        return False
    try:
        manifest: Manifest = read_manifest(folder)
    except SubmissionError:
        return False
    if manifest.protocol != baseline.protocol:
        return False
    told = (manifest.tasks, manifest.users)
    return told == tuple(
        {env_id: of(env_id) for env_id in manifest.protocol.environments} for of in (task_hash, user_hash)
    )
