"""How customers write, in words: prompts for whoever plays them, and how many of the real ones are like each."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ss_gym.sim2real.dialogues import Dialogue, DialogueFeatures, Floats, words_of
from ss_gym.sim2real.identification import Posterior, abc_posterior
from ss_gym.sim2real.summaries import foretelling, foretold_by_others, summary

# Dialogues that are compared with each other, starts of the search, and rounds of each.
_COMPARED, _STARTS, _ROUNDS = 1000, 20, 30
# Features further from the mean, in standard deviations, count as so far: a few odd dialogues would be a kind each.
_FURTHEST = 3.0
# Messages that a prompt quotes, and how long they may be.
_QUOTES, _QUOTED_CHARS = 2, 160
_EMAIL, _NUMBER = re.compile(r"\S+@\S+"), re.compile(r"\d[\d.,:/-]*\d|\d")
_TAG = re.compile(r"\[\w+\]")
# Mixtures that are drawn for a fit, and the share of them that the posterior is made of. They cost no conversation:
# dialogues that were played are mixed.
_MIXTURES, _ACCEPTED = 2000, 0.3
# Mixtures of so many dialogues at most: more of them differ by no more than those that were played tell.
_MOST = 1000
# What is said of customers of whose messages more than the least share and less than the greatest is so.
_TOLD = {
    "with a capital first": (-1.0, 0.3, "You begin them in lower case."),
    "with a mark at the end": (-1.0, 0.3, "You leave out the mark at the end."),
    "with a question": (0.7, 2.0, "Most of them ask something."),
    "polite": (0.3, 2.0, "You say please and thank you."),
    "upset": (0.3, 2.0, "You sound annoyed."),
    "of several lines": (0.5, 2.0, "They have several lines."),
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


def typical_dialogues(features: Floats, count: int, generator: np.random.Generator) -> list[int]:
    """Dialogues that stand for all others: medoids, each the nearest on average to those that are nearest to it.

    Of several searches by turns (each dialogue goes to its nearest medoid, each group chooses its medoid anew), begun
    at random, the one is taken whose dialogues are nearest to their medoids on average.

    >>> typical_dialogues(np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]]), 2, np.random.default_rng(0))
    [1, 4]

    Args:
        features: (N, D); of more than a thousand, so many are drawn.
        count: how many; fewer if dialogues are alike.
        generator: the source of randomness.

    Returns:
        their places, in order.
    """
    places = np.sort(generator.permutation(len(features))[:_COMPARED])
    scaled = (features - features.mean(0)) / np.maximum(features.std(0), 1e-9)
    rows = np.clip(scaled[places], -_FURTHEST, _FURTHEST)
    squares = np.square(rows).sum(1)
    # By way of products: differences of all pairs would take as much memory as there are features.
    apart = np.sqrt(np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0))
    starts = [generator.permutation(len(rows))[:count] for _ in range(_STARTS)]
    best = min((_settled(apart, start) for start in starts), key=lambda chosen: float(apart[:, chosen].min(1).sum()))
    kinds = [place for number, place in enumerate(best) if not number or apart[place, best[:number]].min() > 1e-6]
    return sorted(places[kinds].tolist())


def _settled(apart: Floats, chosen: NDArray[np.intp]) -> NDArray[np.intp]:
    """Medoids that no round moves any more, from some distances (N, N) and a start."""
    for _ in range(_ROUNDS):
        homes = apart[:, chosen].argmin(1)
        groups = [np.flatnonzero(homes == number) for number in range(len(chosen))]
        # A medoid whose group has gone to others that are the same stays where it is.
        moved = np.array(
            [
                group[apart[np.ix_(group, group)].sum(1).argmin()] if len(group) else place
                for group, place in zip(groups, chosen, strict=True)
            ]
        )
        if np.array_equal(moved, chosen):
            break
        chosen = moved
    return chosen


def persona_prompt(dialogue: Dialogue, features: DialogueFeatures) -> str:
    """How the customer of a dialogue writes, in words, with some of theirs.

    E-mail addresses and numbers are left out of what is quoted: they are others' facts. Names and wishes are not.

    Args:
        dialogue: theirs.
        features: of dialogues.
    """
    told = dict(zip(features.names, features([dialogue])[0].tolist(), strict=True))
    lines = [f"Your messages have about {max(1, round(told['words a message']))} words."]
    lines += [habit for name, (least, most, habit) in _TOLD.items() if least < told[name] < most]
    quoted = [f'"{_without_facts(message)}"' for message in _middling(dialogue.customer)]
    return " ".join([*lines, f"This is how you write, about whatever you want: {' '.join(quoted)}"])


def fit_shares(played: Floats, observed: Floats, count: int, generator: np.random.Generator) -> Posterior:
    """Shares of customers of each kind, given what dialogues with each are like and what was observed.

    By approximate Bayesian computation, as parameters are: the prior is even over all mixtures (Dirichlet's with ones),
    and a mixture is simulated by drawing from the dialogues that were played.

    Args:
        played: (P, M, D), features of M dialogues with each of P prompts.
        observed: (S,), the real ones' summary.
        count: real dialogues; as many are drawn for each mixture, and a thousand at most.
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
    posterior = abc_posterior(shares, foretold_by_others(found, shares), foretold, low, high, _ACCEPTED)
    draws = posterior.draws / posterior.draws.sum(1, keepdims=True)
    return Posterior(draws, posterior.weights, posterior.distances)


def _middling(messages: tuple[str, ...]) -> list[str]:
    """The messages of about middle length, in order."""
    lengths = [len(words_of(message)) for message in messages]
    middle = float(np.median(lengths))
    nearest = sorted(range(len(messages)), key=lambda place: abs(lengths[place] - middle))[:_QUOTES]
    return [messages[place] for place in sorted(nearest)]


def _without_facts(message: str) -> str:
    plain = _TAG.sub("", message).replace('"', "'")
    text = _NUMBER.sub("#", _EMAIL.sub("(address)", " ".join(plain.split())))
    return text if len(text) <= _QUOTED_CHARS else f"{text[:_QUOTED_CHARS].rsplit(' ', 1)[0]} …"
