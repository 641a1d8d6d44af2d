"""A disguised conversation holds other people and goods, the same ones throughout."""

import re

import pytest

from ss_baselines.tiny.disguise import Disguise, made_up_email, made_up_postal_code, made_up_title, train_disguise
from ss_gym.commerce.catalogue import load_catalogue
from ss_gym.streams import Stream

CALL = '<tool_call>{"name":"verify_identity","arguments":{"email":"ada.khan@mail.example","postal_code":"AB4 1XY"}}'


def test_the_same_string_becomes_the_same_other_string_everywhere() -> None:
    disguise = Disguise(Stream("test"))
    said = disguise("I am ada.khan@mail.example, at AB4 1XY.")
    email, code = re.fullmatch(r"I am (\S+@\S+), at (.{7})\.", said).groups()  # type: ignore[union-attr]
    assert (email, code) != ("ada.khan@mail.example", "AB4 1XY")
    assert disguise(CALL) == CALL.replace("ada.khan@mail.example", email).replace("AB4 1XY", code)


def test_different_strings_stay_different() -> None:
    disguise = Disguise(Stream("test"))
    first, second = disguise("a@mail.example b@mail.example").split()
    assert first != second


def test_whole_titles_are_replaced_and_nothing_else() -> None:
    disguise = Disguise(Stream("test"), ["wall clock"])
    text = disguise("the wall clock on my wall, 24.00, 54321-1, 2025-01-02")
    assert re.fullmatch(r"the [a-z]+ [a-z]+ on my wall, 24\.00, 54321-1, 2025-01-02", text)
    assert "wall clock" not in text


def test_titles_are_made_of_every_piece_that_is_given() -> None:
    pieces = ("qu", "ather", "ft", "ation")
    titles = [made_up_title(Stream(number), pieces) for number in range(200)]
    made = [title for title in titles if re.fullmatch(r"(qu|ather|ft|ation| )+", title)]
    assert 60 < len(made) < 140  # half of them
    assert all(any(piece in title for title in made) for piece in pieces)
    disguised = [Disguise(Stream(number), ["wall clock"], pieces)("wall clock") for number in range(50)]
    assert "wall clock" not in disguised
    assert any(re.fullmatch(r"(qu|ather|ft|ation| )+", title) for title in disguised)
    goods = " and ".join(product.title for product in load_catalogue("train").sellable)
    assert re.search(r"quather|atherqu", " and ".join(train_disguise(Stream(n), pieces)(goods) for n in range(20)))


@pytest.mark.parametrize("number", range(50))
def test_what_is_made_up_has_the_form_of_the_real_thing(number: int) -> None:
    stream = Stream(number)
    assert re.fullmatch(r"[a-z]+[._]?[a-z]+\d{0,2}@[a-z]+\.[a-z]+", made_up_email(stream))
    assert re.fullmatch(r"[A-Z]{2}[1-9] \d[A-Z]{2}", made_up_postal_code(stream))
    assert re.fullmatch(r"[a-z]+ [a-z]+", made_up_title(stream))


def test_most_goods_and_no_gift_card_are_disguised() -> None:
    catalogue = load_catalogue("train")
    kept = [p for p in catalogue.products if train_disguise(Stream(p.product_id))(p.title) == p.title]
    assert {p.title for p in catalogue.products if p.category == "gift_card"} <= {p.title for p in kept}
    assert 0.15 < len(kept) / len(catalogue.products) < 0.6
