"""What each kind of phrase does to the state of the walk: the handlers that the lexicon names.

Each takes the parser, the feature bits of its heading, and those for the negated phrase.
"""

from __future__ import annotations

from ss_gym.users import question_phrases, remedy_phrases, verb_group
from ss_gym.users.clauses import Handler

HANDLERS: dict[str, Handler] = {
    **verb_group.handlers,
    **remedy_phrases.handlers,
    **question_phrases.handlers,
}
