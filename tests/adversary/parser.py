"""Tries the parsers with completions of every kind, and prints what came of it.

python -m tests.adversary.parser --inputs 1000000 --seed 0
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from ss_gym.actions import action_message, parse_action, showable
from ss_gym.agents.dialects import DIALECTS, Dialect, as_action
from ss_gym.types import ParsedAction
from tests.adversary.completions import Sample, sample
from tests.growth import MORE_TEXT, in_proportion

# CPU seconds from which on it is looked whether reading a text grows with its square: so much, and so much a character.
_AT_ONCE, _A_CHARACTER = 0.1, 10e-6
_MOST_SHOWN = 10
_FIRST_ID = 7
_TAGS = ("<tool_call>", "<think>", "</think>")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be: in which sample, read in which dialect, and what."""

    sample: Sample
    dialect: Dialect
    what: str


@dataclass(slots=True)
class Tally:
    """What came of one kind of samples: counts, CPU seconds of reading, and the slowest text."""

    inputs: int = 0
    characters: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    slowest_number: int = -1
    slowest_length: int = 0
    exceptions: int = 0
    findings: int = 0


@dataclass(slots=True)
class Trial:
    """Reads samples in every dialect and keeps what is wrong.

    Attributes:
        seed: of the samples.
        parse: the parser.
        translate: the reader of dialects.
        tallies: of each kind.
        findings: the first of each kind and dialect, and some more.
    """

    seed: int = 0
    parse: Callable[[str, int], ParsedAction] = parse_action
    translate: Callable[[str, Dialect], str] = as_action
    tallies: dict[str, Tally] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def run(self, numbers: Iterable[int]) -> Iterator[int]:
        """Tries the samples of these numbers; tells of each that is done."""
        for number in numbers:
            self.try_sample(sample(number, self.seed))
            yield number

    def try_sample(self, tried: Sample) -> None:
        """Reads one sample in every dialect."""
        tally = self.tallies.setdefault(tried.kind, Tally())
        tally.inputs += 1
        tally.characters += len(tried.text)
        for dialect in DIALECTS:
            begun = time.thread_time()
            try:
                written = self.translate(tried.text, dialect)
                action = self.parse(written, _FIRST_ID)
            except Exception as error:
                tally.exceptions += 1
                self._find(tally, tried, dialect, f"raised {error!r:.200}")
                continue
            seconds = time.thread_time() - begun
            tally.seconds += seconds
            if seconds > tally.slowest:
                tally.slowest, tally.slowest_number, tally.slowest_length = seconds, tried.number, len(tried.text)
            if seconds > _AT_ONCE + _A_CHARACTER * len(tried.text) and not self._in_proportion(tried.text, dialect):
                self._find(tally, tried, dialect, f"took {seconds:.2f} s for {len(tried.text)} characters")
            for what in self._wrong(tried, dialect, written, action):
                self._find(tally, tried, dialect, what)

    def _in_proportion(self, text: str, dialect: Dialect) -> bool:
        """Whether it took so long because of the machine, a collection of garbage, or its mere length."""
        eighth = len(text) // MORE_TEXT
        return in_proportion(
            lambda part: self.parse(self.translate(part, dialect), _FIRST_ID),
            text[:eighth],
            text[: eighth * MORE_TEXT],
        )

    def _find(self, tally: Tally, tried: Sample, dialect: Dialect, what: str) -> None:
        tally.findings += 1
        new = all((each.sample.kind, each.dialect) != (tried.kind, dialect) for each in self.findings)
        if new or len(self.findings) < 100:
            self.findings.append(Finding(tried, dialect, what))

    def _wrong(self, tried: Sample, dialect: Dialect, written: str, action: ParsedAction) -> Iterator[str]:
        if dialect == "hermes" and written != tried.text:
            yield "our own form was changed"
        yield from _broken_contract(written, action)
        yield from self._not_fixed(action)
        if tried.dialect == dialect:
            read = [(call.name, call.arguments, call.error) for call in action.tool_calls]
            if read != [(name, given, "") for name, given in tried.calls]:
                yield f"read as {read!r:.300}"
        if tried.secret and (tried.secret in action.say or tried.secret in action.aside):
            yield "a thought is said"
        if tried.secret and tried.secret not in action.thought:
            yield "a thought is none"

    def _not_fixed(self, action: ParsedAction) -> Iterator[str]:
        """What is said is said again when it is read anew, and so are the calls that could be read."""
        good = action._replace(tool_calls=tuple(call for call in action.tool_calls if not call.error))
        message = action_message(good) if good.tool_calls else {"content": action.say or action.aside}
        text = message["content"] + "".join(map(_written, message.get("tool_calls", ())))
        again = self.parse(text, _FIRST_ID)
        if [call[1:3] for call in again.tool_calls] != [call[1:3] for call in good.tool_calls]:
            yield f"its calls are others when they are read again: {again.tool_calls!r:.200}"
        if any(call.error for call in again.tool_calls) or again.thought:
            yield f"what is made of it is not what it was: {again!r:.200}"
        if (again.say, again.aside) != (("", action.aside) if good.tool_calls else (message["content"], "")):
            yield f"its words are others when they are read again: {again.say or again.aside!r:.200}"


def _written(call: dict[str, dict[str, str]]) -> str:
    function = call["function"]
    return f'<tool_call>{{"name": {json.dumps(function["name"])}, "arguments": {function["arguments"]}}}</tool_call>'


def _broken_contract(text: str, action: ParsedAction) -> Iterator[str]:
    """What an action is not that every action is."""
    if action.text != text:
        yield "the text is another"
    if [call.id for call in action.tool_calls] != [
        f"call_{_FIRST_ID + place}" for place in range(len(action.tool_calls))
    ]:
        yield "the ids are not consecutive"
    if action.say if action.tool_calls else action.aside:
        yield "something is said beside calls, or aside without one"
    for call in action.tool_calls:
        if call.error and call.arguments:
            yield "a call that can't be read has arguments"
        if not call.error and not (call.name and isinstance(call.arguments, dict)):
            yield "a call has no name, or arguments that are none"
    for words in (action.say, action.aside):
        if words != showable(words).strip():
            yield "what is said can't be shown"
        if any(tag in words for tag in _TAGS):
            yield f"a tag is said: {words!r:.100}"
    try:
        "".join([action.say, action.aside, *(call.raw + call.name for call in action.tool_calls)]).encode()
        json.loads(json.dumps(action_message(action), allow_nan=False))
        for call in action.tool_calls:
            json.dumps(call.arguments, allow_nan=False, ensure_ascii=False).encode()
    except ValueError as error:
        yield f"it can't be written: {error!r:.200}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Try to break the parsers of completions.")
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    options = parser.parse_args()
    console, trial, start = Console(), Trial(options.seed), time.process_time()
    columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("inputs", total=options.inputs)
        for _ in trial.run(range(options.first, options.first + options.inputs)):
            progress.advance(bar)
    show(console, trial, time.process_time() - start)
    return 1 if trial.findings else 0


def show(console: Console, trial: Trial, seconds: float) -> None:
    """Prints the table of a trial, and the first findings."""
    title = f"the parsers, each input in {len(DIALECTS)} dialects, seed {trial.seed}: {seconds:,.0f} CPU s"
    table = Table(title=title, title_justify="left", padding=(0, 0))
    columns = ("kind", "inputs", "M chars", "CPU s", "slowest ms", "number", "chars", "raised", "findings")
    for column in columns:
        table.add_column(column, justify="left" if column == "kind" else "right")
    rows = [*sorted(trial.tallies.items()), ("all", _sum(trial.tallies.values()))]
    for kind, tally in rows:
        table.add_row(
            *(kind, f"{tally.inputs:,}", f"{tally.characters / 1e6:,.1f}", f"{tally.seconds:,.1f}"),
            *(f"{1000 * tally.slowest:,.1f}", f"{tally.slowest_number:,}", f"{tally.slowest_length:,}"),
            *(f"{tally.exceptions:,}", f"{tally.findings:,}"),
        )
    console.print(table)
    for finding in trial.findings[:_MOST_SHOWN]:
        tried = finding.sample
        console.print(f"\n{tried.number} ({tried.kind}) as {finding.dialect}: {finding.what}", markup=False)
        console.print(ascii(tried.text[:500]), markup=False, highlight=False)


def _sum(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.inputs += tally.inputs
        total.characters += tally.characters
        total.seconds += tally.seconds
        total.exceptions += tally.exceptions
        total.findings += tally.findings
        if tally.slowest > total.slowest:
            total.slowest, total.slowest_number = tally.slowest, tally.slowest_number
            total.slowest_length = tally.slowest_length
    return total


if __name__ == "__main__":
    sys.exit(main())
