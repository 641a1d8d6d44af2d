"""What a customer knows, in words: for a language model or a person who plays one."""

from __future__ import annotations

from ss_gym.scenarios import Scenario
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
_MANNERS = {
    "plain": "You write plainly.",
    "polite": "You are polite.",
    "curt": "You write as little as possible.",
    "chatty": "You like to chat.",
    "upset": "You are annoyed.",
}
_RULES = """Write only your next message to the agent, in your own words and at most two sentences. Tell a fact when \
you are asked for it, and make none up. You see your account: believe that something was done only if the agent says \
so. When you agree to what the agent offers to do, end your message with [YES]. When you have what you came for, or \
see that you won't get it, say goodbye and end your message with [BYE]."""


def briefing(scenario: Scenario, persona: Persona) -> str:
    """Who the customer is, what they want and know, and how to answer."""
    goal, customer = scenario.goal, scenario.customer
    item = " and the ".join(goal.titles)
    lines = [
        f"You are {customer.name}, a customer of an online shop, and you are writing to its support.",
        _WISHES.get(goal.verb, f"You want this done: {goal.verb.replace('_', ' ')}.").format(item=item),
        f"Your e-mail is {customer.email} and your postal code {customer.postal_code}.",
        f"Your order number is {goal.order_id}." if goal.order_id else "You don't have your order number.",
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
        named = " or ".join(_REMEDIES.get(verb, verb.replace("_", " ")) for verb in dict.fromkeys(welcome))
        lines.append(f"If you can't have that, {named} is fine, too.")
    else:
        lines.append("You don't want anything else instead.")
    if goal.wants_other_card:
        lines.append("You would like the money on another card than you paid with, if that is possible.")
    lines += [_MANNERS[persona.register], "You are in a hurry." if persona.hurried else "", _RULES]
    return " ".join(filter(None, lines))
