"""The features that a stretch of an agent's text can have, as bits of one integer.

The remedy bits come first, because each exists in four strengths: mentioned, possible or
announced (``POSSIBLE``), refused (``REFUSED``) and done (``DONE``). A strength is a left shift.
Some remedies, slots and grounds have no meaning of their own: the lexicon of a family names them.
"""

from __future__ import annotations

REFUND = 1 << 0
CREDIT = 1 << 1
EXCHANGE = 1 << 2
RETURN = 1 << 3  # "return" alone: what many call a refund
THING = 1 << 4  # an object that is only pointed at: "it", "that", "$20"
SPARE_REMEDIES = tuple(1 << bit for bit in range(5, 13))
SPARE_REMEDY = sum(SPARE_REMEDIES)
REMEDY = REFUND | CREDIT | EXCHANGE | RETURN | THING | SPARE_REMEDY

POSSIBLE = 13
REFUSED = 26
DONE = 39

# How a remedy is done or possible: by "I"; as a state; only as a habit ("is paid"); only approved;
# announced by "I"; with "can".
ACTIVE, STATE, HABIT, APPROVED, FIRST, ABLE = (1 << bit for bit in range(52, 58))
# A refund or credit that the customer had ("received"), that was ("there was"), that they have now.
RECEIVED, EXISTED, OWNED = (1 << bit for bit in range(58, 61))
# Adverbs and the like.
ALREADY, AGAIN, NOW, ONLY, INSTEAD, PLEASE, OR = (1 << bit for bit in range(61, 68))
# What asks: "shall I"; "reply yes"; "confirm"; "would you like"; "could you tell me"; "okay";
# "if you like".
CONSENT, TAG, CONFIRM, LIKE, ASK, FINE, WISH = (1 << bit for bit in range(68, 75))
# "I need to".
NEEDED = 1 << 122
# What can be asked for; S_RIGHT is "is that right?".
S_ORDER, S_EMAIL, S_POSTAL, S_NAME, S_ITEM, S_REASON, S_PREFERENCE, S_OTHER = (1 << bit for bit in range(75, 83))
S_ELSE, S_RIGHT = 1 << 83, 1 << 84
# Grounds stated of this very case.
G_WINDOW, G_FINAL, G_ALREADY, G_NOT_DELIVERED, G_GIFT, G_NOT_FOUND, G_NOT_VERIFIED, G_STOCK = (
    1 << bit for bit in range(85, 93)
)
# Hints at a ground, which count only next to a refusal.
W_WINDOW, W_NOT_DELIVERED, W_GIFT, W_NOT_VERIFIED = (1 << bit for bit in range(93, 97))
# Parts of a ground: not found; does not match; beyond a limit; within it; verification; failed; other ways to pay.
LOST, UNMATCHED, OUTSIDE, WITHIN, VERIFY, FAILED, METHOD = (1 << bit for bit in range(97, 104))
# Things that are talked about; CREDITED is "credit" with its goal still to be told.
ORDER, ACCOUNT, CARD, BACK, MONEY, BUSINESS, CREDITED = (1 << bit for bit in range(104, 111))
HANDOVER, HUMAN, SORRY, WAIT, THANK, GREET, BYE = (1 << bit for bit in range(111, 118))
# About all items; about this one; as an alternative; a plain statement.
GENERIC, DEFINITE, ALTERNATIVE, FACT = (1 << bit for bit in range(118, 122))

# What the lexicon of a family may name: things to be asked for, grounds, and hints at each of these grounds.
SPARE_SLOTS = tuple(1 << bit for bit in range(123, 131))
SPARE_GROUNDS = tuple(1 << bit for bit in range(131, 151))
SPARE_GROUND = sum(SPARE_GROUNDS)
HINT = 20  # the left shift from such a ground to its hint
# And events that a date can be the date of.
SPARE_EVENTS = tuple(1 << bit for bit in range(171, 183))
SPARE_EVENT = sum(SPARE_EVENTS)
# An event that is denied: "has not arrived".
DENIED = 1 << 183
# "Look into it": nothing is promised.
HELPS = 1 << 184

SLOTS = sum(SPARE_SLOTS) | S_ORDER | S_EMAIL | S_POSTAL | S_NAME | S_ITEM | S_REASON | S_PREFERENCE | S_OTHER

_NO_FEATURES = frozenset(
    (
        "POSSIBLE",
        "REFUSED",
        "DONE",
        "REMEDY",
        "SLOTS",
        "SPARE_REMEDY",
        "SPARE_GROUND",
        "HINT",
        "SPARE_EVENT",
        "DENIED",
        "HELPS",
    )
)

# The names that every lexicon uses.
BITS: dict[str, int] = {
    name: value
    for name, value in globals().items()
    if name.isupper() and isinstance(value, int) and name not in _NO_FEATURES
}
