"""Dialogues as numbers: what customers' messages are like, whatever they are about."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ss_gym.sim2real.act_classifier import load_act_classifier

Floats = NDArray[np.float64]

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_POLITE = re.compile(r"\b(please|pls|thanks?|thank you|thx|sorry|appreciate|kindly)\b", re.IGNORECASE)
_UPSET = re.compile(
    r"\b(ridiculous|unacceptable|terrible|worst|annoy\w*|frustrat\w*|disappoint\w*|angry|awful|useless)\b|!{2,}",
    re.IGNORECASE,
)
_GREETING = re.compile(r"^\W*(hi|hello|hey|dear|good (morning|afternoon|evening|day))\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What was said in a conversation, by whom, in order; tools and instructions are left out.

    Attributes:
        customer: the customer's messages.
        agent: the agent's.
    """

    customer: tuple[str, ...]
    agent: tuple[str, ...]

    @classmethod
    def of(cls, conversation: Any) -> Dialogue:
        """The dialogue of a conversation.

        >>> Dialogue.of([{"role": "user", "content": "Hi!"}, {"role": "assistant", "content": "Hello."}])
        Dialogue(customer=('Hi!',), agent=('Hello.',))

        Args:
            conversation: a dialogue, messages in OpenAI form, or what has them as ``messages``, such as a conversation
                of a ``ConversationDataset`` or a recorded trajectory.

        Raises:
            TypeError: for something else.
            ValueError: if the customer says nothing.
        """
        if isinstance(conversation, cls):
            return conversation
        messages = getattr(conversation, "messages", conversation)
        if isinstance(messages, str | Mapping) or not isinstance(messages, Sequence):
            raise TypeError(f"a conversation has messages in OpenAI form, got {conversation!r:.80}")
        said: dict[str, list[str]] = {"user": [], "assistant": []}
        for message in messages:
            if not isinstance(message, Mapping) or "role" not in message:
                raise TypeError(f"a message in OpenAI form has a role, got {message!r:.80}")
            content = message.get("content")
            if message["role"] in said and isinstance(content, str) and content.strip():
                said[message["role"]].append(content)
        if not said["user"]:
            raise ValueError("the customer says nothing in a conversation: leave it out")
        return cls(tuple(said["user"]), tuple(said["assistant"]))

    def after_opening(self) -> Dialogue:
        """Without the customer's first message, if there is another.

        >>> Dialogue(("Hi!", "Thanks."), ("Hello.",)).after_opening().customer
        ('Thanks.',)
        """
        return Dialogue(self.customer[1:] or self.customer, self.agent)


def dialogues_of(conversations: Sequence[Any]) -> list[Dialogue]:
    """The dialogues of conversations; see :meth:`Dialogue.of`.

    Raises:
        ValueError: if one has no customer; names which.
        TypeError: if one is none.
    """
    found = []
    for place, conversation in enumerate(conversations):
        try:
            found.append(Dialogue.of(conversation))
        except (TypeError, ValueError) as error:
            raise type(error)(f"conversation {place}: {error}") from None
    return found


def words_of(message: str) -> list[str]:
    """The words of a message, as they stand."""
    return _WORD.findall(message)


class DialogueFeatures:
    """Turns dialogues into vectors, one each, of what the customer's messages are like.

    Which words are known is taken from some dialogues, the real ones as a rule: those that stand in two of them or
    more. For one of these dialogues that means two of the others, or it would seem to have fewer rare words than any
    other; for any other dialogue, two of all but one, on average over which is left out, so that the same is counted
    for both. A word that is not known is a rare one, or mistyped.

    Args:
        known_from: the dialogues whose words are known.

    Attributes:
        names: of the features.
    """

    def __init__(self, known_from: Sequence[Dialogue]) -> None:
        self._seen = Counter(word for dialogue in known_from for word in _vocabulary(dialogue))
        self._own = frozenset(known_from)
        # How far a word is from being known, by how many dialogues have it; of more than two it is known.
        self._rare = (1.0, 1.0, min(1.0, 2 / max(1, len(known_from))))
        self._acts = load_act_classifier("user")
        self.names = (*_SHARES, *(f"act {name.lower()}" for name in self._acts.acts))

    def __call__(self, dialogues: Sequence[Dialogue]) -> Floats:
        """Float (N, D), in the order of ``names``."""
        return np.array([self._of(dialogue) for dialogue in dialogues], np.float64).reshape(len(dialogues), -1)

    def _of(self, dialogue: Dialogue) -> list[float]:
        messages = dialogue.customer
        words = [words_of(message) for message in messages]
        lengths = [len(each) for each in words]
        every = [word.lower() for each in words for word in each if not word[0].isdigit()]
        last = messages[-1]
        own = dialogue in self._own

        def share(holds: Sequence[bool]) -> float:
            return sum(holds) / len(holds)

        shares = [
            float(len(messages)),
            sum(lengths) / len(messages),
            float(lengths[0]),
            float(max(lengths)),
            share(["?" in message for message in messages]),
            share([any(character.isdigit() for character in message) for message in messages]),
            share([message.lstrip()[:1].isupper() for message in messages]),
            share([message.rstrip()[-1:] in ".!?" for message in messages]),
            share([bool(_POLITE.search(message)) for message in messages]),
            share([bool(_UPSET.search(message)) for message in messages]),
            float(bool(_GREETING.search(messages[0]))),
            share(["\n" in message.strip() for message in messages]),
            sum(self._rarity(word, own) for word in every) / max(1, len(every)),
            float(bool(re.search(r"\b(bye|goodbye|that('s| is) (all|it)|have a)\b", last, re.IGNORECASE))),
        ]
        acts: list[float] = self._acts.probabilities(messages).mean(0).tolist()
        return shares + acts

    def _rarity(self, word: str, own: bool) -> float:
        """1 for a word that is not known, 0 for one that is.

        Args:
            word: in lower case.
            own: whether it stands in one of the dialogues whose words are known, which then does not count.
        """
        seen = self._seen[word]
        if own:
            return float(seen - 1 < 2)
        return self._rare[seen] if seen < len(self._rare) else 0.0


_SHARES = (
    "messages",
    "words a message",
    "words of the first",
    "words of the longest",
    "with a question",
    "with a number",
    "with a capital first",
    "with a mark at the end",
    "polite",
    "upset",
    "greets",
    "of several lines",
    "words not known",
    "says goodbye",
)


def _vocabulary(dialogue: Dialogue) -> set[str]:
    return {word.lower() for message in dialogue.customer for word in words_of(message)}


def act_sequence(messages: Sequence[str], role: str = "user") -> list[str]:
    """What is done with each message, one word each; several acts of a message are joined by ``+``.

    Args:
        messages: of one side, in order.
        role: ``"user"`` for the customer's, ``"assistant"`` for the agent's.
    """
    classifier = load_act_classifier("user" if role == "user" else "assistant")
    return ["+".join(acts) for acts in classifier.read(messages)]
