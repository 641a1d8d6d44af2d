"""Conversations from a list of one's own: what the user says is written down beforehand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from ss_gym.entries import Entries, check_fields, chosen, read_entries, text_of, texts_of
from ss_gym.environment import Conclusion, Opening, Response, TextEnvironment
from ss_gym.json_text import encode
from ss_gym.rewards.function import RewardFunction, Scoring, as_reward_function, turns_of
from ss_gym.scenario_files import folder
from ss_gym.types import ParsedAction, user_message
from ss_gym.vector import TextVectorEnv, make_vector

_NO_TOOLS = "there are no tools here: answer in words"


@dataclass(frozen=True, slots=True)
class ConversationScenario:
    """A conversation whose user's side is known.

    Attributes:
        id: its name.
        user_responses: what the user says, in order; the first opens the conversation.
        topic: what it is about.
        context: what the agent should know; part of the system prompt.
    """

    id: str
    user_responses: tuple[str, ...]
    topic: str = ""
    context: str = ""


class ConversationEnvironment(TextEnvironment):
    """A conversation with a user who says what a list has for them, one line after each reply.

    The first line opens the conversation. It ends with the agent's reply to the last one, or is cut
    at ``max_turns``. The reward comes with the last step and is that of ``reward_fn``; there are no
    tools, and no notion of success.

    >>> scenario = {"id": "hours", "topic": "opening hours", "user_responses": ["When do you open?", "Thanks!"]}
    >>> env = ConversationEnvironment([scenario], reward_fn=lambda turns, context: float("9" in turns[1].content))
    >>> env.reset(seed=1)[0]
    'When do you open?'
    >>> env.step("At 9.")[:4]
    ('Thanks!', 0.0, False, False)
    >>> env.step("You are welcome.")[:4]
    ('', 1.0, True, False)

    Args:
        scenarios: mappings with ``id`` and ``user_responses`` and, if wanted, ``topic`` and ``context``;
            or a file of them: a list in JSON or YAML, or a line each (``.jsonl``). Some examples by default.
        max_turns: replies before the conversation is cut.
        reward_fn: takes the turns and the scenario as a mapping; see ``RewardFunction``, whose weight does
            not count here, where there is no other. No reward if None. A reward that is missing is none, and
            ``info["audit"]["missing"]`` tells why.
        max_steps: actions of any kind before it is cut.
        max_action_chars: a longer action is an error of the agent.
        render_mode: ``human``, ``ansi`` or None.

    Reset options: ``scenario_id``; by default the seed chooses.

    Raises:
        ValueError: if the scenarios are not of that form; names the scenario and what is wrong.
    """

    option_names: ClassVar[frozenset[str]] = frozenset({"scenario_id"})

    def __init__(
        self,
        scenarios: Entries | None = None,
        max_turns: int = 6,
        reward_fn: RewardFunction | Scoring | None = None,
        max_steps: int = 40,
        max_action_chars: int = 20_000,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(
            max_turns=max_turns, max_steps=max_steps, max_action_chars=max_action_chars, render_mode=render_mode
        )
        self.scenarios = {one.id: one for one in read_scenarios(scenarios)}
        if scenarios is not None:
            self._built_from(scenarios, [asdict(one) for one in self.scenarios.values()])
        self.reward_fn = as_reward_function(reward_fn) if reward_fn is not None else None
        self.term_names = frozenset([self.reward_fn.name] if self.reward_fn else [])

    def begin(self, seed: int, options: Mapping[str, Any]) -> Opening:
        """Choose a conversation; the user speaks first."""
        self._scenario = chosen(self.scenarios, seed, options, "scenario")
        self._spoken = 1
        return Opening(
            messages=(user_message(self._scenario.user_responses[0]),),
            system_prompt=self._system_prompt(),
            info={"scenario_id": self._scenario.id},
        )

    def respond(self, action: ParsedAction) -> Response:
        """The user's next line, or the end."""
        if action.tool_calls:
            return Response(
                tuple(
                    {"role": "tool", "tool_call_id": call.id, "content": encode({"error": call.error or _NO_TOOLS})}
                    for call in action.tool_calls
                )
            )
        lines = self._scenario.user_responses
        if self._spoken == len(lines):
            return Response(ended=True)
        self._spoken += 1
        return Response((user_message(lines[self._spoken - 1]),))

    def conclude(self, truncated: bool) -> Conclusion:
        """Ask the reward function, if there is one."""
        if self.reward_fn is None:
            return Conclusion()
        result = self.reward_fn.compute_or_miss(turns_of(self.messages), asdict(self._scenario))
        audit: dict[str, Any] = {"breakdown": dict(result.breakdown)}
        if result.missing:
            audit["missing"] = dict(result.missing)
        return Conclusion({} if math.isnan(result.score) else {self.reward_fn.name: result.score}, audit=audit)

    def _system_prompt(self) -> str:
        about = f"You are talking with a user about {self._scenario.topic}." if self._scenario.topic else ""
        limit = f"Answer in words. You may reply {self.max_turns} times and act {self.max_steps} times in all."
        return "\n\n".join(filter(None, [about, self._scenario.context, limit]))


def make_conversations(num_envs: int = 1, **kwargs: Any) -> TextVectorEnv:
    """The vector entry point of ``StateSet/Conversation-v0``; see ``ss_gym.vector.make_vector``."""
    return make_vector(num_envs, environment="ss_gym.conversation:ConversationEnvironment", **kwargs)


def read_scenarios(source: Entries | None = None) -> list[ConversationScenario]:
    """Scenarios from a list or a file, checked; the examples of this package if None.

    Raises:
        ValueError: if they are not of the form that ``ConversationEnvironment`` describes.
        OSError: if the file can't be read.
    """
    entries = read_entries(folder() / "conversation" / "examples.yaml" if source is None else source, "scenarios")
    return [_scenario(entry, place) for place, entry in entries]


def _scenario(entry: Mapping[str, Any], place: str) -> ConversationScenario:
    check_fields(entry, ("id", "user_responses", "topic", "context"), place)
    lines = texts_of(entry, "user_responses", place)
    if not lines:
        raise ValueError(f"{place}.user_responses: the user needs at least one text to say")
    return ConversationScenario(entry["id"], lines, text_of(entry, "topic", place), text_of(entry, "context", place))
