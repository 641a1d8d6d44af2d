"""Tools that are not always there: calls that fail, and calls that take too long, at rates that an episode sets."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ss_gym.back_end import ServiceTools
from ss_gym.json_text import encode
from ss_gym.streams import Stream
from ss_gym.tools import Tool, ToolError
from ss_gym.types import ToolCall, ToolResult
from ss_gym.users.parameters import Parameter

PATIENCE_SECONDS = 10.0
TOOL_PARAMETERS: Mapping[str, Parameter] = {
    "tool_failure": Parameter(0, 0.3, "probability", "that a call is not carried out and says so"),
    "tool_latency": Parameter(
        0, 5, "seconds", f"that a call takes on average; after {PATIENCE_SECONDS:g} it is carried out without an answer"
    ),
}
# What an agent reads.
OUTAGE = "the system is not available at the moment; nothing was done, try again"
NO_ANSWER = f"no answer within {PATIENCE_SECONDS:g} s; it may have been done or not"


class UnreliableTools:
    """Tools of which some calls go wrong without the agent's fault.

    Such a call's result has ``fault``. What goes wrong follows from the stream and from how many calls were made
    before, whatever these were: attempts at one scenario meet the same outages. How long a call takes is drawn from an
    exponential distribution. A call that changes something and got no answer is carried out once: the same call again
    does nothing more, and gives what came of it. Calls that no tool could take, and those that end the conversation,
    get through.

    Args:
        toolkit: the tools as they are.
        params: values of ``TOOL_PARAMETERS``, by name; 0 for those that are missing.
        stream: the source of randomness.
    """

    def __init__(self, toolkit: ServiceTools, params: Mapping[str, float], stream: Stream) -> None:
        self._toolkit, self._stream = toolkit, stream
        self._failure, latency = params.get("tool_failure", 0.0), params.get("tool_latency", 0.0)
        self._late = math.exp(-PATIENCE_SECONDS / latency) if latency else 0.0
        # What came of calls that got no answer.
        self._unanswered: dict[str, ToolResult] = {}

    @property
    def tools(self) -> Mapping[str, Tool]:
        """The tools by name."""
        return self._toolkit.tools

    @property
    def verified_customer(self) -> str | None:
        """The customer who passed verification last, also if the agent had no answer; None before."""
        return self._toolkit.verified_customer

    def call(self, call: ToolCall) -> ToolResult:
        """Runs one call, or does not."""
        fails, late = self._stream.chance(self._failure), self._stream.chance(self._late)
        tool = self.tools.get(call.name)
        if tool is None or tool.kind == "end" or not _takes(tool, call):
            return self._toolkit.call(call)
        if fails:
            return ToolResult(call, _error(OUTAGE), False, True)
        result = self._carried_out(tool, call, late)
        return ToolResult(call, _error(NO_ANSWER), False, True) if late else result

    def _carried_out(self, tool: Tool, call: ToolCall, late: bool) -> ToolResult:
        if tool.kind == "read" and tool.role != "verify":
            return self._toolkit.call(call)
        key = encode([call.name, sorted(call.arguments.items())])
        before = self._unanswered.pop(key, None)
        result = self._toolkit.call(call) if before is None else before._replace(call=call)
        if late:
            self._unanswered[key] = result
        return result


def _takes(tool: Tool, call: ToolCall) -> bool:
    """Whether the tool could be called like that."""
    if call.error:
        return False
    try:
        tool.read(call.arguments)
    except ToolError:
        return False
    return True


def _error(text: str) -> str:
    return encode({"error": text})
