"""The kinds of Subscription case, and the one fact that the twin of each has otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, cast

from ss_gym.commerce.catalogue import Product, monthly_goods
from ss_gym.commerce.draft import SubscriptionDraft, day, distinct
from ss_gym.commerce.subscriptions import months_later, months_left
from ss_gym.families.cases import Case, Kind, UnsuitableCase, lives_elsewhere, nothing_special


@dataclass(frozen=True, slots=True)
class SubscriptionRules:
    """The parameters of one shop's subscription policy.

    Attributes:
        notice_days: so many days before a charge, or fewer, that charge can't be stopped any more.
        min_age_days: a subscription that is younger can't be paused.
        max_pause_months: the longest pause.
        early_fee_percent: of the price of each month of the commitment that is left, for ending it early.
        transfer_limit_cents: a fee above this goes to a human.
    """

    notice_days: int
    min_age_days: int
    max_pause_months: int
    early_fee_percent: int
    transfer_limit_cents: int

    SHORT: ClassVar[Mapping[str, str]] = {
        "notice_days": "notice",
        "min_age_days": "age",
        "max_pause_months": "pause",
        "early_fee_percent": "fee",
        "transfer_limit_cents": "limit",
    }
    WINDOW: ClassVar[str] = ""
    LIMITS: ClassVar[Mapping[str, str]] = {"notice": "notice_days", "too_new": "min_age_days"}


# The first word of a kind's name is what the customer wants.
WISHES = {"pause": "pause", "resume": "resume", "end": "unsubscribe"}
# Kinds whose customer gives a number that leads nowhere, and those whose customer must have another subscription.
_NUMBER_GIVEN = frozenset(("foreign", "missing", "wrong_number"))
_TWO = frozenset(("missing",))
# The next charge is at most so many days ahead, so that the last one, a month before it, is past.
_MOST_DAYS = 27
_MOST_OVER = 4  # months that a wish is longer than the longest pause
_IN_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def begin(case: Case, kind: Kind) -> None:
    """Draws the customer's subscription, in a state in which the wish is granted, and maybe another one."""
    stream, rules = case.stream, _rules(case)
    wish, _, about = kind.name.partition("_")
    case.wish = WISHES[wish]
    first, second = distinct(stream, 10_000, 89_999, 2)
    product, other = stream.sample(monthly_goods(case.split), 2)
    notice = rules.notice_days
    case.late = notice if stream.chance(0.3) else stream.between(1, notice)
    days = notice + 1 if stream.chance(0.2) else stream.between(notice + 1, _MOST_DAYS)
    meant = case.subscribed = _subscription(case, str(first), product, days, stream.between(5, 20))
    case.draft.subscriptions.append(meant)
    if case.wish == "resume":
        meant.status = "paused"
    if case.wish == "pause":
        _wish_for(case, stream.between(2, rules.max_pause_months))
    if stream.chance(0.5) or about in _TWO:
        another = _subscription(case, str(second), other, stream.between(1, _MOST_DAYS), stream.between(5, 20))
        another.status = "paused" if stream.chance(0.2) else "active"
        case.draft.subscriptions.append(another)
    case.said_order_id = meant.subscription_id if stream.chance(0.8) or about in _NUMBER_GIVEN else ""


# --- what makes a case -----------------------------------------------------------------------------


def _young_enough_later(case: Case) -> None:
    """It runs for some months only, and is committed beyond today, so that it can have begun just now."""
    meant = case.subscription
    meant.started_on = months_later(_charge(meant), -case.stream.between(5, 10))
    meant.committed_until = months_later(meant.started_on, 12)


def _too_long(case: Case) -> None:
    """They wish for a longer pause than there is."""
    _wish_for(case, _rules(case).max_pause_months + case.stream.between(1, _MOST_OVER))


def _too_long_and_young(case: Case) -> None:
    """The same, of one that can have begun just now."""
    _young_enough_later(case)
    _too_long(case)


def _first_year(case: Case) -> None:
    """It runs for less than a year, and a short commitment is over."""
    meant = case.subscription
    meant.started_on = months_later(_charge(meant), -case.stream.between(5, 11))
    meant.committed_until = months_later(meant.started_on, 3)
    _check_fee(case, months_later(meant.started_on, 12))


def _first_year_wrong_number(case: Case) -> None:
    """The same, of a customer who misremembers one digit of the number."""
    _first_year(case)
    digits = list(case.said_order_id)
    place = case.stream.between(1, 4)
    digits[place] = str((int(digits[place]) + case.stream.between(1, 9)) % 10)
    case.said_order_id = "".join(digits)
    if any(each.subscription_id == case.said_order_id for each in case.draft.subscriptions):
        raise UnsuitableCase("the misremembered number is another subscription")


def _first_year_no_number(case: Case) -> None:
    """The same, of a customer who does not know the number."""
    _first_year(case)
    case.said_order_id = ""


def _committed(case: Case) -> None:
    """The commitment of a year is not over."""
    _first_year(case)
    case.subscription.committed_until = months_later(case.subscription.started_on, 12)


def _near_limit(case: Case) -> None:
    """The early fee is a little under the transfer limit."""
    meant, rules = case.subscription, _rules(case)
    meant.started_on = months_later(_charge(meant), -case.stream.between(6, 9))
    meant.committed_until = months_later(meant.started_on, 12)
    left = months_left(day(case.draft.today), meant.committed_until)
    share = case.stream.between(70, 99)
    meant.price_cents = rules.transfer_limit_cents * share // (left * rules.early_fee_percent)


# --- what its twin has otherwise -------------------------------------------------------------------


def _charged_soon(case: Case) -> None:
    """The next charge is near."""
    case.subscription.next_charge_on = day(case.draft.today + case.late)


def _begun_just_now(case: Case) -> None:
    """It began with the last charge."""
    case.subscription.started_on = months_later(_charge(case.subscription), -1)


def _paused_before(case: Case) -> None:
    """It has been paused already."""
    case.subscription.status = "paused"


def _not_paused(case: Case) -> None:
    """It is active."""
    case.subscription.status = "active"


def _cancelled_before(case: Case) -> None:
    """It has been cancelled."""
    case.subscription.status, case.subscription.next_charge_on = "cancelled", None


def _committed_for_a_year(case: Case) -> None:
    """The commitment is for a year, which is not over."""
    case.subscription.committed_until = months_later(case.subscription.started_on, 12)


def _committed_for_two_years(case: Case) -> None:
    """The commitment is for two years."""
    case.subscription.committed_until = months_later(case.subscription.started_on, 24)


def _somebody_elses(case: Case) -> None:
    """The subscription is another customer's."""
    case.subscription.owner = case.stranger
    case.draft.people.append(case.stranger)


def _not_there(case: Case) -> None:
    """There is no such subscription."""
    case.draft.subscriptions.remove(case.subscription)


# --- parts -----------------------------------------------------------------------------------------


def _rules(case: Case) -> SubscriptionRules:
    return cast(SubscriptionRules, case.rules)


def _charge(subscription: SubscriptionDraft) -> str:
    """The date of the next charge of one that is not cancelled."""
    assert subscription.next_charge_on is not None
    return subscription.next_charge_on


def _subscription(case: Case, number: str, product: Product, days: int, months: int) -> SubscriptionDraft:
    """An active subscription, charged in so many days, begun so many months before that; its commitment is over."""
    stream = case.stream
    option = stream.choice(product.options)
    charge = day(case.draft.today + days)
    started = months_later(charge, -months)
    commitments = [length for length in (3, 6, 12) if length < months]
    until = months_later(started, stream.choice(commitments))
    return SubscriptionDraft(
        number, case.customer, option.variant_id, product.title, option.price_cents, started, charge, until
    )


def _wish_for(case: Case, months: int) -> None:
    """Lets the customer wish for a pause of so many months, in digits or in words."""
    case.months = months
    case.details["months"] = f"{_IN_WORDS[months] if case.stream.chance(0.4) else months} months"


def _check_fee(case: Case, until: str) -> None:
    """Lowers the price where the fee of a commitment until that day would go to a human."""
    meant, rules = case.subscription, _rules(case)
    left = months_left(day(case.draft.today), until)
    most = rules.transfer_limit_cents * 99 // (left * rules.early_fee_percent)
    meant.price_cents = min(meant.price_cents, most)


KINDS = (
    Kind("pause_notice", nothing_special, _charged_soon, ("pause", "refuse")),
    Kind("pause_too_new", _young_enough_later, _begun_just_now, ("pause", "refuse")),
    Kind("pause_paused", nothing_special, _paused_before, ("pause", "refuse")),
    Kind("pause_cancelled", nothing_special, _cancelled_before, ("pause", "refuse")),
    Kind("pause_too_long_notice", _too_long, _charged_soon, ("pause", "refuse")),
    Kind("pause_too_long_new", _too_long_and_young, _begun_just_now, ("pause", "refuse")),
    Kind("pause_too_long_paused", _too_long, _paused_before, ("pause", "refuse")),
    Kind("pause_too_long_cancelled", _too_long, _cancelled_before, ("pause", "refuse")),
    Kind("resume_active", nothing_special, _not_paused, ("resume", "refuse")),
    Kind("resume_cancelled", nothing_special, _cancelled_before, ("resume", "refuse")),
    Kind("end_committed", _first_year, _committed_for_a_year, ("unsubscribe", "unsubscribe")),
    Kind("end_notice", nothing_special, _charged_soon, ("unsubscribe", "refuse")),
    Kind("end_early_notice", _committed, _charged_soon, ("unsubscribe", "refuse")),
    Kind("end_cancelled", nothing_special, _cancelled_before, ("unsubscribe", "refuse")),
    Kind("end_over_limit", _near_limit, _committed_for_two_years, ("unsubscribe", "transfer")),
    Kind("pause_foreign", nothing_special, _somebody_elses, ("pause", "refuse")),
    Kind("resume_foreign", nothing_special, _somebody_elses, ("resume", "refuse")),
    Kind("end_foreign", nothing_special, _somebody_elses, ("unsubscribe", "refuse")),
    Kind("pause_missing", nothing_special, _not_there, ("pause", "refuse")),
    Kind("end_missing", nothing_special, _not_there, ("unsubscribe", "refuse")),
    Kind("pause_unverified", nothing_special, lives_elsewhere, ("pause", "refuse")),
    Kind("resume_unverified", nothing_special, lives_elsewhere, ("resume", "refuse")),
    Kind("end_unverified", nothing_special, lives_elsewhere, ("unsubscribe", "refuse")),
    Kind("end_wrong_number", _first_year_wrong_number, _committed_for_a_year, ("unsubscribe", "unsubscribe")),
    Kind("end_unknown_number", _first_year_no_number, _committed_for_a_year, ("unsubscribe", "unsubscribe")),
)
