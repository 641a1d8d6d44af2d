"""The pages of a leaderboard, in a real browser."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ss_baselines.leaderboard import Protocol
from tests.browser import needs_browser
from tests.ss_baselines.invocation import assert_one_line_error, invoke
from tests.ss_baselines.leaderboard.played import CANCEL, REFUND, submission

EVIL = "<img src=x onerror=alert(1)>|'\"& [/x]"
TWO = Protocol((REFUND, CANCEL), 3, 2)
PLAYED = ("rule_bot", "always_grant", "silent")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A board of three submissions, one of them with a name that would like to be a script."""
    folder = tmp_path_factory.mktemp("board")
    kinds = {"rule_bot": "scripted", "always_grant": "scripted", "silent": "control"}
    for agent in PLAYED:
        card = {"kind": kinds[agent], "url": "javascript:alert(1)" if agent == "silent" else "https://example.com"}
        name = EVIL if agent == "always_grant" else agent
        submission(folder / "submissions" / agent, agent, TWO, name=name, description=EVIL, **card)
    result = invoke("leaderboard", str(folder / "submissions"), "--out", str(folder / "site"), "--transcripts", "2")
    assert result.exit_code == 0, result.output
    assert "Leaderboard: StateSet/Refund-v0" in result.stdout and "rule_bot" in result.stdout
    assert "missing: reference, keyword_stuffer" in result.stderr
    return folder / "site"


def links_of(page: str) -> list[str]:
    """What a page points to, as a browser reads it."""
    found: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend(str(value) for name, value in attrs if name in ("src", "href"))

    Reader().feed(page)
    return found


def test_the_pages_need_nothing_from_elsewhere_and_show_texts_as_texts(site: Path) -> None:
    pages = [site / "index.html", *(site / "agents").iterdir()]
    assert len(pages) == 4
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert "<img" not in text and "javascript:" not in text and "@import" not in text and "url(" not in text
        links = links_of(text)
        assert all(
            re.fullmatch(r"agents/[a-z0-9-]+\.html|\.\./index\.html|https://example\.com", link) for link in links
        )
        for link in links:
            assert link.startswith("https://") or (page.parent / link).is_file()


def test_rows_and_tables_say_the_same(site: Path) -> None:
    rows = json.loads((site / "leaderboard.json").read_text(encoding="utf-8"))["rows"]
    assert {row["agent"]["name"] for row in rows} == {"rule_bot", "silent", EVIL}
    table = (site / "leaderboard.md").read_text(encoding="utf-8")
    for row in rows:
        assert row["digest"] and row["verified_steps"] > 0 and set(row["standings"]) == {REFUND, CANCEL}
        told = row["standings"][REFUND]["passes"][0]
        assert f"{told['value']:.3f} [{told['low']:.3f}, {told['high']:.3f}]" in table
    assert all(line.count(" | ") == 12 for line in table.splitlines() if line.startswith("|  | "))


@needs_browser
def test_one_can_sort_filter_and_read(site: Path, browser: Any) -> None:
    browser.get(f"file://{site}/index.html")

    def rows() -> list[str]:
        shown = browser.find_elements("css selector", "section:not([hidden]) tbody tr:not([hidden]) td:nth-child(2)")
        return [each.find_element("css selector", "a").text for each in shown]

    def press(column: str) -> None:
        heads = browser.find_elements("css selector", "section:not([hidden]) th button")
        next(head for head in heads if head.text.strip(" ▲▼") == column).click()

    assert rows()[-1] == "silent" and sorted(rows()) == sorted(["rule_bot", "silent", EVIL])
    press("pass^1")
    assert rows()[0] == "silent"
    press("pass^1")
    assert rows()[-1] == "silent"
    press("agent")
    assert rows() == sorted(rows(), key=str.lower)
    browser.find_element("css selector", "input[value=control]").click()
    assert sorted(rows()) == sorted(["rule_bot", EVIL])
    scope = browser.find_element("id", "scope")
    scope.send_keys("StateSet/Cancel")
    assert browser.find_element("css selector", "section:not([hidden]) h2").text == CANCEL
    assert browser.find_elements("css selector", "section:not([hidden]) svg.chart polyline")
    browser.get(f"file://{site}/index.html#{CANCEL.replace('/', '%2F')}")
    browser.refresh()
    assert browser.find_element("css selector", "section:not([hidden]) h2").text == CANCEL
    browser.find_element("link text", "rule_bot").click()
    assert browser.find_element("tag name", "h1").text == "rule_bot"
    conversation = browser.find_element("css selector", "details")
    conversation.click()
    assert "customer" in conversation.text and "right outcome" in conversation.text
    assert [each["message"] for each in browser.get_log("browser") if "favicon" not in each["message"]] == []


def test_a_board_is_all_or_nothing(site: Path, tmp_path: Path) -> None:
    folder = tmp_path / "submissions"
    for agent in ("silent", "always_refuse"):
        submission(folder / agent, agent, Protocol((REFUND,), 1, 1))
    broken = folder / "silent" / "actions.jsonl.gz"
    broken.write_bytes(broken.read_bytes()[:-3])
    out = tmp_path / "site"
    refused = invoke("leaderboard", str(folder), "--out", str(out))
    assert refused.exit_code == 2 and "silent' is refused: actions.jsonl.gz" in refused.stderr.splitlines()[-1]
    assert not out.exists()
    assert_one_line_error(invoke("verify", str(folder / "silent")), "is refused")
    assert_one_line_error(invoke("leaderboard", str(tmp_path / "none"), "--out", str(out)), "no submission in")
    twice = [str(folder / "always_refuse")] * 2
    assert_one_line_error(invoke("leaderboard", *twice, "--out", str(out)), "are both called 'always_refuse'")
