"""Plays this package's baselines for the leaderboard, those that are not there yet, and builds the page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ss_baselines.commands.leaderboard import run_leaderboard
from ss_baselines.commands.submit import SubmitOptions, run_submit
from ss_baselines.leaderboard.baselines import SCRIPTED
from ss_baselines.leaderboard.fingerprints import suite_hashes
from ss_baselines.leaderboard.markdown import escaped
from ss_baselines.leaderboard.protocol import ENVIRONMENTS, Protocol
from ss_baselines.leaderboard.submission import MANIFEST, Manifest, SubmissionError, read_manifest
from ss_gym.whole_file import whole_file

_REFUND = ("StateSet/Refund-v0",)


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

    A submission that is there, of other tasks, is set aside.
    """
    for name in names:
        baseline = known[name]
        if (folder / name).exists():
            set_aside(folder / name)
        options = SubmitOptions(
            out=folder / name,
            protocol=baseline.protocol,
            agent=baseline.agent,
            temperature=baseline.temperature,
            resume=(folder / f"{name}.episodes").exists(),
        )
        Console(stderr=True).print(name, markup=False)
        run_submit(options)


def build(folder: Path, site: Path, workers: int, results: Path | None = None) -> None:
    """Verifies all submissions and writes the page.

    Args:
        folder: where the submissions are.
        site: where the page goes.
        workers: processes.
        results: where its rows and tables are kept, too; nowhere if None.
    """
    run_leaderboard([folder], site, workers, transcripts=6)
    if results is not None:
        for name in ("leaderboard.json", "leaderboard.md"):
            with whole_file(results / name) as file:
                file.write((site / name).read_bytes())


def set_aside(folder: Path) -> None:
    """Makes room for a new submission: what is there is then in ``before``, and a run that was stopped is gone."""
    before = folder.parent / "before" / folder.name
    if folder.exists():
        shutil.rmtree(before, ignore_errors=True)
        before.parent.mkdir(exist_ok=True)
        folder.rename(before)
    shutil.rmtree(folder.with_name(f"{folder.name}.episodes"), ignore_errors=True)


def _current(folder: Path, baseline: Baseline) -> bool:
    if not (folder / MANIFEST).is_file():
        return False
    try:
        manifest: Manifest = read_manifest(folder)
    except SubmissionError:
        return False
    if manifest.protocol != baseline.protocol:
        return False
    return (manifest.tasks, manifest.users) == suite_hashes(manifest.protocol.environments)


def page_tables(results: Path) -> str:
    """What the page on the benchmark shows of the rows that were kept: all environments, each, and their hashes.

    Args:
        results: where ``build`` kept them.
    """
    rows = json.loads((results / "leaderboard.json").read_text(encoding="utf-8"))["rows"]
    tables = (results / "leaderboard.md").read_text(encoding="utf-8").split("\n## ")
    whole = next(table.partition("\n")[2].strip() for table in tables if table.startswith("All environments"))
    names = [env_id.removeprefix("StateSet/").removesuffix("-v0") for env_id in ENVIRONMENTS]
    lines = [f"| pass^1 | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
    for row in rows:
        told = [row["standings"].get(env_id) for env_id in ENVIRONMENTS]
        values = [f"{each['passes'][0]['value']:.3f}" if each else "" for each in told]
        lines.append(f"| {escaped(row['agent']['name'])} | {' | '.join(values)} |")
    hashes = ["| environment | tasks | customers |", "| --- | --- | --- |"]
    first = next(row for row in rows if set(ENVIRONMENTS) <= set(row["tasks"]))
    hashes += [f"| `{env_id}` | `{first['tasks'][env_id]}` | `{first['users'][env_id]}` |" for env_id in ENVIRONMENTS]
    return "\n\n".join([whole, "\n".join(lines), "\n".join(hashes)]) + "\n"
