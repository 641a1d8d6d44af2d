"""A scenario file with a mistake in it: the error names the file, the field and the line."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import gymnasium
import pytest

import ss_gym  # noqa: F401  (registers the ids)
from ss_gym import scenario_files
from ss_gym.commerce.prompt import sections
from ss_gym.families import load_family, splits
from ss_gym.families.splits import load_scenario
from ss_gym.scenario_files import folder, folder_of, read_text, read_yaml
from ss_gym.testing import check_family
from ss_gym.users.understanding import load_understanding

Break = Callable[[str, str, str], None]


def _forget() -> None:
    for kept in (
        folder_of,
        read_text,
        read_yaml,
        sections,
        load_family,
        load_scenario,
        splits.frozen_pairs,
        splits._check_digest,
    ):
        kept.cache_clear()


@pytest.fixture
def scenarios(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the refund family's folder that the package reads instead of its own."""
    copy = tmp_path / "scenarios"
    shutil.copytree(folder(), copy)
    monkeypatch.setattr(scenario_files, "folder", lambda: copy)
    _forget()
    yield copy / "refund"
    _forget()


@pytest.fixture
def broken(scenarios: Path) -> Break:
    """Replaces a text that a file has exactly once."""

    def replace(name: str, old: str, new: str) -> None:
        text = (scenarios / name).read_text(encoding="utf-8")
        assert text.count(old) == 1
        (scenarios / name).write_text(text.replace(old, new), encoding="utf-8")

    return replace


def play(split: str = "train", prompt: str = "full") -> str:
    """What an environment over the files says first."""
    observation, _ = gymnasium.make("StateSet/Refund-v0", split=split, prompt=prompt).reset(seed=0)
    return str(observation)


def test_the_copy_is_read_and_is_sound(scenarios: Path) -> None:
    for split in ("train", "dev", "test"):
        assert play(split)
    (scenarios / "family.yaml").unlink()
    _forget()
    with pytest.raises(FileNotFoundError, match=str(scenarios)):
        play()


PARAMETERS = {
    "no tools": ("tools: #", "tolls: #", r"line 2, field tolls: is not known; did you mean 'tools'\?"),
    "a tool that is no text": ("- list_orders", "- [list_orders]", r"line 6, field tools\[3\]: expected a text"),
    "no transfers": (
        "transfers: [refund_over_limit, delivery_dispute, other]",
        "transfers: []",
        r"refund/family\.yaml, line 18, field transfers: expected a list of texts, got \[\]",
    ),
    "no kinds": ("kinds: #", "sorts: #", r"refund/family\.yaml, line 2, field kinds: expected a mapping of kinds"),
    "kinds that are a list": (
        "kinds: # weight",
        "kinds: []\nsorts: #",
        r"line 48, field kinds: expected a mapping of kinds.*, got \[\]",
    ),
    "a mistyped section": ("notes: #", "nots: #", r"line \d+, field nots: is not known; did you mean 'notes'\?"),
    "a mistyped rule": (
        "return_window_days:\n",
        "return_windw_days:\n",
        r"refund/family\.yaml, line 20, field rules\.return_windw_days: is not known; did you mean "
        r"'return_window_days'",
    ),
    "a missing rule": (
        "  restocking_fee_percent:\n    train: [5, 6, 7, 9, 10, 11, 13, 14, 15, 16, 17, 19, 20, 22, 24, 30]\n"
        "    dev: [12]\n    test: [8, 18, 25]\n",
        "",
        r"line 19, field rules\.restocking_fee_percent: is missing",
    ),
    "a rule without a split": ("    dev: [21, 35]\n", "", r"line 20, field rules\.return_window_days\.dev: is missing"),
    "a rule that is no number": (
        "[21, 35]",
        "[21, x]",
        r"line 22, field rules\.return_window_days\.dev\[1\]: .*got 'x'",
    ),
    "a rule out of range": (
        "dev: [12]",
        "dev: [120]",
        r"line 34, field rules\.restocking_fee_percent\.dev\[0\]: .*120",
    ),
    "a rule without values": (
        "dev: [12]",
        "dev: []",
        r"line 34, field rules\.restocking_fee_percent\.dev: expected a list",
    ),
    "no date": ('"2025-09-30"', '"2025-09-31"', r"line 46, field today\.dev: expected the first and the last date"),
    "a date without quotes": (
        '"2025-09-30"',
        "2025-09-30",
        r"line 46, field today\.dev: expected the first and the last",
    ),
    "dates in the wrong order": ('"2025-09-30"', '"2025-01-30"', r"line 46, field today\.dev: .*is after 2025-01-30"),
    "an unknown kind": (
        "  damaged_late: 3",
        "  damaged_lat: 3",
        r"line 56, field kinds\.damaged_lat: is not known; did you mean 'damaged_late'\?",
    ),
    "a missing kind": ("  damaged_late: 3\n", "", r"line 48, field kinds\.damaged_late: is missing"),
    "a weight that is none": ("damaged_late: 3", "damaged_late: -3", r"line 56, field kinds\.damaged_late: .*got -3"),
    "a note that is no text": ("- Leave at the door.", "- [door]", r"line 73, field notes\[0\]: expected a text"),
}


@pytest.mark.parametrize("what", PARAMETERS)
def test_a_broken_family_file_is_named_with_its_line_and_field(broken: Break, what: str) -> None:
    old, new, message = PARAMETERS[what]
    broken("family.yaml", old, new)
    with pytest.raises(ValueError, match=message):
        play()


def test_a_truncated_family_file_is_named_with_what_is_missing(scenarios: Path) -> None:
    text = (scenarios / "family.yaml").read_text(encoding="utf-8")
    (scenarios / "family.yaml").write_text(text[: text.index("notes:")], encoding="utf-8")
    with pytest.raises(ValueError, match=r"refund/family\.yaml, line 2, field notes: is missing"):
        play()


FIRST = '{"seed": 127613579129, "kind": "unknown_number", "digest": "4cb1a8763f453f14"}'
ENTRIES = {
    "a mistyped kind": (
        "unknown_number",
        "unknown_nmber",
        r"dev\[0\]\.kind: 'unknown_nmber' is no kind.*'unknown_number'",
    ),
    "a kind that is no text": ('"unknown_number"', "[1]", r"dev\[0\]\.kind: \[1\] is no kind of case"),
    "a seed that is no number": ("127613579129", '"abc"', r"dev\[0\]\.seed: expected an integer from 0 up, got 'abc'"),
    "another seed": (
        "127613579129",
        "127613579128",
        r"dev\[0\]\.digest: seed 127613579128 and kind unknown_number give",
    ),
    "another kind": ("unknown_number", "window_credit", r"dev\[0\]\.digest: seed .* give other scenarios"),
    "another digest": ("4cb1a8763f453f14", "76da36fbfff237f7", r"dev\[0\]\.digest: .*the digest 4cb1a8763f453f14"),
    "a digest that is none": ('"4cb1a8763f453f14"', "17", r"dev\[0\]\.digest: expected 16 hexadecimal digits"),
    "no digest": (', "digest": "4cb1a8763f453f14"', "", r"dev\[0\]: expected seed, kind and digest, got"),
}


@pytest.mark.parametrize("what", ENTRIES)
def test_a_broken_entry_of_a_frozen_list_is_named_with_its_line_and_field(broken: Break, what: str) -> None:
    old, new, message = ENTRIES[what]
    broken("splits.json", FIRST, FIRST.replace(old, new))
    for _ in range(2):  # the second time too: nothing wrong is kept
        with pytest.raises(ValueError, match=r"^refund/splits\.json, line 3, field " + message):
            load_scenario("refund", "dev", 1)


def test_a_change_of_the_generators_data_does_not_pass_for_the_frozen_scenario(broken: Break) -> None:
    broken("family.yaml", "dev: [12]", "dev: [13]")
    with pytest.raises(ValueError, match=r"refund/splits\.json, line 3, field dev\[0\]\.digest: .*another file"):
        load_scenario("refund", "dev", 0)
    assert load_scenario("refund", "train", 0)
    with pytest.raises(AssertionError, match=r"refund/splits\.json, line 3, field dev\[0\]\.digest"):
        check_family("refund", episodes=2)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"dev": [', '"dav": [', r"line 1, field dev: expected a list of pairs"),
        ('"dev": [', '"dev": [,', r"line 2: "),
        (FIRST, f"[{FIRST}]", r"line 3, field dev\[0\]: expected seed, kind and digest"),
    ],
)
def test_broken_frozen_lists_are_named_with_their_line(broken: Break, old: str, new: str, message: str) -> None:
    broken("splits.json", old, new)
    with pytest.raises(ValueError, match=r"refund/splits\.json, " + message):
        load_scenario("refund", "dev", 0)


def test_a_list_laid_out_another_way_is_read_as_well(scenarios: Path) -> None:
    lists = json.loads((scenarios / "splits.json").read_text(encoding="utf-8"))
    (scenarios / "splits.json").write_text(json.dumps(lists, indent="\t"), encoding="utf-8")
    assert load_scenario("refund", "test", 0)
    lists["dev"][1]["kind"] = "nope"
    (scenarios / "splits.json").write_text(json.dumps(lists, indent="\t"), encoding="utf-8")
    _forget()
    with pytest.raises(ValueError, match=r"refund/splits\.json, line 10, field dev\[1\]\.kind: 'nope' is no kind"):
        load_scenario("refund", "dev", 0)


POLICIES = {
    "a mistyped slot": (
        "refund_days: {refund_days}",
        "refund_days: {refnd_days}",
        r"line 37: {refnd_days} is no parameter; did you mean {refund_days}\?",
    ),
    "an empty slot": ("{transfer_limit}", "{}", r"line 36: {} is no parameter; the parameters are today, "),
    "a missing slot": ("- today: {today}\n", "", r"line 30: the section Today lacks the slot {today}"),
    "an open brace": ("{today}", "{today", r"line 31: a brace that is not part of a slot"),
    "a slot with a format": ("{today}", "{today:>9}", r"line 31: a brace that is not part of a slot"),
    "a heading": ("## Closing", "## Close", r"line 26: the headings must be .*; got .*Close"),
    "a missing heading": ("## Today\n", "", r"line \d+: the headings must be .*Today; got .*Closing$"),
}


@pytest.mark.parametrize("prompt", ["full", "compact"])
@pytest.mark.parametrize("what", POLICIES)
def test_a_broken_policy_is_named_with_its_line_before_an_episode_begins(broken: Break, what: str, prompt: str) -> None:
    old, new, message = POLICIES[what]
    broken("policy.md", old, new)
    with pytest.raises(ValueError, match=r"refund/policy\.md, " + message):
        gymnasium.make("StateSet/Refund-v0", prompt=prompt)


LEXICONS = {
    "a meaning of no form": (
        "names: {MEND: remedie repair}",
        "MEND: 'remedie repair' must be remedy, slot",
    ),
    "a name that is taken": ("names: {REFUND: remedy repair}", "REFUND: the name is taken"),
    "an unknown name": ("phrases: {remedy MEND: mend}", ".*MEND"),
    "an unknown macro": ("phrases: {remedy REFUND: A_MENDING}", ".*A_MENDING"),
    "a phrase of two meanings": (
        "phrases: {remedy REFUND: tack on, remedy CREDIT: tack on}",
        "the phrase 'tack on' is under 'remedy' and under 'remedy'",
    ),
}


@pytest.mark.parametrize("what", LEXICONS)
def test_a_broken_lexicon_is_named_before_an_episode_begins(scenarios: Path, what: str) -> None:
    text, message = LEXICONS[what]
    (scenarios / "lexicon.yaml").write_text(text, encoding="utf-8")
    load_understanding.cache_clear()
    with pytest.raises(ValueError, match=rf"^refund/lexicon\.yaml: {message}"):
        gymnasium.make("StateSet/Refund-v0")
    (scenarios / "lexicon.yaml").unlink()
    assert play()


@pytest.mark.parametrize("name", ["policy.md", "family.yaml"])
def test_a_file_in_another_encoding_is_named_with_its_line(scenarios: Path, name: str) -> None:
    lines = (scenarios / name).read_bytes().split(b"\n")
    lines[6] += " # café".encode("latin-1")
    (scenarios / name).write_bytes(b"\n".join(lines))
    with pytest.raises(ValueError, match=rf"refund/{name}, line 7: byte 0xe9 is not UTF-8"):
        play()


def test_line_ends_of_windows_change_nothing(scenarios: Path) -> None:
    before = read_text("refund", "policy.md")
    content = (scenarios / "policy.md").read_bytes()
    (scenarios / "policy.md").write_bytes(content.replace(b"\n", b"\r\n"))
    _forget()
    assert read_text("refund", "policy.md") == before
