"""How customers write, in words: prompts for whoever plays them, and how many of the real ones are like each."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from ss_gym.sim2real.dialogues import Dialogue, DialogueFeatures, Floats, words_of
from ss_gym.sim2real.identification import Posterior, abc_posterior
from ss_gym.sim2real.summaries import foretelling, foretold_by_others, summary

# Rounds in which each dialogue goes to its nearest typical one, and the typical ones are chosen anew.
_ROUNDS = 20
# Messages that a prompt quotes, and how long they may be.
_QUOTES, _QUOTED_CHARS = 2, 160
_EMAIL, _NUMBER = re.compile(r"\S+@\S+"), re.compile(r"\d[\d.,:/-]*\d|\d")
# Mixtures that are drawn for a fit. They cost no conversation: dialogues that were played are mixed.
_MIXTURES = 2000
# Mixtures of so many dialogues at most: more of them differ by no more than those that were played tell.
_MOST = 1000
# What is said of customers of whose messages a share between these two is so.
_HABITS = {
    "with a capital first": (0.0, 0.5, "You begin them in lower case."),
    "with a mark at the end": (0.0, 0.5, "You leave out the mark at the end."),
    "with a question": (0.5, 1.0, "Most of them ask something."),
    "polite": (0.3, 1.0, "You say please and thank you."),
    "upset": (0.3, 1.0, "You sound annoyed."),
    "of several lines": (0.5, 1.0, "They have several lines."),
}


@dataclass(frozen=True, slots=True)
class PersonaPrompts:
    """A distribution over prompts that tell how a customer writes.

    Attributes:
        prompts: one for each kind of customer.
        posterior: of the shares of customers who are like each; every draw adds up to 1.
    """

    prompts: tuple[str, ...]
    posterior: Posterior

    def sample(self, generator: np.random.Generator) -> str:
        """The prompt of one customer."""
        shares = self.posterior.sample(1, generator)[0]
        return self.prompts[int(generator.choice(len(self.prompts), p=shares / shares.sum()))]


def typical_dialogues(features: Floats, count: int) -> list[int]:
    """Dialogues that stand for all others: medoids, each the nearest on average to those that are nearest to it.

    The first is the nearest to all, each next one is the farthest from those before, and then they move (Park and Jun
    2009, "A simple and fast algorithm for K-medoids clustering").

    >>> typical_dialogues(np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]]), 2)
    [1, 4]

    Args:
        features: (N, D).
        count: how many; fewer if dialogues are alike.

    Returns:
        their places, in order.
    """
    scaled = (features - features.mean(0)) / np.maximum(features.std(0), 1e-9)
    apart = np.sqrt(np.maximum(np.square(scaled[:, None] - scaled[None]).sum(-1), 0))
    chosen = [int(apart.sum(1).argmin())]
    while len(chosen) < min(count, len(features)):
        nearest = apart[:, chosen].min(1)
        if nearest.max() == 0:
            break
        chosen.append(int(nearest.argmax()))
    for _ in range(_ROUNDS):
        homes = apart[:, chosen].argmin(1)
        members = [np.flatnonzero(homes == place) for place in range(len(chosen))]
        moved = [int(each[apart[np.ix_(each, each)].sum(1).argmin()]) for each in members]
        if moved == chosen:
            break
        chosen = moved
    return sorted(chosen)


def persona_prompt(dialogue: Dialogue, features: DialogueFeatures) -> str:
    """How the customer of a dialogue writes, in words, with some of theirs.

    E-mail addresses and numbers are left out of what is quoted: they are others' facts. Names are not.

    Args:
        dialogue: theirs.
        features: of dialogues.
    """
    told = dict(zip(features.names, features([dialogue])[0].tolist(), strict=True))
    lines = [f"Your messages have about {round(told['words a message'])} words."]
    lines += [habit for name, (least, most, habit) in _HABITS.items() if least <= told[name] <= most]
    quoted = [f'"{_without_facts(message)}"' for message in _middling(dialogue.customer)]
    return " ".join([*lines, f"You write like this: {' '.join(quoted)}"])


def fit_shares(
    played: Floats, observed: Floats, count: int, accepted: float, generator: np.random.Generator
) -> Posterior:
    """Shares of customers of each kind, given what dialogues with each are like and what was observed.

    By approximate Bayesian computation, as parameters are: the prior is even over all mixtures (Dirichlet's with ones),
    and a mixture is simulated by drawing from the dialogues that were played.

    Args:
        played: (P, M, D), features of M dialogues with each of P prompts.
        observed: (S,), the real ones' summary.
        count: real dialogues; as many are drawn for each mixture, and a thousand at most.
        accepted: share of the mixtures that the posterior is made of.
        generator: the source of randomness.
    """
    kinds, each = played.shape[:2]
    count = min(count, _MOST)
    if kinds == 1:
        return Posterior(np.ones((1, 1)), np.ones(1), np.zeros(1))
    shares = generator.dirichlet(np.ones(kinds), _MIXTURES)
    statistics = []
    for mixture in shares:
        kind = generator.choice(kinds, size=count, p=mixture)
        # Those that were played are a sample themselves: other ones might have been.
        pool = generator.integers(each, size=(kinds, each))
        statistics.append(summary(played[kind, pool[kind, generator.integers(each, size=count)]]))
    found = np.array(statistics)
    (foretold,) = foretelling(found, shares)(observed[None])
    low, high = np.zeros(kinds), np.ones(kinds)
    posterior = abc_posterior(shares, foretold_by_others(found, shares), foretold, low, high, accepted)
    draws = posterior.draws / posterior.draws.sum(1, keepdims=True)
    return Posterior(draws, posterior.weights, posterior.distances)


def _middling(messages: tuple[str, ...]) -> list[str]:
    """The messages of about middle length, in order."""
    lengths = [len(words_of(message)) for message in messages]
    middle = float(np.median(lengths))
    nearest = sorted(range(len(messages)), key=lambda place: abs(lengths[place] - middle))[:_QUOTES]
    return [messages[place] for place in sorted(nearest)]


def _without_facts(message: str) -> str:
    text = _NUMBER.sub("#", _EMAIL.sub("(address)", " ".join(message.split())))
    return text if len(text) <= _QUOTED_CHARS else f"{text[:_QUOTED_CHARS].rsplit(' ', 1)[0]} …"
