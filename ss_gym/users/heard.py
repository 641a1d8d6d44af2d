"""What an agent's message asks of the customer, sorted from its acts."""

from __future__ import annotations

from collections.abc import Sequence

from ss_gym.users.acts import Act, Value

# Slots whose question may list possible answers, "it never arrived" among them.
_OPEN_QUESTIONS = frozenset(("reason", "preference", "item", "other"))


def refusals(acts: Sequence[Act]) -> list[Act]:
    """The acts of a message that refuse something.

    In a message that asks an open question and offers nothing, only a sentence that says what is
    refused is a refusal: any other is one of the answers that it lists.
    """
    refused = [act for act in acts if act.kind == "refuse" and not _of_other_option(act)]
    if refused:
        offers = any(act.kind in ("propose", "offer") for act in acts)
        lists_answers = not offers and any(act.kind == "ask" and act.slot in _OPEN_QUESTIONS for act in acts)
        if lists_answers:
            return [act for act in refused if act.verb]
    return refused


def _of_other_option(act: Act) -> bool:
    """Whether a sentence is only about options that nobody asked for: "the grey one is sold out"."""
    options = [value.owner for value in act.values if value.kind == "option"]
    return bool(options) and "own" not in options


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
        amounts: every amount of the message in cents, but for those of what is refused.
        values: every value of the message.
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
        "values",
    )

    def __init__(self, acts: Sequence[Act]) -> None:
        self.kinds: set[str] = set()
        self.asked: list[str] = []
        self.questions: list[Act] = []
        self.done: set[str] = set()
        self.mentions_fee = False
        self.values: list[Value] = []
        proposals: dict[str, Act] = {}
        amounts: list[int] = []
        # One walk for everything: this is made for each message.
        for act in acts:
            kind, slot, verb, _, values, _ = act
            self.kinds.add(kind)
            if kind == "ask":
                if slot and slot not in self.asked:
                    self.asked.append(slot)
                if slot == "confirmation":
                    self.questions.append(act)
            elif verb and kind != "refuse":
                if kind == "confirm_done":
                    self.done.add(verb)
                elif kind in ("propose", "offer"):
                    proposals[kind] = act
            if values:
                self.values += values
            for value_kind, value, _ in values:
                if value_kind == "money" and not (verb and kind == "refuse"):
                    amounts.append(int(value))
                elif value_kind == "percent":
                    self.mentions_fee = True
        self.slots = set(self.asked)
        refused = refusals(acts) if "refuse" in self.kinds else []
        self.refused = bool(refused)
        self.grounds = {act.ground for act in refused if act.ground}
        self.transfer = "transfer" in self.kinds
        self.proposal = proposals.get("propose") or proposals.get("offer")
        self.amounts = tuple(dict.fromkeys(amounts)) if amounts else ()


def amounts_of(act: Act) -> tuple[int, ...]:
    """The different amounts of one sentence, in cents."""
    return tuple(dict.fromkeys([int(value.value) for value in act.values if value.kind == "money"]))
