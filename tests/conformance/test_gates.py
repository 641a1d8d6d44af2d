"""In every family, what must not earn success does not, and the reference does, on everything.

By default on as many pairs of scenarios as tell; with ``-m slow`` on 500.
"""

from functools import cache, partial
from pathlib import Path

import pytest

from ss_baselines.agents.conduct import Conduct
from ss_baselines.agents.dialogue import DialogueAgent, serve
from ss_baselines.agents.phrasing import Grammar
from ss_baselines.agents.plan import plan_of
from ss_baselines.evaluate import evaluate
from ss_baselines.report import Evaluation
from ss_gym.commerce.joint_rules import parts_of
from ss_gym.families import FAMILIES, load_family
from ss_gym.families.splits import split_size
from ss_gym.scenario_files import parse_yaml

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
# Pairs that tell by default: few where the share is 0, or one half since one of each pair is granted; many where it is
# near to its bound.
ENOUGH = {"silent": 40, "instant_closer": 40, "keyword_stuffer": 40, "data_dumper": 40}
ENOUGH |= {"random_tools": 60, "always_grant": 60, "rule_bot": 200}
NEAR = ("address_change", "cancel", "subscription")


ENV_IDS = {name: f"StateSet/{name.title().replace('_', '')}-v0" for name in FAMILIES}
HERE = Path(__file__).parent
# Wordings of correct conduct, each by somebody who had read one family's policy and tools only.
STRANGERS = sorted(path.name for path in HERE.glob("stranger_*.yaml"))


def scores(evaluation: Evaluation) -> tuple[float, float]:
    pair = evaluation.pair_score
    assert pair is not None
    return evaluation.success.value, pair.value


def failures(evaluation: Evaluation) -> list[str]:
    return [episode.scenario_id for episode in evaluation.episodes if not episode.success]


@pytest.mark.parametrize("thorough", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("family", FAMILIES)
def test_an_agent_that_is_no_good_stays_within_its_gates(family: str, name: str, thorough: bool) -> None:
    (low, high), (solved_low, solved_high) = GATES[name]
    pairs = 500 if thorough else ENOUGH.get(name, 200 if family in NEAR else 100)
    success, solved = scores(evaluate(name, ENV_IDS[family], split="train", pairs=pairs))
    assert low <= success <= high, f"success {success}"
    assert solved_low <= solved <= solved_high, f"pairs {solved}"


@pytest.mark.parametrize("split", ["dev", "test"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_reference_solves_every_held_out_scenario(family: str, split: str) -> None:
    evaluation = evaluate("reference", ENV_IDS[family], split=split, episodes=split_size(family, split))
    assert failures(evaluation) == []
    assert evaluation.reward.value >= 0.95


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("episodes", [100, pytest.param(10_000, marks=pytest.mark.slow)])
def test_the_reference_solves_train_scenarios(family: str, episodes: int) -> None:
    assert failures(evaluate("reference", ENV_IDS[family], split="train", episodes=episodes)) == []


@cache
def wordings(phrases_file: str) -> Grammar:
    """How a stranger words each move."""
    phrases = parse_yaml((HERE / phrases_file).read_text(encoding="utf-8"), phrases_file)
    assert min(len(wordings) for wordings in phrases.values()) >= 40
    return {move: (tuple(wordings),) for move, wordings in phrases.items()}


def stranger(phrases_file: str) -> DialogueAgent:
    """The reference's decisions in the words of somebody who has read the policy and the tools only."""
    return DialogueAgent(partial(serve, conduct=Conduct()), wordings(phrases_file))


def test_every_family_has_its_stranger() -> None:
    # Whoever has the policy of another family, or those of several, needs no other words than theirs.
    assert {name.removeprefix("stranger_").rpartition("_")[0] for name in STRANGERS} == {
        load_family(family).policy for family in FAMILIES if not parts_of(load_family(family).rules)
    }


@pytest.mark.parametrize("episodes", [120, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("phrases_file", STRANGERS)
def test_correct_conduct_in_a_strangers_words_succeeds(phrases_file: str, episodes: int) -> None:
    family = phrases_file.removeprefix("stranger_").rpartition("_")[0]
    evaluation = evaluate(stranger(phrases_file), ENV_IDS[family], split="train", episodes=episodes, name="stranger")
    assert evaluation.success.value >= 0.97


@pytest.mark.parametrize("episodes", [300, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("family", [family for family in FAMILIES if parts_of(load_family(family).rules)])
def test_correct_conduct_in_strangers_words_succeeds_at_a_desk_for_several_wishes(family: str, episodes: int) -> None:
    parts = parts_of(load_family(family).rules)

    def words(of: str) -> Grammar:
        return wordings(f"stranger_{of}_1.yaml") if of in parts else plan_of(of).grammar

    agent = DialogueAgent(partial(serve, conduct=Conduct()), words)
    assert evaluate(agent, ENV_IDS[family], split="train", episodes=episodes, name="strangers").success.value >= 0.97
