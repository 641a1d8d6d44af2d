"""What an agent's message asks of the customer, sorted from its acts."""

from __future__ import annotations

from collections.abc import Sequence

from ss_gym.users.acts import Act


class Heard:
    """One message of the agent, sorted by what it asks of the customer.

    Attributes:
        kinds: the kinds of act in it.
        asked: the slots asked for, in order.
        slots: the same as a set.
        questions: the acts that ask for a plain yes.
        refused: whether anything is refused.
        grounds: the reasons of refusal that are named.
        transfer: whether the agent wants to hand over.
        done: the remedies that are claimed to be done.
        proposal: the remedy that is proposed or offered last, if any.
        amounts: every amount of the message, in cents.
        mentions_fee: whether a percentage is named.
    """

    __slots__ = (
        "amounts",
        "asked",
        "done",
        "grounds",
        "kinds",
        "mentions_fee",
        "proposal",
        "questions",
        "refused",
        "slots",
        "transfer",
    )

    def __init__(self, acts: Sequence[Act]) -> None:
        self.kinds = {act.kind for act in acts}
        self.asked = list(dict.fromkeys(act.slot for act in acts if act.kind == "ask" and act.slot))
        self.slots = set(self.asked)
        self.questions = [act for act in acts if act.kind == "ask" and act.slot == "confirmation"]
        self.refused = "refuse" in self.kinds
        self.grounds = {act.ground for act in acts if act.kind == "refuse" and act.ground}
        self.transfer = "transfer" in self.kinds
        self.done = {act.verb for act in acts if act.kind == "confirm_done" and act.verb}
        self.proposal = _best_proposal(acts)
        self.amounts = tuple(dict.fromkeys(cents for act in acts for cents in amounts_of(act)))
        self.mentions_fee = any(value.kind == "percent" for act in acts for value in act.values)


def _best_proposal(acts: Sequence[Act]) -> Act | None:
    """The proposal of a message, or the offer if it only offers."""
    for kind in ("propose", "offer"):
        found = [act for act in acts if act.kind == kind and act.verb]
        if found:
            return found[-1]
    return None


def amounts_of(act: Act) -> tuple[int, ...]:
    """The different amounts of one sentence, in cents."""
    return tuple(dict.fromkeys(int(value.value) for value in act.values if value.kind == "money"))
