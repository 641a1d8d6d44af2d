"""An agent with tools of its own: it calls them until it answers, and what goes wrong is for the model to know."""

import asyncio
import json
import threading
import time

import gymnasium
import pytest

from ss_gym import AgentConfig, ToolAgent, ToolError, Toolkit, tool
from ss_gym.agents import ToolLimits, ToolRoundsError
from ss_gym.types import Completion

USER = {"role": "user", "content": "What is 2 + 3?"}


class Scripted:
    """A backend that says what a script has, and keeps what it was asked."""

    def __init__(self, *script):
        self.script, self.asked = list(script), []

    def generate(self, conversations, sampling):
        (conversation,) = conversations
        self.asked.append([dict(message) for message in conversation])
        self.tools = conversation.tools
        return [Completion(self.script.pop(0))]


def call(name, **arguments):
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


def add(first: int, second: int) -> int:
    """Add two numbers.

    Args:
        first: one of them.
        second: the other.
    """
    if first == 13:
        raise ToolError("not with thirteen")
    return first + second


async def wait(seconds: float) -> str:
    """Wait.

    Args:
        seconds: how long.
    """
    await asyncio.sleep(seconds)
    return threading.current_thread().name


def block(seconds: float) -> str:
    """Wait and hold up the thread.

    Args:
        seconds: how long.
    """
    time.sleep(seconds)
    return threading.current_thread().name


def broken() -> object:
    """Break, or give what is no JSON."""
    raise KeyError("shelf")


def odd() -> object:
    """Give what is no JSON."""
    return object()


def answer(*script, tools=(add, wait, block, broken, odd), messages=(USER,), **limits):
    """What the agent says, and the results that the model saw."""
    backend = Scripted(*script)
    agent = ToolAgent(AgentConfig("scripted://"), tools, backend, ToolLimits(**limits) if limits else None)
    said = asyncio.run(agent.generate_response(list(messages)))
    seen = [json.loads(message["content"]) for message in backend.asked[-1] if message["role"] == "tool"]
    return said, seen, backend


def test_the_model_calls_sees_the_result_and_answers():
    said, seen, backend = answer(f"<think>add</think>{call('add', first=2, second=3)}", "<think>5</think>It is 5.")
    assert (said, seen) == ("It is 5.", [5])
    assert [schema["function"]["name"] for schema in backend.tools] == ["add", "wait", "block", "broken", "odd"]
    first, second = backend.asked
    assert first == [USER]
    _, own, result = second
    assert own["role"] == "assistant" and own["tool_calls"][0]["id"] == result["tool_call_id"]


def test_calls_of_one_completion_run_beside_each_other_and_keep_their_order():
    arrived, all_here = [], threading.Event()

    def block() -> str:
        """Wait for the other calls and hold up the thread."""
        arrived.append("block")
        if len(arrived) == 4:
            all_here.set()
        assert all_here.wait(20)
        return threading.current_thread().name

    async def wait() -> str:
        """Wait for the other calls."""
        arrived.append("wait")
        if len(arrived) == 4:
            all_here.set()
        assert await asyncio.to_thread(all_here.wait, 20)
        return threading.current_thread().name

    script = "".join([call("block"), call("wait"), call("add", first=1, second=1)] * 2)
    said, seen, _ = answer(script, "Done.", tools=(add, wait, block))
    assert said == "Done."  # and each of the four has ended, which it does when all are under way
    assert [isinstance(each, str) for each in seen] == [True, True, False] * 2
    assert len({seen[0], seen[3], "MainThread"}) == 3 and seen[1] == seen[4] == "MainThread"


def test_no_more_calls_run_at_once_than_the_limits_allow():
    under_way, most = [], []

    async def wait() -> str:
        """Wait, and note how many do."""
        under_way.append("wait")
        most.append(len(under_way))
        await asyncio.sleep(0.01)
        return under_way.pop()

    answer(call("wait") * 3, "Done.", tools=(wait,), concurrency=1)
    assert most == [1, 1, 1]
    answer(call("wait") * 3, "Done.", tools=(wait,), concurrency=2)
    assert max(most) == 2


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (call("add", first=13, second=1), "not with thirteen"),
        (call("add", first="x", second=1), 'add: argument "first" must be'),
        (call("ad", first=1, second=1), 'no tool is called "ad"; did you mean "add"?'),
        ('<tool_call>{"name": "add"', "malformed tool call"),
        (call("broken"), "broken failed: KeyError: 'shelf'"),
        (call("odd"), "odd failed: TypeError"),
        (call("wait", seconds=30), "wait has not answered within 0.5 s"),
        (call("block", seconds=1.5), "block has not answered within 0.5 s"),
    ],
)
def test_what_goes_wrong_is_told_to_the_model_which_goes_on(script, error):
    said, seen, _ = answer(script + call("add", first=1, second=1), "I see.", timeout=0.5)
    assert said == "I see." and error in seen[0]["error"] and seen[1] == 2


def test_after_the_last_round_the_model_is_told_to_answer():
    one = call("add", first=1, second=1)
    said, seen, _ = answer(one, one, one, "It is 2.", rounds=2)
    assert said == "It is 2." and seen == [2, 2, {"error": "no further calls can be made: answer with what you know"}]
    with pytest.raises(ToolRoundsError, match=r"after 2 rounds, the last time add: allow more \(ToolLimits.rounds\)"):
        answer(one, one, one, one, rounds=2)


def test_a_conversation_with_an_id_goes_on_with_what_was_called():
    backend = Scripted(call("add", first=2, second=3), "It is 5.", "As I said, 5.", "Hello.")
    agent = ToolAgent(AgentConfig("scripted://", system_prompt="Count."), [add], backend)

    async def talk():
        history = [USER]
        for question in ("Again?", None):
            history.append(
                {"role": "assistant", "content": await agent.generate_response(history, {"conversation_id": "c"})}
            )
            history.append({"role": "user", "content": question})
        return await agent.generate_response([USER], {"conversation_id": "c"})

    assert asyncio.run(talk()) == "Hello."
    roles = [[message["role"] for message in asked] for asked in backend.asked]
    assert roles[2] == ["system", "user", "assistant", "tool", "assistant", "user"]
    assert roles[3] == ["system", "user"]  # another conversation begins under the same id


class Till(Toolkit):
    """Keeps its money to one thread, as a database does."""

    def __init__(self):
        self.thread, self.sum = threading.get_ident(), 0

    @tool("write")
    def put(self, amount: int) -> int:
        """Put money in.

        Args:
            amount: how much.
        """
        assert threading.get_ident() == self.thread
        self.sum += amount
        return self.sum


def test_the_calls_of_a_toolkit_run_in_turn_where_it_was_made():
    _, seen, _ = answer(call("put", amount=1) + call("put", amount=2), "Done.", tools=Till())
    assert seen == [1, 3]


class Torn(Toolkit):
    """Has a tool that breaks."""

    @tool("read")
    def tear(self) -> int:
        """Break."""
        raise KeyError("page")


def test_the_exception_of_a_toolkit_is_told_to_the_model():
    said, seen, _ = answer(call("tear"), "I see.", tools=Torn())
    assert (said, seen) == ("I see.", [{"error": "tear failed: KeyError: 'page'"}])


def test_what_is_interrupted_leaves_no_completion_behind():
    backend = Scripted(call("wait", seconds=5), "Hello.")
    agent = ToolAgent(AgentConfig("scripted://"), [wait], backend)
    history = [USER, {"role": "assistant", "content": "Sorry, later."}, USER]

    async def talk():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(agent.generate_response([USER], {"conversation_id": "c"}), 0.2)
        return await agent.generate_response(history, {"conversation_id": "c"})

    assert asyncio.run(talk()) == "Hello." and backend.asked[-1] == history
    assert list(agent._remembered["c"].completions) == [3]


def test_an_environments_tools_can_be_used():
    env = gymnasium.make("StateSet/Refund-v0")
    env.reset(seed=3)
    _, toolkit = env.unwrapped._open()
    given = call("verify_identity", email="a@b.example", postal_code="12345")
    _, seen, _ = answer(given, "I could not verify you.", tools=toolkit)
    assert seen[0]["verified"] is False


def test_a_streamed_answer_comes_after_the_calls():
    agent = ToolAgent(AgentConfig("scripted://"), [add], Scripted(call("add", first=2, second=3), "It is 5."))

    async def talk():
        return [piece async for piece in agent.stream_response([USER])]

    assert asyncio.run(talk()) == ["It is 5."]


def test_what_can_not_be_meant_is_refused():
    agent = ToolAgent(AgentConfig("stub://demo"), [add])
    with pytest.raises(ValueError, match="has the tools that it was made with"):
        asyncio.run(agent.generate_response([USER], {"tools": [{}]}))
    with pytest.raises(RuntimeError, match=r"await agent.initialize"):
        asyncio.run(agent.generate_response([USER]))
    with pytest.raises(TypeError, match="tool <lambda>: a docstring must say what it does"):
        ToolAgent(AgentConfig("stub://demo"), [lambda x: x])
    with pytest.raises(ValueError, match="rounds and concurrency must be at least 1"):
        ToolLimits(rounds=0)
