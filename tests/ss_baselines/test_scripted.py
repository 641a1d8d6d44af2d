"""The adapter that gives scripts a batched ``act``."""

from __future__ import annotations

from collections.abc import Sequence

from ss_baselines.agents.scripted import ScriptedAgent
from ss_gym.types import Message


class Counter:
    """Says how many customer messages it has heard, and how many messages this step brought."""

    started = 0

    def __init__(self, system_prompt: str) -> None:
        Counter.started += 1
        self.prompt = system_prompt
        self.heard = 0

    def step(self, messages: Sequence[Message]) -> str:
        self.heard += sum(message["role"] == "user" for message in messages)
        return f"{self.prompt}:{self.heard}:{len(messages)}"


def opening(prompt: str = "p") -> list[Message]:
    return [{"role": "system", "content": prompt}, {"role": "user", "content": "hello"}]


def extend(conversation: list[Message], text: str) -> None:
    conversation += [{"role": "assistant", "content": text}, {"role": "user", "content": "go on"}]


def test_a_growing_conversation_costs_only_its_new_messages() -> None:
    agent = ScriptedAgent(Counter)
    conversation = opening()
    [first] = agent.act([conversation])
    assert first.text == "p:1:1"
    assert first.token_ids is None
    before = Counter.started
    extend(conversation, first.text)
    assert agent.act([conversation])[0].text == "p:2:2"
    assert Counter.started == before


def test_a_copied_conversation_is_replayed_to_the_same_action() -> None:
    agent = ScriptedAgent(Counter)
    conversation = opening()
    for _ in range(3):
        extend(conversation, agent.act([conversation])[0].text)
    assert agent.act([list(conversation)])[0].text == agent.act([conversation])[0].text == "p:4:2"


def test_conversations_of_a_batch_do_not_mix() -> None:
    agent = ScriptedAgent(Counter)
    first, second = opening("a"), opening("b")
    agent.act([first])
    extend(first, "x")
    assert [completion.text for completion in agent.act([second, first])] == ["b:1:1", "a:2:2"]


def test_a_list_that_is_reused_for_a_new_conversation_starts_afresh() -> None:
    agent = ScriptedAgent(Counter)
    conversation = opening("a")
    agent.act([conversation])
    conversation[:] = opening("b")
    assert agent.act([conversation])[0].text == "b:1:1"


def test_forgotten_conversations_are_replayed() -> None:
    agent = ScriptedAgent(Counter, memory=1)
    first, second = opening("a"), opening("b")
    agent.act([first, second])
    extend(first, "x")
    assert agent.act([first])[0].text == "a:2:2"


def test_a_conversation_without_a_system_prompt_is_understood() -> None:
    assert ScriptedAgent(Counter).act([[{"role": "user", "content": "hello"}]])[0].text == ":1:1"
