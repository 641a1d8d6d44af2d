"""What a family adds to the words that agents use: its own remedies, slots and grounds."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
import yaml

from ss_gym.families import FAMILIES
from ss_gym.scenario_files import has_file, read_yaml
from ss_gym.users import concepts as c
from ss_gym.users.acts import Act
from ss_gym.users.clauses import OTHER_NOUN
from ss_gym.users.lexicon import Lexicon, load_lexicon
from ss_gym.users.understanding import Understanding, load_understanding
from ss_gym.users.values import Inventory
from ss_gym.users.vocabulary import PLAIN, Vocabulary, named

COMMON = files("ss_gym.users").joinpath("lexicon.yaml").read_text(encoding="utf-8")

# A shop that mends clothes.
MENDING = yaml.safe_load("""
names:
  MEND: remedy repair already_mended
  SEND_ON: remedy send_on
  S_SERIAL: slot serial_number
  G_WORN: ground worn_out
  G_ALREADY: ground already_mended
wishes: repair
without: G_NOT_DELIVERED W_NOT_DELIVERED
macros:
  A_MENDING: mending|patching|NOUN_REFUND for stitches
phrases:
  remedy MEND: mend|patch up|A_MENDING
  participle MEND: mended|patched up
  remedy SEND_ON: forward your (parcel|<title>)
  always S_SERIAL: serial number|serial
  flag G_WORN / FACT: worn out|threadbare
  weak W_WORN: wear and tear
""")
INVENTORY = Inventory({("title", "wool scarf"), ("money", 2000), ("order_id", "48213")}, policy={("days", 30)})


def mending(**changes: Any) -> Lexicon:
    return load_lexicon(COMMON, MENDING | changes)


@pytest.fixture(scope="module")
def mender() -> Understanding:
    return Understanding(mending())


def gist(acts: tuple[Act, ...]) -> list[tuple[str, str, str]]:
    """Kind, what it is about, and the ground of each act that does something."""
    return [(act.kind, act.slot or act.verb, act.ground) for act in acts if act.kind != "inform"]


# --- the features ---------------------------------------------------------------------------------


def test_no_two_features_share_a_bit() -> None:
    remedies = [c.REFUND, c.CREDIT, c.EXCHANGE, c.RETURN, c.THING, *c.SPARE_REMEDIES]
    strengths = [bit << shift for bit in remedies for shift in (c.POSSIBLE, c.REFUSED, c.DONE)]
    spare = [*c.SPARE_REMEDIES, *c.SPARE_SLOTS, *c.SPARE_GROUNDS, *(bit << c.HINT for bit in c.SPARE_GROUNDS)]
    bits = [*c.BITS.values(), *strengths, *spare, OTHER_NOUN]
    assert all(bit.bit_count() == 1 for bit in bits)
    assert len(set(bits)) == len(bits)


def test_a_strength_of_a_remedy_is_a_shift_past_all_remedies() -> None:
    assert c.REMEDY == (1 << 13) - 1  # 5 of everybody's and 8 of the family's
    assert (c.POSSIBLE, c.REFUSED, c.DONE) == (13, 2 * 13, 3 * 13)


# --- names ----------------------------------------------------------------------------------------


def test_without_names_a_family_has_the_words_of_all() -> None:
    assert named({}) == PLAIN == Vocabulary()
    assert load_lexicon(COMMON).vocabulary is PLAIN


def test_a_remedy_gets_a_bit_and_the_ground_that_an_earlier_one_is() -> None:
    first, second = c.SPARE_REMEDIES[:2]
    vocabulary = named({"MEND": "remedy repair already_mended", "SEND_ON": "remedy send_on"})
    assert (vocabulary.bits["MEND"], vocabulary.bits["SEND_ON"]) == (first, second)
    assert vocabulary.own == ((first, "repair"), (second, "send_on"))
    assert vocabulary.remedies == {**PLAIN.remedies, "repair": first, "send_on": second}
    assert vocabulary.earlier == {"repair": "already_mended"}
    assert vocabulary.wishes == {"refund"}
    assert named({"MEND": "remedy repair"}, frozenset(("repair",))).wishes == {"repair"}
    with pytest.raises(ValueError, match="wishes: there is no remedy repair"):
        named({}, frozenset(("repair",)))


def test_a_slot_gets_a_bit() -> None:
    vocabulary = named({"S_SERIAL": "slot serial_number"})
    assert vocabulary.bits["S_SERIAL"] == c.SPARE_SLOTS[0]
    assert vocabulary.slots == {**PLAIN.slots, c.SPARE_SLOTS[0]: "serial_number"}


def test_a_ground_gets_a_bit_and_a_hint_of_its_own() -> None:
    vocabulary = named({"G_WORN": "ground worn_out"})
    bit = c.SPARE_GROUNDS[0]
    assert (vocabulary.bits["G_WORN"], vocabulary.bits["W_WORN"]) == (bit, bit << c.HINT)
    assert vocabulary.grounds == (*PLAIN.grounds, (bit, "worn_out"))
    assert vocabulary.hints == (*PLAIN.hints, (bit << c.HINT, "worn_out"))


def test_a_ground_of_every_family_gets_another_name() -> None:
    vocabulary = named({"G_ALREADY": "ground already_mended"})
    assert vocabulary.bits == PLAIN.bits
    assert dict(vocabulary.grounds) == {**dict(PLAIN.grounds), c.G_ALREADY: "already_mended"}
    assert (PLAIN.again, vocabulary.again) == ("already_refunded", "already_mended")


def test_grounds_and_hints_that_a_family_is_without_are_left_out() -> None:
    vocabulary = named({}, without=frozenset(("G_NOT_DELIVERED", "W_GIFT")))
    assert set(PLAIN.grounds) - set(vocabulary.grounds) == {(c.G_NOT_DELIVERED, "not_delivered")}
    assert set(PLAIN.hints) - set(vocabulary.hints) == {(c.W_GIFT, "gift_card_item")}


@pytest.mark.parametrize(
    ("kind", "prefix", "room"),
    [
        ("remedy", "R_", len(c.SPARE_REMEDIES)),
        ("slot", "S_NEW_", len(c.SPARE_SLOTS)),
        ("ground", "G_NEW_", len(c.SPARE_GROUNDS)),
    ],
)
def test_there_is_room_for_so_many_and_no_more(kind: str, prefix: str, room: int) -> None:
    assert room == {"remedy": 8, "slot": 8, "ground": 20}[kind]
    names = {f"{prefix}{number}": f"{kind} thing_{number}" for number in range(room)}
    bits = named(names).bits
    assert len({bits[name] for name in names}) == room
    with pytest.raises(ValueError, match=f"{prefix}{room}: there is no room for another {kind}"):
        named({**names, f"{prefix}{room}": f"{kind} thing"})


@pytest.mark.parametrize(
    ("name", "meaning", "problem"),
    [
        (
            "MEND",
            "remedie repair",
            "MEND: 'remedie repair' must be remedy, slot, ground or event",
        ),
        ("MEND", "remedy", "MEND: 'remedy' must be"),
        ("MEND", "remedy repair already_mended twice", "MEND: .* must be"),
        ("S_SERIAL", "slot serial_number nummber", "S_SERIAL: there is no kind of value called nummber"),
        ("G_WORN", "ground", "G_WORN: 'ground' must be"),
        ("G_WORN", "ground worn out", "G_WORN: .* must be"),
        ("REFUND", "remedy repair", "REFUND: the name is taken"),
        ("S_ORDER", "slot serial_number", "S_ORDER: the name is taken"),
        ("OUTSIDE", "ground outdoors", "OUTSIDE: the name is taken, or that of a ground without G_ before it"),
        ("WORN", "ground worn_out", "WORN: the name is taken, or that of a ground without G_ before it"),
        ("W_WINDOW", "slot window", "W_WINDOW: the name is taken"),
    ],
)
def test_a_name_that_can_not_be_is_named(name: str, meaning: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        named({name: meaning})


def test_the_hint_of_a_ground_is_a_name_that_is_taken() -> None:
    with pytest.raises(ValueError, match="W_WORN: the name is taken"):
        named({"G_WORN": "ground worn_out", "W_WORN": "slot wear"})


# --- phrases --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "acts"),
    [
        ("Shall I mend the wool scarf?", [("propose", "repair", "")]),
        ("Is a mending fine with you?", [("propose", "repair", "")]),
        ("I can patch up the wool scarf for you.", [("offer", "repair", "")]),
        ("I have mended it.", [("confirm_done", "repair", "")]),
        ("I have mended it and I can forward your parcel.", [("confirm_done", "repair", ""), ("offer", "send_on", "")]),
        ("I can't mend it.", [("refuse", "repair", "")]),
        ("I can't mend it because it is threadbare.", [("refuse", "repair", "worn_out")]),
        ("The scarf is worn out.", [("refuse", "", "worn_out")]),
        ("The scarf is not worn out.", []),
        ("I can't mend it: it is wear and tear.", [("refuse", "repair", "worn_out")]),
        ("It is wear and tear.", []),  # a hint is a ground only beside a refusal
        ("It was already mended.", [("refuse", "repair", "already_mended")]),
        ("Your scarf was mended on 3 March.", [("refuse", "repair", "already_mended")]),
        ("I can't do that again.", [("refuse", "", "already_mended")]),
        ("Could you tell me the serial number?", [("ask", "serial_number", "")]),
        ("Please send me your order number and the serial.", [("ask", "order_id", ""), ("ask", "serial_number", "")]),
        ("It has not been delivered yet.", []),  # no ground of this shop
        ("It has not been delivered yet, so I can't mend it.", [("refuse", "repair", "")]),
        # A rule of the house is none for a customer who gets what they came for.
        ("We can't mend threadbare items. Shall I mend the wool scarf?", [("propose", "repair", "")]),
        # What all families say is understood as everywhere.
        ("I have refunded $20.", [("confirm_done", "refund", "")]),
        ("Would you like store credit instead?", [("offer", "store_credit", ""), ("propose", "store_credit", "")]),
        ("I can't refund it, it is final sale.", [("refuse", "refund", "final_sale")]),
    ],
)
def test_a_family_is_understood_in_its_own_words(
    mender: Understanding, text: str, acts: list[tuple[str, str, str]]
) -> None:
    assert gist(mender.read(text, INVENTORY)) == acts


@pytest.mark.parametrize("text", ["I have mended it.", "I can't mend it.", "The scarf is worn out.", "Is it mended?"])
def test_a_family_that_does_not_know_a_word_understands_nothing_by_it(text: str) -> None:
    acts = gist(Understanding(load_lexicon(COMMON)).read(text, INVENTORY))
    assert acts in ([], [("ask", "confirmation", "")])


def test_it_and_an_amount_are_what_the_rest_of_the_sentence_says(mender: Understanding) -> None:
    (proposal,) = mender.read("Shall I mend it for $20?", INVENTORY)
    assert (proposal.kind, proposal.verb) == ("propose", "repair")
    assert [(value.kind, value.value) for value in proposal.values] == [("money", 2000)]
    (done,) = mender.read("Mending the wool scarf: it has been processed.", INVENTORY)[-1:]
    assert (done.kind, done.verb) == ("confirm_done", "repair")


def test_one_family_leaves_the_words_of_the_others_alone(mender: Understanding) -> None:
    assert gist(mender.read("It was already mended.", INVENTORY)) == [("refuse", "repair", "already_mended")]
    assert gist(load_understanding("refund").read("I can't do that again.", INVENTORY)) == [
        ("refuse", "", "already_refunded")
    ]
    assert Vocabulary() == PLAIN
    assert "MEND" not in c.BITS


def test_a_macro_of_the_common_lexicon_may_be_used(mender: Understanding) -> None:
    assert gist(mender.read("Shall I arrange a reimbursement for stitches?", INVENTORY)) == [("propose", "repair", "")]


def test_a_phrase_of_every_family_may_mean_something_else_in_one() -> None:
    def read(lexicon: Lexicon) -> list[tuple[str, str, str]]:
        return gist(Understanding(lexicon).read("Shall I swap the wool scarf?", INVENTORY))

    assert read(mending()) == [("propose", "exchange", "")]
    assert read(mending(phrases={**MENDING["phrases"], "remedy MEND": "mend|swap"})) == [("propose", "repair", "")]


def test_a_phrase_replaced_keeps_what_it_always_means() -> None:
    # "postcode" names a slot whatever else it does.
    node = load_lexicon(COMMON, {"phrases": {"remedy REFUND": "postcode"}}).root["postcode"][""]
    assert (node.handler, node.bits) == ("remedy", c.REFUND)
    assert node.always == load_lexicon(COMMON).root["postcode"][""].always == c.S_POSTAL


def test_a_phrase_has_one_meaning_in_a_family() -> None:
    with pytest.raises(ValueError, match="the phrase 'tack on' is under 'flag' and under 'remedy'"):
        load_lexicon(COMMON, MENDING | {"phrases": {"remedy MEND": "tack on", "flag G_WORN": "tack on"}})
    # Nor may one of everybody's get two others.
    with pytest.raises(ValueError, match="the phrase 'swap' is under 'flag' and under 'remedy'"):
        load_lexicon(COMMON, MENDING | {"phrases": {"remedy MEND": "swap", "flag G_WORN": "swap"}})


@pytest.mark.parametrize("phrase", ["still mending", "the mending", "please mend"])
def test_a_word_that_is_left_out_of_texts_is_in_no_phrase(phrase: str) -> None:
    with pytest.raises(ValueError, match=f"a phrase has '{phrase.split()[0]}', which is left out"):
        load_lexicon(COMMON, MENDING | {"phrases": {"remedy MEND": phrase}})


# --- the families ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_understood_once_a_process(name: str) -> None:
    assert load_understanding(name) is load_understanding(name)


@pytest.mark.parametrize("name", [name for name in FAMILIES if has_file(name, "lexicon.yaml")])
def test_every_name_of_a_lexicon_is_used_in_it(name: str) -> None:
    document = read_yaml(name, "lexicon.yaml")
    assert set(document) <= {"names", "wishes", "without", "dates", "macros", "phrases"}
    used = {word for heading in document["phrases"] for word in heading.split()}
    own = [name for name in document["names"] if name not in c.BITS]  # the others are only called something else
    assert [name for name in own if not {name, f"W{name[1:]}"} & used] == []
    vocabulary = load_lexicon(COMMON, document).vocabulary
    assert vocabulary.wishes <= set(vocabulary.remedies)


CANCELLING = [
    ("Shall I cancel order 48213?", [("propose", "cancel", "")]),
    ("I have cancelled the order.", [("confirm_done", "cancel", "")]),
    ("Your order has been cancelled and $20 goes back to your card.", [("confirm_done", "cancel", "")]),
    ("I'm sorry, I can't cancel it: it has already been shipped.", [("refuse", "cancel", "shipped")]),
    ("It was delivered, so I can't cancel it.", [("refuse", "cancel", "delivered")]),
    ("That item was already cancelled.", [("refuse", "cancel", "already_cancelled")]),
    ("I can't cancel it, the cancellation window of 30 days is over.", [("refuse", "cancel", "window")]),
    ("It has not been shipped yet.", []),
]


@pytest.mark.parametrize(("text", "acts"), CANCELLING)
def test_the_cancellation_desk_is_understood(text: str, acts: list[tuple[str, str, str]]) -> None:
    read = gist(load_understanding("cancel").read(text, INVENTORY))
    assert [act for act in read if act[0] in ("propose", "confirm_done", "refuse", "ask")] == acts
