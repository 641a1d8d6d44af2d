import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial

import pytest

from ss_gym.commerce.records import REASONS
from ss_gym.scenario_files import field_error, read_yaml
from ss_gym.streams import Stream
from ss_gym.users.acts import CustomerAct
from ss_gym.users.persona import REGISTERS, Persona, draw_persona
from ss_gym.users.phrases import PhraseBook
from ss_gym.users.wording import Wording

SPLITS = ("train", "dev", "test")
ITEM = "wool scarf"
VALUES = {
    "item": ITEM,
    "order_id": "48213",
    "email": "mia.stone@example.com",
    "postal_code": "AB1 2CD",
    "name": "Mia Stone",
    "option": "matte black",
    "amount": "$24.90",
}
# Every act that a customer can do, with the slots that come with it.
SLOTS: dict[str, tuple[str, ...]] = {
    "open": ("item",),
    "give_order_id": ("order_id",),
    "no_order_id": ("item",),
    "give_email": ("email",),
    "give_postal_code": ("postal_code",),
    "give_name": ("name",),
    "give_item": ("item",),
    "prefer_option": ("option",),
    "yes_amount": ("amount",),
    "correct_amount": ("amount",),
    "correct_item": ("item",),
    "ask_why_less": ("amount",),
    "accept_exchange": ("option",),
}
SIMPLE = (
    *("greet_only", "no_fact", "yes", "no", "ask_amount", "ask_option", "ask_why", "push_back", "dispute_ground"),
    *("ask_alternative", "accept_refusal", "accept_credit", "decline_credit", "decline_exchange", "ask_when_money"),
    *("ask_amount_back", "ask_delivery_date", "ask_refund_date", "nothing_arrived", "still_waiting", "not_understood"),
    *("silence", "hurry", "tangent", "demand_card", "drop_card_demand", "nothing_else", "thanks", "bye_happy"),
    *("bye_unhappy", "give_up", "accept_transfer", "refuse_transfer"),
)
ERROR = partial(field_error, "refund", "phrases.yaml")
PLAIN = Persona(verbosity=0.0)


def every_act() -> Iterator[CustomerAct]:
    for kind, names in SLOTS.items():
        yield CustomerAct(kind, {name: VALUES[name] for name in names})
    for kind in SIMPLE:
        yield CustomerAct(kind)
    for reason in REASONS:
        yield CustomerAct("give_reason", {"reason": reason})
        yield CustomerAct("plain_reason", {"reason": reason})
        yield CustomerAct("open", {"item": ITEM, "order_id": "48213", "reason": reason})
        yield CustomerAct("open", {"item": ITEM, "order_id": "", "reason": reason})
    for remedy in ("refund", "store_credit", "exchange"):
        yield CustomerAct("prefer", {"remedy": remedy})
    yield CustomerAct("open", {"item": ITEM, "order_id": "48213"})
    yield CustomerAct("open", {"order_id": "48213"})
    yield CustomerAct("open")
    yield CustomerAct("no_order_id")


ACTS = tuple(every_act())
act_names = [f"{act.kind}-{'-'.join(value for value in act.slots.values() if value)}" for act in ACTS]


@pytest.fixture(scope="module")
def wording() -> Wording:
    return Wording.load("refund")


def told(act: CustomerAct) -> list[str]:
    return [value for name, value in act.slots.items() if name not in ("reason", "remedy") and value]


def surfaces(wording: Wording, act: CustomerAct, split: str, count: int, persona: Persona = PLAIN) -> set[str]:
    stream = Stream("surfaces", split)
    return {wording.say([act], stream, persona, split) for _ in range(count)}


@pytest.mark.parametrize("act", ACTS, ids=act_names)
def test_every_act_is_worded_in_every_split_and_register_with_its_values(wording: Wording, act: CustomerAct) -> None:
    for split in SPLITS:
        for register in REGISTERS:
            for seed in range(8):
                persona = Persona(register=register, verbosity=0.9, channel="email" if seed % 2 else "chat")
                text = wording.say([act], Stream(seed, register, split), persona, split)
                assert text.strip() == text != ""
                for value in told(act):
                    assert value in text


@pytest.mark.parametrize("act", ACTS, ids=act_names)
def test_noise_keeps_the_values(wording: Wording, act: CustomerAct) -> None:
    for split in SPLITS:
        for seed in range(40):
            persona = draw_persona(Stream(seed, split), split)._replace(noise=0.08)
            text = wording.say([act], Stream(seed, "noisy"), persona, split)
            for value in told(act):
                assert value in text or (value == "48213" and "48 213" in text)


@pytest.mark.parametrize("act", ACTS, ids=act_names)
def test_nothing_said_in_test_is_said_in_train(wording: Wording, act: CustomerAct) -> None:
    assert not surfaces(wording, act, "train", 300) & surfaces(wording, act, "test", 300)


def test_dev_speaks_as_train_does_and_a_little_more(wording: Wording) -> None:
    act = CustomerAct("ask_why")
    train, dev, test = (surfaces(wording, act, split, 500) for split in SPLITS)
    assert train < dev
    assert not dev & test


@pytest.mark.parametrize("split", SPLITS)
def test_openings_have_tens_of_thousands_of_surfaces(wording: Wording, split: str) -> None:
    act = CustomerAct("open", {"item": ITEM, "order_id": "48213", "reason": "damaged"})
    drawn = 3000
    found = surfaces(wording, act, split, drawn, Persona(register="polite", verbosity=0.5))
    # n draws from N equally likely surfaces collide about n²/2N times; unequal ones collide more often.
    assert drawn**2 / (2 * max(1, drawn - len(found))) > 20_000


def test_openings_have_a_normal_length(wording: Wording) -> None:
    lengths = []
    for seed in range(1500):
        stream = Stream(seed, "length")
        persona = draw_persona(stream, "train")
        slots = {"item": ITEM, "order_id": "48213"} | ({"reason": REASONS[seed % 5]} if seed % 2 else {})
        lengths.append(len(wording.say([CustomerAct("open", slots)], stream, persona, "train").split()))
    lengths.sort()
    assert 10 <= lengths[len(lengths) // 2] <= 22
    assert lengths[-1] <= 50
    assert lengths[int(0.99 * len(lengths))] <= 42


@pytest.mark.parametrize("kind", ["give_reason", "plain_reason"])
def test_no_sentence_means_two_reasons(wording: Wording, kind: str) -> None:
    seen: dict[str, str] = {}
    for reason in REASONS:
        for split in SPLITS:
            for text in surfaces(wording, CustomerAct(kind, {"reason": reason}), split, 200):
                assert seen.setdefault(text, reason) == reason


@pytest.mark.parametrize(
    ("reason", "clues"),
    [
        ("changed_mind", "mind|want|need|use for|not for me|like|keen|regret|thoughts|against"),
        ("damaged", "damage|broke|torn"),
        ("wrong_item", "wrong|different|else|not what|another|never ordered|didn't order|not the one"),
        ("defective", "fault|defect|gave out|failed|apart"),
        ("not_received", "never|not|n't|nothing|no parcel|no delivery"),
    ],
)
def test_every_reason_holds_a_word_that_gives_it_away(wording: Wording, reason: str, clues: str) -> None:
    for split in SPLITS:
        for text in surfaces(wording, CustomerAct("give_reason", {"reason": reason}), split, 400):
            assert re.search(clues, text, re.I), text


def test_number_agrees_with_the_items(wording: Wording) -> None:
    for seed in range(100):
        many = wording.say(
            [CustomerAct("plain_reason", {"reason": "damaged", "item": "cotton socks"})], Stream(seed), PLAIN, "train"
        )
        one = wording.say([CustomerAct("plain_reason", {"reason": "damaged"})], Stream(seed), PLAIN, "train")
        assert many.startswith("They")
        assert one.startswith("It")


@pytest.mark.parametrize("split", SPLITS)
def test_texts_are_well_spaced_and_start_with_a_capital(wording: Wording, split: str) -> None:
    for act in ACTS:
        for text in surfaces(wording, act, split, 40, Persona(register="chatty", verbosity=1.0)):
            assert not re.search(r"  | [.,?!]|[(){}<>|@]\w*\?|\.\.", text), text
            assert not text[0].islower() or text.startswith(tuple(VALUES.values())), text


def test_curt_and_hurried_customers_write_small_letters_in_chats(wording: Wording) -> None:
    for persona in (Persona(register="curt"), Persona(hurried=True)):
        assert all(
            not text[0].isupper() or text[0] == "I" for text in surfaces(wording, ACTS[0], "train", 100, persona)
        )


def test_letters_greet_and_sign(wording: Wording) -> None:
    for text in surfaces(wording, ACTS[0], "train", 100, Persona(channel="email")):
        assert text.count("\n") == 2


def test_several_acts_come_in_a_natural_order(wording: Wording) -> None:
    acts = [CustomerAct("bye_happy"), CustomerAct("ask_when_money"), CustomerAct("give_email", {"email": "a@b.cd"})]
    for seed in range(50):
        text = wording.say([*acts, CustomerAct("yes")], Stream(seed), PLAIN, "train")
        yes, email, when = (re.search(word, text, re.I) for word in ("yes|yeah|yep|ok|sure|fine", "a@b.cd", "how|when"))
        assert yes and email and when
        assert yes.start() < email.start() < when.start()


def test_facts_are_joined_in_one_sentence(wording: Wording) -> None:
    acts = [CustomerAct("give_name", {"name": "Mia Stone"}), CustomerAct("give_postal_code", {"postal_code": "10115"})]
    for seed in range(50):
        text = wording.say(acts, Stream(seed), PLAIN, "train")
        assert re.fullmatch(r"[^.]*Mia Stone(,| and) [^.]*10115\.", text), text


def test_an_address_is_never_followed_by_a_full_stop_at_the_end(wording: Wording) -> None:
    act = CustomerAct("give_email", {"email": "mia.stone@example.com"})
    for split in SPLITS:
        assert all(text.endswith("example.com") for text in surfaces(wording, act, split, 100))


def test_equal_streams_give_equal_words(wording: Wording) -> None:
    persona = Persona(register="chatty", verbosity=0.8, noise=0.05)
    texts = [wording.say(ACTS[:1], Stream(5, "words"), persona, "train") for _ in range(2)]
    assert texts[0] == texts[1]


def test_what_was_said_before_does_not_change_what_is_said_now() -> None:
    shared, own = read_yaml("world", "phrases.yaml"), read_yaml("refund", "phrases.yaml")
    document = {section: shared[section] | own[section] for section in own}
    fresh, used = (Wording(PhraseBook(document, ERROR)) for _ in range(2))
    for act in ACTS:
        used.say([act], Stream(1), PLAIN, "test")
    for act in reversed(ACTS):
        assert fresh.say([act], Stream(2), PLAIN, "test") == used.say([act], Stream(2), PLAIN, "test")


def test_words_do_not_depend_on_the_hash_seed() -> None:
    script = (
        "from ss_gym.users.wording import Wording; from ss_gym.users.persona import draw_persona\n"
        "from ss_gym.users.acts import CustomerAct; from ss_gym.streams import Stream\n"
        "slots = {'item': 'wool scarf', 'order_id': '48213', 'reason': 'damaged'}\n"
        "for seed in range(50):\n"
        "    stream = Stream(seed)\n"
        "    persona = draw_persona(stream, 'test')\n"
        "    print(Wording.load('refund').say([CustomerAct('open', slots)], stream, persona, 'test'))"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1] != b""


@pytest.mark.parametrize(
    ("kind", "slots", "split", "message"),
    [
        ("sing", {}, "train", "no phrases for the customer act 'sing'"),
        ("give_email", {}, "train", "'give_email' needs the slot 'email'"),
        ("give_email", {"email": ""}, "train", "needs the slot 'email'"),
        ("give_reason", {}, "train", "needs the slot 'reason'"),
        ("plain_reason", {"reason": "boredom"}, "train", "no phrases for .*'plain_reason'.*boredom"),
        ("prefer", {"remedy": "song"}, "train", "no phrases for .*'prefer'"),
        ("yes", {}, "valid", "unknown split 'valid': use one of train, dev, test"),
    ],
)
def test_wrong_requests_are_named(
    wording: Wording, kind: str, slots: Mapping[str, str], split: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        wording.say([CustomerAct(kind, slots)], Stream(1), PLAIN, split)


def test_a_broken_file_is_reported_with_its_name_and_line() -> None:
    document = read_yaml("refund", "phrases.yaml")
    broken = document | {"acts": document["acts"] | {"open": document["acts"]["open"] | {"test": "(cheers"}}}
    with pytest.raises(ValueError, match=r"refund/phrases.yaml, line \d+, field acts.open.test: .*'\(cheers'"):
        PhraseBook(broken, ERROR)


def test_an_unknown_family_has_no_wording() -> None:
    with pytest.raises(FileNotFoundError):
        Wording.load("no_such_family")


def test_a_family_is_read_once() -> None:
    assert Wording.load("refund") is Wording.load("refund")
