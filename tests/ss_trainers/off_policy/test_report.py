"""Whether to deploy: the rule on cases by hand, and a report that tells all of it."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ss_trainers.off_policy.estimates import ESTIMATORS, OffPolicyEstimate, PolicyEvaluation
from ss_trainers.off_policy.interval_chart import Interval, interval_chart
from ss_trainers.off_policy.report import DeploymentReport
from ss_trainers.off_policy.verdicts import Decision, DeploymentRule, verdict_of

TOO_LITTLE = "the 900 logged episodes tell as much about this policy as 3.2 of its own would, and 10 are needed"


def about(value: float, half: float = 0.02) -> OffPolicyEstimate:
    return OffPolicyEstimate(value, value - half, value + half)


def evaluation(value: float, effective: float = 200.0, **others: OffPolicyEstimate) -> PolicyEvaluation:
    """All estimators agree on a value but for those that are given; the logged policy earns .4, give or take .03."""
    estimates = {name: others.get(name, about(value)) for name in ESTIMATORS}
    weight = others.get("mean_weight", about(1.0, 0.1))
    return PolicyEvaluation(estimates, about(0.4, 0.03), weight, effective, 900, 0.95)


# --- the rule ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "decision", "says"),
    [
        # Lower bounds of .48 against an upper bound of .43, and upper bounds of .32 against a lower one of .37.
        (evaluation(0.5), Decision.DEPLOY, "By WIS and DR it earns 0.480 at least, which is above the logged policy's"),
        (
            evaluation(0.3),
            Decision.DO_NOT_DEPLOY,
            "it earns 0.320 at most, which is below the logged policy's 0.400 [0",
        ),
        # .43 is not above .43, and .37 not below .37.
        (evaluation(0.45), Decision.NOT_KNOWN, "Not all intervals are to one side of the logged policy's 0.400 [0.370"),
        (evaluation(0.35), Decision.NOT_KNOWN, "Not all intervals are to one side"),
        (evaluation(0.4), Decision.NOT_KNOWN, "WIS 0.400 [0.380, 0.420], DR 0.400 [0.380, 0.420]"),
        # One of the two is enough to doubt it; a third is not asked.
        (evaluation(0.5, dr=about(0.45, 0.04)), Decision.NOT_KNOWN, "Not all intervals"),
        (evaluation(0.5, fqe=about(0.41, 0.04)), Decision.DEPLOY, "By WIS and DR"),
        (evaluation(0.5, **{"is": about(0.38, 0.3)}), Decision.DEPLOY, "By WIS and DR"),
        # Unless all of its interval is on the other side.
        (evaluation(0.5, fqe=about(0.35, 0.04)), Decision.NOT_KNOWN, "FQE 0.350 [0.310, 0.390] is below the logged"),
        (evaluation(0.3, pdis=about(0.45, 0.04)), Decision.NOT_KNOWN, "PDIS 0.450 [0.410, 0.490] is above the logged"),
        (
            evaluation(0.5, wis=about(0.6)),
            Decision.NOT_KNOWN,
            "contradict each other: WIS 0.600 [0.580, 0.620], DR 0.5",
        ),
        (evaluation(0.5, wis=about(0.54)), Decision.DEPLOY, "it earns 0.480 at least"),
        (evaluation(0.5, effective=49.9), Decision.NOT_KNOWN, "as 49.9 of its own would, and the rule asks for 50"),
        (evaluation(0.5, effective=50.0), Decision.DEPLOY, "By WIS and DR"),
        (
            evaluation(0.5, mean_weight=about(0.8, 0.1)),
            Decision.NOT_KNOWN,
            "should weigh 1 in the mean, and weigh 0.800",
        ),
        (evaluation(0.5, dr=OffPolicyEstimate(reason="none")), Decision.NOT_KNOWN, "DR says nothing: none."),
        (evaluation(0.5, fqe=OffPolicyEstimate(reason="none")), Decision.DEPLOY, "By WIS and DR"),
    ],
)
def test_verdicts_by_hand(found: PolicyEvaluation, decision: Decision, says: str) -> None:
    verdict = verdict_of(found)
    assert verdict.decision is decision and says in verdict.reason
    assert verdict.reason.endswith(".") and "\n" not in verdict.reason


def test_others_may_have_the_say_and_fewer_episodes_be_enough() -> None:
    found = evaluation(0.5, effective=20.0, dr=OffPolicyEstimate(reason="no values"))
    assert verdict_of(found, DeploymentRule(("wis", "pdis"), least=20)).decision is Decision.DEPLOY
    assert verdict_of(found, DeploymentRule(("wis", "pdis"))).decision is Decision.NOT_KNOWN
    for wrong in ((), ("wis", "luck")):
        with pytest.raises(ValueError, match="estimators must be one or more of is, wis, pdis, dr, fqe, not"):
            DeploymentRule(wrong)
    with pytest.raises(ValueError, match="least must be at least 0"):
        DeploymentRule(least=-1)


# --- the report -------------------------------------------------------------------------------------

REFUSED = {name: OffPolicyEstimate(effective_samples=3.2, reason=TOO_LITTLE) for name in ESTIMATORS}
POLICIES = {
    "good": evaluation(0.5),
    "<b>bad</b> & | worse": evaluation(0.3),
    "far": evaluation(0.7, effective=3.2, **REFUSED),
}


class Text(HTMLParser):
    """What is read on a page, and which elements it has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_names_all_policies_with_verdicts_and_reasons_and_needs_nothing_else() -> None:
    report = DeploymentReport.of(POLICIES)
    page = report.page("Refunds & more")
    read = Text(page)
    for name, verdict in report.verdicts.items():
        assert read.words.count(name) >= 3  # advice, drawing and figures
        assert verdict.decision.value in read.words and verdict.reason in read.words
    assert [one.decision for one in report.verdicts.values()] == list(Decision)
    assert f"far, IS, WIS, PDIS, DR, FQE: {TOO_LITTLE}." in read.words
    assert "b" not in {tag for tag, _ in read.tags}
    assert not [each for _, attributes in read.tags for each in attributes if each in ("src", "href")]
    # Two policies of five estimators; of the third they say nothing.
    drawing = ET.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])
    assert len(drawing.findall(".//{*}circle")) == 10


def test_the_markdown_has_a_row_for_each_policy_and_its_verdict() -> None:
    text = DeploymentReport.of(POLICIES).markdown("Refunds")
    assert text.startswith("# Refunds\n\n900 logged episodes; the policy that was logged earns 0.400 [0.370, 0.430]")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 5 and {line.count("|") for line in rows} == {9}
    assert rows[2].startswith("| good | 0.500 [0.480, 0.520] |") and "| – |" in rows[4] and "| 3.2 |" in rows[4]
    assert "* **good**: deploy. By WIS and DR" in text and "* **far**: not known: log more" in text
    assert f"* far, IS, WIS, PDIS, DR, FQE: {TOO_LITTLE}." in text


def test_a_report_is_written_whole_in_the_form_that_its_name_says(tmp_path: Path) -> None:
    report = DeploymentReport.of(POLICIES)
    assert report.write(tmp_path / "new" / "report.html", "R").read_text(encoding="utf-8") == report.page("R")
    assert report.write(tmp_path / "report.md", "R").read_text(encoding="utf-8") == report.markdown("R")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(OSError, match="folder"):
        report.write(tmp_path / "folder.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.html", "new", "report.md"]


def test_policies_of_different_logs_are_not_compared() -> None:
    other = replace(evaluation(0.5), behavior=about(0.41, 0.03))
    with pytest.raises(ValueError, match="by the same log, rewards and settings only"):
        DeploymentReport.of({"one": evaluation(0.5), "other": other})
    with pytest.raises(ValueError, match="there is no policy"):
        DeploymentReport.of({})


def test_a_drawing_keeps_its_intervals_in_order_and_inside_also_where_there_is_nothing_to_spread() -> None:
    def places(low: float, value: float, high: float) -> list[float]:
        drawing = ET.fromstring(
            interval_chart([("p", [Interval("one", value, low, high)])], Interval("all", 0.4, 0.4, 0.4), "return")
        )
        circle = drawing.find(".//{*}circle")
        line = next(each for each in drawing.findall(".//{*}line") if each.get("stroke-width") == "3")
        assert circle is not None
        return [float(str(each)) for each in (line.get("x1"), circle.get("cx"), line.get("x2"))]

    left, middle, right = places(0.3, 0.5, 0.6)
    assert 130 < left < middle < right < 760 and (middle - left) == pytest.approx(2 * (right - middle), abs=0.2)
    assert places(0.4, 0.4, 0.4) == [pytest.approx(437, abs=1)] * 3
    assert all(130 < place < 760 for place in (*places(-1e9, 0, 1e9), *places(1e-9, 2e-9, 3e-9)))
