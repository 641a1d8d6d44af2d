"""Logs of agents that serve customers: runs of tau-bench and tau2-bench, and Schema-Guided Dialogue (SGD).

Sources: Yao et al. 2024 (arXiv:2406.12045), Barres et al. 2025 (2506.07982), Rastogi et al. 2020 (1909.05855).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ss_gym.datasets.conversation import LoggedConversation
from ss_gym.datasets.messages import logged, text_field
from ss_gym.datasets.records import Place, RecordError
from ss_gym.rewards.function import is_finite
from ss_gym.types import Message

# What a customer of tau-bench says to end the conversation, and the tool that ends it.
_STOP, _TRANSFER = "###STOP###", "transfer_to_human_agents"
_SPOKEN_LINE = re.compile(r"^(user|assistant|tool): ", re.MULTILINE)
# How a run of tau2-bench ends by itself; whatever else it says is a limit or a failure.
_ENDS = frozenset({"user_stop", "agent_stop"})
# A run that failed before it could be judged; its reward, if there is one, says nothing of the agent.
_NOT_JUDGED = frozenset({"infrastructure_error", "context_window_exceeded"})


def read_tau_bench(values: Any, place: Place, header: Mapping[str, Any]) -> LoggedConversation:
    """A run of tau-bench: ``traj``, ``reward``, ``task_id``, ``trial``; or one of its examples, a transcript.

    A reward of 1 is success, as that benchmark has it. The transcripts (``messages_display``) do not tell what the
    agent called, so their calls are none of its actions here; what came back is kept.

    Raises:
        RecordError: if it is none.
    """
    if isinstance(values.get("messages_display"), str):
        said = list(_transcript(values["messages_display"]))
        return logged(said, id=str(place), source=place.source, line=place.line)
    messages, reward = values.get("traj"), values.get("reward")
    if not isinstance(messages, list):
        raise RecordError("no messages", f"a run of tau-bench has its messages in 'traj', got {messages!r:.80}")
    info = _mapping(values.get("info"))
    task = _mapping(info.get("task"))
    customer, number = text_field(task, "user_id"), text_field(values, "task_id")
    # The number of a task says nothing without its domain, which a run does not name; its customer does.
    name = "/".join(["tau_bench", *filter(None, (customer, number))])
    ended = _ended(messages)
    return logged(
        messages,
        rewards=reward,
        success=_is_one(reward),
        episode={"terminated": ended, "truncated": not ended, "audit": _mapping(info.get("reward_info"))},
        id=f"{name}/trial-{values['trial']}" if values.get("trial") is not None else name,
        scenario=name if number else "",
        customer=customer and f"tau_bench/{customer}",
        metadata={"instruction": task["instruction"]} if isinstance(task.get("instruction"), str) else {},
        source=place.source,
        line=place.line,
    )


def _transcript(text: str) -> Iterator[Message]:
    """The messages of a transcript, in which a call is ``assistant: None``."""
    starts = list(_SPOKEN_LINE.finditer(text))
    for start, following in zip(starts, [*starts[1:], None], strict=True):
        content = text[start.end() : following.start() if following else len(text)].strip("\n")
        if (start[1], content) != ("assistant", "None"):
            yield {"role": start[1], "content": content}


def _ended(messages: list[Any]) -> bool:
    """Whether a run ended by itself, and not at its limit of steps."""
    last = [message for message in messages[-2:] if isinstance(message, Mapping)]
    told = [str(message.get("content")) for message in last if message.get("role") == "user"]
    calls = [_mapping(call) for message in last for call in _list(message.get("tool_calls"))]
    transferred = any(_mapping(call.get("function")).get("name") == _TRANSFER for call in calls)
    return transferred or any(_STOP in text for text in told)


def _is_one(reward: Any) -> bool | None:
    return abs(reward - 1) < 1e-6 if is_finite(reward) else None


def read_tau2_bench(values: Any, place: Place, header: Mapping[str, Any]) -> LoggedConversation:
    """A simulation of tau2-bench; the policy and the domain are in the head of its file.

    What the customer called by themselves, and what came of it, the agent never saw: it is left out. The greeting
    that every conversation begins with is none of the agent's actions.

    Raises:
        RecordError: if it is none.
    """
    if not isinstance(values.get("messages"), list):
        problem = "the simulation has no 'messages': simulations of voice are not read"
        raise RecordError("no messages", problem)
    info = _mapping(_mapping(header.get("info")).get("environment_info"))
    policy = text_field(values, "policy") or text_field(info, "policy")
    said = [{"role": "system", "content": policy}] if policy else []
    said += [message for given in values["messages"] for message in _seen_by_agent(given)]
    reason, judged = text_field(values, "termination_reason"), _mapping(values.get("reward_info"))
    reward = None if reason in _NOT_JUDGED else judged.get("reward")
    name = "/".join(filter(None, ("tau2_bench", text_field(info, "domain_name"), text_field(values, "task_id"))))
    return logged(
        said,
        rewards=reward,
        success=_is_one(reward),
        episode={
            "seed": values["seed"] if isinstance(values.get("seed"), int) else None,
            "terminated": reason in _ENDS,
            "truncated": reason not in _ENDS,
            "audit": judged,
        },
        id=text_field(values, "id") or str(place),
        scenario=name,
        metadata={name: values[name] for name in ("trial", "termination_reason") if values.get(name) is not None},
        source=place.source,
        line=place.line,
    )


def _seen_by_agent(given: Any) -> Iterator[Any]:
    """The messages that the agent saw of one of tau2-bench, in OpenAI form."""
    if not isinstance(given, Mapping):
        yield given  # the error is told where messages are read
    elif isinstance(given.get("tool_messages"), list):
        for part in given["tool_messages"]:
            yield from _seen_by_agent(part)
    elif given.get("role") == "tool":
        if given.get("requestor") != "user":
            yield {"role": "tool", "content": given.get("content"), "tool_call_id": text_field(given, "id")}
    elif given.get("role") != "user" or given.get("content"):
        yield {name: given.get(name) for name in ("role", "content", "tool_calls")}


def read_sgd(values: Any, place: Place, header: Mapping[str, Any]) -> LoggedConversation:
    """A dialogue of SGD, as it is published or with ``role``, ``content`` and ``acts`` of each turn.

    It has no rewards. The calls of a service that are part of a system's turn become tool calls before it. The
    acts of each turn are in ``metadata``.

    Raises:
        RecordError: if it is none.
    """
    turns = values.get("turns")
    if not isinstance(turns, list):
        raise RecordError("no messages", f"a dialogue of SGD has its messages in 'turns', got {turns!r:.80}")
    messages: list[Any] = []
    acts: list[list[str]] = []
    for turn in turns:
        if isinstance(turn, Mapping) and "utterance" in turn:
            messages += _published(turn)
            frames = [_mapping(frame) for frame in _list(turn.get("frames"))]
            acts.append([str(_mapping(act).get("act")) for frame in frames for act in _list(frame.get("actions"))])
        else:
            messages.append(turn)
            acts.append([str(act) for act in _list(_mapping(turn).get("acts"))])
    return logged(
        messages,
        id=text_field(values, "dialogue_id", "id") or str(place),
        metadata={"services": values.get("services") or [], "acts": acts},
        source=place.source,
        line=place.line,
    )


def _published(turn: Mapping[str, Any]) -> Iterator[Message]:
    """The messages of a turn in SGD's own form."""
    if turn.get("speaker") == "USER":
        yield {"role": "user", "content": turn["utterance"]}
        return
    for frame in map(_mapping, _list(turn.get("frames"))):
        call = _mapping(frame.get("service_call"))
        if call:
            arguments = _mapping(call.get("parameters"))
            yield {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"name": text_field(call, "method"), "arguments": arguments}],
            }
            yield {"role": "tool", "content": frame.get("service_results") or []}
    role = {"SYSTEM": "assistant"}.get(str(turn.get("speaker")), turn.get("speaker"))
    yield {"role": role, "content": turn["utterance"]}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
