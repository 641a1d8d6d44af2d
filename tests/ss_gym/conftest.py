"""A small environment with every feature of TextEnvironment, for tests of the machinery alone; and a far one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import gymnasium
import pytest

from ss_gym.environment import Conclusion, Opening, Response, TextEnvironment
from ss_gym.streams import Stream
from ss_gym.tools import ToolError, Toolkit, tool
from ss_gym.types import ParsedAction

MODULE = __name__


class CoatTools(Toolkit):
    """Tools of a cloakroom."""

    def __init__(self, ticket: int) -> None:
        self.ticket = ticket
        self.handed_out = 0
        self.closed = False

    @tool(kind="read")
    def look_up(self, ticket: int) -> dict[str, Any]:
        """Find the coat of a ticket.

        Args:
            ticket: the number on the ticket.
        """
        return {"ticket": ticket, "colour": "green" if ticket % 2 else "blue"}

    @tool(kind="write")
    def hand_out(self, ticket: int) -> dict[str, Any]:
        """Give a coat back.

        Args:
            ticket: the number on the ticket.
        """
        if ticket != self.ticket:
            raise ToolError(f"ticket {ticket} was not handed in")
        self.handed_out += 1
        return {"handed_out": ticket}

    @tool(kind="end")
    def close_desk(self) -> dict[str, Any]:
        """Close the desk."""
        self.closed = True
        return {"closed": True}


class CloakroomEnvironment(TextEnvironment):
    """A guest wants the coat of a ticket; their small talk is drawn as the episode goes."""

    option_names = frozenset({"ticket", "evening"})

    def begin(self, seed: int, options: Mapping[str, Any]) -> Opening:
        """Draws a ticket."""
        self._stream = Stream(seed, "cloakroom")
        ticket = options.get("ticket") or self._stream.between(100, 999)
        if ticket < 100:
            raise ValueError(f"no ticket {ticket}")
        self._tools = CoatTools(ticket)
        greeting = {"role": "user", "content": f"Good evening, ticket {ticket} please."}
        return Opening((greeting,), "You run a cloakroom.", self._tools.schemas, {"scenario_id": f"coat/{ticket}"})

    def respond(self, action: ParsedAction) -> Response:
        """Runs the tools, or lets the guest talk."""
        if not action.tool_calls:
            talk = f"{self._stream.between(0, 10**6)}: {action.say or '...'}"
            return Response(({"role": "user", "content": talk},), {"talk": -1}, "goodbye" in action.say.lower())
        results = [self._tools.call(call) for call in action.tool_calls]
        messages = tuple({"role": "tool", "tool_call_id": r.call.id, "content": r.content} for r in results)
        errors = sum(not result.ok for result in results)
        return Response(messages, {"tool_error": -0.25 * errors} if errors else {}, self._tools.closed)

    def conclude(self, truncated: bool) -> Conclusion:
        """The coat must have been given back, once."""
        success = self._tools.handed_out == 1 and not truncated
        return Conclusion({"success": float(success)}, success, {"handed_out": self._tools.handed_out})


@pytest.fixture(scope="session")
def cloakroom() -> type[CloakroomEnvironment]:
    """The environment's class."""
    return CloakroomEnvironment


@pytest.fixture
def cloakroom_id() -> Any:
    """An id for ``gymnasium.make`` and ``gymnasium.make_vec``."""
    env_id = "StateSetTest/Cloakroom-v0"
    gymnasium.register(
        env_id,
        entry_point=f"{MODULE}:CloakroomEnvironment",
        vector_entry_point="ss_gym.vector:make_vector",
    )
    yield env_id
    del gymnasium.registry[env_id]


# What serves is imported late: most tests do without it.


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a server of refunds."""
    from ss_gym.serving.environment_server import environment_server
    from ss_gym.serving.server import served

    with served(environment_server("StateSet/Refund-v0")) as address:
        yield address


@pytest.fixture
def remote(url: str) -> Iterator[gymnasium.Env[str, str]]:
    """An environment of that server."""
    from ss_gym.remote import RemoteEnvironment

    with closing(RemoteEnvironment(url)) as remote:
        yield remote
