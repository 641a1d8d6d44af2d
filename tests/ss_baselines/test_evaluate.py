"""The evaluation loop on the real environment."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Sequence

import pytest

from ss_baselines.agents import AGENTS, Agent, load_agent
from ss_baselines.evaluate import evaluate
from ss_gym.types import Completion, Message

ENV = "StateSet/Refund-v0"


def outcomes(**options: object) -> list[tuple[str, bool, float, int]]:
    result = evaluate("demonstrator", ENV, "dev", **options)  # type: ignore[arg-type]
    return [(e.scenario_id, e.success, e.reward, e.steps) for e in result.episodes]


def test_pairs_are_a_scenario_and_its_twin() -> None:
    result = evaluate("instant_closer", ENV, "dev", pairs=3)
    assert [e.scenario_id for e in result.episodes] == [f"refund/dev/{number:04d}" for number in range(6)]
    assert [e.pair_id for e in result.episodes[::2]] == [e.pair_id for e in result.episodes[1::2]]
    assert len({e.pair_id for e in result.episodes}) == 3
    assert result.split == "dev"


def test_the_outcome_does_not_depend_on_batch_or_workers() -> None:
    one = outcomes(episodes=10, batch=1)
    assert one == outcomes(episodes=10, batch=7)
    assert one == outcomes(episodes=10, batch=4, workers=2)


class _Asynchronous:
    async def act(self, conversations: Sequence[Sequence[Message]]) -> list[Completion]:
        await asyncio.sleep(0)
        return load_agent("demonstrator").act(conversations)


def test_an_agent_may_be_asynchronous() -> None:
    result = evaluate(_Asynchronous(), ENV, "dev", episodes=4)  # type: ignore[arg-type]
    assert [(e.scenario_id, e.success, e.reward, e.steps) for e in result.episodes] == outcomes(episodes=4)


def test_scenarios_can_be_named() -> None:
    wanted = ["refund/test/0007", "refund/train/123456"]
    result = evaluate("silent", ENV, scenario_ids=wanted)
    assert [e.scenario_id for e in result.episodes] == wanted
    assert result.split == ""


def test_conversations_are_kept_only_when_asked_for() -> None:
    assert evaluate("silent", ENV, episodes=1).episodes[0].messages == ()
    messages = evaluate("silent", ENV, episodes=1, keep_messages=True).episodes[0].messages
    assert [message["role"] for message in messages[:3]] == ["system", "user", "assistant"]


def test_environment_keywords_are_passed_on() -> None:
    result = evaluate("silent", ENV, episodes=1, env_kwargs={"prompt": "compact", "max_turns": 2}, keep_messages=True)
    episode = result.episodes[0]
    assert len(episode.messages[0]["content"]) < 200
    assert episode.turns == 2
    assert episode.truncated


def test_tool_errors_are_counted() -> None:
    class Fumbler:
        def act(self, conversations: Sequence[Sequence[Message]]) -> list[Completion]:
            actions = ("<tool_call>{</tool_call>", '<tool_call>{"name":"end_conversation","arguments":{}}</tool_call>')
            return [Completion(actions[len(conversation) > 2]) for conversation in conversations]

    result = evaluate(Fumbler(), ENV, episodes=2)
    assert [e.tool_errors for e in result.episodes] == [1, 1]
    assert result.agent == "Fumbler"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "exactly one of"),
        ({"episodes": 2, "pairs": 1}, "exactly one of"),
        ({"episodes": 0}, "at least one episode"),
        ({"episodes": 2, "batch": 0}, "at least 1"),
    ],
)
def test_wrong_requests_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate("silent", ENV, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("choice", [{"episodes": 2}, {"scenario_ids": ["refund/dev/0001"]}])
def test_an_environment_without_scenarios_is_refused(choice: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="CartPole-v1 has no family of scenarios"):
        evaluate("silent", "CartPole-v1", **choice)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", AGENTS)
def test_every_baseline_acts_and_pickles_in_the_middle_of_its_conversations(name: str) -> None:
    agent: Agent = load_agent(name)
    first = evaluate(agent, ENV, episodes=2, name=name)
    again = evaluate(pickle.loads(pickle.dumps(agent)), ENV, episodes=2, name=name)
    assert first.agent == name
    assert again.episodes == first.episodes


def test_a_misspelt_baseline_is_told_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'reference'"):
        load_agent("referense")


def test_scenarios_that_are_not_there_are_told_before_the_first_is_played() -> None:
    class Idle:
        def act(self, conversations: Sequence[Sequence[Message]]) -> list[Completion]:
            raise AssertionError("nothing is to be played")

    with pytest.raises(ValueError, match="dev has 600"):
        evaluate(Idle(), ENV, "dev", episodes=601)
    with pytest.raises(ValueError, match="refund/holiday/0001"):
        evaluate(Idle(), ENV, scenario_ids=["refund/dev/0001", "refund/holiday/0001"])
