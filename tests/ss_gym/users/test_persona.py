import pytest

from ss_gym.streams import Stream
from ss_gym.users.persona import REGISTERS, Persona, draw_persona

SPLITS = ("train", "dev", "test")


def draws(split: str, count: int = 2000) -> list[Persona]:
    return [draw_persona(Stream(index, "persona"), split) for index in range(count)]


def test_equal_streams_give_equal_personas() -> None:
    assert draws("train", 50) == draws("train", 50)


@pytest.mark.parametrize("split", SPLITS)
def test_every_field_stays_in_its_range(split: str) -> None:
    for persona in draws(split):
        assert persona.register in REGISTERS
        assert persona.channel in ("chat", "email")
        assert 0.0 <= persona.noise <= 0.08
        assert 0.0 <= persona.verbosity <= 1.0
        assert 0.1 <= persona.disclosure <= 1.0
        assert 3 <= persona.patience <= 8
        assert 0 <= persona.insists <= 3


@pytest.mark.parametrize("split", SPLITS)
def test_every_kind_of_customer_occurs(split: str) -> None:
    personas = draws(split)
    assert {persona.register for persona in personas} == set(REGISTERS)
    assert {persona.channel for persona in personas} == {"chat", "email"}
    assert {persona.hurried for persona in personas} == {True, False}
    assert {persona.checks_account for persona in personas} == {True, False}
    assert {persona.noise == 0.0 for persona in personas} == {True, False}


def test_held_out_customers_reach_beyond_those_of_train() -> None:
    train, test = draws("train"), draws("test")
    assert min(persona.patience for persona in test) < min(persona.patience for persona in train)
    assert max(persona.noise for persona in test) > max(persona.noise for persona in train)
    assert max(persona.insists for persona in test) > max(persona.insists for persona in train)
    assert min(persona.disclosure for persona in test) < min(persona.disclosure for persona in train)


def test_chatty_customers_are_more_verbose_than_curt_ones() -> None:
    personas = draws("train")
    chatty = min(persona.verbosity for persona in personas if persona.register == "chatty")
    curt = max(persona.verbosity for persona in personas if persona.register == "curt")
    assert curt < chatty


def test_without_noise_changes_nothing_else() -> None:
    persona = Persona(register="upset", noise=0.05, hurried=True)
    assert persona.without_noise() == Persona(register="upset", noise=0.0, hurried=True)
    clean = Persona()
    assert clean.without_noise() is clean


def test_a_persona_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Persona().noise = 0.5  # type: ignore[misc]


def test_an_unknown_split_is_named() -> None:
    with pytest.raises(ValueError, match=r"unknown split 'valid'.*train, dev, test"):
        draw_persona(Stream(1), "valid")
