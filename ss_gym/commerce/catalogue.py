"""What the shop sells and who its customers can be, read from ``scenarios/world``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from ss_gym.scenario_files import field_error, read_yaml
from ss_gym.streams import Stream

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
CATEGORIES = ("clothing", "shoes", "home", "kitchen", "toys", "sports", "electronics", "gift_card")

_CATALOGUE = ("world", "catalogue.yaml")
_PEOPLE = ("world", "people.yaml")
# Without letters that are mistaken for digits or for each other.
_POSTAL_LETTERS = "ABDEFGHJLNPQRSTUWXYZ"


@dataclass(frozen=True, slots=True)
class Variant:
    """One option of a product; ``in_stock`` counts units."""

    variant_id: str
    product_id: str
    option: str
    price_cents: int
    in_stock: int


@dataclass(frozen=True, slots=True)
class Product:
    """A product with its variants, in the order of the file."""

    product_id: str
    title: str
    category: str
    variants: tuple[Variant, ...]

    def alternatives(self, variant_id: str) -> tuple[Variant, ...]:
        """The variants in stock that cost the same as the given one, itself aside."""
        price = next(v.price_cents for v in self.variants if v.variant_id == variant_id)
        return tuple(v for v in self.variants if v.variant_id != variant_id and v.in_stock and v.price_cents == price)


@dataclass(frozen=True, slots=True)
class People:
    """The names and places that customers are made of.

    Attributes:
        first_names: given names.
        last_names: family names.
        streets: street names without a number.
        cities: (city, postal area) pairs.
        email_domains: domains reserved for examples, so that no address is anybody's.
    """

    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    streets: tuple[str, ...]
    cities: tuple[tuple[str, str], ...]
    email_domains: tuple[str, ...]


def postal_code(area: str, stream: Stream) -> str:
    """A postal code in an area, such as ``"BR7 4KD"``."""
    return f"{area} {stream.below(10)}{stream.choice(_POSTAL_LETTERS)}{stream.choice(_POSTAL_LETTERS)}"


@cache
def load_catalogue(split: Split) -> tuple[Product, ...]:
    """The products of a split. Ids run through the whole file, so no id is in two splits.

    Raises:
        ValueError: if the file is broken; names file, line and field.
    """
    return _all_products()[split]


@cache
def load_people(split: Split) -> People:
    """The names and places of a split.

    Raises:
        ValueError: if the file is broken; names file, line and field.
    """
    data = read_yaml(*_PEOPLE)
    group = data.get(split) if isinstance(data, dict) else None
    if not isinstance(group, dict):
        raise field_error(*_PEOPLE, (split,), "expected a mapping with the names and places of this split")
    lists = {key: _strings(group, split, key) for key in ("first_names", "last_names", "streets", "email_domains")}
    cities = group.get("cities")
    if not isinstance(cities, dict) or not cities or not all(isinstance(area, str) for area in cities.values()):
        raise field_error(*_PEOPLE, (split, "cities"), f"expected a mapping of city to postal area, got {cities!r}")
    return People(cities=tuple(cities.items()), **lists)


def _strings(group: Mapping[str, Any], split: str, key: str) -> tuple[str, ...]:
    values = group.get(key)
    if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
        raise field_error(*_PEOPLE, (split, key), f"expected a list of strings, got {values!r}")
    return tuple(values)


@cache
def _all_products() -> Mapping[str, tuple[Product, ...]]:
    data = read_yaml(*_CATALOGUE)
    if not isinstance(data, dict) or tuple(data) != SPLITS:
        raise field_error(*_CATALOGUE, (), f"expected the keys {', '.join(SPLITS)}")
    products: dict[str, tuple[Product, ...]] = {}
    product_count = variant_count = 0
    for split, entries in data.items():
        if not isinstance(entries, list) or not entries:
            raise field_error(*_CATALOGUE, (split,), "expected a list of products")
        group = []
        for index, entry in enumerate(entries):
            product_count += 1
            group.append(_product(entry, (split, index), product_count, variant_count))
            variant_count += len(group[-1].variants)
        products[split] = tuple(group)
    return products


def _product(entry: object, field: tuple[str | int, ...], number: int, variants_before: int) -> Product:
    if not isinstance(entry, dict) or set(entry) != {"title", "category", "price", "options"}:
        raise field_error(*_CATALOGUE, field, "expected title, category, price and options")
    title, category, options = entry["title"], entry["category"], entry["options"]
    if not isinstance(title, str) or title != title.lower() or not title:
        raise field_error(*_CATALOGUE, (*field, "title"), f"expected lower-case text, got {title!r}")
    if category not in CATEGORIES:
        raise field_error(*_CATALOGUE, (*field, "category"), f"expected one of {', '.join(CATEGORIES)}, got {category!r}")
    if not isinstance(options, dict) or not 2 <= len(options) <= 4:
        raise field_error(*_CATALOGUE, (*field, "options"), f"expected two to four options, got {options!r}")
    price_cents = _cents(entry["price"], (*field, "price"))
    variants = []
    for offset, (option, value) in enumerate(options.items(), start=1):
        stock, price = value, price_cents
        if isinstance(value, dict) and set(value) == {"stock", "price"}:
            stock, price = value["stock"], _cents(value["price"], (*field, "options", option, "price"))
        if not isinstance(stock, int) or stock < 0:
            where = (*field, "options", str(option))
            raise field_error(*_CATALOGUE, where, f"expected units in stock or {{stock, price}}, got {value!r}")
        variants.append(Variant(f"V{variants_before + offset}", f"P{number}", str(option), price, stock))
    return Product(f"P{number}", title, category, tuple(variants))


def _cents(price: object, field: tuple[str | int, ...]) -> int:
    if not isinstance(price, int | float) or price <= 0 or abs(price * 100 - round(price * 100)) > 1e-6:
        raise field_error(*_CATALOGUE, field, f"expected a positive price with at most two decimals, got {price!r}")
    return round(price * 100)
