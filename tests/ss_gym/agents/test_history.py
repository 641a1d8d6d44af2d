"""What is left out of conversations that are too long: the oldest exchanges, as wholes."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.agents import AgentConfig, Conversation, MultiTurnAgent
from ss_gym.agents.history import trimmed
from ss_gym.types import Completion

CALL = [{"id": "call_0", "type": "function", "function": {"name": "a", "arguments": "{}"}}]


def conversation_of(letters):
    """s: system, u: user, a: the agent says something, c: it calls a tool, t: the result."""
    roles = {"s": "system", "u": "user", "a": "assistant", "c": "assistant", "t": "tool"}
    made = Conversation(tools=({"type": "function"},))
    for place, letter in enumerate(letters):
        made.append(
            {"role": roles[letter], "content": f"{letter}{place}", **({"tool_calls": CALL} if letter == "c" else {})}
        )
        if letter in "ac":
            made.completions[place] = Completion(f"{letter}{place}", (place,))
    return made


def left(letters, most):
    result = trimmed(conversation_of(letters), lambda tried: len(tried) <= most)
    return " ".join(message["content"] for message in result)


@pytest.mark.parametrize(
    ("letters", "most", "expected"),
    [
        ("suau", 4, "s0 u1 a2 u3"),
        ("suau", 3, "s0 u3"),
        ("suauau", 4, "s0 u3 a4 u5"),
        ("suctauctau", 9, "s0 u5 c6 t7 a8 u9"),
        ("suctauctau", 3, "s0 u9"),
        ("uctct", 4, "u0 c3 t4"),
        ("suctctct", 6, "s0 u1 c4 t5 c6 t7"),
        ("suctctct", 3, "s0 u1 c6 t7"),
        ("suctctct", 1, "s0 u1 c6 t7"),  # there is no shorter one
        ("auau", 2, "u3"),
        ("u", 0, "u0"),
        ("su", 0, "s0 u1"),
    ],
)
def test_the_oldest_exchanges_go_first_then_rounds_of_the_last(letters, most, expected):
    assert left(letters, most) == expected


LETTERS = st.lists(st.sampled_from(["ua", "ucta", "uctctta", "uu", "ua"]), max_size=6).map("".join)


@given(st.booleans(), LETTERS, st.sampled_from(["u", "uct", "uctct", "uctctt"]), st.integers(0, 30))
def test_system_message_last_words_and_calls_with_their_results_stay(system, before, end, most):
    whole = conversation_of("s" * system + before + end)
    kept = list(map(dict, whole))
    result = trimmed(whole, lambda tried: len(tried) <= most)
    assert whole == kept and result[-1] == whole[-1] and result.tools == whole.tools
    assert (result[0]["role"] == "system") == system
    assert result is whole or len(result) < len(whole)
    roles = [message["role"] for message in result]
    assert roles[system] == "user"
    for place, message in enumerate(result):
        assert roles[place] != "tool" or roles[place - 1] in ("tool", "assistant")
        if message["role"] == "assistant":
            assert ("tool_calls" in message) == (roles[place + 1 : place + 2] == ["tool"])
        said = result.completions.get(place)
        assert (said is not None and said.text == message["content"]) == (roles[place] == "assistant")
    # What is left is no shorter than it must be.
    assert len(result) <= most or result == trimmed(whole, lambda tried: False)


class Short:
    """A backend that takes eight messages, of which the reply is one."""

    max_context = 8

    def __init__(self):
        self.asked = []

    def room(self, conversation):
        return self.max_context - len(conversation)

    def generate(self, conversations, sampling):
        self.asked += [[message["content"] for message in each] for each in conversations]
        return [Completion("ok") for _ in conversations]


@pytest.mark.parametrize("trims", [True, False])
def test_an_agent_that_trims_asks_with_what_fits_and_remembers_the_whole(trims):
    backend = Short()
    agent = MultiTurnAgent(AgentConfig("short://", 1, system_prompt="Be kind.", trim_history=trims), backend)

    async def talk():
        history = []
        for number in range(6):
            history.append({"role": "user", "content": f"u{number}"})
            history.append(
                {"role": "assistant", "content": await agent.generate_response(history, {"conversation_id": "c"})}
            )

    asyncio.run(talk())
    assert backend.asked[2] == ["Be kind.", "u0", "ok", "u1", "ok", "u2"]
    last = (
        ["u3", "ok", "u4", "ok", "u5"] if trims else ["u0", "ok", "u1", "ok", "u2", "ok", "u3", "ok", "u4", "ok", "u5"]
    )
    assert backend.asked[-1] == ["Be kind.", *last]


def test_a_backend_that_can_not_measure_is_an_error_for_an_agent_that_trims():
    agent = MultiTurnAgent(AgentConfig("stub://demo", trim_history=True))
    agent.load()
    with pytest.raises(ValueError, match=r"'stub://demo' does not tell how long its context is.*trim_history"):
        agent.act([[{"role": "user", "content": "Hi!"}]])
