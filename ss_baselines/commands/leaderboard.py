"""``stateset-agents verify`` and ``leaderboard``: submissions played again, and the page of those that hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ss_baselines.commands.bars import Bars
from ss_baselines.commands.folders import check_folder
from ss_baselines.leaderboard.baselines import SHOWN
from ss_baselines.leaderboard.markdown import board_table
from ss_baselines.leaderboard.page import write_page
from ss_baselines.leaderboard.standing import ALL, board, standing
from ss_baselines.leaderboard.submission import MANIFEST, Manifest, SubmissionError, read_manifest
from ss_baselines.leaderboard.verification import Verified, verify


def run_verify(folders: Sequence[Path], workers: int) -> None:
    """Plays submissions again, and says of each that it holds.

    Args:
        folders: submissions, or folders of them.
        workers: processes.

    Raises:
        SubmissionError: for the first that does not.
        ValueError: if there is none.
    """
    console = Console()
    for found in _verified(submissions_in(folders), workers):
        every = standing(found.scores).passes[0]
        console.print(
            f"{found.manifest.agent.name}: verified, {len(found.scores):,} episodes, {found.steps:,} steps at "
            f"{found.steps / max(found.seconds, 1e-9):,.0f} a second of a processor; pass^1 {every.value:.3f} "
            f"[{every.low:.3f}, {every.high:.3f}]",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def run_leaderboard(folders: Sequence[Path], out: Path, workers: int, transcripts: int) -> None:
    """Plays submissions again, and writes the page, the table and the rows.

    Args:
        folders: submissions, or folders of them.
        out: where ``index.html``, ``agents/``, ``leaderboard.md`` and ``leaderboard.json`` go.
        workers: processes.
        transcripts: conversations of each environment on an agent's page.

    Raises:
        SubmissionError: if one does not hold; nothing is written then.
        ValueError: if there is none, or the folder can't be written.
    """
    check_folder(out)
    found = _by_name(submissions_in(folders))
    verified = _verified([*found.values()], workers)
    entries = board(verified)
    write_page(out, entries, found, transcripts)
    lacking = [name for name in SHOWN if name not in found]
    if lacking:
        Console(stderr=True).print(f"a board has the rows of {', '.join(SHOWN)}; missing: {', '.join(lacking)}")
    Console().print(board_table(entries, ALL))
    Console(stderr=True).print(f"written: {out / 'index.html'}", markup=False, soft_wrap=True)


def submissions_in(folders: Sequence[Path]) -> list[Path]:
    """The submissions that folders are, or hold, by name.

    Raises:
        ValueError: if there are none.
    """
    found: list[Path] = []
    for folder in folders:
        if (folder / MANIFEST).is_file():
            found.append(folder)
        else:
            found += sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))
    if not found:
        raise ValueError(f"no submission in {', '.join(map(str, folders))}: one is a folder with a {MANIFEST}")
    return found


def _by_name(folders: Sequence[Path]) -> dict[str, Path]:
    """Submissions by the name of their agent, which is known before anything is played.

    Raises:
        SubmissionError: if one is damaged.
        ValueError: if two have the same name.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        name = _manifest(folder).agent.name
        if name in found:
            raise ValueError(f"'{found[name]}' and '{folder}' are both called {name!r}: a row is known by its name")
        found[name] = folder
    return found


def _manifest(folder: Path) -> Manifest:
    try:
        return read_manifest(folder)
    except SubmissionError as error:
        raise SubmissionError(f"'{folder}' is refused: {error}") from error


def _verified(folders: Sequence[Path], workers: int) -> list[Verified]:
    """All of them, or none."""
    verified: list[Verified] = []
    with Bars(Console(stderr=True)) as bars:
        for folder in folders:
            manifest = _manifest(folder)
            try:
                advance = bars.bar(manifest.agent.name, len(manifest.protocol))
                verified.append(verify(folder, workers, advance))
            except SubmissionError as error:
                raise SubmissionError(f"'{folder}' is refused: {error}") from error
    return verified
