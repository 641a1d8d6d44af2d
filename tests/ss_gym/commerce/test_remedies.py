"""Each remedy, as it shows in the effects that the real writes leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ss_gym.commerce import changes, ledger, subscriptions
from ss_gym.commerce.records import Effect
from ss_gym.commerce.remedies import (
    REMEDIES,
    Remedy,
    Write,
    add_remedy,
    made,
    remedied,
    remedy_between,
    total,
    verb_of,
)
from ss_gym.commerce.store import Store

NOTHING: frozenset[Effect] = frozenset()

# What is written for each remedy, the subjects that it marks and what it comes to.
WRITES: dict[str, tuple[Callable[..., Any], tuple[Any, ...], set[str], int]] = {
    "refund": (ledger.issue_refund, ("48213", ["48213-1"], 2490, "48213-P2", "damaged"), {"48213-1"}, 2490),
    "store_credit": (ledger.issue_store_credit, ("51900", ["51900-1"], 3995), {"51900-1"}, 3995),
    "exchange": (ledger.create_exchange, ("48213-1", "V3"), {"48213-1"}, 0),
    # 24.90 and 39.95, over two payments: 30.00 and 34.85.
    "cancel": (changes.cancel_items, ("48216", ["48216-1", "48216-2"]), {"48216-1", "48216-2"}, 2490 + 3995),
    "address_change": (changes.change_address, ("48216", "5 Quay Road", "Dunmore", "DM318"), {"48216"}, 0),
    "replacement": (changes.create_claim, ("48213-1", "replacement"), {"48213-1"}, 0),
    "repair": (changes.create_claim, ("48213-1", "repair"), {"48213-1"}, 0),
    "pause": (subscriptions.pause, ("70001", 2), {"70001"}, 0),
    "resume": (subscriptions.resume, ("70002",), {"70002"}, 0),
    "unsubscribe": (subscriptions.cancel, ("70001", 1900), {"70001"}, 1900),
}


def after(store: Store, verb: str) -> frozenset[Effect]:
    """The effects once a remedy was made."""
    write, arguments, _, _ = WRITES[verb]
    store.atomically(write, store, *arguments)
    return store.effects()


def test_every_remedy_has_a_write() -> None:
    assert list(WRITES) == list(REMEDIES)


@pytest.mark.parametrize("verb", WRITES)
def test_a_write_shows_as_its_remedy_with_its_subjects_and_amount(wide_store: Store, verb: str) -> None:
    _, _, subjects, cents = WRITES[verb]
    effects = after(wide_store, verb)
    assert remedy_between(4, NOTHING, effects) == Write(4, verb, frozenset(subjects), cents)
    assert remedied(effects) == subjects
    assert {verb_of(effect) for effect in effects} - {""} == {verb}
    assert wide_store.integrity_errors() == []


@pytest.mark.parametrize("verb", WRITES)
def test_a_remedy_shows_beside_all_that_were_made_before_it(wide_store: Store, verb: str) -> None:
    # What can be done besides any other: a remedy of somebody else, or of another kind of thing.
    for earlier, write, arguments in (
        ("store_credit", ledger.issue_store_credit, ("48213", ["48213-2"], 100)),
        ("cancel", changes.cancel_items, ("51901", ["51901-1"])),
    ):
        before = wide_store.effects()
        wide_store.atomically(write, wide_store, *arguments)
        assert (found := remedy_between(1, before, wide_store.effects())) is not None and found.verb == earlier
    before = wide_store.effects()
    _, _, subjects, cents = WRITES[verb]
    assert remedy_between(2, before, after(wide_store, verb)) == Write(2, verb, frozenset(subjects), cents)


@pytest.mark.parametrize("verb", WRITES)
def test_what_was_made_is_the_remedy_and_the_payment_that_it_came_with(wide_store: Store, verb: str) -> None:
    # Whoever cancels pays money back, too.
    assert made(after(wide_store, verb)) == ({"cancel", "refund"} if verb == "cancel" else {verb})


def test_the_parts_of_a_split_refund_are_one_remedy_and_a_payment_each(wide_store: Store) -> None:
    def pay(cents: int, payment: str) -> frozenset[Effect]:
        arguments = ("48213", ["48213-2"], cents, payment, "damaged")
        wide_store.atomically(ledger.issue_refund, wide_store, *arguments)
        return wide_store.effects()

    first = pay(1000, "48213-P1")
    second = pay(2995, "48213-P2")
    assert remedy_between(1, NOTHING, first) == Write(1, "refund", frozenset(("48213-2",)), 1000)
    # The item is refunded already: the payment alone tells.
    assert remedy_between(2, first, second) == Write(2, "refund", frozenset(), 2995)
    assert total(second, "refund") == 3995
    assert remedied(second) == {"48213-2"}


def test_a_payment_of_more_of_the_same_is_what_was_added() -> None:
    before = frozenset({("refund", "1-P1", 500), ("item", "1-1", "refunded")})
    later = frozenset({("refund", "1-P1", 1200), ("item", "1-1", "refunded")})
    assert remedy_between(3, before, later) == Write(3, "refund", frozenset(), 700)
    credits = frozenset({("store_credit", "C1", 300)})
    assert remedy_between(3, NOTHING, credits) == Write(3, "store_credit", frozenset(), 300)


def test_what_is_no_remedy_gives_none() -> None:
    others: tuple[Effect, ...] = (
        ("ticket", "other"),
        ("order", "1", "cancelled"),
        ("fee", "70001", 950),
        ("exchange", "1-1", "V2"),
        ("other", "inventory", "UPDATE", "V1"),
        ("refund", "1-P1", 500),
        ("store_credit", "C1", 500),
        ("item", "1-1", "ordered"),
        ("claim", "1-1", "nothing"),
        ("subscription", "70001", "expired", ""),
    )
    assert {verb_of(effect) for effect in others} == {""}
    assert remedied(others) == set()
    assert remedy_between(1, NOTHING, frozenset(others[:5])) is None
    same = frozenset(others)
    assert remedy_between(1, same, same) is None
    assert made(others) == {"refund", "store_credit"}


def test_a_subscription_that_was_paused_and_resumed_was_resumed(wide_store: Store) -> None:
    wide_store.atomically(subscriptions.pause, wide_store, "70001", 1)
    paused = wide_store.effects()
    wide_store.atomically(subscriptions.resume, wide_store, "70001")
    resumed = wide_store.effects()
    assert remedy_between(2, paused, resumed) == Write(2, "resume", frozenset(("70001",)), 0)
    assert made(resumed) == {"resume"}


def test_no_two_remedies_show_the_same_way() -> None:
    shown = [(remedy.kind, remedy.status) for remedy in REMEDIES.values()]
    assert len(set(shown)) == len(shown)
    # Any value of such a kind is the remedy, so none other may have the kind.
    for kind in [kind for kind, status in shown if not status]:
        assert [each for each, _ in shown].count(kind) == 1


def test_a_remedy_whose_amount_matters_has_one() -> None:
    for remedy in REMEDIES.values():
        assert remedy.paid_as or not (remedy.told or remedy.follows)
        assert not (remedy.told and remedy.follows)


def test_a_remedy_that_is_added_again_is_the_same() -> None:
    before = dict(REMEDIES)
    add_remedy("repair", REMEDIES["repair"])
    assert dict(REMEDIES) == before


@pytest.mark.parametrize(
    ("verb", "remedy", "problem"),
    [
        ("repair", Remedy("loan", ""), "the remedy repair is known already, as Remedy"),
        (
            "mend",
            Remedy("claim", "repair"),
            r"the effects \('claim', 'repair'\) of the remedy mend mark repair already",
        ),
    ],
)
def test_a_remedy_cannot_take_the_name_or_the_mark_of_another(verb: str, remedy: Remedy, problem: str) -> None:
    before = dict(REMEDIES)
    with pytest.raises(ValueError, match=problem):
        add_remedy(verb, remedy)
    assert dict(REMEDIES) == before
