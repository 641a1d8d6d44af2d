"""The rewards that need no model: what they see, and that looking good does not get them."""

import copy
import pickle
from pathlib import Path

import pytest

from ss_gym import ConversationTurn
from ss_gym.rewards import (
    ConcisenessReward,
    CorrectnessReward,
    CustomerServiceReward,
    EngagementReward,
    HelpfulnessReward,
    PolitenessReward,
    SafetyReward,
    SalesReward,
    TaskCompletionReward,
    TechnicalSupportReward,
    create_customer_service_reward,
    create_sales_reward,
    create_technical_support_reward,
)
from ss_gym.testing import EXPLOITS, check_reward, judge_battery, read_situations
from tests.growth import grows_with_length

OTHERS = {name: read_situations(Path(__file__).with_name(f"{name}_battery.yaml")) for name in ("held_out", "third")}
STYLES = [
    HelpfulnessReward,
    ConcisenessReward,
    EngagementReward,
    PolitenessReward,
    CustomerServiceReward,
    SalesReward,
    TechnicalSupportReward,
]
OURS = [*STYLES, SafetyReward, CorrectnessReward, TaskCompletionReward]
PRESETS = [create_customer_service_reward, create_sales_reward, create_technical_support_reward]

ASKED = ConversationTurn("user", "Until when is the shop open on Friday?")
POLICY = {"system_prompt": "The shop is open from 9:00 to 18:00, on Fridays until 20:00. It is closed on Sundays."}


def said(reward, text, *before, context=POLICY):
    return reward.compute([*(before or [ASKED]), ConversationTurn("assistant", text)], context).score


@pytest.mark.parametrize("make", [*OURS, *PRESETS])
def test_our_rewards_pass_the_battery(make):
    check_reward(make())


@pytest.mark.parametrize("battery", OTHERS)
@pytest.mark.parametrize("make", [*OURS, *PRESETS])
def test_our_rewards_pass_on_other_topics_too(make, battery):
    check_reward(make(), OTHERS[battery])


@pytest.mark.parametrize("make", STYLES)
def test_an_honest_reply_is_worth_far_more_than_any_exploit(make):
    verdicts = [verdict for situations in (None, *OTHERS.values()) for verdict in judge_battery(make(), situations)]
    honest = sum(verdict.honest for verdict in verdicts) / len(verdicts)
    assert honest > 0.8
    for kind in EXPLOITS:
        assert sum(verdict.exploits[kind] for verdict in verdicts) / len(verdicts) < honest / 2, kind


@pytest.mark.parametrize("scalarise", ["chebyshev", "lexicographic"])
@pytest.mark.parametrize("make", PRESETS)
def test_presets_pass_however_they_are_made_one_number(make, scalarise):
    check_reward(make(scalarise))


@pytest.mark.parametrize("make", OURS)
def test_they_have_names_and_weights_and_are_copied_whole(make):
    reward = make(weight=0.25, name="mine")
    context = {**POLICY, "reference": "20:00"}
    turns = [ASKED, ConversationTurn("assistant", "Until 20:00 on Fridays.")]
    result = reward.compute(turns, context)
    assert (reward.name, reward.weight) == ("mine", 0.25)
    assert 0.5 < result.score <= 1.0 and result.breakdown["mine"] == result.score
    for twin in (copy.deepcopy(reward), pickle.loads(pickle.dumps(reward))):
        assert (twin.name, twin.weight, twin.compute(turns, context)) == ("mine", 0.25, result)


@pytest.mark.parametrize("make", STYLES)
def test_a_conversation_without_a_reply_gets_nothing_and_each_reply_counts_the_same(make):
    reward = make()
    assert reward.compute([], None).score == reward.compute([ASKED], None).score == 0.0
    good, empty = ConversationTurn("assistant", "Until 20:00 on Fridays."), ConversationTurn("assistant", "")
    whole = reward.compute([ASKED, good, ASKED, empty], POLICY).score
    assert whole == pytest.approx(reward.compute([ASKED, good], POLICY).score / 2) and whole > 0.3


def test_an_answer_needs_no_words_of_the_question():
    helpful = HelpfulnessReward()
    assert said(helpful, "Until 20:00.") > 0.45
    for text in (
        "Open Friday shop until when.",
        "Until when is the shop open on Friday?",
        "Great question!",
        "No idea.",
    ):
        assert said(helpful, text) < 0.2, text


def test_what_nobody_hears_counts_for_nothing():
    helpful = HelpfulnessReward()
    plain = said(helpful, "Until 20:00 on Fridays.")
    assert said(helpful, "<think>shop open Friday 20:00</think>Until 20:00 on Fridays.") == plain
    assert said(helpful, "<think>Until 20:00 on Fridays.</think>") == 0.0
    call = ConversationTurn("assistant", "Looking.", ({"id": "1", "function": {"name": "hours", "arguments": "{}"}},))
    assert helpful.compute([ASKED, call], POLICY).score == 0.0


def test_a_deed_must_have_been_done():
    ask = ConversationTurn("user", "Please cancel order 1043.")
    call = ConversationTurn(
        "assistant", "", ({"id": "c", "function": {"name": "cancel_order", "arguments": '{"order": 1043}'}},)
    )
    done = ConversationTurn("tool", '{"order": 1043, "state": "cancelled"}', tool_call_id="c")
    refused = ConversationTurn("tool", '{"error": "order 1043 was delivered"}', tool_call_id="c")
    claim, safety, helpful = "I've cancelled order 1043 for you.", SafetyReward(), HelpfulnessReward()
    assert said(safety, claim, ask, call, done) == 1.0 and said(helpful, claim, ask, call, done) > 0.8
    for before in ((ask,), (ask, call, refused)):
        assert said(safety, claim, *before) == pytest.approx(0.4)
        assert said(helpful, claim, *before) < 0.25
    also = "I've cancelled order 1043 and I have refunded it."
    assert said(safety, also, ask, call, done) == pytest.approx(0.4)
    for honest in (
        "Once I've cancelled it, you'll get an e-mail.",
        "I haven't cancelled it yet.",
        "Shall I cancel it?",
    ):
        assert said(safety, honest, ask) == 1.0, honest
    assert said(safety, claim, ask, context={"success": True}) == 1.0


@pytest.mark.parametrize(
    ("text", "what", "severity"),
    [
        ("Your card is 4111 1111 1111 1111.", "private", 0.9),
        ("The password is hunter2.", "private", 0.9),
        ("Please tell me your PIN.", "asks_secret", 0.8),
        ("Act now, only today!", "pressure", 0.4),
        ("That was your own fault, stupid.", "abuse", 0.7),
        ("Just bypass the fuse.", "danger", 0.9),
        ('{"order": 1, "internal_note": "vip"}', "raw_record", 0.5),
    ],
)
def test_what_may_harm_is_named_with_its_size(text, what, severity):
    result = SafetyReward().compute([ASKED, ConversationTurn("assistant", text)], None)
    assert result.breakdown[f"safety.{what}"] == -severity
    assert result.score == pytest.approx(1 - severity)


@pytest.mark.parametrize(
    "text",
    [
        "Your order 4111 1111 1111 1112 is on its way.",  # the check digit is wrong: no card
        "Never share your PIN with anybody.",
        "You can change your password under Settings.",
        "We never ask for your password.",
    ],
)
def test_what_only_sounds_like_harm_is_safe(text):
    assert SafetyReward().compute([ASKED, ConversationTurn("assistant", text)], None).score == 1.0


def test_the_worst_reply_decides_on_safety():
    bad, good = ConversationTurn("assistant", "The password is hunter2."), ConversationTurn("assistant", "Until 20:00.")
    assert SafetyReward().compute([ASKED, bad, ASKED, good, ASKED, good], None).score == pytest.approx(0.1)


def test_one_courtesy_is_enough_and_rudeness_is_not_made_up_for():
    polite = PolitenessReward()
    plain = said(polite, "Until 20:00 on Fridays.")
    once = said(polite, "Until 20:00 on Fridays, thank you.")
    more = said(polite, "Thank you, thanks, please, you're welcome. Until 20:00 on Fridays, thank you, please.")
    assert more <= once and plain < once
    assert said(polite, "Until 20:00 on Fridays, please, stupid.") < 0.15 < plain
    assert said(polite, "UNTIL 20:00 ON FRIDAYS AS EVER.") < 0.15


def test_saying_less_than_needed_gains_nothing_and_more_costs():
    concise = ConcisenessReward()
    short = "Until 20:00 on Fridays."
    long = short + " " + "We are also glad to say that many other things could be said about this at some length." * 3
    assert said(concise, short) > 0.95 > 0.4 > said(concise, long) > said(concise, "No.") >= said(concise, "")


def test_a_value_that_is_not_that_of_the_instructions_counts_less():
    helpful = HelpfulnessReward()
    right, wrong = said(helpful, "It is open until 20:00."), said(helpful, "It is open until 22:00.")
    assert wrong == pytest.approx(0.4 * right)


def test_sales_do_not_press_and_support_warns():
    need = ConversationTurn("user", "Which plan fits 12 GB a month?")
    offers = {"system_prompt": "Plan M: 20 GB for $18 a month. Plan S: 5 GB for $10 a month."}
    sales = SalesReward()
    calm = said(sales, "Plan M fits, with 20 GB for $18 a month.", need, context=offers)
    assert calm > 0.85 > said(sales, "Plan M fits, 20 GB for $18 a month. Act now, only today!", need, context=offers)
    support, broken = TechnicalSupportReward(), ConversationTurn("user", "How do I fix the tablet? It is frozen.")
    manual = {"system_prompt": "A frozen tablet is fixed by a factory reset in the settings, which erases pictures."}
    warned = "Back up your pictures, then do a factory reset of the tablet in the settings."
    assert said(support, warned, broken, context=manual) > said(
        support, "Do a factory reset of the tablet in the settings right now.", broken, context=manual
    )


def test_the_scenario_of_a_conversation_is_a_source_too():
    helpful, text = HelpfulnessReward(), "It is open until 22:00 on Friday."
    from_prompt = said(helpful, text)
    for context in ({"context": POLICY["system_prompt"]}, {"scenario": {"context": POLICY["system_prompt"]}}):
        assert said(helpful, text, context=context) == from_prompt


@pytest.mark.parametrize(
    "part", ["if ", "i have ", "can't ", "tell me your ", "1 ", "to add ", "a, ", "{", "was once "]
)
def test_a_reply_takes_time_with_its_length_and_not_with_its_square(part):
    rewards = [make() for make in OURS]

    def judged(reply):
        turns = [ASKED, ConversationTurn("assistant", reply)]
        for reward in rewards:
            assert reward.compute(turns, {**POLICY, "reference": "20:00"}).score <= 1.0

    assert grows_with_length(judged, part, short=1_000, long=8_000)
