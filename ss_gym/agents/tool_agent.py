"""An agent that uses tools by itself before it answers."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

from ss_gym.actions import action_message, parse_action
from ss_gym.agents.agent import MultiTurnAgent
from ss_gym.agents.backends import Backend
from ss_gym.agents.config import AgentConfig
from ss_gym.agents.conversation import Conversation
from ss_gym.asynchronous import in_thread, side_by_side
from ss_gym.json_text import encode
from ss_gym.tools import ToolError, Toolkit, toolkit_of
from ss_gym.types import Completion, Message, ToolCall, ToolResult

_LOGGER = logging.getLogger(__name__)
_ENOUGH = "no further calls can be made: answer with what you know"


class ToolRoundsError(RuntimeError):
    """The model goes on calling tools after it was told that it can't any more."""


@dataclass(frozen=True, slots=True)
class ToolLimits:
    """How far an agent may go with its tools.

    Attributes:
        rounds: how often it may call tools before it answers; those of one completion are one round.
        timeout: seconds that a call may take.
        concurrency: calls of a round that are under way at once.
    """

    rounds: int = 8
    timeout: float = 30.0
    concurrency: int = 8

    def __post_init__(self) -> None:
        """Refuses limits under which nothing could be called."""
        if self.rounds < 1 or not self.timeout > 0 or self.concurrency < 1:
            raise ValueError(
                "rounds and concurrency must be at least 1 and timeout above 0, "
                f"got {self.rounds}, {self.concurrency}, {self.timeout}"
            )


class ToolAgent(MultiTurnAgent):
    """An agent whose ``generate_response`` runs the calls that the model makes, until it answers in words.

    What goes wrong with a call is told to the model, which may do better: a call that can't be read, an unknown
    tool, wrong arguments, a refusal (``ToolError``), an exception of the tool's, a time-out. ``act`` is that of any
    agent: in an environment, tools are the environment's.

    Args:
        config: the model and how to sample from it.
        tools: functions, plain or asynchronous, with the annotations and docstring of a tool (see
            :func:`ss_gym.tools.toolkit_of`), whose calls run beside each other, plain ones in threads; or a
            toolkit, such as an environment's, whose calls run one after the other in the thread of the event loop,
            since they may share state, and without a time-out.
        backend: what answers; by default the one that ``config.model_name`` names.
        limits: how far it may go.

    Raises:
        TypeError: if a function can't be described.
    """

    def __init__(
        self,
        config: AgentConfig,
        tools: Iterable[Callable[..., Any]] | Toolkit = (),
        backend: Backend | None = None,
        limits: ToolLimits | None = None,
    ) -> None:
        super().__init__(config, backend)
        self.limits = limits or ToolLimits()
        self._functions: dict[str, Callable[..., Any]] = {}
        if isinstance(tools, Toolkit):
            self._toolkit = tools
        else:
            functions = list(tools)
            self._toolkit = toolkit_of([_plain(function) for function in functions])()
            self._functions = {function.__name__: function for function in functions}

    async def generate_response(self, messages: Sequence[Message], context: Mapping[str, Any] | None = None) -> str:
        """The agent's answer to the messages so far, after the calls that it makes.

        Args:
            messages: the whole conversation in OpenAI form, without the calls that the agent made by itself.
            context: with a ``"conversation_id"`` the agent remembers what it called, and what came back, when
                ``messages`` continue that conversation; what is about plans is as of ``MultiTurnAgent``.

        Raises:
            ValueError: if there are no messages, the last is the agent's own, the context brings tools, or what it
                says of a plan can't be meant.
            RuntimeError: before ``initialize``.
            ToolRoundsError: if the model goes on calling tools after its last round.
        """
        context = context or {}
        if context.get("tools"):
            raise ValueError("a ToolAgent has the tools that it was made with: give others to another one")
        async with self._opened(messages, context, self._toolkit.schemas) as (conversation, plan):
            completion, said = await self._concluded(conversation)
            self._answered(conversation, completion, said, context, plan)
        return said

    async def stream_response(
        self, messages: Sequence[Message], context: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[str, None]:
        """The agent's answer as a whole: whether what a model writes is its answer is known in the end only.

        Args:
            messages: as of ``generate_response``.
            context: as of ``generate_response``.
        """
        yield await self.generate_response(messages, context)

    async def _concluded(self, conversation: Conversation) -> tuple[Completion, str]:
        """The completion that calls nothing, and what it says; the calls before it become part of the conversation."""
        calls = sum(len(message.get("tool_calls") or ()) for message in conversation)
        for number in range(self.limits.rounds + 2):  # in the last but one it is told that no more can be made
            completion = await self._completion(conversation)
            action = parse_action(completion.text, calls)
            if not action.tool_calls:
                return completion, action.say
            calls += len(action.tool_calls)
            within = number < self.limits.rounds
            results = await self._results(action.tool_calls) if within else _refused(action.tool_calls)
            # Together: what is interrupted before leaves nothing behind.
            own = [action_message(action), *map(_told, results)]
            conversation.completions[len(conversation)] = completion
            conversation.hidden.update(range(len(conversation), len(conversation) + len(own)))
            conversation.extend(own)
        raise ToolRoundsError(
            f"the model goes on calling tools after {self.limits.rounds} rounds, the last time "
            f"{action.tool_calls[0].name or 'one that can not be read'}: allow more (ToolLimits.rounds), "
            "or tell it in the system prompt when to answer"
        )

    async def _results(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        if not self._functions:
            return [self._called(call) for call in calls]
        return await side_by_side([partial(self._result, call) for call in calls], self.limits.concurrency)

    def _called(self, call: ToolCall) -> ToolResult:
        try:
            return self._toolkit.call(call)
        except Exception as error:
            return _broken(call, error)

    async def _result(self, call: ToolCall) -> ToolResult:
        function, tool = self._functions.get(call.name), self._toolkit.tools.get(call.name)
        if call.error or function is None or tool is None:
            return self._toolkit.call(call)  # which says what is wrong
        try:
            arguments = tool.read(call.arguments)
            return ToolResult(call, encode(await self._value(function, arguments)), True)
        except TimeoutError:
            return _failed(call, f"{call.name} has not answered within {self.limits.timeout:g} s")
        except ToolError as error:
            return _failed(call, str(error))
        except Exception as error:
            return _broken(call, error)

    async def _value(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        if inspect.iscoroutinefunction(function):
            return await asyncio.wait_for(function(**arguments), self.limits.timeout)
        return await in_thread(partial(function, **arguments), self.limits.timeout)


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function to describe a tool by: toolkits have no coroutines."""
    if not inspect.iscoroutinefunction(function):
        return function

    @wraps(function)
    def described(*_: Any, **__: Any) -> Any:
        raise AssertionError("it is the coroutine that is called")

    return described


def _refused(calls: Sequence[ToolCall]) -> list[ToolResult]:
    return [_failed(call, _ENOUGH) for call in calls]


def _broken(call: ToolCall, error: Exception) -> ToolResult:
    _LOGGER.warning("the tool %s failed", call.name, exc_info=error)
    return _failed(call, f"{call.name} failed: {type(error).__name__}: {error}")


def _failed(call: ToolCall, message: str) -> ToolResult:
    return ToolResult(call, encode({"error": message}), False)


def _told(result: ToolResult) -> Message:
    return {"role": "tool", "tool_call_id": result.call.id, "content": result.content}
