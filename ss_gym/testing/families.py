"""What a family of customer-service scenarios must keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ss_gym.customer_service import CustomerServiceEnvironment
from ss_gym.families import load_family
from ss_gym.families.splits import load_scenario, split_size
from ss_gym.scenarios import SPLITS, Scenario, scenario_id
from ss_gym.testing.episodes import ActingAgent, Environment, episode
from ss_gym.types import Completion, Message


def check_family(name: str, episodes: int = 40, *, agent: ActingAgent | None = None, min_success: float = 1.0) -> None:
    """Checks a family of ``CustomerServiceEnvironment``.

    Scenarios follow from their ids, match the frozen lists, have a consistent database, and come
    as twins that begin with the same words and end in different right outcomes. Silence and
    closing at once never succeed; ``agent``, where one is given, does.

    Args:
        name: the family's name.
        episodes: how many scenarios of each split.
        agent: a reference agent.
        min_success: the least share of episodes in which it succeeds.

    Raises:
        AssertionError: saying what does not hold.
    """
    env = CustomerServiceEnvironment(family=name)
    succeeded: list[bool] = []
    for split in SPLITS:
        for index in range(0, min(episodes, split_size(name, split)), 2):
            pair = _load_pair(name, split, index)
            _check_pair(pair)
            _check_openings(env, pair)
            for scenario in pair:
                _check_gates(env, scenario.id)
                if agent is not None:
                    succeeded.append(_succeeds(env, agent, scenario.id))
    env.close()
    share = sum(succeeded) / len(succeeded) if succeeded else 1.0
    assert share >= min_success, f"the agent succeeds in {share:.3f} of {len(succeeded)} episodes, not {min_success}"


def _check_pair(pair: tuple[Scenario, Scenario]) -> None:
    """What a scenario and its twin must hold."""
    first, second = pair
    for scenario in pair:
        assert scenario.id == scenario_id(scenario.family, scenario.split, scenario.index)
        assert load_scenario(scenario.family, scenario.split, scenario.index) == scenario, (
            f"{scenario.id} is drawn differently the second time"
        )
        errors = _database_errors(scenario)
        assert not errors, f"{scenario.id}: the database contradicts itself: {errors}"
    assert first.pair_id == second.pair_id
    assert _what_is_said(first) == _what_is_said(second), f"{first.pair_id}: the twins do not ask for the same"
    assert first.outcome != second.outcome, f"{first.pair_id}: the twins have the same right outcome"


def _what_is_said(scenario: Scenario) -> tuple[Any, ...]:
    """All that the customer's words follow from; what else a goal holds is read off the database."""
    goals = [part.goal for part in scenario.parts or (scenario,)]
    wishes = [
        (goal.order_id, goal.titles, goal.reason, goal.accepts_credit, goal.wants_other_card, goal.withdraws)
        for goal in goals
    ]
    return scenario.customer, wishes, scenario.wording_seed, scenario.rules, scenario.today


def _load_pair(name: str, split: str, index: int) -> tuple[Scenario, Scenario]:
    """A scenario and its twin; those of a frozen list are compared with their digest when they are loaded."""
    try:
        return load_scenario(name, split, index), load_scenario(name, split, index + 1)
    except ValueError as error:
        raise AssertionError(str(error)) from error


def _check_openings(env: Environment, pair: tuple[Scenario, Scenario]) -> None:
    words = [env.reset(options={"scenario_id": scenario.id})[0] for scenario in pair]
    assert words[0] == words[1], f"{pair[0].pair_id}: the twins begin with different words: {words}"


def _database_errors(scenario: Scenario) -> list[str]:
    back_end = load_family(scenario.family).open(scenario.split)
    back_end.begin(scenario)
    errors = back_end.integrity_errors()
    back_end.close()
    return errors


class _Fixed:
    """Says the same thing whatever happens."""

    def __init__(self, text: str) -> None:
        self._completion = Completion(text)

    def act(self, conversations: Sequence[Sequence[Message]]) -> list[Completion]:
        return [self._completion] * len(conversations)


_DO_NOTHING = (_Fixed(""), _Fixed('<tool_call>{"name": "end_conversation", "arguments": {}}</tool_call>'))


def _check_gates(env: Environment, scenario: str) -> None:
    for agent in _DO_NOTHING:
        assert not _succeeds(env, agent, scenario), f"{scenario}: an agent that does nothing succeeds"


def _succeeds(env: Environment, agent: ActingAgent, scenario: str) -> bool:
    *_, last = episode(env, agent, {"options": {"scenario_id": scenario}})
    return bool(last[-1]["success"])
