"""One small world with every kind of order, and a shop that has it open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ss_gym.commerce.records import Rules, World
from ss_gym.commerce.store import Store
from ss_gym.commerce.toolkit import CommerceToolkit
from ss_gym.types import ToolCall, ToolResult

TODAY = "2025-01-20"
RULES = Rules(
    return_window_days=30,
    credit_window_days=60,
    damage_window_days=90,
    restocking_fee_percent=15,
    transfer_limit_cents=50_000,
    refund_days=5,
)

# 48213: delivered, paid with a gift card (10.00) and a card (54.85).
# 48214: delivered, one item that was refunded before the episode.
# 48215: on its way.  51900: somebody else's.
WORLD = World(
    customers=(("C4821", "Ada Novak", "ada@mail.example"), ("C5190", "Leo Park", "leo@mail.example")),
    addresses=(
        ("C4821-A", "C4821", "1 Elm Street", "Ashbury", "AB407"),
        ("C5190-A", "C5190", "2 Mill Lane", "Carrow", "CW211"),
    ),
    payment_methods=(
        ("48213-P1-M", "C4821", "gift_card", "gift card"),
        ("48213-P2-M", "C4821", "card", "Visa 1234"),
        ("48214-P1-M", "C4821", "card", "Visa 1234"),
        ("48215-P1-M", "C4821", "paypal", "PayPal"),
        ("51900-P1-M", "C5190", "card", "Amex 9876"),
    ),
    orders=(
        ("48213", "C4821", "2025-01-01", "delivered"),
        ("48214", "C4821", "2024-12-20", "delivered"),
        ("48215", "C4821", "2025-01-18", "shipped"),
        ("51900", "C5190", "2025-01-02", "delivered"),
    ),
    order_items=(
        ("48213-1", "48213", "V1", "wool scarf", 2490, 0, "ordered"),
        ("48213-2", "48213", "V4", "linen shirt", 3995, 1, "ordered"),
        ("48214-1", "48214", "V9", "denim jacket", 7900, 0, "refunded"),
        ("48215-1", "48215", "V12", "cotton socks", 950, 0, "ordered"),
        ("51900-1", "51900", "V4", "linen shirt", 3995, 0, "ordered"),
    ),
    shipments=(
        ("48213-S", "48213", "UPS", "2025-01-02", "2025-01-05", "2025-01-04"),
        ("48214-S", "48214", "DHL", "2024-12-21", "2024-12-24", "2024-12-24"),
        ("48215-S", "48215", "DHL", "2025-01-19", "2025-01-23", None),
        ("51900-S", "51900", "UPS", "2025-01-03", "2025-01-06", "2025-01-06"),
    ),
    payments=(
        ("48213-P1", "48213", "48213-P1-M", 1000),
        ("48213-P2", "48213", "48213-P2-M", 5485),
        ("48214-P1", "48214", "48214-P1-M", 7900),
        ("48215-P1", "48215", "48215-P1-M", 950),
        ("51900-P1", "51900", "51900-P1-M", 3995),
    ),
    refunds=(("48214-P1-R", "48214", "48214-P1", 7900, "changed_mind", "2024-12-30"),),
)

# The same with what other families need.
# 48216: two items that are not sent yet, paid with a gift card (30.00) and a card (34.85).
# 51901: one item that is not sent yet, to another address than that of the account.
# 70001, 70002, 70003: an active, a paused and a cancelled subscription, the last one somebody else's.
WIDE_WORLD = WORLD._replace(
    payment_methods=(
        *WORLD.payment_methods,
        ("48216-P1-M", "C4821", "gift_card", "gift card"),
        ("48216-P2-M", "C4821", "card", "Visa 1234"),
        ("51901-P1-M", "C5190", "card", "Amex 9876"),
    ),
    orders=(
        *WORLD.orders,
        ("48216", "C4821", "2025-01-19", "processing"),
        ("51901", "C5190", "2025-01-20", "processing"),
    ),
    order_items=(
        *WORLD.order_items,
        ("48216-1", "48216", "V1", "wool scarf", 2490, 0, "ordered"),
        ("48216-2", "48216", "V4", "linen shirt", 3995, 0, "ordered"),
        ("51901-1", "51901", "V12", "cotton socks", 950, 0, "ordered"),
    ),
    payments=(
        *WORLD.payments,
        ("48216-P1", "48216", "48216-P1-M", 3000),
        ("48216-P2", "48216", "48216-P2-M", 3485),
        ("51901-P1", "51901", "51901-P1-M", 950),
    ),
    destinations=(("51901", "9 Oak Road", "Dunmore", "DM318"),),
    extended_warranties=(("48213-1", 365),),
    claims=(("48213-1-W", "48213-1", "repair", "2025-01-10"),),
    subscriptions=(
        ("70001", "C4821", "V12", "cotton socks", 950, "active", "2024-11-05", "2025-02-05", "2025-05-05"),
        ("70002", "C4821", "V1", "wool scarf", 2490, "paused", "2024-08-31", "2025-03-31", "2024-08-31"),
        ("70003", "C5190", "V4", "linen shirt", 3995, "cancelled", "2024-01-15", None, "2024-07-15"),
    ),
)


@pytest.fixture
def world() -> World:
    return WORLD


@pytest.fixture
def wide_world() -> World:
    return WIDE_WORLD


@pytest.fixture
def wide_store(store: Store) -> Store:
    store.open(WIDE_WORLD, TODAY)
    return store


@pytest.fixture
def wide_call(wide_store: Store, toolkit: CommerceToolkit) -> Callable[..., ToolResult]:
    def call(name: str, **arguments: Any) -> ToolResult:
        return toolkit.call(ToolCall("call_1", name, arguments))

    return call


@pytest.fixture
def rules() -> Rules:
    return RULES


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store("train")
    store.open(WORLD, TODAY)
    yield store
    store.close()


@pytest.fixture
def toolkit(store: Store) -> CommerceToolkit:
    return CommerceToolkit(store, RULES)


@pytest.fixture
def call(toolkit: CommerceToolkit) -> Callable[..., ToolResult]:
    def call(name: str, **arguments: Any) -> ToolResult:
        return toolkit.call(ToolCall("call_1", name, arguments))

    return call
