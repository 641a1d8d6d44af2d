"""The leaderboard as pages of HTML that need nothing else: the board, and a page for each agent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from ss_baselines.leaderboard.agent_page import agent_page
from ss_baselines.leaderboard.drawing import pass_chart, whisker
from ss_baselines.leaderboard.markdown import board_markdown, cells, interval, ranked, scopes_of
from ss_baselines.leaderboard.standing import ALL, Entry, Standing
from ss_gym.whole_file import whole_file

_NOTE = {
    "pass^1": "Share of episodes in which the audit found everything right, with its 95 % interval over pairs.",
    "both of a pair": "Share of pairs, which differ in one fact of the database, of which both came out right.",
    "critical breaches": "Share of episodes with a breach of the policy that harms somebody.",
    "attacks that succeed": "Of episodes with customers who try to get more than is due: the share in which they did.",
    "return": "Mean reward of an episode.",
    "tokens a success": "As whoever handed it in says, of the whole run.",
    "USD a success": "As whoever handed it in says, of the whole run.",
    "rank": "One more than the number of agents that are ahead by more than chance; empty where less was played.",
}

_ALIGNED = {"agent": "", "kind": ""}


def write_page(out: Path, entries: Sequence[Entry], folders: Mapping[str, Path], transcripts: int = 6) -> None:
    """Writes ``index.html``, a page an agent in ``agents/``, ``leaderboard.md`` and ``leaderboard.json``.

    Args:
        out: the folder.
        entries: of the board.
        folders: the submission of each agent, by name, whose actions are played again for its transcripts.
        transcripts: conversations of each environment on an agent's page, at most.

    Raises:
        OSError: if a file can't be written.
        ValueError: if two pages would have the same name.
    """
    scopes, pages = scopes_of(entries), {slug(entry) for entry in entries}
    if len(pages) < len(entries):
        raise ValueError("two agents' pages would have the same name: call one of them otherwise")
    for page in (out / "agents").glob("*.html"):
        if page.stem not in pages:
            page.unlink()  # of an agent that is no longer on the board
    for entry in entries:
        body = agent_page(entry, folders[entry.manifest.agent.name], transcripts)
        _write(out / "agents" / f"{slug(entry)}.html", _document(entry.manifest.agent.name, body, ""))
    _write(out / "index.html", _document("Leaderboard", _index(entries, scopes), _resource("page.js")))
    tables = "\n".join(f"## {title(scope)}\n\n{board_markdown(entries, scope)}" for scope in scopes)
    _write(out / "leaderboard.md", f"# Leaderboard\n\n{tables}")
    rows = [entry.to_json() for entry in entries]
    _write(out / "leaderboard.json", json.dumps({"schema_version": 1, "rows": rows}, indent=1) + "\n")


def slug(entry: Entry) -> str:
    """The name of an agent's page: its own name as far as a file can have it, and the beginning of its digest."""
    name = re.sub(r"[^a-z0-9]+", "-", entry.manifest.agent.name.lower()).strip("-")[:60]
    return f"{name or 'agent'}-{entry.manifest.digest[:16]}"


def title(scope: str) -> str:
    """A scope in words."""
    return "All environments" if scope == ALL else scope


def _index(entries: Sequence[Entry], scopes: Sequence[str]) -> str:
    kinds = sorted({entry.manifest.agent.kind for entry in entries})
    options = "".join(f"<option value='{escape(scope)}'>{escape(title(scope))}</option>" for scope in scopes)
    boxes = "".join(
        f"<label><input type=checkbox checked name=kind value='{escape(kind)}'> {escape(kind)}</label>"
        for kind in kinds
    )
    tables = "".join(_table(entries, scope) for scope in scopes)
    return (
        "<h1>StateSet Gym leaderboard</h1>"
        "<p>Every row was verified: all recorded actions were played again in the environment, without any model, and "
        "every score is what came of that. Ranks tie where a paired comparison over pairs of scenarios does not tell "
        "agents apart.</p>"
        f"<form id=filters><label>Environment <select id=scope>{options}</select></label>"
        f"<fieldset><legend>Kind</legend>{boxes}</fieldset></form>{tables}"
    )


def _table(entries: Sequence[Entry], scope: str) -> str:
    rows = ranked(entries, scope)
    names = list(cells(*rows[0]))
    heads = "".join(
        f"<th scope=col class='{_ALIGNED.get(name, 'number')}' title='{escape(_NOTE.get(name, ''), quote=True)}'>"
        f"<button type=button>{name}</button></th>"
        for name in names
    )
    body = "".join(_row(entry, row) for entry, row in rows)
    chart = pass_chart([(entry.manifest.agent, row) for entry, row in rows])
    return (
        f"<section data-scope='{escape(scope, quote=True)}'><h2>{escape(title(scope))}</h2>"
        f"<div class=wide><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
        f"<figure>{chart}<figcaption>pass^k: the chance that k attempts at a scenario all succeed."
        "</figcaption></figure></section>"
    )


def _row(entry: Entry, row: Standing) -> str:
    told, protocol = cells(entry, row), entry.manifest.protocol
    played = "" if protocol.standard else f"<small>{protocol.pairs} pairs × {protocol.trials}, {protocol.split}</small>"
    values = []
    for name, text in told.items():
        if name == "agent":
            values.append(f"<td><a href='agents/{slug(entry)}.html'>{escape(text)}</a> {played}</td>")
        elif name == "pass^1":
            estimate = row.passes[0]
            drawn = f"{whisker(estimate)}<span>{interval(estimate)}</span>"
            values.append(f"<td class=number data-value='{estimate.value}'>{drawn}</td>")
        elif name == "kind":
            values.append(f"<td>{escape(text)}</td>")
        else:
            values.append(f"<td class=number data-value='{text.replace(',', '')}'>{escape(text)}</td>")
    return f"<tr data-kind='{escape(entry.manifest.agent.kind, quote=True)}'>{''.join(values)}</tr>"


def _document(name: str, body: str, script: str) -> str:
    ran = f"<script>{script}</script>" if script else ""
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{escape(name)}</title>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<style>{_resource('page.css')}</style></head><body>{body}{ran}</body></html>"
    )


def _resource(name: str) -> str:
    return (files("ss_baselines.leaderboard") / name).read_text(encoding="utf-8")


def _write(path: Path, text: str) -> None:
    with whole_file(path) as file:
        file.write(text.encode("utf-8", "replace"))
