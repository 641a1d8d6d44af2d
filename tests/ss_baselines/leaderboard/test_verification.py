"""A submission holds only if playing its actions again gives what it says; whatever else is done to it is refused."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ss_baselines.leaderboard import AgentCard, Manifest, Protocol, RunCard, SubmissionError, pack, verify
from ss_baselines.leaderboard.submission import ACTIONS, EPISODES, MANIFEST, read_manifest
from tests.ss_baselines.leaderboard.played import CANCEL, REFUND, SMALL, episodes, submission

Corruption = Callable[[Path, random.Random], None]
# A thousand of them are played again.
LEAST = Protocol((REFUND,), pairs=1, trials=2)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound") / "rule_bot"
    submission(folder)
    return folder


def lines_of(folder: Path, name: str) -> list[Any]:
    return [json.loads(line) for line in gzip.decompress((folder / name).read_bytes()).splitlines()]


def resealed(folder: Path, files: dict[str, list[Any]] | None = None, **changes: Any) -> None:
    """Writes files and a manifest with right sums: what somebody does who knows the format."""
    for name, lines in (files or {}).items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / name).write_bytes(gzip.compress(text.encode(), mtime=0))
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (EPISODES, ACTIONS)}
    (folder / MANIFEST).write_bytes(replace(manifest_of(folder), **changes, files=sums).sealed().to_bytes())


def manifest_of(folder: Path) -> Manifest:
    """Of what a corrupt submission was made of, which is beside it."""
    return read_manifest(folder.with_name("sound"))


def a_byte(folder: Path, rng: random.Random) -> None:
    path = folder / rng.choice((MANIFEST, EPISODES, ACTIONS))
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def the_end(folder: Path, rng: random.Random) -> None:
    path = folder / rng.choice((MANIFEST, EPISODES, ACTIONS))
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def a_file(folder: Path, rng: random.Random) -> None:
    name = rng.choice((MANIFEST, EPISODES, ACTIONS, "more.txt"))
    (folder / name).write_text("x") if name == "more.txt" else (folder / name).unlink()


def an_order(folder: Path, rng: random.Random) -> None:
    names = rng.choice(((EPISODES,), (ACTIONS,), (EPISODES, ACTIONS)))
    files = {name: lines_of(folder, name) for name in names}
    first, second = rng.sample(range(len(LEAST)), 2)
    for lines in files.values():
        lines[first], lines[second] = lines[second], lines[first]
    if names == (ACTIONS,) and files[ACTIONS] == lines_of(folder, ACTIONS):  # the same was done for both
        files[ACTIONS][first]["marks"] = "0000" + files[ACTIONS][first]["marks"][4:]
    resealed(folder, files)


def a_score(folder: Path, rng: random.Random) -> None:
    lines = lines_of(folder, EPISODES)
    score = rng.choice(lines)
    name = rng.choice(
        ("success", "reward", "critical", "failed", "steps", "turns", "tool_errors", "reward_terms", "kind")
    )
    raised = {
        "success": not score["success"],
        "reward": score["reward"] + rng.choice((1e-9, 0.1, 1)),
        "critical": [*score["critical"], "x"],
        "failed": score["failed"][:-1] if score["failed"] else ["facts"],
        "reward_terms": {**score["reward_terms"], "success": 2.0},
        "kind": score["kind"] + "_",
    }
    score[name] = raised.get(name, score.get(name, 0) if name in raised else score[name])
    if name not in raised:
        score[name] = max(0, score[name] - 1) if score[name] else 1
    resealed(folder, {EPISODES: lines})


def a_seed(folder: Path, rng: random.Random) -> None:
    lines = lines_of(folder, EPISODES)
    score = rng.choice(lines)
    which = rng.choice(("trial", "scenario_id", "env_id", "pair_id"))
    score[which] = {"trial": score["trial"] + 1}.get(
        which, str(score[which]).replace("000", "010").replace("-v0", "-v1")
    )
    resealed(folder, {EPISODES: lines})


def a_protocol(folder: Path, rng: random.Random) -> None:
    pairs, trials = rng.choice(((2, 2), (2, 1), (1, 1), (1, 3), (1, 4), (4, 1)))
    split = rng.choice(("dev", "test"))
    resealed(folder, protocol=Protocol((REFUND,), pairs, trials, split))


def a_suite(folder: Path, rng: random.Random) -> None:
    name = rng.choice(("tasks", "users"))
    told = getattr(manifest_of(folder), name)[REFUND]
    place = rng.randrange(len(told))
    other = rng.choice([digit for digit in "0123456789abcdef" if digit != told[place]])
    resealed(folder, **{name: {REFUND: told[:place] + other + told[place + 1 :]}})


def a_mark(folder: Path, rng: random.Random) -> None:
    lines = lines_of(folder, ACTIONS)
    line = rng.choice(lines)
    place = rng.randrange(len(line["marks"]))
    line["marks"] = line["marks"][:place] + ("0" if line["marks"][place] != "0" else "1") + line["marks"][place + 1 :]
    resealed(folder, {ACTIONS: lines})


def a_line(folder: Path, rng: random.Random) -> None:
    names = rng.choice(((EPISODES,), (ACTIONS,), (EPISODES, ACTIONS)))
    files = {name: lines_of(folder, name) for name in names}
    place, twice = rng.randrange(len(LEAST)), rng.random() < 0.5
    for lines in files.values():
        lines[place : place + 1] = [lines[place]] * 2 if twice else []
    resealed(folder, files)


def an_action(folder: Path, rng: random.Random) -> None:
    lines = lines_of(folder, ACTIONS)
    actions = rng.choice(lines)["actions"]
    if rng.random() < 0.5:
        del actions[rng.randrange(len(actions))]
    else:
        actions.append("Goodbye!")
    resealed(folder, {ACTIONS: lines})


CORRUPTIONS: tuple[Corruption, ...] = (
    a_byte,
    the_end,
    a_file,
    an_order,
    a_score,
    a_seed,
    a_protocol,
    a_suite,
    a_mark,
    a_line,
    an_action,
)


def test_a_submission_holds_and_its_scores_are_those_of_the_episodes(sound: Path) -> None:
    told: list[int] = []
    found = verify(sound, progress=told.append)
    played = episodes("rule_bot", SMALL)
    assert [(score.success, score.steps) for score in found.scores] == [
        (episode.success, len(episode.actions)) for episode in played
    ]
    assert [score.reward for score in found.scores] == [episode.total_reward for episode in played]
    assert sum(told) == len(SMALL) and found.steps == sum(len(episode.actions) for episode in played)


def test_processes_find_the_same(sound: Path) -> None:
    assert verify(sound, workers=2).scores == verify(sound).scores


def test_a_thousand_corruptions_are_refused(tmp_path: Path) -> None:
    sound = tmp_path / "sound"
    submission(sound, protocol=LEAST)
    folder, rng, held = tmp_path / "corrupt", random.Random(7), []
    for number in range(1000):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(sound, folder)
        corruption = CORRUPTIONS[number % len(CORRUPTIONS)]
        corruption(folder, rng)
        try:
            verify(folder)
        except SubmissionError as error:
            assert str(error), corruption.__name__
        else:
            held.append((number, corruption.__name__))
    assert held == []
    assert verify(sound).manifest == read_manifest(sound)  # nothing was done to what they were made of


def test_the_first_difference_is_told(sound: Path, tmp_path: Path) -> None:
    shutil.copytree(sound, tmp_path / "sound")
    folder = tmp_path / "told"
    shutil.copytree(sound, folder)
    lines = lines_of(folder, EPISODES)
    lines[5]["success"], lines[6]["success"] = not lines[5]["success"], not lines[6]["success"]
    resealed(folder, {EPISODES: lines})
    told = f"line 6 .refund/test/0002, trial 1.: success is told as {lines[5]['success']}; playing"
    with pytest.raises(SubmissionError, match=told):
        verify(folder)
    acted = lines_of(folder, ACTIONS)
    acted[1]["marks"] = acted[1]["marks"][:8] + "ffff" + acted[1]["marks"][12:]
    resealed(folder, {ACTIONS: acted})
    with pytest.raises(SubmissionError, match=r"line 2 .*0000, trial 1.: after action 2, something else is observed"):
        verify(folder)


def test_other_schemas_and_foreign_files_are_refused_by_name(sound: Path, tmp_path: Path) -> None:
    folder = tmp_path / "foreign"
    shutil.copytree(sound, folder)
    told = json.loads((folder / MANIFEST).read_bytes())
    for change, message in (
        ({"schema_version": 2}, "schema_version 2"),
        ({"agent": {**told["agent"], "kind": "best"}}, "agent.kind must be one of"),
        ({"agent": {**told["agent"], "rank": 1}}, "unknown"),
        ({"run": {**told["run"], "cost_usd": -1}}, "run.cost_usd can't be -1"),
        ({"run": {**told["run"], "seconds": True}}, "run.seconds can't be True"),
        ({"protocol": {**told["protocol"], "split": "train"}}, "not on 'train'"),
        ({"protocol": {**told["protocol"], "environments": ["StateSet/Nothing-v0"]}}, "no environment"),
        ({"agent": {**told["agent"], "name": "\ud800"}}, "agent.name can't be"),
        ({"protocol": {**told["protocol"], "trials": 10**30}}, "trials from 1 to 100"),
    ):
        (folder / MANIFEST).write_text(json.dumps({**told, **change}))
        with pytest.raises(SubmissionError, match=message):
            verify(folder)
    for content, message in (("[]", "must hold an object"), ("{", "no JSON"), ("[" * 100_000, "no JSON")):
        (folder / MANIFEST).write_text(content)
        with pytest.raises(SubmissionError, match=message):
            verify(folder)
    with pytest.raises(SubmissionError, match="no folder"):
        verify(folder / MANIFEST)


def test_episodes_that_are_not_those_of_the_protocol_are_not_packed(tmp_path: Path) -> None:
    played = episodes("rule_bot", SMALL)
    card = AgentCard("x")
    cases = (
        (played[:-1], "1 of 8 episodes are missing, the first of them refund/test/0003, trial 1"),
        ([*played, played[2]], "refund/test/0001, trial 0 of StateSet/Refund-v0 is there twice"),
        ([*played, replace(played[0], env_id=CANCEL)], "is no episode of the protocol"),
        (
            [replace(played[0], options={**played[0].options, "user_params": {}}), *played[1:]],
            "reset option 'user_params'",
        ),
        ([replace(played[0], actions=played[0].actions[:-1]), *played[1:]], "has not ended after its"),
        ([replace(played[0], actions=(*played[0].actions, "x")), *played[1:]], "the episode ends with action"),
        ([replace(played[0], actions=(3,)), *played[1:]], "actions that are no text"),
        ([replace(played[0], options={**played[0].options, "user_seed": 0.9}), *played[1:]], "which is no trial"),
        ([replace(played[0], success=not played[0].success), *played[1:]], "was recorded with success"),
        ([replace(played[0], rewards=(9.0, *played[0].rewards[1:])), *played[1:]], "was recorded with return"),
    )
    for given, message in cases:
        with pytest.raises(ValueError, match=message):
            pack(tmp_path / "out", card, SMALL, given)
        assert not (tmp_path / "out" / MANIFEST).exists()
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
    pack(tmp_path / "out", card, SMALL, reversed(played))
    assert verify(tmp_path / "out").steps == sum(len(episode.actions) for episode in played)
    with pytest.raises(FileExistsError, match="is there already"):
        pack(tmp_path / "out", card, SMALL, played)


def test_cards_that_would_be_refused_are_not_packed(tmp_path: Path) -> None:
    played = episodes("silent", SMALL)
    for card, run, message in (
        (AgentCard(""), RunCard(), "needs a name"),
        (AgentCard(" x"), RunCard(), "agent.name"),
        (AgentCard("x" * 81), RunCard(), "agent.name"),
        (AgentCard("a\x1b[31m"), RunCard(), "agent.name"),
        (AgentCard("refe\u202erence"), RunCard(), "agent.name"),
        (AgentCard("zero\u200bwidth"), RunCard(), "agent.name"),
        (AgentCard("x", kind="best"), RunCard(), "agent.kind"),  # type: ignore[arg-type]
        (AgentCard("x", decoding={"a": {"b": 1}}), RunCard(), "agent.decoding"),
        (AgentCard("x"), RunCard(seconds=-1.0), "run.seconds"),
        (AgentCard("x"), RunCard(cost_usd=1e300), "run.cost_usd"),
        (AgentCard("x"), RunCard(cost_usd=float("inf")), "JSON does not have"),
        (AgentCard("x"), RunCard(prompt_tokens=10**400), "run.prompt_tokens"),
        (AgentCard("x"), RunCard(prompt_tokens=3.0), "run.prompt_tokens"),  # type: ignore[arg-type]
        (AgentCard("x"), RunCard(command="a\nb"), "run.command"),
    ):
        with pytest.raises(SubmissionError, match=message):
            pack(tmp_path / "out", card, SMALL, played, run)
        assert not (tmp_path / "out").exists()


def test_lines_longer_than_any_episodes_are_not_taken_in(sound: Path, tmp_path: Path) -> None:
    shutil.copytree(sound, tmp_path / "sound")
    folder = tmp_path / "long"
    shutil.copytree(sound, folder)
    scores = lines_of(folder, EPISODES)
    scores[0]["kind"] = "x" * 100_000
    resealed(folder, {EPISODES: scores})
    with pytest.raises(SubmissionError, match=r"episodes\.jsonl\.gz, line 1 is not ended, or longer"):
        verify(folder)


def test_actions_have_one_spelling(sound: Path, tmp_path: Path) -> None:
    shutil.copytree(sound, tmp_path / "sound")
    folder = tmp_path / "spelt"
    shutil.copytree(sound, folder)
    lines = gzip.decompress((folder / ACTIONS).read_bytes()).decode().splitlines(keepends=True)
    lines[2] = lines[2].replace('"marks": ', '"marks":  ')
    (folder / ACTIONS).write_bytes(gzip.compress("".join(lines).encode()))
    resealed(folder)
    with pytest.raises(SubmissionError, match=r"line 3 .*is not spelt as it was written"):
        verify(folder)


def test_the_same_episodes_make_the_same_files(tmp_path: Path) -> None:
    first, second = (submission(tmp_path / name) for name in ("first", "second"))
    assert first == second
    assert all(
        (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes() for name in first.files
    )


def test_what_agents_write_that_is_no_text_is_kept_as_it_was(tmp_path: Path) -> None:
    played = episodes("silent", Protocol((REFUND,), 1, 1))
    odd = replace(played[0], actions=("\ud83d", "\x00é", *played[0].actions))
    first = tmp_path / "odd"
    try:
        pack(first, AgentCard("odd"), Protocol((REFUND,), 1, 1), [odd, *played[1:]])
    except ValueError as error:  # silence ends sooner after something was said
        assert "the episode ends with action" in str(error)
        cut = replace(odd, actions=odd.actions[: int(str(error).split("with action ")[1].split()[0])])
        shutil.rmtree(first, ignore_errors=True)
        pack(first, AgentCard("odd"), Protocol((REFUND,), 1, 1), [cut, *played[1:]])
    assert verify(first).scores[0].turns >= 2
