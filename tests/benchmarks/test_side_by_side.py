"""What the comparison with other packages makes of results; no peer is installed here."""

from __future__ import annotations

import argparse
import random
import sys
from typing import Any

import pytest
from rich.console import Console

from tests.benchmarks import side_by_side
from tests.benchmarks.peers import observed
from tests.benchmarks.peers.installed import VERSIONS, Failed, last_line, pins
from tests.benchmarks.peers.measure import MARK, load
from tests.benchmarks.peers.subject import Episode
from tests.benchmarks.peers.subjects import OTHERS, entries

_PARTS = [
    {"steps_per_s": 100.0, "again_per_s": 110.0, "steps": 6.0, "solved": None, "reset_us": 3.0},
    {"import_s": 0.5, "first_step_s": 0.7},
    {"process_mb": 20.0, "environment_kb": 1.0},
    {"steps_per_s": 300.0, "again_per_s": 600.0, "steps": 6.0, "solved": None, "reset_us": 5.0},
    {"import_s": 0.1, "first_step_s": 0.3},
    {"process_mb": 22.0, "environment_kb": 3.0},
]
_FACTS = {key: "yes, and this is told in more than forty characters" for key, _ in side_by_side.FACTS}


def _results() -> tuple[list[Any], side_by_side.Results]:
    rows = entries(["StateSet/Refund-v0"])
    results = {entry.name: {"version": "1.0", "error": "ERROR: [no] such package"} for entry in rows}
    results["StateSet/Refund-v0"] = {"version": "1.0", "figures": side_by_side.medians(_PARTS), "facts": _FACTS}
    return rows, results


def test_medians_and_extremes_of_the_rounds():
    figures = side_by_side.medians(_PARTS)
    assert figures["steps_per_s"] == 200
    assert (figures["slowest"], figures["fastest"]) == (100, 300)
    assert figures["again"] == pytest.approx((1.1 + 2) / 2)
    assert figures["solved"] is None
    assert figures["first_step_s"] == 0.5


def test_every_row_is_in_every_table_and_failures_are_told():
    rows, results = _results()
    for title, headings, lines in side_by_side.tables(rows, results):
        assert [line[0] for line in lines] == [entry.name for entry in rows]
        assert {len(line) for line in lines} == {len(headings)}
        if title != "What a step does":
            assert all(line[1] == "failed: ERROR: [no] such package" for line in lines[1:])
        assert side_by_side.markdown(headings, lines).count("\n") == len(lines) + 2
    speed = side_by_side.tables(rows, results)[0]
    assert speed[2][0][1:] == ["200", "100", "300", "1.55", "6.0", "—", "4"]


def test_tables_can_be_shown_in_a_narrow_terminal():
    rows, results = _results()
    console = Console(width=80, force_terminal=False)
    with console.capture() as capture:
        for table in side_by_side.tables(rows, results):
            console.print(side_by_side.rich_table(*table))
    shown = capture.get()
    assert "…" not in shown
    assert "skyrl-gym text2sql failed: ERROR: [no] such package" in shown
    assert "check_env passes" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_result_is_found_among_what_a_package_prints():
    assert side_by_side.parsed(f'loading\n\n{MARK}{{"steps": 3.0}}\nbye\n') == {"steps": 3.0}
    with pytest.raises(Failed, match="no result in what was printed: 'loading'"):
        side_by_side.parsed("loading\n")
    assert (
        last_line("Collecting x\nERROR: No matching distribution\nWARNING: old\n") == "ERROR: No matching distribution"
    )


def test_ids_that_are_not_registered_are_named():
    assert side_by_side.unregistered(["StateSet/Refund-v0", "StateSet/Nothing-v0"]) == ["StateSet/Nothing-v0"]


@pytest.mark.parametrize("package", sorted({entry.package for entry in OTHERS} - {""}))
def test_the_list_of_a_peer_is_pinned_begins_with_it_and_brings_no_torch(package):
    versions = pins(package)
    assert next(iter(versions)) == package
    assert all(versions.values())
    assert not [name for name in versions if name == "torch" or name.startswith("nvidia")]
    assert {path.stem for path in VERSIONS.iterdir()} == {entry.package for entry in OTHERS} - {""}


def test_parts_run_in_processes_of_their_own():
    entry = next(entry for entry in OTHERS if not entry.package)
    options = argparse.Namespace(episodes=20, environments=3)
    speed = side_by_side.run_part(sys.executable, "speed", entry, options)
    assert speed["steps"] == 6
    assert speed["solved"] is None
    assert speed["steps_per_s"] > 0
    with pytest.raises(Failed, match="nowhere"):
        side_by_side.run_part(sys.executable, "start", entry._replace(target="nowhere:Nothing"), options)


def test_facts_about_an_environment_of_ours():
    subject = load("tests.benchmarks.peers.ours:Conversation")
    assert observed.gymnasium_check(subject) == "yes"
    assert observed.step_form(subject) == "5 values (str, float, bool, bool, dict)"
    assert observed.seeding(subject) == "yes, with a generator of its own"
    assert observed.reuse(subject) == "yes"
    assert observed.saving(subject) == "get_state, pickle, deepcopy"


def test_success_in_a_family_is_seen_to_depend_on_the_database():
    found = load("tests.benchmarks.peers.ours:Family", "StateSet/Refund-v0").checked()
    missed, tried = found.removeprefix("rows written to a database: ").split(" solved")[0].split(" of ")
    assert missed == tried
    assert int(tried) > 0


class _Careless:
    """Draws from the process's generator, remembers the last episode, and can't be copied."""

    def __init__(self) -> None:
        self.seen: list[float] = []
        self.open = (number for number in range(3))

    def reset(self) -> None:
        self.seen.append(random.random())


class _Subject:
    def episodes(self, count: int) -> list[Episode]:
        return [Episode(number, ("one", "two")) for number in range(count)]

    def make(self) -> _Careless:
        return _Careless()

    def reset_method(self, handle: _Careless) -> Any:
        return handle.reset

    def trace(self, handle: _Careless, episode: Episode, start: int = 0, stop: int | None = None) -> list[Any]:
        if start == 0:
            handle.reset()
        return list(handle.seen)


def test_facts_about_an_environment_that_lacks_things():
    state = random.getstate()
    try:
        assert observed.seeding(_Subject()) == "no: the process's generator decides"
        assert observed.reuse(_Subject()) == "no: it answers otherwise than a new one"
        assert observed.saving(_Subject()) == "no"
    finally:
        random.setstate(state)
