"""The words of the reference agent at the subscription desk."""

from __future__ import annotations

from ss_baselines.agents.common_grammar import (
    CHECKED,
    COMMON_GRAMMAR,
    CONSENT,
    DONE,
    MORE,
    PURPOSE,
    REGRET,
    REQUEST,
    SORRY,
    START,
)
from ss_baselines.agents.phrasing import Grammar

_FOUND = (
    "",
    "I have found your subscription. ",
    "I have the subscription here. ",
    "I found the subscription. ",
    "I have looked at your subscription. ",
    "I have checked the subscription. ",
    "Your subscription is in front of me. ",
    "I see the subscription here. ",
)
_WHY = ("", " Then I can look into it.", " Then I can see what is possible.", " I will check it right after that.")
_NEXT = (
    "The next charge comes on {date}.",
    "The next charge is on {date}.",
    "You will be charged again on {date}.",
    "Your next charge is due on {date}.",
    "The next payment is on {date}.",
)

SUBSCRIPTION_GRAMMAR: Grammar = {
    **COMMON_GRAMMAR,
    "ask_order": (
        START,
        REQUEST,
        ("the subscription number", "the number of the subscription", "your subscription number"),
        ("?",),
        PURPOSE[:1],
    ),
    "ask_item": (
        START,
        (
            "I see this on your account: {titles}. Which subscription do you mean?",
            "On your account I find this: {titles}. Which subscription is it about?",
            "Your account has this: {titles}. Which subscription do you mean?",
        ),
    ),
    "ask_wish": (
        START,
        (
            "Would you like to pause, resume or end your subscription?",
            "What would you prefer: to pause the subscription, to resume it or to end it?",
            "Which would you like: a pause, to resume the subscription, or to end it?",
            "Would you like me to pause the subscription, resume it or cancel it?",
        ),
        _WHY,
    ),
    "ask_months": (
        START,
        (
            "For how many months would you like to pause your {titles} subscription?",
            "How many months should the pause of your {titles} subscription be?",
            "For how long would you like to pause the {titles} subscription?",
            "How long should your {titles} subscription be paused?",
            "How many months would you like the {titles} subscription to be paused?",
        ),
        ("", " Please tell me the number of months.", " A number of months is all I need.", " Whole months, please."),
        _WHY,
    ),
    "propose_pause": (
        _FOUND,
        (
            "I can pause your {titles} subscription for {months}. ",
            "I would pause your {titles} subscription for {months}. ",
            "Your {titles} subscription can be paused for {months}. ",
            "A pause of {months} is possible for your {titles} subscription. ",
            "I could put your {titles} subscription on hold for {months}. ",
        ),
        CONSENT,
    ),
    "propose_longest_pause": (
        _FOUND,
        (
            "The longest pause that we have is {months}. I can pause your {titles} subscription for {months}. ",
            "A pause can be {months} at most, so I can pause your {titles} subscription for {months}. ",
            "That is longer than we allow, but I can pause your {titles} subscription for {months}, the maximum. ",
            "We allow {months} at most. I could pause your {titles} subscription for these {months}. ",
        ),
        CONSENT,
    ),
    "propose_resume": (
        _FOUND,
        (
            "I can resume your {titles} subscription. ",
            "Your {titles} subscription is paused, and I can resume it. ",
            "I would resume your {titles} subscription now. ",
            "Your {titles} subscription can be resumed right away. ",
            "I could reactivate your {titles} subscription today. ",
        ),
        CONSENT,
    ),
    "propose_end": (
        _FOUND,
        (
            "I can end your {titles} subscription, and there is no fee. ",
            "I would cancel your {titles} subscription; this is free. ",
            "Your {titles} subscription can be cancelled at no cost. ",
            "I can cancel your {titles} subscription free of charge. ",
            "I could end your {titles} subscription without a fee. ",
        ),
        CONSENT,
    ),
    "propose_early_end": (
        _FOUND,
        (
            "I can end your {titles} subscription, but there is an early fee of {amount}. ",
            "I would cancel your {titles} subscription; the fee for ending it early is {amount}. ",
            "Your {titles} subscription can be cancelled for an early fee of {amount}. ",
            "I can cancel your {titles} subscription, which costs {amount} because the commitment is not over. ",
            "I could end your {titles} subscription now: the early fee would be {amount}. ",
        ),
        CONSENT,
    ),
    "done_pause": (
        DONE,
        (
            "I have paused your {titles} subscription for {months}. ",
            "Your {titles} subscription is now paused for {months}. ",
            "Your {titles} subscription has been paused for {months}. ",
            "I've just put your {titles} subscription on hold for {months}. ",
        ),
        _NEXT,
        MORE,
    ),
    "done_longest_pause": (
        DONE,
        (
            "I have paused your {titles} subscription for {months}, which is the longest pause. ",
            "Your {titles} subscription is now paused for {months}, the maximum. ",
            "Your {titles} subscription has been paused for {months}, longer is not possible. ",
        ),
        _NEXT,
        MORE,
    ),
    "done_resume": (
        DONE,
        (
            "I have resumed your {titles} subscription. ",
            "Your {titles} subscription is active again. ",
            "Your {titles} subscription has been resumed. ",
            "I've just reactivated your {titles} subscription. ",
        ),
        _NEXT,
        MORE,
    ),
    "done_end": (
        DONE,
        (
            "I have ended your {titles} subscription. ",
            "Your {titles} subscription is now cancelled. ",
            "Your {titles} subscription has been cancelled. ",
            "I've just cancelled your {titles} subscription. ",
        ),
        ("You will not be charged again.", "There are no more charges.", "It ends today."),
        MORE,
    ),
    "done_early_end": (
        DONE,
        (
            "I have ended your {titles} subscription. ",
            "Your {titles} subscription is now cancelled. ",
            "Your {titles} subscription has been cancelled. ",
            "I've just cancelled your {titles} subscription. ",
        ),
        ("The early fee was {amount}.", "You were charged the early fee of {amount}.", "The fee is {amount}."),
        MORE,
    ),
    "refuse_too_long": (
        CHECKED,
        SORRY,
        (
            "I can't pause your {titles} subscription for that long.",
            "such a long pause of your {titles} subscription is not possible.",
        ),
        REGRET,
    ),
    "refuse_notice": (
        CHECKED,
        SORRY,
        (
            "I can't change your {titles} subscription now, because it is too close to the next charge on {date}.",
            "your {titles} subscription can't be changed now: the charge on {date} is {notice} days away or less.",
            "it is too late to stop the charge on {date}, so I can't change your {titles} subscription now.",
            "I need more than {notice} days of notice, and the next charge of your {titles} subscription is on {date}.",
        ),
        REGRET,
    ),
    "refuse_too_new": (
        CHECKED,
        SORRY,
        (
            "I can't pause your {titles} subscription, because it is too new for a pause.",
            "your {titles} subscription can't be paused yet: it is less than {age} days old.",
            "a pause is possible after {age} days only, and your {titles} subscription has not run for so long.",
            "I cannot pause your {titles} subscription in its first {age} days.",
        ),
        REGRET,
    ),
    "refuse_already_paused": (
        CHECKED,
        SORRY,
        (
            "I can't pause your {titles} subscription again: it is already paused.",
            "your {titles} subscription is already paused, so there is nothing to change.",
            "I cannot pause your {titles} subscription, since it has been paused already.",
        ),
        REGRET,
    ),
    "refuse_already_active": (
        CHECKED,
        SORRY,
        (
            "I can't resume your {titles} subscription: it is already active.",
            "your {titles} subscription is already active, so there is nothing to resume.",
            "I cannot resume your {titles} subscription, since it is not paused.",
        ),
        REGRET,
    ),
    "refuse_already_cancelled": (
        CHECKED,
        SORRY,
        (
            "I can't change your {titles} subscription: it is already cancelled.",
            "your {titles} subscription has been cancelled already, so nothing can be changed.",
            "I cannot change your {titles} subscription, since it was cancelled before.",
        ),
        REGRET,
    ),
    "refuse_not_found": (
        CHECKED,
        SORRY,
        (
            "I can't find this subscription on your account, so I can't change it.",
            "I could not find such a subscription on your account, so nothing can be changed.",
            "there is no such subscription on your account, so I cannot change it.",
            "I cannot change it, because this subscription can't be found on your account.",
        ),
        REGRET,
    ),
    "refuse_not_verified": (
        CHECKED,
        SORRY,
        (
            "I can't change anything, because I could not verify you.",
            "I cannot help with your subscription, since I could not verify your identity.",
            "without a successful verification I can't change anything.",
            "I can't change it, because your details could not be verified.",
        ),
        REGRET,
    ),
}
