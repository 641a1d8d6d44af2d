"""The words of the reference agent at the library's desk."""

from __future__ import annotations

from ss_baselines.agents.common_grammar import (
    CHECKED,
    COMMON_GRAMMAR,
    CONSENT,
    DONE,
    MORE,
    REGRET,
    REQUEST,
    SORRY,
    START,
)
from ss_baselines.agents.phrasing import Grammar

GRAMMAR: Grammar = {
    **COMMON_GRAMMAR,
    "ask_order": (START, REQUEST, ("the loan number", "the number of the loan", "your loan number"), ("?",)),
    "ask_item": (START, ("Which book is it about: {titles}?", "Which book do you mean: {titles}?")),
    "propose_renewal": (
        CHECKED,
        (
            "I can renew the {titles} for {days} days. ",
            "I would renew your loan of the {titles}, for {days} days from today. ",
            "The {titles} can be renewed for {days} days. ",
            "I could extend your loan of the {titles} by {days} days from today. ",
        ),
        CONSENT,
    ),
    "renewed": (
        DONE,
        (
            "I have renewed the {titles}. ",
            "The {titles} has been renewed. ",
            "I've renewed your loan of the {titles}. ",
            "Your loan of the {titles} is now extended. ",
        ),
        (
            "The new due date is {date}.",
            "It is now due on {date}.",
            "You can keep it until {date}.",
            "Please bring it back by {date}.",
        ),
        MORE,
    ),
    "offer_charge": (
        (
            "I can charge the fine of {amount} to your card; from tomorrow on a renewal is possible. ",
            "You could pay the fine of {amount} by card now. ",
            "I can take the fine of {amount} from your card. ",
        ),
        ("Shall I do that?", "Would you like me to do that?", "Do you agree?"),
    ),
    "charged": (
        DONE,
        (
            "I have charged the fine of {amount} to your card.",
            "I've charged {amount} to your card for the fine.",
            "I have settled the fine of {amount} with your card.",
        ),
        MORE,
    ),
    "refuse_unpaid_fine": (
        SORRY,
        (
            "I can't renew the {titles} today, because there is an unpaid fine on it.",
            "the {titles} can't be renewed yet, since a fine on it is unpaid.",
            "I cannot renew the {titles} because of an outstanding fine.",
        ),
    ),
    "refuse_overdue": (
        CHECKED,
        SORRY,
        (
            "I can't renew the {titles}, because it is overdue.",
            "the {titles} can't be renewed any more: it is overdue by too many days.",
            "I cannot renew the {titles}, since it should have been back long ago.",
        ),
        REGRET,
    ),
    "refuse_already_renewed": (
        CHECKED,
        SORRY,
        (
            "I can't renew the {titles} again: it was already renewed as often as possible.",
            "the {titles} can't be renewed any more, because the limit of renewals is reached.",
            "I cannot renew the {titles}, since it has no renewals left.",
        ),
        REGRET,
    ),
    "refuse_reserved": (
        CHECKED,
        SORRY,
        (
            "I can't renew the {titles}, because another reader has reserved it. It is due on {date}.",
            "the {titles} can't be renewed: it is reserved. Please bring it back by {date}.",
            "I cannot renew the {titles}, since another reader is waiting for it. The due date is {date}.",
        ),
        REGRET,
    ),
    "refuse_not_found": (
        CHECKED,
        SORRY,
        (
            "I can't find this loan on your account, so I can't renew it.",
            "there is no such loan on your account, so I cannot renew it.",
            "I cannot renew it, because this loan can't be found on your account.",
        ),
        REGRET,
    ),
    "refuse_not_verified": (
        CHECKED,
        SORRY,
        (
            "I can't renew anything, because I could not verify you.",
            "I cannot help with a renewal, since I could not verify your identity.",
            "without a successful verification I can't renew anything.",
        ),
        REGRET,
    ),
}
