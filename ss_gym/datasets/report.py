"""The statistics of a dataset as a page: one file of HTML that needs no other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from ss_gym.datasets.charts import bar_chart, histogram_chart
from ss_gym.datasets.conversation import LoggedConversation
from ss_gym.datasets.statistics import DatasetStatistics
from ss_gym.types import Message
from ss_gym.whole_file import whole_file

# How much of the examples is shown.
_MESSAGES, _CHARACTERS = 60, 1_200
_TOOLS = 25
_LABELS = {
    "return": "return as logged",
    "quality": "quality",
    "turns": "turns of the agent in a conversation",
    "words": "words of customer and agent",
}
_STYLE = """
:root { color-scheme: light }
body { font: 15px/1.5 system-ui, sans-serif; color: #23272e; background: #fff; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem }
h1 { font-size: 1.6rem; margin: 0 0 1rem } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem }
table { border-collapse: collapse } th { text-align: left; font-weight: 500; padding: .2rem 1.2rem .2rem 0 }
td, th { vertical-align: top; border-bottom: 1px solid #e5e8ec } td { padding: .2rem .6rem .2rem 0 }
td.number { text-align: right; font-variant-numeric: tabular-nums }
ul.notes { background: #fff7e0; border-left: 4px solid #d99a00; padding: .6rem 1rem .6rem 2rem; margin: 0 0 1rem }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr)); gap: 1rem;
          margin-top: 1rem }
figure { margin: 0 } figure svg { width: 100%; height: auto } figcaption { font-weight: 500 }
.bar { display: inline-block; height: .8em; background: #3f6fb5 }
details { margin: .5rem 0; border: 1px solid #e5e8ec; border-radius: 4px; padding: .4rem .8rem }
summary { cursor: pointer } .message { margin: .5rem 0; white-space: pre-wrap; overflow-wrap: anywhere }
.message b { display: block; font-size: .8rem; color: #5b6470 }
.assistant { background: #eef3fb; padding: .4rem .6rem; border-radius: 4px }
.tool, .system { color: #5b6470; font-family: ui-monospace, monospace; font-size: .85rem }
"""


def write_report(
    statistics: DatasetStatistics,
    path: str | os.PathLike[str],
    title: str,
    examples: Iterable[LoggedConversation] = (),
) -> Path:
    """Writes the page.

    Args:
        statistics: what it tells.
        path: the file.
        title: of the page.
        examples: conversations to show.

    Returns:
        The file.

    Raises:
        OSError: if it can't be written; what was there before is as it was.
    """
    text = page(statistics, title, list(examples))
    with whole_file(path) as file:
        file.write(text.encode("utf-8", "replace"))
    return Path(path)


def page(statistics: DatasetStatistics, title: str, examples: Sequence[LoggedConversation] = ()) -> str:
    """The page, as HTML."""
    charts = [
        histogram_chart(histogram, _LABELS[name])
        for name, histogram in statistics.histograms.items()
        # Without scores, quality is the return in other numbers.
        if name != "quality" or statistics.scored
    ]
    tools = [(name, use.calls) for name, use in list(statistics.tools.items())[:_TOOLS]]
    parts = [
        f"<h1>{escape(title)}</h1>",
        _notes(statistics.notes),
        _table(statistics.counts()),
        f"<h2>How they are spread</h2>{_spreads(statistics)}<div class=charts>{''.join(charts)}</div>",
        _tools(statistics, tools) if tools else "",
        _passed_over(statistics),
        _examples(examples),
    ]
    head = f"<meta charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def _notes(notes: Sequence[str]) -> str:
    return f"<ul class=notes>{''.join(f'<li>{escape(note)}' for note in notes)}</ul>" if notes else ""


def _table(rows: Iterable[Sequence[str]], names: Sequence[str] = ()) -> str:
    head = f"<tr>{''.join(f'<th>{escape(name)}' for name in names)}</tr>" if names else ""
    body = "".join(
        f"<tr><th>{escape(first)}</th>{''.join(f'<td>{escape(cell)}' for cell in rest)}</tr>" for first, *rest in rows
    )
    return f"<table>{head}{body}</table>"


def _spreads(statistics: DatasetStatistics) -> str:
    rows = [(name, *(f"{value:.4g}" for value in spread)) for name, spread in statistics.spreads.items()]
    return _table(rows, ("per conversation", "mean", "min", "25 %", "median", "75 %", "max"))


def _tools(statistics: DatasetStatistics, shown: Sequence[tuple[str, int]]) -> str:
    total = statistics.conversations
    rows = [
        (name, f"{statistics.tools[name].calls:,}", f"{statistics.tools[name].conversations / total:.1%}")
        for name, _ in shown
    ]
    more = len(statistics.tools) - len(shown)
    left = f"<p>{more} more are called less often.</p>" if more else ""
    table = _table(rows, ("tool", "calls", "in this share of the conversations"))
    return f"<h2>Tools</h2><div class=charts>{bar_chart(shown, 'calls')}<div>{table}{left}</div></div>"


def _passed_over(statistics: DatasetStatistics) -> str:
    """What of the log is not in the dataset."""
    skips = [(reason, f"{one.times:,}", one.first) for reason, one in statistics.skips.items()]
    left_out = [(reason, f"{count:,}") for reason, count in statistics.left_out.items()]
    text = f"<h2>Skipped, as no conversations</h2>{_table(skips, ('reason', 'times', 'the first'))}" if skips else ""
    if left_out:
        text += f"<h2>Left out, as configured</h2>{_table(left_out, ('reason', 'conversations'))}"
    return text


def _examples(examples: Sequence[LoggedConversation]) -> str:
    if not examples:
        return ""
    return f"<h2>Examples</h2>{''.join(map(_example, examples))}"


def _example(conversation: LoggedConversation) -> str:
    told = {True: "success", False: "no success", None: "success not told"}[conversation.success]
    paid = f"return {conversation.episode.total_reward:.4g}" if conversation.rewarded else "no rewards"
    name = f"{conversation.id} · {told} · {paid} · {conversation.source}, {conversation.line}"
    shown = "".join(map(_message, conversation.messages[:_MESSAGES]))
    more = len(conversation.messages) - _MESSAGES
    left = f"<p>{more} more messages.</p>" if more > 0 else ""
    return f"<details><summary>{escape(name)}</summary>{shown}{left}</details>"


def _message(message: Message) -> str:
    calls = [f"{call['function']['name']} {call['function']['arguments']}" for call in message.get("tool_calls", ())]
    text = "\n".join(filter(None, (message["content"], *calls)))
    shown = text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]}… ({len(text) - _CHARACTERS:,} characters more)"
    role = escape(message["role"])
    return f'<div class="message {role}"><b>{role}</b>{escape(shown)}</div>'
