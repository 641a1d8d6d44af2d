"""Customers whose words come from outside the environment: a language model, a person, another agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from ss_gym.types import Message
from ss_gym.unreliable_tools import TOOL_PARAMETERS
from ss_gym.users.parameters import PARAMETERS, Parameter

SCRIPTED = "scripted"
_LLM = "llm:"
_HUMAN = "human"


@dataclass(frozen=True, slots=True)
class UserRequest:
    """What a customer needs to know to write the next message.

    Attributes:
        briefing: who they are, what they want and know, and how to answer.
        messages: what was said so far, from their side: their own words have the role ``assistant``, the
            agent's the role ``user``. The last is the agent's.
        params: what was set of the simulator's own parameters for this episode.
    """

    briefing: str
    messages: tuple[Message, ...]
    params: Mapping[str, float] = field(default_factory=dict)


@runtime_checkable
class UserSimulator(Protocol):
    """Writes what customers say.

    One whose customers differ by numbers of its own declares them in an attribute ``parameters``: ``Parameter`` by
    name. The reset option ``user_params`` then takes these, too, and requests tell them.
    """

    def respond_batch(self, requests: Sequence[UserRequest]) -> list[str]:
        """The next message of each customer, in order."""
        ...


class HumanUser:
    """A person who plays the customer at a terminal.

    Args:
        ask: shows a text and gives the line that was typed.
    """

    def __init__(self, ask: Callable[[str], str] = input) -> None:
        self._ask = ask
        self._briefed = ""

    def respond_batch(self, requests: Sequence[UserRequest]) -> list[str]:
        """Shows what the agent said, and the briefing where it is a new one; one line typed each."""
        replies = []
        for request in requests:
            shown = f"{request.messages[-1]['content']}\n> "
            if request.briefing != self._briefed:
                opening = "\n".join(message["content"] for message in request.messages[:-1])
                shown = f"{request.briefing}\n\nYou wrote: {opening}\n\n{shown}"
                self._briefed = request.briefing
            replies.append(self._ask(shown))
        return replies


def own_parameters(user: UserSimulator | None) -> Mapping[str, Parameter]:
    """The parameters that a simulator declares beside those of every customer.

    Raises:
        TypeError: if what it declares are none.
        ValueError: for a name that every customer or the tools have, or a range that is none.
    """
    declared = getattr(user, "parameters", None)
    # Others have an attribute of that name that means something else, such as a network's weights.
    return checked_own(declared, f"{type(user).__name__}.parameters") if isinstance(declared, Mapping) else {}


def checked_own(declared: Mapping[str, Parameter], whose: str) -> Mapping[str, Parameter]:
    """Parameters beside those of every customer.

    Args:
        declared: what is declared, by name.
        whose: how errors call it.

    Raises:
        TypeError: if these are no parameters.
        ValueError: for a name that every customer or the tools have, or a range that is none.
    """
    for name, parameter in declared.items():
        if not isinstance(parameter, Parameter):
            raise TypeError(f"{whose} must be Parameter by name, got {declared!r:.80}")
        if name in PARAMETERS or name in TOOL_PARAMETERS:
            raise ValueError(f"{whose}: every environment has a parameter {name!r}: call yours something else")
        if not parameter.low < parameter.high:
            told = f"{parameter.low} and {parameter.high}"
            raise ValueError(f"{whose}: {name} needs a least value below its greatest, not {told}")
    return declared


def load_user(user: str | UserSimulator) -> UserSimulator | None:
    """The customers that an option of an environment names; None for the scripted ones.

    Args:
        user: ``"scripted"``, ``"llm:<model name>"`` with any model name that agents take, ``"human"``, or an
            object with ``respond_batch``. A model that is named is loaded once, for all environments that have it.

    Raises:
        ValueError: for another name.
        TypeError: for anything else.
    """
    if isinstance(user, UserSimulator) and not isinstance(user, str):
        return user
    if not isinstance(user, str):
        raise TypeError(f"user must be a name or have respond_batch, got {user!r:.80}")
    if user == SCRIPTED:
        return None
    if user == _HUMAN:
        return HumanUser()
    if user.startswith(_LLM) and len(user) > len(_LLM):
        # Whoever has scripted customers only does not load what models need.
        from ss_gym.users.llm import shared_user

        return shared_user(user.removeprefix(_LLM))
    raise ValueError(f"unknown user {user!r}: write 'scripted', 'human' or 'llm:<model name>', e.g. 'llm:stub://demo'")
