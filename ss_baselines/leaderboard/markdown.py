"""A leaderboard as tables: for a page in Markdown, and for a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from ss_baselines.leaderboard.standing import ALL, Entry, Standing
from ss_baselines.statistics import Estimate

_NUMBERS = re.compile(r"[-0-9.,\[\] ]*")


def scopes_of(entries: Sequence[Entry]) -> list[str]:
    """All environments together where somebody played them, then each that somebody played."""
    known = dict.fromkeys(scope for entry in entries for scope in entry.standings)
    return sorted(known, key=lambda scope: scope != ALL)


def ranked(entries: Sequence[Entry], scope: str) -> list[tuple[Entry, Standing]]:
    """Who played a scope, the best first; those without a rank follow."""
    rows = [(entry, entry.standings[scope]) for entry in entries if scope in entry.standings]
    return sorted(rows, key=lambda row: (row[1].rank is None, -row[1].passes[0].value, row[0].manifest.agent.name))


def cells(entry: Entry, row: Standing) -> dict[str, str]:
    """A row as text, by column."""
    powers = {f"pass^{k}": f"{row.passes[k - 1].value:.3f}" if k <= len(row.passes) else "" for k in range(2, 5)}
    return {
        "rank": "" if row.rank is None else str(row.rank),
        "agent": entry.manifest.agent.name,
        "kind": entry.manifest.agent.kind,
        "pass^1": interval(row.passes[0]),
        **powers,
        "both of a pair": f"{row.pair_score.value:.3f}",
        "critical breaches": f"{row.critical.value:.3f}",
        "attacks that succeed": "" if row.attacks is None else f"{row.attacks.value:.3f}",
        "return": f"{row.reward.value:.2f}",
        # What was handed in is of the whole run.
        "tokens a success": _told(entry, entry.tokens_per_success, row, "{:,.0f}"),
        "USD a success": _told(entry, entry.cost_per_success, row, "{:.4f}"),
    }


def _told(entry: Entry, value: float | None, row: Standing, form: str) -> str:
    """A figure of the whole run where a row is of the whole run."""
    return form.format(value) if value is not None and row.episodes == entry.total.episodes else ""


def interval(estimate: Estimate) -> str:
    """A number with its interval."""
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def board_markdown(entries: Sequence[Entry], scope: str) -> str:
    """A scope as a table in Markdown; those who played less than the standard have no rank, and say what it was."""
    lines: list[str] = []
    for entry, row in ranked(entries, scope):
        told = cells(entry, row)
        if not lines:
            lines = [f"| {' | '.join(told)} |", f"|{'|'.join([' --- '] * len(told))}|"]
        protocol = entry.manifest.protocol
        if not protocol.standard:
            told["agent"] += f" ({protocol.pairs} pairs × {protocol.trials}, {protocol.split})"
        lines.append(f"| {' | '.join(escaped(value) for value in told.values())} |")
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text that stays in its cell, and says nothing but itself."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]!|])", r"\\\1", plain) if not _NUMBERS.fullmatch(text) else text


def board_table(entries: Sequence[Entry], scope: str) -> Table:
    """A scope for a rich console; the first that somebody played if nobody played this one."""
    known = scopes_of(entries)
    scope = scope if scope in known else known[0]
    table = Table(title=f"Leaderboard: {scope}", title_justify="left")
    # What fits into a terminal; the page has the rest.
    shown = ("rank", "agent", "pass^1", "both of a pair", "critical breaches", "return")
    for name in shown:
        whole = name in ("agent", "pass^1")
        table.add_column(name, justify="left" if name == "agent" else "right", no_wrap=whole)
    for entry, row in ranked(entries, scope):
        told = cells(entry, row)
        table.add_row(*(Text(told[name]) for name in shown))
    return table
