"""Customers of the shop who are in no scenario: their data is there, and must not be told."""

from __future__ import annotations

from datetime import date

from ss_gym.commerce.catalogue import Catalogue, Option, Product
from ss_gym.commerce.records import World
from ss_gym.streams import Stream

CUSTOMERS = 40
# Ids from here on are theirs; a scenario's own ids are below.
FIRST_CUSTOMER = 9001
FIRST_ORDER = 90001

# Their orders are older than any scenario's date.
_FIRST_DAY = date(2023, 9, 1).toordinal()
_DAYS = 90


def draw(split: str, catalogue: Catalogue) -> World:
    """The background customers of a split and their orders, always the same."""
    stream = Stream("background", split)
    rows: dict[str, list[tuple[object, ...]]] = {table: [] for table in World._fields}
    order_number = FIRST_ORDER
    for number in range(CUSTOMERS):
        customer_id = f"C{FIRST_CUSTOMER + number}"
        first, last = stream.choice(catalogue.first_names), stream.choice(catalogue.last_names)
        city, prefix = stream.choice(catalogue.cities)
        # The number keeps the address apart from those of the scenarios, which have none so long.
        email = f"{first}.{last}{FIRST_CUSTOMER + number}@{stream.choice(catalogue.domains)}".lower()
        street = f"{stream.between(1, 180)} {stream.choice(catalogue.streets)}"
        rows["customers"].append((customer_id, f"{first} {last}", email))
        rows["addresses"].append(
            (f"{customer_id}-A", customer_id, street, city, f"{prefix}{stream.between(0, 99):02d}")
        )
        for _ in range(stream.between(1, 2)):
            _draw_order(stream, catalogue, customer_id, str(order_number), rows)
            order_number += 1
    return World(**{table: tuple(found) for table, found in rows.items()})  # type: ignore[arg-type]


def _draw_order(
    stream: Stream, catalogue: Catalogue, customer_id: str, order_id: str, rows: dict[str, list[tuple[object, ...]]]
) -> None:
    products = stream.sample(catalogue.products, stream.between(1, 3))
    bought: list[tuple[Product, Option]] = [(product, stream.choice(product.options)) for product in products]
    placed = _FIRST_DAY + stream.below(_DAYS)
    shipped, delivered = placed + 1, placed + stream.between(3, 7)
    days = [date.fromordinal(day).isoformat() for day in (placed, shipped, delivered)]
    kind, label = stream.choice((("card", f"Visa {stream.between(1000, 9999)}"), ("paypal", "PayPal")))
    rows["payment_methods"].append((f"{order_id}-P1-M", customer_id, kind, label))
    rows["orders"].append((order_id, customer_id, days[0], "delivered"))
    for index, (product, option) in enumerate(bought, start=1):
        rows["order_items"].append(
            (f"{order_id}-{index}", order_id, option.variant_id, product.title, option.price_cents, 0, "ordered")
        )
    rows["shipments"].append(
        (f"{order_id}-S", order_id, stream.choice(("UPS", "DHL", "FedEx")), days[1], days[2], days[2])
    )
    total = sum(option.price_cents for _, option in bought)
    rows["payments"].append((f"{order_id}-P1", order_id, f"{order_id}-P1-M", total))
