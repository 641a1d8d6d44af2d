"""Who makes the plans of conversations, and sees how far they have come: heuristics, or a model."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ss_gym.actions import parse_action
from ss_gym.agents.conversation import content_of
from ss_gym.agents.planning import MOST_STEPS, Plan, Step
from ss_gym.agents.wishes import about, asks_for_more, further_wishes, has_all, substance, takes_back, wishes_in
from ss_gym.rendering import transcript
from ss_gym.types import Message

_LOGGER = logging.getLogger(__name__)

Planner = Callable[[Plan, Sequence[Message], int], Plan]
"""From the plan so far, the messages so far in OpenAI form, and the place of the first that is new, to the plan now.

A plan without steps is yet to be made; its goal is what the caller set, or empty. The messages must not be changed.
"""

GOAL = "settle what the user asks for, one thing after the other"
GENERIC_STEPS = (
    "find out what the user wants",
    "get what is needed for it",
    "do it and tell the user",
    "ask whether anything is left",
)

# Calls that only look something up, by the first word of their name.
_LOOKUPS = frozenset(
    "calculate check compute count date describe estimate fetch find get has inspect is list load look lookup preview "
    "query quote read retrieve search show track validate verify view".split()
)
# Words in the names of tools that do not tell what they are about.
_COMMON = frozenset(
    "apply begin create customer do execute for issue item items make new of open order orders perform process request "
    "run set start submit the to user".split()
)
_NAME_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
# Letters by which a word is known in its forms: refund, refunds, refunded.
_STEM = 5
_FAILED = re.compile(r'\s*(?:\{\s*"error"|error\b)', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HeuristicPlanner:
    """Makes steps of what the user asks for, and tells by the conversation which are settled.

    A plan has a step for each wish in its goal and in what the user said first, in their own words; where there is
    none it has ``GENERIC_STEPS``, which give way to wishes once there are some. It is English words that are read (see
    :mod:`ss_gym.agents.wishes`). As the conversation goes on

    * a call that changes something and has succeeded settles the step that has the words of the tool's name, such as
      ``cancel_subscription`` "please cancel my tea subscription"; looking something up settles none;
    * the current step is done when the agent asks whether there is anything else, or when the user comes to another
      thing; it is skipped when they take it back;
    * all steps are done when the user says that that is all;
    * what the user asks for besides becomes a step, if they say that it is another thing, the agent had asked for one,
      or no step is pending; what they answer to questions does not.

    It never says that a step has failed: whether a refusal is right is not for words to tell.

    Args:
        max_steps: most steps of a plan.

    Raises:
        ValueError: if that is no number from 1 to ``MOST_STEPS``.
    """

    max_steps: int = 6

    def __post_init__(self) -> None:
        """Checks the number."""
        if isinstance(self.max_steps, bool) or not isinstance(self.max_steps, int):
            raise ValueError(f"max_steps must be a whole number, got {self.max_steps!r:.80}")
        if not 1 <= self.max_steps <= MOST_STEPS:
            raise ValueError(f"max_steps must be from 1 to {MOST_STEPS}, got {self.max_steps}")

    def __call__(self, plan: Plan, messages: Sequence[Message], start: int = 0) -> Plan:
        """See :data:`Planner`."""
        return self.followed(plan, messages, start) if plan.steps else self._made(plan.goal, messages)

    def _made(self, goal: str, messages: Sequence[Message]) -> Plan:
        """A plan for what the user said first, followed through what was said and done since."""
        after = _after_opening(messages)
        heard = [content_of(message) for message in messages[:after] if message["role"] == "user"]
        wishes = wishes_in(goal)
        aims = [about(wish) for wish in wishes]
        wishes += [wish for text in heard for wish in wishes_in(text) if not any(about(wish) <= aim for aim in aims)]
        wishes = wishes or [gist for text in heard for gist in substance(text)]
        plan = Plan(goal or GOAL).add(dict.fromkeys(wishes) or GENERIC_STEPS[: self.max_steps], self.max_steps)
        return self.followed(plan, messages, after)

    def followed(self, plan: Plan, messages: Sequence[Message], start: int) -> Plan:
        """The plan after what was said and done since ``start``, by whomever it was made."""
        calls: dict[str, str] = {}
        # What the agent has done since the user spoke belongs to what it says now.
        settled = _has_settled(plan, messages[_after_user(messages, start) : start])
        said = ""
        for message in messages[start:]:
            if message["role"] == "assistant":
                calls |= _calls(message)
                said = content_of(message)
                if asks_for_more(said) and not settled:
                    plan, settled = _all_done(plan) if _is_generic(plan) else plan.advance(), True
            elif message["role"] == "tool":
                number = _step_of(plan, calls.get(str(message.get("tool_call_id", "")), ""), content_of(message))
                if number is not None:
                    plan, settled = plan.complete(number), True
            elif message["role"] == "user":
                plan, settled = self._heard(plan, said, content_of(message), settled), False
        return plan

    def _heard(self, plan: Plan, said: str, text: str, settled: bool) -> Plan:
        """The plan after what the user has said.

        Args:
            plan: before.
            said: what the agent had said; empty if it was the user who spoke last.
            text: what they say.
            settled: whether the step that they had spoken about has ended.
        """
        known = [step.text for step in plan.steps]
        if _is_generic(plan):
            wishes = wishes_in(text)
            return Plan(plan.goal).add(wishes, self.max_steps) if wishes else plan
        asked = asks_for_more(said)
        announced = asked or (plan.current is None and "?" not in said)
        open_aims = [about(step.text) for step in plan.steps if step.status == "pending"]
        new = [
            wish
            for wish in further_wishes(text, announced)
            if Step(wish).text not in known and not any(about(wish) <= aim for aim in open_aims)
        ]
        if takes_back(text) and not settled:
            plan = plan.skip()
        elif new and not settled:
            plan = plan.advance()
        elif has_all(text, asked) and not new:
            plan = _all_done(plan)
        return plan.add(new, self.max_steps)


@dataclass(frozen=True, slots=True)
class ModelPlanner:
    """Lets a language model make the steps; what becomes of them is told by heuristics.

    Args:
        ask: gives the model's answer to some messages.
        heuristic: sees how far plans have come, and makes those that the model's words give no steps for, which is
            logged.
    """

    ask: Callable[[Sequence[Message]], str]
    heuristic: HeuristicPlanner = HeuristicPlanner()

    def __call__(self, plan: Plan, messages: Sequence[Message], start: int = 0) -> Plan:
        """See :data:`Planner`."""
        if plan.steps:
            return self.heuristic.followed(plan, messages, start)
        most = self.heuristic.max_steps
        goal = plan.goal or GOAL
        said = [message for message in messages if message["role"] != "system"]
        spoken = transcript([{**message, "content": content_of(message)} for message in said])[-_MOST_TRANSCRIPT:]
        answer = self.ask([{"role": "user", "content": _PROMPT.format(most=most, goal=goal, transcript=spoken)}])
        steps = steps_in(answer)[:most]
        if not steps:
            _LOGGER.warning("no steps can be read from the model's plan %r: one is made by heuristics", answer[:200])
            return self.heuristic(plan, messages)
        return Plan.of(goal, steps)


_MOST_TRANSCRIPT = 4_000
_PROMPT = """Plan how to help a user. The goal: {goal}.

What was said so far:
{transcript}

List the steps that are left, at most {most}, in the order in which they should be done. Write one step a line, \
numbered, in a few words each, and nothing else."""

_ITEM = re.compile(r"^\s*(?:(?:step\s+)?\(?(\d{1,2})\s*[.):]|[-*•–+])[ \t]+(\S.*)$", re.IGNORECASE)
# Where a list goes on in the same line: "1. This 2. That".
_INLINE = re.compile(r"[ \t]+(?=\(?\d{1,2}[.)][ \t]+\S)")
_DECORATION = re.compile(r"^(?:\[[ xX]?\]\s*)|\*\*|__|`")


def steps_in(text: str) -> list[str]:
    r"""The items of a list that a model wrote, numbered or with bullets; empty if there is none.

    Of a numbered list only the items with numbers count, not what may be listed below them. Thoughts and emphasis are
    left out.

    >>> steps_in("Sure! Here is a plan:\n1. **Verify** the customer\n   - e-mail\n2) Refund the lamp")
    ['Verify the customer', 'Refund the lamp']
    """
    lines = [part for line in parse_action(text).say.splitlines() for part in _INLINE.split(line)]
    items = [item for item in map(_ITEM.match, lines) if item]
    numbered = [item for item in items if item[1]]
    texts = (_DECORATION.sub("", item[2]).strip(" .") for item in numbered or items)
    return list(dict.fromkeys(each for each in texts if re.search(r"\w", each)))


def _is_generic(plan: Plan) -> bool:
    return all(step.text in GENERIC_STEPS for step in plan.steps)


def _all_done(plan: Plan) -> Plan:
    while plan.current is not None:
        plan = plan.advance()
    return plan


def _after_opening(messages: Sequence[Message]) -> int:
    """The place after what the user said first, which may be several messages."""
    first = next((place for place, message in enumerate(messages) if message["role"] == "user"), len(messages))
    own = (place for place in range(first, len(messages)) if messages[place]["role"] == "assistant")
    return next(own, len(messages))


def _after_user(messages: Sequence[Message], start: int) -> int:
    """The place after the user's last message before ``start``; 0 if there is none."""
    return next((place + 1 for place in range(start - 1, -1, -1) if messages[place]["role"] == "user"), 0)


def _calls(message: Message) -> dict[str, str]:
    """The calls of an assistant's message: the name of each by its id."""
    return {str(call.get("id", "")): str(call["function"]["name"]) for call in message.get("tool_calls") or ()}


def _has_settled(plan: Plan, messages: Sequence[Message]) -> bool:
    """Whether one of the calls in some messages has settled a step that is not pending any more."""
    calls: dict[str, str] = {}
    for message in messages:
        calls |= _calls(message)
        name = calls.get(str(message.get("tool_call_id", "")), "") if message["role"] == "tool" else ""
        if _step_of(plan, name, content_of(message), pending=False):
            return True
    return False


def _step_of(plan: Plan, name: str, result: str, pending: bool = True) -> int | None:
    """The number of the step that a call has settled, if one: that with most words of the tool's name.

    Args:
        plan: whose steps.
        name: the tool's; empty for none.
        result: what came back.
        pending: whether it is one of the pending steps, or one of those that have ended.
    """
    words = [word.lower() for word in _NAME_PART.findall(name)]
    if not words or words[0] in _LOOKUPS or _FAILED.match(result):
        return None
    stems = {word[:_STEM] for word in words if word not in _COMMON}
    shared = [
        len(stems & {word[:_STEM] for word in re.findall(r"[a-z]+", step.text.lower())})
        if (step.status == "pending") is pending
        else 0
        for step in plan.steps
    ]
    return shared.index(max(shared)) + 1 if max(shared, default=0) else None
