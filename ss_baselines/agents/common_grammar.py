"""The words that reference agents share: how their sentences begin and end, and the questions of every desk."""

from __future__ import annotations

from ss_baselines.agents.phrasing import Grammar

START = (
    "",
    "Thank you. ",
    "Thanks. ",
    "Of course. ",
    "Certainly. ",
    "Thanks for your message. ",
    "Happy to help. ",
    "I see. ",
)
SORRY = (
    "I'm sorry, but ",
    "I am sorry, but ",
    "Unfortunately, ",
    "I'm afraid that ",
    "Sorry, but ",
    "I regret that ",
    "Regrettably, ",
    "I am really sorry, but ",
)
REQUEST = (
    "Could you give me ",
    "Could you please give me ",
    "Can you tell me ",
    "Could you tell me ",
    "Would you please give me ",
    "May I have ",
    "Could I have ",
    "Would you tell me ",
    "Can I have ",
    "Can you please give me ",
)
ACCOUNT = ("of your account", "on your account", "for your account", "that your account has", "you have with us")
PURPOSE = (
    "",
    " It is for your protection.",
    " I need it to find your account.",
    " Then I can look into this for you.",
    " That lets me open your account.",
    " It keeps your account safe.",
    " After that I can help you.",
    " We always check this first.",
    " Then we can begin.",
    " That is all I need to find your account.",
)
CONSENT = (
    "Shall I go ahead?",
    "Do you agree?",
    "Is that all right with you?",
    "Would you like me to do that?",
    "Is that OK for you?",
    "May I go ahead?",
    "Should I go ahead with this?",
    "Are you happy with that?",
)
CHECKED = (
    "",
    "Thank you for waiting. ",
    "I have looked into this. ",
    "I have checked this for you. ",
    "Thank you for the details. ",
    "I understand. ",
    "I see. ",
    "Thanks for your patience. ",
)
REGRET = (
    "",
    " I hope you understand.",
    " Thank you for your understanding.",
    " I wish I had better news.",
    " I know this is not what you hoped for.",
    " I hope this explains it.",
    " Please bear with me.",
    " I am sorry about that.",
)
DONE = ("", "Done. ", "Thank you. ", "That is done. ", "All done. ", "Thanks for confirming. ", "Perfect. ", "Great. ")
FOUND = (
    "",
    "I have found your order. ",
    "I have the order here. ",
    "I found the order. ",
    "I have looked at your order. ",
    "I have checked the order. ",
    "The order is in front of me. ",
    "I see the order here. ",
)
MORE = (
    " Is there anything else I can do for you?",
    " Can I help you with anything else?",
    " Is there anything else?",
    " Do you need anything else?",
    " Let me know if you need anything else.",
    " Is there anything else you need?",
    " Anything else?",
    " Can I do anything else for you?",
)

COMMON_GRAMMAR: Grammar = {
    "ask_both": (
        START,
        REQUEST,
        ("the e-mail address and the postal code ", "the email and the postal code ", "the e-mail and postal code "),
        ACCOUNT,
        ("?",),
        PURPOSE,
    ),
    "ask_email": (
        START,
        REQUEST,
        ("the e-mail address ", "the email address ", "the e-mail "),
        ACCOUNT,
        ("?",),
        PURPOSE,
    ),
    "ask_postal_code": (
        START,
        REQUEST,
        ("the postal code ", "the zip code ", "the postcode "),
        ACCOUNT,
        ("?",),
        PURPOSE,
    ),
    "ask_again": (
        SORRY,
        (
            "these details do not match an account. ",
            "that does not match our records. ",
            "I could not match these details. ",
        ),
        ("Please check and give me ", "Could you check and give me ", "Could you please give me "),
        ("the e-mail address and the postal code ", "the email and the postal code ", "the e-mail and postal code "),
        ("again", "once more", "one more time"),
        ("?",),
    ),
    "ask_order": (
        START,
        REQUEST,
        ("the order number", "the number of the order", "your order number"),
        ("?",),
        PURPOSE[:1],
    ),
    "ask_item": (
        START,
        (
            "Which item is it about: {titles}?",
            "Which item do you mean: {titles}?",
            "Which of these items is it: {titles}?",
        ),
    ),
    "nothing_done": (("All right, I have not changed anything.", "OK, then I will leave everything as it is."), MORE),
    "failed": (
        ("I'm sorry, this did not work, so nothing was changed.", "I am sorry, the system refused this."),
        MORE,
    ),
}
