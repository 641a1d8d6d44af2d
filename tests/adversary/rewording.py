"""Changes of what an agent says that must leave the outcome, and one that must not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from ss_baselines.agents.scripted import Agent
from ss_gym.commerce.joint_rules import parts_of
from ss_gym.families import load_family
from ss_gym.scenarios import Scenario
from ss_gym.streams import Stream
from ss_gym.types import Completion, Message
from ss_gym.users.acts import Act
from ss_gym.users.understanding import load_understanding
from ss_gym.users.values import Inventory

Rewording = Callable[[str, Stream], str]

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z$0-9])")
# Words that lean on the sentence before.
_LEANS = re.compile(
    r"\b(it|its|it's|that|this|these|those|them|they|one|so|instead|both|which|either|there|then|here|other|same)\b"
    r"|^(and|or|but|because|since|also|otherwise|as)\b",
    re.IGNORECASE,
)
_AMOUNT = re.compile(r"\$\d[\d,]*(?:\.\d\d)?")


class Reworded:
    """An agent whose messages are changed on their way to the customer; its tool calls are not.

    Args:
        agent: who speaks.
        rewording: changes one message.
        seed: of the changes; they depend on the message and on how many there were before it.
    """

    def __init__(self, agent: Agent, rewording: Rewording, seed: int = 0) -> None:
        self._agent = agent
        self._rewording = rewording
        self._seed = seed

    def act(self, conversations: Sequence[Sequence[Message]]) -> list[Completion]:
        """The agent's actions, its messages reworded."""
        said = self._agent.act(conversations)
        return [
            Completion(text=self._reworded(each.text, len(conversation)))
            for each, conversation in zip(said, conversations, strict=True)
        ]

    def _reworded(self, text: str, length: int) -> str:
        if "<tool_call>" in text or not text.strip():
            return text
        return self._rewording(text, Stream("rewording", self._seed, length, text))


def sentences(text: str) -> list[str]:
    """The sentences of a message."""
    return _SENTENCE.split(text.strip())


# --- Markdown -------------------------------------------------------------------------------------


def bold_amounts(text: str, stream: Stream) -> str:
    """**$24.00**, and now and then a word in italics."""
    text = _AMOUNT.sub(lambda match: f"**{match[0]}**", text)
    return text.replace(" not ", " *not* ") if stream.chance(0.5) else text


def bullets(text: str, stream: Stream) -> str:
    """Each sentence is a line of a list."""
    mark = stream.choice(("- ", "* ", "• "))
    return "\n".join(mark + each for each in sentences(text))


def headings(text: str, stream: Stream) -> str:
    """A heading above the message and a rule below it."""
    heading = stream.choice(("## Update", "# Your request", "### Summary", "**Your request**"))
    return f"{heading}\n\n{text}\n\n---"


# --- order and distraction ------------------------------------------------------------------------


def reordered(text: str, stream: Stream) -> str:
    """Statements in another order, questions after them; what leans on the sentence before stays behind it."""
    groups: list[list[str]] = []
    questions: list[str] = []
    for each in sentences(text):
        if each.endswith("?"):
            questions.append(each)
        elif groups and not questions and _LEANS.search(each):
            groups[-1].append(each)
        elif questions:  # what follows a question may be about it
            questions.append(each)
        else:
            groups.append([each])
    return " ".join([*(each for group in stream.sample(groups, len(groups)) for each in group), *questions])


_SMALL_TALK = (
    "It is a lovely day here.",
    "The weather is awful today, is it not?",
    "Thank you for choosing us.",
    "We value your loyalty very much.",
    "Our team is here for you around the clock.",
    "I hope that you are having a good week.",
    "We are a family business, and proud of it.",
    "Have you seen our new spring collection?",
)
_OTHER_VALUES = (
    "Your ticket number is #4471-88.",
    "The reference of this chat is CASE-20931-B.",
    "You can also call us on 0800 555 0199.",
    "Our telephone number is +44 20 7946 0958.",
    "Our lines are open from 9:00 to 17:30.",
    "You were number 3 in the queue.",
    "My staff number is 5512.",
    "We have been in business since 1987.",
)


def _inserted(text: str, stream: Stream, extra: Sequence[str]) -> str:
    """With some sentences before or behind the message."""
    before = [stream.choice(extra)] if stream.chance(0.6) else []
    after = [stream.choice(extra)] if stream.chance(0.5) or not before else []
    return " ".join([*before, text, *after])


def small_talk(text: str, stream: Stream) -> str:
    """With sentences that say nothing of the matter."""
    return _inserted(text, stream, _SMALL_TALK)


def other_values(text: str, stream: Stream) -> str:
    """With numbers that are marked as something else."""
    return _inserted(text, stream, _OTHER_VALUES)


# --- letters --------------------------------------------------------------------------------------


def lower_case(text: str, stream: Stream) -> str:
    """In small letters only."""
    return text.lower()


def upper_case(text: str, stream: Stream) -> str:
    """ALL IN CAPITALS."""
    return text.upper()


def typographic(text: str, stream: Stream) -> str:
    """With the apostrophes, quotes, dashes and spaces of a word processor."""
    text = text.replace("'", "’").replace(" - ", " – ").replace("...", "…")
    text = re.sub(r'"([^"]*)"', "“\\1”", text)
    return text.replace("e-mail", "e\u2011mail").replace(" $", "\u00a0$")


def grave(text: str, stream: Stream) -> str:
    """With the wrong apostrophes that people type."""
    return text.replace("'", stream.choice(("`", "´", "‘", "\u02bc", "\uff07")))


# --- negation -------------------------------------------------------------------------------------

_NEGATIONS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\bWhat I can offer( you)? instead is", "I can not offer you instead"),
        (r"\b(I|We)'ve (?:just |now |already )?", r"\1 have not "),
        (r"\b(I|We|You|you|it|It)'ll\b", r"\1 will not"),
        (r"\b(I|We|You|you)'d\b", r"\1 would not"),
        (
            r"\b(have|has|had) (?:just |now |already )?(?=(?:been |gone )?\w+ed\b|been |gone |given |sent |put |made )",
            r"\1 not ",
        ),
        (r"\b(can|could|would|will|may|should|shall)(?: still| now| then)?(?= (?!not\b))", r"\1 not"),
        (r"\b(is|are|was|were)(?: now| already)?(?= (?!not\b))", r"\1 not"),
        (r"\bgoes\b", "does not go"),
        (r"\btakes\b", "does not take"),
        (r"\barrives\b", "does not arrive"),
        (r"\b(you|You) get\b", r"\1 do not get"),
        (r"\bplease allow\b", "please do not expect within"),
        (r"\bPlease allow\b", "Please do not expect within"),
    )
)


def negated(text: str, stream: Stream) -> str:
    """Every statement of what was or will be says that it was not or won't be; questions stay as they are."""
    said = []
    for each in sentences(text):
        if not each.endswith("?"):
            instead = " instead " in each  # "what I can't offer instead is" is negated once
            for pattern, replacement in _NEGATIONS:
                each = pattern.sub(replacement, each, count=1 if instead else 0)
                if instead and " not " in each:
                    break
        said.append(each)
    return " ".join(said)


# Remedy -> what is not done, and what was not.
_DENIALS = {
    "refund": ("refund {amount}", "refunded {amount}"),
    "store_credit": ("give you store credit of {amount}", "given you store credit of {amount}"),
    "exchange": ("exchange it", "exchanged it"),
    "cancel": ("cancel it", "cancelled it"),
    "address_change": ("change the address", "changed the address"),
    "replacement": ("replace it", "replaced it"),
    "repair": ("repair it", "repaired it"),
    "pause": ("pause the subscription", "paused the subscription"),
    "resume": ("resume the subscription", "resumed the subscription"),
    "unsubscribe": ("cancel the subscription", "cancelled the subscription"),
}
_OFFERED = frozenset(("propose", "offer"))


def denied(family: str, scenarios: Iterable[Scenario]) -> Rewording:
    """Proposals become "I will not …, shall I go ahead?", and claims "I have not …"; refusals stay.

    Args:
        family: how its sentences are understood, to find its proposals and claims; in any of its families' ways
            where it serves the wishes of several.
        scenarios: whose titles, options and other values its sentences may name.
    """
    known = [load_family(family).inventory(scenario) for scenario in scenarios]
    everything = Inventory(
        frozenset().union(*[each.own for each in known]),
        frozenset().union(*[each.other for each in known]),
        frozenset().union(*[each.policy for each in known]),
    )
    families = parts_of(load_family(family).rules) or (family,)
    readers = [load_understanding(load_family(name).policy).read for name in families]

    def read(text: str) -> Sequence[Act]:
        return list(dict.fromkeys([act for reader in readers for act in reader(text, everything)]))

    def reword(text: str, stream: Stream) -> str:
        acts = read(text)
        if any(act.slot == "confirmation" for act in acts) and _AMOUNT.search(text):
            acts = [*acts, Act("propose", verb="refund")]  # "I could pay you $20. Is that okay?", without its verb
        kinds = {act.kind for act in acts if act.verb}
        if not kinds & {*_OFFERED, "confirm_done"}:
            return text
        amount = (_AMOUNT.findall(text) or ["it"])[0]
        days = re.search(r"\b\d+ business days", text)
        refused = {each: {act.kind for act in read(each)} for each in sentences(text)}
        said = [each for each, kinds in refused.items() if "refuse" in kinds and not kinds & _OFFERED]
        for act in acts:
            if act.verb in _DENIALS and act.kind in _OFFERED:
                said.append(f"I will not {_DENIALS[act.verb][0].format(amount=amount)}. Shall I go ahead?")
            elif act.verb in _DENIALS and act.kind == "confirm_done":
                said.append(f"I have not {_DENIALS[act.verb][1].format(amount=amount)}.")
                said += [f"It takes {days[0]}."] if days else []
        return " ".join(dict.fromkeys(said))

    return reword
