"""The values that pass between environments, agents and trainers: plain, frozen, picklable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Role = Literal["system", "user", "assistant", "tool"]

# A chat message in OpenAI form: role, content and, where they apply, tool_calls and tool_call_id.
Message = dict[str, Any]


def user_message(text: str) -> Message:
    """What the user says."""
    return {"role": "user", "content": text}


def is_tool_error(role: str, content: str) -> bool:
    """Whether a message is the result of a call that failed: tools answer with the key ``error`` then, and first.

    >>> is_tool_error("tool", '{"error":"there is no order 17"}'), is_tool_error("user", '{"error":"mine"}')
    (True, False)
    """
    return role == "tool" and content.startswith('{"error"')


# These three are made inside every step of an environment: a named tuple is as frozen as a dataclass and takes
# a third of its time to make.


class ToolCall(NamedTuple):
    """One call that the agent wrote.

    Attributes:
        id: unique within the episode, e.g. ``"call_3"``.
        name: the tool's name as the agent wrote it; empty if the block had none.
        arguments: the parsed arguments; empty if the block was malformed.
        raw: the text inside the block, as written.
        error: why the block could not be read; empty if it could.
    """

    id: str
    name: str
    arguments: Mapping[str, Any]
    raw: str = ""
    error: str = ""


class ToolResult(NamedTuple):
    """What a tool gave back.

    Attributes:
        call: what was asked.
        content: the answer as JSON text.
        ok: False for an error.
        fault: the error is the system's and not the call's.
    """

    call: ToolCall
    content: str
    ok: bool
    fault: bool = False


class ParsedAction(NamedTuple):
    """An agent's completion, read by the action grammar.

    Attributes:
        text: the raw completion.
        say: what the customer hears; empty if there are tool calls.
        tool_calls: the calls, in order.
        aside: text beside tool calls, kept in the transcript and shown to nobody.
        thought: the inside of ``<think>`` blocks, shown to nobody.
    """

    text: str
    say: str
    tool_calls: tuple[ToolCall, ...] = ()
    aside: str = ""
    thought: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """What an agent produced for one step.

    Attributes:
        text: the raw completion, the action for ``env.step``.
        token_ids: the sampled ids, end-of-turn token included; None for agents without tokens.
        logprobs: log-probability of each of ``token_ids`` under the distribution they were
            sampled from (after temperature), nats; None for agents without tokens.
        finish_reason: ``"stop"`` or ``"length"``.
    """

    text: str
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    finish_reason: Literal["stop", "length"] = "stop"


@dataclass(frozen=True, slots=True)
class ConversationTurn:
    """One message of a conversation, with what the agent sampled where the agent wrote it.

    Attributes:
        role: who wrote it.
        content: the text.
        tool_calls: calls in OpenAI form (assistant only).
        tool_call_id: the call that a tool message answers.
        token_ids: ids of this turn exactly as the model saw or sampled them, in order.
        logprobs: sampler's log-probability of each of ``token_ids`` (assistant only).
        reward: reward of the environment step that this turn caused (assistant only).
    """

    role: Role
    content: str
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    tool_call_id: str = ""
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    reward: float = 0.0


@dataclass(frozen=True, slots=True)
class MultiTurnTrajectory:
    """One episode.

    Attributes:
        turns: every message after the system prompt, in order.
        system_prompt: the instructions the agent had.
        prompt_ids: ids of the rendered system prompt (and tools), the shared prefix; None for
            agents without tokens.
        scenario_id: which scenario it was.
        group_id: attempts with the same group id share scenario and customer.
        reward_terms: the episode's sum of every reward component by name.
        success: whether the audit passed; None where the environment has no notion of it.
        terminated: whether the conversation ended by itself.
        truncated: whether a limit ended it.
        info: anything else of the last step, such as the audit.
    """

    turns: tuple[ConversationTurn, ...]
    system_prompt: str = ""
    prompt_ids: tuple[int, ...] | None = None
    scenario_id: str = ""
    group_id: int = 0
    reward_terms: Mapping[str, float] = field(default_factory=dict)
    success: bool | None = None
    terminated: bool = True
    truncated: bool = False
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def total_reward(self) -> float:
        """Undiscounted return: the sum of the turns' rewards."""
        return sum(turn.reward for turn in self.turns)
