from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest

from ss_gym import scenario_files
from ss_gym.commerce import catalogue as module
from ss_gym.commerce.catalogue import CATEGORIES, load_catalogue, monthly_goods
from ss_gym.scenarios import SPLITS

EVERY = [load_catalogue(split) for split in SPLITS]


def test_no_product_name_or_place_is_in_two_splits() -> None:
    for one, other in combinations(EVERY, 2):
        assert not {p.title for p in one.products} & {p.title for p in other.products}
        assert not {p.product_id for p in one.products} & {p.product_id for p in other.products}
        assert not set(one.first_names) & set(other.first_names)
        assert not set(one.last_names) & set(other.last_names)
        assert not set(one.streets) & set(other.streets)
        assert not set(one.domains) & set(other.domains)
        assert not dict(one.cities).keys() & dict(other.cities).keys()
        assert not set(dict(one.cities).values()) & set(dict(other.cities).values())


def test_variant_ids_are_unique() -> None:
    ids = Counter(o.variant_id for c in EVERY for p in c.products for o in p.options)
    assert max(ids.values()) == 1


@pytest.mark.parametrize("catalogue", EVERY, ids=SPLITS)
def test_a_split_has_enough_of_everything(catalogue: module.Catalogue) -> None:
    assert len(catalogue.products) == 60
    assert min(len(catalogue.by_category[name]) for name in CATEGORIES) >= 3
    assert len(catalogue.first_names) * len(catalogue.last_names) >= 1000
    assert len(catalogue.exchangeable) >= 30
    stuck = [o for p in catalogue.products for o in p.options if not catalogue.alternatives(o.variant_id)]
    assert len(stuck) >= 15  # so that an exchange is not always possible
    electronics = [o.price_cents for p in catalogue.by_category["electronics"] for o in p.options]
    assert min(electronics) < 10_000 and max(electronics) >= 49_900


@pytest.mark.parametrize("catalogue", EVERY, ids=SPLITS)
def test_a_title_is_never_ambiguous(catalogue: module.Catalogue) -> None:
    heads = Counter(p.title.split()[-1] for p in catalogue.sellable)
    assert [head for head, count in heads.items() if count > 1] == []
    titles = [p.title for p in catalogue.products]
    assert [(a, b) for a in titles for b in titles if a != b and a in b] == []
    assert all(title == title.lower() and not any(c.isdigit() for c in title) for title in titles)


@pytest.mark.parametrize("catalogue", EVERY, ids=SPLITS)
def test_alternatives_are_in_stock_at_the_same_price(catalogue: module.Catalogue) -> None:
    for product in catalogue.products:
        by_id = {o.variant_id: o for o in product.options}
        for option in product.options:
            expected = [
                o.variant_id
                for o in by_id.values()
                if o.quantity and o.price_cents == option.price_cents and o.variant_id != option.variant_id
            ]
            assert list(catalogue.alternatives(option.variant_id)) == expected


def test_an_unknown_split_is_named() -> None:
    with pytest.raises(ValueError, match="unknown split 'val': choose one of train, dev, test"):
        load_catalogue("val")


GOOD = """\
train:
- {title: wool scarf, category: clothing, price: 24.90, options: {grey: 5, red: 12}}
dev:
- {title: straw hat, category: clothing, price: 22.90, options: {natural: 7, black: 3}}
test:
- title: satin robe
  category: clothing
  price: 46.90
  options: {pearl: 2, jade: {stock: 1, price: 50.00}}
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Reads the catalogue from a text instead of the file."""

    def clear() -> None:
        for cached in (
            scenario_files.folder,
            scenario_files.folder_of,
            scenario_files.read_text,
            scenario_files.read_yaml,
        ):
            cached.cache_clear()
        module._all_products.cache_clear()

    def write(text: str) -> None:
        (tmp_path / "_scenarios" / "world").mkdir(parents=True, exist_ok=True)
        (tmp_path / "_scenarios" / "world" / "catalogue.yaml").write_text(text)
        monkeypatch.setattr(scenario_files, "_PACKAGE", tmp_path)
        clear()

    yield write
    monkeypatch.undo()
    clear()


def test_a_price_of_its_own_belongs_to_its_option(written) -> None:
    written(GOOD)
    (robe,) = module._all_products()["test"]
    assert [(o.name, o.price_cents, o.quantity) for o in robe.options] == [("pearl", 4690, 2), ("jade", 5000, 1)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("price: 46.90", "price: cheap", r"world/catalogue.yaml, line 8, field test\[0\].price: .*'cheap'"),
        ("price: 46.90", "price: 46.905", r"line 8, field test\[0\].price: expected at most two decimals"),
        ("price: 46.90", "price: -1", r"line 8, field test\[0\].price"),
        ("stock: 1, price: 50.00", "stock: 1, price: 0", r"line 9, field test\[0\].options.jade.price"),
        ("pearl: 2", "pearl: many", r"line 9, field test\[0\].options.pearl: .*'many'"),
        ("pearl: 2, ", "", r"line 9, field test\[0\].options: expected two to four"),
        ("satin robe", "Satin robe", r"line 6, field test\[0\].title: expected lower-case"),
        ("category: clothing\n", "category: clothes\n", r"line 7, field test\[0\].category: .*'clothes'"),
        ("  category: clothing\n", "", r"line 6, field test\[0\]: expected title, category, price and options"),
        ("dev:", "validation:", r"catalogue.yaml, line 1: expected the keys train, dev, test"),
        ("dev:\n", "dev: {}\nwhatever:\n", "expected the keys"),
        ("price: 46.90", "price: [", r"world/catalogue.yaml, line 10: .*\(.* sequence, line 8\)"),
    ],
)
def test_a_broken_catalogue_names_file_line_and_field(written, old: str, new: str, message: str) -> None:
    assert old in GOOD
    head, tail = GOOD.rsplit(old, 1)
    written(head + new + tail)
    with pytest.raises(ValueError, match=message):
        module._all_products()


def test_what_is_delivered_monthly_has_ids_and_titles_of_its_own() -> None:
    goods = [product for split in SPLITS for product in monthly_goods(split)]
    sold = [product for catalogue in EVERY for product in catalogue.products]
    for name in ("product_id", "title"):
        assert not {getattr(p, name) for p in goods} & {getattr(p, name) for p in sold}
    ids = Counter(option.variant_id for product in (*goods, *sold) for option in product.options)
    assert max(ids.values()) == 1
    for split in SPLITS:
        heads = Counter(product.title.split()[-1] for product in monthly_goods(split))
        assert [head for head, count in heads.items() if count > 1] == []
