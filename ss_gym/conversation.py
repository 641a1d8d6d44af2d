"""Conversations from a list of one's own: what the user says is written down beforehand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar

from ss_gym.environment import Conclusion, Opening, Response, TextEnvironment
from ss_gym.rewards.function import RewardFunction, Scoring, as_reward_function
from ss_gym.scenario_files import folder, parse_yaml
from ss_gym.types import ConversationTurn, Message, ParsedAction
from ss_gym.vector import TextVectorEnv, make_vector

Scenarios = Sequence[Mapping[str, Any]] | str | Path

_NO_TOOLS = '{"error":"there are no tools here: answer in words"}'


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
        reward_fn: takes the turns and the scenario as a mapping; see ``RewardFunction``. No reward if None.
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
        scenarios: Scenarios | None = None,
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
        self._names = tuple(self.scenarios)
        self.reward_fn = as_reward_function(reward_fn) if reward_fn is not None else None

    def begin(self, seed: int, options: Mapping[str, Any]) -> Opening:
        """Choose a conversation; the user speaks first."""
        name = options.get("scenario_id", self._names[seed % len(self._names)])
        if name not in self.scenarios:
            near = get_close_matches(str(name), self._names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the first is {self._names[0]!r}"
            raise ValueError(f"unknown scenario {name!r}; {hint}")
        self._scenario = self.scenarios[name]
        self._spoken = 1
        return Opening(
            messages=(_said(self._scenario.user_responses[0]),),
            system_prompt=self._system_prompt(),
            info={"scenario_id": self._scenario.id},
        )

    def respond(self, action: ParsedAction) -> Response:
        """The user's next line, or the end."""
        if action.tool_calls:
            errors = [{"role": "tool", "tool_call_id": call.id, "content": _NO_TOOLS} for call in action.tool_calls]
            return Response(tuple(errors))
        lines = self._scenario.user_responses
        if self._spoken == len(lines):
            return Response(ended=True)
        self._spoken += 1
        return Response((_said(lines[self._spoken - 1]),))

    def conclude(self, truncated: bool) -> Conclusion:
        """Ask the reward function, if there is one."""
        if self.reward_fn is None:
            return Conclusion()
        turns = [ConversationTurn(message["role"], message["content"]) for message in self.messages]
        result = self.reward_fn.compute(turns, asdict(self._scenario))
        return Conclusion({self.reward_fn.name: result.score}, audit={"breakdown": dict(result.breakdown)})

    def _system_prompt(self) -> str:
        about = f"You are talking with a user about {self._scenario.topic}." if self._scenario.topic else ""
        limit = f"Answer in words. You may reply {self.max_turns} times."
        return "\n\n".join(filter(None, [about, self._scenario.context, limit]))


def make_conversations(num_envs: int = 1, **kwargs: Any) -> TextVectorEnv:
    """The vector entry point of ``StateSet/Conversation-v0``; see ``ss_gym.vector.make_vector``."""
    return make_vector(num_envs, environment="ss_gym.conversation:ConversationEnvironment", **kwargs)


def read_scenarios(source: Scenarios | None = None) -> list[ConversationScenario]:
    """Scenarios from a list or a file, checked; the examples of this package if None.

    Raises:
        ValueError: if they are not of the form that ``ConversationEnvironment`` describes.
        OSError: if the file can't be read.
    """
    source = folder() / "conversation" / "examples.yaml" if source is None else source
    where, entries = "scenarios", source
    if isinstance(source, str | Path):
        where, entries = str(source), _read_file(Path(source))
    if not isinstance(entries, Sequence) or isinstance(entries, str) or not entries:
        raise ValueError(f"{where}: expected a list of scenarios with at least one, got {entries!r:.80}")
    scenarios: dict[str, ConversationScenario] = {}
    for number, entry in enumerate(entries):
        scenario = _scenario(entry, f"{where}[{number}]")
        if scenario.id in scenarios:
            raise ValueError(f"{where}[{number}]: the id {scenario.id!r} is taken")
        scenarios[scenario.id] = scenario
    return list(scenarios.values())


def _scenario(entry: Any, where: str) -> ConversationScenario:
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where}: expected a mapping with id and user_responses, got {entry!r:.80}")
    known = ("id", "user_responses", "topic", "context")
    for name in entry:
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it knows {', '.join(known)}"
            raise ValueError(f"{where}: unknown field {name!r}; {hint}")
    for name in ("id", "topic", "context"):
        if not isinstance(entry.get(name, ""), str) or (name == "id" and not entry.get(name)):
            raise ValueError(f"{where}.{name}: expected text, got {entry.get(name)!r:.80}")
    lines = entry.get("user_responses")
    if not isinstance(lines, Sequence) or isinstance(lines, str) or not lines:
        raise ValueError(f"{where}.user_responses: expected a list with at least one text, got {lines!r:.80}")
    for number, line in enumerate(lines):
        if not isinstance(line, str):
            raise ValueError(f"{where}.user_responses[{number}]: expected text, got {line!r:.80}")
    return ConversationScenario(entry["id"], tuple(lines), entry.get("topic", ""), entry.get("context", ""))


def _read_file(path: Path) -> Any:
    """A list from a file, by its ending."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        return [_parsed(line, path, number) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    return _parsed(text, path, 1) if path.suffix == ".json" else parse_yaml(text, str(path))


def _parsed(text: str, path: Path, first_line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {first_line - 1 + error.lineno}: {error.msg}") from error


def _said(text: str) -> Message:
    return {"role": "user", "content": text}
