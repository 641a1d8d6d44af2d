"""A conversation's lines, the same for both conversation environments: six of the user, six replies."""

from __future__ import annotations

_OPENINGS = {
    "refund": "Hello, I would like to send back the kettle that I bought last week.",
    "delivery": "Good morning, my parcel was due on Monday and has not come.",
    "exchange": "Hi! The jacket is too small, can I have it in another size?",
    "warranty": "The blender stopped working after two months.",
    "address": "I moved house and need to change where my order goes.",
    "subscription": "How do I pause the monthly coffee?",
    "invoice": "Could you send me the invoice once more, please?",
    "cancel": "I ordered the wrong lamp, is it too late to cancel?",
}
_THEN = (
    "Yes, that is the one I mean.",
    "I have the number of the order here if it helps.",
    "How long will it take?",
    "All right, please go ahead.",
    "Thanks for your help!",
)
LINES = {topic: (opening, *_THEN) for topic, opening in _OPENINGS.items()}
REPLIES = (
    "Thank you for writing to us, I will have a look at it.",
    "I have found your order and can see what happened.",
    "Let me check with our warehouse what can be done here.",
    "It usually takes three to five working days.",
    "That is done, and you will get a message about it.",
    "You are welcome, have a nice day!",
)
