"""What a customer knows, in words: for a language model or a person who plays one.

A family may say in ``briefing.yaml`` who its customers are (``who``), what they call the number of what they ask about
(``number``), and what they want (``wishes``) or would take instead (``remedies``), both by remedy.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from ss_gym.scenario_files import field_error, has_file, read_yaml
from ss_gym.scenarios import Scenario
from ss_gym.spelling import nearest
from ss_gym.users.agenda import money
from ss_gym.users.persona import Persona

# What is asked for, by remedy; {item} is the thing.
_WISHES = {
    "": "You want to know where your order with the {item} is and when it comes.",
    "refund": "You want your money back for the {item}.",
    "exchange": "You want to exchange the {item} for another option.",
    "cancel": "You want to cancel the {item}.",
    "address_change": "You want your order with the {item} sent to another address.",
    "replacement": "The {item} no longer works as it should, and you want a new one.",
    "repair": "You want the {item} repaired.",
    "pause": "You want to pause your subscription of the {item}.",
    "resume": "You want to resume your subscription of the {item}.",
    "unsubscribe": "You want to end your subscription of the {item}.",
}
_REMEDIES = {"store_credit": "store credit", "refund": "a refund", "repair": "a repair", "pause": "a pause"}
_FILE = "briefing.yaml"


class _Words(NamedTuple):
    """What a family's customers are told about themselves."""

    who: str = "a customer of an online shop"
    number: str = "order number"
    wishes: Mapping[str, str] = _WISHES
    remedies: Mapping[str, str] = _REMEDIES


_MANNERS = {
    "plain": "You write plainly.",
    "polite": "You are polite.",
    "curt": "You write as little as possible.",
    "chatty": "You like to chat.",
    "upset": "You are annoyed.",
}
# What is worth telling of a customer's numbers: from where on, and how it is said of so many of ten or a hundred. The
# scripted customer lengthens two messages of five where the verbosity is 1.
_HABITS: Mapping[str, tuple[float, float, str]] = {
    "verbosity": (0.6, 4, "About {count} of 10 of your messages have a sentence that tells nothing."),
    "disclosure": (0.7, 10, "In about {count} of 10 cases you tell what you know before you are asked for it."),
    "noise": (0.01, 100, "You mistype about {count} of 100 words."),
    "tangents": (0.1, 10, "About {count} of 10 of your messages have something that is beside the matter."),
    "unprepared": (
        0.1,
        10,
        "About {count} of 10 times you don't have at hand what you are asked for, and say so first.",
    ),
    "demanding": (0.1, 1, "Once you ask for something on top that no shop does."),
}
_IN_TURN = "You have {count} wishes. Come up with one at a time, by name; with the next once the one before is settled."
_WITHDRAWN = (
    "When the agent asks whether to do this, you think better of it: they should leave it. Then come to the next."
)
_RULES = """Write only your next message to the agent, in your own words and at most two sentences. Tell a fact when \
you are asked for it, and make none up. You see your account: believe that something was done only if the agent says \
so. When you agree to what the agent offers to do, end your message with [YES]. When you have what you came for, or \
see that you won't get it, say goodbye and end your message with [BYE]."""


def briefing(scenario: Scenario, persona: Persona) -> str:
    """Who the customer is, what they want and know, and how to answer."""
    customer, parts = scenario.customer, scenario.parts or (scenario,)
    who = f"You are {customer.name}, {_words(scenario.family).who}, and you are writing to its support."
    address = f"Your e-mail is {customer.email} and your postal code {customer.postal_code}."
    if len(parts) == 1:
        wish, *more = _wish(parts[0])
        lines = [who, wish, address, *more]
    else:
        lines = [who, address, _IN_TURN.format(count=len(parts))]
        for number, part in enumerate(parts, 1):
            lines += [f"{number}.", *_wish(part), _WITHDRAWN if part.goal.withdraws else ""]
    lines += [_MANNERS[persona.register], *_habits(persona), persona.manner, _RULES]
    return " ".join(filter(None, lines))


def _habits(persona: Persona) -> list[str]:
    """What numbers and flags say of how they write and act."""
    told = [
        text.format(count=round(getattr(persona, name) * parts))
        for name, (least, parts, text) in _HABITS.items()
        if getattr(persona, name) >= least
    ]
    if persona.channel == "email":
        told.append("You write e-mails, with a greeting and your name below.")
    if persona.insists:
        times = {1: "once", 2: "twice"}.get(persona.insists, f"{persona.insists} times")
        told.append(f"A refusal you contest {times} before you accept it.")
    nowhere = "reply that leads" if persona.patience == 1 else "replies that lead"
    told.append(f"You give up after {persona.patience} {nowhere} nowhere.")
    if persona.hurried:
        told.append("You are in a hurry.")
    return told


def _wish(scenario: Scenario) -> list[str]:
    """One wish: what they want, and what they know of it."""
    goal, words = scenario.goal, _words(scenario.family)
    item = " and the ".join(goal.titles)
    lines = [
        words.wishes.get(goal.verb, f"You want this done: {goal.verb.replace('_', ' ')}.").format(item=item),
        f"Your {words.number} is {goal.order_id}." if goal.order_id else f"You don't have your {words.number}.",
    ]
    if goal.reason:
        lines.append(f"The reason is: {goal.reason.replace('_', ' ')}.")
    lines += [f"The {slot.replace('_', ' ')}: {text}." for slot, text in goal.details]
    if goal.paid_cents:
        lines.append(f"You paid {money(goal.paid_cents)} for it.")
    welcome = [*(["store_credit"] if goal.accepts_credit else []), *goal.accepts, *goal.welcomes]
    if goal.exchange_option:
        lines.append(f"If you can't have that, you would take {goal.exchange_option} in exchange.")
    if welcome:
        named = " or ".join(words.remedies.get(verb, verb.replace("_", " ")) for verb in dict.fromkeys(welcome))
        lines.append(f"If you can't have that, {named} is fine, too.")
    else:
        lines.append("You don't want anything else instead.")
    if goal.wants_other_card:
        lines.append("You would like the money on another card than you paid with, if that is possible.")
    return lines


@cache
def _words(family: str) -> _Words:
    """The family's own words, where it has such a file; else the shop's."""
    if not has_file(family, _FILE):
        return _Words()
    data = read_yaml(family, _FILE)
    if not isinstance(data, dict):
        raise field_error(family, _FILE, (), f"expected a mapping with {', '.join(_Words._fields)}, got {data!r:.80}")
    for name, content in data.items():
        if name not in _Words._fields:
            raise field_error(family, _FILE, (name,), f"is not known; {nearest(str(name), _Words._fields)}")
        expected = type(_Words._field_defaults[name])
        if not isinstance(content, expected):
            noun = "a text" if expected is str else "a mapping of remedies to texts"
            raise field_error(family, _FILE, (name,), f"expected {noun}, got {content!r:.80}")
    shared = {name: {**_Words._field_defaults[name], **data.get(name, {})} for name in ("wishes", "remedies")}
    return _Words()._replace(**{**data, **shared})
