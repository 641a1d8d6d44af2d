"""What the shop sells and who its customers can be, read from ``scenarios/world``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from ss_gym.scenario_files import field_error, read_yaml
from ss_gym.scenarios import SPLITS

CATEGORIES = ("clothing", "shoes", "home", "kitchen", "toys", "sports", "electronics", "gift_card")

_CATALOGUE = ("world", "catalogue.yaml")
_PEOPLE = ("world", "people.yaml")
_MONTHLY = ("world", "subscriptions.yaml")
_File = tuple[str, str]
# Ids of what is delivered monthly begin after these, so that more goods in one file leave the ids of the other alone.
_MONTHLY_PRODUCTS, _MONTHLY_OPTIONS = 5_000, 50_000


@dataclass(frozen=True, slots=True)
class Option:
    """One size or colour of a product; ``quantity`` is what is in stock."""

    variant_id: str
    name: str
    price_cents: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Product:
    """A product with its options, in the order of the file."""

    product_id: str
    title: str
    category: str
    options: tuple[Option, ...]

    def alternatives(self, option: Option) -> tuple[str, ...]:
        """The other options in stock at the same price, by variant id."""
        return tuple(
            other.variant_id
            for other in self.options
            if other is not option and other.quantity > 0 and other.price_cents == option.price_cents
        )


class Catalogue:
    """The products and the people of one split; no product, name or place is in two splits.

    Args:
        products: what is sold.
        people: names and places by kind.
        cities: (city, postal prefix) pairs.

    Attributes:
        products: what is sold, in the order of the file.
        sellable: the products that are no gift cards.
        plain: the sellable products that are no electronics, so have no restocking fee.
        exchangeable: the sellable products of which every option can be exchanged for another.
        by_category: products by category.
        first_names: given names.
        last_names: family names.
        streets: street names without a number.
        domains: e-mail domains that are reserved for examples, so that no address is anybody's.
        cities: (city, postal prefix) pairs.
        stock: units in stock by variant id.
    """

    def __init__(
        self,
        products: tuple[Product, ...],
        people: Mapping[str, tuple[str, ...]],
        cities: tuple[tuple[str, str], ...],
    ) -> None:
        self.products = products
        self.sellable = tuple(p for p in products if p.category != "gift_card")
        self.plain = tuple(p for p in self.sellable if p.category != "electronics")
        self.exchangeable = tuple(p for p in self.sellable if all(p.alternatives(o) for o in p.options))
        self.by_category = {name: tuple(p for p in products if p.category == name) for name in CATEGORIES}
        self.first_names = people["first_names"]
        self.last_names = people["last_names"]
        self.streets = people["streets"]
        self.domains = people["email_domains"]
        self.cities = cities
        self.stock = {o.variant_id: o.quantity for p in products for o in p.options}
        self._alternatives = {o.variant_id: p.alternatives(o) for p in products for o in p.options}

    def alternatives(self, variant_id: str) -> tuple[str, ...]:
        """The variants that a variant can be exchanged for: same product and price, in stock.

        Raises:
            KeyError: if the variant is not of this split.
        """
        return self._alternatives[variant_id]


@cache
def load_catalogue(split: str) -> Catalogue:
    """The catalogue of a split. Ids run through the whole file, so no id is in two splits.

    Args:
        split: train, dev or test.

    Raises:
        ValueError: if the split is unknown or a file is broken; names file, line and field.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
    people, cities = _people(split)
    return Catalogue(_all_products()[split], people, cities)


@cache
def monthly_goods(split: str) -> tuple[Product, ...]:
    """What the shop delivers every month to those who subscribe; none of it is in the catalogue.

    Args:
        split: train, dev or test.

    Raises:
        ValueError: if the file is broken; names file, line and field.
    """
    return _products_of(_MONTHLY, _MONTHLY_PRODUCTS, _MONTHLY_OPTIONS)[split]


def _people(split: str) -> tuple[dict[str, tuple[str, ...]], tuple[tuple[str, str], ...]]:
    data = read_yaml(*_PEOPLE)
    group = data.get(split) if isinstance(data, dict) else None
    if not isinstance(group, dict):
        raise field_error(*_PEOPLE, (split,), "expected a mapping with the names and places of this split")
    cities = group.get("cities")
    if not isinstance(cities, dict) or not cities or not all(isinstance(prefix, str) for prefix in cities.values()):
        raise field_error(*_PEOPLE, (split, "cities"), f"expected a mapping of city to postal prefix, got {cities!r}")
    keys = ("first_names", "last_names", "streets", "email_domains")
    return {key: _strings(group, split, key) for key in keys}, tuple(cities.items())


def _strings(group: Mapping[str, Any], split: str, key: str) -> tuple[str, ...]:
    values = group.get(key)
    if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
        raise field_error(*_PEOPLE, (split, key), f"expected a list of strings, got {values!r}")
    return tuple(values)


@cache
def _all_products() -> Mapping[str, tuple[Product, ...]]:
    return _products_of(_CATALOGUE)


def _products_of(file: _File, product_count: int = 0, option_count: int = 0) -> Mapping[str, tuple[Product, ...]]:
    """The products in a file by split; their ids begin after these numbers."""
    data = read_yaml(*file)
    if not isinstance(data, dict) or tuple(data) != SPLITS:
        raise field_error(*file, (), f"expected the keys {', '.join(SPLITS)}")
    products: dict[str, tuple[Product, ...]] = {}
    for split, entries in data.items():
        if not isinstance(entries, list) or not entries:
            raise field_error(*file, (split,), "expected a list of products")
        group = []
        for index, entry in enumerate(entries):
            product_count += 1
            group.append(_product(file, entry, (split, index), product_count, option_count))
            option_count += len(group[-1].options)
        products[split] = tuple(group)
    return products


def _product(file: _File, entry: object, field: tuple[str | int, ...], number: int, options_before: int) -> Product:
    if not isinstance(entry, dict) or set(entry) != {"title", "category", "price", "options"}:
        raise field_error(*file, field, "expected title, category, price and options")
    title, category, options = entry["title"], entry["category"], entry["options"]
    if not isinstance(title, str) or title != title.lower() or not title:
        raise field_error(*file, (*field, "title"), f"expected lower-case text, got {title!r}")
    if category not in CATEGORIES:
        raise field_error(*file, (*field, "category"), f"expected one of {', '.join(CATEGORIES)}, got {category!r}")
    if not isinstance(options, dict) or not 2 <= len(options) <= 4:
        raise field_error(*file, (*field, "options"), f"expected two to four options, got {options!r}")
    price_cents = _cents(file, entry["price"], (*field, "price"))
    return Product(
        f"P{number}",
        title,
        category,
        tuple(
            _option(file, f"V{options_before + offset}", name, value, price_cents, (*field, "options", str(name)))
            for offset, (name, value) in enumerate(options.items(), start=1)
        ),
    )


def _option(
    file: _File, variant_id: str, name: object, value: object, price_cents: int, field: tuple[str | int, ...]
) -> Option:
    quantity = value
    if isinstance(value, dict) and set(value) == {"stock", "price"}:
        quantity, price_cents = value["stock"], _cents(file, value["price"], (*field, "price"))
    if not isinstance(name, str) or type(quantity) is not int or quantity < 0:
        raise field_error(*file, field, f"expected units in stock or {{stock, price}}, got {value!r}")
    return Option(variant_id, name, price_cents, quantity)


def _cents(file: _File, price: object, field: tuple[str | int, ...]) -> int:
    if type(price) not in (int, float) or not isinstance(price, int | float) or price <= 0:
        raise field_error(*file, field, f"expected a positive price, got {price!r}")
    cents = round(price * 100)
    if abs(price * 100 - cents) > 1e-6:
        raise field_error(*file, field, f"expected at most two decimals, got {price!r}")
    return cents
