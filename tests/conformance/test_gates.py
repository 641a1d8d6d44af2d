"""What must not earn success does not, on 500 pairs; the reference does, on everything."""

from functools import partial

import pytest

from ss_baselines.agents.conduct import Conduct
from ss_baselines.agents.dialogue import DialogueAgent, serve
from ss_baselines.evaluate import evaluate
from ss_baselines.report import Evaluation
from ss_gym.families.splits import split_size
from ss_gym.scenario_files import parse_yaml

PAIRS = 500
# Agent -> bounds of success and of the share of pairs solved as a whole (low, high), inclusive.
GATES = {
    "rule_bot": ((0.7, 0.9), (0.5, 0.8)),
    "silent": ((0, 0), (0, 0)),
    "instant_closer": ((0, 0), (0, 0)),
    "random_tools": ((0, 0.01), (0, 0)),
    "keyword_stuffer": ((0, 0), (0, 0)),
    "data_dumper": ((0, 0), (0, 0)),
    "always_grant": ((0, 0.5), (0, 0)),
    "always_refuse": ((0, 0.05), (0, 0)),
    "always_transfer": ((0, 0.05), (0, 0)),
    "ground_fisher": ((0, 0.05), (0, 0)),
}


def scores(evaluation: Evaluation) -> tuple[float, float]:
    pair = evaluation.pair_score
    assert pair is not None
    return evaluation.success.value, pair.value


@pytest.mark.parametrize("name", GATES)
def test_an_agent_that_is_no_good_stays_within_its_gates(name: str) -> None:
    success, pairs = scores(evaluate(name, split="train", pairs=PAIRS))
    (low, high), (pairs_low, pairs_high) = GATES[name]
    assert low <= success <= high, f"success {success}"
    assert pairs_low <= pairs <= pairs_high, f"pairs {pairs}"


@pytest.mark.parametrize("split", ["dev", "test"])
def test_the_reference_solves_every_held_out_scenario(split: str) -> None:
    evaluation = evaluate("reference", split=split, episodes=split_size("refund", split))
    assert [episode.scenario_id for episode in evaluation.episodes if not episode.success] == []
    assert evaluation.reward.value >= 0.95


def test_the_reference_solves_300_train_scenarios() -> None:
    evaluation = evaluate("reference", split="train", episodes=300)
    assert [episode.scenario_id for episode in evaluation.episodes if not episode.success] == []


@pytest.mark.slow
def test_the_reference_solves_10000_train_scenarios() -> None:
    evaluation = evaluate("reference", split="train", episodes=10_000)
    assert [episode.scenario_id for episode in evaluation.episodes if not episode.success] == []


def stranger(phrases_file: str) -> DialogueAgent:
    """The reference's decisions in the words of somebody who has read the policy and the tools only."""
    path = __file__.replace("test_gates.py", phrases_file)
    with open(path, encoding="utf-8") as file:
        phrases = parse_yaml(file.read(), path)
    assert min(len(wordings) for wordings in phrases.values()) >= 40
    return DialogueAgent(partial(serve, conduct=Conduct()), {move: (tuple(w),) for move, w in phrases.items()})


@pytest.mark.parametrize("phrases_file", ["stranger_phrases.yaml", "stranger_phrases_2.yaml"])
def test_correct_conduct_in_a_strangers_words_succeeds(phrases_file: str) -> None:
    evaluation = evaluate(stranger(phrases_file), split="train", episodes=1000, name="stranger")
    assert evaluation.success.value >= 0.97
