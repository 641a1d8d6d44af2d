"""The report is one page, which needs no other, in a real browser and without matplotlib."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from ss_gym.datasets import ConversationDataset, ConversationDatasetConfig, charts
from tests.ss_gym.datasets.logs import call, chat, lines, real_log, said

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def dataset(tmp_path: Path) -> ConversationDataset:
    calls = [call(name, EVIL) for name in (EVIL, "$x_y$ & co", "f")]
    looked = [*said(EVIL), {"role": "assistant", "tool_calls": calls}, {"role": "tool", "content": "1"}]
    records = [
        chat("Hi!", "Yes?", id="bad", reward=-1.5, success=False, score=0.25),
        {"messages": [*looked, *said("", "Done. " + "x" * 2_000)[1:]], "id": EVIL, "reward": 1, "success": True},
        {"messages": []},
    ]
    path = lines(tmp_path / "log.jsonl", records)
    return ConversationDataset.from_jsonl(path, ConversationDatasetConfig(on_error="skip"))


def test_the_page_needs_nothing_from_elsewhere_and_shows_texts_as_texts(
    dataset: ConversationDataset, tmp_path: Path
) -> None:
    path = dataset.report(tmp_path / "new" / "report.html", title=f"Log {EVIL}", examples=2)
    page = path.read_text(encoding="utf-8")
    assert "<script" not in page and page.count("&lt;script&gt;") >= 4
    assert not re.search(r"""(src|href)=(?!["']?#)""", page) and "url(http" not in page and "@import" not in page
    assert "Skipped, as no conversations" in page and "empty conversation" in page
    assert "characters more)" in page
    assert list((tmp_path / "new").iterdir()) == [path]


def test_the_same_dataset_gives_the_same_page(dataset: ConversationDataset, tmp_path: Path) -> None:
    first, second = (dataset.report(tmp_path / name).read_bytes() for name in ("1.html", "2.html"))
    assert first == second and b"Examples" not in first


def test_without_matplotlib_there_are_tables(dataset: ConversationDataset, tmp_path: Path, monkeypatch: Any) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib, to be left out")
    assert dataset.report(tmp_path / "drawn.html").read_text(encoding="utf-8").count("<svg") == 5

    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(charts, "import_module", absent)
    page = dataset.report(tmp_path / "tables.html").read_text(encoding="utf-8")
    assert "<svg" not in page and page.count("<figcaption>") == 5 and "class=bar" in page
    # One turn in each: whole numbers are told as such, and other bins by their ends.
    assert "<tr><th>1</th><td class=number>2</td>" in page and "<tr><th>-1.5 – -1.417</th>" in page


def test_a_number_of_examples_is_shown_from_the_worst_to_the_best(dataset: ConversationDataset, tmp_path: Path) -> None:
    page = dataset.report(tmp_path / "report.html", examples=50).read_text(encoding="utf-8")
    names = re.findall("<summary>(.*?)</summary>", page)
    assert [name.split(" · ")[0:3] for name in names] == [
        ["bad", "no success", "return -1.5"],
        ["&lt;script&gt;alert(1)&lt;/script&gt;", "success", "return 1"],
    ]
    with pytest.raises(ValueError, match="examples must be a whole number from 0 up, got -1"):
        dataset.report(tmp_path / "report.html", examples=-1)


@pytest.mark.skipif(
    shutil.which("chromium") is None or shutil.which("chromedriver") is None,
    reason="needs chromium and chromedriver (on Debian: apt install chromium chromium-driver)",
)
def test_a_browser_shows_the_page_of_real_runs(tmp_path: Path) -> None:
    webdriver = pytest.importorskip("selenium.webdriver")
    dataset = ConversationDataset.from_json(real_log("tau_bench_gpt4o_airline.json.gz"))
    path = dataset.report(tmp_path / "report.html", title="Airline", examples=2)
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in "headless no-sandbox disable-gpu disable-quic no-first-run window-size=1100,1500".split():
        options.add_argument(f"--{flag}")
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        browser.get(path.as_uri())
        assert browser.title == "Airline"
        drawings = browser.find_elements("css selector", "figure svg")
        assert len(drawings) == 4 and all(one.size["width"] > 300 and one.size["height"] > 100 for one in drawings)
        assert "42.0% of 200" in browser.find_element("tag name", "body").text
        summary = browser.find_element("css selector", "summary")
        assert not browser.find_element("css selector", ".message").is_displayed()
        summary.click()
        assert browser.find_element("css selector", ".message").is_displayed()
        # Nothing goes beyond the right edge.
        assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
        assert browser.get_log("browser") == []
    finally:
        browser.quit()
