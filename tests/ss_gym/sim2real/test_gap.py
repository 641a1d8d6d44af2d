"""The gap between real and simulated conversations."""

import numpy as np
import pytest

from ss_gym.sim2real import Dialogue, sim_real_gap
from ss_gym.sim2real.gap import _multiple

WORDS = "where is my parcel please I want a refund for the blue lamp that broke thanks".split()


def talks(count, seed, length=6, messages=4):
    """Dialogues of random words."""
    draw = np.random.default_rng(seed)
    return [
        Dialogue(
            tuple(" ".join(draw.choice(WORDS, 1 + draw.poisson(length))) for _ in range(1 + draw.poisson(messages))),
            ("Let me check.", "Anything else?"),
        )
        for _ in range(count)
    ]


def test_dialogues_of_one_kind_have_no_gap() -> None:
    report = sim_real_gap(talks(60, 1), talks(60, 2), permutations=199, splits=50)
    assert (report.real, report.simulated) == (60, 60)
    assert min(metric.adjusted_p for metric in report.metrics) > 0.05
    for metric in report.metrics:
        assert metric.adjusted_p >= metric.p_value
        # Halves differ by more than two samples of twice their size.
        assert metric.value <= 1.5 * metric.floor_upper + 0.05


def test_longer_messages_are_found_and_told_from_more_messages() -> None:
    report = sim_real_gap(talks(60, 1), talks(60, 2, length=14), permutations=199, splits=50)
    words, turns = report["words of a message, W1"], report["messages of a customer, W1"]
    assert words.adjusted_p < 0.05 < turns.adjusted_p
    assert words.effect > 0.8 and abs(turns.effect) < 0.4 and words.value == pytest.approx(8, abs=1.5)
    assert report["features, C2ST"].value > 0.9 and report["features, C2ST"].floor == 0.5
    assert 0.5 < report["features, C2ST"].floor_upper < 0.7
    shorter = sim_real_gap(talks(60, 2, length=14), talks(60, 1), permutations=99, splits=20)
    assert shorter["words of a message"].effect == pytest.approx(-words.effect)


def test_the_same_seed_gives_the_same_report() -> None:
    one, other = (sim_real_gap(talks(20, 1), talks(15, 2), permutations=49, splits=20, seed=4) for _ in range(2))
    assert one == other
    with pytest.raises(KeyError, match="there is no 'smell'"):
        one["smell"]


def test_a_report_can_be_read_anywhere(tmp_path) -> None:
    pytest.importorskip("matplotlib")
    report = sim_real_gap(talks(20, 1), talks(20, 2, length=9), permutations=49, splits=20)
    lines = report.markdown().splitlines()
    assert len(lines) == 2 + len(report.metrics) == 2 + len(report.rows)
    assert report.table().row_count == len(report.metrics)
    report.save(tmp_path / "gap.html")
    page = (tmp_path / "gap.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 1 and page.count("<tr>") == len(report.metrics) + len(report.differences) + 2
    assert "words not known" in page and "<h1>20 real and 20 simulated dialogues</h1>" in page
    report.save(tmp_path / "gap.png")
    assert (tmp_path / "gap.png").read_bytes()[:4] == b"\x89PNG"


def test_too_few_dialogues_are_refused() -> None:
    with pytest.raises(ValueError, match="ten dialogues or more of either, not 20 and 9"):
        sim_real_gap(talks(20, 1), talks(9, 2))


def test_dialogues_that_are_all_alike_have_nothing_to_compare() -> None:
    with pytest.raises(ValueError, match="all dialogues are alike"):
        sim_real_gap([Dialogue(("hello",), ("hi",))] * 10, [Dialogue(("hello",), ("hi",))] * 10)


def test_a_measure_that_real_dialogues_do_not_have_at_all_is_not_drawn_as_none() -> None:
    other = [Dialogue(talk.customer, ("Goodbye!", "I found two flights.", "Goodbye!")) for talk in talks(20, 2)]
    report = sim_real_gap(talks(20, 1), other, permutations=49, splits=20)
    acts = report["acts of agents"]
    assert acts.floor_upper == 0 < acts.value
    assert _multiple(acts) is None
    assert _multiple(report["words of a message"]) > 0
