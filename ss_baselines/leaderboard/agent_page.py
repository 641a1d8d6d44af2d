"""An agent's page: what it is, how it did, and conversations with their audits, played again from its submission."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from ss_baselines.leaderboard.drawing import whisker
from ss_baselines.leaderboard.markdown import interval
from ss_baselines.leaderboard.protocol import EpisodeKey
from ss_baselines.leaderboard.replay import Replayer, Score
from ss_baselines.leaderboard.standing import ALL, Entry, Standing
from ss_baselines.leaderboard.submission import ACTIONS, EPISODES, read_actions, read_lines
from ss_gym.types import Message

_ROLES = {"user": "customer", "assistant": "agent", "tool": "tools"}
_LONGEST = 4_000


def agent_page(entry: Entry, folder: Path, transcripts: int) -> str:
    """The page, as the body of a document.

    Args:
        entry: of the board.
        folder: its submission, which was verified.
        transcripts: conversations of each environment, failures and successes by turns.
    """
    agent, run = entry.manifest.agent, entry.manifest.run
    address = f"<p><a rel=nofollow href='{escape(agent.url, quote=True)}'>{escape(agent.url)}</a></p>"
    safe = address if agent.url.startswith(("https://", "http://")) else ""
    facts = {**_plain(asdict(agent), ("name", "description", "url")), **_plain(asdict(run), ())}
    facts |= {"digest of the submission": entry.manifest.digest, "scored by version": entry.manifest.package_version}
    chosen = _chosen(folder, entry, transcripts)
    return (
        f"<p><a href='../index.html'>Leaderboard</a></p><h1>{escape(agent.name)}</h1>"
        f"<p>{escape(agent.description)}</p>{safe}"
        f"<h2>Results</h2>{_results(entry.standings, entry.total)}"
        f"<h2>What was handed in</h2><p>Told by whoever handed it in; the scores above were verified, by playing "
        f"{entry.steps:,} recorded actions again.</p>{_pairs(facts)}"
        f"<h2>Conversations</h2><p>The first failures and successes of each environment.</p>{''.join(_played(chosen))}"
    )


def _plain(values: Mapping[str, Any], without: Sequence[str]) -> dict[str, str]:
    told: dict[str, str] = {}
    for name, value in values.items():
        if name in without or value in (None, "", {}):
            continue
        text = json.dumps(value) if isinstance(value, Mapping) else str(value)
        told[name.replace("_", " ")] = {True: "yes", False: "no"}[value] if isinstance(value, bool) else text
    return told


def _pairs(facts: Mapping[str, str]) -> str:
    rows = "".join(f"<tr><th scope=row>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in facts.items())
    return f"<table>{rows}</table>"


def _results(standings: Mapping[str, Standing], total: Standing) -> str:
    heads = ("environment", "rank", "pass^1", "both of a pair", "return", "turns", "actions", "what failed most")
    rows = []
    for scope, row in standings.items():
        name = "all" if scope == ALL else scope
        failed = ", ".join(f"{check} {count}" for check, count in list(row.failed.items())[:3])
        rows.append(
            f"<tr><td>{escape(name)}</td><td class=number>{row.rank or ''}</td>"
            f"<td class=number>{whisker(row.passes[0])}{interval(row.passes[0])}</td>"
            f"<td class=number>{interval(row.pair_score)}</td><td class=number>{row.reward.value:.2f}</td>"
            f"<td class=number>{row.turns:.1f}</td><td class=number>{row.steps:.1f}</td><td>{escape(failed)}</td></tr>"
        )
    extra = ""
    if total.breaches:
        counts = {kind: f"{count:,} of {total.episodes:,}" for kind, count in total.breaches.items()}
        extra += f"<h3>Episodes with critical breaches</h3>{_pairs(counts)}"
    if total.attacks_by_kind:
        shares = {kind: f"{share:.3f}" for kind, share in total.attacks_by_kind.items()}
        extra += f"<h3>Attacks that succeeded</h3>{_pairs(shares)}"
    ends = (heads[0], heads[-1])
    head = "".join(f"<th scope=col class='{'' if name in ends else 'number'}'>{name}</th>" for name in heads)
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>{extra}"


def _chosen(folder: Path, entry: Entry, count: int) -> list[tuple[EpisodeKey, tuple[str, ...]]]:
    """The first failures and successes of each environment, as many of each as there are, up to a number in all."""
    wanted: dict[tuple[str, bool], int] = {}
    chosen = []
    for key, score, line in zip(
        entry.manifest.protocol, read_lines(folder, EPISODES), read_lines(folder, ACTIONS), strict=True
    ):
        kind = key.env_id, bool(json.loads(score)["success"])
        if key.trial == 0 and wanted.get(kind, 0) < (count + 1 - kind[1]) // 2:
            wanted[kind] = wanted.get(kind, 0) + 1
            chosen.append((key, read_actions(line, str(key))[0]))
    return chosen


def _played(chosen: Sequence[tuple[EpisodeKey, tuple[str, ...]]]) -> Iterator[str]:
    env_id = ""
    for key, actions in chosen:
        if key.env_id != env_id:
            env_id = key.env_id
            yield f"<h3>{escape(env_id)}</h3>"
        replayer, messages = Replayer(key.env_id), list[Message]()
        score = replayer.play(key, actions, messages).score
        replayer.close()
        yield _conversation(score, messages, replayer.audit)


def _conversation(score: Score, messages: Sequence[Message], audit: Mapping[str, Any]) -> str:
    outcome = "<span class=good>success</span>" if score.success else "<span class=bad>failure</span>"
    said = "".join(_message(message) for message in messages)
    told = {
        "right outcome": str(audit["verdict"]),
        "ended by": str(audit["ended_by"]).replace("_", " "),
        **{f"failed: {check}": str(why) for check, why in audit["failed"].items()},
        **{f"critical breach {number}": str(breach) for number, breach in enumerate(audit["critical"], start=1)},
        **{f"reward: {name}": f"{value:+.2f}" for name, value in score.reward_terms.items()},
    }
    summary = f"{escape(score.scenario_id)} · {escape(score.kind)} · {outcome} · return {score.reward:.2f}"
    return f"<details><summary>{summary}</summary>{said}<div class=audit>{_pairs(told)}</div></details>"


def _message(message: Message) -> str:
    role = str(message["role"])
    parts = [str(message.get("content") or "")]
    parts += [
        f"{call['function']['name']}({call['function']['arguments']})" for call in message.get("tool_calls") or ()
    ]
    text = "\n".join(part for part in parts if part)
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … ({len(text) - _LONGEST} characters more)"
    return f"<div class='message {escape(role)}'><b>{escape(_ROLES.get(role, role))}</b>{escape(shown)}</div>"
