"""How the scripted agents fare: the gates of the Refund family, on a sample."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ss_baselines.agents.demonstrator import LAPSES
from ss_baselines.agents.desk import tool_call
from ss_baselines.agents.reference import ReferenceAgent
from ss_baselines.evaluate import evaluate

ENV = "StateSet/Refund-v0"


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_the_reference_agent_solves_every_scenario(split: str) -> None:
    result = evaluate("reference", ENV, split, pairs=50)
    assert [e.scenario_id for e in result.episodes if not e.success] == []
    assert result.reward.value >= 0.95
    assert result.tool_errors == 0


def test_the_reference_agent_solves_them_from_the_compact_prompt_too() -> None:
    result = evaluate("reference", ENV, "dev", pairs=20, env_kwargs={"prompt": "compact"})
    assert result.success.value == 1


def test_no_message_of_the_reference_agent_repeats_an_earlier_one_where_that_is_asked_for() -> None:
    result = evaluate(ReferenceAgent(never_repeat=True), ENV, "train", pairs=50, keep_messages=True)
    assert result.success.value == 1
    said = [
        message["content"]
        for episode in result.episodes
        for message in episode.messages
        if message["role"] == "assistant" and message["content"]
    ]
    assert len(set(said)) == len(said)


@pytest.mark.parametrize(
    ("name", "success", "pairs"),
    [
        ("silent", 0.0, 0.0),
        ("instant_closer", 0.0, 0.0),
        ("random_tools", 0.02, 0.0),
        ("keyword_stuffer", 0.0, 0.0),
        ("data_dumper", 0.0, 0.0),
        ("always_grant", 0.5, 0.0),
        ("always_refuse", 0.1, 0.0),
        ("always_transfer", 0.1, 0.0),
    ],
)
def test_nobody_succeeds_without_doing_the_job(name: str, success: float, pairs: float) -> None:
    result = evaluate(name, ENV, "dev", pairs=50)
    assert result.pair_score is not None
    assert result.success.value <= success
    assert result.pair_score.value <= pairs


def test_the_imperfect_agents_lie_between(split: str = "dev") -> None:
    bot, clerk = (evaluate(name, ENV, split, pairs=60) for name in ("rule_bot", "demonstrator"))
    assert 0.6 <= bot.success.value <= 0.95
    assert 0.35 <= clerk.success.value <= 0.7
    assert clerk.critical_rate > 0.1


def test_the_demonstrator_is_right_more_often_than_one_time_in_three() -> None:
    assert all(0.35 <= 1 - chance <= 0.6 for chance in LAPSES.values())


def test_the_demonstrator_speaks_briefly() -> None:
    result = evaluate("demonstrator", ENV, "train", pairs=30, env_kwargs={"prompt": "compact"}, keep_messages=True)
    words = [
        len(message["content"].split())
        for episode in result.episodes
        for message in episode.messages
        if message["role"] == "assistant" and message["content"]
    ]
    assert sum(words) / len(words) < 16


def test_agents_write_calls_in_the_action_grammar() -> None:
    call = tool_call("quote_refund", order_id="48213", item_ids=["48213-1"], reason="damaged")
    arguments = '{"order_id":"48213","item_ids":["48213-1"],"reason":"damaged"}'
    assert call == f'<tool_call>{{"name":"quote_refund","arguments":{arguments}}}</tool_call>'


def test_an_agent_ends_the_conversation_once_it_has_nothing_more_to_say() -> None:
    result = evaluate("reference", ENV, "dev", pairs=20, keep_messages=True)
    for episode in result.episodes:
        roles = [message["role"] for message in episode.messages]
        assert not any(first == second == "assistant" for first, second in pairwise(roles))
