"""``stateset-agents play``: a person is the agent, in the terminal."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Column, Table
from rich.text import Text

from ss_baselines.commands.envs import environment_keywords, make_environment
from ss_gym.agents.conversation import Conversation
from ss_gym.types import Completion, Message

HELP = """\
What you type is said to the customer. Lines that start with a slash are commands:
  /tool NAME key=value …   call a tool; quote values with spaces, separate list items with commas
  /tools                   the tools and their arguments
  /policy                  the instructions again
  /help                    this list
  /quit                    leave; the episode is not scored"""

_STYLES = {"user": "bold cyan", "tool": "yellow"}
_NAMES = {"user": "customer", "tool": "tool"}


@dataclass(frozen=True, slots=True)
class PlayOptions:
    """Which episode to play.

    Attributes:
        env_id: the environment.
        seed: which scenario of the split; None for a random one.
        split: train, dev or test.
        scenario: this very scenario instead; empty to let ``seed`` and ``split`` choose.
        prompt: ``full`` or ``compact``; empty for the environment's default.
        persona: how the customer is; empty for as it is drawn.
    """

    env_id: str
    seed: int | None = None
    split: str = "train"
    scenario: str = ""
    prompt: str = ""
    persona: str = ""


class TypingError(ValueError):
    """A line that can't be understood; it costs no step."""


def play_episode(options: PlayOptions) -> None:
    """Plays one episode with the person at the terminal as the agent."""
    console = Console(highlight=False)
    env = make_environment(
        options.env_id, **environment_keywords(options.env_id, options.prompt, persona=options.persona)
    )
    known: Set[str] = getattr(env.unwrapped, "option_names", {"split"})  # others' may have splits, or say what is wrong
    choice = {"split": options.split} if "split" in known else {}
    if options.scenario:
        choice = {"scenario_id": options.scenario}
    observation, info = env.reset(seed=options.seed, options=choice)
    # It also knows what to make of environments that give no messages.
    conversation, total = Conversation.begin(observation, info), 0.0
    session = _Session(console, conversation.system_prompt, conversation.tools)
    session.show_policy()
    console.print(Text(HELP, style="dim"))
    session.show_messages([message for message in conversation if message["role"] != "system"])
    while (action := session.next_action()) is not None:
        own = len(conversation)
        observation, reward, terminated, truncated, info = env.step(action)
        conversation.record(Completion(action), observation, info)
        total += float(reward)
        session.show_messages(conversation[own + 1 :])
        if terminated or truncated:
            session.show_audit(info, truncated, total)
            break
    else:
        console.print("You left; the episode is not scored.")
    env.close()


class _Session:
    """What the person sees and types."""

    def __init__(self, console: Console, system_prompt: str, tools: Sequence[Mapping[str, Any]]) -> None:
        self._console = console
        self._system_prompt = system_prompt
        self._tools = {tool["function"]["name"]: tool["function"] for tool in tools}

    def next_action(self) -> str | None:
        """The next action that the person types; None if they leave."""
        while True:
            try:
                line = self._console.input(Text("you> ", style="bold green")).strip()
            except EOFError:
                return None
            word, _, rest = line.partition(" ")
            if word == "/quit":
                return None
            try:
                action = self._action(word, rest) if line.startswith("/") else line
            except TypingError as error:
                self._console.print(Text(str(error), style="red"))
                continue
            if action:
                return action

    def _action(self, word: str, rest: str) -> str:
        """The action of a command; empty if the command only shows something."""
        if word == "/tool":
            return tool_action(rest, self._tools)
        shown = {"/tools": self.show_tools, "/policy": self.show_policy, "/help": self._show_help}
        if word not in shown:
            near = get_close_matches(word, ["/tool", "/quit", *shown], n=1)
            raise TypingError(f"there is no command {word}" + (f"; did you mean {near[0]}?" if near else "; try /help"))
        shown[word]()
        return ""

    def _show_help(self) -> None:
        self._console.print(Text(HELP, style="dim"))

    def show_policy(self) -> None:
        """The instructions that an agent gets as its system prompt."""
        shown = Text(self._system_prompt or "There are none.")
        self._console.print(Panel(shown, title="instructions", title_align="left"))

    def show_tools(self) -> None:
        """Every tool with its arguments; those in brackets may be left out."""
        table = Table(Column("tool", no_wrap=True), "arguments", "what it does")
        for name, function in self._tools.items():
            required = function["parameters"].get("required", ())
            names = [key if key in required else f"[{key}]" for key in function["parameters"]["properties"]]
            description = str(function.get("description", "")).partition("\n")[0]
            table.add_row(Text(name), Text(" ".join(names)), Text(description))
        self._console.print(table)

    def show_messages(self, messages: Sequence[Message]) -> None:
        """What the customer said and what the tools gave."""
        for message in messages:
            role = message["role"]
            text = Text(f"{_NAMES.get(role, role)}> ", style=_STYLES.get(role, ""))
            self._console.print(text.append(str(message["content"]), style="default"), soft_wrap=True)

    def show_audit(self, info: Mapping[str, Any], truncated: bool, reward: float) -> None:
        """The verdict, what was checked, and the reward by term, as far as the environment tells."""
        table = Table(title="audit", title_justify="left", show_header=False)
        if "success" in info:
            table.add_row("success", Text("yes", style="green") if info["success"] else Text("no", style="red"))
        if "scenario_id" in info:
            table.add_row("scenario", Text(str(info["scenario_id"])))
        if truncated:
            table.add_row("ended by", Text("the limit of turns or steps"))
        for name, value in info.get("audit", {}).items():
            table.add_row(name.replace("_", " "), Text(_plain(value)))
        table.add_row("reward", Text(f"{reward:.2f}"))
        for name, value in info.get("episode_terms", {}).items():
            if value:
                table.add_row(f"  {name.replace('_', ' ')}", Text(f"{value:+.2f}"))
        self._console.print(table)


def _plain(value: object) -> str:
    """A value of the audit as a person reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "\n".join(f"{key}: {_plain(inner)}" for key, inner in value.items()) or "-"
    if isinstance(value, (list, tuple)):
        parts = [_plain(inner) for inner in value]
        nested = any(isinstance(inner, (list, tuple)) for inner in value)
        return ("\n" if nested or any(" " in part for part in parts) else " ").join(parts) or "-"
    return str(value)


def tool_action(line: str, tools: Mapping[str, Mapping[str, Any]]) -> str:
    """The action that calls a tool, from ``NAME key=value …`` as a person types it.

    Args:
        line: what stands after ``/tool``.
        tools: OpenAI function schemas by tool name.

    Raises:
        TypingError: if there is no such tool or a word is not ``key=value``. Whether the
            arguments are right is for the environment to say, as it is for any agent.

    >>> tools = {"get_order": {"parameters": {"properties": {"order_id": {"type": "string"}}}}}
    >>> tool_action("get_order order_id=48213", tools)
    '<tool_call>{"name": "get_order", "arguments": {"order_id": "48213"}}</tool_call>'
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise TypingError(f"a quotation mark is not closed: {error}") from error
    if not words:
        raise TypingError("say which tool: /tool NAME key=value …; /tools lists them")
    name, *pairs = words
    if name not in tools:
        near = get_close_matches(name, tools, n=1)
        raise TypingError(f"there is no tool {name}" + (f"; did you mean {near[0]}?" if near else "; try /tools"))
    properties = tools[name]["parameters"]["properties"]
    arguments: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise TypingError(f"'{pair}' is not key=value; quote a value that has spaces: {name} key='two words'")
        arguments[key] = _typed(value, properties.get(key, {}))
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments}, ensure_ascii=False)}</tool_call>"


def _typed(text: str, schema: Mapping[str, Any]) -> Any:
    """The typed value of ``text`` by its JSON schema; the text itself where that fails."""
    kinds = {schema.get("type")} | {option.get("type") for option in schema.get("anyOf", ())}
    if "array" in kinds:
        return [part.strip() for part in text.split(",") if part.strip()]
    if "boolean" in kinds and text in ("true", "false"):
        return text == "true"
    for kind, number in (("integer", int), ("number", float)):
        if kind in kinds:
            try:
                return number(text)
            except ValueError:
                return text
    return text
