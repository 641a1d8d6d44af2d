"""Tools that fail and take their time, from a single call to a whole episode."""

import math
from typing import Any

import gymnasium as gym
import pytest

import ss_gym  # noqa: F401
from ss_baselines.agents.desk import END_CONVERSATION, tool_call
from ss_baselines.commands.agents import choose_agent
from ss_gym.sim2real import DomainRandomizationConfig, DomainRandomizer
from ss_gym.streams import Stream
from ss_gym.tools import ToolError, Toolkit, tool
from ss_gym.types import ToolCall
from ss_gym.unreliable_tools import NO_ANSWER, OUTAGE, PATIENCE_SECONDS, UnreliableTools
from ss_gym.wrappers import DomainRandomization

REFUND = "StateSet/Refund-v0"
FAMILIES = [f"StateSet/{name}-v0" for name in ("Refund", "Exchange", "Cancel", "OrderStatus", "AddressChange")]
FAMILIES += [f"StateSet/{name}-v0" for name in ("Warranty", "Subscription", "Adversarial", "Retail")]


class Till(Toolkit):
    """Takes money, once."""

    verified_customer: str | None = "C1"

    def __init__(self) -> None:
        self.taken = 0

    @tool(kind="write")
    def take(self) -> str:
        """Take it."""
        if self.taken:
            raise ToolError("it was taken before")
        self.taken += 1
        return "taken"

    @tool(kind="read")
    def look(self) -> int:
        """How often it was taken."""
        return self.taken

    @tool(kind="end")
    def leave(self) -> str:
        """Leave."""
        return "bye"


def calls(params: dict[str, float], name: str = "look", count: int = 4000, key: int = 0) -> list[Any]:
    tools = UnreliableTools(Till(), params, Stream(key))
    return [tools.call(ToolCall(str(number), name, {})) for number in range(count)]


def near(found: float, expected: float, count: int) -> bool:
    return abs(found - expected) <= 4 * math.sqrt(expected * (1 - expected) / count)


def test_calls_fail_as_often_as_was_said_and_by_the_number_that_they_have() -> None:
    results = calls({"tool_failure": 0.2})
    failed = [OUTAGE in result.content for result in results]
    assert near(sum(failed) / 4000, 0.2, 4000)
    assert all(result.fault == lost == (not result.ok) for result, lost in zip(results, failed, strict=True))
    assert failed == [OUTAGE in result.content for result in calls({"tool_failure": 0.2}, "take")]
    assert failed != [OUTAGE in result.content for result in calls({"tool_failure": 0.2}, key=1)]


def test_a_call_that_takes_too_long_is_carried_out_without_an_answer() -> None:
    late = [NO_ANSWER in result.content for result in calls({"tool_latency": 4.0})]
    assert near(sum(late) / 4000, math.exp(-PATIENCE_SECONDS / 4), 4000)
    till, first = Till(), late.index(True)
    tools = UnreliableTools(till, {"tool_latency": 4.0}, Stream(0))
    for number in range(first):
        assert tools.call(ToolCall(str(number), "look", {})).content == "0"
    result = tools.call(ToolCall("late", "take", {}))
    assert (result.ok, result.fault, till.taken) == (False, True, 1)
    again = next(answer for number in range(9) if not (answer := tools.call(ToolCall(str(number), "take", {}))).fault)
    # The same call again gives what came of it, and the next one is another.
    assert (again.ok, again.content, till.taken) == (True, '"taken"', 1)
    once_more = next(
        answer for number in range(9) if not (answer := tools.call(ToolCall(str(number), "take", {}))).fault
    )
    assert "it was taken before" in once_more.content


def test_a_call_that_was_not_carried_out_has_done_nothing() -> None:
    till = Till()
    tools = UnreliableTools(till, {"tool_failure": 1.0}, Stream(0))
    assert OUTAGE in tools.call(ToolCall("0", "take", {})).content and till.taken == 0


def test_the_end_and_what_no_tool_takes_get_through() -> None:
    everything = {"tool_failure": 1.0, "tool_latency": 5.0}
    assert {result.content for result in calls(everything, "leave", 20)} == {'"bye"'}
    assert not any(result.fault for result in calls(everything, "lock", 20))
    broken = UnreliableTools(Till(), everything, Stream(0)).call(ToolCall("0", "look", {}, error="no JSON"))
    assert "no JSON" in broken.content and not broken.fault
    mistaken = UnreliableTools(Till(), everything, Stream(0)).call(ToolCall("0", "look", {"where": 1}))
    assert "unexpected argument" in mistaken.content and not mistaken.fault
    assert UnreliableTools(Till(), everything, Stream(0)).verified_customer == "C1"


# --- episodes ------------------------------------------------------------------------------------


def play(params: dict[str, float] | None, seed: int, env: Any) -> tuple[Any, list[Any], float]:
    """The reference agent's episode: its last info, its messages and its return."""
    agent, seen, total, done = choose_agent("reference", None, 0), 0, 0.0, False
    options = {} if params is None else {"tool_params": params}
    _, info = env.reset(seed=seed, options=options)
    script = agent.start(env.unwrapped.system_prompt)
    while not done:
        messages = list(env.unwrapped.messages)
        action, seen = script.step(messages[seen:]), len(messages)
        _, reward, terminated, truncated, info = env.step(action)
        total, done = total + reward, terminated or truncated
    return info, list(env.unwrapped.messages), total


@pytest.mark.parametrize(
    "params", [{"tool_failure": 0.3}, {"tool_latency": 5.0}, {"tool_failure": 0.3, "tool_latency": 5.0}]
)
@pytest.mark.parametrize("env_id", FAMILIES)
def test_outages_cost_nothing_whom_they_do_not_mislead(env_id: str, params: dict[str, float]) -> None:
    env = gym.make(env_id)
    played = [play(params, seed, env) for seed in range(60)]
    assert all(info["success"] for info, *_ in played)
    kinds = {kind for kind in (OUTAGE, NO_ANSWER) for _, messages, _ in played if kind in str(messages)}
    expected = {"tool_failure": OUTAGE, "tool_latency": NO_ANSWER}
    assert kinds == {expected[name] for name in params}
    plain = [play(None, seed, env) for seed in range(60)]
    assert [total for *_, total in played] == pytest.approx([total for *_, total in plain])


def test_no_outage_is_the_same_as_none() -> None:
    assert play(None, 3, gym.make(REFUND))[1] == play({"tool_failure": 0.0}, 3, gym.make(REFUND))[1]


def test_attempts_at_one_scenario_meet_the_same_outages() -> None:
    one, other = ([play({"tool_failure": 0.3}, seed, gym.make(REFUND))[1] for seed in range(6)] for _ in range(2))
    assert one == other


def test_what_was_done_without_an_answer_is_in_the_account() -> None:
    env, found = gym.make(REFUND), 0
    for seed in range(200):
        info, messages, _ = play({"tool_latency": 5.0}, seed, env)
        issued = {
            call["id"] for each in messages for call in each.get("tool_calls") or () if "issue_refund" in str(call)
        }
        late = [each for each in messages if each.get("tool_call_id") in issued and NO_ANSWER in each["content"]]
        if late:
            found += 1
            assert info["audit"]["missing_effects"] == [] and info["audit"]["wrong_effects"] == []
    assert found > 3


def test_done_is_not_true_after_an_outage() -> None:
    env = gym.make(REFUND)
    for seed in range(40):
        env.reset(seed=seed, options={"tool_params": {"tool_failure": 0.3}})
        refund = tool_call(
            "issue_refund", order_id="1", item_ids=["1-1"], reason="damaged", payment_id="1-P1", amount="1"
        )
        observation, *_ = env.step(refund)
        if OUTAGE in observation:
            env.step("Done! All is settled.")
            *_, info = env.step(END_CONVERSATION)
            assert "claims" in info["audit"]["failed"]
            return
    raise AssertionError("no outage in 40 first calls")


@pytest.mark.parametrize(
    ("params", "error", "told"),
    [
        ({"tool_failures": 0.1}, ValueError, "tool_params: there is no parameter 'tool_failures'; did you mean"),
        ({"tool_failure": 0.5}, ValueError, "tool_params: tool_failure must be from 0 to 0.3"),
        (3, TypeError, "tool_params must be a mapping"),
    ],
)
def test_what_no_tools_could_be_is_refused(params: Any, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        gym.make(REFUND).reset(seed=0, options={"tool_params": params})


def test_a_randomizer_draws_them_for_each_episode() -> None:
    env = DomainRandomization(gym.make(REFUND), DomainRandomizer(DomainRandomizationConfig(tool_variation=1.0)))
    drawn = [env.reset(seed=seed)[1]["drawn_options"]["tool_params"] for seed in range(20)]
    assert len({each["tool_failure"] for each in drawn}) == 20 and {*drawn[0]} == {"tool_failure", "tool_latency"}
    assert all(0 <= each["tool_failure"] <= 0.3 and 0 <= each["tool_latency"] <= 5 for each in drawn)
