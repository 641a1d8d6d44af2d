"""A customer, a shop with a real database, and an agent in between."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np

from ss_gym.back_end import BackEnd, ServiceTools
from ss_gym.commerce.prompt import MAX_CALLS, compact_prompt, fixed_part, sections, varying_part
from ss_gym.commerce.records import Effect
from ss_gym.environment import Conclusion, Opening, Response, TextEnvironment
from ss_gym.families import load_family
from ss_gym.families.splits import load_scenario, split_size
from ss_gym.json_text import encode
from ss_gym.rewards.outcome import TERMS
from ss_gym.scenarios import SPLITS, Scenario, parse_scenario_id
from ss_gym.streams import Stream
from ss_gym.types import Message, ParsedAction, ToolCall, ToolResult, user_message
from ss_gym.unreliable_tools import TOOL_PARAMETERS, UnreliableTools
from ss_gym.users.agenda import UserReply
from ss_gym.users.parameters import PARAMETERS, checked_params, with_params
from ss_gym.users.persona import Persona, as_changes, draw_persona
from ss_gym.users.simulator import UserSimulator, load_user, own_parameters
from ss_gym.users.speech import load_speech

_MAX_TURNS, _MAX_STEPS = 12, 40
PromptStyle = Literal["full", "compact"]
_TOO_MANY_CALLS = encode({"error": f"not run: a message may hold {MAX_CALLS} tool calls, send the rest in another"})
# A key of a JSON object.
_RAW = re.compile(r'"\w+" ?:')


class CustomerServiceEnvironment(TextEnvironment):
    """One conversation with a customer of a shop, about one wish or several.

    The agent reads the policy in ``system_prompt``, talks with the customer, and acts on the shop by
    tools. It succeeds if the database ends exactly as the policy has it, the customer agreed to every
    change before it was made and was truthfully told what there was to tell, and nothing was told
    or done that must not be (see ``ss_gym.rewards.outcome``).

    Args:
        family: the family of tasks.
        split: where scenarios come from if ``reset`` does not say: train, dev or test.
        user: who plays the customer: ``"scripted"``, ``"llm:<model name>"``, ``"human"``, or an object with
            ``respond_batch`` (see ``ss_gym.users.simulator``). Their first message is the scenario's.
        persona: what every customer has otherwise than drawn: the name of a preset or fields of ``Persona``.
        prompt: ``full`` is the policy in words; ``compact`` is its parameters in one line, for
            models too small to read a policy. World, customer and reward are the same.
        max_turns: replies to the customer before the episode is cut; what the family says if None, as a rule 12.
        max_steps: actions of any kind before the episode is cut; what the family says if None, as a rule 40.
        max_action_chars: a longer action is an error of the agent.
        render_mode: ``human``, ``ansi`` or None.

    Reset options: ``scenario_id`` (``"refund/dev/0042"``), or ``split`` with the seed;
    ``user_seed`` (int) varies the customer's persona, words and noise within one scenario; ``user_params`` sets
    components of the customer's φ (see ``ss_gym.users.parameters``), over what is drawn and over ``persona``, and
    parameters that the user's simulator declares; ``persona_prompt`` (str) says how they write in words, to whoever
    plays them from outside;
    ``tool_params`` how often tools fail and how long they take (see ``ss_gym.unreliable_tools``);
    ``opening`` (str) is the customer's first message instead of the scenario's.
    """

    option_names: ClassVar[frozenset[str]] = frozenset(
        {"opening", "persona_prompt", "scenario_id", "split", "tool_params", "user_params", "user_seed"}
    )
    term_names: frozenset[str] = TERMS

    def __init__(
        self,
        family: str = "refund",
        split: str = "train",
        user: str | UserSimulator = "scripted",
        persona: str | Mapping[str, Any] | Persona | None = None,
        prompt: PromptStyle = "full",
        max_turns: int | None = None,
        max_steps: int | None = None,
        max_action_chars: int = 20_000,
        render_mode: str | None = None,
    ) -> None:
        drawn = self._family = load_family(family)
        # A family whose conversations are long says so.
        max_turns = getattr(drawn, "max_turns", _MAX_TURNS) if max_turns is None else max_turns
        max_steps = getattr(drawn, "max_steps", _MAX_STEPS) if max_steps is None else max_steps
        super().__init__(
            max_turns=max_turns, max_steps=max_steps, max_action_chars=max_action_chars, render_mode=render_mode
        )
        if prompt not in ("full", "compact"):
            raise ValueError(f"unknown prompt {prompt!r}: choose 'full' or 'compact'")
        self.family = drawn.name
        self.split = _checked_split(split)
        self.prompt = prompt
        self.user = load_user(user)
        self._own_parameters = own_parameters(self.user)
        self._parameters = {**PARAMETERS, **self._own_parameters}
        self._persona_changes = as_changes(persona)
        self._speech = load_speech(drawn)
        self._tools = tuple(tool.schema for tool in drawn.tools.values())
        sections(
            drawn.policy, drawn.rules
        )  # get_policy reads them: a broken file must not show in the middle of an episode
        full = prompt == "full"
        self._fixed_prompt = fixed_part(drawn.policy, drawn.rules, self._tools, max_turns, max_steps) if full else ""
        self._back_ends: dict[str, BackEnd] = {}

    @property
    def scenario(self) -> Scenario:
        """The scenario of the episode, with its right outcome: for audits, never for agents."""
        return self._scenario

    @property
    def effects(self) -> frozenset[Effect]:
        """What has changed in the database since the episode began."""
        return self._effects

    def progress(self) -> float:
        """How much of what the right end needs is there, from 0 to 1; for shaping a reward, never for agents."""
        return self._audit.progress(self._effects)

    def begin(self, seed: int, options: Mapping[str, Any]) -> Opening:
        """Draw or load the scenario, let the customer speak."""
        scenario = self._scenario = self._choose(seed, options)
        # An agent may never call a tool, or never say a word: what that needs is made at the first use.
        self._opened: tuple[BackEnd, ServiceTools] | None = None
        self._effects: frozenset[Effect] = frozenset()
        self._ended_by = "limit"
        self._acted = 0
        self._replied = 0
        user_seed = self._user_seed = _user_seed(options)
        tools = options.get("tool_params")
        self._tool_params = {} if tools is None else checked_params(tools, TOOL_PARAMETERS, "tool_params")
        persona = draw_persona(Stream(scenario.wording_seed, user_seed, "persona"), scenario.split)
        if self._persona_changes:
            persona = persona._replace(**self._persona_changes)
        self._own_params: dict[str, float] = {}
        if "user_params" in options:
            params = checked_params(options["user_params"], self._parameters)
            self._own_params = {name: value for name, value in params.items() if name in self._own_parameters}
            persona = with_params(persona, params, Stream(scenario.wording_seed, user_seed, "params"))
        if "persona_prompt" in options:
            persona = persona._replace(manner=_text("persona_prompt", options["persona_prompt"]))
        self.persona = persona
        customer = self._customer = self._speech(scenario, persona, Stream(scenario.wording_seed, user_seed, "words"))
        self._audit = customer.audit
        opening = customer.open()
        if "opening" in options:
            opening = _text("opening", options["opening"])
        self._spoken = None if self.user is None else customer.spoken(persona, opening)
        return Opening(
            messages=(user_message(opening),),
            system_prompt=self._system_prompt(scenario),
            tools=self._tools,
            info={"scenario_id": scenario.id, "pair_id": scenario.pair_id},
        )

    def respond(self, action: ParsedAction) -> Response:
        """Run the tools, or let the customer answer."""
        self._acted += 1
        if action.tool_calls:
            messages = self._run(action.tool_calls)
        else:
            messages = self._hear(action.say)
        return Response(messages, self._audit.take_terms(), self._ended_by != "limit")

    def conclude(self, truncated: bool) -> Conclusion:
        """Score the episode."""
        success, audit = self._audit.conclude(self._effects, self._ended_by)
        return Conclusion(self._audit.take_terms(), success, audit)

    def close(self) -> None:
        """Free the databases."""
        for back_end in self._back_ends.values():
            back_end.close()
        self._back_ends.clear()
        super().close()

    def _system_prompt(self, scenario: Scenario) -> str:
        if self.prompt == "compact":
            return compact_prompt(self._family.policy, scenario.rules, scenario.today)
        return self._fixed_prompt + varying_part(self._family.policy, scenario.rules, scenario.today)

    def _choose(self, seed: int, options: Mapping[str, Any]) -> Scenario:
        if "scenario_id" in options:
            family, split, index = parse_scenario_id(options["scenario_id"])
            if family != self.family:
                raise ValueError(f"scenario {options['scenario_id']!r} is not of the family {self.family!r}")
        else:
            split = _checked_split(options.get("split", self.split))
            index = seed % split_size(self.family, split)
        return load_scenario(self.family, split, index)

    @property
    def back_end(self) -> BackEnd:
        """The database of the episode, with the scenario's world open: for audits, never for agents."""
        return self._open()[0]

    def _open(self) -> tuple[BackEnd, ServiceTools]:
        """The back end and the tools, over the scenario's world."""
        if self._opened is None:
            split = self._scenario.split
            if split not in self._back_ends:
                self._back_ends[split] = self._family.open(split)
            back_end = self._back_ends[split]
            toolkit = back_end.begin(self._scenario)
            if any(self._tool_params.values()):
                noise = Stream(self._scenario.wording_seed, self._user_seed, "tools")
                toolkit = UnreliableTools(toolkit, self._tool_params, noise)
            self._opened = back_end, toolkit
        return self._opened

    def _run(self, calls: tuple[ToolCall, ...]) -> tuple[Message, ...]:
        """Run calls in order, up to one that ends the conversation; those beyond the limit are refused."""
        messages: list[Message] = []
        back_end, toolkit = self._open()
        for number, call in enumerate(calls):
            if number >= MAX_CALLS:
                messages.append({"role": "tool", "tool_call_id": call.id, "content": _TOO_MANY_CALLS})
                self._audit.penalise("tool_error")
                continue
            result = toolkit.call(call)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result.content})
            tool = toolkit.tools.get(call.name)
            if not result.ok and not result.fault:
                self._audit.penalise("tool_error")
            if tool is None:
                continue
            if not result.ok and not (tool.kind == "write" and self._done_unanswered(result)):
                if tool.kind == "write":
                    self._audit.failed_write()
                continue
            if tool.kind == "read" and not tool.role:
                self._audit.look(call.arguments)
            if tool.role == "verify":
                self._audit.verification(toolkit.verified_customer == self._scenario.customer.customer_id)
            if tool.kind != "read":
                before, self._effects = self._effects, back_end.effects()
                self._audit.write(self._acted, before, self._effects)
            if tool.kind == "end":
                self._ended_by = "transfer" if tool.role == "transfer" else "agent"
                break
        return tuple(messages)

    def _done_unanswered(self, result: ToolResult) -> bool:
        """Whether a call of which the agent knows nothing has changed something."""
        return result.fault and self.back_end.effects() != self._effects

    def _hear(self, text: str) -> tuple[Message, ...]:
        """Let the customer take in a message and answer it."""
        self._replied += 1
        if self._replied > self._scenario.reference_turns:
            self._audit.penalise("extra_turn")
        reply = self._customer.silence() if not text.strip() and self._spoken is None else self._answer(text)
        self._ended_by = reply.ended_by or "limit"
        for consent in reply.consents:
            self.back_end.record_consent(consent.verb, consent.items, consent.amount_cents, self._acted)
            self._audit.consent(self._acted, consent)
        return (user_message(reply.text),)

    def _answer(self, text: str) -> UserReply:
        customer = self._customer
        acts = customer.read(text)
        self._audit.hear(acts, self._effects)
        if _RAW.search(text):
            acts = ()  # customers don't read the output of a program
        customer.hear(acts, self._effects)
        user, spoken = self.user, self._spoken
        if user is None or spoken is None:
            return customer.respond(acts, self._effects)
        request = replace(spoken.hear(text, acts), params=self._own_params)
        return spoken.answer(self.from_outside(lambda: user.respond_batch([request])[0]), self._effects)


def _checked_split(split: Any) -> str:
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
    return str(split)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a str, got {value!r:.80}")
    return value.encode("utf-8", "replace").decode()  # half of a surrogate pair can't be passed on


def _user_seed(options: Mapping[str, Any]) -> int:
    seed = options.get("user_seed", 0)
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool):
        raise ValueError(f"user_seed must be an int, got {seed!r}")
    return int(seed)  # streams are named by the text of their key, and NumPy's integers have another
