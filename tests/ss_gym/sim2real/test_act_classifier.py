"""Dialogue acts of messages."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from ss_gym.sim2real import ActClassifier, load_act_classifier

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("SS_GYM_TEST_DATA", ROOT.parent / "shared/data")) / "sgd_dialogues.jsonl.gz"
TEXTS = ["yes please", "yes do it", "no thanks", "no never", "thanks a lot", "thanks, bye", "bye now", "ok yes, thanks"]
ACTS = [["YES"], ["YES"], ["NO"], ["NO"], ["THANK"], ["THANK", "BYE"], ["BYE"], ["YES", "THANK"]]


def test_it_tells_several_acts_of_a_message_it_has_not_seen() -> None:
    classifier = ActClassifier.fit(TEXTS, ACTS, epochs=60)
    assert classifier.acts == ("BYE", "NO", "THANK", "YES")
    assert classifier.read(TEXTS) == [tuple(sorted(each)) for each in ACTS]
    assert classifier.read(["yes yes", "bye, thanks", "", "  "]) == [("YES",), ("BYE", "THANK"), (), ()]
    assert classifier.read([]) == []


def test_where_nothing_is_likely_the_likeliest_is_told() -> None:
    biases = np.array([-2, -3, -1, -4], np.float32)
    classifier = ActClassifier(("a", "b", "c", "d"), np.zeros((4, 64), np.float32), biases)
    assert (classifier.probabilities(["anything"]) < 0.5).all()
    assert classifier.read(["anything"]) == [("c",)]


def test_what_was_saved_reads_the_same_up_to_half_precision(tmp_path) -> None:
    classifier = ActClassifier.fit(TEXTS, ACTS, epochs=60)
    classifier.save(tmp_path / "acts.npz")
    loaded = ActClassifier.load(tmp_path / "acts.npz")
    np.testing.assert_allclose(loaded.probabilities(TEXTS), classifier.probabilities(TEXTS), atol=2e-3)
    assert loaded.read(TEXTS) == classifier.read(TEXTS)


def test_the_same_messages_give_the_same_classifier() -> None:
    one, other = (ActClassifier.fit(TEXTS, ACTS, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.probabilities(TEXTS), other.probabilities(TEXTS))


def test_bad_input_is_named(tmp_path) -> None:
    with pytest.raises(ValueError, match="not 0 and 0"):
        ActClassifier.fit([], [])
    with pytest.raises(ValueError, match="not 2 and 1"):
        ActClassifier.fit(["a", "b"], [["X"]])
    with pytest.raises(ValueError, match="no classifier of 'customer'; did you mean 'user'"):
        load_act_classifier("customer")
    np.savez(tmp_path / "other.npz", acts=np.array(["a"]))
    with pytest.raises(ValueError, match="holds no act classifier"):
        ActClassifier.load(tmp_path / "other.npz")


@pytest.mark.skipif(not DATA.exists(), reason=f"there are no dialogues at {DATA}")
@pytest.mark.parametrize(("role", "exact", "f1"), [("user", 0.70, 0.83), ("assistant", 0.89, 0.92)])
def test_what_is_said_of_the_package_s_classifiers_is_so(role, exact, f1, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs/examples"))
    import dialogue_acts

    measured = dialogue_acts.quality(load_act_classifier(role), *dialogue_acts.messages(DATA, "test", role))
    assert measured.messages == 4021
    assert (round(measured.exact, 2), round(measured.f1, 2)) == (exact, f1)


@pytest.mark.skipif(not DATA.exists(), reason=f"there are no dialogues at {DATA}")
def test_the_script_learns_measures_and_writes(tmp_path, monkeypatch, capsys) -> None:
    import gzip

    monkeypatch.syspath_prepend(str(ROOT / "docs/examples"))
    import dialogue_acts

    with gzip.open(DATA, "rt", encoding="utf-8") as lines:
        kept = [line for number, line in enumerate(lines) if number % 40 == 0]
    (tmp_path / "some.jsonl").write_text("".join(kept), encoding="utf-8")
    dialogue_acts.main([str(tmp_path / "some.jsonl"), "--out", str(tmp_path)])
    assert "all acts right" in capsys.readouterr().out
    assert ActClassifier.load(tmp_path / "acts_user.npz").read(["Thank you very much."]) == [("THANK_YOU",)]
    assert "dialogue_acts" in sys.modules
