"""The wavering agent: the reference at rates of 1, and below that a policy whose propensities are what it tells."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import gymnasium as gym
import pytest
import torch

import ss_gym  # noqa: F401  (registers the environments)
from ss_baselines.agents.conduct import Conduct
from ss_baselines.agents.dialogue import DialogueAgent, serve
from ss_baselines.agents.scripted import Script
from ss_baselines.agents.terse_grammar import TERSE_GRAMMAR, terse_words
from ss_baselines.agents.wavering import PRESETS, Decision, Rates, WaveringScript, choices_of, log_probability
from ss_baselines.lanes import Start
from ss_baselines.statistics import Estimate, wilson
from ss_baselines.trajectories import RecordingLane
from ss_gym.agents import Conversation
from ss_gym.datasets import LoggedConversation
from ss_gym.scenarios import scenario_id
from ss_gym.types import Completion
from ss_trainers.functional.off_policy import (
    bootstrap_interval,
    log_trajectory_weights,
    require_support,
    weighted_mean,
)

NAMES = [entry.name for entry in fields(Rates)]
EVEN = Rates(**dict.fromkeys(NAMES, 0.5))


@dataclass(frozen=True)
class Played:
    actions: list[str]
    decisions: list[list[Decision]]
    logprobs: list[float]
    success: bool

    @property
    def made(self) -> list[Decision]:
        return [decision for step in self.decisions for decision in step]


@pytest.fixture(scope="module")
def envs() -> Iterator[dict[str, gym.Env[str, str]]]:
    made = {name: gym.make(f"StateSet/{name.capitalize()}-v0", prompt="compact") for name in ("refund", "retail")}
    yield made
    for env in made.values():
        env.close()


def play(env: gym.Env[str, str], number: int, script_of: Callable[[str], Script]) -> Played:
    family = env.get_wrapper_attr("family")
    observation, info = env.reset(options={"scenario_id": scenario_id(family, "train", number)})
    conversation, seen, ended = Conversation.begin(observation, info), 1, False
    script = script_of(conversation.system_prompt)
    actions, decisions, logprobs = [], [], []
    while not ended:
        actions.append(script.step(conversation[seen:]))
        seen = len(conversation)
        if isinstance(script, WaveringScript):
            decisions.append(script.decisions)
            logprobs.append(script.action_logprob)
        observation, _, terminated, truncated, info = env.step(actions[-1])
        conversation.record(Completion(actions[-1]), observation, info)
        ended = terminated or truncated
    return Played(actions, decisions, logprobs, bool(info["success"]))


def log_of(env: gym.Env[str, str], rates: Rates, episodes: int, seed: int = 0) -> list[Played]:
    """Episodes with other customers, the same for all rates."""
    return [
        play(env, number, partial(WaveringScript, rates=rates, seed=seed, episode=number)) for number in range(episodes)
    ]


@pytest.fixture(scope="module")
def careless(envs: dict[str, gym.Env[str, str]]) -> list[Played]:
    return log_of(envs["refund"], PRESETS["careless"], 500)


# --- the policy -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "episodes"), [("refund", 40), ("retail", 25)])
def test_at_rates_of_1_it_does_what_the_reference_does_in_terse_words(
    envs: dict[str, gym.Env[str, str]], family: str, episodes: int
) -> None:
    reference = DialogueAgent(partial(serve, conduct=Conduct()), terse_words, takes_notes=True)
    for number in range(episodes):
        ours = play(envs[family], number, partial(WaveringScript, rates=Rates(), seed=1, episode=number))
        assert ours.actions == play(envs[family], number, reference.start).actions
        assert ours.success and ours.made and all(right for _, right in ours.made)
        assert ours.logprobs == [0.0] * len(ours.actions)


def test_it_speaks_as_the_tiny_agent_has_learnt_to_and_everywhere_in_one_way() -> None:
    assert terse_words("refund") is TERSE_GRAMMAR
    assert {len(part) for parts in terse_words("exchange").values() for part in parts} == {1}


def test_what_the_policy_refuses_is_granted_and_what_it_grants_refused(envs: dict[str, gym.Env[str, str]]) -> None:
    wrong = Rates(grants_due=0.0, denies_undue=0.0)
    seen = Counter[tuple[str, bool, bool]]()
    for usual, other in zip(log_of(envs["refund"], Rates(), 60), log_of(envs["refund"], wrong, 60), strict=True):
        for judged in {name for name, _ in other.made} & {"grants_due", "denies_undue"}:
            paid, pays = ("issue_refund" in "".join(one.actions) for one in (usual, other))
            seen[judged, paid, pays] += 1
            # Where there is no order to be found, there is nothing that could be granted.
            assert not other.success or other.actions == usual.actions
    # What was due may have been above the limit; an undue refund may be one that the shop itself declines.
    assert seen["grants_due", True, False] > 15 and seen["grants_due", True, True] == 0
    assert seen["denies_undue", False, True] > 10 and seen["denies_undue", True, False] == 0


def test_a_habit_that_is_never_kept_is_heard(envs: dict[str, gym.Env[str, str]]) -> None:
    usual, hurried = (log_of(envs["refund"], rates, 20) for rates in (Rates(), Rates(asks_consent=0.0)))
    asked, unasked = (sum("Is that OK?" in "".join(one.actions) for one in log) for log in (usual, hurried))
    assert asked > unasked
    assert all(one.actions == other.actions for one, other in zip(usual, hurried, strict=True) if not unaware(other))


def unaware(played: Played) -> bool:
    return ("asks_consent", False) in played.made


@pytest.mark.parametrize("family", ["refund", "retail"])
def test_whatever_it_decides_the_episode_ends_without_an_error(envs: dict[str, gym.Env[str, str]], family: str) -> None:
    log = log_of(envs[family], EVEN, 60, seed=3)
    assert 0 < sum(one.success for one in log) < 60


# --- propensities -----------------------------------------------------------------------------------


def tail(right: int, made: int, rate: float) -> float:
    """How likely counts are that are no likelier than this one: the exact two-sided binomial test."""
    likely = [math.comb(made, count) * rate**count * (1 - rate) ** (made - count) for count in range(made + 1)]
    return sum(each for each in likely if each <= likely[right] * (1 + 1e-9))


def test_decisions_go_right_as_often_as_the_rates_say(careless: list[Played]) -> None:
    counts = {name: [right for one in careless for decision, right in one.made if decision == name] for name in NAMES}
    for name, rights in counts.items():
        assert len(rights) >= 5, name
        assert tail(sum(rights), len(rights), getattr(PRESETS["careless"], name)) > 0.001, (name, rights)
    rights = counts["checks_owner"]
    assert tail(sum(rights), len(rights), 0.8) < 1e-6  # the test would notice another rate


def test_decisions_tell_nothing_of_each_other(careless: list[Played]) -> None:
    """Of neighbours in an episode, both go wrong as often as their rates say."""
    rates = PRESETS["careless"]
    pairs = [pair for one in careless for pair in zip(one.made, one.made[1:], strict=False)]
    expected = [(1 - getattr(rates, first.name)) * (1 - getattr(rates, second.name)) for first, second in pairs]
    both = sum(not first.right and not second.right for first, second in pairs)
    deviation = math.sqrt(sum(chance * (1 - chance) for chance in expected))
    assert abs(both - sum(expected)) < 3 * deviation


def test_the_log_probability_of_an_episode_is_that_of_its_decisions(careless: list[Played]) -> None:
    rates = PRESETS["careless"]
    for one in careless:
        chance = math.prod(getattr(rates, name) if right else 1 - getattr(rates, name) for name, right in one.made)
        assert math.fsum(one.logprobs) == pytest.approx(math.log(chance))
        assert one.logprobs == [log_probability(step, rates) for step in one.decisions]
        assert len(one.decisions) == len(one.actions)
    assert any(not step for one in careless for step in one.decisions)


def test_the_log_probability_under_other_rates_is_the_sum_of_logarithms() -> None:
    made = [("asks_consent", True), ("keeps_fee", False)]
    assert log_probability(made, Rates(asks_consent=0.5, keeps_fee=0.75)) == pytest.approx(math.log(0.125))
    assert log_probability(made, Rates(asks_consent=0.5)) == -math.inf  # never forgets a fee
    assert log_probability([], EVEN) == 0.0
    with pytest.raises(ValueError, match="no decision is called 'keeps_fees'; did you mean 'keeps_fee'"):
        log_probability([("keeps_fees", True)], EVEN)


@pytest.mark.parametrize("target", ["hasty", "careful"])
def test_a_log_of_one_preset_tells_how_another_would_do(
    envs: dict[str, gym.Env[str, str]], careless: list[Played], target: str
) -> None:
    def columns(rates: Rates) -> torch.Tensor:
        rows = [torch.tensor([log_probability(step, rates) for step in one.decisions]) for one in careless]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)

    behavior = torch.nn.utils.rnn.pad_sequence([torch.tensor(one.logprobs) for one in careless], batch_first=True)
    weights = log_trajectory_weights(columns(PRESETS[target]), behavior, torch.ones_like(behavior, dtype=torch.bool))
    assert require_support(weights) < len(careless)
    success = torch.tensor([float(one.success) for one in careless])
    estimate = Estimate(
        float(weighted_mean(success, weights)), *bootstrap_interval(success, torch.Generator().manual_seed(0), weights)
    )
    truth = wilson(sum(one.success for one in log_of(envs["refund"], PRESETS[target], 400, seed=1)), 400)
    assert estimate.overlaps(truth) and estimate.high - estimate.low < 0.2
    # Without the weights it would be told wrong.
    assert not wilson(float(success.sum()), len(careless)).overlaps(truth)


# --- what is drawn ----------------------------------------------------------------------------------


def test_an_episode_follows_from_its_seed_and_number_alone(envs: dict[str, gym.Env[str, str]]) -> None:
    env = envs["refund"]
    log = log_of(env, EVEN, 12)
    assert [play(env, number, partial(WaveringScript, rates=EVEN, episode=number)) for number in (7, 3)] == [
        log[7],
        log[3],
    ]
    assert log_of(env, EVEN, 12, seed=1) != log
    attempts = {str(play(env, 0, partial(WaveringScript, rates=EVEN, episode=number)).made) for number in range(8)}
    assert len(attempts) > 2


# --- rates ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [-0.1, 1.5, math.nan, True, "often", None])
def test_what_is_no_rate_is_told(rate: Any) -> None:
    with pytest.raises(ValueError, match="the rate keeps_fee must be a number from 0 to 1, got"):
        Rates(keeps_fee=rate)


def test_every_habit_has_a_rate_and_presets_never_exclude_anything() -> None:
    habits = {entry.name for entry in fields(Conduct)} - {"judge"}
    assert set(NAMES) == habits | {"grants_due", "denies_undue"}
    for rates in PRESETS.values():
        assert all(0 < getattr(rates, name) < 1 for name in NAMES)
    assert replace(Rates(), **dict.fromkeys(NAMES, 1.0)) == Rates()


# --- what it might have done ------------------------------------------------------------------------


def logged(env: gym.Env[str, str], rates: Rates, episodes: int) -> list[LoggedConversation]:
    log, lane = [], RecordingLane(env, "StateSet/Refund-v0")
    for number in range(episodes):
        lane.begin(Start(options={"scenario_id": scenario_id(env.get_wrapper_attr("family"), "train", number)}))
        script, seen, record = WaveringScript(lane.conversation.system_prompt, rates, 5, number), 1, None
        decisions = []
        while record is None:
            action = script.step(lane.conversation[seen:])
            seen = len(lane.conversation)
            decisions.append(script.decisions)
            record = lane.step(Completion(action))
        log.append(LoggedConversation(str(number), record, metadata={"decisions": decisions}))
    return log


@pytest.fixture(scope="module")
def refunds(envs: dict[str, gym.Env[str, str]]) -> list[LoggedConversation]:
    return logged(envs["refund"], PRESETS["careless"], 150)


@pytest.mark.parametrize("rates", [PRESETS["careless"], PRESETS["lenient"], EVEN, Rates()])
def test_the_choices_at_a_step_are_all_that_there_are_to_any_rates(
    refunds: list[LoggedConversation], rates: Rates
) -> None:
    steps = [choices for one in refunds for choices in choices_of(one)]
    for choices in steps:
        assert sum(math.exp(log_probability(one.decisions, rates)) for one in choices) == pytest.approx(1)
        assert len({one.decisions for one in choices}) == len(choices)
    assert max(map(len, steps)) >= 4 and min(map(len, steps)) == 1


def test_choices_are_taken_as_often_as_the_rates_of_the_log_say(refunds: list[LoggedConversation]) -> None:
    expected = variance = 0.0
    taken = 0
    for one in refunds:
        for choices, made in zip(choices_of(one), one.metadata["decisions"], strict=True):
            likely = math.exp(log_probability(choices[0].decisions, PRESETS["careless"]))
            expected, variance = expected + likely, variance + likely * (1 - likely)
            taken += choices[0].decisions == tuple(made)
    assert variance > 60 and abs(taken - expected) < 3 * math.sqrt(variance)


def test_a_choice_is_what_the_agent_does_when_its_decisions_are_forced(refunds: list[LoggedConversation]) -> None:
    one = next(one for one in refunds if max(map(len, choices_of(one))) >= 4)
    decided = [right for step in one.metadata["decisions"] for _, right in step]
    script, seen = WaveringScript(one.messages[0]["content"], EVEN, seed=9, forced=decided), 1
    for place, action in zip(one.episode.own_places, one.actions, strict=True):
        assert script.step(one.messages[seen:place]) == action
        seen = place


def test_an_episode_that_the_agent_did_not_play_has_no_choices(refunds: list[LoggedConversation]) -> None:
    with pytest.raises(ValueError, match="conversation '0' does not tell the decisions before each of its actions"):
        choices_of(replace(refunds[0], metadata={}))
    turned = [[(name, not right) for name, right in step] for step in refunds[0].metadata["decisions"]]
    with pytest.raises(ValueError, match=r"action \d+ of conversation '0' is none that the wavering agent would take"):
        choices_of(replace(refunds[0], metadata={"decisions": turned}))
