"""The features that a stretch of an agent's text can have, as bits of one integer.

The five remedy bits come first, because each exists in four strengths: mentioned, possible or
announced (``POSSIBLE``), refused (``REFUSED``) and done (``DONE``). A strength is a left shift.
``G_`` is a ground stated of this very case, ``W_`` a weaker hint that counts only next to a refusal,
``S_`` a slot.
"""

from __future__ import annotations

REFUND = 1 << 0
CREDIT = 1 << 1
EXCHANGE = 1 << 2
RETURN = 1 << 3  # "return" alone: what many call a refund
THING = 1 << 4  # an object that is only pointed at: "it", "that", "$20"
REMEDY = REFUND | CREDIT | EXCHANGE | RETURN | THING

POSSIBLE = 5
REFUSED = 10
DONE = 15

# fmt: off
(
    ACTIVE, PAST, STATE, APPROVED, FIRST, ABLE,
    ALREADY, AGAIN, NOW, ONLY, INSTEAD, PLEASE,
    CONSENT, TAG, CONFIRM, LIKE, ASK, FINE, WISH, OR,
    S_ORDER, S_EMAIL, S_POSTAL, S_NAME, S_ITEM, S_REASON, S_PREFERENCE, S_OTHER, S_ELSE, S_RIGHT,
    G_WINDOW, G_FINAL, G_ALREADY, G_NOT_DELIVERED, G_GIFT, G_NOT_FOUND, G_NOT_VERIFIED, G_STOCK,
    W_WINDOW, W_FINAL, W_ALREADY, W_NOT_DELIVERED, W_GIFT, W_NOT_VERIFIED, W_STOCK, HABIT, RECEIVED, EXISTED, OWNED, VERIFY, FAILED,
    LOST, UNMATCHED, METHOD, ORDER, ACCOUNT, CARD, BACK, MONEY, AGO, BUSINESS,
    HANDOVER, HUMAN, SORRY, WAIT, THANK, GREET, BYE,
    GENERIC, DEFINITE, ALTERNATIVE, FACT, WITHIN, OUTSIDE, CREDITED,
) = (1 << bit for bit in range(20, 95))
# fmt: on

SLOTS = (
    S_ORDER | S_EMAIL | S_POSTAL | S_NAME | S_ITEM | S_REASON | S_PREFERENCE | S_OTHER
)  # fmt: skip

BITS: dict[str, int] = {name: value for name, value in globals().items() if name.isupper() and isinstance(value, int)}
